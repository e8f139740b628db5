//! What a server's error means, whatever its version calls it. Codes and texts are read here and nowhere else.
//!
//! Up to 6.2 an error inside a script comes as `ERR Error running script (call to f_…): @user_script:9:
//! @user_script: 9: -READONLY …`, from 7.0 on under its own code. An error of a pipeline or a transaction may
//! hold several; a redirect among them is one, wherever it stands.

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

/// What an error means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meaning {
    /// No answer in time.
    TimedOut,
    /// No answer: the connection broke, or could not be made.
    NoAnswer,
    /// An answer of another shape than was asked for.
    Unreadable,
    /// The server does not know the script.
    NoScript,
    /// Another node of the cluster serves the slot.
    Moved {
        /// Which slot.
        slot: u16,
        /// Where it is served.
        to: Redirect,
    },
    /// The slot is on its way to another node.
    Moving,
    /// The server is a replica.
    ReadOnly,
    /// A replica that may not answer while its master is away.
    MasterDown,
    /// Memory is full.
    OutOfMemory,
    /// Too few replicas follow the server.
    NoReplicas,
    /// The disk cannot be written.
    DiskError,
    /// It loads its data.
    Loading,
    /// It runs a script that takes long.
    Busy,
    /// The cluster serves the slot nowhere at this moment.
    ClusterDown,
    /// The keys lie in different slots.
    CrossSlot,
    /// User or password are wrong, or missing.
    Unauthenticated,
    /// There is no database of this number.
    NoDatabase,
    /// The user lacks a right. Inside a script something may have been written before.
    Forbidden {
        /// Whether the script had begun.
        in_script: bool,
    },
    /// The key holds another type.
    WrongType,
    /// There is no such consumer group.
    NoGroup,
    /// The consumer group is there already.
    GroupExists,
    /// A transaction that was not carried out.
    Aborted,
    /// The server has no such command: it is too old, or the command was taken out.
    UnknownCommand,
    /// The server takes no further connection.
    TooManyClients,
    /// A server without a password that listens to its own machine alone.
    Protected,
    /// Anything else a server says.
    Other,
}

/// Where a cluster points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// To this host and port.
    To(String, u16),
    /// To this port of the host that was asked: the node knows no name of the other one.
    SameHost(u16),
    /// To a node without a name.
    Unknown,
}

/// How a script's error begins up to 6.2, before the place and the error itself.
const IN_SCRIPT: &str = "Error running script (call to f_";

/// How a server refuses to switch to a database: that there is none of this number, or none but 0 on a cluster.
const NO_DATABASE: [&str; 3] = [
    "DB index is out of range",
    "invalid DB index",
    "SELECT is not allowed in cluster mode",
];

impl Meaning {
    /// Of any error. Of several the first redirect, else the first.
    pub fn of(error: &RedisError) -> Self {
        let Some(errors) = error.clone().into_server_errors() else {
            return match error.kind() {
                ErrorKind::UnexpectedReturnType | ErrorKind::Parse => Self::Unreadable,
                ErrorKind::AuthenticationFailed => Self::Unauthenticated,
                // The client says in its own words what it was refused, and the server's stand behind.
                ErrorKind::Server(ServerErrorKind::ResponseError) => {
                    Self::read("ERR", error.detail().unwrap_or_default())
                }
                _ if error.is_timeout() => Self::TimedOut,
                _ => Self::NoAnswer,
            };
        };
        let mut first = None;
        for (_, error) in errors.iter() {
            match Self::of_reply(error) {
                moved @ Self::Moved { .. } => return moved,
                // What came before says why.
                Self::Aborted if first.is_some() => {}
                meaning => _ = first.get_or_insert(meaning),
            }
        }
        first.unwrap_or(Self::Aborted)
    }

    /// Of an error among the answers of a pipeline.
    pub fn of_reply(error: &ServerError) -> Self {
        Self::read(error.code(), error.details().unwrap_or_default())
    }

    fn read(code: &str, text: &str) -> Self {
        match code {
            "ERR" => match in_script(text) {
                Some((code, text)) => Self::read_in_script(code, text),
                None if text.starts_with("unknown command")
                    || text.starts_with("unknown subcommand") =>
                {
                    Self::UnknownCommand
                }
                None if text.starts_with("max number of clients") => Self::TooManyClients,
                None if NO_DATABASE.iter().any(|says| text.starts_with(says)) => Self::NoDatabase,
                None => Self::Other,
            },
            "MOVED" => redirect(text).map_or(Self::Other, |(slot, to)| Self::Moved { slot, to }),
            "NOSCRIPT" => Self::NoScript,
            "ASK" | "TRYAGAIN" => Self::Moving,
            "READONLY" => Self::ReadOnly,
            "MASTERDOWN" => Self::MasterDown,
            "OOM" => Self::OutOfMemory,
            "NOREPLICAS" => Self::NoReplicas,
            "MISCONF" => Self::DiskError,
            "LOADING" => Self::Loading,
            "BUSY" => Self::Busy,
            "CLUSTERDOWN" => Self::ClusterDown,
            "CROSSSLOT" => Self::CrossSlot,
            "NOAUTH" | "WRONGPASS" => Self::Unauthenticated,
            "NOPERM" => Self::Forbidden {
                in_script: text.contains("script:"),
            },
            "WRONGTYPE" => Self::WrongType,
            "NOGROUP" => Self::NoGroup,
            "BUSYGROUP" => Self::GroupExists,
            "EXECABORT" => Self::Aborted,
            "DENIED" => Self::Protected,
            _ => Self::Other,
        }
    }

    fn read_in_script(code: &str, text: &str) -> Self {
        match Self::read(code, text) {
            Self::Forbidden { .. } => Self::Forbidden { in_script: true },
            // A script that calls what is not there is no redirect of ours.
            Self::NoScript | Self::Moved { .. } => Self::Other,
            meaning => meaning,
        }
    }

    /// Whether the server says this before it does anything, so that nothing was changed. A script that
    /// is refused its first write has changed nothing either, and none of these begins between two writes.
    pub fn is_before_anything(&self) -> bool {
        match self {
            Self::NoScript
            | Self::Moved { .. }
            | Self::Moving
            | Self::ReadOnly
            | Self::MasterDown
            | Self::OutOfMemory
            | Self::NoReplicas
            | Self::DiskError
            | Self::Loading
            | Self::Busy
            | Self::ClusterDown
            | Self::CrossSlot
            | Self::Unauthenticated
            | Self::NoDatabase
            | Self::Forbidden { in_script: false }
            | Self::Aborted
            | Self::TooManyClients
            | Self::Protected => true,
            Self::TimedOut
            | Self::NoAnswer
            | Self::Unreadable
            | Self::Forbidden { in_script: true }
            | Self::WrongType
            | Self::NoGroup
            | Self::GroupExists
            | Self::UnknownCommand
            | Self::Other => false,
        }
    }

    /// Whether it passes by itself, so that it says nothing of what the server can do.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::NoAnswer
                | Self::Busy
                | Self::Loading
                | Self::MasterDown
                | Self::ClusterDown
                | Self::Moving
                | Self::Moved { .. }
        )
    }

    /// Whether a server said it.
    pub(crate) fn is_an_answer(&self) -> bool {
        !matches!(self, Self::TimedOut | Self::NoAnswer | Self::Unreadable)
    }

    /// What is wrong with the server and what to do, in a sentence; nothing where the error says it.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Loading => "the server is loading its data: wait until it has",
            Self::ReadOnly => {
                "the server is a replica, or was made one: have REDIS_URL lead to the master"
            }
            Self::MasterDown => {
                "the server is a replica without its master: have REDIS_URL lead to the master"
            }
            Self::OutOfMemory => {
                "the server's memory is full: raise its maxmemory, or delete unneeded keys"
            }
            Self::NoReplicas => {
                "too few replicas follow the server: start them, or lower its min-replicas-to-write"
            }
            Self::DiskError => "the server cannot write to its disk: make room there",
            Self::Busy => "the server runs a script that does not end: SCRIPT KILL ends it",
            Self::ClusterDown => {
                "the cluster serves this slot nowhere: bring its master back, or promote a replica"
            }
            Self::Unauthenticated => "user or password in REDIS_URL are wrong, or missing",
            Self::NoDatabase => {
                "the server has no such database: correct the number at the end of REDIS_URL; a cluster before Valkey 9 has 0 only"
            }
            Self::Forbidden { .. } => "the user lacks a right: give it those of deploy/redis.acl",
            Self::TooManyClients => "the server takes no further connection: raise its maxclients",
            Self::Protected => {
                "the server listens to its own machine alone: give it a password or a user"
            }
            Self::UnknownCommand => {
                "the server has no such command: it is too old, or the command was renamed"
            }
            _ => return None,
        })
    }
}

/// The error with what to do about it.
pub(crate) fn explain(error: &RedisError) -> String {
    match Meaning::of(error).advice() {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    }
}

/// Code and text of an error inside a script, where it comes as a plain ERR.
fn in_script(text: &str) -> Option<(&str, &str)> {
    let place = text.strip_prefix(IN_SCRIPT)?;
    let (sha, place) = place.split_once("): ")?;
    if sha.len() != 40 {
        return None;
    }
    // `@user_script:9: @user_script: 9: -READONLY You can't …`, `@user_script:9: WRONGTYPE Operation …`
    let place = place.strip_prefix("@user_script:")?;
    let (line, rest) = place.split_once(": ")?;
    // A command's own error follows at once, one about whether it may run names the place again.
    let error = match rest.strip_prefix("@user_script: ") {
        Some(again) => again.strip_prefix(line)?.strip_prefix(": ")?,
        None => rest,
    };
    let error = error.strip_prefix('-').unwrap_or(error);
    let (code, text) = error.split_once(' ').unwrap_or((error, ""));
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code.then_some((code, text))
}

/// `3999 127.0.0.1:6381`, `3999 :6381`, `3999 ?:6381`; hosts may be IPv6 addresses.
fn redirect(text: &str) -> Option<(u16, Redirect)> {
    let mut words = text.split_ascii_whitespace();
    let slot = words.next()?.parse().ok()?;
    let (host, port) = words.next()?.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let to = match host {
        "" => Redirect::SameHost(port),
        "?" => Redirect::Unknown,
        host => Redirect::To(host.into(), port),
    };
    Some((slot, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reply: &str) -> Meaning {
        let error = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes())
            .and_then(|value| value.extract_error())
            .unwrap_err();
        Meaning::of(&error)
    }

    fn in_a_script_of_6_2(error: &str) -> Meaning {
        let sha = "a".repeat(40);
        of(&format!(
            "ERR Error running script (call to f_{sha}): @user_script:86: @user_script: 86: {error}"
        ))
    }

    #[test]
    fn an_error_of_a_script_means_the_same_on_every_version() {
        for (error, meaning) in [
            (
                "READONLY You can't write against a read only replica.",
                Meaning::ReadOnly,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Meaning::OutOfMemory,
            ),
            (
                "NOREPLICAS Not enough good replicas to write.",
                Meaning::NoReplicas,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                Meaning::DiskError,
            ),
            ("WRONGTYPE Operation against a key", Meaning::WrongType),
        ] {
            assert_eq!(of(error), meaning);
            assert_eq!(
                of(&format!("{error} script: abc, on @user_script:86.")),
                meaning
            );
            assert_eq!(in_a_script_of_6_2(&format!("-{error}")), meaning);
            assert_eq!(in_a_script_of_6_2(error), meaning);
            let sha = "a".repeat(40);
            let own =
                format!("ERR Error running script (call to f_{sha}): @user_script:86: {error}");
            assert_eq!(of(&own), meaning);
        }
    }

    #[test]
    fn what_only_looks_like_an_error_of_a_script_is_not_read_as_one() {
        let sha = "a".repeat(40);
        for text in [
            "ERR -READONLY".to_owned(),
            "ERR @user_script:86: @user_script: 86: -READONLY x".into(),
            format!(
                "ERR Error running script (call to f_{sha}): @user_script:86: user_script:86: -READONLY x"
            ),
            format!(
                "ERR Error running script (call to f_abc): @user_script:86: @user_script: 86: -READONLY {sha}"
            ),
            format!(
                "ERR Error running script (call to f_{sha}): @user_script:86: @user_script: 87: -READONLY x"
            ),
        ] {
            assert_eq!(of(&text), Meaning::Other, "{text}");
        }
        assert_eq!(in_a_script_of_6_2("-MOVED 7 a:1"), Meaning::Other);
        assert_eq!(in_a_script_of_6_2("-NOSCRIPT no"), Meaning::Other);
        assert_eq!(
            in_a_script_of_6_2("-NOPERM this user"),
            Meaning::Forbidden { in_script: true }
        );
    }

    #[test]
    fn a_redirect_names_its_node_in_three_ways() {
        let moved = |to| Meaning::Moved { slot: 7, to };
        assert_eq!(
            of("MOVED 7 ::1:7000"),
            moved(Redirect::To("::1".into(), 7000))
        );
        assert_eq!(
            of("MOVED 7 a.b:7000"),
            moved(Redirect::To("a.b".into(), 7000))
        );
        assert_eq!(of("MOVED 7 :7000"), moved(Redirect::SameHost(7000)));
        assert_eq!(of("MOVED 7 ?:7000"), moved(Redirect::Unknown));
        for text in [
            "MOVED",
            "MOVED 7",
            "MOVED x a:1",
            "MOVED 7 a",
            "MOVED 7 a:x",
            "MOVED 99999 a:1",
        ] {
            assert_eq!(of(text), Meaning::Other, "{text}");
        }
    }

    #[test]
    fn a_connection_that_breaks_is_no_answer_and_one_that_is_slow_is_distinguished() {
        let of =
            |kind: std::io::ErrorKind| Meaning::of(&RedisError::from(std::io::Error::from(kind)));
        assert_eq!(of(std::io::ErrorKind::BrokenPipe), Meaning::NoAnswer);
        assert_eq!(of(std::io::ErrorKind::TimedOut), Meaning::TimedOut);
    }
}
