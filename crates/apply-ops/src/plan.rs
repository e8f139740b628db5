//! `apply-layer plan <id>`: what the journal of this machine says about a plan. Reads beside the
//! running service.

use crate::{
    elsewhere::{Here, difference},
    halt::Place,
    output::{End, print, print_json},
};
use apply_core::{Entry, plan_id::client_order_id};
use apply_journal::JournalReader;
use apply_service::{Failure, complain};
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
        false => print(&(lines(&entry).join("\n") + "\n")),
    };
    match printed {
        Ok(()) | Err(End::ReaderGone) => Ok(()),
        Err(End::Failed(failure)) => Err(failure),
    }
}

fn lines(entry: &Entry) -> Vec<String> {
    let mut lines = vec![format!("plan {}", entry.plan)];
    match &entry.intent {
        None => lines.push("intent     none: it never came to an order".into()),
        Some(intent) => {
            let trace = &intent.trace;
            let before = trace
                .position_before
                .map_or("unknown".into(), |amount| amount.normalize().to_string());
            lines.push(format!(
                "intent     {} {} {} {}, position before {before}, written down at {}",
                intent.symbol, intent.step, trace.side, trace.position_side, intent.at
            ));
            lines.push(format!(
                "           attempt {}, order id {}, signed between {} and {} or not at all, good for {} ms",
                intent.attempt,
                client_order_id(&intent.plan),
                trace.signed_from,
                trace.signed_until,
                trace.receive_window.as_millis()
            ));
        }
    }
    match &entry.result {
        None => lines.push(match entry.intent {
            Some(_) => "result     none yet: a service in testnet mode on this state directory asks the venue about the order; a dry run asks nothing".into(),
            None => "result     none yet: the service on this state directory tells its end".into(),
        }),
        Some(result) => {
            lines.push(format!(
                "result     {} executed={} error={} at {}",
                result.decision,
                result.executed,
                result.error_code().as_deref().unwrap_or("none"),
                result.timestamp
            ));
            lines.extend(
                result.steps.iter().map(|step| {
                    format!("           {} {}: {}", step.step, step.status, step.details)
                }),
            );
        }
    }
    lines.push(match entry.published_at {
        None => "published  not noted yet".into(),
        Some(at) => format!("published  at {at}"),
    });
    lines
}
