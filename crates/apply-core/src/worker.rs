//! One symbol's work: look, decide, carry out, one plan after the other.

use crate::{
    event::Event,
    execute::Ended,
    in_flight_limit::Slot,
    journal::Journal,
    layer::{ApplyLayer, ClaimedPlan},
    live::LiveAttempt,
    plan::{Decision, Plan, Step},
    ports::{Claim, Debounced, Halt, Observed, PlanLog, PortError, Ports, ProposalSource},
    proposal::Proposal,
    result::ApplyResult,
    symbol::Symbol,
};
use apply_wire::{Reason, field};
use futures_util::future::join;
use permit_gate::{FoundBy, PlanId, Timer};
use sha2::{Digest, Sha256};
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Follows one symbol. Several run side by side; none waits for another.
#[derive(Debug)]
pub struct SymbolWorker {
    symbol: Symbol,
    /// What the last look saw and dealt with: an unchanged proposal is not dealt with again.
    seen: Option<Fingerprint>,
    /// What was emitted as found: one that has to be looked at again is found once.
    found: Option<Fingerprint>,
    /// The plan that was refused last for want of room: emitted once.
    refused: Option<PlanId>,
    /// A slot that was waited for, for the next look.
    slot: Option<Slot>,
    /// The claim that was asked for without an answer: what became of it comes before anything new.
    /// Boxed: hardly any symbol ever has one.
    unanswered: Option<Box<Unanswered>>,
    /// The plan that was put off last because the store may have forgotten something: emitted once.
    put_off: Option<PlanId>,
    /// Why the last result of a skipped plan was published: a brain that repeats HOLD would
    /// otherwise bury the results its neighbours wait for.
    last_skip: Option<Reason>,
}

/// What one look led to.
#[derive(Debug)]
pub enum Worked {
    /// Nothing new.
    Nothing,
    /// The proposal was refused, skipped, blocked or claimed elsewhere.
    Declined,
    /// A plan that would execute found no room. Wait with [`SymbolWorker::wait_for_room`], then look
    /// again: until then nothing comes of it.
    NoRoom,
    /// A plan that would execute has to wait: the store may have forgotten something a moment ago. Look
    /// again then; until then nothing comes of it.
    TooYoung {
        /// When the store is clean.
        clean_at: Instant,
    },
    /// A plan that would execute has to wait: it is not known what became of an order of this symbol that
    /// a former process was about to place. Look again soon.
    InDoubt,
    /// A plan was executed, up to its published result.
    Finished(Box<ApplyResult>),
    /// A plan ended here, and another attempt had published its result before.
    PublishedByAnother,
    /// A plan ended here and this attempt may not publish its result: it is settled beside
    /// ([`crate::recovery::keep_settling`]).
    Owed,
}

/// A claim without an answer.
#[derive(Debug)]
struct Unanswered {
    plan: Plan,
    step: Step,
    attempt: LiveAttempt,
    slot: Slot,
    fingerprint: Option<Fingerprint>,
}

impl SymbolWorker {
    /// A worker that has seen nothing yet.
    pub fn new(symbol: Symbol) -> Self {
        Self {
            symbol,
            seen: None,
            found: None,
            refused: None,
            slot: None,
            unanswered: None,
            put_off: None,
            last_skip: None,
        }
    }

    /// The symbol.
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// Looks at the proposal once and deals with what is new, up to the published result.
    ///
    /// An error means that a store could not be reached; calling again is safe and repeats
    /// nothing. Cancellation: only before the first await of a claimed plan; see
    /// [`ApplyLayer`]. Ask for the end between two calls.
    pub async fn look<P: Ports>(&mut self, layer: &ApplyLayer<P>) -> Result<Worked, PortError> {
        let by = match self.seen {
            None => FoundBy::FirstTry,
            Some(_) => FoundBy::Poll,
        };
        self.look_after(layer, by).await
    }

    /// The same where it is known what made the caller look. What was caught half written is read
    /// again once that is over; see [`ProposalSource::debounced`].
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps what it is given twice, here for as long as a plan waits"
    )]
    pub fn look_after<P: Ports>(
        &mut self,
        layer: &ApplyLayer<P>,
        by: FoundBy,
    ) -> impl Future<Output = Result<Worked, PortError>> {
        async move {
            // Ten thousand symbols keep still or wait, and few are in the middle of anything else: each
            // phase has memory of its own, for as long as it lasts.
            let (execution, _slot) = match Box::pin(self.begin(layer, by)).await? {
                Begun::Plan(claimed, slot) => (layer.execute(claimed), slot),
                Begun::Ended(worked) => return Ok(worked),
            };
            Ok(worked(execution.await))
        }
    }

    /// All of a look up to a claimed plan, or to what came of it where it comes to none.
    async fn begin<P: Ports>(
        &mut self,
        layer: &ApplyLayer<P>,
        by: FoundBy,
    ) -> Result<Begun, PortError> {
        let claimed = {
            let _slot = layer.prepare_limit().acquire().await;
            Box::pin(self.claim_proposal(layer, by)).await
        };
        Ok(Begun::Ended(match claimed {
            Ok((claimed, slot)) => return Ok(Begun::Plan(claimed, slot)),
            Err(Unclaimed::Nothing) => Worked::Nothing,
            Err(Unclaimed::Declined(result)) => {
                // Not within the turn to look: while results cannot be published, plans can still be
                // claimed and carried out.
                if let Some(result) = result {
                    Box::pin(layer.publish(&result)).await;
                }
                Worked::Declined
            }
            Err(Unclaimed::NoRoom) => Worked::NoRoom,
            Err(Unclaimed::TooYoung { clean_at }) => Worked::TooYoung { clean_at },
            Err(Unclaimed::InDoubt) => Worked::InDoubt,
            Err(Unclaimed::Failed(error)) => return Err(error),
        }))
    }

    /// Whether a claim was asked for and not answered: look again at once, or [`SymbolWorker::finish`].
    pub fn is_unanswered(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Finds out what became of a claim that was not answered, and carries out its plan where it was made. To
    /// be called before a worker is given up; afterwards nothing is left behind. Takes as long as the store
    /// does not answer.
    pub async fn finish<P: Ports>(mut self, layer: &ApplyLayer<P>) {
        while self.unanswered.is_some() {
            match Box::pin(self.settle_claim(layer)).await {
                Ok(Some((claimed, _slot))) => drop(layer.execute(claimed).await),
                Ok(None) => {}
                Err(error) => {
                    layer.port_failed(&self.symbol, SETTLE_CLAIM, &error);
                    let clock = layer.ports().clock();
                    clock.sleep_until(clock.now() + FIND_PAUSE).await;
                }
            }
        }
    }

    /// Looks, and claims the plan of what is new.
    async fn claim_proposal<P: Ports>(
        &mut self,
        layer: &ApplyLayer<P>,
        by: FoundBy,
    ) -> Result<(Box<ClaimedPlan>, Slot), Unclaimed> {
        if let Some(claimed) = self.settle_claim(layer).await? {
            return Ok(claimed);
        }
        // Given back by any look that does not come to a plan.
        let slot = self.slot.take();
        let read = self.read_whole(layer, by).await?;
        let Some((Observed { proposal, halt }, fingerprint)) = read else {
            return Err(Unclaimed::Nothing);
        };
        if self.found != Some(fingerprint) && proposal != Ok(None) {
            layer.emit(Event::ProposalFound {
                symbol: &self.symbol,
                by,
            });
        }
        self.found = Some(fingerprint);
        let proposal = proposal.and_then(|raw| {
            raw.map(|raw| Proposal::parse(&self.symbol, &raw))
                .transpose()
        });
        let claimed = match proposal {
            Ok(None) => Err(Unclaimed::Nothing),
            Ok(Some(proposal)) => {
                let claimed = self.claim(layer, proposal, halt, slot).await;
                if let Some(unanswered) = &mut self.unanswered {
                    unanswered.fingerprint = Some(fingerprint);
                }
                claimed
            }
            Err(error) => {
                layer.emit(Event::ProposalRefused { error: &error });
                Err(Unclaimed::Declined(None))
            }
        };
        match claimed {
            // Not dealt with: the next look has to find it again.
            Err(
                Unclaimed::NoRoom
                | Unclaimed::TooYoung { .. }
                | Unclaimed::InDoubt
                | Unclaimed::Failed(_),
            ) => {}
            _ => self.seen = Some(fingerprint),
        }
        claimed
    }

    /// What stands there, whole; `None` where that is what was dealt with last.
    async fn read_whole<P: Ports>(
        &self,
        layer: &ApplyLayer<P>,
        by: FoundBy,
    ) -> Result<Option<(Observed, Fingerprint)>, PortError> {
        let proposals = layer.ports().proposals();
        let by_age = layer.settings().proposal_max_age.is_some();
        let read = proposals.fetch(&self.symbol);
        let settled = proposals.debounced(&self.symbol);
        match by {
            // Written a moment ago: it is read while its writer is given time to come to an end.
            FoundBy::Push => {
                let (read, settled) = join(read, settled).await;
                let first = read?;
                if let Debounced::Unchanged = settled {
                    return Ok(self.events(first, by_age));
                }
            }
            // No push reported it, so no push may report what is still written. Most of these
            // looks find nothing new, and then nothing is waited for.
            FoundBy::FirstTry | FoundBy::Reconnect | FoundBy::Poll => {
                if self.events(read.await?, by_age).is_none() {
                    return Ok(None);
                }
                settled.await;
            }
        }
        Ok(self.events(proposals.fetch(&self.symbol).await?, by_age))
    }

    fn events(&self, observed: Observed, by_age: bool) -> Option<(Observed, Fingerprint)> {
        let fingerprint = Fingerprint::of(&observed, by_age);
        (self.seen != Some(fingerprint)).then_some((observed, fingerprint))
    }

    /// Waits until there is room for a plan of this symbol, behind all that wait already. The slot
    /// is kept for the next look.
    ///
    /// Cancellation: the turn is given up.
    pub async fn wait_for_room<P: Ports>(&mut self, layer: &ApplyLayer<P>) {
        if self.slot.is_none() {
            self.slot = Some(layer.claim_limit().acquire().await);
        }
    }

    /// Decides, and claims what is to be executed.
    async fn claim<P: Ports>(
        &mut self,
        layer: &ApplyLayer<P>,
        proposal: Proposal,
        halt: Halt,
        slot: Option<Slot>,
    ) -> Result<(Box<ClaimedPlan>, Slot), Unclaimed> {
        let settings = layer.settings();
        let plan = Plan::decide(proposal, &settings.gates, &halt);
        let known = layer.ports().journal().look_up(&plan.id).await?;
        let Some(step) = plan.step.clone() else {
            // What became of a plan that was dealt with is recorded, and nothing is said after it.
            let result = match known {
                Some(_) => None,
                None => self.decline(layer, &plan).await?,
            };
            return Err(Unclaimed::Declined(result));
        };
        if known.is_some_and(|entry| layer.outlived_its_claim(&entry)) {
            layer.emit(Event::Duplicate { plan: &plan });
            return Err(Unclaimed::Declined(None));
        }
        if let Some(limit) = settings.proposal_max_age
            && let Err(error) = plan.proposal.check_age(limit, layer.timestamp())
        {
            layer.emit(Event::ProposalRefused { error: &error });
            return Err(Unclaimed::Declined(None));
        }
        let Some(slot) = slot.or_else(|| layer.claim_limit().try_acquire()) else {
            self.refuse_for_now(layer, &plan);
            return Err(Unclaimed::NoRoom);
        };
        self.refused = None;
        if layer.debts().is_in_doubt(&self.symbol) {
            return Err(Unclaimed::InDoubt);
        }
        let attempt = layer.live_attempt();
        let claim = match layer.claim(&plan, attempt.id()).await {
            Ok(claim) => claim,
            Err(error) => {
                self.unanswered = Some(Box::new(Unanswered {
                    plan,
                    step,
                    attempt,
                    slot,
                    fingerprint: None,
                }));
                return Err(Unclaimed::Failed(error));
            }
        };
        if let Claim::TooYoung { clean_at } = claim {
            if self.put_off.as_ref() != Some(&plan.id) {
                layer.emit(Event::TooYoung { plan: &plan });
            }
            self.put_off = Some(plan.id);
            return Err(Unclaimed::TooYoung { clean_at });
        }
        self.last_skip = None;
        match layer.claimed(plan, step, attempt, claim) {
            Some(claimed) => Ok((claimed, slot)),
            None => Err(Unclaimed::Declined(None)),
        }
    }

    /// What became of a claim that was not answered; the plan, where it was made and is still ours.
    async fn settle_claim<P: Ports>(
        &mut self,
        layer: &ApplyLayer<P>,
    ) -> Result<Option<(Box<ClaimedPlan>, Slot)>, PortError> {
        let Some(asked) = &self.unanswered else {
            return Ok(None);
        };
        let plans = layer.ports().plans();
        let ttl = layer.settings().dedupe_ttl;
        let asked_for = plans.find_claim(&asked.plan.id, asked.attempt.id(), ttl);
        let found = asked_for.await?;
        let Some(asked) = self.unanswered.take() else {
            return Ok(None);
        };
        let asked = *asked;
        let Some(claim) = found else {
            return Ok(None);
        };
        self.seen = asked.fingerprint.or(self.seen);
        self.last_skip = None;
        let claimed = layer.claimed(asked.plan, asked.step, asked.attempt, claim);
        Ok(claimed.map(|claimed| (claimed, asked.slot)))
    }

    fn refuse_for_now<P: Ports>(&mut self, layer: &ApplyLayer<P>, plan: &Plan) {
        if self.refused.as_ref() != Some(&plan.id) {
            let limit = layer.claim_limit().occupancy().limit;
            layer.emit(Event::NoRoom { plan, limit });
        }
        self.refused = Some(plan.id.clone());
    }

    /// Puts the plan on the stream once. Answers with the result that is to be published besides: always for
    /// what was blocked or in error, for skips only when the reason is a new one.
    async fn decline<P: Ports>(
        &mut self,
        layer: &ApplyLayer<P>,
        plan: &Plan,
    ) -> Result<Option<Box<ApplyResult>>, PortError> {
        if !layer
            .ports()
            .plans()
            .announce(plan, layer.timestamp())
            .await?
        {
            return Ok(None);
        }
        layer.emit(Event::PlanPublished { plan });
        let repeated = plan.decision == Decision::Skip && self.last_skip.as_ref() == plan.reason();
        self.last_skip = plan
            .reason()
            .filter(|_| plan.decision == Decision::Skip)
            .cloned();
        let result = || {
            let error = plan.reason().cloned();
            ApplyResult::not_executed(plan, plan.decision, error, layer.timestamp())
        };
        Ok((!repeated).then(|| Box::new(result())))
    }
}

/// How a look began.
enum Begun {
    /// With a plan of ours.
    Plan(Box<ClaimedPlan>, Slot),
    /// And ended.
    Ended(Worked),
}

/// Why a proposal came to no plan of ours.
enum Unclaimed {
    Nothing,
    /// Refused, skipped, blocked or claimed elsewhere; with the result that is to be published of it.
    Declined(Option<Box<ApplyResult>>),
    NoRoom,
    TooYoung {
        clean_at: Instant,
    },
    InDoubt,
    Failed(PortError),
}

/// What was to be done where a claim is not answered.
const SETTLE_CLAIM: &str = "find out whether a plan was claimed";

/// Between two tries to.
const FIND_PAUSE: Duration = Duration::from_millis(100);

fn worked(ended: Ended) -> Worked {
    match ended {
        Ended::Published(result) => Worked::Finished(Box::new(result)),
        Ended::PublishedByAnother => Worked::PublishedByAnother,
        Ended::Owed => Worked::Owed,
    }
}

impl From<PortError> for Unclaimed {
    fn from(error: PortError) -> Self {
        Self::Failed(error)
    }
}

/// What a look saw, in few bytes: a thousand symbols that keep still should cost next to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Half of a SHA-256: no two proposals that anybody can find share one. When a proposal was last written
    /// is part of it only `by_age`, where nothing else says how old it is.
    fn of(observed: &Observed, by_age: bool) -> Self {
        let mut digest = Sha256::new();
        // Each text with its length before it: no two lists of texts run into the same bytes.
        let mut text = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        match &observed.halt {
            Halt::Off => text("off"),
            Halt::On { by } => {
                text("on");
                text(by);
            }
        }
        match &observed.proposal {
            Ok(None) => text("none"),
            Ok(Some(raw)) => {
                text("proposal");
                let timeless = raw.get(field::COMPUTED_AT).is_none_or(String::is_empty);
                let counts = |field: &str| field != field::UPDATED_AT || (by_age && timeless);
                let mut fields: Vec<_> = raw.iter().filter(|(field, _)| counts(field)).collect();
                fields.sort_unstable();
                for (field, value) in fields {
                    text(field);
                    text(value);
                }
            }
            Err(error) => {
                text("unreadable");
                text(&error.to_string());
            }
        }
        let mut half = [0; 16];
        let whole = digest.finalize();
        for (byte, from) in half.iter_mut().zip(whole) {
            *byte = from;
        }
        Self(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen_where(fields: &[(&str, &str)], halt: Halt, by_age: bool) -> Fingerprint {
        let fields = fields.iter();
        let raw = fields
            .map(|(field, value)| ((*field).to_owned(), (*value).to_owned()))
            .collect();
        let observed = Observed {
            proposal: Ok(Some(raw)),
            halt,
        };
        Fingerprint::of(&observed, by_age)
    }

    fn seen(fields: &[(&str, &str)], halt: Halt) -> Fingerprint {
        seen_where(fields, halt, false)
    }

    #[test]
    fn when_it_was_last_written_counts_only_where_it_is_the_proposals_age() {
        let written = |at, by_age, computed| {
            let fields = [
                ("a", "1"),
                (field::UPDATED_AT, at),
                (field::COMPUTED_AT, computed),
            ];
            seen_where(&fields, Halt::Off, by_age)
        };
        for (by_age, computed) in [(false, ""), (false, "then"), (true, "then")] {
            assert_eq!(
                written("1", by_age, computed),
                written("2", by_age, computed)
            );
        }
        assert_ne!(written("1", true, ""), written("2", true, ""));
    }

    #[test]
    fn a_fingerprint_changes_with_every_field_and_the_switch_and_with_nothing_else() {
        let on = |by: &str| Halt::On { by: by.into() };
        let one = seen(&[("a", "1"), ("b", "2")], Halt::Off);
        assert_eq!(one, seen(&[("b", "2"), ("a", "1")], Halt::Off));
        let others = [
            seen(&[("a", "1"), ("b", "3")], Halt::Off),
            seen(&[("a", "1")], Halt::Off),
            seen(&[("a", "1b"), ("", "2")], Halt::Off),
            seen(&[("a", "1"), ("b", "2")], on("key")),
            seen(&[("a", "1"), ("b", "2")], on("file")),
            Fingerprint::of(
                &Observed {
                    proposal: Ok(None),
                    halt: Halt::Off,
                },
                false,
            ),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(one, *other, "{index}");
        }
    }
}
