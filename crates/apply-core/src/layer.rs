//! The apply layer over its ports: what the operator decides, what all plans share, and a plan that was claimed.

use crate::{
    complaints::Complaints,
    debts::{Debt, Debts},
    event::{Abandoned, Event, Observer},
    exchange::Exchange as _,
    fault,
    hold::{Generation, GenerationId, Hold, PortError, Publisher, ServerId},
    in_flight_limit::InFlightLimit,
    live::{LiveAttempt, LiveAttempts},
    order::OrderKind,
    plan::{GateSettings, Plan, Step},
    ports::{Claim, Clock, PlanLog, Ports},
    result::ApplyResult,
    sizing::StopLimits,
    symbol::Symbol,
};
use apply_wire::defaults;
use permit_gate::{AttemptId, Timer, WaitPolicy};
use sha2::{Digest, Sha256};
use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Whether orders may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything but the order: plans are claimed, reviewed and granted, the venue is not asked.
    DryRun,
    /// Orders go to the venue's testnet.
    Testnet,
}

impl Mode {
    /// The mode as `APPLY_MODE` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::Testnet => "testnet",
        }
    }
}

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The thresholds of the gates.
    pub gates: GateSettings,
    /// Whether orders may leave.
    pub mode: Mode,
    /// How long a plan waits for its permits.
    pub wait: WaitPolicy,
    /// Where a stop may be put.
    pub stops: StopLimits,
    /// How old a proposal may be by what it says itself; `None` for any age.
    pub proposal_max_age: Option<Duration>,
    /// How long a claim lasts.
    pub dedupe_ttl: Duration,
    /// The places for plans under way, from the claim to the result. More are refused until there
    /// is room. Clones of these settings share them.
    pub claim_limit: InFlightLimit,
    /// This process, unique among all that share the store and new at each start. Its attempts
    /// are numbered under this name: `host-1.7`.
    pub attempt: AttemptId,
}

impl Settings {
    /// The service's defaults: thresholds of 0.80 and 0.60, stops off, 1200 ms for the
    /// permits, six hours for a claim, a hundred plans under way. See [`Settings::attempt`].
    pub fn new(
        mode: Mode,
        allowlist: impl IntoIterator<Item = Symbol>,
        attempt: AttemptId,
    ) -> Self {
        Self {
            gates: GateSettings {
                allowlist: allowlist.into_iter().collect(),
                critical: defaults::BLOCK_CRITICAL,
                warning: defaults::BLOCK_WARNING,
                close: None,
                stops: false,
            },
            mode,
            wait: WaitPolicy::default(),
            stops: StopLimits::default(),
            proposal_max_age: None,
            dedupe_ttl: defaults::DEDUPE_TTL,
            claim_limit: InFlightLimit::of(UNDER_WAY),
            attempt,
        }
    }
}

/// How many plans may be under way by default.
const UNDER_WAY: NonZeroUsize = NonZeroUsize::new(100).unwrap();

/// The apply layer over its ports. One instance serves all symbols.
pub struct ApplyLayer<P> {
    pub(crate) ports: P,
    pub(crate) settings: Settings,
    observer: Box<dyn Observer>,
    attempts: AtomicU64,
    live: LiveAttempts,
    debts: Debts,
    pub(crate) complaints: Complaints,
    started_at: Instant,
    prepare_limit: InFlightLimit,
    pub(crate) order_limit: InFlightLimit,
}

/// A plan one attempt of this process has claimed. Executing it takes it by value and ends in one
/// result.
#[derive(Debug)]
pub struct ClaimedPlan {
    pub(crate) plan: Plan,
    pub(crate) step: Step,
    pub(crate) hold: Hold,
    /// Whether the store may have forgotten an earlier claim of it: then it is unknown that nothing was
    /// executed before the venue says so.
    pub(crate) in_doubt: bool,
    /// Whether it has, asked when the answer counts.
    pub(crate) asked: AtomicBool,
    _live: LiveAttempt,
}

impl ClaimedPlan {
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn attempt(&self) -> &AttemptId {
        &self.hold.attempt
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.hold
    }

    pub(crate) fn order(&self) -> OrderKind {
        match self.step {
            Step::Close { .. } => OrderKind::Close,
            Step::MoveStop { .. } => OrderKind::Stop,
        }
    }

    /// The result that is owed where it is not published.
    pub(crate) fn debt(&self, result: Option<ApplyResult>) -> Debt {
        Debt {
            plan: self.plan.id.clone(),
            symbol: self.plan.symbol().clone(),
            step: self.step.name().to_owned(),
            order: self.order(),
            from: Abandoned::Owed,
            intent: None,
            result,
            publisher: None,
            open: None,
            rehearsed: false,
            // Whatever this attempt has sent was asked about before it came to a result.
            settled_at: self.hold.since,
            profit: true,
        }
    }
}

impl<P: Ports> ApplyLayer<P> {
    /// An apply layer that reports everything it does to `observer`.
    pub fn new(ports: P, settings: Settings, observer: impl Observer + 'static) -> Self {
        Self {
            started_at: ports.clock().now(),
            ports,
            settings,
            observer: Box::new(observer),
            attempts: AtomicU64::new(0),
            live: LiveAttempts::default(),
            debts: Debts::default(),
            complaints: Complaints::default(),
            prepare_limit: InFlightLimit::of(CLAIMING),
            order_limit: InFlightLimit::of(PREPARED_ORDERS),
        }
    }

    /// The outside.
    pub fn ports(&self) -> &P {
        &self.ports
    }

    /// The operator's decisions.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The places for plans under way.
    pub fn claim_limit(&self) -> &InFlightLimit {
        &self.settings.claim_limit
    }

    /// Turns to look at a proposal and claim its plan.
    pub(crate) fn prepare_limit(&self) -> &InFlightLimit {
        &self.prepare_limit
    }

    /// How many plans owe a result that is settled beside: see [`crate::recovery`].
    pub fn owed(&self) -> usize {
        self.debts.count()
    }

    /// The symbols of which it is not known what became of an order. Their new plans wait until it is.
    pub fn in_doubt(&self) -> Vec<Symbol> {
        self.debts.in_doubt()
    }

    /// How many of them this process has worked on itself.
    pub fn owed_here(&self) -> usize {
        self.debts.count_here()
    }

    pub(crate) fn debts(&self) -> &Debts {
        &self.debts
    }

    /// When this process began, no later than any of its attempts.
    pub(crate) fn started_at(&self) -> Instant {
        self.started_at
    }

    pub(crate) fn is_live(&self, attempt: &AttemptId) -> bool {
        self.live.contains(attempt)
    }

    /// Hands an event to the observer; for what happens around the layer rather than in it.
    pub fn emit(&self, event: Event<'_>) {
        self.observer.observe(&event);
    }

    /// Emits an event for each part of the venue's answers that was left out since the last call. Each plan calls it at
    /// its end; the service calls it now and then, for questions that belong to no plan.
    pub fn emit_omissions(&self) {
        for omission in self.ports.exchange().take_omissions() {
            let omission = &omission;
            self.emit(Event::AnswerIncomplete { omission });
        }
    }

    /// A new attempt, which no claim and no receipt knows yet. One name for the whole process would
    /// not do: to a store the same attempt asking again means a lost answer, and a proposal that
    /// comes back later would win its old claim a second time.
    pub(crate) fn live_attempt(&self) -> LiveAttempt {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{number}", self.settings.attempt);
        let id = AttemptId::new(&name).unwrap_or_else(|_| digest_of(&name));
        self.live.begin(id)
    }

    /// In whose name a result is published that any attempt may publish.
    pub(crate) fn anybody(&self) -> Publisher {
        Publisher {
            attempt: self.live_attempt().id().clone(),
            generation: GenerationId::default(),
        }
    }

    /// Asks for a plan that would execute, and puts it out for review. After an error it may be claimed all
    /// the same: see [`PlanLog::find_claim`].
    pub(crate) async fn claim(&self, plan: &Plan, attempt: &AttemptId) -> Result<Claim, PortError> {
        let (plans, ttl) = (self.ports.plans(), self.settings.dedupe_ttl);
        plans.claim(plan, attempt, ttl, self.timestamp()).await
    }

    /// What follows from the answer to a claim: the plan, where it is ours to execute.
    pub(crate) fn claimed(
        &self,
        plan: Plan,
        step: Step,
        live: LiveAttempt,
        claim: Claim,
    ) -> Option<Box<ClaimedPlan>> {
        let claimed = |plan, hold: Hold, live| ClaimedPlan {
            in_doubt: self.is_in_doubt(&plan, &hold),
            plan,
            step,
            hold,
            asked: AtomicBool::new(false),
            _live: live,
        };
        match claim {
            Claim::Won(hold) => {
                fault::point("after_claim");
                Some(Box::new(claimed(plan, hold, live)))
            }
            Claim::Lost => {
                let hold = Hold {
                    attempt: live.id().clone(),
                    generation: Generation::unknown(self.ports.clock().now()),
                    server: ServerId(0),
                    epoch: 0,
                    since: self.ports.clock().now(),
                };
                let claimed = claimed(plan, hold, live);
                self.owe(claimed.debt(None), "the store forgot the claim");
                None
            }
            Claim::Taken | Claim::TooYoung { .. } => {
                self.emit(Event::Duplicate { plan: &plan });
                None
            }
        }
    }

    /// Whether the plan may have been executed before without the store knowing it.
    fn is_in_doubt(&self, plan: &Plan, hold: &Hold) -> bool {
        let (generation, ttl) = (&hold.generation, self.settings.dedupe_ttl);
        let computed_at = plan.proposal.computed_at();
        self.settings.mode == Mode::Testnet
            && (!generation.knows_plan_of(computed_at, self.timestamp(), ttl)
                || generation.clean_at > self.ports.clock().now())
    }

    pub(crate) fn owe(&self, debt: Debt, why: &'static str) {
        self.emit(Event::Owed {
            plan: &debt.plan,
            symbol: &debt.symbol,
            why,
        });
        self.debts.owe(debt);
    }

    /// Says that a port failed; what fails again and again is said less and less often.
    pub(crate) fn port_failed(&self, symbol: &Symbol, doing: &'static str, error: &PortError) {
        let now = self.ports.clock().now();
        if self.complaints.is_due(symbol, doing, now) {
            self.emit(Event::PortFailed {
                symbol,
                doing,
                error: &error.0,
            });
        }
    }

    pub(crate) fn timestamp(&self) -> u64 {
        self.ports.clock().unix_seconds()
    }
}

/// How many symbols are looked at, up to a claim, at the same time; and for how many plans at once an
/// order is made ready. More than stores and venues work on at the same time, and few enough that what
/// each needs meanwhile does not add up: what a burst of ten thousand leaves behind is not given back.
const CLAIMING: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
const PREPARED_ORDERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

/// A name too long to carry its number is replaced by its digest: cut short, two attempts could be one.
fn digest_of(name: &str) -> AttemptId {
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    AttemptId::new(&hex).unwrap_or_else(|_| unreachable!("64 hex digits are an id"))
}
