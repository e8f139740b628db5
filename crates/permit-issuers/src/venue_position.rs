//! What the venue holds for a symbol, and when it was asked.

use crate::timestamp::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};

/// Sizes a market order may have, in base units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot {
    /// Quantities are whole multiples of this; above 0.
    pub step: Decimal,
    /// The smallest order.
    pub min: Decimal,
    /// The largest order, where there is one.
    pub max: Option<Decimal>,
}

/// A symbol at the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VenuePosition {
    /// The signed position, in base units: positive is long, zero is flat.
    pub amount: Decimal,
    /// The mark price in quote units, where the venue gave one.
    pub mark_price: Option<Decimal>,
    /// What an order may look like.
    pub lot: Lot,
}

/// A holding as it was at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// When the question left: what happened later may not be in it.
    pub asked_at: Timestamp,
    /// The answer.
    pub holding: VenuePosition,
}

/// Permits carry binary floats, which readers take for the decimal of 12 significant digits they
/// stand for. A quantity with more would be rounded by its reader, perhaps up.
const WIRE_DIGITS: u32 = 12;

impl Lot {
    /// Quantities of whole steps, one at least and without an upper bound.
    pub fn of_step(step: Decimal) -> Self {
        Self {
            step,
            min: step,
            max: None,
        }
    }

    /// The largest order that is not above `wanted`; `None` where nothing valid is left.
    pub fn cut(&self, wanted: Decimal) -> Option<Decimal> {
        if self.step <= Decimal::ZERO {
            return None;
        }
        let bound = self.max.map_or(wanted, |max| wanted.min(max));
        let readable = bound.round_sf_with_strategy(WIRE_DIGITS, RoundingStrategy::ToZero)?;
        let rest = readable.checked_rem(self.step)?;
        let cut = readable.checked_sub(rest)?;
        (cut > Decimal::ZERO && cut >= self.min).then(|| cut.normalize())
    }
}

impl VenuePosition {
    /// A position of this signed amount, at a price that is not known.
    pub fn new(amount: Decimal, lot: Lot) -> Self {
        Self {
            amount,
            mark_price: None,
            lot,
        }
    }

    /// What closing this share of the position may order: cut down to the venue's step, never
    /// up. `None` where that is less than the venue takes, or beyond what can be computed.
    pub fn share(&self, percent: u8) -> Option<Decimal> {
        let whole = self.amount.abs();
        let share = match percent {
            100 => whole,
            percent => whole
                .checked_mul(Decimal::from(percent))?
                .checked_div(Decimal::ONE_HUNDRED)?,
        };
        self.lot.cut(share.min(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn holding(amount: &str, step: &str) -> VenuePosition {
        VenuePosition {
            amount: dec(amount),
            mark_price: None,
            lot: Lot {
                step: dec(step),
                min: dec(step),
                max: Some(dec("120")),
            },
        }
    }

    #[test]
    fn a_share_is_cut_down_to_the_step_and_to_the_largest_order() {
        for (amount, percent, step, share) in [
            ("0.0124", 75, "0.001", Some("0.009")),
            ("0.0124", 75, "0.0001", Some("0.0093")),
            ("-0.0124", 50, "0.001", Some("0.006")),
            ("0.0124", 100, "0.001", Some("0.012")),
            ("0.001", 50, "0.001", None),
            ("0", 100, "0.001", None),
            ("1000000", 50, "0.001", Some("120")),
            ("7.5", 50, "2.5", Some("2.5")),
            ("1", 100, "0", None),
        ] {
            let cut = holding(amount, step).share(percent);
            assert_eq!(cut, share.map(dec), "{percent} % of {amount} by {step}");
        }
    }

    #[test]
    fn a_quantity_of_more_digits_than_the_wire_carries_is_cut_and_not_rounded() {
        let mut long = holding("1234567.89019999", "0.00000001");
        long.lot.max = None;
        assert_eq!(long.share(100), Some(dec("1234567.89019")));
    }

    #[test]
    fn figures_beyond_a_decimal_are_no_share() {
        let mut huge = holding("1", "0.001");
        (huge.amount, huge.lot.max) = (Decimal::MAX, None);
        assert_eq!(huge.share(75), None);
    }
}
