//! Entries of another program on the stream of results, kept apart from this service's.

use crate::{PLAN, ends, fine, ops, publish_plan, publish_result, redis};
use apply_ops::commands::COMMANDS;
use apply_tests::{SecondExecutor, Stage};
use apply_wire::Exit;
use redis_harness::RedisServer;

/// An answer of another executor to a plan of this service.
async fn answer_of_another(
    connection: &mut ::redis::aio::MultiplexedConnection,
    id: &str,
    plan: &str,
    executed: &str,
) {
    let words = format!(
        "XADD quantum:stream:apply.result {id} source intent_executor plan_id {plan} symbol BTCUSDT executed {executed} details {{\"error\":\"symbol_not_in_allowlist\"}} ts 1"
    );
    let _: String = redis(connection, &words).await;
}

#[tokio::test]
async fn answers_of_another_executor_are_shown_as_its_own_and_counted_apart() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    let (seconds, _): (u64, u64) = redis(c, "TIME").await;
    let at = |millis: u64| format!("{}-0", (seconds - 60) * 1000 + millis);
    publish_plan(c, &at(0), PLAN).await;
    answer_of_another(c, &at(5), PLAN, "false").await;
    publish_result(c, &at(345), PLAN, "True", "").await;
    answer_of_another(c, &at(400), "1111111111111111", "true").await;

    let tail = fine(&server, &["results", "tail"]).await;
    let lines: Vec<&str> = tail.lines().collect();
    for (line, executed) in [(lines[0], "false"), (lines[2], "true")] {
        let part = format!("foreign  executed={executed} source=intent_executor");
        assert!(line.contains(&part), "{line}");
        assert!(line.contains("symbol_not_in_allowlist"), "{line}");
    }
    assert!(
        lines[1].contains("executed=True") && !lines[1].contains("source"),
        "{tail}"
    );

    let json = ops(&server, &["stats", "--json"]).await.json();
    assert_eq!(
        (&json["executed"], &json["not_executed"]),
        (&1.into(), &serde_json::json!({}))
    );
    assert_eq!(
        json["foreign"]["intent_executor executed=false"], 1,
        "{json}"
    );
    assert_eq!(json["foreign"]["intent_executor executed=true"], 1);
    assert_eq!(
        json["plan_to_result_ms"]["p50"], 345,
        "its answer ends no plan of ours"
    );
    let page = fine(&server, &["stats"]).await;
    assert!(
        page.contains("of other programs") && page.contains("OK, executed          1"),
        "{page}"
    );

    let json = ops(&server, &["status", "--json"]).await.json();
    assert_eq!(json["symbols"][0]["result"]["executed"], "True", "{json}");
    assert_eq!(json["foreign_results"][0]["source"], "intent_executor");
    assert_eq!(json["foreign_results"][0]["count"], 2);
    let page = ends(&server, Exit::Down, &["status"]).await;
    assert!(
        page.contains("2 of the newest 500 results are of another program"),
        "{page}"
    );
}

#[tokio::test]
async fn what_has_not_the_form_of_a_result_is_nobodys_and_counted_apart() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    let (seconds, _): (u64, u64) = redis(c, "TIME").await;
    let at = |millis: u64| format!("{}-0", (seconds - 60) * 1000 + millis);
    publish_plan(c, &at(0), PLAN).await;
    for (millis, fields) in [
        (1, "executed True error no_decision"),
        (2, "decision EXECUTE error executed_missing"),
        (3, "decision EXECUTE executed true"),
        (4, "decision DONE executed True source apply_layer"),
    ] {
        let words = format!(
            "XADD quantum:stream:apply.result {} plan_id {PLAN} symbol BTCUSDT {fields}",
            at(millis)
        );
        let _: String = redis(c, &words).await;
    }
    let words = format!(
        "XADD quantum:stream:apply.result {} decision EXECUTE executed True",
        at(5)
    );
    let _: String = redis(c, &words).await;

    let tail = fine(&server, &["results", "tail"]).await;
    let apart = "source=(malformed)";
    assert!(tail.lines().all(|line| line.contains(apart)), "{tail}");
    assert_eq!(tail.lines().count(), 5);
    assert!(tail.contains("error=no_decision"), "{tail}");
    let json = ops(&server, &["stats", "--json"]).await.json();
    assert_eq!(
        (&json["executed"], &json["not_executed"]),
        (&0.into(), &serde_json::json!({}))
    );
    assert_eq!(json["foreign"]["(malformed) executed=True"], 3, "{json}");
    assert_eq!(json["plan_to_result_ms"], serde_json::json!({}));
    let json = ops(&server, &["status", "--json"]).await.json();
    assert!(json["symbols"][0]["result"].is_null(), "{json}");
    assert_eq!(json["foreign_results"][0]["source"], "(malformed)");
    assert_eq!(json["foreign_results"][0]["count"], 5);
}

#[tokio::test]
async fn an_answer_of_another_executor_does_not_end_a_wait() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "*", PLAN).await;
    let _: String = redis(c, &format!("SET quantum:apply:dedupe:{PLAN} 1-a.0 EX 100")).await;
    answer_of_another(c, "*", PLAN, "false").await;
    let json = ops(&server, &["status", "--json"]).await.json();
    assert_eq!(json["waits"][0]["plan_id"], PLAN, "{json}");
}

#[tokio::test]
async fn a_plan_that_another_executor_says_it_executed_is_not_forgotten() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "1000-0", PLAN).await;
    let _: String = redis(c, &format!("SET quantum:apply:dedupe:{PLAN} 1-a.0 EX 100")).await;
    publish_result(
        c,
        "2000-0",
        PLAN,
        "False",
        "permit_timeout_or_missing:missing_p33",
    )
    .await;
    answer_of_another(c, "3000-0", PLAN, "true").await;
    let said = ops(&server, &["forget", PLAN, "--yes"]).await;
    assert_ne!(said.code, 0, "{}", said.out);
    assert!(
        said.err.contains("another program, intent_executor"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn what_another_executor_wrote_about_a_plan_stands_apart_in_its_story() {
    let stage = Stage::open().await;
    let _executor = SecondExecutor::start(&stage).await;
    let how = stage.service();
    let service = how.clone().ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    let id = plan.get("plan_id");
    for source in ["apply_layer", "intent_executor"] {
        let of_it = |entry: &apply_tests::Entry| {
            entry.get("plan_id") == id && entry.find("source") == Some(source)
        };
        stage
            .wait_for_entry(apply_tests::RESULTS, source, of_it)
            .await;
    }
    service.stopped_well().await;
    // As a user who may do in Redis what the table of commands says.
    let row = COMMANDS.iter().find(|command| command.name == "plan");
    let rules = format!(
        "ACL SETUSER tried reset on >x -@all +hello +ping +select {}",
        row.unwrap().redis
    );
    let words: Vec<&str> = rules.split_whitespace().collect();
    let _: String = stage.command(&words).await;
    let printed = async |words: &[&str], redis: &str| {
        let mut words = words.to_vec();
        words.insert(1, id);
        let asked = how.clone().instead(&words).env("REDIS_URL", redis);
        let printed = asked.ended().await;
        assert_eq!(printed.code, Some(0), "{}", printed.output());
        (printed.log.join("\n"), printed.errors.join("\n"))
    };
    let reader = stage.redis.url_as("tried", "x");
    let (lines, _) = printed(&["plan"], &reader).await;
    let foreign = lines.lines().filter(|line| line.contains("other program"));
    let foreign: Vec<&str> = foreign.collect();
    assert_eq!(foreign.len(), 1, "{lines}");
    for part in [
        "no result of ours",
        "executed=false source=intent_executor",
        "missing_required_fields",
    ] {
        assert!(foreign[0].contains(part), "{lines}");
    }
    let (json, _) = printed(&["plan", "--json"], &reader).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["result"]["executed"], true, "{json}");
    assert_eq!(json["foreign"][0]["source"], "intent_executor", "{json}");
    assert_eq!(json["foreign"].as_array().unwrap().len(), 1);
    // The journal is printed where Redis cannot be asked.
    let away = "redis://127.0.0.1:1/0";
    let (lines, _) = printed(&["plan"], away).await;
    assert!(
        lines.contains("executed=true") && lines.contains("other programs: not known, cannot"),
        "{lines}"
    );
    let (json, errors) = printed(&["plan", "--json"], away).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["foreign"].is_null() && errors.is_empty(), "{errors}");
    let why = json["foreign_unknown"].as_str().unwrap();
    assert!(why.contains("cannot reach Redis"), "{why}");
}
