//! Every kill switch there is, as the page, its API and the commands show them.

use crate::halt::HaltFile;
use apply_redis::{MAX_REASON_BYTES, SwitchState, Turned};
use apply_wire::key;
use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// What ends a halt by a file or by a key.
const RESUME: &str = "apply-layer resume";

/// The setting that halts from the start on.
const SETTING: &str = "APPLY_KILL_SWITCH";

/// One kill switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The variable, the file or the key.
    pub name: String,
    /// How it stands.
    pub state: SwitchState,
    /// How to end it.
    pub resume: &'static str,
}

/// The kill switches of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwitchesHere {
    /// `APPLY_KILL_SWITCH`.
    pub halted: bool,
    /// The file that halts by being there; none where there is none to look for.
    pub file: Option<PathBuf>,
}

impl SwitchesHere {
    /// How they stand, in the order in which the service looks at them.
    pub fn look(&self) -> Vec<Switch> {
        let setting = self.halted.then(|| Switch {
            name: SETTING.into(),
            state: SwitchState::On(Turned::default()),
            resume: "set APPLY_KILL_SWITCH=false and start the service again",
        });
        let file = self.file.as_ref().map(|path| Switch {
            name: path.display().to_string(),
            state: match HaltFile::at(path.clone()).is_there() {
                Ok(false) => SwitchState::Off,
                Ok(true) => SwitchState::On(words_in(path)),
                Err(error) => {
                    SwitchState::Unknown(format!("{error}; ask as root or as the service's user"))
                }
            },
            resume: RESUME,
        });
        setting.into_iter().chain(file).collect()
    }
}

impl Switch {
    /// The one of all machines, where Redis does not say how it stands.
    pub fn unknown(why: impl fmt::Display) -> Self {
        Self {
            name: key::KILL_SWITCH.into(),
            state: SwitchState::unknown(why),
            resume: RESUME,
        }
    }

    /// Those in Redis, as [`apply_redis::switches`] has found them.
    pub fn in_redis(found: Vec<(String, SwitchState)>) -> impl Iterator<Item = Self> {
        found.into_iter().map(|(name, state)| Self {
            name,
            state,
            resume: RESUME,
        })
    }
}

/// Who, when and why, as `halt` writes it into the file: seconds, then words. What somebody else wrote is shown as it
/// is, an empty file as nothing.
fn words_in(path: &Path) -> Turned {
    let mut text = String::new();
    let most = u64::try_from(MAX_REASON_BYTES).unwrap_or(u64::MAX);
    let read = File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    let line = match read {
        Ok(_) => text.lines().next().unwrap_or_default().trim(),
        Err(_) => "",
    };
    let dated = line.split_once(' ').and_then(|(seconds, rest)| {
        let seconds: u64 = seconds.parse().ok()?;
        Some((seconds.checked_mul(1000)?, rest))
    });
    match (line, dated) {
        ("", _) => Turned::default(),
        (line, None) => Turned::because(line),
        (_, Some((at, rest))) => {
            let by = rest.strip_prefix("by ");
            let (who, why) = match by.and_then(|rest| rest.split_once(": ")) {
                Some((who, why)) => (Some(who.to_owned()), why),
                None => (None, rest),
            };
            Turned {
                at: Some(at),
                who,
                why: Some(why.to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_who_halted_when_and_why_whatever_wrote_it() {
        let path = std::env::temp_dir().join(format!("apply-words-{}", std::process::id()));
        let turned = |text: &str| {
            std::fs::write(&path, text).unwrap();
            words_in(&path)
        };
        let whole = turned("1769301008 by me from afar: fire: in the hall\n");
        assert_eq!(whole.at, Some(1_769_301_008_000));
        assert_eq!(whole.who.as_deref(), Some("me from afar"));
        assert_eq!(whole.why.as_deref(), Some("fire: in the hall"));
        assert_eq!(turned("by hand\n"), Turned::because("by hand"));
        assert_eq!(turned(""), Turned::default());
        std::fs::remove_file(&path).unwrap();
    }
}
