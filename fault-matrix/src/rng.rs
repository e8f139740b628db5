//! Chance that comes again: the same seed and number always throw the same.

use std::{ops::RangeInclusive, time::Duration};

/// A generator of its own for each case (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The dice of one case: neither its neighbours nor the other seeds' cases throw alike.
    pub(crate) fn of(seed: u64, case: u64) -> Self {
        let mut mixed = Self(seed);
        let base = mixed.next();
        Self(base ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number within the range.
    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        low + self.next() % (high - low + 1)
    }

    /// A time within the range, in milliseconds.
    pub(crate) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.within(1..=n) == 1
    }

    /// One of several.
    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let last = u64::try_from(from.len() - 1).unwrap_or(0);
        let index = usize::try_from(self.within(0..=last)).unwrap_or(0);
        from[index].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_case_throws_the_same_and_another_does_not() {
        let throws = |seed, case| {
            let mut rng = Rng::of(seed, case);
            (0..50).map(|_| rng.within(0..=999)).collect::<Vec<_>>()
        };
        assert_eq!(throws(7, 3), throws(7, 3));
        assert_ne!(throws(7, 3), throws(7, 4));
        assert_ne!(throws(7, 3), throws(8, 3));
        assert!(throws(7, 3).iter().all(|throw| *throw <= 999));
    }
}
