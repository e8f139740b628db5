//! What the core's tests share: a stage with every port on it, a venue that plays a script, and
//! tokio's paused clock, so that everything here happens in virtual time.

#![allow(dead_code, unused_imports)] // each test file uses its own part of this
#![allow(clippy::unwrap_used)]

mod plan_store;
mod venue;

pub(crate) use plan_store::{FlakyJournal, FlakyPlanStore};
pub(crate) use venue::{Asked, Script, StepRules, Venue, filled, trace};

use apply_core::{
    ApplyLayer, ApplyResult, Clock, Event, GateSettings, InFlightLimit, Mode, Observer, Plan,
    Ports, Settings, StopLimits, Symbol, SymbolWorker, Worked, event::Level,
    recovery::keep_settling,
};
use permit_gate::{AttemptId, MemoryStore, PlanId, Timer, WaitPolicy, trading};
use rust_decimal::Decimal;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The machine of the first instance.
const MACHINE: &str = "machine-a";

/// When the curtain rises, in seconds since 1970.
pub(crate) const EPOCH: u64 = 1_769_301_008;

/// Tokio's clock: it stands still until everyone waits for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageClock {
    start: tokio::time::Instant,
}

impl StageClock {
    /// Virtual time since the curtain rose.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Timer for StageClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until(at.into()).await;
    }
}

impl Clock for StageClock {
    fn unix_seconds(&self) -> u64 {
        EPOCH + self.elapsed().as_secs()
    }
}

/// Every port of one instance. Clones are the same instance's.
#[derive(Clone)]
pub(crate) struct StagePorts {
    pub(crate) plan_store: FlakyPlanStore,
    pub(crate) permits: MemoryStore,
    pub(crate) journal: FlakyJournal,
    pub(crate) venue: Venue,
    pub(crate) clock: StageClock,
}

impl Ports for StagePorts {
    type Proposals = FlakyPlanStore;
    type Plans = FlakyPlanStore;
    type Results = FlakyPlanStore;
    type Permits = MemoryStore;
    type Journal = FlakyJournal;
    type Exchange = Venue;
    type Clock = StageClock;

    fn proposals(&self) -> &FlakyPlanStore {
        &self.plan_store
    }
    fn plans(&self) -> &FlakyPlanStore {
        &self.plan_store
    }
    fn results(&self) -> &FlakyPlanStore {
        &self.plan_store
    }
    fn permits(&self) -> &MemoryStore {
        &self.permits
    }
    fn journal(&self) -> &FlakyJournal {
        &self.journal
    }
    fn exchange(&self) -> &Venue {
        &self.venue
    }
    fn clock(&self) -> &StageClock {
        &self.clock
    }
}

/// Keeps every line of the log; operators see all but those for a close look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Observer for Log {
    fn observe(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(event.line());
    }
}

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let shown = lines.iter().filter(|(level, _)| *level > Level::Debug);
        shown.map(|(_, line)| line.clone()).collect()
    }

    /// The lines for a close look.
    pub(crate) fn debug_lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let debug = lines.iter().filter(|(level, _)| *level == Level::Debug);
        debug.map(|(_, line)| line.clone()).collect()
    }

    /// How many lines begin like this.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let lines = self.lines();
        lines.iter().filter(|line| line.starts_with(prefix)).count()
    }

    /// The level of the only line that begins like this.
    pub(crate) fn level_of(&self, prefix: &str) -> Level {
        let lines = self.0.lock().unwrap();
        let mut found = lines.iter().filter(|(_, line)| line.starts_with(prefix));
        let (level, _) = found.next().unwrap();
        assert_eq!(found.next(), None, "{prefix} is there once");
        *level
    }
}

/// One instance of the apply layer with all its surroundings.
pub(crate) struct Stage {
    pub(crate) ports: StagePorts,
    pub(crate) log: Log,
    pub(crate) layer: Arc<ApplyLayer<StagePorts>>,
}

impl Stage {
    /// An instance that trades, on a plan store of its own; the venue holds 0.0124 BTC long.
    pub(crate) fn new() -> Self {
        Self::with(Mode::Testnet, |_| ())
    }

    /// On a permit store that does not ask who holds a plan, nor whether an order is ready.
    pub(crate) fn whose_permits_anybody_takes() -> Self {
        let mut ports = Self::new().ports;
        ports.permits = MemoryStore::new(Arc::new(trading::permits()));
        Self::over(ports, settings("instance-a", Mode::Testnet))
    }

    pub(crate) fn rehearsing() -> Self {
        Self::with(Mode::DryRun, |_| ())
    }

    /// One that follows proposals up to this age.
    pub(crate) fn followed_for(limit: Option<Duration>) -> Self {
        Self::with(Mode::Testnet, |settings| settings.proposal_max_age = limit)
    }

    pub(crate) fn with(mode: Mode, change: impl FnOnce(&mut Settings)) -> Self {
        let plan_store = FlakyPlanStore::of_machine(MACHINE);
        let ports = StagePorts {
            permits: permits_on(&plan_store, mode),
            plan_store,
            journal: FlakyJournal::default(),
            venue: Venue::holding("0.0124"),
            clock: StageClock {
                start: tokio::time::Instant::now(),
            },
        };
        let mut settings = settings("instance-a", mode);
        change(&mut settings);
        Self::over(ports, settings)
    }

    /// Another instance on the same store and venue, on a machine of its own.
    pub(crate) fn sibling(&self, name: &str) -> Self {
        let mut ports = StagePorts {
            journal: FlakyJournal::default(),
            ..self.ports.clone()
        };
        ports.plan_store.memory = ports.plan_store.memory.in_hands_of(name, name);
        Self::over(ports, settings(name, Mode::Testnet))
    }

    /// Such an instance after the store lost everything: claims, permits and who took them.
    pub(crate) fn sibling_after_a_loss(&self, name: &str) -> Self {
        self.plan_store().memory.forget();
        let mut sibling = self.sibling(name);
        sibling.ports.permits = permits_on(&sibling.ports.plan_store, Mode::Testnet);
        Self::over(sibling.ports, settings(name, Mode::Testnet))
    }

    /// Has the store see that it has forgotten, and waits until that is long ago.
    pub(crate) async fn is_clean_again(&self) {
        let look = self.look().await;
        let Worked::TooYoung { clean_at } = look else {
            panic!("a store that has just forgotten, not {look:?}");
        };
        tokio::time::sleep_until(clean_at.into()).await;
    }

    /// Goes on until no plan owes a result any more.
    pub(crate) async fn settles(&self) {
        let settling = keep_settling(&self.layer);
        let settled = async {
            while self.layer.owed() > 0 {
                tokio::time::sleep(ms(10)).await;
            }
        };
        tokio::select! {
            () = settling => {}
            () = settled => {}
        }
    }

    /// Looks once; the plan comes to an end that is not this attempt's to publish, and is settled.
    pub(crate) async fn owe_and_settle(&self) {
        let look = self.look().await;
        assert!(matches!(look, Worked::Owed), "{look:?}");
        self.settles().await;
    }

    /// The same machine's next process.
    pub(crate) fn restarted(&self, name: &str) -> Self {
        self.restarted_as(name, Mode::Testnet)
    }

    /// The same in another mode.
    pub(crate) fn restarted_as(&self, name: &str, mode: Mode) -> Self {
        let mut ports = self.ports.clone();
        ports.plan_store.memory = ports.plan_store.memory.in_hands_of(MACHINE, name);
        Self::over(ports, settings(name, mode))
    }

    fn over(ports: StagePorts, settings: Settings) -> Self {
        let log = Log::default();
        let layer = Arc::new(ApplyLayer::new(ports.clone(), settings, log.clone()));
        Self { ports, log, layer }
    }

    pub(crate) fn plan_store(&self) -> &FlakyPlanStore {
        &self.ports.plan_store
    }

    pub(crate) fn venue(&self) -> &Venue {
        &self.ports.venue
    }

    pub(crate) fn permits(&self) -> &MemoryStore {
        &self.ports.permits
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.ports.clock.elapsed()
    }

    /// Writes the proposal of a calm market for BTCUSDT.
    pub(crate) fn propose(&self, action: &str) {
        self.propose_with(action, &[]);
    }

    /// As [`Stage::propose`], with further fields or others in their place.
    pub(crate) fn propose_with(&self, action: &str, more: &[(&str, &str)]) {
        let mut fields = vec![
            ("harvest_action", action),
            ("kill_score", "0.539"),
            ("computed_at_utc", "2026-01-25T00:30:08Z"),
        ];
        fields.extend(more);
        self.plan_store().memory.propose(&btc(), &fields);
    }

    /// Runs `act` with the permits and the plan's id, once the plan at `index` of the stream has
    /// been there for `after`.
    pub(crate) fn when_planned(
        &self,
        index: usize,
        after: Duration,
        act: impl FnOnce(&MemoryStore, &PlanId) + Send + 'static,
    ) {
        let (plan_store, permits) = (self.plan_store().memory.clone(), self.permits().clone());
        tokio::spawn(async move {
            let plan = plan_store.plan_at(index).await;
            tokio::time::sleep(after).await;
            act(&permits, &plan.id);
        });
    }

    /// The first plan gets these permits, each so long after it was published.
    pub(crate) fn answer(&self, governor: (u64, &str), position_brain: (u64, &str)) {
        for (name, (after, text)) in [("governor", governor), ("p33", position_brain)] {
            let text = text.to_owned();
            self.when_planned(0, ms(after), move |permits, plan| {
                permits.put(plan, name, text.as_bytes());
            });
        }
    }

    /// The first plan gets both permits in time, for 0.008 of 0.0124.
    pub(crate) fn answer_yes(&self) {
        self.answer((50, GOVERNOR), (195, &p33("0.008", "0.0124")));
    }

    /// Looks once with a fresh worker for BTCUSDT.
    pub(crate) async fn look(&self) -> Worked {
        SymbolWorker::new(btc()).look(&self.layer).await.unwrap()
    }

    /// Looks once, and the plan has to be carried out.
    pub(crate) async fn execute(&self) -> ApplyResult {
        match self.look().await {
            Worked::Finished(result) => *result,
            other => panic!("carried out, not {other:?}"),
        }
    }

    /// Proposes PARTIAL_75 and follows the plan to its end, which is one result on the stream.
    pub(crate) async fn play(&self) -> ApplyResult {
        self.play_as("PARTIAL_75").await
    }

    /// The same for another action.
    pub(crate) async fn play_as(&self, action: &str) -> ApplyResult {
        self.propose(action);
        let result = self.execute().await;
        assert_eq!(self.results(), vec![result.clone()], "one plan, one result");
        result
    }

    pub(crate) fn plans(&self) -> Vec<Plan> {
        self.plan_store().memory.plans()
    }

    pub(crate) fn results(&self) -> Vec<ApplyResult> {
        self.plan_store().memory.results()
    }
}

/// Permits that the holder of their plan on this plan store takes.
fn permits_on(plan_store: &FlakyPlanStore, mode: Mode) -> MemoryStore {
    let (plan_store, orders) = (plan_store.memory.clone(), mode == Mode::Testnet);
    MemoryStore::new(Arc::new(trading::permits()))
        .holders(move |plan, attempt| plan_store.holding(plan, attempt, orders))
}

fn settings(instance: &str, mode: Mode) -> Settings {
    Settings {
        gates: GateSettings {
            allowlist: [btc(), eth()].into(),
            critical: 0.80,
            warning: 0.60,
            close: None,
            stops: true,
        },
        mode,
        wait: WaitPolicy::default(),
        stops: StopLimits::default(),
        proposal_max_age: None,
        dedupe_ttl: Duration::from_secs(21_600),
        claim_limit: InFlightLimit::of(NonZeroUsize::new(100).unwrap()),
        attempt: AttemptId::new(instance).unwrap(),
    }
}

pub(crate) const GOVERNOR: &str = r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"computed_notional":0.0,"created_at":1769301008.977,"consumed":false}"#;
pub(crate) const GOVERNOR_NO: &str = r#"{"granted":false,"symbol":"BTCUSDT","decision":"BLOCK","computed_qty":0.0,"created_at":1769301008.977}"#;
pub(crate) const P33_NO: &str = r#"{"allow":false,"symbol":"BTCUSDT","reason":"reconcile_required_qty_mismatch","context":{"diff":0.004},"created_at":1769301009.1}"#;

/// The governor's yes for at most `qty`.
pub(crate) fn governor(qty: &str) -> String {
    GOVERNOR.replace(r#""computed_qty":0.0"#, &format!(r#""computed_qty":{qty}"#))
}

/// The position brain's yes for `qty` of a position it saw as `seen`.
pub(crate) fn p33(qty: &str, seen: &str) -> String {
    format!(
        r#"{{"allow":true,"symbol":"BTCUSDT","safe_close_qty":{qty},"exchange_position_amt":{seen},"ledger_amt":{seen},"created_at":1769301009.1,"reason":"sanity_checks_passed"}}"#
    )
}

pub(crate) fn btc() -> Symbol {
    "BTCUSDT".parse().unwrap()
}

pub(crate) fn eth() -> Symbol {
    "ETHUSDT".parse().unwrap()
}

pub(crate) fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
