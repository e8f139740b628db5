//! What the neighbours write and read, in as few commands as they can be written in.

use apply_tests::{PLANS, RESULTS, computed_now, governor_permit, position_permit};
use redis::{Client, Cmd, Pipeline, Value, aio::MultiplexedConnection, cmd};
use redis_harness::RedisServer;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds a permit lasts.
const PERMIT_SECONDS: u64 = 60;

/// The symbol of this number.
pub(crate) fn symbol(number: usize) -> String {
    format!("S{number:05}USDT")
}

/// Names of so many symbols, as the service takes them.
pub(crate) fn symbols(count: usize) -> String {
    (0..count).map(symbol).collect::<Vec<_>>().join(",")
}

/// The number of a symbol.
pub(crate) fn number(symbol: &str) -> usize {
    symbol[1..6].parse().unwrap()
}

/// A proposal as the exit brain writes it: one command. Another `turn` is another plan.
pub(crate) fn proposal(symbol: &str, turn: usize) -> Cmd {
    let at = computed_now(turn as u64);
    let mut write = cmd("HSET");
    write.arg(format!("quantum:harvest:proposal:{symbol}"));
    for (field, value) in [
        ("harvest_action", "PARTIAL_50"),
        ("kill_score", "0.539"),
        ("k_regime_flip", "0.1"),
        ("k_sigma_spike", "0.2"),
        ("k_ts_drop", "0.3"),
        ("R_net", "1.25"),
        ("computed_at_utc", &at),
        ("last_update_epoch", "1769301008"),
        ("reason_codes", "ts_drop,age"),
    ] {
        write.arg(field).arg(value);
    }
    write
}

/// Both permits of a plan, added to what is to be written.
pub(crate) fn permits(pipe: &mut Pipeline, plan: &str, symbol: &str) {
    for (prefix, permit) in [
        ("quantum:permit:", governor_permit(symbol)),
        ("quantum:permit:p33:", position_permit(symbol, "0.009")),
    ] {
        pipe.set_ex(format!("{prefix}{plan}"), permit, PERMIT_SECONDS)
            .ignore();
    }
}

/// Now, since 1970.
pub(crate) fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// A connection of its own, with no time limit on answers.
pub(crate) async fn connect(server: &RedisServer) -> MultiplexedConnection {
    connect_to(&server.url()).await
}

/// The same, to that port's listener.
pub(crate) async fn connect_to(url: &str) -> MultiplexedConnection {
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection_with_config(&patient)
        .await
        .unwrap()
}

/// Follows one of the two streams.
pub(crate) struct Follower {
    connection: MultiplexedConnection,
    stream: &'static str,
    seen: String,
}

/// What is needed of an entry.
pub(crate) struct StreamEntry {
    pub(crate) plan: String,
    pub(crate) symbol: String,
    /// `decision` of a plan, `executed` of a result.
    pub(crate) word: String,
}

impl Follower {
    pub(crate) async fn of_plans(server: &RedisServer) -> Self {
        Self::new(server, PLANS).await
    }

    pub(crate) async fn of_results(server: &RedisServer) -> Self {
        Self::new(server, RESULTS).await
    }

    async fn new(server: &RedisServer, stream: &'static str) -> Self {
        Self {
            connection: connect(server).await,
            stream,
            seen: "0".into(),
        }
    }

    /// The connection it reads on.
    pub(crate) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// The entries that are new; waits until there are some.
    pub(crate) async fn next(&mut self) -> Vec<StreamEntry> {
        loop {
            let reply: Value = cmd("XREAD")
                .arg(&["COUNT", "1000", "BLOCK", "0", "STREAMS"])
                .arg(self.stream)
                .arg(&self.seen)
                .query_async(&mut self.connection)
                .await
                .unwrap();
            let entries = self.read(reply);
            if !entries.is_empty() {
                return entries;
            }
        }
    }

    fn read(&mut self, reply: Value) -> Vec<StreamEntry> {
        let Value::Array(streams) = reply else {
            return Vec::new();
        };
        let Some(Value::Array(stream)) = streams.into_iter().next() else {
            return Vec::new();
        };
        let Some(Value::Array(entries)) = stream.into_iter().nth(1) else {
            return Vec::new();
        };
        entries
            .into_iter()
            .map(|entry| {
                let (id, fields): (String, Vec<String>) = redis::from_redis_value(entry).unwrap();
                self.seen = id;
                let field = |name: &str| {
                    let mut pairs = fields.chunks_exact(2);
                    let found = pairs.find(|pair| pair[0] == name);
                    found.map(|pair| pair[1].clone()).unwrap_or_default()
                };
                let word = match self.stream {
                    PLANS => "decision",
                    _ => "executed",
                };
                StreamEntry {
                    plan: field("plan_id"),
                    symbol: field("symbol"),
                    word: field(word),
                }
            })
            .collect()
    }
}
