//! Protective stops: placed, asked about, cancelled, and replaced so that the position is never without one.

use super::{
    Client, Question, Verb,
    account::absent_on,
    post::{Post, Recorded},
};
use crate::{
    endpoint::{
        Form,
        stop::{self, StopReport},
    },
    error::RequestError,
    last_look::{LastLook, Unasked},
    limits::Purpose,
    names::{ClientAlgoId, PositionMode, StopStatus, Symbol, WorkingType},
    position::{CloseError, Closing, Position},
    rules::{Quantity, RuleError, SymbolRules, TriggerPrice},
    sent::{self, StopTrace},
    submission::{NotSent, NotSentReason, Rejection, Submission, Unknown},
    submission_log::Key,
    time::VenueTime,
};
use rust_decimal::Decimal;
use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// A protective stop to be put in place: over the whole of a position or a part of it, on the venue's tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopIntent {
    id: ClientAlgoId,
    symbol: Symbol,
    closing: Closing,
    mode: PositionMode,
    quantity: Quantity,
    /// The largest quantity the rules allow of the position.
    whole: Quantity,
    trigger: TriggerPrice,
    working_type: WorkingType,
    sign_by: Option<VenueTime>,
}

/// Why a stop cannot be prepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The position cannot be guarded as asked.
    #[error(transparent)]
    Position(#[from] CloseError),
    /// The trigger price or the size does not fit the symbol's rules.
    #[error(transparent)]
    Rules(#[from] RuleError),
}

impl StopIntent {
    /// Prepares a stop for a position: it sells a long or buys back a short, over the largest quantity the rules allow of
    /// it, triggered by the mark price at `trigger` (quote asset), which is put on the tick towards the market.
    ///
    /// # Errors
    /// [`StopError`] where the position is flat or of another mode, or the rules allow no such price or size.
    pub fn for_position(
        position: &Position,
        mode: PositionMode,
        rules: &SymbolRules,
        trigger: Decimal,
        id: ClientAlgoId,
    ) -> Result<Self, StopError> {
        if rules.symbol != position.symbol {
            return Err(CloseError::OtherSymbol {
                symbol: position.symbol.clone(),
                rules: rules.symbol.clone(),
            }
            .into());
        }
        let closing = position.closing(mode)?;
        let whole = rules.cut_quantity(position.size())?;
        Ok(Self {
            id,
            symbol: position.symbol.clone(),
            closing,
            mode,
            quantity: whole,
            whole,
            trigger: rules.round_trigger(trigger, closing.side)?,
            working_type: WorkingType::MarkPrice,
            sign_by: None,
        })
    }

    /// The same stop over no more than `at_most` (base asset), cut down to the rules' step. What of the position it does
    /// not guard stays with the stops that do: see [`Client::replace_stop`].
    ///
    /// # Errors
    /// [`StopError`] where the rules are another symbol's or allow no such quantity.
    pub fn over(mut self, at_most: Decimal, rules: &SymbolRules) -> Result<Self, StopError> {
        if rules.symbol != self.symbol {
            return Err(CloseError::OtherSymbol {
                symbol: self.symbol,
                rules: rules.symbol.clone(),
            }
            .into());
        }
        self.quantity = rules.cut_quantity(at_most.min(self.whole.get()))?;
        Ok(self)
    }

    /// The same stop watching another price.
    #[must_use]
    pub fn watching(mut self, working_type: WorkingType) -> Self {
        self.working_type = working_type;
        self
    }

    /// The same stop, which is not placed any more once the venue's clock is past `moment`.
    #[must_use]
    pub fn sign_by(mut self, moment: VenueTime) -> Self {
        self.sign_by = Some(moment);
        self
    }

    /// Our id of the stop.
    #[must_use]
    pub fn id(&self) -> &ClientAlgoId {
        &self.id
    }

    /// The contract.
    #[must_use]
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// The trigger price as it will be sent, quote asset.
    #[must_use]
    pub fn trigger(&self) -> TriggerPrice {
        self.trigger
    }

    /// The quantity it will be over, base asset.
    #[must_use]
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// What every answer about it has to agree with; what [`Client::settle_stop`] asks with.
    #[must_use]
    pub fn trace(&self) -> StopTrace {
        StopTrace {
            id: self.id.clone(),
            symbol: self.symbol.clone(),
            side: self.closing.side,
            position_side: self.closing.position_side,
            quantity: Some(self.quantity.get()),
            at_most: Some(self.quantity.get()),
            trigger: Some(self.trigger.get()),
            working_type: Some(self.working_type),
        }
    }
}

/// How replacing a protective stop ended. In every case at least the stops that guarded before, or the new one, still do,
/// unless one of them was triggered meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the old stop may still be the one in place"]
pub enum StopReplacement {
    /// The new stop is in place.
    Replaced {
        /// The new stop, as the venue confirms it.
        new: StopReport,
        /// The venue's numbers of the old stops that are gone.
        removed: Vec<u64>,
        /// The venue's numbers of old stops that still guard beside the new one: they could not be cancelled, or without
        /// them less of the position would be guarded than before.
        left_over: Vec<u64>,
    },
    /// The venue refused the new stop; the old ones are untouched.
    Rejected(Rejection),
    /// The new stop was not placed; the old ones are untouched.
    NotSent(NotSent),
    /// The new stop could not be confirmed; the old ones are untouched. Calling again with the same id finds out and sends
    /// no second stop; [`Client::settle_stop`] waits until it is known.
    Unconfirmed(Box<Unconfirmed>),
    /// The stops in place could not be read, so nothing was touched.
    NotRead(RequestError),
}

/// What is known of a new stop that could not be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unconfirmed {
    /// How placing it ended, where that is what is unknown.
    pub placing: Option<Unknown>,
    /// What the venue last showed of it, be it in its answer to the placing; none where it never showed anything.
    pub seen: Option<StopReport>,
    /// Why asking did not settle it, where it failed.
    pub error: Option<RequestError>,
}

impl fmt::Display for StopReplacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced {
                new,
                removed,
                left_over,
            } if left_over.is_empty() => {
                write!(
                    f,
                    "stop {} in place, {} removed",
                    new.algo_id,
                    removed.len()
                )
            }
            Self::Replaced { new, left_over, .. } => {
                write!(
                    f,
                    "stop {} in place, {} old ones left over",
                    new.algo_id,
                    left_over.len()
                )
            }
            Self::Rejected(no) => no.fmt(f),
            Self::NotSent(not) => not.fmt(f),
            Self::Unconfirmed(_) => {
                f.write_str("the new stop could not be confirmed; the old ones are in place")
            }
            Self::NotRead(error) => write!(f, "the stops in place could not be read: {error}"),
        }
    }
}

/// How often a new stop is looked for before it counts as unconfirmed.
const LOOKS: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// How long the question about open stops stays without an answer before it is asked again.
const BEFORE_ASKING_AGAIN: [Duration; 2] = [FIRST, Duration::from_millis(600)];
const FIRST: Duration = Duration::from_millis(300);

impl Client {
    /// Replaces the stops that guard a position by a new one: places the new one, waits until the venue confirms it, and
    /// only then cancels the old ones. The position is never bare, and never guarded less than before: where the new stop
    /// is over a part of it ([`StopIntent::over`]), an old one that guards the rest stays.
    ///
    /// Idempotent by the stop's id: where a stop of that id is already in place nothing is placed again, and only what is
    /// left of the old ones is removed. Take-profits, entry stops and stops of another position stay as they are.
    ///
    /// # Cancellation
    /// Dropping the future stops after whatever step it is in. The order of the steps is what keeps the position guarded;
    /// call again with the same id to finish.
    pub async fn replace_stop(&self, stop: &StopIntent) -> StopReplacement {
        self.replace_stop_after(stop, &Unasked).await
    }

    /// The same, where `look` has a last word once the new stop has its timestamp: see [`LastLook`]. A stop that it holds
    /// back ends as [`StopReplacement::NotSent`] with [`NotSentReason::HeldBack`]; the old ones are untouched, and its id
    /// stays free. Cancelling the old ones afterwards is not looked at: it places nothing.
    ///
    /// # Cancellation
    /// As [`replace_stop`](Self::replace_stop).
    pub async fn replace_stop_after(
        &self,
        stop: &StopIntent,
        look: &impl LastLook,
    ) -> StopReplacement {
        let open = match self.fetch_open_stops_again(&stop.symbol).await {
            Ok(open) => open,
            Err(error) => return StopReplacement::NotRead(error),
        };
        let mut accepted = None;
        let placing = if open
            .iter()
            .any(|known| known.client_algo_id.as_ref() == Some(&stop.id))
        {
            None
        } else {
            match self.submit_stop_after(stop, look).await {
                Submission::Accepted(report) => {
                    accepted = Some(report);
                    None
                }
                Submission::Rejected(no) => return StopReplacement::Rejected(no),
                // The id was used before: whether that stop is in place is what the next step finds out.
                Submission::NotSent(not) if not.reason == NotSentReason::AlreadySubmitted => None,
                Submission::NotSent(not) => return StopReplacement::NotSent(not),
                Submission::Unknown(unknown) => Some(unknown),
            }
        };
        let new = match self.confirm(stop).await {
            Ok(Some(report)) if report.guards(&stop.closing) => report,
            looked => {
                let (seen, error) = match looked {
                    Ok(seen) => (seen, None),
                    Err(error) => (None, Some(error)),
                };
                return StopReplacement::Unconfirmed(Box::new(Unconfirmed {
                    placing,
                    seen: seen.or(accepted),
                    error,
                }));
            }
        };
        self.inner.submissions.end_stop(&stop.id, true);
        let (mut removed, mut left_over) = (Vec::new(), Vec::new());
        let old_ones: Vec<&StopReport> = open
            .iter()
            .filter(|old| old.algo_id != new.algo_id && old.guards(&stop.closing))
            .collect();
        let mut guards = Guards::before(stop, &old_ones);
        for old in old_ones {
            if !guards.can_spare(old) {
                left_over.push(old.algo_id);
                continue;
            }
            match self.cancel_stop(old.algo_id).await {
                Ok(()) => removed.push(old.algo_id),
                Err(error) => {
                    tracing::debug!(algo_id = old.algo_id, %error, "an old stop could not be cancelled");
                    left_over.push(old.algo_id);
                }
            }
        }
        StopReplacement::Replaced {
            new,
            removed,
            left_over,
        }
    }

    /// Places a stop with one POST; the endings mean what they mean for orders. Cancels nothing.
    ///
    /// # Cancellation
    /// Dropping the future after bytes have left leaves the id used up and the stop possibly placed;
    /// [`fetch_stop`](Self::fetch_stop) shows.
    pub async fn submit_stop(&self, stop: &StopIntent) -> Submission<StopReport> {
        self.submit_stop_after(stop, &Unasked).await
    }

    async fn submit_stop_after(
        &self,
        stop: &StopIntent,
        look: &impl LastLook,
    ) -> Submission<StopReport> {
        let form = stop::place(
            &stop.symbol,
            &stop.id,
            &stop.closing,
            stop.mode,
            stop.quantity,
            stop.trigger,
            stop.working_type,
        );
        let recv_window = self.inner.settings.recv_window;
        let post = Post {
            path: stop::PATH,
            text: form.with("recvWindow", recv_window.as_millis()).into_text(),
            recv_window,
            sign_by: stop.sign_by,
            key: Key::Stop(stop.id.clone()),
        };
        let signed = match self.sign(post, look).await {
            Ok(signed) => signed,
            Err(reason) => return Submission::not_sent(reason),
        };
        let left = Arc::new(AtomicBool::new(false));
        let trace = stop.trace();
        let ending = signed
            .send(left, |body, _| sent::read_stop(&trace, body))
            .await;
        self.learn_from(&ending);
        ending
    }

    /// Asks for a stop by its id. `None` where the venue does not know it. Weight 1.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or its answer cannot be read.
    pub async fn fetch_stop(&self, id: &ClientAlgoId) -> Result<Option<StopReport>, RequestError> {
        let question =
            Question::signed(stop::PATH, stop::WEIGHT, stop::query(id)).with_last_weight();
        absent_on(
            -2013,
            self.ask(question, |body, _| sent::read_stop_by_id(id, body))
                .await,
        )
    }

    /// The same about a stop that was sent: an answer that contradicts it is none.
    pub(super) async fn fetch_sent_stop(
        &self,
        stop: &StopTrace,
    ) -> Result<Option<StopReport>, RequestError> {
        let form = stop::query(&stop.id);
        let question = Question::signed(stop::PATH, stop::WEIGHT, form).with_last_weight();
        let asked = self.ask(question, |body, _| sent::read_stop(stop, body));
        absent_on(-2013, asked.await)
    }

    /// The conditional orders of a symbol that are waiting, protective or not. Weight 1.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or an entry cannot be read.
    pub async fn fetch_open_stops(&self, symbol: &Symbol) -> Result<Vec<StopReport>, RequestError> {
        let question = Question::signed(stop::OPEN_PATH, stop::WEIGHT, stop::open(symbol));
        self.ask(question, |body, notes| {
            stop::decode_open(Some(symbol), body, notes)
        })
        .await
    }

    /// The conditional orders of every symbol that are waiting, as far as they can be read. Weight 40.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or its answer is no list.
    pub async fn fetch_all_open_stops(&self) -> Result<Vec<StopReport>, RequestError> {
        let question = Question::signed(stop::OPEN_PATH, stop::ALL_WEIGHT, Form::new());
        self.ask(question, |body, notes| stop::decode_open(None, body, notes))
            .await
    }

    /// The same, asked again over a new connection where it fails or stays silent: a passing fault costs no move.
    async fn fetch_open_stops_again(
        &self,
        symbol: &Symbol,
    ) -> Result<Vec<StopReport>, RequestError> {
        for patience in BEFORE_ASKING_AGAIN {
            let asked = match patience {
                FIRST => self.clone(),
                _ => self.freshly(),
            };
            match tokio::time::timeout(patience, asked.fetch_open_stops(symbol)).await {
                Ok(Err(error)) if error.may_pass() => {}
                Ok(answer) => return answer,
                Err(_) => {}
            }
        }
        self.freshly().fetch_open_stops(symbol).await
    }

    /// Cancels a conditional order by the venue's number. One that is gone already counts as cancelled, so this may be
    /// repeated. Weight 1.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or refuses; the stop may then still be waiting.
    pub async fn cancel_stop(&self, algo_id: u64) -> Result<(), RequestError> {
        let question = Question {
            verb: Verb::Delete,
            purpose: Purpose::Settle,
            ..Question::signed(stop::PATH, stop::WEIGHT, stop::cancel(algo_id))
        };
        match self.ask(question, |_, _| Ok(())).await {
            // Both are the venue's words for an order that is not there to be cancelled.
            Err(error) if matches!(error.code(), Some(-2011 | -2013)) => Ok(()),
            other => other,
        }
    }

    /// Looks for a new stop until it stands somewhere definite.
    async fn confirm(&self, stop: &StopIntent) -> Result<Option<StopReport>, RequestError> {
        let (trace, mut last) = (stop.trace(), Ok(None));
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            last = self.fetch_sent_stop(&trace).await;
            if let Ok(Some(report)) = &last
                && !matches!(report.status, StopStatus::Triggering | StopStatus::Other)
            {
                break;
            }
        }
        last
    }
}

/// How much of a position its stops guard, counted while one after the other goes.
struct Guards {
    whole: Decimal,
    /// No less than this may be guarded at the end.
    before: Decimal,
    now: Decimal,
}

impl Guards {
    /// With the new stop in place and every old one still there.
    fn before(stop: &StopIntent, old_ones: &[&StopReport]) -> Self {
        let whole = stop.whole.get();
        let mut guards = Self {
            whole,
            before: Decimal::ZERO,
            now: Decimal::ZERO,
        };
        let old = old_ones.iter().fold(Decimal::ZERO, |sum, old| {
            sum.saturating_add(guards.share(old))
        });
        guards.before = old.min(whole);
        guards.now = old.saturating_add(stop.quantity.get());
        guards
    }

    /// Whether as much is guarded without this one; then it counts as gone.
    fn can_spare(&mut self, old: &StopReport) -> bool {
        let without = self.now - self.share(old);
        let enough = without.min(self.whole) >= self.before;
        if enough {
            self.now = without;
        }
        enough
    }

    /// No less than nothing and no more than the whole.
    fn share(&self, stop: &StopReport) -> Decimal {
        match stop.quantity {
            Some(quantity) if !stop.close_position => quantity.clamp(Decimal::ZERO, self.whole),
            _ => self.whole,
        }
    }
}

impl Recorded for Submission<StopReport> {
    fn record(&self, client: &Client, key: &Key) {
        if let Key::Stop(id) = key {
            client
                .inner
                .submissions
                .end_stop(id, !matches!(self, Self::Unknown(_)));
        }
    }
}
