//! The known scenarios, with the contract's own wait of 1200 ms.

use crate::{d, sent};
use apply_tests::{Entry, PLANS, RESULTS, Stage, governor_permit};
use exchange_sim::OrderOutcome;
use std::time::Duration;

const GOVERNOR_AFTER: Duration = Duration::from_millis(50);

#[tokio::test]
async fn both_permits_in_time_are_one_reduce_only_order_and_neighbours_read_what_filled() {
    let stage = Stage::open().await;
    let governor = stage.governor(GOVERNOR_AFTER).await;
    let brain = stage
        .position_brain(Duration::from_millis(195), "0.009000000000000001")
        .await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "1200")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;

    let result = stage.result_for("BTCUSDT").await;
    let id = result.get("plan_id");
    let order = stage.only_order();
    assert_eq!(order.outcome, OrderOutcome::Filled);
    assert_eq!(sent(&order, "symbol"), "BTCUSDT");
    assert_eq!(sent(&order, "side"), "SELL");
    assert_eq!(sent(&order, "type"), "MARKET");
    assert_eq!(sent(&order, "quantity"), "0.009");
    assert_eq!(sent(&order, "reduceOnly"), "true");
    assert_eq!(sent(&order, "newOrderRespType"), "RESULT");
    assert!(order.client_order_id.unwrap().contains(id));
    assert!(order.at > governor.wrote_at(id) && order.at > brain.wrote_at(id));
    assert_eq!(stage.venue().position("BTCUSDT"), d("12.391"));

    let order_id = order.order_id.unwrap().to_string();
    read_as_the_position_brain_does(&stage, id, &order_id).await;
    has_the_contracts_fields(&stage).await;
    // Both permits are gone, the claim stays, the receipt went with the result.
    for (key, there) in [
        (format!("quantum:permit:{id}"), 0),
        (format!("quantum:permit:p33:{id}"), 0),
        (format!("quantum:apply:inflight:{id}"), 0),
        (format!("quantum:apply:dedupe:{id}"), 1),
        (format!("quantum:apply:stream_published:{id}"), 1),
    ] {
        assert_eq!(
            stage.command::<i64>(&["EXISTS", &key]).await,
            there,
            "{key}"
        );
    }
    let claimed: i64 = stage
        .command(&["TTL", &format!("quantum:apply:dedupe:{id}")])
        .await;
    assert!((21_000..=21_600).contains(&claimed), "{claimed}");
    service.stopped_well().await;
}

#[tokio::test]
async fn a_position_permit_after_789_ms_is_not_too_late() {
    let stage = Stage::open().await;
    let _governor = stage.governor(GOVERNOR_AFTER).await;
    let brain = stage
        .position_brain(Duration::from_millis(789), "0.006")
        .await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "1200")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_50").await;

    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(result.get("executed"), "True");
    let order = stage.only_order();
    assert!(order.at > brain.wrote_at(result.get("plan_id")));
    assert_eq!(order.executed_qty, d("0.006"));
    service.stopped_well().await;
}

#[tokio::test]
async fn a_position_permit_that_never_comes_blocks_the_plan_and_nothing_is_ordered() {
    let stage = Stage::open().await;
    let _governor = stage.governor(GOVERNOR_AFTER).await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "1200")
        .ready()
        .await;
    stage.propose("BTCUSDT", "FULL_CLOSE_PROPOSED").await;

    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(result.get("error"), "permit_timeout_or_missing:missing_p33");
    assert_eq!(
        (
            result.get("decision"),
            result.get("executed"),
            result.get("would_execute")
        ),
        ("BLOCKED", "False", "False")
    );
    // A permit that was alone is not taken.
    let governor = format!("quantum:permit:{}", result.get("plan_id"));
    assert_eq!(stage.command::<i64>(&["EXISTS", &governor]).await, 1);
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
    assert_eq!(stage.venue().position("BTCUSDT"), d("12.4"));
}

#[tokio::test]
async fn without_any_permit_both_are_named_missing() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "300")
        .ready()
        .await;
    stage.propose("BTCUSDT", "FULL_CLOSE_PROPOSED").await;
    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(
        result.get("error"),
        "permit_timeout_or_missing:missing_both"
    );
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn a_reviewers_no_is_a_no_with_the_reviewers_name() {
    const NO: &str = r#"{"allow":false,"symbol":"BTCUSDT","reason":"reconcile_required_qty_mismatch","context":{"exchange":0.0124},"created_at":1769301009.1}"#;
    let stage = Stage::open().await;
    let _governor = stage
        .governor_saying(|plan| {
            let yes = governor_permit(plan.get("symbol"));
            let no = yes.replace("\"granted\":true", "\"granted\":false");
            let permit = if plan.get("symbol") == "ETHUSDT" {
                no
            } else {
                yes
            };
            Some((GOVERNOR_AFTER, permit))
        })
        .await;
    let _brain = stage
        .position_brain_saying(|plan| {
            let yes = apply_tests::position_permit(plan.get("symbol"), "0.009");
            let permit = if plan.get("symbol") == "BTCUSDT" {
                NO.into()
            } else {
                yes
            };
            Some((Duration::from_millis(195), permit))
        })
        .await;
    let service = stage.ready().await;
    for (symbol, error) in [
        ("BTCUSDT", "p33_permit_denied"),
        ("ETHUSDT", "governor_permit_denied"),
    ] {
        stage.propose(symbol, "PARTIAL_75").await;
        let result = stage.result_for(symbol).await;
        assert_eq!(result.get("error"), error);
        assert_eq!(result.get("executed"), "False");
    }
    let detail = stage.result_for("BTCUSDT").await;
    assert!(
        detail
            .get("steps_results")
            .contains("reconcile_required_qty_mismatch"),
        "the reviewer's own reason is published: {detail:?}"
    );
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

/// The newest ten entries, the last step's `order_id`, `side` and `executed_qty`, and the word `True`.
async fn read_as_the_position_brain_does(stage: &Stage, plan: &str, order_id: &str) {
    let newest: redis::Value = stage
        .command(&["XREVRANGE", RESULTS, "+", "-", "COUNT", "10"])
        .await;
    let newest: Vec<(String, Vec<String>)> = redis::from_redis_value(newest).unwrap();
    let fields = newest
        .iter()
        .map(|(_, fields)| fields)
        .find(|fields| fields.chunks(2).any(|pair| pair == ["plan_id", plan]))
        .unwrap();
    let field = |name: &str| {
        let mut pairs = fields.chunks(2);
        pairs.find(|pair| pair[0] == name).unwrap()[1].as_str()
    };
    assert_eq!(field("executed"), "True");
    assert_eq!(field("error"), "");
    assert_eq!(field("symbol"), "BTCUSDT");
    let steps: Vec<serde_json::Value> = serde_json::from_str(field("steps_results")).unwrap();
    let last = steps.last().unwrap();
    assert_eq!(last["order_id"], order_id);
    assert_eq!(last["side"], "SELL");
    assert_eq!(last["quantity"], "0.009");
    assert_eq!(last["executed_qty"], "0.009");
    assert_eq!(last["status"], "success");
    assert_eq!(last["step"], "CLOSE_PARTIAL_75");
    assert_eq!(last["reduce_only"], true);
}

async fn has_the_contracts_fields(stage: &Stage) {
    const PLAN: [&str; 16] = [
        "plan_id",
        "symbol",
        "action",
        "kill_score",
        "k_regime_flip",
        "k_sigma_spike",
        "k_ts_drop",
        "k_age_penalty",
        "new_sl_proposed",
        "R_net",
        "decision",
        "reason_codes",
        "steps",
        "close_qty",
        "price",
        "timestamp",
    ];
    const RESULT: [&str; 8] = [
        "plan_id",
        "symbol",
        "decision",
        "executed",
        "would_execute",
        "steps_results",
        "error",
        "timestamp",
    ];
    let plans: Vec<Entry> = stage.entries(PLANS).await;
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].names()[..16], PLAN);
    assert_eq!(
        plans[0].names()[16..],
        ["reduceOnly", "attempt"],
        "additions come after them"
    );
    for (field, value) in [
        ("symbol", "BTCUSDT"),
        ("action", "PARTIAL_75"),
        ("kill_score", "0.539"),
        ("k_regime_flip", "0.1"),
        ("k_sigma_spike", "0.2"),
        ("k_ts_drop", "0.3"),
        ("k_age_penalty", "0.0"),
        ("new_sl_proposed", ""),
        ("R_net", "1.25"),
        ("decision", "EXECUTE"),
        ("reason_codes", ""),
        ("close_qty", ""),
        ("price", ""),
        (
            "steps",
            r#"[{"step":"CLOSE_PARTIAL_75","type":"market_reduce_only","side":"close","pct":75.0}]"#,
        ),
    ] {
        assert_eq!(plans[0].get(field), value, "{field}");
    }
    let id = plans[0].get("plan_id");
    assert!(
        id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{id}"
    );
    assert!(plans[0].get("timestamp").parse::<u64>().is_ok());

    let results = stage.entries(RESULTS).await;
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].names()[..8], RESULT, "additions come after them");
    assert_eq!(results[0].get("decision"), "EXECUTE");
    assert_eq!(results[0].get("would_execute"), "False");
    assert!(results[0].get("timestamp").parse::<u64>().is_ok());
}
