//! The same for as long as one likes on one and the same world: proposals without a pause, reviewers,
//! faults, restarts; in the end the sums, and what the process that was never restarted holds.

use super::{
    case::Case,
    environment::Environment,
    judge::{Facts, judge},
    rng::Rng,
    scene::{Plans, Scene},
    script::{PlanScript, burst_symbols},
};
use apply_tests::Ended;
use exchange_sim::{Canned, Delivery, Fault, When};
use redis_harness::RedisServer;
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// The machine that runs from beginning to end trades these; what it holds is measured.
const STEADY: &str = "BTCUSDT,ETHUSDT";
/// The machine that is killed and restarted trades this one alone: while it asks what became of an
/// order, no other plan moves the position.
const SHAKEN: &str = "SOLUSDT";

/// Which soak it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// One machine runs through and one is killed again and again, on a Redis that keeps what it acknowledges.
    Lasting,
    /// Two machines follow the same symbols, plans come in bursts, and Redis forgets everything again and again.
    Forgetting,
}

impl Course {
    fn symbols(self) -> Vec<&'static str> {
        match self {
            Self::Lasting => vec!["BTCUSDT", "ETHUSDT", SHAKEN],
            Self::Forgetting => burst_symbols()[..BURST]
                .iter()
                .map(String::as_str)
                .collect(),
        }
    }

    /// Between two rounds of proposals.
    fn round(self) -> Duration {
        match self {
            Self::Lasting => ROUND,
            Self::Forgetting => BURSTS,
        }
    }

    fn events(self) -> &'static [Event] {
        match self {
            Self::Lasting => &[
                Event::Sampled,
                Event::ReplyLost,
                Event::Stopped,
                Event::Cut,
                Event::Killed,
                Event::Ended,
                Event::RedisKilled,
            ],
            Self::Forgetting => &[
                Event::Sampled,
                Event::ReplyLost,
                Event::Flushed,
                Event::RedisLost,
                Event::Killed,
                Event::Ended,
            ],
        }
    }

    /// Whether a machine may end like this after a SIGTERM. Where Redis forgets every few seconds, what is owed may take
    /// longer than the service waits for it; it says so, and its next start publishes it.
    fn lets_end(self, ended: &Ended) -> bool {
        let owes = |line: &String| line.contains("still owe a result");
        match ended.code {
            Some(0) => true,
            Some(69) => self == Self::Forgetting && ended.errors.iter().any(owes),
            _ => false,
        }
    }

    /// What one of the machines follows; all of them where nothing is said.
    fn follows(self, machine: usize) -> Vec<(&'static str, &'static str)> {
        match (self, machine) {
            (Self::Lasting, 0) => vec![("SYMBOLS", STEADY)],
            (Self::Lasting, _) => vec![("SYMBOLS", SHAKEN)],
            (Self::Forgetting, _) => Vec::new(),
        }
    }
}

/// The symbols of one burst: more than the service has lanes to the venue.
const BURST: usize = 24;
/// Between two bursts.
const BURSTS: Duration = Duration::from_millis(2500);

/// How often each thing happens.
const SAMPLE: Duration = Duration::from_secs(1);
const VENUE: Duration = Duration::from_secs(2);
const STOP: Duration = Duration::from_secs(11);
const CUT: Duration = Duration::from_secs(13);
const KILL: Duration = Duration::from_secs(17);
const TERM: Duration = Duration::from_secs(23);
const REDIS: Duration = Duration::from_secs(31);
const FLUSH: Duration = Duration::from_secs(9);
const LOSS: Duration = Duration::from_secs(14);

/// Between two rounds of proposals. A plan costs about a dozen of the 6000 points a minute that the
/// venue grants an address; who asks for more has to wait, and its plans have no order.
const ROUND: Duration = Duration::from_millis(600);

/// Nothing that the soak does takes this long, on the slowest machine.
const STUCK: Duration = Duration::from_secs(120);
/// Between two lines about how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(100);

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
    /// Plans that were approved and have no order, by what was published of them.
    lost: BTreeMap<String, u64>,
    events: BTreeMap<&'static str, u64>,
    /// In the quarter after the warm-up, and in the last one.
    early: Held,
    late: Held,
    samples: usize,
}

/// Soaks for this long, and then until everything is settled.
pub async fn soak(course: Course, seed: u64, lasting: Duration) -> Soaked {
    let redis = match course {
        Course::Lasting => RedisServer::builder().aof("always"),
        Course::Forgetting => RedisServer::builder(),
    };
    let templates = course
        .symbols()
        .into_iter()
        .flat_map(|symbol| [true, false].map(|approved| PlanScript::small(symbol, approved, 30)));
    let mut scene = Scene::of(Vec::new()).two().waiting(WAIT);
    if course == Course::Forgetting {
        scene.plans = Plans::Burst;
    }
    let mut case = Case::apart(seed, "soak", scene);
    case.plans = templates.collect();
    let mut run = Run {
        course,
        environment: Environment::open_on(redis.start().await, case, None).await,
        plans: Vec::new(),
        open: BTreeMap::new(),
        round: 0,
        step: "start",
        events: BTreeMap::new(),
        samples: Vec::new(),
    };
    // No plan has to be in time where all this goes on.
    run.environment.history.disturbed = true;
    run.environment.history.killed = true;
    if course == Course::Forgetting {
        let slow = Fault::executed(When::order(), Delivery::Whole);
        let slow = slow.delay_before(SLOW).always();
        run.environment.stage.venue().script(slow);
    }
    for (n, machine) in run.environment.machines.iter_mut().enumerate() {
        machine.start(&course.follows(n));
    }
    for machine in &mut run.environment.machines {
        machine.ready().await;
    }
    run.play(&mut Rng::of(seed, 0), lasting).await;
    run.ends().await
}

/// How long plans wait for their permits.
const WAIT: Duration = Duration::from_secs(5);
/// How long the venue takes for an order, where they are to queue.
const SLOW: Duration = Duration::from_millis(200);

struct Run {
    course: Course,
    environment: Environment,
    /// Every proposal so far.
    plans: Vec<PlanScript>,
    /// The plan that each symbol is at, by its place among them.
    open: BTreeMap<&'static str, usize>,
    /// How often the brain has repeated itself.
    round: u32,
    /// What it is at, for the reader who has to find out why it stands still.
    step: &'static str,
    events: BTreeMap<&'static str, u64>,
    samples: Vec<Held>,
}

impl Run {
    async fn play(&mut self, rng: &mut Rng, lasting: Duration) {
        let started = Instant::now();
        let events = self.course.events().iter();
        let mut due: Vec<(Duration, Event)> = events.map(|event| (event.every(), *event)).collect();
        let mut reported = started;
        while started.elapsed() < lasting {
            self.step = "propose";
            let proposing = timeout(STUCK, self.propose(rng)).await;
            assert!(
                proposing.is_ok(),
                "the soak itself is stuck: it cannot propose for {STUCK:?}"
            );
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                println!(
                    "{} of {} s, {} proposed, {} results",
                    started.elapsed().as_secs(),
                    lasting.as_secs(),
                    self.plans.len(),
                    self.environment.fake_services.seen().results.len(),
                );
            }
            let next_round = Instant::now() + self.course.round();
            while Instant::now() < next_round {
                for (next, event) in &mut due {
                    if started.elapsed() >= *next {
                        let happening = timeout(STUCK, self.happens(*event, rng));
                        assert!(
                            happening.await.is_ok(),
                            "the soak itself is stuck: \"{}\" has not happened for {STUCK:?}, at {:?}",
                            event.name(),
                            self.step,
                        );
                        *next = started.elapsed() + event.every();
                    }
                }
                sleep(LOOK).await;
            }
        }
    }

    /// A new plan for every symbol whose last one has its result.
    async fn propose(&mut self, rng: &mut Rng) {
        for symbol in self.course.symbols() {
            if self.is_busy(symbol) {
                continue;
            }
            let unique = u64::try_from(self.plans.len()).unwrap_or(u64::MAX);
            let plan = PlanScript::small(symbol, !rng.once_in(5), unique);
            self.open.insert(symbol, self.plans.len());
            self.environment.propose_one(&plan, 0).await;
            self.plans.push(plan);
        }
    }

    /// Whether the last plan of a symbol has no result yet.
    fn is_busy(&self, symbol: &str) -> bool {
        self.open.get(symbol).is_some_and(|place| {
            let plan = self.plans[*place].id();
            let seen = self.environment.fake_services.seen();
            // The newest results stand at the end.
            !seen.results.iter().rev().any(|r| r.get("plan_id") == plan)
        })
    }

    /// The brain says again what it still wants: Redis has forgotten it.
    async fn repeat(&mut self) {
        self.round += 1;
        for (symbol, place) in self.open.clone() {
            if self.is_busy(symbol) {
                let plan = self.plans[place].clone();
                self.environment.propose_one(&plan, self.round).await;
            }
        }
    }

    async fn happens(&mut self, event: Event, rng: &mut Rng) {
        match event {
            Event::Sampled => {
                if let Some((memory, files)) = self.environment.machines[0].holds() {
                    self.samples.push(Held { memory, files });
                }
                return;
            }
            Event::ReplyLost => {
                let delivery = rng.pick(&[
                    Delivery::Reset,
                    Delivery::Cut,
                    Delivery::Reply(Canned::gateway_html(502)),
                    Delivery::Reply(Canned::unknown_503()),
                ]);
                let fault = Fault::executed(When::order(), delivery);
                self.environment.stage.venue().script(fault);
            }
            Event::Stopped => {
                self.environment.stage.redis.pause();
                sleep(rng.millis(100..=700)).await;
                self.environment.stage.redis.resume();
            }
            Event::Cut => {
                let cut = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
                let _: i64 = self.environment.fake_services.ask(&cut).await;
            }
            Event::Killed => {
                self.step = "kill -9";
                self.environment.machines[1].kill().await;
                let follows = self.course.follows(1);
                self.environment.machines[1].start(&follows);
            }
            Event::Ended => {
                self.step = "SIGTERM";
                // One that has not begun to listen for the signal dies of it.
                self.environment.machines[1].listens().await;
                if let Some(ended) = self.environment.machines[1].stop().await
                    && !self.course.lets_end(&ended)
                {
                    let how = (ended.code, ended.signal);
                    self.environment
                        .wrong(format!("SIGTERM ended the service with {how:?}"));
                }
                let follows = self.course.follows(1);
                self.environment.machines[1].start(&follows);
            }
            Event::Flushed => {
                self.step = "flush";
                self.environment.fake_services.forget_everything().await;
                self.step = "repeat";
                self.environment.history.forgets(false);
                self.repeat().await;
            }
            Event::RedisLost => {
                self.step = "freeze";
                self.environment.freeze().await;
                self.step = "kill";
                self.environment.stage.redis.kill();
                self.environment.history.forgets(false);
                sleep(rng.millis(0..=400)).await;
                self.step = "restart";
                self.environment.stage.restart_redis().await;
                self.step = "repeat";
                self.repeat().await;
            }
            Event::RedisKilled => {
                self.environment.stage.redis.kill();
                sleep(rng.millis(0..=500)).await;
                self.environment.stage.restart_redis().await;
            }
        }
        *self.events.entry(event.name()).or_default() += 1;
    }

    /// Lets everything come to its end, and adds up.
    async fn ends(mut self) -> Soaked {
        self.environment.case.plans = self.plans;
        self.environment.settled().await;
        self.environment.stop().await;
        self.environment.fake_services.catch_up().await;
        let facts = Facts::of(&self.environment).await;
        let case = &self.environment.case;
        let mut wrong = std::mem::take(&mut self.environment.wrong);
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
        // Where Redis forgets results they are published again.
        let published_once = claimed == results || self.course == Course::Forgetting;
        if proposed != claimed || results < claimed || !published_once {
            wrong.push(format!(
                "{proposed} proposed, {claimed} claimed, {results} results"
            ));
        }
        let without_order: u64 = lost.values().sum();
        if facts.orders() + without_order != u64::try_from(approved.len()).unwrap_or(u64::MAX) {
            wrong.push(format!(
                "{} approved, {} orders, {without_order} reported as having none",
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
    Flushed,
    RedisLost,
}

impl Event {
    fn every(self) -> Duration {
        match self {
            Self::Sampled => SAMPLE,
            Self::ReplyLost => VENUE,
            Self::Stopped => STOP,
            Self::Cut => CUT,
            Self::Killed => KILL,
            Self::Ended => TERM,
            Self::RedisKilled => REDIS,
            Self::Flushed => FLUSH,
            Self::RedisLost => LOSS,
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
            Self::Flushed => "FLUSHALL",
            Self::RedisLost => "kill -9 of Redis, back empty",
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
            "{} approved = {} orders + {lost} reported as having none {:?}",
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
