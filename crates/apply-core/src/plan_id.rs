//! plan_id: 16 hex digits that say "this proposal", the same ones the service before ours computed.

use crate::{proposal::Proposal, python_float};
use permit_gate::PlanId;
use sha2::{Digest, Sha256};

/// The first 16 hex digits of SHA-256 over `symbol:action:kill_score:new_sl:computed_at_utc`, the
/// score with 6 decimals, the stop as Python prints it or `None` (wire §2). Two proposals that
/// differ in nothing else are the same plan and are executed once.
pub fn plan_id(proposal: &Proposal) -> PlanId {
    let stop = match proposal.new_sl {
        Some(price) => python_float::repr(price.get()),
        None => "None".into(),
    };
    let text = format!(
        "{}:{}:{:.6}:{stop}:{}",
        proposal.symbol,
        proposal.action,
        proposal.kill_score.get(),
        proposal.computed_at_utc
    );
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    PlanId::new(&hex).unwrap_or_else(|_| unreachable!("16 hex digits are an id"))
}

/// Why a text is no plan's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a plan's id is 16 hex digits in lower case, as in 67e6da21fa9fe506")]
pub struct NotAPlanId;

/// Reads a plan's id as [`plan_id`] writes it. Anything else is an error: no plan has such an id, so who asks about it
/// has mistyped it.
pub fn read(text: &str) -> Result<PlanId, NotAPlanId> {
    let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match text.len() == 16 && digits {
        true => PlanId::new(text).map_err(|_| NotAPlanId),
        false => Err(NotAPlanId),
    }
}

/// The venue's client order id of a plan's order: derived, so that a later question, in whatever
/// process, asks about the same order. 22 characters; the venue allows 36 out of
/// `. A-Z : / a-z 0-9 _ -`.
pub fn client_order_id(plan: &PlanId) -> String {
    format!("{OURS}{plan}")
}

/// Whether an order or stop of this id was placed by this program, or by another instance of it.
pub fn is_client_order_id(id: &str) -> bool {
    id.strip_prefix(OURS)
        .is_some_and(|plan| PlanId::new(plan).is_ok())
}

const OURS: &str = "apply-";
