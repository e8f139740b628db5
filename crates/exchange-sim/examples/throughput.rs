//! How many orders a second the simulated venue takes: signed reduce-only orders over keep-alive connections.
//!
//! `cargo run --release -p exchange-sim --example throughput -- [connections] [orders]`
//!
//! The venue has one thread to itself; the clients share another, and sign their orders before the clock starts.

use exchange_sim::{Sim, SimConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{error::Error, thread, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    sync::oneshot,
    task::JoinSet,
};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let connections: usize = arguments.next().map_or(Ok(8), |text| text.parse())?;
    let orders: usize = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let (started, sim) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let venue = thread::spawn(move || -> Result<u64, Failure> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let position = 1_000_000_000.into();
            let sim = Sim::start(SimConfig::default().position("BTCUSDT", position)).await?;
            started.send(sim.address())?;
            let _ = stopped.await;
            Ok(sim.handle().order_count())
        })
    });
    let address = sim.recv()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let each = orders / connections.max(1);
    let (elapsed, sample) = runtime.block_on(async {
        let mut clients = JoinSet::new();
        let mut prepared = Vec::new();
        for connection in 0..connections {
            let requests: Vec<String> = (0..each).map(|n| request(connection, n)).collect();
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            prepared.push((stream, requests));
        }
        let start = Instant::now();
        for (stream, requests) in prepared {
            clients.spawn(trade(stream, requests));
        }
        let mut sample = Vec::new();
        while let Some(done) = clients.join_next().await {
            sample.extend(done??);
        }
        Ok::<_, Failure>((start.elapsed(), sample))
    })?;
    drop(stop);
    let arrived = match venue.join() {
        Ok(result) => result?,
        Err(_) => return Err("the venue's thread panicked".into()),
    };
    let mut sample: Vec<u128> = sample;
    sample.sort_unstable();
    let at = |percent: usize| {
        sample
            .get((sample.len() * percent / 100).min(sample.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    let rate = u128::from(arrived) * 1_000_000 / elapsed.as_micros().max(1);
    println!(
        "{arrived} orders over {connections} connections in {elapsed:.2?}: {rate} orders/s; round trip p50 {} µs, p99 {} µs",
        at(50),
        at(99),
    );
    Ok(())
}

/// Sends the orders one after another; answers the round trips in microseconds.
async fn trade(mut stream: TcpStream, requests: Vec<String>) -> Result<Vec<u128>, Failure> {
    let mut buffer = vec![0; 4096];
    let mut trips = Vec::with_capacity(requests.len());
    for request in requests {
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        loop {
            let free = buffer.get_mut(filled..).unwrap_or_default();
            filled += stream.read(free).await?;
            let seen = buffer.get(..filled).unwrap_or_default();
            if seen.ends_with(b"}") {
                if !seen.starts_with(b"HTTP/1.1 200") {
                    return Err(String::from_utf8_lossy(seen).into_owned().into());
                }
                break;
            }
        }
        trips.push(sent.elapsed().as_micros());
    }
    Ok(trips)
}

fn request(connection: usize, n: usize) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let text = format!(
        "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.001&reduceOnly=true&newClientOrderId=t-{connection}-{n}&newOrderRespType=RESULT&recvWindow=60000&timestamp={now}"
    );
    let signature: String = Hmac::<Sha256>::new_from_slice(SimConfig::API_SECRET.as_bytes())
        .map(|mut mac| {
            mac.update(text.as_bytes());
            mac.finalize()
                .into_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
        .unwrap_or_default();
    let body = format!("{text}&signature={signature}");
    format!(
        "POST /fapi/v1/order HTTP/1.1\r\nHost: venue\r\nX-MBX-APIKEY: {}\r\nContent-Length: {}\r\n\r\n{body}",
        SimConfig::API_KEY,
        body.len()
    )
}
