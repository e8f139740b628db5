//! Who waits for what. Pushes come in by key, wake-ups go out by plan, and by key to followers.

use super::follow::{Followers, RedisFollow};
use crate::{keys::PermitKeys, stats::Counters};
use permit_gate::{PermitMask, PermitSet, PlanId, Signal, Watch};
use redis::{PushInfo, PushKind, Value};
use std::{
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Poll, Waker},
};

/// Every waiting plan of this process. Holds a few hundred bytes for each, and nothing of plans
/// that do not wait.
pub(crate) struct Registry {
    keys: PermitKeys,
    switch: String,
    followers: Arc<Followers>,
    counters: Arc<Counters>,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    by_plan: HashMap<PlanId, Vec<Arc<Waiter>>>,
    count: usize,
}

/// One waiting plan's letter box: what came since it looked last.
#[derive(Default)]
struct Waiter {
    /// One bit for each permit, and [`LOOK_AGAIN`].
    pending: AtomicU32,
    /// Of the one who waits: a watch has one, and a waker is a third of what a notification takes.
    waker: Mutex<Option<Waker>>,
    /// All bits that ever came.
    came: AtomicU32,
    /// The permits that were there when the store was last looked at, and [`LOOKED`].
    there: AtomicU32,
}

/// The store was looked at for this waiter.
const LOOKED: u32 = 1 << 31;

/// Permits that are there now and were not before, of one waiting plan.
pub(crate) struct UnannouncedPermits {
    waiter: Arc<Waiter>,
    permits: u32,
}

impl UnannouncedPermits {
    /// Whether nothing has reported them.
    pub(crate) fn is_unannounced(&self) -> bool {
        let came = self.waiter.came.load(Ordering::Acquire);
        came & LOOK_AGAIN == 0 && self.permits & !came != 0
    }
}

const LOOK_AGAIN: u32 = 1 << 31;

impl Registry {
    pub(crate) fn new(
        keys: PermitKeys,
        switch: String,
        followed: Vec<String>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            keys,
            switch,
            followers: Arc::new(Followers::of(followed)),
            counters,
            waiters: Mutex::default(),
        })
    }

    /// Begins to collect what happens to this plan.
    pub(crate) fn watch(self: &Arc<Self>, plan: &PlanId) -> RedisWatch {
        let waiter = Arc::new(Waiter::default());
        let mut waiters = self.lock();
        waiters.count += 1;
        match waiters.by_plan.get_mut(plan.as_str()) {
            Some(same_plan) => same_plan.push(Arc::clone(&waiter)),
            None => {
                // Nearly always the only one: a vector of exactly one.
                let only = Vec::from([Arc::clone(&waiter)]);
                waiters.by_plan.insert(plan.clone(), only);
            }
        }
        RedisWatch {
            registry: Arc::clone(self),
            plan: plan.clone(),
            waiter,
        }
    }

    /// Begins to collect what happens to this key.
    pub(crate) fn follow(&self, key: &str) -> RedisFollow {
        self.followers.follow(key)
    }

    /// These permits of a plan are there: what is new of that since it was looked at last.
    pub(crate) fn saw(&self, plan: &PlanId, permits: u32) -> Vec<UnannouncedPermits> {
        let waiters = self.lock();
        let waiters = waiters.by_plan.get(plan.as_str()).into_iter().flatten();
        let new_permits = waiters.filter_map(|waiter| {
            let before = waiter.there.fetch_or(permits | LOOKED, Ordering::AcqRel);
            let permits = permits & !before;
            (before & LOOKED != 0 && permits != 0).then(|| UnannouncedPermits {
                waiter: Arc::clone(waiter),
                permits,
            })
        });
        new_permits.collect()
    }

    /// How many plans wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().count
    }

    /// Makes every waiter look again.
    pub(crate) fn wake_all(&self) {
        for waiter in self.lock().by_plan.values().flatten() {
            waiter.add(LOOK_AGAIN);
        }
        self.followers.ring_all();
    }

    /// Takes in what the server pushed, whatever it is.
    pub(crate) fn handle_push(&self, push: &PushInfo) {
        match (&push.kind, &*push.data) {
            (PushKind::Invalidate, [Value::Array(keys)]) => {
                self.counters.pushes.add();
                let waiters = self.lock();
                for key in keys {
                    if let Value::BulkString(key) = key {
                        self.touched(&waiters, key);
                    }
                }
            }
            // Everything was flushed.
            (PushKind::Invalidate, _) => {
                self.counters.pushes.add();
                self.wake_all();
            }
            (PushKind::PMessage, [_, Value::BulkString(channel), ..]) => {
                self.counters.pushes.add();
                // `__keyspace@0__:the:key`
                if let Some(colon) = channel.iter().position(|b| *b == b':') {
                    self.touched(&self.lock(), &channel[colon + 1..]);
                }
            }
            _ => {}
        }
    }

    fn touched(&self, waiters: &Waiters, key: &[u8]) {
        let Ok(key) = std::str::from_utf8(key) else {
            return;
        };
        self.followers.ring(key);
        if key == self.switch {
            for waiter in waiters.by_plan.values().flatten() {
                waiter.add(LOOK_AGAIN);
            }
            return;
        }
        for (i, template) in self.keys.templates().iter().enumerate() {
            if let Some(plan) = template.plan_of(key) {
                for waiter in waiters.by_plan.get(plan).into_iter().flatten() {
                    waiter.add(1 << i);
                }
            }
        }
    }

    /// What every key worth hearing about begins with, none of them within another.
    pub(crate) fn prefixes(&self) -> Vec<&str> {
        let templates = self.keys.templates().iter().map(|t| t.prefix());
        let mut all: Vec<&str> = templates
            .chain([&*self.switch])
            .chain(self.followers.prefixes())
            .collect();
        all.sort_unstable();
        // Sorted, a prefix stands right before everything it covers.
        all.dedup_by(|longer, shorter| longer.starts_with(&**shorter));
        all
    }

    /// Whether keys are followed that may be of other types than permits are.
    pub(crate) fn follows(&self) -> bool {
        self.followers.prefixes().next().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    fn add(&self, bits: u32) {
        self.came.fetch_or(bits, Ordering::AcqRel);
        // Only the first bit since the last look has to ring.
        if self.pending.fetch_or(bits, Ordering::AcqRel) == 0 {
            let waker = self.waker().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// What came since it was asked last.
    fn take(&self) -> Option<Signal> {
        match self.pending.swap(0, Ordering::AcqRel) {
            0 => None,
            bits if bits & LOOK_AGAIN != 0 => Some(Signal::LookAgain),
            bits => {
                let touched = (0..PermitSet::MAX)
                    .filter(|i| bits & (1 << i) != 0)
                    .fold(PermitMask::NONE, |m, i| m.union(PermitMask::only(i)));
                Some(Signal::Touched(touched))
            }
        }
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one waiting plan. Dropping it ends the watch.
pub struct RedisWatch {
    registry: Arc<Registry>,
    plan: PlanId,
    waiter: Arc<Waiter>,
}

impl Watch for RedisWatch {
    fn changed(&mut self) -> impl Future<Output = Signal> + Send {
        let waiter = &*self.waiter;
        poll_fn(move |cx| {
            if let Some(signal) = waiter.take() {
                return Poll::Ready(signal);
            }
            match &mut *waiter.waker() {
                Some(known) => known.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            // A signal that came before the waker was there woke no task.
            waiter.take().map_or(Poll::Pending, Poll::Ready)
        })
    }
}

impl Drop for RedisWatch {
    fn drop(&mut self) {
        let mut waiters = self.registry.lock();
        waiters.count -= 1;
        if let Some(same_plan) = waiters.by_plan.get_mut(self.plan.as_str()) {
            same_plan.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
            if same_plan.is_empty() {
                waiters.by_plan.remove(self.plan.as_str());
            }
        }
    }
}

impl fmt::Debug for RedisWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWatch")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::Future, pin::pin, task::Context, task::Poll, task::Waker};

    fn registry(line: &str) -> Arc<Registry> {
        let keys = PermitKeys::parse(line).unwrap();
        let followed = vec!["quantum:proposal:".into()];
        Registry::new(
            keys,
            "quantum:global:kill_switch".into(),
            followed,
            Arc::default(),
        )
    }

    fn push(registry: &Registry, keys: &[&str]) {
        let keys = keys.iter().map(|k| Value::BulkString(k.as_bytes().into()));
        registry.handle_push(&PushInfo {
            kind: PushKind::Invalidate,
            data: vec![Value::Array(keys.collect())],
        });
    }

    fn seen(watch: &mut RedisWatch) -> Option<Signal> {
        match pin!(watch.changed()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(signal) => Some(signal),
            Poll::Pending => None,
        }
    }

    fn plan(id: &str) -> PlanId {
        PlanId::new(id).unwrap()
    }

    #[test]
    fn a_push_reaches_its_plan_and_sticks_until_it_is_seen() {
        let registry = registry("governor,p33");
        let (mut a, mut b) = (registry.watch(&plan("a")), registry.watch(&plan("b")));
        let mut rival = registry.watch(&plan("a"));
        push(
            &registry,
            &[
                "quantum:permit:a",
                "quantum:permit:nobody",
                "quantum:apply:a",
            ],
        );
        push(&registry, &["quantum:permit:p33:a"]);
        let both = Signal::Touched(PermitMask::only(0).union(PermitMask::only(1)));
        assert_eq!(seen(&mut a), Some(both));
        assert_eq!(seen(&mut a), None);
        assert_eq!(seen(&mut rival), Some(both));
        assert_eq!(seen(&mut b), None);
    }

    #[test]
    fn a_flush_and_the_kill_switch_concern_everybody() {
        let registry = registry("governor,p33");
        let (mut a, mut b) = (registry.watch(&plan("a")), registry.watch(&plan("b")));
        push(
            &registry,
            &["quantum:permit:a", "quantum:global:kill_switch"],
        );
        assert_eq!(seen(&mut a), Some(Signal::LookAgain));
        assert_eq!(seen(&mut b), Some(Signal::LookAgain));
        registry.handle_push(&PushInfo {
            kind: PushKind::Invalidate,
            data: vec![Value::Nil],
        });
        assert_eq!(seen(&mut b), Some(Signal::LookAgain));
    }

    #[test]
    fn a_keyspace_notification_names_its_key_after_the_first_colon() {
        let registry = registry("governor,p33");
        let mut a = registry.watch(&plan("a"));
        let text = |s: &str| Value::BulkString(s.into());
        registry.handle_push(&PushInfo {
            kind: PushKind::PMessage,
            data: vec![
                text("p*"),
                text("__keyspace@0__:quantum:permit:p33:a"),
                text("set"),
            ],
        });
        assert_eq!(seen(&mut a), Some(Signal::Touched(PermitMask::only(1))));
    }

    #[test]
    fn a_wait_that_stops_leaves_nothing_behind() {
        let registry = registry("governor,p33");
        let first = registry.watch(&plan("a"));
        let second = registry.watch(&plan("a"));
        assert_eq!(registry.waiting(), 2);
        drop(first);
        assert_eq!(registry.waiting(), 1);
        drop(second);
        assert_eq!(registry.waiting(), 0);
        assert!(registry.lock().by_plan.is_empty());
    }

    #[test]
    fn prefixes_never_overlap_because_the_server_refuses_that() {
        let switch = "quantum:global:kill_switch";
        assert_eq!(
            registry("governor,p33,p26").prefixes(),
            [switch, "quantum:permit:", "quantum:proposal:"]
        );
        assert_eq!(
            registry("governor,p33=desk:{plan}").prefixes(),
            ["desk:", switch, "quantum:permit:", "quantum:proposal:"]
        );
        assert_eq!(registry("governor=quantum:{plan}").prefixes(), ["quantum:"]);
    }
}
