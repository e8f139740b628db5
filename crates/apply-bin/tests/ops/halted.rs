//! This machine's halt file, as every command sees it.

use crate::{Ended, StateDir, apply_layer};
use apply_core::{Intent, Journal, OrderKind, OrderTrace, Side};
use apply_journal::{JournalSettings, RedbJournal};
use permit_gate::{AttemptId, PlanId};
use redis_harness::RedisServer;
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[tokio::test]
async fn a_halt_by_this_machines_file_is_told_by_every_command_that_tells_of_the_switch() {
    let server = RedisServer::start().await;
    let state = StateDir::new();
    let run = async |args: &[&str]| -> Ended {
        let mut command = apply_layer(&server.url(), args);
        command.env("APPLY_STATE_DIR", state.path());
        command.output().await.unwrap().into()
    };
    let halted = run(&["halt", "--reason", "drill", "--file-only"]).await;
    assert_eq!(halted.code, 0, "{}", halted.err);
    let by = format!("{}/HALT", state.path());

    for command in [&["status"][..], &["watch", "--once"]] {
        let page = run(command).await.out;
        assert!(page.contains(&format!("ON, by {by}")), "{page}");
    }
    let json = run(&["status", "--json"]).await.json();
    assert_eq!(
        (&json["halted"], &json["halted_by"]),
        (&true.into(), &by.clone().into())
    );
    let check = run(&["check"]).await.out;
    let line = check
        .lines()
        .find(|line| line.contains("kill switch"))
        .unwrap();
    assert!(
        line.starts_with("note") && line.contains(&format!("on, by {by}")),
        "{line}"
    );
    let proposed = run(&["propose", "BTCUSDT", "PARTIAL_75"]).await.out;
    assert!(
        proposed.contains("to be decided as BLOCKED kill_switch_active"),
        "{proposed}"
    );

    let resumed = run(&["resume", "--file-only"]).await;
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    let json = run(&["status", "--json"]).await.json();
    assert_eq!(
        (&json["halted"], &json["halted_by"]),
        (&false.into(), &serde_json::Value::Null)
    );
}

#[tokio::test]
async fn check_tells_of_the_halt_file_where_redis_is_away() {
    let state = StateDir::new();
    std::fs::write(format!("{}/HALT", state.path()), "").unwrap();
    let mut command = apply_layer("redis://127.0.0.1:1/0", &["check"]);
    command.env("APPLY_STATE_DIR", state.path());
    let ended: Ended = command.output().await.unwrap().into();
    assert_eq!(ended.code, 69, "{}", ended.out);
    assert!(
        ended.out.contains("/HALT: nothing is executed"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn a_halt_is_told_once_an_order_that_was_about_to_leave_no_longer_can() {
    const WINDOW: Duration = Duration::from_millis(700);
    let state = StateDir::new();
    let settings = JournalSettings::for_claims_of(Duration::from_secs(21_600));
    let journal = RedbJournal::open(Path::new(&state.path()), settings).unwrap();
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // The venue's clock is an hour behind, which changes nothing about how long the window is.
    let from = u64::try_from(began.as_millis()).unwrap() - 3_600_000;
    let intent = Intent {
        plan: PlanId::new("67e6da21fa9fe506").unwrap(),
        symbol: "BTCUSDT".parse().unwrap(),
        step: "CLOSE_PARTIAL_75".into(),
        order: OrderKind::Close,
        attempt: AttemptId::new("a.1").unwrap(),
        trace: OrderTrace {
            side: Side::Sell,
            position_side: "BOTH".into(),
            position_before: None,
            signed_from: from,
            signed_until: from + u64::try_from(WINDOW.as_millis()).unwrap(),
            receive_window: Duration::from_millis(1_500),
        },
        at: began.as_secs(),
    };
    journal.record_intent(&intent).await.unwrap();
    let halt = async || -> Ended {
        let args = ["halt", "--reason", "drill", "--file-only"];
        let mut command = apply_layer("redis://127.0.0.1:1/0", &args);
        command.env("APPLY_STATE_DIR", state.path());
        command.output().await.unwrap().into()
    };
    let halted = halt().await;
    let told = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert_eq!(halted.code, 0, "{}", halted.err);
    assert!(halted.out.contains("halted by"), "{}", halted.out);
    assert!(told >= began + WINDOW, "{told:?} is within the window");

    // Nothing is left that could be signed: no wait.
    let again = halt().await;
    assert!(!again.out.contains("waiting"), "{}", again.out);
}

#[tokio::test]
async fn a_journal_that_cannot_be_looked_at_leaves_a_halt_in_doubt_and_in_force() {
    let state = StateDir::new();
    std::fs::write(format!("{}/journal.id", state.path()), "strange").unwrap();
    let args = ["halt", "--reason", "drill", "--file-only"];
    let mut command = apply_layer("redis://127.0.0.1:1/0", &args);
    command.env("APPLY_STATE_DIR", state.path());
    let ended: Ended = command.output().await.unwrap().into();
    assert_eq!(ended.code, 69, "{}", ended.out);
    assert!(ended.err.contains("cannot be seen"), "{}", ended.err);
    assert!(Path::new(&format!("{}/HALT", state.path())).exists());
}
