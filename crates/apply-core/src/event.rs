//! What happens, as it happens: one event for one decision, and the line operators know it by.

use crate::{
    exchange::{
        ExchangeError, Fill, Omission, Settlement, StopReplacement, StopsAfterClose, Submission,
    },
    order::OrderKind,
    plan::{Decision, Plan},
    plan_id::client_order_id,
    proposal::ProposalError,
    reason,
    result::ApplyResult,
    sizing::Sizing,
    symbol::Symbol,
};
use apply_wire::{Reason, field::python_bool};
use permit_gate::{Block, FoundBy, PlanId, Terms, foreign::printable};
use rust_decimal::Decimal;
use std::{borrow::Cow, sync::Arc, time::Duration};

/// One decision or observation.
#[derive(Debug)]
pub enum Event<'a> {
    /// A proposal that was not there before, or was another one.
    ProposalFound {
        /// The symbol.
        symbol: &'a Symbol,
        /// What noticed it.
        by: FoundBy,
    },
    /// A proposal cannot be read; nothing follows from it.
    ProposalRefused {
        /// Why.
        error: &'a ProposalError,
    },
    /// A plan is on the stream: for review where it would execute, else for the record.
    PlanPublished {
        /// The plan.
        plan: &'a Plan,
    },
    /// A plan that would execute was refused for now: too many are under way. Nothing was claimed,
    /// its proposal is looked at again when there is room. Emitted once a plan.
    NoRoom {
        /// The plan.
        plan: &'a Plan,
        /// How many plans may be under way.
        limit: usize,
    },
    /// A plan that would execute has to wait: the store may have forgotten something a moment ago. Nothing
    /// was claimed and nothing published. Emitted once a plan.
    TooYoung {
        /// The plan.
        plan: &'a Plan,
    },
    /// A plan came to its end and this attempt may not publish it: the store forgot the claim, or another
    /// instance has the plan. Its result is owed until one is on the stream.
    Owed {
        /// The plan.
        plan: &'a PlanId,
        /// Its symbol.
        symbol: &'a Symbol,
        /// Why, in a few words.
        why: &'static str,
    },
    /// The end of a plan that this process had worked on was published by another one.
    PublishedByAnother {
        /// The plan.
        plan: &'a PlanId,
        /// Its symbol.
        symbol: &'a Symbol,
    },
    /// A final result was on the stream that said that nothing was executed, and the venue says that
    /// something was: this result takes its place.
    Corrected {
        /// The result that counts.
        result: &'a ApplyResult,
    },
    /// A final result is on the stream that says that the plan was executed, and the venue has shown this
    /// process that it was not. Nothing was written.
    Contradicted {
        /// What was to be published.
        result: &'a ApplyResult,
    },
    /// An EXECUTE plan was claimed before, here or elsewhere.
    Duplicate {
        /// The plan.
        plan: &'a Plan,
    },
    /// Somebody remembers a plan whose claim the store gave out again: it is not executed again.
    KnownBefore {
        /// The plan.
        plan: &'a Plan,
        /// Who does.
        to: KnownTo,
    },
    /// A plan that its process did not finish is finished now.
    Recovered {
        /// How far it had come.
        from: Abandoned,
        /// What came of it.
        result: &'a ApplyResult,
    },
    /// The wait for permits begins.
    WaitStarted {
        /// The plan.
        plan: &'a Plan,
        /// Until the last try.
        max_wait: Duration,
        /// The permits' labels, in order.
        permits: Vec<Arc<str>>,
    },
    /// A permit was seen for the first time.
    PermitFound {
        /// The plan.
        plan: &'a Plan,
        /// The permit's name: `governor`.
        name: Arc<str>,
        /// The permit's label: `Governor`.
        label: Arc<str>,
        /// Since the wait began.
        after: Duration,
        /// What noticed it.
        by: FoundBy,
    },
    /// The permit store failed to answer; it is asked again.
    StoreTrouble {
        /// The plan.
        plan: &'a Plan,
        /// What it said.
        error: String,
        /// Whether it has failed this plan in the same way before.
        repeated: bool,
    },
    /// Every permit is taken and says yes.
    Granted {
        /// The plan.
        plan: &'a Plan,
        /// From the first try to the grant.
        waited: Duration,
        /// The largest quantity every reviewer agrees to; `None` where no reviewer gave one.
        most: Option<Decimal>,
        /// What each reviewer allows, by its permit's name, in the order of the permits.
        terms: &'a [(Arc<str>, Terms)],
    },
    /// The gate said no.
    Blocked {
        /// The plan.
        plan: &'a Plan,
        /// What the gate says.
        block: &'a Block,
        /// Why.
        reason: &'a Reason,
        /// What reviewers say for themselves who wrote no permit.
        said: Option<&'a str>,
    },
    /// Everything is there for the order. It leaves now, unless a switch on this machine says no.
    InFlight {
        /// The plan.
        plan: &'a Plan,
    },
    /// A step is about to be executed.
    StepStarted {
        /// The plan.
        plan: &'a Plan,
        /// The step's name.
        step: &'static str,
    },
    /// Less is sent than was approved.
    Limited {
        /// The plan.
        plan: &'a Plan,
        /// How much, and why.
        sizing: &'a Sizing,
    },
    /// After a close there were stops of ours to account for.
    StopsAccounted {
        /// The plan of the close.
        plan: &'a PlanId,
        /// Its symbol.
        symbol: &'a Symbol,
        /// What became of them, or why that is unknown.
        stops: Result<&'a StopsAfterClose, &'a ExchangeError>,
    },
    /// An order was submitted and this came of it.
    Submitted {
        /// The plan.
        plan: &'a Plan,
        /// The step's name.
        step: &'static str,
        /// How its quantity came about.
        sizing: &'a Sizing,
        /// One of four.
        submission: &'a Submission,
        /// From the grant to the venue's answer.
        took: Duration,
    },
    /// What became of an order was asked, until it was known or the deadline passed. Emitted once, at the end.
    Settled {
        /// The plan.
        plan: &'a PlanId,
        /// Its symbol.
        symbol: &'a Symbol,
        /// What came of it.
        settlement: &'a Settlement,
    },
    /// The same of a stop.
    StopSettled {
        /// The plan.
        plan: &'a PlanId,
        /// Its symbol.
        symbol: &'a Symbol,
        /// What came of it.
        replacement: &'a StopReplacement,
    },
    /// A stop was replaced, or not.
    StopReplaced {
        /// The plan.
        plan: &'a Plan,
        /// What came of it.
        replacement: &'a StopReplacement,
    },
    /// A part of the venue's answers was left out for the first time; nothing is decided by it.
    AnswerIncomplete {
        /// Which part.
        omission: &'a Omission,
    },
    /// A result is on the stream.
    ResultPublished {
        /// The result.
        result: &'a ApplyResult,
    },
    /// A port failed; what it was for is tried again.
    PortFailed {
        /// The symbol.
        symbol: &'a Symbol,
        /// What was to be done: `fetch the proposal`.
        doing: &'static str,
        /// What it said.
        error: &'a str,
    },
}

/// Who remembers a plan that the store forgot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KnownTo {
    /// The journal on this machine.
    Journal,
    /// The venue, which has an order of it: placed by another machine, or by this one with another
    /// journal.
    Venue,
}

impl KnownTo {
    /// As one word: a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Venue => "venue",
        }
    }
}

/// How far a plan had come when its process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abandoned {
    /// Claimed; nothing can have left.
    Claimed,
    /// About to place something: the venue was asked.
    Intending,
    /// Concluded, its result perhaps not published.
    Concluded,
    /// Ended in this process, which was not allowed to publish it then.
    Owed,
    /// Its result was published a short while ago, and the store has lost it.
    Lost,
}

impl Abandoned {
    /// As one word: a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Intending => "intending",
            Self::Concluded => "concluded",
            Self::Owed => "owed",
            Self::Lost => "lost",
        }
    }
}

/// Hears of every event, from the task in which it happens; has to return quickly.
pub trait Observer: Send + Sync {
    /// An event.
    fn observe(&self, event: &Event<'_>);
}

/// Hears nothing.
impl Observer for () {
    fn observe(&self, _: &Event<'_>) {}
}

/// A closure hears of every event.
impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// How much an operator has to care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For a close look.
    Debug,
    /// The normal course of things.
    Info,
    /// Somebody should know.
    Warn,
    /// Somebody has to act.
    Error,
}

impl Event<'_> {
    /// The event's name, in snake_case: a field for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ProposalFound { .. } => "proposal_found",
            Self::ProposalRefused { .. } => "proposal_refused",
            Self::PlanPublished { .. } => "plan_published",
            Self::NoRoom { .. } => "plan_refused",
            Self::TooYoung { .. } => "plan_put_off",
            Self::Owed { .. } => "result_owed",
            Self::PublishedByAnother { .. } => "result_published_by_another",
            Self::Corrected { .. } => "result_corrected",
            Self::Contradicted { .. } => "result_contradicted",
            Self::Duplicate { .. } => "duplicate_plan",
            Self::KnownBefore { .. } => "plan_known_before",
            Self::Recovered { .. } => "plan_recovered",
            Self::WaitStarted { .. } => "permit_wait_started",
            Self::PermitFound { .. } => "permit_found",
            Self::StoreTrouble { .. } => "permit_store_trouble",
            Self::Granted { .. } => "granted",
            Self::InFlight { .. } => "leaving",
            Self::Blocked { .. } => "blocked",
            Self::StepStarted { .. } => "step_started",
            Self::Limited { .. } => "order_limited",
            Self::StopsAccounted { .. } => "stops_accounted",
            Self::Submitted { .. } => "order_submitted",
            Self::Settled { .. } => "order_settled",
            Self::StopSettled { .. } => "stop_settled",
            Self::StopReplaced { .. } => "stop_replaced",
            Self::ResultPublished { .. } => "result_published",
            Self::AnswerIncomplete { .. } => "answer_incomplete",
            Self::PortFailed { .. } => "port_failed",
        }
    }

    /// The plan it is about, where it is about one.
    pub fn plan_id(&self) -> Option<&PlanId> {
        self.about().0
    }

    /// The symbol it is about, where it is about one.
    pub fn symbol(&self) -> Option<&Symbol> {
        self.about().1
    }

    fn about(&self) -> (Option<&PlanId>, Option<&Symbol>) {
        let (plan, symbol): (Option<&PlanId>, &Symbol) = match self {
            Self::AnswerIncomplete { omission } => return (None, omission.symbol.as_ref()),
            Self::ProposalRefused { error } => (None, error.symbol()),
            Self::PortFailed { symbol, .. } | Self::ProposalFound { symbol, .. } => (None, symbol),
            Self::ResultPublished { result }
            | Self::Corrected { result }
            | Self::Contradicted { result }
            | Self::Recovered { result, .. } => (Some(&result.plan), &result.symbol),
            Self::Owed { plan, symbol, .. }
            | Self::PublishedByAnother { plan, symbol }
            | Self::Settled { plan, symbol, .. }
            | Self::StopsAccounted { plan, symbol, .. }
            | Self::StopSettled { plan, symbol, .. } => (Some(plan), symbol),
            Self::PlanPublished { plan }
            | Self::TooYoung { plan }
            | Self::NoRoom { plan, .. }
            | Self::Duplicate { plan }
            | Self::KnownBefore { plan, .. }
            | Self::WaitStarted { plan, .. }
            | Self::PermitFound { plan, .. }
            | Self::StoreTrouble { plan, .. }
            | Self::Granted { plan, .. }
            | Self::InFlight { plan }
            | Self::Blocked { plan, .. }
            | Self::StepStarted { plan, .. }
            | Self::Limited { plan, .. }
            | Self::Submitted { plan, .. }
            | Self::StopReplaced { plan, .. } => (Some(&plan.id), plan.symbol()),
        };
        (plan, Some(symbol))
    }

    /// Whether it matters only when looking for a fault: its line has level debug.
    pub fn is_detail(&self) -> bool {
        matches!(
            self,
            Self::ProposalFound { .. }
                | Self::InFlight { .. }
                | Self::StoreTrouble { repeated: true, .. }
        )
    }

    /// The line for the log, as operators grep for it (wire §8), and its level. Always one line:
    /// words of the venue and of stores are in it, and must not pass for lines of ours.
    pub fn line(&self) -> (Level, String) {
        let (level, line) = self.level_and_text();
        debug_assert_eq!(level == Level::Debug, self.is_detail());
        let line = match printable(&line) {
            Cow::Borrowed(_) => line,
            Cow::Owned(escaped) => escaped,
        };
        (level, line)
    }

    fn level_and_text(&self) -> (Level, String) {
        match self {
            Self::ProposalFound { symbol, by } => (
                Level::Debug,
                format!("Proposal for {symbol} found by={}", by.as_str()),
            ),
            Self::ProposalRefused { error } => {
                let reason = error.reason();
                (
                    reason.level().into(),
                    format!("Proposal refused: {error} reason={reason}"),
                )
            }
            Self::PlanPublished { plan } => {
                let mut line = format!(
                    "Plan {} published (decision={}, symbol={})",
                    plan.id,
                    plan.decision,
                    plan.symbol()
                );
                if !plan.reasons.is_empty() {
                    line.push_str(&format!(" reason={}", plan.reason_codes()));
                }
                let levels = plan.reasons.iter().map(|reason| reason.level().into());
                (levels.max().unwrap_or(Level::Info), line)
            }
            Self::NoRoom { plan, limit } => {
                let reason = Reason::TooManyPlansInFlight;
                (
                    reason.level().into(),
                    format!(
                        "Plan {} refused for now (decision={}, symbol={}) reason={reason} limit={limit}",
                        plan.id,
                        plan.decision,
                        plan.symbol()
                    ),
                )
            }
            Self::TooYoung { plan } => {
                let reason = Reason::StoreMayHaveForgotten;
                (
                    reason.level().into(),
                    format!(
                        "Plan {} waits (decision={}, symbol={}) reason={reason}",
                        plan.id,
                        plan.decision,
                        plan.symbol()
                    ),
                )
            }
            Self::Owed { plan, symbol, why } => (
                Level::Warn,
                format!("Result owed plan={plan} symbol={symbol} reason={why}"),
            ),
            Self::PublishedByAnother { plan, symbol } => (
                Level::Info,
                format!("Result published by another instance plan={plan} symbol={symbol}"),
            ),
            Self::Corrected { result } => (
                Level::Error,
                format!(
                    "Result corrected: executed={} takes the place of a final result that said nothing was executed plan={} symbol={}",
                    python_bool(result.executed),
                    result.plan,
                    result.symbol
                ),
            ),
            Self::Contradicted { result } => (
                Level::Error,
                format!(
                    "Result contradicted: the stream says executed=True, the venue says it was not; look at the venue plan={} symbol={} error={}",
                    result.plan,
                    result.symbol,
                    result.error_code().as_deref().unwrap_or("none")
                ),
            ),
            Self::Duplicate { plan } => {
                let reason = Reason::DuplicatePlan;
                (
                    reason.level().into(),
                    format!(
                        "Plan {} skipped (decision={}, symbol={}) reason={reason}",
                        plan.id,
                        Decision::from(reason.class()),
                        plan.symbol()
                    ),
                )
            }
            Self::KnownBefore { plan, to } => (
                Level::Error,
                format!(
                    "Plan {} was handled before and is not executed again: the store lost its claim symbol={} known_to={}",
                    plan.id,
                    plan.symbol(),
                    to.as_str()
                ),
            ),
            Self::Recovered { from, result } => {
                let unresolved = result.is_unresolved();
                let look = match unresolved {
                    true => ", UNRESOLVED, look at the venue",
                    false => "",
                };
                // Where this process has asked, it has said so when it gave up.
                let level = match (unresolved, from) {
                    (true, Abandoned::Concluded) => Level::Error,
                    _ => Level::Warn,
                };
                (
                    level,
                    format!(
                        "Plan {} recovered (found={}, executed={}){look} symbol={} error={}",
                        result.plan,
                        from.as_str(),
                        python_bool(result.executed),
                        result.symbol,
                        result.error_code().as_deref().unwrap_or("none")
                    ),
                )
            }
            Self::WaitStarted {
                plan,
                max_wait,
                permits,
            } => (
                Level::Info,
                format!(
                    "[PERMIT_WAIT] Polling for permits (max_wait={}ms) plan={} permits={}",
                    max_wait.as_millis(),
                    plan.id,
                    permits.join(",")
                ),
            ),
            Self::PermitFound {
                plan,
                label,
                after,
                by,
                ..
            } => (
                Level::Info,
                format!(
                    "[PERMIT_WAIT] {label} permit found (wait={}ms) plan={} by={}",
                    after.as_millis(),
                    plan.id,
                    by.as_str()
                ),
            ),
            Self::StoreTrouble {
                plan,
                error,
                repeated,
            } => (
                if *repeated { Level::Debug } else { Level::Warn },
                format!(
                    "Permit store trouble, asking again: {error} plan={}",
                    plan.id
                ),
            ),
            Self::Granted {
                plan, waited, most, ..
            } => (
                Level::Info,
                format!(
                    "[PERMIT_WAIT] OK plan={} wait_ms={} safe_qty={} symbol={}",
                    plan.id,
                    waited.as_millis(),
                    // Four decimals at least, as in the contract's example; never fewer than there are.
                    most.map_or_else(
                        || "none".into(),
                        |q| format!("{q:.*}", q.scale().max(4) as usize)
                    ),
                    plan.symbol()
                ),
            ),
            Self::InFlight { plan } => (
                Level::Debug,
                format!(
                    "The order may leave plan={} symbol={}",
                    plan.id,
                    plan.symbol()
                ),
            ),
            Self::Blocked {
                plan,
                block,
                reason,
                said,
            } => {
                let mut line = format!("[PERMIT_WAIT] BLOCK plan={} reason={reason}", plan.id);
                for (name, ttl) in block.ttls() {
                    line.push_str(&format!(" {name}_ttl={ttl}"));
                }
                line.push_str(&format!(
                    " symbol={} waited_ms={} detail={:?}",
                    plan.symbol(),
                    block.waited().as_millis(),
                    block.to_string()
                ));
                if let Some(said) = said {
                    line.push_str(&format!(" said={said:?}"));
                }
                (reason.level().into(), line)
            }
            Self::StepStarted { plan, step } => (
                Level::Info,
                format!(
                    "Executing step {step} plan={} symbol={}",
                    plan.id,
                    plan.symbol()
                ),
            ),
            Self::Limited { plan, sizing } => {
                let level = match sizing.is_cut() {
                    true => Level::Warn,
                    false => Level::Info,
                };
                let line = format!(
                    "Close limited: {} of the {} approved are sent plan={} symbol={} limited_by={} held={}",
                    sizing.sent.normalize(),
                    sizing.approved.normalize(),
                    plan.id,
                    plan.symbol(),
                    sizing.limits().as_deref().unwrap_or("nothing"),
                    sizing.held.normalize()
                );
                (level, line)
            }
            Self::StopsAccounted {
                plan,
                symbol,
                stops,
            } => match stops {
                Ok(stops) => {
                    let level = match stops.not_cancelled.is_empty() {
                        true => Level::Info,
                        false => Level::Warn,
                    };
                    let line = format!("After the close: {stops} plan={plan} symbol={symbol}");
                    (level, line)
                }
                Err(error) => (
                    Level::Warn,
                    format!(
                        "After the close: the stops of {symbol} are not accounted for, look at the venue: {error} plan={plan} symbol={symbol}"
                    ),
                ),
            },
            Self::Submitted {
                plan,
                step,
                sizing,
                submission,
                took,
            } => submitted(plan, step, (submission, sizing), *took),
            Self::Settled {
                plan,
                symbol,
                settlement,
            } => settled(plan, symbol, settlement),
            Self::StopReplaced { plan, replacement } => {
                stop_replaced(&plan.id, plan.symbol(), replacement)
            }
            Self::StopSettled {
                plan,
                symbol,
                replacement,
            } => stop_replaced(plan, symbol, replacement),
            Self::AnswerIncomplete { omission } => {
                let of = omission.symbol.as_ref().map_or("none", Symbol::as_str);
                let line = format!(
                    "Answer of the venue is incomplete, logged once: {} symbol={of}",
                    omission.what
                );
                (Level::Warn, line)
            }
            Self::ResultPublished { result } => (Level::Info, result_line(result)),
            Self::PortFailed {
                symbol,
                doing,
                error,
            } => (
                Level::Error,
                format!("Cannot {doing} for {symbol}, trying again: {error}"),
            ),
        }
    }
}

fn submitted(
    plan: &Plan,
    step: &str,
    (submission, sizing): (&Submission, &Sizing),
    took: Duration,
) -> (Level, String) {
    let tail = format!("plan={} step={step} took_us={}", plan.id, took.as_micros());
    match submission {
        Submission::Accepted(fill) => {
            let (level, outcome) = accepted(fill);
            let left_open = sizing.left_open(fill.executed_qty).normalize();
            let line = format!("{outcome} {tail}{} left_open={left_open}", terms(fill));
            (level, line)
        }
        Submission::Rejected { code, message } => (
            Reason::OrderRejected(*code).level().into(),
            format!("Order rejected: {message} {tail} code={code}"),
        ),
        Submission::NotSent { why } => (
            reason::of_not_sent(why, OrderKind::Close).level().into(),
            format!("Order not sent: {why} {tail}"),
        ),
        Submission::Unknown { why, .. } => (
            Level::Warn,
            format!("Order outcome unknown, asking the venue: {why} {tail}"),
        ),
    }
}

fn settled(plan: &PlanId, symbol: &Symbol, settlement: &Settlement) -> (Level, String) {
    let order = client_order_id(plan);
    match settlement {
        Settlement::Accepted(fill) => {
            let (level, outcome) = accepted(fill);
            (
                level.max(Level::Warn),
                format!("{outcome} plan={plan} settled=asked{}", terms(fill)),
            )
        }
        Settlement::NotExecuted { why } => (
            Reason::OrderNotExecuted.level().into(),
            format!("Order of plan {plan} was not executed: {why} order={order} symbol={symbol}"),
        ),
        Settlement::Unresolved { why, seen } => (
            Reason::OrderUnresolved.level().into(),
            format!(
                "Order of plan {plan} is UNRESOLVED, look at the venue: {why} order={order} symbol={symbol}{}",
                seen.as_ref().map(terms).unwrap_or_default()
            ),
        ),
    }
}

fn stop_replaced(plan: &PlanId, symbol: &Symbol, replacement: &StopReplacement) -> (Level, String) {
    match replacement {
        StopReplacement::Placed(stop) => (
            Level::Info,
            format!(
                "Stop {} placed at {} on testnet plan={plan}",
                stop.order_id,
                stop.trigger.normalize(),
            ),
        ),
        StopReplacement::Rejected { code, message } => (
            Reason::StopRejected(*code).level().into(),
            format!("Stop rejected: {message} plan={plan} code={code}"),
        ),
        StopReplacement::NotSent { why } => (
            reason::of_not_sent(why, OrderKind::Stop).level().into(),
            format!("Stop not sent: {why} plan={plan}"),
        ),
        StopReplacement::Unknown { why } => (
            Reason::StopUnresolved.level().into(),
            format!(
                "Stop of plan {plan} is UNRESOLVED, look at the venue: {why} order={} symbol={symbol}",
                client_order_id(plan)
            ),
        ),
    }
}

/// An order that ended without a fill was accepted, not executed.
fn accepted(fill: &Fill) -> (Level, String) {
    let id = &fill.order_id;
    match fill.executed_qty > Decimal::ZERO {
        true => (
            Level::Info,
            format!("Order {id} executed successfully on testnet"),
        ),
        false => (Level::Warn, format!("Order {id} accepted, nothing filled")),
    }
}

fn terms(fill: &Fill) -> String {
    format!(
        " side={} executed_qty={} status={}",
        fill.side,
        fill.executed_qty.normalize(),
        fill.status
    )
}

fn result_line(result: &ApplyResult) -> String {
    let mut line = format!("Result: executed={}", python_bool(result.executed));
    if let Some(profit) = &result.profit {
        line.push_str(&format!(
            ", profit_realized={}",
            profit.realized.normalize()
        ));
    }
    if let Some(error) = &result.error {
        line.push_str(&format!(", error={error}"));
    }
    line.push_str(&format!(
        " plan={} symbol={} decision={}",
        result.plan, result.symbol, result.decision
    ));
    line
}

impl From<apply_wire::Level> for Level {
    fn from(level: apply_wire::Level) -> Self {
        match level {
            apply_wire::Level::Info => Self::Info,
            apply_wire::Level::Warn => Self::Warn,
            apply_wire::Level::Error => Self::Error,
        }
    }
}
