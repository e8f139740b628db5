//! What is written down on this machine before and after an order: the last fence against a second
//! one, whatever the shared store forgets.
//!
//! ```text
//!  record_intent ─▶ Intent ─record_result─▶ Concluded ─record_published─▶ Published
//!       └─ known already: no order, what is there is answered
//! ```
//!
//! A plan that ends without an order skips the first state. No state is ever left backwards, and
//! the first result that was written down stays.

use crate::{
    exchange::OrderTrace, plan_id::client_order_id, ports::PortError, result::ApplyResult,
    symbol::Symbol, text,
};
use permit_gate::{AttemptId, PlanId};
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

/// The two things a plan may place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// A close at the market.
    Close,
    /// A protective stop.
    Stop,
}

/// All that is written down about one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The plan.
    #[serde(with = "text")]
    pub plan: PlanId,
    /// What it was about to do; none where it ended before.
    pub intent: Option<Intent>,
    /// What came of it; none while that is not known.
    pub result: Option<ApplyResult>,
    /// When the result was on the stream, in seconds since 1970; none while it is not.
    pub published_at: Option<u64>,
}

impl Entry {
    /// An entry in its first state.
    pub fn intending(intent: Intent) -> Self {
        Self {
            plan: intent.plan.clone(),
            intent: Some(intent),
            result: None,
            published_at: None,
        }
    }

    /// An entry of a plan that ended before it came to an intent.
    pub fn concluded(result: ApplyResult) -> Self {
        Self {
            plan: result.plan.clone(),
            intent: None,
            result: Some(result),
            published_at: None,
        }
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
/// [`Journal::record_published`].
///
/// An error means that nothing may be relied on: no order follows from it. Dropping a future does
/// not take back what it may have written.
pub trait Journal: Send + Sync {
    /// Writes an intent down, synced to disk, unless the plan is known.
    fn record_intent(
        &self,
        intent: &Intent,
    ) -> impl Future<Output = Result<Recorded, PortError>> + Send;

    /// Writes down what came of a plan, synced. Answers with the result that stands: this one, or
    /// the one that was written down before.
    fn record_result(
        &self,
        result: &ApplyResult,
    ) -> impl Future<Output = Result<ApplyResult, PortError>> + Send;

    /// Notes that the plan's result is on the stream. May be lost in a crash: the result is then
    /// published again, which changes nothing.
    fn record_published(
        &self,
        plan: &PlanId,
        at: u64,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// What is known of a plan. A journal may have a way for an operator to have a plan forgotten whose result was
    /// published; it answers `None` of it once that is on disk.
    fn look_up(
        &self,
        plan: &PlanId,
    ) -> impl Future<Output = Result<Option<Entry>, PortError>> + Send;

    /// Whether something could be written down now, asked of whoever writes: an answer that does not
    /// come is none.
    fn probe(&self) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Every entry whose result is not noted as published.
    fn fetch_unfinished(&self) -> impl Future<Output = Result<Vec<Entry>, PortError>> + Send;
}

/// Evidence that a plan's intent was written down by this attempt, on disk and in the shared store,
/// before anything could leave. Only [`crate::life`] makes one, and arming an order consumes it.
///
/// ```compile_fail
/// fn forge(intent: apply_core::Intent) -> apply_core::RecordedIntent {
///     apply_core::RecordedIntent { intent }
/// }
/// ```
#[derive(Debug)]
#[must_use = "the intent is on disk: arm the order with it"]
pub struct RecordedIntent {
    intent: Intent,
}

impl RecordedIntent {
    /// For the one place that has both answers in hand.
    pub(crate) fn new(intent: Intent) -> Self {
        Self { intent }
    }

    /// What was written down.
    pub fn intent(&self) -> &Intent {
        &self.intent
    }
}
