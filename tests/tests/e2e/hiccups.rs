//! No close is lost to a hiccup of a question: one in three is dropped, reset, refused or left without an answer.

use crate::d;
use apply_tests::Stage;
use exchange_sim::{Canned, Delivery, Fault, Instead, OrderOutcome, When};
use redis_harness::Road;
use std::{collections::HashSet, time::Duration};

const QUESTIONS: [&str; 2] = ["/fapi/v1/order", "/fapi/v3/positionRisk"];
/// Longer than a question waits before it is asked again beside.
const DELAY: Duration = Duration::from_millis(400);

fn plans() -> usize {
    let given = std::env::var("APPLY_TEST_HICCUP_PLANS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(24)
}

#[tokio::test]
async fn every_granted_plan_has_its_order_though_one_question_in_three_fails() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "1200")
        .ready()
        .await;
    let faults = [
        Instead::Reset,
        Instead::Close,
        Instead::Hang,
        Instead::Reply(Canned::gateway_html(502)),
        Instead::Reply(Canned::unknown_503()),
        Instead::Reply(Canned::garbage_200()),
    ];
    let mut known = HashSet::new();
    for n in 0..plans() {
        stage.venue().set_position("BTCUSDT", d("12.4"));
        // Of the three questions of a plan one is answered by a fault, each kind and each question in turn.
        let path = QUESTIONS[n % QUESTIONS.len()];
        let instead = faults[n / QUESTIONS.len() % faults.len()].clone();
        let what = format!("{path}: {instead:?}");
        let fault = match n % 4 {
            3 => Fault::executed(When::request("GET", path), Delivery::Whole).delay_after(DELAY),
            _ => Fault::not_executed(When::request("GET", path), instead),
        };
        let fault = stage.venue().script(fault);
        stage.propose("BTCUSDT", "PARTIAL_75").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let id = plan.get("plan_id").to_owned();
        stage.approve(&plan, "0.009").await;
        let result = stage.result_of(&id).await;
        assert_eq!(
            (result.get("executed"), result.get("error")),
            ("True", ""),
            "{what}"
        );
        assert_eq!(stage.venue().fault_hits(fault), 1, "{what}");
        known.insert(id);
    }
    service.stopped_well().await;
    let orders = stage.orders();
    assert_eq!(orders.len(), plans(), "one POST a plan");
    assert!(
        orders
            .iter()
            .all(|order| order.outcome == OrderOutcome::Filled)
    );
}

#[tokio::test]
async fn a_venue_that_stays_away_is_told_before_the_wait_is_over() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "1200")
        .ready()
        .await;
    let away = Instead::Reply(Canned::gateway_html(502));
    let look = When::request("GET", QUESTIONS[1]);
    stage
        .venue()
        .script(Fault::not_executed(look, away).always());
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.plan("BTCUSDT", &HashSet::new()).await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("error"), "venue_unavailable");
    assert!(
        result.last_step()["details"]
            .as_str()
            .unwrap()
            .contains("HTTP 502")
    );
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
    // Doubling pauses: a few questions, not a flood.
    let asked = stage.venue().request_count("GET", QUESTIONS[1]);
    assert!((3..20).contains(&asked), "{asked} questions");
}

/// Every connection that is kept to the venue is dropped without a word, and the next plan comes at once.
#[tokio::test]
async fn connections_that_were_dropped_without_a_word_cost_no_close() {
    let stage = Stage::open().await;
    let road = Road::to(stage.venue_port()).await;
    let service = stage
        .service()
        .env(
            "BINANCE_TESTNET_URL",
            format!("http://127.0.0.1:{}", road.port()),
        )
        .env("APPLY_PERMIT_WAIT_MS", "1200")
        .ready()
        .await;
    let mut known = HashSet::new();
    for _ in 0..3 {
        road.silence();
        stage.propose("BTCUSDT", "PARTIAL_75").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let id = plan.get("plan_id").to_owned();
        stage.approve(&plan, "0.009").await;
        let result = stage.result_of(&id).await;
        assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
        known.insert(id);
    }
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 3, "one POST a plan");
}
