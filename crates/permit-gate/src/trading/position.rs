//! The position brain's permit.

use super::{FLAT_POSITION, INVALID_SAFE_CLOSE_QTY, reason, same_symbol};
use crate::{
    id::Subject,
    rule::{Refusal, Rule, StrictObject, Terms},
};
use rust_decimal::Decimal;

/// `{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.008,"exchange_position_amt":0.0124,"created_at":…}`
///
/// Must have: `allow`, `symbol`, `created_at`, and with a yes `safe_close_qty` above 0. May have:
/// `exchange_position_amt` (signed), `ledger_amt` (signed), `reason`, which are checked where they
/// are there.
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
        let quantity = permit.decimal("safe_close_qty")?;
        if quantity <= Decimal::ZERO {
            let detail = format!(
                "safe_close_qty is {}, not above 0",
                permit.shown("safe_close_qty")
            );
            return Err(Refusal::with_code(INVALID_SAFE_CLOSE_QTY, detail));
        }
        Ok(Terms {
            limit: Some(quantity),
            written: Some(permit.decimal_as_written("safe_close_qty")?),
            seen,
        })
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
