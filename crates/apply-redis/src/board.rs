//! The three store-side ports over the connections of the permit store.

use crate::{
    config::{BoardConfig, Keys},
    durability::{self, Durability},
    looks::Looks,
    open::{self, Gone},
};
use apply_core::{
    ApplyResult, Claim, Halt, Intent, MAX_FIELD_BYTES, MAX_SWITCH_BYTES, Observed, OpenPlan,
    PROPOSAL_FIELDS, Plan, PlanLog, PortError, ProposalError, ProposalSource, RawProposal,
    ResultLog, Standing, Symbol,
};
use futures_util::future::{try_join, try_join_all};
use permit_gate::{AttemptId, MAX_ID, PlanId};
use permit_redis::{LinkAt, RedisConfig, RedisLink};
use redis::{Pipeline, RedisError, Script, ScriptInvocation, Value};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Proposals, plans and results on Redis. Clones share the connections, which come back by
/// themselves; nothing is sent twice behind the caller's back.
#[derive(Clone)]
pub struct RedisBoard {
    link: RedisLink,
    config: Arc<BoardConfig>,
    /// The names, as they are where the board lies.
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    looks: Arc<Looks>,
    gone: Arc<Gone>,
    await_replica: Arc<AtomicBool>,
}

struct Scripts {
    holds: Script,
    look: Script,
    scan: Script,
    claim: Script,
    announce: Script,
    publish: Script,
    note: Script,
    adopt: Script,
    stand: Script,
}

impl RedisBoard {
    /// Connects by itself. Fails where the server cannot be reached or refuses us; calling again is
    /// the caller's business.
    pub async fn connect(config: BoardConfig) -> Result<Self, PortError> {
        let link = RedisConfig::new(&config.url)
            .map_err(|error| PortError(error.to_string()))?
            .response_timeout(config.response_timeout)
            .connect_timeout(CONNECT_TIMEOUT);
        let link = RedisLink::connect(link)
            .await
            .map_err(|error| PortError(error.to_string()))?;
        let board = Self::over(link, config);
        board.ping().await?;
        Ok(board)
    }

    /// A board on connections that somebody else has as well, such as the permit store of the same
    /// process. Its URL and time-outs are the link's.
    pub fn over(link: RedisLink, config: BoardConfig) -> Self {
        let keys = match link.is_cluster() {
            true => config.keys.clone().on_a_cluster(),
            false => config.keys.clone(),
        };
        Self {
            link,
            keys: Arc::new(keys),
            config: Arc::new(config),
            scripts: Arc::new(Scripts {
                holds: Script::new(include_str!("holds.lua")),
                look: Script::new(include_str!("look.lua")),
                scan: Script::new(include_str!("scan.lua")),
                claim: Script::new(include_str!("claim.lua")),
                announce: Script::new(include_str!("announce.lua")),
                publish: Script::new(include_str!("publish.lua")),
                note: Script::new(include_str!("note.lua")),
                adopt: Script::new(include_str!("adopt.lua")),
                stand: Script::new(include_str!("stand.lua")),
            }),
            looks: Arc::default(),
            gone: Arc::default(),
            await_replica: Arc::default(),
        }
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), PortError> {
        redis::cmd("PING")
            .query_async::<()>(&mut self.connection())
            .await
            .map_err(failed("reach Redis"))
    }

    /// Says that this instance lives, and which journal is its. To be called three times a lease; one
    /// that stops is taken for gone, and its plans are finished by others.
    pub async fn renew_lease(&self) -> Result<(), PortError> {
        let instance = &self.config.instance;
        let lease = format!("{}{}", self.keys.lease, instance.owner);
        redis::cmd("SET")
            .arg(&lease)
            .arg(&instance.process)
            .arg("PX")
            .arg(instance.lease.as_millis().max(1000) as u64)
            .query_async::<()>(&mut self.link.at(&lease))
            .await
            .map_err(failed("renew the lease"))?;
        let Some(mark) = self.journal_key() else {
            return Ok(());
        };
        redis::cmd("SET")
            .arg(&mark)
            .arg(&instance.owner)
            .arg("EX")
            .arg(JOURNAL_MARK.as_secs())
            .query_async::<()>(&mut self.link.at(&mark))
            .await
            .map_err(failed("note which journal is ours"))
    }

    /// Which journal was last at this instance's place, as far as the store remembers.
    pub async fn former_journal(&self) -> Result<Option<String>, PortError> {
        let Some(mark) = self.journal_key() else {
            return Ok(None);
        };
        // No journal has a longer name; a longer text is another's all the more.
        let name: String = redis::cmd("GETRANGE")
            .arg(&mark)
            .arg(0)
            .arg(MAX_ID)
            .query_async(&mut self.link.at(&mark))
            .await
            .map_err(failed("read which journal was here"))?;
        Ok((!name.is_empty()).then_some(name))
    }

    fn journal_key(&self) -> Option<String> {
        let place = self.config.journal_place.as_ref()?;
        Some(format!("{}{place}", self.keys.journal))
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

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn link(&self) -> &RedisLink {
        &self.link
    }

    /// To where the open plans lie.
    fn connection(&self) -> LinkAt {
        self.link.at(&self.keys.open)
    }

    /// Looks at several proposals and the kill switch in one round trip, an answer each.
    pub(crate) async fn look_at(&self, symbols: &[Symbol]) -> Vec<Result<Observed, PortError>> {
        let looked = match self.link.is_cluster() {
            true => self.look_around(symbols).await,
            false => self.look_here(symbols).await,
        };
        match looked {
            Ok((proposals, switch)) => {
                let halt = read_switch(&self.keys.kill_switch, &switch);
                let each = symbols.iter().zip(proposals);
                each.map(|(symbol, look)| {
                    Ok(Observed {
                        proposal: read_proposal(symbol, look),
                        halt: halt.clone(),
                    })
                })
                .collect()
            }
            Err(error) => vec![Err(failed("read the proposal")(error)); symbols.len()],
        }
    }

    async fn look_here(&self, symbols: &[Symbol]) -> Result<(Vec<Value>, Value), RedisError> {
        let call = self.look_of(symbols);
        let mut look = redis::pipe();
        look.invoke_script(&call)
            .add_command(self.switch_of())
            // A switch that cannot be read says nothing about the proposals.
            .ignore_errors();
        let mut at = self.connection();
        let (mut looks, mut switch): (Value, Value) = look.query_async(&mut at).await?;
        if matches!(&looks, Value::ServerError(error) if error.code() == "NOSCRIPT") {
            call.load_async(&mut at).await?;
            (looks, switch) = look.query_async(&mut at).await?;
        }
        Ok((redis::from_redis_value(looks.extract_error()?)?, switch))
    }

    /// On a cluster each of them lies somewhere else. The switch is read last: what is off then was
    /// off when the proposals were read, or was turned on before and off again.
    async fn look_around(&self, symbols: &[Symbol]) -> Result<(Vec<Value>, Value), RedisError> {
        let looks = symbols.iter().map(|symbol| async {
            let mut at = self.link.at(&self.proposal_of(symbol));
            let call = self.look_of(std::slice::from_ref(symbol));
            let (look,): (Value,) = call.invoke_async(&mut at).await?;
            Ok::<_, RedisError>(look)
        });
        let proposals = try_join_all(looks).await?;
        Ok((proposals, self.read_switch().await?))
    }

    async fn read_switch(&self) -> Result<Value, RedisError> {
        let mut at = self.link.at(&self.keys.kill_switch);
        match self.switch_of().query_async(&mut at).await {
            // A key of another type is an answer about that key; any other error is about the asking.
            Err(error) if error.code() == Some("WRONGTYPE") => Ok(Value::Nil),
            answer => answer,
        }
    }

    fn proposal_of(&self, symbol: &Symbol) -> String {
        format!("{}{symbol}", self.keys.proposal)
    }

    fn look_of(&self, symbols: &[Symbol]) -> ScriptInvocation<'_> {
        let mut call = self.scripts.look.arg(MAX_FIELD_BYTES);
        call.arg(&PROPOSAL_FIELDS);
        for symbol in symbols {
            call.key(self.proposal_of(symbol));
        }
        call
    }

    /// As much of the switch as any word of it may have, and a byte more. No switch is as empty as an
    /// empty one.
    fn switch_of(&self) -> redis::Cmd {
        let mut read = redis::cmd("GETRANGE");
        read.arg(&self.keys.kill_switch)
            .arg(0)
            .arg(MAX_SWITCH_BYTES);
        read
    }

    /// Whether a replica has this entry and everything that was written to the claims before it.
    /// Replicas take writes in their order, so one that has a later write has them all. `WAIT` holds
    /// its connection up and has one of its own, which may lead to another server than the one that
    /// took the entry, where one was promoted in between: that one has to have it, too.
    async fn acknowledged(&self, plan: &PlanId, entry: &str) -> Result<(), PortError> {
        let holds = &self.scripts.holds;
        let mut compare = holds.key(&self.keys.open);
        compare.arg(plan.as_str()).arg(entry);
        let mut ask = Pipeline::new();
        // Loaded each time: it may be another server.
        ask.load_script(holds)
            .ignore()
            .invoke_script(&compare)
            .cmd("SET")
            .arg(format!("{}:acknowledged", self.keys.open))
            .arg(&self.config.instance.process)
            .arg("EX")
            .arg(60)
            .cmd("WAIT")
            .arg(1)
            .arg(REPLICA_WAIT.as_millis() as u64);
        let answers = self.link.apart(&self.keys.open, &ask).await;
        let answers = answers.map_err(failed("hear from a replica"))?;
        let noted = matches!(answers.first(), Some(Value::Int(1)));
        let copied = matches!(answers.last(), Some(Value::Int(replicas)) if *replicas > 0);
        match (noted, copied) {
            (true, true) => Ok(()),
            (false, _) => Err(PortError(
                "the server that is Redis now does not have the intent that was noted".into(),
            )),
            (true, false) => Err(PortError(
                "no replica of Redis has acknowledged the claim".into(),
            )),
        }
    }

    /// Runs a script where `key` lies.
    async fn run(
        &self,
        script: &ScriptInvocation<'_>,
        key: &str,
        doing: &'static str,
    ) -> Result<bool, PortError> {
        match script.invoke_async::<i64>(&mut self.link.at(key)).await {
            Ok(done) => Ok(done == 1),
            Err(error) => Err(failed(doing)(error)),
        }
    }
}

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the store remembers a journal that nobody works with: longer than any journal keeps an entry.
const JOURNAL_MARK: Duration = Duration::from_secs(30 * 86_400);

/// How long a replica may take to acknowledge.
const REPLICA_WAIT: Duration = Duration::from_millis(100);

impl ProposalSource for RedisBoard {
    async fn fetch(&self, symbol: &Symbol) -> Result<Observed, PortError> {
        self.looks.look(self, symbol).await
    }

    async fn fetch_halt(&self, _: &Symbol) -> Result<Halt, PortError> {
        let switch = self.read_switch().await;
        let switch = switch.map_err(failed("read the kill switch"))?;
        Ok(read_switch(&self.keys.kill_switch, &switch))
    }

    async fn changed(&self, _: &Symbol) {
        std::future::pending().await
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
        let (keys, instance) = (&self.keys, &self.config.instance);
        if self.link.is_cluster() && !self.may_claim(plan, attempt).await? {
            return Ok(Claim::Taken);
        }
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
        if !self.run(&call, &keys.plans, "claim the plan").await? {
            return Ok(Claim::Taken);
        }
        if self.link.is_cluster() {
            self.show_claim(plan, attempt, ttl).await?;
        }
        Ok(Claim::Won)
    }

    async fn announce(&self, plan: &Plan, timestamp: u64) -> Result<bool, PortError> {
        let keys = &self.keys;
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
        self.run(&call, &keys.plans, "publish the plan").await
    }

    async fn note_intent(&self, intent: &Intent) -> Result<bool, PortError> {
        let entry = open::intending(&self.config.instance, intent)?;
        let mut call = self.scripts.note.key(&self.keys.open);
        call.arg(intent.plan.as_str())
            .arg(open::held_by(&intent.attempt))
            .arg(&entry);
        let ours = self.run(&call, &self.keys.open, "note the intent").await?;
        if ours && self.await_replica.load(Ordering::Relaxed) {
            Box::pin(self.acknowledged(&intent.plan, &entry)).await?;
        }
        Ok(ours)
    }

    async fn fetch_abandoned(&self) -> Result<Vec<OpenPlan>, PortError> {
        open::fetch_abandoned(
            &self.link,
            &self.scripts.scan,
            &self.keys,
            &self.config.instance,
            &self.gone,
        )
        .await
        .map_err(failed("read the open plans"))
    }

    async fn adopt(&self, open: &OpenPlan, attempt: &AttemptId) -> Result<bool, PortError> {
        let entry = open::adopted(&self.config.instance, open, attempt)?;
        let mut call = self.scripts.adopt.key(&self.keys.open);
        call.arg(open.plan.as_str())
            .arg(&open.token)
            .arg(open::held_by(attempt))
            .arg(entry);
        self.run(&call, &self.keys.open, "take a plan over").await
    }

    async fn ask_again(&self, plan: &PlanId, attempt: &AttemptId) -> Result<Standing, PortError> {
        let (keys, asked_at) = (&self.keys, Instant::now());
        let together = !self.link.is_cluster();
        let mut call = self.scripts.stand.key(&keys.open);
        if together {
            call.key(&keys.kill_switch);
        }
        call.arg(plan.as_str())
            .arg(open::held_by(attempt))
            .arg(open::NOTED)
            .arg(MAX_SWITCH_BYTES);
        let mut at = self.connection();
        let stands = async {
            let stands = call.invoke_async::<Vec<Value>>(&mut at).await;
            stands.map_err(failed("look whether the plan is still held"))
        };
        let (stands, switch) = match together {
            true => {
                let mut stands = stands.await?;
                let switch = (stands.len() > 1).then(|| stands.remove(1));
                (stands, switch.unwrap_or(Value::Nil))
            }
            false => {
                let switch = async {
                    let switch = self.read_switch().await;
                    switch.map_err(failed("read the kill switch"))
                };
                try_join(stands, switch).await?
            }
        };
        Ok(match stands.first() {
            Some(Value::Int(1)) => match read_switch(&keys.kill_switch, &switch) {
                Halt::Off => Standing::Holds { asked_at },
                Halt::On { by } => Standing::Halted { by },
            },
            _ => Standing::Lost,
        })
    }
}

impl ResultLog for RedisBoard {
    async fn publish(&self, result: &ApplyResult) -> Result<(), PortError> {
        let keys = &self.keys;
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
        call.key(&keys.results);
        let receipt = keys.receipt_of(&result.plan);
        // A script reaches no key of another slot: what follows the result has to follow it.
        let one_step = !self.link.is_cluster();
        if one_step {
            call.key(&receipt).key(&keys.open);
        }
        call.arg(&mark)
            .arg(ttl.as_secs().max(1))
            .arg(self.config.stream_length)
            .arg(result.plan.as_str());
        add_fields(&mut call, result.to_fields());
        self.run(&call, &keys.results, "publish the result").await?;
        if result.is_final && !one_step {
            self.close(result, &receipt).await?;
        }
        Ok(())
    }
}

/// What takes further steps on a cluster. Each may be repeated, and is where the one before it was
/// not answered: the caller asks again.
impl RedisBoard {
    /// Whether the claim that the contract names is free, or this attempt's already.
    async fn may_claim(&self, plan: &Plan, attempt: &AttemptId) -> Result<bool, PortError> {
        let claim = self.contracts_claim(plan);
        // One byte more than an attempt may have: a longer holder is somebody else.
        let holder: Vec<u8> = redis::cmd("GETRANGE")
            .arg(&claim)
            .arg(0)
            .arg(MAX_ID)
            .query_async(&mut self.link.at(&claim))
            .await
            .map_err(failed("read the claim"))?;
        Ok(holder.is_empty() || holder == attempt.as_str().as_bytes())
    }

    /// Shows the claim under the name that the contract gives it.
    async fn show_claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        ttl: Duration,
    ) -> Result<(), PortError> {
        let claim = self.contracts_claim(plan);
        redis::cmd("SET")
            .arg(&claim)
            .arg(attempt.as_str())
            .arg("EX")
            .arg(ttl.as_secs().max(1))
            .query_async(&mut self.link.at(&claim))
            .await
            .map_err(failed("show the claim"))
    }

    fn contracts_claim(&self, plan: &Plan) -> String {
        Keys::of(&self.config.keys.dedupe, &plan.id)
    }

    /// Drops the receipt of a plan that has its result, and closes it. In this order, so that a plan
    /// that is not open any more has nothing left over.
    async fn close(&self, result: &ApplyResult, receipt: &str) -> Result<(), PortError> {
        redis::cmd("DEL")
            .arg(receipt)
            .query_async::<()>(&mut self.link.at(receipt))
            .await
            .map_err(failed("drop the receipt"))?;
        redis::cmd("HDEL")
            .arg(&self.keys.open)
            .arg(result.plan.as_str())
            .query_async::<()>(&mut self.connection())
            .await
            .map_err(failed("close the plan"))
    }
}

fn add_fields(call: &mut ScriptInvocation<'_>, fields: Vec<(&'static str, String)>) {
    for (field, value) in fields {
        call.arg(field).arg(value);
    }
}

/// What `look.lua` says of one proposal.
fn read_proposal(symbol: &Symbol, look: Value) -> Result<Option<RawProposal>, ProposalError> {
    let unreadable = |why: String| ProposalError::Unreadable {
        symbol: symbol.clone(),
        why,
    };
    let another = || unreadable("the server's answer has another shape".into());
    let Value::Array(look) = look else {
        return Err(another());
    };
    let values: Vec<Option<Vec<u8>>> = match <[Value; 2]>::try_from(look) {
        Ok([Value::Int(0), values]) => {
            redis::from_redis_value(values).map_err(|error| unreadable(error.to_string()))?
        }
        Ok([Value::Int(2), Value::BulkString(why)]) => {
            return Err(unreadable(String::from_utf8_lossy(&why).into_owned()));
        }
        Ok(_) => return Err(another()),
        Err(look) => return Err(too_long(symbol, &look).unwrap_or_else(another)),
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

fn too_long(symbol: &Symbol, look: &[Value]) -> Option<ProposalError> {
    let [Value::Int(1), Value::BulkString(named), Value::Int(size)] = look else {
        return None;
    };
    let field = PROPOSAL_FIELDS
        .into_iter()
        .find(|field| field.as_bytes() == named)?;
    Some(ProposalError::TooLong {
        symbol: symbol.clone(),
        field,
        size: u64::try_from(*size).unwrap_or(u64::MAX),
    })
}

fn read_switch(key: &str, content: &Value) -> Halt {
    match content {
        Value::BulkString(word) => Halt::from_switch(key, word),
        _ => Halt::On {
            by: format!("{key} (unreadable)"),
        },
    }
}

pub(crate) fn failed(doing: &'static str) -> impl Fn(RedisError) -> PortError {
    move |error| PortError(format!("cannot {doing}: {error}"))
}
