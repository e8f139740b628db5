//! One symbol's filters and its present mark price; the public endpoints.

use rust_decimal::Decimal;
use serde_json::json;

use super::{Venue, view::fixed};
use crate::{error::VenueError, params::Params, symbol::SymbolSpec};

/// `exchangeInfo.serverTime` on the test host is days old; here it is this much.
const STALE_BY_MS: i64 = 3 * 24 * 3_600_000;

#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) spec: SymbolSpec,
    pub(crate) mark_price: Decimal,
}

impl Market {
    pub(super) fn new(spec: SymbolSpec) -> Self {
        Self {
            mark_price: spec.mark_price,
            spec,
        }
    }
}

impl Venue {
    /// Every symbol, whatever the parameters: the venue ignores `symbol` here.
    pub(super) fn exchange_info(&self, now: i64) -> String {
        let symbols: Vec<_> = self.markets.values().map(|m| m.spec.listing()).collect();
        json!({
            "timezone": "UTC",
            "serverTime": now - STALE_BY_MS,
            "futuresType": "U_MARGINED",
            "rateLimits": self.usage.stated(),
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": true, "autoAssetExchange": "-10000"}],
            "symbols": symbols,
        })
        .to_string()
    }

    pub(super) fn premium_index(&self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let entry = |symbol: &str, market: &Market| {
            let price = fixed(market.mark_price, 8);
            json!({
                "symbol": symbol,
                "markPrice": price,
                "indexPrice": price,
                "estimatedSettlePrice": price,
                "lastFundingRate": "0.00010000",
                "interestRate": "0.00010000",
                "nextFundingTime": now - now.rem_euclid(28_800_000) + 28_800_000,
                "time": now,
            })
        };
        let body = match params.get("symbol") {
            Some(symbol) => entry(symbol, self.market(symbol)?),
            None => self.markets.iter().map(|(s, m)| entry(s, m)).collect(),
        };
        Ok(body.to_string())
    }
}
