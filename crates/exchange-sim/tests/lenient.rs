//! The venue reads past what it does not know; one's own client can be judged more strictly.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exchange_sim::SimConfig;

const STOP: &str = "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET&triggerPrice=60000&quantity=0.01&reduceOnly=true&clientAlgoId=a";

#[tokio::test]
async fn what_the_venue_reads_past_is_refused_only_where_that_was_asked_for() {
    let lenient = long_btc().await;
    let strict = start(
        SimConfig::default()
            .position("BTCUSDT", dec("0.0124"))
            .strict(),
    )
    .await;
    let flat = STOP.replace("BTCUSDT", "ETHUSDT").replace("60000", "3000");
    let off_tick = STOP.replace("60000", "60000.05").replace("Id=a", "Id=t");
    let sold = sell("0.001", "n");
    let cases = [
        ("POST", ORDER, format!("{sold}&nonsense=1"), -1104),
        (
            "POST",
            ORDER,
            format!("{}&workingType=MARK_PRICE", sell("0.001", "w")),
            -1106,
        ),
        (
            "POST",
            ORDER,
            format!("{}&closePosition=false", sell("0.001", "c")),
            -1106,
        ),
        ("POST", ALGO, off_tick, -4014),
        ("POST", ALGO, flat.replace("Id=a", "Id=f"), -2022),
        (
            "GET",
            "/fapi/v1/positionSide/dual",
            "symbol=BTCUSDT".into(),
            -1104,
        ),
        (
            "GET",
            "/fapi/v1/userTrades",
            "symbol=BTCUSDT&limit=5000".into(),
            -1130,
        ),
    ];
    for (method, path, params, code) in cases {
        let taken = signed_request(&lenient, method, path, &params).await;
        assert_eq!(
            taken.status, 200,
            "{method} {path} {params}: {}",
            taken.body
        );
        let refused = signed_request(&strict, method, path, &params).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{params}");
    }
    // A stop is asked for and cancelled with a symbol by everybody, so both take it.
    for sim in [&lenient, &strict] {
        assert_eq!(signed_request(sim, "POST", ALGO, STOP).await.status, 200);
        let named = "symbol=BTCUSDT&clientAlgoId=a";
        assert_eq!(signed_request(sim, "GET", ALGO, named).await.status, 200);
        assert_eq!(signed_request(sim, "DELETE", ALGO, named).await.status, 200);
    }
}

#[tokio::test]
async fn a_request_that_waits_to_be_asked_for_its_body_is_asked_at_once() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sim = long_btc().await;
    let body = signed(&sell("0.001", "e"));
    let head = format!(
        "POST {ORDER} HTTP/1.1\r\nHost: sim\r\nX-MBX-APIKEY: {}\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        SimConfig::API_KEY,
        body.len()
    );
    let mut client = Client::to(&sim).await;
    client.stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    soon(client.stream.read_exact(&mut asked)).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.stream.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(client.read().await.unwrap().json()["status"], "FILLED");
}

#[tokio::test]
async fn what_is_not_modelled_is_said_and_counted() {
    let sim = long_btc().await;
    for _ in 0..2 {
        let answer = signed_request(&sim, "POST", "/fapi/v1/batchOrders", "batchOrders=[]").await;
        assert_eq!((answer.status, answer.code()), (404, -5000));
    }
    assert_eq!(get(&sim, "/api/v3/exchangeInfo").await.code(), -5000);
    assert_eq!(get(&sim, "/ws/btcusdt@trade").await.code(), -5000);
    let listed = control(&sim, "GET", "/sim/missing", "").await.json();
    let row = |path: &str| {
        let rows = listed["missing"].as_array().unwrap().iter();
        rows.clone()
            .find(|row| row["path"] == path)
            .unwrap()
            .clone()
    };
    assert_eq!(row("/fapi/v1/batchOrders")["requests"], 2);
    assert!(
        row("/fapi/v1/batchOrders")["why"]
            .as_str()
            .unwrap()
            .contains("batch")
    );
    assert!(
        row("/api/v3/exchangeInfo")["why"]
            .as_str()
            .unwrap()
            .contains("spot")
    );
    assert!(
        row("/ws/btcusdt@trade")["why"]
            .as_str()
            .unwrap()
            .contains("web sockets")
    );
    let help = control(&sim, "GET", "/sim", "").await.json();
    let served = help["served"].as_array().unwrap();
    assert!(
        served
            .iter()
            .any(|line| line == "POST /fapi/v1/order, signed")
    );
    assert_eq!(served.len(), exchange_sim::served().count());
}

#[tokio::test]
async fn a_reset_opens_the_venue_anew() {
    let sim = long_btc().await;
    order(&sim, &sell("0.001", "a")).await;
    sim.handle().set_price("BTCUSDT", dec("60000"));
    control(&sim, "POST", "/sim/mode", r#"{"hedge":true}"#).await;
    get(&sim, "/nothing").await;
    assert_eq!(control(&sim, "POST", "/sim/reset", "").await.status, 200);
    let handle = sim.handle();
    assert_eq!(handle.position("BTCUSDT"), dec("0.0124"));
    assert_eq!(handle.price("BTCUSDT"), Some(dec("64000")));
    assert_eq!(
        (handle.order_count(), handle.wallet()),
        (0, SimConfig::WALLET)
    );
    assert!(handle.not_modelled().is_empty() && handle.faults().is_empty());
    let mode = signed_request(&sim, "GET", "/fapi/v1/positionSide/dual", "").await;
    assert_eq!(mode.json()["dualSidePosition"], false);
}

#[tokio::test]
async fn an_order_that_was_under_way_when_the_venue_was_reset_is_no_entry_of_the_new_log() {
    let sim = long_btc().await;
    sim.handle()
        .set_latency(std::time::Duration::from_millis(200));
    let slow = sell("0.001", "slow");
    let slow = order(&sim, &slow);
    let reset = async {
        sim.handle().wait_for_orders(1).await;
        sim.handle().reset();
        sim.handle().set_latency(std::time::Duration::ZERO);
        let refused = sell("9999", "next");
        order(&sim, &refused).await;
    };
    let (answer, ()) = tokio::join!(slow, reset);
    assert_eq!(answer.status, 200);
    let log = sim.handle().orders();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].outcome, exchange_sim::OrderOutcome::Rejected(-4005));
}
