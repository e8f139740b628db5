//! Pages of the past: trades, orders and candles are read forwards, and windows have their bounds.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exchange_sim::Sim;
use serde_json::Value;

async fn trades(sim: &Sim, params: &str) -> Answer {
    signed_request(
        sim,
        "GET",
        "/fapi/v1/userTrades",
        &format!("symbol=BTCUSDT{params}"),
    )
    .await
}

fn ids(answer: &Answer) -> Vec<u64> {
    let rows = answer.json();
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_loop_over_trades_by_id_meets_each_once() {
    let sim = long_btc().await;
    for number in 0..7 {
        order(&sim, &sell("0.0010", &format!("t{number}"))).await;
    }
    let all = ids(&trades(&sim, "").await);
    assert_eq!(all.len(), 7);
    let (mut seen, mut from) = (Vec::new(), all[0]);
    loop {
        let page = ids(&trades(&sim, &format!("&fromId={from}&limit=2")).await);
        let Some(last) = page.last() else { break };
        from = last + 1;
        seen.extend(page);
    }
    assert_eq!(seen, all);
    // Without an id it is the newest ones, from a moment on the first.
    assert_eq!(ids(&trades(&sim, "&limit=2").await), all[5..]);
    let since = now_ms() - 60_000;
    assert_eq!(
        ids(&trades(&sim, &format!("&startTime={since}&limit=2")).await),
        all[..2]
    );
}

#[tokio::test]
async fn windows_and_combinations_that_the_venue_forbids_are_refused() {
    let sim = long_btc().await;
    let day = 86_400_000;
    let now = now_ms();
    for (params, code) in [
        (format!("&fromId=1&startTime={now}"), -1128),
        (format!("&startTime={}&endTime={now}", now - 8 * day), -4165),
        (format!("&startTime={now}&endTime={}", now - 1), -1023),
        ("&limit=0".to_owned(), -1130),
    ] {
        assert_eq!(trades(&sim, &params).await.code(), code, "{params}");
    }
    for path in ["/fapi/v1/allOrders", "/fapi/v1/allAlgoOrders"] {
        let params = format!("symbol=BTCUSDT&startTime={}&endTime={now}", now - 8 * day);
        assert_eq!(
            signed_request(&sim, "GET", path, &params).await.code(),
            -4165,
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_venue_forgets_what_never_filled_after_three_days_and_all_after_ninety() {
    let sim = long_btc().await;
    order(&sim, &sell("0.001", "filled")).await;
    let rests = "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&price=65000&quantity=0.01&newClientOrderId=gone";
    order(&sim, rests).await;
    signed_request(
        &sim,
        "DELETE",
        ORDER,
        "symbol=BTCUSDT&origClientOrderId=gone",
    )
    .await;
    let later = |days: i64| async move { days * 86_400_000 + 1000 };
    let at = |days: i64, id: &'static str| {
        let sim = &sim;
        async move {
            let offset = later(days).await;
            sim.handle().set_clock_offset_ms(offset);
            let text = signed_at(
                &format!("symbol=BTCUSDT&origClientOrderId={id}"),
                now_ms() + offset,
            );
            let target = format!("{ORDER}?{text}");
            let key = Some(exchange_sim::SimConfig::API_KEY);
            Client::to(sim)
                .await
                .send("GET", &target, key, "")
                .await
                .unwrap()
                .status
        }
    };
    assert_eq!((at(2, "gone").await, at(3, "gone").await), (200, 400));
    assert_eq!((at(89, "filled").await, at(90, "filled").await), (200, 400));
}

#[tokio::test]
async fn orders_are_listed_looked_up_and_cancelled_together() {
    let sim = long_btc().await;
    let rests = |id: &str, price: &str| {
        format!(
            "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&price={price}&quantity=0.01&newClientOrderId={id}"
        )
    };
    for (id, price) in [("a", "65000"), ("b", "66000"), ("c", "67000")] {
        order(&sim, &rests(id, price)).await;
    }
    let get_open = |id: &'static str| {
        let sim = &sim;
        async move {
            let params = format!("symbol=BTCUSDT&origClientOrderId={id}");
            signed_request(sim, "GET", "/fapi/v1/openOrder", &params).await
        }
    };
    assert_eq!(get_open("a").await.json()["clientOrderId"], "a");
    sim.handle().set_price("BTCUSDT", dec("65500"));
    assert_eq!(get_open("a").await.code(), -2013);
    let all = signed_request(&sim, "GET", "/fapi/v1/allOrders", "symbol=BTCUSDT")
        .await
        .json();
    let statuses = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| {
            format!(
                "{} {}",
                row["clientOrderId"].as_str().unwrap(),
                row["status"].as_str().unwrap()
            )
        })
        .collect()
    };
    assert_eq!(statuses(&all), ["a FILLED", "b NEW", "c NEW"]);
    let from = format!("symbol=BTCUSDT&orderId={}&limit=1", all[1]["orderId"]);
    let page = signed_request(&sim, "GET", "/fapi/v1/allOrders", &from)
        .await
        .json();
    assert_eq!(statuses(&page), ["b NEW"]);
    let cancelled =
        signed_request(&sim, "DELETE", "/fapi/v1/allOpenOrders", "symbol=BTCUSDT").await;
    assert_eq!(cancelled.json()["code"], 200);
    let all = signed_request(&sim, "GET", "/fapi/v1/allOrders", "symbol=BTCUSDT")
        .await
        .json();
    assert_eq!(statuses(&all), ["a FILLED", "b CANCELED", "c CANCELED"]);
}

#[tokio::test]
async fn an_order_that_is_good_till_a_date_ends_there() {
    let sim = long_btc().await;
    let rests = "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTD&price=65000&quantity=0.01&newClientOrderId=g";
    assert_eq!(order(&sim, rests).await.code(), -1102);
    let soon = format!("{rests}&goodTillDate={}", now_ms() + 599_000);
    assert_eq!(order(&sim, &soon).await.code(), -5040);
    let till = now_ms() + 700_000;
    let placed = order(&sim, &format!("{rests}&goodTillDate={till}"))
        .await
        .json();
    assert_eq!(placed["goodTillDate"].as_i64(), Some(till / 1000 * 1000));
    sim.handle().set_clock_offset_ms(701_000);
    let text = signed_at("symbol=BTCUSDT&origClientOrderId=g", now_ms() + 701_000);
    let key = Some(exchange_sim::SimConfig::API_KEY);
    let target = format!("{ORDER}?{text}");
    let ended = Client::to(&sim)
        .await
        .send("GET", &target, key, "")
        .await
        .unwrap();
    assert_eq!(ended.json()["status"], "EXPIRED");
}

#[tokio::test]
async fn the_market_is_there_to_be_read() {
    let sim = long_btc().await;
    let rows = get(&sim, "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit=20")
        .await
        .json();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 20);
    for pair in rows.windows(2) {
        assert_eq!(
            pair[1][0].as_i64().unwrap() - pair[0][0].as_i64().unwrap(),
            300_000
        );
        assert_eq!(pair[0][4], pair[1][1], "candles join");
    }
    let again = get(&sim, "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit=20")
        .await
        .json();
    assert_eq!(again[3], rows[3], "the past stays as it was");
    let start = rows[4][0].as_i64().unwrap();
    let page = get(
        &sim,
        &format!("/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit=3&startTime={start}"),
    )
    .await
    .json();
    assert_eq!((page.as_array().unwrap().len(), &page[0]), (3, &rows[4]));
    assert_eq!(
        get(&sim, "/fapi/v1/klines?symbol=BTCUSDT&interval=7m")
            .await
            .code(),
        -1120
    );
    let depth = get(&sim, "/fapi/v1/depth?symbol=BTCUSDT&limit=5")
        .await
        .json();
    assert_eq!(depth["bids"].as_array().unwrap().len(), 5);
    assert_eq!(
        (depth["bids"][0][0].as_str(), depth["asks"][0][0].as_str()),
        (Some("63999.90"), Some("64000.10"))
    );
    assert_eq!(
        get(&sim, "/fapi/v1/depth?symbol=BTCUSDT&limit=7")
            .await
            .code(),
        -4021
    );
    for path in [
        "trades?symbol=BTCUSDT&limit=3",
        "aggTrades?symbol=BTCUSDT&limit=3",
        "ticker/24hr",
        "ticker/price",
        "ticker/bookTicker",
        "fundingRate?symbol=BTCUSDT&limit=3",
        "markPriceKlines?symbol=BTCUSDT&interval=1h&limit=3",
        "indexPriceKlines?pair=BTCUSDT&interval=1h&limit=3",
    ] {
        let answer = get(&sim, &format!("/fapi/v1/{path}")).await;
        assert_eq!(
            answer.json().as_array().map(Vec::len),
            Some(3),
            "{path}: {}",
            answer.body
        );
    }
}
