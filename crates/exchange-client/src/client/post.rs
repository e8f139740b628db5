//! The one POST of an id: its turn and its room, its timestamp, the last look, its signature, its end.

use super::{Client, WeightReservation};
use crate::{
    codes::Submitted,
    fields::DecodeError,
    last_look::{LastLook, Look},
    limits::Purpose,
    omissions::Notes,
    outcome::{self, Answer},
    submission::{NotSentReason, SendWindow, Submission, Unknown, UnknownCause},
    submission_log::Key,
    time::VenueTime,
    transport::{LaneSlot, Outgoing, Pool, SendError},
};
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::time::Instant;

/// One POST, but for timestamp and signature.
pub(super) struct Post {
    pub(super) path: &'static str,
    pub(super) text: String,
    pub(super) recv_window: Duration,
    /// Not signed after this moment.
    pub(super) sign_by: Option<VenueTime>,
    pub(super) key: Key,
}

/// A POST that only has to be sent. Dropped unsent, it leaves the fact that it may have been.
#[must_use = "its id is used up"]
pub(super) struct Signed {
    entry: Entry,
    path: &'static str,
    text: String,
    room: WeightReservation,
    _turn: LaneSlot,
}

impl Client {
    /// Takes a turn and room for the POST, stamps it, has it looked at, and signs it. Nothing is awaited between the
    /// look that lets it go and the signature.
    pub(super) async fn sign(
        &self,
        post: Post,
        look: &impl LastLook,
    ) -> Result<Signed, NotSentReason> {
        if self.inner.submissions.has_used(&post.key) {
            return Err(NotSentReason::AlreadySubmitted);
        }
        if !self.clock_is_fresh()
            && let Err(error) = self.ensure_clock().await
        {
            return Err(NotSentReason::ClockUnknown(error.to_string()));
        }
        self.check_drift()?;
        // Before the timestamp: a request that has to queue gets its timestamp afterwards, or none.
        let turn = self.inner.transport.turn(Pool::Orders).await;
        let admitted = self.limits().admit(Purpose::Order, 0, self.now());
        admitted.map_err(NotSentReason::Limited)?;
        let room = WeightReservation::taken(self, Purpose::Order, 0);
        let mut text = post.text;
        let window = match self.stamp_and_look(&mut text, post.sign_by, look).await {
            Ok(stamped) => SendWindow::at(stamped, post.recv_window),
            Err(reason) => {
                room.unused();
                return Err(reason);
            }
        };
        if let Err(reason) = self.inner.submissions.begin(&post.key, window) {
            room.unused();
            return Err(reason);
        }
        let entry = Entry {
            client: self.clone(),
            key: post.key,
            window,
            ended: false,
        };
        self.inner.credentials.sign(&mut text);
        Ok(Signed {
            entry,
            path: post.path,
            text,
            room,
            _turn: turn,
        })
    }

    /// Stamps the text as often as the look finds what it knows too old for the timestamp.
    async fn stamp_and_look(
        &self,
        text: &mut String,
        sign_by: Option<VenueTime>,
        look: &impl LastLook,
    ) -> Result<VenueTime, NotSentReason> {
        let unstamped = text.len();
        loop {
            text.truncate(unstamped);
            let now = Instant::now();
            let stamped = self.stamp(text, now);
            if let Some(sign_by) = sign_by.filter(|sign_by| stamped > *sign_by) {
                return Err(NotSentReason::TooLate {
                    by: stamped.since(sign_by),
                });
            }
            match look.look(now.into_std()) {
                Look::Go => return Ok(stamped),
                Look::Refuse(why) => return Err(NotSentReason::HeldBack(why)),
                Look::AskAgain => look.ask_again().await.map_err(NotSentReason::HeldBack)?,
            }
        }
    }
}

impl Signed {
    /// Sends it and judges the answer. `left` turns true with its first byte.
    pub(super) async fn send<R>(
        self,
        left: Arc<AtomicBool>,
        decode: impl FnOnce(&[u8], &mut Notes) -> Result<R, DecodeError>,
    ) -> Submission<R>
    where
        Submission<R>: Recorded,
    {
        let Self {
            mut entry,
            path,
            text,
            room,
            _turn,
        } = self;
        let (client, window) = (entry.client.clone(), entry.window);
        let signed_from = text.clone();
        let sent = client
            .inner
            .transport
            .send(path, Outgoing::Post(text), Pool::Orders, true, left)
            .await;
        let ending = match sent {
            Err(SendError::HostRefused) => Submission::not_sent(NotSentReason::HostRefused),
            Err(SendError::Failed(failure)) => outcome::judge_failure(failure, window),
            Ok(reply) => {
                room.answered(&reply);
                let (to, kind) = match &entry.key {
                    Key::Order(_) => (Submitted::Order, "order"),
                    Key::Stop(_) => (Submitted::Stop, "stop"),
                };
                client.count_refusal(kind, &reply);
                let answer = Answer {
                    to,
                    status: reply.status,
                    body: &reply.body,
                    broken: reply.broken.clone(),
                };
                let stop = || client.note_stop(&reply).unwrap_or_default();
                let secrets = || client.secrets(&signed_from);
                let mut notes = Notes::default();
                let decode = |body: &[u8]| decode(body, &mut notes);
                let ending = outcome::judge(&answer, window, secrets, stop, decode);
                client.note_omissions(notes);
                ending
            }
        };
        entry.ended = true;
        ending.record(&client, &entry.key);
        ending
    }
}

/// Notes an ending in the ledger.
pub(super) trait Recorded {
    fn record(&self, client: &Client, key: &Key);
}

/// The ledger entry of a POST under way. Dropped before the end, it leaves the fact that the POST may have happened.
struct Entry {
    client: Client,
    key: Key,
    window: SendWindow,
    ended: bool,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        match &self.key {
            Key::Order(id) => {
                let abandoned = Submission::Unknown(Unknown {
                    cause: UnknownCause::Abandoned,
                    reply: None,
                    window: self.window,
                });
                self.client.inner.submissions.end_order(id, &abandoned);
            }
            Key::Stop(id) => self.client.inner.submissions.end_stop(id, false),
        }
    }
}
