//! What the client adds to an order: a submission through it against a bare keep-alive POST of the same bytes to the same
//! server, measured in turns. `scripts/bench venue` runs it.
//!
//! The server is a thread that reads a request and answers with a fixed report, so that the difference between two rows
//! is the client and nothing else. The bare row writes bytes that were signed beforehand and reads the reply to its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    clippy::print_stdout,
    clippy::float_arithmetic
)]

use exchange_client::{
    Client, Credentials, ExchangeInfo, NotSentReason, Position, PositionMode, Settings, Submission,
    Symbol, SymbolRules,
};
use exchange_sim::{Sim, SimConfig};
use rust_decimal::Decimal;
use std::{
    hint::black_box,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROUNDS: usize = 20_000;
const WARM: usize = 2_000;
const KEY: &str = "BenchmarkKeyBenchmarkKeyBenchmarkKeyBenchmarkKeyBenchmarkKey0001";
const LOT: &str = r#""minQty":"0.001","maxQty":"100000","stepSize":"0.001""#;

fn main() {
    // `cargo test` runs benchmarks too; there they only have to work.
    let (rounds, warm) = if std::env::args().any(|arg| arg == "--bench") {
        (ROUNDS, WARM)
    } else {
        (20, 5)
    };
    let server = serve();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        println!("{rounds} orders each, in turns, one thread for the client, one for the server; microseconds\n");
        println!("{:<44} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p99", "x bare", "+ bare");
        let mut rows = against_fixed_replies(server, rounds, warm).await;
        rows.extend(against_the_simulated_venue(rounds.min(5_000), warm.min(50)).await);
        rows.push(preparing(rounds));
        for row in rows {
            row.print();
        }
    });
}

struct Row {
    name: &'static str,
    samples: Vec<Duration>,
    bare_p50: Option<Duration>,
}

impl Row {
    fn new(name: &'static str, mut samples: Vec<Duration>, bare_p50: Option<Duration>) -> Self {
        samples.sort_unstable();
        Self {
            name,
            samples,
            bare_p50,
        }
    }

    fn at(&self, percent: usize) -> Duration {
        self.samples[(self.samples.len() - 1) * percent / 100]
    }

    fn print(&self) {
        let (p50, p99) = (self.at(50), self.at(99));
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        print!(
            "{:<44} {:>8.1} {:>8.1}",
            self.name,
            micros(p50),
            micros(p99)
        );
        match self.bare_p50 {
            Some(bare) => println!(
                " {:>8.2} {:>+8.1}",
                micros(p50) / micros(bare),
                micros(p50) - micros(bare)
            ),
            None => println!(),
        }
    }
}

async fn against_fixed_replies(server: SocketAddr, rounds: usize, warm: usize) -> Vec<Row> {
    let client = client(&format!("http://{server}"), KEY, "secret");
    client.warm_up().await.unwrap();
    let mut bare = Bare::connect(server).await;
    let mut context = BenchContext::new(client);
    let (mut ours, mut reference) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for round in 0..rounds + warm {
        let (order, quantity) = context.next();
        let started = Instant::now();
        let ending = context.client.submit(order, quantity).await;
        let submitted = started.elapsed();
        assert!(ending.accepted().is_some(), "{ending}");
        let request = bare.request(round);
        let started = Instant::now();
        bare.exchange(&request).await;
        let posted = started.elapsed();
        if round >= warm {
            ours.push(submitted);
            reference.push(posted);
        }
    }
    let reference = Row::new("bare POST of the same bytes", reference, None);
    let bare_p50 = reference.at(50);
    let ours = Row::new(
        "submit: sign, encode, send, decode, judge",
        ours,
        Some(bare_p50),
    );
    vec![reference, ours]
}

async fn against_the_simulated_venue(rounds: usize, warm: usize) -> Vec<Row> {
    let sim = on_its_own_thread();
    let client = client(&sim, SimConfig::API_KEY, SimConfig::API_SECRET);
    client.warm_up().await.unwrap();
    let mut context = BenchContext::new(client);
    let mut samples = Vec::with_capacity(rounds);
    for round in 0..rounds + warm {
        let (order, quantity) = context.next();
        let started = Instant::now();
        let ending = context.client.submit(order, quantity).await;
        let submitted = started.elapsed();
        if ending.accepted().is_none() {
            // A venue that states limits ends the measurement there; anything else is a fault.
            let limited = matches!(&ending, Submission::NotSent(not) if matches!(not.reason, NotSentReason::Limited(_)));
            assert!(limited, "{ending}");
            break;
        }
        if round >= warm {
            samples.push(submitted);
        }
    }
    vec![Row::new(
        "submit to the simulated venue (it checks all)",
        samples,
        None,
    )]
}

/// What is done ahead of the grant and does not count: shown for completeness.
fn preparing(rounds: usize) -> Row {
    let client = client("http://127.0.0.1:9", KEY, "secret");
    let mut context = BenchContext::new(client);
    let mut samples = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let started = Instant::now();
        let prepared = black_box(context.next());
        samples.push(started.elapsed());
        drop(prepared);
    }
    Row::new("prepare (before the grant, sends nothing)", samples, None)
}

struct BenchContext {
    client: Client,
    rules: Arc<SymbolRules>,
    position: Position,
    number: u64,
}

impl BenchContext {
    fn new(client: Client) -> Self {
        let info = format!(
            r#"{{"symbols":[{{"symbol":"BTCUSDT","status":"TRADING","filters":[
            {{"filterType":"LOT_SIZE",{LOT}}},{{"filterType":"MARKET_LOT_SIZE",{LOT}}}]}}]}}"#
        );
        let symbol: Symbol = "BTCUSDT".parse().unwrap();
        let rules = ExchangeInfo::decode(info.as_bytes())
            .unwrap()
            .rules(&symbol)
            .unwrap();
        Self {
            client,
            rules,
            position: Position::new(
                symbol,
                exchange_client::PositionSide::Both,
                Decimal::from(100_000),
            ),
            number: 0,
        }
    }

    fn next(&mut self) -> (exchange_client::PreparedOrder, exchange_client::Quantity) {
        self.number += 1;
        let id = format!("bench-{:010}", self.number).parse().unwrap();
        let order = self
            .client
            .prepare_close(&self.position, PositionMode::OneWay, &self.rules, id)
            .unwrap();
        (order, self.rules.cut_quantity(Decimal::new(9, 3)).unwrap())
    }
}

fn client(url: &str, key: &str, secret: &str) -> Client {
    let credentials = Credentials::hmac(key, secret).unwrap();
    Client::new(url.parse().unwrap(), credentials, Settings::default()).unwrap()
}

/// A connection of its own with nothing between the bytes and the socket.
struct Bare {
    stream: tokio::net::TcpStream,
    address: SocketAddr,
    reply: Vec<u8>,
}

impl Bare {
    async fn connect(address: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            address,
            reply: vec![0; 4096],
        }
    }

    fn request(&self, round: usize) -> Vec<u8> {
        let body = format!(
            "symbol=BTCUSDT&side=SELL&reduceOnly=true&type=MARKET&newOrderRespType=RESULT&newClientOrderId=bench-{round:010}\
             &recvWindow=1500&quantity=0.009&timestamp=1769301008977&signature={}",
            "0".repeat(64)
        );
        format!(
            "POST /fapi/v1/order HTTP/1.1\r\nx-mbx-apikey: {KEY}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             accept: */*\r\nhost: {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .into_bytes()
    }

    async fn exchange(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.unwrap();
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.reply[filled..]).await.unwrap();
            assert!(read > 0, "the server closed");
            filled += read;
            // The fixed reply ends with this and holds it nowhere else.
            if self.reply[..filled].ends_with(b"}") {
                return;
            }
        }
    }
}

/// A server that answers every request at once; an order is reported filled under the id it came with.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || answer_all(stream));
        }
    });
    address
}

fn answer_all(stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap().to_owned();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body).unwrap();
        let reply = reply_to(&path, std::str::from_utf8(&body).unwrap());
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-MBX-USED-WEIGHT-1M: 1\r\nX-MBX-ORDER-COUNT-10S: 1\r\n\
             X-MBX-ORDER-COUNT-1M: 1\r\nContent-Length: {}\r\n\r\n{reply}",
            reply.len()
        );
        writer.write_all(text.as_bytes()).unwrap();
    }
}

fn reply_to(path: &str, body: &str) -> String {
    if path.starts_with("/fapi/v1/time") {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        return format!(r#"{{"serverTime":{}}}"#, now.as_millis());
    }
    if path.starts_with("/fapi/v1/exchangeInfo") {
        return r#"{"rateLimits":[],"symbols":[]}"#.to_owned();
    }
    if path.starts_with("/fapi/v1/positionSide") {
        return r#"{"dualSidePosition":false}"#.to_owned();
    }
    let id = body
        .split('&')
        .find_map(|pair| pair.strip_prefix("newClientOrderId="))
        .unwrap();
    format!(
        r#"{{"orderId":4293153,"symbol":"BTCUSDT","status":"FILLED","clientOrderId":"{id}","price":"0","avgPrice":"64000.00000","origQty":"0.009","executedQty":"0.009","cumQty":"0.009","cumQuote":"576.00000","timeInForce":"GTC","type":"MARKET","reduceOnly":true,"closePosition":false,"side":"SELL","positionSide":"BOTH","stopPrice":"0","workingType":"CONTRACT_PRICE","priceProtect":false,"origType":"MARKET","updateTime":1769301008977}}"#
    )
}

/// The simulated venue on a thread and a runtime of its own, as far from the client as one process allows.
fn on_its_own_thread() -> String {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let config = SimConfig::default()
                .strict()
                .unlimited()
                .position("BTCUSDT", Decimal::from(100_000));
            let sim = Sim::start(config).await.unwrap();
            send.send(sim.url()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receive.recv().unwrap()
}
