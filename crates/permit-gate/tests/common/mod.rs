//! What the gate's tests share: tokio's clock as a [`Timer`], and permits as the neighbours write them.

#![allow(dead_code)] // each test file uses its own part of this
#![allow(clippy::unwrap_used)]

use permit_gate::{Ask, AttemptId, MemoryStore, PlanId, Subject, Timer, WaitPolicy, trading};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) const GOVERNOR: &[u8] = br#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"computed_notional":0.0,"created_at":1769301008.977,"consumed":false}"#;
pub(crate) const GOVERNOR_NO: &[u8] = br#"{"granted":false,"symbol":"BTCUSDT","decision":"BLOCK","computed_qty":0.0,"created_at":1769301008.977}"#;
pub(crate) const P33: &[u8] = br#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.008,"exchange_position_amt":0.0124,"ledger_amt":0.0124,"created_at":1769301009.1,"reason":"sanity_checks_passed"}"#;
pub(crate) const P33_NO: &[u8] = br#"{"allow":false,"symbol":"BTCUSDT","reason":"reconcile_required_qty_mismatch","context":{},"created_at":1769301009.1}"#;

/// Tokio's clock, which stands still in these tests until everyone waits for it.
pub(crate) struct TokioTimer;

impl Timer for TokioTimer {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until(at.into()).await;
    }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn plan() -> PlanId {
    PlanId::new("67e6da21fa9fe506").unwrap()
}

pub(crate) fn subject() -> Subject {
    Subject::new(plan(), "BTCUSDT")
}

pub(crate) fn attempt(id: &str) -> AttemptId {
    AttemptId::new(id).unwrap()
}

pub(crate) fn ask_of(id: &str) -> Ask {
    Ask {
        subject: subject(),
        attempt: attempt(id),
        policy: WaitPolicy::default(),
    }
}

pub(crate) fn store() -> MemoryStore {
    MemoryStore::new(Arc::new(trading::permits()))
}
