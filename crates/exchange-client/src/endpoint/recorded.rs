//! Every recorded answer of the venue is read as what it is.

use super::{exchange_info::ExchangeInfo, order, position, premium, stop, trades};
use crate::{
    codes::{self, Submitted},
    fields::DecodeError,
    omissions::{Notes, Omissions},
    reply::Reply,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use venue_facts::recorded_answers;

/// What the client makes of an answer, in a line.
fn digest(answer: &Value) -> String {
    let body = &answer["body"];
    let text = body.to_string();
    let status = answer["status"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .expect("a status");
    if status >= 400 {
        let reply = Reply::read(status, text.as_bytes(), &[]);
        let meaning = |submitted| match codes::meaning(reply.code?, reply.text(), submitted) {
            codes::Meaning::Refused => Some("refused"),
            codes::Meaning::Unknown => Some("unknown"),
        };
        return format!(
            "HTTP {status}, code {}: order {}, stop {}",
            reply
                .code
                .map_or("none".to_owned(), |code| code.to_string()),
            meaning(Submitted::Order).unwrap_or("unknown"),
            meaning(Submitted::Stop).unwrap_or("unknown"),
        );
    }
    let mut notes = Notes::default();
    let read = match answer["endpoint"].as_str().expect("an endpoint") {
        "GET /fapi/v1/exchangeInfo" => listed(body, &mut notes),
        "GET /fapi/v3/positionRisk" => positions(&text, &mut notes),
        "POST /fapi/v1/order" | "GET /fapi/v1/order" | "DELETE /fapi/v1/order" => {
            ordered(&text, &mut notes)
        }
        "GET /fapi/v1/userTrades" => fills(body, &mut notes),
        "GET /fapi/v1/premiumIndex" => {
            let symbol = body["symbol"].as_str().expect("a symbol");
            let symbol = symbol.parse().expect("a symbol");
            premium::decode(&symbol, text.as_bytes()).map(|price| format!("mark price {price}"))
        }
        "GET /fapi/v1/openAlgoOrders" => {
            // Some recordings are one row of the list.
            let list = match body.is_array() {
                true => text,
                false => format!("[{text}]"),
            };
            stop::decode_open(None, list.as_bytes(), &mut notes)
                .map(|open| open.iter().map(stopped).collect())
        }
        "POST /fapi/v1/algoOrder" | "GET /fapi/v1/algoOrder" => {
            stop::decode(text.as_bytes()).map(|report| stopped(&report))
        }
        // What a cancel says is in its status; a stop that is gone already is answered with a code.
        "DELETE /fapi/v1/algoOrder" => Ok("cancelled".to_owned()),
        other => panic!("{other} is not among the questions of this client"),
    };
    let read = read.unwrap_or_else(|error| format!("error: {error}"));
    let mut omissions = Omissions::default();
    omissions.add(notes);
    let parts: Vec<_> = omissions.counts().iter().map(|count| count.part).collect();
    match parts.is_empty() {
        true => read,
        false => format!("{read}; left out: {}", parts.join(", ")),
    }
}

fn listed(body: &Value, notes: &mut Notes) -> Result<String, DecodeError> {
    let whole = match body.get("rateLimits") {
        Some(_) => {
            let mut top = body.clone();
            top["symbols"] = json!([]);
            top
        }
        None => json!({"symbols": [body]}),
    };
    let info = ExchangeInfo::read(whole.to_string().as_bytes(), notes)?;
    let Some(symbol) = body["symbol"].as_str() else {
        return Ok(format!("{} limits", info.limits.map_or(0, |all| all.len())));
    };
    let rules = info.rules(&symbol.parse().expect("a name that the venue lists"))?;
    let number = |number: Option<rust_decimal::Decimal>| number.unwrap_or_default().normalize();
    Ok(format!(
        "{}, step {}, at most {}, tick {}",
        rules.status,
        number(rules.market_lot.step),
        number(rules.largest_quantity()),
        number(rules.price.as_ref().and_then(|price| price.step)),
    ))
}

fn positions(text: &str, notes: &mut Notes) -> Result<String, DecodeError> {
    let held = position::decode(position::Wanted::All, text.as_bytes(), notes)?;
    let printed = held.iter().map(|held| {
        let entry = held
            .entry_price
            .map_or("none".to_owned(), |price| price.to_string());
        format!("{} {} at {entry}", held.side, held.amount)
    });
    let printed: Vec<_> = printed.collect();
    Ok(match printed.is_empty() {
        true => "flat".to_owned(),
        false => printed.join(", "),
    })
}

fn ordered(text: &str, notes: &mut Notes) -> Result<String, DecodeError> {
    let report = order::decode(text.as_bytes(), notes)?;
    let price = report
        .average_price
        .map_or("no price".to_owned(), |price| price.to_string());
    Ok(format!(
        "order {} {}: {} filled, {price}",
        report.order_id,
        report.status_word(),
        report.executed_quantity
    ))
}

fn fills(body: &Value, notes: &mut Notes) -> Result<String, DecodeError> {
    let symbol = body[0]["symbol"].as_str().expect("a symbol");
    let read = trades::decode(
        &symbol.parse().expect("a symbol"),
        body.to_string().as_bytes(),
        notes,
    )?;
    let quantities = read.iter().map(|fill| fill.quantity.to_string());
    Ok(format!(
        "filled {}",
        quantities.collect::<Vec<_>>().join(" and ")
    ))
}

fn stopped(report: &stop::StopReport) -> String {
    let number = |number: Option<rust_decimal::Decimal>| {
        number.map_or("none".to_owned(), |number| number.normalize().to_string())
    };
    format!(
        "{} {} {}: {} at {}",
        report.algo_id,
        report.order_type,
        report.status_word(),
        number(report.quantity),
        number(report.trigger_price),
    )
}

#[test]
fn every_recorded_answer_is_read_as_what_it_is() {
    let expected: BTreeMap<&str, &str> = EXPECTED.into_iter().collect();
    let mut read = 0;
    for answer in recorded_answers() {
        let value = serde_json::from_str(answer.json).expect("JSON");
        let digest = digest(&value);
        assert_eq!(
            expected.get(answer.name),
            Some(&digest.as_str()),
            "{}",
            answer.name
        );
        read += 1;
    }
    assert_eq!(
        (read, recorded_answers().len()),
        (expected.len(), expected.len())
    );
}

const EXPECTED: [(&str, &str); 44] = [
    ("al_cancel", "cancelled"),
    (
        "al_close_position",
        "1000000203021052 STOP_MARKET NEW: none at 74000",
    ),
    ("al_finished", "42 STOP_MARKET FINISHED: 0.0007 at 77125"),
    (
        "al_open_demo",
        "1000000226909486 STOP_MARKET NEW: 1 at 10000",
    ),
    (
        "al_open_xny",
        "1000000006010158 TAKE_PROFIT_MARKET NEW: 8310 at 0.003613",
    ),
    (
        "al_post_demo",
        "1000000226909486 STOP_MARKET NEW: 1 at 10000",
    ),
    (
        "ei_1000sats",
        "TRADING, step 1, at most 6000000000, tick 0.00000001",
    ),
    ("ei_aapl", "TRADING, step 0.01, at most 2000, tick 0.01"),
    ("ei_btcusdt", "TRADING, step 0.001, at most 120, tick 0.1"),
    ("ei_cjk", "TRADING, step 0.001, at most 120, tick 0.1"),
    ("ei_settling", "SETTLING, step 0.001, at most 120, tick 0.1"),
    // Cut down by its publisher: without bounds no order is sized.
    (
        "ei_tem_cut",
        "error: minQty: missing; left out: PRICE_FILTER, row",
    ),
    ("ei_top", "3 limits"),
    (
        "ei_xauusdt_tradifi",
        "TRADING, step 0.001, at most 1000, tick 0.01",
    ),
    (
        "er_1008",
        "HTTP 503, code -1008: order refused, stop refused",
    ),
    (
        "er_1022",
        "HTTP 400, code -1022: order refused, stop refused",
    ),
    (
        "er_2010_dup",
        "HTTP 400, code -2010: order unknown, stop unknown",
    ),
    (
        "er_2013",
        "HTTP 400, code -2013: order unknown, stop unknown",
    ),
    (
        "er_2015",
        "HTTP 401, code -2015: order refused, stop refused",
    ),
    (
        "er_2027",
        "HTTP 400, code -2027: order refused, stop refused",
    ),
    (
        "er_4087",
        "HTTP 400, code -4087: order refused, stop refused",
    ),
    (
        "er_4116",
        "HTTP 400, code -4116: order unknown, stop unknown",
    ),
    (
        "er_4130",
        "HTTP 400, code -4130: order unknown, stop refused",
    ),
    (
        "er_4164",
        "HTTP 400, code -4164: order refused, stop refused",
    ),
    (
        "er_4192",
        "HTTP 400, code -4192: order refused, stop refused",
    ),
    (
        "er_4411",
        "HTTP 400, code -4411: order refused, stop refused",
    ),
    (
        "er_4509",
        "HTTP 400, code -4509: order unknown, stop refused",
    ),
    ("er_451", "HTTP 451, code 0: order refused, stop refused"),
    (
        "er_4531",
        "HTTP 400, code -4531: order unknown, stop unknown",
    ),
    (
        "er_5000",
        "HTTP 404, code -5000: order refused, stop refused",
    ),
    ("pi_btc", "mark price 76916.95122464"),
    ("po_ack_2026", "order 140176001 NEW: 0 filled, no price"),
    (
        "po_cancel_2026",
        "order 1174076778 CANCELED: 0 filled, no price",
    ),
    (
        "po_order_id_19",
        "order 8389766269723522123 FILLED: 100 filled, 0.011",
    ),
    (
        "po_result_2026_testnet",
        "order 12345 FILLED: 0.0015 filled, no price",
    ),
    // A 200 that is no order.
    ("po_test_order", "error: executedQty: missing"),
    ("pr_exponent_entry", "BOTH 1234567 at 0.000912"),
    ("pr_exponent_neighbours", "BOTH 0.012 at 0.0"),
    ("pr_v2_aapl_flat", "flat"),
    ("pr_v2_aapl_open", "BOTH 0.02 at 313.20000000000005"),
    ("pr_v3_doc", "BOTH 0.012 at 0.385"),
    ("pr_ws_doc_zero", "BOTH 1 at 0.00000"),
    ("ut_2022", "filled 0.005"),
    ("ut_2026", "filled 0.02 and 0.02"),
];
