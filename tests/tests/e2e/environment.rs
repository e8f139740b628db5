//! Dry runs and live instances on one Redis, and what a dry run says of what a live one has left.

use apply_tests::{GOVERNOR, P33, PLANS, RESULTS, Service, ServiceBuilder, Stage};
use std::{collections::HashSet, time::Duration};

/// A dry run of its own, with the venue's keys as the live one has them.
fn dry_run(stage: &Stage) -> ServiceBuilder {
    stage
        .service()
        .env("APPLY_MODE", "dry_run")
        .env("APPLY_LEASE_SEC", "1")
}

fn live(stage: &Stage) -> ServiceBuilder {
    stage.service().env("APPLY_LEASE_SEC", "1")
}

/// The ids of the plans that are on the stream.
async fn known(stage: &Stage) -> HashSet<String> {
    let plans = stage.entries(PLANS).await;
    let ids = plans.iter().map(|plan| plan.get("plan_id").to_owned());
    ids.collect()
}

/// So many plans of which both reviewers approve, each executed at the venue.
async fn executes(stage: &Stage, plans: usize) {
    let before = stage.orders().len();
    let mut known = known(stage).await;
    for n in 1..=plans {
        stage.propose("BTCUSDT", "PARTIAL_50").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let id = plan.get("plan_id").to_owned();
        stage.approve(&plan, "0.001").await;
        let result = stage.result_of(&id).await;
        assert_eq!(result.get("executed"), "True", "plan {n}: {result:?}");
        known.insert(id);
    }
    assert_eq!(stage.orders().len(), before + plans);
}

async fn says_in_all_its_lights(stage: &Stage, how: &ServiceBuilder, dry: &Service) {
    let text = "a live instance (on ";
    dry.line_with(&["Beside this instance: ", text]).await;
    let parts = dry.readiness("503", "[-] Environment: ").await;
    assert!(parts.contains(text), "{parts}");
    let port = dry.address().await.port().to_string();
    let asked = |words: &[&str]| {
        let how = how.clone().instead(words);
        let port = port.clone();
        async move { how.env("APPLY_METRICS_PORT", port).ended().await }
    };
    let check = asked(&["check"]).await;
    assert_eq!(check.code, Some(78), "{}", check.output());
    let shown = check.log.iter().find(|line| line.contains("environment"));
    let shown = shown.unwrap_or_else(|| panic!("{}", check.output()));
    assert!(shown.starts_with("FAIL") && shown.contains(text), "{shown}");
    let status = asked(&["status"]).await;
    assert_eq!(status.code, Some(4), "{}", status.output());
    let shown = status
        .log
        .iter()
        .find(|line| line.starts_with("environment"));
    assert!(
        shown.is_some_and(|line| line.contains(text)),
        "{}",
        status.output()
    );
    assert!(stage.orders().len() < 100);
}

#[tokio::test]
async fn a_dry_run_beside_a_live_instance_claims_nothing_and_both_say_so() {
    let stage = Stage::open().await;
    let live = live(&stage).ready().await;
    let how = dry_run(&stage);
    let dry = how.clone().ready().await;
    executes(&stage, 8).await;
    for entry in stage.entries(RESULTS).await {
        assert_eq!(entry.get("would_execute"), "False", "{entry:?}");
    }
    live.line_with(&["Beside this instance: a dry run (on ", "it claims no plan"])
        .await;
    live.readiness("200", "[+] Environment: a dry run").await;
    says_in_all_its_lights(&stage, &how, &dry).await;
    dry.stopped_well().await;
    live.stopped_well().await;
}

#[tokio::test]
async fn a_dry_run_gives_way_to_a_live_instance_and_goes_on_once_its_lease_is_over() {
    let stage = Stage::open().await;
    let dry = dry_run(&stage).ready().await;
    stage.propose("BTCUSDT", "PARTIAL_50").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.001").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("would_execute"), "True", "{result:?}");

    let second = live(&stage).ready().await;
    executes(&stage, 4).await;
    dry.line("Beside this instance: a live instance").await;
    // It dies without a word: its lease runs out.
    second.signal("KILL").await;
    second.ended().await;
    dry.line("No instance of the other mode works on this Redis any more")
        .await;
    let known = known(&stage).await;
    let orders = stage.orders().len();
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.plan("BTCUSDT", &known).await;
    stage.approve(&plan, "0.001").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("would_execute"), "True", "{result:?}");
    assert_eq!(stage.orders().len(), orders);
    dry.stopped_well().await;
}

#[tokio::test]
async fn a_plan_that_a_dry_run_claimed_before_a_live_instance_began_leaves_its_permits_alone() {
    let stage = Stage::open().await;
    let dry = dry_run(&stage).ready().await;
    stage.propose("BTCUSDT", "PARTIAL_50").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id");
    let live = live(&stage).ready().await;
    stage.approve(&plan, "0.001").await;
    let result = stage.result_of(id).await;
    assert_eq!(result.get("error"), "live_instance_beside", "{result:?}");
    assert_eq!(result.get("decision"), "BLOCKED");
    assert_eq!(result.get("would_execute"), "False");
    let (governor, p33) = (format!("{GOVERNOR}{id}"), format!("{P33}{id}"));
    let left: u64 = stage.command(&["EXISTS", &governor, &p33]).await;
    assert_eq!(left, 2, "the permits are there");
    let counted = "quantum_apply_blocks_total{reason=\"live_instance_beside\"}";
    dry.metric_is(counted, "1").await;
    dry.line_with(&["[PERMIT_WAIT] BLOCK", "reason=live_instance_beside"])
        .await;
    assert!(stage.orders().is_empty());
    // The live one works.
    executes(&stage, 2).await;
    dry.stopped_well().await;
    live.stopped_well().await;
}

#[tokio::test]
async fn a_dry_run_that_has_not_heard_of_a_live_instance_yet_publishes_nothing_either() {
    let stage = Stage::open().await;
    // No other instance follows this symbol.
    let dry = dry_run(&stage).env("SYMBOLS", "ETHUSDT").ready().await;
    // It stands still while the live one begins, and hears of the proposal before it looks at leases.
    dry.signal("STOP").await;
    let live = live(&stage).env("SYMBOLS", "BTCUSDT").ready().await;
    stage.propose("ETHUSDT", "HOLD").await;
    dry.signal("CONT").await;
    dry.line("Beside this instance: a live instance").await;
    executes(&stage, 2).await;
    for stream in [PLANS, RESULTS] {
        for entry in stage.entries(stream).await {
            assert_eq!(entry.get("symbol"), "BTCUSDT", "{entry:?}");
        }
    }
    live.signal("KILL").await;
    live.ended().await;
    let skipped = stage.wait_for_entry(PLANS, "the dry run goes on", |entry| {
        entry.get("symbol") == "ETHUSDT"
    });
    assert_eq!(skipped.await.get("decision"), "SKIP");
    dry.stopped_well().await;
}

#[tokio::test]
async fn a_dry_run_with_keys_asks_the_venue_nothing() {
    let stage = Stage::open().await;
    let how = dry_run(&stage);
    let dry = how.clone().ready().await;
    for action in ["PARTIAL_50", "UPDATE_SL"] {
        let known = known(&stage).await;
        let stop = [("new_sl_proposed", "20000")];
        stage.propose_with("BTCUSDT", action, &stop).await;
        let plan = stage.plan("BTCUSDT", &known).await;
        stage.approve(&plan, "0.001").await;
        let result = stage.result_of(plan.get("plan_id")).await;
        assert_eq!(result.get("would_execute"), "True", "{result:?}");
    }
    let port = dry.address().await.port().to_string();
    for words in [&["check"][..], &["status"], &["halt"], &["resume"]] {
        let asked = how.clone().instead(words).env("APPLY_METRICS_PORT", &port);
        let asked = asked.ended().await;
        assert_eq!(asked.code, Some(0), "{words:?}: {}", asked.output());
    }
    dry.page("/api/status.json").await;
    dry.stopped_well().await;
    // A start on what it has left, as well.
    how.ready().await.stopped_well().await;
    assert_eq!(stage.venue().requests(), []);
}

/// The governor disarms so: it writes `APPLY_MODE=dry_run` and has the service started again.
#[tokio::test]
async fn a_live_instance_that_starts_again_as_a_dry_run_is_not_held_up_by_its_own_lease() {
    let stage = Stage::open().await;
    // Longer than a test waits.
    let how = stage.service().env("APPLY_LEASE_SEC", "600");
    how.clone().ready().await.stopped_well().await;
    let dry = how.clone().env("APPLY_MODE", "dry_run").ready().await;
    stage.propose("BTCUSDT", "PARTIAL_50").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.001").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("would_execute"), "True", "{result:?}");
    dry.readiness("200", "ready").await;
    dry.stopped_well().await;
}

#[tokio::test]
async fn an_instance_that_does_not_say_its_mode_counts_as_a_live_one_until_its_lease_is_over() {
    let stage = Stage::open().await;
    // As versions before this one wrote it: the name of the process alone.
    let lease = "quantum:apply:lease:0123456789abcdef";
    let () = stage
        .command(&["SET", lease, "4711-0123", "PX", "600000"])
        .await;
    let dry = dry_run(&stage).ready().await;
    dry.line("Beside this instance: an instance that does not say its mode")
        .await;
    dry.readiness("503", "[-] Environment: an instance that does not say")
        .await;
    let _: u64 = stage.command(&["DEL", lease]).await;
    dry.line("No instance of the other mode works on this Redis any more")
        .await;
    dry.readiness("200", "ready").await;
    dry.stopped_well().await;
}

#[tokio::test]
async fn a_dry_run_says_which_plans_of_a_live_run_it_leaves_alone_and_the_next_live_run_ends_them()
{
    let stage = Stage::open().await;
    let how = stage.service().env("APPLY_LEASE_SEC", "1");
    let live = how.clone().env("APPLY_PERMIT_WAIT_MS", "800").ready().await;
    // The venue executes it and never answers.
    let hang =
        exchange_sim::Fault::executed(exchange_sim::When::order(), exchange_sim::Delivery::Hang);
    stage.venue().script(hang);
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id").to_owned();
    stage.approve(&plan, "0.009").await;
    apply_tests::within("the order arrives", async {
        while stage.orders().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    live.signal("KILL").await;
    live.ended().await;

    let how = how.env("APPLY_MODE", "dry_run");
    let dry = how.clone().ready().await;
    dry.line_with(&[
        "a live run left plans without a result",
        &id,
        "APPLY_MODE=testnet",
    ])
    .await;
    dry.readiness("200", "[-] Left alone: a live run").await;
    let port = dry.address().await.port().to_string();
    let asked = |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let how = how.clone().instead(&words);
        let port = port.clone();
        async move { how.env("APPLY_METRICS_PORT", port).ended().await }
    };
    let check = asked(vec!["check".into()]).await;
    let journal = check.log.iter().find(|line| line.contains("journal "));
    assert!(
        journal.is_some_and(|line| line.starts_with("FAIL") && line.contains(&id)),
        "{}",
        check.output()
    );
    let shown = asked(vec!["plan".into(), id.clone()]).await.output();
    assert!(shown.contains("a dry run asks nothing"), "{shown}");
    let shown = asked(vec!["forget".into(), id.clone(), "--yes".into()]).await;
    assert_eq!(shown.code, Some(1), "{}", shown.output());
    dry.stopped_well().await;
    assert!(stage.entries(RESULTS).await.is_empty());

    let live = how.env("APPLY_MODE", "testnet").ready().await;
    let result = stage.result_of(&id).await;
    assert_eq!(result.get("executed"), "True");
    live.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}
