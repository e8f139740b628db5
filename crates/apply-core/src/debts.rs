//! Which plans of this process owe a result.

use crate::{
    event::Abandoned, hold::Publisher, journal::Intent, order::OrderKind, ports::OpenPlan,
    result::ApplyResult, symbol::Symbol,
};
use permit_gate::PlanId;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    time::Instant,
};

/// One plan that owes a result.
#[derive(Debug)]
pub(crate) struct Debt {
    pub(crate) plan: PlanId,
    pub(crate) symbol: Symbol,
    pub(crate) step: String,
    /// What it may have placed.
    pub(crate) order: OrderKind,
    /// How far it had come.
    pub(crate) from: Abandoned,
    /// The order that this machine or the plan's former holder was about to place, where it may have been placed.
    pub(crate) intent: Option<Intent>,
    /// What was found out.
    pub(crate) result: Option<ApplyResult>,
    /// In whose name that may be published as it stands.
    pub(crate) publisher: Option<Publisher>,
    /// The open plan of another instance that has ended. If a third instance takes it over first, this debt ends.
    pub(crate) open: Option<OpenPlan>,
    /// It was only rehearsed: there is nothing to ask the venue.
    pub(crate) rehearsed: bool,
    /// Before this moment an order of a former process may still land.
    pub(crate) settled_at: Instant,
    /// Whether what an order earned is asked for.
    pub(crate) profit: bool,
}

impl Debt {
    /// What was found out of a plan whose result was lost is another result than that.
    pub(crate) fn is_another_result(&mut self) {
        if self.from == Abandoned::Lost {
            self.from = Abandoned::Owed;
        }
    }
}

/// All plans of this process that owe a result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Debts(Arc<Mutex<Owed>>);

#[derive(Debug, Default)]
struct Owed {
    plans: BTreeMap<PlanId, What>,
    /// Not begun to be paid.
    new: Vec<(Debt, Owing)>,
    /// Who pays them.
    payer: Option<Waker>,
}

#[derive(Debug)]
struct What {
    /// The symbol, where it is not known whether an order of the plan is at the venue.
    in_doubt: Option<Symbol>,
    /// Whether this process has worked on the plan itself.
    here: bool,
}

/// A debt counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Owing {
    plan: PlanId,
    debts: Debts,
}

impl Debts {
    /// How many plans owe a result.
    pub(crate) fn count(&self) -> usize {
        self.lock().plans.len()
    }

    /// How many of them this process has worked on itself.
    pub(crate) fn count_here(&self) -> usize {
        let owed = self.lock();
        owed.plans.values().filter(|what| what.here).count()
    }

    /// Whether it is not known what became of an order of this symbol.
    pub(crate) fn is_in_doubt(&self, symbol: &Symbol) -> bool {
        let owed = self.lock();
        let mut plans = owed.plans.values();
        plans.any(|what| what.in_doubt.as_ref() == Some(symbol))
    }

    /// The symbols of which it is not known what became of an order.
    pub(crate) fn in_doubt(&self) -> Vec<Symbol> {
        let owed = self.lock();
        let doubtful = owed.plans.values().filter_map(|what| what.in_doubt.clone());
        let symbols: BTreeSet<Symbol> = doubtful.collect();
        symbols.into_iter().collect()
    }

    /// Counts a debt; `None` where the plan owes its result already.
    pub(crate) fn begin(&self, debt: &Debt) -> Option<Owing> {
        let in_doubt = debt.intent.is_some() && debt.result.is_none();
        let what = What {
            in_doubt: in_doubt.then(|| debt.symbol.clone()),
            here: debt.from == Abandoned::Owed,
        };
        let mut owed = self.lock();
        if owed.plans.contains_key(&debt.plan) {
            return None;
        }
        owed.plans.insert(debt.plan.clone(), what);
        Some(Owing {
            plan: debt.plan.clone(),
            debts: self.clone(),
        })
    }

    /// To be paid by [`keep_settling`](crate::debt::keep_settling).
    pub(crate) fn owe(&self, debt: Debt) {
        let Some(owing) = self.begin(&debt) else {
            return;
        };
        let mut owed = self.lock();
        owed.new.push((debt, owing));
        if let Some(payer) = owed.payer.take() {
            payer.wake();
        }
    }

    pub(crate) fn take_new(&self, cx: &Context<'_>) -> Vec<(Debt, Owing)> {
        let mut owed = self.lock();
        owed.payer = Some(cx.waker().clone());
        std::mem::take(&mut owed.new)
    }

    fn lock(&self) -> MutexGuard<'_, Owed> {
        // Every change is whole before anything in it could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owing {
    /// What became of its order is known now.
    pub(crate) fn is_clear(&self) {
        if let Some(what) = self.debts.lock().plans.get_mut(&self.plan) {
            what.in_doubt = None;
        }
    }
}

impl Drop for Owing {
    fn drop(&mut self) {
        self.debts.lock().plans.remove(&self.plan);
    }
}
