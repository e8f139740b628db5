//! What the journal costs on this machine's disk: `cargo run --release -p apply-journal --example
//! figures [directory]`. The directory has to lie on the disk that is meant; `/tmp` may be memory.
#![allow(clippy::unwrap_used)]

use apply_core::{ApplyResult, Decision, Intent, Journal, OrderKind, OrderTrace, Side};
use apply_journal::{JournalSettings, RedbJournal};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

const PLANS: usize = 1_000;

#[tokio::main]
async fn main() {
    let parent = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("apply-figures-{}", std::process::id()));
    let settings = JournalSettings::for_claims_of(Duration::from_secs(21_600));
    let journal = RedbJournal::open(&directory, settings).unwrap();

    let mut each = Vec::new();
    for n in 0..PLANS {
        let started = Instant::now();
        journal.record_intent(&intent(n)).await.unwrap();
        each.push(started.elapsed());
    }
    each.sort();
    println!(
        "one intent after the other: p50 {:?}, p99 {:?}, longest {:?}",
        each[PLANS / 2],
        each[PLANS * 99 / 100],
        each[PLANS - 1]
    );

    drop(journal);
    let started = Instant::now();
    let journal = RedbJournal::open(&directory, settings).unwrap();
    let open = journal.fetch_unfinished().await.unwrap().len();
    println!(
        "opened, checked and read {open} open intents: {:?}",
        started.elapsed()
    );

    let started = Instant::now();
    let ends: Vec<_> = (0..PLANS)
        .map(|n| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let result = result(n);
                journal.record_result(&result, None).await.unwrap();
                journal.record_published(&result.plan, 1).await.unwrap();
            })
        })
        .collect();
    for end in ends {
        end.await.unwrap();
    }
    println!(
        "{PLANS} results written and noted as published, side by side: {:?}",
        started.elapsed()
    );
    drop(journal);
    std::fs::remove_dir_all(&directory).unwrap();
}

fn intent(n: usize) -> Intent {
    Intent {
        plan: format!("{n:016x}").parse().unwrap(),
        symbol: "BTCUSDT".parse().unwrap(),
        step: "CLOSE_PARTIAL_75".into(),
        order: OrderKind::Close,
        attempt: "host.7".parse().unwrap(),
        trace: OrderTrace {
            side: Side::Sell,
            position_side: "BOTH".into(),
            position_before: None,
            at_most: None,
            signed_from: 1_769_301_008_000,
            signed_until: 1_769_301_010_250,
            receive_window: Duration::from_millis(1500),
        },
        at: 1_769_301_008,
    }
}

fn result(n: usize) -> ApplyResult {
    let Intent { plan, symbol, .. } = intent(n);
    let error = Some("order_not_executed".into());
    ApplyResult {
        is_final: true,
        ..ApplyResult::nothing_happened(&plan, &symbol, Decision::Error, error, 1_769_301_009)
    }
}
