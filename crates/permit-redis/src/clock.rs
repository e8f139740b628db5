//! What time it is on the server, as far as its answers show.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Bounds for "server time minus our time", learnt from replies.
///
/// A reply that carries the server's time was written between our sending and our receiving, so
/// each one gives a lower and an upper bound. Bounds of several replies are intersected; where
/// they contradict each other a clock was set or has drifted, and the newest reply counts alone.
#[derive(Debug)]
pub(crate) struct ServerClock {
    base: Instant,
    bounds: Mutex<Option<Bounds>>,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    low: i64,
    high: i64,
}

impl ServerClock {
    pub(crate) fn new(base: Instant) -> Self {
        Self {
            base,
            bounds: Mutex::new(None),
        }
    }

    /// A reply to what was sent then, received then, says that it is `server` microseconds past
    /// the epoch.
    pub(crate) fn learn(&self, sent: Instant, received: Instant, server: i64) {
        let new = Bounds {
            low: server.saturating_sub(self.ours(received)),
            high: server.saturating_sub(self.ours(sent)),
        };
        let mut bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        *bounds = Some(match *bounds {
            Some(old) if old.low <= new.high && new.low <= old.high => Bounds {
                low: old.low.max(new.low),
                high: old.high.min(new.high),
            },
            _ => new,
        });
    }

    /// The earliest moment, in the server's microseconds, that can be meant by our `at`: in doubt
    /// a deadline is over. `None` before the first reply.
    pub(crate) fn deadline(&self, at: Instant) -> Option<i64> {
        let bounds = *self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        Some(self.ours(at).saturating_add(bounds?.low))
    }

    /// Another server may answer from now on.
    pub(crate) fn forget(&self) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn ours(&self, at: Instant) -> i64 {
        let micros = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        match at.checked_duration_since(self.base) {
            Some(after) => micros(after),
            None => -micros(self.base.saturating_duration_since(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SERVER: i64 = 1_769_301_008_000_000;

    fn ms(base: Instant, ms: u64) -> Instant {
        base + Duration::from_millis(ms)
    }

    #[test]
    fn a_deadline_is_never_later_on_the_server_than_it_is_here() {
        let base = Instant::now();
        let clock = ServerClock::new(base);
        assert_eq!(clock.deadline(ms(base, 50)), None);
        // Truth: the server is at SERVER when we are at 0. The reply took 10 ms, written at 4.
        clock.learn(base, ms(base, 10), SERVER + 4_000);
        assert_eq!(clock.deadline(ms(base, 50)), Some(SERVER + 44_000));
        // A quicker reply narrows it, a slower one changes nothing.
        clock.learn(ms(base, 20), ms(base, 21), SERVER + 20_500);
        assert_eq!(clock.deadline(ms(base, 50)), Some(SERVER + 49_500));
        clock.learn(ms(base, 30), ms(base, 90), SERVER + 31_000);
        assert_eq!(clock.deadline(ms(base, 50)), Some(SERVER + 49_500));
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        let base = Instant::now();
        let clock = ServerClock::new(base);
        clock.learn(base, ms(base, 1), SERVER);
        clock.learn(ms(base, 2), ms(base, 3), SERVER - 5_000_000);
        assert_eq!(clock.deadline(ms(base, 3)), Some(SERVER - 5_000_000));
        clock.forget();
        assert_eq!(clock.deadline(base), None);
    }

    #[test]
    fn a_moment_before_we_started_is_a_moment_too() {
        let base = Instant::now();
        let clock = ServerClock::new(ms(base, 1_000));
        clock.learn(ms(base, 1_000), ms(base, 1_000), SERVER);
        assert_eq!(clock.deadline(base), Some(SERVER - 1_000_000));
    }
}
