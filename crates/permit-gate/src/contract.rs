//! What every permit store promises, as a suite any of them can be run against.
//!
//! Implement [`Bench`] for a store and call [`run`]; it returns the list of checks that were made,
//! or says which one failed and how. The suite needs no runtime and no clock of its own.
//!
//! `tests/contract.rs` of this crate runs it over [`crate::MemoryStore`], and over stores with one
//! deliberate defect each, which it has to catch.

use crate::{
    id::{AttemptId, PlanId},
    rule::MAX_PERMIT_BYTES,
    set::PermitMask,
    store::{PermitStore, Reply, Signal, Slot, StoreError, Take, Ttl, Watch},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

/// A store on the bench, with the hands an issuer and an operator have. The store's set must be
/// [`crate::trading::permits`]. Each of these futures is awaited to its end, and what it does has
/// to be visible to a take that follows.
pub trait Bench: Sync {
    /// The store under test.
    type Store: PermitStore;

    /// The store. The same one on every call.
    fn store(&self) -> &Self::Store;

    /// A second, independent handle on the same permits: another process, as it were.
    fn rival(&self) -> &Self::Store;

    /// Now, on the clock that [`Take`] is measured by.
    fn now(&self) -> Instant;

    /// Writes a permit as an issuer does; `ttl` of `None` never expires.
    fn write(
        &self,
        plan: &PlanId,
        permit: &str,
        content: &[u8],
        ttl: Option<Duration>,
    ) -> impl Future<Output = ()> + Send;

    /// Lets a permit expire now.
    fn expire(&self, plan: &PlanId, permit: &str) -> impl Future<Output = ()> + Send;

    /// Whether a permit lies there.
    fn holds(&self, plan: &PlanId, permit: &str) -> impl Future<Output = bool> + Send;

    /// Sets the kill switch.
    fn halt(&self, on: bool) -> impl Future<Output = ()> + Send;

    /// Whether a write must be announced by [`PermitStore::watch`]. A store that polls says no.
    fn pushes(&self) -> bool;

    /// Resolves after `limit`, far beyond what an answer takes. Bounds the wait for a push.
    fn at_most(&self, limit: Duration) -> impl Future<Output = ()> + Send;
}

/// One promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The promise, as a sentence.
    pub promise: &'static str,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken promise: {}; seen: {}", self.promise, self.seen)
    }
}

impl std::error::Error for Broken {}

/// Runs every check, each with a plan of its own (`contract-1`, `contract-2`, …). Returns the
/// promises that hold, or the first one that does not.
///
/// The store must be empty, without receipts of an earlier run. Cancellation: dropping the future
/// leaves permits of these plans behind, and perhaps the kill switch on.
pub async fn run<B: Bench>(bench: &B) -> Result<Vec<&'static str>, Broken> {
    let mut suite = Suite {
        bench,
        plans: 0,
        held: Vec::new(),
    };
    suite.nothing_there_is_missing_both().await?;
    suite.one_there_is_named_and_left_alone().await?;
    suite.all_there_are_taken_together().await?;
    suite.same_attempt_gets_its_own_answer_again().await?;
    suite.rivals_never_both_take().await?;
    suite.an_expired_permit_is_missing().await?;
    suite.other_plans_are_untouched().await?;
    suite.nothing_is_taken_late().await?;
    suite.nothing_is_taken_while_halted().await?;
    suite.contents_come_back_byte_for_byte().await?;
    suite.an_oversized_permit_is_not_hidden().await?;
    suite.a_write_wakes_the_plan_it_is_for().await?;
    Ok(suite.held)
}

const GOV: &[u8] = br#"{"granted":true}"#;
const P33: &[u8] = br#"{"allow":true}"#;
const TTL: Duration = Duration::from_secs(60);

struct Suite<'a, B> {
    bench: &'a B,
    plans: u32,
    held: Vec<&'static str>,
}

impl<B: Bench> Suite<'_, B> {
    async fn nothing_there_is_missing_both(&mut self) -> Result<(), Broken> {
        let plan = self.plan();
        let seen = self.take(&plan, "a").await;
        let want = Reply::Missing(vec![Slot::ABSENT, Slot::ABSENT]);
        self.check("with no permit written both are missing", seen, |r| {
            *r == want
        })
    }

    async fn one_there_is_named_and_left_alone(&mut self) -> Result<(), Broken> {
        let plan = self.plan();
        self.bench.write(&plan, "governor", GOV, Some(TTL)).await;
        let seen = self.take(&plan, "a").await;
        self.check(
            "with one permit written the other is missing, and the one is shown with its TTL",
            seen,
            |reply| {
                let Reply::Missing(slots) = reply else {
                    return false;
                };
                slots.len() == 2
                    && slots[0].content.as_deref() == Some(GOV)
                    && matches!(slots[0].ttl, Ttl::Seconds(1..=60))
                    && slots[1] == Slot::ABSENT
            },
        )?;
        let still = self.bench.holds(&plan, "governor").await;
        self.expect(
            "a permit that could not be taken with all others stays",
            still,
        )?;

        let plan = self.plan();
        self.bench.write(&plan, "p33", P33, None).await;
        let seen = self.take(&plan, "a").await;
        self.check(
            "a permit without expiry is shown as such",
            seen,
            |reply| matches!(reply, Reply::Missing(s) if s.len() == 2 && s[0] == Slot::ABSENT && s[1].ttl == Ttl::NoExpiry),
        )
    }

    async fn all_there_are_taken_together(&mut self) -> Result<(), Broken> {
        let plan = self.plan();
        self.both(&plan).await;
        let seen = self.take(&plan, "a").await;
        self.check(
            "with both permits written both are taken, in the set's order",
            seen,
            |r| *r == taken(),
        )?;
        let gone =
            !self.bench.holds(&plan, "governor").await && !self.bench.holds(&plan, "p33").await;
        self.expect("permits that were taken are gone", gone)
    }

    async fn same_attempt_gets_its_own_answer_again(&mut self) -> Result<(), Broken> {
        let plan = self.plan();
        self.both(&plan).await;
        let first = self.take(&plan, "a").await;
        let again = self.take(&plan, "a").await;
        self.check("the first take gets the permits", first, |r| *r == taken())?;
        self.check(
            "the same attempt asking again gets the same answer",
            again,
            |r| *r == taken(),
        )?;
        let other = self.take(&plan, "b").await;
        self.check("another attempt learns that they are taken", other, |r| {
            *r == Reply::TakenByOther
        })?;
        self.both(&plan).await;
        let other = self.take(&plan, "b").await;
        self.check(
            "permits written again do not make a plan takeable twice",
            other,
            |r| *r == Reply::TakenByOther,
        )
    }

    async fn rivals_never_both_take(&mut self) -> Result<(), Broken> {
        for _ in 0..50 {
            let plan = self.plan();
            self.both(&plan).await;
            let (a, b) = (self.request(&plan, "a"), self.request(&plan, "b"));
            let (a, b) = both(
                self.bench.store().take_all(&a),
                self.bench.rival().take_all(&b),
            )
            .await;
            let won = [&a, &b]
                .iter()
                .filter(|r| matches!(r, Ok(Reply::Taken(_))))
                .count();
            let lost = [&a, &b]
                .iter()
                .filter(|r| matches!(r, Ok(Reply::TakenByOther)))
                .count();
            if (won, lost) != (1, 1) {
                return Err(broken(
                    "of two rivals one takes and the other learns of it",
                    format!("{a:?} and {b:?}"),
                ));
            }
        }
        self.expect("of two rivals one takes and the other learns of it", true)
    }

    async fn an_expired_permit_is_missing(&mut self) -> Result<(), Broken> {
        let plan = self.plan();
        self.bench.write(&plan, "governor", GOV, Some(TTL)).await;
        self.bench.write(&plan, "p33", P33, None).await;
        self.bench.expire(&plan, "governor").await;
        let seen = self.take(&plan, "a").await;
        self.check(
            "an expired permit is missing",
            seen,
            |reply| matches!(reply, Reply::Missing(s) if s.len() == 2 && s[0] == Slot::ABSENT && s[1].content.is_some()),
        )
    }

    async fn other_plans_are_untouched(&mut self) -> Result<(), Broken> {
        let (plan, other) = (self.plan(), self.plan());
        self.both(&plan).await;
        self.both(&other).await;
        let seen = self.take(&plan, "a").await;
        self.check("one plan's permits are taken", seen, |r| *r == taken())?;
        let seen = self.take(&other, "a").await;
        self.check("and another plan's are still there", seen, |r| {
            *r == taken()
        })
    }

    async fn nothing_is_taken_late(&mut self) -> Result<(), Broken> {
        let plan = self.plan();
        self.both(&plan).await;
        let mut late = self.request(&plan, "a");
        let past = self.bench.now().checked_sub(Duration::from_secs(1));
        late.not_after = past.unwrap_or(late.not_after);
        late.asked_at = self.bench.now();
        let seen = self.bench.store().take_all(&late).await;
        self.check("a take that comes too late is refused", seen, |r| {
            *r == Reply::Late
        })?;
        let still =
            self.bench.holds(&plan, "governor").await && self.bench.holds(&plan, "p33").await;
        self.expect("and a late take leaves the permits", still)
    }

    async fn nothing_is_taken_while_halted(&mut self) -> Result<(), Broken> {
        let plan = self.plan();
        self.both(&plan).await;
        self.bench.halt(true).await;
        let halted = self.take(&plan, "a").await;
        self.bench.halt(false).await;
        self.check("while halted nothing is taken", halted, |r| {
            *r == Reply::Halted
        })?;
        // Another attempt: the same one could be answered out of a receipt made while halted.
        let seen = self.take(&plan, "b").await;
        self.check("and after it the permits are still there", seen, |r| {
            *r == taken()
        })
    }

    async fn contents_come_back_byte_for_byte(&mut self) -> Result<(), Broken> {
        let plan = self.plan();
        let odd: Vec<u8> = (0..=255).collect();
        self.bench.write(&plan, "governor", &odd, Some(TTL)).await;
        self.bench.write(&plan, "p33", b"", Some(TTL)).await;
        let seen = self.take(&plan, "a").await;
        let want = Reply::Taken(vec![odd, Vec::new()]);
        self.check("contents come back byte for byte", seen, |r| *r == want)
    }

    async fn an_oversized_permit_is_not_hidden(&mut self) -> Result<(), Broken> {
        let plan = self.plan();
        let huge = vec![b'x'; MAX_PERMIT_BYTES * 3];
        self.bench.write(&plan, "governor", &huge, Some(TTL)).await;
        let seen = self.take(&plan, "a").await;
        self.check(
            "an oversized permit is still recognised as too large",
            seen,
            |reply| matches!(reply, Reply::Missing(s) if s[0].content.as_ref().is_some_and(|c| c.len() > MAX_PERMIT_BYTES)),
        )
    }

    async fn a_write_wakes_the_plan_it_is_for(&mut self) -> Result<(), Broken> {
        if !self.bench.pushes() {
            return Ok(());
        }
        let plan = self.plan();
        let mut watch = self.bench.store().watch(&plan);
        self.bench.write(&plan, "p33", P33, Some(TTL)).await;
        let seen = self.signalled(&mut watch, PermitMask::only(1)).await;
        self.expect("a permit's write is announced", seen)?;

        let plan = self.plan();
        let mut watch = self.bench.store().watch(&plan);
        self.both(&plan).await;
        let both = PermitMask::only(0).union(PermitMask::only(1));
        let seen = self.signalled(&mut watch, both).await;
        self.expect("writes between two looks are all announced", seen)
    }

    /// Whether `wanted` is announced, together or one after the other.
    async fn signalled(
        &self,
        watch: &mut <B::Store as PermitStore>::Watch,
        wanted: PermitMask,
    ) -> bool {
        let collect = async {
            let mut seen = PermitMask::NONE;
            while !wanted.is_within(seen) {
                match watch.changed().await {
                    Signal::LookAgain => return,
                    Signal::Touched(touched) => seen = seen.union(touched),
                }
            }
        };
        let (mut collect, mut alarm) = (
            pin!(collect),
            pin!(self.bench.at_most(Duration::from_secs(10))),
        );
        poll_fn(|cx| match collect.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => alarm.as_mut().poll(cx).map(|()| false),
        })
        .await
    }

    fn plan(&mut self) -> PlanId {
        self.plans += 1;
        let id = format!("contract-{}", self.plans);
        PlanId::new(&id).unwrap_or_else(|error| unreachable!("{error}"))
    }

    async fn both(&self, plan: &PlanId) {
        self.bench.write(plan, "governor", GOV, Some(TTL)).await;
        self.bench.write(plan, "p33", P33, Some(TTL)).await;
    }

    fn request(&self, plan: &PlanId, attempt: &str) -> Take {
        let now = self.bench.now();
        Take {
            plan: plan.clone(),
            attempt: AttemptId::new(attempt).unwrap_or_else(|error| unreachable!("{error}")),
            asked_at: now,
            not_after: now + Duration::from_secs(60),
        }
    }

    async fn take(&self, plan: &PlanId, attempt: &str) -> Result<Reply, StoreError> {
        let request = self.request(plan, attempt);
        self.bench.store().take_all(&request).await
    }

    fn check(
        &mut self,
        promise: &'static str,
        seen: Result<Reply, StoreError>,
        holds: impl FnOnce(&Reply) -> bool,
    ) -> Result<(), Broken> {
        match &seen {
            Ok(reply) if holds(reply) => self.expect(promise, true),
            _ => Err(broken(promise, format!("{seen:?}"))),
        }
    }

    fn expect(&mut self, promise: &'static str, holds: bool) -> Result<(), Broken> {
        if !holds {
            return Err(broken(promise, "it does not hold".into()));
        }
        self.held.push(promise);
        Ok(())
    }
}

fn taken() -> Reply {
    Reply::Taken(vec![GOV.to_vec(), P33.to_vec()])
}

fn broken(promise: &'static str, seen: String) -> Broken {
    Broken { promise, seen }
}

/// Both futures, polled side by side.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut got_a, mut got_b) = (None, None);
    poll_fn(|cx| {
        if got_a.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            got_a = Some(output);
        }
        if got_b.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            got_b = Some(output);
        }
        match (got_a.take(), got_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (got_a, got_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}
