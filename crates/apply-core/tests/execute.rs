//! The life of one plan, from its proposal to its one result, in virtual time.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{
    Decision, Fill, NotSent, Settlement, Share, Side, Submission,
    event::Level,
    exchange::{ExchangeError, Profit, StopReplacement},
};
use common::*;
use permit_gate::StoreError;
use rust_decimal::Decimal;
use std::sync::{Arc, Mutex};

#[tokio::test(start_paused = true)]
async fn with_both_permits_in_time_the_order_leaves_as_the_later_one_arrives() {
    let stage = Stage::new();
    stage.answer_yes();
    let rose = tokio::time::Instant::now();
    let result = stage.play().await;
    assert_eq!(stage.venue().closed_at() - rose, ms(195));
    let plan = stage.plans()[0].id.clone();
    assert_eq!(
        stage.venue().closes(),
        [Asked::Close {
            order: format!("apply-{plan}"),
            plan,
            symbol: btc(),
            side: Side::Sell,
            quantity: d("0.008"),
        }]
    );
    assert_eq!(
        (result.decision, result.executed, result.error),
        (Decision::Execute, true, None)
    );
    assert_eq!(result.steps.len(), 1);
    assert_eq!(result.steps[0].status, "success");
    assert_eq!(result.steps[0].executed_qty.as_deref(), Some("0.008"));
}

#[tokio::test(start_paused = true)]
async fn a_position_permit_after_789_ms_is_in_time() {
    let stage = Stage::new();
    stage.answer((50, GOVERNOR), (789, &p33("0.008", "0.0124")));
    let rose = tokio::time::Instant::now();
    assert!(stage.play().await.executed);
    assert_eq!(stage.venue().closed_at() - rose, ms(789));
    assert_eq!(stage.log.count("[PERMIT_WAIT] OK "), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_position_permit_the_plan_is_blocked_after_1200_ms_and_nothing_is_sent() {
    let stage = Stage::new();
    stage.answer((50, GOVERNOR), (60_000, &p33("0.008", "0.0124")));
    let result = stage.play().await;
    assert_eq!(stage.elapsed(), ms(1200));
    assert_eq!(
        (
            result.decision,
            result.executed,
            result.error_code().as_deref()
        ),
        (
            Decision::Blocked,
            false,
            Some("permit_timeout_or_missing:missing_p33")
        )
    );
    assert_eq!(stage.venue().closes(), []);
    let plan = stage.plans()[0].id.clone();
    assert!(
        stage.permits().holds(&plan, "governor"),
        "a permit of a plan that did not pass is not taken"
    );
}

#[tokio::test(start_paused = true)]
async fn a_denial_ends_the_wait_at_once_with_its_own_reason() {
    for (governor, position_brain, after, error) in [
        ((50, GOVERNOR), (120, P33_NO), 120, "p33_permit_denied"),
        (
            (50, GOVERNOR_NO),
            (600, P33_NO),
            50,
            "governor_permit_denied",
        ),
        ((50, GOVERNOR), (70, "{"), 70, "invalid_p33_permit_format"),
        (
            (50, GOVERNOR),
            (80, &*p33("0.0", "0.0124")),
            80,
            "invalid_safe_close_qty",
        ),
    ] {
        let stage = Stage::new();
        // The step of the safety net: what cannot make the set complete is found by it.
        stage.answer(governor, position_brain);
        let result = stage.play().await;
        assert_eq!(result.error_code().as_deref(), Some(error));
        assert_eq!(
            (result.decision, result.executed),
            (Decision::Blocked, false)
        );
        assert!(
            stage.elapsed() >= ms(after) && stage.elapsed() <= ms(after + 100),
            "{error} after {:?}",
            stage.elapsed()
        );
        assert_eq!(stage.venue().closes(), []);
    }
}

/// Plays one full close with these permits and this live position; what was sent, and the error.
async fn sized(governor_qty: &str, safe_qty: &str, seen: &str, live: &str) -> (String, String) {
    sized_as(Share::FULL.action(), governor_qty, safe_qty, seen, live).await
}

/// The same for another action.
async fn sized_as(
    action: &str,
    governor_qty: &str,
    safe_qty: &str,
    seen: &str,
    live: &str,
) -> (String, String) {
    let stage = Stage::new();
    stage.venue().script(|script| script.position = Ok(d(live)));
    stage.answer((10, &governor(governor_qty)), (20, &p33(safe_qty, seen)));
    let result = stage.play_as(action).await;
    let sent = stage
        .venue()
        .closed_quantity()
        .map_or_else(|| "nothing".into(), |quantity| quantity.to_string());
    assert_eq!(result.executed, sent != "nothing");
    (sent, result.error_code().unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn an_order_is_the_least_of_all_permits_and_the_live_position_cut_to_the_step() {
    for (governor_qty, safe_qty, live, sent) in [
        ("0.0", "0.008", "0.0124", "0.008"),
        ("0.0", "0.009000000000000001", "0.0124", "0.009"),
        ("0.0", "0.19999999999999998", "0.5", "0.2"),
        ("0.0", "0.0089999", "0.0124", "0.008"),
        ("0.0", "0.0124", "0.005", "0.005"),
        ("0.0", "0.0124", "0.0054", "0.005"),
        ("0.003", "0.008", "0.0124", "0.003"),
        ("0.0039", "0.008", "0.0124", "0.003"),
        ("0.5", "0.008", "0.0124", "0.008"),
        ("0.008", "0.009", "0.002", "0.002"),
    ] {
        assert_eq!(
            sized(governor_qty, safe_qty, "0.0124", live).await,
            (sent.to_owned(), String::new()),
            "governor {governor_qty}, position brain {safe_qty}, live {live}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_at_most_the_plans_share_of_the_live_position_whatever_the_permits_allow() {
    for (action, governor_qty, safe_qty, live, sent) in [
        ("FULL_CLOSE_PROPOSED", "0.0", "0.0124", "0.0124", "0.012"),
        ("PARTIAL_75", "0.0", "0.0124", "0.0124", "0.009"),
        ("PARTIAL_50", "0.0", "0.0124", "0.0124", "0.006"),
        ("PARTIAL_50", "0.0124", "0.0124", "0.0124", "0.006"),
        ("PARTIAL_50", "0.0", "0.005", "0.0124", "0.005"),
        ("PARTIAL_50", "0.004", "0.0124", "0.0124", "0.004"),
        // The position has shrunk since it was reviewed: the share is of what is there now.
        ("PARTIAL_50", "0.0", "0.0124", "0.004", "0.002"),
        ("PARTIAL_50", "0.0", "0.0124", "0.0039", "0.001"),
    ] {
        assert_eq!(
            sized_as(action, governor_qty, safe_qty, "0.0124", live).await,
            (sent.to_owned(), String::new()),
            "{action}: governor {governor_qty}, position brain {safe_qty}, live {live}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_limits_a_close_is_named_for_what_it_is() {
    const FULL: &str = "FULL_CLOSE_PROPOSED";
    for (action, permitted, seen, live, limits) in [
        (FULL, "12", "12", "12", None),
        ("PARTIAL_50", "12", "12", "12", Some("plan_share")),
        // The permit is larger than the position, which is as it was: the share alone bounds it.
        ("PARTIAL_50", "20", "12", "12", Some("plan_share")),
        (FULL, "20", "12", "12", Some("position_shrank")),
        // Half of what was seen would have been more.
        (
            "PARTIAL_50",
            "20",
            "20",
            "12",
            Some("position_shrank,plan_share"),
        ),
        (
            "PARTIAL_50",
            "12",
            "20",
            "12",
            Some("position_shrank,plan_share"),
        ),
        (FULL, "12", "20", "8", Some("position_shrank")),
        // The permit is the bound, whatever else is smaller than something.
        ("PARTIAL_50", "5", "20", "12", None),
        ("PARTIAL_50", "6", "20", "12", None),
        ("PARTIAL_50", "5.0005", "20", "12", Some("step")),
        (
            "PARTIAL_50",
            "20",
            "12.001",
            "12.001",
            Some("plan_share,step"),
        ),
        // The position grew.
        ("PARTIAL_50", "12", "12", "20", Some("plan_share")),
    ] {
        let stage = Stage::new();
        stage.venue().script(|script| script.position = Ok(d(live)));
        stage.answer((10, &governor("0.0")), (20, &p33(permitted, seen)));
        let result = stage.play_as(action).await;
        let said = format!("{action}: {permitted} of {seen}, live {live}: {result:?}");
        assert!(result.executed, "{said}");
        assert_eq!(result.steps[0].limited_by.as_deref(), limits, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_that_is_below_the_step_is_not_rounded_up() {
    assert_eq!(
        sized_as("PARTIAL_50", "0.0", "0.0124", "0.0124", "0.0019").await,
        ("nothing".into(), "quantity_not_orderable".into())
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_below_the_step_is_not_sent() {
    for (governor_qty, safe_qty, live) in [
        ("0.0", "0.0009", "0.0124"),
        ("0.0009", "0.008", "0.0124"),
        ("0.0", "0.008", "0.0004"),
    ] {
        assert_eq!(
            sized(governor_qty, safe_qty, "0.0124", live).await,
            ("nothing".into(), "quantity_not_orderable".into())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_position_is_bought_back() {
    let stage = Stage::new();
    stage
        .venue()
        .script(|script| script.position = Ok(d("-0.0124")));
    stage.answer((10, GOVERNOR), (20, &p33("0.008", "-0.0124")));
    let result = stage.play().await;
    assert!(matches!(
        stage.venue().closes().as_slice(),
        [Asked::Close {
            side: Side::Buy,
            quantity,
            ..
        }] if *quantity == d("0.008")
    ));
    assert_eq!(result.steps[0].side.as_deref(), Some("BUY"));
}

#[tokio::test(start_paused = true)]
async fn a_reviewer_who_saw_another_side_allows_nothing() {
    for (seen, live, why) in [
        ("-0.0124", "0.0124", "position_side_mismatch"),
        ("0.0124", "-0.0124", "position_side_mismatch"),
        ("0", "0.0124", "p33_permit_flat_position"),
    ] {
        assert_eq!(
            sized("0.0", "0.008", seen, live).await,
            ("nothing".into(), why.into()),
            "seen {seen}, live {live}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_flat_position_is_published_without_waiting_and_without_taking_permits() {
    let stage = Stage::new();
    stage.venue().script(|script| script.position = Ok(d("0")));
    stage.answer_yes();
    let result = stage.play().await;
    assert_eq!(stage.elapsed(), ms(0));
    assert_eq!(
        (result.decision, result.error_code().as_deref()),
        (Decision::Blocked, Some("no_position"))
    );
    tokio::time::sleep(ms(1000)).await;
    let plan = stage.plans()[0].id.clone();
    assert!(stage.permits().holds(&plan, "governor") && stage.permits().holds(&plan, "p33"));
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_position_that_turns_out_flat_after_the_grant_is_no_order() {
    let stage = Stage::new();
    stage.venue().script(|script| {
        script.position = Ok(d("0"));
        script.thinks = ms(300);
    });
    stage.answer_yes();
    let result = stage.play().await;
    assert_eq!(result.error_code().as_deref(), Some("no_position"));
    assert_eq!(stage.venue().closes(), []);
}

fn partly(executed: &str, status: &str) -> Fill {
    Fill {
        executed_qty: d(executed),
        status: status.into(),
        ..filled("0.008", Side::Sell)
    }
}

/// One plan whose submission ends like this: executed, the error, what the ledger will read.
async fn ending(
    submission: Submission,
    settlement: Option<Settlement>,
) -> (bool, String, Option<String>) {
    let stage = Stage::new();
    let asks = usize::from(settlement.is_some());
    stage.venue().script(|script| {
        script.submission = Some(submission);
        if let Some(settlement) = settlement {
            script.settlement = settlement;
        }
    });
    stage.answer_yes();
    let result = stage.play().await;
    assert_eq!(
        stage.venue().closes().len(),
        1,
        "sent once, whatever came of it"
    );
    let asked = stage
        .venue()
        .asked_for(|asked| matches!(asked, Asked::WhatBecameOf(..)));
    let plan = stage.plans()[0].id.clone();
    assert_eq!(asked, vec![Asked::WhatBecameOf(plan, trace()); asks]);
    let executed = result.steps[0].executed_qty.clone();
    assert_eq!(
        result.decision,
        match result.executed {
            true => Decision::Execute,
            false => Decision::Error,
        }
    );
    (
        result.executed,
        result.error_code().unwrap_or_default(),
        executed,
    )
}

fn outcome(executed: bool, error: &str, quantity: Option<&str>) -> (bool, String, Option<String>) {
    (executed, error.into(), quantity.map(str::to_owned))
}

#[tokio::test(start_paused = true)]
async fn an_accepted_order_is_executed_when_something_filled() {
    let whole = partly("0.008", "FILLED");
    assert_eq!(
        ending(Submission::Accepted(whole), None).await,
        outcome(true, "", Some("0.008"))
    );
    let part = partly("0.005", "EXPIRED");
    assert_eq!(
        ending(Submission::Accepted(part), None).await,
        outcome(true, "", Some("0.005"))
    );
    let none = partly("0", "EXPIRED");
    assert_eq!(
        ending(Submission::Accepted(none), None).await,
        outcome(false, "order_not_filled", None)
    );
}

#[tokio::test(start_paused = true)]
async fn an_order_that_never_stood_is_not_executed_and_not_asked_about() {
    let rejected = Submission::Rejected {
        code: -2022,
        message: "ReduceOnly Order is rejected.".into(),
    };
    assert_eq!(
        ending(rejected, None).await,
        outcome(false, "order_rejected:-2022", None)
    );
    let not_sent = Submission::NotSent {
        why: NotSent::Failed("connection refused".into()),
    };
    assert_eq!(
        ending(not_sent, None).await,
        outcome(false, "order_not_sent", None)
    );
}

#[tokio::test(start_paused = true)]
async fn an_order_of_unknown_outcome_is_asked_about_and_never_sent_again() {
    let why = || "said so".to_owned();
    for (settlement, end) in [
        (
            Settlement::Accepted(partly("0.008", "FILLED")),
            outcome(true, "", Some("0.008")),
        ),
        (
            Settlement::Accepted(partly("0.003", "CANCELED")),
            outcome(true, "", Some("0.003")),
        ),
        (
            Settlement::Accepted(partly("0", "CANCELED")),
            outcome(false, "order_not_filled", None),
        ),
        (
            Settlement::NotExecuted { why: why() },
            outcome(false, "order_not_executed", None),
        ),
        (
            Settlement::Unresolved {
                why: why(),
                seen: None,
            },
            outcome(false, "order_unresolved", None),
        ),
        (
            Settlement::Unresolved {
                why: why(),
                seen: Some(partly("0", "NEW")),
            },
            outcome(false, "order_unresolved", None),
        ),
        // What filled for certain is published.
        (
            Settlement::Unresolved {
                why: why(),
                seen: Some(partly("0.003", "DREAMING")),
            },
            outcome(true, "order_unresolved", Some("0.003")),
        ),
    ] {
        let unknown = Submission::Unknown {
            why: why(),
            trace: trace(),
        };
        assert_eq!(
            ending(unknown, Some(settlement.clone())).await,
            end,
            "{settlement:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_unresolved_order_calls_for_a_person() {
    let stage = Stage::new();
    stage.venue().script(|script| {
        script.submission = Some(Submission::Unknown {
            why: "reset after the request was written".into(),
            trace: trace(),
        });
    });
    stage.answer_yes();
    stage.play().await;
    assert_eq!(stage.log.level_of("Order of plan "), Level::Error);
    assert_eq!(stage.log.count("Order 11934538190 executed"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_profit_that_is_not_known_is_absent_and_not_zero() {
    for unknown in [Ok(None), Err(ExchangeError::Unavailable("timeout".into()))] {
        let stage = Stage::new();
        stage.venue().script(|script| script.profit = unknown);
        stage.answer_yes();
        let result = stage.play().await;
        assert!(result.executed, "the order stands without its figure");
        assert_eq!(result.profit, None);
        let fields = result.to_fields();
        assert!(fields.iter().all(|(name, _)| !name.contains("profit")));
        assert!(
            stage
                .log
                .lines()
                .iter()
                .all(|l| !l.contains("profit_realized"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_profit_is_the_executed_orders_own() {
    let stage = Stage::new();
    stage.venue().script(|script| {
        script.profit = Ok(Some(Profit {
            average_price: None,
            realized: d("0.00015000"),
            net: Some(d("0.00012")),
            commission: vec![("USDT".into(), d("0.00003"))],
        }));
    });
    stage.answer_yes();
    let result = stage.play().await;
    let asked = |asked: &Asked| matches!(asked, Asked::Profit(_));
    assert_eq!(
        stage.venue().asked_for(asked),
        [Asked::Profit("11934538190".into())]
    );
    assert_eq!(
        result.to_fields()[8..11],
        [
            ("profit_realized", "0.00015".to_owned()),
            ("profit_net", "0.00012".into()),
            ("commission", "0.00003 USDT".into()),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_fails_while_the_permits_are_awaited_ends_the_plan() {
    for (error, code) in [
        (
            ExchangeError::Unavailable("connection refused".into()),
            "venue_unavailable",
        ),
        (
            ExchangeError::Unfit("hedge mode is on".into()),
            "venue_refuses_account",
        ),
        (ExchangeError::NoCredentials, "missing_binance_credentials"),
    ] {
        let stage = Stage::new();
        stage.venue().script(|script| {
            script.position = Err(error);
            script.thinks = ms(100);
        });
        stage.answer_yes();
        let result = stage.play().await;
        assert_eq!(stage.elapsed(), ms(100));
        assert_eq!(
            (
                result.decision,
                result.executed,
                result.error_code().as_deref()
            ),
            (Decision::Error, false, Some(code))
        );
        assert_eq!(stage.venue().closes(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_fails_after_the_grant_ends_the_plan_too() {
    let stage = Stage::new();
    stage.venue().script(|script| {
        script.position = Err(ExchangeError::Unavailable("timeout".into()));
        script.thinks = ms(500);
    });
    stage.answer_yes();
    let result = stage.play().await;
    assert_eq!(result.error_code().as_deref(), Some("venue_unavailable"));
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_never_answers_holds_no_grant_beyond_the_wait() {
    let stage = Stage::new();
    stage
        .venue()
        .script(|script| script.thinks = ms(24 * 3_600_000));
    stage.answer_yes();
    let result = stage.play().await;
    assert_eq!(stage.elapsed(), ms(1350), "the wait and its grace");
    assert_eq!(
        (result.decision, result.error_code().as_deref()),
        (Decision::Blocked, Some("not_ready_in_time"))
    );
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_position_that_comes_after_the_grant_is_in_time_until_the_wait_would_have_ended() {
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(700));
    stage.answer_yes();
    assert!(stage.play().await.executed);
    assert_eq!(stage.elapsed(), ms(700));
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_during_the_wait_stops_the_order_and_leaves_the_permits() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.when_planned(0, ms(100), |permits, _| permits.halt(true));
    let result = stage.play().await;
    assert_eq!(
        (result.decision, result.error_code().as_deref()),
        (Decision::Blocked, Some("kill_switch_active"))
    );
    let plan = stage.plans()[0].id.clone();
    assert!(stage.permits().holds(&plan, "governor"));
    assert_eq!(stage.venue().closes(), []);
}

/// Permits are not taken before the intent is noted, so the switch is read after that.
#[tokio::test(start_paused = true)]
async fn permits_that_are_there_before_the_position_are_taken_with_it() {
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(700));
    stage.answer_yes();
    let permits = stage.permits().clone();
    stage.when_planned(0, ms(690), move |_, plan| {
        assert!(permits.holds(plan, "governor") && permits.holds(plan, "p33"));
    });
    let result = stage.play().await;
    assert!(result.executed);
    assert_eq!(stage.elapsed(), ms(700), "and no later");
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(700));
    stage.answer_yes();
    stage.when_planned(0, ms(400), |permits, _| permits.halt(true));
    let result = stage.play().await;
    assert_eq!(result.error_code().as_deref(), Some("kill_switch_active"));
    let plan = stage.plans()[0].id.clone();
    assert!(stage.permits().holds(&plan, "governor"), "not taken");
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_between_the_grant_and_a_late_position_stops_the_order() {
    let stage = Stage::whose_permits_anybody_takes();
    stage.venue().script(|script| script.thinks = ms(700));
    stage.answer_yes();
    let plan_store = stage.plan_store().memory.clone();
    stage.when_planned(0, ms(400), move |_, _| plan_store.halt(true));
    let result = stage.play().await;
    assert_eq!(stage.log.count("[PERMIT_WAIT] OK "), 1, "it was granted");
    assert_eq!(
        (result.decision, result.error_code().as_deref()),
        (Decision::Blocked, Some("kill_switch_active"))
    );
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn the_switch_that_was_read_with_the_permits_counts_for_ten_milliseconds() {
    // The permits are taken after 600 ms, half of the wait, and the switch turned 5 ms later.
    for (position_after, orders) in [(610, 1), (611, 0)] {
        let stage = Stage::whose_permits_anybody_takes();
        let thinks = ms(position_after);
        stage.venue().script(|script| script.thinks = thinks);
        stage.answer_yes();
        let plan_store = stage.plan_store().memory.clone();
        stage.when_planned(0, ms(605), move |_, _| plan_store.halt(true));
        stage.play().await;
        assert_eq!(stage.venue().closes().len(), orders, "{position_after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_that_cannot_be_read_before_a_late_order_is_on() {
    let stage = Stage::whose_permits_anybody_takes();
    stage.venue().script(|script| script.thinks = ms(700));
    stage.answer_yes();
    let plan_store = stage.plan_store().clone();
    stage.when_planned(0, ms(400), move |_, _| plan_store.fail("fetch_halt", 1));
    let result = stage.play().await;
    assert_eq!(result.error_code().as_deref(), Some("kill_switch_active"));
    assert!(result.steps[0].details.contains("connection reset"));
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_that_does_not_answer_holds_no_grant_beyond_the_wait() {
    let stage = Stage::whose_permits_anybody_takes();
    stage.venue().script(|script| script.thinks = ms(700));
    stage.answer_yes();
    stage.plan_store().hang("fetch_halt");
    let result = stage.play().await;
    assert_eq!(stage.elapsed(), ms(1350));
    assert_eq!(result.error_code().as_deref(), Some("not_ready_in_time"));
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn permits_that_are_there_before_the_order_is_ready_cost_one_take() {
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(30));
    stage.answer((5, GOVERNOR), (10, &p33("0.008", "0.0124")));
    let rose = tokio::time::Instant::now();
    assert!(stage.play().await.executed);
    assert_eq!(stage.venue().closed_at() - rose, ms(30));
    assert_eq!(stage.permits().takes(), 1);
    // Each reviewer's own time, though the store was asked later.
    for found in [
        "Governor permit found (wait=5ms)",
        "P3.3 permit found (wait=10ms)",
    ] {
        assert_eq!(
            stage.log.count(&format!("[PERMIT_WAIT] {found}")),
            1,
            "{found}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_waits_half_the_wait_at_most_for_an_order_that_is_not_ready() {
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(700));
    stage.answer((5, GOVERNOR), (10, P33_NO));
    let result = stage.play().await;
    assert_eq!(result.error_code().as_deref(), Some("p33_permit_denied"));
    assert_eq!(stage.elapsed(), ms(600));
}

#[tokio::test(start_paused = true)]
async fn a_permit_store_in_trouble_is_asked_again_and_grants_once() {
    let stage = Stage::new();
    stage.answer_yes();
    let trouble = StoreError::Unavailable("connection refused".into());
    stage.permits().fail_next(trouble);
    stage.when_planned(0, ms(150), |permits, _| permits.lose_next_reply());
    assert!(stage.play().await.executed);
    assert_eq!(stage.log.count("Permit store trouble"), 2);
    assert_eq!(stage.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_permit_store_that_fails_at_every_look_is_logged_once_a_plan() {
    let stage = Stage::new();
    stage.answer_yes();
    for _ in 0..200 {
        let trouble =
            StoreError::Unreadable("what lies under the receipt's key is no receipt".into());
        stage.permits().fail_next(trouble);
    }
    assert!(!stage.play().await.executed);
    assert_eq!(stage.log.count("Permit store trouble"), 1);
    let for_a_close_look = stage.log.debug_lines();
    let lines = |line: &&String| line.starts_with("Permit store trouble");
    assert!(for_a_close_look.iter().filter(lines).count() > 5);
}

#[tokio::test(start_paused = true)]
async fn a_permit_store_that_never_answers_ends_in_no() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.permits().hang_next();
    let result = stage.play().await;
    assert_eq!(stage.elapsed(), ms(1350));
    assert_eq!(
        result.error_code().as_deref(),
        Some("permit_take_unanswered")
    );
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_result_is_published_until_it_is_done_and_stands_there_once() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.plan_store().fail("finalize", 3);
    stage.plan_store().lose_answer("finalize");
    assert!(stage.play().await.executed);
    let lines = stage.log.count("Cannot publish the result for BTCUSDT");
    assert_eq!(lines, 1, "once, not once a try");
    assert_eq!(stage.log.count("Result: "), 1);
    assert_eq!(stage.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_takes_the_permits_and_never_asks_the_venue() {
    let stage = Stage::rehearsing();
    stage.answer_yes();
    let result = stage.play().await;
    assert_eq!(
        (result.decision, result.executed, result.would_execute),
        (Decision::Execute, false, true)
    );
    assert_eq!(result.error, None);
    let plan = stage.plans()[0].id.clone();
    assert!(!stage.permits().holds(&plan, "governor"));
    assert_eq!(stage.venue().asked(), []);
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_without_permits_would_not_have_executed() {
    let stage = Stage::rehearsing();
    let result = stage.play().await;
    assert_eq!(
        (
            result.executed,
            result.would_execute,
            result.error_code().as_deref()
        ),
        (false, false, Some("permit_timeout_or_missing:missing_both"))
    );
    assert_eq!(stage.venue().asked(), []);
}

/// One UPDATE_SL plan to 64000.5 whose replacement ends like this.
async fn moved_stop(replacement: Option<StopReplacement>) -> (bool, String, Vec<Asked>) {
    let stage = Stage::new();
    stage.venue().script(|script| script.stop = replacement);
    stage.answer_yes();
    stage.propose_with("UPDATE_SL", &[("new_sl_proposed", "64000.5")]);
    let result = stage.execute().await;
    assert_eq!(stage.results(), vec![result.clone()]);
    assert_eq!(stage.venue().closes(), [], "a stop move closes nothing");
    assert_eq!(result.steps[0].step, "UPDATE_SL");
    let error = result.error_code().unwrap_or_default();
    (
        result.executed,
        error,
        stage.venue().asked_for(|a| matches!(a, Asked::Stop { .. })),
    )
}

#[tokio::test(start_paused = true)]
async fn a_stop_move_ends_as_the_venue_says_and_is_tried_once() {
    let stop = || {
        vec![Asked::Stop {
            symbol: btc(),
            side: Side::Sell,
            trigger: d("64000.5"),
            quantity: d("0.008"),
        }]
    };
    assert_eq!(moved_stop(None).await, (true, String::new(), stop()));
    let why = || "said so".to_owned();
    for (replacement, error) in [
        (
            StopReplacement::Rejected {
                code: -2021,
                message: why(),
            },
            "stop_rejected:-2021",
        ),
        (
            StopReplacement::NotSent {
                why: NotSent::Failed(why()),
            },
            "stop_not_sent",
        ),
        (StopReplacement::Unknown { why: why() }, "stop_unresolved"),
    ] {
        assert_eq!(
            moved_stop(Some(replacement)).await,
            (false, error.to_owned(), stop())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_for_the_other_side_or_for_nothing_is_not_placed() {
    for (live, stop, error) in [
        ("-0.0124", "66000.5", "position_side_mismatch"),
        ("0", "64000.5", "no_position"),
    ] {
        let stage = Stage::new();
        stage.venue().script(|script| script.position = Ok(d(live)));
        stage.answer_yes();
        stage.propose_with("UPDATE_SL", &[("new_sl_proposed", stop)]);
        let result = stage.execute().await;
        assert_eq!(result.error_code().as_deref(), Some(error));
        assert_eq!(
            stage.venue().asked_for(|a| matches!(a, Asked::Stop { .. })),
            []
        );
    }
}

/// What became of an UPDATE_SL plan to this price over a position, and the quantity of the stop that was placed.
async fn stop_at(
    price: &str,
    live: &str,
    answers: (&str, &str),
    script: impl FnOnce(&mut Script),
) -> (Stage, String, Option<Decimal>) {
    let stage = Stage::new();
    stage.venue().script(|all| {
        all.position = Ok(d(live));
        script(all);
    });
    stage.answer((50, answers.0), (195, answers.1));
    stage.propose_with("UPDATE_SL", &[("new_sl_proposed", price)]);
    let result = stage.execute().await;
    let placed = stage.venue().asked_for(|a| matches!(a, Asked::Stop { .. }));
    assert_eq!(result.executed, !placed.is_empty());
    let quantity = placed.first().map(|asked| match asked {
        Asked::Stop { quantity, .. } => *quantity,
        _ => unreachable!(),
    });
    (stage, result.error_code().unwrap_or_default(), quantity)
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_over_no_more_than_the_permits_and_the_position_allow() {
    for (governor_says, p33_says, expected) in [
        (governor("0.005"), p33("0.001", "0.0124"), "0.001"),
        (governor("0.005"), p33("0.009", "0.0124"), "0.005"),
        (GOVERNOR.to_owned(), p33("0.009", "0.0124"), "0.009"),
        (GOVERNOR.to_owned(), p33("5", "0.0124"), "0.012"),
    ] {
        let (_, error, quantity) =
            stop_at("64000.5", "0.0124", (&governor_says, &p33_says), |_| {}).await;
        assert_eq!((error.as_str(), quantity), ("", Some(d(expected))));
    }
    let (_, error, quantity) = stop_at(
        "64000.5",
        "0.0124",
        (GOVERNOR, &p33("0.0004", "0.0124")),
        |_| {},
    )
    .await;
    assert_eq!(
        (error.as_str(), quantity),
        ("quantity_not_orderable", None),
        "too little for a stop is not rounded up"
    );
}

#[tokio::test(start_paused = true)]
async fn an_implausible_stop_is_refused_before_permits_are_taken_for_it() {
    let mark = |price: &'static str| {
        move |script: &mut Script| script.mark_price = (price != "none").then(|| d(price))
    };
    for (price, live, market, error) in [
        // Long: below the market, and no more than a fifth of it.
        ("64999.9", "0.0124", "65000", ""),
        ("65000", "0.0124", "65000", "stop_wrong_side_of_market"),
        ("65000.1", "0.0124", "65000", "stop_wrong_side_of_market"),
        ("52000", "0.0124", "65000", ""),
        ("51999.9", "0.0124", "65000", "stop_too_far_from_market"),
        ("10", "0.0124", "65000", "stop_too_far_from_market"),
        // Short: above it.
        ("65000.1", "-0.0124", "65000", ""),
        ("65000", "-0.0124", "65000", "stop_wrong_side_of_market"),
        ("64999.9", "-0.0124", "65000", "stop_wrong_side_of_market"),
        ("78000", "-0.0124", "65000", ""),
        ("78000.1", "-0.0124", "65000", "stop_too_far_from_market"),
        ("7e27", "-0.0124", "65000", "stop_too_far_from_market"),
        // An unknown market.
        ("64000", "0.0124", "none", "stop_without_mark_price"),
        ("64000", "0.0124", "0", "stop_without_mark_price"),
    ] {
        let what = format!("stop at {price} for {live} at {market}");
        let says = (GOVERNOR, &*p33("0.008", live));
        let (stage, details, quantity) = stop_at(price, live, says, mark(market)).await;
        assert_eq!(
            (details.as_str(), quantity.is_none()),
            (error, !error.is_empty()),
            "{what}"
        );
        let plan = &stage.plans()[0].id;
        if !error.is_empty() {
            tokio::time::sleep(ms(500)).await;
            assert!(
                stage.permits().holds(plan, "p33"),
                "{what}: its permits were taken"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn permits_of_another_plan_move_nothing() {
    let stage = Stage::new();
    stage.when_planned(0, ms(10), |permits, _| {
        let other = permit_gate::PlanId::new("67e6da21fa9fe506").unwrap();
        permits.put(&other, "governor", GOVERNOR.as_bytes());
        permits.put(&other, "p33", p33("0.008", "0.0124").as_bytes());
    });
    let result = stage.play().await;
    assert_eq!(
        result.error_code().as_deref(),
        Some("permit_timeout_or_missing:missing_both")
    );
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_emitted_between_the_permits_and_the_order_and_everything_after_it() {
    let stage = Stage::new();
    let (log, details) = (stage.log.clone(), Arc::new(Mutex::new(None)));
    let before_the_order = Arc::clone(&details);
    // Asked once everybody has agreed, just before the order.
    let cutting = StepRules::cutting(move |wanted| {
        *before_the_order.lock().unwrap() = Some(log.lines().len());
        Ok(wanted)
    });
    stage.venue().script(|script| script.rules = cutting);
    stage.answer((0, GOVERNOR), (195, &p33("0.009", "0.0124")));
    stage.play().await;
    let lines = stage.log.lines();
    let expected = [
        "Plan ",
        "[PERMIT_WAIT] Polling",
        "[PERMIT_WAIT] Governor permit found",
        "[PERMIT_WAIT] P3.3 permit found",
        "[PERMIT_WAIT] OK",
        "Executing step",
        "Order ",
        "Result: executed=True",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{lines:#?}");
    }
    assert_eq!(
        details.lock().unwrap().take(),
        Some(3),
        "up to the first permit, which came long before"
    );
}
