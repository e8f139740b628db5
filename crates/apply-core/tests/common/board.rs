//! The memory board with a connection that can fail, before or after the work was done, and the
//! memory journal with a disk that can.

use apply_core::{
    ApplyResult, Claim, Entry, Halt, Intent, Journal, Observed, OpenPlan, Plan, PlanLog, PortError,
    ProposalSource, Recorded, ResultLog, Settled, Standing, Symbol,
    memory::{MemoryBoard, MemoryJournal},
};
use permit_gate::{AttemptId, PlanId};
use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[derive(Clone, Default)]
pub(crate) struct FlakyBoard {
    pub(crate) memory: MemoryBoard,
    faults: Faults,
    halted_here: Arc<AtomicBool>,
    meanwhile: Arc<Mutex<Option<(Settled, Meanwhile)>>>,
}

/// What a writer does while whoever caught it half way gives it time.
type Meanwhile = Box<dyn FnOnce() + Send>;

#[derive(Clone, Default)]
pub(crate) struct FlakyJournal {
    pub(crate) memory: MemoryJournal,
    pub(crate) faults: Faults,
}

/// What goes wrong next, and with which verb.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Vec<Fault>>>);

struct Fault {
    verb: &'static str,
    kind: Kind,
}

enum Kind {
    /// Nothing is done.
    Fail,
    /// The work is done and only its answer lost.
    LoseAnswer,
    /// Nothing is done and nothing answered.
    Hang,
}

impl FlakyBoard {
    /// Turns the switch on this machine on; the store's stays as it is.
    pub(crate) fn halt_here(&self) {
        self.halted_here.store(true, Ordering::Relaxed);
    }

    /// What happens to a proposal the next time its writer is given time, and what is said of it.
    pub(crate) fn while_it_settles(&self, says: Settled, write: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some((says, Box::new(write)));
    }
}

impl std::ops::Deref for FlakyBoard {
    type Target = Faults;

    fn deref(&self) -> &Faults {
        &self.faults
    }
}

impl Faults {
    /// The next `times` calls of this verb fail and do nothing.
    pub(crate) fn fail(&self, verb: &'static str, times: usize) {
        self.add((0..times).map(|_| Fault {
            verb,
            kind: Kind::Fail,
        }));
    }

    /// The next call of this verb does its work and loses its answer.
    pub(crate) fn lose_answer(&self, verb: &'static str) {
        let kind = Kind::LoseAnswer;
        self.add([Fault { verb, kind }]);
    }

    /// The next call of this verb is never answered.
    pub(crate) fn hang(&self, verb: &'static str) {
        let kind = Kind::Hang;
        self.add([Fault { verb, kind }]);
    }

    fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().unwrap().extend(faults);
    }

    async fn call<T>(
        &self,
        verb: &'static str,
        work: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let fault = {
            let mut faults = self.0.lock().unwrap();
            let at = faults.iter().position(|fault| fault.verb == verb);
            at.map(|at| faults.remove(at))
        };
        match fault.map(|fault| fault.kind) {
            None => return work.await,
            Some(Kind::Fail) => {}
            Some(Kind::LoseAnswer) => drop(work.await?),
            Some(Kind::Hang) => pending().await,
        }
        Err(PortError(format!("{verb}: connection reset on demand")))
    }
}

impl ProposalSource for FlakyBoard {
    async fn fetch(&self, symbol: &Symbol) -> Result<Observed, PortError> {
        self.call("fetch", self.memory.fetch(symbol)).await
    }

    async fn fetch_halt(&self, symbol: &Symbol) -> Result<Halt, PortError> {
        self.call("fetch_halt", self.memory.fetch_halt(symbol))
            .await
    }

    fn local_halt(&self) -> Halt {
        match self.halted_here.load(Ordering::Relaxed) {
            true => Halt::On { by: "HALT".into() },
            false => Halt::Off,
        }
    }

    async fn changed(&self, symbol: &Symbol) {
        self.memory.changed(symbol).await;
    }

    async fn settled(&self, _: &Symbol) -> Settled {
        match self.meanwhile.lock().unwrap().take() {
            Some((says, write)) => {
                write();
                says
            }
            None => Settled::Still,
        }
    }
}

impl PlanLog for FlakyBoard {
    async fn claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        ttl: Duration,
        timestamp: u64,
    ) -> Result<Claim, PortError> {
        let work = self.memory.claim(plan, attempt, ttl, timestamp);
        self.call("claim", work).await
    }

    async fn announce(&self, plan: &Plan, timestamp: u64) -> Result<bool, PortError> {
        let work = self.memory.announce(plan, timestamp);
        self.call("announce", work).await
    }

    async fn note_intent(&self, intent: &Intent) -> Result<bool, PortError> {
        self.call("note_intent", self.memory.note_intent(intent))
            .await
    }

    async fn fetch_abandoned(&self) -> Result<Vec<OpenPlan>, PortError> {
        self.call("fetch_abandoned", self.memory.fetch_abandoned())
            .await
    }

    async fn adopt(&self, open: &OpenPlan, attempt: &AttemptId) -> Result<bool, PortError> {
        self.call("adopt", self.memory.adopt(open, attempt)).await
    }

    async fn ask_again(&self, plan: &PlanId, attempt: &AttemptId) -> Result<Standing, PortError> {
        self.call("ask_again", self.memory.ask_again(plan, attempt))
            .await
    }
}

impl ResultLog for FlakyBoard {
    async fn publish(&self, result: &ApplyResult) -> Result<(), PortError> {
        self.call("publish", self.memory.publish(result)).await
    }
}

impl Journal for FlakyJournal {
    async fn record_intent(&self, intent: &Intent) -> Result<Recorded, PortError> {
        let work = self.memory.record_intent(intent);
        self.faults.call("record_intent", work).await
    }

    async fn record_result(&self, result: &ApplyResult) -> Result<ApplyResult, PortError> {
        let work = self.memory.record_result(result);
        self.faults.call("record_result", work).await
    }

    async fn record_published(&self, plan: &PlanId, at: u64) -> Result<(), PortError> {
        let work = self.memory.record_published(plan, at);
        self.faults.call("record_published", work).await
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.faults.call("probe", self.memory.probe()).await
    }

    async fn look_up(&self, plan: &PlanId) -> Result<Option<Entry>, PortError> {
        self.faults.call("look_up", self.memory.look_up(plan)).await
    }

    async fn fetch_unfinished(&self) -> Result<Vec<Entry>, PortError> {
        let work = self.memory.fetch_unfinished();
        self.faults.call("fetch_unfinished", work).await
    }
}
