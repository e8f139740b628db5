//! What the caller is asked between a request's timestamp and its signature.
//!
//! ```text
//!  lane, limits ──▶ timestamp ──▶ look ──Go──▶ sign ──▶ send
//!                      ▲            ├─AskAgain──▶ ask_again ──┐
//!                      └────────────┼─────────────────────────┘
//!                                   └─Refuse──▶ NotSent(HeldBack)
//! ```
//!
//! The venue takes a request for a receive window that begins at its timestamp. So what has to be true of a request
//! has to be true at its timestamp, and is looked at afterwards: a process that is stopped after the look loses the
//! request to the window, one that looks first and stamps later does not.

use std::{future::Future, time::Instant};

/// Decides whether a request that has its timestamp may leave.
///
/// [`Client::submit_after`](crate::Client::submit_after) and [`Client::replace_stop_after`](crate::Client::replace_stop_after)
/// ask it once the request has its turn on the connection and its room under the venue's limits, so nothing queues
/// between a [`Look::Go`] and the signature.
pub trait LastLook: Send + Sync {
    /// Looks at what is at hand. `stamped` is the moment of the timestamp on this machine's monotonic clock.
    ///
    /// Called from the task of the submission, once for each timestamp. It must return at once: a file's metadata is
    /// quick enough, a question to another machine is not.
    fn look(&self, stamped: Instant) -> Look;

    /// Makes good what [`Look::AskAgain`] found too old, for instance by asking a server. The request gets a new
    /// timestamp afterwards and is looked at again, so this may take its time; it should give up when an answer would
    /// come too late, since nothing here does. The request keeps its turn meanwhile.
    ///
    /// # Errors
    /// Why the request must not leave, in a sentence: it ends as
    /// [`NotSentReason::HeldBack`](crate::NotSentReason::HeldBack).
    ///
    /// # Cancellation
    /// Dropped with the future of the submission, at any await.
    fn ask_again(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// What a look at a request found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is signed and sent, with no await in between.
    Go,
    /// What is known is too old for this timestamp: [`LastLook::ask_again`], then a new timestamp and a new look.
    AskAgain,
    /// It must not leave, and why, in a sentence.
    Refuse(String),
}

/// For requests that need no last look.
pub(crate) struct Unasked;

impl LastLook for Unasked {
    fn look(&self, _: Instant) -> Look {
        Look::Go
    }

    async fn ask_again(&self) -> Result<(), String> {
        Ok(())
    }
}
