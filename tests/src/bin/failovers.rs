//! Failovers under load: sentinels replace the master again and again while plans become orders. The venue's order log
//! is the judge. `scripts/failovers` runs it.

use apply_redis::Keys;
use apply_tests::{
    Entry, PLANS, RESULTS, Service, Stage, computed_now, governor_permit, has_been_up,
    position_permit,
};
use redis::{FromRedisValue, RedisResult, aio::MultiplexedConnection, cmd};
use redis_harness::{RedisServer, Sentinel};
use rust_decimal::Decimal;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    process::ExitCode,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];

/// How a master is replaced.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// `SENTINEL FAILOVER`: the former master goes on answering for a while.
    Planned,
    /// It is killed.
    Killed,
    /// `SENTINEL FAILOVER … COORDINATED`, which Valkey 9 has.
    Coordinated,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "planned" => Ok(Self::Planned),
            "killed" => Ok(Self::Killed),
            "coordinated" => Ok(Self::Coordinated),
            other => Err(format!("{other} is none of planned, killed, coordinated")),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Killed => "killed",
            Self::Coordinated => "coordinated",
        })
    }
}

/// What came of it.
#[derive(Debug, Default)]
struct Report {
    failovers: usize,
    orders: usize,
    plans_with_result: usize,
    /// Orders whose plan has no result that says so.
    lost: Vec<String>,
    /// Plans with more than one order.
    double: Vec<String>,
    /// From the moment at which all sentinels name the new master to the service's connection to it.
    followed_after: Vec<Duration>,
    /// From the same moment to the first order after it.
    back_after: Vec<Duration>,
}

/// The median and the worst, as two cells of the table.
struct Spread {
    p50: Duration,
    worst: Duration,
}

impl Spread {
    fn of(measured: &[Duration]) -> Self {
        let mut sorted = measured.to_vec();
        sorted.sort_unstable();
        Self {
            p50: sorted.get(sorted.len() / 2).copied().unwrap_or_default(),
            worst: sorted.last().copied().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, worst] = [self.p50, self.worst].map(|duration| duration.as_secs_f64());
        write!(f, "{p50:.1} s | {worst:.1} s")
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let (mut kind, mut rounds) = (Kind::Planned, 100_usize);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        let read = match &*word {
            "--kind" => value.parse().map(|read| kind = read),
            "--rounds" => value
                .parse()
                .map(|read| rounds = read)
                .map_err(|_| "how many?".into()),
            other => Err(format!("{other} is not known: --kind, --rounds")),
        };
        if let Err(why) = read {
            eprintln!("failovers: {why}");
            return ExitCode::from(64);
        }
    }
    let report = play(kind, rounds).await;
    let (followed, back) = (
        Spread::of(&report.followed_after),
        Spread::of(&report.back_after),
    );
    let (major, minor) = RedisServer::version();
    println!(
        "| server | failovers | orders | results | lost results | double orders \
         | at the new master after, p50 | worst | first order after, p50 | worst |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    println!(
        "| {major}.{minor}, {kind} | {} | {} | {} | {} | {} | {followed} | {back} |",
        report.failovers,
        report.orders,
        report.plans_with_result,
        report.lost.len(),
        report.double.len(),
    );
    for lost in &report.lost {
        println!("lost: {lost}");
    }
    for double in &report.double {
        println!("double: {double}");
    }
    match report.lost.is_empty() && report.double.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

async fn play(kind: Kind, rounds: usize) -> Report {
    let mut sentinel = Sentinel::start_with(3).await;
    let urls = Arc::new(sentinel.urls());
    let settings: &[[&str; 2]] = match kind {
        // A failover may follow another one soon.
        Kind::Planned | Kind::Killed => &[["failover-timeout", "1000"]],
        // The master does it itself and may need longer. No server dies: sentinels that hold the new master for dead
        // after half a second, as Valkey's do meanwhile, fail over again and again.
        Kind::Coordinated => &[
            ["failover-timeout", "10000"],
            ["down-after-milliseconds", "5000"],
        ],
    };
    for url in &*urls {
        let mut link = open(url)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        for setting in settings {
            let mut set = cmd("SENTINEL");
            set.arg("SET").arg(Sentinel::MASTER).arg(setting);
            let done = set.exec_async(&mut link).await;
            done.unwrap_or_else(|error| panic!("{url}: {error}"));
        }
    }
    let stage = Stage::open().await;
    let mut first = sentinel.master().connection().await;
    has_been_up(std::slice::from_mut(&mut first), &Keys::default()).await;
    let hosts = urls.join(",").replace("redis://", "");
    let service = stage
        .service()
        .env(
            "REDIS_URL",
            format!("redis+sentinel://{hosts}/{}", Sentinel::MASTER),
        )
        .env("APPLY_PERMIT_WAIT_MS", "2000")
        .ready()
        .await;
    let proposals = Arc::new(AtomicU64::new(0));
    let brains: Vec<_> = SYMBOLS
        .into_iter()
        .map(|symbol| tokio::spawn(brain(symbol, Arc::clone(&urls), Arc::clone(&proposals))))
        .collect();

    let mut report = Report::default();
    for round in 0..rounds {
        more_orders(&stage, 2).await;
        // At any moment of a plan's life.
        sleep(Duration::from_millis(37 * round as u64 % 251)).await;
        let said = service.log().len();
        match kind {
            Kind::Planned => sentinel.hand_over(false).await,
            Kind::Coordinated => sentinel.hand_over(true).await,
            Kind::Killed => sentinel.fail_over().await,
        }
        let named = Instant::now();
        follows(&service, said).await;
        report.followed_after.push(named.elapsed());
        more_orders(&stage, 1).await;
        report.back_after.push(named.elapsed());
        sentinel.rejoin().await;
        report.failovers += 1;
    }
    for brain in brains {
        brain.abort();
    }
    service
        .metric_is("quantum_apply_plans_in_flight", "0")
        .await;
    service.metric_is("quantum_apply_results_owed", "0").await;
    let fail = |error| -> ! { panic!("no results: {error}") };
    let mut master = open(&sentinel.master().url())
        .await
        .unwrap_or_else(|error| fail(error));
    // Thousands of them, in one answer.
    master.set_response_timeout(Duration::from_secs(60));
    let results: redis::Value = ask(&mut master, &["XRANGE", RESULTS, "-", "+"])
        .await
        .unwrap_or_else(|error| fail(error));
    let results = Entry::of_range(results);
    judge(&stage, &results, &mut report);
    let ended = service.stopped_well().await;
    for lost in report.lost.iter_mut().chain(&mut report.double) {
        let plan = lost.trim_start_matches("apply-").get(..16);
        let plan = plan.unwrap_or_default().to_owned();
        let of_it = |line: &&String| line.contains(&plan);
        for line in ended.log.iter().filter(of_it) {
            lost.push_str("\n    ");
            lost.push_str(line);
        }
    }
    report
}

fn judge(stage: &Stage, results: &[Entry], report: &mut Report) {
    let executed: HashMap<&str, &str> = results
        .iter()
        .map(|result| (result.get("plan_id"), result.get("executed")))
        .collect();
    let mut orders: BTreeMap<String, usize> = BTreeMap::new();
    for order in stage.orders() {
        report.orders += 1;
        *orders
            .entry(order.client_order_id.unwrap_or_default())
            .or_default() += 1;
    }
    report.plans_with_result = executed.len();
    for (order, times) in orders {
        if times > 1 {
            report.double.push(format!("{order}, {times} times"));
        }
        let plan = executed.iter().find(|(plan, _)| order.contains(**plan));
        match plan {
            Some((_, &"True")) => {}
            Some((plan, word)) => report.lost.push(format!("{plan}: executed={word}")),
            None => report.lost.push(order),
        }
    }
}

/// Resolves when the service has said, after so many lines, that it is connected again.
async fn follows(service: &Service, said: usize) {
    let began = Instant::now();
    let again = |line: &String| line.contains("reconnected to Redis");
    while !service.log().iter().skip(said).any(again) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the service does not come to the new master"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

/// Resolves when this many more orders have been filled.
async fn more_orders(stage: &Stage, more: usize) {
    let filled = || {
        let orders = stage.orders().into_iter();
        orders
            .filter(|order| order.executed_qty > Decimal::ZERO)
            .count()
    };
    let (before, began) = (filled(), Instant::now());
    while filled() < before + more {
        assert!(
            began.elapsed() < Duration::from_secs(90),
            "no order comes any more"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// Proposes one symbol over and over, and grants what becomes a plan, on whichever server a sentinel calls master.
async fn brain(symbol: &'static str, sentinels: Arc<Vec<String>>, proposals: Arc<AtomicU64>) {
    loop {
        // Whatever goes wrong in a failover: it begins anew.
        let _ = timeout(
            Duration::from_secs(8),
            one_plan(symbol, &sentinels, &proposals),
        )
        .await;
        sleep(Duration::from_millis(50)).await;
    }
}

async fn one_plan(symbol: &str, sentinels: &[String], proposals: &AtomicU64) -> RedisResult<()> {
    let mut master = master(sentinels).await?;
    let at = computed_now(proposals.fetch_add(1, Ordering::Relaxed));
    let key = format!("quantum:harvest:proposal:{symbol}");
    let seen: redis::Value =
        ask(&mut master, &["XREVRANGE", PLANS, "+", "-", "COUNT", "1"]).await?;
    let last = Entry::of_range(seen)
        .pop()
        .map_or("0".to_owned(), |entry| entry.id);
    let propose = [
        "HSET",
        &key,
        "harvest_action",
        "PARTIAL_25",
        "kill_score",
        "0.5",
    ];
    let propose = [&propose[..], &["computed_at_utc", &at]].concat();
    let _: i64 = ask(&mut master, &propose).await?;
    let until = Instant::now() + Duration::from_secs(6);
    let plan = loop {
        let read = ["XREAD", "BLOCK", "100", "STREAMS", PLANS, &last];
        let entries = Entry::of_read(ask(&mut master, &read).await?);
        let ours =
            |entry: &Entry| entry.get("symbol") == symbol && entry.get("decision") == "EXECUTE";
        if let Some(plan) = entries.into_iter().rfind(ours) {
            break plan.get("plan_id").to_owned();
        }
        if Instant::now() > until {
            return Ok(());
        }
    };
    for (prefix, permit) in [
        ("quantum:permit:", governor_permit(symbol)),
        ("quantum:permit:p33:", position_permit(symbol, "0.01")),
    ] {
        let _: String = ask(
            &mut master,
            &["SETEX", &format!("{prefix}{plan}"), "60", &permit],
        )
        .await?;
    }
    // The next one once this one is through.
    let mark = format!("quantum:apply:result_published:{plan}");
    while Instant::now() < until {
        if ask::<i64>(&mut master, &["EXISTS", &mark]).await? == 1 {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn master(sentinels: &[String]) -> RedisResult<MultiplexedConnection> {
    let mut last = None;
    for url in sentinels {
        let asked = async {
            let mut sentinel = open(url).await?;
            let named = ["SENTINEL", "get-master-addr-by-name", Sentinel::MASTER];
            let (host, port): (String, u16) = ask(&mut sentinel, &named).await?;
            open(&format!("redis://{host}:{port}")).await
        };
        match asked.await {
            Ok(master) => return Ok(master),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| (redis::ErrorKind::Io, "no sentinel").into()))
}

async fn open(url: &str) -> RedisResult<MultiplexedConnection> {
    let mut link = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    link.set_response_timeout(Duration::from_secs(2));
    Ok(link)
}

async fn ask<T: FromRedisValue>(
    link: &mut MultiplexedConnection,
    words: &[&str],
) -> RedisResult<T> {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(link).await
}
