//! The venue, as the core sees it: four endings, exact decimals, no second order.

pub use crate::order::{Fill, OrderTrace, Position, Profit, QuantityRules, Side, StopPlaced};

use crate::{
    last_look::{HeldBack, LastLook},
    order::OrderKind,
    sizing::{ApprovedClose, ApprovedStop, Armed},
    symbol::Symbol,
};
use permit_gate::PlanId;
use rust_decimal::Decimal;
use std::{fmt, future::Future, time::Instant};

/// What the venue has for a plan that no order of this process has left for.
#[derive(Debug)]
pub enum Prepared<D> {
    /// It shows no order of the plan; here is the position, flat or not.
    Fresh(Position<D>),
    /// It has an order of the plan already, from whomever: there must not be another. Here is what
    /// to ask with what became of it.
    Ordered(OrderTrace),
}

/// How a submission ended. Exactly four ways; the fourth is not a failure but a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    /// The venue took the order.
    Accepted(Fill),
    /// The venue refused it; it was not executed.
    Rejected {
        /// The venue's code: -2022.
        code: i64,
        /// The venue's words.
        message: String,
    },
    /// It never reached the venue's books.
    NotSent {
        /// Why.
        why: NotSent,
    },
    /// It may or may not have been executed, or not have ended yet: ask, never send again.
    Unknown {
        /// What was seen.
        why: String,
        /// What to ask with.
        trace: OrderTrace,
    },
}

impl Submission {
    /// Whether the venue answered and said what became of the order.
    pub fn is_answered(&self) -> bool {
        matches!(self, Self::Accepted(_) | Self::Rejected { .. })
    }
}

/// Why something was not sent. Nothing of it is in the venue's books.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The last look held it back.
    #[error(transparent)]
    HeldBack(#[from] HeldBack),
    /// It could not be sent, or the venue says that it did not take it in: why, in a sentence.
    #[error("{0}")]
    Failed(String),
}

/// How an unknown submission was settled by asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The venue has it.
    Accepted(Fill),
    /// Full evidence that it was not executed.
    NotExecuted {
        /// The evidence, in a sentence.
        why: String,
    },
    /// No proof either way: a person has to look.
    Unresolved {
        /// What is known.
        why: String,
        /// The order as the venue last showed it, where it did: it had not ended, and this much of it had filled.
        seen: Option<Fill>,
    },
}

impl Settlement {
    /// The same with what was seen when the order was submitted, where the order cannot speak for itself.
    #[must_use]
    pub fn after(self, seen: Option<&str>) -> Self {
        let Some(seen) = seen else {
            return self;
        };
        match self {
            Self::Accepted(fill) => Self::Accepted(fill),
            Self::NotExecuted { why } => Self::NotExecuted {
                why: format!("{why}; {seen}"),
            },
            Self::Unresolved { why, seen: last } => Self::Unresolved {
                why: format!("{why}; {seen}"),
                seen: last,
            },
        }
    }
}

/// How replacing a stop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReplacement {
    /// The new stop stands.
    Placed(StopPlaced),
    /// The venue refused it; the old stop stands.
    Rejected {
        /// The venue's code.
        code: i64,
        /// The venue's words.
        message: String,
    },
    /// It never reached the venue; the old stop stands.
    NotSent {
        /// Why.
        why: NotSent,
    },
    /// It may or may not stand; the old stop was left in place.
    Unknown {
        /// What is known.
        why: String,
    },
}

/// What became of this program's own stops after a close.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopsAfterClose {
    /// How much of the position they guarded is still open, in base units; `None` where there was no stop and the venue was not asked.
    pub open: Option<Decimal>,
    /// Stops that were cancelled: nothing is left for them to guard.
    pub cancelled: Vec<String>,
    /// Stops that should be gone and could not be cancelled: each with the venue's words.
    pub not_cancelled: Vec<(String, String)>,
    /// Stops over more than is left of the position: id and quantity. The venue lowers them to what is there.
    pub larger_than_position: Vec<(String, Decimal)>,
}

impl StopsAfterClose {
    /// Whether there is nothing to say.
    pub fn is_nothing(&self) -> bool {
        self.cancelled.is_empty()
            && self.not_cancelled.is_empty()
            && self.larger_than_position.is_empty()
    }
}

/// In one sentence, for people; nothing where there is nothing to say.
impl fmt::Display for StopsAfterClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.cancelled.is_empty() {
            parts.push(format!("stops cancelled: {}", self.cancelled.join(", ")));
        }
        if !self.not_cancelled.is_empty() {
            let named = |(id, why): &(String, String)| format!("{id} ({why})");
            let all: Vec<String> = self.not_cancelled.iter().map(named).collect();
            parts.push(format!(
                "stops without a position, not cancelled: {}",
                all.join(", ")
            ));
        }
        if !self.larger_than_position.is_empty() {
            let named = |(id, over): &(String, Decimal)| format!("{id} over {}", over.normalize());
            let all: Vec<String> = self.larger_than_position.iter().map(named).collect();
            parts.push(format!(
                "stops over more than the {} left: {}",
                self.open.unwrap_or_default().normalize(),
                all.join(", ")
            ));
        }
        f.write_str(&parts.join("; "))
    }
}

/// The venue.
pub trait Exchange: Send + Sync {
    /// What [`Exchange::prepare`] lays out for one plan.
    type OrderContext: QuantityRules;

    /// Whether the venue has an order of the plan already, and if not, the symbol's live position and
    /// everything the order will need: rules, clock offset, a warm connection, the fixed part of the
    /// request. Called while the permits are awaited, so that nothing slow is left for after the
    /// grant. Sends no order; safe to drop.
    ///
    /// The question is the fence between machines: each has a journal of its own, and a store that
    /// lost its claims hands a plan out to the next one. Where it has no answer, the error says so
    /// and no order follows.
    ///
    /// What is laid out must not be signed later than `sign_by`, whatever happens to this process
    /// in between: what became of the order is asked about after a window that ends then.
    fn prepare(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        sign_by: Instant,
    ) -> impl Future<Output = Result<Prepared<Self::OrderContext>, ExchangeError>> + Send;

    /// What the order in this context could be asked about with, were it sent: to be written down
    /// before it is. `None` where there is no position and hence no order. Computes only.
    fn trace(&self, context: &Self::OrderContext) -> Option<OrderTrace>;

    /// Places the order, once: at most one POST for a plan, whatever happens. Dropping the future
    /// does not take back what may have left.
    ///
    /// Everything that may have to wait comes first: a turn, room under the venue's limits. Then the
    /// order gets its timestamp, then `look` is asked, and after [`Look::Go`](crate::Look::Go) it is
    /// signed and sent with no await in between. A timestamp that `look` finds too late is thrown away:
    /// `look` asks again, and the order gets a new one.
    fn submit_close(
        &self,
        order: Armed<ApprovedClose>,
        context: Self::OrderContext,
        look: &impl LastLook,
    ) -> impl Future<Output = Submission> + Send;

    /// Asks what became of a plan's order, for as long as the venue may still come to know it or
    /// answer. Never sends one; safe to drop and to repeat.
    fn settle(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        trace: &OrderTrace,
    ) -> impl Future<Output = Settlement> + Send;

    /// Whether the venue has the order, or the stop, of a plan, from whomever: `None` where it says that
    /// it has none. Here is what to ask with what became of it otherwise. Sends no order; safe to drop and
    /// to repeat.
    ///
    /// An answer counts for what could still land when it was asked: the caller waits for that first.
    fn look_for(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        order: OrderKind,
    ) -> impl Future<Output = Result<Option<OrderTrace>, ExchangeError>> + Send;

    /// What the order earned; `None` where the venue does not show its trades yet.
    fn fetch_profit(
        &self,
        symbol: &Symbol,
        fill: &Fill,
    ) -> impl Future<Output = Result<Option<Profit>, ExchangeError>> + Send;

    /// Accounts for this program's own stops of a symbol after an order on this side has closed a position, or a part of
    /// it: where nothing is left to guard they are cancelled, else those over more than is left are named. Stops of
    /// others stay as they are. Places nothing; safe to drop and to repeat.
    fn account_for_stops(
        &self,
        symbol: &Symbol,
        side: Side,
    ) -> impl Future<Output = Result<StopsAfterClose, ExchangeError>> + Send;

    /// Replaces the symbol's protective stop: places the new one over [`ApprovedStop::quantity`],
    /// confirms it, then cancels the old, so that the position is never bare and never guarded less
    /// than before. A new one whose placing has no clear end is asked about, never sent again, before
    /// this answers. `look` is asked about the new one, as in [`Exchange::submit_close`].
    fn replace_stop(
        &self,
        stop: Armed<ApprovedStop>,
        context: Self::OrderContext,
        look: &impl LastLook,
    ) -> impl Future<Output = StopReplacement> + Send;

    /// Asks what became of a plan's stop. Never places or cancels one; safe to drop and to repeat.
    fn settle_stop(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        trace: &OrderTrace,
    ) -> impl Future<Output = StopReplacement> + Send;

    /// What was left out of the venue's answers and not handed out yet: each kind once a symbol, however often it comes.
    fn take_omissions(&self) -> Vec<Omission> {
        Vec::new()
    }
}

/// A part of an answer of the venue that was left out: it cannot be read or is about something else, and nothing is
/// decided by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    /// Whose part it is, where it belongs to a symbol that was asked about.
    pub symbol: Option<Symbol>,
    /// Which answer, which part, and what is wrong with it: half a sentence with the venue's words in it.
    pub what: String,
}

/// The venue could not be asked, or its answer not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// No answer, or a refusal to answer now.
    #[error("the venue is unavailable: {0}")]
    Unavailable(String),
    /// Account or symbol are not fit for this order; trying again will not help.
    #[error("{0}")]
    Unfit(String),
    /// The venue does not list the symbol.
    #[error("the venue does not list {0}")]
    NotListed(Symbol),
    /// The venue lists the symbol and takes no orders on it now.
    #[error("{symbol} is not open for trading: the venue says {status}")]
    NotTrading {
        /// The symbol.
        symbol: Symbol,
        /// The venue's word: `SETTLING`.
        status: String,
    },
    /// There are no keys to trade with.
    #[error("no venue credentials are configured")]
    NoCredentials,
}
