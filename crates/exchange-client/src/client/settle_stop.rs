//! Finding out what became of a stop whose placing was not confirmed. By asking; nothing here places or cancels one.
//!
//! A stop moves neither fills nor position, so its id is all there is to ask by: where the venue denies it twice, the
//! second time after it could no longer land, it never arrived.

use super::{
    Client,
    settle::{Absence, SettleDeadlines, Unresolved},
};
use crate::{
    endpoint::stop::StopReport, names::StopStatus, sent::StopTrace, submission::SendWindow,
};

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
    /// `window` is when it was sent: from [`Unknown::window`](crate::Unknown), or from the journal. `shown` says that the
    /// venue has confirmed or shown it before: one that it denies then is no stop that never arrived. `patience` is as for
    /// [`settle`](Self::settle). A stop whose window has been over for half a minute is asked about without any wait. Places
    /// and cancels nothing; the old stops are as they were.
    ///
    /// # Cancellation
    /// Dropping the future stops the asking; asking again later is always safe.
    pub async fn settle_stop(
        &self,
        stop: &StopTrace,
        window: SendWindow,
        shown: bool,
        patience: impl Into<SettleDeadlines>,
    ) -> StopSettlement {
        let (mut absent, mut rounds) = (Absence::default(), self.rounds(window, patience.into()));
        let mut asker = self.clone();
        let found = loop {
            let why = match asker.find_stop(stop, window, &mut absent).await {
                Ok(None) if shown => Unresolved::ShownAndDenied,
                Ok(Some(report)) if report.status == StopStatus::Other => {
                    Unresolved::StopNotUnderstood(Box::new(report))
                }
                Ok(found) => break found,
                Err(why) => why,
            };
            if !rounds.next(&why).await {
                tracing::debug!(stop = %stop.id, %why, "stop unresolved");
                return StopSettlement::Unresolved(why);
            }
            if why.answer().is_some() {
                asker = self.freshly();
            }
        };
        self.inner.submissions.end_stop(&stop.id, true);
        match found {
            Some(report) => StopSettlement::Known(report),
            None => StopSettlement::NeverArrived,
        }
    }

    async fn find_stop(
        &self,
        stop: &StopTrace,
        window: SendWindow,
        absent: &mut Absence,
    ) -> Result<Option<StopReport>, Unresolved> {
        if absent.first().is_none() {
            let known = self.fetch_sent_stop(stop).await?;
            if known.is_some() {
                return Ok(known);
            }
            absent.note(self);
        }
        absent.until_again(self, window).await;
        Ok(self.fetch_sent_stop(stop).await?)
    }
}
