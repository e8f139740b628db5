//! A permit store that wakes its waiting plan once everything else is ready for the order.

use permit_gate::{PermitSet, PermitStore, PlanId, Reply, Signal, StoreError, Take, Watch};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

/// The store, with what its watch has to know. The task that waits sets `ready` itself and looks at its
/// wait again then, so no task has to be woken.
pub(crate) struct WhenReady<'a, S> {
    store: &'a S,
    ready: &'a AtomicBool,
    /// The store waits for us: every permit was there, and the intent was not noted.
    waits: Arc<AtomicBool>,
}

impl<'a, S> WhenReady<'a, S> {
    pub(crate) fn new(store: &'a S, ready: &'a AtomicBool) -> Self {
        Self {
            store,
            ready,
            waits: Arc::default(),
        }
    }
}

/// Resolves at what the store's watch reports, and at the moment at which the store need not wait any more.
pub(crate) struct ReadyWatch<'a, W> {
    watch: W,
    ready: &'a AtomicBool,
    waits: Arc<AtomicBool>,
}

impl<'a, S: PermitStore> PermitStore for WhenReady<'a, S> {
    type Watch = ReadyWatch<'a, S::Watch>;

    fn permits(&self) -> &PermitSet {
        self.store.permits()
    }

    fn watch(&self, plan: &PlanId) -> Self::Watch {
        ReadyWatch {
            watch: self.store.watch(plan),
            ready: self.ready,
            waits: Arc::clone(&self.waits),
        }
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        // What became ready while the store was looking asks for another look.
        let was_ready = self.ready.load(Ordering::Relaxed);
        let reply = self.store.take_all(take).await;
        let waits = matches!(reply, Ok(Reply::NotReady(_))) && !was_ready;
        self.waits.store(waits, Ordering::Relaxed);
        reply
    }

    fn net_interval(&self, step: Duration) -> Duration {
        self.store.net_interval(step)
    }
}

impl<W: Watch> Watch for ReadyWatch<'_, W> {
    async fn changed(&mut self) -> Signal {
        let mut changed = pin!(self.watch.changed());
        poll_fn(|cx| {
            if self.ready.load(Ordering::Relaxed) && self.waits.swap(false, Ordering::Relaxed) {
                return Poll::Ready(Signal::LookAgain);
            }
            changed.as_mut().poll(cx)
        })
        .await
    }
}
