//! `apply-layer review governor` and `apply-layer review p33`: the reviewers of `permit-issuers`
//! on Redis, and the loops that feed them.

mod metrics;
mod positions;

use crate::signing::Signer;
use apply_core::{PortError, Symbol};
use apply_service::{Config, Failure, http, instance, logging, reach, stop_on_signals};
use clap::Subcommand;
use exchange_client::Client;
use issuers_redis::{IssuersConfig, RedisFeed, RedisPositionBook, RedisUsageBook};
use metrics::ReviewMetrics;
use permit_issuers::{
    Governor, PositionBrain, ReviewOutcome, SnapshotKeeper,
    governor::Policy,
    ports::{Delivery, PlanFeed},
    position_brain,
};
use permit_redis::ConfigError;
use positions::VenuePositions;
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What the operator wants of the reviewers, checked.
#[derive(Debug)]
pub struct ReviewConfig {
    /// What the governor lets through.
    pub policy: Policy,
    /// How the position brain decides.
    pub brain: position_brain::Settings,
    /// How old a snapshot becomes before the venue is asked again.
    pub snapshot_poll: Duration,
    /// Each kind of reviewer has a port of its own unless this is set.
    pub metrics_port: Option<u16>,
}

/// Which reviewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Reviewer {
    /// Says whether a plan may execute: everything, or within limits (REVIEW_GOVERNOR_LIMITS=on).
    #[command(after_help = "Example: REDIS_URL=redis://127.0.0.1:6379 apply-layer review governor")]
    Governor,
    /// Says how much of a position may be closed. Needs a testnet key to see it.
    #[command(
        after_help = "Example: REDIS_URL=redis://127.0.0.1:6379 BINANCE_TESTNET_API_KEY=… BINANCE_TESTNET_API_SECRET=… apply-layer review p33"
    )]
    P33,
}

impl Reviewer {
    /// Its name in permits, log and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Governor => "governor",
            Self::P33 => "p33",
        }
    }

    fn usual_port(self) -> u16 {
        match self {
            Self::Governor => 8044,
            Self::P33 => 8045,
        }
    }
}

/// Reviews of one process that may be under way at once; more wait in Redis.
const AT_ONCE: usize = 64;

/// Between two tries where Redis or the venue failed.
const RETRY: Duration = Duration::from_millis(500);

/// How often ledgers and snapshots are looked after. A plan that comes in between brings its own
/// ledger up to date.
const KEEP: Duration = Duration::from_millis(200);

/// Runs one reviewer until SIGTERM or SIGINT; ends well once every review that was begun is done.
pub async fn review(
    config: &Config,
    how: &ReviewConfig,
    reviewer: Reviewer,
) -> Result<(), Failure> {
    logging::start(config.log_level, config.log_format);
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    for remark in &config.remarks {
        warn!("{remark}");
    }
    let reviewers = Reviewers::start(config, how, &[reviewer], &stop).await?;
    stop.cancelled().await;
    reviewers.join().await?;
    info!("Stopped");
    Ok(())
}

/// Reviewers at work in this process.
pub struct Reviewers {
    tasks: JoinSet<Result<(), Failure>>,
}

impl Reviewers {
    /// Starts them once Redis answers; they end with `stop`.
    pub async fn start(
        config: &Config,
        how: &ReviewConfig,
        reviewers: &[Reviewer],
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let port = reviewers
            .first()
            .map_or(0, |reviewer| reviewer.usual_port());
        let port = how.metrics_port.unwrap_or(port);
        let wanted = SocketAddr::new(config.http.ip(), port);
        let (listener, address) = http::listen(wanted, "REVIEW_METRICS_PORT").await?;
        let names: Vec<&'static str> = reviewers.iter().map(|r| r.name()).collect();
        info!(
            "Reviewing as {}: redis={} metrics=http://{address}/metrics",
            names.join(" and "),
            config.redis
        );
        let metrics = ReviewMetrics::new(&names);
        let mut ops = IssuersConfig::new(config.redis.reveal(), instance().to_string());
        ops.response_timeout = config.redis_times.answer;
        ops.connect_timeout = config.redis_times.connect;
        let mut tasks = JoinSet::new();
        let until = stop.clone().cancelled_owned();
        let hosts = http::Hosts::new(&config.http_hosts);
        let page = http::serve(listener, hosts, metrics.clone(), until);
        tasks.spawn(async {
            page.await;
            Ok(())
        });
        for reviewer in reviewers {
            let crew = Crew {
                name: reviewer.name(),
                metrics: metrics.clone(),
                stop: stop.clone(),
            };
            match reviewer {
                Reviewer::Governor => crew.governor(config, how, &ops, &mut tasks).await?,
                Reviewer::P33 => crew.p33(config, how, &ops, &mut tasks).await?,
            }
        }
        Ok(Self { tasks })
    }

    /// Waits for all of them to end.
    pub async fn join(mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.unwrap_or_else(|error| {
                let why = format!("a reviewer's task failed: {error}");
                Err(Failure::mismatch(why))
            });
            outcome = outcome.and(ended);
        }
        outcome
    }
}

/// What every loop of a reviewer needs.
#[derive(Clone)]
struct Crew {
    name: &'static str,
    metrics: ReviewMetrics,
    stop: CancellationToken,
}

type Tasks = JoinSet<Result<(), Failure>>;

impl Crew {
    async fn governor(
        self,
        config: &Config,
        how: &ReviewConfig,
        ops: &IssuersConfig,
        tasks: &mut Tasks,
    ) -> Result<(), Failure> {
        let connected = reach(config, &self.stop, || RedisUsageBook::connect(ops));
        let Some(book) = connected.await? else {
            return Ok(());
        };
        let plans = RedisFeed::governor_plans(ops.clone()).map_err(unusable)?;
        let governor = Governor::new(book, how.policy.clone());
        let governor = Arc::new(match signer(config, self.name)? {
            Some(signer) => governor.sealing(signer),
            None => governor,
        });
        if let Policy::Limited(limits) = &how.policy {
            info!("Governor limits: {limits:?}");
            let results = RedisFeed::governor_results(ops.clone()).map_err(unusable)?;
            let (crew, hearing) = (self.clone(), Arc::clone(&governor));
            tasks.spawn(async move {
                let hear = move |result: Delivery| {
                    let governor = Arc::clone(&hearing);
                    async move { governor.hear(&result).await.map(|()| None) }
                };
                crew.follow(results, hear).await
            });
            // Reductions are measured by snapshots. The position brain keeps them; without ours
            // there is only this.
            if let Some(client) = venue_client(config).await? {
                let connected = reach(config, &self.stop, || RedisPositionBook::connect(ops));
                let Some(book) = connected.await? else {
                    return Ok(());
                };
                let snapshots = SnapshotKeeper::new(book, VenuePositions::new(client));
                let (crew, symbols) = (self.clone(), config.symbols.clone());
                let poll = how.snapshot_poll;
                tasks.spawn(async move {
                    crew.keep_snapshots(&snapshots, &symbols, poll).await;
                    Ok(())
                });
            }
        }
        tasks.spawn(async move {
            let review = move |plan: Delivery| {
                let governor = Arc::clone(&governor);
                async move { governor.review(&plan).await.map(Some) }
            };
            self.follow(plans, review).await
        });
        Ok(())
    }

    async fn p33(
        self,
        config: &Config,
        how: &ReviewConfig,
        ops: &IssuersConfig,
        tasks: &mut Tasks,
    ) -> Result<(), Failure> {
        let client = venue_client(config).await?.ok_or_else(|| {
            Failure::configuration(
                "the position brain has to see positions: set BINANCE_TESTNET_API_KEY and BINANCE_TESTNET_API_SECRET",
            )
        })?;
        let connected = reach(config, &self.stop, || RedisPositionBook::connect(ops));
        let Some(book) = connected.await? else {
            return Ok(());
        };
        let plans = RedisFeed::brain_plans(ops.clone()).map_err(unusable)?;
        let brain = PositionBrain::new(
            book,
            VenuePositions::new(client),
            config.symbols.clone(),
            how.brain,
        );
        let brain = Arc::new(match signer(config, self.name)? {
            Some(signer) => brain.sealing(signer),
            None => brain,
        });
        let (crew, keeping) = (self.clone(), Arc::clone(&brain));
        let (symbols, poll) = (config.symbols.clone(), how.snapshot_poll);
        tasks.spawn(async move {
            tokio::join!(
                crew.keep_ledgers(&keeping),
                crew.keep_snapshots(keeping.snapshots(), &symbols, poll),
            );
            Ok(())
        });
        tasks.spawn(async move {
            let review = move |plan: Delivery| {
                let brain = Arc::clone(&brain);
                async move { brain.review(&plan).await.map(Some) }
            };
            self.follow(plans, review).await
        });
        Ok(())
    }

    /// Hands every entry of a feed to `review`, several at once. An entry whose review failed is
    /// delivered again by the feed.
    async fn follow<R, F>(self, feed: RedisFeed, review: R) -> Result<(), Failure>
    where
        R: Fn(Delivery) -> F,
        F: Future<Output = Result<Option<ReviewOutcome>, PortError>> + Send + 'static,
    {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut under_way = JoinSet::new();
        let mut trouble = Trouble::default();
        if let Err(error) = feed.join().await {
            self.report(&mut trouble, &error);
        }
        while !self.stop.is_cancelled() {
            let entries = match feed.next().await {
                Ok(entries) => entries,
                Err(error) => {
                    self.report(&mut trouble, &error);
                    sleep(RETRY).await;
                    continue;
                }
            };
            trouble.over();
            for entry in entries {
                let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                    break; // never closed
                };
                let (crew, reviewing) = (self.clone(), review(entry));
                under_way.spawn(async move {
                    match reviewing.await {
                        Ok(Some(ruled)) => crew.metrics.ruled(crew.name, &ruled),
                        Ok(None) => {}
                        Err(error) => crew.report(&mut Trouble::default(), &error),
                    }
                    drop(place);
                });
            }
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
        Ok(())
    }

    async fn keep_ledgers(&self, brain: &PositionBrain<RedisPositionBook, VenuePositions>) {
        let mut trouble = Trouble::default();
        while !self.stop.is_cancelled() {
            match brain.ledgers().catch_up().await {
                Ok(caught) => {
                    trouble.over();
                    if caught.gap {
                        warn!(
                            "Results were lost before they were booked; ledgers start from the venue's position"
                        );
                    }
                    for (symbol, why) in caught.unclear {
                        warn!(
                            "A result of {symbol} does not say what filled ({why}); its ledger waits for the venue"
                        );
                    }
                }
                Err(error) => self.report(&mut trouble, &error),
            }
            self.pause(KEEP).await;
        }
    }

    async fn keep_snapshots(
        &self,
        snapshots: &SnapshotKeeper<RedisPositionBook, VenuePositions>,
        symbols: &[Symbol],
        poll: Duration,
    ) {
        let mut trouble = Trouble::default();
        while !self.stop.is_cancelled() {
            let asked = async {
                let outdated = snapshots.outdated(symbols, poll).await?;
                match outdated.as_slice() {
                    [] => Ok(None),
                    outdated => snapshots.refresh(outdated).await.map(Some),
                }
            };
            match asked.await {
                Ok(answer) => {
                    if let Some(unanswered) = answer {
                        self.metrics.polled(unanswered.is_empty());
                        if let Some((symbol, why)) = unanswered.first() {
                            let error = PortError(format!("{symbol}: {why}"));
                            self.report(&mut trouble, &error);
                            self.pause(poll).await;
                            continue;
                        }
                        trouble.over();
                    }
                    self.pause(KEEP.min(poll)).await;
                }
                Err(error) => {
                    self.metrics.polled(false);
                    self.report(&mut trouble, &error);
                    self.pause(poll).await;
                }
            }
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep(pause) => {}
        }
    }

    /// Counts every failure, and says one once for as long as it lasts.
    fn report(&self, trouble: &mut Trouble, error: &PortError) {
        self.metrics.failed(self.name);
        if !std::mem::replace(&mut trouble.reported, true) {
            warn!("{}: {error}; trying again", self.name);
        }
    }
}

/// Whether a failure that lasts was reported.
#[derive(Default)]
struct Trouble {
    reported: bool,
}

impl Trouble {
    fn over(&mut self) {
        self.reported = false;
    }
}

/// A client that only asks, in whatever mode the service runs; none without a key. A venue that is
/// away now is asked again with the first plan.
async fn venue_client(config: &Config) -> Result<Option<Client>, Failure> {
    let Some(credentials) = config.credentials.clone() else {
        return Ok(None);
    };
    let settings = exchange_client::Settings::default();
    let client = Client::new(config.venue.clone(), credentials, settings).map_err(|error| {
        Failure::configuration(format!("the venue client cannot be set up: {error}"))
    })?;
    if let Err(error) = client.warm_up().await {
        warn!("Venue {} is not ready: {error}", config.venue);
    }
    Ok(Some(client))
}

/// What signs a reviewer's permits; none where permits are not signed. A reviewer without a key
/// among those who have one would write permits that are never taken.
fn signer(config: &Config, name: &str) -> Result<Option<Arc<Signer>>, Failure> {
    let Some(ring) = &config.signing else {
        return Ok(None);
    };
    match ring.of(name).next() {
        Some(key) => {
            info!("Permits of {name} are signed with its key {}", key.id());
            Ok(Some(Arc::new(Signer(key.clone()))))
        }
        None => Err(Failure::configuration(format!(
            "APPLY_PERMIT_KEYS holds no key of {name}: add {name}:<key id>=<secret in hex>, or leave it unset where permits are not signed"
        ))),
    }
}

fn unusable(error: ConfigError) -> Failure {
    Failure::configuration(error.to_string())
}
