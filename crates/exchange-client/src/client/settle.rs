//! Finding out what became of an order whose answer never came. By asking; nothing here sends an order.
//!
//! ```text
//!  ask by our id ──found──▶ wait until it is final ──▶ Filled / NotExecuted::Ended
//!       │ -2013
//!  wait until the order can no longer land
//!  ask again ───────found──▶ (the same)
//!       │ -2013
//!  look for fills nobody else accounts for ──ours──▶ (the same)
//!       │ none
//!  compare the position ──unchanged──▶ NotExecuted::NeverArrived
//!       └─ anything missing, moved or unanswered ──▶ Unresolved
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use rust_decimal::Decimal;
use tokio::time::Instant;

use super::Client;
use crate::endpoint::order::OrderReport;
use crate::endpoint::trades::PAGE;
use crate::error::RequestError;
use crate::fields::DecodeError;
use crate::names::PositionSide;
use crate::sent::{self, CloseIntent};
use crate::submission::{SendWindow, Submission};
use crate::time::VenueTime;

/// What asking found out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an unresolved order has to be shown to a person"]
pub enum Settlement {
    /// It was executed, in whole or in part: the report is final and says how much.
    Filled(OrderReport),
    /// It was not executed, and there is the full evidence for that.
    NotExecuted(NotExecuted),
    /// It cannot be said. A person has to look.
    Unresolved(Unresolved),
}

/// Why an order counts as not executed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotExecuted {
    /// The venue knows it and it ended without a fill.
    Ended(OrderReport),
    /// The venue never took it in.
    NeverArrived(Evidence),
}

/// Everything that has to be true before an order counts as never arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// When the venue first said that it does not know the id.
    pub first_absent: VenueTime,
    /// When it said so again, after the order could no longer land.
    pub again_absent: VenueTime,
    /// How many fills of the symbol since the order was sent were looked at; each belongs to another order.
    pub foreign_fills: usize,
    /// The position, unchanged since before the order: signed, base asset.
    pub position: Decimal,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the venue denied it at {} and at {}, the {} fills since belong to other orders, and the position is {} as before",
            self.first_absent, self.again_absent, self.foreign_fills, self.position
        )
    }
}

impl fmt::Display for NotExecuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(report) => write!(
                f,
                "order {} ended {} without a fill",
                report.order_id, report.status
            ),
            Self::NeverArrived(evidence) => write!(f, "it never arrived: {evidence}"),
        }
    }
}

/// Why it cannot be said what became of an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// The venue knows the order and it has not ended.
    #[error("the order is still {} at the venue", .0.status)]
    StillOpen(OrderReport),
    /// The venue does not know the id, but there are more fills than can be told apart.
    #[error(
        "the venue does not know the order, but there are too many fills to tell whose they are"
    )]
    TooManyFills,
    /// The venue does not know the id, but a fill belongs to an order it does not show.
    #[error(
        "the venue does not know the order, but shows a fill of order {0} without showing that order"
    )]
    FillWithoutOrder(u64),
    /// The venue does not know the id, but the position moved.
    #[error("the venue does not know the order, but the position went from {before} to {now}")]
    PositionMoved {
        /// Before the order, signed, base asset.
        before: Decimal,
        /// Now.
        now: Decimal,
    },
    /// The position before the order is not known, so it cannot be compared.
    #[error("the venue does not know the order, and the position before it was not written down")]
    NothingToCompare,
    /// The venue says something about it that contradicts what was sent, and goes on saying so.
    #[error("the venue's answer contradicts what was sent: {0}")]
    Contradicted(DecodeError),
    /// The venue could not be asked in time.
    #[error("the venue could not be asked: {0}")]
    NoAnswer(RequestError),
}

/// How long a question waits before it is asked again, the first time; each further wait is half as long again.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest such wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long after the first absence the second question comes at the earliest.
pub(super) const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);
/// So long after an order could last land, more waiting between the two questions finds nothing out: what the venue shows
/// late it shows within seconds.
pub(super) const LONG_PAST: Duration = Duration::from_secs(30);
/// How many foreign orders are looked up before giving up.
const MOST_ORDERS: usize = 20;
/// How much earlier than its timestamp a fill of the order could be dated; the venue's clocks are not one clock.
const CLOCK_SPREAD: Duration = Duration::from_secs(1);

impl Client {
    /// Finds out what became of an order that ended as unknown (or that a former life of the program may have sent).
    ///
    /// `window` is when it was sent: from [`Unknown::window`](crate::Unknown), or from the journal. `patience` is how long to
    /// go on asking after the order could no longer land (its timestamp, plus the receive window, plus [`LANDING_SLACK`](crate::LANDING_SLACK)). So the
    /// whole takes at most that time plus `patience` plus one reply. An order whose window has been over for half a minute
    /// is asked about without any wait. Sends no order.
    ///
    /// # Cancellation
    /// Dropping the future stops the asking; asking again later is always safe and may be more conclusive.
    pub async fn settle(
        &self,
        intent: &CloseIntent,
        window: SendWindow,
        patience: Duration,
    ) -> Settlement {
        let settlement = match self.investigate(intent, window, patience).await {
            Ok(settlement) => settlement,
            Err(unresolved) => Settlement::Unresolved(unresolved),
        };
        match &settlement {
            Settlement::Filled(report) | Settlement::NotExecuted(NotExecuted::Ended(report)) => {
                let ending = Submission::Accepted(report.clone());
                self.inner
                    .ledger
                    .end_order(&intent.client_order_id, &ending);
            }
            Settlement::NotExecuted(NotExecuted::NeverArrived(_)) => {
                self.inner.ledger.settle(&intent.client_order_id)
            }
            Settlement::Unresolved(why) => {
                tracing::debug!(order = %intent.client_order_id, symbol = %intent.symbol, %why, "order unresolved");
            }
        }
        settlement
    }

    async fn investigate(
        &self,
        intent: &CloseIntent,
        window: SendWindow,
        patience: Duration,
    ) -> Result<Settlement, Unresolved> {
        let until_closed = window.closes().since(self.server_time());
        let give_up = Instant::now() + until_closed + patience;
        if let Some(report) = self.ask_until_answered(intent, give_up).await? {
            return self.await_final(intent, report, give_up).await;
        }
        let first_absent = self.server_time();
        if first_absent < window.closes().plus(LONG_PAST) {
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
            self.sleep_until_venue(window.closes()).await;
        }
        if let Some(report) = self.ask_until_answered(intent, give_up).await? {
            return self.await_final(intent, report, give_up).await;
        }
        let again_absent = self.server_time();
        let foreign_fills = match self.look_for_fills(intent, window, give_up).await? {
            Fills::Foreign(count) => count,
            Fills::Ours(report) => return self.await_final(intent, report, give_up).await,
        };
        let before = intent.position_before.ok_or(Unresolved::NothingToCompare)?;
        let position = self.position_now(intent, give_up).await?;
        if position != before {
            return Err(Unresolved::PositionMoved {
                before,
                now: position,
            });
        }
        Ok(Settlement::NotExecuted(NotExecuted::NeverArrived(
            Evidence {
                first_absent,
                again_absent,
                foreign_fills,
                position,
            },
        )))
    }

    async fn ask_until_answered(
        &self,
        intent: &CloseIntent,
        give_up: Instant,
    ) -> Result<Option<OrderReport>, Unresolved> {
        self.persist(give_up, || self.fetch_close(intent)).await
    }

    /// Follows a known order to its end.
    async fn await_final(
        &self,
        intent: &CloseIntent,
        mut report: OrderReport,
        give_up: Instant,
    ) -> Result<Settlement, Unresolved> {
        let mut pause = PAUSE;
        while !has_ended(&report) {
            if Instant::now() + pause > give_up {
                return Err(Unresolved::StillOpen(report));
            }
            tokio::time::sleep(pause).await;
            pause = longer(pause);
            // An order the venue showed once and then denies is still the one it showed.
            if let Some(newer) = self.ask_until_answered(intent, give_up).await? {
                report = newer;
            }
        }
        Ok(if report.executed_quantity.is_zero() {
            Settlement::NotExecuted(NotExecuted::Ended(report))
        } else {
            Settlement::Filled(report)
        })
    }

    /// Looks at every fill of our kind since the order was sent and asks whose it is.
    async fn look_for_fills(
        &self,
        intent: &CloseIntent,
        window: SendWindow,
        give_up: Instant,
    ) -> Result<Fills, Unresolved> {
        let start = window.not_before.minus(CLOCK_SPREAD);
        let trades = self
            .persist(give_up, || self.fetch_trades_since(&intent.symbol, start))
            .await?;
        if trades.len() >= PAGE {
            return Err(Unresolved::TooManyFills);
        }
        let ours = |side| side == intent.position_side;
        let alike: Vec<_> = trades
            .iter()
            .filter(|trade| trade.side == intent.side && trade.position_side.is_none_or(ours))
            .collect();
        let orders: BTreeSet<u64> = alike.iter().map(|trade| trade.order_id).collect();
        if orders.len() > MOST_ORDERS {
            return Err(Unresolved::TooManyFills);
        }
        for order_id in orders {
            let found = self
                .persist(give_up, || {
                    self.fetch_order_by_number(&intent.symbol, order_id)
                })
                .await?;
            match found {
                Some(report) if report.client_order_id == intent.client_order_id => {
                    sent::agrees_with_close(intent, &report).map_err(Unresolved::Contradicted)?;
                    return Ok(Fills::Ours(report));
                }
                Some(_) => {}
                None => return Err(Unresolved::FillWithoutOrder(order_id)),
            }
        }
        Ok(Fills::Foreign(alike.len()))
    }

    async fn position_now(
        &self,
        intent: &CloseIntent,
        give_up: Instant,
    ) -> Result<Decimal, Unresolved> {
        let positions = self
            .persist(give_up, || self.settle_positions(&intent.symbol))
            .await?;
        let same = |side| side == intent.position_side || side == PositionSide::Both;
        let amounts = positions.iter().filter(|position| same(position.side));
        Ok(amounts
            .map(|position| position.amount)
            .sum::<Decimal>()
            .normalize())
    }

    /// Asks until there is an answer or the time is up.
    pub(super) async fn persist<T, F>(
        &self,
        give_up: Instant,
        ask: impl Fn() -> F,
    ) -> Result<T, Unresolved>
    where
        F: Future<Output = Result<T, RequestError>>,
    {
        let mut wait = PAUSE;
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = match &error {
                RequestError::Limited(left) | RequestError::Stopped { left, .. } => {
                    PAUSE.max(*left)
                }
                _ => wait,
            };
            wait = longer(wait);
            if Instant::now() + pause > give_up {
                return Err(match error {
                    RequestError::Unreadable { error, .. } if error.is_contradiction() => {
                        Unresolved::Contradicted(error)
                    }
                    other => Unresolved::NoAnswer(other),
                });
            }
            tracing::debug!(%error, "asking about an order again");
            tokio::time::sleep(pause).await;
        }
    }

    pub(super) async fn sleep_until_venue(&self, moment: VenueTime) {
        loop {
            let left = moment.since(self.server_time());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// Nothing more can happen to it: the venue says so, or all of it has filled, whatever word stands beside it.
fn has_ended(report: &OrderReport) -> bool {
    let filled = !report.executed_quantity.is_zero()
        && report.original_quantity == Some(report.executed_quantity);
    report.status.is_final() || filled
}

fn longer(pause: Duration) -> Duration {
    (pause + pause / 2).min(LONGEST_PAUSE)
}

enum Fills {
    Ours(OrderReport),
    Foreign(usize),
}
