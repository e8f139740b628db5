//! What is walked to the last state: the small scopes by every test run, the large ones by
//! `scripts/model`.

use crate::{
    model::{Forgetting, Scope},
    rules::{Rules, Times},
};

/// A scope with its name in the docs.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// In words.
    pub name: &'static str,
    /// What is walked.
    pub scope: Scope,
}

const fn named(name: &'static str, scope: Scope) -> Named {
    Named { name, scope }
}

const WITH_KEYS: Forgetting = Forgetting {
    claim: true,
    entry: true,
    generation: true,
    ..Forgetting::ONE_SERVER
};

const LAG: Times = Times {
    lag: 2,
    w: 6,
    ..Times::BASE
};

/// Those that every test run walks.
pub const fn small() -> [Named; 13] {
    let fence = Scope::quiet(Rules::FENCE);
    [
        named(
            "nothing is forgotten, two crashes, a lost answer, switch and file",
            fence.crashes(2).lost_answers(1).switch().file(),
        ),
        named(
            "FLUSHALL, a crash, a lost answer",
            fence
                .forgets(1, Forgetting::FLUSH)
                .crashes(1)
                .lost_answers(1),
        ),
        named(
            "FLUSHALL, switch and file",
            fence.forgets(1, Forgetting::FLUSH).switch().file(),
        ),
        named(
            "restart from a snapshot, a crash",
            fence.forgets(1, Forgetting::RESTART).crashes(1),
        ),
        named(
            "failover, the old master stays writable",
            fence.forgets(1, Forgetting::FAILOVER),
        ),
        named(
            "the same, named for two units more (W = 6)",
            fence.forgets(1, Forgetting::FAILOVER).times(LAG),
        ),
        named(
            "failover, one set of permits, switch",
            fence.forgets(1, Forgetting::FAILOVER).sets(1).switch(),
        ),
        named(
            "one key lost, a crash",
            fence.forgets(1, Forgetting::ONE_KEY).crashes(1),
        ),
        named(
            "claim and mark expire, a crash, a lost answer",
            fence
                .forgets(1, Forgetting::EXPIRY)
                .crashes(1)
                .lost_answers(1),
        ),
        named("FLUSHALL twice", fence.forgets(2, Forgetting::FLUSH)),
        named(
            "FLUSHALL, three instances",
            fence.forgets(1, Forgetting::FLUSH).three(),
        ),
        named(
            "FLUSHALL, counted for each process",
            Scope::quiet(Rules::FENCE_PER_PROCESS).forgets(1, Forgetting::FLUSH),
        ),
        named(
            "failover of a cluster",
            Scope::quiet(Rules::FENCE_CLUSTER).forgets(1, Forgetting::FAILOVER),
        ),
    ]
}

/// Those that take minutes.
pub const fn large() -> [Named; 17] {
    let fence = Scope::quiet(Rules::FENCE);
    let process = Scope::quiet(Rules::FENCE_PER_PROCESS);
    let cluster = Scope::quiet(Rules::FENCE_CLUSTER);
    [
        named(
            "restart from a snapshot, switch and file",
            fence.forgets(1, Forgetting::RESTART).switch().file(),
        ),
        named(
            "failover, a crash, a lost answer",
            fence
                .forgets(1, Forgetting::FAILOVER)
                .crashes(1)
                .lost_answers(1),
        ),
        named(
            "the same, the old master named for two units more (W = 6)",
            fence
                .forgets(1, Forgetting::FAILOVER)
                .crashes(1)
                .lost_answers(1)
                .times(LAG),
        ),
        named(
            "failover, switch and file",
            fence.forgets(1, Forgetting::FAILOVER).switch().file(),
        ),
        named(
            "one server forgets twice (FLUSHALL or restart)",
            fence.forgets(2, Forgetting::ONE_SERVER),
        ),
        named("the same, or one key lost", fence.forgets(2, WITH_KEYS)),
        named(
            "FLUSHALL or restart, switch turned on and off again, file",
            fence
                .forgets(1, Forgetting::ONE_SERVER)
                .switch()
                .resume()
                .file(),
        ),
        named(
            "one server forgets twice, a crash",
            fence.forgets(2, Forgetting::ONE_SERVER).crashes(1),
        ),
        named(
            "one server forgets, two crashes",
            fence.forgets(1, WITH_KEYS).crashes(2),
        ),
        named(
            "two forgettings of any kind (FLUSHALL, restart, failover)",
            fence.forgets(2, Forgetting::WHOLE),
        ),
        named(
            "three instances, FLUSHALL, a crash",
            fence.forgets(1, Forgetting::FLUSH).crashes(1).three(),
        ),
        named(
            "three instances, restart from a snapshot",
            fence.forgets(1, Forgetting::RESTART).three(),
        ),
        named(
            "three instances, one key lost, a crash",
            fence.forgets(1, Forgetting::ONE_KEY).crashes(1).three(),
        ),
        named(
            "three instances, failover, one set of permits",
            fence.forgets(1, Forgetting::FAILOVER).sets(1).three(),
        ),
        named(
            "one server forgets, a crash, counted for each process",
            process.forgets(1, Forgetting::ONE_SERVER).crashes(1),
        ),
        named(
            "failover, counted for each process",
            process.forgets(1, Forgetting::FAILOVER),
        ),
        named(
            "a cluster forgets or fails over, a crash",
            cluster.forgets(1, Forgetting::WHOLE).crashes(1),
        ),
    ]
}

/// One that takes a quarter of an hour and some gigabytes.
pub const fn longest() -> [Named; 1] {
    let fence = Scope::quiet(Rules::FENCE);
    [named(
        "two forgettings of any kind, a crash",
        fence.forgets(2, Forgetting::WHOLE).crashes(1),
    )]
}
