//! The front door: a proposal that is rewritten is noticed by push, and read once it is whole.

use crate::pause::ShortPause;
use apply_core::Symbol;
use futures_util::future::{Either, select};
use permit_redis::{RedisFollow, RedisPermitStore};
use std::{
    collections::HashMap,
    io,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Follows the proposals of some symbols on the store's watch connection.
pub(crate) struct Front {
    doors: HashMap<Symbol, Door>,
    settle: ShortPause,
}

struct Door {
    follow: RedisFollow,
    /// Somebody knocked whose proposal was not read yet.
    knocked: AtomicBool,
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
        let door = |symbol: &Symbol| {
            let follow = store.follow(&format!("{prefix}{symbol}"));
            let knocked = AtomicBool::new(false);
            (symbol.clone(), Door { follow, knocked })
        };
        Ok(Self {
            doors: symbols.iter().map(door).collect(),
            settle: ShortPause::of(settle)?,
        })
    }

    /// Resolves when the proposal was written and is whole. Never for a symbol that is not followed.
    pub(crate) async fn changed(&self, symbol: &Symbol) {
        let Some(door) = self.doors.get(symbol) else {
            return std::future::pending().await;
        };
        // Kept beyond this future: one that is dropped in the pause has not told anybody yet.
        if !door.knocked.load(Ordering::Acquire) {
            door.follow.changed().await;
            door.knocked.store(true, Ordering::Release);
        }
        for _ in 0..MOST_TIMES {
            // The writes first: one that came during the pause begins another one.
            let (again, quiet) = (pin!(door.follow.changed()), pin!(self.settle.pass()));
            if let Either::Right(_) = select(again, quiet).await {
                break;
            }
        }
        door.knocked.store(false, Ordering::Release);
    }

    /// Whether there is a pause at all.
    pub(crate) fn settles(&self) -> bool {
        !self.settle.is_none()
    }

    /// One quiet time.
    pub(crate) async fn settled(&self) {
        self.settle.pass().await;
    }
}
