//! What the page is sent: plain shapes, every text cut to a length, every time in milliseconds
//! since 1970.

use crate::history::{Filter, Outcome};
use apply_core::{
    ApplyResult, Fill, Plan, Settlement, StepResult, Submission, Symbol,
    exchange::StopReplacement,
    sizing::Sizing,
    times::{micros, millis},
};
use apply_wire::{Reason, field};
use permit_gate::{Block, BlockReason, FoundBy, PermitSet, PlanId, Terms, Ttl, foreign::printable};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Words from outside can be of any length; a page needs no more of them than this.
const LONGEST: usize = 240;

/// A plan has one or two.
const MOST_REASONS: usize = 8;

/// A symbol and the last that was heard of it. There may be ten thousand of them.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SymbolView {
    pub(super) symbol: Shown<Symbol>,
    /// The proposal behind the latest plan.
    pub(super) proposal: Option<ProposalView>,
    pub(super) plan: Option<Shown<PlanId>>,
    /// Why the latest proposal was refused; none once one can be read again.
    pub(super) refused: Option<Box<str>>,
    /// Plans to be executed that came to no execution, since the last that did: of every instance, and of the day before
    /// the start.
    pub(super) noes: u32,
    /// When any of this changed.
    pub(super) at: Option<u64>,
}

/// Its texts one after the other: a piece of memory for each would be more than they are.
#[derive(Debug, Clone)]
pub(super) struct ProposalView {
    texts: Box<str>,
    /// Where the action ends, and where the kill score does.
    ends: (u16, u16),
}

/// A plan's whole life.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlanView {
    pub(super) id: String,
    pub(crate) symbol: String,
    pub(super) action: String,
    pub(super) kill_score: String,
    pub(crate) decision: String,
    pub(crate) reasons: Vec<String>,
    pub(super) step: Option<String>,
    /// What is unusual about how it came here.
    pub(crate) note: Option<&'static str>,
    /// When it was first heard of; of one from the stream, when it was put there.
    pub(super) at: u64,
    /// Whether it is read from the streams: another process, or another machine, may have seen its wait.
    pub(super) past: bool,
    pub(crate) wait: Option<WaitView>,
    pub(crate) order: Option<OrderView>,
    pub(crate) result: Option<ResultView>,
    /// What other programs have answered on the stream of results. It counts for nothing.
    pub(crate) foreign: Vec<ForeignView>,
}

/// An entry of another program on the stream of results.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ForeignView {
    pub(crate) at: u64,
    pub(crate) source: String,
    pub(crate) executed: String,
    pub(crate) error: String,
}

/// A plan whose order has its timestamp, and which has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlightOrder {
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WaitView {
    pub(super) since: u64,
    pub(super) until: u64,
    pub(super) permits: Vec<PermitView>,
    /// None while it lasts.
    pub(super) end: Option<WaitEnd>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PermitView {
    pub(super) name: String,
    pub(super) label: String,
    /// Milliseconds from the wait's beginning until it was seen.
    pub(super) after: Option<u64>,
    pub(super) by: Option<By>,
    /// Whether it was a yes; none where it was not read, or not there.
    pub(super) yes: Option<bool>,
    /// What it said.
    pub(super) said: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
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
pub(crate) struct OrderView {
    /// `accepted`, `rejected`, `not_sent`, `unknown`; after questions `not_executed`, `unresolved`.
    pub(super) outcome: &'static str,
    step: String,
    id: Option<String>,
    side: Option<String>,
    quantity: Option<String>,
    executed: Option<String>,
    price: Option<String>,
    note: String,
    /// From the grant to the venue's answer, in microseconds; none where that is not known.
    pub(super) took: Option<u64>,
    at: u64,
}

/// What is on the result stream.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ResultView {
    pub(super) at: u64,
    pub(crate) decision: String,
    pub(super) executed: bool,
    would_execute: bool,
    pub(crate) error: Option<String>,
    /// All of this in one word.
    pub(super) outcome: &'static str,
    /// Whether something may stand at the venue without anybody knowing.
    pub(super) unresolved: bool,
    details: Vec<String>,
    profit: Option<String>,
    /// After commission, and the commission, where they are known.
    net: Option<String>,
    commission: Option<String>,
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
            noes: 0,
            at: None,
        }
    }

    /// Takes in a plan from the stream, where nothing newer is known.
    pub(super) fn remember(&mut self, plan: &PlanView, id: PlanId) {
        if self.plan.is_none() {
            self.plan = Some(Shown(id));
            self.proposal = Some(ProposalView::new(&plan.action, &plan.kill_score, ""));
            self.at = Some(plan.at);
        }
    }
}

impl ProposalView {
    pub(super) fn of(plan: &Plan) -> Self {
        Self::new(
            &cut(&plan.proposal.action),
            &plan.proposal.kill_score.to_wire(),
            &cut(&plan.proposal.computed_at_utc),
        )
    }

    /// Of texts that were cut.
    fn new(action: &str, kill_score: &str, computed_at: &str) -> Self {
        let end = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Self {
            texts: [action, kill_score, computed_at].concat().into(),
            ends: (end(action.len()), end(action.len() + kill_score.len())),
        }
    }
}

impl Serialize for ProposalView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Texts<'a> {
            action: &'a str,
            kill_score: &'a str,
            computed_at: &'a str,
        }
        let (action, score) = (usize::from(self.ends.0), usize::from(self.ends.1));
        let text = |part: std::ops::Range<usize>| self.texts.get(part).unwrap_or_default();
        let texts = Texts {
            action: text(0..action),
            kill_score: text(action..score),
            computed_at: text(score..self.texts.len()),
        };
        texts.serialize(serializer)
    }
}

impl PlanView {
    pub(super) fn of(plan: &Plan, at: u64) -> Self {
        Self {
            id: plan.id.to_string(),
            symbol: plan.symbol().to_string(),
            action: cut(&plan.proposal.action),
            kill_score: plan.proposal.kill_score.to_wire(),
            decision: plan.decision.to_string(),
            reasons: plan
                .reasons
                .iter()
                .map(|reason| cut(&reason.to_string()))
                .collect(),
            step: plan.step.as_ref().map(|step| step.name().to_owned()),
            note: None,
            at,
            past: false,
            wait: None,
            order: None,
            result: None,
            foreign: Vec::new(),
        }
    }

    /// Of a plan that only its result is known of: it began in an earlier process.
    pub(super) fn of_result(result: &ApplyResult, at: u64) -> Self {
        Self {
            id: result.plan.to_string(),
            symbol: result.symbol.to_string(),
            action: String::new(),
            kill_score: String::new(),
            decision: result.decision.to_string(),
            reasons: Vec::new(),
            step: result.steps.last().map(|step| cut(&step.step)),
            note: None,
            at,
            past: false,
            wait: None,
            order: None,
            result: None,
            foreign: Vec::new(),
        }
    }

    /// As the stream of plans has it.
    pub(crate) fn of_stream(id: &str, at: u64, text: impl Fn(&str) -> String) -> Self {
        let codes = text(field::REASON_CODES);
        let codes = codes.split(',').map(str::trim);
        let action = text(field::ACTION);
        Self {
            id: id.to_owned(),
            symbol: cut(&text(field::SYMBOL)),
            kill_score: cut(&text(field::KILL_SCORE)),
            decision: cut(&text(field::DECISION)),
            reasons: codes
                .filter(|code| !code.is_empty())
                .take(MOST_REASONS)
                .map(cut)
                .collect(),
            step: first_step(&text(field::STEPS)),
            action: cut(&action),
            note: None,
            at,
            past: true,
            wait: None,
            order: None,
            result: None,
            foreign: Vec::new(),
        }
    }

    /// Whether it is one of those that are wanted.
    pub(crate) fn passes(&self, filter: &Filter) -> bool {
        let result = self.result.as_ref();
        let decisions = [
            Some(&*self.decision),
            result.map(|result| &*result.decision),
            result.map(|result| result.outcome),
        ];
        let error = result.and_then(|result| result.error.as_deref());
        let reasons = self.reasons.iter().map(|reason| &**reason);
        filter.passes(
            self.at,
            &self.symbol,
            decisions.into_iter().flatten(),
            reasons.chain(error),
        )
    }

    /// Whether this process has seen nothing of its life.
    pub(super) fn is_only_met(&self) -> bool {
        self.wait.is_none() && self.order.is_none() && self.result.is_none()
    }

    /// What this process saw, with what only the streams know.
    pub(super) fn with_past(mut self, past: Self) -> Self {
        if self.is_only_met() {
            return past;
        }
        self.foreign = past.foreign;
        self.wait = self.wait.or(past.wait);
        self.result = self.result.or(past.result);
        self.order = self.order.or(past.order);
        self
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
            name: String::new(),
            label: label.to_string(),
            after: None,
            by: None,
            yes: None,
            said: None,
        };
        Self {
            since: now,
            until: now.saturating_add(millis(max_wait)),
            permits: labels.iter().map(permit).collect(),
            end: None,
        }
    }

    pub(super) fn found(&mut self, (name, label): (&str, &str), after: Duration, by: FoundBy) {
        if let Some(permit) = self.permits.iter_mut().find(|p| p.label == label) {
            permit.name = name.to_owned();
            permit.after = Some(millis(after));
            permit.by = Some(By(word(by)));
        }
    }

    /// One that is over, as its stream has it; `None` where the text is none.
    pub(crate) fn of_stream(text: &str) -> Option<Self> {
        let mut wait: Self = serde_json::from_str(text).ok()?;
        let end = wait.end.as_mut()?;
        end.code = end.code.as_deref().map(cut);
        end.detail = cut(&end.detail);
        end.ttls.truncate(PermitSet::MAX);
        end.ttls.iter_mut().for_each(|ttl| *ttl = cut(ttl));
        wait.permits.truncate(PermitSet::MAX);
        for permit in &mut wait.permits {
            (permit.name, permit.label) = (cut(&permit.name), cut(&permit.label));
            permit.said = permit.said.as_deref().map(cut);
        }
        Some(wait)
    }

    /// Every permit said yes.
    pub(super) fn granted(&mut self, end: WaitEnd, terms: &[(Arc<str>, Terms)]) {
        for permit in &mut self.permits {
            permit.yes = Some(true);
            let said = terms.iter().find(|(name, _)| **name == *permit.name);
            permit.said = said.map(|(_, terms)| said_yes(terms));
        }
        self.end = Some(end);
    }

    /// One permit, or something else, said no.
    pub(super) fn blocked(&mut self, block: &Block, end: WaitEnd) {
        if let BlockReason::Refused { permit, refusal } = block.reason()
            && let Some(view) = self.permits.iter_mut().find(|p| *p.name == **permit)
        {
            view.yes = Some(false);
            view.said = Some(cut(&refusal.to_string()));
        }
        self.end = Some(end);
    }
}

/// What noticed a permit, as one of a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct By(pub(super) &'static str);

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut known = FOUND_BY.map(word).into_iter();
        let known = known.find(|known| *known == text);
        known
            .map(Self)
            .ok_or_else(|| D::Error::custom("no such word"))
    }
}

const FOUND_BY: [FoundBy; 4] = [
    FoundBy::FirstTry,
    FoundBy::Push,
    FoundBy::Reconnect,
    FoundBy::Poll,
];

fn word(by: FoundBy) -> &'static str {
    match by {
        FoundBy::FirstTry => "first try",
        FoundBy::Push => "push",
        FoundBy::Reconnect => "reconnect",
        FoundBy::Poll => "poll",
    }
}

/// What a reviewer who agrees said.
fn said_yes(terms: &Terms) -> String {
    let limit = match terms.limit {
        Some(limit) => format!("yes, at most {}", limit.normalize()),
        None => "yes".to_owned(),
    };
    match terms.seen {
        Some(seen) => format!("{limit}; it saw a position of {}", seen.normalize()),
        None => limit,
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
        let took = submission.is_answered().then(|| micros(took));
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

    /// Takes in the price of what filled: the venue's answer to an order names none, and the result does.
    pub(super) fn priced(&mut self, steps: &[StepResult]) {
        let mut steps = steps.iter().rev();
        if let Some(step) = steps.find(|step| step.order_id.is_some())
            && self.id == step.order_id
        {
            let price = step.avg_price.as_deref().map(cut);
            self.price = self.price.take().or(price);
        }
    }

    /// As the last step with an order on the stream of results has it.
    pub(crate) fn of_stream(at: u64, text: impl Fn(&str) -> String) -> Option<Self> {
        let steps: Vec<StreamStep> = serde_json::from_str(&text(field::STEPS_RESULTS)).ok()?;
        let error = Reason::parse(&text(field::ERROR));
        let rejected = matches!(error, Reason::OrderRejected(_) | Reason::StopRejected(_));
        let step = steps
            .into_iter()
            .rev()
            .find(|step| rejected || step.order_id.is_some())?;
        let outcome = match &*step.status {
            _ if rejected => "rejected",
            _ if error.is_unresolved() => "unresolved",
            "success" => "accepted",
            _ => "not_executed",
        };
        let shown = |text: Option<String>| text.as_deref().map(cut);
        Some(Self {
            id: shown(step.order_id),
            side: shown(step.side),
            // A moved stop fills nothing, and has no quantity.
            executed: shown(step.executed_qty.filter(|_| step.quantity.is_some())),
            quantity: shown(step.quantity),
            price: shown(step.avg_price),
            took: text(field::ORDER_TOOK_US).parse().ok(),
            ..Self::without_fill(outcome, &step.step, &step.details, at)
        })
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
            outcome: Outcome::of(
                result.executed,
                result.would_execute,
                result.decision.as_str(),
                result.error_code().as_deref(),
            )
            .as_str(),
            error: result.error_code().as_deref().map(cut),
            unresolved: result.is_unresolved(),
            details: result.steps.iter().map(|s| cut(&s.details)).collect(),
            profit: profit.map(|p| p.realized.normalize().to_string()),
            net: profit.and_then(|p| Some(p.net?.normalize().to_string())),
            commission: profit.map(|p| {
                let paid = p.commission.iter();
                let paid = paid.map(|(asset, amount)| format!("{} {asset}", amount.normalize()));
                cut(&paid.collect::<Vec<_>>().join(", "))
            }),
        }
    }

    /// As the stream of results has it.
    pub(crate) fn of_stream(at: u64, text: impl Fn(&str) -> String) -> Self {
        let some = |name: &str| Some(cut(&text(name))).filter(|text| !text.is_empty());
        let steps: Vec<StreamStep> =
            serde_json::from_str(&text(field::STEPS_RESULTS)).unwrap_or_default();
        let (decision, error) = (text(field::DECISION), text(field::ERROR));
        let executed = text(field::EXECUTED) == field::TRUE;
        let would_execute = text(field::WOULD_EXECUTE) == field::TRUE;
        let outcome = Outcome::of(
            executed,
            would_execute,
            &decision,
            Some(&*error).filter(|error| !error.is_empty()),
        );
        Self {
            at,
            decision: cut(&decision),
            executed,
            would_execute,
            unresolved: outcome == Outcome::Unresolved,
            outcome: outcome.as_str(),
            error: some(field::ERROR),
            details: steps
                .iter()
                .take(MOST_STEPS)
                .map(|step| cut(&step.details))
                .collect(),
            profit: some(field::PROFIT_REALIZED),
            net: some(field::PROFIT_NET),
            commission: some(field::COMMISSION),
        }
    }
}

/// A result has one step, rarely two.
const MOST_STEPS: usize = 8;

/// A step as it is on the stream of results; other versions of the service may have left more or less in it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamStep {
    step: String,
    status: String,
    details: String,
    order_id: Option<String>,
    side: Option<String>,
    quantity: Option<String>,
    executed_qty: Option<String>,
    avg_price: Option<String>,
}

/// The name of the first step in the list that a plan carries.
fn first_step(steps: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Step {
        step: String,
    }
    let steps: Vec<Step> = serde_json::from_str(steps).ok()?;
    steps.first().map(|step| cut(&step.step))
}

fn left(ttl: Ttl) -> String {
    match ttl {
        Ttl::NoKey => "is missing".into(),
        Ttl::NoExpiry => "never expires".into(),
        Ttl::Seconds(seconds) => format!("has {seconds} s left"),
    }
}

/// An error of the store or the system for people: without the names that its library gives to kinds of errors and
/// without numbers of the system.
pub(crate) fn in_words(text: &str) -> String {
    let mut text = text.to_owned();
    for kind in ["Io: ", "I/O: ", "Client: ", "Server: ", "Parse: "] {
        text = text.replace(kind, "");
    }
    // `check` prints what may be set to fix it.
    if let Some((start, _)) = text.split_once(" within the response time-out of ") {
        text = format!("{start} in time");
    }
    while let Some((start, number)) = text.split_once(" (os error ")
        && let Some((_, rest)) = number.split_once(')')
    {
        text = format!("{start}{rest}");
    }
    for (is, says) in [
        (
            "\"WRONGTYPE\": Operation against a key holding the wrong kind of value",
            "in place of a stream there is something else",
        ),
        ("timed out", "no answer in time"),
        ("Connection refused", "no server listens there"),
        ("broken pipe", "the connection was closed"),
        ("Broken pipe", "the connection was closed"),
    ] {
        text = text.replace(is, says);
    }
    cut(&text)
}

/// At most [`LONGEST`] characters of it, with a sign that there were more, and printable.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", printable(&text[..end])),
        None => printable(text).into_owned(),
    }
}

/// The wall clock, for people to read and for browsers to count down from.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}
