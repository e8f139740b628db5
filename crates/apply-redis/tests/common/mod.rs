//! Plans for the board.

#![allow(dead_code, clippy::unwrap_used)] // each test file uses its own part of this

use apply_core::{
    Claim, GateSettings, Halt, Hold, Intent, OrderKind, OrderTrace, Plan, Proposal, Side, Symbol,
};
use apply_redis::{Keys, testing};
use permit_gate::AttemptId;
use redis_harness::RedisServer;
use rust_decimal::Decimal;
use std::time::Duration;

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

/// What this attempt is about to do.
pub(crate) fn intent(plan: &Plan, by: &str) -> Intent {
    Intent {
        plan: plan.id.clone(),
        symbol: plan.symbol().clone(),
        step: "CLOSE_PARTIAL_75".into(),
        order: OrderKind::Close,
        attempt: attempt(by),
        trace: OrderTrace {
            side: Side::Sell,
            position_side: "BOTH".into(),
            position_before: Some(Decimal::new(124, 4)),
            at_most: None,
            signed_from: 1,
            signed_until: 2,
            receive_window: Duration::from_millis(1500),
        },
        at: 1_769_301_008,
    }
}

/// A server that has been up for an hour, as far as anybody can tell.
pub(crate) async fn aged(server: RedisServer) -> RedisServer {
    let mut connection = server.connection().await;
    let hour = Duration::from_secs(3600);
    testing::age(&mut connection, &Keys::default(), hour)
        .await
        .unwrap();
    server
}

/// The claim that was won.
pub(crate) fn won(claim: Claim) -> Hold {
    match claim {
        Claim::Won(hold) => hold,
        other => panic!("{other:?}"),
    }
}
