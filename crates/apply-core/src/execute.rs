//! The execution of one plan, top to bottom: claimed, granted, sized, submitted, published.

use crate::{
    debts::Debt,
    event::{Event, KnownTo},
    exchange::{Exchange, ExchangeError, OrderTrace, Position, Prepared, Submission},
    fault,
    halt::Halt,
    hold::PortError,
    in_flight::InFlightOrder,
    journal::{ClaimNote, Entry, Intent, Journal, Recorded, RecordedIntent},
    layer::{ApplyLayer, ClaimedPlan, Mode},
    order::OrderKind,
    pending_events::{PendingEvent, PendingEvents},
    plan::{Decision, Plan, Share, Step},
    ports::{PlanLog, Ports, ProposalSource, PublishOutcome},
    ready::{Readiness, WhenReady},
    reason,
    result::{ApplyResult, StepResult},
    results::ResultContext,
    sizing::{ApprovedClose, ApprovedStop, NoOrder},
    symbol::Symbol,
    times::{micros, millis},
};
use apply_wire::Reason;
use futures_util::future::{Either, join, select};
use permit_gate::{
    Ask, Block, BlockReason, Grant, PermitStore, Subject, Terms, Timer, WaitPolicy,
    foreign::{MAX_FOREIGN, escaped},
    wait_and_take,
};
use rust_decimal::Decimal;
use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// What each reviewer allows, by its permit's name.
fn terms_of(grant: &Grant) -> Vec<(Arc<str>, Terms)> {
    let permits = grant.permits().iter();
    permits
        .map(|permit| (Arc::clone(&permit.name), permit.terms.clone()))
        .collect()
}

/// How the execution of a plan ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With this result, which is published.
    Published(ApplyResult),
    /// With a result that another attempt published.
    PublishedByAnother,
    /// With a result that this attempt may not publish: it is owed.
    Owed,
}

impl<P: Ports> ApplyLayer<P> {
    /// Takes a claimed plan to its end and publishes what came of it.
    ///
    /// Cancellation: do not drop this future. From the claim on a plan owes the world a result.
    pub(crate) fn execute(&self, claimed: Box<ClaimedPlan>) -> impl Future<Output = Ended> {
        // Thousands wait at once: what comes before the wait and after it has memory of its own, for as
        // long as it lasts.
        let execution = Box::pin(async move {
            let events = PendingEvents::of(&claimed.plan, self.ports.permits().permits());
            events.add(PendingEvent::Published);
            let result = {
                let result = pin!(self.run(&claimed, &events));
                events.emit_beside(self, result).await
            };
            drop(events);
            (claimed, result)
        });
        async {
            let (claimed, result) = execution.await;
            let ended = Box::pin(self.finalize(&claimed, result)).await;
            self.emit_omissions();
            ended
        }
    }

    /// From here down to the gate's wait: blocks, since an `async fn` holds each argument twice, and whatever is not
    /// the wait in memory of its own.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps what it is given twice, here for as long as a plan waits"
    )]
    fn run(
        &self,
        claimed: &ClaimedPlan,
        events: &PendingEvents<'_>,
    ) -> impl Future<Output = ApplyResult> {
        async move {
            if let Some(result) = Box::pin(self.begin(claimed, events)).await {
                return result;
            }
            match self.settings.mode {
                Mode::DryRun => {
                    let ready = Readiness::new(true);
                    let granted = self.wait_for_permits(claimed, events, &ready).await;
                    Box::pin(self.rehearse(claimed, granted)).await
                }
                Mode::Testnet => {
                    let awaited = self.await_all(claimed, events).await;
                    Box::pin(self.place(claimed, awaited, events)).await
                }
            }
        }
    }

    /// All that comes before the wait; a result where there is nothing to wait for.
    async fn begin(
        &self,
        claimed: &ClaimedPlan,
        events: &PendingEvents<'_>,
    ) -> Option<ApplyResult> {
        self.note_claim(claimed).await;
        if let Some(result) = self.known_result(claimed, events).await {
            return Some(result);
        }
        if claimed.in_doubt && self.settings.mode == Mode::Testnet {
            return self.done_before(claimed, events).await;
        }
        None
    }

    /// So that the next process of this machine knows of it, whatever the store forgets.
    async fn note_claim(&self, claimed: &ClaimedPlan) {
        let note = ClaimNote {
            plan: claimed.plan.id.clone(),
            symbol: claimed.plan.symbol().clone(),
            step: claimed.step.name().to_owned(),
            order: claimed.order(),
            attempt: claimed.attempt().clone(),
            at: self.timestamp(),
            rehearsed: self.settings.mode == Mode::DryRun,
        };
        if let Err(error) = self.ports.journal().record_claim(&note).await {
            self.port_failed(claimed.plan.symbol(), "note a claim", &error);
        }
    }

    /// A store that lost its claims hands a plan out twice; the journal does not.
    async fn known_result(
        &self,
        claimed: &ClaimedPlan,
        events: &PendingEvents<'_>,
    ) -> Option<ApplyResult> {
        let known = self.ports.journal().look_up(&claimed.plan.id).await;
        let known = known
            .map(|known| known.filter(|entry| !entry.is_only_claimed()))
            .transpose()?;
        events.emit(self);
        Some(match known {
            Ok(known) => Box::pin(self.already_handled(claimed, known)).await,
            Err(error) => self.journal_failed(&claimed.plan, &error),
        })
    }

    /// Whether a plan that the journal knows has been dealt with for so long that its claim is gone from a store
    /// that forgot nothing. Of a younger one the store still has to know.
    pub(crate) fn outlived_its_claim(&self, entry: &Entry) -> bool {
        let intended = entry.intent.as_ref().map(|intent| intent.at);
        let concluded = entry.result.as_ref().map(|result| result.timestamp);
        // It was claimed before either, by no more than its wait.
        let Some(claimed_by) = intended.into_iter().chain(concluded).min() else {
            return false;
        };
        let wait = self.settings.wait;
        let earlier = wait
            .wait
            .saturating_add(wait.grace)
            .saturating_add(CLAIM_SLACK);
        let known_for = self.timestamp().saturating_sub(claimed_by);
        Duration::from_secs(known_for).saturating_add(earlier) >= self.settings.dedupe_ttl
    }

    /// Writes a result down and publishes it, where this attempt may; else it is owed.
    async fn finalize(&self, claimed: &ClaimedPlan, result: ApplyResult) -> Ended {
        let result = ApplyResult {
            is_final: true,
            ..result
        };
        if !result.executed && claimed.in_doubt && !claimed.asked.load(Ordering::Relaxed) {
            // An earlier claim may have come to an order that the venue was not asked about yet.
            self.owe(
                claimed.debt(Some(result)),
                "the venue has not said that nothing was executed",
            );
            return Ended::Owed;
        }
        let publisher = claimed.hold.publisher();
        let result = self.write_down(&result, Some(&publisher)).await;
        fault::point("after_outcome");
        let why = match self.publish_final(&result, &publisher).await {
            PublishOutcome::Published | PublishOutcome::Stands | PublishOutcome::Corrected => {
                self.note_published(&result).await;
                return Ended::Published(result);
            }
            PublishOutcome::Before | PublishOutcome::Contradicted => {
                let plan = &claimed.plan;
                self.note_published_by_another(&plan.id, plan.symbol())
                    .await;
                return Ended::PublishedByAnother;
            }
            PublishOutcome::NotHeld => "the plan is not this attempt's any more",
            PublishOutcome::Forgot => "the store may have forgotten something",
            PublishOutcome::Refused { .. } => {
                let debt = Debt {
                    publisher: Some(publisher),
                    ..claimed.debt(Some(result))
                };
                self.owe(debt, "the store does not take it");
                return Ended::Owed;
            }
        };
        self.owe(claimed.debt(Some(result)), why);
        Ended::Owed
    }

    /// A plan that this machine dealt with before its claim was lost: no second order.
    async fn already_handled(&self, claimed: &ClaimedPlan, known: Entry) -> ApplyResult {
        self.emit(Event::KnownBefore {
            plan: &claimed.plan,
            to: KnownTo::Journal,
        });
        match (known.result, known.intent) {
            (Some(result), _) => result,
            (None, Some(intent)) => self.settle_intent(&intent, true).await,
            // Another instance has published its end, which the store has forgotten since.
            (None, None) => self.failed(
                ResultContext::of(&claimed.plan),
                Reason::ClaimLost,
                "another instance has ended this plan before; it is not executed again".into(),
            ),
        }
    }

    /// A plan that another machine ordered for before its claim was lost: no second order, and the
    /// result says what became of the first.
    async fn ordered_before(&self, plan: &Plan, trace: &OrderTrace) -> ApplyResult {
        self.emit(Event::KnownBefore {
            plan,
            to: KnownTo::Venue,
        });
        let asked = (OrderKind::Close, trace);
        self.settle_trace(ResultContext::of(plan), asked, None, true)
            .await
    }

    async fn rehearse(
        &self,
        claimed: &ClaimedPlan,
        granted: Result<Box<Granted>, Block>,
    ) -> ApplyResult {
        let plan = &claimed.plan;
        let Granted { grant, waited } = match granted {
            Ok(granted) => *granted,
            Err(block) => return self.blocked(plan, &block).await,
        };
        let left = match self.allowed_step(claimed).await {
            Ok(left) => left,
            Err(no) => return self.no_order(plan, &no),
        };
        let case = ResultContext::of(plan).left_as(left.name());
        let mut details = match grant.limit() {
            Some(quantity) => format!("dry run: granted for at most {quantity}, no order placed"),
            None => "dry run: granted, no order placed".into(),
        };
        if let Some(reduction) = case.reduction() {
            details.push_str(&format!("; {reduction}"));
        }
        let rehearsed = StepResult {
            approved_qty: grant.limit().map(|most| most.normalize().to_string()),
            ..StepResult::without_order(case.step, "dry_run", details)
        };
        ApplyResult {
            would_execute: true,
            steps: vec![rehearsed],
            permit_wait_ms: Some(millis(waited)),
            ..ApplyResult::not_executed(plan, Decision::Execute, None, self.timestamp())
        }
    }

    /// What the venue says of a plan that may have been claimed before; `None` where nothing stands in the
    /// way of executing it.
    async fn done_before(
        &self,
        claimed: &ClaimedPlan,
        events: &PendingEvents<'_>,
    ) -> Option<ApplyResult> {
        let ClaimedPlan { plan, hold, .. } = claimed;
        events.emit(self);
        if hold.generation.clean_at > self.ports.clock().now() {
            // What it says now does not count yet, and later it is too late for an order.
            return Some(self.claim_lost(plan));
        }
        let venue = self.ports.exchange();
        let order = claimed.order();
        match venue.look_for(plan.symbol(), &plan.id, order).await {
            Ok(Some(trace)) => {
                self.emit(Event::KnownBefore {
                    plan,
                    to: KnownTo::Venue,
                });
                claimed.asked.store(true, Ordering::Relaxed);
                let asked = (order, &trace);
                Some(
                    self.settle_trace(ResultContext::of(plan), asked, None, true)
                        .await,
                )
            }
            Ok(None) => {
                claimed.asked.store(true, Ordering::Relaxed);
                None
            }
            Err(error) => Some(self.venue_failed(plan, &error)),
        }
    }

    /// The permits, and all else an order needs.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps what it is given twice, here for as long as a plan waits"
    )]
    fn await_all(
        &self,
        claimed: &ClaimedPlan,
        events: &PendingEvents<'_>,
    ) -> impl Future<Output = Result<(Box<Granted>, Box<Ready<P>>), Abort>> {
        async move {
            if self.ports.clock().now() > self.latest_answer(claimed) {
                return Err(NoOrder::TooLate.into());
            }
            // Everything slow happens while the permits are awaited. Where it turns out first that
            // there is nothing to do, the wait is cancelled; permits taken by a script in flight are discarded.
            let readiness = &Readiness::new(false);
            let mut permits = pin!(self.wait_for_permits(claimed, events, readiness));
            let context = Box::pin(async move {
                let latest = self.latest_answer(claimed);
                let sign_by = latest.checked_add(SIGNING_SLACK).unwrap_or(latest);
                // Acquire the slot before boxing `prepare`, so that queued plans hold no such state.
                let _slot = self.order_limit.acquire().await;
                Box::pin(self.prepare(claimed, sign_by, readiness)).await
            });
            // What `select` answers is large, and gone before anything else is waited for.
            let first = match select(permits.as_mut(), context).await {
                // The wait for the permits is over, and what it waited for is not there.
                Either::Left((Err(block), _)) if matches!(block.reason(), BlockReason::Late) => {
                    self.emit_blocked(&claimed.plan, &block, None);
                    return Err(NoOrder::TooLate.into());
                }
                Either::Left((granted, context)) => First::Permits(granted?, context),
                Either::Right((at_hand, _)) => First::Ready(at_hand?),
            };
            let both = match first {
                First::Permits(granted, context) => {
                    let ready = Box::pin(self.await_context(claimed, context)).await?;
                    (granted, ready)
                }
                First::Ready(at_hand) => (permits.await?, at_hand),
            };
            fault::point("after_take");
            Ok(both)
        }
    }

    /// The order context of a plan whose permits are taken already.
    async fn await_context(
        &self,
        claimed: &ClaimedPlan,
        context: impl Future<Output = Result<Box<Ready<P>>, Abort>> + Unpin,
    ) -> Result<Box<Ready<P>>, Abort> {
        let (plan, latest) = (&claimed.plan, self.latest_answer(claimed));
        let taken = self.ports.clock().now();
        let ready = pin!(async {
            let ready = context.await?;
            // The switch was off when the permits were taken, which may be a while ago.
            let since = self.ports.clock().now().saturating_duration_since(taken);
            let halted = match since > SWITCH_FRESH {
                true => self.halted(plan.symbol()).await,
                false => None,
            };
            Ok((ready, halted))
        });
        let late = pin!(self.ports.clock().sleep_until(latest));
        match select(ready, late).await {
            Either::Left((Ok((ready, None)), _)) => Ok(ready),
            Either::Left((Ok((_, Some(by))), _)) => Err(NoOrder::Halted { by }.into()),
            Either::Left((Err(unready), _)) => Err(unready),
            Either::Right(_) => Err(NoOrder::TooLate.into()),
        }
    }

    /// Places the order where everything is there, and says why not where it is not.
    async fn place(
        &self,
        claimed: &ClaimedPlan,
        awaited: Result<(Box<Granted>, Box<Ready<P>>), Abort>,
        events: &PendingEvents<'_>,
    ) -> ApplyResult {
        let (Granted { grant, waited }, ready) = match awaited {
            Ok((granted, ready)) => (*granted, ready),
            Err(unready) => {
                events.emit(self);
                return self.unready(claimed, unready).await;
            }
        };
        let result = match self.allowed_step(claimed).await {
            Ok(step) => {
                fault::point("before_post");
                match step {
                    Step::Close { share } => {
                        self.close(claimed, grant, *ready, share, events).await
                    }
                    Step::MoveStop { price } => {
                        self.move_stop(claimed, grant, *ready, price, events).await
                    }
                }
            }
            Err(no) => {
                events.emit(self);
                self.no_order(&claimed.plan, &no)
            }
        };
        ApplyResult {
            permit_wait_ms: Some(millis(waited)),
            ..result
        }
    }

    /// The step as the reviewers left it: one that they made less of is carried out as that, and none that they made
    /// something else of.
    async fn allowed_step(&self, claimed: &ClaimedPlan) -> Result<Step, NoOrder> {
        let ClaimedPlan { plan, step, .. } = claimed;
        match self.ports.plans().fetch_final_action(&plan.id).await {
            Ok(None) => Ok(step.clone()),
            Ok(Some(word)) => step.reduced_to(&word),
            Err(error) => Err(NoOrder::FinalActionUnreadable(error.to_string())),
        }
    }

    /// The position, and the intent on disk and in the store: all an order needs but its permits.
    async fn prepare(
        &self,
        claimed: &ClaimedPlan,
        sign_by: Instant,
        readiness: &Readiness,
    ) -> Result<Box<Ready<P>>, Abort> {
        let ClaimedPlan { plan, step, .. } = claimed;
        let venue = self.ports.exchange();
        let prepared = venue.prepare(plan.symbol(), &plan.id, sign_by).await?;
        fault::point("after_prepare");
        let position = match prepared {
            Prepared::Fresh(position) => position,
            Prepared::Ordered(trace) => return Err(Abort::Ordered(trace)),
        };
        if position.amount.is_zero() {
            return Err(NoOrder::NoPosition.into());
        }
        // Before permits are taken for it.
        if let Step::MoveStop { price } = step {
            self.settings.stops.admit(&position, *price)?;
        }
        let intent = Intent {
            plan: plan.id.clone(),
            symbol: plan.symbol().clone(),
            step: step.name().to_owned(),
            order: claimed.order(),
            attempt: claimed.attempt().clone(),
            trace: venue.trace(&position.context).ok_or(NoOrder::NoPosition)?,
            at: self.timestamp(),
        };
        let written = async {
            let written = self.ports.journal().record_intent(&intent).await;
            fault::point("after_journal");
            written
        };
        let noted = async {
            let ours = self.note(&intent).await;
            if ours {
                // The permits can be taken from here on, and need not wait for the disk: the order does.
                readiness.set().await;
            }
            ours
        };
        let (recorded, ours) = join(written, noted).await;
        match recorded.map_err(Abort::Journal)? {
            Recorded::Now if ours => {}
            Recorded::Now => return Err(Abort::ClaimLost),
            Recorded::Before(known) => return Err(Abort::Known(known)),
        }
        fault::point("after_intent");
        Ok(Box::new(Ready {
            position,
            recorded: RecordedIntent::of(intent),
            sign_by,
        }))
    }

    /// Notes an intent beside its claim, for as long as the caller waits for the permits.
    async fn note(&self, intent: &Intent) -> bool {
        let mut reported = false;
        loop {
            match self.ports.plans().note_intent(intent).await {
                Ok(ours) => return ours,
                Err(error) if !reported => {
                    self.port_failed(&intent.symbol, "note the intent", &error);
                    reported = true;
                }
                Err(_) => {}
            }
            let clock = self.ports.clock();
            clock.sleep_until(clock.now() + NOTE_PAUSE).await;
        }
    }

    async fn unready(&self, claimed: &ClaimedPlan, unready: Abort) -> ApplyResult {
        let plan = &claimed.plan;
        match unready {
            Abort::Blocked(block) => self.blocked(plan, &block).await,
            Abort::NoOrder(no) => self.no_order(plan, &no),
            Abort::Venue(error) => self.venue_failed(plan, &error),
            Abort::Journal(error) => self.journal_failed(plan, &error),
            Abort::Known(known) => self.already_handled(claimed, *known).await,
            Abort::Ordered(trace) => self.ordered_before(plan, &trace).await,
            Abort::ClaimLost => self.claim_lost(plan),
        }
    }

    /// When the wait for a plan's permits has its answer at the latest: nothing it needs may come later.
    fn latest_answer(&self, claimed: &ClaimedPlan) -> Instant {
        let (since, wait) = (claimed.hold.since, self.settings.wait);
        let longest = wait.wait.saturating_add(wait.grace);
        since.checked_add(longest).unwrap_or(since)
    }

    /// What halts trading at this moment, if anything does. A switch that cannot be read does.
    async fn halted(&self, symbol: &Symbol) -> Option<String> {
        match self.ports.proposals().fetch_halt(symbol).await {
            Ok(Halt::Off) => None,
            Ok(Halt::On { by }) => Some(by),
            Err(error) => Some(error.to_string()),
        }
    }

    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps what it is given twice, here for as long as a plan waits"
    )]
    fn wait_for_permits(
        &self,
        claimed: &ClaimedPlan,
        events: &PendingEvents<'_>,
        readiness: &Readiness,
    ) -> impl Future<Output = Result<Box<Granted>, Block>> {
        async move {
            let plan = &claimed.plan;
            if let Err(error) = self.ports.plans().show_claimed(plan).await {
                self.port_failed(plan.symbol(), "show the plan to every reviewer", &error);
            }
            fault::point("before_take");
            events.add(PendingEvent::WaitStarted(self.settings.wait.wait));
            // It counts from the publication of the plan, whenever that was heard of.
            let before = {
                let now = self.ports.clock().now();
                now.saturating_duration_since(claimed.hold.since)
            };
            let store =
                WhenReady::new(self.ports.permits(), readiness, self.settings.wait.wait / 2);
            let answer = {
                let ask = Ask {
                    subject: Subject::new(plan.id.clone(), plan.symbol())
                        .of_content(plan.digest(claimed.attempt())),
                    attempt: claimed.attempt().clone(),
                    policy: WaitPolicy {
                        wait: self.settings.wait.wait.saturating_sub(before),
                        ..self.settings.wait
                    },
                };
                wait_and_take(&store, self.ports.clock(), ask, |event| {
                    events.add(PendingEvent::Seen(event));
                })
            };
            match answer.await {
                Ok(grant) => {
                    let waited = before + grant.waited();
                    events.add(PendingEvent::Granted {
                        waited,
                        most: grant.limit(),
                        terms: terms_of(&grant),
                    });
                    Ok(Box::new(Granted { grant, waited }))
                }
                Err(block) => {
                    events.emit(self);
                    Err(block)
                }
            }
        }
    }

    /// The result of a plan that the gate has blocked, with what reviewers say for themselves who wrote no permit.
    async fn blocked(&self, plan: &Plan, block: &Block) -> ApplyResult {
        let said = Box::pin(self.why_missing(plan, block)).await;
        self.emit_blocked(plan, block, said.as_deref());
        self.result_of_block(plan, block, said.as_deref())
    }

    fn emit_blocked(&self, plan: &Plan, block: &Block, said: Option<&str>) {
        let reason = &reason::of_block(block.reason());
        self.emit(Event::Blocked {
            plan,
            block,
            reason,
            said,
        });
    }

    /// What the reviewers say whose permits are missing. A store that does not answer soon holds up no result.
    async fn why_missing(&self, plan: &Plan, block: &Block) -> Option<String> {
        let BlockReason::Missing { permits, .. } = block.reason() else {
            return None;
        };
        let set = self.ports.permits().permits();
        let ask = pin!(async {
            let mut said = Vec::new();
            for permit in set.selected(*permits) {
                let name = permit.name();
                let left = self.ports.plans().fetch_why_missing(&plan.id, name);
                // Nothing is decided by it: one that cannot be read is not there.
                if let Ok(Some(why)) = left.await {
                    said.push(format!("{name}: {}", escaped(&why, MAX_FOREIGN)));
                }
            }
            said.join("; ")
        });
        let clock = self.ports.clock();
        let enough = pin!(clock.sleep_until(clock.now() + WHY_PATIENCE));
        match select(ask, enough).await {
            Either::Left((said, _)) => (!said.is_empty()).then_some(said),
            Either::Right(_) => None,
        }
    }

    async fn close(
        &self,
        claimed: &ClaimedPlan,
        grant: Grant,
        ready: Ready<P>,
        share: Share,
        events: &PendingEvents<'_>,
    ) -> ApplyResult {
        let plan = &claimed.plan;
        let Ready {
            position,
            recorded,
            sign_by,
        } = ready;
        let case = ResultContext::of(plan).left_as(share.step());
        let in_flight = InFlightOrder::on(self, claimed, &grant, sign_by);
        let order = match ApprovedClose::size(grant, plan.symbol(), &position, share)
            .and_then(|order| order.arm(recorded))
        {
            Ok(order) => order,
            Err(no) => return self.failed(case, no.reason(), no.to_string()),
        };
        let sizing = order.sizing().clone();
        let case = ResultContext {
            sizing: Some(&sizing),
            ..case
        };
        let granted_at = self.ports.clock().now();
        events.add(PendingEvent::StepStarted(share.step()));
        let submission = self
            .ports
            .exchange()
            .submit_close(order, position.context, &in_flight)
            .await;
        fault::point("after_post");
        events.emit(self);
        if !sizing.limited_by.is_empty() {
            self.emit(Event::Limited {
                plan,
                sizing: &sizing,
            });
        }
        let now = self.ports.clock().now();
        let took = now.saturating_duration_since(granted_at);
        self.emit(Event::Submitted {
            plan,
            step: share.step(),
            sizing: &sizing,
            submission: &submission,
            took,
        });
        let order_took_us = submission
            .is_answered()
            .then(|| u32::try_from(micros(took)).unwrap_or(u32::MAX));
        let result = match submission {
            Submission::Accepted(fill) => self.filled(case, fill, true).await,
            Submission::Unknown { why, trace } => {
                let asked = (OrderKind::Close, &trace);
                self.settle_trace(case, asked, Some(&why), true).await
            }
            Submission::Rejected { code, message } => {
                self.failed(case, Reason::OrderRejected(code), message)
            }
            Submission::NotSent { why } => {
                let reason = reason::of_not_sent(&why, OrderKind::Close);
                self.failed(case, reason, why.to_string())
            }
        };
        ApplyResult {
            order_took_us,
            ..result
        }
    }

    async fn move_stop(
        &self,
        claimed: &ClaimedPlan,
        grant: Grant,
        ready: Ready<P>,
        price: Decimal,
        events: &PendingEvents<'_>,
    ) -> ApplyResult {
        let ClaimedPlan { plan, step, .. } = claimed;
        let Ready {
            position,
            recorded,
            sign_by,
        } = ready;
        let in_flight = InFlightOrder::on(self, claimed, &grant, sign_by);
        let stop =
            match ApprovedStop::aim(grant, plan.symbol(), &position, price, &self.settings.stops)
                .and_then(|stop| stop.arm(recorded))
            {
                Ok(stop) => stop,
                Err(no) => return self.no_order(plan, &no),
            };
        events.add(PendingEvent::StepStarted(step.name()));
        let replacement = self
            .ports
            .exchange()
            .replace_stop(stop, position.context, &in_flight)
            .await;
        fault::point("after_post");
        events.emit(self);
        self.emit(Event::StopReplaced {
            plan,
            replacement: &replacement,
        });
        self.stop_replaced(ResultContext::of(plan), replacement)
    }
}

/// A position on the ports' venue.
type OrderContext<P> = Position<<<P as Ports>::Exchange as Exchange>::OrderContext>;

/// All permits, and how long they were waited for from the plan's publication on.
struct Granted {
    grant: Grant,
    waited: Duration,
}

/// What is there first.
enum First<P: Ports, C> {
    /// The permits; what the order needs besides is still asked for.
    Permits(Box<Granted>, C),
    /// All but the permits.
    Ready(Box<Ready<P>>),
}

/// What stands ready for the permits.
struct Ready<P: Ports> {
    position: OrderContext<P>,
    recorded: RecordedIntent,
    /// When the order may be signed at the latest: the window that was written down.
    sign_by: Instant,
}

/// Why nothing stands ready, and nothing will be placed.
enum Abort {
    /// There is no grant.
    Blocked(Block),
    /// Something else forbids it.
    NoOrder(NoOrder),
    Venue(ExchangeError),
    Journal(PortError),
    /// The claim is not this attempt's any more.
    ClaimLost,
    /// The journal knows the plan.
    Known(Box<Entry>),
    /// The venue has an order of the plan.
    Ordered(OrderTrace),
}

impl From<Block> for Abort {
    fn from(block: Block) -> Self {
        Self::Blocked(block)
    }
}

impl From<NoOrder> for Abort {
    fn from(no: NoOrder) -> Self {
        Self::NoOrder(no)
    }
}

impl From<ExchangeError> for Abort {
    fn from(error: ExchangeError) -> Self {
        Self::Venue(error)
    }
}

/// How long after the latest answer of the permits an order may still be signed. Enough for a busy
/// machine to get from the grant to the signature; a process that was stopped for longer has to
/// leave it.
pub const SIGNING_SLACK: Duration = Duration::from_secs(1);

/// How long what was read of the store's kill switch, in the step that took the permits, counts: no
/// longer than the question and its answer would themselves take on a busy day.
const SWITCH_FRESH: Duration = Duration::from_millis(10);

/// How much later than its claim, beside the wait for its permits, the first of a plan's figures can be
/// from: the whole second that it is cut to, and a busy machine.
const CLAIM_SLACK: Duration = Duration::from_secs(10);

/// How long reviewers are asked why they wrote no permit.
const WHY_PATIENCE: Duration = Duration::from_millis(200);

/// Between two tries to note an intent.
const NOTE_PAUSE: Duration = Duration::from_millis(100);
