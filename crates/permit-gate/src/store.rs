//! The storage port: one atomic verb, and a way to be woken.

use crate::{id::AttemptId, id::PlanId, set::PermitMask, set::PermitSet};
use std::{fmt, future::Future, time::Duration, time::Instant};

/// Where permits lie.
///
/// An implementation passes [`crate::contract`]; [`crate::MemoryStore`] is one to start from.
///
/// Which way is it safe to be wrong? A wrong "no" costs one action that could have been done; a
/// wrong "yes" is never acceptable. So whatever an implementation cannot read or reach, it says so
/// as an error, and the gate answers no.
pub trait PermitStore: Send + Sync {
    /// What wakes a waiting plan. See [`Watch`].
    type Watch: Watch;

    /// The permits this store takes together. The gate judges by the same set.
    fn permits(&self) -> &PermitSet;

    /// Begins to listen for writes to this plan's permits. Called before the first take, so that a
    /// permit written between that take and the wait is not slept through. Dropping the watch ends
    /// it. A store that cannot push returns a watch that stays silent: the safety net of the
    /// gate's step finds the permits then.
    fn watch(&self, plan: &PlanId) -> Self::Watch;

    /// Takes every permit of the plan, or none, in one atomic step. Resolves as soon as the store
    /// has answered; the gate stops listening at [`Take::not_after`], so an implementation needs no
    /// timeout of its own, but one that gives up earlier with [`StoreError::Unsettled`] is asked
    /// again while there is time.
    ///
    /// Promises: of any number of rivals at most one attempt is ever answered
    /// [`Reply::Taken`]; the same attempt asking again gets the same answer, so a lost reply can
    /// be settled by asking; nothing is taken after [`Take::not_after`] or while halted; nothing
    /// of another plan is touched.
    ///
    /// Cancellation: a dropped future may still have taken the permits. That loses an action, never
    /// duplicates one; the gate drops it only when it has answered no.
    fn take_all(&self, take: &Take) -> impl Future<Output = Result<Reply, StoreError>> + Send;

    /// How long the first try of a wait may be put off: until then only [`Signal::LookAgain`] brings it about. For a
    /// store that knows that nothing can be taken yet; a denial and the kill switch are found that much later. Not at
    /// all unless a store says otherwise.
    fn first_try_within(&self) -> Duration {
        Duration::ZERO
    }

    /// How long a waiting plan should let pass between looks without a push. The gate offers its
    /// own `step`; a store that pushes reliably may stretch it under load, never shorten it.
    fn net_interval(&self, step: Duration) -> Duration {
        step
    }
}

/// Wakes one waiting plan.
pub trait Watch: Send {
    /// Resolves when something about the plan's permits may have changed since the last call.
    /// Signals are sticky: what happened between two calls is reported by the second. Spurious
    /// signals are allowed, lost ones are not. Cancellation safe.
    fn changed(&mut self) -> impl Future<Output = Signal> + Send;
}

/// What a watch noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// These permits were written, deleted or expired.
    Touched(PermitMask),
    /// The watch was blind for a while (a reconnect, a flush): look at everything.
    LookAgain,
}

/// One request to take all permits of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// The plan.
    pub plan: PlanId,
    /// This attempt: the key under which the answer is remembered.
    pub attempt: AttemptId,
    /// When the gate asked, on the clock of its timer.
    pub asked_at: Instant,
    /// A take that would happen later than this must be refused with [`Reply::Late`], on the
    /// store's own clock where it has one: the asker has stopped listening.
    pub not_after: Instant,
}

/// What the store did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Every permit was there and all are taken: their contents, in the set's order.
    Taken(Vec<Vec<u8>>),
    /// At least one is missing and none was taken: how each one stands, in the set's order.
    Missing(Vec<Slot>),
    /// Every permit is there, and the store waits for something that the asker has still to do: how
    /// each permit stands, in the set's order. None was taken. The asker looks again when its watch
    /// signals it ([`Signal::LookAgain`]).
    NotReady(Vec<Slot>),
    /// Another attempt has taken this plan's permits.
    TakenByOther,
    /// The plan itself is not, or no longer, this attempt's. Nothing was taken.
    NotHeld,
    /// The kill switch is on. Nothing was taken.
    Halted,
    /// The asker only rehearses, and a live instance works on the same store: the permits are its to take. Nothing was
    /// taken.
    Fenced,
    /// The request came to be executed after its [`Take::not_after`]. Nothing was taken.
    Late,
}

/// How one permit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its content where it is there and readable. Contents longer than
    /// [`crate::rule::MAX_PERMIT_BYTES`] may be cut one byte above that, which is still a no.
    pub content: Option<Vec<u8>>,
    /// Its remaining time.
    pub ttl: Ttl,
}

impl Slot {
    /// A permit that was not written.
    pub const ABSENT: Self = Self {
        content: None,
        ttl: Ttl::NoKey,
    };
}

/// A key's remaining time, in the words of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// There is no such key: `-2`.
    NoKey,
    /// The key never expires: `-1`.
    NoExpiry,
    /// Whole seconds left, rounded as the store rounds.
    Seconds(u64),
}

impl Ttl {
    /// From Redis' number: -2 no key, -1 no expiry, else seconds. Other negatives are no key.
    pub fn from_redis(seconds: i64) -> Self {
        match seconds {
            -1 => Self::NoExpiry,
            s => u64::try_from(s).map_or(Self::NoKey, Self::Seconds),
        }
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("-2"),
            Self::NoExpiry => f.write_str("-1"),
            Self::Seconds(s) => s.fmt(f),
        }
    }
}

/// A take that brought no answer. Split by what the asker may conclude, which is all it can use.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request was not executed: no connection, refused by access rules, out of memory.
    #[error("permit store is unavailable: {0}")]
    Unavailable(String),
    /// The request may have been executed; its answer was lost. Ask again with the same attempt.
    #[error("the permit store's answer was lost: {0}")]
    Unsettled(String),
    /// The store answered with something that is no answer.
    #[error("the permit store's answer cannot be read: {0}")]
    Unreadable(String),
}
