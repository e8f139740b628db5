//! A limit on the plans in flight: as many slots as the operator allows, and a queue for those that find
//! none, first come first served.
//!
//! What waits here costs a few words a symbol, since a symbol waits with one proposal at a time: a
//! flood of proposals lengthens the wait and not the memory.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of slots. Clones share them.
#[derive(Debug, Clone)]
pub struct InFlightLimit {
    limit: usize,
    slots: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// One plan's slot, held until it is dropped.
#[derive(Debug)]
#[must_use = "dropping the slot gives it back"]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
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
        let limit = limit.get().min(Semaphore::MAX_PERMITS);
        Self {
            limit,
            slots: Arc::new(Semaphore::new(limit)),
            waiting: Arc::default(),
        }
    }

    /// A slot, where one is free. None while others wait: they go first.
    pub fn try_acquire(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        Some(Slot { _permit: permit })
    }

    /// Waits for a slot behind those that wait already.
    ///
    /// Cancellation: the place in the queue is given up, and a slot goes to the next in it.
    pub async fn acquire(&self) -> Slot {
        if let Some(slot) = self.try_acquire() {
            return slot;
        }
        // In memory of its own, which those that find a slot never have.
        Box::pin(async {
            let _waiting = Waiting::among(&self.waiting);
            match Arc::clone(&self.slots).acquire_owned().await {
                Ok(permit) => Slot { _permit: permit },
                Err(_) => unreachable!("the semaphore is never closed"),
            }
        })
        .await
    }

    /// How full it is.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            limit: self.limit,
            taken: self.limit - self.slots.available_permits(),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}

/// Counted as waiting until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
    fn a_released_slot_goes_to_the_longest_waiting() {
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
            "no late comer overtakes those who wait"
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
    fn a_cancelled_wait_costs_no_slot() {
        let limit = limit_of(1);
        let first = limit.try_acquire().unwrap();
        let mut patient = pin!(limit.acquire());
        {
            let (mut waiting, mut cancelled) =
                (Box::pin(limit.acquire()), Box::pin(limit.acquire()));
            assert!((&mut waiting).now_or_never().is_none());
            assert!((&mut cancelled).now_or_never().is_none());
            assert!((&mut patient).now_or_never().is_none());
            drop(waiting);
            // The place is kept for one that leaves before it hears of it.
            drop(first);
            assert_eq!(fill(&limit), (1, 2));
        }
        let slot = patient.now_or_never().unwrap();
        drop(slot);
        assert_eq!(fill(&limit), (0, 0));
        assert_eq!(limit.slots.available_permits(), 1);
    }
}
