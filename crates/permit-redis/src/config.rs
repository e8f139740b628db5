//! Where the permits' Redis is and how we speak to it.

use crate::{
    keys::{KeyTemplate, PermitKeys, PermitKeysError, slot_of},
    take::{OffWords, Switch},
};
use permit_gate::PlanId;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates,
    io::tcp::TcpSettings,
};
use std::{fmt, sync::Arc, time::Duration};

/// Everything a [`crate::RedisPermitStore`] needs to know.
///
/// ```
/// use permit_redis::{PermitKeys, RedisConfig};
/// use std::time::Duration;
///
/// let config = RedisConfig::new("redis://worker:secret@127.0.0.1:6379/0")
///     .unwrap()
///     .permits(PermitKeys::parse("governor,p33,p26").unwrap())
///     .response_timeout(Duration::from_millis(200));
/// assert!(!format!("{config:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    pub(crate) topology: Topology,
    pub(crate) keys: PermitKeys,
    pub(crate) receipt: KeyTemplate,
    pub(crate) receipt_ttl: Duration,
    pub(crate) kill_switch: Switch,
    pub(crate) halting: Option<HaltingKeys>,
    pub(crate) fence: Option<String>,
    pub(crate) holders: Option<(String, String)>,
    pub(crate) followed: Vec<String>,
    pub(crate) response_timeout: Duration,
    pub(crate) sentinel_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) ping_every: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) watching: bool,
}

/// What names the keys that halt by being there.
#[derive(Clone)]
pub(crate) struct HaltingKeys(Arc<dyn Fn() -> Vec<String> + Send + Sync>);

/// How the servers are arranged.
#[derive(Clone)]
pub(crate) enum Topology {
    Single(ConnectionInfo),
    Cluster(Vec<ConnectionInfo>),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// Credentials, database and TLS for the master, whichever it is; its address is the sentinels' to say.
        server: ConnectionInfo,
    },
}

/// What is wrong with a configuration, and what to write instead. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The URL.
    #[error("Redis URL: {problem}; {fix}")]
    Url {
        /// What is wrong with it.
        problem: String,
        /// What to write instead.
        fix: &'static str,
    },
    /// The certificate of [`RedisConfig::trust`].
    #[error("trusted certificate: {problem}; give it as PEM, for a rediss:// URL")]
    Certificate {
        /// What is wrong with it.
        problem: String,
    },
    /// A key template.
    #[error("{0}")]
    Keys(#[from] PermitKeysError),
}

const FORMS: &str = "write redis://[user:password@]host:port[/db], rediss:// for TLS, \
    redis+cluster://host:port,host:port[/db] or redis+sentinel://host:port,host:port/mastername[/db]";

impl RedisConfig {
    /// The running system's keys and permits, at this URL.
    ///
    /// | form | means |
    /// |---|---|
    /// | `redis://[user:password@]host:port[/db]` | one server |
    /// | `rediss://…` | the same over TLS |
    /// | `redis+cluster://[user:password@]host:port,host:port[/db]` | a cluster, found through any of these; a database other than 0 needs Valkey 9 |
    /// | `redis+sentinel://[user:password@]host:port,…/mastername[/db]` | the server that these sentinels call master |
    ///
    /// `rediss+cluster` and `rediss+sentinel` speak TLS to all of them. User and password are the
    /// servers'; sentinels are asked without.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        let receipt = KeyTemplate::parse("quantum:apply:inflight:{plan}")
            .unwrap_or_else(|error| unreachable!("{error}"));
        Ok(Self {
            topology: parse_url(url)?,
            keys: PermitKeys::default(),
            receipt,
            receipt_ttl: Duration::from_secs(21_600),
            kill_switch: Switch {
                key: "quantum:global:kill_switch".into(),
                off: OffWords::default(),
            },
            halting: None,
            fence: None,
            holders: None,
            followed: Vec::new(),
            response_timeout: Duration::from_millis(250),
            sentinel_timeout: Duration::from_millis(300),
            connect_timeout: Duration::from_secs(2),
            start_timeout: None,
            ping_every: Duration::from_secs(1),
            max_in_flight: 256,
            watching: true,
        })
    }

    /// Whether this is a cluster, where all keys of a plan have to share a slot: the permits', and
    /// the receipt's.
    pub fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// Whether another server can take the place of one.
    pub(crate) fn is_replaceable(&self) -> bool {
        match self.topology {
            Topology::Single(_) => false,
            Topology::Cluster(_) | Topology::Sentinel { .. } => true,
        }
    }

    /// The required permits and their keys; `governor,p33` by default.
    pub fn permits(mut self, keys: PermitKeys) -> Self {
        self.keys = keys;
        self
    }

    /// The key that halts everything; `quantum:global:kill_switch` by default.
    ///
    /// No key and the words of [`RedisConfig::off_words`] are off. Anything else, a key of another type
    /// included, is on: what cannot be read is no permission.
    pub fn kill_switch(mut self, key: &str) -> Self {
        self.kill_switch.key = key.into();
        self
    }

    /// Which values of the kill switch are off; `false`, `0`, `no` and nothing by default.
    pub fn off_words(mut self, words: OffWords) -> Self {
        self.kill_switch.off = words;
        self
    }

    /// Keys that halt everything by being there, whatever they hold: they are asked for at each take, since
    /// their names may change with the day. Looked at where and when the kill switch is.
    pub fn halted_while_there(
        mut self,
        keys: impl Fn() -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.halting = Some(HaltingKeys(Arc::new(keys)));
        self
    }

    /// A key that keeps permits from being taken while it is there, whatever it holds: they are somebody else's to
    /// take. The answer is [`permit_gate::Reply::Fenced`]. Looked at where and when the kill switch is; by default there
    /// is none.
    pub fn fenced_while_there(mut self, key: &str) -> Self {
        self.fence = Some(key.into());
        self
    }

    /// The names of [`RedisConfig::halted_while_there`] at this moment.
    pub(crate) fn halting_keys(&self) -> Vec<String> {
        let keys = self.halting.as_ref();
        keys.map(|keys| (keys.0)()).unwrap_or_default()
    }

    /// Lets a plan's permits be taken only by the attempt that holds the plan. `hash` has a field for
    /// each plan, which begins with the attempt that holds it and a word on how far it is, each with a
    /// blank after it; it has to be `ready` for a take. Where the field is missing or begins with another
    /// attempt the answer is [`permit_gate::Reply::NotHeld`], where the word is another one
    /// [`permit_gate::Reply::NotReady`]. Looked at inside the atomic step where the hash lies in its
    /// slot, else right after it. By default nothing of the kind is asked.
    pub fn holders(mut self, hash: &str, ready: &str) -> Self {
        self.holders = Some((hash.into(), ready.into()));
        self
    }

    /// Where a take leaves its receipt, and for how long (at least a second);
    /// `quantum:apply:inflight:{plan}` and six hours by default.
    ///
    /// While the receipt lies there the plan cannot be taken again, even if its permits are written again
    /// anew. It should outlive every permit and every retry.
    pub fn receipt(mut self, template: KeyTemplate, ttl: Duration) -> Self {
        self.receipt = template;
        self.receipt_ttl = ttl.max(Duration::from_secs(1));
        self
    }

    /// Hears of writes to keys that begin like this as well, over the same watch connection; none
    /// by default. See [`crate::RedisPermitStore::follow`]. An empty prefix would be every key of
    /// the server and is not followed.
    pub fn follow_prefix(mut self, prefix: &str) -> Self {
        if !prefix.is_empty() {
            self.followed.push(prefix.into());
        }
        self
    }

    /// How long one command may take until its answer counts as lost; 250 ms by default. A lost
    /// answer is asked for again, so short is safe; keep it well below the wait for permits.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How long one sentinel may take to name the master, a connection to it included; 300 ms by default. All
    /// are asked side by side, so one that is silent delays nothing while others answer.
    pub fn sentinel_timeout(mut self, timeout: Duration) -> Self {
        self.sentinel_timeout = timeout;
        self
    }

    /// How long setting up a connection may take; 2 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long [`crate::RedisPermitStore::connect`] tries before it says that Redis is away; as long
    /// as one connection may take by default.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = Some(timeout);
        self
    }

    /// How often an idle connection is asked whether it is alive; every second by default. A
    /// connection that hangs without being closed is noticed after this plus the response timeout.
    pub fn ping_every(mut self, interval: Duration) -> Self {
        self.ping_every = interval.max(Duration::from_millis(1));
        self
    }

    /// How many takes may be out at the same time; 256 by default. More wait their turn, so that
    /// a crowd does not time out in its own queue.
    pub fn max_in_flight(mut self, takes: usize) -> Self {
        self.max_in_flight = takes.clamp(1, 1 << 20);
        self
    }

    /// Whether to be woken by writes; yes by default. Without, waiting plans poll at their step.
    pub fn watching(mut self, on: bool) -> Self {
        self.watching = on;
        self
    }

    /// Trusts this authority, PEM, instead of the system's, for `rediss` URLs.
    pub fn trust(mut self, ca_pem: &str) -> Result<Self, ConfigError> {
        let trusting = |info: &ConnectionInfo| {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(ca_pem.as_bytes().to_vec()),
            };
            Client::build_with_tls(info.clone(), certificates)
                .map(|client| client.get_connection_info().clone())
                .map_err(|error| ConfigError::Certificate {
                    problem: error.to_string(),
                })
        };
        match &mut self.topology {
            Topology::Single(info) => *info = trusting(info)?,
            Topology::Cluster(seeds) => {
                for info in seeds {
                    *info = trusting(info)?;
                }
            }
            Topology::Sentinel {
                sentinels, server, ..
            } => {
                for info in sentinels.iter_mut().chain([server]) {
                    *info = trusting(info)?;
                }
            }
        }
        Ok(self)
    }

    /// Whether all keys of a plan can be taken in one step where they lie.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.keys.templates().contains(&self.receipt) {
            return Err(PermitKeysError::one(
                &self.receipt.to_string(),
                "the receipt lies under a permit's key",
                "give it a key of its own",
            )
            .into());
        }
        match self.topology {
            Topology::Cluster(_) => self.check_slots(),
            _ => Ok(()),
        }
    }

    fn check_slots(&self) -> Result<(), ConfigError> {
        let samples = ["67e6da21fa9fe506", "0", "a-b.c_d"];
        let split = samples
            .iter()
            .filter_map(|id| PlanId::new(id).ok())
            .any(|plan| {
                let mine = slot_of(&self.receipt.key(&plan));
                self.keys.keys(&plan).iter().any(|key| slot_of(key) != mine)
            });
        if !split {
            return Ok(());
        }
        let templates: Vec<String> = self
            .keys
            .templates()
            .iter()
            .chain([&self.receipt])
            .map(ToString::to_string)
            .collect();
        let fixed: Vec<String> = templates
            .iter()
            .map(|t| {
                t.replace("{{plan}}", "{plan}")
                    .replace("{plan}", "{{plan}}")
            })
            .collect();
        Err(PermitKeysError::one(
            &templates.join(" "),
            "a cluster keeps the keys of one plan in different slots, where nothing can take them in one step",
            &format!(
                "put the plan's id into a hash tag in each of them and let the issuers write there: {}",
                fixed.join(" ")
            ),
        )
        .into())
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("at", &self.topology.to_string())
            .field("permits", &self.keys)
            .field("receipt", &self.receipt)
            .field("receipt_ttl", &self.receipt_ttl)
            .field("kill_switch", &self.kill_switch.key)
            .field("halting", &self.halting_keys())
            .field("fence", &self.fence)
            .field("followed", &self.followed)
            .field("response_timeout", &self.response_timeout)
            .field("sentinel_timeout", &self.sentinel_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("ping_every", &self.ping_every)
            .field("max_in_flight", &self.max_in_flight)
            .field("watching", &self.watching)
            .finish()
    }
}

/// Hosts and ports only.
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |infos: &[ConnectionInfo]| -> String {
            let hosts: Vec<String> = infos.iter().map(|i| i.addr().to_string()).collect();
            hosts.join(",")
        };
        match self {
            Self::Single(info) => info.addr().fmt(f),
            Self::Cluster(seeds) => write!(f, "cluster {}", all(seeds)),
            Self::Sentinel {
                sentinels, master, ..
            } => write!(f, "{master} of sentinels {}", all(sentinels)),
        }
    }
}

/// The same kind of connection to another address.
pub(crate) fn at_address(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let addr = match info.addr().clone() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host: host.into(),
            port,
            insecure,
            tls_params,
        },
        _ => ConnectionAddr::Tcp(host.into(), port),
    };
    info.clone().set_addr(addr)
}

fn parse_url(url: &str) -> Result<Topology, ConfigError> {
    let wrong = |problem: &str| ConfigError::Url {
        problem: problem.into(),
        fix: FORMS,
    };
    let (scheme, rest) = url
        .trim()
        .split_once("://")
        .ok_or_else(|| wrong("it has no scheme"))?;
    let (base, kind) = scheme.split_once('+').unwrap_or((scheme, "single"));
    if !matches!(base, "redis" | "rediss") {
        return Err(wrong("its scheme is neither redis nor rediss"));
    }
    if base == "rediss" {
        // Fails where the process has chosen a provider already: then that one is meant.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, format!("?{query}")),
        None => (rest, String::new()),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let info = |user: &str, host: &str, db: &str| -> Result<ConnectionInfo, ConfigError> {
        // The library's own message repeats nothing of the URL, but may in a later release.
        let info = format!("{base}://{user}{host}/{db}{query}")
            .into_connection_info()
            .map_err(|_| wrong("it cannot be read"))?;
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name();
        let tcp = TcpSettings::default().set_nodelay(true);
        Ok(info.set_redis_settings(settings).set_tcp_settings(tcp))
    };
    let each = |user: &str, db: &str| -> Result<Vec<ConnectionInfo>, ConfigError> {
        hosts.split(',').map(|host| info(user, host, db)).collect()
    };
    if hosts.split(',').any(|host| host.trim().is_empty()) {
        return Err(wrong("a host is missing"));
    }
    match kind {
        "single" if hosts.contains(',') => Err(wrong("several hosts need +cluster or +sentinel")),
        "single" => Ok(Topology::Single(info(&user, hosts, path)?)),
        "cluster" => Ok(Topology::Cluster(each(&user, path)?)),
        "sentinel" => {
            let (master, db) = path.split_once('/').unwrap_or((path, ""));
            if master.is_empty() {
                return Err(wrong("the name of the master is missing"));
            }
            let sentinels = each("", "")?;
            let first = hosts.split(',').next().unwrap_or_default();
            Ok(Topology::Sentinel {
                master: master.into(),
                server: info(&user, first, db)?,
                sentinels,
            })
        }
        _ => Err(wrong(
            "its scheme ends neither in +cluster nor in +sentinel",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_url_says_how_the_servers_are_arranged() {
        for (url, means) in [
            ("redis://h:1", "h:1"),
            ("rediss://u:p@h:1/2", "h:1"),
            ("redis+cluster://h:1,i:2", "cluster h:1,i:2"),
            ("redis+cluster://h:1/5", "cluster h:1"),
            (
                "redis+sentinel://u:p@h:1,i:2/mymaster/3",
                "mymaster of sentinels h:1,i:2",
            ),
        ] {
            assert_eq!(RedisConfig::new(url).unwrap().topology.to_string(), means);
        }
        let sentinel = parse_url("redis+sentinel://u:p@h:1/m/3").unwrap();
        let Topology::Sentinel {
            server, sentinels, ..
        } = sentinel
        else {
            panic!("a sentinel URL");
        };
        assert_eq!(server.redis_settings().db(), 3);
        assert_eq!(server.redis_settings().username(), Some("u"));
        assert_eq!(sentinels[0].redis_settings().username(), None);
    }

    #[test]
    fn a_url_that_cannot_be_read_is_refused_without_being_repeated() {
        for url in [
            "",
            "h:1",
            "http://u:hunter2@h:1",
            "redis://u:hunter2@",
            "redis://u:hunter2@h:x",
            "redis://u:hunter2@h:1,i:2",
            "redis+cluster://u:hunter2@h:1/five",
            "redis+sentinel://u:hunter2@h:1",
            "redis+ring://u:hunter2@h:1",
            "redis://u:hunter2@h:1/notanumber",
        ] {
            let error = RedisConfig::new(url).unwrap_err();
            assert!(!format!("{error}{error:?}").contains("hunter2"), "{error}");
            assert!(error.to_string().contains("redis://[user"), "{error}");
        }
    }

    #[test]
    fn a_cluster_refuses_templates_that_split_slots_and_says_how_to_fix_them() {
        let plain = RedisConfig::new("redis+cluster://h:1").unwrap();
        let error = plain.clone().check().unwrap_err().to_string();
        assert!(error.contains("quantum:permit:p33:{{plan}}"), "{error}");
        assert!(error.contains("quantum:apply:inflight:{{plan}}"), "{error}");

        let line = "governor=quantum:permit:{{plan}},p33=quantum:permit:p33:{{plan}}";
        let tagged = plain.clone().permits(PermitKeys::parse(line).unwrap());
        assert!(tagged.clone().check().is_err(), "the receipt is elsewhere");
        let receipt = KeyTemplate::parse("quantum:apply:inflight:{{plan}}").unwrap();
        let tagged = tagged.receipt(receipt, Duration::from_secs(60));
        assert_eq!(tagged.check(), Ok(()));

        let mut single = RedisConfig::new("redis://h:1").unwrap();
        assert_eq!(single.check(), Ok(()));
        single.receipt = KeyTemplate::parse("quantum:permit:{plan}").unwrap();
        assert!(single.check().is_err());
    }
}
