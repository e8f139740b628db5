//! Tasks that end with their owner, and pauses that grow.

use std::{future::Future, time::Duration};
use tokio::task::JoinHandle;

/// A task that is aborted when this handle is dropped.
#[derive(Debug)]
pub(crate) struct Background(JoinHandle<()>);

impl Background {
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Doubles from 10 ms to 250 ms, so that a server is found again well within a second of its
/// return and is not hammered while it is away.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LAST: Duration = Duration::from_millis(250);
    const GOOD: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    /// A connection has ended that lived this long. One that lived for a while was a good one, and
    /// the next pause is short again; one that is refused again and again is not.
    pub(crate) fn after_life_of(&mut self, lived: Duration) {
        if lived >= Self::GOOD {
            *self = Self::new();
        }
    }

    /// How long to pause now. The next pause is twice as long.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(Self::LAST);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_quarter_of_a_second() {
        let mut backoff = Backoff::new();
        let pauses: Vec<u128> = (0..7).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 250, 250]);
        backoff.after_life_of(Duration::from_millis(999));
        assert_eq!(backoff.next().as_millis(), 250);
        backoff.after_life_of(Duration::from_secs(1));
        assert_eq!(backoff.next().as_millis(), 10);
    }
}
