//! Plans that are claimed and have no final result: who works on each, and what it is about to do.
//!
//! One hash, a field a plan: `<attempt> <how far it is> <JSON>`, so that a script can read whose it is, and
//! whether it may take its permits, without understanding it.

use crate::config::{Instance, Keys, PlanStoreConfig};
use apply_core::{Intent, OpenPlan, Plan, PortError, Stage, Step, Symbol, SymbolError};
use permit_gate::{AttemptId, MAX_ID, PlanId};
use permit_redis::RedisLink;
use redis::{Script, Value};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// What stands in the hash after `<attempt> <word> `: whose it is and how far it has come can be read
/// without understanding this.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
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
    fn new(instance: &Instance, symbol: &Symbol, step: &str, at: u64) -> Self {
        Self {
            owner: instance.owner.clone(),
            process: instance.process.clone(),
            symbol: symbol.to_string(),
            step: step.to_owned(),
            at,
            intent: None,
        }
    }

    fn text(&self, attempt: &AttemptId, stage: Stage) -> Result<String, PortError> {
        let text = serde_json::to_string(self)
            .map_err(|error| PortError(format!("cannot write an open plan: {error}")))?;
        Ok(format!("{attempt} {} {text}", word(stage)))
    }

    /// An entry as it stands in the hash.
    fn read(text: &str) -> Result<(AttemptId, Stage, Self), String> {
        let unreadable = || "it does not begin with an attempt and a word".to_owned();
        let (attempt, rest) = text.split_once(' ').ok_or_else(unreadable)?;
        let (stage, entry) = rest.split_once(' ').ok_or_else(unreadable)?;
        let attempt = AttemptId::new(attempt).map_err(|error| error.to_string())?;
        let known = [
            Stage::Claimed,
            Stage::Noted,
            Stage::Rehearsed,
            Stage::Closing,
        ];
        let stage = known.into_iter().find(|known| word(*known) == stage);
        let entry = serde_json::from_str(entry).map_err(|error| error.to_string())?;
        Ok((attempt, stage.ok_or_else(unreadable)?, entry))
    }
}

/// How far an attempt has come, as the second word of its entry.
pub(crate) const fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Claimed => "claimed",
        Stage::Noted => "noted",
        Stage::Rehearsed => "rehearsed",
        Stage::Closing => "closing",
    }
}

/// The word of an entry whose attempt may take its plan's permits: for an order once its intent is noted,
/// without one from the claim on. For `permit_redis::RedisConfig::holders`, with [`crate::Keys::open`].
pub const fn ready_to_take(orders: bool) -> &'static str {
    match orders {
        true => word(Stage::Noted),
        false => word(Stage::Rehearsed),
    }
}

pub(crate) fn claimed(
    config: &PlanStoreConfig,
    plan: &Plan,
    attempt: &AttemptId,
    at: u64,
) -> Result<String, PortError> {
    let step = plan.step.as_ref().map_or("", Step::name);
    let entry = Entry::new(&config.instance, plan.symbol(), step, at);
    let stage = match config.orders {
        true => Stage::Claimed,
        false => Stage::Rehearsed,
    };
    entry.text(attempt, stage)
}

pub(crate) fn intending(instance: &Instance, intent: &Intent) -> Result<String, PortError> {
    let entry = Entry {
        intent: Some(intent.clone()),
        ..Entry::new(instance, &intent.symbol, &intent.step, intent.at)
    };
    entry.text(&intent.attempt, Stage::Noted)
}

pub(crate) fn closing(
    config: &PlanStoreConfig,
    symbol: &Symbol,
    step: &str,
    attempt: &AttemptId,
) -> Result<String, PortError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let at = now.map_or(0, |since| since.as_secs());
    let stage = match config.orders {
        true => Stage::Closing,
        false => Stage::Rehearsed,
    };
    Entry::new(&config.instance, symbol, step, at).text(attempt, stage)
}

/// The same plan in other hands. How far the former ones had come stays: it says what has to be asked.
pub(crate) fn adopted(
    instance: &Instance,
    open: &OpenPlan,
    attempt: &AttemptId,
) -> Result<String, PortError> {
    let (_, stage, before) = Entry::read(&open.token)
        .map_err(|error| PortError(format!("cannot read open plan {}: {error}", open.plan)))?;
    let entry = Entry {
        owner: instance.owner.clone(),
        process: instance.process.clone(),
        ..before
    };
    // Only the attempt that noted an intent may take permits on it.
    let stage = match stage {
        Stage::Noted | Stage::Claimed => Stage::Closing,
        stage => stage,
    };
    entry.text(attempt, stage)
}

/// How an entry begins while this attempt holds it. Attempts hold no blank.
pub(crate) fn held_by(attempt: &AttemptId) -> String {
    format!("{attempt} ")
}

/// How it begins once its intent is noted.
pub(crate) fn noted_by(attempt: &AttemptId) -> String {
    format!("{attempt} {} ", word(Stage::Noted))
}

/// An entry as the attempt that may end its plan sees it.
pub(crate) fn seen(instance: &Instance, plan: PlanId, token: String) -> Result<OpenPlan, String> {
    let (attempt, stage, entry) = Entry::read(&token)?;
    let of_this_machine = entry.owner == instance.owner;
    Ok(OpenPlan {
        symbol: entry
            .symbol
            .parse()
            .map_err(|error: SymbolError| error.to_string())?,
        plan,
        step: entry.step,
        ours: of_this_machine && entry.process == instance.process,
        of_this_machine,
        attempt,
        stage,
        intent: entry.intent,
        token,
    })
}

/// Since when each owner was seen without a lease.
#[derive(Debug, Default)]
pub(crate) struct MissingLeases(Mutex<HashMap<String, Instant>>);

impl MissingLeases {
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

/// Most bytes of an entry, several times what this program writes: a longer one gives no permit either.
pub(crate) const MAX_ENTRY_BYTES: usize = permit_redis::MAX_HOLDER_BYTES;

/// One entry of the scan, with its owner: its text, or its size where it is too long.
fn read_entry(
    instance: &Instance,
    plan: &[u8],
    entry: Value,
) -> Result<(String, OpenPlan), String> {
    let plan = String::from_utf8_lossy(plan);
    let plan = PlanId::new(&plan).map_err(|error| error.to_string())?;
    let text = match entry {
        Value::BulkString(text) => String::from_utf8(text).map_err(|error| error.to_string()),
        Value::Int(size) => Err(format!(
            "it has {size} bytes, at most {MAX_ENTRY_BYTES} are read"
        )),
        _ => Err("the server's answer has another shape".into()),
    };
    let name = plan.clone();
    let seen = text.and_then(|text| {
        let (_, _, entry) = Entry::read(&text)?;
        Ok((entry.owner, seen(instance, plan, text)?))
    });
    seen.map_err(|why| format!("plan {name}: {why}"))
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
    fn log(&self, hash: &str) {
        if let Some(first) = &self.first {
            let count = self.count;
            tracing::error!("{count} entries of {hash} are no open plans, the first: {first}");
        }
    }
}

/// Every open plan that no other instance works on.
pub(crate) async fn fetch_abandoned(
    link: &RedisLink,
    scan: &Script,
    keys: &Keys,
    instance: &Instance,
    gone: &MissingLeases,
) -> Result<Vec<OpenPlan>, redis::RedisError> {
    let hash = &keys.open;
    let mut connection = link.at(hash);
    let mut entries: Vec<(String, OpenPlan)> = Vec::new();
    let mut unreadable = Unreadable::default();
    let mut cursor = 0_u64;
    loop {
        let mut call = scan.key(hash);
        call.arg(cursor).arg(PAGE).arg(MAX_ID).arg(MAX_ENTRY_BYTES);
        let (next, fields): (u64, Vec<(Vec<u8>, Value)>) =
            call.invoke_async(&mut connection).await?;
        for (plan, entry) in fields {
            match read_entry(instance, &plan, entry) {
                Ok(entry) => entries.push(entry),
                Err(why) => unreadable.add(why),
            }
        }
        cursor = next;
        if cursor == 0 || entries.len() >= AT_MOST {
            break;
        }
    }
    unreadable.log(hash);
    let others: BTreeSet<&str> = entries
        .iter()
        .filter(|(_, open)| !open.of_this_machine)
        .map(|(owner, _)| owner.as_str())
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
    Ok(entries
        .into_iter()
        .filter(|(owner, open)| open.of_this_machine || gone.contains(owner))
        .map(|(_, open)| open)
        .collect())
}
