//! The state machine: when to try, when to wait, when to stop. It never waits itself.

use crate::{
    grant::{Block, BlockReason, Grant, GrantedPermit},
    id::{AttemptId, PlanId, Subject},
    rule::{Malformed, Refusal, Terms},
    set::{PermitMask, PermitSet},
    store::{Reply, Signal, Slot, StoreError, Take, Ttl},
};
use std::{collections::VecDeque, sync::Arc, time::Duration, time::Instant};

/// How long to wait, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitPolicy {
    /// From the first try to the last one.
    pub wait: Duration,
    /// Between two tries that nothing but time asked for: the safety net, and the pause after an
    /// error of the store. Less than 1 ms counts as 1 ms, so that no setting makes a wait spin.
    pub step: Duration,
    /// How long after the last try its answer still counts. The wait as a whole never takes longer
    /// than `wait + grace`, whatever the store does.
    pub grace: Duration,
}

impl Default for WaitPolicy {
    /// 1200 ms, a step of 100 ms, and 150 ms for the last answer.
    fn default() -> Self {
        Self {
            wait: Duration::from_millis(1200),
            step: Duration::from_millis(100),
            grace: Duration::from_millis(150),
        }
    }
}

/// Two tries that nothing but time asked for are never closer than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// What to do next.
#[derive(Debug)]
pub enum Next {
    /// Ask the store, then call [`Gate::handle_reply`].
    Take(Take),
    /// Poll again at this instant, or as soon as a reply or a signal was handled.
    Wait(Instant),
    /// The answer. It is given once; polling again answers [`BlockReason::AlreadyAnswered`].
    Done(Result<Grant, Block>),
}

/// Something an operator wants to see while a plan waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A permit was seen for the first time.
    Found {
        /// Its place in the set.
        permit: usize,
        /// From the first try until it was noticed.
        after: Duration,
        /// What noticed it.
        by: FoundBy,
    },
    /// The store failed to answer and will be asked again.
    StoreTrouble {
        /// What it said.
        error: String,
        /// From the first try until now.
        after: Duration,
    },
}

/// What noticed a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FoundBy {
    /// It was there already.
    FirstTry,
    /// A push of the store.
    Push,
    /// Looking again after the watch was blind.
    Reconnect,
    /// The safety net, the last try included. Many of these where pushes should come mean that
    /// the watch is broken.
    Poll,
}

impl FoundBy {
    /// As written in logs and metrics: `first_try`, `push`, `reconnect`, `poll`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstTry => "first_try",
            Self::Push => "push",
            Self::Reconnect => "reconnect",
            Self::Poll => "poll",
        }
    }
}

/// One plan's wait for its permits.
///
/// Pure: every method that needs the time is given it. Times must not run backwards; where they
/// do, the gate may ask the store more often but never grants more.
#[derive(Debug)]
pub struct Gate {
    set: PermitSet,
    subject: Subject,
    attempt: AttemptId,
    started: Instant,
    deadline: Instant,
    not_after: Instant,
    /// The policy's.
    step: Duration,
    net: Duration,
    state: State,
    /// Not there when the store last answered.
    missing: PermitMask,
    ttls: Vec<Ttl>,
    found: PermitMask,
    /// Signalled since the last take was sent.
    signalled: PermitMask,
    /// When each permit was signalled first; empty while none was.
    pushed_at: Vec<Option<Instant>>,
    look_again: bool,
    /// The first try is put off to this moment, unless the watch says to look.
    held_until: Option<Instant>,
    /// Every permit was there when the store last answered, and the store waits for the asker.
    not_ready: bool,
    /// Boxed: hardly any wait ever has one.
    trouble: Option<Box<StoreError>>,
    /// The wall clock's time when the wait began.
    wall_clock: Option<Duration>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
enum State {
    /// Nothing was asked yet.
    Fresh,
    /// A take is out since `asked_at`; `last` when that is at or after the deadline.
    Asking {
        why: FoundBy,
        last: bool,
        asked_at: Instant,
    },
    /// Between two takes; the next one is due then, whatever happens.
    Waiting { until: Instant },
    /// Answered; the answer is kept until it is polled.
    Done(Option<Box<Result<Grant, Block>>>),
}

impl Gate {
    /// A wait that begins now.
    pub fn new(
        set: PermitSet,
        subject: Subject,
        attempt: AttemptId,
        policy: WaitPolicy,
        now: Instant,
    ) -> Self {
        let deadline = added(now, policy.wait);
        let not_after = added(deadline, policy.grace);
        Self {
            missing: set.all(),
            ttls: Vec::new(),
            found: PermitMask::NONE,
            signalled: PermitMask::NONE,
            pushed_at: Vec::new(),
            look_again: false,
            held_until: None,
            not_ready: false,
            trouble: None,
            wall_clock: None,
            events: VecDeque::new(),
            state: State::Fresh,
            net: policy.step,
            set,
            subject,
            attempt,
            started: now,
            deadline,
            not_after,
            step: policy.step,
        }
    }

    /// The wait begins now and not when the gate was made.
    pub(crate) fn begin(&mut self, now: Instant) {
        let (wait, grace) = (self.deadline - self.started, self.grace());
        self.started = now;
        self.deadline = added(now, wait);
        self.not_after = added(self.deadline, grace);
    }

    pub(crate) fn plan(&self) -> &PlanId {
        &self.subject.plan
    }

    /// Puts the first try off to this moment, to [`Gate::deadline`] at the latest. Before it only
    /// [`Signal::LookAgain`] brings the try about; what is pushed meanwhile is found when it was pushed.
    pub fn put_off(&mut self, until: Instant) {
        self.held_until = Some(until.min(self.deadline));
    }

    /// When the first try is due, where that is later.
    fn held(&self, now: Instant) -> Option<Instant> {
        self.held_until
            .filter(|&until| now < until && !self.look_again)
    }

    /// The policy's step.
    pub(crate) fn step(&self) -> Duration {
        self.step
    }

    fn grace(&self) -> Duration {
        self.not_after - self.deadline
    }

    /// When the last try is made.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The permits not seen yet when the store last answered.
    pub fn missing(&self) -> PermitMask {
        self.missing
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Next {
        match &mut self.state {
            State::Done(answer) => Next::Done(match answer.take() {
                Some(answer) => *answer,
                None => Err(self.block(now, BlockReason::AlreadyAnswered)),
            }),
            State::Asking { .. } if now < self.not_after => Next::Wait(self.not_after),
            State::Asking { .. } => {
                self.finish(Err(self.block(now, BlockReason::Unanswered)));
                self.poll(now)
            }
            State::Waiting { .. } if self.trouble.is_some() && now >= self.not_after => {
                let reason = match self.trouble.take() {
                    Some(error) => BlockReason::StoreUnavailable(*error),
                    None => BlockReason::Unanswered,
                };
                self.finish(Err(self.block(now, reason)));
                self.poll(now)
            }
            State::Waiting { .. } if self.not_ready && now >= self.not_after => {
                self.finish(Err(self.block(now, BlockReason::Late)));
                self.poll(now)
            }
            // Too late for the last try: its answer could not count any more. No take is out.
            State::Fresh | State::Waiting { .. } if now > self.not_after => {
                self.finish(Err(self.block(now, BlockReason::Late)));
                self.poll(now)
            }
            State::Fresh => match self.held(now) {
                Some(until) => Next::Wait(until),
                None => self.ask(now, FoundBy::FirstTry),
            },
            State::Waiting { until } => {
                let until = *until;
                // Where nothing was missing the wait is for the asker or for the store, and no push
                // reports either: without this a store that fails at once is asked in a spin.
                if !self.missing.is_none() && self.missing.is_within(self.signalled) {
                    self.ask(now, FoundBy::Push)
                } else if self.look_again {
                    self.ask(now, FoundBy::Reconnect)
                } else if now >= until {
                    self.ask(now, FoundBy::Poll)
                } else {
                    Next::Wait(until)
                }
            }
        }
    }

    /// What the operator should hear about, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The safety net's interval from the next wait on; never below the policy's step. See
    /// [`crate::PermitStore::net_interval`].
    pub fn handle_net_interval(&mut self, interval: Duration) {
        self.net = interval.max(self.step);
    }

    /// The wall clock said `since_1970` at `now`. From then on permits are judged by that time; a
    /// clock that is set while the gate waits changes nothing.
    pub fn handle_wall_clock(&mut self, now: Instant, since_1970: Duration) {
        self.wall_clock = since_1970.checked_sub(self.waited(now));
    }

    /// The watch noticed something. Never an answer in itself: permits count when they are taken.
    pub fn handle_signal(&mut self, now: Instant, signal: Signal) {
        match signal {
            Signal::LookAgain => self.look_again = true,
            Signal::Touched(touched) => {
                self.signalled = self.signalled.union(touched);
                self.pushed_at.resize(self.set.len(), None);
                for (i, at) in self.pushed_at.iter_mut().enumerate() {
                    if touched.contains(i) {
                        at.get_or_insert(now);
                    }
                }
            }
        }
    }

    /// The store's answer to the take that [`Gate::poll`] gave out. Answers that are not waited for any
    /// more change nothing.
    pub fn handle_reply(&mut self, now: Instant, reply: Result<Reply, StoreError>) {
        let State::Asking {
            why,
            last,
            asked_at,
        } = self.state
        else {
            return;
        };
        if now > self.not_after {
            return self.finish(Err(self.block(now, BlockReason::Unanswered)));
        }
        self.trouble = None;
        self.not_ready = false;
        match reply {
            Ok(Reply::Taken(contents)) => self.judge_taken(now, asked_at, why, contents),
            Ok(Reply::Missing(slots)) => self.judge_missing(now, why, last, &slots),
            Ok(Reply::NotReady(slots)) => self.judge_not_ready(now, why, last, &slots),
            Ok(Reply::NotHeld) => self.finish(Err(self.block(now, BlockReason::NotHeld))),
            Ok(Reply::TakenByOther) => {
                self.finish(Err(self.block(now, BlockReason::TakenByOther)));
            }
            Ok(Reply::Halted) => self.finish(Err(self.block(now, BlockReason::Halted))),
            Ok(Reply::Fenced) => self.finish(Err(self.block(now, BlockReason::Fenced))),
            Ok(Reply::Late) => self.finish(Err(self.block(now, BlockReason::Late))),
            Err(error) => self.trouble(now, error),
        }
    }

    fn ask(&mut self, now: Instant, why: FoundBy) -> Next {
        // Cleared before the take leaves: what is signalled while it is out asks for another one.
        self.signalled = PermitMask::NONE;
        self.look_again = false;
        self.state = State::Asking {
            why,
            last: now >= self.deadline,
            asked_at: now,
        };
        let take = Take {
            plan: self.subject.plan.clone(),
            attempt: self.attempt.clone(),
            asked_at: now,
            not_after: self.not_after,
        };
        Next::Take(take)
    }

    /// All or nothing was decided by the store; here every content has to be a yes.
    fn judge_taken(
        &mut self,
        now: Instant,
        asked_at: Instant,
        why: FoundBy,
        contents: Vec<Vec<u8>>,
    ) {
        if contents.len() != self.set.len() {
            let got = contents.len();
            return self.trouble(now, unreadable(format!("{got} permits taken")));
        }
        self.note_found(now, why, self.set.all());
        let mut permits = Vec::with_capacity(contents.len());
        for (i, content) in contents.iter().enumerate() {
            match self.judge(now, i, content) {
                Ok(granted) => permits.push(granted),
                Err(reason) => return self.finish(Err(self.block(now, reason))),
            }
        }
        self.missing = PermitMask::NONE;
        let grant = Grant::new(
            self.subject.clone(),
            self.attempt.clone(),
            asked_at,
            self.waited(now),
            permits,
        );
        self.finish(Ok(grant));
    }

    /// Something is missing; what is there already may be a no, which ends the wait at once.
    fn judge_missing(&mut self, now: Instant, why: FoundBy, last: bool, slots: &[Slot]) {
        let mut missing = PermitMask::NONE;
        for (i, slot) in slots.iter().enumerate() {
            if slot.ttl == Ttl::NoKey && slot.content.is_none() {
                missing = missing.union(PermitMask::only(i));
            }
        }
        // A key of another type keeps its TTL and shows no content: there, and no yes.
        let takeable = slots.iter().all(|slot| slot.content.is_some());
        if slots.len() != self.set.len() || takeable {
            return self.trouble(now, unreadable("nothing is missing, nothing taken".into()));
        }
        self.missing = missing;
        self.ttls = slots.iter().map(|slot| slot.ttl).collect();
        self.forget_false_pushes(missing);
        self.note_found(now, why, self.set.all().without(missing));
        for (i, slot) in slots.iter().enumerate() {
            if missing.contains(i) {
                continue;
            }
            let judged = match &slot.content {
                Some(content) => self.judge(now, i, content).map(drop),
                None => Err(self.refused(i, Malformed::NotAString.into())),
            };
            if let Err(reason) = judged {
                return self.finish(Err(self.block(now, reason)));
            }
        }
        if last {
            let reason = BlockReason::Missing {
                reason: self.set.missing_reason(missing),
                permits: missing,
            };
            return self.finish(Err(self.block(now, reason)));
        }
        self.wait_for(now, self.net, self.deadline);
    }

    /// Nothing is missing and nothing taken. The last try is not the last one then: what the store
    /// waits for may come up to the end of the grace.
    fn judge_not_ready(&mut self, now: Instant, why: FoundBy, last: bool, slots: &[Slot]) {
        if slots.len() != self.set.len() {
            return self.trouble(
                now,
                unreadable(format!("{} permits not ready", slots.len())),
            );
        }
        self.ttls = slots.iter().map(|slot| slot.ttl).collect();
        self.note_found(now, why, self.set.all());
        for (i, slot) in slots.iter().enumerate() {
            let judged = match &slot.content {
                Some(content) => self.judge(now, i, content).map(drop),
                None => Err(self.refused(i, Malformed::NotAString.into())),
            };
            if let Err(reason) = judged {
                return self.finish(Err(self.block(now, reason)));
            }
        }
        self.missing = PermitMask::NONE;
        self.not_ready = true;
        match last {
            false => self.wait_for(now, self.net, self.deadline),
            true => self.wait_for(now, self.grace() / 4, self.not_after),
        }
    }

    /// No answer: ask again after a pause, up to the end of the grace.
    fn trouble(&mut self, now: Instant, error: StoreError) {
        self.events.push_back(Event::StoreTrouble {
            error: error.to_string(),
            after: self.waited(now),
        });
        self.trouble = Some(Box::new(error));
        if now < self.deadline {
            self.wait_for(now, self.step, self.deadline);
        } else {
            self.wait_for(now, self.grace() / 4, self.not_after);
        }
    }

    fn wait_for(&mut self, now: Instant, pause: Duration, at_most: Instant) {
        let pause = pause.max(SHORTEST_PAUSE);
        let until = now.checked_add(pause).map_or(at_most, |t| t.min(at_most));
        self.state = State::Waiting { until };
    }

    fn judge(
        &self,
        now: Instant,
        index: usize,
        content: &[u8],
    ) -> Result<GrantedPermit, BlockReason> {
        let Some(permit) = self.set.iter().nth(index) else {
            return Err(BlockReason::Unanswered);
        };
        let rule = permit.rule();
        let judged = match self.since_1970(now) {
            Some(at) => rule.judge_at(content, &self.subject, at),
            None => rule.judge(content, &self.subject),
        };
        match judged {
            Ok(terms) => Ok(granted(permit.name(), terms)),
            Err(refusal) => Err(self.refused(index, refusal)),
        }
    }

    fn refused(&self, index: usize, refusal: Refusal) -> BlockReason {
        let name = self.set.iter().nth(index).map_or("", |p| p.name());
        BlockReason::Refused {
            permit: name.into(),
            refusal,
        }
    }

    fn note_found(&mut self, now: Instant, why: FoundBy, there: PermitMask) {
        for i in 0..self.set.len() {
            if !there.contains(i) || self.found.contains(i) {
                continue;
            }
            self.found = self.found.union(PermitMask::only(i));
            // Announced by a push is found by push, even where the net was quicker to ask.
            let (at, by) = match self.pushed_at.get(i).copied().flatten() {
                Some(at) if why != FoundBy::FirstTry || self.held_until.is_some() => {
                    (at, FoundBy::Push)
                }
                _ => (now, why),
            };
            self.events.push_back(Event::Found {
                permit: i,
                after: self.waited(at),
                by,
            });
        }
    }

    /// A push about a permit that is not there was a deletion or an expiry, not its arrival. One
    /// that came while the take was out may be newer than its answer.
    fn forget_false_pushes(&mut self, missing: PermitMask) {
        let refuted = missing.without(self.signalled);
        for (i, at) in self.pushed_at.iter_mut().enumerate() {
            if refuted.contains(i) {
                *at = None;
            }
        }
    }

    fn since_1970(&self, now: Instant) -> Option<Duration> {
        self.wall_clock?.checked_add(self.waited(now))
    }

    fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    fn block(&self, now: Instant, reason: BlockReason) -> Block {
        let plan = self.subject.plan.clone();
        Block::new(plan, reason, self.waited(now), &self.set, &self.ttls)
    }

    fn finish(&mut self, answer: Result<Grant, Block>) {
        self.state = State::Done(Some(Box::new(answer)));
    }
}

fn granted(name: &str, terms: Terms) -> GrantedPermit {
    GrantedPermit {
        name: Arc::from(name),
        terms,
    }
}

/// A wait beyond what the clock can express has no last try that could be trusted: no wait.
fn added(at: Instant, wait: Duration) -> Instant {
    at.checked_add(wait).unwrap_or(at)
}

fn unreadable(what: String) -> StoreError {
    StoreError::Unreadable(what)
}
