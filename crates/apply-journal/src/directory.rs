//! The state directory: its lock, and the note that says which journal lies in it.

use crate::error::OpenError;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A state directory that this process has to itself for as long as this value lives. The lock is
/// the kernel's: it ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Takes the directory, which is made where it is missing.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let failed = |error: io::Error| disk(path, &error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("journal.lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        database_in(&self.path)
    }

    /// Where a journal is begun, before it is one.
    pub(crate) fn draft(&self) -> PathBuf {
        self.path.join("journal.redb.new")
    }

    /// Puts a journal that was begun into its place. On disk when it returns.
    pub(crate) fn put_in_place(&self, draft: &Path) -> Result<(), OpenError> {
        let moved = || {
            fs::rename(draft, self.database())?;
            File::open(&self.path)?.sync_all()
        };
        moved().map_err(|error| disk(&self.path, &error))
    }

    /// Which journal lies here, where there is or was one.
    pub(crate) fn note(&self) -> Result<Option<String>, OpenError> {
        note_in(&self.path)
    }

    /// Notes that there is a journal here. On disk when it returns.
    pub(crate) fn write_note(&self, name: &str) -> Result<(), OpenError> {
        let written = || {
            let draft = self.path.join("journal.id.new");
            let mut file = File::create(&draft)?;
            file.write_all(name.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, note_path(&self.path))?;
            File::open(&self.path)?.sync_all()
        };
        written().map_err(|error| disk(&self.path, &error))
    }
}

pub(crate) fn database_in(path: &Path) -> PathBuf {
    path.join("journal.redb")
}

pub(crate) fn note_in(path: &Path) -> Result<Option<String>, OpenError> {
    match fs::read_to_string(note_path(path)) {
        Ok(name) => Ok(Some(name.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk(path, &error)),
    }
}

fn note_path(path: &Path) -> PathBuf {
    path.join("journal.id")
}

pub(crate) fn disk(path: &Path, why: &impl ToString) -> OpenError {
    OpenError::Disk {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

/// A name that no other journal has: 128 random bits of the kernel's.
pub(crate) fn new_name() -> Result<String, io::Error> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
