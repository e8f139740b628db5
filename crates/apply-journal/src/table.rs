//! What stands in the file, and how it is read and changed inside a transaction.

use apply_core::{ApplyResult, ClaimNote, Entry, Intent, Publisher, Recorded, SwitchNote};
use permit_gate::PlanId;
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

/// An entry as JSON, by its plan.
const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
/// The plans whose result is not noted as published.
const UNFINISHED: TableDefinition<'_, &str, ()> = TableDefinition::new("unfinished");
/// The published plans, by when they were: what is pruned first stands first.
const FINISHED: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("finished");
/// Facts about the file.
const FACTS: TableDefinition<'_, &str, &str> = TableDefinition::new("facts");

const NAME: &str = "name";
const SWITCH: &str = "switch";
const FORMAT: &str = "format";
const CURRENT: &str = "1";

/// The database failed, or an entry in it cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(pub(crate) String);

impl<E: Into<redb::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into().to_string())
    }
}

/// Makes the tables of a new file.
pub(crate) fn lay_out(change: &WriteTransaction, name: &str) -> Result<(), Failed> {
    change.open_table(ENTRIES)?;
    change.open_table(UNFINISHED)?;
    change.open_table(FINISHED)?;
    let mut facts = change.open_table(FACTS)?;
    facts.insert(NAME, name)?;
    facts.insert(FORMAT, CURRENT)?;
    Ok(())
}

/// The journal's name; `None` in a file that was never laid out.
pub(crate) fn name(view: &ReadTransaction) -> Result<Option<String>, Failed> {
    let facts = match view.open_table(FACTS) {
        Ok(facts) => facts,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let fact = |key| Ok::<_, Failed>(facts.get(key)?.map(|fact| fact.value().to_owned()));
    match fact(FORMAT)?.as_deref() {
        Some(CURRENT) => {}
        other => {
            let found = other.unwrap_or("none");
            return Err(Failed(format!(
                "it has format {found}, this program writes {CURRENT}"
            )));
        }
    }
    fact(NAME)
}

pub(crate) fn look_up(view: &ReadTransaction, plan: &PlanId) -> Result<Option<Entry>, Failed> {
    let entries = view.open_table(ENTRIES)?;
    read(&entries, plan.as_str())
}

pub(crate) fn unfinished(view: &ReadTransaction) -> Result<Vec<Entry>, Failed> {
    let entries = view.open_table(ENTRIES)?;
    let mut found = Vec::new();
    for item in view.open_table(UNFINISHED)?.iter()? {
        let (plan, ()) = item.map(|(plan, _)| (plan, ()))?;
        match read(&entries, plan.value())? {
            Some(entry) => found.push(entry),
            None => return Err(Failed(format!("plan {} has no entry", plan.value()))),
        }
    }
    Ok(found)
}

/// So many entries at most whose end was published last, the last one first.
pub(crate) fn published(view: &ReadTransaction, most: usize) -> Result<Vec<Entry>, Failed> {
    let entries = view.open_table(ENTRIES)?;
    let mut found = Vec::new();
    for item in view.open_table(FINISHED)?.iter()?.rev().take(most) {
        let (key, _) = item?;
        let (_, plan) = key.value();
        match read(&entries, plan)? {
            Some(entry) => found.push(entry),
            None => return Err(Failed(format!("plan {plan} has no entry"))),
        }
    }
    Ok(found)
}

/// The plans of all entries, one after the other. A key that is no plan's id is skipped.
pub(crate) fn plans(view: &ReadTransaction, mut each: impl FnMut(&PlanId)) -> Result<(), Failed> {
    for item in view.open_table(ENTRIES)?.iter()? {
        let (key, _) = item?;
        if let Ok(plan) = PlanId::new(key.value()) {
            each(&plan);
        }
    }
    Ok(())
}

/// Every entry.
pub(crate) fn all(view: &ReadTransaction) -> Result<Vec<Entry>, Failed> {
    let entries = view.open_table(ENTRIES)?;
    let mut found = Vec::new();
    for item in entries.iter()? {
        let (plan, text) = item?;
        found.push(parse(plan.value(), text.value())?);
    }
    Ok(found)
}

pub(crate) fn record_claim(change: &WriteTransaction, claim: &ClaimNote) -> Result<(), Failed> {
    let mut entries = change.open_table(ENTRIES)?;
    match read(&entries, claim.plan.as_str())? {
        Some(known) if !known.is_only_claimed() => return Ok(()),
        _ => write(&mut entries, &Entry::claimed(claim.clone()))?,
    }
    change
        .open_table(UNFINISHED)?
        .insert(claim.plan.as_str(), ())?;
    Ok(())
}

pub(crate) fn record_intent(
    change: &WriteTransaction,
    intent: &Intent,
) -> Result<Recorded, Failed> {
    let mut entries = change.open_table(ENTRIES)?;
    match read(&entries, intent.plan.as_str())? {
        Some(known) if !known.is_only_claimed() => return Ok(Recorded::Before(Box::new(known))),
        _ => write(&mut entries, &Entry::intending(intent.clone()))?,
    }
    change
        .open_table(UNFINISHED)?
        .insert(intent.plan.as_str(), ())?;
    Ok(Recorded::Now)
}

pub(crate) fn record_result(
    change: &WriteTransaction,
    result: &ApplyResult,
    publisher: Option<&Publisher>,
) -> Result<ApplyResult, Failed> {
    let mut entries = change.open_table(ENTRIES)?;
    let plan = result.plan.as_str();
    let known = read(&entries, plan)?.unwrap_or_else(|| Entry::of(result.plan.clone()));
    let Some(entry) = known.with_result(result, publisher) else {
        return Ok(known.result.unwrap_or_else(|| result.clone()));
    };
    write(&mut entries, &entry)?;
    if let Some(at) = known.published_at {
        change.open_table(FINISHED)?.remove((at, plan))?;
    }
    change
        .open_table(UNFINISHED)?
        .insert(result.plan.as_str(), ())?;
    Ok(result.clone())
}

pub(crate) fn record_end(
    change: &WriteTransaction,
    plan: &PlanId,
    at: u64,
    by_another: bool,
) -> Result<(), Failed> {
    let mut entries = change.open_table(ENTRIES)?;
    let known = read(&entries, plan.as_str())?;
    let Some(entry) = known.and_then(|entry| entry.with_end(at, by_another)) else {
        return Ok(());
    };
    write(&mut entries, &entry)?;
    change.open_table(UNFINISHED)?.remove(plan.as_str())?;
    change
        .open_table(FINISHED)?
        .insert((at, plan.as_str()), ())?;
    Ok(())
}

/// Takes an entry out, where it is still this one and may be forgotten.
pub(crate) fn forget(change: &WriteTransaction, entry: &Entry) -> Result<bool, Failed> {
    let plan = entry.plan.as_str();
    let mut entries = change.open_table(ENTRIES)?;
    let standing = read(&entries, plan)?;
    let (true, Some(at)) = (standing.as_ref() == Some(entry), entry.published_at) else {
        return Ok(false);
    };
    entries.remove(plan)?;
    change.open_table(FINISHED)?.remove((at, plan))?;
    Ok(true)
}

pub(crate) fn record_switch(change: &WriteTransaction, switch: &SwitchNote) -> Result<(), Failed> {
    let text = serde_json::to_string(switch)
        .map_err(|error| Failed(format!("the switch cannot be written: {error}")))?;
    change.open_table(FACTS)?.insert(SWITCH, text.as_str())?;
    Ok(())
}

pub(crate) fn switch(view: &ReadTransaction) -> Result<Option<SwitchNote>, Failed> {
    let facts = view.open_table(FACTS)?;
    let Some(text) = facts.get(SWITCH)? else {
        return Ok(None);
    };
    let switch = serde_json::from_str(text.value());
    switch
        .map(Some)
        .map_err(|error| Failed(format!("how the switch was seen cannot be read: {error}")))
}

/// Takes out what was published before `before`, at most `most` entries of it. What is unfinished
/// stays, however old.
pub(crate) fn prune(change: &WriteTransaction, before: u64, most: usize) -> Result<usize, Failed> {
    let mut finished = change.open_table(FINISHED)?;
    let mut old = Vec::new();
    for item in finished.range(..(before, ""))?.take(most) {
        let (at, plan) = item.map(|(key, _)| {
            let (at, plan) = key.value();
            (at, plan.to_owned())
        })?;
        old.push((at, plan));
    }
    let mut entries = change.open_table(ENTRIES)?;
    for (at, plan) in &old {
        finished.remove((*at, plan.as_str()))?;
        entries.remove(plan.as_str())?;
    }
    Ok(old.len())
}

fn read(
    entries: &impl ReadableTable<&'static str, &'static [u8]>,
    plan: &str,
) -> Result<Option<Entry>, Failed> {
    match entries.get(plan)? {
        Some(text) => parse(plan, text.value()).map(Some),
        None => Ok(None),
    }
}

/// An entry that cannot be read is no entry to go on from.
fn parse(plan: &str, text: &[u8]) -> Result<Entry, Failed> {
    let entry: Entry = serde_json::from_slice(text)
        .map_err(|error| Failed(format!("the entry of plan {plan} cannot be read: {error}")))?;
    match entry.plan.as_str() == plan {
        true => Ok(entry),
        false => Err(Failed(format!(
            "the entry of plan {plan} is about plan {}",
            entry.plan
        ))),
    }
}

fn write(
    entries: &mut redb::Table<'_, &'static str, &'static [u8]>,
    entry: &Entry,
) -> Result<(), Failed> {
    let text = serde_json::to_vec(entry)
        .map_err(|error| Failed(format!("an entry cannot be written: {error}")))?;
    entries.insert(entry.plan.as_str(), text.as_slice())?;
    Ok(())
}
