//! Help, completions, the manual, the version, and ends that are no failures.

use crate::{Ended, apply_layer};
use redis_harness::RedisServer;
use std::process::Stdio;

/// A Redis that is not there: none of this needs one.
const AWAY: &str = "redis://127.0.0.1:1/0";

async fn run(args: &[&str]) -> Ended {
    apply_layer(AWAY, args).output().await.unwrap().into()
}

#[tokio::test]
async fn every_command_has_help_with_an_example_of_itself() {
    let mut left: Vec<Vec<String>> = vec![Vec::new()];
    let mut leaves = 0;
    while let Some(path) = left.pop() {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let help = run(&args).await;
        assert_eq!(help.code, 0, "{path:?}: {}", help.err);
        let below = commands_in(&help.out);
        if below.is_empty() {
            leaves += 1;
            let example = help.out.lines().find(|line| line.starts_with("Example: "));
            let example = example.unwrap_or_else(|| panic!("{path:?}: {}", help.out));
            let itself = format!("apply-layer {}", path.join(" "));
            assert!(example.contains(&itself), "{example}");
        }
        left.extend(
            below
                .into_iter()
                .map(|name| [path.clone(), vec![name]].concat()),
        );
    }
    assert!(leaves >= 24, "{leaves} commands were looked at");
}

/// The names in the list of commands of a help text; `help` itself aside.
fn commands_in(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = list
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| {
            // Names are indented by two; what is further in is the rest of a description.
            let name = line.strip_prefix("  ")?.split(' ').next()?;
            (!name.is_empty() && name != "help").then(|| name.to_owned())
        });
    names.collect()
}

#[tokio::test]
async fn completions_and_the_manual_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).await;
        assert!(
            script.code == 0 && script.out.contains("permits"),
            "{shell}"
        );
    }
    let page = run(&["man"]).await;
    assert!(
        page.out.contains(".TH apply-layer 1") && page.out.contains("forget"),
        "{}",
        page.out
    );
}

#[tokio::test]
async fn the_version_is_the_packages_with_the_commit_where_there_is_one() {
    let version = run(&["--version"]).await.out;
    let rest = version.strip_prefix(concat!("apply-layer ", env!("CARGO_PKG_VERSION")));
    let commit = rest.unwrap().trim();
    let hex = commit.trim_start_matches('(').trim_end_matches(')');
    assert!(
        commit.is_empty() || hex.bytes().all(|b| b.is_ascii_hexdigit()),
        "{version}"
    );
}

#[tokio::test]
async fn a_redis_that_is_away_is_69_and_a_wrong_setting_78() {
    let away = run(&["status"]).await;
    assert!(
        away.code == 69 && away.err.contains("start it, or correct REDIS_URL"),
        "{}",
        away.err
    );
    let mut wrong = apply_layer(AWAY, &["status"]);
    wrong.env("APPLY_MODE", "live");
    let wrong: Ended = wrong.output().await.unwrap().into();
    assert!(
        wrong.code == 78 && wrong.err.contains("APPLY_MODE=live"),
        "{}",
        wrong.err
    );
}

#[tokio::test]
async fn an_operator_without_the_venues_keys_can_look() {
    let redis = RedisServer::start().await;
    let mut command = apply_layer(&redis.url(), &["status"]);
    command.env("APPLY_MODE", "testnet");
    command.env("BINANCE_TESTNET_API_SECRET_FILE", "/nobody/may/read/this");
    let ended: Ended = command.output().await.unwrap().into();
    assert!(
        ended.code == 3 && ended.out.contains("testnet"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut command = apply_layer(AWAY, &["completions", "bash"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended: Ended = child.wait_with_output().await.unwrap().into();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}
