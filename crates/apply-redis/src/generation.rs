//! Since when the server remembers what was written to it, as its answers say.
//!
//! A server that was started again, flushed, set back to a snapshot or replaced may have forgotten who claimed
//! what. It shows: the key of the generation is gone, or names another run. Whatever was allowed before has
//! to come to its end before a plan is claimed again.

use apply_core::{Generation, GenerationId, Hold, ServerId, times::micros};
use permit_redis::ServerId as RunId;
use redis::{ErrorKind, RedisError, Value, from_redis_value};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What one process has heard.
#[derive(Debug)]
pub(crate) struct Remembered {
    clean_after: Duration,
    /// What the names begin with that this process would give.
    name: String,
    names: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    id: String,
    server: Option<RunId>,
    epoch: u64,
}

/// What a script has answered, with what the server remembers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) word: String,
    pub(crate) generation: Generation,
    pub(crate) server: ServerId,
    pub(crate) epoch: u64,
    more: Option<Value>,
}

impl Answer {
    /// What follows, as a number that is not negative.
    pub(crate) fn number(&self) -> Option<u64> {
        match self.more {
            Some(Value::Int(number)) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// What follows, as text.
    pub(crate) fn text(&self) -> Option<String> {
        match &self.more {
            Some(Value::BulkString(text)) => String::from_utf8(text.clone()).ok(),
            _ => None,
        }
    }
}

impl Remembered {
    pub(crate) fn new(clean_after: Duration) -> Self {
        Self {
            clean_after,
            name: format!("{:016x}", RandomState::new().build_hasher().finish()),
            names: AtomicU64::new(0),
            last: Mutex::default(),
        }
    }

    /// How old a generation has to be to be clean.
    pub(crate) fn clean_after(&self) -> Duration {
        self.clean_after
    }

    /// A name for a generation that may begin now.
    pub(crate) fn fresh(&self) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        format!("{}-{}-{number}", self.name, std::process::id())
    }

    /// Reads `{word, id, began, age, known, more}`, received now. `before` is the server that was connected
    /// when it was asked for.
    pub(crate) fn learn(
        &self,
        values: Vec<Value>,
        before: Option<(RunId, Instant)>,
        server: Option<(RunId, Instant)>,
        received: Instant,
    ) -> Result<Answer, RedisError> {
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or(Value::Nil);
        let word: String = from_redis_value(next())?;
        let id: String = from_redis_value(next())?;
        let began: u64 = from_redis_value(next())?;
        let age = Duration::from_micros(from_redis_value(next())?);
        let known: bool = from_redis_value(next())?;
        let more = values.next();
        let Some((run, since)) = server else {
            return Err((ErrorKind::Io, "the server that answered is not known").into());
        };
        // What was true when the script ran: only what has passed since the answer came may be added.
        let mut clean_at = received + self.clean_after.saturating_sub(age);
        if !known {
            // Nothing but a new connection reveals a new run here.
            clean_at = clean_at.max(since + self.clean_after);
        }
        let (epoch, forgot) = {
            let mut last = self.lock();
            let same = last.id == id && last.server == Some(run);
            let forgot = !last.id.is_empty() && !same;
            if !same {
                last.epoch += 1;
                last.id.clone_from(&id);
                last.server = Some(run);
            }
            (last.epoch, forgot)
        };
        let left = clean_at.saturating_duration_since(received);
        if forgot {
            tracing::warn!(
                generation = %id,
                "Redis was started again, flushed or replaced and may have forgotten something: \
                 no plan is claimed for {left:.1?}, what was under way before is looked up at the venue"
            );
        }
        Ok(Answer {
            word,
            generation: Generation {
                id,
                began_at: began / 1_000_000,
                observed_at: began.saturating_add(micros(age)) / 1_000_000,
                clean_at,
            },
            // Which of two has answered is not known: none that will ever be connected.
            server: match before {
                Some((before, _)) if before == run => ServerId(run.get()),
                _ => ServerId(0),
            },
            epoch,
            more,
        })
    }

    /// What was heard last; `None` where nothing was.
    pub(crate) fn last(&self) -> Option<GenerationId> {
        let last = self.lock();
        (!last.id.is_empty()).then(|| last.id.clone())
    }

    /// A number that changes whenever something else is heard.
    pub(crate) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Whether nothing else was heard since.
    pub(crate) fn is_current(&self, hold: &Hold, server: Option<(RunId, Instant)>) -> bool {
        let same = server.is_some_and(|(run, _)| ServerId(run.get()) == hold.server);
        same && self.lock().epoch == hold.epoch
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
