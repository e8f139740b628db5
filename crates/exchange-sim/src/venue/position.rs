//! Positions: what a fill does to them, what it realises, what may still be reduced.

use super::book::{ActiveVeil, Side, TAKER_FEE};
use crate::config::PositionSide;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Decimal places of an entry price and of a realised profit.
const PLACES: u32 = 8;

/// One leg: signed amount in the base asset, entry price in USDT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) amount: Decimal,
    pub(crate) entry_price: Decimal,
    pub(crate) updated: i64,
}

impl Position {
    /// Takes in a fill of `amount` (signed) at `price`; answers the profit it realises, before commission.
    pub(crate) fn apply(&mut self, amount: Decimal, price: Decimal, now: i64) -> Decimal {
        self.updated = now;
        let same_direction =
            self.amount.is_zero() || self.amount.is_sign_positive() == amount.is_sign_positive();
        if same_direction {
            let total = self.amount + amount;
            if !total.is_zero() {
                let value = self.amount * self.entry_price + amount * price;
                self.entry_price = (value / total).round_dp(PLACES);
            }
            self.amount = total;
            return Decimal::ZERO;
        }
        let closed = amount.abs().min(self.amount.abs());
        let gain = if self.amount.is_sign_positive() {
            price - self.entry_price
        } else {
            self.entry_price - price
        };
        let flips = amount.abs() > self.amount.abs();
        self.amount += amount;
        if self.amount.is_zero() {
            self.entry_price = Decimal::ZERO;
        } else if flips {
            self.entry_price = price;
        }
        (gain * closed).round_dp(PLACES)
    }

    /// Unrealised profit at a mark price, in USDT.
    pub(super) fn profit(&self, mark_price: Decimal) -> Decimal {
        if self.amount.is_zero() {
            Decimal::ZERO
        } else {
            (mark_price - self.entry_price) * self.amount
        }
    }

    /// What an isolated position holds of the wallet balance, in USDT.
    pub(super) fn isolated_wallet(&self, leverage: u32) -> Decimal {
        (self.amount.abs() * self.entry_price / Decimal::from(leverage.max(1))).round_dp(PLACES)
    }

    /// The price at which the fee of the entry is earned back.
    pub(super) fn break_even_price(&self) -> Decimal {
        let fee = self.entry_price * TAKER_FEE;
        let price = if self.amount.is_sign_negative() {
            self.entry_price - fee
        } else {
            self.entry_price + fee
        };
        price.round_dp(PLACES)
    }

    /// How much an order of this side could reduce, at most.
    pub(super) fn reducible(&self, side: Side) -> Decimal {
        match side {
            Side::Sell => self.amount.max(Decimal::ZERO),
            Side::Buy => (-self.amount).max(Decimal::ZERO),
        }
    }
}

/// All legs, and what position queries still show of the past.
#[derive(Debug, Default)]
pub(super) struct Positions {
    legs: BTreeMap<(String, PositionSide), Position>,
    veiled: Vec<Veiled>,
}

#[derive(Debug)]
struct Veiled {
    symbol: String,
    side: PositionSide,
    shown: Position,
    veil: ActiveVeil,
}

impl Positions {
    pub(super) fn get(&self, symbol: &str, side: PositionSide) -> Position {
        self.legs
            .get(&(symbol.to_owned(), side))
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn set(
        &mut self,
        symbol: &str,
        side: PositionSide,
        amount: Decimal,
        entry_price: Decimal,
        now: i64,
    ) {
        let entry_price = if amount.is_zero() {
            Decimal::ZERO
        } else {
            entry_price
        };
        self.legs.insert(
            (symbol.to_owned(), side),
            Position {
                amount,
                entry_price,
                updated: now,
            },
        );
    }

    pub(super) fn apply(
        &mut self,
        symbol: &str,
        side: PositionSide,
        amount: Decimal,
        price: Decimal,
        now: i64,
    ) -> Decimal {
        self.legs
            .entry((symbol.to_owned(), side))
            .or_default()
            .apply(amount, price, now)
    }

    /// How many legs were ever held.
    pub(super) fn count(&self) -> usize {
        self.legs.len()
    }

    pub(super) fn held(&self) -> impl Iterator<Item = (&str, PositionSide, &Position)> {
        self.legs
            .iter()
            .filter(|(_, position)| !position.amount.is_zero())
            .map(|((symbol, side), position)| (symbol.as_str(), *side, position))
    }

    /// Lets queries go on seeing this leg as it is now.
    pub(super) fn veil(&mut self, symbol: &str, side: PositionSide, veil: ActiveVeil) {
        let shown = self.get(symbol, side);
        self.veiled.push(Veiled {
            symbol: symbol.to_owned(),
            side,
            shown,
            veil,
        });
    }

    /// Counts one query that covers `symbol` (`None`: all symbols) and drops the veils that have lifted.
    pub(super) fn count_query(&mut self, symbol: Option<&str>, now: i64) {
        self.veiled.retain_mut(|veiled| {
            let asked = symbol.is_none_or(|symbol| symbol == veiled.symbol);
            !asked || veiled.veil.hides(now)
        });
    }

    /// The leg as queries see it: the oldest veil over it wins.
    pub(super) fn seen(&self, symbol: &str, side: PositionSide) -> Position {
        self.veiled
            .iter()
            .find(|veiled| veiled.symbol == symbol && veiled.side == side)
            .map_or_else(|| self.get(symbol, side), |veiled| veiled.shown.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn adding_averages_reducing_realises_and_flipping_starts_anew() {
        let mut position = Position::default();
        assert_eq!(position.apply(dec("1"), dec("100"), 1), Decimal::ZERO);
        position.apply(dec("1"), dec("110"), 2);
        assert_eq!(position.entry_price, dec("105"));
        assert_eq!(position.apply(dec("-0.5"), dec("115"), 3), dec("5"));
        assert_eq!(position.entry_price, dec("105"));
        assert_eq!(position.apply(dec("-2"), dec("95"), 4), dec("-15"));
        assert_eq!(
            (position.amount, position.entry_price),
            (dec("-0.5"), dec("95"))
        );
        assert_eq!(position.apply(dec("0.5"), dec("90"), 5), dec("2.5"));
        assert_eq!(
            (position.amount, position.entry_price),
            (dec("0"), dec("0"))
        );
    }

    #[test]
    fn only_the_other_side_reduces() {
        let long = Position {
            amount: dec("2"),
            ..Position::default()
        };
        assert_eq!(long.reducible(Side::Sell), dec("2"));
        assert_eq!(long.reducible(Side::Buy), Decimal::ZERO);
    }
}
