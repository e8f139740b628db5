//! Errors of questions and of setting up. Errors of submissions are endings and live in `submission`.

use crate::{
    codes, credentials::CredentialsError, fields::DecodeError, host::HostError, reply::Reply,
};
use std::time::Duration;

/// Why a client could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The host is not an allowed one.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The key or the secret is unusable.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A setting is outside its bounds.
    #[error("{name} is {given:?}, allowed is {allowed}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// What was given.
        given: Duration,
        /// What would be taken.
        allowed: &'static str,
    },
    /// TLS could not be set up, most often because the system has no root certificates.
    #[error("the connection could not be set up: {0}")]
    Transport(String),
}

/// Why a question (or a cancel, which may be repeated like one) has no answer. Asking again is always safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The venue's limits leave no room; nothing was sent. Says how long until there may be some.
    #[error("rate limited by the venue; retry after {0:?}")]
    Limited(Duration),
    /// The venue answered that this address or account has to stop (429, 418, -1003, -1015, the firewall's 403). Says for how
    /// long nothing is sent now.
    #[error("stopped by the venue for {left:?} ({reply})")]
    Stopped {
        /// For how long.
        left: Duration,
        /// All the venue said.
        reply: Reply,
    },
    /// No answer: no connection, or it broke.
    #[error("no answer: {0}")]
    Failed(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The venue answered with an error.
    #[error("refused by the venue ({0})")]
    Refused(Reply),
    /// The answer does not hold what it should.
    #[error("unreadable answer ({error})")]
    Unreadable {
        /// What could not be read.
        error: DecodeError,
        /// The answer.
        reply: Reply,
    },
    /// The host does not list what was asked about.
    #[error("not on this host ({0})")]
    NotListed(DecodeError),
    /// The host's entry for a symbol cannot be read.
    #[error("the rules of the symbol cannot be read ({0})")]
    UnreadableRules(DecodeError),
    /// The address about to be sent to is not the allowed host's.
    #[error("refusing to send to an address that is not the allowed host")]
    HostRefused,
}

impl RequestError {
    /// The venue's error code, where it gave one.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        match self {
            Self::Refused(reply) | Self::Stopped { reply, .. } => reply.code,
            _ => None,
        }
    }

    /// True where the same question may be answered otherwise a moment later: nothing came, what came cannot be read, or the
    /// venue says that it is not itself.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Timeout(_) | Self::Unreadable { .. } => true,
            Self::Refused(reply) => {
                reply.status >= 500 || reply.status == 408 || reply.code.is_some_and(codes::passes)
            }
            Self::Limited(_)
            | Self::Stopped { .. }
            | Self::NotListed(_)
            | Self::UnreadableRules(_)
            | Self::HostRefused => false,
        }
    }
}
