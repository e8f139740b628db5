//! What the journal knows of a plan, in words: the same for `apply-layer plan` and for the page.

use apply_core::{Entry, plan_id::client_order_id};

/// A plan's story, line by line.
pub fn lines(entry: &Entry) -> Vec<String> {
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
            None => "result     none yet: the service on this state directory publishes its end".into(),
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
