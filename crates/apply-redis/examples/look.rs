//! What the store holds for one symbol, as the service sees it: `cargo run --example look`.

use apply_core::{PlanLog, ProposalSource};
use apply_redis::{PlanStoreConfig, RedisPlanStore};
use std::{env, error::Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or("redis://127.0.0.1:6379".into());
    let plan_store = RedisPlanStore::connect(PlanStoreConfig::new(url)).await?;
    for warning in plan_store.durability().await?.warnings() {
        println!("what a restart of this server costs: {warning}");
    }

    // The proposal and the kill switch at the same moment.
    let seen = plan_store.fetch(&"BTCUSDT".parse()?).await?;
    println!("halted: {}", seen.halt.is_on());
    match seen.proposal? {
        Some(proposal) => println!("proposed: {proposal:?}"),
        None => println!("nothing is proposed"),
    }

    // Plans that were claimed and have no result, and no instance works on them any more.
    for open in plan_store.fetch_abandoned().await? {
        println!("unfinished: {} on {}", open.plan, open.symbol);
    }
    Ok(())
}
