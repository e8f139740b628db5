//! A server, a venue, and what everybody reads and writes between them.

use crate::{
    entry::Entry,
    moment::computed_now,
    reviewer::{Reviewer, governor_permit, position_permit},
    service::{Service, ServiceBuilder},
    wait::within,
};
use apply_redis::Keys;
use apply_wire::key;
use exchange_client::{Client, Credentials, Settings};
use exchange_sim::{OrderRecord, Sim, SimConfig, SimHandle, SymbolSpec};
use redis::{AsyncCommands, AsyncConnectionConfig, FromRedisValue, aio::MultiplexedConnection};
use redis_harness::RedisServer;
use rust_decimal::Decimal;
use std::{
    collections::HashSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// The stream of plans.
pub use apply_wire::key::PLANS;
/// The stream of results.
pub use apply_wire::key::RESULTS;

/// Before a plan's id: the key of its governor's permit.
pub const GOVERNOR: &str = key::PERMIT_GOVERNOR.as_str();
/// Before a plan's id: the key of its position brain's permit.
pub const P33: &str = key::PERMIT_P33.as_str();

/// A real `redis-server` and a simulated venue that holds 12.4 BTC, 124 ETH and 1240 SOL.
#[derive(Debug)]
pub struct Stage {
    /// The server.
    pub redis: RedisServer,
    sim: Sim,
    /// Where everybody reads and writes.
    url: String,
    connection: MultiplexedConnection,
    proposals: AtomicU32,
}

/// A reader of a stream that remembers how far it has come.
#[derive(Debug)]
pub struct Follower {
    connection: MultiplexedConnection,
    stream: String,
    seen: String,
}

impl Follower {
    /// The next entry that is wanted; those before it are passed over for good.
    pub async fn next(&mut self, what: &str, wanted: impl Fn(&Entry) -> bool) -> Entry {
        let Self {
            connection,
            stream,
            seen,
        } = self;
        within(what, async {
            loop {
                let reply: redis::Value = redis::cmd("XREAD")
                    .arg(&["BLOCK", "1000", "STREAMS", stream, seen])
                    .query_async(connection)
                    .await
                    .unwrap_or_else(|error| panic!("cannot follow {stream}: {error}"));
                for entry in Entry::of_read(reply) {
                    seen.clone_from(&entry.id);
                    if wanted(&entry) {
                        return entry;
                    }
                }
            }
        })
        .await
    }
}

impl Stage {
    /// Both parts, up and empty.
    pub async fn open() -> Self {
        Self::open_on(RedisServer::start().await).await
    }

    /// The same with a server of one's own making.
    pub async fn open_on(redis: RedisServer) -> Self {
        let config = SimConfig::default()
            .position("BTCUSDT", Decimal::new(124, 1))
            .position("ETHUSDT", Decimal::new(124, 0))
            .position("SOLUSDT", Decimal::new(1240, 0));
        Self::open_with(redis, config).await
    }

    /// A server of one's own and a venue that holds 12.4 of each of these symbols, all of them like
    /// BTCUSDT.
    pub async fn open_for(redis: RedisServer, symbols: &[String]) -> Self {
        let config = symbols.iter().fold(SimConfig::default(), |config, symbol| {
            config
                .symbol(SymbolSpec::btcusdt().named(symbol))
                .position(symbol, Decimal::new(124, 1))
        });
        Self::open_with(redis, config).await
    }

    async fn open_with(redis: RedisServer, config: SimConfig) -> Self {
        // A strict judge of our own client, and no limits that it would keep to.
        let config = config.strict().unknown_filter().unlimited();
        let sim = Sim::start(config)
            .await
            .unwrap_or_else(|error| panic!("no simulated venue: {error}"));
        let url = redis.url();
        let mut connection = connect(&url).await;
        has_been_up(std::slice::from_mut(&mut connection), &Keys::default()).await;
        Self {
            redis,
            sim,
            url,
            connection,
            proposals: AtomicU32::new(0),
        }
    }

    /// Where everybody reads and writes.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Brings a server that was killed back, on the same port and with what it kept on disk.
    pub async fn restart_redis(&mut self) {
        self.redis.restart().await;
        self.connection = connect(&self.redis.url()).await;
    }

    /// The server looks as if it had been up for long: see [`has_been_up`].
    pub async fn has_been_up(&self) {
        let mut connection = self.connection.clone();
        has_been_up(std::slice::from_mut(&mut connection), &Keys::default()).await;
    }

    /// From now on everybody plays on another server.
    pub async fn move_to(&mut self, url: &str) {
        self.url = url.to_owned();
        self.connection = connect(url).await;
    }

    /// The venue's inside view: its order log is the judge.
    pub fn venue(&self) -> &SimHandle {
        self.sim.handle()
    }

    /// A client of one's own on the venue's account.
    pub async fn client(&self) -> Client {
        let wrong = |error: &dyn std::fmt::Display| -> ! { panic!("no client: {error}") };
        let host = self.sim.url().parse().unwrap_or_else(|error| wrong(&error));
        let credentials = Credentials::hmac(SimConfig::API_KEY, SimConfig::API_SECRET)
            .unwrap_or_else(|error| wrong(&error));
        let client = Client::new(host, credentials, Settings::default())
            .unwrap_or_else(|error| wrong(&error));
        client.warm_up().await.unwrap_or_else(|error| wrong(&error));
        client
    }

    /// Every order that arrived at the venue.
    pub fn orders(&self) -> Vec<OrderRecord> {
        assert_eq!(self.venue().orders_dropped(), 0, "the log is complete");
        self.venue().orders()
    }

    /// The one order that arrived.
    pub fn only_order(&self) -> OrderRecord {
        let mut orders = self.orders();
        assert_eq!(orders.len(), 1, "{orders:?}");
        orders.remove(0)
    }

    /// The service in testnet mode on these two, patient with permits and quick to look for
    /// proposals; not started yet.
    pub fn service(&self) -> ServiceBuilder {
        self.program(&["run"])
    }

    /// The program with other arguments in the same environment; not started yet.
    pub fn program(&self, arguments: &[&str]) -> ServiceBuilder {
        ServiceBuilder::command(arguments)
            .env("APPLY_MODE", "testnet")
            .env("REDIS_URL", &self.url)
            .env("BINANCE_TESTNET_URL", self.sim.url())
            .env("BINANCE_TESTNET_API_KEY", SimConfig::API_KEY)
            .env("BINANCE_TESTNET_API_SECRET", SimConfig::API_SECRET)
            .env("APPLY_ALLOWLIST", "BTCUSDT,ETHUSDT,SOLUSDT")
            .env("APPLY_STOPS", "on")
            .env("APPLY_METRICS_PORT", "0")
            .env("APPLY_POLL_SEC", "0.02")
            .env("APPLY_PERMIT_WAIT_MS", "20000")
            .env("APPLY_PERMIT_STEP_MS", "20")
    }

    /// The loopback port on which the venue listens.
    pub fn venue_port(&self) -> u16 {
        self.sim.address().port()
    }

    /// The same, started and ready.
    pub async fn ready(&self) -> Service {
        self.service().ready().await
    }

    /// Writes a calm proposal as the exit brain does, one that no other has the plan id of.
    pub async fn propose(&self, symbol: &str, action: &str) {
        self.propose_with(symbol, action, &[]).await;
    }

    /// The same with other fields beside or instead of the usual ones.
    pub async fn propose_with(&self, symbol: &str, action: &str, fields: &[(&str, &str)]) {
        let n = self.proposals.fetch_add(1, Ordering::Relaxed);
        let at = computed_now(n.into());
        let mut all = vec![
            ("harvest_action", action),
            ("kill_score", "0.539"),
            ("k_regime_flip", "0.1"),
            ("k_sigma_spike", "0.2"),
            ("k_ts_drop", "0.3"),
            ("R_net", "1.25"),
            ("computed_at_utc", &at),
            ("last_update_epoch", "1769301008"),
            ("reason_codes", "ts_drop,age"),
        ];
        all.retain(|(name, _)| !fields.iter().any(|(other, _)| other == name));
        all.extend_from_slice(fields);
        let key = key::PROPOSAL.of(symbol);
        let () = redis::pipe()
            .atomic()
            .del(&key)
            .hset_multiple(&key, &all)
            .query_async(&mut self.connection.clone())
            .await
            .unwrap_or_else(|error| panic!("cannot propose: {error}"));
    }

    /// The newest plan of a symbol that is to be executed and is not among `known`.
    pub async fn plan(&self, symbol: &str, known: &HashSet<String>) -> Entry {
        self.wait_for_entry(PLANS, "a plan is published", |entry| {
            entry.get("symbol") == symbol
                && entry.get("decision") == "EXECUTE"
                && !known.contains(entry.get("plan_id"))
        })
        .await
    }

    /// The plan of a symbol that is to be executed, where there is but one.
    pub async fn only_plan(&self, symbol: &str) -> Entry {
        self.plan(symbol, &HashSet::new()).await
    }

    /// The result of a plan, once it is there.
    pub async fn result_of(&self, plan: &str) -> Entry {
        self.wait_for_entry(RESULTS, &format!("plan {plan} has a result"), |entry| {
            entry.get("plan_id") == plan
        })
        .await
    }

    /// The first result of a symbol, for tests in which it has one.
    pub async fn result_for(&self, symbol: &str) -> Entry {
        self.wait_for_entry(RESULTS, &format!("{symbol} has a result"), |entry| {
            entry.get("symbol") == symbol
        })
        .await
    }

    /// Follows a stream from its beginning until an entry is wanted.
    pub async fn wait_for_entry(
        &self,
        stream: &str,
        what: &str,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Entry {
        self.follow(stream).await.next(what, wanted).await
    }

    /// A stream from its beginning, read once however long it grows.
    pub async fn follow(&self, stream: &str) -> Follower {
        Follower {
            // A connection of its own: a blocking command on a shared one blocks all its users.
            connection: connect(&self.url).await,
            stream: stream.to_owned(),
            seen: "0".to_owned(),
        }
    }

    /// Everything on a stream.
    pub async fn entries(&self, stream: &str) -> Vec<Entry> {
        Entry::of_range(self.command(&["XRANGE", stream, "-", "+"]).await)
    }

    /// Writes the governor's permit of a plan.
    pub async fn govern(&self, plan: &str, permit: &str) {
        self.write_permit(GOVERNOR, plan, permit).await;
    }

    /// Writes the position brain's permit of a plan.
    pub async fn allow(&self, plan: &str, permit: &str) {
        self.write_permit(P33, plan, permit).await;
    }

    /// Writes both permits of a plan, each a plain yes, for `quantity`.
    pub async fn approve(&self, plan: &Entry, quantity: &str) {
        let (id, symbol) = (plan.get("plan_id"), plan.get("symbol"));
        self.govern(id, &governor_permit(symbol)).await;
        self.allow(id, &position_permit(symbol, quantity)).await;
    }

    async fn write_permit(&self, prefix: &str, plan: &str, permit: &str) {
        let () = self
            .connection
            .clone()
            .set_ex(format!("{prefix}{plan}"), permit, 60)
            .await
            .unwrap_or_else(|error| panic!("cannot write a permit: {error}"));
    }

    /// A governor who answers every plan `after` that long with a yes.
    pub async fn governor(&self, after: Duration) -> Reviewer {
        self.governor_saying(move |plan| Some((after, governor_permit(plan.get("symbol")))))
            .await
    }

    /// A governor of one's own.
    pub async fn governor_saying(
        &self,
        says: impl Fn(&Entry) -> Option<(Duration, String)> + Send + 'static,
    ) -> Reviewer {
        Reviewer::start(self.url.clone(), "governor", GOVERNOR, says).await
    }

    /// A position brain who allows `quantity` on every plan, `after` that long.
    pub async fn position_brain(&self, after: Duration, quantity: &'static str) -> Reviewer {
        self.position_brain_saying(move |plan| {
            Some((after, position_permit(plan.get("symbol"), quantity)))
        })
        .await
    }

    /// A position brain of one's own.
    pub async fn position_brain_saying(
        &self,
        says: impl Fn(&Entry) -> Option<(Duration, String)> + Send + 'static,
    ) -> Reviewer {
        Reviewer::start(self.url.clone(), "p33", P33, says).await
    }

    /// Any command.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        command(&mut self.connection.clone(), words).await
    }
}

/// A server of one's own on which plans are claimed at once: see [`has_been_up`].
pub async fn server_that_has_been_up() -> RedisServer {
    let server = RedisServer::start().await;
    let mut connection = server.connection().await;
    has_been_up(std::slice::from_mut(&mut connection), &Keys::default()).await;
    server
}

/// Makes it look as if servers had been up since long before anything that tests propose was computed: a
/// service claims plans on them at once. One that is started again, or flushed, is new all the same.
///
/// On a cluster the node does it that has the slot of the open plans.
pub async fn has_been_up(servers: &mut [MultiplexedConnection], keys: &Keys) {
    let years = Duration::from_secs(3 * 365 * 86_400);
    for server in servers {
        match apply_redis::testing::age(server, keys, years).await {
            Err(error) if error.code() == Some("MOVED") => {}
            Err(error) => panic!("cannot make the server look older: {error}"),
            Ok(()) => return,
        }
    }
    panic!("no server has the slot of the open plans");
}

/// Any command, whose answer has to be of this form.
pub(crate) async fn command<T: FromRedisValue>(
    redis: &mut MultiplexedConnection,
    words: &[&str],
) -> T {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command
        .query_async(redis)
        .await
        .unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// A connection that waits for its answers as long as this machine may be busy. A server that is just coming back
/// refuses for a moment.
pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let patient = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(30)));
    let client = redis::Client::open(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    within(&format!("{url} is there"), async {
        loop {
            match client
                .get_multiplexed_async_connection_with_config(&patient)
                .await
            {
                Ok(connection) => return connection,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
}
