//! The simulated venue in a process of its own: this program again, with another argument.

use crate::wire;
use exchange_sim::{Limits, Sim, SimConfig, SymbolSpec};
use rust_decimal::Decimal;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdin, Command, Stdio},
};

const ASKED: &str = "--be-the-venue-of";

/// How many symbols, where the program is to be the venue.
pub(crate) fn asked_for(arguments: &[String]) -> Option<usize> {
    match arguments {
        [flag, symbols] if flag == ASKED => symbols.parse().ok(),
        _ => None,
    }
}

/// Serves until standard input ends, which it does with its parent process.
pub(crate) fn serve(symbols: usize) {
    let mut config = SimConfig::default()
        .strict()
        .unlimited()
        .capacity(1_000_000);
    for number in 0..symbols {
        let symbol = wire::symbol(number);
        config = config
            .symbol(SymbolSpec::btcusdt().named(&symbol))
            .position(symbol, Decimal::from(1_000_000));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sim = runtime.block_on(Sim::start(config)).unwrap();
    println!("{}", sim.address());
    // Requests are served on the venue's own threads and on this runtime while it waits.
    runtime.block_on(async {
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()))
            .await
            .unwrap()
            .unwrap();
    });
}

/// A venue that is up; gone with its handle.
pub(crate) struct Venue {
    child: Child,
    _input: ChildStdin,
    address: String,
}

/// One order that arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) plan: String,
    /// Nanoseconds since 1970 at which it had been read whole.
    pub(crate) at: u64,
}

impl Venue {
    pub(crate) fn start(symbols: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([ASKED, &symbols.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            child,
            _input: input,
            address: address.trim().to_owned(),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Enforces these limits from now on, counted from zero.
    pub(crate) fn limit(&self, limits: Limits) {
        let body = serde_json::to_string(&limits).unwrap();
        self.exchange("POST /sim/limits", &body);
    }

    /// The request weight that was used in this minute of the venue's clock, this question's 1 among it.
    pub(crate) fn weight(&self) -> u32 {
        let reply = self.exchange("GET /fapi/v1/time", "");
        let used = reply.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("X-MBX-USED-WEIGHT-1M")
                .then_some(value)
        });
        used.unwrap().parse().unwrap()
    }

    /// Requests by method and path, since it opened.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        let reply = self.exchange("GET /sim/requests", "");
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        let read: serde_json::Value = serde_json::from_str(body).unwrap();
        let counts = read["requests"].as_array().unwrap().iter();
        counts
            .map(|count| {
                let word = |name: &str| count[name].as_str().unwrap();
                let name = format!("{} {}", word("method"), word("path"));
                (name, count["requests"].as_u64().unwrap())
            })
            .collect()
    }

    /// The order log. An order's id ends with its plan's.
    pub(crate) fn orders(&self) -> Vec<Arrived> {
        let reply = self.exchange("GET /sim/orders", "");
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        let log: serde_json::Value = serde_json::from_str(body).unwrap();
        let orders = log.as_array().or_else(|| log["orders"].as_array());
        orders
            .unwrap()
            .iter()
            .filter_map(|order| {
                let id = order["client_order_id"].as_str()?;
                Some(Arrived {
                    plan: id.get(id.len().checked_sub(16)?..)?.to_owned(),
                    at: order["unix_ns"].as_u64()?,
                })
            })
            .collect()
    }

    /// One request on a connection of its own; the reply with its head.
    fn exchange(&self, what: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        write!(
            socket,
            "{what} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        reply
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        // It is ours, and has nothing to keep.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
