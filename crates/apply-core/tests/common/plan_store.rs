//! The memory plan store with a connection that can fail, before or after the work was done, and the
//! memory journal with a disk that can.

use apply_core::{
    ApplyResult, Claim, ClaimNote, Debounced, Entry, Halt, Hold, Intent, Journal, Mastership,
    Observed, OpenPlan, Plan, PlanLog, PortError, ProposalSource, PublishOutcome, Publisher,
    Reclaim, Recorded, ResultLog, ServerId, Standing, SwitchNote, Symbol,
    memory::{MemoryJournal, MemoryPlanStore},
};
use permit_gate::{AttemptId, PlanId};
use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

#[derive(Clone)]
pub(crate) struct FlakyPlanStore {
    pub(crate) memory: MemoryPlanStore,
    faults: Faults,
    halted_here: Arc<AtomicBool>,
    meanwhile: Arc<Mutex<Option<(Debounced, Meanwhile)>>>,
    asked_again: Arc<AtomicUsize>,
    master: Arc<Mutex<Master>>,
}

/// Who is master, as far as it is known, and as those say who are asked.
struct Master {
    known: Mastership,
    said: Mastership,
    asked: usize,
}

impl Default for Master {
    fn default() -> Self {
        let fixed = || Mastership::Fixed {
            server: ServerId(0),
        };
        Self {
            known: fixed(),
            said: fixed(),
            asked: 0,
        }
    }
}

/// What a writer does while a reader that caught it half way waits.
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

impl Default for FlakyPlanStore {
    fn default() -> Self {
        Self {
            memory: MemoryPlanStore::with_clock(|| tokio::time::Instant::now().into_std()),
            faults: Faults::default(),
            halted_here: Arc::default(),
            meanwhile: Arc::default(),
            asked_again: Arc::default(),
            master: Arc::default(),
        }
    }
}

impl FlakyPlanStore {
    pub(crate) fn of_machine(machine: &str) -> Self {
        let plan_store = Self::default();
        Self {
            memory: plan_store.memory.in_hands_of(machine, machine),
            ..plan_store
        }
    }

    /// Turns the switch on this machine on; the store's stays as it is.
    pub(crate) fn halt_here(&self) {
        self.halted_here.store(true, Ordering::Relaxed);
    }

    /// How often it was asked whether an attempt stands.
    pub(crate) fn asked_again(&self) -> usize {
        self.asked_again.load(Ordering::Relaxed)
    }

    /// How often it was asked who is master.
    pub(crate) fn asked_for_the_master(&self) -> usize {
        self.master.lock().unwrap().asked
    }

    /// What is known of the master from now on, and what is said by those who are asked.
    pub(crate) fn mastered(&self, known: Mastership, said: Mastership) {
        let mut master = self.master.lock().unwrap();
        (master.known, master.said) = (known, said);
    }

    /// What happens to a proposal the next time its writer is given time, and what is said of it.
    pub(crate) fn while_it_settles(&self, says: Debounced, write: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some((says, Box::new(write)));
    }
}

impl std::ops::Deref for FlakyPlanStore {
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

impl ProposalSource for FlakyPlanStore {
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

    async fn debounced(&self, _: &Symbol) -> Debounced {
        match self.meanwhile.lock().unwrap().take() {
            Some((says, write)) => {
                write();
                says
            }
            None => Debounced::Unchanged,
        }
    }
}

impl PlanLog for FlakyPlanStore {
    async fn claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        ttl: Duration,
        timestamp: u64,
    ) -> Result<Claim, PortError> {
        let work = self.memory.claim(plan, attempt, ttl, timestamp);
        Ok(match self.call("claim", work).await? {
            Claim::Won(hold) => Claim::Won(Hold {
                server: self.mastership().server().unwrap_or(hold.server),
                ..hold
            }),
            other => other,
        })
    }

    async fn find_claim(
        &self,
        plan: &PlanId,
        attempt: &AttemptId,
        ttl: Duration,
    ) -> Result<Option<Claim>, PortError> {
        let work = self.memory.find_claim(plan, attempt, ttl);
        self.call("find_claim", work).await
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

    async fn adopt(&self, open: &OpenPlan, attempt: &AttemptId) -> Result<Option<Hold>, PortError> {
        self.call("adopt", self.memory.adopt(open, attempt)).await
    }

    async fn reclaim(
        &self,
        plan: &PlanId,
        symbol: &Symbol,
        step: &str,
        attempt: &AttemptId,
        ttl: Duration,
    ) -> Result<Reclaim, PortError> {
        let work = self.memory.reclaim(plan, symbol, step, attempt, ttl);
        self.call("reclaim", work).await
    }

    fn is_current(&self, hold: &Hold) -> bool {
        self.memory.is_current(hold)
    }

    async fn ask_again(&self, plan: &PlanId, attempt: &AttemptId) -> Result<Standing, PortError> {
        self.asked_again.fetch_add(1, Ordering::Relaxed);
        let asked_at = tokio::time::Instant::now().into_std();
        let work = self.memory.ask_again(plan, attempt);
        Ok(match self.call("ask_again", work).await? {
            Standing::Holds { .. } => Standing::Holds { asked_at },
            no => no,
        })
    }

    fn mastership(&self) -> Mastership {
        self.master.lock().unwrap().known.clone()
    }

    async fn confirm_mastership(&self) -> Mastership {
        let now = tokio::time::Instant::now().into_std();
        let mut master = self.master.lock().unwrap();
        master.asked += 1;
        master.known = match &master.said {
            Mastership::Confirmed { server, .. } => Mastership::Confirmed {
                server: *server,
                asked_at: now,
            },
            other => other.clone(),
        };
        master.known.clone()
    }
}

impl ResultLog for FlakyPlanStore {
    async fn publish(&self, result: &ApplyResult) -> Result<PublishOutcome, PortError> {
        self.call("publish", self.memory.publish(result)).await
    }

    async fn finalize(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> Result<PublishOutcome, PortError> {
        self.call("finalize", self.memory.finalize(result, publisher))
            .await
    }
}

impl Journal for FlakyJournal {
    async fn record_claim(&self, claim: &ClaimNote) -> Result<(), PortError> {
        let work = self.memory.record_claim(claim);
        self.faults.call("record_claim", work).await
    }

    async fn record_published_by_another(&self, plan: &PlanId, at: u64) -> Result<(), PortError> {
        let work = self.memory.record_published_by_another(plan, at);
        self.faults.call("record_published_by_another", work).await
    }

    async fn record_switch(&self, switch: &SwitchNote) -> Result<(), PortError> {
        self.memory.record_switch(switch).await
    }

    async fn fetch_switch(&self) -> Result<Option<SwitchNote>, PortError> {
        self.memory.fetch_switch().await
    }

    async fn record_intent(&self, intent: &Intent) -> Result<Recorded, PortError> {
        let work = self.memory.record_intent(intent);
        self.faults.call("record_intent", work).await
    }

    async fn record_result(
        &self,
        result: &ApplyResult,
        publisher: Option<&Publisher>,
    ) -> Result<ApplyResult, PortError> {
        let work = self.memory.record_result(result, publisher);
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

    async fn fetch_published(&self, most: usize) -> Result<Vec<Entry>, PortError> {
        self.memory.fetch_published(most).await
    }
}
