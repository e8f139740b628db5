//! What the page is told: plain shapes, every text cut to a length, every time in milliseconds
//! since 1970.

use apply_core::{
    ApplyResult, Fill, Plan, Settlement, Submission, Symbol, exchange::StopReplacement,
    sizing::Sizing,
};
use apply_wire::Reason;
use permit_gate::{Block, BlockReason, FoundBy, PlanId, Ttl, foreign::printable};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Words from outside can be of any length; a page needs no more of them than this.
const LONGEST: usize = 240;

/// A symbol and the last that was heard of it. There may be ten thousand of them.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SymbolView {
    pub(super) symbol: Shown<Symbol>,
    /// The proposal behind the latest plan.
    pub(super) proposal: Option<Box<ProposalView>>,
    pub(super) plan: Option<Shown<PlanId>>,
    /// Why the latest proposal was refused; none once one can be read again.
    pub(super) refused: Option<Box<str>>,
    /// When any of this changed.
    pub(super) at: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct ProposalView {
    action: String,
    kill_score: String,
    computed_at: String,
}

/// A plan's whole life.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PlanView {
    pub(super) id: String,
    pub(super) symbol: String,
    pub(super) action: String,
    pub(super) decision: String,
    pub(super) reasons: Vec<String>,
    pub(super) step: Option<String>,
    /// What is unusual about how it came here.
    pub(super) note: Option<&'static str>,
    /// When it was first heard of.
    pub(super) at: u64,
    pub(super) wait: Option<WaitView>,
    pub(super) order: Option<OrderView>,
    pub(super) result: Option<ResultView>,
}

/// A plan whose order has its timestamp, and which has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Its id.
    pub plan: String,
    /// What it trades.
    pub symbol: String,
    /// Whether it is known what came of the order.
    pub answered: bool,
    /// How long ago the order got its timestamp, in milliseconds: what is not answered may land for
    /// [`LANDING`](apply_core::times::LANDING) after it.
    #[serde(default)]
    pub stamped_ago_ms: u64,
}

/// A wait for permits.
#[derive(Debug, Clone, Serialize)]
pub(super) struct WaitView {
    pub(super) since: u64,
    pub(super) until: u64,
    pub(super) permits: Vec<PermitView>,
    /// None while it lasts.
    pub(super) end: Option<WaitEnd>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct PermitView {
    pub(super) label: String,
    /// Milliseconds from the wait's beginning until it was seen.
    pub(super) after: Option<u64>,
    pub(super) by: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct WaitEnd {
    pub(super) granted: bool,
    /// Milliseconds.
    pub(super) waited: u64,
    /// The code of a block.
    pub(super) code: Option<String>,
    pub(super) detail: String,
    /// What was left of each permit's life at a block.
    pub(super) ttls: Vec<String>,
}

/// What became of the one order a plan may place.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OrderView {
    /// `accepted`, `rejected`, `not_sent`, `unknown`; after questions `not_executed`, `unresolved`.
    pub(super) outcome: &'static str,
    step: String,
    id: Option<String>,
    side: Option<String>,
    quantity: Option<String>,
    executed: Option<String>,
    price: Option<String>,
    note: String,
    /// From the grant to the venue's answer, in microseconds.
    pub(super) took: Option<u64>,
    at: u64,
}

/// What is on the result stream.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ResultView {
    pub(super) at: u64,
    pub(super) decision: String,
    pub(super) executed: bool,
    would_execute: bool,
    pub(super) error: Option<String>,
    /// Whether something may stand at the venue without anybody knowing.
    pub(super) unresolved: bool,
    details: Vec<String>,
    profit: Option<String>,
}

/// Something that the page reads as the text it is shown as.
#[derive(Debug, Clone)]
pub(super) struct Shown<T>(pub(super) T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl SymbolView {
    /// One of which nothing is known yet.
    pub(super) fn unknown(symbol: &Symbol) -> Self {
        Self {
            symbol: Shown(symbol.clone()),
            proposal: None,
            plan: None,
            refused: None,
            at: None,
        }
    }
}

impl ProposalView {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            action: cut(&plan.proposal.action),
            kill_score: plan.proposal.kill_score.to_wire(),
            computed_at: cut(&plan.proposal.computed_at_utc),
        }
    }
}

impl PlanView {
    pub(super) fn of(plan: &Plan, at: u64) -> Self {
        Self {
            id: plan.id.to_string(),
            symbol: plan.symbol().to_string(),
            action: cut(&plan.proposal.action),
            decision: plan.decision.to_string(),
            reasons: plan
                .reasons
                .iter()
                .map(|reason| cut(&reason.to_string()))
                .collect(),
            step: plan.step.as_ref().map(|step| step.name().to_owned()),
            note: None,
            at,
            wait: None,
            order: None,
            result: None,
        }
    }

    /// Of a plan that only its result is known of: it began in an earlier process.
    pub(super) fn of_result(result: &ApplyResult, at: u64) -> Self {
        Self {
            id: result.plan.to_string(),
            symbol: result.symbol.to_string(),
            action: String::new(),
            decision: result.decision.to_string(),
            reasons: Vec::new(),
            step: result.steps.last().map(|step| cut(&step.step)),
            note: None,
            at,
            wait: None,
            order: None,
            result: None,
        }
    }

    /// Whether nothing more is to be expected of it.
    pub(super) fn is_over(&self) -> bool {
        self.result.is_some() || self.decision != "EXECUTE"
    }

    /// Whether its order may stand at the venue without anybody knowing.
    pub(super) fn is_unresolved(&self) -> bool {
        let order = self.order.as_ref();
        order.is_some_and(|order| order.outcome == "unresolved")
            || self.result.as_ref().is_some_and(|result| result.unresolved)
    }
}

impl WaitView {
    pub(super) fn begun(now: u64, max_wait: Duration, labels: &[Arc<str>]) -> Self {
        let permit = |label: &Arc<str>| PermitView {
            label: label.to_string(),
            after: None,
            by: None,
        };
        Self {
            since: now,
            until: now.saturating_add(millis(max_wait)),
            permits: labels.iter().map(permit).collect(),
            end: None,
        }
    }

    pub(super) fn found(&mut self, label: &str, after: Duration, by: FoundBy) {
        if let Some(permit) = self.permits.iter_mut().find(|p| p.label == label) {
            permit.after = Some(millis(after));
            permit.by = Some(match by {
                FoundBy::FirstTry => "first try",
                FoundBy::Push => "push",
                FoundBy::Reconnect => "reconnect",
                FoundBy::Poll => "poll",
            });
        }
    }
}

impl WaitEnd {
    pub(super) fn granted(waited: Duration, most: Option<Decimal>) -> Self {
        let detail = match most {
            Some(quantity) => format!("at most {}", quantity.normalize()),
            None => "no limit on the quantity".to_owned(),
        };
        Self {
            granted: true,
            waited: millis(waited),
            code: None,
            detail,
            ttls: Vec::new(),
        }
    }

    pub(super) fn blocked(block: &Block, reason: &Reason, said: Option<&str>) -> Self {
        let left = |(name, ttl): (&str, Ttl)| format!("{name} {}", left(ttl));
        // Once they are taken there is nothing left of any.
        let ttls = match block.reason() {
            BlockReason::Missing { .. } => block.ttls().map(left).collect(),
            _ => Vec::new(),
        };
        Self {
            granted: false,
            waited: millis(block.waited()),
            code: Some(cut(&reason.to_string())),
            detail: match said {
                Some(said) => cut(&format!("{block}; said {said}")),
                None => cut(&block.to_string()),
            },
            ttls,
        }
    }
}

impl OrderView {
    pub(super) fn submitted(
        step: &str,
        (submission, sizing): (&Submission, &Sizing),
        took: Duration,
        at: u64,
    ) -> Self {
        let took = u64::try_from(took.as_micros()).ok();
        let order = match submission {
            Submission::Accepted(fill) => {
                let order = Self::filled(step, fill, at);
                let left_open = sizing.left_open(fill.executed_qty).normalize();
                let mut note = format!("{}, {left_open} left open", order.note);
                if let Some(limits) = sizing.limits() {
                    let approved = sizing.approved.normalize();
                    note = format!("{note}, {approved} approved, limited by {limits}");
                }
                Self { note, ..order }
            }
            Submission::Rejected { code, message } => {
                Self::without_fill("rejected", step, &format!("{code}: {message}"), at)
            }
            Submission::NotSent { why } => {
                Self::without_fill("not_sent", step, &why.to_string(), at)
            }
            Submission::Unknown { why, .. } => Self::without_fill("unknown", step, why, at),
        };
        Self { took, ..order }
    }

    pub(super) fn settled(step: &str, settlement: &Settlement, at: u64) -> Self {
        match settlement {
            Settlement::Accepted(fill) => Self::filled(step, fill, at),
            Settlement::NotExecuted { why } => Self::without_fill("not_executed", step, why, at),
            Settlement::Unresolved { why, seen } => {
                let seen = seen.as_ref().map(|fill| Self::filled(step, fill, at));
                let unknown = Self::without_fill("unresolved", step, why, at);
                match seen {
                    Some(seen) => Self {
                        outcome: unknown.outcome,
                        note: unknown.note,
                        ..seen
                    },
                    None => unknown,
                }
            }
        }
    }

    pub(super) fn stop(step: &str, replacement: &StopReplacement, at: u64) -> Self {
        match replacement {
            StopReplacement::Placed(stop) => Self {
                id: Some(cut(&stop.order_id)),
                side: Some(stop.side.to_string()),
                price: Some(stop.trigger.normalize().to_string()),
                ..Self::without_fill("accepted", step, "stop", at)
            },
            StopReplacement::Rejected { code, message } => {
                Self::without_fill("rejected", step, &format!("{code}: {message}"), at)
            }
            StopReplacement::NotSent { why } => {
                Self::without_fill("not_sent", step, &why.to_string(), at)
            }
            StopReplacement::Unknown { why } => Self::without_fill("unresolved", step, why, at),
        }
    }

    fn filled(step: &str, fill: &Fill, at: u64) -> Self {
        Self {
            id: Some(cut(&fill.order_id)),
            side: Some(fill.side.to_string()),
            quantity: Some(fill.quantity.normalize().to_string()),
            executed: Some(fill.executed_qty.normalize().to_string()),
            price: fill.average_price.map(|p| p.normalize().to_string()),
            ..Self::without_fill("accepted", step, &fill.status, at)
        }
    }

    fn without_fill(outcome: &'static str, step: &str, note: &str, at: u64) -> Self {
        Self {
            outcome,
            step: cut(step),
            id: None,
            side: None,
            quantity: None,
            executed: None,
            price: None,
            note: cut(note),
            took: None,
            at,
        }
    }
}

impl ResultView {
    pub(super) fn of(result: &ApplyResult, at: u64) -> Self {
        let profit = result.profit.as_ref();
        Self {
            at,
            decision: result.decision.to_string(),
            executed: result.executed,
            would_execute: result.would_execute,
            error: result.error_code().as_deref().map(cut),
            unresolved: result.is_unresolved(),
            details: result.steps.iter().map(|s| cut(&s.details)).collect(),
            profit: profit.map(|p| p.realized.normalize().to_string()),
        }
    }
}

fn left(ttl: Ttl) -> String {
    match ttl {
        Ttl::NoKey => "is missing".into(),
        Ttl::NoExpiry => "never expires".into(),
        Ttl::Seconds(seconds) => format!("has {seconds} s left"),
    }
}

/// At most [`LONGEST`] characters of it, with a sign that there were more, and printable.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", printable(&text[..end])),
        None => printable(text).into_owned(),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock, for people to read and for browsers to count down from.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}
