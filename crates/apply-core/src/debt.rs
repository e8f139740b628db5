//! Plans that owe the world a result and that nobody executes any more: their process did not live to tell
//! it, or the store forgot or gave away what it would have told. They are ended by asking and telling;
//! nothing here can place an order, because nothing here holds a grant.
//!
//! ```text
//!  a result that was found out ──told──▶ done
//!        └─ it may not be told: the plan is not ours, or the store forgot
//!                    ▼
//!  take the plan in hand ──▶ its end was told ──▶ done, after a look at the venue where we may have ordered
//!        │                └─ another holds it ──▶ look again later
//!        ▼
//!  wait until nothing can land any more ──▶ ask the venue ──▶ write down, tell
//! ```

use crate::{
    event::{Abandoned, Event},
    exchange::Exchange,
    journal::{Intent, OrderKind},
    life::{ApplyLayer, Case, Mode},
    live::LiveAttempt,
    ports::{Hold, OpenPlan, PlanLog, PortError, Ports, Reclaim, Stage, Teller, Told},
    result::ApplyResult,
    symbol::Symbol,
    times::ADOPTION_WAIT,
};
use apply_wire::Reason;
use futures_util::stream::{FuturesUnordered, StreamExt};
use permit_gate::{PlanId, Timer};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
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
    /// What this machine, or whoever held it, was about to do, where it may have done it.
    pub(crate) intent: Option<Intent>,
    /// What was found out.
    pub(crate) result: Option<ApplyResult>,
    /// In whose name that may be told as it stands.
    pub(crate) teller: Option<Teller>,
    /// A plan of another instance that is gone, to be taken over. Whoever is not quick enough owes nothing.
    pub(crate) open: Option<OpenPlan>,
    /// It was only rehearsed: there is nothing to ask the venue.
    pub(crate) rehearsed: bool,
    /// Before this moment an order of a former process may still land.
    pub(crate) settled_at: Instant,
    /// Whether what an order earned is asked for.
    pub(crate) profit: bool,
}

/// How a debt ended.
#[derive(Debug)]
pub(crate) enum Paid {
    /// Its result is told.
    Told(Abandoned, Box<ApplyResult>),
    /// Another attempt has told one.
    ByAnother,
    /// Another instance was quicker to take it over.
    NotOurs,
}

/// All plans of this process that owe a result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Debts(Arc<Mutex<Owed>>);

#[derive(Debug, Default)]
struct Owed {
    plans: BTreeMap<PlanId, What>,
    /// Not begun to be paid.
    new: Vec<(Debt, Owing)>,
    /// Whoever pays them.
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

    /// To be paid by [`keep_settling`].
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

    fn take_new(&self, cx: &Context<'_>) -> Vec<(Debt, Owing)> {
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
    fn is_clear(&self) {
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

/// Ends the plans that come to owe a result while the layer works, and goes on until it is dropped. Nothing
/// is lost by that: what is owed stands in the journal, and the next start goes on.
pub async fn keep_settling<P: Ports>(layer: &ApplyLayer<P>) {
    let mut paying = FuturesUnordered::new();
    poll_fn(|cx| {
        for (debt, owing) in layer.debts().take_new(cx) {
            paying.push(Box::pin(settle(layer, debt, owing)));
        }
        while let Poll::Ready(Some(_)) = paying.poll_next_unpin(cx) {}
        Poll::<()>::Pending
    })
    .await;
}

/// Between two looks at a plan that another holds, or two questions that were not answered: at first, and
/// at most.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Ends one plan, however long that takes.
pub(crate) async fn settle<P: Ports>(layer: &ApplyLayer<P>, mut debt: Debt, owing: Owing) -> Paid {
    let attempt = layer.live_attempt();
    let (mut hold, mut pause) = (None, PAUSE);
    loop {
        if let Some(paid) = tell(layer, &mut debt, &owing).await {
            return paid;
        }
        let taken = match hold.take() {
            Some(hold) => Ok(InHand::Held(hold)),
            None => take_in_hand(layer, &mut debt, &attempt).await,
        };
        match taken {
            Ok(InHand::Held(held)) => {
                let clock = layer.ports().clock();
                let from = held.generation.clean_at.max(debt.settled_at);
                if clock.now() < from {
                    clock.sleep_until(from).await;
                }
                match find_out(layer, &debt).await {
                    Some(result) => {
                        debt.result = Some(result);
                        debt.teller = Some(held.teller());
                        pause = PAUSE;
                        continue;
                    }
                    // The venue is silent: there is no final word without it.
                    None => hold = Some(held),
                }
            }
            Ok(InHand::Over { executed }) => {
                if executed || !may_have_ordered(layer, &debt) {
                    return told_by_another(layer, &debt).await;
                }
                // That nothing was executed may be the word of somebody who did not know of our order.
                match find_out(layer, &debt).await {
                    Some(result) if result.executed => {
                        debt.result = Some(result);
                        continue;
                    }
                    Some(_) => return told_by_another(layer, &debt).await,
                    None => {}
                }
            }
            Ok(InHand::NotOurs) => return Paid::NotOurs,
            Ok(InHand::NotYet) => {}
            Err(error) => layer.port_failed(&debt.symbol, "take a plan in hand to end it", &error),
        }
        let clock = layer.ports().clock();
        clock.sleep_until(clock.now() + pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tells what was found out; `None` where there is nothing, or it may not be told.
async fn tell<P: Ports>(layer: &ApplyLayer<P>, debt: &mut Debt, owing: &Owing) -> Option<Paid> {
    let result = debt.result.as_ref()?;
    let teller = match (&debt.teller, result.executed) {
        (Some(teller), _) => teller.clone(),
        // Anybody may tell it.
        (None, true) => layer.anybody(),
        (None, false) => return None,
    };
    let result = layer.write_down(result, Some(&teller)).await;
    owing.is_clear();
    loop {
        match layer.tell_end(&result, &teller).await {
            Told::Published | Told::Corrected => {
                layer.note_published(&result).await;
                layer.tell(Event::Recovered {
                    from: debt.from,
                    result: &result,
                });
                return Some(Paid::Told(debt.from, Box::new(result)));
            }
            Told::Before | Told::Contradicted => return Some(told_by_another(layer, debt).await),
            Told::NotHeld | Told::Forgot => {
                debt.teller = None;
                return None;
            }
            // Only an operator can mend it: there is time.
            Told::Refused { .. } => {
                let clock = layer.ports().clock();
                clock.sleep_until(clock.now() + LONGEST_PAUSE).await;
            }
        }
    }
}

async fn told_by_another<P: Ports>(layer: &ApplyLayer<P>, debt: &Debt) -> Paid {
    layer.note_told_by_another(&debt.plan, &debt.symbol).await;
    Paid::ByAnother
}

/// In whose hands a plan is.
enum InHand {
    Held(Hold),
    /// Its end was told.
    Over {
        executed: bool,
    },
    /// Somebody else works on it.
    NotYet,
    NotOurs,
}

async fn take_in_hand<P: Ports>(
    layer: &ApplyLayer<P>,
    debt: &mut Debt,
    attempt: &LiveAttempt,
) -> Result<InHand, PortError> {
    let plans = layer.ports().plans();
    if let Some(open) = &debt.open {
        return Ok(match plans.adopt(open, attempt.id()).await? {
            Some(hold) => {
                if !open.of_this_machine {
                    debt.settled_at = hold.since + ADOPTION_WAIT;
                }
                // From here on it is ours, whatever the store does.
                debt.open = None;
                InHand::Held(hold)
            }
            None => InHand::NotOurs,
        });
    }
    let ttl = layer.settings().dedupe_ttl;
    let reclaimed = plans.reclaim(&debt.plan, &debt.symbol, &debt.step, attempt.id(), ttl);
    Ok(match reclaimed.await? {
        Reclaim::Held(hold) => {
            // Somebody may have held it whose entry alone was lost, and have had a yes just before this.
            debt.settled_at = debt.settled_at.max(hold.since + ADOPTION_WAIT);
            InHand::Held(hold)
        }
        Reclaim::Told { executed } => InHand::Over { executed },
        Reclaim::Open(open) if is_left_over(layer, &open) => {
            match plans.adopt(&open, attempt.id()).await? {
                Some(hold) => {
                    debt.rehearsed &= open.stage == Stage::Rehearsed;
                    debt.settled_at = debt.settled_at.max(settled_after(layer, &open, &hold));
                    InHand::Held(hold)
                }
                None => InHand::NotYet,
            }
        }
        Reclaim::Open(_) => InHand::NotYet,
    })
}

/// Whether nobody works on a plan of this machine any more.
pub(crate) fn is_left_over<P: Ports>(layer: &ApplyLayer<P>, open: &OpenPlan) -> bool {
    open.of_this_machine && !layer.is_live(&open.attempt)
}

/// From when on nothing of a plan of this machine that is taken over can land any more.
fn settled_after<P: Ports>(layer: &ApplyLayer<P>, open: &OpenPlan, hold: &Hold) -> Instant {
    match open.ours {
        true => hold.since + ADOPTION_WAIT,
        false => layer.started_at() + ADOPTION_WAIT,
    }
}

fn may_have_ordered<P: Ports>(layer: &ApplyLayer<P>, debt: &Debt) -> bool {
    layer.settings().mode == Mode::Testnet && debt.intent.is_some() && debt.result.is_none()
}

/// What became of the plan, as the venue says; `None` where it says nothing.
async fn find_out<P: Ports>(layer: &ApplyLayer<P>, debt: &Debt) -> Option<ApplyResult> {
    let case = Case {
        plan: &debt.plan,
        symbol: &debt.symbol,
        step: &debt.step,
        sizing: None,
    };
    let nothing = || match &debt.result {
        Some(result) if !result.executed => result.clone(),
        _ => {
            let details = "its instance ended before an order could leave; nothing was placed";
            layer.failed(case, Reason::InterruptedBeforeOrder, details.into())
        }
    };
    if debt.rehearsed || layer.settings().mode == Mode::DryRun {
        return Some(nothing());
    }
    if let (Some(intent), None) = (&debt.intent, &debt.result) {
        return Some(layer.settle_intent(intent, debt.profit).await);
    }
    let venue = layer.ports().exchange();
    match venue.look_for(&debt.symbol, &debt.plan, debt.order).await {
        Ok(None) => Some(nothing()),
        Ok(Some(trace)) => {
            let asked = (debt.order, &trace);
            Some(layer.settle_trace(case, asked, None, debt.profit).await)
        }
        Err(error) => {
            let error = PortError(error.to_string());
            layer.port_failed(&debt.symbol, "ask the venue about an open plan", &error);
            None
        }
    }
}
