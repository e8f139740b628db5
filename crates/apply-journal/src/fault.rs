//! A disk that fails on request. Tests only.
//!
//! With the feature `fault-points`, `APPLY_FAULT_DISK` names a file that says what the journal's disk does:
//! `full` (writes fail for want of room), `fails once` (the next sync fails) or `hangs` (a sync does not
//! return before the file says something else). Where there is no such file the disk works.

use redb::{BackendError, Builder, Database, DatabaseError, StorageBackend, backends::FileBackend};
use std::{
    fs::OpenOptions,
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Opens a database on such a disk, where one is asked for.
pub(crate) fn open(
    builder: &Builder,
    path: &Path,
    begins: bool,
) -> Option<Result<Database, DatabaseError>> {
    let orders = PathBuf::from(std::env::var_os("APPLY_FAULT_DISK")?);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(begins)
        .truncate(false)
        .open(path);
    let opened = file.map_err(DatabaseError::from).and_then(|file| {
        builder.create_with_backend(Disk {
            file: FileBackend::new(file)?,
            orders,
            failed: AtomicBool::new(false),
        })
    });
    Some(opened)
}

/// Between two looks at what is requested.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    /// Where it says what it does.
    orders: PathBuf,
    /// The one failure has happened.
    failed: AtomicBool,
}

impl Disk {
    fn does(&self) -> String {
        std::fs::read_to_string(&self.orders).unwrap_or_default()
    }

    fn has_room(&self) -> io::Result<()> {
        match self.does().trim() {
            "full" => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.has_room()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        while self.does().trim() == "hangs" {
            thread::sleep(LOOK);
        }
        match self.does().trim() {
            "fails once" if !self.failed.swap(true, Ordering::SeqCst) => {
                Err(io::Error::other("the disk failed, as requested"))
            }
            _ => self.file.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.has_room()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
