//! One delivered plan through a review: read, decided on a page of the book, finalized.

use crate::{
    denial::Denial,
    entry::Fields,
    governor::{self, APPROVED, Execution, GovernorVerdict, Policy},
    ledger_sync::{LedgerSync, SnapshotKeeper},
    outcome::{Outcome, ReviewOutcome},
    plan::Reviewed,
    ports::{
        Charge, Delivery, Finalized, PermitSink, PermitToWrite, PositionBook, Positions, Seal,
        UsageBook,
    },
    position_brain::{self, P33Verdict},
    timestamp::Timestamp,
};
use apply_core::{PortError, Symbol};
use apply_wire::{
    Reason,
    field::{SOURCE, is_foreign},
};
use permit_gate::PlanId;
use rust_decimal::Decimal;
use std::{sync::Arc, time::Duration};

/// A plan older than this is not reviewed: a permit lives as long, and no wait is longer.
pub const PLAN_MAX_AGE: Duration = Duration::from_secs(60);

/// How often a review begins anew because its page changed under it, before it is left to later.
const TRIES: usize = 8;

/// The governor over its book.
#[derive(Debug)]
pub struct Governor<B> {
    book: B,
    policy: Policy,
    seal: Option<Arc<dyn Seal>>,
}

impl<B: UsageBook> Governor<B> {
    /// A governor with this policy.
    pub fn new(book: B, policy: Policy) -> Self {
        Self {
            book,
            policy,
            seal: None,
        }
    }

    /// The same, every permit of which bears this seal.
    pub fn sealing(self, seal: Arc<dyn Seal>) -> Self {
        Self {
            seal: Some(seal),
            ..self
        }
    }

    /// Reviews one entry of the plan stream and writes its permit. After an error nothing was
    /// written that is not whole, and the entry is delivered again.
    pub async fn review(&self, delivery: &Delivery) -> Result<ReviewOutcome, PortError> {
        let plan = match admit(&self.book, delivery).await? {
            Ok(plan) => plan,
            Err(ruled) => return Ok(ruled),
        };
        let outcome = match &self.policy {
            Policy::ApproveAll => {
                let now = delivery.read_at;
                let permit = APPROVED.to_permit(&plan.symbol, now);
                let permit = sealed(self.seal.as_deref(), permit, delivery, &plan, now)?;
                let ruling = ruling(delivery, &plan, &permit);
                let finalized = self.book.finalize(ruling, None, None).await?;
                outcome(finalized, delivery, |took| Outcome::Granted {
                    quantity: Decimal::ZERO,
                    took,
                })
            }
            Policy::Limited(limits) => self.review_within(limits, delivery, &plan).await?,
        };
        let outcome = outcome.ok_or_else(|| contended(&plan.symbol))?;
        Ok(ruled(delivery, &plan, outcome))
    }

    async fn review_within(
        &self,
        limits: &governor::Limits,
        delivery: &Delivery,
        plan: &Reviewed,
    ) -> Result<Option<Outcome>, PortError> {
        for _ in 0..TRIES {
            let page = self.book.open(&plan.symbol).await?;
            if page.usage.has(&plan.id) {
                self.book.pass(delivery.id).await?;
                return Ok(Some(Outcome::DoneByOther));
            }
            let seen = page.snapshot.as_ref();
            let verdict = governor::decide(plan, limits, seen, &page.usage, page.now);
            let permit = verdict.to_permit(&plan.symbol, page.now);
            let permit = sealed(self.seal.as_deref(), permit, delivery, plan, page.now)?;
            let ruling = ruling(delivery, plan, &permit);
            let charge = |quantity, notional| Charge {
                symbol: plan.symbol.clone(),
                execution: Execution {
                    plan: plan.id.clone(),
                    at: page.now,
                    quantity,
                    notional,
                },
                version: page.version,
                expired: page.usage.expired(page.now),
            };
            let finalized = match &verdict {
                GovernorVerdict::Grant {
                    computed_qty,
                    computed_notional,
                } => {
                    let charge = charge(*computed_qty, *computed_notional);
                    self.book.finalize(ruling, Some(&charge), None).await?
                }
                GovernorVerdict::Deny(_) => self.book.finalize(ruling, None, None).await?,
                GovernorVerdict::Trip { reason, .. } => {
                    self.book.finalize(ruling, None, Some(reason)).await?
                }
            };
            let done = outcome(finalized, delivery, |took| match verdict {
                GovernorVerdict::Grant { computed_qty, .. } => Outcome::Granted {
                    quantity: computed_qty,
                    took,
                },
                GovernorVerdict::Deny(Denial { reason, .. }) => Outcome::Denied {
                    reason,
                    tripped: None,
                    took,
                },
                GovernorVerdict::Trip { denial, reason } => Outcome::Denied {
                    reason: denial.reason,
                    tripped: Some(reason),
                    took,
                },
            });
            if done.is_some() {
                return Ok(done);
            }
        }
        Ok(None)
    }

    /// Takes in one entry of the result stream: a plan of which nothing was executed is no longer
    /// counted. One whose order may exist still is.
    pub async fn hear(&self, result: &Delivery) -> Result<(), PortError> {
        let nothing_of = nothing_executed(&result.fields);
        let nothing_of = nothing_of.as_ref().map(|(symbol, plan)| (symbol, plan));
        self.book.heard(result.id, nothing_of).await
    }
}

/// The position brain over its book and the venue.
#[derive(Debug)]
pub struct PositionBrain<B, V> {
    ledgers: LedgerSync<B>,
    snapshots: SnapshotKeeper<B, V>,
    settings: position_brain::Settings,
    seal: Option<Arc<dyn Seal>>,
}

impl<B: PositionBook + Clone, V: Positions> PositionBrain<B, V> {
    /// A position brain for these symbols.
    pub fn new(
        book: B,
        venue: V,
        symbols: Vec<Symbol>,
        settings: position_brain::Settings,
    ) -> Self {
        Self {
            ledgers: LedgerSync::new(book.clone(), symbols),
            snapshots: SnapshotKeeper::new(book, venue),
            settings,
            seal: None,
        }
    }

    /// The same, every permit of which bears this seal.
    pub fn sealing(self, seal: Arc<dyn Seal>) -> Self {
        Self {
            seal: Some(seal),
            ..self
        }
    }

    /// Its ledgers, to be kept up beside the reviews.
    pub fn ledgers(&self) -> &LedgerSync<B> {
        &self.ledgers
    }

    /// Its snapshots, to be kept fresh beside the reviews.
    pub fn snapshots(&self) -> &SnapshotKeeper<B, V> {
        &self.snapshots
    }

    /// Reviews one entry of the plan stream and writes its permit: the ledgers are brought up to
    /// the newest result first, and the venue is asked at once where its last word does not serve.
    /// A venue that does not answer makes a denial. After an error nothing was written and the
    /// entry is delivered again.
    pub async fn review(&self, delivery: &Delivery) -> Result<ReviewOutcome, PortError> {
        let book = self.ledgers.book();
        let plan = match admit(book, delivery).await? {
            Ok(plan) => plan,
            Err(ruled) => return Ok(ruled),
        };
        let mut asked = false;
        for _ in 0..TRIES {
            let page = book.open(&plan.symbol).await?;
            if page.unread {
                self.ledgers.catch_up().await?;
                continue;
            }
            let seen = page.snapshot.as_ref();
            let serves = position_brain::serves(seen, &page.ledger, &self.settings, page.now);
            if !serves && !asked {
                asked = true;
                // What cannot be asked stays stale, and stale is a no.
                let _ = self
                    .snapshots
                    .refresh(std::slice::from_ref(&plan.symbol))
                    .await;
                continue;
            }
            let verdict =
                position_brain::decide(&plan, seen, &page.ledger, &self.settings, page.now);
            let permit = verdict.to_permit(&plan.symbol, page.now);
            let permit = sealed(self.seal.as_deref(), permit, delivery, &plan, page.now)?;
            let ruling = ruling(delivery, &plan, &permit);
            let finalized = book.finalize(ruling, &plan.symbol, page.version).await?;
            let done = outcome(finalized, delivery, |took| match verdict {
                P33Verdict::Allow { safe_close_qty, .. } => Outcome::Granted {
                    quantity: safe_close_qty,
                    took,
                },
                P33Verdict::Deny(Denial { reason, .. }) => Outcome::Denied {
                    reason,
                    tripped: None,
                    took,
                },
            });
            if let Some(outcome) = done {
                return Ok(ruled(delivery, &plan, outcome));
            }
        }
        Err(contended(&plan.symbol))
    }
}

/// The plan of an entry, or what became of an entry that is not reviewed; that one is
/// acknowledged already.
async fn admit<S: PermitSink>(
    sink: &S,
    delivery: &Delivery,
) -> Result<Result<Reviewed, ReviewOutcome>, PortError> {
    let passed = |about, outcome| ReviewOutcome {
        entry: delivery.id,
        about,
        outcome,
    };
    let ruled = match Reviewed::read(&delivery.fields) {
        Ok(Some(plan)) => match delivery.read_at.since(delivery.id.written_at()) {
            age if age <= PLAN_MAX_AGE => return Ok(Ok(plan)),
            age => passed(Some((plan.id, plan.symbol)), Outcome::TooOld(age)),
        },
        Ok(None) => passed(None, Outcome::NotForReview),
        Err(error) => passed(None, Outcome::Unreadable(error)),
    };
    sink.pass(delivery.id).await?;
    Ok(Err(ruled))
}

/// The permit as it is to be written. A denial is sealed like a yes: without it no reader could know
/// that it is the issuer's.
fn sealed(
    seal: Option<&dyn Seal>,
    permit: String,
    delivery: &Delivery,
    plan: &Reviewed,
    now: Timestamp,
) -> Result<String, PortError> {
    match seal {
        Some(seal) => seal.seal(permit, &plan.id, &delivery.fields, now),
        None => Ok(permit),
    }
}

fn ruling<'a>(delivery: &Delivery, plan: &'a Reviewed, permit: &'a str) -> PermitToWrite<'a> {
    PermitToWrite {
        entry: delivery.id,
        plan: &plan.id,
        permit,
    }
}

/// `None` where the page was outdated.
fn outcome(
    finalized: Finalized,
    delivery: &Delivery,
    written: impl FnOnce(Duration) -> Outcome,
) -> Option<Outcome> {
    match finalized {
        Finalized::Written(at) => Some(written(took(at, delivery))),
        Finalized::DoneByOther => Some(Outcome::DoneByOther),
        Finalized::Outdated => None,
    }
}

fn took(at: Timestamp, delivery: &Delivery) -> Duration {
    at.since(delivery.id.written_at())
}

fn ruled(delivery: &Delivery, plan: &Reviewed, outcome: Outcome) -> ReviewOutcome {
    ReviewOutcome {
        entry: delivery.id,
        about: Some((plan.id.clone(), plan.symbol.clone())),
        outcome,
    }
}

fn contended(symbol: &Symbol) -> PortError {
    PortError(format!(
        "the book of {symbol} changed {TRIES} times while one plan was decided"
    ))
}

/// The plan of a result that says for certain that nothing was executed. A rehearsal counts like
/// the execution it stands for, and an order with an unknown outcome like one that filled.
fn nothing_executed(fields: &Fields) -> Option<(Symbol, PlanId)> {
    let text = |field: &str| fields.get(field).map_or("", String::as_str);
    let nothing = !is_foreign(text(SOURCE))
        && text("executed") == "False"
        && text("would_execute") == "False"
        && matches!(text("decision"), "BLOCKED" | "ERROR")
        && !Reason::parse(text("error")).is_unresolved();
    if !nothing {
        return None;
    }
    Some((text("symbol").parse().ok()?, text("plan_id").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::raw;

    #[test]
    fn only_a_result_that_is_certain_gives_its_execution_back() {
        let result = |executed, would, decision, error| {
            nothing_executed(&raw([
                ("plan_id", "67e6da21fa9fe506"),
                ("symbol", "BTCUSDT"),
                ("executed", executed),
                ("would_execute", would),
                ("decision", decision),
                ("error", error),
            ]))
        };
        assert!(result("False", "False", "BLOCKED", "p33_permit_denied").is_some());
        assert!(result("False", "False", "ERROR", "order_rejected:-2022").is_some());
        assert_eq!(result("False", "False", "ERROR", "order_unresolved"), None);
        assert_eq!(result("False", "False", "ERROR", "stop_unresolved"), None);
        assert_eq!(result("False", "False", "SKIP", "duplicate_plan"), None);
        assert_eq!(result("False", "True", "EXECUTE", ""), None);
        assert_eq!(result("True", "False", "EXECUTE", ""), None);
        assert_eq!(result("", "", "BLOCKED", ""), None);
    }

    #[test]
    fn a_result_of_another_executor_gives_nothing_back() {
        let of = |source| {
            nothing_executed(&raw([
                ("plan_id", "67e6da21fa9fe506"),
                ("symbol", "BTCUSDT"),
                ("executed", "False"),
                ("would_execute", "False"),
                ("decision", "BLOCKED"),
                ("error", "p33_permit_denied"),
                ("source", source),
            ]))
        };
        assert_eq!(of("intent_executor"), None);
        assert!(of("").is_some() && of("apply_layer").is_some());
    }
}
