//! Who may trade, and when: key, signature, time window, usage limits.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::*;
use exchange_sim::{ApiKey, Limits, Sim, SimConfig};
use ring::signature::{Ed25519KeyPair, KeyPair};

const KEY: Option<&str> = Some(SimConfig::API_KEY);

async fn post_order(sim: &Sim, key: Option<&str>, query: &str, body: &str) -> Answer {
    let target = if query.is_empty() {
        ORDER.to_owned()
    } else {
        format!("{ORDER}?{query}")
    };
    Client::to(sim)
        .await
        .send("POST", &target, key, body)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_order_needs_key_timestamp_and_signature() {
    let sim = long_btc().await;
    let good = signed(&sell("0.001", "a"));
    let unknown_key = "x".repeat(64);
    let unsigned = good.split_once("&signature").unwrap().0.to_owned();
    let cases = [
        (None, good.clone(), 401, -2014),
        (Some("short"), good.clone(), 401, -2014),
        (Some(unknown_key.as_str()), good.clone(), 401, -2015),
        (KEY, unsigned.clone(), 400, -1102),
        (KEY, sell("0.001", "a"), 400, -1102),
        (KEY, good.replace("0.001", "0.002"), 400, -1022),
        (
            KEY,
            format!("{unsigned}&signature={}", "0".repeat(64)),
            400,
            -1022,
        ),
        (KEY, format!("{good}&side=SELL"), 400, -1101),
        (KEY, format!("{good}&x=1"), 400, -1022),
    ];
    for (key, text, status, code) in cases {
        let refused = post_order(&sim, key, "", &text).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{text}");
    }
    assert_eq!(post_order(&sim, KEY, "", &good).await.status, 200);
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0114"));
}

#[tokio::test]
async fn parameters_may_stand_in_query_body_or_both_and_the_bytes_are_signed_as_sent() {
    let sim = long_btc().await;
    let all_in_query = signed(&sell("0.001", "q"));
    assert_eq!(post_order(&sim, KEY, &all_in_query, "").await.status, 200);
    let query = "symbol=BTCUSDT&side=SELL&type=MARKET";
    let body = format!("quantity=0.001&reduceOnly=true&timestamp={}", now_ms());
    let signature = sign(SimConfig::API_SECRET, &format!("{query}{body}"));
    let both = post_order(&sim, KEY, query, &format!("{body}&signature={signature}")).await;
    assert_eq!(both.status, 200, "{}", both.body);
    // Escaped bytes are signed escaped.
    let escaped = signed(&sell("0.001", "a%3Ab"));
    assert_eq!(
        post_order(&sim, KEY, "", &escaped).await.json()["clientOrderId"],
        "a:b"
    );
}

#[tokio::test]
async fn the_window_is_measured_on_the_servers_clock() {
    let sim = start(
        SimConfig::default()
            .position("BTCUSDT", dec("0.0124"))
            .clock_offset_ms(5_000_000),
    )
    .await;
    let here = signed(&format!("{}&recvWindow=1500", sell("0.001", "a")));
    let late = post_order(&sim, KEY, "", &here).await;
    assert_eq!(late.code(), -1021);
    assert!(late.body.contains("outside of the recvWindow"));
    let server_time = get(&sim, "/fapi/v1/time").await.json()["serverTime"]
        .as_i64()
        .unwrap();
    let there = signed_at(&sell("0.001", "a"), server_time);
    assert_eq!(post_order(&sim, KEY, "", &there).await.status, 200);
    let ahead = signed_at(&sell("0.001", "a"), server_time + 100_000);
    let early = post_order(&sim, KEY, "", &ahead).await;
    assert_eq!(early.code(), -1021);
    assert!(early.body.contains("ahead of the server"));
}

#[tokio::test]
async fn an_ed25519_key_opens_the_same_account() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let public_key = pair.public_key().as_ref().try_into().unwrap();
    let sim = start(
        SimConfig::default()
            .position("BTCUSDT", dec("0.0124"))
            .key(ApiKey::ed25519("ed-key", public_key)),
    )
    .await;
    let text = format!("{}&timestamp={}", sell("0.001", "a"), now_ms());
    let signature = STANDARD
        .encode(pair.sign(text.as_bytes()))
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let accepted = post_order(
        &sim,
        Some("ed-key"),
        "",
        &format!("{text}&signature={signature}"),
    )
    .await;
    assert_eq!(accepted.status, 200, "{}", accepted.body);
    let with_hmac = signed(&sell("0.001", "b"));
    assert_eq!(
        post_order(&sim, Some("ed-key"), "", &with_hmac)
            .await
            .code(),
        -1022
    );
    assert_eq!(query(&sim, "a").await.json()["status"], "FILLED");
}

#[tokio::test]
async fn usage_is_counted_on_replies_and_limits_are_enforced_when_asked_for() {
    let sim = long_btc().await;
    let first = order(&sim, &sell("0.0001", "a")).await;
    assert_eq!(first.header("X-MBX-ORDER-COUNT-10S").as_deref(), Some("1"));
    assert_eq!(first.header("x-mbx-order-count-1m").as_deref(), Some("1"));
    assert!(first.header("X-MBX-USED-WEIGHT-1M").is_some());
    sim.handle().set_limits(Some(Limits {
        orders_per_minute: 2,
        ..Limits::test_host()
    }));
    // Two fit into one minute; a third can only be admitted where a new minute began in between.
    let mut refused = None;
    for n in 0..6 {
        let answer = order(&sim, &sell("0.0001", &format!("b{n}"))).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.code(), -1015);
    let wait: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    sim.handle().set_limits(None);
    assert_eq!(order(&sim, &sell("0.0001", "c")).await.status, 200);
}
