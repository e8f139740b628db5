//! `watch` on a terminal: a real one, which `script` opens and stands in for.

use crate::{PLAN, StateDir, apply_layer, publish_plan};
use apply_tests::within;
use redis_harness::RedisServer;
use std::process::Stdio;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStdout, Command},
};

/// What begins each frame: the cursor goes home, nothing is scrolled away.
const HOME: &str = "\x1b[H";

#[tokio::test]
async fn it_draws_anew_in_place_until_ctrl_c_which_is_no_failure() {
    let server = RedisServer::start().await;
    let connection = &mut server.connection().await;
    let state = StateDir::new();
    let watched = apply_layer(&server.url(), &["watch"]);
    let program = watched.as_std().get_program().to_owned();
    let mut terminal = Command::new("script");
    terminal
        .args([
            "--quiet",
            "--return",
            "--flush",
            "--echo",
            "never",
            "--command",
        ])
        .arg(format!("exec {} watch", program.display()))
        .arg("/dev/null")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env("REDIS_URL", server.url())
        .env("APPLY_STATE_DIR", state.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = terminal.spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = Screen::of(child.stdout.take().unwrap());

    screen.frame_with("waits in progress: none").await;
    publish_plan(connection, "*", PLAN).await;
    let frame = screen.frame_with(PLAN).await;
    assert!(frame.starts_with("mode         dry_run"), "{frame:?}");
    assert!(frame.contains("Ctrl-C ends"), "{frame:?}");
    let lines = frame.split("\r\n").filter(|line| !line.is_empty());
    for line in lines.filter(|line| !line.contains("Ctrl-C ends")) {
        // What an older frame left to the right of it is wiped away.
        assert!(
            line.ends_with("\x1b[K") || line.ends_with("\x1b[J"),
            "{line:?}"
        );
    }
    keyboard.write_all(b"\x03").await.unwrap();
    let ended = within("it ends", child.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
}

struct Screen {
    from: ChildStdout,
    shown: String,
}

impl Screen {
    fn of(from: ChildStdout) -> Self {
        Self {
            from,
            shown: String::new(),
        }
    }

    /// The first whole frame from here on with this text in it.
    async fn frame_with(&mut self, text: &str) -> String {
        within(&format!("a frame shows {text}"), async {
            loop {
                // A frame is whole once the next one begins.
                while let Some((frame, rest)) = self.shown.split_once(HOME) {
                    let (frame, rest) = (frame.to_owned(), rest.to_owned());
                    self.shown = rest;
                    if frame.contains(text) {
                        return frame;
                    }
                }
                let mut bytes = [0; 4096];
                let count = self.from.read(&mut bytes).await.unwrap();
                assert!(count > 0, "it ended early: {:?}", self.shown);
                self.shown += &String::from_utf8_lossy(&bytes[..count]);
            }
        })
        .await
    }
}
