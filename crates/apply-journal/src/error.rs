//! Why there is no journal to work with, and what to do about it.

use std::path::PathBuf;

/// The journal cannot be opened. Nothing may be traded without one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process writes to it.
    #[error(
        "the state directory {0} is in use by another process; stop that one, or give this one an APPLY_STATE_DIR of its own"
    )]
    InUse(PathBuf),
    /// The file is damaged.
    #[error(
        "the journal {path} is damaged ({why}); restore it from a backup, or look at the venue for the orders of the last {hours} hours, then move journal.redb and journal.id away and accept a new one: apply-layer new-journal"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// How long entries are kept.
        hours: u64,
    },
    /// There was a journal and its file is gone.
    #[error(
        "{path} is missing, and journal.id says that there was a journal here; restore it, or look at the venue for the orders of the last {hours} hours then remove journal.id and accept a new one: apply-layer new-journal"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// How long entries are kept.
        hours: u64,
    },
    /// The file is another directory's.
    #[error(
        "the journal {path} is {found}, journal.id beside it says {expected}; put the two files back together that belong together"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Which journal it is.
        found: String,
        /// Which it should be.
        expected: String,
    },
    /// The process that wrote it was killed, and it was not recovered since.
    #[error(
        "the journal {0} was left open by a process that was killed; start the service, which puts it in order, and ask again"
    )]
    LeftOpen(PathBuf),
    /// There is none, and none was to be made.
    #[error("there is no journal in {0}; is APPLY_STATE_DIR the service's?")]
    None(PathBuf),
    /// The directory or the disk fails.
    #[error(
        "the state directory {path} cannot be used ({why}); give it to this user with mode 0700, and room on its disk"
    )]
    Disk {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A reader cannot read it. Its rights are the service's to keep: no mode is changed for a look.
    #[error(
        "the journal {path} cannot be read ({why}); ask as root or as the service's user, and look at its disk"
    )]
    Unreadable {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

impl OpenError {
    /// Whether starting again later may help without anybody doing anything.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::InUse(_))
    }
}
