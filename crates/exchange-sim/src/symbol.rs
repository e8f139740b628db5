//! A tradable symbol and its filters, as `exchangeInfo` lists them and as orders are measured against them.

use crate::error::VenueError;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Largest price of any symbol in USDT, as `PRICE_FILTER` lists it. Together with [`MAX_AMOUNT`] it keeps every
/// product of price and quantity far below what a decimal holds.
pub(crate) const MAX_PRICE: Decimal = Decimal::from_parts(4_529_764, 0, 0, false, 0);
/// Largest quantity or position of any symbol: 10^12 of the base asset.
pub(crate) const MAX_AMOUNT: Decimal = Decimal::from_parts(3_567_587_328, 232, 0, false, 0);
/// Orders one symbol may have open at once.
pub(crate) const MAX_OPEN: usize = 200;
/// How far from the mark price a limit may lie: PERCENT_PRICE, times and divided.
const MULTIPLIER_UP: Decimal = Decimal::from_parts(105, 0, 0, false, 2);
const MULTIPLIER_DOWN: Decimal = Decimal::from_parts(95, 0, 0, false, 2);
/// When every symbol here was listed: 2019-09-25.
const ONBOARDED: i64 = 1_569_398_400_000;
/// Most decimal places a symbol may use.
const MAX_PLACES: u32 = 8;

/// Bounds and step of a quantity, in the base asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lot {
    /// Smallest quantity of one order.
    #[serde(with = "rust_decimal::serde::str")]
    pub min: Decimal,
    /// Largest quantity of one order.
    #[serde(with = "rust_decimal::serde::str")]
    pub max: Decimal,
    /// Quantities are whole multiples of this.
    #[serde(with = "rust_decimal::serde::str")]
    pub step: Decimal,
}

/// One symbol: its names, its filters and the mark price it opens with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymbolSpec {
    /// Name, for example `BTCUSDT`.
    pub symbol: String,
    /// Base asset, for example `BTC`. The quote asset is always USDT.
    pub base_asset: String,
    /// `TRADING`, or any other word for a symbol that takes no orders.
    pub status: String,
    /// `PERPETUAL` unless set otherwise.
    #[serde(default = "perpetual")]
    pub contract_type: String,
    /// Mark price when the venue opens, in USDT. Market orders fill at the mark price.
    #[serde(with = "rust_decimal::serde::str")]
    pub mark_price: Decimal,
    /// Prices are whole multiples of this.
    #[serde(with = "rust_decimal::serde::str")]
    pub tick: Decimal,
    /// Decimal places a price may have; not the tick.
    pub price_precision: u32,
    /// Decimal places a quantity may have; not the step.
    pub quantity_precision: u32,
    /// `LOT_SIZE`: rules LIMIT orders.
    pub lot: Lot,
    /// `MARKET_LOT_SIZE`: rules MARKET orders.
    pub market_lot: Lot,
    /// `MIN_NOTIONAL`: smallest order value in USDT; orders that can only reduce are exempt.
    #[serde(with = "rust_decimal::serde::str")]
    pub min_notional: Decimal,
}

impl SymbolSpec {
    /// BTCUSDT, ETHUSDT and SOLUSDT with filters like those of the test host.
    pub(crate) fn usual() -> Vec<Self> {
        vec![Self::btcusdt(), Self::ethusdt(), Self::solusdt()]
    }

    /// BTCUSDT as the test host lists it: step 0.0001, tick 0.1, at 64000.
    pub fn btcusdt() -> Self {
        let step = Decimal::new(1, 4);
        Self {
            symbol: "BTCUSDT".into(),
            base_asset: "BTC".into(),
            status: "TRADING".into(),
            contract_type: perpetual(),
            mark_price: Decimal::new(64_000, 0),
            tick: Decimal::new(1, 1),
            price_precision: 2,
            quantity_precision: 4,
            lot: Lot {
                min: step,
                max: Decimal::new(1000, 0),
                step,
            },
            market_lot: Lot {
                min: step,
                max: Decimal::new(120, 0),
                step,
            },
            min_notional: Decimal::new(100, 0),
        }
    }

    /// ETHUSDT: step 0.001, tick 0.01, at 3200.
    pub fn ethusdt() -> Self {
        let step = Decimal::new(1, 3);
        Self {
            symbol: "ETHUSDT".into(),
            base_asset: "ETH".into(),
            status: "TRADING".into(),
            contract_type: perpetual(),
            mark_price: Decimal::new(3_200, 0),
            tick: Decimal::new(1, 2),
            price_precision: 2,
            quantity_precision: 3,
            lot: Lot {
                min: step,
                max: Decimal::new(10_000, 0),
                step,
            },
            market_lot: Lot {
                min: step,
                max: Decimal::new(2_000, 0),
                step,
            },
            min_notional: Decimal::new(20, 0),
        }
    }

    /// SOLUSDT: step 0.01, tick 0.01 with a price precision of 4, at 150.
    pub fn solusdt() -> Self {
        let step = Decimal::new(1, 2);
        Self {
            symbol: "SOLUSDT".into(),
            base_asset: "SOL".into(),
            status: "TRADING".into(),
            contract_type: perpetual(),
            mark_price: Decimal::new(150, 0),
            tick: Decimal::new(1, 2),
            price_precision: 4,
            quantity_precision: 2,
            lot: Lot {
                min: step,
                max: Decimal::new(1_000_000, 0),
                step,
            },
            market_lot: Lot {
                min: step,
                max: Decimal::new(5_000, 0),
                step,
            },
            min_notional: Decimal::new(5, 0),
        }
    }

    /// A symbol of this name at this price, with a tick, steps and bounds that fit the price: a tick of about a
    /// hundred-thousandth of it, and quantities in steps that are worth about ten USDT at most.
    pub fn priced(symbol: impl Into<String>, mark_price: Decimal) -> Self {
        let symbol = symbol.into();
        let mut digits = 0;
        while digits < MAX_PLACES
            && mark_price * Decimal::from(10_u32.pow(digits)) < Decimal::from(10_000)
        {
            digits += 1;
        }
        let quantity_digits = MAX_PLACES.min(6).saturating_sub(digits);
        let step = Decimal::new(1, quantity_digits);
        let most = Decimal::from(10_u64.pow(10 - quantity_digits.min(6)));
        let lot = Lot {
            min: step,
            max: most,
            step,
        };
        Self {
            base_asset: symbol.strip_suffix("USDT").unwrap_or(&symbol).to_owned(),
            symbol,
            status: "TRADING".into(),
            contract_type: perpetual(),
            mark_price,
            tick: Decimal::new(1, digits),
            price_precision: digits,
            quantity_precision: quantity_digits,
            market_lot: lot.clone(),
            lot,
            min_notional: Decimal::new(5, 0),
        }
    }

    /// The same symbol with another mark price to open with.
    #[must_use]
    pub fn at(mut self, mark_price: Decimal) -> Self {
        self.mark_price = mark_price;
        self
    }

    /// The same filters under another name; for venues with many symbols.
    #[must_use]
    pub fn named(mut self, symbol: impl Into<String>) -> Self {
        self.symbol = symbol.into();
        self
    }

    /// Whether a venue can be run with this symbol; otherwise which field is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = |field: &str| Err(format!("symbol {}: {field} is out of range", self.symbol));
        let amount = |value: Decimal| value >= Decimal::ZERO && value <= MAX_AMOUNT;
        if self.symbol.is_empty() {
            return wrong("symbol");
        }
        if !is_price(self.mark_price) {
            return wrong("mark_price");
        }
        if self.tick < Decimal::ZERO || self.tick > MAX_PRICE {
            return wrong("tick");
        }
        if self.price_precision > MAX_PLACES || self.quantity_precision > MAX_PLACES {
            return wrong("precision");
        }
        if !amount(self.min_notional) {
            return wrong("min_notional");
        }
        for lot in [&self.lot, &self.market_lot] {
            if ![lot.min, lot.max, lot.step].into_iter().all(amount) {
                return wrong("lot");
            }
        }
        Ok(())
    }

    /// Measures an order quantity. `market` picks the filter that rules MARKET orders.
    ///
    /// The order of the checks is ours: sign, precision, bounds, step. Trailing zeros are no precision.
    pub(crate) fn check_quantity(&self, quantity: Decimal, market: bool) -> Result<(), VenueError> {
        let lot = if market { &self.market_lot } else { &self.lot };
        if quantity <= Decimal::ZERO {
            return Err(VenueError::quantity_not_positive());
        }
        if quantity.normalize().scale() > self.quantity_precision {
            return Err(VenueError::precision());
        }
        if quantity < lot.min {
            return Err(VenueError::quantity_below_min());
        }
        if quantity > lot.max {
            return Err(VenueError::quantity_above_max());
        }
        if !is_multiple(quantity, lot.step) {
            return Err(VenueError::quantity_off_step());
        }
        Ok(())
    }

    /// Measures a price: sign, bounds, precision, tick.
    pub(crate) fn check_price(&self, price: Decimal) -> Result<(), VenueError> {
        if price <= Decimal::ZERO {
            return Err(VenueError::price_not_positive());
        }
        if price > MAX_PRICE {
            return Err(VenueError::price_above_max());
        }
        if price < self.tick {
            return Err(VenueError::price_below_min());
        }
        if price.normalize().scale() > self.price_precision {
            return Err(VenueError::precision());
        }
        if !is_multiple(price, self.tick) {
            return Err(VenueError::price_off_tick());
        }
        Ok(())
    }

    /// Measures a trigger price; whether it lies on the tick is looked at only where requests are read strictly.
    pub(crate) fn check_trigger_price(
        &self,
        price: Decimal,
        strict: bool,
    ) -> Result<(), VenueError> {
        if price <= Decimal::ZERO {
            return Err(VenueError::stop_price_not_positive());
        }
        if price > MAX_PRICE {
            return Err(VenueError::stop_price_above_max());
        }
        if price.normalize().scale() > self.price_precision {
            return Err(VenueError::precision());
        }
        if strict && !is_multiple(price, self.tick) {
            return Err(VenueError::price_off_tick());
        }
        Ok(())
    }

    /// The highest price of a buy and the lowest of a sell, by PERCENT_PRICE, around `price`.
    pub(crate) fn price_band(&self, price: Decimal) -> (Decimal, Decimal) {
        (price * MULTIPLIER_UP, price * MULTIPLIER_DOWN)
    }

    /// When the symbol was listed, in milliseconds since 1970.
    pub(crate) fn onboarded(&self) -> i64 {
        ONBOARDED
    }

    /// The symbol's entry in `exchangeInfo`, with the venue's seven filters; `unknown_filter` adds one that no
    /// client knows.
    pub(crate) fn listing(&self, unknown_filter: bool) -> Value {
        let text = |value: Decimal| value.to_string();
        let mut filters = vec![
            json!({"filterType": "PRICE_FILTER", "minPrice": text(self.tick), "maxPrice": text(MAX_PRICE), "tickSize": text(self.tick)}),
            json!({"filterType": "LOT_SIZE", "minQty": text(self.lot.min), "maxQty": text(self.lot.max), "stepSize": text(self.lot.step)}),
            json!({"filterType": "MARKET_LOT_SIZE", "minQty": text(self.market_lot.min), "maxQty": text(self.market_lot.max), "stepSize": text(self.market_lot.step)}),
            json!({"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN}),
            json!({"filterType": "MIN_NOTIONAL", "notional": text(self.min_notional)}),
            json!({"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"}),
            json!({"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"}),
        ];
        if unknown_filter {
            filters.push(json!({"filterType": "SIM_FILTER_NO_CLIENT_KNOWS", "nested": {"depth": [1, "two", null]}}));
        }
        json!({
            "symbol": self.symbol,
            "pair": self.symbol,
            "contractType": self.contract_type,
            "deliveryDate": 4_133_404_800_000_i64,
            "onboardDate": ONBOARDED,
            "status": self.status,
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": self.base_asset,
            "quoteAsset": "USDT",
            "marginAsset": "USDT",
            "pricePrecision": self.price_precision,
            "quantityPrecision": self.quantity_precision,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": ["PoW"],
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012500",
            "marketTakeBound": "0.05",
            "maxMoveOrderLimit": 10_000,
            "filters": filters,
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
            "permissionSets": ["GRID", "COPY"],
        })
    }
}

fn perpetual() -> String {
    "PERPETUAL".to_owned()
}

/// Whether a mark or fill price can be worked with.
pub(crate) fn is_price(value: Decimal) -> bool {
    value > Decimal::ZERO && value <= MAX_PRICE
}

fn is_multiple(value: Decimal, of: Decimal) -> bool {
    of.is_zero() || (value % of).is_zero()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn each_broken_filter_has_the_code_of_the_venue() {
        let mut btc = SymbolSpec::btcusdt();
        btc.market_lot.min = dec("0.001");
        btc.market_lot.step = dec("0.0005");
        for (quantity, code) in [
            ("0", -4003),
            ("-1", -4003),
            ("0.009000000000000001", -1111),
            ("0.0005", -4004),
            ("121", -4005),
            ("0.0012", -4023),
        ] {
            assert_eq!(
                btc.check_quantity(dec(quantity), true).unwrap_err().code,
                code,
                "{quantity}"
            );
        }
        assert!(btc.check_quantity(dec("0.0015"), true).is_ok());
        assert!(btc.check_quantity(dec("0.00150000000"), true).is_ok());
    }

    #[test]
    fn a_symbol_no_venue_could_run_with_is_named_with_its_field() {
        assert_eq!(MAX_AMOUNT, dec("1000000000000"));
        for spec in SymbolSpec::usual() {
            spec.check().unwrap();
        }
        let broken = |change: fn(&mut SymbolSpec)| {
            let mut spec = SymbolSpec::btcusdt();
            change(&mut spec);
            spec.check().unwrap_err()
        };
        assert!(broken(|s| s.mark_price = Decimal::ZERO).contains("mark_price"));
        assert!(broken(|s| s.mark_price = Decimal::MAX).contains("mark_price"));
        assert!(broken(|s| s.tick = -Decimal::ONE).contains("tick"));
        assert!(broken(|s| s.quantity_precision = 29).contains("precision"));
        assert!(broken(|s| s.lot.max = Decimal::MAX).contains("lot"));
    }

    #[test]
    fn a_symbol_made_for_a_price_can_be_traded_at_it() {
        for price in ["0.00001234", "0.1", "3", "150", "64000", "4000000"] {
            let spec = SymbolSpec::priced("COINUSDT", dec(price));
            spec.check().unwrap();
            assert_eq!(spec.base_asset, "COIN");
            spec.check_price(dec(price)).unwrap();
            assert!(spec.lot.step * dec(price) <= dec("10"), "{spec:?}");
            assert!(spec.lot.max * dec(price) >= dec("10000"), "{spec:?}");
        }
    }

    #[test]
    fn market_and_limit_orders_have_bounds_of_their_own() {
        let btc = SymbolSpec::btcusdt();
        assert!(btc.check_quantity(dec("500"), false).is_ok());
        assert_eq!(
            btc.check_quantity(dec("500"), true).unwrap_err().code,
            -4005
        );
    }

    #[test]
    fn a_price_between_two_ticks_is_refused() {
        let btc = SymbolSpec::btcusdt();
        assert!(btc.check_price(dec("64000.1")).is_ok());
        assert_eq!(btc.check_price(dec("64000.15")).unwrap_err().code, -4014);
        assert_eq!(btc.check_price(dec("64000.123")).unwrap_err().code, -1111);
        assert_eq!(btc.check_price(dec("0")).unwrap_err().code, -4001);
        assert_eq!(btc.check_price(dec("4529764.1")).unwrap_err().code, -4002);
    }
}
