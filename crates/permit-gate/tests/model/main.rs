//! A model of issuers, permits that expire, rival attempts, lost and late messages and a kill
//! switch around the real [`permit_gate::Gate`], checked state by state until none is left.
//!
//! Nothing of the gate is modelled: every step runs its code (see `driver`). What is modelled is
//! all that may happen around it (see `env`). Each run prints how many states there are. The
//! mutants at the end show that the properties can fail, and which one catches what.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod driver;
mod env;
mod store;

use env::{EnvModel, LATE, ONE_GRANT, ONE_TAKE, OWN, P2, P5, P6, P9};
use stateright::{Checker, Model};
use store::{Kind, Mutant};

#[test]
fn two_rivals_with_lost_and_late_messages_keep_every_promise() {
    check(EnvModel {
        gates: 2,
        writes: 2,
        losses: 1,
        ..EnvModel::QUIET
    });
}

#[test]
fn two_rivals_with_permits_that_expire_keep_every_promise() {
    check(EnvModel {
        gates: 2,
        writes: 3,
        expiries: 1,
        ..EnvModel::QUIET
    });
}

#[test]
fn two_rivals_with_a_kill_switch_keep_every_promise() {
    check(EnvModel {
        gates: 2,
        writes: 2,
        halts: 1,
        ..EnvModel::QUIET
    });
}

#[test]
fn two_rivals_with_permits_written_again_keep_every_promise() {
    check(EnvModel {
        gates: 2,
        writes: 4,
        ..EnvModel::QUIET
    });
}

#[test]
fn one_gate_with_bad_permits_and_unreadable_answers_keeps_every_promise() {
    check(EnvModel {
        writes: 3,
        kinds: &[Kind::Yes, Kind::Denial, Kind::Foreign, Kind::Garbage],
        garbles: 1,
        losses: 1,
        ..EnvModel::QUIET
    });
}

#[test]
fn one_gate_with_everything_that_can_happen_to_it_keeps_every_promise() {
    check(EnvModel {
        writes: 3,
        expiries: 1,
        losses: 2,
        blinds: 1,
        halts: 1,
        ..EnvModel::QUIET
    });
}

#[test]
fn a_stalled_process_keeps_every_promise() {
    check(EnvModel {
        writes: 2,
        losses: 1,
        halts: 1,
        stalls: 3,
        ..EnvModel::QUIET
    });
}

#[test]
fn a_take_that_is_not_atomic_is_caught() {
    let rivals = EnvModel {
        gates: 2,
        writes: 2,
        ..EnvModel::QUIET
    };
    caught(Mutant::NonAtomicTake, rivals, ONE_GRANT);
    caught(Mutant::NonAtomicTake, rivals, P2);
}

#[test]
fn asking_again_after_a_lost_reply_under_a_new_attempt_id_is_caught() {
    let lossy = EnvModel {
        writes: 2,
        losses: 1,
        ..EnvModel::QUIET
    };
    caught(Mutant::NewAttemptOnResend, lossy, OWN);
}

#[test]
fn a_store_that_keeps_no_receipt_is_caught() {
    let rewritten = EnvModel {
        gates: 2,
        writes: 4,
        ..EnvModel::QUIET
    };
    caught(Mutant::NoReceipts, rewritten, ONE_GRANT);
    caught(Mutant::NoReceipts, rewritten, ONE_TAKE);
}

#[test]
fn a_grant_on_a_missing_permit_is_caught() {
    let simple = EnvModel {
        writes: 2,
        expiries: 1,
        ..EnvModel::QUIET
    };
    caught(Mutant::GrantOnMissing, simple, P2);
}

#[test]
fn a_store_that_ignores_the_kill_switch_is_caught() {
    let halting = EnvModel {
        writes: 2,
        halts: 1,
        ..EnvModel::QUIET
    };
    caught(Mutant::IgnoresTheKillSwitch, halting, P6);
}

#[test]
fn a_store_that_takes_late_is_caught() {
    let lossy = EnvModel {
        writes: 2,
        losses: 1,
        ..EnvModel::QUIET
    };
    caught(Mutant::TakesLate, lossy, LATE);
}

#[test]
fn a_driver_that_waits_for_a_hanging_store_is_caught() {
    caught(Mutant::NeverGivesUp, EnvModel::QUIET, P5);
}

#[test]
fn a_driver_that_reads_an_unreadable_answer_as_a_yes_is_caught() {
    let garbled = EnvModel {
        writes: 1,
        garbles: 1,
        ..EnvModel::QUIET
    };
    caught(Mutant::ReadsGarbageAsYes, garbled, P9);
}

/// Walks every state and demands all promises, and that what should be possible was seen.
fn check(model: EnvModel) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!(
        "{}: {} states, {} transitions, depth {}",
        std::thread::current().name().unwrap_or("?"),
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
    );
    assert!(checker.is_done());
    checker.assert_properties();
}

/// The mutant breaks this very promise, which holds without it.
fn caught(mutant: Mutant, model: EnvModel, promise: &'static str) {
    let sound = EnvModel {
        only: Some(promise),
        ..model
    };
    let broken = EnvModel {
        mutant: Some(mutant),
        ..sound
    };
    let checker = sound.checker().threads(2).spawn_bfs().join();
    checker.assert_no_discovery(promise);
    let checker = broken.checker().threads(2).spawn_bfs().join();
    let steps = checker.assert_any_discovery(promise).into_actions();
    println!(
        "{mutant:?} breaks \"{promise}\" after {} steps: {steps:?}",
        steps.len()
    );
}
