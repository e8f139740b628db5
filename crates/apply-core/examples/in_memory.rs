//! The whole path in one process: `cargo run --features tokio --example in_memory`.

use apply_core::{ApplyLayer, InMemory, Mode, Settings, SymbolWorker};
use permit_gate::{TokioTimer, trading};

const GOVERNOR: &str =
    r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0,"created_at":1}"#;
const P33: &str = r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.009,"created_at":1}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let btc = "BTCUSDT".parse()?;
    let ports = InMemory::new(trading::permits(), TokioTimer);
    let venue = ports.exchange.clone();
    venue.hold(&btc, "0.0124".parse()?, "0.001".parse()?, "64000".parse()?);
    let proposal = [("harvest_action", "PARTIAL_75"), ("kill_score", "0.5")];
    ports.proposals.propose(&btc, &proposal);
    // The reviewers read the plan, and say yes.
    let (plans, permits) = (ports.plans.clone(), ports.permits.clone());
    tokio::spawn(async move {
        let plan = plans.plan_at(0).await.id;
        permits.put(&plan, "governor", GOVERNOR.as_bytes());
        permits.put(&plan, "p33", P33.as_bytes());
    });
    let settings = Settings::new(Mode::Testnet, [btc.clone()], "host-1".parse()?);
    let layer = ApplyLayer::new(ports, settings, ()); // a closure hears of every event
    SymbolWorker::new(btc.clone()).look(&layer).await?;
    println!("left open: {}", venue.position(&btc));
    Ok(())
}
