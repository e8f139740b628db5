//! Waiting for what has to come.

use std::{future::Future, time::Duration};
use tokio::time::{sleep, timeout};

/// Far beyond what anything here takes, so that a busy machine decides no test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a condition that cannot be subscribed to.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// The future's value.
///
/// # Panics
/// Where it does not come; `what` says what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain until {what}"),
    }
}

/// Waits until the condition holds.
///
/// # Panics
/// Where it never does.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            sleep(BETWEEN_LOOKS).await;
        }
    })
    .await;
}
