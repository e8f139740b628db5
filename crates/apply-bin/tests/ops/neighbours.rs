//! Entries of another program on the stream of results, kept apart from this service's.

use crate::{PLAN, ends, fine, ops, publish_plan, publish_result, redis};
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
