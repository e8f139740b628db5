//! A position and what closing it means, in one-way and in hedge mode.

use crate::{
    names::{PositionMode, PositionSide, Side, Symbol},
    time::VenueTime,
};
use rust_decimal::Decimal;

/// A position as the venue reports it. A flat symbol has none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// The contract.
    pub symbol: Symbol,
    /// Which of the symbol's positions this is.
    pub side: PositionSide,
    /// Signed size in the base asset: above zero long, below zero short.
    pub amount: Decimal,
    /// Average entry price in the quote asset, where reported.
    pub entry_price: Option<Decimal>,
    /// Mark price in the quote asset, where reported.
    pub mark_price: Option<Decimal>,
    /// Profit not yet realised, in the margin asset, where reported.
    pub unrealized_profit: Option<Decimal>,
    /// When the venue last changed it, where reported.
    pub updated_at: Option<VenueTime>,
}

/// How to close a position: which way, marked how, and how much at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) side: Side,
    pub(crate) position_side: PositionSide,
    pub(crate) at_most: Decimal,
}

/// Why a position cannot be closed as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// There is nothing to close.
    #[error("the {side} position of {symbol} is flat")]
    Flat {
        /// The contract.
        symbol: Symbol,
        /// Which of its positions.
        side: PositionSide,
    },
    /// The position does not belong to the account's mode: `BOTH` in hedge mode, or `LONG`/`SHORT` in one-way mode. The
    /// mode was probably switched after it was read; nothing is sent on a contradiction.
    #[error("a {side} position of {symbol} does not fit an account in {mode:?} mode")]
    ModeMismatch {
        /// The contract.
        symbol: Symbol,
        /// Which of its positions.
        side: PositionSide,
        /// The mode that was assumed.
        mode: PositionMode,
    },
    /// The rules given are another symbol's.
    #[error("rules of {rules} were given for a position in {symbol}")]
    OtherSymbol {
        /// The contract of the position.
        symbol: Symbol,
        /// The contract of the rules.
        rules: Symbol,
    },
}

impl Position {
    /// A position known from elsewhere than the venue's reply: a journal, a test. Everything optional is absent.
    #[must_use]
    pub fn new(symbol: Symbol, side: PositionSide, amount: Decimal) -> Self {
        Self {
            symbol,
            side,
            amount,
            entry_price: None,
            mark_price: None,
            unrealized_profit: None,
            updated_at: None,
        }
    }

    /// Size without sign, base asset.
    #[must_use]
    pub fn size(&self) -> Decimal {
        self.amount.abs()
    }

    /// The side of the order that closes it.
    pub(crate) fn closing(&self, mode: PositionMode) -> Result<Closing, CloseError> {
        if self.amount.is_zero() {
            return Err(CloseError::Flat {
                symbol: self.symbol.clone(),
                side: self.side,
            });
        }
        let side = match (mode, self.side) {
            (PositionMode::OneWay, PositionSide::Both) if self.amount.is_sign_positive() => {
                Side::Sell
            }
            (PositionMode::OneWay, PositionSide::Both) => Side::Buy,
            (PositionMode::Hedge, PositionSide::Long) => Side::Sell,
            (PositionMode::Hedge, PositionSide::Short) => Side::Buy,
            (PositionMode::OneWay, PositionSide::Long | PositionSide::Short)
            | (PositionMode::Hedge, PositionSide::Both) => {
                return Err(CloseError::ModeMismatch {
                    symbol: self.symbol.clone(),
                    side: self.side,
                    mode,
                });
            }
        };
        Ok(Closing {
            side,
            position_side: self.side,
            at_most: self.size(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn position(side: PositionSide, amount: i64) -> Position {
        Position::new("BTCUSDT".parse().unwrap(), side, Decimal::new(amount, 3))
    }

    #[test]
    fn a_long_is_sold_and_a_short_bought_back() {
        use PositionMode::{Hedge, OneWay};
        for (side, amount, mode, closes) in [
            (PositionSide::Both, 5, OneWay, Side::Sell),
            (PositionSide::Both, -5, OneWay, Side::Buy),
            (PositionSide::Long, 5, Hedge, Side::Sell),
            (PositionSide::Short, -5, Hedge, Side::Buy),
        ] {
            let closing = position(side, amount).closing(mode).unwrap();
            assert_eq!((closing.side, closing.position_side), (closes, side));
            assert_eq!(closing.at_most, Decimal::new(5, 3));
        }
    }

    #[test]
    fn a_flat_position_or_one_of_the_other_mode_is_not_closed() {
        let flat = position(PositionSide::Both, 0);
        assert!(matches!(
            flat.closing(PositionMode::OneWay),
            Err(CloseError::Flat { .. })
        ));
        for (side, mode) in [
            (PositionSide::Both, PositionMode::Hedge),
            (PositionSide::Long, PositionMode::OneWay),
            (PositionSide::Short, PositionMode::OneWay),
        ] {
            let closing = position(side, 5).closing(mode);
            assert!(matches!(closing, Err(CloseError::ModeMismatch { .. })));
        }
    }
}
