//! How soon after a plan's XADD its permit is in Redis, beside the bare floor of the same three
//! commands (XADD, XREADGROUP, SET), in turns against one server:
//!
//! `cargo run --release -p issuers-redis --example plan_to_permit -- [rounds]`
//!
//! The governor with limits reads its usage first, the position brain its page; the auto-approver
//! only writes. Times are from before the XADD is sent until the answer to the write is in hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    missing_docs
)]

use apply_core::{PortError, Symbol};
use issuers_redis::{IssuersConfig, RedisFeed, RedisPositionBook, RedisUsageBook};
use permit_issuers::{
    Governor, Lot, Outcome, PositionBrain, ReviewOutcome, VenuePosition,
    governor::{Limits, Policy},
    ports::{Delivery, Held, PlanFeed, Positions},
    position_brain,
};
use redis::{
    AsyncCommands,
    aio::MultiplexedConnection,
    streams::{StreamReadOptions, StreamReadReply},
};
use redis_harness::RedisServer;
use rust_decimal::Decimal;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const PLANS: &str = "quantum:stream:apply.plan";
const WARM: usize = 50;

/// A venue that always answers; the brain asks it once in ten seconds.
struct Venue;

impl Positions for Venue {
    async fn fetch(&self, symbols: &[Symbol]) -> Result<Vec<Held>, PortError> {
        let step = Decimal::new(1, 4);
        let holding = VenuePosition {
            amount: Decimal::new(124, 4),
            mark_price: Some(Decimal::new(64_000, 0)),
            lot: Lot {
                step,
                min: step,
                max: None,
            },
        };
        Ok(symbols.iter().map(|s| (s.clone(), Ok(holding))).collect())
    }
}

/// One way from plan to permit, running in its task: says when each permit was written.
struct Measurement {
    name: &'static str,
    _server: RedisServer,
    redis: MultiplexedConnection,
    done: UnboundedReceiver<Instant>,
    taken: Vec<Duration>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let rounds = std::env::args().nth(1).map_or(3000, |n| n.parse().unwrap());
    let mut measurements = [
        floor().await,
        governor("governor, approving all", Policy::ApproveAll).await,
        governor("governor, within limits", Policy::Limited(wide())).await,
        brain().await,
    ];
    for round in 0..rounds + WARM {
        for measurement in &mut measurements {
            let taken = measurement.turn(round).await;
            if round >= WARM {
                measurement.taken.push(taken);
            }
        }
    }
    println!("{rounds} plans each, in turns, one thread, a server of its own each; microseconds\n");
    println!(
        "{:<28}{:>8}{:>8}{:>8}{:>10}",
        "", "p50", "p99", "max", "x floor"
    );
    let base = percentile(&mut measurements[0].taken, 50);
    for measurement in &mut measurements {
        let half = percentile(&mut measurement.taken, 50);
        println!(
            "{:<28}{:>8}{:>8}{:>8}{:>10.2}",
            measurement.name,
            half.as_micros(),
            percentile(&mut measurement.taken, 99).as_micros(),
            percentile(&mut measurement.taken, 100).as_micros(),
            half.as_secs_f64() / base.as_secs_f64()
        );
    }
}

impl Measurement {
    async fn turn(&mut self, round: usize) -> Duration {
        let plan = format!("{round:016x}");
        let fields = [
            ("plan_id", plan.as_str()),
            ("symbol", "BTCUSDT"),
            ("action", "PARTIAL_75"),
            ("kill_score", "0.5"),
            ("decision", "EXECUTE"),
        ];
        let begun = Instant::now();
        let () = self.redis.xadd(PLANS, "*", &fields).await.unwrap();
        let done = tokio::time::timeout(Duration::from_secs(10), self.done.recv()).await;
        let written = done.expect("a permit within ten seconds").unwrap();
        // What was granted is forgotten, so that every plan finds the same book.
        let () = self
            .redis
            .del("quantum:governor:usage:BTCUSDT")
            .await
            .unwrap();
        written.saturating_duration_since(begun)
    }
}

/// The three commands and nothing else.
async fn floor() -> Measurement {
    let server = RedisServer::start().await;
    let mut redis = server.connection().await;
    let () = redis
        .xgroup_create_mkstream(PLANS, "floor", "0")
        .await
        .unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let mut blocking = client
        .get_multiplexed_async_connection_with_config(&patient)
        .await
        .unwrap();
    let mut writing = server.connection().await;
    let (report, done) = unbounded_channel();
    tokio::spawn(async move {
        let options = StreamReadOptions::default()
            .group("floor", "one")
            .block(250)
            .count(64);
        loop {
            let read: Option<StreamReadReply> = blocking
                .xread_options(&[PLANS], &[">"], &options)
                .await
                .unwrap();
            for entry in read
                .into_iter()
                .flat_map(|read| read.keys)
                .flat_map(|key| key.ids)
            {
                let plan: String = entry.get("plan_id").unwrap();
                let permit = r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"computed_notional":0.0,"created_at":1769301008.977,"consumed":false}"#;
                let () = writing
                    .set_ex(format!("quantum:permit:{plan}"), permit, 60)
                    .await
                    .unwrap();
                if report.send(Instant::now()).is_err() {
                    return;
                }
            }
        }
    });
    Measurement {
        name: "bare commands (the floor)",
        _server: server,
        redis,
        done,
        taken: Vec::new(),
    }
}

async fn governor(name: &'static str, policy: Policy) -> Measurement {
    let server = RedisServer::start().await;
    let config = IssuersConfig::new(server.url(), "one");
    let governor = Arc::new(Governor::new(
        RedisUsageBook::connect(&config).await.unwrap(),
        policy,
    ));
    let symbols = ["BTCUSDT".parse().unwrap()];
    let book = RedisPositionBook::connect(&config).await.unwrap();
    permit_issuers::SnapshotKeeper::new(book, Venue)
        .refresh(&symbols)
        .await
        .unwrap();
    let feed = RedisFeed::governor_plans(config).unwrap();
    measure(name, server, feed, move |delivery| {
        let governor = Arc::clone(&governor);
        async move { governor.review(&delivery).await }
    })
    .await
}

async fn brain() -> Measurement {
    let server = RedisServer::start().await;
    let config = IssuersConfig::new(server.url(), "one");
    let book = RedisPositionBook::connect(&config).await.unwrap();
    let symbols = vec!["BTCUSDT".parse().unwrap()];
    let settings = position_brain::Settings::default();
    let brain = Arc::new(PositionBrain::new(book, Venue, symbols, settings));
    let feed = RedisFeed::brain_plans(config).unwrap();
    measure("position brain", server, feed, move |delivery| {
        let brain = Arc::clone(&brain);
        async move { brain.review(&delivery).await }
    })
    .await
}

async fn measure<F, R>(
    name: &'static str,
    server: RedisServer,
    feed: RedisFeed,
    review: R,
) -> Measurement
where
    F: Future<Output = Result<ReviewOutcome, PortError>> + Send,
    R: Fn(Delivery) -> F + Send + Sync + 'static,
{
    feed.join().await.unwrap();
    let redis = server.connection().await;
    let (report, done) = unbounded_channel();
    tokio::spawn(async move {
        loop {
            for delivery in feed.next().await.unwrap_or_default() {
                let ruled = review(delivery).await.unwrap();
                assert!(
                    matches!(ruled.outcome, Outcome::Granted { .. }),
                    "{ruled:?}"
                );
                if report.send(Instant::now()).is_err() {
                    return;
                }
            }
        }
    });
    Measurement {
        name,
        _server: server,
        redis,
        done,
        taken: Vec::new(),
    }
}

fn wide() -> Limits {
    Limits {
        quantity_per_day: Decimal::new(1000, 0),
        notional_per_day: Decimal::new(100_000_000, 0),
        // The run is longer than a snapshot lasts, and this one is not renewed.
        snapshot_max_age: Duration::from_secs(3600),
        ..Limits::default()
    }
}

fn percentile(taken: &mut [Duration], percent: usize) -> Duration {
    taken.sort_unstable();
    taken[(taken.len() - 1) * percent / 100]
}
