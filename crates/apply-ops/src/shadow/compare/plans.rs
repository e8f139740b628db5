//! The old service's plans, and what ours makes of the same proposals.

use super::{
    AT_REST, Shadow, TURN, Version,
    old::{Fields, decimal, plan_words, refused_words},
};
use crate::shadow::differences::{self as d, Difference};
use apply_core::{Action, Decision, Halt, Plan, Proposal, ProposalError, RawProposal, Step};
use apply_wire::{Reason, field};
use std::{collections::VecDeque, time::Instant};

/// The actions of January, and how they were written.
const ACTIONS_OF_JANUARY: [&str; 5] = [
    "FULL_CLOSE_PROPOSED",
    "PARTIAL_75",
    "PARTIAL_50",
    "UPDATE_SL",
    "HOLD",
];

impl Shadow {
    /// What ours makes of the proposal that this plan is of, and why that is not the same.
    pub(super) fn hold_against(
        &mut self,
        now: Instant,
        published: Instant,
        id: &str,
        old: &impl Fields,
    ) -> (String, Option<Step>, Option<&'static Difference>) {
        let symbol = old.text(field::SYMBOL);
        let mut versions = self.versions.remove(&symbol).unwrap_or_default();
        let duplicate = Reason::DuplicatePlan.to_string();
        let mut found = None;
        for version in &mut versions {
            if version.id.as_deref() == Some(id) && version.may_be_planned_at(published) {
                version.answered = true;
                found = Some(&*version);
            }
        }
        let answer = match found {
            Some(version) => match &version.ours {
                Ok(_) if version.former && old.text(field::REASON_CODES) == duplicate => {
                    ("-".into(), None, Some(&d::BEFORE_THE_START))
                }
                Ok(proposal) => self.compare_plans(now, proposal, old),
                Err(refused) => (refused_words(refused), None, Some(refusal_of(refused, old))),
            },
            None => self.without_version(&mut versions, published, id, old),
        };
        self.versions.insert(symbol, versions);
        answer
    }

    /// For a plan id that ours gave to nothing it saw.
    fn without_version(
        &self,
        versions: &mut VecDeque<Version>,
        published: Instant,
        id: &str,
        old: &impl Fields,
    ) -> (String, Option<Step>, Option<&'static Difference>) {
        let symbol = old.text(field::SYMBOL);
        let written = self.written.get(&symbol);
        let at_rest = written.is_some_and(|at| *at + AT_REST <= published) && !self.blind;
        let mut versions: Vec<&mut Version> = versions
            .iter_mut()
            .filter(|version| version.may_be_planned_at(published))
            .collect();
        for version in versions.iter_mut().rev() {
            match &version.ours {
                // Ours counts the calibrated action. What the old service follows stands beside it.
                Ok(proposal) if version.raw.contains_key(field::CALIBRATED) => {
                    let mut raw = version.raw.clone();
                    raw.remove(field::CALIBRATED);
                    let uncalibrated = Proposal::parse(&proposal.symbol, &raw);
                    let theirs = uncalibrated.map(|p| apply_core::plan_id::plan_id(&p));
                    if theirs.is_ok_and(|theirs| theirs.as_str() == id) {
                        version.answered = true;
                        let ours = self.decide(proposal, self.switches.ours());
                        let difference = Some(&d::CALIBRATION_IGNORED);
                        return (plan_words(&ours), None, difference);
                    }
                }
                Err(refused) if is_of(&version.raw, old) => {
                    return (refused_words(refused), None, Some(refusal_of(refused, old)));
                }
                Ok(_) | Err(_) => {}
            }
        }
        // Of one that could not be read nothing is known.
        let unread = versions
            .last()
            .is_some_and(|version| version.raw.is_empty());
        let same = versions.iter_mut().rev().find(|version| {
            // One that came to stand later than the plan is not what it is of.
            let stood = !version.answered && version.since <= published;
            stood && version.ours.is_ok() && is_of(&version.raw, old)
        });
        match same {
            Some(version) => {
                version.answered = true;
                let ours = version.id.clone().unwrap_or_default();
                (format!("plan {ours}"), None, Some(&d::PLAN_ID_DIFFERS))
            }
            None if at_rest && !unread => ("nothing".into(), None, Some(&d::UNASKED_PLAN)),
            None => ("-".into(), None, Some(&d::PROPOSAL_NOT_SEEN)),
        }
    }

    fn decide(&self, proposal: &Proposal, halt: &Halt) -> Plan {
        Plan::decide(proposal.clone(), &self.rules.gates, halt)
    }

    fn compare_plans(
        &self,
        now: Instant,
        proposal: &Proposal,
        old: &impl Fields,
    ) -> (String, Option<Step>, Option<&'static Difference>) {
        let ours = self.decide(proposal, self.switches.ours());
        let difference = match (agree(&ours, old), ours.decision) {
            (true, Decision::Execute) => fields_differ(&ours, old),
            (true, Decision::Skip | Decision::Blocked | Decision::Error) => None,
            (false, _) => self.why_decisions_differ(now, proposal, &ours, old),
        };
        let text = plan_words(&ours);
        let step = match old.text(field::DECISION) == field::EXECUTE {
            true => self.decide(proposal, &Halt::Off).step,
            false => None,
        };
        (text, step, difference)
    }

    fn why_decisions_differ(
        &self,
        now: Instant,
        proposal: &Proposal,
        ours: &Plan,
        old: &impl Fields,
    ) -> Option<&'static Difference> {
        let went_on = self.decide(proposal, &Halt::Off);
        // Either may have read the switch before the turn.
        if self.switches.readable
            && let Some((at, before)) = &self.turned
            && now.saturating_duration_since(*at) < TURN
            && before.switch != self.switches.switch
            && agree(&self.decide(proposal, &before.switch), old)
        {
            return None;
        }
        if ours.reason() == Some(&Reason::KillSwitchActive) {
            let why = match (&self.switches.switch, self.switches.readable) {
                (Halt::Off, _) => &d::DISARM_IGNORED,
                (Halt::On { .. }, false) => &d::SWITCH_WORD,
                (Halt::On { .. }, true) => return Some(&d::DECISION_DIFFERS),
            };
            return match agree(&went_on, old) {
                true => Some(why),
                false => self.why_gates_differ(&went_on, old),
            };
        }
        self.why_gates_differ(&went_on, old)
    }

    fn why_gates_differ(&self, ours: &Plan, old: &impl Fields) -> Option<&'static Difference> {
        let (decision, reasons) = (old.text(field::DECISION), old.text(field::REASON_CODES));
        let first = Reason::parse(reasons.split(',').next().unwrap_or_default());
        let executes = decision == field::EXECUTE;
        let action = &*ours.proposal.action;
        let newer = !ACTIONS_OF_JANUARY.contains(&action);
        let is_close = matches!(Action::from_wire(action), Some(Action::Close(_)));
        let of_the_universe = |reason: Option<&Reason>| reason == Some(&Reason::NotInAllowlist);
        Some(match (&first, ours.reason()) {
            (Reason::DuplicatePlan, _) => &d::UNKNOWN_DUPLICATE,
            (Reason::UnknownAction(_) | Reason::KillScoreWarningRiskIncrease, _) if newer => {
                &d::NEWER_ACTIONS
            }
            (Reason::Other(_), _)
                if is_close && decision == field::BLOCKED && ours.decision == Decision::Execute =>
            {
                &d::CLOSE_THRESHOLD
            }
            (Reason::KillScoreCritical, _) | (_, Some(Reason::KillScoreCritical))
                if is_close && self.rules.gates.close.is_some() =>
            {
                &d::CLOSE_THRESHOLD
            }
            (first, reason)
                if self.switches.universe
                    && of_the_universe(Some(first)) != of_the_universe(reason) =>
            {
                &d::UNIVERSE
            }
            (Reason::MissingNewSl, Some(Reason::StopsOff)) => &d::STOPS_OFF,
            (_, Some(Reason::StopsOff)) if executes => &d::STOPS_OFF,
            (_, Some(Reason::InvalidNewSl)) if executes => &d::ANY_STOP_PRICE,
            _ if decision != ours.decision.as_str() => &d::DECISION_DIFFERS,
            _ => &d::REASONS_DIFFER,
        })
    }
}

impl Version {
    /// Whether a plan of this moment can be of it: it stood, or was replaced a moment before.
    fn may_be_planned_at(&self, published: Instant) -> bool {
        self.until.is_none_or(|until| until + AT_REST > published)
    }
}

/// Whether decision and reasons are the same.
fn agree(ours: &Plan, old: &impl Fields) -> bool {
    old.text(field::DECISION) == ours.decision.as_str()
        && old.text(field::REASON_CODES) == ours.reason_codes()
}

/// What the reviewers would read differently in a plan that both put out for review.
fn fields_differ(ours: &Plan, old: &impl Fields) -> Option<&'static Difference> {
    let numbers = [field::KILL_SCORE, field::NEW_SL];
    let texts = [field::ACTION, field::SYMBOL];
    for (name, mine) in ours.to_fields(0) {
        let theirs = old.text(name);
        let same = if numbers.contains(&name) {
            let number = |text: &str| text.parse::<f64>().ok();
            number(&mine) == number(&theirs)
        } else if texts.contains(&name) {
            mine == theirs
        } else if name == field::STEPS {
            let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            json(&mine) == json(&theirs)
        } else {
            true
        };
        if !same {
            return Some(&d::FIELDS_DIFFER);
        }
    }
    let quantity = [old.text("qty"), old.text("quantity")];
    let real = quantity
        .iter()
        .any(|text| decimal(text).is_some_and(|quantity| !quantity.is_zero()));
    let named = !old.text("side").is_empty() && real;
    named.then_some(&d::SIDE_AND_QUANTITY)
}

/// Whether a plan of the old service says what this proposal says. Of numbers that are none the words count.
fn is_of(raw: &RawProposal, old: &impl Fields) -> bool {
    let said = |name: &str| raw.get(name).map(|text| text.trim()).unwrap_or_default();
    let same = |name: &str| {
        let (mine, theirs) = (said(name), old.text(name));
        let number = |text: &str| text.parse::<f64>().ok();
        match (number(mine), number(&theirs)) {
            (Some(mine), Some(theirs)) => mine == theirs || (mine.is_nan() && theirs.is_nan()),
            _ => mine.eq_ignore_ascii_case(&theirs),
        }
    };
    let action = old.text(field::ACTION);
    let acts = [said(field::HARVEST_ACTION), said(field::ACTION)]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(&action));
    acts && same(field::KILL_SCORE)
}

/// Why ours refuses a proposal that the old service follows.
fn refusal_of(refused: &ProposalError, old: &impl Fields) -> &'static Difference {
    if old.text(field::DECISION) != field::EXECUTE {
        return &d::REFUSED_BEFORE;
    }
    match refused {
        ProposalError::NotANumber { field, .. } if *field == field::KILL_SCORE => &d::SCORE_PASSES,
        ProposalError::Negative { .. } => &d::SCORE_PASSES,
        ProposalError::TooOld { .. }
        | ProposalError::FromTheFuture { .. }
        | ProposalError::NoTime { .. } => &d::ANY_AGE,
        ProposalError::NotANumber { .. }
        | ProposalError::Missing { .. }
        | ProposalError::Calibration { .. }
        | ProposalError::TooLong { .. }
        | ProposalError::Unreadable { .. } => &d::UNREADABLE_FOLLOWED,
    }
}
