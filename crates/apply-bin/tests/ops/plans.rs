//! `plans`, `results`, `stats`, `status`, `watch`, `propose`, `forget`.

use crate::{
    Ended, PLAN, StateDir, apply_layer, ends, fine, ops, publish_plan, publish_result, redis,
};
use apply_wire::Exit;
use redis_harness::RedisServer;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_newest_plans_and_results_are_printed_one_a_line() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    let empty = fine(&server, &["plans", "tail"]).await;
    assert!(empty.contains("is empty"), "{empty}");
    for id in ["1000-0", "2000-0", "3000-0"] {
        publish_plan(c, id, PLAN).await;
    }
    let two = fine(&server, &["plans", "tail", "-n", "2"]).await;
    assert_eq!(two.lines().count(), 2, "{two}");
    assert!(
        two.starts_with(&format!("1970-01-01 00:00:02Z  {PLAN}  BTCUSDT    EXECUTE")),
        "{two}"
    );
    publish_result(c, "4000-0", PLAN, "False", "p33_permit_denied").await;
    let result = fine(&server, &["results", "tail"]).await;
    assert!(
        result.contains("executed=False error=p33_permit_denied"),
        "{result}"
    );
    let json = ops(&server, &["results", "tail", "--json"]).await.json();
    assert_eq!(
        (&json["id"], &json["plan_id"]),
        (&"4000-0".into(), &PLAN.into())
    );
}

#[tokio::test]
async fn following_a_stream_shows_what_comes_later() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "1000-0", "1111111111111111").await;
    let mut command = apply_layer(&server.url(), &["plans", "tail", "--follow"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(first.contains("1111111111111111"), "{first}");
    publish_plan(c, "2000-0", "2222222222222222").await;
    let second = timeout(PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(second.contains("2222222222222222"), "{second}");
    interrupt(&child).await;
    let ended = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}

async fn interrupt(child: &Child) {
    let id = child.id().unwrap().to_string();
    let sent = tokio::process::Command::new("kill")
        .args(["-INT", &id])
        .status()
        .await;
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn counts_are_by_decision_reason_and_error_and_old_entries_do_not_count() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "1000-0", "0000000000000000").await;
    let (seconds, _): (u64, u64) = redis(c, "TIME").await;
    let now = seconds * 1000;
    for (i, (executed, error)) in [
        ("True", ""),
        ("False", "p33_permit_denied"),
        ("False", "p33_permit_denied"),
    ]
    .into_iter()
    .enumerate()
    {
        let plan = format!("{i:016}");
        publish_plan(c, &format!("{}-{i}", now - 60_000), &plan).await;
        publish_result(
            c,
            &format!("{}-{i}", now - 60_000 + 345),
            &plan,
            executed,
            error,
        )
        .await;
    }
    let json = ops(&server, &["stats", "--since", "30m", "--json"])
        .await
        .json();
    assert_eq!(json["plans"]["EXECUTE"], 3, "{json}");
    assert_eq!(json["executed"], 1);
    assert_eq!(json["not_executed"]["p33_permit_denied"], 2);
    assert_eq!(json["plan_to_result_ms"]["p99"], 345);
    let page = fine(&server, &["stats", "--since", "30m"]).await;
    assert!(
        page.contains("p50 345 ms") && page.contains("####"),
        "{page}"
    );
    assert_eq!(ops(&server, &["stats", "--since", "soon"]).await.code, 2);
}

/// As the page and `stats` choose: a plan and its result by what either of them says.
#[tokio::test]
async fn a_decision_or_a_reason_chooses_on_one_stream_by_what_both_say() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    for (number, decision, executed, error) in [
        (1, "EXECUTE", "True", ""),
        (2, "BLOCKED", "False", "p33_permit_denied"),
        (3, "ERROR", "False", "order_rejected:-2022"),
    ] {
        let plan = format!("{number:016x}");
        publish_plan(c, &format!("{number}000-0"), &plan).await;
        let words = format!(
            "XADD quantum:stream:apply.result {number}500-0 plan_id {plan} symbol BTCUSDT decision {decision} executed {executed} would_execute False steps_results [] error {error}"
        );
        let _: String = redis(c, &words).await;
    }
    let ids = |shown: &str| -> Vec<u64> {
        let of = |line: &str| u64::from_str_radix(line.split_whitespace().nth(2).unwrap(), 16);
        shown.lines().map(|line| of(line).unwrap()).collect()
    };
    for (filter, expected) in [
        (["--decision", "EXECUTE"], vec![1, 2, 3]),
        (["--decision", "executed"], vec![1]),
        (["--decision", "blocked"], vec![2]),
        (["--decision", "failed"], vec![3]),
        (["--reason", "denied"], vec![2]),
    ] {
        let span = ["--since", "1970-01-01"];
        for stream in ["plans", "results"] {
            let tail = [&[stream, "tail"][..], &span, &filter].concat();
            let shown = fine(&server, &tail).await;
            assert_eq!(ids(&shown), expected, "{stream} {filter:?}: {shown}");
        }
        let stats = [&["stats", "--json"][..], &span, &filter].concat();
        let stats = ops(&server, &stats).await.json();
        assert_eq!(
            stats["plans"]["EXECUTE"],
            expected.len(),
            "{filter:?}: {stats}"
        );
    }
    // What comes later, too: the result is chosen by the plan that came before it.
    let filter = ["--decision", "EXECUTE", "-n", "1"];
    let tail = [&["results", "tail", "--follow"][..], &filter].concat();
    let mut child = apply_layer(&server.url(), &tail)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in [3, 4] {
        let line = timeout(PATIENCE, lines.next_line()).await;
        let line = line.unwrap().unwrap().unwrap();
        assert_eq!(ids(&line), [number], "{line}");
        let plan = format!("{:016x}", number + 1);
        publish_plan(c, &format!("{}000-0", number + 1), &plan).await;
        let words = format!(
            "XADD quantum:stream:apply.result {}500-0 plan_id {plan} symbol BTCUSDT decision BLOCKED executed False would_execute False steps_results [] error p33_permit_denied",
            number + 1
        );
        let _: String = redis(c, &words).await;
    }
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_span_begins_and_ends_at_dates_as_well_as_so_long_ago() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    // The last second of 24 January 2026, the first and the last of the 25th, the first of the 26th, in UTC.
    for (number, millis) in [
        1_769_299_199_999_u64,
        1_769_299_200_000,
        1_769_385_599_999,
        1_769_385_600_000,
    ]
    .into_iter()
    .enumerate()
    {
        let plan = format!("{number:016x}");
        publish_plan(c, &format!("{millis}-0"), &plan).await;
        publish_result(c, &format!("{millis}-0"), &plan, "True", "").await;
    }
    for (since, until, expected) in [
        ("2026-01-25", "2026-01-25", vec![1, 2]),
        ("2026-01-24T23:59:59Z", "2026-01-25T00:00:00Z", vec![0, 1]),
        ("2026-01-25T01:00:00+01:00", "1h", vec![1, 2, 3]),
        ("2026-01-24", "2026-01-24", vec![0]),
    ] {
        let span = ["--since", since, "--until", until];
        let counted = ops(&server, &[&["stats", "--json"][..], &span].concat()).await;
        let counted = counted.json();
        assert_eq!(counted["executed"], expected.len(), "{span:?}: {counted}");
        for stream in ["results", "plans"] {
            let shown = fine(&server, &[&[stream, "tail"][..], &span].concat()).await;
            assert_eq!(shown.lines().count(), expected.len(), "{span:?}: {shown}");
            for number in &expected {
                assert!(
                    shown.contains(&format!("{number:016x}")),
                    "{span:?}: {shown}"
                );
            }
        }
    }
    let day = ["--since", "2026-01-25", "--until", "2026-01-25"];
    let page = fine(&server, &[&["stats"][..], &day].concat()).await;
    let says = "from 2026-01-25 00:00:00Z until 2026-01-25 23:59:59Z\n";
    assert!(page.starts_with(says), "{page}");
    for wrong in [
        &["stats", "--since", "2026-02-30"][..],
        &["stats", "--since", "1h", "--until", "2h"],
        &["results", "tail", "--since", "25.01.2026"],
        &["cycles", "--since", "yesterday"],
    ] {
        assert_eq!(ops(&server, wrong).await.code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn more_entries_than_one_page_are_all_counted() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    let fill = "for i=1,2500 do redis.call('XADD', KEYS[1], '*', 'plan_id', i, 'decision', 'SKIP', 'reason_codes', 'action_hold') end";
    let mut eval = redis::cmd("EVAL");
    eval.arg(fill).arg(1).arg("quantum:stream:apply.plan");
    let () = eval.query_async(c).await.unwrap();
    let json = ops(&server, &["stats", "--json"]).await.json();
    assert_eq!(json["plans"]["SKIP action_hold"], 2500, "{json}");
}

#[tokio::test]
async fn a_wait_shows_which_permit_is_missing_and_the_switch_who_halts() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "*", PLAN).await;
    let _: String = redis(c, &format!("SET quantum:apply:dedupe:{PLAN} 1-a.0 EX 100")).await;
    let _: String = redis(c, "SET quantum:global:kill_switch true").await;
    fine(&server, &["permits", "grant", PLAN, "governor", "--yes"]).await;
    for command in [&["status"][..], &["watch", "--once"]] {
        let page = ops(&server, command).await.out;
        assert!(page.contains("ON, by quantum:global:kill_switch"), "{page}");
        let wait = page.split("waits in progress").nth(1).unwrap();
        let line = |name: &str| {
            wait.lines()
                .find(|line| line.trim().starts_with(name))
                .unwrap()
        };
        assert!(line("governor").ends_with("yes"), "{wait}");
        assert!(line("p33").ends_with("missing"), "{wait}");
    }
    let json = ops(&server, &["status", "--json"]).await.json();
    assert_eq!(
        (&json["halted"], &json["service"]),
        (&true.into(), &"away".into())
    );
    assert_eq!(json["waits"][0]["plan_id"], PLAN);
    publish_result(
        c,
        "*",
        PLAN,
        "False",
        "permit_timeout_or_missing:missing_p33",
    )
    .await;
    let page = ends(&server, Exit::Down, &["status"]).await;
    assert!(page.contains("waits in progress: none"), "{page}");
}

#[tokio::test]
async fn a_proposal_becomes_the_plan_it_was_said_to_become() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    let _: i64 = redis(c, "HSET quantum:harvest:proposal:BTCUSDT new_sl_proposed 1.5 harvest_action HOLD kill_score 0.9").await;
    let said = ops(&server, &["propose", "BTCUSDT", "PARTIAL_75", "--json"])
        .await
        .json();
    assert_eq!(said["decision"], "EXECUTE", "{said}");
    let state = StateDir::new();
    let mut service = apply_layer(&server.url(), &["run"]);
    service
        .env("APPLY_METRICS_PORT", "0")
        .env("APPLY_STATE_DIR", state.path())
        .env("APPLY_PERMIT_WAIT_MS", "0")
        .env("APPLY_POLL_SEC", "0.05");
    let mut service = service.stdout(Stdio::null()).spawn().unwrap();
    let mut read = redis::cmd("XREAD");
    read.arg("BLOCK")
        .arg(400)
        .arg("STREAMS")
        .arg("quantum:stream:apply.result")
        .arg("0");
    timeout(PATIENCE, async {
        loop {
            let got: redis::Value = read.query_async(c).await.unwrap();
            if got != redis::Value::Nil {
                return;
            }
        }
    })
    .await
    .expect("the service published a result");
    let plan = ops(&server, &["plans", "tail", "--json"]).await.json();
    assert_eq!(plan["plan_id"], said["plan_id"], "{plan}");
    let blocked = fine(&server, &["results", "tail"]).await;
    assert!(
        blocked.contains("permit_timeout_or_missing:missing_both"),
        "{blocked}"
    );
    service.kill().await.unwrap();

    let other = fine(
        &server,
        &["propose", "BTCUSDT", "UPDATE_SL", "--kill-score", "0.65"],
    )
    .await;
    assert!(
        other.contains("BLOCKED kill_score_warning_risk_increase"),
        "{other}"
    );
    let unseen = fine(&server, &["propose", "XRPUSDT", "HOLD"]).await;
    assert!(unseen.contains("not in SYMBOLS"), "{unseen}");
    for wrong in [["btc", "HOLD"], ["BTCUSDT", "SELL_ALL"]] {
        assert_eq!(
            ops(&server, &["propose", wrong[0], wrong[1]]).await.code,
            2,
            "{wrong:?}"
        );
    }
    assert_eq!(
        ops(
            &server,
            &["propose", "BTCUSDT", "HOLD", "--kill-score", "nan"]
        )
        .await
        .code,
        2
    );
}

#[tokio::test]
async fn a_stuck_claim_is_forgotten_and_one_behind_an_order_is_not() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    let claim = format!("quantum:apply:dedupe:{PLAN}");
    let receipt = format!("quantum:apply:inflight:{PLAN}");
    let mark = format!("quantum:apply:result_published:{PLAN}");
    let forget = ["forget", PLAN, "--yes"];

    let nothing = fine(&server, &forget).await;
    assert!(nothing.contains("nothing to forget"), "{nothing}");

    publish_plan(c, "1000-0", PLAN).await;
    let _: String = redis(c, &format!("SET {claim} 1-a.0 EX 21600")).await;
    let _: String = redis(c, &format!("SET {receipt} 1-a.0 EX 21600")).await;
    let refused = ops(&server, &forget).await;
    assert!(
        refused.code == 1 && refused.err.contains("an order may exist"),
        "{}",
        refused.err
    );

    let _: i64 = redis(c, &format!("DEL {receipt}")).await;
    let _: i64 = redis(c, &format!("HSET quantum:apply:open {PLAN} {{}}")).await;
    let refused = ops(&server, &forget).await;
    assert!(
        refused.code == 1 && refused.err.contains("the service settles it"),
        "{}",
        refused.err
    );

    let _: i64 = redis(c, &format!("HDEL quantum:apply:open {PLAN}")).await;
    let _: String = redis(c, &format!("SET {mark} final EX 21600")).await;
    let refused = ops(&server, &forget).await;
    assert!(
        refused.code == 1 && refused.err.contains("no longer on the stream"),
        "{}",
        refused.err
    );

    publish_result(
        c,
        "2000-0",
        PLAN,
        "False",
        "permit_timeout_or_missing:missing_p33",
    )
    .await;
    let done = fine(&server, &forget).await;
    assert!(done.contains("forgotten"), "{done}");
    let left: Vec<String> = redis(c, "KEYS quantum:apply:*").await;
    assert!(left.is_empty(), "{left:?}");

    let _: String = redis(c, &format!("SET {claim} 1-b.0 EX 21600")).await;
    publish_result(c, "3000-0", PLAN, "True", "").await;
    let refused = ops(&server, &forget).await;
    assert!(
        refused.code == 1 && refused.err.contains("it was executed"),
        "{}",
        refused.err
    );
    let held: i64 = redis(c, &format!("EXISTS {claim}")).await;
    assert_eq!(held, 1);
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_keeps_a_plan_from_being_forgotten() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "1000-0", PLAN).await;
    publish_result(c, "2000-0", PLAN, "False", "p33_permit_denied").await;
    let claim = format!("quantum:apply:dedupe:{PLAN}");
    let _: String = redis(c, &format!("SET {claim} 1-a.0 EX 21600")).await;
    let state = StateDir::new();
    let at = std::path::PathBuf::from(state.path());
    std::fs::write(at.join("journal.id"), "somebody's").unwrap();
    std::fs::write(at.join("journal.redb"), "no database").unwrap();
    let ended: Ended = apply_layer(&server.url(), &["forget", PLAN, "--yes"])
        .env("APPLY_STATE_DIR", state.path())
        .output()
        .await
        .unwrap()
        .into();
    assert_eq!(ended.code, 69, "{}{}", ended.out, ended.err);
    assert!(
        ended.err.contains("may know the plan and cannot be read"),
        "{}",
        ended.err
    );
    let held: i64 = redis(c, &format!("EXISTS {claim}")).await;
    assert_eq!(held, 1);
}

#[tokio::test]
async fn a_plan_that_may_be_under_way_is_left_alone() {
    let server = RedisServer::start().await;
    let c = &mut server.connection().await;
    publish_plan(c, "*", PLAN).await;
    let _: String = redis(
        c,
        &format!("SET quantum:apply:dedupe:{PLAN} 1-a.0 EX 21600"),
    )
    .await;
    let refused = ops(&server, &["forget", PLAN, "--yes"]).await;
    assert!(
        refused.code == 1 && refused.err.contains("may still be under way"),
        "{}",
        refused.err
    );
}
