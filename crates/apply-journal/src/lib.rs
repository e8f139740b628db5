//! The journal on this machine's disk: the last fence against a second order for a plan.
//!
//! It promises that what a call answered `Ok` to survives a kill and a power cut, but for the note that
//! a result was published, which follows within a tenth of a second; that a plan's intent is written
//! down once, that one process at a time writes, and that a file which is damaged, missing or somebody
//! else's is refused in words that say what to do, never replaced by a new one.
//! It decides nothing about plans: which states there are is said in [`apply_core::journal`].
//!
//! ```text
//!  <state directory>/
//!    journal.redb   the entries, one synced transaction for all plans that wait at the moment
//!    journal.id     says that there is a journal here and which: written once, after the first sync
//!    journal.redb.new   a journal that is being begun, moved into its place once it is one
//!    journal.lock   held by the process that writes
//!    forgotten.<plan>   an operator's word that this plan's entry is to be forgotten
//! ```
//!
//! One thread does all writing ([`RedbJournal`]); a caller waits for it without blocking its
//! runtime. Whether a plan is known is read on the caller's thread, which may block for as long as a page takes
//! that is not in memory. Another process may read beside it ([`JournalReader`]).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod condition;
mod directory;
mod error;
#[cfg(feature = "fault-points")]
mod fault;
mod forgotten;
mod known;
mod reader;
mod table;
mod writer;

pub use error::OpenError;
pub use reader::JournalReader;
pub use writer::{JournalSettings, RedbJournal};
