//! The memory board with a connection that can fail, before or after the work was done.

use apply_core::{
    ApplyResult, Claim, Halt, Observed, Plan, PlanLog, PortError, ProposalSource, ResultLog,
    Symbol, memory::MemoryBoard,
};
use permit_gate::AttemptId;
use std::{
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
    /// The work is done and only its answer lost.
    done: bool,
}

impl FlakyBoard {
    /// The next `times` calls of this verb fail and do nothing.
    pub(crate) fn fail(&self, verb: &'static str, times: usize) {
        self.add(verb, false, times);
    }

    /// The next call of this verb does its work and loses its answer.
    pub(crate) fn lose_answer(&self, verb: &'static str) {
        self.add(verb, true, 1);
    }

    fn add(&self, verb: &'static str, done: bool, times: usize) {
        let mut faults = self.faults.lock().unwrap();
        faults.extend((0..times).map(|_| Fault { verb, done }));
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
        match fault {
            None => work.await,
            Some(fault) => {
                if fault.done {
                    work.await?;
                }
                Err(PortError(format!("{verb}: connection reset on demand")))
            }
        }
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
