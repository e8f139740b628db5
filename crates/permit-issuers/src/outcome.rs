//! What became of one delivered plan.

use crate::{denial::Reason, entry::EntryId, plan::UnreadablePlan};
use apply_core::Symbol;
use permit_gate::PlanId;
use rust_decimal::Decimal;
use std::time::Duration;

/// What became of one delivered plan.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewOutcome {
    /// Its entry.
    pub entry: EntryId,
    /// Plan and symbol, where they could be read.
    pub about: Option<(PlanId, Symbol)>,
    /// What was done.
    pub outcome: Outcome,
}

/// How a review ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The plan is not to be executed; it is not reviewed.
    NotForReview,
    /// The entry is no plan: acknowledged, and no permit.
    Unreadable(UnreadablePlan),
    /// The plan came so late that its wait is over: acknowledged, and no permit.
    TooOld(Duration),
    /// Finalized by another reviewer, or granted before.
    DoneByOther,
    /// A yes was written.
    Granted {
        /// The quantity in it, in base units; 0 is no opinion.
        quantity: Decimal,
        /// From the plan's entry to the permit, on the store's clock, which stamps entries to the
        /// millisecond.
        took: Duration,
    },
    /// A no was written.
    Denied {
        /// Why.
        reason: Reason,
        /// What the kill switch was tripped with, where it was.
        tripped: Option<String>,
        /// As in [`Outcome::Granted`].
        took: Duration,
    },
}
