//! Finding out what became of an order whose answer never came. By asking; nothing here sends an order.
//!
//! ```text
//!  ask by our id ──found──▶ wait until it is final ──▶ Filled / NotExecuted::Ended
//!       │ -2013
//!  wait until the order can no longer land
//!  ask again ───────found──▶ (the same)
//!       │ -2013
//!  look for fills that no other order explains ──ours──▶ (the same)
//!       │ none
//!  compare the position ──unchanged──▶ NotExecuted::NeverArrived
//!       └─ anything missing, moved or unanswered ──▶ Unresolved
//! ```

use super::Client;
use crate::{
    endpoint::{order::OrderReport, stop::StopReport, trades::PAGE},
    error::RequestError,
    fields::DecodeError,
    names::PositionSide,
    sent::{self, CloseIntent},
    submission::{SendWindow, Submission},
    time::VenueTime,
};
use rust_decimal::Decimal;
use std::{collections::BTreeSet, fmt, time::Duration};
use tokio::time::Instant;

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
                report.order_id,
                report.status_word()
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
    #[error("the order is still {} at the venue, {} of it filled", .0.status_word(), .0.executed_quantity)]
    StillOpen(Box<OrderReport>),
    /// The venue showed the order, which had not ended, and could not be asked any more.
    #[error("the order was {} at the venue, {} of it filled; later questions failed: {error}", .report.status_word(), .report.executed_quantity)]
    LostSight {
        /// The order as it was shown last.
        report: Box<OrderReport>,
        /// Why there was no later answer.
        error: Box<RequestError>,
    },
    /// The venue does not know the id, but there are more fills than can be distinguished.
    #[error(
        "the venue does not know the order, and the position has too many fills to attribute them"
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
    #[error("the venue does not know the order, and the journal holds no position from before it")]
    NothingToCompare,
    /// The venue confirmed the stop, and does not show it.
    #[error("the venue confirmed the stop and does not show it")]
    ShownAndDenied,
    /// The venue shows the stop with a word for where it stands that no document has.
    #[error("stop {} is {} at the venue, which no document explains", .0.algo_id, .0.status_word())]
    StopNotUnderstood(Box<StopReport>),
    /// The venue says something about it that contradicts what was sent, and goes on saying so.
    #[error("the venue's answer contradicts what was sent: {0}")]
    Contradicted(DecodeError),
    /// The venue could not be asked in time.
    #[error("the venue could not be asked: {0}")]
    NoAnswer(RequestError),
}

impl Unresolved {
    /// The order as the venue last showed it, where it did: how much of it has filled for certain.
    #[must_use]
    pub fn last_seen(&self) -> Option<&OrderReport> {
        match self {
            Self::StillOpen(report) => Some(report),
            Self::LostSight { report, .. } => Some(report),
            _ => None,
        }
    }

    /// The answer that was none.
    pub(super) fn answer(&self) -> Option<&RequestError> {
        match self {
            Self::NoAnswer(error) => Some(error),
            Self::LostSight { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<RequestError> for Unresolved {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Unreadable { error, .. } if error.is_contradiction() => {
                Self::Contradicted(error)
            }
            other => Self::NoAnswer(other),
        }
    }
}

/// How long asking goes on after the order could no longer land. The caller decides it, and no other layer asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleDeadlines {
    /// While the venue does not answer.
    pub silent: Duration,
    /// While it answers, and shows the order as open or says things that do not fit together.
    pub answering: Duration,
}

/// The same for both.
impl From<Duration> for SettleDeadlines {
    fn from(both: Duration) -> Self {
        Self {
            silent: both,
            answering: both,
        }
    }
}

impl SettleDeadlines {
    fn with(self, unresolved: &Unresolved) -> Duration {
        match unresolved {
            Unresolved::NoAnswer(_) | Unresolved::LostSight { .. } => self.silent,
            _ => self.answering,
        }
    }
}

/// How long a round of questions waits before the next one, the first time; each further wait is half as long again.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest such wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long after the first absence the second question comes at the earliest.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);
/// So long after an order could last land, more waiting between the two questions finds nothing out: what the venue shows
/// late it shows within seconds.
const LONG_PAST: Duration = Duration::from_secs(30);
/// How many foreign orders are looked up before giving up.
const MOST_ORDERS: usize = 20;
/// How much earlier than its timestamp a fill of the order could be dated; the venue's clocks are not one clock.
const CLOCK_SPREAD: Duration = Duration::from_secs(1);

/// What one order's questions have found out so far.
struct Inquiry<'a> {
    intent: &'a CloseIntent,
    window: SendWindow,
    absent: Absence,
    /// The order as the venue last showed it.
    seen: Option<OrderReport>,
}

/// When the venue first said that it does not know an id.
#[derive(Default)]
pub(super) struct Absence(Option<(VenueTime, Instant)>);

impl Absence {
    /// Notes one.
    pub(super) fn note(&mut self, client: &Client) {
        let now = (client.server_time(), Instant::now());
        self.0.get_or_insert(now);
    }

    pub(super) fn first(&self) -> Option<VenueTime> {
        self.0.map(|(at, _)| at)
    }

    /// Waits until a second absence proves what the first one could not: the order can no longer land, and the venue has
    /// had time to come to know it.
    pub(super) async fn until_again(&self, client: &Client, window: SendWindow) {
        let Some((first, at)) = self.0 else { return };
        if first < window.closes().plus(LONG_PAST) {
            tokio::time::sleep_until(at + BETWEEN_QUESTIONS).await;
            client.sleep_until_venue(window.closes()).await;
        }
    }
}

impl Client {
    /// Finds out what became of an order that ended as unknown (or that a former process of the program may have sent).
    ///
    /// `window` is when it was sent: from [`Unknown::window`](crate::Unknown), or from the journal. `patience` is how long to
    /// go on asking after the order could no longer land (its timestamp, plus the receive window, plus [`LANDING_SLACK`](crate::LANDING_SLACK)). So the
    /// whole takes at most that time plus `patience` plus one reply. The pauses between the questions grow to ten seconds. An
    /// order whose window has been over for half a minute is asked about without any wait. Sends no order.
    ///
    /// # Cancellation
    /// Dropping the future stops the asking; asking again later is always safe and may be more conclusive.
    pub async fn settle(
        &self,
        intent: &CloseIntent,
        window: SendWindow,
        patience: impl Into<SettleDeadlines>,
    ) -> Settlement {
        let mut inquiry = Inquiry {
            intent,
            window,
            absent: Absence::default(),
            seen: None,
        };
        let mut rounds = self.rounds(window, patience.into());
        let mut asker = self.clone();
        let settlement = loop {
            match asker.inquire(&mut inquiry).await {
                Ok(settlement) => break settlement,
                Err(why) if rounds.next(&why).await => {
                    if why.answer().is_some() {
                        asker = self.freshly();
                    }
                }
                Err(why) => break Settlement::Unresolved(why),
            }
        };
        match &settlement {
            Settlement::Filled(report) | Settlement::NotExecuted(NotExecuted::Ended(report)) => {
                let ending = Submission::Accepted(report.clone());
                self.inner
                    .submissions
                    .end_order(&intent.client_order_id, &ending);
            }
            Settlement::NotExecuted(NotExecuted::NeverArrived(_)) => {
                self.inner.submissions.settle(&intent.client_order_id)
            }
            Settlement::Unresolved(why) => {
                tracing::debug!(order = %intent.client_order_id, symbol = %intent.symbol, %why, "order unresolved");
            }
        }
        settlement
    }

    /// The rounds of questions about something that could land until `window` is over.
    pub(super) fn rounds(&self, window: SendWindow, patience: SettleDeadlines) -> Rounds {
        Rounds {
            over: Instant::now() + window.closes().since(self.server_time()),
            patience,
            pause: PAUSE,
        }
    }

    /// One round of questions, from the first to the one that settles it.
    async fn inquire(&self, inquiry: &mut Inquiry<'_>) -> Result<Settlement, Unresolved> {
        match self.inquire_once(inquiry).await {
            Err(Unresolved::NoAnswer(error)) => Err(match inquiry.seen.clone() {
                Some(report) => Unresolved::LostSight {
                    report: Box::new(report),
                    error: Box::new(error),
                },
                None => Unresolved::NoAnswer(error),
            }),
            other => other,
        }
    }

    async fn inquire_once(&self, inquiry: &mut Inquiry<'_>) -> Result<Settlement, Unresolved> {
        let (intent, window) = (inquiry.intent, inquiry.window);
        if inquiry.absent.first().is_none() {
            if let Some(report) = self.fetch_close(intent).await? {
                return shown(inquiry, report);
            }
            // An order the venue showed once and then denies is still the one it showed.
            if let Some(seen) = &inquiry.seen {
                return Err(Unresolved::StillOpen(Box::new(seen.clone())));
            }
            inquiry.absent.note(self);
        }
        inquiry.absent.until_again(self, window).await;
        if let Some(report) = self.fetch_close(intent).await? {
            return shown(inquiry, report);
        }
        if let Some(seen) = &inquiry.seen {
            return Err(Unresolved::StillOpen(Box::new(seen.clone())));
        }
        let again_absent = self.server_time();
        let foreign_fills = match self.look_for_fills(intent, window).await? {
            Fills::Foreign(count) => count,
            Fills::Ours(report) => return shown(inquiry, report),
        };
        let before = intent.position_before.ok_or(Unresolved::NothingToCompare)?;
        let position = self.position_now(intent).await?;
        if position != before {
            return Err(Unresolved::PositionMoved {
                before,
                now: position,
            });
        }
        Ok(Settlement::NotExecuted(NotExecuted::NeverArrived(
            Evidence {
                first_absent: inquiry.absent.first().unwrap_or(again_absent),
                again_absent,
                foreign_fills,
                position,
            },
        )))
    }

    /// Looks at every fill of our kind since the order was sent and asks whose it is.
    async fn look_for_fills(
        &self,
        intent: &CloseIntent,
        window: SendWindow,
    ) -> Result<Fills, Unresolved> {
        let start = window.not_before.minus(CLOCK_SPREAD);
        let trades = self.fetch_trades_since(&intent.symbol, start).await?;
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
            let found = self.fetch_order_by_number(&intent.symbol, order_id).await?;
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

    async fn position_now(&self, intent: &CloseIntent) -> Result<Decimal, Unresolved> {
        let positions = self.settle_positions(&intent.symbol).await?;
        let same = |side| side == intent.position_side || side == PositionSide::Both;
        let amounts = positions.iter().filter(|position| same(position.side));
        Ok(amounts
            .map(|position| position.amount)
            .sum::<Decimal>()
            .normalize())
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

/// Rounds of questions, with pauses that grow.
pub(super) struct Rounds {
    /// When what is asked about can no longer land.
    over: Instant,
    patience: SettleDeadlines,
    pause: Duration,
}

impl Rounds {
    /// Waits before the next round; false where there is none.
    pub(super) async fn next(&mut self, why: &Unresolved) -> bool {
        let pause = match why.answer() {
            Some(RequestError::Limited(left) | RequestError::Stopped { left, .. }) => {
                self.pause.max(*left)
            }
            _ => self.pause,
        };
        if Instant::now() + pause > self.over + self.patience.with(why) {
            return false;
        }
        tracing::debug!(%why, ?pause, "asking again");
        self.pause = longer(self.pause);
        tokio::time::sleep(pause).await;
        true
    }
}

/// An order that the venue shows: settled where it has ended.
fn shown(inquiry: &mut Inquiry<'_>, report: OrderReport) -> Result<Settlement, Unresolved> {
    if !report.has_ended() {
        inquiry.seen = Some(report.clone());
        return Err(Unresolved::StillOpen(Box::new(report)));
    }
    Ok(if report.executed_quantity.is_zero() {
        Settlement::NotExecuted(NotExecuted::Ended(report))
    } else {
        Settlement::Filled(report)
    })
}

fn longer(pause: Duration) -> Duration {
    (pause + pause / 2).min(LONGEST_PAUSE)
}

enum Fills {
    Ours(OrderReport),
    Foreign(usize),
}
