//! The plan store on a real cluster: what is one step elsewhere is as good as one here.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{
    ApplyResult, Claim, Decision, Halt, Mastership, Plan, PlanLog, ProposalSource, PublishOutcome,
    Reason, Reclaim, ResultLog, Standing, Symbol,
};
use apply_redis::{Instance, Keys, PlanStoreConfig, RedisPlanStore, Turn, testing};
use common::{attempt, intent, plan, won};
use redis::{FromRedisValue, Value, aio::MultiplexedConnection};
use redis_harness::Cluster;
use std::time::{Duration, Instant};

const PLANS: &str = "quantum:stream:apply.plan";
const RESULTS: &str = "quantum:stream:apply.result";
const OPEN: &str = "quantum:apply:open:{quantum:stream:apply.plan}";
const TTL: Duration = Duration::from_secs(21_600);

struct Bench {
    nodes: Vec<MultiplexedConnection>,
    url: String,
    cluster: Cluster,
}

async fn bench() -> Bench {
    let cluster = Cluster::start(3).await;
    let mut nodes = Vec::new();
    for node in cluster.nodes() {
        nodes.push(node.connection().await);
    }
    let keys = Keys::default().on_a_cluster();
    for node in &mut nodes {
        // The one that has its slot does it.
        let _ = testing::age(node, &keys, Duration::from_secs(3600)).await;
    }
    let hosts = cluster.urls().join(",").replace("redis://", "");
    Bench {
        nodes,
        url: format!("redis+cluster://{hosts}"),
        cluster,
    }
}

impl Bench {
    async fn plan_store(&self, owner: &str) -> RedisPlanStore {
        let mut config = PlanStoreConfig::new(&self.url);
        config.instance = Instance {
            owner: owner.into(),
            process: format!("{owner}-process"),
            lease: Duration::from_secs(1),
        };
        RedisPlanStore::connect(config).await.unwrap()
    }

    /// A command where its key lies.
    async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        command.arg(words);
        for node in &self.nodes {
            match command.query_async(&mut node.clone()).await {
                Err(error) if error.code() == Some("MOVED") => {}
                answer => return answer.unwrap(),
            }
        }
        panic!("no node has the key of {words:?}");
    }

    async fn length(&self, stream: &str) -> usize {
        self.command(&["XLEN", stream]).await
    }
}

fn symbol(name: &str) -> Symbol {
    name.parse().unwrap()
}

fn last(plan: &Plan) -> ApplyResult {
    ApplyResult {
        is_final: true,
        ..ApplyResult::not_executed(plan, Decision::Blocked, Some("no_position".into()), 2)
    }
}

#[tokio::test]
async fn of_many_attempts_one_claims_and_the_plan_is_on_the_stream_once() {
    let bench = bench().await;
    let (one, other) = (bench.plan_store("a").await, bench.plan_store("b").await);
    let plan = plan("PARTIAL_75");
    let mut racing = Vec::new();
    for i in 0..20 {
        let (plan_store, plan) = ([&one, &other][i % 2].clone(), plan.clone());
        racing.push(tokio::spawn(async move {
            let attempt = attempt(&format!("i{i}"));
            let claim = plan_store.claim(&plan, &attempt, TTL, 0).await;
            (i, claim.unwrap().is_won())
        }));
    }
    let mut winners = Vec::new();
    for claim in racing {
        let (i, won) = claim.await.unwrap();
        winners.extend(won.then_some(i));
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(bench.length(PLANS).await, 1);
    // Asking again after a lost answer is the same claim, and the contract's name shows it.
    let winner = attempt(&format!("i{}", winners[0]));
    let again = one.claim(&plan, &winner, TTL, 0).await.unwrap();
    assert!(again.is_won());
    assert_eq!(bench.length(PLANS).await, 1);
    let shown: String = bench
        .command(&["GET", &format!("quantum:apply:dedupe:{}", plan.id)])
        .await;
    assert_eq!(shown, winner.as_str());
    assert!(!one.announce(&plan, 0).await.unwrap());
}

#[tokio::test]
async fn what_somebody_claimed_under_the_contracts_name_is_taken() {
    let bench = bench().await;
    let plan_store = bench.plan_store("a").await;
    let plan = plan("PARTIAL_75");
    let claim = format!("quantum:apply:dedupe:{}", plan.id);
    let _: String = bench.command(&["SET", &claim, "1"]).await;
    let claimed = plan_store
        .claim(&plan, &attempt("a"), TTL, 0)
        .await
        .unwrap();
    assert_eq!(claimed, Claim::Taken);
    assert_eq!(bench.length(PLANS).await, 0);
}

#[tokio::test]
async fn a_result_is_published_once_and_what_a_crash_left_open_is_closed_by_publishing_again() {
    let bench = bench().await;
    let plan_store = bench.plan_store("a").await;
    let plan = plan("PARTIAL_75");
    let won_claim = plan_store
        .claim(&plan, &attempt("a"), TTL, 0)
        .await
        .unwrap();
    let publisher = won(won_claim).publisher();
    let receipt = format!("quantum:apply:inflight:{{{}}}", plan.id);
    let _: String = bench.command(&["SET", &receipt, "1 a 7 0\n"]).await;
    let entry: String = bench.command(&["HGET", OPEN, plan.id.as_str()]).await;
    let outcome = plan_store.finalize(&last(&plan), &publisher).await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
    let left = |what: Vec<String>| {
        let bench = &bench;
        async move {
            let words: Vec<&str> = what.iter().map(String::as_str).collect();
            bench.command::<i64>(&words).await
        }
    };
    let open = || left(vec!["HEXISTS".into(), OPEN.into(), plan.id.to_string()]);
    let receipts = || left(vec!["EXISTS".into(), receipt.clone()]);
    assert_eq!((open().await, receipts().await), (0, 0));
    assert_eq!(bench.length(RESULTS).await, 1);
    // As it is where the process ended between the steps.
    let _: Value = bench
        .command(&["HSET", OPEN, plan.id.as_str(), &entry])
        .await;
    let _: String = bench.command(&["SET", &receipt, "1 a 7 0\n"]).await;
    let outcome = plan_store.finalize(&last(&plan), &publisher).await;
    assert_eq!(outcome, Ok(PublishOutcome::Stands));
    assert_eq!((open().await, receipts().await), (0, 0));
    assert_eq!(bench.length(RESULTS).await, 1, "published once");
}

#[tokio::test]
async fn a_plan_whose_instance_is_gone_is_found_by_another_one() {
    let bench = bench().await;
    let (dead, heir) = (
        bench.plan_store("dead").await,
        bench.plan_store("heir").await,
    );
    let plan = plan("PARTIAL_75");
    dead.claim(&plan, &attempt("a"), TTL, 0).await.unwrap();
    dead.renew_lease().await.unwrap();
    assert_eq!(heir.fetch_abandoned().await.unwrap(), []);
    let lease = "quantum:apply:lease:dead";
    let _: i64 = bench.command(&["DEL", lease]).await;
    let abandoned = loop {
        // The first look gives it time to come back.
        let found = heir.fetch_abandoned().await.unwrap();
        if !found.is_empty() {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(abandoned[0].plan, plan.id);
    let adopt = async |by| heir.adopt(&abandoned[0], &attempt(by)).await.unwrap();
    assert!(adopt("b").await.is_some());
    assert!(adopt("c").await.is_none());
}

#[tokio::test]
async fn proposals_are_read_wherever_they_lie_and_the_switch_with_them() {
    let bench = bench().await;
    let plan_store = bench.plan_store("a").await;
    let names: Vec<String> = (0..50).map(|n| format!("S{n}USDT")).collect();
    for name in &names {
        let key = format!("quantum:harvest:proposal:{name}");
        let fields = ["HSET", &key, "harvest_action", "HOLD", "kill_score", "0.1"];
        let _: i64 = bench.command(&fields).await;
    }
    let wrong = "quantum:harvest:proposal:S7USDT";
    let _: i64 = bench.command(&["DEL", wrong]).await;
    let _: String = bench.command(&["SET", wrong, "no hash"]).await;
    for name in &names {
        let seen = plan_store.fetch(&symbol(name)).await.unwrap();
        assert_eq!(seen.halt, Halt::Off);
        match name.as_str() {
            "S7USDT" => assert_eq!(
                seen.proposal.unwrap_err().reason(),
                Reason::ProposalUnreadable
            ),
            _ => assert_eq!(seen.proposal.unwrap().unwrap()["harvest_action"], "HOLD"),
        }
    }
    let turn = Turn {
        on: true,
        reason: "test".into(),
        who: "me".into(),
        at: 1,
    };
    let (plan, mine) = (plan("PARTIAL_75"), attempt("a.1"));
    plan_store.claim(&plan, &mine, TTL, 0).await.unwrap();
    let standing = async || plan_store.ask_again(&plan.id, &mine).await.unwrap();
    assert_eq!(standing().await, Standing::Lost, "no intent is noted");
    plan_store.note_intent(&intent(&plan, "a.1")).await.unwrap();
    assert!(matches!(standing().await, Standing::Holds { .. }));
    plan_store.turn_switch(&turn).await.unwrap();
    assert!(matches!(standing().await, Standing::Halted { .. }));
    let btc = symbol("S1USDT");
    assert!(plan_store.fetch(&btc).await.unwrap().halt.is_on());
    assert!(plan_store.fetch_halt(&btc).await.unwrap().is_on());
    assert_eq!(bench.length("quantum:apply:halt_log").await, 1);
    assert_eq!(bench.cluster.nodes().len(), 3);
}

#[tokio::test]
async fn the_servers_of_the_plans_and_of_the_switch_have_to_be_in_charge_both() {
    let mut bench = bench().await;
    let plan_store = bench.plan_store("a").await;
    let said = plan_store.confirm_mastership().await;
    assert!(matches!(said, Mastership::Confirmed { .. }), "{said:?}");
    // The plans lie on the third node, the switch on the first one.
    bench.cluster.nodes_mut()[0].kill();
    let until = Instant::now() + Duration::from_secs(20);
    while !matches!(plan_store.mastership(), Mastership::Unconfirmed { .. }) {
        assert!(Instant::now() < until, "{:?}", plan_store.mastership());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_switch_that_was_seen_on_is_off_once_that_is_read_and_not_for_being_gone() {
    const SWITCH: &str = "quantum:global:kill_switch";
    let bench = bench().await;
    let plan_store = bench.plan_store("a").await;
    let symbol = symbol("BTCUSDT");
    let on = async || {
        let seen = plan_store.fetch_halt(&symbol).await.unwrap().is_on();
        assert_eq!(plan_store.fetch(&symbol).await.unwrap().halt.is_on(), seen);
        seen
    };
    assert!(!on().await);
    let _: String = bench.command(&["SET", SWITCH, "1"]).await;
    assert!(on().await);
    // Its node may forget it alone: the plans' node would not show it.
    let _: i64 = bench.command(&["DEL", SWITCH]).await;
    assert!(on().await);
    let _: String = bench.command(&["SET", SWITCH, "false"]).await;
    assert!(!on().await);
    let _: i64 = bench.command(&["DEL", SWITCH]).await;
    assert!(!on().await);
}

#[tokio::test]
async fn that_nothing_was_executed_is_not_published_long_after_the_look_whose_plan_it_is() {
    let bench = bench().await;
    let plan_store = bench.plan_store("a").await;
    let plan = plan("PARTIAL_75");
    let claim = plan_store
        .claim(&plan, &attempt("a"), TTL, 0)
        .await
        .unwrap();
    let publisher = won(claim).publisher();
    // Everything that writes waits longer than the answer of the look may be old.
    for node in &bench.nodes {
        let mut pause = redis::cmd("CLIENT");
        pause.arg(&["PAUSE", "350", "WRITE"]);
        let _: String = pause.query_async(&mut node.clone()).await.unwrap();
    }
    let late = plan_store
        .finalize(&last(&plan), &publisher)
        .await
        .unwrap_err();
    assert!(late.0.contains("is too old"), "{late}");
    assert_eq!(bench.length(RESULTS).await, 0);
    let outcome = plan_store.finalize(&last(&plan), &publisher).await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
    assert_eq!(bench.length(RESULTS).await, 1);
}

#[tokio::test]
async fn a_mark_on_a_node_that_the_others_do_not_confirm_ends_nothing() {
    let mut bench = bench().await;
    let plan_store = bench.plan_store("a").await;
    let plan = plan("PARTIAL_75");
    let claim = plan_store
        .claim(&plan, &attempt("a"), TTL, 0)
        .await
        .unwrap();
    let outcome = plan_store
        .finalize(&last(&plan), &won(claim).publisher())
        .await;
    assert_eq!(outcome, Ok(PublishOutcome::Published));
    let mark = "quantum:apply:result_published:{quantum:stream:apply.result}:";
    let mark = format!("{mark}{}", plan.id);
    let mut here = None;
    for (index, node) in bench.nodes.iter().enumerate() {
        let found: Result<i64, _> = redis::cmd("EXISTS")
            .arg(&mark)
            .query_async(&mut node.clone())
            .await;
        here = here.or((found == Ok(1)).then_some(index));
    }
    let here = here.unwrap();
    let symbol = plan.symbol();
    let b = attempt("b");
    let again = plan_store.reclaim(&plan.id, symbol, "step", &b, TTL).await;
    assert_eq!(again, Ok(Reclaim::Ended { executed: false }));
    let others = bench.cluster.nodes_mut().iter_mut().enumerate();
    others
        .filter(|(index, _)| *index != here)
        .for_each(|(_, node)| node.kill());
    let again = plan_store.reclaim(&plan.id, symbol, "step", &b, TTL).await;
    let error = again.unwrap_err();
    assert!(error.0.contains("whether it is read"), "{error}");
}
