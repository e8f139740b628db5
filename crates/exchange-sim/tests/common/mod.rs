//! A bare HTTP client on a socket, and a signer that shares no code with the venue's own check.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use exchange_sim::{Sim, SimConfig};
use hmac::{Hmac, KeyInit, Mac};
use rust_decimal::Decimal;
use serde_json::Value;
use sha2::Sha256;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const ORDER: &str = "/fapi/v1/order";
pub const ALGO: &str = "/fapi/v1/algoOrder";

pub fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// A venue that holds a long position of 0.0124 BTC.
pub async fn long_btc() -> Sim {
    start(SimConfig::default().position("BTCUSDT", dec("0.0124"))).await
}

pub async fn start(config: SimConfig) -> Sim {
    Sim::start(config).await.unwrap()
}

pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

pub fn sign(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The text of a signed request: timestamp and signature are added.
pub fn signed(params: &str) -> String {
    signed_at(params, now_ms())
}

pub fn signed_at(params: &str, timestamp: i64) -> String {
    let text = if params.is_empty() {
        format!("timestamp={timestamp}")
    } else {
        format!("{params}&timestamp={timestamp}")
    };
    let signature = sign(SimConfig::API_SECRET, &text);
    format!("{text}&signature={signature}")
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn code(&self) -> i64 {
        self.json()["code"].as_i64().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }
}

/// One keep-alive connection.
pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub async fn to(sim: &Sim) -> Self {
        Self {
            stream: TcpStream::connect(sim.address()).await.unwrap(),
        }
    }

    pub async fn write(
        &mut self,
        method: &str,
        target: &str,
        key: Option<&str>,
        body: &str,
    ) -> io::Result<()> {
        let key = key.map_or(String::new(), |key| format!("X-MBX-APIKEY: {key}\r\n"));
        let text = format!(
            "{method} {target} HTTP/1.1\r\nHost: sim\r\n{key}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(text.as_bytes()).await
    }

    /// Reads one reply; an error where the connection breaks before its end.
    pub async fn read(&mut self) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        loop {
            if let Some(at) = find(&bytes, b"\r\n\r\n") {
                let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let mut answer = Answer {
                    status,
                    head,
                    body: String::new(),
                };
                let length: usize = answer.header("Content-Length").unwrap().parse().unwrap();
                while bytes.len() < at + 4 + length {
                    self.more(&mut bytes).await?;
                }
                answer.body = String::from_utf8(bytes[at + 4..at + 4 + length].to_vec()).unwrap();
                return Ok(answer);
            }
            self.more(&mut bytes).await?;
        }
    }

    async fn more(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self.stream.read_buf(bytes).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed")),
            _ => Ok(()),
        }
    }

    pub async fn send(
        &mut self,
        method: &str,
        target: &str,
        key: Option<&str>,
        body: &str,
    ) -> io::Result<Answer> {
        self.write(method, target, key, body).await?;
        self.read().await
    }

    /// A signed request: parameters in the query, but for POST in the body.
    pub async fn try_signed(
        &mut self,
        method: &str,
        path: &str,
        params: &str,
    ) -> io::Result<Answer> {
        let text = signed(params);
        let key = Some(SimConfig::API_KEY);
        if method == "POST" {
            self.send(method, path, key, &text).await
        } else {
            self.send(method, &format!("{path}?{text}"), key, "").await
        }
    }
}

pub async fn signed_request(sim: &Sim, method: &str, path: &str, params: &str) -> Answer {
    Client::to(sim)
        .await
        .try_signed(method, path, params)
        .await
        .unwrap()
}

pub async fn get(sim: &Sim, target: &str) -> Answer {
    Client::to(sim)
        .await
        .send("GET", target, None, "")
        .await
        .unwrap()
}

pub async fn control(sim: &Sim, method: &str, target: &str, body: &str) -> Answer {
    Client::to(sim)
        .await
        .send(method, target, None, body)
        .await
        .unwrap()
}

/// A market order that closes part of a long position.
pub fn sell(quantity: &str, client_id: &str) -> String {
    format!(
        "symbol=BTCUSDT&side=SELL&type=MARKET&quantity={quantity}&reduceOnly=true&newClientOrderId={client_id}&newOrderRespType=RESULT"
    )
}

pub async fn order(sim: &Sim, params: &str) -> Answer {
    signed_request(sim, "POST", ORDER, params).await
}

pub async fn query(sim: &Sim, client_id: &str) -> Answer {
    let params = format!("symbol=BTCUSDT&origClientOrderId={client_id}");
    signed_request(sim, "GET", ORDER, &params).await
}

/// The one-way position of BTCUSDT as v3 shows it; `None`: not listed.
pub async fn shown_position(sim: &Sim) -> Option<Decimal> {
    let answer = signed_request(sim, "GET", "/fapi/v3/positionRisk", "symbol=BTCUSDT").await;
    let list = answer.json();
    let entry = list.as_array().unwrap().first()?;
    Some(dec(entry["positionAmt"].as_str().unwrap()))
}

/// Fails instead of hanging for ever when the venue does not do what a test waits for.
pub async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("the venue did not get there in 20 s")
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|at| at == wanted)
}
