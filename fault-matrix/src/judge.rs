//! What really happened, and whether it may have. The judge hears the venue's order log, the result
//! stream, what lies in Redis and what was done; of the service he hears only what it claims to have published.

use super::{
    case::Case,
    environment::Environment,
    fake_services::{Seat, Written, written_at},
    history::History,
    scene::Switch,
    script::{PlanScript, Word},
    stops::{self, Guards, parameter},
};
use apply_tests::Entry;
use apply_wire::Reason;
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
    /// Every publication of a plan to be executed, in milliseconds since 1970.
    published: Vec<(String, u64)>,
    /// Every result that ever stood on the stream.
    results: Vec<Entry>,
    /// Plans whose results stood on a former master alone, and are gone with it.
    lost: Vec<String>,
    written: Vec<Written>,
    /// Permits that still lie in Redis.
    left: Vec<(String, Seat)>,
    /// Whether the machine kept up, so that nothing was late that should not have been.
    kept_up: bool,
    history: History,
    /// A process ended before it had come to the end of its plans.
    pub(crate) killed: bool,
    /// What each symbol's position was in the beginning, in base units.
    held: BTreeMap<&'static str, Decimal>,
    /// How much each symbol's position has shrunk, in base units.
    moved: BTreeMap<&'static str, Decimal>,
    /// What the venue knows of stops.
    pub(crate) guards: Guards,
    /// What the service says that it has published: plan, executed, error.
    said: Vec<Said>,
}

/// A result that the service's log calls published.
struct Said {
    plan: String,
    executed: String,
    error: String,
}

/// A permit lasts for 60 seconds: after so long its absence says nothing.
const STILL_THERE: Duration = Duration::from_secs(50);

/// How far this machine's clock, the venue's and what the service knows of it may be apart, in milliseconds.
const CLOCK_ERROR: u64 = 50;

/// No order is signed later than this after a switch was turned. The file is looked at after the stamp;
/// the key in Redis was read at most so long before it.
fn longest_after(switch: Switch) -> u64 {
    CLOCK_ERROR
        + match switch {
            Switch::File => 0,
            Switch::Key => 250,
        }
}

/// How long after its wait a plan may still be granted, by the gate's grace, and how long it may then take
/// to its stamp.
const GRACE: u64 = 150;
const TO_THE_STAMP: u64 = 1000;

/// What it takes to write a result down and to publish it, on a machine that keeps up.
const TO_THE_RESULT: u64 = 400;

impl Facts {
    /// Gathers them once everything has ended.
    pub(crate) async fn of(environment: &Environment) -> Self {
        let mut facts = {
            let seen = environment.fake_services.seen();
            Self {
                orders: environment.stage.orders(),
                claimed: seen.claimed().cloned().collect(),
                published: seen.published.clone(),
                results: seen.results.clone(),
                lost: Vec::new(),
                written: seen.written.clone(),
                left: Vec::new(),
                kept_up: environment.kept_up(),
                history: environment.history.clone(),
                killed: environment.history.killed,
                held: environment.held.clone(),
                moved: BTreeMap::new(),
                guards: Guards::of(environment),
                said: environment
                    .lines()
                    .filter_map(|line| Said::read(&line))
                    .collect(),
            }
        };
        if environment.split.is_some() {
            // What the old master alone had was not read by a counted reader.
            let standing = environment.fake_services.standing().await;
            let published = |plan: &&String| standing.iter().any(|r| r.get("plan_id") == **plan);
            let claimed = facts.claimed.iter();
            facts.lost = claimed.filter(|plan| !published(plan)).cloned().collect();
            facts
                .results
                .sort_by_key(|result| standing.contains(result));
        }
        for plan in facts.claimed.clone() {
            for seat in Seat::BOTH {
                let there: i64 = environment
                    .fake_services
                    .ask(&["EXISTS", &seat.key(&plan)])
                    .await;
                if there == 1 {
                    facts.left.push((plan.clone(), seat));
                }
            }
        }
        for (symbol, held) in &environment.held {
            let moved = held - environment.stage.venue().position(symbol);
            facts.moved.insert(symbol, moved);
        }
        facts
    }

    /// How many results were published.
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
            .map(|plan| match self.last_of(plan) {
                None => "no result".to_owned(),
                Some(result) if is_executed(result) => "executed".to_owned(),
                Some(result) => {
                    let error = result.get("error");
                    error.split(':').next().unwrap_or(error).to_owned()
                }
            })
            .collect()
    }

    /// Of these plans those without an order, by what was published of them.
    pub(crate) fn without_an_order(&self, plans: &[String]) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for plan in plans.iter().filter(|plan| self.orders_of(plan).is_empty()) {
            let error = self.last_of(plan).map(|result| result.get("error"));
            *counts
                .entry(error.unwrap_or("nothing").to_owned())
                .or_default() += 1;
        }
        counts
    }

    fn results_of<'a>(&'a self, plan: &'a str) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.results
            .iter()
            .filter(move |result| result.get("plan_id") == plan)
    }

    /// The last word about a plan.
    pub(crate) fn last_of(&self, plan: &str) -> Option<&Entry> {
        self.results
            .iter()
            .rfind(|result| result.get("plan_id") == plan)
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

    /// Orders and stops of a plan.
    fn sent_for(&self, plan: &str) -> Vec<&OrderRecord> {
        let mut sent = self.orders_of(plan);
        sent.extend(self.guards.of_plan(plan));
        sent
    }
}

impl Said {
    /// `Result: executed=False, error=… plan=… symbol=… decision=…`, somewhere in a line.
    fn read(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("Result: executed=")?;
        let word = |after: &str| {
            let (_, rest) = rest.split_once(after)?;
            rest.split_whitespace().next().map(str::to_owned)
        };
        Some(Self {
            plan: word(" plan=")?,
            executed: rest.split([',', ' ']).next()?.to_owned(),
            error: word(", error=").unwrap_or_default(),
        })
    }
}

fn reason_of(result: &Entry) -> Reason {
    Reason::parse(result.get("error"))
}

fn is_executed(result: &Entry) -> bool {
    result.get("executed") == "True"
}

/// What a result says that filled: order, side and quantity.
fn filled_as(result: &Entry) -> [String; 3] {
    let step = result.last_step();
    ["order_id", "side", "executed_qty"].map(|field| step[field].to_string())
}

/// When an order was stamped, in milliseconds since 1970 by the venue's clock.
fn stamp(order: &OrderRecord) -> Option<u64> {
    parameter(order, "timestamp")?.parse().ok()
}

fn arrived(order: &OrderRecord) -> u64 {
    order.unix_ns / 1_000_000
}

/// Everything that should not have been, each in a sentence.
pub(crate) fn judge(case: &Case, facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    strangers(facts, &mut wrong);
    if facts.guards.failed() {
        wrong.push("a position was left without any stop".into());
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
    said(facts, &mut wrong);
    for plan in &facts.lost {
        wrong.push(format!(
            "plan {plan}: its result is lost with the former master"
        ));
    }
    let scripts: BTreeMap<String, &PlanScript> = case
        .plans
        .iter()
        .map(|script| (script.id(), script))
        .collect();
    for plan in &facts.claimed {
        let Some(script) = scripts.get(plan) else {
            wrong.push(format!("plan {plan} was claimed and never proposed"));
            continue;
        };
        orders(facts, plan, script, &mut wrong);
        moments(case, facts, plan, &mut wrong);
        publications(facts, plan, &mut wrong);
        results(case, facts, plan, &mut wrong);
        match case.scene.moves_stops {
            true => stops::judge(facts, script, plan, &mut wrong),
            false => agreement(facts, plan, &mut wrong),
        }
        permits(facts, plan, &mut wrong);
        let placed = facts.sent_for(plan).len();
        if facts.kept_up && case.has_to_execute(script) && placed == 0 {
            wrong.push(format!("plan {plan} was approved in time and has no order"));
        }
        if case.must_not_execute() && placed > 0 {
            wrong.push(format!("plan {plan} has an order, and none may leave"));
        }
    }
    wrong
}

/// Orders and stops that no plan accounts for.
fn strangers(facts: &Facts, wrong: &mut Vec<String>) {
    let of_a_plan = |id: &str| {
        facts
            .claimed
            .iter()
            .any(|plan| id == format!("apply-{plan}"))
    };
    for order in &facts.orders {
        if !order.client_order_id.as_deref().is_some_and(of_a_plan) {
            wrong.push(format!("an order of no claimed plan: {}", order.params));
        }
    }
    for stop in &facts.guards.arrived {
        let id = stop.client_order_id.as_deref().unwrap_or_default();
        if !stops::was_there_before(id) && !of_a_plan(id) {
            wrong.push(format!("a stop of no claimed plan: {}", stop.params));
        }
    }
}

/// What the log calls published stands on the stream, or stood there.
fn said(facts: &Facts, wrong: &mut Vec<String>) {
    for said in facts
        .said
        .iter()
        .filter(|said| facts.claimed.contains(&said.plan))
    {
        let same = |result: &&Entry| {
            result.get("executed") == said.executed
                && (said.error.is_empty() || result.get("error").starts_with(&said.error))
        };
        if !facts.results_of(&said.plan).any(|result| same(&result)) {
            wrong.push(format!(
                "plan {}: executed={} {} is logged as published and is not on the stream",
                said.plan, said.executed, said.error
            ));
        }
    }
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
        let held = facts.held.get(script.symbol).copied();
        let share = script.share() * held.unwrap_or(Decimal::MAX).abs();
        let most = script.quantity.min(share);
        if quantity.is_none_or(|quantity| quantity > most) {
            wrong.push(format!(
                "plan {plan}: {quantity:?} was ordered, {most} allowed"
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

/// Nothing is signed after a switch was turned, nor after the wait that it is the end of; and a plan whose
/// permits did not come hears of it when its wait is over.
fn moments(case: &Case, facts: &Facts, plan: &str, wrong: &mut Vec<String>) {
    let wait = u64::try_from(case.scene.wait.as_millis()).unwrap_or(u64::MAX);
    let published = || facts.published.iter().filter(|(of, _)| of == plan);
    for order in facts.sent_for(plan) {
        let Some(stamp) = stamp(order) else {
            wrong.push(format!("plan {plan} has an order without a timestamp"));
            continue;
        };
        // By this machine's clock: the venue's may be off.
        let stamp = match case.scene.is_on_a_true_venue_clock() {
            true => stamp,
            false => arrived(order),
        };
        if let Some((switch, since)) = facts.history.halted_for(stamp)
            && since > longest_after(switch)
        {
            wrong.push(format!(
                "plan {plan} has an order stamped {since} ms after the {switch:?} was turned"
            ));
        }
        let begun = published()
            .map(|(_, at)| *at)
            .filter(|at| *at <= stamp + CLOCK_ERROR);
        let late = begun.max().map(|at| stamp.saturating_sub(at));
        if late.is_none_or(|late| late > wait + GRACE + TO_THE_STAMP + CLOCK_ERROR) {
            wrong.push(format!(
                "plan {plan} has an order stamped {late:?} ms after the plan's publication, with a wait of {wait} ms"
            ));
        }
    }
    // Where Redis or the process was disturbed no plan has to be in time.
    if !facts.kept_up || facts.killed || facts.history.disturbed {
        return;
    }
    for result in facts.results_of(plan) {
        let ended = written_at(result);
        let begun = published()
            .map(|(_, at)| *at)
            .filter(|at| *at <= ended)
            .max();
        let took = begun.map_or(0, |at| ended - at);
        let waited_out = matches!(reason_of(result), Reason::PermitTimeout(_));
        if waited_out && took > wait + GRACE + TO_THE_RESULT {
            wrong.push(format!(
                "plan {plan} was blocked {took} ms after its publication, with a wait of {wait} ms"
            ));
        }
    }
}

/// A plan is put out for review once for each time that its claim can have been lost.
fn publications(facts: &Facts, plan: &str, wrong: &mut Vec<String>) {
    let times = facts.published.iter().filter(|(of, _)| of == plan).count();
    let lost = facts.history.forgot() + usize::from(facts.history.has_run_out(plan));
    if times > 1 + lost {
        wrong.push(format!(
            "plan {plan} was published {times} times, and its claim was lost {lost} times"
        ));
    }
}

/// One final result; where Redis lost it, it is published again and says the same.
fn results(case: &Case, facts: &Facts, plan: &str, wrong: &mut Vec<String>) {
    // What a switch kept from being claimed is put off: the proposal that still stands when the switch
    // ends is planned then.
    let claimed_at = facts
        .published
        .iter()
        .filter(|(of, _)| of == plan)
        .map(|(_, at)| *at)
        .min();
    let put_off = |result: &Entry| {
        result.get("error") == "kill_switch_active"
            && claimed_at.is_some_and(|at| written_at(result) < at)
    };
    let all: Vec<&Entry> = facts
        .results_of(plan)
        .filter(|result| !put_off(result))
        .collect();
    let Some(last) = all.last() else {
        return wrong.push(format!("plan {plan} has no result"));
    };
    if reason_of(last).is_unresolved() {
        wrong.push(format!(
            "plan {plan} is unresolved, and the venue could be asked"
        ));
    }
    // What an operator made free begins anew.
    if facts.history.is_freed(plan) {
        return;
    }
    if all.len() > 1 && facts.history.forgot() == 0 {
        wrong.push(format!("plan {plan} has {} results", all.len()));
    }
    // Another machine does not have the words that were lost, and may have executed since what was not.
    let alone = case.scene.machines == 1;
    for pair in all.windows(2) {
        let (one, next) = (pair[0], pair[1]);
        let same = match (is_executed(one), is_executed(next)) {
            // The same order in the same quantity; another machine may know more or less of its price.
            (true, true) => match alone {
                true => one.fields == next.fields,
                false => filled_as(one) == filled_as(next),
            },
            (true, false) => false,
            (false, _) => !alone || one.fields == next.fields,
        };
        if !same {
            wrong.push(format!(
                "plan {plan} has two different results: {:?} and {:?}",
                one.fields, next.fields
            ));
        }
    }
}

/// The results say what the venue's log says, each of them at its time.
fn agreement(facts: &Facts, plan: &str, wrong: &mut Vec<String>) {
    let Some(result) = facts.last_of(plan) else {
        return;
    };
    let orders = facts.orders_of(plan);
    let filled: Decimal = orders.iter().map(|order| order.executed_qty).sum();
    let executed = match is_executed(result) {
        true => {
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
        false => Decimal::ZERO,
    };
    if executed != filled {
        wrong.push(format!(
            "plan {plan}: published {executed}, the order log says {filled}"
        ));
    }
    let sent: Decimal = orders
        .iter()
        .filter_map(|order| parameter(order, "quantity")?.parse::<Decimal>().ok())
        .sum();
    if executed > sent {
        wrong.push(format!("plan {plan}: published {executed}, sent {sent}"));
    }
    let first = orders.iter().filter(|order| order.moved_the_position());
    let Some(first) = first.map(|order| arrived(order)).min() else {
        return;
    };
    for result in facts.results_of(plan).filter(|result| !is_executed(result)) {
        let at = written_at(result);
        if at >= first {
            wrong.push(format!(
                "plan {plan}: {} was published {} ms after an order that filled",
                result.get("error"),
                at - first
            ));
        }
    }
}

/// Permits are taken together or not at all, and those that an order came from are gone.
fn permits(facts: &Facts, plan: &str, wrong: &mut Vec<String>) {
    let of_it: Vec<&Written> = facts.written.iter().filter(|w| w.plan == *plan).collect();
    let lies = |seat: Seat| facts.left.contains(&(plan.to_owned(), seat));
    if let Some(order) = facts.sent_for(plan).first()
        && !facts.history.restored()
    {
        for seat in Seat::BOTH {
            // One that was written again may have come between the take and the order.
            let mut written = of_it.iter().filter(|written| written.seat == seat);
            let first = written.next().and_then(|written| written.done);
            let alone = written.next().is_none();
            if alone && first.is_some_and(|done| done <= order.at) && lies(seat) {
                wrong.push(format!(
                    "plan {plan} has an order, and the {seat:?}'s permit still lies there"
                ));
            }
        }
    }
    let too_old = of_it
        .iter()
        .any(|written| written.at.elapsed() > STILL_THERE);
    // Permits that Redis lost were not taken, and some were written again.
    if facts.history.forgot() > 0 || facts.history.has_run_out(plan) || too_old {
        return;
    }
    let left = Seat::BOTH.into_iter().filter(|seat| lies(*seat)).count();
    let taken = of_it.len().saturating_sub(left);
    if taken != 0 && (taken != 2 || left != 0) {
        wrong.push(format!(
            "{taken} of plan {plan}'s permits were taken, {left} left"
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_logged_as_published_is_read_from_the_contracts_line() {
        let line =
            "2026 INFO Result: executed=False, error=claim_lost plan=ab symbol=X decision=ERROR";
        let said = Said::read(line).unwrap();
        assert_eq!(
            (said.plan, said.executed, said.error),
            ("ab".into(), "False".into(), "claim_lost".into())
        );
        let line =
            "INFO Result: executed=True, profit_realized=0.1 plan=cd symbol=X decision=EXECUTE";
        let said = Said::read(line).unwrap();
        assert_eq!(
            (said.plan, said.executed, said.error),
            ("cd".into(), "True".into(), String::new())
        );
        assert!(Said::read("Plan ab published").is_none());
    }
}
