//! With neighbours that misbehave as the real ones were measured to do.

use crate::{d, sent};
use apply_tests::{
    DisarmingGovernor, GOVERNOR, Habits, P33, PLANS, PortfolioGate, RESULTS, RebookingBrain,
    SecondExecutor, Stage, calibrated, disarm_of_today, eventually, governor_permit,
    position_permit, reconcile, within,
};
use exchange_sim::{Delivery, Fault, When};
use rust_decimal::Decimal;
use std::{collections::HashSet, time::Duration};

const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// A tenth of the real one's times, with which the proportions stay.
const HABITS: Habits = Habits {
    poll: Duration::from_millis(1500),
    cooldown: Duration::from_millis(300),
    reviews: true,
};

async fn ledger(stage: &Stage, symbol: &str) -> Decimal {
    let key = format!("quantum:position:ledger:{symbol}");
    let amount: String = stage.command(&["HGET", &key, "last_known_amt"]).await;
    d(&amount)
}

#[tokio::test]
async fn closes_one_after_another_all_execute_beside_a_brain_that_books_again_and_again() {
    let stage = Stage::open().await;
    let _governor = stage.governor(Duration::ZERO).await;
    let brain = RebookingBrain::start(&stage, &SYMBOLS, HABITS).await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    for _ in 0..3 {
        for symbol in SYMBOLS {
            let before = stage.venue().position(symbol);
            stage.propose(symbol, "PARTIAL_25").await;
            let plan = stage.plan(symbol, &known).await.get("plan_id").to_owned();
            let result = stage.result_of(&plan).await;
            let said = brain.said_to(&plan);
            assert_eq!(result.get("executed"), "True", "{said:?} {result:?}");
            // It granted all of it.
            let left = stage.venue().position(symbol);
            assert!(
                left * d("4") >= before * d("3") && left < before,
                "{before} -> {left}"
            );
            service
                .line_with(&["Ledger: plan", &plan, "is booked"])
                .await;
            assert_eq!(ledger(&stage, symbol).await, left, "it is booked once");
            eventually("its cooldown ends", || brain.has_rested(symbol)).await;
            known.insert(plan);
        }
    }
    for symbol in SYMBOLS {
        assert_eq!(brain.bookings(symbol), 3, "once a close");
        assert_eq!(ledger(&stage, symbol).await, stage.venue().position(symbol));
    }
    let counted = service.metric("quantum_apply_ledger_results_total{outcome=\"pushed_out\"}");
    assert_eq!(counted.await.as_deref(), Some("6"));
    // What stands there for the brain is no result to anybody else.
    let stats = stage.program(&["stats", "--json"]).ended().await;
    let stats: serde_json::Value = serde_json::from_str(&stats.log.join("")).unwrap();
    assert_eq!(
        (&stats["executed"], &stats["not_executed"]),
        (&6.into(), &serde_json::json!({}))
    );
    let tail = stage.program(&["results", "tail", "-n", "6"]).ended().await;
    assert!(
        tail.log.iter().all(|line| line.contains("executed=True")),
        "{:?}",
        tail.log
    );
    assert_eq!(tail.log.len(), 6);
    service.stopped_well().await;
}

#[tokio::test]
async fn what_was_booked_before_a_crash_is_pushed_out_by_the_next_start() {
    let stage = Stage::open().await;
    let _governor = stage.governor(Duration::ZERO).await;
    let brain = RebookingBrain::start(&stage, &SYMBOLS, HABITS).await;
    let how = stage.service().env("APPLY_LEDGER", "off");
    let service = how.clone().ready().await;
    stage.propose("BTCUSDT", "PARTIAL_25").await;
    let result = stage.result_for("BTCUSDT").await;
    service.stopped_well().await;
    eventually("it is booked", || brain.bookings("BTCUSDT") > 0).await;
    let service = how.env("APPLY_LEDGER", "book-once").ready().await;
    service
        .line_with(&["Ledger: plan", result.get("plan_id"), "is booked"])
        .await;
    service.stopped_well().await;
}

#[tokio::test]
async fn where_results_stay_in_sight_they_are_booked_again_and_the_next_plan_is_denied() {
    let stage = Stage::open().await;
    let _governor = stage.governor(Duration::ZERO).await;
    let brain = RebookingBrain::start(&stage, &SYMBOLS, HABITS).await;
    let service = stage.service().env("APPLY_LEDGER", "off").ready().await;
    stage.propose("BTCUSDT", "PARTIAL_25").await;
    let first = stage.result_for("BTCUSDT").await;
    eventually("it is booked twice", || brain.bookings("BTCUSDT") > 1).await;
    assert_ne!(
        ledger(&stage, "BTCUSDT").await,
        stage.venue().position("BTCUSDT")
    );
    stage.propose("BTCUSDT", "PARTIAL_25").await;
    let known = HashSet::from([first.get("plan_id").to_owned()]);
    let plan = stage.plan("BTCUSDT", &known).await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("error"), "p33_permit_denied");
    service.stopped_well().await;
}

#[tokio::test]
async fn a_governor_that_disarms_halts_new_orders_until_resume() {
    let stage = Stage::open().await;
    let governor = DisarmingGovernor::start(&stage, 1).await;
    let _brain = stage.position_brain(Duration::ZERO, "0.004").await;
    let service = stage.ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    assert_eq!(stage.result_for("BTCUSDT").await.get("executed"), "True");
    // It waits for its permits when the governor has had enough.
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    let result = stage.result_for("ETHUSDT").await;
    assert_eq!(
        (result.get("decision"), result.get("error")),
        ("BLOCKED", "kill_switch_active")
    );
    drop(governor);
    let halted = service.line("Halted by quantum:governor:disarm:").await;
    assert!(
        halted.contains("WARN") && halted.contains("burst_limit_exceeded"),
        "{halted}"
    );
    // The key may end once the next look has marked it; what it said does not.
    let marked = async || {
        stage
            .command::<i64>(&["EXISTS", "quantum:apply:disarmed"])
            .await
            == 1
    };
    within("the disarm is marked", async {
        while !marked().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let _: i64 = stage.command(&["DEL", &disarm_of_today()]).await;
    stage.propose("SOLUSDT", "PARTIAL_75").await;
    let result = stage.result_for("SOLUSDT").await;
    assert_eq!(result.get("error"), "kill_switch_active");
    let status = stage.program(&["status"]).ended().await;
    let output = status.output();
    assert!(output.contains("ON, by quantum:apply:disarmed"), "{output}");
    assert!(output.contains("burst_limit_exceeded"), "{output}");
    assert_eq!(stage.orders().len(), 1);

    let resumed = stage
        .program(&["resume", "--reason", "looked at"])
        .ended()
        .await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.output());
    assert!(
        resumed.output().contains("disarm lifted"),
        "{}",
        resumed.output()
    );
    service.line("Resumed: nothing halts any more").await;
    let known: HashSet<String> = stage
        .entries(PLANS)
        .await
        .iter()
        .map(|plan| plan.get("plan_id").to_owned())
        .collect();
    stage.propose("BTCUSDT", "PARTIAL_50").await;
    let plan = stage.plan("BTCUSDT", &known).await;
    stage.approve(&plan, "0.004").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    service.stopped_well().await;
}

#[tokio::test]
async fn a_governor_that_writes_no_permit_is_asked_why() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "1500")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id");
    stage.allow(id, &position_permit("BTCUSDT", "0.004")).await;
    let key = format!("quantum:governor:block:{id}");
    let _: redis::Value = stage
        .command(&["SET", &key, "daily_limit_exceeded\nline", "EX", "3600"])
        .await;
    let result = stage.result_of(id).await;
    assert_eq!(
        result.get("error"),
        "permit_timeout_or_missing:missing_governor"
    );
    let step = result.last_step();
    let said = "said governor: daily_limit_exceeded";
    assert!(step["details"].as_str().unwrap().contains(said), "{step}");
    let line = service.line("[PERMIT_WAIT] BLOCK").await;
    assert!(
        line.contains("said=\"governor: daily_limit_exceeded"),
        "{line}"
    );
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 0);
}

#[tokio::test]
async fn a_permit_that_comes_too_late_is_measured_and_left_where_it_is() {
    let stage = Stage::open().await;
    let how = stage.service().env("APPLY_PERMIT_WAIT_MS", "300");
    let service = how.clone().ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id");
    stage.govern(id, &governor_permit("BTCUSDT")).await;
    let result = stage.result_of(id).await;
    assert_eq!(result.get("error"), "permit_timeout_or_missing:missing_p33");
    stage.allow(id, &position_permit("BTCUSDT", "0.004")).await;
    let line = service.line_with(&["LATE plan=", id, "permit=p33"]).await;
    assert!(line.contains("late_by_ms="), "{line}");
    service
        .metric_is(
            "quantum_apply_permits_missed_total{permit=\"p33\",came=\"late\"}",
            "1",
        )
        .await;
    for key in [format!("{GOVERNOR}{id}"), format!("{P33}{id}")] {
        assert_eq!(stage.command::<i64>(&["EXISTS", &key]).await, 1, "{key}");
    }
    stage
        .wait_for_entry("quantum:apply:late_permits", "it is written down", |_| true)
        .await;
    let program = |words: &[&str]| how.clone().instead(words);
    let stats = program(&["stats", "--json"]).ended().await;
    let stats: serde_json::Value = serde_json::from_str(&stats.log.join("")).unwrap();
    assert_eq!(stats["late_permits"]["by_permit"]["p33"], 1, "{stats}");
    let wait = stats["late_permits"]["suggested_wait_ms"].as_u64().unwrap();
    assert!(wait > 300 && wait.is_multiple_of(100), "{wait}");
    let check = program(&["check"]).ended().await.output();
    assert!(
        check.contains(&format!("APPLY_PERMIT_WAIT_MS={wait}")),
        "{check}"
    );
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 0);
}

#[tokio::test]
async fn a_reviewer_that_does_not_read_plans_is_seen_everywhere() {
    let stage = Stage::open().await;
    let create = |group| ["XGROUP", "CREATE", PLANS, group, "0", "MKSTREAM"];
    for group in ["governor", "p33"] {
        let _: redis::Value = stage.command(&create(group)).await;
    }
    for n in ["1", "2"] {
        let _: redis::Value = stage.command(&["XADD", PLANS, "*", "plan_id", n]).await;
    }
    for (group, count) in [("governor", "2"), ("p33", "1")] {
        let _: redis::Value = stage
            .command(&[
                "XREADGROUP",
                "GROUP",
                group,
                "one",
                "COUNT",
                count,
                "STREAMS",
                PLANS,
                ">",
            ])
            .await;
    }
    let service = stage.ready().await;
    for (series, value) in [
        ("lag{reviewer=\"governor\"}", "0"),
        ("lag{reviewer=\"p33\"}", "1"),
        ("pending{reviewer=\"governor\"}", "2"),
        ("consumers{reviewer=\"p33\"}", "1"),
    ] {
        let series = format!("quantum_apply_reviewer_{series}");
        service.metric_is(&series, value).await;
    }
    let seen = "p33: 1 consumer";
    let page = within("the page shows it", async {
        loop {
            let page = service.page("/api/status.json").await;
            if page.contains(seen) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(
        page.contains(
            r#""reviewer":"p33","health":"behind","unanswered":0,"has_group":true,"consumers":1"#
        ),
        "{page}"
    );
    let status = stage.program(&["status"]).ended().await.output();
    assert!(status.contains("reviewer     p33: 1 consumer"), "{status}");
    let check = stage.program(&["check"]).ended().await.output();
    assert!(
        check.contains("1 plan not read") && check.contains("check that it runs"),
        "{check}"
    );
    service.stopped_well().await;
}

#[tokio::test]
async fn a_portfolio_gate_finds_plans_where_it_reads_and_what_it_makes_less_of_is_less() {
    let stage = Stage::open().await;
    let gate = PortfolioGate::start(&stage).await;
    let _governor = stage.governor(Duration::ZERO).await;
    let _brain = stage.position_brain(Duration::ZERO, "12.4").await;
    let service = stage
        .service()
        .env("APPLY_PERMITS", "governor,p33,p26")
        .ready()
        .await;
    for (made, closed) in [("PARTIAL_25", "3.1"), ("", "4.65")] {
        gate.will_make(made);
        let orders = stage.orders().len();
        let known: HashSet<String> = stage
            .entries(PLANS)
            .await
            .iter()
            .map(|p| p.get("plan_id").to_owned())
            .collect();
        stage.propose("BTCUSDT", "PARTIAL_50").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let result = stage.result_of(plan.get("plan_id")).await;
        assert_eq!(result.get("executed"), "True", "{result:?}");
        assert_eq!(sent(&stage.orders()[orders], "quantity"), closed);
        let details = result.last_step()["details"].to_string();
        let reduced = "the reviewers made CLOSE_PARTIAL_25 of CLOSE_PARTIAL_50";
        assert_eq!(details.contains(reduced), !made.is_empty(), "{details}");
        // What was done is named, and not what the plan asked for.
        let (action, step, pct) = match made.is_empty() {
            false => ("PARTIAL_25", "CLOSE_PARTIAL_25", "25.0"),
            true => ("PARTIAL_50", "CLOSE_PARTIAL_50", "50.0"),
        };
        assert_eq!(
            (result.get("action"), result.get("close_pct")),
            (action, pct)
        );
        assert_eq!(result.last_step()["step"], step);
        service.line(&format!("Executing step {step}")).await;
    }
    for (made, error) in [
        ("HOLD", "portfolio_gate_downgraded"),
        ("SOMETHING", "portfolio_gate_unreadable"),
    ] {
        gate.will_make(made);
        let known: HashSet<String> = stage
            .entries(PLANS)
            .await
            .iter()
            .map(|p| p.get("plan_id").to_owned())
            .collect();
        stage.propose("BTCUSDT", "PARTIAL_50").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let result = stage.result_of(plan.get("plan_id")).await;
        assert_eq!(
            (result.get("decision"), result.get("error")),
            ("BLOCKED", error)
        );
    }
    assert_eq!(stage.orders().len(), 2);
    service.stopped_well().await;
}

#[tokio::test]
async fn what_a_portfolio_gate_made_less_of_is_named_in_a_dry_run_and_after_a_crash() {
    for (mode, crash) in [("dry_run", false), ("testnet", true)] {
        let stage = Stage::open().await;
        let gate = PortfolioGate::start(&stage).await;
        let _governor = stage.governor(Duration::ZERO).await;
        let _brain = stage.position_brain(Duration::ZERO, "12.4").await;
        let how = stage
            .service()
            .env("APPLY_MODE", mode)
            .env("APPLY_LEASE_SEC", "1")
            .env("APPLY_PERMITS", "governor,p33,p26");
        gate.will_make("PARTIAL_25");
        if crash {
            // The venue executes it and never answers.
            let venue = stage.venue();
            venue.script(Fault::executed(When::order(), Delivery::Hang));
        }
        let mut service = how.clone().ready().await;
        stage.propose("BTCUSDT", "PARTIAL_50").await;
        if crash {
            eventually("the order arrives", || !stage.orders().is_empty()).await;
            service.signal("KILL").await;
            service.ended().await;
            service = how.ready().await;
        }
        let result = stage.result_for("BTCUSDT").await;
        let step = result.last_step();
        assert_eq!(step["step"], "CLOSE_PARTIAL_25", "{mode}: {result:?}");
        let details = step["details"].as_str().unwrap_or_default();
        assert!(details.contains("of CLOSE_PARTIAL_50"), "{mode}: {details}");
        service.stopped_well().await;
    }
}

#[tokio::test]
async fn where_the_executor_owns_the_ledger_it_is_the_venues_position_after_each_fill() {
    let stage = Stage::open().await;
    let _governor = stage.governor(Duration::ZERO).await;
    let _brain = stage.position_brain(Duration::ZERO, "100").await;
    let service = stage.service().env("APPLY_LEDGER", "write").ready().await;
    service.line("Ledger: write; after a fill").await;
    let field = async |key: &str, symbol: &str, name: &str| {
        let key = format!("quantum:{key}:{symbol}");
        let value: Option<String> = stage.command(&["HGET", &key, name]).await;
        value
    };
    let mut known = HashSet::new();
    for _ in 0..2 {
        for symbol in SYMBOLS {
            stage.propose(symbol, "PARTIAL_25").await;
            let plan = stage.plan(symbol, &known).await;
            let result = stage.result_of(plan.get("plan_id")).await;
            assert_eq!(result.get("executed"), "True", "{result:?}");
            let left = stage.venue().position(symbol).normalize().to_string();
            service
                .line(&format!("Ledger: {symbol} is written as {left}"))
                .await;
            for (key, name) in [
                ("position:ledger", "ledger_amt"),
                ("position:ledger", "last_known_amt"),
                ("state:positions", "position_amt"),
            ] {
                let value = field(key, symbol, name).await;
                assert_eq!(value.as_deref(), Some(&*left), "{key} {name}");
            }
            let mark = format!("quantum:cooldown:last_exec_ts:{symbol}");
            assert!(stage.command::<i64>(&["TTL", &mark]).await > 3000);
            known.insert(plan.get("plan_id").to_owned());
        }
    }
    let written = "quantum_apply_ledger_results_total{outcome=\"written\"}";
    service.metric_is(written, "4").await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_heat_gate_that_calibrates_a_close_to_hold_has_nothing_placed() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let made =
        |action| calibrated("FULL_CLOSE_PROPOSED", action).map(|[name, value]| (name, value));
    stage
        .propose_with("BTCUSDT", "FULL_CLOSE_PROPOSED", &made("HOLD"))
        .await;
    let plan = stage
        .wait_for_entry(PLANS, "a plan", |plan| plan.get("symbol") == "BTCUSDT")
        .await;
    assert_eq!(
        (plan.get("decision"), plan.get("reason_codes")),
        ("SKIP", "action_hold")
    );
    stage
        .propose_with("ETHUSDT", "FULL_CLOSE_PROPOSED", &made("partial_25"))
        .await;
    let plan = stage.only_plan("ETHUSDT").await;
    assert_eq!(plan.get("action"), "PARTIAL_25");
    // A reviewer that allows all there is.
    stage.approve(&plan, "124").await;
    assert_eq!(
        stage.result_of(plan.get("plan_id")).await.get("executed"),
        "True"
    );
    let order = stage.only_order();
    assert_eq!(sent(&order, "quantity"), "31");
    service.stopped_well().await;
}

#[tokio::test]
async fn a_second_executor_places_nothing_and_its_answers_are_nobodys_results() {
    let stage = Stage::open().await;
    let executor = SecondExecutor::start(&stage).await;
    let service = stage.ready().await;
    // A reconcile engine asks for a close of its own, which is not this service's to follow.
    reconcile(&stage, "BTCUSDT").await;
    stage.propose("BTCUSDT", "FULL_CLOSE_PROPOSED").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.008").await;
    let id = plan.get("plan_id");
    let result = stage
        .wait_for_entry(RESULTS, "our result", |entry| {
            entry.get("plan_id") == id && entry.find("source") == Some("apply_layer")
        })
        .await;
    assert_eq!(result.get("executed"), "True");
    stage
        .wait_for_entry(RESULTS, "the other's answer", |entry| {
            entry.get("plan_id") == id && entry.find("source") == Some("intent_executor")
        })
        .await;
    within("the page shows it apart", async {
        while !service
            .page("/api/status.json")
            .await
            .contains(r#""foreign":[{"source":"intent_executor","entries":1"#)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(executor.would_place(), Vec::<String>::new());
    assert_eq!(sent(&stage.only_order(), "quantity"), "0.008");
    service.stopped_well().await;
}

#[tokio::test]
async fn a_universe_that_another_program_writes_lets_nothing_execute() {
    let stage = Stage::open().await;
    let universe = [
        "SET",
        "quantum:cfg:universe:active",
        r#"{"symbols":["BTCUSDT","ETHUSDT"]}"#,
    ];
    let _: redis::Value = stage.command(&universe).await;
    let service = stage
        .service()
        .env("APPLY_ALLOWLIST", "BTCUSDT")
        .ready()
        .await;
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    let plan = stage
        .wait_for_entry(PLANS, "a plan", |plan| plan.get("symbol") == "ETHUSDT")
        .await;
    assert_eq!(
        (plan.get("decision"), plan.get("reason_codes")),
        ("SKIP", "not_in_allowlist")
    );
    // Nor does one that leaves a symbol out keep it from executing.
    let without = ["SET", universe[1], r#"{"symbols":["ETHUSDT"]}"#];
    let _: redis::Value = stage.command(&without).await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.004").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    assert_eq!(stage.orders().len(), 1);
    service.stopped_well().await;
}
