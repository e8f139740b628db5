//! Every fault as a client's socket sees it, and what it leaves behind at the venue.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exchange_sim::{
    Canned, Delivery, Fault, HiddenFor, Instead, OrderOutcome, Sim, SimConfig, When,
};
use serde_json::{Value, json};
use std::{io::ErrorKind, time::Duration};
use tokio::io::AsyncReadExt;

async fn faulted(sim: &Sim, fault: Fault, client_id: &str) -> std::io::Result<Answer> {
    let id = sim.handle().script(fault);
    let answer = Client::to(sim)
        .await
        .try_signed("POST", ORDER, &sell("0.001", client_id))
        .await;
    assert_eq!(sim.handle().fault_hits(id), 1);
    answer
}

fn outcome(sim: &Sim, client_id: &str) -> OrderOutcome {
    sim.handle().orders_of(client_id)[0].outcome
}

#[tokio::test]
async fn a_reset_before_execution_is_a_reset_and_no_order() {
    let sim = long_btc().await;
    let fault = Fault::not_executed(When::order(), Instead::Reset);
    let error = faulted(&sim, fault, "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(outcome(&sim, "a"), OrderOutcome::NotExecuted);
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0124"));
    assert_eq!(query(&sim, "a").await.code(), -2013);
}

#[tokio::test]
async fn a_reset_after_execution_is_a_reset_and_an_order() {
    let sim = long_btc().await;
    let fault = Fault::executed(When::order(), Delivery::Reset);
    let error = faulted(&sim, fault, "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(outcome(&sim, "a"), OrderOutcome::Filled);
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0114"));
    assert_eq!(query(&sim, "a").await.json()["status"], "FILLED");
}

#[tokio::test]
async fn an_orderly_close_without_a_reply_is_distinguished_from_a_reset() {
    let sim = long_btc().await;
    let fault = Fault::not_executed(When::order(), Instead::Close);
    let error = faulted(&sim, fault, "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(outcome(&sim, "a"), OrderOutcome::NotExecuted);
    let fault = Fault::executed(When::order(), Delivery::Close);
    let error = faulted(&sim, fault, "b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(outcome(&sim, "b"), OrderOutcome::Filled);
}

#[tokio::test]
async fn a_connection_can_be_reset_before_anything_is_read() {
    let sim = long_btc().await;
    sim.handle().reset_next_connections(1);
    let mut client = Client::to(&sim).await;
    let mut byte = [0];
    let error = soon(client.stream.read(&mut byte)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(get(&sim, "/fapi/v1/ping").await.status, 200);
    assert_eq!(sim.handle().request_count("GET", "/fapi/v1/ping"), 1);
}

#[tokio::test]
async fn idle_connections_can_be_closed_under_a_client() {
    let sim = long_btc().await;
    let mut client = Client::to(&sim).await;
    let first = client.send("GET", "/fapi/v1/ping", None, "").await.unwrap();
    assert_eq!(first.status, 200);
    sim.handle().close_idle_connections();
    let mut byte = [0];
    assert_eq!(soon(client.stream.read(&mut byte)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_cut_body_breaks_off_half_way_through_a_true_reply() {
    let sim = long_btc().await;
    sim.handle()
        .script(Fault::executed(When::order(), Delivery::Cut));
    let mut client = Client::to(&sim).await;
    let body = signed(&sell("0.001", "a"));
    client
        .write("POST", ORDER, Some(SimConfig::API_KEY), &body)
        .await
        .unwrap();
    let mut seen = String::new();
    soon(client.stream.read_to_string(&mut seen)).await.unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"));
    let promised: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(body.len(), promised / 2);
    assert!(body.starts_with("{\"orderId\":"));
    assert_eq!(outcome(&sim, "a"), OrderOutcome::Filled);
}

#[tokio::test]
async fn a_slow_body_comes_in_pieces_and_is_whole_at_the_end() {
    let sim = long_btc().await;
    sim.handle().script(Fault::executed(
        When::order(),
        Delivery::Slow {
            piece: 100,
            pause_ms: 1,
        },
    ));
    let mut client = Client::to(&sim).await;
    let answer = soon(client.try_signed("POST", ORDER, &sell("0.001", "a")))
        .await
        .unwrap();
    assert_eq!(answer.json()["status"], "FILLED");
    // The connection is still good.
    let again = client.send("GET", "/fapi/v1/ping", None, "").await.unwrap();
    assert_eq!(again.body, "{}");
}

#[tokio::test]
async fn an_altered_reply_is_the_true_one_but_for_the_fields_named() {
    let sim = long_btc().await;
    let lies = [
        ("executedQty", json!("9999")),
        ("side", json!("BUY")),
        ("reduceOnly", Value::Null),
    ];
    sim.handle().script(Fault::altered(When::order(), lies));
    let mut client = Client::to(&sim).await;
    let answer = client
        .try_signed("POST", ORDER, &sell("0.001", "a"))
        .await
        .unwrap();
    let body = answer.json();
    assert_eq!(
        (&body["executedQty"], &body["side"], &body["origQty"]),
        (&json!("9999"), &json!("BUY"), &json!("0.0010"))
    );
    assert!(body.get("reduceOnly").is_none() && body["clientOrderId"] == "a");
    assert_eq!(outcome(&sim, "a"), OrderOutcome::Filled);
    sim.handle().script(Fault::altered(
        When::request("GET", "/fapi/v1/userTrades"),
        [("qty", json!("7"))],
    ));
    let fills = client
        .try_signed("GET", "/fapi/v1/userTrades", "symbol=BTCUSDT")
        .await
        .unwrap();
    assert_eq!(fills.json()[0]["qty"], "7");
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_leaves_or_the_venue_stops() {
    let sim = long_btc().await;
    let handle = sim.handle().clone();
    handle.script(Fault::executed(
        When::order().client_id("done"),
        Delivery::Hang,
    ));
    handle.script(Fault::not_executed(
        When::order().client_id("left"),
        Instead::Hang,
    ));
    let mut clients = Vec::new();
    for id in ["done", "left"] {
        let mut client = Client::to(&sim).await;
        let body = signed(&sell("0.001", id));
        client
            .write("POST", ORDER, Some(SimConfig::API_KEY), &body)
            .await
            .unwrap();
        clients.push(client);
    }
    soon(handle.wait_for_orders(2)).await;
    // Other connections are served meanwhile, and the two that hang are neither answered nor closed.
    for _ in 0..3 {
        assert_eq!(get(&sim, "/fapi/v1/ping").await.status, 200);
    }
    for client in &clients {
        let mut byte = [0];
        let nothing = client.stream.try_read(&mut byte).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    }
    soon(sim.shutdown()).await.unwrap();
    for mut client in clients {
        assert!(client.read().await.is_err());
    }
    assert_eq!(handle.orders_of("done")[0].outcome, OrderOutcome::Filled);
    assert_eq!(
        handle.orders_of("left")[0].outcome,
        OrderOutcome::NotExecuted
    );
}

#[tokio::test]
async fn a_delay_stands_before_or_after_execution() {
    let sim = long_btc().await;
    let handle = sim.handle();
    let long = Duration::from_secs(600);
    handle.script(
        Fault::executed(When::order().client_id("early"), Delivery::Whole).delay_after(long),
    );
    handle.script(
        Fault::executed(When::order().client_id("late"), Delivery::Whole).delay_before(long),
    );
    let mut clients = Vec::new();
    for id in ["late", "early"] {
        let mut client = Client::to(&sim).await;
        let body = signed(&sell("0.001", id));
        client
            .write("POST", ORDER, Some(SimConfig::API_KEY), &body)
            .await
            .unwrap();
        clients.push(client);
    }
    soon(async { while query(&sim, "early").await.status != 200 {} }).await;
    assert_eq!(outcome(&sim, "early"), OrderOutcome::Filled);
    soon(handle.wait_for_orders(2)).await;
    assert_eq!(outcome(&sim, "late"), OrderOutcome::Pending);
    assert_eq!(handle.position("BTCUSDT"), dec("0.0114"));
}

#[tokio::test]
async fn every_canned_reply_comes_out_as_written_with_and_without_execution() {
    let sim = long_btc().await;
    let cases: Vec<(Canned, u16, &str)> = vec![
        (
            Canned::unknown_503(),
            503,
            "Unknown error, please check your request or try again later.",
        ),
        (Canned::unavailable_503(), 503, "Service Unavailable."),
        (
            Canned::internal_503(),
            503,
            "Internal error; unable to process your request. Please try again.",
        ),
        (Canned::overloaded_503(), 503, "-1008"),
        (Canned::unknown_1000(), 400, "-1000"),
        (Canned::unexpected_response_1006(), 400, "-1006"),
        (Canned::timeout_1007(), 408, "-1007"),
        (Canned::too_many_requests_429(), 429, "-1003"),
        (Canned::too_many_orders_429().retry_after(7), 429, "-1015"),
        (
            Canned::banned_418(1_800_000_000_000),
            418,
            "banned until 1800000000000",
        ),
        (Canned::outside_window_1021(), 400, "-1021"),
        (Canned::outside_window_5028(), 400, "-5028"),
        (Canned::request_timeout_408(), 408, ""),
        (
            Canned::redirect_307("http://127.0.0.1:1/elsewhere"),
            307,
            "",
        ),
        (Canned::garbage_200(), 200, "<<<not json>>>"),
        (Canned::gateway_html(502), 502, "<html>"),
        (
            Canned::error(400, -2019, "Margin is insufficient."),
            400,
            "-2019",
        ),
    ];
    sim.handle().set_position("BTCUSDT", dec("1"));
    for (index, (canned, status, text)) in cases.into_iter().enumerate() {
        for executes in [false, true] {
            let id = format!("{index}-{executes}");
            let fault = Fault::reply(When::order(), executes, canned.clone());
            let answer = faulted(&sim, fault, &id).await.unwrap();
            assert_eq!(answer.status, status);
            assert!(answer.body.contains(text), "{}", answer.body);
            let expected = if executes {
                OrderOutcome::Filled
            } else {
                OrderOutcome::NotExecuted
            };
            assert_eq!(outcome(&sim, &id), expected, "{id}");
            for (name, value) in &canned.headers {
                assert_eq!(answer.header(name).as_ref(), Some(value));
            }
        }
    }
}

#[tokio::test]
async fn an_executed_order_can_stay_unseen_for_some_queries() {
    let sim = long_btc().await;
    let fault = Fault::executed(When::order(), Delivery::Reset).hide_order(HiddenFor::queries(2));
    faulted(&sim, fault, "a").await.unwrap_err();
    assert_eq!(query(&sim, "a").await.code(), -2013);
    assert_eq!(query(&sim, "a").await.code(), -2013);
    assert_eq!(query(&sim, "a").await.json()["status"], "FILLED");
}

#[tokio::test]
async fn an_executed_order_can_stay_unseen_for_a_time_of_the_server_clock() {
    let sim = long_btc().await;
    let fault = Fault::executed(When::order(), Delivery::Whole)
        .hide_order(HiddenFor::time(Duration::from_secs(60)));
    faulted(&sim, fault, "a").await.unwrap();
    assert_eq!(query(&sim, "a").await.code(), -2013);
    // Requests stay signed within the window: the query's timestamp moves with the server's clock.
    sim.handle().set_clock_offset_ms(61_000);
    let text = signed_at("symbol=BTCUSDT&origClientOrderId=a", now_ms() + 61_000);
    let seen = Client::to(&sim)
        .await
        .send(
            "GET",
            &format!("{ORDER}?{text}"),
            Some(SimConfig::API_KEY),
            "",
        )
        .await
        .unwrap();
    assert_eq!(seen.json()["status"], "FILLED");
}

#[tokio::test]
async fn an_order_can_land_after_its_client_got_an_error() {
    let sim = long_btc().await;
    let fault = Fault::late(
        When::order(),
        Duration::from_millis(20),
        Instead::Reply(Canned::unknown_503()),
    );
    assert_eq!(faulted(&sim, fault, "a").await.unwrap().status, 503);
    soon(async { while query(&sim, "a").await.status != 200 {} }).await;
    assert_eq!(outcome(&sim, "a"), OrderOutcome::Filled);
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0114"));
}

#[tokio::test]
async fn an_order_that_lands_after_its_receive_window_is_refused() {
    let sim = long_btc().await;
    sim.handle().script(Fault::late(
        When::order(),
        Duration::from_millis(20),
        Instead::Close,
    ));
    let params = format!("{}&recvWindow=1", sell("0.001", "a"));
    let mut client = Client::to(&sim).await;
    client.try_signed("POST", ORDER, &params).await.unwrap_err();
    soon(async {
        while outcome(&sim, "a") == OrderOutcome::Pending {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(outcome(&sim, "a"), OrderOutcome::Rejected(-1021));
}

#[tokio::test]
async fn trades_and_position_have_veils_of_their_own() {
    let sim = long_btc().await;
    let fault = Fault::executed(When::order(), Delivery::Whole)
        .hide_trades(HiddenFor::queries(1))
        .hide_position(HiddenFor::queries(2));
    let id = faulted(&sim, fault, "a").await.unwrap().json()["orderId"].clone();
    let params = format!("symbol=BTCUSDT&orderId={id}");
    let trades = || async {
        let answer = signed_request(&sim, "GET", "/fapi/v1/userTrades", &params).await;
        answer.json().as_array().unwrap().len()
    };
    assert_eq!(query(&sim, "a").await.json()["status"], "FILLED");
    assert_eq!((trades().await, trades().await), (0, 1));
    assert_eq!(shown_position(&sim).await, Some(dec("0.0124")));
    assert_eq!(shown_position(&sim).await, Some(dec("0.0124")));
    assert_eq!(shown_position(&sim).await, Some(dec("0.0114")));
}

#[tokio::test]
async fn a_redirect_target_sees_whether_the_key_was_sent_on() {
    let target = long_btc().await;
    assert_eq!(get(&target, "/elsewhere").await.status, 404);
    Client::to(&target)
        .await
        .send("GET", "/elsewhere", Some("k"), "")
        .await
        .unwrap();
    let counts = target.handle().requests();
    assert_eq!((counts[0].requests, counts[0].with_key), (2, 1));
    target.handle().clear_requests();
    assert!(target.handle().requests().is_empty());
}

#[tokio::test]
async fn faults_reach_every_endpoint_and_can_be_taken_back() {
    let sim = long_btc().await;
    sim.handle()
        .script(Fault::reply(When::any(), false, Canned::unavailable_503()).always());
    for path in ["/fapi/v1/ping", "/fapi/v1/time", "/fapi/v1/exchangeInfo"] {
        assert_eq!(get(&sim, path).await.status, 503);
    }
    assert_eq!(query(&sim, "a").await.status, 503);
    sim.handle().clear_faults();
    assert_eq!(get(&sim, "/fapi/v1/ping").await.status, 200);
}
