//! A kill switch that is turned while orders wait for their turn at a slow venue: what the venue's order log says.
#![allow(clippy::unwrap_used)]

use apply_core::times::LAST_YES;
use apply_tests::{Entry, RESULTS, Service, ServiceBuilder, Stage, eventually};
use exchange_sim::{Delivery, Fault, OrderRecord, When};
use redis_harness::RedisServer;
use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Granted at the same moment: far more than may be on their way to the venue at once.
const PLANS: usize = 40;

/// How long the venue takes to answer an order.
const SLOW: Duration = Duration::from_millis(900);

/// How far the service's idea of the venue's time may be off on this machine: it asks over loopback.
const CLOCKS_MS: u64 = 30;

/// What the plans are about.
#[derive(Clone, Copy)]
enum Kind {
    Close,
    MoveStop,
}

struct Crowd {
    kind: Kind,
    stage: Stage,
    service: Service,
    how: ServiceBuilder,
    plans: Vec<Entry>,
}

/// Forty plans that have all their permits, and the first orders at the venue.
async fn granted_at_once(kind: Kind) -> Crowd {
    let symbols: Vec<String> = (0..PLANS).map(|n| format!("S{n:02}USDT")).collect();
    let stage = Stage::open_for(RedisServer::start().await, &symbols).await;
    for when in [When::order(), When::request("POST", "/fapi/v1/algoOrder")] {
        let slow = Fault::executed(when, Delivery::Whole).delay_after(SLOW);
        stage.venue().script(slow.always());
    }
    let all = symbols.join(",");
    let how = stage
        .service()
        .env("SYMBOLS", &all)
        .env("APPLY_ALLOWLIST", &all);
    let service = how.clone().ready().await;
    let mut plans = Vec::new();
    for symbol in &symbols {
        match kind {
            Kind::Close => stage.propose(symbol, "PARTIAL_75").await,
            Kind::MoveStop => {
                let price = [("new_sl_proposed", "63000")];
                stage.propose_with(symbol, "UPDATE_SL", &price).await;
            }
        }
    }
    for symbol in &symbols {
        plans.push(stage.only_plan(symbol).await);
    }
    for plan in &plans {
        stage.approve(plan, "0.009").await;
    }
    eventually("something arrives at the venue", || {
        !arrived(&stage, kind).is_empty()
    })
    .await;
    for plan in &plans {
        let id = plan.get("plan_id");
        service.line_with(&["[PERMIT_WAIT] OK", id]).await;
    }
    Crowd {
        kind,
        stage,
        service,
        how,
        plans,
    }
}

fn arrived(stage: &Stage, kind: Kind) -> Vec<OrderRecord> {
    match kind {
        Kind::Close => stage.orders(),
        Kind::MoveStop => stage.venue().stops(),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn timestamp(order: &OrderRecord) -> u64 {
    let pairs = order.params.split('&').filter_map(|p| p.split_once('='));
    let stamp = pairs.clone().find(|(name, _)| *name == "timestamp");
    stamp.unwrap().1.parse().unwrap()
}

impl Crowd {
    /// Every plan's result, and that none has an order stamped later than `until`.
    async fn judged(self, until: u64) {
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for plan in &self.plans {
            let result = self.stage.result_of(plan.get("plan_id")).await;
            let end = match result.get("executed") {
                "True" => "executed",
                _ => result.get("error"),
            };
            *ends.entry(end.to_owned()).or_default() += 1;
        }
        self.service.stopped_well().await;
        let orders = arrived(&self.stage, self.kind);
        let late: Vec<u64> = orders
            .iter()
            .map(timestamp)
            .filter(|stamp| *stamp > until)
            .map(|stamp| stamp - until)
            .collect();
        assert_eq!(late, [0; 0], "milliseconds too late; {ends:?}");
        let ids: HashSet<_> = orders.iter().map(|o| &o.client_order_id).collect();
        assert_eq!(ids.len(), orders.len(), "an order a plan");
        let blocked = PLANS - orders.len();
        assert!(blocked > 0, "some had still to wait for their turn");
        let expected = [
            ("executed".to_owned(), orders.len()),
            ("kill_switch_active".to_owned(), blocked),
        ];
        assert_eq!(ends, BTreeMap::from(expected));
        assert_eq!(self.stage.entries(RESULTS).await.len(), PLANS);
    }
}

#[tokio::test]
async fn orders_that_wait_for_their_turn_leave_when_it_comes() {
    let crowd = granted_at_once(Kind::Close).await;
    for plan in &crowd.plans {
        let result = crowd.stage.result_of(plan.get("plan_id")).await;
        assert_eq!(result.get("executed"), "True", "{result:?}");
    }
    crowd.service.stopped_well().await;
    assert_eq!(crowd.stage.orders().len(), PLANS);
}

#[tokio::test]
async fn no_order_is_stamped_after_the_file_appeared_however_many_wait_for_their_turn() {
    let crowd = granted_at_once(Kind::Close).await;
    let state = crowd.how.state_directory();
    std::fs::write(state.join("HALT"), "").unwrap();
    let until = now_ms() + CLOCKS_MS;
    let page = crowd.service.address().await;
    let halt = crowd
        .stage
        .program(&["halt", "--reason", "drill", "--file-only"]);
    let halt = halt.env("APPLY_STATE_DIR", state.display().to_string());
    let halt = halt.env("APPLY_METRICS_PORT", page.port().to_string());
    let output = halt.ended().await.output();
    let mut stamped = output
        .lines()
        .filter(|line| line.contains("had its timestamp already"));
    assert!(stamped.all(|line| line.ends_with(": executed")), "{output}");
    assert!(output.contains("can be executed any more"), "{output}");
    crowd.judged(until).await;
}

#[tokio::test]
async fn a_moved_stop_is_an_order_in_this() {
    let crowd = granted_at_once(Kind::MoveStop).await;
    std::fs::write(crowd.how.state_directory().join("HALT"), "").unwrap();
    crowd.judged(now_ms() + CLOCKS_MS).await;
}

#[tokio::test]
async fn an_order_that_waited_for_its_turn_asks_for_the_switch_in_redis_again() {
    let crowd = granted_at_once(Kind::Close).await;
    let () = crowd
        .stage
        .command(&["SET", "quantum:global:kill_switch", "true"])
        .await;
    let bound = u64::try_from(LAST_YES.as_millis()).unwrap();
    crowd.judged(now_ms() + bound + CLOCKS_MS).await;
}
