//! From a grant to an order: how much, which way, or why not after all.

use crate::{
    exchange::{Position, QuantityRules, Side},
    journal::{OrderKind, RecordedIntent},
    plan_id::client_order_id,
    symbol::Symbol,
};
use permit_gate::{Grant, PlanId};
use rust_decimal::Decimal;
use std::ops::Deref;

/// A close that every reviewer allowed, sized to what they and the live position allow.
///
/// Only [`ApprovedClose::size`] makes one, out of a [`Grant`] which it consumes; submitting takes
/// it by value. There is no other way to an order.
///
/// ```compile_fail
/// # fn submit(_: apply_core::ApprovedClose) {}
/// fn twice(order: apply_core::ApprovedClose) { submit(order); submit(order); }
/// ```
#[derive(Debug)]
pub struct ApprovedClose {
    grant: Grant,
    symbol: Symbol,
    side: Side,
    quantity: Decimal,
}

/// A stop move that every reviewer allowed, for the side of the live position.
#[derive(Debug)]
pub struct ApprovedStop {
    grant: Grant,
    symbol: Symbol,
    side: Side,
    trigger: Decimal,
}

/// An approved order whose intent is on disk: what the venue takes. Made by
/// [`ApprovedClose::arm`] and [`ApprovedStop::arm`] alone.
///
/// ```compile_fail
/// fn unarmed(order: apply_core::ApprovedClose) { submit(order); }
/// # fn submit(_: apply_core::Armed<apply_core::ApprovedClose>) {}
/// ```
#[derive(Debug)]
pub struct Armed<O>(O);

impl<O> Deref for Armed<O> {
    type Target = O;

    fn deref(&self) -> &O {
        &self.0
    }
}

/// Why a granted plan is not placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoOrder {
    /// There is nothing to close.
    #[error("the venue holds no position")]
    NoPosition,
    /// The reviewer saw a position of the other sign.
    #[error("the reviewer saw a position of {seen}, the venue holds {live}")]
    SideMismatch {
        /// The reviewer's.
        seen: Decimal,
        /// The venue's.
        live: Decimal,
    },
    /// No permit of the set says how much may be closed.
    #[error("no permit gives a quantity")]
    NoQuantity,
    /// What may be closed is less than the venue takes.
    #[error("{wanted} cannot be ordered: {why}")]
    NotOrderable {
        /// What would have been ordered.
        wanted: Decimal,
        /// The venue's rule.
        why: String,
    },
    /// The permits were taken, and the position and the kill switch not known in time.
    #[error("position and kill switch were not known by the end of the wait for permits")]
    TooLate,
    /// Trading was halted between the grant and the order.
    #[error("trading was halted after the permits were taken: {by}")]
    Halted {
        /// What says so.
        by: String,
    },
    /// What was written down is not what would be placed.
    #[error("the order is not the one that was written down before it")]
    OtherIntent,
    /// The grant is for another symbol than the plan.
    #[error("the grant is for {0}")]
    OtherSymbol(String),
}

impl NoOrder {
    /// The `error` of the result.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPosition => "no_position",
            Self::SideMismatch { .. } => "position_side_mismatch",
            Self::NoQuantity => "no_permitted_quantity",
            Self::NotOrderable { .. } => "quantity_not_orderable",
            Self::TooLate => "not_ready_in_time",
            Self::Halted { .. } => "kill_switch_active",
            Self::OtherIntent => "intent_mismatch",
            Self::OtherSymbol(_) => "grant_symbol_mismatch",
        }
    }
}

impl ApprovedClose {
    /// Sizes a close: the least of what each permit allows and the live position, cut down to the
    /// venue's step.
    pub fn size<R: QuantityRules>(
        grant: Grant,
        symbol: &Symbol,
        position: &Position<R>,
    ) -> Result<Self, NoOrder> {
        let side = checked_side(&grant, symbol, position.amount)?;
        let permitted = permitted(&grant, position).ok_or(NoOrder::NoQuantity)?;
        let wanted = permitted.min(position.amount.abs());
        let quantity = match position.desk.cut(wanted) {
            // Rules come from outside too: a cut that is no cut is not believed.
            Ok(cut) if cut > Decimal::ZERO && cut <= wanted => cut,
            Ok(cut) => {
                let why = format!("the rules cut it to {cut}");
                return Err(NoOrder::NotOrderable { wanted, why });
            }
            Err(why) => return Err(NoOrder::NotOrderable { wanted, why }),
        };
        Ok(Self {
            grant,
            symbol: symbol.clone(),
            side,
            quantity,
        })
    }

    /// Makes it fit to be sent, by the intent that was written down for it.
    pub fn arm(self, recorded: RecordedIntent) -> Result<Armed<Self>, NoOrder> {
        match written_down(&recorded, OrderKind::Close, &self.grant, self.side) {
            true => Ok(Armed(self)),
            false => Err(NoOrder::OtherIntent),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &PlanId {
        self.grant.plan()
    }

    /// The symbol.
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// Which way.
    pub fn side(&self) -> Side {
        self.side
    }

    /// How much, in base units; above 0, on the venue's step.
    pub fn quantity(&self) -> Decimal {
        self.quantity
    }

    /// The order's id at the venue, derived from the plan.
    pub fn client_order_id(&self) -> String {
        client_order_id(self.plan())
    }
}

impl ApprovedStop {
    /// A stop for the live position's side.
    pub fn aim(
        grant: Grant,
        symbol: &Symbol,
        position: Decimal,
        trigger: Decimal,
    ) -> Result<Self, NoOrder> {
        let side = checked_side(&grant, symbol, position)?;
        Ok(Self {
            grant,
            symbol: symbol.clone(),
            side,
            trigger,
        })
    }

    /// Makes it fit to be sent, by the intent that was written down for it.
    pub fn arm(self, recorded: RecordedIntent) -> Result<Armed<Self>, NoOrder> {
        match written_down(&recorded, OrderKind::Stop, &self.grant, self.side) {
            true => Ok(Armed(self)),
            false => Err(NoOrder::OtherIntent),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &PlanId {
        self.grant.plan()
    }

    /// The symbol.
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// Which way the stop trades.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The proposed trigger, in quote units, before it is cut to the tick.
    pub fn trigger(&self) -> Decimal {
        self.trigger
    }

    /// The stop's id at the venue, derived from the plan.
    pub fn client_order_id(&self) -> String {
        client_order_id(self.plan())
    }
}

/// The least of what each permit allows.
///
/// A reviewer's quantity is often a difference of two binary floats, and can lie below the step it
/// stands for by as much as floats of the position's size are apart. So a step that is at most two
/// units in the last place of the position above what a permit says counts as what it says.
fn permitted<R: QuantityRules>(grant: &Grant, position: &Position<R>) -> Option<Decimal> {
    let seen = grant.seen().unwrap_or_default().abs();
    let blur = two_units_in_the_last_place(position.amount.abs().max(seen));
    let allowed = grant.permits().iter().filter_map(|permit| {
        let limit = permit.terms.limit?;
        // What is off by more than a thousandth of itself is no rounding.
        let blur = blur.min(limit / Decimal::ONE_THOUSAND);
        let highest = permit.terms.written.unwrap_or(limit).checked_add(blur)?;
        let step = (highest > limit).then(|| position.desk.cut(highest));
        Some(match step {
            Some(Ok(step)) if step > limit && step <= highest => step,
            _ => limit,
        })
    });
    allowed.min()
}

/// Twice the distance between a binary float of this size and its neighbour.
fn two_units_in_the_last_place(of: Decimal) -> Decimal {
    /// Digits of a float's significand, less the first one.
    const FRACTION_BITS: u64 = 52;
    const BIAS: u64 = 1023;
    const PLACES: u32 = 28;
    // The reviewer held this number as a float, too.
    let Ok(float) = of.to_string().parse::<f64>() else {
        return Decimal::ZERO;
    };
    let exponent = float.to_bits() >> FRACTION_BITS;
    let one_unit = FRACTION_BITS + BIAS;
    match u32::try_from(one_unit.abs_diff(exponent + 1)) {
        Ok(halvings @ 0..=93) if exponent < one_unit => {
            // This and what was written are cut off at the 28th place: two units there are for that.
            Decimal::from_i128_with_scale((10_i128.pow(PLACES) >> halvings) + 2, PLACES)
        }
        Ok(doublings @ 0..=93) => Decimal::from_i128_with_scale(1 << doublings, 0),
        _ => Decimal::ZERO,
    }
}

fn written_down(recorded: &RecordedIntent, order: OrderKind, grant: &Grant, side: Side) -> bool {
    let intent = recorded.intent();
    intent.order == order
        && intent.plan == *grant.plan()
        && intent.symbol.as_str() == grant.target()
        && intent.attempt == *grant.attempt()
        && intent.trace.side == side
}

fn checked_side(grant: &Grant, symbol: &Symbol, live: Decimal) -> Result<Side, NoOrder> {
    if grant.target() != symbol.as_str() {
        return Err(NoOrder::OtherSymbol(grant.target().to_owned()));
    }
    let side = Side::closing(live).ok_or(NoOrder::NoPosition)?;
    match grant.seen() {
        Some(seen) if Side::closing(seen) != Some(side) => {
            Err(NoOrder::SideMismatch { seen, live })
        }
        _ => Ok(side),
    }
}
