//! Conditional orders: what is refused, what triggers, what goes with the position.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exchange_sim::{Canned, Fault, HiddenFor, OrderOutcome, Script, Sim, SimConfig, When};
use rust_decimal::Decimal;
use serde_json::Value;

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
    let held = SimConfig::default().position("BTCUSDT", dec("0.0124"));
    let sim = start(held.strict()).await;
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
        (with("MARK_PRICE", "INDEX"), -4031),
        (with("63000", "0"), -4006),
        (with("63000", "4529765"), -4007),
        (with("true", "true&reduceOnly=false"), -4138),
        (with("true", "true&goodTillDate=1"), -1106),
        (with("true", "true&timeInForce=NOW"), -1115),
        (with("true", "true&selfTradePreventionMode=X"), -5039),
        (with("true", "true&priceMatch=QUEUE"), -5038),
        (with("STOP_MARKET", "STOP&price=63000"), -4136),
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
        hide_order: Some(HiddenFor::queries(1)),
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
async fn every_stop_that_arrived_is_in_the_stop_log_with_what_became_of_it() {
    let sim = long_btc().await;
    let gone = When::algo_order().client_id("gone");
    let lost = sim
        .handle()
        .script(Fault::reply(gone, false, Canned::internal_503()));
    for (trigger, id, status) in [
        ("63000", "kept", 200),
        ("64000", "refused", 400),
        ("62000", "gone", 503),
    ] {
        let answer = signed_request(&sim, "POST", ALGO, &sized_stop(trigger, id)).await;
        assert_eq!(answer.status, status);
    }
    let stops = sim.handle().stops();
    let facts: Vec<_> = stops
        .iter()
        .map(|stop| (stop.client_order_id.as_deref(), stop.outcome))
        .collect();
    assert_eq!(
        facts,
        [
            (Some("kept"), OrderOutcome::Open),
            (Some("refused"), OrderOutcome::Rejected(-2021)),
            (Some("gone"), OrderOutcome::NotExecuted),
        ]
    );
    let open = sim.handle().open_stops("BTCUSDT");
    assert_eq!((stops[0].fault, stops[2].fault), (None, Some(lost)));
    assert_eq!(stops[0].order_id, Some(open[0].algo_id));
    assert_eq!(
        (sim.handle().stops_dropped(), sim.handle().order_count()),
        (0, 0)
    );
}
