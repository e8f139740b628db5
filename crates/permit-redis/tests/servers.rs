//! Servers that change under us, and those that say so in their own way.

#![allow(clippy::unwrap_used)]

mod common;

use common::{PUSH_ONLY, Proxy, governor, plan, position, take, until, wait, write};
use permit_gate::{PermitStore, PlanId, Reply, StoreError, WaitPolicy};
use permit_redis::{
    ConnectError, KeyTemplate, PermitKeys, RedisConfig, RedisPermitStore, WatchMode,
};
use redis::{aio::MultiplexedConnection, cmd};
use redis_harness::{Cluster, RedisServer, Sentinel, ServerStub};
use std::time::Duration;
use tokio::net::TcpListener;

async fn run(link: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command.exec_async(link).await.unwrap();
}

async fn write_both(link: &mut MultiplexedConnection, plan: &PlanId) {
    write(link, plan, "governor").await;
    write(link, plan, "p33").await;
}

fn of(sentinel: &Sentinel) -> RedisConfig {
    let hosts = sentinel.urls().join(",").replace("redis://", "");
    RedisConfig::new(&format!("redis+sentinel://{hosts}/{}", Sentinel::MASTER)).unwrap()
}

/// Long enough for a busy machine, and well below the time in which a demoted master stays one.
const BEFORE_IT_IS_DEMOTED: WaitPolicy = WaitPolicy {
    wait: Duration::from_secs(4),
    step: Duration::from_millis(100),
    grace: Duration::from_millis(150),
};

#[tokio::test]
async fn after_a_planned_failover_the_old_master_is_left_while_it_still_answers() {
    let mut sentinel = Sentinel::start_with(3).await;
    let store = RedisPermitStore::connect(of(&sentinel)).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { wait(&store, &plan("p"), BEFORE_IT_IS_DEMOTED).await }
    });
    until(|| store.stats().script_calls > 0).await;
    sentinel.hand_over(false).await;
    // The old one goes on as if nothing had happened.
    let mut old = sentinel.master().connection().await;
    run(&mut old, &["SET", "still", "writable"]).await;
    write_both(&mut sentinel.replica().connection().await, &plan("p")).await;
    drop(waiting.await.unwrap().0.unwrap());
}

#[tokio::test]
async fn sentinels_that_are_silent_cost_nothing_while_one_answers() {
    let sentinel = Sentinel::start().await;
    // They take connections, and say nothing.
    let silent = [
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    ];
    let mut hosts: Vec<String> = silent
        .iter()
        .map(|silent| silent.local_addr().unwrap().to_string())
        .collect();
    hosts.push(sentinel.urls()[0].replace("redis://", ""));
    let url = format!("redis+sentinel://{}/{}", hosts.join(","), Sentinel::MASTER);
    // One after the other they would use all of this up before the third is asked.
    let config = RedisConfig::new(&url)
        .unwrap()
        .connect_timeout(Duration::from_secs(4))
        .response_timeout(Duration::from_secs(4))
        .start_timeout(Duration::from_secs(8));
    RedisPermitStore::connect(config).await.unwrap();
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_reported_as_that() {
    let sentinel = Sentinel::start().await;
    let host = sentinel.urls()[0].replace("redis://", "");
    let config = RedisConfig::new(&format!("redis+sentinel://{host}/other")).unwrap();
    let short = config.start_timeout(Duration::from_secs(1));
    let error = RedisPermitStore::connect(short).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("no master named other"), "{message}");
}

#[tokio::test]
async fn the_watch_follows_the_commands_to_another_server() {
    let (a, b) = (RedisServer::start().await, RedisServer::start().await);
    let proxy = Proxy::start(a.port()).await;
    let config = RedisConfig::new(&proxy.url()).unwrap();
    let store = RedisPermitStore::connect(config).await.unwrap();
    assert_eq!(store.watch_mode(), WatchMode::Tracking);
    proxy.lead_to(b.port());
    // The connection for commands is lost, the watch's is not.
    let mut operator = a.connection().await;
    let mut list = cmd("CLIENT");
    let clients: String = list.arg("LIST").query_async(&mut operator).await.unwrap();
    let commands = clients.lines().find(|line| line.contains("cmd=time"));
    let id = commands
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .replace("id=", "");
    run(&mut operator, &["CLIENT", "KILL", "ID", &id]).await;

    until(|| store.stats().reconnects == 1 && store.stats().watch_reconnects == 1).await;
    until(|| store.watch_mode() == WatchMode::Tracking).await;
    let calls = store.stats().script_calls;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { wait(&store, &plan("p"), PUSH_ONLY).await }
    });
    until(|| store.stats().script_calls > calls).await;
    write_both(&mut b.connection().await, &plan("p")).await;
    drop(waiting.await.unwrap().0.unwrap());
}

#[tokio::test]
async fn a_master_that_was_demoted_behind_a_name_is_left_at_its_first_no() {
    let (a, b) = (RedisServer::start().await, RedisServer::start().await);
    let proxy = Proxy::start(a.port()).await;
    // Nothing but the no itself makes it look.
    let config = RedisConfig::new(&proxy.url())
        .unwrap()
        .ping_every(Duration::from_secs(600));
    let store = RedisPermitStore::connect(config).await.unwrap();
    write_both(&mut a.connection().await, &plan("p")).await;
    write_both(&mut b.connection().await, &plan("p")).await;
    let port = b.port().to_string();
    run(
        &mut a.connection().await,
        &["REPLICAOF", "127.0.0.1", &port],
    )
    .await;
    let mut followed = cmd("INFO");
    followed.arg("replication");
    loop {
        let mut link = a.connection().await;
        let info: String = followed.query_async(&mut link).await.unwrap_or_default();
        if info.contains("master_link_status:up") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.lead_to(b.port());
    let refused = store.take_all(&take(&plan("p"), "a")).await;
    let Err(StoreError::Unavailable(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("the server is a replica"), "{why}");
    until(|| store.stats().reconnects == 1).await;
    let reply = store.take_all(&take(&plan("p"), "a")).await.unwrap();
    assert!(matches!(reply, Reply::Taken(_)), "{reply:?}");
}

#[tokio::test]
async fn a_watch_whose_pushes_do_not_come_says_that_it_polls_and_why() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.port()).await;
    let config = RedisConfig::new(&proxy.url()).unwrap();
    let store = RedisPermitStore::connect(config).await.unwrap();
    assert_eq!(store.watch_mode(), WatchMode::Tracking);
    proxy.swallow_pushes(true);
    let policy = WaitPolicy {
        step: Duration::from_millis(20),
        ..PUSH_ONLY
    };
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { wait(&store, &plan("p"), policy).await }
    });
    until(|| store.stats().script_calls > 0).await;
    write_both(&mut server.connection().await, &plan("p")).await;
    drop(waiting.await.unwrap().0.unwrap());
    until(|| store.watch_mode() == WatchMode::Polling).await;
    let trouble = store.watch_trouble().unwrap();
    assert!(
        trouble.contains("found a permit without a push"),
        "{trouble}"
    );
    // It was made again, and that alone says nothing.
    until(|| store.stats().watch_reconnects == 1).await;
    assert_eq!(store.watch_mode(), WatchMode::Polling);

    proxy.swallow_pushes(false);
    write_both(&mut server.connection().await, &plan("q")).await;
    until(|| store.watch_mode() == WatchMode::Tracking).await;
    assert_eq!(store.watch_trouble(), None);
}

#[tokio::test]
async fn a_script_that_runs_while_the_watch_is_made_does_not_make_it_poll() {
    let server = RedisServer::builder()
        .config("lua-time-limit 1")
        .start()
        .await;
    let loops = "for i = 1, ARGV[1] do end";
    let mut other = server.connection().await;
    other.set_response_timeout(Duration::from_secs(60));
    let busy = tokio::spawn(async move {
        let mut eval = cmd("EVAL");
        eval.arg(loops).arg(0).arg(100_000_000);
        eval.exec_async(&mut other).await.unwrap();
    });
    let mut looking = server.connection().await;
    let mut get = cmd("GET");
    get.arg("k");
    while get.exec_async(&mut looking).await.is_ok() {}
    let config = RedisConfig::new(&server.url()).unwrap();
    let patient = config.start_timeout(Duration::from_secs(60));
    let store = RedisPermitStore::connect(patient).await.unwrap();
    busy.await.unwrap();
    // Far from the five seconds after which a server that cannot push is asked again.
    let soon = Duration::from_secs(3);
    let tracked = tokio::time::timeout(soon, until(|| store.watch_mode() == WatchMode::Tracking));
    tracked.await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_serve_us_is_reported_with_its_own_fix() {
    for (answer, fix) in [
        (
            "-LOADING Redis is loading the dataset in memory\r\n",
            "wait until it has",
        ),
        ("-BUSY Redis is busy running a script.\r\n", "SCRIPT KILL"),
        (
            "-MASTERDOWN Link with MASTER is down\r\n",
            "lead to the master",
        ),
        ("-NOAUTH Authentication required.\r\n", "user or password"),
        (
            "-DENIED Redis is running in protected mode\r\n",
            "give it a password",
        ),
        ("-ERR max number of clients reached\r\n", "maxclients"),
    ] {
        let stub = ServerStub::saying(answer).await;
        let config = RedisConfig::new(&stub.url()).unwrap();
        let short = config
            .watching(false)
            .start_timeout(Duration::from_millis(300));
        let error = RedisPermitStore::connect(short).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unfit { .. }), "{error:?}");
        assert!(error.to_string().contains(fix), "{error}");
    }
    let old = ServerStub::of_version("6.0.20").await;
    let config = RedisConfig::new(&old.url()).unwrap();
    let short = config
        .watching(false)
        .start_timeout(Duration::from_millis(300));
    let error = RedisPermitStore::connect(short).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unusable { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("Redis 6.0.20 is too old: use Redis 6.2"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_is_slow_is_reported_as_that() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let config = RedisConfig::new(&url).unwrap().watching(false);
    let short = config
        .response_timeout(Duration::from_millis(50))
        .start_timeout(Duration::from_millis(300));
    let error = RedisPermitStore::connect(short).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("response time-out of 50ms"),
        "{error}"
    );
}

fn keys() -> PermitKeys {
    PermitKeys::parse("governor=quantum:permit:{{plan}},p33=quantum:permit:p33:{{plan}}").unwrap()
}

fn on(cluster: &Cluster) -> RedisConfig {
    let hosts = cluster.urls().join(",").replace("redis://", "");
    let receipt = KeyTemplate::parse("quantum:apply:inflight:{{plan}}").unwrap();
    RedisConfig::new(&format!("redis+cluster://{hosts}"))
        .unwrap()
        .permits(keys())
        .receipt(receipt, Duration::from_secs(60))
}

struct Nodes {
    links: Vec<MultiplexedConnection>,
    ids: Vec<String>,
}

impl Nodes {
    async fn of(cluster: &Cluster) -> Self {
        let (mut links, mut ids) = (Vec::new(), Vec::new());
        for node in cluster.nodes() {
            let mut link = node.connection().await;
            ids.push(
                cmd("CLUSTER")
                    .arg("MYID")
                    .query_async(&mut link)
                    .await
                    .unwrap(),
            );
            links.push(link);
        }
        Self { links, ids }
    }

    /// The slot of a key, and which node has it.
    async fn place(&mut self, key: &str) -> (u16, usize) {
        let mut slot = cmd("CLUSTER");
        slot.arg("KEYSLOT").arg(key);
        let slot: u16 = slot.query_async(&mut self.links[0]).await.unwrap();
        (slot, usize::from(slot) * 3 / 16_384)
    }

    /// Gives an empty slot to another node: the new owner knows first, then everybody.
    async fn give(&mut self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let set = |state, node| ["CLUSTER", "SETSLOT", &*slot, state, node].map(str::to_owned);
        let (old, new) = (self.ids[from].clone(), self.ids[to].clone());
        for (node, state, id) in [
            (to, "IMPORTING", &old),
            (from, "MIGRATING", &new),
            (to, "NODE", &new),
            (from, "NODE", &new),
            (3 - from - to, "NODE", &new),
        ] {
            let words = set(state, id);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            run(&mut self.links[node], &words).await;
        }
    }
}

async fn write_tagged(link: &mut MultiplexedConnection, plan: &PlanId) {
    for (key, content) in keys().keys(plan).iter().zip([governor(), position()]) {
        run(link, &["SET", key, content]).await;
    }
}

#[tokio::test]
async fn takes_go_on_while_the_slot_of_the_kill_switch_moves() {
    let cluster = Cluster::start(3).await;
    let store = RedisPermitStore::connect(on(&cluster)).await.unwrap();
    let mut nodes = Nodes::of(&cluster).await;
    let (slot, from) = nodes.place(common::KILL_SWITCH).await;
    for (round, to) in [(from + 1) % 3, (from + 2) % 3].into_iter().enumerate() {
        let plan = plan(format!("p{round}"));
        let (_, home) = nodes.place(&keys().keys(&plan)[0]).await;
        write_tagged(&mut nodes.links[home], &plan).await;
        let owner = if round == 0 { from } else { (from + 1) % 3 };
        nodes.give(slot, owner, to).await;
        let reply = store.take_all(&take(&plan, "a")).await.unwrap();
        assert!(matches!(reply, Reply::Taken(_)), "{reply:?}");
    }
}

/// A pipeline, and a script that the new owner does not know.
#[tokio::test]
async fn pipelines_and_scripts_follow_a_slot_that_moved() {
    let cluster = Cluster::start(3).await;
    let store = RedisPermitStore::connect(on(&cluster)).await.unwrap();
    let mut nodes = Nodes::of(&cluster).await;
    let key = "quantum:stream:apply.plan";
    let (slot, from) = nodes.place(key).await;
    let script = redis::Script::new("return redis.call('EXISTS', KEYS[1])");
    let link = store.link();
    let there: i64 = script
        .key(key)
        .invoke_async(&mut link.at(key))
        .await
        .unwrap();
    assert_eq!(there, 0);
    nodes.give(slot, from, (from + 1) % 3).await;
    let there: i64 = script
        .key(key)
        .invoke_async(&mut link.at(key))
        .await
        .unwrap();
    assert_eq!(there, 0);

    nodes.give(slot, (from + 1) % 3, (from + 2) % 3).await;
    for atomic in [false, true] {
        let mut both = redis::pipe();
        if atomic {
            both.atomic();
        }
        both.cmd("SET")
            .arg(key)
            .arg("x")
            .ignore()
            .cmd("DEL")
            .arg(key);
        let (gone,): (i64,) = both.query_async(&mut link.at(key)).await.unwrap();
        assert_eq!(gone, 1);
        if !atomic {
            nodes.give(slot, (from + 2) % 3, from).await;
        }
    }
}

/// What nodes without a name say of each other.
#[tokio::test]
async fn nodes_without_a_name_are_found_all_the_same() {
    if RedisServer::version() < (7, 0) {
        // Before that nodes are always called by their address.
        return;
    }
    for called in ["unknown-endpoint", "hostname"] {
        let cluster = Cluster::start(3).await;
        let store = RedisPermitStore::connect(on(&cluster)).await.unwrap();
        let mut nodes = Nodes::of(&cluster).await;
        for link in &mut nodes.links {
            run(
                link,
                &["CONFIG", "SET", "cluster-preferred-endpoint-type", called],
            )
            .await;
        }
        let plan = plan("67e6da21fa9fe506");
        let (slot, from) = nodes.place(&keys().keys(&plan)[0]).await;
        let to = (from + 1) % 3;
        nodes.give(slot, from, to).await;
        write_tagged(&mut nodes.links[to], &plan).await;
        let reply = store.take_all(&take(&plan, "a")).await.unwrap();
        assert!(matches!(reply, Reply::Taken(_)), "{called}: {reply:?}");
        // Found anew as well.
        let other = RedisPermitStore::connect(on(&cluster)).await.unwrap();
        for i in 0..12 {
            let answer = other.take_all(&take(&common::plan(i), "a")).await;
            assert!(
                matches!(answer, Ok(Reply::Missing(_))),
                "{called}: {answer:?}"
            );
        }
    }
}
