//! The governor's permit.

use super::{CONSUMED, reason, same_symbol};
use crate::{
    foreign::{MAX_FOREIGN, escaped},
    id::Subject,
    rule::{Refusal, Rule, StrictObject, Terms},
};
use rust_decimal::Decimal;

/// `{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"created_at":…}`
///
/// Must have: `granted`, `symbol`, `decision`, `computed_qty`, `created_at`. May have:
/// `computed_notional` and `consumed`, which are checked where they are there. A yes is `granted`
/// true, `decision` `EXECUTE` and not consumed; a `computed_qty` above 0 caps the quantity, 0 is no
/// opinion.
#[derive(Debug, Clone, Copy)]
pub struct GovernorRule;

impl Rule for GovernorRule {
    fn judge(&self, permit: &[u8], subject: &Subject) -> Result<Terms, Refusal> {
        let permit = StrictObject::parse(permit)?;
        let granted = permit.bool("granted")?;
        same_symbol(&permit, subject)?;
        permit.decimal_from_zero("created_at")?;
        if !granted {
            return Err(Refusal::Denied(reason(&permit)?));
        }
        let decision = permit.string("decision")?;
        if decision != "EXECUTE" {
            return Err(Refusal::Denied(Some(format!(
                "decision {}",
                escaped(&decision, MAX_FOREIGN)
            ))));
        }
        if permit.has("consumed") && permit.bool("consumed")? {
            return Err(Refusal::of_permit(CONSUMED, "it is marked as consumed"));
        }
        if permit.has("computed_notional") {
            permit.decimal_from_zero("computed_notional")?;
        }
        let quantity = permit.decimal_from_zero("computed_qty")?;
        let written = permit.decimal_as_written("computed_qty")?;
        Ok(Terms {
            limit: (quantity > Decimal::ZERO).then_some(quantity),
            written: (quantity > Decimal::ZERO).then_some(written),
            seen: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PlanId;

    const WIRE: &str = r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"computed_notional":0.0,"created_at":1769301008.977,"consumed":false}"#;

    fn judge(text: &str) -> Result<Terms, String> {
        let subject = Subject::new(PlanId::new("67e6da21fa9fe506").unwrap(), "BTCUSDT");
        GovernorRule
            .judge(text.as_bytes(), &subject)
            .map_err(|refusal| refusal.code("governor"))
    }

    #[test]
    fn the_auto_approvers_permit_is_a_yes_without_an_opinion_on_size() {
        assert_eq!(judge(WIRE), Ok(Terms::default()));
    }

    #[test]
    fn a_computed_quantity_caps_the_order() {
        let terms = judge(&WIRE.replace("\"computed_qty\":0.0", "\"computed_qty\":0.005")).unwrap();
        assert_eq!(terms.limit.unwrap().to_string(), "0.005");
    }

    #[test]
    fn anything_but_a_plain_yes_for_this_symbol_is_a_no_with_its_own_reason() {
        for (from, to, code) in [
            ("true", "false", "governor_permit_denied"),
            ("EXECUTE", "SKIP", "governor_permit_denied"),
            ("true", "\"true\"", "invalid_governor_permit_format"),
            ("true", "1", "invalid_governor_permit_format"),
            ("true", "null", "invalid_governor_permit_format"),
            ("\"granted\":true,", "", "invalid_governor_permit_format"),
            ("BTCUSDT", "ETHUSDT", "governor_permit_symbol_mismatch"),
            ("BTCUSDT", "btcusdt", "governor_permit_symbol_mismatch"),
            (
                "\"symbol\":\"BTCUSDT\",",
                "",
                "invalid_governor_permit_format",
            ),
            (
                "\"computed_qty\":0.0,",
                "",
                "invalid_governor_permit_format",
            ),
            (
                "\"computed_qty\":0.0",
                "\"computed_qty\":-1",
                "invalid_governor_permit_format",
            ),
            (
                "\"computed_qty\":0.0",
                "\"computed_qty\":NaN",
                "invalid_governor_permit_format",
            ),
            (
                "\"computed_notional\":0.0",
                "\"computed_notional\":\"x\"",
                "invalid_governor_permit_format",
            ),
            ("1769301008.977", "1e999", "invalid_governor_permit_format"),
            (
                "\"consumed\":false",
                "\"consumed\":true",
                "governor_permit_consumed",
            ),
            (
                "\"consumed\":false",
                "\"consumed\":0",
                "invalid_governor_permit_format",
            ),
            (
                "\"granted\":true",
                "\"granted\":true,\"granted\":true",
                "invalid_governor_permit_format",
            ),
        ] {
            assert_ne!(WIRE.replace(from, to), WIRE, "{from} is in the permit");
            assert_eq!(
                judge(&WIRE.replace(from, to)),
                Err(code.into()),
                "{from} → {to}"
            );
        }
    }
}
