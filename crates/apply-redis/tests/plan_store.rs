//! The ports on a real server: what neighbours write is read, what they read is written.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{
    ApplyResult, Claim, Decision, GateSettings, Halt, Plan, PlanLog, Proposal, ProposalError,
    ProposalSource, PublishOutcome, Reason, ResultLog, Symbol,
};
use apply_redis::{PlanStoreConfig, RedisPlanStore};
use common::{aged, won};
use permit_gate::AttemptId;
use redis::{AsyncCommands, aio::MultiplexedConnection, streams::StreamRangeReply};
use redis_harness::RedisServer;
use std::{collections::HashMap, time::Duration};

const PLANS: &str = "quantum:stream:apply.plan";
const RESULTS: &str = "quantum:stream:apply.result";
const KILL_SWITCH: &str = "quantum:global:kill_switch";
const TTL: Duration = Duration::from_secs(21_600);

struct Bench {
    plan_store: RedisPlanStore,
    redis: MultiplexedConnection,
    server: RedisServer,
}

async fn bench() -> Bench {
    let server = aged(RedisServer::start().await).await;
    Bench {
        plan_store: RedisPlanStore::connect(PlanStoreConfig::new(server.url()))
            .await
            .unwrap(),
        redis: server.connection().await,
        server,
    }
}

impl Bench {
    async fn propose(&mut self, fields: &[(&str, &str)]) {
        let key = "quantum:harvest:proposal:BTCUSDT";
        let () = self.redis.hset_multiple(key, fields).await.unwrap();
    }

    async fn plan(&mut self, action: &str) -> Plan {
        self.propose(&[
            ("harvest_action", action),
            ("kill_score", "0.539"),
            ("computed_at_utc", "2026-01-25T00:30:08Z"),
        ])
        .await;
        let raw = self
            .plan_store
            .fetch(&btc())
            .await
            .unwrap()
            .proposal
            .unwrap()
            .unwrap();
        let gates = GateSettings {
            allowlist: [btc()].into(),
            critical: 0.8,
            warning: 0.6,
            close: None,
            stops: true,
        };
        Plan::decide(Proposal::parse(&btc(), &raw).unwrap(), &gates, &Halt::Off)
    }

    async fn stream(&mut self, key: &str) -> Vec<HashMap<String, String>> {
        let range: StreamRangeReply = self.redis.xrange_all(key).await.unwrap();
        let entries = range.ids.into_iter();
        entries
            .map(|entry| {
                let fields = entry.map.into_iter();
                fields
                    .map(|(field, value)| (field, redis::from_redis_value(value).unwrap()))
                    .collect()
            })
            .collect()
    }
}

fn btc() -> Symbol {
    "BTCUSDT".parse().unwrap()
}

fn attempt(name: &str) -> AttemptId {
    AttemptId::new(name).unwrap()
}

#[tokio::test]
async fn a_proposal_is_read_by_its_fields_and_its_absence_is_no_error() {
    let mut bench = bench().await;
    assert_eq!(
        bench.plan_store.fetch(&btc()).await.unwrap().proposal,
        Ok(None)
    );
    bench
        .propose(&[
            ("harvest_action", "HOLD"),
            ("kill_score", "0.1"),
            ("reason_codes", "1"),
        ])
        .await;
    let first = bench.plan_store.fetch(&btc()).await.unwrap();
    assert_eq!(
        first.proposal.clone().unwrap().unwrap()["harvest_action"],
        "HOLD"
    );
    bench.propose(&[("reason_codes", "2")]).await;
    assert_eq!(
        bench.plan_store.fetch(&btc()).await.unwrap(),
        first,
        "a rewrite of nothing is no change"
    );
}

#[tokio::test]
async fn a_proposal_of_another_type_or_encoding_is_refused_and_the_switch_still_read() {
    let mut bench = bench().await;
    let key = "quantum:harvest:proposal:BTCUSDT";
    let () = bench.redis.set(key, "not a hash").await.unwrap();
    let () = bench.redis.set(KILL_SWITCH, "true").await.unwrap();
    let seen = bench.plan_store.fetch(&btc()).await.unwrap();
    assert!(
        matches!(&seen.proposal, Err(ProposalError::Unreadable { why, .. }) if why.contains("WRONGTYPE")),
        "{seen:?}"
    );
    assert!(seen.halt.is_on());
    let () = bench.redis.del(key).await.unwrap();
    let () = bench
        .redis
        .hset(key, "kill_score", &b"\xff\xfe"[..])
        .await
        .unwrap();
    let seen = bench.plan_store.fetch(&btc()).await.unwrap();
    assert!(
        matches!(&seen.proposal, Err(ProposalError::Unreadable { why, .. }) if why.contains("kill_score"))
    );
}

#[tokio::test]
async fn a_field_that_is_too_long_is_refused_by_name_and_does_not_travel() {
    let mut bench = bench().await;
    let eth: Symbol = "ETHUSDT".parse().unwrap();
    let () = bench
        .redis
        .hset("quantum:harvest:proposal:ETHUSDT", "harvest_action", "HOLD")
        .await
        .unwrap();
    for field in apply_core::PROPOSAL_FIELDS {
        let () = bench
            .redis
            .hset("quantum:harvest:proposal:BTCUSDT", "kill_score", "0.1")
            .await
            .unwrap();
        bench.propose(&[(field, &"x".repeat(8 << 20))]).await;
        let before = bench.server.bytes_sent().await;
        let (btc, eth) = (btc(), eth.clone());
        let (long, other) =
            tokio::join!(bench.plan_store.fetch(&btc), bench.plan_store.fetch(&eth));
        let travelled = bench.server.bytes_sent().await - before;
        assert!(travelled < 32 * 1024, "{field}: {travelled} bytes");
        let error = long.unwrap().proposal.unwrap_err();
        assert_eq!(error.reason(), Reason::ProposalFieldTooLong);
        let message = error.to_string();
        assert!(
            message.contains(field) && message.contains("8388608") && message.contains("256"),
            "{message}"
        );
        assert!(other.unwrap().proposal.unwrap().is_some());
        let () = bench
            .redis
            .del("quantum:harvest:proposal:BTCUSDT")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_kill_switch_that_is_too_long_halts_and_does_not_travel() {
    let mut bench = bench().await;
    let long = format!("false{}", " ".repeat(8 << 20));
    let () = bench.redis.set(KILL_SWITCH, long).await.unwrap();
    let before = bench.server.bytes_sent().await;
    assert!(bench.plan_store.fetch(&btc()).await.unwrap().halt.is_on());
    assert!(bench.plan_store.fetch_halt(&btc()).await.unwrap().is_on());
    let travelled = bench.server.bytes_sent().await - before;
    assert!(travelled < 32 * 1024, "{travelled} bytes");
}

#[tokio::test]
async fn a_server_that_forgot_its_scripts_is_sent_them_again() {
    let mut bench = bench().await;
    bench.propose(&[("harvest_action", "HOLD")]).await;
    for _ in 0..2 {
        let () = redis::cmd("SCRIPT")
            .arg("FLUSH")
            .query_async(&mut bench.redis)
            .await
            .unwrap();
        let seen = bench.plan_store.fetch(&btc()).await.unwrap();
        assert_eq!(seen.proposal.unwrap().unwrap()["harvest_action"], "HOLD");
    }
}

#[tokio::test]
async fn the_kill_switch_halts_unless_it_plainly_does_not() {
    let mut bench = bench().await;
    assert_eq!(
        bench.plan_store.fetch(&btc()).await.unwrap().halt,
        Halt::Off
    );
    for (word, on) in [
        ("true", true),
        ("1", true),
        ("yes", true),
        ("TRUE", true),
        (" Yes ", true),
        ("maybe", true),
        ("on", true),
        ("false", false),
        ("0", false),
        ("no", false),
        ("", false),
    ] {
        let () = bench.redis.set(KILL_SWITCH, word).await.unwrap();
        assert_eq!(
            bench.plan_store.fetch(&btc()).await.unwrap().halt.is_on(),
            on,
            "{word:?}"
        );
    }
    let () = bench.redis.del(KILL_SWITCH).await.unwrap();
    let () = bench.redis.hset(KILL_SWITCH, "a", "b").await.unwrap();
    assert!(
        bench.plan_store.fetch(&btc()).await.unwrap().halt.is_on(),
        "a switch of another type halts"
    );
}

#[tokio::test]
async fn a_claim_and_its_plan_come_together_and_once() {
    let mut bench = bench().await;
    let plan = bench.plan("PARTIAL_75").await;
    let claim = |who| {
        let (plan_store, plan) = (bench.plan_store.clone(), plan.clone());
        async move {
            plan_store
                .claim(&plan, &attempt(who), TTL, 1_769_301_008)
                .await
                .unwrap()
        }
    };
    assert!(claim("a").await.is_won());
    assert!(
        claim("a").await.is_won(),
        "asking again after a lost answer"
    );
    assert_eq!(claim("b").await, Claim::Taken);
    let plans = bench.stream(PLANS).await;
    assert_eq!(plans.len(), 1);
    let fields = &plans[0];
    assert_eq!(fields["plan_id"], plan.id.as_str());
    assert_eq!(fields["decision"], "EXECUTE");
    assert_eq!(fields["timestamp"], "1769301008");
    assert_eq!(
        (
            fields["new_sl_proposed"].as_str(),
            fields["kill_score"].as_str()
        ),
        ("", "0.539")
    );
    let ttl: i64 = bench
        .redis
        .ttl(format!("quantum:apply:dedupe:{}", plan.id))
        .await
        .unwrap();
    assert!((21_500..=21_600).contains(&ttl), "{ttl}");
    let ttl: i64 = bench
        .redis
        .ttl(format!("quantum:apply:stream_published:{}", plan.id))
        .await
        .unwrap();
    assert!((290..=300).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn of_two_instances_one_claims() {
    let mut bench = bench().await;
    let plan = bench.plan("PARTIAL_75").await;
    let claims = (0..20).map(|i| {
        let (plan_store, plan) = (bench.plan_store.clone(), plan.clone());
        tokio::spawn(async move {
            plan_store
                .claim(&plan, &attempt(&format!("i{i}")), TTL, 0)
                .await
                .unwrap()
        })
    });
    let mut won = 0;
    for claim in claims.collect::<Vec<_>>() {
        won += u32::from(claim.await.unwrap().is_won());
    }
    assert_eq!((won, bench.stream(PLANS).await.len()), (1, 1));
}

#[tokio::test]
async fn where_the_stream_cannot_be_written_nothing_is_claimed() {
    let mut bench = bench().await;
    let plan = bench.plan("PARTIAL_75").await;
    let () = bench.redis.set(PLANS, "not a stream").await.unwrap();
    let error = bench
        .plan_store
        .claim(&plan, &attempt("a"), TTL, 0)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("claim the plan"), "{error}");
    let claimed: bool = bench
        .redis
        .exists(format!("quantum:apply:dedupe:{}", plan.id))
        .await
        .unwrap();
    assert!(!claimed);
}

#[tokio::test]
async fn a_skipped_plan_is_published_once_a_decision() {
    let mut bench = bench().await;
    let hold = bench.plan("HOLD").await;
    assert!(bench.plan_store.announce(&hold, 0).await.unwrap());
    assert!(!bench.plan_store.announce(&hold, 0).await.unwrap());
    let halted = Plan {
        decision: Decision::Blocked,
        reasons: vec!["kill_switch_active".into()],
        ..hold
    };
    assert!(
        bench.plan_store.announce(&halted, 0).await.unwrap(),
        "another decision is announced"
    );
    assert_eq!(bench.stream(PLANS).await.len(), 2);
}

#[tokio::test]
async fn a_dry_run_beside_a_live_instance_publishes_no_plan_and_claims_none() {
    let mut bench = bench().await;
    let mut config = PlanStoreConfig::new(bench.server.url());
    config.orders = false;
    let dry = RedisPlanStore::connect(config).await.unwrap();
    let (hold, close) = (bench.plan("HOLD").await, bench.plan("PARTIAL_75").await);
    // Its lease: the live one's.
    bench.plan_store.renew_lease().await.unwrap();
    for refused in [
        dry.announce(&hold, 0).await.map(drop),
        dry.claim(&close, &attempt("a"), TTL, 0).await.map(drop),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("a live instance works on this"), "{error}");
    }
    assert!(bench.stream(PLANS).await.is_empty());
    assert!(bench.plan_store.announce(&hold, 0).await.unwrap());
    let _: u64 = bench
        .redis
        .del("quantum:apply:lease:mode:testnet")
        .await
        .unwrap();
    assert!(
        !dry.announce(&hold, 0).await.unwrap(),
        "it has been published"
    );
    let claimed = dry.claim(&close, &attempt("a"), TTL, 0).await;
    assert!(claimed.unwrap().is_won());
    assert_eq!(bench.stream(PLANS).await.len(), 2);
}

#[tokio::test]
async fn a_claimed_plan_is_not_announced_again_whatever_is_decided_later() {
    let mut bench = bench().await;
    let plan = bench.plan("PARTIAL_75").await;
    let won = bench.plan_store.claim(&plan, &attempt("a"), TTL, 0).await;
    assert!(won.unwrap().is_won());
    let halted = Plan {
        decision: Decision::Blocked,
        reasons: vec!["kill_switch_active".into()],
        ..plan
    };
    assert!(!bench.plan_store.announce(&halted, 0).await.unwrap());
    let plans = bench.stream(PLANS).await;
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0]["decision"], "EXECUTE");
}

#[tokio::test]
async fn a_result_that_ends_no_claimed_plan_leaves_a_receipt_where_it_is() {
    let mut bench = bench().await;
    let plan = bench.plan("PARTIAL_75").await;
    let receipt = format!("quantum:apply:inflight:{}", plan.id);
    let () = bench.redis.set(&receipt, "attempt").await.unwrap();
    let error = Some(Reason::KillSwitchActive);
    let blocked = ApplyResult::not_executed(&plan, Decision::Blocked, error, 1);
    bench.plan_store.publish(&blocked).await.unwrap();
    assert_eq!(bench.stream(RESULTS).await.len(), 1);
    let left: bool = bench.redis.exists(&receipt).await.unwrap();
    assert!(left, "another attempt's permits are still its own");
}

#[tokio::test]
async fn a_final_result_is_published_once_and_its_receipt_dropped() {
    let mut bench = bench().await;
    let plan = bench.plan("PARTIAL_75").await;
    let receipt = format!("quantum:apply:inflight:{}", plan.id);
    let () = bench.redis.set(&receipt, "1 a 7 0\n").await.unwrap();
    let error = Some(Reason::KillSwitchActive);
    let blocked = ApplyResult::not_executed(&plan, Decision::Blocked, error, 1);
    assert_eq!(
        bench.plan_store.publish(&blocked).await,
        Ok(PublishOutcome::Published)
    );
    assert_eq!(
        bench.plan_store.publish(&blocked).await,
        Ok(PublishOutcome::Before)
    );
    let claim = bench.plan_store.claim(&plan, &attempt("a"), TTL, 1).await;
    let publisher = won(claim.unwrap()).publisher();
    let last = ApplyResult {
        is_final: true,
        ..ApplyResult::not_executed(
            &plan,
            Decision::Blocked,
            Some("permit_timeout_or_missing:missing_p33".into()),
            2,
        )
    };
    for expected in [PublishOutcome::Published, PublishOutcome::Stands] {
        let outcome = bench.plan_store.finalize(&last, &publisher).await;
        assert_eq!(outcome, Ok(expected), "also where an answer was lost");
    }
    assert_eq!(
        bench.plan_store.publish(&blocked).await,
        Ok(PublishOutcome::Before)
    );
    let results = bench.stream(RESULTS).await;
    assert_eq!(results.len(), 2, "{results:?}");
    assert_eq!(results[1]["error"], "permit_timeout_or_missing:missing_p33");
    assert_eq!(
        (
            results[1]["executed"].as_str(),
            results[1]["would_execute"].as_str()
        ),
        ("False", "False")
    );
    let left: bool = bench.redis.exists(&receipt).await.unwrap();
    assert!(!left);
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_gets_them_again() {
    let mut bench = bench().await;
    let plan = bench.plan("PARTIAL_75").await;
    let () = redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query_async(&mut bench.redis)
        .await
        .unwrap();
    let claim = bench.plan_store.claim(&plan, &attempt("a"), TTL, 0).await;
    assert!(claim.unwrap().is_won());
}

#[tokio::test]
async fn an_unreachable_server_is_an_error_without_the_password() {
    let config = PlanStoreConfig::new("redis://user:hunter2@127.0.0.1:1/0");
    assert!(!format!("{config:?}").contains("hunter2"));
    let error = RedisPlanStore::connect(config)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("reach Redis") && !error.contains("hunter2"),
        "{error}"
    );
    let error = RedisPlanStore::connect(PlanStoreConfig::new("http://user:hunter2@x"))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("redis://") && !error.contains("hunter2"),
        "{error}"
    );
}

#[tokio::test]
async fn looks_that_come_together_go_together() {
    const SYMBOLS: usize = 1000;
    let mut bench = bench().await;
    let mut looks = Vec::new();
    for n in 0..SYMBOLS {
        let symbol: Symbol = format!("S{n}USDT").parse().unwrap();
        let key = format!("quantum:harvest:proposal:{symbol}");
        let () = bench.redis.hset(key, "harvest_action", n).await.unwrap();
        let plan_store = bench.plan_store.clone();
        looks.push(async move { plan_store.fetch(&symbol).await.unwrap() });
    }
    let () = redis::cmd("CONFIG")
        .arg("RESETSTAT")
        .query_async(&mut bench.redis)
        .await
        .unwrap();
    let looked = futures_util::future::join_all(looks).await;
    for (n, seen) in looked.into_iter().enumerate() {
        let action = seen.proposal.unwrap().unwrap()["harvest_action"].clone();
        assert_eq!(action, n.to_string(), "each has its own");
    }
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut bench.redis)
        .await
        .unwrap();
    let calls = |name: &str| -> usize {
        let line = stats.split(&format!("cmdstat_{name}:calls=")).nth(1);
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    };
    assert_eq!(calls("hmget"), SYMBOLS);
    // The switch is read once a round trip: eight of 128 symbols, and the first few alone.
    assert!(calls("getrange") <= 16, "{} round trips", calls("getrange"));
}

#[tokio::test]
async fn a_look_that_is_given_up_takes_nobody_elses_answer_with_it() {
    let mut bench = bench().await;
    let () = bench
        .redis
        .hset("quantum:harvest:proposal:BTCUSDT", "harvest_action", "HOLD")
        .await
        .unwrap();
    for _ in 0..50 {
        // Each one is in the middle of looking for others when it is dropped.
        let given_up = (0..8).map(|_| {
            let plan_store = bench.plan_store.clone();
            tokio::spawn(async move { plan_store.fetch(&btc()).await })
        });
        let given_up: Vec<_> = given_up.collect();
        let looks: Vec<_> = (0..8)
            .map(|_| {
                let plan_store = bench.plan_store.clone();
                tokio::spawn(async move { plan_store.fetch(&btc()).await })
            })
            .collect();
        tokio::task::yield_now().await;
        given_up.iter().for_each(tokio::task::JoinHandle::abort);
        for look in looks {
            assert!(look.await.unwrap().unwrap().proposal.unwrap().is_some());
        }
    }
}
