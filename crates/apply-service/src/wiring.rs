//! The ports put together, and the loop that serves the symbols. `run` and `demo` share it all.

use crate::{clock::SystemClock, halt::HaltFile, health::Fence};
use apply_core::{
    ApplyLayer, ApplyResult, Claim, Debounced, Event, Exchange, Halt, Hold, Intent, Journal,
    Mastership, Observed, OpenPlan, Plan, PlanLog, PortError, Ports, ProposalSource,
    PublishOutcome, Publisher, Reclaim, ResultLog, Standing, Symbol, SymbolWorker, Worked,
};
use apply_exchange::Venue;
use apply_redis::ChangeFeed;
use permit_gate::{AttemptId, FoundBy, PermitStore, PlanId, Timer};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

/// The outside: a plan store for proposals, plans and results, a permit store, a journal, a venue, a clock.
pub struct Adapters<B, S, J, V = Venue> {
    /// Proposals, plans and results, under this machine's kill switches.
    pub plan_store: WithLocalHalt<B>,
    /// Permits.
    pub permits: S,
    /// What may have been ordered, and what came of it.
    pub journal: J,
    /// Where orders go.
    pub venue: V,
    /// The time.
    pub clock: SystemClock,
}

impl<B, S, J, V> Ports for Adapters<B, S, J, V>
where
    B: ProposalSource + PlanLog + ResultLog + 'static,
    S: PermitStore + 'static,
    J: Journal + 'static,
    V: Exchange + 'static,
{
    type Proposals = WithLocalHalt<B>;
    type Plans = WithLocalHalt<B>;
    type Results = WithLocalHalt<B>;
    type Permits = S;
    type Journal = J;
    type Exchange = V;
    type Clock = SystemClock;

    fn proposals(&self) -> &WithLocalHalt<B> {
        &self.plan_store
    }

    fn plans(&self) -> &WithLocalHalt<B> {
        &self.plan_store
    }

    fn results(&self) -> &WithLocalHalt<B> {
        &self.plan_store
    }

    fn permits(&self) -> &S {
        &self.permits
    }

    fn journal(&self) -> &J {
        &self.journal
    }

    fn exchange(&self) -> &V {
        &self.venue
    }

    fn clock(&self) -> &SystemClock {
        &self.clock
    }
}

/// A plan store under this machine's kill switches as well as its own.
pub struct WithLocalHalt<B> {
    /// The plan store itself.
    pub plan_store: B,
    /// `APPLY_KILL_SWITCH`.
    pub halted: bool,
    /// `APPLY_KILL_SWITCH_FILE`, where there is one to look for.
    pub file: Option<HaltFile>,
    /// What reports changes where the plan store itself does not.
    pub front: Option<ChangeFeed>,
}

impl<B> WithLocalHalt<B> {
    /// The plan store's switch counts where this machine's are off.
    fn halt(&self, plan_store: Halt) -> Halt {
        match self.here() {
            Halt::Off => plan_store,
            on => on,
        }
    }

    fn here(&self) -> Halt {
        match (self.halted, &self.file) {
            (true, _) => Halt::On {
                by: "APPLY_KILL_SWITCH".into(),
            },
            (false, Some(file)) => file.look(),
            (false, None) => Halt::Off,
        }
    }
}

impl<B: ProposalSource> ProposalSource for WithLocalHalt<B> {
    async fn fetch(&self, symbol: &Symbol) -> Result<Observed, PortError> {
        let Observed { proposal, halt } = self.plan_store.fetch(symbol).await?;
        Ok(Observed {
            proposal,
            halt: self.halt(halt),
        })
    }

    async fn fetch_halt(&self, symbol: &Symbol) -> Result<Halt, PortError> {
        Ok(self.halt(self.plan_store.fetch_halt(symbol).await?))
    }

    fn local_halt(&self) -> Halt {
        match self.here() {
            Halt::Off => self.plan_store.local_halt(),
            on => on,
        }
    }

    async fn changed(&self, symbol: &Symbol) {
        match &self.front {
            Some(front) => front.changed(symbol).await,
            None => self.plan_store.changed(symbol).await,
        }
    }

    async fn debounced(&self, symbol: &Symbol) -> Debounced {
        match &self.front {
            Some(front) => front.debounced(symbol).await,
            None => self.plan_store.debounced(symbol).await,
        }
    }
}

impl<B: PlanLog> PlanLog for WithLocalHalt<B> {
    async fn claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        ttl: Duration,
        timestamp: u64,
    ) -> Result<Claim, PortError> {
        self.plan_store.claim(plan, attempt, ttl, timestamp).await
    }

    async fn find_claim(
        &self,
        plan: &PlanId,
        attempt: &AttemptId,
        ttl: Duration,
    ) -> Result<Option<Claim>, PortError> {
        self.plan_store.find_claim(plan, attempt, ttl).await
    }

    async fn announce(&self, plan: &Plan, timestamp: u64) -> Result<bool, PortError> {
        self.plan_store.announce(plan, timestamp).await
    }

    async fn note_intent(&self, intent: &Intent) -> Result<bool, PortError> {
        self.plan_store.note_intent(intent).await
    }

    async fn fetch_abandoned(&self) -> Result<Vec<OpenPlan>, PortError> {
        self.plan_store.fetch_abandoned().await
    }

    async fn show_claimed(&self, plan: &Plan) -> Result<(), PortError> {
        self.plan_store.show_claimed(plan).await
    }

    async fn fetch_final_action(&self, plan: &PlanId) -> Result<Option<String>, PortError> {
        self.plan_store.fetch_final_action(plan).await
    }

    async fn fetch_why_missing(
        &self,
        plan: &PlanId,
        permit: &str,
    ) -> Result<Option<String>, PortError> {
        self.plan_store.fetch_why_missing(plan, permit).await
    }

    async fn adopt(&self, open: &OpenPlan, attempt: &AttemptId) -> Result<Option<Hold>, PortError> {
        self.plan_store.adopt(open, attempt).await
    }

    async fn reclaim(
        &self,
        plan: &PlanId,
        symbol: &Symbol,
        step: &str,
        attempt: &AttemptId,
        ttl: Duration,
    ) -> Result<Reclaim, PortError> {
        self.plan_store
            .reclaim(plan, symbol, step, attempt, ttl)
            .await
    }

    fn is_current(&self, hold: &Hold) -> bool {
        self.plan_store.is_current(hold)
    }

    async fn ask_again(&self, plan: &PlanId, attempt: &AttemptId) -> Result<Standing, PortError> {
        self.plan_store.ask_again(plan, attempt).await
    }

    fn mastership(&self) -> Mastership {
        self.plan_store.mastership()
    }

    async fn confirm_mastership(&self) -> Mastership {
        self.plan_store.confirm_mastership().await
    }
}

impl<B: ResultLog> ResultLog for WithLocalHalt<B> {
    async fn publish(&self, result: &ApplyResult) -> Result<PublishOutcome, PortError> {
        self.plan_store.publish(result).await
    }

    async fn finalize(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> Result<PublishOutcome, PortError> {
        let outcome = self.plan_store.finalize(result, publisher).await?;
        #[cfg(feature = "mutants")]
        let outcome = crate::mutants::last_word(result, outcome).await?;
        Ok(outcome)
    }
}

/// Follows every symbol until `stop`, and none while `fence` is closed, each in a task of its own: a plan that waits for its permits
/// delays no other symbol. Tasks end between two plans, never within one; the set is empty once
/// every plan that was begun has its result.
pub fn serve<P: Ports>(
    layer: &Arc<ApplyLayer<P>>,
    symbols: &[Symbol],
    poll: Duration,
    fence: &Fence,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let shared = Arc::new(Following {
        layer: Arc::clone(layer),
        poll,
        fence: fence.clone(),
        stop: stop.clone(),
    });
    let mut tasks = JoinSet::new();
    for symbol in symbols {
        tasks.spawn(follow(Arc::clone(&shared), symbol.clone()));
    }
    tasks
}

/// What the tasks of all symbols have in common.
struct Following<P> {
    layer: Arc<ApplyLayer<P>>,
    poll: Duration,
    fence: Fence,
    stop: CancellationToken,
}

/// How often the venue's clock is measured, which also keeps the connection warm.
pub const KEEP_WARM: Duration = Duration::from_secs(2);

/// After a failed look, however long the poll.
const RETRY: Duration = Duration::from_secs(1);

/// After a claim that was not answered: its plan may be out for review.
const FIND_AGAIN: Duration = Duration::from_millis(100);

fn follow<P: Ports>(shared: Arc<Following<P>>, symbol: Symbol) -> impl Future<Output = ()> {
    let mut worker = SymbolWorker::new(symbol);
    // A block: an async function would hold each argument twice.
    async move {
        let (mut failing, mut by) = (false, FoundBy::FirstTry);
        while !shared.stop.is_cancelled() {
            // A dry run beside a live instance looks at nothing; what was asked before is settled first.
            if shared.fence.closed().is_some() && !worker.is_unanswered() {
                // In memory of its own, as every pause is: a plan under way has no use for it.
                Box::pin(shared.pause_at_the_fence()).await;
                continue;
            }
            // Never cancelled: from its claim on a plan owes the world a result.
            let looked = worker.look_after(&shared.layer, by).await;
            if let Err(error) = &looked
                && !failing
            {
                // Said once a failure, not once a try.
                shared.layer.emit(Event::PortFailed {
                    symbol: worker.symbol(),
                    doing: "follow the proposals",
                    error: &error.0,
                });
            }
            failing = looked.is_err();
            // What came of the look is gone before the pause.
            let until = shared.until_after(looked, &worker);
            match Box::pin(shared.pause(until, &mut worker)).await {
                Some(found_by) => by = found_by,
                None => break,
            }
        }
        // A claim that was not answered may have put a plan out for review.
        Box::pin(worker.finish(&shared.layer)).await;
    }
}

impl<P: Ports> Following<P> {
    async fn pause_at_the_fence(&self) {
        let pause = self.poll.min(RETRY);
        // Over or stopped: it is looked at again either way.
        let _ = tokio::time::timeout(pause, self.stop.cancelled()).await;
    }

    /// What the next look waits for, after this one.
    fn until_after(&self, looked: Result<Worked, PortError>, worker: &SymbolWorker) -> Until {
        let poll = self.poll;
        Until::Passed(match looked {
            Ok(Worked::NoRoom) => return Until::Room,
            Ok(Worked::TooYoung { clean_at }) => {
                let now = self.layer.ports().clock().now();
                poll.min(clean_at.saturating_duration_since(now))
            }
            Ok(Worked::InDoubt) => poll.min(RETRY),
            Ok(_) => poll,
            Err(_) if worker.is_unanswered() => poll.min(FIND_AGAIN),
            Err(_) => poll.min(RETRY),
        })
    }

    /// Waits until it is time for the next look, and says what made it so; `None` where there is none.
    async fn pause(&self, until: Until, worker: &mut SymbolWorker) -> Option<FoundBy> {
        match until {
            // Its place in the queue is kept however often the proposal is rewritten meanwhile; what
            // is looked at then is what stands there then.
            Until::Room => tokio::select! {
                () = self.stop.cancelled() => None,
                () = worker.wait_for_room(&self.layer) => Some(FoundBy::Poll),
            },
            Until::Passed(pause) => tokio::select! {
                () = self.stop.cancelled() => None,
                () = self.layer.ports().proposals().changed(worker.symbol()) => Some(FoundBy::Push),
                () = sleep(pause) => Some(FoundBy::Poll),
            },
        }
    }
}

/// What a look waits for.
enum Until {
    /// Room for one more plan under way.
    Room,
    /// A write, and this time at most.
    Passed(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;
    use apply_journal::RedbJournal;
    use apply_redis::RedisPlanStore;
    use permit_gate::{Ask, wait_and_take};
    use permit_redis::RedisPermitStore;

    type Real = Adapters<RedisPlanStore, RedisPermitStore, RedbJournal>;

    /// Of the future that a function makes.
    fn size_of_future<A, B, F>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn ten_thousand_symbols_that_keep_still_are_a_few_megabytes() {
        // 248 bytes, with which the task takes 384. A phase that is awaited in there without a box of its own is
        // there for good: a plan's whole life would be 15,000.
        let size = size_of_future(follow::<Real>);
        assert!(size < 272, "{size}");
    }

    #[test]
    fn a_wait_for_permits_holds_what_a_wait_needs() {
        fn wait(store: &RedisPermitStore, ask: Ask) -> impl Future<Output = ()> {
            let wait = wait_and_take(store, &SystemClock, ask, drop);
            futures_util::FutureExt::map(wait, drop)
        }
        // 544 bytes, 312 of them the gate. As an `async fn` it would hold its ask twice.
        let size = size_of_future(wait);
        assert!(size < 600, "{size}");
    }
}
