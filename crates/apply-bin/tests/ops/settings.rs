//! One file of settings, read by systemd for the service and by a shell for the commands.

use crate::{Ended, PLAN, StateDir, apply_layer, redis};
use redis_harness::RedisServer;
use std::path::Path;
use tokio::process::Command;

/// What systemd's `EnvironmentFile=` makes of `APPLY_STATE_DIR=/…   # the journal`: it keeps the comment.
fn with_a_comment(directory: &str) -> String {
    format!("{directory}   # the journal")
}

async fn ended(mut command: Command) -> Ended {
    command.output().await.unwrap().into()
}

#[tokio::test]
async fn a_comment_behind_a_value_is_refused_by_every_command() {
    let server = RedisServer::start().await;
    let state = StateDir::new();
    let path = with_a_comment(&state.path());
    for command in [
        &["run"][..],
        &["check"],
        &["status"],
        &["watch", "--once"],
        &["propose", "BTCUSDT", "PARTIAL_75"],
        &["plan", PLAN],
        &["forget", PLAN, "--yes"],
        &["new-journal", "--yes"],
        &["permits", "ls"],
    ] {
        for key in ["APPLY_STATE_DIR", "STATE_DIRECTORY"] {
            let mut run = apply_layer(&server.url(), command);
            run.env_remove("APPLY_STATE_DIR").env(key, &path);
            let run = ended(run).await;
            let shown = format!("{}{}", run.out, run.err);
            assert_eq!(run.code, 78, "{command:?}: {shown}");
            assert!(shown.contains(&format!("{key}={path}")), "{shown}");
            assert!(shown.contains("comment"), "{shown}");
        }
    }
    assert!(!Path::new(&path).exists(), "no journal was made there");
    let mut redis_url = apply_layer(&format!("{} # ours", server.url()), &["status"]);
    redis_url.env("APPLY_STATE_DIR", state.path());
    let shown = ended(redis_url).await;
    assert_eq!(shown.code, 78);
    assert!(shown.err.contains("REDIS_URL=(hidden)"), "{}", shown.err);
}

/// A shell that sources the file cuts the comment: the command has the path, and the service, which refuses to start,
/// has no other one.
#[tokio::test]
async fn a_shell_hands_a_command_the_path_and_systemd_hands_the_service_one_that_it_refuses() {
    let server = RedisServer::start().await;
    let state = StateDir::new();
    let file = format!("{}/apply-layer.env", state.path());
    let line = format!("APPLY_STATE_DIR={}\n", with_a_comment(&state.path()));
    std::fs::write(&file, line).unwrap();
    let script = r#"set -a; . "$0"; set +a; exec "$1" halt --file-only"#;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, &file, env!("CARGO_BIN_EXE_apply-layer")])
        .env_clear();
    let halted = ended(shell).await;
    assert_eq!(halted.code, 0, "{}", halted.err);
    assert!(Path::new(&format!("{}/HALT", state.path())).exists());
    let mut service = apply_layer(&server.url(), &["run"]);
    service.env("APPLY_STATE_DIR", with_a_comment(&state.path()));
    assert_eq!(ended(service).await.code, 78);
}

#[tokio::test]
async fn a_halt_turns_the_switch_whose_settings_are_right() {
    let server = RedisServer::start().await;
    let mut connection = server.connection().await;
    let state = StateDir::new();
    let mut misset = apply_layer(&server.url(), &["halt", "--reason", "fire"]);
    misset.env("APPLY_STATE_DIR", with_a_comment(&state.path()));
    let misset = ended(misset).await;
    assert_eq!(misset.code, 78, "{}", misset.err);
    assert!(misset.err.contains("APPLY_STATE_DIR="), "{}", misset.err);
    assert!(misset.out.contains("halted in Redis"), "{}", misset.out);
    assert!(!misset.out.contains("can be executed any more"));
    let switch: String = redis(&mut connection, "GET quantum:global:kill_switch").await;
    assert_eq!(switch, "true");

    let url = format!("{}   # ours", server.url());
    let mut misset = apply_layer(&url, &["halt", "--reason", "fire"]);
    misset.env("APPLY_STATE_DIR", state.path());
    let misset = ended(misset).await;
    assert_eq!(misset.code, 78, "{}", misset.err);
    assert!(misset.err.contains("REDIS_URL=(hidden)"), "{}", misset.err);
    assert!(Path::new(&format!("{}/HALT", state.path())).exists());
}
