//! What a published plan says, in 32 bytes, so that a permit can be bound to exactly that.

use permit_gate::PlanDigest;
use sha2::{Digest, Sha256};

/// The field that is not counted in: a claim that is repeated after a lost answer may have been
/// published at the first time it was asked for.
const LEFT_OUT: &str = "timestamp";

/// The digest of the fields of one entry of the plan stream.
///
/// SHA-256 over `apply-plan-v1` and then, for every field but `timestamp` in the order of their
/// names' bytes, the name and the value: each of these texts in UTF-8 with its length before it, in
/// 4 bytes, the highest first.
pub fn digest_of_fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> PlanDigest {
    let mut fields: Vec<(&str, &str)> = fields
        .into_iter()
        .filter(|(name, _)| *name != LEFT_OUT)
        .collect();
    fields.sort_unstable();
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        // No text in a stream is longer: the server takes 512 MiB at most.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        hash.update(length.to_be_bytes());
        hash.update(text.as_bytes());
    };
    add("apply-plan-v1");
    for (name, value) in fields {
        add(name);
        add(value);
    }
    PlanDigest::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_but_the_timestamp_counts_and_their_order_does_not() {
        let plan = [
            ("plan_id", "p"),
            ("symbol", "BTCUSDT"),
            ("attempt", "1-a.0"),
        ];
        let digest = digest_of_fields(plan);
        let mut turned = plan.to_vec();
        turned.reverse();
        turned.push(("timestamp", "1769301008"));
        assert_eq!(digest_of_fields(turned), digest);
        for i in 0..plan.len() {
            let mut other = plan.to_vec();
            other[i].1 = "x";
            assert_ne!(digest_of_fields(other), digest);
        }
        assert_ne!(digest_of_fields([]), digest);
    }

    #[test]
    fn the_example_that_issuers_follow_has_the_digest_that_is_compared() {
        let steps = r#"[{"step":"CLOSE_PARTIAL_75","type":"market_reduce_only","side":"close","pct":75.0}]"#;
        let plan = [
            ("plan_id", "67e6da21fa9fe506"),
            ("symbol", "BTCUSDT"),
            ("action", "PARTIAL_75"),
            ("kill_score", "0.539"),
            ("k_regime_flip", "0.1"),
            ("k_sigma_spike", "0.2"),
            ("k_ts_drop", "0.3"),
            ("k_age_penalty", "0.0"),
            ("new_sl_proposed", ""),
            ("R_net", "1.25"),
            ("decision", "EXECUTE"),
            ("reason_codes", ""),
            ("steps", steps),
            ("close_qty", ""),
            ("price", ""),
            ("timestamp", "1769301008"),
            ("attempt", "4711-00c0ffee00c0ffee.0"),
        ];
        let page = include_str!("../../../docs/permits-signing.md");
        let seal = format!(":{}:1769301008977:", digest_of_fields(plan));
        assert!(page.contains(&seal), "{seal}");
    }

    #[test]
    fn what_stands_in_one_field_cannot_pass_for_two() {
        let one = digest_of_fields([("a", "bc")]);
        assert_ne!(digest_of_fields([("ab", "c")]), one);
        assert_ne!(digest_of_fields([("a", "b"), ("c", "")]), one);
    }
}
