//! Plans that move a stop. A stop moves neither fills nor position: its id is all it can be asked by.

use super::{Expect, Row, process::at_point, venue::unknown};
use crate::{
    rng::Rng,
    scenarios,
    scene::{
        Scene,
        Step::{
            Concluded, Dies, Do, Propose, Reach, ReachIfHit, Ready, Restart, Sleep, Start, Venue,
        },
    },
    stops::STOPS,
};
use exchange_sim::{Canned, Delivery, Fault, HiddenFor, Instead, When};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "stop moved, nothing happens",
        fault: "none",
        moment: "–",
        expects: Expect::Order,
        scene: |_| {
            guarded(vec![
                Ready,
                Propose(0),
                Concluded,
                Reach("stops moved".into()),
            ])
        },
    },
    Row {
        name: "stop moved, killed at a step",
        fault: "the process dies",
        moment: "from the note of the intent to the result",
        expects: Expect::Truth,
        scene: |rng| {
            let point = rng.pick(&[
                "after_intent",
                "after_take",
                "before_post",
                "after_post",
                "after_outcome",
            ]);
            guarded(vec![
                Start(0, at_point(point)),
                Propose(0),
                Dies(0, point),
                Restart(0),
            ])
            .short()
        },
    },
    Row {
        name: "stop moved, kill -9 while the venue is silent",
        fault: "the process is killed, the request is executed and not answered",
        moment: "placing, look or cancellation",
        expects: Expect::Truth,
        scene: |rng| {
            let request = rng.pick(&Request::ALL);
            guarded(vec![
                Venue(vec![Fault::executed(request.when(), Delivery::Hang)]),
                Ready,
                Propose(0),
                Do("the request has arrived", scenarios::hit_or_idle),
                Sleep(rng.millis(0..=300)),
                ReachIfHit(format!("killed, {request:?} of a stop unanswered")),
                Restart(0),
            ])
            .one_plan()
            .sure()
            .short()
        },
    },
    Row {
        name: "stop placed, reply lost or broken",
        fault: "the stop is placed and not answered",
        moment: "the placing",
        expects: Expect::Order,
        scene: |rng| {
            // A hang is waited out for seconds.
            let (name, delivery) = match rng.within(1..=10) {
                1 => ("hang", Delivery::Hang),
                2..=4 => ("reset", Delivery::Reset),
                5..=7 => ("close", Delivery::Close),
                8 => ("cut", Delivery::Cut),
                _ => ("200 garbage", Delivery::Reply(Canned::garbage_200())),
            };
            let fault = Fault::executed(When::algo_order(), delivery);
            venue(format!("stop placed, {name}"), vec![fault])
        },
    },
    Row {
        name: "stop placed, answers 5xx or unknown",
        fault: "every answer that leaves the outcome open",
        moment: "the placing",
        expects: Expect::Order,
        scene: |rng| {
            let (name, canned) = unknown(rng);
            let fault = Fault::reply(When::algo_order(), true, canned);
            venue(format!("stop placed, {name}"), vec![fault])
        },
    },
    Row {
        name: "stop not placed, no answer or 4xx, 5xx",
        fault: "the stop is dropped or refused, clearly or not",
        moment: "the placing",
        expects: Expect::Truth,
        scene: not_placed,
    },
    Row {
        name: "stop visible or acted on after seconds",
        fault: "the stop is hidden, or placed after the answer",
        moment: "up to 2 s after the placing",
        expects: Expect::Truth,
        scene: later,
    },
    Row {
        name: "stop placed, questions or cancels fail",
        fault: "looks or cancellations fail up to seven times",
        moment: "after the placing",
        expects: Expect::Order,
        scene: questions_fail,
    },
];

/// The requests of a move, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Post,
    Look,
    Cancel,
}

impl Request {
    const ALL: [Self; 3] = [Self::Post, Self::Look, Self::Cancel];

    fn when(self) -> When {
        match self {
            Self::Post => When::algo_order(),
            Self::Look => When::request("GET", STOPS),
            Self::Cancel => When::request("DELETE", STOPS),
        }
    }
}

/// With old stops in place.
fn guarded(mut steps: Vec<super::super::scene::Step>) -> Scene {
    steps.insert(0, Do("old stops stand", scenarios::place_old_stops));
    Scene::of(steps).moving_stops()
}

fn venue(variant: String, faults: Vec<Fault>) -> Scene {
    guarded(vec![
        Ready,
        Venue(faults),
        Propose(0),
        Concluded,
        ReachIfHit(variant),
    ])
    .one_plan()
    .sure()
}

fn not_placed(rng: &mut Rng) -> Scene {
    let (name, fault) = match rng.within(1..=4) {
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
            let (name, canned) = unknown(rng);
            (name, Fault::reply(When::algo_order(), false, canned))
        }
    };
    venue(format!("stop not placed, {name}"), vec![fault])
}

/// Never beyond the time from which on it can no longer land: a stop moves nothing else that could be
/// looked at.
fn later(rng: &mut Rng) -> Scene {
    match rng.once_in(2) {
        true => {
            let hidden = HiddenFor::time(rng.millis(300..=2000));
            let fault = Fault::executed(When::algo_order(), Delivery::Reset).hide_order(hidden);
            venue("stop hidden".into(), vec![fault])
        }
        false => {
            let instead = Instead::Reply(Canned::unknown_503());
            let fault = Fault::late(When::algo_order(), rng.millis(50..=1800), instead);
            venue("stop acted on later".into(), vec![fault])
        }
    }
}

/// The new stop stands, and either the questions about it or the old one's cancellation fail.
fn questions_fail(rng: &mut Rng) -> Scene {
    let times = u32::try_from(rng.within(1..=7)).unwrap_or(1);
    let request = rng.pick(&[Request::Look, Request::Cancel]);
    let (name, fault) = match rng.once_in(2) {
        true => ("reset", Fault::not_executed(request.when(), Instead::Reset)),
        false => (
            "502",
            Fault::reply(request.when(), false, Canned::gateway_html(502)),
        ),
    };
    venue(
        format!("{request:?} of a stop fails, {name}"),
        vec![fault.times(times)],
    )
}
