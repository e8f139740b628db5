//! What an account traded, and what that did to its wallet: `userTrades` and `income`.

use super::{account::Account, exchange::Exchange, incomes::Income, view};
use crate::{error::VenueError, params::Params};
use serde_json::{Value, json};

/// The trades of how long ago are still shown: three months.
const TRADES_KNOWN_MS: i64 = 90 * 86_400_000;

impl Account {
    /// Trades of a symbol, oldest first. From `fromId` or `startTime` on it is the first ones, otherwise the newest;
    /// at most `limit` (500, up to 1000).
    pub(super) fn user_trades(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&[
            "symbol",
            "orderId",
            "startTime",
            "endTime",
            "fromId",
            "limit",
        ])?;
        let symbol = params.need("symbol")?.to_owned();
        let spec = exchange.market(&symbol)?.spec.clone();
        let order_id = params.integer("orderId")?;
        let from_id = params.integer("fromId")?;
        let limit = params.limit(500, 1000)?;
        let named_time = params.get("startTime").is_some() || params.get("endTime").is_some();
        if from_id.is_some() && named_time {
            return Err(VenueError::bad_combination());
        }
        let mut times = params.week(now)?;
        // A trade id or an order id is looked for as far back as trades are known.
        if !named_time && (from_id.is_some() || order_id.is_some()) {
            times = now.saturating_sub(TRADES_KNOWN_MS)..=i64::MAX;
        }
        let first = from_id.unwrap_or(i64::MIN);
        let mut found = Vec::new();
        let mut collect = |order: &mut super::book::Order| {
            if order.symbol != symbol || order.trades.is_empty() || order.trades_veil.hides(now) {
                return;
            }
            for trade in &order.trades {
                let id = i64::try_from(trade.id).unwrap_or(i64::MAX);
                let known = now.saturating_sub(trade.time) <= TRADES_KNOWN_MS;
                if known && times.contains(&trade.time) && id >= first {
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
        let forwards = from_id.is_some() || params.get("startTime").is_some();
        let surplus = if forwards {
            0
        } else {
            found.len().saturating_sub(limit)
        };
        let page: Vec<String> = found
            .into_iter()
            .skip(surplus)
            .take(limit)
            .map(|(_, text)| text)
            .collect();
        Ok(view::list(&page))
    }

    /// Changes of the wallet balance, oldest first: the newest ones, or from `startTime` on the first.
    pub(super) fn income(
        &self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&[
            "symbol",
            "incomeType",
            "startTime",
            "endTime",
            "page",
            "limit",
        ])?;
        let symbol = params.get("symbol");
        if let Some(symbol) = symbol {
            exchange.market(symbol)?;
        }
        let kind = params.get("incomeType");
        let limit = params.limit(100, 1000)?;
        let page = params.integer("page")?.unwrap_or(1).max(1);
        let times = match params.window()? {
            (None, None) => params.week(now)?,
            (from, to) => from.unwrap_or(i64::MIN)..=to.unwrap_or(i64::MAX),
        };
        let found: Vec<&Income> = self
            .incomes
            .all
            .iter()
            .filter(|income| symbol.is_none_or(|symbol| symbol == income.symbol))
            .filter(|income| kind.is_none_or(|kind| kind == income.kind))
            .filter(|income| times.contains(&income.time))
            .collect();
        let skip = if params.get("startTime").is_some() || params.get("page").is_some() {
            usize::try_from(page - 1).unwrap_or(0).saturating_mul(limit)
        } else {
            found.len().saturating_sub(limit)
        };
        let rows: Vec<Value> = found
            .into_iter()
            .skip(skip)
            .take(limit)
            .map(|income| {
                json!({
                    "symbol": income.symbol,
                    "incomeType": income.kind,
                    "income": view::fixed(income.amount, 8),
                    "asset": "USDT",
                    "time": income.time,
                    "info": income.trade.map_or(income.kind.to_owned(), |id| id.to_string()),
                    "tranId": income.id,
                    "tradeId": income.trade.map(|id| id.to_string()).unwrap_or_default(),
                })
            })
            .collect();
        Ok(Value::Array(rows).to_string())
    }
}
