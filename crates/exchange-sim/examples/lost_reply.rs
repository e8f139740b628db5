//! A venue that loses the answer to the next order: `cargo run --example lost_reply`.

use exchange_sim::{Delivery, Fault, Sim, SimConfig, When};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sim = Sim::start(SimConfig::default().position("BTCUSDT", "0.0124".parse()?)).await?;
    println!("point the bot under test at {}", sim.url());
    println!("with the key {}", SimConfig::API_KEY);

    // The next order is executed, and its answer never comes.
    let lost = Fault::executed(When::order(), Delivery::Reset);
    let lost = sim.handle().script(lost);

    let host = sim.url().trim_start_matches("http://").to_owned();
    let mut socket = TcpStream::connect(&host).await?;
    let get = format!("GET /fapi/v1/time HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(get.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    println!("{}", answer.lines().last().unwrap_or_default());

    let (orders, met) = (sim.handle().orders(), sim.handle().fault_hits(lost));
    println!("{} orders arrived, {met} answers were lost", orders.len());
    Ok(sim.shutdown().await?)
}
