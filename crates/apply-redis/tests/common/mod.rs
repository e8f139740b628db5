//! Plans for the board.

use apply_core::{GateSettings, Halt, Plan, Proposal, Symbol};
use permit_gate::AttemptId;

/// A plan of `BTCUSDT` with this action.
pub(crate) fn plan(action: &str) -> Plan {
    let btc: Symbol = "BTCUSDT".parse().unwrap();
    let raw = [("harvest_action", action), ("kill_score", "0.539")]
        .map(|(field, value)| (field.to_owned(), value.to_owned()))
        .into();
    let gates = GateSettings {
        allowlist: [btc.clone()].into(),
        critical: 0.8,
        warning: 0.6,
    };
    Plan::decide(Proposal::parse(&btc, &raw).unwrap(), &gates, &Halt::Off)
}

pub(crate) fn attempt(name: &str) -> AttemptId {
    AttemptId::new(name).unwrap()
}
