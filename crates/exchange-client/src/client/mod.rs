//! The client: what all its clones share, and how a request gets its timestamp, its signature and its room.

mod account;
mod clock;
mod close;
mod post;
mod settle;
mod settle_stop;
mod stops;

pub use clock::ClockReading;
pub use close::{PreparedOrder, Submitting};
pub use settle::{Evidence, NotExecuted, SettleDeadlines, Settlement, Unresolved};
pub use settle_stop::StopSettlement;
pub use stops::{StopError, StopIntent, StopReplacement, Unconfirmed};

use crate::{
    codes,
    credentials::Credentials,
    endpoint::Form,
    error::{RequestError, SetupError},
    fields::DecodeError,
    host::Host,
    limits::{Counts, Limits, Now, Purpose, Usage},
    omissions::{Notes, Omission, OmissionCount, Omissions},
    outcome::Failure,
    reply::Reply,
    settings::Settings,
    submission_log::SubmissionLog,
    time::VenueTime,
    transport::{HttpReply, LaneSlot, Outgoing, Pool, SendError, Transport},
};
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A connection to one account on one test host.
///
/// Cheap to clone; all clones share the connection pool, the venue's limits, the clock, the cached rules and the ledger of
/// used ids. Needs a tokio runtime with its time and I/O drivers on.
///
/// Dropping the future of a question stops the question and has no other effect. What dropping the future of a submission
/// does stands at [`submit`](Self::submit).
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    /// Its questions go over connections of their own.
    fresh: bool,
    departure: Option<Departure>,
}

struct Inner {
    transport: Transport,
    credentials: Credentials,
    settings: Settings,
    limits: Mutex<Limits>,
    submissions: SubmissionLog,
    clock: clock::Clock,
    account: account::Cache,
    refusals: Mutex<Refusals>,
    omissions: Mutex<Omissions>,
    /// Looks at the orders' connections that are under way.
    checks: AtomicUsize,
}

/// When a question was asked and when it left, so that the caller can ask again where no answer comes: [`Client::silent_since`].
#[derive(Clone, Debug)]
pub struct Departure {
    asked: Instant,
    left: Arc<OnceLock<Instant>>,
}

impl Departure {
    /// Of a question that is asked now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            asked: Instant::now(),
            left: Arc::default(),
        }
    }
}

impl Default for Departure {
    fn default() -> Self {
        Self::new()
    }
}

/// One of these, until it is dropped.
struct Check<'a>(&'a AtomicUsize);

impl<'a> Check<'a> {
    /// With how many there are, this one included.
    fn begin(under_way: &'a AtomicUsize) -> (Self, usize) {
        let others = under_way.fetch_add(1, Ordering::Relaxed);
        (Self(under_way), others + 1)
    }
}

impl Drop for Check<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How often the venue answered with which code.
type Refusals = BTreeMap<(&'static str, Option<i64>), u64>;

/// How often the venue answered a kind of request with an error of its own. For metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusalCount {
    /// `order`, `stop` or `question`.
    pub to: &'static str,
    /// The code, where it is one of the table; so there are no more counts than rows.
    pub code: Option<i64>,
    /// Since this client was set up.
    pub times: u64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", self.inner.transport.host())
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Sets a client up. Nothing is sent yet; [`warm_up`](Self::warm_up) opens the connection.
    ///
    /// # Errors
    /// [`SetupError`] where a setting is out of bounds or TLS cannot be set up.
    pub fn new(
        host: Host,
        credentials: Credentials,
        settings: Settings,
    ) -> Result<Self, SetupError> {
        settings.check()?;
        let transport = Transport::new(
            host,
            &credentials,
            settings.connect_timeout,
            settings.reply_timeout,
        )
        .map_err(SetupError::Transport)?;
        Ok(Self {
            fresh: false,
            departure: None,
            inner: Arc::new(Inner {
                transport,
                credentials,
                settings,
                limits: Mutex::default(),
                submissions: SubmissionLog::default(),
                clock: clock::Clock::default(),
                account: account::Cache::default(),
                refusals: Mutex::default(),
                omissions: Mutex::default(),
                checks: AtomicUsize::new(0),
            }),
        })
    }

    /// The host this client speaks to.
    #[must_use]
    pub fn host(&self) -> &Host {
        self.inner.transport.host()
    }

    /// Does everything slow before the first order: opens the keep-alive connections (one for questions, one for orders, so
    /// that no order ever waits behind a question), measures the venue's time, loads the
    /// rules of every symbol, the limits and the account's position mode.
    ///
    /// # Errors
    /// [`RequestError`] of the first question that failed; calling again is safe.
    pub async fn warm_up(&self) -> Result<(), RequestError> {
        self.measure_clock().await?;
        self.fetch_exchange_info().await?;
        self.fetch_position_mode().await?;
        Ok(())
    }

    /// Keeps both connections open and the venue's time fresh by asking for it every `every` (20 s suit a venue that closes
    /// idle connections after a minute). Never returns; run it beside the work and drop it to end it.
    pub async fn keep_warm(&self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = self.measure_clock().await {
                tracing::debug!(%error, "the venue's time could not be measured");
            }
        }
    }

    /// The same client, whose questions go over a new connection each: for asking again what was not answered. Connections
    /// that wait in the pool may have been dropped without a word, all of them at once.
    #[must_use]
    pub fn freshly(&self) -> Self {
        Self {
            fresh: true,
            ..self.clone()
        }
    }

    /// The same client, whose first question notes when it leaves.
    #[must_use]
    pub fn noting(&self, departure: &Departure) -> Self {
        Self {
            departure: Some(departure.clone()),
            ..self.clone()
        }
    }

    /// Since when nothing was heard that a question waits for: since it left; while it waits for its turn, since a request
    /// left whose answer shows that the turns go on. A crowd that asks twice because it waits would wait twice as long.
    #[must_use]
    pub fn silent_since(&self, departure: &Departure) -> std::time::Instant {
        let turns_go_on = || self.inner.transport.answered(self.question_pool());
        let since = match departure.left.get() {
            Some(left) => *left,
            None => turns_go_on().map_or(departure.asked, |sent| sent.max(departure.asked)),
        };
        since.into_std()
    }

    /// Makes sure that the next order has a connection that is alive: asks for the venue's time over the one that it would
    /// take, for `patience` at most, and over the next one where nothing comes. Connections that do not answer are thrown
    /// away. Weight 1 a question. Whether it worked; it is no reason not to send the order.
    ///
    /// In a crowd nothing is asked while orders leave one after the other: where four and more are looked at at once, an
    /// answer to something that was sent over these connections within the last 50 ms counts for all of them.
    pub async fn check_order_connection(&self, patience: Duration) -> bool {
        let (_check, under_way) = Check::begin(&self.inner.checks);
        if under_way >= CROWD {
            let answered = self.inner.transport.answered(Pool::Orders);
            if answered.is_some_and(|sent| sent.elapsed() <= COUNTS_FOR) {
                return true;
            }
        }
        for _ in 0..MOST_CHECKED {
            let question = Question {
                lane: Pool::Orders,
                ..Question::open(
                    crate::endpoint::clock::PATH,
                    crate::endpoint::clock::WEIGHT,
                    Form::new(),
                )
            };
            let asked = tokio::time::timeout(patience, self.exchange(&question)).await;
            let decoded = asked
                .map(|answer| self.decode(answer?, |body, _| crate::endpoint::clock::decode(body)));
            match decoded {
                Ok(Ok(_)) => return true,
                Ok(Err(RequestError::Failed(_) | RequestError::Timeout(_))) | Err(_) => {}
                Ok(Err(_)) => return false,
            }
        }
        false
    }

    /// How much of the venue's limits is used, as of the last reply.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let now = self.now();
        self.limits().usage(now)
    }

    /// How often the venue refused something, by kind of request and code. An order or stop that it does not know (-2013) is
    /// an answer to a question, not a refusal.
    #[must_use]
    pub fn refusals(&self) -> Vec<RefusalCount> {
        let counted = lock(&self.inner.refusals);
        let counts = counted
            .iter()
            .map(|(&(to, code), &times)| RefusalCount { to, code, times });
        counts.collect()
    }

    /// How often a part of an answer was left out, by endpoint and part: it cannot be read or is about something else, and
    /// nothing is decided by it.
    #[must_use]
    pub fn omissions(&self) -> Vec<OmissionCount> {
        lock(&self.inner.omissions).counts()
    }

    /// What was left out of an answer for the first time, by endpoint, part and symbol, since this was last called. For a
    /// log: each is in one call's answer only, and repeats are only counted.
    #[must_use]
    pub fn take_new_omissions(&self) -> Vec<Omission> {
        lock(&self.inner.omissions).take_new()
    }

    fn note_omissions(&self, notes: Notes) {
        if !notes.is_empty() {
            lock(&self.inner.omissions).add(notes);
        }
    }

    /// Counts an answer that is no success.
    fn count_refusal(&self, to: &'static str, reply: &HttpReply) {
        if (200..300).contains(&reply.status) {
            return;
        }
        let code = Reply::read(reply.status, &reply.body, &[]).code;
        if to == QUESTION && code == Some(-2013) {
            return;
        }
        let listed = code.filter(|code| codes::is_listed_code(*code));
        *lock(&self.inner.refusals).entry((to, listed)).or_default() += 1;
    }

    /// Asks a question that changes nothing. A timestamp the venue refuses is fixed once, by measuring the time again and
    /// signing again: asking twice is harmless.
    async fn ask<T>(
        &self,
        question: Question,
        decode: impl Fn(&[u8], &mut Notes) -> Result<T, DecodeError>,
    ) -> Result<T, RequestError> {
        let answer = self.answer_to(question).await?;
        self.decode(answer, decode)
    }

    /// The answer before it is decoded: what lies before that is the same for every question, and is compiled once.
    async fn answer_to(&self, question: Question) -> Result<Answer, RequestError> {
        let first = self.ask_once(&question).await;
        match &first {
            Err(error) if question.signed && matches!(error.code(), Some(-1021 | -5028)) => {
                self.measure_clock().await?;
                self.ask_once(&question).await
            }
            _ => first,
        }
    }

    async fn ask_once(&self, question: &Question) -> Result<Answer, RequestError> {
        if question.signed {
            self.ensure_clock().await?;
        }
        self.exchange(question).await
    }

    /// One request and its answer; the time to sign with is there already.
    async fn exchange(&self, question: &Question) -> Result<Answer, RequestError> {
        let _turn = self.wait_for_room(question).await?;
        if let Some(departure) = &self.departure {
            // The first counts.
            let _ = departure.left.set(Instant::now());
        }
        let room = WeightReservation::taken(self, question.purpose, question.weight);
        let mut text = question.form.clone();
        if question.signed {
            if !text.is_empty() {
                text.push('&');
            }
            let window = self.inner.settings.recv_window.as_millis();
            // Writing into a String cannot fail.
            let _ = write!(text, "recvWindow={window}");
            self.stamp(&mut text, Instant::now());
            self.inner.credentials.sign(&mut text);
        }
        // What a kept reply may not contain is worked out where one is kept.
        let signed = match question.signed {
            true => text.clone(),
            false => String::new(),
        };
        let outgoing = match question.verb {
            Verb::Get => Outgoing::Get(text),
            Verb::Delete => Outgoing::Delete(text),
        };
        let left = Arc::new(AtomicBool::new(false));
        let sent = self
            .inner
            .transport
            .send(
                question.path,
                outgoing,
                self.lane_of(question),
                question.signed,
                left,
            )
            .await;
        let reply = match sent {
            Ok(reply) => reply,
            Err(SendError::HostRefused) => return Err(RequestError::HostRefused),
            Err(SendError::Failed(Failure::Timeout(after))) => {
                return Err(RequestError::Timeout(after));
            }
            Err(SendError::Failed(Failure::NotWritten(why) | Failure::Broken(why))) => {
                return Err(RequestError::Failed(why));
            }
        };
        room.answered(&reply);
        self.count_refusal(QUESTION, &reply);
        let stopped = self.note_stop(&reply);
        let answer = Answer { reply, signed };
        if let Some(left) = stopped {
            tracing::debug!(status = answer.reply.status, stopped_for = ?left, "the venue said stop");
            return Err(RequestError::Stopped {
                left,
                reply: self.kept(&answer),
            });
        }
        if let Some(why) = answer.reply.broken {
            return Err(RequestError::Failed(why));
        }
        if !(200..300).contains(&answer.reply.status) {
            return Err(RequestError::Refused(self.kept(&answer)));
        }
        Ok(answer)
    }

    fn decode<T>(
        &self,
        answer: Answer,
        decode: impl Fn(&[u8], &mut Notes) -> Result<T, DecodeError>,
    ) -> Result<T, RequestError> {
        let mut notes = Notes::default();
        let read = decode(&answer.reply.body, &mut notes);
        self.note_omissions(notes);
        read.map_err(|error| RequestError::Unreadable {
            error,
            reply: self.kept(&answer),
        })
    }

    /// What is kept of a reply for an error.
    fn kept(&self, answer: &Answer) -> Reply {
        let secrets = self.secrets(&answer.signed);
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        Reply::read(answer.reply.status, &answer.reply.body, &secrets)
    }

    fn lane_of(&self, question: &Question) -> Pool {
        match question.lane {
            Pool::Questions => self.question_pool(),
            lane => lane,
        }
    }

    fn question_pool(&self) -> Pool {
        match self.fresh {
            true => Pool::Fresh,
            false => Pool::Questions,
        }
    }

    /// Appends the venue's time at `now` and returns it.
    fn stamp(&self, text: &mut String, now: Instant) -> VenueTime {
        let time = self.server_time_at(now);
        // Writing into a String cannot fail.
        let _ = write!(text, "&timestamp={time}");
        time
    }

    /// The texts that no kept reply may contain: the key, and the signature as sent and as a server would decode it.
    fn secrets(&self, signed: &str) -> Vec<String> {
        let signature = signed
            .split_once("&signature=")
            .map_or("", |(_, signature)| signature);
        let decoded = signature
            .replace("%2B", "+")
            .replace("%2F", "/")
            .replace("%3D", "=");
        vec![
            self.inner.credentials.api_key().to_owned(),
            signature.to_owned(),
            decoded,
        ]
    }

    /// Waits for a turn on the question's lane and for room within the venue's limits, in this order: after the queue, the limits are checked
    /// as they are then, and no request blocks others while it waits for the limits.
    async fn wait_for_room(&self, question: &Question) -> Result<LaneSlot, RequestError> {
        let give_up = Instant::now() + self.inner.settings.max_limit_wait;
        loop {
            let turn = self.inner.transport.turn(self.lane_of(question)).await;
            let now = self.now();
            let admitted = self.limits().admit(question.purpose, question.weight, now);
            let left = match admitted {
                Ok(()) => return Ok(turn),
                Err(left) if now.instant + left <= give_up => left,
                Err(left) => return Err(RequestError::Limited(left)),
            };
            drop(turn);
            tokio::time::sleep(left).await;
        }
    }

    /// Takes a 429, a 418 or the firewall's 403 in, so that all clones stand still. Returns for how long.
    fn note_stop(&self, reply: &HttpReply) -> Option<Duration> {
        let status = reply.status;
        if status < 400 {
            return None;
        }
        let read = Reply::read(status, &reply.body, &[]);
        let by_code = matches!(read.code, Some(-1003 | -1015));
        let firewall = status == 403 && read.code.is_none();
        if !matches!(status, 418 | 429) && !by_code && !firewall {
            return None;
        }
        let now = self.now();
        Some(
            self.limits()
                .handle_stop(status, reply.retry_after.as_deref(), read.text(), now),
        )
    }

    fn now(&self) -> Now {
        Now {
            instant: Instant::now(),
            venue: self.server_time(),
        }
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        lock(&self.inner.limits)
    }
}

const QUESTION: &str = "question";

/// So many plans that look at the orders' connections at once are a crowd, and for so long an answer counts in one.
const CROWD: usize = 4;
const COUNTS_FOR: Duration = Duration::from_millis(50);

/// How many connections are looked at for one that is alive.
const MOST_CHECKED: usize = 3;

/// A whole answer of success.
struct Answer {
    reply: HttpReply,
    /// What was sent, where it was signed: nothing of it may stand in a reply that is kept.
    signed: String,
}

/// A question as it will be sent, but for timestamp and signature.
struct Question {
    verb: Verb,
    path: &'static str,
    form: String,
    weight: u32,
    purpose: Purpose,
    lane: Pool,
    signed: bool,
}

#[derive(Clone, Copy)]
enum Verb {
    Get,
    Delete,
}

impl Question {
    fn open(path: &'static str, weight: u32, form: Form) -> Self {
        Self {
            verb: Verb::Get,
            path,
            form: form.into_text(),
            weight,
            purpose: Purpose::Read,
            lane: Pool::Questions,
            signed: false,
        }
    }

    fn signed(path: &'static str, weight: u32, form: Form) -> Self {
        Self {
            signed: true,
            ..Self::open(path, weight, form)
        }
    }

    /// The same question with the right to the last of the weight.
    fn with_last_weight(self) -> Self {
        Self {
            purpose: Purpose::Settle,
            ..self
        }
    }
}

/// Room under the limits, handed back when the request is over, also where its future is dropped.
struct WeightReservation {
    client: Client,
    purpose: Purpose,
    weight: u32,
    counts: Counts,
}

impl WeightReservation {
    fn taken(client: &Client, purpose: Purpose, weight: u32) -> Self {
        Self {
            client: client.clone(),
            purpose,
            weight,
            counts: Counts::default(),
        }
    }

    /// Nothing was sent after all.
    fn unused(mut self) {
        self.counts = Counts {
            weight: Some(0),
            orders_10s: Some(0),
            orders_1m: Some(0),
        };
    }

    fn answered(mut self, reply: &HttpReply) {
        self.counts = reply.counts;
    }
}

impl Drop for WeightReservation {
    fn drop(&mut self) {
        let now = self.client.server_time();
        self.client
            .limits()
            .handle_reply(self.purpose, self.weight, self.counts, now);
    }
}

/// All state behind these locks is changed in steps that cannot panic half way, so a poisoned lock guards sound data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn flag_taken(flag: &AtomicBool) -> bool {
    flag.swap(false, Ordering::AcqRel)
}
