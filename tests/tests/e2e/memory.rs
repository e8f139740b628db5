//! What plans that wait take of the machine.

use apply_tests::Stage;
use redis_harness::RedisServer;
use std::fs;

const WAITING: &str = "quantum_apply_plans_waiting";

/// Where each also holds what comes before the wait and after it, they take twice as much.
#[tokio::test]
async fn four_hundred_plans_that_wait_take_a_few_megabytes() {
    let symbols: Vec<String> = (0..400).map(|n| format!("S{n:03}USDT")).collect();
    let stage = Stage::open_for(RedisServer::start().await, &symbols).await;
    let all = symbols.join(",");
    let service = stage
        .service()
        .env("SYMBOLS", &all)
        .env("APPLY_ALLOWLIST", &all)
        .env("APPLY_PERMIT_WAIT_MS", "60000");
    let service = service.ready().await;
    for symbol in &symbols {
        stage.propose(symbol, "PARTIAL_75").await;
    }
    service.metric_is(WAITING, "400").await;
    let status = fs::read_to_string(format!("/proc/{}/status", service.id().unwrap())).unwrap();
    // Its own memory, not the program's text.
    let own = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let own = own.unwrap().trim().trim_end_matches(" kB");
    let own: u64 = own.parse().unwrap();
    // 10,400 KiB measured, most of it the process itself: seven KiB more a plan would be past it.
    assert!(own < 13_000, "{own} KiB");
}
