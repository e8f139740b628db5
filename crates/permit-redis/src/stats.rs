//! Counters an operator can look at.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store has done since it was made. Counters only grow; the number of waiters is of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Takes run as a script.
    pub script_calls: u64,
    /// Times the script was loaded, at each connect and after the server forgot it.
    pub script_loads: u64,
    /// Takes run as a transaction because scripts are forbidden.
    pub transactions: u64,
    /// Takes whose answer was lost.
    pub unsettled: u64,
    /// Takes sent on to another node of a cluster.
    pub redirects: u64,
    /// Command connections made again after the first.
    pub reconnects: u64,
    /// Reconnects of the watch connection after the first.
    pub watch_reconnects: u64,
    /// Messages of the watch that named at least one key.
    pub pushes: u64,
    /// Plans waiting right now.
    pub waiters: u64,
}

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Counter,)* }

        impl Counters {
            pub(crate) fn snapshot(&self, waiters: u64) -> Stats {
                Stats { $($name: self.$name.get(),)* waiters }
            }
        }
    };
}

counters!(
    script_calls,
    script_loads,
    transactions,
    unsettled,
    redirects,
    reconnects,
    watch_reconnects,
    pushes,
);

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
