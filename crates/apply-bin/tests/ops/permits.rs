//! `permits`.

use crate::{PLAN, apply_layer, fine, ops, publish_plan, redis};
use redis_harness::RedisServer;
use std::process::Stdio;

#[tokio::test]
async fn every_permit_is_listed_under_its_own_name_and_nothing_else_is() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    for key in ["", "p33:", "p26:", "p33:not:an:id:"] {
        let _: String = redis(c, &format!("SET quantum:permit:{key}{PLAN} x EX 60")).await;
    }
    // More than one page of a scan.
    for i in 0..2500 {
        let _: String = redis(c, &format!("SET quantum:other:{i} x")).await;
    }
    let lines = fine(&server, &["permits", "ls"]).await;
    let heads: Vec<Vec<&str>> = lines
        .lines()
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    assert_eq!(heads, [[PLAN, "governor"], [PLAN, "p33"]], "{lines}");
    assert_eq!(
        ops(&server, &["permits", "ls", "--json"]).await.json()[1]["permit"],
        "p33"
    );
}

#[tokio::test]
async fn a_permit_is_judged_by_the_services_own_rules() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "*", PLAN).await;
    let _: String = redis(c, &format!(r#"SET quantum:permit:p33:{PLAN} {{"allow":false,"symbol":"BTCUSDT","reason":"reconcile_required_qty_mismatch","context":{{}},"created_at":1.5}} EX 60"#)).await;
    let page = fine(&server, &["permits", "show", PLAN]).await;
    assert!(page.contains("missing"), "{page}");
    assert!(
        page.contains("no: denied: reconcile_required_qty_mismatch (p33_permit_denied)"),
        "{page}"
    );
    let _: i64 = redis(c, &format!("SADD quantum:permit:{PLAN} x")).await;
    let json = ops(&server, &["permits", "show", PLAN, "--json"])
        .await
        .json();
    assert_eq!(
        json["permits"][0]["reason"], "invalid_governor_permit_format",
        "{json}"
    );
    assert_eq!(json["permits"][1]["yes"], false);
}

#[tokio::test]
async fn granted_permits_are_yes_last_a_minute_and_can_be_revoked() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "*", PLAN).await;
    fine(&server, &["permits", "grant", PLAN, "governor", "--yes"]).await;
    fine(
        &server,
        &["permits", "grant", PLAN, "p33", "--qty", "0.008", "--yes"],
    )
    .await;
    let json = ops(&server, &["permits", "show", PLAN, "--json"])
        .await
        .json();
    for permit in json["permits"].as_array().unwrap() {
        assert_eq!(permit["yes"], true, "{json}");
        assert!(
            (1..=60_000).contains(&permit["ttl_ms"].as_i64().unwrap()),
            "{json}"
        );
    }
    fine(&server, &["permits", "revoke", PLAN, "p33"]).await;
    let left: Vec<String> = redis(c, "KEYS quantum:permit:*").await;
    assert_eq!(left, [format!("quantum:permit:{PLAN}")]);
    let again = fine(&server, &["permits", "revoke", PLAN]).await;
    assert!(
        again.contains("deleted") && again.contains("was not there"),
        "{again}"
    );
}

#[tokio::test]
async fn a_denial_is_not_written_over_and_no_symbol_is_guessed() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "*", PLAN).await;
    let _: String = redis(c, &format!("SET quantum:permit:{PLAN} denied EX 60")).await;
    let grant = ["permits", "grant", PLAN, "governor", "--yes"];
    let over = ops(&server, &grant).await;
    assert!(
        over.code == 1 && over.err.contains("there already"),
        "{}",
        over.err
    );
    let kept: String = redis(c, &format!("GET quantum:permit:{PLAN}")).await;
    assert_eq!(kept, "denied");
    for (args, why) in [
        (vec!["permits", "grant", PLAN, "p33", "--yes"], "--qty"),
        (
            vec!["permits", "grant", PLAN, "p99", "--yes"],
            "no permit is called",
        ),
        (
            vec![
                "permits", "grant", PLAN, "p33", "--qty", "1", "--symbol", "ETHUSDT", "--yes",
            ],
            "not for ETHUSDT",
        ),
        (
            vec!["permits", "grant", "feedfeedfeedfeed", "governor", "--yes"],
            "--symbol",
        ),
        (
            vec!["permits", "grant", PLAN, "p33", "--content", "{}", "--yes"],
            "no yes",
        ),
    ] {
        let ended = ops(&server, &args).await;
        assert!(
            ended.code == 1 && ended.err.contains(why),
            "{args:?}: {}",
            ended.err
        );
    }
    assert_eq!(
        ops(&server, &["permits", "grant", PLAN, "p33", "--qty", "0"])
            .await
            .code,
        2
    );
}

#[tokio::test]
async fn without_a_yes_nothing_is_written() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "*", PLAN).await;
    let mut command = apply_layer(&server.url(), &["permits", "grant", PLAN, "governor"]);
    let ended = command.stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let keys: Vec<String> = redis(c, "KEYS quantum:permit:*").await;
    assert!(keys.is_empty(), "{keys:?}");
}
