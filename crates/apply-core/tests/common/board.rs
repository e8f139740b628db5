//! The memory board with a connection that can fail, before or after the work was done.

use apply_core::{
    ApplyResult, Claim, Halt, Observed, Plan, PlanLog, PortError, ProposalSource, ResultLog,
    Symbol, memory::MemoryBoard,
};
use permit_gate::AttemptId;
use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

#[derive(Clone, Default)]
pub(crate) struct FlakyBoard {
    pub(crate) memory: MemoryBoard,
    faults: Arc<Mutex<Vec<Fault>>>,
}

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
        self.faults.lock().unwrap().extend(faults);
    }

    async fn call<T>(
        &self,
        verb: &'static str,
        work: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let fault = {
            let mut faults = self.faults.lock().unwrap();
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

    async fn changed(&self, symbol: &Symbol) {
        self.memory.changed(symbol).await;
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
}

impl ResultLog for FlakyBoard {
    async fn publish(&self, result: &ApplyResult) -> Result<(), PortError> {
        self.call("publish", self.memory.publish(result)).await
    }
}
