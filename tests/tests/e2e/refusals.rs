//! What the live service shows the writer of a permit: one short line in the log and in the result,
//! with the place, what stands there and what it is; and permits that real writers spell in other ways are orders.

use crate::d;
use apply_tests::{Entry, Stage, governor_permit};
use std::collections::HashSet;

/// Plays one plan with these permits of governor and position brain. Answers with its result.
async fn play(stage: &Stage, known: &mut HashSet<String>, governor: &str, brain: &[u8]) -> Entry {
    stage.propose("BTCUSDT", "FULL_CLOSE_PROPOSED").await;
    let plan = stage.plan("BTCUSDT", known).await;
    let id = plan.get("plan_id").to_owned();
    known.insert(id.clone());
    let mut set = redis::cmd("SET");
    set.arg(format!("quantum:permit:p33:{id}"));
    set.arg(brain).arg("EX").arg(60);
    let mut redis = stage.redis.connection().await;
    set.exec_async(&mut redis).await.unwrap();
    stage.govern(&id, governor).await;
    stage.result_of(&id).await
}

#[tokio::test]
async fn a_refused_permit_is_reported_in_one_short_line_that_names_the_mistake() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    let governor = governor_permit("BTCUSDT");
    let twice = format!("\"{{\\\"allow\\\":true,{}}}\"", "\\\"x\\\":1,".repeat(900));
    let flat = r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.008,"exchange_position_amt":0.0,"created_at":1}"#;
    let comma = r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0,009,"created_at":1}"#;
    for (permit, error, words) in [
        (
            twice.as_bytes(),
            "invalid_p33_permit_format",
            "encoded twice",
        ),
        (b"\x1f\x8b\x08\0\0\0\0", "invalid_p33_permit_format", "gzip"),
        (
            b"HASH(0x55b70992ef70)",
            "invalid_p33_permit_format",
            "HASH(0x55b70992ef70)",
        ),
        (
            comma.as_bytes(),
            "invalid_p33_permit_format",
            "decimal comma",
        ),
        (
            flat.as_bytes(),
            "p33_permit_flat_position",
            "nothing to close",
        ),
    ] {
        let result = play(&stage, &mut known, &governor, permit).await;
        assert_eq!(result.get("error"), error, "{words}");
        let details = result.last_step()["details"].to_string();
        assert!(details.contains(words), "{words}: {details}");
        assert!(details.chars().count() < 500, "{details}");
        let line = service.line_with(&["BLOCK", words]).await;
        assert!(line.chars().count() < 800, "{line}");
    }
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn permits_that_real_writers_spell_in_other_ways_are_orders() {
    let stage = Stage::open().await;
    stage.venue().set_position("BTCUSDT", d("10000.3"));
    let service = stage.ready().await;
    let mut known = HashSet::new();
    let nulls = r#"{"granted": true, "symbol": "BTCUSDT", "decision": "EXECUTE", "computed_qty": 0, "computed_notional": null, "created_at": 1, "consumed": null, "reason": null}"#;
    for (brain, orders) in [
        (
            r#"{"allow": true, "symbol": "BTCUSDT", "safe_close_qty": 0.009, "exchange_position_amt": null, "ledger_amt": null, "created_at": 1, "reason": null}"#,
            "0.009",
        ),
        // 10000.3 - 10000.1 in a binary float.
        (
            r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.1999999999989086,"exchange_position_amt":10000.3,"created_at":1}"#,
            "0.2",
        ),
    ] {
        let result = play(&stage, &mut known, nulls, brain.as_bytes()).await;
        assert_eq!(result.get("executed"), "True", "{result:?}");
        assert_eq!(
            d(result.last_step()["executed_qty"].as_str().unwrap()),
            d(orders)
        );
    }
    service.stopped_well().await;
}
