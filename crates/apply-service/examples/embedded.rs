//! The whole service inside another program, as a dry run on a Redis of its own: `cargo run -p apply-service --example
//! embedded`. The program plays brain and reviewers as well.

use apply_service::{Config, Failure, config::RedisUrl, run_until};
use apply_wire::key;
use redis::{AsyncCommands, aio::MultiplexedConnection, streams::StreamRangeReply};
use redis_harness::RedisServer;
use std::{env, error::Error, fs, process, time::Duration};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

const GOVERNOR: &str =
    r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0,"created_at":1}"#;
const P33: &str = r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.009,"created_at":1}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (plan, result) = one_plan().await?;
    println!("plan {plan}: would_execute={result}");
    Ok(())
}

/// Starts the service, proposes a close, grants it, and stops the service once the result is there: the plan's id, and
/// whether a live run would have executed it.
pub(crate) async fn one_plan() -> Result<(String, String), Box<dyn Error>> {
    let server = RedisServer::start().await;
    let directory = env::temp_dir().join(format!("apply-embedded-{}", process::id()));
    fs::create_dir_all(&directory)?;
    let mut config = Config::new(
        RedisUrl::new(server.url()),
        ["BTCUSDT".parse()?],
        &directory,
    );
    config.http.set_port(0);
    config.wait.wait = Duration::from_secs(30);

    let stop = CancellationToken::new();
    let service = tokio::spawn(run_until(stop.clone(), config));
    let mut redis = server.connection().await;
    let proposal = [
        ("harvest_action", "PARTIAL_75"),
        ("kill_score", "0.5"),
        ("computed_at_utc", "2026-01-25T00:43:29Z"),
    ];
    let key = key::PROPOSAL.of("BTCUSDT");
    let () = redis.hset_multiple(key, &proposal).await?;
    let plan = first(&mut redis, key::PLANS, "plan_id", &service).await?;
    for (permit, text) in [(key::PERMIT_GOVERNOR, GOVERNOR), (key::PERMIT_P33, P33)] {
        let () = redis.set_ex(permit.of(&plan), text, 60).await?;
    }
    let result = first(&mut redis, key::RESULTS, "would_execute", &service).await?;

    stop.cancel();
    service.await??;
    fs::remove_dir_all(&directory)?;
    Ok((plan, result))
}

/// A field of the stream's first entry, once there is one.
async fn first(
    redis: &mut MultiplexedConnection,
    stream: &str,
    field: &str,
    service: &JoinHandle<Result<(), Failure>>,
) -> Result<String, Box<dyn Error>> {
    loop {
        let entries: StreamRangeReply = redis.xrange_count(stream, "-", "+", 1).await?;
        if let Some(entry) = entries.ids.first() {
            return entry.get(field).ok_or_else(|| format!("no {field}").into());
        }
        if service.is_finished() {
            return Err("the service has ended; its log says why".into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}
