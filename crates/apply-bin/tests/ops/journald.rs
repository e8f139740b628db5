//! Under the system's journal: a stream that the service manager made and named.

use crate::{StateDir, apply_layer};
use std::{
    fs::File,
    io::Read,
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, net::UnixStream},
    },
    process::Stdio,
};

/// What a start without Redis says on both outputs, which lead into one stream as under systemd.
/// `named` makes what the service manager says of the stream out of device and inode.
async fn said(format: &str, named: fn(u64, u64) -> String) -> Vec<String> {
    let state = StateDir::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let meta = File::from(theirs.try_clone().unwrap()).metadata().unwrap();
    let mut command = apply_layer("redis://127.0.0.1:1/0", &["run"]);
    command
        .env("APPLY_STATE_DIR", state.path())
        .env("APPLY_METRICS_PORT", "0")
        .env("APPLY_START_WAIT_SEC", "0")
        .env("APPLY_MOOD", "calm")
        .env("APPLY_LOG_FORMAT", format)
        .env("JOURNAL_STREAM", named(meta.dev(), meta.ino()))
        .stdin(Stdio::null())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs);
    let mut child = command.spawn().unwrap();
    // The command holds copies of the stream's end; what is read ends when the last one is closed.
    drop(command);
    assert_eq!(child.wait().await.unwrap().code(), Some(69));
    let mut text = String::new();
    (&ours).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn the_line<'a>(lines: &'a [String], text: &str) -> &'a str {
    let found = lines.iter().find(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("no {text} in {lines:?}"))
}

#[tokio::test]
async fn lines_carry_their_priority_where_they_arrive_in_the_journal() {
    let lines = said("text", |device, inode| format!("{device}:{inode}")).await;
    assert!(
        the_line(&lines, "starting: mode=dry_run").starts_with("<6>20"),
        "{lines:?}"
    );
    assert!(
        the_line(&lines, "APPLY_MOOD").starts_with("<4>20"),
        "{lines:?}"
    );
    let last = the_line(&lines, "was unreachable");
    assert!(last.starts_with("<3>apply-layer: Redis at"), "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with('<')), "{lines:?}");
}

#[tokio::test]
async fn json_lines_carry_it_too_and_are_json_without_it() {
    let lines = said("json", |device, inode| format!("{device}:{inode}")).await;
    let line = the_line(&lines, "APPLY_MOOD").strip_prefix("<4>").unwrap();
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(json["level"], "WARN");
}

#[tokio::test]
async fn output_that_was_led_elsewhere_carries_none() {
    let lines = said("text", |device, inode| format!("{device}:{}", inode + 1)).await;
    assert!(
        the_line(&lines, "starting: mode=dry_run").starts_with("20"),
        "{lines:?}"
    );
    assert!(
        the_line(&lines, "was unreachable").starts_with("apply-layer: "),
        "{lines:?}"
    );
}
