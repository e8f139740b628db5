//! `forget` against the service whose journal knows the plan. The judge is the venue's order log.

use apply_tests::{Ended, PLANS, RESULTS, ServiceBuilder, Stage};
use std::time::Duration;

const AT: &str = "2026-01-25T00:30:08Z";

/// The command on the machine with this state directory.
async fn forget(stage: &Stage, machine: &ServiceBuilder, plan: &str) -> Ended {
    stage
        .program(&["forget", plan, "--yes"])
        .env(
            "APPLY_STATE_DIR",
            machine.state_directory().display().to_string(),
        )
        .ended()
        .await
}

/// Writes the proposal of one plan; `r_net` is no part of the plan's id and makes it a new one.
async fn propose(stage: &Stage, r_net: &str) {
    let fields = [("computed_at_utc", AT), ("R_net", r_net)];
    stage.propose_with("BTCUSDT", "PARTIAL_75", &fields).await;
}

/// Waits until so many results are there.
async fn results(stage: &Stage, count: usize) -> Vec<(String, String)> {
    apply_tests::within("results", async {
        loop {
            let entries = stage.entries(RESULTS).await;
            if entries.len() >= count {
                let facts = entries.iter().map(|result| {
                    (
                        result.get("executed").to_owned(),
                        result.get("error").to_owned(),
                    )
                });
                return facts.collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// A plan that was blocked for want of a permit, and is noted so in its machine's journal.
async fn blocked(stage: &Stage, machine: &ServiceBuilder) -> (apply_tests::Service, String) {
    let service = machine.clone().ready().await;
    propose(stage, "1.25").await;
    let plan = stage.only_plan("BTCUSDT").await.get("plan_id").to_owned();
    let result = stage.result_of(&plan).await;
    assert_eq!(
        result.get("error"),
        "permit_timeout_or_missing:missing_both"
    );
    (service, plan)
}

fn brief(stage: &Stage) -> ServiceBuilder {
    stage.service().env("APPLY_PERMIT_WAIT_MS", "300")
}

/// Until the note of the publication is on disk the command says to ask again.
async fn forgotten(stage: &Stage, machine: &ServiceBuilder, plan: &str) {
    apply_tests::within("the plan is forgotten", async {
        loop {
            let answer = forget(stage, machine, plan).await;
            match answer.code {
                Some(0) => {
                    return assert!(
                        answer.output().contains("forgotten; "),
                        "{}",
                        answer.output()
                    );
                }
                _ => assert!(
                    answer.output().contains("ask again in a moment"),
                    "{}",
                    answer.output()
                ),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_plan_of_a_running_service_is_forgotten_and_the_same_proposal_executed() {
    let stage = Stage::open().await;
    let machine = brief(&stage);
    let (service, plan) = blocked(&stage, &machine).await;

    // As long as it is remembered, nothing comes of the same proposal.
    propose(&stage, "1.3").await;
    service
        .metric_is("quantum_apply_dedupe_hits_total", "1")
        .await;
    assert_eq!(stage.entries(PLANS).await.len(), 1);

    forgotten(&stage, &machine, &plan).await;
    propose(&stage, "1.35").await;
    stage
        .wait_for_entry(PLANS, "the plan is published again", |entry| {
            entry.get("plan_id") == plan && entry.get("R_net") == "1.35"
        })
        .await;
    let again = stage.only_plan("BTCUSDT").await;
    stage.approve(&again, "0.009").await;
    assert_eq!(
        results(&stage, 2).await,
        [
            (
                "False".into(),
                "permit_timeout_or_missing:missing_both".into()
            ),
            ("True".into(), String::new()),
        ]
    );
    assert_eq!(stage.orders().len(), 1);

    // What it came to now is remembered, and not forgotten.
    let answer = forget(&stage, &machine, &plan).await;
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.output().contains("not forgotten: it was executed"),
        "{}",
        answer.output()
    );
    let marks = std::fs::read_dir(machine.state_directory()).unwrap();
    let marks = marks.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("forgotten")
    });
    assert_eq!(marks.count(), 0, "no mark is left");
    service.stopped_well().await;
}

#[tokio::test]
async fn a_plan_is_forgotten_while_its_service_is_down_and_planned_at_the_next_start() {
    let stage = Stage::open().await;
    let machine = brief(&stage);
    let (service, plan) = blocked(&stage, &machine).await;
    service.stopped_well().await;
    // Its claim and its marks have run out; the journal still knows it.
    let () = stage.command(&["FLUSHALL"]).await;
    propose(&stage, "1.25").await;
    forgotten(&stage, &machine, &plan).await;
    let service = machine.ready().await;
    stage
        .approve(&stage.only_plan("BTCUSDT").await, "0.009")
        .await;
    assert_eq!(results(&stage, 1).await, [("True".into(), String::new())]);
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}

#[tokio::test]
async fn a_plan_whose_order_may_still_come_is_not_forgotten() {
    let stage = Stage::open().await;
    let machine = stage.service();
    let service = machine.clone().ready().await;
    propose(&stage, "1.25").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let answer = forget(&stage, &machine, plan.get("plan_id")).await;
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.output().contains("has no result yet"),
        "{}",
        answer.output()
    );
    stage.approve(&plan, "0.009").await;
    assert_eq!(results(&stage, 1).await, [("True".into(), String::new())]);
    service.stopped_well().await;
}

#[tokio::test]
async fn a_plan_that_another_machine_knows_is_forgotten_there_and_not_here() {
    let stage = Stage::open().await;
    let there = brief(&stage);
    let (service, plan) = blocked(&stage, &there).await;
    let here = brief(&stage);
    let answer = forget(&stage, &here, &plan).await;
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.output().contains("another machine's"),
        "{}",
        answer.output()
    );
    let held: u64 = stage
        .command(&["EXISTS", &format!("quantum:apply:dedupe:{plan}")])
        .await;
    assert_eq!(held, 1, "nothing was cleared");
    forgotten(&stage, &there, &plan).await;
    service.stopped_well().await;
}
