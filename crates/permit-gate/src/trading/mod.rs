//! The two permits of the trading service that this gate was made for. An example of rules, and the
//! only part of this crate that knows what a symbol or a position is.

mod governor;
mod position;

pub use governor::GovernorRule;
pub use position::PositionRule;

use crate::{
    Permit, PermitSet,
    id::Subject,
    rule::{Malformed, Refusal, StrictObject, brief},
};
use std::sync::Arc;

/// The permit is for another symbol: `<name>_permit_symbol_mismatch`.
pub const SYMBOL_MISMATCH: &str = "symbol_mismatch";
/// The permit says that it was used already: `<name>_permit_consumed`.
pub const CONSUMED: &str = "consumed";
/// The position brain allows 0 or less. The whole code.
pub const INVALID_SAFE_CLOSE_QTY: &str = "invalid_safe_close_qty";

/// The governor's permit, as the neighbours write it.
pub fn governor() -> Permit {
    Permit::known("governor", Arc::new(GovernorRule)).labelled("Governor", "gov")
}

/// The position brain's permit, as the neighbours write it.
pub fn position_brain() -> Permit {
    Permit::known("p33", Arc::new(PositionRule)).labelled("P3.3", "p33")
}

/// Governor and position brain: what the running system requires.
pub fn permits() -> PermitSet {
    PermitSet::known(vec![governor(), position_brain()])
}

/// The permit must name the subject's symbol, letter for letter.
fn same_symbol(permit: &StrictObject<'_>, subject: &Subject) -> Result<(), Refusal> {
    let named = permit.string("symbol")?;
    if named == *subject.target {
        return Ok(());
    }
    let detail = format!("it is for symbol {:?}", brief(&named));
    Err(Refusal::of_permit(SYMBOL_MISMATCH, detail))
}

/// The reviewer's own reason for a no, where it gives one.
fn reason(permit: &StrictObject<'_>) -> Result<Option<String>, Malformed> {
    if !permit.has("reason") {
        return Ok(None);
    }
    permit.string("reason").map(|text| Some(brief(&text)))
}
