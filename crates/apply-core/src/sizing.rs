//! From a grant to an order: how much, which way, or why not after all.

pub use crate::order::{Limit, Sizing};

use crate::{
    journal::RecordedIntent,
    order::{OrderKind, Position, QuantityRules, Side},
    plan::{Action, Share, Step},
    plan_id::client_order_id,
    symbol::Symbol,
};
use apply_wire::Reason;
use permit_gate::{
    Grant, PlanId,
    foreign::{MAX_FOREIGN, escaped},
};
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
    sizing: Sizing,
}

/// A stop move that every reviewer allowed: for the side of the live position, on its own side of the
/// market, and over no more than the permits allow.
#[derive(Debug)]
pub struct ApprovedStop {
    grant: Grant,
    symbol: Symbol,
    side: Side,
    trigger: Decimal,
    quantity: Decimal,
}

/// Where a stop may be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopLimits {
    /// How far from the mark price at most, in percent of it.
    pub max_distance_pct: Decimal,
}

/// A fifth of the price: beyond the stops that are really used, and short of where a position with a leverage of five is
/// liquidated. A refused move leaves the old stop in place.
impl Default for StopLimits {
    fn default() -> Self {
        Self {
            max_distance_pct: Decimal::from(20),
        }
    }
}

impl StopLimits {
    /// Whether a stop at `trigger` guards this position: beyond the market from where the position gains, and not too
    /// far from it. To be asked before permits are taken for it; [`ApprovedStop::aim`] asks again.
    pub fn admit<R>(&self, position: &Position<R>, trigger: Decimal) -> Result<(), NoOrder> {
        let side = Side::closing(position.amount).ok_or(NoOrder::NoPosition)?;
        let mark = position
            .mark_price
            .filter(|mark| *mark > Decimal::ZERO)
            .ok_or(NoOrder::NoMarkPrice)?;
        let guards = match side {
            Side::Sell => trigger < mark,
            Side::Buy => trigger > mark,
        };
        if !guards {
            return Err(NoOrder::WrongSideOfMarket {
                side,
                trigger,
                mark,
            });
        }
        let within = || {
            let distance = (trigger - mark).abs();
            let left = distance.checked_mul(Decimal::ONE_HUNDRED)?;
            Some(left <= self.max_distance_pct.checked_mul(mark)?)
        };
        // What cannot be computed is too far.
        match within() {
            Some(true) => Ok(()),
            _ => Err(NoOrder::TooFarFromMarket {
                trigger,
                mark,
                at_most: self.max_distance_pct,
            }),
        }
    }
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
    /// The stop would be set off at once.
    #[error(
        "a stop that will {side} at {trigger} would be set off at once: the mark price is {mark}"
    )]
    WrongSideOfMarket {
        /// Which way the stop would trade.
        side: Side,
        /// Its trigger.
        trigger: Decimal,
        /// The mark price.
        mark: Decimal,
    },
    /// The stop would hardly guard anything.
    #[error("a stop at {trigger} is more than {at_most} % away from the mark price of {mark}")]
    TooFarFromMarket {
        /// Its trigger.
        trigger: Decimal,
        /// The mark price.
        mark: Decimal,
        /// The distance allowed, in percent of the mark price.
        at_most: Decimal,
    },
    /// Where the market is the venue did not say.
    #[error("the venue gave no mark price to hold the stop against")]
    NoMarkPrice,
    /// The permits were taken, and the position and the kill switch not known in time.
    #[error("position or kill switch not available before the permit deadline")]
    TooLate,
    /// Trading was halted between the grant and the order.
    #[error("trading was halted after the permits were taken: {by}")]
    Halted {
        /// What says so.
        by: String,
    },
    /// What was written down is not what would be placed.
    #[error("the order differs from the journaled intent")]
    OtherIntent,
    /// The reviewers made something else of the plan that is no smaller close.
    #[error("the portfolio gate changed it to {to}")]
    Downgraded {
        /// Their word.
        to: String,
    },
    /// What the reviewers made of the plan cannot be read.
    #[error("the portfolio gate's answer cannot be read: {0}")]
    FinalActionUnreadable(String),
    /// The grant is for another symbol than the plan.
    #[error("the grant is for {0}")]
    OtherSymbol(String),
}

impl NoOrder {
    /// The `error` of the result.
    pub fn reason(&self) -> Reason {
        self.into()
    }
}

impl Step {
    /// This step where reviewers made `action` of it: a close becomes a smaller close, never a larger one.
    ///
    /// # Errors
    ///
    /// Where they changed it, or to something unknown.
    pub fn reduced_to(&self, action: &str) -> Result<Self, NoOrder> {
        let to = || escaped(action, MAX_FOREIGN);
        match (self, Action::from_wire(action)) {
            (Self::Close { share }, Some(Action::Close(allowed))) => {
                let least = match allowed.percent() < share.percent() {
                    true => allowed,
                    false => *share,
                };
                Ok(Self::Close { share: least })
            }
            (Self::MoveStop { .. }, Some(Action::UpdateStop)) => Ok(self.clone()),
            (Self::Close { .. } | Self::MoveStop { .. }, Some(_)) => {
                Err(NoOrder::Downgraded { to: to() })
            }
            (_, None) => Err(NoOrder::FinalActionUnreadable(format!(
                "{:?} is no action",
                to()
            ))),
        }
    }
}

impl ApprovedClose {
    /// Sizes a close: the least of what each permit allows and the plan's share of the live position, cut
    /// down to the venue's step. A reviewer may allow more than the plan asks for.
    pub fn size<R: QuantityRules>(
        grant: Grant,
        symbol: &Symbol,
        position: &Position<R>,
        share: Share,
    ) -> Result<Self, NoOrder> {
        let side = checked_side(&grant, symbol, position.amount)?;
        let permitted = permitted(&grant, position).ok_or(NoOrder::NoQuantity)?;
        let asked = share.of(position.amount.abs());
        let asked = asked.ok_or_else(|| NoOrder::NotOrderable {
            wanted: permitted,
            why: format!(
                "{} % of {} cannot be computed",
                share.percent(),
                position.amount
            ),
        })?;
        let held = position.amount.abs();
        let wanted = permitted.min(asked);
        let quantity = cut(&position.context, wanted)?;
        let mut limited_by = Vec::new();
        if wanted < permitted {
            let partial = asked < held;
            // A permit that is larger than the position bounds nothing of a share; a position that was larger would.
            if !partial || grant.seen().is_some_and(|seen| seen.abs() > held) {
                limited_by.push(Limit::PositionShrank);
            }
            if partial {
                limited_by.push(Limit::PlanShare);
            }
        }
        let within = position
            .context
            .maximum()
            .map_or(wanted, |most| wanted.min(most));
        if within < wanted {
            limited_by.push(Limit::VenueMaximum);
        }
        if quantity < within {
            limited_by.push(Limit::Step);
        }
        Ok(Self {
            grant,
            symbol: symbol.clone(),
            side,
            sizing: Sizing {
                approved: permitted,
                sent: quantity,
                held,
                limited_by,
            },
        })
    }

    /// Makes it fit to be sent, by the intent that was written down for it.
    pub fn arm(self, recorded: RecordedIntent) -> Result<Armed<Self>, NoOrder> {
        match recorded.is_of(OrderKind::Close, &self.grant, self.side) {
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
        self.sizing.sent
    }

    /// How that came about.
    pub fn sizing(&self) -> &Sizing {
        &self.sizing
    }

    /// The order's id at the venue, derived from the plan.
    pub fn client_order_id(&self) -> String {
        client_order_id(self.plan())
    }
}

impl ApprovedStop {
    /// A stop for the live position's side, where `limits` admit it: over the least of what each permit allows and the
    /// live position, cut down to the venue's step. Permits that name no quantity allow the whole position.
    pub fn aim<R: QuantityRules>(
        grant: Grant,
        symbol: &Symbol,
        position: &Position<R>,
        trigger: Decimal,
        limits: &StopLimits,
    ) -> Result<Self, NoOrder> {
        let side = checked_side(&grant, symbol, position.amount)?;
        limits.admit(position, trigger)?;
        let held = position.amount.abs();
        let permitted = permitted(&grant, position).unwrap_or(held);
        let quantity = cut(&position.context, permitted.min(held))?;
        Ok(Self {
            grant,
            symbol: symbol.clone(),
            side,
            trigger,
            quantity,
        })
    }

    /// Makes it fit to be sent, by the intent that was written down for it.
    pub fn arm(self, recorded: RecordedIntent) -> Result<Armed<Self>, NoOrder> {
        match recorded.is_of(OrderKind::Stop, &self.grant, self.side) {
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

    /// How much it trades at most, in base units; above 0, on the venue's step. The venue lowers it to the position that
    /// is there when it is set off.
    pub fn quantity(&self) -> Decimal {
        self.quantity
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
        let step = (highest > limit).then(|| position.context.cut(highest));
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

/// What the venue takes of a quantity.
fn cut(rules: &impl QuantityRules, wanted: Decimal) -> Result<Decimal, NoOrder> {
    match rules.cut(wanted) {
        // Rules come from outside too: a cut that is no cut is not believed.
        Ok(cut) if cut > Decimal::ZERO && cut <= wanted => Ok(cut),
        Ok(cut) => {
            let why = format!("the rules cut it to {cut}");
            Err(NoOrder::NotOrderable { wanted, why })
        }
        Err(why) => Err(NoOrder::NotOrderable { wanted, why }),
    }
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
