//! A shell in which `apply-layer` is the program under test, on a stage of the test's own.

use crate::blocks::root;
use apply_tests::{ServiceBuilder, Stage, apply_layer, within};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Output, Stdio},
};
use tokio::process::Command;

/// Where the documents have things; the test has them elsewhere.
const STATE: &str = "/var/lib/apply-layer";
const REDIS: &str = "redis://127.0.0.1:6379/0";
const SERVICE: &str = "127.0.0.1:8043";
const VENUE: &str = "127.0.0.1:8099";

/// The server of a stage, as a document would name it.
pub(crate) fn redis(stage: &Stage) -> String {
    format!("{}/0", stage.redis.url())
}

/// A directory to work in, with programs of its own before those of the machine.
pub(crate) struct Shell {
    /// Taken from a builder, whose state directory it is in: gone with it.
    how: ServiceBuilder,
    directory: PathBuf,
    /// What stands in the documents, and what it is here.
    places: Vec<(String, String)>,
}

impl Shell {
    /// `how` is the environment of the program, `port` where a service answers.
    pub(crate) fn new(stage: &Stage, how: &ServiceBuilder, port: Option<u16>) -> Self {
        let state = how.state_directory().display().to_string();
        let directory = how.state_directory().join("shell");
        fs::create_dir_all(directory.join("bin")).unwrap();
        let venue = format!("127.0.0.1:{}", stage.venue_port());
        let mut places = vec![
            (STATE.to_owned(), state),
            (REDIS.to_owned(), redis(stage)),
            (VENUE.to_owned(), venue),
        ];
        if let Some(port) = port {
            places.push((SERVICE.to_owned(), format!("127.0.0.1:{port}")));
        }
        let shell = Self {
            how: how.clone(),
            directory,
            places,
        };
        shell.install(port, &redis(stage));
        shell
    }

    fn install(&self, port: Option<u16>, redis: &str) {
        let port = port.unwrap_or(0).to_string();
        // What says where things are is the test's, whatever a document exports; the rest is the document's.
        let ours = |name: &str| {
            ["REDIS_URL", "APPLY_STATE_DIR", "APPLY_HTTP_ADDR"].contains(&name)
                || name.starts_with("BINANCE_")
        };
        let mut sets = String::new();
        let environment: BTreeMap<&str, &str> = self
            .how
            .environment()
            .chain([
                ("REDIS_URL", redis),
                ("APPLY_METRICS_PORT", &*port),
                ("REVIEW_METRICS_PORT", "0"),
            ])
            .collect();
        for (name, value) in environment {
            match ours(name) || name.ends_with("_METRICS_PORT") {
                true => sets += &format!("export {name}='{value}'\n"),
                false => sets += &format!(": \"${{{name}:={value}}}\"; export {name}\n"),
            }
        }
        // A key is given in one way or the other.
        sets += "for key in KEY SECRET; do eval \"[ -z \\\"\\$BINANCE_TESTNET_API_${key}_FILE\\\" ] || unset BINANCE_TESTNET_API_$key\"; done\n";
        let program = apply_layer().display();
        // What runs until it is stopped is stopped once it has said that it works.
        let script = format!(
            r#"#!/bin/sh
{sets}
case "$1 $2" in
  run*|chain*) ready='Ready: following' ;;
  'review '*) ready='Reviewing as' ;;
  'sim --port') ready='simulated venue on'; set -- sim --port 0 ;;
  'shadow --for') set -- shadow --for 1s; exec {program} "$@" ;;
  'shadow --json') exec {program} "$@" --for 1s ;;
  *) exec {program} "$@" ;;
esac
out=$(mktemp -p "$HOME")
{program} "$@" > "$out" 2>&1 & pid=$!
until grep -q "$ready" "$out"; do
  kill -0 "$pid" 2>/dev/null || {{ cat "$out"; wait "$pid"; exit; }}
  sleep 0.02
done
kill -TERM "$pid"
wait "$pid" || {{ code=$?; cat "$out"; exit "$code"; }}
"#
        );
        self.program("apply-layer", &script);
        // The service manager starts what the unit names.
        let unit = fs::read_to_string(root().join("deploy/apply-layer.service")).unwrap();
        let start = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let start = start.unwrap().replace("/usr/bin/", "");
        self.program("systemctl", &format!("#!/bin/sh\nexec {start}\n"));
        let etc = self.directory.join("etc");
        fs::create_dir_all(etc.join("credentials")).unwrap();
        let deployed = root().join("deploy/apply-layer.env");
        fs::copy(deployed, etc.join("apply-layer.env")).unwrap();
        for (file, key) in [
            ("binance-api-key", "BINANCE_TESTNET_API_KEY"),
            ("binance-api-secret", "BINANCE_TESTNET_API_SECRET"),
        ] {
            let path = etc.join("credentials").join(file);
            let mut environment = self.how.environment();
            let value = environment.find(|(name, _)| *name == key);
            fs::write(&path, value.unwrap().1).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.directory.join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A file beside the commands.
    pub(crate) fn file(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), text).unwrap();
    }

    /// Runs lines as they stand in a document, with places of this test.
    pub(crate) async fn run(&self, text: &str) -> Output {
        let mut text = text.replace(
            "/etc/quantum",
            &self.directory.join("etc").display().to_string(),
        );
        for (documents, ours) in &self.places {
            text = text.replace(documents, ours);
        }
        // What a reader fills in is filled in by the environment here.
        let text = text.replace(" … ", " ").replace("curl -s ", "curl -sSf ");
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.directory.join("bin").display());
        let mut shell = Command::new("sh");
        shell
            .args(["-e", "-c", &text])
            .env_clear()
            .env("PATH", path);
        shell
            .env("HOME", &self.directory)
            .current_dir(&self.directory);
        shell.stdin(Stdio::null()).kill_on_drop(true);
        let what = format!("{text:?} has ended");
        within(&what, shell.output()).await.unwrap()
    }

    /// What a command prints to both its outputs, with the places as the documents name them.
    pub(crate) async fn prints(&self, command: &str) -> Vec<String> {
        let output = self.run(&format!("{{ {command}\n}} 2>&1 || true")).await;
        let mut text = String::from_utf8(output.stdout).unwrap();
        for (documents, ours) in &self.places {
            text = text.replace(ours, documents);
        }
        text.lines().map(str::to_owned).collect()
    }
}
