//! Distinguishes one run of a server from another.

use std::sync::atomic::{AtomicU64, Ordering};

/// One server, for as long as it runs: started again it is another one, and so is the one that takes its
/// place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerId(u64);

impl ServerId {
    /// One that no other server of this process has.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// As a number.
    pub fn get(self) -> u64 {
        self.0
    }
}
