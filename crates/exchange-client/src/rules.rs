//! What the venue allows for a symbol, and the arithmetic that keeps to it. Exact decimals, no rounding up of size, ever.

use crate::names::{Side, Symbol};
use rust_decimal::Decimal;
use std::{borrow::Cow, fmt};

/// A quantity some [`SymbolRules`] cut: positive, on the step, within the limits. In the contract's base asset.
///
/// Only [`SymbolRules::cut_quantity`] makes one, so an order cannot be given an unchecked size. Prints without
/// trailing zeros, which is also how it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(Decimal);

/// A trigger price some [`SymbolRules`] put on the tick. In the contract's quote asset. Prints as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerPrice(Decimal);

impl Quantity {
    /// The number itself, without trailing zeros.
    #[must_use]
    pub fn get(self) -> Decimal {
        self.0
    }
}

impl TriggerPrice {
    /// The number itself, without trailing zeros.
    #[must_use]
    pub fn get(self) -> Decimal {
        self.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for TriggerPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Smallest, largest and step of a number on the venue; a bound of zero on the wire means "no bound" and is `None` here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The smallest allowed value.
    pub min: Option<Decimal>,
    /// The largest allowed value.
    pub max: Option<Decimal>,
    /// Values are whole multiples of this.
    pub step: Option<Decimal>,
}

/// The rules of one symbol on the host they were loaded from. Test host and production differ, so they are never assumed.
///
/// ```
/// # use exchange_client::{ExchangeInfo, RuleError};
/// # let reply = br#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","filters":[
/// #   {"filterType":"LOT_SIZE","minQty":"0.001","maxQty":"1000","stepSize":"0.001"},
/// #   {"filterType":"MARKET_LOT_SIZE","minQty":"0.001","maxQty":"120","stepSize":"0.001"}]}]}"#;
/// # let info = ExchangeInfo::decode(reply)?;
/// let rules = info.rules(&"BTCUSDT".parse()?)?;
/// assert_eq!(rules.cut_quantity("0.0099".parse()?)?.to_string(), "0.009");
/// assert!(matches!(rules.cut_quantity("0.0009".parse()?), Err(RuleError::TooSmall { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolRules {
    /// The symbol these rules are for.
    pub symbol: Symbol,
    /// The venue's word for whether it can be traded; `TRADING` is the only one that lets an order through.
    pub status: Cow<'static, str>,
    /// `LOT_SIZE`: bounds of every order.
    pub lot: Grid,
    /// `MARKET_LOT_SIZE`: bounds of market orders, on top of [`lot`](Self::lot).
    pub market_lot: Grid,
    /// `PRICE_FILTER`: bounds of prices; absent where the venue sends none, and then no price can be rounded.
    pub price: Option<Grid>,
    /// How many decimal places a quantity may have (-1111 beyond), where the venue says it; bounds the steps, is none itself.
    pub quantity_precision: Option<u32>,
    /// How many decimal places a price may have, where the venue says it.
    pub price_precision: Option<u32>,
    /// `MIN_NOTIONAL`: the least worth of an order in the quote asset. Reduce-only orders are exempt, so closing ignores it.
    pub min_notional: Option<Decimal>,
    /// The asset profits are counted in, where the venue says it.
    pub margin_asset: Option<Cow<'static, str>>,
}

/// Why a number cannot be brought into the rules of a symbol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The symbol is not open for trading.
    #[error("{symbol} is not open for trading (status {status:?})")]
    NotTrading {
        /// The symbol asked about.
        symbol: Symbol,
        /// The venue's word.
        status: String,
    },
    /// What is left after cutting is below the smallest order.
    #[error("{wanted} of {symbol} is below the smallest market order, {min}")]
    TooSmall {
        /// The symbol asked about.
        symbol: Symbol,
        /// The number asked for.
        wanted: Decimal,
        /// The smallest allowed one.
        min: Decimal,
    },
    /// A price outside the venue's bounds, or a size or price that is zero or negative.
    #[error("{wanted} of {symbol} is outside what the venue allows")]
    OutOfBounds {
        /// The symbol asked about.
        symbol: Symbol,
        /// The number asked for.
        wanted: Decimal,
    },
    /// The rules give no valid number at all (or one too large to compute with).
    #[error("the rules of {symbol} allow no such number: {detail}")]
    Unworkable {
        /// The symbol asked about.
        symbol: Symbol,
        /// What stands in the way.
        detail: &'static str,
    },
}

impl SymbolRules {
    /// The largest quantity a market order may have that is not above `wanted` (base asset).
    ///
    /// A multiple of the steps of both lot filters, at most both maxima; never rounded up. The notional minimum is not
    /// looked at: closing orders are exempt from it.
    ///
    /// # Errors
    /// [`RuleError`] where the symbol is not trading, `wanted` is not positive, or nothing valid is left.
    pub fn cut_quantity(&self, wanted: Decimal) -> Result<Quantity, RuleError> {
        if !self.is_trading() {
            return Err(RuleError::NotTrading {
                symbol: self.symbol.clone(),
                status: self.status.clone().into_owned(),
            });
        }
        if wanted <= Decimal::ZERO {
            return Err(self.out_of_bounds(wanted));
        }
        let steps = [self.lot.step, self.market_lot.step];
        let step = self.common_step(&steps, self.quantity_precision)?;
        let bound = self
            .largest_quantity()
            .map_or(wanted, |most| wanted.min(most));
        let cut =
            multiple_below(bound, step).ok_or(self.unworkable("the number has too many digits"))?;
        let min = [self.lot.min, self.market_lot.min]
            .into_iter()
            .flatten()
            .fold(step, Decimal::max);
        if cut < min {
            return Err(RuleError::TooSmall {
                symbol: self.symbol.clone(),
                wanted,
                min,
            });
        }
        Ok(Quantity(cut.normalize()))
    }

    /// Whether the venue takes orders on it.
    #[must_use]
    pub fn is_trading(&self) -> bool {
        self.status == "TRADING"
    }

    /// The largest quantity of a market order (base asset); `None` where the venue sets none.
    #[must_use]
    pub fn largest_quantity(&self) -> Option<Decimal> {
        [self.lot.max, self.market_lot.max]
            .into_iter()
            .flatten()
            .reduce(Decimal::min)
    }

    /// Puts a stop's trigger price (quote asset) on the tick, towards the market: up for a stop that sells, down for one
    /// that buys. The stop then triggers at the wanted price or a fraction of a tick sooner, so the loss it allows is
    /// never larger than asked for.
    ///
    /// # Errors
    /// [`RuleError`] where no price rule is known, or the price is not positive or outside the venue's bounds.
    pub fn round_trigger(
        &self,
        wanted: Decimal,
        stop_side: Side,
    ) -> Result<TriggerPrice, RuleError> {
        if wanted <= Decimal::ZERO {
            return Err(self.out_of_bounds(wanted));
        }
        let Some(price) = self.price else {
            return Err(self.unworkable("no price rule is known"));
        };
        let tick = self.common_step(&[price.step], self.price_precision)?;
        let too_long = || self.unworkable("the number has too many digits");
        let below = multiple_below(wanted, tick).ok_or_else(too_long)?;
        let rounded = match stop_side {
            Side::Buy => below,
            Side::Sell if below == wanted => below,
            Side::Sell => below.checked_add(tick).ok_or_else(too_long)?,
        };
        let within = rounded > Decimal::ZERO
            && price.min.is_none_or(|min| rounded >= min)
            && price.max.is_none_or(|max| rounded <= max);
        if !within {
            return Err(self.out_of_bounds(wanted));
        }
        Ok(TriggerPrice(rounded.normalize()))
    }

    /// True for a quantity these rules would have cut; used once more before sending, since a [`Quantity`] does not say
    /// for which symbol it was made.
    #[must_use]
    pub fn admits(&self, quantity: Quantity) -> bool {
        self.cut_quantity(quantity.0) == Ok(quantity)
    }

    /// The smallest step that keeps to all of `steps` and to a number of decimal places.
    fn common_step(
        &self,
        steps: &[Option<Decimal>],
        places: Option<u32>,
    ) -> Result<Decimal, RuleError> {
        let steps = steps.iter().flatten().copied();
        let Some(step) = steps.map(Some).reduce(|a, b| common_multiple(a?, b?)) else {
            return Err(self.unworkable("no step size is known"));
        };
        let finest = places.and_then(|places| exact(1, places));
        let joined = match finest {
            Some(finest) => step.and_then(|step| common_multiple(step, finest)),
            None => step,
        };
        joined.ok_or(self.unworkable("the steps have no common multiple"))
    }

    fn out_of_bounds(&self, wanted: Decimal) -> RuleError {
        RuleError::OutOfBounds {
            symbol: self.symbol.clone(),
            wanted,
        }
    }

    fn unworkable(&self, detail: &'static str) -> RuleError {
        RuleError::Unworkable {
            symbol: self.symbol.clone(),
            detail,
        }
    }
}

/// The largest multiple of `step` not above `value`; both positive.
pub(crate) fn multiple_below(value: Decimal, step: Decimal) -> Option<Decimal> {
    let (value, step, scale) = same_scale(value, step)?;
    exact(value.checked_sub(value.checked_rem(step)?)?, scale)
}

/// The smallest number that is a multiple of both; both positive.
fn common_multiple(a: Decimal, b: Decimal) -> Option<Decimal> {
    if a == b {
        return Some(a);
    }
    let (a, b, scale) = same_scale(a, b)?;
    exact(
        a.checked_div(greatest_divisor(a, b))?.checked_mul(b)?,
        scale,
    )
}

fn greatest_divisor(a: i128, b: i128) -> i128 {
    if b == 0 {
        a
    } else {
        greatest_divisor(b, a % b)
    }
}

/// Both numbers as integers of one unit; `None` where that does not fit.
fn same_scale(a: Decimal, b: Decimal) -> Option<(i128, i128, u32)> {
    let (a, b) = (a.normalize(), b.normalize());
    let scale = a.scale().max(b.scale());
    let lift = |n: Decimal| {
        n.mantissa()
            .checked_mul(10i128.checked_pow(scale - n.scale())?)
    };
    Some((lift(a)?, lift(b)?, scale))
}

fn exact(mantissa: i128, scale: u32) -> Option<Decimal> {
    Decimal::try_from_i128_with_scale(mantissa, scale)
        .ok()
        .map(|n| n.normalize())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn grid(min: &str, max: &str, step: &str) -> Grid {
        let bound = |text: &str| Some(d(text)).filter(|n| !n.is_zero());
        Grid {
            min: bound(min),
            max: bound(max),
            step: bound(step),
        }
    }

    fn rules(lot: Grid, market_lot: Grid) -> SymbolRules {
        SymbolRules {
            symbol: "BTCUSDT".parse().unwrap(),
            status: "TRADING".into(),
            lot,
            market_lot,
            price: Some(grid("0.1", "100000", "0.1")),
            quantity_precision: None,
            price_precision: None,
            min_notional: Some(d("100")),
            margin_asset: None,
        }
    }

    fn btc() -> SymbolRules {
        rules(
            grid("0.001", "1000", "0.001"),
            grid("0.001", "120", "0.001"),
        )
    }

    #[test]
    fn a_quantity_is_cut_down_and_carries_no_tail() {
        for (wanted, cut) in [
            ("0.009", "0.009"),
            ("0.0090000", "0.009"),
            ("0.009000000000000001", "0.009"),
            ("0.0099999", "0.009"),
            ("100", "100"),
            ("119.9999", "119.999"),
        ] {
            assert_eq!(btc().cut_quantity(d(wanted)).unwrap().to_string(), cut);
        }
    }

    #[test]
    fn the_market_maximum_binds_before_the_general_one() {
        assert_eq!(btc().cut_quantity(d("500")).unwrap().get(), d("120"));
    }

    #[test]
    fn nothing_is_rounded_up_to_the_minimum() {
        assert!(matches!(
            btc().cut_quantity(d("0.0009")),
            Err(RuleError::TooSmall { .. })
        ));
        let coarse = rules(grid("0.01", "10", "0.001"), grid("0.02", "10", "0.001"));
        assert!(matches!(
            coarse.cut_quantity(d("0.019")),
            Err(RuleError::TooSmall { .. })
        ));
        assert_eq!(coarse.cut_quantity(d("0.02")).unwrap().get(), d("0.02"));
    }

    #[test]
    fn both_steps_bind_where_they_differ() {
        let mixed = rules(grid("0", "10", "0.4"), grid("0", "10", "0.6"));
        assert_eq!(mixed.cut_quantity(d("2.3")).unwrap().get(), d("1.2"));
        assert_eq!(mixed.cut_quantity(d("2.4")).unwrap().get(), d("2.4"));
    }

    #[test]
    fn a_step_finer_than_the_allowed_places_is_not_used_to_the_full() {
        let mut fine = rules(grid("0", "10", "0.0005"), grid("0", "10", "0.0005"));
        assert_eq!(fine.cut_quantity(d("0.0125")).unwrap().get(), d("0.0125"));
        fine.quantity_precision = Some(3);
        assert_eq!(fine.cut_quantity(d("0.0125")).unwrap().get(), d("0.012"));
    }

    #[test]
    fn a_symbol_that_is_not_trading_takes_no_order() {
        let mut halted = btc();
        halted.status = "SETTLING".into();
        assert!(matches!(
            halted.cut_quantity(d("1")),
            Err(RuleError::NotTrading { .. })
        ));
    }

    #[test]
    fn what_is_not_positive_or_not_computable_is_refused() {
        for wanted in ["0", "-0.001", "-5"] {
            assert!(matches!(
                btc().cut_quantity(d(wanted)),
                Err(RuleError::OutOfBounds { .. })
            ));
        }
        assert!(matches!(
            rules(
                grid("0", "0", "0.0000000000000000000000000001"),
                grid("0", "0", "0.1")
            )
            .cut_quantity(Decimal::MAX),
            Err(RuleError::Unworkable { .. })
        ));
        let without_step = rules(grid("1", "2", "0"), grid("1", "2", "0"));
        assert!(matches!(
            without_step.cut_quantity(d("1")),
            Err(RuleError::Unworkable { .. })
        ));
    }

    #[test]
    fn a_trigger_is_rounded_towards_the_market() {
        assert_eq!(
            btc()
                .round_trigger(d("64000.01"), Side::Sell)
                .unwrap()
                .to_string(),
            "64000.1"
        );
        assert_eq!(
            btc()
                .round_trigger(d("64000.09"), Side::Buy)
                .unwrap()
                .to_string(),
            "64000"
        );
        for side in [Side::Buy, Side::Sell] {
            assert_eq!(
                btc().round_trigger(d("64000.1"), side).unwrap().get(),
                d("64000.1")
            );
        }
        assert!(btc().round_trigger(d("0.05"), Side::Buy).is_err());
        assert!(btc().round_trigger(d("100000.01"), Side::Sell).is_err());
        assert!(btc().round_trigger(d("-1"), Side::Sell).is_err());
    }

    proptest! {
        #[test]
        fn a_cut_quantity_is_valid_and_the_next_step_would_be_too_much(
            wanted in 1u64..10_000_000_000, wanted_scale in 0u32..12,
            step in 1u64..5_000, market_step in 1u64..5_000, step_scale in 0u32..8, market_scale in 0u32..8,
            min in 0u64..50, max in 50u64..100_000,
        ) {
            let step = Decimal::new(step as i64, step_scale);
            let market_step = Decimal::new(market_step as i64, market_scale);
            let wanted = Decimal::new(wanted as i64, wanted_scale);
            let rules = rules(
                Grid { min: Some(step * Decimal::from(min)), max: Some(step * Decimal::from(max)), step: Some(step) },
                Grid { min: None, max: None, step: Some(market_step) },
            );
            let common = common_multiple(step, market_step).unwrap();
            match rules.cut_quantity(wanted) {
                Ok(quantity) => {
                    let cut = quantity.get();
                    prop_assert!(cut <= wanted && cut <= step * Decimal::from(max) && cut >= step * Decimal::from(min));
                    prop_assert!((cut % step).is_zero() && (cut % market_step).is_zero());
                    prop_assert!(cut + common > wanted || cut + common > step * Decimal::from(max));
                    prop_assert!(rules.admits(quantity));
                }
                Err(RuleError::TooSmall { min, .. }) => {
                    let ceiling = wanted.min(step * Decimal::from(max));
                    let largest = ceiling - ceiling % common;
                    prop_assert!(largest < min);
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
