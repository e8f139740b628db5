//! Brings the past into the page, once the service is ready and off the path of orders.

use super::{
    state::DashboardState,
    trends::BACK,
    view::{in_words, now},
};
use crate::history::{History, Query};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks at the end of the stream.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After a look that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Brings the past into the page, and follows the end of the stream of results until `stop`. A history that cannot be
/// read is told, and asked for again; what this process sees itself goes on beside.
pub async fn keep_past(history: History, live: DashboardState, stop: CancellationToken) {
    let day = now().saturating_sub(BACK);
    let (mut place, mut filled) = (day.to_string(), false);
    let keep = async {
        loop {
            let read = history.results_after(&place).await;
            let (results, last) = match read {
                Ok(read) => read,
                Err(why) => {
                    live.past_is(Some(in_words(&why.to_string())));
                    sleep(RETRY).await;
                    continue;
                }
            };
            live.count_results(results.iter().filter(|(_, fields)| fields.is_result()));
            match last {
                Some(last) => place = last,
                None if filled => sleep(LOOK_EVERY).await,
                None => match history.page(&Query::default()).await {
                    Ok(past) => {
                        live.fill(past.plans);
                        live.past_is(None);
                        filled = true;
                    }
                    Err(why) => {
                        live.past_is(Some(in_words(&why.to_string())));
                        sleep(RETRY).await;
                    }
                },
            }
        }
    };
    stop.run_until_cancelled(keep).await;
}
