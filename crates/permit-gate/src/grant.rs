//! What comes out of the gate: evidence that everyone agreed, or the reason why not.

use crate::{
    id::{AttemptId, PlanId, Subject},
    rule::{Refusal, Terms},
    set::{PermitMask, PermitSet},
    store::{StoreError, Ttl},
};
use rust_decimal::Decimal;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Evidence that every required permit was there at the same moment, said yes for this plan, and
/// was taken by this attempt.
///
/// Held, not checked: only the gate makes one, it can be neither cloned nor loaded from anywhere,
/// and whatever it allows takes it by value. Dropping it is always safe; the permits are gone and
/// nothing happens.
///
/// ```compile_fail
/// fn twice(grant: permit_gate::Grant) { (spend(grant.clone()), spend(grant)); }
/// # fn spend(_: permit_gate::Grant) {}
/// ```
#[derive(Debug)]
#[must_use = "the permits are taken: spend the grant, or say why it was not spent"]
pub struct Grant {
    subject: Subject,
    attempt: AttemptId,
    asked_at: Instant,
    waited: Duration,
    permits: Vec<GrantedPermit>,
}

/// One permit of a grant: who gave it, and on what terms.
#[derive(Debug)]
pub struct GrantedPermit {
    /// The permit's name: `governor`.
    pub name: Arc<str>,
    /// What the reviewer allows.
    pub terms: Terms,
}

impl Grant {
    /// For the gate alone.
    pub(crate) fn new(
        subject: Subject,
        attempt: AttemptId,
        asked_at: Instant,
        waited: Duration,
        permits: Vec<GrantedPermit>,
    ) -> Self {
        Self {
            subject,
            attempt,
            asked_at,
            waited,
            permits,
        }
    }

    /// The plan it was given for.
    pub fn plan(&self) -> &PlanId {
        &self.subject.plan
    }

    /// What it allows the action on: the subject's target.
    pub fn target(&self) -> &str {
        &self.subject.target
    }

    /// The attempt that took the permits.
    pub fn attempt(&self) -> &AttemptId {
        &self.attempt
    }

    /// When the take that was answered with yes was asked for: never later than it was sent. What the
    /// store said in that answer was true at some moment after this one, and may have changed since.
    pub fn asked_at(&self) -> Instant {
        self.asked_at
    }

    /// From the first try to the grant.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The permits, in the set's order.
    pub fn permits(&self) -> &[GrantedPermit] {
        &self.permits
    }

    /// The largest amount every reviewer agrees to; `None` where no reviewer gave one. Reviewers
    /// without an opinion do not count.
    pub fn limit(&self) -> Option<Decimal> {
        self.permits.iter().filter_map(|p| p.terms.limit).min()
    }

    /// The amount that the first reviewer who says so saw of the target when it decided.
    pub fn seen(&self) -> Option<Decimal> {
        self.permits.iter().find_map(|p| p.terms.seen)
    }
}

/// No. Nothing may happen for this plan on this attempt.
#[derive(Debug)]
pub struct Block {
    plan: PlanId,
    reason: BlockReason,
    waited: Duration,
    ttls: Vec<(Arc<str>, Ttl)>,
}

/// Why not. Split by who has to act next.
#[derive(Debug)]
pub enum BlockReason {
    /// Permits were still missing at the deadline: ask their issuers.
    Missing {
        /// `missing_both`, `missing_p33`, …
        reason: String,
        /// Which ones.
        permits: PermitMask,
    },
    /// A permit is there and is a no: see the refusal.
    Refused {
        /// Whose.
        permit: Arc<str>,
        /// Why it does not count as a yes.
        refusal: Refusal,
    },
    /// The kill switch is on: an operator decides.
    Halted,
    /// The asker rehearses beside a live instance: give it a store of its own.
    Fenced,
    /// A rival attempt holds this plan's permits.
    TakenByOther,
    /// The store says that the plan is not, or no longer, this attempt's.
    NotHeld,
    /// The take reached the store, or the gate was polled, after deadline and grace, or the store was
    /// still waiting for the asker then; nothing was taken.
    Late,
    /// The store could not be reached or understood up to the deadline.
    StoreUnavailable(StoreError),
    /// A take was still unanswered when the wait ended. Permits may be gone; nothing follows.
    Unanswered,
    /// The gate had already answered. A grant is given once.
    AlreadyAnswered,
}

impl Block {
    pub(crate) fn new(
        plan: PlanId,
        reason: BlockReason,
        waited: Duration,
        set: &PermitSet,
        ttls: &[Ttl],
    ) -> Self {
        let ttls = set
            .iter()
            .zip(ttls)
            .map(|(p, ttl)| (p.short().into(), *ttl))
            .collect();
        Self {
            plan,
            reason,
            waited,
            ttls,
        }
    }

    /// The plan it is about.
    pub fn plan(&self) -> &PlanId {
        &self.plan
    }

    /// Why not.
    pub fn reason(&self) -> &BlockReason {
        &self.reason
    }

    /// From the first try to the answer.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Each permit's remaining time when last seen, under its short name; empty where the store
    /// never answered.
    pub fn ttls(&self) -> impl Iterator<Item = (&str, Ttl)> {
        self.ttls.iter().map(|(name, ttl)| (&**name, *ttl))
    }

    /// The reason as one snake_case word: the `reason=` of the log line and a metric's label.
    pub fn code(&self) -> String {
        match &self.reason {
            BlockReason::Missing { reason, .. } => reason.clone(),
            BlockReason::Refused { permit, refusal } => refusal.code(permit),
            BlockReason::Halted => "kill_switch_active".into(),
            BlockReason::Fenced => "live_instance_beside".into(),
            BlockReason::TakenByOther => "permits_taken_by_other".into(),
            BlockReason::NotHeld => "claim_lost".into(),
            BlockReason::Late => "permit_take_too_late".into(),
            BlockReason::StoreUnavailable(_) => "permit_store_unavailable".into(),
            BlockReason::Unanswered => "permit_take_unanswered".into(),
            BlockReason::AlreadyAnswered => "gate_already_answered".into(),
        }
    }

    /// The `error` of a published result: as [`Block::code`], with the wire's prefix before
    /// missing permits.
    pub fn error_code(&self) -> String {
        match &self.reason {
            BlockReason::Missing { reason, .. } => format!("permit_timeout_or_missing:{reason}"),
            _ => self.code(),
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            BlockReason::Missing { reason, .. } => {
                write!(f, "{reason} after {} ms", self.waited.as_millis())
            }
            BlockReason::Refused { permit, refusal } => write!(f, "{permit} permit: {refusal}"),
            BlockReason::StoreUnavailable(error) => error.fmt(f),
            _ => f.write_str(&self.code()),
        }
    }
}

impl std::error::Error for Block {}
