//! How plans end whose process did not live to see it. By asking and telling; nothing here can
//! place an order, because nothing here holds a grant.
//!
//! ```text
//!  journal:  result, not published ─────────────────────────▶ published again
//!            intent, no result ──ask the venue──▶ written down ─▶ published
//!  store:    claimed, no intent noted ─▶ interrupted_before_order
//!            claimed, intent noted ────ask the venue──▶ written down ─▶ published
//! ```

use crate::{
    event::{Abandoned, Event},
    journal::{Entry, Journal},
    life::{ApplyLayer, Case, Mode},
    ports::{OpenPlan, PlanLog, PortError, Ports},
    result::ApplyResult,
};
use futures_util::stream::{self, StreamExt};

/// What a recovery came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Results that were written down and are published now.
    pub republished: usize,
    /// Plans of which the venue was asked what became of their order.
    pub settled: usize,
    /// Plans that had not come to an order.
    pub interrupted: usize,
    /// Of the settled ones: how many nobody could find out about.
    pub unresolved: usize,
    /// Plans that came to an order and are left to an instance that may ask the venue.
    pub left: usize,
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

/// Finishes what the journal says is unfinished. To be run before anything is served: it takes every
/// unfinished entry for one of a former process.
///
/// Takes as long as the venue may still come to know the orders or answer. Running it again repeats
/// nothing. An error means that the journal could not be read: nothing may be served then.
pub async fn recover<P: Ports>(layer: &ApplyLayer<P>) -> Result<RecoveryReport, PortError> {
    let unfinished = layer.ports().journal().fetch_unfinished().await?;
    let ordered = |entry: &Entry| entry.result.is_none() && entry.intent.is_some();
    let profit = few(&unfinished, ordered);
    let (mine, left) = split(layer, unfinished, ordered);
    let ends = stream::iter(mine)
        .map(|entry| finish(layer, entry, profit))
        .buffer_unordered(AT_ONCE);
    Ok(ends
        .fold(
            started(left),
            |report, end| async move { counted(report, end) },
        )
        .await)
}

/// Finishes claimed plans that nobody works on any more: this instance's own from before it started
/// and those of instances that are gone.
///
/// To be run after [`recover`] and then every few seconds. An error means that the store could not
/// be asked; what was taken over until then is finished.
pub async fn take_over<P: Ports>(layer: &ApplyLayer<P>) -> Result<RecoveryReport, PortError> {
    let abandoned = layer.ports().plans().fetch_abandoned().await?;
    let ordered = |open: &OpenPlan| open.intent.is_some();
    let profit = few(&abandoned, ordered);
    let (mine, left) = split(layer, abandoned, ordered);
    let mut ends = stream::iter(mine)
        .map(|open| adopt(layer, open, profit))
        .buffer_unordered(AT_ONCE);
    let (mut report, mut failed) = (started(left), None);
    while let Some(end) = ends.next().await {
        match end {
            Ok(Some(end)) => report = counted(report, Some(end)),
            Ok(None) => {}
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if report.is_empty() => Err(error),
        _ => Ok(report),
    }
}

/// Whether there is room to ask for profits beside what became of the orders.
fn few<T>(all: &[T], ordered: impl Fn(&T) -> bool) -> bool {
    all.iter().filter(|one| ordered(one)).count() <= PROFIT_UP_TO
}

/// In a dry run nobody may ask the venue: what came to an order is left alone, not given up.
fn split<P: Ports, T>(
    layer: &ApplyLayer<P>,
    all: Vec<T>,
    needs_the_venue: impl Fn(&T) -> bool,
) -> (Vec<T>, usize) {
    let found = all.len();
    let mine: Vec<T> = match layer.settings().mode {
        Mode::Testnet => all,
        Mode::DryRun => all
            .into_iter()
            .filter(|one| !needs_the_venue(one))
            .collect(),
    };
    let left = found - mine.len();
    (mine, left)
}

fn started(left: usize) -> RecoveryReport {
    RecoveryReport {
        left,
        ..RecoveryReport::default()
    }
}

type End = (Abandoned, ApplyResult);

fn counted(mut report: RecoveryReport, end: Option<End>) -> RecoveryReport {
    let Some((from, result)) = end else {
        return report;
    };
    match from {
        Abandoned::Concluded => report.republished += 1,
        Abandoned::Claimed => report.interrupted += 1,
        Abandoned::Intending => {
            report.settled += 1;
            let unresolved = |error: &String| error.ends_with("_unresolved");
            report.unresolved += usize::from(result.error.as_ref().is_some_and(unresolved));
        }
    }
    report
}

/// From the journal. An entry with neither intent nor result says nothing and is passed over.
async fn finish<P: Ports>(layer: &ApplyLayer<P>, entry: Entry, profit: bool) -> Option<End> {
    let (from, result) = match (entry.result, entry.intent) {
        (Some(result), _) => {
            layer.publish_final(&result).await;
            (Abandoned::Concluded, result)
        }
        (None, Some(intent)) => {
            let result = layer.settle_intent(&intent, profit).await;
            (Abandoned::Intending, layer.conclude(result).await)
        }
        (None, None) => return None,
    };
    layer.tell(Event::Recovered {
        from,
        result: &result,
    });
    Some((from, result))
}

/// From the store. `None` where somebody else was quicker.
async fn adopt<P: Ports>(
    layer: &ApplyLayer<P>,
    open: OpenPlan,
    profit: bool,
) -> Result<Option<End>, PortError> {
    let attempt = layer.new_attempt();
    if !layer.ports().plans().adopt(&open, &attempt).await? {
        return Ok(None);
    }
    let known = layer.ports().journal().look_up(&open.plan).await?;
    let (from, result) = match (known.and_then(|entry| entry.result), &open.intent) {
        (Some(result), _) => (Abandoned::Concluded, result),
        (None, Some(intent)) => (
            Abandoned::Intending,
            layer.settle_intent(intent, profit).await,
        ),
        (None, None) => (Abandoned::Claimed, interrupted(layer, &open)),
    };
    let result = layer.conclude(result).await;
    layer.tell(Event::Recovered {
        from,
        result: &result,
    });
    Ok(Some((from, result)))
}

fn interrupted<P: Ports>(layer: &ApplyLayer<P>, open: &OpenPlan) -> ApplyResult {
    let case = Case {
        plan: &open.plan,
        symbol: &open.symbol,
        step: &open.step,
    };
    let details = "its instance ended before an order could leave; nothing was placed";
    layer.failed(case, "interrupted_before_order", details.into())
}
