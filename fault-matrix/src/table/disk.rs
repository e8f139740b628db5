//! The journal's disk.

use super::{Expect, Row};
use crate::{
    rng::Rng,
    scenarios,
    scene::{
        Disk as State, Scene,
        Step::{
            Claimed, Concluded, Disk, Do, Propose, Reach, ReachIfPublished, Ready, Release,
            Restart, Sleep,
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
                Do("a disk with little room", scenarios::full_from_the_start),
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
                Do(
                    "a limit on the size of files",
                    scenarios::start_and_limit_files,
                ),
                Propose(0),
                Do("something is claimed", scenarios::any_claimed),
                Release,
                Do(
                    "what is claimed has its result",
                    scenarios::claimed_have_results,
                ),
                ReachIfPublished("journal_unavailable", "no order without a journal"),
                Do("nothing has left", scenarios::nothing_left),
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
                Do("writes kill", scenarios::start_where_writes_kill),
                Propose(0),
                Do("it dies of it", scenarios::dies_of_a_write),
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
        scene: |rng| disk(rng, State::Full, "ENOSPC"),
    },
    Row {
        name: "EIO once",
        fault: "one sync of the journal fails, all others work",
        moment: "before the plan, or in the wait",
        expects: Expect::Truth,
        scene: |rng| disk(rng, State::FailsOnce, "EIO once"),
    },
    Row {
        name: "fsync hangs",
        fault: "a sync of the journal does not return for seconds",
        moment: "before the plan, or in the wait",
        expects: Expect::Truth,
        scene: |rng| {
            let before = rng.once_in(2);
            let mut steps = vec![Ready];
            let claimed = Do("something is claimed", scenarios::any_claimed);
            match before {
                true => steps.extend([Disk(State::Hangs), Propose(0), claimed]),
                false => steps.extend([Propose(0), claimed, Disk(State::Hangs)]),
            }
            steps.extend([
                Release,
                Sleep(rng.millis(500..=2500)),
                Disk(State::Works),
                Reach("fsync hung".into()),
                Do(
                    "what is claimed has its result",
                    scenarios::claimed_have_results,
                ),
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
                Do("the journal is removed", scenarios::unlink_journal),
                Release,
                Concluded,
                Do(
                    "no new journal is begun silently",
                    scenarios::start_without_journal,
                ),
            ])
            .held()
        },
    },
];

fn disk(rng: &mut Rng, state: State, name: &str) -> Scene {
    let before = rng.once_in(2);
    let mut steps = vec![Ready];
    let claimed = Do("something is claimed", scenarios::any_claimed);
    match before {
        true => steps.extend([Disk(state), Propose(0), claimed]),
        false => steps.extend([Propose(0), claimed, Disk(state)]),
    }
    // With a journal that is known to be broken nothing more is claimed.
    steps.extend([
        Release,
        Do(
            "what is claimed has its result",
            scenarios::claimed_have_results,
        ),
        Reach(name.to_owned()),
        Disk(State::Works),
        Restart(0),
        Concluded,
    ]);
    Scene::of(steps).held()
}
