//! What really happened with a plan, as the position brain reads it.

use crate::{
    exchange::{Fill, Profit, StopPlaced},
    plan::{Decision, Plan, Step},
    symbol::Symbol,
};
use permit_gate::PlanId;
use rust_decimal::Decimal;
use serde::Serialize;

/// The result of one plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyResult {
    /// The plan.
    pub plan: PlanId,
    /// Its symbol.
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
    pub error: Option<String>,
    /// What it earned, where known.
    pub profit: Option<Profit>,
    /// Whole seconds since 1970.
    pub timestamp: u64,
    /// Whether this is the one result of a claimed plan; false for plans nobody claimed.
    pub is_final: bool,
}

/// One entry of `steps_results`. Numbers are strings, as readers expect them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepResult {
    /// The step's name: `CLOSE_PARTIAL_75`.
    pub step: String,
    /// `success`, or a word for what else happened.
    pub status: &'static str,
    /// A sentence for people.
    pub details: String,
    /// The venue's order id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// `BUY` or `SELL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<String>,
    /// The ordered quantity, in base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// The quantity that really filled, in base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executed_qty: Option<String>,
    /// Always true for what this service places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduce_only: Option<bool>,
}

impl StepResult {
    /// A step that placed nothing.
    pub fn without_order(step: &str, status: &'static str, details: impl Into<String>) -> Self {
        Self {
            step: step.to_owned(),
            status,
            details: details.into(),
            order_id: None,
            side: None,
            quantity: None,
            executed_qty: None,
            reduce_only: None,
        }
    }

    /// A close that happened, with what really filled.
    pub fn closed(step: &Step, fill: &Fill) -> Self {
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
            ..Self::without_order(
                step.name(),
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

    /// A stop that was moved. It filled nothing, and readers that add up fills add 0.
    pub fn stop_moved(step: &Step, stop: &StopPlaced) -> Self {
        let mut old = match stop.cancelled.as_slice() {
            [] => "no older stop cancelled".to_owned(),
            old => format!("cancelled {}", old.join(", ")),
        };
        if !stop.left_over.is_empty() {
            old.push_str(&format!(", still there {}", stop.left_over.join(", ")));
        }
        Self {
            order_id: Some(stop.order_id.clone()),
            side: Some(stop.side.to_string()),
            executed_qty: Some(Decimal::ZERO.to_string()),
            reduce_only: Some(true),
            ..Self::without_order(
                step.name(),
                "success",
                format!(
                    "stop {} {} at {}; {old}",
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
        error: Option<String>,
        timestamp: u64,
    ) -> Self {
        Self {
            plan: plan.id.clone(),
            symbol: plan.symbol().clone(),
            decision,
            executed: false,
            would_execute: false,
            steps: Vec::new(),
            error,
            profit: None,
            timestamp,
            is_final: false,
        }
    }

    /// The fields of the result stream, in the contract's order. `profit_realized`, `profit_net`
    /// and `commission` are additions, there only where known.
    pub fn to_fields(&self) -> Vec<(&'static str, String)> {
        let steps = serde_json::to_string(&self.steps).unwrap_or_else(|_| "[]".into());
        let mut fields = vec![
            ("plan_id", self.plan.to_string()),
            ("symbol", self.symbol.to_string()),
            ("decision", self.decision.to_string()),
            ("executed", python_bool(self.executed).to_owned()),
            ("would_execute", python_bool(self.would_execute).to_owned()),
            ("steps_results", steps),
            ("error", self.error.clone().unwrap_or_default()),
            ("timestamp", self.timestamp.to_string()),
        ];
        if let Some(profit) = &self.profit {
            fields.push(("profit_realized", profit.realized.normalize().to_string()));
            if let Some(net) = profit.net {
                fields.push(("profit_net", net.normalize().to_string()));
            }
            let paid: Vec<String> = profit
                .commission
                .iter()
                .map(|(asset, amount)| format!("{} {asset}", amount.normalize()))
                .collect();
            fields.push(("commission", paid.join(",")));
        }
        fields
    }
}

/// Readers compare with the word `'True'`.
pub(crate) fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}
