//! `apply-layer run`: everything wired to the real world.

use crate::{
    clock::SystemClock,
    config::{self, Config},
    dashboard::{self, DashboardState, HealthSnapshot},
    exit::Failure,
    gauges::{ClaimLimitGauges, ShareGauges, StoreGauges, VenueGauges},
    halt::HaltFile,
    health::{self, Fence, Health, StoreWrites, WithHealth},
    history::History,
    http,
    late::{self, LateObserver},
    ledger,
    logging::{self, LogObserver},
    maintenance::{Maintenance, log_recovery, look_beside},
    metrics::Metrics,
    neighbours::{self, Neighbours},
    systemd::SystemdNotifier,
    wiring::{Adapters, KEEP_WARM, WithLocalHalt, serve},
};
use apply_core::{
    ApplyLayer, Event, Generation, InFlightLimit, Journal, Mode, Observer, Ports, Settings, Symbol,
    recovery::{self, keep_settling, take_over},
};
use apply_exchange::Venue;
use apply_journal::{JournalSettings, OpenError, RedbJournal};
use apply_redis::{ChangeFeed, Instance, Kept, Keys, PlanStoreConfig, RedisPlanStore};
use apply_wire::key;
use exchange_client::Client;
use futures_util::future::join;
use permit_gate::{
    AttemptId, PermitStore, PlanId,
    foreign::{MAX_FOREIGN, escaped},
};
use permit_redis::{ConnectError, RedisConfig, RedisPermitStore};
use prometheus_client::collector::Collector;
use std::{
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::unbounded_channel,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long plans that were begun may take to end after a signal: the wait for permits, the order,
/// and the questions about it.
const DRAIN: Duration = Duration::from_secs(30);

/// How long results that are owed may take to be published after that.
const SETTLE: Duration = Duration::from_secs(10);

/// Between two tries to reach Redis at start.
const START_PAUSE: Duration = Duration::from_millis(500);

/// How long the venue is asked at start. What it does not answer by then the first plan asks.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long one of these tries may take.
const SHORTEST_TRY: Duration = Duration::from_millis(100);
const LONGEST_TRY: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT; ends well once every plan that was begun has its result.
///
/// # Errors
///
/// Where the configuration cannot work, something needed stays away, or a plan that was begun has no result in time.
pub async fn run(config: Config) -> Result<(), Failure> {
    logging::start(config.log_level, config.log_format);
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    run_until(stop, config).await
}

/// Runs until `stop`, for a program that has signals and a log of its own: events go to the `tracing` subscriber that is
/// there. Ends well once every plan that was begun has its result.
///
/// # Errors
///
/// As of [`run`].
///
/// Cancellation: do not drop this future, use `stop`. A plan under way would stay without its result until the next start.
pub async fn run_until(stop: CancellationToken, config: Config) -> Result<(), Failure> {
    announce(&config)?;
    let symbols = config.followed();

    let (listener, address) = http::listen(config.http, "APPLY_METRICS_PORT").await?;
    info!("Metrics on http://{address}/metrics");
    let manager = SystemdNotifier::at(config.state.notify.as_deref());
    let journal = journal(&config).await?;
    let settings = settings(&config);
    #[cfg(feature = "mutants")]
    let settings = crate::mutants::with_a_wait(settings)?;
    let instance = Instance {
        owner: journal.name().to_owned(),
        process: settings.attempt.to_string(),
        lease: config.state.lease,
    };
    let Some((plan_store, permits)) = connect(&config, instance, &stop).await? else {
        return Ok(()); // asked to stop before there was anything to do
    };
    let former = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        former = former_journal(&plan_store) => former,
    };
    is_the_journal_that_was_here(former, journal.name(), &config)?;
    if let Some(product) = permits
        .link()
        .product_of(&apply_redis::Keys::default().open)
    {
        info!("Redis at {} is {product}", config.redis);
    }
    match permits.watch_trouble() {
        None => info!(
            "Permits and proposals are noticed by {}",
            permits.watch_mode()
        ),
        Some(why) => info!(
            "Permits and proposals are noticed by {}: {why}",
            permits.watch_mode()
        ),
    }
    keep_switch(&plan_store, &journal).await?;
    check_durability(&plan_store, config.state.strict).await?;
    let ledger_writer = ledger::writer(config.ledger, &plan_store)?;
    let client = venue_client(&config).await?;
    let live = DashboardState::new(
        &symbols,
        HealthSnapshot::begun(config.mode, settings.attempt.as_str())
            .kept_at(&config.state, &config.redis),
    );
    let share = ShareGauges {
        shard: config.shard,
        symbols: symbols.len(),
    };
    let neighbours = Neighbours::default();
    let metrics = metrics(
        config.commit,
        &symbols,
        share,
        &permits,
        &settings.claim_limit,
        client.as_ref(),
        (&live, &neighbours),
    );
    let (health, fence) = (Health::default(), Fence::default());
    tokio::spawn(health::watch_journal(
        journal.clone(),
        health.clone(),
        stop.clone(),
    ));
    let history = History::new(permits.link(), journal.clone());
    // The page lasts as long as plans do: `halt` asks it for orders that are on their way.
    let page_stop = CancellationToken::new();
    let page = tokio::spawn(http::serve_with(
        listener,
        http::Hosts::new(&config.http_hosts),
        WithHealth {
            page: metrics.clone(),
            health: health.clone(),
            live: live.clone(),
            fence: fence.clone(),
        },
        dashboard::routes(&live, &history, page_stop.clone()),
        page_stop.clone().cancelled_owned(),
    ));
    let venue = Venue::new(client.clone());
    let venue_of_ledger = client.clone();

    let outside = Adapters {
        plan_store: WithLocalHalt {
            plan_store: plan_store.clone(),
            halted: config.kill_switch,
            file: Some(HaltFile::at(config.state.halt_file.clone())),
            front: Some(front(&config, &symbols, &permits)?),
        },
        permits: permits.clone(),
        journal,
        venue,
        clock: SystemClock,
    };
    #[cfg(feature = "mutants")]
    let outside = crate::mutants::with_a_mistake(outside, &config)?;
    let (late, listener) = late::channel(config.permits.clone(), config.wait.wait);
    let observer = Observers {
        late,
        log: LogObserver::new(config.log_format),
        metrics: metrics.clone(),
        live: live.clone(),
    };
    let layer = Arc::new(ApplyLayer::new(outside, settings, observer));
    let writes = StoreWrites::default();
    let parts = dashboard::Parts {
        layer: Arc::clone(&layer),
        symbol: symbols[0].clone(),
        permits: Some(permits),
        writes: writes.clone(),
        fence: fence.clone(),
        venue: client,
        neighbours: Some(neighbours.clone()),
        switches: config.switches_here(),
    };
    let watched = neighbours::watched(config.permits.permits());
    tokio::spawn(neighbours.watch(plan_store.clone(), watched, page_stop.clone()));
    let waits = dashboard::keep_waits(plan_store.clone(), live.clone(), page_stop.clone());
    let waits = tokio::spawn(waits);
    tokio::spawn(dashboard::watch(parts, live.clone(), page_stop.clone()));
    let recovery = tokio::select! {
        // Nothing is lost by it: the next start begins again where this one was.
        () = stop.cancelled() => return Ok(()),
        begun = begin_recovery(&layer, &plan_store, &health, &fence) => begun,
    };
    let recovery = recovery?;
    let settling = tokio::spawn({
        let layer = Arc::clone(&layer);
        async move { keep_settling(&layer).await }
    });
    let upkeep_stop = CancellationToken::new();
    let keeping = ledger::keep(
        config.ledger,
        plan_store.clone(),
        ledger_writer,
        venue_of_ledger,
        metrics.clone(),
        SystemClock,
        upkeep_stop.clone(),
    );
    tokio::spawn(keeping);
    tokio::spawn(listener.run(plan_store.clone(), metrics.clone(), upkeep_stop.clone()));
    let upkeep = Maintenance {
        layer: Arc::clone(&layer),
        plan_store,
        manager: manager.clone(),
        health: health.clone(),
        lease: config.state.lease,
        writes,
        fence: fence.clone(),
        watchdog: config.state.watchdog,
    };
    let upkeep = tokio::spawn(upkeep.run(upkeep_stop.clone()));
    let mut tasks = serve(&layer, &symbols, config.poll, &fence, &stop);
    dashboard::record_settling(&layer, &live);
    health.set_ready(true);
    manager.notify("READY=1");
    info!("Ready: following {} symbols", symbols.len());
    tokio::spawn(dashboard::keep_past(history, live, page_stop.clone()));

    stop.cancelled().await;
    health.set_ready(false);
    manager.notify("STOPPING=1");
    info!("Stopping: plans under way are finished, new ones wait for the next start");
    let drained = timeout(DRAIN, async {
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| Failure::mismatch(format!("a symbol's task failed: {error}")))?;
        }
        Ok(())
    })
    .await;
    let owed = settle_what_is_owed(&layer).await;
    settling.abort();
    // Nothing is lost by it: the next start begins again where this one was.
    recovery.abort();
    // The lease is renewed until the last plan has ended. A panic in there was logged by itself.
    upkeep_stop.cancel();
    let _ = upkeep.await;
    // Bounded, whatever clients do.
    page_stop.cancel();
    let _ = page.await;
    let _ = waits.await;
    owed?;
    drained.unwrap_or_else(|_| {
        let left = tasks.len();
        Err(Failure::unavailable(format!(
            "{left} symbols still had a plan under way after {DRAIN:?}; look for their results"
        )))
    })?;
    info!("Stopped");
    Ok(())
}

/// Waits a while for the results that are owed. What is left stands in the journal.
async fn settle_what_is_owed<P: Ports>(layer: &ApplyLayer<P>) -> Result<(), Failure> {
    let settled = timeout(SETTLE, async {
        while layer.owed_here() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    });
    if settled.await.is_ok() {
        return Ok(());
    }
    Err(Failure::unavailable(format!(
        "{} plans still owe a result; the next start on this state directory publishes them",
        layer.owed_here()
    )))
}

/// What reports proposals that were written.
fn front(
    config: &Config,
    symbols: &[Symbol],
    permits: &RedisPermitStore,
) -> Result<ChangeFeed, Failure> {
    let prefix = Keys::default().proposal;
    ChangeFeed::follow(permits, &prefix, symbols, config.settle).map_err(|error| {
        Failure::unavailable(format!("cannot start a thread for short pauses: {error}"))
    })
}

/// The journal of the state directory. Opening reads and checks the whole file.
async fn journal(config: &Config) -> Result<RedbJournal, Failure> {
    let directory = config.state.directory.clone();
    let settings = JournalSettings::for_claims_of(config.dedupe_ttl);
    let opened = tokio::task::spawn_blocking(move || RedbJournal::open(&directory, settings)).await;
    match opened {
        Ok(Ok(journal)) => Ok(journal),
        Ok(Err(error @ OpenError::InUse(_))) => Err(Failure::unavailable(error.to_string())),
        Ok(Err(error)) => Err(Failure::configuration(format!("not trading: {error}"))),
        Err(error) => Err(Failure::mismatch(format!(
            "cannot open the journal: {error}"
        ))),
    }
}

/// Which journal was here before, asked until Redis answers: one that was reachable a moment ago and is
/// slow now is no reason to give up the start.
///
/// Cancellation: nothing is lost.
async fn former_journal(plan_store: &RedisPlanStore) -> Option<String> {
    loop {
        match plan_store.former_journal().await {
            Ok(former) => return former,
            Err(error) => warn!("{error}; asking again"),
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Between two questions of a start that Redis did not answer.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Refuses to go on without the journal that was worked with here before: a disk that is not mounted, or
/// a directory that was emptied, must not pass for a first start.
fn is_the_journal_that_was_here(
    former: Option<String>,
    name: &str,
    config: &Config,
) -> Result<(), Failure> {
    match former {
        Some(former) if former != name => Err(Failure::configuration(format!(
            "not trading: the journal in {} is {name}, and Redis remembers another one there, {}; mount the disk that it is on, or restore it. \
             Where it is lost, look at the venue for the orders of the last {} hours, then accept this one: apply-layer new-journal",
            config.state.directory.display(),
            escaped(&former, MAX_FOREIGN),
            JournalSettings::for_claims_of(config.dedupe_ttl).hours(),
        ))),
        _ => Ok(()),
    }
}

/// Has the journal keep how the kill switch in Redis is seen: a Redis that forgets it must not turn it off.
async fn keep_switch(plan_store: &RedisPlanStore, journal: &RedbJournal) -> Result<(), Failure> {
    let note = journal.fetch_switch().await.map_err(|error| {
        Failure::configuration(format!("not trading: the journal cannot be read: {error}"))
    })?;
    let (changes, mut changed) = unbounded_channel();
    plan_store.keep_switch(note, move |note| {
        // The task that writes it ends with the process.
        let _ = changes.send(note);
    });
    let journal = journal.clone();
    tokio::spawn(async move {
        while let Some(note) = changed.recv().await {
            if let Err(error) = journal.record_switch(&note).await {
                warn!("cannot journal the state of the kill switch: {error}");
            }
        }
    });
    Ok(())
}

/// Says what a restart of Redis would do; where that is refused, says why.
async fn check_durability(plan_store: &RedisPlanStore, strict: bool) -> Result<(), Failure> {
    let durability = match (plan_store.durability().await, strict) {
        (Ok(durability), _) => durability,
        (Err(error), true) => {
            return Err(Failure::unavailable(format!(
                "APPLY_DURABILITY=strict: {error}"
            )));
        }
        (Err(error), false) => {
            warn!("{error}; what a restart would restore is unknown");
            return Ok(());
        }
    };
    if let (true, Some(refusal)) = (strict, durability.refusal()) {
        return Err(Failure::configuration(refusal));
    }
    if strict && durability.replicas > 0 {
        plan_store.await_replica();
    }
    for warning in durability.warnings() {
        warn!("{warning}");
    }
    Ok(())
}

/// Everything unfinished of this machine's former processes counts as owed before anything new begins, and is
/// ended beside: only the symbols wait of which it is not known what became of an order.
async fn begin_recovery<P: Ports>(
    layer: &Arc<ApplyLayer<P>>,
    plan_store: &RedisPlanStore,
    health: &Health,
    fence: &Fence,
) -> Result<JoinHandle<()>, Failure> {
    if let Err(error) = plan_store.renew_lease().await {
        warn!("{error}");
    }
    // After it: of two that begin at the same moment one at least sees the other.
    look_beside(plan_store, fence, true).await;
    match plan_store.remember().await {
        Ok(generation) => {
            health.set_generation(&generation);
            log_age(&generation);
        }
        Err(error) => warn!("{error}"),
    }
    let unfinished = recovery::begin(layer).await.map_err(|error| {
        Failure::configuration(format!("not trading: the journal cannot be read: {error}"))
    })?;
    if unfinished.count() > 0 {
        info!(
            "{} plans of former processes still wait for their result",
            unfinished.count()
        );
    }
    if let Some(text) = left_alone(unfinished.left()) {
        warn!("{text}");
        health.set_left(text);
    }
    let layer = Arc::clone(layer);
    let fenced = fence.closed().is_some();
    Ok(tokio::spawn(async move {
        let others = async {
            if fenced {
                return;
            }
            // The upkeep tries again where this fails.
            match take_over(&layer).await {
                Ok(report) => log_recovery("Recovered", &report),
                Err(error) => warn!("cannot look for abandoned plans: {error}"),
            }
        };
        let ours = async { log_recovery("Recovered", &unfinished.finish(&layer).await) };
        join(ours, others).await;
    }))
}

/// Most plans that are named one by one.
const MOST_NAMED: usize = 5;

/// What a dry run says of the plans of a live run that it leaves alone.
fn left_alone(plans: &[PlanId]) -> Option<String> {
    let named: Vec<&str> = plans.iter().take(MOST_NAMED).map(PlanId::as_str).collect();
    let more = match plans.len() > named.len() {
        true => format!(" and {} more", plans.len() - named.len()),
        false => String::new(),
    };
    (!plans.is_empty()).then(|| {
        format!(
            "a live run left plans without a result whose orders may stand at the venue: {}{more}; a dry run does not ask the venue, so they get none: start once with APPLY_MODE=testnet, or look at the venue",
            named.join(", ")
        )
    })
}

/// Says that no plan is claimed for a while, where that is so.
fn log_age(generation: &Generation) {
    let left = generation
        .clean_at
        .saturating_duration_since(std::time::Instant::now());
    if !left.is_zero() {
        warn!(
            "Redis is new to this service, or may have forgotten something: no plan is claimed for {left:.1?}"
        );
    }
}

fn announce(config: &Config) -> Result<(), Failure> {
    for remark in &config.remarks {
        warn!("{remark}");
    }
    let mode = config.mode.as_str();
    info!(
        "apply-layer {} starting: mode={mode} redis={} venue={}",
        env!("CARGO_PKG_VERSION"),
        config.redis,
        config.venue
    );
    info!(
        "State directory {}, halted by the file {}",
        config.state.directory.display(),
        config.state.halt_file.display()
    );
    if let Some(share) = config.share() {
        info!("This is {share}");
    }
    for symbol in config.unfollowed() {
        warn!("{symbol} may execute (APPLY_ALLOWLIST) but is not followed (SYMBOLS)");
    }
    if config.kill_switch {
        warn!("APPLY_KILL_SWITCH is on: every plan will be blocked");
    }
    if config.signing.is_some() {
        info!("Permits must be signed");
    }
    match config.gates.stops {
        true => info!("Stops: on, UPDATE_SL moves the stop at the venue"),
        false => info!("Stops: off (APPLY_STOPS), UPDATE_SL is skipped as stops_off"),
    }
    if config.permits.permits().position(key::P26).is_some() {
        info!(
            "Portfolio gate: plans are published to it on {}, its decisions are read on {}",
            key::HARVEST_PROPOSALS,
            key::FINAL_ACTIONS
        );
    }
    if let Some(threshold) = config.gates.close {
        info!("Closes are blocked from a kill score of {threshold} (K_CLOSE_THRESHOLD)");
    }
    match config.permits_without_key().as_slice() {
        [] => Ok(()),
        without => Err(Failure::configuration(format!(
            "APPLY_PERMIT_KEYS holds no key of {}: no plan could pass; add one each",
            without.join(" and ")
        ))),
    }
}

/// What this machine calls itself; empty where it does not say.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Reaches Redis, trying again for as long as the operator allows; `None` when asked to stop.
async fn connect(
    config: &Config,
    instance: Instance,
    stop: &CancellationToken,
) -> Result<Option<(RedisPlanStore, RedisPermitStore)>, Failure> {
    let wrong = |error: permit_redis::ConfigError| Failure::configuration(error.to_string());
    // One try may take as long as a connection may, and leaves time for a few of them.
    let one_try = (config.start_wait / 4).clamp(SHORTEST_TRY, LONGEST_TRY);
    let permits = config.permit_store().map_err(wrong)?.start_timeout(one_try);
    let mut plan_store = PlanStoreConfig::new(config.redis.reveal());
    plan_store.result_ttl = plan_store.result_ttl.max(config.dedupe_ttl);
    plan_store.orders = config.mode == Mode::Testnet;
    plan_store.portfolio_gate = config.permits.permits().position(key::P26).is_some();
    plan_store.instance = instance;
    plan_store.journal_place = Some(config::journal_place(&config.state.directory));
    plan_store.kept = Kept {
        host: host(),
        state_directory: config.state.directory.display().to_string(),
        halt_file: config.state.halt_file.display().to_string(),
    };
    #[cfg(feature = "mutants")]
    let plan_store = crate::mutants::with_a_fence(plan_store)?;
    reach(config, stop, || {
        try_connect(plan_store.clone(), permits.clone())
    })
    .await
}

/// Tries to connect to Redis for as long as the operator allows; `None` when asked to stop.
///
/// # Errors
///
/// At once where no try can succeed, [`Exit::Configuration`](apply_wire::Exit); after that time
/// [`Exit::Unavailable`](apply_wire::Exit).
pub async fn reach<T, F>(
    config: &Config,
    stop: &CancellationToken,
    connect: impl Fn() -> F,
) -> Result<Option<T>, Failure>
where
    F: Future<Output = Result<T, ConnectError>>,
{
    let until = Instant::now() + config.start_wait;
    loop {
        let error = match connect().await {
            Ok(connected) => return Ok(Some(connected)),
            // Waiting fixes nothing.
            Err(error @ (ConnectError::Config(_) | ConnectError::Unusable { .. })) => {
                return Err(Failure::configuration(error.to_string()));
            }
            Err(error) => error,
        };
        let (is, was, fix) = match &error {
            ConnectError::Unreachable { .. } => (
                "is unreachable",
                "was unreachable",
                "; start it, correct REDIS_URL, or raise APPLY_REDIS_ANSWER_MS for a distant one",
            ),
            // It says itself what is wrong with it.
            _ => ("does not serve us", "did not serve us", ""),
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::unavailable(format!(
                "Redis at {} {was} for {:?}: {error}{fix}",
                config.redis, config.start_wait
            )));
        }
        warn!(
            "Redis at {} {is}, trying again for {left:.1?}: {error}",
            config.redis
        );
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = sleep(START_PAUSE.min(left)) => {}
        }
    }
}

/// One store, and the plan store on its connections.
async fn try_connect(
    plan_store: PlanStoreConfig,
    permits: RedisConfig,
) -> Result<(RedisPlanStore, RedisPermitStore), ConnectError> {
    let permits = RedisPermitStore::connect(permits).await?;
    Ok((RedisPlanStore::over(permits.link(), plan_store), permits))
}

/// A warm client in testnet mode, none in a dry run. A venue that is away now may be there when it
/// is needed: that is a warning, and plans until then end as `venue_unavailable`.
async fn venue_client(config: &Config) -> Result<Option<Client>, Failure> {
    let (Mode::Testnet, Some(credentials)) = (config.mode, config.credentials.clone()) else {
        return Ok(None);
    };
    let client =
        Client::new(config.venue.clone(), credentials, Venue::settings()).map_err(|error| {
            Failure::configuration(format!("the venue client cannot be set up: {error}"))
        })?;
    match Venue::warm_up(&client, WARM_UP).await {
        Ok(()) => info!("Venue {} is ready", config.venue),
        Err(error) => warn!("Venue {} is not ready: {error}", config.venue),
    }
    let warm = client.clone();
    tokio::spawn(async move { warm.keep_warm(KEEP_WARM).await });
    Ok(Some(client))
}

fn metrics(
    commit: &'static str,
    symbols: &[Symbol],
    share: ShareGauges,
    permits: &RedisPermitStore,
    claim_limit: &InFlightLimit,
    client: Option<&Client>,
    (live, neighbours): (&DashboardState, &Neighbours),
) -> Metrics {
    let names: Vec<&str> = permits.permits().iter().map(|p| p.name()).collect();
    let mut gauges: Vec<Box<dyn Collector>> = vec![
        Box::new(StoreGauges(permits.clone())),
        Box::new(ClaimLimitGauges(claim_limit.clone())),
        Box::new(share),
        Box::new(dashboard::TradingGauges(live.clone())),
        Box::new(dashboard::ReviewerGauges {
            neighbours: neighbours.clone(),
            live: live.clone(),
            permits: permits.permits().clone(),
        }),
    ];
    if let Some(client) = client {
        gauges.push(Box::new(VenueGauges(client.clone())));
    }
    let metrics = Metrics::new(commit, symbols, &names, gauges);
    metrics.announce_reasons(permits.permits());
    metrics
}

fn settings(config: &Config) -> Settings {
    Settings {
        gates: config.gates.clone(),
        mode: config.mode,
        wait: config.wait,
        stops: config.stops.clone(),
        proposal_max_age: config.proposal_max_age,
        dedupe_ttl: config.dedupe_ttl,
        claim_limit: InFlightLimit::of(config.max_in_flight),
        attempt: instance(),
    }
}

/// A name for this process that no other and no earlier one has: its id and 64 random bits.
pub fn instance() -> AttemptId {
    let random = RandomState::new().build_hasher().finish();
    let name = format!("{}-{random:016x}", std::process::id());
    AttemptId::new(&name).unwrap_or_else(|_| unreachable!("digits and a dash are an id"))
}

/// Cancels `stop` on SIGTERM and SIGINT, for as long as the process runs.
///
/// # Errors
///
/// Where the runtime cannot listen for signals.
pub fn stop_on_signals(stop: &CancellationToken) -> Result<(), Failure> {
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

/// The log, the metrics, the page and who listens for late permits hear of everything.
struct Observers {
    log: LogObserver,
    metrics: Metrics,
    live: DashboardState,
    late: LateObserver,
}

impl Observer for Observers {
    fn observe(&self, event: &Event<'_>) {
        self.log.observe(event);
        self.metrics.observe(event);
        self.live.observe(event);
        self.late.observe(event);
    }
}
