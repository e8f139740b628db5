//! What became of a request, for the one thing that matters: may it have been executed?

use crate::meaning::{Meaning, Redirect, explain};
use permit_gate::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a request brought no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server does not know the script (any more). Not executed.
    NoScript,
    /// Another node serves this slot from now on. Not executed.
    Moved { slot: u16, to: Redirect },
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

impl Failure {
    /// Of a command that writes.
    pub(crate) fn of_write(error: &RedisError) -> Self {
        // Nothing of a transaction that was aborted is carried out, whatever was wrong with it.
        let aborted = error.kind() == ErrorKind::Server(ServerErrorKind::ExecAbort);
        match Meaning::of(error) {
            Meaning::NoScript => Self::NoScript,
            // Nothing to follow while a slot moves: the node it moves to would answer TRYAGAIN until it
            // has every key, and a receipt that does not exist yet never arrives.
            Meaning::Moved { slot, to } => Self::Moved { slot, to },
            Meaning::ReadOnly
            | Meaning::Unauthenticated
            | Meaning::Forbidden { in_script: false } => Self::WrongServer(explain(error)),
            Meaning::Unreadable => Self::Unreadable(explain(error)),
            meaning if aborted || meaning.is_before_anything() => Self::Refused(explain(error)),
            // A right that is missing inside the script is found missing after its first write.
            _ => Self::Lost(explain(error)),
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
            Failure::Moved { slot, to } => Self::Unavailable(format!(
                "the cluster keeps pointing elsewhere for slot {slot}, last to {}",
                to.shown()
            )),
            Failure::Refused(text) | Failure::WrongServer(text) => Self::Unavailable(text),
            Failure::Lost(text) => Self::Unsettled(text),
            Failure::Unreadable(text) => Self::Unreadable(text),
        }
    }
}

impl Redirect {
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::To(host, port) => format!("{host}:{port}"),
            Self::SameHost(port) => format!("port {port} of the same host"),
            Self::Unknown => "a node without a name".into(),
        }
    }
}

/// Of something that was not sent.
pub(crate) fn not_sent(failure: Failure) -> RedisError {
    let why = match failure {
        Failure::NoScript => "the server does not know the script".into(),
        Failure::Moved { slot, to } => {
            format!("the cluster points to {} for slot {slot}", to.shown())
        }
        Failure::Refused(why)
        | Failure::WrongServer(why)
        | Failure::Lost(why)
        | Failure::Unreadable(why) => why,
    };
    RedisError::from((ErrorKind::Io, "no connection", why))
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
            "-ERR Error running script (call to f_0123456789012345678901234567890123456789): @user_script:9: @user_script: 9: -OOM command not allowed\r\n",
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
            "-ERR Error running script (call to f_0123456789012345678901234567890123456789): @user_script:9: @user_script: 9: -READONLY You can't write\r\n",
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
            Failure::Moved { slot: 7, to: Redirect::To(host, 7000) } if host == "::1"
        ));
    }

    #[test]
    fn a_connection_that_breaks_leaves_the_question_open() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(Failure::of_write(&broken), Failure::Lost(_)));
        assert!(matches!(Failure::of_read(&broken), Failure::Refused(_)));
    }
}
