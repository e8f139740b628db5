//! The old service's orders, by its results, and what ours would have sent.

use super::{
    About, Shadow,
    old::{Fields, OldOrder},
};
use crate::shadow::{
    differences::{self as d, Difference},
    wait::{self, Size},
};
use apply_core::{Share, Step, Symbol};
use apply_wire::field;
use permit_gate::Grant;
use rust_decimal::Decimal;

impl Shadow {
    /// Both went on: how much, which way, and what was published of it.
    pub(super) fn hold_orders(
        &mut self,
        id: &str,
        symbol: &Symbol,
        grant: Grant,
        step: &Step,
        result: &impl Fields,
        old: &str,
    ) {
        let order = OldOrder::of(result);
        let executed = result.text(field::EXECUTED) == field::TRUE;
        let name = symbol.as_str();
        if let Step::Close { share } = step {
            let (ours, difference) = hold_quantity(grant, symbol, *share, &order);
            let said = order.words();
            self.find(About::Quantity, name, id, ours, said, difference);
        }
        let error = result.text(field::ERROR);
        let (ours, difference) = match (executed, order.placed()) {
            (true, _) if matches!(step, Step::MoveStop { .. }) && !order.placed() => {
                ("stop moved", Some(&d::PLACES_NO_STOP))
            }
            (true, false) => ("order sent", Some(&d::REFUSED_AS_EXECUTED)),
            (true, true) if order.filled_nothing() => ("order sent", Some(&d::FILLED_NOTHING)),
            (true, true) => ("order sent", None),
            (false, _) if result.text(field::WOULD_EXECUTE) == field::TRUE => ("dry run", None),
            (false, _) if error.contains("timeout") || error.contains("timed out") => {
                ("order sent", Some(&d::ORDER_TIMED_OUT))
            }
            (false, _) => ("order sent", Some(&d::VENUE)),
        };
        self.find(About::Result, name, id, ours.into(), old.into(), difference);
    }

    /// An order of a plan of which ours made something else: it is within its permits all the same.
    pub(super) fn hold_against_permits(
        &mut self,
        id: &str,
        symbol: &Symbol,
        grant: Grant,
        result: &impl Fields,
    ) {
        let order = OldOrder::of(result);
        let (Some(quantity), Some(Ok(most))) =
            (order.quantity, wait::size(grant, symbol, Share::FULL))
        else {
            return;
        };
        let difference = if !order.side.is_empty() && order.side != most.side {
            &d::SIDE_DIFFERS
        } else if quantity > most.permitted.max(most.written) {
            &d::QUANTITY_DIFFERS
        } else {
            return;
        };
        let ours = format!("{} at most {}", most.side, most.permitted.normalize());
        let (name, said) = (symbol.as_str(), order.words());
        self.find(About::Quantity, name, id, ours, said, Some(difference));
    }
}

/// Sizes the close as the core does, and holds it against what the old service ordered.
fn hold_quantity(
    grant: Grant,
    symbol: &Symbol,
    share: Share,
    order: &OldOrder,
) -> (String, Option<&'static Difference>) {
    let size = match wait::size(grant, symbol, share) {
        None => return ("-".into(), Some(&d::NO_POSITION)),
        Some(Err(no)) => return (no, Some(&d::QUANTITY_DIFFERS)),
        Some(Ok(size)) => size,
    };
    let ours = format!("{} {}", size.side, size.quantity.normalize());
    let Some(quantity) = order.quantity else {
        return (ours, Some(&d::VENUE));
    };
    let difference = if !order.side.is_empty() && order.side != size.side {
        Some(&d::SIDE_DIFFERS)
    } else {
        why_quantities_differ(&size, quantity)
    };
    (ours, difference)
}

fn why_quantities_differ(ours: &Size, old: Decimal) -> Option<&'static Difference> {
    if ours.quantity == old {
        None
    } else if ours.permitted > ours.quantity && [ours.permitted, ours.written].contains(&old) {
        Some(&d::WHOLE_PERMIT)
    } else if ours.written == old && ours.written != ours.permitted {
        Some(&d::FLOAT_TAIL)
    } else {
        Some(&d::QUANTITY_DIFFERS)
    }
}
