//! Permits that come after their plan was blocked for want of them: how late each was, which says how long permits should
//! be waited for. A late permit is looked for and never read or taken.

use crate::metrics::Metrics;
use apply_core::{Event, Observer, Symbol};
use apply_redis::{LatePermit, RedisPlanStore};
use permit_gate::{BlockReason, PlanId};
use permit_redis::PermitKeys;
use std::time::{Duration, Instant};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// How long a permit is listened for after its plan was blocked.
pub(crate) const LISTEN: Duration = Duration::from_secs(30);

/// How many plans are listened for at once; those beyond are not.
const MOST: usize = 64;

/// Between two looks: a twentieth of the time that has passed, so that what is reported is right within a twentieth.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Hears which plans were blocked for want of permits. Never waits: where too many are listened for, it lets one go.
pub(crate) struct LateObserver {
    keys: PermitKeys,
    /// How long permits are waited for.
    wait: Duration,
    missed: Sender<Missed>,
}

/// What is listened for.
struct Missed {
    plan: PlanId,
    symbol: Symbol,
    /// The missing permits by their names, with their keys.
    permits: Vec<(String, String)>,
    waited: Duration,
    since: Instant,
}

/// The two ends of it.
pub(crate) fn channel(keys: PermitKeys, wait: Duration) -> (LateObserver, LateListener) {
    let (missed, receiver) = mpsc::channel(MOST);
    (LateObserver { keys, wait, missed }, LateListener(receiver))
}

impl Observer for LateObserver {
    fn observe(&self, event: &Event<'_>) {
        let Event::Blocked { plan, block, .. } = event else {
            return;
        };
        let BlockReason::Missing { permits, .. } = block.reason() else {
            return;
        };
        let set = self.keys.permits().iter().zip(self.keys.keys(&plan.id));
        let missing = set.enumerate();
        let missing = missing.filter(|(index, _)| permits.contains(*index));
        let missed = Missed {
            plan: plan.id.clone(),
            symbol: plan.symbol().clone(),
            permits: missing
                .map(|(_, (permit, key))| (permit.name().to_owned(), key))
                .collect(),
            // The gate waits for what was left of the time since the plan was published.
            waited: block.waited().max(self.wait),
            since: Instant::now(),
        };
        // No room: this one is not listened for.
        let _ = self.missed.try_send(missed);
    }
}

/// Listens for what the observer hears of.
pub(crate) struct LateListener(Receiver<Missed>);

impl LateListener {
    /// Until `stop`.
    pub(crate) async fn run(
        mut self,
        plan_store: RedisPlanStore,
        metrics: Metrics,
        stop: CancellationToken,
    ) {
        let mut under_way = JoinSet::new();
        loop {
            let missed = tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = under_way.join_next() => continue,
                missed = self.0.recv(), if under_way.len() < MOST => missed,
            };
            let Some(missed) = missed else {
                return;
            };
            under_way.spawn(listen(missed, plan_store.clone(), metrics.clone()));
        }
    }
}

async fn listen(mut missed: Missed, plan_store: RedisPlanStore, metrics: Metrics) {
    loop {
        let passed = missed.since.elapsed();
        if passed > LISTEN {
            break;
        }
        let keys: Vec<&str> = missed.permits.iter().map(|(_, key)| &**key).collect();
        let there = match plan_store.are_there(&keys).await {
            Ok(there) => there,
            Err(error) => {
                debug!("{error}");
                vec![false; keys.len()]
            }
        };
        let late_by = missed.since.elapsed();
        let mut there = there.into_iter();
        let mut left = Vec::new();
        for (name, key) in std::mem::take(&mut missed.permits) {
            match there.next() {
                Some(true) => came(&missed, &name, late_by, &plan_store, &metrics).await,
                Some(false) | None => left.push((name, key)),
            }
        }
        if left.is_empty() {
            return;
        }
        missed.permits = left;
        sleep((passed / 20).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
    }
    for (name, _) in &missed.permits {
        metrics.permit_never_came(name);
    }
}

async fn came(
    missed: &Missed,
    name: &str,
    by: Duration,
    plan_store: &RedisPlanStore,
    metrics: &Metrics,
) {
    let (plan, symbol) = (&missed.plan, &missed.symbol);
    let waited = missed.waited;
    info!(
        "[PERMIT_WAIT] LATE plan={plan} permit={name} late_by_ms={} symbol={symbol} waited_ms={}",
        by.as_millis(),
        waited.as_millis()
    );
    metrics.permit_came_late(name, by);
    let late = LatePermit {
        plan,
        symbol: symbol.as_str(),
        permit: name,
        late_by: by,
        waited,
    };
    if let Err(error) = plan_store.record_late(&late).await {
        debug!("{error}");
    }
}
