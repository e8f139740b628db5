//! A connection that is half open: it takes what is sent and never answers again.
#![allow(clippy::unwrap_used)]

use apply_core::{ProposalSource, Symbol};
use apply_redis::{PlanStoreConfig, RedisPlanStore};
use redis_harness::RedisServer;
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A way to the server on which every connection made so far can be silenced.
async fn way_to(server: u16) -> (String, watch::Sender<u64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let silenced = watch::Sender::new(0);
    let shared = silenced.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await;
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let (born, shared) = (*shared.borrow(), shared.clone());
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(got @ 1..) = from_server.read(&mut buffer).await {
                    if *shared.borrow() == born {
                        to_client.write_all(&buffer[..got]).await.unwrap();
                    }
                }
            });
        }
    });
    (url, silenced)
}

#[tokio::test]
async fn a_connection_that_has_gone_silent_is_given_up_for_a_new_one() {
    let server = RedisServer::start().await;
    let (url, silenced) = way_to(server.port()).await;
    let config = PlanStoreConfig {
        response_timeout: Duration::from_millis(200),
        ..PlanStoreConfig::new(url)
    };
    let plan_store = RedisPlanStore::connect(config).await.unwrap();
    let symbol: Symbol = "BTCUSDT".parse().unwrap();
    plan_store.fetch(&symbol).await.unwrap();
    silenced.send_modify(|times| *times += 1);
    let error = plan_store.fetch(&symbol).await.unwrap_err().to_string();
    assert!(error.contains("timed out"), "{error}");
    // A busy machine may need another try; a link that stays silent fails them all.
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(plan_store.fetch(&symbol).await);
        if answers.last().is_some_and(Result::is_ok) {
            return;
        }
    }
    panic!("the plan store never came back: {answers:?}");
}
