//! What the operator wants, in types. The program reads it from its environment and checks it.

mod shard;

pub use shard::{NoShard, Shard};

use crate::{ledger::Ledger, switches::SwitchesHere};
use apply_core::{GateSettings, Mode, StopLimits, Symbol};
use apply_wire::{defaults, key, kill_switch, setting::Setting};
use exchange_client::{Credentials, Host};
use permit_gate::WaitPolicy;
use permit_redis::{ConfigError, KeyTemplate, OffWords, PermitKeys, RedisConfig};
use permit_signature::KeyRing;
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fmt,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

/// What the operator wants, checked.
#[derive(Debug)]
pub struct Config {
    /// Whether orders are placed.
    pub mode: Mode,
    /// What all instances together follow; at least one.
    pub symbols: Vec<Symbol>,
    /// Which part of it is this one's.
    pub shard: Shard,
    /// What the core asks of a proposal before it becomes a plan to execute.
    pub gates: GateSettings,
    /// Where a stop may be put.
    pub stops: StopLimits,
    /// How old a proposal may be; `None` for any age.
    pub proposal_max_age: Option<Duration>,
    /// How long permits are waited for, and how often they are asked for meanwhile.
    pub wait: WaitPolicy,
    /// How often a proposal is read of which no change was heard.
    pub poll: Duration,
    /// How long nothing may have been written to a proposal before it counts as whole.
    pub settle: Duration,
    /// How long a claim keeps the same plan from being claimed again.
    pub dedupe_ttl: Duration,
    /// What is done about the position brain's ledger.
    pub ledger: Ledger,
    /// How many plans may be under way.
    pub max_in_flight: NonZeroUsize,
    /// Whether this process blocks every plan, whatever the other switches say.
    pub kill_switch: bool,
    /// Where metrics and the page are served; port 0 takes a free one.
    pub http: SocketAddr,
    /// The names under which the page is asked for, besides addresses and `localhost`.
    pub http_hosts: Vec<String>,
    /// Below it nothing is logged.
    pub log_level: tracing::Level,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where proposals, plans, permits and results are.
    pub redis: RedisUrl,
    /// How patient to be with it.
    pub redis_times: RedisTimes,
    /// Which permits a plan needs, under which keys.
    pub permits: PermitKeys,
    /// There where permits have to be signed.
    pub signing: Option<KeyRing>,
    /// Which venue; only testnet hosts and loopback addresses are hosts.
    pub venue: Host,
    /// There in [`Mode::Testnet`].
    pub credentials: Option<Credentials>,
    /// How long to wait for what is needed before giving up at start.
    pub start_wait: Duration,
    /// What this machine keeps.
    pub state: StateConfig,
    /// The commit that the program was built from, as the metrics show it.
    pub commit: &'static str,
    /// What is not wrong but looks unintended; logged at start.
    pub remarks: Vec<String>,
}

/// How long Redis and those who name its master may take.
#[derive(Debug, Clone, Copy)]
pub struct RedisTimes {
    /// For one answer.
    pub answer: Duration,
    /// For a connection to be made.
    pub connect: Duration,
    /// For one sentinel to name the master.
    pub sentinel: Duration,
}

/// Where things are kept, and how strictly.
#[derive(Debug, Clone)]
pub struct StateConfig {
    /// Of the journal; an absolute path.
    pub directory: PathBuf,
    /// Halts by being there.
    pub halt_file: PathBuf,
    /// How long after its last sign of life an instance counts as gone.
    pub lease: Duration,
    /// Whether a server that could forget is refused.
    pub strict: bool,
    /// Where the service manager wants to hear from us; a leading `@` is a name without a file.
    pub notify: Option<String>,
    /// How often it wants to hear.
    pub watchdog: Option<Duration>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people, `grep` and `awk`.
    Text,
    /// One JSON object a line.
    Json,
}

/// A Redis URL, which may carry a password and therefore prints without it.
#[derive(Clone)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// This URL; whether it is one is found out by who connects.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with everything in it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("redis", ""));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let host = host.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{scheme}://{host}")
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The file in the state directory that halts, where no other is named.
pub const HALT_FILE: &str = "HALT";

/// The default of a setting; the test of the binary's configuration reads each.
fn default_of<T: FromStr>(name: &str) -> T {
    let setting = Setting::find(name).unwrap_or_else(|| unreachable!("no setting {name}"));
    read(setting.default)
}

fn read<T: FromStr>(text: &str) -> T {
    let read = text.parse().ok();
    read.unwrap_or_else(|| unreachable!("the default {text} cannot be read"))
}

/// How long a receipt is kept at least.
const RECEIPT_AT_LEAST: Duration = defaults::DEDUPE_TTL;

impl Config {
    /// A dry run of these symbols, at least one, on this Redis, with its journal in this directory (an absolute path):
    /// every other setting has the default of the table of settings, [`apply_wire::setting`].
    pub fn new(
        redis: RedisUrl,
        symbols: impl IntoIterator<Item = Symbol>,
        directory: impl Into<PathBuf>,
    ) -> Self {
        let directory = directory.into();
        let seconds = |name| Duration::from_secs_f64(default_of(name));
        let millis = |name| seconds(name) / 1000;
        Self {
            mode: Mode::DryRun,
            symbols: symbols.into_iter().collect(),
            shard: Shard::WHOLE,
            gates: GateSettings {
                allowlist: defaults::ALLOWLIST.split(',').map(read).collect(),
                critical: defaults::BLOCK_CRITICAL,
                warning: defaults::BLOCK_WARNING,
                close: None,
                stops: false,
            },
            stops: StopLimits::default(),
            proposal_max_age: None,
            wait: WaitPolicy {
                wait: defaults::PERMIT_WAIT,
                step: defaults::PERMIT_STEP,
                ..WaitPolicy::default()
            },
            poll: seconds("APPLY_POLL_SEC"),
            settle: millis("APPLY_SETTLE_MS"),
            dedupe_ttl: defaults::DEDUPE_TTL,
            ledger: Ledger::Auto,
            max_in_flight: default_of("APPLY_MAX_IN_FLIGHT"),
            kill_switch: false,
            http: SocketAddr::new(default_of("APPLY_HTTP_ADDR"), defaults::METRICS_PORT),
            http_hosts: Vec::new(),
            log_level: default_of("APPLY_LOG_LEVEL"),
            log_format: LogFormat::Text,
            redis,
            redis_times: RedisTimes {
                answer: millis("APPLY_REDIS_ANSWER_MS"),
                connect: millis("APPLY_REDIS_CONNECT_MS"),
                sentinel: millis("APPLY_REDIS_SENTINEL_MS"),
            },
            permits: PermitKeys::parse(defaults::PERMITS)
                .unwrap_or_else(|_| unreachable!("the default permits can be read")),
            signing: None,
            venue: Host::default(),
            credentials: None,
            start_wait: seconds("APPLY_START_WAIT_SEC"),
            state: StateConfig {
                halt_file: directory.join(HALT_FILE),
                directory,
                lease: seconds("APPLY_LEASE_SEC"),
                strict: false,
                notify: None,
                watchdog: None,
            },
            commit: "unknown",
            remarks: Vec::new(),
        }
    }

    /// The symbols that this instance follows.
    pub fn followed(&self) -> Vec<Symbol> {
        let ours = self.symbols.iter().filter(|s| self.shard.holds(s));
        let mut ours: Vec<Symbol> = ours.cloned().collect();
        ours.shrink_to_fit();
        ours
    }

    /// The kill switches of this machine.
    pub fn switches_here(&self) -> SwitchesHere {
        SwitchesHere {
            halted: self.kill_switch,
            file: Some(self.state.halt_file.clone()),
        }
    }

    /// Which shard this is, and how much of everything it follows; where it is one of several.
    pub fn share(&self) -> Option<String> {
        self.shard.is_part().then(|| {
            let (ours, all) = (self.followed().len(), self.symbols.len());
            format!("shard {}: {ours} of {all} symbols", self.shard)
        })
    }

    /// Symbols that may execute and that no instance follows, of whatever shard it is.
    pub fn unfollowed(&self) -> Vec<&Symbol> {
        let watched: HashSet<&Symbol> = self.symbols.iter().collect();
        let allowed = self.gates.allowlist.iter();
        allowed.filter(|s| !watched.contains(s)).collect()
    }

    /// How the permits' Redis is spoken to: for the proposals as well, and on a cluster with the
    /// receipt where the permits are.
    ///
    /// # Errors
    ///
    /// Where the URL is none.
    pub fn permit_store(&self) -> Result<RedisConfig, ConfigError> {
        let store = RedisConfig::new(self.redis.reveal())?
            .permits(self.permits.clone())
            .kill_switch(key::KILL_SWITCH)
            .off_words(OffWords::new(
                &kill_switch::OFF_WORDS,
                kill_switch::MAX_BYTES,
            ))
            .follow_prefix(key::PROPOSAL.as_str())
            .response_timeout(self.redis_times.answer)
            .connect_timeout(self.redis_times.connect)
            .sentinel_timeout(self.redis_times.sentinel);
        let receipt = match store.is_cluster() {
            true => key::RECEIPT.tagged_template(),
            false => key::RECEIPT.template(),
        };
        let receipt = KeyTemplate::parse(&receipt).unwrap_or_else(|_| unreachable!("a template"));
        let keys = apply_redis::Keys::default();
        let keys = match store.is_cluster() {
            true => keys.on_a_cluster(),
            false => keys,
        };
        let orders = self.mode == Mode::Testnet;
        let halting = keys.clone();
        let store = store.halted_while_there(move || halting.halting(SystemTime::now()));
        let store = store.holders(&keys.open, apply_redis::ready_to_take(orders));
        // What a live instance may take a dry run beside it leaves alone.
        let store = match self.mode {
            Mode::DryRun => store.fenced_while_there(&keys.live),
            Mode::Testnet => store,
        };
        // As long as a claim: an attempt that asks again later finds its receipt.
        Ok(store.receipt(receipt, self.dedupe_ttl.max(RECEIPT_AT_LEAST)))
    }

    /// The permits that have to be signed and for which no key is configured: none of them
    /// could ever be a yes.
    pub fn permits_without_key(&self) -> Vec<&str> {
        let names = self.permits.permits().iter().map(|permit| permit.name());
        match &self.signing {
            Some(ring) => names
                .filter(|name| ring.of(name).next().is_none())
                .collect(),
            None => Vec::new(),
        }
    }
}

/// What the store knows the place of a state directory's journal by: this machine and the directory. A
/// container that is made anew is another machine, unless it keeps its name and its machine id.
pub fn journal_place(directory: &Path) -> String {
    let identity = ["/etc/machine-id", "/etc/hostname"]
        .map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let directory = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let mut digest = Sha256::new();
    for part in &identity {
        digest.update(part.trim());
        digest.update("\n");
    }
    digest.update(directory.as_os_str().as_encoded_bytes());
    let digest = digest.finalize();
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The permit store is a library of its own and has defaults of its own.
    #[test]
    fn the_permit_store_alone_reads_what_the_contract_says() {
        let words = OffWords::new(&kill_switch::OFF_WORDS, kill_switch::MAX_BYTES);
        assert_eq!(OffWords::default(), words);
        let keys = PermitKeys::parse("governor,p33,p26").unwrap();
        for (name, prefix) in [
            ("governor", key::PERMIT_GOVERNOR),
            ("p33", key::PERMIT_P33),
            ("p26", key::PERMIT_P26),
        ] {
            let template = keys.template(name).unwrap();
            assert_eq!(template.to_string(), prefix.template());
        }
    }
}
