//! The server's clock as seen from here. Arithmetic only: instants walk in as arguments.

use std::{fmt, time::Duration};
use tokio::time::Instant;

/// A moment on the venue's clock, in whole milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VenueTime(u64);

impl VenueTime {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// A later moment; stops at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// An earlier moment; stops at zero.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// How long from `earlier` to here; zero where it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for VenueTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// One question for the time and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
    /// The wall clock of this machine when the answer came.
    pub(crate) wall: VenueTime,
    pub(crate) server: VenueTime,
}

impl Sample {
    pub(crate) fn round_trip(&self) -> Duration {
        self.answered.saturating_duration_since(self.asked)
    }
}

/// How far ahead of the server's time a measurement may be. A timestamp that is behind is only taken for a shorter
/// while; one that is ahead is taken for longer than its receive window says, so that this is part of
/// [`LANDING_SLACK`](crate::LANDING_SLACK).
pub(crate) const AHEAD: Duration = Duration::from_millis(150);

/// How far two clocks drift apart until the time is measured again, at most.
const DRIFT: Duration = Duration::from_millis(100);

/// What the samples say: the server's time tied to a monotonic instant.
///
/// Tied to a monotonic clock and not to the wall clock, so a stepped wall clock moves the [`offset`](Self::offset) that
/// people see, never a timestamp that is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    at: Instant,
    server: VenueTime,
    pub(crate) round_trip: Duration,
    /// Server minus wall clock.
    pub(crate) offset: Offset,
}

impl Anchor {
    /// Takes the sample with the shortest round trip, whose half is the largest error it can have, and assumes that its
    /// answer was written half way, but no earlier than [`AHEAD`] before it arrived.
    pub(crate) fn from_samples(samples: &[Sample]) -> Option<Self> {
        let best = samples.iter().min_by_key(|sample| sample.round_trip())?;
        let half = (best.round_trip() / 2).min(AHEAD);
        let server_now = best.server.plus(half);
        Some(Self {
            at: best.answered,
            server: server_now,
            round_trip: best.round_trip(),
            offset: Offset::between(server_now, best.wall),
        })
    }

    pub(crate) fn server_time(&self, now: Instant) -> VenueTime {
        match now.checked_duration_since(self.at) {
            Some(later) => self.server.plus(later),
            None => self.server.minus(self.at - now),
        }
    }

    /// Whether this one says another time than an earlier one did, by more than their round trips and the drift of two
    /// clocks explain.
    pub(crate) fn jumps_from(&self, earlier: &Self, now: Instant) -> bool {
        let (new, old) = (self.server_time(now), earlier.server_time(now));
        let explained = self.round_trip / 2 + earlier.round_trip / 2 + DRIFT;
        new.since(old).max(old.since(new)) > explained
    }

    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

/// How far this machine's wall clock is from the venue's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    venue_is_ahead: bool,
    size: Duration,
}

impl Offset {
    fn between(server: VenueTime, wall: VenueTime) -> Self {
        Self {
            venue_is_ahead: server >= wall,
            size: server.since(wall).max(wall.since(server)),
        }
    }

    /// The distance, whichever way it goes.
    #[must_use]
    pub fn size(self) -> Duration {
        self.size
    }

    /// Venue minus this machine, in milliseconds: positive where this machine is behind.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        let size = i64::try_from(self.size.as_millis()).unwrap_or(i64::MAX);
        if self.venue_is_ahead { size } else { -size }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+} ms", self.as_millis())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample(base: Instant, asked: u64, answered: u64, wall: u64, server: u64) -> Sample {
        Sample {
            asked: base + Duration::from_millis(asked),
            answered: base + Duration::from_millis(answered),
            wall: VenueTime(wall),
            server: VenueTime(server),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_shortest_round_trip_wins_and_half_of_it_is_added() {
        let base = Instant::now();
        let anchor = Anchor::from_samples(&[
            sample(base, 0, 300, 1_000_300, 2_000_000),
            sample(base, 400, 420, 1_000_420, 2_000_260),
            sample(base, 500, 600, 1_000_600, 9_999_999),
        ])
        .unwrap();
        assert_eq!(anchor.round_trip, Duration::from_millis(20));
        assert_eq!(
            anchor
                .server_time(base + Duration::from_millis(420))
                .as_millis(),
            2_000_270
        );
        assert_eq!(
            anchor
                .server_time(base + Duration::from_millis(1420))
                .as_millis(),
            2_001_270
        );
        assert_eq!(anchor.server_time(base).as_millis(), 1_999_850);
        assert_eq!(anchor.offset.as_millis(), 2_000_270 - 1_000_420);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_makes_the_time_late_rather_than_early() {
        let base = Instant::now();
        let slow = sample(base, 0, 2_000, 9_000_000, 5_000_000);
        let anchor = Anchor::from_samples(&[slow]).unwrap();
        let answered = base + Duration::from_secs(2);
        assert_eq!(anchor.server_time(answered).as_millis(), 5_000_150);
        assert_eq!(anchor.round_trip, Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_round_trips_and_drift_do_not_explain_is_a_jump() {
        let base = Instant::now();
        let measured = |at: u64, took: u64, server: u64| {
            Anchor::from_samples(&[sample(base, at, at + took, 0, server)]).unwrap()
        };
        // At 0 it is 5,000 there; 10 s later it should be 15,000.
        let first = measured(0, 20, 5_010);
        for (at, took, server, jumps) in [
            (10_000, 20, 15_010, false),
            (10_000, 20, 15_120, false),
            (10_000, 20, 15_135, true),
            (10_000, 20, 14_885, true),
            (10_000, 400, 15_390, false),
        ] {
            let next = measured(at, took, server);
            let now = base + Duration::from_millis(at + took);
            assert_eq!(next.jumps_from(&first, now), jumps, "{at} {took} {server}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_runs_ahead_shows_as_a_negative_offset() {
        let base = Instant::now();
        let anchor = Anchor::from_samples(&[sample(base, 0, 0, 5_000, 4_000)]).unwrap();
        assert_eq!(anchor.offset.as_millis(), -1000);
        assert_eq!(anchor.offset.size(), Duration::from_secs(1));
        assert_eq!(anchor.offset.to_string(), "-1000 ms");
        assert!(Anchor::from_samples(&[]).is_none());
    }

    #[test]
    fn venue_time_never_wraps() {
        let end = VenueTime::from_millis(u64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(
            VenueTime::from_millis(5).minus(Duration::MAX).as_millis(),
            0
        );
        assert_eq!(VenueTime::from_millis(5).since(end), Duration::ZERO);
    }
}
