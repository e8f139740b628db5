//! Reading beside the process that writes.

use crate::{
    directory::{database_in, disk, note_in},
    error::OpenError,
    table::{self, Failed},
};
use apply_core::{Entry, PortError};
use permit_gate::PlanId;
use redb::{ConcurrencyMode, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// A view of a state directory's journal for another process: it changes nothing and disturbs
/// nobody, whether the service runs or not.
pub struct JournalReader(ReadOnlyDatabase);

impl JournalReader {
    /// Opens the journal of a directory. Blocks.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = database_in(directory);
        if note_in(directory)?.is_none() {
            return Err(OpenError::None(directory.to_owned()));
        }
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Database::builder()
                .set_concurrency_mode(ConcurrencyMode::SingleWriter)
                .open_read_only(&path)
        }));
        match opened {
            Ok(Ok(database)) => Ok(Self(database)),
            // Putting it in order is writing.
            Ok(Err(DatabaseError::RepairAborted)) => Err(OpenError::LeftOpen(path)),
            Ok(Err(error)) => Err(disk(&path, &error)),
            Err(_) => Err(disk(&path, &"its pages contradict each other")),
        }
    }

    /// What is written down about a plan.
    pub fn look_up(&self, plan: &PlanId) -> Result<Option<Entry>, PortError> {
        let answer = || table::look_up(&self.0.begin_read()?, plan);
        answer().map_err(told)
    }

    /// Everything that is written down.
    pub fn entries(&self) -> Result<Vec<Entry>, PortError> {
        let answer = || table::all(&self.0.begin_read()?);
        answer().map_err(told)
    }
}

fn told(error: Failed) -> PortError {
    PortError(error.0)
}
