//! The one place that reads the environment. Everything that is wrong is reported at once, each
//! mistake with its key, its value and the fix.

mod misread;
mod review;
mod state;

pub(crate) use state::halting;

use apply_core::{GateSettings, Mode, StopLimits, Symbol};
use apply_ops::review::ReviewConfig;
use apply_service::{
    Failure, Ledger,
    config::{Config, LogFormat, NoShard, RedisTimes, RedisUrl, Shard},
};
use apply_wire::{
    kill_switch,
    setting::{SETTINGS, Setting, names},
};
use exchange_client::{Credentials, CredentialsError, Host};
use permit_gate::WaitPolicy;
use permit_redis::{PermitKeys, RedisConfig};
use permit_signature::{KeyRing, SignedRule};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    os::unix::fs::PermissionsExt,
    str::FromStr,
    sync::Arc,
    time::Duration,
};
use strsim::levenshtein;

/// What the operator wants of every part of the program, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the service reads; the reviewers and the operator's commands read some of it as well.
    pub(crate) service: Config,
    /// What only the reviewers read.
    pub(crate) review: ReviewConfig,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistakes(Vec<Mistake>);

#[derive(Debug, PartialEq, Eq)]
struct Mistake {
    key: &'static str,
    value: String,
    fix: String,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "{count} {noun} in the configuration")?;
        for Mistake { key, value, fix } in &self.0 {
            let (value, fix) = (without_secrets(value), without_secrets(fix));
            write!(f, "\n  {key}={value}\n      {fix}")?;
        }
        Ok(())
    }
}

impl Mistakes {
    /// How the program ends for them.
    pub(crate) fn into_failure(self) -> Failure {
        let fixes = self.0.iter().map(|Mistake { key, fix, .. }| {
            let fix = without_secrets(fix);
            format!("{key}: {fix}")
        });
        let fixes = fixes.collect::<Vec<_>>().join("; ");
        Failure::configuration(self.to_string()).fix_within(fixes)
    }
}

/// What may be repeated of a value: a secret that was set in the wrong variable looks like one.
fn without_secrets(text: &str) -> String {
    // Others cut what they repeat, so that no more than this may be left of it.
    const SHORTEST_SECRET: usize = 20;
    let parts = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    parts
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            match word.len() < SHORTEST_SECRET {
                true => part.to_owned(),
                false => format!("(hidden){}", &part[word.len()..]),
            }
        })
        .collect()
}

impl Settings {
    /// Reads the process's environment.
    pub(crate) fn from_environment() -> Result<Self, Mistakes> {
        Self::from_process(true)
    }

    /// The same for a command that does not speak with the venue: its keys are neither needed nor
    /// looked at, so that an operator who may not read them can still look.
    pub(crate) fn without_venue_keys() -> Result<Self, Mistakes> {
        Self::from_process(false)
    }

    fn from_process(keys_wanted: bool) -> Result<Self, Mistakes> {
        let (vars, unreadable) = variables(keys_wanted, |_| true);
        joined(unreadable, Self::resolve_for(&vars, keys_wanted))
    }

    #[cfg(test)]
    fn resolve(vars: &BTreeMap<String, String>) -> Result<Self, Mistakes> {
        Self::resolve_for(vars, true)
    }

    fn resolve_for(vars: &BTreeMap<String, String>, keys_wanted: bool) -> Result<Self, Mistakes> {
        let mut read = Reader {
            vars,
            keys_wanted,
            mistakes: Vec::new(),
            met: HashSet::new(),
        };
        let mode = read.mode();
        let signing = read.signing();
        let permits = read.permits();
        let service = Config {
            mode,
            symbols: read.symbols("SYMBOLS"),
            shard: read.shard(),
            gates: read.gates(),
            stops: read.stops(),
            proposal_max_age: read.proposal_max_age(),
            wait: WaitPolicy {
                wait: read.millis("APPLY_PERMIT_WAIT_MS"),
                step: read.millis("APPLY_PERMIT_STEP_MS"),
                ..WaitPolicy::default()
            },
            poll: read.seconds("APPLY_POLL_SEC"),
            settle: read.fine_millis("APPLY_SETTLE_MS"),
            dedupe_ttl: read.seconds("APPLY_DEDUPE_TTL_SEC"),
            max_in_flight: read.max_in_flight(),
            kill_switch: read.kill_switch(),
            http: read.http(),
            http_hosts: read.http_hosts(),
            log_level: read.log_level(),
            ledger: read.ledger(),
            log_format: read.log_format(),
            redis: read.redis(),
            redis_times: RedisTimes {
                answer: read.millis("APPLY_REDIS_ANSWER_MS"),
                connect: read.millis("APPLY_REDIS_CONNECT_MS"),
                sentinel: read.millis("APPLY_REDIS_SENTINEL_MS"),
            },
            permits: match &signing {
                Some(ring) => signed(permits, ring),
                None => permits,
            },
            signing,
            venue: read.venue(),
            credentials: read.credentials(mode),
            start_wait: read.seconds("APPLY_START_WAIT_SEC"),
            state: read.state(),
            commit: env!("APPLY_COMMIT"),
            remarks: remarks(vars),
        };
        if service.symbols.is_empty() {
            read.wrong(
                "SYMBOLS",
                "name at least one symbol to watch, as in BTCUSDT,ETHUSDT",
            );
        } else if service.followed().is_empty() {
            read.wrong(
                "APPLY_SHARD",
                "none of SYMBOLS is in this shard: name more of them, or make fewer shards",
            );
        }
        let review = read.review();
        read.done(Self { service, review })
    }
}

/// What was read, or every mistake; of a variable whose value cannot be relied on nothing more is said.
fn joined<T>(unreadable: Vec<Mistake>, read: Result<T, Mistakes>) -> Result<T, Mistakes> {
    let others = match read {
        Ok(read) if unreadable.is_empty() => return Ok(read),
        Ok(_) => Vec::new(),
        Err(Mistakes(others)) => others,
    };
    let known: Vec<&str> = unreadable.iter().map(|mistake| mistake.key).collect();
    let more = others.into_iter().filter(|m| !known.contains(&m.key));
    let more: Vec<Mistake> = more.collect();
    Err(Mistakes(unreadable.into_iter().chain(more).collect()))
}

/// The environment, and what in it cannot be relied on: values of the `wanted` variables that another reader of the
/// same file would read differently, and files named for secrets that cannot be read.
fn variables(
    keys_wanted: bool,
    wanted: impl Fn(&str) -> bool,
) -> (BTreeMap<String, String>, Vec<Mistake>) {
    // Variables that are not UTF-8 cannot be ours; those of ours that are not become unreadable
    // text, which is refused when it is read.
    let mut vars: BTreeMap<String, String> = std::env::vars_os()
        .map(|(k, v)| {
            (
                k.to_string_lossy().into_owned(),
                v.to_string_lossy().into_owned(),
            )
        })
        .collect();
    if !keys_wanted {
        vars.retain(|key, _| !key.starts_with("BINANCE_TESTNET_API_"));
    }
    let mut unreliable = misread::misread(&vars, wanted);
    unreliable.extend(read_secret_files(&mut vars));
    (vars, unreliable)
}

/// Puts the content of each named file in the place of its variable. A file that cannot be read, or
/// that everybody can, is a mistake. So secrets need not be in the environment: systemd's `LoadCredential=`
/// lays such a file out.
fn read_secret_files(vars: &mut BTreeMap<String, String>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let in_files = SETTINGS.iter();
    let in_files = in_files.filter_map(|setting| Some((setting.name, setting.file?)));
    for (variable, file_variable) in in_files {
        let Some(path) = vars
            .get(file_variable)
            .filter(|path| !path.is_empty())
            .cloned()
        else {
            continue;
        };
        match read_secret(&path) {
            // An empty file is no value: the unit lays one where an operator has laid none.
            Ok(secret) if secret.is_empty() => drop(vars.remove(variable)),
            Ok(secret) => drop(vars.insert(variable.to_owned(), secret)),
            Err(fix) => mistakes.push(Mistake {
                key: file_variable,
                value: path,
                fix,
            }),
        }
    }
    mistakes
}

fn read_secret(path: &str) -> Result<String, String> {
    let wrong = |error: std::io::Error| {
        format!("cannot read the file: {error}; correct the path or its owner")
    };
    let mode = std::fs::metadata(path).map_err(wrong)?.permissions().mode();
    if mode & 0o004 != 0 {
        return Err(format!(
            "everybody on this machine can read the file; run chmod 600 {path}"
        ));
    }
    let text = std::fs::read_to_string(path).map_err(wrong)?;
    Ok(text.trim().to_owned())
}

/// What is known of a setting.
fn setting(key: &str) -> &'static Setting {
    Setting::find(key).unwrap_or_else(|| unreachable!("{key} is in the table of settings"))
}

/// A default or a bound.
fn of_the_table<T: FromStr>(key: &str, text: &str) -> T {
    let read = text.parse().ok();
    read.unwrap_or_else(|| unreachable!("{key} of the table of settings is a number: {text}"))
}

/// Reads one variable after the other and remembers what was wrong. A default is used in place of
/// what cannot be read only so that reading can go on; with one mistake there is no configuration.
struct Reader<'a> {
    vars: &'a BTreeMap<String, String>,
    /// Whether the venue's keys are looked at.
    keys_wanted: bool,
    mistakes: Vec<Mistake>,
    /// Every symbol that was read: one that stands in two lists is one in memory.
    met: HashSet<Symbol>,
}

impl Reader<'_> {
    /// The variable's text without blanks around it; an empty one is as good as none.
    fn text(&self, key: &str) -> Option<&str> {
        debug_assert!(names().any(|known| known == key), "{key} is not known");
        let text = self.vars.get(key)?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The same, or the default.
    fn text_or_default(&self, key: &'static str) -> &str {
        self.text(key).unwrap_or(setting(key).default)
    }

    fn done<T>(self, config: T) -> Result<T, Mistakes> {
        match self.mistakes {
            mistakes if mistakes.is_empty() => Ok(config),
            mistakes => Err(Mistakes(mistakes)),
        }
    }

    fn wrong(&mut self, key: &'static str, fix: impl Into<String>) {
        let secret = Setting::find(key).is_some_and(|setting| setting.secret);
        let value = match self.vars.get(key) {
            None => "(not set)".into(),
            Some(_) if secret => "(hidden)".into(),
            // Before it is cut: a part of a secret no longer looks like one.
            Some(value) => without_secrets(value).chars().take(80).collect(),
        };
        self.mistakes.push(Mistake {
            key,
            value,
            fix: fix.into(),
        });
    }

    /// One of several words.
    fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> T {
        let read = |text: &str| {
            let found = |(word, _): &&(&str, T)| word.eq_ignore_ascii_case(text);
            words.iter().find(found).map(|(_, value)| *value)
        };
        let default = read(setting(key).default)
            .unwrap_or_else(|| unreachable!("the default of {key} is one of its words"));
        match read(self.text_or_default(key)) {
            Some(value) => value,
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.wrong(key, format!("use one of: {}", known.join(", ")));
                default
            }
        }
    }

    /// A number within the bounds of its setting, or its default.
    fn number<T: FromStr + PartialOrd + fmt::Display + Copy>(&mut self, key: &'static str) -> T {
        let default = setting(key).default;
        let set = self.number_if_set(key);
        set.unwrap_or_else(|| of_the_table(key, default))
    }

    /// The same where it is set; one that cannot be read is a mistake, and `None`.
    fn number_if_set<T: FromStr + PartialOrd + fmt::Display + Copy>(
        &mut self,
        key: &'static str,
    ) -> Option<T> {
        let Setting {
            default,
            range,
            unit,
            ..
        } = setting(key);
        let (low, high): (T, T) = range
            .map(|(least, most)| (of_the_table(key, least), of_the_table(key, most)))
            .unwrap_or_else(|| unreachable!("{key} has bounds"));
        match self.text(key)?.parse::<T>() {
            Ok(value) if (low..=high).contains(&value) => Some(value),
            _ => {
                let unit = match *unit {
                    "" => String::new(),
                    unit => format!(" ({unit})"),
                };
                let default = match *default {
                    "" => "it need not be set".to_owned(),
                    default => format!("the default is {}", of_the_table::<T>(key, default)),
                };
                self.wrong(
                    key,
                    format!("use a number from {low} to {high}{unit}; {default}"),
                );
                None
            }
        }
    }

    fn millis(&mut self, key: &'static str) -> Duration {
        Duration::from_millis(self.number(key))
    }

    /// Milliseconds with a fraction.
    fn fine_millis(&mut self, key: &'static str) -> Duration {
        Duration::from_secs_f64(self.number(key)) / 1000
    }

    fn seconds(&mut self, key: &'static str) -> Duration {
        Duration::from_secs_f64(self.number(key))
    }

    fn mode(&mut self) -> Mode {
        self.word(
            "APPLY_MODE",
            &[Mode::DryRun, Mode::Testnet].map(|mode| (mode.as_str(), mode)),
        )
    }

    fn symbols(&mut self, key: &'static str) -> Vec<Symbol> {
        // Set but empty is an answer: no symbols.
        let text = self
            .vars
            .get(key)
            .map_or(setting(key).default, |text| text.trim())
            .to_owned();
        let (mut symbols, mut known) = (Vec::new(), HashSet::new());
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            match part.parse() {
                Ok(symbol) if known.contains(&symbol) => {}
                Ok(symbol) => {
                    let symbol = self.met.get(&symbol).cloned().unwrap_or(symbol);
                    self.met.insert(symbol.clone());
                    known.insert(symbol.clone());
                    symbols.push(symbol);
                }
                Err(error) => self.wrong(key, error.to_string()),
            }
        }
        symbols.shrink_to_fit();
        symbols
    }

    fn shard(&mut self) -> Shard {
        let text = self.text_or_default("APPLY_SHARD").to_owned();
        text.parse().unwrap_or_else(|error: NoShard| {
            self.wrong("APPLY_SHARD", error.to_string());
            Shard::WHOLE
        })
    }

    fn gates(&mut self) -> GateSettings {
        let critical = self.number("K_BLOCK_CRITICAL");
        let warning = self.number("K_BLOCK_WARNING");
        if warning > critical {
            self.wrong(
                "K_BLOCK_WARNING",
                format!("the warning must not lie above K_BLOCK_CRITICAL ({critical})"),
            );
        }
        GateSettings {
            allowlist: self
                .symbols("APPLY_ALLOWLIST")
                .into_iter()
                .collect::<BTreeSet<_>>(),
            critical,
            warning,
            close: self.number_if_set("K_CLOSE_THRESHOLD"),
            stops: self.word("APPLY_STOPS", &[("on", true), ("off", false)]),
        }
    }

    fn stops(&mut self) -> StopLimits {
        StopLimits {
            max_distance_pct: self.number("APPLY_STOP_MAX_DISTANCE_PCT"),
        }
    }

    fn proposal_max_age(&mut self) -> Option<Duration> {
        let key = "APPLY_PROPOSAL_MAX_AGE_SEC";
        let text = self.text_or_default(key);
        if text.eq_ignore_ascii_case("off") {
            return None;
        }
        let (least, most) = setting(key).range.unwrap_or_default();
        let bounds = of_the_table(key, least)..=of_the_table::<u32>(key, most);
        match text.parse() {
            Ok(seconds) if bounds.contains(&seconds) => Some(Duration::from_secs(seconds.into())),
            _ => {
                let fix = format!(
                    "use off, which is the default, or whole seconds from {least} to {most}"
                );
                self.wrong(key, fix);
                None
            }
        }
    }

    fn max_in_flight(&mut self) -> NonZeroUsize {
        let limit = self.number("APPLY_MAX_IN_FLIGHT");
        NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN)
    }

    fn kill_switch(&mut self) -> bool {
        let off = kill_switch::OFF_WORDS.map(|word| (word, false));
        let on = kill_switch::ON_WORDS.map(|word| (word, true));
        self.word("APPLY_KILL_SWITCH", &[off, on].concat())
    }

    fn http(&mut self) -> SocketAddr {
        let ip = self.text_or_default("APPLY_HTTP_ADDR").parse();
        if ip.is_err() {
            self.wrong(
                "APPLY_HTTP_ADDR",
                "use an IP address to listen on; 127.0.0.1 is reachable from this machine only",
            );
        }
        let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        SocketAddr::new(ip, self.number("APPLY_METRICS_PORT"))
    }

    fn http_hosts(&mut self) -> Vec<String> {
        let text = self.text("APPLY_HTTP_HOSTS").unwrap_or_default();
        let names: Vec<String> = text
            .split(',')
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        let is_name = |name: &String| {
            let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !name.is_empty() && name.chars().all(letter)
        };
        match text.is_empty() || names.iter().all(is_name) {
            true => names.into_iter().filter(is_name).collect(),
            false => {
                let fix = "use names parted by commas, without scheme and port, as in desk.example,proxy.example";
                self.wrong("APPLY_HTTP_HOSTS", fix);
                Vec::new()
            }
        }
    }

    fn log_level(&mut self) -> tracing::Level {
        use tracing::Level;
        let words = [
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("warning", Level::WARN),
            ("warn", Level::WARN),
            ("error", Level::ERROR),
        ];
        self.word("APPLY_LOG_LEVEL", &words)
    }

    fn ledger(&mut self) -> Ledger {
        let words = [Ledger::Auto, Ledger::BookOnce, Ledger::Write, Ledger::Off];
        let ledger = self.word(
            "APPLY_LEDGER",
            &words.map(|ledger| (ledger.as_str(), ledger)),
        );
        let url = self.text("REDIS_URL").map(RedisConfig::new);
        let is_cluster = url.is_some_and(|url| url.is_ok_and(|url| url.is_cluster()));
        if let Some(why) = ledger.refusal(is_cluster) {
            let fix = format!("{why}: use book-once or off, or a Redis that is no cluster");
            self.wrong("APPLY_LEDGER", fix);
        }
        ledger
    }

    fn log_format(&mut self) -> LogFormat {
        self.word(
            "APPLY_LOG_FORMAT",
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        )
    }

    fn redis(&mut self) -> RedisUrl {
        if let Some(url) = self.text("REDIS_URL").map(str::to_owned) {
            // The error repeats nothing of it.
            if let Err(error) = RedisConfig::new(&url) {
                self.wrong("REDIS_URL", error.to_string());
            }
            return RedisUrl::new(url);
        }
        let host = self.text_or_default("REDIS_HOST").to_owned();
        if !host.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
        }) {
            self.wrong(
                "REDIS_HOST",
                "use a host name or an IP address; put anything else into REDIS_URL",
            );
        }
        let port: u16 = self.number("REDIS_PORT");
        let db: u32 = self.number("REDIS_DB");
        RedisUrl::new(format!("redis://{host}:{port}/{db}"))
    }

    fn permits(&mut self) -> PermitKeys {
        let text = self.text_or_default("APPLY_PERMITS").to_owned();
        PermitKeys::parse(&text).unwrap_or_else(|error| {
            self.wrong("APPLY_PERMITS", error.to_string());
            PermitKeys::default()
        })
    }

    fn signing(&mut self) -> Option<KeyRing> {
        let ring = KeyRing::parse(self.text("APPLY_PERMIT_KEYS")?);
        ring.map_err(|error| self.wrong("APPLY_PERMIT_KEYS", error.to_string()))
            .ok()
    }

    fn venue(&mut self) -> Host {
        let host = self.text_or_default("BINANCE_TESTNET_URL").parse::<Host>();
        host.unwrap_or_else(|error| {
            self.wrong("BINANCE_TESTNET_URL", error.to_string());
            Host::default()
        })
    }

    fn credentials(&mut self, mode: Mode) -> Option<Credentials> {
        if !self.keys_wanted {
            return None;
        }
        let (key, secret) = ("BINANCE_TESTNET_API_KEY", "BINANCE_TESTNET_API_SECRET");
        let pair = (
            self.text(key).map(str::to_owned),
            self.text(secret).map(str::to_owned),
        );
        let fix = "APPLY_MODE=testnet places orders and needs a testnet key: set it, or name a file with it in the variable of the same name with _FILE, as the unit does for the service; or use APPLY_MODE=dry_run";
        match pair {
            (Some(api_key), Some(api_secret)) => match sign_with(&api_key, &api_secret) {
                Ok(credentials) => Some(credentials),
                Err(error) => {
                    let whose = match error {
                        CredentialsError::ApiKey => key,
                        _ => secret,
                    };
                    self.wrong(whose, error.to_string());
                    None
                }
            },
            (api_key, api_secret) if mode == Mode::Testnet => {
                if api_key.is_none() {
                    self.wrong(key, fix);
                }
                if api_secret.is_none() {
                    self.wrong(secret, fix);
                }
                None
            }
            _ => None,
        }
    }
}

/// The permits, each under the keys of its issuer.
fn signed(permits: PermitKeys, ring: &KeyRing) -> PermitKeys {
    permits.map_rules(|name, rule| Arc::new(SignedRule::new(name, ring, rule)))
}

/// A secret in PEM is an Ed25519 key; anything else is an HMAC secret.
fn sign_with(api_key: &str, secret: &str) -> Result<Credentials, CredentialsError> {
    match secret.starts_with("-----BEGIN") {
        true => Credentials::ed25519(api_key, secret),
        false => Credentials::hmac(api_key, secret),
    }
}

/// How names of settings begin. A variable that begins so and is none of ours is reported.
const FAMILIES: [&str; 7] = [
    "APPLY_", "REVIEW_", "K_", "SYMBOL", "BINANCE_", "REDIS_", "QUANTUM_",
];

/// From this many slips on, a name in a family is another name.
const SLIPS: usize = 4;

/// The same for a name that is in no family: it may be anybody's.
const SLIPS_OF_A_STRANGER: usize = 2;

/// The variables that look as if they were meant for this program and are not known.
fn remarks(vars: &BTreeMap<String, String>) -> Vec<String> {
    vars.keys().filter_map(|key| remark(key)).collect()
}

fn remark(key: &str) -> Option<String> {
    if names().any(|known| known == key) {
        return None;
    }
    let upper = key.to_ascii_uppercase();
    let ours = SETTINGS
        .iter()
        .flat_map(|setting| [Some(setting.name), setting.file])
        .flatten();
    let nearest = ours
        .map(|known| (levenshtein(&upper, known), known))
        .min_by_key(|(slips, _)| *slips);
    let in_family = FAMILIES.iter().any(|family| upper.starts_with(family));
    let most = match in_family {
        true => SLIPS,
        false => SLIPS_OF_A_STRANGER,
    };
    let is_none = format!("{key} is no variable of this program and is ignored");
    match nearest {
        Some((slips, known)) if slips <= most => Some(format!("{is_none}; is {known} meant?")),
        _ => in_family.then_some(is_none),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(vars: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let vars = vars
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Settings::resolve(&vars).map(|settings| settings.service)
    }

    #[test]
    fn a_secret_in_the_wrong_variable_is_not_repeated() {
        let secret: String = "0123456789abcdef".repeat(4);
        let keys = format!("governor:{secret}=main");
        let listed = format!("BTCUSDT,{},{secret}", "x".repeat(50));
        let mut count = 0;
        for key in names() {
            for value in [&secret, &keys, &listed] {
                let Err(mistakes) = resolve(&[(key, value)]) else {
                    continue;
                };
                let text = mistakes.to_string();
                let part = |n: usize| &secret[n..n + 12];
                assert!(!(0..16).any(|n| text.contains(part(n))), "{text}");
                count += usize::from(text.contains(key));
            }
        }
        assert!(count > 50, "{count}");
    }

    #[test]
    fn an_empty_environment_is_the_contracts_defaults() {
        let config = resolve(&[]).unwrap();
        assert_eq!(config.mode, Mode::DryRun);
        assert_eq!(config.symbols.len(), 3);
        assert_eq!(config.gates.allowlist.len(), 1);
        assert_eq!((config.gates.critical, config.gates.warning), (0.80, 0.60));
        assert_eq!((config.gates.close, config.gates.stops), (None, false));
        assert_eq!(
            (config.wait.wait.as_millis(), config.wait.step.as_millis()),
            (1200, 100)
        );
        assert_eq!(
            (config.poll.as_secs(), config.dedupe_ttl.as_secs()),
            (5, 21_600)
        );
        assert_eq!(config.settle.as_micros(), 500);
        assert_eq!(config.max_in_flight.get(), 10_000);
        assert_eq!(config.http.to_string(), "127.0.0.1:8043");
        assert_eq!(config.redis.reveal(), "redis://localhost:6379/0");
        assert_eq!(config.venue, Host::default());
        assert_eq!(config.stops, StopLimits::default());
        assert!(!config.kill_switch && config.remarks.is_empty());
        // What a program that embeds the service begins with is the same.
        let embedded = Config {
            commit: config.commit,
            ..Config::new(
                config.redis.clone(),
                config.symbols.clone(),
                config.state.directory.clone(),
            )
        };
        assert_eq!(format!("{config:?}"), format!("{embedded:?}"));
    }

    /// One that stands in the table alone would be documented and do nothing.
    #[test]
    fn every_setting_of_the_table_is_read() {
        let readers = [
            include_str!("config.rs"),
            include_str!("config/review.rs"),
            include_str!("config/state.rs"),
        ];
        let code = readers.map(|file| file.split("mod tests").next().unwrap_or_default());
        for setting in SETTINGS {
            let name = setting.name;
            let named = code
                .iter()
                .any(|file| file.contains(&format!("\"{name}\"")));
            assert!(named, "nothing reads {name}");
            if setting.range.is_some() {
                let mistakes = resolve(&[(name, "not a number")]);
                let text = mistakes.map_or_else(|mistakes| mistakes.to_string(), |_| String::new());
                assert!(text.contains(name), "{name} takes any text: {text}");
            }
        }
    }

    #[test]
    fn positions_are_written_on_no_cluster() {
        let on = |url, ledger| resolve(&[("REDIS_URL", url), ("APPLY_LEDGER", ledger)]);
        let cluster = "redis+cluster://127.0.0.1:1,127.0.0.1:2";
        let text = on(cluster, "write").unwrap_err().to_string();
        assert!(
            text.contains("APPLY_LEDGER=write") && text.contains("use book-once or off"),
            "{text}"
        );
        assert!(on(cluster, "book-once").is_ok());
        assert!(on("redis://127.0.0.1:1", "write").is_ok());
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_its_fix() {
        let mistakes = resolve(&[
            ("APPLY_MODE", "live"),
            ("SYMBOLS", "btcusdt"),
            ("APPLY_PERMIT_WAIT_MS", "-5"),
            ("APPLY_PERMIT_STEP_MS", "0"),
            ("APPLY_POLL_SEC", "nan"),
            ("APPLY_SETTLE_MS", "-1"),
            ("APPLY_MAX_IN_FLIGHT", "0"),
            ("APPLY_STOP_MAX_DISTANCE_PCT", "0"),
            ("APPLY_PROPOSAL_MAX_AGE_SEC", "0"),
            ("K_BLOCK_CRITICAL", "0.5"),
            ("K_BLOCK_WARNING", "0.9"),
            ("K_CLOSE_THRESHOLD", "1.5"),
            ("APPLY_STOPS", "maybe"),
            ("APPLY_KILL_SWITCH", "maybe"),
            ("APPLY_METRICS_PORT", "99999"),
            ("APPLY_LOG_FORMAT", "xml"),
            ("REDIS_PORT", "x"),
            ("REDIS_HOST", "a/b@c"),
            ("APPLY_PERMITS", "governor,governor"),
            ("BINANCE_TESTNET_URL", "https://fapi.binance.com"),
        ])
        .unwrap_err();
        let text = mistakes.to_string();
        for key in [
            "APPLY_MODE",
            "SYMBOLS",
            "APPLY_PERMIT_WAIT_MS",
            "APPLY_PERMIT_STEP_MS",
            "APPLY_POLL_SEC",
            "APPLY_SETTLE_MS",
            "APPLY_MAX_IN_FLIGHT",
            "APPLY_STOP_MAX_DISTANCE_PCT",
            "APPLY_PROPOSAL_MAX_AGE_SEC",
            "K_BLOCK_WARNING",
            "K_CLOSE_THRESHOLD",
            "APPLY_STOPS",
            "APPLY_KILL_SWITCH",
            "APPLY_METRICS_PORT",
            "APPLY_LOG_FORMAT",
            "REDIS_PORT",
            "REDIS_HOST",
            "APPLY_PERMITS",
            "BINANCE_TESTNET_URL",
        ] {
            assert!(text.contains(&format!("\n  {key}=")), "{key} in {text}");
        }
        assert!(
            text.contains("APPLY_MODE=live\n      use one of: dry_run, testnet"),
            "{text}"
        );
    }

    #[test]
    fn testnet_without_credentials_is_a_mistake_and_dry_run_is_not() {
        let text = resolve(&[("APPLY_MODE", "testnet"), ("BINANCE_TESTNET_API_KEY", "k")])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("BINANCE_TESTNET_API_SECRET=(not set)") && !text.contains("API_KEY="),
            "{text}"
        );
        assert!(
            resolve(&[("APPLY_MODE", "dry_run")])
                .unwrap()
                .credentials
                .is_none()
        );
    }

    #[test]
    fn no_secret_is_printed_by_a_mistake_or_by_debug() {
        let vars = [
            ("REDIS_URL", "redis://me:hunter2@127.0.0.1:6379/0?x=hunter2"),
            ("BINANCE_TESTNET_API_KEY", "hunter2key"),
            ("BINANCE_TESTNET_API_SECRET", "hunter2secret"),
        ];
        let config = resolve(&vars).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        assert_eq!(config.redis.to_string(), "redis://127.0.0.1:6379/0");
        let mut wrong = vars.to_vec();
        wrong[0].1 = "http://me:hunter2@x";
        wrong[2].1 = "-----BEGIN hunter2";
        let text = resolve(&wrong).unwrap_err().to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_secret_comes_from_a_file_that_only_its_owner_can_read() {
        let dir = std::env::temp_dir().join(format!("apply-layer-secret-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("secret");
        std::fs::write(&file, "hunter2\n").unwrap();
        let path = file.display().to_string();
        let read = |mode| {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            let mut vars =
                BTreeMap::from([("BINANCE_TESTNET_API_SECRET_FILE".to_owned(), path.clone())]);
            (
                read_secret_files(&mut vars),
                vars.remove("BINANCE_TESTNET_API_SECRET"),
            )
        };
        assert_eq!(read(0o600), (vec![], Some("hunter2".into())));
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(read(0o600), (vec![], None), "an empty file is no secret");
        std::fs::write(&file, "hunter2\n").unwrap();
        let (mistakes, secret) = read(0o644);
        assert!(
            mistakes[0].fix.contains("chmod 600") && secret.is_none(),
            "{mistakes:?}"
        );
        std::fs::remove_dir_all(&dir).unwrap();
        let (mistakes, _) = {
            let mut vars = BTreeMap::from([("BINANCE_TESTNET_API_SECRET_FILE".to_owned(), path)]);
            (read_secret_files(&mut vars), ())
        };
        assert!(
            mistakes[0].fix.contains("cannot read the file"),
            "{mistakes:?}"
        );
    }

    #[test]
    fn keys_of_issuers_are_read_checked_and_never_shown() {
        let secret = "0123456789abcdef".repeat(4);
        let other = "fedcba9876543210".repeat(4);
        let keys = format!("governor:gov1={secret}");
        let config = resolve(&[("APPLY_PERMIT_KEYS", &*keys)]).unwrap();
        assert_eq!(config.permits_without_key(), ["p33"]);
        assert!(config.remarks.is_empty(), "{:?}", config.remarks);
        assert!(!format!("{config:?}").contains(&secret[..12]), "{config:?}");
        let both = format!("{keys},p33:brain1={other}");
        let config = resolve(&[("APPLY_PERMIT_KEYS", &*both)]).unwrap();
        assert_eq!(config.permits_without_key(), [""; 0]);
        let shared = format!("{keys},p33:brain1={secret}");
        let text = resolve(&[("APPLY_PERMIT_KEYS", &*shared)]).unwrap_err();
        let text = text.to_string();
        assert!(text.contains("APPLY_PERMIT_KEYS=(hidden)"), "{text}");
        assert!(!text.contains(&secret[..12]), "{text}");
        assert_eq!(resolve(&[]).unwrap().permits_without_key(), [""; 0]);
    }

    #[test]
    fn a_shard_follows_its_symbols_and_an_empty_one_is_a_mistake() {
        let config = resolve(&[("APPLY_SHARD", "1/2")]).unwrap();
        let names: Vec<String> = config.followed().iter().map(Symbol::to_string).collect();
        assert_eq!(names, ["ETHUSDT"]);
        assert_eq!(config.symbols.len(), 3, "reviewers look at all of them");
        assert_eq!(config.share().as_deref(), Some("shard 1/2: 1 of 3 symbols"));
        let whole = resolve(&[]).unwrap();
        assert_eq!((whole.share(), whole.followed().len()), (None, 3));
        for (shard, fix) in [
            ("1/2", "none of SYMBOLS is in this shard"),
            ("5/4", "as in 2/4"),
            ("0/4", "as in 2/4"),
            ("x", "as in 2/4"),
        ] {
            let mistakes = resolve(&[("APPLY_SHARD", shard), ("SYMBOLS", "BTCUSDT")]).unwrap_err();
            let text = mistakes.to_string();
            assert!(text.contains(&format!("APPLY_SHARD={shard}\n")), "{text}");
            assert!(text.contains(fix), "{text}");
        }
    }

    #[test]
    fn what_another_shard_follows_is_followed() {
        let config = resolve(&[
            ("APPLY_SHARD", "1/2"),
            ("APPLY_ALLOWLIST", "BTCUSDT,ETHUSDT,XRPUSDT"),
        ]);
        let config = config.unwrap();
        let unfollowed: Vec<&str> = config
            .unfollowed()
            .into_iter()
            .map(Symbol::as_str)
            .collect();
        assert_eq!(unfollowed, ["XRPUSDT"]);
    }

    #[test]
    fn ten_thousand_symbols_are_read_and_each_is_there_once() {
        let names: Vec<String> = (0..10_000).map(|n| format!("S{n}USDT")).collect();
        let twice = [names.join(","), names.join(",")].join(",");
        let config = resolve(&[("SYMBOLS", &twice), ("APPLY_ALLOWLIST", &twice)]).unwrap();
        assert_eq!(config.symbols.len(), 10_000);
        assert!(config.unfollowed().is_empty());
    }

    #[test]
    fn a_misspelt_variable_is_named_with_the_one_that_was_meant() {
        let config = resolve(&[
            ("APPLY_ALOWLIST", "BTCUSDT"),
            ("APPLY_COLOUR_OF_THE_SKY", "blue"),
        ])
        .unwrap();
        assert!(
            config.remarks[0].contains("is APPLY_ALLOWLIST meant?"),
            "{:?}",
            config.remarks
        );
        assert!(!config.remarks[1].contains("meant"), "{:?}", config.remarks);
    }

    #[test]
    fn a_misspelt_name_is_found_in_every_family_and_with_a_misspelt_family() {
        for (misspelt, meant) in [
            ("APPLY_MOD", "APPLY_MODE"),
            ("REVIEW_MAX_PER_HOURS", "REVIEW_MAX_PER_HOUR"),
            ("K_BLOK_CRITICAL", "K_BLOCK_CRITICAL"),
            ("SYMBOL", "SYMBOLS"),
            ("BINANCE_TESTNET_API_KEYS", "BINANCE_TESTNET_API_KEY"),
            ("REDIS_URI", "REDIS_URL"),
            ("REDIS_URL_FIL", "REDIS_URL_FILE"),
            ("APLY_KILL_SWITCH", "APPLY_KILL_SWITCH"),
            ("apply_mode", "APPLY_MODE"),
            ("SIMBOLS", "SYMBOLS"),
        ] {
            let remarks = resolve(&[(misspelt, "x")]).unwrap().remarks;
            let expected = format!(
                "{misspelt} is no variable of this program and is ignored; is {meant} meant?"
            );
            assert_eq!(remarks, [expected]);
        }
        for unknown in ["REDIS_PASSWORD", "QUANTUM_ENVIRONMENT", "BINANCE_MODE"] {
            let remarks = resolve(&[(unknown, "x")]).unwrap().remarks;
            assert_eq!(
                remarks,
                [format!(
                    "{unknown} is no variable of this program and is ignored"
                )]
            );
        }
        for others in ["PATH", "LANG", "INVOCATION_ID", "TERM", "SHELL"] {
            assert_eq!(resolve(&[(others, "x")]).unwrap().remarks, [""; 0]);
        }
    }
}
