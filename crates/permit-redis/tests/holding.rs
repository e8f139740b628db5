//! Permits of a plan that has a holder: only it takes them, and only once it is ready.

#![allow(clippy::unwrap_used)]

mod common;

use common::{RedisBench, plan, take};
use permit_gate::{PermitStore, PlanId, Reply, Slot, Ttl, contract::Bench};
use permit_redis::{KeyTemplate, MAX_HOLDER_BYTES, PermitKeys, RedisConfig};
use redis::cmd;
use redis_harness::{Cluster, RedisServer};
use std::time::Duration;

const HOLDERS: &str = "quantum:apply:open";
const FENCE: &str = "quantum:lease:live";
const TTL: Option<Duration> = Some(Duration::from_secs(60));

fn both() -> Reply {
    Reply::Taken(vec![b"g".to_vec(), b"p".to_vec()])
}

/// What halts by being there; on the cluster each in a slot of its own.
fn halting() -> Vec<String> {
    vec!["quantum:stop:yesterday".into(), "quantum:stop:today".into()]
}

async fn put_both(bench: &RedisBench, plan: &PlanId) {
    bench.write(plan, "governor", b"g", TTL).await;
    bench.write(plan, "p33", b"p", TTL).await;
}

async fn hold(bench: &RedisBench, plan: &PlanId, field: &str) {
    let mut set = cmd("HSET");
    set.arg(HOLDERS).arg(plan.as_str()).arg(field);
    bench.issue::<i64>(&set).await;
}

async fn holds_both(bench: &RedisBench, plan: &PlanId) -> bool {
    bench.holds(plan, "governor").await && bench.holds(plan, "p33").await
}

/// Bytes that the servers have sent to all their clients.
async fn sent(bench: &RedisBench) -> u64 {
    let mut all = 0;
    for server in &bench.issuers {
        let mut info = cmd("INFO");
        info.arg("stats");
        let stats: String = info.query_async(&mut server.clone()).await.unwrap();
        let mut lines = stats.lines();
        let bytes = lines.find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        all += bytes.unwrap().trim().parse::<u64>().unwrap();
    }
    all
}

/// By script, as a user who may not, and on a cluster, where the holders lie in another slot.
async fn every_way() -> Vec<(RedisBench, Box<dyn std::any::Any>)> {
    let mut benches: Vec<(RedisBench, Box<dyn std::any::Any>)> = Vec::new();
    for scripting in ["+@scripting", "-@scripting"] {
        let user = format!("worker on >secret ~quantum:* &* +@all {scripting}");
        let server = RedisServer::builder().acl(&user).start().await;
        let config = RedisConfig::new(&server.url_as("worker", "secret")).unwrap();
        let config = config.holders(HOLDERS, "ready").halted_while_there(halting);
        let config = config.fenced_while_there(FENCE);
        let bench = RedisBench::new(config, &server).await;
        benches.push((bench, Box::new(server)));
    }
    let cluster = Cluster::start(3).await;
    let hosts = cluster.urls().join(",").replace("redis://", "");
    let keys = "governor=quantum:permit:{{plan}},p33=quantum:permit:p33:{{plan}}";
    let receipt = KeyTemplate::parse("quantum:apply:inflight:{{plan}}").unwrap();
    let config = RedisConfig::new(&format!("redis+cluster://{hosts}")).unwrap();
    let config = config
        .receipt(receipt, Duration::from_secs(60))
        .holders(HOLDERS, "ready")
        .halted_while_there(halting)
        .fenced_while_there(FENCE);
    let mut nodes = Vec::new();
    for node in cluster.nodes() {
        nodes.push(node.connection().await);
    }
    let keys = PermitKeys::parse(keys).unwrap();
    let bench = RedisBench::with_keys(config, keys, nodes).await;
    benches.push((bench, Box::new(cluster)));
    benches
}

#[tokio::test]
async fn permits_are_taken_by_the_attempt_that_holds_the_plan_and_is_ready() {
    for (bench, _server) in every_way().await {
        let plan = plan("p");
        put_both(&bench, &plan).await;
        let ask = async |attempt| bench.store.take_all(&take(&plan, attempt)).await.unwrap();
        assert_eq!(ask("a").await, Reply::NotHeld, "it has no holder");
        for field in ["b ready x", "a", "a.1 ready x", "", "a\nready x"] {
            hold(&bench, &plan, field).await;
            assert_eq!(ask("a").await, Reply::NotHeld, "{field:?}");
        }
        hold(&bench, &plan, "a readier x").await;
        match ask("a").await {
            Reply::NotReady(slots) => {
                let contents: Vec<_> = slots.iter().map(|slot| slot.content.clone()).collect();
                assert_eq!(contents, [Some(b"g".to_vec()), Some(b"p".to_vec())]);
            }
            other => panic!("{other:?}"),
        }
        assert!(holds_both(&bench, &plan).await);
        hold(&bench, &plan, "a ready x").await;
        assert_eq!(ask("b").await, Reply::NotHeld);
        assert_eq!(ask("a").await, both());
        assert_eq!(ask("a").await, both(), "the same answer again");
        assert!(!bench.holds(&plan, "governor").await && !bench.holds(&plan, "p33").await);
    }
}

#[tokio::test]
async fn nothing_is_taken_while_a_key_is_there_that_halts_whatever_it_holds() {
    for (bench, _server) in every_way().await {
        let plan = plan("p");
        put_both(&bench, &plan).await;
        hold(&bench, &plan, "a ready x").await;
        let ask = async || bench.store.take_all(&take(&plan, "a")).await.unwrap();
        for key in halting() {
            for (command, value) in [("SET", ""), ("SET", "false"), ("SADD", "burst")] {
                let mut halt = cmd(command);
                halt.arg(&key).arg(value);
                bench.issue::<redis::Value>(&halt).await;
                assert_eq!(ask().await, Reply::Halted, "{key} {command} {value:?}");
                assert!(holds_both(&bench, &plan).await);
                let mut end = cmd("DEL");
                end.arg(&key);
                bench.issue::<i64>(&end).await;
            }
        }
        assert_eq!(ask().await, both());
    }
}

#[tokio::test]
async fn nothing_is_taken_behind_a_fence_and_a_halt_counts_before_it() {
    for (bench, _server) in every_way().await {
        let plan = plan("p");
        put_both(&bench, &plan).await;
        hold(&bench, &plan, "a ready x").await;
        let ask = async || bench.store.take_all(&take(&plan, "a")).await.unwrap();
        for (command, value) in [("SET", ""), ("SADD", "whatever it holds")] {
            let mut fence = cmd(command);
            fence.arg(FENCE).arg(value);
            bench.issue::<redis::Value>(&fence).await;
            assert_eq!(ask().await, Reply::Fenced, "{command} {value:?}");
            bench.halt(true).await;
            assert_eq!(ask().await, Reply::Halted);
            bench.halt(false).await;
            assert!(holds_both(&bench, &plan).await);
            bench.issue::<i64>(cmd("DEL").arg(FENCE)).await;
        }
        assert_eq!(ask().await, both());
    }
}

#[tokio::test]
async fn a_holder_that_is_too_long_is_none_and_does_not_travel() {
    for (bench, _server) in every_way().await {
        let plan = plan("p");
        put_both(&bench, &plan).await;
        let ask = async || bench.store.take_all(&take(&plan, "a")).await.unwrap();
        let room = MAX_HOLDER_BYTES - "a ready ".len();
        for (size, reply) in [
            (room + 1, Reply::NotHeld),
            (4 << 20, Reply::NotHeld),
            (room, both()),
        ] {
            hold(&bench, &plan, &format!("a ready {}", "x".repeat(size))).await;
            let before = sent(&bench).await;
            assert_eq!(ask().await, reply, "{size}");
            let travelled = sent(&bench).await - before;
            assert!(travelled < 256 << 10, "{size}: {travelled} bytes");
        }
    }
}

#[tokio::test]
async fn one_that_is_not_ready_learns_what_is_missing_all_the_same() {
    for (bench, _server) in every_way().await {
        let plan = plan("p");
        hold(&bench, &plan, "a new x").await;
        bench.write(&plan, "governor", b"g", None).await;
        let reply = bench.store.take_all(&take(&plan, "a")).await.unwrap();
        let there = Slot {
            content: Some(b"g".to_vec()),
            ttl: Ttl::NoExpiry,
        };
        assert_eq!(reply, Reply::Missing(vec![there, Slot::ABSENT]));
    }
}

#[tokio::test]
async fn what_was_taken_before_the_store_went_back_is_no_answer_after_it() {
    for (bench, _server) in every_way().await {
        let plan = plan("p");
        put_both(&bench, &plan).await;
        hold(&bench, &plan, "a ready x").await;
        let ask = async || bench.store.take_all(&take(&plan, "a")).await.unwrap();
        assert_eq!(ask().await, both());
        hold(&bench, &plan, "a new x").await;
        assert_ne!(ask().await, both(), "the receipt is older than the holder");
        hold(&bench, &plan, "b ready x").await;
        assert_eq!(ask().await, Reply::NotHeld);
    }
}

#[tokio::test]
async fn holders_that_cannot_be_read_are_no_holders() {
    let server = RedisServer::start().await;
    let config = RedisConfig::new(&server.url()).unwrap();
    let bench = RedisBench::new(config.holders(HOLDERS, "ready"), &server).await;
    let plan = plan("p");
    put_both(&bench, &plan).await;
    let mut set = cmd("SET");
    set.arg(HOLDERS).arg("no hash");
    bench.issue::<()>(&set).await;
    bench.store.take_all(&take(&plan, "a")).await.unwrap_err();
    assert!(holds_both(&bench, &plan).await);
}
