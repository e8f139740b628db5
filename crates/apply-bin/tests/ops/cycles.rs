//! `cycles`: the checklist of a deployment passes where all of it holds, and each criterion fails by itself.

use crate::{Ended, apply_layer, ops};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use redis_harness::RedisServer;
use serde_json::Value;

const PLANS: &str = "quantum:stream:apply.plan";
const RESULTS: &str = "quantum:stream:apply.result";

/// A server on which both reviewers read.
struct Scene {
    server: RedisServer,
    redis: MultiplexedConnection,
    /// The server's time at the start, in milliseconds.
    now: u64,
}

/// What came of a plan.
struct Published<'a> {
    executed: &'a str,
    would_execute: &'a str,
    steps: &'a str,
    error: &'a str,
}

const EXECUTED: Published<'_> = Published {
    executed: "True",
    would_execute: "False",
    steps: r#"[{"step":"CLOSE_PARTIAL_50","status":"success","details":"","order_id":"1","side":"SELL","quantity":"0.006","executed_qty":"0.006","reduce_only":true}]"#,
    error: "",
};

impl Scene {
    async fn open() -> Self {
        let server = RedisServer::start().await;
        let mut redis = server.connection().await;
        let (seconds, _): (u64, u64) = ::redis::cmd("TIME").query_async(&mut redis).await.unwrap();
        let mut scene = Self {
            server,
            redis,
            now: seconds * 1000,
        };
        for group in ["governor", "p33"] {
            scene
                .run(&["XGROUP", "CREATE", PLANS, group, "0", "MKSTREAM"])
                .await;
        }
        scene
    }

    async fn run(&mut self, words: &[&str]) {
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.exec_async(&mut self.redis).await.unwrap();
    }

    async fn reviewers_read(&mut self) {
        for group in ["governor", "p33"] {
            self.run(&["XREADGROUP", "GROUP", group, "one", "STREAMS", PLANS, ">"])
                .await;
        }
    }

    /// A plan of this service, so long ago; its id.
    async fn plan(&mut self, minutes_ago: u64) -> String {
        self.plan_with(minutes_ago, &[("attempt", "1-a.0")]).await
    }

    async fn plan_with(&mut self, minutes_ago: u64, more: &[(&str, &str)]) -> String {
        let id = format!("{minutes_ago:016x}");
        let mut fields = vec![
            ("plan_id", &*id),
            ("symbol", "BTCUSDT"),
            ("decision", "EXECUTE"),
        ];
        fields.extend(more);
        let at = format!("{}-0", self.now - minutes_ago * 60_000);
        let _: String = self.redis.xadd(PLANS, at, &fields).await.unwrap();
        id
    }

    async fn result(
        &mut self,
        minutes_ago: u64,
        took: u64,
        published: &Published<'_>,
        more: &[(&str, &str)],
    ) {
        let id = format!("{minutes_ago:016x}");
        let mut fields = vec![
            ("plan_id", &*id),
            ("symbol", "BTCUSDT"),
            ("decision", "EXECUTE"),
            ("executed", published.executed),
            ("would_execute", published.would_execute),
            ("steps_results", published.steps),
            ("error", published.error),
        ];
        fields.extend(more);
        let at = format!("{}-0", self.now - minutes_ago * 60_000 + took);
        let _: String = self.redis.xadd(RESULTS, at, &fields).await.unwrap();
    }

    /// Executed cycles at these ages, oldest first, each 345 ms long.
    async fn good(&mut self, minutes_ago: &[u64]) {
        for at in minutes_ago {
            self.plan(*at).await;
            self.result(*at, 345, &EXECUTED, &[]).await;
        }
    }

    async fn judged(&self, goal: &str) -> Ended {
        ops(&self.server, &["cycles", "--goal", goal, "--json"]).await
    }

    /// Those that do not hold.
    async fn failing(&self, goal: &str) -> Vec<String> {
        let ended = self.judged(goal).await;
        let json = ended.json();
        let failing: Vec<String> = json["criteria"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["passed"] == false)
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ended.code, i32::from(!failing.is_empty()), "{json}");
        assert_eq!(json["passed"], failing.is_empty(), "{json}");
        failing
    }

    async fn criterion(&self, goal: &str, name: &str) -> Value {
        let json = self.judged(goal).await.json();
        let all = json["criteria"].as_array().unwrap();
        let one = all.iter().find(|one| one["name"] == name);
        one.unwrap_or_else(|| panic!("no {name} in {json}")).clone()
    }
}

#[tokio::test]
async fn five_good_cycles_are_enough_for_the_testnet_and_not_for_its_promotion() {
    let mut scene = Scene::open().await;
    scene.good(&[50, 40, 30, 20, 10]).await;
    scene.reviewers_read().await;
    assert_eq!(scene.failing("testnet").await, [""; 0]);
    assert_eq!(scene.failing("promote").await, ["good_in_a_row"]);
    let row = scene.criterion("promote", "good_in_a_row").await;
    assert_eq!(row["found"], "5 over 40 min");
    assert_eq!(row["wanted"], "10 good cycles in a row over 120 min");
    let first = row["evidence"][0].as_str().unwrap();
    assert_eq!(first, "000000000000000a executed in 345 ms quantity=0.006");

    let page = ops(&scene.server, &["cycles"]).await;
    assert_eq!(page.code, 0, "{}", page.err);
    assert_eq!(page.out.matches("passed  ").count(), 8, "{}", page.out);
}

#[tokio::test]
async fn ten_good_cycles_promote_where_they_took_two_hours() {
    let mut scene = Scene::open().await;
    scene.good(&[90, 80, 70, 60, 50, 40, 30, 20, 10]).await;
    scene.good(&[5]).await;
    scene.reviewers_read().await;
    assert_eq!(scene.failing("promote").await, ["good_in_a_row"]);

    let mut scene = Scene::open().await;
    scene.good(&[130, 110, 90, 80, 70, 60, 40, 30, 20, 5]).await;
    scene.reviewers_read().await;
    assert_eq!(scene.failing("promote").await, [""; 0]);
}

#[tokio::test]
async fn a_dry_run_counts_for_the_testnet_and_not_for_its_promotion() {
    let mut scene = Scene::open().await;
    for at in [50, 40, 30, 20, 10] {
        scene.plan(at).await;
        let published = Published {
            executed: "False",
            would_execute: "True",
            steps: r#"[{"step":"CLOSE_PARTIAL_50","status":"dry_run","details":"","approved_qty":"0.006"}]"#,
            error: "",
        };
        scene.result(at, 345, &published, &[]).await;
    }
    scene.reviewers_read().await;
    assert_eq!(scene.failing("testnet").await, [""; 0]);
    assert_eq!(
        scene.failing("promote").await,
        ["orders_executed", "good_in_a_row"]
    );
}

#[tokio::test]
async fn nothing_holds_on_empty_streams_but_what_counts_offences() {
    let server = RedisServer::start().await;
    let ended = ops(&server, &["cycles", "--json"]).await;
    assert_eq!(ended.code, 1, "{}", ended.out);
    let json = ended.json();
    let holds: Vec<&str> = json["criteria"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["passed"] == true)
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(holds, ["in_doubt", "foreign_executions"]);
}

#[tokio::test]
async fn a_plan_that_missed_a_permit_breaks_the_row() {
    let mut scene = Scene::open().await;
    scene.good(&[60, 50, 40, 30, 20]).await;
    let id = scene.plan(10).await;
    let published = Published {
        executed: "False",
        steps: "[]",
        error: "permit_timeout_or_missing:missing_p33",
        ..EXECUTED
    };
    scene.result(10, 1200, &published, &[]).await;
    scene.reviewers_read().await;
    assert_eq!(
        scene.failing("testnet").await,
        ["permits_granted", "orders_executed", "good_in_a_row"]
    );
    let granted = scene.criterion("testnet", "permits_granted").await;
    assert_eq!(granted["found"], "4 of 5");
    let why = granted["evidence"][0].as_str().unwrap();
    assert!(
        why.starts_with(&id) && why.ends_with("missing_p33"),
        "{why}"
    );
}

#[tokio::test]
async fn a_wait_beyond_the_limit_fails_and_is_named() {
    let mut scene = Scene::open().await;
    scene.good(&[50, 40, 30, 20]).await;
    scene.plan(10).await;
    scene.result(10, 1201, &EXECUTED, &[]).await;
    scene.reviewers_read().await;
    assert_eq!(
        scene.failing("testnet").await,
        ["longest_wait", "good_in_a_row"]
    );
    let longest = scene.criterion("testnet", "longest_wait").await;
    assert_eq!(longest["found"], "1201 ms");
    // A wait that the operator allows is none beyond the limit.
    let longer = apply_layer(&scene.server.url(), &["cycles"])
        .env("APPLY_PERMIT_WAIT_MS", "2000")
        .output()
        .await
        .unwrap();
    assert_eq!(longer.status.code(), Some(0));
}

#[tokio::test]
async fn an_order_that_took_long_after_a_short_wait_is_no_long_wait() {
    let mut scene = Scene::open().await;
    scene.good(&[50, 40, 30, 20]).await;
    scene.plan(10).await;
    let said = [("permit_wait_ms", "900")];
    scene.result(10, 2500, &EXECUTED, &said).await;
    scene.reviewers_read().await;
    assert_eq!(scene.failing("testnet").await, [""; 0]);
    let longest = scene.criterion("testnet", "longest_wait").await;
    assert_eq!(longest["found"], "900 ms");
    let shown = longest["evidence"][0].as_str().unwrap();
    let published = "executed in 2500 ms permit_wait_ms=900 quantity=0.006";
    assert!(shown.ends_with(published), "{shown}");

    let mut scene = Scene::open().await;
    scene.good(&[50, 40, 30, 20]).await;
    scene.plan(10).await;
    let said = [("permit_wait_ms", "1201")];
    scene.result(10, 1250, &EXECUTED, &said).await;
    scene.reviewers_read().await;
    assert_eq!(
        scene.failing("testnet").await,
        ["longest_wait", "good_in_a_row"]
    );
}

#[tokio::test]
async fn an_order_that_filled_nothing_fails_and_a_stop_does_not() {
    let mut scene = Scene::open().await;
    scene.good(&[50, 40, 30]).await;
    let stop = r#"[{"step":"UPDATE_SL","status":"success","details":"","order_id":"2","side":"SELL","executed_qty":"0","reduce_only":true}]"#;
    scene.plan(20).await;
    let published = Published {
        steps: stop,
        ..EXECUTED
    };
    scene.result(20, 345, &published, &[]).await;
    scene.good(&[10]).await;
    scene.reviewers_read().await;
    assert_eq!(scene.failing("testnet").await, [""; 0]);

    for nothing in [
        EXECUTED.steps.replace("0.006\",\"reduce", "0\",\"reduce"),
        "[]".into(),
    ] {
        let mut scene = Scene::open().await;
        scene.good(&[50, 40, 30, 20]).await;
        scene.plan(10).await;
        let published = Published {
            steps: &nothing,
            ..EXECUTED
        };
        scene.result(10, 345, &published, &[]).await;
        scene.reviewers_read().await;
        assert_eq!(
            scene.failing("testnet").await,
            ["quantities", "good_in_a_row"],
            "{nothing}"
        );
    }
}

#[tokio::test]
async fn an_order_that_was_refused_is_no_execution() {
    let mut scene = Scene::open().await;
    scene.good(&[50, 40, 30, 20]).await;
    scene.plan(10).await;
    let published = Published {
        executed: "False",
        error: "order_rejected:-2022",
        ..EXECUTED
    };
    scene.result(10, 345, &published, &[]).await;
    scene.reviewers_read().await;
    assert_eq!(
        scene.failing("testnet").await,
        ["orders_executed", "good_in_a_row"]
    );
}

#[tokio::test]
async fn a_plan_in_doubt_fails_also_where_it_has_no_result_at_all() {
    let mut scene = Scene::open().await;
    scene.plan(100).await;
    let published = Published {
        executed: "False",
        error: "order_unresolved",
        ..EXECUTED
    };
    scene.result(100, 345, &published, &[]).await;
    scene.good(&[50, 40, 30, 20, 10]).await;
    scene.reviewers_read().await;
    assert_eq!(scene.failing("testnet").await, ["in_doubt"]);

    let mut scene = Scene::open().await;
    let lost = scene.plan(100).await;
    scene.good(&[50, 40, 30, 20, 10]).await;
    // A plan that still waits for its permits is not in doubt.
    scene.plan(0).await;
    scene.reviewers_read().await;
    assert_eq!(scene.failing("testnet").await, ["in_doubt"]);
    let doubt = scene.criterion("testnet", "in_doubt").await;
    assert_eq!(doubt["found"], "1");
    let why = doubt["evidence"][0].as_str().unwrap();
    assert!(why.starts_with(&lost) && why.contains("no result"), "{why}");
}

#[tokio::test]
async fn entries_of_another_executor_are_no_cycles_and_its_executions_fail() {
    let mut scene = Scene::open().await;
    for at in [50, 40, 30, 20, 10] {
        scene.plan(at).await;
        let published = Published {
            executed: "false",
            ..EXECUTED
        };
        scene
            .result(at, 5, &published, &[("source", "intent_executor")])
            .await;
        scene.result(at, 345, &EXECUTED, &[]).await;
        // What stands there for the position brain alone is no result either.
        let filler = Published {
            executed: "False",
            steps: "[]",
            error: "duplicate_plan",
            ..EXECUTED
        };
        scene
            .result(at, 400, &filler, &[("filler", "booked")])
            .await;
    }
    scene.reviewers_read().await;
    assert_eq!(scene.failing("testnet").await, [""; 0]);
    let published = Published {
        executed: "true",
        ..EXECUTED
    };
    scene
        .result(5, 5, &published, &[("source", "intent_executor")])
        .await;
    assert_eq!(scene.failing("testnet").await, ["foreign_executions"]);
    let foreign = scene.criterion("testnet", "foreign_executions").await;
    assert_eq!(
        foreign["evidence"][0],
        "0000000000000005 by intent_executor"
    );

    // Another executor alone makes no cycle.
    let mut scene = Scene::open().await;
    for at in [50, 40, 30, 20, 10] {
        scene.plan(at).await;
        scene
            .result(at, 5, &EXECUTED, &[("source", "intent_executor")])
            .await;
    }
    scene.reviewers_read().await;
    let row = scene.criterion("testnet", "good_in_a_row").await;
    assert_eq!(row["found"], "0 over 0 ms");
}

#[tokio::test]
async fn cycles_of_the_service_before_are_not_ours() {
    let mut scene = Scene::open().await;
    for at in [50, 40, 30, 20, 10] {
        scene.plan_with(at, &[]).await;
        scene.result(at, 345, &EXECUTED, &[]).await;
    }
    scene.reviewers_read().await;
    let row = scene.criterion("testnet", "good_in_a_row").await;
    assert_eq!(
        (&row["passed"], &row["found"]),
        (&false.into(), &"0 over 0 ms".into())
    );
}

#[tokio::test]
async fn a_reviewer_that_is_behind_or_away_fails() {
    let mut scene = Scene::open().await;
    scene.good(&[50, 40, 30, 20, 10]).await;
    // The group has never read.
    assert_eq!(scene.failing("testnet").await, ["reviewers_lag"]);
    scene.reviewers_read().await;
    assert_eq!(scene.failing("testnet").await, [""; 0]);
    for at in 0..11 {
        scene
            .run(&[
                "XADD",
                PLANS,
                "*",
                "decision",
                "SKIP",
                "plan_id",
                &at.to_string(),
            ])
            .await;
    }
    assert_eq!(scene.failing("testnet").await, ["reviewers_lag"]);
    let lag = scene.criterion("testnet", "reviewers_lag").await;
    assert_eq!(lag["found"], "11 plans behind at most");
    scene.reviewers_read().await;
    scene.run(&["XGROUP", "DESTROY", PLANS, "p33"]).await;
    assert_eq!(scene.failing("testnet").await, ["reviewers_lag"]);
    let lag = scene.criterion("testnet", "reviewers_lag").await;
    assert_eq!(
        lag["evidence"][1],
        "p33: no such group on the stream of plans"
    );
    // One that is not required is not missed.
    let alone = apply_layer(&scene.server.url(), &["cycles"])
        .env("APPLY_PERMITS", "governor")
        .output()
        .await
        .unwrap();
    assert_eq!(alone.status.code(), Some(0));
}
