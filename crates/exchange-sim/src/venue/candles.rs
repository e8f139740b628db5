//! Candles: what the mark price did while the venue ran, and a made-up past before that, the same for the same moment.

use super::view::fixed;
use crate::symbol::SymbolSpec;
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// Milliseconds of a minute.
pub(super) const MINUTE: i64 = 60_000;
/// What a minute saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minute {
    pub(super) open: Decimal,
    pub(super) high: Decimal,
    pub(super) low: Decimal,
    pub(super) close: Decimal,
}

impl Minute {
    pub(super) fn at(price: Decimal) -> Self {
        Self {
            open: price,
            high: price,
            low: price,
            close: price,
        }
    }

    pub(super) fn take_in(&mut self, price: Decimal) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
    }
}

/// How long a candle lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interval {
    Fixed(i64),
    Week,
    Month,
}

impl Interval {
    pub(super) const DAY: Self = Self::Fixed(1440 * MINUTE);

    pub(super) fn parse(word: &str) -> Option<Self> {
        let minutes = match word {
            "1m" => 1,
            "3m" => 3,
            "5m" => 5,
            "15m" => 15,
            "30m" => 30,
            "1h" => 60,
            "2h" => 120,
            "4h" => 240,
            "6h" => 360,
            "8h" => 480,
            "12h" => 720,
            "1d" => 1440,
            "3d" => 4320,
            "1w" => return Some(Self::Week),
            "1M" => return Some(Self::Month),
            _ => return None,
        };
        Some(Self::Fixed(minutes * MINUTE))
    }

    /// Its length; of a month, thirty days.
    pub(super) fn millis(self) -> i64 {
        match self {
            Self::Fixed(millis) => millis,
            Self::Week => 7 * 1440 * MINUTE,
            Self::Month => 30 * 1440 * MINUTE,
        }
    }

    /// When the candle that covers `time` began. Weeks begin on Mondays; months are thirty days long here.
    pub(super) fn start_of(self, time: i64) -> i64 {
        // The first Monday after 1970-01-01, which was a Thursday.
        let origin = if self == Self::Week {
            4 * 1440 * MINUTE
        } else {
            0
        };
        time - (time - origin).rem_euclid(self.millis())
    }

    /// The first candle that begins at `time` or later.
    pub(super) fn first_from(self, time: i64) -> i64 {
        let start = self.start_of(time);
        if start == time {
            start
        } else {
            self.next(start)
        }
    }

    pub(super) fn next(self, start: i64) -> i64 {
        start.saturating_add(self.millis())
    }

    pub(super) fn back(self, start: i64, count: i64) -> i64 {
        start.saturating_sub(self.millis().saturating_mul(count))
    }
}

/// One candle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candle {
    pub(super) open: Decimal,
    pub(super) high: Decimal,
    pub(super) low: Decimal,
    pub(super) close: Decimal,
    pub(super) volume: Decimal,
}

impl Candle {
    pub(super) fn quote(&self) -> Decimal {
        (self.volume * self.close).round_dp(8)
    }

    /// As the venue lists it. Candles of the mark or index price have no volume.
    pub(super) fn row(
        &self,
        spec: &SymbolSpec,
        start: i64,
        interval: Interval,
        traded: bool,
    ) -> Value {
        let price = |value: Decimal| fixed(value, spec.price_precision);
        let figure = |value: Decimal, places: u32| {
            if traded {
                fixed(value, places)
            } else {
                "0".to_owned()
            }
        };
        let half = self.volume / Decimal::TWO;
        json!([
            start,
            price(self.open),
            price(self.high),
            price(self.low),
            price(self.close),
            figure(self.volume, spec.quantity_precision),
            interval.next(start) - 1,
            figure(self.quote(), 5),
            interval.millis() / 1000,
            figure(half, spec.quantity_precision),
            figure((half * self.close).round_dp(8), 5),
            "0"
        ])
    }
}

/// The same number for the same symbol and moment (FNV-1a, then xorshift).
pub(super) fn noise(symbol: &str, at: i64) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in symbol.bytes().chain(at.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::venue::market::Market;

    const NOW: i64 = 1_700_000_040_000;

    #[test]
    fn candles_join_and_the_last_one_ends_at_the_mark_price() {
        let mut market = Market::new(SymbolSpec::btcusdt(), NOW - 5 * MINUTE);
        market.move_to(Decimal::from(65_000), NOW - 2 * MINUTE);
        market.move_to(Decimal::from(64_500), NOW);
        let minute = Interval::parse("1m").unwrap();
        let mut at = minute.start_of(NOW - 60 * MINUTE);
        while at < NOW - MINUTE {
            let (this, next) = (
                market.candle(at, minute, NOW),
                market.candle(minute.next(at), minute, NOW),
            );
            assert_eq!(this.close, next.open, "{at}");
            assert!(this.low <= this.open && this.high >= this.close && this.low > Decimal::ZERO);
            at = minute.next(at);
        }
        let last = market.candle(minute.start_of(NOW), minute, NOW);
        assert_eq!(last.close, Decimal::from(64_500));
        let hour = market.candle(
            Interval::parse("1h").unwrap().start_of(NOW),
            Interval::parse("1h").unwrap(),
            NOW,
        );
        assert_eq!(hour.high, Decimal::from(65_000));
    }

    #[test]
    fn a_week_begins_on_a_monday() {
        // 2023-11-14 was a Tuesday; 2023-11-13 00:00 UTC is its Monday.
        assert_eq!(Interval::Week.start_of(NOW), 1_699_833_600_000);
    }
}
