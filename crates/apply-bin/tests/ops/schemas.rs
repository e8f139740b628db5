//! What commands print with `--json`, held against the schemas of `docs/schemas/`.

use crate::{Ended, PLAN, StateDir, apply_layer, publish_plan, publish_result, redis};
use apply_ops::commands::COMMANDS;
use apply_tests::Stage;
use apply_wire::Exit;
use jsonschema::Validator;
use redis_harness::RedisServer;
use serde_json::Value;
use std::{collections::BTreeSet, path::PathBuf, process::Stdio};
use tokio::io::AsyncWriteExt;

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas"))
}

fn schema(name: &str) -> Value {
    let path = directory().join(name).with_extension("json");
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn validator(name: &str) -> Validator {
    jsonschema::draft202012::new(&schema(name)).unwrap()
}

/// Holds a document against the schema of this name.
fn fits(name: &str, text: &str) {
    let document: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    let validator = validator(name);
    let errors = validator.iter_errors(&document);
    let errors: Vec<String> = errors
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{text}");
}

/// Holds what a command printed against its schema, and its error against the schema of errors. Says which schema it
/// was; none without `--json`.
pub(crate) fn hold(args: &[&str], ended: &Ended) -> Option<&'static str> {
    if !args.contains(&"--json") {
        return None;
    }
    let words = args.join(" ");
    let found = COMMANDS
        .iter()
        .find(|command| words == command.name || words.starts_with(&format!("{} ", command.name)));
    let name = found.unwrap().json.unwrap();
    match name.ends_with("-tail") || name == "shadow" {
        true => ended.out.lines().for_each(|line| fits(name, line)),
        false if ended.out.is_empty() => assert_ne!(ended.code, 0, "{words}: nothing was printed"),
        false => fits(name, &ended.out),
    }
    match ended.code {
        0 => assert_eq!(ended.err, "", "{words}"),
        code => {
            fits("error", &ended.err);
            let error: Value = serde_json::from_str(&ended.err).unwrap();
            assert_eq!(error["error"]["code"], code, "{words}");
            let exit = Exit::ALL
                .into_iter()
                .find(|exit| i32::from(exit.code()) == code);
            assert_eq!(error["error"]["name"], exit.unwrap().name(), "{words}");
        }
    }
    (!ended.out.is_empty()).then_some(name)
}

/// Every object of a schema, with the place it stands at.
fn objects<'a>(schema: &'a Value, at: &str, found: &mut Vec<(String, &'a Value)>) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") {
                found.push((at.to_owned(), schema));
            }
            for (name, below) in fields {
                objects(below, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| objects(item, at, found)),
        _ => {}
    }
}

#[test]
fn each_schema_is_of_a_command_says_what_each_field_is_and_allows_no_other() {
    let mut wanted: BTreeSet<&str> = COMMANDS.iter().filter_map(|command| command.json).collect();
    wanted.insert("error");
    let files = std::fs::read_dir(directory())
        .unwrap()
        .map(|file| file.unwrap().path());
    let files: Vec<PathBuf> = files.collect();
    let there: BTreeSet<&str> = files
        .iter()
        .map(|file| file.file_stem().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(there, wanted);
    for name in there {
        let schema = schema(name);
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        let mut found = Vec::new();
        objects(&schema, name, &mut found);
        assert!(!found.is_empty(), "{name}");
        for (at, object) in found {
            // Entries of a stream hold whatever their writer wrote, as text.
            let other = &object["additionalProperties"];
            assert!(other == false || other["type"] == "string", "{at}");
            for (field, says) in object["properties"].as_object().unwrap() {
                assert!(
                    says["description"].is_string(),
                    "{at}: {field} has no description"
                );
            }
        }
    }
}

#[test]
fn the_names_of_exit_codes_are_those_of_the_schemas() {
    let names: Vec<&str> = Exit::ALL
        .into_iter()
        .filter(|exit| *exit != Exit::Good)
        .map(Exit::name)
        .collect();
    let error = schema("error");
    assert_eq!(
        error["properties"]["error"]["properties"]["name"]["enum"],
        serde_json::json!(names)
    );
}

/// What a command does with this on its standard input.
async fn fed(mut command: tokio::process::Command, input: &str) -> Ended {
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap().into()
}

#[tokio::test]
async fn what_every_command_prints_as_json_fits_its_schema() {
    let server = RedisServer::start().await;
    let connection = &mut server.connection().await;
    let state = StateDir::new();
    let mut held = BTreeSet::new();
    let mut run = async |args: &[&str], input: &str| {
        let mut command = apply_layer(&server.url(), args);
        command.env("APPLY_STATE_DIR", state.path());
        let ended = fed(command, input).await;
        held.extend(hold(args, &ended));
        ended
    };
    // Nothing is there yet.
    let nothing: [&[&str]; 10] = [
        &["check", "--json"],
        &["status", "--json"],
        &["stats", "--json"],
        &["cycles", "--json"],
        &["plans", "tail", "--json"],
        &["results", "tail", "--json"],
        &["permits", "ls", "--json"],
        &["plan", PLAN, "--json"],
        &["forget", PLAN, "--json"],
        &["new-journal", "--json"],
    ];
    for args in nothing {
        run(args, "").await;
    }
    // A wait with a permit that is a no, results of every kind, another program's words, an entry of any size.
    let other = "89e6da21fa9fe506";
    publish_plan(connection, "*", PLAN).await;
    publish_plan(connection, "*", other).await;
    publish_result(
        connection,
        "*",
        other,
        "False",
        "permit_timeout_or_missing:missing_p33",
    )
    .await;
    for words in [
        &format!("SET quantum:apply:dedupe:{PLAN} 1-a.0 EX 100"),
        &format!("SET quantum:permit:{PLAN} no EX 60"),
        &format!(
            "XADD quantum:stream:apply.result * source intent_executor plan_id {PLAN} symbol BTCUSDT executed false"
        ),
    ] {
        let _: String = redis(connection, words).await;
    }
    let mut long = ::redis::cmd("EVAL");
    long.arg("return redis.call('XADD', KEYS[1], '*', 'plan_id', string.rep('x', 2097152))")
        .arg(1);
    let _: String = long
        .arg("quantum:stream:apply.plan")
        .query_async(connection)
        .await
        .unwrap();
    let permit = r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.009,"created_at":1}"#;
    let journal = apply_service::config::journal_place(state.path().as_ref());
    let _: String = redis(
        connection,
        &format!("SET quantum:apply:journal:{journal} journal-1"),
    )
    .await;
    let cases: [(&[&str], i32); 25] = [
        (&["halt", "--reason", "dri\u{202e}ll", "--json"], 0),
        (&["check", "--json"], 0),
        (&["status", "--json"], 3),
        (&["propose", "BTCUSDT", "HOLD", "--json"], 0),
        (&["resume", "--file-only", "--json"], 0),
        (&["resume", "--json"], 0),
        (&["permits", "show", PLAN, "--json"], 0),
        (&["permits", "ls", "--json"], 0),
        (&["permits", "judge", "--json"], 0),
        (&["permits", "judge", "governor", "--json"], 1),
        (&["permits", "judge", "p99", "--json"], 7),
        (
            &["permits", "grant", PLAN, "p33", "--qty", "0.008", "--json"],
            2,
        ),
        (
            &[
                "permits", "grant", PLAN, "p33", "--qty", "0.008", "--json", "--yes",
            ],
            0,
        ),
        (
            &[
                "permits", "grant", PLAN, "p33", "--qty", "0.008", "--json", "--yes",
            ],
            1,
        ),
        (&["permits", "revoke", PLAN, "--json"], 2),
        (&["permits", "revoke", PLAN, "--json", "--yes"], 0),
        (&["plans", "tail", "--json"], 0),
        (&["results", "tail", "--json"], 0),
        (&["stats", "--json"], 0),
        (&["cycles", "--json"], 1),
        (&["shadow", "--for", "1s", "--json"], 0),
        (&["forget", PLAN, "--json", "--yes"], 1),
        (&["forget", other, "--json"], 0),
        (&["new-journal", "--json", "--yes"], 0),
        (&["status", "--jsom", "--json"], 2),
    ];
    for (args, code) in cases {
        let ended = run(args, permit).await;
        assert_eq!(ended.code, code, "{args:?}: {}{}", ended.out, ended.err);
    }
    // What only a service brings about: an order in the journal and its plan on the way.
    let stage = Stage::open().await;
    let how = stage.service();
    let service = how.clone().ready().await;
    let (port, _governor, _brain) = (
        service.address().await.port().to_string(),
        stage.governor(Default::default()).await,
        stage.position_brain(Default::default(), "0.009").await,
    );
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(result.get("executed"), "True");
    for (args, code) in [
        (&["plan", result.get("plan_id"), "--json"][..], 0),
        (&["forget", result.get("plan_id"), "--json", "--yes"], 1),
        (&["status", "--json"], 0),
        (&["cycles", "--json"], 1),
        (&["halt", "--json"], 0),
        (&["status", "--json"], 5),
    ] {
        let ended = how
            .clone()
            .instead(args)
            .env("APPLY_METRICS_PORT", port.as_str())
            .ended()
            .await;
        let ended = Ended {
            code: ended.code.unwrap(),
            out: ended.log.join("\n"),
            err: ended.errors.join("\n"),
        };
        held.extend(hold(args, &ended));
        assert_eq!(ended.code, code, "{args:?}: {}{}", ended.out, ended.err);
    }
    service.stopped_well().await;
    let all: BTreeSet<&str> = COMMANDS.iter().filter_map(|command| command.json).collect();
    assert_eq!(held, all, "every schema was held against something");
}

#[tokio::test]
async fn what_the_shadow_finds_fits_its_schema() {
    let server = RedisServer::start().await;
    let connection = &mut server.connection().await;
    let args = ["shadow", "--for", "3s", "--json"];
    let shadow = apply_layer(&server.url(), &args).output();
    let (ended, ()) = tokio::join!(shadow, async {
        // Until it hears of writes.
        while !redis::<String>(connection, "CLIENT LIST")
            .await
            .contains("cmd=client|tracking")
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        publish_plan(connection, "*", PLAN).await;
        publish_result(connection, "*", PLAN, "False", "p33_permit_denied").await;
    });
    let ended = Ended::from(ended.unwrap());
    assert_eq!(hold(&args, &ended), Some("shadow"));
    assert!(ended.out.lines().count() >= 3, "{}", ended.out);
}

#[test]
fn a_schema_refuses_what_is_missing_misspelt_or_of_another_kind() {
    let good =
        serde_json::json!({"plan_id": PLAN, "permits": [{"permit": "p33", "deleted": true}]});
    let validator = validator("permits-revoke");
    assert!(validator.is_valid(&good));
    for (pointer, value) in [
        ("/plan_id", serde_json::json!("xyz")),
        ("/permits/0/deleted", serde_json::json!("true")),
        ("/permits/0", serde_json::json!({"permit": "p33"})),
        (
            "/permits/0",
            serde_json::json!({"permit": "p33", "deleted": true, "more": 1}),
        ),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}
