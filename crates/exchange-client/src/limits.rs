//! How much room the venue's limits leave, who gets it first, and when everything has to stand still. Arithmetic only.

use crate::{
    endpoint::exchange_info::{Counted, RateLimit},
    time::VenueTime,
};
use std::time::Duration;
use tokio::time::Instant;

/// What a request is for, in the order in which room is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Places or cancels something. Counts against the order counts, not the weight.
    Order,
    /// Asks what became of an order. May use the weight up to the limit.
    Settle,
    /// Any other question. Leaves a fifth of the weight to the others.
    Read,
}

/// How much of the venue's limits is used. For metrics; counts are those of the current window on the venue's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Request weight used in this minute.
    pub weight: u32,
    /// Request weight allowed a minute.
    pub weight_limit: u32,
    /// Orders placed in these ten seconds.
    pub orders_10s: u32,
    /// Orders allowed in ten seconds.
    pub orders_10s_limit: u32,
    /// Orders placed in this minute.
    pub orders_1m: u32,
    /// Orders allowed a minute.
    pub orders_1m_limit: u32,
    /// How long the venue's stop (429 or 418) still lasts; zero while there is none.
    pub stopped_for: Duration,
}

/// What the reply headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) weight: Option<u32>,
    pub(crate) orders_10s: Option<u32>,
    pub(crate) orders_1m: Option<u32>,
}

/// A moment on both clocks: stops are kept on the monotonic one, windows turn on the venue's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) venue: VenueTime,
}

/// The longest ban the venue documents.
const LONGEST_BAN: Duration = Duration::from_secs(3 * 24 * 3600);
/// The shortest ban the venue documents, taken where it does not say how long.
const SHORTEST_BAN: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) struct Limits {
    weight: Window,
    orders_10s: Window,
    orders_1m: Window,
    stopped_until: Option<Instant>,
}

/// A count in a fixed window of the venue's clock. Requests under way count as used until their reply says better.
#[derive(Debug)]
struct Window {
    length: u64,
    limit: u32,
    number: u64,
    used: u32,
    under_way: u32,
}

impl Window {
    fn new(seconds: u64, limit: u32) -> Self {
        Self {
            length: seconds * 1000,
            limit,
            number: 0,
            used: 0,
            under_way: 0,
        }
    }

    fn turn(&mut self, now: VenueTime) {
        let number = now.as_millis() / self.length;
        // A clock that was set back must not hand out the same window twice.
        if number > self.number {
            self.number = number;
            self.used = 0;
        }
    }

    fn left(&self, now: VenueTime) -> Duration {
        Duration::from_millis(self.length - now.as_millis() % self.length)
    }

    fn has_room(&self, cost: u32, limit: u32) -> bool {
        self.used
            .saturating_add(self.under_way)
            .saturating_add(cost)
            <= limit
    }

    fn begin(&mut self, cost: u32) {
        self.under_way = self.under_way.saturating_add(cost);
    }

    fn end(&mut self, cost: u32, reported: Option<u32>) {
        self.under_way = self.under_way.saturating_sub(cost);
        // Replies overtake each other, so a smaller count than one seen in this window is an older one.
        self.used = match reported {
            Some(count) => self.used.max(count),
            None => self.used.saturating_add(cost),
        };
    }
}

impl Default for Limits {
    /// The smallest figures the venue documents, until [`adopt`](Self::adopt) brings the host's own.
    fn default() -> Self {
        Self {
            weight: Window::new(60, 2400),
            orders_10s: Window::new(10, 300),
            orders_1m: Window::new(60, 1200),
            stopped_until: None,
        }
    }
}

impl Limits {
    /// Takes over the limits a host states in its exchange information; one it does not state it does not have.
    pub(crate) fn adopt(&mut self, stated: &[RateLimit]) {
        let limit = |counted, seconds| {
            let line = stated
                .iter()
                .find(|line| line.counted == counted && line.seconds == seconds);
            line.map_or(u32::MAX, |line| line.limit)
        };
        self.weight.limit = limit(Counted::Weight, 60);
        self.orders_10s.limit = limit(Counted::Orders, 10);
        self.orders_1m.limit = limit(Counted::Orders, 60);
    }

    /// Asks for room. `Err` says how long until there may be some. What was reserved must be handed back with [`handle_reply`](Self::handle_reply).
    pub(crate) fn admit(
        &mut self,
        purpose: Purpose,
        weight: u32,
        now: Now,
    ) -> Result<(), Duration> {
        if let Some(left) = self.stop_left(now.instant) {
            return Err(left);
        }
        self.turn(now.venue);
        match purpose {
            Purpose::Order => {
                for window in [&self.orders_10s, &self.orders_1m] {
                    if !window.has_room(1, window.limit) {
                        return Err(window.left(now.venue));
                    }
                }
                self.orders_10s.begin(1);
                self.orders_1m.begin(1);
            }
            Purpose::Settle | Purpose::Read => {
                let limit = match purpose {
                    Purpose::Read => self.weight.limit - self.weight.limit / 5,
                    _ => self.weight.limit,
                };
                if !self.weight.has_room(weight, limit) {
                    return Err(self.weight.left(now.venue));
                }
                self.weight.begin(weight);
            }
        }
        Ok(())
    }

    /// Takes in the end of a request that was admitted, with the counts of its reply if one came.
    pub(crate) fn handle_reply(
        &mut self,
        purpose: Purpose,
        weight: u32,
        counts: Counts,
        now: VenueTime,
    ) {
        self.turn(now);
        let (orders, weight) = match purpose {
            Purpose::Order => (1, 0),
            Purpose::Settle | Purpose::Read => (0, weight),
        };
        self.weight.end(weight, counts.weight);
        self.orders_10s.end(orders, counts.orders_10s);
        self.orders_1m.end(orders, counts.orders_1m);
    }

    /// Takes in a 429 or 418 (or their codes): nothing is sent until the time it gives, or until the next minute where it
    /// gives none. Returns how long that is. A stop is never shortened by a later one.
    pub(crate) fn handle_stop(
        &mut self,
        status: u16,
        retry_after: Option<&str>,
        message: &str,
        now: Now,
    ) -> Duration {
        let after = retry_after
            .and_then(|text| text.trim().parse().ok())
            // 0 says nothing: to go on at once earns the next stop.
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs);
        let banned = banned_until(message)
            .map(|until| until.since(now.venue))
            .filter(|left| !left.is_zero());
        let asked_for = after.max(banned);
        let least = match status {
            418 => SHORTEST_BAN,
            _ => self.weight.left(now.venue),
        };
        let pause = asked_for.unwrap_or(least).min(LONGEST_BAN);
        let until = self
            .stopped_until
            .map_or(now.instant + pause, |until| until.max(now.instant + pause));
        self.stopped_until = Some(until);
        until.saturating_duration_since(now.instant)
    }

    pub(crate) fn usage(&mut self, now: Now) -> Usage {
        self.turn(now.venue);
        Usage {
            weight: self.weight.used,
            weight_limit: self.weight.limit,
            orders_10s: self.orders_10s.used,
            orders_10s_limit: self.orders_10s.limit,
            orders_1m: self.orders_1m.used,
            orders_1m_limit: self.orders_1m.limit,
            stopped_for: self.stop_left(now.instant).unwrap_or_default(),
        }
    }

    fn stop_left(&mut self, now: Instant) -> Option<Duration> {
        match self.stopped_until {
            Some(until) if until > now => Some(until - now),
            _ => {
                self.stopped_until = None;
                None
            }
        }
    }

    fn turn(&mut self, now: VenueTime) {
        for window in [&mut self.weight, &mut self.orders_10s, &mut self.orders_1m] {
            window.turn(now);
        }
    }
}

/// Finds the moment in `… IP banned until 1700000000000 …`.
fn banned_until(message: &str) -> Option<VenueTime> {
    let (_, tail) = message.split_once("banned until ")?;
    let digits: String = tail.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(VenueTime::from_millis)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MINUTE: u64 = 60_000;

    /// Ten seconds into a minute of the venue's clock, plus `later`.
    fn at(base: Instant, later_ms: u64) -> Now {
        Now {
            instant: base + Duration::from_millis(later_ms),
            venue: VenueTime::from_millis(1000 * MINUTE + 10_000 + later_ms),
        }
    }

    fn counts(weight: u32) -> Counts {
        Counts {
            weight: Some(weight),
            ..Counts::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reads_leave_room_for_questions_about_orders_and_orders_need_no_weight() {
        let (base, mut limits) = (Instant::now(), Limits::default());
        limits.admit(Purpose::Read, 1, at(base, 0)).unwrap();
        limits.handle_reply(Purpose::Read, 1, counts(1920), at(base, 1).venue);
        assert_eq!(
            limits.admit(Purpose::Read, 1, at(base, 2)),
            Err(Duration::from_millis(49_998))
        );
        limits.admit(Purpose::Settle, 480, at(base, 2)).unwrap();
        assert!(limits.admit(Purpose::Settle, 1, at(base, 2)).is_err());
        limits.admit(Purpose::Order, 0, at(base, 2)).unwrap();
        limits.handle_reply(Purpose::Settle, 480, counts(2400), at(base, 3).venue);
        assert!(
            limits.admit(Purpose::Read, 5, at(base, 50_000)).is_ok(),
            "the next minute is a new one"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn requests_under_way_count_before_their_replies_come() {
        let (base, mut limits) = (Instant::now(), Limits::default());
        for _ in 0..384 {
            limits.admit(Purpose::Read, 5, at(base, 0)).unwrap();
        }
        assert!(limits.admit(Purpose::Read, 5, at(base, 0)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn orders_stop_at_their_own_counts() {
        let (base, mut limits) = (Instant::now(), Limits::default());
        let full = Counts {
            orders_10s: Some(300),
            orders_1m: Some(300),
            weight: None,
        };
        limits.admit(Purpose::Order, 0, at(base, 0)).unwrap();
        limits.handle_reply(Purpose::Order, 0, full, at(base, 0).venue);
        assert_eq!(
            limits.admit(Purpose::Order, 0, at(base, 4_000)),
            Err(Duration::from_secs(6))
        );
        assert!(limits.admit(Purpose::Read, 5, at(base, 4_000)).is_ok());
        assert!(limits.admit(Purpose::Order, 0, at(base, 10_000)).is_ok());
        assert_eq!(limits.usage(at(base, 10_000)).orders_1m, 300);
        assert_eq!(limits.usage(at(base, 10_000)).orders_10s, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_lasts_as_long_as_the_venue_says_and_covers_everything() {
        let base = Instant::now();
        let ban = "Way too many requests; IP banned until 60070000. Please use the websocket";
        for (status, retry_after, message, seconds) in [
            (429, Some("7"), "", 7),
            (429, None, "", 50),
            (429, Some("soon"), "", 50),
            (418, None, "", 120),
            (418, Some("300"), "", 300),
            (418, None, ban, 60),
            (418, Some("5"), ban, 60),
            (418, Some("99999999999"), "", 3 * 24 * 3600),
        ] {
            let mut limits = Limits::default();
            let pause = limits.handle_stop(status, retry_after, message, at(base, 0));
            assert_eq!(
                pause,
                Duration::from_secs(seconds),
                "{status} {retry_after:?} {message}"
            );
            for purpose in [Purpose::Order, Purpose::Settle, Purpose::Read] {
                let just_before = at(base, seconds * 1000 - 1);
                assert_eq!(
                    limits.admit(purpose, 1, just_before),
                    Err(Duration::from_millis(1))
                );
            }
            assert!(
                limits
                    .admit(Purpose::Order, 0, at(base, seconds * 1000))
                    .is_ok()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_shorter_stop_does_not_shorten_a_longer_one() {
        let (base, mut limits) = (Instant::now(), Limits::default());
        limits.handle_stop(418, Some("100"), "", at(base, 0));
        let left = limits.handle_stop(429, Some("1"), "", at(base, 1000));
        assert_eq!(left, Duration::from_secs(99));
    }

    #[tokio::test(start_paused = true)]
    async fn the_hosts_own_figures_replace_ours() {
        let (base, mut limits) = (Instant::now(), Limits::default());
        limits.adopt(&[
            RateLimit {
                counted: Counted::Weight,
                seconds: 60,
                limit: 6000,
            },
            RateLimit {
                counted: Counted::Orders,
                seconds: 10,
                limit: 2,
            },
            RateLimit {
                counted: Counted::Orders,
                seconds: 86_400,
                limit: 1,
            },
        ]);
        assert!(limits.admit(Purpose::Read, 4800, at(base, 0)).is_ok());
        assert!(limits.admit(Purpose::Order, 0, at(base, 0)).is_ok());
        assert!(limits.admit(Purpose::Order, 0, at(base, 0)).is_ok());
        assert!(limits.admit(Purpose::Order, 0, at(base, 0)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_without_limits_is_not_limited_but_can_still_say_stop() {
        let (base, mut limits) = (Instant::now(), Limits::default());
        limits.adopt(&[]);
        for _ in 0..100_000 {
            limits.admit(Purpose::Order, 0, at(base, 0)).unwrap();
            limits.admit(Purpose::Read, 30, at(base, 0)).unwrap();
        }
        limits.handle_stop(429, Some("3"), "", at(base, 0));
        assert!(limits.admit(Purpose::Order, 0, at(base, 0)).is_err());
    }
}
