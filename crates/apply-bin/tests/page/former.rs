//! What a process that is gone has left behind, on the page of the next one.

use crate::open;
use apply_tests::{Stage, within};
use exchange_sim::{Delivery, Fault, When};
use std::{collections::HashSet, time::Duration};

#[tokio::test]
async fn plans_that_were_recovered_and_plans_whose_result_was_lost_say_so() {
    let stage = Stage::open().await;
    let how = stage.service().env("APPLY_LEASE_SEC", "1");
    let service = how.clone().ready().await;
    let at = [("computed_at_utc", "2026-01-25T00:30:08Z")];
    stage.propose_with("ETHUSDT", "PARTIAL_75", &at).await;
    let known = stage.plan("ETHUSDT", &HashSet::new()).await;
    stage.approve(&known, "1").await;
    stage.result_of(known.get("plan_id")).await;
    // So that it is written down that this one is shown.
    service.stopped_well().await;
    let service = how.clone().ready().await;
    // The venue executes it and never answers; no process is left to read an answer.
    stage
        .venue()
        .script(Fault::executed(When::order(), Delivery::Hang));
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let left = stage.only_plan("BTCUSDT").await;
    stage.approve(&left, "0.009").await;
    within("the order arrives", async {
        while stage.orders().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    service.signal("KILL").await;
    service.ended().await;
    let () = stage.command(&["FLUSHALL"]).await;
    stage.propose_with("ETHUSDT", "PARTIAL_75", &at).await;

    let service = how.ready().await;
    let mut browser = open(&service).await.0;
    for (plan, note) in [
        (&left, "recovered: its process was about to place an order"),
        (&known, "published again; the store had lost its result"),
    ] {
        let row = format!("plan-{}", plan.get("plan_id"));
        let there = format!("document.getElementById({row:?}) !== null");
        browser.until("it is there", &there).await;
        let open = format!("document.getElementById({row:?}).open = true");
        browser.eval(&open).await;
        let says = |words: &str| {
            format!("document.getElementById({row:?})?.textContent.includes({words:?})")
        };
        browser.until(note, &says(note)).await;
        browser.until("what came of it", &says("executed")).await;
    }
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 2, "and nothing was ordered twice");
}
