//! The contract of every permit store, on real servers.

#![allow(clippy::unwrap_used)]

mod common;

use common::RedisBench;
use permit_gate::contract;
use permit_redis::RedisConfig;
use redis_harness::RedisServer;

#[tokio::test]
async fn the_script_keeps_the_contract() {
    let server = RedisServer::start().await;
    let config = RedisConfig::new(&server.url()).unwrap();
    let bench = RedisBench::new(config, server.connection().await, false).await;
    let held = contract::run(&bench).await.unwrap();
    assert!(held.len() >= 20, "{held:?}");
    assert_eq!(bench.store.stats().transactions, 0);
}
