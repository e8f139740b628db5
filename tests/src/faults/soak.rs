//! The same for as long as one likes on one and the same world: proposals without a pause, reviewers,
//! faults, restarts; in the end the sums, and what the process that was never restarted holds.

use super::{
    case::{Case, Scenario, ToOne},
    dice::Dice,
    judge::{Facts, judge},
    script::PlanScript,
    world::World,
};
use exchange_sim::{Canned, Delivery, Fault, When};
use redis_harness::RedisServer;
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The machine that runs from beginning to end trades these; what it holds is measured.
const STEADY: &str = "BTCUSDT,ETHUSDT";
/// The machine that is killed and restarted trades this one alone: while it asks what became of an
/// order, no other plan moves the position.
const SHAKEN: &str = "SOLUSDT";

/// How often each thing happens.
const SAMPLE: Duration = Duration::from_secs(1);
const VENUE: Duration = Duration::from_secs(2);
const STOP: Duration = Duration::from_secs(11);
const CUT: Duration = Duration::from_secs(13);
const KILL: Duration = Duration::from_secs(17);
const TERM: Duration = Duration::from_secs(23);
const REDIS: Duration = Duration::from_secs(31);

/// Between two rounds of proposals. A plan costs about a dozen of the 6000 points a minute that the
/// venue grants an address; who asks for more is told to wait, and its plans have no order.
const ROUND: Duration = Duration::from_millis(600);

/// What a process may hold more at the end than after its warm-up: a tenth and 4 MiB of memory, and
/// 8 files (connections that are just being replaced).
const MORE_KIB: u64 = 4096;
const MORE_FILES: u64 = 8;

/// What the steady process held over a stretch of the run, at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Resident memory in KiB.
    pub memory: u64,
    /// Open files.
    pub files: u64,
}

/// What a soak came to.
#[derive(Debug)]
pub struct Soaked {
    /// What was wrong; nothing, hopefully.
    pub wrong: Vec<String>,
    proposed: usize,
    claimed: usize,
    results: usize,
    approved: usize,
    orders: u64,
    /// Plans that were approved and have no order, by what was told of them.
    lost: BTreeMap<String, u64>,
    events: BTreeMap<&'static str, u64>,
    /// In the quarter after the warm-up, and in the last one.
    early: Held,
    late: Held,
    samples: usize,
}

/// Soaks for this long, and then until everything is settled.
pub async fn soak(seed: u64, lasting: Duration) -> Soaked {
    let redis = RedisServer::builder().aof("always").start().await;
    let mut dice = Dice::of(seed, 0);
    let templates = ["BTCUSDT", "ETHUSDT", SHAKEN]
        .into_iter()
        .flat_map(|symbol| [true, false].map(|approved| PlanScript::small(symbol, approved, 30)));
    let case = Case {
        seed,
        number: 0,
        scenario: Scenario::TwoMachines {
            to_one: ToOne::KilledAfter(Duration::ZERO),
        },
        plans: templates.collect(),
        wait: Duration::from_secs(5),
    };
    let mut run = Run {
        world: World::open_on(redis, case, 2, None).await,
        plans: Vec::new(),
        open: BTreeMap::new(),
        events: BTreeMap::new(),
        samples: Vec::new(),
    };
    run.world.machines[0].start(&[("SYMBOLS", STEADY)]);
    run.world.machines[1].start(&[("SYMBOLS", SHAKEN)]);
    run.world.machines[0].ready().await;
    run.world.machines[1].ready().await;
    run.play(&mut dice, lasting).await;
    run.ends().await
}

struct Run {
    world: World,
    /// Every proposal so far.
    plans: Vec<PlanScript>,
    /// The plan that each symbol is at.
    open: BTreeMap<&'static str, String>,
    events: BTreeMap<&'static str, u64>,
    samples: Vec<Held>,
}

impl Run {
    async fn play(&mut self, dice: &mut Dice, lasting: Duration) {
        let started = Instant::now();
        let mut due: Vec<(Duration, Event)> = Event::ALL
            .into_iter()
            .map(|event| (event.every(), event))
            .collect();
        while started.elapsed() < lasting {
            self.propose(dice).await;
            for (next, event) in &mut due {
                if started.elapsed() >= *next {
                    self.happens(*event, dice).await;
                    *next = started.elapsed() + event.every();
                }
            }
            sleep(ROUND).await;
        }
    }

    /// A new plan for every symbol whose last one has its result.
    async fn propose(&mut self, dice: &mut Dice) {
        for symbol in ["BTCUSDT", "ETHUSDT", SHAKEN] {
            let busy = self.open.get(symbol).is_some_and(|plan| {
                let seen = self.world.neighbours.seen();
                // The newest results stand at the end.
                !seen.results.iter().rev().any(|r| r.get("plan_id") == *plan)
            });
            if busy {
                continue;
            }
            let unique = u64::try_from(self.plans.len()).unwrap_or(u64::MAX);
            let plan = PlanScript::small(symbol, !dice.once_in(5), unique);
            self.open.insert(symbol, plan.id());
            self.world.propose_one(&plan, 0).await;
            self.plans.push(plan);
        }
    }

    async fn happens(&mut self, event: Event, dice: &mut Dice) {
        match event {
            Event::Sampled => {
                if let Some((memory, files)) = self.world.machines[0].holds() {
                    self.samples.push(Held { memory, files });
                }
                return;
            }
            Event::ReplyLost => {
                let delivery = dice.pick(&[
                    Delivery::Reset,
                    Delivery::Cut,
                    Delivery::Reply(Canned::gateway_html(502)),
                    Delivery::Reply(Canned::unknown_503()),
                ]);
                let fault = Fault::executed(When::order(), delivery);
                self.world.stage.venue().script(fault);
            }
            Event::Stopped => {
                self.world.stage.redis.pause();
                sleep(dice.millis(100..=700)).await;
                self.world.stage.redis.resume();
            }
            Event::Cut => {
                let cut = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
                let _: i64 = self.world.neighbours.ask(&cut).await;
            }
            Event::Killed => {
                self.world.machines[1].kill().await;
                self.world.machines[1].start(&[("SYMBOLS", SHAKEN)]);
            }
            Event::Ended => {
                let ended = self.world.machines[1].stop().await;
                if let Some(ended) = ended
                    && ended.code != Some(0)
                {
                    let how = (ended.code, ended.signal);
                    self.world
                        .wrong(format!("SIGTERM ended the service with {how:?}"));
                }
                self.world.machines[1].start(&[("SYMBOLS", SHAKEN)]);
            }
            Event::RedisKilled => {
                self.world.stage.redis.kill();
                sleep(dice.millis(0..=500)).await;
                self.world.stage.restart_redis().await;
            }
        }
        *self.events.entry(event.name()).or_default() += 1;
    }

    /// Lets everything come to its end, and adds up.
    async fn ends(mut self) -> Soaked {
        self.world.case.plans = self.plans;
        self.world.settled().await;
        self.world.stop().await;
        self.world.neighbours.catch_up().await;
        let facts = Facts::of(&self.world).await;
        let case = &self.world.case;
        let mut wrong = std::mem::take(&mut self.world.wrong);
        wrong.extend(judge(case, &facts));
        let approved: Vec<String> = case
            .plans
            .iter()
            .filter(|plan| plan.is_approved())
            .map(PlanScript::id)
            .collect();
        let lost = facts.without_an_order(&approved);
        let (proposed, claimed, results) =
            (case.plans.len(), facts.claimed().len(), facts.results());
        if proposed != claimed || claimed != results {
            wrong.push(format!(
                "{proposed} proposed, {claimed} claimed, {results} results"
            ));
        }
        let told: u64 = lost.values().sum();
        if facts.orders() + told != u64::try_from(approved.len()).unwrap_or(u64::MAX) {
            wrong.push(format!(
                "{} approved, {} orders, {told} told to have none",
                approved.len(),
                facts.orders()
            ));
        }
        // A quarter is for warming up.
        let quarter = self.samples.len() / 4;
        let most = |samples: &[Held]| Held {
            memory: samples.iter().map(|held| held.memory).max().unwrap_or(0),
            files: samples.iter().map(|held| held.files).max().unwrap_or(0),
        };
        let early = most(&self.samples[quarter..2 * quarter]);
        let late = most(&self.samples[3 * quarter..]);
        if late.memory > early.memory + early.memory / 10 + MORE_KIB {
            wrong.push(format!(
                "memory grew from {} to {} KiB",
                early.memory, late.memory
            ));
        }
        if late.files > early.files + MORE_FILES {
            wrong.push(format!(
                "open files grew from {} to {}",
                early.files, late.files
            ));
        }
        if quarter == 0 {
            wrong.push("nothing was measured: it was too short, or /proc is missing".into());
        }
        Soaked {
            wrong,
            proposed,
            claimed,
            results,
            approved: approved.len(),
            orders: facts.orders(),
            lost,
            events: self.events,
            early,
            late,
            samples: self.samples.len(),
        }
    }
}

/// What happens again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Sampled,
    ReplyLost,
    Stopped,
    Cut,
    Killed,
    Ended,
    RedisKilled,
}

impl Event {
    const ALL: [Self; 7] = [
        Self::Sampled,
        Self::ReplyLost,
        Self::Stopped,
        Self::Cut,
        Self::Killed,
        Self::Ended,
        Self::RedisKilled,
    ];

    fn every(self) -> Duration {
        match self {
            Self::Sampled => SAMPLE,
            Self::ReplyLost => VENUE,
            Self::Stopped => STOP,
            Self::Cut => CUT,
            Self::Killed => KILL,
            Self::Ended => TERM,
            Self::RedisKilled => REDIS,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sampled => "measured",
            Self::ReplyLost => "order executed, reply lost",
            Self::Stopped => "Redis SIGSTOP, SIGCONT",
            Self::Cut => "Redis connections cut",
            Self::Killed => "kill -9 of the second machine",
            Self::Ended => "SIGTERM of the second machine",
            Self::RedisKilled => "kill -9 of Redis",
        }
    }
}

impl fmt::Display for Soaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} proposed = {} claimed = {} results",
            self.proposed, self.claimed, self.results
        )?;
        let lost: u64 = self.lost.values().sum();
        writeln!(
            f,
            "{} approved = {} orders + {lost} told to have none {:?}",
            self.approved, self.orders, self.lost
        )?;
        for (event, times) in &self.events {
            writeln!(f, "{times:>8}  {event}")?;
        }
        write!(
            f,
            "the machine that was never restarted, {} samples, most after the warm-up and at the end:\n\
             {:>8} KiB → {} KiB resident, {} → {} open files",
            self.samples, self.early.memory, self.late.memory, self.early.files, self.late.files
        )
    }
}
