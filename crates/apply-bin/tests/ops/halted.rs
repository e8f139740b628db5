//! This machine's halt file, as every command sees it.

use crate::{Ended, PLAN, StateDir, apply_layer};
use apply_core::{ApplyResult, Decision, Journal};
use apply_journal::{JournalSettings, RedbJournal};
use redis_harness::RedisServer;
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[tokio::test]
async fn a_halt_by_this_machines_file_is_shown_by_every_command_that_shows_the_switch() {
    let server = RedisServer::start().await;
    let state = StateDir::new();
    let run = async |args: &[&str]| state.run(&server, args).await;
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
async fn a_halt_file_that_cannot_be_looked_at_is_unknown_and_neither_on_nor_off() {
    let server = RedisServer::start().await;
    let state = StateDir::new();
    // A path below a plain file cannot be read by any user, root included. An operator without rights on the
    // state directory meets the same error.
    let closed = format!("{}/plain", state.path());
    std::fs::write(&closed, "").unwrap();
    let run = async |args: &[&str]| -> Ended {
        let mut command = apply_layer(&server.url(), args);
        command.env("APPLY_STATE_DIR", &closed);
        command.output().await.unwrap().into()
    };
    let file = format!("{closed}/HALT");
    let page = run(&["status"]).await.out;
    let line = page.lines().find(|line| line.starts_with("kill switch"));
    let line = line.unwrap();
    assert!(line.contains(&format!("unknown: {file}")), "{page}");
    assert!(line.contains("ask as root"), "{page}");
    let json = run(&["status", "--json"]).await.json();
    assert_eq!(
        (&json["halted"], &json["halted_by"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    let check = run(&["check"]).await.out;
    assert!(check.contains(&format!("unknown: {file}")), "{check}");
    let proposed = run(&["propose", "BTCUSDT", "PARTIAL_75"]).await.out;
    assert!(!proposed.contains("kill_switch_active"), "{proposed}");
    assert!(proposed.contains("kill switch unknown"), "{proposed}");

    // One that can be looked at and is on is on, whatever the other is.
    let () = command(&server, &["SET", "quantum:global:kill_switch", "true"]).await;
    let json = run(&["status", "--json"]).await.json();
    assert_eq!(json["halted"], true);
}

#[tokio::test]
async fn every_switch_that_is_on_is_shown_with_who_when_and_why() {
    let server = RedisServer::start().await;
    let state = StateDir::new();
    let run = async |args: &[&str]| state.run(&server, args).await;
    assert_eq!(run(&["halt", "--reason", "venue misbehaves"]).await.code, 0);
    for page in [run(&["status"]).await.out, run(&["check"]).await.out] {
        let line = page.lines().find(|line| line.contains("kill switch"));
        let line = line.unwrap();
        assert!(
            line.contains(&format!("{}/HALT (20", state.path())),
            "{line}"
        );
        assert!(line.contains("quantum:global:kill_switch (20"), "{line}");
        assert_eq!(line.matches("venue misbehaves").count(), 2, "{line}");
        assert!(line.contains("apply-layer resume"), "{line}");
    }
    let json = run(&["status", "--json"]).await.json();
    let switches = json["switches"].as_array().unwrap();
    let on = switches.iter().filter(|switch| switch["state"] == "on");
    assert_eq!(on.count(), 2, "{json}");
    assert_eq!(run(&["resume"]).await.code, 0);

    // Another program's switch, with the reason that it left.
    let () = command(&server, &["SET", "quantum:global:kill_switch", "1"]).await;
    let reason = ["SET", "quantum:global:kill_switch:reason", "drawdown 12 %"];
    let () = command(&server, &reason).await;
    for words in [
        &["status"][..],
        &["check"],
        &["watch", "--once"],
        &["propose", "BTCUSDT", "PARTIAL_75"],
    ] {
        let Ended { out, err, .. } = run(words).await;
        assert!(
            format!("{out}{err}").contains("quantum:global:kill_switch (drawdown 12 %)"),
            "{words:?}: {out}{err}"
        );
    }
    // It is no reason for a turn of an operator's.
    assert_eq!(run(&["halt", "--reason", "my own"]).await.code, 0);
    let page = run(&["status"]).await.out;
    assert!(
        page.contains("my own") && !page.contains("drawdown"),
        "{page}"
    );
}

#[tokio::test]
async fn the_neighbours_own_switch_is_shown_and_halts_nothing() {
    let server = RedisServer::start().await;
    let state = StateDir::new();
    let run = async |args: &[&str]| state.run(&server, args).await;
    const VIEWS: [&[&str]; 3] = [&["status"], &["watch", "--once"], &["check"]];
    let none = async |when: &str| {
        for words in VIEWS {
            let out = run(words).await.out;
            assert!(!out.contains("quantum:kill"), "{when}, {words:?}: {out}");
        }
        let json = run(&["status", "--json"]).await.json();
        assert_eq!(json["neighbours_switch"]["state"], "off", "{when}: {json}");
    };
    none("no key").await;
    for word in ["0", "false", " no "] {
        let () = command(&server, &["SET", "quantum:kill", word]).await;
        none(word).await;
    }

    for (word, shown) in [("1", "1"), ("true", "true"), ("halt \u{202e}", "halt")] {
        let () = command(&server, &["SET", "quantum:kill", word]).await;
        for words in VIEWS {
            let out = run(words).await.out;
            let line = out.lines().find(|line| line.contains("quantum:kill"));
            let line = line.unwrap_or_else(|| panic!("{words:?}: {out}"));
            let set = format!("quantum:kill is set ({shown}");
            assert!(line.contains(&set), "{line}");
            assert!(line.contains("does not halt this service"), "{line}");
            assert!(!line.contains('\u{202e}'), "{line}");
        }
        let json = run(&["status", "--json"]).await.json();
        let switch = &json["neighbours_switch"];
        assert_eq!(switch["state"], "set", "{json}");
        assert_eq!(json["halted"], false, "{json}");
        let proposed = run(&["propose", "BTCUSDT", "PARTIAL_75"]).await.out;
        assert!(proposed.contains("to be decided as EXECUTE"), "{proposed}");
    }

    // A key of another type is no switch that is off, and one that this user may not read is unknown.
    let () = command(&server, &["DEL", "quantum:kill"]).await;
    let () = command(&server, &["LPUSH", "quantum:kill", "1"]).await;
    let out = run(&["status"]).await.out;
    assert!(out.contains("quantum:kill is set (no text)"), "{out}");
    let blind = "ACL SETUSER blind on >word -@all +@read +@scripting +hello +ping +info +time +select \
                 ~quantum:apply:* ~quantum:stream:* ~quantum:global:* ~quantum:governor:*";
    let () = command(&server, &blind.split_whitespace().collect::<Vec<_>>()).await;
    let asked = async |redis: &str, words: &[&str]| -> String {
        let asked = apply_layer(redis, words).output().await.unwrap();
        Ended::from(asked).out
    };
    let out = asked(&server.url_as("blind", "word"), &["status"]).await;
    assert!(out.contains("unknown: quantum:kill"), "{out}");
    // Where Redis is away nothing is claimed of it.
    let out = asked("redis://127.0.0.1:1/0", &["status", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["neighbours_switch"], serde_json::Value::Null);
}

async fn command(server: &RedisServer, words: &[&str]) {
    let mut connection = server.connection().await;
    let mut command = redis::Cmd::new();
    command.arg(words);
    let () = command.query_async(&mut connection).await.unwrap();
}

/// What the switch in Redis says.
async fn switch(server: &RedisServer) -> Option<String> {
    let mut redis = server.connection().await;
    let get = redis::cmd("GET")
        .arg("quantum:global:kill_switch")
        .to_owned();
    get.query_async(&mut redis).await.unwrap()
}

#[tokio::test]
async fn a_halt_is_whole_whatever_becomes_of_what_it_prints() {
    for command in [&["halt", "--reason", "fire"][..], &["halt"]] {
        for closed in [true, false] {
            let server = RedisServer::start().await;
            let state = StateDir::new();
            let mut halt = apply_layer(&server.url(), command);
            halt.env("APPLY_STATE_DIR", state.path());
            if closed {
                // A pipe whose reader has gone.
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                halt.stdout(writer);
            } else {
                halt.stdout(std::fs::File::create("/dev/full").unwrap());
            }
            let ended: Ended = halt.output().await.unwrap().into();
            assert_eq!(ended.code, 0, "{}", ended.err);
            assert!(Path::new(&state.path()).join("HALT").exists());
            assert_eq!(
                switch(&server).await.as_deref(),
                Some("true"),
                "{}",
                ended.err
            );
            let log = std::fs::read_dir(state.path()).unwrap().count();
            assert!(log >= 2, "the turn is recorded beside the file");
        }
    }
}

#[tokio::test]
async fn a_halt_reaches_a_redis_whose_memory_is_full() {
    let server = RedisServer::start().await;
    let mut redis = server.connection().await;
    for (name, value) in [("maxmemory-policy", "noeviction"), ("maxmemory", "1")] {
        let set = redis::cmd("CONFIG")
            .arg("SET")
            .arg(name)
            .arg(value)
            .to_owned();
        let () = set.query_async(&mut redis).await.unwrap();
    }
    let state = StateDir::new();
    let mut halt = apply_layer(&server.url(), &["halt", "--reason", "fire"]);
    halt.env("APPLY_STATE_DIR", state.path());
    let ended: Ended = halt.output().await.unwrap().into();
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(switch(&server).await.as_deref(), Some("true"));
    assert!(
        ended.err.contains("Redis keeps no record of it"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn an_operator_who_may_only_set_the_switch_can_halt_and_resume() {
    let server = RedisServer::start().await;
    let mut redis = server.connection().await;
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("operator").arg("on").arg(">pass");
    user.arg("~quantum:global:kill_switch")
        .arg("+set")
        .arg("+ping")
        .arg("+hello");
    // What every connection asks first.
    user.arg("+info").arg("+time");
    let () = user.query_async(&mut redis).await.unwrap();
    let state = StateDir::new();
    for (command, word) in [("halt", "true"), ("resume", "false")] {
        let mut turn = apply_layer(&server.url_as("operator", "pass"), &[command]);
        turn.env("APPLY_STATE_DIR", state.path());
        let ended: Ended = turn.output().await.unwrap().into();
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert_eq!(switch(&server).await.as_deref(), Some(word));
        assert!(
            ended.err.contains("Redis keeps no record of it"),
            "{}",
            ended.err
        );
    }
}

#[tokio::test]
async fn a_halt_records_who_from_where_and_why() {
    let state = StateDir::new();
    let record = || {
        let folder = std::fs::read_dir(state.path()).unwrap();
        let files = folder.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        files.collect::<String>()
    };
    let mut halt = apply_layer("redis://127.0.0.1:1/0", &["halt", "--file-only"]);
    halt.env("APPLY_STATE_DIR", state.path())
        .env("SUDO_USER", "ada")
        .env("USER", "root")
        .env("SSH_CONNECTION", "192.0.2.7 5000 192.0.2.1 22");
    assert!(halt.output().await.unwrap().status.success());
    let expected = record();
    assert!(
        expected.contains("by ada (sudo) from 192.0.2.7: no reason given"),
        "{expected}"
    );
    let mut resume = apply_layer("redis://127.0.0.1:1/0", &["resume", "--file-only"]);
    resume.env("APPLY_STATE_DIR", state.path());
    assert!(resume.output().await.unwrap().status.success());
    let expected = record();
    assert!(
        !expected.contains("unknown") && expected.contains("\"who\":\"user "),
        "{expected}"
    );
}

#[tokio::test]
async fn check_shows_the_halt_file_where_redis_is_unreachable() {
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
    let unknown = "unknown: quantum:global:kill_switch (ask where Redis answers";
    assert!(ended.out.contains(unknown), "{}", ended.out);
    // With no file there it is not known either whether something halts.
    std::fs::remove_file(format!("{}/HALT", state.path())).unwrap();
    let ended: Ended = command.output().await.unwrap().into();
    let line = ended.out.lines().find(|line| line.contains("kill switch"));
    let line = line.unwrap_or_else(|| panic!("{}", ended.out));
    assert!(line.starts_with("note") && line.contains(unknown), "{line}");
}

/// What a service answers whose order of this plan has got its timestamp just now.
const IN_FLIGHT: &[&str] =
    &[r#"[{"plan":"67e6da21fa9fe506","symbol":"BTCUSDT","answered":false,"stamped_ago_ms":0}]"#];

/// The same, so long after the timestamp that the order can no longer land.
const LEFT: &[&str] =
    &[r#"[{"plan":"67e6da21fa9fe506","symbol":"BTCUSDT","answered":false,"stamped_ago_ms":2800}]"#];

/// A service that gives these answers one after the other, the last one from then on.
async fn service(answers: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let last = answers.last().into_iter().cycle();
        let mut answers = answers.iter().chain(last);
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(socket.read_buf(&mut request).await.unwrap() > 0, "cut");
            }
            let answer = match request.starts_with(b"GET /api/status.json ") {
                // As one of an earlier version, which does not say where it keeps things.
                true => "{}",
                false => {
                    assert!(request.starts_with(b"GET /api/leaving.json "));
                    answers.next().unwrap()
                }
            };
            let reply = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{answer}");
            socket.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    port
}

/// Halts beside a service on this port, and ends well.
async fn halted(state: &StateDir, port: u16) -> String {
    let args = ["halt", "--reason", "drill", "--file-only"];
    let mut command = apply_layer("redis://127.0.0.1:1/0", &args);
    command
        .env("APPLY_STATE_DIR", state.path())
        .env("APPLY_METRICS_PORT", port.to_string());
    let ended: Ended = command.output().await.unwrap().into();
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.out.starts_with("halted by "), "{}", ended.out);
    ended.out
}

#[tokio::test]
async fn a_halt_prints_what_came_of_an_order_that_had_its_timestamp_already() {
    let state = StateDir::new();
    let settings = JournalSettings::for_claims_of(Duration::from_secs(21_600));
    let journal = RedbJournal::open(Path::new(&state.path()), settings).unwrap();
    let (plan, symbol) = (PLAN.parse().unwrap(), "BTCUSDT".parse().unwrap());
    let result = ApplyResult {
        executed: true,
        is_final: true,
        ..ApplyResult::nothing_happened(&plan, &symbol, Decision::Execute, None, 1)
    };
    journal.record_result(&result, None).await.unwrap();
    let port = service(const { &[IN_FLIGHT[0], IN_FLIGHT[0], "[]"] }).await;
    let out = halted(&state, port).await;
    let expected = format!("plan {PLAN} of BTCUSDT had its timestamp already: executed\n");
    assert!(out.contains(&expected), "{out}");
    let end =
        format!("no order of the service on http://127.0.0.1:{port} can be executed any more\n");
    assert!(out.ends_with(&end), "{out}");
}

#[tokio::test]
async fn a_halt_says_that_an_order_may_be_executed_until_its_receive_window_is_over() {
    for (answer, end) in [
        (IN_FLIGHT, "may still be executed, for "),
        (LEFT, "can be executed any more\n"),
    ] {
        let port = service(answer).await;
        let out = halted(&StateDir::new(), port).await;
        let expected = format!("plan {PLAN} of BTCUSDT had its timestamp already: no result yet");
        assert!(out.contains(&expected), "{out}");
        let last = out.lines().last().unwrap();
        assert!(format!("{last}\n").contains(end), "{out}");
    }

    let port = service(&["[{}]"]).await;
    for port in [1, port] {
        let out = halted(&StateDir::new(), port).await;
        let expected = format!(
            "cannot reach the service at http://127.0.0.1:{port}: orders in flight are unknown\n"
        );
        assert!(out.ends_with(&expected), "{out}");
    }
}

#[tokio::test]
async fn where_the_service_is_to_be_asked_keeps_nobody_from_halting() {
    let state = StateDir::new();
    let args = ["halt", "--reason", "drill", "--file-only"];
    let mut command = apply_layer("redis://127.0.0.1:1/0", &args);
    command
        .env("APPLY_STATE_DIR", state.path())
        .env("APPLY_METRICS_PORT", "many");
    let ended: Ended = command.output().await.unwrap().into();
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(
        ended.out.contains("no service is configured to be asked"),
        "{}",
        ended.out
    );
    assert!(Path::new(&state.path()).join("HALT").exists());
}
