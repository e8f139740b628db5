//! The comparison itself: what was seen goes in with the time, findings come out. It asks nobody and writes nowhere.
//!
//! Every decision of ours comes from the core and the gate; what stands here is only how two answers are held
//! against each other, and which known habit of the old service makes them differ.

use super::{
    differences::{self as d, Class, Difference},
    wait::{self, SeenPermit, Size},
};
use apply_core::{
    Action, Decision, GateSettings, Halt, Plan, Proposal, ProposalError, RawProposal, Share, Step,
    Symbol,
};
use apply_wire::{Reason, Section, field};
use permit_gate::{Block, BlockReason, Grant, PermitSet, PlanId, Refusal, WaitPolicy, trading};
use rust_decimal::Decimal;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

/// The actions of January, and how they were written.
const ACTIONS_OF_JANUARY: [&str; 5] = [
    "FULL_CLOSE_PROPOSED",
    "PARTIAL_75",
    "PARTIAL_50",
    "UPDATE_SL",
    "HOLD",
];

/// A switch that was turned so recently may have been read by either of the two.
const TURN: Duration = Duration::from_secs(3);

/// A proposal that was replaced may still be planned for so long: the old service had read it.
const IN_HAND: Duration = Duration::from_secs(1);

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

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Proposal,
    Plan,
    Permits,
    Quantity,
    Result,
}

impl About {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Plan => "plan",
            Self::Permits => "permits",
            Self::Quantity => "quantity",
            Self::Result => "result",
        }
    }
}

/// One thing that was compared.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) about: About,
    pub(super) symbol: String,
    pub(super) plan: String,
    pub(super) ours: String,
    pub(super) old: String,
    /// `None` where both agree.
    pub(super) difference: Option<&'static Difference>,
    /// It was told for this plan before, and is only counted.
    pub(super) again: bool,
}

/// How often each difference was found.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub(super) proposals: u64,
    pub(super) plans: u64,
    pub(super) results: u64,
    /// Entries of other programs and what stands for the position brain alone.
    pub(super) foreign: u64,
    pub(super) same: u64,
    pub(super) differences: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn of(&self, class: Class) -> u64 {
        d::ALL
            .iter()
            .filter(|one| one.class == class)
            .filter_map(|one| self.differences.get(one.name))
            .sum()
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
    pub(super) tally: Tally,
}

/// An entry of one of the old service's streams.
pub(super) trait Fields {
    /// The field's text; an absent one is empty.
    fn text(&self, field: &str) -> String;

    /// When it was written, in milliseconds since 1970 on the server's clock.
    fn written(&self) -> u64;
}

/// When something was written, on this process's clock, by the server's. What was read late was not written late.
#[derive(Debug)]
struct ServerClock {
    began: Instant,
    /// The least time that an entry was read after it was written, in milliseconds of this process less the server's.
    offset: Option<i128>,
}

impl ServerClock {
    fn at(&mut self, now: Instant, written: u64) -> Instant {
        let here = now.saturating_duration_since(self.began).as_millis();
        let difference = here.cast_signed() - i128::from(written);
        let offset = self
            .offset
            .map_or(difference, |known| known.min(difference));
        self.offset = Some(offset);
        let millis = u64::try_from(i128::from(written) + offset).unwrap_or_default();
        (self.began + Duration::from_millis(millis)).min(now)
    }
}

impl Shadow {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self {
            clock: ServerClock {
                began: now,
                offset: None,
            },
            rules,
            switches: Switches::OFF,
            turned: None,
            versions: HashMap::new(),
            plans: HashMap::new(),
            order: VecDeque::new(),
            permits: HashMap::new(),
            findings: VecDeque::new(),
            begun: false,
            blind: false,
            tally: Tally::default(),
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

    /// All that stood there before was told. What comes from now on is new.
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

    /// A proposal was read. `since_1970` is the wall clock's time in seconds.
    pub(super) fn handle_proposal(
        &mut self,
        now: Instant,
        since_1970: u64,
        symbol: &Symbol,
        read: Result<Option<RawProposal>, ProposalError>,
    ) {
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
        self.tally.proposals += 1;
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
    pub(super) fn handle_blindness(&mut self, blind: bool) {
        self.blind = blind;
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
        self.tally.plans += 1;
        let published = self.clock.at(now, plan.written());
        let id = plan.text(field::PLAN_ID);
        let symbol = plan.text(field::SYMBOL);
        let decision = plan.text(field::DECISION);
        let executes = decision == field::EXECUTE;
        let old = told(&decision, &plan.text(field::REASON_CODES));
        if let Some(known) = self.plans.get_mut(&id) {
            let difference = match executes && known.executes {
                true => Some(&d::PUBLISHED_AGAIN),
                // It says that it knows the plan, and ours knows it as well.
                false => None,
            };
            let ours = known.ours.clone();
            return self.find(About::Plan, &symbol, &id, ours, old, difference);
        }
        let (ours, step, difference) = self.hold_against(now, &id, plan);
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

    /// What ours makes of the proposal that this plan is of, and why that is not the same.
    fn hold_against(
        &mut self,
        now: Instant,
        id: &str,
        old: &impl Fields,
    ) -> (String, Option<Step>, Option<&'static Difference>) {
        let symbol = old.text(field::SYMBOL);
        let mut versions = self.versions.remove(&symbol).unwrap_or_default();
        let duplicate = Reason::DuplicatePlan.to_string();
        let mut found = None;
        for version in &mut versions {
            if version.id.as_deref() == Some(id) {
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
                Err(refused) => (told_refused(refused), None, Some(refusal_of(refused, old))),
            },
            None => self.without_version(&mut versions, id, old),
        };
        self.versions.insert(symbol, versions);
        answer
    }

    /// For a plan id that ours gave to nothing it saw.
    fn without_version(
        &self,
        versions: &mut VecDeque<Version>,
        id: &str,
        old: &impl Fields,
    ) -> (String, Option<Step>, Option<&'static Difference>) {
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
                        return (told_plan(&ours), None, difference);
                    }
                }
                Err(refused) if is_of(&version.raw, old) => {
                    return (told_refused(refused), None, Some(refusal_of(refused, old)));
                }
                Ok(_) | Err(_) => {}
            }
        }
        let same = versions
            .iter_mut()
            .rev()
            .find(|version| version.ours.is_ok() && is_of(&version.raw, old) && !version.answered);
        match same {
            Some(version) => {
                version.answered = true;
                let ours = version.id.clone().unwrap_or_default();
                (format!("plan {ours}"), None, Some(&d::PLAN_ID_DIFFERS))
            }
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
        let text = told_plan(&ours);
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

    /// The old service told a result.
    pub(super) fn handle_result(&mut self, now: Instant, result: &impl Fields) {
        self.tally.results += 1;
        self.clock.at(now, result.written());
        let id = result.text(field::PLAN_ID);
        let old = told_result(result);
        let executed = result.text(field::EXECUTED) == field::TRUE;
        let error = Reason::parse(&result.text(field::ERROR));
        let Some(mut followed) = self.plans.remove(&id) else {
            let symbol = result.text(field::SYMBOL);
            let difference = Some(&d::BEFORE_THE_START);
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
                // One that was under way when the shadow began.
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
            match followed.settled {
                Some(settled) => repeated(self, ours, Some(settled)),
                None => self.hold_results(now, &id, &followed, result, &old),
            }
        }
        self.plans.insert(id, followed);
    }

    /// The permits of a plan that both put out for review, and what came of them.
    fn hold_results(
        &mut self,
        now: Instant,
        id: &str,
        followed: &Followed,
        result: &impl Fields,
        old: &str,
    ) {
        let (Ok(plan), Ok(symbol), Some(step)) = (
            PlanId::new(id),
            followed.symbol.parse::<Symbol>(),
            &followed.step,
        ) else {
            let difference = Some(&d::PROPOSAL_NOT_SEEN);
            return self.find(
                About::Result,
                &followed.symbol,
                id,
                "-".into(),
                old.into(),
                difference,
            );
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
        let went_on = Wait::of(result);
        let noes = wait::noes(set, &plan, &symbol, &seen);
        let difference = self.why_waits_differ(now, followed, &seen, noes, &answer, &went_on);
        let said = went_on.told();
        self.find(About::Permits, symbol.as_str(), id, ours, said, difference);
        match (answer, went_on) {
            (Ok(grant), Wait::WentOn) => self.hold_orders(id, &symbol, grant, step, result, old),
            // Both said no, or the difference is told.
            (Ok(_), Wait::Halted | Wait::No(_)) | (Err(_), _) => {}
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

    /// Both went on: how much, which way, and what was told of it.
    fn hold_orders(
        &mut self,
        id: &str,
        symbol: &Symbol,
        grant: Grant,
        step: &Step,
        result: &impl Fields,
        old: &str,
    ) {
        let order = OldOrder::of(result);
        let executed = result.text(field::EXECUTED) == field::TRUE;
        let name = symbol.as_str();
        if let Step::Close { share } = step {
            let (ours, difference) = hold_quantity(grant, symbol, *share, &order);
            let said = order.told();
            self.find(About::Quantity, name, id, ours, said, difference);
        }
        let error = result.text(field::ERROR);
        let (ours, difference) = match (executed, order.placed()) {
            (true, _) if matches!(step, Step::MoveStop { .. }) && !order.placed() => {
                ("stop moved", Some(&d::PLACES_NO_STOP))
            }
            (true, false) => ("order sent", Some(&d::REFUSED_AS_EXECUTED)),
            (true, true) if order.filled_nothing() => ("order sent", Some(&d::FILLED_NOTHING)),
            (true, true) => ("order sent", None),
            (false, _) if result.text(field::WOULD_EXECUTE) == field::TRUE => ("dry run", None),
            (false, _) if error.contains("timeout") || error.contains("timed out") => {
                ("order sent", Some(&d::ORDER_TIMED_OUT))
            }
            (false, _) => ("order sent", Some(&d::VENUE)),
        };
        self.find(About::Result, name, id, ours.into(), old.into(), difference);
    }

    /// What the time alone tells.
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
                    told_plan(&ours),
                    difference,
                ));
            }
        }
        let late = self.rules.wait.wait + TO_ITS_RESULT;
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
            None => self.tally.same += 1,
            Some(one) => *self.tally.differences.entry(one.name).or_default() += 1,
        }
        self.findings.push_back(finding);
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

    fn told(&self) -> String {
        match self {
            Self::WentOn => "granted".into(),
            Self::Halted => Reason::KillSwitchActive.to_string(),
            Self::No(reason) => reason.to_string(),
        }
    }
}

/// The order that a result tells of: its last step.
struct OldOrder {
    id: String,
    side: String,
    quantity: Option<Decimal>,
    executed: Option<Decimal>,
}

impl OldOrder {
    fn of(result: &impl Fields) -> Self {
        let steps: serde_json::Value =
            serde_json::from_str(&result.text(field::STEPS_RESULTS)).unwrap_or_default();
        let last = steps.as_array().and_then(|steps| steps.last());
        let text = |name: &str| match last.and_then(|step| step.get(name)) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        Self {
            id: text("order_id"),
            side: text("side"),
            quantity: decimal(&text("quantity")),
            executed: decimal(&text("executed_qty")),
        }
    }

    fn placed(&self) -> bool {
        !self.id.is_empty()
    }

    fn filled_nothing(&self) -> bool {
        self.executed.is_none_or(|quantity| quantity.is_zero())
    }

    fn told(&self) -> String {
        match self.quantity {
            Some(quantity) => format!("{} {quantity}", self.side),
            None => "no quantity".into(),
        }
    }
}

/// Sizes the close as the core does, and holds it against what the old service ordered.
fn hold_quantity(
    grant: Grant,
    symbol: &Symbol,
    share: Share,
    order: &OldOrder,
) -> (String, Option<&'static Difference>) {
    let size = match wait::size(grant, symbol, share) {
        None => return ("-".into(), Some(&d::NO_POSITION)),
        Some(Err(no)) => return (no, Some(&d::QUANTITY_DIFFERS)),
        Some(Ok(size)) => size,
    };
    let ours = format!("{} {}", size.side, size.quantity.normalize());
    let Some(quantity) = order.quantity else {
        return (ours, Some(&d::VENUE));
    };
    let difference = if !order.side.is_empty() && order.side != size.side {
        Some(&d::SIDE_DIFFERS)
    } else {
        why_quantities_differ(&size, quantity)
    };
    (ours, difference)
}

fn why_quantities_differ(ours: &Size, old: Decimal) -> Option<&'static Difference> {
    if ours.quantity == old {
        None
    } else if ours.permitted > ours.quantity && [ours.permitted, ours.written].contains(&old) {
        Some(&d::WHOLE_PERMIT)
    } else if ours.written == old && ours.written != ours.permitted {
        Some(&d::FLOAT_TAIL)
    } else {
        Some(&d::QUANTITY_DIFFERS)
    }
}

/// A number as the old service writes it; a binary one may have more digits than a decimal holds.
fn decimal(text: &str) -> Option<Decimal> {
    let scientific = || Decimal::from_scientific(text).ok();
    text.parse().ok().or_else(scientific)
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

/// Whether the old service would take a permit like this for granted: it does not look closer.
fn is_unjudged(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Malformed(_) => true,
        Refusal::Denied(_) => false,
        Refusal::Other { .. } => refusal.code("") != trading::INVALID_SAFE_CLOSE_QTY,
    }
}

fn told(decision: &str, reasons: &str) -> String {
    match reasons.is_empty() {
        true => decision.to_owned(),
        false => format!("{decision} {reasons}"),
    }
}

fn told_plan(plan: &Plan) -> String {
    told(plan.decision.as_str(), &plan.reason_codes())
}

fn told_refused(refused: &ProposalError) -> String {
    format!("refused {}", refused.reason())
}

fn told_result(result: &impl Fields) -> String {
    let executed = result.text(field::EXECUTED);
    let error = result.text(field::ERROR);
    match error.is_empty() {
        true => format!("{} executed={executed}", result.text(field::DECISION)),
        false => format!(
            "{} executed={executed} {error}",
            result.text(field::DECISION)
        ),
    }
}
