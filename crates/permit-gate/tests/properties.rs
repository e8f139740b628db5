//! The real gate against a naive reading of its rules, over random orders of answers, signals and
//! time. The reading keeps no state: at every poll it goes through all that was said so far.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{GOVERNOR, GOVERNOR_NO, P33, P33_NO, attempt, ms, subject};
use permit_gate::{
    Gate, Next, PermitMask, Reply, Signal, Slot, StoreError, Ttl, WaitPolicy,
    rule::MAX_PERMIT_BYTES, trading,
};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// What a key can hold.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Yes,
    Denial,
    Foreign,
    Garbage,
    Empty,
    Huge,
}

#[derive(Debug, Clone, PartialEq)]
enum Said {
    Taken(Vec<Kind>),
    /// A key that is not there, one of another type, or its content.
    Missing(Vec<Key>),
    /// All are there, and the store waits for the asker.
    NotReady(Vec<Key>),
    NotHeld,
    TakenByOther,
    Halted,
    Fenced,
    Late,
    Away,
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Key {
    Absent,
    OtherType,
    Holds(Kind),
}

#[derive(Debug, Clone)]
enum Op {
    Poll,
    Reply(Said),
    Touched(Vec<usize>),
    LookAgain,
    Net(u64),
    Pass(u64),
}

/// What a poll says, in milliseconds and microseconds since the start.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    Take { asked_at: Duration },
    Wait(Duration),
    Granted,
    Blocked(String),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_gate_does_what_a_naive_reading_of_its_rules_does(
        policy in policies(),
        ops in prop::collection::vec(ops(), 1..60),
    ) {
        let start = Instant::now();
        let mut gate = Gate::new(trading::permits(), subject(), attempt("a"), policy, start);
        let mut log: Vec<(Duration, Op)> = Vec::new();
        let mut outs: Vec<(usize, Out)> = Vec::new();
        let mut now = Duration::ZERO;
        for op in ops {
            match &op {
                Op::Pass(millis) => now += ms(*millis),
                Op::Net(millis) => gate.handle_net_interval(ms(*millis)),
                Op::Reply(said) => gate.handle_reply(start + now, in_gate_words(said)),
                Op::LookAgain => gate.handle_signal(start + now, Signal::LookAgain),
                Op::Touched(which) => {
                    let mask = which.iter().map(|i| PermitMask::only(*i));
                    let mask = mask.fold(PermitMask::NONE, PermitMask::union);
                    gate.handle_signal(start + now, Signal::Touched(mask));
                }
                Op::Poll => {
                    let out = describe(gate.poll(start + now), start);
                    let want = naive(&policy, &log, &outs, now);
                    prop_assert_eq!(&out, &want, "at {:?} after {:#?}", now, log);
                    if out == Out::Granted {
                        let clear = Said::Taken(vec![Kind::Yes, Kind::Yes]);
                        prop_assert_eq!(last_reply(&log, &outs), Some(clear));
                    }
                    outs.push((log.len(), out));
                }
            }
            log.push((now, op));
        }
        let end = policy.wait + policy.grace;
        let after = start + now.max(end) + ms(1);
        if !outs.iter().any(|(_, out)| is_answer(out)) {
            let out = describe(gate.poll(after), start);
            prop_assert!(is_answer(&out), "not finished at its end: {:?}", out);
            outs.push((log.len(), out));
        }
        let again = describe(gate.poll(after), start);
        prop_assert_eq!(again, Out::Blocked("gate_already_answered".into()));
        prop_assert!(outs.iter().filter(|(_, out)| *out == Out::Granted).count() <= 1);
        while gate.poll_event().is_some() {}
    }
}

#[test]
fn the_random_histories_reach_every_answer() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20_000 {
        let policy = policies().new_tree(&mut runner).unwrap().current();
        let tree = prop::collection::vec(ops(), 1..60).new_tree(&mut runner);
        let (mut log, mut outs, mut now) = (Vec::new(), Vec::new(), Duration::ZERO);
        for op in tree.unwrap().current() {
            match op {
                Op::Pass(millis) => now += ms(millis),
                Op::Poll => {
                    let out = naive(&policy, &log, &outs, now);
                    seen.insert(match &out {
                        Out::Take { .. } => "take".to_owned(),
                        Out::Wait(_) => "wait".into(),
                        Out::Granted => "granted".into(),
                        Out::Blocked(code) => code.clone(),
                    });
                    outs.push((log.len(), out));
                }
                _ => {}
            }
            log.push((now, op));
        }
    }
    for answer in [
        "take",
        "wait",
        "granted",
        "missing_both",
        "missing_governor",
        "missing_p33",
        "governor_permit_denied",
        "p33_permit_denied",
        "governor_permit_symbol_mismatch",
        "invalid_p33_permit_format",
        "kill_switch_active",
        "live_instance_beside",
        "permits_taken_by_other",
        "claim_lost",
        "permit_take_too_late",
        "permit_store_unavailable",
        "permit_take_unanswered",
        "gate_already_answered",
    ] {
        assert!(seen.contains(answer), "{answer} is never reached: {seen:?}");
    }
}

/// What the gate should say now, from all that was said before.
fn naive(policy: &WaitPolicy, log: &[(Duration, Op)], outs: &[(usize, Out)], now: Duration) -> Out {
    let (deadline, end) = (policy.wait, policy.wait + policy.grace);
    let blocked = |code: &str| Out::Blocked(code.into());
    if outs.iter().any(|(_, out)| is_answer(out)) {
        return blocked("gate_already_answered");
    }
    let takes: Vec<(usize, Duration)> = outs
        .iter()
        .filter_map(|(at, out)| match out {
            Out::Take { asked_at } => Some((*at, *asked_at)),
            _ => None,
        })
        .collect();
    let take = Out::Take { asked_at: now };
    let Some((asked, asked_at)) = takes.last().copied() else {
        return if now > end {
            blocked("permit_take_too_late")
        } else {
            take
        };
    };
    let Some((replied, said)) = reply_after(log, asked) else {
        let hopeless = now >= end;
        return if hopeless {
            blocked("permit_take_unanswered")
        } else {
            Out::Wait(end)
        };
    };
    if replied > end {
        return blocked("permit_take_unanswered");
    }
    let (needed, due) = match verdict(&said, asked_at >= deadline) {
        Verdict::Final(out) => return out,
        Verdict::Missing(needed) => {
            if now > end {
                return blocked("permit_take_too_late");
            }
            (
                needed,
                (replied + net(policy, log, asked).max(ms(1))).min(deadline),
            )
        }
        Verdict::NotReady => {
            if now >= end {
                return blocked("permit_take_too_late");
            }
            let due = if asked_at < deadline {
                (replied + net(policy, log, asked).max(ms(1))).min(deadline)
            } else {
                (replied + (policy.grace / 4).max(ms(1))).min(end)
            };
            (Vec::new(), due)
        }
        Verdict::Trouble => {
            if now >= end {
                return blocked("permit_store_unavailable");
            }
            let due = if replied < deadline {
                (replied + policy.step.max(ms(1))).min(deadline)
            } else {
                (replied + (policy.grace / 4).max(ms(1))).min(end)
            };
            (last_missing(log, &takes), due)
        }
    };
    let signals = || log[asked..].iter().map(|(_, op)| op);
    let touched =
        |i: &usize| signals().any(|op| matches!(op, Op::Touched(which) if which.contains(i)));
    let look_again = signals().any(|op| matches!(op, Op::LookAgain));
    // Where nothing was missing no push can be what was waited for.
    let pushed = !needed.is_empty() && needed.iter().all(touched);
    if pushed || look_again || now >= due {
        return take;
    }
    Out::Wait(due)
}

enum Verdict {
    Final(Out),
    Missing(Vec<usize>),
    NotReady,
    Trouble,
}

fn verdict(said: &Said, last: bool) -> Verdict {
    let blocked = |code: &str| Verdict::Final(Out::Blocked(code.into()));
    match said {
        Said::TakenByOther => blocked("permits_taken_by_other"),
        Said::NotHeld => blocked("claim_lost"),
        Said::NotReady(keys) if keys.len() != 2 => Verdict::Trouble,
        Said::NotReady(keys) => {
            let refused = (0..2).find_map(|i| match keys[i] {
                Key::Absent | Key::OtherType => Some(format!("invalid_{}_permit_format", name(i))),
                Key::Holds(kind) => no(i, kind),
            });
            refused.map_or(Verdict::NotReady, |code| blocked(&code))
        }
        Said::Halted => blocked("kill_switch_active"),
        Said::Fenced => blocked("live_instance_beside"),
        Said::Late => blocked("permit_take_too_late"),
        Said::Away | Said::Lost => Verdict::Trouble,
        Said::Taken(kinds) if kinds.len() != 2 => Verdict::Trouble,
        Said::Taken(kinds) => match (0..2).find_map(|i| no(i, kinds[i])) {
            Some(code) => blocked(&code),
            None => Verdict::Final(Out::Granted),
        },
        Said::Missing(keys) if keys.len() != 2 => Verdict::Trouble,
        Said::Missing(keys) => {
            if keys.iter().all(|key| matches!(key, Key::Holds(_))) {
                return Verdict::Trouble;
            }
            let refused = (0..2).find_map(|i| match keys[i] {
                Key::Absent => None,
                Key::OtherType => Some(format!("invalid_{}_permit_format", name(i))),
                Key::Holds(kind) => no(i, kind),
            });
            let gone: Vec<usize> = (0..2).filter(|i| keys[*i] == Key::Absent).collect();
            match (refused, last, gone.as_slice()) {
                (Some(code), _, _) => blocked(&code),
                (None, true, [i]) => blocked(&format!("missing_{}", name(*i))),
                (None, true, _) => blocked("missing_both"),
                (None, false, _) => Verdict::Missing(gone),
            }
        }
    }
}

fn name(i: usize) -> &'static str {
    ["governor", "p33"][i]
}

fn no(i: usize, kind: Kind) -> Option<String> {
    match kind {
        Kind::Yes => None,
        Kind::Denial => Some(format!("{}_permit_denied", name(i))),
        Kind::Foreign => Some(format!("{}_permit_symbol_mismatch", name(i))),
        Kind::Garbage | Kind::Empty | Kind::Huge => {
            Some(format!("invalid_{}_permit_format", name(i)))
        }
    }
}

/// The first reply after the take that was asked for there.
fn reply_after(log: &[(Duration, Op)], asked: usize) -> Option<(Duration, Said)> {
    log[asked..].iter().find_map(|(at, op)| match op {
        Op::Reply(said) => Some((*at, said.clone())),
        _ => None,
    })
}

fn last_reply(log: &[(Duration, Op)], outs: &[(usize, Out)]) -> Option<Said> {
    let asked = outs
        .iter()
        .rev()
        .find(|(_, out)| matches!(out, Out::Take { .. }))?;
    reply_after(log, asked.0).map(|(_, said)| said)
}

/// The net in force when the reply came: the last one said before it, never below the step.
fn net(policy: &WaitPolicy, log: &[(Duration, Op)], asked: usize) -> Duration {
    let reply = log[asked..]
        .iter()
        .position(|(_, op)| matches!(op, Op::Reply(_)));
    let before = &log[..asked + reply.unwrap_or(0)];
    let said = before.iter().rev().find_map(|(_, op)| match op {
        Op::Net(millis) => Some(ms(*millis)),
        _ => None,
    });
    said.unwrap_or(policy.step).max(policy.step)
}

/// What was missing when a store last said so; before that, everything.
fn last_missing(log: &[(Duration, Op)], takes: &[(usize, Duration)]) -> Vec<usize> {
    let replies = takes
        .iter()
        .rev()
        .filter_map(|(at, _)| reply_after(log, *at));
    let missing = |(_, said): (Duration, Said)| match verdict(&said, false) {
        Verdict::Missing(gone) => Some(gone),
        Verdict::NotReady => Some(Vec::new()),
        Verdict::Final(_) | Verdict::Trouble => None,
    };
    replies.filter_map(missing).next().unwrap_or(vec![0, 1])
}

fn is_answer(out: &Out) -> bool {
    matches!(out, Out::Granted | Out::Blocked(_))
}

fn describe(next: Next, start: Instant) -> Out {
    match next {
        Next::Take(take) => Out::Take {
            asked_at: take.asked_at - start,
        },
        Next::Wait(until) => Out::Wait(until - start),
        Next::Done(Ok(_)) => Out::Granted,
        Next::Done(Err(block)) => Out::Blocked(block.code()),
    }
}

fn content(i: usize, kind: Kind) -> Vec<u8> {
    const FOREIGN: [&str; 2] = [
        r#"{"granted":true,"symbol":"ETHUSDT","decision":"EXECUTE","computed_qty":0.0,"created_at":1}"#,
        r#"{"allow":true,"symbol":"ETHUSDT","safe_close_qty":0.008,"created_at":1}"#,
    ];
    match kind {
        Kind::Yes => [GOVERNOR, P33][i % 2].to_vec(),
        Kind::Denial => [GOVERNOR_NO, P33_NO][i % 2].to_vec(),
        Kind::Foreign => FOREIGN[i % 2].into(),
        Kind::Garbage => b"{\"granted\":true,\"allow\":true".to_vec(),
        Kind::Empty => Vec::new(),
        Kind::Huge => vec![b' '; MAX_PERMIT_BYTES + 1],
    }
}

fn in_gate_words(said: &Said) -> Result<Reply, StoreError> {
    let contents = |kinds: &[Kind]| {
        kinds
            .iter()
            .enumerate()
            .map(|(i, k)| content(i, *k))
            .collect()
    };
    let slot = |(i, key): (usize, &Key)| match key {
        Key::Absent => Slot::ABSENT,
        Key::OtherType => Slot {
            content: None,
            ttl: Ttl::NoExpiry,
        },
        Key::Holds(kind) => Slot {
            content: Some(content(i, *kind)),
            ttl: Ttl::Seconds(60),
        },
    };
    match said {
        Said::Taken(kinds) => Ok(Reply::Taken(contents(kinds))),
        Said::Missing(keys) => Ok(Reply::Missing(keys.iter().enumerate().map(slot).collect())),
        Said::NotReady(keys) => Ok(Reply::NotReady(keys.iter().enumerate().map(slot).collect())),
        Said::NotHeld => Ok(Reply::NotHeld),
        Said::TakenByOther => Ok(Reply::TakenByOther),
        Said::Halted => Ok(Reply::Halted),
        Said::Fenced => Ok(Reply::Fenced),
        Said::Late => Ok(Reply::Late),
        Said::Away => Err(StoreError::Unavailable("away".into())),
        Said::Lost => Err(StoreError::Unsettled("lost".into())),
    }
}

fn policies() -> impl Strategy<Value = WaitPolicy> {
    (0..40u64, 0..12u64, 0..15u64).prop_map(|(wait, step, grace)| WaitPolicy {
        wait: ms(wait),
        step: ms(step),
        grace: ms(grace),
    })
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => Just(Op::Poll),
        8 => replies().prop_map(Op::Reply),
        3 => prop::collection::vec(0..4usize, 0..3).prop_map(Op::Touched),
        1 => Just(Op::LookAgain),
        1 => (0..30u64).prop_map(Op::Net),
        6 => (0..9u64).prop_map(Op::Pass),
        1 => (0..50u64).prop_map(Op::Pass),
    ]
}

fn replies() -> impl Strategy<Value = Said> {
    let two_kinds = prop::collection::vec(kinds(), 2..3);
    let two_keys = prop::collection::vec(keys(), 2..3);
    prop_oneof![
        2 => Just(Said::Taken(vec![Kind::Yes, Kind::Yes])),
        1 => two_kinds.prop_map(Said::Taken),
        1 => prop::collection::vec(kinds(), 0..4).prop_map(Said::Taken),
        14 => two_keys.prop_map(Said::Missing),
        1 => prop::collection::vec(keys(), 0..4).prop_map(Said::Missing),
        6 => Just(Said::NotReady(vec![Key::Holds(Kind::Yes), Key::Holds(Kind::Yes)])),
        1 => prop::collection::vec(keys(), 0..4).prop_map(Said::NotReady),
        1 => Just(Said::NotHeld),
        1 => Just(Said::TakenByOther),
        1 => Just(Said::Halted),
        1 => Just(Said::Fenced),
        1 => Just(Said::Late),
        3 => Just(Said::Away),
        3 => Just(Said::Lost),
    ]
}

fn keys() -> impl Strategy<Value = Key> {
    prop_oneof![
        20 => Just(Key::Absent),
        1 => Just(Key::OtherType),
        6 => kinds().prop_map(Key::Holds),
    ]
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        10 => Just(Kind::Yes),
        1 => Just(Kind::Denial),
        1 => Just(Kind::Foreign),
        1 => Just(Kind::Garbage),
        1 => Just(Kind::Empty),
        1 => Just(Kind::Huge),
    ]
}
