//! Ports out of seven parts, for those who have the parts and need no type of their own.

use crate::{
    exchange::Exchange,
    journal::Journal,
    memory::{MemoryJournal, MemoryPlanStore, MemoryVenue},
    ports::{Clock, PlanLog, Ports, ProposalSource, ResultLog},
};
use permit_gate::{MemoryStore, PermitSet, PermitStore};
use std::sync::Arc;

/// Seven parts that together are [`Ports`]. One value may stand in several places where it is cheap to
/// clone, as [`MemoryPlanStore`](crate::memory::MemoryPlanStore) is.
#[derive(Debug, Clone)]
pub struct Assembled<Pr, Pl, R, Pe, J, E, C> {
    /// Where proposals come from.
    pub proposals: Pr,
    /// Where plans go and are claimed.
    pub plans: Pl,
    /// Where results go.
    pub results: R,
    /// Where permits lie.
    pub permits: Pe,
    /// What is written down on this machine.
    pub journal: J,
    /// The venue.
    pub exchange: E,
    /// Time.
    pub clock: C,
}

/// Everything in memory, for tests and demonstrations. The three store-side parts are one plan store.
pub type InMemory<C> = Assembled<
    MemoryPlanStore,
    MemoryPlanStore,
    MemoryPlanStore,
    MemoryStore,
    MemoryJournal,
    MemoryVenue,
    C,
>;

impl<C: Clock> InMemory<C> {
    /// Empty stores and a venue that lists nothing yet, for plans that need these permits.
    pub fn new(required: PermitSet, clock: C) -> Self {
        let plan_store = MemoryPlanStore::default();
        Self {
            proposals: plan_store.clone(),
            plans: plan_store.clone(),
            results: plan_store,
            permits: MemoryStore::new(Arc::new(required)),
            journal: MemoryJournal::default(),
            exchange: MemoryVenue::default(),
            clock,
        }
    }
}

impl<Pr, Pl, R, Pe, J, E, C> Assembled<Pr, Pl, R, Pe, J, E, C> {
    /// The same with another venue.
    pub fn with_exchange<V>(self, exchange: V) -> Assembled<Pr, Pl, R, Pe, J, V, C> {
        Assembled {
            proposals: self.proposals,
            plans: self.plans,
            results: self.results,
            permits: self.permits,
            journal: self.journal,
            exchange,
            clock: self.clock,
        }
    }
}

impl<Pr, Pl, R, Pe, J, E, C> Ports for Assembled<Pr, Pl, R, Pe, J, E, C>
where
    Pr: ProposalSource + 'static,
    Pl: PlanLog + 'static,
    R: ResultLog + 'static,
    Pe: PermitStore + 'static,
    J: Journal + 'static,
    E: Exchange + 'static,
    C: Clock + 'static,
{
    type Proposals = Pr;
    type Plans = Pl;
    type Results = R;
    type Permits = Pe;
    type Journal = J;
    type Exchange = E;
    type Clock = C;

    fn proposals(&self) -> &Pr {
        &self.proposals
    }

    fn plans(&self) -> &Pl {
        &self.plans
    }

    fn results(&self) -> &R {
        &self.results
    }

    fn permits(&self) -> &Pe {
        &self.permits
    }

    fn journal(&self) -> &J {
        &self.journal
    }

    fn exchange(&self) -> &E {
        &self.exchange
    }

    fn clock(&self) -> &C {
        &self.clock
    }
}
