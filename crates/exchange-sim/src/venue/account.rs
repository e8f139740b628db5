//! What the account holds and what it traded: positions, position mode, trades.

use serde_json::{Value, json};

use super::{Position, Venue, view, view::fixed};
use crate::{config::PositionSide, error::VenueError, params::Params};

impl Venue {
    /// v2 lists every symbol; v3 only those with a position or an open order, so `[]` means flat.
    pub(super) fn position_risk(
        &mut self,
        params: &Params,
        now: i64,
        every_symbol: bool,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let asked = params.get("symbol");
        if let Some(symbol) = asked {
            self.market(symbol)?;
        }
        self.positions.count_query(asked, now);
        let legs: &[PositionSide] = if self.hedge_mode {
            &[PositionSide::Both, PositionSide::Long, PositionSide::Short]
        } else {
            &[PositionSide::Both]
        };
        let mut entries = Vec::new();
        for symbol in self.markets.keys() {
            if asked.is_some_and(|asked| asked != symbol) {
                continue;
            }
            for leg in legs {
                let position = self.positions.seen(symbol, *leg);
                let has_order = || {
                    self.book
                        .open()
                        .any(|order| order.symbol == *symbol && order.position_side == *leg)
                };
                if every_symbol || !position.amount.is_zero() || has_order() {
                    entries.push(self.risk_entry(symbol, *leg, &position, every_symbol)?);
                }
            }
        }
        Ok(Value::Array(entries).to_string())
    }

    fn risk_entry(
        &self,
        symbol: &str,
        leg: PositionSide,
        position: &Position,
        v2: bool,
    ) -> Result<Value, VenueError> {
        let market = self.market(symbol)?;
        let notional = position.amount * market.mark_price;
        let profit = (market.mark_price - position.entry_price) * position.amount;
        let mut entry = json!({
            "symbol": symbol,
            "positionSide": leg.as_str(),
            "positionAmt": fixed(position.amount, market.spec.quantity_precision),
            "entryPrice": fixed(position.entry_price, 1),
            "breakEvenPrice": fixed(position.entry_price, 1),
            "markPrice": fixed(market.mark_price, 8),
            "unRealizedProfit": fixed(if position.amount.is_zero() { position.amount } else { profit }, 8),
            "liquidationPrice": "0",
            "isolatedMargin": "0",
            "notional": fixed(notional, 8),
            "isolatedWallet": "0",
            "updateTime": position.updated,
        });
        let more = if v2 {
            json!({"marginType": "cross", "isAutoAddMargin": "false", "leverage": "20", "maxNotionalValue": "10000000"})
        } else {
            json!({"marginAsset": "USDT", "initialMargin": "0", "maintMargin": "0", "positionInitialMargin": "0", "openOrderInitialMargin": "0", "adl": 2, "bidNotional": "0", "askNotional": "0"})
        };
        if let (Some(entry), Value::Object(more)) = (entry.as_object_mut(), more) {
            entry.extend(more);
        }
        Ok(entry)
    }

    pub(super) fn position_mode(&self, params: &Params) -> Result<String, VenueError> {
        params.allow_only(&[])?;
        Ok(json!({"dualSidePosition": self.hedge_mode}).to_string())
    }

    /// The newest trades of a symbol, oldest first; at most `limit` (500, up to 1000).
    pub(super) fn user_trades(&mut self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&[
            "symbol",
            "orderId",
            "startTime",
            "endTime",
            "fromId",
            "limit",
        ])?;
        let symbol = params.need("symbol")?.to_owned();
        let spec = self.market(&symbol)?.spec.clone();
        let order_id = params.integer("orderId")?;
        let from = params.integer("startTime")?.unwrap_or(i64::MIN);
        let to = params.integer("endTime")?.unwrap_or(i64::MAX);
        let first = params.integer("fromId")?.unwrap_or(i64::MIN);
        let limit = params.integer("limit")?.unwrap_or(500);
        let limit = usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=1000).contains(limit))
            .ok_or_else(|| VenueError::not_valid("limit"))?;
        let mut found = Vec::new();
        let mut collect = |order: &mut super::book::Order| {
            if order.symbol != symbol || order.trades.is_empty() || order.trades_veil.hides(now) {
                return;
            }
            for trade in &order.trades {
                let id = i64::try_from(trade.id).unwrap_or(i64::MAX);
                if (from..=to).contains(&trade.time) && id >= first {
                    found.push((trade.id, view::trade(order, trade, &spec)));
                }
            }
        };
        match order_id {
            Some(id) => {
                let order = u64::try_from(id).ok().and_then(|id| self.book.get_mut(id));
                order.into_iter().for_each(&mut collect);
            }
            None => self.book.all_mut().for_each(&mut collect),
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        let surplus = found.len().saturating_sub(limit);
        let newest: Vec<String> = found.drain(surplus..).map(|(_, text)| text).collect();
        Ok(view::list(&newest))
    }
}
