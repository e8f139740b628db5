//! One account: its positions, orders, wallet and settings; position and mode queries.

use super::{
    algos::Algos,
    book::Book,
    exchange::Exchange,
    incomes::Incomes,
    position::{Position, Positions},
    view::fixed,
};
use crate::{
    config::{AccountConfig, PositionSide},
    error::VenueError,
    params::Params,
};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Default leverage of a symbol.
const DEFAULT_LEVERAGE: u32 = 20;

/// What an account set for a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) leverage: u32,
    pub(super) isolated: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            leverage: DEFAULT_LEVERAGE,
            isolated: false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(super) name: String,
    pub(super) hedge_mode: bool,
    pub(super) multi_assets: bool,
    pub(super) positions: Positions,
    pub(super) book: Book,
    pub(super) algos: Algos,
    pub(super) left_bare: u64,
    /// Wallet balance in USDT.
    pub(super) wallet: Decimal,
    pub(super) settings: BTreeMap<String, Settings>,
    pub(super) incomes: Incomes,
}

impl Account {
    pub(super) fn new(config: &AccountConfig, number: usize, capacity: usize, now: i64) -> Self {
        let mut incomes = Incomes::new(capacity);
        incomes.transfer(config.wallet, now);
        Self {
            name: config.name.clone(),
            hedge_mode: config.hedge_mode,
            multi_assets: false,
            positions: Positions::default(),
            book: Book::new(capacity, number),
            algos: Algos::new(capacity, number),
            left_bare: 0,
            wallet: config.wallet,
            settings: BTreeMap::new(),
            incomes,
        }
    }

    /// The name that `accountAlias` shows.
    pub(super) fn alias(&self) -> &str {
        &self.name
    }

    pub(super) fn settings(&self, symbol: &str) -> Settings {
        self.settings.get(symbol).copied().unwrap_or_default()
    }

    /// The legs a position side may name in the account's mode.
    pub(super) fn check_position_side(&self, side: PositionSide) -> Result<(), VenueError> {
        let fits = match side {
            PositionSide::Both => !self.hedge_mode,
            PositionSide::Long | PositionSide::Short => self.hedge_mode,
        };
        if fits {
            Ok(())
        } else {
            Err(VenueError::position_side())
        }
    }

    /// The legs of the account's mode.
    pub(super) fn legs(&self) -> &'static [PositionSide] {
        if self.hedge_mode {
            &[PositionSide::Long, PositionSide::Short]
        } else {
            &[PositionSide::Both]
        }
    }

    /// v2 lists every symbol; v3 only those with a position or an open order, so `[]` means flat.
    pub(super) fn position_risk(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
        every_symbol: bool,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let asked = params.get("symbol");
        if let Some(symbol) = asked {
            exchange.market(symbol)?;
        }
        self.positions.count_query(asked, now);
        let legs: &[PositionSide] = if self.hedge_mode {
            &[PositionSide::Both, PositionSide::Long, PositionSide::Short]
        } else {
            &[PositionSide::Both]
        };
        let mut entries = Vec::new();
        for symbol in exchange.markets.keys() {
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
                    entries.push(self.risk_entry(
                        exchange,
                        symbol,
                        *leg,
                        &position,
                        every_symbol,
                    )?);
                }
            }
        }
        Ok(Value::Array(entries).to_string())
    }

    fn risk_entry(
        &self,
        exchange: &Exchange,
        symbol: &str,
        leg: PositionSide,
        position: &Position,
        v2: bool,
    ) -> Result<Value, VenueError> {
        let market = exchange.market(symbol)?;
        let settings = self.settings(symbol);
        let notional = position.amount * market.mark_price;
        let profit = position.profit(market.mark_price);
        let isolated = if settings.isolated {
            position.isolated_wallet(settings.leverage)
        } else {
            Decimal::ZERO
        };
        let isolated_margin = if isolated.is_zero() {
            Decimal::ZERO
        } else {
            isolated + profit
        };
        let plain = |value: Decimal| {
            if value.is_zero() {
                "0".to_owned()
            } else {
                fixed(value.round_dp(8), 8)
            }
        };
        let liquidation = self
            .liquidation_price(exchange, symbol, leg, position)
            .map_or("0".to_owned(), |price| fixed(price.round_dp(8), 8));
        let mut entry = json!({
            "symbol": symbol,
            "positionSide": leg.as_str(),
            "positionAmt": fixed(position.amount, market.spec.quantity_precision),
            "entryPrice": fixed(position.entry_price, 1),
            "breakEvenPrice": fixed(position.break_even_price(), 1),
            "markPrice": fixed(market.mark_price, 8),
            "unRealizedProfit": fixed(profit, 8),
            "liquidationPrice": liquidation,
            "isolatedMargin": plain(isolated_margin),
            "notional": if v2 { plain(notional) } else { fixed(notional, 8) },
            "isolatedWallet": plain(isolated),
            "updateTime": position.updated,
        });
        let more = if v2 {
            json!({
                "marginType": if settings.isolated { "isolated" } else { "cross" },
                "isolated": settings.isolated,
                "isAutoAddMargin": "false",
                "leverage": settings.leverage.to_string(),
                "maxNotionalValue": Self::largest_notional(settings.leverage).to_string(),
                "adlQuantile": 0,
            })
        } else {
            let margin = self.leg_margin(exchange, symbol, leg, position);
            json!({
                "marginAsset": "USDT",
                "initialMargin": plain(margin.initial()),
                "maintMargin": plain(margin.maintenance),
                "positionInitialMargin": plain(margin.position),
                "openOrderInitialMargin": plain(margin.orders),
                "adl": 2,
                "bidNotional": plain(margin.bids),
                "askNotional": plain(margin.asks),
            })
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

    pub(super) fn set_position_mode(&mut self, params: &Params) -> Result<String, VenueError> {
        params.allow_only(&["dualSidePosition"])?;
        params.need("dualSidePosition")?;
        let hedge = params.flag(
            "dualSidePosition",
            VenueError::not_valid("dualSidePosition"),
        )?;
        if hedge == self.hedge_mode {
            return Err(VenueError::same_position_mode());
        }
        if self.book.open().next().is_some() || self.algos.open().next().is_some() {
            return Err(VenueError::position_mode_with_orders());
        }
        if self.positions.held().next().is_some() {
            return Err(VenueError::position_mode_with_position());
        }
        self.hedge_mode = hedge;
        Ok(success())
    }

    pub(super) fn asset_mode(&self, params: &Params) -> Result<String, VenueError> {
        params.allow_only(&[])?;
        Ok(json!({"multiAssetsMargin": self.multi_assets}).to_string())
    }

    /// The mode is kept and shown; margin is computed as in single-asset mode.
    pub(super) fn set_asset_mode(&mut self, params: &Params) -> Result<String, VenueError> {
        params.allow_only(&["multiAssetsMargin"])?;
        params.need("multiAssetsMargin")?;
        let multi = params.flag(
            "multiAssetsMargin",
            VenueError::not_valid("multiAssetsMargin"),
        )?;
        if multi == self.multi_assets {
            return Err(VenueError::same_asset_mode());
        }
        if multi && self.settings.values().any(|settings| settings.isolated) {
            return Err(VenueError::multi_assets_under_isolated());
        }
        self.multi_assets = multi;
        Ok(success())
    }

    pub(super) fn account_config(&self, params: &Params) -> Result<String, VenueError> {
        params.allow_only(&[])?;
        Ok(json!({
            "feeTier": 0,
            "canTrade": true,
            "canDeposit": true,
            "canWithdraw": true,
            "dualSidePosition": self.hedge_mode,
            "updateTime": 0,
            "multiAssetsMargin": self.multi_assets,
            "tradeGroupId": -1,
        })
        .to_string())
    }
}

/// How the venue says that a setting was changed.
pub(super) fn success() -> String {
    json!({"code": 200, "msg": "success"}).to_string()
}

/// How the venue says that everything was cancelled.
pub(super) fn all_cancelled() -> String {
    json!({"code": 200, "msg": "The operation of cancel all open order is done."}).to_string()
}
