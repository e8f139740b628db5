//! Plans that are claimed and have no final result: who works on each, and what it is about to do.
//!
//! One hash, a field a plan. An entry begins with its attempt, so that a script can tell whose it is
//! without understanding it.

use crate::config::{Instance, Keys};
use apply_core::{Intent, OpenPlan, Plan, PortError, Step, Symbol};
use permit_gate::{AttemptId, PlanId};
use permit_redis::RedisLink;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What stands in the hash. The order of the fields is part of the format: see [`held_by`].
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    attempt: String,
    /// The machine that works on it: its lease says whether it lives.
    owner: String,
    /// Its process, new at each start.
    process: String,
    symbol: String,
    step: String,
    /// Seconds since 1970: claimed, or changed since.
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intent: Option<Intent>,
}

impl Entry {
    fn text(&self) -> Result<String, PortError> {
        serde_json::to_string(self)
            .map_err(|error| PortError(format!("cannot write an open plan: {error}")))
    }
}

pub(crate) fn claimed(
    instance: &Instance,
    plan: &Plan,
    attempt: &AttemptId,
    at: u64,
) -> Result<String, PortError> {
    Entry {
        attempt: attempt.to_string(),
        owner: instance.owner.clone(),
        process: instance.process.clone(),
        symbol: plan.symbol().to_string(),
        step: plan.step.as_ref().map_or("", Step::name).to_owned(),
        at,
        intent: None,
    }
    .text()
}

pub(crate) fn intending(instance: &Instance, intent: &Intent) -> Result<String, PortError> {
    Entry {
        attempt: intent.attempt.to_string(),
        owner: instance.owner.clone(),
        process: instance.process.clone(),
        symbol: intent.symbol.to_string(),
        step: intent.step.clone(),
        at: intent.at,
        intent: Some(intent.clone()),
    }
    .text()
}

pub(crate) fn adopted(
    instance: &Instance,
    open: &OpenPlan,
    attempt: &AttemptId,
) -> Result<String, PortError> {
    let before: Entry = serde_json::from_str(&open.token)
        .map_err(|error| PortError(format!("cannot read open plan {}: {error}", open.plan)))?;
    Entry {
        attempt: attempt.to_string(),
        owner: instance.owner.clone(),
        process: instance.process.clone(),
        ..before
    }
    .text()
}

/// How an entry begins while this attempt holds it. Attempts need no escaping.
pub(crate) fn held_by(attempt: &AttemptId) -> String {
    format!(r#"{{"attempt":"{attempt}","#)
}

/// What an entry contains once its intent is noted. No text inside it can: a quote in a text is escaped.
pub(crate) const NOTED: &str = r#","intent":{"#;

/// Since when each owner was seen without a lease.
#[derive(Debug, Default)]
pub(crate) struct Gone(Mutex<HashMap<String, Instant>>);

impl Gone {
    /// Which owners are gone. One whose lease was missing a moment ago for the first time may just
    /// not have come to renew it, after a restart of the server for instance: it is given the time
    /// to.
    fn judge(&self, leased: HashMap<String, bool>, grace: Duration) -> BTreeSet<String> {
        let now = Instant::now();
        let mut missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        missing.retain(|owner, _| leased.get(owner) == Some(&false));
        let unleased = leased.into_iter().filter(|(_, leased)| !leased);
        unleased
            .filter(|(owner, _)| {
                let since = *missing.entry(owner.clone()).or_insert(now);
                now.duration_since(since) >= grace
            })
            .map(|(owner, _)| owner)
            .collect()
    }
}

/// How many open plans one look reads; the rest is read when these are done.
const AT_MOST: usize = 4096;

/// Every open plan that nobody works on.
pub(crate) async fn fetch_abandoned(
    link: &RedisLink,
    keys: &Keys,
    instance: &Instance,
    gone: &Gone,
) -> Result<Vec<OpenPlan>, redis::RedisError> {
    let hash = &keys.open;
    let mut connection = link.at(hash);
    let mut entries: Vec<(PlanId, String, Entry)> = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let (next, fields): (u64, Vec<(String, String)>) = redis::cmd("HSCAN")
            .arg(hash)
            .arg(cursor)
            .arg("COUNT")
            .arg(512)
            .query_async(&mut connection)
            .await?;
        for (plan, text) in fields {
            match (PlanId::new(&plan), serde_json::from_str(&text)) {
                (Ok(plan), Ok(entry)) => entries.push((plan, text, entry)),
                // Not written by this program: there is nothing to conclude from it.
                (Ok(_), Err(error)) => {
                    tracing::error!(%plan, %error, "an open plan cannot be read, look at {hash}");
                }
                (Err(error), _) => {
                    tracing::error!(%error, "an open plan has no id, look at {hash}");
                }
            }
        }
        cursor = next;
        if cursor == 0 || entries.len() >= AT_MOST {
            break;
        }
    }
    let others: BTreeSet<&str> = entries
        .iter()
        .map(|(_, _, entry)| entry.owner.as_str())
        .filter(|owner| *owner != instance.owner)
        .collect();
    // Each lies where it lies; there are few.
    let mut leased = HashMap::new();
    for owner in others {
        let lease = format!("{}{owner}", keys.lease);
        let ask = redis::cmd("EXISTS").arg(&lease).to_owned();
        let lives: bool = ask.query_async(&mut link.at(&lease)).await?;
        leased.insert(owner.to_owned(), lives);
    }
    let gone = gone.judge(leased, instance.lease / 2);
    let ours = |entry: &Entry| entry.owner == instance.owner && entry.process != instance.process;
    Ok(entries
        .into_iter()
        .filter(|(_, _, entry)| ours(entry) || gone.contains(&entry.owner))
        .filter_map(|(plan, token, entry)| {
            let symbol: Symbol = entry.symbol.parse().ok()?;
            Some(OpenPlan {
                plan,
                symbol,
                step: entry.step,
                intent: entry.intent,
                token,
            })
        })
        .collect())
}
