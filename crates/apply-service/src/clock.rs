//! The runtime's clock, as the core's port.

use apply_core::Clock;
use permit_gate::Timer;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// tokio's timer and the system's wall clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Timer for SystemClock {
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

impl Clock for SystemClock {
    fn unix_seconds(&self) -> u64 {
        // A clock before 1970 is no clock; the streams carry 0 then.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}
