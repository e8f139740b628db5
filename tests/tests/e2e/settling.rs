//! A start with an order that the venue cannot settle: its symbol waits, and no other does.

use crate::d;
use apply_tests::{PLANS, Service, ServiceBuilder, Stage, within};
use exchange_sim::{Delivery, Fault, When};
use serde_json::json;
use std::{collections::HashSet, time::Duration};
use tokio::time::sleep;

const ORDER: &str = "/fapi/v1/order";
const OWED: &str = "quantum_apply_results_owed";

/// Leaves a plan of BTCUSDT behind whose order filled and whose process was killed before it heard so, and a venue
/// that contradicts itself about it for as long as the fault lasts.
async fn left_in_doubt(stage: &Stage, how: &ServiceBuilder) -> String {
    let service = how.clone().ready().await;
    stage
        .venue()
        .script(Fault::executed(When::order(), Delivery::Hang));
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    within("the order arrives", async {
        while stage.orders().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    service.signal("KILL").await;
    service.ended().await;
    let plan = plan.get("plan_id").to_owned();
    let id = format!("apply-{plan}");
    let lie = Fault::altered(
        When::request("GET", ORDER).client_id(&id),
        [("executedQty", json!("9999"))],
    );
    stage.venue().script(lie.always());
    plan
}

fn both(stage: &Stage) -> ServiceBuilder {
    stage
        .service()
        .env("APPLY_ALLOWLIST", "BTCUSDT,ETHUSDT")
        .env("APPLY_LEASE_SEC", "1")
}

/// A close of ETHUSDT, from its proposal to its order.
async fn closed(stage: &Stage, known: &mut HashSet<String>) {
    stage.propose("ETHUSDT", "PARTIAL_50").await;
    let plan = stage.plan("ETHUSDT", known).await;
    stage.approve(&plan, "0.5").await;
    let id = plan.get("plan_id").to_owned();
    let result = stage.result_of(&id).await;
    assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
    known.insert(id);
}

/// Waits until the parts say this.
async fn says(service: &Service, text: &str) {
    service.readiness("200", text).await;
}

#[tokio::test]
async fn one_order_that_the_venue_cannot_settle_holds_nobody_else_up() {
    let stage = Stage::open().await;
    let how = both(&stage);
    let plan = left_in_doubt(&stage, &how).await;

    let service = how.ready().await;
    // It says so from the moment on at which it is ready.
    let waits = "[+] Settling: 1 plan has no result yet; new plans of BTCUSDT wait";
    assert_eq!(service.metric(OWED).await.as_deref(), Some("1"));
    let parts = service.page("/readyz?verbose").await;
    assert!(parts.contains(waits), "{parts}");
    let mut known = HashSet::new();
    for _ in 0..3 {
        closed(&stage, &mut known).await;
    }
    // All of that while it is not known what became of the order.
    service.metric_is(OWED, "1").await;
    says(&service, waits).await;
    assert_eq!(stage.orders().len(), 4);

    // What is proposed for its own symbol waits, and is not lost.
    stage.propose("BTCUSDT", "FULL_CLOSE_PROPOSED").await;
    closed(&stage, &mut known).await;
    let plans = stage.entries(PLANS).await;
    let of_btc = plans
        .iter()
        .filter(|entry| entry.get("symbol") == "BTCUSDT");
    assert_eq!(of_btc.count(), 1, "nothing new before the doubt is over");

    // The venue comes to its senses: what became of the order is published, and the symbol goes on.
    stage.venue().clear_faults();
    let result = stage.result_of(&plan).await;
    assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
    assert_eq!(result.last_step()["executed_qty"], "0.009");
    let next = stage.plan("BTCUSDT", &HashSet::from([plan])).await;
    stage.approve(&next, "1").await;
    let result = stage.result_of(next.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    service.metric_is(OWED, "0").await;
    says(&service, "[+] Settling: every plan has its result").await;
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 6);
    assert_eq!(stage.venue().position("BTCUSDT"), d("12.4") - d("1.009"));
}

#[tokio::test]
async fn a_service_that_is_still_settling_stops_when_it_is_asked_to_and_goes_on_at_the_next_start()
{
    let stage = Stage::open().await;
    let how = both(&stage);
    let plan = left_in_doubt(&stage, &how).await;
    let service = how.clone().ready().await;
    service.metric_is(OWED, "1").await;
    service.stopped_well().await;
    stage.venue().clear_faults();
    let service = how.ready().await;
    let result = stage.result_of(&plan).await;
    assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}
