//! Request weight and order counts: always counted into the reply headers, enforced only when asked for.

use crate::{error::VenueError, http::Reply};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Limits of the venue. The figures of the test host: [`Limits::test_host`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Request weight in one minute of the server's clock.
    pub weight_per_minute: u32,
    /// Orders in ten seconds.
    pub orders_per_10s: u32,
    /// Orders in one minute.
    pub orders_per_minute: u32,
    /// How many requests may still come after a 429, within the same minute, before the address is banned (418).
    pub grace: u32,
    /// How long a ban lasts, in seconds.
    pub ban_seconds: u32,
    /// Whether 429 and 418 say how long to wait.
    pub retry_after: bool,
}

impl Limits {
    /// 6000 weight a minute, 300 orders in 10 s, 1200 orders a minute; a ban of two minutes after ten ignored 429s.
    /// (The ban's length is the shortest documented; after how many requests it comes is not documented, so ten is ours.)
    pub fn test_host() -> Self {
        Self {
            weight_per_minute: 6000,
            orders_per_10s: 300,
            orders_per_minute: 1200,
            grace: 10,
            ban_seconds: 120,
            retry_after: true,
        }
    }
}

/// What the venue states as its limits, and whether it keeps to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// The figures of the test host are stated, and nothing is enforced.
    #[default]
    Stated,
    /// These are stated and enforced.
    Enforced(Limits),
    /// None are stated, and none enforced: for a client that keeps to what is stated and is to be faster.
    Unlimited,
}

impl Keeping {
    fn enforced(self) -> Option<Limits> {
        match self {
            Self::Enforced(limits) => Some(limits),
            Self::Stated | Self::Unlimited => None,
        }
    }
}

/// A count within a fixed window of the server's clock.
#[derive(Debug)]
struct Window {
    length_ms: i64,
    started: i64,
    used: u32,
}

impl Window {
    fn of(length_ms: i64) -> Self {
        Self {
            length_ms,
            started: i64::MIN,
            used: 0,
        }
    }

    fn roll(&mut self, now: i64) {
        let start = now - now.rem_euclid(self.length_ms);
        if start != self.started {
            self.started = start;
            self.used = 0;
        }
    }

    fn add(&mut self, weight: u32) {
        self.used = self.used.saturating_add(weight);
    }

    fn seconds_left(&self, now: i64) -> u64 {
        let left = self.started + self.length_ms - now;
        u64::try_from(left).unwrap_or(0).div_ceil(1000).max(1)
    }
}

/// The orders that one account placed.
#[derive(Debug)]
struct Orders {
    in_10s: Window,
    in_1m: Window,
}

/// What was used so far: request weight of the one address, orders of each account.
#[derive(Debug)]
pub(crate) struct Usage {
    keeping: Keeping,
    weight: Window,
    orders: Vec<Orders>,
    refused: u32,
    banned_until: i64,
}

impl Usage {
    pub(crate) fn new(keeping: Keeping) -> Self {
        Self {
            keeping,
            weight: Window::of(60_000),
            orders: Vec::new(),
            refused: 0,
            banned_until: i64::MIN,
        }
    }

    /// Enforces these, or none; what is stated without enforcement stays as it was at the start.
    pub(crate) fn set_limits(&mut self, limits: Option<Limits>) {
        let idle = match self.keeping {
            Keeping::Unlimited => Keeping::Unlimited,
            Keeping::Stated | Keeping::Enforced(_) => Keeping::Stated,
        };
        *self = Self::new(limits.map_or(idle, Keeping::Enforced));
    }

    /// The limits as `exchangeInfo` states them.
    pub(crate) fn stated(&self) -> Value {
        let limits = match self.keeping {
            Keeping::Stated => Limits::test_host(),
            Keeping::Enforced(limits) => limits,
            Keeping::Unlimited => return json!([]),
        };
        json!([
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limits.weight_per_minute},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": limits.orders_per_minute},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": limits.orders_per_10s},
        ])
    }

    /// Counts a request of `weight`; refuses it where a limit is reached. `now` is server time in milliseconds.
    pub(crate) fn admit(&mut self, now: i64, weight: u32) -> Result<(), VenueError> {
        let before = self.weight.started;
        self.weight.roll(now);
        if self.weight.started != before {
            self.refused = 0;
        }
        let Some(limits) = self.keeping.enforced() else {
            self.weight.add(weight);
            return Ok(());
        };
        if now < self.banned_until {
            return Err(self.ban(now, &limits));
        }
        self.weight.add(weight);
        if self.weight.used > limits.weight_per_minute {
            let message = format!(
                "Too many requests; current limit of IP(127.0.0.1) is {} requests per minute. Please use the websocket for live updates to avoid polling the API.",
                limits.weight_per_minute
            );
            let wait = self.weight.seconds_left(now);
            return Err(self.refuse(now, &limits, -1003, message, wait));
        }
        Ok(())
    }

    /// Counts one order of an account; refuses it where a limit is reached. A refused order is not counted.
    pub(crate) fn admit_order(&mut self, account: usize, now: i64) -> Result<(), VenueError> {
        let keeping = self.keeping;
        let orders = self.orders_of(account);
        orders.in_10s.roll(now);
        orders.in_1m.roll(now);
        if let Some(limits) = keeping.enforced() {
            let short = (orders.in_10s.used, orders.in_10s.seconds_left(now));
            let long = (orders.in_1m.used, orders.in_1m.seconds_left(now));
            for ((used, wait), limit, words) in [
                (short, limits.orders_per_10s, "10 SECOND"),
                (long, limits.orders_per_minute, "1 MINUTE"),
            ] {
                if used >= limit {
                    let message = format!(
                        "Too many new orders; current limit is {limit} orders per {words}."
                    );
                    return Err(self.refuse(now, &limits, -1015, message, wait));
                }
            }
        }
        let orders = self.orders_of(account);
        orders.in_10s.add(1);
        orders.in_1m.add(1);
        Ok(())
    }

    fn orders_of(&mut self, account: usize) -> &mut Orders {
        while self.orders.len() <= account {
            self.orders.push(Orders {
                in_10s: Window::of(10_000),
                in_1m: Window::of(60_000),
            });
        }
        &mut self.orders[account]
    }

    /// Adds the usage headers; those of an account's orders only to replies of requests that place orders.
    pub(crate) fn stamp(&mut self, reply: Reply, orders_of: Option<usize>) -> Reply {
        let reply = reply.header("X-MBX-USED-WEIGHT-1M", self.weight.used.to_string());
        let Some(account) = orders_of else {
            return reply;
        };
        let orders = self.orders_of(account);
        reply
            .header("X-MBX-ORDER-COUNT-10S", orders.in_10s.used.to_string())
            .header("X-MBX-ORDER-COUNT-1M", orders.in_1m.used.to_string())
    }

    fn refuse(
        &mut self,
        now: i64,
        limits: &Limits,
        code: i32,
        message: String,
        wait: u64,
    ) -> VenueError {
        self.refused = self.refused.saturating_add(1);
        if self.refused > limits.grace {
            self.refused = 0;
            self.banned_until = now.saturating_add(i64::from(limits.ban_seconds) * 1000);
            return self.ban(now, limits);
        }
        VenueError::over_limit(429, code, message, limits.retry_after.then_some(wait))
    }

    fn ban(&self, now: i64, limits: &Limits) -> VenueError {
        let until = self.banned_until;
        let wait = u64::try_from(until - now).unwrap_or(0).div_ceil(1000);
        VenueError::over_limit(
            418,
            -1003,
            format!(
                "Way too many requests; IP(127.0.0.1) banned until {until}. Please use the websocket for live updates to avoid bans."
            ),
            limits.retry_after.then_some(wait),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MINUTE: i64 = 1_700_000_040_000;

    fn small() -> Usage {
        Usage::new(Keeping::Enforced(Limits {
            weight_per_minute: 10,
            orders_per_10s: 2,
            orders_per_minute: 3,
            grace: 1,
            ban_seconds: 120,
            retry_after: true,
        }))
    }

    #[test]
    fn weight_is_refused_until_the_next_minute_of_the_server_clock() {
        let mut usage = small();
        usage.admit(MINUTE, 10).unwrap();
        let refused = usage.admit(MINUTE + 15_000, 1).unwrap_err();
        assert_eq!((refused.status, refused.code), (429, -1003));
        assert_eq!(refused.retry_after, Some(45));
        usage.admit(MINUTE + 60_000, 10).unwrap();
    }

    #[test]
    fn going_on_after_a_429_earns_a_ban_that_outlives_the_minute() {
        let mut usage = small();
        usage.admit(MINUTE, 10).unwrap();
        assert_eq!(usage.admit(MINUTE + 1, 1).unwrap_err().status, 429);
        let banned = usage.admit(MINUTE + 2, 1).unwrap_err();
        assert_eq!(
            (banned.status, banned.code, banned.retry_after),
            (418, -1003, Some(120))
        );
        assert!(banned.message.contains(&(MINUTE + 120_002).to_string()));
        assert_eq!(usage.admit(MINUTE + 61_000, 1).unwrap_err().status, 418);
        usage.admit(MINUTE + 120_002, 1).unwrap();
    }

    #[test]
    fn orders_have_a_short_and_a_long_window() {
        let mut usage = small();
        usage.admit_order(0, MINUTE).unwrap();
        usage.admit_order(0, MINUTE).unwrap();
        let short = usage.admit_order(0, MINUTE + 4_000).unwrap_err();
        assert_eq!((short.code, short.retry_after), (-1015, Some(6)));
        usage.admit_order(0, MINUTE + 10_000).unwrap();
        let long = usage.admit_order(0, MINUTE + 20_000).unwrap_err();
        assert!(long.message.contains("1 MINUTE") || long.status == 418);
        // Another account has counts of its own.
        assert!(usage.admit_order(1, MINUTE + 20_000).is_ok());
    }
}
