//! The three store-side ports over one connection.

use crate::{
    config::{BoardConfig, Keys},
    durability::{self, Durability},
    link::{Connection, Link},
    open::{self, Gone},
};
use apply_core::{
    ApplyResult, Claim, Halt, Intent, Observed, OpenPlan, Plan, PlanLog, PortError, ProposalError,
    ProposalSource, RawProposal, ResultLog, Symbol,
};
use permit_gate::AttemptId;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, Script, ScriptInvocation, Value,
    aio::ConnectionManagerConfig, io::tcp::TcpSettings,
};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The fields of a proposal that mean something to us. Read by name, so that a hash cannot grow
/// our memory, and so that a rewrite of anything else is no change.
const PROPOSAL_FIELDS: [&str; 9] = [
    "harvest_action",
    "kill_score",
    "k_regime_flip",
    "k_sigma_spike",
    "k_ts_drop",
    "k_age_penalty",
    "new_sl_proposed",
    "R_net",
    "computed_at_utc",
];

/// Proposals, plans and results on one Redis. Clones share one connection, which comes back by
/// itself, also where it has gone silent; nothing is sent twice behind the caller's back.
#[derive(Clone)]
pub struct RedisBoard {
    link: Arc<Link>,
    config: Arc<BoardConfig>,
    scripts: Arc<Scripts>,
    gone: Arc<Gone>,
    await_replica: Arc<AtomicBool>,
}

struct Scripts {
    claim: Script,
    announce: Script,
    publish: Script,
    note: Script,
    adopt: Script,
}

impl RedisBoard {
    /// Connects. Fails where the server cannot be reached or refuses us; calling again is the
    /// caller's business.
    pub async fn connect(config: BoardConfig) -> Result<Self, PortError> {
        let client = client(&config.url)?;
        // The manager tries for seconds before it says no. Whether there is a server is asked once.
        let once = AsyncConnectionConfig::new()
            .set_response_timeout(Some(config.response_timeout))
            .set_connection_timeout(Some(CONNECT_TIMEOUT));
        client
            .get_multiplexed_async_connection_with_config(&once)
            .await
            .map_err(failed("reach Redis"))?;
        let manager = ConnectionManagerConfig::new()
            .set_response_timeout(Some(config.response_timeout))
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500));
        let link = Link::new(client, manager).map_err(failed("connect to Redis"))?;
        let board = Self {
            link,
            config: Arc::new(config),
            scripts: Arc::new(Scripts {
                claim: Script::new(include_str!("claim.lua")),
                announce: Script::new(include_str!("announce.lua")),
                publish: Script::new(include_str!("publish.lua")),
                note: Script::new(include_str!("note.lua")),
                adopt: Script::new(include_str!("adopt.lua")),
            }),
            gone: Arc::default(),
            await_replica: Arc::default(),
        };
        board.ping().await?;
        Ok(board)
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), PortError> {
        let mut connection = self.connection();
        redis::cmd("PING")
            .query_async::<()>(&mut connection)
            .await
            .map_err(failed("reach Redis"))
    }

    /// Says that this instance lives. To be called three times a lease; one that stops is taken for
    /// gone, and its plans are finished by others.
    pub async fn renew_lease(&self) -> Result<(), PortError> {
        let BoardConfig { keys, instance, .. } = &*self.config;
        redis::cmd("SET")
            .arg(format!("{}{}", keys.lease, instance.owner))
            .arg(&instance.process)
            .arg("PX")
            .arg(instance.lease.as_millis().max(1000) as u64)
            .query_async::<()>(&mut self.connection())
            .await
            .map_err(failed("renew the lease"))
    }

    /// From now on a noted intent, and with it the claim before it, has to be on a replica as well:
    /// without its acknowledgement no order follows.
    pub fn await_replica(&self) {
        self.await_replica.store(true, Ordering::Relaxed);
    }

    /// What a restart of the server would do.
    pub async fn durability(&self) -> Result<Durability, PortError> {
        durability::read(&mut self.connection()).await
    }

    pub(crate) fn config(&self) -> &BoardConfig {
        &self.config
    }

    pub(crate) fn connection(&self) -> Connection {
        self.link.connection()
    }

    /// Whether a replica has everything this connection wrote.
    async fn acknowledged(&self) -> Result<(), PortError> {
        let have: u32 = redis::cmd("WAIT")
            .arg(1)
            .arg(REPLICA_WAIT.as_millis() as u64)
            .query_async(&mut self.connection())
            .await
            .map_err(failed("hear from a replica"))?;
        match have {
            0 => Err(PortError(
                "no replica of Redis has acknowledged the claim".into(),
            )),
            _ => Ok(()),
        }
    }

    async fn run(
        &self,
        script: &ScriptInvocation<'_>,
        doing: &'static str,
    ) -> Result<bool, PortError> {
        let mut connection = self.connection();
        match script.invoke_async::<i64>(&mut connection).await {
            Ok(done) => Ok(done == 1),
            Err(error) => Err(failed(doing)(error)),
        }
    }
}

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a replica may take to acknowledge. It holds the connection up for so long.
const REPLICA_WAIT: Duration = Duration::from_millis(100);

impl ProposalSource for RedisBoard {
    async fn fetch(&self, symbol: &Symbol) -> Result<Observed, PortError> {
        let keys = &self.config.keys;
        let mut connection = self.connection();
        let mut look = redis::pipe();
        look.cmd("HMGET")
            .arg(format!("{}{symbol}", keys.proposal))
            .arg(&PROPOSAL_FIELDS)
            .cmd("GET")
            .arg(&keys.kill_switch)
            // One of the two being unreadable says nothing about the other.
            .ignore_errors();
        let (fields, switch): (Value, Value) = look
            .query_async(&mut connection)
            .await
            .map_err(failed("read the proposal"))?;
        Ok(Observed {
            proposal: read_proposal(symbol, fields),
            halt: read_switch(&keys.kill_switch, &switch),
        })
    }

    async fn changed(&self, _: &Symbol) {
        pending().await
    }
}

impl PlanLog for RedisBoard {
    async fn claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        ttl: Duration,
        timestamp: u64,
    ) -> Result<Claim, PortError> {
        let BoardConfig { keys, instance, .. } = &*self.config;
        let open = open::claimed(instance, plan, attempt, timestamp)?;
        let mut call = self.scripts.claim.key(Keys::of(&keys.dedupe, &plan.id));
        call.key(Keys::of(&keys.published, &plan.id))
            .key(&keys.plans)
            .key(&keys.open)
            .arg(attempt.as_str())
            .arg(ttl.as_secs().max(1))
            .arg(self.config.published_ttl.as_secs().max(1))
            .arg(self.config.stream_length)
            .arg(plan.id.as_str())
            .arg(open);
        add_fields(&mut call, plan.to_claimed_fields(attempt, timestamp));
        match self.run(&call, "claim the plan").await? {
            true => Ok(Claim::Won),
            false => Ok(Claim::Taken),
        }
    }

    async fn announce(&self, plan: &Plan, timestamp: u64) -> Result<bool, PortError> {
        let BoardConfig { keys, .. } = &*self.config;
        let mut call = self
            .scripts
            .announce
            .key(Keys::of(&keys.published, &plan.id));
        call.key(&keys.plans)
            .key(Keys::of(&keys.dedupe, &plan.id))
            .arg(format!("{}:{}", plan.decision, plan.reasons.join(",")))
            .arg(self.config.published_ttl.as_secs().max(1))
            .arg(self.config.stream_length);
        add_fields(&mut call, plan.to_fields(timestamp));
        self.run(&call, "publish the plan").await
    }

    async fn note_intent(&self, intent: &Intent) -> Result<bool, PortError> {
        let entry = open::intending(&self.config.instance, intent)?;
        let mut call = self.scripts.note.key(&self.config.keys.open);
        call.arg(intent.plan.as_str())
            .arg(open::held_by(&intent.attempt))
            .arg(entry);
        let ours = self.run(&call, "note the intent").await?;
        if ours && self.await_replica.load(Ordering::Relaxed) {
            self.acknowledged().await?;
        }
        Ok(ours)
    }

    async fn fetch_abandoned(&self) -> Result<Vec<OpenPlan>, PortError> {
        let BoardConfig { keys, instance, .. } = &*self.config;
        let mut connection = self.connection();
        open::fetch_abandoned(
            &mut connection,
            &keys.open,
            &keys.lease,
            instance,
            &self.gone,
        )
        .await
        .map_err(failed("read the open plans"))
    }

    async fn adopt(&self, open: &OpenPlan, attempt: &AttemptId) -> Result<bool, PortError> {
        let entry = open::adopted(&self.config.instance, open, attempt)?;
        let mut call = self.scripts.adopt.key(&self.config.keys.open);
        call.arg(open.plan.as_str())
            .arg(&open.token)
            .arg(open::held_by(attempt))
            .arg(entry);
        self.run(&call, "take a plan over").await
    }
}

impl ResultLog for RedisBoard {
    async fn publish(&self, result: &ApplyResult) -> Result<(), PortError> {
        let BoardConfig { keys, .. } = &*self.config;
        let (mark, ttl) = match result.is_final {
            true => ("final".to_owned(), self.config.result_ttl),
            false => {
                let error = result.error.as_deref().unwrap_or_default();
                (
                    format!("{}:{error}", result.decision),
                    self.config.published_ttl,
                )
            }
        };
        let mut call = self
            .scripts
            .publish
            .key(Keys::of(&keys.result_published, &result.plan));
        call.key(&keys.results)
            .key(Keys::of(&keys.receipt, &result.plan))
            .key(&keys.open)
            .arg(mark)
            .arg(ttl.as_secs().max(1))
            .arg(self.config.stream_length)
            .arg(result.plan.as_str());
        add_fields(&mut call, result.to_fields());
        self.run(&call, "publish the result").await.map(drop)
    }
}

fn add_fields(call: &mut ScriptInvocation<'_>, fields: Vec<(&'static str, String)>) {
    for (field, value) in fields {
        call.arg(field).arg(value);
    }
}

fn read_proposal(symbol: &Symbol, fields: Value) -> Result<Option<RawProposal>, ProposalError> {
    let unreadable = |why: String| ProposalError::Unreadable {
        symbol: symbol.clone(),
        why,
    };
    let values: Vec<Option<Vec<u8>>> = match fields {
        Value::ServerError(error) => return Err(unreadable(RedisError::from(error).to_string())),
        other => redis::from_redis_value(other).map_err(|error| unreadable(error.to_string()))?,
    };
    let mut raw = RawProposal::new();
    for (field, value) in PROPOSAL_FIELDS.into_iter().zip(values) {
        let Some(value) = value else { continue };
        let text = String::from_utf8(value)
            .map_err(|_| unreadable(format!("{field} is not UTF-8 text")))?;
        raw.insert(field.to_owned(), text);
    }
    Ok((!raw.is_empty()).then_some(raw))
}

fn read_switch(key: &str, value: &Value) -> Halt {
    match value {
        Value::Nil => Halt::Off,
        Value::BulkString(word) => Halt::from_switch(key, word),
        _ => Halt::On {
            by: format!("{key} (unreadable)"),
        },
    }
}

/// The URL may carry a password: an error about it never repeats it.
fn client(url: &str) -> Result<Client, PortError> {
    let bad = || {
        PortError(
            "the Redis URL cannot be read: redis://[user:password@]host:port[/db] is needed".into(),
        )
    };
    let info = url.into_connection_info().map_err(|_| bad())?;
    let tcp = TcpSettings::default().set_nodelay(true);
    Client::open(info.set_tcp_settings(tcp)).map_err(|_| bad())
}

pub(crate) fn failed(doing: &'static str) -> impl Fn(RedisError) -> PortError {
    move |error| PortError(format!("cannot {doing}: {error}"))
}
