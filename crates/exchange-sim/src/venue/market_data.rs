//! The public endpoints: what anybody may ask about the symbols.

use super::{
    candles::Interval,
    exchange::Exchange,
    market::{FUNDING_MS, Market},
    view::fixed,
};
use crate::{error::VenueError, params::Params};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// `exchangeInfo.serverTime` on the test host is days old; here it is this much.
const STALE_BY_MS: i64 = 3 * 24 * 3_600_000;

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
