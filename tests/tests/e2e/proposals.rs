//! Proposals that lead to no order, and the kill switch.

use crate::d;
use apply_tests::{Entry, PLANS, RESULTS, Stage};
use std::{
    collections::HashSet,
    time::{SystemTime, UNIX_EPOCH},
};

const KILL_SWITCH: &str = "quantum:global:kill_switch";

/// The service is up: a good proposal is carried out to its order.
async fn goes_on(stage: &Stage, symbol: &str) {
    let known = stage
        .entries(PLANS)
        .await
        .iter()
        .map(|plan| plan.get("plan_id").to_owned())
        .collect();
    stage.propose(symbol, "PARTIAL_75").await;
    let plan = stage.plan(symbol, &known).await;
    stage.approve(&plan, "0.05").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
}

#[tokio::test]
async fn a_proposal_that_cannot_be_read_is_refused_by_name_and_the_service_stays_up() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    for (field, value, reason) in [
        ("kill_score", "nan", "proposal_not_a_number"),
        ("kill_score", "inf", "proposal_not_a_number"),
        ("kill_score", "-0.5", "proposal_negative_score"),
        ("kill_score", "0,5", "proposal_not_a_number"),
        ("k_ts_drop", "nan", "proposal_not_a_number"),
        ("new_sl_proposed", "NaN", "proposal_not_a_number"),
        ("kill_score", "", "proposal_field_missing"),
        ("harvest_action", "", "proposal_field_missing"),
    ] {
        stage
            .propose_with("BTCUSDT", "PARTIAL_75", &[(field, value)])
            .await;
        let word = format!("reason={reason}");
        let line = service
            .line_with(&["Proposal refused:", "BTCUSDT", field, value, &word])
            .await;
        assert!(line.contains("WARN"), "{line}");
    }
    service
        .metric_is(
            "quantum_apply_proposals_refused_total{reason=\"proposal_negative_score\"}",
            "1",
        )
        .await;
    assert_eq!(stage.entries(PLANS).await, []);
    goes_on(&stage, "BTCUSDT").await;
    service.stopped_well().await;
    assert_eq!(stage.only_order().executed_qty, d("0.05"));
}

#[tokio::test]
async fn a_proposal_key_of_another_type_is_refused_and_delays_nobody() {
    let stage = Stage::open().await;
    let key = "quantum:harvest:proposal:BTCUSDT";
    let _: String = stage.command(&["SET", key, "PARTIAL_75"]).await;
    let service = stage.ready().await;
    service
        .line_with(&["Proposal refused:", "BTCUSDT", "WRONGTYPE"])
        .await;
    goes_on(&stage, "ETHUSDT").await;
    // Mended, it is followed again.
    goes_on(&stage, "BTCUSDT").await;
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 2);
}

#[tokio::test]
async fn the_gates_say_no_on_the_stream_in_the_contracts_words() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_ALLOWLIST", "BTCUSDT")
        .ready()
        .await;
    for (n, (symbol, action, score, decision, reason)) in [
        (
            "BTCUSDT",
            "PARTIAL_75",
            "0.8",
            "BLOCKED",
            "kill_score_critical",
        ),
        (
            "BTCUSDT",
            "UPDATE_SL",
            "0.6",
            "BLOCKED",
            "kill_score_warning_risk_increase",
        ),
        ("BTCUSDT", "HOLD", "0.1", "SKIP", "action_hold"),
        ("BTCUSDT", "UPDATE_SL", "0.1", "ERROR", "missing_new_sl"),
        (
            "BTCUSDT",
            "DOUBLE_UP",
            "0.1",
            "ERROR",
            "unknown_action_DOUBLE_UP",
        ),
        ("ETHUSDT", "PARTIAL_75", "0.1", "SKIP", "not_in_allowlist"),
    ]
    .into_iter()
    .enumerate()
    {
        stage
            .propose_with(symbol, action, &[("kill_score", score)])
            .await;
        let result = stage
            .wait_for_entry(RESULTS, reason, |result| result.get("error") == reason)
            .await;
        assert_eq!(result.get("decision"), decision, "{reason}");
        assert_eq!(result.get("executed"), "False", "{reason}");
        let plans = stage.entries(PLANS).await;
        assert_eq!(plans.len(), n + 1);
        assert_eq!(plans[n].get("decision"), decision);
        assert_eq!(plans[n].get("reason_codes"), reason);
        assert_eq!(plans[n].get("steps"), "[]");
    }
    // A warning score lets a close pass, and says that it did.
    stage
        .propose_with("BTCUSDT", "PARTIAL_50", &[("kill_score", "0.7")])
        .await;
    let plan = stage.only_plan("BTCUSDT").await;
    assert_eq!(plan.get("reason_codes"), "kill_score_warning_close_ok");
    stage.approve(&plan, "0.05").await;
    assert_eq!(
        stage.result_of(plan.get("plan_id")).await.get("executed"),
        "True"
    );
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}

#[tokio::test]
async fn an_unchanged_proposal_is_carried_out_once_however_often_it_is_looked_at() {
    let stage = Stage::open().await;
    let service = stage.service().env("APPLY_POLL_SEC", "0.01").ready().await;
    let at = ("computed_at_utc", "2026-01-25T00:30:08Z");
    stage.propose_with("BTCUSDT", "PARTIAL_75", &[at]).await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.05").await;
    stage.result_of(plan.get("plan_id")).await;
    // The same proposal, written again and by way of another one: the same plan.
    stage.propose_with("BTCUSDT", "HOLD", &[]).await;
    stage
        .wait_for_entry(RESULTS, "HOLD is skipped", |r| {
            r.get("error") == "action_hold"
        })
        .await;
    stage.propose_with("BTCUSDT", "PARTIAL_75", &[at]).await;
    stage.approve(&plan, "0.05").await;
    service
        .line_with(&[plan.get("plan_id"), "reason=duplicate_plan"])
        .await;
    service
        .metric_is("quantum_apply_dedupe_hits_total", "1")
        .await;
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
    let own = |r: &&Entry| r.get("plan_id") == plan.get("plan_id");
    assert_eq!(stage.entries(RESULTS).await.iter().filter(own).count(), 1);
}

#[tokio::test]
async fn a_proposal_that_is_too_old_is_refused_and_a_fresh_one_followed() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_PROPOSAL_MAX_AGE_SEC", "3600")
        .ready()
        .await;
    for (computed, reason) in [
        ("2026-01-25T00:30:08Z", "proposal_too_old"),
        ("2999-01-25T00:30:08Z", "proposal_from_the_future"),
        ("just now", "proposal_time_unreadable"),
    ] {
        stage
            .propose_with("BTCUSDT", "PARTIAL_75", &[("computed_at_utc", computed)])
            .await;
        service
            .line_with(&["Proposal refused", "BTCUSDT", &format!("reason={reason}")])
            .await;
        let series = format!("quantum_apply_proposals_refused_total{{reason=\"{reason}\"}}");
        service.metric_is(&series, "1").await;
    }
    assert_eq!(
        stage.entries(PLANS).await,
        [],
        "nothing is copied onto the stream"
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs().to_string();
    let fresh = [("computed_at_utc", ""), ("last_update_epoch", &*now)];
    stage.propose_with("BTCUSDT", "PARTIAL_75", &fresh).await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    service.stopped_well().await;
}

#[tokio::test]
async fn a_kill_switch_set_during_the_wait_stops_the_order() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let at = ("computed_at_utc", "2026-01-25T00:30:08Z");
    stage.propose_with("BTCUSDT", "PARTIAL_75", &[at]).await;
    let blocked = stage.only_plan("BTCUSDT").await;
    let _: String = stage.command(&["SET", KILL_SWITCH, "true"]).await;
    stage.approve(&blocked, "0.009").await;
    let result = stage.result_of(blocked.get("plan_id")).await;
    assert_eq!(result.get("error"), "kill_switch_active");
    assert_eq!(
        (result.get("decision"), result.get("executed")),
        ("BLOCKED", "False")
    );
    // Nothing new is begun while it is on, whatever the word in it.
    let mut known = HashSet::new();
    for word in ["yes", "1", "TRUE", "what?"] {
        let _: String = stage.command(&["SET", KILL_SWITCH, word]).await;
        stage.propose("ETHUSDT", "PARTIAL_75").await;
        let result = stage
            .wait_for_entry(RESULTS, "the plan is blocked", |result| {
                result.get("symbol") == "ETHUSDT" && !known.contains(result.get("plan_id"))
            })
            .await;
        assert_eq!(result.get("error"), "kill_switch_active", "{word}");
        known.insert(result.get("plan_id").to_owned());
    }
    assert_eq!(stage.orders(), []);
    // The plan that was under review is on the stream once, however it looks under the switch.
    let own = |plan: &&Entry| plan.get("plan_id") == blocked.get("plan_id");
    assert_eq!(stage.entries(PLANS).await.iter().filter(own).count(), 1);
    // Off again: the proposal that still stands is reviewed, the one that had its result is not, even
    // where it is written again.
    let _: i64 = stage.command(&["DEL", KILL_SWITCH]).await;
    let plan = stage.only_plan("ETHUSDT").await;
    stage.approve(&plan, "0.05").await;
    stage
        .wait_for_entry(RESULTS, "the plan is carried out", |result| {
            result.get("plan_id") == plan.get("plan_id") && result.get("executed") == "True"
        })
        .await;
    let again = [at, ("R_net", "2.0")];
    stage.propose_with("BTCUSDT", "PARTIAL_75", &again).await;
    service
        .line_with(&[blocked.get("plan_id"), "reason=duplicate_plan"])
        .await;
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}

#[tokio::test]
async fn the_static_kill_switch_blocks_every_plan() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_KILL_SWITCH", "true")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(result.get("error"), "kill_switch_active");
    assert_eq!(result.get("decision"), "BLOCKED");
    service.line("APPLY_KILL_SWITCH is on").await;
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn a_redis_that_goes_away_in_the_middle_costs_the_plan_and_not_the_service() {
    let mut stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "600")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await.get("plan_id").to_owned();
    service.line("[PERMIT_WAIT] Polling for permits").await;
    stage.redis.kill();
    service.line_with(&["[PERMIT_WAIT] BLOCK", &plan]).await;
    stage.restart_redis().await;
    // The result waited for the server, and new proposals are followed again.
    let result = stage.result_of(&plan).await;
    assert_eq!(result.get("executed"), "False");
    let known = HashSet::from([plan]);
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.plan("BTCUSDT", &known).await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}
