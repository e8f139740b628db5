//! What lies in `deploy/` is tried, not believed.
#![allow(clippy::unwrap_used)]

use apply_tests::{ServiceBuilder, Stage};
use apply_wire::metric::{METRICS, Of};
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

/// What follows a metric's name in that of a series.
const SUFFIXES: [&str; 6] = ["", "_total", "_info", "_bucket", "_sum", "_count"];

/// The name and the labels of a line of the page, without the bound of a histogram's bucket.
fn series(line: &str) -> Option<(&str, Vec<&str>)> {
    if line.starts_with('#') {
        return None;
    }
    let (name, labels) = match line.split_once('{') {
        Some((name, rest)) => (name, rest.rsplit_once('}')?.0),
        None => (line.split(' ').next()?, ""),
    };
    let labels = labels
        .split("\",")
        .filter_map(|label| label.split_once('='));
    let labels = labels.map(|(label, _)| label);
    Some((name, labels.filter(|label| *label != "le").collect()))
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
    let page = service.metrics().await;
    let said = described(&page);
    let differ: Vec<&String> = said.symmetric_difference(&table).collect();
    assert!(differ.is_empty(), "page and table differ: {differ:#?}");
    for (name, labels) in page.lines().filter_map(series) {
        let metric = METRICS.iter().find(|metric| {
            let suffix = name.strip_prefix(&metric.full_name());
            suffix.is_some_and(|suffix| SUFFIXES.contains(&suffix)) && metric.of == Of::Service
        });
        let metric = metric.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert_eq!(labels, metric.labels, "{name}");
    }
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
async fn the_build_is_shown_as_the_version_prints_it() {
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
        // As systemd lays it out, without a key.
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
        let expected = format!("{key}=(not set)");
        assert!(live.output().contains(&expected), "{}", live.output());
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Where systemd is not installed the question cannot be asked.
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
    let errors = String::from_utf8_lossy(&verify.stderr).into_owned();
    let ours: Vec<&str> = errors
        .lines()
        .filter(|line| line.contains("apply-layer"))
        .collect();
    assert_eq!(ours, [""; 0], "{errors}");
}

/// The governor restarts the service by the name of the one before it.
#[test]
fn the_name_that_the_governor_restarts_is_this_unit_unless_the_former_one_still_has_it() {
    const FORMER: &str = "quantum-apply-layer.service";
    assert!(deploy("apply-layer.service").contains(&format!("\nAlias={FORMER}\n")));
    let root = std::env::temp_dir().join(format!("apply-alias-{}", std::process::id()));
    let (units, etc) = (
        root.join("usr/lib/systemd/system"),
        root.join("etc/systemd/system"),
    );
    for dir in [&units, &etc] {
        std::fs::create_dir_all(dir).unwrap();
    }
    std::fs::write(
        units.join("apply-layer.service"),
        deploy("apply-layer.service"),
    )
    .unwrap();
    let systemctl = |words: &[&str]| {
        std::process::Command::new("systemctl")
            .arg(format!("--root={}", root.display()))
            .args(words)
            .output()
    };
    let Ok(enabled) = systemctl(&["enable", "apply-layer"]) else {
        std::fs::remove_dir_all(&root).unwrap();
        eprintln!("systemctl is not installed");
        return;
    };
    assert!(enabled.status.success(), "{enabled:?}");
    let alias = std::fs::read_link(etc.join(FORMER)).unwrap();
    assert!(alias.ends_with("apply-layer.service"), "{alias:?}");
    // A former unit that stays is not covered up: enabling fails and names it.
    std::fs::remove_file(etc.join(FORMER)).unwrap();
    std::fs::write(etc.join(FORMER), "[Service]\nExecStart=/bin/true\n").unwrap();
    let refused = systemctl(&["enable", "apply-layer"]).unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && errors.contains(FORMER),
        "{errors}"
    );
}

#[test]
fn the_unit_leaves_no_core_with_the_keys_in_it() {
    let unit = deploy("apply-layer.service");
    assert!(unit.lines().any(|line| line == "LimitCORE=0"));
}
