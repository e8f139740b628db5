//! What is written down on this machine before and after an order: the last fence against a second
//! one, whatever the shared store forgets.
//!
//! ```text
//!  record_claim ─▶ Claimed ─record_intent─▶ Intent ─record_result─▶ Concluded ─record_published─▶ Published
//!                                └─ an intent is known already: no order, what is there is answered
//! ```
//!
//! A plan that ends without an order skips the second state. No state is ever left backwards. A result
//! that something was executed stays, and so does one that was published; one that nothing was may give way, until
//! it is published, to what the venue says later.

use crate::{
    hold::{GenerationId, PortError, Publisher},
    order::{OrderKind, OrderTrace, Side},
    plan_id::client_order_id,
    result::ApplyResult,
    symbol::Symbol,
    text,
};
use permit_gate::{AttemptId, Grant, PlanId};
use serde::{Deserialize, Serialize};
use std::future::Future;

/// What a plan is about to do at the venue, with everything needed to find out later, in this
/// process or another one, whether it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The plan.
    #[serde(with = "text")]
    pub plan: PlanId,
    /// Its symbol.
    #[serde(with = "text")]
    pub symbol: Symbol,
    /// The step's name: `CLOSE_PARTIAL_75`.
    pub step: String,
    /// What would be at the venue.
    pub order: OrderKind,
    /// The attempt that claimed the plan.
    #[serde(with = "text")]
    pub attempt: AttemptId,
    /// What to ask the venue with.
    pub trace: OrderTrace,
    /// When it was written down, in seconds since 1970.
    pub at: u64,
}

impl Intent {
    /// The id to look for at the venue.
    pub fn client_order_id(&self) -> String {
        client_order_id(&self.plan)
    }
}

/// A plan that an attempt of this machine has claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimNote {
    /// The plan.
    #[serde(with = "text")]
    pub plan: PlanId,
    /// Its symbol.
    #[serde(with = "text")]
    pub symbol: Symbol,
    /// The step's name.
    pub step: String,
    /// What it would place.
    pub order: OrderKind,
    /// The attempt.
    #[serde(with = "text")]
    pub attempt: AttemptId,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Whether it was to be rehearsed only: no order can have left.
    #[serde(default)]
    pub rehearsed: bool,
}

/// The kill switch in the store, as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchNote {
    /// Whether it was on.
    pub on: bool,
    /// What the store remembered then: a switch that is not there any more is off only where it still
    /// remembers that.
    pub generation: Option<GenerationId>,
}

/// All that is written down about one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The plan.
    #[serde(with = "text")]
    pub plan: PlanId,
    /// Who claimed it here; none where nothing of that was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimNote>,
    /// What it was about to do; none where it ended before.
    pub intent: Option<Intent>,
    /// What came of it; none while that is not known.
    pub result: Option<ApplyResult>,
    /// The attempt that publishes the result; none where any attempt may, or the result needs none any more.
    #[serde(rename = "teller", default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Publisher>,
    /// When its end was on the stream, in seconds since 1970; none while it is not.
    pub published_at: Option<u64>,
    /// Whether that end was published by another attempt, and is not this entry's result.
    #[serde(rename = "told_by_another", default, skip_serializing_if = "is_false")]
    pub published_by_another: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Entry {
    /// An entry that says nothing yet.
    pub fn of(plan: PlanId) -> Self {
        Self {
            plan,
            claim: None,
            intent: None,
            result: None,
            publisher: None,
            published_at: None,
            published_by_another: false,
        }
    }

    /// An entry in its first state.
    pub fn claimed(claim: ClaimNote) -> Self {
        Self {
            claim: Some(claim.clone()),
            ..Self::of(claim.plan)
        }
    }

    /// An entry of a plan that may be ordered for.
    pub fn intending(intent: Intent) -> Self {
        Self {
            intent: Some(intent.clone()),
            ..Self::of(intent.plan)
        }
    }

    /// An entry of a plan that ended before it came to an intent.
    pub fn concluded(result: ApplyResult) -> Self {
        Self {
            result: Some(result.clone()),
            ..Self::of(result.plan)
        }
    }

    /// Whether nothing more is known than that the plan was claimed: nothing was ordered for it here, and
    /// nothing published.
    pub fn is_only_claimed(&self) -> bool {
        self.intent.is_none() && self.result.is_none() && self.published_at.is_none()
    }

    /// The entry with this result, published by this attempt, written into it; `None` where the one that stands
    /// stays.
    pub fn with_result(&self, result: &ApplyResult, publisher: Option<&Publisher>) -> Option<Self> {
        match &self.result {
            Some(standing) if standing.executed => None,
            Some(_) if self.published_at.is_some() && !result.executed => None,
            _ => Some(Self {
                result: Some(result.clone()),
                publisher: publisher.cloned(),
                published_at: None,
                published_by_another: false,
                ..self.clone()
            }),
        }
    }

    /// The entry once its end is on the stream; `None` where it was already.
    pub fn with_end(&self, at: u64, by_another: bool) -> Option<Self> {
        self.published_at.is_none().then(|| Self {
            published_at: Some(at),
            published_by_another: by_another,
            ..self.clone()
        })
    }
}

/// Whether an intent is written down now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It is, and on disk.
    Now,
    /// The plan was there before; nothing was changed.
    Before(Box<Entry>),
}

/// The journal. What a call answered `Ok` to is still there after a power cut, but for
/// [`Journal::record_claim`], [`Journal::record_published`] and [`Journal::record_published_by_another`].
///
/// An error means that nothing may be relied on: no order follows from it. Dropping a future does
/// not take back what it may have written.
pub trait Journal: Send + Sync {
    /// Notes that a plan is claimed, unless more is known of it. Does not wait for the disk: it goes there
    /// with the next write or a moment later.
    fn record_claim(&self, claim: &ClaimNote)
    -> impl Future<Output = Result<(), PortError>> + Send;

    /// Writes an intent down, synced to disk, unless more is known of the plan than that it was claimed.
    fn record_intent(
        &self,
        intent: &Intent,
    ) -> impl Future<Output = Result<Recorded, PortError>> + Send;

    /// Writes down what came of a plan, and in whose name it is published, synced. Answers with the result that
    /// stands: this one, or the one that was written down before where that one stays
    /// ([`Entry::with_result`]).
    fn record_result(
        &self,
        result: &ApplyResult,
        publisher: Option<&Publisher>,
    ) -> impl Future<Output = Result<ApplyResult, PortError>> + Send;

    /// Notes that the plan's result is on the stream. May be lost in a crash: the result is then
    /// published again, which changes nothing.
    fn record_published(
        &self,
        plan: &PlanId,
        at: u64,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Notes that the plan's end was published by another attempt: nothing is owed any more. May be lost in a
    /// crash: the store is asked again then.
    fn record_published_by_another(
        &self,
        plan: &PlanId,
        at: u64,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Writes down how the kill switch in the store was seen, synced.
    fn record_switch(
        &self,
        switch: &SwitchNote,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// How it was seen last, in this process or an earlier one; none where it was never written down.
    fn fetch_switch(&self) -> impl Future<Output = Result<Option<SwitchNote>, PortError>> + Send;

    /// What is known of a plan. A journal may have a way for an operator to have a plan forgotten whose result was
    /// published; it answers `None` of it once that is on disk.
    fn look_up(
        &self,
        plan: &PlanId,
    ) -> impl Future<Output = Result<Option<Entry>, PortError>> + Send;

    /// Whether something could be written now, asked of the writer: an answer that does not
    /// come is none.
    fn probe(&self) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Every entry whose end is not noted as published.
    fn fetch_unfinished(&self) -> impl Future<Output = Result<Vec<Entry>, PortError>> + Send;

    /// So many entries at most whose end was published last, the last one first.
    fn fetch_published(
        &self,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, PortError>> + Send;
}

/// Evidence that a plan's intent was written down by this attempt, on disk and in the shared store,
/// before anything could leave. Only [`crate::execute`] makes one, and arming an order consumes it.
///
/// ```compile_fail
/// fn forge(intent: apply_core::Intent) -> apply_core::RecordedIntent {
///     apply_core::RecordedIntent::of(intent)
/// }
/// ```
#[derive(Debug)]
#[must_use = "the intent is on disk: arm the order with it"]
pub struct RecordedIntent {
    plan: PlanId,
    symbol: Symbol,
    order: OrderKind,
    attempt: AttemptId,
    side: Side,
}

impl RecordedIntent {
    /// For the one place that has both answers in hand.
    ///
    /// Keeps what an order is compared with, and not the whole intent: each plan that waits holds one.
    pub(crate) fn of(intent: Intent) -> Self {
        Self {
            plan: intent.plan,
            symbol: intent.symbol,
            order: intent.order,
            attempt: intent.attempt,
            side: intent.trace.side,
        }
    }

    /// Whether it is the intent of this order.
    pub(crate) fn is_of(&self, order: OrderKind, grant: &Grant, side: Side) -> bool {
        self.order == order
            && self.plan == *grant.plan()
            && self.symbol.as_str() == grant.target()
            && self.attempt == *grant.attempt()
            && self.side == side
    }
}
