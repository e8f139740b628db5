//! One symbol: its filters, its mark price, the book around it; and the public endpoints.
//!
//! There is no order book: the best bid and ask stand one tick below and above the mark price, deeper levels a tick
//! apart, and orders fill at the mark price itself. With a spread that a test sets they stand that far from the mark
//! price, and market orders fill there. Trades and candles of the past are made up, the same for the same moment.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use super::{
    book::Side,
    candles::{Interval, MINUTE, Minute, noise},
    exchange::Exchange,
    view::fixed,
};
use crate::{error::VenueError, params::Params, symbol::SymbolSpec};

/// `exchangeInfo.serverTime` on the test host is days old; here it is this much.
const STALE_BY_MS: i64 = 3 * 24 * 3_600_000;
/// Time between two fundings.
const FUNDING_MS: i64 = 8 * 3_600_000;
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

    fn price(&self, value: Decimal) -> String {
        fixed(value, self.spec.price_precision)
    }

    fn depth(&self, levels: u32, now: i64) -> Value {
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
    fn trade(&self, back: i64, now: i64) -> (i64, i64, String, Decimal, bool) {
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

    fn premium(&self, now: i64) -> Value {
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

    fn day(&self, now: i64) -> Value {
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

    fn ticker(&self, now: i64) -> Value {
        json!({"symbol": self.spec.symbol, "price": self.price(self.mark_price), "time": now})
    }

    fn book_ticker(&self, now: i64) -> Value {
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
}

impl Exchange {
    /// Every symbol, whatever the parameters: the venue ignores `symbol` here.
    pub(super) fn exchange_info(&self, now: i64, rate_limits: &Value) -> String {
        let symbols: Vec<_> = self
            .markets
            .values()
            .map(|market| market.spec.listing(self.manners.unknown_filter))
            .collect();
        json!({
            "timezone": "UTC",
            "serverTime": now - STALE_BY_MS,
            "futuresType": "U_MARGINED",
            "rateLimits": rate_limits,
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": true, "autoAssetExchange": "-10000"}],
            "symbols": symbols,
        })
        .to_string()
    }

    pub(super) fn premium_index(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        self.each(params, |market| market.premium(now))
    }

    pub(super) fn ticker_24h(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        self.each(params, |market| market.day(now))
    }

    pub(super) fn ticker_price(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        self.each(params, |market| market.ticker(now))
    }

    pub(super) fn book_ticker(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        self.each(params, |market| market.book_ticker(now))
    }

    /// One answer for the symbol that is named, or a list of all.
    fn each(
        &self,
        params: &Params,
        answer: impl Fn(&Market) -> Value,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let body = match params.get("symbol") {
            Some(symbol) => answer(self.market(symbol)?),
            None => self.markets.values().map(answer).collect(),
        };
        Ok(body.to_string())
    }

    fn named(&self, params: &Params) -> Result<&Market, VenueError> {
        self.market(params.need("symbol")?)
    }

    pub(super) fn depth(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "limit"])?;
        let market = self.named(params)?;
        let limit = params.integer("limit")?.unwrap_or(500);
        if ![5, 10, 20, 50, 100, 500, 1000].contains(&limit) {
            return Err(VenueError::depth_limit(limit));
        }
        let levels = u32::try_from(limit).unwrap_or(5);
        Ok(market.depth(levels, now).to_string())
    }

    pub(super) fn trades(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "limit"])?;
        let market = self.named(params)?;
        let limit = params.limit(500, 1000)?;
        let trades: Vec<Value> = (0..i64::try_from(limit).unwrap_or(0))
            .rev()
            .map(|back| {
                let (id, time, price, quantity, maker) = market.trade(back, now);
                let places = market.spec.quantity_precision;
                let quote = price.parse().unwrap_or(Decimal::ZERO) * quantity;
                json!({"id": id, "price": price, "qty": fixed(quantity, places), "quoteQty": fixed(quote, 2), "time": time, "isBuyerMaker": maker})
            })
            .collect();
        Ok(Value::Array(trades).to_string())
    }

    pub(super) fn agg_trades(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "fromId", "startTime", "endTime", "limit"])?;
        let market = self.named(params)?;
        let limit = i64::try_from(params.limit(500, 1000)?).unwrap_or(1000);
        let newest = now / 1000;
        let (mut first, mut last) = (newest - limit + 1, newest);
        if let Some(from) = params.integer("fromId")? {
            first = from;
        } else if let Some(from) = params.integer("startTime")? {
            first = from.div_euclid(1000) + i64::from(from.rem_euclid(1000) != 0);
            if let Some(to) = params.integer("endTime")? {
                last = to.div_euclid(1000).min(newest);
            }
        }
        let last = last.min(first.saturating_add(limit - 1));
        let trades: Vec<Value> = (first.max(0)..=last)
            .map(|id| {
                let (id, time, price, quantity, maker) = market.trade(newest - id, now);
                json!({"a": id, "p": price, "q": fixed(quantity, market.spec.quantity_precision), "f": id, "l": id, "T": time, "m": maker})
            })
            .collect();
        Ok(Value::Array(trades).to_string())
    }

    /// `pair` names the symbol of index prices.
    pub(super) fn klines(
        &self,
        params: &Params,
        now: i64,
        traded: bool,
    ) -> Result<String, VenueError> {
        params.allow_only(&[
            "symbol",
            "pair",
            "interval",
            "startTime",
            "endTime",
            "limit",
        ])?;
        let symbol = params.get("pair").or(params.get("symbol"));
        let market = self.market(symbol.ok_or_else(|| VenueError::mandatory("symbol"))?)?;
        let interval =
            Interval::parse(params.need("interval")?).ok_or_else(VenueError::interval)?;
        let limit = i64::try_from(params.limit(500, 1500)?).unwrap_or(1500);
        let (from, to) = params.window()?;
        let newest = interval.start_of(to.unwrap_or(now).min(now));
        let oldest = market.spec.onboarded();
        let mut at = match from {
            Some(from) => interval.first_from(from.max(oldest)),
            None => interval.back(newest, limit - 1),
        };
        let mut rows = Vec::new();
        while at <= newest && i64::try_from(rows.len()).is_ok_and(|rows| rows < limit) {
            if at >= oldest {
                rows.push(
                    market
                        .candle(at, interval, now)
                        .row(&market.spec, at, interval, traded),
                );
            }
            at = interval.next(at);
        }
        Ok(Value::Array(rows).to_string())
    }

    pub(super) fn funding_rate(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "startTime", "endTime", "limit"])?;
        let limit = i64::try_from(params.limit(100, 1000)?).unwrap_or(1000);
        let (from, to) = params.window()?;
        let newest = to.unwrap_or(now).min(now).div_euclid(FUNDING_MS);
        let first = match from {
            Some(from) => from.div_euclid(FUNDING_MS) + i64::from(from.rem_euclid(FUNDING_MS) != 0),
            None => newest - limit + 1,
        };
        let wanted: Vec<&Market> = match params.get("symbol") {
            Some(symbol) => vec![self.market(symbol)?],
            None => self.markets.values().collect(),
        };
        let mut rows = Vec::new();
        'all: for slot in first.max(0)..=newest {
            for market in &wanted {
                let time = slot * FUNDING_MS;
                if time < market.spec.onboarded() {
                    continue;
                }
                if i64::try_from(rows.len()).is_ok_and(|rows| rows >= limit) {
                    break 'all;
                }
                rows.push(json!({
                    "symbol": market.spec.symbol,
                    "fundingTime": time,
                    "fundingRate": "0.00010000",
                    "markPrice": fixed(market.past_price(time), 8),
                    "fundingRateType": "Regular",
                }));
            }
        }
        Ok(Value::Array(rows).to_string())
    }

    /// Symbols whose funding was adjusted: none here.
    pub(super) fn funding_info(&self, params: &Params) -> Result<String, VenueError> {
        params.allow_only(&[])?;
        Ok("[]".to_owned())
    }

    pub(super) fn open_interest(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let market = self.named(params)?;
        let amount = market.spec.lot.step * Decimal::from(1_000_000);
        Ok(json!({
            "symbol": market.spec.symbol,
            "openInterest": fixed(amount, market.spec.quantity_precision),
            "time": now,
        })
        .to_string())
    }
}
