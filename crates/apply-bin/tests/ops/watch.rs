//! `watch` on a terminal: a real one, which `script` opens and stands in for; and without one.

use crate::{PLAN, StateDir, apply_layer, publish_plan, redis};
use apply_tests::within;
use redis_harness::RedisServer;
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// Enters and leaves a terminal's other screen: what stood there before comes back.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// `watch` on a terminal of this size.
async fn on_a_terminal(
    url: &str,
    state: &StateDir,
    size: &str,
    env: &[(&str, &str)],
) -> (Child, ChildStdin, Screen) {
    let program = env!("CARGO_BIN_EXE_apply-layer");
    let mut terminal = Command::new("script");
    terminal.args([
        "--quiet",
        "--return",
        "--flush",
        "--echo",
        "never",
        "--command",
    ]);
    terminal
        .arg(format!("stty {size}; exec {program} watch"))
        .arg("/dev/null");
    terminal
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    terminal
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env("REDIS_URL", url);
    terminal
        .env("APPLY_STATE_DIR", state.path())
        .env("APPLY_METRICS_PORT", "1");
    terminal.envs(env.iter().copied());
    terminal
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = terminal.spawn().unwrap();
    let keyboard = child.stdin.take().unwrap();
    let screen = Screen {
        from: child.stdout.take().unwrap(),
        shown: String::new(),
    };
    (child, keyboard, screen)
}

#[tokio::test]
async fn it_draws_in_place_survives_an_outage_and_leaves_the_terminal_as_it_was() {
    for key in ["q", "\x03"] {
        let mut server = RedisServer::start().await;
        let state = StateDir::new();
        let (mut child, mut keyboard, mut screen) =
            on_a_terminal(&server.url(), &state, "rows 24 cols 80", &[]).await;
        screen.shows(ENTER).await;
        screen.shows("waits in progress: none").await;
        publish_plan(&mut server.connection().await, "*", PLAN).await;
        screen.shows(PLAN).await;
        server.kill();
        screen.shows("unreachable").await;
        // Its switch is unknown then, and never off.
        screen.shows("unknown: quantum:global:kill_switch").await;
        assert!(child.try_wait().unwrap().is_none(), "it goes on");
        server.restart().await;
        screen.shows("off").await;
        keyboard.write_all(key.as_bytes()).await.unwrap();
        let ended = within("it ends", child.wait()).await.unwrap();
        assert_eq!(ended.code(), Some(0));
        screen.shows(LEAVE).await;
    }
}

#[tokio::test]
async fn a_redis_that_was_never_there_is_reported_and_no_colour_is_used_where_none_is_wanted() {
    let state = StateDir::new();
    let (mut child, mut keyboard, mut screen) = on_a_terminal(
        "redis://127.0.0.1:1/0",
        &state,
        "rows 12 cols 40",
        &[("NO_COLOR", "1")],
    )
    .await;
    screen.shows("unreachable").await;
    screen.shows("unknown:").await;
    keyboard.write_all(b"q").await.unwrap();
    let ended = within("it ends", child.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    screen.shows(LEAVE).await;
    for colour in 30..38 {
        let sets = [
            format!("\x1b[{colour}m"),
            format!("\x1b[38;5;{}m", colour - 30),
        ];
        assert!(
            sets.iter().all(|set| !screen.shown.contains(set)),
            "{:?}",
            screen.shown
        );
    }
}

#[tokio::test]
async fn without_a_terminal_each_change_is_a_line() {
    let server = RedisServer::start().await;
    let connection = &mut server.connection().await;
    let mut command = apply_layer(&server.url(), &["watch"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async |word: &str| {
        within(word, async {
            loop {
                let line = lines.next_line().await.unwrap().unwrap();
                assert!(!line.contains('\x1b'), "{line:?}");
                if line.contains(word) {
                    return line;
                }
            }
        })
        .await
    };
    next("kill switch  off").await;
    publish_plan(connection, "*", PLAN).await;
    next(PLAN).await;
    let _: String = redis(connection, "SET quantum:global:kill_switch true").await;
    next("ON, by quantum:global:kill_switch").await;
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().await;
    assert!(sent.unwrap().success());
    let ended = within("it ends", child.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
}

struct Screen {
    from: ChildStdout,
    shown: String,
}

impl Screen {
    /// Reads on until this text is drawn; what was drawn up to it is over.
    async fn shows(&mut self, text: &str) {
        within(&format!("the screen shows {text:?}"), async {
            loop {
                // Cells between words may be left as they were, and the cursor moved over them.
                if let Some(at) = self.shown.find(text) {
                    self.shown = self.shown.split_off(at + text.len());
                    return;
                }
                let mut bytes = [0; 4096];
                let count = self.from.read(&mut bytes).await.unwrap();
                assert!(count > 0, "it ended early: {:?}", self.shown);
                self.shown += &String::from_utf8_lossy(&bytes[..count]);
            }
        })
        .await;
    }
}
