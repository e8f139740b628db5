//! From the grant to the order, the order ready and every process asleep: the issuers take their time.

use crate::{
    floor::{TAKE, load, post, take},
    latency::{Walk, arrivals},
    numbers::Samples,
    process::Service,
    relay::Relay,
    venue::Venue,
    wire::{self, connect, connect_to, unix},
};
use exchange_sim::SimConfig;
use hmac::{Hmac, KeyInit, Mac};
use redis::{Value, aio::MultiplexedConnection};
use redis_harness::RedisServer;
use sha2::Sha256;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// How long the issuers take.
const THOUGHT: Duration = Duration::from_millis(15);

/// What was found. A grant is the moment at which the answer to the take is sent to the client that asked.
pub(crate) struct Grants {
    /// From the grant to the order, read whole by the venue.
    pub(crate) to_order: Samples,
    /// The same by a program that has nothing to decide and signed before, in turns with it.
    pub(crate) bare_to_order: Samples,
    /// Its `POST`, from the first byte to the whole of the answer.
    pub(crate) bare_post: Samples,
}

pub(crate) async fn measure(
    program: &Path,
    server: &RedisServer,
    walk: &mut Walk,
    rounds: usize,
) -> Grants {
    let (relay, symbol) = (Relay::start(server), wire::symbol(0));
    // Its own: a client that comes to a venue with much of its weight used stays away at first.
    let venue = Venue::start(1);
    let service = Service::start(
        program,
        server,
        &venue,
        &symbol,
        &[("REDIS_URL", &relay.url())],
    );
    let mut bare = Bare::new(server, &venue, &relay).await;
    walk.rounds(rounds / 10 + 1, Duration::ZERO).await;
    let (mut ours, mut bares) = (Vec::new(), Vec::new());
    for turn in 0..rounds {
        ours.extend(walk.rounds(1, THOUGHT).await.into_keys());
        let id = format!("{turn:016x}");
        bare.round(&id, &symbol).await;
        bares.push(id);
    }
    drop(service);
    let (granted, arrived) = (relay.granted(), arrivals(&venue));
    let to_order = |plans: &[String]| {
        let times = plans.iter().map(|plan| {
            let nanos = arrived[plan].checked_sub(granted[plan]);
            Duration::from_nanos(nanos.expect("no order before its grant"))
        });
        Samples::new(times.collect())
    };
    Grants {
        to_order: to_order(&ours),
        bare_to_order: to_order(&bares),
        bare_post: Samples::new(bare.posts),
    }
}

/// A program that has nothing to decide: permits that are there are taken, and an order that was signed
/// before goes out.
struct Bare {
    issuer: MultiplexedConnection,
    service: MultiplexedConnection,
    take: String,
    socket: TcpStream,
    host: String,
    /// From the first byte of each `POST` to the whole of its answer.
    posts: Vec<Duration>,
}

impl Bare {
    async fn new(server: &RedisServer, venue: &Venue, relay: &Relay) -> Self {
        let url = relay.url();
        let (issuer, mut service) = tokio::join!(connect(server), connect_to(&url));
        let take = load(&mut service, TAKE).await;
        let socket = TcpStream::connect(venue.address()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            issuer,
            service,
            take,
            socket,
            host: venue.address().to_owned(),
            posts: Vec::new(),
        }
    }

    async fn round(&mut self, id: &str, symbol: &str) {
        let order = signed(&format!(
            "symbol={symbol}&side=SELL&type=MARKET&quantity=0.009&reduceOnly=true&newOrderRespType=RESULT\
             &newClientOrderId=bare_{id}&recvWindow=5000&timestamp={}",
            unix().as_millis()
        ));
        tokio::time::sleep(THOUGHT).await;
        let mut permits = redis::pipe();
        wire::permits(&mut permits, id, symbol);
        let () = permits.query_async(&mut self.issuer).await.unwrap();
        let _: Value = take(&self.take, id)
            .query_async(&mut self.service)
            .await
            .unwrap();
        let started = Instant::now();
        post(&mut self.socket, &self.host, SimConfig::API_KEY, &order).await;
        self.posts.push(started.elapsed());
    }
}

fn signed(order: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SimConfig::API_SECRET.as_bytes()).unwrap();
    mac.update(order.as_bytes());
    let signature = mac.finalize().into_bytes();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{order}&signature={hex}")
}
