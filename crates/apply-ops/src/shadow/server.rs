//! Reading what the old service and its neighbours write, and nothing else: no command here changes a key, and none
//! needs the right to run scripts.

use super::compare::Switches;
use crate::{
    link::{Entry, EntryId, Link},
    permits::around,
};
use apply_core::{
    Halt, MAX_FIELD_BYTES, MAX_SWITCH_BYTES, PROPOSAL_FIELDS, ProposalError, RawProposal, Symbol,
};
use apply_redis::Keys;
use apply_service::{Config, Failure, config::RedisUrl};
use apply_wire::key;
use permit_gate::{PlanId, rule::MAX_PERMIT_BYTES};
use permit_redis::PermitKeys;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisError, Value, aio::MultiplexedConnection, cmd,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::sync::Notify;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the neighbours' permits last.
const PERMIT_LIFE: Duration = Duration::from_secs(60);

/// A permit that seems to be read later than this after it was written was written for another time.
const MOST_LATE: Duration = Duration::from_secs(10);

/// How many entries of a stream are read at a time.
const PAGE: usize = 500;

/// What was written since the last look.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The keys.
    pub(super) keys: BTreeSet<String>,
    /// The server does not say which: everything may have been.
    pub(super) all: bool,
    /// The connection over which writes are announced is gone.
    pub(super) gone: bool,
}

impl Written {
    /// Whether a key that begins so may have been written.
    pub(super) fn has(&self, prefix: &str) -> bool {
        self.all || self.keys.iter().any(|key| key.starts_with(prefix))
    }

    /// What was written later, too.
    pub(super) fn add(&mut self, later: Self) {
        self.keys.extend(later.keys);
        self.all |= later.all;
        self.gone |= later.gone;
    }

    /// Everything is to be looked at.
    pub(super) fn everything() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }
}

/// The server, as far as the shadow looks at it.
pub(super) struct Server {
    link: Link,
    keys: Keys,
    permits: PermitKeys,
    written: Arc<Mutex<Written>>,
    bell: Arc<Notify>,
    pushes: MultiplexedConnection,
}

impl Server {
    /// Connects, and has every write under the keys that matter announced.
    pub(super) async fn open(config: &Config) -> Result<Self, Failure> {
        let scheme = config
            .redis
            .reveal()
            .split("://")
            .next()
            .unwrap_or_default();
        if scheme.contains('+') {
            return Err(Failure::configuration(
                "the shadow watches the one server that the old service uses",
            )
            .fix("name it in REDIS_URL as redis://host:port"));
        }
        let link = Link::open(&config.redis).await?;
        let keys = link.keys();
        let written: Arc<Mutex<Written>> = Arc::default();
        let bell = Arc::new(Notify::new());
        let (heard, ring) = (Arc::clone(&written), Arc::clone(&bell));
        let sender = move |push: PushInfo| -> Result<(), ()> {
            hear(
                &mut heard.lock().unwrap_or_else(PoisonError::into_inner),
                push,
            );
            ring.notify_one();
            Ok(())
        };
        let pushes = listen(&config.redis, &prefixes(&keys, &config.permits), sender).await?;
        Ok(Self {
            link,
            keys,
            permits: config.permits.clone(),
            written,
            bell,
            pushes,
        })
    }

    /// Resolves once something was written since the last call.
    pub(super) async fn changed(&self) {
        self.bell.notified().await;
    }

    /// What was written since the last call.
    pub(super) fn written(&self) -> Written {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *written)
    }

    /// The same, once all was heard that was written before now: what a stream says must not run ahead of the
    /// permits and proposals that led to it.
    pub(super) async fn heard(&mut self) -> Result<Written, Failure> {
        let pong = cmd("PING").exec_async(&mut self.pushes).await;
        pong.map_err(|error| failed("subscribe to writes", &error))?;
        Ok(self.written())
    }

    pub(super) fn plans(&self) -> &str {
        &self.keys.plans
    }

    pub(super) fn results(&self) -> &str {
        &self.keys.results
    }

    /// Which permit of which plan a key is.
    pub(super) fn permit_of(&self, key: &str) -> Option<(String, usize)> {
        let names = self.permits.permits().iter().map(|permit| permit.name());
        names.enumerate().find_map(|(index, name)| {
            let (before, after) = around(&self.permits.template(name)?.to_string());
            let id = key.strip_prefix(&*before)?.strip_suffix(&*after)?;
            // Templates nest, and an id holds no colon.
            PlanId::new(id).ok().map(|id| (id.to_string(), index))
        })
    }

    /// The permits under these keys, each with how long ago it was written; `None` for one that is gone. One that is no
    /// text is read as nothing that could be a yes.
    pub(super) async fn permits(
        &mut self,
        keys: &[String],
    ) -> Result<Vec<Option<(Duration, Vec<u8>)>>, Failure> {
        let mut all = redis::pipe();
        all.ignore_errors();
        for key in keys {
            all.cmd("GETRANGE").arg(key).arg(0).arg(MAX_PERMIT_BYTES);
            all.cmd("PTTL").arg(key);
        }
        let answers: Vec<Value> = self.link.ask_all(&all, "read permits").await?;
        let read = answers.chunks_exact(2).map(|both| {
            let content = match &both[0] {
                Value::BulkString(content) if content.is_empty() => return None,
                Value::BulkString(content) => content.clone(),
                _ => Vec::new(),
            };
            Some((written_ago(&both[1]), content))
        });
        Ok(read.collect())
    }

    /// The proposal of a symbol.
    pub(super) async fn proposal(
        &mut self,
        symbol: &Symbol,
    ) -> Result<Result<Option<RawProposal>, ProposalError>, Failure> {
        let key = key::PROPOSAL.of(symbol);
        let unreadable = |why: String| ProposalError::Unreadable {
            symbol: symbol.clone(),
            why,
        };
        let mut sizes = redis::pipe();
        sizes.ignore_errors();
        for field in PROPOSAL_FIELDS {
            sizes.cmd("HSTRLEN").arg(&key).arg(field);
        }
        let sizes: Vec<Value> = self.link.ask_all(&sizes, "read a proposal").await?;
        for (field, size) in PROPOSAL_FIELDS.iter().zip(sizes) {
            match size {
                Value::Int(size) => {
                    let size = u64::try_from(size).unwrap_or_default();
                    if size > MAX_FIELD_BYTES as u64 {
                        return Ok(Err(ProposalError::TooLong {
                            symbol: symbol.clone(),
                            field,
                            size,
                        }));
                    }
                }
                other => return Ok(Err(unreadable(format!("{other:?}")))),
            }
        }
        let mut read = cmd("HMGET");
        read.arg(&key).arg(&PROPOSAL_FIELDS);
        let values: Vec<Option<Vec<u8>>> = match self.link.try_ask(&read).await {
            Ok(values) => values,
            Err(error) if error.code() == Some("WRONGTYPE") => {
                return Ok(Err(unreadable(error.to_string())));
            }
            Err(error) => return Err(failed("read a proposal", &error)),
        };
        let mut raw = RawProposal::new();
        for (field, value) in PROPOSAL_FIELDS.iter().zip(values) {
            let Some(value) = value else { continue };
            match String::from_utf8(value) {
                Ok(text) => raw.insert((*field).to_owned(), text),
                Err(_) => return Ok(Err(unreadable(format!("{field} is no text")))),
            };
        }
        Ok(Ok((!raw.is_empty()).then_some(raw)))
    }

    /// The switches that halt ours, of which the old service reads the first, and whether there is a universe.
    pub(super) async fn switches(&mut self, kill_switch: bool) -> Result<Switches, Failure> {
        let disarms = self.keys.halting(SystemTime::now());
        let mut all = redis::pipe();
        all.ignore_errors();
        all.cmd("GETRANGE").arg(&self.keys.kill_switch);
        all.arg(0).arg(MAX_SWITCH_BYTES);
        all.cmd("EXISTS").arg(key::UNIVERSE);
        for disarm in &disarms {
            all.cmd("EXISTS").arg(disarm);
        }
        let mut answers: Vec<Value> = self.link.ask_all(&all, "read the switches").await?;
        let there = |answer: &Value| matches!(answer, Value::Int(count) if *count > 0);
        let stands = answers.iter().skip(2).zip(&disarms);
        let disarm = stands.into_iter().find(|(answer, _)| there(answer));
        let disarm = disarm.map_or(Halt::Off, |(_, name)| Halt::On { by: name.clone() });
        let universe = answers.get(1).is_some_and(there);
        let (switch, readable) = match answers.swap_remove(0) {
            _ if kill_switch => (
                Halt::On {
                    by: "APPLY_KILL_SWITCH".into(),
                },
                true,
            ),
            Value::BulkString(word) => (
                Halt::from_switch(&self.keys.kill_switch, &word),
                apply_wire::kill_switch::read(&word) != apply_wire::kill_switch::Switch::Unreadable,
            ),
            _ => (Halt::unreadable(&self.keys.kill_switch), false),
        };
        Ok(Switches {
            switch,
            readable,
            disarm,
            universe,
        })
    }

    /// The newest entries of a stream, oldest of them first.
    pub(super) async fn newest(
        &mut self,
        stream: &str,
        most: usize,
    ) -> Result<Vec<Entry>, Failure> {
        let mut found: Vec<Entry> = Vec::new();
        let mut before = "+".to_owned();
        while found.len() < most {
            let mut range = cmd("XREVRANGE");
            range.arg(stream).arg(&before).arg("-");
            range.arg("COUNT").arg(PAGE.min(most - found.len()));
            let page = self.read(&range, stream).await?;
            let Some(last) = page.last() else { break };
            before = format!("({}", last.id);
            found.extend(page);
        }
        found.reverse();
        Ok(found)
    }

    /// The entries of a stream after this one, at most a page of them.
    pub(super) async fn after(&mut self, stream: &str, id: EntryId) -> Result<Vec<Entry>, Failure> {
        let mut range = cmd("XRANGE");
        range.arg(stream).arg(format!("({id}")).arg("+");
        range.arg("COUNT").arg(PAGE);
        self.read(&range, stream).await
    }

    async fn read(&mut self, range: &redis::Cmd, stream: &str) -> Result<Vec<Entry>, Failure> {
        type Raw = Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>;
        let entries: Raw = self.link.ask(range, &format!("read {stream}")).await?;
        let entries = entries.into_iter();
        Ok(entries
            .filter_map(|(id, pairs)| Entry::of(&id, pairs))
            .collect())
    }
}

/// How long ago a permit was written that has so long to live yet: neighbours write theirs for
/// [`PERMIT_LIFE`]. One of another life counts from when it was read.
fn written_ago(left: &Value) -> Duration {
    let left = match left {
        Value::Int(left) => u64::try_from(*left).ok(),
        _ => None,
    };
    left.and_then(|left| PERMIT_LIFE.checked_sub(Duration::from_millis(left)))
        .filter(|ago| *ago < MOST_LATE)
        .unwrap_or_default()
}

fn failed(doing: &str, error: &RedisError) -> Failure {
    Failure::unavailable(format!("cannot {doing} in Redis: {error}")).fix("see apply-layer check")
}

/// What is announced: each prefix once, and none that another one covers.
fn prefixes(keys: &Keys, permits: &PermitKeys) -> Vec<String> {
    let mut prefixes = vec![
        key::PROPOSAL.as_str().to_owned(),
        keys.plans.clone(),
        keys.results.clone(),
        keys.kill_switch.clone(),
        key::GOVERNOR_DISARM.as_str().to_owned(),
    ];
    for permit in permits.permits().iter() {
        if let Some(template) = permits.template(permit.name()) {
            prefixes.push(around(&template.to_string()).0);
        }
    }
    prefixes.sort_unstable();
    prefixes.dedup_by(|longer, shorter| longer.starts_with(&**shorter));
    prefixes
}

/// A connection over which the server announces what is written.
async fn listen(
    at: &RedisUrl,
    prefixes: &[String],
    sender: impl redis::aio::AsyncPushSender,
) -> Result<MultiplexedConnection, Failure> {
    let away = |error: RedisError| {
        Failure::unavailable(format!(
            "cannot subscribe to writes of Redis at {at}: {error}"
        ))
        .fix("see apply-layer check")
    };
    let info = at.reveal().into_connection_info().map_err(away)?;
    let settings = info.redis_settings().clone();
    let info = info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_push_sender(sender);
    let client = Client::open(info).map_err(away)?;
    let connected = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connected.await.map_err(away)?;
    let mut tracking = cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in prefixes {
        tracking.arg("PREFIX").arg(prefix);
    }
    tracking.exec_async(&mut connection).await.map_err(|error| {
        Failure::configuration(format!(
            "Redis at {at} does not push writes (CLIENT TRACKING: {error}), so permits that are taken cannot be seen"
        ))
        .fix("allow it to this user")
    })?;
    Ok(connection)
}

fn hear(written: &mut Written, push: PushInfo) {
    match push.kind {
        PushKind::Disconnection => written.gone = true,
        PushKind::Invalidate => match push.data.into_iter().next() {
            Some(Value::Array(keys)) => {
                let keys = keys.into_iter();
                let names = keys.filter_map(|key| redis::from_redis_value::<String>(key).ok());
                written.keys.extend(names);
            }
            // A flush names no key.
            _ => written.all = true,
        },
        _ => {}
    }
}
