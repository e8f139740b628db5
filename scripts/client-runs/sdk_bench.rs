//! Our client beside the official Rust SDK (binance-sdk): what either adds to a bare POST, and how often either posts an
//! order whose reply is lost. `scripts/bench sdk` builds it, outside the workspace, and runs it.

#[path = "../../crates/exchange-client/benches/reference/mod.rs"]
mod reference;

use binance_sdk::{
    config::ConfigurationRestApi,
    derivatives_trading_usds_futures::{
        DerivativesTradingUsdsFuturesRestApi,
        rest_api::{self, *},
    },
};
use exchange_client::{Settlement, Submission};
use exchange_sim::{Canned, Delivery, Fault, Instead, Sim, SimConfig, SimHandle, When};
use reference::{Bare, BenchContext, KEY, Samples, Server, client, micros, order_id};
use rust_decimal::Decimal;
use std::{
    env,
    fs::File,
    future::Future,
    os::unix::fs::FileExt,
    process::ExitCode,
    time::{Duration, Instant},
};

const ORDER: &str = "/fapi/v1/order";
const SECRET: &str = "secret";
/// A bare POST and a client's order, for each client.
const KINDS: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (rounds, warm) = match env::args().nth(1).as_deref() {
        Some("quick") => (500, 50),
        _ => (20_000, 2_000),
    };
    times(rounds, warm).await;
    match lost_replies().await {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The SDK with its own defaults.
fn sdk(url: &str, key: &str, secret: &str) -> rest_api::RestApi {
    assert!(
        url.starts_with("http://127.0.0.1:"),
        "not on loopback, so nothing is sent: {url}"
    );
    let configuration = ConfigurationRestApi::builder()
        .api_key(key)
        .api_secret(secret)
        .base_path(url)
        .build()
        .unwrap();
    // Not `production`, which puts the production address over the one that is set.
    DerivativesTradingUsdsFuturesRestApi::from_config(configuration)
}

/// The order that our client writes, in the words of the SDK.
fn sdk_order(number: u64) -> NewOrderParams {
    NewOrderParams::builder(
        "BTCUSDT".to_owned(),
        NewOrderSideEnum::Sell,
        NewOrderTypeEnum::Market,
    )
    .quantity(Decimal::new(9, 3))
    .reduce_only(NewOrderReduceOnlyEnum::True)
    .new_client_order_id(order_id(number))
    .new_order_resp_type(NewOrderNewOrderRespTypeEnum::Result)
    .recv_window(1500)
    .build()
    .unwrap()
}

async fn place(api: &rest_api::RestApi, order: NewOrderParams) -> anyhow::Result<NewOrderResponse> {
    Ok(api.new_order(order).await?.data().await?)
}

#[derive(Default)]
struct Column {
    times: Vec<Duration>,
    processor: Duration,
}

/// Both clients and their floors, on one server.
struct Bench {
    processor: Processor,
    context: BenchContext,
    bare_ours: Bare,
    api: rest_api::RestApi,
    bare_sdk: Bare,
    sdk_orders: u64,
}

const OURS: [usize; 2] = [0, 1];
const SDK: [usize; 2] = [2, 3];

impl Bench {
    async fn open() -> Self {
        let server = Server::start();
        let api = sdk(&server.url(), KEY, SECRET);
        let client = client(&server.url(), KEY, SECRET);
        assert!(client.host().is_loopback());
        client.warm_up().await.unwrap();
        let mut context = BenchContext::new(client);
        let (order, quantity) = context.next();
        let _ = context.client.submit(order, quantity).await;
        let bare_ours = Bare::of_the_last_order(&server).await;
        place(&api, sdk_order(0)).await.unwrap();
        let bare_sdk = Bare::of_the_last_order(&server).await;
        Self {
            processor: Processor::of_this_thread(),
            context,
            bare_ours,
            api,
            bare_sdk,
            sdk_orders: 0,
        }
    }

    /// Calls of these kinds in turns. Each kind comes first as often as last, and behind each of the others.
    async fn in_turns(&mut self, kinds: &[usize], rounds: usize, warm: usize) -> [Column; KINDS] {
        let mut columns: [Column; KINDS] = Default::default();
        for round in 0..rounds + warm {
            for turn in 0..kinds.len() {
                let at = match round % 2 {
                    0 => round / 2 + turn,
                    _ => round / 2 + kinds.len() - turn,
                };
                let kind = kinds[at % kinds.len()];
                let (took, used) = self.call(kind).await;
                if round >= warm {
                    columns[kind].times.push(took);
                    columns[kind].processor += used;
                }
            }
        }
        columns
    }

    async fn call(&mut self, kind: usize) -> (Duration, Duration) {
        match kind {
            0 => measured(&self.processor, self.bare_ours.exchange()).await,
            1 => {
                let (order, quantity) = self.context.next();
                let submitted = async {
                    let ending = self.context.client.submit(order, quantity).await;
                    assert!(ending.accepted().is_some(), "{ending}");
                };
                measured(&self.processor, submitted).await
            }
            2 => measured(&self.processor, self.bare_sdk.exchange()).await,
            _ => {
                self.sdk_orders += 1;
                let order = sdk_order(self.sdk_orders);
                let placed = async {
                    let report = place(&self.api, order).await.unwrap();
                    assert_eq!(report.status.as_deref(), Some("FILLED"));
                };
                measured(&self.processor, placed).await
            }
        }
    }
}

async fn times(rounds: usize, warm: usize) {
    let mut bench = Bench::open().await;
    let together = bench.in_turns(&[0, 1, 2, 3], rounds, warm).await;
    let bytes = [bench.bare_ours.bytes(), bench.bare_sdk.bytes()];
    print_times(rounds, &together.map(Row::of), bytes);
    // Alone with its floor, a client finds its code and data in the caches, which the other one pushes out.
    let [bare_ours, ours, ..] = bench.in_turns(&OURS, rounds, warm).await;
    let [.., bare_sdk, sdk] = bench.in_turns(&SDK, rounds, warm).await;
    let rows = [bare_ours, ours, bare_sdk, sdk].map(Row::of);
    println!(
        "each alone in turns with its bare POST: {:+.1} and {:+.1}",
        Row::over(&rows, 1, 50),
        Row::over(&rows, 3, 50)
    );
    print_ratios(&rows);
    println!();
}

struct Row {
    times: Samples,
    processor: Duration,
}

impl Row {
    fn of(column: Column) -> Self {
        Self {
            processor: column.processor / u32::try_from(column.times.len()).unwrap(),
            times: Samples::new(column.times),
        }
    }

    /// Microseconds over the row before, which is the bare POST.
    fn over(rows: &[Self; KINDS], row: usize, percent: usize) -> f64 {
        micros(rows[row].times.at(percent)) - micros(rows[row - 1].times.at(percent))
    }

    fn used_over(rows: &[Self; KINDS], row: usize) -> f64 {
        micros(rows[row].processor) - micros(rows[row - 1].processor)
    }
}

fn print_ratios(rows: &[Row; KINDS]) {
    let at = |percent| Row::over(rows, 1, percent) / Row::over(rows, 3, percent);
    println!(
        "over a bare POST, submit / SDK: p50 {:.2}, p99 {:.2}, processor time {:.2}",
        at(50),
        at(99),
        Row::used_over(rows, 1) / Row::used_over(rows, 3)
    );
}

/// How long a call took, and how much processor time of this thread. What the connection still does after the reply, as
/// going back to its pool, is no time of the call, but processor time of it.
async fn measured(processor: &Processor, call: impl Future<Output = ()>) -> (Duration, Duration) {
    let before = processor.used();
    let started = Instant::now();
    call.await;
    let took = started.elapsed();
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    (took, processor.used() - before)
}

fn print_times(rounds: usize, rows: &[Row; KINDS], bytes: [usize; 2]) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{rounds} orders each, in turns, one thread for the clients, one for the server, {cores} core(s); microseconds\n"
    );
    println!(
        "{:<46} {:>6} {:>8} {:>8} {:>8} {:>8} {:>10} {:>8}",
        "", "bytes", "p50", "p99", "x bare", "+ bare", "processor", "+ bare"
    );
    let names = [
        "bare POST of the bytes that submit sends",
        "submit: sign, encode, send, decode, judge",
        "bare POST of the bytes that the SDK sends",
        "the SDK's new_order and its data",
    ];
    for (row, name) in names.into_iter().enumerate() {
        let Row { times, processor } = &rows[row];
        let p50 = micros(times.at(50));
        print!(
            "{name:<46} {:>6} {p50:>8.1} {:>8.1}",
            bytes[row / 2],
            micros(times.at(99))
        );
        match row % 2 {
            0 => println!(" {:>8} {:>8} {:>10.1}", "", "", micros(*processor)),
            _ => println!(
                " {:>8.2} {:>+8.1} {:>10.1} {:>+8.1}",
                p50 / micros(rows[row - 1].times.at(50)),
                Row::over(rows, row, 50),
                micros(*processor),
                Row::used_over(rows, row)
            ),
        }
    }
    println!();
    print_ratios(rows);
}

/// The processor time of this thread, as Linux counts it.
struct Processor(File);

impl Processor {
    fn of_this_thread() -> Self {
        Self(File::open("/proc/thread-self/schedstat").expect("this needs Linux"))
    }

    fn used(&self) -> Duration {
        // What is read is as old as the last switch, so there is one.
        std::thread::yield_now();
        let mut text = [0; 64];
        let length = self.0.read_at(&mut text, 0).unwrap();
        let text = std::str::from_utf8(&text[..length]).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }
}

fn faults() -> Vec<(&'static str, Fault)> {
    let order = When::order;
    let executed = |delivery| Fault::executed(order(), delivery);
    let answered = |canned| executed(Delivery::Reply(canned));
    let not_executed = |instead| Fault::not_executed(order(), instead);
    let refused = |canned| not_executed(Instead::Reply(canned));
    vec![
        ("executed, reply cut off", executed(Delivery::Cut)),
        (
            "executed, reply cut off, every time",
            executed(Delivery::Cut).always(),
        ),
        ("executed, connection reset", executed(Delivery::Reset)),
        ("executed, connection closed", executed(Delivery::Close)),
        (
            "not executed, connection reset",
            not_executed(Instead::Reset),
        ),
        (
            "executed, 503 “Unknown error …”",
            answered(Canned::unknown_503()),
        ),
        (
            "not executed, 503 “Service Unavailable.”",
            refused(Canned::unavailable_503()),
        ),
        (
            "not executed, 503 “Internal error …”",
            refused(Canned::internal_503()),
        ),
        ("executed, 408 (-1007)", answered(Canned::timeout_1007())),
    ]
}

/// Whether our client posted each order once.
async fn lost_replies() -> bool {
    println!(
        "One order whose reply is lost; the simulated venue counts the POSTs that it read whole. The SDK has its default of\n\
         {} retries, which it uses for a POST where the reply breaks off\n",
        ConfigurationRestApi::builder().build().unwrap().retries
    );
    println!(
        "{:<42} {:>5} {:>7} {:>6}  {:<30} {:>5} {:>7} {:>6}  the SDK's caller got",
        "", "POSTs", "filled", "asked", "submit, settle", "POSTs", "filled", "asked"
    );
    let mut once = true;
    for (name, fault) in faults() {
        let (ours, sdk) = (under(&fault, false).await, under(&fault, true).await);
        once &= ours.posts == 1;
        print!("{name:<42}");
        print!(
            " {:>5} {:>7} {:>6}  {:<30}",
            ours.posts, ours.filled, ours.asked, ours.outcome
        );
        println!(
            " {:>5} {:>7} {:>6}  {}",
            sdk.posts, sdk.filled, sdk.asked, sdk.outcome
        );
    }
    println!(
        "\nsubmit never sent a second POST: {}",
        if once { "yes" } else { "NO" }
    );
    once
}

/// What the venue saw of one order, and its caller.
struct Seen {
    posts: u64,
    filled: usize,
    asked: u64,
    outcome: String,
}

async fn under(fault: &Fault, by_the_sdk: bool) -> Seen {
    let config = SimConfig::default()
        .unlimited()
        .position("BTCUSDT", Decimal::from(100_000));
    let sim = Sim::start(config).await.unwrap();
    let venue = sim.handle();
    let outcome = match by_the_sdk {
        true => placed_by_the_sdk(&sim.url(), &venue, fault).await,
        false => submitted(&sim.url(), &venue, fault).await,
    };
    let filled = venue.orders();
    let filled = filled.iter().filter(|order| order.moved_the_position());
    let seen = Seen {
        posts: venue.request_count("POST", ORDER),
        filled: filled.count(),
        asked: venue.request_count("GET", ORDER),
        outcome,
    };
    sim.shutdown().await.unwrap();
    seen
}

async fn submitted(url: &str, venue: &SimHandle, fault: &Fault) -> String {
    let client = client(url, SimConfig::API_KEY, SimConfig::API_SECRET);
    assert!(client.host().is_loopback());
    client.warm_up().await.unwrap();
    venue.script(fault.clone());
    let mut context = BenchContext::new(client);
    let (order, quantity) = context.next();
    let intent = order.intent().clone();
    match context.client.submit(order, quantity).await {
        Submission::Unknown(unknown) => {
            let settled = context
                .client
                .settle(&intent, unknown.window, Duration::from_secs(20))
                .await;
            let settled = match settled {
                Settlement::Filled(report) => report.status_word().to_owned(),
                Settlement::NotExecuted(_) => "not executed".to_owned(),
                Settlement::Unresolved(why) => why.to_string(),
            };
            format!("unknown, then {settled}")
        }
        Submission::NotSent(_) => "not executed".to_owned(),
        other => other.to_string(),
    }
}

async fn placed_by_the_sdk(url: &str, venue: &SimHandle, fault: &Fault) -> String {
    let api = sdk(url, SimConfig::API_KEY, SimConfig::API_SECRET);
    // Opens the connection, as our client's `warm_up` does.
    api.check_server_time().await.unwrap();
    venue.script(fault.clone());
    match place(&api, sdk_order(1)).await {
        Ok(report) => format!("success: {}", report.status.unwrap_or_default()),
        Err(error) => {
            let words = format!("{error:#}");
            let words = words
                .split_once(" for url")
                .map_or(&*words, |(head, _)| head);
            words.chars().take(70).collect()
        }
    }
}
