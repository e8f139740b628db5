//! The position brain's permit.

use super::{FLAT_POSITION, INVALID_SAFE_CLOSE_QTY, reason, same_symbol};
use crate::{
    id::Subject,
    rule::{Malformed, Refusal, Rule, StrictObject, Terms},
};
use rust_decimal::Decimal;

/// `{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.008,"exchange_position_amt":0.0124,"created_at":…}`
///
/// Must have: `allow`, `symbol`, `created_at`, and with a yes `safe_close_qty` above 0. Newer position brains
/// call it `safe_qty`; where both names are there, both have to say the same. May have: `exchange_position_amt`
/// (signed), `ledger_amt` (signed), `reason`, which are checked where they are there.
#[derive(Debug, Clone, Copy)]
pub struct PositionRule;

impl Rule for PositionRule {
    fn judge(&self, permit: &[u8], subject: &Subject) -> Result<Terms, Refusal> {
        let permit = StrictObject::parse(permit)?;
        let allowed = permit.bool("allow")?;
        same_symbol(&permit, subject)?;
        permit.decimal_from_zero("created_at")?;
        let reason = reason(&permit)?;
        if !allowed {
            return Err(Refusal::Denied(reason));
        }
        if permit.has("ledger_amt") {
            permit.decimal("ledger_amt")?;
        }
        let seen = match permit.has("exchange_position_amt") {
            true => Some(permit.decimal("exchange_position_amt")?),
            false => None,
        };
        if seen == Some(Decimal::ZERO) {
            let detail = "allow is true, and exchange_position_amt is 0: there is nothing to close";
            return Err(Refusal::of_permit(FLAT_POSITION, detail));
        }
        let named = quantity_field(&permit)?;
        let quantity = permit.decimal(named)?;
        if quantity <= Decimal::ZERO {
            let detail = format!("{named} is {}, not above 0", permit.shown(named));
            return Err(Refusal::with_code(INVALID_SAFE_CLOSE_QTY, detail));
        }
        Ok(Terms {
            limit: Some(quantity),
            written: Some(permit.decimal_as_written(named)?),
            seen,
        })
    }
}

/// The quantity's name in position brains of January, and in those since.
const QUANTITY: &str = "safe_close_qty";
const QUANTITY_SINCE: &str = "safe_qty";

/// The field that says how much. Two that differ are a no: nothing shows which of them is meant.
fn quantity_field(permit: &StrictObject<'_>) -> Result<&'static str, Malformed> {
    match (permit.has(QUANTITY), permit.has(QUANTITY_SINCE)) {
        (false, true) => Ok(QUANTITY_SINCE),
        (true, true) if permit.decimal(QUANTITY)? != permit.decimal(QUANTITY_SINCE)? => {
            Err(Malformed::Contradiction {
                field: QUANTITY,
                says: permit.shown(QUANTITY),
                other: QUANTITY_SINCE,
                other_says: permit.shown(QUANTITY_SINCE),
            })
        }
        // Both say the same, so the larger of two tails is none.
        (true, true)
            if permit.decimal_as_written(QUANTITY_SINCE)?
                < permit.decimal_as_written(QUANTITY)? =>
        {
            Ok(QUANTITY_SINCE)
        }
        _ => Ok(QUANTITY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PlanId;

    const WIRE: &str = r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.008,"exchange_position_amt":0.0124,"ledger_amt":0.0124,"created_at":1769301009.1,"reason":"sanity_checks_passed"}"#;
    const DENIAL: &str = r#"{"allow":false,"symbol":"BTCUSDT","reason":"reconcile_required_qty_mismatch","context":{"a":1},"created_at":1769301009.1}"#;

    fn judge(text: &str) -> Result<Terms, Refusal> {
        let subject = Subject::new(PlanId::new("67e6da21fa9fe506").unwrap(), "BTCUSDT");
        PositionRule.judge(text.as_bytes(), &subject)
    }

    #[test]
    fn a_yes_carries_the_safe_quantity_and_the_position_that_was_seen() {
        let terms = judge(WIRE).unwrap();
        assert_eq!(terms.limit.unwrap().to_string(), "0.008");
        assert_eq!(terms.seen.unwrap().to_string(), "0.0124");
        let short = judge(&WIRE.replace("0.0124", "-0.0124")).unwrap();
        assert_eq!(short.seen.unwrap().to_string(), "-0.0124");
    }

    #[test]
    fn the_quantity_is_read_under_its_newer_name_where_the_older_is_absent() {
        for newer in [
            WIRE.replace("safe_close_qty", "safe_qty"),
            WIRE.replace(
                "\"safe_close_qty\":0.008",
                "\"safe_close_qty\":null,\"safe_qty\":0.008",
            ),
            WIRE.replace("0.008", "0.008,\"safe_qty\":8.0e-3"),
        ] {
            let terms = judge(&newer).unwrap();
            assert_eq!(terms.limit.unwrap().to_string(), "0.008", "{newer}");
        }
        // The tails of two floats that mean the same: the smaller one counts.
        let tails = WIRE.replace("0.008", "0.009000000000000001,\"safe_qty\":0.009");
        assert_eq!(judge(&tails).unwrap().written.unwrap().to_string(), "0.009");
    }

    #[test]
    fn two_quantities_that_differ_are_a_no_that_names_both() {
        for (first, second) in [
            ("0.008", "0.012"),
            ("0.012", "0.008"),
            ("0.008", "0"),
            ("0", "0.008"),
        ] {
            let both = WIRE.replace("0.008", &format!("{first},\"safe_qty\":{second}"));
            let refusal = judge(&both).unwrap_err();
            assert_eq!(refusal.code("p33"), "invalid_p33_permit_format", "{both}");
            let message = refusal.to_string();
            for part in ["safe_close_qty", "safe_qty", first, second] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn a_newer_name_is_held_to_the_same_rules() {
        for (value, code) in [
            ("0", "invalid_safe_close_qty"),
            ("-0.008", "invalid_safe_close_qty"),
            ("\"0.008\"", "invalid_p33_permit_format"),
            ("null", "invalid_p33_permit_format"),
            ("1e999", "invalid_p33_permit_format"),
        ] {
            let permit = WIRE.replace("\"safe_close_qty\":0.008", &format!("\"safe_qty\":{value}"));
            assert_eq!(judge(&permit).unwrap_err().code("p33"), code, "{value}");
        }
    }

    #[test]
    fn a_denial_keeps_the_reviewers_reason() {
        assert_eq!(
            judge(DENIAL),
            Err(Refusal::Denied(Some(
                "reconcile_required_qty_mismatch".into()
            )))
        );
    }

    #[test]
    fn anything_but_a_plain_yes_for_this_symbol_is_a_no_with_its_own_reason() {
        for (from, to, code) in [
            ("true", "\"yes\"", "invalid_p33_permit_format"),
            (
                "\"allow\":true",
                "\"allowed\":true",
                "invalid_p33_permit_format",
            ),
            ("BTCUSDT", "SOLUSDT", "p33_permit_symbol_mismatch"),
            ("\"BTCUSDT\"", "null", "invalid_p33_permit_format"),
            ("0.008", "0", "invalid_safe_close_qty"),
            ("0.008", "-0.008", "invalid_safe_close_qty"),
            ("0.008", "\"0.008\"", "invalid_p33_permit_format"),
            ("0.008", "Infinity", "invalid_p33_permit_format"),
            ("0.008", "1e-400", "invalid_p33_permit_format"),
            ("\"safe_close_qty\":0.008,", "", "invalid_p33_permit_format"),
            (
                "\"ledger_amt\":0.0124",
                "\"ledger_amt\":[]",
                "invalid_p33_permit_format",
            ),
            ("\"sanity_checks_passed\"", "7", "invalid_p33_permit_format"),
            (
                ",\"created_at\":1769301009.1",
                "",
                "invalid_p33_permit_format",
            ),
            ("1769301009.1", "-1", "invalid_p33_permit_format"),
            ("}", ",\"x\":1e999}", "invalid_p33_permit_format"),
        ] {
            assert_ne!(WIRE.replace(from, to), WIRE, "{from} is in the permit");
            let refusal = judge(&WIRE.replace(from, to)).unwrap_err();
            assert_eq!(refusal.code("p33"), code, "{from} → {to}");
        }
    }
}
