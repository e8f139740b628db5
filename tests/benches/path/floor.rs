//! The unavoidable round trips, bare: the same commands in the same order by a program that has
//! nothing to decide.

use crate::{
    numbers::Samples,
    venue::Venue,
    wire::{self, connect},
};
use redis::{Cmd, Value, cmd};
use redis_harness::RedisServer;
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One key written and one entry added, as a claim that announces its plan.
const CLAIM: &str = "redis.call('SET', KEYS[1], '1', 'NX', 'EX', 60) return redis.call('XADD', KEYS[2], '*', 'plan_id', ARGV[1])";
/// Two keys read and deleted at once, as a take.
pub(crate) const TAKE: &str = "local held = redis.call('MGET', KEYS[1], KEYS[2]) redis.call('DEL', KEYS[1], KEYS[2]) return held";

/// Each step's time, and the sums that stand beside what is measured.
pub(crate) struct Floor {
    /// Write, read, claim with announcement, and its reader woken.
    pub(crate) to_plan: Samples,
    /// A keep-alive `POST` that the venue answers.
    pub(crate) post: Samples,
    /// All of the above, with two permits written and taken.
    pub(crate) to_order: Samples,
}

pub(crate) async fn measure(server: &RedisServer, venue: &Venue, rounds: usize) -> Floor {
    let (mut brain, mut service, mut issuer) =
        tokio::join!(connect(server), connect(server), connect(server));
    let claim: String = load(&mut service, CLAIM).await;
    let script: String = load(&mut service, TAKE).await;
    let mut reader = connect(server).await;
    let mut socket = TcpStream::connect(venue.address()).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (mut to_plan, mut posts, mut to_order) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // A blocked reader before anything starts: its wake-up is part of the way, its call is not.
        let mut blocked = reader.clone();
        let woken = tokio::spawn(async move {
            let reply: Value = cmd("XREAD")
                .arg(&["BLOCK", "0", "STREAMS", "floor:plans", "$"])
                .query_async(&mut blocked)
                .await
                .unwrap();
            (reply, Instant::now())
        });
        blocked_one(&mut issuer).await;
        let started = Instant::now();
        let () = wire::proposal("FLOORUSDT", round)
            .query_async(&mut brain)
            .await
            .unwrap();
        let _: Value = cmd("HGETALL")
            .arg("quantum:harvest:proposal:FLOORUSDT")
            .query_async(&mut service)
            .await
            .unwrap();
        let id = format!("{round:016x}");
        let _: Value = cmd("EVALSHA")
            .arg(&claim)
            .arg(2)
            .arg(format!("floor:claim:{id}"))
            .arg("floor:plans")
            .arg(&id)
            .query_async(&mut service)
            .await
            .unwrap();
        let (_, at) = woken.await.unwrap();
        let first = at - started;
        to_plan.push(first);

        let second = Instant::now();
        let mut pipe = redis::pipe();
        wire::permits(&mut pipe, &id, "FLOORUSDT");
        let () = pipe.query_async(&mut issuer).await.unwrap();
        let _: Value = take(&script, &id).query_async(&mut service).await.unwrap();
        let posted = Instant::now();
        post(&mut socket, venue.address(), "none", UNSIGNED).await;
        posts.push(posted.elapsed());
        to_order.push(first + second.elapsed());
    }
    let _: Value = cmd("DEL")
        .arg("floor:plans")
        .arg("quantum:harvest:proposal:FLOORUSDT")
        .query_async(&mut reader)
        .await
        .unwrap();
    Floor {
        to_plan: Samples::new(to_plan),
        post: Samples::new(posts),
        to_order: Samples::new(to_order),
    }
}

pub(crate) async fn load(
    connection: &mut redis::aio::MultiplexedConnection,
    script: &str,
) -> String {
    cmd("SCRIPT")
        .arg("LOAD")
        .arg(script)
        .query_async(connection)
        .await
        .unwrap()
}

/// Waits until the server counts a blocked client.
async fn blocked_one(connection: &mut redis::aio::MultiplexedConnection) {
    loop {
        let clients: String = cmd("INFO")
            .arg("clients")
            .query_async(connection)
            .await
            .unwrap();
        if clients.contains("blocked_clients:1") {
            return;
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) fn take(script: &str, id: &str) -> Cmd {
    let mut take = cmd("EVALSHA");
    take.arg(script)
        .arg(2)
        .arg(format!("quantum:permit:{id}"))
        .arg(format!("quantum:permit:p33:{id}"));
    take
}

/// An unsigned order, which the venue reads whole and refuses.
const UNSIGNED: &str = "symbol=S00000USDT&side=SELL&type=MARKET&quantity=0.009&reduceOnly=true&newOrderRespType=RESULT&newClientOrderId=bare&recvWindow=1500&timestamp=1769301008977&signature=0000000000000000000000000000000000000000000000000000000000000000";

/// One request on a connection that stays, and its answer.
pub(crate) async fn post(socket: &mut TcpStream, host: &str, key: &str, body: &str) {
    let request = format!(
        "POST /fapi/v1/order HTTP/1.1\r\nHost: {host}\r\nX-MBX-APIKEY: {key}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    loop {
        assert!(socket.read_buf(&mut reply).await.unwrap() > 0, "closed");
        let text = String::from_utf8_lossy(&reply);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let (_, rest) = head.split_once("content-length:").unwrap();
        let length: usize = rest.lines().next().unwrap().trim().parse().unwrap();
        if body.len() >= length {
            return;
        }
    }
}
