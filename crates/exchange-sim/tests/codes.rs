//! Every documented error code can be asked for: of an order, of a stop and of a question.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exchange_sim::{
    Canned, CodeMeaning, Fault, Instead, OrderOutcome, When, venue_code, venue_codes,
};

/// The requests a fault can meet: an order, a stop, a question.
const REQUESTS: [(&str, &str, &str); 3] = [
    (
        "POST",
        ORDER,
        "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.0001&reduceOnly=true",
    ),
    (
        "POST",
        ALGO,
        "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET&triggerPrice=60000&quantity=0.0001&reduceOnly=true",
    ),
    ("GET", ORDER, "symbol=BTCUSDT&origClientOrderId=a"),
];

#[tokio::test]
async fn every_row_of_the_table_answers_an_order_a_stop_and_a_question() {
    let sim = long_btc().await;
    let mut client = Client::to(&sim).await;
    assert!(venue_codes().len() >= 214);
    for row in venue_codes() {
        for (method, path, params) in REQUESTS {
            sim.handle().script(Fault::not_executed(
                When::request(method, path),
                Instead::Reply(Canned::code(row.code).unwrap()),
            ));
            let answer = client.try_signed(method, path, params).await.unwrap();
            assert_eq!(answer.status, row.status, "{row:?}");
            assert_eq!(answer.code(), i64::from(row.code));
            assert_eq!(answer.json()["msg"], row.text);
        }
    }
    assert!(
        sim.handle()
            .orders()
            .iter()
            .all(|order| order.outcome == OrderOutcome::NotExecuted)
    );
}

#[tokio::test]
async fn a_code_is_asked_for_over_http_and_may_hide_an_execution() {
    let sim = long_btc().await;
    let put = |action: &str| {
        let body = format!(r#"{{"when":{{"method":"POST","path":"{ORDER}"}},"action":{action}}}"#);
        let sim = &sim;
        async move { control(sim, "POST", "/sim/faults", &body).await }
    };
    let asked = put(r#"{"executed":{"delivery":{"reply":{"code":-1007}}}}"#).await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    let answer = order(&sim, &sell("0.001", "a")).await;
    assert_eq!((answer.status, answer.code()), (408, -1007));
    assert_eq!(sim.handle().orders_of("a")[0].outcome, OrderOutcome::Filled);

    put(r#"{"not_executed":{"reply":{"code":-2010,"msg":"Duplicate order sent.","headers":[["X","y"]]}}}"#).await;
    let answer = order(&sim, &sell("0.001", "b")).await;
    assert_eq!(
        (answer.status, answer.json()["msg"].as_str()),
        (400, Some("Duplicate order sent."))
    );
    assert_eq!(answer.header("X").as_deref(), Some("y"));

    for wrong in [
        r#"{"not_executed":{"reply":{"code":-9999}}}"#,
        r#"{"not_executed":{"reply":{"code":-2010,"body":"x"}}}"#,
        r#"{"not_executed":{"reply":{}}}"#,
    ] {
        let refused = put(wrong).await;
        assert_eq!(refused.status, 400, "{wrong}");
        assert!(refused.body.contains("code"), "{}", refused.body);
    }
    let listed = get(&sim, "/sim/codes").await.json();
    assert_eq!(
        listed["codes"].as_array().unwrap().len(),
        venue_codes().len()
    );
    assert_eq!(listed["codes"][0]["status"], 451);
}

#[test]
fn what_a_code_means_for_an_order_is_part_of_the_table() {
    assert_eq!(venue_code(-2019).unwrap().order, CodeMeaning::Refused);
    assert_eq!(venue_code(-1007).unwrap().order, CodeMeaning::Unknown);
    assert_eq!(venue_code(-4509).unwrap().order, CodeMeaning::CannotHappen);
    assert_eq!(venue_code(-4509).unwrap().stop, CodeMeaning::Refused);
    assert!(venue_code(-9999).is_none() && Canned::code(-9999).is_none());
}
