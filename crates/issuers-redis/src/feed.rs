//! A stream read as one of a consumer group.

use crate::{
    bell::Bell,
    config::IssuersConfig,
    link::{Link, failed, moment},
};
use apply_core::PortError;
use apply_redis::{Entries, Entry, EntryReader, MAX_ENTRY_BYTES};
use permit_issuers::{
    EntryId, Fields,
    ports::{Delivery, PlanFeed},
};
use permit_redis::{ConfigError, Meaning};
use redis::{RedisError, Script};
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// One stream for one group. It waits to hear that something was written, on a connection of its own,
/// and then reads with a bound on what an entry may cost.
///
/// The group is made from the stream's beginning: plans from before it are too old to be reviewed
/// and pass by, and one that was published a moment before the first reviewer came is not lost.
pub struct RedisFeed {
    link: Link,
    bell: Bell,
    reader: EntryReader,
    stream: String,
    group: String,
    config: IssuersConfig,
    remove_expired: Script,
    looked_behind: Mutex<Option<Instant>>,
}

/// A consumer that was silent for so long and owes nothing is a process that ended.
const GONE_AFTER: Duration = Duration::from_secs(3600);

impl RedisFeed {
    /// The plans, for the governor.
    pub fn governor_plans(config: IssuersConfig) -> Result<Self, ConfigError> {
        let (stream, group) = (&config.keys.plans, &config.keys.governor_group);
        Self::new(stream.clone(), group.clone(), config)
    }

    /// The results, for the governor.
    pub fn governor_results(config: IssuersConfig) -> Result<Self, ConfigError> {
        let (stream, group) = (&config.keys.results, &config.keys.governor_group);
        Self::new(stream.clone(), group.clone(), config)
    }

    /// The plans, for the position brain.
    pub fn brain_plans(config: IssuersConfig) -> Result<Self, ConfigError> {
        let (stream, group) = (&config.keys.plans, &config.keys.brain_group);
        Self::new(stream.clone(), group.clone(), config)
    }

    fn new(stream: String, group: String, config: IssuersConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            bell: Bell::new(&config, &stream)?,
            reader: EntryReader::default(),
            link: Link::new(&config)?,
            stream,
            group,
            config,
            remove_expired: Script::new(include_str!("remove_expired.lua")),
            looked_behind: Mutex::new(None),
        })
    }

    /// Makes the group where there is none, and removes consumers that ended long ago. Reading does
    /// it too, whenever the group turns out to be missing.
    ///
    /// # Errors
    ///
    /// Where the server cannot be reached, refuses, or is too old for consumer groups as they are used here.
    pub async fn join(&self) -> Result<(), PortError> {
        let met = self.link.meet().await;
        met.map_err(|error| PortError(error.to_string()))?;
        let made = redis::cmd("XGROUP")
            .arg("CREATE")
            .arg(&self.stream)
            .arg(&self.group)
            .arg("0")
            .arg("MKSTREAM")
            .query_async::<()>(&mut self.link.connection())
            .await;
        match made {
            Ok(()) => {}
            Err(error) if Meaning::of(&error) == Meaning::GroupExists => {}
            Err(error) => return Err(failed("make the consumer group")(error)),
        }
        let mut remove_expired = self.remove_expired.key(&self.stream);
        remove_expired
            .arg(&self.group)
            .arg(GONE_AFTER.as_millis() as u64);
        self.link
            .run::<i64>(&remove_expired, "remove old consumers")
            .await
            .map(drop)
    }

    /// Entries that no consumer was handed yet; waits for some at most as long as the configuration says.
    async fn fresh(&self) -> Result<Vec<Delivery>, RedisError> {
        let until = Instant::now() + self.config.block;
        loop {
            // Heard before it is read: what is written meanwhile rings again.
            let rung = self.bell.listen().await;
            let fresh = self.read(Entries::Fresh {
                group: &self.group,
                consumer: &self.config.consumer,
                count: self.config.batch,
            });
            let fresh = fresh.await?;
            if !fresh.is_empty() || Instant::now() >= until {
                return Ok(fresh);
            }
            rung.wait(until).await;
        }
    }

    /// Entries somebody was handed and did not finalize, this process included.
    async fn left_behind(&self) -> Result<Vec<Delivery>, RedisError> {
        self.read(Entries::LeftBehind {
            group: &self.group,
            consumer: &self.config.consumer,
            count: self.config.batch,
            idle: self.config.claim_after.as_millis() as u64,
        })
        .await
    }

    async fn read(&self, entries: Entries<'_>) -> Result<Vec<Delivery>, RedisError> {
        let mut connection = self.link.connection();
        let read = self.reader.read(&mut connection, &self.stream, entries);
        let (time, entries) = read.await?;
        let read_at = moment(time);
        let deliveries = entries.into_iter().filter_map(|entry| {
            // The server makes these ids; one that is none belongs to no entry that could be finalized.
            let id: EntryId = entry.id.parse().ok()?;
            Some(Delivery {
                id,
                fields: text_fields(&self.stream, entry),
                read_at,
            })
        });
        Ok(deliveries.collect())
    }

    /// Whether it is time to look behind; at most once in a `block`.
    async fn is_due(&self) -> bool {
        let mut last = self.looked_behind.lock().await;
        let due = last.is_none_or(|at| at.elapsed() >= self.config.block);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    async fn look(&self) -> Result<Vec<Delivery>, RedisError> {
        if self.is_due().await {
            let left = self.left_behind().await?;
            if !left.is_empty() {
                return Ok(left);
            }
        }
        self.fresh().await
    }
}

impl PlanFeed for RedisFeed {
    async fn next(&self) -> Result<Vec<Delivery>, PortError> {
        match self.look().await {
            Ok(deliveries) => Ok(deliveries),
            // The stream or its group is not there: never was, or the server lost it.
            Err(error) if Meaning::of(&error) == Meaning::NoGroup => {
                self.join().await?;
                Ok(Vec::new())
            }
            Err(error) => Err(failed("read the stream")(error)),
        }
    }
}

/// The fields that are text. An entry that is too long has none, as one that is no plan or result.
pub(crate) fn text_fields(stream: &str, entry: Entry) -> Fields {
    match entry.fields {
        Ok(fields) => fields
            .into_iter()
            .filter_map(|(field, value)| Some((field, String::from_utf8(value).ok()?)))
            .collect(),
        Err(size) => {
            let id = entry.id;
            tracing::warn!(
                "{stream} {id} has {size} bytes, at most {MAX_ENTRY_BYTES} are read: passed over"
            );
            Fields::new()
        }
    }
}
