//! How times are summed up for people.

/// The nearest rank: a value that really occurred. `sorted` is in ascending order, `percent` from 0 to 100; `None` where
/// there are no values, and for 0 percent.
pub fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(quantile(&[], 50), None);
        let sorted: Vec<u64> = (1..=10).map(|n| n * 100).collect();
        let at = |percent| quantile(&sorted, percent);
        assert_eq!(at(0), None);
        let values = [50, 90, 99, 100].map(|percent| at(percent).unwrap());
        assert_eq!(values, [500, 900, 1000, 1000]);
    }
}
