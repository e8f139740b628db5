//! Help, completions, the manual, the version, and ends that are no failures.

use crate::{Ended, PLAN, StateDir, apply_layer, publish_plan, redis};
use apply_ops::commands::COMMANDS;
use redis_harness::RedisServer;
use std::{collections::BTreeSet, process::Stdio};
use tokio::process::Command;

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
async fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).await;
        assert!(
            script.code == 0 && script.out.contains("permits"),
            "{shell}"
        );
    }
}

#[tokio::test]
async fn each_command_has_a_manual_page_with_its_options_that_refers_to_pages_that_are_there() {
    let state = StateDir::new();
    let written = run(&["man", "--all", &state.path()]).await;
    assert_eq!(written.code, 0, "{}", written.err);
    let files = std::fs::read_dir(state.path()).unwrap();
    let files: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let leaves = COMMANDS
        .iter()
        .map(|command| command.name.replace(' ', "-"));
    let above = ["review", "permits", "plans", "results"].map(str::to_owned);
    let mut wanted: BTreeSet<String> = leaves
        .chain(above)
        .map(|name| format!("apply-layer-{name}.1"))
        .collect();
    wanted.insert("apply-layer.1".into());
    assert_eq!(files, wanted);
    for file in &files {
        let path = format!("{}/{file}", state.path());
        // The real thing, with every warning it has.
        let groff = Command::new("groff")
            .args(["-man", "-Kutf8", "-ww", "-Tutf8", "-P-c", &path])
            .output();
        let groff = groff
            .await
            .expect("groff is needed: scripts/test installs it");
        let warnings = String::from_utf8_lossy(&groff.stderr);
        assert_eq!(warnings, "", "{file}");
        assert!(groff.status.success(), "{file}");
        let page = std::fs::read_to_string(&path).unwrap().replace("\\-", "-");
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "\"EXIT STATUS\"",
            "ENVIRONMENT",
            "\"SEE ALSO\"",
        ] {
            assert!(
                page.contains(&format!(".SH {section}\n")),
                "{file} has no {section}: {page}"
            );
        }
        // Every page that another one names.
        let words = page.split(|c: char| c.is_whitespace() || c == ',');
        for named in words.filter_map(|word| word.trim_end_matches('.').strip_suffix("(1)")) {
            assert!(
                files.contains(&format!("{named}.1")),
                "{file} names {named}"
            );
        }
    }
    let page = run(&["man", "permits", "grant"]).await;
    for part in [
        "--qty",
        "--symbol",
        "--content",
        "--yes",
        "EXAMPLES",
        "apply-layer-permits-grant",
    ] {
        assert!(
            page.out.replace("\\-", "-").contains(part),
            "{part}: {}",
            page.out
        );
    }
    let page = run(&["man"]).await.out;
    assert!(
        page.contains(
            "Executes reviewed trading plans on the Binance futures testnet; no permit, no order."
        ),
        "{page}"
    );
    assert!(page.contains("APPLY_PERMIT_WAIT_MS"), "{page}");
    assert_eq!(run(&["man", "permits", "nothing"]).await.code, 2);
}

#[tokio::test]
async fn help_opens_with_what_the_program_does() {
    let help = run(&["--help"]).await.out;
    assert!(
        help.starts_with(
            "Executes reviewed trading plans on the Binance futures testnet; no permit, no order."
        ),
        "{help}"
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

/// How a command ends whose reader has closed its standard output.
async fn unread(redis: &str, state: &StateDir, args: &[&str]) -> Ended {
    let mut command = apply_layer(redis, args);
    command.env("APPLY_STATE_DIR", state.path());
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    child.wait_with_output().await.unwrap().into()
}

#[tokio::test]
async fn what_a_command_does_and_how_it_ends_hangs_on_no_reader() {
    let server = RedisServer::start().await;
    let state = StateDir::new();
    let url = server.url();
    for (args, code) in [
        (&["status"][..], 3),
        (&["status", "--json"], 3),
        (&["cycles"], 1),
        (&["cycles", "--json"], 1),
        (&["permits", "judge", "p33"], 1),
    ] {
        let ended = unread(&url, &state, args).await;
        assert_eq!(ended.code, code, "{args:?}: {}", ended.err);
    }
    for args in [&["check"][..], &["check", "--json"]] {
        let ended = unread(AWAY, &state, args).await;
        assert_eq!(ended.code, 69, "{args:?}: {}", ended.err);
    }

    let mut connection = server.connection().await;
    publish_plan(&mut connection, "1000-0", PLAN).await;
    let grant = ["permits", "grant", PLAN, "governor"];
    let yes = [&grant[..], &["--yes"]].concat();
    // Without a yes nothing is written, and it is not said to be.
    let ended = unread(&url, &state, &grant).await;
    assert_eq!(ended.code, 2, "{}", ended.err);
    let ended = unread(&url, &state, &yes).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let exists = format!("EXISTS quantum:permit:{PLAN}");
    let there: bool = redis(&mut connection, &exists).await;
    assert!(there, "0 is for a permit that is written");
}
