//! Clocks that are off.

use super::{Expect, Row};
use crate::{
    rng::Rng,
    scenarios,
    scene::{
        Scene,
        Step::{
            Claimed, Concluded, Dies, Do, Expire, Propose, Reach, Ready, Release, Restart, Sleep,
            Start, Turn, VenueClock, WallClock,
        },
        Switch,
    },
    table::{POINTS, process::at_point},
};
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "a permit after the wait",
        fault: "a reviewer's yes, or both, comes up to 1.5 s after the end of the wait",
        moment: "after the wait",
        expects: Expect::NoOrder,
        scene: |_| {
            Scene::of(vec![
                Ready,
                Propose(0),
                Concluded,
                Do("permits are written", scenarios::permits_written),
                Sleep(Duration::from_millis(200)),
                Reach("a permit after the wait".into()),
            ])
            .too_late()
        },
    },
    Row {
        name: "venue's clock off",
        fault: "the venue's clock is up to 5 s off",
        moment: "from the start",
        expects: Expect::Order,
        scene: |rng| {
            let millis = venue_offset(rng);
            let scene = Scene::of(vec![
                VenueClock(millis),
                Ready,
                Propose(0),
                Concluded,
                Reach(format!("clock off by {millis} ms")),
            ]);
            // Beyond that the service refuses.
            if millis.abs() > 4000 {
                scene.costly()
            } else {
                scene
            }
        },
    },
    Row {
        name: "venue's clock jumps",
        fault: "the venue's clock jumps by up to 5 s",
        moment: "the service is ready",
        expects: Expect::Truth,
        scene: |rng| {
            let millis = venue_offset(rng);
            Scene::of(vec![
                Ready,
                VenueClock(millis),
                Propose(0),
                Concluded,
                Reach(format!("clock off by {millis} ms")),
            ])
        },
    },
    Row {
        name: "wall clock stepped in the wait",
        fault: "the machine's wall clock is stepped by an hour or two days, either way",
        moment: "in the wait",
        expects: Expect::Truth,
        scene: |rng| {
            Scene::of(vec![
                Ready,
                Propose(0),
                Claimed,
                WallClock(step(rng)),
                Reach("wall clock stepped".into()),
                Release,
                Concluded,
                WallClock(0),
            ])
            .held()
        },
    },
    Row {
        name: "wall clock stepped over a restart",
        fault: "the process dies, and the wall clock is stepped before it starts again",
        moment: "any step of the plan",
        expects: Expect::Truth,
        scene: |rng| {
            let point = rng.pick(&POINTS);
            Scene::of(vec![
                Start(0, at_point(point)),
                Propose(0),
                Dies(0, point),
                WallClock(step(rng)),
                Restart(0),
                Concluded,
                WallClock(0),
                Restart(0),
            ])
            .short()
        },
    },
    Row {
        name: "marks run out, restart",
        fault: "claims and marks in Redis run out as after six hours; the proposals still stand",
        moment: "after the result, before a restart",
        expects: Expect::Order,
        scene: |_| {
            Scene::of(vec![
                Ready,
                Propose(0),
                Concluded,
                Expire,
                Restart(0),
                Reach("marks ran out".into()),
                Sleep(Duration::from_millis(400)),
            ])
        },
    },
    Row {
        name: "marks run out, halt and resume",
        fault: "claims and marks in Redis run out as after six hours; the proposals still stand",
        moment: "after the result, before halt and resume",
        expects: Expect::Order,
        scene: |rng| {
            let switch = rng.pick(&[Switch::Key, Switch::File]);
            Scene::of(vec![
                Ready,
                Propose(0),
                Concluded,
                Expire,
                Turn(switch, true),
                Sleep(Duration::from_millis(400)),
                Turn(switch, false),
                Reach("marks ran out".into()),
                Sleep(Duration::from_millis(400)),
            ])
        },
    },
];

fn venue_offset(rng: &mut Rng) -> i64 {
    rng.pick(&[-5000, -4000, -2500, -1000, 1000, 2500, 4000, 5000])
}

fn step(rng: &mut Rng) -> i64 {
    rng.pick(&[-172_800, -3600, 3600, 172_800])
}
