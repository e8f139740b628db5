//! Permits as real JSON writers and Redis clients wrote them, through the gate and the sizing: what may
//! be ordered for each, or the error.
#![allow(clippy::unwrap_used)]

use apply_core::{ApprovedClose, Position, QuantityRules, Share, Symbol};
use base64::prelude::{BASE64_STANDARD, Engine};
use permit_gate::{AttemptId, Gate, Next, PermitSet, PlanId, Reply, Subject, WaitPolicy, trading};
use rust_decimal::Decimal;
use serde::Deserialize;
use std::time::Instant;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    permit: Option<String>,
    permit_base64: Option<String>,
    writer: String,
    symbol: String,
    step: String,
    orders: Option<String>,
    error: Option<String>,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        match (&self.permit, &self.permit_base64) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(text)) => BASE64_STANDARD.decode(text).unwrap(),
            _ => panic!("one form of a permit in each case"),
        }
    }

    fn expected(&self) -> Result<Decimal, String> {
        match (&self.orders, &self.error) {
            (Some(quantity), None) => Ok(d(quantity)),
            (None, Some(error)) => Err(error.clone()),
            _ => panic!("{}: an order or an error", self.writer),
        }
    }
}

/// A venue that knows nothing but a step.
#[derive(Debug)]
struct Step(Decimal);

impl QuantityRules for Step {
    fn cut(&self, wanted: Decimal) -> Result<Decimal, String> {
        let cut = (wanted - wanted % self.0).normalize();
        match cut.is_zero() {
            true => Err("below one step".into()),
            false => Ok(cut),
        }
    }

    fn maximum(&self) -> Option<Decimal> {
        None
    }
}

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// What would be ordered with this position brain's permit alone.
fn ordered(permit: &[u8], symbol: &str, step: &str, position: &str) -> Result<Decimal, String> {
    let set = PermitSet::new(vec![trading::position_brain()]).unwrap();
    let subject = Subject::new(PlanId::new("67e6da21fa9fe506").unwrap(), symbol);
    let (attempt, now) = (AttemptId::new("a").unwrap(), Instant::now());
    let mut gate = Gate::new(set, subject, attempt, WaitPolicy::default(), now);
    assert!(matches!(gate.poll(now), Next::Take(_)));
    gate.handle_reply(now, Ok(Reply::Taken(vec![permit.to_vec()])));
    let Next::Done(answer) = gate.poll(now) else {
        panic!("the permit was taken, and there is no answer");
    };
    let grant = answer.map_err(|block| block.code())?;
    let symbol: Symbol = symbol.parse().unwrap();
    let position = Position {
        mark_price: None,
        amount: d(position),
        context: Step(d(step)),
    };
    ApprovedClose::size(grant, &symbol, &position, Share::FULL)
        .map(|order| order.quantity())
        .map_err(|no| no.reason().to_string())
}

/// Some writers spell 1e21, more than any position: then the position is what is ordered.
fn position_of(symbol: &str) -> &'static str {
    match symbol {
        "ETHUSDT" => "1000",
        "BIGUSDT" | "PEPEUSDT" | "XRPUSDT" => "1000000000",
        _ => "5000",
    }
}

#[test]
fn every_text_is_judged_as_stated() {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/permit_texts.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &vectors.cases {
        let position = position_of(&case.symbol);
        let got = ordered(&case.bytes(), &case.symbol, &case.step, position);
        if got != case.expected() {
            let text = String::from_utf8_lossy(&case.bytes()).into_owned();
            wrong.push(format!(
                "{}: {got:?}, not {:?}: {text}",
                case.writer,
                case.expected()
            ));
        }
    }
    println!("{} texts", vectors.cases.len());
    assert!(vectors.cases.len() > 600);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A permit over a binary float that was computed, as Python, Node and Go print it.
#[expect(
    clippy::float_arithmetic,
    reason = "the position brain's floats are what is tested"
)]
fn difference(position: f64, keeps: f64) -> (String, Decimal) {
    let quantity = position - keeps;
    let text = format!(
        r#"{{"allow":true,"symbol":"BTCUSDT","safe_close_qty":{quantity},"exchange_position_amt":{position},"created_at":1}}"#
    );
    (text, d(&position.to_string()) - d(&keeps.to_string()))
}

#[test]
fn a_difference_of_large_floats_keeps_its_last_step() {
    for (position, keeps, step) in [
        (10000.3, 10000.1, "0.0001"),
        (10000.3, 9999.9, "0.0001"),
        (99999.9, 99999.8, "0.001"),
        (123_456_789.123, 123_456_789.1, "0.001"),
        (1000.3, 1000.1, "0.0001"),
        (0.3, 0.1, "0.0001"),
    ] {
        let (text, meant) = difference(position, keeps);
        let got = ordered(text.as_bytes(), "BTCUSDT", step, &position.to_string());
        assert_eq!(got, Ok(meant.normalize()), "{text}");
        // Where the permit does not say what was seen, the live position says how exact a float is.
        let (start, _) = text.split_once(",\"exchange").unwrap();
        let silent = format!("{start},\"created_at\":1}}");
        let got = ordered(silent.as_bytes(), "BTCUSDT", step, &position.to_string());
        assert_eq!(got, Ok(meant.normalize()), "{silent}");
    }
}

#[test]
fn what_is_further_below_a_step_than_a_float_can_be_off_is_not_that_step() {
    let permit = |quantity: &str, seen: &str| {
        format!(
            r#"{{"allow":true,"symbol":"BTCUSDT","safe_close_qty":{quantity},"exchange_position_amt":{seen},"created_at":1}}"#
        )
    };
    for (quantity, seen, live, orders) in [
        // Two units in the last place of 10000.3 are 3.6e-12.
        ("0.1999999999964", "10000.3", "10000.3", "0.2"),
        ("0.1999999999963", "10000.3", "10000.3", "0.1999"),
        (
            "0.19999999999636202119290828704",
            "10000.3",
            "10000.3",
            "0.2",
        ),
        (
            "0.1999999999963620211929082867",
            "10000.3",
            "10000.3",
            "0.1999",
        ),
        // At a small position a float is exact enough: only its 12 digits count.
        ("0.199999999998", "0.3", "0.3", "0.1999"),
        // No position makes a tenth of a step a step.
        ("0.00001", "1e27", "5", "0"),
        ("0.0093", "1e27", "5", "0.0093"),
        // Never more than the position.
        ("4.99999999999999999", "5", "4.9999999999", "4.9999"),
    ] {
        let text = permit(quantity, seen);
        let got = ordered(text.as_bytes(), "BTCUSDT", "0.0001", live);
        let expected = match d(orders) {
            none if none.is_zero() => Err("quantity_not_orderable".to_owned()),
            some => Ok(some),
        };
        assert_eq!(got, expected, "{text}");
    }
}

#[test]
fn a_yes_for_a_flat_position_is_refused_by_the_rule() {
    for flat in ["0", "0.0", "-0.0", "0e0"] {
        let text = format!(
            r#"{{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.008,"exchange_position_amt":{flat},"created_at":1}}"#
        );
        let got = ordered(text.as_bytes(), "BTCUSDT", "0.0001", "0.0124");
        assert_eq!(got, Err("p33_permit_flat_position".into()), "{text}");
    }
}
