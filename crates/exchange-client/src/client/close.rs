//! Closing a position: prepared while there is time, submitted in one short step when it counts.

use super::{
    Client,
    post::{Post, Recorded, Signed},
};
use crate::{
    endpoint::order::{self, OrderReport},
    last_look::{LastLook, Unasked},
    names::{ClientOrderId, PositionMode},
    outcome,
    position::{CloseError, Position},
    rules::{Quantity, SymbolRules},
    sent::{self, CloseIntent},
    submission::{NotSent, NotSentReason, Rejection, Submission},
    submission_log::{Key, SubmissionStatus},
    time::VenueTime,
};
use std::{
    fmt::{self, Write as _},
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

/// A closing order that was checked in everything but its quantity, and is written out with it: thousands of them may wait,
/// and writing one takes less than a microsecond. Good for one submission.
#[must_use = "a prepared order closes nothing until it is submitted"]
pub struct PreparedOrder {
    intent: CloseIntent,
    mode: PositionMode,
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

    /// The same order, which is not sent any more once the venue's clock is past `moment`. The caller that writes the order's
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
    /// Checks all of a closing order that is known before its quantity is. Sends nothing.
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
        Ok(PreparedOrder {
            mode,
            intent: CloseIntent {
                symbol: position.symbol.clone(),
                client_order_id,
                side: closing.side,
                position_side: closing.position_side,
                position_before: Some(position.amount),
                at_most: Some(closing.at_most),
            },
            rules: Arc::clone(rules),
            recv_window: self.inner.settings.recv_window,
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
    /// If the runtime ends first, or the moment of the drop is not known, the status is
    /// [`Unknown`](Submission::Unknown) and the order has to be settled.
    pub fn submit(&self, order: PreparedOrder, quantity: Quantity) -> Submitting<'static> {
        self.submit_after(order, quantity, &Unasked)
    }

    /// The same, where `look` has a last word once the order has its timestamp: see [`LastLook`]. An order that it
    /// holds back ends as [`NotSent`](Submission::NotSent) with [`NotSentReason::HeldBack`], and its id stays free.
    ///
    /// # Cancellation
    /// As [`submit`](Self::submit). `look` is asked nothing any more once its first byte was handed to the connection.
    pub fn submit_after<'a>(
        &self,
        order: PreparedOrder,
        quantity: Quantity,
        look: &'a impl LastLook,
    ) -> Submitting<'a> {
        let client = self.clone();
        Submitting {
            client: self.clone(),
            stage: Stage::Signing(Box::pin(async move {
                client.sign_close(order, quantity, look).await
            })),
            left: Arc::default(),
        }
    }

    /// What this client knows of an order it was asked to submit. Answers from memory.
    #[must_use]
    pub fn status(&self, id: &ClientOrderId) -> SubmissionStatus {
        self.inner.submissions.status(id)
    }

    /// How many submissions are under way or ended as unknown and are not settled yet. For metrics and for draining.
    #[must_use]
    pub fn open_submissions(&self) -> usize {
        self.inner.submissions.open()
    }

    async fn sign_close(
        &self,
        order: PreparedOrder,
        quantity: Quantity,
        look: &impl LastLook,
    ) -> Result<(CloseIntent, Signed), NotSentReason> {
        check_quantity(&order, quantity)?;
        let PreparedOrder {
            mut intent,
            mode,
            recv_window,
            sign_by,
            ..
        } = order;
        let (symbol, id) = (&intent.symbol, &intent.client_order_id);
        let sides = (intent.side, intent.position_side);
        let mut text = order::fixed_part(symbol, id, sides, mode, recv_window);
        // Writing into a String cannot fail.
        let _ = write!(text, "&quantity={quantity}");
        intent.at_most = Some(quantity.get());
        let post = Post {
            path: order::PATH,
            text,
            recv_window,
            sign_by,
            key: Key::Order(intent.client_order_id.clone()),
        };
        Ok((intent, self.sign(post, look).await?))
    }

    async fn send_close(
        self,
        intent: CloseIntent,
        signed: Signed,
        left: Arc<AtomicBool>,
    ) -> Submission {
        let (symbol, id) = (&intent.symbol, &intent.client_order_id);
        let ending = signed
            .send(left, |body, notes| sent::read_close(&intent, body, notes))
            .await;
        self.learn_from(&ending);
        tracing::debug!(order = %id, %symbol, %ending, "submitted");
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
    let held = order.intent.at_most.unwrap_or_default();
    if quantity.get() > held {
        return Err(NotSentReason::LargerThanPosition { quantity, held });
    }
    Ok(())
}

impl Recorded for Submission<OrderReport> {
    fn record(&self, client: &Client, key: &Key) {
        if let Key::Order(id) = key {
            client.inner.submissions.end_order(id, self);
        }
    }
}

/// The future of a submission; see [`Client::submit`] for what dropping it does.
#[must_use = "nothing is sent until it is awaited"]
pub struct Submitting<'a> {
    client: Client,
    stage: Stage<'a>,
    left: Arc<AtomicBool>,
}

enum Stage<'a> {
    /// Nothing can have left.
    Signing(Boxed<'a, Result<(CloseIntent, Signed), NotSentReason>>),
    Sending(Boxed<'static, Submission>),
    Over,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Future for Submitting<'_> {
    type Output = Submission;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Submission> {
        let this = &mut *self;
        if let Stage::Signing(signing) = &mut this.stage {
            match std::task::ready!(signing.as_mut().poll(cx)) {
                Ok((intent, signed)) => {
                    let (client, left) = (this.client.clone(), Arc::clone(&this.left));
                    let sending = client.send_close(intent, signed, left);
                    this.stage = Stage::Sending(Box::pin(sending));
                }
                Err(reason) => {
                    this.stage = Stage::Over;
                    let ending = Submission::not_sent(reason);
                    tracing::debug!(%ending, "submitted nothing");
                    return Poll::Ready(ending);
                }
            }
        }
        let Stage::Sending(sending) = &mut this.stage else {
            // Polled after its end, which no executor does.
            return Poll::Pending;
        };
        let ending = std::task::ready!(sending.as_mut().poll(cx));
        this.stage = Stage::Over;
        Poll::Ready(ending)
    }
}

impl Drop for Submitting<'_> {
    fn drop(&mut self) {
        if let Stage::Sending(sending) = mem::replace(&mut self.stage, Stage::Over)
            && self.left.load(Ordering::Acquire)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(sending);
        }
    }
}

impl fmt::Debug for Submitting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitting")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
