//! The simulated venue in a process of its own: this program again, with another argument.

use crate::wire;
use exchange_sim::{Sim, SimConfig, SymbolSpec};
use rust_decimal::Decimal;
use std::{
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

/// Serves until standard input ends, which it does with whoever asked.
pub(crate) fn serve(symbols: usize) {
    let mut config = SimConfig::default().capacity(1_000_000);
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

    /// The order log. An order's id ends with its plan's.
    pub(crate) fn orders(&self) -> Vec<Arrived> {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        write!(
            socket,
            "GET /sim/orders HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
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
}

impl Drop for Venue {
    fn drop(&mut self) {
        // It is ours, and has nothing to keep.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
