//! How a store learns of writes.

use std::fmt;

/// How waiting plans are woken at this moment. May change at every reconnect: another server may
/// allow another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WatchMode {
    /// Not at all: each one asks again at its step.
    Polling,
    /// By keyspace notifications, where the server has them enabled already.
    KeyspaceNotifications,
    /// By the server's invalidation messages (`CLIENT TRACKING … BCAST`).
    Tracking,
}

impl WatchMode {
    /// As written in logs and metrics: `tracking`, `keyspace_notifications`, `polling`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::KeyspaceNotifications => "keyspace_notifications",
            Self::Tracking => "tracking",
        }
    }

    /// Whether writes are announced.
    pub fn pushes(self) -> bool {
        self != Self::Polling
    }
}

impl fmt::Display for WatchMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
