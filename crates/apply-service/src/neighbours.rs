//! What is known of the programs around this one: how reviewers read plans, and who else writes results. Looked at beside
//! the plans, every few seconds.

use apply_core::PortError;
use apply_redis::{ForeignResults, NeighboursSwitch, RedisPlanStore, Reviewer};
use apply_wire::key;
use permit_gate::{
    PermitSet,
    foreign::{MAX_FOREIGN, escaped},
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
    /// `None` before the first look.
    switch: Option<NeighboursSwitch>,
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
        plan_store: RedisPlanStore,
        reviewers: Vec<&'static str>,
        stop: CancellationToken,
    ) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let look = timeout(PATIENCE, async {
                let asked = plan_store.reviewers(&reviewers).await;
                let foreign = plan_store.foreign_results().await;
                (asked, foreign, plan_store.neighbours_switch().await)
            });
            let Some(look) = stop.run_until_cancelled(look).await else {
                return;
            };
            let silent = || PortError(format!("no answer for {} s", PATIENCE.as_secs()));
            let (asked, foreign, switch) = look.unwrap_or_else(|_| {
                let switch = NeighboursSwitch::Unknown(silent().0);
                (Err(silent()), Err(silent()), switch)
            });
            match &asked {
                Err(error) if !failing => warn!("{error}; whether they read plans is not known"),
                Err(error) => debug!("{error}"),
                Ok(_) => {}
            }
            failing = asked.is_err();
            let mut seen = self.lock();
            seen.reviewers = Some(asked.map_err(|error| error.0));
            seen.switch = Some(switch);
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

    /// What there is to say of the neighbours' own switch; none where it is off, or before the first look.
    pub(crate) fn switch(&self) -> Option<String> {
        self.lock().switch.as_ref()?.describe()
    }

    /// Who else writes results.
    pub(crate) fn foreign(&self) -> Vec<ForeignView> {
        self.lock().foreign.iter().map(ForeignView::of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
