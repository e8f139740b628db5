//! The kill switch is turned. That nothing is signed after it is the judge's business.

use super::{Expect, Row};
use crate::{
    rng::Rng,
    scene::{
        Scene, Step,
        Step::{
            Arrived, Claimed, Concluded, Flush, Propose, ProposeNext, Reach, ReachIfPublished,
            Ready, Release, Sleep, Turn, Venue,
        },
        Switch,
    },
};
use exchange_sim::{Delivery, Fault, When};
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "kill switch on in the wait, Redis",
        fault: "the key is set, and left until there is a result",
        moment: "in the wait",
        expects: Expect::NoOrder,
        scene: |_| halted(Switch::Key),
    },
    Row {
        name: "kill switch on in the wait, file",
        fault: "the file is laid, and left until there is a result",
        moment: "in the wait",
        expects: Expect::NoOrder,
        scene: |_| halted(Switch::File),
    },
    Row {
        name: "kill switch flickers",
        fault: "both are turned on and off again and again",
        moment: "the permits come",
        expects: Expect::Truth,
        scene: flickers,
    },
    Row {
        name: "key set while orders queue",
        fault: "forty orders at once on a slow venue, the key is set",
        moment: "the first orders have arrived",
        expects: Expect::Truth,
        scene: |rng| queueing(rng, Switch::Key),
    },
    Row {
        name: "file laid while orders queue",
        fault: "forty orders at once on a slow venue, the file is laid",
        moment: "the first orders have arrived",
        expects: Expect::Truth,
        scene: |rng| queueing(rng, Switch::File),
    },
    Row {
        name: "key set, and forgotten by Redis",
        fault: "the key is set, the service has seen it, Redis forgets everything; the brain says something new",
        moment: "in the wait",
        expects: Expect::Truth,
        scene: |rng| {
            Scene::of(vec![
                Ready,
                Propose(0),
                Claimed,
                Turn(Switch::Key, true),
                Sleep(rng.millis(300..=500)),
                Flush,
                Release,
                ProposeNext,
                Sleep(Duration::from_millis(800)),
                Reach("switch forgotten".into()),
                Turn(Switch::Key, false),
                Concluded,
            ])
            .held()
            .waiting(Duration::from_secs(1))
        },
    },
];

fn halted(switch: Switch) -> Scene {
    Scene::of(vec![
        Ready,
        Propose(0),
        Claimed,
        Turn(switch, true),
        // The permits come only now.
        Release,
        Concluded,
        ReachIfPublished("kill_switch_active", "halted"),
        Turn(switch, false),
    ])
    .held()
}

fn flickers(rng: &mut Rng) -> Scene {
    let pause = rng.millis(0..=60);
    let mut steps = vec![Ready, Propose(0), Claimed, Release];
    for turn in 0..rng.within(2..=8) {
        let on = turn % 2 == 0;
        steps.extend([Turn(Switch::File, on), Turn(Switch::Key, on), Sleep(pause)]);
    }
    steps.extend([
        Turn(Switch::File, false),
        Turn(Switch::Key, false),
        Reach("switch flickered".into()),
        Concluded,
    ]);
    Scene::of(steps).held()
}

/// A venue that takes so long for each order that forty of them queue for the service's lanes.
pub(super) fn slow_orders(rng: &mut Rng) -> Step {
    let slow = rng.millis(300..=900);
    let fault = Fault::executed(When::order(), Delivery::Whole);
    Venue(vec![fault.delay_before(slow).always()])
}

fn queueing(rng: &mut Rng, switch: Switch) -> Scene {
    Scene::of(vec![
        slow_orders(rng),
        Ready,
        Propose(0),
        Claimed,
        Release,
        Arrived(1),
        Sleep(rng.millis(0..=150)),
        Turn(switch, true),
        Concluded,
        Reach("turned while orders queue".into()),
        Turn(switch, false),
    ])
    .held()
    .burst()
}
