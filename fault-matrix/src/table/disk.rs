//! The journal's disk.

use super::{Expect, Row};
use crate::{
    dice::Dice,
    play,
    scene::{
        Disk as State, Scene,
        Step::{
            Claimed, Concluded, Disk, Do, Propose, Reach, ReachIfTold, Ready, Release, Restart,
            Sleep,
        },
    },
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "disk full from the start",
        fault: "no file may grow beyond a size",
        moment: "from the start",
        expects: Expect::Truth,
        scene: |_| {
            Scene::of(vec![
                Do("a disk with little room", play::full_from_the_start),
                Restart(0),
            ])
        },
    },
    Row {
        name: "disk full in the wait, EFBIG",
        fault: "writes fail by a limit on the size of files",
        moment: "in the wait",
        expects: Expect::Truth,
        scene: |_| {
            Scene::of(vec![
                Do("a limit on the size of files", play::start_and_limit_files),
                Propose(0),
                Do("something is claimed", play::any_claimed),
                Release,
                Do("what is claimed has its result", play::claimed_are_told),
                ReachIfTold("journal_unavailable", "no order without a journal"),
                Do("nothing has left", play::nothing_left),
                Restart(0),
                Concluded,
            ])
            .held()
        },
    },
    Row {
        name: "disk full in the wait, SIGXFSZ",
        fault: "a write kills, by a limit on the size of files",
        moment: "the first write of a plan",
        expects: Expect::Truth,
        scene: |_| {
            Scene::of(vec![
                Do("writes kill", play::start_where_writes_kill),
                Propose(0),
                Do("it dies of it", play::dies_of_a_write),
                Restart(0),
            ])
            .short()
        },
    },
    Row {
        name: "ENOSPC",
        fault: "writes to the journal fail for want of room",
        moment: "before the plan, or in the wait",
        expects: Expect::Truth,
        scene: |dice| disk(dice, State::Full, "ENOSPC"),
    },
    Row {
        name: "EIO once",
        fault: "one sync of the journal fails, all others work",
        moment: "before the plan, or in the wait",
        expects: Expect::Truth,
        scene: |dice| disk(dice, State::FailsOnce, "EIO once"),
    },
    Row {
        name: "fsync hangs",
        fault: "a sync of the journal does not return for seconds",
        moment: "before the plan, or in the wait",
        expects: Expect::Truth,
        scene: |dice| {
            let before = dice.once_in(2);
            let mut steps = vec![Ready];
            let claimed = Do("something is claimed", play::any_claimed);
            match before {
                true => steps.extend([Disk(State::Hangs), Propose(0), claimed]),
                false => steps.extend([Propose(0), claimed, Disk(State::Hangs)]),
            }
            steps.extend([
                Release,
                Sleep(dice.millis(500..=2500)),
                Disk(State::Works),
                Reach("fsync hung".into()),
                Do("what is claimed has its result", play::claimed_are_told),
                Restart(0),
                Concluded,
            ]);
            Scene::of(steps).held()
        },
    },
    Row {
        name: "journal unlinked",
        fault: "the journal's file is removed under the running service",
        moment: "in the wait",
        expects: Expect::Truth,
        scene: |_| {
            Scene::of(vec![
                Ready,
                Propose(0),
                Claimed,
                Do("the journal is removed", play::unlink_journal),
                Release,
                Concluded,
                Do(
                    "no new journal is begun silently",
                    play::start_without_journal,
                ),
            ])
            .held()
        },
    },
];

fn disk(dice: &mut Dice, state: State, name: &str) -> Scene {
    let before = dice.once_in(2);
    let mut steps = vec![Ready];
    let claimed = Do("something is claimed", play::any_claimed);
    match before {
        true => steps.extend([Disk(state), Propose(0), claimed]),
        false => steps.extend([Propose(0), claimed, Disk(state)]),
    }
    // With a journal that is known to be broken nothing more is claimed.
    steps.extend([
        Release,
        Do("what is claimed has its result", play::claimed_are_told),
        Reach(name.to_owned()),
        Disk(State::Works),
        Restart(0),
        Concluded,
    ]);
    Scene::of(steps).held()
}
