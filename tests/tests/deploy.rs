//! What lies in `deploy/` is tried, not believed.
#![allow(clippy::unwrap_used)]

use apply_redis::{Keys, Right, rights};
use apply_tests::{ServiceBuilder, Stage};
use apply_wire::metric::{METRICS, Of};
use redis_harness::RedisServer;
use std::{collections::BTreeSet, path::Path};

fn deploy(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every metric a text names, without the suffixes that a histogram's series have.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("quantum_apply_"))
        .map(|word| {
            let base = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|s| word.strip_suffix(s));
            base.unwrap_or(word).to_owned()
        })
        .collect()
}

#[tokio::test]
async fn every_metric_that_alerts_and_dashboard_name_is_on_the_page_from_the_start() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    // The venue has a series once it was asked.
    service.metric_is("quantum_apply_venue_up", "1").await;
    let page = service.metrics().await;
    let there = metrics_in(&page);
    for file in ["alerts.yml", "grafana-dashboard.json"] {
        let named = metrics_in(&deploy(file));
        assert!(named.len() >= 5, "{file} names metrics");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "{file} names what is not on the page: {missing:?}"
        );
    }
    service.stopped_well().await;
}

/// Every metric with its type, its unit and its sentence, as a page says them.
fn described(page: &str) -> BTreeSet<String> {
    let lines = page.lines();
    let described = lines.filter(|line| line.starts_with("# ") && *line != "# EOF");
    described
        .map(|line| line.trim_end_matches('.').to_owned())
        .collect()
}

#[tokio::test]
async fn the_page_of_metrics_says_what_the_table_says() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    service.metric_is("quantum_apply_venue_up", "1").await;
    let mut table = BTreeSet::new();
    for metric in METRICS.iter().filter(|metric| metric.of == Of::Service) {
        let (name, kind) = (metric.full_name(), metric.kind.as_str());
        table.insert(format!("# HELP {name} {}", metric.help));
        table.insert(format!("# TYPE {name} {kind}"));
        if !metric.unit.is_empty() {
            table.insert(format!("# UNIT {name} {}", metric.unit));
        }
    }
    let page = described(&service.metrics().await);
    let differ: Vec<&String> = page.symmetric_difference(&table).collect();
    assert!(differ.is_empty(), "page and table differ: {differ:#?}");
    service.stopped_well().await;
}

/// Runs the real promtool in `deploy/`.
fn promtool(arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let ran = std::process::Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("promtool runs; it is in Debian's package prometheus");
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ran.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
fn every_alert_fires_for_what_it_names_and_not_before() {
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts_test.yml"]);
}

#[test]
fn every_alert_has_a_case_that_fires_and_a_section_of_the_runbook() {
    let rules = deploy("alerts.yml");
    let cases = deploy("alerts_test.yml");
    let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/alerts.md");
    let runbook = std::fs::read_to_string(runbook).unwrap();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in &alerts {
        let url = format!(
            "runbook_url: file:///usr/share/doc/apply-layer/alerts.md#{}",
            alert.to_lowercase()
        );
        // Once at the rule, and once in what a case expects to be sent.
        assert!(rules.contains(&url), "{alert} has no runbook_url");
        assert!(
            cases.contains(&url),
            "no case of alerts_test.yml fires {alert}"
        );
        assert!(
            runbook.contains(&format!("\n## {alert}\n")),
            "docs/alerts.md has no section {alert}"
        );
    }
    let sections = runbook.matches("\n## ").count();
    assert_eq!(
        sections,
        alerts.len(),
        "docs/alerts.md has a section of no alert"
    );
}

#[tokio::test]
async fn the_build_is_told_as_the_version_tells_it() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let version = ServiceBuilder::command(&["--version"])
        .ended()
        .await
        .output();
    let (version, commit) = match version.trim().trim_end_matches(')').split_once(" (") {
        Some((version, commit)) => (version, commit),
        None => (version.trim(), "unknown"),
    };
    let version = version.strip_prefix("apply-layer ").unwrap();
    let series = format!(r#"quantum_apply_build_info{{version="{version}",commit="{commit}"}}"#);
    assert_eq!(
        service.metric(&series).await.as_deref(),
        Some("1"),
        "{series}"
    );
    service.stopped_well().await;
}

#[tokio::test]
async fn the_environment_file_starts_the_service_as_it_is() {
    let stage = Stage::open().await;
    let text = deploy("apply-layer.env");
    let variables = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='));
    let mut service = stage.service();
    for (name, value) in variables {
        // Where Redis is and which port is free are this machine's.
        if name != "REDIS_URL" && name != "APPLY_METRICS_PORT" {
            service = service.env(name, value);
        }
    }
    let service = service.ready().await;
    let strangers: Vec<String> = service
        .log()
        .into_iter()
        .filter(|line| line.contains("is no variable"))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    service.stopped_well().await;
}

/// The values of a directive of the unit.
fn directives<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    let named = lines.filter(|(directive, _)| *directive == name);
    named.map(|(_, value)| value).collect()
}

/// systemd takes the value of `SetCredential=` where the file of `LoadCredential=` is missing, and does not start the
/// service where there is no such value (systemd.exec(5)).
#[tokio::test]
async fn the_unit_starts_a_dry_run_without_keys_and_no_live_one() {
    let unit = deploy("apply-layer.service");
    let loaded = directives(&unit, "LoadCredential");
    let fallbacks = directives(&unit, "SetCredential");
    let environment = directives(&unit, "Environment");
    assert_eq!((loaded.len(), fallbacks.len()), (2, 2));
    let dir = std::env::temp_dir().join(format!("apply-credentials-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let stage = Stage::open().await;
    let mut how = stage
        .service()
        .without("BINANCE_TESTNET_API_KEY")
        .without("BINANCE_TESTNET_API_SECRET");
    for credential in loaded {
        let (id, _) = credential.split_once(':').unwrap();
        let fallback = fallbacks.iter().find_map(|value| {
            let value = value.strip_prefix(id)?.strip_prefix(':')?;
            Some(value.replace("\\n", "\n"))
        });
        // As systemd lays it out, where nobody has laid a key.
        let file = dir.join(id);
        std::fs::write(&file, fallback.unwrap()).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o400))
            .unwrap();
        let named = format!("%d/{id}");
        let variable = environment
            .iter()
            .find_map(|line| line.split_once('=').filter(|(_, value)| *value == named));
        let (variable, _) = variable.unwrap_or_else(|| panic!("nothing names {named}"));
        how = how.env(variable, file.display().to_string());
    }
    let dry = how.clone().env("APPLY_MODE", "dry_run").ready().await;
    dry.stopped_well().await;
    let live = how.ended().await;
    assert_eq!(live.code, Some(78), "{}", live.output());
    for key in ["BINANCE_TESTNET_API_KEY", "BINANCE_TESTNET_API_SECRET"] {
        let told = format!("{key}=(not set)");
        assert!(live.output().contains(&told), "{}", live.output());
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Where systemd is not installed there is nobody to ask.
#[tokio::test]
async fn systemd_finds_nothing_wrong_with_the_unit() {
    let dir = std::env::temp_dir().join(format!("apply-unit-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("apply-layer.service");
    let program = apply_tests::apply_layer().display().to_string();
    // What the package installs elsewhere.
    let unit = deploy("apply-layer.service")
        .replace("/usr/bin/apply-layer", &program)
        .lines()
        .filter(|line| !line.starts_with("Documentation=") && !line.starts_with("Alias="))
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    std::fs::write(&file, unit).unwrap();
    let verify = std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&file)
        .output();
    std::fs::remove_dir_all(&dir).unwrap();
    let Ok(verify) = verify else {
        eprintln!("systemd-analyze is not installed");
        return;
    };
    let told = String::from_utf8_lossy(&verify.stderr).into_owned();
    let ours: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("apply-layer"))
        .collect();
    assert_eq!(ours, [""; 0], "{told}");
}

#[tokio::test]
async fn the_redis_user_can_do_the_service_s_work_and_cannot_write_a_permit() {
    let stage = Stage::open().await;
    let acl = deploy(acl_file());
    let user = acl
        .lines()
        .find_map(|line| line.strip_prefix("user apply-layer "))
        .unwrap();
    let mut command = vec!["ACL", "SETUSER", "apply-layer"];
    command.extend(selectors(user));
    let () = stage.command(&command).await;
    let url = stage.redis.url_as("apply-layer", "change-me-1");

    let service = stage.service().env("REDIS_URL", url).ready().await;
    stage.propose("BTCUSDT", "PARTIAL_50").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.006").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
    assert_eq!(
        stage.only_order().executed_qty.normalize().to_string(),
        "0.006"
    );
    let refused: Vec<String> = service
        .log()
        .into_iter()
        .filter(|line| line.contains("NOPERM"))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    service.stopped_well().await;

    let mut link = open(&stage.redis.url_as("apply-layer", "change-me-1")).await;
    let everywhere = [&["FLUSHALL"][..], &["SET", "other", "1"]];
    let with_selectors = [
        &["SET", "quantum:permit:x", "1"][..],
        &["DEL", "quantum:global:kill_switch"],
        &["SET", "quantum:harvest:proposal:BTCUSDT", "1"],
    ];
    let forbidden = match RedisServer::version() < (7, 0) {
        true => everywhere.to_vec(),
        false => [&everywhere[..], &with_selectors].concat(),
    };
    for forbidden in forbidden {
        assert_eq!(
            run(&mut link, forbidden).await,
            Some("NOPERM".into()),
            "{forbidden:?}"
        );
    }
}

#[tokio::test]
async fn check_names_each_right_that_is_missing_from_the_redis_user() {
    let stage = Stage::open().await;
    let acl = deploy(acl_file());
    let rule = acl
        .lines()
        .find_map(|line| line.strip_prefix("user apply-layer "))
        .unwrap();
    let url = stage.redis.url_as("apply-layer", "change-me-1");
    let mut connection = stage.redis.connection().await;
    let rights = rights(&Keys::default());
    let names: Vec<&str> = rights.iter().map(|right| right.name).collect();
    for missing in [None].into_iter().chain(names.iter().copied().map(Some)) {
        let padded = format!("{rule} ");
        let less = match missing {
            Some(right) => padded.replace(&format!("{right} "), ""),
            None => padded.clone(),
        };
        assert!(missing.is_none() || less != padded, "{missing:?}");
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("apply-layer").arg("reset");
        command.arg(selectors(less.trim_end()));
        let () = command.query_async(&mut connection).await.unwrap();
        let mut user = redis::Client::open(&*url)
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let mut found = Vec::new();
        for right in &rights {
            let answer: Result<redis::Value, _> = right.probe.query_async(&mut user).await;
            match answer {
                Err(error) if Right::is_missing(&error) => found.push(right.name),
                answer => drop(answer.unwrap()),
            }
        }
        assert_eq!(found, Vec::from_iter(missing));
    }
    let less = rule.replace(" +pttl", "").replace(" +hstrlen", "");
    let mut command = vec!["ACL", "SETUSER", "apply-layer", "reset"];
    command.extend(selectors(&less));
    let () = stage.command(&command).await;
    let told = stage
        .program(&["check"])
        .env("REDIS_URL", url)
        .ended()
        .await;
    let told = told.output();
    assert!(told.contains("allow it +hstrlen +pttl, as"), "{told}");
}

/// The ACL file for the server that is tested: selectors came with 7.0.
fn acl_file() -> &'static str {
    match RedisServer::version() < (7, 0) {
        true => "redis-6.2.acl",
        false => "redis.acl",
    }
}

async fn open(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// The code of the refusal; `None` where it is none.
async fn run(link: &mut redis::aio::MultiplexedConnection, words: &[&str]) -> Option<String> {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let error = command.exec_async(link).await.err()?;
    Some(error.code().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_acl_file_loads_as_it_is_and_lets_nobody_in_without_a_name() {
    let dir = std::env::temp_dir().join(format!("apply-acl-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("users.acl");
    std::fs::write(&file, deploy(acl_file())).unwrap();
    let server = RedisServer::builder()
        .config(&format!("aclfile {}", file.display()))
        .start()
        .await;
    let nobody = redis::Client::open(server.url()).unwrap();
    let mut nobody = nobody.get_multiplexed_async_connection().await.unwrap();
    assert_eq!(run(&mut nobody, &["PING"]).await, Some("NOAUTH".into()));
    let (plans, permit) = ("quantum:stream:apply.plan", "quantum:permit:x");
    let switch = "quantum:global:kill_switch";
    let refused = Some("NOPERM".to_owned());
    for (user, password, may, may_not) in [
        (
            "apply-layer",
            "change-me-1",
            &["XADD", plans, "*", "a", "b"][..],
            &["ACL", "SETUSER", "me", "on", "allkeys"][..],
        ),
        (
            "reviewer",
            "change-me-2",
            &["XREAD", "COUNT", "1", "STREAMS", plans, "0"],
            &["XADD", plans, "*", "a", "b"],
        ),
        (
            "apply-review",
            "change-me-3",
            &["XGROUP", "CREATE", plans, "governor", "0"],
            &["SET", "quantum:apply:dedupe:x", "1"],
        ),
        (
            "shadow",
            "change-me-5",
            &["XRANGE", plans, "-", "+"],
            &["EVAL", "return 1", "0"],
        ),
        (
            "operator",
            "change-me-4",
            &["SET", switch, "true"],
            &["FLUSHALL"],
        ),
    ] {
        let mut link = open(&server.url_as(user, password)).await;
        assert_eq!(run(&mut link, may).await, None, "{user}: {may:?}");
        assert_eq!(
            run(&mut link, may_not).await,
            refused,
            "{user}: {may_not:?}"
        );
    }
    for (user, password) in [("reviewer", "change-me-2"), ("apply-review", "change-me-3")] {
        let mut link = open(&server.url_as(user, password)).await;
        assert_eq!(
            run(&mut link, &["SETEX", permit, "60", "{}"]).await,
            None,
            "{user}"
        );
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The words of a rule; a selector in brackets is one word.
fn selectors(rule: &str) -> Vec<&str> {
    let (mut words, mut start, mut depth) = (Vec::new(), 0, 0);
    for (i, c) in rule.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ' ' if depth == 0 => {
                words.push(&rule[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    words.push(&rule[start..]);
    words
}

/// Every command of the docs that reads or writes Redis, with the operator's rights and nothing more.
#[tokio::test]
async fn every_command_works_with_the_operators_rights() {
    let stage = Stage::open().await;
    for user in deploy(acl_file()).lines().skip(1) {
        let mut command = vec!["ACL", "SETUSER"];
        command.extend(selectors(user.trim_start_matches("user ")));
        let () = stage.command(&command).await;
    }
    let how = stage.service();
    let service = how
        .clone()
        .env(
            "REDIS_URL",
            stage.redis.url_as("apply-layer", "change-me-1"),
        )
        .ready()
        .await;
    let port = service.address().await.port().to_string();
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id").to_owned();
    stage.approve(&plan, "0.009").await;
    stage.result_of(&id).await;
    let operator = stage.redis.url_as("operator", "change-me-4");
    let mut ran = 0;
    for (words, codes) in [
        ("check".to_owned(), &[0, 78][..]),
        ("status".into(), &[0]),
        ("watch --once".into(), &[0]),
        ("permits ls".into(), &[0]),
        (format!("permits grant {id} governor --yes"), &[0]),
        (format!("permits show {id}"), &[0]),
        (format!("permits revoke {id} --yes"), &[0]),
        ("plans tail".into(), &[0]),
        ("results tail".into(), &[0]),
        ("stats".into(), &[0]),
        ("cycles".into(), &[0, 1]),
        ("propose BTCUSDT HOLD".into(), &[0]),
        (format!("plan {id}"), &[0]),
        // It was executed: refused, and for no other reason.
        (format!("forget {id} --yes"), &[1]),
        ("new-journal --yes".into(), &[0]),
        ("halt --reason drill".into(), &[0]),
        ("resume --reason drill".into(), &[0]),
    ] {
        let arguments: Vec<&str> = words.split(' ').collect();
        let ended = how
            .clone()
            .instead(&arguments)
            .env("REDIS_URL", &operator)
            .env("APPLY_METRICS_PORT", &port)
            .ended()
            .await;
        let told = ended.output();
        assert!(
            ended.code.is_some_and(|code| codes.contains(&code)),
            "{words}: {:?}: {told}",
            ended.code
        );
        // `check` looks with the operator's rights at what the service's user has to be allowed.
        if words != "check" {
            let refused = told.contains("NOPERM") || told.contains("no permissions");
            assert!(!refused, "{words}: {told}");
            let unrecorded = told.contains("keeps no record") || told.contains("cannot be seen");
            assert!(!unrecorded, "{words}: {told}");
        }
        ran += 1;
    }
    assert_eq!(ran, 17);
    service.stopped_well().await;
}

#[test]
fn the_unit_leaves_no_core_with_the_keys_in_it() {
    let unit = deploy("apply-layer.service");
    assert!(unit.lines().any(|line| line == "LimitCORE=0"));
}
