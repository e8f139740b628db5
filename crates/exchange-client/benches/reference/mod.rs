//! What the benchmarks of the client share: a server with fixed replies, a bare POST of bytes that it has received before,
//! orders that are ready to be submitted, and percentiles.

use exchange_client::{
    Client, Credentials, ExchangeInfo, Position, PositionMode, PositionSide, PreparedOrder,
    Quantity, Settings, Symbol, SymbolRules,
};
use rust_decimal::Decimal;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) const KEY: &str = "BenchmarkKeyBenchmarkKeyBenchmarkKeyBenchmarkKeyBenchmarkKey0001";
const LOT: &str = r#""minQty":"0.001","maxQty":"100000","stepSize":"0.001""#;

/// How long the calls of one kind took.
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn new(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }

    pub(crate) fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn client(url: &str, key: &str, secret: &str) -> Client {
    let credentials = Credentials::hmac(key, secret).unwrap();
    Client::new(url.parse().unwrap(), credentials, Settings::default()).unwrap()
}

/// Prepares one closing order after the other.
pub(crate) struct BenchContext {
    pub(crate) client: Client,
    rules: Arc<SymbolRules>,
    position: Position,
    number: u64,
}

impl BenchContext {
    pub(crate) fn new(client: Client) -> Self {
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
            position: Position::new(symbol, PositionSide::Both, Decimal::from(100_000)),
            number: 0,
        }
    }

    pub(crate) fn next(&mut self) -> (PreparedOrder, Quantity) {
        self.number += 1;
        let id = order_id(self.number).parse().unwrap();
        let order = self
            .client
            .prepare_close(&self.position, PositionMode::OneWay, &self.rules, id)
            .unwrap();
        (order, self.rules.cut_quantity(Decimal::new(9, 3)).unwrap())
    }
}

pub(crate) fn order_id(number: u64) -> String {
    format!("bench-{number:010}")
}

/// A connection of its own with nothing between the bytes and the socket.
pub(crate) struct Bare {
    stream: tokio::net::TcpStream,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Bare {
    /// Posts the request that the server received last, byte for byte.
    pub(crate) async fn of_the_last_order(server: &Server) -> Self {
        let stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            request: server.order.lock().unwrap().clone(),
            reply: vec![0; 4096],
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.request.len()
    }

    pub(crate) async fn exchange(&mut self) {
        self.stream.write_all(&self.request).await.unwrap();
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
pub(crate) struct Server {
    address: SocketAddr,
    order: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let order = Arc::<Mutex<Vec<u8>>>::default();
        let last_order = Arc::clone(&order);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, last_order) = (stream.unwrap(), Arc::clone(&last_order));
                std::thread::spawn(move || answer_all(stream, &last_order));
            }
        });
        Self { address, order }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer_all(stream: TcpStream, last_order: &Mutex<Vec<u8>>) {
    stream.set_nodelay(true).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let mut request = Vec::new();
    loop {
        request.clear();
        if reader.read_until(b'\n', &mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let start = request.len();
            reader.read_until(b'\n', &mut request).unwrap();
            let line = std::str::from_utf8(&request[start..]).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let head = request.len();
        request.resize(head + length, 0);
        reader.read_exact(&mut request[head..]).unwrap();
        let reply = reply_to(&request, head, last_order);
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-MBX-USED-WEIGHT-1M: 1\r\nX-MBX-ORDER-COUNT-10S: 1\r\n\
             X-MBX-ORDER-COUNT-1M: 1\r\nContent-Length: {}\r\n\r\n{reply}",
            reply.len()
        );
        writer.write_all(text.as_bytes()).unwrap();
    }
}

fn reply_to(request: &[u8], head: usize, last_order: &Mutex<Vec<u8>>) -> String {
    let text = std::str::from_utf8(request).unwrap();
    let target = text.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/fapi/v1/time" => {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            return format!(r#"{{"serverTime":{}}}"#, now.as_millis());
        }
        "/fapi/v1/exchangeInfo" => return r#"{"rateLimits":[],"symbols":[]}"#.to_owned(),
        "/fapi/v1/positionSide/dual" => return r#"{"dualSidePosition":false}"#.to_owned(),
        _ => {}
    }
    let mut last = last_order.lock().unwrap();
    last.clear();
    last.extend_from_slice(request);
    // In the body or behind the path: the venue takes either.
    let id = [&text[head..], query]
        .iter()
        .flat_map(|form| form.split('&'))
        .find_map(|pair| pair.strip_prefix("newClientOrderId="))
        .unwrap();
    format!(
        r#"{{"orderId":4293153,"symbol":"BTCUSDT","status":"FILLED","clientOrderId":"{id}","price":"0","avgPrice":"64000.00000","origQty":"0.009","executedQty":"0.009","cumQty":"0.009","cumQuote":"576.00000","timeInForce":"GTC","type":"MARKET","reduceOnly":true,"closePosition":false,"side":"SELL","positionSide":"BOTH","stopPrice":"0","workingType":"CONTRACT_PRICE","priceProtect":false,"origType":"MARKET","updateTime":1769301008977}}"#
    )
}
