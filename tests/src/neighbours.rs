//! Neighbours that misbehave as the real ones were measured to do. Reviewers that behave are in
//! [`Reviewer`](crate::Reviewer).

use crate::{
    entry::Entry,
    reviewer::{governor_permit, position_permit},
    stage::{GOVERNOR, P33, PLANS, RESULTS, Stage, command, connect},
};
use apply_redis::Keys;
use exchange_sim::SimHandle;
use redis::{AsyncCommands, FromRedisValue, aio::MultiplexedConnection};
use rust_decimal::Decimal;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

/// How often a neighbour looks for plans.
const LOOK: Duration = Duration::from_millis(10);

/// The key of the governor's disarm of today, in UTC.
pub fn disarm_of_today() -> String {
    Keys::default().halting(SystemTime::now()).swap_remove(1)
}

/// A position brain of January: at each poll it books the newest executed result of each symbol among the newest ten,
/// whether it has booked it before or not, and grants the whole position, whatever the plan asks for. It denies where
/// ledger and venue differ, and for a while after each booking. Gone with its handle.
#[derive(Debug)]
pub struct RebookingBrain {
    task: JoinHandle<()>,
    habits: Habits,
    said: Arc<Mutex<HashMap<String, String>>>,
    bookings: Bookings,
}

/// When each symbol was booked last, and how often.
type Bookings = Arc<Mutex<HashMap<String, (Instant, usize)>>>;

/// What the brain goes by.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// How often it books.
    pub poll: Duration,
    /// How long after a booking it denies.
    pub cooldown: Duration,
    /// Whether it writes permits, too; else somebody else does.
    pub reviews: bool,
}

impl RebookingBrain {
    /// Watches the venue's positions of these symbols, which its ledger knows from the start.
    pub async fn start(stage: &Stage, symbols: &[&str], habits: Habits) -> Self {
        let mut brain = Brain {
            redis: connect(stage.url()).await,
            venue: stage.venue().clone(),
            habits,
            bookings: Arc::default(),
        };
        let bookings = Arc::clone(&brain.bookings);
        for symbol in symbols {
            let amount = brain.venue.position(symbol).to_string();
            brain.write(symbol, &[("last_known_amt", &amount)]).await;
        }
        let _: redis::Value = brain
            .ask(&["XGROUP", "CREATE", PLANS, "p33", "0", "MKSTREAM"])
            .await;
        let said: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let log = Arc::clone(&said);
        let task = tokio::spawn(async move {
            let (mut look, mut poll) = (interval(LOOK), interval(habits.poll));
            for tick in [&mut look, &mut poll] {
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            }
            loop {
                tokio::select! {
                    _ = poll.tick() => brain.book().await,
                    _ = look.tick(), if habits.reviews => {
                        for (plan, word) in brain.review().await {
                            locked(&log).insert(plan, word);
                        }
                    }
                }
            }
        });
        Self {
            task,
            habits,
            said,
            bookings,
        }
    }

    /// How often it has booked a result of this symbol.
    pub fn bookings(&self, symbol: &str) -> usize {
        locked(&self.bookings)
            .get(symbol)
            .map_or(0, |(_, times)| *times)
    }

    /// Whether it would say yes again after what it has booked.
    pub fn has_rested(&self, symbol: &str) -> bool {
        let bookings = locked(&self.bookings);
        let last = bookings.get(symbol);
        last.is_none_or(|(at, _)| at.elapsed() >= self.habits.cooldown)
    }

    /// What it said to a plan: `yes`, or its reason.
    pub fn said_to(&self, plan: &str) -> Option<String> {
        locked(&self.said).get(plan).cloned()
    }
}

impl Drop for RebookingBrain {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Brain {
    redis: MultiplexedConnection,
    venue: SimHandle,
    habits: Habits,
    bookings: Bookings,
}

impl Brain {
    async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        command(&mut self.redis, words).await
    }

    async fn write(&mut self, symbol: &str, fields: &[(&str, &str)]) {
        let () = self
            .redis
            .hset_multiple(ledger_of(symbol), fields)
            .await
            .unwrap_or_else(|error| panic!("the brain cannot write its ledger: {error}"));
    }

    async fn amount(&mut self, symbol: &str) -> Decimal {
        let amount: String = self
            .ask(&["HGET", &ledger_of(symbol), "last_known_amt"])
            .await;
        decimal(&amount)
    }

    /// One poll.
    async fn book(&mut self) {
        let newest = self
            .ask(&["XREVRANGE", RESULTS, "+", "-", "COUNT", "10"])
            .await;
        let mut seen = Vec::new();
        for result in Entry::of_range(newest) {
            let symbol = result.get("symbol").to_owned();
            if result.get("executed") != "True" || seen.contains(&symbol) {
                continue;
            }
            let step = result.last_step();
            let quantity = decimal(step["executed_qty"].as_str().unwrap_or("0"));
            let signed = match step["side"].as_str() {
                Some("BUY") => quantity,
                _ => -quantity,
            };
            let amount = (self.amount(&symbol).await + signed)
                .normalize()
                .to_string();
            let plan = result.get("plan_id");
            self.write(
                &symbol,
                &[
                    ("last_known_amt", &amount),
                    ("last_result_plan_id", plan),
                    ("updated_at", "now"),
                ],
            )
            .await;
            let mut bookings = locked(&self.bookings);
            let times = bookings.get(&symbol).map_or(0, |(_, times)| *times);
            bookings.insert(symbol.clone(), (Instant::now(), times + 1));
            drop(bookings);
            seen.push(symbol);
        }
    }

    /// Plans that came, and what it said.
    async fn review(&mut self) -> Vec<(String, String)> {
        let plans = read_as(&mut self.redis, PLANS, "p33").await;
        let mut said = Vec::new();
        for plan in plans {
            if plan.get("decision") != "EXECUTE" {
                continue;
            }
            let (id, symbol) = (plan.get("plan_id"), plan.get("symbol"));
            let (live, ledger) = (self.venue.position(symbol), self.amount(symbol).await);
            let rests = locked(&self.bookings).get(symbol).copied();
            let word = match rests {
                Some((at, _)) if at.elapsed() < self.habits.cooldown => "cooldown_in_flight",
                _ if live != ledger => "reconcile_required_qty_mismatch",
                _ => "yes",
            };
            let permit = match word {
                // All there is, also where half is asked for.
                "yes" => position_permit(symbol, &live.abs().to_string()),
                reason => format!(
                    r#"{{"allow":false,"symbol":"{symbol}","reason":"{reason}","context":{{}},"created_at":1769301009.1}}"#
                ),
            };
            let key = format!("{P33}{id}");
            let _: redis::Value = self.ask(&["SET", &key, &permit, "EX", "60"]).await;
            said.push((id.to_owned(), word.to_owned()));
        }
        said
    }
}

fn ledger_of(symbol: &str) -> String {
    format!("quantum:position:ledger:{symbol}")
}

fn decimal(text: &str) -> Decimal {
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?} is no amount: {error}"))
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A governor that approves so many plans and disarms at the next one: it writes no permit for it, but the reason
/// under the plan's block key and under the disarm of today. (It also rewrites an environment file and restarts a unit by
/// the name of the former service, of which a test sees nothing.) Gone with its handle.
#[derive(Debug)]
pub struct DisarmingGovernor(JoinHandle<()>);

impl DisarmingGovernor {
    /// One that has had enough after so many plans.
    pub async fn start(stage: &Stage, approves: usize) -> Self {
        let mut plans = GroupReader::start(stage, PLANS, "governor", "0").await;
        Self(tokio::spawn(async move {
            let mut left = approves;
            let mut look = interval(LOOK);
            loop {
                look.tick().await;
                for plan in plans.next().await {
                    if plan.get("decision") != "EXECUTE" {
                        continue;
                    }
                    let id = plan.get("plan_id");
                    if left > 0 {
                        left -= 1;
                        let (key, permit) = (
                            format!("{GOVERNOR}{id}"),
                            governor_permit(plan.get("symbol")),
                        );
                        plans.command(&["SET", &key, &permit, "EX", "60"]).await;
                        continue;
                    }
                    let block = format!("quantum:governor:block:{id}");
                    plans.command(&["SET", &block, REASON, "EX", "3600"]).await;
                    let disarm = disarm_of_today();
                    plans
                        .command(&["SET", &disarm, REASON, "EX", "86400"])
                        .await;
                }
            }
        }))
    }
}

impl Drop for DisarmingGovernor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why the governor disarms.
const REASON: &str = "burst_limit_exceeded";

/// One of a group that reads a stream, as the neighbours do: what it was given counts as read.
#[derive(Debug)]
struct GroupReader {
    redis: MultiplexedConnection,
    stream: &'static str,
    group: &'static str,
}

impl GroupReader {
    /// Reads from this entry on; makes group and stream where they are not there.
    async fn start(stage: &Stage, stream: &'static str, group: &'static str, from: &str) -> Self {
        let mut redis = connect(stage.url()).await;
        let create = ["XGROUP", "CREATE", stream, group, from, "MKSTREAM"];
        let _: redis::Value = command(&mut redis, &create).await;
        Self {
            redis,
            stream,
            group,
        }
    }

    /// What has come since.
    async fn next(&mut self) -> Vec<Entry> {
        read_as(&mut self.redis, self.stream, self.group).await
    }

    async fn command(&mut self, words: &[&str]) {
        let _: redis::Value = command(&mut self.redis, words).await;
    }
}

/// What has come to a group since it was read last.
async fn read_as(redis: &mut MultiplexedConnection, stream: &str, group: &str) -> Vec<Entry> {
    let read = [
        "XREADGROUP",
        "GROUP",
        group,
        "one",
        "NOACK",
        "STREAMS",
        stream,
        ">",
    ];
    Entry::of_read(command(redis, &read).await)
}

/// Another executor: it answers every plan on the stream of results with its own failure, and would place the order as
/// well where a plan carries a side, a quantity and the name of the service before this one. Gone with its handle.
#[derive(Debug)]
pub struct SecondExecutor {
    task: JoinHandle<()>,
    would_place: Arc<Mutex<Vec<String>>>,
}

impl SecondExecutor {
    /// Reads plans from now on.
    pub async fn start(stage: &Stage) -> Self {
        let mut plans = GroupReader::start(stage, PLANS, "intent_executor", "0").await;
        let would_place: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&would_place);
        let task = tokio::spawn(async move {
            let mut look = interval(LOOK);
            loop {
                look.tick().await;
                for plan in plans.next().await {
                    let id = plan.get("plan_id");
                    let has =
                        |field: &str| plan.names().contains(&field) && !plan.get(field).is_empty();
                    if has("side") && has("qty") && has("source") {
                        locked(&log).push(id.to_owned());
                    }
                    let answer = [
                        "XADD",
                        RESULTS,
                        "*",
                        "plan_id",
                        id,
                        "symbol",
                        plan.get("symbol"),
                        "executed",
                        "false",
                        "source",
                        "intent_executor",
                        "details",
                        r#"{"error":"missing_required_fields"}"#,
                    ];
                    plans.command(&answer).await;
                }
            }
        });
        Self { task, would_place }
    }

    /// Plans for which it would have placed an order.
    pub fn would_place(&self) -> Vec<String> {
        locked(&self.would_place).clone()
    }
}

impl Drop for SecondExecutor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A portfolio gate: it reads plans from a stream of its own, says there what it makes of a plan's action where it makes
/// something else of it, and then writes a bare `1`. Gone with its handle.
#[derive(Debug)]
pub struct PortfolioGate {
    task: JoinHandle<()>,
    makes: Arc<Mutex<String>>,
}

impl PortfolioGate {
    /// Reads from now on, and makes nothing of any plan.
    pub async fn start(stage: &Stage) -> Self {
        let stream = "quantum:stream:harvest.proposal";
        let mut plans = GroupReader::start(stage, stream, "p26", "$").await;
        let makes: Arc<Mutex<String>> = Arc::default();
        let what = Arc::clone(&makes);
        let task = tokio::spawn(async move {
            let mut look = interval(LOOK);
            loop {
                look.tick().await;
                for plan in plans.next().await {
                    let id = plan.get("plan_id");
                    let made = locked(&what).clone();
                    if !made.is_empty() {
                        let said = [
                            "XADD",
                            "quantum:stream:portfolio.gate.final_action",
                            "*",
                            "plan_id",
                            id,
                            "final_action",
                            &made,
                        ];
                        plans.command(&said).await;
                    }
                    let key = format!("quantum:permit:p26:{id}");
                    plans.command(&["SET", &key, "1", "EX", "60"]).await;
                }
            }
        });
        Self { task, makes }
    }

    /// From now on it makes this action of every plan; empty: it leaves it as it is.
    pub fn will_make(&self, action: &str) {
        *locked(&self.makes) = action.to_owned();
    }
}

impl Drop for PortfolioGate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a heat gate writes beside the brain's action, as field and value: another action that counts in its place.
pub fn calibrated<'a>(proposed: &'a str, made: &'a str) -> [[&'a str; 2]; 3] {
    [
        ["calibrated", "1"],
        ["original_action", proposed],
        ["action", made],
    ]
}

/// A reconcile engine: it asks for a close of its own, without a plan, and holds the symbol.
pub async fn reconcile(stage: &Stage, symbol: &str) {
    let mut redis = connect(stage.url()).await;
    let hold = format!("quantum:reconcile:hold:{symbol}");
    let asks: [&[&str]; 2] = [
        &[
            "XADD",
            "quantum:stream:reconcile.close",
            "*",
            "symbol",
            symbol,
            "side",
            "SELL",
            "qty",
            "12.4",
            "signature",
            "00",
        ],
        &["SET", &hold, "1"],
    ];
    for words in asks {
        let _: redis::Value = command(&mut redis, words).await;
    }
}
