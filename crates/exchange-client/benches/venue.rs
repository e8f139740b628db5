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

mod reference;

use exchange_client::{NotSentReason, Submission};
use exchange_sim::{Sim, SimConfig};
use reference::{Bare, BenchContext, KEY, Samples, Server, client, micros};
use rust_decimal::Decimal;
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const ROUNDS: usize = 20_000;
const WARM: usize = 2_000;

fn main() {
    // `cargo test` runs benchmarks too; there they only have to work.
    let (rounds, warm) = if std::env::args().any(|arg| arg == "--bench") {
        (ROUNDS, WARM)
    } else {
        (20, 5)
    };
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        println!("{rounds} orders each, in turns, one thread for the client, one for the server; microseconds\n");
        println!("{:<44} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p99", "x bare", "+ bare");
        let mut rows = against_fixed_replies(&server, rounds, warm).await;
        rows.extend(against_the_simulated_venue(rounds.min(5_000), warm.min(50)).await);
        rows.push(preparing(rounds));
        for row in rows {
            row.print();
        }
    });
}

struct Row {
    name: String,
    samples: Samples,
    bare_p50: Option<Duration>,
}

impl Row {
    fn new(name: impl Into<String>, samples: Vec<Duration>, bare_p50: Option<Duration>) -> Self {
        Self {
            name: name.into(),
            samples: Samples::new(samples),
            bare_p50,
        }
    }

    fn print(&self) {
        let (p50, p99) = (self.samples.at(50), self.samples.at(99));
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

async fn against_fixed_replies(server: &Server, rounds: usize, warm: usize) -> Vec<Row> {
    let client = client(&server.url(), KEY, "secret");
    client.warm_up().await.unwrap();
    let mut context = BenchContext::new(client);
    let (order, quantity) = context.next();
    let _ = context.client.submit(order, quantity).await;
    let mut bare = Bare::of_the_last_order(server).await;
    let (mut ours, mut reference) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for round in 0..rounds + warm {
        let (order, quantity) = context.next();
        let started = Instant::now();
        let ending = context.client.submit(order, quantity).await;
        let submitted = started.elapsed();
        assert!(ending.accepted().is_some(), "{ending}");
        let started = Instant::now();
        bare.exchange().await;
        let posted = started.elapsed();
        if round >= warm {
            ours.push(submitted);
            reference.push(posted);
        }
    }
    let name = format!("bare POST of the same {} bytes", bare.bytes());
    let reference = Row::new(name, reference, None);
    let bare_p50 = reference.samples.at(50);
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
