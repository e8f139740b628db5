//! The small loop that drives a [`Gate`] over a store and a timer.

use crate::{
    gate::{Event, Gate, Next, WaitPolicy},
    grant::{Block, Grant},
    id::{AttemptId, Subject},
    store::{PermitStore, Reply, StoreError, Take, Watch},
};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

/// The runtime's clock and alarm. With a paused clock the longest wait is tested at once.
pub trait Timer: Send + Sync {
    /// Now. Never runs backwards.
    fn now(&self) -> Instant;

    /// Resolves at or shortly after `at`. Cancellation safe.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send;

    /// Now on the wall clock, in time since 1970. `None` where there is none: rules that let
    /// permits grow old then say no.
    fn since_1970(&self) -> Option<Duration> {
        None
    }
}

/// One plan that wants to pass. An ask is used once: a second wait of the same plan is another
/// attempt and needs another id.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What the permits must be about.
    pub subject: Subject,
    /// This attempt, unique among all that share the store.
    pub attempt: AttemptId,
    /// How long to wait.
    pub policy: WaitPolicy,
}

/// Waits until every permit of the store's set is there, takes them together, and judges each.
///
/// Returns at the latest `policy.wait + policy.grace` after it was first polled, plus scheduling,
/// whatever the store does. `on_event` is called in between, from the same task; it should return
/// quickly. Nothing is spawned, and nothing stays registered with the store after the answer.
///
/// Errors: a [`Block`] is the answer no, with its reason; an error of the store is one of these
/// reasons and never surfaces in another way.
///
/// Cancellation: dropping the future ends the wait. A take that was out may still happen in the
/// store; its permits are then gone and nothing follows from them.
pub fn wait_and_take<S: PermitStore, T: Timer>(
    store: &S,
    timer: &T,
    ask: Ask,
    mut on_event: impl FnMut(Event),
) -> impl Future<Output = Result<Grant, Block>> {
    // Made out here, so that the future holds the gate and not what it was made of as well.
    let set = store.permits().clone();
    let mut gate = Gate::new(set, ask.subject, ask.attempt, ask.policy, timer.now());
    async move {
        // Watch first, then try: a permit written in between is announced, not missed.
        let mut watch = store.watch(gate.plan());
        let now = timer.now();
        gate.begin(now);
        let put_off = store.first_try_within();
        if !put_off.is_zero() {
            gate.put_off(now.checked_add(put_off).unwrap_or(now));
        }
        if let Some(since_1970) = timer.since_1970() {
            gate.handle_wall_clock(now, since_1970);
        }
        loop {
            // Answered in a block of its own: what is to be done is large, and not held while it is waited for.
            let doing = {
                let next = gate.poll(timer.now());
                while let Some(event) = gate.poll_event() {
                    on_event(event);
                }
                match next {
                    // In memory of its own: thousands wait, and few of them ask.
                    Next::Take(take) => Doing::Ask(Box::pin(ask_for(store, timer, take))),
                    Next::Wait(until) => Doing::Wait(until),
                    Next::Done(answer) => return answer,
                }
            };
            match doing {
                Doing::Ask(asking) => {
                    if let Some(reply) = asking.await {
                        gate.handle_net_interval(store.net_interval(gate.step()));
                        gate.handle_reply(timer.now(), reply);
                    }
                }
                Doing::Wait(until) => {
                    let (work, alarm) = (pin!(watch.changed()), pin!(timer.sleep_until(until)));
                    if let Some(signal) = first(work, alarm).await {
                        gate.handle_signal(timer.now(), signal);
                    }
                }
            }
        }
    }
}

/// What a wait is doing.
enum Doing<F> {
    Ask(Pin<Box<F>>),
    Wait(Instant),
}

/// The store's reply; `None` where it did not come in time.
async fn ask_for<S: PermitStore, T: Timer>(
    store: &S,
    timer: &T,
    take: Take,
) -> Option<Result<Reply, StoreError>> {
    let work = pin!(store.take_all(&take));
    let give_up = pin!(timer.sleep_until(take.not_after));
    first(work, give_up).await
}

/// The work's output, or `None` where the alarm came first. Work that is ready wins a tie.
///
/// Takes both pinned: taken by value they would lie in memory twice for as long as a plan waits.
fn first<O>(
    mut work: Pin<&mut impl Future<Output = O>>,
    mut alarm: Pin<&mut impl Future<Output = ()>>,
) -> impl Future<Output = Option<O>> {
    poll_fn(move |cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
}
