//! Which plans the file may hold: nearly every plan that is asked about is a new one, and needs no look at it.

use permit_gate::PlanId;
use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bloom filters, each of twice the size of the one before: a journal of two thousand plans has one of 4 KiB, one of a
/// hundred thousand has 252 KiB. They never forget: an entry that is pruned may still be looked for in the file, and is
/// not found there. Each takes one new plan in four hundred for one that it holds; that one is looked for as well. There
/// are nine at most, 2 MiB for a million plans written by one process; beyond that more and more new plans are looked for.
#[derive(Debug)]
pub(crate) struct Known {
    filters: Mutex<Vec<Filter>>,
    /// Two, so that a chosen plan id cannot make them collide.
    hashes: [RandomState; 2],
}

#[derive(Debug)]
struct Filter {
    words: Box<[u64]>,
    /// How many plans more it takes before the next one is begun.
    room: usize,
}

/// 4 KiB; the last one has 1 MiB.
const SMALLEST: usize = 1 << 9;
const MOST: usize = 9;

/// How many bits a plan sets, and how many there are for each.
const BITS: u64 = 4;
const BITS_A_PLAN: usize = 16;

impl Known {
    pub(crate) fn new() -> Self {
        Self {
            filters: Mutex::new(vec![Filter::of(SMALLEST)]),
            hashes: [RandomState::new(), RandomState::new()],
        }
    }

    /// To be called before anybody hears that an entry of the plan is written.
    pub(crate) fn add(&self, plan: &PlanId) {
        let hash = self.hash(plan);
        let mut filters = self.filters();
        if filters.iter().any(|filter| filter.may_hold(hash)) {
            return;
        }
        let full = filters.last().filter(|last| last.room == 0);
        let next = full.map(|last| last.words.len() * 2);
        if let Some(words) = next.filter(|_| filters.len() < MOST) {
            filters.push(Filter::of(words));
        }
        if let Some(last) = filters.last_mut() {
            last.add(hash);
        }
    }

    /// False only where nothing was ever written of the plan.
    pub(crate) fn may_hold(&self, plan: &PlanId) -> bool {
        let hash = self.hash(plan);
        self.filters().iter().any(|filter| filter.may_hold(hash))
    }

    fn filters(&self) -> MutexGuard<'_, Vec<Filter>> {
        // Each change is whole at every moment: a bit, a filter.
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, plan: &PlanId) -> (u64, u64) {
        let [first, second] = &self.hashes;
        (
            first.hash_one(plan.as_str()),
            second.hash_one(plan.as_str()),
        )
    }
}

impl Filter {
    fn of(words: usize) -> Self {
        Self {
            words: vec![0; words].into_boxed_slice(),
            room: words * 64 / BITS_A_PLAN,
        }
    }

    fn add(&mut self, hash: (u64, u64)) {
        for (word, bit) in places(hash, self.words.len()) {
            self.words[word] |= bit;
        }
        self.room = self.room.saturating_sub(1);
    }

    fn may_hold(&self, hash: (u64, u64)) -> bool {
        places(hash, self.words.len()).all(|(word, bit)| self.words[word] & bit != 0)
    }
}

fn places((first, second): (u64, u64), words: usize) -> impl Iterator<Item = (usize, u64)> {
    (0..BITS).map(move |number| {
        let place = first.wrapping_add(number.wrapping_mul(second));
        // The highest bits choose the word, the lowest ones the bit in it.
        let word = usize::try_from(place >> 40).unwrap_or_default() % words;
        (word, 1 << (place & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_held_and_nearly_nothing_else() {
        let known = Known::new();
        let plan = |number: u64| PlanId::new(&format!("{number:016x}")).unwrap();
        for number in 0..20_000 {
            known.add(&plan(number));
        }
        assert!((0..20_000).all(|number| known.may_hold(&plan(number))));
        let others = (20_000..40_000).filter(|number| known.may_hold(&plan(*number)));
        let others = others.count();
        assert!(others < 200, "{others} of 20000");
    }
}
