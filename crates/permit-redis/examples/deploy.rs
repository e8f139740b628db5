//! A deployment that waits for two people on Redis: `cargo run --example deploy`.

use permit_gate::{Ask, AttemptId, PlanId, Subject, TokioTimer, WaitPolicy, wait_and_take};
use permit_redis::{PermitKeys, RedisConfig, RedisPermitStore};
use std::{env, error::Error, process, time::Duration};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or("redis://127.0.0.1:6379".into());
    let keys = "dev=deploy:dev:{plan}|token:yes,ops=deploy:ops:{plan}|token:yes";
    let config = RedisConfig::new(&url)?.permits(PermitKeys::parse(keys)?);
    let store = RedisPermitStore::connect(config.kill_switch("deploy:halt")).await?;

    println!("waiting for: redis-cli MSET deploy:dev:release-7 yes deploy:ops:release-7 yes");
    let policy = WaitPolicy {
        wait: Duration::from_secs(30),
        ..WaitPolicy::default()
    };
    let ask = Ask {
        subject: Subject::new(PlanId::new("release-7")?, "production"),
        attempt: AttemptId::new(&format!("pid-{}.1", process::id()))?, // unique for all
        policy,
    };
    match wait_and_take(&store, &TokioTimer, ask, |event| println!("{event:?}")).await {
        Ok(grant) => println!("{} is deployed to {}", grant.plan(), grant.target()),
        Err(block) => println!("nothing is deployed: {block}"),
    }
    Ok(())
}
