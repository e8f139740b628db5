//! Whether the service is alive and ready: for the service manager and over HTTP.

use crate::{dashboard::DashboardState, http::Page};
use apply_core::{Generation, PortError};
use apply_journal::RedbJournal;
use apply_redis::OtherMode;
use permit_gate::foreign::printable;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant as StdInstant},
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Set once recovery is done and the symbols are served, taken back when the service stops; and
/// not ready either while the journal fails, since nothing can be placed then.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Parts>);

#[derive(Debug, Default)]
struct Parts {
    serving: AtomicBool,
    /// When Redis is clean: until then no plan is claimed.
    clean_at: Mutex<Option<StdInstant>>,
    journal: Mutex<JournalHealth>,
    /// What is said of plans that a dry run leaves alone.
    left: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct JournalHealth {
    /// What it says, while it fails.
    failing: Option<String>,
    /// When that was last said aloud.
    logged: Option<Instant>,
}

/// Whether Redis takes this instance's writes: what came of the last one, and when one was taken. Shared by all
/// clones.
#[derive(Debug, Clone, Default)]
pub struct StoreWrites(Arc<Mutex<LastWrite>>);

#[derive(Debug, Default)]
struct LastWrite {
    taken: Option<Instant>,
    refused: Option<String>,
}

/// Whether an instance of the other mode works on the same Redis. A dry run beside a live instance does nothing. Shared
/// by all clones.
#[derive(Debug, Clone, Default)]
pub struct Fence(Arc<Mutex<Option<OtherMode>>>);

impl Fence {
    /// Records what was found now; whether that differs from before.
    pub(crate) fn note(&self, found: Option<OtherMode>) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = last.is_some() != found.is_some();
        *last = found;
        has_changed
    }

    /// Why this instance does nothing, where it is a dry run beside a live instance.
    pub fn closed(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let other = last.as_ref().filter(|other| other.fences());
        other.map(ToString::to_string)
    }

    /// Whether it is closed for an instance that does not say its mode.
    pub(crate) fn is_by_unknown(&self) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref()
            .is_some_and(|other| other.fences() && other.lease.mode.is_empty())
    }

    /// A line of `/readyz?verbose`, where there is anything to say.
    fn line(&self) -> String {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map_or_else(String::new, |other| {
            let sign = if other.fences() { '-' } else { '+' };
            format!("[{sign}] Environment: {}\n", printable(&other.to_string()))
        })
    }
}

/// A store that has taken no write for so long takes none.
const NO_WRITE: Duration = Duration::from_secs(3);

impl StoreWrites {
    /// What came of a write that was tried now.
    pub fn note(&self, answer: &Result<(), PortError>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(()) => (last.taken, last.refused) = (Some(Instant::now()), None),
            Err(PortError(why)) => last.refused = Some(why.clone()),
        }
    }

    /// Why no write is taken; `None` where one was a moment ago. Before the first try nothing is known.
    pub fn trouble(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&last.refused, last.taken) {
            (Some(why), _) => Some(why.clone()),
            (None, Some(taken)) if taken.elapsed() > NO_WRITE => Some(format!(
                "no write was taken for {} s",
                taken.elapsed().as_secs()
            )),
            (None, _) => None,
        }
    }
}

/// Between two looks at the journal. With the time after which its disk counts as one that hangs, that is
/// how long readiness may be wrong.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A journal that fails again is said aloud again after so long.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// Looks at the journal until `stop`. Nothing is ready while it fails.
pub(crate) async fn watch_journal(journal: RedbJournal, health: Health, stop: CancellationToken) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        health.set_journal(journal.condition());
    }
}

impl Health {
    /// Whether the symbols are served.
    pub fn set_ready(&self, ready: bool) {
        self.0.serving.store(ready, Ordering::Release);
    }

    /// What the journal answered now; said aloud when it begins to fail, and when it does no more.
    fn set_journal(&self, answer: Result<(), PortError>) {
        let mut journal = self.journal();
        match (&journal.failing, answer) {
            (None, Err(PortError(why))) => {
                // A disk that is slow again and again is not logged again and again.
                let quiet = journal.logged.is_some_and(|at| at.elapsed() < LOG_AGAIN);
                if !quiet {
                    error!("Not ready: {why}");
                    journal.logged = Some(Instant::now());
                }
                journal.failing = Some(why);
            }
            // A disk that was slow may turn out to be full.
            (Some(_), Err(PortError(why))) => journal.failing = Some(why),
            (_, Ok(())) => journal.failing = None,
        }
    }

    /// What is to be said of plans that a dry run leaves alone.
    pub(crate) fn set_left(&self, text: String) {
        *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// A line about them, where there are any.
    fn left(&self) -> String {
        let left = self.0.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.as_ref().map_or_else(String::new, |text| {
            format!("[-] Left alone: {}\n", printable(text))
        })
    }

    /// Since when Redis remembers what was written to it.
    pub fn set_generation(&self, generation: &Generation) {
        let clean_at = self.0.clean_at.lock();
        *clean_at.unwrap_or_else(PoisonError::into_inner) = Some(generation.clean_at);
    }

    /// How long no plan is claimed yet.
    fn clean_in(&self) -> Duration {
        let clean_at = *self
            .0
            .clean_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        clean_at.map_or(Duration::ZERO, |at| {
            at.saturating_duration_since(StdInstant::now())
        })
    }

    fn is_ready(&self) -> bool {
        self.0.serving.load(Ordering::Acquire) && self.journal().failing.is_none()
    }

    fn journal(&self) -> MutexGuard<'_, JournalHealth> {
        let lock = self.0.journal.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page that knows as well whether the service is ready.
#[derive(Debug, Clone)]
pub struct WithHealth<P> {
    /// What it shows otherwise.
    pub page: P,
    /// Whether the service is ready.
    pub health: Health,
    /// How its parts are.
    pub live: DashboardState,
    /// Whether it does nothing beside a live instance.
    pub fence: Fence,
}

impl<P: Page> Page for WithHealth<P> {
    fn render(&self) -> String {
        self.page.render()
    }

    fn is_ready(&self) -> bool {
        // A server that takes no writes is one judgement for the page, the metrics and this.
        self.health.is_ready() && self.fence.closed().is_none() && !self.live.is_redis_bad()
    }

    /// The lights are looked at once a second, the journal more often.
    fn parts(&self) -> String {
        let memory = match self.health.clean_in() {
            Duration::ZERO => "[+] Claims: Redis remembers them".to_owned(),
            left => format!(
                "[-] Claims: Redis may have forgotten some, no plan is claimed for {left:.1?}"
            ),
        };
        let mut parts = self.live.parts();
        if let Some(why) = &self.health.journal().failing
            && !parts.contains("[-] Journal:")
        {
            let others = parts.lines().filter(|line| !line.contains("] Journal: "));
            parts = others.map(|line| format!("{line}\n")).collect();
            parts += &format!("[-] Journal: {}\n", printable(why));
        }
        parts + &self.fence.line() + &self.health.left() + &memory + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_was_slow_and_is_full_now_is_called_full() {
        let health = Health::default();
        for why in ["slow", "full"] {
            health.set_journal(Err(PortError(why.into())));
            assert_eq!(health.journal().failing.as_deref(), Some(why));
        }
        health.set_journal(Ok(()));
        assert_eq!(health.journal().failing, None);
    }
}
