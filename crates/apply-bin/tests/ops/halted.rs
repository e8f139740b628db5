//! This machine's halt file, as every command sees it.

use crate::{Ended, StateDir, apply_layer};
use redis_harness::RedisServer;

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
