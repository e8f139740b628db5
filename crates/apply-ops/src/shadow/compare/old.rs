//! What the old service wrote, as it is held against what ours would have.

use apply_core::{Plan, ProposalError};
use apply_wire::field;
use rust_decimal::Decimal;
use std::time::{Duration, Instant};

/// An entry of one of the old service's streams.
pub(in crate::shadow) trait Fields {
    /// The field's text; an absent one is empty.
    fn text(&self, field: &str) -> String;

    /// When it was written, in milliseconds since 1970 on the server's clock.
    fn written(&self) -> u64;
}

/// When something was written, on this process's clock, by the server's. What was read late was not written late.
#[derive(Debug)]
pub(super) struct ServerClock {
    began: Instant,
    /// The least time that an entry was read after it was written, in milliseconds of this process less the server's.
    offset: Option<i128>,
}

impl ServerClock {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            offset: None,
        }
    }

    pub(super) fn at(&mut self, now: Instant, written: u64) -> Instant {
        let here = now.saturating_duration_since(self.began).as_millis();
        let difference = here.cast_signed() - i128::from(written);
        let offset = self
            .offset
            .map_or(difference, |known| known.min(difference));
        self.offset = Some(offset);
        let millis = u64::try_from(i128::from(written) + offset).unwrap_or_default();
        (self.began + Duration::from_millis(millis)).min(now)
    }
}

/// The order that a result reports: its last step.
pub(super) struct OldOrder {
    id: String,
    pub(super) side: String,
    pub(super) quantity: Option<Decimal>,
    executed: Option<Decimal>,
}

impl OldOrder {
    pub(super) fn of(result: &impl Fields) -> Self {
        let steps: serde_json::Value =
            serde_json::from_str(&result.text(field::STEPS_RESULTS)).unwrap_or_default();
        let last = steps.as_array().and_then(|steps| steps.last());
        let text = |name: &str| match last.and_then(|step| step.get(name)) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        Self {
            id: text("order_id"),
            side: text("side"),
            quantity: decimal(&text("quantity")),
            executed: decimal(&text("executed_qty")),
        }
    }

    pub(super) fn placed(&self) -> bool {
        !self.id.is_empty()
    }

    pub(super) fn filled_nothing(&self) -> bool {
        self.executed.is_none_or(|quantity| quantity.is_zero())
    }

    pub(super) fn words(&self) -> String {
        match self.quantity {
            Some(quantity) => format!("{} {quantity}", self.side),
            None => "no quantity".into(),
        }
    }
}

/// A number as the old service writes it; a binary one may have more digits than a decimal holds.
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    let scientific = || Decimal::from_scientific(text).ok();
    text.parse().ok().or_else(scientific)
}

pub(super) fn plan_outcome(decision: &str, reasons: &str) -> String {
    match reasons.is_empty() {
        true => decision.to_owned(),
        false => format!("{decision} {reasons}"),
    }
}

pub(super) fn plan_words(plan: &Plan) -> String {
    plan_outcome(plan.decision.as_str(), &plan.reason_codes())
}

pub(super) fn refused_words(refused: &ProposalError) -> String {
    format!("refused {}", refused.reason())
}

pub(super) fn result_words(result: &impl Fields) -> String {
    let executed = result.text(field::EXECUTED);
    let error = result.text(field::ERROR);
    match error.is_empty() {
        true => format!("{} executed={executed}", result.text(field::DECISION)),
        false => format!(
            "{} executed={executed} {error}",
            result.text(field::DECISION)
        ),
    }
}
