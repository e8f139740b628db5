//! The kill switch on this machine: a file.

use apply_core::Halt;
use apply_redis::Turn;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
};

/// A file that halts by being there. It works without Redis, without this program and without
/// rights on anything but its directory: `touch` it.
#[derive(Debug, Clone)]
pub struct HaltFile(PathBuf);

impl HaltFile {
    /// The switch at this path.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Whether it halts. There, of any kind, with any content: on. Not there: off. Anything else,
    /// such as a directory that may not be searched: on. One call to the kernel, which answers from
    /// memory; that is why it may be asked just before an order.
    pub fn look(&self) -> Halt {
        let by = match self.is_there() {
            Ok(false) => return Halt::Off,
            Ok(true) => self.0.display().to_string(),
            Err(error) => format!("{} ({error})", self.0.display()),
        };
        Halt::On { by }
    }

    /// Whether the file is there, for somebody who only reports it.
    ///
    /// # Errors
    ///
    /// Where this user cannot see it: the service may see that it is not there.
    pub fn is_there(&self) -> io::Result<bool> {
        match fs::symlink_metadata(&self.0) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Turns it; and what became of the words in it, without which it halts as well.
    ///
    /// # Errors
    ///
    /// Where the file could not be laid or taken away: the switch is as it was.
    pub fn turn(&self, turn: &Turn) -> io::Result<io::Result<()>> {
        match turn.on {
            true => {
                self.0.parent().map_or(Ok(()), fs::create_dir_all)?;
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
