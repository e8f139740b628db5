//! `permits`.

use crate::{Ended, PLAN, apply_layer, fine, ops, publish_plan, redis};
use redis_harness::RedisServer;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

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
    fine(&server, &["permits", "revoke", PLAN, "p33", "--yes"]).await;
    let left: Vec<String> = redis(c, "KEYS quantum:permit:*").await;
    assert_eq!(left, [format!("quantum:permit:{PLAN}")]);
    let again = fine(&server, &["permits", "revoke", PLAN, "--yes"]).await;
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
    for (args, code, why) in [
        (vec!["permits", "grant", PLAN, "p33", "--yes"], 2, "--qty"),
        (
            vec!["permits", "grant", PLAN, "p99", "--yes"],
            7,
            "no permit is called",
        ),
        (
            vec![
                "permits", "grant", PLAN, "p33", "--qty", "1", "--symbol", "ETHUSDT", "--yes",
            ],
            1,
            "not for ETHUSDT",
        ),
        (
            vec!["permits", "grant", "feedfeedfeedfeed", "governor", "--yes"],
            7,
            "--symbol",
        ),
        (
            vec!["permits", "grant", PLAN, "p33", "--content", "{}", "--yes"],
            1,
            "would refuse",
        ),
    ] {
        let ended = ops(&server, &args).await;
        assert!(
            ended.code == code && ended.err.contains(why),
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

/// Runs `permits judge` with this text on standard input, and a Redis that is not there.
async fn judged(args: &[&str], text: &[u8]) -> Ended {
    let args = [&["permits", "judge"], args].concat();
    let mut command = apply_layer("redis://127.0.0.1:1/0", &args);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = stdin.write_all(text).await;
    drop(stdin);
    child.wait_with_output().await.unwrap().into()
}

#[tokio::test]
async fn a_permit_from_standard_input_is_judged_as_the_gate_would_without_redis() {
    let yes = br#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.009000000000000001,"created_at":1}"#;
    let ended = judged(&["p33", "--symbol", "BTCUSDT"], yes).await;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("yes, at most 0.009"), "{}", ended.out);
    // The symbol that the permit names, and every permit's rule.
    let ended = judged(&["--json"], yes).await;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let json = ended.json();
    assert_eq!(
        json[0]["reason"], "invalid_governor_permit_format",
        "{json}"
    );
    assert_eq!(
        (&json[1]["yes"], &json[1]["limit"]),
        (&true.into(), &"0.009".into())
    );
    for (args, text, words) in [
        (
            &["p33", "--symbol", "ETHUSDT"][..],
            &yes[..],
            "p33_permit_symbol_mismatch",
        ),
        (&["p33"], b"HASH(0x55b70992ef70)", "Perl"),
        (
            &["p33"],
            b"{\"allow\":true,\"symbol\":\"BTCUSDT\",\"safe_close_qty\":0,009,\"created_at\":1}",
            "decimal comma",
        ),
        (&["p33"], b"", "the text is empty"),
        (&["p33"], &[b'x'; 9000], "longer than 8192 bytes"),
    ] {
        let ended = judged(args, text).await;
        assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
        assert!(ended.out.contains(words), "{}", ended.out);
        assert!(
            ended.out.lines().all(|line| line.chars().count() < 400),
            "{}",
            ended.out
        );
    }
    let ended = judged(&["p99"], yes).await;
    assert!(
        ended.code == 7 && ended.err.contains("governor, p33"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn a_signed_permit_from_standard_input_is_judged_for_what_was_published() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "*", PLAN).await;
    let keys = format!(
        "governor:gov1={},p33:brain1={}",
        "1".repeat(64),
        "2".repeat(64)
    );
    let grant = ["permits", "grant", PLAN, "governor", "--yes"];
    let signing = |args: &[&str]| {
        let mut command = apply_layer(&server.url(), args);
        command.env("APPLY_PERMIT_KEYS", &keys);
        command
    };
    let granted = signing(&grant).output().await.unwrap();
    assert!(granted.status.success(), "{granted:?}");
    let permit: Vec<u8> = redis(c, &format!("GET quantum:permit:{PLAN}")).await;
    for (args, code, words) in [
        (&["governor", "--plan", PLAN][..], 0, "yes"),
        (&["governor"], 2, "add --plan"),
        (
            &["governor", "--plan", "feedfeedfeedfeed"],
            1,
            "governor_permit_foreign",
        ),
        (&["p33", "--plan", PLAN], 1, "p33_permit_foreign"),
    ] {
        let args = [&["permits", "judge"], args].concat();
        let mut command = signing(&args);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(&permit).await;
        drop(stdin);
        let ended: Ended = child.wait_with_output().await.unwrap().into();
        assert_eq!(ended.code, code, "{args:?}: {}{}", ended.out, ended.err);
        let said = format!("{}{}", ended.out, ended.err);
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test]
async fn show_prints_what_lies_there_on_one_line_and_not_more_of_it_than_is_read() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "*", PLAN).await;
    let _: () = ::redis::cmd("SET")
        .arg(format!("quantum:permit:{PLAN}"))
        .arg(b"\x1f\x8b\x08\x00\x1b[2J\n")
        .query_async(c)
        .await
        .unwrap();
    let _: () = ::redis::cmd("SET")
        .arg(format!("quantum:permit:p33:{PLAN}"))
        .arg(format!("\"{}\"", "\\\"x".repeat(20_000)))
        .query_async(c)
        .await
        .unwrap();
    let page = fine(&server, &["permits", "show", PLAN]).await;
    assert!(
        page.contains("gzip") && page.contains(r"\u{1f}\x8b\u{8}\0\u{1b}[2J\n"),
        "{page}"
    );
    assert!(page.contains("longer than 8192 bytes"), "{page}");
    assert!(
        page.lines().all(|line| line.chars().count() < 300),
        "{page}"
    );
    let json = ops(&server, &["permits", "show", PLAN, "--json"])
        .await
        .json();
    assert!(
        json["permits"][0]["content"]
            .as_str()
            .unwrap()
            .contains(r"\x8b"),
        "{json}"
    );
}
