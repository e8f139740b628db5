//! How commands end: every exit code that a script may act on, and what each command asks before it acts.

use crate::{Ended, PLAN, StateDir, apply_layer, publish_plan, redis, schemas};
use apply_ops::commands::{self, COMMANDS};
use apply_tests::{Stage, within};
use apply_wire::Exit;
use redis_harness::RedisServer;
use serde_json::Value;
use std::{collections::BTreeSet, process::Stdio};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::Command,
};

/// A Redis that is not there.
const AWAY: &str = "redis://127.0.0.1:1/0";

/// The words of a command with what it needs besides.
fn sample(name: &str) -> Vec<&str> {
    let mut words: Vec<&str> = name.split(' ').collect();
    words.extend(match name {
        "plan" | "permits show" => vec![PLAN],
        "forget" => vec![PLAN, "--yes"],
        "permits grant" => vec![PLAN, "governor", "--symbol", "BTCUSDT", "--yes"],
        "permits revoke" => vec![PLAN, "governor", "--yes"],
        "propose" => vec!["BTCUSDT", "HOLD"],
        "new-journal" => vec!["--yes"],
        "watch" => vec!["--once"],
        "completions" => vec!["bash"],
        _ => vec![],
    });
    words
}

async fn ended(mut command: Command) -> Ended {
    let ended = command.stdin(Stdio::null()).output();
    within("the command ends", ended).await.unwrap().into()
}

#[test]
fn the_table_of_commands_is_the_command_line_s_and_the_page_is_made_of_both() {
    fn leaves(command: &clap::Command, before: &str, found: &mut Vec<String>) {
        for below in command.get_subcommands() {
            let name = format!("{before} {}", below.get_name());
            match below.has_subcommands() {
                true => leaves(below, &name, found),
                false => found.push(name.trim_start().to_owned()),
            }
        }
    }
    let command_line = apply_layer::command_line();
    let mut found = Vec::new();
    leaves(&command_line, "", &mut found);
    let table: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    assert_eq!(found, table);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
    let page = std::fs::read_to_string(file).unwrap();
    assert!(
        page == commands::page(&command_line),
        "run: cargo run -p apply-bin --example commands > docs/commands.md"
    );
}

#[tokio::test]
async fn what_cannot_be_understood_is_2_for_every_command() {
    for command in &COMMANDS {
        assert!(command.exits.iter().any(|(exit, _)| *exit == Exit::Usage));
        let mut args = sample(command.name);
        args.push("--no-such-option");
        let ended = ended(apply_layer(AWAY, &args)).await;
        assert_eq!(ended.code, 2, "{args:?}: {}", ended.err);
    }
}

#[tokio::test]
async fn a_setting_that_has_to_change_is_78_for_every_command_that_reads_settings() {
    let setting = |command: &&commands::Command| {
        let codes = command.exits.iter();
        codes
            .map(|(exit, _)| *exit)
            .any(|exit| exit == Exit::Configuration)
    };
    for command in COMMANDS
        .iter()
        .filter(setting)
        .filter(|command| command.name != "sim")
    {
        let mut wrong = apply_layer(AWAY, &sample(command.name));
        wrong.env("APPLY_STATE_DIR", "not/absolute");
        let ended = ended(wrong).await;
        assert_eq!(ended.code, 78, "{}: {}", command.name, ended.err);
        let said = format!("{}{}", ended.out, ended.err);
        assert!(
            said.contains("APPLY_STATE_DIR=not/absolute"),
            "{}: {said}",
            command.name
        );
    }
}

#[tokio::test]
async fn a_redis_that_is_unreachable_is_69_for_every_command_that_needs_it() {
    let asks_redis = |name: &str| {
        ![
            "run",
            "chain",
            "demo",
            "sim",
            "plan",
            "permits judge",
            "completions",
            "man",
        ]
        .contains(&name)
            && !name.starts_with("review ")
    };
    for command in COMMANDS.iter().filter(|command| asks_redis(command.name)) {
        let state = StateDir::new();
        let mut away = apply_layer(AWAY, &sample(command.name));
        away.env("APPLY_STATE_DIR", state.path());
        let ended = ended(away).await;
        assert_eq!(ended.code, 69, "{}: {}", command.name, ended.err);
        assert!(
            command
                .exits
                .iter()
                .any(|(exit, _)| *exit == Exit::Unavailable)
        );
    }
}

/// A service that answers every question with this, for as long as it is asked.
async fn answers(status: &'static str, body: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn status_ends_by_what_keeps_orders_from_flowing() {
    let server = RedisServer::start().await;
    let connection = &mut server.connection().await;
    let state = StateDir::new();
    let ready = answers("200 OK", "ready\n").await;
    let starting = answers("503 Service Unavailable", "recovering 2 plans\n").await;
    let file = format!("{}/plain", state.path());
    std::fs::write(&file, "").unwrap();
    // Below a plain file no switch can be looked at, by whatever user.
    for (port, halted, directory, exit, says) in [
        (ready, false, state.path(), Exit::Good, ""),
        (
            1,
            false,
            state.path(),
            Exit::Down,
            "does not answer on http://127.0.0.1:1",
        ),
        (1, true, state.path(), Exit::Down, "does not answer"),
        (
            starting,
            false,
            state.path(),
            Exit::NotReady,
            "503 recovering 2 plans",
        ),
        (
            starting,
            true,
            state.path(),
            Exit::NotReady,
            "503 recovering 2 plans",
        ),
        (
            ready,
            true,
            state.path(),
            Exit::Halted,
            "halted by quantum:global:kill_switch",
        ),
        (ready, false, file.clone(), Exit::Unknown, "ask as root"),
        (
            ready,
            true,
            file.clone(),
            Exit::Halted,
            "halted by quantum:global:kill_switch",
        ),
    ] {
        let word = if halted { "true" } else { "false" };
        let _: String = redis(
            connection,
            &format!("SET quantum:global:kill_switch {word}"),
        )
        .await;
        let status = async |args: &[&str]| {
            let mut command = apply_layer(&server.url(), args);
            command.env("APPLY_METRICS_PORT", port.to_string());
            command.env("APPLY_STATE_DIR", &directory);
            ended(command).await
        };
        let page = status(&["status"]).await;
        assert_eq!(
            page.code,
            i32::from(exit.code()),
            "{}{}",
            page.out,
            page.err
        );
        assert!(page.out.starts_with("service "), "{}", page.out);
        assert!(page.err.contains(says), "{exit:?}: {}", page.err);
        assert_eq!(page.err.is_empty(), exit == Exit::Good, "{}", page.err);
        let json = status(&["status", "--json"]).await;
        assert_eq!(json.code, i32::from(exit.code()));
        assert_eq!(json.json()["state"], exit.name(), "{}", json.out);
        match exit {
            Exit::Good => assert_eq!(json.err, ""),
            _ => {
                let error: serde_json::Value = serde_json::from_str(&json.err).unwrap();
                assert_eq!(error["error"]["code"], exit.code());
                assert_eq!(error["error"]["name"], exit.name());
            }
        }
    }
}

#[tokio::test]
async fn status_prints_what_it_knows_without_redis() {
    let state = StateDir::new();
    let ready = answers("200 OK", "ready\n").await;
    let server = RedisServer::start().await;
    let file = format!("{}/HALT", state.path());
    let unknown = "unknown: quantum:global:kill_switch (";
    for (redis, exit) in [
        (AWAY.to_owned(), Exit::Unavailable),
        (server.url_as("nobody", "wrong"), Exit::Configuration),
    ] {
        let status = async |args: &[&str]| {
            let mut command = apply_layer(&redis, args);
            command.env("APPLY_METRICS_PORT", ready.to_string());
            command.env("APPLY_STATE_DIR", state.path());
            let ended = ended(command).await;
            assert_eq!(ended.code, i32::from(exit.code()), "{}", ended.err);
            ended
        };
        for halted in [false, true] {
            if halted {
                std::fs::write(&file, "1769301008 by me: drill\n").unwrap();
            }
            let page = status(&["status"]).await.out;
            assert!(page.starts_with("service      ready on"), "{page}");
            assert!(page.contains("\nredis        unknown: "), "{page}");
            let line = page.lines().find(|line| line.starts_with("kill switch"));
            let line = line.unwrap();
            assert!(line.contains(unknown), "{line}");
            assert!(line.contains("ask where Redis answers"), "{line}");
            assert_eq!(line.contains(&format!("ON, by {file} (")), halted, "{line}");
            let args = ["status", "--json"];
            let json = status(&args).await;
            assert_eq!(schemas::hold(&args, &json), Some("status"));
            let json = json.json();
            assert_eq!(json["state"], exit.name());
            assert_eq!(json["service"], "ready");
            let known = if halted { true.into() } else { Value::Null };
            assert_eq!(json["halted"], known, "{json}");
            let switches = json["switches"].as_array().unwrap().iter();
            let states: Vec<&str> = switches.map(|one| one["state"].as_str().unwrap()).collect();
            assert_eq!(states, [if halted { "on" } else { "off" }, "unknown"]);
            assert_eq!(
                json["waits"],
                Value::Null,
                "what is not known is no empty list"
            );
        }
        std::fs::remove_file(&file).unwrap();
    }
}

#[tokio::test]
async fn every_error_as_json_says_what_to_do_next() {
    let state = StateDir::new();
    let mut seen = BTreeSet::new();
    for command in COMMANDS.iter().filter(|command| command.json.is_some()) {
        for (directory, more) in [
            (state.path(), None),
            ("not/absolute".into(), None),
            (state.path(), Some("--no-such-option")),
        ] {
            let mut words = sample(command.name);
            words.push("--json");
            words.extend(more);
            let mut tried = apply_layer(AWAY, &words);
            tried.env("APPLY_STATE_DIR", &directory);
            let ended = ended(tried).await;
            assert_ne!(ended.code, 0, "{words:?}: {}", ended.out);
            schemas::hold(&words, &ended);
            let error: Value = serde_json::from_str(&ended.err).unwrap();
            let fix = error["error"]["fix"].as_str().unwrap_or_default();
            assert!(fix.len() > 10, "{words:?}: {}", ended.err);
            seen.insert(ended.code);
        }
    }
    assert!(seen.is_superset(&[2, 69, 78].into()), "{seen:?}");
}

#[tokio::test]
async fn status_is_0_where_a_real_service_is_ready_and_5_once_it_is_halted() {
    let stage = Stage::open().await;
    let how = stage.service();
    let service = how.clone().ready().await;
    let port = service.address().await.port().to_string();
    let run = |words: &[&str]| {
        let how = how.clone().instead(words);
        how.env("APPLY_METRICS_PORT", port.as_str()).ended()
    };
    let status = run(&["status"]).await;
    assert_eq!(status.code, Some(0), "{}", status.output());
    assert_eq!(
        run(&["halt", "--reason", "drill", "--file-only"])
            .await
            .code,
        Some(0)
    );
    let status = run(&["status"]).await;
    assert_eq!(status.code, Some(5), "{}", status.output());
    assert_eq!(run(&["resume", "--file-only"]).await.code, Some(0));
    assert_eq!(run(&["status"]).await.code, Some(0));
    // One that stands still accepts connections and says nothing.
    service.signal("STOP").await;
    let status = run(&["status"]).await;
    assert_eq!(status.code, Some(3), "{}", status.output());
    service.signal("CONT").await;
    assert_eq!(run(&["status"]).await.code, Some(0));
    service.stopped_well().await;
    let status = run(&["status"]).await;
    assert_eq!(status.code, Some(3), "{}", status.output());
}

#[tokio::test]
async fn a_plan_or_a_permit_that_is_not_there_is_7() {
    let stage = Stage::open().await;
    let how = stage.service();
    how.clone().ready().await.stopped_well().await;
    for words in [
        &["plan", PLAN][..],
        &["permits", "show", PLAN],
        &["permits", "grant", PLAN, "governor", "--yes"],
        &["permits", "revoke", PLAN, "p99", "--yes"],
        &["permits", "judge", "p99"],
    ] {
        let ended = how.clone().instead(words).ended().await;
        assert_eq!(ended.code, Some(7), "{words:?}: {}", ended.output());
    }
}

#[tokio::test]
async fn what_no_plan_is_called_is_refused_with_the_form_of_an_id() {
    for words in [
        &["forget", "xyz"][..],
        &["plan", "67E6DA21FA9FE506"],
        &["permits", "show", "67e6da21fa9fe50"],
        &["permits", "judge", "--plan", "xyz"],
        &["permits", "grant", "xyz", "p33"],
        &["permits", "revoke", "xyz"],
    ] {
        let said = ended(apply_layer(AWAY, words)).await;
        assert_eq!(said.code, 2, "{words:?}: {}", said.err);
        assert!(
            said.err.contains("16 hex digits in lower case"),
            "{}",
            said.err
        );
    }
    let said = ended(apply_layer(AWAY, &["plan", "xyz", "--json"])).await;
    let error: serde_json::Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!((said.code, &error["error"]["name"]), (2, &"usage".into()));
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("16 hex digits in lower case"), "{message}");
}

/// Runs a command on a terminal of its own, and types this on it.
async fn typed(redis: &str, state: &str, words: &str, keys: &str) -> i32 {
    let program = env!("CARGO_BIN_EXE_apply-layer");
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--flush", "--command"]);
    terminal
        .arg(format!("exec {program} {words}"))
        .arg("/dev/null");
    terminal
        .env_clear()
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm");
    terminal.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    terminal
        .env("REDIS_URL", redis)
        .env("APPLY_STATE_DIR", state);
    terminal
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = terminal.spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let ends = async {
        let (mut seen, mut bytes) = (String::new(), [0; 4096]);
        let mut left = Some(keys);
        loop {
            let count = screen.read(&mut bytes).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            seen += &String::from_utf8_lossy(&bytes[..count]);
            if let Some(keys) = left.take_if(|_| seen.contains("[y/N]")) {
                keyboard.write_all(keys.as_bytes()).await.unwrap();
            }
        }
        assert_eq!(left, None, "it did not ask: {seen}");
        child.wait().await.unwrap().code().unwrap()
    };
    within("it ends", ends).await
}

#[tokio::test]
async fn what_changes_something_asks_first_and_without_a_terminal_wants_yes() {
    let server = RedisServer::start().await;
    let connection = &mut server.connection().await;
    publish_plan(connection, "1000-0", PLAN).await;
    let permit = format!("quantum:permit:p33:{PLAN}");
    let claim = format!("quantum:apply:dedupe:{PLAN}");
    let state = StateDir::new();
    let journal = format!(
        "quantum:apply:journal:{}",
        apply_service::config::journal_place(state.path().as_ref())
    );
    let cases = [
        (
            format!("permits grant {PLAN} p26"),
            format!("quantum:permit:p26:{PLAN}"),
            false,
        ),
        (format!("permits revoke {PLAN} p33"), permit.clone(), true),
        (format!("forget {PLAN}"), claim.clone(), true),
        ("new-journal".to_owned(), journal.clone(), true),
    ];
    for (words, key, there) in cases {
        for key in [&permit, &claim, &journal] {
            let _: String = redis(connection, &format!("SET {key} 1-a.0 EX 600")).await;
        }
        let run = async |more: &[&str]| {
            let words: Vec<&str> = words.split(' ').chain(more.iter().copied()).collect();
            let mut command = apply_layer(&server.url(), &words);
            command.env("APPLY_STATE_DIR", state.path());
            command.env("APPLY_PERMITS", "governor,p33,p26");
            ended(command).await
        };
        let refused = run(&[]).await;
        assert_eq!(refused.code, 2, "{words}: {}{}", refused.out, refused.err);
        assert!(refused.err.contains("add --yes"), "{}", refused.err);
        let exists: bool = redis(connection, &format!("EXISTS {key}")).await;
        assert_eq!(exists, there, "{words}: nothing was changed");
        let done = run(&["--yes"]).await;
        assert_eq!(done.code, 0, "{words}: {}{}", done.out, done.err);
        let exists: bool = redis(connection, &format!("EXISTS {key}")).await;
        assert_eq!(exists, !there, "{words}");
    }
    for (keys, code, left) in [("n\n", 1, true), ("y\n", 0, false)] {
        let _: String = redis(connection, &format!("SET {permit} x EX 600")).await;
        let words = format!("permits revoke {PLAN}");
        assert_eq!(
            typed(&server.url(), &state.path(), &words, keys).await,
            code
        );
        let exists: bool = redis(connection, &format!("EXISTS {permit}")).await;
        assert_eq!(exists, left);
    }
}

/// Runs every command whose rights stand in the table as users who have the rights that `rules` says.
async fn with_rights(rules: impl Fn(&commands::Command) -> String) {
    let server = RedisServer::start().await;
    let connection = &mut server.connection().await;
    publish_plan(connection, "1000-0", PLAN).await;
    let other = "89e6da21fa9fe506";
    publish_plan(connection, "2000-0", other).await;
    let state = StateDir::new();
    let journal = apply_service::config::journal_place(state.path().as_ref());
    let mut ran = 0;
    // `shadow` compares until it is stopped; its own tests have it.
    let tried = COMMANDS
        .iter()
        .filter(|command| !command.redis.is_empty() && command.name != "shadow");
    for command in tried {
        ran += 1;
        for words in [
            format!("SET quantum:apply:dedupe:{PLAN} 1-a.0 EX 600"),
            format!("SET quantum:apply:dedupe:{other} 1-a.0 EX 600"),
            format!("SET quantum:permit:p33:{PLAN} x EX 600"),
            format!("SET quantum:apply:journal:{journal} former"),
            format!("DEL quantum:permit:{PLAN}"),
            "DEL quantum:global:kill_switch".to_owned(),
            "SET quantum:apply:disarmed x".to_owned(),
            "SCRIPT FLUSH".to_owned(),
        ] {
            let _: ::redis::Value = redis(connection, &words).await;
        }
        let rules = format!(
            "ACL SETUSER tried reset on >x -@all +hello +ping +select {}",
            rules(command)
        );
        let _: String = redis(connection, &rules).await;
        let mut tried = apply_layer(&server.url_as("tried", "x"), &sample(command.name));
        tried.env("APPLY_STATE_DIR", state.path());
        let ended = ended(tried).await;
        let said = format!("{}{}", ended.out, ended.err);
        assert!(
            !said.contains("NOPERM")
                && !said.contains("can't run this command")
                && !said.contains("permission")
                && !said.contains("cannot be seen"),
            "{} with {rules}: {said}",
            command.name
        );
        let expected: &[i32] = match command.name {
            "status" => &[3],
            "cycles" => &[1],
            // There is no journal; its own test has it with these rights.
            "plan" => &[69],
            _ => &[0],
        };
        assert!(
            expected.contains(&ended.code),
            "{}: {} {said}",
            command.name,
            ended.code
        );
        if command.name.contains("halt") {
            assert!(!said.contains("no record"), "{said}");
        }
    }
    assert!(ran >= 14, "{ran} commands were tried");
}

#[tokio::test]
async fn the_rights_of_the_table_are_enough_for_each_command() {
    with_rights(|command| command.redis.to_owned()).await;
}

#[tokio::test]
async fn the_operator_of_the_shipped_acl_file_may_do_what_the_table_says() {
    let file = include_str!("../../../../deploy/redis.acl");
    let operator = file
        .lines()
        .find_map(|line| line.strip_prefix("user operator on >change-me-4 "));
    let operator = operator.unwrap().to_owned();
    with_rights(|_| operator.clone()).await;
}
