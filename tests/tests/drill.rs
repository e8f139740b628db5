//! The kill switch, turned while two instances trade and things are as bad as they get. The judge is the venue's order
//! log: no order that was stamped later than the switch was on, but for the bound that the docs state.
#![allow(clippy::unwrap_used)]

use apply_core::times::{LANDING, LAST_YES};
use apply_tests::{
    Ended, Entry, GOVERNOR, P33, PLANS, Service, ServiceBuilder, Stage, computed_now, eventually,
    governor_permit, position_permit, users, within,
};
use apply_wire::key;
use exchange_sim::OrderRecord;
use redis::{RedisError, Value, aio::MultiplexedConnection};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{task::JoinHandle, time::sleep};

/// The first is in one shard of two, the second in the other.
const SYMBOLS: [&str; 2] = ["ETHUSDT", "BTCUSDT"];

/// How far a service's idea of the venue's time may be off on this machine: it asks over loopback.
const CLOCKS: Duration = Duration::from_millis(30);

/// Between two proposals of a symbol.
const BEAT: Duration = Duration::from_millis(40);

/// A brain that proposes all the time and reviewers that grant everything; they go on through every outage.
struct Neighbours {
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Neighbours {
    fn begin(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            while !until.load(Ordering::Relaxed) {
                // What Redis refuses, or is not there to hear, is tried again.
                let _ = trade(&url, &until).await;
                sleep(BEAT).await;
            }
        });
        Self { stop, task }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

async fn trade(url: &str, stop: &AtomicBool) -> Result<(), RedisError> {
    static PROPOSALS: AtomicU64 = AtomicU64::new(0);
    let mut redis = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    while !stop.load(Ordering::Relaxed) {
        for symbol in SYMBOLS {
            let at = computed_now(PROPOSALS.fetch_add(1, Ordering::Relaxed));
            let proposal = [
                ("harvest_action", "PARTIAL_50"),
                ("kill_score", "0.5"),
                ("computed_at_utc", &at),
            ];
            redis::cmd("HSET")
                .arg(key::PROPOSAL.of(symbol))
                .arg(&proposal[..])
                .exec_async(&mut redis)
                .await?;
        }
        for plan in newest(&mut redis).await? {
            if plan.get("decision") != "EXECUTE" {
                continue;
            }
            let (id, symbol) = (plan.get("plan_id"), plan.get("symbol"));
            for (prefix, permit) in [
                (GOVERNOR, governor_permit(symbol)),
                (P33, position_permit(symbol, "0.009")),
            ] {
                let mut set = redis::cmd("SET");
                set.arg(format!("{prefix}{id}")).arg(permit);
                set.arg(&["EX", "60", "NX"]);
                set.exec_async(&mut redis).await?;
            }
        }
        sleep(BEAT).await;
    }
    Ok(())
}

async fn newest(redis: &mut MultiplexedConnection) -> Result<Vec<Entry>, RedisError> {
    let mut read = redis::cmd("XREVRANGE");
    read.arg(&[PLANS, "+", "-", "COUNT", "20"]);
    let answer: Value = read.query_async(redis).await?;
    Ok(Entry::of_range(answer))
}

/// Two machines, each with a shard of the symbols, and both trading.
struct Drill {
    stage: Stage,
    neighbours: Neighbours,
    machines: [Machine; 2],
}

struct Machine {
    how: ServiceBuilder,
    service: Service,
}

impl Drill {
    async fn begin() -> Self {
        Self::begin_as(None).await
    }

    /// The services as this user of Redis.
    async fn begin_as(user: Option<(&str, &str)>) -> Self {
        let stage = Stage::open().await;
        let url = match user {
            Some((name, password)) => {
                users::load(&mut stage.redis.connection().await).await;
                stage.redis.url_as(name, password)
            }
            None => stage.redis.url(),
        };
        let machine = async |shard: &str| {
            let how = stage
                .service()
                .env("REDIS_URL", &url)
                .env("SYMBOLS", SYMBOLS.join(","))
                .env("APPLY_SHARD", shard)
                // What a drill leaves without permits must not hold it up.
                .env("APPLY_PERMIT_WAIT_MS", "800");
            let service = how.clone().ready().await;
            Machine { how, service }
        };
        let machines = [machine("1/2").await, machine("2/2").await];
        let neighbours = Neighbours::begin(stage.redis.url());
        eventually("both instances trade", || {
            SYMBOLS.iter().all(|symbol| orders(&stage, symbol) >= 3)
        })
        .await;
        Self {
            stage,
            neighbours,
            machines,
        }
    }

    fn state(&self, machine: usize) -> PathBuf {
        self.machines[machine].how.state_directory().to_owned()
    }

    /// `halt` on the first machine, in its settings.
    fn halt(&self) -> ServiceBuilder {
        let Machine { how, .. } = &self.machines[0];
        how.clone()
            .instead(&["halt", "--reason", "drill"])
            .env("APPLY_METRICS_PORT", "1")
    }

    /// The moment from which the switch of all machines is on.
    async fn halted_in_redis(&self) -> Duration {
        within("the switch in Redis is on", async {
            loop {
                let switch: Option<String> = self.stage.command(&["GET", key::KILL_SWITCH]).await;
                if switch.as_deref() == Some("true") {
                    return now();
                }
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// Runs `halt` and says how it ended, and from when the switch was on.
    async fn turned_by(&self, halt: ServiceBuilder) -> (Ended, Duration) {
        tokio::join!(halt.ended(), self.halted_in_redis())
    }

    /// Goes on until both instances have blocked plans, and judges.
    async fn judged(self, on: Duration) {
        let mut blocked = [0, 0];
        within("both instances block what is proposed", async {
            while blocked.iter().any(|count| *count < 3) {
                let plans = self.stage.entries(PLANS).await;
                for (count, symbol) in blocked.iter_mut().zip(SYMBOLS) {
                    let of_symbol = plans.iter().filter(|plan| {
                        plan.get("symbol") == symbol
                            && plan.get("reason_codes").contains("kill_switch_active")
                    });
                    *count = of_symbol.count();
                }
                sleep(BEAT).await;
            }
        })
        .await;
        // No longer than an order may take to arrive that had its timestamp before.
        sleep((on + LAST_YES + LANDING).saturating_sub(now())).await;
        self.neighbours.end().await;
        for machine in self.machines {
            machine.service.stopped_well().await;
        }
        let late = |order: &OrderRecord| {
            stamped(order) > on + LAST_YES + CLOCKS || arrived(order) > on + LAST_YES + LANDING
        };
        let late: Vec<_> = self.stage.orders().into_iter().filter(late).collect();
        assert!(late.is_empty(), "the switch was on at {on:?}: {late:?}");
    }
}

fn orders(stage: &Stage, symbol: &str) -> usize {
    let all = stage.orders();
    let of_symbol = all.iter().filter(|o| o.symbol.as_deref() == Some(symbol));
    of_symbol.count()
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn stamped(order: &OrderRecord) -> Duration {
    let pairs = order.params.split('&').filter_map(|p| p.split_once('='));
    let stamp = pairs.clone().find(|(name, _)| *name == "timestamp");
    Duration::from_millis(stamp.unwrap().1.parse().unwrap())
}

fn arrived(order: &OrderRecord) -> Duration {
    Duration::from_nanos(order.unix_ns)
}

#[tokio::test]
async fn halt_stops_both_instances() {
    let drill = Drill::begin().await;
    let (ended, on) = drill.turned_by(drill.halt()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.output());
    drill.judged(on).await;
}

#[tokio::test]
async fn halt_stops_both_instances_though_nobody_reads_what_it_prints() {
    for shell in [r#""$0" "$@" | true"#, r#"exec "$0" "$@" >/dev/full"#] {
        let drill = Drill::begin().await;
        let halt = drill.halt().through(&["sh", "-c", shell]);
        let (ended, on) = drill.turned_by(halt).await;
        assert_eq!(ended.code, Some(0), "{}", ended.output());
        drill.judged(on).await;
    }
}

#[tokio::test]
async fn halt_stops_both_instances_with_an_operators_rights() {
    let drill = Drill::begin_as(Some(("apply-layer", "change-me-1"))).await;
    let operator = drill.stage.redis.url_as("operator", "change-me-4");
    let halt = drill.halt().env("REDIS_URL", operator);
    let (ended, on) = drill.turned_by(halt).await;
    assert_eq!(ended.code, Some(0), "{}", ended.output());
    drill.judged(on).await;
}

#[tokio::test]
async fn halt_stops_both_instances_through_a_redis_that_is_full() {
    let drill = Drill::begin().await;
    let set = async |name: &str, value: &str| {
        let () = drill.stage.command(&["CONFIG", "SET", name, value]).await;
    };
    set("maxmemory-policy", "noeviction").await;
    set("maxmemory", "1").await;
    let (ended, on) = drill.turned_by(drill.halt()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.output());
    // There is room again, and what was proposed goes on.
    set("maxmemory", "0").await;
    drill.judged(on).await;
}

#[tokio::test]
async fn halt_stops_both_instances_from_a_machine_whose_disk_is_full() {
    let drill = Drill::begin().await;
    let full = r#"trap '' XFSZ; ulimit -f 0; exec "$0" "$@""#;
    let halt = drill.halt().through(&["sh", "-c", full]);
    let (ended, on) = drill.turned_by(halt).await;
    assert_eq!(ended.code, Some(69), "{}", ended.output());
    assert!(ended.output().contains("halted, but not recorded"));
    assert!(drill.state(0).join("HALT").exists());
    drill.judged(on).await;
}

/// Without Redis each machine is halted by its own file, as the docs say; Redis comes back, and with it the proposals.
#[tokio::test]
async fn halt_stops_each_machine_while_redis_is_away() {
    let mut drill = Drill::begin().await;
    drill.stage.redis.kill();
    for machine in &drill.machines {
        let halt = machine.how.clone();
        let halt = halt.instead(&["halt", "--file-only", "--reason", "drill"]);
        let ended = halt.env("APPLY_METRICS_PORT", "1").ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.output());
    }
    let on = now();
    drill.stage.restart_redis().await;
    drill.judged(on).await;
}

#[tokio::test]
async fn a_file_on_each_machine_stops_them_at_once() {
    let drill = Drill::begin().await;
    for machine in 0..2 {
        std::fs::write(drill.state(machine).join("HALT"), "").unwrap();
    }
    // The bound of the file is none; the one that is judged by is Redis's.
    let on = now().saturating_sub(LAST_YES);
    drill.judged(on).await;
}

#[tokio::test]
async fn the_switch_in_redis_stops_both_instances() {
    let drill = Drill::begin().await;
    let () = drill
        .stage
        .command(&["SET", key::KILL_SWITCH, "true"])
        .await;
    drill.judged(now()).await;
}
