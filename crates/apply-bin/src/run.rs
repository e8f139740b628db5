//! `apply-layer run`: everything wired to the real world; and `apply-layer sim`, the venue alone.

use crate::{
    clock::SystemClock,
    config::Config,
    exit::Failure,
    gauges::{StoreGauges, VenueGauges},
    http,
    logging::{self, LogObserver},
    metrics::Metrics,
    page::{self, Live, Vitals},
    venue::Venue,
    wiring::{Outside, Switched, serve},
};
use apply_core::{ApplyLayer, Event, Mode, Observer, Settings};
use apply_redis::{BoardConfig, RedisBoard};
use exchange_client::Client;
use exchange_sim::{ApiKey, Sim, SimConfig};
use permit_gate::{AttemptId, PermitStore};
use permit_redis::{RedisConfig, RedisPermitStore};
use prometheus_client::collector::Collector;
use rust_decimal::Decimal;
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long plans that were begun may take to end after a signal: the wait for permits, the order,
/// and the questions about it.
const DRAIN: Duration = Duration::from_secs(30);

/// Between two tries to reach Redis at start.
const START_PAUSE: Duration = Duration::from_millis(500);

/// How often the venue's clock is measured, which also keeps the connection warm.
const KEEP_WARM: Duration = Duration::from_secs(20);

/// Runs until SIGTERM or SIGINT; ends well once every plan that was begun has its result.
pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    logging::start(config.log_level, config.log_format);
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    announce(&config);

    let (listener, address) = http::listen(config.http, "APPLY_METRICS_PORT").await?;
    info!("Metrics on http://{address}/metrics");
    let Some((board, permits)) = connect(&config, &stop).await? else {
        return Ok(()); // told to stop before there was anything to do
    };
    info!("Permits are awaited by {}", permits.watch_mode());
    let client = venue_client(&config).await?;
    let live = Live::new(
        &config.symbols,
        Vitals::begun(config.mode, instance().as_str()),
    );
    let metrics = metrics(&config, &permits, client.as_ref(), &live);
    let page = tokio::spawn(http::serve_with(
        listener,
        metrics.clone(),
        page::routes(&live, stop.clone()),
        stop.clone().cancelled_owned(),
    ));
    let venue = Venue::new(client.clone());

    let outside = Outside {
        board: Switched {
            board,
            halted: config.kill_switch,
        },
        permits: permits.clone(),
        venue,
        clock: SystemClock,
    };
    let observer = Observers {
        log: LogObserver::new(config.log_format),
        metrics,
        live: live.clone(),
    };
    let layer = Arc::new(ApplyLayer::new(outside, settings(&config), observer));
    if let Some(symbol) = config.symbols.first() {
        let parts = page::Parts {
            layer: Arc::clone(&layer),
            symbol: symbol.clone(),
            permits,
            venue: client,
        };
        tokio::spawn(page::watch(parts, live, stop.clone()));
    }
    let mut tasks = serve(&layer, &config.symbols, config.poll, &stop);
    info!("Ready: following {} symbols", config.symbols.len());

    stop.cancelled().await;
    info!("Stopping: plans that were begun are carried out, new ones are left for the next start");
    let drained = timeout(DRAIN, async {
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| {
                Failure::mismatch(format!("a symbol's task broke down: {error}"))
            })?;
        }
        Ok(())
    })
    .await;
    // Its own end follows from the same signal.
    let _ = page.await;
    drained.unwrap_or_else(|_| {
        let left = tasks.len();
        Err(Failure::unavailable(format!(
            "{left} symbols still had a plan under way after {DRAIN:?}; look for their results"
        )))
    })?;
    info!("Stopped");
    Ok(())
}

/// Serves the simulated venue until a signal.
pub(crate) async fn sim(
    port: u16,
    key: String,
    secret: String,
    positions: &[(String, Decimal)],
) -> Result<(), Failure> {
    let mut config = SimConfig::default()
        .port(port)
        .key(ApiKey::hmac(&key, secret));
    for (symbol, amount) in positions {
        config = config.position(symbol, *amount);
    }
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let sim = Sim::start(config).await.map_err(|error| {
        Failure::unavailable(format!(
            "cannot open the simulated venue: {error}; choose another --port"
        ))
    })?;
    println!(
        "simulated venue on {} (API key {key}); what arrived: {}/sim/orders",
        sim.url(),
        sim.url()
    );
    stop.cancelled().await;
    sim.shutdown()
        .await
        .map_err(|error| Failure::mismatch(format!("the simulated venue ended badly: {error}")))
}

fn announce(config: &Config) {
    for remark in &config.remarks {
        warn!("{remark}");
    }
    let mode = match config.mode {
        Mode::DryRun => "dry_run",
        Mode::Testnet => "testnet",
    };
    info!(
        "apply-layer {} starting: mode={mode} redis={} venue={}",
        env!("CARGO_PKG_VERSION"),
        config.redis,
        config.venue
    );
    for symbol in config
        .gates
        .allowlist
        .iter()
        .filter(|s| !config.symbols.contains(s))
    {
        warn!("{symbol} may execute (APPLY_ALLOWLIST) but is not followed (SYMBOLS)");
    }
    if config.kill_switch {
        warn!("APPLY_KILL_SWITCH is on: every plan will be blocked");
    }
}

/// Reaches Redis, trying again for as long as the operator allows; `None` when told to stop.
async fn connect(
    config: &Config,
    stop: &CancellationToken,
) -> Result<Option<(RedisBoard, RedisPermitStore)>, Failure> {
    let wrong = |error: permit_redis::ConfigError| Failure::configuration(error.to_string());
    let permits = RedisConfig::new(config.redis.reveal())
        .map_err(wrong)?
        .permits(config.permits.clone());
    let mut board = BoardConfig::new(config.redis.reveal());
    board.result_ttl = board.result_ttl.max(config.dedupe_ttl);
    let until = Instant::now() + config.start_wait;
    loop {
        let tried = try_connect(board.clone(), permits.clone()).await;
        let error = match tried {
            Ok(connected) => return Ok(Some(connected)),
            Err(error) => error,
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::unavailable(format!(
                "Redis at {} stayed away for {:?}: {error}; start it, or correct REDIS_URL",
                config.redis, config.start_wait
            )));
        }
        warn!(
            "Redis at {} is away, trying again for {left:.1?}: {error}",
            config.redis
        );
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = sleep(START_PAUSE.min(left)) => {}
        }
    }
}

async fn try_connect(
    board: BoardConfig,
    permits: RedisConfig,
) -> Result<(RedisBoard, RedisPermitStore), String> {
    let board = RedisBoard::connect(board)
        .await
        .map_err(|error| error.to_string())?;
    let permits = RedisPermitStore::connect(permits)
        .await
        .map_err(|error| error.to_string())?;
    Ok((board, permits))
}

/// A warm client in testnet mode, none in a dry run. A venue that is away now may be there when it
/// is needed: that is a warning, and plans until then end as `venue_unavailable`.
async fn venue_client(config: &Config) -> Result<Option<Client>, Failure> {
    let (Mode::Testnet, Some(credentials)) = (config.mode, config.credentials.clone()) else {
        return Ok(None);
    };
    let client = Client::new(
        config.venue.clone(),
        credentials,
        exchange_client::Settings::default(),
    )
    .map_err(|error| {
        Failure::configuration(format!("the venue client cannot be set up: {error}"))
    })?;
    match client.warm_up().await {
        Ok(()) => info!("Venue {} is ready", config.venue),
        Err(error) => warn!("Venue {} is not ready: {error}", config.venue),
    }
    let warm = client.clone();
    tokio::spawn(async move { warm.keep_warm(KEEP_WARM).await });
    Ok(Some(client))
}

fn metrics(
    config: &Config,
    permits: &RedisPermitStore,
    client: Option<&Client>,
    live: &Live,
) -> Metrics {
    let names: Vec<&str> = permits.permits().iter().map(|p| p.name()).collect();
    let mut gauges: Vec<Box<dyn Collector>> = vec![
        Box::new(StoreGauges(permits.clone())),
        Box::new(page::FlowGauges(live.clone())),
    ];
    if let Some(client) = client {
        gauges.push(Box::new(VenueGauges(client.clone())));
    }
    let metrics = Metrics::new(&config.symbols, &names, gauges);
    metrics.announce_reasons(permits.permits());
    metrics
}

fn settings(config: &Config) -> Settings {
    Settings {
        gates: config.gates.clone(),
        mode: config.mode,
        wait: config.wait,
        dedupe_ttl: config.dedupe_ttl,
        attempt: instance(),
    }
}

/// A name for this process that no other and no earlier one has: its id and 64 random bits.
pub(crate) fn instance() -> AttemptId {
    let random = RandomState::new().build_hasher().finish();
    let name = format!("{}-{random:016x}", std::process::id());
    AttemptId::new(&name).unwrap_or_else(|_| unreachable!("digits and a dash are an id"))
}

pub(crate) fn stop_on_signals(stop: &CancellationToken) -> Result<(), Failure> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)
            .map_err(|error| Failure::unavailable(format!("cannot listen for signals: {error}")))?;
        let stop = stop.clone();
        // Later signals find the token cancelled and change nothing: a storm of them is one.
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                stop.cancel();
            }
        });
    }
    Ok(())
}

/// The log, the metrics and the page hear of everything.
struct Observers {
    log: LogObserver,
    metrics: Metrics,
    live: Live,
}

impl Observer for Observers {
    fn observe(&self, event: &Event<'_>) {
        self.log.observe(event);
        self.metrics.observe(event);
        self.live.observe(event);
    }
}
