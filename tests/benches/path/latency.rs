//! One plan at a time: how long from one station of the way to the next.

use crate::{
    floor::{self, Floor},
    grant::{self, Grants},
    monitor::{Monitor, sent_by_others},
    numbers::Samples,
    process::Service,
    venue::Venue,
    wire::{self, Follower, connect},
};
use apply_tests::server_that_has_been_up;
use redis_harness::RedisServer;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

/// What was found.
pub(crate) struct Latency {
    pub(crate) floor: Floor,
    pub(crate) to_plan: Samples,
    pub(crate) permit_to_order: Samples,
    pub(crate) to_order: Samples,
    pub(crate) grants: Grants,
    /// Commands the service sent for one plan, by name.
    pub(crate) commands: BTreeMap<String, usize>,
    pub(crate) counted: usize,
}

/// When a plan passed each station, in nanoseconds since 1970.
pub(crate) struct Passed {
    pub(crate) proposed: u64,
    announced: u64,
    permitted: u64,
}

pub(crate) async fn measure(program: &Path, rounds: usize) -> Latency {
    let server = server_that_has_been_up().await;
    let venue = Venue::start(1);
    let symbols = wire::symbols(1);
    let service = Service::start(program, &server, &venue, &symbols, &[]);
    let mut walk = Walk::new(&server).await;
    let warm = rounds / 10 + 1;
    walk.rounds(warm, Duration::ZERO).await;

    // The floor in the middle: all three see the same machine.
    let mut passed = walk.rounds(rounds / 2, Duration::ZERO).await;
    let floor = floor::measure(&server, &venue, rounds).await;
    passed.extend(walk.rounds(rounds - rounds / 2, Duration::ZERO).await);

    let arrived = arrivals(&venue);
    let stations = |from: fn(&Passed) -> u64, to: &dyn Fn(&str, &Passed) -> u64| {
        let times = passed
            .iter()
            .map(|(plan, at)| Duration::from_nanos(to(plan, at).saturating_sub(from(at))));
        Samples::new(times.collect())
    };
    let to_plan = stations(|at| at.proposed, &|_, at| at.announced);
    let to_order = stations(|at| at.proposed, &|plan, _| arrived[plan]);
    let permit_to_order = stations(|at| at.permitted, &|plan, _| arrived[plan]);

    // Apart from the rest: MONITOR slows a server down.
    let monitor = Monitor::start(&server);
    let counted = (rounds / 10).max(20);
    walk.rounds(counted, Duration::ZERO).await;
    let commands = sent_by_others(&monitor.seen(), &walk.addresses);
    drop((monitor, service));
    let grants = grant::measure(program, &server, &mut walk, (rounds / 3).max(20)).await;
    Latency {
        floor,
        to_plan,
        permit_to_order,
        to_order,
        grants,
        commands,
        counted,
    }
}

pub(crate) fn arrivals(venue: &Venue) -> HashMap<String, u64> {
    let orders = venue.orders();
    orders
        .into_iter()
        .map(|order| (order.plan, order.at))
        .collect()
}

/// The brain and both issuers, who answer at once.
pub(crate) struct Walk {
    connection: redis::aio::MultiplexedConnection,
    plans: Follower,
    results: Follower,
    turn: usize,
    addresses: Vec<String>,
}

impl Walk {
    pub(crate) async fn new(server: &RedisServer) -> Self {
        let mut walk = Self {
            connection: connect(server).await,
            plans: Follower::of_plans(server).await,
            results: Follower::of_results(server).await,
            turn: 0,
            addresses: Vec::new(),
        };
        for connection in [
            walk.connection.clone(),
            walk.plans.connection(),
            walk.results.connection(),
        ] {
            walk.addresses.push(address(connection).await);
        }
        walk
    }

    /// So many plans, one after another, each to its result; the issuers answer after `thought`.
    pub(crate) async fn rounds(
        &mut self,
        count: usize,
        thought: Duration,
    ) -> HashMap<String, Passed> {
        let symbol = wire::symbol(0);
        let mut passed = HashMap::new();
        for _ in 0..count {
            self.turn += 1;
            let proposed = now();
            let () = wire::proposal(&symbol, self.turn)
                .query_async(&mut self.connection)
                .await
                .unwrap();
            let plan = self.plans.next().await.pop().unwrap();
            let announced = now();
            assert_eq!(plan.word, "EXECUTE");
            if !thought.is_zero() {
                tokio::time::sleep(thought).await;
            }
            let mut pipe = redis::pipe();
            wire::permits(&mut pipe, &plan.plan, &symbol);
            let permitted = now();
            let () = pipe.query_async(&mut self.connection).await.unwrap();
            let result = self.results.next().await.pop().unwrap();
            assert_eq!((&result.plan, result.word.as_str()), (&plan.plan, "True"));
            let stations = Passed {
                proposed,
                announced,
                permitted,
            };
            passed.insert(plan.plan, stations);
        }
        passed
    }
}

async fn address(mut connection: redis::aio::MultiplexedConnection) -> String {
    let info: String = redis::cmd("CLIENT")
        .arg("INFO")
        .query_async(&mut connection)
        .await
        .unwrap();
    let mut words = info.split(' ');
    let found = words.find_map(|word| word.strip_prefix("addr="));
    found.unwrap().to_owned()
}

fn now() -> u64 {
    u64::try_from(wire::unix().as_nanos()).unwrap()
}
