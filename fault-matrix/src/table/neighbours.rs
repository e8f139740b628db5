//! Neighbours that misbehave as the real ones do, while the service dies and comes back.

use super::{Expect, Row, process::at_point};
use crate::{
    neighbours as other,
    rng::Rng,
    scenarios,
    scene::{
        Scene,
        Step::{
            Claimed, Concluded, Dies, Do, Kill, Propose, ProposeHold, ProposeNext, Reach,
            ReachIfPublished, Ready, Release, Restart, Start,
        },
    },
    table::POINTS,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "brain books again and again",
        fault: "a position brain books the newest executed result at each poll; the process may die",
        moment: "none, the result's steps, or the result is booked",
        expects: Expect::Truth,
        scene: books_again,
    },
    Row {
        name: "governor disarms",
        fault: "a governor writes its disarm, whose key may end; the process may be killed, the brain says something new",
        moment: "in the wait",
        expects: Expect::NoOrder,
        scene: disarms,
    },
    Row {
        name: "heat gate calibrates",
        fault: "a heat gate makes less of a full close, then HOLD; the process dies, the brain allows the whole position",
        moment: "any step of the plan",
        expects: Expect::Truth,
        scene: calibrates,
    },
    Row {
        name: "second executor answers",
        fault: "another program answers every plan on the stream of results; the process dies",
        moment: "any step of the plan",
        expects: Expect::Truth,
        scene: |rng| {
            let point = rng.pick(&POINTS);
            Scene::of(vec![
                Do("another executor reads plans", other::second_executor),
                Start(0, at_point(point)),
                Propose(0),
                Dies(0, point),
                Restart(0),
                Concluded,
                Do(
                    "the other answered and placed nothing",
                    other::only_answered,
                ),
            ])
            .short()
        },
    },
    Row {
        name: "reconcile engine asks for closes",
        fault: "closes without a plan are asked for and symbols held; the process is killed and comes back",
        moment: "in the wait, and again after the result",
        expects: Expect::Order,
        scene: |_| {
            let asks = || Do("closes are asked for", other::reconcile_asks);
            Scene::of(vec![
                Ready,
                Propose(0),
                Claimed,
                asks(),
                Release,
                Concluded,
                asks(),
                Restart(0),
                Reach("asked for another close".into()),
            ])
            .held()
        },
    },
];

/// The steps of a plan from its result on: what dies there has been seen by the brain.
const OF_THE_RESULT: [&str; 3] = ["after_outcome", "after_publish", "after_published_mark"];

fn books_again(rng: &mut Rng) -> Scene {
    let mut steps = vec![Do("a brain books", other::rebooking_brain)];
    match rng.within(0..=2) {
        0 => steps.extend([Ready, Propose(0), Concluded]),
        1 => {
            let point = rng.pick(&OF_THE_RESULT);
            steps.extend([Start(0, at_point(point)), Propose(0), Dies(0, point)]);
            steps.extend([Restart(0), Concluded]);
        }
        _ => {
            steps.extend([Ready, Propose(0)]);
            steps.push(Do("a result is booked", other::something_is_booked));
            steps.extend([Kill(0), Restart(0), Concluded]);
        }
    }
    steps.push(Do("booked results leave its sight", other::out_of_sight));
    Scene::of(steps).sure()
}

fn disarms(rng: &mut Rng) -> Scene {
    let mut steps = vec![
        Do("a governor reads plans", other::disarming_governor),
        Ready,
        Propose(0),
        // It does at the first plan; the others may never be claimed.
        Do("it has disarmed", other::disarmed),
    ];
    if rng.once_in(2) {
        steps.push(Do("the disarm's key ends", other::disarm_ends));
    }
    // The permits come only now.
    steps.extend([Release, Concluded]);
    if rng.once_in(2) {
        steps.push(Restart(0));
    }
    steps.extend([
        ProposeNext,
        Concluded,
        ReachIfPublished("kill_switch_active", "disarmed"),
    ]);
    Scene::of(steps).held()
}

fn calibrates(rng: &mut Rng) -> Scene {
    let point = rng.pick(&POINTS);
    Scene::of(vec![
        Start(0, at_point(point)),
        Propose(0),
        Dies(0, point),
        ProposeHold,
        Restart(0),
        Do(
            "what is claimed has results",
            scenarios::claimed_have_results,
        ),
    ])
    .calibrated()
    .short()
}
