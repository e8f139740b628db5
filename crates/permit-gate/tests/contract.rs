//! The contract suite: the memory store passes it, and a store with any one defect does not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{TokioTimer, store};
use permit_gate::{
    AttemptId, MemoryStore, PermitMask, PermitSet, PermitStore, PlanId, Reply, Signal, Slot,
    StoreError, Take, Timer, Ttl, Watch,
    contract::{self, Bench},
    trading,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::watch;

#[tokio::test(start_paused = true)]
async fn the_memory_store_keeps_every_promise() {
    let held = contract::run(&MemoryBench(store())).await.unwrap();
    assert!(held.len() >= 20, "{held:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_plain_store_without_a_defect_passes() {
    contract::run(&PlainBench::new(None)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_defect_is_caught_by_the_promise_it_breaks() {
    for (defect, promise) in [
        (
            Defect::TakesOneByOneBeforeChecking,
            "a permit that could not be taken with all others stays",
        ),
        (
            Defect::ChecksThenTakes,
            "of two rivals one takes and the other learns of it",
        ),
        (
            Defect::GrantsOnMissing,
            "with no permit written both are missing",
        ),
        (
            Defect::ForgetsReceipts,
            "the same attempt asking again gets the same answer",
        ),
        (
            Defect::AnswersRivalsAlike,
            "another attempt learns that they are taken",
        ),
        (
            Defect::OnlyRemembersWhileEmpty,
            "permits written again do not make a plan takeable twice",
        ),
        (Defect::LeavesWhatItTook, "permits that were taken are gone"),
        (
            Defect::SwapsTheOrder,
            "with both permits written both are taken, in the set's order",
        ),
        (Defect::IgnoresExpiry, "an expired permit is missing"),
        (
            Defect::ClearsEveryPlan,
            "and another plan's are still there",
        ),
        (Defect::TakesLate, "a take that comes too late is refused"),
        (
            Defect::IgnoresTheKillSwitch,
            "while halted nothing is taken",
        ),
        (Defect::ReadsAsText, "contents come back byte for byte"),
        (
            Defect::HidesTheSize,
            "an oversized permit is still recognised as too large",
        ),
        (Defect::ForgetsToWake, "a permit's write is announced"),
        (
            Defect::WakesForTheLastWriteOnly,
            "writes between two looks are all announced",
        ),
    ] {
        let broken = contract::run(&PlainBench::new(Some(defect)))
            .await
            .expect_err(&format!("{defect:?} passes"));
        assert_eq!(broken.promise, promise, "{defect:?}: {broken}");
    }
}

struct MemoryBench(MemoryStore);

impl Bench for MemoryBench {
    type Store = MemoryStore;

    fn store(&self) -> &MemoryStore {
        &self.0
    }

    fn rival(&self) -> &MemoryStore {
        &self.0
    }

    fn now(&self) -> Instant {
        TokioTimer.now()
    }

    async fn write(&self, plan: &PlanId, permit: &str, content: &[u8], ttl: Option<Duration>) {
        match ttl {
            Some(ttl) => self.0.put_until(plan, permit, content, self.now() + ttl),
            None => self.0.put(plan, permit, content),
        }
    }

    async fn expire(&self, plan: &PlanId, permit: &str) {
        self.0.put_until(plan, permit, b"expired", self.now());
    }

    async fn holds(&self, plan: &PlanId, permit: &str) -> bool {
        self.0.holds(plan, permit)
    }

    async fn halt(&self, on: bool) {
        self.0.halt(on);
    }

    fn pushes(&self) -> bool {
        true
    }

    async fn at_most(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
    }
}

/// One way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Defect {
    TakesOneByOneBeforeChecking,
    ChecksThenTakes,
    GrantsOnMissing,
    ForgetsReceipts,
    AnswersRivalsAlike,
    OnlyRemembersWhileEmpty,
    LeavesWhatItTook,
    SwapsTheOrder,
    IgnoresExpiry,
    ClearsEveryPlan,
    TakesLate,
    IgnoresTheKillSwitch,
    ReadsAsText,
    HidesTheSize,
    ForgetsToWake,
    WakesForTheLastWriteOnly,
}

/// A store as plain as can be, correct but for its one defect.
struct Plain {
    set: PermitSet,
    defect: Option<Defect>,
    shelf: Mutex<Shelf>,
    writes: watch::Sender<Vec<(PlanId, usize)>>,
}

#[derive(Default)]
struct Shelf {
    permits: HashMap<(PlanId, usize), Lying>,
    receipts: HashMap<PlanId, (AttemptId, Vec<Vec<u8>>)>,
    halted: bool,
}

#[derive(Clone)]
struct Lying {
    content: Vec<u8>,
    ttl: Ttl,
    expired: bool,
}

struct PlainWatch {
    plan: PlanId,
    seen: usize,
    last_only: bool,
    writes: watch::Receiver<Vec<(PlanId, usize)>>,
}

impl Watch for PlainWatch {
    async fn changed(&mut self) -> Signal {
        loop {
            let mine: Vec<usize> = {
                let log = self.writes.borrow_and_update();
                let fresh = log[self.seen..].iter().filter(|(p, _)| *p == self.plan);
                let mine = fresh.map(|(_, i)| *i).collect();
                self.seen = log.len();
                mine
            };
            let announced = if self.last_only {
                &mine[mine.len().saturating_sub(1)..]
            } else {
                &mine[..]
            };
            if !announced.is_empty() {
                let touched = announced.iter().map(|i| PermitMask::only(*i));
                return Signal::Touched(touched.fold(PermitMask::NONE, PermitMask::union));
            }
            self.writes.changed().await.expect("the store is gone");
        }
    }
}

impl Plain {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn there(&self, shelf: &Shelf, plan: &PlanId, i: usize) -> Option<Lying> {
        let lying = shelf.permits.get(&(plan.clone(), i))?.clone();
        (!lying.expired || self.has(Defect::IgnoresExpiry)).then_some(lying)
    }

    fn slots(&self, shelf: &Shelf, plan: &PlanId) -> Vec<Slot> {
        let slot = |i| {
            self.there(shelf, plan, i).map_or(Slot::ABSENT, |lying| {
                let mut content = lying.content;
                if self.has(Defect::HidesTheSize) {
                    content.truncate(permit_gate::rule::MAX_PERMIT_BYTES);
                }
                if self.has(Defect::ReadsAsText) {
                    content = String::from_utf8_lossy(&content).into_owned().into_bytes();
                }
                Slot {
                    content: Some(content),
                    ttl: lying.ttl,
                }
            })
        };
        (0..self.set.len()).map(slot).collect()
    }

    /// The answer where nothing is to be taken.
    fn refusal(&self, shelf: &Shelf, take: &Take) -> Option<Reply> {
        if shelf.halted && !self.has(Defect::IgnoresTheKillSwitch) {
            return Some(Reply::Halted);
        }
        let rewritten =
            self.has(Defect::OnlyRemembersWhileEmpty) && self.there(shelf, &take.plan, 0).is_some();
        if let Some((attempt, contents)) = shelf.receipts.get(&take.plan)
            && !rewritten
        {
            let same = *attempt == take.attempt || self.has(Defect::AnswersRivalsAlike);
            return Some(match same {
                true => Reply::Taken(contents.clone()),
                false => Reply::TakenByOther,
            });
        }
        if take.asked_at > take.not_after && !self.has(Defect::TakesLate) {
            return Some(Reply::Late);
        }
        None
    }

    fn remove(&self, shelf: &mut Shelf, take: &Take, mut contents: Vec<Vec<u8>>) -> Reply {
        if self.has(Defect::ClearsEveryPlan) {
            shelf.permits.clear();
        }
        if !self.has(Defect::LeavesWhatItTook) {
            shelf.permits.retain(|(plan, _), _| *plan != take.plan);
        }
        if self.has(Defect::SwapsTheOrder) {
            contents.reverse();
        }
        if !self.has(Defect::ForgetsReceipts) {
            let receipt = (take.attempt.clone(), contents.clone());
            shelf.receipts.insert(take.plan.clone(), receipt);
        }
        Reply::Taken(contents)
    }
}

impl PermitStore for Plain {
    type Watch = PlainWatch;

    fn permits(&self) -> &PermitSet {
        &self.set
    }

    fn watch(&self, plan: &PlanId) -> PlainWatch {
        let writes = self.writes.subscribe();
        let seen = writes.borrow().len();
        PlainWatch {
            plan: plan.clone(),
            seen,
            last_only: self.has(Defect::WakesForTheLastWriteOnly),
            writes,
        }
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        let contents: Vec<Vec<u8>> = {
            let mut shelf = self.shelf.lock().unwrap();
            if let Some(reply) = self.refusal(&shelf, take) {
                return Ok(reply);
            }
            let slots = self.slots(&shelf, &take.plan);
            if self.has(Defect::TakesOneByOneBeforeChecking) {
                shelf.permits.retain(|(plan, _), _| *plan != take.plan);
            }
            let complete = slots.iter().all(|slot| slot.content.is_some());
            if !complete && !self.has(Defect::GrantsOnMissing) {
                return Ok(Reply::Missing(slots));
            }
            let contents = slots.into_iter().map(|s| s.content.unwrap_or_default());
            let contents = contents.collect();
            if !self.has(Defect::ChecksThenTakes) {
                return Ok(self.remove(&mut shelf, take, contents));
            }
            contents
        };
        tokio::task::yield_now().await;
        Ok(self.remove(&mut self.shelf.lock().unwrap(), take, contents))
    }
}

struct PlainBench(Arc<Plain>);

impl PlainBench {
    fn new(defect: Option<Defect>) -> Self {
        Self(Arc::new(Plain {
            set: trading::permits(),
            defect,
            shelf: Mutex::default(),
            writes: watch::Sender::new(Vec::new()),
        }))
    }

    fn key(&self, plan: &PlanId, permit: &str) -> (PlanId, usize) {
        (plan.clone(), self.0.set.position(permit).unwrap())
    }
}

impl Bench for PlainBench {
    type Store = Plain;

    fn store(&self) -> &Plain {
        &self.0
    }

    fn rival(&self) -> &Plain {
        &self.0
    }

    fn now(&self) -> Instant {
        TokioTimer.now()
    }

    async fn write(&self, plan: &PlanId, permit: &str, content: &[u8], ttl: Option<Duration>) {
        let key = self.key(plan, permit);
        let lying = Lying {
            content: content.to_vec(),
            ttl: ttl.map_or(Ttl::NoExpiry, |ttl| Ttl::Seconds(ttl.as_secs())),
            expired: false,
        };
        self.0
            .shelf
            .lock()
            .unwrap()
            .permits
            .insert(key.clone(), lying);
        if !self.0.has(Defect::ForgetsToWake) {
            self.0.writes.send_modify(|log| log.push(key));
        }
    }

    async fn expire(&self, plan: &PlanId, permit: &str) {
        let key = self.key(plan, permit);
        let mut shelf = self.0.shelf.lock().unwrap();
        shelf.permits.get_mut(&key).unwrap().expired = true;
    }

    async fn holds(&self, plan: &PlanId, permit: &str) -> bool {
        let key = self.key(plan, permit);
        self.0.shelf.lock().unwrap().permits.contains_key(&key)
    }

    async fn halt(&self, on: bool) {
        self.0.shelf.lock().unwrap().halted = on;
    }

    fn pushes(&self) -> bool {
        true
    }

    async fn at_most(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
    }
}
