//! How an operator has a plan forgotten while the service that writes the journal runs: by a mark beside it.
//!
//! ```text
//!  <state directory>/forgotten.<plan>   the entry, as it was read when it was decided to forget it
//! ```
//!
//! Only a user who may write into the state directory may lay one. It counts for that very entry: one that was
//! changed since stays. The journal looks for a mark when it is asked about a plan that it knows, which is when it matters.

use apply_core::Entry;
use permit_gate::PlanId;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Why an entry may not be forgotten, whatever the request says; `None` where it may.
pub(crate) fn refusal(entry: &Entry) -> Option<&'static str> {
    match &entry.result {
        None => Some("it has no result yet: an order of it may be under way"),
        Some(result) if result.executed => Some("it was executed"),
        Some(_) if entry.published_at.is_none() => {
            Some("its result is not noted as published yet; ask again in a moment")
        }
        Some(_) => None,
    }
}

/// Lays the mark of an entry. On disk when it returns.
pub(crate) fn lay(directory: &Path, entry: &Entry) -> io::Result<()> {
    let text = serde_json::to_vec(entry)?;
    let mark = mark(directory, &entry.plan);
    let draft = directory.join(format!(
        ".forgotten.{}.{}",
        entry.plan.as_str(),
        std::process::id()
    ));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        // The service may run as another user than the operator.
        .mode(0o644)
        .open(&draft)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&draft, mark)?;
    File::open(directory)?.sync_all()
}

/// Whether the mark of this very entry lies there. One that cannot be read is none.
pub(crate) fn lies(directory: &Path, entry: &Entry) -> bool {
    let Ok(text) = fs::read(mark(directory, &entry.plan)) else {
        return false;
    };
    serde_json::from_slice::<Entry>(&text).is_ok_and(|marked| marked == *entry)
}

/// Takes a mark away, where there is one.
pub(crate) fn take_away(directory: &Path, plan: &PlanId) -> io::Result<()> {
    match fs::remove_file(mark(directory, plan)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn mark(directory: &Path, plan: &PlanId) -> PathBuf {
    directory.join(format!("forgotten.{}", plan.as_str()))
}
