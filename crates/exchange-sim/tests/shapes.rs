//! Replies have the fields of recorded ones, errors their words, and every documented word is taken or refused as the
//! venue documents it. `SOURCES.md` of `venue-facts` says where each recording comes from.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exchange_sim::{Canned, Sim, SimConfig, venue_code};
use serde_json::Value;
use std::collections::BTreeSet;

fn fixture(name: &str) -> Value {
    serde_json::from_str(venue_facts::recorded_answer(name).unwrap().json).unwrap()
}

fn body(name: &str) -> Value {
    let recorded = fixture(name)["body"].clone();
    match recorded {
        Value::Array(mut rows) => rows.remove(0),
        one => one,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Every field of the recording is there, of the same kind.
fn assert_like(recorded: &str, reply: &Value) {
    let wanted = body(recorded);
    for (name, value) in wanted.as_object().unwrap() {
        let got = reply
            .get(name)
            .unwrap_or_else(|| panic!("{recorded}: no {name} in {reply}"));
        assert_eq!(kind(got), kind(value), "{recorded}: {name} is {got}");
    }
}

/// No other fields either.
fn assert_same_fields(recorded: &str, reply: &Value) {
    assert_like(recorded, reply);
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(&body(recorded)), names(reply), "{recorded}");
}

const STOP: &str = "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET&triggerPrice=60000&quantity=0.01&reduceOnly=true&clientAlgoId=a";

async fn stop(sim: &Sim, params: &str) -> Answer {
    signed_request(sim, "POST", ALGO, params).await
}

#[tokio::test]
async fn order_replies_have_the_shape_of_2026() {
    let sim = long_btc().await;
    let ack = order(&sim, "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01").await;
    assert_same_fields("po_ack_2026", &ack.json());
    let result = order(&sim, &sell("0.001", "r")).await.json();
    assert_like("po_result_2026_testnet", &result);
    assert!(result.get("avgPrice").is_none() && result.get("cumQuote").is_none());
    let queried = query(&sim, "r").await.json();
    assert_eq!(dec(queried["avgPrice"].as_str().unwrap()), dec("64000"));
    assert!(queried["cumQuote"].is_string() && queried["time"].is_u64());
    let rests = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTX&priceMatch=QUEUE_20&quantity=0.01&newClientOrderId=q";
    assert_eq!(order(&sim, rests).await.status, 200);
    let params = "symbol=BTCUSDT&origClientOrderId=q";
    let cancelled = signed_request(&sim, "DELETE", ORDER, params).await.json();
    assert_same_fields("po_cancel_2026", &cancelled);
    assert_eq!(cancelled["priceMatch"], "QUEUE_20");
    assert_eq!(dec(cancelled["price"].as_str().unwrap()), dec("63998"));
    let tested = signed_request(&sim, "POST", "/fapi/v1/order/test", &sell("0.001", "t")).await;
    assert_like("po_test_order", &tested.json());
    assert_eq!(tested.json()["orderId"], 0);
    assert_eq!(query(&sim, "t").await.code(), -2013);
    assert_eq!(sim.handle().order_count(), 3);
}

#[tokio::test]
async fn conditional_orders_have_the_shape_of_2026() {
    let sim = long_btc().await;
    assert_same_fields("al_post_demo", &stop(&sim, STOP).await.json());
    let open = signed_request(&sim, "GET", "/fapi/v1/openAlgoOrders", "symbol=BTCUSDT").await;
    assert_like("al_open_demo", &open.json()[0]);
    assert_like("al_open_xny", &open.json()[0]);
    let whole = STOP
        .replace("quantity=0.01&reduceOnly=true", "closePosition=true")
        .replace("Id=a", "Id=b");
    stop(&sim, &whole).await;
    let params = "symbol=BTCUSDT&clientAlgoId=b";
    let whole = signed_request(&sim, "GET", ALGO, params).await.json();
    assert_like("al_close_position", &whole);
    assert_eq!(whole["quantity"], "0.0000");
    let cancelled = signed_request(&sim, "DELETE", ALGO, params).await.json();
    assert_same_fields("al_cancel", &cancelled);
    assert_eq!(cancelled["code"], "200");
    sim.handle().set_price("BTCUSDT", dec("59990"));
    let fired = signed_request(&sim, "GET", ALGO, "symbol=BTCUSDT&clientAlgoId=a")
        .await
        .json();
    assert_like("al_finished", &fired);
    assert_eq!(
        (fired["actualQty"].as_str(), fired["actualPrice"].as_str()),
        (Some("0.0100"), Some("59990.00000"))
    );
    let all = signed_request(&sim, "GET", "/fapi/v1/allAlgoOrders", "symbol=BTCUSDT")
        .await
        .json();
    assert_eq!(all.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn account_and_market_replies_have_the_recorded_fields() {
    let sim = long_btc().await;
    order(&sim, &sell("0.001", "a")).await;
    let trades = signed_request(&sim, "GET", "/fapi/v1/userTrades", "symbol=BTCUSDT").await;
    assert_same_fields("ut_2026", &trades.json()[0]);
    let v2 = signed_request(&sim, "GET", "/fapi/v2/positionRisk", "symbol=BTCUSDT").await;
    assert_same_fields("pr_v2_aapl_open", &v2.json()[0]);
    let v3 = signed_request(&sim, "GET", "/fapi/v3/positionRisk", "symbol=BTCUSDT").await;
    assert_same_fields("pr_v3_doc", &v3.json()[0]);
    let index = get(&sim, "/fapi/v1/premiumIndex?symbol=BTCUSDT").await;
    assert_same_fields("pi_btc", &index.json());
    let info = get(&sim, "/fapi/v1/exchangeInfo").await.json();
    assert_same_fields("ei_top", &info);
    assert_same_fields("ei_btcusdt", &info["symbols"][0]);
    let names = |value: &Value| -> Vec<String> {
        let filters = value["filters"].as_array().unwrap().iter();
        filters
            .map(|filter| filter["filterType"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&info["symbols"][0]), names(&body("ei_btcusdt")));
    for list in ["orderTypes", "timeInForce"] {
        assert_eq!(info["symbols"][0][list], body("ei_btcusdt")[list]);
    }
    let surprised = start(SimConfig::default().unknown_filter()).await;
    let info = get(&surprised, "/fapi/v1/exchangeInfo").await.json();
    assert_eq!(names(&info["symbols"][0]).len(), 8);
}

#[test]
fn documented_codes_have_the_recorded_status_and_words() {
    for name in [
        "er_451", "er_1008", "er_1022", "er_2013", "er_2015", "er_2027", "er_4087", "er_4116",
        "er_4130", "er_4164", "er_4192", "er_4411", "er_4509", "er_4531",
    ] {
        let recorded = fixture(name);
        let code = i32::try_from(recorded["body"]["code"].as_i64().unwrap()).unwrap();
        let known = venue_code(code).unwrap();
        assert_eq!(Some(known.text), recorded["body"]["msg"].as_str(), "{name}");
        assert_eq!(
            u64::from(known.status),
            recorded["status"].as_u64().unwrap(),
            "{name}"
        );
        assert_eq!(Canned::code(code).unwrap().status, known.status);
    }
}

/// The words of one kind in the table of words.
fn words(kind: &str) -> Vec<String> {
    venue_facts::WORDS
        .lines()
        .filter_map(|line| line.strip_prefix(kind)?.strip_prefix(','))
        .filter_map(|rest| rest.split(',').next().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn every_documented_word_is_read() {
    let sim = long_btc().await;
    let limit = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.01";
    let good_till = now_ms() + 700_000;
    let bad_word =
        |code: i64| [-1115, -1116, -1130, -1136, -4031, -4060, -5037, -5039].contains(&code);
    let mut read = 0;
    for (kind, orders) in [
        (
            "time_in_force",
            vec![format!(
                "{limit}&price=63000&goodTillDate={good_till}&timeInForce="
            )],
        ),
        (
            "stp_mode",
            vec![
                format!("{limit}&price=63000&timeInForce=GTC&selfTradePreventionMode="),
                format!("{}&selfTradePreventionMode=", STOP.replace("Id=a", "Id=s")),
            ],
        ),
        (
            "price_match",
            vec![format!("{limit}&timeInForce=GTC&priceMatch=")],
        ),
        (
            "new_order_resp_type",
            vec![format!(
                "{limit}&price=63000&timeInForce=GTC&newOrderRespType="
            )],
        ),
        (
            "working_type",
            vec![format!("{}&workingType=", STOP.replace("Id=a", "Id=w"))],
        ),
        (
            "algo_type",
            vec![format!(
                "{}&algoType=",
                STOP.replace("algoType=CONDITIONAL&", "")
            )],
        ),
        (
            "position_side",
            vec![format!("{limit}&price=63000&timeInForce=GTC&positionSide=")],
        ),
    ] {
        for word in words(kind) {
            for order_text in &orders {
                let path = if order_text.contains("algoType") {
                    ALGO
                } else {
                    ORDER
                };
                let answer =
                    signed_request(&sim, "POST", path, &format!("{order_text}{word}")).await;
                let refused = answer.status != 200 && bad_word(answer.code());
                // The app's own word for whole-position stops is no documented value of an order.
                assert_eq!(refused, word == "GTE_GTC", "{kind} {word}: {}", answer.body);
                read += 1;
            }
            let nonsense =
                signed_request(&sim, "POST", ORDER, &format!("{}X{word}", orders[0])).await;
            assert_ne!(nonsense.status, 200, "{kind} X{word}");
        }
    }
    assert!(read > 30, "{read}");
    // Types: the plain endpoint knows two, the conditional one four; the fifth is not modelled and says so.
    for word in words("order_type") {
        let plain = order(
            &sim,
            &format!(
                "symbol=BTCUSDT&side=SELL&type={word}&quantity=0.001&price=64000&timeInForce=GTC"
            ),
        )
        .await;
        let code = if plain.status == 200 { 0 } else { plain.code() };
        match word.as_str() {
            "LIMIT" => assert_eq!(code, -4164),
            "MARKET" => assert_eq!(code, -1106),
            "LIQUIDATION" | "ADL" => assert_eq!(code, -1116),
            _ => assert_eq!(code, -4120, "{word}"),
        }
        let limits = if matches!(word.as_str(), "STOP" | "TAKE_PROFIT") {
            "&price=60000"
        } else {
            ""
        };
        let trigger = if word.starts_with("TAKE") {
            "70000"
        } else {
            "60000"
        };
        let params = STOP
            .replace("STOP_MARKET", &word)
            .replace("60000", trigger)
            .replace("Id=a", &format!("Id={word}"));
        let placed = stop(
            &sim,
            &format!("{params}{}", limits.replace("60000", trigger)),
        )
        .await;
        match word.as_str() {
            "STOP" | "STOP_MARKET" | "TAKE_PROFIT" | "TAKE_PROFIT_MARKET" => {
                assert_eq!(placed.status, 200, "{word} {}", placed.body);
                assert_eq!(placed.json()["orderType"], word);
            }
            _ => assert_eq!(placed.code(), -1116, "{word}"),
        }
    }
    let missing = sim.handle().not_modelled();
    assert!(
        missing
            .iter()
            .any(|missing| missing.path.contains("TRAILING_STOP_MARKET")),
        "{missing:?}"
    );
}

#[tokio::test]
async fn a_symbol_takes_orders_in_one_of_its_documented_states_only() {
    let sim = long_btc().await;
    for word in words("symbol_status") {
        let mut spec = exchange_sim::SymbolSpec::btcusdt();
        spec.status = word.clone();
        sim.handle().set_symbol(spec);
        let info = get(&sim, "/fapi/v1/exchangeInfo").await.json();
        assert_eq!(info["symbols"][0]["status"], word);
        let (status, code) = match word.as_str() {
            "TRADING" => (200, None),
            "CLOSE" | "DELIVERED" => (400, Some(-4141)),
            _ => (400, Some(-4140)),
        };
        let named = word.to_lowercase();
        for (path, params) in [
            (ORDER, sell("0.0001", &named)),
            (ALGO, STOP.replace("Id=a", &format!("Id={named}"))),
        ] {
            let answer = signed_request(&sim, "POST", path, &params).await;
            assert_eq!(answer.status, status, "{word} {path}: {}", answer.body);
            assert_eq!(
                code,
                (status == 400).then(|| answer.code()),
                "{word} {path}"
            );
        }
    }
}

#[tokio::test]
async fn every_word_that_the_venue_says_is_a_documented_one() {
    let sim = long_btc().await;
    let limit = "symbol=BTCUSDT&side=SELL&type=LIMIT&quantity=0.01&newClientOrderId=";
    for (id, rest) in [
        ("open", "timeInForce=GTC&price=65000"),
        ("expired", "timeInForce=IOC&price=65000"),
        ("gone", "timeInForce=GTC&price=66000"),
    ] {
        order(&sim, &format!("{limit}{id}&{rest}")).await;
    }
    signed_request(
        &sim,
        "DELETE",
        ORDER,
        "symbol=BTCUSDT&origClientOrderId=gone",
    )
    .await;
    for (id, trigger) in [("fires", "63000"), ("rests", "62000"), ("off", "61000")] {
        let params = STOP
            .replace(
                "STOP_MARKET",
                if id == "rests" {
                    "STOP&price=64900"
                } else {
                    "STOP_MARKET"
                },
            )
            .replace("60000", trigger)
            .replace("Id=a", &format!("Id={id}"))
            .replace("quantity=0.01", "quantity=0.001");
        assert_eq!(stop(&sim, &params).await.status, 200, "{id}");
    }
    signed_request(&sim, "DELETE", ALGO, "clientAlgoId=off").await;
    sim.handle().set_price("BTCUSDT", dec("62500"));
    sim.handle().set_price("BTCUSDT", dec("62000"));
    let said = |rows: &Value, field: &str| -> BTreeSet<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row[field].as_str().unwrap().to_owned())
            .collect()
    };
    let all = |path: &'static str| {
        let sim = &sim;
        async move {
            signed_request(sim, "GET", path, "symbol=BTCUSDT")
                .await
                .json()
        }
    };
    let orders = all("/fapi/v1/allOrders").await;
    let algos = all("/fapi/v1/allAlgoOrders").await;
    let limits = get(&sim, "/fapi/v1/exchangeInfo").await.json();
    for (kind, said) in [
        ("order_status", said(&orders, "status")),
        ("order_type", said(&orders, "type")),
        ("order_type", said(&orders, "origType")),
        ("time_in_force", said(&orders, "timeInForce")),
        ("stp_mode", said(&orders, "selfTradePreventionMode")),
        ("algo_status", said(&algos, "algoStatus")),
        ("order_type", said(&algos, "orderType")),
        ("working_type", said(&algos, "workingType")),
        (
            "rate_limit_type",
            said(&limits["rateLimits"], "rateLimitType"),
        ),
        ("contract_type", said(&limits["symbols"], "contractType")),
        (
            "underlying_type",
            said(&limits["symbols"], "underlyingType"),
        ),
        ("symbol_status", said(&limits["symbols"], "status")),
    ] {
        let documented: BTreeSet<String> = words(kind).into_iter().collect();
        assert!(said.is_subset(&documented), "{kind}: {said:?}");
    }
    let statuses = said(&orders, "status");
    for wanted in ["NEW", "FILLED", "CANCELED", "EXPIRED"] {
        assert!(statuses.contains(wanted), "{statuses:?}");
    }
    let statuses = said(&algos, "algoStatus");
    for wanted in ["TRIGGERED", "FINISHED", "CANCELED"] {
        assert!(statuses.contains(wanted), "{statuses:?}");
    }
}
