//! Nothing is cut in silence, and what was placed for a position is accounted for when it ends.

use crate::d;
use apply_tests::{Entry, Service, Stage, governor_permit, position_permit};
use exchange_sim::{Canned, Fault, SymbolSpec, When};
use std::collections::HashSet;

const ALGO: &str = "/fapi/v1/algoOrder";

/// One approved plan of BTCUSDT from its proposal to its result.
async fn run_plan(
    stage: &Stage,
    action: (&str, &[(&str, &str)]),
    quantity: &str,
    known: &mut HashSet<String>,
) -> Entry {
    let (action, fields) = action;
    stage.propose_with("BTCUSDT", action, fields).await;
    let plan = stage.plan("BTCUSDT", known).await;
    let id = plan.get("plan_id").to_owned();
    let governor =
        governor_permit("BTCUSDT").replace("\"computed_qty\":0.0", "\"computed_qty\":50");
    stage.govern(&id, &governor).await;
    stage
        .allow(&id, &position_permit("BTCUSDT", quantity))
        .await;
    let result = stage.result_of(&id).await;
    known.insert(id);
    result
}

const FULL: (&str, &[(&str, &str)]) = ("FULL_CLOSE_PROPOSED", &[]);
const STOP: (&str, &[(&str, &str)]) = ("UPDATE_SL", &[("new_sl_proposed", "61000")]);

fn sizes(result: &Entry) -> [String; 5] {
    let step = result.last_step();
    let text = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
    [
        text("approved_qty"),
        text("quantity"),
        text("executed_qty"),
        text("limited_by"),
        text("left_open"),
    ]
}

#[tokio::test]
async fn a_close_that_is_less_than_what_was_approved_says_so() {
    let stage = Stage::open().await;
    let mut spec = SymbolSpec::btcusdt();
    spec.market_lot.max = d("1");
    stage.venue().set_symbol(spec);
    let service = stage.ready().await;
    let mut known = HashSet::new();

    let result = run_plan(&stage, FULL, "12.4", &mut known).await;
    assert_eq!(sizes(&result), ["12.4", "1", "1", "venue_maximum", "11.4"]);
    let details = result.last_step()["details"].as_str().unwrap().to_owned();
    assert!(
        details.contains("12.4 approved, 1 sent, limited by venue_maximum, 11.4 left open"),
        "{details}"
    );
    let line = service
        .line_with(&["Close limited:", "limited_by=venue_maximum"])
        .await;
    assert!(line.contains("WARN"), "{line}");
    service
        .line_with(&["executed successfully", "left_open=11.4"])
        .await;

    // The reviewer saw 12.4; since then the position went to half a coin.
    stage.venue().set_position("BTCUSDT", d("0.5"));
    let result = run_plan(&stage, FULL, "12.4", &mut known).await;
    assert_eq!(
        sizes(&result),
        ["12.4", "0.5", "0.5", "position_shrank", "0"]
    );

    // What the step leaves over is published.
    stage.venue().set_position("BTCUSDT", d("12.4"));
    let result = run_plan(&stage, FULL, "0.90005", &mut known).await;
    assert_eq!(sizes(&result), ["0.90005", "0.9", "0.9", "step", "11.5"]);
    let result = run_plan(&stage, FULL, "0.9", &mut known).await;
    assert_eq!(sizes(&result), ["0.9", "0.9", "0.9", "", "10.6"]);
    service.stopped_well().await;
}

/// Positions of a stop that guards 1 of them, and a foreign one beside it.
async fn guarded(stage: &Stage, known: &mut HashSet<String>) -> (Service, String) {
    let service = stage.ready().await;
    let result = run_plan(stage, STOP, "1", known).await;
    assert_eq!(result.get("error"), "");
    let id = result.last_step()["order_id"].as_str().unwrap().to_owned();
    (service, id)
}

#[tokio::test]
async fn our_stop_goes_with_the_position_that_it_guarded() {
    let stage = Stage::open().await;
    let mut known = HashSet::new();
    let (service, stop) = guarded(&stage, &mut known).await;

    // More than the stop is over is left: nothing to say.
    let result = run_plan(&stage, FULL, "0.4", &mut known).await;
    let details = |result: &Entry| result.last_step()["details"].as_str().unwrap().to_owned();
    assert!(!details(&result).contains("stop"), "{}", details(&result));
    // Less is left.
    let result = run_plan(&stage, FULL, "11.6", &mut known).await;
    let named = format!("stops over more than the 0.4 left: {stop} over 1");
    assert!(details(&result).contains(&named), "{}", details(&result));
    assert_eq!(stage.venue().open_stops("BTCUSDT").len(), 1);
    // Nothing is left.
    let result = run_plan(&stage, FULL, "12.4", &mut known).await;
    assert_eq!(result.last_step()["left_open"], "0");
    let named = format!("stops cancelled: {stop}");
    assert!(details(&result).contains(&named), "{}", details(&result));
    service.line_with(&["After the close:", &named]).await;
    assert_eq!(stage.venue().open_stops("BTCUSDT").len(), 0);

    // A new position has a stop of its own only: the market falls through the old trigger.
    stage.venue().set_position("BTCUSDT", d("0.02"));
    stage.venue().set_price("BTCUSDT", d("60000"));
    assert_eq!(stage.venue().position("BTCUSDT"), d("0.02"));
    service.stopped_well().await;
}

#[tokio::test]
async fn a_stop_that_cannot_be_cancelled_is_named_with_a_warning() {
    let stage = Stage::open().await;
    let mut known = HashSet::new();
    let (service, stop) = guarded(&stage, &mut known).await;
    let refused = Canned::error(400, -4192, "Trade forbidden due to Cooling-off Period.");
    let fault = Fault::reply(When::request("DELETE", ALGO), false, refused);
    stage.venue().script(fault.always());
    let result = run_plan(&stage, FULL, "12.4", &mut known).await;
    assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
    let named = format!("stops without a position, not cancelled: {stop}");
    let details = result.last_step()["details"].as_str().unwrap().to_owned();
    assert!(details.contains(&named), "{details}");
    let line = service.line_with(&["After the close:", &named]).await;
    assert!(line.contains("WARN") && line.contains("-4192"), "{line}");
    service.stopped_well().await;

    // It stays in sight: on the page, in readyz and in `status`.
    let service = stage.ready().await;
    let text = format!("[+] Stops: none guards a position; without a position: {stop} of BTCUSDT");
    service.readiness("200", &text).await;
    let status = stage.program(&["status"]).env(
        "APPLY_METRICS_PORT",
        service.address().await.port().to_string(),
    );
    let said = status.ended().await.output();
    let text = format!("none guards a position; without a position: {stop} of BTCUSDT");
    assert!(said.contains(&text), "{said}");
    let page = service.page("/api/status.json").await;
    assert!(page.contains(&text), "{page}");
    service.stopped_well().await;
}

#[tokio::test]
async fn a_symbol_that_cannot_be_traded_takes_no_permits() {
    let stage = Stage::open().await;
    let mut spec = SymbolSpec::ethusdt();
    spec.status = "SETTLING".into();
    stage.venue().set_symbol(spec);
    let service = stage
        .service()
        .env("APPLY_ALLOWLIST", "BTCUSDT,ETHUSDT,GONEUSDT")
        .env("SYMBOLS", "BTCUSDT,ETHUSDT,GONEUSDT")
        .ready()
        .await;
    for (symbol, error, words) in [
        ("ETHUSDT", "symbol_not_trading", "SETTLING"),
        ("GONEUSDT", "symbol_not_listed", "does not list GONEUSDT"),
    ] {
        stage.propose(symbol, "FULL_CLOSE_PROPOSED").await;
        let plan = stage.plan(symbol, &HashSet::new()).await;
        stage.approve(&plan, "0.5").await;
        let id = plan.get("plan_id");
        let result = stage.result_of(id).await;
        assert_eq!(
            (result.get("decision"), result.get("error")),
            ("BLOCKED", error)
        );
        let details = result.last_step()["details"].as_str().unwrap().to_owned();
        assert!(details.contains(words), "{details}");
        for key in ["quantum:permit:", "quantum:permit:p33:"] {
            let there: u64 = stage.command(&["EXISTS", &format!("{key}{id}")]).await;
            assert_eq!(there, 1, "{key}{id} was not taken");
        }
    }
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

/// A contract as the venue lists it since 2025-10.
const CJK: &str = "币安人生USDT";

#[tokio::test]
async fn a_symbol_whose_name_is_not_ascii_is_traded_like_any_other() {
    let stage = Stage::open().await;
    stage.venue().set_symbol(SymbolSpec::btcusdt().named(CJK));
    stage.venue().set_position(CJK, d("12.4"));
    let service = stage
        .service()
        .env("APPLY_ALLOWLIST", format!("BTCUSDT,{CJK}"))
        .env("SYMBOLS", format!("BTCUSDT,{CJK}"))
        .ready()
        .await;
    let mut known = HashSet::new();
    for (action, fields) in [STOP, FULL] {
        stage.propose_with(CJK, action, fields).await;
        let plan = stage.plan(CJK, &known).await;
        let id = plan.get("plan_id").to_owned();
        let governor = governor_permit(CJK).replace("\"computed_qty\":0.0", "\"computed_qty\":50");
        stage.govern(&id, &governor).await;
        stage.allow(&id, &position_permit(CJK, "12.4")).await;
        let result = stage.result_of(&id).await;
        assert_eq!(
            (
                result.get("executed"),
                result.get("error"),
                result.get("symbol")
            ),
            ("True", "", CJK)
        );
        known.insert(id);
    }
    assert_eq!(stage.venue().position(CJK), d("0"));
    assert_eq!(stage.venue().open_stops(CJK).len(), 0);
    let order = stage.only_order();
    assert!(
        order
            .params
            .starts_with("symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&"),
        "{}",
        order.params
    );
    service.stopped_well().await;
}
