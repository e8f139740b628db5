//! Plans that owe a result and are not executed any more: their process ended before it could publish
//! it, or the store forgot or gave away what it would have said. They are ended by asking and publishing;
//! nothing here can place an order, because nothing here holds a grant.
//!
//! ```text
//!  a result that was found out ──published──▶ done
//!        └─ it may not be published: the plan is not ours, or the store forgot
//!                    ▼
//!  take the plan in hand ──▶ its end was published ──▶ done, after a look at the venue where we may have ordered
//!        │                └─ another holds it ──▶ look again later
//!        ▼
//!  wait until nothing can land any more ──▶ ask the venue ──▶ write down, publish
//! ```

use crate::{
    debts::{Debt, Owing},
    event::{Abandoned, Event},
    exchange::Exchange,
    layer::{ApplyLayer, Mode},
    live::LiveAttempt,
    ports::{Hold, OpenPlan, PlanLog, PortError, Ports, PublishOutcome, Reclaim, Stage},
    result::ApplyResult,
    results::ResultContext,
    times::ADOPTION_WAIT,
};
use apply_wire::Reason;
use futures_util::stream::{FuturesUnordered, StreamExt};
use permit_gate::Timer;
use std::{
    future::poll_fn,
    task::Poll,
    time::{Duration, Instant},
};

/// How a debt ended.
#[derive(Debug)]
pub(crate) enum Paid {
    /// Its result is published.
    Published(Abandoned, Box<ApplyResult>),
    /// Another attempt published one.
    ByAnother,
    /// What was published of it before is still there.
    Stands,
    /// Another instance was quicker to take it over.
    NotOurs,
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
        if let Some(paid) = publish(layer, &mut debt, &owing).await {
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
                        if result.executed {
                            debt.is_another_result();
                        }
                        debt.result = Some(result);
                        debt.publisher = Some(held.publisher());
                        pause = PAUSE;
                        continue;
                    }
                    // The venue is silent: there is no final word without it.
                    None => hold = Some(held),
                }
            }
            Ok(InHand::Over { executed }) => {
                if executed || !may_have_ordered(layer, &debt) {
                    return published_by_another(layer, &debt).await;
                }
                // That nothing was executed may be the word of somebody who did not know of our order.
                match find_out(layer, &debt).await {
                    Some(result) if result.executed => {
                        debt.result = Some(result);
                        continue;
                    }
                    Some(_) => return published_by_another(layer, &debt).await,
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

/// Publishes what was found out; `None` where there is nothing, or it may not be published.
async fn publish<P: Ports>(layer: &ApplyLayer<P>, debt: &mut Debt, owing: &Owing) -> Option<Paid> {
    let result = debt.result.as_ref()?;
    let publisher = match (&debt.publisher, result.executed) {
        (Some(publisher), _) => publisher.clone(),
        // Any attempt may publish it.
        (None, true) => layer.anybody(),
        (None, false) => return None,
    };
    let result = layer.write_down(result, Some(&publisher)).await;
    owing.is_clear();
    loop {
        let again = debt.from == Abandoned::Lost;
        let outcome = match again {
            true => layer.publish_again(&result, &publisher).await,
            false => layer.publish_final(&result, &publisher).await,
        };
        match outcome {
            PublishOutcome::Stands | PublishOutcome::Before if again => return Some(Paid::Stands),
            PublishOutcome::Published | PublishOutcome::Stands | PublishOutcome::Corrected => {
                layer.note_published(&result).await;
                layer.emit(Event::Recovered {
                    from: debt.from,
                    result: &result,
                });
                return Some(Paid::Published(debt.from, Box::new(result)));
            }
            PublishOutcome::Before | PublishOutcome::Contradicted => {
                return Some(published_by_another(layer, debt).await);
            }
            PublishOutcome::NotHeld | PublishOutcome::Forgot => {
                debt.publisher = None;
                return None;
            }
            // Only an operator can fix it: there is time.
            PublishOutcome::Refused { .. } => {
                let clock = layer.ports().clock();
                clock.sleep_until(clock.now() + LONGEST_PAUSE).await;
            }
        }
    }
}

async fn published_by_another<P: Ports>(layer: &ApplyLayer<P>, debt: &Debt) -> Paid {
    layer
        .note_published_by_another(&debt.plan, &debt.symbol)
        .await;
    Paid::ByAnother
}

/// In whose hands a plan is.
enum InHand {
    Held(Hold),
    /// Its end was published.
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
        Reclaim::Ended { executed } => InHand::Over { executed },
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

/// Whether no attempt of this machine works on the plan any more.
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
    let case = ResultContext {
        instead_of: None,
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
