//! The process dies.

use super::{Expect, Row};
use crate::{
    environment::Environment,
    rng::Rng,
    scene::{
        Scene,
        Step::{
            Arrived, Claimed, Concluded, Dies, DiesAgain, Do, Kill, KillRedis, Launch, Propose,
            Reach, ReachIfHit, Ready, Release, Restart, Save, Signal, Sleep, Start, Venue,
        },
    },
};
use exchange_sim::{Delivery, Fault, When};
use std::{pin::Pin, time::Duration};

/// A plan's steps, as `apply_core::FAULT_POINTS` names them.
pub(crate) const POINTS: [&str; 11] = [
    "after_claim",
    "before_take",
    "after_prepare",
    "after_journal",
    "after_intent",
    "after_take",
    "before_post",
    "after_post",
    "after_outcome",
    "after_publish",
    "after_published_mark",
];

/// Those of them that recovery comes by, too.
const ENDING: [&str; 3] = ["after_outcome", "after_publish", "after_published_mark"];

/// A row for one of the steps.
macro_rules! killed {
    ($point:literal, $moment:literal) => {
        Row {
            name: concat!("killed ", $point),
            fault: "the process dies, and perhaps once more while it recovers",
            moment: $moment,
            expects: Expect::Truth,
            scene: |rng| killed_at(rng, $point),
        }
    };
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "nothing happens",
        fault: "none",
        moment: "–",
        expects: Expect::Order,
        scene: |_| Scene::of(vec![Ready, Propose(0), Concluded, Reach("nothing".into())]),
    },
    killed!("after_claim", "the plan is claimed"),
    killed!("before_take", "the wait begins"),
    killed!("after_prepare", "the position is known"),
    killed!("after_journal", "the intent is on disk"),
    killed!("after_intent", "the intent is noted in Redis, too"),
    killed!("after_take", "the permits are taken"),
    killed!("before_post", "before the order is signed"),
    killed!("after_post", "the order is answered"),
    killed!("after_outcome", "the result is on disk"),
    killed!("after_publish", "the result is published"),
    killed!("after_published_mark", "that is noted"),
    Row {
        name: "kill -9 at any moment",
        fault: "the process is killed up to three times",
        moment: "any, start and recovery included",
        expects: Expect::Truth,
        scene: killed_anytime,
    },
    Row {
        name: "kill -9 while the venue is silent",
        fault: "the process is killed, the order is executed and not answered",
        moment: "the order is under way",
        expects: Expect::Truth,
        scene: killed_while_asking,
    },
    Row {
        name: "process and Redis die, Redis rolled back",
        fault: "both die, Redis comes back from a snapshot",
        moment: "from the note of the intent on",
        expects: Expect::Truth,
        scene: both_died,
    },
    Row {
        name: "SIGTERM storm",
        fault: "the process is asked to end again and again",
        moment: "in the wait",
        expects: Expect::Order,
        scene: term_storm,
    },
];

pub(super) fn at_point(point: &str) -> Vec<(&'static str, String)> {
    vec![("APPLY_FAULT_AT", point.to_owned())]
}

fn killed_at(rng: &mut Rng, point: &'static str) -> Scene {
    let nth = rng.within(1..=2);
    let mut steps = vec![
        Start(0, at_point(&format!("{point}:{nth}"))),
        Propose(0),
        Dies(0, point),
    ];
    if rng.once_in(3) {
        steps.push(DiesAgain(0, rng.pick(&ENDING)));
    }
    steps.push(Restart(0));
    let scene = Scene::of(steps).short();
    // There is no second time with one plan.
    if nth == 2 { scene.several() } else { scene }
}

fn killed_anytime(rng: &mut Rng) -> Scene {
    let mut steps = vec![Propose(0)];
    for _ in 0..rng.within(1..=3) {
        steps.extend([Launch(0), Sleep(rng.millis(0..=700)), Kill(0)]);
    }
    steps.push(Restart(0));
    Scene::of(steps).short()
}

fn killed_while_asking(rng: &mut Rng) -> Scene {
    Scene::of(vec![
        Venue(vec![Fault::executed(When::order(), Delivery::Hang)]),
        Ready,
        Propose(0),
        Arrived(1),
        Sleep(rng.millis(0..=300)),
        ReachIfHit("killed while the venue is silent".into()),
        Restart(0),
    ])
    .one_plan()
    .sure()
    .short()
}

fn both_died(rng: &mut Rng) -> Scene {
    let point = rng.pick(&POINTS[5..]);
    let before = rng.once_in(2);
    let mut steps = vec![Start(0, at_point(point))];
    if before {
        steps.push(Save);
    }
    steps.extend([Propose(0), Claimed]);
    if !before {
        steps.push(Save);
    }
    steps.extend([
        Release,
        Dies(0, point),
        Kill(0),
        KillRedis(Duration::ZERO),
        Restart(0),
    ]);
    let mut scene = Scene::of(steps).one_plan().held().short();
    scene.doubt = true;
    scene
}

fn term_storm(rng: &mut Rng) -> Scene {
    let mut steps = vec![Ready, Propose(0), Claimed];
    for _ in 0..rng.within(2..=6) {
        steps.extend([Signal(0, "TERM"), Sleep(rng.millis(0..=40))]);
    }
    steps.extend([Do("it carries on to the end", carries_on), Restart(0)]);
    Scene::of(steps).held()
}

/// A process that was asked to end in the middle of a wait carries its plans to their results, and ends well.
fn carries_on(environment: &mut Environment) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    Box::pin(async move {
        // Where the wait was over before, there was nothing to carry on with.
        let waiting = environment.fake_services.seen().results.is_empty();
        let still = environment.machine().is_running();
        environment.fake_services.release();
        let ended = environment.machine().died().await;
        match ended.map(|ended| (ended.code, ended.signal)) {
            Some((Some(0), _)) if still => environment.reach("carried on after SIGTERM"),
            Some((Some(0), _)) if waiting => {
                environment.wrong("SIGTERM ended a process in the middle of a plan");
            }
            Some((Some(0), _)) => {}
            other => environment.wrong(format!(
                "a storm of SIGTERM ended the service with {other:?}"
            )),
        }
    })
}
