//! Permits that are no yes, and what a permitted quantity becomes.

use crate::{d, sent};
use apply_tests::{Stage, governor_permit, position_permit};
use std::collections::HashSet;

/// Which permit, a part of it, what stands there instead, and the error of the result.
const MALFORMED: [(Whose, &str, &str, &str); 26] = {
    use Whose::{Governor, PositionBrain as P33};
    const NO_FORMAT_GOV: &str = "invalid_governor_permit_format";
    const NO_FORMAT_P33: &str = "invalid_p33_permit_format";
    [
        (Governor, "{", "", NO_FORMAT_GOV),
        (Governor, "}", "", NO_FORMAT_GOV),
        (Governor, "}", "}{}", NO_FORMAT_GOV),
        (Governor, "\"granted\":true,", "", NO_FORMAT_GOV),
        (
            Governor,
            "\"granted\":true",
            "\"granted\":\"true\"",
            NO_FORMAT_GOV,
        ),
        (Governor, "\"granted\":true", "\"granted\":1", NO_FORMAT_GOV),
        (
            Governor,
            "\"granted\":true",
            "\"granted\":null",
            NO_FORMAT_GOV,
        ),
        (
            Governor,
            "\"granted\":true",
            "\"granted\":false,\"granted\":true",
            NO_FORMAT_GOV,
        ),
        (Governor, "\"symbol\":\"BTCUSDT\",", "", NO_FORMAT_GOV),
        (
            Governor,
            "\"symbol\":\"BTCUSDT\"",
            "\"symbol\":\"ETHUSDT\"",
            "governor_permit_symbol_mismatch",
        ),
        (
            Governor,
            "\"decision\":\"EXECUTE\"",
            "\"decision\":\"SKIP\"",
            "governor_permit_denied",
        ),
        (
            Governor,
            "\"computed_qty\":0.0",
            "\"computed_qty\":NaN",
            NO_FORMAT_GOV,
        ),
        (
            Governor,
            "\"consumed\":false",
            "\"consumed\":true",
            "governor_permit_consumed",
        ),
        (P33, "{", "[", NO_FORMAT_P33),
        (P33, "\"allow\":true,", "", NO_FORMAT_P33),
        (P33, "\"allow\":true", "\"allow\":\"yes\"", NO_FORMAT_P33),
        (
            P33,
            "\"symbol\":\"BTCUSDT\"",
            "\"symbol\":\"btcusdt\"",
            "p33_permit_symbol_mismatch",
        ),
        (P33, "\"safe_close_qty\":0.009,", "", NO_FORMAT_P33),
        (P33, "0.009", "\"0.009\"", NO_FORMAT_P33),
        (P33, "0.009", "null", NO_FORMAT_P33),
        (P33, "0.009", "NaN", NO_FORMAT_P33),
        (P33, "0.009", "Infinity", NO_FORMAT_P33),
        (P33, "0.009", "1e999", NO_FORMAT_P33),
        (P33, "0.009", "0", "invalid_safe_close_qty"),
        (P33, "0.009", "-0.009", "invalid_safe_close_qty"),
        (
            P33,
            "\"exchange_position_amt\":12.4",
            "\"exchange_position_amt\":\"long\"",
            NO_FORMAT_P33,
        ),
    ]
};

#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Governor,
    PositionBrain,
}

#[tokio::test]
async fn no_malformed_permit_leads_to_an_order_and_each_plan_has_its_result() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    for (whose, part, instead, error) in MALFORMED {
        let mut permits = [
            governor_permit("BTCUSDT"),
            position_permit("BTCUSDT", "0.009"),
        ];
        let bent = &mut permits[usize::from(whose == Whose::PositionBrain)];
        assert!(bent.contains(part), "{part} is in {bent}");
        *bent = bent.replacen(part, instead, 1);

        stage.propose("BTCUSDT", "PARTIAL_75").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let id = plan.get("plan_id").to_owned();
        stage.govern(&id, &permits[0]).await;
        stage.allow(&id, &permits[1]).await;
        let result = stage.result_of(&id).await;
        assert_eq!(result.get("error"), error, "{part} → {instead}");
        assert_eq!(
            (result.get("decision"), result.get("executed")),
            ("BLOCKED", "False"),
            "{part} → {instead}"
        );
        known.insert(id);
    }
    // A key of another type is no permit either.
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.plan("BTCUSDT", &known).await;
    let id = plan.get("plan_id");
    let key = format!("quantum:permit:p33:{id}");
    let _: i64 = stage.command(&["HSET", &key, "allow", "true"]).await;
    stage.govern(id, &governor_permit("BTCUSDT")).await;
    let result = stage.result_of(id).await;
    assert_eq!(result.get("error"), "invalid_p33_permit_format");
    known.insert(id.to_owned());

    // The service is none the worse: the next plan, with good permits, is carried out.
    assert_eq!(stage.orders(), []);
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.plan("BTCUSDT", &known).await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    service.stopped_well().await;
    assert_eq!(stage.only_order().executed_qty, d("0.009"));
}

#[tokio::test]
async fn a_quantity_with_a_floats_tail_is_cut_to_the_step_it_stands_for() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut known = HashSet::new();
    let wanted = [
        ("0.009000000000000001", "0.009"),
        ("0.19999999999999998", "0.2"),
        ("0.30000000000000004", "0.3"),
        ("0.00899", "0.0089"),
        ("9e-3", "0.009"),
        // More than is held: what is held after the orders before.
        ("500", "11.8731"),
    ];
    // A full close: a partial one would be bounded by its share as well.
    for (permitted, _) in wanted {
        stage.propose("BTCUSDT", "FULL_CLOSE_PROPOSED").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        stage.approve(&plan, permitted).await;
        let result = stage.result_of(plan.get("plan_id")).await;
        assert_eq!(result.get("error"), "", "{permitted}");
        known.insert(plan.get("plan_id").to_owned());
    }
    service.stopped_well().await;
    let orders = stage.orders();
    let quantities: Vec<&str> = orders.iter().map(|order| sent(order, "quantity")).collect();
    assert_eq!(quantities, wanted.map(|(_, sent)| sent));
    assert_eq!(stage.venue().position("BTCUSDT"), d("0"));
}

#[tokio::test]
async fn the_smallest_word_of_all_reviewers_caps_the_order() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    stage.propose("BTCUSDT", "FULL_CLOSE_PROPOSED").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id");
    let governor =
        governor_permit("BTCUSDT").replace("\"computed_qty\":0.0", "\"computed_qty\":0.0021");
    stage.govern(id, &governor).await;
    stage.allow(id, &position_permit("BTCUSDT", "0.009")).await;
    let result = stage.result_of(id).await;
    assert_eq!(result.last_step()["executed_qty"], "0.0021");
    service.stopped_well().await;
    assert_eq!(sent(&stage.only_order(), "quantity"), "0.0021");
}

#[tokio::test]
async fn less_than_the_venues_step_is_no_order_and_says_so() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.00009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("error"), "quantity_not_orderable");
    assert_eq!(result.get("executed"), "False");
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn a_third_permit_that_is_required_has_to_be_there_too() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_PERMITS", "governor,p33,p26")
        .env("APPLY_PERMIT_WAIT_MS", "1200")
        .ready()
        .await;
    let mut known = HashSet::new();
    for (third, error) in [
        (None, "permit_timeout_or_missing:missing_p26"),
        (Some("0"), "invalid_p26_permit_format"),
        (Some("1"), ""),
    ] {
        stage.propose("BTCUSDT", "PARTIAL_75").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let id = plan.get("plan_id").to_owned();
        if let Some(third) = third {
            let key = format!("quantum:permit:p26:{id}");
            let _: String = stage.command(&["SETEX", &key, "60", third]).await;
        }
        stage.approve(&plan, "0.009").await;
        let result = stage.result_of(&id).await;
        assert_eq!(result.get("error"), error, "{third:?}");
        known.insert(id);
    }
    service.stopped_well().await;
    assert_eq!(stage.only_order().executed_qty, d("0.009"));
}
