//! Building results, writing them down and publishing them; asking the venue what became of an order.

use crate::{
    event::Event,
    exchange::{Exchange, ExchangeError, Settlement, StopReplacement, StopsAfterClose},
    fault,
    hold::{PortError, Publisher},
    journal::{Intent, Journal},
    layer::ApplyLayer,
    order::{Fill, OrderKind, OrderTrace, Side},
    plan::{Decision, Plan, Share, Step},
    ports::{PlanLog, Ports, PublishOutcome, ResultLog},
    reason,
    result::{ApplyResult, StepResult},
    sizing::{NoOrder, Sizing},
    symbol::Symbol,
};
use apply_wire::Reason;
use futures_util::future::join;
use permit_gate::{Block, PlanId, Timer};
use rust_decimal::Decimal;
use std::time::Duration;

/// What a result is about, whether the plan is at hand or only what was written down of it.
#[derive(Clone, Copy)]
pub(crate) struct ResultContext<'a> {
    pub(crate) plan: &'a PlanId,
    pub(crate) symbol: &'a Symbol,
    /// What was done.
    pub(crate) step: &'a str,
    /// How the quantity came about, where this process decided it.
    pub(crate) sizing: Option<&'a Sizing>,
    /// The plan's step, where the reviewers made less of it.
    pub(crate) instead_of: Option<&'a str>,
}

impl<'a> ResultContext<'a> {
    pub(crate) fn of(plan: &'a Plan) -> Self {
        Self {
            plan: &plan.id,
            symbol: plan.symbol(),
            step: step_name(plan),
            sizing: None,
            instead_of: None,
        }
    }

    pub(crate) fn of_intent(intent: &'a Intent) -> Self {
        Self {
            plan: &intent.plan,
            symbol: &intent.symbol,
            step: &intent.step,
            sizing: None,
            instead_of: None,
        }
    }

    /// With the step that the reviewers left of the plan's.
    pub(crate) fn left_as(self, step: &'a str) -> Self {
        match step == self.step {
            true => self,
            false => Self {
                step,
                instead_of: Some(self.step),
                ..self
            },
        }
    }

    /// That the reviewers made less of it, where they did.
    pub(crate) fn reduction(&self) -> Option<String> {
        let planned = self.instead_of?;
        Some(format!("the reviewers made {} of {planned}", self.step))
    }

    /// With what is known of the quantity.
    fn sized(self, step: StepResult, fill: &Fill) -> StepResult {
        let mut step = match self.sizing {
            Some(sizing) => step.sized(sizing, fill.executed_qty),
            None => step,
        };
        if let Some(reduction) = self.reduction() {
            step.details.push_str(&format!("; {reduction}"));
        }
        step
    }

    fn ended(self, decision: Decision, error: Option<Reason>, timestamp: u64) -> ApplyResult {
        ApplyResult::nothing_happened(self.plan, self.symbol, decision, error, timestamp)
    }
}

impl<P: Ports> ApplyLayer<P> {
    /// Writes a result down; what it answers is the result that stands.
    pub(crate) async fn write_down(
        &self,
        result: &ApplyResult,
        publisher: Option<&Publisher>,
    ) -> ApplyResult {
        const DOING: &str = "write the result down";
        let result = ApplyResult {
            is_final: true,
            ..result.clone()
        };
        match self.ports.journal().record_result(&result, publisher).await {
            Ok(standing) => {
                self.complaints.end(&result.symbol, DOING);
                standing
            }
            Err(error) => {
                // The world learns what happened all the same. Should this process die now, the
                // intent is still there and the venue is asked again, with the same answer.
                self.port_failed(&result.symbol, DOING, &error);
                result
            }
        }
    }

    /// Notes that a result is on the stream.
    pub(crate) async fn note_published(&self, result: &ApplyResult) {
        fault::point("after_publish");
        let noted = self
            .ports
            .journal()
            .record_published(&result.plan, self.timestamp());
        if let Err(error) = noted.await {
            self.port_failed(&result.symbol, "note a published result", &error);
        }
        fault::point("after_published_mark");
    }

    /// Notes that another instance has published a plan's end.
    pub(crate) async fn note_published_by_another(&self, plan: &PlanId, symbol: &Symbol) {
        self.emit(Event::PublishedByAnother { plan, symbol });
        let journal = self.ports.journal();
        let noted = journal.record_published_by_another(plan, self.timestamp());
        if let Err(error) = noted.await {
            self.port_failed(symbol, "note a published result", &error);
        }
    }

    /// Asks what became of something that was about to be placed, and makes a result of it.
    pub(crate) async fn settle_intent(&self, intent: &Intent, profit: bool) -> ApplyResult {
        let asked = (intent.order, &intent.trace);
        self.settle_trace(ResultContext::of_intent(intent), asked, None, profit)
            .await
    }

    /// What became of something that may be at the venue by the word of this trace, as a result. It is asked about, never
    /// sent again.
    ///
    /// `seen` is what was seen when it was submitted: where it was not executed or its outcome is unknown, it is the only hint
    /// there may be.
    pub(crate) async fn settle_trace(
        &self,
        case: ResultContext<'_>,
        (order, trace): (OrderKind, &OrderTrace),
        seen: Option<&str>,
        profit: bool,
    ) -> ApplyResult {
        let venue = self.ports.exchange();
        let ResultContext { plan, symbol, .. } = case;
        match order {
            OrderKind::Close => {
                let case = self.as_reviewed(case).await;
                let settlement = venue.settle(symbol, plan, trace).await.after(seen);
                self.emit(Event::Settled {
                    plan,
                    symbol,
                    settlement: &settlement,
                });
                self.settled(case, settlement, profit).await
            }
            OrderKind::Stop => {
                let replacement = venue.settle_stop(symbol, plan, trace).await;
                self.emit(Event::StopSettled {
                    plan,
                    symbol,
                    replacement: &replacement,
                });
                self.stop_replaced(case, replacement)
            }
        }
    }

    /// A close as its reviewers left it, where another process has placed it: it is asked for again what they made of it.
    /// Where that is not known any more, the plan's step is published.
    async fn as_reviewed<'a>(&self, case: ResultContext<'a>) -> ResultContext<'a> {
        let mut shares = Share::ALL.iter();
        let planned = shares.find(|share| share.step() == case.step);
        let (Some(share), None) = (planned, case.instead_of) else {
            return case;
        };
        let step = Step::Close { share: *share };
        let word = self.ports.plans().fetch_final_action(case.plan).await;
        let left = word.ok().flatten().map(|word| step.reduced_to(&word));
        match left {
            Some(Ok(left)) => case.left_as(left.name()),
            Some(Err(_)) | None => case,
        }
    }

    /// Publishes the result of an unclaimed plan, again until it is done: a result that cannot be read is
    /// no result.
    pub(crate) async fn publish(&self, result: &ApplyResult) {
        let published =
            self.until_answered(&result.symbol, || self.ports.results().publish(result));
        match published.await {
            PublishOutcome::Published => self.emit(Event::ResultPublished { result }),
            PublishOutcome::Refused { why } => {
                self.port_failed(&result.symbol, PUBLISH, &PortError(why));
            }
            _ => {}
        }
    }

    /// Publishes how a plan ended, until there is an answer.
    pub(crate) async fn publish_final(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> PublishOutcome {
        let outcome = self.publish_again(result, publisher).await;
        if let PublishOutcome::Published | PublishOutcome::Stands | PublishOutcome::Corrected =
            outcome
        {
            self.emit(Event::ResultPublished { result });
        }
        outcome
    }

    /// The same, of a result that was published before: only what is new is said.
    pub(crate) async fn publish_again(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> PublishOutcome {
        let outcome = self.until_answered(&result.symbol, || {
            self.ports.results().finalize(result, publisher)
        });
        let outcome = outcome.await;
        match &outcome {
            PublishOutcome::Corrected => self.emit(Event::Corrected { result }),
            PublishOutcome::Contradicted => self.emit(Event::Contradicted { result }),
            PublishOutcome::Refused { why } => {
                self.port_failed(&result.symbol, PUBLISH, &PortError(why.clone()));
            }
            PublishOutcome::Published
            | PublishOutcome::Stands
            | PublishOutcome::Before
            | PublishOutcome::NotHeld
            | PublishOutcome::Forgot => {}
        }
        outcome
    }

    async fn until_answered<F>(&self, symbol: &Symbol, publish: impl Fn() -> F) -> PublishOutcome
    where
        F: Future<Output = Result<PublishOutcome, PortError>>,
    {
        let mut pause = PUBLISH_PAUSE;
        loop {
            match publish().await {
                Ok(outcome) => {
                    if !matches!(outcome, PublishOutcome::Refused { .. }) {
                        self.complaints.end(symbol, PUBLISH);
                    }
                    return outcome;
                }
                Err(error) => self.port_failed(symbol, PUBLISH, &error),
            }
            let clock = self.ports.clock();
            clock.sleep_until(clock.now() + pause).await;
            pause = (pause * 2).min(LONGEST_PUBLISH_PAUSE);
        }
    }

    pub(crate) async fn settled(
        &self,
        case: ResultContext<'_>,
        settlement: Settlement,
        profit: bool,
    ) -> ApplyResult {
        match settlement {
            Settlement::Accepted(fill) => self.filled(case, fill, profit).await,
            Settlement::NotExecuted { why } => self.failed(case, Reason::OrderNotExecuted, why),
            Settlement::Unresolved { why, seen } => self.unresolved(case, why, seen),
        }
    }

    /// What filled of it for certain is published, whatever became of the rest.
    fn unresolved(&self, case: ResultContext<'_>, why: String, seen: Option<Fill>) -> ApplyResult {
        let seen = seen.filter(|fill| fill.executed_qty > Decimal::ZERO);
        let known = |fill: &Fill| case.sized(StepResult::unresolved(case.step, fill, &why), fill);
        let steps = seen.as_ref().map(|fill| vec![known(fill)]);
        let result = self.failed(case, Reason::OrderUnresolved, why);
        ApplyResult {
            executed: steps.is_some(),
            decision: match steps {
                Some(_) => Decision::Execute,
                None => result.decision,
            },
            steps: steps.unwrap_or_else(|| result.steps.clone()),
            ..result
        }
    }

    pub(crate) async fn filled(
        &self,
        case: ResultContext<'_>,
        fill: Fill,
        profit: bool,
    ) -> ApplyResult {
        if fill.executed_qty <= Decimal::ZERO {
            let why = format!(
                "order {} ended {} without a fill",
                fill.order_id, fill.status
            );
            return self.failed(case, Reason::OrderNotFilled, why);
        }
        // The order stands whatever comes of these questions, so their failure costs only what they would have shown. Where
        // very many orders are settled at once there is no room for them.
        let (profit, stops) = match profit {
            true => {
                let venue = self.ports.exchange();
                let profit = venue.fetch_profit(case.symbol, &fill);
                join(profit, self.account_for_stops(case, fill.side)).await
            }
            false => (Ok(None), None),
        };
        let profit = profit.ok().flatten();
        let mut fill = fill;
        // The venue's answer to an order names no price; its fills do.
        let of_fills = profit.as_ref().and_then(|profit| profit.average_price);
        fill.average_price = fill.average_price.or(of_fills);
        let mut step = case.sized(StepResult::closed(case.step, &fill), &fill);
        if let Some(stops) = stops {
            step.details.push_str(&format!("; {stops}"));
        }
        ApplyResult {
            executed: true,
            steps: vec![step],
            profit,
            ..case.ended(Decision::Execute, None, self.timestamp())
        }
    }

    /// What was placed for a position is accounted for when it ends. Says in a sentence what happened.
    async fn account_for_stops(&self, case: ResultContext<'_>, side: Side) -> Option<String> {
        let venue = self.ports.exchange();
        let stops = venue.account_for_stops(case.symbol, side).await;
        if stops.as_ref().is_ok_and(StopsAfterClose::is_nothing) {
            return None;
        }
        self.emit(Event::StopsAccounted {
            plan: case.plan,
            symbol: case.symbol,
            stops: stops.as_ref(),
        });
        Some(match stops {
            Ok(stops) => stops.to_string(),
            Err(error) => format!("its stops are not accounted for: {error}"),
        })
    }

    pub(crate) fn stop_replaced(
        &self,
        case: ResultContext<'_>,
        replacement: StopReplacement,
    ) -> ApplyResult {
        match replacement {
            StopReplacement::Placed(placed) => ApplyResult {
                executed: true,
                steps: vec![StepResult::stop_moved(case.step, &placed)],
                ..case.ended(Decision::Execute, None, self.timestamp())
            },
            StopReplacement::Rejected { code, message } => {
                self.failed(case, Reason::StopRejected(code), message)
            }
            StopReplacement::NotSent { why } => {
                let reason = reason::of_not_sent(&why, OrderKind::Stop);
                self.failed(case, reason, why.to_string())
            }
            StopReplacement::Unknown { why } => self.failed(case, Reason::StopUnresolved, why),
        }
    }

    /// Whatever the gate says, it forbids the order.
    pub(crate) fn result_of_block(
        &self,
        plan: &Plan,
        block: &Block,
        said: Option<&str>,
    ) -> ApplyResult {
        let (decision, reason) = (Decision::Blocked, reason::of_blocked_result(block));
        let status = decision.step_status();
        let details = match said {
            Some(said) => format!("{block}; said {said}"),
            None => block.to_string(),
        };
        let step = StepResult::without_order(PERMIT_WAIT, status, details);
        ApplyResult {
            steps: vec![step],
            ..ApplyResult::not_executed(plan, decision, Some(reason), self.timestamp())
        }
    }

    pub(crate) fn no_order(&self, plan: &Plan, no: &NoOrder) -> ApplyResult {
        self.failed(ResultContext::of(plan), no.reason(), no.to_string())
    }

    pub(crate) fn venue_failed(&self, plan: &Plan, error: &ExchangeError) -> ApplyResult {
        self.failed(ResultContext::of(plan), error.into(), error.to_string())
    }

    pub(crate) fn journal_failed(&self, plan: &Plan, error: &PortError) -> ApplyResult {
        self.port_failed(plan.symbol(), "use the journal", error);
        self.failed(
            ResultContext::of(plan),
            Reason::JournalUnavailable,
            error.to_string(),
        )
    }

    pub(crate) fn claim_lost(&self, plan: &Plan) -> ApplyResult {
        let details = "the store forgot the claim, or another instance took the plan over";
        self.failed(ResultContext::of(plan), Reason::ClaimLost, details.into())
    }

    /// A result in which nothing was executed, for this reason; what it is decided as follows from it.
    pub(crate) fn failed(
        &self,
        case: ResultContext<'_>,
        reason: Reason,
        details: String,
    ) -> ApplyResult {
        let decision = Decision::from(reason.class());
        let step = StepResult::without_order(case.step, decision.step_status(), details);
        ApplyResult {
            steps: vec![step],
            ..case.ended(decision, Some(reason), self.timestamp())
        }
    }
}

/// Between two tries to publish a result: at first, and at most.
const PUBLISH_PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PUBLISH_PAUSE: Duration = Duration::from_secs(2);

/// The step of a plan that came no further than its permits.
const PERMIT_WAIT: &str = "PERMIT_WAIT";

/// What was to be done then.
const PUBLISH: &str = "publish the result";

fn step_name(plan: &Plan) -> &'static str {
    plan.step.as_ref().map_or("NONE", Step::name)
}
