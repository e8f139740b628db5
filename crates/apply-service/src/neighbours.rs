//! What is known of the programs around this one: how reviewers read plans, and who else writes results. Looked at beside
//! the plans, every few seconds.

use apply_core::PortError;
use apply_redis::{ForeignResults, RedisBoard, Reviewer};
use apply_wire::{key, metric::help};
use permit_gate::{
    PermitSet,
    foreign::{MAX_FOREIGN, escaped},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use serde::Serialize;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The reviewers that read the stream of plans by a group of their permit's name.
pub const WITH_A_GROUP: [&str; 2] = [key::GOVERNOR, key::P33];

/// Those of them whose permit is required.
pub fn watched(permits: &PermitSet) -> Vec<&'static str> {
    let groups = WITH_A_GROUP.into_iter();
    groups
        .filter(|name| permits.position(name).is_some())
        .collect()
}

/// What was seen of the neighbours last. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Neighbours(Arc<Mutex<Seen>>);

#[derive(Debug, Clone, Default)]
struct Seen {
    /// `None` before the first look.
    reviewers: Option<Result<Vec<Reviewer>, String>>,
    foreign: Vec<ForeignResults>,
}

/// A reviewer as the page's data has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewerView {
    name: String,
    /// Whether it has a group on the stream of plans; the rest is absent where it has none.
    has_group: bool,
    consumers: Option<u64>,
    idle_ms: Option<u64>,
    pending: Option<u64>,
    lag: Option<u64>,
}

/// Another program on the stream of results, as the page's data has it. Nothing of it counts as this service's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForeignView {
    source: String,
    entries: u64,
    plan: String,
    symbol: String,
    executed: String,
    error: String,
}

impl ReviewerView {
    fn of(reviewer: &Reviewer) -> Self {
        let reading = reviewer.reading;
        Self {
            name: reviewer.name.clone(),
            has_group: reading.is_some(),
            consumers: reading.map(|reading| reading.consumers),
            idle_ms: reading
                .and_then(|reading| reading.idle)
                .and_then(|idle| u64::try_from(idle.as_millis()).ok()),
            pending: reading.map(|reading| reading.pending),
            lag: reading.map(|reading| reading.lag),
        }
    }
}

impl ForeignView {
    fn of(foreign: &ForeignResults) -> Self {
        let error = match foreign.error.is_empty() {
            true => &foreign.details,
            false => &foreign.error,
        };
        Self {
            source: escaped(&foreign.source, MAX_FOREIGN),
            entries: foreign.entries,
            plan: escaped(&foreign.plan, MAX_FOREIGN),
            symbol: escaped(&foreign.symbol, MAX_FOREIGN),
            executed: escaped(&foreign.executed, MAX_FOREIGN),
            error: escaped(error, MAX_FOREIGN),
        }
    }
}

/// One phrase, with its newest entry.
impl fmt::Display for ForeignView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            entries,
            plan,
            symbol,
            executed,
            error,
        } = self;
        write!(
            f,
            "{entries} by {source}, last {plan} {symbol} executed={executed}"
        )?;
        match error.is_empty() {
            true => Ok(()),
            false => write!(f, " {error}"),
        }
    }
}

impl Neighbours {
    /// Looks every few seconds until `stop`.
    pub(crate) async fn watch(
        self,
        board: RedisBoard,
        reviewers: Vec<&'static str>,
        stop: CancellationToken,
    ) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let look = timeout(PATIENCE, async {
                let asked = board.reviewers(&reviewers).await;
                (asked, board.foreign_results().await)
            });
            let Some(look) = stop.run_until_cancelled(look).await else {
                return;
            };
            let silent = || PortError(format!("no answer for {} s", PATIENCE.as_secs()));
            let (asked, foreign) = look.unwrap_or_else(|_| (Err(silent()), Err(silent())));
            match &asked {
                Err(error) if !failing => warn!("{error}; whether they read plans is not known"),
                Err(error) => debug!("{error}"),
                Ok(_) => {}
            }
            failing = asked.is_err();
            let mut seen = self.lock();
            seen.reviewers = Some(asked.map_err(|error| error.0));
            // What was seen before stands until something else is known.
            if let Ok(foreign) = foreign {
                seen.foreign = foreign;
            }
        }
    }

    /// The reviewers, or why they are not known; `None` before the first look.
    pub(crate) fn reviewers(&self) -> Option<Result<Vec<Reviewer>, String>> {
        self.lock().reviewers.clone()
    }

    pub(crate) fn views(&self) -> (Vec<ReviewerView>, Vec<ForeignView>) {
        let seen = self.lock();
        let reviewers = seen.reviewers.iter().flatten().flatten();
        (
            reviewers.map(ReviewerView::of).collect(),
            seen.foreign.iter().map(ForeignView::of).collect(),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How reviewers read plans, for Prometheus. A reviewer without a group, or of which nothing is known, has no series.
#[derive(Debug)]
pub(crate) struct ReviewerGauges(pub(crate) Neighbours);

impl Collector for ReviewerGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = match self.0.reviewers() {
            Some(Ok(reviewers)) => reviewers,
            Some(Err(_)) | None => Vec::new(),
        };
        let read = known.iter().filter_map(|reviewer| {
            let reading = reviewer.reading?;
            Some((reviewer.name.as_str(), reading))
        });
        let read: Vec<_> = read.collect();
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        type Value = fn(&apply_redis::Reviewing) -> Option<u64>;
        let gauges: [(&str, Value); 4] = [
            ("reviewer_consumers", |of| Some(of.consumers)),
            ("reviewer_idle_milliseconds", |of| {
                u64::try_from(of.idle?.as_millis()).ok()
            }),
            ("reviewer_pending", |of| Some(of.pending)),
            ("reviewer_lag", |of| Some(of.lag)),
        ];
        for (name, value) in gauges {
            let mut gauge = encoder.encode_descriptor(name, help(name), None, MetricType::Gauge)?;
            for (reviewer, reading) in &read {
                let Some(value) = value(reading) else {
                    continue;
                };
                let labels = [("reviewer", *reviewer)];
                ConstGauge::new(count(value)).encode(gauge.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
