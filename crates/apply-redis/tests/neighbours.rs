//! What reviewers and other programs leave beside plans and results.

#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{PlanLog, PortError};
use apply_redis::{Booked, Bookkeeper, PlanStoreConfig, RedisPlanStore, Reviewer};
use common::plan;
use redis_harness::RedisServer;
use std::time::{Duration, Instant};

const PLANS: &str = "quantum:stream:apply.plan";
const RESULTS: &str = "quantum:stream:apply.result";
const LEDGER: &str = "quantum:position:ledger:BTCUSDT";
const PLAN: &str = "67e6da21fa9fe506";

/// How long a result may stand there without being booked.
const PATIENCE: Duration = Duration::from_secs(30);

async fn plan_store(server: &RedisServer, portfolio_gate: bool) -> RedisPlanStore {
    let config = PlanStoreConfig {
        portfolio_gate,
        ..PlanStoreConfig::new(server.url())
    };
    RedisPlanStore::connect(config).await.unwrap()
}

async fn command(server: &RedisServer, words: &str) -> redis::Value {
    let mut command = redis::Cmd::new();
    for word in words.split(' ') {
        command.arg(word);
    }
    command
        .query_async(&mut server.connection().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_group_that_reads_nothing_falls_behind_and_one_that_is_not_there_is_reported_as_that() {
    let server = RedisServer::start().await;
    let plan_store = plan_store(&server, false).await;
    let seen = async || plan_store.reviewers(&["governor", "p33"]).await.unwrap();
    let absent = |name: &str| Reviewer {
        name: name.into(),
        reading: None,
    };
    // Without a stream, too.
    assert_eq!(seen().await, [absent("governor"), absent("p33")]);
    command(
        &server,
        &format!("XGROUP CREATE {PLANS} governor 0 MKSTREAM"),
    )
    .await;
    for n in 0..3 {
        command(&server, &format!("XADD {PLANS} * plan_id {n}")).await;
    }
    let [governor, p33] = <[Reviewer; 2]>::try_from(seen().await).unwrap();
    assert_eq!(p33, absent("p33"));
    let reading = governor.reading.unwrap();
    assert_eq!((reading.consumers, reading.lag, reading.pending), (0, 3, 0));
    assert_eq!(reading.idle, None);
    assert!(!governor.is_up_to_date());
    command(
        &server,
        &format!("XREADGROUP GROUP governor one COUNT 2 STREAMS {PLANS} >"),
    )
    .await;
    // An entry that is deleted keeps newer servers from counting by themselves.
    command(&server, &format!("XADD {PLANS} 99999999999999-1 plan_id 3")).await;
    command(&server, &format!("XDEL {PLANS} 99999999999999-1")).await;
    let reading = seen().await[0].reading.unwrap();
    assert_eq!((reading.consumers, reading.lag, reading.pending), (1, 1, 2));
    assert!(reading.idle.is_some());
    command(
        &server,
        &format!("XREADGROUP GROUP governor one STREAMS {PLANS} >"),
    )
    .await;
    let governor = &seen().await[0];
    assert!(governor.is_up_to_date(), "{governor}");
}

#[tokio::test]
async fn what_the_portfolio_gate_made_of_a_plan_is_its_newest_word_about_it() {
    let server = RedisServer::start().await;
    let plan = plan("PARTIAL_75");
    let plan_store_with = plan_store(&server, true).await;
    let made = async || plan_store_with.fetch_final_action(&plan.id).await;
    assert_eq!(made().await, Ok(None));
    let actions = "quantum:stream:portfolio.gate.final_action";
    let id = plan.id.as_str();
    for (words, word) in [
        (
            "plan_id 0000000000000000 final_action HOLD".to_owned(),
            None,
        ),
        (
            format!("plan_id {id} action PARTIAL_50"),
            Some("PARTIAL_50"),
        ),
        (
            format!("plan_id {id} action PARTIAL_75 final_action PARTIAL_25"),
            Some("PARTIAL_25"),
        ),
        // One that says nothing is no action.
        (format!("plan_id {id} reason heat"), Some("")),
    ] {
        command(&server, &format!("XADD {actions} * {words}")).await;
        assert_eq!(made().await, Ok(word.map(str::to_owned)), "{words}");
    }
    let without = plan_store(&server, false).await;
    assert_eq!(without.fetch_final_action(&plan.id).await, Ok(None));
    // A key of another type is a no, and not the word that there is nothing.
    command(&server, &format!("DEL {actions}")).await;
    command(&server, &format!("SET {actions} 1")).await;
    assert!(matches!(made().await, Err(PortError(_))));
}

#[tokio::test]
async fn results_of_other_programs_are_counted_by_program_with_their_newest_words() {
    let server = RedisServer::start().await;
    let plan_store = plan_store(&server, false).await;
    assert_eq!(plan_store.foreign_results().await, Ok(vec![]));
    for words in [
        "plan_id 1111111111111111 source apply_layer decision EXECUTE executed True",
        "plan_id 2222222222222222 decision SKIP executed False",
        "plan_id 6666666666666666 executed True",
        "plan_id 7777777777777777 source apply_layer decision EXECUTE executed yes error lower",
        "plan_id 3 source intent_executor executed false error first",
        "plan_id 4 source intent_executor symbol BTCUSDT executed false error second",
        "plan_id 5 source other executed true",
    ] {
        command(
            &server,
            &format!("XADD quantum:stream:apply.result * {words}"),
        )
        .await;
    }
    let seen = plan_store.foreign_results().await.unwrap();
    let seen: Vec<_> = seen
        .iter()
        .map(|of| (&*of.source, of.entries, &*of.plan, &*of.error))
        .collect();
    assert_eq!(
        seen,
        [
            ("other", 1, "5", ""),
            ("intent_executor", 2, "4", "second"),
            ("(malformed)", 2, "7777777777777777", "lower")
        ]
    );
}

/// How many results there are.
async fn length(server: &RedisServer) -> redis::Value {
    command(server, &format!("XLEN {RESULTS}")).await
}

/// A server with an executed result, and somebody who keeps it from being booked twice.
async fn with_a_result() -> (RedisServer, Bookkeeper) {
    let server = RedisServer::start().await;
    let plan_store = plan_store(&server, false).await;
    let fields = "symbol BTCUSDT executed True source apply_layer";
    let words = format!("XADD {RESULTS} 1000-0 plan_id {PLAN} {fields}");
    command(&server, &words).await;
    (server, plan_store.bookkeeper(PATIENCE))
}

#[tokio::test]
async fn a_result_that_the_ledger_names_is_pushed_out_once() {
    let (server, mut keeper) = with_a_result().await;
    let now = Instant::now();
    assert_eq!(keeper.look(now, 1).await.unwrap(), Booked::default());
    let set = format!("HSET {LEDGER} last_known_amt 1 last_result_plan_id {PLAN}");
    command(&server, &set).await;
    let booked = keeper.look(now, 1).await.unwrap();
    assert_eq!(booked.pushed_out.len(), 1);
    assert_eq!(keeper.look(now, 1).await.unwrap(), Booked::default());
    assert_eq!(length(&server).await, redis::Value::Int(11));
}

#[tokio::test]
async fn a_ledger_of_another_type_or_form_is_left_alone_and_reported_once() {
    for (set, other) in [
        ("SET {} 1", true),
        ("RPUSH {} 1", true),
        ("HSET {} last_known_amt 1", true),
        ("HSET {} last_result_plan_id another", false),
        ("DEL {}", false),
    ] {
        let (server, mut keeper) = with_a_result().await;
        command(&server, &set.replace("{}", LEDGER)).await;
        let before = command(&server, &format!("DUMP {LEDGER}")).await;
        let now = Instant::now();
        assert_eq!(
            keeper.look(now, 1).await.unwrap(),
            Booked::default(),
            "{set}"
        );
        // A ledger is reported once, and each result that none booked.
        for (result, of_the_first) in [(None, 1), (Some("1111111111111111"), usize::from(!other))] {
            if let Some(plan) = result {
                let fields = "symbol BTCUSDT executed True source apply_layer";
                let words = format!("XADD {RESULTS} 2000-0 plan_id {plan} {fields}");
                command(&server, &words).await;
                keeper.look(now, 1).await.unwrap();
            }
            for reported in [of_the_first, 0] {
                let booked = keeper.look(now + PATIENCE, 1).await.unwrap();
                let (overdue, left_alone) = match other {
                    true => (0, reported),
                    false => (reported, 0),
                };
                assert_eq!(
                    (booked.overdue.len(), booked.left_alone.len()),
                    (overdue, left_alone),
                    "{set} {result:?}"
                );
                assert_eq!(booked.pushed_out, []);
            }
        }
        let after = command(&server, &format!("DUMP {LEDGER}")).await;
        assert_eq!(after, before, "{set}");
        assert_eq!(length(&server).await, redis::Value::Int(2));
    }
}
