//! One connection to Redis for the time of one command.

use crate::{ReadConfig, VenueKeys};
use apply_core::{PortError, digest_of_fields};
use apply_redis::{
    Durability, Entries, EntryReader, Keys, MAX_ENTRY_BYTES, NeighboursSwitch, Reviewer,
    SwitchState, fetch_reviewers, neighbours_switch,
};
use apply_service::{Config, Failure, config::RedisUrl};
use apply_wire::field::{FILLER, other_writer};
use permit_gate::PlanDigest;
use permit_redis::{ConnectError, Meaning, RedisConfig, RedisLink};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, Value,
    aio::MultiplexedConnection,
};
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};
use tokio::time::sleep;

/// How long a connection, and then each answer, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to do about a Redis that cannot be reached.
const START: &str = "start it, or correct REDIS_URL";

/// What to do about one that can never be used.
const CORRECT: &str = "correct REDIS_URL";

/// How many entries or keys are asked for at a time: enough to be quick, few enough to delay no other client.
const PAGE: usize = 1000;

/// More entries than a stream keeps.
pub(super) const ALL_KEPT: usize = 12_000;

/// Redis, where the configuration says it is.
pub(super) struct Link {
    connection: Connection,
    at: RedisUrl,
}

/// One server as it is named; or, by way of its links, the sentinels' master, or a
/// cluster.
enum Connection {
    Direct(MultiplexedConnection),
    Linked(RedisLink),
}

/// What an operator's command works with.
pub(super) struct OpsContext {
    pub(super) config: Arc<Config>,
    pub(super) link: Link,
    pub(super) keys: Keys,
}

impl OpsContext {
    /// Reads the configuration, without the venue's keys, and connects.
    pub(super) async fn open(read: ReadConfig) -> Result<Self, Failure> {
        Self::connect(Arc::new(read(VenueKeys::Unused)?)).await
    }

    /// Connects.
    pub(super) async fn connect(config: Arc<Config>) -> Result<Self, Failure> {
        let link = Link::open(&config.redis).await?;
        let keys = link.keys();
        Ok(Self { config, link, keys })
    }
}

impl Link {
    pub(super) async fn open(at: &RedisUrl) -> Result<Self, Failure> {
        let scheme = at.reveal().split("://").next().unwrap_or_default();
        match scheme.contains('+') {
            true => Self::through_links(at).await,
            false => Self::direct(at).await,
        }
    }

    async fn through_links(at: &RedisUrl) -> Result<Self, Failure> {
        let unusable = |error: permit_redis::ConfigError| {
            Failure::configuration(error.to_string()).fix_within(CORRECT)
        };
        let settings = RedisConfig::new(at.reveal())
            .map_err(unusable)?
            .connect_timeout(PATIENCE)
            .response_timeout(PATIENCE);
        let link = match RedisLink::connect(settings).await {
            Ok(link) => link,
            Err(ConnectError::Config(error)) => return Err(unusable(error)),
            Err(error @ ConnectError::Unreachable { .. }) => {
                let away = Failure::unavailable(error.to_string());
                return Err(away.fix(START));
            }
            Err(error @ ConnectError::Unusable { .. }) => {
                return Err(Failure::configuration(error.to_string()).fix_within(CORRECT));
            }
            // It says itself what is wrong with it.
            Err(error) => {
                let unfit = Failure::unavailable(error.to_string());
                return Err(unfit.fix_within("see apply-layer check"));
            }
        };
        Ok(Self {
            connection: Connection::Linked(link),
            at: at.clone(),
        })
    }

    /// Whether it is a cluster, where a key may lie on any node.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(&self.connection, Connection::Linked(link) if link.is_cluster())
    }

    /// The contract's keys as they are named on this server.
    pub(super) fn keys(&self) -> Keys {
        match self.is_cluster() {
            true => Keys::default().on_a_cluster(),
            false => Keys::default(),
        }
    }

    async fn direct(at: &RedisUrl) -> Result<Self, Failure> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        // An error about the URL never repeats it: it may carry a password.
        let client = Client::open(at.reveal()).map_err(|_| {
            Failure::configuration(
                "REDIS_URL cannot be read: redis://[user:password@]host:port[/db] is needed",
            )
            .fix_within(CORRECT)
        })?;
        let connected = client.get_multiplexed_async_connection_with_config(&settings);
        match connected.await {
            Ok(connection) => Ok(Self {
                connection: Connection::Direct(connection),
                at: at.clone(),
            }),
            Err(error) if error.kind() == ErrorKind::AuthenticationFailed => {
                let refused = format!("Redis at {at} refuses us: {error}");
                Err(Failure::configuration(refused).fix("correct user and password in REDIS_URL"))
            }
            Err(error) => {
                let away = format!("cannot reach Redis at {at}: {error}");
                let meaning = Meaning::of(&error);
                let failure = match meaning {
                    Meaning::NoDatabase => Failure::configuration(away),
                    _ => Failure::unavailable(away),
                };
                Err(failure.fix(meaning.advice().unwrap_or(START)))
            }
        }
    }

    /// Sends one command. `doing` completes "cannot …".
    pub(super) async fn ask<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
        doing: &str,
    ) -> Result<T, Failure> {
        let answer = self.try_ask(command).await;
        answer.map_err(|error| self.failed(doing, &error))
    }

    /// The same for a command whose refusal is an answer.
    pub(super) async fn try_ask<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
    ) -> Result<T, RedisError> {
        match &mut self.connection {
            Connection::Direct(connection) => command.query_async(connection).await,
            Connection::Linked(link) => command.query_async(&mut link.at("")).await,
        }
    }

    /// How the kill switches in Redis stand.
    pub(super) async fn switches(&mut self, keys: &Keys) -> Vec<(String, SwitchState)> {
        match &mut self.connection {
            Connection::Direct(connection) => apply_redis::switches(connection, keys).await,
            Connection::Linked(link) => apply_redis::switches(&mut link.at(""), keys).await,
        }
    }

    /// How the neighbours' own switch stands.
    pub(super) async fn neighbours_switch(&mut self) -> NeighboursSwitch {
        match &mut self.connection {
            Connection::Direct(connection) => neighbours_switch(connection).await,
            Connection::Linked(link) => {
                neighbours_switch(&mut link.at(NeighboursSwitch::KEY)).await
            }
        }
    }

    /// How the server keeps what was written to it.
    pub(super) async fn durability(&mut self) -> Result<Durability, PortError> {
        match &mut self.connection {
            Connection::Direct(connection) => Durability::ask(connection).await,
            Connection::Linked(link) => Durability::ask(&mut link.at("")).await,
        }
    }

    /// How these groups read the stream of plans.
    pub(super) async fn reviewers(
        &mut self,
        plans: &str,
        groups: &[&str],
    ) -> Result<Vec<Reviewer>, RedisError> {
        match &mut self.connection {
            Connection::Direct(connection) => fetch_reviewers(connection, plans, groups).await,
            Connection::Linked(link) => fetch_reviewers(&mut link.at(plans), plans, groups).await,
        }
    }

    /// Sends several commands in one go.
    pub(super) async fn ask_all<T: FromRedisValue>(
        &mut self,
        commands: &redis::Pipeline,
        doing: &str,
    ) -> Result<T, Failure> {
        let answer = match &mut self.connection {
            Connection::Direct(connection) => commands.query_async(connection).await,
            Connection::Linked(link) => all_at(link, commands).await,
        };
        answer.map_err(|error| self.failed(doing, &error))
    }

    fn failed(&self, doing: &str, error: &RedisError) -> Failure {
        let failed = format!("cannot {doing} in Redis at {}: {error}", self.at);
        let meaning = Meaning::of(error);
        let failure = match meaning {
            // It answers, and a setting, here or there, has to change.
            Meaning::Unauthenticated | Meaning::NoDatabase | Meaning::Forbidden { .. } => {
                Failure::configuration(failed)
            }
            _ => Failure::unavailable(failed),
        };
        failure.fix(meaning.advice().unwrap_or("see apply-layer check"))
    }

    /// The server's time in microseconds since 1970: what stream ids count in, too.
    pub(super) async fn micros(&mut self) -> Result<u64, Failure> {
        let (seconds, micros): (u64, u64) = self.ask(&redis::cmd("TIME"), "read the time").await?;
        Ok(seconds.saturating_mul(1_000_000).saturating_add(micros))
    }

    /// Every key that fits the pattern. By `SCAN`: `KEYS` would hold up the whole server.
    pub(super) async fn scan(&mut self, pattern: &str) -> Result<Vec<Vec<u8>>, Failure> {
        if self.is_cluster() {
            let at = self.at.to_string();
            return Err(Failure::configuration(format!(
                "each node of a cluster knows a part of {pattern} only"
            ))
            .fix(format!(
                "ask for one plan, or ask all nodes: redis-cli --cluster call {} --scan --pattern '{pattern}'",
                at.rsplit('/').next().unwrap_or_default()
            )));
        }
        let (mut keys, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern);
            scan.arg("COUNT").arg(PAGE);
            let (next, page): (u64, Vec<Vec<u8>>) = self.ask(&scan, "look for keys").await?;
            keys.extend(page);
            if next == 0 {
                // A scan may name a key twice.
                keys.sort_unstable();
                keys.dedup();
                return Ok(keys);
            }
            cursor = next;
        }
    }

    /// The newest entries of a stream, oldest of them first.
    pub(super) async fn newest(
        &mut self,
        stream: &str,
        count: usize,
    ) -> Result<Vec<Entry>, Failure> {
        self.newest_that(stream, count, |_| true).await
    }

    /// Those of the newest entries that are wanted, oldest of them first. The others are not held.
    pub(super) async fn newest_that(
        &mut self,
        stream: &str,
        count: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>, Failure> {
        let (mut found, mut seen, mut from) = (Vec::new(), 0, "+".to_owned());
        while seen < count {
            let page = Entries::Newest {
                from: &from,
                count: (count - seen).min(PAGE),
            };
            let page = self.read(stream, page).await?;
            let Some(before) = page.last().and_then(|entry| entry.id.before()) else {
                break;
            };
            (from, seen) = (before.to_string(), seen + page.len());
            found.extend(page.into_iter().filter(&wanted));
        }
        found.reverse();
        Ok(found)
    }

    /// All entries of a stream from this moment on, in order.
    pub(super) async fn since(&mut self, stream: &str, millis: u64) -> Result<Vec<Entry>, Failure> {
        let (mut entries, mut from) = (Vec::new(), EntryId { millis, number: 0 });
        loop {
            let page = self.from(stream, from).await?;
            let Some(last) = page.last() else {
                return Ok(entries);
            };
            from = last.id.next();
            entries.extend(page);
        }
    }

    /// The entries after this one; waits up to half a second for one to come.
    pub(super) async fn after(&mut self, stream: &str, id: EntryId) -> Result<Vec<Entry>, Failure> {
        for _ in 0..5 {
            let page = self.from(stream, id.next()).await?;
            if !page.is_empty() {
                return Ok(page);
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(Vec::new())
    }

    async fn from(&mut self, stream: &str, from: EntryId) -> Result<Vec<Entry>, Failure> {
        let from = from.to_string();
        let page = Entries::Range {
            from: &from,
            to: "+",
            count: PAGE,
        };
        self.read(stream, page).await
    }

    async fn read(&mut self, stream: &str, entries: Entries<'_>) -> Result<Vec<Entry>, Failure> {
        let reader = EntryReader::default();
        let read = match &mut self.connection {
            Connection::Direct(connection) => reader.read(connection, stream, entries).await,
            Connection::Linked(link) => reader.read(&mut link.at(stream), stream, entries).await,
        };
        match read {
            Ok((_, entries)) => Ok(entries.into_iter().filter_map(Entry::read).collect()),
            Err(error) => Err(self.failed(&format!("read {stream}"), &error)),
        }
    }
}

/// In one go where all is about one key, as a transaction is; else, on a cluster, each command where
/// its key lies.
async fn all_at<T: FromRedisValue>(
    link: &RedisLink,
    commands: &redis::Pipeline,
) -> Result<T, RedisError> {
    let mut keys: Vec<&[u8]> = commands.cmd_iter().filter_map(key_of).collect();
    keys.dedup();
    if !link.is_cluster() || keys.len() == 1 {
        let key = keys.first().copied().unwrap_or_default();
        let mut at = link.at(&String::from_utf8_lossy(key));
        return commands.query_async(&mut at).await;
    }
    let mut answers = Vec::new();
    for command in commands.cmd_iter() {
        let answer = command.query_async::<Value>(&mut link.at("")).await?;
        answers.push(answer);
    }
    Ok(redis::from_redis_value(Value::Array(answers))?)
}

/// What stands after a command's name.
fn key_of(command: &Cmd) -> Option<&[u8]> {
    command.args_iter().nth(1).and_then(|arg| match arg {
        redis::Arg::Simple(key) => Some(key),
        _ => None,
    })
}

/// The place of an entry in its stream; the first part is the server's time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryId {
    pub(super) millis: u64,
    number: u64,
}

impl EntryId {
    pub(super) const START: Self = Self {
        millis: 0,
        number: 0,
    };

    fn read(text: &str) -> Option<Self> {
        let (millis, number) = text.split_once('-')?;
        Some(Self {
            millis: millis.parse().ok()?,
            number: number.parse().ok()?,
        })
    }

    fn before(self) -> Option<Self> {
        match self.number.checked_sub(1) {
            Some(number) => Some(Self { number, ..self }),
            None => Some(Self {
                millis: self.millis.checked_sub(1)?,
                number: u64::MAX,
            }),
        }
    }

    fn next(self) -> Self {
        Self {
            number: self.number.saturating_add(1),
            ..self
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// One entry of a stream.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    fields: Result<HashMap<String, Vec<u8>>, u64>,
}

impl Entry {
    pub(super) fn read(entry: apply_redis::Entry) -> Option<Self> {
        let id = EntryId::read(&entry.id)?;
        let fields = entry.fields;
        Some(Self { id, fields })
    }

    /// From an id and fields that were read without a bound; one that is too long is carried as its size.
    pub(super) fn of(id: &str, pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Option<Self> {
        let size: usize = pairs.iter().map(|(n, v)| n.len() + v.len()).sum();
        let fields = match size > MAX_ENTRY_BYTES {
            true => Err(u64::try_from(size).unwrap_or(u64::MAX)),
            false => Ok(pairs
                .into_iter()
                .filter_map(|(name, value)| Some((String::from_utf8(name).ok()?, value)))
                .collect()),
        };
        Some(Self {
            id: EntryId::read(id)?,
            fields,
        })
    }

    /// Its size, where it is too long to be read.
    pub(super) fn too_long(&self) -> Option<u64> {
        self.fields.as_ref().err().copied()
    }

    fn fields(&self) -> impl Iterator<Item = (&str, String)> {
        let fields = self.fields.iter().flatten();
        fields.map(|(name, value)| (&**name, String::from_utf8_lossy(value).into_owned()))
    }

    /// The field's text; an absent one and one that is no text are empty.
    pub(super) fn text(&self, field: &str) -> String {
        let value = self
            .fields
            .as_ref()
            .ok()
            .and_then(|fields| fields.get(field));
        value
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default()
    }

    /// Who wrote this entry of the results, where it is no result of a plan: see [`other_writer`].
    pub(super) fn foreign(&self) -> Option<String> {
        other_writer(|field| self.text(field))
    }

    /// Whether it is no result, and stands there for the position brain alone.
    pub(super) fn is_filler(&self) -> bool {
        !self.text(FILLER).is_empty()
    }

    /// What a permit for the plan of this entry is bound to.
    pub(super) fn digest(&self) -> PlanDigest {
        let fields: Vec<(&str, String)> = self.fields().collect();
        digest_of_fields(fields.iter().map(|(name, value)| (*name, &**value)))
    }

    /// All fields, with the id under `id`; of one that is too long, its size under `bytes`.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let fields = self.fields();
        let mut fields: serde_json::Map<String, serde_json::Value> = fields
            .map(|(field, text)| (field.to_owned(), text.into()))
            .collect();
        if let Some(size) = self.too_long() {
            fields.insert("bytes".into(), size.into());
        }
        fields.insert("id".into(), self.id.to_string().into());
        fields.into()
    }
}
