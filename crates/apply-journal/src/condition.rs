//! How the journal is, as far as that is known without waiting for its disk.

use std::{
    cell::Cell,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// From here on a disk that does not answer counts as one that hangs. A sync takes a few milliseconds,
/// on a busy disk some tens.
const HANGS: Duration = Duration::from_millis(500);

/// Shared by the thread that writes and everybody who asks.
#[derive(Debug)]
pub(crate) struct Condition {
    /// Why nothing is written any more, for good.
    broken: OnceLock<String>,
    /// When the thread turned to the disk, in milliseconds since `began` and one more; 0 while it does
    /// not wait for it.
    busy_since: AtomicU64,
    began: Instant,
}

impl Condition {
    pub(crate) fn new() -> Self {
        Self {
            broken: OnceLock::new(),
            busy_since: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// Whether anything can still be written, and so believed; why not.
    pub(crate) fn sound(&self) -> Result<(), String> {
        self.broken.get().cloned().map_or(Ok(()), Err)
    }

    /// The same, and whether the disk answers.
    pub(crate) fn judge(&self) -> Result<(), String> {
        self.sound()?;
        let since = self.busy_since.load(Ordering::Acquire);
        let waited = since.checked_sub(1);
        match waited.map(|since| self.now().saturating_sub(since)) {
            Some(millis) if Duration::from_millis(millis) >= HANGS => Err(format!(
                "the disk of the journal has not answered for {}.{} s: nothing can be written down",
                millis / 1000,
                millis / 100 % 10
            )),
            _ => Ok(()),
        }
    }

    /// Does what may wait for the disk.
    pub(crate) fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        self.busy_since.store(self.now() + 1, Ordering::Release);
        let done = work();
        self.busy_since.store(0, Ordering::Release);
        done
    }

    /// Nothing is written from now on. Why, as it is reported from now on.
    pub(crate) fn give_up(&self, why: &str) -> String {
        let message =
            || format!("the journal cannot be written, fix the disk and start again: {why}");
        self.broken.get_or_init(message).clone()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// A file by what it is, and where it was found.
#[derive(Debug)]
pub(crate) struct OpenFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// How long it was when it was last written. This process alone writes it.
    length: Cell<u64>,
}

impl OpenFile {
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
            length: Cell::new(found.len()),
        })
    }

    /// Whether the same file is still there, as long as it was written; what is there instead.
    pub(crate) fn is_there(&self) -> Result<(), String> {
        let (found, written) = (self.found()?, self.length.get());
        match found < written {
            true => Err(format!(
                "{} was cut short, to {found} of its {written} bytes",
                self.path.display()
            )),
            false => Ok(()),
        }
    }

    /// Whether the same file is still there after a write, which may have changed its length.
    pub(crate) fn is_written(&self) -> Result<(), String> {
        self.length.set(self.found()?);
        Ok(())
    }

    /// How long the same file is; what is there instead.
    fn found(&self) -> Result<u64, String> {
        let path = self.path.display();
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(found.len()),
            Ok(_) => Err(format!(
                "{path} is another file than the one that was opened"
            )),
            Err(error) => Err(format!("{path} is not there any more ({error})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_does_not_answer_is_reported_while_it_does_not() {
        let condition = Condition::new();
        condition.busy(|| {
            assert_eq!(condition.judge(), Ok(()), "it has just begun");
            std::thread::sleep(HANGS);
            let why = condition.judge().unwrap_err();
            assert!(why.contains("has not answered for 0.5 s"), "{why}");
            assert_eq!(condition.sound(), Ok(()), "it may answer yet");
        });
        assert_eq!(condition.judge(), Ok(()));
        let message = condition.give_up("first");
        assert!(message.ends_with("start again: first"), "{message}");
        assert_eq!(condition.give_up("second"), message);
        assert_eq!(condition.judge(), Err(message));
    }
}
