//! What a restart of the server would do to claims and taken permits, in plain words: those a start
//! warns with and those `apply-layer check` prints.

use apply_core::PortError;
use redis::{RedisError, aio::ConnectionLike};

/// How well the server keeps what was written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// Every write goes to a file.
    pub append_only: bool,
    /// When that file is synced.
    pub synced: Synced,
    /// How many replicas follow it.
    pub replicas: u32,
    /// The policy by which it throws keys away where its memory is full; none where it does not.
    pub evicts: Option<String>,
}

/// When the append-only file is on the disk: `appendfsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synced {
    /// Before a write is answered.
    Always,
    /// Once a second.
    EverySecond,
    /// When the system pleases.
    Sometime,
    /// The server does not say.
    Unknown,
}

impl Durability {
    /// Asks a server. An error says what could not be read; it is not known then what a restart does.
    pub async fn ask(connection: &mut (impl ConnectionLike + Send)) -> Result<Self, PortError> {
        read(connection).await
    }

    /// What a crash of the server costs, in a line.
    pub fn cost(&self) -> &'static str {
        match (self.append_only, self.synced) {
            (true, Synced::Always) => {
                "append-only file, synced with every write; a crash loses nothing"
            }
            (true, Synced::EverySecond) => {
                "append-only file; a crash loses a second of claims at most"
            }
            (true, Synced::Sometime) => {
                "append-only file; a crash loses what the system had not written yet"
            }
            (true, Synced::Unknown) => "append-only file; how often Redis syncs it is unknown",
            (false, _) => {
                "no append-only file; a crash forgets the claims since the last snapshot and brings back permits that were taken; set `appendonly yes` in redis.conf"
            }
        }
    }

    /// What the operator should know; nothing where a restart loses nothing.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.append_only {
            warnings.push(
                "Redis keeps no append-only file: after a restart it goes back to its last snapshot, permits that were taken come back and claims are lost. The journal of this machine still allows one order a plan; to fix it: CONFIG SET appendonly yes, and in redis.conf"
                    .to_owned(),
            );
        } else if self.synced != Synced::Always {
            warnings.push(
                "Redis syncs its append-only file once a second at best, or does not say when: a power cut may bring back permits taken in the last second. To fix it: CONFIG SET appendfsync always"
                    .to_owned(),
            );
        }
        warnings.extend(self.eviction());
        if self.replicas > 0 {
            warnings.push(format!(
                "Redis has {} replicas: one that is promoted may have missed the last claims and taken permits. APPLY_DURABILITY=strict has each claim acknowledged by one of them",
                self.replicas
            ));
        }
        warnings
    }

    /// What is wrong where it throws keys away, with the fix.
    pub fn eviction(&self) -> Option<String> {
        self.evicts.as_ref().map(|policy| {
            format!(
                "Redis throws keys away where its memory is full (maxmemory-policy {policy}): a claim that is gone unnoticed may become a second order. To fix it: CONFIG SET maxmemory-policy noeviction, and in redis.conf"
            )
        })
    }

    /// Why `APPLY_DURABILITY=strict` does not run on this server, with the fix.
    pub fn refusal(&self) -> Option<String> {
        let snapshots = (!self.append_only).then(|| {
            "this Redis goes back to its last snapshot when it restarts; set appendonly yes in redis.conf (and CONFIG SET appendonly yes now)".to_owned()
        });
        let reasons: Vec<String> = snapshots.into_iter().chain(self.eviction()).collect();
        (!reasons.is_empty()).then(|| format!("APPLY_DURABILITY=strict: {}", reasons.join("; ")))
    }
}

pub(crate) async fn read(
    connection: &mut (impl ConnectionLike + Send),
) -> Result<Durability, PortError> {
    let unread = |error: RedisError| PortError(format!("cannot read how Redis persists: {error}"));
    let mut info = String::new();
    for section in ["persistence", "replication", "memory"] {
        let text: String = redis::cmd("INFO")
            .arg(section)
            .query_async(connection)
            .await
            .map_err(unread)?;
        info.push_str(&text);
        info.push('\n');
    }
    // While a server loads its append-only file INFO says that there is none.
    let kept = match value_of(&info, "loading") {
        Some("1") => setting(connection, "appendonly").await,
        _ => None,
    };
    // Managed servers forbid CONFIG; not knowing is answered like the worse case.
    let fsync = setting(connection, "appendfsync").await;
    parse(&info, kept.as_deref(), fsync.as_deref())
}

/// One setting of the server; `None` where the server does not say.
async fn setting(connection: &mut (impl ConnectionLike + Send), name: &str) -> Option<String> {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg(name);
    let answer: Result<Vec<String>, RedisError> = ask.query_async(connection).await;
    answer.ok().and_then(|pair| pair.into_iter().nth(1))
}

fn value_of<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines().map(str::trim);
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// `kept` is whether there is an append-only file, of a server that is loading.
fn parse(info: &str, kept: Option<&str>, fsync: Option<&str>) -> Result<Durability, PortError> {
    let value = |name: &str| value_of(info, name);
    let append_only = match value("aof_enabled") {
        Some("1") => true,
        Some("0") if value("loading") == Some("1") => match kept {
            Some("yes") => true,
            Some("no") => false,
            _ => {
                return Err(PortError(
                    "the server is loading its data and does not say whether it keeps an append-only file: wait until it has loaded"
                        .into(),
                ));
            }
        },
        Some("0") => false,
        other => {
            let said = other.unwrap_or("nothing");
            return Err(PortError(format!(
                "INFO persistence says {said:?} about aof_enabled"
            )));
        }
    };
    Ok(Durability {
        append_only,
        synced: match fsync {
            Some("always") => Synced::Always,
            Some("everysec") => Synced::EverySecond,
            Some("no") => Synced::Sometime,
            _ => Synced::Unknown,
        },
        // A server without replication does not mention replicas.
        replicas: value("connected_slaves")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0),
        evicts: match (value("maxmemory"), value("maxmemory_policy")) {
            (Some("0") | None, _) | (_, Some("noeviction") | None) => None,
            (Some(_), Some(policy)) => Some(policy.to_owned()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_alone_are_warned_of_and_refused_by_strict() {
        let snapshots = parse(
            "aof_enabled:0\r\nconnected_slaves:0\r\n",
            None,
            Some("everysec"),
        )
        .unwrap();
        assert!(snapshots.warnings()[0].contains("permits that were taken come back"));
        assert!(snapshots.refusal().is_some());
        let synced = parse(
            "aof_enabled:1\r\nconnected_slaves:0\r\n",
            None,
            Some("always"),
        )
        .unwrap();
        assert_eq!((synced.warnings(), synced.refusal()), (vec![], None));
    }

    #[test]
    fn a_server_that_loads_its_append_only_file_has_one() {
        let loading = "loading:1\r\naof_enabled:0\r\n";
        assert!(
            parse(loading, Some("yes"), Some("always"))
                .unwrap()
                .append_only
        );
        assert!(
            !parse(loading, Some("no"), Some("always"))
                .unwrap()
                .append_only
        );
        let message = parse(loading, None, None).unwrap_err().0;
        assert!(message.contains("loading"), "{message}");
    }

    #[test]
    fn a_server_that_throws_keys_away_is_warned_of() {
        let evicts = |memory: &str| {
            let info = format!("aof_enabled:1\r\n{memory}\r\n");
            parse(&info, None, Some("always")).unwrap().eviction()
        };
        let message = evicts("maxmemory:1048576\r\nmaxmemory_policy:allkeys-lru");
        assert!(message.unwrap().contains("maxmemory-policy allkeys-lru"));
        for (memory, refused) in [
            ("maxmemory:1048576\r\nmaxmemory_policy:volatile-ttl", true),
            ("maxmemory:1048576\r\nmaxmemory_policy:noeviction", false),
        ] {
            let info = format!("aof_enabled:1\r\n{memory}\r\n");
            let refusal = parse(&info, None, Some("always")).unwrap().refusal();
            assert_eq!(refusal.is_some(), refused, "{refusal:?}");
        }
        assert_eq!(evicts("maxmemory:0\r\nmaxmemory_policy:allkeys-lru"), None);
        assert_eq!(evicts("maxmemory:9\r\nmaxmemory_policy:noeviction"), None);
        assert_eq!(evicts(""), None);
    }

    #[test]
    fn what_the_server_does_not_say_is_not_taken_for_the_better_case() {
        assert!(parse("loading:0", None, None).is_err());
        let silent = parse("aof_enabled:1\r\nconnected_slaves:2", None, None).unwrap();
        assert_eq!(silent.synced, Synced::Unknown);
        let sometime = parse("aof_enabled:1\r\n", None, Some("no")).unwrap();
        assert_eq!(sometime.synced, Synced::Sometime);
        assert!(!sometime.cost().contains("a second"), "{}", sometime.cost());
        assert_eq!(silent.warnings().len(), 2);
    }
}
