//! A follower of a key hears of every write to it, and of nothing else.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Proxy, until};
use permit_redis::{RedisConfig, RedisFollow, RedisPermitStore, WatchMode};
use redis::{aio::MultiplexedConnection, cmd};
use redis_harness::RedisServer;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

const PREFIX: &str = "quantum:harvest:proposal:";

async fn store(url: &str) -> RedisPermitStore {
    let config = RedisConfig::new(url)
        .unwrap()
        .follow_prefix(PREFIX)
        .ping_every(Duration::from_millis(50))
        .response_timeout(Duration::from_millis(200));
    RedisPermitStore::connect(config).await.unwrap()
}

fn follow(store: &RedisPermitStore, symbol: &str) -> RedisFollow {
    store.follow(&format!("{PREFIX}{symbol}"))
}

async fn run(brain: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = redis::Cmd::new();
    command.arg(words).exec_async(brain).await.unwrap();
}

async fn propose(brain: &mut MultiplexedConnection, symbol: &str) {
    let key = format!("{PREFIX}{symbol}");
    run(brain, &["HSET", &key, "harvest_action", "HOLD"]).await;
}

/// Whether it was reported already.
fn rang(follow: &RedisFollow) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    pin!(follow.changed()).poll(&mut context).is_ready()
}

#[tokio::test]
async fn every_write_to_a_followed_key_is_reported_and_nothing_else_is() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    assert_eq!(store.watch_mode(), WatchMode::Tracking);
    assert_reported(&store, &mut server.connection().await).await;
}

#[tokio::test]
async fn keyspace_notifications_report_the_same() {
    let server = RedisServer::builder()
        .acl("worker on >secret ~quantum:* &* +@all -client")
        .config("notify-keyspace-events KA")
        .start()
        .await;
    let store = store(&server.url_as("worker", "secret")).await;
    assert_eq!(store.watch_mode(), WatchMode::KeyspaceNotifications);
    assert_reported(&store, &mut server.connection().await).await;
}

async fn assert_reported(store: &RedisPermitStore, brain: &mut MultiplexedConnection) {
    let (btc, eth) = (follow(store, "BTCUSDT"), follow(store, "ETHUSDT"));
    let key = format!("{PREFIX}BTCUSDT");
    for words in [
        vec!["HSET", &key, "harvest_action", "HOLD"],
        vec!["HSET", &key, "kill_score", "0.5"],
        vec!["HDEL", &key, "kill_score"],
        vec!["PEXPIRE", &key, "60000"],
        vec!["DEL", &key],
    ] {
        run(brain, &words).await;
        btc.changed().await;
    }
    // Looking is no writing, and neither key begins like the other.
    for words in [
        vec!["HGETALL", &key],
        vec!["SET", "quantum:harvest:proposals", "x"],
        vec!["HSET", "quantum:harvest:proposal:BTCUSDT2", "a", "b"],
        vec!["SET", "quantum:permit:BTCUSDT", "x"],
    ] {
        run(brain, &words).await;
    }
    // What comes after them on the same watch is here, so they are, too.
    propose(brain, "ETHUSDT").await;
    eth.changed().await;
    assert!(!rang(&btc));
}

#[tokio::test]
async fn a_write_before_anybody_asks_is_not_lost() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let follow = follow(&store, "BTCUSDT");
    let pushes = store.stats().pushes;
    propose(&mut server.connection().await, "BTCUSDT").await;
    until(|| store.stats().pushes > pushes).await;
    assert!(rang(&follow));
    assert!(!rang(&follow), "reported once");
}

#[tokio::test]
async fn whatever_was_written_while_the_watch_was_blind_is_looked_for_afterwards() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.port()).await;
    let store = store(&proxy.url()).await;
    let mut brain = server.connection().await;
    let follows = [follow(&store, "BTCUSDT"), follow(&store, "ETHUSDT")];
    proxy.refuse(true);
    let mut kill = cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("normal");
    kill.arg("SKIPME").arg("yes");
    kill.exec_async(&mut brain).await.unwrap();
    until(|| store.watch_mode() == WatchMode::Polling).await;
    propose(&mut brain, "BTCUSDT").await;
    // The loss itself is reported, too.
    for follow in &follows {
        follow.changed().await;
    }
    proxy.refuse(false);
    for follow in &follows {
        follow.changed().await;
    }
    until(|| store.watch_mode() == WatchMode::Tracking).await;
}

#[tokio::test]
async fn a_flush_is_reported_to_every_follower() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let follows = [follow(&store, "BTCUSDT"), follow(&store, "ETHUSDT")];
    run(&mut server.connection().await, &["FLUSHDB"]).await;
    for follow in &follows {
        follow.changed().await;
    }
}
