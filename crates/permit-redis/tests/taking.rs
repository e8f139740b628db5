//! Takes that something goes wrong with.

#![allow(clippy::unwrap_used)]

mod common;

use common::{KILL_SWITCH, Proxy, RedisBench, plan, take};
use permit_gate::{
    PermitStore, Reply, Slot, StoreError, Ttl, contract::Bench, rule::MAX_PERMIT_BYTES,
};
use permit_redis::{RedisConfig, RedisPermitStore};
use redis::{aio::MultiplexedConnection, cmd};
use redis_harness::RedisServer;
use std::time::Duration;

const TTL: Option<Duration> = Some(Duration::from_secs(60));

/// Both ways of taking: by script, and as a user who may not.
async fn both_ways() -> Vec<(RedisServer, RedisBench)> {
    let mut benches = Vec::new();
    for scripting in ["+@scripting", "-@scripting"] {
        let user = format!("worker on >secret ~quantum:* &* +@all {scripting}");
        let server = RedisServer::builder().acl(&user).start().await;
        let config = RedisConfig::new(&server.url_as("worker", "secret")).unwrap();
        let bench = RedisBench::new(config, &server).await;
        benches.push((server, bench));
    }
    benches
}

async fn put_both(bench: &RedisBench, plan: &permit_gate::PlanId) {
    bench.write(plan, "governor", b"g", TTL).await;
    bench.write(plan, "p33", b"p", TTL).await;
}

fn both() -> Reply {
    Reply::Taken(vec![b"g".to_vec(), b"p".to_vec()])
}

async fn run(link: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.exec_async(link).await.unwrap();
}

#[tokio::test]
async fn a_server_that_forgot_the_script_is_sent_it_again() {
    let server = RedisServer::start().await;
    let bench = RedisBench::new(RedisConfig::new(&server.url()).unwrap(), &server).await;
    let plan = plan("p");
    put_both(&bench, &plan).await;
    let before = bench.store.stats();
    run(&mut server.connection().await, &["SCRIPT", "FLUSH"]).await;
    let reply = bench.store.take_all(&take(&plan, "a")).await.unwrap();
    assert_eq!(reply, both());
    let after = bench.store.stats();
    assert_eq!(after.script_loads, before.script_loads + 1);
    assert_eq!(after.script_calls, before.script_calls + 2);
}

#[tokio::test]
async fn an_attempt_whose_reply_was_lost_asks_again_and_gets_its_own_answer() {
    for ((server, bench), takes_by) in both_ways().await.into_iter().zip(["EVALSHA", "DEL"]) {
        let proxy = Proxy::start(server.port()).await;
        let url = proxy.url().replace("redis://", "redis://worker:secret@");
        let config = RedisConfig::new(&url)
            .unwrap()
            .watching(false)
            .response_timeout(Duration::from_millis(100));
        let store = RedisPermitStore::connect(config).await.unwrap();
        let plan = plan("p");
        put_both(&bench, &plan).await;
        proxy.mute_on(takes_by);
        let lost = store.take_all(&take(&plan, "a")).await;
        assert!(matches!(lost, Err(StoreError::Unsettled(_))), "{lost:?}");
        assert!(
            !bench.holds(&plan, "p33").await,
            "it was taken all the same"
        );
        assert_eq!(store.stats().unsettled, 1);
        let again = loop {
            match store.take_all(&take(&plan, "a")).await {
                Err(StoreError::Unavailable(_) | StoreError::Unsettled(_)) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                answer => break answer,
            }
        };
        assert_eq!(again.unwrap(), both());
        let rival = bench.rival.take_all(&take(&plan, "b")).await.unwrap();
        assert_eq!(rival, Reply::TakenByOther);
    }
}

#[tokio::test]
async fn a_take_that_was_held_up_until_after_its_deadline_takes_nothing() {
    for ((server, bench), takes_by) in both_ways().await.into_iter().zip(["EVALSHA", "DEL"]) {
        let proxy = Proxy::start(server.port()).await;
        let url = proxy.url().replace("redis://", "redis://worker:secret@");
        let config = RedisConfig::new(&url)
            .unwrap()
            .response_timeout(Duration::from_secs(10));
        let store = RedisPermitStore::connect(config).await.unwrap();
        let plan = plan("p");
        put_both(&bench, &plan).await;

        let mut late = take(&plan, "a");
        late.not_after = late.asked_at + Duration::from_millis(100);
        proxy.hold_on(takes_by);
        let asked = tokio::spawn({
            let (store, late) = (store.clone(), late.clone());
            async move { store.take_all(&late).await }
        });
        proxy.holding().await;
        tokio::time::sleep_until((late.not_after + Duration::from_millis(10)).into()).await;
        proxy.hold(false);
        assert_eq!(asked.await.unwrap().unwrap(), Reply::Late);
        assert!(bench.holds(&plan, "governor").await && bench.holds(&plan, "p33").await);
    }
}

#[tokio::test]
async fn a_kill_switch_is_off_only_where_it_plainly_says_so() {
    for (server, bench) in both_ways().await {
        let mut operator = server.connection().await;
        let vectors = include_str!("../../apply-wire/vectors/kill_switch.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        let values = vectors.iter().map(|vector| {
            let says = vector["says"].as_str().unwrap();
            (vector["value"].as_str().unwrap(), says != "off")
        });
        for (i, (value, on)) in values.enumerate() {
            let plan = plan(i);
            put_both(&bench, &plan).await;
            run(&mut operator, &["SET", KILL_SWITCH, value]).await;
            let reply = bench.store.take_all(&take(&plan, "a")).await.unwrap();
            assert_eq!(reply == Reply::Halted, on, "{value:?}: {reply:?}");
            assert_eq!(bench.holds(&plan, "p33").await, on);
        }
        let plan = plan("typed");
        put_both(&bench, &plan).await;
        run(&mut operator, &["DEL", KILL_SWITCH]).await;
        run(&mut operator, &["LPUSH", KILL_SWITCH, "no"]).await;
        let reply = bench.store.take_all(&take(&plan, "a")).await.unwrap();
        assert_eq!(reply, Reply::Halted, "a list is no word");
    }
}

#[tokio::test]
async fn a_permit_of_another_type_is_there_and_unreadable() {
    for (server, bench) in both_ways().await {
        let mut issuer = server.connection().await;
        let plan = plan("p");
        bench.write(&plan, "p33", b"p", None).await;
        run(
            &mut issuer,
            &["HSET", "quantum:permit:p", "granted", "true"],
        )
        .await;
        run(&mut issuer, &["EXPIRE", "quantum:permit:p", "1000"]).await;
        let reply = bench.store.take_all(&take(&plan, "a")).await.unwrap();
        let Reply::Missing(slots) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(slots[0].content, None);
        assert!(
            matches!(slots[0].ttl, Ttl::Seconds(990..=1000)),
            "{slots:?}"
        );
        let there = Slot {
            content: Some(b"p".to_vec()),
            ttl: Ttl::NoExpiry,
        };
        assert_eq!(slots[1], there);
        assert!(bench.holds(&plan, "governor").await);
    }
}

#[tokio::test]
async fn of_a_value_that_is_too_long_only_its_beginning_travels() {
    let long = vec![b' '; 8 << 20];
    for (server, bench) in both_ways().await {
        let mut link = server.connection().await;
        let (missing, all, taken, halted) = (plan("m"), plan("a"), plan("t"), plan("h"));
        bench.write(&missing, "p33", &long, None).await;
        bench.write(&all, "governor", b"g", None).await;
        bench.write(&all, "p33", &long, None).await;
        put_both(&bench, &taken).await;
        put_both(&bench, &halted).await;
        let set = |key: &str| cmd("SET").arg(key).arg(&long).to_owned();
        let () = set("quantum:apply:inflight:t")
            .query_async(&mut link)
            .await
            .unwrap();
        let before = server.bytes_sent().await;
        let reply = bench.store.take_all(&take(&missing, "a")).await.unwrap();
        let Reply::Missing(slots) = reply else {
            panic!("{reply:?}");
        };
        let beginning = slots[1].content.as_ref().unwrap();
        assert_eq!(beginning.len(), MAX_PERMIT_BYTES + 1);
        let reply = bench.store.take_all(&take(&all, "a")).await.unwrap();
        let again = bench.store.take_all(&take(&all, "a")).await.unwrap();
        assert_eq!(reply, again, "the receipt holds what was taken");
        assert!(
            matches!(reply, Reply::Taken(contents) if contents[1].len() == MAX_PERMIT_BYTES + 1)
        );
        let answer = bench.store.take_all(&take(&taken, "a")).await;
        assert!(
            matches!(answer, Err(StoreError::Unreadable(_))),
            "{answer:?}"
        );
        let () = set(KILL_SWITCH).query_async(&mut link).await.unwrap();
        let reply = bench.store.take_all(&take(&halted, "a")).await.unwrap();
        assert_eq!(reply, Reply::Halted);
        let travelled = server.bytes_sent().await - before;
        assert!(travelled < 256 * 1024, "{travelled} bytes");
    }
}

#[tokio::test]
async fn a_permit_that_is_empty_is_there() {
    for (_server, bench) in both_ways().await {
        let plan = plan("p");
        bench.write(&plan, "governor", b"", None).await;
        bench.write(&plan, "p33", b"", None).await;
        let reply = bench.store.take_all(&take(&plan, "a")).await.unwrap();
        assert_eq!(reply, Reply::Taken(vec![vec![], vec![]]));
    }
}

#[tokio::test]
async fn what_lies_where_the_receipt_belongs_is_never_overwritten() {
    for (server, bench) in both_ways().await {
        let mut link = server.connection().await;
        for (i, words) in [
            ["SET", "quantum:apply:inflight:0", "hello"],
            ["LPUSH", "quantum:apply:inflight:1", "hello"],
        ]
        .iter()
        .enumerate()
        {
            let plan = plan(i);
            put_both(&bench, &plan).await;
            run(&mut link, words).await;
            let answer = bench.store.take_all(&take(&plan, "a")).await;
            assert!(
                matches!(answer, Err(StoreError::Unreadable(_))),
                "{answer:?}"
            );
            assert!(bench.holds(&plan, "governor").await && bench.holds(&plan, "p33").await);
        }
    }
}

#[tokio::test]
async fn a_server_short_of_memory_refuses_before_anything_is_gone() {
    for (server, bench) in both_ways().await {
        let plan = plan("p");
        put_both(&bench, &plan).await;
        let mut operator = server.connection().await;
        run(&mut operator, &["CONFIG", "SET", "maxmemory", "1"]).await;
        let answer = bench.store.take_all(&take(&plan, "a")).await;
        assert!(
            matches!(answer, Err(StoreError::Unavailable(_))),
            "{answer:?}"
        );
        run(&mut operator, &["CONFIG", "SET", "maxmemory", "0"]).await;
        assert!(bench.holds(&plan, "governor").await && bench.holds(&plan, "p33").await);
        let reply = bench.store.take_all(&take(&plan, "a")).await.unwrap();
        assert_eq!(reply, both());
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_an_error_and_no_grant() {
    for right in ["-getrange", "-set", "-time"] {
        let server = RedisServer::builder()
            .acl("worker on >secret ~quantum:* &* +@all")
            .start()
            .await;
        let config = RedisConfig::new(&server.url_as("worker", "secret")).unwrap();
        let bench = RedisBench::new(config, &server).await;
        let plan = plan("p");
        put_both(&bench, &plan).await;
        let words = ["ACL", "SETUSER", "worker", right];
        run(&mut server.connection().await, &words).await;
        let answer = bench.store.take_all(&take(&plan, "a")).await;
        assert!(answer.is_err(), "{right}: {answer:?}");
        assert!(bench.holds(&plan, "governor").await && bench.holds(&plan, "p33").await);
    }
}

#[tokio::test]
async fn scripts_forbidden_later_are_done_without() {
    let server = RedisServer::builder()
        .acl("worker on >secret ~quantum:* &* +@all")
        .start()
        .await;
    let config = RedisConfig::new(&server.url_as("worker", "secret")).unwrap();
    let bench = RedisBench::new(config, &server).await;
    let words = ["ACL", "SETUSER", "worker", "-@scripting"];
    run(&mut server.connection().await, &words).await;
    let plan = plan("p");
    put_both(&bench, &plan).await;
    let reply = loop {
        match bench.store.take_all(&take(&plan, "a")).await {
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            answer => break answer.unwrap(),
        }
    };
    assert_eq!(reply, both());
    assert_eq!(bench.store.stats().transactions, 1);
}

#[tokio::test]
async fn a_take_leaves_its_receipt_for_a_time_and_nothing_else() {
    for (server, bench) in both_ways().await {
        let plan = plan("p");
        put_both(&bench, &plan).await;
        bench.store.take_all(&take(&plan, "a")).await.unwrap();
        let mut link = server.connection().await;
        let keys: Vec<String> = cmd("KEYS").arg("*").query_async(&mut link).await.unwrap();
        assert_eq!(keys, ["quantum:apply:inflight:p"]);
        let ttl: i64 = cmd("TTL")
            .arg(&keys[0])
            .query_async(&mut link)
            .await
            .unwrap();
        assert!((21_590..=21_600).contains(&ttl), "{ttl}");
    }
}

#[tokio::test]
async fn refreshed_permits_are_taken_without_scripts_too() {
    let (_server, bench) = both_ways().await.pop().unwrap();
    let mut taken = 0;
    for i in 0..50 {
        let plan = plan(i);
        put_both(&bench, &plan).await;
        // The issuer writes again and again while the take looks and takes.
        let take = take(&plan, "a");
        let (answer, ()) = tokio::join!(bench.store.take_all(&take), async {
            for _ in 0..20 {
                bench.write(&plan, "governor", b"g", TTL).await;
            }
        });
        match answer {
            Ok(reply) => {
                assert_eq!(reply, both());
                taken += 1;
            }
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(taken > 0);
}

/// A request is stopped on its way, the world changes, and the request goes on.
#[tokio::test]
async fn what_changes_while_a_transaction_looks_and_takes_is_seen() {
    let (server, bench) = both_ways().await.pop().unwrap();
    let mut other = server.connection().await;
    for stopped_at in ["WATCH", "DEL"] {
        for change in ["halt", "rewrite", "delete", "rival"] {
            let proxy = Proxy::start(server.port()).await;
            let url = proxy.url().replace("redis://", "redis://worker:secret@");
            let config = RedisConfig::new(&url)
                .unwrap()
                .watching(false)
                .response_timeout(Duration::from_secs(10));
            let store = RedisPermitStore::connect(config).await.unwrap();
            let plan = plan(format!("{}.{change}", stopped_at.to_lowercase()));
            put_both(&bench, &plan).await;
            proxy.hold_on(stopped_at);
            let asked = tokio::spawn({
                let (store, take) = (store.clone(), take(&plan, "a"));
                async move { store.take_all(&take).await }
            });
            proxy.holding().await;
            match change {
                "halt" => run(&mut other, &["SET", KILL_SWITCH, "1"]).await,
                "rewrite" => bench.write(&plan, "p33", b"new", TTL).await,
                "delete" => bench.expire(&plan, "p33").await,
                _ => {
                    let rival = bench.rival.take_all(&take(&plan, "b")).await.unwrap();
                    assert_eq!(rival, both());
                    put_both(&bench, &plan).await;
                }
            }
            proxy.hold(false);
            let reply = asked.await.unwrap().unwrap();
            let seen = match change {
                "halt" => reply == Reply::Halted,
                "rewrite" => reply == Reply::Taken(vec![b"g".to_vec(), b"new".to_vec()]),
                "delete" => matches!(&reply, Reply::Missing(slots) if slots[1] == Slot::ABSENT),
                _ => reply == Reply::TakenByOther,
            };
            assert!(seen, "{stopped_at}, {change}: {reply:?}");
            run(&mut other, &["DEL", KILL_SWITCH]).await;
        }
    }
}
