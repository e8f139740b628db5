//! Two machines, one Redis that comes back empty, and orders that still wait for their turn at a slow venue: what the
//! venue's order log says.
#![allow(clippy::unwrap_used)]

use apply_tests::{RESULTS, Stage};
use exchange_sim::{Delivery, Fault, When};
use redis_harness::RedisServer;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::sleep;

/// Granted at the same moment: far more than may be on their way to the venue at once.
const PLANS: usize = 40;

/// How long the venue takes to answer an order.
const SLOW: Duration = Duration::from_millis(900);

/// How long Redis is away.
const AWAY: Duration = Duration::from_millis(250);

/// The brain, who writes the same again when asked to.
async fn propose(stage: &Stage, symbols: &[String]) {
    let at = [("computed_at_utc", "2026-01-25T00:30:08Z")];
    for symbol in symbols {
        stage.propose_with(symbol, "PARTIAL_75", &at).await;
    }
}

/// How many lines the log may have of an outage under so many plans: one that says how each wait ended, and a few besides.
const LINES: usize = PLANS + 50;

#[tokio::test]
async fn an_outage_under_forty_waiting_plans_is_no_flood_in_the_log() {
    let symbols: Vec<String> = (0..PLANS).map(|n| format!("S{n:02}USDT")).collect();
    let mut stage = Stage::open_for(RedisServer::start().await, &symbols).await;
    let all = symbols.join(",");
    let how = stage.service().env("SYMBOLS", &all);
    let how = how.env("APPLY_ALLOWLIST", &all);
    let service = how.env("APPLY_PERMIT_WAIT_MS", "5000").ready().await;
    propose(&stage, &symbols).await;
    for symbol in &symbols {
        let plan = stage.only_plan(symbol).await;
        service
            .line_with(&["[PERMIT_WAIT] Polling", plan.get("plan_id")])
            .await;
    }
    let before = service.log().len();
    stage.redis.kill();
    sleep(OUTAGE).await;
    let said = service.log().split_off(before);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for line in &said {
        let text = line
            .split_once("Z ")
            .map_or(line.as_str(), |(_, text)| text);
        let kind: String = text
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .take(70)
            .collect();
        *kinds.entry(kind).or_default() += 1;
    }
    assert!(said.len() <= LINES, "{} lines: {kinds:#?}", said.len());
    stage.restart_redis().await;
    for symbol in &symbols {
        stage.result_for(symbol).await;
    }
    service.stopped_well().await;
}

/// The plans' waits end in it, and their results wait for a while.
const OUTAGE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn two_machines_and_a_redis_that_forgot_place_one_order_a_plan() {
    let symbols: Vec<String> = (0..PLANS).map(|n| format!("S{n:02}USDT")).collect();
    let mut stage = Stage::open_for(RedisServer::start().await, &symbols).await;
    let slow = Fault::executed(When::order(), Delivery::Whole).delay_after(SLOW);
    stage.venue().script(slow.always());
    let all = symbols.join(",");
    let how = || {
        let how = stage.service().env("SYMBOLS", &all);
        let how = how.env("APPLY_ALLOWLIST", &all);
        how.env("APPLY_PERMIT_WAIT_MS", "5000")
    };
    let (one, other) = (how(), how());
    let reviewers = (
        stage.governor(Duration::ZERO).await,
        stage.position_brain(Duration::ZERO, "0.009").await,
    );
    let (one, other) = tokio::join!(one.ready(), other.ready());
    // One of them claims everything: the other does not run meanwhile.
    other.signal("STOP").await;
    propose(&stage, &symbols).await;
    for symbol in &symbols {
        let plan = stage.only_plan(symbol).await;
        one.line_with(&["[PERMIT_WAIT] OK", plan.get("plan_id")])
            .await;
    }
    drop(reviewers);
    stage.redis.kill();
    sleep(AWAY).await;
    stage.restart_redis().await;
    let _reviewers = (
        stage.governor(Duration::ZERO).await,
        stage.position_brain(Duration::ZERO, "0.009").await,
    );
    propose(&stage, &symbols).await;
    other.signal("CONT").await;

    for symbol in &symbols {
        stage.result_for(symbol).await;
    }
    one.stopped_well().await;
    other.stopped_well().await;
    let orders = stage.orders();
    let mut ordered: BTreeMap<&str, usize> = BTreeMap::new();
    for order in orders.iter().filter(|order| order.moved_the_position()) {
        *ordered
            .entry(order.client_order_id.as_deref().unwrap())
            .or_default() += 1;
    }
    let twice: BTreeSet<_> = ordered.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "{} of {PLANS}: {twice:?}", twice.len());

    // The end of a plan is published once and truly, whichever instance publishes it.
    let results = stage.entries(RESULTS).await;
    assert_eq!(results.len(), PLANS, "{results:?}");
    for result in &results {
        let order = format!("apply-{}", result.get("plan_id"));
        let executed = match ordered.contains_key(order.as_str()) {
            true => "True",
            false => "False",
        };
        assert_eq!(result.get("executed"), executed, "{result:?}");
    }
}
