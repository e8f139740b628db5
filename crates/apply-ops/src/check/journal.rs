//! The journal: whether it can be kept where it lies, and what stands in it.

use super::Found;
use apply_core::{Entry, Mode};
use apply_journal::{JournalReader, OpenError};
use std::{io::ErrorKind, path::Path};

/// Looks beside the service, which may hold the journal and is not disturbed.
pub(super) fn look(directory: &Path, mode: Mode) -> Found {
    let place = directory.display();
    let fix = "give it to the service's user, make room, or set APPLY_STATE_DIR";
    match std::fs::metadata(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Found::Note(format!(
                "{place} is not there yet; the service makes it at its first start"
            ));
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Found::Wrong(format!(
                "{place} cannot be looked at by this user: {error}; ask as root or as the service's user"
            ));
        }
        Err(error) => return Found::Wrong(format!("{place} cannot be read: {error}; {fix}")),
        Ok(meta) if !meta.is_dir() => {
            return Found::Wrong(format!(
                "{place} is no directory; set APPLY_STATE_DIR to one"
            ));
        }
        Ok(_) => {}
    }
    // Whether something can be kept is known by keeping something there for a moment.
    let probe = directory.join(format!(".check-{}", std::process::id()));
    let kept = std::fs::write(&probe, "probe").and_then(|()| std::fs::remove_file(&probe));
    match kept {
        Ok(()) => read(directory, mode),
        // Who asks may be another than the service: that this user may not write there says nothing of the service.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Found::Wrong(format!(
            "{place} cannot be written by this user: {error}; ask as root or as the service's user; where this is the service's user, give it the directory"
        )),
        Err(error) => Found::Wrong(format!("{place} cannot be written: {error}; {fix}")),
    }
}

fn read(directory: &Path, mode: Mode) -> Found {
    let place = directory.display();
    let entries = match JournalReader::open(directory) {
        Ok(journal) => journal.entries().map_err(|error| error.to_string()),
        Err(OpenError::None(_)) => {
            return Found::Ok(format!(
                "{place} can be written; the service begins a journal there at its first start"
            ));
        }
        Err(error) => Err(error.to_string()),
    };
    match entries {
        Ok(entries) if mode == Mode::DryRun && entries.iter().any(is_in_doubt) => {
            Found::Wrong(in_doubt(&place.to_string(), &entries))
        }
        Ok(entries) => Found::Ok(format!(
            "{place} can be written and read: {}",
            in_words(&entries)
        )),
        Err(error) => Found::Note(format!("{place} can be written; {error}")),
    }
}

/// Whether a live run has left it without an end: an order may stand at the venue.
fn is_in_doubt(entry: &Entry) -> bool {
    entry.result.is_none() && entry.intent.is_some()
}

fn in_doubt(place: &str, entries: &[Entry]) -> String {
    let plans = entries.iter().filter(|entry| is_in_doubt(entry));
    let plans: Vec<&str> = plans.map(|entry| entry.plan.as_str()).collect();
    let named = plans.iter().take(MOST_NAMED).copied().collect::<Vec<_>>();
    let more = match plans.len() > named.len() {
        true => format!(" and {} more", plans.len() - named.len()),
        false => String::new(),
    };
    format!(
        "{place}: a live run was about to place the orders of {}{more}; a dry run does not ask the venue what became of them, so they get no result: start once with APPLY_MODE=testnet, or look at the venue",
        named.join(", ")
    )
}

/// Most plans that are named one by one.
const MOST_NAMED: usize = 5;

fn in_words(entries: &[Entry]) -> String {
    let open = entries
        .iter()
        .filter(|entry| entry.result.is_none())
        .count();
    let plans = match entries.len() {
        0 => return "no plans yet".into(),
        1 => "1 plan".to_owned(),
        plans => format!("{plans} plans"),
    };
    match open {
        0 => format!("{plans}, each with its result"),
        open => format!(
            "{plans}, {open} of them without a result yet; the service asks the venue about them"
        ),
    }
}
