//! Everybody around the service in one case: reviewers that write permits for the plans they read,
//! and a reader who remembers every result that ever stood on the stream, whatever Redis forgets.

use super::{
    scene::Reviews,
    script::{Moment, PlanScript, Ruling, Word},
};
use apply_tests::{Entry, GOVERNOR, P33, PLANS, RESULTS, governor_permit, position_permit};
use apply_wire::field::{FILLER, SOURCE, is_foreign};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult, Value,
    aio::MultiplexedConnection,
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    Governor,
    Brain,
}

impl Seat {
    pub(crate) const BOTH: [Self; 2] = [Self::Governor, Self::Brain];

    pub(crate) fn key(self, plan: &str) -> String {
        match self {
            Self::Governor => format!("{GOVERNOR}{plan}"),
            Self::Brain => format!("{P33}{plan}"),
        }
    }

    pub(crate) fn ruling(self, script: &PlanScript) -> Ruling {
        match self {
            Self::Governor => script.governor,
            Self::Brain => script.brain,
        }
    }
}

/// A permit that was written, or whose writing was begun.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) plan: String,
    pub(crate) seat: Seat,
    pub(crate) word: Word,
    /// When the write was begun: it cannot have been there before.
    pub(crate) at: Instant,
    /// When it was answered: it was there by then.
    pub(crate) done: Option<Instant>,
}

/// What was seen and done so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Every plan entry to be executed that ever stood on the stream: its plan, and when it was written by the
    /// server's clock, in milliseconds since 1970.
    pub(crate) published: Vec<(String, u64)>,
    /// Every result entry of the service that ever stood on the stream.
    pub(crate) results: Vec<Entry>,
    /// Every entry of another program among them.
    pub(crate) others: Vec<Entry>,
    pub(crate) written: Vec<Written>,
    /// Entries that were noted. Two servers may give the same id to different ones.
    known: HashSet<(&'static str, Entry)>,
    /// No reviewer begins to write any more.
    closed: bool,
}

impl Seen {
    /// Plans that were claimed, each once.
    pub(crate) fn claimed(&self) -> impl Iterator<Item = &String> {
        let plans: BTreeSet<&String> = self.published.iter().map(|(plan, _)| plan).collect();
        plans.into_iter()
    }

    /// Whether a plan was claimed.
    pub(crate) fn is_claimed(&self, id: &str) -> bool {
        self.published.iter().any(|(plan, _)| plan == id)
    }
}

/// When a stream's entry was written, in milliseconds since 1970 by the server's clock.
pub(crate) fn written_at(entry: &Entry) -> u64 {
    let millis = entry.id.split('-').next();
    millis.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The neighbours of one case; gone with their handle.
#[derive(Debug)]
pub(crate) struct FakeServices {
    shared: Arc<Shared>,
    reading: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Where questions go and permits are written; the last one is the master that counts in the end.
    urls: Mutex<Vec<String>>,
    scripts: Vec<PlanScript>,
    reviews: Reviews,
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
    released: watch::Sender<bool>,
    /// For questions, while it works.
    asking: tokio::sync::Mutex<Option<MultiplexedConnection>>,
}

/// How long an answer may take before the connection counts as dead. A server that is stopped for a
/// moment is still worth waiting for.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two tries to reach a server that is away.
const PAUSE: Duration = Duration::from_millis(15);

impl FakeServices {
    /// Reviewers of these plans on the server at `url`.
    pub(crate) fn of(url: String, scripts: Vec<PlanScript>, reviews: Reviews) -> Self {
        let shared = Arc::new(Shared {
            urls: Mutex::new(vec![url.clone()]),
            scripts,
            reviews,
            seen: Mutex::default(),
            changed: watch::Sender::new(()),
            released: watch::Sender::new(false),
            asking: tokio::sync::Mutex::default(),
        });
        let reading = vec![tokio::spawn(Arc::clone(&shared).read(url))];
        Self { shared, reading }
    }

    /// From now on there is another server that calls itself master: it is read as well, permits are
    /// written to both, and questions go to it.
    pub(crate) async fn are_on(&mut self, url: String) {
        let reading = Arc::clone(&self.shared).read(url.clone());
        self.reading.push(tokio::spawn(reading));
        self.shared.urls().push(url);
        *self.shared.asking.lock().await = None;
    }

    /// The first server is no master any more. What stands on it is read before it forgets.
    pub(crate) async fn leave_the_first(&self) {
        let first = self.shared.urls().remove(0);
        if let Ok(mut connection) = connect(&first).await {
            for stream in [PLANS, RESULTS] {
                let mut read = redis::cmd("XRANGE");
                read.arg(&[stream, "-", "+"]);
                if let Ok(reply) = read.query_async::<Value>(&mut connection).await {
                    self.shared.note(stream, Entry::of_range(reply));
                }
            }
        }
    }

    /// The results that stand on the stream at this moment.
    pub(crate) async fn standing(&self) -> Vec<Entry> {
        Entry::of_range(self.ask(&["XRANGE", RESULTS, "-", "+"]).await)
    }

    /// A command to every server that calls itself master.
    pub(crate) async fn answer_all(&self, words: &[&str]) {
        self.shared.answer_all(words).await;
    }

    /// What was seen and done so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen()
    }

    /// Lets the reviewers write whose moment has not come by itself.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Waits until what was seen is as wanted; no where it does not come to that in time.
    pub(crate) async fn until(&self, patience: Duration, wanted: impl Fn(&Seen) -> bool) -> bool {
        let mut changed = self.shared.changed.subscribe();
        let met = async {
            while !wanted(&self.seen()) {
                changed.mark_unchanged();
                if wanted(&self.seen()) {
                    return;
                }
                // The sender lives as long as this handle.
                let _ = changed.changed().await;
            }
        };
        timeout(patience, met).await.is_ok()
    }

    /// Reviewers begin nothing more, and what they have begun is written: what lies in Redis from now on is what
    /// was written and not taken. No where a write is not answered in time.
    pub(crate) async fn close(&self, patience: Duration) -> bool {
        self.seen().closed = true;
        let done = |seen: &Seen| seen.written.iter().all(|written| written.done.is_some());
        self.until(patience, done).await
    }

    /// Reads everything that stands on both streams at this moment.
    pub(crate) async fn catch_up(&self) {
        for stream in [PLANS, RESULTS] {
            let reply = self.ask(&["XRANGE", stream, "-", "+"]).await;
            for plan in self.shared.note(stream, Entry::of_range(reply)) {
                self.shared.review(&plan);
            }
        }
    }

    /// FLUSHALL, with what stood on the streams read in the same moment.
    pub(crate) async fn forget_everything(&self) {
        let mut both = redis::pipe();
        both.atomic();
        for stream in [PLANS, RESULTS] {
            both.cmd("XRANGE").arg(&[stream, "-", "+"]);
        }
        both.cmd("FLUSHALL").ignore();
        let (plans, results): (Value, Value) = self.shared.ask_all(&both).await;
        self.shared.note(PLANS, Entry::of_range(plans));
        self.shared.note(RESULTS, Entry::of_range(results));
    }

    /// Writes both permits of every plan now, before anybody asks for them.
    pub(crate) async fn approve_all(&self) {
        for script in self.shared.scripts.clone() {
            for seat in Seat::BOTH {
                let Some(permit) = permit(seat, Word::Yes, &script) else {
                    continue;
                };
                let (plan, at) = (script.id(), Instant::now());
                let key = seat.key(&plan);
                let () = self.ask(&["SET", &key, &permit, "EX", "60"]).await;
                self.seen().written.push(Written {
                    plan,
                    seat,
                    word: Word::Yes,
                    at,
                    done: Some(Instant::now()),
                });
            }
        }
    }

    /// Any command, until it is answered.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.shared.ask(words).await
    }
}

impl Drop for FakeServices {
    fn drop(&mut self) {
        self.reading.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows both streams, through every restart and loss of the server.
    async fn read(self: Arc<Self>, url: String) {
        loop {
            if let Ok(mut connection) = connect(&url).await {
                let _ = self.follow(&mut connection).await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn follow(self: &Arc<Self>, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let (mut plan, mut result) = ("0".to_owned(), "0".to_owned());
        loop {
            let mut read = redis::cmd("XREAD");
            read.arg(&["BLOCK", "1000", "STREAMS", PLANS, RESULTS, &plan, &result]);
            let reply: Value = read.query_async(connection).await?;
            let Value::Array(streams) = reply else {
                continue; // nothing new
            };
            for stream in streams {
                let (name, entries): (String, Value) = redis::from_redis_value(stream)?;
                let entries = Entry::of_range(entries);
                let (stream, last) = match name == PLANS {
                    true => (PLANS, &mut plan),
                    false => (RESULTS, &mut result),
                };
                if let Some(newest) = entries.last() {
                    last.clone_from(&newest.id);
                }
                for plan in self.note(stream, entries) {
                    self.review(&plan);
                }
            }
        }
    }

    /// Remembers entries; answers with the plans among them that are to be reviewed now.
    fn note(&self, stream: &'static str, entries: Vec<Entry>) -> Vec<Entry> {
        let mut fresh = Vec::new();
        {
            let mut seen = self.seen();
            for entry in entries {
                if !seen.known.insert((stream, entry.clone())) {
                    continue;
                }
                match stream {
                    PLANS if entry.get("decision") == "EXECUTE" => {
                        let plan = entry.get("plan_id").to_owned();
                        let again = seen.is_claimed(&plan);
                        seen.published.push((plan, written_at(&entry)));
                        let reviewed = match self.reviews {
                            Reviews::Each => true,
                            Reviews::FirstOnly => !again,
                            Reviews::LaterOnly => again,
                            Reviews::None => false,
                        };
                        if reviewed {
                            fresh.push(entry);
                        }
                    }
                    RESULTS if is_foreign(entry.find(SOURCE).unwrap_or_default()) => {
                        seen.others.push(entry);
                    }
                    // It stands there for the position brain alone.
                    RESULTS if entry.find(FILLER).is_some() => {}
                    RESULTS => seen.results.push(entry),
                    _ => {}
                }
            }
        }
        self.changed.send_replace(());
        fresh
    }

    /// Each reviewer writes in a time of its own.
    fn review(self: &Arc<Self>, plan: &Entry) {
        let of_it = |script: &&PlanScript| {
            script.symbol == plan.get("symbol") && script.action == plan.get("action")
        };
        let Some(script) = self.scripts.iter().find(of_it) else {
            return;
        };
        for seat in Seat::BOTH {
            let ruling = seat.ruling(script);
            let Some(permit) = permit(seat, ruling.word, script) else {
                continue;
            };
            let (shared, plan) = (Arc::clone(self), plan.get("plan_id").to_owned());
            tokio::spawn(async move {
                match ruling.at {
                    Moment::After(after) => sleep(after).await,
                    Moment::Released => {
                        let mut released = shared.released.subscribe();
                        if released.wait_for(|released| *released).await.is_err() {
                            return;
                        }
                    }
                }
                let key = seat.key(&plan);
                let number = {
                    let mut seen = shared.seen();
                    if seen.closed {
                        return;
                    }
                    seen.written.push(Written {
                        plan,
                        seat,
                        word: ruling.word,
                        at: Instant::now(),
                        done: None,
                    });
                    seen.written.len() - 1
                };
                shared.answer_all(&["SET", &key, &permit, "EX", "60"]).await;
                shared.seen().written[number].done = Some(Instant::now());
                shared.changed.send_replace(());
            });
        }
    }

    fn urls(&self) -> MutexGuard<'_, Vec<String>> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer_all(&self, words: &[&str]) {
        let others: Vec<String> = {
            let urls = self.urls();
            urls.iter().rev().skip(1).cloned().collect()
        };
        for url in others {
            // One that has become a replica refuses; that is its business.
            if let Ok(mut connection) = connect(&url).await {
                let mut command = Cmd::new();
                command.arg(words);
                let _ = command.query_async::<Value>(&mut connection).await;
            }
        }
        let _: Value = self.ask(words).await;
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        command.arg(words);
        let mut alone = Pipeline::new();
        alone.add_command(command);
        let [answer] = self.ask_all(&alone).await;
        answer
    }

    /// Over a new connection each time that the last one gave no answer.
    async fn ask_all<T: FromRedisValue>(&self, commands: &Pipeline) -> T {
        loop {
            if let Ok(mut connection) = self.connection().await {
                match commands.query_async(&mut connection).await {
                    Ok(answers) => return answers,
                    Err(_) => *self.asking.lock().await = None,
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut asking = self.asking.lock().await;
        if let Some(connection) = &*asking {
            return Ok(connection.clone());
        }
        let url = self.urls().last().cloned().unwrap_or_default();
        let connection = connect(&url).await?;
        *asking = Some(connection.clone());
        Ok(connection)
    }
}

async fn connect(url: &str) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER))
        .set_response_timeout(Some(ANSWER));
    Client::open(url)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// What a reviewer writes; nothing where it writes nothing.
fn permit(seat: Seat, word: Word, script: &PlanScript) -> Option<String> {
    let yes = |symbol: &str| match seat {
        Seat::Governor => governor_permit(symbol),
        Seat::Brain => position_permit(symbol, &script.quantity.to_string()),
    };
    let said = yes(script.symbol);
    match word {
        Word::Yes => Some(said),
        Word::No => Some(
            said.replace(r#""granted":true"#, r#""granted":false"#)
                .replace(r#""allow":true"#, r#""allow":false"#),
        ),
        Word::Garbage => Some(said[..said.len() / 2].to_owned()),
        Word::Stray => Some(yes("XRPUSDT")),
        Word::Nothing => None,
    }
}
