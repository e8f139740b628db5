//! The one thread that writes, and the questions that need not wait for it.

use crate::{
    condition::{Condition, OpenFile},
    directory::{StateDirectory, disk, new_name},
    error::OpenError,
    forgotten,
    known::Known,
    table::{self, Failed, Tables},
};
use apply_core::{
    ApplyResult, ClaimNote, Entry, Intent, Journal, PortError, Publisher, Recorded, SwitchNote,
};
use permit_gate::PlanId;
use redb::{ConcurrencyMode, Database, DatabaseError, ReadableDatabase, StorageError};
use std::{
    collections::HashSet,
    iter, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;

/// What the operator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalSettings {
    /// How long an entry is kept after its result was published. At least as long as a claim
    /// lasts in the store.
    pub keep: Duration,
}

impl JournalSettings {
    /// Keeps entries twice as long as a claim lasts, and for a day at least.
    pub fn for_claims_of(ttl: Duration) -> Self {
        Self {
            keep: ttl.saturating_mul(2).max(Duration::from_secs(86_400)),
        }
    }

    /// The same in hours, rounded up.
    pub fn hours(self) -> u64 {
        self.keep.as_secs().div_ceil(3600)
    }
}

/// The journal of a state directory, which it keeps to itself. Clones share it; the directory is
/// free again once the last one is gone.
///
/// After a write that failed (a full disk, an error on sync), and once its file is not found any more
/// where it was opened, or is shorter than it was written (removed, replaced, cut short, its disk unmounted), nothing is written any more and every
/// call fails: what is on disk is not known then. Fix the disk and start the process again.
#[derive(Debug, Clone)]
pub struct RedbJournal {
    // Dropped before the thread is waited for: its end is what ends the thread.
    orders: mpsc::Sender<Order>,
    database: Arc<Database>,
    known: Arc<Known>,
    condition: Arc<Condition>,
    name: Arc<str>,
    directory: Arc<Path>,
    _thread: Arc<Thread>,
}

impl RedbJournal {
    /// Opens the directory's journal, or begins one where there never was one. Blocks: it reads the
    /// whole file once and checks every page of it.
    pub fn open(directory: &Path, settings: JournalSettings) -> Result<Self, OpenError> {
        let directory = StateDirectory::take(directory)?;
        let known = Arc::new(Known::new());
        let (database, name) = open_database(&directory, settings, &known)?;
        let database = Arc::new(database);
        let (orders, inbox) = mpsc::channel();
        let path = directory.database();
        let file = OpenFile::at(&path).map_err(|error| disk(&path, &error))?;
        let condition = Arc::new(Condition::new());
        let (written, judged) = (Arc::clone(&database), Arc::clone(&condition));
        let noted = Arc::clone(&known);
        let (end, ended) = mpsc::channel();
        let place: Arc<Path> = directory.path().into();
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                let mut writer = Writer {
                    database: written,
                    known: noted,
                    settings,
                    file,
                    condition: judged,
                    next_prune: 0,
                    notes: Vec::new(),
                    notes_due: Instant::now(),
                    directory,
                };
                writer.serve(&inbox);
                // Its file and its directory are free before its end is heard of.
                drop(writer);
                drop(end);
            })
            .map_err(|error| disk(&path, &error))?;
        Ok(Self {
            orders,
            database,
            known,
            condition,
            name: name.into(),
            directory: place,
            _thread: Arc::new(Thread {
                ended: Mutex::new(ended),
                handle: Some(thread),
            }),
        })
    }

    /// This journal's name, which no other has and which it keeps.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is at this moment, without waiting for its disk: an error where nothing is written any
    /// more, and while a write takes longer than half a second.
    pub fn condition(&self) -> Result<(), PortError> {
        self.condition.judge().map_err(PortError)
    }

    /// The thread is not waited for: it may be in the middle of a sync.
    fn note(&self, note: Note) -> Result<(), PortError> {
        self.condition.sound().map_err(PortError)?;
        self.orders
            .send(Order::Note(note))
            .map_err(|_| PortError("the journal's thread has ended".into()))
    }

    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Answer<T>>) -> Order,
    ) -> Result<T, PortError> {
        let gone = || PortError("the journal's thread has ended".into());
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.map_err(PortError)
    }
}

impl RedbJournal {
    /// What stands in the file.
    fn read<T>(&self, answer: impl FnOnce() -> Result<T, Failed>) -> Result<T, PortError> {
        self.condition.sound().map_err(PortError)?;
        // The database panics on some damage instead of naming it.
        match catch_unwind(AssertUnwindSafe(answer)) {
            Ok(answer) => answer.map_err(|error| PortError(error.why)),
            Err(_) => Err(PortError(
                "the journal's pages contradict each other".into(),
            )),
        }
    }
}

/// How many calls share one sync at most.
const BATCH: usize = 512;

/// So many that waited for one sync are a crowd: the next sync is put off a little, to be shared by more; the larger
/// the crowd, the longer, since each of its plans waits for many others anyway.
const CROWD: usize = 4;
const GATHERED_WITHIN: Duration = Duration::from_millis(1);
const GATHERED_WITHIN_AT_MOST: Duration = Duration::from_millis(4);

/// For how long the next sync is put off after one that so many waited for.
fn gathered_within(waited: usize) -> Duration {
    let crowds = u32::try_from(waited / CROWD).unwrap_or(u32::MAX);
    GATHERED_WITHIN
        .saturating_mul(crowds)
        .min(GATHERED_WITHIN_AT_MOST)
}

/// How long a note that a result was published waits for a write to go with. Until it is on disk a
/// process that ends badly leaves a result to be published again, which the store knows and refuses.
const NOTED_WITHIN: Duration = Duration::from_millis(100);

/// Between two looks at the file while nothing is written.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Between two looks for entries that are old enough, in seconds.
const PRUNE_EVERY: u64 = 60;

/// How many old entries go with one sync.
const PRUNE_AT_ONCE: usize = 2000;

/// How much of the file is kept in memory: what leads to the entries. The system keeps the rest at hand.
const CACHE: usize = 1024 * 1024;

type Answer<T> = Result<T, String>;

/// What the thread is asked to do.
enum Order {
    Write(Write),
    Note(Note),
    Unfinished(oneshot::Sender<Answer<Vec<Entry>>>),
    Published(usize, oneshot::Sender<Answer<Vec<Entry>>>),
    Forget(Box<Entry>, oneshot::Sender<Answer<bool>>),
}

/// What is answered at once, and goes to disk with what comes next.
enum Note {
    Claim(Box<ClaimNote>),
    /// The plan's end was published, then, by another attempt or not.
    End(PlanId, u64, bool),
}

/// What is answered once it is on disk.
enum Write {
    Intent(Box<Intent>, oneshot::Sender<Answer<Recorded>>),
    Result(
        Box<(ApplyResult, Option<Publisher>)>,
        oneshot::Sender<Answer<ApplyResult>>,
    ),
    Switch(SwitchNote, oneshot::Sender<Answer<()>>),
}

impl Journal for RedbJournal {
    /// Goes to disk with the plan's intent, or a moment later where that takes longer.
    async fn record_claim(&self, claim: &ClaimNote) -> Result<(), PortError> {
        self.note(Note::Claim(Box::new(claim.clone())))
    }

    async fn record_intent(&self, intent: &Intent) -> Result<Recorded, PortError> {
        let intent = Box::new(intent.clone());
        self.ask(|reply| Order::Write(Write::Intent(intent, reply)))
            .await
    }

    async fn record_result(
        &self,
        result: &ApplyResult,
        publisher: Option<&Publisher>,
    ) -> Result<ApplyResult, PortError> {
        let result = Box::new((result.clone(), publisher.cloned()));
        self.ask(|reply| Order::Write(Write::Result(result, reply)))
            .await
    }

    /// Goes to disk with the next write, or a moment later: the caller need not wait for that.
    async fn record_published(&self, plan: &PlanId, at: u64) -> Result<(), PortError> {
        self.note(Note::End(plan.clone(), at, false))
    }

    async fn record_published_by_another(&self, plan: &PlanId, at: u64) -> Result<(), PortError> {
        self.note(Note::End(plan.clone(), at, true))
    }

    async fn record_switch(&self, switch: &SwitchNote) -> Result<(), PortError> {
        let switch = switch.clone();
        self.ask(|reply| Order::Write(Write::Switch(switch, reply)))
            .await
    }

    async fn fetch_switch(&self) -> Result<Option<SwitchNote>, PortError> {
        let answer = || table::switch(&self.database.begin_read()?);
        self.read(answer)
    }

    /// Read where it is asked, with what was on disk when the last write before it was answered: every
    /// plan begins with this question, and the thread may be in the middle of a sync.
    async fn look_up(&self, plan: &PlanId) -> Result<Option<Entry>, PortError> {
        let found = self.read(|| match self.known.may_hold(plan) {
            true => table::look_up(&self.database.begin_read()?, plan),
            false => Ok(None),
        })?;
        let Some(entry) = found else {
            return Ok(None);
        };
        if forgotten::refusal(&entry).is_some() || !forgotten::lies(&self.directory, &entry) {
            return Ok(Some(entry));
        }
        let marked = Box::new(entry.clone());
        let gone = self.ask(|reply| Order::Forget(marked, reply)).await?;
        Ok((!gone).then_some(entry))
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.condition()
    }

    async fn fetch_unfinished(&self) -> Result<Vec<Entry>, PortError> {
        self.ask(Order::Unfinished).await
    }

    async fn fetch_published(&self, most: usize) -> Result<Vec<Entry>, PortError> {
        self.ask(|reply| Order::Published(most, reply)).await
    }
}

/// Opens the file and finds out whose it is.
fn open_database(
    directory: &StateDirectory,
    settings: JournalSettings,
    known: &Known,
) -> Result<(Database, String), OpenError> {
    let path = directory.database();
    let damaged = |why: String| OpenError::Damaged {
        path: path.clone(),
        why,
        hours: settings.hours(),
    };
    let noted = directory.note()?;
    // An empty file is what is left of a first start that was interrupted, unless there was more.
    let there = path.metadata().is_ok_and(|file| file.len() > 0);
    if noted.is_some() && !there {
        return Err(OpenError::Missing {
            path: path.clone(),
            hours: settings.hours(),
        });
    }
    // A file that is begun is begun beside its place and put there whole: a start that is interrupted
    // leaves nothing that looks like a damaged journal.
    let draft = directory.draft();
    if !there {
        remove(&draft).map_err(|error| disk(&draft, &error))?;
    }
    // The database panics on some damage instead of naming it.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = Database::builder();
        builder
            .set_concurrency_mode(ConcurrencyMode::SingleWriter)
            .set_check_integrity_on_open(there)
            .set_cache_size(CACHE);
        #[cfg(feature = "fault-points")]
        if let Some(opened) =
            crate::fault::open(&builder, if there { &path } else { &draft }, !there)
        {
            return opened;
        }
        match there {
            true => builder.open(&path),
            false => builder.create(&draft),
        }
    }));
    let database = match opened {
        Ok(Ok(database)) => database,
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => {
            return Err(OpenError::InUse(path.clone()));
        }
        Ok(Err(DatabaseError::Storage(StorageError::Io(error))))
            if error.kind() != std::io::ErrorKind::InvalidData
                && error.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            return Err(disk(&path, &error));
        }
        Ok(Err(error)) => return Err(damaged(error.to_string())),
        Err(_) => return Err(damaged("its pages contradict each other".into())),
    };
    let found = read_name(&database).map_err(|error| damaged(error.why))?;
    let name = match (found, noted) {
        (Some(found), Some(noted)) if found != noted => {
            return Err(OpenError::Foreign {
                path,
                found,
                expected: noted,
            });
        }
        (Some(found), Some(_)) => found,
        (Some(found), None) => {
            directory.write_note(&found)?;
            found
        }
        (None, Some(_)) => return Err(damaged("it is empty".into())),
        (None, None) => {
            let name = new_name().map_err(|error| disk(&path, &error))?;
            begin(&database, &name).map_err(|error| disk(&path, &error))?;
            if !there {
                directory.put_in_place(&draft)?;
            }
            directory.write_note(&name)?;
            name
        }
    };
    convert(&database).map_err(|error| match error.of_disk {
        true => disk(&path, &error),
        false => damaged(error.why),
    })?;
    // Nothing may be served over entries that cannot be read.
    check(&database, known).map_err(|error| damaged(error.why))?;
    Ok((database, name))
}

/// What is not there need not be removed.
fn remove(draft: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts a file of an earlier version into the present form: all of it or nothing, like every write. For as long as both are
/// there it needs twice the room.
fn convert(database: &Database) -> Result<(), Failed> {
    let view = database.begin_read()?;
    if !table::is_former(&view)? {
        return Ok(());
    }
    let change = database.begin_write()?;
    table::convert(&view, &change)?;
    drop(view);
    change.commit()?;
    Ok(())
}

fn read_name(database: &Database) -> Result<Option<String>, Failed> {
    table::name(&database.begin_read()?)
}

fn begin(database: &Database, name: &str) -> Result<(), Failed> {
    let change = database.begin_write()?;
    table::lay_out(&change, name)?;
    change.commit()?;
    Ok(())
}

fn check(database: &Database, known: &Known) -> Result<(), Failed> {
    let view = database.begin_read()?;
    table::plans(&view, |plan| known.add(plan))?;
    table::unfinished(&view).map(drop)
}

struct Writer {
    database: Arc<Database>,
    known: Arc<Known>,
    settings: JournalSettings,
    file: OpenFile,
    condition: Arc<Condition>,
    next_prune: u64,
    /// What was noted, and is not written down yet.
    notes: Vec<Note>,
    /// When the oldest of these has to be.
    notes_due: Instant,
    directory: StateDirectory,
}

impl Writer {
    fn serve(&mut self, inbox: &mpsc::Receiver<Order>) {
        let mut waited = 0;
        loop {
            let wait = match self.notes.is_empty() {
                true => LOOK_EVERY,
                false => {
                    let left = self.notes_due.saturating_duration_since(Instant::now());
                    left.min(LOOK_EVERY)
                }
            };
            match inbox.recv_timeout(wait) {
                Ok(first) => {
                    let crowded = match &first {
                        Order::Write(Write::Intent(..) | Write::Result(..)) => {
                            gathered_within(waited)
                        }
                        _ => Duration::ZERO,
                    };
                    if !crowded.is_zero() {
                        // A write that comes meanwhile shares the sync, and need not wake this thread.
                        thread::sleep(crowded);
                    }
                    let all = iter::once(first).chain(inbox.try_iter()).take(BATCH);
                    waited = self.deal_with(all);
                }
                Err(RecvTimeoutError::Timeout) => {
                    // The crowd is gone.
                    waited = 0;
                    match self.notes.is_empty() || Instant::now() < self.notes_due {
                        true => self.look(),
                        false => self.write(Vec::new()),
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return self.write(Vec::new()),
            }
        }
    }

    /// Looks whether the file is still where it was opened. A disk that hangs may hang this as well.
    fn look(&self) {
        let looked = self.condition.busy(|| self.file.is_there());
        if let Err(why) = looked {
            self.condition.give_up(&why);
        }
    }

    /// Says for how many of them a sync was waited for.
    fn deal_with(&mut self, orders: impl Iterator<Item = Order>) -> usize {
        let (mut writes, mut waited) = (Vec::new(), 0);
        for order in orders {
            match order {
                Order::Note(note) => {
                    if self.notes.is_empty() {
                        self.notes_due = Instant::now() + NOTED_WITHIN;
                    }
                    self.notes.push(note);
                }
                // A question is answered after what came before it, and not before that is on disk.
                Order::Unfinished(reply) => {
                    self.write(mem::take(&mut writes));
                    self.write(Vec::new());
                    // The caller may have stopped waiting, here and below.
                    let _ = reply.send(self.unfinished());
                }
                Order::Published(most, reply) => {
                    self.write(mem::take(&mut writes));
                    self.write(Vec::new());
                    let _ = reply.send(self.published(most));
                }
                Order::Forget(entry, reply) => {
                    self.write(mem::take(&mut writes));
                    let _ = reply.send(self.forget(&entry));
                }
                Order::Write(write) => {
                    writes.push(write);
                    waited += 1;
                }
            }
        }
        if !writes.is_empty() {
            self.write(writes);
        }
        waited
    }

    fn unfinished(&self) -> Answer<Vec<Entry>> {
        self.condition.sound()?;
        let answer = || table::unfinished(&self.database.begin_read()?);
        answer().map_err(|error| error.why)
    }

    fn published(&self, most: usize) -> Answer<Vec<Entry>> {
        self.condition.sound()?;
        let answer = || table::published(&self.database.begin_read()?, most);
        answer().map_err(|error| error.why)
    }

    /// Takes out an entry whose mark lies beside the journal, and then the mark.
    fn forget(&self, entry: &Entry) -> Answer<bool> {
        self.condition.sound()?;
        let gone = self.condition.busy(|| {
            self.file.is_there()?;
            let change = || {
                let change = self.database.begin_write()?;
                let gone = Tables::open(&change)?.forget(entry)?;
                change.commit()?;
                Ok(gone)
            };
            let gone = change().map_err(|error: Failed| error.why)?;
            self.file.is_written()?;
            Ok::<_, String>(gone)
        });
        let gone = gone.map_err(|why| self.condition.give_up(&why))?;
        if gone {
            // One that stays is a mark of an entry that is no more, which counts for nothing.
            let _ = forgotten::take_away(self.directory.path(), &entry.plan);
        }
        Ok(gone)
    }

    /// Writes all or nothing, and answers once it is on disk.
    fn write(&mut self, orders: Vec<Write>) {
        if orders.is_empty() && self.notes.is_empty() {
            return;
        }
        let condition = Arc::clone(&self.condition);
        let written = condition.sound().and_then(|()| {
            let written = condition.busy(|| {
                // What is left of a file that was cut short is left as it is.
                self.file.is_there()?;
                let outcomes = self.transact(&orders).map_err(|error| error.why)?;
                // What is on disk now has to be found by the next process.
                self.file.is_written()?;
                Ok(outcomes)
            });
            written.map_err(|why: String| condition.give_up(&why))
        });
        match written {
            Ok(outcomes) => orders
                .into_iter()
                .zip(outcomes)
                .for_each(|(order, outcome)| order.answer(outcome)),
            Err(why) => orders.into_iter().for_each(|order| order.refuse(&why)),
        }
    }

    fn transact(&mut self, orders: &[Write]) -> Result<Vec<Outcome>, Failed> {
        let change = self.database.begin_write()?;
        // Not with intents alone, while there is time: a plan waits for those, and perhaps its permits
        // are there already. The claim of a plan whose intent is here says nothing more.
        let later = !orders.is_empty()
            && orders.iter().all(|order| order.intent().is_some())
            && Instant::now() < self.notes_due;
        let intended: HashSet<&PlanId> = orders
            .iter()
            .filter_map(Write::intent)
            .map(|intent| &intent.plan)
            .collect();
        self.notes
            .retain(|note| !matches!(note, Note::Claim(claim) if intended.contains(&claim.plan)));
        let notes = match later {
            true => Vec::new(),
            false => mem::take(&mut self.notes),
        };
        let noted = notes.iter().map(Note::plan);
        for plan in noted.chain(orders.iter().filter_map(Write::plan)) {
            self.known.add(plan);
        }
        let outcomes = {
            let mut tables = Tables::open(&change)?;
            // They were noted before what is written now was asked for.
            for note in &notes {
                match note {
                    Note::Claim(claim) => tables.record_claim(claim)?,
                    Note::End(plan, at, by_another) => {
                        tables.record_end(plan, *at, *by_another)?;
                    }
                }
            }
            let outcomes = orders
                .iter()
                .map(|order| order.execute(&change, &mut tables))
                .collect::<Result<_, _>>()?;
            let now = seconds();
            if now >= self.next_prune {
                let before = now.saturating_sub(self.settings.keep.as_secs());
                let gone = tables.prune(before, PRUNE_AT_ONCE)?;
                self.next_prune = match gone {
                    PRUNE_AT_ONCE => now,
                    _ => now.saturating_add(PRUNE_EVERY),
                };
            }
            outcomes
        };
        change.commit()?;
        Ok(outcomes)
    }
}

/// What came of one write.
enum Outcome {
    Recorded(Recorded),
    /// Another result stands, where one does.
    Result(Option<Box<ApplyResult>>),
    Done,
}

impl Note {
    fn plan(&self) -> &PlanId {
        match self {
            Self::Claim(claim) => &claim.plan,
            Self::End(plan, ..) => plan,
        }
    }
}

impl Write {
    /// The plan whose entry it may begin.
    fn plan(&self) -> Option<&PlanId> {
        match self {
            Self::Intent(intent, _) => Some(&intent.plan),
            Self::Result(outcome, _) => Some(&outcome.0.plan),
            Self::Switch(..) => None,
        }
    }

    fn execute(
        &self,
        change: &redb::WriteTransaction,
        tables: &mut Tables<'_>,
    ) -> Result<Outcome, Failed> {
        Ok(match self {
            Self::Intent(intent, _) => Outcome::Recorded(tables.record_intent(intent)?),
            Self::Result(outcome, _) => {
                let (result, publisher) = &**outcome;
                let stands = tables.record_result(result, publisher.as_ref())?;
                Outcome::Result(stands.map(Box::new))
            }
            Self::Switch(switch, _) => {
                table::record_switch(change, switch)?;
                Outcome::Done
            }
        })
    }

    fn intent(&self) -> Option<&Intent> {
        match self {
            Self::Intent(intent, _) => Some(intent),
            Self::Result(..) | Self::Switch(..) => None,
        }
    }

    fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Intent(_, reply), Outcome::Recorded(recorded)) => {
                let _ = reply.send(Ok(recorded));
            }
            (Self::Result(outcome, reply), Outcome::Result(other)) => {
                let _ = reply.send(Ok(other.map_or(outcome.0, |other| *other)));
            }
            (Self::Switch(_, reply), Outcome::Done) => {
                let _ = reply.send(Ok(()));
            }
            // The caller sees from a dropped reply that there is no answer.
            _ => {}
        }
    }

    fn refuse(self, why: &str) {
        let why = why.to_owned();
        match self {
            Self::Intent(_, reply) => drop(reply.send(Err(why))),
            Self::Result(_, reply) => drop(reply.send(Err(why))),
            Self::Switch(_, reply) => drop(reply.send(Err(why))),
        }
    }
}

/// A clock before 1970 keeps everything.
fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Waits for its end: when the last journal is dropped its directory is free again. A disk that hangs
/// is not waited for: the process ends, and the thread with it.
#[derive(Debug)]
struct Thread {
    /// Closed when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
    handle: Option<JoinHandle<()>>,
}

/// How long a last write may take.
const LAST_WRITE: Duration = Duration::from_secs(2);

impl Drop for Thread {
    fn drop(&mut self) {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(LAST_WRITE) {
            return;
        }
        if let Some(thread) = self.handle.take() {
            // No caller is left to answer; a panic in it has printed itself.
            let _ = thread.join();
        }
    }
}
