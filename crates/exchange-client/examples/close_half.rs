//! Closes half of a position on a simulated venue: `cargo run --example close_half`.

use exchange_client::{Client, Credentials, Settings, Submission};
use exchange_sim::{Sim, SimConfig};
use rust_decimal::Decimal;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let venue = Sim::start(SimConfig::default().position("BTCUSDT", "0.0124".parse()?)).await?;
    let key = Credentials::hmac(SimConfig::API_KEY, SimConfig::API_SECRET)?;
    let client = Client::new(venue.url().parse()?, key, Settings::default())?;

    // While there is time: all of the order but its quantity.
    let symbol = "BTCUSDT".parse()?;
    let positions = client.fetch_positions(Some(&symbol)).await?;
    let (position, rules) = (&positions[0], client.fetch_rules(&symbol).await?);
    let mode = client.fetch_position_mode().await?;
    let order = client.prepare_close(position, mode, &rules, "close-0001".parse()?)?;

    // When it counts: sent once, and never again.
    let quantity = rules.cut_quantity(position.size() / Decimal::TWO)?;
    match client.submit(order, quantity).await {
        Submission::Accepted(report) => println!("closed {}", report.executed_quantity),
        Submission::Unknown(what) => println!("ask Client::settle about it: {what:?}"),
        no => println!("nothing was closed: {no}"),
    }
    Ok(())
}
