//! Room for plans in flight: as many places as the operator allows, and a queue for whoever found
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

/// A number of places. Clones share them.
#[derive(Debug, Clone)]
pub struct Room {
    limit: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Places nobody holds; none while somebody waits.
    free: usize,
    next: u64,
    waiting: BTreeMap<u64, Waker>,
    /// Places kept for those whose turn has come and who were not told yet.
    given: BTreeSet<u64>,
}

/// One plan's place, held until it is dropped.
#[derive(Debug)]
#[must_use = "dropping the place gives it back"]
pub struct Place {
    room: Room,
}

/// How full a room is at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Places there are.
    pub limit: usize,
    /// Places taken.
    pub taken: usize,
    /// How many wait for one.
    pub waiting: usize,
}

impl Room {
    /// A room of `limit` places.
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

    /// A place, where one is free. None while others wait: nobody passes them.
    pub fn try_enter(&self) -> Option<Place> {
        let mut state = self.lock();
        state.free = state.free.checked_sub(1)?;
        Some(Place { room: self.clone() })
    }

    /// Waits for a place behind everybody who waits already.
    ///
    /// Cancellation: the turn is given up, and goes to the next.
    pub async fn enter(&self) -> Place {
        if let Some(place) = self.try_enter() {
            return place;
        }
        let mut turn = Turn {
            room: self,
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
        Place { room: self.clone() }
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

    /// One place is free again: whoever waits longest has it.
    fn give_back(&self) {
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

impl Drop for Place {
    fn drop(&mut self) {
        self.room.give_back();
    }
}

/// A number in the queue, given up when dropped.
struct Turn<'a> {
    room: &'a Room,
    number: Option<u64>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.room.lock();
        let given = state.waiting.remove(&number).is_none() && state.given.remove(&number);
        drop(state);
        if given {
            self.room.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;

    fn room(limit: usize) -> Room {
        Room::of(NonZeroUsize::new(limit).unwrap())
    }

    fn fill(room: &Room) -> (usize, usize) {
        let Occupancy { taken, waiting, .. } = room.occupancy();
        (taken, waiting)
    }

    #[test]
    fn a_place_that_is_given_back_goes_to_whoever_waits_longest() {
        let room = room(1);
        let first = room.try_enter().unwrap();
        assert!(room.try_enter().is_none());
        let (mut second, mut third) = (Box::pin(room.enter()), Box::pin(room.enter()));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        assert_eq!(fill(&room), (1, 2));
        drop(first);
        assert!(room.try_enter().is_none(), "nobody passes those who wait");
        assert!((&mut third).now_or_never().is_none());
        let second = second.now_or_never().unwrap();
        drop(second);
        let third = third.now_or_never().unwrap();
        assert_eq!(fill(&room), (1, 0));
        drop(third);
        assert_eq!(fill(&room), (0, 0));
    }

    #[test]
    fn whoever_gives_up_its_turn_costs_nobody_a_place() {
        let room = room(1);
        let first = room.try_enter().unwrap();
        let mut patient = pin!(room.enter());
        {
            let (mut waiting, mut told) = (Box::pin(room.enter()), Box::pin(room.enter()));
            assert!((&mut waiting).now_or_never().is_none());
            assert!((&mut told).now_or_never().is_none());
            assert!((&mut patient).now_or_never().is_none());
            drop(waiting);
            // The place is kept for one that leaves before it hears of it.
            drop(first);
            assert_eq!(fill(&room), (1, 1));
        }
        let place = patient.now_or_never().unwrap();
        drop(place);
        assert_eq!(fill(&room), (0, 0));
        assert!(room.lock().given.is_empty());
    }
}
