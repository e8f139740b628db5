//! Plans that are claimed and have no final result: who works on each, and what it is about to do.
//!
//! One hash, a field a plan. An entry begins with its attempt, so that a script can tell whose it is
//! without understanding it.

use crate::config::{Instance, Keys};
use apply_core::{Intent, OpenPlan, Plan, PortError, Step, Symbol};
use permit_gate::{AttemptId, MAX_ID, PlanId};
use permit_redis::RedisLink;
use redis::{Script, Value};
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

/// How many entries one round trip reads.
const PAGE: usize = 512;

/// Most bytes of an entry: several times what this program writes.
const MAX_ENTRY_BYTES: usize = 4096;

/// One entry of the scan: its text, or its size where it is too long.
fn read_entry(plan: &[u8], entry: Value) -> Result<(PlanId, String, Entry), String> {
    let plan = String::from_utf8_lossy(plan);
    let plan = PlanId::new(&plan).map_err(|error| error.to_string())?;
    let text = match entry {
        Value::BulkString(text) => String::from_utf8(text).map_err(|error| error.to_string()),
        Value::Int(size) => Err(format!(
            "it has {size} bytes, at most {MAX_ENTRY_BYTES} are read"
        )),
        _ => Err("the server's answer has another shape".into()),
    };
    let read = text.and_then(|text| match serde_json::from_str(&text) {
        Ok(entry) => Ok((text, entry)),
        Err(error) => Err(error.to_string()),
    });
    match read {
        Ok((text, entry)) => Ok((plan, text, entry)),
        Err(why) => Err(format!("plan {plan}: {why}")),
    }
}

/// Entries that this program did not write: there is nothing to conclude from them.
#[derive(Default)]
struct Unreadable {
    count: usize,
    /// What is wrong with the first one.
    first: Option<String>,
}

impl Unreadable {
    fn add(&mut self, why: String) {
        self.count += 1;
        self.first.get_or_insert(why);
    }

    /// One line, however many there are.
    fn tell(&self, hash: &str) {
        if let Some(first) = &self.first {
            let count = self.count;
            tracing::error!("{count} entries of {hash} are no open plans, the first: {first}");
        }
    }
}

/// Every open plan that nobody works on.
pub(crate) async fn fetch_abandoned(
    link: &RedisLink,
    scan: &Script,
    keys: &Keys,
    instance: &Instance,
    gone: &Gone,
) -> Result<Vec<OpenPlan>, redis::RedisError> {
    let hash = &keys.open;
    let mut connection = link.at(hash);
    let mut entries: Vec<(PlanId, String, Entry)> = Vec::new();
    let mut unreadable = Unreadable::default();
    let mut cursor = 0_u64;
    loop {
        let mut call = scan.key(hash);
        call.arg(cursor).arg(PAGE).arg(MAX_ID).arg(MAX_ENTRY_BYTES);
        let (next, fields): (u64, Vec<(Vec<u8>, Value)>) =
            call.invoke_async(&mut connection).await?;
        for (plan, entry) in fields {
            match read_entry(&plan, entry) {
                Ok(entry) => entries.push(entry),
                Err(why) => unreadable.add(why),
            }
        }
        cursor = next;
        if cursor == 0 || entries.len() >= AT_MOST {
            break;
        }
    }
    unreadable.tell(hash);
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
