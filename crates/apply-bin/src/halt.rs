//! The kill switch on this machine: a file, and the two commands that turn it together with the one
//! in Redis.

use crate::{
    config::HaltConfig,
    exit::Failure,
    leaving,
    ops::{complain, say},
};
use apply_core::Halt;
use apply_redis::{BoardConfig, Recorded, RedisBoard, Turn};
use serde_json::json;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// A file that halts by being there. It works without Redis, without this program and without
/// rights on anything but its directory: `touch` it.
#[derive(Debug, Clone)]
pub(crate) struct HaltFile(PathBuf);

impl HaltFile {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Whether it halts. There, of any kind, with any content: on. Not there: off. Anything else,
    /// such as a directory that may not be searched: on. One call to the kernel, which answers from
    /// memory; that is why it may be asked just before an order.
    pub(crate) fn look(&self) -> Halt {
        let by = match fs::symlink_metadata(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Halt::Off,
            Ok(_) => self.0.display().to_string(),
            Err(error) => format!("{} ({error})", self.0.display()),
        };
        Halt::On { by }
    }

    /// Turns it; and what became of the words in it, without which it halts as well.
    fn turn(&self, turn: &Turn) -> io::Result<io::Result<()>> {
        match turn.on {
            true => {
                make_room(&self.0)?;
                let mut file = File::create(&self.0)?;
                let words = writeln!(file, "{} by {}: {}", turn.at, turn.who, turn.reason);
                Ok(words.and_then(|()| file.sync_all()))
            }
            false => match fs::remove_file(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(Ok(())),
            },
        }
    }
}

/// `apply-layer halt` and `resume`: the file first, because it needs no other program; then Redis; both turns
/// recorded. Nothing is printed before all of this is done, and what cannot be printed changes nothing. Fails
/// where one of the two could not be turned, or not be recorded on this machine, and says which. Once the file
/// halts, it lists the orders that had their timestamp before.
pub(crate) async fn turn(
    config: HaltConfig,
    on: bool,
    reason: String,
    file_only: bool,
) -> Result<(), Failure> {
    let turn = Turn {
        on,
        reason,
        who: config.who.clone(),
        at: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    };
    let word = if on { "halted" } else { "resumed" };
    let (mut done, mut remarks) = (Vec::new(), Vec::new());
    let (mut failed, mut unrecorded) = (Vec::new(), Vec::new());
    match HaltFile::at(config.file.clone()).turn(&turn) {
        Ok(words) => {
            done.push(format!("{word} by {}", config.file.display()));
            if let Err(error) = words {
                unrecorded.push(format!("{}: {error}", config.file.display()));
            }
        }
        Err(error) => failed.push(format!("{}: {error}", config.file.display())),
    }
    if !file_only {
        match in_redis(&config, &turn).await {
            Ok(recorded) => {
                done.push(format!("{word} in Redis at {}", config.redis));
                if let Recorded::No { why } = recorded {
                    remarks.push(format!(
                        "Redis keeps no record of it ({why}); the one in {} counts",
                        config.log.display()
                    ));
                }
            }
            Err(error) => failed.push(error),
        }
    }
    if let Err(error) = note(&config.log, &turn) {
        unrecorded.push(format!("{}: {error}", config.log.display()));
    }
    done.iter().for_each(|line| say(line));
    remarks.iter().for_each(|line| complain("", line));
    if on && HaltFile::at(config.file.clone()).look().is_on() {
        leaving::tell(config.service, &config.state).await;
    }
    match (failed.is_empty(), unrecorded.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(Failure::unavailable(format!(
            "{word}, but not recorded: {}; make room on the disk",
            unrecorded.join("; ")
        ))),
        (false, _) => {
            failed.extend(unrecorded);
            Err(Failure::unavailable(format!(
                "not everything was {word}: {}; do it again, or use --file-only where Redis is away",
                failed.join("; ")
            )))
        }
    }
}

async fn in_redis(config: &HaltConfig, turn: &Turn) -> Result<Recorded, String> {
    let told = |error: apply_core::PortError| error.to_string();
    let board = RedisBoard::connect(BoardConfig::new(config.redis.reveal()))
        .await
        .map_err(told)?;
    board.turn_switch(turn).await.map_err(told)
}

/// One JSON object a line, beside the journal.
fn note(log: &Path, turn: &Turn) -> io::Result<()> {
    make_room(log)?;
    let line = json!({
        "halted": turn.on,
        "reason": turn.reason,
        "who": turn.who,
        "timestamp": turn.at,
    });
    let mut file = OpenOptions::new().create(true).append(true).open(log)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}

fn make_room(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("apply-halt-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_that_is_there_halts_whatever_it_is() {
        let dir = Dir::new("there");
        let path = dir.0.join("HALT");
        let file = HaltFile::at(path.clone());
        assert_eq!(file.look(), Halt::Off);
        fs::write(&path, "").unwrap();
        assert!(file.look().is_on());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(file.look().is_on());
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
        assert!(file.look().is_on(), "a link that leads nowhere is there");
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_halts() {
        let dir = Dir::new("blind");
        fs::write(dir.0.join("plain"), "").unwrap();
        let file = HaltFile::at(dir.0.join("plain/HALT"));
        assert!(file.look().is_on(), "its directory is no directory");
    }

    #[test]
    fn a_turn_is_undone_by_the_next_one() {
        let dir = Dir::new("turn");
        let path = dir.0.join("deeper/HALT");
        let file = HaltFile::at(path.clone());
        let mut turn = Turn {
            on: true,
            reason: "fire".into(),
            who: "me".into(),
            at: 1,
        };
        file.turn(&turn).unwrap().unwrap();
        assert!(file.look().is_on());
        assert!(fs::read_to_string(&path).unwrap().contains("fire"));
        turn.on = false;
        file.turn(&turn).unwrap().unwrap();
        file.turn(&turn).unwrap().unwrap();
        assert_eq!(file.look(), Halt::Off);
    }
}
