//! The store an embedder holds.

use crate::{
    config::RedisConfig,
    connections::{ConnectError, Connections},
    link::RedisLink,
    stats::Stats,
    watch::{RedisFollow, RedisWatch, WatchMode},
};
use permit_gate::{PermitSet, PermitStore, PlanId, Reply, StoreError, Take};
use std::{fmt, sync::Arc, time::Duration};

/// Permits on Redis. Clones share everything; the last one dropped closes all connections.
///
/// One process should have one: it keeps one connection for commands and one to be woken by, for
/// any number of waiting plans.
#[derive(Clone)]
pub struct RedisPermitStore {
    inner: Arc<Connections>,
    link: RedisLink,
}

impl RedisPermitStore {
    /// Connects, and finds out in which ways permits can be taken and waiting plans woken.
    ///
    /// Needs a tokio runtime with time and I/O. Once connected it reconnects by itself for as long
    /// as it lives.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Config`] where the keys of a plan cannot be taken in one step, as on a
    /// cluster that keeps them in different slots; [`ConnectError::Unreachable`] where Redis does
    /// not answer within [`RedisConfig::start_timeout`], [`ConnectError::Unfit`] where it refuses us for as
    /// long; [`ConnectError::Unusable`] where it is too old.
    ///
    /// Cancellation: nothing is left behind.
    pub async fn connect(config: RedisConfig) -> Result<Self, ConnectError> {
        config.check()?;
        let inner = Arc::new(Connections::connect(config).await?);
        Ok(Self {
            link: RedisLink::over(Arc::clone(&inner)),
            inner,
        })
    }

    /// The store's command connections, for what else lies on the same Redis.
    pub fn link(&self) -> RedisLink {
        self.link.clone()
    }

    /// How waiting plans are woken at this moment.
    pub fn watch_mode(&self) -> WatchMode {
        self.inner.status.mode()
    }

    /// Why it is polling, in a sentence; `None` where it is not.
    pub fn watch_trouble(&self) -> Option<String> {
        self.inner.status.trouble()
    }

    /// Follows one key that begins like a prefix of [`RedisConfig::follow_prefix`]: proposals, say,
    /// that somebody rewrites in place. Costs the server nothing beyond the watch there is already.
    ///
    /// Nothing is promised of a key under no such prefix, and nothing while
    /// [`RedisPermitStore::watch_mode`] is polling: a follower polls besides.
    pub fn follow(&self, key: &str) -> RedisFollow {
        self.inner.status.registry().follow(key)
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        let waiting = self.inner.status.registry().waiting();
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        self.inner.counters.snapshot(waiting)
    }
}

impl PermitStore for RedisPermitStore {
    type Watch = RedisWatch;

    fn permits(&self) -> &PermitSet {
        self.inner.config.keys.permits()
    }

    fn watch(&self, plan: &PlanId) -> RedisWatch {
        self.inner.status.registry().watch(plan)
    }

    /// Sends the take once. What became of it when no answer came, the same attempt learns by
    /// asking again.
    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        // Boxed, and only when its turn has come: what a take needs is not to be part of every
        // plan that waits.
        let _turn = match self.inner.turns.try_acquire() {
            Ok(turn) => turn,
            Err(_) => Box::pin(self.inner.turns.acquire())
                .await
                .map_err(|_| StoreError::Unavailable("the store is closing".into()))?,
        };
        Box::pin(self.inner.take(take)).await
    }

    fn net_interval(&self, step: Duration) -> Duration {
        self.inner.status.net_interval(step)
    }
}

impl fmt::Debug for RedisPermitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPermitStore")
            .field("config", &self.inner.config)
            .field("watch_mode", &self.watch_mode())
            .finish_non_exhaustive()
    }
}
