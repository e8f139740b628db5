//! Two machines beside each other, one Redis that forgets nothing.

use super::{Expect, Row, process::at_point};
use crate::{
    rng::Rng,
    scenarios,
    scene::{
        PATIENT, Scene,
        Step::{
            self, Arrived, Claimed, Concluded, Dies, Do, Kill, Propose, Reach, Ready, Signal,
            Sleep, Start, Venue,
        },
    },
    table::POINTS,
};
use exchange_sim::{Delivery, Fault, When};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "two machines",
        fault: "both follow the same symbols",
        moment: "–",
        expects: Expect::Order,
        scene: |rng| {
            let steps = vec![Ready, Propose(0), Reach("two machines".into())];
            let mut scene = half_of_them_come_back(rng, steps);
            scene.wait = PATIENT;
            scene
        },
    },
    Row {
        name: "two machines, one dies at a step",
        fault: "the process dies that claimed the plan",
        moment: "any step of the plan",
        expects: Expect::Truth,
        scene: |rng| {
            let point = rng.pick(&POINTS);
            let steps = vec![
                Start(0, at_point(point)),
                Propose(0),
                // The one that is to die has claimed before the other one comes.
                Do("something is claimed", scenarios::any_claimed),
                Start(1, Vec::new()),
                Dies(0, point),
            ];
            half_of_them_come_back(rng, steps)
        },
    },
    Row {
        name: "two machines, kill -9 of one",
        fault: "one of them is killed",
        moment: "within half a second after the proposals",
        expects: Expect::Truth,
        scene: |rng| {
            let after = rng.millis(0..=500);
            let steps = vec![Ready, Propose(0), Sleep(after), Kill(0)];
            half_of_them_come_back(rng, steps)
        },
    },
    Row {
        name: "two machines, one paused",
        fault: "one is stopped for longer than its lease, and goes on",
        moment: "the plans are claimed",
        expects: Expect::Truth,
        scene: |rng| {
            let steps = vec![
                Ready,
                Propose(0),
                Claimed,
                Signal(0, "STOP"),
                Sleep(rng.millis(2000..=3500)),
                Signal(0, "CONT"),
                Reach("one of two paused".into()),
            ];
            half_of_them_come_back(rng, steps)
        },
    },
    Row {
        name: "shard changed over a crash",
        fault: "the process dies, and its state directory is started with another APPLY_SHARD",
        moment: "any step of the plan",
        expects: Expect::Truth,
        scene: |rng| {
            let point = rng.pick(&POINTS);
            let mut first = at_point(point);
            first.push(("APPLY_SHARD", "1/2".into()));
            let mut other = at_point(point);
            other.push(("APPLY_SHARD", "2/2".into()));
            Scene::of(vec![
                Start(0, first),
                Start(1, other),
                Propose(0),
                Dies(0, point),
                Dies(1, point),
                Kill(0),
                Kill(1),
                Start(0, vec![("APPLY_SHARD", "2/2".into())]),
                Start(1, vec![("APPLY_SHARD", "1/2".into())]),
                Concluded,
            ])
            .two()
            .short()
        },
    },
    Row {
        name: "the note alone lost",
        fault: "Redis has the claim without the note of the intent, and the owner is killed; another machine takes over",
        moment: "the order is executed and not answered",
        expects: Expect::Truth,
        scene: |_| {
            Scene::of(vec![
                Venue(vec![
                    // Time enough to see the claim as it is before its note.
                    Fault::executed(
                        When::request("GET", "/fapi/v3/positionRisk"),
                        Delivery::Whole,
                    )
                    .delay_before(std::time::Duration::from_millis(250)),
                    Fault::executed(When::order(), Delivery::Hang),
                ]),
                Start(0, Vec::new()),
                Propose(0),
                Claimed,
                Do(
                    "the open plans are remembered",
                    scenarios::remember_open_plans,
                ),
                Arrived(1),
                Start(1, Vec::new()),
                Do("their notes are lost", scenarios::forget_notes),
                Kill(0),
                Concluded,
                Step::ReachIfHit("the note alone lost".into()),
            ])
            .one_plan()
            .two()
            .short()
            .sure()
        },
    },
];

/// Half of those that died are gone for good: the other one has to do it all.
fn half_of_them_come_back(rng: &mut Rng, mut steps: Vec<Step>) -> Scene {
    if rng.once_in(2) {
        steps.push(Do("who died comes back", scenarios::restart_the_dead));
    }
    steps.push(Concluded);
    Scene::of(steps).two().short()
}
