//! How plans end whose process did not live to see it: what is looked for, where, and when. The ending itself
//! is `debt.rs`'s; nothing in either can place an order, because nothing here holds a grant.
//!
//! ```text
//!  journal:  result, not published ───────────────────────▶ published, in the name it was found out in
//!            intent, no result ─▶ taken in hand ─▶ asked ─▶ published
//!            claim alone ───────▶ taken in hand ─▶ asked ─▶ published
//!  store:    claimed, by an instance that is gone ─▶ taken over ─▶ asked ─▶ published
//! ```

use crate::{
    debt::{Paid, is_left_over, settle},
    debts::Debt,
    event::Abandoned,
    journal::{Entry, Journal},
    layer::{ApplyLayer, Mode},
    order::OrderKind,
    ports::{OpenPlan, PlanLog, PortError, Ports, Stage},
    times::{self, ADOPTION_WAIT},
};
use futures_util::stream::{self, StreamExt};
use permit_gate::PlanId;

pub use crate::debt::keep_settling;

/// What a recovery came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Results that were written down and are published now.
    pub republished: usize,
    /// Plans of which the venue was asked what became of their order.
    pub settled: usize,
    /// Plans that had not come to an order.
    pub interrupted: usize,
    /// Of the settled ones: how many have an unknown outcome.
    pub unresolved: usize,
    /// Plans that may have come to an order and are left to an instance that may ask the venue.
    pub left: usize,
    /// Plans whose end another instance has published.
    pub published_by_another: usize,
    /// Plans of this process that the store had forgotten or given away.
    pub owed: usize,
}

impl RecoveryReport {
    /// Whether there was anything to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How many plans are asked about at the same time. Most of that time passes waiting until an order
/// could no longer land, which all do at once; how many requests go out together the venue's port
/// bounds.
const AT_ONCE: usize = 1024;

/// With more plans to ask about than this the profit of those that filled is not asked for: it is the
/// dearest question, and the venue's allowance a minute is needed for what became of the orders.
const PROFIT_UP_TO: usize = 100;

/// What the journal says is unfinished. Its plans count as owing a result from the moment it was read:
/// of a symbol of which it is not known what became of an order, nothing new is claimed.
#[derive(Debug)]
#[must_use = "finish it: the plans owe their results"]
pub struct Unfinished {
    debts: Vec<(Debt, crate::debts::Owing)>,
    left: Vec<PlanId>,
}

impl Unfinished {
    /// How many plans there are.
    pub fn count(&self) -> usize {
        self.debts.len()
    }

    /// Plans that may have come to an order in a live run and that a dry run leaves alone: it does not ask the venue.
    pub fn left(&self) -> &[PlanId] {
        &self.left
    }

    /// Publishes how each of them ended. Takes as long as the venue may still come to know the orders or
    /// answer.
    ///
    /// Cancellation: nothing is lost; what is owed stands in the journal.
    pub async fn finish<P: Ports>(self, layer: &ApplyLayer<P>) -> RecoveryReport {
        let ends = stream::iter(self.debts)
            .map(|(debt, owing)| settle(layer, debt, owing))
            .buffer_unordered(AT_ONCE);
        let report = started(self.left.len());
        ends.fold(report, |report, end| async move { counted(report, end) })
            .await
    }
}

/// Reads what is unfinished in the journal. To be run before anything is served: it takes every
/// unfinished entry for one of a former process. An error means that the journal could not be read:
/// nothing may be served then.
pub async fn begin<P: Ports>(layer: &ApplyLayer<P>) -> Result<Unfinished, PortError> {
    let unfinished = layer.ports().journal().fetch_unfinished().await?;
    let ordered = |entry: &Entry| entry.result.is_none() && entry.intent.is_some();
    let profit = few(&unfinished, ordered);
    let (mine, left) = split(layer, unfinished, may_have_been_ordered);
    let debts = mine
        .into_iter()
        .filter_map(|entry| {
            let debt = debt_of(layer, entry, profit)?;
            let owing = layer.debts().begin(&debt)?;
            Some((debt, owing))
        })
        .collect();
    let left = left.into_iter().map(|entry| entry.plan).collect();
    Ok(Unfinished { debts, left })
}

/// Finishes what the journal says is unfinished: [`begin`], and then [`Unfinished::finish`]. Running it
/// again repeats nothing.
pub async fn recover<P: Ports>(layer: &ApplyLayer<P>) -> Result<RecoveryReport, PortError> {
    Ok(begin(layer).await?.finish(layer).await)
}

/// Finishes claimed plans that no attempt works on any more: this machine's own, of former processes and such
/// as this one has ended and the store brought back, and those of instances that are gone.
///
/// To be run after [`begin`] and then every few seconds. An error means that the store could not
/// be asked.
pub async fn take_over<P: Ports>(layer: &ApplyLayer<P>) -> Result<RecoveryReport, PortError> {
    let abandoned: Vec<OpenPlan> = layer
        .ports()
        .plans()
        .fetch_abandoned()
        .await?
        .into_iter()
        .filter(|open| !open.of_this_machine || is_left_over(layer, open))
        .collect();
    let ordered = |open: &OpenPlan| open.intent.is_some();
    let profit = few(&abandoned, ordered);
    let (mine, left) = split(layer, abandoned, |open| open.stage != Stage::Rehearsed);
    let debts = mine.into_iter().filter_map(|open| {
        let debt = debt_of_another(layer, open, profit);
        let owing = layer.debts().begin(&debt)?;
        Some((debt, owing))
    });
    let ends = stream::iter(debts)
        .map(|(debt, owing)| settle(layer, debt, owing))
        .buffer_unordered(AT_ONCE);
    let report = started(left.len());
    Ok(ends
        .fold(report, |report, end| async move { counted(report, end) })
        .await)
}

/// Has what was published last published again, where the store has it no more. To be called whenever another server has the
/// results, or the same one may have forgotten something, and once at start: what was published a moment before a process
/// ended may be gone with it. `well_at` is when the store was last known to have lost nothing, in seconds since
/// 1970; without it, when a result was published last.
///
/// Nothing is written twice where it stands. That something was executed is published at once; that nothing was, only
/// with the plan in hand and after a look at the venue, as of every plan of which the store knows no end.
/// [`keep_settling`] does both.
pub async fn republish<P: Ports>(
    layer: &ApplyLayer<P>,
    well_at: Option<u64>,
) -> Result<(), PortError> {
    let published = layer
        .ports()
        .journal()
        .fetch_published(REPUBLISHED_AT_MOST)
        .await?;
    let newest = published.first().and_then(|entry| entry.published_at);
    let Some(until) = well_at.or(newest) else {
        return Ok(());
    };
    // Of an older one the store may have let go of the mark that says so.
    let known_for = layer.settings().dedupe_ttl.as_secs() / 2;
    let since = until
        .saturating_sub(times::REPUBLISHED_WITHIN.as_secs())
        .max(layer.timestamp().saturating_sub(known_for));
    // The newest of those that cost questions.
    let mut asks_left = ASKED_AGAIN_AT_MOST;
    for entry in published {
        let is_ours = !entry.published_by_another && entry.result.is_some();
        let is_late = entry.published_at.is_some_and(|at| at >= since);
        if !is_ours || !is_late || needs_the_venue(layer, &entry) {
            continue;
        }
        if entry.result.as_ref().is_some_and(|result| !result.executed) {
            if asks_left == 0 {
                continue;
            }
            asks_left -= 1;
        }
        if let Some(debt) = debt_of(layer, entry, false) {
            let from = Abandoned::Lost;
            layer.debts().owe(Debt { from, ..debt });
        }
    }
    Ok(())
}

/// A dry run does not ask it.
fn needs_the_venue<P: Ports>(layer: &ApplyLayer<P>, entry: &Entry) -> bool {
    let rehearsed = entry.claim.as_ref().is_some_and(|claim| claim.rehearsed);
    let executed = entry.result.as_ref().is_some_and(|result| result.executed);
    layer.settings().mode == Mode::DryRun && !rehearsed && !executed
}

/// Most results that are published again at once.
const REPUBLISHED_AT_MOST: usize = 256;

/// Of them those that say that nothing was executed: each costs questions to the venue, whose allowance is for orders
/// before all else, however often a store forgets.
const ASKED_AGAIN_AT_MOST: usize = 32;

/// Whether there is room to ask for profits beside what became of the orders.
fn few<T>(all: &[T], ordered: impl Fn(&T) -> bool) -> bool {
    all.iter().filter(|one| ordered(one)).count() <= PROFIT_UP_TO
}

/// A dry run does not ask the venue: a plan that may have an order is left alone, not given up.
fn split<P: Ports, T>(
    layer: &ApplyLayer<P>,
    all: Vec<T>,
    needs_the_venue: impl Fn(&T) -> bool,
) -> (Vec<T>, Vec<T>) {
    match layer.settings().mode {
        Mode::Testnet => (all, Vec::new()),
        Mode::DryRun => all.into_iter().partition(|one| !needs_the_venue(one)),
    }
}

fn may_have_been_ordered(entry: &Entry) -> bool {
    let rehearsed = entry.claim.as_ref().is_some_and(|claim| claim.rehearsed);
    entry.result.is_none() && !rehearsed
}

/// Of an entry of a former process. One that says nothing is passed over.
fn debt_of<P: Ports>(layer: &ApplyLayer<P>, entry: Entry, profit: bool) -> Option<Debt> {
    let Entry {
        plan,
        claim,
        intent,
        result,
        publisher,
        ..
    } = entry;
    let (symbol, step, order) = match (&intent, &claim, &result) {
        (Some(intent), ..) => (intent.symbol.clone(), intent.step.clone(), intent.order),
        (None, Some(claim), _) => (claim.symbol.clone(), claim.step.clone(), claim.order),
        (None, None, Some(result)) => {
            let step = result.steps.first().map(|step| step.step.clone());
            let step = step.unwrap_or_default();
            (
                result.symbol.clone(),
                step.clone(),
                OrderKind::of_step(&step),
            )
        }
        (None, None, None) => return None,
    };
    let from = match (&result, &intent) {
        (Some(_), _) => Abandoned::Concluded,
        (None, Some(_)) => Abandoned::Intending,
        (None, None) => Abandoned::Claimed,
    };
    Some(Debt {
        plan,
        symbol,
        step,
        order,
        from,
        // An intent names its own window.
        settled_at: match from {
            Abandoned::Claimed => layer.started_at() + ADOPTION_WAIT,
            _ => layer.started_at(),
        },
        intent,
        result,
        publisher,
        open: None,
        rehearsed: claim.is_some_and(|claim| claim.rehearsed),
        profit,
    })
}

/// Of an entry in the store.
fn debt_of_another<P: Ports>(layer: &ApplyLayer<P>, open: OpenPlan, profit: bool) -> Debt {
    let order = match &open.intent {
        Some(intent) => intent.order,
        None => OrderKind::of_step(&open.step),
    };
    Debt {
        plan: open.plan.clone(),
        symbol: open.symbol.clone(),
        step: open.step.clone(),
        order,
        from: match open.intent {
            Some(_) => Abandoned::Intending,
            None => Abandoned::Claimed,
        },
        intent: open.intent.clone(),
        result: None,
        publisher: None,
        settled_at: layer.started_at() + ADOPTION_WAIT,
        rehearsed: open.stage == Stage::Rehearsed,
        open: Some(open),
        profit,
    }
}

fn started(left: usize) -> RecoveryReport {
    RecoveryReport {
        left,
        ..RecoveryReport::default()
    }
}

fn counted(mut report: RecoveryReport, end: Paid) -> RecoveryReport {
    let (from, result) = match end {
        Paid::Published(from, result) => (from, result),
        Paid::ByAnother => {
            report.published_by_another += 1;
            return report;
        }
        Paid::NotOurs | Paid::Stands => return report,
    };
    match from {
        Abandoned::Concluded | Abandoned::Lost => report.republished += 1,
        Abandoned::Claimed => report.interrupted += 1,
        Abandoned::Owed => report.owed += 1,
        Abandoned::Intending => {
            report.settled += 1;
            report.unresolved += usize::from(result.is_unresolved());
        }
    }
    report
}
