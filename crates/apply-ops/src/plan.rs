//! `apply-layer plan <id>`: what the journal of this machine says about a plan. Reads beside the
//! running service.

use crate::{
    elsewhere::{Here, difference},
    halt::Place,
    output::{End, print, print_json},
};
use apply_journal::JournalReader;
use apply_service::{Failure, complain, history::journal_lines};
use permit_gate::PlanId;
use std::net::SocketAddr;

/// Prints a plan's story; fails where there is none. Says so on standard error where the service that runs on this
/// machine keeps another journal: that one may know more.
///
/// # Errors
///
/// Where the journal cannot be read, or says nothing about the plan.
pub async fn story(
    place: &Place,
    service: Option<SocketAddr>,
    plan: &PlanId,
    as_json: bool,
) -> Result<(), Failure> {
    if let Some(service) = service {
        let here = Here {
            state_directory: &place.state,
            halt_file: &place.file,
            redis: None,
            mode: None,
        };
        if let Some(text) = difference(service, &here).await {
            complain("", &text);
        }
    }
    let directory = &place.state;
    let journal =
        JournalReader::open(directory).map_err(|error| Failure::unavailable(error.to_string()))?;
    let entry = journal
        .look_up(plan)
        .map_err(|error| Failure::unavailable(error.to_string()))?
        .ok_or_else(|| {
            Failure::not_found(format!(
                "the journal in {} says nothing about plan {plan}: it was never claimed by this machine, did not come to an end yet, or is older than what is kept",
                directory.display()
            ))
        })?;
    let printed = match as_json {
        true => {
            let text = serde_json::to_string_pretty(&entry)
                .map_err(|error| Failure::mismatch(error.to_string()))?;
            print_json(&text)
        }
        false => print(&(journal_lines(&entry).join("\n") + "\n")),
    };
    match printed {
        Ok(()) | Err(End::ReaderGone) => Ok(()),
        Err(End::Failed(failure)) => Err(failure),
    }
}
