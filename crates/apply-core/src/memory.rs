//! The store-side ports and the journal in memory, for demonstrations and embedders' tests.

use crate::{
    journal::{Entry, Intent, Journal, Recorded},
    plan::{Decision, Plan, Step},
    ports::{
        Claim, Halt, Observed, OpenPlan, PlanLog, PortError, ProposalSource, ResultLog, Standing,
    },
    proposal::RawProposal,
    result::ApplyResult,
    symbol::Symbol,
};
use permit_gate::{AttemptId, PlanId};
use std::{
    collections::{HashMap, HashSet},
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

pub use crate::memory_venue::{MemoryDesk, MemoryVenue};

/// Proposals, claims and both streams in one place. Clones share the content. It remembers
/// everything it was ever told, so it is for processes that end.
#[derive(Debug, Clone, Default)]
pub struct MemoryBoard(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    proposals: HashMap<Symbol, RawProposal>,
    /// How often each symbol was written, and how often its reader has been told.
    versions: HashMap<Symbol, (u64, u64)>,
    wakers: HashMap<Symbol, Waker>,
    halted: bool,
    claims: HashMap<PlanId, AttemptId>,
    /// Claimed and without a final result, each with the attempt that works on it.
    open: HashMap<PlanId, (AttemptId, OpenPlan)>,
    /// Those of them that nobody works on any more.
    abandoned: HashSet<PlanId>,
    announced: HashSet<(PlanId, Decision, String)>,
    plans: Vec<Plan>,
    finished: HashSet<PlanId>,
    results: Vec<ApplyResult>,
    readers: Vec<Waker>,
}

impl MemoryBoard {
    /// Writes a proposal, as a brain would.
    pub fn propose(&self, symbol: &Symbol, fields: &[(&str, &str)]) {
        let raw = fields
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let mut inner = self.lock();
        inner.proposals.insert(symbol.clone(), raw);
        inner.versions.entry(symbol.clone()).or_default().0 += 1;
        if let Some(waker) = inner.wakers.remove(symbol) {
            waker.wake();
        }
    }

    /// Sets the kill switch.
    pub fn halt(&self, on: bool) {
        self.lock().halted = on;
    }

    /// From now on nobody works on the plans that are open: whoever did is gone.
    pub fn abandon(&self) {
        let mut inner = self.lock();
        inner.abandoned = inner.open.keys().cloned().collect();
    }

    /// Loses everything but the proposals, the switch and what readers were told, as a store does
    /// that was flushed.
    pub fn forget(&self) {
        let mut inner = self.lock();
        inner.claims.clear();
        inner.open.clear();
        inner.abandoned.clear();
        inner.announced.clear();
        inner.finished.clear();
    }

    /// Every plan on the stream so far.
    pub fn plans(&self) -> Vec<Plan> {
        self.lock().plans.clone()
    }

    /// Every result on the stream so far.
    pub fn results(&self) -> Vec<ApplyResult> {
        self.lock().results.clone()
    }

    /// Resolves with the plan at this place of the stream, as soon as there is one.
    pub async fn plan_at(&self, index: usize) -> Plan {
        self.read(|inner| inner.plans.get(index).cloned()).await
    }

    /// Resolves with the result at this place of the stream, as soon as there is one.
    pub async fn result_at(&self, index: usize) -> ApplyResult {
        self.read(|inner| inner.results.get(index).cloned()).await
    }

    async fn read<T>(&self, get: impl Fn(&Inner) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut inner = self.lock();
            match get(&inner) {
                Some(value) => Poll::Ready(value),
                None => {
                    inner.readers.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn halt(&self) -> Halt {
        match self.halted {
            true => Halt::On {
                by: "memory".into(),
            },
            false => Halt::Off,
        }
    }

    fn wake_readers(&mut self) {
        self.readers.drain(..).for_each(Waker::wake);
    }
}

impl ProposalSource for MemoryBoard {
    async fn fetch(&self, symbol: &Symbol) -> Result<Observed, PortError> {
        let mut inner = self.lock();
        let (written, told) = inner.versions.entry(symbol.clone()).or_default();
        *told = *written;
        Ok(Observed {
            proposal: Ok(inner.proposals.get(symbol).cloned()),
            halt: inner.halt(),
        })
    }

    async fn fetch_halt(&self, _: &Symbol) -> Result<Halt, PortError> {
        Ok(self.lock().halt())
    }

    async fn changed(&self, symbol: &Symbol) {
        poll_fn(|cx| {
            let mut inner = self.lock();
            match inner.versions.get(symbol) {
                Some((written, told)) if written > told => Poll::Ready(()),
                _ => {
                    inner.wakers.insert(symbol.clone(), cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }
}

impl PlanLog for MemoryBoard {
    async fn claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        _: Duration,
        _: u64,
    ) -> Result<Claim, PortError> {
        let mut inner = self.lock();
        match inner.claims.get(&plan.id) {
            Some(holder) if holder == attempt => Ok(Claim::Won),
            Some(_) => Ok(Claim::Taken),
            None => {
                inner.claims.insert(plan.id.clone(), attempt.clone());
                let open = OpenPlan {
                    plan: plan.id.clone(),
                    symbol: plan.symbol().clone(),
                    step: plan.step.as_ref().map_or("", Step::name).to_owned(),
                    intent: None,
                    token: attempt.to_string(),
                };
                inner.open.insert(plan.id.clone(), (attempt.clone(), open));
                inner.plans.push(plan.clone());
                inner.wake_readers();
                Ok(Claim::Won)
            }
        }
    }

    async fn announce(&self, plan: &Plan, _: u64) -> Result<bool, PortError> {
        let mut inner = self.lock();
        let announcement = (plan.id.clone(), plan.decision, plan.reasons.join(","));
        let new = !inner.claims.contains_key(&plan.id) && inner.announced.insert(announcement);
        if new {
            inner.plans.push(plan.clone());
            inner.wake_readers();
        }
        Ok(new)
    }

    async fn note_intent(&self, intent: &Intent) -> Result<bool, PortError> {
        Ok(match self.lock().open.get_mut(&intent.plan) {
            Some((holder, open)) if *holder == intent.attempt => {
                open.intent = Some(intent.clone());
                true
            }
            _ => false,
        })
    }

    async fn fetch_abandoned(&self) -> Result<Vec<OpenPlan>, PortError> {
        let inner = self.lock();
        let open = inner.open.values().map(|(_, open)| open);
        Ok(open
            .filter(|open| inner.abandoned.contains(&open.plan))
            .cloned()
            .collect())
    }

    async fn adopt(&self, open: &OpenPlan, attempt: &AttemptId) -> Result<bool, PortError> {
        let mut inner = self.lock();
        Ok(match inner.open.get_mut(&open.plan) {
            Some((holder, _)) if holder == attempt => true,
            Some((holder, found)) if found == open => {
                *holder = attempt.clone();
                found.token = attempt.to_string();
                inner.abandoned.remove(&open.plan);
                true
            }
            _ => false,
        })
    }

    async fn ask_again(&self, plan: &PlanId, attempt: &AttemptId) -> Result<Standing, PortError> {
        let asked_at = Instant::now();
        let inner = self.lock();
        let noted = inner
            .open
            .get(plan)
            .is_some_and(|(holder, open)| holder == attempt && open.intent.is_some());
        Ok(match (noted, inner.halt()) {
            (false, _) => Standing::Lost,
            (true, Halt::On { by }) => Standing::Halted { by },
            (true, Halt::Off) => Standing::Holds { asked_at },
        })
    }
}

impl ResultLog for MemoryBoard {
    async fn publish(&self, result: &ApplyResult) -> Result<(), PortError> {
        let mut inner = self.lock();
        let open = match result.is_final {
            true => {
                inner.open.remove(&result.plan);
                inner.finished.insert(result.plan.clone())
            }
            false => !inner.finished.contains(&result.plan),
        };
        if open {
            inner.results.push(result.clone());
            inner.wake_readers();
        }
        Ok(())
    }
}

/// A journal that lasts as long as its process: for demonstrations and tests, never for orders that
/// matter. Clones share the content.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<HashMap<PlanId, Entry>>>);

impl MemoryJournal {
    /// Everything that was written down.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PlanId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    async fn record_intent(&self, intent: &Intent) -> Result<Recorded, PortError> {
        let mut entries = self.lock();
        Ok(match entries.get(&intent.plan) {
            Some(known) => Recorded::Before(Box::new(known.clone())),
            None => {
                entries.insert(intent.plan.clone(), Entry::intending(intent.clone()));
                Recorded::Now
            }
        })
    }

    async fn record_result(&self, result: &ApplyResult) -> Result<ApplyResult, PortError> {
        let mut entries = self.lock();
        let entry = entries
            .entry(result.plan.clone())
            .or_insert_with(|| Entry::concluded(result.clone()));
        Ok(entry.result.get_or_insert_with(|| result.clone()).clone())
    }

    async fn record_published(&self, plan: &PlanId, at: u64) -> Result<(), PortError> {
        if let Some(entry) = self.lock().get_mut(plan) {
            entry.published_at.get_or_insert(at);
        }
        Ok(())
    }

    async fn probe(&self) -> Result<(), PortError> {
        Ok(())
    }

    async fn look_up(&self, plan: &PlanId) -> Result<Option<Entry>, PortError> {
        Ok(self.lock().get(plan).cloned())
    }

    async fn fetch_unfinished(&self) -> Result<Vec<Entry>, PortError> {
        let entries = self.lock();
        let unfinished = entries.values().filter(|e| e.published_at.is_none());
        Ok(unfinished.cloned().collect())
    }
}
