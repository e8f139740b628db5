//! The life of one plan, top to bottom: claimed, granted, sized, submitted, told.

use crate::{
    complaints::Complaints,
    debt::{Debt, Debts},
    event::{Abandoned, Event, KnownTo, Observer},
    exchange::{
        Exchange, ExchangeError, Fill, OrderTrace, Position, Prepared, Settlement, Side,
        StopReplacement, StopsAfterClose, Submission,
    },
    fault,
    journal::{ClaimNote, Entry, Intent, Journal, OrderKind, Recorded, RecordedIntent},
    last_look::Leaving,
    live::{LiveAttempt, LiveAttempts},
    news::{Happened, News},
    plan::{Decision, GateSettings, Plan, Share, Step},
    ports::{
        Claim, Clock, Generation, GenerationId, Halt, Hold, PlanLog, PortError, Ports,
        ProposalSource, ResultLog, ServerId, Teller, Told,
    },
    ready::WhenReady,
    reason,
    result::{ApplyResult, StepResult},
    room::Room,
    sizing::{ApprovedClose, ApprovedStop, NoOrder, Sizing, StopLimits},
    symbol::Symbol,
};
use apply_wire::{Reason, defaults};
use futures_util::future::{Either, join, select};
use permit_gate::{
    Ask, AttemptId, Block, BlockReason, Grant, PermitStore, PlanId, Subject, Timer, WaitPolicy,
    wait_and_take,
};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use std::{
    num::NonZeroUsize,
    pin::pin,
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
    pub room: Room,
    /// This process, unique among all that share the store and new at each start. Its attempts
    /// are numbered under this name: `host-1.7`.
    pub attempt: AttemptId,
}

impl Settings {
    /// What the service has where nobody says otherwise: thresholds of 0.80 and 0.60, 1200 ms for the
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
            },
            mode,
            wait: WaitPolicy::default(),
            stops: StopLimits::default(),
            proposal_max_age: None,
            dedupe_ttl: defaults::DEDUPE_TTL,
            room: Room::of(UNDER_WAY),
            attempt,
        }
    }
}

/// How many plans may be under way where nobody says otherwise.
const UNDER_WAY: NonZeroUsize = NonZeroUsize::new(100).unwrap();

/// The apply layer over its ports. One instance serves all symbols.
pub struct ApplyLayer<P> {
    ports: P,
    settings: Settings,
    observer: Box<dyn Observer>,
    attempts: AtomicU64,
    live: LiveAttempts,
    debts: Debts,
    complaints: Complaints,
    started_at: Instant,
    looks: Room,
    desks: Room,
}

/// A plan one attempt of this process has claimed. Executing it takes it by value and ends in one
/// result.
#[derive(Debug)]
pub struct ClaimedPlan {
    plan: Plan,
    step: Step,
    hold: Hold,
    /// Whether the store may have forgotten an earlier claim of it: then nobody knows that nothing was
    /// executed before the venue says so.
    in_doubt: bool,
    /// Whether it has, asked when the answer counts.
    asked: AtomicBool,
    _live: LiveAttempt,
}

/// How a plan's life ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With this result, which is told.
    Told(ApplyResult),
    /// With a result that another attempt has told.
    ToldByAnother,
    /// With a result that this attempt may not tell: it is owed.
    Owed,
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

    fn order(&self) -> OrderKind {
        match self.step {
            Step::Close { .. } => OrderKind::Close,
            Step::MoveStop { .. } => OrderKind::Stop,
        }
    }

    /// The result that is owed where it is not told.
    fn debt(&self, result: Option<ApplyResult>) -> Debt {
        Debt {
            plan: self.plan.id.clone(),
            symbol: self.plan.symbol().clone(),
            step: self.step.name().to_owned(),
            order: self.order(),
            from: Abandoned::Owed,
            intent: None,
            result,
            teller: None,
            open: None,
            rehearsed: false,
            // Whatever this attempt has sent was asked about before it came to a result.
            settled_at: self.hold.since,
            profit: true,
        }
    }
}

impl<P: Ports> ApplyLayer<P> {
    /// An apply layer that tells `observer` everything it does.
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
            looks: Room::of(LOOKS),
            desks: Room::of(DESKS),
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
    pub fn room(&self) -> &Room {
        &self.settings.room
    }

    /// Turns to look at a proposal and claim its plan.
    pub(crate) fn looks(&self) -> &Room {
        &self.looks
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

    /// Tells the observer; for what happens around the layer rather than in it.
    pub fn tell(&self, event: Event<'_>) {
        self.observer.observe(&event);
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

    /// In whose name a result is told that anybody may tell.
    pub(crate) fn anybody(&self) -> Teller {
        Teller {
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
        let claimed = |hold: Hold, live| ClaimedPlan {
            in_doubt: self.is_in_doubt(&plan, &hold),
            plan: plan.clone(),
            step: step.clone(),
            hold,
            asked: AtomicBool::new(false),
            _live: live,
        };
        match claim {
            Claim::Won(hold) => {
                fault::point("after_claim");
                Some(Box::new(claimed(hold, live)))
            }
            Claim::Lost => {
                let hold = Hold {
                    attempt: live.id().clone(),
                    generation: Generation::unknown(self.ports.clock().now()),
                    server: ServerId(0),
                    epoch: 0,
                    since: self.ports.clock().now(),
                };
                let claimed = claimed(hold, live);
                self.owe(claimed.debt(None), "the store forgot the claim");
                None
            }
            Claim::Taken | Claim::TooYoung { .. } => {
                self.tell(Event::Duplicate { plan: &plan });
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

    /// Takes a claimed plan to its end and publishes what came of it.
    ///
    /// Cancellation: do not drop this future. From the claim on a plan owes the world a result.
    pub(crate) fn carry_out(&self, claimed: Box<ClaimedPlan>) -> impl Future<Output = Ended> {
        // Thousands wait at once: what comes before the wait and after it has memory of its own, for as
        // long as it lasts.
        let life = Box::pin(async move {
            let news = News::of(&claimed.plan, self.ports.permits().permits());
            news.add(Happened::Published);
            let result = {
                let result = pin!(self.come_to_result(&claimed, &news));
                news.told_beside(self, result).await
            };
            drop(news);
            (claimed, result)
        });
        async {
            let (claimed, result) = life.await;
            Box::pin(self.conclude(&claimed, result)).await
        }
    }

    async fn come_to_result(&self, claimed: &ClaimedPlan, news: &News<'_>) -> ApplyResult {
        self.note_claim(claimed).await;
        if let Some(result) = self.known_result(claimed, news).await {
            return result;
        }
        match self.settings.mode {
            Mode::DryRun => self.rehearse(claimed, news).await,
            Mode::Testnet => self.trade(claimed, news).await,
        }
    }

    /// So that the next process of this machine knows of it, whatever the store forgets.
    async fn note_claim(&self, claimed: &ClaimedPlan) {
        let note = ClaimNote {
            plan: claimed.plan.id.clone(),
            symbol: claimed.plan.symbol().clone(),
            step: claimed.step.name().to_owned(),
            order: claimed.order(),
            attempt: claimed.attempt().clone(),
            at: self.timestamp(),
            rehearsed: self.settings.mode == Mode::DryRun,
        };
        if let Err(error) = self.ports.journal().record_claim(&note).await {
            self.port_failed(claimed.plan.symbol(), "note a claim", &error);
        }
    }

    /// A store that lost its claims hands a plan out twice; the journal does not.
    async fn known_result(&self, claimed: &ClaimedPlan, news: &News<'_>) -> Option<ApplyResult> {
        let known = self.ports.journal().look_up(&claimed.plan.id).await;
        let known = known
            .map(|known| known.filter(|entry| !entry.is_only_claimed()))
            .transpose()?;
        news.tell(self);
        Some(match known {
            Ok(known) => Box::pin(self.known_before(claimed, known)).await,
            Err(error) => self.journal_failed(&claimed.plan, &error),
        })
    }

    /// Whether a plan that the journal knows has been dealt with for so long that its claim is gone from a store
    /// that forgot nothing. Of a younger one the store still has to know.
    pub(crate) fn outlived_its_claim(&self, entry: &Entry) -> bool {
        let intended = entry.intent.as_ref().map(|intent| intent.at);
        let concluded = entry.result.as_ref().map(|result| result.timestamp);
        // It was claimed before either, by no more than its wait.
        let Some(claimed_by) = intended.into_iter().chain(concluded).min() else {
            return false;
        };
        let wait = self.settings.wait;
        let earlier = wait
            .wait
            .saturating_add(wait.grace)
            .saturating_add(CLAIM_SLACK);
        let known_for = self.timestamp().saturating_sub(claimed_by);
        Duration::from_secs(known_for).saturating_add(earlier) >= self.settings.dedupe_ttl
    }

    /// Writes a result down and tells it, where this attempt may; else it is owed.
    async fn conclude(&self, claimed: &ClaimedPlan, result: ApplyResult) -> Ended {
        let result = ApplyResult {
            is_final: true,
            ..result
        };
        if !result.executed && claimed.in_doubt && !claimed.asked.load(Ordering::Relaxed) {
            // An earlier claim may have come to an order that the venue was not asked about yet.
            self.owe(
                claimed.debt(Some(result)),
                "the venue has not said that nothing was executed",
            );
            return Ended::Owed;
        }
        let teller = claimed.hold.teller();
        let result = self.write_down(&result, Some(&teller)).await;
        fault::point("after_outcome");
        let why = match self.tell_end(&result, &teller).await {
            Told::Published | Told::Corrected => {
                self.note_published(&result).await;
                return Ended::Told(result);
            }
            Told::Before | Told::Contradicted => {
                let plan = &claimed.plan;
                self.note_told_by_another(&plan.id, plan.symbol()).await;
                return Ended::ToldByAnother;
            }
            Told::NotHeld => "the plan is not this attempt's any more",
            Told::Forgot => "the store may have forgotten something",
            Told::Refused { .. } => {
                let debt = Debt {
                    teller: Some(teller),
                    ..claimed.debt(Some(result))
                };
                self.owe(debt, "the store does not take it");
                return Ended::Owed;
            }
        };
        self.owe(claimed.debt(Some(result)), why);
        Ended::Owed
    }

    fn owe(&self, debt: Debt, why: &'static str) {
        self.tell(Event::Owed {
            plan: &debt.plan,
            symbol: &debt.symbol,
            why,
        });
        self.debts.owe(debt);
    }

    /// Writes a result down; what it answers is the result that stands.
    pub(crate) async fn write_down(
        &self,
        result: &ApplyResult,
        teller: Option<&Teller>,
    ) -> ApplyResult {
        const DOING: &str = "write the result down";
        let result = ApplyResult {
            is_final: true,
            ..result.clone()
        };
        match self.ports.journal().record_result(&result, teller).await {
            Ok(standing) => {
                self.complaints.end(&result.symbol, DOING);
                standing
            }
            Err(error) => {
                // The world learns what happened all the same. Should this process die now, the
                // intent is still there and the venue is asked again, with the same answer.
                self.port_failed(&result.symbol, DOING, &error);
                result
            }
        }
    }

    /// Notes that a result is on the stream.
    pub(crate) async fn note_published(&self, result: &ApplyResult) {
        fault::point("after_publish");
        let noted = self
            .ports
            .journal()
            .record_published(&result.plan, self.timestamp());
        if let Err(error) = noted.await {
            self.port_failed(&result.symbol, "note a published result", &error);
        }
        fault::point("after_published_mark");
    }

    /// Notes that another instance has told a plan's end.
    pub(crate) async fn note_told_by_another(&self, plan: &PlanId, symbol: &Symbol) {
        self.tell(Event::ToldByAnother { plan, symbol });
        let journal = self.ports.journal();
        let noted = journal.record_told_by_another(plan, self.timestamp());
        if let Err(error) = noted.await {
            self.port_failed(symbol, "note a published result", &error);
        }
    }

    /// A plan that this machine dealt with before its claim was lost: no second order.
    async fn known_before(&self, claimed: &ClaimedPlan, known: Entry) -> ApplyResult {
        self.tell(Event::KnownBefore {
            plan: &claimed.plan,
            to: KnownTo::Journal,
        });
        match (known.result, known.intent) {
            (Some(result), _) => result,
            (None, Some(intent)) => self.settle_intent(&intent, true).await,
            // Another instance has told its end, which the store has forgotten since.
            (None, None) => self.failed(
                Case::of(&claimed.plan),
                Reason::ClaimLost,
                "another instance has ended this plan before; it is not executed again".into(),
            ),
        }
    }

    /// A plan that another machine ordered for before its claim was lost: no second order, and the
    /// result says what became of the first.
    async fn ordered_before(&self, plan: &Plan, trace: &OrderTrace) -> ApplyResult {
        self.tell(Event::KnownBefore {
            plan,
            to: KnownTo::Venue,
        });
        let asked = (OrderKind::Close, trace);
        self.settle_trace(Case::of(plan), asked, None, true).await
    }

    /// Asks what became of something that was about to be placed, and makes a result of it.
    pub(crate) async fn settle_intent(&self, intent: &Intent, profit: bool) -> ApplyResult {
        let asked = (intent.order, &intent.trace);
        self.settle_trace(Case::of_intent(intent), asked, None, profit)
            .await
    }

    /// What became of something that may be at the venue by the word of this trace, as a result. It is asked about, never
    /// sent again.
    ///
    /// `seen` is what was seen when it was submitted: where it was not executed or nobody can tell, it is the only hint
    /// there may be.
    pub(crate) async fn settle_trace(
        &self,
        case: Case<'_>,
        (order, trace): (OrderKind, &OrderTrace),
        seen: Option<&str>,
        profit: bool,
    ) -> ApplyResult {
        let venue = self.ports.exchange();
        let Case { plan, symbol, .. } = case;
        match order {
            OrderKind::Close => {
                let settlement = venue.settle(symbol, plan, trace).await.after(seen);
                self.tell(Event::Settled {
                    plan,
                    symbol,
                    settlement: &settlement,
                });
                self.settled(case, settlement, profit).await
            }
            OrderKind::Stop => {
                let replacement = venue.settle_stop(symbol, plan, trace).await;
                self.tell(Event::StopSettled {
                    plan,
                    symbol,
                    replacement: &replacement,
                });
                self.stop_replaced(case, replacement)
            }
        }
    }

    /// Says that a port failed; what fails again and again is said less and less often.
    pub(crate) fn port_failed(&self, symbol: &Symbol, doing: &'static str, error: &PortError) {
        let now = self.ports.clock().now();
        if self.complaints.is_due(symbol, doing, now) {
            self.tell(Event::PortFailed {
                symbol,
                doing,
                error: &error.0,
            });
        }
    }

    /// Publishes the result of a plan that nobody claimed until it is done: a result that nobody can read is
    /// no result.
    pub(crate) async fn publish(&self, result: &ApplyResult) {
        let published =
            self.until_answered(&result.symbol, || self.ports.results().publish(result));
        match published.await {
            Told::Published => self.tell(Event::ResultPublished { result }),
            Told::Refused { why } => {
                self.port_failed(&result.symbol, PUBLISH, &PortError(why));
            }
            _ => {}
        }
    }

    /// Tells how a plan ended, until there is an answer.
    pub(crate) async fn tell_end(&self, result: &ApplyResult, teller: &Teller) -> Told {
        let told = self.until_answered(&result.symbol, || {
            self.ports.results().conclude(result, teller)
        });
        let told = told.await;
        match &told {
            Told::Published => self.tell(Event::ResultPublished { result }),
            Told::Corrected => {
                self.tell(Event::Corrected { result });
                self.tell(Event::ResultPublished { result });
            }
            Told::Contradicted => self.tell(Event::Contradicted { result }),
            Told::Refused { why } => {
                self.port_failed(&result.symbol, PUBLISH, &PortError(why.clone()));
            }
            Told::Before | Told::NotHeld | Told::Forgot => {}
        }
        told
    }

    async fn until_answered<F>(&self, symbol: &Symbol, publish: impl Fn() -> F) -> Told
    where
        F: Future<Output = Result<Told, PortError>>,
    {
        let mut pause = PUBLISH_PAUSE;
        loop {
            match publish().await {
                Ok(told) => {
                    if !matches!(told, Told::Refused { .. }) {
                        self.complaints.end(symbol, PUBLISH);
                    }
                    return told;
                }
                Err(error) => self.port_failed(symbol, PUBLISH, &error),
            }
            let clock = self.ports.clock();
            clock.sleep_until(clock.now() + pause).await;
            pause = (pause * 2).min(LONGEST_PUBLISH_PAUSE);
        }
    }

    async fn rehearse(&self, claimed: &ClaimedPlan, news: &News<'_>) -> ApplyResult {
        let ClaimedPlan { plan, step, .. } = claimed;
        let ready = AtomicBool::new(true);
        let grant = match self.wait_for_permits(claimed, news, &ready).await {
            Ok(grant) => grant,
            Err(block) => return self.blocked(plan, &block),
        };
        let details = match grant.limit() {
            Some(quantity) => format!("dry run: granted for at most {quantity}, no order placed"),
            None => "dry run: granted, no order placed".into(),
        };
        ApplyResult {
            would_execute: true,
            steps: vec![StepResult::without_order(step.name(), "dry_run", details)],
            ..ApplyResult::not_executed(plan, Decision::Execute, None, self.timestamp())
        }
    }

    async fn trade(&self, claimed: &ClaimedPlan, news: &News<'_>) -> ApplyResult {
        if claimed.in_doubt
            && let Some(result) = Box::pin(self.done_before(claimed, news)).await
        {
            return result;
        }
        let awaited = self.await_all(claimed, news).await;
        Box::pin(self.act_on(claimed, awaited, news)).await
    }

    /// What the venue says of a plan that may have been claimed before; `None` where nothing stands in the
    /// way of executing it.
    async fn done_before(&self, claimed: &ClaimedPlan, news: &News<'_>) -> Option<ApplyResult> {
        let ClaimedPlan { plan, hold, .. } = claimed;
        news.tell(self);
        if hold.generation.clean_at > self.ports.clock().now() {
            // What it says now does not count yet, and later it is too late for an order.
            return Some(self.claim_lost(plan));
        }
        let venue = self.ports.exchange();
        let order = claimed.order();
        match venue.look_for(plan.symbol(), &plan.id, order).await {
            Ok(Some(trace)) => {
                self.tell(Event::KnownBefore {
                    plan,
                    to: KnownTo::Venue,
                });
                claimed.asked.store(true, Ordering::Relaxed);
                let asked = (order, &trace);
                Some(self.settle_trace(Case::of(plan), asked, None, true).await)
            }
            Ok(None) => {
                claimed.asked.store(true, Ordering::Relaxed);
                None
            }
            Err(error) => Some(self.venue_failed(plan, &error)),
        }
    }

    /// The permits, and all else an order needs.
    async fn await_all(
        &self,
        claimed: &ClaimedPlan,
        news: &News<'_>,
    ) -> Result<(Grant, Box<Ready<P>>), Unready> {
        let latest = self.latest_answer(claimed);
        if self.ports.clock().now() > latest {
            return Err(NoOrder::TooLate.into());
        }
        let sign_by = latest.checked_add(SIGNING_SLACK).unwrap_or(latest);
        // Everything slow happens while the permits are awaited. Where it turns out first that
        // there is nothing to do, the wait is dropped: permits it may just be taking buy nothing.
        let ready = AtomicBool::new(false);
        let permits = pin!(self.wait_for_permits(claimed, news, &ready));
        let desk = Box::pin(async {
            // Ten thousand may begin at once: whoever has to queue has no need of memory yet.
            let _turn = self.desks.enter().await;
            Box::pin(self.make_ready(claimed, sign_by)).await
        });
        let (grant, ready) = match select(permits, desk).await {
            // The wait for the permits is over, and what it waited for is not there.
            Either::Left((Err(block), _)) if matches!(block.reason(), BlockReason::Late) => {
                return Err(NoOrder::TooLate.into());
            }
            Either::Left((grant, desk)) => {
                let grant = grant?;
                (
                    grant,
                    Box::pin(self.await_desk(&claimed.plan, desk, latest)).await?,
                )
            }
            Either::Right((at_hand, permits)) => {
                let at_hand = at_hand?;
                ready.store(true, Ordering::Relaxed);
                (permits.await?, at_hand)
            }
        };
        fault::point("after_take");
        Ok((grant, ready))
    }

    /// The desk of a plan whose permits are taken already.
    async fn await_desk(
        &self,
        plan: &Plan,
        desk: impl Future<Output = Result<Box<Ready<P>>, Unready>> + Unpin,
        latest: Instant,
    ) -> Result<Box<Ready<P>>, Unready> {
        let taken = self.ports.clock().now();
        let ready = pin!(async {
            let ready = desk.await?;
            // The switch was off when the permits were taken, which may be a while ago.
            let since = self.ports.clock().now().saturating_duration_since(taken);
            let halted = match since > SWITCH_FRESH {
                true => self.halted(plan.symbol()).await,
                false => None,
            };
            Ok((ready, halted))
        });
        let late = pin!(self.ports.clock().sleep_until(latest));
        match select(ready, late).await {
            Either::Left((Ok((ready, None)), _)) => Ok(ready),
            Either::Left((Ok((_, Some(by))), _)) => Err(NoOrder::Halted { by }.into()),
            Either::Left((Err(unready), _)) => Err(unready),
            Either::Right(_) => Err(NoOrder::TooLate.into()),
        }
    }

    /// Places the order where everything is there, and says why not where it is not.
    async fn act_on(
        &self,
        claimed: &ClaimedPlan,
        awaited: Result<(Grant, Box<Ready<P>>), Unready>,
        news: &News<'_>,
    ) -> ApplyResult {
        let step = &claimed.step;
        let (grant, ready) = match awaited {
            Ok(both) => both,
            Err(unready) => {
                news.tell(self);
                return self.unready(claimed, unready).await;
            }
        };
        fault::point("before_post");
        match step {
            Step::Close { share } => self.close(claimed, grant, *ready, *share, news).await,
            Step::MoveStop { price } => self.move_stop(claimed, grant, *ready, *price, news).await,
        }
    }

    /// The position, and the intent on disk and in the store: all an order needs but its permits.
    async fn make_ready(
        &self,
        claimed: &ClaimedPlan,
        sign_by: Instant,
    ) -> Result<Box<Ready<P>>, Unready> {
        let ClaimedPlan { plan, step, .. } = claimed;
        let venue = self.ports.exchange();
        let prepared = venue.prepare(plan.symbol(), &plan.id, sign_by).await?;
        fault::point("after_prepare");
        let position = match prepared {
            Prepared::Fresh(position) => position,
            Prepared::Ordered(trace) => return Err(Unready::Ordered(trace)),
        };
        if position.amount.is_zero() {
            return Err(NoOrder::NoPosition.into());
        }
        // Before permits are taken for it.
        if let Step::MoveStop { price } = step {
            self.settings.stops.admit(&position, *price)?;
        }
        let intent = Intent {
            plan: plan.id.clone(),
            symbol: plan.symbol().clone(),
            step: step.name().to_owned(),
            order: claimed.order(),
            attempt: claimed.attempt().clone(),
            trace: venue.trace(&position.desk).ok_or(NoOrder::NoPosition)?,
            at: self.timestamp(),
        };
        let written = async {
            let written = self.ports.journal().record_intent(&intent).await;
            fault::point("after_journal");
            written
        };
        let (recorded, ours) = join(written, self.note(&intent)).await;
        match recorded.map_err(Unready::Journal)? {
            Recorded::Now if ours => {}
            Recorded::Now => return Err(Unready::ClaimLost),
            Recorded::Before(known) => return Err(Unready::Known(known)),
        }
        fault::point("after_intent");
        Ok(Box::new(Ready {
            position,
            recorded: RecordedIntent::new(intent),
            sign_by,
        }))
    }

    /// Notes an intent beside its claim, for as long as the caller waits for the permits.
    async fn note(&self, intent: &Intent) -> bool {
        let mut told = false;
        loop {
            match self.ports.plans().note_intent(intent).await {
                Ok(ours) => return ours,
                Err(error) if !told => {
                    self.port_failed(&intent.symbol, "note the intent", &error);
                    told = true;
                }
                Err(_) => {}
            }
            let clock = self.ports.clock();
            clock.sleep_until(clock.now() + NOTE_PAUSE).await;
        }
    }

    async fn unready(&self, claimed: &ClaimedPlan, unready: Unready) -> ApplyResult {
        let plan = &claimed.plan;
        match unready {
            Unready::Blocked(block) => self.blocked(plan, &block),
            Unready::NoOrder(no) => self.no_order(plan, &no),
            Unready::Venue(error) => self.venue_failed(plan, &error),
            Unready::Journal(error) => self.journal_failed(plan, &error),
            Unready::Known(known) => self.known_before(claimed, *known).await,
            Unready::Ordered(trace) => self.ordered_before(plan, &trace).await,
            Unready::ClaimLost => self.claim_lost(plan),
        }
    }

    fn claim_lost(&self, plan: &Plan) -> ApplyResult {
        let details = "the store forgot the claim, or another instance took the plan over";
        self.failed(Case::of(plan), Reason::ClaimLost, details.into())
    }

    /// When the wait for a plan's permits has its answer at the latest: nothing it needs may come later.
    fn latest_answer(&self, claimed: &ClaimedPlan) -> Instant {
        let (since, wait) = (claimed.hold.since, self.settings.wait);
        let longest = wait.wait.saturating_add(wait.grace);
        since.checked_add(longest).unwrap_or(since)
    }

    /// What halts trading at this moment, if anything does. A switch that cannot be read does.
    async fn halted(&self, symbol: &Symbol) -> Option<String> {
        match self.ports.proposals().fetch_halt(symbol).await {
            Ok(Halt::Off) => None,
            Ok(Halt::On { by }) => Some(by),
            Err(error) => Some(error.to_string()),
        }
    }

    async fn wait_for_permits(
        &self,
        claimed: &ClaimedPlan,
        news: &News<'_>,
        ready: &AtomicBool,
    ) -> Result<Grant, Block> {
        let plan = &claimed.plan;
        fault::point("before_take");
        // It counts from the publication of the plan, whenever that was heard of.
        let now = self.ports.clock().now();
        let before = now.saturating_duration_since(claimed.hold.since);
        news.add(Happened::WaitStarted(self.settings.wait.wait));
        let ask = Ask {
            subject: Subject::new(plan.id.clone(), plan.symbol())
                .of_content(plan.digest(claimed.attempt())),
            attempt: claimed.attempt().clone(),
            policy: WaitPolicy {
                wait: self.settings.wait.wait.saturating_sub(before),
                ..self.settings.wait
            },
        };
        let store = WhenReady::new(self.ports.permits(), ready);
        let answer = wait_and_take(&store, self.ports.clock(), ask, |event| {
            news.add(Happened::Seen(event));
        })
        .await;
        match &answer {
            Ok(grant) => news.add(Happened::Granted {
                waited: before + grant.waited(),
                most: grant.limit(),
            }),
            Err(block) => {
                news.tell(self);
                let reason = &reason::of_block(block.reason());
                self.tell(Event::Blocked {
                    plan,
                    block,
                    reason,
                });
            }
        }
        answer
    }

    async fn close(
        &self,
        claimed: &ClaimedPlan,
        grant: Grant,
        ready: Ready<P>,
        share: Share,
        news: &News<'_>,
    ) -> ApplyResult {
        let ClaimedPlan { plan, step, .. } = claimed;
        let Ready {
            position,
            recorded,
            sign_by,
        } = ready;
        let leaving = Leaving::on(self, claimed, &grant, sign_by);
        let order = match ApprovedClose::size(grant, plan.symbol(), &position, share)
            .and_then(|order| order.arm(recorded))
        {
            Ok(order) => order,
            Err(no) => return self.no_order(plan, &no),
        };
        let sizing = order.sizing().clone();
        let case = Case {
            sizing: Some(&sizing),
            ..Case::of(plan)
        };
        let granted_at = self.ports.clock().now();
        news.add(Happened::StepStarted(step.name()));
        let submission = self
            .ports
            .exchange()
            .submit_close(order, position.desk, &leaving)
            .await;
        fault::point("after_post");
        news.tell(self);
        if !sizing.limited_by.is_empty() {
            self.tell(Event::Limited {
                plan,
                sizing: &sizing,
            });
        }
        self.tell(Event::Submitted {
            plan,
            step: step.name(),
            sizing: &sizing,
            submission: &submission,
            took: self
                .ports
                .clock()
                .now()
                .saturating_duration_since(granted_at),
        });
        match submission {
            Submission::Accepted(fill) => self.filled(case, fill, true).await,
            Submission::Unknown { why, trace } => {
                let asked = (OrderKind::Close, &trace);
                self.settle_trace(case, asked, Some(&why), true).await
            }
            Submission::Rejected { code, message } => {
                self.failed(Case::of(plan), Reason::OrderRejected(code), message)
            }
            Submission::NotSent { why } => {
                let reason = reason::of_not_sent(&why, OrderKind::Close);
                self.failed(Case::of(plan), reason, why.to_string())
            }
        }
    }

    async fn settled(&self, case: Case<'_>, settlement: Settlement, profit: bool) -> ApplyResult {
        match settlement {
            Settlement::Accepted(fill) => self.filled(case, fill, profit).await,
            Settlement::NotExecuted { why } => self.failed(case, Reason::OrderNotExecuted, why),
            Settlement::Unresolved { why, seen } => self.unresolved(case, why, seen),
        }
    }

    /// What filled of it for certain is told, whatever became of the rest.
    fn unresolved(&self, case: Case<'_>, why: String, seen: Option<Fill>) -> ApplyResult {
        let seen = seen.filter(|fill| fill.executed_qty > Decimal::ZERO);
        let known = |fill: &Fill| case.sized(StepResult::unresolved(case.step, fill, &why), fill);
        let steps = seen.as_ref().map(|fill| vec![known(fill)]);
        let result = self.failed(case, Reason::OrderUnresolved, why);
        ApplyResult {
            executed: steps.is_some(),
            decision: match steps {
                Some(_) => Decision::Execute,
                None => result.decision,
            },
            steps: steps.unwrap_or_else(|| result.steps.clone()),
            ..result
        }
    }

    async fn filled(&self, case: Case<'_>, fill: Fill, profit: bool) -> ApplyResult {
        if fill.executed_qty <= Decimal::ZERO {
            let why = format!(
                "order {} ended {} without a fill",
                fill.order_id, fill.status
            );
            return self.failed(case, Reason::OrderNotFilled, why);
        }
        // The order stands whatever comes of these questions, so their failure costs only what they would have told. Where
        // very many orders are settled at once there is no room for them.
        let (profit, stops) = match profit {
            true => {
                let venue = self.ports.exchange();
                let profit = venue.fetch_profit(case.symbol, &fill);
                join(profit, self.account_for_stops(case, fill.side)).await
            }
            false => (Ok(None), None),
        };
        let profit = profit.ok().flatten();
        let mut fill = fill;
        // The venue's answer to an order names no price; its fills do.
        let of_fills = profit.as_ref().and_then(|profit| profit.average_price);
        fill.average_price = fill.average_price.or(of_fills);
        let mut step = case.sized(StepResult::closed(case.step, &fill), &fill);
        if let Some(stops) = stops {
            step.details.push_str(&format!("; {stops}"));
        }
        ApplyResult {
            executed: true,
            steps: vec![step],
            profit,
            ..case.ended(Decision::Execute, None, self.timestamp())
        }
    }

    /// What was placed for a position is accounted for when it ends. What there is to tell of it, in a sentence.
    async fn account_for_stops(&self, case: Case<'_>, side: Side) -> Option<String> {
        let venue = self.ports.exchange();
        let stops = venue.account_for_stops(case.symbol, side).await;
        if stops.as_ref().is_ok_and(StopsAfterClose::is_nothing) {
            return None;
        }
        self.tell(Event::StopsAccounted {
            plan: case.plan,
            symbol: case.symbol,
            stops: stops.as_ref(),
        });
        Some(match stops {
            Ok(stops) => stops.to_string(),
            Err(error) => format!("its stops are not accounted for: {error}"),
        })
    }

    async fn move_stop(
        &self,
        claimed: &ClaimedPlan,
        grant: Grant,
        ready: Ready<P>,
        price: Decimal,
        news: &News<'_>,
    ) -> ApplyResult {
        let ClaimedPlan { plan, step, .. } = claimed;
        let Ready {
            position,
            recorded,
            sign_by,
        } = ready;
        let leaving = Leaving::on(self, claimed, &grant, sign_by);
        let stop =
            match ApprovedStop::aim(grant, plan.symbol(), &position, price, &self.settings.stops)
                .and_then(|stop| stop.arm(recorded))
            {
                Ok(stop) => stop,
                Err(no) => return self.no_order(plan, &no),
            };
        news.add(Happened::StepStarted(step.name()));
        let replacement = self
            .ports
            .exchange()
            .replace_stop(stop, position.desk, &leaving)
            .await;
        fault::point("after_post");
        news.tell(self);
        self.tell(Event::StopReplaced {
            plan,
            replacement: &replacement,
        });
        self.stop_replaced(Case::of(plan), replacement)
    }

    fn stop_replaced(&self, case: Case<'_>, replacement: StopReplacement) -> ApplyResult {
        match replacement {
            StopReplacement::Placed(placed) => ApplyResult {
                executed: true,
                steps: vec![StepResult::stop_moved(case.step, &placed)],
                ..case.ended(Decision::Execute, None, self.timestamp())
            },
            StopReplacement::Rejected { code, message } => {
                self.failed(case, Reason::StopRejected(code), message)
            }
            StopReplacement::NotSent { why } => {
                let reason = reason::of_not_sent(&why, OrderKind::Stop);
                self.failed(case, reason, why.to_string())
            }
            StopReplacement::Unknown { why } => self.failed(case, Reason::StopUnresolved, why),
        }
    }

    /// Whatever the gate says, it forbids the order.
    fn blocked(&self, plan: &Plan, block: &Block) -> ApplyResult {
        let (decision, reason) = (Decision::Blocked, reason::of_blocked_result(block));
        let status = decision.step_status();
        let step = StepResult::without_order(PERMIT_WAIT, status, block.to_string());
        ApplyResult {
            steps: vec![step],
            ..ApplyResult::not_executed(plan, decision, Some(reason), self.timestamp())
        }
    }

    fn no_order(&self, plan: &Plan, no: &NoOrder) -> ApplyResult {
        self.failed(Case::of(plan), no.reason(), no.to_string())
    }

    fn venue_failed(&self, plan: &Plan, error: &ExchangeError) -> ApplyResult {
        self.failed(Case::of(plan), error.into(), error.to_string())
    }

    fn journal_failed(&self, plan: &Plan, error: &PortError) -> ApplyResult {
        self.port_failed(plan.symbol(), "use the journal", error);
        self.failed(
            Case::of(plan),
            Reason::JournalUnavailable,
            error.to_string(),
        )
    }

    /// A result in which nothing was executed, for this reason; what it is decided as follows from it.
    pub(crate) fn failed(&self, case: Case<'_>, reason: Reason, details: String) -> ApplyResult {
        let decision = Decision::from(reason.class());
        let step = StepResult::without_order(case.step, decision.step_status(), details);
        ApplyResult {
            steps: vec![step],
            ..case.ended(decision, Some(reason), self.timestamp())
        }
    }

    pub(crate) fn timestamp(&self) -> u64 {
        self.ports.clock().unix_seconds()
    }
}

/// A position on the ports' venue.
type Desk<P> = Position<<<P as Ports>::Exchange as Exchange>::Desk>;

/// What stands ready for the permits.
struct Ready<P: Ports> {
    position: Desk<P>,
    recorded: RecordedIntent,
    /// When the order may be signed at the latest: the window that was written down.
    sign_by: Instant,
}

/// Why nothing stands ready, and nothing will be placed.
enum Unready {
    /// There is no grant.
    Blocked(Block),
    /// Something else forbids it.
    NoOrder(NoOrder),
    Venue(ExchangeError),
    Journal(PortError),
    /// The claim is not this attempt's any more.
    ClaimLost,
    /// The journal knows the plan.
    Known(Box<Entry>),
    /// The venue has an order of the plan.
    Ordered(OrderTrace),
}

impl From<Block> for Unready {
    fn from(block: Block) -> Self {
        Self::Blocked(block)
    }
}

impl From<NoOrder> for Unready {
    fn from(no: NoOrder) -> Self {
        Self::NoOrder(no)
    }
}

impl From<ExchangeError> for Unready {
    fn from(error: ExchangeError) -> Self {
        Self::Venue(error)
    }
}

/// What a result is about, whether the plan is at hand or only what was written down of it.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) plan: &'a PlanId,
    pub(crate) symbol: &'a Symbol,
    pub(crate) step: &'a str,
    /// How the quantity came about, where this process decided it.
    pub(crate) sizing: Option<&'a Sizing>,
}

impl<'a> Case<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self {
            plan: &plan.id,
            symbol: plan.symbol(),
            step: step_name(plan),
            sizing: None,
        }
    }

    fn of_intent(intent: &'a Intent) -> Self {
        Self {
            plan: &intent.plan,
            symbol: &intent.symbol,
            step: &intent.step,
            sizing: None,
        }
    }

    /// With what is known of the quantity.
    fn sized(self, step: StepResult, fill: &Fill) -> StepResult {
        match self.sizing {
            Some(sizing) => step.sized(sizing, fill.executed_qty),
            None => step,
        }
    }

    fn ended(self, decision: Decision, error: Option<Reason>, timestamp: u64) -> ApplyResult {
        ApplyResult::nothing_happened(self.plan, self.symbol, decision, error, timestamp)
    }
}

/// How long after the latest answer of the permits an order may still be signed. Enough for a busy
/// machine to get from the grant to the signature; a process that was stopped for longer has to
/// leave it.
pub const SIGNING_SLACK: Duration = Duration::from_secs(1);

/// How long what was read of the store's kill switch, in the step that took the permits, counts: no
/// longer than the question and its answer would themselves take on a busy day.
const SWITCH_FRESH: Duration = Duration::from_millis(10);

/// How many symbols are looked at, up to a claim, at the same time; and for how many plans at once an
/// order is made ready. More than stores and venues work on at the same time, and few enough that what
/// each needs meanwhile does not add up: what a burst of ten thousand leaves behind is not given back.
const LOOKS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
const DESKS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

/// How much later than its claim, beside the wait for its permits, the first of a plan's figures can be
/// from: the whole second that it is cut to, and a busy machine.
const CLAIM_SLACK: Duration = Duration::from_secs(10);

/// Between two tries to note an intent.
const NOTE_PAUSE: Duration = Duration::from_millis(100);

/// Between two tries to publish a result: at first, and at most.
const PUBLISH_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PUBLISH_PAUSE: Duration = Duration::from_secs(2);

/// The step of a plan that came no further than its permits.
const PERMIT_WAIT: &str = "PERMIT_WAIT";

/// What was to be done then.
const PUBLISH: &str = "publish the result";

/// A name too long to carry its number is told by its digest: cut short, two attempts could be one.
fn digest_of(name: &str) -> AttemptId {
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    AttemptId::new(&hex).unwrap_or_else(|_| unreachable!("64 hex digits are an id"))
}

fn step_name(plan: &Plan) -> &'static str {
    plan.step.as_ref().map_or("NONE", Step::name)
}
