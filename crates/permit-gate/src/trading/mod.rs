//! The two permits of the trading service that this gate was made for. An example of rules, and the
//! only part of this crate that knows what a symbol or a position is.

mod governor;
mod position;

pub use governor::GovernorRule;
pub use position::PositionRule;

use crate::{
    Permit, PermitSet,
    foreign::{MAX_FOREIGN, escaped},
    id::Subject,
    rule::{Malformed, Refusal, StrictObject},
};
use std::sync::Arc;

/// The permit is for another symbol: `<name>_permit_symbol_mismatch`.
pub const SYMBOL_MISMATCH: &str = "symbol_mismatch";
/// The permit says that it was used already: `<name>_permit_consumed`.
pub const CONSUMED: &str = "consumed";
/// The position brain says yes to a close of a position that it saw as flat:
/// `<name>_permit_flat_position`.
pub const FLAT_POSITION: &str = "flat_position";
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
    let detail = format!("it is for symbol \"{}\"", escaped(&named, MAX_FOREIGN));
    Err(Refusal::of_permit(SYMBOL_MISMATCH, detail))
}

/// The reviewer's own reason for a no, where it gives one.
fn reason(permit: &StrictObject<'_>) -> Result<Option<String>, Malformed> {
    if !permit.has("reason") {
        return Ok(None);
    }
    let said = escaped(&permit.string("reason")?, MAX_FOREIGN);
    Ok((!said.is_empty()).then_some(said))
}
