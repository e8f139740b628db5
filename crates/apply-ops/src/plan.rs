//! `apply-layer plan <id>`: what the journal of this machine says about a plan, and what other programs wrote about it
//! among the results. Reads beside the running service.

use crate::{
    elsewhere::{Here, difference},
    halt::HaltConfig,
    link::{ALL_KEPT, Entry, Link},
    output::{End, print, print_json},
    streams::foreign_line,
};
use apply_journal::JournalReader;
use apply_service::{Failure, complain, history::journal_lines};
use apply_wire::field;
use permit_gate::PlanId;
use serde_json::{Value, json};

/// Prints a plan's story; fails where there is none. What other programs wrote about it stands apart; where Redis cannot
/// be asked for that, it says so. Says on standard error where the service that runs on this machine keeps another
/// journal: that one may know more.
///
/// # Errors
///
/// Where the journal cannot be read, or says nothing about the plan.
pub async fn story(config: HaltConfig, plan: &PlanId, as_json: bool) -> Result<(), Failure> {
    let place = config.place.clone()?;
    if let Some(service) = config.service {
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
    let unread = |error: &dyn std::fmt::Display| {
        Failure::unavailable(error.to_string())
            .fix("run it as the service's user, or with sudo and the service's APPLY_STATE_DIR")
    };
    let unwritable = |error: &dyn std::fmt::Display| {
        Failure::mismatch(error.to_string()).fix("report it: this is a defect")
    };
    let journal = JournalReader::open(directory).map_err(|error| unread(&error))?;
    let entry = journal.look_up(plan).map_err(|error| unread(&error))?;
    let foreign = foreign(&config, plan).await;
    let Some(entry) = entry else {
        let mut text = format!(
            "the journal in {} has no entry of plan {plan}: this machine never claimed it, it has not ended yet, or its entry was pruned",
            directory.display()
        );
        for entry in foreign.iter().flatten() {
            text += &format!("; another program wrote of it: {}", foreign_line(entry));
        }
        return Err(Failure::not_found(text).fix(
            "see apply-layer plans tail and results tail, or run it on the machine that claimed it",
        ));
    };
    let printed = match as_json {
        true => {
            let mut document = serde_json::to_value(&entry).map_err(|error| unwritable(&error))?;
            add_foreign(&mut document, &foreign);
            let text =
                serde_json::to_string_pretty(&document).map_err(|error| unwritable(&error))?;
            print_json(&text)
        }
        false => {
            let mut lines = journal_lines(&entry);
            match &foreign {
                Ok(entries) => lines.extend(entries.iter().map(|entry| {
                    format!("other program, no result of ours  {}", foreign_line(entry))
                })),
                Err(why) => lines.push(format!("other programs: not known, {why}")),
            }
            print(&(lines.join("\n") + "\n"))
        }
    };
    match printed {
        Ok(()) | Err(End::ReaderGone) => Ok(()),
        Err(End::Failed(failure)) => Err(failure),
    }
}

/// What other programs wrote about the plan among the results, oldest first; or why that is not known.
async fn foreign(config: &HaltConfig, plan: &PlanId) -> Result<Vec<Entry>, String> {
    let redis = config.redis.as_ref().map_err(ToString::to_string)?;
    let about_it =
        |entry: &Entry| entry.text(field::PLAN_ID) == plan.as_str() && entry.foreign().is_some();
    let read = async {
        let mut link = Link::open(redis).await?;
        let results = link.keys().results;
        link.newest_that(&results, ALL_KEPT, about_it).await
    };
    read.await.map_err(|failure: Failure| failure.to_string())
}

/// Under `foreign`: a list, or null where Redis could not be asked, with the reason under `foreign_unknown`.
fn add_foreign(document: &mut Value, foreign: &Result<Vec<Entry>, String>) {
    let Value::Object(fields) = document else {
        return;
    };
    let entries = foreign.as_ref().ok().map(|entries| {
        let of = |entry: &Entry| {
            json!({
                "id": entry.id.to_string(),
                "source": entry.foreign(),
                "executed": entry.text(field::EXECUTED),
                "error": entry.text(field::ERROR),
                "details": entry.text(field::DETAILS),
            })
        };
        entries.iter().map(of).collect::<Vec<_>>()
    });
    fields.insert("foreign".into(), json!(entries));
    fields.insert("foreign_unknown".into(), json!(foreign.as_ref().err()));
}
