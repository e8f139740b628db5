//! The waits for permits: the old service's, by its result, and ours over the permits that were seen.

use super::{About, Followed, Shadow, TURN, old::Fields};
use crate::shadow::{
    differences::{self as d, Difference},
    wait::{self, SeenPermit},
};
use apply_core::Symbol;
use apply_wire::{Reason, Section, field};
use permit_gate::{Block, BlockReason, Grant, PlanId, Refusal, trading};
use std::time::Instant;

impl Shadow {
    /// The permits of a plan and what came of them. They are judged whatever is known of the proposal; what both would
    /// have ordered is compared where both put the plan out for review.
    pub(super) fn hold_results(
        &mut self,
        now: Instant,
        id: &str,
        followed: &Followed,
        result: &impl Fields,
        old: &str,
    ) {
        let granted = match followed.settled {
            // Permits may have gone by unseen.
            Some(settled) if [&d::BEFORE_THE_START, &d::BLIND].contains(&settled) => None,
            Some(_) | None => self.hold_permits(now, id, followed, result),
        };
        match (followed.settled, &followed.step, granted) {
            (None, Some(step), Some((symbol, grant))) => {
                self.hold_orders(id, &symbol, grant, step, result, old);
            }
            // Both said no, or the difference is reported.
            (None, Some(_), None) => {}
            (settled, _, granted) => {
                if let Some((symbol, grant)) = granted {
                    self.hold_against_permits(id, &symbol, grant, result);
                }
                let difference = settled.or(Some(&d::PROPOSAL_NOT_SEEN));
                let (symbol, ours) = (&followed.symbol, followed.ours.clone());
                self.find(About::Result, symbol, id, ours, old.into(), difference);
            }
        }
    }

    /// The permits of a plan; what both had granted.
    fn hold_permits(
        &mut self,
        now: Instant,
        id: &str,
        followed: &Followed,
        result: &impl Fields,
    ) -> Option<(Symbol, Grant)> {
        let went_on = Wait::of(result);
        let (Ok(plan), Ok(symbol)) = (PlanId::new(id), followed.symbol.parse::<Symbol>()) else {
            // No permit is for such a plan.
            if matches!(went_on, Wait::WentOn) {
                let (ours, said) = ("-".into(), went_on.words());
                let difference = Some(&d::EXECUTED_WITHOUT_PERMIT);
                self.find(About::Permits, &followed.symbol, id, ours, said, difference);
            }
            return None;
        };
        let none = vec![SeenPermit::default(); self.rules.permits.len()];
        let seen = self.permits.remove(id).map_or(none, |(_, seen)| seen);
        let (set, wait) = (&self.rules.permits, self.rules.wait);
        let answer = wait::play(set, wait, &plan, &symbol, followed.published, &seen);
        let ours = match &answer {
            Ok(grant) => match grant.limit() {
                Some(limit) => format!("granted, at most {}", limit.normalize()),
                None => "granted".into(),
            },
            Err(block) => block.error_code(),
        };
        let noes = wait::noes(set, &plan, &symbol, &seen);
        let difference = self.why_waits_differ(now, followed, &seen, noes, &answer, &went_on);
        let said = went_on.words();
        self.find(About::Permits, symbol.as_str(), id, ours, said, difference);
        match (answer, went_on) {
            (Ok(grant), Wait::WentOn) => Some((symbol, grant)),
            (Ok(_), Wait::Halted | Wait::No(_)) | (Err(_), _) => None,
        }
    }

    fn why_waits_differ(
        &self,
        now: Instant,
        followed: &Followed,
        seen: &[SeenPermit],
        noes: usize,
        ours: &Result<Grant, Box<Block>>,
        old: &Wait,
    ) -> Option<&'static Difference> {
        let deadline = followed.published + self.rules.wait.wait;
        let step = self.rules.wait.step;
        let complete: Option<Instant> = seen
            .iter()
            .map(|permit| permit.content.as_ref().map(|(at, _)| *at))
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().max());
        // Where the last permit came to, beside the deadline.
        let close_to_it = complete.is_some_and(|at| {
            at + step + self.rules.wait.grace >= deadline
                && at <= deadline + step + self.rules.wait.grace
        });
        match (ours, old) {
            (_, Wait::Halted) => match self.switches.ours().is_on() || self.turned_lately(now) {
                true => Some(&d::SWITCH_TURNED),
                false => Some(&d::REFUSAL_DIFFERS),
            },
            (Ok(_), Wait::WentOn) => None,
            _ if seen.iter().any(SeenPermit::slipped_by) => Some(&d::PERMIT_NOT_READ),
            (Ok(_), Wait::No(Reason::PermitTimeout(_))) => match close_to_it {
                true => Some(&d::LAST_STEP),
                false => Some(&d::TIMED_OUT_WITH_PERMITS),
            },
            (Ok(_), Wait::No(_)) => Some(&d::REFUSAL_DIFFERS),
            (Err(block), Wait::WentOn) => Some(match block.reason() {
                BlockReason::Missing { .. } if close_to_it => &d::EDGE_OF_THE_WAIT,
                BlockReason::Refused { refusal, .. } if is_unjudged(refusal) => &d::PERMIT_UNJUDGED,
                BlockReason::Refused { .. } => &d::EXECUTED_AGAINST_A_NO,
                _ => &d::EXECUTED_WITHOUT_PERMIT,
            }),
            (Err(block), Wait::No(error)) => {
                if Reason::parse(&block.error_code()) == *error {
                    return None;
                }
                let close = seen.iter().filter_map(|permit| permit.content.as_ref());
                let near = |at: Instant| {
                    at + step + self.rules.wait.grace >= deadline && at <= deadline + step
                };
                Some(match (block.reason(), error) {
                    (BlockReason::Missing { .. }, Reason::PermitTimeout(_))
                        if close.into_iter().any(|(at, _)| near(*at)) =>
                    {
                        &d::EDGE_OF_THE_WAIT
                    }
                    (BlockReason::Refused { .. }, _) if noes > 1 || complete.is_none() => {
                        &d::EARLY_NO
                    }
                    _ => &d::REFUSAL_DIFFERS,
                })
            }
        }
    }

    fn turned_lately(&self, now: Instant) -> bool {
        let turned = self.turned.as_ref();
        turned.is_some_and(|(at, _)| now.saturating_duration_since(*at) < TURN)
    }
}

/// What a result says of the wait for permits.
enum Wait {
    /// It ended with all of them.
    WentOn,
    /// A switch ended it.
    Halted,
    /// It ended without.
    No(Reason),
}

impl Wait {
    fn of(result: &impl Fields) -> Self {
        let reason = Reason::parse(&result.text(field::ERROR));
        match reason.entry().map(|entry| entry.section) {
            Some(Section::Permits) => Self::No(reason),
            _ if reason == Reason::KillSwitchActive => Self::Halted,
            _ => Self::WentOn,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::WentOn => "granted".into(),
            Self::Halted => Reason::KillSwitchActive.to_string(),
            Self::No(reason) => reason.to_string(),
        }
    }
}

/// Whether the old service would take a permit like this for granted: it does not look closer.
fn is_unjudged(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Malformed(_) => true,
        Refusal::Denied(_) => false,
        Refusal::Other { .. } => refusal.code("") != trading::INVALID_SAFE_CLOSE_QTY,
    }
}
