//! Plans that move a stop: what goes wrong with them, how that is played, and how it is judged.

use super::{
    case::{Scenario, unknown},
    dice::Dice,
    judge::Facts,
    neighbours::Seat,
    play::{died_or_idle, restart, venue as venue_breaks},
    script::{PlanScript, Word},
    world::{ABORTED, PATIENCE, World},
};
use exchange_client::{ClientAlgoId, StopIntent, StopReplacement};
use exchange_sim::{Canned, Delivery, Fault, FaultId, Instead, OpenStop, OrderRecord, Veil, When};
use rust_decimal::Decimal;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const STOPS: &str = "/fapi/v1/algoOrder";

/// What goes wrong while stops are moved.
#[derive(Debug, Clone)]
pub(crate) enum Moving {
    /// Nothing.
    Calm,
    /// The process dies at a named step.
    DiesAt(&'static str),
    /// The venue does as it is asked and does not answer this request of the move, and the process is
    /// killed while it waits.
    KilledAt { request: Request, after: Duration },
    /// The venue does something else than to do as it is asked and say so.
    Venue {
        label: &'static str,
        /// What exactly, for the count of what was reached.
        variant: String,
        faults: Vec<Fault>,
        /// Whether the new stop stands in the end.
        places: bool,
    },
}

/// The requests of a move, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Post,
    Look,
    Cancel,
}

impl Request {
    fn when(self) -> When {
        match self {
            Self::Post => When::algo_order(),
            Self::Look => When::request("GET", STOPS),
            Self::Cancel => When::request("DELETE", STOPS),
        }
    }
}

impl Moving {
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Calm => "stop moved, nothing happens",
            Self::DiesAt(_) => "stop moved, killed at a step",
            Self::KilledAt { .. } => "stop moved, kill -9 while the venue is silent",
            Self::Venue { label, .. } => label,
        }
    }

    /// Whether the process may be gone before it has taken the old stop away.
    fn kills(&self) -> bool {
        matches!(self, Self::DiesAt(_) | Self::KilledAt { .. })
    }
}

/// Its rows of the matrix.
pub(crate) const ROWS: [fn(&mut Dice) -> Scenario; 8] = [
    |_| moved(Moving::Calm),
    |dice| {
        moved(Moving::DiesAt(dice.pick(&[
            "after_intent",
            "after_take",
            "before_post",
            "after_post",
            "after_outcome",
        ])))
    },
    |dice| {
        moved(Moving::KilledAt {
            request: dice.pick(&[Request::Post, Request::Look, Request::Cancel]),
            after: dice.millis(0..=300),
        })
    },
    reply_lost,
    answers_5xx,
    not_placed,
    later,
    questions_fail,
];

fn moved(how: Moving) -> Scenario {
    Scenario::StopMoved { how }
}

fn venue(label: &'static str, variant: String, faults: Vec<Fault>, places: bool) -> Scenario {
    moved(Moving::Venue {
        label,
        variant,
        faults,
        places,
    })
}

fn reply_lost(dice: &mut Dice) -> Scenario {
    // A hang is waited out for seconds.
    let (name, delivery) = match dice.within(1..=10) {
        1 => ("hang", Delivery::Hang),
        2..=4 => ("reset", Delivery::Reset),
        5..=7 => ("close", Delivery::Close),
        8 => ("cut", Delivery::Cut),
        _ => ("200 garbage", Delivery::Reply(Canned::garbage_200())),
    };
    venue(
        "stop placed, reply lost or broken",
        format!("stop placed, {name}"),
        vec![Fault::executed(When::algo_order(), delivery)],
        true,
    )
}

fn answers_5xx(dice: &mut Dice) -> Scenario {
    let (name, canned) = unknown(dice);
    venue(
        "stop placed, answers 5xx or unknown",
        format!("stop placed, {name}"),
        vec![Fault::reply(When::algo_order(), true, canned)],
        true,
    )
}

fn not_placed(dice: &mut Dice) -> Scenario {
    let (name, fault) = match dice.within(1..=4) {
        1 => (
            "reset",
            Fault::not_executed(When::algo_order(), Instead::Reset),
        ),
        2 => (
            "close",
            Fault::not_executed(When::algo_order(), Instead::Close),
        ),
        3 => (
            "-2021",
            Fault::reply(
                When::algo_order(),
                false,
                Canned::error(400, -2021, "Order would immediately trigger."),
            ),
        ),
        _ => {
            let (name, canned) = unknown(dice);
            (name, Fault::reply(When::algo_order(), false, canned))
        }
    };
    venue(
        "stop not placed, no answer or 4xx, 5xx",
        format!("stop not placed, {name}"),
        vec![fault],
        false,
    )
}

/// Never beyond the time from which on it can no longer land: a stop moves nothing else that could be
/// looked at.
fn later(dice: &mut Dice) -> Scenario {
    let label = "stop visible or acted on after seconds";
    match dice.once_in(2) {
        true => {
            let hidden = Veil::time(dice.millis(300..=2000));
            let fault = Fault::executed(When::algo_order(), Delivery::Reset).hide_order(hidden);
            venue(label, "stop hidden".into(), vec![fault], true)
        }
        false => {
            let after = dice.millis(50..=1800);
            let fault = Fault::late(
                When::algo_order(),
                after,
                Instead::Reply(Canned::unknown_503()),
            );
            venue(label, "stop acted on later".into(), vec![fault], false)
        }
    }
}

/// The new stop stands, and either the questions about it or the old one's cancellation fail.
fn questions_fail(dice: &mut Dice) -> Scenario {
    let times = u32::try_from(dice.within(1..=7)).unwrap_or(1);
    let request = dice.pick(&[Request::Look, Request::Cancel]);
    let (name, fault) = match dice.once_in(2) {
        true => ("reset", Fault::not_executed(request.when(), Instead::Reset)),
        false => (
            "502",
            Fault::reply(request.when(), false, Canned::gateway_html(502)),
        ),
    };
    venue(
        "stop placed, questions or cancels fail",
        format!("{request:?} of a stop fails, {name}"),
        vec![fault.times(times)],
        true,
    )
}

/// Plays it, from old stops in place to every plan's result.
pub(crate) async fn play(world: &mut World, how: Moving) {
    guard(world).await;
    match how {
        Moving::Calm => {
            world.all_ready().await;
            world.propose(0).await;
            world.concluded().await;
            world.reach("stops moved");
        }
        Moving::DiesAt(point) => {
            world.machine().start(&[("APPLY_FAULT_AT", point)]);
            world.machine().ready().await;
            world.propose(0).await;
            let ended = died_or_idle(world).await;
            if ended.is_some_and(|ended| ended.signal == Some(ABORTED)) {
                world.reach(format!("moving a stop, killed {point}"));
            }
            restart(world).await;
        }
        Moving::KilledAt { request, after } => {
            let fault = Fault::executed(request.when(), Delivery::Hang);
            let silent = world.stage.venue().script(fault);
            world.all_ready().await;
            world.propose(0).await;
            if hit_or_idle(world, silent).await {
                sleep(after).await;
                world.reach(format!("killed, {request:?} of a stop unanswered"));
            }
            restart(world).await;
        }
        Moving::Venue {
            variant, faults, ..
        } => {
            venue_breaks(world, &variant, faults).await;
        }
    }
}

/// Whether a fault is met before every plan has its result.
async fn hit_or_idle(world: &World, fault: FaultId) -> bool {
    const LOOK: Duration = Duration::from_millis(20);
    let until = Instant::now() + PATIENCE;
    let ids = world.ids();
    while Instant::now() < until {
        if world.stage.venue().fault_hits(fault) > 0 {
            return true;
        }
        let told = |id: &String| {
            let seen = world.neighbours.seen();
            seen.results.iter().any(|r| r.get("plan_id") == *id)
        };
        if ids.iter().all(told) {
            return false;
        }
        sleep(LOOK).await;
    }
    false
}

/// Puts a stop under each plan's position, as the last plan left it there.
async fn guard(world: &World) {
    let client = world.stage.client().await;
    let mode = client.fetch_position_mode().await;
    let mode = mode.unwrap_or_else(|error| panic!("no position mode: {error}"));
    for (n, plan) in world.case.plans.iter().enumerate() {
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
    pub(crate) fn of(world: &World) -> Self {
        let venue = world.stage.venue();
        assert_eq!(venue.stops_dropped(), 0, "the log is complete");
        let symbols = world.case.plans.iter().map(|plan| plan.symbol);
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
pub(crate) fn judge(
    how: &Moving,
    facts: &Facts,
    script: &PlanScript,
    plan: &str,
    wrong: &mut Vec<String>,
) {
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
        if parameter(stop, "reduceOnly").as_deref() != Some("true")
            || parameter(stop, "type").as_deref() != Some("STOP_MARKET")
            || stop.symbol.as_deref() != Some(script.symbol)
        {
            wrong.push(format!("plan {plan} sent something else: {}", stop.params));
        }
    }
    let Some(result) = facts.results_of(plan).next() else {
        return; // told elsewhere
    };
    let id = format!("apply-{plan}");
    let standing = guards.standing.get(script.symbol);
    let standing = standing.map(Vec::as_slice).unwrap_or_default();
    let new = standing.iter().find(|stop| stop.client_algo_id == id);
    let told = result.get("executed") == "True";
    let step = result.last_step();
    let number = step["order_id"].as_str().unwrap_or_default();
    match new {
        Some(stop) if told && stop.algo_id.to_string() == number => {}
        None if !told => {}
        _ => wrong.push(format!(
            "plan {plan}: executed={told} with stop {number:?}, and what stands is {standing:?}"
        )),
    }
    let old = standing.iter().any(|stop| stop.client_algo_id != id);
    let spoken = step["details"]
        .as_str()
        .is_some_and(|details| details.contains("still there"));
    if !told && !old {
        wrong.push(format!(
            "plan {plan} moved no stop, and the old one is gone"
        ));
    }
    if told && old && !spoken && !how.kills() {
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
