//! The official Rust SDK (binance-sdk): what a bot does most, and an order under each fault.
use std::{env, fmt::Display};

use binance_sdk::{
    config::ConfigurationRestApi,
    derivatives_trading_usds_futures::{
        DerivativesTradingUsdsFuturesRestApi,
        rest_api::{self, *},
    },
};
use serde_json::{Value, json};

const SYMBOL: &str = "BTCUSDT";

fn client() -> rest_api::RestApi {
    let url = env::var("SIM_URL").unwrap();
    assert!(
        url.starts_with("http://127.0.0.1:"),
        "not on loopback, so nothing is sent: {url}"
    );
    let configuration = ConfigurationRestApi::builder()
        .api_key(env::var("SIM_KEY").unwrap())
        .api_secret(env::var("SIM_SECRET").unwrap())
        .base_path(url)
        .build()
        .unwrap();
    // Not `production`, which puts the production address over the one that is set.
    DerivativesTradingUsdsFuturesRestApi::from_config(configuration)
}

fn print(row: Value) {
    println!("{row}");
}

fn brief(error: impl Display) -> String {
    error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(160)
        .collect()
}

/// Does one operation and prints how it went.
macro_rules! op {
    ($name:expr, $call:expr, $check:expr) => {{
        let done = async { Ok::<_, anyhow::Error>($call.await?.data().await?) }.await;
        match done {
            Ok(data) => {
                let check: fn(&_) -> bool = $check;
                match check(&data) {
                    true => print(json!({"op": $name, "ok": true})),
                    false => print(json!({"op": $name, "ok": false, "outcome": format!("not what was expected: {data:?}")})),
                }
            }
            Err(error) => print(json!({"op": $name, "ok": false, "outcome": brief(format!("{error:#}"))})),
        }
    }};
}

async fn control(method: &str, path: &str, body: Option<&Value>) -> Value {
    let url = env::var("SIM_URL").unwrap() + path;
    let client = reqwest::Client::new();
    let request = if method == "POST" {
        client.post(url)
    } else {
        client.get(url)
    };
    let request = match body {
        Some(body) => request.body(body.to_string()),
        None => request,
    };
    request.send().await.unwrap().json().await.unwrap()
}

fn market(quantity: &str) -> NewOrderParams {
    NewOrderParams::builder(
        SYMBOL.to_string(),
        NewOrderSideEnum::Buy,
        NewOrderTypeEnum::Market,
    )
    .quantity(quantity.parse::<rust_decimal::Decimal>().unwrap())
    .new_order_resp_type(NewOrderNewOrderRespTypeEnum::Result)
    .build()
    .unwrap()
}

async fn ops() {
    control("POST", "/sim/reset", None).await;
    let api = client();
    let symbol = || SYMBOL.to_string();
    op!(
        "server time",
        api.check_server_time(),
        |data: &CheckServerTimeResponse| data.server_time.is_some()
    );
    op!(
        "markets",
        api.exchange_information(),
        |data: &ExchangeInformationResponse| data
            .symbols
            .as_ref()
            .is_some_and(|all| all.len() == 3)
    );
    op!(
        "depth",
        api.order_book(OrderBookParams::builder(symbol()).limit(5).build().unwrap()),
        |data: &OrderBookResponse| data.bids.as_ref().is_some_and(|bids| bids.len() == 5)
    );
    op!(
        "balance v3",
        api.futures_account_balance_v3(FuturesAccountBalanceV3Params::default()),
        |data: &Vec<FuturesAccountBalanceV2ResponseInner>| data.len() == 1
    );
    op!(
        "account v3",
        api.account_information_v3(AccountInformationV3Params::default()),
        |data: &AccountInformationV3Response| data.assets.is_some()
    );
    op!(
        "leverage",
        api.change_initial_leverage(
            ChangeInitialLeverageParams::builder(symbol(), 10)
                .build()
                .unwrap()
        ),
        |data: &ChangeInitialLeverageResponse| data.leverage == Some(10)
    );
    let limit = NewOrderParams::builder(symbol(), NewOrderSideEnum::Buy, NewOrderTypeEnum::Limit)
        .quantity("0.01".parse::<rust_decimal::Decimal>().unwrap())
        .price("63000".parse::<rust_decimal::Decimal>().unwrap())
        .time_in_force(NewOrderTimeInForceEnum::Gtc)
        .new_client_order_id("l-1".to_string())
        .build()
        .unwrap();
    op!(
        "limit order",
        api.new_order(limit),
        |data: &NewOrderResponse| data.status.as_deref() == Some("NEW")
    );
    let named = QueryOrderParams::builder(symbol())
        .orig_client_order_id("l-1".to_string())
        .build()
        .unwrap();
    op!(
        "query order",
        api.query_order(named),
        |data: &QueryOrderResponse| data.client_order_id.as_deref() == Some("l-1")
    );
    let named = CancelOrderParams::builder(symbol())
        .orig_client_order_id("l-1".to_string())
        .build()
        .unwrap();
    op!(
        "cancel order",
        api.cancel_order(named),
        |data: &CancelOrderResponse| data.status.as_deref() == Some("CANCELED")
    );
    op!(
        "market order",
        api.new_order(market("0.1")),
        |data: &NewOrderResponse| data.status.as_deref() == Some("FILLED")
    );
    op!(
        "positions v3",
        api.position_information_v3(PositionInformationV3Params::default()),
        |data: &Vec<PositionInformationV3ResponseInner>| data.len() == 1
    );
    let stop = NewAlgoOrderParams::builder(
        NewAlgoOrderAlgoTypeEnum::Conditional,
        symbol(),
        NewAlgoOrderSideEnum::Sell,
        NewAlgoOrderTypeEnum::StopMarket,
    )
    .quantity("0.1".parse::<rust_decimal::Decimal>().unwrap())
    .trigger_price("60000".parse::<rust_decimal::Decimal>().unwrap())
    .reduce_only(NewAlgoOrderReduceOnlyEnum::True)
    .client_algo_id("s-1".to_string())
    .build()
    .unwrap();
    op!(
        "stop order",
        api.new_algo_order(stop),
        |data: &NewAlgoOrderResponse| data.algo_status.as_deref() == Some("NEW")
    );
    op!(
        "query stop",
        api.query_algo_order(
            QueryAlgoOrderParams::builder()
                .client_algo_id("s-1".to_string())
                .build()
                .unwrap()
        ),
        |data: &QueryAlgoOrderResponse| data.algo_status.as_deref() == Some("NEW")
    );
    op!(
        "cancel stop",
        api.cancel_algo_order(
            CancelAlgoOrderParams::builder()
                .client_algo_id("s-1".to_string())
                .build()
                .unwrap()
        ),
        |data: &CancelAlgoOrderResponse| data.msg.as_deref() == Some("success")
    );
    op!(
        "trades",
        api.account_trade_list(AccountTradeListParams::builder(symbol()).build().unwrap()),
        |data: &Vec<AccountTradeListResponseInner>| data.len() == 1
    );
}

async fn faults() {
    let faults: Vec<Value> = serde_json::from_str(&env::var("SIM_FAULTS").unwrap()).unwrap();
    for fault in faults {
        control("POST", "/sim/reset", None).await;
        let api = client();
        control("POST", "/sim/faults", Some(&fault["fault"])).await;
        let mut order = market("0.01");
        order.new_client_order_id = Some("fault".to_string());
        let outcome =
            async { Ok::<_, anyhow::Error>(api.new_order(order).await?.data().await?) }.await;
        let outcome = match outcome {
            Ok(data) => format!("success: {}", data.status.unwrap_or_default()),
            Err(error) => brief(format!("{error:#}")),
        };
        let orders = control("GET", "/sim/orders", None).await;
        let orders = orders["orders"].as_array().unwrap();
        let filled = orders
            .iter()
            .filter(|order| order["outcome"] == "filled")
            .count();
        print(json!({"fault": fault["name"], "outcome": outcome, "sent": orders.len(), "filled": filled}));
    }
}

#[tokio::main]
async fn main() {
    match env::args().nth(1).as_deref() {
        Some("ops") => ops().await,
        _ => faults().await,
    }
}
