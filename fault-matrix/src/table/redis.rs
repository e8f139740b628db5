//! Redis, or the wire to it, fails for a while and forgets nothing that one machine alone would miss.

use super::{Expect, Row};
use crate::{
    rng::Rng,
    scenarios,
    scene::{
        Kept, Scene,
        Step::{
            self, Claimed, Command, Concluded, Do, Flush, KillRedis, Lose, PermitsThere, Propose,
            ProposeHold, ProposeNext, Reach, ReachIfLost, Ready, Release, Restart, Save, Settled,
            Signal, Sleep, StopRedis, TypesFixed, WrongType,
        },
    },
    wire::{Loss, Script},
};
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "Redis killed in the wait, AOF",
        fault: "Redis is killed and back from its append-only file",
        moment: "in the wait",
        expects: Expect::Truth,
        scene: |rng| {
            let fsync = rng.pick(&["always", "everysec"]);
            let away = rng.millis(0..=800);
            killed(None, away).on(Kept::Log(fsync))
        },
    },
    Row {
        name: "Redis killed in the wait, RDB",
        fault: "Redis is killed and back from its last snapshot, or empty",
        moment: "in the wait",
        expects: Expect::Truth,
        scene: |rng| {
            let saved = rng.pick(&[
                None,
                Some(Saved::BeforeTheClaim),
                Some(Saved::DuringTheWait),
            ]);
            killed(saved, rng.millis(0..=800))
        },
    },
    Row {
        name: "Redis rolled back after the result",
        fault: "Redis is killed and back from an old snapshot",
        moment: "after the result",
        expects: Expect::Truth,
        scene: rolled_back,
    },
    Row {
        name: "FLUSHALL",
        fault: "Redis forgets everything, the brain repeats itself",
        moment: "in the wait, or after the result",
        expects: Expect::Truth,
        scene: flushed,
    },
    Row {
        name: "Redis SIGSTOP, SIGCONT",
        fault: "Redis is stopped for up to 1.5 s",
        moment: "the permits come",
        expects: Expect::Truth,
        scene: |rng| {
            Scene::of(vec![
                Ready,
                Propose(0),
                Claimed,
                Release,
                Sleep(rng.millis(0..=80)),
                StopRedis(rng.millis(100..=1500)),
                Reach("Redis stopped".into()),
                Concluded,
            ])
            .held()
        },
    },
    lost_reply("reply of the claim dropped", "the claim", |rng| {
        lost(rng, Script::Claim)
    }),
    lost_reply("reply of the intent's note dropped", "the note", |rng| {
        lost(rng, Script::Note)
    }),
    lost_reply("reply of the consume dropped", "the take", |rng| {
        lost(rng, Script::Consume)
    }),
    lost_reply("reply of the publish dropped", "the publication", |rng| {
        lost(rng, Script::Publish)
    }),
    Row {
        name: "a request to Redis dropped",
        fault: "a request is dropped with its connection",
        moment: "claim, note, take or publication",
        expects: Expect::Order,
        scene: |rng| {
            let scripts = [
                Script::Claim,
                Script::Note,
                Script::Consume,
                Script::Publish,
            ];
            losing(rng.pick(&scripts), Loss::Request, 1)
        },
    },
    Row {
        name: "claim's answer lost, proposal rewritten",
        fault: "the answer of a claim does not arrive; the brain says something else, also HOLD",
        moment: "the plan is on the stream",
        expects: Expect::Truth,
        scene: claim_unheard_of,
    },
    Row {
        name: "claim's answer late, proposal rewritten",
        fault: "Redis is stopped as the claim arrives; the brain says something else, also HOLD",
        moment: "the claim is under way",
        expects: Expect::Truth,
        scene: |rng| {
            let mut steps = vec![
                Ready,
                Propose(0),
                Sleep(rng.millis(0..=12)),
                StopRedis(rng.millis(600..=1200)),
            ];
            steps.extend(rewritten(rng));
            steps.extend([
                Reach("Redis stopped at the claim".into()),
                // The first plan may never have been claimed.
                Settled,
            ]);
            Scene::of(steps)
                .waiting(Duration::from_secs(2))
                .sure()
                .costly()
        },
    },
    Row {
        name: "Redis out of memory",
        fault: "every write that needs memory is refused for a while",
        moment: "in the wait",
        expects: Expect::Truth,
        scene: |rng| {
            Scene::of(vec![
                Ready,
                Propose(0),
                Claimed,
                Command(words("CONFIG SET maxmemory 1")),
                Do(
                    "reviewers write in spite of it",
                    scenarios::permits_in_spite_of_it,
                ),
                Sleep(rng.millis(0..=600)),
                Reach("out of memory".into()),
                Command(words("CONFIG SET maxmemory 0")),
                Concluded,
            ])
            .held()
        },
    },
    Row {
        name: "rights withdrawn in Redis",
        fault: "the service's user may do nothing for a while",
        moment: "in the wait",
        expects: Expect::Truth,
        scene: |rng| {
            let mut scene = Scene::of(vec![
                Ready,
                Propose(0),
                Claimed,
                Command(words("ACL SETUSER worker -@all")),
                Release,
                Sleep(rng.millis(100..=900)),
                Reach("rights withdrawn".into()),
                Command(words("ACL SETUSER worker +@all")),
                Concluded,
            ])
            .held();
            scene.as_user = true;
            scene
        },
    },
    Row {
        name: "a key of another type",
        fault: "a key that the service writes or reads holds another type for a while",
        moment: "before the plan, or in the wait",
        expects: Expect::Truth,
        scene: |rng| {
            let mut steps = vec![Ready];
            let early = rng.once_in(2);
            if !early {
                steps.extend([Propose(0), Claimed]);
            }
            // Over a key of another type no proposal can be written, so that one has to stand already.
            let keys = if early { &KEYS[1..] } else { &KEYS[..] };
            steps.push(WrongType(rng.pick(keys)));
            if early {
                steps.push(Propose(0));
            }
            steps.extend([
                Release,
                Sleep(rng.millis(300..=900)),
                TypesFixed,
                Reach("a key of another type".into()),
                Propose(1),
                Concluded,
            ]);
            Scene::of(steps).held()
        },
    },
    Row {
        name: "a proposal of many megabytes",
        fault: "a field of one symbol's proposal holds 24 MB",
        moment: "beside other symbols' plans",
        expects: Expect::Order,
        scene: |_| {
            Scene::of(vec![
                Ready,
                Do("a huge proposal", scenarios::huge_proposal),
                Propose(0),
                Concluded,
                Do(
                    "nothing of it is copied, and memory is bounded",
                    scenarios::is_small,
                ),
            ])
            .sure()
        },
    },
    Row {
        name: "half an HTTP request at SIGTERM",
        fault: "clients hold half-sent requests and unread pages open",
        moment: "SIGTERM in the wait",
        expects: Expect::Order,
        scene: |_| {
            Scene::of(vec![
                Ready,
                Do("half a request", scenarios::half_a_request),
                Propose(0),
                Claimed,
                Signal(0, "TERM"),
                Release,
                Concluded,
                Do("it ends in time", scenarios::ends_in_time),
                Restart(0),
            ])
            .held()
        },
    },
];

/// Every key that the service reads or writes for a plan.
const KEYS: [&str; 12] = [
    "quantum:harvest:proposal:{symbol}",
    "quantum:global:kill_switch",
    "quantum:apply:dedupe:{plan}",
    "quantum:apply:stream_published:{plan}",
    "quantum:stream:apply.plan",
    "quantum:apply:open",
    "quantum:permit:{plan}",
    "quantum:permit:p33:{plan}",
    "quantum:apply:inflight:{plan}",
    "quantum:apply:result_published:{plan}",
    "quantum:stream:apply.result",
    "quantum:apply:generation",
];

/// When the snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saved {
    BeforeTheClaim,
    DuringTheWait,
}

const fn lost_reply(name: &'static str, moment: &'static str, scene: fn(&mut Rng) -> Scene) -> Row {
    Row {
        name,
        fault: "the reply is dropped, the connection closed or silent from then on",
        moment,
        expects: Expect::Order,
        scene,
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn killed(saved: Option<Saved>, away: Duration) -> Scene {
    let mut steps = vec![Ready];
    if saved == Some(Saved::BeforeTheClaim) {
        steps.push(Save);
    }
    steps.extend([Propose(0), Claimed]);
    if saved == Some(Saved::DuringTheWait) {
        steps.push(Save);
    }
    steps.extend([
        KillRedis(away),
        Reach("Redis killed in the wait".into()),
        Release,
        Concluded,
        // The brain goes on, and says the same of a position that is still there.
        Propose(1),
        Settled,
        Restart(0),
    ]);
    Scene::of(steps).held()
}

fn rolled_back(rng: &mut Rng) -> Scene {
    let before = rng.once_in(2);
    let mut steps = vec![Ready];
    if before {
        steps.push(Save);
    }
    steps.extend([Propose(0), Claimed]);
    if !before {
        // With the permits: the service sleeps while they come, so that they are not taken yet.
        steps.extend([
            Signal(0, "STOP"),
            Release,
            PermitsThere,
            Save,
            Signal(0, "CONT"),
        ]);
    }
    steps.extend([
        Release,
        Concluded,
        KillRedis(Duration::ZERO),
        Reach("Redis rolled back".into()),
        Propose(1),
    ]);
    // Claims that came back are not made again, and nobody looks after what is open again before
    // the next start; where they did not, there is a claim to be made and to be ended.
    if before {
        steps.push(Settled);
    }
    steps.push(Restart(0));
    Scene::of(steps).held()
}

fn flushed(rng: &mut Rng) -> Scene {
    let mut steps = vec![Ready, Propose(0), Claimed];
    if rng.once_in(2) {
        steps.extend([Release, Concluded]);
    }
    steps.extend([
        Flush,
        Reach("everything lost".into()),
        Release,
        Propose(1),
        Concluded,
        Settled,
        Restart(0),
    ]);
    Scene::of(steps).held()
}

fn losing(script: Script, loss: Loss, times: u32) -> Scene {
    Scene::of(vec![
        Ready,
        Lose(script, loss, times),
        Propose(0),
        Concluded,
        ReachIfLost(format!("{script:?}: {loss:?}")),
    ])
    .wired()
}

fn lost(rng: &mut Rng, script: Script) -> Scene {
    let loss = rng.pick(&[Loss::ReplyThenClose, Loss::ReplyThenSilence]);
    losing(script, loss, u32::try_from(rng.within(1..=2)).unwrap_or(1))
}

/// The brain says something else, and perhaps the process is asked to end.
fn rewritten(rng: &mut Rng) -> Vec<Step> {
    let mut steps = vec![match rng.once_in(2) {
        true => ProposeHold,
        false => ProposeNext,
    }];
    if rng.once_in(3) {
        steps.extend([
            Do(
                "SIGTERM leaves no plan open",
                scenarios::ends_with_nothing_open,
            ),
            Restart(0),
        ]);
    }
    steps
}

fn claim_unheard_of(rng: &mut Rng) -> Scene {
    let loss = rng.pick(&[Loss::ReplyThenClose, Loss::ReplyThenSilence]);
    let times = u32::try_from(rng.within(1..=2)).unwrap_or(1);
    let mut steps = vec![Ready, Lose(Script::Claim, loss, times), Propose(0), Claimed];
    steps.extend(rewritten(rng));
    steps.extend([
        Concluded,
        ReachIfLost(format!("Claim: {loss:?}, rewritten")),
    ]);
    Scene::of(steps)
        .one_plan()
        .wired()
        .sure()
        .waiting(Duration::from_secs(2))
}
