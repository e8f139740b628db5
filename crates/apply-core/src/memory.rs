//! The store-side ports and the journal in memory, for demonstrations and embedders' tests.

use crate::{
    journal::{ClaimNote, Entry, Intent, Journal, Recorded, SwitchNote},
    plan::{Decision, Plan, Step},
    ports::{
        Claim, Generation, Halt, Hold, Observed, OpenPlan, PlanLog, PortError, ProposalSource,
        PublishOutcome, Publisher, Reclaim, ResultLog, ServerId, Stage, Standing,
    },
    proposal::RawProposal,
    result::ApplyResult,
    symbol::Symbol,
    times::CLEAN_AFTER,
};
use permit_gate::{AttemptId, PlanHold, PlanId};
use std::{
    collections::{HashMap, HashSet},
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

pub use crate::memory_venue::{MemoryOrderContext, MemoryVenue};

/// Proposals, claims and both streams in one place. Clones share the content. It remembers
/// everything that was ever written to it, so it is for processes that end.
#[derive(Debug, Clone)]
pub struct MemoryPlanStore {
    inner: Arc<Mutex<Inner>>,
    now: fn() -> Instant,
    /// Whose clone this is: a machine, and a process on it.
    machine: Arc<str>,
    process: Arc<str>,
    /// How often this process has heard that the plan store forgot.
    heard: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Inner {
    /// How often it has forgotten, and since when it remembers.
    forgot: u64,
    remembers: Option<Instant>,
    proposals: HashMap<Symbol, RawProposal>,
    /// How often each symbol was written, and how often its reader has been woken.
    versions: HashMap<Symbol, (u64, u64)>,
    wakers: HashMap<Symbol, Waker>,
    halted: bool,
    /// Who claimed a plan, and when.
    claims: HashMap<PlanId, (AttemptId, Instant)>,
    /// Claimed and without a final result.
    open: HashMap<PlanId, Opened>,
    /// Those of them that no attempt works on any more.
    abandoned: HashSet<PlanId>,
    announced: HashSet<(PlanId, Decision, String)>,
    plans: Vec<Plan>,
    /// How each plan ended, and who published it.
    ends: HashMap<PlanId, (bool, AttemptId)>,
    results: Vec<ApplyResult>,
    readers: Vec<Waker>,
}

impl Default for MemoryPlanStore {
    fn default() -> Self {
        Self {
            inner: Arc::default(),
            now: Instant::now,
            machine: "memory".into(),
            process: "memory".into(),
            heard: Arc::default(),
        }
    }
}

impl MemoryPlanStore {
    /// A plan store with a clock of one's own.
    pub fn with_clock(now: fn() -> Instant) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// The same plan store in the hands of another process, or of another machine.
    pub fn in_hands_of(&self, machine: &str, process: &str) -> Self {
        Self {
            machine: machine.into(),
            process: process.into(),
            heard: Arc::default(),
            ..self.clone()
        }
    }

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

    /// From now on no attempt works on the open plans: their process is gone.
    pub fn abandon(&self) {
        let mut inner = self.lock();
        inner.abandoned = inner.open.keys().cloned().collect();
    }

    /// Loses everything but the proposals, the switch and what readers have seen, as a store does
    /// that was flushed. The next claim or end of a plan notices it.
    pub fn forget(&self) {
        let mut inner = self.lock();
        inner.claims.clear();
        inner.open.clear();
        inner.abandoned.clear();
        inner.announced.clear();
        inner.ends.clear();
        inner.forgot += 1;
        inner.remembers = None;
    }

    /// Loses who holds which plan, and no claim.
    pub fn lose_entries(&self) {
        self.lock().open.clear();
    }

    /// Loses the note of every intent, as a store does that lost its last writes.
    pub fn forget_notes(&self) {
        for open in self.lock().open.values_mut() {
            open.plan.intent = None;
            open.plan.stage = Stage::Claimed;
        }
    }

    /// Loses who holds which plan and nothing else, as a store does of which one key was deleted.
    pub fn lose_holders(&self) {
        self.lock().open.clear();
    }

    /// How far an attempt is with a plan: for [`permit_gate::MemoryStore::holders`]. An order's permits are
    /// taken once its intent is noted, those of a rehearsal from the claim on.
    pub fn holding(&self, plan: &PlanId, attempt: &AttemptId, orders: bool) -> PlanHold {
        let inner = self.lock();
        match inner.open.get(plan) {
            Some(open) if open.plan.attempt == *attempt => match open.plan.stage {
                Stage::Noted => PlanHold::Ready,
                _ if !orders => PlanHold::Ready,
                _ => PlanHold::NotReady,
            },
            _ => PlanHold::NotHeld,
        }
    }

    /// The attempt that holds this plan.
    pub fn holder_of(&self, plan: &PlanId) -> Option<AttemptId> {
        let inner = self.lock();
        inner.open.get(plan).map(|open| open.plan.attempt.clone())
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

    /// For an answer that says what is remembered.
    fn answer(&self) -> MutexGuard<'_, Inner> {
        let inner = self.lock();
        self.heard.store(inner.forgot, Ordering::Relaxed);
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What is remembered at this moment.
    fn generation(&mut self, now: Instant) -> Generation {
        let remembers = *self.remembers.get_or_insert(now);
        Generation {
            id: format!("memory-{}", self.forgot),
            // One that has never forgotten anything remembers everything; of what was before it forgot
            // nothing is known.
            began_at: match self.forgot {
                0 => 0,
                _ => u64::MAX,
            },
            observed_at: 0,
            clean_at: match self.forgot {
                0 => remembers,
                _ => remembers + CLEAN_AFTER,
            },
        }
    }

    fn hold(&mut self, attempt: &AttemptId, now: Instant, since: Instant) -> Hold {
        Hold {
            attempt: attempt.clone(),
            generation: self.generation(now),
            server: ServerId(0),
            epoch: self.forgot,
            since,
        }
    }

    fn is_held(&self, plan: &PlanId, attempt: &AttemptId) -> bool {
        let open = self.open.get(plan);
        open.is_some_and(|open| open.plan.attempt == *attempt)
    }

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

impl ProposalSource for MemoryPlanStore {
    async fn fetch(&self, symbol: &Symbol) -> Result<Observed, PortError> {
        let mut inner = self.lock();
        let (written, seen) = inner.versions.entry(symbol.clone()).or_default();
        *seen = *written;
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
                Some((written, seen)) if written > seen => Poll::Ready(()),
                _ => {
                    inner.wakers.insert(symbol.clone(), cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }
}

impl PlanLog for MemoryPlanStore {
    async fn claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        _: Duration,
        _: u64,
    ) -> Result<Claim, PortError> {
        let (mut inner, now) = (self.answer(), (self.now)());
        match inner.claims.get(&plan.id).cloned() {
            Some((holder, since)) if holder == *attempt => {
                return Ok(match inner.is_held(&plan.id, attempt) {
                    true => Claim::Won(inner.hold(attempt, now, since)),
                    false if inner.ends.contains_key(&plan.id) => Claim::Taken,
                    false => Claim::Lost,
                });
            }
            Some(_) => return Ok(Claim::Taken),
            None if inner.open.contains_key(&plan.id) => return Ok(Claim::Taken),
            None if inner.ends.contains_key(&plan.id) => return Ok(Claim::Taken),
            None => {}
        }
        let clean_at = inner.generation(now).clean_at;
        if now < clean_at {
            return Ok(Claim::TooYoung { clean_at });
        }
        inner.claims.insert(plan.id.clone(), (attempt.clone(), now));
        let step = plan.step.as_ref().map_or("", Step::name);
        let open = self.opened(&plan.id, plan.symbol(), step, attempt, Stage::Claimed);
        inner.open.insert(plan.id.clone(), open);
        inner.plans.push(plan.clone());
        inner.wake_readers();
        Ok(Claim::Won(inner.hold(attempt, now, now)))
    }

    async fn find_claim(
        &self,
        plan: &PlanId,
        attempt: &AttemptId,
        _: Duration,
    ) -> Result<Option<Claim>, PortError> {
        let (mut inner, now) = (self.answer(), (self.now)());
        Ok(match inner.claims.get(plan).cloned() {
            Some((holder, since)) if holder == *attempt => {
                Some(match inner.is_held(plan, attempt) {
                    true => Claim::Won(inner.hold(attempt, now, since)),
                    false if inner.ends.contains_key(plan) => Claim::Taken,
                    false => Claim::Lost,
                })
            }
            _ => None,
        })
    }

    async fn announce(&self, plan: &Plan, _: u64) -> Result<bool, PortError> {
        let mut inner = self.lock();
        let announcement = (plan.id.clone(), plan.decision, plan.reason_codes());
        let new = !inner.claims.contains_key(&plan.id) && inner.announced.insert(announcement);
        if new {
            inner.plans.push(plan.clone());
            inner.wake_readers();
        }
        Ok(new)
    }

    async fn note_intent(&self, intent: &Intent) -> Result<bool, PortError> {
        Ok(match self.lock().open.get_mut(&intent.plan) {
            Some(open) if open.plan.attempt == intent.attempt => {
                open.plan.intent = Some(intent.clone());
                open.plan.stage = Stage::Noted;
                true
            }
            _ => false,
        })
    }

    async fn fetch_abandoned(&self) -> Result<Vec<OpenPlan>, PortError> {
        let inner = self.lock();
        let open = inner.open.values().map(|open| self.seen(open));
        Ok(open
            .filter(|open| open.of_this_machine || inner.abandoned.contains(&open.plan))
            .collect())
    }

    async fn adopt(&self, open: &OpenPlan, attempt: &AttemptId) -> Result<Option<Hold>, PortError> {
        let (mut inner, now) = (self.answer(), (self.now)());
        let adopted = match inner.open.get_mut(&open.plan) {
            Some(found) if found.plan.attempt == *attempt => true,
            Some(found) if self.seen(found) == *open => {
                found.machine = Arc::clone(&self.machine);
                found.process = Arc::clone(&self.process);
                found.plan.attempt = attempt.clone();
                found.plan.token = attempt.to_string();
                if let Stage::Claimed | Stage::Noted = found.plan.stage {
                    found.plan.stage = Stage::Closing;
                }
                true
            }
            _ => false,
        };
        if adopted {
            inner.abandoned.remove(&open.plan);
        }
        Ok(adopted.then(|| inner.hold(attempt, now, now)))
    }

    async fn reclaim(
        &self,
        plan: &PlanId,
        symbol: &Symbol,
        step: &str,
        attempt: &AttemptId,
        _: Duration,
    ) -> Result<Reclaim, PortError> {
        let (mut inner, now) = (self.answer(), (self.now)());
        match inner.open.get(plan) {
            Some(open) if open.plan.attempt == *attempt => {}
            Some(open) => return Ok(Reclaim::Open(self.seen(open))),
            None => {
                if let Some((executed, _)) = inner.ends.get(plan) {
                    return Ok(Reclaim::Ended {
                        executed: *executed,
                    });
                }
                let open = self.opened(plan, symbol, step, attempt, Stage::Closing);
                inner.open.insert(plan.clone(), open);
                let claim = (attempt.clone(), now);
                inner.claims.insert(plan.clone(), claim);
            }
        }
        Ok(Reclaim::Held(inner.hold(attempt, now, now)))
    }

    fn is_current(&self, hold: &Hold) -> bool {
        self.heard.load(Ordering::Relaxed) == hold.epoch
    }

    async fn ask_again(&self, plan: &PlanId, attempt: &AttemptId) -> Result<Standing, PortError> {
        let (inner, asked_at) = (self.lock(), (self.now)());
        let noted = inner
            .open
            .get(plan)
            .map(|open| &open.plan)
            .is_some_and(|open| open.attempt == *attempt && open.stage == Stage::Noted);
        Ok(match (noted, inner.halt()) {
            (false, _) => Standing::Lost,
            (true, Halt::On { by }) => Standing::Halted { by },
            (true, Halt::Off) => Standing::Holds { asked_at },
        })
    }
}

/// An open plan, with whom it belongs to.
#[derive(Debug)]
struct Opened {
    plan: OpenPlan,
    machine: Arc<str>,
    process: Arc<str>,
}

impl MemoryPlanStore {
    /// An entry of this attempt.
    fn opened(
        &self,
        plan: &PlanId,
        symbol: &Symbol,
        step: &str,
        attempt: &AttemptId,
        stage: Stage,
    ) -> Opened {
        let plan = OpenPlan {
            plan: plan.clone(),
            symbol: symbol.clone(),
            step: step.to_owned(),
            attempt: attempt.clone(),
            ours: true,
            of_this_machine: true,
            stage,
            intent: None,
            token: attempt.to_string(),
        };
        Opened {
            plan,
            machine: Arc::clone(&self.machine),
            process: Arc::clone(&self.process),
        }
    }

    /// An entry as this process sees it.
    fn seen(&self, open: &Opened) -> OpenPlan {
        let of_this_machine = open.machine == self.machine;
        OpenPlan {
            ours: of_this_machine && open.process == self.process,
            of_this_machine,
            ..open.plan.clone()
        }
    }
}

impl ResultLog for MemoryPlanStore {
    async fn publish(&self, result: &ApplyResult) -> Result<PublishOutcome, PortError> {
        let mut inner = self.lock();
        if inner.ends.contains_key(&result.plan) {
            return Ok(PublishOutcome::Before);
        }
        inner.results.push(result.clone());
        inner.wake_readers();
        Ok(PublishOutcome::Published)
    }

    async fn finalize(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> Result<PublishOutcome, PortError> {
        let (mut inner, now) = (self.answer(), (self.now)());
        let held = inner.is_held(&result.plan, &publisher.attempt);
        let generation = inner.generation(now).id;
        let stood = inner.ends.get(&result.plan).cloned();
        let before = |by: &AttemptId| match *by == publisher.attempt {
            true => PublishOutcome::Stands,
            false => PublishOutcome::Before,
        };
        let outcome = match &stood {
            Some((executed, by)) if *executed == result.executed => before(by),
            Some((true, _)) if held && generation == publisher.generation => {
                PublishOutcome::Contradicted
            }
            Some((true, _)) => PublishOutcome::Before,
            Some((false, _)) => PublishOutcome::Corrected,
            None if result.executed => PublishOutcome::Published,
            None if generation != publisher.generation => return Ok(PublishOutcome::Forgot),
            None if !held => return Ok(PublishOutcome::NotHeld),
            None => PublishOutcome::Published,
        };
        if stood.is_none() || outcome == PublishOutcome::Corrected {
            let end = (result.executed, publisher.attempt.clone());
            inner.ends.insert(result.plan.clone(), end);
            inner.results.push(result.clone());
            inner.wake_readers();
        }
        if held {
            inner.open.remove(&result.plan);
            inner.abandoned.remove(&result.plan);
        }
        Ok(outcome)
    }
}

/// A journal that lasts as long as its process: for demonstrations and tests, never for orders that
/// matter. Clones share the content.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    entries: HashMap<PlanId, Entry>,
    switch: Option<SwitchNote>,
}

impl MemoryJournal {
    /// Everything that was written down.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, plan: &PlanId, at: u64, by_another: bool) {
        if let Some(entry) = self.lock().entries.get_mut(plan)
            && let Some(ended) = entry.with_end(at, by_another)
        {
            *entry = ended;
        }
    }
}

impl Journal for MemoryJournal {
    async fn record_claim(&self, claim: &ClaimNote) -> Result<(), PortError> {
        let mut written = self.lock();
        let known = written.entries.get(&claim.plan);
        if known.is_none_or(Entry::is_only_claimed) {
            let entry = Entry::claimed(claim.clone());
            written.entries.insert(claim.plan.clone(), entry);
        }
        Ok(())
    }

    async fn record_intent(&self, intent: &Intent) -> Result<Recorded, PortError> {
        let mut written = self.lock();
        Ok(match written.entries.get(&intent.plan) {
            Some(known) if !known.is_only_claimed() => Recorded::Before(Box::new(known.clone())),
            _ => {
                let entry = Entry::intending(intent.clone());
                written.entries.insert(intent.plan.clone(), entry);
                Recorded::Now
            }
        })
    }

    async fn record_result(
        &self,
        result: &ApplyResult,
        publisher: Option<&Publisher>,
    ) -> Result<ApplyResult, PortError> {
        let mut written = self.lock();
        let entry = written
            .entries
            .entry(result.plan.clone())
            .or_insert_with(|| Entry::of(result.plan.clone()));
        if let Some(newer) = entry.with_result(result, publisher) {
            *entry = newer;
        }
        Ok(entry.result.clone().unwrap_or_else(|| result.clone()))
    }

    async fn record_published(&self, plan: &PlanId, at: u64) -> Result<(), PortError> {
        self.end(plan, at, false);
        Ok(())
    }

    async fn record_published_by_another(&self, plan: &PlanId, at: u64) -> Result<(), PortError> {
        self.end(plan, at, true);
        Ok(())
    }

    async fn record_switch(&self, switch: &SwitchNote) -> Result<(), PortError> {
        self.lock().switch = Some(switch.clone());
        Ok(())
    }

    async fn fetch_switch(&self) -> Result<Option<SwitchNote>, PortError> {
        Ok(self.lock().switch.clone())
    }

    async fn probe(&self) -> Result<(), PortError> {
        Ok(())
    }

    async fn look_up(&self, plan: &PlanId) -> Result<Option<Entry>, PortError> {
        Ok(self.lock().entries.get(plan).cloned())
    }

    async fn fetch_unfinished(&self) -> Result<Vec<Entry>, PortError> {
        let written = self.lock();
        let entries = written.entries.values();
        let unfinished = entries.filter(|entry| entry.published_at.is_none());
        Ok(unfinished.cloned().collect())
    }

    async fn fetch_published(&self, most: usize) -> Result<Vec<Entry>, PortError> {
        let written = self.lock();
        let entries = written.entries.values();
        let published = entries.filter(|entry| entry.published_at.is_some());
        let mut published: Vec<Entry> = published.cloned().collect();
        published.sort_by_key(|entry| std::cmp::Reverse(entry.published_at));
        published.truncate(most);
        Ok(published)
    }
}
