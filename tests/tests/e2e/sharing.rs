//! Several instances that share the symbols by `APPLY_SHARD`.

use crate::sent;
use apply_tests::{Entry, PLANS, RESULTS, ServiceBuilder, Stage, within};
use exchange_sim::{Delivery, Fault, When};
use redis_harness::RedisServer;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};
use tokio::time::sleep;

/// Each symbol with its shard of three: the first 8 bytes of its SHA-256 modulo three, and one.
const OF_THREE: [(&str, usize); 6] = [
    ("BTCUSDT", 2),
    ("ETHUSDT", 2),
    ("SOLUSDT", 3),
    ("ADAUSDT", 3),
    ("DOGEUSDT", 1),
    ("LTCUSDT", 1),
];

fn shard(stage: &Stage, shard: &str, symbols: &str) -> ServiceBuilder {
    stage
        .service()
        .env("SYMBOLS", symbols)
        .env("APPLY_ALLOWLIST", symbols)
        .env("APPLY_SHARD", shard)
}

/// The process that claimed a plan: an attempt's name begins with its id.
fn claimed_by(plan: &Entry) -> u32 {
    let attempt = plan.get("attempt");
    let (process, _) = attempt.split_once('-').unwrap();
    process.parse().unwrap()
}

#[tokio::test]
async fn three_shards_make_one_order_of_every_proposal_each_by_the_one_that_has_the_symbol() {
    const ROUNDS: usize = 4;
    let names: Vec<String> = OF_THREE.iter().map(|(name, _)| (*name).into()).collect();
    let stage = Stage::open_for(RedisServer::start().await, &names).await;
    let _governor = stage.governor(Duration::ZERO).await;
    let _brain = stage.position_brain(Duration::ZERO, "0.05").await;
    let all = names.join(",");
    let (one, two, three) = tokio::join!(
        shard(&stage, "1/3", &all).ready(),
        shard(&stage, "2/3", &all).ready(),
        shard(&stage, "3/3", &all).ready(),
    );
    let services = [one, two, three];
    let brain = |symbol: &'static str| {
        let stage = &stage;
        async move {
            let mut known = HashSet::new();
            for _ in 0..ROUNDS {
                stage.propose(symbol, "PARTIAL_75").await;
                let plan = stage.plan(symbol, &known).await;
                let id = plan.get("plan_id").to_owned();
                let result = stage.result_of(&id).await;
                assert_eq!(result.get("executed"), "True", "{symbol}");
                known.insert(id);
            }
        }
    };
    tokio::join!(
        brain(OF_THREE[0].0),
        brain(OF_THREE[1].0),
        brain(OF_THREE[2].0),
        brain(OF_THREE[3].0),
        brain(OF_THREE[4].0),
        brain(OF_THREE[5].0),
    );

    let home: BTreeMap<&str, usize> = OF_THREE.into();
    for plan in stage.entries(PLANS).await {
        let symbol = plan.get("symbol");
        assert_eq!(
            plan.get("decision"),
            "EXECUTE",
            "no instance races for {symbol}"
        );
        let process = services[home[symbol] - 1].id();
        assert_eq!(Some(claimed_by(&plan)), process, "{symbol}");
    }
    let count = ROUNDS * OF_THREE.len();
    assert_eq!(stage.entries(PLANS).await.len(), count);
    assert_eq!(stage.entries(RESULTS).await.len(), count);
    let orders: BTreeSet<_> = stage
        .orders()
        .into_iter()
        .map(|o| o.client_order_id)
        .collect();
    assert_eq!((orders.len(), stage.orders().len()), (count, count));
    for service in services {
        service.line("of 6 symbols").await;
        service.stopped_well().await;
    }
}

#[tokio::test]
async fn what_a_shard_that_is_gone_left_is_finished_by_another_by_asking_only() {
    // Of two, BTCUSDT and SOLUSDT are in the second shard, ETHUSDT is in the first.
    const SYMBOLS: &str = "BTCUSDT,ETHUSDT,SOLUSDT";
    let stage = Stage::open().await;
    let of_two = |part: &str| {
        shard(&stage, part, SYMBOLS)
            .env("APPLY_LEASE_SEC", "1")
            .env("APPLY_PERMIT_WAIT_MS", "6000")
    };
    let (left, gone) = tokio::join!(of_two("1/2").ready(), of_two("2/2").ready());

    // It dies with one order out that the venue filled and did not answer, and in one wait.
    stage
        .venue()
        .script(Fault::executed(When::order(), Delivery::Hang));
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let ordered = stage.only_plan("BTCUSDT").await;
    stage.approve(&ordered, "0.05").await;
    within("the order arrives", async {
        while stage.orders().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    stage.propose("SOLUSDT", "PARTIAL_75").await;
    let waiting = stage.only_plan("SOLUSDT").await;
    for plan in [&ordered, &waiting] {
        assert_eq!(Some(claimed_by(plan)), gone.id());
    }
    gone.signal("KILL").await;
    gone.ended().await;
    stage.approve(&waiting, "0.05").await;

    // Bookkeeping is everybody's, whosever the symbol is.
    let result = stage.result_of(ordered.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    let result = stage.result_of(waiting.get("plan_id")).await;
    assert_eq!(result.get("executed"), "False");
    left.line("Took over unfinished plans").await;
    assert_eq!(sent(&stage.only_order(), "symbol"), "BTCUSDT");

    // Proposals are the shard's, and wait for its next instance.
    stage.propose("SOLUSDT", "PARTIAL_50").await;
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("ETHUSDT").await;
    assert_eq!(Some(claimed_by(&plan)), left.id());
    stage.approve(&plan, "0.05").await;
    stage.result_of(plan.get("plan_id")).await;
    assert_eq!(stage.entries(PLANS).await.len(), 3);
    let next = of_two("2/2").ready().await;
    let known = HashSet::from([waiting.get("plan_id").to_owned()]);
    let plan = stage.plan("SOLUSDT", &known).await;
    assert_eq!(Some(claimed_by(&plan)), next.id());
    stage.approve(&plan, "0.05").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    left.stopped_well().await;
    next.stopped_well().await;
    assert_eq!(stage.orders().len(), 3);
}

#[tokio::test]
async fn operators_are_shown_which_shard_this_is_and_warned_of_no_other() {
    const SYMBOLS: &str = "BTCUSDT,ETHUSDT,SOLUSDT";
    let stage = Stage::open().await;
    let share = "shard 1/2: 1 of 3 symbols";
    let service = shard(&stage, "1/2", SYMBOLS).ready().await;
    service.line(&format!("This is {share}")).await;
    service.line("Ready: following 1 symbols").await;
    for (series, value) in [
        ("quantum_apply_shard", "1"),
        ("quantum_apply_shards", "2"),
        ("quantum_apply_symbols_followed", "1"),
    ] {
        let seen = service.metric(series).await;
        assert_eq!(seen.as_deref(), Some(value), "{series}");
    }
    let ended = service.stopped_well().await;
    assert!(
        !ended.output().contains("not followed"),
        "{}",
        ended.output()
    );

    let command = |words: &[&str]| {
        let program = stage
            .program(words)
            .env("SYMBOLS", SYMBOLS)
            .env("APPLY_ALLOWLIST", SYMBOLS)
            .env("APPLY_MODE", "dry_run")
            .env("APPLY_SHARD", "1/2");
        async move { program.ended().await.output() }
    };
    let check = command(&["check"]).await;
    assert!(
        check.contains(&format!("follows ETHUSDT ({share}),")),
        "{check}"
    );
    assert!(!check.contains("not followed"), "{check}");
    let status = command(&["status"]).await;
    assert!(
        status.contains(&format!("\nthis is      {share}\n")),
        "{status}"
    );
    let json = command(&["status", "--json"]).await;
    assert!(json.contains(r#""shard":"1/2""#), "{json}");
    for (symbol, elsewhere) in [("BTCUSDT", true), ("ETHUSDT", false)] {
        let proposed = command(&["propose", symbol, "PARTIAL_75"]).await;
        assert!(proposed.contains("to be decided as EXECUTE"), "{proposed}");
        let hint = proposed.contains("is not in shard 1/2: the instance of its shard reads it");
        assert_eq!(hint, elsewhere, "{proposed}");
    }
}

#[tokio::test]
async fn what_is_no_shard_or_an_empty_one_is_refused_at_the_start_with_the_fix() {
    for (value, fix) in [
        ("5/4", "as in 2/4 for the second of four"),
        ("0/4", "as in 2/4 for the second of four"),
        ("x", "as in 2/4 for the second of four"),
        ("1/2", "none of SYMBOLS is in this shard"),
    ] {
        let ended = ServiceBuilder::bare()
            .env("SYMBOLS", "BTCUSDT")
            .env("APPLY_SHARD", value)
            .ended()
            .await;
        let output = ended.output();
        assert_eq!(ended.code, Some(78), "{output}");
        assert!(
            output.contains(&format!("\n  APPLY_SHARD={value}\n      ")),
            "{output}"
        );
        assert!(output.contains(fix), "{output}");
    }
}
