//! What fails again and again is logged once, and then less and less often.

use crate::symbol::Symbol;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What fails at this moment, by symbol and by what was to be done.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<HashMap<(Symbol, &'static str), Complaint>>);

#[derive(Debug)]
struct Complaint {
    /// When it may be logged again.
    next: Instant,
    pause: Duration,
}

/// From the first line to the second.
const FIRST: Duration = Duration::from_secs(10);

/// At most from one line to the next.
const LONGEST: Duration = Duration::from_secs(600);

impl Complaints {
    /// Whether this failure is to be logged now. It counts as logged then.
    pub(crate) fn is_due(&self, symbol: &Symbol, doing: &'static str, now: Instant) -> bool {
        let mut failing = self.lock();
        match failing.get_mut(&(symbol.clone(), doing)) {
            Some(complaint) if now < complaint.next => false,
            Some(complaint) => {
                complaint.pause = complaint.pause.saturating_mul(3).min(LONGEST);
                complaint.next = now + complaint.pause;
                true
            }
            None => {
                let complaint = Complaint {
                    next: now + FIRST,
                    pause: FIRST,
                };
                failing.insert((symbol.clone(), doing), complaint);
                true
            }
        }
    }

    /// It works again: the next failure is logged at once.
    pub(crate) fn end(&self, symbol: &Symbol, doing: &'static str) {
        let mut failing = self.lock();
        if !failing.is_empty() {
            failing.remove(&(symbol.clone(), doing));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Symbol, &'static str), Complaint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_lasts_is_logged_less_and_less_often_and_a_new_one_at_once() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let btc: Symbol = "BTCUSDT".parse().unwrap();
        let eth: Symbol = "ETHUSDT".parse().unwrap();
        let is_due = |symbol: &Symbol, seconds: u64| {
            complaints.is_due(symbol, "publish", start + Duration::from_secs(seconds))
        };
        let lines = (0..3600).filter(|second| is_due(&btc, *second)).count();
        assert_eq!(lines, 10, "at 0, 10, 40, 130, 400 and every 600 seconds");
        assert!(is_due(&eth, 1) && !is_due(&eth, 2), "another symbol");
        complaints.end(&btc, "publish");
        assert!(is_due(&btc, 3601));
    }
}
