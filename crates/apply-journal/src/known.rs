//! Which plans the file may hold: nearly every plan that is asked about is a new one, and needs no look at it.

use permit_gate::PlanId;
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

/// A Bloom filter of fixed size. It never forgets: an entry that is pruned may still be looked for in the file, and is
/// not found there. With 100,000 entries about one new plan in a hundred is looked for
/// as well, with a million nine in ten.
#[derive(Debug)]
pub(crate) struct Known {
    words: Box<[AtomicU64]>,
    /// Two, so that a chosen plan id cannot make them collide.
    hashes: [RandomState; 2],
}

/// 128 KiB.
const WORDS: usize = 1 << 14;

/// How many bits a plan sets.
const BITS: u64 = 4;

impl Known {
    pub(crate) fn new() -> Self {
        Self {
            words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
            hashes: [RandomState::new(), RandomState::new()],
        }
    }

    /// To be called before anybody hears that an entry of the plan is written.
    pub(crate) fn add(&self, plan: &PlanId) {
        for (word, bit) in self.places(plan) {
            word.fetch_or(bit, Ordering::Release);
        }
    }

    /// False only where nothing was ever written of the plan.
    pub(crate) fn may_hold(&self, plan: &PlanId) -> bool {
        self.places(plan)
            .all(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
    }

    fn places(&self, plan: &PlanId) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let [first, second] = &self.hashes;
        let (first, second) = (
            first.hash_one(plan.as_str()),
            second.hash_one(plan.as_str()),
        );
        (0..BITS).map(move |number| {
            let place = first.wrapping_add(number.wrapping_mul(second));
            // The highest bits choose the word, the next ones the bit in it.
            let word = usize::try_from(place >> 50).unwrap_or_default() % WORDS;
            (&self.words[word], 1 << (place >> 44 & 63))
        })
    }
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
