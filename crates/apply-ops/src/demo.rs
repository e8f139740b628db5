//! `apply-layer demo`: the whole path with nothing installed. The same core, gate, client and
//! serving loop as `run`; only Redis is replaced by memory, and the venue by a simulated one on a
//! loopback port. The venue's order log says what really happened. The reviewers' verdicts are those of
//! `permit-issuers`; only their timing is scripted, and one permit in the digits of a neighbour's binary float.

mod serve;

pub use serve::serve as keep_serving;

use crate::say;
use apply_core::{
    ApplyLayer, ApplyResult, Event, GateSettings, InFlightLimit, Mode, Observer, Plan, Settings,
    StopLimits, Symbol,
    memory::{MemoryJournal, MemoryPlanStore},
};
use apply_exchange::Venue;
use apply_service::{
    Failure, SystemClock,
    health::Fence,
    instance,
    wiring::{Adapters, WithLocalHalt, serve},
};
use apply_wire::defaults;
use exchange_client::{Client, Credentials, Host};
use exchange_sim::{OrderRecord, Sim, SimConfig};
use permit_gate::{MemoryStore, Timer, WaitPolicy, trading};
use permit_issuers::{
    Book, Ledger, Lot, Reviewed, Snapshot, Timestamp, VenuePosition, governor, position_brain,
};
use rust_decimal::Decimal;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// One way things can go.
struct Scenario {
    name: &'static str,
    action: &'static str,
    /// When the governor's permit comes after the plan.
    governor: Option<Duration>,
    /// When the position brain's comes, and what it says.
    p33: Option<(Duration, P33)>,
    expected: Outcome,
}

/// What the account holds of a symbol, and the step the position brain cuts to.
#[derive(Clone, Copy)]
struct Account {
    amount: Decimal,
    mark_price: Decimal,
    step: Decimal,
}

#[derive(Clone, Copy)]
enum P33 {
    /// Allows this many base units, in the digits of a binary float.
    Float(&'static str),
    /// Decides, with this much of the position in its ledger.
    Decide { ledger: Decimal },
}

/// What the venue's order log and the result say, in terms that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Order {
        side: &'static str,
        quantity: &'static str,
    },
    NoOrder {
        error: &'static str,
    },
}

const SYMBOL: &str = "BTCUSDT";
/// The account holds this much before each scenario: 0.0124, bought at 64000, now worth 64025.
const HELD: Decimal = Decimal::from_parts(124, 0, 0, false, 4);
/// What a ledger holds that missed a fill.
const MISCOUNTED: Decimal = Decimal::from_parts(324, 0, 0, false, 4);
/// The step the position brain cuts to, that of production: coarser than the simulated venue's.
const STEP: Decimal = Decimal::from_parts(1, 0, 0, false, 3);
const ENTRY_PRICE: Decimal = Decimal::from_parts(64_000, 0, 0, false, 0);
const MARK_PRICE: Decimal = Decimal::from_parts(64_025, 0, 0, false, 0);

const ACCOUNT: Account = Account {
    amount: HELD,
    mark_price: MARK_PRICE,
    step: STEP,
};

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "both permits in time",
        action: "PARTIAL_75",
        governor: Some(Duration::from_millis(50)),
        p33: Some((
            Duration::from_millis(195),
            P33::Float("0.009000000000000001"),
        )),
        expected: Outcome::Order {
            side: "SELL",
            quantity: "0.009",
        },
    },
    Scenario {
        name: "position permit late",
        action: "PARTIAL_50",
        governor: Some(Duration::from_millis(50)),
        p33: Some((Duration::from_millis(789), P33::Decide { ledger: HELD })),
        expected: Outcome::Order {
            side: "SELL",
            quantity: "0.006",
        },
    },
    Scenario {
        name: "position permit never",
        action: "FULL_CLOSE_PROPOSED",
        governor: Some(Duration::from_millis(50)),
        p33: None,
        expected: Outcome::NoOrder {
            error: "permit_timeout_or_missing:missing_p33",
        },
    },
    Scenario {
        name: "position brain denies",
        action: "PARTIAL_75",
        governor: Some(Duration::from_millis(50)),
        p33: Some((
            Duration::from_millis(195),
            P33::Decide { ledger: MISCOUNTED },
        )),
        expected: Outcome::NoOrder {
            error: "p33_permit_denied",
        },
    },
];

/// What a scenario came to.
struct Seen {
    expected: String,
    seen: String,
    matched: bool,
}

/// Runs the four scenarios, prints what happens as it happens and a closing table; fails unless
/// all came out as expected.
pub async fn demo() -> Result<(), Failure> {
    let mut stage = Stage::build().await?;
    say(&format!(
        "apply-layer demo: no real venue: it is simulated on {}",
        stage.sim.url()
    ));
    let mut rows = Vec::new();
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        say("");
        say(&format!("{}. {}", index + 1, scenario.name));
        rows.push(stage.play(index, scenario).await);
    }
    stage.close().await;
    print_table(&rows);
    match rows.iter().filter(|row| !row.matched).count() {
        0 => Ok(()),
        wrong => Err(Failure::mismatch(format!(
            "{wrong} of {} scenarios failed",
            rows.len()
        ))),
    }
}

/// Everything the scenarios need, up and running.
struct Stage {
    sim: Sim,
    plan_store: MemoryPlanStore,
    permits: MemoryStore,
    stop: CancellationToken,
    serving: tokio::task::JoinSet<()>,
    symbol: Symbol,
    /// Results, once they are published and printed.
    results: UnboundedReceiver<ApplyResult>,
}

impl Stage {
    async fn build() -> Result<Self, Failure> {
        let (sim, client) = venue(SimConfig::default()).await?;
        let symbol = symbol(SYMBOL)?;
        let plan_store = MemoryPlanStore::default();
        let permits = MemoryStore::new(Arc::new(trading::permits()));
        let (sender, results) = unbounded_channel();
        let layer = layer(
            Memory {
                plan_store: plan_store.clone(),
                permits: permits.clone(),
                client,
            },
            std::slice::from_ref(&symbol),
            WaitPolicy::default(),
            Narrator::new(sender),
        );
        let stop = CancellationToken::new();
        let serving = serve(
            &layer,
            std::slice::from_ref(&symbol),
            Duration::from_secs(5),
            &Fence::default(),
            &stop,
        );
        Ok(Self {
            sim,
            plan_store,
            permits,
            stop,
            serving,
            symbol,
            results,
        })
    }

    async fn play(&mut self, index: usize, scenario: &Scenario) -> Seen {
        let venue = self.sim.handle();
        venue.set_price(SYMBOL, ENTRY_PRICE);
        venue.set_position(SYMBOL, HELD);
        venue.set_price(SYMBOL, MARK_PRICE);
        let before = venue.order_count();
        let computed_at = format!("2026-01-25T00:30:{index:02}Z");
        self.plan_store.propose(
            &self.symbol,
            &[
                ("harvest_action", scenario.action),
                ("kill_score", "0.539"),
                ("computed_at_utc", &computed_at),
            ],
        );
        // The reviewers see the plan on the stream and write their permits, each in its own time.
        let plan = self.plan_store.plan_at(index).await;
        let (_, _, result) = tokio::join!(
            review(
                &self.permits,
                scenario
                    .governor
                    .map(|after| (after, governor_permit(&plan))),
                &plan,
                "governor"
            ),
            review(
                &self.permits,
                scenario
                    .p33
                    .map(|(after, says)| (after, p33_permit(&plan, &ACCOUNT, says))),
                &plan,
                "p33"
            ),
            self.results.recv(),
        );
        let arrived: Vec<OrderRecord> = venue.orders().into_iter().skip(before as usize).collect();
        match result {
            Some(result) => judge(scenario, &result, &arrived),
            None => Seen {
                expected: scenario.name.into(),
                seen: "the layer stopped".into(),
                matched: false,
            },
        }
    }

    async fn close(mut self) {
        self.stop.cancel();
        while self.serving.join_next().await.is_some() {}
        // The scenarios are played; a venue that ends badly now changes nothing of what was seen.
        let _ = self.sim.shutdown().await;
    }
}

/// A simulated venue, and a client that has spoken with it.
async fn venue(config: SimConfig) -> Result<(Sim, Client), Failure> {
    let sim = Sim::start(config.strict())
        .await
        .map_err(|error| broken("cannot open the simulated venue", &error))?;
    let host: Host = sim
        .url()
        .parse()
        .map_err(|error| broken("the simulated venue's address", &error))?;
    let credentials = Credentials::hmac(SimConfig::API_KEY, SimConfig::API_SECRET)
        .map_err(|error| broken("the simulated venue's key", &error))?;
    let client = Client::new(host, credentials, Venue::settings())
        .map_err(|error| broken("cannot set up the venue client", &error))?;
    client
        .warm_up()
        .await
        .map_err(|error| broken("the simulated venue does not answer", &error))?;
    Ok((sim, client))
}

fn symbol(name: &str) -> Result<Symbol, Failure> {
    name.parse()
        .map_err(|error| broken("the demo's symbol", &error))
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::unavailable(format!("{what}: {error}"))
}

/// What stands in for Redis and its neighbours, and the client for the simulated venue.
struct Memory {
    plan_store: MemoryPlanStore,
    permits: MemoryStore,
    client: Client,
}

type InMemory = Adapters<MemoryPlanStore, MemoryStore, MemoryJournal>;

/// The layer of `run` over memory; `symbols` may execute.
fn layer(
    memory: Memory,
    symbols: &[Symbol],
    wait: WaitPolicy,
    observer: impl Observer + 'static,
) -> Arc<ApplyLayer<InMemory>> {
    let outside = Adapters {
        plan_store: WithLocalHalt {
            plan_store: memory.plan_store,
            halted: false,
            file: None,
            front: None,
        },
        permits: memory.permits,
        journal: MemoryJournal::default(),
        venue: Venue::new(Some(memory.client)),
        clock: SystemClock,
    };
    let settings = Settings {
        gates: GateSettings {
            allowlist: symbols.iter().cloned().collect(),
            critical: 0.80,
            warning: 0.60,
            close: None,
            stops: true,
        },
        mode: Mode::Testnet,
        wait,
        stops: StopLimits::default(),
        proposal_max_age: None,
        dedupe_ttl: defaults::DEDUPE_TTL,
        claim_limit: InFlightLimit::of(
            NonZeroUsize::new(symbols.len()).unwrap_or(NonZeroUsize::MIN),
        ),
        attempt: instance(),
    };
    Arc::new(ApplyLayer::new(outside, settings, observer))
}

/// A reviewer: writes its permit a while after the plan, if at all.
async fn review(
    permits: &MemoryStore,
    permit: Option<(Duration, String)>,
    plan: &Plan,
    name: &str,
) {
    if let Some((after, content)) = permit {
        sleep(after).await;
        // As the neighbours do: gone after a minute.
        permits.put_until(
            &plan.id,
            name,
            content.as_bytes(),
            SystemClock.now() + Duration::from_secs(60),
        );
    }
}

fn governor_permit(plan: &Plan) -> String {
    governor::APPROVED.to_permit(plan.symbol(), now())
}

fn p33_permit(plan: &Plan, account: &Account, says: P33) -> String {
    match says {
        P33::Float(quantity) => format!(
            r#"{{"allow":true,"symbol":"{symbol}","safe_close_qty":{quantity},"exchange_position_amt":{amount},"ledger_amt":{amount},"created_at":{},"reason":"sanity_checks_passed"}}"#,
            now(),
            symbol = plan.symbol(),
            amount = account.amount,
        ),
        P33::Decide { ledger } => decide(plan, account, ledger).unwrap_or_default(), // no text is no yes
    }
}

/// The position brain's permit; none for a plan it cannot read.
fn decide(plan: &Plan, account: &Account, ledger: Decimal) -> Option<String> {
    let fields = plan.to_fields(0).into_iter();
    let fields = fields
        .map(|(field, value)| (field.to_owned(), value))
        .collect();
    let plan = Reviewed::read(&fields).ok().flatten()?;
    let now = now();
    let seen = Snapshot {
        asked_at: now,
        holding: VenuePosition {
            amount: account.amount,
            mark_price: Some(account.mark_price),
            lot: Lot {
                step: account.step,
                min: account.step,
                max: None,
            },
        },
    };
    let ledger = Ledger {
        book: Book::Holds(ledger),
        last_fill: None,
    };
    let settings = position_brain::Settings::default();
    let verdict = position_brain::decide(&plan, Some(&seen), &ledger, &settings, now);
    Some(verdict.to_permit(&plan.symbol, now))
}

fn now() -> Timestamp {
    // A clock before 1970 is no clock; the permits carry 0 then.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    Timestamp::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Compares what was expected with what the venue's order log and the result say.
fn judge(scenario: &Scenario, result: &ApplyResult, arrived: &[OrderRecord]) -> Seen {
    let error = result.error_code();
    let error = error.as_deref().unwrap_or("no error");
    let (matched, seen) = match (arrived, &scenario.expected) {
        ([], Outcome::NoOrder { error: expected }) => (
            !result.executed && error == *expected,
            format!("no order, {error}"),
        ),
        ([], Outcome::Order { .. }) => (false, format!("no order, {error}")),
        ([order], Outcome::Order { side, quantity }) => {
            let quantity_executed = result
                .steps
                .last()
                .and_then(|step| step.executed_qty.clone());
            let filled = order.executed_qty.normalize().to_string();
            let matches = filled == *quantity
                && side_of(order) == *side
                && quantity_executed.as_deref() == Some(*quantity);
            (
                matches && result.executed,
                format!("{} {filled}", side_of(order)),
            )
        }
        (orders, _) => (false, format!("{} orders", orders.len())),
    };
    let expected = match &scenario.expected {
        Outcome::Order { side, quantity } => format!("{side} {quantity}"),
        Outcome::NoOrder { error } => format!("no order, {error}"),
    };
    Seen {
        expected: format!("{:<24}{expected}", scenario.name),
        seen,
        matched,
    }
}

/// The side as it stood in the request.
fn side_of(order: &OrderRecord) -> &str {
    let mut parameters = order.params.split('&').filter_map(|p| p.split_once('='));
    parameters
        .find(|(name, _)| *name == "side")
        .map_or("?", |(_, side)| side)
}

fn print_table(rows: &[Seen]) {
    say("");
    say(&format!(
        "{:<24}{:<48}{:<48}",
        "scenario", "expected", "seen at the venue"
    ));
    for row in rows {
        let verdict = if row.matched { "ok" } else { "NOT AS EXPECTED" };
        say(&format!("{:<72}{:<48}{verdict}", row.expected, row.seen));
    }
}

/// Prints every event with the time since the last plan, and passes results on.
struct Narrator {
    since: Mutex<Instant>,
    results: UnboundedSender<ApplyResult>,
}

impl Narrator {
    fn new(results: UnboundedSender<ApplyResult>) -> Self {
        Self {
            since: Mutex::new(Instant::now()),
            results,
        }
    }
}

impl Observer for Narrator {
    fn observe(&self, event: &Event<'_>) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(event, Event::PlanPublished { .. }) {
            *since = Instant::now();
        }
        let (_, line) = event.line();
        say(&format!("   {:>5} ms  {line}", since.elapsed().as_millis()));
        if let Event::ResultPublished { result } = event {
            // The receiver is gone once the last scenario is over.
            let _ = self.results.send((*result).clone());
        }
    }
}
