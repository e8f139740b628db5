//! The whole path, from a proposal in Redis to an order at the venue, measured from outside: a real
//! `redis-server`, the simulated venue and the release binary, each in a process of its own.
//! `scripts/bench path` runs it.
//!
//! Every time is taken on the machine's wall clock, which all processes share: the venue stamps an
//! order when it has read it whole, and a relay stamps a take's answer when it hands it on. Nothing is
//! learned from the service about itself but its memory and processor time, and those from the kernel.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    clippy::print_stdout,
    clippy::float_arithmetic
)]

mod cluster;
mod crowd;
mod flood;
mod floor;
mod grant;
mod growth;
mod latency;
mod monitor;
mod numbers;
mod page;
mod pairs;
mod process;
mod recovery;
mod relay;
mod statistics;
mod venue;
mod waiting;
mod wire;

use apply_tests::apply_layer;
use page::Page;
use std::{path::PathBuf, time::Duration};

/// How much of everything.
pub(crate) struct Sizes {
    /// Plans whose latencies are measured.
    pub(crate) rounds: usize,
    /// Symbols at once, smallest first.
    pub(crate) crowds: Vec<usize>,
    /// Symbols at once on a cluster.
    pub(crate) on_cluster: usize,
    /// How long each of these is measured.
    pub(crate) window: Duration,
    /// Ten times as many proposals as can be carried out.
    pub(crate) flood: flood::Size,
    /// Plans that wait at once.
    pub(crate) waiting: Vec<usize>,
    /// Starts whose time is measured.
    pub(crate) starts: usize,
    /// Intents without an outcome that a start finds, and how often.
    pub(crate) recovery: (usize, usize),
}

impl Sizes {
    fn real() -> Self {
        Self {
            rounds: 3_000,
            crowds: vec![1, 10, 100, 1_000],
            on_cluster: 1_000,
            window: Duration::from_secs(10),
            flood: flood::Size {
                symbols: 1_000,
                room: 100,
                window: Duration::from_secs(5),
            },
            waiting: vec![0, 1_000, 10_000],
            starts: 11,
            recovery: (1_000, 5),
        }
    }

    /// Shows that it works, not how fast.
    fn small() -> Self {
        Self {
            rounds: 50,
            crowds: vec![1, 10],
            on_cluster: 10,
            window: Duration::from_secs(1),
            flood: flood::Size {
                symbols: 50,
                room: 5,
                window: Duration::from_secs(1),
            },
            waiting: vec![0, 100],
            starts: 3,
            recovery: (20, 2),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(symbols) = venue::asked_for(&arguments) {
        return venue::serve(symbols);
    }
    let real = arguments.iter().any(|word| word == "--bench");
    let quick = arguments.iter().any(|word| word == "quick");
    let only: Vec<&str> = [
        "latency", "crowd", "counts", "cluster", "flood", "waiting", "start", "recovery",
    ]
    .into_iter()
    .filter(|part| arguments.iter().any(|word| word == part))
    .collect();
    let wanted = |part: &str| only.is_empty() || only.contains(&part);
    let sizes = if real && !quick {
        Sizes::real()
    } else {
        Sizes::small()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // Asking for the first time may build it.
    let other = named(&arguments, "--program").map(PathBuf::from);
    let program = other.as_deref().unwrap_or_else(|| apply_layer());
    if let Some(reference) = pairs::asked_for(&arguments) {
        let turns = pairs::Turns::new(real && !quick);
        let text = runtime.block_on(pairs::measure(program, &reference, &turns, wanted));
        return println!("{}", Page::new().text().to_owned() + &text);
    }
    let page = runtime.block_on(async {
        let mut page = Page::new();
        if wanted("latency") {
            page.latency(&latency::measure(program, sizes.rounds).await);
        }
        if wanted("crowd") {
            let mut rows = Vec::new();
            for symbols in &sizes.crowds {
                rows.push(crowd::measure(program, *symbols, sizes.window).await);
            }
            page.crowd(&rows);
        }
        if only.contains(&"counts") {
            let symbols = named(&arguments, "--symbols").map_or(100, |word| word.parse().unwrap());
            let beside = named(&arguments, "--beside");
            let found = crowd::measure_beside(program, symbols, sizes.window, beside).await;
            page.counts(&found);
        }
        if wanted("cluster") {
            page.cluster(&cluster::measure(sizes.on_cluster, sizes.window).await);
        }
        if wanted("flood") {
            page.flood(&flood::measure(sizes.flood).await);
        }
        if wanted("waiting") {
            let mut rows = Vec::new();
            for plans in &sizes.waiting {
                rows.push(waiting::measure(program, *plans).await);
            }
            page.waiting(&rows);
        }
        if wanted("start") {
            page.start(&process::starts(program, sizes.starts).await);
        }
        if wanted("recovery") {
            let (intents, rounds) = sizes.recovery;
            page.recovery(&recovery::measure(intents, rounds).await);
        }
        page
    });
    println!("{}", page.text());
    // Only a whole measurement is worth keeping.
    if real && !quick && only.is_empty() {
        page.keep();
    }
}

/// The word after `flag`.
fn named<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|word| word == flag)?;
    arguments.get(at + 1).map(String::as_str)
}
