//! One server: a command connection that is kept alive, its clock, its rights.

use crate::{
    background::{Background, Backoff},
    clock::ServerClock,
    endpoint::{Address, Endpoint, Timeouts},
    failure::{Failure, not_sent},
    meaning::{Meaning, explain},
    product::Product,
    server_id::ServerId,
    stats::Counters,
    take::{Answer, Hold, Holder, MAX_HOLDER_BYTES, TakeRequest, read, script},
    watch::Registry,
};
use redis::{
    Pipeline, RedisError, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cmd,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

/// Connections of their own that transactions may use at the same time.
const EXCLUSIVE: usize = 4;

/// A server we take permits from. Dropping it closes its connections.
pub(crate) struct Node {
    shared: Arc<Shared>,
    _supervisor: Background,
}

struct Shared {
    endpoint: Endpoint,
    timeouts: Timeouts,
    counters: Arc<Counters>,
    /// Wakes its waiters when takes are possible again.
    registry: Arc<Registry>,
    clock: ServerClock,
    live: watch::Sender<Option<LiveConnection>>,
    /// Counts how often that changed, for callers that do not use the connection itself.
    connected: watch::Sender<u64>,
    /// Whom the last connection that was set up leads to.
    met: Mutex<Option<Met>>,
    /// Why there is no connection.
    trouble: Mutex<Trouble>,
    /// Somebody doubts the connection.
    doubt: Arc<Notify>,
    /// … and knows why asking it would not help.
    replace: Mutex<Option<String>>,
    exclusive: Semaphore,
    idle: Mutex<Vec<(u64, MultiplexedConnection)>>,
}

/// A connection that answered when it was set up.
#[derive(Clone)]
pub(crate) struct LiveConnection {
    pub(crate) connection: MultiplexedConnection,
    /// Whom the sentinels named when it was set up.
    at: Option<Address>,
    /// Whether scripts may be used on it.
    pub(crate) scripting: bool,
    generation: u64,
}

/// Why a server is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// In a sentence.
    pub(crate) why: String,
    pub(crate) kind: TroubleKind,
}

/// The kind of fault, since each is fixed in another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// No answer comes.
    Away,
    /// The server answers, and does not serve us as it is now.
    Unfit,
    /// The server will never do.
    Unusable,
}

impl Trouble {
    pub(crate) fn away(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            kind: TroubleKind::Away,
        }
    }

    /// Of a server that is too old; `None` where it is not.
    pub(crate) fn too_old(product: &Product) -> Option<Self> {
        product.too_old().map(|why| Self {
            why,
            kind: TroubleKind::Unusable,
        })
    }

    /// Of a connection that could not be set up.
    pub(crate) fn of(error: &RedisError, response: Duration) -> Self {
        let meaning = Meaning::of(error);
        Self {
            why: match meaning {
                Meaning::TimedOut => slow(response),
                _ => explain(error),
            },
            kind: match meaning {
                // How many a server has is settled when it starts.
                Meaning::NoDatabase => TroubleKind::Unusable,
                _ if meaning.is_an_answer() => TroubleKind::Unfit,
                _ => TroubleKind::Away,
            },
        }
    }

    /// Whether waiting fixes nothing.
    pub(crate) fn is_for_good(&self) -> bool {
        self.kind == TroubleKind::Unusable
    }
}

/// Of an answer that did not come in time.
fn slow(response: Duration) -> String {
    format!(
        "no answer within the response time-out of {response:?}: the server hangs, or is too distant for this time-out"
    )
}

/// A node seen from beside, for callers that follow its connection or know better where it should lead.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Shared>);

impl Handle {
    /// Where the connection leads, of those the sentinels named; `None` without a connection.
    pub(crate) fn at(&self) -> Option<Address> {
        self.0.at()
    }

    /// Leaves the connection where it still leads there.
    pub(crate) fn leave(&self, at: &Address, why: String) {
        if self.at().as_ref() == Some(at) {
            self.0.replace(why);
        }
    }

    /// Changes whenever the connection is lost or made again.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.connected.subscribe()
    }

    /// Which connection there is now, counted from 1, and the run of the server it leads to, where that is known;
    /// `None` without a connection.
    pub(crate) fn run(&self) -> Option<(u64, Option<String>)> {
        let generation = self.0.live.borrow().as_ref().map(|live| live.generation)?;
        let met = self.0.met();
        let run = met.as_ref().and_then(|met| met.run.as_ref());
        Some((generation, run.map(|(run, _)| run.clone())))
    }
}

/// Which server answers, and since when.
struct Met {
    /// Its run and the history it replicates, where it says so.
    run: Option<(String, String)>,
    product: Option<Product>,
    id: ServerId,
    since: Instant,
}

impl Node {
    /// Starts connecting, and never stops.
    pub(crate) fn start(
        endpoint: Endpoint,
        timeouts: Timeouts,
        counters: Arc<Counters>,
        registry: Arc<Registry>,
    ) -> Self {
        let shared = Arc::new(Shared {
            endpoint,
            timeouts,
            counters,
            registry,
            clock: ServerClock::new(Instant::now()),
            live: watch::Sender::new(None),
            connected: watch::Sender::new(0),
            met: Mutex::default(),
            trouble: Mutex::new(Trouble::away("not connected yet")),
            doubt: Arc::default(),
            replace: Mutex::default(),
            exclusive: Semaphore::new(EXCLUSIVE),
            idle: Mutex::default(),
        });
        Self {
            _supervisor: Background::spawn(supervise(Arc::clone(&shared))),
            shared,
        }
    }

    /// Waits until it is connected; what is wrong where it is not within `timeouts`, or will never be.
    pub(crate) async fn ready(&self, timeouts: Duration) -> Result<(), Trouble> {
        let mut live = self.shared.live.subscribe();
        let decided = live.wait_for(|live| live.is_some() || self.shared.trouble().is_for_good());
        match tokio::time::timeout(timeouts, decided).await {
            Ok(Ok(live)) if live.is_some() => Ok(()),
            _ => Err(self.shared.trouble().clone()),
        }
    }

    /// The same node, for others.
    pub(crate) fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }

    /// Host and port, where they are fixed.
    pub(crate) fn address(&self) -> Option<Address> {
        self.shared.endpoint.address()
    }

    /// Which server it is, by its own word.
    pub(crate) fn product(&self) -> Option<Product> {
        self.shared
            .met()
            .as_ref()
            .and_then(|met| met.product.clone())
    }

    pub(crate) fn clock(&self) -> &ServerClock {
        &self.shared.clock
    }

    /// Whether there is a connection.
    pub(crate) fn is_live(&self) -> bool {
        self.shared.live.borrow().is_some()
    }

    /// Where the connection leads, of those the sentinels named; `None` without a connection.
    pub(crate) fn at(&self) -> Option<Address> {
        self.shared.at()
    }

    /// Which server answers here, and since when; `None` before one did. It changes when the server is
    /// started again and when another one takes its place, before any command goes to it.
    pub(crate) fn server(&self) -> Option<(ServerId, Instant)> {
        let met = self.shared.met();
        met.as_ref().map(|met| (met.id, met.since))
    }

    /// Ring it to have the connection looked after now instead of at the next ping.
    pub(crate) fn doubt(&self) -> &Arc<Notify> {
        &self.shared.doubt
    }

    /// What it has done so far.
    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Looks after the connection where a take failed in a way that says that something is wrong with it.
    pub(crate) fn look_after(&self, failure: &Failure) {
        match failure {
            failure if !failure.is_suspect() => {}
            Failure::WrongServer(why) => self.shared.replace(why.clone()),
            _ => self.doubt().notify_one(),
        }
    }

    /// The first bytes of a key, empty where there is none; `None` where it is of another type.
    pub(crate) async fn read(&self, key: &str, at_most: usize) -> Result<Option<Vec<u8>>, Failure> {
        let mut connection = self.live()?.connection;
        match read(key, at_most).query_async(&mut connection).await {
            Ok(content) => Ok(Some(content)),
            Err(error) if Meaning::of(&error) == Meaning::WrongType => Ok(None),
            Err(error) => Err(Failure::of_read(&error)),
        }
    }

    /// What the holders here say of a plan.
    pub(crate) async fn hold(&self, holder: &Holder) -> Result<Hold, Failure> {
        let mut live = self.live()?;
        let at = &mut live.connection;
        let field = async {
            match live.scripting {
                true => holder.beginning().invoke_async(at).await,
                false => {
                    let size: usize = holder.size().query_async(at).await?;
                    match size <= MAX_HOLDER_BYTES {
                        true => holder.read().query_async(at).await,
                        false => Ok(None),
                    }
                }
            }
        };
        let field: RedisResult<Option<Vec<u8>>> = field.await;
        let field = field.map_err(|error| Failure::of_read(&error))?;
        Ok(holder.judge(field.as_deref()))
    }

    /// Any command that changes nothing.
    pub(crate) async fn ask(&self, command: &redis::Cmd) -> Result<Value, Failure> {
        let mut connection = self.live()?.connection;
        let answer = command.query_async(&mut connection).await;
        answer.map_err(|e| Failure::of_read(&e))
    }

    /// Any command, once.
    pub(crate) async fn send(&self, command: &redis::Cmd) -> RedisResult<Value> {
        let mut connection = self.live_soon().await.map_err(not_sent)?.connection;
        let answer = connection.req_packed_command(command).await;
        match &answer {
            Ok(Value::ServerError(error)) => self.suspect(&error.clone().into()),
            Ok(_) => {}
            Err(error) => self.suspect(error),
        }
        answer
    }

    /// Any commands, once, in one go.
    pub(crate) async fn send_all(
        &self,
        commands: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut connection = self.live_soon().await.map_err(not_sent)?.connection;
        let answers = connection
            .req_packed_commands(commands, offset, count)
            .await;
        match &answers {
            Ok(answers) => {
                for answer in answers {
                    if let Value::ServerError(error) = answer {
                        self.suspect(&error.clone().into());
                    }
                }
            }
            Err(error) => self.suspect(error),
        }
        answers
    }

    /// The database everything lies in.
    pub(crate) fn db(&self) -> i64 {
        self.shared.endpoint.db()
    }

    /// Looks after the connection where an error says that something is wrong with it. A right that
    /// is missing for one command says nothing about the others.
    fn suspect(&self, error: &RedisError) {
        match Meaning::of(error) {
            Meaning::ReadOnly | Meaning::Unauthenticated => self.shared.replace(explain(error)),
            meaning if meaning.is_an_answer() => {}
            _ => self.doubt().notify_one(),
        }
    }

    /// A connection for this caller alone.
    pub(crate) async fn exclusive(&self) -> Result<Exclusive<'_>, Failure> {
        let refused = |why: String| Failure::Refused(why);
        let permit = self.shared.exclusive.acquire().await;
        let permit = permit.map_err(|_| refused("the store is closing".into()))?;
        let generation = self.live()?.generation;
        let idle = loop {
            match self.shared.idle().pop() {
                // One from before a reconnect may lead to another server.
                Some((of, _)) if of != generation => {}
                other => break other.map(|(_, connection)| connection),
            }
        };
        let connection = match idle {
            Some(connection) => connection,
            None => {
                // In memory of its own: connecting takes five times what all the rest of a take does.
                let opened = Box::pin(self.shared.endpoint.open(self.shared.timeouts)).await;
                opened.map_err(|e| refused(e.to_string()))?
            }
        };
        Ok(Exclusive {
            connection,
            generation,
            node: &self.shared,
            _permit: permit,
        })
    }

    pub(crate) async fn by_script(
        &self,
        connection: &mut MultiplexedConnection,
        order: &TakeRequest,
    ) -> Result<Answer, Failure> {
        match self.call_script(connection, order).await {
            Err(Failure::NoScript) => {
                self.shared.counters.script_loads.add();
                let loaded = script::load().exec_async(connection).await;
                loaded.map_err(|e| Failure::of_read(&e))?;
                self.call_script(connection, order).await
            }
            other => other,
        }
    }

    async fn call_script(
        &self,
        connection: &mut MultiplexedConnection,
        order: &TakeRequest,
    ) -> Result<Answer, Failure> {
        let clock = &self.shared.clock;
        let Some(deadline) = clock.deadline(order.not_after) else {
            return Err(Failure::Refused(
                "the server's time is not known yet".into(),
            ));
        };
        self.shared.counters.script_calls.add();
        let sent = Instant::now();
        let reply: RedisResult<Value> = script::call(order, deadline).query_async(connection).await;
        let received = Instant::now();
        let reply = reply.map_err(|e| Failure::of_write(&e))?;
        let (answer, now) = script::read(reply, order.permits.len())?;
        clock.learn(sent, received, now);
        Ok(answer)
    }

    /// The connection; one that is being made again is waited for as long as an answer would be.
    async fn live_soon(&self) -> Result<LiveConnection, Failure> {
        if let Ok(live) = self.live() {
            return Ok(live);
        }
        // What this is about is found by the look after it.
        let _ = Box::pin(self.ready(self.shared.timeouts.response)).await;
        self.live()
    }

    pub(crate) fn live(&self) -> Result<LiveConnection, Failure> {
        let live = self.shared.live.borrow().clone();
        live.ok_or_else(|| Failure::Refused(self.shared.trouble().why.clone()))
    }
}

/// A connection that is used by one take at a time. It is closed when dropped, unless it is put
/// back: a take that broke off may have left it watching keys.
pub(crate) struct Exclusive<'a> {
    pub(crate) connection: MultiplexedConnection,
    generation: u64,
    node: &'a Shared,
    _permit: SemaphorePermit<'a>,
}

impl Exclusive<'_> {
    /// It is as it was when it was opened.
    pub(crate) fn put_back(self) {
        let mut idle = self.node.idle();
        if idle.len() < EXCLUSIVE {
            idle.push((self.generation, self.connection));
        }
    }
}

impl Shared {
    fn met(&self) -> MutexGuard<'_, Option<Met>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self) -> Option<Address> {
        let live = self.live.borrow();
        live.as_ref().and_then(|live| live.at.clone())
    }

    /// Has the connection made again, without asking it once more.
    fn replace(&self, why: String) {
        *self.replace.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.doubt.notify_one();
    }

    fn to_replace(&self) -> Option<String> {
        self.replace
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn connect(&self, live: Option<LiveConnection>) {
        self.live.send_replace(live);
        self.connected.send_modify(|times| *times += 1);
    }

    /// A connection was set up to the server that says this of itself. One that says nothing counts as
    /// another one each time.
    fn meet(&self, ServerInfo { run, product }: ServerInfo) {
        let mut met = self.met();
        let same = met
            .as_ref()
            .is_some_and(|met| run.is_some() && met.run == run);
        if !same {
            *met = Some(Met {
                run,
                product,
                id: ServerId::new(),
                since: Instant::now(),
            });
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(u64, MultiplexedConnection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is lost again within this time is not logged again.
const LOG_AGAIN: Duration = Duration::from_secs(10);

/// Connects, watches over the connection, connects again.
async fn supervise(shared: Arc<Shared>) {
    let name = shared.endpoint.name();
    let (mut backoff, mut generation, mut announced) = (Backoff::new(), 0_u64, None);
    // A server that answers and is of no use, as a replica is, ends each connection at once: that is logged once a while.
    let (mut logged, mut quiet) = (None::<Instant>, false);
    loop {
        match set_up(&shared).await {
            Ok((connection, at, scripting)) => {
                generation += 1;
                if generation > 1 {
                    shared.counters.reconnects.add();
                    match quiet {
                        true => tracing::debug!(server = %name, "reconnected to Redis"),
                        false => tracing::info!(server = %name, "reconnected to Redis"),
                    }
                }
                announce(&name, scripting, &mut announced);
                let since = Instant::now();
                let _ = shared.to_replace();
                let live = LiveConnection {
                    connection: connection.clone(),
                    at,
                    scripting,
                    generation,
                };
                shared.connect(Some(live));
                if generation > 1 {
                    shared.registry.wake_all();
                }
                let why = broken(&shared, connection).await;
                quiet = since.elapsed() < LOG_AGAIN
                    && logged.is_some_and(|at| at.elapsed() < LOG_AGAIN);
                if quiet {
                    tracing::debug!(server = %name, error = %why, "lost the connection to Redis");
                } else {
                    tracing::warn!(server = %name, error = %why, "lost the connection to Redis");
                    logged = Some(Instant::now());
                }
                *shared.trouble() = Trouble::away(why);
                shared.connect(None);
                shared.idle().clear();
                backoff.after_life_of(since.elapsed());
            }
            Err(trouble) => {
                let before = std::mem::replace(&mut *shared.trouble(), trouble.clone());
                if before != trouble {
                    tracing::warn!(server = %name, error = %trouble.why, "cannot connect to Redis, trying again");
                }
                if trouble.is_for_good() {
                    // Those who wait for a connection look what is wrong.
                    shared.live.send_modify(|_| ());
                }
            }
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Resolves with the reason when the connection is to be replaced.
async fn broken(shared: &Shared, mut connection: MultiplexedConnection) -> String {
    loop {
        tokio::select! {
            () = shared.doubt.notified() => {}
            () = tokio::time::sleep(shared.timeouts.ping_every) => {}
        }
        if let Some(why) = shared.to_replace() {
            return why;
        }
        match cmd("PING").exec_async(&mut connection).await {
            Ok(()) => {}
            Err(error) if Meaning::of(&error) == Meaning::TimedOut => {
                return slow(shared.timeouts.response);
            }
            Err(error) => return explain(&error),
        }
    }
}

/// A connection that works, where it leads, and whether scripts are allowed on it.
async fn set_up(
    shared: &Shared,
) -> Result<(MultiplexedConnection, Option<Address>, bool), Trouble> {
    let trouble = |error: RedisError| Trouble::of(&error, shared.timeouts.response);
    let (mut connection, at) = shared
        .endpoint
        .open_at(shared.timeouts)
        .await
        .map_err(trouble)?;
    shared.clock.forget();
    // First: a server that is too old may fail at anything that follows.
    let info = fetch_server_info(&mut connection).await.map_err(trouble)?;
    if let Some(trouble) = info.product.as_ref().and_then(Trouble::too_old) {
        return Err(trouble);
    }
    let scripting = load(shared, &mut connection).await.map_err(trouble)?;
    shared.meet(info);
    let sent = Instant::now();
    let time: RedisResult<(i64, i64)> = cmd("TIME").query_async(&mut connection).await;
    let (seconds, micros) = time.map_err(trouble)?;
    let server = seconds.saturating_mul(1_000_000).saturating_add(micros);
    shared.clock.learn(sent, Instant::now(), server);
    Ok((connection, at, scripting))
}

/// Loads the script where this user may run scripts.
async fn load(shared: &Shared, connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    shared.counters.script_loads.add();
    match script::load().exec_async(connection).await {
        Ok(()) => may_evaluate(connection).await,
        Err(error) if is_forbidden(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a server says of itself.
struct ServerInfo {
    /// Its run and the history it replicates; `None` where this user may not ask.
    run: Option<(String, String)>,
    product: Option<Product>,
}

async fn fetch_server_info(connection: &mut MultiplexedConnection) -> RedisResult<ServerInfo> {
    let mut ask = redis::pipe();
    ask.cmd("INFO").arg("server").cmd("INFO").arg("replication");
    let role: RedisResult<(String, String)> = ask.query_async(connection).await;
    match role {
        Ok((server, replication)) => Ok(ServerInfo {
            run: word_of(&server, "run_id")
                .zip(word_of(&replication, "master_replid"))
                .map(|(run, history)| (run.to_owned(), history.to_owned())),
            product: Product::read(&server),
        }),
        // Not every user may ask, and some servers answer later.
        Err(error) if Meaning::of(&error).is_an_answer() => Ok(ServerInfo {
            run: None,
            product: None,
        }),
        Err(error) => Err(error),
    }
}

/// The run of the server behind a connection; `None` where this user may not ask.
pub(crate) async fn run_of(connection: &mut MultiplexedConnection) -> RedisResult<Option<String>> {
    Ok(fetch_server_info(connection).await?.run.map(|(run, _)| run))
}

fn word_of<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// Asks for a script that no server has: without the right to ask, the server says so first.
async fn may_evaluate(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let unknown = "0".repeat(40);
    let mut call = cmd("EVALSHA");
    call.arg(unknown).arg(0);
    match call.exec_async(connection).await {
        Err(error) if is_forbidden(&error) => Ok(false),
        Err(error) if Meaning::of(&error) == Meaning::NoScript => Ok(true),
        Err(error) => Err(error),
        Ok(()) => Ok(true),
    }
}

fn is_forbidden(error: &RedisError) -> bool {
    matches!(Meaning::of(error), Meaning::Forbidden { .. })
}

fn announce(name: &str, scripting: bool, announced: &mut Option<bool>) {
    if announced.replace(scripting) == Some(scripting) {
        return;
    }
    match scripting {
        true => tracing::info!(server = %name, "permits are taken by script"),
        false => tracing::warn!(
            server = %name,
            "scripts are forbidden to this user: permits are taken by WATCH and MULTI, as atomic but slower; \
             allow +evalsha +script|load to change that"
        ),
    }
}
