//! Pauses of less than a millisecond. The runtime's timer counts in whole ones and rounds up twice,
//! which would make half a millisecond two of them on the way of every proposal.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// One length of pause, for any number of tasks at the same time.
pub(crate) struct DebounceTimer {
    length: Duration,
    /// None where there is nothing to wait for.
    bell: Option<Sender<(Instant, oneshot::Sender<()>)>>,
}

impl DebounceTimer {
    /// Pauses of this length, kept by a thread that ends with this value.
    pub(crate) fn of(length: Duration) -> io::Result<Self> {
        let bell = match length.is_zero() {
            true => None,
            false => {
                let (bell, sleepers) = channel();
                thread::Builder::new()
                    .name("debounce".into())
                    .spawn(move || ring(&sleepers))?;
                Some(bell)
            }
        };
        Ok(Self { length, bell })
    }

    /// Whether it has no length.
    pub(crate) fn is_none(&self) -> bool {
        self.bell.is_none()
    }

    /// Resolves when the pause is over. Cancellation safe; each call is a pause of its own.
    pub(crate) async fn pass(&self) {
        let Some(bell) = &self.bell else { return };
        let (over, wait) = oneshot::channel();
        if bell.send((Instant::now() + self.length, over)).is_ok() {
            // The thread ends after its last sender, of which this is one.
            let _ = wait.await;
        }
    }
}

/// All pauses are of one length, so they end in the order in which they began.
fn ring(sleepers: &Receiver<(Instant, oneshot::Sender<()>)>) {
    while let Ok((at, over)) = sleepers.recv() {
        if over.is_closed() {
            continue;
        }
        let left = at.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            thread::sleep(left);
        }
        // The waiter may have gone.
        let _ = over.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pause_is_never_shorter_than_it_says_and_none_is_none() {
        let length = Duration::from_micros(300);
        let pause = DebounceTimer::of(length).unwrap();
        for _ in 0..50 {
            let began = Instant::now();
            tokio::join!(pause.pass(), pause.pass());
            assert!(began.elapsed() >= length);
        }
        let none = DebounceTimer::of(Duration::ZERO).unwrap();
        none.pass().await;
        assert!(none.is_none() && !pause.is_none());
    }
}
