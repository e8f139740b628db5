//! The text of permits, in the contract's fields and order (wire §5).

use crate::{
    denial::{Denial, Fact},
    governor::GovernorVerdict,
    position_brain::P33Verdict,
    timestamp::Timestamp,
};
use apply_core::Symbol;
use rust_decimal::Decimal;

/// How long a permit lasts.
pub const PERMIT_TTL_SECS: u64 = 60;

impl GovernorVerdict {
    /// The permit for a plan on `symbol`. Numbers are written from their decimals.
    pub fn to_permit(&self, symbol: &Symbol, now: Timestamp) -> String {
        let (granted, decision, quantity, notional, denial) = match self {
            Self::Grant {
                computed_qty,
                computed_notional,
            } => (true, "EXECUTE", *computed_qty, *computed_notional, None),
            Self::Deny(denial) | Self::Trip { denial, .. } => {
                (false, "BLOCKED", Decimal::ZERO, Decimal::ZERO, Some(denial))
            }
        };
        let why = denial.map(|denial| {
            format!(
                r#","reason":"{}","context":{}"#,
                denial.reason,
                context(denial)
            )
        });
        format!(
            r#"{{"granted":{granted},"symbol":"{symbol}","decision":"{decision}","computed_qty":{},"computed_notional":{},"created_at":{now},"consumed":false{}}}"#,
            number(quantity),
            number(notional),
            why.unwrap_or_default()
        )
    }
}

impl P33Verdict {
    /// The permit for a plan on `symbol`. A ledger that knows nothing yet takes over what the
    /// venue says, which is then what stands there.
    pub fn to_permit(&self, symbol: &Symbol, now: Timestamp) -> String {
        match self {
            Self::Allow {
                safe_close_qty,
                position,
                ledger,
            } => format!(
                r#"{{"allow":true,"symbol":"{symbol}","safe_close_qty":{},"exchange_position_amt":{},"ledger_amt":{},"created_at":{now},"reason":"sanity_checks_passed"}}"#,
                number(*safe_close_qty),
                number(*position),
                number(ledger.unwrap_or(*position)),
            ),
            Self::Deny(denial) => format!(
                r#"{{"allow":false,"symbol":"{symbol}","reason":"{}","context":{},"created_at":{now}}}"#,
                denial.reason,
                context(denial)
            ),
        }
    }
}

fn context(denial: &Denial) -> String {
    let facts = denial.context.iter();
    let facts: Vec<String> = facts
        .map(|(name, fact)| format!(r#""{name}":{}"#, value(fact)))
        .collect();
    format!("{{{}}}", facts.join(","))
}

fn value(fact: &Fact) -> String {
    match fact {
        Fact::Number(decimal) => number(*decimal),
        Fact::Span(span) => format!("{}.{:03}", span.as_secs(), span.subsec_millis()),
        Fact::Ratio(ratio) if ratio.is_finite() => format!("{ratio:?}"),
        Fact::Ratio(_) | Fact::Unknown => "null".into(),
    }
}

/// A JSON number that readers take for a float: `120.0`, `0.008`.
fn number(decimal: Decimal) -> String {
    let text = decimal.normalize().to_string();
    match text.contains('.') {
        true => text,
        false => format!("{text}.0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{denial::Reason, governor::APPROVED};

    const AT: Timestamp = Timestamp::from_millis(1_769_301_008_977);

    fn btc() -> Symbol {
        "BTCUSDT".parse().unwrap()
    }

    #[test]
    fn permits_read_as_the_contract_spells_them() {
        assert_eq!(
            APPROVED.to_permit(&btc(), AT),
            r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"computed_notional":0.0,"created_at":1769301008.977000,"consumed":false}"#
        );
        let allow = P33Verdict::Allow {
            safe_close_qty: "0.0080".parse().unwrap(),
            position: "0.0124".parse().unwrap(),
            ledger: None,
        };
        assert_eq!(
            allow.to_permit(&btc(), AT),
            r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.008,"exchange_position_amt":0.0124,"ledger_amt":0.0124,"created_at":1769301008.977000,"reason":"sanity_checks_passed"}"#
        );
    }

    #[test]
    fn a_denial_carries_its_reason_and_its_figures() {
        let denial = Denial::new(
            Reason::QtyMismatch,
            [
                ("exchange_position_amt", Decimal::new(12, 0).into()),
                ("ledger_amt", Decimal::new(-5, 1).into()),
                ("age", std::time::Duration::from_millis(1005).into()),
                ("score", Fact::Ratio(0.5)),
                ("unknown", None::<Decimal>.into()),
            ],
        );
        assert_eq!(
            P33Verdict::Deny(denial.clone()).to_permit(&btc(), AT),
            r#"{"allow":false,"symbol":"BTCUSDT","reason":"reconcile_required_qty_mismatch","context":{"exchange_position_amt":12.0,"ledger_amt":-0.5,"age":1.005,"score":0.5,"unknown":null},"created_at":1769301008.977000}"#
        );
        let text = GovernorVerdict::Deny(denial).to_permit(&btc(), AT);
        assert!(text.starts_with(r#"{"granted":false,"symbol":"BTCUSDT","decision":"BLOCKED","#));
        assert!(text.contains(r#""consumed":false,"reason":"reconcile_required_qty_mismatch","#));
    }
}
