//! The front door: a proposal that is rewritten is noticed by push, and counts once it is whole.

use crate::pause::ShortPause;
use apply_core::{Settled, Symbol};
use futures_util::future::{Either, select};
use permit_redis::{RedisFollow, RedisPermitStore};
use std::{collections::HashMap, io, pin::pin, time::Duration};

/// Follows the proposals of some symbols on the store's watch connection.
pub(crate) struct Front {
    follows: HashMap<Symbol, RedisFollow>,
    settle: ShortPause,
    /// Says whether writes are told of at all.
    store: RedisPermitStore,
}

/// A proposal that is rewritten over and over is read after this many quiet times at the latest.
const MOST_TIMES: u32 = 40;

impl Front {
    /// Begins to follow. A proposal counts as whole when nothing was written to it for `settle`.
    ///
    /// Fails where no thread can be had for pauses that short.
    pub(crate) fn follow(
        store: &RedisPermitStore,
        prefix: &str,
        symbols: &[Symbol],
        settle: Duration,
    ) -> io::Result<Self> {
        let follow = |symbol: &Symbol| (symbol.clone(), store.follow(&format!("{prefix}{symbol}")));
        Ok(Self {
            follows: symbols.iter().map(follow).collect(),
            settle: ShortPause::of(settle)?,
            store: store.clone(),
        })
    }

    /// Resolves when the proposal was written. Never for a symbol that is not followed.
    pub(crate) async fn changed(&self, symbol: &Symbol) {
        match self.follows.get(symbol) {
            Some(follow) => follow.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Resolves when nothing was written to the proposal for one quiet time.
    pub(crate) async fn settled(&self, symbol: &Symbol) -> Settled {
        let Some(follow) = self.follows.get(symbol).filter(|_| !self.settle.is_none()) else {
            return Settled::Still;
        };
        let mut settled = Settled::Still;
        for _ in 0..MOST_TIMES {
            // The writes first: one that came during the pause begins another one.
            let (again, quiet) = (pin!(follow.changed()), pin!(self.settle.pass()));
            match select(again, quiet).await {
                Either::Left(_) => settled = Settled::ReadAgain,
                Either::Right(_) => break,
            }
        }
        match self.store.watch_mode().pushes() {
            true => settled,
            // Nobody would have told.
            false => Settled::ReadAgain,
        }
    }
}
