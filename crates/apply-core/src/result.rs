//! What really happened with a plan, as the position brain reads it.

use crate::{
    order::{Fill, Profit, Sizing, StopPlaced},
    plan::{Decision, Plan, Share},
    symbol::Symbol,
    text,
};
use apply_wire::{Reason, field};
use permit_gate::PlanId;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// The result of one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyResult {
    /// The plan.
    #[serde(with = "text")]
    pub plan: PlanId,
    /// Its symbol.
    #[serde(with = "text")]
    pub symbol: Symbol,
    /// What it came to.
    pub decision: Decision,
    /// True only where the venue executed something.
    pub executed: bool,
    /// In a dry run: whether it would have executed.
    pub would_execute: bool,
    /// What was done, step by step.
    pub steps: Vec<StepResult>,
    /// The reason code where nothing happened; none where all went well.
    #[serde(with = "text::optional", default)]
    pub error: Option<Reason>,
    /// What it earned, where known.
    pub profit: Option<Profit>,
    /// From the plan's publication to the last of its permits, in milliseconds. None where the permits were not granted,
    /// or by another process than the one that publishes the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit_wait_ms: Option<u64>,
    /// From the grant to the venue's answer to the order, in microseconds. None where the venue gave none to this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_took_us: Option<u32>,
    /// Whole seconds since 1970.
    pub timestamp: u64,
    /// Whether this is the one result of a claimed plan; false for unclaimed plans.
    pub is_final: bool,
}

/// A step's status, one of a few words of this program. The alias keeps the deserializer from taking
/// it for text that is borrowed from its input.
type StatusWord = &'static str;

/// One entry of `steps_results`. Numbers are strings, as readers expect them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// The step's name: `CLOSE_PARTIAL_75`.
    pub step: String,
    /// `success`, or a word for what else happened.
    #[serde(deserialize_with = "known_status")]
    pub status: StatusWord,
    /// A sentence for people, at most [`MAX_DETAILS`] characters.
    pub details: String,
    /// The venue's order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// `BUY` or `SELL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<String>,
    /// The ordered quantity, in base units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// The quantity that really filled, in base units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed_qty: Option<String>,
    /// Always true for what this service places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce_only: Option<bool>,
    /// The least of what the permits allowed, in base units, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_qty: Option<String>,
    /// Why less was ordered than was approved: `venue_maximum`, `position_shrank`, `plan_share`, `step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
    /// What is left of the position, in base units, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_open: Option<String>,
    /// The average price of what filled, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_price: Option<String>,
    /// The venue's word for how the order ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_status: Option<String>,
}

/// Most characters of a step's details: what the venue or a reviewer said may be of any length, and lies in the journal
/// and on the stream for long.
pub const MAX_DETAILS: usize = 4000;

/// As much of the text as is published, with a mark where something is missing.
fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_DETAILS) {
        text.truncate(end);
        text.pop();
        text.push('…');
    }
    text
}

impl Decision {
    /// The status of a step that came to this and executed nothing.
    pub(crate) fn step_status(self) -> StatusWord {
        match self {
            Self::Execute | Self::Skip => "dry_run",
            Self::Blocked => "blocked",
            Self::Error => "error",
        }
    }
}

impl StepResult {
    /// A step that placed nothing.
    pub fn without_order(step: &str, status: &'static str, details: impl Into<String>) -> Self {
        Self {
            step: step.to_owned(),
            status,
            details: shortened(details.into()),
            order_id: None,
            side: None,
            quantity: None,
            executed_qty: None,
            reduce_only: None,
            approved_qty: None,
            limited_by: None,
            left_open: None,
            avg_price: None,
            order_status: None,
        }
    }

    /// A close that happened, with what really filled.
    pub fn closed(step: &str, fill: &Fill) -> Self {
        let price = match fill.average_price {
            Some(price) => format!(" at {}", price.normalize()),
            None => String::new(),
        };
        Self {
            order_id: Some(fill.order_id.clone()),
            side: Some(fill.side.to_string()),
            quantity: Some(fill.quantity.normalize().to_string()),
            executed_qty: Some(fill.executed_qty.normalize().to_string()),
            reduce_only: Some(true),
            avg_price: fill.average_price.map(|p| p.normalize().to_string()),
            order_status: Some(fill.status.clone()),
            ..Self::without_order(
                step,
                "success",
                format!(
                    "order {} {}: {} of {} {}{price}, reduce-only",
                    fill.order_id,
                    fill.status,
                    fill.executed_qty.normalize(),
                    fill.quantity.normalize(),
                    fill.side,
                ),
            )
        }
    }

    /// The same with how the quantity came about, and what is left of the position.
    #[must_use]
    pub fn sized(mut self, sizing: &Sizing, filled: Decimal) -> Self {
        let left_open = sizing.left_open(filled).normalize();
        let approved = sizing.approved.normalize();
        self.limited_by = sizing.limits();
        let words = match &self.limited_by {
            Some(words) => format!(
                "; {approved} approved, {} sent, limited by {words}, {left_open} left open",
                sizing.sent.normalize()
            ),
            None => format!("; {left_open} left open"),
        };
        self.details.push_str(&words);
        self.approved_qty = Some(approved.to_string());
        self.left_open = Some(left_open.to_string());
        self
    }

    /// A close of which it is not known how it ended, and which had filled so far when it was last seen.
    pub fn unresolved(step: &str, seen: &Fill, why: &str) -> Self {
        let closed = Self::closed(step, seen);
        Self {
            status: "error",
            details: format!("{why}; {}", closed.details),
            ..closed
        }
    }

    /// A stop that was moved. It filled nothing, and readers that add up fills add 0.
    pub fn stop_moved(step: &str, stop: &StopPlaced) -> Self {
        let mut old = match stop.cancelled.as_slice() {
            [] => "no older stop cancelled".to_owned(),
            old => format!("cancelled {}", old.join(", ")),
        };
        if !stop.left_over.is_empty() {
            old.push_str(&format!(", still there {}", stop.left_over.join(", ")));
        }
        // For people alone: a reader that adds up fills could take a `quantity` for one.
        let over = match stop.quantity {
            Some(quantity) => format!(" {}", quantity.normalize()),
            None => String::new(),
        };
        Self {
            order_id: Some(stop.order_id.clone()),
            side: Some(stop.side.to_string()),
            executed_qty: Some(Decimal::ZERO.to_string()),
            reduce_only: Some(true),
            ..Self::without_order(
                step,
                "success",
                format!(
                    "stop {} {}{over} at {}; {old}",
                    stop.order_id,
                    stop.side,
                    stop.trigger.normalize()
                ),
            )
        }
    }
}

impl ApplyResult {
    /// A result of this plan in which nothing was executed.
    pub fn not_executed(
        plan: &Plan,
        decision: Decision,
        error: Option<Reason>,
        timestamp: u64,
    ) -> Self {
        Self::nothing_happened(&plan.id, plan.symbol(), decision, error, timestamp)
    }

    /// The same where the plan itself is gone and only its name is left.
    pub fn nothing_happened(
        plan: &PlanId,
        symbol: &Symbol,
        decision: Decision,
        error: Option<Reason>,
        timestamp: u64,
    ) -> Self {
        Self {
            plan: plan.clone(),
            symbol: symbol.clone(),
            decision,
            executed: false,
            would_execute: false,
            steps: Vec::new(),
            error,
            profit: None,
            permit_wait_ms: None,
            order_took_us: None,
            timestamp,
            is_final: false,
        }
    }

    /// Its reason code, where it has one.
    pub fn error_code(&self) -> Option<String> {
        self.error.as_ref().map(Reason::to_string)
    }

    /// Whether something may have been executed without anybody knowing.
    pub fn is_unresolved(&self) -> bool {
        self.error.as_ref().is_some_and(Reason::is_unresolved)
    }

    /// The fields of the result stream, in the contract's order. `profit_realized`, `profit_net`, `commission`,
    /// `permit_wait_ms` and `order_took_us` are additions, there only where known. The rest is what neighbours read since
    /// March: who wrote it, when, and of the last step that has an order what it says, once more.
    pub fn to_fields(&self) -> Vec<(&'static str, String)> {
        let steps = serde_json::to_string(&self.steps).unwrap_or_else(|_| "[]".into());
        let mut fields = vec![
            (field::PLAN_ID, self.plan.to_string()),
            (field::SYMBOL, self.symbol.to_string()),
            (field::DECISION, self.decision.to_string()),
            (
                field::EXECUTED,
                field::python_bool(self.executed).to_owned(),
            ),
            (
                field::WOULD_EXECUTE,
                field::python_bool(self.would_execute).to_owned(),
            ),
            (field::STEPS_RESULTS, steps),
            (field::ERROR, self.error_code().unwrap_or_default()),
            (field::TIMESTAMP, self.timestamp.to_string()),
        ];
        if let Some(profit) = &self.profit {
            fields.push((
                field::PROFIT_REALIZED,
                profit.realized.normalize().to_string(),
            ));
            if let Some(net) = profit.net {
                fields.push((field::PROFIT_NET, net.normalize().to_string()));
            }
            let paid: Vec<String> = profit
                .commission
                .iter()
                .map(|(asset, amount)| format!("{} {asset}", amount.normalize()))
                .collect();
            fields.push((field::COMMISSION, paid.join(",")));
        }
        fields.push((field::SOURCE, field::OUR_SOURCE.to_owned()));
        fields.push((field::TS, self.timestamp.to_string()));
        if let Some(waited) = self.permit_wait_ms {
            fields.push((field::PERMIT_WAIT_MS, waited.to_string()));
        }
        if let Some(took) = self.order_took_us {
            fields.push((field::ORDER_TOOK_US, took.to_string()));
        }
        let mut newest_first = self.steps.iter().rev();
        if let Some(step) = newest_first.find(|step| step.order_id.is_some()) {
            fields.extend(step.to_fields());
        }
        fields
    }
}

impl StepResult {
    /// The fields of a result that repeat what a step with an order says.
    fn to_fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let mut shares = Share::ALL.iter();
        let share = shares.find(|share| share.step() == self.step);
        let action = share.map_or(&*self.step, |share| share.action());
        let reduce_only = self.reduce_only == Some(true);
        let fields = [
            (field::ORDER_ID, self.order_id.clone()),
            (field::SIDE, self.side.clone()),
            (field::FILLED_QTY, self.executed_qty.clone()),
            (field::ORDER_STATUS, self.order_status.clone()),
            (field::ACTION, Some(action.to_owned())),
            (
                field::REDUCE_ONLY,
                reduce_only.then(|| field::REDUCE_ONLY_TRUE.to_owned()),
            ),
            (
                field::CLOSE_PCT,
                share.map(|share| format!("{}.0", share.percent())),
            ),
        ];
        let there = |(name, value): (&'static str, Option<String>)| Some((name, value?));
        fields.into_iter().filter_map(there)
    }
}

/// The words of this program; a journal with another one was not written by it.
fn known_status<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    let word = String::deserialize(from)?;
    STATUSES
        .into_iter()
        .find(|known| *known == word)
        .ok_or_else(|| D::Error::custom(format!("{word:?} is no status of a step")))
}

const STATUSES: [&str; 4] = ["success", "blocked", "error", "dry_run"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_of_any_length_are_published_up_to_a_bound_and_marked_where_they_end() {
        let details = |text: &str| StepResult::without_order("S", "error", text).details;
        let most = "é".repeat(MAX_DETAILS);
        assert_eq!(details(&most), most);
        for more in [1, 3, 1_000_000] {
            let details = details(&"é".repeat(MAX_DETAILS + more));
            assert_eq!(details.chars().count(), MAX_DETAILS);
            assert!(details.ends_with("é…"));
        }
    }
}
