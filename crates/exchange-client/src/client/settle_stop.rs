//! Finding out what became of a stop whose placing was not confirmed. By asking; nothing here places or cancels one.
//!
//! A stop moves neither fills nor position, so its id is all there is to ask by: where the venue denies it twice, the
//! second time after it could no longer land, it never arrived.

use std::time::Duration;

use tokio::time::Instant;

use super::Client;
use super::settle::{BETWEEN_QUESTIONS, LONG_PAST, Unresolved};
use crate::endpoint::stop::StopReport;
use crate::sent::StopTrace;
use crate::submission::SendWindow;

/// What asking about a stop found out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an unresolved stop has to be shown to a person"]
pub enum StopSettlement {
    /// The venue knows it, and this is how it stands there: waiting, triggered, cancelled or expired.
    Known(StopReport),
    /// The venue never took it in.
    NeverArrived,
    /// It cannot be said. A person has to look.
    Unresolved(Unresolved),
}

impl Client {
    /// Finds out what became of a stop that a placing without a clear end (or a former life of the program) may have left.
    ///
    /// `window` is when it was sent: from [`Unknown::window`](crate::Unknown), or from the journal. `patience` is how long
    /// to go on asking a venue that does not answer after the stop could no longer land. A stop whose window has been over
    /// for half a minute is asked about without any wait. Places and cancels nothing; the old stops are as they were.
    ///
    /// # Cancellation
    /// Dropping the future stops the asking; asking again later is always safe.
    pub async fn settle_stop(
        &self,
        stop: &StopTrace,
        window: SendWindow,
        patience: Duration,
    ) -> StopSettlement {
        let found = match self.find_stop(stop, window, patience).await {
            Ok(found) => found,
            Err(why) => {
                tracing::debug!(stop = %stop.id, %why, "stop unresolved");
                return StopSettlement::Unresolved(why);
            }
        };
        self.inner.ledger.end_stop(&stop.id, true);
        match found {
            Some(report) => StopSettlement::Known(report),
            None => StopSettlement::NeverArrived,
        }
    }

    async fn find_stop(
        &self,
        stop: &StopTrace,
        window: SendWindow,
        patience: Duration,
    ) -> Result<Option<StopReport>, Unresolved> {
        let give_up = Instant::now() + window.closes().since(self.server_time()) + patience;
        let known = self.persist(give_up, || self.fetch_sent_stop(stop)).await?;
        if known.is_some() {
            return Ok(known);
        }
        if self.server_time() < window.closes().plus(LONG_PAST) {
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
            self.sleep_until_venue(window.closes()).await;
        }
        self.persist(give_up, || self.fetch_sent_stop(stop)).await
    }
}
