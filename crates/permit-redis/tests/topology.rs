//! Clusters whose slots move, masters that are replaced.

#![allow(clippy::unwrap_used)]

mod common;

use common::{KILL_SWITCH, PUSH_ONLY, governor, plan, position, take, until, wait};
use permit_gate::{PermitStore, PlanId, Reply, StoreError, WaitPolicy};
use permit_redis::{
    ConnectError, KeyTemplate, PermitKeys, RedisConfig, RedisPermitStore, WatchMode,
};
use redis::{aio::MultiplexedConnection, cmd};
use redis_harness::{Cluster, RedisServer, Sentinel};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn config(cluster: &Cluster) -> RedisConfig {
    let url = cluster.urls().join(",").replace("redis://", "");
    let receipt = KeyTemplate::parse("quantum:apply:inflight:{{plan}}").unwrap();
    RedisConfig::new(&format!("redis+cluster://{url}"))
        .unwrap()
        .permits(keys())
        .receipt(receipt, Duration::from_secs(60))
}

fn keys() -> PermitKeys {
    PermitKeys::parse("governor=quantum:permit:{{plan}},p33=quantum:permit:p33:{{plan}}").unwrap()
}

async fn write_both(link: &mut MultiplexedConnection, keys: &PermitKeys, plan: &PlanId) {
    for (key, content) in keys.keys(plan).iter().zip([governor(), position()]) {
        let mut set = cmd("SET");
        set.arg(key).arg(content);
        set.exec_async(link).await.unwrap();
    }
}

/// The node that has the slot of this plan, and the slot.
async fn owner(cluster: &Cluster, plan: &PlanId) -> (usize, u16) {
    let key = &keys().keys(plan)[0];
    let mut link = cluster.nodes()[0].connection().await;
    let slot: u16 = cmd("CLUSTER")
        .arg("KEYSLOT")
        .arg(key)
        .query_async(&mut link)
        .await
        .unwrap();
    (usize::from(slot) * 3 / 16_384, slot)
}

#[tokio::test]
async fn plain_keys_are_refused_on_a_cluster_before_anything_is_asked() {
    let config = RedisConfig::new("redis+cluster://127.0.0.1:1").unwrap();
    let error = RedisPermitStore::connect(config).await.unwrap_err();
    assert!(matches!(error, ConnectError::Config(_)), "{error}");
    assert!(error.to_string().contains("{{plan}}"), "{error}");
}

#[tokio::test]
async fn plans_on_every_node_are_woken_by_that_node() {
    let cluster = Cluster::start(3).await;
    let store = RedisPermitStore::connect(config(&cluster)).await.unwrap();
    assert_eq!(store.watch_mode(), WatchMode::Tracking);
    let mut seen = [false; 3];
    for i in 0..12 {
        let plan = plan(i);
        let (node, _) = owner(&cluster, &plan).await;
        seen[node] = true;
        let calls = store.stats().script_calls;
        let task = tokio::spawn({
            let (store, plan) = (store.clone(), plan.clone());
            async move { wait(&store, &plan, PUSH_ONLY).await }
        });
        until(|| store.stats().script_calls > calls).await;
        let mut issuer = cluster.nodes()[node].connection().await;
        write_both(&mut issuer, &keys(), &plan).await;
        drop(task.await.unwrap().0.unwrap());
    }
    assert_eq!(seen, [true; 3], "twelve plans spread over all nodes");
}

#[tokio::test]
async fn a_slot_that_moved_is_followed_and_one_that_is_moving_is_waited_for() {
    let cluster = Cluster::start(3).await;
    let store = RedisPermitStore::connect(config(&cluster)).await.unwrap();
    let plan = plan("67e6da21fa9fe506");
    let (from, slot) = owner(&cluster, &plan).await;
    let to = (from + 1) % 3;
    let mut links = Vec::new();
    for node in cluster.nodes() {
        links.push(node.connection().await);
    }
    let mut ids: Vec<String> = Vec::new();
    for link in &mut links {
        let id = cmd("CLUSTER").arg("MYID").query_async(link).await;
        ids.push(id.unwrap());
    }
    let set_slot = |state: &str, node: &str| {
        let mut set = cmd("CLUSTER");
        set.arg("SETSLOT").arg(slot).arg(state).arg(node);
        set
    };

    set_slot("IMPORTING", &ids[from])
        .exec_async(&mut links[to])
        .await
        .unwrap();
    set_slot("MIGRATING", &ids[to])
        .exec_async(&mut links[from])
        .await
        .unwrap();
    let answer = store.take_all(&take(&plan, "a")).await;
    assert!(
        matches!(answer, Err(StoreError::Unavailable(_))),
        "{answer:?}"
    );

    for i in [to, from, 3 - from - to] {
        set_slot("NODE", &ids[to])
            .exec_async(&mut links[i])
            .await
            .unwrap();
    }
    write_both(&mut links[to], &keys(), &plan).await;
    let reply = store.take_all(&take(&plan, "a")).await.unwrap();
    assert!(matches!(reply, Reply::Taken(_)), "{reply:?}");
    assert_eq!(store.stats().redirects, 1);
}

#[tokio::test]
async fn a_switch_set_while_the_take_is_on_its_way_still_halts() {
    let cluster = Cluster::start(3).await;
    let patient = config(&cluster).response_timeout(Duration::from_secs(20));
    let store = RedisPermitStore::connect(patient).await.unwrap();
    let mut switch_node = None;
    for (i, node) in cluster.nodes().iter().enumerate() {
        let mut get = cmd("GET");
        get.arg(KILL_SWITCH);
        if get.exec_async(&mut node.connection().await).await.is_ok() {
            switch_node = Some(i);
        }
    }
    let switch_node = switch_node.unwrap();
    let mut elsewhere = None;
    for i in 0..12 {
        let (node, _) = owner(&cluster, &plan(i)).await;
        if node != switch_node {
            elsewhere = Some((plan(i), node));
        }
    }
    let (plan, node) = elsewhere.unwrap();
    let mut issuer = cluster.nodes()[node].connection().await;
    write_both(&mut issuer, &keys(), &plan).await;

    // The switch has been read as off, the take waits at a server that stands still.
    cluster.nodes()[node].pause();
    let asked = tokio::spawn({
        let (store, take) = (store.clone(), take(&plan, "a"));
        async move { store.take_all(&take).await }
    });
    until(|| store.stats().script_calls == 1).await;
    let mut halt = cmd("SET");
    halt.arg(KILL_SWITCH).arg("true");
    let mut operator = cluster.nodes()[switch_node].connection().await;
    halt.exec_async(&mut operator).await.unwrap();
    cluster.nodes()[node].resume();
    assert_eq!(asked.await.unwrap().unwrap(), Reply::Halted);
}

#[tokio::test]
async fn a_cluster_that_is_halted_keeps_its_permits() {
    let cluster = Cluster::start(3).await;
    let store = RedisPermitStore::connect(config(&cluster)).await.unwrap();
    let plan = plan("p");
    let (node, _) = owner(&cluster, &plan).await;
    let mut issuer = cluster.nodes()[node].connection().await;
    write_both(&mut issuer, &keys(), &plan).await;
    for node in cluster.nodes() {
        let mut halt = cmd("SET");
        halt.arg(KILL_SWITCH).arg("true");
        // Two of the three do not have the key.
        let _ = halt.exec_async(&mut node.connection().await).await;
    }
    let reply = store.take_all(&take(&plan, "a")).await.unwrap();
    assert_eq!(reply, Reply::Halted);
    let mut exists = cmd("EXISTS");
    exists.arg(keys().keys(&plan));
    let there: usize = exists.query_async(&mut issuer).await.unwrap();
    assert_eq!(there, 2);
}

#[tokio::test]
async fn a_node_that_is_down_costs_only_its_own_plans() {
    let mut cluster = Cluster::start(3).await;
    let store = RedisPermitStore::connect(config(&cluster)).await.unwrap();
    let plans: Vec<PlanId> = (0..12).map(plan).collect();
    let mut owners = Vec::new();
    for plan in &plans {
        owners.push(owner(&cluster, plan).await.0);
    }
    // The kill switch is on the second node, which has to be asked about every plan.
    for link in cluster.nodes() {
        let mut full = cmd("CONFIG");
        full.arg("SET")
            .arg("cluster-require-full-coverage")
            .arg("no");
        full.exec_async(&mut link.connection().await).await.unwrap();
    }
    let down = 2;
    cluster.nodes_mut()[down].kill();
    for (plan, owner) in plans.iter().zip(owners) {
        let answer = store.take_all(&take(plan, "a")).await;
        assert_eq!(answer.is_ok(), owner != down, "{plan}: {answer:?}");
    }
    assert_eq!(
        store.watch_mode(),
        WatchMode::Polling,
        "one node is not watched"
    );
}

#[tokio::test]
async fn after_a_failover_the_new_master_is_asked_and_watched() {
    let mut sentinel = Sentinel::start_with(3).await;
    let hosts = sentinel.urls().join(",").replace("redis://", "");
    let url = format!("redis+sentinel://{hosts}/{}", Sentinel::MASTER);
    let config = RedisConfig::new(&url).unwrap();
    let store = RedisPermitStore::connect(config).await.unwrap();
    sentinel.fail_over().await;
    let mut issuer = sentinel.replica().connection().await;
    write_both(&mut issuer, &PermitKeys::default(), &plan("p")).await;
    let policy = WaitPolicy {
        wait: Duration::from_secs(20),
        ..WaitPolicy::default()
    };
    let (answer, _) = wait(&store, &plan("p"), policy).await;
    drop(answer.unwrap());
    until(|| store.watch_mode() == WatchMode::Tracking).await;
    let stats = store.stats();
    assert!(
        stats.reconnects >= 1 && stats.watch_reconnects >= 1,
        "{stats:?}"
    );
}

/// A sentinel that says the same to everything: this is the master.
async fn sentinel_naming(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let answer = format!(
                "*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n",
                port.to_string().len()
            );
            tokio::spawn(async move {
                let mut question = [0; 1024];
                while let Ok(got @ 1..) = client.read(&mut question).await {
                    let text = String::from_utf8_lossy(&question[..got]).into_owned();
                    let commands = text.lines().filter(|line| line.starts_with('*')).count();
                    let answers = answer.repeat(commands);
                    client.write_all(answers.as_bytes()).await.unwrap();
                }
            });
        }
    });
    own
}

#[tokio::test]
async fn a_replica_that_a_sentinel_still_calls_master_is_not_believed() {
    let master = RedisServer::start().await;
    let replica = RedisServer::builder()
        .replica_of(master.port())
        .start()
        .await;
    for (server, believed) in [(&replica, false), (&master, true)] {
        let sentinel = sentinel_naming(server.port()).await;
        let url = format!("redis+sentinel://127.0.0.1:{sentinel}/mymaster");
        let config = RedisConfig::new(&url)
            .unwrap()
            .connect_timeout(Duration::from_secs(1));
        let connected = RedisPermitStore::connect(config).await;
        assert_eq!(connected.is_ok(), believed, "{connected:?}");
        if let Err(error) = connected {
            assert!(
                error.to_string().contains("no longer, the master"),
                "{error}"
            );
        }
    }
}
