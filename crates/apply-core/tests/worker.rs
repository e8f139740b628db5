//! One symbol's worker: what it deals with, how often, and what it leaves alone.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{
    ApplyResult, Debounced, Decision, InFlightLimit, Mode, PortError, ProposalSource, ResultLog,
    SymbolWorker, Worked, memory::MemoryPlanStore,
};
use common::*;
use permit_gate::{AttemptId, FoundBy};
use std::num::NonZeroUsize;

/// Every plan so far gets both permits at once, as a generous reviewer would write them again and
/// again.
fn permit_everything(stage: &Stage) {
    for plan in stage.plans() {
        stage
            .permits()
            .put(&plan.id, "governor", GOVERNOR.as_bytes());
        stage
            .permits()
            .put(&plan.id, "p33", p33("0.008", "0.0124").as_bytes());
    }
}

fn decisions(stage: &Stage) -> Vec<(Decision, String)> {
    let plans = stage.plans();
    plans
        .iter()
        .map(|plan| (plan.decision, plan.reason_codes()))
        .collect()
}

fn ends(stage: &Stage) -> Vec<(Decision, bool, String)> {
    let results = stage.results().into_iter();
    results
        .map(|r| (r.decision, r.executed, r.error_code().unwrap_or_default()))
        .collect()
}

fn blocked_by_switch() -> (Decision, bool, String) {
    (Decision::Blocked, false, "kill_switch_active".into())
}

fn executed() -> (Decision, bool, String) {
    (Decision::Execute, true, String::new())
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_proposal_is_dealt_with_once() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    assert!(matches!(
        worker.look(&stage.layer).await,
        Ok(Worked::Nothing)
    ));
    stage.answer_yes();
    stage.propose("PARTIAL_75");
    assert!(matches!(
        worker.look(&stage.layer).await,
        Ok(Worked::Finished(_))
    ));
    for _ in 0..5 {
        permit_everything(&stage);
        assert!(matches!(
            worker.look(&stage.layer).await,
            Ok(Worked::Nothing)
        ));
    }
    assert_eq!(stage.plans().len(), 1);
    assert_eq!(ends(&stage), [executed()]);
    assert_eq!(stage.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_proposal_that_comes_back_is_not_executed_a_second_time() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    stage.answer_yes();
    stage.propose("PARTIAL_75");
    worker.look(&stage.layer).await.unwrap();
    // The same plan again: after another proposal, and with a field that is no part of its id.
    for (action, more) in [
        ("HOLD", [("R_net", "1.0")]),
        ("PARTIAL_75", [("R_net", "1.0")]),
        ("PARTIAL_75", [("R_net", "1.5")]),
    ] {
        permit_everything(&stage);
        stage.propose_with(action, &more);
        let worked = worker.look(&stage.layer).await;
        assert!(matches!(worked, Ok(Worked::Declined)), "{worked:?}");
    }
    assert_eq!(stage.venue().closes().len(), 1, "one order a plan");
    assert_eq!(stage.log.count("Plan "), 4, "{:?}", stage.log.lines());
    let skipped = format!("Plan {} skipped (decision=SKIP", stage.plans()[0].id);
    assert_eq!(stage.log.count(&skipped), 2);
    assert_eq!(
        ends(&stage),
        [executed(), (Decision::Skip, false, "action_hold".into())]
    );
}

#[tokio::test(start_paused = true)]
async fn an_instances_name_may_be_as_long_as_ids_go() {
    let name = |last: char| format!("{}{last}", "x".repeat(63));
    let one = Stage::with(Mode::Testnet, |settings| {
        settings.attempt = AttemptId::new(&name('1')).unwrap();
    });
    let two = one.sibling(&name('2'));
    one.answer_yes();
    one.propose("PARTIAL_75");
    let (first, second) = tokio::join!(one.look(), two.look());
    assert!(matches!(first, Worked::Finished(_)));
    assert!(matches!(second, Worked::Declined));
    one.propose("FULL_CLOSE_PROPOSED");
    one.look().await;
    one.propose("PARTIAL_75");
    permit_everything(&one);
    assert!(matches!(one.look().await, Worked::Declined));
    assert_eq!(one.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_plan_claimed_elsewhere_is_a_duplicate_without_a_result_of_its_own() {
    let ours = Stage::new();
    let theirs = ours.sibling("instance-b");
    ours.answer_yes();
    ours.propose("PARTIAL_75");
    assert!(matches!(theirs.look().await, Worked::Finished(_)));
    permit_everything(&ours);
    assert!(matches!(ours.look().await, Worked::Declined));
    let plan = ours.plans()[0].id.clone();
    assert_eq!(
        ours.log.lines(),
        [format!(
            "Plan {plan} skipped (decision=SKIP, symbol=BTCUSDT) reason=duplicate_plan"
        )]
    );
    assert_eq!(ends(&ours), [executed()], "the claimant's alone");
    assert_eq!(ours.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_many_instances_on_one_plan_store_one_trades() {
    let first = Stage::new();
    let names = ["b", "c", "d", "e", "f"];
    let others: Vec<Stage> = names.iter().map(|name| first.sibling(name)).collect();
    first.answer_yes();
    first.propose("PARTIAL_75");
    let looks = others.iter().chain([&first]).map(Stage::look);
    let worked = futures_util::future::join_all(looks).await;
    let carried = |worked: &&Worked| matches!(worked, Worked::Finished(_));
    assert_eq!(worked.iter().filter(carried).count(), 1);
    assert_eq!((first.plans().len(), ends(&first)), (1, vec![executed()]));
    assert_eq!(first.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_blocks_a_plan_once_and_gone_it_lets_the_same_plan_execute() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    stage.plan_store().memory.halt(true);
    stage.propose("PARTIAL_75");
    for _ in 0..3 {
        worker.look(&stage.layer).await.unwrap();
    }
    stage.look().await; // a restart sees it with fresh eyes
    assert_eq!(
        decisions(&stage),
        [(Decision::Blocked, "kill_switch_active".into())]
    );
    assert_eq!(ends(&stage), [blocked_by_switch()]);

    stage.plan_store().memory.halt(false);
    stage.when_planned(1, ms(50), |permits, plan| {
        permits.put(plan, "governor", GOVERNOR.as_bytes());
        permits.put(plan, "p33", p33("0.008", "0.0124").as_bytes());
    });
    assert!(matches!(
        worker.look(&stage.layer).await,
        Ok(Worked::Finished(_))
    ));
    assert_eq!(stage.plans()[0].id, stage.plans()[1].id);
    assert_eq!(ends(&stage), [blocked_by_switch(), executed()]);
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_says_nothing_more_about_a_plan_that_is_done() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    stage.answer_yes();
    stage.propose("PARTIAL_75");
    worker.look(&stage.layer).await.unwrap();
    let lines_before = stage.log.lines().len();
    stage.plan_store().memory.halt(true);
    assert!(matches!(
        worker.look(&stage.layer).await,
        Ok(Worked::Declined)
    ));
    assert_eq!(stage.plans().len(), 1);
    assert_eq!(ends(&stage), [executed()]);
    assert_eq!(stage.log.lines().len(), lines_before, "and the log neither");
}

#[tokio::test(start_paused = true)]
async fn a_proposal_older_than_is_allowed_is_refused_and_a_fresh_one_followed() {
    // The stage's clock begins at 2026-01-25T00:30:08Z.
    for (computed, updated, follows) in [
        ("2026-01-25T00:20:08Z", "", true),
        ("2026-01-25T00:20:07Z", "", false),
        ("2026-01-25T00:20:07Z", "1769301008", false),
        ("2026-01-25T00:31:08Z", "", false),
        ("2026-01-25T00:30:13Z", "", true),
        ("", "1769300408", true),
        ("", "1769300407", false),
        ("", "", false),
        ("at noon", "1769301008", false),
    ] {
        let stage = Stage::followed_for(Some(ms(600_000)));
        stage.answer_yes();
        let times = [
            ("computed_at_utc", computed),
            ("last_update_epoch", updated),
        ];
        stage.propose_with("PARTIAL_75", &times);
        let mut worker = SymbolWorker::new(btc());
        worker.look(&stage.layer).await.unwrap();
        let what = format!("computed {computed:?}, updated {updated:?}");
        assert_eq!(stage.venue().closes().len(), usize::from(follows), "{what}");
        assert_eq!(stage.plans().len(), usize::from(follows), "{what}");
        let refused = |stage: &Stage| {
            let lines = stage.log.lines();
            lines
                .iter()
                .filter(|line| line.starts_with("Proposal refused"))
                .count()
        };
        assert_eq!(refused(&stage), usize::from(!follows), "{what}");
        // Once a proposal.
        worker.look(&stage.layer).await.unwrap();
        assert_eq!(refused(&stage), usize::from(!follows), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_setting_a_proposal_of_any_age_is_followed() {
    for computed in ["1999-12-31T23:59:59Z", "2030-01-01T00:00:00Z", "once", ""] {
        let stage = Stage::new();
        stage.answer_yes();
        stage.propose_with("PARTIAL_75", &[("computed_at_utc", computed)]);
        stage.look().await;
        assert_eq!(stage.venue().closes().len(), 1, "{computed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_not_execute_is_decided_as_ever_however_old() {
    let stage = Stage::followed_for(Some(ms(600_000)));
    stage.propose_with("HOLD", &[("computed_at_utc", "1999-12-31T23:59:59Z")]);
    stage.look().await;
    assert_eq!(decisions(&stage), [(Decision::Skip, "action_hold".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_proposal_that_is_written_again_without_a_word_of_its_age_is_young_again() {
    let stage = Stage::followed_for(Some(ms(600_000)));
    let mut worker = SymbolWorker::new(btc());
    stage.answer_yes();
    for (updated, plans) in [("1769300000", 0), ("1769301000", 1)] {
        let times = [("computed_at_utc", ""), ("last_update_epoch", updated)];
        stage.propose_with("PARTIAL_75", &times);
        worker.look(&stage.layer).await.unwrap();
        assert_eq!(stage.plans().len(), plans, "{updated}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_another_instance_carries_out_ends_in_that_instances_result() {
    let ours = Stage::new();
    let theirs = ours.sibling("instance-b");
    ours.answer_yes();
    ours.propose("PARTIAL_75");
    let halt_meanwhile = async {
        tokio::time::sleep(ms(100)).await;
        // The switch that guards the permits follows a little later, as two reads do.
        ours.plan_store().memory.halt(true);
        ours.look().await
    };
    let (carried, looked) = tokio::join!(theirs.look(), halt_meanwhile);
    assert!(matches!(carried, Worked::Finished(_)));
    assert!(matches!(looked, Worked::Declined));
    assert_eq!(ends(&ours), [executed()]);
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_the_final_result_of_a_plan() {
    let stage = Stage::new();
    stage.answer_yes();
    let result = stage.play().await;
    let late = ApplyResult::not_executed(
        &stage.plans()[0],
        Decision::Blocked,
        Some("kill_switch_active".into()),
        EPOCH,
    );
    stage.plan_store().publish(&late).await.unwrap();
    stage.plan_store().publish(&result).await.unwrap();
    assert_eq!(ends(&stage), [executed()]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_hold_is_on_the_plan_stream_each_time_and_in_the_results_once() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    let hold = (Decision::Skip, false, "action_hold".to_owned());
    for second in ["08", "13", "18"] {
        let at = format!("2026-01-25T00:30:{second}Z");
        stage.propose_with("HOLD", &[("computed_at_utc", &at)]);
        worker.look(&stage.layer).await.unwrap();
    }
    assert_eq!(stage.plans().len(), 3);
    assert_eq!(ends(&stage), std::slice::from_ref(&hold));

    stage.propose("UPDATE_SL"); // without a stop: an error is logged, and so is the hold after it
    worker.look(&stage.layer).await.unwrap();
    stage.propose_with("HOLD", &[("computed_at_utc", "2026-01-25T00:30:23Z")]);
    worker.look(&stage.layer).await.unwrap();
    let error = (Decision::Error, false, "missing_new_sl".to_owned());
    assert_eq!(ends(&stage), [hold.clone(), error, hold]);
}

#[tokio::test(start_paused = true)]
async fn every_blocked_plan_has_a_result() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    for score in ["0.85", "0.9"] {
        stage.propose_with("PARTIAL_75", &[("kill_score", score)]);
        worker.look(&stage.layer).await.unwrap();
    }
    let blocked = (Decision::Blocked, false, "kill_score_critical".to_owned());
    assert_eq!(ends(&stage), [blocked.clone(), blocked]);
    assert_eq!(stage.venue().asked(), []);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_proposal_is_refused_aloud_and_the_next_one_followed() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    for (field, value, code) in [
        ("kill_score", "nan", "proposal_not_a_number"),
        ("kill_score", "", "proposal_field_missing"),
        ("kill_score", "-0.5", "proposal_negative_score"),
        ("harvest_action", "", "proposal_field_missing"),
        ("new_sl_proposed", "soon", "proposal_not_a_number"),
    ] {
        stage.propose_with("PARTIAL_75", &[(field, value)]);
        for _ in 0..2 {
            worker.look(&stage.layer).await.unwrap();
        }
        let lines = stage.log.lines();
        let last = lines.last().unwrap();
        assert!(
            last.starts_with("Proposal refused: ")
                && last.contains(field)
                && last.ends_with(&format!(" reason={code}")),
            "{last}"
        );
    }
    assert_eq!(stage.log.count("Proposal refused: "), 5, "once a rewrite");
    assert!(stage.plans().is_empty() && stage.results().is_empty());

    stage.answer_yes();
    stage.propose("PARTIAL_75");
    worker.look(&stage.layer).await.unwrap();
    assert_eq!(ends(&stage), [executed()]);
}

#[tokio::test(start_paused = true)]
async fn what_a_failing_port_left_undone_is_done_at_the_next_look_and_once() {
    for verb in ["fetch", "claim"] {
        for lost_answer in [false, true] {
            let stage = Stage::new();
            let mut worker = SymbolWorker::new(btc());
            match lost_answer {
                false => stage.plan_store().fail(verb, 1),
                true => stage.plan_store().lose_answer(verb),
            }
            stage.answer_yes();
            stage.propose("PARTIAL_75");
            let error: PortError = worker.look(&stage.layer).await.unwrap_err();
            assert!(error.to_string().contains("connection reset"), "{error}");
            assert!(matches!(
                worker.look(&stage.layer).await,
                Ok(Worked::Finished(_))
            ));
            assert_eq!(stage.plans().len(), 1);
            assert_eq!(ends(&stage), [executed()]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_stays_the_claimants() {
    let ours = Stage::new();
    let theirs = ours.sibling("instance-b");
    let mut worker = SymbolWorker::new(btc());
    ours.plan_store().lose_answer("claim");
    ours.answer_yes();
    ours.propose("PARTIAL_75");
    assert!(worker.look(&ours.layer).await.is_err());
    assert!(matches!(theirs.look().await, Worked::Declined));
    assert!(matches!(
        worker.look(&ours.layer).await,
        Ok(Worked::Finished(_))
    ));
    assert_eq!(ours.venue().closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_settled_before_anything_new_of_its_symbol() {
    for action in ["HOLD", "PARTIAL_50"] {
        let stage = Stage::new();
        let mut worker = SymbolWorker::new(btc());
        stage.plan_store().lose_answer("claim");
        stage.propose("PARTIAL_75");
        assert!(worker.look(&stage.layer).await.is_err());
        assert!(worker.is_unanswered());
        let lost = stage.plans()[0].id.clone();
        // The brain thinks again meanwhile.
        stage.propose_with(action, &[("computed_at_utc", "2026-01-25T00:31:00Z")]);
        worker.look(&stage.layer).await.unwrap();
        assert_eq!(stage.results()[0].plan, lost, "{action}");
        worker.look(&stage.layer).await.unwrap();
        let results = stage.results();
        assert_eq!(results.len(), 2, "{action}");
        assert_ne!(results[1].plan, lost, "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_not_made_is_none_and_a_withdrawn_plan_is_not_claimed_after_it() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    stage.plan_store().fail("claim", 1);
    stage.propose("PARTIAL_75");
    assert!(worker.look(&stage.layer).await.is_err());
    // Whether it was made is not known for a while.
    stage.plan_store().fail("find_claim", 2);
    stage.propose("HOLD");
    for _ in 0..2 {
        assert!(worker.look(&stage.layer).await.is_err());
    }
    worker.look(&stage.layer).await.unwrap();
    assert!(!worker.is_unanswered());
    let decisions: Vec<Decision> = stage.plans().iter().map(|plan| plan.decision).collect();
    assert_eq!(decisions, [Decision::Skip]);
}

/// What is heard of a claim comes late; the wait for its permits began when the plan was published.
#[tokio::test(start_paused = true)]
async fn the_wait_of_a_claim_that_is_heard_of_late_counts_from_its_publication() {
    for (heard_after, executed) in [(ms(1_100), true), (ms(4_100), false), (ms(30_200), false)] {
        let stage = Stage::new();
        let mut worker = SymbolWorker::new(btc());
        stage.plan_store().lose_answer("claim");
        stage.answer_yes();
        stage.propose("PARTIAL_75");
        assert!(worker.look(&stage.layer).await.is_err());
        tokio::time::sleep(heard_after).await;
        worker.look(&stage.layer).await.unwrap();
        let result = stage.results()[0].clone();
        assert_eq!(result.executed, executed, "{heard_after:?}");
        assert_eq!(stage.venue().closes().len(), usize::from(executed));
        match executed {
            true => assert_eq!(stage.log.count("[PERMIT_WAIT] OK plan="), 1),
            false => assert_eq!(result.error_code().as_deref(), Some("not_ready_in_time")),
        }
        let logged = stage.log.lines();
        let waited = logged.iter().find(|line| line.contains("wait_ms="));
        assert!(
            waited.is_none_or(|line| line.contains("wait_ms=1100 ")),
            "{waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_given_up_finds_out_what_became_of_its_claim_first() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    stage.plan_store().lose_answer("claim");
    stage.propose("PARTIAL_75");
    assert!(worker.look(&stage.layer).await.is_err());
    stage.plan_store().fail("find_claim", 5);
    worker.finish(&stage.layer).await;
    assert_eq!(
        stage.results().len(),
        1,
        "the plan it had put out for review"
    );
    assert_eq!(
        stage
            .log
            .count("Cannot find out whether a plan was claimed"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_the_store_forgot_before_it_was_heard_of_gets_a_result_and_no_order() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    stage.plan_store().lose_answer("claim");
    stage.answer_yes();
    stage.propose("PARTIAL_75");
    assert!(worker.look(&stage.layer).await.is_err());
    stage.plan_store().memory.lose_entries();
    worker.look(&stage.layer).await.unwrap();
    stage.settles().await;
    assert_eq!(stage.venue().closes(), []);
    let error = stage.results()[0].error_code();
    assert_eq!(error.as_deref(), Some("interrupted_before_order"));
}

#[tokio::test(start_paused = true)]
async fn a_skipped_plan_that_could_not_be_announced_is_announced_at_the_next_look() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    stage.plan_store().fail("announce", 2);
    stage.propose("HOLD");
    assert!(worker.look(&stage.layer).await.is_err());
    assert!(worker.look(&stage.layer).await.is_err());
    assert!(stage.results().is_empty());
    worker.look(&stage.layer).await.unwrap();
    assert_eq!(stage.plans().len(), 1);
    assert_eq!(
        ends(&stage),
        [(Decision::Skip, false, "action_hold".into())]
    );
}

#[tokio::test(start_paused = true)]
async fn a_symbol_that_may_not_execute_is_skipped_and_the_venue_not_asked() {
    let stage = Stage::new();
    let sol = "SOLUSDT".parse().unwrap();
    let fields = [("harvest_action", "PARTIAL_75"), ("kill_score", "0.1")];
    stage.plan_store().memory.propose(&sol, &fields);
    let worked = SymbolWorker::new(sol).look(&stage.layer).await;
    assert!(matches!(worked, Ok(Worked::Declined)));
    assert_eq!(
        ends(&stage),
        [(Decision::Skip, false, "not_in_allowlist".into())]
    );
    assert_eq!(stage.venue().asked(), []);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_waits_delays_no_other_symbol() {
    let stage = Stage::new();
    stage.propose("PARTIAL_75"); // no reviewer answers this one
    let layer = stage.layer.clone();
    let slow = tokio::spawn(async move { SymbolWorker::new(btc()).look(&layer).await });
    stage.plan_store().memory.plan_at(0).await;

    stage.when_planned(1, ms(0), |permits, plan| {
        let for_eth = |text: &str| text.replace("BTCUSDT", "ETHUSDT");
        permits.put(plan, "governor", for_eth(GOVERNOR).as_bytes());
        permits.put(plan, "p33", for_eth(&p33("0.008", "0.0124")).as_bytes());
    });
    let fields = [("harvest_action", "PARTIAL_50"), ("kill_score", "0.1")];
    stage.plan_store().memory.propose(&eth(), &fields);
    let quick = SymbolWorker::new(eth()).look(&stage.layer).await;
    assert!(matches!(quick, Ok(Worked::Finished(result)) if result.executed));
    assert_eq!(
        stage.elapsed(),
        ms(0),
        "not a moment later for the other's wait"
    );
    assert!(!slow.is_finished());
    slow.await.unwrap().unwrap();
    assert_eq!(stage.elapsed(), ms(1200));
}

#[tokio::test(start_paused = true)]
async fn a_rewritten_proposal_wakes_its_own_reader() {
    let plan_store = MemoryPlanStore::default();
    let fields = [("harvest_action", "HOLD"), ("kill_score", "0.1")];
    plan_store.propose(&eth(), &fields);
    let woken = |symbol| {
        let plan_store = plan_store.clone();
        async move {
            let wait = tokio::time::timeout(ms(5000), plan_store.changed(&symbol));
            wait.await.is_ok()
        }
    };
    assert!(woken(eth()).await);
    assert!(!woken(btc()).await);
    plan_store.fetch_halt(&eth()).await.unwrap();
    assert!(
        woken(eth()).await,
        "a look at the switch is no look at the proposal"
    );
    plan_store.fetch(&eth()).await.unwrap();
    assert!(!woken(eth()).await, "reported once");
    let later = woken(eth());
    let (woke, ()) = tokio::join!(later, async {
        tokio::time::sleep(ms(700)).await;
        plan_store.propose(&eth(), &fields);
    });
    assert!(woke);
}

#[tokio::test(start_paused = true)]
async fn a_proposal_that_is_caught_half_written_is_read_again_before_it_counts() {
    for by in [FoundBy::Push, FoundBy::Poll] {
        let stage = Stage::new();
        // The action of a new proposal with the score of an old one: a plan that was not proposed.
        stage.propose_with("PARTIAL_75", &[("kill_score", "0.1")]);
        let plan_store = stage.ports.plan_store.memory.clone();
        let write = move || {
            let whole = [("harvest_action", "HOLD"), ("kill_score", "0.9")];
            plan_store.propose(&btc(), &whole);
        };
        stage
            .ports
            .plan_store
            .while_it_settles(Debounced::Changed, write);
        let mut worker = SymbolWorker::new(btc());
        worker.look_after(&stage.layer, by).await.unwrap();
        let critical = (Decision::Blocked, "kill_score_critical".to_owned());
        assert_eq!(decisions(&stage), [critical], "{by:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_push_announced_and_nobody_touched_since_is_read_once_and_what_a_poll_found_twice() {
    for (by, first_counts) in [(FoundBy::Push, true), (FoundBy::Poll, false)] {
        let stage = Stage::new();
        stage.answer_yes();
        stage.propose("PARTIAL_75");
        // Seen only by a second reading.
        let plan_store = stage.ports.plan_store.memory.clone();
        let nothing = move || plan_store.propose(&btc(), &[]);
        stage
            .ports
            .plan_store
            .while_it_settles(Debounced::Unchanged, nothing);
        let worked = SymbolWorker::new(btc()).look_after(&stage.layer, by).await;
        let carried_out = matches!(worked, Ok(Worked::Finished(_)));
        assert_eq!(carried_out, first_counts, "{by:?}: {worked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_proposal_is_emitted_as_found_once_and_by_what() {
    let stage = Stage::new();
    let mut worker = SymbolWorker::new(btc());
    worker.look(&stage.layer).await.unwrap();
    stage.propose("HOLD");
    stage.ports.plan_store.fail("announce", 2);
    for by in [FoundBy::Push, FoundBy::Poll] {
        worker.look_after(&stage.layer, by).await.unwrap_err();
    }
    worker.look(&stage.layer).await.unwrap();
    stage.propose_with("HOLD", &[("R_net", "2.0")]);
    worker.look(&stage.layer).await.unwrap();
    worker.look(&stage.layer).await.unwrap();
    let found = |by| format!("Proposal for BTCUSDT found by={by}");
    assert_eq!(stage.log.debug_lines(), [found("push"), found("poll")]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_without_room_is_refused_and_carried_out_once_there_is_some() {
    let stage = Stage::with(Mode::Testnet, |settings| {
        settings.claim_limit = InFlightLimit::of(NonZeroUsize::MIN);
    });
    let mut worker = SymbolWorker::new(btc());
    let other = stage.layer.claim_limit().try_acquire().unwrap();
    let grant = |permits: &permit_gate::MemoryStore, plan: &permit_gate::PlanId| {
        permits.put(plan, "governor", GOVERNOR.as_bytes());
        permits.put(plan, "p33", p33("0.008", "0.0124").as_bytes());
    };
    stage.when_planned(1, ms(50), grant);
    stage.propose("PARTIAL_75");
    for _ in 0..3 {
        let worked = worker.look(&stage.layer).await;
        assert!(matches!(worked, Ok(Worked::NoRoom)), "{worked:?}");
    }
    // What is no plan to execute needs no room, and leaves none taken.
    stage.propose("HOLD");
    worker.look(&stage.layer).await.unwrap();
    assert_eq!(decisions(&stage), [(Decision::Skip, "action_hold".into())]);
    stage.propose("PARTIAL_75");
    worker.look(&stage.layer).await.unwrap();
    assert_eq!(stage.plans().len(), 1, "nothing was claimed");
    drop(other);
    worker.wait_for_room(&stage.layer).await;
    assert_eq!(stage.layer.claim_limit().occupancy().taken, 1);
    let worked = worker.look(&stage.layer).await;
    assert!(matches!(worked, Ok(Worked::Finished(_))), "{worked:?}");
    assert_eq!(stage.layer.claim_limit().occupancy().taken, 0);
    assert_eq!(stage.venue().closes().len(), 1);
    let refused = "refused for now (decision=EXECUTE, symbol=BTCUSDT) reason=too_many_plans_in_flight limit=1";
    let lines = stage.log.lines();
    let logged = lines.iter().filter(|line| line.contains(refused)).count();
    assert_eq!(logged, 1, "once a plan: {lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_not_needed_any_more_goes_to_the_next() {
    let stage = Stage::with(Mode::Testnet, |settings| {
        settings.claim_limit = InFlightLimit::of(NonZeroUsize::MIN);
    });
    let mut worker = SymbolWorker::new(btc());
    let other = stage.layer.claim_limit().try_acquire().unwrap();
    stage.propose("PARTIAL_75");
    worker.look(&stage.layer).await.unwrap();
    drop(other);
    worker.wait_for_room(&stage.layer).await;
    stage.propose("HOLD");
    worker.look(&stage.layer).await.unwrap();
    assert_eq!(stage.layer.claim_limit().occupancy().taken, 0);
}
