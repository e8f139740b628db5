//! The last look before an order leaves: after its timestamp, before its signature.

use apply_wire::Reason;
use std::{future::Future, time::Instant};

/// Decides whether an order that has its timestamp may be signed.
///
/// The venue's port asks it once the order has all it might have to wait for: a turn, room under the venue's limits. After
/// [`Look::Go`] it signs and sends without an await in between.
pub trait LastLook: Send + Sync {
    /// Looks at what is known at this moment. `stamped` is when the timestamp was taken, on the clock of the ports.
    /// Answers at once: it reads memory and the metadata of one file.
    fn look(&self, stamped: Instant) -> Look;

    /// Asks the store for what [`Look::AskAgain`] found too old. The order needs a new timestamp and a new look
    /// afterwards.
    ///
    /// Cancellation safe: it reads only.
    fn ask_again(&self) -> impl Future<Output = Result<(), HeldBack>> + Send;
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Sign and send.
    Go,
    /// The last yes, or the last confirmation of the master, is too old for this timestamp.
    AskAgain,
    /// The order must not leave.
    HeldBack(HeldBack),
}

/// Why an order that was about to leave did not. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeldBack {
    /// A kill switch is on, or cannot be read.
    #[error("trading was halted before the order was signed: {by}")]
    Halted {
        /// What says so.
        by: String,
    },
    /// The plan is not this attempt's any more, or another server answers than the one it was claimed on.
    #[error("the plan was lost before the order was signed: {why}")]
    Lost {
        /// How that is known.
        why: String,
    },
    /// The time in which the order may be signed is over.
    #[error("the order could not be signed in time: {why}")]
    TooLate {
        /// What took so long.
        why: String,
    },
}

impl HeldBack {
    /// The `error` of the result.
    pub fn reason(&self) -> Reason {
        self.into()
    }
}
