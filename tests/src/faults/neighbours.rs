//! Everybody around the service in one case: reviewers that write permits for the plans they read,
//! and a reader who remembers every result that ever stood on the stream, whatever Redis forgets.

use super::script::{Moment, PlanScript, Ruling, Word};
use crate::{
    entry::Entry,
    reviewer::{governor_permit, position_permit},
    stage::{GOVERNOR, P33, PLANS, RESULTS},
};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult, Value,
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
}

/// What was seen and done so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Plans that were claimed.
    pub(crate) claimed: BTreeSet<String>,
    /// Every result entry that ever stood on the stream.
    pub(crate) results: Vec<Entry>,
    pub(crate) written: Vec<Written>,
    /// Entries by stream and id.
    known: HashSet<(&'static str, String)>,
}

/// The neighbours of one case; gone with their handle.
#[derive(Debug)]
pub(crate) struct Neighbours {
    shared: Arc<Shared>,
    reading: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    url: String,
    scripts: Vec<PlanScript>,
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

impl Neighbours {
    /// Reviewers of these plans on the server at `url`.
    pub(crate) fn of(url: String, scripts: Vec<PlanScript>) -> Self {
        let shared = Arc::new(Shared {
            url,
            scripts,
            seen: Mutex::default(),
            changed: watch::Sender::new(()),
            released: watch::Sender::new(false),
            asking: tokio::sync::Mutex::default(),
        });
        let reading = tokio::spawn(Arc::clone(&shared).read());
        Self { shared, reading }
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
        let (plans, results): (Value, Value) = loop {
            if let Ok(mut connection) = self.shared.connection().await
                && let Ok(read) = both.query_async(&mut connection).await
            {
                break read;
            }
            sleep(PAUSE).await;
        };
        self.shared.note(PLANS, Entry::of_range(plans));
        self.shared.note(RESULTS, Entry::of_range(results));
    }

    /// Any command, until it is answered.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.shared.ask(words).await
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows both streams, through every restart and loss of the server.
    async fn read(self: Arc<Self>) {
        loop {
            if let Ok(mut connection) = connect(&self.url).await {
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
                if !seen.known.insert((stream, entry.id.clone())) {
                    continue;
                }
                match stream {
                    PLANS if entry.get("decision") == "EXECUTE" => {
                        seen.claimed.insert(entry.get("plan_id").to_owned());
                        fresh.push(entry);
                    }
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
                shared.seen().written.push(Written {
                    plan,
                    seat,
                    word: ruling.word,
                    at: Instant::now(),
                });
                let () = shared.ask(&["SET", &key, &permit, "EX", "60"]).await;
                shared.changed.send_replace(());
            });
        }
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        command.arg(words);
        loop {
            if let Ok(mut connection) = self.connection().await {
                match command.query_async(&mut connection).await {
                    Ok(answer) => return answer,
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
        let connection = connect(&self.url).await?;
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
