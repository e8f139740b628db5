//! The three store-side ports over the connections of the permit store.

use crate::{
    config::{Keys, PlanStoreConfig},
    durability::{self, Durability},
    generation::{Answer, Remembered},
    open::{self, MissingLeases},
    proposal_batcher::ProposalBatcher,
    switch::SwitchMemory,
};
use apply_core::{
    ApplyResult, Claim, Generation, GenerationId, Halt, Hold, Intent, MAX_FIELD_BYTES,
    MAX_SWITCH_BYTES, Mastership, Observed, OpenPlan, PROPOSAL_FIELDS, Plan, PlanLog, PortError,
    ProposalError, ProposalSource, PublishOutcome, Publisher, RawProposal, Reclaim, ResultLog,
    ServerId, Standing, SwitchNote, Symbol, times,
};
use apply_wire::key;
use futures_util::future::{try_join, try_join_all};
use permit_gate::{AttemptId, MAX_ID, PlanId};
use permit_redis::{InCharge, LinkAt, Meaning, RedisConfig, RedisLink, ServerId as RunId};
use redis::{Pipeline, RedisError, Script, ScriptInvocation, Value};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Proposals, plans and results on Redis. Clones share the connections, which come back by
/// themselves; nothing is sent twice behind the caller's back.
#[derive(Clone)]
pub struct RedisPlanStore {
    link: RedisLink,
    config: Arc<PlanStoreConfig>,
    /// The names, as they are where the plan store lies.
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    looks: Arc<ProposalBatcher>,
    gone: Arc<MissingLeases>,
    await_replica: Arc<AtomicBool>,
    remembered: Arc<Remembered>,
    switch: Arc<SwitchMemory>,
    /// The claims that are out, each with the last moment at which the server may carry it out.
    claims: Arc<Mutex<HashMap<AttemptId, i64>>>,
    /// The plans whose result this process has written without knowing yet that it is read.
    unconfirmed: Arc<Mutex<HashSet<PlanId>>>,
}

/// A server in one of its lives, between two moments at which it may have forgotten something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultKeeper {
    server: RunId,
    epoch: u64,
}

pub(crate) struct Scripts {
    pub(crate) window: Script,
    pub(crate) pad: Script,
    pub(crate) foreign: Script,
    pub(crate) final_action: Script,
    pub(crate) fills: Script,
    pub(crate) position: Script,
    holds: Script,
    look: Script,
    scan: Script,
    claim: Script,
    find: Script,
    announce: Script,
    publish: Script,
    note: Script,
    adopt: Script,
    reclaim: Script,
    stand: Script,
    mark: Script,
    finalize: Script,
    hold: Script,
    finalize_in_other_slot: Script,
    close: Script,
    pub(crate) drop: Script,
    remember: Script,
}

/// A script with what they share before it.
macro_rules! with_prelude {
    ($name:literal) => {
        Script::new(concat!(include_str!("prelude.lua"), include_str!($name)))
    };
}

/// A script with what those that read fields of entries share before it.
macro_rules! with_fields {
    ($name:literal) => {
        Script::new(concat!(include_str!("fields.lua"), include_str!($name)))
    };
}

impl RedisPlanStore {
    /// Connects by itself. Fails where the server cannot be reached or refuses us; calling again is
    /// the caller's business.
    pub async fn connect(config: PlanStoreConfig) -> Result<Self, PortError> {
        let link = RedisConfig::new(&config.url)
            .map_err(|error| PortError(error.to_string()))?
            .response_timeout(config.response_timeout)
            .connect_timeout(CONNECT_TIMEOUT);
        let link = RedisLink::connect(link)
            .await
            .map_err(|error| PortError(error.to_string()))?;
        let plan_store = Self::over(link, config);
        plan_store.ping().await?;
        Ok(plan_store)
    }

    /// A plan store on connections that somebody else has as well, such as the permit store of the same
    /// process. Its URL and time-outs are the link's.
    pub fn over(link: RedisLink, config: PlanStoreConfig) -> Self {
        let clean_after = config.clean_after.unwrap_or(match link.is_replaceable() {
            true => times::CLEAN_AFTER_FAILOVER,
            false => times::CLEAN_AFTER,
        });
        let keys = match link.is_cluster() {
            true => config.keys.clone().on_a_cluster(),
            false => config.keys.clone(),
        };
        Self {
            link,
            keys: Arc::new(keys),
            remembered: Arc::new(Remembered::new(clean_after)),
            switch: Arc::default(),
            claims: Arc::default(),
            unconfirmed: Arc::default(),
            config: Arc::new(config),
            scripts: Arc::new(Scripts {
                holds: Script::new(include_str!("holds.lua")),
                look: Script::new(include_str!("look.lua")),
                scan: Script::new(include_str!("scan.lua")),
                claim: with_prelude!("claim.lua"),
                find: with_prelude!("find.lua"),
                announce: Script::new(include_str!("announce.lua")),
                publish: with_prelude!("publish.lua"),
                note: Script::new(include_str!("note.lua")),
                adopt: with_prelude!("adopt.lua"),
                reclaim: with_prelude!("reclaim.lua"),
                stand: Script::new(include_str!("stand.lua")),
                window: with_fields!("window.lua"),
                pad: Script::new(include_str!("pad.lua")),
                foreign: with_fields!("foreign.lua"),
                fills: with_fields!("fills.lua"),
                position: Script::new(include_str!("position.lua")),
                final_action: with_fields!("final_action.lua"),
                mark: Script::new(include_str!("mark.lua")),
                finalize: with_prelude!("finalize.lua"),
                hold: with_prelude!("hold.lua"),
                finalize_in_other_slot: with_prelude!("finalize_in_other_slot.lua"),
                close: with_prelude!("close.lua"),
                drop: Script::new(include_str!("drop.lua")),
                remember: with_prelude!("remember.lua"),
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
        let own = format!("{}{}", self.keys.lease, instance.owner);
        let text = self.lease().text();
        for lease in [&*own, self.lease_of_own_mode()] {
            redis::cmd("SET")
                .arg(lease)
                .arg(&text)
                .arg("PX")
                .arg(instance.lease.as_millis().max(1000) as u64)
                .query_async::<()>(&mut self.link.at(lease))
                .await
                .map_err(failed("renew the lease"))?;
        }
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

    /// From now on `keep` is handed how the kill switch is seen, whenever that changes; `note` is what was
    /// kept by an earlier process. Once seen on, the switch is on until a value that says off is read, or
    /// the key is gone from a server that has forgotten nothing since.
    pub fn keep_switch(
        &self,
        note: Option<SwitchNote>,
        keep: impl Fn(SwitchNote) + Send + Sync + 'static,
    ) {
        self.switch.keep_with(note, keep);
    }

    /// What the server of the switch remembered before it was read: one that has forgotten something since may have
    /// forgotten the switch. `None` where that cannot be known: on a cluster the switch lies apart from what would show it.
    async fn known_of_switch(&self) -> Option<GenerationId> {
        if self.link.is_cluster() {
            return None;
        }
        match self.remembered.last() {
            Some(last) => Some(last),
            None => Box::pin(self.remember()).await.ok().map(|now| now.id),
        }
    }

    /// Whether trading is halted, where the switch was read like this and the server remembered this `before`.
    async fn halt_of(&self, read: &Switches, before: Option<GenerationId>) -> Halt {
        if !matches!(read.there, Value::Int(0)) {
            return Box::pin(self.disarmed(before)).await;
        }
        let key = &self.keys.kill_switch;
        if let Some(by) = self.switch.unmarked() {
            return Halt::On { by };
        }
        let halt = read_switch(key, &read.word);
        let gone = matches!(&read.word, Value::BulkString(word) if word.is_empty());
        match (&halt, self.switch.is_on()) {
            (Halt::Off, false) => halt,
            (Halt::On { .. }, _) => {
                self.switch.saw(true, before);
                halt
            }
            (Halt::Off, true) if gone => {
                // Off only if it remembers what it did when the switch was on.
                let on_under = self.switch.generation();
                if on_under.is_some()
                    && on_under == Box::pin(self.remember()).await.ok().map(|now| now.id)
                {
                    self.switch.saw(false, on_under);
                    return halt;
                }
                Halt::On {
                    by: format!(
                        "{key} (it was on, and Redis may have forgotten it since; to trade on, run apply-layer resume)"
                    ),
                }
            }
            (Halt::Off, true) => {
                self.switch.saw(false, None);
                halt
            }
        }
    }

    /// The governor has disarmed, or had, and trading was not resumed since: by what, and why. What its key says counts only
    /// as a reason. The key ends with its day, so that it is marked beside.
    async fn disarmed(&self, before: Option<GenerationId>) -> Halt {
        let keys = self.keys.halting(SystemTime::now());
        let reads = keys.iter().map(|key| async move {
            let mut read = redis::cmd("GETRANGE");
            read.arg(key).arg(0).arg(MOST_OF_A_REASON - 1);
            match read.query_async::<Vec<u8>>(&mut self.link.at(key)).await {
                Ok(text) => Ok((!text.is_empty()).then(|| switch_reason(&text))),
                Err(error) if error.code() == Some("WRONGTYPE") => Ok(Some("no text".into())),
                Err(error) => Err(error),
            }
        });
        let found = match try_join_all(reads).await {
            Ok(found) => found,
            Err(error) => {
                let by = format!("{}* (unreadable: {error})", self.keys.disarm);
                return Halt::On { by };
            }
        };
        let mut there = keys.iter().zip(&found);
        let named = there.find_map(|(key, reason)| Some((key, reason.as_ref()?)));
        let what = match named {
            Some((key, reason)) => format!("{key} ({reason})"),
            None => format!("{} ({NO_REASON})", self.empty_disarm(&keys).await),
        };
        let by = format!("{what}; it ends by apply-layer resume");
        self.switch.saw(true, before);
        let marked = self.mark(&keys, &what).await;
        self.switch.set_unmarked((!marked).then(|| by.clone()));
        Halt::On { by }
    }

    /// The one of these keys that is there without a text. Where none is any more, what all of them begin with.
    async fn empty_disarm(&self, keys: &[String]) -> String {
        for key in keys {
            let asked = count(std::slice::from_ref(key))
                .query_async(&mut self.link.at(key))
                .await;
            if asked.is_ok_and(|there: bool| there) {
                return key.clone();
            }
        }
        format!("{}*", self.keys.disarm)
    }

    /// Marks that a disarm was seen; says whether it stands there.
    async fn mark(&self, keys: &[String], text: &str) -> bool {
        let mark = &self.keys.disarmed;
        if self.link.is_cluster() {
            let mut set = redis::cmd("SET");
            set.arg(mark).arg(text).arg("NX");
            return set.exec_async(&mut self.link.at(mark)).await.is_ok();
        }
        let mut call = self.scripts.mark.arg(text);
        for key in keys {
            call.key(key);
        }
        let marked = call.invoke_async::<i64>(&mut self.link.at(mark)).await;
        // It was resumed from meanwhile where the mark is not there.
        marked.is_ok()
    }

    /// Since when the server remembers what was written to it. To be asked once at start and every few seconds,
    /// so that the time in which no plan is claimed begins when something was forgotten and not with the
    /// next claim.
    pub async fn remember(&self) -> Result<Generation, PortError> {
        let mut call = self.scripts.remember.key(&self.keys.generation);
        call.arg(self.remembered.fresh());
        let answer = self.ask(&call, "read what Redis remembers").await?;
        Ok(answer.generation)
    }

    /// Who has the results, as far as this process has heard; another answer than before means that results
    /// may be lost that were published a short while ago. `None` without a connection.
    ///
    /// On a cluster it is the node of the results together with what the node of the open plans remembers.
    pub fn keeper_of_results(&self) -> Option<ResultKeeper> {
        let (server, _) = self.link.server_of(&self.keys.results)?;
        Some(ResultKeeper {
            server,
            epoch: self.remembered.epoch(),
        })
    }

    /// Runs a script where the open plans lie, and learns from it since when the server remembers.
    async fn ask(
        &self,
        script: &ScriptInvocation<'_>,
        doing: &'static str,
    ) -> Result<Answer, PortError> {
        self.ask_or_refuse(script)
            .await
            .map_err(|error| failed(doing)(error))
    }

    async fn ask_or_refuse(&self, script: &ScriptInvocation<'_>) -> Result<Answer, RedisError> {
        let before = self.server();
        let values: Vec<Value> = script.invoke_async(&mut self.connection()).await?;
        self.remembered
            .learn(values, before, self.server(), Instant::now())
    }

    /// Which server answers where the open plans lie, and since when.
    fn server(&self) -> Option<(RunId, Instant)> {
        self.link.server_of(&self.keys.open)
    }

    /// Whether this process has had the server for as long as a generation takes to become clean: what
    /// counts where the server's scripts cannot see which run it is.
    fn has_waited(&self) -> bool {
        let server = self.server();
        server.is_some_and(|(_, since)| since.elapsed() >= self.remembered.clean_after())
    }

    /// What was said of the server of the open plans, and of the one of the kill switch where that is another one:
    /// an order leaves on the word of both.
    fn with_switch(&self, of_plans: InCharge) -> InCharge {
        if !self.link.is_cluster() {
            return of_plans;
        }
        match (of_plans, self.link.in_charge(&self.keys.kill_switch)) {
            (InCharge::Confirmed { asked_at: one }, InCharge::Confirmed { asked_at: other }) => {
                InCharge::Confirmed {
                    asked_at: one.min(other),
                }
            }
            (InCharge::Unconfirmed { why }, _) | (_, InCharge::Unconfirmed { why }) => {
                InCharge::Unconfirmed { why }
            }
            (said, _) => said,
        }
    }

    /// What those say who appoint the server, of the one that is connected.
    fn in_charge(&self, said: InCharge) -> Mastership {
        let Some((server, _)) = self.server() else {
            return Mastership::Unconfirmed {
                why: "no server has answered yet".into(),
            };
        };
        let server = ServerId(server.get());
        match said {
            InCharge::Always => Mastership::Fixed { server },
            InCharge::Confirmed { asked_at } => Mastership::Confirmed { server, asked_at },
            InCharge::Unconfirmed { why } => Mastership::Unconfirmed { why },
        }
    }

    /// Until when the server may carry a claim out that is sent now, in its own microseconds.
    fn last_moment(&self, attempt: &AttemptId, sent: Instant) -> Result<i64, PortError> {
        let last = self.link.deadline(&self.keys.open, sent + CLAIM_WITHIN);
        let last = last.ok_or_else(|| {
            PortError("cannot claim the plan: the server's time is not known yet".into())
        })?;
        self.claims().insert(attempt.clone(), last);
        Ok(last)
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<AttemptId, i64>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an answer puts into the hands of an attempt that claimed a plan a while before it.
    fn hold_since(&self, attempt: &AttemptId, answer: Answer, sent: Instant) -> Hold {
        let since = Duration::from_micros(answer.number().unwrap_or(u64::MAX));
        let since = sent.checked_sub(since).unwrap_or(sent);
        self.hold(attempt, answer, since)
    }

    /// What an answer puts into the hands of an attempt.
    fn hold(&self, attempt: &AttemptId, answer: Answer, since: Instant) -> Hold {
        Hold {
            attempt: attempt.clone(),
            generation: answer.generation,
            server: answer.server,
            epoch: answer.epoch,
            since,
        }
    }

    pub(crate) fn config(&self) -> &PlanStoreConfig {
        &self.config
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// About how many entries the two streams keep.
    pub(crate) fn stream_length(&self) -> usize {
        self.config.stream_length
    }

    pub(crate) fn link(&self) -> &RedisLink {
        &self.link
    }

    /// To where the open plans lie.
    fn connection(&self) -> LinkAt {
        self.link.at(&self.keys.open)
    }

    /// Looks at several proposals and the kill switch in one round trip, an answer each.
    async fn look_at(&self, symbols: &[Symbol]) -> Vec<Result<Observed, PortError>> {
        let before = self.known_of_switch().await;
        let looked = match self.link.is_cluster() {
            true => self.look_around(symbols).await,
            false => self.look_here(symbols).await,
        };
        match looked {
            Ok((proposals, switch)) => {
                let halt = self.halt_of(&switch, before).await;
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

    async fn look_here(&self, symbols: &[Symbol]) -> Result<(Vec<Value>, Switches), RedisError> {
        let call = self.look_of(symbols);
        let mut look = redis::pipe();
        look.invoke_script(&call)
            .add_command(self.switch_of())
            .add_command(count(&self.keys.halting(SystemTime::now())))
            // A switch that cannot be read says nothing about the proposals.
            .ignore_errors();
        let mut at = self.connection();
        let (mut looks, mut word, mut there): (Value, Value, Value) =
            look.query_async(&mut at).await?;
        if matches!(&looks, Value::ServerError(error) if Meaning::of_reply(error) == Meaning::NoScript)
        {
            call.load_async(&mut at).await?;
            (looks, word, there) = look.query_async(&mut at).await?;
        }
        let looks = redis::from_redis_value(looks.extract_error()?)?;
        Ok((looks, Switches { word, there }))
    }

    /// On a cluster each of them lies somewhere else. The switch is read last: what is off then was
    /// off when the proposals were read, or was turned on before and off again.
    async fn look_around(&self, symbols: &[Symbol]) -> Result<(Vec<Value>, Switches), RedisError> {
        let looks = symbols.iter().map(|symbol| async {
            let mut at = self.link.at(&self.proposal_of(symbol));
            let call = self.look_of(std::slice::from_ref(symbol));
            let (look,): (Value,) = call.invoke_async(&mut at).await?;
            Ok::<_, RedisError>(look)
        });
        let proposals = try_join_all(looks).await?;
        Ok((proposals, self.read_switch().await?))
    }

    async fn read_switch(&self) -> Result<Switches, RedisError> {
        let keys = self.keys.halting(SystemTime::now());
        let word = async {
            let mut at = self.link.at(&self.keys.kill_switch);
            match self.switch_of().query_async(&mut at).await {
                // A key of another type is an answer about that key; any other error is about the asking.
                Err(error) if Meaning::of(&error) == Meaning::WrongType => Ok(Value::Nil),
                answer => answer,
            }
        };
        let there = async {
            let together: Vec<&[String]> = match self.link.is_cluster() {
                true => keys.chunks(1).collect(),
                false => vec![&keys],
            };
            let counts = together.into_iter().map(|keys| async move {
                let mut at = self.link.at(keys.first().map_or("", String::as_str));
                count(keys).query_async::<i64>(&mut at).await
            });
            let counts = try_join_all(counts).await?;
            Ok(Value::Int(counts.into_iter().sum()))
        };
        let (word, there) = try_join(word, there).await?;
        Ok(Switches { word, there })
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
}

/// What `announce.lua` answers to a dry run beside a live instance.
const FENCED: i64 = 2;

/// A dry run beside a live instance did not do this to the plan.
fn fenced(doing: &str) -> PortError {
    PortError(format!(
        "did not {doing} the plan: a live instance works on this Redis, and this is a dry run"
    ))
}

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the store remembers a journal that is not in use: longer than any journal keeps an entry.
const JOURNAL_MARK: Duration = Duration::from_secs(30 * 86_400);

/// How long after it was asked for the server may carry a claim out. One whose answer was lost is known to
/// have failed only after that.
const CLAIM_WITHIN: Duration = Duration::from_secs(1);

/// How long a replica may take to acknowledge.
const REPLICA_WAIT: Duration = Duration::from_millis(100);

impl ProposalSource for RedisPlanStore {
    async fn fetch(&self, symbol: &Symbol) -> Result<Observed, PortError> {
        let look_at = async |symbols: Vec<Symbol>| self.look_at(&symbols).await;
        self.looks.look(symbol, look_at).await
    }

    async fn fetch_halt(&self, _: &Symbol) -> Result<Halt, PortError> {
        let before = self.known_of_switch().await;
        let switch = self.read_switch().await;
        let switch = switch.map_err(failed("read the kill switch"))?;
        Ok(self.halt_of(&switch, before).await)
    }

    /// The switch in Redis as it was seen last.
    fn local_halt(&self) -> Halt {
        match self.switch.is_on() {
            true => Halt::On {
                by: self.keys.kill_switch.clone(),
            },
            false => Halt::Off,
        }
    }

    async fn changed(&self, _: &Symbol) {
        std::future::pending().await
    }
}

impl PlanLog for RedisPlanStore {
    async fn claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        ttl: Duration,
        timestamp: u64,
    ) -> Result<Claim, PortError> {
        let keys = &self.keys;
        if self.link.is_cluster() && !self.may_claim(plan, attempt).await? {
            return Ok(Claim::Taken);
        }
        let sent = Instant::now();
        let mut call = self.scripts.claim.key(Keys::of(&keys.dedupe, &plan.id));
        call.key(Keys::of(&keys.published, &plan.id))
            .key(&keys.plans)
            .key(&keys.open)
            .key(&keys.generation)
            .key(&keys.live);
        if !self.link.is_cluster() {
            call.key(Keys::of(&keys.result_published, &plan.id));
        }
        call.arg(attempt.as_str())
            .arg(ttl.as_secs().max(1))
            .arg(self.config.published_ttl.as_secs().max(1))
            .arg(self.config.stream_length)
            .arg(plan.id.as_str())
            .arg(open::claimed(&self.config, plan, attempt, timestamp)?)
            .arg(open::held_by(attempt))
            .arg(self.remembered.fresh())
            .arg(times::micros(self.remembered.clean_after()))
            .arg(u8::from(self.has_waited()))
            .arg(self.last_moment(attempt, sent)?)
            .arg(u8::from(!self.config.orders));
        add_fields(&mut call, plan.to_claimed_fields(attempt, timestamp));
        let answer = self.ask(&call, "claim the plan").await?;
        if &*answer.word == "late" {
            return Err(PortError(
                "cannot claim the plan: the server came to it too late and refused it".into(),
            ));
        }
        self.claims().remove(attempt);
        if &*answer.word == "fenced" {
            return Err(fenced("claim"));
        }
        match &*answer.word {
            "won" => {}
            "lost" => return Ok(Claim::Lost),
            "young" => {
                return Ok(Claim::TooYoung {
                    clean_at: answer.generation.clean_at,
                });
            }
            _ => return Ok(Claim::Taken),
        }
        if self.link.is_cluster() {
            self.show_claim(plan, attempt, ttl).await?;
        }
        Ok(Claim::Won(self.hold_since(attempt, answer, sent)))
    }

    async fn show_claimed(&self, plan: &Plan) -> Result<(), PortError> {
        match self.config.portfolio_gate {
            true => self.show_to_portfolio_gate(plan).await,
            false => Ok(()),
        }
    }

    async fn fetch_final_action(&self, plan: &PlanId) -> Result<Option<String>, PortError> {
        match self.config.portfolio_gate {
            true => self.final_action_of(plan).await,
            false => Ok(None),
        }
    }

    async fn fetch_why_missing(
        &self,
        plan: &PlanId,
        permit: &str,
    ) -> Result<Option<String>, PortError> {
        match permit {
            key::GOVERNOR => self.governors_reason(plan).await,
            _ => Ok(None),
        }
    }

    async fn find_claim(
        &self,
        plan: &PlanId,
        attempt: &AttemptId,
        ttl: Duration,
    ) -> Result<Option<Claim>, PortError> {
        let (keys, sent) = (&self.keys, Instant::now());
        // One that is not remembered was answered.
        let last_moment = self.claims().get(attempt).copied().unwrap_or(0);
        let mut call = self.scripts.find.key(&keys.generation);
        call.key(Keys::of(&keys.dedupe, plan)).key(&keys.open);
        if !self.link.is_cluster() {
            call.key(Keys::of(&keys.result_published, plan));
        }
        call.arg(attempt.as_str())
            .arg(ttl.as_secs().max(1))
            .arg(plan.as_str())
            .arg(open::held_by(attempt))
            .arg(self.remembered.fresh())
            .arg(last_moment);
        let answer = self
            .ask(&call, "find out whether a plan was claimed")
            .await?;
        let found = match &*answer.word {
            "early" => {
                return Err(PortError(
                    "whether the plan was claimed is not known yet: the server may still come to it"
                        .into(),
                ));
            }
            "won" => Some(Claim::Won(self.hold_since(attempt, answer, sent))),
            "lost" => Some(Claim::Lost),
            "taken" => Some(Claim::Taken),
            _ => None,
        };
        self.claims().remove(attempt);
        Ok(found)
    }

    async fn announce(&self, plan: &Plan, timestamp: u64) -> Result<bool, PortError> {
        let keys = &self.keys;
        let mut call = self
            .scripts
            .announce
            .key(Keys::of(&keys.published, &plan.id));
        call.key(&keys.plans)
            .key(Keys::of(&keys.dedupe, &plan.id))
            .arg(format!("{}:{}", plan.decision, plan.reason_codes()))
            .arg(self.config.published_ttl.as_secs().max(1))
            .arg(self.config.stream_length);
        if !self.config.orders {
            call.key(&keys.live);
        }
        add_fields(&mut call, plan.to_fields(timestamp));
        let count = call.invoke_async(&mut self.link.at(&keys.plans)).await;
        match count.map_err(failed("publish the plan"))? {
            FENCED => Err(fenced("publish")),
            count => Ok(count == 1),
        }
    }

    async fn note_intent(&self, intent: &Intent) -> Result<bool, PortError> {
        let entry = open::intending(&self.config.instance, intent)?;
        let mut call = self.scripts.note.key(&self.keys.open);
        call.arg(intent.plan.as_str())
            .arg(open::held_by(&intent.attempt))
            .arg(&entry);
        let noted: i64 = call
            .invoke_async(&mut self.connection())
            .await
            .map_err(failed("note the intent"))?;
        let ours = noted == 1;
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

    async fn adopt(&self, open: &OpenPlan, attempt: &AttemptId) -> Result<Option<Hold>, PortError> {
        let entry = open::adopted(&self.config.instance, open, attempt)?;
        let mut call = self.scripts.adopt.key(&self.keys.open);
        call.key(&self.keys.generation)
            .arg(open.plan.as_str())
            .arg(&open.token)
            .arg(open::held_by(attempt))
            .arg(entry)
            .arg(self.remembered.fresh());
        let answer = self.ask(&call, "take a plan over").await?;
        let held = &*answer.word == "held";
        Ok(held.then(|| self.hold(attempt, answer, Instant::now())))
    }

    async fn reclaim(
        &self,
        plan: &PlanId,
        symbol: &Symbol,
        step: &str,
        attempt: &AttemptId,
        ttl: Duration,
    ) -> Result<Reclaim, PortError> {
        let (keys, before) = (&self.keys, self.server());
        let mut call = self.scripts.reclaim.key(&keys.open);
        call.key(&keys.generation).key(Keys::of(&keys.dedupe, plan));
        if self.link.is_cluster() {
            let asked = self.link.server_of(&keys.results);
            if let Some(executed) = self.end_of(plan).await? {
                self.must_be_read(&keys.results, asked).await?;
                return Ok(Reclaim::Ended { executed });
            }
        } else {
            call.key(Keys::of(&keys.result_published, plan));
        }
        call.arg(plan.as_str())
            .arg(open::closing(&self.config, symbol, step, attempt)?)
            .arg(open::held_by(attempt))
            .arg(self.remembered.fresh())
            .arg(attempt.as_str())
            .arg(ttl.as_secs().max(1))
            .arg(open::MAX_ENTRY_BYTES);
        let answer = self.ask(&call, "take a plan in hand to end it").await?;
        match &*answer.word {
            "held" => Ok(Reclaim::Held(self.hold(attempt, answer, Instant::now()))),
            "open" => {
                let token = answer.text().unwrap_or_default();
                let open = open::seen(&self.config.instance, plan.clone(), token);
                let open = open.map_err(|error| {
                    PortError(format!(
                        "open plan {plan} cannot be read, look at {}: {error}",
                        keys.open
                    ))
                })?;
                Ok(Reclaim::Open(open))
            }
            _ => {
                self.must_be_read(&keys.open, before).await?;
                Ok(Reclaim::Ended {
                    executed: answer.text().is_some_and(|mark| is_executed(&mark)),
                })
            }
        }
    }

    fn is_current(&self, hold: &Hold) -> bool {
        let server = self.server();
        self.remembered.is_current(hold, server)
    }

    fn mastership(&self) -> Mastership {
        let said = self.link.in_charge(&self.keys.open);
        self.in_charge(self.with_switch(said))
    }

    async fn confirm_mastership(&self) -> Mastership {
        let said = self.link.confirm_in_charge(&self.keys.open).await;
        self.in_charge(self.with_switch(said))
    }

    async fn ask_again(&self, plan: &PlanId, attempt: &AttemptId) -> Result<Standing, PortError> {
        let before = self.known_of_switch().await;
        let (keys, asked_at) = (&self.keys, Instant::now());
        let together = !self.link.is_cluster();
        let mut call = self.scripts.stand.key(&keys.open);
        if together {
            call.key(&keys.kill_switch);
            for key in keys.halting(SystemTime::now()) {
                call.key(key);
            }
        }
        call.arg(plan.as_str())
            .arg(open::noted_by(attempt))
            .arg(MAX_SWITCH_BYTES);
        let mut at = self.connection();
        let stands = async {
            let stands = call.invoke_async::<Vec<Value>>(&mut at).await;
            stands.map_err(failed("look whether the plan is still held"))
        };
        let (stands, switch) = match together {
            true => {
                let mut stands = stands.await?.into_iter();
                let stood = stands.next();
                let (word, there) = (stands.next(), stands.next());
                let switches = Switches {
                    word: word.unwrap_or(Value::Nil),
                    there: there.unwrap_or(Value::Nil),
                };
                (stood, switches)
            }
            false => {
                let switch = async {
                    let switch = self.read_switch().await;
                    switch.map_err(failed("read the kill switch"))
                };
                let (stands, switches) = try_join(stands, switch).await?;
                (stands.into_iter().next(), switches)
            }
        };
        Ok(match stands {
            Some(Value::Int(1)) => match self.halt_of(&switch, before).await {
                Halt::Off => Standing::Holds { asked_at },
                Halt::On { by } => Standing::Halted { by },
            },
            _ => Standing::Lost,
        })
    }
}

impl ResultLog for RedisPlanStore {
    async fn publish(&self, result: &ApplyResult) -> Result<PublishOutcome, PortError> {
        let keys = &self.keys;
        let error = result.error_code().unwrap_or_default();
        let mut call = self
            .scripts
            .publish
            .key(Keys::of(&keys.result_published, &result.plan));
        call.key(&keys.results)
            .arg(format!("{}:{error}", result.decision))
            .arg(self.config.published_ttl.as_secs().max(1))
            .arg(self.config.stream_length);
        add_fields(&mut call, result.to_fields());
        match call
            .invoke_async::<i64>(&mut self.link.at(&keys.results))
            .await
        {
            Ok(1) => Ok(PublishOutcome::Published),
            Ok(_) => Ok(PublishOutcome::Before),
            Err(error) => refused(error),
        }
    }

    async fn finalize(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> Result<PublishOutcome, PortError> {
        let before = self.link.server_of(&self.keys.results);
        let outcome = match self.link.is_cluster() {
            true => self.conclude_in_steps(result, publisher).await?,
            false => self.conclude_at_once(result, publisher).await?,
        };
        let written = match outcome {
            PublishOutcome::Published | PublishOutcome::Corrected => true,
            PublishOutcome::Stands => self.unconfirmed().contains(&result.plan),
            PublishOutcome::Before | PublishOutcome::Contradicted => false,
            PublishOutcome::NotHeld | PublishOutcome::Forgot | PublishOutcome::Refused { .. } => {
                return Ok(outcome);
            }
        };
        if let Err(error) = self.must_be_read(&self.keys.results, before).await {
            if written {
                self.unconfirmed().insert(result.plan.clone());
            }
            return Err(error);
        }
        self.unconfirmed().remove(&result.plan);
        Ok(match outcome {
            PublishOutcome::Stands if written => PublishOutcome::Published,
            outcome => outcome,
        })
    }
}

/// Publishing how a plan ended.
impl RedisPlanStore {
    async fn conclude_at_once(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> Result<PublishOutcome, PortError> {
        let keys = &self.keys;
        let mark = Keys::of(&keys.result_published, &result.plan);
        let mut call = self.scripts.finalize.key(mark);
        call.key(&keys.results)
            .key(&keys.open)
            .key(&keys.generation)
            .key(keys.receipt_of(&result.plan))
            .arg(result.plan.as_str())
            .arg(open::held_by(&publisher.attempt))
            .arg(receipt_of(&publisher.attempt))
            .arg(self.remembered.fresh())
            .arg(&publisher.generation)
            .arg(end(result))
            .arg(publisher.attempt.as_str())
            .arg(self.config.result_ttl.as_secs().max(1))
            .arg(self.config.stream_length);
        add_fields(&mut call, result.to_fields());
        match self.ask_or_refuse(&call).await {
            Ok(answer) => outcome_of(&answer.word),
            Err(error) => refused(error),
        }
    }

    /// On a cluster the stream lies in another slot than the open plans. Whether the plan is the attempt's
    /// to end is read first; an instance that takes it over in between has to wait until this one is gone.
    async fn conclude_in_steps(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> Result<PublishOutcome, PortError> {
        let keys = &self.keys;
        // An attempt that claims the plan after a forgetting asks the venue no sooner than this long after the look.
        let publish_by = Instant::now() + times::LAST_YES;
        let publish_by = self.link.deadline(&keys.results, publish_by).unwrap_or(0);
        let mut look = self.scripts.hold.key(&keys.open);
        look.key(&keys.generation)
            .arg(result.plan.as_str())
            .arg(open::held_by(&publisher.attempt))
            .arg(self.remembered.fresh());
        let (held, forgot) = match self.ask_or_refuse(&look).await {
            Ok(answer) => (
                &*answer.word == "held",
                answer.generation.id != publisher.generation,
            ),
            Err(error) => return refused(error),
        };
        let mut call = self
            .scripts
            .finalize_in_other_slot
            .key(Keys::of(&keys.result_published, &result.plan));
        call.key(&keys.results)
            .arg(end(result))
            .arg(publisher.attempt.as_str())
            .arg(self.config.result_ttl.as_secs().max(1))
            .arg(self.config.stream_length)
            .arg(u8::from(held && !forgot))
            .arg(publish_by);
        add_fields(&mut call, result.to_fields());
        let word: Result<String, RedisError> =
            call.invoke_async(&mut self.link.at(&keys.results)).await;
        let came = match word {
            Ok(word) if word == "late" => {
                return Err(PortError(
                    "cannot publish the result: the check of who holds the plan is too old".into(),
                ));
            }
            Ok(word) => outcome_of(&word)?,
            Err(error) => return refused(error),
        };
        match came {
            PublishOutcome::NotHeld if forgot => Ok(PublishOutcome::Forgot),
            PublishOutcome::NotHeld => Ok(came),
            _ => {
                self.close(result, publisher).await?;
                Ok(came)
            }
        }
    }

    fn unconfirmed(&self) -> MutexGuard<'_, HashSet<PlanId>> {
        self.unconfirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written to a replaced master is not read any more. So the server that was
    /// asked is named once more after it has answered. An error has the caller write again, to the server that
    /// is in charge then; nothing is written twice to the same one.
    async fn must_be_read(
        &self,
        key: &str,
        asked: Option<(RunId, Instant)>,
    ) -> Result<(), PortError> {
        if !self.link.is_replaceable() {
            return Ok(());
        }
        let unread = |why: String| {
            PortError(format!(
                "the result is written; whether it is read is unknown: {why}"
            ))
        };
        // Those who are asked may hear of a change this much later.
        tokio::time::sleep(times::NAMING_LAG).await;
        let asking = Instant::now();
        match self.link.confirm_in_charge(key).await {
            // What was said before the answer says nothing about it.
            InCharge::Confirmed { asked_at } if asked_at < asking => {
                return Err(unread("too few say who is in charge".into()));
            }
            InCharge::Unconfirmed { why } => return Err(unread(why)),
            InCharge::Confirmed { .. } | InCharge::Always => {}
        }
        let now = self.link.server_of(key);
        match asked.map(|(server, _)| server) == now.map(|(server, _)| server) {
            true => Ok(()),
            false => Err(unread("another server has taken its place".into())),
        }
    }

    /// Drops the receipt of a plan that has its result, and closes it where it is the attempt's. In this
    /// order, so that a plan that is not open any more has nothing left over.
    async fn close(&self, result: &ApplyResult, publisher: &Publisher) -> Result<(), PortError> {
        let keys = &self.keys;
        let receipt = keys.receipt_of(&result.plan);
        let mut drop = self.scripts.drop.key(&receipt);
        drop.arg(receipt_of(&publisher.attempt));
        let dropped = drop.invoke_async::<()>(&mut self.link.at(&receipt)).await;
        dropped.map_err(failed("drop the receipt"))?;
        let mut close = self.scripts.close.key(&keys.open);
        close
            .key(Keys::of(&keys.dedupe, &result.plan))
            .arg(result.plan.as_str())
            .arg(open::held_by(&publisher.attempt))
            .arg(publisher.attempt.as_str())
            .arg(self.config.result_ttl.as_secs().max(1));
        let closed = close.invoke_async::<()>(&mut self.connection()).await;
        closed.map_err(failed("close the plan"))
    }

    /// Whether the plan's end was published, and then whether it was executed.
    async fn end_of(&self, plan: &PlanId) -> Result<Option<bool>, PortError> {
        let key = Keys::of(&self.keys.result_published, plan);
        let mark: String = redis::cmd("GETRANGE")
            .arg(&key)
            .arg(0)
            .arg(15)
            .query_async(&mut self.link.at(&key))
            .await
            .map_err(failed("read how the plan ended"))?;
        Ok(match is_executed(&mark) {
            true => Some(true),
            false => mark.starts_with("not_executed ").then_some(false),
        })
    }
}

/// The word of an end, as the mark has it.
fn end(result: &ApplyResult) -> &'static str {
    match result.executed {
        true => "executed",
        false => "not_executed",
    }
}

fn is_executed(mark: &str) -> bool {
    mark.starts_with("executed ")
}

/// How the receipt of the permits begins that this attempt took.
fn receipt_of(attempt: &AttemptId) -> String {
    format!("1 {attempt} ")
}

fn outcome_of(word: &str) -> Result<PublishOutcome, PortError> {
    Ok(match word {
        "published" => PublishOutcome::Published,
        "stands" => PublishOutcome::Stands,
        "corrected" => PublishOutcome::Corrected,
        "before" => PublishOutcome::Before,
        "contradicted" => PublishOutcome::Contradicted,
        "not held" => PublishOutcome::NotHeld,
        "forgot" => PublishOutcome::Forgot,
        other => {
            return Err(PortError(format!(
                "cannot publish the result: the script answers {other:?}"
            )));
        }
    })
}

/// A key of another type stays one until somebody fixes it; any other error may pass.
fn refused(error: RedisError) -> Result<PublishOutcome, PortError> {
    match Meaning::of(&error) == Meaning::WrongType {
        true => Ok(PublishOutcome::Refused {
            why: error.to_string(),
        }),
        false => Err(failed("publish the result")(error)),
    }
}

/// What takes further steps on a cluster when a plan is claimed. Each may be repeated, and is where the one
/// before it was not answered: the caller asks again.
impl RedisPlanStore {
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

/// What was read at one moment of what halts.
struct Switches {
    /// The kill switch.
    word: Value,
    /// How many of the keys are there that halt by being there; anything but a number is an answer that says
    /// nothing.
    there: Value,
}

/// The command that says how many of these keys are there.
fn count(keys: &[String]) -> redis::Cmd {
    let mut count = redis::cmd("EXISTS");
    count.arg(keys);
    count
}

/// What is shown of a disarm without a text.
pub(crate) const NO_REASON: &str = "no reason given";

/// Most bytes of a disarm's reason that are read.
const MOST_OF_A_REASON: usize = 160;

/// A reason as it may stand in a log: foreign text, of which only what shows and turns nothing is kept.
fn switch_reason(text: &[u8]) -> String {
    let shown = |byte: &&u8| byte.is_ascii_graphic() || **byte == b' ';
    text.iter()
        .filter(shown)
        .map(|byte| char::from(*byte))
        .collect()
}

fn read_switch(key: &str, content: &Value) -> Halt {
    match content {
        Value::BulkString(word) => Halt::from_switch(key, word),
        _ => Halt::unreadable(key),
    }
}

pub(crate) fn failed(doing: &'static str) -> impl Fn(RedisError) -> PortError {
    move |error| match Meaning::of(&error).advice() {
        Some(advice) => PortError(format!("cannot {doing}: {error}; {advice}")),
        None => PortError(format!("cannot {doing}: {error}")),
    }
}
