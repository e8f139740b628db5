//! A proposal that is rewritten is noticed by push, and counts once it is whole.

use crate::{debounce_timer::DebounceTimer, plan_store::RedisPlanStore};
use apply_core::{Debounced, Halt, Observed, PortError, ProposalSource, Symbol};
use futures_util::future::{Either, select};
use permit_redis::{RedisFollow, RedisPermitStore};
use std::{collections::HashMap, io, pin::pin, time::Duration};

/// Reports proposals that were written, on the watch connection that the permits have anyway.
pub struct ChangeFeed {
    follows: HashMap<Symbol, RedisFollow>,
    settle: DebounceTimer,
    /// Says whether writes are reported at all.
    store: RedisPermitStore,
}

/// A proposal that is rewritten over and over is read after this many quiet times at the latest.
const MOST_TIMES: u32 = 40;

impl ChangeFeed {
    /// Begins to follow. A proposal counts as whole when nothing was written to it for `settle`.
    ///
    /// Fails where no thread can be had for pauses that short.
    pub fn follow(
        store: &RedisPermitStore,
        prefix: &str,
        symbols: &[Symbol],
        settle: Duration,
    ) -> io::Result<Self> {
        let follow = |symbol: &Symbol| (symbol.clone(), store.follow(&format!("{prefix}{symbol}")));
        Ok(Self {
            follows: symbols.iter().map(follow).collect(),
            settle: DebounceTimer::of(settle)?,
            store: store.clone(),
        })
    }

    /// Resolves when the proposal was written. Never for a symbol that is not followed.
    pub async fn changed(&self, symbol: &Symbol) {
        match self.follows.get(symbol) {
            Some(follow) => follow.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Resolves when nothing was written to the proposal for one quiet time.
    pub async fn debounced(&self, symbol: &Symbol) -> Debounced {
        let Some(follow) = self.follows.get(symbol).filter(|_| !self.settle.is_none()) else {
            return Debounced::Unchanged;
        };
        let mut settled = Debounced::Unchanged;
        for _ in 0..MOST_TIMES {
            // The writes first: one that came during the pause begins another one.
            let (again, quiet) = (pin!(follow.changed()), pin!(self.settle.pass()));
            match select(again, quiet).await {
                Either::Left(_) => settled = Debounced::Changed,
                Either::Right(_) => break,
            }
        }
        match self.store.watch_mode().pushes() {
            true => settled,
            // No push would have reported it.
            false => Debounced::Changed,
        }
    }
}

/// Proposals of a [`RedisPlanStore`], with [`ProposalSource::changed`] resolving on every write: what the plan store
/// alone leaves to polling.
pub struct FollowedPlanStore {
    plan_store: RedisPlanStore,
    changes: ChangeFeed,
}

impl FollowedPlanStore {
    /// Reads from the plan store, and hears from the feed.
    pub fn new(plan_store: RedisPlanStore, changes: ChangeFeed) -> Self {
        Self {
            plan_store,
            changes,
        }
    }
}

impl ProposalSource for FollowedPlanStore {
    async fn fetch(&self, symbol: &Symbol) -> Result<Observed, PortError> {
        self.plan_store.fetch(symbol).await
    }

    async fn fetch_halt(&self, symbol: &Symbol) -> Result<Halt, PortError> {
        self.plan_store.fetch_halt(symbol).await
    }

    fn local_halt(&self) -> Halt {
        self.plan_store.local_halt()
    }

    async fn changed(&self, symbol: &Symbol) {
        self.changes.changed(symbol).await;
    }

    async fn debounced(&self, symbol: &Symbol) -> Debounced {
        self.changes.debounced(symbol).await
    }
}
