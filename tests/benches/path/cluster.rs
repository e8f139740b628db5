//! How the work spreads over a cluster: as many plans as go through, with tagged permit keys, and
//! what each master had to do for them.

use crate::{
    process::Service,
    statistics::Statistics,
    venue::Venue,
    wire::{self, Follower},
};
use apply_redis::Keys;
use apply_tests::{PLANS, RESULTS, apply_layer, governor_permit, has_been_up, position_permit};
use redis::{Cmd, Pipeline, aio::MultiplexedConnection};
use redis_harness::Cluster;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const MASTERS: usize = 3;
const TAGGED: &str = "governor=quantum:permit:{{plan}},p33=quantum:permit:p33:{{plan}}";
const PERMIT_SECONDS: u64 = 60;

/// What was found.
pub(crate) struct OnCluster {
    pub(crate) symbols: usize,
    pub(crate) plans: usize,
    pub(crate) within: Duration,
    pub(crate) masters: Vec<Master>,
}

/// One master's part.
pub(crate) struct Master {
    /// The streams that lie there.
    pub(crate) streams: Vec<&'static str>,
    /// Permits that were written there.
    pub(crate) permits: u64,
    /// Commands it ran, everybody's, those inside scripts included.
    pub(crate) commands: u64,
    pub(crate) processor: Duration,
}

pub(crate) async fn measure(symbols: usize, window: Duration) -> OnCluster {
    let cluster = Cluster::start(MASTERS).await;
    let mut nodes = Vec::new();
    for node in cluster.nodes() {
        nodes.push(node.connection().await);
    }
    has_been_up(&mut nodes, &Keys::default().on_a_cluster()).await;
    let hosts = cluster.urls().join(",").replace("redis://", "");
    let url = format!("redis+cluster://{hosts}");
    let venue = Venue::start(symbols);
    let _service = Service::start(
        apply_layer(),
        &cluster.nodes()[0],
        &venue,
        &wire::symbols(symbols),
        &[
            ("REDIS_URL", &url),
            ("APPLY_PERMITS", TAGGED),
            ("APPLY_PERMIT_WAIT_MS", "20000"),
        ],
    );
    let mut statistics = Vec::new();
    for node in cluster.nodes() {
        statistics.push(wire::connect(node).await);
    }
    let mut plans = Follower::of_plans(&cluster.nodes()[home(PLANS)]).await;
    let mut results = Follower::of_results(&cluster.nodes()[home(RESULTS)]).await;
    let mut issuing = Writers::open(&cluster).await;
    let issuers = tokio::spawn(async move {
        loop {
            for plan in plans.next().await {
                if plan.word == "EXECUTE" {
                    for (prefix, permit) in [
                        ("quantum:permit:", governor_permit(&plan.symbol)),
                        (
                            "quantum:permit:p33:",
                            position_permit(&plan.symbol, "0.009"),
                        ),
                    ] {
                        let key = format!("{prefix}{{{}}}", plan.plan);
                        let mut write = redis::cmd("SETEX");
                        write.arg(&key).arg(PERMIT_SECONDS).arg(permit);
                        issuing.add(&key, write);
                    }
                }
            }
            issuing.send().await;
        }
    });

    let mut brain = Writers::open(&cluster).await;
    let mut turns = vec![0_usize; symbols];
    for number in 0..symbols {
        brain.propose(number, 0);
    }
    brain.send().await;
    // Connections and caches are warm after a tenth of the time.
    let (mut from, mut done, mut before) = (Instant::now(), 0_usize, Vec::new());
    loop {
        let entries = timeout(Duration::from_secs(60), results.next()).await;
        for result in entries.expect("a result") {
            assert_eq!(result.word, "True", "{}", result.plan);
            let number = wire::number(&result.symbol);
            turns[number] += 1;
            brain.propose(number, turns[number]);
            done += 1;
        }
        brain.send().await;
        if before.is_empty() && from.elapsed() > window / 10 {
            for connection in &mut statistics {
                before.push(Statistics::of(connection).await);
            }
            (from, done) = (Instant::now(), 0);
        }
        if !before.is_empty() && from.elapsed() > window {
            break;
        }
    }
    let within = from.elapsed();
    issuers.abort();
    let mut masters = Vec::new();
    for (number, before) in before.iter().enumerate() {
        let found = Statistics::of(&mut statistics[number]).await.since(before);
        let streams = [("plans", PLANS), ("results", RESULTS)].into_iter();
        masters.push(Master {
            streams: streams
                .filter(|(_, key)| home(key) == number)
                .map(|(name, _)| name)
                .collect(),
            permits: found.calls_of("setex"),
            commands: found.all(),
            processor: found.processor,
        });
    }
    OnCluster {
        symbols,
        plans: done,
        within,
        masters,
    }
}

/// Commands for each master, until they are sent together.
struct Writers(Vec<(MultiplexedConnection, Pipeline)>);

impl Writers {
    async fn open(cluster: &Cluster) -> Self {
        let mut writers = Vec::new();
        for node in cluster.nodes() {
            writers.push((wire::connect(node).await, redis::pipe()));
        }
        Self(writers)
    }

    fn add(&mut self, key: &str, command: Cmd) {
        self.0[home(key)].1.add_command(command).ignore();
    }

    fn propose(&mut self, number: usize, turn: usize) {
        let symbol = wire::symbol(number);
        let key = format!("quantum:harvest:proposal:{symbol}");
        self.add(&key, wire::proposal(&symbol, turn));
    }

    async fn send(&mut self) {
        for (connection, pipe) in &mut self.0 {
            if !pipe.is_empty() {
                let () = pipe.query_async(connection).await.unwrap();
                pipe.clear();
            }
        }
    }
}

/// The master of a key: slots are dealt out in equal ranges.
fn home(key: &str) -> usize {
    const SLOTS: usize = 16_384;
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let tag = tag.map_or(key, |(tag, _)| tag);
    let mut crc = 0_u16;
    for byte in tag.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = match crc & 0x8000 {
                0 => crc << 1,
                _ => crc << 1 ^ 0x1021,
            };
        }
    }
    let slot = usize::from(crc) % SLOTS;
    (0..MASTERS)
        .rfind(|number| SLOTS * number / MASTERS <= slot)
        .unwrap_or_default()
}
