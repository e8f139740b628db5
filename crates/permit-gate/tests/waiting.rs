//! How a plan waits: the whole gate over a memory store, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use permit_gate::{
    Block, BlockReason, Event, FoundBy, Gate, Grant, MemoryStore, MemoryWatch, Next, Permit,
    PermitMask, PermitSet, PermitStore, PlanId, Refusal, Reply, Signal, Slot, StoreError, Take,
    Timer, Ttl, WaitPolicy, rule::TokenRule, trading, wait_and_take,
};
use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Everything that came of one wait.
struct Seen {
    answer: Result<Grant, Block>,
    took: Duration,
    events: Vec<Event>,
}

impl Seen {
    fn grant(self) -> Grant {
        self.answer.expect("a grant")
    }

    fn assert_granted(self) {
        drop(self.grant());
    }

    fn code(&self) -> String {
        self.answer.as_ref().expect_err("a block").code()
    }

    fn found(&self) -> Vec<(usize, u128, FoundBy)> {
        let found = |event: &Event| match *event {
            Event::Found { permit, after, by } => Some((permit, after.as_millis(), by)),
            Event::StoreTrouble { .. } => None,
        };
        self.events.iter().filter_map(found).collect()
    }
}

async fn wait<S: PermitStore>(store: &S) -> Seen {
    wait_with(store, "a", WaitPolicy::default()).await
}

async fn wait_with<S: PermitStore>(store: &S, attempt: &str, policy: WaitPolicy) -> Seen {
    let started = TokioTimer.now();
    let mut events = Vec::new();
    let mut ask = ask_of(attempt);
    ask.policy = policy;
    let answer = wait_and_take(store, &TokioTimer, ask, |event| events.push(event)).await;
    Seen {
        answer,
        took: TokioTimer.now() - started,
        events,
    }
}

/// Does something to the store after so many milliseconds, as an issuer or an operator would.
fn after(store: &MemoryStore, millis: u64, act: impl FnOnce(&MemoryStore) + Send + 'static) {
    let store = store.clone();
    let at = TokioTimer.now() + ms(millis);
    tokio::spawn(async move {
        TokioTimer.sleep_until(at).await;
        act(&store);
    });
}

fn governor_at(store: &MemoryStore, millis: u64) {
    after(store, millis, |s| s.put(&plan(), "governor", GOVERNOR));
}

fn p33_at(store: &MemoryStore, millis: u64) {
    after(store, millis, |s| s.put(&plan(), "p33", P33));
}

/// A memory store whose safety net is stretched, as a store does that trusts its pushes.
struct Stretched(MemoryStore, u32);

impl PermitStore for Stretched {
    type Watch = MemoryWatch;

    fn permits(&self) -> &PermitSet {
        self.0.permits()
    }

    fn watch(&self, plan: &PlanId) -> MemoryWatch {
        self.0.watch(plan)
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        self.0.take_all(take).await
    }

    fn net_interval(&self, step: Duration) -> Duration {
        step * self.1
    }
}

/// A memory store that never pushes: only the safety net finds anything.
struct Deaf(MemoryStore);

struct Silence;

impl permit_gate::Watch for Silence {
    async fn changed(&mut self) -> Signal {
        std::future::pending().await
    }
}

impl PermitStore for Deaf {
    type Watch = Silence;

    fn permits(&self) -> &PermitSet {
        self.0.permits()
    }

    fn watch(&self, _: &PlanId) -> Silence {
        Silence
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        self.0.take_all(take).await
    }
}

#[tokio::test(start_paused = true)]
async fn both_permits_in_time_are_taken_the_moment_the_second_is_written() {
    let store = store();
    governor_at(&store, 50);
    p33_at(&store, 195);
    let seen = wait(&store).await;
    assert_eq!(seen.took, ms(195));
    assert_eq!(
        seen.found(),
        [(0, 50, FoundBy::Push), (1, 195, FoundBy::Push)]
    );
    let grant = seen.grant();
    assert_eq!(grant.waited(), ms(195));
    assert_eq!(grant.plan(), &plan());
    assert_eq!(grant.target(), "BTCUSDT");
    assert_eq!(grant.attempt().as_str(), "a");
    assert_eq!(grant.limit().unwrap().to_string(), "0.008");
    assert_eq!(grant.seen().unwrap().to_string(), "0.0124");
    assert!(!store.holds(&plan(), "governor") && !store.holds(&plan(), "p33"));
}

/// A memory store whose every answer takes this long, and is true of the moment it was asked for.
struct Slow(MemoryStore, Duration);

impl PermitStore for Slow {
    type Watch = MemoryWatch;

    fn permits(&self) -> &PermitSet {
        self.0.permits()
    }

    fn watch(&self, plan: &PlanId) -> MemoryWatch {
        self.0.watch(plan)
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        let reply = self.0.take_all(take).await;
        tokio::time::sleep(self.1).await;
        reply
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_knows_when_its_take_was_asked_for_and_not_only_when_it_was_answered() {
    let store = Slow(store(), ms(300));
    let started = TokioTimer.now();
    // The first take is out from 0 to 300 and misses the second permit; the second one from 300.
    governor_at(&store.0, 0);
    p33_at(&store.0, 100);
    let grant = wait(&store).await.grant();
    assert_eq!(grant.waited(), ms(600));
    assert_eq!(grant.asked_at(), started + ms(300));
}

#[tokio::test(start_paused = true)]
async fn a_late_position_permit_is_taken_at_789_ms() {
    let store = store();
    governor_at(&store, 412);
    p33_at(&store, 789);
    let seen = wait(&store).await;
    assert_eq!(seen.took, ms(789));
    assert_eq!(
        seen.found(),
        [(0, 412, FoundBy::Push), (1, 789, FoundBy::Push)]
    );
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn a_position_permit_that_never_comes_blocks_at_the_deadline_and_leaves_the_governors() {
    let store = store();
    after(&store, 50, |s| {
        let expires = TokioTimer.now() + Duration::from_secs(53);
        s.put_until(&plan(), "governor", GOVERNOR, expires);
    });
    let seen = wait(&store).await;
    assert_eq!(seen.took, ms(1200));
    let block = seen.answer.unwrap_err();
    assert_eq!(block.code(), "missing_p33");
    assert_eq!(block.error_code(), "permit_timeout_or_missing:missing_p33");
    assert_eq!(block.waited(), ms(1200));
    assert_eq!(block.plan(), &plan());
    let ttls: Vec<_> = block.ttls().collect();
    assert_eq!(ttls, [("gov", Ttl::Seconds(52)), ("p33", Ttl::NoKey)]);
    assert_eq!(format!("{}/{}", ttls[0].1, ttls[1].1), "52/-2");
    assert!(store.holds(&plan(), "governor"));
}

#[tokio::test(start_paused = true)]
async fn with_no_permit_at_all_both_are_named() {
    let seen = wait(&store()).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("missing_both", ms(1200))
    );
}

#[tokio::test(start_paused = true)]
async fn permits_that_were_there_already_are_taken_by_one_try_without_waiting() {
    let store = store();
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    let seen = wait(&store).await;
    assert_eq!((seen.took, store.takes()), (Duration::ZERO, 1));
    assert_eq!(
        seen.found(),
        [(0, 0, FoundBy::FirstTry), (1, 0, FoundBy::FirstTry)]
    );
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn the_last_try_finds_a_permit_that_came_within_the_last_step() {
    let store = store();
    governor_at(&store, 10);
    p33_at(&store, 1199);
    // Nothing pushes: only the try at the deadline itself can see it.
    let seen = wait(&Deaf(store)).await;
    assert_eq!(seen.took, ms(1200));
    assert_eq!(
        seen.found(),
        [(0, 100, FoundBy::Poll), (1, 1200, FoundBy::Poll)]
    );
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn the_last_try_is_at_the_deadline_even_where_the_step_does_not_divide_the_wait() {
    let store = store();
    governor_at(&store, 10);
    p33_at(&store, 1150);
    let policy = WaitPolicy {
        step: ms(700),
        ..WaitPolicy::default()
    };
    let seen = wait_with(&Deaf(store), "a", policy).await;
    assert_eq!(seen.took, ms(1200));
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn a_denial_that_is_already_there_ends_the_wait_at_once() {
    let store = store();
    store.put(&plan(), "p33", P33_NO);
    let seen = wait(&store).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("p33_permit_denied", Duration::ZERO)
    );
    let block = seen.answer.unwrap_err();
    let BlockReason::Refused { permit, refusal } = block.reason() else {
        panic!("{block}");
    };
    assert_eq!(&**permit, "p33");
    assert_eq!(
        *refusal,
        Refusal::Denied(Some("reconcile_required_qty_mismatch".into()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_denial_of_the_last_missing_permit_ends_the_wait_the_moment_it_is_pushed() {
    let store = store();
    store.put(&plan(), "p33", P33);
    after(&store, 333, |s| s.put(&plan(), "governor", GOVERNOR_NO));
    let seen = wait(&store).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("governor_permit_denied", ms(333))
    );
}

#[tokio::test(start_paused = true)]
async fn a_denial_while_another_permit_is_missing_ends_the_wait_within_a_step() {
    let store = store();
    after(&store, 333, |s| s.put(&plan(), "p33", P33_NO));
    let seen = wait(&store).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("p33_permit_denied", ms(400))
    );
}

#[tokio::test(start_paused = true)]
async fn a_permit_for_another_symbol_is_a_no() {
    let store = store();
    store.put(&plan(), "governor", GOVERNOR);
    let other = String::from_utf8(P33.to_vec())
        .unwrap()
        .replace("BTCUSDT", "ETHUSDT");
    after(&store, 20, move |s| s.put(&plan(), "p33", other.as_bytes()));
    let seen = wait(&store).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("p33_permit_symbol_mismatch", ms(20))
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_type_is_a_no_at_once_even_where_nothing_else_is_missing() {
    let mut gate = gate(WaitPolicy::default(), TokioTimer.now());
    let now = TokioTimer.now();
    assert!(matches!(gate.poll(now), Next::Take(_)));
    let there = |content: Option<&[u8]>| Slot {
        content: content.map(<[u8]>::to_vec),
        ttl: Ttl::Seconds(50),
    };
    gate.handle_reply(
        now,
        Ok(Reply::Missing(vec![there(Some(GOVERNOR)), there(None)])),
    );
    let Next::Done(Err(block)) = gate.poll(now) else {
        panic!("no answer");
    };
    assert_eq!(block.code(), "invalid_p33_permit_format");
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_expires_before_the_other_comes_is_missing() {
    let store = store();
    let expires = TokioTimer.now() + ms(500);
    store.put_until(&plan(), "governor", GOVERNOR, expires);
    p33_at(&store, 501);
    let seen = wait(&store).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("missing_governor", ms(1200))
    );
    assert!(store.holds(&plan(), "p33"));
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_expired_and_was_written_again_counts() {
    let store = store();
    let expires = TokioTimer.now() + ms(300);
    store.put_until(&plan(), "governor", GOVERNOR, expires);
    p33_at(&store, 400);
    governor_at(&store, 650);
    let seen = wait(&store).await;
    assert_eq!(seen.took, ms(650));
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_no_arrival_when_it_is_said_what_found_the_permit() {
    let store = store();
    after(&store, 20, |s| s.remove(&plan(), "p33"));
    governor_at(&store, 60);
    p33_at(&store, 250);
    let seen = wait(&store).await;
    assert_eq!(
        seen.found(),
        [(0, 60, FoundBy::Push), (1, 250, FoundBy::Push)]
    );
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_is_asked_again_and_the_permits_count() {
    let store = store();
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    for _ in 0..3 {
        store.fail_next(StoreError::Unavailable("connection refused".into()));
    }
    let seen = wait(&store).await;
    assert_eq!((seen.took, store.takes()), (ms(300), 4));
    let troubles: Vec<_> = seen
        .events
        .iter()
        .filter(|e| matches!(e, Event::StoreTrouble { .. }))
        .collect();
    assert_eq!(troubles.len(), 3);
    assert_eq!(
        *troubles[1],
        Event::StoreTrouble {
            error: "permit store is unavailable: connection refused".into(),
            after: ms(100),
        }
    );
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_blocks_by_deadline_and_grace() {
    let store = store();
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    for _ in 0..100 {
        store.fail_next(StoreError::Unavailable("connection refused".into()));
    }
    let seen = wait(&store).await;
    assert_eq!(seen.code(), "permit_store_unavailable");
    assert_eq!(seen.took, ms(1350));
    assert!(store.holds(&plan(), "governor"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_within_the_grace_still_decides() {
    let store = store();
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    for _ in 0..13 {
        store.fail_next(StoreError::Unavailable("connection refused".into()));
    }
    let seen = wait(&store).await;
    assert!(
        seen.took > ms(1200) && seen.took < ms(1350),
        "{:?}",
        seen.took
    );
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_settled_by_the_same_attempt_and_yields_the_grant() {
    let store = store();
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    store.lose_next_reply();
    let seen = wait(&store).await;
    assert_eq!((seen.took, store.takes()), (ms(100), 2));
    assert!(!store.holds(&plan(), "governor"));
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn a_reply_lost_at_the_deadline_is_settled_within_the_grace() {
    let store = store();
    let policy = WaitPolicy {
        wait: Duration::ZERO,
        ..WaitPolicy::default()
    };
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    store.lose_next_reply();
    let seen = wait_with(&store, "a", policy).await;
    assert!(seen.took < policy.grace, "{:?}", seen.took);
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_ends_with_wait_and_grace_and_no_grant() {
    let store = store();
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    store.hang_next();
    let seen = wait(&store).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("permit_take_unanswered", ms(1350))
    );
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_thrown_during_the_wait_wins_over_permits_that_come_later() {
    let store = store();
    after(&store, 30, |s| s.halt(true));
    governor_at(&store, 40);
    p33_at(&store, 60);
    let seen = wait(&store).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("kill_switch_active", ms(60))
    );
    assert!(store.holds(&plan(), "governor") && store.holds(&plan(), "p33"));
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_is_noticed_within_a_step_by_a_plan_that_waits() {
    let store = store();
    after(&store, 730, |s| s.halt(true));
    let seen = wait(&store).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("kill_switch_active", ms(800))
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_after_another_one_took_the_permits_learns_of_it() {
    let store = store();
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    wait(&store).await.assert_granted();
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    let rival = wait_with(&store, "b", WaitPolicy::default()).await;
    assert_eq!(
        (rival.code().as_str(), rival.took),
        ("permits_taken_by_other", Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_gates_racing_for_one_plan_exactly_one_is_granted() {
    let store = store();
    governor_at(&store, 50);
    p33_at(&store, 195);
    let policy = WaitPolicy::default();
    let (a, b) = tokio::join!(
        wait_with(&store, "a", policy),
        wait_with(&store, "b", policy)
    );
    let (winner, loser) = if a.answer.is_ok() { (a, b) } else { (b, a) };
    winner.assert_granted();
    assert_eq!(
        (loser.code().as_str(), loser.took),
        ("permits_taken_by_other", ms(195))
    );
}

#[tokio::test(start_paused = true)]
async fn one_plans_permits_are_worthless_for_another() {
    let store = store();
    let other = PlanId::new("abc123def4567890").unwrap();
    store.put(&other, "governor", GOVERNOR);
    store.put(&other, "p33", P33);
    assert_eq!(wait(&store).await.code(), "missing_both");
    assert!(store.holds(&other, "governor") && store.holds(&other, "p33"));
}

#[tokio::test(start_paused = true)]
async fn after_a_blind_watch_everything_is_looked_at_again() {
    let store = store();
    let stretched = Stretched(store.clone(), 12);
    after(&store, 250, |s| {
        s.put(&plan(), "governor", GOVERNOR);
        s.wake_all();
    });
    after(&store, 260, MemoryStore::wake_all);
    after(&store, 300, |s| s.put(&plan(), "p33", P33));
    let seen = wait(&stretched).await;
    assert_eq!(seen.took, ms(300));
    assert_eq!(
        seen.found(),
        [(0, 250, FoundBy::Reconnect), (1, 300, FoundBy::Push)]
    );
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn two_permits_that_are_pushed_cost_two_takes() {
    let store = store();
    governor_at(&store, 20);
    p33_at(&store, 90);
    let seen = wait(&store).await;
    assert_eq!((seen.took, store.takes()), (ms(90), 2));
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn two_permits_cost_two_takes_however_late_where_the_net_is_stretched() {
    let store = store();
    governor_at(&store, 412);
    p33_at(&store, 1100);
    let seen = wait(&Stretched(store.clone(), 50)).await;
    assert_eq!((seen.took, store.takes()), (ms(1100), 2));
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn the_net_asks_as_often_as_the_store_wants_it_and_never_more_often_than_the_step() {
    for (stretch, takes) in [(1, 13), (3, 5), (50, 2), (0, 13)] {
        let store = store();
        let seen = wait(&Stretched(store.clone(), stretch)).await;
        assert_eq!(
            (seen.code().as_str(), seen.took),
            ("missing_both", ms(1200))
        );
        assert_eq!(store.takes(), takes, "stretched {stretch} times");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_of_zero_neither_spins_nor_hangs() {
    let store = store();
    let policy = WaitPolicy {
        wait: ms(20),
        step: Duration::ZERO,
        grace: Duration::from_nanos(3),
    };
    for _ in 0..5 {
        store.fail_next(StoreError::Unavailable("away".into()));
    }
    let seen = wait_with(&store, "a", policy).await;
    assert_eq!((seen.code().as_str(), seen.took), ("missing_both", ms(20)));
    assert!(store.takes() <= 21, "{} takes", store.takes());
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_zero_is_one_try() {
    let policy = WaitPolicy {
        wait: Duration::ZERO,
        ..WaitPolicy::default()
    };
    let store = store();
    let seen = wait_with(&store, "a", policy).await;
    assert_eq!(
        (seen.code().as_str(), seen.took, store.takes()),
        ("missing_both", Duration::ZERO, 1)
    );
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    wait_with(&store, "a", policy).await.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_clock_is_no_wait() {
    let policy = WaitPolicy {
        wait: Duration::MAX,
        grace: Duration::MAX,
        ..WaitPolicy::default()
    };
    let seen = wait_with(&store(), "a", policy).await;
    assert_eq!(
        (seen.code().as_str(), seen.took),
        ("missing_both", Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn three_permits_are_awaited_and_taken_like_two() {
    let third = Permit::new("p26", TokenRule::new("1")).unwrap();
    let set = PermitSet::new(vec![trading::governor(), trading::position_brain(), third]).unwrap();
    let store = MemoryStore::new(Arc::new(set));
    governor_at(&store, 10);
    p33_at(&store, 20);
    assert_eq!(wait(&store).await.code(), "missing_p26");
    after(&store, 35, |s| s.put(&plan(), "p26", b"1"));
    let seen = wait(&store).await;
    assert_eq!(seen.took, ms(35));
    let names: Vec<String> = seen
        .grant()
        .permits()
        .iter()
        .map(|p| p.name.to_string())
        .collect();
    assert_eq!(names, ["governor", "p33", "p26"]);
}

#[test]
fn an_answer_is_given_once() {
    let now = Instant::now();
    let mut gate = gate(WaitPolicy::default(), now);
    assert!(matches!(gate.poll(now), Next::Take(_)));
    gate.handle_reply(now, taken());
    assert!(matches!(gate.poll(now), Next::Done(Ok(_))));
    for _ in 0..3 {
        gate.handle_reply(now, taken());
        gate.handle_signal(now, Signal::LookAgain);
        let Next::Done(Err(block)) = gate.poll(now) else {
            panic!("a second answer");
        };
        assert_eq!(block.code(), "gate_already_answered");
    }
}

#[test]
fn a_gate_that_is_polled_after_its_grace_asks_nothing_more() {
    let start = Instant::now();
    let end = start + ms(1350);
    // Never polled before.
    let mut fresh = gate(WaitPolicy::default(), start);
    assert!(matches!(fresh.poll(end + ms(1)), Next::Done(Err(_))));
    // Stalled between two takes.
    let mut waiting = gate(WaitPolicy::default(), start);
    assert!(matches!(waiting.poll(start), Next::Take(_)));
    waiting.handle_reply(start, Ok(Reply::Missing(vec![Slot::ABSENT, Slot::ABSENT])));
    waiting.handle_signal(start + ms(5), Signal::Touched(trading::permits().all()));
    let Next::Done(Err(block)) = waiting.poll(end + ms(1)) else {
        panic!("it goes on after its end");
    };
    assert_eq!(block.code(), "permit_take_too_late");
}

#[test]
fn a_take_that_is_answered_after_the_grace_is_a_no() {
    let start = Instant::now();
    let mut gate = gate(WaitPolicy::default(), start);
    assert!(matches!(gate.poll(start), Next::Take(_)));
    gate.handle_reply(start + ms(1351), taken());
    let Next::Done(Err(block)) = gate.poll(start + ms(1351)) else {
        panic!("granted too late");
    };
    assert_eq!(block.code(), "permit_take_unanswered");
}

#[test]
fn an_answer_of_the_wrong_length_is_trouble_and_never_a_grant() {
    for reply in [
        Reply::Taken(vec![]),
        Reply::Taken(vec![GOVERNOR.to_vec()]),
        Reply::Taken(vec![GOVERNOR.to_vec(), P33.to_vec(), P33.to_vec()]),
        Reply::Missing(vec![]),
        Reply::Missing(vec![Slot::ABSENT]),
        Reply::Missing(vec![Slot::ABSENT; 3]),
    ] {
        let now = Instant::now();
        let mut gate = gate(WaitPolicy::default(), now);
        assert!(matches!(gate.poll(now), Next::Take(_)));
        gate.handle_reply(now, Ok(reply));
        assert!(matches!(gate.poll(now), Next::Wait(_)));
        assert!(matches!(
            gate.poll_event(),
            Some(Event::StoreTrouble { .. })
        ));
        let at_end = now + ms(1350);
        let Next::Done(Err(block)) = gate.poll(at_end) else {
            panic!("no end");
        };
        assert_eq!(block.code(), "permit_store_unavailable");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_leaves_nothing_registered_in_the_store() {
    let store = store();
    for i in 0..1000 {
        let mut ask = ask_of("a");
        ask.subject.plan = PlanId::new(&format!("plan-{i}")).unwrap();
        let mut waiting = pin!(wait_and_take(&store, &TokioTimer, ask, |_| {}));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(waiting.as_mut().poll(&mut context), Poll::Pending));
        assert_eq!(store.watched_plans(), 1);
    }
    assert_eq!(store.watched_plans(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answered_wait_leaves_nothing_registered_in_the_store() {
    let store = store();
    governor_at(&store, 50);
    p33_at(&store, 195);
    wait(&store).await.assert_granted();
    assert_eq!(store.watched_plans(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_signal_before_the_first_look_at_the_watch_is_not_lost() {
    let store = store();
    let mut watch = store.watch(&plan());
    store.put(&plan(), "governor", GOVERNOR);
    store.put(&plan(), "p33", P33);
    let both = PermitMask::only(0).union(PermitMask::only(1));
    assert_eq!(
        permit_gate::Watch::changed(&mut watch).await,
        Signal::Touched(both)
    );
}

fn gate(policy: WaitPolicy, now: Instant) -> Gate {
    Gate::new(trading::permits(), subject(), attempt("a"), policy, now)
}

fn taken() -> Result<Reply, StoreError> {
    Ok(Reply::Taken(vec![GOVERNOR.to_vec(), P33.to_vec()]))
}

/// A memory store that waits for its asker until it knows that the asker is ready, and then wakes it.
struct Waiting(MemoryStore, tokio::sync::watch::Receiver<bool>);

struct WaitingWatch(MemoryWatch, tokio::sync::watch::Receiver<bool>);

impl permit_gate::Watch for WaitingWatch {
    async fn changed(&mut self) -> Signal {
        tokio::select! {
            Ok(()) = self.1.changed() => Signal::LookAgain,
            signal = self.0.changed() => signal,
        }
    }
}

impl PermitStore for Waiting {
    type Watch = WaitingWatch;

    fn permits(&self) -> &PermitSet {
        self.0.permits()
    }

    fn watch(&self, plan: &PlanId) -> WaitingWatch {
        WaitingWatch(self.0.watch(plan), self.1.clone())
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        if *self.1.borrow() {
            return self.0.take_all(take).await;
        }
        let there = |name| self.0.holds(&take.plan, name);
        let slot = |there, content: &[u8]| match there {
            true => Slot {
                content: Some(content.into()),
                ttl: Ttl::Seconds(60),
            },
            false => Slot::ABSENT,
        };
        let (governor, p33) = (there("governor"), there("p33"));
        let slots = vec![slot(governor, GOVERNOR), slot(p33, P33)];
        Ok(match governor && p33 {
            true => Reply::NotReady(slots),
            false => Reply::Missing(slots),
        })
    }
}

fn waiting_for_us(ready_after: u64) -> (Waiting, MemoryStore) {
    let memory = store();
    let (ready, seen) = tokio::sync::watch::channel(false);
    after(&memory, ready_after, move |_| {
        ready.send_replace(true);
        // The receiver may have been dropped.
        drop(ready);
    });
    (Waiting(memory.clone(), seen), memory)
}

#[tokio::test(start_paused = true)]
async fn permits_that_come_before_the_asker_is_ready_are_taken_the_moment_it_is() {
    let (waiting, store) = waiting_for_us(333);
    governor_at(&store, 50);
    p33_at(&store, 195);
    let seen = wait(&waiting).await;
    assert_eq!(seen.took, ms(333));
    assert_eq!(
        seen.found(),
        [(0, 50, FoundBy::Push), (1, 195, FoundBy::Push)]
    );
    seen.assert_granted();
}

#[tokio::test(start_paused = true)]
async fn an_asker_that_is_ready_after_the_deadline_still_has_its_grace_and_no_more() {
    let (waiting, store) = waiting_for_us(1300);
    governor_at(&store, 50);
    p33_at(&store, 1199);
    let seen = wait(&waiting).await;
    assert_eq!(seen.took, ms(1300));
    seen.assert_granted();

    let (waiting, store) = waiting_for_us(1400);
    governor_at(&store, 50);
    p33_at(&store, 195);
    let seen = wait(&waiting).await;
    assert_eq!(seen.took, ms(1350));
    assert_eq!(seen.code(), "permit_take_too_late");
    assert!(store.holds(&plan(), "governor") && store.holds(&plan(), "p33"));
}

#[tokio::test(start_paused = true)]
async fn a_no_ends_the_wait_whether_the_asker_is_ready_or_not() {
    struct Denied(Vec<Slot>, MemoryStore);

    impl PermitStore for Denied {
        type Watch = MemoryWatch;

        fn permits(&self) -> &PermitSet {
            self.1.permits()
        }

        fn watch(&self, plan: &PlanId) -> MemoryWatch {
            self.1.watch(plan)
        }

        async fn take_all(&self, _: &Take) -> Result<Reply, StoreError> {
            Ok(Reply::NotReady(self.0.clone()))
        }
    }

    let slot = |content: &[u8]| Slot {
        content: Some(content.into()),
        ttl: Ttl::Seconds(60),
    };
    let denied = Denied(vec![slot(GOVERNOR), slot(b"no")], store());
    let seen = wait(&denied).await;
    assert_eq!(
        (seen.took, &*seen.code()),
        (ms(0), "invalid_p33_permit_format")
    );
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_somebody_elses_is_a_no_at_once() {
    struct Others(MemoryStore);

    impl PermitStore for Others {
        type Watch = MemoryWatch;

        fn permits(&self) -> &PermitSet {
            self.0.permits()
        }

        fn watch(&self, plan: &PlanId) -> MemoryWatch {
            self.0.watch(plan)
        }

        async fn take_all(&self, _: &Take) -> Result<Reply, StoreError> {
            Ok(Reply::NotHeld)
        }
    }

    let seen = wait(&Others(store())).await;
    assert_eq!((seen.took, &*seen.code()), (ms(0), "claim_lost"));
}

#[test]
fn a_first_try_that_is_put_off_waits_for_the_word_of_its_watch() {
    let start = Instant::now();
    let put_off = |until: u64| {
        let mut gate = Gate::new(
            trading::permits(),
            subject(),
            attempt("a"),
            WaitPolicy::default(),
            start,
        );
        gate.put_off(start + ms(until));
        gate
    };
    let pushed = || {
        let mut gate = put_off(600);
        let both = PermitMask::only(0).union(PermitMask::only(1));
        gate.handle_signal(start + ms(5), Signal::Touched(both));
        assert!(matches!(gate.poll(start + ms(5)), Next::Wait(at) if at == start + ms(600)));
        gate
    };
    // Its watch says that it is time.
    let mut gate = pushed();
    gate.handle_signal(start + ms(30), Signal::LookAgain);
    assert!(
        matches!(gate.poll(start + ms(30)), Next::Take(take) if take.asked_at == start + ms(30))
    );
    // What was pushed meanwhile is found when it was pushed.
    let contents = vec![GOVERNOR.to_vec(), P33.to_vec()];
    gate.handle_reply(start + ms(31), Ok(Reply::Taken(contents)));
    let found = std::iter::from_fn(|| gate.poll_event()).map(|event| match event {
        Event::Found { after, by, .. } => (after, by),
        other => panic!("{other:?}"),
    });
    assert_eq!(found.collect::<Vec<_>>(), [(ms(5), FoundBy::Push); 2]);
    assert!(matches!(gate.poll(start + ms(31)), Next::Done(Ok(_))));
    // It does not say so.
    assert!(matches!(pushed().poll(start + ms(600)), Next::Take(_)));
    // Whatever it is put off to, the last try is made at the deadline.
    let late = |at: u64| put_off(60_000).poll(start + ms(at));
    assert!(matches!(late(1_199), Next::Wait(at) if at == start + ms(1_200)));
    assert!(matches!(late(1_200), Next::Take(_)));
}
