//! A Redis that forgets while two machines run: what the fence is for.

use super::{Expect, Row, switch::slow_orders};
use crate::faults::{
    dice::Dice,
    play,
    scene::{
        Kept, Reviews, Scene,
        Step::{
            self, Arrived, Claimed, Concluded, Do, Flush, KillRedis, Propose, Reach, Ready,
            Release, Save, Settled, Sleep, Venue,
        },
    },
};
use exchange_sim::{Delivery, Fault, When};
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[Row {
    name: "two machines, FLUSHALL",
    fault: "Redis forgets everything, the brain repeats itself",
    moment: "after the result",
    expects: Expect::Order,
    scene: |_| {
        Scene::of(vec![
            Ready,
            Propose(0),
            Claimed,
            Release,
            Concluded,
            Flush,
            Reach("two machines, everything lost".into()),
            Propose(1),
            Settled,
        ])
        .held()
        .two()
    },
}];

/// FLUSHALL, or a server that comes back with nothing.
fn forgetting(dice: &mut Dice) -> Step {
    match dice.once_in(2) {
        true => Flush,
        false => KillRedis(dice.millis(0..=300)),
    }
}

/// The store forgets between the claim and the order's landing. The order takes its time, so that the other
/// machine has all the time it needs.
fn forgets(dice: &mut Dice, reviews: Reviews, old: bool) -> Scene {
    let slow = dice.millis(700..=1200);
    let order = Fault::executed(When::order(), Delivery::Whole);
    let position = Fault::executed(
        When::request("GET", "/fapi/v3/positionRisk"),
        Delivery::Whole,
    );
    let mut steps = vec![Venue(vec![order.delay_before(slow).always()]), Ready];
    let before = dice.once_in(2);
    if old && before {
        steps.push(Save);
    }
    // Either the claim is lost while the permits are awaited, or once they are taken.
    let in_the_wait = dice.once_in(2);
    if !in_the_wait && dice.once_in(2) {
        // The position comes late: the permits are taken long before the order leaves.
        let late = position.delay_before(dice.millis(200..=400)).always();
        steps.insert(0, Venue(vec![late]));
    }
    steps.extend([Propose(0), Claimed]);
    if old && !before {
        steps.push(Save);
    }
    if !in_the_wait {
        steps.extend([Release, Do("permits are taken", play::permits_taken)]);
        steps.push(match dice.once_in(2) {
            true => Arrived(1),
            false => Sleep(dice.millis(0..=200)),
        });
    }
    steps.push(match old {
        true => KillRedis(dice.millis(0..=300)),
        false => forgetting(dice),
    });
    steps.extend([
        Reach("forgot".into()),
        Release,
        Propose(1),
        Concluded,
        Settled,
    ]);
    Scene::of(steps)
        .held()
        .two()
        .on(Kept::Snapshots)
        .reviewed(reviews)
        .waiting(Duration::from_secs(1))
}

fn burst(dice: &mut Dice, reviews: Reviews) -> Scene {
    Scene::of(vec![
        slow_orders(dice),
        Ready,
        Propose(0),
        Claimed,
        Release,
        Arrived(1),
        Sleep(dice.millis(0..=100)),
        KillRedis(Duration::from_millis(250)),
        Reach("forgot under a burst".into()),
        Propose(1),
        Concluded,
        Settled,
    ])
    .held()
    .burst()
    .two()
    .reviewed(reviews)
    .waiting(Duration::from_secs(2))
}

/// Two machines on a master and its replica.
fn split(steps: Vec<Step>) -> Scene {
    let mut scene = Scene::of(steps)
        .two()
        .sure()
        .waiting(Duration::from_secs(1));
    scene.behind_sentinels = true;
    scene
}
