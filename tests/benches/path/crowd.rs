//! As many plans as go through: each symbol has its next proposal as soon as it has its result.

use crate::{
    process::Service,
    statistics::Statistics,
    venue::Venue,
    wire::{self, Follower, connect},
};
use apply_tests::server_that_has_been_up;
use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Before anything counts: connections, caches, the venue's rules.
const WARM: Duration = Duration::from_secs(2);

/// What one crowd did.
pub(crate) struct Crowd {
    pub(crate) symbols: usize,
    pub(crate) plans: usize,
    pub(crate) within: Duration,
    /// The service's processor time within the window.
    pub(crate) processor: Duration,
    /// KiB at its end.
    pub(crate) resident: u64,
    /// Redis' processor time within the window, for everybody's commands.
    pub(crate) redis: Duration,
    /// Commands Redis ran for one plan, those inside scripts and ours included.
    pub(crate) ran: f64,
    /// Scripts the service called for one plan.
    pub(crate) scripts: f64,
    /// Commands of neighbours and service by name, those inside scripts included, for one plan.
    pub(crate) commands: BTreeMap<String, f64>,
    /// Requests to the venue by method and path, for one plan.
    pub(crate) requests: BTreeMap<String, f64>,
    /// How often the service's threads let go of a processor, for one plan.
    pub(crate) switches: f64,
    /// What following the symbols costs while nothing is proposed.
    pub(crate) rest: Rest,
}

/// A service that has nothing to do.
pub(crate) struct Rest {
    /// From its start until it was ready.
    pub(crate) ready_after: Duration,
    /// KiB.
    pub(crate) resident: u64,
    /// Of one core.
    pub(crate) share: f64,
}

pub(crate) async fn measure(program: &Path, symbols: usize, window: Duration) -> Crowd {
    measure_beside(program, symbols, window, None).await
}

/// The same while a command line runs beside it, from when the symbols are at work until the window ends.
pub(crate) async fn measure_beside(
    program: &Path,
    symbols: usize,
    window: Duration,
    command: Option<&str>,
) -> Crowd {
    let server = server_that_has_been_up().await;
    let venue = Venue::start(symbols);
    let names = wire::symbols(symbols);
    let service = Service::start(
        program,
        &server,
        &venue,
        &names,
        &[("APPLY_PERMIT_WAIT_MS", "20000")],
    );
    let rest = rest(&service, window).await;

    // The issuers have a connection of their own, as other programs would.
    let issuing = connect(&server).await;
    let mut plans = Follower::of_plans(&server).await;
    let issuers = tokio::spawn(async move {
        loop {
            let mut pipe = redis::pipe();
            for plan in plans.next().await {
                if plan.word == "EXECUTE" {
                    wire::permits(&mut pipe, &plan.plan, &plan.symbol);
                }
            }
            let mut issuing = issuing.clone();
            let () = pipe.query_async(&mut issuing).await.unwrap();
        }
    });
    let (finished, mut finish) = mpsc::unbounded_channel();
    let mut results = Follower::of_results(&server).await;
    let mut brain = connect(&server).await;
    let mut statistics = connect(&server).await;
    let mut turns = vec![0_usize; symbols];
    let mut first = redis::pipe();
    for number in 0..symbols {
        first
            .add_command(wire::proposal(&wire::symbol(number), 0))
            .ignore();
    }
    let () = first.query_async(&mut brain).await.unwrap();
    let brains = tokio::spawn(async move {
        loop {
            let entries = results.next().await;
            let mut next = redis::pipe();
            let mut executed = 0_usize;
            for result in &entries {
                assert_eq!(result.word, "True", "{}", result.plan);
                executed += 1;
                let turn = &mut turns[wire::number(&result.symbol)];
                *turn += 1;
                next.add_command(wire::proposal(&result.symbol, *turn))
                    .ignore();
            }
            let () = next.query_async(&mut brain).await.unwrap();
            if finished.send(executed).is_err() {
                return;
            }
        }
    });

    let mut total = 0_usize;
    let warm_until = tokio::time::Instant::now() + WARM;
    while let Ok(count) = tokio::time::timeout_at(warm_until, finish.recv()).await {
        total += count.expect("a result is not what it has to be");
    }
    let counted_before = total;
    let mut beside = command.map(|command| service.beside(command));
    let before = Statistics::of(&mut statistics).await;
    let (asked_before, switched) = (venue.requests(), service.switches());
    let (started, processor) = (Instant::now(), service.processor());
    let until = tokio::time::Instant::now() + window;
    while let Ok(count) = tokio::time::timeout_at(until, finish.recv()).await {
        total += count.expect("a result is not what it has to be");
    }
    let within = started.elapsed();
    let processor = service.processor() - processor;
    let switches = service.switches() - switched;
    let asked = venue.requests();
    let redis = Statistics::of(&mut statistics).await.since(&before);
    let resident = service.resident();
    if let Some(beside) = &mut beside {
        beside.wait().unwrap();
    }
    brains.abort();
    issuers.abort();
    let plans = total - counted_before;
    // The judge of whether there were orders at all.
    let orders = venue.orders().len();
    assert!(orders >= total, "{orders} orders, {total} results");
    let per_plan = |count: u64| count as f64 / plans as f64;
    Crowd {
        symbols,
        plans,
        within,
        processor,
        resident,
        redis: redis.processor,
        ran: per_plan(redis.all()),
        scripts: per_plan(redis.calls_of("evalsha")),
        commands: redis
            .by_name()
            .map(|(name, calls)| (name.clone(), per_plan(calls)))
            .collect(),
        requests: asked
            .into_iter()
            .map(|(name, count)| {
                let before = asked_before.get(&name).copied().unwrap_or(0);
                (name, per_plan(count - before))
            })
            .collect(),
        switches: per_plan(switches),
        rest,
    }
}

/// Looks for as long as it takes to see a poll of every symbol, or a part of it.
async fn rest(service: &Service, window: Duration) -> Rest {
    // What starting costs is over.
    tokio::time::sleep(window / 10).await;
    let (at, processor) = (Instant::now(), service.processor());
    tokio::time::sleep(window / 2).await;
    let processor = service.processor() - processor;
    Rest {
        ready_after: service.ready_after,
        resident: service.resident(),
        share: processor.as_secs_f64() / at.elapsed().as_secs_f64(),
    }
}
