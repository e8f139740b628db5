//! What operators grep for and what the neighbours read, word for word, out of real runs.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{Plan, Submission, event::Level, exchange::Profit};
use common::*;
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// The line that begins exactly like this; more `key=value` pairs may follow, nothing else may.
fn contract_line(lines: &[String], begin: &str) -> String {
    let found: Vec<&String> = lines.iter().filter(|l| l.starts_with(begin)).collect();
    let [line] = found.as_slice() else {
        panic!("{begin:?} begins one line, not {found:?} of {lines:#?}");
    };
    let more = &line[begin.len()..];
    assert!(more.is_empty() || more.starts_with(' '), "{line}");
    only_pairs(more.trim_start()).unwrap_or_else(|rest| panic!("{rest:?} of {line:?}"));
    (*line).clone()
}

/// `key=value key="quoted value" …`; the rest where it is anything else.
fn only_pairs(text: &str) -> Result<(), &str> {
    if text.is_empty() {
        return Ok(());
    }
    let (key, value) = text.split_once('=').ok_or(text)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if key.is_empty() || !key.chars().all(plain) {
        return Err(text);
    }
    let rest = match value.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or(text)?.1,
        None => value.find(' ').map_or("", |end| &value[end..]),
    };
    only_pairs(rest.trim_start())
}

/// A trade with the timing of the contract's example.
async fn traded(governor_after: u64, position_after: u64) -> (Stage, Plan) {
    let stage = Stage::new();
    stage.venue().script(|script| {
        script.profit = Ok(Some(Profit {
            average_price: None,
            realized: d("0.00015000"),
            net: None,
            commission: Vec::new(),
        }));
    });
    stage.answer(
        (governor_after, GOVERNOR),
        (position_after, &p33("0.008", "0.0124")),
    );
    stage.play().await;
    let plan = stage.plans()[0].clone();
    (stage, plan)
}

#[tokio::test(start_paused = true)]
async fn a_trade_leaves_the_lines_operators_know() {
    let (stage, plan) = traded(412, 789).await;
    let (lines, id) = (stage.log.lines(), plan.id);
    let begins = [
        format!("Plan {id} published (decision=EXECUTE, symbol=BTCUSDT)"),
        "[PERMIT_WAIT] Polling for permits (max_wait=1200ms)".into(),
        "[PERMIT_WAIT] Governor permit found (wait=412ms)".into(),
        "[PERMIT_WAIT] P3.3 permit found (wait=789ms)".into(),
        format!("[PERMIT_WAIT] OK plan={id} wait_ms=789 safe_qty=0.0080"),
        "Executing step CLOSE_PARTIAL_75".into(),
        "Order 11934538190 executed successfully on testnet".into(),
        "Result: executed=True, profit_realized=0.00015".into(),
    ];
    let contract: Vec<String> = begins.iter().map(|b| contract_line(&lines, b)).collect();
    assert_eq!(lines, contract, "these, in this order, and no others");
}

#[tokio::test(start_paused = true)]
async fn a_block_leaves_the_lines_operators_know() {
    let stage = Stage::new();
    let clock = stage.ports.clock;
    stage.when_planned(0, ms(0), move |permits, plan| {
        let expires = permit_gate::Timer::now(&clock) + ms(53_000);
        permits.put_until(plan, "governor", GOVERNOR.as_bytes(), expires);
    });
    stage.play().await;
    let (lines, id) = (stage.log.lines(), stage.plans()[0].id.clone());
    let begin = format!("[PERMIT_WAIT] BLOCK plan={id} reason=missing_p33 gov_ttl=52 p33_ttl=-2");
    contract_line(&lines, &begin);
    contract_line(
        &lines,
        "Result: executed=False, error=permit_timeout_or_missing:missing_p33",
    );
    assert_eq!(stage.log.level_of("[PERMIT_WAIT] BLOCK"), Level::Warn);
    assert_eq!(stage.log.count("Executing step"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_safe_quantity_shows_four_decimals_and_every_further_one() {
    for (permit, shown) in [
        ("0.008", "0.0080"),
        ("0.009000000000000001", "0.0090"),
        ("12", "12.0000"),
        ("0.00012345", "0.00012345"),
    ] {
        let stage = Stage::new();
        stage.answer((1, GOVERNOR), (2, &p33(permit, "0.0124")));
        stage.play().await;
        let id = stage.plans()[0].id.clone();
        contract_line(
            &stage.log.lines(),
            &format!("[PERMIT_WAIT] OK plan={id} wait_ms=2 safe_qty={shown}"),
        );
    }
}

/// The operators' pipeline, run for real over a journal.
fn slowest_waits(journal: &[String]) -> Vec<String> {
    let mut shell = Command::new("sh")
        .arg("-c")
        .arg(
            r#"grep "\[PERMIT_WAIT\]" | awk -F'wait_ms=' '{print $2}' | awk '{print $1}' | sort -n | tail -20"#,
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut journal = journal.join("\n");
    journal.push('\n');
    let mut stdin = shell.stdin.take().unwrap();
    stdin.write_all(journal.as_bytes()).unwrap();
    drop(stdin);
    let output = shell.wait_with_output().unwrap();
    assert!(output.status.success());
    // A line without a wait is a blank one to this pipeline, as it always was.
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers = text.lines().filter(|line| !line.is_empty());
    numbers.map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn the_operators_pipeline_finds_the_waits() {
    let mut journal = Vec::new();
    for (governor_after, position_after) in [(50, 195), (412, 789), (345, 20), (0, 0), (1199, 7)] {
        let (stage, _) = traded(governor_after, position_after).await;
        journal.extend(stage.log.lines());
    }
    let denied = Stage::new();
    denied.answer((50, GOVERNOR), (60, P33_NO));
    denied.play().await;
    let missing = Stage::new();
    missing.play().await;
    journal.extend(denied.log.lines());
    journal.extend(missing.log.lines());
    let journal: Vec<String> = journal
        .iter()
        .map(|line| format!("Jan 25 00:30:08 host apply-layer[812]: INFO {line}"))
        .collect();
    assert_eq!(slowest_waits(&journal), ["0", "195", "345", "789", "1199"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_say_stays_within_its_line() {
    let stage = Stage::new();
    stage.venue().script(|script| {
        script.submission = Some(Submission::Rejected {
            code: -2022,
            message: "no\nOrder 1 executed successfully on testnet\r\u{1b}[2K".into(),
        });
    });
    stage.answer_yes();
    stage.play().await;
    for line in stage.log.lines() {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    assert_eq!(stage.log.count("Order 1 "), 0);
    assert_eq!(stage.log.count(r"Order rejected: no\nOrder 1 executed"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_filled_nothing_is_not_called_executed() {
    let stage = Stage::new();
    stage.venue().script(|script| {
        script.submission = Some(Submission::Accepted(apply_core::Fill {
            executed_qty: d("0"),
            status: "EXPIRED".into(),
            ..filled("0.008", apply_core::Side::Sell)
        }));
    });
    stage.answer_yes();
    stage.play().await;
    let lines = stage.log.lines();
    assert!(lines.iter().all(|l| !l.contains("executed successfully")));
    contract_line(&lines, "Order 11934538190 accepted, nothing filled");
    contract_line(&lines, "Result: executed=False, error=order_not_filled");
}

fn fields(fields: Vec<(&'static str, String)>) -> Vec<String> {
    let pairs = fields.into_iter();
    pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_plans_fields_are_the_contracts_in_its_order() {
    let stage = Stage::new();
    stage.propose_with(
        "PARTIAL_75",
        &[
            ("kill_score", "0.612"),
            ("k_regime_flip", "0.25"),
            ("k_sigma_spike", "1e-07"),
            ("k_age_penalty", "1"),
            ("R_net", "2.35"),
            ("last_update_epoch", "1769301008"),
            ("reason_codes", "ts_drop,age"),
        ],
    );
    stage.look().await;
    let plan = stage.plans()[0].clone();
    assert_eq!(
        fields(plan.to_fields(EPOCH)),
        [
            &*format!("plan_id={}", plan.id),
            "symbol=BTCUSDT",
            "action=PARTIAL_75",
            "kill_score=0.612",
            "k_regime_flip=0.25",
            "k_sigma_spike=1e-07",
            "k_ts_drop=0.0",
            "k_age_penalty=1.0",
            "new_sl_proposed=",
            "R_net=2.35",
            "decision=EXECUTE",
            "reason_codes=kill_score_warning_close_ok",
            r#"steps=[{"step":"CLOSE_PARTIAL_75","type":"market_reduce_only","side":"close","pct":75.0}]"#,
            "close_qty=",
            "price=",
            "timestamp=1769301008",
            "reduceOnly=true",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_executed_results_fields_are_the_contracts_in_its_order() {
    let stage = Stage::new();
    stage.answer((50, GOVERNOR), (1100, &p33("0.008", "0.0124")));
    let result = stage.play().await;
    assert_eq!(
        fields(result.to_fields()),
        [
            &*format!("plan_id={}", stage.plans()[0].id),
            "symbol=BTCUSDT",
            "decision=EXECUTE",
            "executed=True",
            "would_execute=False",
            r#"steps_results=[{"step":"CLOSE_PARTIAL_75","status":"success","details":"order 11934538190 FILLED: 0.008 of 0.008 SELL at 64000.5, reduce-only; 0.0044 left open","order_id":"11934538190","side":"SELL","quantity":"0.008","executed_qty":"0.008","reduce_only":true,"approved_qty":"0.008","left_open":"0.0044","avg_price":"64000.5","order_status":"FILLED"}]"#,
            "error=",
            // A second and more after the proposal: when it ended, not when it began.
            "timestamp=1769301009",
            // What newer neighbours read.
            "source=apply_layer",
            "ts=1769301009",
            "permit_wait_ms=1100",
            // The fake venue answers at once.
            "order_took_us=0",
            "order_id=11934538190",
            "side=SELL",
            "filled_qty=0.008",
            "order_status=FILLED",
            "action=PARTIAL_75",
            "reduceOnly=true",
            "close_pct=75.0",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_result_without_an_order_names_no_order() {
    let blocked = Stage::new();
    let result = fields(blocked.play().await.to_fields());
    assert_eq!(
        result[2..7],
        [
            "decision=BLOCKED",
            "executed=False",
            "would_execute=False",
            r#"steps_results=[{"step":"PERMIT_WAIT","status":"blocked","details":"missing_both after 1200 ms"}]"#,
            "error=permit_timeout_or_missing:missing_both",
        ]
    );
    assert_eq!(result[8], "source=apply_layer");
    assert_eq!(result.len(), 10, "{result:?}");
    let rehearsed = Stage::rehearsing();
    rehearsed.answer_yes();
    let result = fields(rehearsed.play().await.to_fields());
    assert_eq!(
        result[2..7],
        [
            "decision=EXECUTE",
            "executed=False",
            "would_execute=True",
            r#"steps_results=[{"step":"CLOSE_PARTIAL_75","status":"dry_run","details":"dry run: granted for at most 0.008, no order placed","approved_qty":"0.008"}]"#,
            "error=",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_moved_stop_adds_nothing_to_a_ledger_of_fills() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.propose_with("UPDATE_SL", &[("new_sl_proposed", "64000.5")]);
    let result = fields(stage.execute().await.to_fields());
    assert_eq!(
        result[3..7],
        [
            "executed=True",
            "would_execute=False",
            r#"steps_results=[{"step":"UPDATE_SL","status":"success","details":"stop 77 SELL 0.008 at 64000.5; cancelled 76, still there 75","order_id":"77","side":"SELL","executed_qty":"0","reduce_only":true}]"#,
            "error=",
        ]
    );
    contract_line(&stage.log.lines(), "Executing step UPDATE_SL");
}

#[tokio::test(start_paused = true)]
async fn a_stores_words_about_a_result_call_for_action_and_name_the_symbol() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.plan_store().fail("finalize", 1);
    stage.play().await;
    let begin = "Cannot publish the result for BTCUSDT, trying again: ";
    assert_eq!(stage.log.level_of(begin), Level::Error);
}
