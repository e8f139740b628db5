//! The one file that reads a clock, and only with the feature `tokio`.

use crate::drive::Timer;
use std::{
    future::Future,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Tokio's clock and the system's wall clock, with the feature `tokio`. In a test with tokio's clock
/// paused a wait takes no time, and permits are judged by the real wall clock.
///
/// Its futures have to be polled within a tokio runtime whose time is enabled.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioTimer;

impl Timer for TokioTimer {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        tokio::time::sleep_until(at.into())
    }

    fn since_1970(&self) -> Option<Duration> {
        // A clock before 1970 is no clock.
        SystemTime::now().duration_since(UNIX_EPOCH).ok()
    }
}
