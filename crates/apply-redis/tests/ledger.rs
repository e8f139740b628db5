//! The ledger that the executor owns.

#![allow(clippy::unwrap_used)]

use apply_core::{PortError, Symbol};
use apply_redis::{LedgerWriter, PlanStoreConfig, RedisPlanStore, Written};
use redis::FromRedisValue;
use redis_harness::RedisServer;
use rust_decimal::Decimal;
use std::collections::HashMap;

const LEDGER: &str = "quantum:position:ledger:BTCUSDT";
const POSITION: &str = "quantum:state:positions:BTCUSDT";
const MOMENT: &str = "quantum:cooldown:last_exec_ts:BTCUSDT";

struct Bench {
    server: RedisServer,
    writer: LedgerWriter,
}

impl Bench {
    async fn new() -> Self {
        let server = RedisServer::start().await;
        let plan_store = RedisPlanStore::connect(PlanStoreConfig::new(server.url())).await;
        let mut writer = plan_store.unwrap().ledger_writer().unwrap();
        let nothing = writer
            .look(1, |_| async { panic!("nothing was filled") })
            .await;
        assert_eq!(nothing, Ok(Written::default()));
        Self { server, writer }
    }

    async fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        let mut command = redis::Cmd::new();
        for word in words.split(' ') {
            command.arg(word);
        }
        command
            .query_async(&mut self.server.connection().await)
            .await
            .unwrap()
    }

    async fn result(&self, id: u64, fields: &str) {
        let words = format!("XADD quantum:stream:apply.result {id}-0 plan_id x {fields}");
        let _: String = self.ask(&words).await;
    }

    async fn fill(&self, id: u64) {
        let fields = "source apply_layer symbol BTCUSDT executed True filled_qty 0.5";
        self.result(id, fields).await;
    }

    async fn look(&mut self, amount: &str) -> Written {
        let amount: Decimal = amount.parse().unwrap();
        let held = |_: Symbol| async move { Ok(Some(amount)) };
        self.writer.look(1_769_301_009, held).await.unwrap()
    }
}

fn written(amount: &str) -> Written {
    Written {
        written: vec![("BTCUSDT".parse().unwrap(), amount.parse().unwrap())],
        ..Written::default()
    }
}

#[tokio::test]
async fn a_fill_is_in_ledger_position_and_moment_and_is_written_once() {
    let mut bench = Bench::new().await;
    // Nothing that filled nothing, and nothing of another program.
    bench
        .result(5, "source apply_layer symbol BTCUSDT executed False")
        .await;
    bench
        .result(6, "source other symbol BTCUSDT executed True filled_qty 1")
        .await;
    bench
        .result(
            7,
            "source apply_layer symbol BTCUSDT executed True filled_qty 0",
        )
        .await;
    for id in 8..120 {
        bench.result(id, "source apply_layer executed False").await;
    }
    for _ in 0..2 {
        assert_eq!(bench.look("1").await, Written::default());
    }
    bench.fill(2000).await;
    assert_eq!(bench.look("-1.50").await, written("-1.5"));
    let ledger: HashMap<String, String> = bench.ask(&format!("HGETALL {LEDGER}")).await;
    for (name, value) in [
        ("ledger_amt", "-1.5"),
        ("ledger_side", "SHORT"),
        ("last_known_amt", "-1.5"),
        ("position_amt", "-1.5"),
        ("qty", "1.5"),
        ("side", "SHORT"),
        ("updated_at", "1769301009"),
        ("ts_epoch", "1769301009"),
    ] {
        assert_eq!(ledger[name], value, "{name}");
    }
    let position: HashMap<String, String> = bench.ask(&format!("HGETALL {POSITION}")).await;
    assert_eq!(
        (&*position["position_amt"], &*position["quantity"]),
        ("-1.5", "1.5")
    );
    assert_eq!(bench.ask::<String>(&format!("GET {MOMENT}")).await, "2000");
    assert_eq!(bench.look("7").await, Written::default(), "once");
    bench.fill(3000).await;
    assert_eq!(bench.look("0").await, written("0"));
    assert_eq!(
        bench.ask::<String>(&format!("HGET {LEDGER} side")).await,
        "FLAT"
    );
    assert_eq!(bench.ask::<String>(&format!("GET {MOMENT}")).await, "3000");
}

#[tokio::test]
async fn what_a_process_left_unwritten_the_next_one_writes() {
    let mut bench = Bench::new().await;
    bench.fill(2000).await;
    let away = |_: Symbol| async { Err(PortError("the venue is away".into())) };
    assert!(bench.writer.look(1, away).await.is_err());
    let plan_store = RedisPlanStore::connect(PlanStoreConfig::new(bench.server.url())).await;
    bench.writer = plan_store.unwrap().ledger_writer().unwrap();
    assert_eq!(bench.look("2").await, written("2"));
}

#[tokio::test]
async fn what_is_of_another_type_or_form_is_left_alone_and_reported_once() {
    for (key, set) in [
        (LEDGER, "SET {} 1"),
        (LEDGER, "HSET {} something else"),
        (LEDGER, "HSET {} last_known_amt much"),
        (POSITION, "RPUSH {} 1"),
        (POSITION, "HSET {} quantity nan1"),
        (MOMENT, "HSET {} a b"),
    ] {
        let mut bench = Bench::new().await;
        let _: redis::Value = bench.ask(&set.replace("{}", key)).await;
        let before: redis::Value = bench.ask(&format!("DUMP {key}")).await;
        for (id, reported) in [(2000, 1), (3000, 0)] {
            bench.fill(id).await;
            let done = bench.look("1").await;
            assert_eq!(
                (done.written.len(), done.left_alone.len()),
                (0, reported),
                "{set}"
            );
        }
        assert_eq!(
            bench.ask::<redis::Value>(&format!("DUMP {key}")).await,
            before
        );
        let others = [LEDGER, POSITION, MOMENT].into_iter().filter(|k| *k != key);
        for other in others {
            assert_eq!(bench.ask::<i64>(&format!("EXISTS {other}")).await, 0);
        }
    }
}

#[tokio::test]
async fn each_key_of_another_type_or_form_is_reported_and_reported_again_once_it_was_written() {
    let mut bench = Bench::new().await;
    let left_alone = async |bench: &mut Bench, id| {
        bench.fill(id).await;
        let done = bench.look("1").await;
        let left_alone = done.left_alone.into_iter().map(|(_, why)| why);
        (done.written.len(), left_alone.collect::<Vec<_>>())
    };
    let other = |key: &str| format!("{key} is of another type or form");
    let _: redis::Value = bench.ask(&format!("SET {LEDGER} 1")).await;
    assert_eq!(left_alone(&mut bench, 2000).await, (0, vec![other(LEDGER)]));
    // Another one beside it, and then alone.
    let _: redis::Value = bench.ask(&format!("SET {POSITION} 1")).await;
    assert_eq!(
        left_alone(&mut bench, 3000).await,
        (0, vec![other(POSITION)])
    );
    let _: redis::Value = bench.ask(&format!("DEL {LEDGER}")).await;
    assert_eq!(left_alone(&mut bench, 4000).await, (0, vec![]));
    let _: redis::Value = bench.ask(&format!("DEL {POSITION}")).await;
    assert_eq!(left_alone(&mut bench, 5000).await, (1, vec![]));
    let _: redis::Value = bench.ask(&format!("DEL {LEDGER} {POSITION}")).await;
    for key in [LEDGER, POSITION] {
        let _: redis::Value = bench.ask(&format!("SET {key} 1")).await;
    }
    let both = vec![other(LEDGER), other(POSITION)];
    assert_eq!(left_alone(&mut bench, 6000).await, (0, both));
}
