//! Every setting of the environment, each once: name, default, bounds, unit, and what it is for.

/// Who reads a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The service; the reviewers and the operator's commands read some of its settings as well.
    Service,
    /// The reviewers alone.
    Reviewers,
}

/// A variable of the environment.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What holds where it is not set, as it would be written; empty where nothing does.
    pub default: &'static str,
    /// The least and the most it may be, where it is a number.
    pub range: Option<(&'static str, &'static str)>,
    /// What it is counted in; empty where in nothing.
    pub unit: &'static str,
    /// Whether it is never repeated in a message.
    pub secret: bool,
    /// The variable that names a file with the value instead.
    pub file: Option<&'static str>,
    /// Who reads it.
    pub reader: Reader,
    /// What it is for; Markdown.
    pub meaning: &'static str,
    shown: Option<&'static str>,
}

impl Setting {
    const fn of_service(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            default,
            range: None,
            unit: "",
            secret: false,
            file: None,
            reader: Reader::Service,
            meaning,
            shown: None,
        }
    }

    const fn of_reviewers(
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            reader: Reader::Reviewers,
            ..Self::of_service(name, default, meaning)
        }
    }

    const fn range(self, least: &'static str, most: &'static str) -> Self {
        Self {
            range: Some((least, most)),
            ..self
        }
    }

    const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    const fn secret(self) -> Self {
        Self {
            secret: true,
            ..self
        }
    }

    const fn file(self, file: &'static str) -> Self {
        Self {
            file: Some(file),
            ..self
        }
    }

    /// How documentation writes the default where it is not one text.
    const fn shown(self, shown: &'static str) -> Self {
        Self {
            shown: Some(shown),
            ..self
        }
    }

    /// The setting of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// The default as documentation writes it.
    pub fn default_shown(&self) -> String {
        match (self.shown, self.default) {
            (Some(shown), _) => shown.to_owned(),
            (None, "") => "–".to_owned(),
            (None, default) => format!("`{default}`"),
        }
    }

    /// What it is for, and between which bounds.
    pub fn explained(&self) -> String {
        let bounds = match (self.range, self.unit) {
            (None, _) => String::new(),
            (Some((least, most)), "") => format!("; {least} to {most}"),
            (Some((least, most)), unit) => format!("; {least} to {most} {unit}"),
        };
        format!("{}{bounds}", self.meaning)
    }
}

/// Variables that others set and this program reads: the service manager, the shell, sudo and sshd.
pub const OF_OTHERS: [&str; 10] = [
    "STATE_DIRECTORY",
    "XDG_STATE_HOME",
    "HOME",
    "SUDO_USER",
    "USER",
    "LOGNAME",
    "SSH_CONNECTION",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "JOURNAL_STREAM",
];

/// Every setting, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    Setting::of_service("APPLY_MODE", "dry_run", "`dry_run`: everything but the order. `testnet`: orders go to the test host"),
    Setting::of_service("SYMBOLS", "BTCUSDT,ETHUSDT,SOLUSDT", "proposals followed"),
    Setting::of_service("APPLY_SHARD", "1/1", "which of how many shards of `SYMBOLS` this instance follows, as in `2/4`, see [scaling.md](scaling.md)"),
    Setting::of_service("APPLY_ALLOWLIST", "BTCUSDT", "symbols that may execute; set but empty: none"),
    Setting::of_service("APPLY_PERMITS", "governor,p33", "permits required, see [permits.md](permits.md)"),
    Setting::of_service("APPLY_PERMIT_KEYS", "", "keys of the issuers; set, permits have to be signed, see [permits-signing.md](permits-signing.md)").secret().file("APPLY_PERMIT_KEYS_FILE"),
    Setting::of_service("APPLY_PERMIT_WAIT_MS", "1200", "how long a plan waits for its permits").range("0", "60000").unit("milliseconds"),
    Setting::of_service("APPLY_PERMIT_STEP_MS", "100", "fallback: how often a waiting plan polls for permits between pushes").range("1", "10000").unit("milliseconds"),
    Setting::of_service("APPLY_POLL_SEC", "5", "fallback: how often proposals are read without a push").range("0.01", "3600").unit("seconds"),
    Setting::of_service("APPLY_SETTLE_MS", "0.5", "debounce: a proposal is read after it has been unchanged this long, see [decision 6](decisions/0006-when-a-proposal-is-read.md)").range("0", "10000").unit("milliseconds"),
    Setting::of_service("APPLY_PROPOSAL_MAX_AGE_SEC", "off", "`off`, or how old a proposal that would execute may be by its `computed_at_utc` (where that is absent by `last_update_epoch`); an older one is refused, and so is one whose time cannot be read or lies more than 5 s ahead of this machine's clock").range("1", "31536000").unit("seconds"),
    Setting::of_service("APPLY_MAX_IN_FLIGHT", "10000", "plans under way at the same time; more are refused until one has ended, see [scaling.md](scaling.md)").range("1", "1000000").unit("plans"),
    Setting::of_service("APPLY_DEDUPE_TTL_SEC", "21600", "how long a claim lasts").range("60", "31536000").unit("seconds"),
    Setting::of_service("K_BLOCK_CRITICAL", "0.80", "nothing executes from this kill score on").range("0", "1"),
    Setting::of_service("K_BLOCK_WARNING", "0.60", "only closes execute from this kill score on").range("0", "1"),
    Setting::of_service("K_CLOSE_THRESHOLD", "", "closes do not execute from this kill score on; where it is set, it replaces `K_BLOCK_CRITICAL` for closes, below or above it").range("0", "1"),
    Setting::of_service("APPLY_STOPS", "off", "`on`: `UPDATE_SL` moves the protective stop at the venue. `off`: it is skipped as `stops_off`, and no stop is placed, as with the service before this one; see [migration.md](migration.md#stops)"),
    Setting::of_service("APPLY_STOP_MAX_DISTANCE_PCT", "20", "how far from the mark price a stop may be put; a stop further away is refused and the old one stays").range("0.01", "100").unit("percent of the mark price"),
    Setting::of_service("APPLY_KILL_SWITCH", "false", "the static kill switch: every plan is blocked"),
    Setting::of_service("APPLY_KILL_SWITCH_FILE", "", "a file; while it exists, this machine is halted").shown("`<state directory>/HALT`"),
    Setting::of_service("APPLY_STATE_DIR", "", "the journal, see [recovery.md](recovery.md); absolute, one process each").shown("systemd's `STATE_DIRECTORY`, else `$XDG_STATE_HOME/apply-layer`, `~/.local/state/apply-layer`, `/var/lib/apply-layer`"),
    Setting::of_service("APPLY_DURABILITY", "warn", "`strict`: refuse a Redis that could forget; where there are replicas, one has to acknowledge each claim"),
    Setting::of_service("APPLY_LEASE_SEC", "15", "after how long without a renewed lease an instance counts as gone").range("1", "600").unit("seconds"),
    Setting::of_service("APPLY_METRICS_PORT", "8043", "the port of `/metrics`, `/livez` and `/readyz`").range("0", "65535"),
    Setting::of_service("APPLY_HTTP_ADDR", "127.0.0.1", "the address it listens on"),
    Setting::of_service("APPLY_HTTP_HOSTS", "", "host names the port answers to, separated by commas, besides every address and `localhost`; see [page.md](page.md)"),
    Setting::of_service("APPLY_LOG_LEVEL", "INFO", "`debug`, `info`, `warning`, `error`"),
    Setting::of_service("APPLY_LEDGER", "auto", "what the service does about the position brain's ledger; the brain books a result again at each of its polls while it stands among the newest ten: `book-once` pushes a result out of these once it is booked, and logs where it is not booked within 30 s; `auto` does the same where a ledger names the plan that it booked last (`last_result_plan_id`), and says nothing of the others; `write`, for neighbours since March that leave the ledger to the executor: after a fill the venue's position is written into `quantum:position:ledger:<symbol>` and `quantum:state:positions:<symbol>` in one transaction, with `quantum:cooldown:last_exec_ts:<symbol>`; on a cluster, where these lie in different slots, the start is refused (78); `off` leaves results where they are, for reviewers of one's own"),
    Setting::of_service("APPLY_LOG_FORMAT", "text", "`text` for grep and awk, `json` for machines"),
    Setting::of_service("APPLY_REDIS_ANSWER_MS", "500", "how long one answer of Redis may take until it counts as lost and is asked for again; set at least two round trips. A plan needs five answers in a row").range("10", "10000").unit("milliseconds"),
    Setting::of_service("APPLY_REDIS_CONNECT_MS", "2000", "how long a connection to Redis may take to be made").range("10", "60000").unit("milliseconds"),
    Setting::of_service("APPLY_REDIS_SENTINEL_MS", "300", "how long one sentinel may take to name the master; all are asked side by side").range("10", "10000").unit("milliseconds"),
    Setting::of_service("APPLY_START_WAIT_SEC", "30", "how long Redis may be unreachable at start before exit code 69").range("0", "86400").unit("seconds"),
    Setting::of_service("REDIS_URL", "", "`redis://[user:password@]host:port/db`, `redis+sentinel://…`, `redis+cluster://…`, with `rediss` for TLS; wins over the three below, see [scaling.md](scaling.md)").secret().file("REDIS_URL_FILE"),
    Setting::of_service("REDIS_HOST", "localhost", "where Redis is"),
    Setting::of_service("REDIS_PORT", "6379", "its port").range("1", "65535"),
    Setting::of_service("REDIS_DB", "0", "its database").range("0", "65535"),
    Setting::of_service("BINANCE_TESTNET_URL", "https://demo-fapi.binance.com", "also `https://testnet.binancefuture.com` and loopback; nothing else"),
    Setting::of_service("BINANCE_TESTNET_API_KEY", "", "needed in `testnet`").secret().file("BINANCE_TESTNET_API_KEY_FILE"),
    Setting::of_service("BINANCE_TESTNET_API_SECRET", "", "needed in `testnet`; an HMAC secret, or an Ed25519 private key in PEM").secret().file("BINANCE_TESTNET_API_SECRET_FILE"),
    Setting::of_reviewers("REVIEW_GOVERNOR_LIMITS", "off", "`on`: the limits below hold"),
    Setting::of_reviewers("REVIEW_MAX_PER_HOUR", "3", "executions of a symbol within an hour").range("0", "1000000"),
    Setting::of_reviewers("REVIEW_MAX_PER_5MIN", "2", "executions of a symbol within 5 minutes; one more plan is a burst").range("0", "1000000"),
    Setting::of_reviewers("REVIEW_MAX_NOTIONAL_PER_DAY", "5000", "reduced within 24 hours, by symbol").range("0", "1000000000").unit("quote units"),
    Setting::of_reviewers("REVIEW_MAX_QTY_PER_DAY", "0.02", "reduced within 24 hours, by symbol").range("0", "1000000000").unit("base units"),
    Setting::of_reviewers("REVIEW_KILL_SCORE_CRITICAL", "0.8", "nothing executes from this kill score on").range("0", "1"),
    Setting::of_reviewers("REVIEW_COOLDOWN_SEC", "15", "how long a symbol gets no permit after a fill").range("0", "3600").unit("seconds"),
    Setting::of_reviewers("REVIEW_SNAPSHOT_MAX_AGE_SEC", "10", "how old a snapshot may be").range("0.1", "60").unit("seconds"),
    Setting::of_reviewers("REVIEW_SNAPSHOT_POLL_SEC", "1.5", "how often the venue is asked").range("0.05", "60").unit("seconds"),
    Setting::of_reviewers("REVIEW_METRICS_PORT", "8044", "`/metrics` of the reviewers; `0` takes a free port").range("0", "65535").shown("`8044` governor and chain, `8045` p33"),
];

/// Every name that this program reads: settings, their files, and what others set.
pub fn names() -> impl Iterator<Item = &'static str> {
    let ours = SETTINGS
        .iter()
        .flat_map(|setting| [Some(setting.name), setting.file]);
    ours.flatten().chain(OF_OTHERS)
}

/// The table of these settings in Markdown, as `docs/configuration.md` and `docs/reviewers.md` have it.
pub fn table(reader: Reader) -> String {
    let mut table = "| variable | default | meaning |\n|---|---|---|\n".to_owned();
    for setting in SETTINGS.iter().filter(|setting| setting.reader == reader) {
        table += &format!(
            "| `{}` | {} | {} |\n",
            setting.name,
            setting.default_shown(),
            setting.explained()
        );
    }
    let files = SETTINGS.iter().filter(|setting| setting.reader == reader);
    let files: Vec<String> = files
        .filter_map(|setting| Some(format!("`{}`", setting.file?)))
        .collect();
    if !files.is_empty() {
        table += &format!(
            "| {} | – | a file with the value instead, as systemd's `LoadCredential=` gives one; not readable by everybody |\n",
            files.join(", ")
        );
    }
    table
}

/// The settings of the service as `--help` lists them.
pub fn help() -> String {
    let mut help = "Settings, from the environment (docs/configuration.md):\n".to_owned();
    for setting in SETTINGS {
        let default = match setting.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        let meaning = setting.explained().replace('`', "");
        // Links lead nowhere in a terminal.
        let meaning = meaning.split(", see [").next().unwrap_or_default();
        let meaning = meaning.split("; see [").next().unwrap_or_default();
        help += &format!("  {}{default}\n          {meaning}\n", setting.name);
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults;

    fn document(file: &str) -> String {
        std::fs::read_to_string(format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_documents_have_these_tables() {
        for (file, reader) in [
            ("docs/configuration.md", Reader::Service),
            ("docs/reviewers.md", Reader::Reviewers),
        ] {
            let table = table(reader);
            assert!(
                document(file).contains(&table),
                "the table in {file} has to be:\n{table}"
            );
        }
    }

    /// Secrets have a file of their own, and one default depends on the machine.
    #[test]
    fn the_environment_file_names_every_setting_with_its_default() {
        let file = document("deploy/apply-layer.env");
        let service = SETTINGS.iter().filter(|s| s.reader == Reader::Service);
        for setting in service.filter(|setting| !setting.secret) {
            let line = match setting.name {
                "APPLY_STATE_DIR" => "APPLY_STATE_DIR=/var/lib/apply-layer".to_owned(),
                // Stated through the state directory and REDIS_URL.
                "APPLY_KILL_SWITCH_FILE" | "REDIS_HOST" | "REDIS_PORT" | "REDIS_DB" => continue,
                name => format!("{name}={}", setting.default),
            };
            assert!(
                file.lines().any(|l| l == line),
                "deploy/apply-layer.env lacks {line}"
            );
        }
        let names: Vec<&str> = names().collect();
        let lines = file
            .lines()
            .filter_map(|line| line.trim_start_matches('#').split_once('='));
        for (name, _) in lines.filter(|(name, _)| !name.contains([' ', '.'])) {
            assert!(names.contains(&name), "{name} is no setting");
        }
    }

    #[test]
    fn the_defaults_of_the_contract_are_these() {
        let default = |name: &str| Setting::find(name).unwrap().default;
        let number = |name: &str| default(name).parse::<f64>().unwrap();
        assert_eq!(
            number("APPLY_DEDUPE_TTL_SEC"),
            defaults::DEDUPE_TTL.as_secs_f64()
        );
        assert_eq!(
            number("APPLY_PERMIT_WAIT_MS"),
            defaults::PERMIT_WAIT.as_secs_f64() * 1000.0
        );
        assert_eq!(
            number("APPLY_PERMIT_STEP_MS"),
            defaults::PERMIT_STEP.as_secs_f64() * 1000.0
        );
        assert_eq!(number("K_BLOCK_CRITICAL"), defaults::BLOCK_CRITICAL);
        assert_eq!(number("K_BLOCK_WARNING"), defaults::BLOCK_WARNING);
        assert_eq!(default("APPLY_PERMITS"), defaults::PERMITS);
        assert_eq!(default("SYMBOLS"), defaults::SYMBOLS);
        assert_eq!(default("APPLY_ALLOWLIST"), defaults::ALLOWLIST);
        assert_eq!(
            number("APPLY_METRICS_PORT"),
            f64::from(defaults::METRICS_PORT)
        );
    }

    #[test]
    fn every_setting_stands_once_and_its_default_lies_within_its_bounds() {
        for (i, setting) in SETTINGS.iter().enumerate() {
            assert!(
                SETTINGS[..i].iter().all(|s| s.name != setting.name),
                "{}",
                setting.name
            );
            assert!(!setting.meaning.is_empty(), "{}", setting.name);
            let Some((least, most)) = setting.range else {
                continue;
            };
            let number = |text: &str| text.parse::<f64>().unwrap();
            let within = number(least)..=number(most);
            let default = setting.default;
            assert!(
                ["", "off"].contains(&default) || within.contains(&number(default)),
                "{}",
                setting.name
            );
        }
    }
}
