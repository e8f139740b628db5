//! One rendering for everybody who reads at the same time.
//!
//! A page of ten thousand symbols has ten megabytes. A slow reader holds what it reads, so that
//! the memory of a rendering each would be the clients' to choose. There are two at most.

use bytes::Bytes;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::Mutex, task::spawn_blocking, time::Instant};

/// How old a rendering may be that somebody else still reads.
const FRESH: Duration = Duration::from_secs(1);

/// The renderings of one page. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// The newest, for as long as anybody reads it, and when it was made.
    newest: Weak<String>,
    at: Option<Instant>,
    /// The one before, likewise.
    former: Weak<String>,
}

impl Shared {
    /// The page as of now; as of a moment ago where others read that, and as of longer ago where two
    /// renderings are being read already. Rendered on a thread of its own: it takes as long as several orders.
    pub(crate) async fn get(&self, render: impl FnOnce() -> String + Send + 'static) -> Bytes {
        let mut kept = self.0.lock().await;
        if let Some(newest) = kept.newest.upgrade() {
            let fresh = kept.at.is_some_and(|at| at.elapsed() < FRESH);
            if fresh || kept.former.strong_count() > 0 {
                return held(newest);
            }
            kept.former = Arc::downgrade(&newest);
        }
        let at = Instant::now();
        let rendered = spawn_blocking(|| Arc::new(render())).await;
        // Only where the rendering panicked, which was logged by itself.
        let rendered = rendered.unwrap_or_else(|_| Arc::default());
        kept.newest = Arc::downgrade(&rendered);
        kept.at = Some(at);
        held(rendered)
    }
}

fn held(text: Arc<String>) -> Bytes {
    struct Held(Arc<String>);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    Bytes::from_owner(Held(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn each_reader_alone_gets_the_page_as_of_now_and_many_share_two_at_most() {
        let (shared, rendered) = (Shared::default(), Arc::new(AtomicUsize::new(0)));
        let read = async || {
            let rendered = Arc::clone(&rendered);
            let render = move || (rendered.fetch_add(1, Ordering::Relaxed) + 1).to_string();
            shared.get(render).await
        };
        assert_eq!(read().await, "1");
        let held = read().await;
        assert_eq!(held, "2", "the first has no reader any more");
        assert_eq!(read().await, "2", "that of a moment ago");
        tokio::time::advance(FRESH).await;
        let later = read().await;
        assert_eq!(later, "3");
        tokio::time::advance(10 * FRESH).await;
        assert_eq!(read().await, "3", "two are being read");
        drop(held);
        assert_eq!(read().await, "4");
    }
}
