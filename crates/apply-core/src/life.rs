//! The life of one plan, top to bottom: claimed, granted, sized, submitted, told.

use crate::{
    event::{Event, Observer},
    exchange::{
        Exchange, ExchangeError, Fill, OrderTrace, Position, Settlement, StopReplacement,
        Submission,
    },
    plan::{Decision, GateSettings, Plan, Step},
    ports::{Claim, Clock, Halt, PlanLog, PortError, Ports, ProposalSource, ResultLog},
    result::{ApplyResult, StepResult},
    sizing::{ApprovedClose, ApprovedStop, NoOrder},
    symbol::Symbol,
};
use futures_util::future::{Either, select};
use permit_gate::{
    Ask, AttemptId, Block, Grant, PermitStore, Subject, Timer, WaitPolicy, wait_and_take,
};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

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
    /// This process, unique among all that share the store and new at each start. Its attempts
    /// are numbered under this name: `host-1.7`.
    pub attempt: AttemptId,
}

/// The apply layer over its ports. One instance serves all symbols.
pub struct ApplyLayer<P> {
    ports: P,
    settings: Settings,
    observer: Box<dyn Observer>,
    attempts: AtomicU64,
}

/// A plan one attempt of this process has claimed. Executing it takes it by value and ends in one
/// result.
#[derive(Debug)]
pub struct ClaimedPlan {
    plan: Plan,
    step: Step,
    attempt: AttemptId,
}

impl<P: Ports> ApplyLayer<P> {
    /// An apply layer that tells `observer` everything it does.
    pub fn new(ports: P, settings: Settings, observer: impl Observer + 'static) -> Self {
        Self {
            ports,
            settings,
            observer: Box::new(observer),
            attempts: AtomicU64::new(0),
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

    /// Tells the observer; for what happens around the layer rather than in it.
    pub fn tell(&self, event: Event<'_>) {
        self.observer.observe(&event);
    }

    /// A new attempt, which no claim and no receipt knows yet. One name for the whole process would
    /// not do: to a store the same attempt asking again means a lost answer, and a proposal that
    /// comes back later would win its old claim a second time.
    pub(crate) fn new_attempt(&self) -> AttemptId {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{number}", self.settings.attempt);
        AttemptId::new(&name).unwrap_or_else(|_| digest_of(&name))
    }

    /// Claims a plan that executes `step` and puts it out for review; `None` where somebody was there before.
    /// After an error the claim may have happened: ask again with the same attempt.
    pub(crate) async fn claim(
        &self,
        plan: Plan,
        step: Step,
        attempt: AttemptId,
    ) -> Result<Option<ClaimedPlan>, PortError> {
        let (plans, ttl) = (self.ports.plans(), self.settings.dedupe_ttl);
        match plans.claim(&plan, &attempt, ttl, self.timestamp()).await? {
            Claim::Won => {
                self.tell(Event::PlanPublished { plan: &plan });
                Ok(Some(ClaimedPlan {
                    plan,
                    step,
                    attempt,
                }))
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
    pub(crate) async fn carry_out(&self, claimed: ClaimedPlan) -> ApplyResult {
        let result = match self.settings.mode {
            Mode::DryRun => self.rehearse(&claimed).await,
            Mode::Testnet => self.trade(&claimed).await,
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

    async fn rehearse(&self, claimed: &ClaimedPlan) -> ApplyResult {
        let ClaimedPlan { plan, step, .. } = claimed;
        let grant = match self.wait_for_permits(claimed).await {
            Ok(grant) => grant,
            Err(block) => return self.blocked(plan, &block),
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

    async fn trade(&self, claimed: &ClaimedPlan) -> ApplyResult {
        let ClaimedPlan { plan, step, .. } = claimed;
        // Everything slow happens while the permits are awaited. Where the venue says first that
        // there is nothing to do, the wait is dropped: permits it may just be taking buy nothing.
        let latest = self.latest_answer();
        let permits = pin!(self.wait_for_permits(claimed));
        let position = pin!(self.ports.exchange().prepare(plan.symbol(), &plan.id));
        let (grant, position) = match select(permits, position).await {
            Either::Left((Err(block), _)) => return self.blocked(plan, &block),
            Either::Left((Ok(grant), position)) => {
                // The switch was off when the permits were taken, which is a while ago by then.
                let ready = pin!(async {
                    let position = position.await?;
                    Ok((position, self.halted(plan.symbol()).await))
                });
                let late = pin!(self.ports.clock().sleep_until(latest));
                match select(ready, late).await {
                    Either::Left((Ok((position, None)), _)) => (grant, position),
                    Either::Left((Ok((_, Some(by))), _)) => {
                        return self.no_order(plan, &NoOrder::Halted { by });
                    }
                    Either::Left((Err(error), _)) => return self.venue_failed(plan, &error),
                    Either::Right(_) => return self.no_order(plan, &NoOrder::TooLate),
                }
            }
            Either::Right((Err(error), _)) => return self.venue_failed(plan, &error),
            Either::Right((Ok(position), _)) if position.amount.is_zero() => {
                return self.no_order(plan, &NoOrder::NoPosition);
            }
            Either::Right((Ok(position), permits)) => match permits.await {
                Ok(grant) => (grant, position),
                Err(block) => return self.blocked(plan, &block),
            },
        };
        match step {
            Step::Close { .. } => self.close(plan, step, grant, position).await,
            Step::MoveStop { price } => self.move_stop(plan, step, grant, position, *price).await,
        }
    }

    /// When a wait that begins now has its answer at the latest: nothing it needs may come later.
    fn latest_answer(&self) -> Instant {
        let (now, wait) = (self.ports.clock().now(), self.settings.wait);
        let longest = wait.wait.saturating_add(wait.grace);
        now.checked_add(longest).unwrap_or(now)
    }

    /// What halts trading at this moment, if anything does. A switch that cannot be read does.
    async fn halted(&self, symbol: &Symbol) -> Option<String> {
        match self.ports.proposals().fetch_halt(symbol).await {
            Ok(Halt::Off) => None,
            Ok(Halt::On { by }) => Some(by),
            Err(error) => Some(error.to_string()),
        }
    }

    async fn wait_for_permits(&self, claimed: &ClaimedPlan) -> Result<Grant, Block> {
        let plan = &claimed.plan;
        let store = self.ports.permits();
        let set = store.permits();
        self.tell(Event::WaitStarted {
            plan,
            max_wait: self.settings.wait.wait,
            permits: set.iter().map(|p| Arc::from(p.label())).collect(),
        });
        let ask = Ask {
            subject: Subject::new(plan.id.clone(), plan.symbol()),
            attempt: claimed.attempt.clone(),
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

    async fn close(
        &self,
        plan: &Plan,
        step: &Step,
        grant: Grant,
        position: Desk<P>,
    ) -> ApplyResult {
        let order = match ApprovedClose::size(grant, plan.symbol(), &position) {
            Ok(order) => order,
            Err(no) => return self.no_order(plan, &no),
        };
        let granted_at = self.ports.clock().now();
        self.tell(Event::StepStarted {
            plan,
            step: step.name(),
        });
        let submission = self
            .ports
            .exchange()
            .submit_close(order, position.desk)
            .await;
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
            Submission::Accepted(fill) => self.filled(plan, step, fill).await,
            Submission::Unknown { trace, .. } => self.ask(plan, step, &trace).await,
            Submission::Rejected { code, message } => {
                self.failed(plan, step, &format!("order_rejected:{code}"), message)
            }
            Submission::NotSent { why } => self.failed(plan, step, "order_not_sent", why),
        }
    }

    /// An order that may exist is asked about, never sent again.
    async fn ask(&self, plan: &Plan, step: &Step, trace: &OrderTrace) -> ApplyResult {
        let settlement = self
            .ports
            .exchange()
            .settle(plan.symbol(), &plan.id, trace)
            .await;
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
            .fetch_profit(plan.symbol(), &fill)
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
        position: Desk<P>,
        price: Decimal,
    ) -> ApplyResult {
        let stop = match ApprovedStop::aim(grant, plan.symbol(), position.amount, price) {
            Ok(stop) => stop,
            Err(no) => return self.no_order(plan, &no),
        };
        self.tell(Event::StepStarted {
            plan,
            step: step.name(),
        });
        let replacement = self
            .ports
            .exchange()
            .replace_stop(stop, position.desk)
            .await;
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
            ExchangeError::NoCredentials => "missing_binance_credentials",
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

/// A position on the ports' venue.
type Desk<P> = Position<<<P as Ports>::Exchange as Exchange>::Desk>;

/// Between two tries to publish a result.
const PUBLISH_PAUSE: Duration = Duration::from_millis(250);

/// A name too long to carry its number is told by its digest: cut short, two attempts could be one.
fn digest_of(name: &str) -> AttemptId {
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    AttemptId::new(&hex).unwrap_or_else(|_| unreachable!("64 hex digits are an id"))
}

fn step_name(plan: &Plan) -> &'static str {
    plan.step.as_ref().map_or("NONE", Step::name)
}
