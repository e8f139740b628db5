//! Reading beside the process that writes.

use crate::{
    directory::{database_in, note_in},
    error::OpenError,
    forgotten,
    table::{self, Failed},
};
use apply_core::{Entry, PortError};
use permit_gate::PlanId;
use redb::{ConcurrencyMode, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// A view of a state directory's journal for another process: it changes nothing and disturbs
/// nobody, whether the service runs or not.
pub struct JournalReader {
    database: ReadOnlyDatabase,
    directory: PathBuf,
    name: String,
}

impl JournalReader {
    /// Opens the journal of a directory. Blocks.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = database_in(directory);
        let name = note_in(directory).map_err(|error| match error {
            OpenError::Disk { path, why } => OpenError::Unreadable { path, why },
            other => other,
        })?;
        let Some(name) = name else {
            return Err(OpenError::None(directory.to_owned()));
        };
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder()
                .set_concurrency_mode(ConcurrencyMode::SingleWriter)
                .open_read_only(&path)?;
            // Whether its format is one that can be read.
            let read = database.begin_read().map_err(Failed::from);
            let format = read.and_then(|view| table::name(&view));
            Ok((database, format))
        }));
        match opened {
            Ok(Ok((database, Ok(_)))) => Ok(Self {
                database,
                directory: directory.to_owned(),
                name,
            }),
            Ok(Ok((_, Err(error)))) => Err(OpenError::Unreadable {
                path,
                why: error.why,
            }),
            // Putting it in order is writing.
            Ok(Err(DatabaseError::RepairAborted)) => Err(OpenError::LeftOpen(path)),
            Ok(Err(error)) => Err(OpenError::Unreadable {
                path,
                why: error.to_string(),
            }),
            Err(_) => Err(OpenError::Unreadable {
                path,
                why: "its pages contradict each other".into(),
            }),
        }
    }

    /// This journal's name, which no other has and which it keeps.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is written down about a plan.
    pub fn look_up(&self, plan: &PlanId) -> Result<Option<Entry>, PortError> {
        let answer = || {
            let view = self.database.begin_read()?;
            match table::is_former(&view)? {
                true => table::former::look_up(&view, plan),
                false => table::look_up(&view, plan),
            }
        };
        answer().map_err(port_error)
    }

    /// Everything that is written down.
    pub fn entries(&self) -> Result<Vec<Entry>, PortError> {
        let answer = || {
            let view = self.database.begin_read()?;
            match table::is_former(&view)? {
                true => table::former::all(&view),
                false => table::all(&view),
            }
        };
        answer().map_err(port_error)
    }

    /// Has the journal forget a plan, by a mark beside it: the process that writes, or the next one, takes the entry
    /// out when it is asked about the plan, and may then deal with it once more. Counts for this very entry, as
    /// [`JournalReader::look_up`] answered it. Needs the right to write into the state directory.
    ///
    /// An error means that nothing was marked. Refused for a plan without a published result, and for one that was
    /// executed; whether an order may exist in spite of the result is for the caller to judge.
    pub fn forget(&self, entry: &Entry) -> Result<(), PortError> {
        if let Some(why) = forgotten::refusal(entry) {
            return Err(PortError(why.into()));
        }
        forgotten::lay(&self.directory, entry).map_err(|error| self.not_written(&error))
    }

    /// Takes such a mark back, where it was not acted on yet.
    pub fn keep(&self, plan: &PlanId) -> Result<(), PortError> {
        forgotten::take_away(&self.directory, plan).map_err(|error| self.not_written(&error))
    }

    fn not_written(&self, error: &std::io::Error) -> PortError {
        let place = self.directory.display();
        PortError(format!(
            "{place} cannot be written ({error}); run it as the service's user, or with sudo"
        ))
    }
}

fn port_error(error: Failed) -> PortError {
    PortError(error.why)
}
