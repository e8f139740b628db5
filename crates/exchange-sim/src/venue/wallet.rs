//! The wallet: margin, leverage, brackets, balances.
//!
//! Cross-margin arithmetic in single-asset mode, in USDT:
//! - a position's initial margin is its value at the mark price divided by the leverage, and its maintenance margin
//!   follows the bracket of that value;
//! - open orders that may open something hold margin for the larger of the two sides of the symbol (in hedge mode, of
//!   each leg);
//! - what is available is wallet balance plus unrealised profit less all initial margins; an order that needs more is
//!   refused (-2019), one that would be larger than the leverage allows too (-2027);
//! - realised profit and fees change the wallet balance as they happen.
//!
//! Limits of it: one table of brackets for all symbols; an isolated position holds its entry value divided by its
//! leverage, and nothing can be added to it; the liquidation price of a cross position looks at the others only while
//! there are at most a hundred; no funding is paid, no fee is set aside for an order, and no position is
//! liquidated: the liquidation price is shown, and nothing happens there.

use super::{
    account::{Account, Settings, success},
    book::{MAKER_FEE, Side, TAKER_FEE},
    exchange::Exchange,
    position::Position,
    view::fixed,
};
use crate::{config::PositionSide, error::VenueError, params::Params};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// One bracket: up to `cap` in USDT, `leverage` at most, and a maintenance margin of `ratio` ten-thousandths.
struct Bracket {
    leverage: u32,
    cap: u64,
    ratio: u32,
}

const fn bracket(leverage: u32, cap: u64, ratio: u32) -> Bracket {
    Bracket {
        leverage,
        cap,
        ratio,
    }
}

/// For every symbol the same, with figures like those of a large one.
const BRACKETS: [Bracket; 10] = [
    bracket(125, 50_000, 40),
    bracket(100, 600_000, 50),
    bracket(75, 3_000_000, 65),
    bracket(50, 12_000_000, 100),
    bracket(25, 70_000_000, 200),
    bracket(20, 100_000_000, 250),
    bracket(10, 230_000_000, 500),
    bracket(5, 480_000_000, 1000),
    bracket(2, 800_000_000, 2500),
    bracket(1, 1_800_000_000, 5000),
];

const LARGEST_LEVERAGE: u32 = 125;
/// With more positions than this a liquidation price is that of the position and the whole wallet.
const LOOKED_AT: usize = 100;

/// What a leg and its open orders hold, in USDT.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Margin {
    pub(super) position: Decimal,
    pub(super) orders: Decimal,
    pub(super) maintenance: Decimal,
    pub(super) bids: Decimal,
    pub(super) asks: Decimal,
    pub(super) profit: Decimal,
}

impl Margin {
    pub(super) fn initial(&self) -> Decimal {
        self.position + self.orders
    }

    fn add(&mut self, other: &Self) {
        self.position += other.position;
        self.orders += other.orders;
        self.maintenance += other.maintenance;
        self.profit += other.profit;
    }
}

/// The account's sums, in USDT.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    all: Margin,
    cross: Margin,
    /// What isolated positions hold of the wallet balance.
    isolated: Decimal,
    wallet: Decimal,
}

impl Sums {
    fn cross_wallet(&self) -> Decimal {
        self.wallet - self.isolated
    }

    fn available(&self) -> Decimal {
        let isolated_orders = self.all.orders - self.cross.orders;
        (self.cross_wallet() + self.cross.profit - self.cross.initial() - isolated_orders)
            .max(Decimal::ZERO)
    }
}

/// Ten-thousandths.
fn share(ratio: u32) -> Decimal {
    Decimal::new(i64::from(ratio), 4)
}

/// The bracket of a value, its floor, and what its formula subtracts.
fn bracket_of(notional: Decimal) -> (&'static Bracket, Decimal) {
    let mut found = (&BRACKETS[0], Decimal::ZERO);
    let (mut floor, mut subtract, mut ratio) = (Decimal::ZERO, Decimal::ZERO, BRACKETS[0].ratio);
    for bracket in &BRACKETS {
        subtract += floor * (share(bracket.ratio) - share(ratio));
        found = (bracket, subtract);
        floor = Decimal::from(bracket.cap);
        ratio = bracket.ratio;
        if notional <= floor {
            break;
        }
    }
    found
}

fn maintenance(notional: Decimal) -> Decimal {
    let (bracket, subtract) = bracket_of(notional);
    (notional * share(bracket.ratio) - subtract).max(Decimal::ZERO)
}

/// What the orders of one leg would hold that may open something.
fn needed(position: Decimal, bids: Decimal, asks: Decimal, leg: PositionSide) -> Decimal {
    match leg {
        PositionSide::Both => (position + bids).abs().max((position - asks).abs()),
        PositionSide::Long => position.abs() + bids,
        PositionSide::Short => position.abs() + asks,
    }
}

impl Account {
    /// The largest position value that a leverage allows, in USDT.
    pub(super) fn largest_notional(leverage: u32) -> u64 {
        BRACKETS
            .iter()
            .rfind(|bracket| bracket.leverage >= leverage)
            .map_or(0, |bracket| bracket.cap)
    }

    /// What the open orders of a leg are worth that may open something: buys and sells, in USDT.
    fn open_notional(&self, symbol: &str, leg: PositionSide) -> (Decimal, Decimal) {
        let (mut bids, mut asks) = (Decimal::ZERO, Decimal::ZERO);
        for order in self.book.open() {
            if order.symbol != symbol || order.position_side != leg || order.reduce_only {
                continue;
            }
            let value = order.remaining() * order.price;
            match order.side {
                Side::Buy => bids += value,
                Side::Sell => asks += value,
            }
        }
        (bids, asks)
    }

    pub(super) fn leg_margin(
        &self,
        exchange: &Exchange,
        symbol: &str,
        leg: PositionSide,
        position: &Position,
    ) -> Margin {
        let Ok(market) = exchange.market(symbol) else {
            return Margin::default();
        };
        let leverage = Decimal::from(self.settings(symbol).leverage.max(1));
        let notional = position.amount * market.mark_price;
        let (bids, asks) = self.open_notional(symbol, leg);
        let held = notional.abs() / leverage;
        Margin {
            position: held,
            orders: (needed(notional, bids, asks, leg) / leverage - held).max(Decimal::ZERO),
            maintenance: maintenance(notional.abs()),
            bids,
            asks,
            profit: position.profit(market.mark_price),
        }
    }

    /// Symbols and legs with a position or an open order.
    fn touched(&self) -> Vec<(String, PositionSide)> {
        let mut touched: Vec<_> = self
            .positions
            .held()
            .map(|(symbol, leg, _)| (symbol.to_owned(), leg))
            .chain(
                self.book
                    .open()
                    .map(|order| (order.symbol.clone(), order.position_side)),
            )
            .collect();
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    fn sums(&self, exchange: &Exchange) -> Sums {
        let mut sums = Sums {
            wallet: self.wallet,
            ..Sums::default()
        };
        for (symbol, leg) in self.touched() {
            let position = self.positions.get(&symbol, leg);
            let margin = self.leg_margin(exchange, &symbol, leg, &position);
            let settings = self.settings(&symbol);
            sums.all.add(&margin);
            if settings.isolated {
                sums.isolated += position.isolated_wallet(settings.leverage);
            } else {
                sums.cross.add(&margin);
            }
        }
        sums
    }

    /// Whether an order that may open something is covered. `value` is its worth in USDT.
    pub(super) fn check_margin(
        &self,
        exchange: &Exchange,
        symbol: &str,
        (leg, side): (PositionSide, Side),
        value: Decimal,
    ) -> Result<(), VenueError> {
        let market = exchange.market(symbol)?;
        let settings = self.settings(symbol);
        let notional = self.positions.get(symbol, leg).amount * market.mark_price;
        let (bids, asks) = self.open_notional(symbol, leg);
        let before = needed(notional, bids, asks, leg);
        let after = match side {
            Side::Buy => needed(notional, bids + value, asks, leg),
            Side::Sell => needed(notional, bids, asks + value, leg),
        };
        if after <= before {
            return Ok(());
        }
        if after > Decimal::from(Self::largest_notional(settings.leverage)) {
            return Err(VenueError::position_too_large());
        }
        let more = (after - before) / Decimal::from(settings.leverage.max(1));
        if more > self.sums(exchange).available() {
            return Err(VenueError::margin_insufficient());
        }
        Ok(())
    }

    /// Where the account, or the isolated position, would be liquidated; `None` where no price does that.
    pub(super) fn liquidation_price(
        &self,
        exchange: &Exchange,
        symbol: &str,
        leg: PositionSide,
        position: &Position,
    ) -> Option<Decimal> {
        if position.amount.is_zero() {
            return None;
        }
        let market = exchange.market(symbol).ok()?;
        let settings = self.settings(symbol);
        let notional = (position.amount * market.mark_price).abs();
        let (bracket, subtract) = bracket_of(notional);
        let wallet = if settings.isolated {
            position.isolated_wallet(settings.leverage)
        } else if self.positions.count() > LOOKED_AT {
            self.wallet
        } else {
            let sums = self.sums(exchange);
            let own = self.leg_margin(exchange, symbol, leg, position);
            sums.cross_wallet() + (sums.cross.profit - own.profit)
                - (sums.cross.maintenance - own.maintenance)
        };
        let above = wallet + subtract - position.amount * position.entry_price;
        let below = position.amount.abs() * share(bracket.ratio) - position.amount;
        if below.is_zero() {
            return None;
        }
        Some(above.checked_div(below)?).filter(|price| *price > Decimal::ZERO)
    }

    pub(super) fn balances(
        &self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&[])?;
        let sums = self.sums(exchange);
        let figure = |value: Decimal| fixed(value.round_dp(8), 8);
        Ok(json!([{
            "accountAlias": self.alias(),
            "asset": "USDT",
            "balance": figure(sums.wallet),
            "crossWalletBalance": figure(sums.cross_wallet()),
            "crossUnPnl": figure(sums.cross.profit),
            "availableBalance": figure(sums.available()),
            "maxWithdrawAmount": figure(sums.available()),
            "marginAvailable": true,
            "updateTime": now,
        }])
        .to_string())
    }

    /// v2 lists every symbol and the account's rights; v3 only what is held or open.
    pub(super) fn account(
        &self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
        v2: bool,
    ) -> Result<String, VenueError> {
        params.allow_only(&[])?;
        let sums = self.sums(exchange);
        let figure = |value: Decimal| fixed(value.round_dp(8), 8);
        let balance = sums.wallet + sums.all.profit;
        let mut asset = json!({
            "asset": "USDT",
            "walletBalance": figure(sums.wallet),
            "unrealizedProfit": figure(sums.all.profit),
            "marginBalance": figure(balance),
            "maintMargin": figure(sums.all.maintenance),
            "initialMargin": figure(sums.all.initial()),
            "positionInitialMargin": figure(sums.all.position),
            "openOrderInitialMargin": figure(sums.all.orders),
            "crossWalletBalance": figure(sums.cross_wallet()),
            "crossUnPnl": figure(sums.cross.profit),
            "availableBalance": figure(sums.available()),
            "maxWithdrawAmount": figure(sums.available()),
            "updateTime": now,
        });
        let mut body = json!({
            "totalInitialMargin": figure(sums.all.initial()),
            "totalMaintMargin": figure(sums.all.maintenance),
            "totalWalletBalance": figure(sums.wallet),
            "totalUnrealizedProfit": figure(sums.all.profit),
            "totalMarginBalance": figure(balance),
            "totalPositionInitialMargin": figure(sums.all.position),
            "totalOpenOrderInitialMargin": figure(sums.all.orders),
            "totalCrossWalletBalance": figure(sums.cross_wallet()),
            "totalCrossUnPnl": figure(sums.cross.profit),
            "availableBalance": figure(sums.available()),
            "maxWithdrawAmount": figure(sums.available()),
        });
        let wanted: Vec<(String, PositionSide)> = if v2 {
            let legs = self.legs();
            exchange
                .markets
                .keys()
                .flat_map(|symbol| legs.iter().map(|leg| (symbol.clone(), *leg)))
                .collect()
        } else {
            self.touched()
        };
        let positions: Vec<Value> = wanted
            .iter()
            .map(|(symbol, leg)| self.account_position(exchange, symbol, *leg, v2))
            .collect();
        if let (Some(body), Some(asset)) = (body.as_object_mut(), asset.as_object_mut()) {
            if v2 {
                asset.insert("marginAvailable".into(), json!(true));
                body.extend([
                    ("feeTier".to_owned(), json!(0)),
                    ("feeBurn".to_owned(), json!(false)),
                    ("canTrade".to_owned(), json!(true)),
                    ("canDeposit".to_owned(), json!(true)),
                    ("canWithdraw".to_owned(), json!(true)),
                    ("updateTime".to_owned(), json!(0)),
                    ("multiAssetsMargin".to_owned(), json!(self.multi_assets)),
                    ("tradeGroupId".to_owned(), json!(-1)),
                ]);
            }
            body.insert("assets".into(), json!([asset]));
            body.insert("positions".into(), Value::Array(positions));
        }
        Ok(body.to_string())
    }

    fn account_position(
        &self,
        exchange: &Exchange,
        symbol: &str,
        leg: PositionSide,
        v2: bool,
    ) -> Value {
        let position = self.positions.get(symbol, leg);
        let settings = self.settings(symbol);
        let margin = self.leg_margin(exchange, symbol, leg, &position);
        let figure = |value: Decimal| fixed(value.round_dp(8), 8);
        let (notional, places) = exchange
            .market(symbol)
            .map_or((Decimal::ZERO, 0), |market| {
                (
                    position.amount * market.mark_price,
                    market.spec.quantity_precision,
                )
            });
        let isolated = if settings.isolated {
            position.isolated_wallet(settings.leverage)
        } else {
            Decimal::ZERO
        };
        let mut entry = json!({
            "symbol": symbol,
            "positionSide": leg.as_str(),
            "positionAmt": fixed(position.amount, places),
            "unrealizedProfit": figure(margin.profit),
            "isolatedMargin": figure(if isolated.is_zero() { isolated } else { isolated + margin.profit }),
            "notional": figure(notional),
            "isolatedWallet": figure(isolated),
            "initialMargin": figure(margin.initial()),
            "maintMargin": figure(margin.maintenance),
            "updateTime": position.updated,
        });
        if v2 && let Some(entry) = entry.as_object_mut() {
            entry.extend([
                (
                    "positionInitialMargin".to_owned(),
                    json!(figure(margin.position)),
                ),
                (
                    "openOrderInitialMargin".to_owned(),
                    json!(figure(margin.orders)),
                ),
                ("leverage".to_owned(), json!(settings.leverage.to_string())),
                ("isolated".to_owned(), json!(settings.isolated)),
                (
                    "entryPrice".to_owned(),
                    json!(fixed(position.entry_price, 1)),
                ),
                (
                    "breakEvenPrice".to_owned(),
                    json!(fixed(position.break_even_price(), 1)),
                ),
                (
                    "maxNotional".to_owned(),
                    json!(Self::largest_notional(settings.leverage).to_string()),
                ),
                ("bidNotional".to_owned(), json!(figure(margin.bids))),
                ("askNotional".to_owned(), json!(figure(margin.asks))),
            ]);
        }
        entry
    }

    pub(super) fn symbol_config(
        &self,
        exchange: &Exchange,
        params: &Params,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let asked = params.get("symbol");
        if let Some(symbol) = asked {
            exchange.market(symbol)?;
        }
        let rows: Vec<Value> = exchange
            .markets
            .keys()
            .filter(|symbol| asked.is_none_or(|asked| asked == symbol.as_str()))
            .map(|symbol| {
                let settings = self.settings(symbol);
                json!({
                    "symbol": symbol,
                    "marginType": if settings.isolated { "ISOLATED" } else { "CROSSED" },
                    "isAutoAddMargin": false,
                    "leverage": settings.leverage,
                    "maxNotionalValue": Self::largest_notional(settings.leverage).to_string(),
                })
            })
            .collect();
        Ok(Value::Array(rows).to_string())
    }

    pub(super) fn set_leverage(
        &mut self,
        exchange: &Exchange,
        params: &Params,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "leverage"])?;
        let symbol = params.need("symbol")?.to_owned();
        let market = exchange.market(&symbol)?;
        let word = params.need("leverage")?;
        let leverage = word
            .parse::<u32>()
            .ok()
            .filter(|leverage| (1..=LARGEST_LEVERAGE).contains(leverage))
            .ok_or_else(|| VenueError::leverage(word))?;
        let settings = self.settings(&symbol);
        let held: Decimal = [PositionSide::Both, PositionSide::Long, PositionSide::Short]
            .into_iter()
            .map(|leg| (self.positions.get(&symbol, leg).amount * market.mark_price).abs())
            .max()
            .unwrap_or_default();
        if held > Decimal::from(Self::largest_notional(leverage)) {
            return Err(VenueError::position_too_large());
        }
        if leverage < settings.leverage && !held.is_zero() {
            if settings.isolated {
                return Err(VenueError::leverage_with_isolated_position());
            }
            let more = held / Decimal::from(leverage) - held / Decimal::from(settings.leverage);
            if more > self.sums(exchange).available() {
                return Err(VenueError::leverage_too_small());
            }
        }
        let reply = json!({
            "symbol": symbol,
            "leverage": leverage,
            "maxNotionalValue": Self::largest_notional(leverage).to_string(),
        });
        self.settings.insert(
            symbol,
            Settings {
                leverage,
                ..settings
            },
        );
        Ok(reply.to_string())
    }

    pub(super) fn set_margin_type(
        &mut self,
        exchange: &Exchange,
        params: &Params,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "marginType"])?;
        let symbol = params.need("symbol")?.to_owned();
        exchange.market(&symbol)?;
        let isolated = match params.need("marginType")? {
            "ISOLATED" => true,
            "CROSSED" => false,
            _ => return Err(VenueError::not_valid("marginType")),
        };
        let settings = self.settings(&symbol);
        if isolated == settings.isolated {
            return Err(VenueError::same_margin_type());
        }
        if isolated && self.multi_assets {
            return Err(VenueError::isolated_under_multi_assets());
        }
        if self.book.open().any(|order| order.symbol == symbol) {
            return Err(VenueError::margin_type_with_orders());
        }
        if self.positions.held().any(|(held, _, _)| held == symbol) {
            return Err(VenueError::margin_type_with_position());
        }
        self.settings.insert(
            symbol,
            Settings {
                isolated,
                ..settings
            },
        );
        Ok(success())
    }

    /// A list, with and without `symbol`: the page shows one entry alone as an object, clients read a list.
    pub(super) fn leverage_brackets(
        &self,
        exchange: &Exchange,
        params: &Params,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let asked = params.get("symbol");
        if let Some(symbol) = asked {
            exchange.market(symbol)?;
        }
        let mut floor = 0;
        let brackets: Vec<Value> = BRACKETS
            .iter()
            .enumerate()
            .map(|(index, bracket)| {
                let (_, subtract) = bracket_of(Decimal::from(bracket.cap));
                let row = json!({
                    "bracket": index + 1,
                    "initialLeverage": bracket.leverage,
                    "notionalCap": bracket.cap,
                    "notionalFloor": floor,
                    "maintMarginRatio": number(share(bracket.ratio)),
                    "cum": number(subtract),
                });
                floor = bracket.cap;
                row
            })
            .collect();
        let rows: Vec<Value> = exchange
            .markets
            .keys()
            .filter(|symbol| asked.is_none_or(|asked| asked == symbol.as_str()))
            .map(|symbol| json!({"symbol": symbol, "brackets": brackets}))
            .collect();
        Ok(Value::Array(rows).to_string())
    }

    pub(super) fn commission_rate(
        &self,
        exchange: &Exchange,
        params: &Params,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let symbol = params.need("symbol")?;
        exchange.market(symbol)?;
        Ok(json!({
            "symbol": symbol,
            "makerCommissionRate": fixed(MAKER_FEE, 6),
            "takerCommissionRate": fixed(TAKER_FEE, 6),
            "rpiCommissionRate": "0.000050",
        })
        .to_string())
    }
}

/// A decimal as a JSON number, digit for digit.
fn number(value: Decimal) -> Value {
    serde_json::from_str(&value.normalize().to_string()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn maintenance_has_no_step_where_a_bracket_ends() {
        assert_eq!(maintenance(dec("50000")), dec("200"));
        assert_eq!(maintenance(dec("50001")), dec("200.005"));
        for bracket in &BRACKETS {
            let cap = Decimal::from(bracket.cap);
            let step = maintenance(cap + Decimal::ONE) - maintenance(cap);
            assert!(
                step > Decimal::ZERO && step <= Decimal::ONE,
                "{cap}: {step}"
            );
        }
    }

    #[test]
    fn a_leverage_allows_what_its_bracket_says() {
        assert_eq!(Account::largest_notional(125), 50_000);
        assert_eq!(Account::largest_notional(20), 100_000_000);
        assert_eq!(Account::largest_notional(21), 70_000_000);
        assert_eq!(Account::largest_notional(1), 1_800_000_000);
    }

    #[test]
    fn opposite_orders_hold_margin_for_the_larger_side_only() {
        let both =
            |position, bids, asks| needed(dec(position), dec(bids), dec(asks), PositionSide::Both);
        assert_eq!(both("100", "0", "50"), dec("100"));
        assert_eq!(both("100", "0", "250"), dec("150"));
        assert_eq!(both("-100", "30", "40"), dec("140"));
        assert_eq!(
            needed(dec("-100"), dec("30"), dec("40"), PositionSide::Short),
            dec("140")
        );
    }
}
