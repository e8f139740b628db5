//! What goes on beside the symbols: signs of life, and other instances' unfinished plans.

use crate::{
    health::{Fence, Health, StoreWrites},
    systemd::SystemdNotifier,
};
use apply_core::{
    ApplyLayer, Clock, PlanLog, Ports, RecoveryReport,
    recovery::{republish, take_over},
};
use apply_redis::{RedisPlanStore, ResultKeeper};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// The lease is renewed this often, or more often where it is short: that Redis takes writes is known by
/// writing.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What the upkeep works with.
pub(crate) struct Maintenance<P> {
    pub(crate) layer: Arc<ApplyLayer<P>>,
    pub(crate) plan_store: RedisPlanStore,
    pub(crate) manager: SystemdNotifier,
    pub(crate) health: Health,
    pub(crate) lease: Duration,
    pub(crate) writes: StoreWrites,
    pub(crate) fence: Fence,
    pub(crate) watchdog: Option<Duration>,
}

impl<P: Ports> Maintenance<P>
where
    P::Plans: PlanLog,
{
    /// Runs until `stop`; a plan it has begun to finish is finished first.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let third = (self.lease / 3).min(WRITE_EVERY);
        let mut refused = false;
        let mut tick = interval(self.watchdog.map_or(third, |often| often.min(third)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed: Option<Instant> = None;
        let mut looked: Option<Instant> = None;
        let mut listed: Option<Instant> = Some(Instant::now());
        let left = Arc::new(AtomicUsize::new(0));
        let mut published_to = PublishedTo::default();
        let due = |last: Option<Instant>, every| last.is_none_or(|last| last.elapsed() >= every);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            self.manager.notify("WATCHDOG=1");
            if due(renewed, third) {
                let renewal = self.plan_store.renew_lease().await;
                self.writes.note(&renewal);
                // Recorded when it begins: the page, the metrics and readiness say how long it lasts.
                match &renewal {
                    Err(error) if !refused => {
                        warn!("{error}; other instances may take over this instance's plans");
                    }
                    Err(error) => debug!("{error}"),
                    Ok(()) if refused => info!("Redis takes writes again"),
                    Ok(()) => {}
                }
                refused = renewal.is_err();
                renewed = Some(Instant::now());
                // Leases are listed as seldom as they end.
                let list = due(listed, self.lease);
                if list {
                    listed = Some(Instant::now());
                }
                look_beside(&self.plan_store, &self.fence, list).await;
            }
            self.layer.emit_omissions();
            match self.plan_store.remember().await {
                Ok(generation) => {
                    self.health.set_generation(&generation);
                    // What a dry run has published beside a live instance is published again once it is alone.
                    if self.fence.closed().is_none() {
                        let now = self.layer.ports().clock().unix_seconds();
                        let keeper = self.plan_store.keeper_of_results();
                        published_to.republish_to(&self.layer, keeper, now).await;
                    }
                }
                Err(error) => debug!("{error}"),
            }
            if due(looked, self.lease * 2 / 3) && self.fence.closed().is_none() {
                // In a task of its own: finishing a plan takes as long as the venue takes to answer.
                let (layer, stop) = (Arc::clone(&self.layer), stop.clone());
                let left = Arc::clone(&left);
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        done = take_over(&layer) => match done {
                            Ok(report) => {
                                let before = left.swap(report.left, Ordering::Relaxed);
                                if is_worth_logging(&report, before) {
                                    log_recovery("Took over", &report);
                                }
                            }
                            Err(error) => warn!("cannot look for abandoned plans: {error}"),
                        }
                    }
                });
                looked = Some(Instant::now());
            }
        }
    }
}

/// Who had the results last, and until when.
#[derive(Default)]
struct PublishedTo {
    keeper: Option<ResultKeeper>,
    well_at: Option<u64>,
}

impl PublishedTo {
    /// Has another keeper than the last one published again what that one may have lost.
    async fn republish_to<P: Ports>(
        &mut self,
        layer: &ApplyLayer<P>,
        keeper: Option<ResultKeeper>,
        now: u64,
    ) {
        if keeper.is_none() {
            return;
        }
        if keeper != self.keeper
            && let Err(error) = republish(layer, self.well_at).await
        {
            // The journal says so itself, and no plan is claimed.
            return debug!("{error}");
        }
        self.keeper = keeper;
        self.well_at = Some(now);
    }
}

/// Looks whether an instance of the other mode works on the same Redis, and says so when that begins and ends. What
/// cannot be asked stays as it was. With `list`, those are looked for as well that do not say their mode.
pub(crate) async fn look_beside(plan_store: &RedisPlanStore, fence: &Fence, list: bool) {
    let found = match plan_store.other_mode().await {
        Ok(None) if list || fence.is_by_unknown() => plan_store.of_unknown_mode().await,
        found => found,
    };
    match found {
        Ok(found) => {
            let text = found.as_ref().map(ToString::to_string);
            if fence.note(found) {
                match text {
                    Some(text) => warn!("Beside this instance: {text}"),
                    None => info!("No instance of the other mode works on this Redis any more"),
                }
            }
        }
        Err(error) => debug!("{error}"),
    }
}

/// Whether a sweep is worth a word: plans that are left to others are found again by each.
fn is_worth_logging(report: &RecoveryReport, left_before: usize) -> bool {
    let done = RecoveryReport { left: 0, ..*report };
    !done.is_empty() || report.left != left_before
}

/// Says what a recovery came to, where it came to anything.
pub(crate) fn log_recovery(what: &str, report: &RecoveryReport) {
    if report.is_empty() {
        return;
    }
    let RecoveryReport {
        republished,
        settled,
        interrupted,
        unresolved,
        left,
        published_by_another,
        owed: _,
    } = report;
    info!(
        "{what} unfinished plans: republished={republished} settled={settled} interrupted={interrupted} unresolved={unresolved} left={left} published_by_another={published_by_another}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_that_are_left_to_others_are_logged_once_and_again_when_their_number_changes() {
        let left = |left| RecoveryReport {
            left,
            ..RecoveryReport::default()
        };
        assert!(is_worth_logging(&left(3), 0));
        assert!(!is_worth_logging(&left(3), 3));
        assert!(is_worth_logging(&left(2), 3));
        assert!(!is_worth_logging(&left(0), 0));
        let settled = RecoveryReport {
            settled: 1,
            ..left(3)
        };
        assert!(is_worth_logging(&settled, 3));
    }
}
