//! A Redis that forgets while two machines run: what the fence is for.

use super::{Expect, Row, switch::slow_orders};
use crate::{
    rng::Rng,
    scenarios,
    scene::{
        Kept, Reviews, Scene,
        Step::{
            self, Arrived, Claimed, Concluded, Do, Flush, Heal, KillRedis, Propose, ProposeHold,
            Reach, Ready, Release, Restart, Save, Settled, Sleep, Split, Venue,
        },
    },
};
use exchange_sim::{Delivery, Fault, When};
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
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
    },
    Row {
        name: "forgets, two machines, one set of permits",
        fault: "FLUSHALL, or killed and back empty; the brain repeats itself",
        moment: "in the wait, or the order is under way",
        expects: Expect::Truth,
        scene: |rng| forgets(rng, Reviews::FirstOnly, false),
    },
    Row {
        name: "forgets, two machines, two sets of permits",
        fault: "the same, and the reviewers answer both publications",
        moment: "in the wait, or the order is under way",
        expects: Expect::Truth,
        scene: |rng| forgets(rng, Reviews::Each, false),
    },
    Row {
        name: "back from an old snapshot, two machines, one set of permits",
        fault: "Redis is killed and back as it was before the claim, or during the wait",
        moment: "in the wait, or the order is under way",
        expects: Expect::Truth,
        scene: |rng| forgets(rng, Reviews::FirstOnly, true),
    },
    Row {
        name: "back from an old snapshot, two machines, two sets of permits",
        fault: "the same, and the reviewers answer both publications",
        moment: "in the wait, or the order is under way",
        expects: Expect::Truth,
        scene: |rng| forgets(rng, Reviews::Each, true),
    },
    Row {
        name: "forgets, stops moved by two machines",
        fault: "FLUSHALL, or killed and back empty; one set of permits",
        moment: "the stop is under way",
        expects: Expect::Truth,
        scene: |rng| {
            let slow = rng.millis(600..=1200);
            let mut steps = vec![
                Do("old stops stand", scenarios::place_old_stops),
                Venue(vec![
                    Fault::executed(When::algo_order(), Delivery::Whole)
                        .delay_before(slow)
                        .always(),
                ]),
                Ready,
                Propose(0),
                Do("a stop has arrived", scenarios::a_stop_arrived),
            ];
            steps.push(forgetting(rng));
            steps.extend([Reach("forgot".into()), Propose(1), Concluded, Settled]);
            Scene::of(steps)
                .two()
                .sure()
                .moving_stops()
                .reviewed(Reviews::FirstOnly)
                .waiting(Duration::from_secs(2))
        },
    },
    Row {
        name: "forgets under a burst, one set of permits",
        fault: "forty orders at once on a slow venue; Redis is killed and back empty a quarter of a second later",
        moment: "the first orders have arrived",
        expects: Expect::Truth,
        scene: |rng| burst(rng, Reviews::FirstOnly),
    },
    Row {
        name: "forgets under a burst, two sets of permits",
        fault: "the same, and the reviewers answer both publications",
        moment: "the first orders have arrived",
        expects: Expect::Truth,
        scene: |rng| burst(rng, Reviews::Each),
    },
    Row {
        name: "split behind sentinels, one set of permits on both sides",
        fault: "the replica is promoted, the old master stays writable for one of two machines; healed later",
        moment: "before the proposals",
        expects: Expect::Truth,
        scene: |rng| {
            let lag = rng.millis(0..=300);
            split(vec![
                Ready,
                Do("permits on both", scenarios::permits_on_both),
                Split(lag),
                Propose(0),
                Sleep(rng.millis(1500..=2500)),
                Heal,
                Reach("split".into()),
                Concluded,
                Settled,
            ])
            .reviewed(Reviews::None)
        },
    },
    Row {
        name: "split behind sentinels, the order under way",
        fault: "the same",
        moment: "a plan is claimed, its permits are taken on the old side",
        expects: Expect::Truth,
        scene: |rng| {
            let lag = rng.millis(0..=300);
            let mut steps = vec![slow_orders(rng), Ready, Propose(0), Claimed];
            if rng.once_in(2) {
                steps.push(Do("the replica has the claims", scenarios::replica_has_it));
            }
            // The permits lie on both sides, or come to both.
            match rng.once_in(2) {
                true => steps.extend([Release, Split(lag)]),
                false => steps.extend([Split(lag), Release]),
            }
            steps.extend([
                Sleep(rng.millis(1500..=3000)),
                Heal,
                Reach("split".into()),
                Concluded,
                Settled,
            ]);
            split(steps).held()
        },
    },
    Row {
        name: "split behind sentinels that are late",
        fault: "the replica is promoted, and every sentinel names the old master until it is demoted; the brain's word is another by then",
        moment: "before the proposals",
        expects: Expect::Truth,
        scene: |rng| {
            let mut steps = vec![
                Ready,
                Do("promoted unnoticed", scenarios::split_unnoticed),
                Propose(0),
                Claimed,
            ];
            // Without their permits the plans end as well.
            if rng.once_in(2) {
                steps.push(Release);
            }
            steps.extend([
                Concluded,
                // It is confirmed by then.
                Sleep(rng.millis(600..=1500)),
                ProposeHold,
                Heal,
                Reach("split".into()),
            ]);
            // The process that published it need not live to publish it again.
            if rng.once_in(3) {
                steps.push(Restart(0));
            }
            steps.push(Settled);
            let mut scene = split(steps).held();
            scene.machines = 1;
            scene
        },
    },
    Row {
        name: "forget against the running service",
        fault: "`forget` clears the claim of a plan without an order, and the brain repeats itself",
        moment: "after the result",
        expects: Expect::Truth,
        scene: |_| {
            Scene::of(vec![
                Ready,
                Propose(0),
                Concluded,
                Do("apply-layer forget", scenarios::forget),
                Propose(1),
                Do("as it was said", scenarios::as_forgotten),
            ])
            .one_plan()
            .sure()
            .waiting(BEFORE_FORGETTING)
            .reviewed(Reviews::LaterOnly)
        },
    },
];

/// Long enough that reviewers on a busy machine answer within it, since the second wait has to end in an order;
/// the first is waited out.
const BEFORE_FORGETTING: Duration = Duration::from_secs(2);

/// How long a store that forgot gives nothing out, and a little more: then the other machine may look at
/// the proposals that still stand.
const CLEAN: Duration = Duration::from_millis(3600);

/// FLUSHALL, or a server that comes back with nothing.
fn forgetting(rng: &mut Rng) -> Step {
    match rng.once_in(2) {
        true => Flush,
        false => KillRedis(rng.millis(0..=300)),
    }
}

/// The store forgets between the claim and the order's landing. The order takes its time, so that the other
/// machine has all the time it needs.
fn forgets(rng: &mut Rng, reviews: Reviews, old: bool) -> Scene {
    let slow = rng.millis(700..=1200);
    let order = Fault::executed(When::order(), Delivery::Whole);
    let position = Fault::executed(
        When::request("GET", "/fapi/v3/positionRisk"),
        Delivery::Whole,
    );
    let mut steps = vec![Venue(vec![order.delay_before(slow).always()]), Ready];
    let before = rng.once_in(2);
    if old && before {
        steps.push(Save);
    }
    // Either the claim is lost while the permits are awaited, or once they are taken.
    let in_the_wait = rng.once_in(2);
    if !in_the_wait && rng.once_in(2) {
        // The position comes late: the permits are taken long before the order leaves.
        let late = position.delay_before(rng.millis(200..=400)).always();
        steps.insert(0, Venue(vec![late]));
    }
    steps.extend([Propose(0), Claimed]);
    if old && !before {
        steps.push(Save);
    }
    if !in_the_wait {
        steps.extend([Release, Do("permits are taken", scenarios::permits_taken)]);
        steps.push(match rng.once_in(2) {
            true => Arrived(1),
            false => Sleep(rng.millis(0..=200)),
        });
    }
    steps.push(match old {
        true => KillRedis(rng.millis(0..=300)),
        false => forgetting(rng),
    });
    steps.extend([
        Reach("forgot".into()),
        Release,
        Propose(1),
        Concluded,
        Settled,
    ]);
    if rng.once_in(2) {
        steps.push(Sleep(CLEAN));
    }
    Scene::of(steps)
        .held()
        .two()
        .on(Kept::Snapshots)
        .reviewed(reviews)
        .waiting(Duration::from_secs(1))
}

fn burst(rng: &mut Rng, reviews: Reviews) -> Scene {
    Scene::of(vec![
        slow_orders(rng),
        Ready,
        Propose(0),
        Claimed,
        Release,
        Arrived(1),
        Sleep(rng.millis(0..=100)),
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
