//! Several things at once, at moments that an adversary would choose.

use super::{Expect, Row};
use crate::{
    rng::Rng,
    scenarios,
    scene::{
        Reviews, Scene,
        Step::{
            self, Arrived, Claimed, Command, Concluded, Do, Flush, KillRedis, LoseKey, Propose,
            ProposeHold, ProposeNext, Reach, Ready, Release, Save, Settled, Signal, Sleep,
            StopRedis, Venue,
        },
    },
};
use exchange_sim::{Delivery, Fault, When};
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "Redis killed twice, two machines",
        fault: "Redis is killed and back, and once more soon after; empty, or from a snapshot",
        moment: "in the wait, or the order is under way",
        expects: Expect::Truth,
        scene: killed_twice,
    },
    Row {
        name: "the snapshot has the permits and not the claim",
        fault: "permits lie there before the plan; Redis forgets, perhaps twice, and has them again",
        moment: "the permits are taken, or the order is under way",
        expects: Expect::Truth,
        scene: permits_again,
    },
    Row {
        name: "stopped, then forgetting, two machines",
        fault: "Redis is stopped for up to 1.5 s and forgets everything as it goes on",
        moment: "the permits come",
        expects: Expect::Truth,
        scene: |rng| {
            let mut steps = vec![slow(rng), Ready, Propose(0), Claimed, Release];
            steps.extend([
                Sleep(rng.millis(0..=60)),
                StopRedis(rng.millis(100..=1500)),
                Flush,
                Reach("stopped and flushed".into()),
                Propose(1),
                Concluded,
                Settled,
            ]);
            two(rng, steps)
        },
    },
    Row {
        name: "one key of a plan deleted",
        fault: "claim, entry, mark, receipt or generation is deleted alone; the brain repeats itself",
        moment: "in the wait, the order is under way, or after the result",
        expects: Expect::Truth,
        scene: key_deleted,
    },
    Row {
        name: "CLIENT PAUSE",
        fault: "Redis answers no client, or takes no writes, for up to 1.5 s, perhaps twice",
        moment: "in the wait and the take",
        expects: Expect::Truth,
        scene: |rng| {
            let mut steps = vec![Ready, Propose(0)];
            for _ in 0..rng.within(1..=2) {
                let pause = rng.within(50..=1500).to_string();
                let what = rng.pick(&["ALL", "WRITE"]);
                let words = ["CLIENT", "PAUSE", &pause, what];
                steps.push(Sleep(rng.millis(0..=100)));
                steps.push(Command(words.map(str::to_owned).to_vec()));
                steps.push(Release);
                steps.push(Sleep(rng.millis(0..=1600)));
            }
            steps.extend([
                Command(vec!["CLIENT".into(), "UNPAUSE".into()]),
                Reach("paused".into()),
                Concluded,
                Settled,
            ]);
            two(rng, steps)
        },
    },
    Row {
        name: "two machines, stopped in turns",
        fault: "either of them is stopped and goes on, again and again, some longer than its lease",
        moment: "from the claim on",
        expects: Expect::Truth,
        scene: |rng| {
            let mut steps = vec![slow(rng), Ready, Propose(0), Claimed, Release];
            for _ in 0..rng.within(2..=6) {
                let machine = usize::from(rng.once_in(2));
                let lasting = match rng.once_in(3) {
                    true => rng.millis(1200..=2600),
                    false => rng.millis(0..=400),
                };
                steps.extend([
                    Signal(machine, "STOP"),
                    Sleep(lasting),
                    Signal(machine, "CONT"),
                    Sleep(rng.millis(0..=200)),
                ]);
            }
            steps.extend([Reach("stopped in turns".into()), Concluded, Settled]);
            two(rng, steps)
        },
    },
    Row {
        name: "rewritten every few milliseconds",
        fault: "the service may do nothing in Redis, and the brain changes its mind all the time",
        moment: "before the plan, or in the wait",
        expects: Expect::Truth,
        scene: rewritten,
    },
    Row {
        name: "forget in the wait",
        fault: "`forget` beside the running service; the brain repeats itself",
        moment: "in the wait, or the order is under way",
        expects: Expect::Truth,
        scene: |rng| {
            let mut steps = vec![slow(rng), Ready, Propose(0), Claimed];
            if rng.once_in(2) {
                steps.push(Release);
                steps.push(Sleep(rng.millis(0..=300)));
            }
            steps.extend([
                Do("apply-layer forget", scenarios::forget),
                Release,
                Propose(1),
                Concluded,
                Settled,
            ]);
            two(rng, steps)
        },
    },
];

/// Everything that belongs to one plan, and what shows a forgetting. Loss of one of these alone is promised to be
/// harmless.
const KEYS: [&str; 6] = [
    "quantum:apply:dedupe:{plan}",
    "quantum:apply:open",
    "quantum:apply:generation",
    "quantum:apply:inflight:{plan}",
    "quantum:apply:result_published:{plan}",
    "quantum:apply:stream_published:{plan}",
];

/// A venue that leaves the other machine all the time it needs.
fn slow(rng: &mut Rng) -> Step {
    let order = Fault::executed(When::order(), Delivery::Whole);
    Venue(vec![order.delay_before(rng.millis(0..=1200)).always()])
}

fn two(rng: &mut Rng, steps: Vec<Step>) -> Scene {
    let reviews = rng.pick(&[Reviews::FirstOnly, Reviews::Each]);
    Scene::of(steps)
        .held()
        .two()
        .reviewed(reviews)
        .waiting(Duration::from_secs(2))
}

fn killed_twice(rng: &mut Rng) -> Scene {
    let saves = rng.within(0..=3);
    let mut steps = vec![slow(rng), Ready];
    if saves == 1 {
        steps.push(Save);
    }
    steps.extend([Propose(0), Claimed]);
    if saves == 2 {
        steps.push(Save);
    }
    if rng.once_in(2) {
        steps.extend([Release, Do("permits are taken", scenarios::permits_taken)]);
    }
    steps.push(KillRedis(rng.millis(0..=300)));
    // Some of these come before the store is clean again, some after it.
    steps.push(Sleep(rng.millis(0..=4000)));
    if rng.once_in(2) {
        steps.push(Propose(1));
    }
    if saves == 3 {
        steps.push(Save);
    }
    steps.extend([
        KillRedis(rng.millis(0..=300)),
        Reach("Redis killed twice".into()),
        Release,
        Propose(2),
        Concluded,
        Settled,
    ]);
    two(rng, steps)
}

fn permits_again(rng: &mut Rng) -> Scene {
    let mut steps = vec![
        slow(rng),
        Ready,
        Do("permits lie there", scenarios::permits_first),
        Save,
        Propose(0),
    ];
    steps.push(match rng.once_in(2) {
        true => Do("permits are taken", scenarios::permits_taken),
        false => Arrived(1),
    });
    if rng.once_in(2) {
        steps.extend([Flush, Propose(1), Sleep(rng.millis(0..=4000))]);
    }
    steps.extend([
        KillRedis(rng.millis(0..=300)),
        Reach("the permits again".into()),
        Propose(2),
        Concluded,
        Settled,
        Sleep(rng.millis(0..=4000)),
    ]);
    two(rng, steps).reviewed(Reviews::None)
}

fn key_deleted(rng: &mut Rng) -> Scene {
    let key = rng.pick(&KEYS);
    let mut steps = vec![slow(rng), Ready, Propose(0), Claimed];
    match rng.within(0..=2) {
        0 => {}
        1 => steps.extend([Release, Sleep(rng.millis(0..=400))]),
        _ => steps.extend([Release, Concluded]),
    }
    steps.extend([
        LoseKey(key),
        Reach(format!("lost: {key}")),
        Propose(1),
        Release,
        Concluded,
        Settled,
        Sleep(rng.millis(0..=1000)),
    ]);
    two(rng, steps)
}

fn rewritten(rng: &mut Rng) -> Scene {
    let words = |line: &str| Command(line.split(' ').map(str::to_owned).collect());
    let mut steps = vec![Ready];
    if rng.once_in(2) {
        steps.extend([Propose(0), Sleep(rng.millis(0..=20))]);
    }
    steps.push(words("ACL SETUSER worker -@all"));
    for round in 0..20 {
        steps.push(match rng.within(0..=2) {
            0 => Propose(round),
            1 => ProposeHold,
            _ => ProposeNext,
        });
        steps.push(Sleep(Duration::from_millis(5)));
        if round == 12 {
            steps.push(words("ACL SETUSER worker +@all"));
        }
    }
    steps.extend([ProposeNext, Reach("rewritten".into()), Settled]);
    let mut scene = Scene::of(steps)
        .two()
        .sure()
        .waiting(Duration::from_secs(2));
    scene.as_user = true;
    scene
}
