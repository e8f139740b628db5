//! What is counted for each symbol. A row of plain numbers each, not a series of its own for every
//! label set: they are all there from the start, and of ten thousand symbols that is 130,000 series.

use apply_core::{ApplyResult, Decision, Step, Symbol};
use apply_wire::metric::help;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const DECISIONS: [Decision; 4] = [
    Decision::Execute,
    Decision::Skip,
    Decision::Blocked,
    Decision::Error,
];
const STEPS: [&str; Step::NAMES.len()] = Step::NAMES;
const STATUSES: [&str; 2] = ["success", "error"];

/// One row a symbol. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct BySymbol(Arc<Mutex<BTreeMap<Symbol, Row>>>);

/// In the order of [`DECISIONS`], [`STEPS`] and [`STATUSES`].
#[derive(Debug, Default, Clone)]
struct Row {
    plans: [u64; DECISIONS.len()],
    executes: [[u64; STATUSES.len()]; STEPS.len()],
    /// Seconds since 1970; 0 while no step has succeeded.
    last_success: u64,
}

impl BySymbol {
    /// A row for each of these, every figure 0. Others get theirs with the first event: a plan that
    /// is finished for a former process may be of a symbol that is not followed any more.
    pub(super) fn of(symbols: &[Symbol]) -> Self {
        let rows = symbols.iter().map(|s| (s.clone(), Row::default()));
        Self(Arc::new(Mutex::new(rows.collect())))
    }

    /// A plan that was decided like this.
    pub(super) fn count_plan(&self, symbol: &Symbol, decision: Decision) {
        let mut rows = self.lock();
        let row = rows.entry(symbol.clone()).or_default();
        for (known, count) in DECISIONS.into_iter().zip(&mut row.plans) {
            *count += u64::from(known == decision);
        }
    }

    /// A result that was published at `now`, in seconds since 1970.
    pub(super) fn count_result(&self, result: &ApplyResult, now: u64) {
        let mut rows = self.lock();
        let row = rows.entry(result.symbol.clone()).or_default();
        for done in &result.steps {
            for (step, counts) in STEPS.into_iter().zip(&mut row.executes) {
                for (status, count) in STATUSES.into_iter().zip(counts) {
                    *count += u64::from(done.step == step && done.status == status);
                }
            }
        }
        if result.executed {
            row.last_success = now;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Symbol, Row>> {
        // Counting cannot panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for BySymbol {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Copied: counting must not wait until ten thousand symbols are written out.
        let rows = self.lock().clone();
        let mut plans =
            encoder.encode_descriptor("plan", help("plan"), None, MetricType::Counter)?;
        for (symbol, row) in rows.iter() {
            for (decision, count) in DECISIONS.into_iter().zip(row.plans) {
                let labels = [("symbol", symbol.as_str()), ("decision", decision.as_str())];
                ConstCounter::new(count).encode(plans.encode_family(&labels)?)?;
            }
        }
        let mut executes =
            encoder.encode_descriptor("execute", help("execute"), None, MetricType::Counter)?;
        for (symbol, row) in rows.iter() {
            for (step, counts) in STEPS.into_iter().zip(row.executes) {
                for (status, count) in STATUSES.into_iter().zip(counts) {
                    let labels = [
                        ("symbol", symbol.as_str()),
                        ("step", step),
                        ("status", status),
                    ];
                    ConstCounter::new(count).encode(executes.encode_family(&labels)?)?;
                }
            }
        }
        let name = "last_success_epoch";
        let mut last = encoder.encode_descriptor(name, help(name), None, MetricType::Gauge)?;
        for (symbol, row) in rows.iter() {
            let at = i64::try_from(row.last_success).unwrap_or(i64::MAX);
            ConstGauge::new(at).encode(last.encode_family(&[("symbol", symbol.as_str())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apply_core::Share;

    #[test]
    fn every_step_that_can_be_executed_is_counted() {
        for share in Share::ALL {
            assert!(STEPS.contains(&share.step()), "{}", share.step());
        }
        assert!(STEPS.contains(&Step::MOVE_STOP));
    }
}
