//! More proposals than may be under way.

use apply_tests::{PLANS, RESULTS, Stage};
use redis_harness::RedisServer;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const IN_FLIGHT: &str = "quantum_apply_plans_in_flight";
const WITHOUT_ROOM: &str = "quantum_apply_symbols_without_room";
const REFUSED: &str = "quantum_apply_plans_refused_total{reason=\"too_many_plans_in_flight\"}";

fn symbols(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("S{n:02}USDT")).collect()
}

async fn stage(symbols: &[String]) -> Stage {
    Stage::open_for(RedisServer::start().await, symbols).await
}

async fn ready(stage: &Stage, symbols: &[String], limit: usize) -> apply_tests::Service {
    let all = symbols.join(",");
    let service = stage
        .service()
        .env("SYMBOLS", &all)
        .env("APPLY_ALLOWLIST", &all)
        .env("APPLY_MAX_IN_FLIGHT", limit.to_string())
        .env("APPLY_POLL_SEC", "3600")
        .env("APPLY_PERMIT_WAIT_MS", "60000");
    service.ready().await
}

#[tokio::test]
async fn ten_times_what_there_is_room_for_is_refused_by_name_and_carried_out_in_its_turn() {
    const ROOM: usize = 5;
    let symbols = symbols(10 * ROOM);
    let stage = stage(&symbols).await;
    let service = ready(&stage, &symbols, ROOM).await;
    for symbol in &symbols {
        stage
            .propose_with(symbol, "PARTIAL_75", &[("R_net", "0")])
            .await;
    }
    let refused = (symbols.len() - ROOM).to_string();
    service.metric_is(REFUSED, &refused).await;
    service.metric_is(WITHOUT_ROOM, &refused).await;
    service.metric_is(IN_FLIGHT, &ROOM.to_string()).await;
    service
        .line_with(&["refused for now", "reason=too_many_plans_in_flight"])
        .await;

    // The flood goes on, and nothing grows: what waits is the symbol, not what was written to it.
    let plans = stage.entries(PLANS).await;
    let under_way: BTreeSet<&str> = plans.iter().map(|plan| plan.get("symbol")).collect();
    assert_eq!((plans.len(), under_way.len()), (ROOM, ROOM));
    for round in ["1", "2", "3"] {
        for symbol in symbols.iter().filter(|s| !under_way.contains(s.as_str())) {
            stage
                .propose_with(symbol, "PARTIAL_50", &[("R_net", round)])
                .await;
        }
    }
    for (series, value) in [
        (REFUSED, &refused),
        (WITHOUT_ROOM, &refused),
        (IN_FLIGHT, &ROOM.to_string()),
    ] {
        let seen = service.metric(series).await;
        assert_eq!(seen.as_deref(), Some(value.as_str()), "{series}");
    }
    assert_eq!(stage.entries(PLANS).await.len(), ROOM);

    // Room again: everything that still stands is carried out, as it stands then, and once.
    let _governor = stage.governor(Duration::ZERO).await;
    let _brain = stage.position_brain(Duration::ZERO, "0.05").await;
    for symbol in &symbols {
        assert_eq!(stage.result_for(symbol).await.get("executed"), "True");
    }
    service.metric_is(IN_FLIGHT, "0").await;
    service.metric_is(WITHOUT_ROOM, "0").await;
    let plans = stage.entries(PLANS).await;
    let read: BTreeMap<&str, &str> = plans
        .iter()
        .map(|plan| (plan.get("symbol"), plan.get("R_net")))
        .collect();
    for symbol in &symbols {
        let last = match under_way.contains(symbol.as_str()) {
            true => "0.0",
            false => "3.0",
        };
        assert_eq!(read[symbol.as_str()], last, "{symbol}");
    }
    let counts = (
        plans.len(),
        stage.entries(RESULTS).await.len(),
        stage.orders().len(),
    );
    assert_eq!(counts, (symbols.len(), symbols.len(), symbols.len()));

    // And as ever afterwards: no plan is refused any more.
    stage.propose(&symbols[0], "FULL_CLOSE_PROPOSED").await;
    service
        .line_with(&["Order ", "executed successfully", "step=CLOSE_FULL"])
        .await;
    assert_eq!(service.metric(REFUSED).await, Some(refused));
    service.stopped_well().await;
}

#[tokio::test]
async fn who_was_refused_first_has_the_first_place_that_is_free() {
    let symbols = symbols(4);
    let stage = stage(&symbols).await;
    let service = ready(&stage, &symbols, 1).await;
    stage.propose(&symbols[0], "PARTIAL_75").await;
    stage.only_plan(&symbols[0]).await;
    for symbol in &symbols[1..] {
        stage.propose(symbol, "PARTIAL_75").await;
        let named = format!("symbol={symbol}");
        service.line_with(&["refused for now", &named]).await;
    }
    // Writing a proposal again neither gains nor loses a place in the queue.
    for symbol in symbols[1..].iter().rev() {
        stage.propose(symbol, "PARTIAL_50").await;
    }
    for symbol in &symbols {
        let plan = stage.only_plan(symbol).await;
        stage.approve(&plan, "0.05").await;
        stage.result_of(plan.get("plan_id")).await;
    }
    let plans = stage.entries(PLANS).await;
    let order: Vec<&str> = plans.iter().map(|plan| plan.get("symbol")).collect();
    assert_eq!(order, symbols);
    service.stopped_well().await;
}

#[tokio::test]
async fn what_nobody_rewrites_keeps_its_turn_and_its_words_while_others_are_rewritten() {
    const KEPT: [&str; 3] = ["S01USDT", "S02USDT", "S03USDT"];
    let symbols = symbols(8);
    let stage = stage(&symbols).await;
    let service = ready(&stage, &symbols, 1).await;
    stage.propose(&symbols[0], "PARTIAL_75").await;
    stage.only_plan(&symbols[0]).await;
    for symbol in &symbols[1..] {
        stage
            .propose_with(symbol, "PARTIAL_75", &[("R_net", "0")])
            .await;
        let named = format!("symbol={symbol}");
        service.line_with(&["refused for now", &named]).await;
    }
    // Those of the last four that still wait are rewritten during every single plan.
    let mut round = 0;
    for (number, symbol) in symbols.iter().enumerate() {
        for _ in 0..5 {
            round += 1;
            for other in symbols.iter().skip(4.max(number + 1)) {
                let words = [("R_net", &*round.to_string())];
                stage.propose_with(other, "PARTIAL_50", &words).await;
            }
        }
        let plan = stage.only_plan(symbol).await;
        stage.approve(&plan, "0.05").await;
        let result = stage.result_of(plan.get("plan_id")).await;
        assert_eq!(result.get("executed"), "True", "{symbol}");
        if KEPT.contains(&symbol.as_str()) {
            assert_eq!(
                (plan.get("action"), plan.get("R_net")),
                ("PARTIAL_75", "0.0")
            );
        }
    }
    let plans = stage.entries(PLANS).await;
    let claimed: Vec<&str> = plans.iter().map(|plan| plan.get("symbol")).collect();
    assert_eq!(
        claimed, symbols,
        "each once, in the order of their refusals"
    );
    assert_eq!(stage.orders().len(), symbols.len());
    assert_eq!(service.metric(REFUSED).await.as_deref(), Some("7"));
    service.stopped_well().await;
}

#[tokio::test]
async fn who_waits_for_room_is_left_for_the_next_start() {
    let symbols = symbols(2);
    let stage = stage(&symbols).await;
    let service = ready(&stage, &symbols, 1).await;
    stage.propose(&symbols[0], "PARTIAL_75").await;
    let plan = stage.only_plan(&symbols[0]).await;
    stage.propose(&symbols[1], "PARTIAL_75").await;
    service.metric_is(WITHOUT_ROOM, "1").await;
    service.signal("TERM").await;
    service.line("Stopping").await;
    stage.approve(&plan, "0.05").await;
    let ended = service.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.output());
    assert_eq!(stage.entries(PLANS).await.len(), 1);
    assert_eq!(stage.entries(RESULTS).await.len(), 1);
}
