//! What the journal's tests share.
#![allow(dead_code)] // each test file uses its own part of this

use apply_core::{ApplyResult, ClaimNote, Decision, Intent, OrderKind, OrderTrace, Side};
use apply_journal::{JournalSettings, OpenError, RedbJournal};
use permit_gate::PlanId;
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
