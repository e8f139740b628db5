//! Server-sent events: everything first, then every change. A browser that lost its connection comes
//! again by itself and begins with everything.

use super::state::{DashboardState, Message};
use apply_core::Symbol;
use axum::{
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

/// Browsers that may listen at the same time.
const SUBSCRIBERS: usize = 32;

/// A browser that lost its connection comes back after a second.
const RETRY: Bytes = Bytes::from_static(b"retry: 1000\n\n");

/// Who may listen, and until when.
#[derive(Debug, Clone)]
pub(super) struct StreamState {
    live: DashboardState,
    seats: Arc<Semaphore>,
    stop: CancellationToken,
}

impl StreamState {
    pub(super) fn new(live: DashboardState, stop: CancellationToken) -> Self {
        Self {
            live,
            seats: Arc::new(Semaphore::new(SUBSCRIBERS)),
            stop,
        }
    }

    /// The stream of one browser. It ends when the service stops, and when the browser lags too
    /// far behind: it comes again by itself and begins with everything.
    pub(super) fn subscribe(&self) -> Response {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            let words = "too many pages are open; close one\n";
            return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
        };
        let (snapshot, messages) = self.live.subscribe();
        let listener = Listener {
            snapshot: Some(snapshot),
            symbols: Some(None),
            messages,
            live: self.live.clone(),
            stop: self.stop.clone(),
            _seat: seat,
        };
        let messages = stream::unfold(listener, |mut listener| async {
            Some((listener.next().await?.0, listener))
        });
        let messages = stream::iter([RETRY]).chain(messages);
        let messages = messages.map(Ok::<_, Infallible>);
        let kind = [(CONTENT_TYPE, "text/event-stream")];
        (kind, Body::from_stream(messages)).into_response()
    }
}

/// One browser, and what has still to be sent to it.
struct Listener {
    snapshot: Option<Message>,
    /// The symbols after this one; `None` once all are sent.
    symbols: Option<Option<Symbol>>,
    messages: broadcast::Receiver<Message>,
    live: DashboardState,
    stop: CancellationToken,
    /// Free again when the browser is gone.
    _seat: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(&mut self) -> Option<Message> {
        if let Some(snapshot) = self.snapshot.take() {
            return Some(snapshot);
        }
        if let Some(last) = self.symbols.take()
            && let Some((piece, last)) = self.live.symbols_after(last.as_ref())
        {
            self.symbols = Some(Some(last));
            return Some(piece);
        }
        self.stop
            .run_until_cancelled(self.messages.recv())
            .await?
            .ok()
    }
}
