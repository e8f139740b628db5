//! The venue does something else than to execute and say so.

use super::{Expect, Row};
use crate::{
    rng::Rng,
    scenarios,
    scene::{
        Scene,
        Step::{Concluded, Do, Propose, ReachIfHit, Ready, Venue},
    },
};
use exchange_sim::{Action, Canned, Delivery, Fault, Fill, HiddenFor, Instead, When};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "venue executes, reply lost",
        fault: "the order is executed and not answered",
        moment: "the order",
        expects: Expect::Order,
        scene: loses_the_reply,
    },
    Row {
        name: "venue executes, reply broken",
        fault: "the answer is cut, in pieces or no answer at all",
        moment: "the order",
        expects: Expect::Order,
        scene: breaks_the_reply,
    },
    Row {
        name: "venue executes, answers 5xx or unknown",
        fault: "every answer that leaves the outcome open",
        moment: "the order",
        expects: Expect::Order,
        scene: answers_5xx,
    },
    Row {
        name: "venue executes, contradicts itself",
        fault: "the answer has another quantity, side, type, symbol or id than was sent",
        moment: "the order",
        expects: Expect::Order,
        scene: contradicts,
    },
    Row {
        name: "venue does not execute, answers 4xx, 5xx",
        fault: "the order is refused, clearly or not",
        moment: "the order",
        expects: Expect::Truth,
        scene: refuses,
    },
    Row {
        name: "venue does not execute, no answer",
        fault: "the order is dropped",
        moment: "the order",
        expects: Expect::Truth,
        scene: drops,
    },
    Row {
        name: "order visible after seconds",
        fault: "questions do not see the order that was executed",
        moment: "up to 4 s after the order",
        expects: Expect::Order,
        scene: visible_later,
    },
    Row {
        name: "order acted on after the answer",
        fault: "the order lands after its answer, near the end of its window or beyond",
        moment: "up to 1.9 s after the order",
        expects: Expect::Truth,
        scene: acted_on_later,
    },
    Row {
        name: "order fills in part",
        fault: "a part fills, or nothing",
        moment: "the order",
        expects: Expect::Truth,
        scene: fills_in_part,
    },
    Row {
        name: "reply lost, questions fail",
        fault: "the reply is lost, and the first questions fail",
        moment: "after the order",
        expects: Expect::Order,
        scene: silent_about_it,
    },
    Row {
        name: "venue cannot be asked before the order",
        fault: "the position or the order's id cannot be asked for",
        moment: "in the wait",
        expects: Expect::Truth,
        scene: away_before_it,
    },
];

fn venue(variant: String, faults: Vec<Fault>) -> Scene {
    Scene::of(vec![
        Ready,
        Venue(faults),
        Propose(0),
        Concluded,
        ReachIfHit(variant),
    ])
    .one_plan()
    .sure()
}

fn loses_the_reply(rng: &mut Rng) -> Scene {
    // A hang is waited out for seconds.
    let (name, delivery) = match rng.within(1..=10) {
        1 => ("hang", Delivery::Hang),
        n if n % 2 == 0 => ("reset", Delivery::Reset),
        _ => ("close", Delivery::Close),
    };
    venue(
        format!("executed, {name}"),
        vec![Fault::executed(When::order(), delivery)],
    )
}

fn breaks_the_reply(rng: &mut Rng) -> Scene {
    let reply = |canned| Delivery::Reply(canned);
    let (name, delivery) = rng.pick(&[
        ("cut", Delivery::Cut),
        (
            "in pieces",
            Delivery::Slow {
                piece: 40,
                pause_ms: 3,
            },
        ),
        ("200 garbage", reply(Canned::garbage_200())),
        ("200 empty", reply(Canned::raw(200, ""))),
        ("200 {}", reply(Canned::raw(200, "{}"))),
        ("200 html", reply(Canned::gateway_html(200))),
    ]);
    venue(
        format!("executed, {name}"),
        vec![Fault::executed(When::order(), delivery)],
    )
}

/// Replies that leave open whether the order was executed.
pub(super) fn unknown(rng: &mut Rng) -> (&'static str, Canned) {
    rng.pick(&[
        ("503 unknown", Canned::unknown_503()),
        ("503 other words", Canned::error(503, -1000, "Try again.")),
        ("503 empty", Canned::raw(503, "")),
        ("500 empty", Canned::raw(500, "")),
        ("500 html", Canned::gateway_html(500)),
        ("502 html", Canned::gateway_html(502)),
        ("503 html", Canned::gateway_html(503)),
        ("504 html", Canned::gateway_html(504)),
        ("520 empty", Canned::raw(520, "")),
        ("408", Canned::request_timeout_408()),
        ("-1000", Canned::unknown_1000()),
        ("-1006", Canned::unexpected_response_1006()),
        ("-1007", Canned::timeout_1007()),
    ])
}

fn answers_5xx(rng: &mut Rng) -> Scene {
    let (name, canned) = unknown(rng);
    venue(
        format!("executed, {name}"),
        vec![Fault::reply(When::order(), true, canned)],
    )
}

fn refuses(rng: &mut Rng) -> Scene {
    let plain = rng.pick(&[
        ("503 unavailable", Canned::unavailable_503()),
        ("503 internal", Canned::internal_503()),
        ("503 overloaded", Canned::overloaded_503()),
        ("429", Canned::too_many_requests_429().retry_after(1)),
        ("429 orders", Canned::too_many_orders_429().retry_after(1)),
        ("-1021", Canned::outside_window_1021()),
        ("-5028", Canned::outside_window_5028()),
        ("307", Canned::redirect_307("http://127.0.0.1:1/")),
        (
            "-2022",
            Canned::error(400, -2022, "ReduceOnly Order is rejected."),
        ),
    ]);
    let (name, canned) = match rng.once_in(2) {
        true => unknown(rng),
        false => plain,
    };
    venue(
        format!("not executed, {name}"),
        vec![Fault::reply(When::order(), false, canned)],
    )
}

fn drops(rng: &mut Rng) -> Scene {
    let (name, instead) = match rng.within(1..=10) {
        1 => ("hang", Instead::Hang),
        2 | 3 => ("garbage", Instead::Reply(Canned::garbage_200())),
        n if n % 2 == 0 => ("reset", Instead::Reset),
        _ => ("close", Instead::Close),
    };
    venue(
        format!("not executed, {name}"),
        vec![Fault::not_executed(When::order(), instead)],
    )
}

/// Never all three beyond the order's window: a venue that shows neither order nor fills nor the moved
/// position is one on which it was not executed, for all that anybody could know.
fn visible_later(rng: &mut Rng) -> Scene {
    let fault = Fault::executed(When::order(), Delivery::Reset)
        .hide_order(HiddenFor::time(rng.millis(300..=4000)));
    let (hidden, fault) = match rng.within(1..=3) {
        1 => ("order", fault),
        2 => (
            "order, trades",
            fault.hide_trades(HiddenFor::time(rng.millis(300..=3500))),
        ),
        _ => (
            "order, position",
            fault.hide_position(HiddenFor::time(rng.millis(300..=3500))),
        ),
    };
    venue(format!("hidden: {hidden}"), vec![fault])
}

/// The client hears nothing, and the venue takes the order up to a second later, or not at all any
/// more: its receive window decides.
fn acted_on_later(rng: &mut Rng) -> Scene {
    let (name, instead) = match rng.once_in(2) {
        true => ("reset", Instead::Reset),
        false => ("503", Instead::Reply(Canned::unknown_503())),
    };
    venue(
        format!("late, {name}"),
        vec![Fault::late(When::order(), rng.millis(50..=1800), instead)],
    )
}

fn fills_in_part(rng: &mut Rng) -> Scene {
    let (name, fill) = match rng.within(1..=3) {
        1 => ("nothing", Fill::nothing()),
        2 => ("a part", Fill::only(rust_decimal::Decimal::new(1, 4))),
        _ => ("in pieces", Fill::in_trades(3)),
    };
    let mut fault = Fault::fill(When::order(), fill);
    if rng.once_in(2)
        && let Action::Executed { delivery, .. } = &mut fault.action
    {
        *delivery = Delivery::Reset;
    }
    venue(format!("fills {name}"), vec![fault])
}

/// The reply is lost, and the first questions about it are not answered either.
fn silent_about_it(rng: &mut Rng) -> Scene {
    let times = u32::try_from(rng.within(1..=4)).unwrap_or(1);
    let (path, name) = rng.pick(&[
        ("/fapi/v1/order", "order"),
        ("/fapi/v1/userTrades", "trades"),
    ]);
    // The first question about the order comes before it leaves.
    let question = When::request("GET", path).skip(u32::from(name == "order"));
    let dumb = match rng.within(1..=3) {
        1 => Fault::not_executed(question, Instead::Reset),
        2 => Fault::reply(question, false, Canned::gateway_html(502)),
        _ => Fault::reply(question, false, Canned::garbage_200()),
    };
    venue(
        format!("silent about the {name}"),
        vec![
            Fault::executed(When::order(), Delivery::Reset),
            dumb.times(times),
        ],
    )
}

/// What is asked before the order fails: there is none.
fn away_before_it(rng: &mut Rng) -> Scene {
    let times = u32::try_from(rng.within(1..=6)).unwrap_or(1);
    let (what, path) = rng.pick(&[
        ("position", "/fapi/v3/positionRisk"),
        ("order before", "/fapi/v1/order"),
    ]);
    let question = When::request("GET", path);
    let (name, fault) = match rng.within(1..=3) {
        1 => ("reset", Fault::not_executed(question, Instead::Reset)),
        2 => (
            "503",
            Fault::reply(question, false, Canned::gateway_html(503)),
        ),
        _ => (
            "garbage",
            Fault::reply(question, false, Canned::garbage_200()),
        ),
    };
    venue(format!("{what}, {name}"), vec![fault.times(times)])
}

/// An order that is executed whole, and an answer that says something else of it.
fn contradicts(_: &mut Rng) -> Scene {
    Scene::of(vec![
        Ready,
        Do("the answer contradicts the order", scenarios::contradict),
        Propose(0),
        Concluded,
        ReachIfHit("contradicting answer".into()),
    ])
    .one_plan()
    .sure()
}
