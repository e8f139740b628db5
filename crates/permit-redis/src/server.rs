//! One server with everything we hold of it: commands and watch.

use crate::{
    endpoint::{Address, Endpoint, Timeouts},
    node::{Node, Trouble},
    stats::Counters,
    watch::{WatchLink, WatchStatus},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// What all servers of one store share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) timeouts: Timeouts,
    pub(crate) counters: Arc<Counters>,
    pub(crate) status: Arc<WatchStatus>,
    /// Whether to hear of writes.
    pub(crate) watching: bool,
}

/// A server in use. Dropping it closes all connections to it.
pub(crate) struct Server {
    pub(crate) node: Node,
    at: Option<Address>,
    watch: Option<(WatchLink, Mutex<Option<oneshot::Receiver<()>>>)>,
}

impl Server {
    pub(crate) fn start(endpoint: Endpoint, context: &Context) -> Self {
        let timeouts = context.timeouts;
        let status = &context.status;
        let at = endpoint.address();
        let (counters, registry) = (Arc::clone(&context.counters), Arc::clone(status.registry()));
        let node = Node::start(endpoint.clone(), timeouts, counters, registry);
        let watch = context.watching.then(|| {
            let (link, first) = WatchLink::start(endpoint, timeouts, Arc::clone(status), &node);
            (link, Mutex::new(Some(first)))
        });
        Self { at, node, watch }
    }

    /// Whether it is reached under this address.
    pub(crate) fn is_at(&self, at: &Address) -> bool {
        self.at.as_ref() == Some(at)
    }

    /// Waits until commands can be sent and it is known whether writes are announced.
    pub(crate) async fn ready(&self, timeouts: Duration) -> Result<(), Trouble> {
        self.node.ready(timeouts).await?;
        let first = self.watch.as_ref().and_then(|(_, first)| {
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            first.take()
        });
        if let Some(first) = first {
            // Without a watch the store works, so no caller waits for it any longer than this.
            let _ = tokio::time::timeout(timeouts, first).await;
        }
        Ok(())
    }
}
