//! Waiting plans are woken by what unmodified issuers write.

#![allow(clippy::unwrap_used)]

mod common;

use common::{KILL_SWITCH, PUSH_ONLY, Proxy, plan, until, wait, write};
use permit_gate::{Event, FoundBy};
use permit_redis::{RedisConfig, RedisPermitStore, WatchMode};
use redis::cmd;
use redis_harness::RedisServer;
use std::time::{Duration, Instant};

async fn store(url: &str) -> RedisPermitStore {
    let config = RedisConfig::new(url)
        .unwrap()
        .ping_every(Duration::from_millis(50))
        .response_timeout(Duration::from_secs(1));
    let store = RedisPermitStore::connect(config).await.unwrap();
    assert_eq!(store.watch_mode(), WatchMode::Tracking);
    store
}

/// Starts a wait that only a push can end in time; resolves once its first take was answered. A take whose answer
/// is lost asks again by itself.
async fn waiting(
    store: &RedisPermitStore,
    id: impl ToString,
) -> tokio::task::JoinHandle<(Result<permit_gate::Grant, permit_gate::Block>, Vec<Event>)> {
    let calls = store.stats().script_calls;
    let task = tokio::spawn({
        let (store, plan) = (store.clone(), plan(id));
        async move { wait(&store, &plan, PUSH_ONLY).await }
    });
    until(|| store.stats().script_calls > calls).await;
    // One connection answers in the order it was asked.
    let mut same = store.link().at("quantum:permit:p33:p");
    cmd("ECHO")
        .arg("answered")
        .exec_async(&mut same)
        .await
        .unwrap();
    task
}

fn found_by(events: &[Event]) -> Vec<FoundBy> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Found { by, .. } => Some(*by),
            Event::StoreTrouble { .. } => None,
        })
        .collect()
}

#[tokio::test]
async fn a_plan_whose_permits_come_by_push_costs_two_script_calls() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let mut issuer = server.connection().await;
    for (i, order) in [["governor", "p33"], ["p33", "governor"]]
        .into_iter()
        .enumerate()
    {
        for round in 0..20 {
            let plan = plan(format!("{i}.{round}"));
            let before = store.stats();
            let task = waiting(&store, &plan).await;
            for permit in order {
                let pushes = store.stats().pushes;
                write(&mut issuer, &plan, permit).await;
                until(|| store.stats().pushes > pushes).await;
            }
            let (answer, events) = task.await.unwrap();
            drop(answer.unwrap());
            assert_eq!(store.stats().script_calls - before.script_calls, 2);
            assert_eq!(found_by(&events), [FoundBy::Push, FoundBy::Push]);
        }
    }
}

#[tokio::test]
async fn permits_of_other_plans_wake_nobody() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let mut issuer = server.connection().await;
    let task = waiting(&store, "mine").await;
    for i in 0..50 {
        write(&mut issuer, &plan(format!("other.{i}")), "governor").await;
        write(&mut issuer, &plan(format!("other.{i}")), "p33").await;
    }
    assert_eq!(store.stats().script_calls, 1);
    write(&mut issuer, &plan("mine"), "governor").await;
    write(&mut issuer, &plan("mine"), "p33").await;
    drop(task.await.unwrap().0.unwrap());
}

#[tokio::test]
async fn a_flush_makes_everybody_look_again() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let mut issuer = server.connection().await;
    write(&mut issuer, &plan("p"), "governor").await;
    let task = waiting(&store, "p").await;
    cmd("FLUSHDB").exec_async(&mut issuer).await.unwrap();
    until(|| store.stats().script_calls >= 2).await;
    write(&mut issuer, &plan("p"), "p33").await;
    write(&mut issuer, &plan("p"), "governor").await;
    drop(task.await.unwrap().0.unwrap());
}

#[tokio::test]
async fn the_kill_switch_ends_every_wait_at_once() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let mut operator = server.connection().await;
    let tasks = [waiting(&store, "a").await, waiting(&store, "b").await];
    let mut halt = cmd("SET");
    halt.arg(KILL_SWITCH).arg("yes");
    halt.exec_async(&mut operator).await.unwrap();
    for task in tasks {
        let block = task.await.unwrap().0.unwrap_err();
        assert_eq!(block.code(), "kill_switch_active");
    }
}

#[tokio::test]
async fn a_denial_that_comes_first_ends_the_wait_when_the_other_permit_does() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let mut issuer = server.connection().await;
    let mut deny = cmd("SET");
    deny.arg("quantum:permit:p33:p")
        .arg(r#"{"allow":false,"symbol":"BTCUSDT","reason":"no","created_at":1}"#);
    deny.exec_async(&mut issuer).await.unwrap();
    let (answer, _) = wait(&store, &plan("p"), PUSH_ONLY).await;
    assert_eq!(answer.unwrap_err().code(), "p33_permit_denied");
}

#[tokio::test]
async fn a_watch_that_hangs_without_being_closed_is_noticed_and_made_again() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.port()).await;
    let store = store(&proxy.url()).await;
    let mut issuer = server.connection().await;
    let task = waiting(&store, "p").await;
    proxy.mute();
    write(&mut issuer, &plan("p"), "governor").await;
    write(&mut issuer, &plan("p"), "p33").await;
    let (answer, events) = task.await.unwrap();
    drop(answer.unwrap());
    assert!(!found_by(&events).contains(&FoundBy::Poll), "{events:?}");
    assert!(store.stats().watch_reconnects >= 1);
    until(|| store.watch_mode() == WatchMode::Tracking).await;
}

#[tokio::test]
async fn a_server_that_stands_still_is_waited_for() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let mut issuer = server.connection().await;
    let task = waiting(&store, "p").await;
    server.pause();
    until(|| store.watch_mode() == WatchMode::Polling).await;
    server.resume();
    until(|| store.watch_mode() == WatchMode::Tracking).await;
    write(&mut issuer, &plan("p"), "governor").await;
    write(&mut issuer, &plan("p"), "p33").await;
    drop(task.await.unwrap().0.unwrap());
}

#[tokio::test]
async fn a_connection_that_is_killed_misses_nothing_written_meanwhile() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.port()).await;
    let store = store(&proxy.url()).await;
    let mut issuer = server.connection().await;
    let task = waiting(&store, "p").await;
    proxy.refuse(true);
    let mut kill = cmd("CLIENT");
    kill.arg("KILL")
        .arg("TYPE")
        .arg("normal")
        .arg("SKIPME")
        .arg("yes");
    kill.exec_async(&mut issuer).await.unwrap();
    until(|| store.watch_mode() == WatchMode::Polling).await;
    write(&mut issuer, &plan("p"), "governor").await;
    write(&mut issuer, &plan("p"), "p33").await;
    proxy.refuse(false);
    let (answer, events) = task.await.unwrap();
    drop(answer.unwrap());
    assert!(!found_by(&events).contains(&FoundBy::Poll), "{events:?}");
}

#[tokio::test]
async fn a_watch_that_was_lost_alone_makes_everybody_look_once_it_is_back() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.port()).await;
    let store = store(&proxy.url()).await;
    let mut issuer = server.connection().await;
    let task = waiting(&store, "p").await;
    proxy.refuse(true);
    let mut list = cmd("CLIENT");
    let clients: String = list.arg("LIST").query_async(&mut issuer).await.unwrap();
    // The only one that tracks: its flags hold a `t`, in broadcasting mode a `B` too.
    let watch = clients.lines().find(|line| {
        let flags = line.split(' ').find_map(|word| word.strip_prefix("flags="));
        flags.is_some_and(|flags| flags.contains('t'))
    });
    let id = watch.unwrap().split(' ').next().unwrap().replace("id=", "");
    let mut kill = cmd("CLIENT");
    kill.arg("KILL").arg("ID").arg(id);
    kill.exec_async(&mut issuer).await.unwrap();
    // The loss itself makes it look, and find nothing.
    until(|| store.stats().script_calls >= 2).await;
    write(&mut issuer, &plan("p"), "governor").await;
    write(&mut issuer, &plan("p"), "p33").await;
    proxy.refuse(false);
    let (answer, events) = task.await.unwrap();
    drop(answer.unwrap());
    assert_eq!(found_by(&events), [FoundBy::Reconnect, FoundBy::Reconnect]);
    assert_eq!(store.stats().reconnects, 0);
}

#[tokio::test]
async fn a_server_that_refuses_us_is_not_stormed() {
    let server = RedisServer::builder()
        .acl("worker on >secret ~quantum:* &* +@all")
        .start()
        .await;
    let config = RedisConfig::new(&server.url_as("worker", "secret")).unwrap();
    let store = RedisPermitStore::connect(config).await.unwrap();
    let mut forbid = cmd("ACL");
    forbid.arg("SETUSER").arg("worker").arg("resetkeys");
    forbid
        .exec_async(&mut server.connection().await)
        .await
        .unwrap();
    let began = Instant::now();
    let policy = permit_gate::WaitPolicy {
        wait: Duration::from_millis(600),
        step: Duration::from_millis(1),
        ..PUSH_ONLY
    };
    let tasks: Vec<_> = (0..50)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move { wait(&store, &plan(i), policy).await })
        })
        .collect();
    for task in tasks {
        let block = task.await.unwrap().0.unwrap_err();
        // The second where the machine did not get to the refusal within the wait.
        let either = ["permit_store_unavailable", "permit_take_unanswered"];
        assert!(either.contains(&block.code().as_str()), "{block}");
    }
    // Pauses double up to a quarter of a second.
    let most = 6 + began.elapsed().as_millis() / 250;
    let again = u128::from(store.stats().reconnects);
    assert!((1..=most).contains(&again), "{again} reconnects");
}

#[tokio::test]
async fn a_server_without_pushes_is_polled_at_the_step() {
    let user = |rights| format!("worker on >secret ~quantum:* &* +@all {rights}");
    let server = RedisServer::builder;
    for server in [
        // It speaks RESP2 only, over which no push comes.
        server().acl(&user("")).config("rename-command HELLO \"\""),
        // Neither tracking nor a look at the fallback.
        server().acl(&user("-client -config")),
        // A fallback that is not enabled, and which we do not enable.
        server().acl(&user("-client")),
    ] {
        polled(server.start().await).await;
    }
}

async fn polled(server: RedisServer) {
    let config = RedisConfig::new(&server.url_as("worker", "secret")).unwrap();
    let store = RedisPermitStore::connect(config).await.unwrap();
    assert_eq!(store.watch_mode(), WatchMode::Polling);
    let task = tokio::spawn({
        let store = store.clone();
        async move {
            let policy = permit_gate::WaitPolicy {
                step: Duration::from_millis(10),
                ..PUSH_ONLY
            };
            wait(&store, &plan("p"), policy).await
        }
    });
    until(|| store.stats().script_calls >= 3).await;
    let mut issuer = server.connection().await;
    write(&mut issuer, &plan("p"), "governor").await;
    write(&mut issuer, &plan("p"), "p33").await;
    let (answer, events) = task.await.unwrap();
    drop(answer.unwrap());
    assert!(found_by(&events).iter().all(|by| *by == FoundBy::Poll));
    assert_eq!(store.stats().pushes, 0);
}
