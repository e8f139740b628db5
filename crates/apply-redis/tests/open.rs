//! Open plans on a real server: who works on them, who is gone, who takes over.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{ApplyResult, Decision, Plan, PlanLog, PublishOutcome, ResultLog, Standing};
use apply_redis::{Instance, PlanStoreConfig, RedisPlanStore, Synced, Turn};
use common::{aged, attempt, intent, plan, won};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use redis_harness::RedisServer;
use std::time::{Duration, Instant};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

const OPEN: &str = "quantum:apply:open";
const SWITCH: &str = "quantum:global:kill_switch";
const TTL: Duration = Duration::from_secs(21_600);
/// The shortest lease there is; half of it is the time an owner is given to renew it.
const LEASE: Duration = Duration::from_secs(1);

struct Bench {
    redis: MultiplexedConnection,
    server: RedisServer,
}

async fn bench() -> Bench {
    let server = aged(RedisServer::start().await).await;
    Bench {
        redis: server.connection().await,
        server,
    }
}

impl Bench {
    async fn plan_store(&self, owner: &str, process: &str) -> RedisPlanStore {
        let mut config = PlanStoreConfig::new(self.server.url());
        config.instance = Instance {
            owner: owner.into(),
            process: process.into(),
            lease: LEASE,
        };
        RedisPlanStore::connect(config).await.unwrap()
    }

    async fn flush(&mut self) {
        let () = redis::cmd("FLUSHALL")
            .query_async(&mut self.redis)
            .await
            .unwrap();
    }

    async fn is_open(&mut self, plan: &Plan) -> bool {
        self.redis.hexists(OPEN, plan.id.as_str()).await.unwrap()
    }
}

fn result(plan: &Plan) -> ApplyResult {
    ApplyResult {
        is_final: true,
        ..ApplyResult::not_executed(plan, Decision::Error, Some("order_not_sent".into()), 2)
    }
}

#[tokio::test]
async fn a_claimed_plan_is_open_until_its_final_result() {
    let mut bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a", "a1").await, plan("PARTIAL_75"));
    let claim = plan_store.claim(&plan, &attempt("a1.0"), TTL, 1).await;
    let publisher = won(claim.unwrap()).publisher();
    assert!(bench.is_open(&plan).await);
    assert!(
        plan_store
            .note_intent(&intent(&plan, "a1.0"))
            .await
            .unwrap()
    );
    assert!(
        plan_store
            .note_intent(&intent(&plan, "a1.0"))
            .await
            .unwrap(),
        "again"
    );
    let outcome = plan_store.finalize(&result(&plan), &publisher).await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
    assert!(!bench.is_open(&plan).await);
    assert!(
        !plan_store
            .note_intent(&intent(&plan, "a1.0"))
            .await
            .unwrap(),
        "it is over"
    );
}

#[tokio::test]
async fn an_attempt_stands_while_its_noted_plan_is_its_own_and_the_switch_is_off() {
    let mut bench = bench().await;
    let (plan_store, plan, mine) = (
        bench.plan_store("a", "a1").await,
        plan("PARTIAL_75"),
        attempt("a1.0"),
    );
    let ask = async || plan_store.ask_again(&plan.id, &mine).await.unwrap();
    assert_eq!(ask().await, Standing::Lost, "no instance claimed it");
    plan_store.claim(&plan, &mine, TTL, 1).await.unwrap();
    assert_eq!(ask().await, Standing::Lost, "its intent is not noted");
    plan_store
        .note_intent(&intent(&plan, "a1.0"))
        .await
        .unwrap();
    let before = Instant::now();
    match ask().await {
        Standing::Holds { asked_at } => assert!(asked_at >= before && asked_at <= Instant::now()),
        other => panic!("{other:?}"),
    }
    let other = plan_store
        .ask_again(&plan.id, &attempt("a1.00"))
        .await
        .unwrap();
    assert_eq!(other, Standing::Lost);
    for (switch, on) in [
        ("false", false),
        ("1", true),
        ("no idea", true),
        ("", false),
    ] {
        let () = bench.redis.set(SWITCH, switch).await.unwrap();
        let halted = matches!(ask().await, Standing::Halted { .. });
        assert_eq!(halted, on, "{switch:?}");
    }
    let () = bench.redis.del(SWITCH).await.unwrap();
    let () = bench.redis.hset(SWITCH, "no", "switch").await.unwrap();
    assert!(matches!(ask().await, Standing::Halted { .. }), "unreadable");
    bench.flush().await;
    assert_eq!(ask().await, Standing::Lost, "the store forgot it");
}

#[tokio::test]
async fn only_the_attempt_that_claimed_may_note_an_intent() {
    let bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a", "a1").await, plan("PARTIAL_75"));
    plan_store
        .claim(&plan, &attempt("a1.1"), TTL, 1)
        .await
        .unwrap();
    for other in ["a1.10", "a1.", "b", "a1.2"] {
        assert!(
            !plan_store.note_intent(&intent(&plan, other)).await.unwrap(),
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_server_that_was_flushed_lets_no_intent_pass() {
    let mut bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a", "a1").await, plan("PARTIAL_75"));
    plan_store
        .claim(&plan, &attempt("a1.0"), TTL, 1)
        .await
        .unwrap();
    bench.flush().await;
    assert!(
        !plan_store
            .note_intent(&intent(&plan, "a1.0"))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn what_a_former_process_of_this_machine_left_is_found_at_once() {
    let bench = bench().await;
    let plan = plan("PARTIAL_75");
    let before = bench.plan_store("a", "a1").await;
    before.renew_lease().await.unwrap();
    before.claim(&plan, &attempt("a1.0"), TTL, 1).await.unwrap();
    before.note_intent(&intent(&plan, "a1.0")).await.unwrap();
    let own = before.fetch_abandoned().await.unwrap();
    assert!(
        own.iter().all(|open| open.ours),
        "it knows what it works on"
    );
    let now = bench.plan_store("a", "a2").await;
    let found = now.fetch_abandoned().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].intent, Some(intent(&plan, "a1.0")));
    assert_eq!(
        (&found[0].plan, found[0].symbol.as_str()),
        (&plan.id, "BTCUSDT")
    );
}

#[tokio::test]
async fn an_instance_whose_lease_is_gone_for_a_while_is_taken_over_by_one() {
    let bench = bench().await;
    let plan = plan("PARTIAL_75");
    let gone = bench.plan_store("a", "a1").await;
    gone.renew_lease().await.unwrap();
    gone.claim(&plan, &attempt("a1.0"), TTL, 1).await.unwrap();
    let (b, c) = (
        bench.plan_store("b", "b1").await,
        bench.plan_store("c", "c1").await,
    );
    assert_eq!(b.fetch_abandoned().await.unwrap(), [], "it lives");
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let found = b.fetch_abandoned().await.unwrap();
            if !found.is_empty() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let adopt = async |plan_store: &RedisPlanStore, by| {
        let adopted = plan_store.adopt(&found[0], &attempt(by)).await;
        adopted.unwrap().is_some()
    };
    assert!(adopt(&b, "b1.0").await);
    assert!(adopt(&b, "b1.0").await, "its answer was lost");
    assert!(!adopt(&c, "c1.0").await);
    assert!(
        !gone.note_intent(&intent(&plan, "a1.0")).await.unwrap(),
        "the owner comes back too late"
    );
    let own = b.fetch_abandoned().await.unwrap();
    assert!(own.iter().all(|open| open.ours), "b works on it now");
}

#[tokio::test]
async fn a_lease_that_is_missing_for_a_moment_is_no_end() {
    let mut bench = bench().await;
    let (a, b, plan) = (
        bench.plan_store("a", "a1").await,
        bench.plan_store("b", "b1").await,
        plan("PARTIAL_75"),
    );
    a.claim(&plan, &attempt("a1.0"), TTL, 1).await.unwrap();
    let () = bench.redis.del("quantum:apply:lease:a").await.unwrap();
    assert_eq!(b.fetch_abandoned().await.unwrap(), [], "just noticed");
    a.renew_lease().await.unwrap();
    assert_eq!(b.fetch_abandoned().await.unwrap(), []);
}

#[tokio::test]
async fn an_open_plan_that_cannot_be_read_hides_no_other() {
    let mut bench = bench().await;
    let plan = plan("PARTIAL_75");
    let before = bench.plan_store("a", "a1").await;
    before.claim(&plan, &attempt("a1.0"), TTL, 1).await.unwrap();
    let () = bench.redis.hset(OPEN, "strange", "{").await.unwrap();
    let () = bench.redis.hset(OPEN, "no id!", "{}").await.unwrap();
    let now = bench.plan_store("a", "a2").await;
    assert_eq!(now.fetch_abandoned().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_open_plan_that_is_too_long_does_not_travel_and_hides_no_other() {
    let mut bench = bench().await;
    let plan = plan("PARTIAL_75");
    let before = bench.plan_store("a", "a1").await;
    before.claim(&plan, &attempt("a1.0"), TTL, 1).await.unwrap();
    let long = "x".repeat(8 << 20);
    let () = bench.redis.hset(OPEN, "long", &long).await.unwrap();
    let () = bench.redis.hset(OPEN, &long, "{}").await.unwrap();
    let now = bench.plan_store("a", "a2").await;
    let before = bench.server.bytes_sent().await;
    assert_eq!(now.fetch_abandoned().await.unwrap().len(), 1);
    let travelled = bench.server.bytes_sent().await - before;
    assert!(travelled < 32 * 1024, "{travelled} bytes");
}

#[tokio::test]
async fn how_the_server_persists_is_read_from_the_server() {
    let plain = bench().await;
    let plain = plain
        .plan_store("a", "a1")
        .await
        .durability()
        .await
        .unwrap();
    assert!(!plain.append_only && plain.refusal().is_some());
    let server = RedisServer::builder().aof("always").start().await;
    let plan_store = RedisPlanStore::connect(PlanStoreConfig::new(server.url()))
        .await
        .unwrap();
    let synced = plan_store.durability().await.unwrap();
    assert_eq!(
        (synced.append_only, synced.synced, synced.replicas),
        (true, Synced::Always, 0)
    );
    assert_eq!(synced.warnings(), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_replicas_acknowledgement_a_strict_intent_is_not_noted() {
    let bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a", "a1").await, plan("PARTIAL_75"));
    plan_store
        .claim(&plan, &attempt("a1.0"), TTL, 1)
        .await
        .unwrap();
    plan_store.await_replica();
    let error = plan_store
        .note_intent(&intent(&plan, "a1.0"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("replica"), "{error}");
}

#[tokio::test]
async fn a_strict_intent_that_is_noted_and_its_claim_are_on_the_replica_before_any_permit_is_taken()
{
    let (server, replica) = followed().await;
    let server = aged(server).await;
    let bench = Bench {
        redis: server.connection().await,
        server,
    };
    let (plan_store, plan) = (bench.plan_store("a", "a1").await, plan("PARTIAL_75"));
    plan_store
        .claim(&plan, &attempt("a1.0"), TTL, 1)
        .await
        .unwrap();
    plan_store.await_replica();
    // A replica that is still loading its first copy acknowledges nothing.
    while plan_store
        .note_intent(&intent(&plan, "a1.0"))
        .await
        .is_err()
    {}
    let mut promoted = replica.connection().await;
    let claim = format!("quantum:apply:dedupe:{}", plan.id);
    let (claimed, noted): (bool, String) = redis::pipe()
        .exists(claim)
        .hget(OPEN, plan.id.as_str())
        .query_async(&mut promoted)
        .await
        .unwrap();
    assert!(claimed && noted.contains("intent"), "{noted}");
}

/// A server with a replica that follows it.
async fn followed() -> (RedisServer, RedisServer) {
    let server = RedisServer::builder()
        .config("repl-diskless-sync-delay 0")
        .start()
        .await;
    let replica = RedisServer::builder()
        .replica_of(server.port())
        .start()
        .await;
    let mut connection = server.connection().await;
    loop {
        let copied: i64 = redis::pipe()
            .cmd("SET")
            .arg(&["followed", "yes"])
            .ignore()
            .cmd("WAIT")
            .arg(&[1, 100])
            .query_async::<(i64,)>(&mut connection)
            .await
            .unwrap()
            .0;
        if copied > 0 {
            return (server, replica);
        }
    }
}

/// An address that leads new connections to wherever it points; those there are stay.
async fn address(points_to: watch::Receiver<u16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let server = *points_to.borrow();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_strict_intent_is_not_acknowledged_by_a_server_that_was_promoted_without_it() {
    let (former, _copy) = followed().await;
    let former = aged(former).await;
    let (promoted, _its_copy) = followed().await;
    let (points, points_to) = watch::channel(former.port());
    let port = address(points_to).await;
    let mut config = PlanStoreConfig::new(format!("redis://127.0.0.1:{port}"));
    config.instance.owner = "a".into();
    let (plan_store, plan) = (
        RedisPlanStore::connect(config).await.unwrap(),
        plan("PARTIAL_75"),
    );
    plan_store
        .claim(&plan, &attempt("a1.0"), TTL, 1)
        .await
        .unwrap();
    plan_store.await_replica();
    // The commands' connection leads to the former server yet, the one for `WAIT` is made now.
    points.send(promoted.port()).unwrap();
    let error = plan_store
        .note_intent(&intent(&plan, "a1.0"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("does not have the intent"),
        "{error}"
    );
}

#[tokio::test]
async fn a_turn_of_the_switch_is_recorded_with_reason_and_name() {
    let mut bench = bench().await;
    let plan_store = bench.plan_store("a", "a1").await;
    let mut turn = Turn {
        on: true,
        reason: "fire".into(),
        who: "ops".into(),
        at: 7,
    };
    plan_store.turn_switch(&turn).await.unwrap();
    let word: String = bench.redis.get("quantum:global:kill_switch").await.unwrap();
    assert_eq!(word, "true");
    turn.on = false;
    plan_store.turn_switch(&turn).await.unwrap();
    let word: String = bench.redis.get("quantum:global:kill_switch").await.unwrap();
    assert_eq!(word, "false");
    let turns: usize = bench.redis.xlen("quantum:apply:halt_log").await.unwrap();
    assert_eq!(turns, 2);
}
