//! What happened before: plans and results as the two streams and the journal keep them.
//!
//! Nothing of it is held in memory. Each question reads a bounded part of the streams, and only a few are answered
//! at the same time. An entry of another program on the stream of results is never taken for a result of ours.

mod filter;
mod journal;
mod moment;
mod outcome;
mod record;

pub use filter::{Filter, Query, WrongQuery};
pub use journal::lines as journal_lines;
pub use moment::{Moment, read_span};
pub use outcome::Outcome;
pub(crate) use record::outcome_of;
pub use record::{Fields, entry_millis};

use crate::dashboard::{PlanView, WaitView, in_words};
use apply_core::{Entry, Journal};
use apply_journal::RedbJournal;
use apply_redis::{Entries, Entry as StreamEntry, EntryReader, Keys};
use apply_wire::field;
use permit_gate::PlanId;
use permit_redis::RedisLink;
use record::Record;
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Entries that are read at a time. With the bound on each entry this is the most memory that one question takes.
const CHUNK: usize = 200;

/// Questions that are answered at the same time; others are turned away.
const AT_ONCE: usize = 2;

/// Plans that one question looks through before it says where to go on.
const MOST_PLANS: usize = 2_000;

/// Plans that are looked through for one id: all that the stream keeps, and then some.
const MOST_FOR_ONE: usize = 12_000;

/// Entries of results that are looked through for the plans of one chunk: each has one, its fillers and foreign ones.
const MOST_RESULTS: usize = 20 * CHUNK;

/// A result is looked for up to so long after its plan: longer than a wait and the questions to the venue take.
const RESULT_WITHIN: u64 = 60_000;

/// Another program answers a plan of ours within this time.
const FOREIGN_WITHIN: u64 = 2_000;

/// How long one answer of Redis may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the past is read. Clones share the bound on questions.
#[derive(Clone)]
pub struct History(Option<Arc<Shelves>>);

struct Shelves {
    link: RedisLink,
    keys: Keys,
    journal: RedbJournal,
    reader: EntryReader,
    at_once: Semaphore,
}

/// A part of the past, the newest plan first.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Past {
    pub(crate) plans: Vec<PlanView>,
    /// What to ask for as `before` to go on; none where there is nothing older.
    pub(crate) next: Option<String>,
    /// Entries that were passed over: too long, or not what a plan looks like.
    pub(crate) unreadable: usize,
}

/// Everything that is known of one plan, but for what this process saw itself.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Story {
    /// As the streams have it; none where it is on neither.
    pub(crate) plan: Option<PlanView>,
    /// The plan's fields as they are on the stream, cut.
    pub(crate) fields: Vec<(String, String)>,
    /// What the journal of this machine says, as `apply-layer plan` prints it; empty where it says nothing.
    pub(crate) journal: Vec<String>,
    /// What could not be read, and why.
    pub(crate) troubles: Vec<String>,
}

/// Why the past cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It lies in memory and ends with the process.
    NotKept,
    /// Enough others are reading.
    Busy,
    /// What Redis said.
    Away(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKept => f.write_str("everything is in memory here: nothing is kept"),
            Self::Busy => write!(f, "{AT_ONCE} others are reading the history; ask again"),
            Self::Away(why) => write!(f, "Redis does not give it: {why}"),
        }
    }
}

impl History {
    /// Where nothing is kept.
    pub fn none() -> Self {
        Self(None)
    }

    /// The streams of plans, results and waits on this server, and the journal of this machine.
    pub fn new(link: RedisLink, journal: RedbJournal) -> Self {
        let keys = match link.is_cluster() {
            true => Keys::default().on_a_cluster(),
            false => Keys::default(),
        };
        Self(Some(Arc::new(Shelves {
            link,
            keys,
            journal,
            reader: EntryReader::default(),
            at_once: Semaphore::new(AT_ONCE),
        })))
    }

    /// Whether anything is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// The newest plans before a place of the stream that pass the filter.
    ///
    /// Cancellation: nothing is left behind.
    pub(crate) async fn page(&self, query: &Query) -> Result<Past, Unread> {
        let (shelves, _turn) = self.turn()?;
        let mut past = Past::default();
        let until = query.filter.until;
        let until = until.map(|until| until.saturating_add(1).to_string());
        let mut before = query.before.clone().or(until).unwrap_or_else(|| "+".into());
        let chunk = match query.filter.is_open() {
            true => query.limit.min(CHUNK),
            false => CHUNK,
        };
        let mut looked = 0;
        while looked < MOST_PLANS {
            let plans = shelves.before(&shelves.keys.plans, &before, chunk).await?;
            let Some(oldest) = plans.last() else {
                past.next = None;
                return Ok(past);
            };
            let oldest = oldest.id.clone();
            looked += plans.len();
            let results = shelves.results_of(&plans).await?;
            let mut waits = shelves.waits_of(&plans).await?;
            for entry in &plans {
                if query.filter.ends_before(entry_millis(&entry.id)) {
                    past.next = None;
                    return Ok(past);
                }
                let Some(mut record) = Record::of(entry) else {
                    past.unreadable += 1;
                    continue;
                };
                if let Some(found) = results.get(&record.id) {
                    record.end(found);
                }
                if record.waits_for_its_result() {
                    record.remembered(shelves.remembered(&record.id).await.ok().flatten());
                }
                record.waited(waits.remove(&record.id));
                if !record.passes(&query.filter) {
                    continue;
                }
                past.plans.push(record.into_view());
                if past.plans.len() == query.limit {
                    past.next = Some(entry.id.clone());
                    return Ok(past);
                }
            }
            if plans.len() < chunk {
                past.next = None;
                return Ok(past);
            }
            before = oldest.clone();
            past.next = Some(oldest);
        }
        Ok(past)
    }

    /// All about one plan. What cannot be read is named in it.
    pub(crate) async fn story(&self, id: &PlanId) -> Result<Story, Unread> {
        let (shelves, _turn) = self.turn()?;
        let mut story = Story {
            plan: None,
            fields: Vec::new(),
            journal: Vec::new(),
            troubles: Vec::new(),
        };
        match shelves.find(id).await {
            Ok(Some((record, fields))) => {
                story.fields = fields;
                story.plan = Some(record.into_view());
            }
            Ok(None) => {}
            Err(why) => story.troubles.push(why.to_string()),
        }
        match shelves.remembered(id.as_str()).await {
            Ok(entry) => story.journal = entry.as_ref().map_or_else(Vec::new, journal::lines),
            Err(why) => story.troubles.push(format!("the journal: {why}")),
        }
        Ok(story)
    }

    /// The results after a place of their stream, the oldest first, and the place of the last entry that was read.
    pub(crate) async fn results_after(
        &self,
        place: &str,
    ) -> Result<(Vec<(u64, Fields)>, Option<String>), Unread> {
        self.after(|keys| &keys.results, place).await
    }

    /// The waits after a place of their stream, likewise.
    pub(crate) async fn waits_after(
        &self,
        place: &str,
    ) -> Result<(Vec<(u64, Fields)>, Option<String>), Unread> {
        self.after(|keys| &keys.waits, place).await
    }

    async fn after(
        &self,
        stream: fn(&Keys) -> &String,
        place: &str,
    ) -> Result<(Vec<(u64, Fields)>, Option<String>), Unread> {
        let shelves = self.0.as_ref().ok_or(Unread::NotKept)?;
        let entries = Entries::Range {
            from: &format!("({place}"),
            to: "+",
            count: CHUNK,
        };
        let read = shelves.read(stream(&shelves.keys), entries).await?;
        let last = read.last().map(|entry| entry.id.clone());
        let fields = read.into_iter().filter_map(|entry| {
            let millis = entry_millis(&entry.id);
            Some((millis, Fields::of(entry.fields.ok()?)))
        });
        Ok((fields.collect(), last))
    }

    fn turn(&self) -> Result<(&Shelves, SemaphorePermit<'_>), Unread> {
        let shelves = self.0.as_ref().ok_or(Unread::NotKept)?;
        let turn = shelves.at_once.try_acquire().map_err(|_| Unread::Busy)?;
        Ok((shelves, turn))
    }
}

impl Shelves {
    /// The newest entries before a place, the newest first.
    async fn before(
        &self,
        stream: &str,
        place: &str,
        count: usize,
    ) -> Result<Vec<StreamEntry>, Unread> {
        let from = match place {
            "+" => "+".to_owned(),
            place => format!("({place}"),
        };
        self.read(stream, Entries::Newest { from: &from, count })
            .await
    }

    async fn read(&self, stream: &str, entries: Entries<'_>) -> Result<Vec<StreamEntry>, Unread> {
        let mut at = self.link.at(stream);
        let read = timeout(PATIENCE, self.reader.read(&mut at, stream, entries)).await;
        match read {
            Ok(Ok((_, entries))) => Ok(entries),
            Ok(Err(error)) => Err(Unread::Away(in_words(&error.to_string()))),
            Err(_) => Err(Unread::Away(format!(
                "no answer for {} s",
                PATIENCE.as_secs()
            ))),
        }
    }

    /// What the stream of results says about these plans, by their ids.
    async fn results_of(
        &self,
        plans: &[StreamEntry],
    ) -> Result<HashMap<String, record::Results>, Unread> {
        let mut found: HashMap<String, record::Results> = HashMap::new();
        let entries = self.read_entries_of(
            plans,
            &self.keys.results,
            FOREIGN_WITHIN,
            |id, millis, of| found.entry(id.to_owned()).or_default().add(millis, of),
        );
        entries.await?;
        Ok(found)
    }

    /// How the waits of these plans went, by their ids.
    async fn waits_of(&self, plans: &[StreamEntry]) -> Result<HashMap<String, WaitView>, Unread> {
        let mut found = HashMap::new();
        let entries = self.read_entries_of(plans, &self.keys.waits, 0, |id, _, of| {
            if let Some(wait) = WaitView::of_stream(&of.text(field::WAIT)) {
                found.insert(id.to_owned(), wait);
            }
            true
        });
        entries.await?;
        Ok(found)
    }

    /// Gives `take` each entry of a stream about one of these plans, with the plan's id and the entry's milliseconds,
    /// until it has said of every plan that nothing more is needed and `linger` milliseconds have passed since the
    /// newest plan.
    async fn read_entries_of(
        &self,
        plans: &[StreamEntry],
        stream: &str,
        linger: u64,
        mut take: impl FnMut(&str, u64, &Fields) -> bool,
    ) -> Result<(), Unread> {
        let mut open: HashSet<String> = plans.iter().filter_map(Record::id_of).collect();
        let of_interest = open.clone();
        let (Some(newest), Some(oldest)) = (plans.first(), plans.last()) else {
            return Ok(());
        };
        let newest = entry_millis(&newest.id);
        let to = newest.saturating_add(RESULT_WITHIN).to_string();
        let mut from = entry_millis(&oldest.id).to_string();
        let mut looked = 0;
        while looked < MOST_RESULTS {
            let entries = Entries::Range {
                from: &from,
                to: &to,
                count: CHUNK,
            };
            let read = self.read(stream, entries).await?;
            let Some(last) = read.last() else { break };
            let (full, last) = (read.len() == CHUNK, last.id.clone());
            looked += read.len();
            for entry in read {
                let millis = entry_millis(&entry.id);
                let Ok(fields) = entry.fields else { continue };
                let fields = Fields::of(fields);
                let id = fields.text(field::PLAN_ID);
                if of_interest.contains(&id) && take(&id, millis, &fields) {
                    open.remove(&id);
                }
            }
            let past_all = entry_millis(&last) > newest.saturating_add(linger);
            if !full || (open.is_empty() && past_all) {
                break;
            }
            from = format!("({last}");
        }
        Ok(())
    }

    /// What the journal of this machine has written down.
    async fn remembered(&self, id: &str) -> Result<Option<Entry>, String> {
        let Ok(id) = PlanId::new(id) else {
            return Ok(None);
        };
        match timeout(PATIENCE, self.journal.look_up(&id)).await {
            Ok(Ok(entry)) => Ok(entry),
            Ok(Err(error)) => Err(error.0),
            Err(_) => Err("it does not answer".into()),
        }
    }

    /// The newest entry of this plan with its results, and its fields.
    async fn find(&self, id: &PlanId) -> Result<Option<(Record, Vec<(String, String)>)>, Unread> {
        let (mut before, mut looked) = ("+".to_owned(), 0);
        while looked < MOST_FOR_ONE {
            let read = self.before(&self.keys.plans, &before, CHUNK).await?;
            let Some(last) = read.last() else { break };
            let (full, last) = (read.len() == CHUNK, last.id.clone());
            looked += read.len();
            let found = read
                .into_iter()
                .find(|entry| Record::id_of(entry).as_deref() == Some(id.as_str()));
            if let Some(entry) = found {
                let entry = [entry];
                let Some(mut record) = Record::of(&entry[0]) else {
                    return Ok(None);
                };
                if let Some(results) = self.results_of(&entry).await?.get(id.as_str()) {
                    record.end(results);
                }
                if record.waits_for_its_result() {
                    record.remembered(self.remembered(id.as_str()).await.ok().flatten());
                }
                record.waited(self.waits_of(&entry).await?.remove(id.as_str()));
                let fields = entry[0].fields.as_ref().ok();
                let fields = fields.map_or_else(Vec::new, record::shown);
                return Ok(Some((record, fields)));
            }
            if !full {
                break;
            }
            before = last;
        }
        Ok(None)
    }
}
