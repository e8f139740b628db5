//! Mutated permits before two judges: the one the gate uses, and a second one that shares no line
//! with it and was written from the contract with the neighbours alone.
//!
//! Where the second judge says no, the first one must. `FUZZ_CASES` sets how many permits are tried
//! (200,000 where it is not set), `FUZZ_SEED` where they begin.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mutate;
mod reference;

use mutate::{Kind, Mutator};
use permit_gate::{
    PlanId, Rule, Subject,
    rule::TokenRule,
    trading::{GovernorRule, PositionRule},
};

const SYMBOL: &str = "BTCUSDT";

#[test]
fn no_permit_is_accepted_that_the_reference_judge_refuses() {
    let cases = from_env("FUZZ_CASES", 200_000);
    let seed = from_env("FUZZ_SEED", 0x5eed_0f9e_2617);
    println!("{cases} permits, seed {seed}");
    let subject = Subject::new(PlanId::new("67e6da21fa9fe506").unwrap(), SYMBOL);
    let mut mutator = Mutator::new(seed);
    let (mut both_yes, mut both_no, mut only_reference) = (0_u64, 0_u64, Vec::new());
    let mut only_reference_count = 0_u64;
    for case in 0..cases {
        let (kind, permit) = mutator.next_permit();
        let ours = match kind {
            Kind::Governor => GovernorRule.judge(&permit, &subject),
            Kind::Position => PositionRule.judge(&permit, &subject),
            Kind::Token => TokenRule::new("1").judge(&permit, &subject),
        };
        let theirs = match kind {
            Kind::Governor => reference::governor(&permit, SYMBOL),
            Kind::Position => reference::position(&permit, SYMBOL),
            Kind::Token => reference::token(&permit),
        };
        let text = || String::from_utf8_lossy(&permit).into_owned();
        match (ours, theirs) {
            (Ok(terms), Some(limit)) => {
                both_yes += 1;
                let ours = terms.limit.map(|q| q.to_string());
                assert_eq!(ours, limit, "case {case}, {kind:?}: {}", text());
            }
            (Err(_), None) => both_no += 1,
            (Ok(terms), None) => {
                panic!(
                    "case {case}: {kind:?} accepted with {terms:?}, and should not be: {}",
                    text()
                )
            }
            (Err(refusal), Some(_)) => {
                only_reference_count += 1;
                if only_reference.len() < 10 {
                    only_reference.push(format!("{kind:?} {refusal}: {}", text()));
                }
            }
        }
    }
    println!("{both_yes} accepted by both, {both_no} refused by both, 0 accepted by ours alone");
    println!("{only_reference_count} accepted by the reference alone, such as {only_reference:#?}");
    // Mutants that every judge accepts, or every judge refuses, would prove nothing.
    assert!(both_yes > cases / 20, "{both_yes}");
    assert!(both_no > cases / 20, "{both_no}");
}

#[test]
fn the_reference_judge_says_yes_to_the_contracts_own_permits() {
    let governor = br#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"computed_notional":0.0,"created_at":1769301008.977,"consumed":false}"#;
    let position = br#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.19999999999999998,"exchange_position_amt":0.0124,"ledger_amt":0.0124,"created_at":1769301009.1,"reason":"sanity_checks_passed"}"#;
    let denial = br#"{"allow":false,"symbol":"BTCUSDT","reason":"reconcile_required_qty_mismatch","context":{},"created_at":1769301009.1}"#;
    assert_eq!(reference::governor(governor, SYMBOL), Some(None));
    assert_eq!(
        reference::position(position, SYMBOL),
        Some(Some("0.2".into()))
    );
    assert_eq!(reference::position(denial, SYMBOL), None);
    assert_eq!(reference::position(position, "ETHUSDT"), None);
    assert_eq!(reference::token(b"1"), Some(None));
}

fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a whole number"),
        Err(_) => default,
    }
}
