//! Plans for the plan store.

#![allow(dead_code, clippy::unwrap_used)] // each test file uses its own part of this

use apply_core::{
    Claim, GateSettings, Halt, Hold, Intent, OrderKind, OrderTrace, Plan, Proposal, Side, Symbol,
};
use apply_redis::{Keys, testing};
use permit_gate::AttemptId;
use redis_harness::RedisServer;
use rust_decimal::Decimal;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};

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
        close: None,
        stops: true,
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

/// A server that has been up for an hour, as far as any client can see.
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

/// A sentinel that names the master it was given, on this port.
pub(crate) async fn sentinel(names: watch::Receiver<u16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let names = names.clone();
            tokio::spawn(async move {
                let mut asked = vec![0; 4096];
                while let Ok(got @ 1..) = client.read(&mut asked).await {
                    let asked = String::from_utf8_lossy(&asked[..got]).into_owned();
                    let mut answers = String::new();
                    for command in asked.split("\r\n*") {
                        let port = names.borrow().to_string();
                        answers += &match command.contains("get-master-addr-by-name") {
                            true => {
                                format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len())
                            }
                            false => "+OK\r\n".into(),
                        };
                    }
                    if client.write_all(answers.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}
