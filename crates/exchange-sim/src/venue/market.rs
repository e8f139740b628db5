//! One symbol: its filters, its mark price, the book around it.
//!
//! There is no order book: the best bid and ask stand one tick below and above the mark price, deeper levels a tick
//! apart, and orders fill at the mark price itself. With a spread that a test sets they stand that far from the mark
//! price, and market orders fill there. Trades and candles of the past are made up, the same for the same moment.

use super::{
    book::Side,
    candles::{Candle, Interval, MINUTE, Minute, noise},
    view::fixed,
};
use crate::symbol::SymbolSpec;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Time between two fundings.
pub(super) const FUNDING_MS: i64 = 8 * 3_600_000;
/// The made-up past stays within this many ticks of the price that the symbol opened with.
const REACH: u64 = 20;
/// How many minutes of its own past a market remembers.
const REMEMBERED: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) spec: SymbolSpec,
    pub(crate) mark_price: Decimal,
    /// Distance of bid and ask from the mark price, as a share of it. Zero: one tick, and fills at the mark price.
    pub(super) spread: Decimal,
    pub(super) minutes: BTreeMap<i64, Minute>,
}

impl Market {
    pub(super) fn new(spec: SymbolSpec, now: i64) -> Self {
        let mut market = Self {
            mark_price: spec.mark_price,
            spec,
            spread: Decimal::ZERO,
            minutes: BTreeMap::new(),
        };
        market.remember(now);
        market
    }

    pub(super) fn move_to(&mut self, price: Decimal, now: i64) {
        // The price that stood until now belongs to the minute that ends with it.
        self.remember(now);
        self.mark_price = price;
        self.remember(now);
    }

    fn remember(&mut self, now: i64) {
        let minute = now - now.rem_euclid(MINUTE);
        let price = self.mark_price;
        self.minutes
            .entry(minute)
            .and_modify(|seen| seen.take_in(price))
            .or_insert_with(|| Minute::at(price));
        while self.minutes.len() > REMEMBERED {
            self.minutes.pop_first();
        }
    }

    fn on_tick(&self, price: Decimal, strategy: RoundingStrategy) -> Decimal {
        let tick = self.spec.tick;
        if tick.is_zero() {
            return price;
        }
        (price / tick).round_dp_with_strategy(0, strategy) * tick
    }

    /// The price of a level of the book, from 1 on.
    pub(super) fn level(&self, side: Side, depth: u32) -> Decimal {
        let further = self.spec.tick * Decimal::from(depth.saturating_sub(1));
        let away = (self.mark_price * self.spread).max(self.spec.tick);
        match side {
            Side::Sell => {
                self.on_tick(self.mark_price + away, RoundingStrategy::AwayFromZero) + further
            }
            Side::Buy => {
                let best = self.on_tick(self.mark_price - away, RoundingStrategy::ToZero) - further;
                best.max(self.spec.tick)
            }
        }
    }

    /// What a market order of this side pays or gets.
    pub(super) fn taker_price(&self, side: Side) -> Decimal {
        if self.spread.is_zero() {
            return self.mark_price;
        }
        match side {
            Side::Buy => self.level(Side::Sell, 1),
            Side::Sell => self.level(Side::Buy, 1),
        }
    }

    /// Whether the best price that a market order of this side would meet lies within PERCENT_PRICE.
    pub(super) fn counterparty_is_near(&self, side: Side) -> bool {
        let price = self.taker_price(side);
        let (up, down) = self.spec.price_band(self.mark_price);
        match side {
            Side::Buy => price <= up,
            Side::Sell => price >= down,
        }
    }

    pub(super) fn price(&self, value: Decimal) -> String {
        fixed(value, self.spec.price_precision)
    }

    pub(super) fn depth(&self, levels: u32, now: i64) -> Value {
        let side = |side: Side| -> Vec<Value> {
            (1..=levels)
                .map(|depth| {
                    let quantity = self.spec.lot.step
                        * Decimal::from(1 + noise(&self.spec.symbol, i64::from(depth)) % 5_000);
                    json!([
                        self.price(self.level(side, depth)),
                        fixed(quantity, self.spec.quantity_precision)
                    ])
                })
                .collect()
        };
        json!({
            "lastUpdateId": now,
            "E": now,
            "T": now,
            "bids": side(Side::Buy),
            "asks": side(Side::Sell),
        })
    }

    /// Made-up trades, a second apart, the newest now.
    pub(super) fn trade(&self, back: i64, now: i64) -> (i64, i64, String, Decimal, bool) {
        let time = (now - now.rem_euclid(1000)) - back * 1000;
        let random = noise(&self.spec.symbol, time);
        let quantity = self.spec.lot.step * Decimal::from(1 + random % 500);
        (
            time / 1000,
            time,
            self.price(self.past_price(time)),
            quantity,
            random.is_multiple_of(2),
        )
    }

    pub(super) fn premium(&self, now: i64) -> Value {
        let price = fixed(self.mark_price, 8);
        json!({
            "symbol": self.spec.symbol,
            "markPrice": price,
            "indexPrice": price,
            "estimatedSettlePrice": price,
            "lastFundingRate": "0.00010000",
            "interestRate": "0.00010000",
            "nextFundingTime": now - now.rem_euclid(FUNDING_MS) + FUNDING_MS,
            "time": now,
        })
    }

    pub(super) fn day(&self, now: i64) -> Value {
        let candle = self.candle(now - Interval::DAY.millis(), Interval::DAY, now);
        let change = self.mark_price - candle.open;
        json!({
            "symbol": self.spec.symbol,
            "priceChange": self.price(change),
            "priceChangePercent": fixed((change / candle.open * Decimal::ONE_HUNDRED).round_dp(3), 3),
            "weightedAvgPrice": self.price(((candle.high + candle.low) / Decimal::TWO).round_dp(self.spec.price_precision)),
            "lastPrice": self.price(self.mark_price),
            "lastQty": fixed(self.spec.lot.step, self.spec.quantity_precision),
            "openPrice": self.price(candle.open),
            "highPrice": self.price(candle.high),
            "lowPrice": self.price(candle.low),
            "volume": fixed(candle.volume, self.spec.quantity_precision),
            "quoteVolume": fixed(candle.quote(), 2),
            "openTime": now - Interval::DAY.millis(),
            "closeTime": now,
            "firstId": (now - Interval::DAY.millis()) / 1000,
            "lastId": now / 1000,
            "count": 86_400,
        })
    }

    pub(super) fn ticker(&self, now: i64) -> Value {
        json!({"symbol": self.spec.symbol, "price": self.price(self.mark_price), "time": now})
    }

    pub(super) fn book_ticker(&self, now: i64) -> Value {
        let quantity = fixed(
            self.spec.lot.step * Decimal::from(100),
            self.spec.quantity_precision,
        );
        json!({
            "symbol": self.spec.symbol,
            "bidPrice": self.price(self.level(Side::Buy, 1)),
            "bidQty": quantity,
            "askPrice": self.price(self.level(Side::Sell, 1)),
            "askQty": quantity,
            "time": now,
            "lastUpdateId": now,
        })
    }

    /// The mark price at a moment: what it was while the venue ran, and made up before.
    pub(super) fn past_price(&self, time: i64) -> Decimal {
        let known = self.minutes.range(..time).next_back();
        if let Some((_, minute)) = known {
            return minute.close;
        }
        let minute = time.div_euclid(MINUTE);
        let shift = Decimal::from(noise(&self.spec.symbol, minute) % (2 * REACH + 1))
            - Decimal::from(REACH);
        let price = self.spec.mark_price + self.spec.tick * shift;
        price.max(self.spec.tick).max(Decimal::new(1, 8))
    }

    /// The candle that began at `start`, as far as it has come at `now`.
    pub(super) fn candle(&self, start: i64, interval: Interval, now: i64) -> Candle {
        let end = interval.next(start);
        let open = self.past_price(start);
        let close = if end > now {
            self.mark_price
        } else {
            self.past_price(end)
        };
        let wick = self.spec.tick * Decimal::from(noise(&self.spec.symbol, start) % 10);
        let (mut high, mut low) = (open.max(close), open.min(close));
        let mut seen = self.minutes.range(start..end).peekable();
        if seen.peek().is_none() {
            high += wick;
            low = (low - wick).max(Decimal::new(1, 8));
        }
        for (_, minute) in seen {
            high = high.max(minute.high).max(minute.open);
            low = low.min(minute.low);
        }
        let minutes = (interval.millis() / MINUTE).max(1);
        let volume = self.spec.lot.step
            * Decimal::from(1 + noise(&self.spec.symbol, start / 7) % 1_000)
            * Decimal::from(minutes);
        Candle {
            open,
            high,
            low,
            close,
            volume,
        }
    }
}
