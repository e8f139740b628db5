//! Orders over the wire: what is refused, with which code, and what an accepted one changes.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exchange_sim::{Fault, Fill, OrderOutcome, PositionSide, SimConfig, SymbolSpec, When};
use rust_decimal::Decimal;

#[tokio::test]
async fn a_reduce_only_market_order_fills_moves_the_position_and_leaves_a_trade() {
    let held = SimConfig::default().position("BTCUSDT", dec("0.0124"));
    let sim = start(held.old_replies()).await;
    sim.handle().set_price("BTCUSDT", dec("65000"));
    let answer = order(&sim, &sell("0.008", "plan-1")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let reply = answer.json();
    assert_eq!(reply["status"], "FILLED");
    assert_eq!(reply["clientOrderId"], "plan-1");
    assert_eq!(reply["reduceOnly"], true);
    assert_eq!(dec(reply["executedQty"].as_str().unwrap()), dec("0.008"));
    assert_eq!(dec(reply["avgPrice"].as_str().unwrap()), dec("65000"));
    assert_eq!(dec(reply["cumQuote"].as_str().unwrap()), dec("520"));
    let order_id = reply["orderId"].as_u64().unwrap();

    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0044"));
    assert_eq!(shown_position(&sim).await, Some(dec("0.0044")));

    let trades = signed_request(
        &sim,
        "GET",
        "/fapi/v1/userTrades",
        &format!("symbol=BTCUSDT&orderId={order_id}"),
    )
    .await
    .json();
    assert_eq!(trades.as_array().unwrap().len(), 1);
    let trade = &trades[0];
    assert_eq!(dec(trade["realizedPnl"].as_str().unwrap()), dec("8"));
    assert_eq!(dec(trade["commission"].as_str().unwrap()), dec("0.26"));
    assert_eq!(trade["commissionAsset"], "USDT");
    assert_eq!(trade["orderId"].as_u64(), Some(order_id));

    let log = sim.handle().orders();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].outcome, OrderOutcome::Filled);
    assert_eq!(log[0].executed_qty, dec("0.008"));
    assert_eq!(log[0].client_order_id.as_deref(), Some("plan-1"));
}

#[tokio::test]
async fn an_ack_says_nothing_has_executed_although_it_has() {
    let sim = long_btc().await;
    let params = sell("0.008", "a").replace("&newOrderRespType=RESULT", "");
    let reply = order(&sim, &params).await.json();
    assert_eq!(
        (reply["status"].as_str(), reply["executedQty"].as_str()),
        (Some("NEW"), Some("0.0000"))
    );
    assert_eq!(query(&sim, "a").await.json()["status"], "FILLED");
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0044"));
}

#[tokio::test]
async fn a_reduce_only_order_larger_than_the_position_is_cut_to_it() {
    let sim = long_btc().await;
    let reply = order(&sim, &sell("0.02", "a")).await.json();
    assert_eq!(dec(reply["origQty"].as_str().unwrap()), dec("0.0124"));
    assert_eq!(dec(reply["executedQty"].as_str().unwrap()), dec("0.0124"));
    assert_eq!(shown_position(&sim).await, None);
}

#[tokio::test]
async fn reduce_only_without_a_position_or_on_the_wrong_side_is_refused() {
    let sim = long_btc().await;
    let wrong_side = sell("0.001", "a").replace("SELL", "BUY");
    assert_eq!(order(&sim, &wrong_side).await.code(), -2022);
    sim.handle().set_position("BTCUSDT", Decimal::ZERO);
    let refused = order(&sim, &sell("0.001", "b")).await;
    assert_eq!((refused.status, refused.code()), (400, -2022));
    let log = sim.handle().orders();
    assert!(
        log.iter()
            .all(|r| r.outcome == OrderOutcome::Rejected(-2022) && !r.moved_the_position())
    );
}

#[tokio::test]
async fn a_filled_order_frees_its_client_id_and_an_open_one_holds_it() {
    let sim = long_btc().await;
    assert_eq!(order(&sim, &sell("0.001", "same")).await.status, 200);
    assert_eq!(order(&sim, &sell("0.001", "same")).await.status, 200);
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0104"));

    sim.handle().script(Fault::fill(
        When::order(),
        Fill::only(dec("0.001")).rest_open(),
    ));
    let open = order(&sim, &sell("0.002", "same")).await.json();
    assert_eq!(open["status"], "PARTIALLY_FILLED");
    assert_eq!(order(&sim, &sell("0.001", "same")).await.code(), -4116);
    assert!(sim.handle().fill_open_order("same"));
    assert_eq!(order(&sim, &sell("0.001", "same")).await.status, 200);
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0074"));
}

#[tokio::test]
async fn every_broken_parameter_has_its_code() {
    let sim = long_btc().await;
    let good = sell("0.001", "a");
    let with = |from: &str, to: &str| good.replace(from, to);
    let cases = [
        (with("symbol=BTCUSDT&", ""), -1102),
        (with("BTCUSDT", "NOPEUSDT"), -1121),
        (with("side=SELL&", ""), -1102),
        (with("SELL", "sell"), -1117),
        (with("MARKET", "STOP_MARKET"), -4120),
        (with("MARKET", "TAKE_PROFIT"), -4120),
        (with("MARKET", "ICEBERG"), -1116),
        (with("quantity=0.001&", ""), -1102),
        (with("0.001", "1e-3"), -1102),
        (with("0.001", ""), -1105),
        (with("0.001", "0"), -4003),
        (with("0.001", "-0.001"), -4003),
        (with("0.001", "0.009000000000000001"), -1111),
        (with("0.001", "500"), -4005),
        (with("newClientOrderId=a", "newClientOrderId=a%20b"), -4015),
        (
            with(
                "newClientOrderId=a",
                &format!("newClientOrderId={}", "a".repeat(37)),
            ),
            -4015,
        ),
        (with("true", "yes"), -4062),
        (with("RESULT", "FULL"), -1136),
        (format!("{good}&price=1"), -1106),
        (format!("{good}&timeInForce=GTC"), -1106),
        (format!("{good}&stopPrice=1"), -1106),
        (format!("{good}&positionSide=LONG"), -4061),
        (format!("{good}&positionSide=EITHER"), -4060),
        (format!("{good}&goodTillDate=1"), -1106),
        (format!("{good}&priceMatch=QUEUE"), -5038),
        (format!("{good}&selfTradePreventionMode=SOMETIMES"), -5039),
        (format!("{good}&closePosition=true"), -4136),
        (format!("{good}&side=SELL"), -1101),
    ];
    for (params, code) in cases {
        let refused = order(&sim, &params).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{params}");
    }
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0124"));
    let accepted = good.replace(
        "newClientOrderId=a",
        &format!("newClientOrderId={}", "aZ9.:/_-".repeat(5).split_at(36).0),
    );
    assert_eq!(order(&sim, &accepted).await.status, 200);
}

#[tokio::test]
async fn min_notional_rules_new_risk_and_spares_reduce_only() {
    let sim = long_btc().await;
    let opening = sell("0.001", "a").replace("&reduceOnly=true", "");
    assert_eq!(order(&sim, &opening).await.code(), -4164);
    assert_eq!(order(&sim, &sell("0.001", "b")).await.status, 200);
}

#[tokio::test]
async fn a_symbol_that_does_not_trade_takes_no_order_and_filters_can_change_in_flight() {
    let sim = long_btc().await;
    let mut spec = SymbolSpec::btcusdt();
    spec.market_lot.step = dec("0.0005");
    sim.handle().set_symbol(spec.clone());
    assert_eq!(order(&sim, &sell("0.0012", "a")).await.code(), -4023);
    spec.status = "BREAK".into();
    sim.handle().set_symbol(spec);
    assert_eq!(order(&sim, &sell("0.001", "a")).await.code(), -4140);
}

#[tokio::test]
async fn hedge_mode_wants_a_leg_and_no_reduce_only() {
    let sim = start(
        SimConfig::default()
            .hedge_mode()
            .leg("BTCUSDT", PositionSide::Long, dec("0.01"))
            .leg("BTCUSDT", PositionSide::Short, dec("-0.02")),
    )
    .await;
    let mode = signed_request(&sim, "GET", "/fapi/v1/positionSide/dual", "").await;
    assert_eq!(mode.json()["dualSidePosition"], true);
    let plain = "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.001&newOrderRespType=RESULT";
    assert_eq!(order(&sim, plain).await.code(), -4061);
    let reduce = format!("{plain}&positionSide=LONG&reduceOnly=true");
    assert_eq!(order(&sim, &reduce).await.code(), -1106);
    let close = format!("{plain}&positionSide=LONG");
    assert_eq!(order(&sim, &close).await.status, 200);
    assert_eq!(
        sim.handle().leg("BTCUSDT", PositionSide::Long),
        dec("0.009")
    );
    let too_much = close.replace("0.001", "0.05");
    assert_eq!(order(&sim, &too_much).await.code(), -2022);
    let cover = close.replace("SELL", "BUY").replace("LONG", "SHORT");
    assert_eq!(order(&sim, &cover).await.status, 200);
    assert_eq!(
        sim.handle().leg("BTCUSDT", PositionSide::Short),
        dec("-0.019")
    );
}

#[tokio::test]
async fn limit_orders_rest_until_the_price_comes_to_them() {
    let sim = long_btc().await;
    let rest = "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&price=65000&quantity=0.01&newClientOrderId=rest&newOrderRespType=RESULT";
    assert_eq!(order(&sim, rest).await.json()["status"], "NEW");
    assert_eq!(order(&sim, rest).await.code(), -4116);
    let open = signed_request(&sim, "GET", "/fapi/v1/openOrders", "symbol=BTCUSDT").await;
    assert_eq!(open.json().as_array().unwrap().len(), 1);
    sim.handle().set_price("BTCUSDT", dec("64999.9"));
    assert_eq!(query(&sim, "rest").await.json()["status"], "NEW");
    sim.handle().set_price("BTCUSDT", dec("65100"));
    let filled = query(&sim, "rest").await.json();
    assert_eq!(filled["status"], "FILLED");
    assert_eq!(dec(filled["avgPrice"].as_str().unwrap()), dec("65000"));

    for (word, code) in [("FOK", -5021), ("XXX", -1115)] {
        let refused = rest.replace("GTC", word).replace("65000", "68000");
        assert_eq!(order(&sim, &refused).await.code(), code, "{word}");
    }
    let post_only = rest.replace("GTC", "GTX").replace("65000", "64500");
    assert_eq!(order(&sim, &post_only).await.code(), -5022);
    let expires = rest.replace("GTC", "IOC").replace("65000", "70000");
    assert_eq!(order(&sim, &expires).await.json()["status"], "EXPIRED");
    let far = rest.replace("65000", "61000");
    assert_eq!(order(&sim, &far).await.code(), -4024);
    let far = rest.replace("65000", "70000").replace("SELL", "BUY");
    assert_eq!(order(&sim, &far).await.code(), -4016);
    let off_tick = rest.replace("65000", "70000.05");
    assert_eq!(order(&sim, &off_tick).await.code(), -4014);
}

#[tokio::test]
async fn an_open_order_is_cancelled_once() {
    let sim = long_btc().await;
    let rest = "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&price=65000&quantity=0.01&newClientOrderId=rest";
    order(&sim, rest).await;
    let cancel = "symbol=BTCUSDT&origClientOrderId=rest";
    let cancelled = signed_request(&sim, "DELETE", ORDER, cancel).await;
    assert_eq!(cancelled.json()["status"], "CANCELED");
    assert_eq!(
        signed_request(&sim, "DELETE", ORDER, cancel).await.code(),
        -2011
    );
    assert_eq!(
        signed_request(&sim, "DELETE", ORDER, "symbol=BTCUSDT")
            .await
            .code(),
        -1102
    );
}

#[tokio::test]
async fn a_query_needs_a_name_that_exists() {
    let sim = long_btc().await;
    assert_eq!(query(&sim, "nobody").await.code(), -2013);
    assert_eq!(
        signed_request(&sim, "GET", ORDER, "symbol=BTCUSDT")
            .await
            .code(),
        -1102
    );
    let id = order(&sim, &sell("0.001", "a")).await.json()["orderId"].clone();
    let by_id = signed_request(&sim, "GET", ORDER, &format!("symbol=BTCUSDT&orderId={id}")).await;
    assert_eq!(by_id.json()["clientOrderId"], "a");
    let elsewhere = format!("symbol=ETHUSDT&orderId={id}");
    assert_eq!(
        signed_request(&sim, "GET", ORDER, &elsewhere).await.code(),
        -2013
    );
}

#[tokio::test]
async fn a_terse_venue_leaves_out_average_and_quote() {
    let sim = start(
        SimConfig::default()
            .terse_results()
            .position("BTCUSDT", dec("0.0124")),
    )
    .await;
    let reply = order(&sim, &sell("0.001", "a")).await.json();
    assert!(reply.get("avgPrice").is_none() && reply.get("cumQuote").is_none());
    assert_eq!(dec(reply["executedQty"].as_str().unwrap()), dec("0.001"));
}

#[tokio::test]
async fn a_fill_can_be_cut_split_or_withheld_by_script() {
    let sim = long_btc().await;
    let handle = sim.handle();
    handle.script(Fault::fill(When::order(), Fill::only(dec("0.003"))));
    let partial = order(&sim, &sell("0.008", "partial")).await.json();
    assert_eq!(partial["status"], "EXPIRED");
    assert_eq!(dec(partial["executedQty"].as_str().unwrap()), dec("0.003"));
    handle.script(Fault::fill(When::order(), Fill::nothing()));
    let none = order(&sim, &sell("0.008", "none")).await.json();
    assert_eq!(none["status"], "EXPIRED");
    assert!(dec(none["executedQty"].as_str().unwrap()).is_zero());
    handle.script(Fault::fill(
        When::order(),
        Fill::in_trades(3).at(dec("63000")),
    ));
    let split = order(&sim, &sell("0.001", "split")).await.json();
    let queried = query(&sim, "split").await.json();
    assert_eq!(dec(queried["avgPrice"].as_str().unwrap()), dec("63000"));
    let params = format!("symbol=BTCUSDT&orderId={}", split["orderId"]);
    let trades = signed_request(&sim, "GET", "/fapi/v1/userTrades", &params)
        .await
        .json();
    let sum: Decimal = trades
        .as_array()
        .unwrap()
        .iter()
        .map(|trade| dec(trade["qty"].as_str().unwrap()))
        .sum();
    assert_eq!((trades.as_array().unwrap().len(), sum), (3, dec("0.001")));
    assert_eq!(handle.position("BTCUSDT"), dec("0.0084"));
    let outcomes: Vec<_> = handle
        .orders()
        .iter()
        .map(|record| record.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [
            OrderOutcome::Expired,
            OrderOutcome::Expired,
            OrderOutcome::Filled
        ]
    );
}
