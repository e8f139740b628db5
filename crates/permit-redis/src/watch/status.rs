//! What a store knows of its watches: how many there should be, how many are armed.

use super::{
    mode::WatchMode,
    registry::{Registry, UnannouncedPermits},
};
use crate::stats::Counters;
use permit_gate::PlanId;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Net looks a second that all waiting plans together may cost while pushes come. The net is for
/// pushes that are lost; one look in a hundredth of a second finds a broken watch soon enough.
const NET_A_SECOND_PUSHED: u64 = 100;

/// The same where nothing is pushed and looking is the only way.
const NET_A_SECOND_POLLED: u64 = 5_000;

/// Shared by all watch connections of one store.
pub(crate) struct WatchStatus {
    registry: Arc<Registry>,
    counters: Arc<Counters>,
    wanted: AtomicUsize,
    tracking: AtomicUsize,
    notifications: AtomicUsize,
    /// Why the server that was tried last is polled.
    trouble: Mutex<Option<String>>,
    blind: watch::Sender<Blind>,
}

/// Whether pushes are missing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Blind {
    /// Since this many pushes had come; `None` where they are not missing.
    since: Option<u64>,
    /// How often that was found: each time the watches are made again.
    pub(crate) times: u64,
}

/// What is said while pushes are missing.
pub(crate) const UNANNOUNCED: &str =
    "a poll found a permit without a push; reconnecting the watch, polling until a push arrives";

impl WatchStatus {
    pub(crate) fn new(registry: Arc<Registry>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            registry,
            counters,
            wanted: AtomicUsize::new(0),
            tracking: AtomicUsize::new(0),
            notifications: AtomicUsize::new(0),
            trouble: Mutex::default(),
            blind: watch::Sender::default(),
        })
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// One more server is to be watched, as long as the result is held.
    pub(crate) fn want(&self) -> Held<'_> {
        Held::new(&self.wanted)
    }

    /// One server is watched in this way, as long as the result is held.
    pub(crate) fn arm(&self, mode: WatchMode) -> Option<Held<'_>> {
        match mode {
            WatchMode::Tracking => Some(Held::new(&self.tracking)),
            WatchMode::KeyspaceNotifications => Some(Held::new(&self.notifications)),
            WatchMode::Polling => None,
        }
    }

    /// A server is polled, and why; or it is not.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        *self.lock() = trouble;
    }

    /// Why the mode is polling; `None` where it is not.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.mode().pushes() {
            return None;
        }
        if self.is_blind() {
            return Some(UNANNOUNCED.into());
        }
        let trouble = self.lock().clone();
        Some(trouble.unwrap_or_else(|| "the watch is being made".into()))
    }

    /// Changes whenever pushes are found to be missing.
    pub(crate) fn blindness(&self) -> watch::Receiver<Blind> {
        self.blind.subscribe()
    }

    /// These permits of a plan are there. Where one is new and no push reports it within `timeouts`, pushes are
    /// missing.
    pub(crate) fn saw(self: &Arc<Self>, plan: &PlanId, permits: u32, timeouts: Duration) {
        // No push is promised for this one.
        if !self.mode().pushes() {
            return;
        }
        let mut new_permits = self.registry.saw(plan, permits);
        new_permits.retain(UnannouncedPermits::is_unannounced);
        if new_permits.is_empty() {
            return;
        }
        let (status, pushes) = (Arc::clone(self), self.counters.pushes.get());
        tokio::spawn(async move {
            // It may be on its way.
            tokio::time::sleep(timeouts).await;
            if new_permits.iter().any(UnannouncedPermits::is_unannounced) {
                tracing::warn!(why = UNANNOUNCED, "the watch is blind");
                status.blind.send_modify(|blind| {
                    blind.since = Some(pushes);
                    blind.times += 1;
                });
                status.registry.wake_all();
            }
        });
    }

    fn is_blind(&self) -> bool {
        let since = self.blind.borrow().since;
        since.is_some_and(|pushes| self.counters.pushes.get() == pushes)
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The weakest of all watches: a permit may lie on any of the servers. Polling while pushes are missing.
    pub(crate) fn mode(&self) -> WatchMode {
        if self.is_blind() {
            return WatchMode::Polling;
        }
        let wanted = self.wanted.load(Ordering::Relaxed);
        let tracking = self.tracking.load(Ordering::Relaxed);
        let notifications = self.notifications.load(Ordering::Relaxed);
        match wanted {
            0 => WatchMode::Polling,
            _ if tracking >= wanted => WatchMode::Tracking,
            _ if tracking + notifications >= wanted => WatchMode::KeyspaceNotifications,
            _ => WatchMode::Polling,
        }
    }

    /// How long a waiting plan should let pass between looks without a push.
    pub(crate) fn net_interval(&self, step: Duration) -> Duration {
        let a_second = match self.mode().pushes() {
            true => NET_A_SECOND_PUSHED,
            false => NET_A_SECOND_POLLED,
        };
        let waiting = u64::try_from(self.registry.waiting()).unwrap_or(u64::MAX);
        step.max(Duration::from_micros(
            waiting.saturating_mul(1_000_000 / a_second),
        ))
    }
}

/// Counts one until dropped.
pub(crate) struct Held<'a>(&'a AtomicUsize);

impl<'a> Held<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::PermitKeys;
    use permit_gate::PlanId;

    fn status() -> Arc<WatchStatus> {
        let registry = Registry::new(PermitKeys::default(), "k".into(), vec![], Arc::default());
        WatchStatus::new(registry, Arc::default())
    }

    #[test]
    fn a_store_is_watched_as_well_as_its_worst_watched_server() {
        let status = status();
        assert_eq!(status.mode(), WatchMode::Polling);
        let (_one, _two) = (status.want(), status.want());
        let first = status.arm(WatchMode::Tracking);
        assert_eq!(status.mode(), WatchMode::Polling);
        let second = status.arm(WatchMode::KeyspaceNotifications);
        assert_eq!(status.mode(), WatchMode::KeyspaceNotifications);
        drop(second);
        let second = status.arm(WatchMode::Tracking);
        assert_eq!(status.mode(), WatchMode::Tracking);
        drop((first, second));
        assert_eq!(status.mode(), WatchMode::Polling);
    }

    #[test]
    fn the_net_is_stretched_for_a_crowd_and_never_shortened() {
        let status = status();
        let step = Duration::from_millis(100);
        let _one = status.want();
        let armed = status.arm(WatchMode::Tracking);
        let watches: Vec<_> = (0..1_000)
            .map(|i| {
                status
                    .registry()
                    .watch(&PlanId::new(&format!("p{i}")).unwrap())
            })
            .collect();
        assert_eq!(status.net_interval(step), Duration::from_secs(10));
        drop(armed);
        assert_eq!(status.net_interval(step), Duration::from_millis(200));
        drop(watches);
        assert_eq!(status.net_interval(step), step);
    }
}
