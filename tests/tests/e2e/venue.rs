//! What the venue says and does not say, and what is published of it.

use crate::{d, sent};
use apply_tests::{Entry, Service, Stage, within};
use exchange_sim::{
    Canned, Delivery, Fault, Fill, HiddenFor, Instead, OrderOutcome, Script, SymbolSpec, When,
};
use serde_json::{Value, json};
use std::{collections::HashSet, time::Duration};

/// One approved plan from its proposal to its result.
async fn run_plan(stage: &Stage, known: &mut HashSet<String>) -> Entry {
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.plan("BTCUSDT", known).await;
    let id = plan.get("plan_id").to_owned();
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(&id).await;
    known.insert(id);
    result
}

async fn once(stage: &Stage) -> (Service, Entry) {
    let service = stage.ready().await;
    let result = run_plan(stage, &mut HashSet::new()).await;
    (service, result)
}

#[tokio::test]
async fn what_the_venue_rejects_is_published_as_not_executed_with_its_code() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    let rejections = [
        (-2022, "ReduceOnly Order is rejected."),
        (
            -1111,
            "Precision is over the maximum defined for this asset.",
        ),
        (-2019, "Margin is insufficient."),
        (
            -4164,
            "Order's notional must be no smaller than 100 (unless you choose reduce only).",
        ),
        (-2015, "Invalid API-key, IP, or permissions for action."),
        (
            -4061,
            "Order's position side does not match user's setting.",
        ),
    ];
    for (code, words) in rejections {
        let refusal = Canned::error(400, code, words);
        stage
            .venue()
            .script(Fault::reply(When::order(), false, refusal));
        let result = run_plan(&stage, &mut known).await;
        assert_eq!(result.get("executed"), "False", "{code}");
        assert_eq!(result.get("error"), format!("order_rejected:{code}"));
        assert_eq!(result.get("decision"), "ERROR");
        let step = result.last_step();
        assert_eq!(step["status"], "error");
        assert!(step["details"].as_str().unwrap().contains(words), "{step}");
        assert_eq!(
            step.get("executed_qty"),
            None,
            "nothing for a ledger to book"
        );
        service
            .line_with(&["Order rejected:", words, &format!("code={code}")])
            .await;
    }
    service
        .metric_is("quantum_apply_orders_total{outcome=\"rejected\"}", "6")
        .await;
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), rejections.len(), "one POST each");
    assert_eq!(stage.venue().position("BTCUSDT"), d("12.4"));
}

#[tokio::test]
async fn a_position_that_was_closed_by_hand_while_the_order_was_under_way_is_the_venues_2022() {
    let stage = Stage::open().await;
    // Between its arrival and its execution the order is slow; by then there is nothing to reduce.
    let slow =
        Fault::scripted(When::order(), Script::default()).delay_before(Duration::from_millis(500));
    stage.venue().script(slow);
    let service = stage.ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    within("the order has arrived", stage.venue().wait_for_orders(1)).await;
    stage.venue().set_position("BTCUSDT", d("0"));
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("error"), "order_rejected:-2022");
    assert_eq!(result.get("executed"), "False");
    service.stopped_well().await;
    assert_eq!(stage.only_order().outcome, OrderOutcome::Rejected(-2022));
}

#[tokio::test]
async fn a_step_the_venue_made_coarser_meanwhile_is_its_1111_and_published_as_such() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    assert_eq!(run_plan(&stage, &mut known).await.get("executed"), "True");
    let mut coarse = SymbolSpec::btcusdt();
    coarse.quantity_precision = 2;
    coarse.market_lot.step = d("0.01");
    coarse.lot.step = d("0.01");
    stage.venue().set_symbol(coarse);
    let result = run_plan(&stage, &mut known).await;
    assert_eq!(result.get("error"), "order_rejected:-1111");
    assert_eq!(result.get("executed"), "False");
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 2);
}

#[tokio::test]
async fn an_accepted_order_whose_reply_is_lost_is_asked_about_and_published_as_filled() {
    let stage = Stage::open().await;
    let lost = stage
        .venue()
        .script(Fault::executed(When::order(), Delivery::Reset));
    let (service, result) = once(&stage).await;
    assert_eq!(stage.venue().fault_hits(lost), 1);
    assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
    assert_eq!(result.last_step()["executed_qty"], "0.009");
    let order = stage.only_order();
    assert_eq!(order.outcome, OrderOutcome::Filled);
    assert_eq!(
        result.last_step()["order_id"],
        order.order_id.unwrap().to_string()
    );
    service
        .line("Order outcome unknown, asking the venue:")
        .await;
    service
        .line_with(&["executed successfully on testnet", "settled=asked"])
        .await;
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1, "asked, never sent again");
}

fn altered(field: &str, value: Value) -> Delivery {
    Delivery::Altered([(field.to_owned(), value)].into())
}

#[tokio::test]
async fn every_reply_that_says_nothing_is_settled_by_asking() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    let deliveries = [
        Delivery::Close,
        Delivery::Cut,
        Delivery::Reply(Canned::unknown_503()),
        Delivery::Reply(Canned::timeout_1007()),
        Delivery::Reply(Canned::request_timeout_408()),
        Delivery::Reply(Canned::garbage_200()),
        Delivery::Reply(Canned::gateway_html(502)),
        // Read without effort, and not true.
        altered("executedQty", json!("9999")),
        altered("side", json!("BUY")),
        altered("reduceOnly", json!(false)),
    ];
    let count = deliveries.len();
    for delivery in deliveries {
        let what = format!("{delivery:?}");
        stage
            .venue()
            .script(Fault::executed(When::order(), delivery));
        let result = run_plan(&stage, &mut known).await;
        assert_eq!(
            (result.get("executed"), result.get("error")),
            ("True", ""),
            "{what}"
        );
        assert_eq!(result.last_step()["executed_qty"], "0.009", "{what}");
    }
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), count, "one POST a plan");
}

#[tokio::test]
async fn an_unknown_order_that_never_arrived_is_published_as_not_executed_and_not_sent_again() {
    let stage = Stage::open().await;
    stage
        .venue()
        .script(Fault::reply(When::order(), false, Canned::unknown_503()));
    let (service, result) = once(&stage).await;
    assert_eq!(result.get("error"), "order_not_executed");
    assert_eq!(result.get("executed"), "False");
    service.stopped_well().await;
    assert_eq!(stage.only_order().outcome, OrderOutcome::NotExecuted);
    assert_eq!(stage.venue().position("BTCUSDT"), d("12.4"));
}

#[tokio::test]
async fn an_order_nobody_can_find_out_about_is_published_as_unresolved_loudly() {
    let stage = Stage::open().await;
    // It filled, its reply is lost, and the venue denies the order while its trades are there.
    let hidden =
        Fault::executed(When::order(), Delivery::Reset).hide_order(HiddenFor::queries(u32::MAX));
    stage.venue().script(hidden);
    let (service, result) = once(&stage).await;
    assert_eq!(result.get("error"), "order_unresolved");
    assert_eq!(
        (result.get("decision"), result.get("executed")),
        ("ERROR", "False")
    );
    let line = service.line("is UNRESOLVED, look at the venue").await;
    assert!(
        line.contains("ERROR") && line.contains(result.get("plan_id")),
        "{line}"
    );
    service
        .metric_is("quantum_apply_orders_unresolved_total", "1")
        .await;
    let settled = r#"quantum_apply_settled_total{of="order",outcome="unresolved"}"#;
    service.metric_is(settled, "1").await;
    // One voice: it says once that it asks, and once that it is over.
    let order = format!("apply-{}", result.get("plan_id"));
    assert!(
        line.contains(&format!("order={order} symbol=BTCUSDT")),
        "{line}"
    );
    let (log, plan) = (service.log(), result.get("plan_id"));
    let about_it = log.iter().filter(|line| line.contains(plan));
    let loud = |level: &str| about_it.clone().filter(|l| l.contains(level)).count();
    assert_eq!((loud(" ERROR "), loud(" WARN ")), (1, 1), "{log:#?}");
    let asked = stage.venue().request_count("GET", "/fapi/v1/order");
    assert!(asked < 30, "{asked} questions in half a minute");
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}

#[tokio::test]
async fn a_word_that_no_document_has_is_asked_about_for_a_while_and_what_filled_is_published() {
    let stage = Stage::open().await;
    let open = Fault::fill(When::order(), Fill::only(d("0.004")).rest_open());
    stage.venue().script(open);
    let strange = Fault::altered(
        When::request("GET", "/fapi/v1/order").skip(1),
        [("status", json!("DREAMING"))],
    );
    stage.venue().script(strange.always());
    let (service, result) = once(&stage).await;
    assert_eq!(
        (result.get("executed"), result.get("error")),
        ("True", "order_unresolved")
    );
    assert_eq!(result.last_step()["executed_qty"], "0.004");
    let details = result.last_step()["details"].as_str().unwrap().to_owned();
    assert!(
        details.contains("is still DREAMING at the venue"),
        "{details}"
    );
    let asked = stage.venue().request_count("GET", "/fapi/v1/order");
    assert!(asked < 30, "{asked} questions in half a minute");
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}

#[tokio::test]
async fn what_was_not_executed_for_certain_is_not_sent_again_either() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    let endings = [
        (Canned::unavailable_503(), "order_not_sent"),
        (Canned::internal_503(), "order_rejected:-1001"),
        (Canned::outside_window_1021(), "order_rejected:-1021"),
    ];
    let count = endings.len();
    for (canned, error) in endings {
        let instead = Instead::Reply(canned);
        let what = format!("{instead:?}");
        stage
            .venue()
            .script(Fault::not_executed(When::order(), instead));
        let result = run_plan(&stage, &mut known).await;
        assert_eq!(result.get("error"), error, "{what}");
        assert_eq!(result.get("executed"), "False", "{what}");
    }
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), count, "one POST a plan");
}

#[tokio::test]
async fn only_what_really_filled_is_published() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    stage
        .venue()
        .script(Fault::fill(When::order(), Fill::only(d("0.004"))));
    let result = run_plan(&stage, &mut known).await;
    assert_eq!(result.get("executed"), "True");
    assert_eq!(result.last_step()["quantity"], "0.009");
    assert_eq!(result.last_step()["executed_qty"], "0.004");

    stage
        .venue()
        .script(Fault::fill(When::order(), Fill::nothing()));
    let result = run_plan(&stage, &mut known).await;
    assert_eq!(result.get("executed"), "False");
    assert_eq!(result.get("error"), "order_not_filled");
    service.stopped_well().await;
    assert_eq!(stage.venue().position("BTCUSDT"), d("12.396"));
}

#[tokio::test]
async fn the_profit_of_a_close_is_published_exactly() {
    let stage = Stage::open().await;
    // Bought at 64000, sold at 64016.7.
    stage.venue().set_price("BTCUSDT", d("64016.7"));
    let (service, result) = once(&stage).await;
    assert_eq!(result.get("profit_realized"), "0.1503");
    service
        .line("Result: executed=True, profit_realized=0.1503")
        .await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_short_position_is_closed_by_buying() {
    let stage = Stage::open().await;
    stage.venue().set_position("BTCUSDT", d("-0.5"));
    let service = stage.ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id");
    let short = apply_tests::position_permit("BTCUSDT", "0.009").replace("12.4", "-0.5");
    stage
        .govern(id, &apply_tests::governor_permit("BTCUSDT"))
        .await;
    stage.allow(id, &short).await;
    let result = stage.result_of(id).await;
    assert_eq!(result.last_step()["side"], "BUY");
    service.stopped_well().await;
    assert_eq!(sent(&stage.only_order(), "side"), "BUY");
    assert_eq!(stage.venue().position("BTCUSDT"), d("-0.491"));
}

#[tokio::test]
async fn a_reviewer_who_saw_the_other_side_of_the_position_is_not_followed() {
    let stage = Stage::open().await;
    stage.venue().set_position("BTCUSDT", d("-0.5"));
    let (service, result) = once(&stage).await;
    assert_eq!(result.get("error"), "position_side_mismatch");
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn without_a_position_there_is_no_order_and_no_permit_is_needed_to_say_so() {
    let stage = Stage::open().await;
    stage.venue().set_position("BTCUSDT", d("0"));
    let service = stage.ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(result.get("error"), "no_position");
    assert_eq!(result.get("executed"), "False");
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn a_venue_whose_answers_cannot_be_read_gets_no_order() {
    let stage = Stage::open().await;
    // It is asked again until the wait is nearly over.
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "3000")
        .ready()
        .await;
    let mut known = HashSet::new();
    for canned in [
        Canned::garbage_200(),
        Canned::raw(200, r#"[{"symbol":"BTCUSDT"}]"#),
        Canned::gateway_html(500),
    ] {
        let what = format!("{canned:?}");
        let look = When::request("GET", "/fapi/v3/positionRisk");
        let fault = stage
            .venue()
            .script(Fault::reply(look, false, canned).always());
        let result = run_plan(&stage, &mut known).await;
        assert_eq!(result.get("error"), "venue_unavailable", "{what}");
        assert_eq!(result.get("decision"), "ERROR", "{what}");
        assert!(stage.venue().fault_hits(fault) > 0);
        stage.venue().clear_faults();
    }
    assert_eq!(stage.orders(), []);
    let result = run_plan(&stage, &mut known).await;
    assert_eq!(
        result.get("executed"),
        "True",
        "the service is none the worse"
    );
    service.stopped_well().await;
}
