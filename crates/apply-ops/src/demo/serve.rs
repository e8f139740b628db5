//! `apply-layer demo --serve`: the page with something going on, for as long as somebody looks.
//!
//! A brain, two reviewers and an operator play a fixed piece over and over, in their own time: waits
//! run side by side, and end as grants, as blocks and as refusals; now and then everything is
//! halted. The store is memory, the venue is simulated, and nothing of it outlives the process.

use super::{
    Account, InMemory, Memory, P33, broken, governor_permit, layer, p33_permit, review, symbol,
    venue,
};
use crate::{say, time::iso_micros};
use apply_core::{
    ApplyLayer, Decision, Event, Mode, Observer, Plan, Symbol, memory::MemoryPlanStore,
};
use apply_service::{
    Failure, KEEP_WARM, Metrics, SwitchesHere,
    dashboard::{self, DashboardState, HealthSnapshot, TradingGauges},
    health::{Fence, Health, StoreWrites, WithHealth},
    history::History,
    http::{self, Hosts},
    instance, stop_on_signals, wiring,
};
use exchange_sim::{Drift, Sim, SimConfig};
use permit_gate::{MemoryStore, PermitSet, WaitPolicy, trading};
use rust_decimal::Decimal;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

/// Long enough to be watched.
const WAIT: Duration = Duration::from_secs(4);

/// Memory remembers every plan, so it is replaced after this many rounds of the piece: about half
/// an hour.
const ROUNDS: usize = 60;

/// What the account holds before each proposal.
const HELD: [(&str, Account); 3] = [
    ("BTCUSDT", account(124, 4, 64_000, 3)),
    ("ETHUSDT", account(125, 2, 3_200, 3)),
    ("SOLUSDT", account(40, 0, 150, 2)),
];

const fn account(amount: u32, places: u32, price: u32, step_places: u32) -> Account {
    Account {
        amount: Decimal::from_parts(amount, 0, 0, false, places),
        mark_price: Decimal::from_parts(price, 0, 0, false, 0),
        step: Decimal::from_parts(1, 0, 0, false, step_places),
    }
}

/// What happens next.
enum Act {
    Propose {
        /// Its place in [`HELD`].
        symbol: usize,
        action: &'static str,
        kill_score: &'static str,
        review: Review,
    },
    Halt,
    Resume,
}

/// When the reviewers answer, in milliseconds, if they do.
struct Review {
    governor: Option<u64>,
    p33: Option<(u64, Verdict)>,
}

#[derive(Clone, Copy)]
enum Verdict {
    Allow,
    /// The ledger does not agree with the venue.
    Deny,
}

const fn propose(
    symbol: usize,
    action: &'static str,
    governor: Option<u64>,
    p33: Option<(u64, Verdict)>,
) -> Act {
    Act::Propose {
        symbol,
        action,
        kill_score: "0.539",
        review: Review { governor, p33 },
    }
}

/// One round, with the pause after each act in milliseconds. A symbol comes again only when its
/// last wait is over.
const PIECE: [(Act, u64); 14] = [
    (
        propose(0, "PARTIAL_75", Some(400), Some((1_600, Verdict::Allow))),
        1_500,
    ),
    (
        propose(1, "PARTIAL_50", Some(900), Some((2_700, Verdict::Allow))),
        1_500,
    ),
    (propose(2, "FULL_CLOSE_PROPOSED", Some(700), None), 1_800),
    (
        propose(0, "PARTIAL_50", Some(600), Some((1_900, Verdict::Deny))),
        2_400,
    ),
    (propose(1, "HOLD", None, None), 900),
    (
        propose(2, "PARTIAL_75", Some(300), Some((1_100, Verdict::Allow))),
        1_900,
    ),
    (
        propose(1, "PARTIAL_75", None, Some((800, Verdict::Allow))),
        1_800,
    ),
    (
        Act::Propose {
            symbol: 0,
            action: "PARTIAL_75",
            kill_score: "0.91",
            review: Review {
                governor: None,
                p33: None,
            },
        },
        1_500,
    ),
    (
        propose(2, "PARTIAL_50", Some(1_200), Some((2_200, Verdict::Allow))),
        1_600,
    ),
    (
        propose(
            0,
            "FULL_CLOSE_PROPOSED",
            Some(500),
            Some((1_400, Verdict::Allow)),
        ),
        4_500,
    ),
    (Act::Halt, 1_500),
    (
        propose(1, "PARTIAL_75", Some(300), Some((600, Verdict::Allow))),
        2_500,
    ),
    (Act::Resume, 2_000),
    (
        propose(
            1,
            "FULL_CLOSE_PROPOSED",
            Some(800),
            Some((3_100, Verdict::Allow)),
        ),
        4_500,
    ),
];

/// Serves the page on this port of 127.0.0.1 until SIGINT or SIGTERM; 0 takes a free port.
pub async fn serve(port: u16, commit: &'static str) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (listener, address) = http::listen(wanted, "--port").await?;
    let symbols = HELD.map(|(name, _)| symbol(name));
    let symbols: Vec<Symbol> = symbols.into_iter().collect::<Result<_, _>>()?;
    let instance = instance();
    let live = DashboardState::new(
        &symbols,
        HealthSnapshot::begun(Mode::Testnet, instance.as_str()),
    );
    let permits = Arc::new(trading::permits());
    let names: Vec<&str> = permits.iter().map(|permit| permit.name()).collect();
    let gauges = TradingGauges(live.clone());
    let metrics = Metrics::new(commit, &symbols, &names, vec![Box::new(gauges)]);
    metrics.announce_reasons(&permits);
    let shown = Shown {
        live: live.clone(),
        metrics: metrics.clone(),
    };
    let health = Health::default();
    health.set_ready(true);
    let page = tokio::spawn(http::serve_with(
        listener,
        Hosts::new(&[]),
        WithHealth {
            page: metrics,
            health,
            live: live.clone(),
            fence: Fence::default(),
        },
        dashboard::routes(&live, &History::none(), stop.clone()),
        stop.clone().cancelled_owned(),
    ));
    say(&format!(
        "the page: http://{address}/   no real venue: it is simulated; Ctrl-C ends"
    ));
    let mut played = Ok(());
    while played.is_ok() && !stop.is_cancelled() {
        let stage = Stage::build(&symbols, &shown, &live, &permits).await?;
        played = stage.play(&stop).await;
    }
    stop.cancel();
    // Its own end follows from the same signal.
    let _ = page.await;
    played
}

/// Everything goes to the page, to the metrics and to the terminal.
#[derive(Clone)]
struct Shown {
    live: DashboardState,
    metrics: Metrics,
}

impl Observer for Shown {
    fn observe(&self, event: &Event<'_>) {
        self.live.observe(event);
        self.metrics.observe(event);
        say(&event.line().1);
    }
}

/// One memory and one venue, and the tasks that work on them.
struct Stage {
    sim: Sim,
    plan_store: MemoryPlanStore,
    permits: MemoryStore,
    symbols: Vec<Symbol>,
    /// Dropped with everything in it: what is under way in memory need not come to its end.
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Stage {
    async fn build(
        symbols: &[Symbol],
        shown: &Shown,
        live: &DashboardState,
        set: &Arc<PermitSet>,
    ) -> Result<Self, Failure> {
        let mut config = SimConfig::default().drift(Drift {
            every: Duration::from_millis(500),
            max_ticks: 40,
            seed: 1,
        });
        for (name, account) in HELD {
            config = config.position(name, account.amount);
        }
        let (sim, client) = venue(config).await?;
        let (plan_store, permits) = (
            MemoryPlanStore::default(),
            MemoryStore::new(Arc::clone(set)),
        );
        let memory = Memory {
            plan_store: plan_store.clone(),
            permits: permits.clone(),
            client: client.clone(),
        };
        let wait = WaitPolicy {
            wait: WAIT,
            ..WaitPolicy::default()
        };
        let layer: Arc<ApplyLayer<InMemory>> = layer(memory, symbols, wait, shown.clone());
        let stop = CancellationToken::new();
        let mut tasks = wiring::serve(
            &layer,
            symbols,
            Duration::from_secs(5),
            &Fence::default(),
            &stop,
        );
        let warm = client.clone();
        tasks.spawn(async move { warm.keep_warm(KEEP_WARM).await });
        let first = symbols.first().cloned();
        let first = first.ok_or_else(|| broken("the demo's symbols", &"there are none"))?;
        let parts = dashboard::Parts {
            layer,
            symbol: first,
            permits: None,
            writes: StoreWrites::default(),
            fence: Fence::default(),
            venue: Some(client),
            neighbours: None,
            switches: SwitchesHere::default(),
        };
        tasks.spawn(dashboard::watch(parts, live.clone(), stop.clone()));
        Ok(Self {
            sim,
            plan_store,
            permits,
            symbols: symbols.to_vec(),
            tasks,
            stop,
        })
    }

    async fn play(mut self, stop: &CancellationToken) -> Result<(), Failure> {
        let mut published = 0;
        for (act, pause) in (0..ROUNDS).flat_map(|_| &PIECE) {
            match act {
                Act::Halt => self.plan_store.halt(true),
                Act::Resume => self.plan_store.halt(false),
                Act::Propose {
                    symbol,
                    action,
                    kill_score,
                    review,
                } => {
                    let fields = [("harvest_action", *action), ("kill_score", *kill_score)];
                    let asked = self.propose(*symbol, &fields, published);
                    let Some(plan) = stop.run_until_cancelled(asked).await else {
                        break;
                    };
                    published += 1;
                    self.review(&plan, &HELD[*symbol].1, review);
                }
            }
            let pause = sleep(Duration::from_millis(*pause));
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        self.stop.cancel();
        self.tasks.shutdown().await;
        let ended = self.sim.shutdown().await;
        ended.map_err(|error| broken("the simulated venue failed", &error))
    }

    /// Lets the brain propose, and waits for what is planned: the next plan of the stream.
    async fn propose(&self, symbol: usize, fields: &[(&str, &str)], place: usize) -> Plan {
        let (name, account) = HELD[symbol];
        self.sim.handle().set_position(name, account.amount);
        let at = iso_micros(super::now().as_micros());
        let mut fields = fields.to_vec();
        fields.push(("computed_at_utc", &at));
        self.plan_store.propose(&self.symbols[symbol], &fields);
        self.plan_store.plan_at(place).await
    }

    /// Lets the reviewers answer in their own time; they read only what is to be executed.
    fn review(&mut self, plan: &Plan, account: &Account, says: &Review) {
        if plan.decision != Decision::Execute {
            return;
        }
        let after = Duration::from_millis;
        let governor = says.governor.map(|ms| (after(ms), governor_permit(plan)));
        let p33 = says.p33.map(|(ms, verdict)| {
            let ledger = match verdict {
                Verdict::Allow => account.amount,
                Verdict::Deny => account.amount + account.amount,
            };
            (after(ms), p33_permit(plan, account, P33::Decide { ledger }))
        });
        for (permit, name) in [(governor, "governor"), (p33, "p33")] {
            let (permits, plan) = (self.permits.clone(), plan.clone());
            self.tasks
                .spawn(async move { review(&permits, permit, &plan, name).await });
        }
    }
}
