//! Whether the service that runs on this machine keeps things where a command looks for them. A command that was given
//! another state directory, HALT file, Redis or mode would report something else, and says so.

use crate::{
    ask::{get, reachable},
    link::Link,
};
use apply_core::Mode;
use apply_redis::{Keys, Lease, OtherMode};
use apply_service::{
    Config, Failure,
    config::{HALT_FILE, RedisUrl},
};
use permit_gate::foreign::{MAX_FOREIGN, escaped};
use redis::{RedisError, Value};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;

/// How long the service may take to say where it keeps things.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the running service says of itself. One of an earlier version says nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    pub(crate) mode: String,
    pub(crate) state_directory: PathBuf,
    pub(crate) halt_file: PathBuf,
    pub(crate) redis: String,
}

/// Where a command looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) state_directory: &'a Path,
    pub(crate) halt_file: &'a Path,
    pub(crate) redis: Option<&'a RedisUrl>,
    pub(crate) mode: Option<Mode>,
}

impl<'a> Here<'a> {
    /// Where these settings look.
    pub(crate) fn of(config: &'a Config) -> Self {
        Self {
            state_directory: &config.state.directory,
            halt_file: &config.state.halt_file,
            redis: Some(&config.redis),
            mode: Some(config.mode),
        }
    }
}

/// What the service that runs on this machine keeps elsewhere; `None` where nothing, or where none answers.
pub(crate) async fn difference(service: SocketAddr, here: &Here<'_>) -> Option<String> {
    let there = Elsewhere::ask(service).await?;
    there.difference(reachable(service), here)
}

/// Refuses to go on where the service that runs on this machine works with another journal than these settings name.
pub(crate) async fn same_journal(config: &Config) -> Result<(), Failure> {
    let here = Here {
        redis: None,
        mode: None,
        ..Here::of(config)
    };
    match difference(config.http, &here).await {
        None => Ok(()),
        Some(text) => Err(
            Failure::configuration(format!("nothing was changed: {text}"))
                .fix_within("run it with the settings of the service that answers"),
        ),
    }
}

/// The instance of the other mode that works on the same Redis, and what comes of it. The service of these very
/// settings is none.
pub(crate) async fn beside(
    config: &Config,
    keys: &Keys,
    link: &mut Link,
) -> Result<Option<OtherMode>, RedisError> {
    let other = match config.mode {
        Mode::Testnet => Mode::DryRun,
        Mode::DryRun => Mode::Testnet,
    };
    let ask = Lease::ask(keys.lease_of_mode(other));
    let answer = link.try_ask::<Value>(&ask).await?;
    let found = Lease::of_answer(&answer);
    let found = found.filter(|lease| Path::new(&lease.state_directory) != config.state.directory);
    Ok(found.map(|lease| OtherMode {
        ours: config.mode,
        lease,
    }))
}

impl Elsewhere {
    /// Asks the service; `None` where none answers, or one that does not say where it keeps things.
    pub(crate) async fn ask(service: SocketAddr) -> Option<Self> {
        let ask = get(reachable(service), "/api/status.json");
        let answer = timeout(PATIENCE, ask).await.ok()??;
        let status: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
        let text = |name: &str| status[name].as_str().map(str::to_owned);
        Some(Self {
            mode: text("mode")?,
            state_directory: text("state_directory")
                .filter(|path| !path.is_empty())?
                .into(),
            halt_file: text("halt_file")?.into(),
            redis: text("redis")?,
        })
    }

    /// Whether the service looks at another HALT file.
    pub(crate) fn has_other_halt_file(&self, here: &Here<'_>) -> bool {
        differ(&self.halt_file, here.halt_file)
    }

    /// What the service keeps elsewhere, and how to have a command look there; `None` where nothing.
    pub(crate) fn difference(&self, service: SocketAddr, here: &Here<'_>) -> Option<String> {
        let mut parts = Vec::new();
        let mut set = Vec::new();
        if differ(&self.state_directory, here.state_directory) {
            let (theirs, ours) = (shown(&self.state_directory), shown(here.state_directory));
            parts.push(format!("keeps its journal in {theirs}, not in {ours}"));
            set.push(format!("APPLY_STATE_DIR={theirs}"));
        }
        if self.has_other_halt_file(here) {
            let (theirs, ours) = (shown(&self.halt_file), shown(here.halt_file));
            parts.push(format!("is halted by {theirs}, not by {ours}"));
            if self.halt_file != self.state_directory.join(HALT_FILE) {
                set.push(format!("APPLY_KILL_SWITCH_FILE={theirs}"));
            }
        }
        if let Some(redis) = here.redis
            && plain(&self.redis) != plain(&redis.to_string())
        {
            let theirs = escaped(&self.redis, MAX_FOREIGN);
            parts.push(format!("works on {theirs}, not on {redis}"));
            set.push("REDIS_URL as it has it".to_owned());
        }
        if let Some(mode) = here.mode
            && self.mode != mode.as_str()
        {
            let theirs = escaped(&self.mode, MAX_FOREIGN);
            parts.push(format!("runs in {theirs}, not in {}", mode.as_str()));
            set.push(format!("APPLY_MODE={theirs}"));
        }
        (!parts.is_empty()).then(|| {
            format!(
                "the service on http://{service} {}; give this command the service's settings: {}",
                parts.join(", "),
                set.join(" ")
            )
        })
    }
}

/// Two paths that name the same place do not differ, as far as this user may see it.
fn differ(one: &Path, other: &Path) -> bool {
    let same = || {
        let (one, other) = (one.canonicalize().ok()?, other.canonicalize().ok()?);
        Some(one == other)
    };
    let parents = || {
        let names = one.file_name()? == other.file_name()?;
        let (one, other) = (one.parent()?, other.parent()?);
        Some(names && one.canonicalize().ok()? == other.canonicalize().ok()?)
    };
    one != other && same() != Some(true) && parents() != Some(true)
}

/// A server under the names that mean the same.
fn plain(redis: &str) -> String {
    let redis = redis.replace("//localhost", "//127.0.0.1");
    let redis = redis.trim_end_matches("/0").trim_end_matches('/');
    match redis.split_once("://") {
        Some((_, host)) if !host.contains([':', ',', '/']) => format!("{redis}:6379"),
        _ => redis.to_owned(),
    }
}

fn shown(path: &Path) -> String {
    escaped(&path.display().to_string(), MAX_FOREIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_reported_with_the_settings_that_fix_it() {
        let service = SocketAddr::from(([127, 0, 0, 1], 8043));
        let there = Elsewhere {
            mode: "testnet".into(),
            state_directory: "/D/state".into(),
            halt_file: "/D/state/HALT".into(),
            redis: "redis://127.0.0.1:6379/0".into(),
        };
        let redis = RedisUrl::new("redis://localhost");
        let here = Here {
            state_directory: Path::new("/D/state"),
            halt_file: Path::new("/D/state/HALT"),
            redis: Some(&redis),
            mode: Some(Mode::Testnet),
        };
        assert_eq!(there.difference(service, &here), None);
        let other = Here {
            state_directory: Path::new("/other"),
            halt_file: Path::new("/other/HALT"),
            mode: Some(Mode::DryRun),
            ..here
        };
        assert_eq!(
            there.difference(service, &other).unwrap(),
            "the service on http://127.0.0.1:8043 keeps its journal in /D/state, not in /other, is halted by \
             /D/state/HALT, not by /other/HALT, runs in testnet, not in dry_run; give this command the service's \
             settings: APPLY_STATE_DIR=/D/state APPLY_MODE=testnet"
        );
        let away = RedisUrl::new("redis://127.0.0.1:6379/1");
        let other = Here {
            redis: Some(&away),
            ..here
        };
        let text = there.difference(service, &other).unwrap();
        assert!(
            text.contains("works on redis://127.0.0.1:6379/0, not on redis://127.0.0.1:6379/1"),
            "{text}"
        );
    }
}
