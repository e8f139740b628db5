//! How long after the last permit is written the grant is in hand, against the bare round trip
//! and against polling, all in one run on one `redis-server`. `scripts/bench gate` runs it.
//!
//! A latency counts from right before the last `SETEX` is sent until `wait_and_take` has returned
//! the grant. For one waiter the issuer has a connection of its own but no thread: on two cores a
//! third busy thread would measure the scheduler. For a crowd it is a thread with a blocking
//! connection, as another program would be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    clippy::print_stdout,
    clippy::float_arithmetic
)]

use permit_gate::{Ask, AttemptId, PlanId, Subject, Timer, WaitPolicy, wait_and_take};
use permit_redis::{PermitKeys, RedisConfig, RedisPermitStore, Stats};
use redis::{
    Client, Connection, ConnectionAddr, IntoConnectionInfo, aio::MultiplexedConnection, cmd,
    io::tcp::TcpSettings,
};
use redis_harness::RedisServer;
use std::{
    fmt::Write as _,
    fs,
    future::Future,
    path::Path,
    thread,
    time::{Duration, Instant},
};

const GOVERNOR: &str = r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"computed_notional":0.0,"created_at":1769301008.977,"consumed":false}"#;
const POSITION: &str = r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.008,"exchange_position_amt":0.0124,"ledger_amt":0.0124,"created_at":1769301009.1,"reason":"sanity_checks_passed"}"#;

/// How much of everything. `cargo test` runs benchmarks too; there they only have to work.
struct Sizes {
    rounds: usize,
    polls_10: usize,
    polls_100: usize,
    crowd: usize,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let real = args.iter().any(|arg| arg == "--bench");
    let rounds: Option<usize> = args.iter().find_map(|arg| arg.parse().ok());
    let sizes = match (real, rounds) {
        (true, None) => Sizes {
            rounds: 5_000,
            polls_10: 1_000,
            polls_100: 200,
            crowd: 10_000,
        },
        // A quick look, on fewer rounds; not for the page.
        (true, Some(rounds)) => Sizes {
            rounds,
            polls_10: rounds / 20,
            polls_100: rounds / 100,
            crowd: 10_000,
        },
        (false, _) => Sizes {
            rounds: 20,
            polls_10: 2,
            polls_100: 2,
            crowd: 100,
        },
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(at) = args.iter().position(|arg| arg == "--waiters") {
        let waiters = args[at + 1].parse().expect("how many waiters");
        println!("{}", runtime.block_on(crowd_alone(waiters)));
        return;
    }
    if args.iter().any(|arg| arg == "--figures") {
        println!("{}", runtime.block_on(figures()));
        return;
    }
    let report = runtime.block_on(run(&sizes));
    println!("{report}");
    if real && rounds.is_none() {
        write_section(&report);
    }
}

/// Many more waiters than the page has, whose permits come at 10,000 a second.
async fn crowd_alone(waiters: usize) -> String {
    let server = RedisServer::start().await;
    let store = store(&server, true).await;
    let pace = Duration::from_micros(100);
    let (mut latencies, calls, memory) = crowd(&store, &server, waiters, waiters, pace).await;
    latencies.sort_unstable();
    let p50 = latencies[latencies.len() / 2].as_micros();
    format!(
        "{waiters} waiters, 10,000 permits/s: {memory} bytes a waiter, {calls:.2} script calls a plan, woken in {p50} µs (p50)"
    )
}

/// Two figures for `scripts/servers --figures`: the p50 of a wake-up, in microseconds, and plans granted a second.
async fn figures() -> String {
    const ROUNDS: usize = 2_000;
    const PLANS: usize = 20_000;
    let server = RedisServer::start().await;
    let store = store(&server, true).await;
    let mut issuer = Issuer::start(&server).await;
    let mut woken = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS + ROUNDS / 10 {
        woken.push(
            issuer
                .wake(&store, &format!("wake.{round}"), 100, Duration::ZERO)
                .await,
        );
    }
    let mut woken = woken.split_off(ROUNDS / 10);
    woken.sort_unstable();

    let mut write = redis::pipe();
    for plan in 0..PLANS {
        for (key, content) in keys(&format!("rate.{plan}"))
            .iter()
            .zip([GOVERNOR, POSITION])
        {
            write.set_ex(key, content, 600).ignore();
        }
    }
    let mut link = server.connection().await;
    link.set_response_timeout(Duration::from_secs(60));
    write.exec_async(&mut link).await.unwrap();
    let began = Instant::now();
    let mut plans = tokio::task::JoinSet::new();
    for plan in 0..PLANS {
        let store = store.clone();
        plans.spawn(async move { granted(&store, ask(&format!("rate.{plan}"), 100)).await });
    }
    while let Some(granted) = plans.join_next().await {
        assert!(granted.unwrap().is_some(), "granted");
    }
    let rate = PLANS as f64 / began.elapsed().as_secs_f64();
    format!("{} {rate:.0}", woken[woken.len() / 2].as_micros())
}

async fn run(sizes: &Sizes) -> String {
    let server = RedisServer::start().await;
    let version = version(&server).await;
    let pushed = store(&server, true).await;
    let polled = store(&server, false).await;
    let mut issuer = Issuer::start(&server).await;

    let mut rows = Vec::new();
    for (name, pause) in [
        ("back to back", Duration::ZERO),
        ("after silence", Duration::from_millis(1)),
    ] {
        rows.extend(one_waiter(sizes, &server, &pushed, &mut issuer, name, pause).await);
    }
    for (count, size) in [(100, 100.min(sizes.crowd)), (10_000, sizes.crowd)] {
        let pace = Duration::from_micros(500);
        let (latencies, cost, memory) = crowd(&pushed, &server, size, count, pace).await;
        let name = format!("woken, {count} waiters, 2,000 permits/s");
        let mut row = Row::new(&name, latencies).costing(cost);
        row.memory = (count == 10_000).then_some(memory);
        rows.push(row);
    }

    for (step, rounds) in [(10, sizes.polls_10), (100, sizes.polls_100)] {
        let (mut waits, calls) = (Vec::new(), polled.stats());
        for round in 0..rounds {
            // Anywhere within a step, evenly.
            let pause = Duration::from_micros((round as u64 * 61_803) % (step * 1_000));
            let id = format!("poll.{step}.{round}");
            waits.push(issuer.wake(&polled, &id, step, pause).await);
        }
        let cost = per_plan(calls, polled.stats(), rounds);
        rows.push(Row::new(&format!("polling every {step} ms, 1 waiter"), waits).costing(cost));
    }
    table(&version, sizes, &rows)
}

/// Bare calls and wake-ups in turns, so that all see the same machine. Right after one another,
/// and after a silence in which processors sleep and caches are other people's.
async fn one_waiter(
    sizes: &Sizes,
    server: &RedisServer,
    store: &RedisPermitStore,
    issuer: &mut Issuer,
    name: &str,
    pause: Duration,
) -> Vec<Row> {
    let (mut empty, mut take, mut woken) = (Vec::new(), Vec::new(), Vec::new());
    let mut bare = Bare::new(server).await;
    let warm = sizes.rounds / 10;
    let mut calls = store.stats();
    for round in 0..warm + sizes.rounds {
        if round == warm {
            calls = store.stats();
            (empty, take, woken) = (Vec::new(), Vec::new(), Vec::new());
        }
        let id = format!("{}.{round}", pause.as_millis());
        woken.push(issuer.wake(store, &id, 100, pause).await);
        let there = keys(&format!("bare.{id}"));
        issuer.setex(&there[0], GOVERNOR).await;
        issuer.setex(&there[1], POSITION).await;
        silence(pause).await;
        take.push(bare.take(&there, &id).await);
        silence(pause).await;
        empty.push(bare.nothing().await);
    }
    let cost = per_plan(calls, store.stats(), sizes.rounds);
    vec![
        Row::new(&format!("bare EVALSHA of an empty script, {name}"), empty),
        Row::new(&format!("bare EVALSHA of the take, {name}"), take),
        Row::new(&format!("woken, 1 waiter, {name}"), woken).costing(cost),
    ]
}

async fn silence(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

fn policy(step: u64) -> WaitPolicy {
    WaitPolicy {
        wait: Duration::from_secs(60),
        step: Duration::from_millis(step),
        grace: Duration::from_millis(500),
    }
}

async fn store(server: &RedisServer, watching: bool) -> RedisPermitStore {
    let config = RedisConfig::new(&server.url()).unwrap().watching(watching);
    RedisPermitStore::connect(config).await.unwrap()
}

async fn version(server: &RedisServer) -> String {
    let mut link = server.connection().await;
    let info: String = cmd("INFO")
        .arg("server")
        .query_async(&mut link)
        .await
        .unwrap();
    let line = info.lines().find_map(|l| l.strip_prefix("redis_version:"));
    line.unwrap_or("?").to_owned()
}

struct TokioTimer;

impl Timer for TokioTimer {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        tokio::time::sleep_until(at.into())
    }
}

fn ask(id: &str, step: u64) -> Ask {
    Ask {
        subject: Subject::new(PlanId::new(id).unwrap(), "BTCUSDT"),
        attempt: AttemptId::new(id).unwrap(),
        policy: policy(step),
    }
}

/// Waits for a plan; when the grant was in hand, or `None` where there was none.
async fn granted(store: &RedisPermitStore, ask: Ask) -> Option<Instant> {
    let answer = wait_and_take(store, &TokioTimer, ask, |_| {}).await;
    let at = Instant::now();
    answer.ok().map(|grant| {
        drop(grant);
        at
    })
}

/// Scripts called by hand on a connection of their own: no plan waits, none is woken.
struct Bare {
    link: MultiplexedConnection,
    empty: String,
    take: String,
}

impl Bare {
    async fn new(server: &RedisServer) -> Self {
        let client = Client::open(nodelay(server)).unwrap();
        let mut link = client.get_multiplexed_async_connection().await.unwrap();
        let mut load = async |script: &str| {
            let mut load = cmd("SCRIPT");
            load.arg("LOAD").arg(script);
            load.query_async(&mut link).await.unwrap()
        };
        Self {
            empty: load("return 1").await,
            take: load(include_str!("../src/take/take.lua")).await,
            link,
        }
    }

    async fn nothing(&mut self) -> Duration {
        let mut call = cmd("EVALSHA");
        call.arg(&self.empty).arg(0);
        let sent = Instant::now();
        call.exec_async(&mut self.link).await.unwrap();
        sent.elapsed()
    }

    /// Takes permits that are there already.
    async fn take(&mut self, permits: &[String], id: &str) -> Duration {
        let mut call = cmd("EVALSHA");
        call.arg(&self.take).arg(permits.len() + 2).arg(permits);
        call.arg(format!("bench:inflight:{id}")).arg("bench:switch");
        call.arg(permits.len())
            .arg("bench")
            .arg(i64::MAX)
            .arg(60)
            .arg(8193);
        let sent = Instant::now();
        let answer: Vec<redis::Value> = call.query_async(&mut self.link).await.unwrap();
        let took = sent.elapsed();
        assert_eq!(answer[0], redis::Value::Int(1), "both were there");
        took
    }
}

fn nodelay(server: &RedisServer) -> redis::ConnectionInfo {
    let info = server.url().into_connection_info().unwrap();
    assert!(matches!(info.addr(), ConnectionAddr::Tcp(..)));
    info.set_tcp_settings(TcpSettings::default().set_nodelay(true))
}

fn blocking(server: &RedisServer) -> Connection {
    Client::open(nodelay(server))
        .unwrap()
        .get_connection()
        .unwrap()
}

/// Two keys of a plan, in the order governor, position brain.
fn keys(id: &str) -> Vec<String> {
    PermitKeys::default().keys(&PlanId::new(id).unwrap())
}

fn setex(link: &mut Connection, key: &str, content: &str) {
    let mut set = cmd("SETEX");
    set.arg(key).arg(60).arg(content);
    set.exec(link).unwrap();
}

/// Writes both permits of one plan at a time, on a connection of its own.
struct Issuer {
    link: MultiplexedConnection,
}

impl Issuer {
    async fn start(server: &RedisServer) -> Self {
        let client = Client::open(nodelay(server)).unwrap();
        let link = client.get_multiplexed_async_connection().await.unwrap();
        Self { link }
    }

    async fn setex(&mut self, key: &str, content: &str) {
        let mut set = cmd("SETEX");
        set.arg(key).arg(60).arg(content);
        set.exec_async(&mut self.link).await.unwrap();
    }

    /// From the last `SETEX` until the grant, `pause` after the first one.
    async fn wake(
        &mut self,
        store: &RedisPermitStore,
        id: &str,
        step: u64,
        pause: Duration,
    ) -> Duration {
        let (ask, calls) = (ask(id, step), store.stats().script_calls);
        let write = async {
            let keys = keys(id);
            // Answered after the first look, which was sent before.
            assert!(store.stats().script_calls > calls);
            self.setex(&keys[0], GOVERNOR).await;
            silence(pause).await;
            let now = Instant::now();
            self.setex(&keys[1], POSITION).await;
            now
        };
        // In this order: the wait sends its first look before anything is written.
        let (at, sent) = tokio::join!(biased; granted(store, ask), write);
        at.expect("granted").saturating_duration_since(sent)
    }
}

/// Many plans wait at once; permits come one each `pace`. Latencies, script calls a plan, bytes
/// a waiter.
async fn crowd(
    store: &RedisPermitStore,
    server: &RedisServer,
    waiters: usize,
    name: usize,
    pace: Duration,
) -> (Vec<Duration>, f64, u64) {
    let calls = store.stats();
    let mut tasks = Vec::with_capacity(waiters);
    let ids: Vec<String> = (0..waiters).map(|i| format!("c{name}.{i}")).collect();
    let before = resident();
    for id in &ids {
        let (store, ask) = (store.clone(), ask(id, 100));
        tasks.push(tokio::spawn(async move { granted(&store, ask).await }));
    }
    while store.stats().script_calls - calls.script_calls < waiters as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let memory = resident().saturating_sub(before) / waiters as u64;

    let mut link = blocking(server);
    let issuer = thread::spawn(move || {
        let started = Instant::now();
        let at = |n: usize| started + pace * u32::try_from(n).unwrap();
        let mut sent = Vec::with_capacity(ids.len());
        for (i, id) in ids.iter().enumerate() {
            let keys = keys(id);
            sleep_until(at(2 * i));
            setex(&mut link, &keys[0], GOVERNOR);
            sleep_until(at(2 * i + 1));
            sent.push(Instant::now());
            setex(&mut link, &keys[1], POSITION);
        }
        sent
    });
    let mut granted = Vec::with_capacity(waiters);
    for task in tasks {
        granted.push(task.await.unwrap());
    }
    let sent = issuer.join().unwrap();
    let missed = granted.iter().filter(|at| at.is_none()).count();
    assert_eq!(missed, 0, "waiters that were never woken");
    let latencies = granted.into_iter().zip(sent);
    let latencies = latencies.map(|(at, sent)| at.unwrap().saturating_duration_since(sent));
    let cost = per_plan(calls, store.stats(), waiters);
    (latencies.collect(), cost, memory)
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

fn per_plan(before: Stats, after: Stats, plans: usize) -> f64 {
    (after.script_calls - before.script_calls) as f64 / plans as f64
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

struct Row {
    name: String,
    p50: f64,
    p99: f64,
    calls: Option<f64>,
    memory: Option<u64>,
}

impl Row {
    fn new(name: &str, mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |percent: usize| samples[(samples.len() - 1) * percent / 100].as_secs_f64() * 1e6;
        Self {
            name: name.into(),
            p50: at(50),
            p99: at(99),
            calls: None,
            memory: None,
        }
    }

    fn costing(mut self, calls: f64) -> Self {
        self.calls = Some(calls);
        self
    }
}

fn table(version: &str, sizes: &Sizes, rows: &[Row]) -> String {
    // The floor: a take that is asked for at the right moment without anybody having to wake us.
    let (floor, polling) = (rows[1].p50, rows[rows.len() - 1].p50);
    let mut text = format!(
        "redis-server {version}, the gate and the issuers on the same machine over loopback, {} core(s) \
         for all of them, one thread for the gate; {} rounds, {} waiters in the crowd; microseconds.\n\n",
        thread::available_parallelism().unwrap(),
        sizes.rounds,
        sizes.crowd
    );
    text += "| | p50 | p99 | p50 / p50 of the floor ¹ | p99 / p50 of the floor | polling every 100 ms / p50 | script calls a plan | bytes a waiter |\n";
    text += "|---|--:|--:|--:|--:|--:|--:|--:|\n";
    for row in rows {
        let or_dash = |cell: Option<String>| cell.unwrap_or_else(|| "–".into());
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.0} | {} | {} |",
            row.name,
            row.p50,
            row.p99,
            row.p50 / floor,
            row.p99 / floor,
            polling / row.p50,
            or_dash(row.calls.map(|c| format!("{c:.2}"))),
            or_dash(row.memory.map(|m| m.to_string())),
        )
        .unwrap();
    }
    text += "\n¹ The floor is the second row: the take called by hand at the right moment.\n";
    text
}

/// Puts the report between this section's markers; other sections stay as they are.
fn write_section(report: &str) {
    const BEGIN: &str = "<!-- gate: begin -->";
    const END: &str = "<!-- gate: end -->";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md");
    let old = fs::read_to_string(&file).unwrap_or_else(|_| "# Benchmarks\n".into());
    let section = format!("{BEGIN}\n{report}{END}\n");
    let new = match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) => {
            let after = old[end + END.len()..].trim_start_matches('\n');
            format!("{}{section}{after}", &old[..begin])
        }
        _ => format!("{old}\n## The permit gate\n\n`scripts/bench gate`\n\n{section}"),
    };
    fs::write(&file, new).unwrap();
}
