//! What the gate would have said to the permits as they were seen, and how much the core would have closed.

use apply_core::{ApprovedClose, Position, QuantityRules, Share, Symbol};
use permit_gate::{
    AttemptId, Block, Gate, Grant, Next, PermitSet, PlanId, Reply, Signal, Slot, Subject, Take,
    Ttl, WaitPolicy,
};
use rust_decimal::{Decimal, RoundingStrategy};
use std::time::Instant;

/// One required permit of a plan, as it was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct SeenPermit {
    /// When it was read, and what it said.
    pub(super) content: Option<(Instant, Vec<u8>)>,
    /// It was written, whether it could be read or not.
    pub(super) touched: bool,
}

impl SeenPermit {
    /// It was written, and gone before it could be read.
    pub(super) fn slipped_by(&self) -> bool {
        self.touched && self.content.is_none()
    }
}

/// Plays the wait of a plan that was published at `started` over the permits that were seen. The gate is the
/// service's own; nothing is taken anywhere.
pub(super) fn play(
    set: &PermitSet,
    policy: WaitPolicy,
    plan: &PlanId,
    symbol: &Symbol,
    started: Instant,
    seen: &[SeenPermit],
) -> Result<Grant, Box<Block>> {
    let subject = Subject::new(plan.clone(), symbol.as_str());
    let attempt: AttemptId = "shadow"
        .parse()
        .unwrap_or_else(|_| unreachable!("an attempt's id"));
    let mut gate = Gate::new(set.clone(), subject, attempt, policy, started);
    let deadline = gate.deadline();
    let mut moments: Vec<Instant> = seen
        .iter()
        .filter_map(|permit| permit.content.as_ref().map(|(at, _)| *at))
        .filter(|at| *at < deadline)
        .map(|at| at.max(started))
        .collect();
    moments.extend([started, deadline, deadline + policy.grace]);
    moments.sort_unstable();
    for now in moments {
        gate.handle_signal(now, Signal::LookAgain);
        loop {
            match gate.poll(now) {
                Next::Take(_) => gate.handle_reply(now, Ok(reply(seen, now))),
                Next::Wait(_) => break,
                Next::Done(answer) => return answer.map_err(Box::new),
            }
        }
    }
    // By then a gate has answered; one that has not says so.
    match gate.poll(deadline + policy.grace + policy.wait) {
        Next::Done(answer) => answer.map_err(Box::new),
        Next::Take(Take { .. }) | Next::Wait(_) => unreachable!("a gate ends with its grace"),
    }
}

/// How many of the permits that were read are a no.
pub(super) fn noes(set: &PermitSet, plan: &PlanId, symbol: &Symbol, seen: &[SeenPermit]) -> usize {
    let subject = Subject::new(plan.clone(), symbol.as_str());
    let judged = set.iter().zip(seen).filter_map(|(permit, seen)| {
        let (_, content) = seen.content.as_ref()?;
        Some(permit.rule().judge(content, &subject))
    });
    judged.filter(Result::is_err).count()
}

/// What a store would have answered at this moment.
fn reply(seen: &[SeenPermit], now: Instant) -> Reply {
    let there = |permit: &SeenPermit| {
        let (at, content) = permit.content.as_ref()?;
        (*at <= now).then(|| content.clone())
    };
    let contents: Vec<Option<Vec<u8>>> = seen.iter().map(there).collect();
    if contents.iter().all(Option::is_some) {
        return Reply::Taken(contents.into_iter().flatten().collect());
    }
    let slots = contents.into_iter().map(|content| match content {
        Some(content) => Slot {
            content: Some(content),
            ttl: Ttl::NoExpiry,
        },
        None => Slot::ABSENT,
    });
    Reply::Missing(slots.collect())
}

/// How much would be closed, and which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) quantity: Decimal,
    pub(super) side: String,
    /// The least of what the permits allow.
    pub(super) permitted: Decimal,
    /// The same as it was written, tail included.
    pub(super) written: Decimal,
}

/// Sizes a close by the position that a reviewer saw; `None` where none says what it is.
pub(super) fn size(grant: Grant, symbol: &Symbol, share: Share) -> Option<Result<Size, String>> {
    let amount = grant.seen()?;
    let permitted = grant.limit()?;
    let least = grant
        .permits()
        .iter()
        .find(|permit| permit.terms.limit == Some(permitted))?;
    let written = least.terms.written.unwrap_or(permitted);
    let position = Position {
        amount,
        mark_price: None,
        context: AnyStep,
    };
    let close = ApprovedClose::size(grant, symbol, &position, share);
    Some(match close {
        Ok(close) => Ok(Size {
            quantity: close.quantity(),
            side: close.side().to_string(),
            permitted,
            written,
        }),
        Err(no) => Err(no.reason().to_string()),
    })
}

/// The rules of a venue that is not asked. Its step is not known; of a binary number only the digits count that the
/// neighbours mean.
#[derive(Debug)]
struct AnyStep;

/// Significant digits of a quantity that a neighbour writes as a binary number.
const DIGITS: u32 = 12;

impl QuantityRules for AnyStep {
    fn cut(&self, wanted: Decimal) -> Result<Decimal, String> {
        wanted
            .round_sf_with_strategy(DIGITS, RoundingStrategy::ToZero)
            .filter(|cut| *cut > Decimal::ZERO)
            .ok_or_else(|| "it is not above 0".into())
    }

    fn maximum(&self) -> Option<Decimal> {
        None
    }
}
