//! Keys that somebody follows for what is written there, whatever it is.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;

/// All followers of each key. Holds nothing of keys without followers.
pub(super) struct Followers {
    prefixes: Vec<String>,
    bells: Mutex<HashMap<Arc<str>, Vec<Arc<Bell>>>>,
}

/// One follower's bell. It rings once for everything that came since it was last answered.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    notify: Notify,
}

impl Followers {
    pub(super) fn of(prefixes: Vec<String>) -> Self {
        Self {
            prefixes,
            bells: Mutex::default(),
        }
    }

    pub(super) fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.prefixes.iter().map(String::as_str)
    }

    pub(super) fn follow(self: &Arc<Self>, key: &str) -> RedisFollow {
        let (key, bell) = (Arc::<str>::from(key), Arc::<Bell>::default());
        let mut bells = self.lock();
        match bells.get_mut(&key) {
            Some(same_key) => same_key.push(Arc::clone(&bell)),
            None => {
                // Nearly always the only one: a vector of exactly one.
                bells.insert(Arc::clone(&key), Vec::from([Arc::clone(&bell)]));
            }
        }
        RedisFollow {
            followers: Arc::clone(self),
            key,
            bell,
        }
    }

    /// The key was written, deleted or has expired.
    pub(super) fn ring(&self, key: &str) {
        // Most pushes are about permits: they cost no lock here.
        if !self.prefixes().any(|prefix| key.starts_with(prefix)) {
            return;
        }
        for bell in self.lock().get(key).into_iter().flatten() {
            bell.ring();
        }
    }

    /// Something may have been missed.
    pub(super) fn ring_all(&self) {
        for bell in self.lock().values().flatten() {
            bell.ring();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Arc<Bell>>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }
}

/// Reports writes to one key. Dropping it ends that.
pub struct RedisFollow {
    followers: Arc<Followers>,
    key: Arc<str>,
    bell: Arc<Bell>,
}

impl RedisFollow {
    /// Resolves when the key may have been written, deleted or expired since this last resolved, or
    /// since the follow began; at once where it was meanwhile. Also when something may have been
    /// missed: the watch or the command connection was made again, or everything was flushed. What
    /// is written by this process counts as well: it does not come over the watch connection.
    ///
    /// Cancellation: nothing is lost. One caller at a time is woken.
    pub async fn changed(&self) {
        while !self.bell.rung.swap(false, Ordering::AcqRel) {
            self.bell.notify.notified().await;
        }
    }
}

impl Drop for RedisFollow {
    fn drop(&mut self) {
        let mut bells = self.followers.lock();
        if let Some(same_key) = bells.get_mut(&self.key) {
            same_key.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            if same_key.is_empty() {
                bells.remove(&self.key);
            }
        }
    }
}

impl fmt::Debug for RedisFollow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisFollow")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };

    fn rang(follow: &RedisFollow) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(follow.changed()).poll(&mut context).is_ready()
    }

    #[test]
    fn a_ring_reaches_its_key_and_sticks_until_it_is_answered() {
        let followers = Arc::new(Followers::of(vec!["p:".into()]));
        let (a, b, elsewhere) = (
            followers.follow("p:a"),
            followers.follow("p:b"),
            followers.follow("q:a"),
        );
        for key in ["p:a", "p:a", "p:nobody", "q:a"] {
            followers.ring(key);
        }
        assert!(rang(&a), "two rings are one");
        assert!(!rang(&a) && !rang(&b) && !rang(&elsewhere));
        followers.ring_all();
        assert!(rang(&a) && rang(&b) && rang(&elsewhere));
    }

    #[test]
    fn a_follower_that_stops_leaves_nothing_behind() {
        let followers = Arc::new(Followers::of(vec!["p:".into()]));
        let (one, other) = (followers.follow("p:a"), followers.follow("p:a"));
        drop(one);
        followers.ring("p:a");
        assert!(rang(&other));
        drop(other);
        assert!(followers.lock().is_empty());
    }
}
