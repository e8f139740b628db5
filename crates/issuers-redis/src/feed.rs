//! A stream read as one of a consumer group.

use crate::{
    config::IssuersConfig,
    link::{Link, failed, moment},
};
use apply_core::PortError;
use permit_issuers::{
    EntryId, Fields, Moment,
    ports::{Delivery, PlanFeed},
};
use redis::{
    FromRedisValue, RedisError, Script, Value,
    streams::{StreamAutoClaimReply, StreamId, StreamReadReply},
};
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// One stream for one group. Reads block on a connection of its own, so that nothing waits behind
/// them.
///
/// The group is made from the stream's beginning: plans from before it are too old to be reviewed
/// and pass by, and one that was published a moment before the first reviewer came is not lost.
pub struct RedisFeed {
    blocking: Link,
    link: Link,
    stream: String,
    group: String,
    config: IssuersConfig,
    tidy: Script,
    looked_behind: Mutex<Option<Instant>>,
}

/// A consumer that was silent for so long and owes nothing is a process that ended.
const GONE_AFTER: Duration = Duration::from_secs(3600);

impl RedisFeed {
    /// The plans, for the governor.
    pub fn governor_plans(config: IssuersConfig) -> Result<Self, PortError> {
        let (stream, group) = (&config.keys.plans, &config.keys.governor_group);
        Self::new(stream.clone(), group.clone(), config)
    }

    /// The results, for the governor.
    pub fn governor_results(config: IssuersConfig) -> Result<Self, PortError> {
        let (stream, group) = (&config.keys.results, &config.keys.governor_group);
        Self::new(stream.clone(), group.clone(), config)
    }

    /// The plans, for the position brain.
    pub fn brain_plans(config: IssuersConfig) -> Result<Self, PortError> {
        let (stream, group) = (&config.keys.plans, &config.keys.brain_group);
        Self::new(stream.clone(), group.clone(), config)
    }

    fn new(stream: String, group: String, config: IssuersConfig) -> Result<Self, PortError> {
        let patience = config.block + config.response_timeout;
        Ok(Self {
            blocking: Link::new(&config.url, patience)?,
            link: Link::new(&config.url, config.response_timeout)?,
            stream,
            group,
            config,
            tidy: Script::new(include_str!("tidy.lua")),
            looked_behind: Mutex::new(None),
        })
    }

    /// Makes the group where there is none, and removes consumers that ended long ago. Reading does
    /// it too, whenever the group turns out to be missing.
    pub async fn join(&self) -> Result<(), PortError> {
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
            Err(error) if error.code() == Some("BUSYGROUP") => {}
            Err(error) => return Err(failed("make the consumer group")(error)),
        }
        let mut tidy = self.tidy.key(&self.stream);
        tidy.arg(&self.group).arg(GONE_AFTER.as_millis() as u64);
        self.link
            .run::<i64>(&tidy, "remove old consumers")
            .await
            .map(drop)
    }

    /// Entries nobody was handed yet; waits for some at most as long as the configuration says.
    async fn fresh(&self) -> Result<Vec<Delivery>, RedisError> {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP")
            .arg(&self.group)
            .arg(&self.config.consumer)
            .arg("COUNT")
            .arg(self.config.batch)
            .arg("BLOCK")
            .arg(self.config.block.as_millis() as u64)
            .arg("STREAMS")
            .arg(&self.stream)
            .arg(">");
        let (reply, now) = with_time::<Option<StreamReadReply>>(&self.blocking, read).await?;
        let streams = reply.map(|reply| reply.keys).unwrap_or_default();
        Ok(deliveries(
            streams.into_iter().flat_map(|stream| stream.ids),
            now,
        ))
    }

    /// Entries somebody was handed and did not conclude, this process included.
    async fn left_behind(&self) -> Result<Vec<Delivery>, RedisError> {
        let mut claim = redis::cmd("XAUTOCLAIM");
        claim
            .arg(&self.stream)
            .arg(&self.group)
            .arg(&self.config.consumer)
            .arg(self.config.claim_after.as_millis() as u64)
            .arg("0")
            .arg("COUNT")
            .arg(self.config.batch);
        let (reply, now) = with_time::<StreamAutoClaimReply>(&self.link, claim).await?;
        Ok(deliveries(reply.claimed, now))
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

    async fn read(&self) -> Result<Vec<Delivery>, RedisError> {
        if self.is_due().await {
            let left = self.left_behind().await?;
            if !left.is_empty() {
                return Ok(left);
            }
        }
        self.fresh().await
    }
}

/// The command's answer and the time at which it came, in one round trip: a server takes up what
/// stands behind a blocking command when that one is done.
async fn with_time<T: FromRedisValue>(
    link: &Link,
    command: redis::Cmd,
) -> Result<(T, Moment), RedisError> {
    let mut both = redis::pipe();
    both.add_command(command).cmd("TIME").ignore_errors();
    let (answer, time): (Value, Value) = both.query_async(&mut link.connection()).await?;
    Ok((checked(answer)?, moment(checked(time)?)))
}

fn checked<T: FromRedisValue>(value: Value) -> Result<T, RedisError> {
    match value {
        Value::ServerError(error) => Err(error.into()),
        value => Ok(redis::from_redis_value(value)?),
    }
}

impl PlanFeed for RedisFeed {
    async fn next(&self) -> Result<Vec<Delivery>, PortError> {
        match self.read().await {
            Ok(deliveries) => Ok(deliveries),
            // The stream or its group is not there: never was, or the server lost it.
            Err(error) if error.code() == Some("NOGROUP") => {
                self.join().await?;
                Ok(Vec::new())
            }
            Err(error) => Err(failed("read the stream")(error)),
        }
    }
}

fn deliveries(entries: impl IntoIterator<Item = StreamId>, read_at: Moment) -> Vec<Delivery> {
    let entries = entries.into_iter();
    entries
        .filter_map(|entry| {
            // The server makes these ids; one that is none belongs to no entry that could be concluded.
            let id: EntryId = entry.id.parse().ok()?;
            Some(Delivery {
                id,
                fields: text_fields(entry),
                read_at,
            })
        })
        .collect()
}

/// The fields that are text.
pub(crate) fn text_fields(entry: StreamId) -> Fields {
    let fields = entry.map.into_iter();
    fields
        .filter_map(|(field, value)| match value {
            Value::BulkString(bytes) => Some((field, String::from_utf8(bytes).ok()?)),
            Value::SimpleString(text) => Some((field, text)),
            _ => None,
        })
        .collect()
}
