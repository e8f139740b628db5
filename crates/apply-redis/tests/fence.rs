//! A server that forgets: what it gives out again, to whom, and when; and who may say how a plan ended.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{
    ApplyResult, Claim, Decision, Hold, Mastership, Plan, PlanLog, ProposalSource, PublishOutcome,
    Reclaim, ResultLog, Stage, SwitchNote,
};
use apply_redis::{Instance, PlanStoreConfig, RedisPlanStore};
use common::{aged, attempt, intent, plan, won};
use redis::{AsyncCommands, FromRedisValue, aio::MultiplexedConnection};
use redis_harness::{RedisServer, SentinelStub};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::watch;

const PLANS: &str = "quantum:stream:apply.plan";
const RESULTS: &str = "quantum:stream:apply.result";
const OPEN: &str = "quantum:apply:open";
const GENERATION: &str = "quantum:apply:generation";
const TTL: Duration = Duration::from_secs(21_600);

/// How long these plan stores wait where something may have been forgotten.
const CLEAN_AFTER: Duration = Duration::from_millis(400);

struct Bench {
    redis: MultiplexedConnection,
    server: RedisServer,
}

async fn bench() -> Bench {
    on(aged(RedisServer::builder().rdb().start().await).await).await
}

async fn on(server: RedisServer) -> Bench {
    Bench {
        redis: server.connection().await,
        server,
    }
}

fn config(url: String, owner: &str) -> PlanStoreConfig {
    let mut config = PlanStoreConfig::new(url);
    config.clean_after = Some(CLEAN_AFTER);
    config.instance = Instance {
        owner: owner.into(),
        process: format!("{owner}1"),
        lease: Duration::from_secs(15),
    };
    config
}

impl Bench {
    async fn plan_store(&self, owner: &str) -> RedisPlanStore {
        let config = config(self.server.url(), owner);
        RedisPlanStore::connect(config).await.unwrap()
    }

    async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut self.redis.clone()).await.unwrap()
    }

    async fn length(&self, stream: &str) -> usize {
        self.command(&["XLEN", stream]).await
    }

    async fn executed(&self) -> Vec<String> {
        let entries: redis::streams::StreamRangeReply =
            self.redis.clone().xrange_all(RESULTS).await.unwrap();
        let entries = entries.ids.into_iter();
        entries
            .map(|entry| entry.get("executed").unwrap())
            .collect()
    }
}

async fn claim(plan_store: &RedisPlanStore, plan: &Plan, by: &str) -> Claim {
    plan_store.claim(plan, &attempt(by), TTL, 1).await.unwrap()
}

/// Claims as soon as that is allowed; how long it was not.
async fn claim_when_clean(plan_store: &RedisPlanStore, plan: &Plan, by: &str) -> (Hold, Duration) {
    let began = Instant::now();
    loop {
        match claim(plan_store, plan, by).await {
            Claim::TooYoung { clean_at } => tokio::time::sleep_until(clean_at.into()).await,
            other => return (won(other), began.elapsed()),
        }
    }
}

fn result(plan: &Plan, executed: bool) -> ApplyResult {
    ApplyResult {
        is_final: true,
        executed,
        ..ApplyResult::not_executed(plan, Decision::Error, Some("order_not_sent".into()), 2)
    }
}

#[tokio::test]
async fn on_an_undisturbed_server_a_process_that_has_just_started_claims_at_once() {
    let bench = bench().await;
    let plan = plan("PARTIAL_75");
    assert!(
        claim(&bench.plan_store("a").await, &plan, "a1.0")
            .await
            .is_won()
    );
}

#[tokio::test]
async fn nothing_is_claimed_and_nothing_published_until_a_new_server_is_clean() {
    let bench = on(RedisServer::start().await).await;
    let (plan_store, plan) = (bench.plan_store("a").await, plan("PARTIAL_75"));
    let young = claim(&plan_store, &plan, "a1.0").await;
    assert!(matches!(young, Claim::TooYoung { .. }), "{young:?}");
    let claim_key = format!("quantum:apply:dedupe:{}", plan.id);
    let keys: i64 = bench.command(&["EXISTS", &claim_key, PLANS, OPEN]).await;
    assert_eq!(keys, 0);
    let (hold, waited) = claim_when_clean(&plan_store, &plan, "a1.0").await;
    assert!(
        waited >= CLEAN_AFTER - Duration::from_millis(50),
        "{waited:?}"
    );
    assert!(hold.generation.clean_at <= Instant::now());
}

#[tokio::test]
async fn a_server_that_was_flushed_or_came_back_with_an_old_snapshot_is_new_again() {
    let mut bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a").await, plan("PARTIAL_75"));
    let (hold, _) = claim_when_clean(&plan_store, &plan, "a1.0").await;
    // The snapshot has the generation, and the claim.
    let _: String = bench.command(&["SAVE"]).await;
    let _: String = bench.command(&["FLUSHALL"]).await;
    assert!(plan_store.is_current(&hold), "no answer has shown it yet");
    let young = claim(&plan_store, &plan, "a1.1").await;
    assert!(matches!(young, Claim::TooYoung { .. }), "{young:?}");
    assert!(!plan_store.is_current(&hold));
    let (flushed, _) = claim_when_clean(&plan_store, &plan, "a1.1").await;
    assert_ne!(flushed.generation.id, hold.generation.id);
    bench.server.restart().await;
    bench.redis = bench.server.connection().await;
    let other = common::plan("PARTIAL_50");
    let young = loop {
        // The connection has to be made again.
        if let Ok(claim) = plan_store.claim(&other, &attempt("a1.2"), TTL, 1).await {
            break claim;
        }
    };
    assert!(matches!(young, Claim::TooYoung { .. }), "{young:?}");
    assert!(!plan_store.is_current(&hold) && !plan_store.is_current(&flushed));
    // The first claim came back with the snapshot: its attempt has no say any more.
    let outcome = plan_store
        .finalize(&result(&plan, false), &hold.publisher())
        .await;
    assert_eq!(outcome, Ok(PublishOutcome::Forgot));
}

/// A plan may wait for its permits while the server is started again, with all that it knew, and nothing be
/// asked of it but what needs no generation.
#[tokio::test]
async fn a_server_that_was_started_again_is_another_one_before_anything_is_asked_of_it() {
    let mut bench = on(aged(RedisServer::builder().aof("always").start().await).await).await;
    let (plan_store, plan) = (bench.plan_store("a").await, plan("PARTIAL_75"));
    let (hold, _) = claim_when_clean(&plan_store, &plan, "a1.0").await;
    assert_eq!(plan_store.mastership().server(), Some(hold.server));
    bench.server.restart().await;
    while !plan_store
        .note_intent(&intent(&plan, "a1.0"))
        .await
        .unwrap_or(false)
    {}
    assert!(!plan_store.is_current(&hold));
    assert_ne!(plan_store.mastership().server(), Some(hold.server));
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_a_server_new_and_not_old_for_ever() {
    let bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a").await, plan("PARTIAL_75"));
    let generation: String = bench.command(&["GET", GENERATION]).await;
    let (head, _) = generation.rsplit_once(' ').unwrap();
    let tomorrow = format!("{head} 9999999999999999");
    let _: String = bench.command(&["SET", GENERATION, &tomorrow]).await;
    let (_, waited) = claim_when_clean(&plan_store, &plan, "a1.0").await;
    assert!(waited < CLEAN_AFTER * 3, "{waited:?}");
}

/// Scripts may not ask this server which run it is: then a process waits as long from its first answer on.
#[tokio::test]
async fn where_the_server_does_not_say_which_run_it_is_each_process_waits_for_itself() {
    let user = "worker on >secret ~* &* +@all -info";
    let server = RedisServer::builder().acl(user).start().await;
    let bench = on(server).await;
    let url = bench.server.url_as("worker", "secret");
    let plan = plan("PARTIAL_75");
    let plan_store = RedisPlanStore::connect(config(url.clone(), "a"))
        .await
        .unwrap();
    let (_, waited) = claim_when_clean(&plan_store, &plan, "a1.0").await;
    assert!(
        waited >= CLEAN_AFTER - Duration::from_millis(100),
        "{waited:?}"
    );
    let other = common::plan("PARTIAL_50");
    let next = RedisPlanStore::connect(config(url, "b")).await.unwrap();
    let (_, waited) = claim_when_clean(&next, &other, "b1.0").await;
    assert!(
        waited >= CLEAN_AFTER - Duration::from_millis(100),
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_claim_that_was_lost_alone_is_not_given_out_again() {
    let bench = bench().await;
    let (a, b, plan) = (
        bench.plan_store("a").await,
        bench.plan_store("b").await,
        plan("PARTIAL_75"),
    );
    let hold = won(claim(&a, &plan, "a1.0").await);
    let claim_key = format!("quantum:apply:dedupe:{}", plan.id);
    let _: i64 = bench.command(&["DEL", &claim_key]).await;
    assert_eq!(claim(&b, &plan, "b1.0").await, Claim::Taken, "it is open");
    let outcome = a.finalize(&result(&plan, false), &hold.publisher()).await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
    assert_eq!(
        claim(&b, &plan, "b1.0").await,
        Claim::Taken,
        "its end is published"
    );
    assert_eq!(bench.length(PLANS).await, 1);
}

#[tokio::test]
async fn a_claim_whose_entry_was_lost_is_owed_a_result_and_no_order() {
    let bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a").await, plan("PARTIAL_75"));
    won(claim(&plan_store, &plan, "a1.0").await);
    let _: i64 = bench.command(&["HDEL", OPEN, plan.id.as_str()]).await;
    assert_eq!(claim(&plan_store, &plan, "a1.0").await, Claim::Lost);
}

#[tokio::test]
async fn that_nothing_was_executed_is_published_by_the_holder_alone() {
    let bench = bench().await;
    let (loser, winner) = (bench.plan_store("a").await, bench.plan_store("b").await);
    let plan = plan("PARTIAL_75");
    let lost = won(claim(&loser, &plan, "a1.0").await);
    let _: String = bench.command(&["FLUSHALL"]).await;
    let (held, _) = claim_when_clean(&winner, &plan, "b1.0").await;
    let receipt = format!("quantum:apply:inflight:{}", plan.id);
    let _: String = bench.command(&["SET", &receipt, "1 b1.0 7 0\n"]).await;
    let outcome = loser
        .finalize(&result(&plan, false), &lost.publisher())
        .await;
    assert_eq!(outcome, Ok(PublishOutcome::Forgot));
    // And not either where it has heard of the generation since.
    let mut knows = lost.publisher();
    knows.generation.clone_from(&held.generation.id);
    let outcome = loser.finalize(&result(&plan, false), &knows).await;
    assert_eq!(outcome, Ok(PublishOutcome::NotHeld));
    let left: (bool, bool) = redis::pipe()
        .hexists(OPEN, plan.id.as_str())
        .exists(&receipt)
        .query_async(&mut bench.redis.clone())
        .await
        .unwrap();
    assert_eq!(left, (true, true), "the winner's entry and its receipt");
    assert_eq!(bench.length(RESULTS).await, 0);
    let outcome = winner
        .finalize(&result(&plan, true), &held.publisher())
        .await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
    let outcome = loser.finalize(&result(&plan, false), &knows).await;
    assert_eq!(outcome, Ok(PublishOutcome::Before), "and not as published");
    assert_eq!(bench.executed().await, ["True"]);
}

#[tokio::test]
async fn that_something_was_executed_is_published_by_any_that_saw_it_and_leaves_the_holders_entry()
{
    let bench = bench().await;
    let (loser, winner) = (bench.plan_store("a").await, bench.plan_store("b").await);
    let plan = plan("PARTIAL_75");
    let lost = won(claim(&loser, &plan, "a1.0").await);
    let _: String = bench.command(&["FLUSHALL"]).await;
    let (held, _) = claim_when_clean(&winner, &plan, "b1.0").await;
    let outcome = loser
        .finalize(&result(&plan, true), &lost.publisher())
        .await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
    let open: bool = bench.command(&["HEXISTS", OPEN, plan.id.as_str()]).await;
    assert!(open, "the winner ends its own");
    let outcome = winner
        .finalize(&result(&plan, false), &held.publisher())
        .await;
    assert_eq!(
        outcome,
        Ok(PublishOutcome::Contradicted),
        "and this is an error"
    );
    assert_eq!(bench.executed().await, ["True"]);
    let open: bool = bench.command(&["HEXISTS", OPEN, plan.id.as_str()]).await;
    assert!(!open);
}

#[tokio::test]
async fn an_execution_corrects_a_word_that_nothing_was_executed_and_is_never_corrected() {
    let bench = bench().await;
    let (a, b, plan) = (
        bench.plan_store("a").await,
        bench.plan_store("b").await,
        plan("PARTIAL_75"),
    );
    let hold = won(claim(&a, &plan, "a1.0").await);
    let outcome = a.finalize(&result(&plan, false), &hold.publisher()).await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
    let mut other = hold.publisher();
    other.attempt = attempt("b1.0");
    for expected in [PublishOutcome::Corrected, PublishOutcome::Stands] {
        let outcome = b.finalize(&result(&plan, true), &other).await;
        assert_eq!(outcome, Ok(expected), "once");
    }
    let outcome = a.finalize(&result(&plan, false), &hold.publisher()).await;
    assert_eq!(outcome, Ok(PublishOutcome::Before));
    assert_eq!(bench.executed().await, ["False", "True"]);
}

#[tokio::test]
async fn a_plan_that_nobody_holds_can_be_taken_in_hand_to_be_ended_and_not_to_be_executed() {
    let bench = bench().await;
    let (a, b, plan) = (
        bench.plan_store("a").await,
        bench.plan_store("b").await,
        plan("PARTIAL_75"),
    );
    won(claim(&a, &plan, "a1.0").await);
    let reclaim = async |plan_store: &RedisPlanStore, by: &str| {
        let (symbol, attempt) = (plan.symbol().clone(), attempt(by));
        let step = "CLOSE_PARTIAL_75";
        let reclaimed = plan_store.reclaim(&plan.id, &symbol, step, &attempt, TTL);
        reclaimed.await.unwrap()
    };
    match reclaim(&b, "b1.0").await {
        Reclaim::Open(open) => {
            assert_eq!(
                (open.attempt, open.stage),
                (attempt("a1.0"), Stage::Claimed)
            );
            assert!(!open.ours && !open.of_this_machine);
        }
        other => panic!("{other:?}"),
    }
    let _: i64 = bench.command(&["HDEL", OPEN, plan.id.as_str()]).await;
    let mut hold = None;
    for _ in 0..2 {
        match reclaim(&b, "b1.0").await {
            Reclaim::Held(held) => hold = Some(held),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        bench.length(PLANS).await,
        1,
        "it is not put out for review again"
    );
    let taken = b.note_intent(&intent(&plan, "a1.0")).await.unwrap();
    assert!(!taken, "its former holder has lost it");
    let publisher = hold.unwrap().publisher();
    let outcome = b.finalize(&result(&plan, false), &publisher).await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
    assert_eq!(
        reclaim(&a, "a1.1").await,
        Reclaim::Ended { executed: false }
    );
}

#[tokio::test]
async fn what_became_of_a_claim_that_was_not_answered_is_found_out() {
    let bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a").await, plan("PARTIAL_75"));
    let find = async |by: &str| plan_store.find_claim(&plan.id, &attempt(by), TTL).await;
    assert_eq!(find("a1.0").await, Ok(None), "nothing was asked for");
    won(claim(&plan_store, &plan, "a1.0").await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let hold = won(find("a1.0").await.unwrap().unwrap());
    let since = hold.since.elapsed();
    let (least, most) = (Duration::from_millis(250), Duration::from_secs(20));
    assert!(
        since >= least && since < most,
        "from the claim on: {since:?}"
    );
    assert_eq!(find("a1.1").await, Ok(None));
}

/// A server that stands still carries out what it was sent when it goes on: whether a claim was made is not
/// known before that cannot happen any more.
#[tokio::test]
async fn a_claim_that_comes_too_late_is_refused_and_only_then_counts_as_not_made() {
    let bench = bench().await;
    let plan = plan("PARTIAL_75");
    let mut config = config(bench.server.url(), "a");
    config.response_timeout = Duration::from_millis(100);
    let plan_store = RedisPlanStore::connect(config.clone()).await.unwrap();
    // The server knows the script.
    assert!(
        claim(&plan_store, &common::plan("PARTIAL_50"), "a1.9")
            .await
            .is_won()
    );
    bench.server.pause();
    plan_store
        .claim(&plan, &attempt("a1.0"), TTL, 1)
        .await
        .unwrap_err();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    bench.server.resume();
    let found = loop {
        match plan_store.find_claim(&plan.id, &attempt("a1.0"), TTL).await {
            Ok(found) => break found,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(found, None);
    assert_eq!(bench.length(PLANS).await, 1);

    // One that it comes to in time is found with the time of its making.
    let plan_store = RedisPlanStore::connect(config).await.unwrap();
    bench.server.pause();
    let asked = Instant::now();
    plan_store
        .claim(&plan, &attempt("a1.1"), TTL, 1)
        .await
        .unwrap_err();
    bench.server.resume();
    let hold = loop {
        match plan_store.find_claim(&plan.id, &attempt("a1.1"), TTL).await {
            Ok(Some(found)) => break won(found),
            Ok(None) => panic!("it was made {:?} after it was asked for", asked.elapsed()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert!(hold.since >= asked && hold.since <= Instant::now());
}

/// Each key in turn holds something else: nothing is half written, and the error names the key.
#[tokio::test]
async fn a_key_of_another_type_fails_a_claim_before_anything_is_written() {
    let bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a").await, plan("PARTIAL_75"));
    let of_plan = |prefix: &str| format!("quantum:apply:{prefix}:{}", plan.id);
    let keys = [
        of_plan("dedupe"),
        of_plan("result_published"),
        OPEN.to_owned(),
        GENERATION.to_owned(),
        PLANS.to_owned(),
    ];
    for key in keys {
        let kept: Option<Vec<u8>> = bench.command(&["DUMP", &key]).await;
        let _: i64 = bench.command(&["DEL", &key]).await;
        let _: i64 = bench.command(&["SADD", &key, "x"]).await;
        let claimed = plan_store.claim(&plan, &attempt("a1.0"), TTL, 1).await;
        let error = claimed.unwrap_err().to_string();
        assert!(error.contains("WRONGTYPE"), "{key}: {error}");
        assert!(key == PLANS || error.contains(&key), "{key}: {error}");
        let _: i64 = bench.command(&["DEL", &key]).await;
        for left in [PLANS, OPEN, &of_plan("dedupe")] {
            let left: bool = bench.command(&["EXISTS", left]).await;
            assert!(!left, "{key}");
        }
        if let Some(kept) = kept {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(&key).arg(0).arg(kept);
            let () = restore.query_async(&mut bench.redis.clone()).await.unwrap();
        }
    }
    assert!(claim(&plan_store, &plan, "a1.1").await.is_won());
}

#[tokio::test]
async fn a_key_of_another_type_refuses_a_result_and_says_so() {
    let bench = bench().await;
    let (plan_store, plan) = (bench.plan_store("a").await, plan("PARTIAL_75"));
    let hold = won(claim(&plan_store, &plan, "a1.0").await);
    let mark = format!("quantum:apply:result_published:{}", plan.id);
    for key in [RESULTS, &mark] {
        let _: i64 = bench.command(&["SADD", key, "x"]).await;
        let outcome = plan_store
            .finalize(&result(&plan, false), &hold.publisher())
            .await;
        assert!(
            matches!(outcome, Ok(PublishOutcome::Refused { .. })),
            "{key}: {outcome:?}"
        );
        let open: bool = bench.command(&["HEXISTS", OPEN, plan.id.as_str()]).await;
        assert!(open, "still owed");
        let _: i64 = bench.command(&["DEL", key]).await;
    }
    let outcome = plan_store
        .finalize(&result(&plan, false), &hold.publisher())
        .await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
}

/// Split brain: the sentinels have named another master, and the former one goes on as if nothing had happened.
#[tokio::test]
async fn a_result_on_a_master_that_was_replaced_does_not_count_as_published_before_it_is_on_the_new_one()
 {
    let former = on(aged(RedisServer::start().await).await).await;
    let new = on(aged(RedisServer::start().await).await).await;
    let (name, names) = watch::channel(former.server.port());
    let sentinel = common::sentinel(names).await;
    let url = format!("redis+sentinel://127.0.0.1:{sentinel}/mymaster");
    let (plan_store, plan) = (
        RedisPlanStore::connect(config(url, "a")).await.unwrap(),
        plan("PARTIAL_75"),
    );
    let hold = won(claim(&plan_store, &plan, "a1.0").await);
    let finalize = async |executed| {
        plan_store
            .finalize(&result(&plan, executed), &hold.publisher())
            .await
    };
    name.send(new.server.port()).unwrap();
    // The connection stays open: that the former master is one no more is known from the sentinels alone. Whatever
    // was written there before that is written again.
    let outcome = loop {
        match finalize(true).await {
            Ok(outcome) => break outcome,
            Err(error) if error.0.contains("whether it is read") => {
                assert_eq!(former.length(RESULTS).await, 1, "where it is not read");
            }
            // Between the two there is no connection.
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(outcome, PublishOutcome::Published);
    assert_eq!(new.executed().await, ["True"]);
    assert!(!plan_store.is_current(&hold), "and no order follows on it");
}

/// The former master goes on, and those who know of the new one do not answer: what they said before is no word for what
/// was written since.
#[tokio::test]
async fn a_result_does_not_count_as_published_on_the_word_that_was_given_before_it_was_written() {
    let former = on(aged(RedisServer::start().await).await).await;
    let port = former.server.port();
    let sentinels = [
        SentinelStub::saying(port).await,
        SentinelStub::saying(port).await,
        SentinelStub::saying(port).await,
    ];
    let hosts: Vec<String> = sentinels.iter().map(SentinelStub::host).collect();
    let url = format!("redis+sentinel://{}/mymaster", hosts.join(","));
    let plan_store = RedisPlanStore::connect(config(url, "a")).await.unwrap();
    let plan = plan("PARTIAL_75");
    let hold = won(claim(&plan_store, &plan, "a1.0").await);
    assert!(matches!(
        plan_store.confirm_mastership().await,
        Mastership::Confirmed { .. }
    ));
    sentinels[1..].iter().for_each(SentinelStub::fall_silent);
    let finalize = async || {
        plan_store
            .finalize(&result(&plan, true), &hold.publisher())
            .await
    };
    let error = finalize().await.unwrap_err().to_string();
    assert!(error.contains("whether it is read"), "{error}");
    sentinels.iter().for_each(|sentinel| sentinel.say(port));
    assert_eq!(finalize().await, Ok(PublishOutcome::Published));
    assert_eq!(former.length(RESULTS).await, 1, "written once");
}

/// A plan store whose notes of the switch are kept, with what an earlier process has kept.
async fn keeping(
    bench: &Bench,
    note: Option<SwitchNote>,
) -> (RedisPlanStore, Arc<Mutex<Option<SwitchNote>>>) {
    let plan_store = bench.plan_store("a").await;
    let kept = Arc::new(Mutex::new(note.clone()));
    let keep = Arc::clone(&kept);
    plan_store.keep_switch(note, move |note| *keep.lock().unwrap() = Some(note));
    (plan_store, kept)
}

#[tokio::test]
async fn a_switch_that_was_seen_on_stays_on_until_a_server_that_forgot_nothing_shows_it_off() {
    const SWITCH: &str = "quantum:global:kill_switch";
    let bench = bench().await;
    let (plan_store, kept) = keeping(&bench, None).await;
    let symbol = plan("PARTIAL_75").symbol().clone();
    let halted = async |plan_store: &RedisPlanStore| {
        let seen = plan_store.fetch(&symbol).await.unwrap().halt.is_on();
        assert_eq!(plan_store.fetch_halt(&symbol).await.unwrap().is_on(), seen);
        assert_eq!(
            plan_store.local_halt().is_on(),
            seen,
            "up to the last moment"
        );
        seen
    };
    assert!(!halted(&plan_store).await);
    let _: String = bench.command(&["SET", SWITCH, "1"]).await;
    assert!(halted(&plan_store).await);
    // A watchdog turns it off by taking it away.
    let _: i64 = bench.command(&["DEL", SWITCH]).await;
    assert!(!halted(&plan_store).await);
    let _: String = bench.command(&["SET", SWITCH, "1"]).await;
    assert!(halted(&plan_store).await);
    let _: String = bench.command(&["FLUSHALL"]).await;
    assert!(
        halted(&plan_store).await,
        "it was forgotten, and it was not turned off"
    );
    let note = kept.lock().unwrap().clone();
    let (next, _) = keeping(&bench, note).await;
    assert!(halted(&next).await, "for the next process as well");
    for word in ["no idea", "false"] {
        let _: String = bench.command(&["SET", SWITCH, word]).await;
        let on = word != "false";
        assert_eq!(halted(&plan_store).await, on, "{word}");
        assert_eq!(halted(&next).await, on, "{word}");
    }
    assert!(!kept.lock().unwrap().as_ref().unwrap().on);
}

#[tokio::test]
async fn a_switch_is_not_off_for_being_gone_where_its_server_forgot_while_it_was_read() {
    const SWITCH: &str = "quantum:global:kill_switch";
    let bench = bench().await;
    let (plan_store, kept) = keeping(&bench, None).await;
    let symbol = plan("PARTIAL_75").symbol().clone();
    let former = plan_store.remember().await.unwrap().id;
    // What was read may be from before, or from after: it counts as seen before.
    let _: String = bench.command(&["FLUSHALL"]).await;
    let _: String = bench.command(&["SET", SWITCH, "1"]).await;
    assert!(plan_store.fetch_halt(&symbol).await.unwrap().is_on());
    let note = kept.lock().unwrap().clone().unwrap();
    assert_eq!(note.generation.as_ref(), Some(&former));
    let _: i64 = bench.command(&["DEL", SWITCH]).await;
    assert!(plan_store.fetch_halt(&symbol).await.unwrap().is_on());
    assert!(plan_store.fetch(&symbol).await.unwrap().halt.is_on());
}
