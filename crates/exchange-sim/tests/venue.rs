//! What is not about orders: access, public endpoints, positions, stops, limits, the control pages, the life of a venue.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::*;
use exchange_sim::{
    ApiKey, Drift, Fault, Limits, Script, Sim, SimConfig, SymbolSpec, Veil, When, serve,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpListener;

const KEY: Option<&str> = Some(SimConfig::API_KEY);

async fn post_order(sim: &Sim, key: Option<&str>, query: &str, body: &str) -> Answer {
    let target = if query.is_empty() {
        ORDER.to_owned()
    } else {
        format!("{ORDER}?{query}")
    };
    Client::to(sim)
        .await
        .send("POST", &target, key, body)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_order_needs_key_timestamp_and_signature() {
    let sim = long_btc().await;
    let good = signed(&sell("0.001", "a"));
    let unknown_key = "x".repeat(64);
    let unsigned = good.split_once("&signature").unwrap().0.to_owned();
    let cases = [
        (None, good.clone(), 401, -2014),
        (Some("short"), good.clone(), 401, -2014),
        (Some(unknown_key.as_str()), good.clone(), 401, -2015),
        (KEY, unsigned.clone(), 400, -1102),
        (KEY, sell("0.001", "a"), 400, -1102),
        (KEY, good.replace("0.001", "0.002"), 400, -1022),
        (
            KEY,
            format!("{unsigned}&signature={}", "0".repeat(64)),
            400,
            -1022,
        ),
        (KEY, format!("{good}&side=SELL"), 400, -1101),
        (KEY, format!("{good}&x=1"), 400, -1022),
    ];
    for (key, text, status, code) in cases {
        let refused = post_order(&sim, key, "", &text).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{text}");
    }
    assert_eq!(post_order(&sim, KEY, "", &good).await.status, 200);
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0114"));
}

#[tokio::test]
async fn parameters_may_stand_in_query_body_or_both_and_the_bytes_are_signed_as_sent() {
    let sim = long_btc().await;
    let all_in_query = signed(&sell("0.001", "q"));
    assert_eq!(post_order(&sim, KEY, &all_in_query, "").await.status, 200);
    let query = "symbol=BTCUSDT&side=SELL&type=MARKET";
    let body = format!("quantity=0.001&reduceOnly=true&timestamp={}", now_ms());
    let signature = sign(SimConfig::API_SECRET, &format!("{query}{body}"));
    let both = post_order(&sim, KEY, query, &format!("{body}&signature={signature}")).await;
    assert_eq!(both.status, 200, "{}", both.body);
    // Escaped bytes are signed escaped.
    let escaped = signed(&sell("0.001", "a%3Ab"));
    assert_eq!(
        post_order(&sim, KEY, "", &escaped).await.json()["clientOrderId"],
        "a:b"
    );
}

#[tokio::test]
async fn the_window_is_measured_on_the_servers_clock() {
    let sim = start(
        SimConfig::default()
            .position("BTCUSDT", dec("0.0124"))
            .clock_offset_ms(5_000_000),
    )
    .await;
    let here = signed(&format!("{}&recvWindow=1500", sell("0.001", "a")));
    let late = post_order(&sim, KEY, "", &here).await;
    assert_eq!(late.code(), -1021);
    assert!(late.body.contains("outside of the recvWindow"));
    let server_time = get(&sim, "/fapi/v1/time").await.json()["serverTime"]
        .as_i64()
        .unwrap();
    let there = signed_at(&sell("0.001", "a"), server_time);
    assert_eq!(post_order(&sim, KEY, "", &there).await.status, 200);
    let ahead = signed_at(&sell("0.001", "a"), server_time + 100_000);
    let early = post_order(&sim, KEY, "", &ahead).await;
    assert_eq!(early.code(), -1021);
    assert!(early.body.contains("ahead of the server"));
}

#[tokio::test]
async fn an_ed25519_key_opens_the_same_account() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let public_key = pair.public_key().as_ref().try_into().unwrap();
    let sim = start(
        SimConfig::default()
            .position("BTCUSDT", dec("0.0124"))
            .key(ApiKey::ed25519("ed-key", public_key)),
    )
    .await;
    let text = format!("{}&timestamp={}", sell("0.001", "a"), now_ms());
    let signature = STANDARD
        .encode(pair.sign(text.as_bytes()))
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let accepted = post_order(
        &sim,
        Some("ed-key"),
        "",
        &format!("{text}&signature={signature}"),
    )
    .await;
    assert_eq!(accepted.status, 200, "{}", accepted.body);
    let with_hmac = signed(&sell("0.001", "b"));
    assert_eq!(
        post_order(&sim, Some("ed-key"), "", &with_hmac)
            .await
            .code(),
        -1022
    );
    assert_eq!(query(&sim, "a").await.json()["status"], "FILLED");
}

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
    assert!(
        filters
            .iter()
            .any(|filter| filter["filterType"] == "SIM_FILTER_NO_CLIENT_KNOWS")
    );
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
    assert!(unknown.body.contains("<html>"));
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

fn stop(trigger: &str, client_id: &str) -> String {
    format!(
        "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET&triggerPrice={trigger}&closePosition=true&workingType=MARK_PRICE&clientAlgoId={client_id}"
    )
}

fn sized_stop(trigger: &str, client_id: &str) -> String {
    stop(trigger, client_id).replace("closePosition=true", "quantity=0.0124&reduceOnly=true")
}

async fn algo_status(sim: &Sim, client_id: &str) -> Value {
    signed_request(sim, "GET", ALGO, &format!("clientAlgoId={client_id}"))
        .await
        .json()
}

#[tokio::test]
async fn a_stop_that_the_price_reaches_closes_the_position() {
    let sim = long_btc().await;
    let placed = signed_request(&sim, "POST", ALGO, &stop("63000", "sl"))
        .await
        .json();
    assert_eq!(placed["algoStatus"], "NEW");
    assert_eq!(placed["closePosition"], true);
    sim.handle().set_price("BTCUSDT", dec("63000.1"));
    assert_eq!(algo_status(&sim, "sl").await["algoStatus"], "NEW");
    sim.handle().set_price("BTCUSDT", dec("62990"));
    let finished = algo_status(&sim, "sl").await;
    assert_eq!(finished["algoStatus"], "FINISHED");
    assert_eq!(sim.handle().position("BTCUSDT"), Decimal::ZERO);
    let order_id = finished["actualOrderId"].as_str().unwrap();
    let order = signed_request(
        &sim,
        "GET",
        ORDER,
        &format!("symbol=BTCUSDT&orderId={order_id}"),
    )
    .await;
    let order = order.json();
    assert_eq!(
        (order["status"].as_str(), order["origType"].as_str()),
        (Some("FILLED"), Some("STOP_MARKET"))
    );
    assert_eq!(dec(order["avgPrice"].as_str().unwrap()), dec("62990"));
    // The order log holds what clients posted to /order; the venue's own order is not there.
    assert_eq!(sim.handle().order_count(), 0);
}

#[tokio::test]
async fn every_rule_of_a_conditional_order_has_its_code() {
    let sim = long_btc().await;
    let good = stop("63000", "sl");
    let with = |from: &str, to: &str| good.replace(from, to);
    let cases = [
        (with("algoType=CONDITIONAL&", ""), -1102),
        (with("CONDITIONAL", "VP"), -1130),
        (with("STOP_MARKET", "TRAILING_STOP_MARKET"), -1116),
        (with("triggerPrice=63000&", ""), -1102),
        (with("63000", "63000.05"), -4014),
        (with("63000", "64000"), -2021),
        (
            with("closePosition=true", "closePosition=true&quantity=0.001"),
            -4137,
        ),
        (
            with("closePosition=true", "closePosition=true&reduceOnly=true"),
            -1106,
        ),
        (with("closePosition=true", "reduceOnly=true"), -1102),
        (
            with("closePosition=true", "reduceOnly=true&quantity=0.00001"),
            -1111,
        ),
        (with("SELL", "BUY").replace("63000", "65000"), -4509),
        (with("MARK_PRICE", "INDEX"), -1130),
        (with("clientAlgoId=sl", "clientAlgoId=s%20l"), -4015),
        (with("BTCUSDT", "XUSDT"), -1121),
    ];
    for (params, code) in cases {
        let refused = signed_request(&sim, "POST", ALGO, &params).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{params}");
    }
    assert!(sim.handle().open_stops("BTCUSDT").is_empty());
}

#[tokio::test]
async fn a_second_close_position_stop_is_refused_but_a_sized_one_or_a_take_profit_is_not() {
    let sim = long_btc().await;
    assert_eq!(
        signed_request(&sim, "POST", ALGO, &stop("63000", "one"))
            .await
            .status,
        200
    );
    assert_eq!(
        signed_request(&sim, "POST", ALGO, &stop("63500", "two"))
            .await
            .code(),
        -4130
    );
    assert_eq!(
        signed_request(&sim, "POST", ALGO, &sized_stop("63500", "one"))
            .await
            .code(),
        -4116
    );
    assert_eq!(
        signed_request(&sim, "POST", ALGO, &sized_stop("63500", "two"))
            .await
            .status,
        200
    );
    let profit = stop("66000", "tp").replace("STOP_MARKET", "TAKE_PROFIT_MARKET");
    assert_eq!(
        signed_request(&sim, "POST", ALGO, &profit).await.status,
        200
    );
    let open = signed_request(&sim, "GET", "/fapi/v1/openAlgoOrders", "symbol=BTCUSDT").await;
    assert_eq!(open.json().as_array().unwrap().len(), 3);
    // Plain queries and cancellations do not see them.
    assert_eq!(query(&sim, "one").await.code(), -2013);
    assert_eq!(
        signed_request(
            &sim,
            "DELETE",
            ORDER,
            "symbol=BTCUSDT&origClientOrderId=one"
        )
        .await
        .code(),
        -2011
    );
}

#[tokio::test]
async fn closing_the_position_expires_its_close_position_stops() {
    let sim = long_btc().await;
    signed_request(&sim, "POST", ALGO, &stop("63000", "sl")).await;
    signed_request(&sim, "POST", ALGO, &sized_stop("62000", "sized")).await;
    order(&sim, &sell("0.0124", "close")).await;
    assert_eq!(algo_status(&sim, "sl").await["algoStatus"], "EXPIRED");
    assert_eq!(algo_status(&sim, "sized").await["algoStatus"], "NEW");
    sim.handle().set_price("BTCUSDT", dec("61000"));
    assert_eq!(algo_status(&sim, "sized").await["algoStatus"], "EXPIRED");
    assert_eq!(sim.handle().position("BTCUSDT"), Decimal::ZERO);
}

#[tokio::test]
async fn cancelling_the_last_stop_of_a_held_position_is_counted_as_left_bare() {
    let sim = long_btc().await;
    signed_request(&sim, "POST", ALGO, &sized_stop("63000", "old")).await;
    signed_request(&sim, "POST", ALGO, &sized_stop("63500", "new")).await;
    let cancelled = signed_request(&sim, "DELETE", ALGO, "clientAlgoId=old")
        .await
        .json();
    assert_eq!(
        (cancelled["code"].as_str(), cancelled["msg"].as_str()),
        (Some("200"), Some("success"))
    );
    assert_eq!(sim.handle().times_left_bare(), 0);
    assert_eq!(sim.handle().open_stops("BTCUSDT")[0].client_algo_id, "new");
    // The documented lower-case spelling is read too.
    assert_eq!(
        signed_request(&sim, "DELETE", ALGO, "clientalgoid=new")
            .await
            .status,
        200
    );
    assert_eq!(sim.handle().times_left_bare(), 1);
    assert_eq!(
        signed_request(&sim, "DELETE", ALGO, "clientAlgoId=new")
            .await
            .code(),
        -2011
    );
    assert_eq!(
        signed_request(&sim, "GET", ALGO, "clientAlgoId=nobody")
            .await
            .code(),
        -2013
    );
    assert_eq!(signed_request(&sim, "GET", ALGO, "").await.code(), -1102);
}

#[tokio::test]
async fn a_placed_stop_can_stay_unseen_too() {
    let sim = long_btc().await;
    let script = Script {
        hide_order: Some(Veil::queries(1)),
        ..Script::default()
    };
    sim.handle()
        .script(Fault::scripted(When::algo_order(), script));
    signed_request(&sim, "POST", ALGO, &stop("63000", "sl")).await;
    assert_eq!(
        signed_request(&sim, "GET", ALGO, "clientAlgoId=sl")
            .await
            .code(),
        -2013
    );
    assert_eq!(algo_status(&sim, "sl").await["algoStatus"], "NEW");
}

#[tokio::test]
async fn usage_is_counted_on_replies_and_limits_are_enforced_when_asked_for() {
    let sim = long_btc().await;
    let first = order(&sim, &sell("0.0001", "a")).await;
    assert_eq!(first.header("X-MBX-ORDER-COUNT-10S").as_deref(), Some("1"));
    assert_eq!(first.header("x-mbx-order-count-1m").as_deref(), Some("1"));
    assert!(first.header("X-MBX-USED-WEIGHT-1M").is_some());
    sim.handle().set_limits(Some(Limits {
        orders_per_minute: 2,
        ..Limits::test_host()
    }));
    // Two fit into one minute; a third can only be admitted where a new minute began in between.
    let mut refused = None;
    for n in 0..6 {
        let answer = order(&sim, &sell("0.0001", &format!("b{n}"))).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.code(), -1015);
    let wait: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    sim.handle().set_limits(None);
    assert_eq!(order(&sim, &sell("0.0001", "c")).await.status, 200);
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
async fn a_served_venue_stops_when_told_and_frees_its_port() {
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
