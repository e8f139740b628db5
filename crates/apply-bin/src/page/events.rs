//! Server-sent events: everything first, then every change.

use super::state::{Live, Message};
use axum::{
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures_util::stream;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

/// Browsers that may listen at the same time.
const SUBSCRIBERS: usize = 32;

/// When a browser that lost its connection comes back.
const RETRY: Duration = Duration::from_secs(1);

/// Who may listen, and until when.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    live: Live,
    seats: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Desk {
    pub(super) fn new(live: Live, stop: CancellationToken) -> Self {
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
        let (snapshot, news) = self.live.subscribe();
        let stop = self.stop.clone();
        let first = to_event(&snapshot).retry(RETRY);
        // The seat is held by the stream and free again when the browser is gone.
        let state = (Some(first), news, stop, seat);
        let events = stream::unfold(state, |(first, mut news, stop, seat)| async move {
            let event = match first {
                Some(first) => first,
                None => to_event(&next(&mut news, &stop).await?),
            };
            Some((Ok::<_, Infallible>(event), (None, news, stop, seat)))
        });
        Sse::new(events).into_response()
    }
}

async fn next(
    news: &mut broadcast::Receiver<Message>,
    stop: &CancellationToken,
) -> Option<Message> {
    stop.run_until_cancelled(news.recv()).await?.ok()
}

fn to_event(message: &Message) -> Event {
    Event::default().event(message.event).data(&*message.data)
}
