//! A governor that approves every plan, on Redis: `cargo run --example governor`.

use issuers_redis::{IssuersConfig, RedisFeed, RedisUsageBook};
use permit_issuers::{Governor, governor::Policy, ports::PlanFeed};
use std::{env, error::Error, process};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or("redis://127.0.0.1:6379".into());
    let config = IssuersConfig::new(url, format!("pid-{}", process::id()));
    let book = RedisUsageBook::connect(&config).await?;
    let governor = Governor::new(book, Policy::ApproveAll); // or Policy::Limited: quantities a day

    // Plans come once, to one instance of the group; one that is not finalized comes again.
    let feed = RedisFeed::governor_plans(config)?;
    feed.join().await?;
    loop {
        for delivery in feed.next().await? {
            let ruled = governor.review(&delivery).await?;
            println!("{ruled:?}");
        }
    }
}
