//! Looks at proposals, as many in one round trip as come at the same moment.
//!
//! One look alone is sent at once. While a few round trips are out further looks gather, and go
//! together with the next: a thousand symbols that are all due cost a few pipelines, and the kill
//! switch is read once in each of them.

use apply_core::{Observed, PortError, Symbol};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Semaphore, oneshot};

/// How many symbols one round trip looks at.
pub(crate) const TOGETHER: usize = 128;

/// How many of these round trips may be out at the same time.
const AT_ONCE: usize = 4;

/// What one look found.
pub(crate) type Looked = Result<Observed, PortError>;

/// Everybody who wants to look.
pub(crate) struct ProposalBatcher {
    waiting: Mutex<VecDeque<(Symbol, oneshot::Sender<Looked>)>>,
    turns: Semaphore,
}

impl Default for ProposalBatcher {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }
}

impl ProposalBatcher {
    /// Reads one symbol's proposal, together with all that are asked for meanwhile. The caller that has a turn reads for all, by `look_at`: an
    /// answer for each.
    pub(crate) async fn look<F>(
        &self,
        symbol: &Symbol,
        look_at: impl Fn(Vec<Symbol>) -> F,
    ) -> Looked
    where
        F: Future<Output = Vec<Looked>>,
    {
        loop {
            let (reply, mut answer) = oneshot::channel();
            self.lock().push_back((symbol.clone(), reply));
            let turn = tokio::select! {
                biased;
                answered = &mut answer => match answered {
                    Ok(looked) => return looked,
                    // The caller that read for us was dropped on the way.
                    Err(_) => continue,
                },
                turn = self.turns.acquire() => turn,
            };
            if turn.is_err() {
                return Err(PortError("the plan store is closing".into()));
            }
            loop {
                match answer.try_recv() {
                    Ok(looked) => return looked,
                    Err(oneshot::error::TryRecvError::Closed) => break,
                    Err(oneshot::error::TryRecvError::Empty) => {}
                }
                let together = self.next();
                if together.is_empty() {
                    // Somebody else looks for us at this moment.
                    match answer.await {
                        Ok(looked) => return looked,
                        Err(_) => break,
                    }
                }
                let (symbols, reply): (Vec<Symbol>, Vec<_>) = together.into_iter().unzip();
                let looked = Box::pin(look_at(symbols)).await;
                for (reply, looked) in reply.into_iter().zip(looked) {
                    // The caller may have gone.
                    let _ = reply.send(looked);
                }
            }
        }
    }

    fn next(&self) -> Vec<(Symbol, oneshot::Sender<Looked>)> {
        let mut waiting = self.lock();
        let some = waiting.len().min(TOGETHER);
        let wanted = waiting.drain(..some);
        wanted.filter(|(_, reply)| !reply.is_closed()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Symbol, oneshot::Sender<Looked>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
