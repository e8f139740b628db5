//! A permit store that wakes its waiting plan once everything else is ready for the order.

use permit_gate::{PermitSet, PermitStore, PlanId, Reply, Signal, StoreError, Take, Watch};
use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
    time::Duration,
};

/// How far everything else is. It is the task that waits that says itself when it is ready.
pub(crate) struct Readiness {
    ready: AtomicBool,
    /// The store waits for us: it was not asked yet, or every permit was there, and the intent was not noted.
    waits: AtomicBool,
}

impl Readiness {
    pub(crate) fn new(ready: bool) -> Self {
        Self {
            ready: AtomicBool::new(ready),
            waits: AtomicBool::new(!ready),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// From now on the store need not wait any more. The task looks at its wait again.
    pub(crate) async fn set(&self) {
        self.ready.store(true, Ordering::Relaxed);
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(())
        })
        .await;
    }
}

/// The store, with what its watch has to know.
pub(crate) struct WhenReady<'a, S> {
    store: &'a S,
    readiness: &'a Readiness,
    held_for: Duration,
}

impl<'a, S> WhenReady<'a, S> {
    /// The store is not asked before everything else is ready, or for so long. No permit is taken before: a try until
    /// then costs a script, and only finds a denial or the kill switch, which may wait.
    pub(crate) fn new(store: &'a S, readiness: &'a Readiness, held_for: Duration) -> Self {
        Self {
            store,
            readiness,
            held_for,
        }
    }
}

/// Resolves at what the store's watch reports, and at the moment at which the store need not wait any more.
pub(crate) struct ReadyWatch<'a, W> {
    watch: W,
    readiness: &'a Readiness,
}

impl<'a, S: PermitStore> PermitStore for WhenReady<'a, S> {
    type Watch = ReadyWatch<'a, S::Watch>;

    fn permits(&self) -> &PermitSet {
        self.store.permits()
    }

    fn watch(&self, plan: &PlanId) -> Self::Watch {
        ReadyWatch {
            watch: self.store.watch(plan),
            readiness: self.readiness,
        }
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        // What became ready while the store was looking asks for another look.
        let was_ready = self.readiness.is_ready();
        let reply = self.store.take_all(take).await;
        let waits = matches!(reply, Ok(Reply::NotReady(_))) && !was_ready;
        self.readiness.waits.store(waits, Ordering::Relaxed);
        reply
    }

    fn net_interval(&self, step: Duration) -> Duration {
        self.store.net_interval(step)
    }

    fn first_try_within(&self) -> Duration {
        match self.readiness.is_ready() {
            true => Duration::ZERO,
            false => self.held_for,
        }
    }
}

impl<W: Watch> Watch for ReadyWatch<'_, W> {
    async fn changed(&mut self) -> Signal {
        let mut changed = pin!(self.watch.changed());
        poll_fn(|cx| {
            if self.readiness.is_ready() && self.readiness.waits.swap(false, Ordering::Relaxed) {
                return Poll::Ready(Signal::LookAgain);
            }
            changed.as_mut().poll(cx)
        })
        .await
    }
}
