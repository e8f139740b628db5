//! How plans end whose process did not live to see it, and what a store that forgets cannot undo.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{
    ApplyResult, Clock, Decision, Journal, Mode, OrderKind, PlanLog, PublishOutcome, Reclaim,
    RecoveryReport, ResultLog, Settlement, Side, SymbolWorker, Worked,
    event::Level,
    exchange::ExchangeError,
    recover,
    recovery::{republish, take_over},
    times::{ADOPTION_WAIT, REPUBLISHED_WITHIN},
};
use common::*;
use permit_gate::AttemptId;
use tokio::time::timeout;

/// Proposes a close and ends the process `after` so long.
async fn killed(stage: &Stage, after: u64) {
    stage.propose("PARTIAL_75");
    let looked = timeout(ms(after), stage.look()).await;
    assert!(looked.is_err(), "it was still at work");
}

fn errors(results: &[ApplyResult]) -> Vec<String> {
    let errors = results.iter().map(ApplyResult::error_code);
    errors
        .map(|error| error.unwrap_or_else(|| "none".into()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_intent_without_an_outcome_is_asked_about_and_never_sent() {
    let stage = Stage::new();
    killed(&stage, 300).await;
    let entries = stage.ports.journal.memory.entries();
    let intent = entries[0].intent.clone().unwrap();
    assert_eq!(
        (intent.order, intent.step.as_str()),
        (OrderKind::Close, "CLOSE_PARTIAL_75")
    );
    assert_eq!(intent.trace.position_before, Some(d("0.0124")));
    stage
        .venue()
        .script(|script| script.settlement = Settlement::Accepted(filled("0.008", Side::Sell)));
    let next = stage.restarted("instance-a2");
    let report = recover(&next.layer).await.unwrap();
    assert_eq!(
        report,
        RecoveryReport {
            settled: 1,
            ..RecoveryReport::default()
        }
    );
    let results = stage.results();
    assert_eq!(results.len(), 1);
    assert!(results[0].executed && results[0].is_final);
    assert_eq!(results[0].steps[0].executed_qty.as_deref(), Some("0.008"));
    let asked = stage
        .venue()
        .asked_for(|asked| matches!(asked, Asked::WhatBecameOf(..)));
    assert_eq!(asked, [Asked::WhatBecameOf(intent.plan, intent.trace)]);
    assert_eq!(stage.venue().closes(), []);
    assert!(recover(&next.layer).await.unwrap().is_empty(), "once");
}

/// Two machines, each with a journal of its own, on a store that lost its claims in between: the
/// first one's result and the second one's.
async fn ordered_on_two_machines(ours: &Stage) -> (ApplyResult, ApplyResult) {
    ours.answer_yes();
    ours.propose("PARTIAL_75");
    let first = ours.execute().await;
    let theirs = ours.sibling_after_a_loss("instance-b");
    theirs.is_clean_again().await;
    theirs.when_planned(1, ms(50), |permits, plan| {
        permits.put(plan, "governor", GOVERNOR.as_bytes());
        permits.put(plan, "p33", p33("0.008", "0.0124").as_bytes());
    });
    let second = theirs.execute().await;
    assert_eq!(second.plan, first.plan);
    let logged = theirs.log.lines();
    assert!(logged.iter().any(|line| line.ends_with("known_to=venue")));
    tokio::time::sleep(ms(1_000)).await;
    for name in ["governor", "p33"] {
        let left = theirs.permits().holds(&second.plan, name);
        assert!(left, "permits that buy nothing are not taken");
    }
    (first, second)
}

#[tokio::test(start_paused = true)]
async fn a_plan_another_machine_ordered_for_is_published_as_the_venue_knows_it_and_not_ordered_again()
 {
    let stage = Stage::new();
    stage
        .venue()
        .script(|script| script.settlement = Settlement::Accepted(filled("0.008", Side::Sell)));
    let (first, second) = ordered_on_two_machines(&stage).await;
    assert!(first.executed && second.executed);
    // What the first machine was allowed and what it left open the second one does not know.
    let facts = |result: &ApplyResult| {
        let step = &result.steps[0];
        (
            step.order_id.clone(),
            step.side.clone(),
            step.executed_qty.clone(),
        )
    };
    assert_eq!(facts(&second), facts(&first));
    assert_eq!(stage.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_of_another_machine_is_published_though_the_position_is_gone_with_it() {
    let stage = Stage::new();
    stage
        .venue()
        .script(|script| script.settlement = Settlement::Accepted(filled("0.008", Side::Sell)));
    stage.answer_yes();
    stage.propose("PARTIAL_75");
    stage.execute().await;
    stage.venue().script(|script| script.position = Ok(d("0")));
    let theirs = stage.sibling_after_a_loss("instance-b");
    theirs.is_clean_again().await;
    let result = theirs.execute().await;
    assert_eq!((result.executed, result.error), (true, None));
}

#[tokio::test(start_paused = true)]
async fn an_order_of_another_machine_that_nobody_can_account_for_is_unresolved() {
    let stage = Stage::new();
    let (first, second) = ordered_on_two_machines(&stage).await;
    assert!(first.executed);
    assert_eq!(
        (second.executed, second.error_code().as_deref()),
        (false, Some("order_unresolved"))
    );
    assert_eq!(stage.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_nobody_can_account_for_is_published_once_and_loudly() {
    let stage = Stage::new();
    killed(&stage, 300).await;
    let next = stage.restarted("instance-a2");
    let report = recover(&next.layer).await.unwrap();
    assert_eq!((report.settled, report.unresolved), (1, 1));
    assert_eq!(next.log.level_of("Order of plan "), Level::Error);
    assert_eq!(next.log.level_of("Plan "), Level::Warn, "one loud line");
    // What is learnt later makes no second result.
    stage
        .venue()
        .script(|script| script.settlement = Settlement::Accepted(filled("0.008", Side::Sell)));
    assert!(recover(&next.layer).await.unwrap().is_empty());
    assert_eq!(errors(&stage.results()), ["order_unresolved"]);
}

#[tokio::test(start_paused = true)]
async fn a_claimed_plan_that_came_to_no_order_ends_as_interrupted() {
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(5_000));
    killed(&stage, 300).await;
    stage.plan_store().memory.abandon();
    let other = stage.sibling("instance-b");
    let report = take_over(&other.layer).await.unwrap();
    assert_eq!(report.interrupted, 1);
    assert_eq!(errors(&stage.results()), ["interrupted_before_order"]);
    assert_eq!(stage.results()[0].decision, Decision::Error);
    let asked = stage.venue().asked();
    let plan = stage.plans()[0].id.clone();
    let expected = [Asked::Position(btc(), plan.clone()), Asked::LookedFor(plan)];
    assert_eq!(asked, expected, "the note may have been lost with an order");
    assert!(take_over(&other.layer).await.unwrap().is_empty());
}

/// What a failover loses that missed the note: the order is out, the store shows no intent.
#[tokio::test(start_paused = true)]
async fn an_order_whose_note_was_lost_is_found_by_the_instance_that_takes_the_plan_over() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.plan_store().fail("finalize", 1_000);
    killed(&stage, 2_000).await;
    assert_eq!(stage.venue().closes().len(), 1);
    stage.plan_store().memory.forget_notes();
    stage.plan_store().memory.abandon();
    stage
        .venue()
        .script(|script| script.settlement = Settlement::Accepted(filled("0.008", Side::Sell)));
    let other = stage.sibling("instance-b");
    take_over(&other.layer).await.unwrap();
    let results = stage.results();
    assert_eq!((results.len(), results[0].executed), (1, true));
}

/// The former owner may have sent just before: its order may land for a while.
#[tokio::test(start_paused = true)]
async fn a_plan_that_is_taken_over_is_asked_about_once_nothing_can_land_any_more() {
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(5_000));
    killed(&stage, 300).await;
    stage.plan_store().memory.abandon();
    let (other, adopted) = (stage.sibling("instance-b"), stage.elapsed());
    take_over(&other.layer).await.unwrap();
    assert_eq!(stage.elapsed(), adopted + ADOPTION_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_silent_venue_means_no_final_word() {
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(5_000));
    killed(&stage, 300).await;
    stage.plan_store().memory.abandon();
    let away = || ExchangeError::Unavailable("away".into());
    stage.venue().script(|script| script.position = Err(away()));
    let other = stage.sibling("instance-b");
    let taking_over = take_over(&other.layer);
    assert!(timeout(ms(60_000), taking_over).await.is_err());
    assert_eq!(stage.results(), []);
    assert_eq!(
        other.log.count("Cannot ask the venue about an open plan"),
        2
    );
    // Its end is not lost with that: the plan is found again.
    stage
        .venue()
        .script(|script| script.position = Ok(d("0.0124")));
    assert_eq!(take_over(&other.layer).await.unwrap().interrupted, 1);
}

#[tokio::test(start_paused = true)]
async fn of_several_instances_one_takes_a_plan_over() {
    let stage = Stage::new();
    killed(&stage, 300).await;
    stage.plan_store().memory.abandon();
    let others = ["b", "c", "d"].map(|name| stage.sibling(name));
    let (b, c, d) = tokio::join!(
        take_over(&others[0].layer),
        take_over(&others[1].layer),
        take_over(&others[2].layer),
    );
    let settled: usize = [b, c, d].map(|report| report.unwrap().settled).iter().sum();
    assert_eq!((settled, stage.results().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_wakes_up_after_its_plan_was_taken_over_places_nothing() {
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(700));
    stage.answer_yes();
    let other = stage.sibling("instance-b");
    stage.propose("PARTIAL_75");
    let taken_over = async {
        tokio::time::sleep(ms(300)).await;
        stage.plan_store().memory.abandon();
        take_over(&other.layer).await.unwrap()
    };
    let ((), report) = tokio::join!(stage.owe_and_settle(), taken_over);
    assert_eq!(report.interrupted, 1);
    assert_eq!(stage.venue().closes(), []);
    assert_eq!(errors(&stage.results()), ["interrupted_before_order"]);
    assert_eq!(stage.log.count("Result published by another instance"), 1);
    assert_eq!(
        stage.log.count("Result: "),
        0,
        "what was not written is not published"
    );
    let entries = stage.ports.journal.memory.entries();
    assert!(entries[0].published_by_another && entries[0].published_at.is_some());
}

/// The store forgets everything while a plan waits. Its permits are gone with it, and come once more after
/// another instance has claimed the plan: the loser has no say in how it ends.
#[tokio::test(start_paused = true)]
async fn the_loser_of_a_plan_that_was_claimed_twice_does_not_end_it() {
    // It waits for an answer of the store until after another one may claim the plan.
    let loser = Stage::with(Mode::Testnet, |settings| settings.wait.wait = ms(6_000));
    let plan_store = loser.plan_store().memory.clone();
    loser.when_planned(0, ms(250), |permits, _| permits.hang_next());
    loser.when_planned(0, ms(310), move |_, _| plan_store.forget());
    let winner = loser.sibling("instance-b");
    winner.when_planned(1, ms(50), |permits, plan| {
        permits.put(plan, "governor", GOVERNOR.as_bytes());
        permits.put(plan, "p33", p33("0.008", "0.0124").as_bytes());
    });
    loser.propose("PARTIAL_75");
    let winning = async {
        tokio::time::sleep(ms(400)).await;
        winner.is_clean_again().await;
        winner.execute().await
    };
    let (lost, won) = tokio::join!(loser.look(), winning);
    assert!(matches!(lost, Worked::PublishedByAnother), "{lost:?}");
    assert!(won.executed);
    assert_eq!(loser.results(), [won]);
    assert_eq!(loser.venue().closes().len(), 1);
}

/// No other attempt has the plan: the one that lost it ends it, once the venue has said that nothing of it is there.
#[tokio::test(start_paused = true)]
async fn a_plan_that_nobody_claims_again_is_ended_by_the_instance_that_lost_it() {
    let stage = Stage::new();
    let plan_store = stage.plan_store().memory.clone();
    stage.when_planned(0, ms(300), move |_, _| plan_store.forget());
    stage.propose("PARTIAL_75");
    let forgot = stage.elapsed() + ms(300);
    stage.owe_and_settle().await;
    assert_eq!(errors(&stage.results()), ["claim_lost"]);
    assert!(
        stage.elapsed() >= forgot + ms(3_000),
        "{:?}",
        stage.elapsed()
    );
    let plan = stage.plans()[0].id.clone();
    let asked = stage.venue().asked();
    assert_eq!(asked.last(), Some(&Asked::LookedFor(plan)));
}

/// Who held the plan before may have had a yes a moment ago.
#[tokio::test(start_paused = true)]
async fn a_plan_that_is_taken_in_hand_to_be_ended_is_asked_about_once_nothing_can_land_any_more() {
    let stage = Stage::new();
    let plan_store = stage.plan_store().memory.clone();
    stage.when_planned(0, ms(300), move |_, _| plan_store.lose_holders());
    stage.propose("PARTIAL_75");
    let lost = stage.elapsed() + ms(300);
    stage.owe_and_settle().await;
    assert_eq!(errors(&stage.results()), ["claim_lost"]);
    let asked = stage.elapsed();
    assert!(asked >= lost + ADOPTION_WAIT, "{asked:?}");
}

/// An order that left before the store forgot is published as what it is, by its sender, whatever stands
/// on the stream.
#[tokio::test(start_paused = true)]
async fn an_execution_takes_the_place_of_a_word_that_nothing_was_executed() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.propose("PARTIAL_75");
    let plan_store = stage.plan_store().memory.clone();
    let symbol = btc();
    // Somebody who does not keep to the rules.
    stage.when_planned(0, ms(300), move |_, plan| {
        plan_store.forget();
        let plan = plan.clone();
        tokio::spawn(async move {
            let attempt = AttemptId::new("stranger.1").unwrap();
            let ttl = ms(60_000);
            let held = plan_store.reclaim(&plan, &symbol, "CLOSE_PARTIAL_75", &attempt, ttl);
            let Reclaim::Held(hold) = held.await.unwrap() else {
                panic!("the plan has no holder");
            };
            let word = ApplyResult::nothing_happened(
                &plan,
                &symbol,
                Decision::Error,
                Some("interrupted_before_order".into()),
                0,
            );
            let outcome = plan_store.finalize(&word, &hold.publisher()).await.unwrap();
            assert_eq!(outcome, PublishOutcome::Published);
        });
    });
    // The order is filled by then, and its result not published yet.
    stage.plan_store().fail("finalize", 1);
    let result = stage.execute().await;
    assert!(result.executed);
    let executed: Vec<bool> = stage
        .results()
        .iter()
        .map(|executed| executed.executed)
        .collect();
    assert_eq!(executed, [false, true]);
    assert_eq!(stage.log.count("Result corrected"), 1);
    assert_eq!(stage.log.level_of("Result corrected"), Level::Error);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_was_not_published_is_published_by_the_next_process() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.plan_store().fail("finalize", 1_000);
    killed(&stage, 2_000).await;
    assert_eq!(
        (stage.venue().closes().len(), stage.results().len()),
        (1, 0)
    );
    let next = stage.restarted("instance-a2");
    let recovering = tokio::spawn({
        let layer = next.layer.clone();
        async move { recover(&layer).await.unwrap() }
    });
    let report = recovering.await.unwrap();
    assert_eq!(report.republished, 1);
    assert!(stage.results()[0].executed);
    assert_eq!(stage.venue().closes().len(), 1);
}

/// How often the log says that a result was published again.
fn published_again(stage: &Stage) -> usize {
    let lines = stage.log.lines();
    let again = |line: &&String| line.contains("recovered (found=lost");
    lines.iter().filter(again).count()
}

#[tokio::test(start_paused = true)]
async fn a_result_that_the_store_has_lost_is_published_again_once() {
    let stage = Stage::new();
    stage.answer_yes();
    let published = stage.play().await;
    assert!(published.executed);
    let now = stage.ports.clock.unix_seconds();
    let again = async || {
        republish(&stage.layer, Some(now)).await.unwrap();
        stage.settles().await;
    };
    again().await;
    assert_eq!(stage.results().len(), 1, "it stands");
    assert_eq!(published_again(&stage), 0, "and nothing is said of it");
    stage.plan_store().memory.forget();
    again().await;
    again().await;
    assert_eq!(stage.results(), [published.clone(), published]);
    assert_eq!(published_again(&stage), 1);
    assert_eq!(stage.log.count("Result:"), 1, "it is no new result");
    assert_eq!(stage.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_word_that_nothing_was_executed_is_published_again_after_a_look_at_the_venue() {
    let stage = Stage::new();
    let published = stage.play().await;
    assert!(!published.executed);
    stage.plan_store().memory.forget();
    let forgot = stage.elapsed();
    republish(&stage.layer, None).await.unwrap();
    stage.settles().await;
    assert!(stage.elapsed() >= forgot + ADOPTION_WAIT);
    let asked = stage.venue().asked();
    assert_eq!(
        asked.last(),
        Some(&Asked::LookedFor(published.plan.clone()))
    );
    assert_eq!(stage.results(), [published.clone(), published]);
    assert_eq!(
        (published_again(&stage), stage.log.count("Result:")),
        (1, 1)
    );
}

/// Another machine was handed the plan by a store that had forgotten the word, and executed it.
#[tokio::test(start_paused = true)]
async fn a_lost_word_that_nothing_was_executed_is_not_published_again_once_it_is_untrue() {
    let stage = Stage::new();
    let published = stage.play().await;
    assert!(!published.executed);
    stage
        .venue()
        .script(|script| script.settlement = Settlement::Accepted(filled("0.008", Side::Sell)));
    let theirs = stage.sibling_after_a_loss("instance-b");
    theirs.is_clean_again().await;
    theirs.when_planned(1, ms(50), |permits, plan| {
        permits.put(plan, "governor", GOVERNOR.as_bytes());
        permits.put(plan, "p33", p33("0.008", "0.0124").as_bytes());
    });
    assert!(theirs.execute().await.executed);
    // It stands: this machine's word is neither published nor missed.
    republish(&stage.layer, None).await.unwrap();
    stage.settles().await;
    assert_eq!(stage.results().len(), 2);
    // Both words are lost.
    stage.plan_store().memory.forget();
    republish(&stage.layer, None).await.unwrap();
    stage.settles().await;
    let executed: Vec<bool> = stage
        .results()
        .iter()
        .map(|published| published.executed)
        .collect();
    assert_eq!(executed, [false, true, true]);
    assert_eq!(
        (published_again(&stage), stage.log.count("Result:")),
        (0, 2)
    );
}

/// What was published long before is known to those who read results.
#[tokio::test(start_paused = true)]
async fn what_was_published_long_before_the_store_forgot_is_not_published_again() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.play().await;
    stage.plan_store().memory.forget();
    let published_at = stage.ports.clock.unix_seconds();
    let later = published_at + REPUBLISHED_WITHIN.as_secs() + 1;
    republish(&stage.layer, Some(later)).await.unwrap();
    assert_eq!((stage.layer.owed(), stage.results().len()), (0, 1));
    // The store may have let go of what it knew by then, also where the last result is as old.
    tokio::time::sleep(stage.layer.settings().dedupe_ttl / 2 + REPUBLISHED_WITHIN).await;
    republish(&stage.layer, None).await.unwrap();
    assert_eq!((stage.layer.owed(), stage.results().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_everything_gets_no_second_order() {
    let stage = Stage::new();
    stage.answer_yes();
    let first = stage.play().await;
    stage.plan_store().memory.forget();
    let next = stage.restarted("instance-a2");
    next.is_clean_again().await;
    let plan = stage.plans()[0].id.clone();
    stage.permits().put(&plan, "governor", GOVERNOR.as_bytes());
    stage
        .permits()
        .put(&plan, "p33", p33("0.008", "0.0124").as_bytes());
    let again = next.execute().await;
    assert_eq!(again, first, "the result that was written down");
    assert_eq!(stage.venue().closes().len(), 1, "one order a plan");
    assert_eq!(
        next.log
            .level_of(&format!("Plan {plan} was handled before")),
        Level::Error
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_the_claim_during_the_wait_gets_no_order() {
    let stage = Stage::new();
    stage.venue().script(|script| script.thinks = ms(150));
    stage.answer_yes();
    let plan_store = stage.plan_store().memory.clone();
    stage.when_planned(0, ms(100), move |_, _| plan_store.forget());
    stage.propose("PARTIAL_75");
    stage.owe_and_settle().await;
    assert_eq!(errors(&stage.results()), ["claim_lost"]);
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_there_is_no_order() {
    let stage = Stage::new();
    stage.ports.journal.faults.fail("record_intent", 1);
    stage.answer_yes();
    let result = stage.play().await;
    assert_eq!(result.error_code().as_deref(), Some("journal_unavailable"));
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn without_knowing_what_was_dealt_with_nothing_is_claimed_and_nothing_said() {
    for halted in [false, true] {
        let stage = Stage::new();
        stage.plan_store().memory.halt(halted);
        stage.ports.journal.faults.fail("look_up", 1);
        stage.answer_yes();
        stage.propose("PARTIAL_75");
        let mut worker = SymbolWorker::new(btc());
        assert!(worker.look(&stage.layer).await.is_err());
        assert_eq!((stage.plans(), stage.results()), (vec![], vec![]));
        // The disk is well again, and the proposal is still a new one.
        worker.look(&stage.layer).await.unwrap();
        assert_eq!(stage.results().len(), 1);
        assert_eq!(stage.results()[0].executed, !halted);
    }
}

/// A plan that was dealt with, in a process that is gone, and its claim and marks outlived.
async fn outlived(answer: impl FnOnce(&Stage)) -> (Stage, Stage, ApplyResult) {
    let stage = Stage::new();
    answer(&stage);
    let first = stage.play().await;
    tokio::time::sleep(ms(6 * 3_600_000)).await;
    stage.plan_store().memory.forget();
    let next = stage.restarted("instance-a2");
    (stage, next, first)
}

#[tokio::test(start_paused = true)]
async fn a_quiet_proposal_has_one_result_for_as_long_as_the_journal_knows_it() {
    for executed in [true, false] {
        let (stage, next, first) = outlived(|stage| {
            if executed {
                stage.answer_yes();
            }
        })
        .await;
        assert_eq!(first.executed, executed);
        let mut worker = SymbolWorker::new(btc());
        let looked = |worked| matches!(worked, Ok(Worked::Declined));
        assert!(looked(worker.look(&next.layer).await));
        // The switch turned on and off again makes it a new one, and still there is nothing to say.
        for on in [true, false] {
            next.plan_store().memory.halt(on);
            assert!(looked(worker.look(&next.layer).await));
        }
        assert_eq!(stage.plans().len(), 1, "no reviewer is asked a second time");
        assert_eq!(
            stage.results(),
            [first],
            "and nothing is published a second time"
        );
        assert_eq!(
            stage.venue().closes().len(),
            usize::from(executed),
            "one order at most"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_proposal_of_a_quiet_symbol_is_followed_as_ever() {
    let (stage, next, _) = outlived(|stage| stage.answer_yes()).await;
    next.look().await;
    next.propose_with("PARTIAL_50", &[("computed_at_utc", "2026-01-25T07:00:00Z")]);
    next.is_clean_again().await;
    next.look().await;
    assert_eq!(stage.plans().len(), 2);
    assert_eq!(stage.results().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_never_answers_costs_the_order_and_not_the_deadline() {
    let stage = Stage::new();
    stage.ports.journal.faults.hang("record_intent");
    stage.answer_yes();
    let result = stage.play().await;
    assert_eq!(result.error_code().as_deref(), Some("not_ready_in_time"));
    assert_eq!(stage.venue().closes(), []);
    assert!(stage.elapsed() < ms(1_500), "{:?}", stage.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_written_down_is_published_all_the_same_and_found_again() {
    let stage = Stage::new();
    stage.ports.journal.faults.fail("record_result", 1);
    stage.answer_yes();
    let result = stage.play().await;
    assert!(result.executed);
    // Its entry has no result, so the next process asks; the world has heard already.
    stage
        .venue()
        .script(|script| script.settlement = Settlement::Accepted(filled("0.008", Side::Sell)));
    let next = stage.restarted("instance-a2");
    assert_eq!(
        recover(&next.layer).await.unwrap().settled,
        0,
        "it was noted as published"
    );
    assert_eq!(stage.results(), [result]);
}

#[tokio::test(start_paused = true)]
async fn an_intent_is_noted_again_where_the_answer_was_lost() {
    let stage = Stage::new();
    stage.plan_store().lose_answer("note_intent");
    stage.answer_yes();
    assert!(stage.play().await.executed);
    assert_eq!(stage.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_leaves_alone_what_it_may_not_ask_about() {
    let stage = Stage::new();
    killed(&stage, 300).await;
    stage.plan_store().memory.abandon();
    let rehearsal = stage.restarted_as("instance-a2", Mode::DryRun);
    assert_eq!(recover(&rehearsal.layer).await.unwrap().left, 1);
    assert_eq!(take_over(&rehearsal.layer).await.unwrap().left, 1);
    assert_eq!(stage.results(), []);
    let unfinished = stage.ports.journal.fetch_unfinished().await.unwrap();
    assert_eq!(unfinished.len(), 1, "left for a process that may");
}

#[tokio::test(start_paused = true)]
async fn a_switch_on_this_machine_counts_up_to_the_last_moment() {
    let stage = Stage::new();
    stage.answer_yes();
    let plan_store = stage.plan_store().clone();
    // After the proposal was looked at, and the store's own switch stays off.
    stage.when_planned(0, ms(190), move |_, _| plan_store.halt_here());
    let result = stage.play().await;
    assert_eq!(result.error_code().as_deref(), Some("kill_switch_active"));
    assert_eq!(stage.venue().closes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_open_intents_are_asked_about_side_by_side() {
    let stage = Stage::new();
    killed(&stage, 300).await;
    let pattern = stage.ports.journal.memory.entries()[0]
        .intent
        .clone()
        .unwrap();
    for n in 1..1_000 {
        let mut intent = pattern.clone();
        intent.plan = format!("{n:016x}").parse().unwrap();
        stage.ports.journal.record_intent(&intent).await.unwrap();
    }
    stage
        .venue()
        .script(|script| script.settlement = Settlement::Accepted(filled("0.008", Side::Sell)));
    let next = stage.restarted("instance-a2");
    assert_eq!(recover(&next.layer).await.unwrap().settled, 1_000);
    assert_eq!(stage.results().len(), 1_000);
    assert_eq!(
        stage
            .venue()
            .asked_for(|asked| matches!(asked, Asked::Profit(_))),
        [],
        "the allowance is kept for the orders"
    );
}

#[tokio::test(start_paused = true)]
async fn results_that_are_only_published_again_cost_no_plan_its_profit() {
    let stage = Stage::new();
    stage.answer_yes();
    stage.propose("PARTIAL_75");
    let done = stage.execute().await;
    let stage = Stage::new();
    killed(&stage, 300).await;
    for n in 1..=100 {
        let mut result = done.clone();
        result.plan = format!("{n:016x}").parse().unwrap();
        let journal = &stage.ports.journal;
        journal.record_result(&result, None).await.unwrap();
    }
    stage
        .venue()
        .script(|script| script.settlement = Settlement::Accepted(filled("0.008", Side::Sell)));
    let next = stage.restarted("instance-a2");
    let report = recover(&next.layer).await.unwrap();
    assert_eq!((report.republished, report.settled), (100, 1));
    let asked = stage
        .venue()
        .asked_for(|asked| matches!(asked, Asked::Profit(_)));
    assert_eq!(asked.len(), 1, "one order became known");
}
