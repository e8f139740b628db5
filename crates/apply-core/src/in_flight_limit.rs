//! A limit on the plans in flight: as many slots as the operator allows, and a queue for those that find
//! none, first come first served.
//!
//! What waits here costs a few words a symbol, since a symbol waits with one proposal at a time: a
//! flood of proposals lengthens the wait and not the memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// A number of slots. Clones share them.
#[derive(Debug, Clone)]
pub struct InFlightLimit {
    limit: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Free slots; none while somebody waits.
    free: usize,
    next: u64,
    waiting: BTreeMap<u64, Waker>,
    /// Slots kept for waiters that are woken and have not run yet.
    given: BTreeSet<u64>,
}

/// One plan's slot, held until it is dropped.
#[derive(Debug)]
#[must_use = "dropping the slot gives it back"]
pub struct Slot {
    of: InFlightLimit,
}

/// How full the limit is at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Slots there are.
    pub limit: usize,
    /// Slots taken.
    pub taken: usize,
    /// How many wait for one.
    pub waiting: usize,
}

impl InFlightLimit {
    /// A limit of `limit` slots.
    pub fn of(limit: NonZeroUsize) -> Self {
        let state = State {
            free: limit.get(),
            ..State::default()
        };
        Self {
            limit: limit.get(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A slot, where one is free. None while others wait: they go first.
    pub fn try_acquire(&self) -> Option<Slot> {
        let mut state = self.lock();
        state.free = state.free.checked_sub(1)?;
        Some(Slot { of: self.clone() })
    }

    /// Waits for a slot behind those that wait already.
    ///
    /// Cancellation: the turn is given up, and goes to the next.
    pub async fn acquire(&self) -> Slot {
        if let Some(slot) = self.try_acquire() {
            return slot;
        }
        let mut turn = Queued {
            of: self,
            number: None,
        };
        poll_fn(|cx| {
            let mut state = self.lock();
            let Some(number) = turn.number else {
                if let Some(free) = state.free.checked_sub(1) {
                    state.free = free;
                    return Poll::Ready(());
                }
                let number = state.next;
                state.next += 1;
                state.waiting.insert(number, cx.waker().clone());
                turn.number = Some(number);
                return Poll::Pending;
            };
            if state.given.remove(&number) {
                turn.number = None;
                return Poll::Ready(());
            }
            state.waiting.insert(number, cx.waker().clone());
            Poll::Pending
        })
        .await;
        Slot { of: self.clone() }
    }

    /// How full it is.
    pub fn occupancy(&self) -> Occupancy {
        let state = self.lock();
        Occupancy {
            limit: self.limit,
            taken: self.limit - state.free,
            waiting: state.waiting.len(),
        }
    }

    /// One slot is free again: the longest waiter gets it.
    fn release(&self) {
        let mut state = self.lock();
        match state.waiting.pop_first() {
            Some((number, waker)) => {
                state.given.insert(number);
                drop(state);
                waker.wake();
            }
            None => state.free += 1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything in it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.of.release();
    }
}

/// A number in the queue, given up when dropped.
struct Queued<'a> {
    of: &'a InFlightLimit,
    number: Option<u64>,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.of.lock();
        let given = state.waiting.remove(&number).is_none() && state.given.remove(&number);
        drop(state);
        if given {
            self.of.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;

    fn limit_of(limit: usize) -> InFlightLimit {
        InFlightLimit::of(NonZeroUsize::new(limit).unwrap())
    }

    fn fill(limit: &InFlightLimit) -> (usize, usize) {
        let Occupancy { taken, waiting, .. } = limit.occupancy();
        (taken, waiting)
    }

    #[test]
    fn a_place_that_is_given_back_goes_to_whoever_waits_longest() {
        let limit = limit_of(1);
        let first = limit.try_acquire().unwrap();
        assert!(limit.try_acquire().is_none());
        let (mut second, mut third) = (Box::pin(limit.acquire()), Box::pin(limit.acquire()));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        assert_eq!(fill(&limit), (1, 2));
        drop(first);
        assert!(
            limit.try_acquire().is_none(),
            "nobody passes those who wait"
        );
        assert!((&mut third).now_or_never().is_none());
        let second = second.now_or_never().unwrap();
        drop(second);
        let third = third.now_or_never().unwrap();
        assert_eq!(fill(&limit), (1, 0));
        drop(third);
        assert_eq!(fill(&limit), (0, 0));
    }

    #[test]
    fn whoever_gives_up_its_turn_costs_nobody_a_place() {
        let limit = limit_of(1);
        let first = limit.try_acquire().unwrap();
        let mut patient = pin!(limit.acquire());
        {
            let (mut waiting, mut told) = (Box::pin(limit.acquire()), Box::pin(limit.acquire()));
            assert!((&mut waiting).now_or_never().is_none());
            assert!((&mut told).now_or_never().is_none());
            assert!((&mut patient).now_or_never().is_none());
            drop(waiting);
            // The place is kept for one that leaves before it hears of it.
            drop(first);
            assert_eq!(fill(&limit), (1, 1));
        }
        let slot = patient.now_or_never().unwrap();
        drop(slot);
        assert_eq!(fill(&limit), (0, 0));
        assert!(limit.lock().given.is_empty());
    }
}
