//! The wallet: what orders need, what they cost, and what the account shows of it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exchange_sim::{AccountConfig, ApiKey, Sim, SimConfig};
use rust_decimal::Decimal;
use serde_json::Value;

async fn read(sim: &Sim, path: &str, params: &str) -> Value {
    signed_request(sim, "GET", path, params).await.json()
}

fn figure(value: &Value, name: &str) -> Decimal {
    dec(value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value}")))
}

fn buy(quantity: &str) -> String {
    format!("symbol=BTCUSDT&side=BUY&type=MARKET&quantity={quantity}")
}

async fn set_leverage(sim: &Sim, leverage: u32) -> Answer {
    let params = format!("symbol=BTCUSDT&leverage={leverage}");
    signed_request(sim, "POST", "/fapi/v1/leverage", &params).await
}

#[tokio::test]
async fn a_trade_moves_fee_profit_margin_and_balance() {
    let sim = start(SimConfig::default()).await;
    assert_eq!(order(&sim, &buy("0.1")).await.status, 200);
    // 6400 USDT at twenty times: 320 held, 3.2 paid.
    let account = read(&sim, "/fapi/v3/account", "").await;
    assert_eq!(figure(&account, "totalWalletBalance"), dec("9996.8"));
    assert_eq!(figure(&account, "totalPositionInitialMargin"), dec("320"));
    assert_eq!(figure(&account, "totalMaintMargin"), dec("25.6"));
    assert_eq!(figure(&account, "availableBalance"), dec("9676.8"));
    sim.handle().set_price("BTCUSDT", dec("65000"));
    let account = read(&sim, "/fapi/v2/account", "").await;
    assert_eq!(figure(&account, "totalUnrealizedProfit"), dec("100"));
    assert_eq!(figure(&account, "totalMarginBalance"), dec("10096.8"));
    assert_eq!(account["positions"].as_array().unwrap().len(), 3);
    assert_eq!(account["canTrade"], true);
    order(&sim, &sell("0.1", "out")).await;
    for version in ["v2", "v3"] {
        let balance = read(&sim, &format!("/fapi/{version}/balance"), "").await;
        assert_eq!(figure(&balance[0], "balance"), dec("10093.55"));
        assert_eq!(figure(&balance[0], "availableBalance"), dec("10093.55"));
    }
    assert_eq!(sim.handle().wallet(), dec("10093.55"));
    let income = read(&sim, "/fapi/v1/income", "").await;
    let rows = income.as_array().unwrap();
    let sum: Decimal = rows.iter().map(|row| figure(row, "income")).sum();
    assert_eq!(sum, dec("10093.55"));
    let kinds: Vec<&str> = rows
        .iter()
        .map(|row| row["incomeType"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["TRANSFER", "COMMISSION", "REALIZED_PNL", "COMMISSION"]
    );
    let only = read(
        &sim,
        "/fapi/v1/income",
        "incomeType=REALIZED_PNL&symbol=BTCUSDT&limit=1",
    )
    .await;
    assert_eq!(figure(&only[0], "income"), dec("100"));
    let rates = read(&sim, "/fapi/v1/commissionRate", "symbol=BTCUSDT").await;
    assert_eq!(figure(&rates, "takerCommissionRate"), dec("0.0005"));
    assert_eq!(figure(&rates, "makerCommissionRate"), dec("0.0002"));
}

#[tokio::test]
async fn an_order_that_is_not_covered_or_too_large_is_refused() {
    let sim = start(SimConfig::default()).await;
    // 10,000 USDT at twenty times carry 200,000.
    assert_eq!(order(&sim, &buy("3.2")).await.code(), -2019);
    assert_eq!(order(&sim, &buy("3.1")).await.status, 200);
    assert_eq!(order(&sim, &buy("0.1")).await.code(), -2019);
    // What only reduces needs nothing, and turning the position over needs the difference.
    assert_eq!(order(&sim, &sell("3.1", "all")).await.status, 200);
    sim.handle().set_position("BTCUSDT", dec("1"));
    let sells = buy("2").replace("BUY", "SELL");
    assert_eq!(order(&sim, &sells).await.status, 200);
    assert_eq!(sim.handle().position("BTCUSDT"), dec("-1"));
    // At 125 times a position may be worth 50,000.
    sim.handle().set_position("BTCUSDT", Decimal::ZERO);
    assert_eq!(
        set_leverage(&sim, 125).await.json()["maxNotionalValue"],
        "50000"
    );
    assert_eq!(order(&sim, &buy("0.79")).await.code(), -2027);
    assert_eq!(order(&sim, &buy("0.78")).await.status, 200);
    // Resting orders hold margin too.
    sim.handle().set_position("BTCUSDT", Decimal::ZERO);
    set_leverage(&sim, 20).await;
    sim.handle().set_wallet(dec("1000"));
    let rests = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&price=63000&quantity=0.2";
    assert_eq!(order(&sim, rests).await.status, 200);
    let account = read(&sim, "/fapi/v3/account", "").await;
    assert_eq!(figure(&account, "totalOpenOrderInitialMargin"), dec("630"));
    assert_eq!(figure(&account, "availableBalance"), dec("370"));
    assert_eq!(order(&sim, rests).await.code(), -2019);
}

#[tokio::test]
async fn a_market_order_needs_a_near_counterparty() {
    let sim = long_btc().await;
    sim.handle().set_spread("BTCUSDT", dec("0.06"));
    assert_eq!(order(&sim, &buy("0.01")).await.code(), -4131);
    assert_eq!(order(&sim, &sell("0.001", "far")).await.code(), -4131);
    let set = control(
        &sim,
        "POST",
        "/sim/spread",
        r#"{"symbol":"BTCUSDT","share":"0.01"}"#,
    )
    .await;
    assert_eq!(set.status, 200);
    order(&sim, &sell("0.001", "near")).await;
    let sold = query(&sim, "near").await.json();
    assert_eq!(figure(&sold, "avgPrice"), dec("63360"));
    let ticker = get(&sim, "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT")
        .await
        .json();
    assert_eq!(
        (figure(&ticker, "bidPrice"), figure(&ticker, "askPrice")),
        (dec("63360"), dec("64640"))
    );
}

#[tokio::test]
async fn the_liquidation_price_is_where_the_margin_ends() {
    let sim = start(
        SimConfig::default()
            .wallet(dec("1000"))
            .position("BTCUSDT", dec("0.1")),
    )
    .await;
    let risk = read(&sim, "/fapi/v3/positionRisk", "").await;
    let price = figure(&risk[0], "liquidationPrice");
    // There wallet and loss leave exactly the maintenance margin: 0.4 % of the position's value.
    let left = dec("1000") + (price - dec("64000")) * dec("0.1");
    assert!(
        (left - price * dec("0.1") * dec("0.004")).abs() < dec("0.0001"),
        "{price}"
    );
    sim.handle().set_position("BTCUSDT", dec("-0.1"));
    let risk = read(&sim, "/fapi/v2/positionRisk", "symbol=BTCUSDT").await;
    let price = figure(&risk[0], "liquidationPrice");
    let left = dec("1000") - (price - dec("64000")) * dec("0.1");
    assert!(
        (left - price * dec("0.1") * dec("0.004")).abs() < dec("0.0001"),
        "{price}"
    );
    sim.handle().set_wallet(dec("100000"));
    sim.handle().set_position("BTCUSDT", dec("0.1"));
    let risk = read(&sim, "/fapi/v3/positionRisk", "").await;
    assert_eq!(risk[0]["liquidationPrice"], "0");
}

#[tokio::test]
async fn leverage_margin_type_and_modes_have_their_rules() {
    let sim = start(SimConfig::default()).await;
    let post = |path: &'static str, params: &'static str| {
        let sim = &sim;
        async move { signed_request(sim, "POST", path, params).await }
    };
    for (params, code) in [
        ("symbol=BTCUSDT&leverage=0", -4028),
        ("symbol=BTCUSDT&leverage=126", -4028),
        ("symbol=XUSDT&leverage=5", -1121),
    ] {
        assert_eq!(
            post("/fapi/v1/leverage", params).await.code(),
            code,
            "{params}"
        );
    }
    assert_eq!(set_leverage(&sim, 5).await.json()["leverage"], 5);
    let margin = "/fapi/v1/marginType";
    assert_eq!(
        post(margin, "symbol=BTCUSDT&marginType=CROSSED")
            .await
            .code(),
        -4046
    );
    assert_eq!(
        post(margin, "symbol=BTCUSDT&marginType=ISOLATED")
            .await
            .json()["code"],
        200
    );
    assert_eq!(
        post("/fapi/v1/multiAssetsMargin", "multiAssetsMargin=true")
            .await
            .code(),
        -4167
    );
    order(&sim, &buy("0.1")).await;
    assert_eq!(
        post(margin, "symbol=BTCUSDT&marginType=CROSSED")
            .await
            .code(),
        -4048
    );
    assert_eq!(set_leverage(&sim, 4).await.code(), -4161);
    let risk = read(&sim, "/fapi/v2/positionRisk", "symbol=BTCUSDT").await;
    assert_eq!(
        (
            risk[0]["marginType"].as_str(),
            figure(&risk[0], "isolatedWallet")
        ),
        (Some("isolated"), dec("1280"))
    );
    let config = read(&sim, "/fapi/v1/symbolConfig", "symbol=BTCUSDT").await;
    assert_eq!(
        (
            config[0]["marginType"].as_str(),
            config[0]["leverage"].as_u64()
        ),
        (Some("ISOLATED"), Some(5))
    );
    let dual = "/fapi/v1/positionSide/dual";
    assert_eq!(post(dual, "dualSidePosition=false").await.code(), -4059);
    assert_eq!(post(dual, "dualSidePosition=true").await.code(), -4068);
    sim.handle().set_position("BTCUSDT", Decimal::ZERO);
    assert_eq!(post(dual, "dualSidePosition=true").await.status, 200);
    assert_eq!(
        read(&sim, "/fapi/v1/accountConfig", "").await["dualSidePosition"],
        true
    );
    let brackets = read(&sim, "/fapi/v1/leverageBracket", "symbol=BTCUSDT").await;
    assert_eq!(brackets[0]["brackets"][0]["initialLeverage"], 125);
    assert_eq!(brackets[0]["brackets"][1]["cum"], 50);
}

#[tokio::test]
async fn accounts_have_orders_wallets_and_keys_of_their_own() {
    let bob = ApiKey::hmac("bob-key", "bob-secret").on("bob");
    let config = SimConfig::default()
        .account(AccountConfig::new("bob").wallet(dec("200")).hedge_mode())
        .key(bob)
        .position("BTCUSDT", dec("0.0124"))
        .position_of("bob", "ETHUSDT", dec("1"));
    let sim = start(config).await;
    let as_bob = |method: &'static str, path: &'static str, params: String| {
        let sim = &sim;
        async move {
            let text = format!("{params}&timestamp={}", now_ms());
            let signature = sign("bob-secret", &text);
            let target = format!("{path}?{text}&signature={signature}");
            let mut client = Client::to(sim).await;
            client
                .send(method, &target, Some("bob-key"), "")
                .await
                .unwrap()
        }
    };
    order(&sim, &sell("0.001", "same")).await;
    assert_eq!(
        as_bob("GET", ORDER, "symbol=BTCUSDT&origClientOrderId=same".into())
            .await
            .code(),
        -2013
    );
    let dual = as_bob(
        "GET",
        "/fapi/v1/positionSide/dual",
        "recvWindow=5000".into(),
    )
    .await;
    assert_eq!(dual.json()["dualSidePosition"], true);
    let short = "symbol=BTCUSDT&side=SELL&positionSide=SHORT&type=MARKET&quantity=0.05&newClientOrderId=same";
    assert_eq!(as_bob("POST", ORDER, short.into()).await.code(), -2019);
    let short = short.replace("0.05", "0.005");
    assert_eq!(as_bob("POST", ORDER, short).await.status, 200);
    let handle = sim.handle().on("bob").unwrap();
    assert_eq!(
        handle.leg("BTCUSDT", exchange_sim::PositionSide::Short),
        dec("-0.005")
    );
    assert_eq!(handle.position("ETHUSDT"), dec("1"));
    assert_eq!(sim.handle().position("BTCUSDT"), dec("0.0114"));
    let accounts: Vec<_> = sim
        .handle()
        .orders()
        .into_iter()
        .map(|order| order.account.unwrap())
        .collect();
    assert_eq!(accounts, ["sim", "bob", "bob"]);
    let state = control(&sim, "GET", "/sim/state?account=bob", "")
        .await
        .json();
    assert_eq!(state["hedge_mode"], true);
    assert_eq!(
        control(&sim, "GET", "/sim/state?account=eve", "")
            .await
            .status,
        400
    );
    assert!(sim.handle().on("eve").is_none());
}
