//! The core over a real client, on a simulated venue: `cargo run --example simulated`.

use apply_core::{ApplyLayer, InMemory, Mode, Settings, SymbolWorker};
use apply_exchange::Venue;
use exchange_client::{Client, Credentials};
use exchange_sim::{Sim, SimConfig};
use permit_gate::{PermitSet, TokioTimer, trading};

const P33: &[u8] = br#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.009,"created_at":1}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sim = Sim::start(SimConfig::default().position("BTCUSDT", "0.0124".parse()?)).await?;
    let key = Credentials::hmac(SimConfig::API_KEY, SimConfig::API_SECRET)?;
    let client = Client::new(sim.url().parse()?, key, Venue::settings())?;
    let required = PermitSet::new(vec![trading::position_brain()])?;
    let venue = Venue::new(Some(client));
    let ports = InMemory::new(required, TokioTimer).with_exchange(venue);
    let (btc, plan_store) = ("BTCUSDT".parse()?, ports.plans.clone());
    let permits = ports.permits.clone();
    let proposal = [("harvest_action", "PARTIAL_75"), ("kill_score", "0.5")];
    plan_store.propose(&btc, &proposal);
    tokio::spawn(async move { permits.put(&plan_store.plan_at(0).await.id, "p33", P33) });
    let settings = Settings::new(Mode::Testnet, [btc.clone()], "host-1".parse()?);
    let layer = ApplyLayer::new(ports, settings, ());
    SymbolWorker::new(btc).look(&layer).await?;
    println!("sold {}", sim.handle().orders()[0].executed_qty);
    Ok(())
}
