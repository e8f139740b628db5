//! Stops: over no more than was allowed, and only where they guard. The judge is what waits at the venue.

use crate::d;
use apply_tests::{Entry, PLANS, Stage, governor_permit};
use exchange_sim::{Delivery, Fault, When};
use serde_json::json;
use std::collections::HashSet;

const ALGO: &str = "/fapi/v1/algoOrder";

/// Proposes a stop, writes permits for these quantities and waits for the result.
async fn move_stop(stage: &Stage, price: &str, known: &mut HashSet<String>) -> Entry {
    stage
        .propose_with("BTCUSDT", "UPDATE_SL", &[("new_sl_proposed", price)])
        .await;
    let plan = stage.plan("BTCUSDT", known).await;
    let id = plan.get("plan_id").to_owned();
    let governor = governor_permit("BTCUSDT").replace("\"computed_qty\":0.0", "\"computed_qty\":5");
    stage.govern(&id, &governor).await;
    let brain = apply_tests::position_permit("BTCUSDT", "1.00004");
    stage.allow(&id, &brain).await;
    let result = stage.result_of(&id).await;
    known.insert(id);
    result
}

/// Trigger and quantity of everything that waits, oldest first.
fn waiting(stage: &Stage) -> Vec<(String, String)> {
    let text = |number: rust_decimal::Decimal| number.normalize().to_string();
    let mut stops = stage.venue().open_stops("BTCUSDT");
    stops.sort_by_key(|stop| stop.algo_id);
    let facts = stops.iter().map(|stop| {
        let quantity = stop.quantity.map_or("whole".into(), text);
        (text(stop.trigger_price), quantity)
    });
    facts.collect()
}

#[tokio::test]
async fn a_stop_is_over_no_more_than_its_permits_allow() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    for (price, cancelled) in [
        ("61000", "no older stop cancelled"),
        ("62000", "cancelled "),
    ] {
        let result = move_stop(&stage, price, &mut known).await;
        assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
        let step = result.last_step();
        let details = step["details"].as_str().unwrap();
        assert!(details.contains(&format!("SELL 1 at {price}")), "{details}");
        assert!(details.contains(cancelled), "{details}");
        assert_eq!(step["executed_qty"], "0");
        assert_eq!(waiting(&stage), [(price.to_owned(), "1".to_owned())]);
    }
    service.stopped_well().await;
    assert_eq!(stage.venue().position("BTCUSDT"), d("12.4"));
}

#[tokio::test]
async fn where_stops_are_off_none_is_asked_for_and_no_permit_is_awaited() {
    let stage = Stage::open().await;
    let service = stage.service().env("APPLY_STOPS", "off").ready().await;
    stage
        .propose_with("BTCUSDT", "UPDATE_SL", &[("new_sl_proposed", "61000")])
        .await;
    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(
        (result.get("decision"), result.get("error")),
        ("SKIP", "stops_off")
    );
    let plans = stage.entries(PLANS).await;
    assert_eq!(plans.len(), 1);
    assert_eq!(
        (plans[0].get("decision"), plans[0].get("steps")),
        ("SKIP", "[]")
    );
    let log = service.stopped_well().await.output();
    assert!(log.contains("Stops: off (APPLY_STOPS)"), "{log}");
    assert!(!log.contains("[PERMIT_WAIT]"), "{log}");
    assert_eq!(stage.venue().request_count("POST", ALGO), 0);
}

/// As for an order whose end stays unknown: one voice, once.
#[tokio::test]
async fn a_stop_that_stays_in_doubt_is_published_once_and_counted() {
    let stage = Stage::open().await;
    // It stands, its reply is lost, and what the venue says of it is no word of any document.
    let placing = When::request("POST", ALGO);
    stage
        .venue()
        .script(Fault::executed(placing, Delivery::Reset));
    let strange = Fault::altered(
        When::request("GET", ALGO),
        [("algoStatus", json!("DREAMING"))],
    );
    stage.venue().script(strange.always());
    let service = stage.ready().await;
    let result = move_stop(&stage, "61000", &mut HashSet::new()).await;
    assert_eq!(
        (result.get("executed"), result.get("error")),
        ("False", "stop_unresolved")
    );
    let details = result.last_step()["details"].as_str().unwrap().to_owned();
    assert!(details.contains("DREAMING"), "{details}");
    let plan = result.get("plan_id").to_owned();
    let line = service.line("is UNRESOLVED, look at the venue").await;
    for words in [
        " ERROR ",
        "DREAMING",
        &format!("order=apply-{plan} symbol=BTCUSDT"),
    ] {
        assert!(line.contains(words), "{line}");
    }
    service
        .metric_is("quantum_apply_stops_unresolved_total", "1")
        .await;
    let log = service.log();
    let loud = log
        .iter()
        .filter(|line| line.contains(&plan) && line.contains(" ERROR "));
    assert_eq!(loud.count(), 1, "{log:#?}");
    let asked = stage.venue().request_count("GET", ALGO);
    assert!(asked < 40, "{asked} questions in half a minute");
    service.stopped_well().await;
    assert_eq!(stage.venue().request_count("POST", ALGO), 1);
}

#[tokio::test]
async fn an_implausible_stop_never_leaves() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_STOP_MAX_DISTANCE_PCT", "2.5")
        .ready()
        .await;
    let mut known = HashSet::new();
    // The market is at 64000, the position is long.
    for (price, error) in [
        ("64000", "stop_wrong_side_of_market"),
        ("70000", "stop_wrong_side_of_market"),
        ("62399.9", "stop_too_far_from_market"),
        ("10", "stop_too_far_from_market"),
    ] {
        let result = move_stop(&stage, price, &mut known).await;
        assert_eq!(
            (result.get("decision"), result.get("error")),
            ("BLOCKED", error),
            "{price}"
        );
        let step = result.last_step();
        let details = step["details"].as_str().unwrap();
        assert!(
            details.contains(price) && details.contains("64000"),
            "{details}"
        );
    }
    assert_eq!(stage.venue().request_count("POST", ALGO), 0);
    let result = move_stop(&stage, "62400", &mut known).await;
    assert_eq!(result.get("error"), "");
    service.stopped_well().await;
    assert_eq!(waiting(&stage), [("62400".to_owned(), "1".to_owned())]);
}
