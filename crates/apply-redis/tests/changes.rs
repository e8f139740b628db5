//! A plan store that is followed hears of every write to a proposal, and counts it once it is whole.
#![allow(clippy::unwrap_used)]

use apply_core::{Debounced, ProposalSource, Symbol};
use apply_redis::{ChangeFeed, FollowedPlanStore, Keys, PlanStoreConfig, RedisPlanStore};
use permit_redis::{RedisConfig, RedisPermitStore};
use redis_harness::RedisServer;
use std::time::Duration;

#[tokio::test]
async fn a_written_proposal_is_announced_and_read_whole() {
    let server = RedisServer::start().await;
    let prefix = Keys::default().proposal;
    let config = RedisConfig::new(&server.url()).unwrap();
    let store = RedisPermitStore::connect(config.follow_prefix(&prefix))
        .await
        .unwrap();
    let plan_store = RedisPlanStore::connect(PlanStoreConfig::new(server.url()))
        .await
        .unwrap();
    let (btc, eth): (Symbol, Symbol) = ("BTCUSDT".parse().unwrap(), "ETHUSDT".parse().unwrap());
    let quiet = Duration::from_millis(20);
    let feed = ChangeFeed::follow(&store, &prefix, &[btc.clone(), eth.clone()], quiet).unwrap();
    let plan_store = FollowedPlanStore::new(plan_store, feed);
    let mut brain = server.connection().await;
    let key = format!("{prefix}BTCUSDT");
    for (field, value) in [("harvest_action", "PARTIAL_75"), ("kill_score", "0.539")] {
        let mut write = redis::cmd("HSET");
        write.arg(&key).arg(field).arg(value);
        write.exec_async(&mut brain).await.unwrap();
    }
    tokio::select! {
        () = plan_store.changed(&btc) => {}
        () = plan_store.changed(&eth) => panic!("nothing was written to ETHUSDT"),
    }
    // Both writes are over once nothing was written for a quiet time.
    while plan_store.debounced(&btc).await == Debounced::Changed {}
    let seen = plan_store.fetch(&btc).await.unwrap();
    assert_eq!(seen.proposal.unwrap().unwrap().len(), 2);
}
