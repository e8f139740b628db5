//! Closes half of a position on a simulated venue. `cargo run -p exchange-client --example close_position`
//!
//! Point it at the venue's test host by giving `Host::default()` and a key of that host instead of the first two lines.

use exchange_client::{Client, Credentials, Settings, Settlement, Submission};
use exchange_sim::{Sim, SimConfig};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let venue = Sim::start(SimConfig::default().position("BTCUSDT", "0.0124".parse()?)).await?;
    let credentials = Credentials::hmac(SimConfig::API_KEY, SimConfig::API_SECRET)?;
    let client = Client::new(venue.url().parse()?, credentials, Settings::default())?;
    client.warm_up().await?;

    // While there is time: what is held, what the symbol allows, and the order but for its quantity.
    let symbol = "BTCUSDT".parse()?;
    let positions = client.fetch_positions(Some(&symbol)).await?;
    let position = positions.first().ok_or("flat: nothing to close")?;
    let rules = client.fetch_rules(&symbol).await?;
    let mode = client.fetch_position_mode().await?;
    let order = client.prepare_close(position, mode, &rules, "close-0001".parse()?)?;
    let intent = order.intent().clone(); // a real program writes this down before it goes on

    // When it counts: cut the quantity to the step, sign, send once.
    let quantity = rules.cut_quantity(position.size() / rust_decimal::Decimal::TWO)?;
    let report = match client.submit(order, quantity).await {
        Submission::Accepted(report) => report,
        Submission::Unknown(unknown) => match client
            .settle(&intent, unknown.window, Duration::from_secs(10))
            .await
        {
            Settlement::Filled(report) => report,
            other => return Err(format!("a person has to look: {other:?}").into()),
        },
        no => return Err(no.to_string().into()),
    };
    println!(
        "closed {} of {} at {:?}",
        report.executed_quantity, position.amount, report.average_price
    );
    println!("earned {:?}", client.fetch_profit(&report).await?);
    Ok(())
}
