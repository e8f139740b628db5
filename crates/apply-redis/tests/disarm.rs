//! The governor's disarm: a halt for new orders until somebody resumes.

#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{Claim, Halt, PlanLog, ProposalSource, Standing, days_around};
use apply_redis::{Keys, PlanStoreConfig, RedisPlanStore, SwitchState, Turn};
use common::{attempt, intent, plan};
use redis_harness::RedisServer;
use std::time::{Duration, SystemTime};

const SWITCH: &str = "quantum:global:kill_switch";
const MARK: &str = "quantum:apply:disarmed";

/// The key of the day before this one, of this one and of the one after it.
fn keys() -> Vec<String> {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let days = days_around(since).into_iter();
    days.map(|day| format!("quantum:governor:disarm:{day}"))
        .collect()
}

struct Bench {
    server: RedisServer,
    plan_store: RedisPlanStore,
}

impl Bench {
    async fn on(server: RedisServer) -> Self {
        let server = common::aged(server).await;
        let plan_store = RedisPlanStore::connect(PlanStoreConfig::new(server.url())).await;
        let plan_store = plan_store.unwrap();
        Self { server, plan_store }
    }

    async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command
            .query_async(&mut self.server.connection().await)
            .await
            .unwrap()
    }

    /// What halts, in every look that is taken before an order.
    async fn halt(&self) -> Halt {
        let symbol = plan("PARTIAL_75").symbol().clone();
        let halt = self.plan_store.fetch(&symbol).await.unwrap().halt;
        assert_eq!(
            self.plan_store.fetch_halt(&symbol).await.unwrap().is_on(),
            halt.is_on()
        );
        assert_eq!(self.plan_store.local_halt().is_on(), halt.is_on());
        halt
    }

    /// Those that are on or unknown, as they are shown.
    async fn switches(&self) -> Vec<(String, SwitchState)> {
        let mut connection = self.server.connection().await;
        let mut all = apply_redis::switches(&mut connection, &Keys::default()).await;
        all.retain(|(_, state)| *state != SwitchState::Off);
        all
    }

    async fn resume(&self) {
        self.plan_store.lift_disarm().await.unwrap();
        self.plan_store.turn_switch(&turn(false)).await.unwrap();
    }
}

fn turn(on: bool) -> Turn {
    Turn {
        on,
        reason: "looked at".into(),
        who: "me".into(),
        at: 1,
    }
}

fn by(halt: &Halt) -> &str {
    match halt {
        Halt::On { by } => by,
        Halt::Off => panic!("it is off"),
    }
}

#[tokio::test]
async fn a_disarm_halts_with_its_reason_until_it_is_resumed_from_and_may_come_again() {
    let bench = Bench::on(RedisServer::start().await).await;
    // Somebody resumed before: that says nothing about what comes later.
    let _: String = bench.command(&["SET", SWITCH, "false"]).await;
    assert_eq!(bench.halt().await, Halt::Off);
    for key in keys() {
        for (command, value, reason) in [
            ("SET", "burst_limit\u{202e}", "burst_limit"),
            ("SET", "false", "false"),
            ("SADD", "x", "no text"),
            ("SET", "", "no reason given"),
        ] {
            let _: redis::Value = bench.command(&[command, &key, value]).await;
            let halt = bench.halt().await;
            let message = by(&halt);
            assert!(message.contains(reason), "{message}");
            assert!(message.starts_with(&key), "{message}");
            // Reported once, whether the mark beside it says it as well or not.
            let on = bench.switches().await;
            let [(by, SwitchState::On(turned))] = &*on else {
                panic!("{on:?}")
            };
            let why = turned.why.clone().unwrap();
            assert_eq!(*by, key);
            let unreadable = reason == "no text";
            let shown = if unreadable { "unreadable" } else { reason };
            assert!(why.contains(shown), "{why}");
            assert_eq!(why.contains("unreadable"), unreadable, "{why}");
            assert!(
                message.is_ascii() && message.contains("apply-layer resume"),
                "{message}"
            );
            bench.resume().await;
            assert_eq!(bench.halt().await, Halt::Off, "{key} {command} {value:?}");
        }
    }
}

#[tokio::test]
async fn a_disarm_outlives_its_key_a_restart_and_a_server_that_forgets() {
    let bench = Bench::on(RedisServer::start().await).await;
    let _: String = bench.command(&["SET", SWITCH, "false"]).await;
    let today = keys().remove(1);
    let _: String = bench.command(&["SET", &today, "daily_limit"]).await;
    assert!(bench.halt().await.is_on());
    let _: i64 = bench.command(&["DEL", &today]).await;
    let message = bench.halt().await;
    assert!(by(&message).contains("daily_limit"), "{message:?}");
    assert_eq!(by(&message).matches("resume").count(), 1, "{message:?}");
    let on = bench.switches().await;
    let [(name, SwitchState::On(turned))] = &*on else {
        panic!("{on:?}")
    };
    let why = format!("{today} (daily_limit)");
    assert_eq!((&**name, turned.why.as_deref()), (MARK, Some(&*why)));
    let next = RedisPlanStore::connect(PlanStoreConfig::new(bench.server.url()))
        .await
        .unwrap();
    let symbol = plan("PARTIAL_75").symbol().clone();
    assert!(next.fetch_halt(&symbol).await.unwrap().is_on());
    let _: String = bench.command(&["FLUSHALL"]).await;
    assert!(
        bench.halt().await.is_on(),
        "it was forgotten, and the operator did not resume"
    );
    bench.resume().await;
    assert_eq!(bench.halt().await, Halt::Off);
    assert_eq!(next.fetch_halt(&symbol).await.unwrap(), Halt::Off);
}

#[tokio::test]
async fn a_disarm_that_cannot_be_marked_outlives_its_key_all_the_same() {
    if RedisServer::version() < (7, 0) {
        // Before that a right to a key is to read and to write it.
        return;
    }
    let user = "worker on >secret resetkeys &* +@all ~quantum:global:* ~quantum:governor:* ~quantum:harvest:* ~quantum:stream:* %R~quantum:apply:* ~quantum:apply:generation";
    let server = RedisServer::builder().acl(user).start().await;
    let server = common::aged(server).await;
    let config = PlanStoreConfig::new(server.url_as("worker", "secret"));
    let plan_store = RedisPlanStore::connect(config).await.unwrap();
    let bench = Bench { server, plan_store };
    let _: String = bench.command(&["SET", SWITCH, "false"]).await;
    let today = keys().remove(1);
    let _: String = bench.command(&["SET", &today, "daily_limit"]).await;
    assert!(bench.halt().await.is_on());
    let marked: i64 = bench.command(&["EXISTS", MARK]).await;
    assert_eq!(marked, 0, "it may not write the mark");
    let _: i64 = bench.command(&["DEL", &today]).await;
    assert!(bench.halt().await.is_on());
}

#[tokio::test]
async fn an_order_that_is_about_to_leave_is_held_back_by_a_disarm() {
    let bench = Bench::on(RedisServer::start().await).await;
    let plan = plan("PARTIAL_75");
    let by = attempt("a-1.0");
    let ttl = Duration::from_secs(100);
    let claim = bench.plan_store.claim(&plan, &by, ttl, 1).await.unwrap();
    assert!(matches!(claim, Claim::Won(_)), "{claim:?}");
    assert!(
        bench
            .plan_store
            .note_intent(&intent(&plan, "a-1.0"))
            .await
            .unwrap()
    );
    let ask = async || bench.plan_store.ask_again(&plan.id, &by).await.unwrap();
    assert!(matches!(ask().await, Standing::Holds { .. }));
    let _: String = bench.command(&["SET", &keys()[1], "burst"]).await;
    let standing = ask().await;
    assert!(
        matches!(&standing, Standing::Halted { by } if by.contains("burst")),
        "{standing:?}"
    );
    bench.resume().await;
    assert!(matches!(ask().await, Standing::Holds { .. }));
}

#[tokio::test]
async fn a_halt_by_the_switch_is_reported_and_ended_as_before() {
    let bench = Bench::on(RedisServer::start().await).await;
    bench.plan_store.turn_switch(&turn(true)).await.unwrap();
    assert_eq!(by(&bench.halt().await), SWITCH);
    let marked: i64 = bench.command(&["EXISTS", MARK]).await;
    assert_eq!(marked, 0);
    bench.resume().await;
    assert_eq!(bench.halt().await, Halt::Off);
}
