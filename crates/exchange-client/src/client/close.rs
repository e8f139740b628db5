//! Closing a position: prepared while there is time, submitted in one short step when it counts.

use std::fmt::{self, Write as _};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rust_decimal::Decimal;

use super::{Client, Room};
use crate::endpoint::order::{self, OrderReport};
use crate::fields::DecodeError;
use crate::ledger::{Key, SubmissionStatus};
use crate::limits::Purpose;
use crate::names::{ClientOrderId, PositionMode, PositionSide, Side, Symbol};
use crate::outcome::{self, Answer};
use crate::position::{CloseError, Position};
use crate::rules::{Quantity, SymbolRules};
use crate::submission::{
    NotSent, NotSentReason, Rejection, SendWindow, Submission, Unknown, UnknownCause,
};
use crate::time::VenueTime;
use crate::transport::{Lane, Outgoing, SendError};

/// What a closing order is about. Write it down before submitting: it is what [`Client::settle`] needs to find out what
/// became of the order, also in a later life of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseIntent {
    /// The contract.
    pub symbol: Symbol,
    /// The id the order is submitted and asked about by.
    pub client_order_id: ClientOrderId,
    /// Which way it trades.
    pub side: Side,
    /// Which position it closes.
    pub position_side: PositionSide,
    /// The signed size of that position before, base asset; `None` where it is not known, and then an order can never be
    /// proven not executed.
    pub position_before: Option<Decimal>,
}

/// A closing order with everything encoded but its quantity and timestamp. Good for one submission.
#[must_use = "a prepared order closes nothing until it is submitted"]
pub struct PreparedOrder {
    fixed: String,
    intent: CloseIntent,
    held: Decimal,
    rules: Arc<SymbolRules>,
    recv_window: Duration,
    sign_by: Option<VenueTime>,
}

impl PreparedOrder {
    /// What to write down before submitting.
    #[must_use]
    pub fn intent(&self) -> &CloseIntent {
        &self.intent
    }

    /// How long after its signing the venue may take it.
    #[must_use]
    pub fn recv_window(&self) -> Duration {
        self.recv_window
    }

    /// The same order, which is not sent any more once the venue's clock is past `moment`. Whoever writes the order's
    /// window down before it is sent needs this: a process may be stopped for any time between the two.
    pub fn sign_by(mut self, moment: VenueTime) -> Self {
        self.sign_by = Some(moment);
        self
    }
}

impl fmt::Debug for PreparedOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedOrder")
            .field("intent", &self.intent)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Encodes all of a closing order that is known before its quantity is. Sends nothing.
    ///
    /// In one-way mode the order is `reduceOnly`; in hedge mode it names the `positionSide`, which likewise can only make
    /// that position smaller.
    ///
    /// # Errors
    /// [`CloseError`] where the position is flat, does not fit the mode, or the rules are another symbol's.
    pub fn prepare_close(
        &self,
        position: &Position,
        mode: PositionMode,
        rules: &Arc<SymbolRules>,
        client_order_id: ClientOrderId,
    ) -> Result<PreparedOrder, CloseError> {
        if rules.symbol != position.symbol {
            return Err(CloseError::OtherSymbol {
                symbol: position.symbol.clone(),
                rules: rules.symbol.clone(),
            });
        }
        let closing = position.closing(mode)?;
        let recv_window = self.inner.settings.recv_window;
        // Checked to be at most five seconds.
        let window_ms = u64::try_from(recv_window.as_millis()).unwrap_or(u64::MAX);
        Ok(PreparedOrder {
            fixed: order::fixed_part(&position.symbol, &client_order_id, closing, mode, window_ms),
            intent: CloseIntent {
                symbol: position.symbol.clone(),
                client_order_id,
                side: closing.side,
                position_side: closing.position_side,
                position_before: Some(position.amount),
            },
            held: closing.at_most,
            rules: Arc::clone(rules),
            recv_window,
            sign_by: None,
        })
    }

    /// Submits a prepared order: fills in quantity and timestamp, signs, sends one POST, and says how it ended.
    ///
    /// There is never a second POST for the order's id, by this client or a clone of it; the id is used up even where no
    /// connection came about. Nothing is sent where the checks before fail (rules, clock, limits), and then the id stays
    /// free.
    ///
    /// # Cancellation
    /// Dropping the future before its first byte was handed to the connection sends nothing. Dropping it later changes
    /// nothing for the order: the exchange is finished in the background, and [`status`](Self::status) says how it ended.
    /// If the runtime ends first, or the moment of the drop cannot be told apart, the status is
    /// [`Unknown`](Submission::Unknown) and the order has to be settled.
    pub fn submit(&self, order: PreparedOrder, quantity: Quantity) -> Submitting {
        let left = Arc::new(AtomicBool::new(false));
        let client = self.clone();
        let flag = Arc::clone(&left);
        Submitting {
            run: Some(Box::pin(async move {
                client.run_close(order, quantity, flag).await
            })),
            left,
        }
    }

    /// What this client knows of an order it was asked to submit. Answers from memory.
    #[must_use]
    pub fn status(&self, id: &ClientOrderId) -> SubmissionStatus {
        self.inner.ledger.status(id)
    }

    /// How many submissions are under way or ended as unknown and are not settled yet. For metrics and for draining.
    #[must_use]
    pub fn open_submissions(&self) -> usize {
        self.inner.ledger.open()
    }

    async fn run_close(
        &self,
        order: PreparedOrder,
        quantity: Quantity,
        left: Arc<AtomicBool>,
    ) -> Submission {
        if let Err(reason) = check_quantity(&order, quantity) {
            return Submission::not_sent(reason);
        }
        let PreparedOrder {
            fixed: mut text,
            intent,
            recv_window,
            sign_by,
            ..
        } = order;
        // Writing into a String cannot fail.
        let _ = write!(text, "&quantity={quantity}");
        let (symbol, id) = (&intent.symbol, &intent.client_order_id);
        let outgoing = Post {
            path: order::PATH,
            text,
            recv_window,
            sign_by,
            key: Key::Order(id.clone()),
        };
        let ending = self
            .post(outgoing, left, |body| order::decode_for(symbol, id, body))
            .await;
        self.learn_from(&ending);
        tracing::debug!(order = %id, %symbol, %quantity, %ending, "submitted");
        ending
    }

    /// Sends the one POST of an id: room, clock and ledger first, then the bytes, then the judging.
    pub(super) async fn post<R>(
        &self,
        post: Post,
        left: Arc<AtomicBool>,
        decode: impl FnOnce(&[u8]) -> Result<R, DecodeError>,
    ) -> Submission<R>
    where
        Submission<R>: Recorded,
    {
        if !self.clock_is_fresh()
            && let Err(error) = self.ensure_clock().await
        {
            return Submission::not_sent(NotSentReason::ClockUnknown(error.to_string()));
        }
        if let Err(reason) = self.check_drift() {
            return Submission::not_sent(reason);
        }
        // Before the timestamp: whoever has to queue signs afterwards, or too late and not at all.
        let _turn = self.inner.transport.turn(Lane::Orders).await;
        let now = self.now();
        if let Err(wait) = self.limits().admit(Purpose::Order, 0, now) {
            return Submission::not_sent(NotSentReason::Limited(wait));
        }
        let room = Room::taken(self, Purpose::Order, 0);
        let mut text = post.text;
        let stamped = self.stamp(&mut text, None);
        if let Some(sign_by) = post.sign_by.filter(|sign_by| stamped > *sign_by) {
            room.unused();
            return Submission::not_sent(NotSentReason::TooLate {
                by: stamped.since(sign_by),
            });
        }
        let window = SendWindow::at(stamped, post.recv_window);
        if let Err(reason) = self.inner.ledger.begin(&post.key, window) {
            room.unused();
            return Submission::not_sent(reason);
        }
        let mut entry = Entry {
            client: self,
            key: &post.key,
            window,
            ended: false,
        };
        self.inner.credentials.sign(&mut text);
        let signed_from = text.clone();
        let sent = self
            .inner
            .transport
            .send(post.path, Outgoing::Post(text), Lane::Orders, true, left)
            .await;
        let ending = match sent {
            Err(SendError::HostRefused) => Submission::not_sent(NotSentReason::HostRefused),
            Err(SendError::Failed(failure)) => outcome::judge_failure(failure, window),
            Ok(reply) => {
                room.answered(&reply);
                let answer = Answer {
                    status: reply.status,
                    body: &reply.body,
                    broken: reply.broken.clone(),
                };
                let stop = || self.note_stop(&reply).unwrap_or_default();
                let secrets = || self.secrets(&signed_from);
                outcome::judge(&answer, window, secrets, stop, decode)
            }
        };
        entry.ended = true;
        ending.record(self, &post.key);
        ending
    }

    /// A no of the venue may say that something we remember is out of date.
    pub(super) fn learn_from<R>(&self, ending: &Submission<R>) {
        match ending {
            Submission::Rejected(Rejection { code, .. }) => {
                if outcome::is_filter_rejection(*code) {
                    self.outdate_rules();
                }
                if outcome::is_mode_rejection(*code) {
                    self.forget_mode();
                }
            }
            Submission::NotSent(NotSent {
                reason: NotSentReason::TimestampRefused,
                ..
            }) => self.distrust_clock(),
            _ => {}
        }
    }
}

fn check_quantity(order: &PreparedOrder, quantity: Quantity) -> Result<(), NotSentReason> {
    if !order.rules.admits(quantity) {
        // Either the symbol stopped trading since, which the rules can say better, or the quantity is a stranger.
        order.rules.cut_quantity(quantity.get())?;
        return Err(NotSentReason::ForeignQuantity(quantity));
    }
    if quantity.get() > order.held {
        return Err(NotSentReason::LargerThanPosition {
            quantity,
            held: order.held,
        });
    }
    Ok(())
}

/// One POST, but for timestamp and signature.
pub(super) struct Post {
    pub(super) path: &'static str,
    pub(super) text: String,
    pub(super) recv_window: Duration,
    /// Not signed after this moment.
    pub(super) sign_by: Option<VenueTime>,
    pub(super) key: Key,
}

/// Notes an ending in the ledger.
pub(super) trait Recorded {
    fn record(&self, client: &Client, key: &Key);
}

impl Recorded for Submission<OrderReport> {
    fn record(&self, client: &Client, key: &Key) {
        if let Key::Order(id) = key {
            client.inner.ledger.end_order(id, self);
        }
    }
}

/// The ledger entry of a POST under way. Dropped before the end, it leaves the fact that the POST may have happened.
struct Entry<'a> {
    client: &'a Client,
    key: &'a Key,
    window: SendWindow,
    ended: bool,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        match self.key {
            Key::Order(id) => {
                let abandoned = Submission::Unknown(Unknown {
                    cause: UnknownCause::Abandoned,
                    reply: None,
                    window: self.window,
                });
                self.client.inner.ledger.end_order(id, &abandoned);
            }
            Key::Stop(id) => self.client.inner.ledger.end_stop(id, false),
        }
    }
}

/// The future of a submission; see [`Client::submit`] for what dropping it does.
#[must_use = "nothing is sent until it is awaited"]
pub struct Submitting {
    run: Option<Pin<Box<dyn Future<Output = Submission> + Send>>>,
    left: Arc<AtomicBool>,
}

impl Future for Submitting {
    type Output = Submission;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Submission> {
        let Some(run) = self.run.as_mut() else {
            // Polled after its end, which no executor does.
            return Poll::Pending;
        };
        let ending = std::task::ready!(run.as_mut().poll(cx));
        self.run = None;
        Poll::Ready(ending)
    }
}

impl Drop for Submitting {
    fn drop(&mut self) {
        let Some(run) = self.run.take() else { return };
        if self.left.load(Ordering::Acquire)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(run);
        }
    }
}

impl fmt::Debug for Submitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitting")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
