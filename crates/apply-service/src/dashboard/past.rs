//! Brings the past into the page, once the service is ready and off the path of orders, and writes down the waits of
//! this process for the pages of others and of later starts.

use super::{
    state::{DashboardState, FinishedWait, json},
    trends::BACK,
    view::{WaitView, in_words, now},
};
use crate::history::{Fields, History, Query, Unread};
use apply_redis::RedisPlanStore;
use apply_wire::field;
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Between two looks at the end of the stream.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After a look that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Waits that may be over and not written down; those beyond are lost to later starts.
const UNWRITTEN: usize = 256;

/// How long one of them may take to be written down.
const WRITE: Duration = Duration::from_secs(2);

/// Brings the past into the page, and follows the ends of the streams of results and waits until `stop`. A history that
/// cannot be read is reported, and asked for again; what this process sees itself goes on beside.
pub async fn keep_past(history: History, live: DashboardState, stop: CancellationToken) {
    let day = now().saturating_sub(BACK).to_string();
    let mut places = Places {
        results: day.clone(),
        waits: day,
    };
    let mut filled = false;
    let keep = async {
        loop {
            match look(&history, &live, &mut places, &mut filled).await {
                Ok(true) => {}
                Ok(false) => sleep(LOOK_EVERY).await,
                Err(why) => {
                    live.past_is(Some(in_words(&why.to_string())));
                    sleep(RETRY).await;
                }
            }
        }
    };
    stop.run_until_cancelled(keep).await;
}

/// Where the next look at each stream goes on.
struct Places {
    results: String,
    waits: String,
}

/// One look; whether there may be more to see at once.
async fn look(
    history: &History,
    live: &DashboardState,
    places: &mut Places,
    filled: &mut bool,
) -> Result<bool, Unread> {
    let (results, last_result) = history.results_after(&places.results).await?;
    live.count_results(results.iter().filter(|(_, fields)| fields.is_result()));
    let (waits, last_wait) = history.waits_after(&places.waits).await?;
    live.count_waits(waits_of_others(&waits, &live.health().instance).iter());
    let more = last_result.is_some() || last_wait.is_some();
    places.results = last_result.unwrap_or_else(|| std::mem::take(&mut places.results));
    places.waits = last_wait.unwrap_or_else(|| std::mem::take(&mut places.waits));
    if !more && !*filled {
        live.fill(history.page(&Query::default()).await?.plans);
        live.past_is(None);
        *filled = true;
    }
    Ok(more)
}

/// Those that this process did not see itself.
fn waits_of_others(waits: &[(u64, Fields)], this: &str) -> Vec<WaitView> {
    let others = waits
        .iter()
        .filter(|(_, fields)| fields.text(field::INSTANCE) != this);
    others
        .filter_map(|(_, fields)| WaitView::of_stream(&fields.text(field::WAIT)))
        .collect()
}

/// Writes down the waits of this process as they end, until `stop`; then those that are left. One that cannot be written
/// down is lost to later starts and to other instances, and nothing else.
pub async fn keep_waits(plan_store: RedisPlanStore, live: DashboardState, stop: CancellationToken) {
    let (finished, mut waits) = mpsc::channel(UNWRITTEN);
    live.send_waits_to(finished);
    let instance = live.health().instance;
    while let Some(Some(wait)) = stop.run_until_cancelled(waits.recv()).await {
        write(&plan_store, &instance, wait).await;
    }
    let rest = async {
        while let Ok(wait) = waits.try_recv() {
            write(&plan_store, &instance, wait).await;
        }
    };
    let _ = timeout(WRITE, rest).await;
}

async fn write(
    plan_store: &RedisPlanStore,
    instance: &str,
    FinishedWait { plan, wait }: FinishedWait,
) {
    let wait = json(&wait);
    match timeout(WRITE, plan_store.record_wait(&plan, instance, &wait)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("{error}"),
        Err(_) => debug!("plan={plan} its wait could not be written down in time"),
    }
}
