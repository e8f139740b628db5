//! Many plans, many symbols, two services.

use crate::{d, sent};
use apply_tests::{Entry, PLANS, RESULTS, Stage, position_permit};
use exchange_sim::OrderOutcome;
use rust_decimal::Decimal;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];

#[tokio::test]
async fn a_hundred_approved_plans_over_three_symbols_are_a_hundred_orders_and_results() {
    let stage = Stage::open().await;
    let _governor = stage.governor(Duration::ZERO).await;
    // Each plan is allowed another quantity, computed from its own fields.
    let _brain = stage
        .position_brain_saying(|plan| {
            let quantity = format!("{}000000000000004", plan.get("R_net"));
            let permit = position_permit(plan.get("symbol"), &quantity);
            Some((Duration::ZERO, permit))
        })
        .await;
    let service = stage.ready().await;

    // One brain a symbol; a proposal is rewritten in place, so each waits for its result.
    let brain = |symbol: &'static str, count: u32| {
        let stage = &stage;
        async move {
            let mut known = HashSet::new();
            for n in 1..=count {
                let quantity = format!("{}", Decimal::new(i64::from(n), 2));
                stage
                    .propose_with(symbol, "PARTIAL_50", &[("R_net", &quantity)])
                    .await;
                let plan = stage.plan(symbol, &known).await;
                let id = plan.get("plan_id").to_owned();
                stage.result_of(&id).await;
                known.insert(id);
            }
        }
    };
    tokio::join!(
        brain(SYMBOLS[0], 34),
        brain(SYMBOLS[1], 33),
        brain(SYMBOLS[2], 33)
    );
    service.stopped_well().await;

    let plans = stage.entries(PLANS).await;
    let results = stage.entries(RESULTS).await;
    let orders = stage.orders();
    assert_eq!((plans.len(), orders.len(), results.len()), (100, 100, 100));
    let ids = |entries: &[Entry]| -> BTreeSet<String> {
        entries
            .iter()
            .map(|entry| entry.get("plan_id").to_owned())
            .collect()
    };
    assert_eq!(ids(&results).len(), 100, "one result a plan");
    assert_eq!(ids(&results), ids(&plans));
    let by_id: BTreeMap<&str, &Entry> = results.iter().map(|r| (r.get("plan_id"), r)).collect();
    let mut orders_left = orders.iter().collect::<Vec<_>>();
    for plan in &plans {
        let id = plan.get("plan_id");
        let own = |order: &&exchange_sim::OrderRecord| {
            order
                .client_order_id
                .as_deref()
                .is_some_and(|own| own.ends_with(id))
        };
        let place = orders_left.iter().position(own).expect("an order a plan");
        let order = orders_left.swap_remove(place);
        assert_eq!(order.outcome, OrderOutcome::Filled);
        assert_eq!(sent(order, "symbol"), plan.get("symbol"));
        assert_eq!(d(sent(order, "quantity")), d(plan.get("R_net")));
        let result = by_id[id];
        assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
        assert_eq!(
            d(result.last_step()["executed_qty"].as_str().unwrap()),
            d(plan.get("R_net"))
        );
        assert_eq!(
            result.last_step()["order_id"],
            order.order_id.unwrap().to_string()
        );
    }
    // 0.01 + … + 0.34, and 0.01 + … + 0.33 twice.
    for (symbol, left) in [
        ("BTCUSDT", "6.45"),
        ("ETHUSDT", "118.39"),
        ("SOLUSDT", "1234.39"),
    ] {
        assert_eq!(stage.venue().position(symbol), d(left), "{symbol}");
    }
}

#[tokio::test]
async fn two_instances_that_race_for_the_same_plans_make_one_order_and_one_result_of_each() {
    const PLANS_TO_RACE: usize = 10;
    let stage = Stage::open().await;
    let _governor = stage.governor(Duration::ZERO).await;
    let _brain = stage.position_brain(Duration::ZERO, "0.009").await;
    let (one, other) = tokio::join!(stage.ready(), stage.ready());
    let mut known = HashSet::new();
    for _ in 0..PLANS_TO_RACE {
        stage.propose("BTCUSDT", "PARTIAL_75").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let id = plan.get("plan_id").to_owned();
        stage.result_of(&id).await;
        // The second instance has noticed.
        let duplicate =
            format!("Plan {id} skipped (decision=SKIP, symbol=BTCUSDT) reason=duplicate_plan");
        tokio::select! {
            _ = one.line(&duplicate) => {}
            _ = other.line(&duplicate) => {}
        }
        known.insert(id);
    }
    one.stopped_well().await;
    other.stopped_well().await;

    assert_eq!(stage.orders().len(), PLANS_TO_RACE);
    let ordered: BTreeSet<_> = stage
        .orders()
        .into_iter()
        .map(|o| o.client_order_id)
        .collect();
    assert_eq!(ordered.len(), PLANS_TO_RACE, "an order a plan");
    for stream in [PLANS, RESULTS] {
        let entries = stage.entries(stream).await;
        assert_eq!(entries.len(), PLANS_TO_RACE, "{stream}: {entries:?}");
        let ids: HashSet<String> = entries
            .iter()
            .map(|e| e.get("plan_id").to_owned())
            .collect();
        assert_eq!(ids, known, "{stream}");
    }
    assert!(
        stage
            .entries(RESULTS)
            .await
            .iter()
            .all(|r| r.get("executed") == "True")
    );
}

#[tokio::test]
async fn a_plan_that_waits_delays_no_other_symbol() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let waiting = stage.only_plan("BTCUSDT").await;
    for symbol in ["ETHUSDT", "SOLUSDT"] {
        stage.propose(symbol, "PARTIAL_75").await;
        let plan = stage.only_plan(symbol).await;
        stage.approve(&plan, "0.05").await;
        let result = stage.result_of(plan.get("plan_id")).await;
        assert_eq!(result.get("executed"), "True", "{symbol}");
    }
    // The first one waits still, and is carried out as soon as it may be.
    assert!(
        stage
            .entries(RESULTS)
            .await
            .iter()
            .all(|r| r.get("symbol") != "BTCUSDT")
    );
    stage.approve(&waiting, "0.009").await;
    let result = stage.result_of(waiting.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    service.stopped_well().await;
    let symbols: Vec<String> = stage
        .orders()
        .iter()
        .map(|o| sent(o, "symbol").to_owned())
        .collect();
    assert_eq!(symbols, ["ETHUSDT", "SOLUSDT", "BTCUSDT"]);
}
