//! Reading the library's errors for the one thing that matters: may it have been executed?

use permit_gate::StoreError;
use redis::{ErrorKind, RedisError};

/// Why a request brought no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server does not know the script (any more). Not executed.
    NoScript,
    /// Another node serves this slot from now on. Not executed.
    Moved { host: String, port: u16 },
    /// Not executed.
    Refused(String),
    /// Not executed, and this server will go on refusing: another one may be master by now, or our
    /// rights have changed.
    WrongServer(String),
    /// May have been executed.
    Lost(String),
    /// Answered, with no answer of ours.
    Unreadable(String),
}

/// Servers say these before they begin: nothing was changed.
const NOT_EXECUTED: [&str; 12] = [
    // The slot is on its way to another node. That node would answer TRYAGAIN until it has every
    // key, and a receipt that does not exist yet never arrives: so there is nothing to follow.
    "ASK",
    "OOM",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "CROSSSLOT",
    "BUSY",
    "MISCONF",
    "NOREPLICAS",
    "WRONGPASS",
    "EXECABORT",
];

impl Failure {
    /// Of a command that writes.
    pub(crate) fn of_write(error: &RedisError) -> Self {
        let text = error.to_string();
        let Some(code) = error.code() else {
            // No answer: a time-out or a broken connection. What was sent may have arrived.
            return match error.kind() {
                ErrorKind::UnexpectedReturnType | ErrorKind::Parse => Self::Unreadable(text),
                _ => Self::Lost(text),
            };
        };
        match code {
            "NOSCRIPT" => Self::NoScript,
            "MOVED" => match error.redirect_node().and_then(|(addr, _)| split(addr)) {
                Some((host, port)) => Self::Moved { host, port },
                None => Self::Refused(text),
            },
            // A right that is missing inside the script is found missing after its first write.
            "NOPERM" if text.contains("script:") => Self::Lost(text),
            "NOPERM" | "NOAUTH" | "READONLY" => Self::WrongServer(text),
            code if NOT_EXECUTED.contains(&code) => Self::Refused(text),
            _ => Self::Lost(text),
        }
    }

    /// Of a command that only reads: whatever happened, nothing was changed.
    pub(crate) fn of_read(error: &RedisError) -> Self {
        match Self::of_write(error) {
            Self::Lost(text) => Self::Refused(text),
            other => other,
        }
    }

    /// Whether the connection may be broken.
    pub(crate) fn is_suspect(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::WrongServer(_))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoScript => Self::Unavailable("the server keeps forgetting the script".into()),
            Failure::Moved { host, port } => Self::Unavailable(format!(
                "the cluster keeps pointing elsewhere, last to {host}:{port}"
            )),
            Failure::Refused(text) | Failure::WrongServer(text) => Self::Unavailable(text),
            Failure::Lost(text) => Self::Unsettled(text),
            Failure::Unreadable(text) => Self::Unreadable(text),
        }
    }
}

/// `host:port`; hosts may be IPv6 addresses.
fn split(addr: &str) -> Option<(String, u16)> {
    let (host, port) = addr.rsplit_once(':')?;
    Some((host.into(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reply: &str) -> Failure {
        let error = redis::parse_redis_value(reply.as_bytes())
            .and_then(|value| value.extract_error())
            .unwrap_err();
        Failure::of_write(&error)
    }

    #[test]
    fn only_what_a_server_says_before_it_begins_counts_as_not_executed() {
        for reply in [
            "-OOM command not allowed when used memory > 'maxmemory'\r\n",
            "-LOADING Redis is loading the dataset in memory\r\n",
            "-MASTERDOWN Link with MASTER is down\r\n",
            "-BUSY Redis is busy running a script\r\n",
            "-CLUSTERDOWN The cluster is down\r\n",
            "-ASK 7 127.0.0.1:7000\r\n",
            "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        ] {
            assert!(matches!(of(reply), Failure::Refused(_)), "{reply}");
        }
        for reply in [
            "-READONLY You can't write against a read only replica.\r\n",
            "-NOPERM this user has no permissions to run the 'evalsha' command\r\n",
            "-NOAUTH Authentication required.\r\n",
        ] {
            assert!(matches!(of(reply), Failure::WrongServer(_)), "{reply}");
        }
        for reply in [
            "-ERR something new\r\n",
            "-NOPERM this user has no permissions to run the 'del' command script: ab, on @user_script:9.\r\n",
        ] {
            assert!(matches!(of(reply), Failure::Lost(_)), "{reply}");
        }
        assert!(matches!(
            of("-NOSCRIPT No matching script\r\n"),
            Failure::NoScript
        ));
        assert!(matches!(
            of("-MOVED 7 ::1:7000\r\n"),
            Failure::Moved { host, port: 7000 } if host == "::1"
        ));
    }

    #[test]
    fn a_connection_that_breaks_leaves_the_question_open() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(Failure::of_write(&broken), Failure::Lost(_)));
        assert!(matches!(Failure::of_read(&broken), Failure::Refused(_)));
    }
}
