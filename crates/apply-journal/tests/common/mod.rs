//! What the journal's tests share.
#![allow(dead_code)] // each test file uses its own part of this

use apply_core::{ApplyResult, ClaimNote, Decision, Entry, Intent, OrderKind, OrderTrace, Side};
use apply_journal::{JournalSettings, OpenError, RedbJournal};
use permit_gate::PlanId;
use redb::TableDefinition;
use rust_decimal::Decimal;
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A state directory of one's own, gone with this value.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("apply-journal-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("journal.redb")
    }

    pub(crate) fn open(&self) -> Result<RedbJournal, OpenError> {
        RedbJournal::open(
            &self.0,
            JournalSettings::for_claims_of(Duration::from_secs(21_600)),
        )
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn plan(n: u64) -> PlanId {
    format!("{n:016x}").parse().unwrap()
}

pub(crate) fn claim(n: u64) -> ClaimNote {
    ClaimNote {
        plan: plan(n),
        symbol: "BTCUSDT".parse().unwrap(),
        step: "CLOSE_PARTIAL_75".into(),
        order: OrderKind::Close,
        attempt: "host.7".parse().unwrap(),
        at: 1_769_301_008,
        rehearsed: false,
    }
}

pub(crate) fn intent(n: u64) -> Intent {
    Intent {
        plan: plan(n),
        symbol: "BTCUSDT".parse().unwrap(),
        step: "CLOSE_PARTIAL_75".into(),
        order: OrderKind::Close,
        attempt: "host.7".parse().unwrap(),
        trace: OrderTrace {
            side: Side::Sell,
            position_side: "BOTH".into(),
            position_before: Some(Decimal::new(124, 4)),
            at_most: None,
            signed_from: 1_769_301_008_000,
            signed_until: 1_769_301_010_250,
            receive_window: Duration::from_millis(1500),
        },
        at: 1_769_301_008,
    }
}

pub(crate) fn result(n: u64, error: &str) -> ApplyResult {
    let symbol = "BTCUSDT".parse().unwrap();
    let error = Some(error.into());
    ApplyResult {
        is_final: true,
        ..ApplyResult::nothing_happened(&plan(n), &symbol, Decision::Error, error, 1_769_301_009)
    }
}

pub(crate) const FORMER_ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");

/// As versions before 29 November 2026 wrote it: each entry whole, by its plan.
pub(crate) fn write_in_the_former_format(path: &Path, name: &str, entries: &[Entry]) {
    let number = |entry: &Entry| u64::from_str_radix(entry.plan.as_str(), 16).unwrap();
    let open = entries.iter().filter(|entry| entry.published_at.is_none());
    let unfinished: Vec<u64> = open.map(number).collect();
    let ended = entries
        .iter()
        .filter_map(|entry| Some((entry.published_at?, number(entry))));
    let finished: Vec<(u64, u64)> = ended.collect();
    write_former_tables(path, name, entries, (&unfinished, &finished));
}

/// The same with lists of one's own: the numbers of the plans without an end, and when which of the others ended.
pub(crate) fn write_former_tables(
    path: &Path,
    name: &str,
    entries: &[Entry],
    (unfinished, finished): (&[u64], &[(u64, u64)]),
) {
    const UNFINISHED: TableDefinition<'_, &str, ()> = TableDefinition::new("unfinished");
    const FINISHED: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("finished");
    const FACTS: TableDefinition<'_, &str, &str> = TableDefinition::new("facts");
    let database = redb::Database::create(path).unwrap();
    let change = database.begin_write().unwrap();
    {
        let mut facts = change.open_table(FACTS).unwrap();
        let switch = r#"{"on":true,"generation":"g-1"}"#;
        for (fact, value) in [("format", "1"), ("name", name), ("switch", switch)] {
            facts.insert(fact, value).unwrap();
        }
        let mut table = change.open_table(FORMER_ENTRIES).unwrap();
        for entry in entries {
            let text = serde_json::to_vec(entry).unwrap();
            table.insert(entry.plan.as_str(), &text[..]).unwrap();
        }
        let mut open = change.open_table(UNFINISHED).unwrap();
        for number in unfinished {
            open.insert(plan(*number).as_str(), ()).unwrap();
        }
        let mut ended = change.open_table(FINISHED).unwrap();
        for (at, number) in finished {
            ended.insert((*at, plan(*number).as_str()), ()).unwrap();
        }
    }
    change.commit().unwrap();
}
