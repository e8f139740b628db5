//! What an order does not need never stops it: it is left out, logged once, and counted.

use crate::d;
use apply_tests::{PLANS, Stage};
use exchange_sim::{Canned, Delivery, Fault, Instead, When};
use serde_json::json;
use std::collections::HashSet;

const ALGO: &str = "/fapi/v1/openAlgoOrders";

/// A row of the exchange's information that cannot be read, beside those of the two symbols that are traded.
fn exchange_info() -> Canned {
    let rules = |symbol: &str| {
        json!({"symbol": symbol, "status": "TRADING", "quantityPrecision": 3, "pricePrecision": 1, "marginAsset": [],
            "filters": [null,
                {"filterType": "PRICE_FILTER", "minPrice": "1E-1", "maxPrice": "1E+6", "tickSize": "1E-1"},
                {"filterType": "LOT_SIZE", "minQty": "1E-3", "maxQty": "1E3", "stepSize": "1E-3"},
                {"filterType": "MARKET_LOT_SIZE", "minQty": 0.001, "maxQty": 1000, "stepSize": 1e-3},
                {"filterType": "MIN_NOTIONAL", "notional": "much"}]})
    };
    let body =
        json!({"symbols": [null, 7, {"status": "TRADING"}, rules("BTCUSDT"), rules("ETHUSDT")]});
    Canned::raw(200, &body.to_string())
}

#[tokio::test]
async fn what_cannot_be_read_and_decides_nothing_is_one_warning_a_kind_and_symbol() {
    let stage = Stage::open().await;
    let venue = stage.venue();
    let info = When::request("GET", "/fapi/v1/exchangeInfo");
    venue.script(Fault::not_executed(info, Instead::Reply(exchange_info())).always());
    let strange = [
        ("entryPrice", json!("6.4x")),
        ("unRealizedProfit", json!("")),
        ("updateTime", json!("yesterday")),
    ];
    let position = When::request("GET", "/fapi/v3/positionRisk");
    venue.script(Fault::altered(position, strange).always());
    let fees = [
        ("commission", json!("a little")),
        ("realizedPnl", json!({})),
    ];
    let trades = When::request("GET", "/fapi/v1/userTrades");
    venue.script(Fault::altered(trades, fees).always());
    let service = stage
        .service()
        .env("APPLY_ALLOWLIST", "BTCUSDT,ETHUSDT")
        .ready()
        .await;
    let mut known = HashSet::new();
    for _ in 0..2 {
        for (symbol, quantity) in [("BTCUSDT", "0.009"), ("ETHUSDT", "0.5")] {
            stage.propose(symbol, "PARTIAL_75").await;
            let plan = stage.plan(symbol, &known).await;
            let id = plan.get("plan_id").to_owned();
            stage.approve(&plan, quantity).await;
            let result = stage.result_of(&id).await;
            assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
            assert_eq!(result.last_step()["executed_qty"], quantity);
            assert_eq!(result.find("profit_realized"), None, "unknown, and no zero");
            known.insert(id);
        }
    }
    let warnings = || {
        let log = service.log().into_iter();
        let lines = log.filter(|line| line.contains("Answer of the venue is incomplete"));
        lines.collect::<Vec<_>>()
    };
    for (answer, part, symbol) in [
        ("positionRisk", "entryPrice", "BTCUSDT"),
        ("positionRisk", "unRealizedProfit", "BTCUSDT"),
        ("positionRisk", "updateTime", "ETHUSDT"),
        ("userTrades", "realizedPnl", "ETHUSDT"),
        ("exchangeInfo", "an entry", "none"),
        ("exchangeInfo", "MIN_NOTIONAL", "none"),
    ] {
        let expected = format!("{answer} was read without {part}: ");
        let line = service
            .line_with(&["WARN", &expected, &format!("symbol={symbol}")])
            .await;
        let same = warnings().into_iter().filter(|other| *other == line);
        assert_eq!(same.count(), 1, "{line}");
    }
    let mut kinds = HashSet::new();
    for line in warnings() {
        let kind = line.split(": ").nth(1).map(str::to_owned);
        let symbol = line.rsplit("symbol=").next().map(str::to_owned);
        assert!(kinds.insert((kind, symbol)), "logged twice: {line}");
    }
    let counted = |answer: &str, part: &str| {
        format!("quantum_apply_venue_omissions_total{{answer=\"{answer}\",part=\"{part}\"}}")
    };
    service
        .metric_is(&counted("exchangeInfo", "row"), "3")
        .await;
    service
        .metric_is(&counted("exchangeInfo", "MIN_NOTIONAL"), "2")
        .await;
    let metrics = service.metrics().await;
    assert!(
        metrics.contains(&counted("positionRisk", "entryPrice")),
        "{metrics}"
    );
    assert_eq!(stage.entries(PLANS).await.len(), 4);
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 4, "one POST a plan");
}

#[tokio::test]
async fn a_foreign_conditional_order_that_cannot_be_read_holds_no_stop_up() {
    let stage = Stage::open().await;
    let other = json!([null, {"symbol": "BTCUSDT", "orderType": "MOON_SHOT", "side": "UP"}, {"symbol": "ETHUSDT"}]);
    let open = When::request("GET", ALGO);
    let instead = Delivery::Reply(Canned::raw(200, &other.to_string()));
    stage
        .venue()
        .script(Fault::executed(open, instead).always());
    let service = stage.ready().await;
    let price = [("new_sl_proposed", "61000")];
    stage.propose_with("BTCUSDT", "UPDATE_SL", &price).await;
    let plan = stage.only_plan("BTCUSDT").await;
    let governor = apply_tests::governor_permit("BTCUSDT")
        .replace("\"computed_qty\":0.0", "\"computed_qty\":5");
    let id = plan.get("plan_id");
    stage.govern(id, &governor).await;
    stage
        .allow(id, &apply_tests::position_permit("BTCUSDT", "1"))
        .await;
    let result = stage.result_of(id).await;
    assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
    service
        .line_with(&[
            "WARN",
            "openAlgoOrders was read without an entry: it is null",
        ])
        .await;
    let rows = "quantum_apply_venue_omissions_total{answer=\"openAlgoOrders\",part=\"row\"}";
    let metrics = service.metrics().await;
    assert!(metrics.contains(rows), "{metrics}");
    service.stopped_well().await;
    let stops = stage.venue().open_stops("BTCUSDT");
    assert_eq!(stops.len(), 1);
    assert_eq!(stops[0].trigger_price, d("61000"));
}
