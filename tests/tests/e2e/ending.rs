//! Being asked to stop, and being killed.

use crate::d;
use apply_tests::{RESULTS, Service, Stage, within};

/// A service with one plan that waits for its permits and knows its position already.
async fn in_the_middle_of_a_wait(stage: &Stage, wait_ms: &str) -> (Service, apply_tests::Entry) {
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", wait_ms)
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    service.line("[PERMIT_WAIT] Polling for permits").await;
    (service, plan)
}

#[tokio::test]
async fn a_plan_that_waits_when_the_service_is_asked_to_stop_is_carried_out_first() {
    let stage = Stage::open().await;
    let (service, plan) = in_the_middle_of_a_wait(&stage, "20000").await;
    service.signal("TERM").await;
    service.line("Stopping: plans under way are finished").await;
    stage.approve(&plan, "0.009").await;

    let ended = service.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.output());
    assert_eq!(stage.only_order().executed_qty, d("0.009"));
    let results = stage.entries(RESULTS).await;
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].get("executed"), "True");
}

#[tokio::test]
async fn a_plan_whose_permits_never_come_is_blocked_before_the_service_stops() {
    let stage = Stage::open().await;
    let (service, plan) = in_the_middle_of_a_wait(&stage, "1200").await;
    let ended = service.stopped_well().await;
    let results = stage.entries(RESULTS).await;
    assert_eq!(results.len(), 1, "{}", ended.output());
    assert_eq!(results[0].get("plan_id"), plan.get("plan_id"));
    assert_eq!(
        results[0].get("error"),
        "permit_timeout_or_missing:missing_both"
    );
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn a_storm_of_signals_is_one_signal() {
    let stage = Stage::open().await;
    let (service, plan) = in_the_middle_of_a_wait(&stage, "20000").await;
    for _ in 0..50 {
        service.signal("TERM").await;
        service.signal("INT").await;
    }
    stage.approve(&plan, "0.009").await;
    let ended = service.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.output());
    let stopping = ended
        .log
        .iter()
        .filter(|line| line.contains("Stopping:"))
        .count();
    assert_eq!(stopping, 1);
    assert_eq!(stage.orders().len(), 1);
    assert_eq!(stage.entries(RESULTS).await.len(), 1);
}

#[tokio::test]
async fn a_stopped_service_leaves_new_proposals_for_the_next_start() {
    let stage = Stage::open().await;
    let (service, plan) = in_the_middle_of_a_wait(&stage, "20000").await;
    service.signal("TERM").await;
    service.line("Stopping:").await;
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    stage.approve(&plan, "0.009").await;
    assert_eq!(service.ended().await.code, Some(0));
    assert!(
        stage
            .entries(RESULTS)
            .await
            .iter()
            .all(|r| r.get("symbol") == "BTCUSDT")
    );

    let next = stage.ready().await;
    let left = stage.only_plan("ETHUSDT").await;
    stage.approve(&left, "0.05").await;
    assert_eq!(
        stage.result_of(left.get("plan_id")).await.get("executed"),
        "True"
    );
    // What the first one did is not done again.
    next.line_with(&[plan.get("plan_id"), "reason=duplicate_plan"])
        .await;
    next.stopped_well().await;
    assert_eq!(stage.orders().len(), 2);
}

#[tokio::test]
async fn a_plan_claimed_by_a_service_that_was_killed_is_never_ordered_by_the_next_one() {
    let stage = Stage::open().await;
    let (service, plan) = in_the_middle_of_a_wait(&stage, "20000").await;
    service.signal("KILL").await;
    assert_eq!(service.ended().await.code, None);

    let next = stage.ready().await;
    stage.approve(&plan, "0.009").await;
    // Another symbol's plan goes through all of it meanwhile.
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    let other = stage.only_plan("ETHUSDT").await;
    stage.approve(&other, "0.05").await;
    assert_eq!(
        stage.result_of(other.get("plan_id")).await.get("executed"),
        "True"
    );
    next.line_with(&[plan.get("plan_id"), "reason=duplicate_plan"])
        .await;
    next.stopped_well().await;
    assert_eq!(crate::sent(&stage.only_order(), "symbol"), "ETHUSDT");
    // The permits were left alone too.
    let key = format!("quantum:permit:{}", plan.get("plan_id"));
    assert_eq!(stage.command::<i64>(&["EXISTS", &key]).await, 1);
}

#[tokio::test]
async fn a_service_killed_right_after_its_order_leaves_one_order_however_often_it_is_started() {
    let stage = Stage::open().await;
    // The venue executes and then says nothing: the service dies while it waits for the reply.
    stage.venue().script(exchange_sim::Fault::executed(
        exchange_sim::When::order(),
        exchange_sim::Delivery::Hang,
    ));
    let (service, plan) = in_the_middle_of_a_wait(&stage, "20000").await;
    stage.approve(&plan, "0.009").await;
    within("the order has arrived", stage.venue().wait_for_orders(1)).await;
    service.signal("KILL").await;
    service.ended().await;

    for _ in 0..2 {
        let next = stage.ready().await;
        stage.approve(&plan, "0.009").await;
        next.line_with(&[plan.get("plan_id"), "reason=duplicate_plan"])
            .await;
        next.stopped_well().await;
    }
    assert_eq!(stage.only_order().executed_qty, d("0.009"));
}
