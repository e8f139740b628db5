//! What really happened, and whether it may have. The judge hears the venue's order log, the result
//! stream and what lies in Redis; never the service.

use super::{
    case::{Case, Scenario},
    neighbours::{Seat, Written},
    script::{PlanScript, Word},
    stops::{self, Guards, parameter},
    world::World,
};
use crate::entry::Entry;
use exchange_sim::OrderRecord;
use rust_decimal::Decimal;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What is left in the end.
pub(crate) struct Facts {
    /// Every order that arrived at the venue.
    orders: Vec<OrderRecord>,
    claimed: Vec<String>,
    /// Every result that ever stood on the stream.
    results: Vec<Entry>,
    written: Vec<Written>,
    /// How many permits of each plan still lie in Redis.
    permits_left: BTreeMap<String, usize>,
    /// Whether the machine kept up, so that nothing was late that should not have been.
    kept_up: bool,
    /// How much each symbol's position has shrunk, in base units.
    moved: BTreeMap<&'static str, Decimal>,
    /// What the venue knows of stops.
    pub(crate) guards: Guards,
}

/// What each position was before anything happened: see [`crate::Stage`].
const HELD: [(&str, i64, u32); 3] = [
    ("BTCUSDT", 124, 1),
    ("ETHUSDT", 124, 0),
    ("SOLUSDT", 1240, 0),
];

/// A permit lasts for 60 seconds: after so long its absence says nothing.
const STILL_THERE: Duration = Duration::from_secs(50);

impl Facts {
    /// Gathers them once everything has ended.
    pub(crate) async fn of(world: &World) -> Self {
        let mut facts = {
            let seen = world.neighbours.seen();
            Self {
                orders: world.stage.orders(),
                claimed: seen.claimed.iter().cloned().collect(),
                results: seen.results.clone(),
                written: seen.written.clone(),
                permits_left: BTreeMap::new(),
                kept_up: world.kept_up(),
                moved: BTreeMap::new(),
                guards: Guards::of(world),
            }
        };
        for plan in facts.claimed.clone() {
            let [one, other] = Seat::BOTH.map(|seat| seat.key(&plan));
            let left: i64 = world.neighbours.ask(&["EXISTS", &one, &other]).await;
            let left = usize::try_from(left).unwrap_or(0);
            facts.permits_left.insert(plan, left);
        }
        for (symbol, held, scale) in HELD {
            let moved = Decimal::new(held, scale) - world.stage.venue().position(symbol);
            facts.moved.insert(symbol, moved);
        }
        facts
    }

    /// How many results were told.
    pub(crate) fn results(&self) -> usize {
        self.results.len()
    }

    /// The plans that were claimed.
    pub(crate) fn claimed(&self) -> &[String] {
        &self.claimed
    }

    /// How many orders and stops of plans arrived at the venue.
    pub(crate) fn orders(&self) -> u64 {
        let plans = self.claimed.iter();
        let stops: usize = plans.map(|plan| self.guards.of_plan(plan).len()).sum();
        u64::try_from(self.orders.len() + stops).unwrap_or(u64::MAX)
    }

    /// Whether a reviewer's word was written before something arrived at the venue.
    pub(crate) fn said_before(&self, plan: &str, seat: Seat, word: Word, at: Instant) -> bool {
        self.written.iter().any(|written| {
            written.plan == plan && (written.seat, written.word) == (seat, word) && written.at <= at
        })
    }

    /// How each plan ended, in a word or two.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.claimed
            .iter()
            .map(|plan| match self.results_of(plan).next() {
                None => "no result".to_owned(),
                Some(result) if result.get("executed") == "True" => "executed".to_owned(),
                Some(result) => {
                    let error = result.get("error");
                    error.split(':').next().unwrap_or(error).to_owned()
                }
            })
            .collect()
    }

    /// Of these plans those without an order, by what was told of them.
    pub(crate) fn without_an_order(&self, plans: &[String]) -> BTreeMap<String, u64> {
        let mut told = BTreeMap::new();
        for plan in plans.iter().filter(|plan| self.orders_of(plan).is_empty()) {
            let error = self
                .results_of(plan)
                .next()
                .map(|result| result.get("error"));
            *told
                .entry(error.unwrap_or("nothing").to_owned())
                .or_default() += 1;
        }
        told
    }

    pub(crate) fn results_of<'a>(&'a self, plan: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.results
            .iter()
            .filter(move |result| result.get("plan_id") == plan)
    }

    /// Whether an order of a plan arrived.
    pub(crate) fn has_an_order(&self, plan: &str) -> bool {
        !self.orders_of(plan).is_empty()
    }

    fn orders_of(&self, plan: &str) -> Vec<&OrderRecord> {
        let id = format!("apply-{plan}");
        let named = |order: &&OrderRecord| order.client_order_id.as_deref() == Some(&id);
        self.orders.iter().filter(named).collect()
    }
}

/// Everything that should not have been, each in a sentence.
pub(crate) fn judge(case: &Case, facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for order in &facts.orders {
        let of_a_plan =
            |plan: &String| order.client_order_id.as_deref() == Some(&format!("apply-{plan}"));
        if !facts.claimed.iter().any(of_a_plan) {
            wrong.push(format!("an order of no claimed plan: {}", order.params));
        }
    }
    if facts.guards.failed() {
        wrong.push("a position was left without any stop".into());
    }
    for stop in &facts.guards.arrived {
        let id = stop.client_order_id.as_deref().unwrap_or_default();
        let of_a_plan = |plan: &String| id == format!("apply-{plan}");
        if !stops::was_there_before(id) && !facts.claimed.iter().any(of_a_plan) {
            wrong.push(format!("a stop of no claimed plan: {}", stop.params));
        }
    }
    for (symbol, moved) in &facts.moved {
        let of_it = |order: &&OrderRecord| order.symbol.as_deref() == Some(symbol);
        let orders = facts.orders.iter().filter(of_it);
        let filled: Decimal = orders.map(|order| order.executed_qty).sum();
        if filled != *moved {
            wrong.push(format!(
                "{symbol}: {filled} filled, and the position moved by {moved}"
            ));
        }
    }
    for plan in &facts.claimed {
        match case.plans.iter().find(|script| script.id() == *plan) {
            None => wrong.push(format!("plan {plan} was claimed and never proposed")),
            Some(script) => {
                orders(facts, plan, script, &mut wrong);
                results(case, facts, plan, &mut wrong);
                let placed = match &case.scenario {
                    Scenario::StopMoved { how } => {
                        stops::judge(how, facts, script, plan, &mut wrong);
                        facts.guards.of_plan(plan).len()
                    }
                    _ => {
                        agreement(facts, plan, &mut wrong);
                        facts.orders_of(plan).len()
                    }
                };
                permits(case, facts, plan, &mut wrong);
                if facts.kept_up && case.has_to_execute() && placed == 0 {
                    wrong.push(format!("plan {plan} was approved in time and has no order"));
                }
            }
        }
    }
    wrong
}

/// One order a plan at most, and none that the permits do not allow.
fn orders(facts: &Facts, plan: &str, script: &PlanScript, wrong: &mut Vec<String>) {
    let orders = facts.orders_of(plan);
    if orders.len() > 1 {
        wrong.push(format!("plan {plan} has {} orders", orders.len()));
    }
    for order in orders {
        for seat in Seat::BOTH {
            if !facts.said_before(plan, seat, Word::Yes, order.at) {
                wrong.push(format!(
                    "plan {plan} has an order without the {seat:?}'s yes"
                ));
            }
        }
        let quantity = parameter(order, "quantity").and_then(|text| text.parse::<Decimal>().ok());
        if quantity.is_none_or(|quantity| quantity > script.quantity) {
            wrong.push(format!(
                "plan {plan}: {quantity:?} was ordered, {} allowed",
                script.quantity
            ));
        }
        if parameter(order, "reduceOnly").as_deref() != Some("true") {
            wrong.push(format!("plan {plan} has an order that is not reduce-only"));
        }
        if order.symbol.as_deref() != Some(script.symbol) {
            wrong.push(format!("plan {plan} has an order of another symbol"));
        }
    }
}

/// Exactly one final result, and one that says something.
fn results(case: &Case, facts: &Facts, plan: &str, wrong: &mut Vec<String>) {
    let all: Vec<&Entry> = facts.results_of(plan).collect();
    let Some(first) = all.first() else {
        return wrong.push(format!("plan {plan} has no result"));
    };
    // What Redis forgot is told again, and in the same words.
    if all.len() > 1 && !case.scenario.loses_state() {
        wrong.push(format!("plan {plan} has {} results", all.len()));
    }
    let same = |other: &Entry| match case.scenario.is_retold_by_another() {
        true => ["executed", "steps_results"]
            .iter()
            .all(|field| other.get(field) == first.get(field)),
        false => other.fields == first.fields,
    };
    if let Some(other) = all.iter().find(|other| !same(other)) {
        wrong.push(format!(
            "plan {plan} has two different results: {:?} and {:?}",
            first.fields, other.fields
        ));
    }
    if first.get("error").ends_with("_unresolved") {
        wrong.push(format!(
            "plan {plan} is unresolved, and the venue could be asked"
        ));
    }
}

/// The result says what the venue's log says.
fn agreement(facts: &Facts, plan: &str, wrong: &mut Vec<String>) {
    let Some(result) = facts.results_of(plan).next() else {
        return;
    };
    let orders = facts.orders_of(plan);
    let filled: Decimal = orders.iter().map(|order| order.executed_qty).sum();
    let told = match result.get("executed") {
        "True" => {
            let step = result.last_step();
            let text = |field: &str| step[field].as_str().unwrap_or_default().to_owned();
            let known = |order: &&OrderRecord| {
                order
                    .order_id
                    .is_some_and(|id| id.to_string() == text("order_id"))
            };
            if !orders.iter().any(known) {
                wrong.push(format!(
                    "plan {plan}: the venue has no order {}",
                    text("order_id")
                ));
            }
            text("executed_qty").parse().unwrap_or(Decimal::MIN)
        }
        _ => Decimal::ZERO,
    };
    if told != filled {
        wrong.push(format!(
            "plan {plan}: told {told}, the order log says {filled}"
        ));
    }
}

/// Permits are taken together or not at all.
fn permits(case: &Case, facts: &Facts, plan: &str, wrong: &mut Vec<String>) {
    let of_it: Vec<&Written> = facts.written.iter().filter(|w| w.plan == *plan).collect();
    let too_old = of_it
        .iter()
        .any(|written| written.at.elapsed() > STILL_THERE);
    // Permits that Redis lost were not taken, and some were written again.
    if case.scenario.loses_state() || too_old {
        return;
    }
    let left = facts.permits_left.get(plan).copied().unwrap_or(0);
    let taken = of_it.len().saturating_sub(left);
    if taken != 0 && (taken != 2 || left != 0) {
        wrong.push(format!(
            "{taken} of plan {plan}'s permits were taken, {left} left"
        ));
    }
}
