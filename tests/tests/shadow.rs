//! The shadow beside a stand-in of the service before this one, over a real Redis.
#![allow(clippy::unwrap_used)]

use apply_tests::{Novelty, ServiceBuilder, Tape};
use redis_harness::RedisServer;
use std::collections::BTreeSet;

/// How often the traffic is played at most. A busy machine may miss a permit, and with it what it would show.
const ROUNDS: usize = 8;

#[tokio::test]
async fn all_that_the_former_service_is_known_to_do_wrong_is_explained() {
    let (server, url) = Tape::server().await;
    let mut tape = Tape::start(&server.url(), &url, None).await;
    let known = [
        "score_passes",
        "refused_before",
        "unreadable_followed",
        "calibration_ignored",
        "newer_actions",
        "stops_off",
        "disarm_ignored",
        "switch_word",
        "repeated_results",
        "early_no",
        "permit_unjudged",
        "whole_permit",
        "float_tail",
        "refused_as_executed",
        "filled_nothing",
    ];
    for _ in 0..ROUNDS {
        tape.play(Tape::CASES).await;
        if known.iter().all(|name| tape.has_found(name)) {
            break;
        }
    }
    let said = tape.end().await;
    let unexplained = said.shown("unexplained");
    assert_eq!(said.unexplained(), [].into(), "{unexplained}");
    assert_eq!(said.code, Some(0), "{:?}", said.errors);
    let explained = said.of_class("explained");
    for name in known {
        assert!(explained.contains_key(name), "no {name} in {explained:?}");
    }
    assert_eq!(said.summary["unexplained"], 0);
    assert!(
        said.summary["foreign"].as_u64() >= Some(1),
        "{}",
        said.summary
    );
    // Nothing that it may not do was even tried.
    let mut connection = server.connection().await;
    let denied: redis::Value = redis::cmd("ACL")
        .arg("LOG")
        .query_async(&mut connection)
        .await
        .unwrap();
    let denied = format!("{denied:?}");
    // Which library it is may stay unknown.
    let refused = denied.matches("client|setinfo").count();
    assert_eq!(denied.matches("reason").count(), refused, "{denied}");
}

async fn with(novelty: Novelty, name: &str) -> (Option<i32>, BTreeSet<String>) {
    let (server, url) = Tape::server().await;
    let mut tape = Tape::start(&server.url(), &url, Some(novelty)).await;
    let names = [
        "a close",
        "the position brain denies",
        "no permit",
        "critical",
        "hold",
    ];
    for _ in 0..ROUNDS {
        tape.play_only(&names).await;
        if tape.has_found(name) {
            break;
        }
    }
    let said = tape.end().await;
    let errors = said.errors.join("\n");
    assert!(errors.contains("are unexplained"), "{errors}");
    (said.code, said.unexplained().into_keys().collect())
}

#[tokio::test]
async fn a_fault_that_is_not_known_is_unexplained_and_ends_with_1() {
    for (novelty, name) in [
        (Novelty::ExecutesAgainstANo, "executed_against_a_no"),
        (Novelty::ExecutesWithoutPermits, "executed_without_permit"),
        (Novelty::DoublesTheQuantity, "quantity_differs"),
        (Novelty::GivesOtherIds, "plan_id_differs"),
        (Novelty::LetsCriticalPass, "decision_differs"),
        (Novelty::TurnsTheSide, "side_differs"),
    ] {
        let (code, names) = with(novelty, name).await;
        assert_eq!(code, Some(1), "{novelty:?}");
        assert!(names.contains(name), "{novelty:?}: {names:?}");
    }
}

/// The commands the server has run, but for what a connection needs and what a test sends.
async fn commands(server: &RedisServer) -> BTreeSet<String> {
    let mut connection = server.connection().await;
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut connection)
        .await
        .unwrap();
    let names = stats.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        Some(name.to_owned())
    });
    names.collect()
}

#[tokio::test]
async fn the_shadow_sends_no_command_that_could_write() {
    let (server, url) = Tape::server().await;
    let mut connection = server.connection().await;
    for command in [
        "HSET quantum:harvest:proposal:BTCUSDT harvest_action PARTIAL_75 kill_score 0.4",
        "XADD quantum:stream:apply.plan * plan_id a symbol BTCUSDT decision SKIP",
        "XADD quantum:stream:apply.result * plan_id a symbol BTCUSDT executed False",
        "SET quantum:permit:67e6da21fa9fe506 x",
        "CONFIG RESETSTAT",
    ] {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.exec_async(&mut connection).await.unwrap();
    }
    let ended = ServiceBuilder::command(&["shadow", "--for", "3s"])
        .env("REDIS_URL", url)
        .ended()
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.output());
    let known = [
        "auth",
        "hello",
        "select",
        "client|setinfo",
        "client|setname",
        "client|tracking",
        "client",
        "getrange",
        "pttl",
        "exists",
        "hmget",
        "hstrlen",
        "xrange",
        "xrevrange",
        "ping",
        "info",
        // Of the test itself.
        "config|resetstat",
        "config",
    ];
    let sent = commands(&server).await;
    let known: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
    let others: Vec<&String> = sent.difference(&known).collect();
    assert!(others.is_empty(), "{others:?}");
    for read in ["getrange", "exists", "hmget", "xrange"] {
        assert!(sent.contains(read), "{sent:?}");
    }
}

#[tokio::test]
async fn without_the_former_service_every_proposal_is_one_it_made_no_plan_of() {
    let (server, url) = Tape::server().await;
    let shadow = ServiceBuilder::command(&["shadow"])
        .env("REDIS_URL", url)
        .env("SYMBOLS", "BTCUSDT")
        .env("APPLY_POLL_SEC", "0.1")
        .env("APPLY_PERMIT_WAIT_MS", "100")
        .start()
        .await;
    shadow.line("watching BTCUSDT").await;
    let mut connection = server.connection().await;
    let mut propose = redis::cmd("HSET");
    propose.arg("quantum:harvest:proposal:BTCUSDT");
    propose.arg(&["harvest_action", "PARTIAL_75", "kill_score", "0.4"]);
    propose.exec_async(&mut connection).await.unwrap();
    shadow.line("unexplained: no_plan").await;
    let ended = shadow.stopped().await;
    assert_eq!(ended.code, Some(1), "{}", ended.output());
    let said = ended.output();
    assert!(said.contains("does it run, on this Redis?"), "{said}");
}

#[tokio::test]
async fn a_plan_that_no_proposal_asks_for_and_that_no_permit_allows_is_unexplained() {
    let (server, url) = Tape::server().await;
    let mut connection = server.connection().await;
    let mut run = async |words: &str| {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.exec_async(&mut connection).await.unwrap();
    };
    run("HSET quantum:harvest:proposal:BTCUSDT harvest_action HOLD kill_score 0.4").await;
    let shadow = ServiceBuilder::command(&["shadow"])
        .env("REDIS_URL", url)
        .env("SYMBOLS", "BTCUSDT")
        .start()
        .await;
    shadow.line("watching BTCUSDT").await;
    // Until the proposal has stood for long enough.
    let mut made_up = 0;
    let unasked = loop {
        made_up += 1;
        let plan = format!("{made_up:016x}");
        let fields = "symbol BTCUSDT action FULL_CLOSE_PROPOSED kill_score 0.1 decision EXECUTE";
        run(&format!(
            "XADD quantum:stream:apply.plan * plan_id {plan} {fields}"
        ))
        .await;
        let line = shadow.line_with(&[&plan, "plan "]).await;
        if line.contains("unexplained: unasked_plan") {
            break plan;
        }
        assert!(line.contains("not_compared: proposal_not_seen"), "{line}");
        assert!(made_up < 100_000, "{line}");
    };
    let fields = "symbol BTCUSDT decision EXECUTE executed True would_execute False";
    run(&format!(
        "XADD quantum:stream:apply.result * plan_id {unasked} {fields}"
    ))
    .await;
    shadow
        .line_with(&[&unasked, "permits", "unexplained: executed_without_permit"])
        .await;
    let ended = shadow.stopped().await;
    assert_eq!(ended.code, Some(1), "{}", ended.output());
}
