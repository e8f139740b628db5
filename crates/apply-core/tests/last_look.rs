//! What an order is asked between its timestamp and its signature, in virtual time.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{
    ApplyResult, Decision, Mastership, PlanLog, Reason, ServerId, Worked,
    times::{LAST_CONFIRMATION, LAST_YES},
};
use common::*;
use permit_gate::AttemptId;
use std::time::Duration;

/// When the permits are taken, which is the store's first yes.
const TAKEN: u64 = 195;

/// A plan whose order waits so long for its turn, and what becomes of it.
async fn queued(stage: &Stage, queue: Duration) -> ApplyResult {
    stage.venue().script(|script| script.queue = queue);
    stage.answer_yes();
    stage.play().await
}

/// The end of a plan without an order.
fn end(result: &ApplyResult) -> (Decision, &'static str) {
    let entry = result.error.as_ref().and_then(Reason::entry);
    (result.decision, entry.map_or("", |entry| entry.code))
}

fn after(span: Duration) -> Duration {
    span + ms(1)
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_stamped_in_time_asks_nobody() {
    let stage = Stage::new();
    assert!(queued(&stage, LAST_YES).await.executed);
    assert_eq!(stage.plan_store().asked_again(), 0);
    assert_eq!(stage.plan_store().asked_for_the_master(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_stamped_later_asks_once_more_and_leaves_on_that_word() {
    let stage = Stage::new();
    assert!(queued(&stage, after(LAST_YES)).await.executed);
    assert_eq!(stage.plan_store().asked_again(), 1);
    assert_eq!(stage.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_switch_in_the_store_counts_for_a_plan_that_waited_for_a_slot() {
    let stage = Stage::new();
    let plan_store = stage.plan_store().memory.clone();
    stage.when_planned(0, ms(TAKEN + 1), move |_, _| plan_store.halt(true));
    let result = queued(&stage, after(LAST_YES)).await;
    assert_eq!(end(&result), (Decision::Blocked, "kill_switch_active"));
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_switch_on_this_machine_counts_up_to_the_timestamp() {
    for (turned, orders) in [(TAKEN + 49, 0), (TAKEN + 51, 1)] {
        let stage = Stage::new();
        let plan_store = stage.plan_store().clone();
        stage.when_planned(0, ms(turned), move |_, _| plan_store.halt_here());
        let result = queued(&stage, ms(50)).await;
        assert_eq!(stage.venue().closes().len(), orders, "{result:?}");
        if orders == 0 {
            assert_eq!(end(&result), (Decision::Blocked, "kill_switch_active"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_another_has_taken_over_meanwhile_gets_no_order() {
    let stage = Stage::new();
    let plan_store = stage.plan_store().memory.clone();
    let thief = AttemptId::new("thief.1").unwrap();
    stage.when_planned(0, ms(TAKEN + 1), move |_, _| {
        plan_store.abandon();
        tokio::spawn(async move {
            let open = plan_store.fetch_abandoned().await.unwrap().remove(0);
            assert!(plan_store.adopt(&open, &thief).await.unwrap().is_some());
        });
    });
    stage
        .venue()
        .script(|script| script.queue = after(LAST_YES));
    stage.answer_yes();
    stage.propose("PARTIAL_75");
    let look = stage.look().await;
    assert!(
        matches!(look, Worked::Owed),
        "the thief publishes: {look:?}"
    );
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_asked_again_and_one_that_is_silent_until_the_window_ends() {
    let stage = Stage::new();
    stage.plan_store().fail("ask_again", 3);
    assert!(queued(&stage, after(LAST_YES)).await.executed);
    assert_eq!(stage.plan_store().asked_again(), 4);
    assert_eq!(stage.log.count("Cannot ask again before the order"), 1);

    let stage = Stage::new();
    stage.plan_store().hang("ask_again");
    let result = queued(&stage, after(LAST_YES)).await;
    assert_eq!(end(&result), (Decision::Blocked, "not_ready_in_time"));
    // The wait, its grace, and the second that the signing has.
    assert_eq!(stage.elapsed(), ms(1200 + 150 + 1000));
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_turn_comes_after_the_written_window_is_not_signed() {
    let stage = Stage::new();
    let result = queued(&stage, ms(2200)).await;
    assert_eq!(end(&result), (Decision::Blocked, "not_ready_in_time"));
    assert_eq!(stage.plan_store().asked_again(), 0);
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_moved_stop_is_an_order_in_this() {
    let stage = Stage::new();
    stage
        .venue()
        .script(|script| script.queue = after(LAST_YES));
    stage.answer_yes();
    let plan_store = stage.plan_store().memory.clone();
    stage.when_planned(0, ms(TAKEN + 1), move |_, _| plan_store.halt(true));
    stage.propose_with("UPDATE_SL", &[("new_sl_proposed", "64000.5")]);
    let result = stage.execute().await;
    assert_eq!(end(&result), (Decision::Blocked, "kill_switch_active"));
    assert_eq!(stage.plan_store().asked_again(), 1);
    let stops = stage.venue().asked_for(|a| matches!(a, Asked::Stop { .. }));
    assert_eq!(stops, []);
}

fn confirmed(server: u64) -> Mastership {
    Mastership::Confirmed {
        server: ServerId(server),
        asked_at: tokio::time::Instant::now().into_std(),
    }
}

fn unconfirmed() -> Mastership {
    Mastership::Unconfirmed {
        why: "two of three sentinels are silent".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_master_that_was_confirmed_long_ago_is_confirmed_anew() {
    // The confirmation is as old as the plan, which takes its permits after 195 ms.
    let limit = LAST_CONFIRMATION - ms(TAKEN);
    for (queue, asked) in [(limit, 0), (after(limit), 1)] {
        let stage = Stage::new();
        stage.plan_store().mastered(confirmed(1), confirmed(1));
        assert!(queued(&stage, queue).await.executed);
        assert_eq!(stage.plan_store().asked_for_the_master(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_a_server_that_is_not_in_charge_any_more_gets_no_order() {
    // Reported by those who keep it known, and found by asking.
    for known in [confirmed(2), unconfirmed()] {
        let stage = Stage::new();
        stage.plan_store().mastered(confirmed(1), confirmed(2));
        let plan_store = stage.plan_store().clone();
        stage.when_planned(0, ms(TAKEN + 1), move |_, _| {
            plan_store.mastered(known, confirmed(2));
        });
        let result = queued(&stage, ms(100)).await;
        assert_eq!(end(&result), (Decision::Error, "claim_lost"));
        assert_eq!(stage.venue().closes(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_master_that_nobody_confirms_gets_no_order_and_one_that_is_confirmed_late_does() {
    for (again, executed) in [(unconfirmed(), false), (confirmed(1), true)] {
        let stage = Stage::new();
        stage.plan_store().mastered(confirmed(1), confirmed(1));
        let plan_store = stage.plan_store().clone();
        stage.when_planned(0, ms(TAKEN + 1), move |_, _| {
            plan_store.mastered(unconfirmed(), unconfirmed());
        });
        let plan_store = stage.plan_store().clone();
        stage.when_planned(0, ms(1000), move |_, _| {
            plan_store.mastered(unconfirmed(), again);
        });
        let result = queued(&stage, ms(100)).await;
        assert_eq!(result.executed, executed, "{result:?}");
        if !executed {
            assert_eq!(end(&result), (Decision::Blocked, "not_ready_in_time"));
        }
    }
}
