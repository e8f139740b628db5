//! What operators watch: the log, as they grep it, and the metrics, under their old names.

use apply_tests::{Service, Stage};
use std::{collections::HashSet, io::Write, process::Stdio};

/// A plan that is executed and one that is blocked, with the contract's wait.
async fn a_day_at_work(stage: &Stage) -> (Service, [String; 2]) {
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "1200")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let done = stage.only_plan("BTCUSDT").await;
    let id = done.get("plan_id").to_owned();
    stage
        .govern(&id, &apply_tests::governor_permit("BTCUSDT"))
        .await;
    service.line("[PERMIT_WAIT] Governor permit found").await;
    stage
        .allow(&id, &apply_tests::position_permit("BTCUSDT", "0.008"))
        .await;
    stage.result_of(&id).await;

    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let blocked = stage.plan("BTCUSDT", &HashSet::from([id.clone()])).await;
    let blocked = blocked.get("plan_id").to_owned();
    stage
        .govern(&blocked, &apply_tests::governor_permit("BTCUSDT"))
        .await;
    stage.result_of(&blocked).await;
    service
        .line_with(&["Result: executed=False", &blocked])
        .await;
    (service, [id, blocked])
}

/// The rest of a line after its timestamp and level.
fn said(line: &str) -> &str {
    let mut words = line.splitn(2, |c: char| c.is_whitespace());
    let timestamp = words.next().unwrap();
    assert!(timestamp.starts_with("20"), "{line}");
    let rest = words.next().unwrap().trim_start();
    let (level, rest) = rest.split_once(' ').unwrap();
    assert!(
        ["INFO", "WARN", "ERROR", "DEBUG"].contains(&level),
        "{line}"
    );
    rest.trim_start()
}

/// Whether the text is the pattern, in which `#` stands for a whole number.
fn matches(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    let mut parts = pattern.split('#').peekable();
    while let Some(part) = parts.next() {
        match rest.strip_prefix(part) {
            Some(after) => rest = after,
            None => return false,
        }
        if parts.peek().is_some() {
            let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            if after.len() == rest.len() {
                return false;
            }
            rest = after;
        }
    }
    // More pairs may follow, set off by a blank.
    rest.is_empty() || rest.starts_with(' ')
}

#[tokio::test]
async fn the_contracts_log_lines_are_there_word_for_word_and_in_order() {
    let stage = Stage::open().await;
    let (service, [done, blocked]) = a_day_at_work(&stage).await;
    let ended = service.stopped_well().await;
    let order_id = stage.only_order().order_id.unwrap();
    let patterns = [
        format!("Plan {done} published (decision=EXECUTE, symbol=BTCUSDT)"),
        "[PERMIT_WAIT] Polling for permits (max_wait=1200ms)".into(),
        "[PERMIT_WAIT] Governor permit found (wait=#ms)".into(),
        "[PERMIT_WAIT] P3.3 permit found (wait=#ms)".into(),
        format!("[PERMIT_WAIT] OK plan={done} wait_ms=# safe_qty=0.0080"),
        "Executing step CLOSE_PARTIAL_75".into(),
        format!("Order {order_id} executed successfully on testnet"),
        "Result: executed=True, profit_realized=0".into(),
        format!("Plan {blocked} published (decision=EXECUTE, symbol=BTCUSDT)"),
        "[PERMIT_WAIT] Governor permit found (wait=#ms)".into(),
        format!("[PERMIT_WAIT] BLOCK plan={blocked} reason=missing_p33 gov_ttl=# p33_ttl=-2"),
        "Result: executed=False, error=permit_timeout_or_missing:missing_p33".into(),
    ];
    let mut lines = ended.log.iter();
    for pattern in &patterns {
        assert!(
            lines.any(|line| matches(said(line), pattern)),
            "no line, or none in its place, is {pattern}:\n{}",
            ended.output()
        );
    }
}

#[tokio::test]
async fn the_operators_pipeline_still_reads_the_waits_from_the_log() {
    const PIPELINE: &str = r#"grep "\[PERMIT_WAIT\]" | awk -F'wait_ms=' '{print $2}' | awk '{print $1}' | sort -n | tail -20"#;
    let stage = Stage::open().await;
    let (service, [done, _]) = a_day_at_work(&stage).await;
    let ended = service.stopped_well().await;
    let mut shell = std::process::Command::new("sh")
        .args(["-c", PIPELINE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let log = ended.log.join("\n") + "\n";
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(log.as_bytes())
        .unwrap();
    let output = String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap();
    let waits: Vec<&str> = output.lines().filter(|line| !line.is_empty()).collect();
    let granted = format!("[PERMIT_WAIT] OK plan={done} wait_ms=");
    let waited = ended
        .log
        .iter()
        .find_map(|line| line.split_once(&granted))
        .and_then(|(_, rest)| rest.split(' ').next())
        .unwrap();
    assert_eq!(waits, [waited], "{output}");
}

#[tokio::test]
async fn a_log_in_json_has_the_same_lines_with_the_facts_as_fields() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_LOG_FORMAT", "json")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.008").await;
    stage.result_of(plan.get("plan_id")).await;
    let ended = service.stopped_well().await;
    let events: Vec<serde_json::Value> = ended
        .log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let granted = events
        .iter()
        .find(|event| event["event"] == "granted")
        .unwrap();
    assert_eq!(granted["plan"], plan.get("plan_id"));
    assert_eq!(granted["symbol"], "BTCUSDT");
    let line = granted["message"].as_str().unwrap();
    assert!(line.starts_with("[PERMIT_WAIT] OK plan="), "{line}");
}

#[tokio::test]
async fn the_metrics_keep_their_old_names_and_count_what_happened() {
    let stage = Stage::open().await;
    let (service, [done, _]) = a_day_at_work(&stage).await;
    let success = "quantum_apply_execute_total{symbol=\"BTCUSDT\",step=\"CLOSE_PARTIAL_75\",status=\"success\"}";
    service.metric_is(success, "1").await;
    for (series, value) in [
        (
            "quantum_apply_plan_total{symbol=\"BTCUSDT\",decision=\"EXECUTE\"}",
            "2",
        ),
        (
            "quantum_apply_plan_total{symbol=\"ETHUSDT\",decision=\"EXECUTE\"}",
            "0",
        ),
        ("quantum_apply_dedupe_hits_total", "0"),
        ("quantum_apply_last_success_epoch{symbol=\"ETHUSDT\"}", "0"),
        ("quantum_apply_blocks_total{reason=\"missing_p33\"}", "1"),
        ("quantum_apply_orders_total{outcome=\"accepted\"}", "1"),
        ("quantum_apply_permit_wait_seconds_count", "2"),
        ("quantum_apply_order_roundtrip_seconds_count", "1"),
    ] {
        assert_eq!(
            service.metric(series).await.as_deref(),
            Some(value),
            "{series}"
        );
    }
    let result = stage.result_of(&done).await;
    let epoch = service
        .metric("quantum_apply_last_success_epoch{symbol=\"BTCUSDT\"}")
        .await
        .unwrap();
    let published: u64 = result.get("timestamp").parse().unwrap();
    // Counted right after the result was made, on the same clock.
    assert!(
        epoch.parse::<u64>().unwrap() >= published,
        "{epoch} {published}"
    );
    let page = service.metrics().await;
    assert!(page.ends_with("# EOF\n"), "{page}");
    for kind in [
        "plan counter",
        "execute counter",
        "dedupe_hits counter",
        "last_success_epoch gauge",
    ] {
        assert!(
            page.contains(&format!("# TYPE quantum_apply_{kind}\n")),
            "{kind}"
        );
    }
    service.stopped_well().await;
}
