//! The four endings of a submission. There is no fifth, and none of them is a guess.

use crate::{
    codes::{Meaning, Submitted},
    endpoint::order::OrderReport,
    reply::Reply,
    rules::{Quantity, RuleError},
    time::{Offset, VenueTime},
};
use rust_decimal::Decimal;
use std::{fmt, time::Duration};

/// How a submission ended. `R` is what the venue reports of the thing accepted: [`OrderReport`] for an order,
/// [`StopReport`](crate::StopReport) for a stop.
///
/// The next move differs for each: book an accepted order, give up on a rejected or unsent one, and **ask** about an
/// unknown one with [`Client::settle`](crate::Client::settle). Nothing here is ever fixed by sending again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an order may be live; an unknown ending has to be settled"]
pub enum Submission<R = OrderReport> {
    /// The venue took it. Look at the report for what filled: an accepted order may have ended without a fill.
    Accepted(R),
    /// The venue looked at it and said no. Nothing was executed.
    Rejected(Rejection),
    /// Nothing was executed: no byte left, or the venue says it did not take the request in.
    NotSent(NotSent),
    /// It may have happened. Ask, never resend.
    Unknown(Unknown),
}

/// The venue's no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rejected by the venue ({reply})")]
#[non_exhaustive]
pub struct Rejection {
    /// The code that says why, for instance -2022 for a reduce-only order without a position.
    pub code: i64,
    /// All the venue said.
    pub reply: Reply,
}

/// Nothing was executed, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not executed: {reason}{}", said(.reply.as_ref()))]
#[non_exhaustive]
pub struct NotSent {
    /// Why.
    pub reason: NotSentReason,
    /// What the venue said, where it was asked at all.
    pub reply: Option<Reply>,
}

/// Why nothing was executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSentReason {
    /// A POST for this client order id was started before; there is never a second.
    #[error("an order with this id was submitted before; ask about it instead of sending it again")]
    AlreadySubmitted,
    /// Too many submissions wait for an ending to remember another.
    #[error("{0} submissions are still without a known ending")]
    TooManyOpen(usize),
    /// The quantity is not one the symbol's rules allow.
    #[error(transparent)]
    Rules(#[from] RuleError),
    /// The quantity was cut for other rules than the order's.
    #[error("{0} was rounded for another symbol")]
    ForeignQuantity(Quantity),
    /// The quantity is larger than the position the order closes.
    #[error("{quantity} is more than the position of {held}")]
    LargerThanPosition {
        /// What was asked for.
        quantity: Quantity,
        /// The position that can be closed.
        held: Decimal,
    },
    /// This machine's clock is too far from the venue's.
    #[error(
        "the clock is {offset} from the venue's, more than {limit:?}; set the clock of this machine"
    )]
    ClockDrift {
        /// How far.
        offset: Offset,
        /// The configured bound.
        limit: Duration,
    },
    /// The moment until which the order was to be signed is past.
    #[error("it should have been signed {by:?} earlier")]
    TooLate {
        /// How long ago.
        by: Duration,
    },
    /// The caller's [`LastLook`](crate::LastLook) held it back, and why.
    #[error("held back: {0}")]
    HeldBack(String),
    /// The venue's time could not be learned, so no timestamp can be signed.
    #[error("the venue's time is not known: {0}")]
    ClockUnknown(String),
    /// The venue refused the timestamp (-1021 or -5028). The offset is measured again before the next request.
    #[error("the venue refused the timestamp")]
    TimestampRefused,
    /// The venue asked this address to stop (429 or 418, or the order-count limit is used up).
    #[error("rate limited by the venue; retry after {0:?}")]
    Limited(Duration),
    /// The firewall in front of the venue turned it away with a page (403). Nothing is asked for so long.
    #[error("the venue's firewall refused it; the client sends nothing for {0:?}")]
    TurnedAway(Duration),
    /// The venue says it is too busy and did not take the order in.
    #[error("the venue is not taking orders in at the moment")]
    VenueBusy,
    /// No connection came about, so no byte of the order left.
    #[error("no connection: {0}")]
    NoConnection(String),
    /// The address about to be sent to is not the allowed host's.
    #[error("refusing to send to an address that is not the allowed host")]
    HostRefused,
}

/// It may have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown whether it was executed: {cause}{}", said(.reply.as_ref()))]
#[non_exhaustive]
pub struct Unknown {
    /// What kept the answer away.
    pub cause: UnknownCause,
    /// What the venue said, where anything arrived.
    pub reply: Option<Reply>,
    /// When it was sent and how long it could land; what [`Client::settle`](crate::Client::settle) needs.
    pub window: SendWindow,
}

/// What kept the answer away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownCause {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke after bytes had left.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// An answer of success that cannot be read.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// The venue itself says it does not know (408, -1000, -1006, -1007, the 503 "Unknown error", -4116).
    #[error("the venue reported an unknown execution status")]
    VenueUnsure,
    /// An answer that no document explains. It is not taken for a no.
    #[error("the answer is not a documented one")]
    Undocumented,
    /// The future of the submission was dropped, and the runtime ended before the answer came.
    #[error("the submission was abandoned")]
    Abandoned,
}

/// How long after its receive window a request may still land: one second since the venue's clocks are not one clock, 150 ms
/// by which a measurement of its time may be ahead, and 100 ms by which the clocks may drift apart until the next one.
pub const LANDING_SLACK: Duration = Duration::from_millis(1250);

/// When a request was signed and how long the venue may still accept it.
///
/// The venue takes a request until `recv_window` after its timestamp, both at its gateway and in its matching engine, so
/// [`LANDING_SLACK`] later nothing of it can land any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWindow {
    /// Not signed before this moment.
    pub not_before: VenueTime,
    /// Not signed after this moment.
    pub not_after: VenueTime,
    /// The receive window it was signed with.
    pub recv_window: Duration,
}

impl SendWindow {
    /// The window of a request with a known timestamp.
    #[must_use]
    pub fn at(timestamp: VenueTime, recv_window: Duration) -> Self {
        Self {
            not_before: timestamp,
            not_after: timestamp,
            recv_window,
        }
    }

    /// The moment from which on the request can no longer land, on the venue's clock.
    #[must_use]
    pub fn closes(&self) -> VenueTime {
        self.not_after.plus(self.recv_window).plus(LANDING_SLACK)
    }
}

impl NotSent {
    /// The venue's code, where it refused the request with one that the table calls refused.
    #[must_use]
    pub fn refused_with(&self) -> Option<i64> {
        let reply = self.reply.as_ref()?;
        // What is refused for certain here is so for orders and stops alike.
        match reply.means(Submitted::Order) {
            Meaning::Refused => reply.code,
            Meaning::Unknown => None,
        }
    }
}

/// The venue's own words, where there are any.
fn said(reply: Option<&Reply>) -> String {
    reply.map_or_else(String::new, |reply| format!(" ({reply})"))
}

impl<R> Submission<R> {
    /// The report, where it was accepted.
    #[must_use]
    pub fn accepted(&self) -> Option<&R> {
        match self {
            Self::Accepted(report) => Some(report),
            Self::Rejected(_) | Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }
}

impl<R> Submission<R> {
    pub(crate) fn not_sent(reason: NotSentReason) -> Self {
        Self::NotSent(NotSent {
            reason,
            reply: None,
        })
    }
}

/// One line for a log or a result: what happened, with the venue's words.
impl fmt::Display for Submission<OrderReport> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(report) => {
                write!(
                    f,
                    "accepted as {} ({})",
                    report.order_id,
                    report.status_word()
                )
            }
            Self::Rejected(no) => no.fmt(f),
            Self::NotSent(not) => not.fmt(f),
            Self::Unknown(unknown) => unknown.fmt(f),
        }
    }
}
