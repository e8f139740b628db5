//! How soon a service is ready that finds intents without an outcome in its journal: half of their
//! orders are at the venue, half never arrived, and the windows of all are long over.

use crate::{
    numbers::Samples,
    process::Service,
    venue::Venue,
    wire::{self, Follower},
};
use apply_core::{
    Intent, Journal, OrderKind, OrderTrace, Recorded, Side, plan_id::client_order_id,
};
use apply_journal::{JournalSettings, RedbJournal};
use apply_tests::{apply_layer, server_that_has_been_up};
use exchange_client::{Client, Credentials, Settings};
use exchange_sim::{Limits, SimConfig};
use permit_gate::{AttemptId, PlanId};
use rust_decimal::Decimal;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// As many requests as the service has under way at once.
const CONNECTIONS: usize = 16;
/// What each position is before anything, as the venue holds it.
const HELD: i64 = 1_000_000;
/// How long ago the intents were written.
const AGO: Duration = Duration::from_secs(300);

pub(crate) struct Recovery {
    pub(crate) intents: usize,
    /// From the start of the process to `READY=1`.
    pub(crate) ready: Samples,
    /// From the start of the process to the last result.
    pub(crate) published: Samples,
    /// The same with nothing to recover.
    pub(crate) empty: Samples,
    /// One bare `GET` for each intent.
    pub(crate) floor: Samples,
    /// The most request weight that a minute of the venue's clock saw from these starts.
    pub(crate) weight: u32,
}

pub(crate) async fn measure(intents: usize, rounds: usize) -> Recovery {
    let (mut ready, mut published) = (Vec::new(), Vec::new());
    let (mut empty, mut floor) = (Vec::new(), Vec::new());
    let mut weight = 0;
    for _ in 0..rounds {
        let server = server_that_has_been_up().await;
        let venue = Venue::start(intents);
        let names = wire::symbols(intents);
        floor.push(bare(venue.address(), intents).await);
        place(&venue, intents / 2).await;
        // What was asked and placed up to here came without limits. From here on the venue enforces those of the test host.
        venue.limit(Limits::test_host());
        empty.push(Service::start(apply_layer(), &server, &venue, &names, &[]).ready_after);

        let state = std::env::temp_dir().join(format!("apply-recovery-{}", std::process::id()));
        let _ = fs::remove_dir_all(&state);
        write(&state, intents).await;
        let before = venue.orders().len();
        let started = Instant::now();
        let service = Service::start(
            apply_layer(),
            &server,
            &venue,
            &names,
            &[("APPLY_STATE_DIR", state.to_str().unwrap())],
        );
        ready.push(service.ready_after);
        weight = weight.max(venue.weight());

        // A figure counts only where every plan has the result that is true, and nothing was sent.
        let mut results = Follower::of_results(&server).await;
        let (mut filled, mut all) = (0, 0);
        while all < intents {
            for result in results.next().await {
                all += 1;
                filled += usize::from(result.word == "True");
            }
        }
        published.push(started.elapsed());
        assert_eq!((all, filled), (intents, intents / 2), "{}", service.log());
        assert_eq!(venue.orders().len(), before, "{}", service.log());
        drop(service);
        fs::remove_dir_all(&state).unwrap();
    }
    Recovery {
        intents,
        ready: Samples::new(ready),
        published: Samples::new(published),
        empty: Samples::new(empty),
        floor: Samples::new(floor),
        weight,
    }
}

fn plan(number: usize) -> PlanId {
    PlanId::new(&format!("{number:016x}")).unwrap()
}

/// The orders of the first `count` plans, placed by the client the service uses.
async fn place(venue: &Venue, count: usize) {
    let credentials = Credentials::hmac(SimConfig::API_KEY, SimConfig::API_SECRET).unwrap();
    let host = venue.url().parse().unwrap();
    let client = Client::new(host, credentials, Settings::default()).unwrap();
    client.warm_up().await.unwrap();
    let mode = client.fetch_position_mode().await.unwrap();
    let mut placed = 0;
    for position in client.fetch_positions(None).await.unwrap() {
        let number = wire::number(position.symbol.as_str());
        if number >= count {
            continue;
        }
        let rules = client.fetch_rules(&position.symbol).await.unwrap();
        let id = client_order_id(&plan(number)).parse().unwrap();
        let order = client.prepare_close(&position, mode, &rules, id).unwrap();
        let quantity = rules.cut_quantity(Decimal::new(9, 3)).unwrap();
        let ending = client.submit(order, quantity).await;
        assert!(ending.accepted().is_some(), "{ending}");
        placed += 1;
    }
    assert_eq!(placed, count);
}

/// A journal with one intent a symbol and no outcome.
async fn write(state: &Path, intents: usize) {
    let settings = JournalSettings::for_claims_of(Duration::from_secs(21_600));
    let journal = RedbJournal::open(state, settings).unwrap();
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - AGO;
    let from = u64::try_from(at.as_millis()).unwrap();
    let mut writes = JoinSet::new();
    for number in 0..intents {
        let intent = Intent {
            plan: plan(number),
            symbol: wire::symbol(number).parse().unwrap(),
            step: "CLOSE_PARTIAL_50".into(),
            order: OrderKind::Close,
            attempt: AttemptId::new("former.1").unwrap(),
            trace: OrderTrace {
                side: Side::Sell,
                position_side: "BOTH".into(),
                position_before: Some(Decimal::from(HELD)),
                at_most: None,
                signed_from: from,
                signed_until: from + 2_000,
                receive_window: Duration::from_millis(1_500),
            },
            at: at.as_secs(),
        };
        let journal = journal.clone();
        writes.spawn(async move { journal.record_intent(&intent).await.unwrap() });
    }
    for recorded in writes.join_all().await {
        assert!(matches!(recorded, Recorded::Now));
    }
}

/// So many bare keep-alive `GET`s, as many connections as the service has.
async fn bare(host: &str, count: usize) -> Duration {
    let mut sockets = Vec::new();
    for _ in 0..CONNECTIONS {
        let socket = TcpStream::connect(host).await.unwrap();
        socket.set_nodelay(true).unwrap();
        sockets.push(socket);
    }
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for (number, mut socket) in sockets.into_iter().enumerate() {
        let request = format!("GET /fapi/v1/time HTTP/1.1\r\nHost: {host}\r\n\r\n");
        asking.spawn(async move {
            for _ in (number..count).step_by(CONNECTIONS) {
                socket.write_all(request.as_bytes()).await.unwrap();
                let mut reply = Vec::new();
                while !reply.ends_with(b"}") {
                    assert!(socket.read_buf(&mut reply).await.unwrap() > 0, "closed");
                }
            }
        });
    }
    asking.join_all().await;
    started.elapsed()
}
