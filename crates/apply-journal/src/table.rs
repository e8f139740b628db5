//! What stands in the file, and how it is read and changed inside a transaction.
//!
//! ```text
//!  plans       plan ─▶ its number: the next free one when the plan is first written down
//!  rows        number, step ─▶ JSON: one row for each of claim, intent, result and end
//!  unfinished  the numbers without an end
//!  finished    when the end was published, number ─▶ plan: what is pruned first stands first
//!  facts       about the file
//! ```
//!
//! Plan ids are hashes: rows that had them as keys would lie all over the file, and every write would copy a page of
//! its own. By their numbers, what is written together lies together, and no write reads back what stands there.
//! All keys and values are bytes, numbers with the highest byte first: for each other type of either the database's
//! code would stand in the program once more.

use apply_core::{ApplyResult, ClaimNote, Entry, Intent, Publisher, Recorded, SwitchNote};
use permit_gate::PlanId;
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition, TableError,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;

type Bytes = &'static [u8];
type Definition = TableDefinition<'static, Bytes, Bytes>;

const PLANS: Definition = TableDefinition::new("plan numbers");
const ROWS: Definition = TableDefinition::new("rows");
const UNFINISHED: Definition = TableDefinition::new("numbers unfinished");
const FINISHED: Definition = TableDefinition::new("numbers finished");
/// As earlier versions laid it out: by its format a file is known.
const FACTS: TableDefinition<'_, &str, &str> = TableDefinition::new("facts");

/// A plan's steps, in the order in which they are written down.
const CLAIM: u8 = 0;
const INTENT: u8 = 1;
const RESULT: u8 = 2;
const END: u8 = 3;

const NAME: &str = "name";
const SWITCH: &str = "switch";
const FORMAT: &str = "format";
const CURRENT: &str = "2";

/// What an earlier version wrote: each entry whole, by its plan.
pub(crate) mod former {
    use super::{Failed, misplaced, read_json};
    use apply_core::Entry;
    use permit_gate::PlanId;
    use redb::{ReadTransaction, ReadableTable, TableDefinition};

    pub(super) const FORMAT: &str = "1";
    pub(super) const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
    pub(super) const UNFINISHED: TableDefinition<'_, &str, ()> = TableDefinition::new("unfinished");
    pub(super) const FINISHED: TableDefinition<'_, (u64, &str), ()> =
        TableDefinition::new("finished");

    pub(crate) fn look_up(view: &ReadTransaction, plan: &PlanId) -> Result<Option<Entry>, Failed> {
        let text = view.open_table(ENTRIES)?.get(plan.as_str())?;
        text.map(|text| entry(plan.as_str(), text.value()))
            .transpose()
    }

    pub(crate) fn all(view: &ReadTransaction) -> Result<Vec<Entry>, Failed> {
        let mut found = Vec::new();
        for item in view.open_table(ENTRIES)?.iter()? {
            let (plan, text) = item?;
            found.push(entry(plan.value(), text.value())?);
        }
        Ok(found)
    }

    pub(super) fn entry(plan: &str, text: &[u8]) -> Result<Entry, Failed> {
        let entry: Entry = read_json(plan, text)?;
        match entry.plan.as_str() == plan {
            true => Ok(entry),
            false => Err(misplaced(plan, &entry.plan)),
        }
    }
}

/// What came of a plan, and who publishes it.
#[derive(Serialize, Deserialize)]
struct ResultRow {
    result: ApplyResult,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<Publisher>,
}

/// The same, to be written: nothing is copied for it.
#[derive(Serialize)]
struct ResultToWrite<'a> {
    result: &'a ApplyResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<&'a Publisher>,
}

#[derive(Serialize, Deserialize)]
struct EndRow {
    at: u64,
    by_another: bool,
}

/// The database failed, or an entry in it cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Failed {
    pub(crate) why: String,
    /// The disk could not be read or written: what stands in the file may be sound.
    pub(crate) of_disk: bool,
}

impl Failed {
    fn new(why: String) -> Self {
        Self {
            why,
            of_disk: false,
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        let error = error.into();
        let of_disk = match &error {
            redb::Error::Io(error) => !matches!(
                error.kind(),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof
            ),
            redb::Error::PreviousIo => true,
            _ => false,
        };
        Self {
            why: error.to_string(),
            of_disk,
        }
    }
}

/// Makes the tables of a new file.
pub(crate) fn lay_out(change: &WriteTransaction, name: &str) -> Result<(), Failed> {
    Tables::open(change)?;
    let mut facts = change.open_table(FACTS)?;
    facts.insert(NAME, name)?;
    facts.insert(FORMAT, CURRENT)?;
    Ok(())
}

/// Whether an earlier version laid the file out.
pub(crate) fn is_former(view: &ReadTransaction) -> Result<bool, Failed> {
    Ok(format(view)?.as_deref() == Some(former::FORMAT))
}

/// Puts what an earlier version wrote into the present form. Refuses a file whose tables contradict each other.
pub(crate) fn convert(view: &ReadTransaction, change: &WriteTransaction) -> Result<(), Failed> {
    let entries = view.open_table(former::ENTRIES)?;
    let mut converted = 0;
    {
        let mut tables = Tables::open(change)?;
        for item in view.open_table(former::UNFINISHED)?.iter()? {
            let (plan, _) = item?;
            tables.take_over(&entries, plan.value(), None)?;
            converted += 1;
        }
        for item in view.open_table(former::FINISHED)?.iter()? {
            let (key, _) = item?;
            let (at, plan) = key.value();
            tables.take_over(&entries, plan, Some(at))?;
            converted += 1;
        }
        change.open_table(FACTS)?.insert(FORMAT, CURRENT)?;
    }
    let there = entries.len()?;
    if converted != there {
        return Err(Failed::new(format!(
            "{} of its {there} entries are neither finished nor unfinished",
            there - converted
        )));
    }
    change.delete_table(former::ENTRIES)?;
    change.delete_table(former::UNFINISHED)?;
    change.delete_table(former::FINISHED)?;
    Ok(())
}

/// The journal's name, in either format; `None` in a file that was never laid out.
pub(crate) fn name(view: &ReadTransaction) -> Result<Option<String>, Failed> {
    match format(view)?.as_deref() {
        None => Ok(None),
        Some(CURRENT | former::FORMAT) => fact(view, NAME),
        Some(found) => Err(Failed::new(format!(
            "it has format {found}, this program writes {CURRENT}"
        ))),
    }
}

/// The format of a file; `None` where it was never laid out.
fn format(view: &ReadTransaction) -> Result<Option<String>, Failed> {
    match view.open_table(FACTS) {
        Ok(_) => Ok(Some(fact(view, FORMAT)?.unwrap_or_else(|| "none".into()))),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn fact(view: &ReadTransaction, key: &str) -> Result<Option<String>, Failed> {
    let fact = view.open_table(FACTS)?.get(key)?;
    Ok(fact.map(|fact| fact.value().to_owned()))
}

pub(crate) fn look_up(view: &ReadTransaction, plan: &PlanId) -> Result<Option<Entry>, Failed> {
    let Some(number) = number_of(&view.open_table(PLANS)?, plan.as_str())? else {
        return Ok(None);
    };
    entry_about(&view.open_table(ROWS)?, number, plan.as_str()).map(Some)
}

/// Those that were written down first, first.
pub(crate) fn unfinished(view: &ReadTransaction) -> Result<Vec<Entry>, Failed> {
    let rows = view.open_table(ROWS)?;
    let mut found = Vec::new();
    for item in view.open_table(UNFINISHED)?.iter()? {
        let (number, _) = item?;
        found.push(entry(&rows, to_number(number.value())?)?);
    }
    Ok(found)
}

/// So many entries at most whose end was published last, the last one first.
pub(crate) fn published(view: &ReadTransaction, most: usize) -> Result<Vec<Entry>, Failed> {
    let rows = view.open_table(ROWS)?;
    let mut found = Vec::new();
    for item in view.open_table(FINISHED)?.iter()?.rev().take(most) {
        let (key, _) = item?;
        let (_, number) = to_end(key.value())?;
        found.push(entry(&rows, number)?);
    }
    Ok(found)
}

/// The plans of all entries, one after the other. A key that is no plan's id is skipped.
pub(crate) fn plans(view: &ReadTransaction, mut each: impl FnMut(&PlanId)) -> Result<(), Failed> {
    for item in view.open_table(PLANS)?.iter()? {
        let (key, _) = item?;
        let id = str::from_utf8(key.value()).ok();
        if let Some(Ok(plan)) = id.map(PlanId::new) {
            each(&plan);
        }
    }
    Ok(())
}

/// Every entry, by its plan.
pub(crate) fn all(view: &ReadTransaction) -> Result<Vec<Entry>, Failed> {
    let rows = view.open_table(ROWS)?;
    let mut found = Vec::new();
    for item in view.open_table(PLANS)?.iter()? {
        let (_, number) = item?;
        found.push(entry(&rows, to_number(number.value())?)?);
    }
    Ok(found)
}

/// How the kill switch was seen last.
pub(crate) fn switch(view: &ReadTransaction) -> Result<Option<SwitchNote>, Failed> {
    let Some(text) = fact(view, SWITCH)? else {
        return Ok(None);
    };
    let switch = serde_json::from_str(&text);
    switch
        .map(Some)
        .map_err(|error| Failed::new(format!("how the switch was seen cannot be read: {error}")))
}

pub(crate) fn record_switch(change: &WriteTransaction, switch: &SwitchNote) -> Result<(), Failed> {
    let text = serde_json::to_string(switch)
        .map_err(|error| Failed::new(format!("the switch cannot be written: {error}")))?;
    change.open_table(FACTS)?.insert(SWITCH, text.as_str())?;
    Ok(())
}

/// The tables of one transaction, opened once for all that is written in it.
pub(crate) struct Tables<'t> {
    plans: Table<'t, Bytes, Bytes>,
    rows: Table<'t, Bytes, Bytes>,
    unfinished: Table<'t, Bytes, Bytes>,
    finished: Table<'t, Bytes, Bytes>,
    /// The next free number.
    next: u64,
}

impl<'t> Tables<'t> {
    pub(crate) fn open(change: &'t WriteTransaction) -> Result<Self, Failed> {
        let rows = change.open_table(ROWS)?;
        let next = match rows.last()? {
            Some((key, _)) => to_row(key.value())?.0 + 1,
            None => 0,
        };
        Ok(Self {
            plans: change.open_table(PLANS)?,
            rows,
            unfinished: change.open_table(UNFINISHED)?,
            finished: change.open_table(FINISHED)?,
            next,
        })
    }

    pub(crate) fn record_claim(&mut self, claim: &ClaimNote) -> Result<(), Failed> {
        let plan = claim.plan.as_str();
        let number = match number_of(&self.plans, plan)? {
            None => self.begin(plan)?,
            Some(known) if entry_about(&self.rows, known, plan)?.is_only_claimed() => known,
            Some(_) => return Ok(()),
        };
        self.write(number, CLAIM, claim)
    }

    pub(crate) fn record_intent(&mut self, intent: &Intent) -> Result<Recorded, Failed> {
        let plan = intent.plan.as_str();
        let number = match number_of(&self.plans, plan)? {
            None => self.begin(plan)?,
            Some(known) => {
                let before = entry_about(&self.rows, known, plan)?;
                if !before.is_only_claimed() {
                    return Ok(Recorded::Before(Box::new(before)));
                }
                // An intent says all that its claim does.
                self.rows.remove(&row(known, CLAIM)[..])?;
                known
            }
        };
        self.write(number, INTENT, intent)?;
        Ok(Recorded::Now)
    }

    /// The result that stands instead, where this one is not written.
    pub(crate) fn record_result(
        &mut self,
        result: &ApplyResult,
        publisher: Option<&Publisher>,
    ) -> Result<Option<ApplyResult>, Failed> {
        let plan = result.plan.as_str();
        let number = match number_of(&self.plans, plan)? {
            None => self.begin(plan)?,
            Some(known) => {
                if self.holds(known, RESULT)? || self.holds(known, END)? {
                    let standing = entry_about(&self.rows, known, plan)?;
                    if standing.with_result(result, publisher).is_none() {
                        return Ok(standing.result);
                    }
                    if let Some(at) = standing.published_at {
                        self.finished.remove(&end(at, known)[..])?;
                        self.rows.remove(&row(known, END)[..])?;
                        self.unfinished.insert(&known.to_be_bytes()[..], NOTHING)?;
                    }
                }
                known
            }
        };
        self.write(number, RESULT, &ResultToWrite { result, publisher })?;
        Ok(None)
    }

    pub(crate) fn record_end(
        &mut self,
        plan: &PlanId,
        at: u64,
        by_another: bool,
    ) -> Result<(), Failed> {
        let plan = plan.as_str();
        let Some(number) = number_of(&self.plans, plan)? else {
            return Ok(());
        };
        if self.holds(number, END)? {
            return Ok(());
        }
        self.end(number, plan, at, by_another)
    }

    /// Takes an entry out, where it is still this one and may be forgotten.
    pub(crate) fn forget(&mut self, forgotten: &Entry) -> Result<bool, Failed> {
        let plan = forgotten.plan.as_str();
        let (Some(number), Some(at)) = (number_of(&self.plans, plan)?, forgotten.published_at)
        else {
            return Ok(false);
        };
        if entry_about(&self.rows, number, plan)? != *forgotten {
            return Ok(false);
        }
        self.remove(plan.as_bytes(), at, number)?;
        Ok(true)
    }

    /// Takes out what was published before `before`, at most `most` entries of it. What is unfinished
    /// stays, however old.
    pub(crate) fn prune(&mut self, before: u64, most: usize) -> Result<usize, Failed> {
        let mut old = Vec::new();
        for item in self.finished.range(..&end(before, 0)[..])?.take(most) {
            let (key, plan) = item?;
            old.push((to_end(key.value())?, plan.value().to_owned()));
        }
        for ((at, number), plan) in &old {
            self.remove(plan, *at, *number)?;
        }
        Ok(old.len())
    }

    fn holds(&self, number: u64, step: u8) -> Result<bool, Failed> {
        Ok(self.rows.get(&row(number, step)[..])?.is_some())
    }

    /// A number for a plan that has none.
    fn begin(&mut self, plan: &str) -> Result<u64, Failed> {
        let number = self.next;
        self.next += 1;
        let key = number.to_be_bytes();
        self.plans.insert(plan.as_bytes(), &key[..])?;
        self.unfinished.insert(&key[..], NOTHING)?;
        Ok(number)
    }

    fn write(&mut self, number: u64, step: u8, text: &impl Serialize) -> Result<(), Failed> {
        let text = serde_json::to_vec(text)
            .map_err(|error| Failed::new(format!("an entry cannot be written: {error}")))?;
        self.rows.insert(&row(number, step)[..], text.as_slice())?;
        Ok(())
    }

    fn remove(&mut self, plan: &[u8], at: u64, number: u64) -> Result<(), Failed> {
        self.finished.remove(&end(at, number)[..])?;
        if number_of(&self.plans, plan)? != Some(number) {
            // The number is another plan's by now, or the plan has another one.
            return Ok(());
        }
        self.plans.remove(plan)?;
        for step in [CLAIM, INTENT, RESULT, END] {
            self.rows.remove(&row(number, step)[..])?;
        }
        Ok(())
    }

    /// Takes over what an earlier version wrote of a plan, whose end was published then.
    fn take_over(
        &mut self,
        entries: &impl ReadableTable<&'static str, Bytes>,
        plan: &str,
        published_at: Option<u64>,
    ) -> Result<(), Failed> {
        let Some(text) = entries.get(plan)? else {
            return Err(Failed::new(format!("plan {plan} has no entry")));
        };
        if number_of(&self.plans, plan)?.is_some() {
            return Err(Failed::new(format!("plan {plan} is listed twice")));
        }
        let number = self.begin(plan)?;
        let by_another = match former::entry(plan, text.value()) {
            Ok(entry) => {
                if let Some(claim) = &entry.claim {
                    self.write(number, CLAIM, claim)?;
                }
                if let Some(intent) = &entry.intent {
                    self.write(number, INTENT, intent)?;
                }
                if let Some(result) = &entry.result {
                    let publisher = entry.publisher.as_ref();
                    self.write(number, RESULT, &ResultToWrite { result, publisher })?;
                }
                entry.published_by_another
            }
            // Stays what it was: a plan that is known, and of which nothing can be read.
            Err(_) if published_at.is_some() => {
                self.rows.insert(&row(number, RESULT)[..], text.value())?;
                false
            }
            Err(error) => return Err(error),
        };
        if let Some(at) = published_at {
            self.end(number, plan, at, by_another)?;
        }
        Ok(())
    }

    fn end(&mut self, number: u64, plan: &str, at: u64, by_another: bool) -> Result<(), Failed> {
        self.write(number, END, &EndRow { at, by_another })?;
        self.unfinished.remove(&number.to_be_bytes()[..])?;
        self.finished
            .insert(&end(at, number)[..], plan.as_bytes())?;
        Ok(())
    }
}

/// What the rows of a number say. An entry that cannot be read is no entry to go on from.
fn entry(rows: &impl ReadableTable<Bytes, Bytes>, number: u64) -> Result<Entry, Failed> {
    let about = format!("number {number}");
    let mut found: Option<Entry> = None;
    for item in rows.range(&row(number, CLAIM)[..]..=&row(number, END)[..])? {
        let (key, text) = item?;
        let text = text.value();
        match to_row(key.value())?.1 {
            CLAIM => {
                let claim: ClaimNote = read_json(&about, text)?;
                let entry = entry_of(&mut found, &claim.plan)?;
                entry.claim = Some(claim);
            }
            INTENT => {
                let intent: Intent = read_json(&about, text)?;
                let entry = entry_of(&mut found, &intent.plan)?;
                entry.intent = Some(intent);
            }
            RESULT => {
                let row: ResultRow = read_json(&about, text)?;
                let entry = entry_of(&mut found, &row.result.plan)?;
                (entry.result, entry.publisher) = (Some(row.result), row.publisher);
            }
            _ => {
                let row: EndRow = read_json(&about, text)?;
                if let Some(entry) = &mut found {
                    entry.published_at = Some(row.at);
                    entry.published_by_another = row.by_another;
                }
            }
        }
    }
    found.ok_or_else(|| Failed::new(format!("no plan has {about}")))
}

/// The same, of a number that is this plan's.
fn entry_about(
    rows: &impl ReadableTable<Bytes, Bytes>,
    number: u64,
    plan: &str,
) -> Result<Entry, Failed> {
    let entry = entry(rows, number)?;
    match entry.plan.as_str() == plan {
        true => Ok(entry),
        false => Err(misplaced(plan, &entry.plan)),
    }
}

/// All rows of a number are about one plan.
fn entry_of<'e>(found: &'e mut Option<Entry>, plan: &PlanId) -> Result<&'e mut Entry, Failed> {
    let entry = found.get_or_insert_with(|| Entry::of(plan.clone()));
    match entry.plan == *plan {
        true => Ok(entry),
        false => Err(misplaced(entry.plan.as_str(), plan)),
    }
}

fn number_of(
    plans: &impl ReadableTable<Bytes, Bytes>,
    plan: impl AsRef<[u8]>,
) -> Result<Option<u64>, Failed> {
    let number = plans.get(plan.as_ref())?;
    number.map(|number| to_number(number.value())).transpose()
}

/// The value of a key that says it all.
const NOTHING: &[u8] = &[];

fn row(number: u64, step: u8) -> [u8; 9] {
    let mut key = [step; 9];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

fn end(at: u64, number: u64) -> [u8; 16] {
    (u128::from(at) << 64 | u128::from(number)).to_be_bytes()
}

fn to_number(bytes: &[u8]) -> Result<u64, Failed> {
    fixed(bytes).map(u64::from_be_bytes)
}

fn to_row(key: &[u8]) -> Result<(u64, u8), Failed> {
    let [number @ .., step] = fixed::<9>(key)?;
    Ok((u64::from_be_bytes(number), step))
}

fn to_end(key: &[u8]) -> Result<(u64, u64), Failed> {
    let key = fixed::<16>(key)?;
    let (at, number) = key.split_at(8);
    Ok((to_number(at)?, to_number(number)?))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Failed> {
    bytes.try_into().map_err(|_| malformed(bytes))
}

fn malformed(bytes: &[u8]) -> Failed {
    Failed::new(format!("{bytes:02x?} is no number of a plan"))
}

fn read_json<'a, T: Deserialize<'a>>(about: &str, text: &'a [u8]) -> Result<T, Failed> {
    serde_json::from_slice(text)
        .map_err(|error| Failed::new(format!("the entry of {about} cannot be read: {error}")))
}

fn misplaced(plan: &str, found: &PlanId) -> Failed {
    Failed::new(format!("the entry of plan {plan} is about plan {found}"))
}
