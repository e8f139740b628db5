//! The comparison itself: what was seen goes in with the time, findings come out. It reads and writes nothing.
//!
//! Every decision of ours comes from the core and the gate; what stands here is only how two answers are held
//! against each other, and which known habit of the old service makes them differ.

mod findings;
mod old;
mod orders;
mod plans;
#[cfg(test)]
mod tests;
mod waits;

pub(super) use findings::{About, Counts, Finding};
pub(super) use old::Fields;

use super::{
    differences::{self as d, Difference},
    wait::SeenPermit,
};
use apply_core::{
    Decision, GateSettings, Halt, Plan, Proposal, ProposalError, RawProposal, Step, Symbol,
};
use apply_wire::{Reason, field};
use old::{ServerClock, plan_outcome, plan_words, result_words};
use permit_gate::{PermitSet, WaitPolicy};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// A switch that was turned so recently may have been read by either of the two.
const TURN: Duration = Duration::from_secs(3);

/// A proposal that was replaced may still be planned for so long: the old service had read it.
const IN_HAND: Duration = Duration::from_secs(1);

/// A proposal that was not written for so long is the one that a plan is of.
const AT_REST: Duration = Duration::from_secs(2);

/// Beyond its wait: how long a plan may be without a result.
const TO_ITS_RESULT: Duration = Duration::from_secs(60);

/// Most versions of one symbol's proposal that are kept to find a plan's own.
const MOST_VERSIONS: usize = 64;

/// Most plans that are remembered.
const MOST_PLANS: usize = 20_000;

/// What ours decides by.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) gates: GateSettings,
    pub(super) permits: PermitSet,
    pub(super) wait: WaitPolicy,
    pub(super) max_age: Option<Duration>,
    /// How long a proposal may stand without a plan of the old service.
    pub(super) patience: Duration,
}

/// The switches, as both could read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Switches {
    /// The kill switch, and whether its word is one.
    pub(super) switch: Halt,
    pub(super) readable: bool,
    /// The governor's disarm, which the old service does not read.
    pub(super) disarm: Halt,
    /// Whether there is a universe, which the old service takes its allowlist from.
    pub(super) universe: bool,
}

impl Switches {
    pub(super) const OFF: Self = Self {
        switch: Halt::Off,
        readable: true,
        disarm: Halt::Off,
        universe: false,
    };

    /// What ours is halted by.
    fn ours(&self) -> &Halt {
        match self.switch.is_on() {
            true => &self.switch,
            false => &self.disarm,
        }
    }
}

/// One state of a symbol's proposal.
struct Version {
    raw: RawProposal,
    ours: Result<Proposal, ProposalError>,
    /// The id that ours gives it; none where ours refuses it.
    id: Option<String>,
    since: Instant,
    until: Option<Instant>,
    /// The old service has made a plan of it, or is not expected to.
    answered: bool,
    /// It stood there when the shadow began.
    former: bool,
}

/// A plan that the old service published.
struct Followed {
    symbol: String,
    published: Instant,
    executes: bool,
    /// What ours would do; `None` where ours would not execute it or the proposal was not seen.
    step: Option<Step>,
    ours: String,
    /// Why nothing of it is compared any further.
    settled: Option<&'static Difference>,
    results: u64,
    ended: bool,
}

/// The comparison.
pub(super) struct Shadow {
    rules: Rules,
    switches: Switches,
    /// What they were before, and when they turned.
    turned: Option<(Instant, Switches)>,
    versions: HashMap<String, VecDeque<Version>>,
    /// When the proposal of each symbol that is watched was written last, as far as that was heard.
    written: HashMap<String, Instant>,
    plans: HashMap<String, Followed>,
    /// Plan ids in the order in which they came.
    order: VecDeque<String>,
    permits: HashMap<String, (Instant, Vec<SeenPermit>)>,
    findings: VecDeque<Finding>,
    /// What stood there before was read.
    begun: bool,
    /// Whether writes may go by unheard.
    blind: bool,
    clock: ServerClock,
    pub(super) counts: Counts,
}

impl Shadow {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self {
            clock: ServerClock::new(now),
            rules,
            switches: Switches::OFF,
            turned: None,
            versions: HashMap::new(),
            written: HashMap::new(),
            plans: HashMap::new(),
            order: VecDeque::new(),
            permits: HashMap::new(),
            findings: VecDeque::new(),
            begun: false,
            blind: false,
            counts: Counts::default(),
        }
    }

    /// What was found since the last call.
    pub(super) fn poll(&mut self) -> Option<Finding> {
        self.findings.pop_front()
    }

    /// A plan that stood on the stream already.
    pub(super) fn handle_former_plan(&mut self, now: Instant, plan: &impl Fields) {
        let id = plan.text(field::PLAN_ID);
        let followed = Followed {
            symbol: plan.text(field::SYMBOL),
            published: now,
            executes: plan.text(field::DECISION) == field::EXECUTE,
            step: None,
            ours: "-".into(),
            settled: Some(&d::BEFORE_THE_START),
            results: 0,
            ended: true,
        };
        self.follow(id, followed);
    }

    /// All that stood there before was read. What comes from now on is new.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// The switches were read.
    pub(super) fn handle_switches(&mut self, now: Instant, switches: Switches) {
        if switches != self.switches {
            let before = std::mem::replace(&mut self.switches, switches);
            self.turned = Some((now, before));
        }
    }

    /// The proposal of a symbol was written, or may have been.
    pub(super) fn handle_written(&mut self, now: Instant, symbol: &Symbol) {
        self.written.insert(symbol.to_string(), now);
    }

    /// A proposal was read. `since_1970` is the wall clock's time in seconds.
    pub(super) fn handle_proposal(
        &mut self,
        now: Instant,
        since_1970: u64,
        symbol: &Symbol,
        read: Result<Option<RawProposal>, ProposalError>,
    ) {
        // Before that it was not watched.
        self.written.entry(symbol.to_string()).or_insert(now);
        let versions = self.versions.entry(symbol.to_string()).or_default();
        let raw = match &read {
            Ok(Some(raw)) => raw.clone(),
            Ok(None) | Err(_) => RawProposal::new(),
        };
        if let Some(current) = versions.back_mut()
            && current.until.is_none()
        {
            if current.raw == raw && matches!(&read, Ok(Some(_))) {
                return;
            }
            current.until = Some(now);
            self.written.insert(symbol.to_string(), now);
        }
        if matches!(&read, Ok(None)) {
            return;
        }
        let ours = read.and_then(|_| Proposal::parse(symbol, &raw));
        let ours = ours.and_then(|proposal| {
            let Some(limit) = self.rules.max_age else {
                return Ok(proposal);
            };
            let plan = Plan::decide(proposal, &self.rules.gates, &Halt::Off);
            // Only what would execute is too old for something.
            match plan.decision {
                Decision::Execute => plan.proposal.check_age(limit, since_1970)?,
                Decision::Skip | Decision::Blocked | Decision::Error => {}
            }
            Ok(plan.proposal)
        });
        let id = ours
            .as_ref()
            .ok()
            .map(|proposal| apply_core::plan_id::plan_id(proposal).to_string());
        let answered = match &id {
            // What was planned before the start may have left the stream.
            Some(id) => !self.begun || self.plans.contains_key(id),
            // Whether the old service follows what ours refuses is not known beforehand.
            None => true,
        };
        if let Some(last) = versions.back_mut()
            && last.until == Some(now)
            && last.id.is_some()
            && last.id == id
        {
            // Written anew without anything that makes another plan of it.
            (last.raw, last.ours, last.until) = (raw, ours, None);
            return;
        }
        self.counts.proposals += 1;
        versions.push_back(Version {
            raw,
            ours,
            id,
            since: now,
            until: None,
            answered: answered || self.blind,
            former: !self.begun,
        });
        while versions.len() > MOST_VERSIONS {
            versions.pop_front();
        }
    }

    /// A permit was written `ago`, and read or gone already.
    pub(super) fn handle_permit(
        &mut self,
        now: Instant,
        plan: &str,
        index: usize,
        content: Option<(Duration, Vec<u8>)>,
    ) {
        let count = self.rules.permits.len();
        let (at, seen) = self
            .permits
            .entry(plan.to_owned())
            .or_insert_with(|| (now, vec![SeenPermit::default(); count]));
        *at = now;
        let Some(permit) = seen.get_mut(index) else {
            return;
        };
        permit.touched = true;
        if let Some((ago, content)) = content {
            // Written again with the same words it came when it came first.
            match &mut permit.content {
                Some((_, known)) if *known == content => {}
                slot => *slot = Some((now.checked_sub(ago).unwrap_or(now), content)),
            }
        }
    }

    /// The connection was lost, or is there again and all was read. What goes on meanwhile is not known.
    pub(super) fn handle_blindness(&mut self, now: Instant, blind: bool) {
        self.blind = blind;
        self.written.values_mut().for_each(|at| *at = now);
        for followed in self.plans.values_mut() {
            if followed.executes && !followed.ended {
                followed.settled.get_or_insert(&d::BLIND);
            }
        }
        for versions in self.versions.values_mut() {
            for version in versions {
                version.answered = true;
            }
        }
    }

    /// The old service published a plan.
    pub(super) fn handle_plan(&mut self, now: Instant, plan: &impl Fields) {
        self.counts.plans += 1;
        let published = self.clock.at(now, plan.written());
        let id = plan.text(field::PLAN_ID);
        let symbol = plan.text(field::SYMBOL);
        let decision = plan.text(field::DECISION);
        let executes = decision == field::EXECUTE;
        let old = plan_outcome(&decision, &plan.text(field::REASON_CODES));
        if let Some(known) = self.plans.get_mut(&id) {
            let difference = match executes && known.executes {
                true => Some(&d::PUBLISHED_AGAIN),
                // It says that it knows the plan, and ours knows it as well.
                false => None,
            };
            let ours = known.ours.clone();
            return self.find(About::Plan, &symbol, &id, ours, old, difference);
        }
        let (ours, step, difference) = self.hold_against(now, published, &id, plan);
        let settled = difference.filter(|one| **one != d::SIDE_AND_QUANTITY);
        let settled = settled.or(self.blind.then_some(&d::BLIND));
        self.follow(
            id.clone(),
            Followed {
                symbol: symbol.clone(),
                published,
                executes,
                step,
                ours: ours.clone(),
                settled,
                results: 0,
                ended: false,
            },
        );
        self.find(About::Plan, &symbol, &id, ours, old, difference);
    }

    /// The old service published a result.
    pub(super) fn handle_result(&mut self, now: Instant, result: &impl Fields) {
        self.counts.results += 1;
        self.clock.at(now, result.written());
        let id = result.text(field::PLAN_ID);
        let old = result_words(result);
        let executed = result.text(field::EXECUTED) == field::TRUE;
        let error = Reason::parse(&result.text(field::ERROR));
        let Some(mut followed) = self.plans.remove(&id) else {
            let symbol = result.text(field::SYMBOL);
            // Whatever is executed was on the stream of plans a moment ago.
            let difference = Some(match executed && !self.blind {
                true => &d::EXECUTED_UNREVIEWED,
                false => &d::BEFORE_THE_START,
            });
            return self.find(About::Result, &symbol, &id, "-".into(), old, difference);
        };
        followed.results += 1;
        let symbol = followed.symbol.clone();
        let again = followed.results > 2;
        let repeated = |shadow: &mut Self, ours: String, difference| {
            shadow.push(Finding {
                about: About::Result,
                symbol: symbol.clone(),
                plan: id.clone(),
                ours,
                old: old.clone(),
                difference,
                again,
            });
        };
        let ours = followed.ours.clone();
        if !followed.executes || followed.ended {
            let first = followed.results == 1 && error != Reason::DuplicatePlan;
            let difference = match (executed, followed.executes, followed.results) {
                (true, false, _) => Some(&d::EXECUTED_UNREVIEWED),
                // One that was under way when the shadow began, unless it could not be any more.
                (true, true, 1) if first && now > followed.published + self.longest() => {
                    Some(&d::EXECUTED_WITHOUT_PERMIT)
                }
                (_, true, 1) if first => Some(&d::BEFORE_THE_START),
                (true, true, _) => Some(&d::SECOND_RESULT),
                // A result of a plan that needs none is the same in both.
                (false, false, 1) => None,
                (false, _, _) => Some(&d::REPEATED_RESULTS),
            };
            repeated(self, ours, difference);
        } else if error == Reason::DuplicatePlan {
            repeated(self, ours, Some(&d::REPEATED_RESULTS));
        } else {
            followed.ended = true;
            self.hold_results(now, &id, &followed, result, &old);
        }
        self.plans.insert(id, followed);
    }

    /// What the time alone shows.
    pub(super) fn handle_time(&mut self, now: Instant) {
        let mut found = Vec::new();
        for (symbol, versions) in &mut self.versions {
            for version in versions.iter_mut().filter(|version| !version.answered) {
                let (Ok(proposal), Some(id)) = (&version.ours, &version.id) else {
                    continue;
                };
                let difference = match version.until {
                    Some(until) if now.saturating_duration_since(until) < IN_HAND => continue,
                    Some(until) => {
                        match until.saturating_duration_since(version.since) > self.rules.patience {
                            true => &d::NO_PLAN,
                            false => &d::LOOKS_SELDOM,
                        }
                    }
                    None if now.saturating_duration_since(version.since) > self.rules.patience => {
                        &d::NO_PLAN
                    }
                    None => continue,
                };
                version.answered = true;
                let halt = self.switches.ours();
                let ours = Plan::decide(proposal.clone(), &self.rules.gates, halt);
                found.push((
                    About::Proposal,
                    symbol.clone(),
                    id.clone(),
                    plan_words(&ours),
                    difference,
                ));
            }
        }
        let late = self.longest();
        for (id, followed) in &mut self.plans {
            let open = followed.executes && !followed.ended;
            if open && now.saturating_duration_since(followed.published) > late {
                followed.ended = true;
                let difference = followed.settled.unwrap_or(&d::NO_RESULT);
                let (symbol, ours) = (followed.symbol.clone(), followed.ours.clone());
                found.push((About::Result, symbol, id.clone(), ours, difference));
            }
        }
        for (about, symbol, id, ours, difference) in found {
            self.find(
                about,
                &symbol,
                &id,
                ours,
                "nothing".into(),
                Some(difference),
            );
        }
        self.permits
            .retain(|_, (at, _)| now.saturating_duration_since(*at) < late * 2);
    }

    /// Nothing more comes.
    pub(super) fn handle_end(&mut self, now: Instant) {
        self.handle_time(now);
        let mut open: Vec<(About, String, String, String)> = Vec::new();
        for (symbol, versions) in &self.versions {
            for version in versions.iter().filter(|version| !version.answered) {
                let id = version.id.clone().unwrap_or_default();
                open.push((About::Proposal, symbol.clone(), id, "a plan".into()));
            }
        }
        for (id, followed) in &self.plans {
            if followed.executes && !followed.ended {
                let ours = followed.ours.clone();
                open.push((About::Result, followed.symbol.clone(), id.clone(), ours));
            }
        }
        for (about, symbol, id, ours) in open {
            let difference = Some(&d::OPEN_AT_THE_END);
            self.find(about, &symbol, &id, ours, "-".into(), difference);
        }
    }

    /// From a plan to its result at most.
    fn longest(&self) -> Duration {
        self.rules.wait.wait + TO_ITS_RESULT
    }

    fn follow(&mut self, id: String, followed: Followed) {
        if self.plans.insert(id.clone(), followed).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > MOST_PLANS {
            if let Some(oldest) = self.order.pop_front() {
                self.plans.remove(&oldest);
            }
        }
    }

    fn find(
        &mut self,
        about: About,
        symbol: &str,
        plan: &str,
        ours: String,
        old: String,
        difference: Option<&'static Difference>,
    ) {
        self.push(Finding {
            about,
            symbol: symbol.to_owned(),
            plan: plan.to_owned(),
            ours,
            old,
            difference,
            again: false,
        });
    }

    fn push(&mut self, finding: Finding) {
        match finding.difference {
            None => self.counts.same += 1,
            Some(one) => *self.counts.differences.entry(one.name).or_default() += 1,
        }
        self.findings.push_back(finding);
    }
}
