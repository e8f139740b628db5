//! How a proposal is noticed, and when it counts.

use crate::d;
use apply_tests::{Entry, PLANS, Stage};
use redis_harness::RedisServer;
use std::collections::HashSet;

/// A poll that is never due in a test: only a push can be in time.
const NO_POLL: (&str, &str) = ("APPLY_POLL_SEC", "3600");

fn found_by(by: &str) -> String {
    format!("quantum_apply_proposals_found_total{{by=\"{by}\"}}")
}

#[tokio::test]
async fn a_proposal_becomes_an_order_without_any_poll() {
    let stage = Stage::open().await;
    stage.propose("BTCUSDT", "HOLD").await;
    let service = stage.service().env(NO_POLL.0, NO_POLL.1).ready().await;
    skipped(&stage).await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    executed(&stage).await;
    service.metric_is(&found_by("first_try"), "1").await;
    service.metric_is(&found_by("push"), "1").await;
    service.metric_is(&found_by("poll"), "0").await;
    service.stopped_well().await;
    assert_eq!(stage.only_order().executed_qty, d("0.05"));
}

/// The proposal that was there at the start is dealt with.
async fn skipped(stage: &Stage) {
    let held = |plan: &Entry| plan.get("decision") == "SKIP";
    stage.wait_for_entry(PLANS, "HOLD is published", held).await;
}

async fn executed(stage: &Stage) {
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.05").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
}

#[tokio::test]
async fn where_nothing_is_pushed_the_poll_finds_it_and_is_counted() {
    let redis = RedisServer::builder()
        .acl("worker on >secret ~quantum:* &* +@all -client")
        .start()
        .await;
    let url = redis.url_as("worker", "secret");
    let stage = Stage::open_on(redis).await;
    stage.propose("BTCUSDT", "HOLD").await;
    let service = stage.service().env("REDIS_URL", url).ready().await;
    service.line("noticed by polling").await;
    skipped(&stage).await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    executed(&stage).await;
    service.metric_is(&found_by("poll"), "1").await;
    service.metric_is(&found_by("push"), "0").await;
    service.stopped_well().await;
    assert_eq!(stage.only_order().executed_qty, d("0.05"));
}

#[tokio::test]
async fn a_proposal_that_is_written_field_by_field_is_one_plan() {
    let stage = Stage::open().await;
    stage
        .propose_with("BTCUSDT", "HOLD", &[("kill_score", "0.1")])
        .await;
    let service = stage
        .service()
        .env(NO_POLL.0, NO_POLL.1)
        // Far longer than this brain takes between two fields, however busy the machine.
        .env("APPLY_SETTLE_MS", "3000")
        .ready()
        .await;
    skipped(&stage).await;
    // The action first: with the old score it would be executed.
    for (field, value) in [
        ("harvest_action", "FULL_CLOSE_PROPOSED"),
        ("k_ts_drop", "0.9"),
        ("computed_at_utc", "2026-01-25T00:30:09Z"),
        ("kill_score", "0.95"),
    ] {
        let key = "quantum:harvest:proposal:BTCUSDT";
        let _: i64 = stage.command(&["HSET", key, field, value]).await;
    }
    stage
        .wait_for_entry(PLANS, "it is blocked", |plan| {
            plan.get("decision") == "BLOCKED" && plan.get("reason_codes") == "kill_score_critical"
        })
        .await;
    service.stopped_well().await;
    assert_eq!(stage.entries(PLANS).await.len(), 2);
}

#[tokio::test]
async fn what_was_proposed_while_the_connections_were_lost_is_found_when_they_are_back() {
    let stage = Stage::open().await;
    let service = stage.service().env(NO_POLL.0, NO_POLL.1).ready().await;
    let mut known = HashSet::new();
    for _ in 0..3 {
        let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
        let _: i64 = stage.command(&kill).await;
        stage.propose("BTCUSDT", "PARTIAL_75").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let id = plan.get("plan_id").to_owned();
        stage.approve(&plan, "0.05").await;
        assert_eq!(stage.result_of(&id).await.get("executed"), "True");
        known.insert(id);
    }
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 3);
}
