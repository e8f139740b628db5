//! The plan ids of the service before ours, case by case.
#![allow(clippy::unwrap_used)]

use apply_core::{
    Proposal, ProposalError, RawProposal,
    plan_id::{self, plan_id},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    symbol: String,
    hash: RawProposal,
    plan_id: Option<String>,
}

#[test]
fn every_plan_id_equals_the_old_services() {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/plan_id.json")).unwrap();
    assert_eq!(vectors.cases.len(), 50);
    for case in vectors.cases {
        let seen = Proposal::parse(&case.symbol.parse().unwrap(), &case.hash);
        match (seen, case.plan_id) {
            (Ok(proposal), Some(id)) => {
                assert_eq!(plan_id(&proposal).as_str(), id, "{:?}", case.hash);
                assert_eq!(plan_id::read(&id).unwrap(), plan_id(&proposal));
            }
            (Err(ProposalError::Missing { .. }), None) => {}
            (seen, wanted) => panic!("{:?}: wanted {wanted:?}, got {seen:?}", case.hash),
        }
    }
}

#[test]
fn what_no_plan_is_called_is_no_plan_id() {
    for wrong in [
        "",
        "xyz",
        "67e6da21fa9fe50",
        "67e6da21fa9fe5060",
        "67E6DA21FA9FE506",
        "67e6da21fa9fe50g",
        " 67e6da21fa9fe506",
        "67e6da21fa9fe50\u{e9}",
    ] {
        assert!(plan_id::read(wrong).is_err(), "{wrong:?}");
    }
}
