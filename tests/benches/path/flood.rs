//! Ten times as many proposals as can be carried out: what it does to the memory, to work that was
//! there before, and to what comes after it.
//!
//! ```text
//!  alone ─ one plan at a time, on a symbol that is in no flood
//!  full  ─ what goes through this room: each symbol's next proposal comes with its result
//!  kept  ─ the room is full and the issuers silent; some symbols are written once and refused
//!  flood ─ every symbol is rewritten ten times as fast as `full`; a few others are written once
//!  after ─ one plan at a time again, from the flood's last write on
//! ```

use crate::{
    numbers::Samples,
    process::Service,
    venue::Venue,
    wire::{self, Follower, connect},
};
use apply_tests::{apply_layer, server_that_has_been_up};
use redis::aio::MultiplexedConnection;
use redis_harness::RedisServer;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// How many times what goes through is offered.
const TIMES: usize = 10;
/// Symbols that are written once while nothing is free, and others while the flood is on.
const KEPT: usize = 20;
const AMIDST: usize = 20;
/// Plans that are measured alone.
const ALONE: usize = 200;
/// How often the flood is topped up, and the memory looked at.
const TICK: Duration = Duration::from_millis(5);
/// How long plans are measured alone afterwards.
const AFTER: Duration = Duration::from_secs(3);
/// Far beyond anything that is measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a flood is made of.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Symbols that are rewritten.
    pub(crate) symbols: usize,
    /// `APPLY_MAX_IN_FLIGHT`.
    pub(crate) room: usize,
    pub(crate) window: Duration,
}

/// What it did.
pub(crate) struct Flood {
    pub(crate) size: Size,
    /// Plans a second that go through without it.
    pub(crate) full: f64,
    /// Proposals a second that were written, and plans a second that were carried out meanwhile.
    pub(crate) offered: f64,
    pub(crate) done: f64,
    /// Plans refused for now while it lasted, by reason.
    pub(crate) refused: Vec<(String, u64)>,
    /// KiB: at rest, with as much as goes through, at most in the flood, and when it was over.
    pub(crate) resident: [u64; 4],
    /// Of the symbols that were written once: how many were carried out, how many there were, and
    /// how many of them were claimed before one that had been refused earlier.
    pub(crate) kept: (usize, usize, usize),
    /// From its one proposal to its result, of those written amidst the flood.
    pub(crate) amidst: Samples,
    /// From a proposal to its result: before, and after the flood from when on it was as before.
    pub(crate) before: Samples,
    pub(crate) after: Samples,
    /// From the flood's last write until a plan began that took no longer than 99 of 100 before.
    pub(crate) normal_after: Duration,
}

pub(crate) async fn measure(size: Size) -> Flood {
    let (mut field, idle) = Field::open(size).await;
    let at_rest = field.service.resident();
    let mut before = Vec::new();
    for _ in 0..ALONE {
        before.push(field.one_plan(idle).await);
    }
    let before = Samples::new(before);
    let full = field.full().await;
    let busy = field.service.resident();

    let kept: Vec<usize> = (size.symbols..size.symbols + KEPT).collect();
    field.fill_room(&kept).await;
    let counted = field.refused();
    let flood = field.flood(full, kept.last().unwrap() + 1).await;
    let ended = Instant::now();

    let (mut after, mut normal_after) = (Vec::new(), None);
    while ended.elapsed() < AFTER || normal_after.is_none() {
        let began = ended.elapsed();
        assert!(began < PATIENCE, "never as before: {:?}", after.last());
        let took = field.one_plan(idle).await;
        if took <= before.p99() {
            normal_after.get_or_insert(began);
        }
        if normal_after.is_some() {
            after.push(took);
        }
    }
    let late: Vec<usize> = kept.into_iter().chain(flood.amidst).collect();
    let (carried_out, out_of_order) = field.in_order(&late).await;
    let refused = field.refused().into_iter().map(|(reason, count)| {
        let before = counted.iter().find(|(name, _)| *name == reason);
        let before = before.map_or(0, |(_, count)| *count);
        (reason, count - before)
    });
    Flood {
        size,
        full,
        offered: flood.offered,
        done: flood.done,
        refused: refused.collect(),
        resident: [at_rest, busy, flood.peak, field.service.resident()],
        kept: (carried_out, late.len(), out_of_order),
        amidst: Samples::new(field.times_of(&late[KEPT..])),
        before,
        after: Samples::new(after),
        normal_after: normal_after.unwrap_or_default(),
    }
}

/// Everything there is, and what was heard of it.
struct Field {
    size: Size,
    service: Service,
    _server: RedisServer,
    _venue: Venue,
    brain: MultiplexedConnection,
    /// How often each symbol was written.
    turns: Vec<usize>,
    /// When it was written last.
    written: Vec<Instant>,
    /// Whether the issuers answer.
    answering: watch::Sender<bool>,
    /// Symbols in the order of their claims.
    claims: mpsc::UnboundedReceiver<usize>,
    results: mpsc::UnboundedReceiver<usize>,
    /// Of each symbol, from its last write to its last result.
    took: HashMap<usize, Duration>,
    /// The issuers and the readers of results: they end with this.
    _tasks: JoinSet<()>,
}

/// What the flood itself came to.
struct Flooded {
    offered: f64,
    done: f64,
    /// KiB.
    peak: u64,
    /// The symbols that were written once amidst it.
    amidst: Vec<usize>,
}

impl Field {
    /// All parts, up, and the number of the symbol that is in no flood.
    async fn open(size: Size) -> (Self, usize) {
        let idle = size.symbols + KEPT + AMIDST;
        let server = server_that_has_been_up().await;
        let venue = Venue::start(idle + 1);
        let room = size.room.to_string();
        let service = Service::start(
            apply_layer(),
            &server,
            &venue,
            &wire::symbols(idle + 1),
            &[
                ("APPLY_PERMIT_WAIT_MS", "30000"),
                ("APPLY_MAX_IN_FLIGHT", &room),
            ],
        );
        let (answering, mut may_answer) = watch::channel(true);
        let (claimed, claims) = mpsc::unbounded_channel();
        let issuing = connect(&server).await;
        let mut plans = Follower::of_plans(&server).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let mut pipe = redis::pipe();
                for plan in plans.next().await {
                    if plan.word == "EXECUTE" {
                        wire::permits(&mut pipe, &plan.plan, &plan.symbol);
                        let _ = claimed.send(wire::number(&plan.symbol));
                    }
                }
                if may_answer.wait_for(|may| *may).await.is_err() {
                    return;
                }
                if !pipe.is_empty() {
                    let () = pipe.query_async(&mut issuing.clone()).await.unwrap();
                }
            }
        });
        let (ended, results) = mpsc::unbounded_channel();
        let mut entries = Follower::of_results(&server).await;
        tasks.spawn(async move {
            loop {
                for result in entries.next().await {
                    assert_eq!(result.word, "True", "{}", result.plan);
                    if ended.send(wire::number(&result.symbol)).is_err() {
                        return;
                    }
                }
            }
        });
        let field = Self {
            size,
            service,
            brain: connect(&server).await,
            _server: server,
            _venue: venue,
            turns: vec![0; idle + 1],
            written: vec![Instant::now(); idle + 1],
            answering,
            claims,
            results,
            took: HashMap::new(),
            _tasks: tasks,
        };
        (field, idle)
    }

    /// Writes these symbols' next proposals.
    async fn write(&mut self, symbols: impl IntoIterator<Item = usize>) {
        let mut pipe = redis::pipe();
        for symbol in symbols {
            let turn = &mut self.turns[symbol];
            *turn += 1;
            pipe.add_command(wire::proposal(&wire::symbol(symbol), *turn))
                .ignore();
            self.written[symbol] = Instant::now();
        }
        if !pipe.is_empty() {
            let () = pipe.query_async(&mut self.brain).await.unwrap();
        }
    }

    /// The symbol of the next result.
    async fn result(&mut self) -> usize {
        let symbol = timeout(PATIENCE, self.results.recv()).await;
        let symbol = symbol.expect("a result").expect("a result that says True");
        self.took.insert(symbol, self.written[symbol].elapsed());
        symbol
    }

    /// From one proposal to its result.
    async fn one_plan(&mut self, symbol: usize) -> Duration {
        self.write([symbol]).await;
        while self.result().await != symbol {}
        self.took[&symbol]
    }

    /// Plans a second where each symbol has its next proposal with its result.
    async fn full(&mut self) -> f64 {
        const WARM: Duration = Duration::from_secs(2);
        self.write(0..self.size.symbols).await;
        let mut under_way = self.size.symbols;
        let (began, mut done) = (Instant::now(), 0_usize);
        while began.elapsed() < WARM + self.size.window {
            let first = self.result().await;
            let mut ended = vec![first];
            while let Ok(symbol) = self.results.try_recv() {
                ended.push(symbol);
            }
            if began.elapsed() >= WARM {
                done += ended.len();
            }
            self.write(ended).await;
        }
        let per_second = done as f64 / (began.elapsed() - WARM).as_secs_f64();
        while under_way > 0 {
            self.result().await;
            under_way -= 1;
        }
        per_second
    }

    /// Fills the in-flight limit with plans that no reviewer answers, and has each of `kept` refused, one after another.
    async fn fill_room(&mut self, kept: &[usize]) {
        self.answering.send_replace(false);
        self.write(0..self.size.room).await;
        self.metric_is("plans_in_flight", self.size.room).await;
        for (before, symbol) in kept.iter().enumerate() {
            self.write([*symbol]).await;
            self.metric_is("symbols_without_room", before + 1).await;
        }
    }

    async fn metric_is(&self, name: &str, wanted: usize) {
        let line = format!("\nquantum_apply_{name} {wanted}\n");
        let began = Instant::now();
        while !self.service.metrics().contains(&line) {
            assert!(began.elapsed() < PATIENCE, "{name} is never {wanted}");
            sleep(TICK).await;
        }
    }

    /// `quantum_apply_plans_refused_total`, by reason.
    fn refused(&self) -> Vec<(String, u64)> {
        let page = self.service.metrics();
        let series = page.lines().filter_map(|line| {
            let rest = line.strip_prefix("quantum_apply_plans_refused_total{reason=\"")?;
            let (reason, count) = rest.split_once("\"} ")?;
            Some((reason.to_owned(), count.parse().unwrap()))
        });
        series.collect()
    }

    /// Rewrites every symbol in turn, ten times as fast as `full`; `once` and those after it are
    /// written a single time each.
    async fn flood(&mut self, full: f64, once: usize) -> Flooded {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.answering.send_replace(true);
        let (began, window) = (Instant::now(), self.size.window);
        let (mut offered, mut done, mut peak) = (0_usize, 0_usize, 0);
        let mut amidst = Vec::new();
        while began.elapsed() < window {
            tick.tick().await;
            let due = began.elapsed().min(window).as_secs_f64() * full * TIMES as f64;
            // What Redis has no time for is not made up for: a pipeline stays within bounds.
            let many = (due as usize)
                .saturating_sub(offered)
                .min(self.size.symbols);
            let symbols = self.size.symbols;
            self.write((offered..offered + many).map(|n| n % symbols))
                .await;
            offered += many;
            let turn = amidst.len() as u32 + 1;
            if amidst.len() < AMIDST && began.elapsed() > window * turn / (AMIDST as u32 + 2) {
                let symbol = once + amidst.len();
                self.write([symbol]).await;
                amidst.push(symbol);
            }
            while let Ok(symbol) = self.results.try_recv() {
                self.took.insert(symbol, self.written[symbol].elapsed());
                done += 1;
            }
            peak = peak.max(self.service.resident());
        }
        let seconds = began.elapsed().as_secs_f64();
        Flooded {
            offered: offered as f64 / seconds,
            done: done as f64 / seconds,
            peak,
            amidst,
        }
    }

    /// How many of these, which were refused in this order, were carried out, and how many of them
    /// were claimed before one that stands before them.
    async fn in_order(&mut self, symbols: &[usize]) -> (usize, usize) {
        let done = symbols.iter().filter(|s| self.took.contains_key(s)).count();
        let mut claimed = Vec::new();
        while let Ok(symbol) = self.claims.try_recv() {
            claimed.extend(symbols.iter().position(|wanted| *wanted == symbol));
        }
        let early = claimed.iter().enumerate().filter(|(at, place)| {
            let later = &claimed[at + 1..];
            later.iter().any(|other| other < place)
        });
        (done, early.count())
    }

    fn times_of(&self, symbols: &[usize]) -> Vec<Duration> {
        symbols
            .iter()
            .filter_map(|s| self.took.get(s).copied())
            .collect()
    }
}
