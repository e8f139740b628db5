//! Stops that a plan moves: the old ones, what the venue knows of them, and how a move is judged.

use super::{
    environment::Environment,
    fake_services::Seat,
    judge::Facts,
    script::{PlanScript, Word},
};
use exchange_client::{ClientAlgoId, StopIntent, StopReplacement};
use exchange_sim::{OpenStop, OrderRecord};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Where stops are placed, looked at and cancelled.
pub(crate) const STOPS: &str = "/fapi/v1/algoOrder";

/// Puts a stop under each plan's position, as the last plan left it there.
pub(crate) async fn guard(environment: &Environment) {
    let client = environment.stage.client().await;
    let mode = client.fetch_position_mode().await;
    let mode = mode.unwrap_or_else(|error| panic!("no position mode: {error}"));
    for (n, plan) in environment.case.plans.iter().enumerate() {
        let symbol = plan
            .symbol
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", plan.symbol));
        let held = client.fetch_positions(Some(&symbol)).await;
        let held = held.unwrap_or_else(|error| panic!("no position: {error}"));
        let rules = client.fetch_rules(&symbol).await;
        let rules = rules.unwrap_or_else(|error| panic!("no rules: {error}"));
        let id: ClientAlgoId = format!("{BEFORE}{n}")
            .parse()
            .unwrap_or_else(|error| panic!("no id: {error}"));
        let stop = StopIntent::for_position(&held[0], mode, &rules, lower(plan.symbol), id)
            .unwrap_or_else(|error| panic!("no stop for {symbol}: {error}"));
        let placed = client.replace_stop(&stop).await;
        assert!(
            matches!(placed, StopReplacement::Replaced { .. }),
            "{placed}"
        );
    }
}

/// How the ids of old stops begin.
const BEFORE: &str = "before-";

/// Whether a stop is one of those that no plan placed.
pub(crate) fn was_there_before(id: &str) -> bool {
    id.starts_with(BEFORE)
}

/// Where the old stop of a symbol stands, in quote units.
fn lower(symbol: &str) -> Decimal {
    Decimal::from(match symbol {
        "BTCUSDT" => 55_000,
        "ETHUSDT" => 2_500,
        _ => 100,
    })
}

/// What the venue knows of stops.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    /// Every stop that arrived.
    pub(crate) arrived: Vec<OrderRecord>,
    /// Those that stand in the end, by symbol.
    standing: BTreeMap<&'static str, Vec<OpenStop>>,
    /// How often a position that is held was left without one.
    left_bare: u64,
}

impl Guards {
    pub(crate) fn of(environment: &Environment) -> Self {
        let venue = environment.stage.venue();
        assert_eq!(venue.stops_dropped(), 0, "the log is complete");
        let symbols = environment.case.plans.iter().map(|plan| plan.symbol);
        Self {
            arrived: venue.stops(),
            standing: symbols.map(|s| (s, venue.open_stops(s))).collect(),
            left_bare: venue.times_left_bare(),
        }
    }

    /// Whether a position was ever left without any stop.
    pub(crate) fn failed(&self) -> bool {
        self.left_bare > 0
    }

    /// The stops that a plan sent.
    pub(crate) fn of_plan(&self, plan: &str) -> Vec<&OrderRecord> {
        let id = format!("apply-{plan}");
        let named = |stop: &&OrderRecord| stop.client_order_id.as_deref() == Some(&id);
        self.arrived.iter().filter(named).collect()
    }
}

/// Everything about a plan that moves a stop that should not have been.
pub(crate) fn judge(facts: &Facts, script: &PlanScript, plan: &str, wrong: &mut Vec<String>) {
    let guards = &facts.guards;
    if facts.has_an_order(plan) {
        wrong.push(format!("plan {plan} was to move a stop and has an order"));
    }
    let arrived = guards.of_plan(plan);
    if arrived.len() > 1 {
        wrong.push(format!("plan {plan} sent {} stops", arrived.len()));
    }
    for stop in &arrived {
        for seat in Seat::BOTH {
            if !facts.said_before(plan, seat, Word::Yes, stop.at) {
                wrong.push(format!(
                    "plan {plan} sent a stop without the {seat:?}'s yes"
                ));
            }
        }
        let wanted = script.stop.as_deref().and_then(|text| text.parse().ok());
        let trigger: Option<Decimal> =
            parameter(stop, "triggerPrice").and_then(|text| text.parse().ok());
        if trigger.is_none() || trigger != wanted {
            wrong.push(format!(
                "plan {plan}: a stop at {trigger:?}, not {wanted:?}"
            ));
        }
        let quantity: Option<Decimal> =
            parameter(stop, "quantity").and_then(|text| text.parse().ok());
        if quantity.is_none_or(|quantity| quantity > script.quantity) {
            wrong.push(format!(
                "plan {plan}: a stop over {quantity:?}, {} allowed",
                script.quantity
            ));
        }
        if parameter(stop, "reduceOnly").as_deref() != Some("true")
            || parameter(stop, "type").as_deref() != Some("STOP_MARKET")
            || stop.symbol.as_deref() != Some(script.symbol)
        {
            wrong.push(format!("plan {plan} sent something else: {}", stop.params));
        }
    }
    let Some(result) = facts.last_of(plan) else {
        return; // judged elsewhere
    };
    let id = format!("apply-{plan}");
    let standing = guards.standing.get(script.symbol);
    let standing = standing.map(Vec::as_slice).unwrap_or_default();
    let new = standing.iter().find(|stop| stop.client_algo_id == id);
    let executed = result.get("executed") == "True";
    let step = result.last_step();
    let number = step["order_id"].as_str().unwrap_or_default();
    match new {
        Some(stop) if executed && stop.algo_id.to_string() == number => {}
        None if !executed => {}
        _ => wrong.push(format!(
            "plan {plan}: executed={executed} with stop {number:?}, and what stands is {standing:?}"
        )),
    }
    let old = standing.iter().any(|stop| stop.client_algo_id != id);
    let spoken = step["details"]
        .as_str()
        .is_some_and(|details| details.contains("still there"));
    if !executed && !old {
        wrong.push(format!(
            "plan {plan} moved no stop, and the old one is gone"
        ));
    }
    if executed && old && !spoken && !facts.killed {
        wrong.push(format!(
            "plan {plan} left an old stop in place and does not say so"
        ));
    }
}

/// A parameter as it was sent.
pub(crate) fn parameter(order: &OrderRecord, name: &str) -> Option<String> {
    let mut pairs = order
        .params
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}
