//! The venue around its orders: public endpoints, positions, the control pages, its life and its end.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exchange_sim::{Drift, Sim, SimConfig, SymbolSpec, serve};
use rust_decimal::Decimal;
use serde_json::json;
use std::time::Duration;
use tokio::net::TcpListener;

#[tokio::test]
async fn public_endpoints_need_no_key() {
    let sim = long_btc().await;
    assert_eq!(get(&sim, "/fapi/v1/ping").await.body, "{}");
    let info = get(&sim, "/fapi/v1/exchangeInfo?symbol=BTCUSDT")
        .await
        .json();
    let names: Vec<&str> = info["symbols"]
        .as_array()
        .unwrap()
        .iter()
        .map(|symbol| symbol["symbol"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["BTCUSDT", "ETHUSDT", "SOLUSDT"]);
    let filters = info["symbols"][0]["filters"].as_array().unwrap();
    let step = |kind: &str| {
        let filter = filters
            .iter()
            .find(|filter| filter["filterType"] == kind)
            .unwrap();
        filter["stepSize"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (step("LOT_SIZE"), step("MARKET_LOT_SIZE")),
        ("0.0001".into(), "0.0001".into())
    );
    let kinds: Vec<&str> = filters
        .iter()
        .map(|filter| filter["filterType"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "PRICE_FILTER",
            "LOT_SIZE",
            "MARKET_LOT_SIZE",
            "MAX_NUM_ORDERS",
            "MIN_NOTIONAL",
            "PERCENT_PRICE",
            "POSITION_RISK_CONTROL"
        ]
    );
    assert_eq!(info["rateLimits"].as_array().unwrap().len(), 3);
    assert!(info["serverTime"].as_i64().unwrap() < now_ms() - 86_400_000);
    let index = get(&sim, "/fapi/v1/premiumIndex?symbol=ETHUSDT")
        .await
        .json();
    assert_eq!(dec(index["markPrice"].as_str().unwrap()), dec("3200"));
    assert_eq!(
        get(&sim, "/fapi/v1/premiumIndex?symbol=X").await.code(),
        -1121
    );
    assert_eq!(
        get(&sim, "/fapi/v1/premiumIndex")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_not_found() {
    let sim = long_btc().await;
    let unknown = get(&sim, "/fapi/v1/nothing").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(
        unknown.body,
        r#"{"code":-5000,"msg":"Path /fapi/v1/nothing, Method GET is invalid"}"#
    );
    let method = signed_request(&sim, "PATCH", ORDER, "").await;
    assert_eq!((method.status, method.code()), (404, -5000));
}

#[tokio::test]
async fn v3_lists_held_symbols_and_v2_lists_all() {
    let sim = start(SimConfig::default().position_at("ETHUSDT", dec("-0.5"), dec("3300"))).await;
    let v3 = signed_request(&sim, "GET", "/fapi/v3/positionRisk", "")
        .await
        .json();
    assert_eq!(v3.as_array().unwrap().len(), 1);
    let eth = &v3[0];
    assert_eq!(
        (eth["symbol"].as_str(), eth["positionSide"].as_str()),
        (Some("ETHUSDT"), Some("BOTH"))
    );
    assert_eq!(dec(eth["positionAmt"].as_str().unwrap()), dec("-0.5"));
    assert_eq!(dec(eth["unRealizedProfit"].as_str().unwrap()), dec("50"));
    assert_eq!(dec(eth["notional"].as_str().unwrap()), dec("-1600"));
    let v2 = signed_request(&sim, "GET", "/fapi/v2/positionRisk", "")
        .await
        .json();
    assert_eq!(v2.as_array().unwrap().len(), 3);
    sim.handle().set_position("ETHUSDT", Decimal::ZERO);
    let flat = signed_request(&sim, "GET", "/fapi/v3/positionRisk", "").await;
    assert_eq!(flat.body, "[]");
}

#[tokio::test]
async fn everything_can_be_turned_over_http() {
    let sim = start(SimConfig::default()).await;
    for (path, body) in [
        (
            "/sim/position",
            json!({"symbol": "BTCUSDT", "amount": "0.5", "entry_price": "60000"}),
        ),
        ("/sim/price", json!({"symbol": "BTCUSDT", "price": "61000"})),
        ("/sim/clock", json!({"offset_ms": 100})),
        ("/sim/latency", json!({"ms": 0})),
        ("/sim/limits", json!(null)),
        (
            "/sim/symbol",
            serde_json::to_value(SymbolSpec::solusdt().named("NEWUSDT")).unwrap(),
        ),
        ("/sim/connections", json!({"close_idle": true})),
        (
            "/sim/faults",
            json!([{"action": {"executed": {"script": {"fill": {"quantity": "0.1"}}}}}]),
        ),
        ("/sim/fill", json!({"client_id": "nobody"})),
    ] {
        let answer = control(&sim, "POST", path, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let reply = order(&sim, &sell("0.2", "a")).await.json();
    assert_eq!(dec(reply["executedQty"].as_str().unwrap()), dec("0.1"));
    let log = control(&sim, "GET", "/sim/orders?client_id=a&from=0&limit=5", "")
        .await
        .json();
    assert_eq!(
        (log["total"].as_u64(), log["dropped"].as_u64()),
        (Some(1), Some(0))
    );
    let entry = &log["orders"][0];
    assert_eq!(entry["outcome"], "expired");
    assert_eq!(entry["executed_qty"], "0.1");
    assert!(
        entry["params"]
            .as_str()
            .unwrap()
            .contains("newClientOrderId=a&")
    );
    assert!(entry["unix_ns"].as_u64().unwrap() > 1_700_000_000_000_000_000);
    let state = control(&sim, "GET", "/sim/state", "").await.json();
    assert_eq!(state["positions"][0]["amount"], "0.4");
    assert_eq!(state["clock_offset_ms"], 100);
    assert!(state["prices"].get("NEWUSDT").is_some());
    let faults = control(&sim, "GET", "/sim/faults", "").await.json();
    assert_eq!(faults["faults"][0]["hits"], 1);
    let requests = control(&sim, "GET", "/sim/requests", "").await.json();
    assert_eq!(
        requests["requests"],
        json!([{"method": "POST", "path": ORDER, "requests": 1, "with_key": 1}])
    );
    for path in ["/sim/requests", "/sim/faults"] {
        assert_eq!(control(&sim, "DELETE", path, "").await.status, 200);
    }
    let mode = control(&sim, "POST", "/sim/mode", "{\"hedge\":true}").await;
    assert_eq!(mode.status, 200);
    assert_eq!(control(&sim, "GET", "/sim", "").await.status, 200);
}

#[tokio::test]
async fn a_control_request_that_is_not_understood_changes_nothing() {
    let sim = long_btc().await;
    for (path, body) in [
        ("/sim/price", "{\"symbol\":\"BTCUSDT\",\"price\":63000}"),
        ("/sim/price", "{\"symbol\":\"NOPE\",\"price\":\"1\"}"),
        ("/sim/price", "{\"symbol\":\"BTCUSDT\",\"price\":\"-1\"}"),
        ("/sim/position", "{\"symbol\":\"NOPE\",\"amount\":\"1\"}"),
        ("/sim/clock", "{\"offset\":5}"),
        (
            "/sim/price",
            "{\"symbol\":\"BTCUSDT\",\"price\":\"79228162514264337593543950335\"}",
        ),
        (
            "/sim/position",
            "{\"symbol\":\"BTCUSDT\",\"amount\":\"79228162514264337593543950335\"}",
        ),
        (
            "/sim/faults",
            "{\"action\":{\"executed\":{\"script\":{\"fill\":{\"price\":\"0\"}}}}}",
        ),
        ("/sim/faults", "{\"action\":\"explode\"}"),
        ("/sim/mode", ""),
    ] {
        let refused = control(&sim, "POST", path, body).await;
        assert_eq!(refused.status, 400, "{path} {body}");
        assert!(refused.json()["error"].is_string());
    }
    assert_eq!(
        control(&sim, "POST", "/sim/nothing", "{}").await.status,
        404
    );
    assert_eq!(sim.handle().price("BTCUSDT"), Some(dec("64000")));
    assert!(sim.handle().faults().is_empty());
}

#[tokio::test]
async fn a_drifting_price_moves_and_stays_on_its_ticks() {
    let sim = start(SimConfig::default().drift(Drift {
        every: Duration::from_millis(1),
        max_ticks: 5,
        seed: 1,
    }))
    .await;
    let start = sim.handle().price("BTCUSDT").unwrap();
    let moved = soon(async {
        loop {
            let price = sim.handle().price("BTCUSDT").unwrap();
            if price != start {
                break price;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!((moved % dec("0.1")).is_zero());
}

#[tokio::test]
async fn a_served_venue_stops_when_asked_and_frees_its_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, SimConfig::default(), async {
        let _ = stopped.await;
    }));
    let mut client = Client {
        stream: tokio::net::TcpStream::connect(address).await.unwrap(),
    };
    assert_eq!(
        client
            .send("GET", "/fapi/v1/ping", None, "")
            .await
            .unwrap()
            .status,
        200
    );
    stop.send(()).unwrap();
    soon(server).await.unwrap().unwrap();
    assert!(client.read().await.is_err());
    TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn a_configuration_no_venue_could_run_with_is_refused() {
    let mut spec = SymbolSpec::btcusdt();
    spec.mark_price = Decimal::ZERO;
    for config in [
        SimConfig::default().symbol(spec),
        SimConfig::default().position("NOPE", dec("1")),
        SimConfig::default().position("BTCUSDT", Decimal::MAX),
    ] {
        let refused = Sim::start(config).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_venue_refuses_to_listen_beyond_loopback() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(listener, SimConfig::default(), std::future::pending()).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn dropping_a_venue_ends_its_connections_and_leaves_its_log() {
    let sim = long_btc().await;
    let handle = sim.handle().clone();
    order(&sim, &sell("0.001", "a")).await;
    let mut client = Client::to(&sim).await;
    client.send("GET", "/fapi/v1/ping", None, "").await.unwrap();
    drop(sim);
    assert!(soon(client.read()).await.is_err());
    assert_eq!(handle.order_count(), 1);
}

#[tokio::test]
async fn a_full_order_log_keeps_the_newest_and_counts_the_rest() {
    let sim = start(
        SimConfig::default()
            .capacity(2)
            .position("BTCUSDT", dec("1")),
    )
    .await;
    for id in ["a", "b", "c"] {
        assert_eq!(order(&sim, &sell("0.001", id)).await.status, 200);
    }
    let handle = sim.handle();
    assert_eq!(
        (
            handle.orders().len(),
            handle.order_count(),
            handle.orders_dropped()
        ),
        (2, 3, 1)
    );
    assert_eq!(query(&sim, "a").await.code(), -2013);
    assert_eq!(query(&sim, "c").await.status, 200);
}

#[tokio::test]
async fn what_is_no_http_is_answered_and_closed() {
    let sim = long_btc().await;
    let mut client = Client::to(&sim).await;
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, b"\x16\x03\x01 hello\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(client.read().await.unwrap().status, 400);
    assert!(client.read().await.is_err());
}
