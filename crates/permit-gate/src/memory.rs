//! A complete permit store in memory, for tests, demonstrations and embedders' fakes.

use crate::{
    id::{AttemptId, PlanId},
    rule::MAX_PERMIT_BYTES,
    set::{PermitMask, PermitSet},
    store::{PermitStore, Reply, Signal, Slot, StoreError, Take, Ttl, Watch},
};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// Keeps permits in a map behind a mutex; passes [`crate::contract`]. Clones share the content.
///
/// It has no clock of its own: permits expire against the [`Take::asked_at`] of the take that
/// looks at them, and receipts are kept as long as the store is. Beyond the port it can halt, fail
/// on demand and lose replies, so that an embedder's tests reach every answer of the gate.
#[derive(Clone)]
pub struct MemoryStore {
    permits: Arc<PermitSet>,
    inner: Arc<Mutex<Inner>>,
    holders: Option<Arc<Holders>>,
}

/// How far an attempt is with a plan, as who keeps the plans knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanHold {
    /// The plan is not, or no longer, this attempt's.
    NotHeld,
    /// It is, and the attempt may not take its permits yet.
    NotReady,
    /// It may.
    Ready,
}

type Holders = dyn Fn(&PlanId, &AttemptId) -> PlanHold + Send + Sync;

#[derive(Debug, Default)]
struct Inner {
    contents: HashMap<(PlanId, usize), Content>,
    taken: HashMap<PlanId, (AttemptId, Vec<Vec<u8>>)>,
    watches: HashMap<PlanId, Vec<Weak<Mutex<Pending>>>>,
    halted: bool,
    faults: VecDeque<Fault>,
    takes: u64,
}

#[derive(Debug)]
struct Content {
    bytes: Vec<u8>,
    expires: Option<Instant>,
}

#[derive(Debug)]
enum Fault {
    Fail(StoreError),
    LoseReply,
    Hang,
}

impl MemoryStore {
    /// An empty store for this set of permits.
    pub fn new(permits: Arc<PermitSet>) -> Self {
        Self {
            permits,
            inner: Arc::default(),
            holders: None,
        }
    }

    /// Lets permits be taken only by an attempt that holds its plan, as this says.
    pub fn holders(
        mut self,
        holding: impl Fn(&PlanId, &AttemptId) -> PlanHold + Send + Sync + 'static,
    ) -> Self {
        self.holders = Some(Arc::new(holding));
        self
    }

    /// Writes a permit that never expires, as an issuer would, and wakes the plan. A name outside
    /// the set is ignored: such a key is never read.
    pub fn put(&self, plan: &PlanId, permit: &str, content: &[u8]) {
        self.write(plan, permit, content, None);
    }

    /// As [`MemoryStore::put`], gone at `expires`.
    pub fn put_until(&self, plan: &PlanId, permit: &str, content: &[u8], expires: Instant) {
        self.write(plan, permit, content, Some(expires));
    }

    /// Deletes a permit, and wakes the plan.
    pub fn remove(&self, plan: &PlanId, permit: &str) {
        if let Some(i) = self.permits.position(permit) {
            let mut inner = self.lock();
            inner.contents.remove(&(plan.clone(), i));
            let woken = inner.signal(plan, Signal::Touched(PermitMask::only(i)));
            wake(inner, woken);
        }
    }

    /// Whether a permit lies there, expired or not.
    pub fn holds(&self, plan: &PlanId, permit: &str) -> bool {
        let index = self.permits.position(permit);
        index.is_some_and(|i| self.lock().contents.contains_key(&(plan.clone(), i)))
    }

    /// Sets the kill switch.
    pub fn halt(&self, on: bool) {
        self.lock().halted = on;
    }

    /// The next take fails with this error and takes nothing.
    pub fn fail_next(&self, error: StoreError) {
        self.lock().faults.push_back(Fault::Fail(error));
    }

    /// The next take happens, and its reply is lost.
    pub fn lose_next_reply(&self) {
        self.lock().faults.push_back(Fault::LoseReply);
    }

    /// The next take is never answered and never happens.
    pub fn hang_next(&self) {
        self.lock().faults.push_back(Fault::Hang);
    }

    /// How many takes were asked for so far.
    pub fn takes(&self) -> u64 {
        self.lock().takes
    }

    /// How many plans are being waited for now.
    pub fn watched_plans(&self) -> usize {
        self.lock().watches.len()
    }

    /// Makes every waiting plan look again, as a store does after its watch was blind.
    pub fn wake_all(&self) {
        let mut inner = self.lock();
        let plans: Vec<PlanId> = inner.watches.keys().cloned().collect();
        let woken = plans
            .iter()
            .flat_map(|plan| inner.signal(plan, Signal::LookAgain))
            .collect();
        wake(inner, woken);
    }

    fn write(&self, plan: &PlanId, permit: &str, content: &[u8], expires: Option<Instant>) {
        let Some(i) = self.permits.position(permit) else {
            return;
        };
        let mut inner = self.lock();
        let bytes = content.to_vec();
        inner
            .contents
            .insert((plan.clone(), i), Content { bytes, expires });
        let woken = inner.signal(plan, Signal::Touched(PermitMask::only(i)));
        wake(inner, woken);
    }

    /// A panic elsewhere cannot leave the maps half changed: every change is one insert or remove.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

impl PermitStore for MemoryStore {
    type Watch = MemoryWatch;

    fn permits(&self) -> &PermitSet {
        &self.permits
    }

    fn watch(&self, plan: &PlanId) -> MemoryWatch {
        let pending = Arc::new(Mutex::new(Pending::default()));
        let mut inner = self.lock();
        let watches = inner.watches.entry(plan.clone()).or_default();
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&pending));
        MemoryWatch {
            plan: plan.clone(),
            pending,
            store: Arc::downgrade(&self.inner),
        }
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        let holding = match &self.holders {
            Some(holding) => holding(&take.plan, &take.attempt),
            None => PlanHold::Ready,
        };
        let (fault, reply) = {
            let mut inner = self.lock();
            inner.takes += 1;
            match inner.faults.pop_front() {
                Some(Fault::Fail(error)) => return Err(error),
                Some(Fault::Hang) => (Some(Fault::Hang), None),
                other => (other, Some(inner.take(&self.permits, take, holding))),
            }
        };
        match (fault, reply) {
            (None, Some(reply)) => Ok(reply),
            (Some(Fault::LoseReply), _) => {
                Err(StoreError::Unsettled("reply lost on demand".into()))
            }
            _ => std::future::pending().await,
        }
    }
}

impl Inner {
    fn take(&mut self, set: &PermitSet, take: &Take, holding: PlanHold) -> Reply {
        if self.halted {
            return Reply::Halted;
        }
        if holding == PlanHold::NotHeld {
            return Reply::NotHeld;
        }
        if let Some((attempt, contents)) = self.taken.get(&take.plan) {
            return match *attempt == take.attempt {
                true => Reply::Taken(contents.clone()),
                false => Reply::TakenByOther,
            };
        }
        if take.asked_at > take.not_after {
            return Reply::Late;
        }
        let slots: Vec<Slot> = (0..set.len())
            .map(|i| self.slot(&take.plan, i, take.asked_at))
            .collect();
        if slots.iter().any(|slot| slot.content.is_none()) {
            return Reply::Missing(slots);
        }
        if holding == PlanHold::NotReady {
            return Reply::NotReady(slots);
        }
        let contents: Vec<Vec<u8>> = slots.into_iter().filter_map(|s| s.content).collect();
        for i in 0..set.len() {
            self.contents.remove(&(take.plan.clone(), i));
        }
        let receipt = (take.attempt.clone(), contents.clone());
        self.taken.insert(take.plan.clone(), receipt);
        Reply::Taken(contents)
    }

    fn slot(&self, plan: &PlanId, index: usize, now: Instant) -> Slot {
        match self.contents.get(&(plan.clone(), index)) {
            Some(content) if content.expires.is_none_or(|at| now < at) => Slot {
                content: Some(cut(&content.bytes)),
                ttl: content.expires.map_or(Ttl::NoExpiry, |at| {
                    // Redis rounds the remaining seconds to the nearest whole one.
                    let left = at.saturating_duration_since(now) + Duration::from_millis(500);
                    Ttl::Seconds(left.as_secs())
                }),
            },
            _ => Slot::ABSENT,
        }
    }

    /// Leaves the signal with every watch of the plan. Returns who is to be woken.
    fn signal(&mut self, plan: &PlanId, signal: Signal) -> Vec<Waker> {
        let watches = self.watches.get(plan).into_iter().flatten();
        watches
            .filter_map(Weak::upgrade)
            .filter_map(|pending| {
                let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
                pending.add(signal)
            })
            .collect()
    }
}

/// Wakes with the store unlocked: an executor may poll or drop a waiting plan right here, and both
/// need the lock.
fn wake(store: MutexGuard<'_, Inner>, woken: Vec<Waker>) {
    drop(store);
    woken.into_iter().for_each(Waker::wake);
}

fn cut(content: &[u8]) -> Vec<u8> {
    content[..content.len().min(MAX_PERMIT_BYTES + 1)].to_vec()
}

/// Wakes one waiting plan of a [`MemoryStore`].
#[derive(Debug)]
pub struct MemoryWatch {
    plan: PlanId,
    pending: Arc<Mutex<Pending>>,
    store: Weak<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Pending {
    signal: Option<Signal>,
    waker: Option<Waker>,
}

impl Pending {
    fn add(&mut self, signal: Signal) -> Option<Waker> {
        self.signal = Some(match (self.signal, signal) {
            (Some(Signal::Touched(a)), Signal::Touched(b)) => Signal::Touched(a.union(b)),
            (None, only) => only,
            _ => Signal::LookAgain,
        });
        self.waker.take()
    }
}

impl Watch for MemoryWatch {
    async fn changed(&mut self) -> Signal {
        poll_fn(|cx| {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            match pending.signal.take() {
                Some(signal) => Poll::Ready(signal),
                None => {
                    pending.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        let Some(inner) = self.store.upgrade() else {
            return;
        };
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watches) = inner.watches.get_mut(&self.plan) {
            let this = Arc::downgrade(&self.pending);
            watches.retain(|watch| !watch.ptr_eq(&this));
            if watches.is_empty() {
                inner.watches.remove(&self.plan);
            }
        }
    }
}
