//! Several things at once, at moments that an adversary would choose.

use super::{Expect, Row};
use crate::{
    dice::Dice,
    play,
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
        scene: |dice| {
            let mut steps = vec![slow(dice), Ready, Propose(0), Claimed, Release];
            steps.extend([
                Sleep(dice.millis(0..=60)),
                StopRedis(dice.millis(100..=1500)),
                Flush,
                Reach("stopped and flushed".into()),
                Propose(1),
                Concluded,
                Settled,
            ]);
            two(dice, steps)
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
        fault: "Redis answers nobody, or writes for nobody, for up to 1.5 s, perhaps twice",
        moment: "in the wait and the take",
        expects: Expect::Truth,
        scene: |dice| {
            let mut steps = vec![Ready, Propose(0)];
            for _ in 0..dice.within(1..=2) {
                let pause = dice.within(50..=1500).to_string();
                let what = dice.pick(&["ALL", "WRITE"]);
                let words = ["CLIENT", "PAUSE", &pause, what];
                steps.push(Sleep(dice.millis(0..=100)));
                steps.push(Command(words.map(str::to_owned).to_vec()));
                steps.push(Release);
                steps.push(Sleep(dice.millis(0..=1600)));
            }
            steps.extend([
                Command(vec!["CLIENT".into(), "UNPAUSE".into()]),
                Reach("paused".into()),
                Concluded,
                Settled,
            ]);
            two(dice, steps)
        },
    },
    Row {
        name: "two machines, stopped in turns",
        fault: "either of them is stopped and goes on, again and again, some longer than its lease",
        moment: "from the claim on",
        expects: Expect::Truth,
        scene: |dice| {
            let mut steps = vec![slow(dice), Ready, Propose(0), Claimed, Release];
            for _ in 0..dice.within(2..=6) {
                let machine = usize::from(dice.once_in(2));
                let lasting = match dice.once_in(3) {
                    true => dice.millis(1200..=2600),
                    false => dice.millis(0..=400),
                };
                steps.extend([
                    Signal(machine, "STOP"),
                    Sleep(lasting),
                    Signal(machine, "CONT"),
                    Sleep(dice.millis(0..=200)),
                ]);
            }
            steps.extend([Reach("stopped in turns".into()), Concluded, Settled]);
            two(dice, steps)
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
        scene: |dice| {
            let mut steps = vec![slow(dice), Ready, Propose(0), Claimed];
            if dice.once_in(2) {
                steps.push(Release);
                steps.push(Sleep(dice.millis(0..=300)));
            }
            steps.extend([
                Do("apply-layer forget", play::forget),
                Release,
                Propose(1),
                Concluded,
                Settled,
            ]);
            two(dice, steps)
        },
    },
];

/// Everything that belongs to one plan, and what tells a forgetting. Loss of one of these alone is promised to be
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
fn slow(dice: &mut Dice) -> Step {
    let order = Fault::executed(When::order(), Delivery::Whole);
    Venue(vec![order.delay_before(dice.millis(0..=1200)).always()])
}

fn two(dice: &mut Dice, steps: Vec<Step>) -> Scene {
    let reviews = dice.pick(&[Reviews::FirstOnly, Reviews::Each]);
    Scene::of(steps)
        .held()
        .two()
        .reviewed(reviews)
        .waiting(Duration::from_secs(2))
}

fn killed_twice(dice: &mut Dice) -> Scene {
    let saves = dice.within(0..=3);
    let mut steps = vec![slow(dice), Ready];
    if saves == 1 {
        steps.push(Save);
    }
    steps.extend([Propose(0), Claimed]);
    if saves == 2 {
        steps.push(Save);
    }
    if dice.once_in(2) {
        steps.extend([Release, Do("permits are taken", play::permits_taken)]);
    }
    steps.push(KillRedis(dice.millis(0..=300)));
    // Some of these come before the store is clean again, some after it.
    steps.push(Sleep(dice.millis(0..=4000)));
    if dice.once_in(2) {
        steps.push(Propose(1));
    }
    if saves == 3 {
        steps.push(Save);
    }
    steps.extend([
        KillRedis(dice.millis(0..=300)),
        Reach("Redis killed twice".into()),
        Release,
        Propose(2),
        Concluded,
        Settled,
    ]);
    two(dice, steps)
}

fn permits_again(dice: &mut Dice) -> Scene {
    let mut steps = vec![
        slow(dice),
        Ready,
        Do("permits lie there", play::permits_first),
        Save,
        Propose(0),
    ];
    steps.push(match dice.once_in(2) {
        true => Do("permits are taken", play::permits_taken),
        false => Arrived(1),
    });
    if dice.once_in(2) {
        steps.extend([Flush, Propose(1), Sleep(dice.millis(0..=4000))]);
    }
    steps.extend([
        KillRedis(dice.millis(0..=300)),
        Reach("the permits again".into()),
        Propose(2),
        Concluded,
        Settled,
        Sleep(dice.millis(0..=4000)),
    ]);
    two(dice, steps).reviewed(Reviews::None)
}

fn key_deleted(dice: &mut Dice) -> Scene {
    let key = dice.pick(&KEYS);
    let mut steps = vec![slow(dice), Ready, Propose(0), Claimed];
    match dice.within(0..=2) {
        0 => {}
        1 => steps.extend([Release, Sleep(dice.millis(0..=400))]),
        _ => steps.extend([Release, Concluded]),
    }
    steps.extend([
        LoseKey(key),
        Reach(format!("lost: {key}")),
        Propose(1),
        Release,
        Concluded,
        Settled,
        Sleep(dice.millis(0..=1000)),
    ]);
    two(dice, steps)
}

fn rewritten(dice: &mut Dice) -> Scene {
    let words = |line: &str| Command(line.split(' ').map(str::to_owned).collect());
    let mut steps = vec![Ready];
    if dice.once_in(2) {
        steps.extend([Propose(0), Sleep(dice.millis(0..=20))]);
    }
    steps.push(words("ACL SETUSER worker -@all"));
    for round in 0..20 {
        steps.push(match dice.within(0..=2) {
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
