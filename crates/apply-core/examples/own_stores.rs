//! The whole path over a store of one's own: one lock around one table stands for the database that an
//! embedder has. `cargo run --features tokio --example own_stores`
//!
//! Each method says what has to happen in one atomic step of a real store. The journal and the venue are
//! those of `apply_core::memory`; a service takes `apply-journal` and an adapter to its venue.

use apply_core::{
    ApplyLayer, ApplyResult, Assembled, Claim, Event, Generation, Halt, Hold, Intent, Mode,
    Observed, OpenPlan, Plan, PlanLog, PortError, ProposalSource, PublishOutcome, Publisher,
    RawProposal, Reclaim, ResultLog, ServerId, Settings, Standing, Symbol, SymbolWorker,
    memory::{MemoryJournal, MemoryVenue},
};
use permit_gate::{
    AttemptId, PermitSet, PermitStore, PlanId, Reply, Signal, Slot, StoreError, Take, TokioTimer,
    Ttl, Watch, trading,
};
use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The database.
#[derive(Clone)]
struct Store {
    required: PermitSet,
    rows: Arc<Mutex<Rows>>,
}

#[derive(Default)]
struct Rows {
    proposals: HashMap<Symbol, RawProposal>,
    claims: HashMap<PlanId, (AttemptId, Instant)>,
    noted: HashMap<PlanId, Intent>,
    /// The published end of a plan: whether something was executed.
    ends: HashMap<PlanId, bool>,
    results: Vec<ApplyResult>,
    permits: HashMap<(PlanId, String), Vec<u8>>,
    receipts: HashMap<PlanId, (AttemptId, Vec<Vec<u8>>)>,
}

impl Rows {
    /// Whether the plan is in the hands of this attempt, and its end not published.
    fn holds(&self, plan: &PlanId, attempt: &AttemptId) -> bool {
        let claim = self.claims.get(plan);
        claim.is_some_and(|(holder, _)| holder == attempt) && !self.ends.contains_key(plan)
    }

    fn claim_of(&self, plan: &PlanId, attempt: &AttemptId) -> Option<Claim> {
        let (holder, since) = self.claims.get(plan)?;
        Some(match holder == attempt && !self.ends.contains_key(plan) {
            true => Claim::Won(hold(attempt, *since)),
            false => Claim::Taken,
        })
    }
}

/// This store forgets nothing while its process lives: one generation, one server. A real one says here
/// what it remembers since when, so that a store that forgot gives no plan out too early.
fn hold(attempt: &AttemptId, since: Instant) -> Hold {
    Hold {
        attempt: attempt.clone(),
        generation: Generation {
            id: "the only one".into(),
            began_at: 0,
            observed_at: 0,
            clean_at: since,
        },
        server: ServerId(0),
        epoch: 0,
        since,
    }
}

impl Store {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProposalSource for Store {
    async fn fetch(&self, symbol: &Symbol) -> Result<Observed, PortError> {
        Ok(Observed {
            proposal: Ok(self.rows().proposals.get(symbol).cloned()),
            halt: Halt::Off, // a real one reads its kill switch in the same step; unreadable is on
        })
    }

    /// This store pushes nothing: the caller polls.
    async fn changed(&self, _: &Symbol) {
        pending().await
    }
}

impl PlanLog for Store {
    /// One step: the claim is set where there is none, and the plan is published.
    async fn claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        _ttl: Duration,
        timestamp: u64,
    ) -> Result<Claim, PortError> {
        let mut rows = self.rows();
        if let Some(known) = rows.claim_of(&plan.id, attempt) {
            return Ok(known);
        }
        let now = Instant::now();
        rows.claims.insert(plan.id.clone(), (attempt.clone(), now));
        println!(
            "for review: {:?}",
            plan.to_claimed_fields(attempt, timestamp)
        );
        Ok(Claim::Won(hold(attempt, now)))
    }

    async fn find_claim(
        &self,
        plan: &PlanId,
        attempt: &AttemptId,
        _ttl: Duration,
    ) -> Result<Option<Claim>, PortError> {
        Ok(self.rows().claim_of(plan, attempt))
    }

    async fn announce(&self, plan: &Plan, _timestamp: u64) -> Result<bool, PortError> {
        println!("not to be executed: {} {}", plan.id, plan.reason_codes());
        Ok(true)
    }

    /// One step: noted only where the claim is still this attempt's.
    async fn note_intent(&self, intent: &Intent) -> Result<bool, PortError> {
        let mut rows = self.rows();
        let ours = rows.holds(&intent.plan, &intent.attempt);
        if ours {
            rows.noted.insert(intent.plan.clone(), intent.clone());
        }
        Ok(ours)
    }

    /// This store is one process's: no other process can have left a plan.
    async fn fetch_abandoned(&self) -> Result<Vec<OpenPlan>, PortError> {
        Ok(Vec::new())
    }

    async fn adopt(&self, _: &OpenPlan, _: &AttemptId) -> Result<Option<Hold>, PortError> {
        Ok(None)
    }

    /// One step: a plan whose end was not published comes into these hands, to be ended.
    async fn reclaim(
        &self,
        plan: &PlanId,
        _symbol: &Symbol,
        _step: &str,
        attempt: &AttemptId,
        _ttl: Duration,
    ) -> Result<Reclaim, PortError> {
        let mut rows = self.rows();
        if let Some(executed) = rows.ends.get(plan).copied() {
            return Ok(Reclaim::Ended { executed });
        }
        let now = Instant::now();
        rows.claims.insert(plan.clone(), (attempt.clone(), now));
        Ok(Reclaim::Held(hold(attempt, now)))
    }

    async fn ask_again(&self, plan: &PlanId, attempt: &AttemptId) -> Result<Standing, PortError> {
        let asked_at = Instant::now();
        let rows = self.rows();
        Ok(
            match rows.holds(plan, attempt) && rows.noted.contains_key(plan) {
                true => Standing::Holds { asked_at },
                false => Standing::Lost,
            },
        )
    }
}

impl ResultLog for Store {
    /// A plan that was not claimed.
    async fn publish(&self, result: &ApplyResult) -> Result<PublishOutcome, PortError> {
        let mut rows = self.rows();
        if rows.ends.contains_key(&result.plan) {
            return Ok(PublishOutcome::Before);
        }
        rows.results.push(result.clone());
        Ok(PublishOutcome::Published)
    }

    /// One step: that something was executed counts from anybody, that nothing was only from the holder.
    async fn finalize(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> Result<PublishOutcome, PortError> {
        let mut rows = self.rows();
        match rows.ends.get(&result.plan) {
            Some(true) => return Ok(PublishOutcome::Before),
            Some(false) if !result.executed => return Ok(PublishOutcome::Before),
            None if !result.executed && !rows.holds(&result.plan, &publisher.attempt) => {
                return Ok(PublishOutcome::NotHeld);
            }
            _ => {}
        }
        let before = rows.ends.insert(result.plan.clone(), result.executed);
        rows.results.push(result.clone());
        Ok(match before {
            None => PublishOutcome::Published,
            Some(_) => PublishOutcome::Corrected,
        })
    }
}

/// Never wakes the gate, which looks every 100 ms, and once more at the deadline.
struct Silence;

impl Watch for Silence {
    async fn changed(&mut self) -> Signal {
        pending().await
    }
}

impl PermitStore for Store {
    type Watch = Silence;

    fn permits(&self) -> &PermitSet {
        &self.required
    }

    fn watch(&self, _: &PlanId) -> Silence {
        Silence
    }

    /// One step: all are there and are gone afterwards, with a receipt; or none was touched.
    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        let mut rows = self.rows();
        if let Some((taker, contents)) = rows.receipts.get(&take.plan) {
            return Ok(match *taker == take.attempt {
                true => Reply::Taken(contents.clone()),
                false => Reply::TakenByOther,
            });
        }
        if Instant::now() > take.not_after {
            return Ok(Reply::Late);
        }
        let keys: Vec<_> = self
            .required
            .iter()
            .map(|p| (take.plan.clone(), p.name().to_owned()))
            .collect();
        let found: Vec<_> = keys
            .iter()
            .map(|key| rows.permits.get(key).cloned())
            .collect();
        if found.iter().any(Option::is_none) {
            let slot = |content: Option<Vec<u8>>| match content {
                Some(_) => Slot {
                    content,
                    ttl: Ttl::NoExpiry,
                },
                None => Slot::ABSENT,
            };
            return Ok(Reply::Missing(found.into_iter().map(slot).collect()));
        }
        let contents: Vec<Vec<u8>> = found.into_iter().flatten().collect();
        let receipt = (take.attempt.clone(), contents.clone());
        rows.receipts.insert(take.plan.clone(), receipt);
        rows.permits.retain(|key, _| !keys.contains(key));
        Ok(Reply::Taken(contents))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store {
        required: trading::permits(),
        rows: Arc::default(),
    };
    let symbol: Symbol = "BTCUSDT".parse()?;
    let fields = [("harvest_action", "PARTIAL_75"), ("kill_score", "0.539")];
    let raw = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    store
        .rows()
        .proposals
        .insert(symbol.clone(), raw.into_iter().collect());

    // The reviewers, somewhere else: they see the claimed plan and write their permits.
    let reviewed = store.clone();
    tokio::spawn(async move {
        let plan = loop {
            if let Some(plan) = reviewed.rows().claims.keys().next() {
                break plan.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let yes: [(&str, &[u8]); 2] = [
            ("governor", br#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0,"created_at":1}"#),
            ("p33", br#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.009,"created_at":1}"#),
        ];
        for (name, permit) in yes {
            let key = (plan.clone(), name.to_owned());
            reviewed.rows().permits.insert(key, permit.to_vec());
        }
    });

    let venue = MemoryVenue::default();
    venue.hold(
        &symbol,
        "0.0124".parse()?,
        "0.001".parse()?,
        "64000".parse()?,
    );
    let ports = Assembled {
        proposals: store.clone(),
        plans: store.clone(),
        results: store.clone(),
        permits: store.clone(),
        journal: MemoryJournal::default(),
        exchange: venue.clone(),
        clock: TokioTimer,
    };
    let settings = Settings::new(Mode::Testnet, [symbol.clone()], AttemptId::new("host-1")?);
    let layer = ApplyLayer::new(ports, settings, |event: &Event<'_>| {
        println!("{}", event.line().1)
    });
    let mut worker = SymbolWorker::new(symbol.clone());
    for _ in 0..2 {
        worker.look(&layer).await?; // a service looks again after a change, or after its poll
    }
    let results = store.rows().results.clone();
    println!(
        "{} result, executed: {}",
        results.len(),
        results.iter().all(|r| r.executed)
    );
    println!("left open: {}", venue.position(&symbol));
    Ok(())
}
