//! The life of one plan, top to bottom: claimed, granted, sized, submitted, told.

use crate::{
    event::{Event, Observer},
    exchange::{Exchange, ExchangeError, Fill, Position, Settlement, StopReplacement, Submission},
    plan::{Decision, GateSettings, Plan, Step},
    ports::{Claim, Clock, PlanLog, PortError, Ports, ResultLog},
    result::{ApplyResult, StepResult},
    sizing::{ApprovedClose, ApprovedStop, NoOrder},
};
use futures_util::future::{Either, select};
use permit_gate::{
    Ask, AttemptId, Block, Grant, PermitStore, Subject, Timer, WaitPolicy, wait_and_take,
};
use rust_decimal::Decimal;
use std::{pin::pin, sync::Arc, time::Duration};

/// Whether orders may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything but the order: plans are claimed, reviewed and granted, the venue is not asked.
    DryRun,
    /// Orders go to the venue's testnet.
    Testnet,
}

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The thresholds of the gates.
    pub gates: GateSettings,
    /// Whether orders may leave.
    pub mode: Mode,
    /// How long a plan waits for its permits.
    pub wait: WaitPolicy,
    /// How long a claim lasts.
    pub dedupe_ttl: Duration,
    /// This process, unique among all that share the store and new at each start. A process
    /// attempts a plan once, so its name is the attempt's.
    pub attempt: AttemptId,
}

/// The apply layer over its ports. One instance serves all symbols.
pub struct ApplyLayer<P> {
    ports: P,
    settings: Settings,
    observer: Box<dyn Observer>,
}

/// A plan this process has claimed. Executing it takes it by value and ends in one result.
#[derive(Debug)]
pub struct ClaimedPlan(Plan);

impl<P: Ports> ApplyLayer<P> {
    /// An apply layer that tells `observer` everything it does.
    pub fn new(ports: P, settings: Settings, observer: impl Observer + 'static) -> Self {
        Self {
            ports,
            settings,
            observer: Box::new(observer),
        }
    }

    /// The outside.
    pub fn ports(&self) -> &P {
        &self.ports
    }

    /// The operator's decisions.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn tell(&self, event: Event<'_>) {
        self.observer.observe(&event);
    }

    /// Claims an EXECUTE plan and puts it out for review; `None` where somebody was there before.
    pub(crate) async fn claim(&self, plan: Plan) -> Result<Option<ClaimedPlan>, PortError> {
        let Settings {
            attempt,
            dedupe_ttl,
            ..
        } = &self.settings;
        let plans = self.ports.plans();
        match plans
            .claim(&plan, attempt, *dedupe_ttl, self.timestamp())
            .await?
        {
            Claim::Won => {
                self.tell(Event::PlanPublished { plan: &plan });
                Ok(Some(ClaimedPlan(plan)))
            }
            Claim::Taken => {
                self.tell(Event::Duplicate { plan: &plan });
                Ok(None)
            }
        }
    }

    /// Takes a claimed plan to its end and publishes what came of it.
    ///
    /// Cancellation: do not drop this future. From the claim on a plan owes the world a result.
    pub(crate) async fn carry_out(&self, ClaimedPlan(plan): ClaimedPlan) -> ApplyResult {
        let result = match self.settings.mode {
            Mode::DryRun => self.rehearse(&plan).await,
            Mode::Testnet => self.trade(&plan).await,
        };
        let result = ApplyResult {
            is_final: true,
            ..result
        };
        self.publish(&result).await;
        result
    }

    /// Publishes until it is done: a result that nobody can read is no result.
    pub(crate) async fn publish(&self, result: &ApplyResult) {
        while let Err(error) = self.ports.results().publish(result).await {
            self.tell(Event::PortFailed {
                symbol: &result.symbol,
                doing: "publish the result",
                error: &error.0,
            });
            let clock = self.ports.clock();
            clock.sleep_until(clock.now() + PUBLISH_PAUSE).await;
        }
        self.tell(Event::ResultPublished { result });
    }

    async fn rehearse(&self, plan: &Plan) -> ApplyResult {
        let grant = match self.wait_for_permits(plan).await {
            Ok(grant) => grant,
            Err(block) => return self.blocked(plan, &block),
        };
        let Some(step) = &plan.step else {
            return self.not_executed(plan, Decision::Error, "plan_without_step");
        };
        let details = match grant.max_quantity() {
            Some(quantity) => format!("dry run: granted for at most {quantity}, no order placed"),
            None => "dry run: granted, no order placed".into(),
        };
        ApplyResult {
            would_execute: true,
            steps: vec![StepResult::without_order(step.name(), "dry_run", details)],
            ..ApplyResult::not_executed(plan, Decision::Execute, None, self.timestamp())
        }
    }

    async fn trade(&self, plan: &Plan) -> ApplyResult {
        // Everything slow happens while the permits are awaited. Where the venue says first that
        // there is nothing to do, the wait is dropped: permits it may just be taking buy nothing.
        let permits = pin!(self.wait_for_permits(plan));
        let position = pin!(self.ports.exchange().prepare(plan.symbol()));
        let (grant, position) = match select(permits, position).await {
            Either::Left((Err(block), _)) => return self.blocked(plan, &block),
            Either::Left((Ok(grant), position)) => match position.await {
                Ok(position) => (grant, position),
                Err(error) => return self.venue_failed(plan, &error),
            },
            Either::Right((Err(error), _)) => return self.venue_failed(plan, &error),
            Either::Right((Ok(position), _)) if position.amount.is_zero() => {
                return self.no_order(plan, &NoOrder::NoPosition);
            }
            Either::Right((Ok(position), permits)) => match permits.await {
                Ok(grant) => (grant, position),
                Err(block) => return self.blocked(plan, &block),
            },
        };
        match &plan.step {
            Some(step @ Step::Close { .. }) => self.close(plan, step, grant, &position).await,
            Some(step @ Step::MoveStop { price }) => {
                self.move_stop(plan, step, grant, position.amount, *price)
                    .await
            }
            None => self.not_executed(plan, Decision::Error, "plan_without_step"),
        }
    }

    async fn wait_for_permits(&self, plan: &Plan) -> Result<Grant, Block> {
        let store = self.ports.permits();
        let set = store.permits();
        self.tell(Event::WaitStarted {
            plan,
            max_wait: self.settings.wait.wait,
            permits: set.iter().map(|p| Arc::from(p.label())).collect(),
        });
        let ask = Ask {
            subject: Subject::new(plan.id.clone(), plan.symbol()),
            attempt: self.settings.attempt.clone(),
            policy: self.settings.wait,
        };
        let answer = wait_and_take(store, self.ports.clock(), ask, |event| match event {
            permit_gate::Event::Found { permit, after, by } => {
                if let Some(permit) = set.iter().nth(permit) {
                    self.tell(Event::PermitFound {
                        plan,
                        name: permit.name().into(),
                        label: permit.label().into(),
                        after,
                        by,
                    });
                }
            }
            permit_gate::Event::StoreTrouble { error, .. } => {
                self.tell(Event::StoreTrouble { plan, error });
            }
        })
        .await;
        match &answer {
            Ok(grant) => self.tell(Event::Granted { plan, grant }),
            Err(block) => self.tell(Event::Blocked { plan, block }),
        }
        answer
    }

    async fn close<R: crate::exchange::QuantityRules>(
        &self,
        plan: &Plan,
        step: &Step,
        grant: Grant,
        position: &Position<R>,
    ) -> ApplyResult {
        let order = match ApprovedClose::size(grant, plan.symbol(), position) {
            Ok(order) => order,
            Err(no) => return self.no_order(plan, &no),
        };
        let granted_at = self.ports.clock().now();
        self.tell(Event::StepStarted {
            plan,
            step: step.name(),
        });
        let submission = self.ports.exchange().submit_close(order).await;
        self.tell(Event::Submitted {
            plan,
            step: step.name(),
            submission: &submission,
            took: self
                .ports
                .clock()
                .now()
                .saturating_duration_since(granted_at),
        });
        match submission {
            Submission::Accepted(fill) if !fill.is_open => self.filled(plan, step, fill).await,
            Submission::Accepted(_) | Submission::Unknown { .. } => self.ask(plan, step).await,
            Submission::Rejected { code, message } => {
                self.failed(plan, step, &format!("order_rejected:{code}"), message)
            }
            Submission::NotSent { why } => self.failed(plan, step, "order_not_sent", why),
        }
    }

    /// An order that may exist is asked about, never sent again.
    async fn ask(&self, plan: &Plan, step: &Step) -> ApplyResult {
        let settlement = self.ports.exchange().settle(plan.symbol(), &plan.id).await;
        self.tell(Event::Settled {
            plan,
            settlement: &settlement,
        });
        match settlement {
            Settlement::Accepted(fill) => self.filled(plan, step, fill).await,
            Settlement::NotExecuted { why } => self.failed(plan, step, "order_not_executed", why),
            Settlement::Unresolved { why } => self.failed(plan, step, "order_unresolved", why),
        }
    }

    async fn filled(&self, plan: &Plan, step: &Step, fill: Fill) -> ApplyResult {
        if fill.executed_qty <= Decimal::ZERO {
            let why = format!(
                "order {} ended {} without a fill",
                fill.order_id, fill.status
            );
            return self.failed(plan, step, "order_not_filled", why);
        }
        // The order stands whatever comes of this question, so its failure costs only the figure.
        let profit = self
            .ports
            .exchange()
            .fetch_profit(plan.symbol(), &fill.order_id)
            .await;
        ApplyResult {
            executed: true,
            steps: vec![StepResult::closed(step, &fill)],
            profit: profit.ok().flatten(),
            ..ApplyResult::not_executed(plan, Decision::Execute, None, self.timestamp())
        }
    }

    async fn move_stop(
        &self,
        plan: &Plan,
        step: &Step,
        grant: Grant,
        position: Decimal,
        price: Decimal,
    ) -> ApplyResult {
        let stop = match ApprovedStop::aim(grant, plan.symbol(), position, price) {
            Ok(stop) => stop,
            Err(no) => return self.no_order(plan, &no),
        };
        self.tell(Event::StepStarted {
            plan,
            step: step.name(),
        });
        let replacement = self.ports.exchange().replace_stop(stop).await;
        self.tell(Event::StopReplaced {
            plan,
            replacement: &replacement,
        });
        match replacement {
            StopReplacement::Placed(placed) => ApplyResult {
                executed: true,
                steps: vec![StepResult::stop_moved(step, &placed)],
                ..ApplyResult::not_executed(plan, Decision::Execute, None, self.timestamp())
            },
            StopReplacement::Rejected { code, message } => {
                self.failed(plan, step, &format!("stop_rejected:{code}"), message)
            }
            StopReplacement::NotSent { why } => self.failed(plan, step, "stop_not_sent", why),
            StopReplacement::Unknown { why } => self.failed(plan, step, "stop_unresolved", why),
        }
    }

    fn blocked(&self, plan: &Plan, block: &Block) -> ApplyResult {
        let step = StepResult::without_order("PERMIT_WAIT", "blocked", block.to_string());
        ApplyResult {
            steps: vec![step],
            ..self.not_executed(plan, Decision::Blocked, &block.error_code())
        }
    }

    fn no_order(&self, plan: &Plan, no: &NoOrder) -> ApplyResult {
        let step = StepResult::without_order(step_name(plan), "blocked", no.to_string());
        ApplyResult {
            steps: vec![step],
            ..self.not_executed(plan, Decision::Blocked, no.code())
        }
    }

    fn venue_failed(&self, plan: &Plan, error: &ExchangeError) -> ApplyResult {
        let code = match error {
            ExchangeError::Unavailable(_) => "venue_unavailable",
            ExchangeError::Unfit(_) => "venue_refuses_account",
        };
        let step = StepResult::without_order(step_name(plan), "error", error.to_string());
        ApplyResult {
            steps: vec![step],
            ..self.not_executed(plan, Decision::Error, code)
        }
    }

    fn failed(&self, plan: &Plan, step: &Step, error: &str, details: String) -> ApplyResult {
        ApplyResult {
            steps: vec![StepResult::without_order(step.name(), "error", details)],
            ..self.not_executed(plan, Decision::Error, error)
        }
    }

    fn not_executed(&self, plan: &Plan, decision: Decision, error: &str) -> ApplyResult {
        ApplyResult::not_executed(plan, decision, Some(error.to_owned()), self.timestamp())
    }

    pub(crate) fn timestamp(&self) -> u64 {
        self.ports.clock().unix_seconds()
    }
}

/// Between two tries to publish a result.
const PUBLISH_PAUSE: Duration = Duration::from_millis(250);

fn step_name(plan: &Plan) -> &'static str {
    plan.step.as_ref().map_or("NONE", Step::name)
}
