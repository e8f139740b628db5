//! One symbol's work: look, decide, carry out, one plan after the other.

use crate::{
    event::Event,
    life::ApplyLayer,
    plan::{Decision, Plan},
    ports::{Halt, Observed, PlanLog, PortError, Ports, ProposalSource},
    proposal::{Proposal, ProposalError},
    result::ApplyResult,
    symbol::Symbol,
};
use permit_gate::{AttemptId, PlanId};

/// Follows one symbol. Several run side by side; none waits for another.
#[derive(Debug)]
pub struct SymbolWorker {
    symbol: Symbol,
    /// What the last look saw and dealt with: an unchanged proposal is not dealt with again.
    seen: Option<Observed>,
    /// The claim that was asked for without an answer: the next try has to be the same attempt.
    unanswered: Option<(PlanId, AttemptId)>,
    /// Why the last result of a skipped plan was published: a brain that repeats HOLD would
    /// otherwise bury the results its neighbours wait for.
    last_skip: Option<String>,
}

/// What one look led to.
#[derive(Debug)]
pub enum Worked {
    /// Nothing new.
    Nothing,
    /// The proposal was refused, skipped, blocked or claimed elsewhere.
    Declined,
    /// A plan was carried out.
    CarriedOut(Box<ApplyResult>),
}

impl SymbolWorker {
    /// A worker that has seen nothing yet.
    pub fn new(symbol: Symbol) -> Self {
        Self {
            symbol,
            seen: None,
            unanswered: None,
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
        let observed = layer.ports().proposals().fetch(&self.symbol).await?;
        if self.seen.as_ref() == Some(&observed) {
            return Ok(Worked::Nothing);
        }
        let worked = match &observed.proposal {
            Ok(None) => Worked::Nothing,
            Ok(Some(raw)) => match Proposal::parse(&self.symbol, raw) {
                Ok(proposal) => self.deal_with(layer, proposal, &observed.halt).await?,
                Err(error) => refuse(layer, &error),
            },
            Err(error) => refuse(layer, error),
        };
        // Noted only now: what failed half way is looked at again.
        self.seen = Some(observed);
        Ok(worked)
    }

    async fn deal_with<P: Ports>(
        &mut self,
        layer: &ApplyLayer<P>,
        proposal: Proposal,
        halt: &Halt,
    ) -> Result<Worked, PortError> {
        let plan = Plan::decide(proposal, &layer.settings().gates, halt);
        let Some(step) = plan.step.clone() else {
            self.decline(layer, &plan).await?;
            return Ok(Worked::Declined);
        };
        self.last_skip = None;
        let attempt = match self.unanswered.take() {
            Some((asked, attempt)) if asked == plan.id => attempt,
            _ => layer.new_attempt(),
        };
        self.unanswered = Some((plan.id.clone(), attempt.clone()));
        let claim = layer.claim(plan, step, attempt).await?;
        self.unanswered = None;
        match claim {
            Some(claimed) => Ok(Worked::CarriedOut(Box::new(layer.carry_out(claimed).await))),
            None => Ok(Worked::Declined),
        }
    }

    /// Puts the plan on the stream once, and a result besides: always for what was blocked or in
    /// error, for skips only when the reason is a new one.
    async fn decline<P: Ports>(
        &mut self,
        layer: &ApplyLayer<P>,
        plan: &Plan,
    ) -> Result<(), PortError> {
        if !layer
            .ports()
            .plans()
            .announce(plan, layer.timestamp())
            .await?
        {
            return Ok(());
        }
        layer.tell(Event::PlanPublished { plan });
        let repeated =
            plan.decision == Decision::Skip && self.last_skip.as_deref() == Some(plan.reason());
        self.last_skip = (plan.decision == Decision::Skip).then(|| plan.reason().to_owned());
        if !repeated {
            let error = Some(plan.reason().to_owned());
            layer
                .publish(&ApplyResult::not_executed(
                    plan,
                    plan.decision,
                    error,
                    layer.timestamp(),
                ))
                .await;
        }
        Ok(())
    }
}

fn refuse<P: Ports>(layer: &ApplyLayer<P>, error: &ProposalError) -> Worked {
    layer.tell(Event::ProposalRefused { error });
    Worked::Declined
}
