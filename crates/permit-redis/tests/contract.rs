//! The contract of every permit store, on real servers.

#![allow(clippy::unwrap_used)]

mod common;

use common::RedisBench;
use permit_gate::contract;
use permit_redis::{KeyTemplate, PermitKeys, RedisConfig, RedisPermitStore, WatchMode};
use redis_harness::{Cluster, RedisServer, Sentinel};
use std::time::Duration;

#[tokio::test]
async fn the_script_keeps_the_contract() {
    let server = RedisServer::start().await;
    let config = RedisConfig::new(&server.url()).unwrap();
    let bench = RedisBench::new(config, &server).await;
    keeps_the_contract(&bench).await;
    let stats = bench.store.stats();
    assert!(stats.script_calls > 0);
    assert_eq!(stats.transactions, 0);
}

#[tokio::test]
async fn a_user_without_scripts_keeps_the_contract() {
    let server = RedisServer::builder()
        .acl("worker on >secret ~quantum:* &* +@all -@scripting")
        .start()
        .await;
    let config = RedisConfig::new(&server.url_as("worker", "secret")).unwrap();
    let bench = RedisBench::new(config, &server).await;
    keeps_the_contract(&bench).await;
    let stats = bench.store.stats();
    assert_eq!(stats.script_calls, 0);
    assert!(stats.transactions > 0);
}

/// The line of `docs/permits.md`, to the letter.
fn least_rights() -> String {
    let page = include_str!("../../../docs/permits.md");
    let line = page.lines().find_map(|l| l.strip_prefix("user apply "));
    format!("apply {}", line.unwrap())
}

#[tokio::test]
async fn the_rights_in_the_docs_are_enough() {
    for more in ["", " -evalsha +watch +unwatch +multi +exec +get"] {
        let user = least_rights() + more;
        let server = RedisServer::builder().acl(&user).start().await;
        let config = RedisConfig::new(&server.url_as("apply", "password")).unwrap();
        let bench = RedisBench::new(config, &server).await;
        keeps_the_contract(&bench).await;
        assert_eq!(bench.store.stats().transactions > 0, !more.is_empty());
    }
}

#[tokio::test]
async fn a_store_that_polls_keeps_the_contract() {
    let server = RedisServer::start().await;
    let config = RedisConfig::new(&server.url()).unwrap().watching(false);
    let bench = RedisBench::new(config, &server).await;
    assert_eq!(bench.store.watch_mode(), WatchMode::Polling);
    contract::run(&bench).await.unwrap();
}

#[tokio::test]
async fn a_server_with_keyspace_notifications_only_keeps_the_contract() {
    let server = RedisServer::builder()
        .config("notify-keyspace-events KA")
        .acl("worker on >secret ~quantum:* &* +@all -client")
        .start()
        .await;
    let config = RedisConfig::new(&server.url_as("worker", "secret")).unwrap();
    let bench = RedisBench::new(config, &server).await;
    assert_eq!(bench.store.watch_mode(), WatchMode::KeyspaceNotifications);
    let held = contract::run(&bench).await.unwrap();
    assert!(held.contains(&"writes between two looks are all announced"));
}

/// Tagged keys, so that all of a plan lies in one slot. The kill switch stays where its operators
/// know it, in another one.
fn tagged(config: RedisConfig) -> (RedisConfig, PermitKeys) {
    let line = "governor=quantum:permit:{{plan}},p33=quantum:permit:p33:{{plan}}";
    let receipt = KeyTemplate::parse("quantum:apply:inflight:{{plan}}").unwrap();
    let config = config.receipt(receipt, Duration::from_secs(60));
    (config, PermitKeys::parse(line).unwrap())
}

#[tokio::test]
async fn a_cluster_of_three_keeps_the_contract() {
    let cluster = Cluster::start(3).await;
    // One of its nodes is enough to find the others.
    let url = cluster.nodes()[0]
        .url()
        .replace("redis://", "redis+cluster://");
    let (config, keys) = tagged(RedisConfig::new(&url).unwrap());
    let mut issuers = Vec::new();
    for node in cluster.nodes() {
        issuers.push(node.connection().await);
    }
    let bench = RedisBench::with_keys(config, keys, issuers).await;
    keeps_the_contract(&bench).await;
}

#[tokio::test]
async fn a_cluster_without_scripts_keeps_the_contract() {
    let cluster = Cluster::start(3).await;
    let mut issuers = Vec::new();
    for node in cluster.nodes() {
        let mut link = node.connection().await;
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg("worker");
        for word in ["on", ">secret", "~quantum:*", "&*", "+@all", "-@scripting"] {
            user.arg(word);
        }
        user.exec_async(&mut link).await.unwrap();
        issuers.push(link);
    }
    let url = cluster.nodes()[1].url_as("worker", "secret");
    let url = url.replace("redis://", "redis+cluster://");
    let (config, keys) = tagged(RedisConfig::new(&url).unwrap());
    let bench = RedisBench::with_keys(config, keys, issuers).await;
    keeps_the_contract(&bench).await;
    assert_eq!(bench.store.stats().script_calls, 0);
}

#[tokio::test]
async fn a_master_found_through_sentinels_keeps_the_contract() {
    let mut sentinel = Sentinel::start_with(3).await;
    let hosts = sentinel.urls().join(",").replace("redis://", "");
    let url = format!("redis+sentinel://{hosts}/{}", Sentinel::MASTER);
    let config = RedisConfig::new(&url).unwrap();
    let bench = RedisBench::new(config, sentinel.master()).await;
    keeps_the_contract(&bench).await;
}

#[tokio::test]
async fn a_server_behind_tls_and_a_password_keeps_the_contract() {
    let server = RedisServer::builder()
        .tls()
        .acl("worker on >secret ~quantum:* &* +@all")
        .start()
        .await;
    let url = server
        .tls_url()
        .replace("rediss://", "rediss://worker:secret@");
    let stranger = RedisConfig::new(&url)
        .unwrap()
        .start_timeout(Duration::from_secs(2));
    let refused = RedisPermitStore::connect(stranger.clone())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    assert!(!refused.to_string().contains("secret"), "{refused}");

    let config = stranger
        .start_timeout(Duration::from_secs(30))
        .trust(server.certificates().ca_pem())
        .unwrap();
    let bench = RedisBench::new(config, &server).await;
    keeps_the_contract(&bench).await;
}

async fn keeps_the_contract(bench: &RedisBench) {
    assert_eq!(bench.store.watch_mode(), WatchMode::Tracking);
    let held = contract::run(bench).await.unwrap();
    assert!(held.contains(&"writes between two looks are all announced"));
}
