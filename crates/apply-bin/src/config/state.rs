//! What this machine keeps: the state directory, the local kill switch, the lease; and what the
//! service manager gives.

use super::{Mistake, Mistakes, Reader, joined, misread::OF_PLACE};
use apply_ops::halt::{HaltConfig, Place};
use apply_service::config::{HALT_FILE, StateConfig};
use std::{
    collections::{BTreeMap, HashSet},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::Duration,
};

/// Reads the few variables that turning a switch needs. A wrong setting of one switch
/// does not stop `halt` from turning the other one.
pub(crate) fn halting() -> HaltConfig {
    let (vars, unreadable) = of_place();
    resolve(&vars, unreadable)
}

fn resolve(vars: &BTreeMap<String, String>, unreliable: Vec<Mistake>) -> HaltConfig {
    let reader = || Reader {
        vars,
        keys_wanted: false,
        mistakes: Vec::new(),
        met: HashSet::new(),
    };
    let (of_redis, of_file): (Vec<_>, Vec<_>) = unreliable
        .into_iter()
        .partition(|mistake| mistake.key.starts_with("REDIS_"));
    let mut read = reader();
    let state = read.state_directory();
    let place = Place {
        file: read.halt_file(&state),
        log: state.join("halt.log"),
        state,
    };
    let place = joined(of_file, read.done(place));
    let mut read = reader();
    let redis = read.redis();
    let redis = joined(of_redis, read.done(redis));
    let mut read = reader();
    let service = read.http();
    HaltConfig {
        who: read.who(),
        service: read.mistakes.is_empty().then_some(service),
        place: place.map_err(Mistakes::into_failure),
        redis: redis.map_err(Mistakes::into_failure),
    }
}

/// The environment, and the mistakes in the variables that say where things are. A mistake in any other variable does not
/// stop `halt`.
fn of_place() -> (BTreeMap<String, String>, Vec<Mistake>) {
    super::variables(false, |key| OF_PLACE.contains(&key))
}

impl Reader<'_> {
    pub(super) fn state(&mut self) -> StateConfig {
        let directory = self.state_directory();
        StateConfig {
            halt_file: self.halt_file(&directory),
            directory,
            lease: self.seconds("APPLY_LEASE_SEC"),
            strict: self.word("APPLY_DURABILITY", &[("warn", false), ("strict", true)]),
            notify: self.text("NOTIFY_SOCKET").map(str::to_owned),
            // Half of it: one lost message must not look like a hang.
            watchdog: self
                .text("WATCHDOG_USEC")
                .and_then(|micros| micros.parse().ok())
                .map(|micros| Duration::from_micros(micros) / 2),
        }
    }

    /// Never the working directory: a service that is started from another one would find no
    /// journal there and begin a new one.
    fn state_directory(&mut self) -> PathBuf {
        let directory = match (
            self.text("APPLY_STATE_DIR"),
            self.text("STATE_DIRECTORY"),
            self.text("XDG_STATE_HOME"),
            self.text("HOME"),
        ) {
            (Some(ours), ..) => PathBuf::from(ours),
            // The service manager names several, divided by colons; ours is the first.
            (None, Some(given), ..) => PathBuf::from(given.split(':').next().unwrap_or(given)),
            (None, None, Some(state), _) => PathBuf::from(state).join("apply-layer"),
            (None, None, None, Some(home)) => PathBuf::from(home).join(".local/state/apply-layer"),
            (None, None, None, None) => PathBuf::from("/var/lib/apply-layer"),
        };
        if !directory.is_absolute() {
            self.wrong(
                "APPLY_STATE_DIR",
                "use an absolute path: the journal has to be found again from any working directory",
            );
        }
        directory
    }

    fn who(&self) -> String {
        let sudo = self.text("SUDO_USER").map(|user| format!("{user} (sudo)"));
        let session = || {
            ["USER", "LOGNAME"]
                .into_iter()
                .find_map(|name| self.text(name))
        };
        let number = || {
            let process = std::fs::metadata("/proc/self").map(|process| process.uid());
            process.map_or("unknown".into(), |uid| format!("user {uid}"))
        };
        let who = sudo
            .or_else(|| session().map(str::to_owned))
            .unwrap_or_else(number);
        let from = self.text("SSH_CONNECTION");
        match from.and_then(|from| from.split_ascii_whitespace().next()) {
            Some(from) => format!("{who} from {from}"),
            None => who,
        }
    }

    fn halt_file(&mut self, directory: &std::path::Path) -> PathBuf {
        let file = self
            .text("APPLY_KILL_SWITCH_FILE")
            .map_or_else(|| directory.join(HALT_FILE), PathBuf::from);
        if !file.is_absolute() {
            self.wrong("APPLY_KILL_SWITCH_FILE", "use an absolute path");
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(vars: &[(&str, &str)]) -> BTreeMap<String, String> {
        vars.iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn the_state_directory_is_what_is_said_before_what_is_given_before_what_is_usual() {
        let all = [
            ("APPLY_STATE_DIR", "/ours"),
            ("STATE_DIRECTORY", "/given:/second"),
            ("XDG_STATE_HOME", "/state"),
            ("HOME", "/home/me"),
        ];
        for (from, directory) in [
            (0, "/ours"),
            (1, "/given"),
            (2, "/state/apply-layer"),
            (3, "/home/me/.local/state/apply-layer"),
            (4, "/var/lib/apply-layer"),
        ] {
            let place = resolve(&vars(&all[from..]), Vec::new()).place.unwrap();
            assert_eq!(place.file, PathBuf::from(directory).join("HALT"));
        }
    }

    #[test]
    fn a_relative_state_directory_is_a_mistake() {
        let config = resolve(&vars(&[("APPLY_STATE_DIR", "state")]), Vec::new());
        let text = config.place.unwrap_err().to_string();
        assert!(text.contains("APPLY_STATE_DIR=state"), "{text}");
        assert!(config.redis.is_ok(), "the other switch can be turned");
    }

    #[test]
    fn halting_needs_no_other_configuration_to_be_right() {
        let wrong = vars(&[("APPLY_MODE", "live"), ("SYMBOLS", "??"), ("HOME", "/h")]);
        let config = resolve(&wrong, Vec::new());
        assert!(config.place.is_ok() && config.redis.is_ok());
    }
}
