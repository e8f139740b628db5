//! A venue that plays a script and remembers everything it was asked.

use super::d;
use apply_core::{
    ApprovedClose, ApprovedStop, Armed, Exchange, Fill, HeldBack, LastLook, Look, OrderKind,
    OrderTrace, Position, Prepared, QuantityRules, Settlement, Side, Submission, Symbol,
    exchange::{ExchangeError, Profit, StopPlaced, StopReplacement, StopsAfterClose},
};
use permit_gate::PlanId;
use rust_decimal::Decimal;
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// One question to the venue, with the instant it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Position(Symbol, PlanId),
    Close {
        plan: PlanId,
        order: String,
        symbol: Symbol,
        side: Side,
        quantity: Decimal,
    },
    WhatBecameOf(PlanId, OrderTrace),
    WhatBecameOfStop(PlanId),
    LookedFor(PlanId),
    Profit(String),
    Stop {
        symbol: Symbol,
        side: Side,
        trigger: Decimal,
        quantity: Decimal,
    },
}

#[derive(Clone)]
pub(crate) struct Venue(Arc<Mutex<Script>>);

pub(crate) struct Script {
    pub(crate) position: Result<Decimal, ExchangeError>,
    /// The mark price it gives with the position.
    pub(crate) mark_price: Option<Decimal>,
    pub(crate) rules: StepRules,
    /// The largest market order.
    pub(crate) maximum: Option<Decimal>,
    /// What became of stops after a close.
    pub(crate) stops_after: Result<StopsAfterClose, ExchangeError>,
    /// How long it thinks about the position.
    pub(crate) thinks: Duration,
    /// How long an order waits for its turn.
    pub(crate) queue: Duration,
    /// `None`: fills every close completely.
    pub(crate) submission: Option<Submission>,
    pub(crate) settlement: Settlement,
    pub(crate) profit: Result<Option<Profit>, ExchangeError>,
    /// `None`: places every stop.
    pub(crate) stop: Option<StopReplacement>,
    /// Whether orders it was sent can be found by their plan.
    pub(crate) shows_orders: bool,
    asked: Vec<(Instant, Asked)>,
}

impl Script {
    fn has_order_of(&self, plan: &PlanId) -> bool {
        let of_plan = |asked: &Asked| matches!(asked, Asked::Close { plan: of, .. } if of == plan);
        self.asked.iter().any(|(_, asked)| of_plan(asked))
    }
}

impl Venue {
    pub(crate) fn holding(position: &str) -> Self {
        Self(Arc::new(Mutex::new(Script {
            position: Ok(d(position)),
            mark_price: Some(d("65000")),
            rules: StepRules::step("0.001"),
            maximum: None,
            stops_after: Ok(StopsAfterClose::default()),
            thinks: Duration::ZERO,
            queue: Duration::ZERO,
            submission: None,
            settlement: Settlement::Unresolved {
                why: "no answer is scripted".into(),
                seen: None,
            },
            profit: Ok(None),
            stop: None,
            shows_orders: true,
            asked: Vec::new(),
        })))
    }

    /// Changes the script.
    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.0.lock().unwrap());
    }

    /// Every close it was sent.
    pub(crate) fn closes(&self) -> Vec<Asked> {
        self.asked_for(|asked| matches!(asked, Asked::Close { .. }))
    }

    /// The quantity of the only close it was sent; `None` where it was sent none.
    pub(crate) fn closed_quantity(&self) -> Option<Decimal> {
        match self.closes().as_slice() {
            [] => None,
            [Asked::Close { quantity, .. }] => Some(*quantity),
            more => panic!("one close at most, not {more:?}"),
        }
    }

    /// When the only close came.
    pub(crate) fn closed_at(&self) -> Instant {
        let script = self.0.lock().unwrap();
        let mut closes = script
            .asked
            .iter()
            .filter(|(_, asked)| matches!(asked, Asked::Close { .. }));
        let (at, _) = closes.next().unwrap();
        assert!(closes.next().is_none(), "one close");
        *at
    }

    pub(crate) fn asked_for(&self, wanted: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        self.asked().into_iter().filter(|a| wanted(a)).collect()
    }

    /// Everything it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let script = self.0.lock().unwrap();
        script.asked.iter().map(|(_, a)| a.clone()).collect()
    }

    /// Waits for its turn, and has its timestamp looked at.
    async fn stamp(&self, look: &impl LastLook) -> Result<(), HeldBack> {
        let queue = self.0.lock().unwrap().queue;
        sleep(queue).await;
        loop {
            match look.look(Instant::now().into_std()) {
                Look::Go => return Ok(()),
                Look::AskAgain => look.ask_again().await?,
                Look::HeldBack(held) => return Err(held),
            }
        }
    }

    fn hear<T>(&self, asked: Asked, answer: impl FnOnce(&Script) -> T) -> T {
        let mut script = self.0.lock().unwrap();
        script.asked.push((Instant::now(), asked));
        answer(&script)
    }
}

impl Exchange for Venue {
    type OrderContext = OrderContext;

    async fn prepare(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        _: std::time::Instant,
    ) -> Result<Prepared<OrderContext>, ExchangeError> {
        let asked = Asked::Position(symbol.clone(), plan.clone());
        let thinks = self.hear(asked, |script| script.thinks);
        sleep(thinks).await;
        let script = self.0.lock().unwrap();
        let amount = script.position.clone()?;
        if script.shows_orders && script.has_order_of(plan) {
            return Ok(Prepared::Ordered(trace()));
        }
        let context = OrderContext {
            plan: plan.clone(),
            held: amount,
            rules: script.rules.clone(),
            maximum: script.maximum,
        };
        Ok(Prepared::Fresh(Position {
            amount,
            mark_price: script.mark_price,
            context,
        }))
    }

    fn trace(&self, context: &OrderContext) -> Option<OrderTrace> {
        let side = Side::closing(context.held)?;
        let position_before = Some(context.held);
        Some(OrderTrace {
            side,
            position_before,
            at_most: None,
            ..trace()
        })
    }

    async fn submit_close(
        &self,
        order: Armed<ApprovedClose>,
        context: OrderContext,
        look: &impl LastLook,
    ) -> Submission {
        assert_eq!(
            context.plan,
            *order.plan(),
            "the context prepared for this plan"
        );
        if let Err(held) = self.stamp(look).await {
            return Submission::NotSent { why: held.into() };
        }
        let asked = Asked::Close {
            plan: order.plan().clone(),
            order: order.client_order_id(),
            symbol: order.symbol().clone(),
            side: order.side(),
            quantity: order.quantity(),
        };
        let all = || Submission::Accepted(filled(&order.quantity().to_string(), order.side()));
        self.hear(asked, |script| {
            script.submission.clone().unwrap_or_else(all)
        })
    }

    async fn settle(&self, _: &Symbol, plan: &PlanId, trace: &OrderTrace) -> Settlement {
        let asked = Asked::WhatBecameOf(plan.clone(), trace.clone());
        self.hear(asked, |script| script.settlement.clone())
    }

    async fn look_for(
        &self,
        _: &Symbol,
        plan: &PlanId,
        _: OrderKind,
    ) -> Result<Option<OrderTrace>, ExchangeError> {
        self.hear(Asked::LookedFor(plan.clone()), |script| {
            script.position.clone()?;
            let has = script.shows_orders && script.has_order_of(plan);
            Ok(has.then(trace))
        })
    }

    async fn fetch_profit(&self, _: &Symbol, fill: &Fill) -> Result<Option<Profit>, ExchangeError> {
        let asked = Asked::Profit(fill.order_id.clone());
        self.hear(asked, |script| script.profit.clone())
    }

    async fn account_for_stops(
        &self,
        _: &Symbol,
        _: Side,
    ) -> Result<StopsAfterClose, ExchangeError> {
        self.0.lock().unwrap().stops_after.clone()
    }

    async fn replace_stop(
        &self,
        stop: Armed<ApprovedStop>,
        context: OrderContext,
        look: &impl LastLook,
    ) -> StopReplacement {
        assert_eq!(
            context.plan,
            *stop.plan(),
            "the context prepared for this plan"
        );
        if let Err(held) = self.stamp(look).await {
            return StopReplacement::NotSent { why: held.into() };
        }
        let asked = Asked::Stop {
            symbol: stop.symbol().clone(),
            side: stop.side(),
            trigger: stop.trigger(),
            quantity: stop.quantity(),
        };
        let placed = || {
            StopReplacement::Placed(StopPlaced {
                order_id: "77".into(),
                side: stop.side(),
                trigger: stop.trigger(),
                quantity: Some(stop.quantity()),
                cancelled: vec!["76".into()],
                left_over: vec!["75".into()],
            })
        };
        self.hear(asked, |script| script.stop.clone().unwrap_or_else(placed))
    }

    async fn settle_stop(&self, _: &Symbol, plan: &PlanId, _: &OrderTrace) -> StopReplacement {
        let unknown = || StopReplacement::Unknown {
            why: "no answer is scripted".into(),
        };
        self.hear(Asked::WhatBecameOfStop(plan.clone()), |script| {
            script.stop.clone().unwrap_or_else(unknown)
        })
    }
}

/// A market order that filled completely.
pub(crate) fn filled(quantity: &str, side: Side) -> Fill {
    Fill {
        order_id: "11934538190".into(),
        side,
        quantity: d(quantity),
        executed_qty: d(quantity),
        average_price: Some(d("64000.50")),
        status: "FILLED".into(),
    }
}

/// What an order of unknown outcome is asked about with.
pub(crate) fn trace() -> OrderTrace {
    OrderTrace {
        side: Side::Sell,
        position_side: "BOTH".into(),
        position_before: Some(d("0.0124")),
        at_most: None,
        signed_from: 1_769_301_008_195,
        signed_until: 1_769_301_008_195,
        receive_window: Duration::from_millis(1500),
    }
}

/// What is laid out for one plan's order.
#[derive(Debug)]
pub(crate) struct OrderContext {
    plan: PlanId,
    held: Decimal,
    rules: StepRules,
    maximum: Option<Decimal>,
}

impl QuantityRules for OrderContext {
    fn cut(&self, wanted: Decimal) -> Result<Decimal, String> {
        (self.rules.0)(wanted)
    }

    fn maximum(&self) -> Option<Decimal> {
        self.maximum
    }
}

/// A venue's rules; `cut` is theirs to get wrong.
#[derive(Clone)]
pub(crate) struct StepRules(Arc<Cut>);

type Cut = dyn Fn(Decimal) -> Result<Decimal, String> + Send + Sync;

impl StepRules {
    /// Cuts down to a multiple of `step`.
    pub(crate) fn step(step: &str) -> Self {
        let step = d(step);
        Self::cutting(move |wanted| {
            let cut = (wanted - wanted % step).normalize();
            match cut.is_zero() {
                true => Err(format!("{wanted} is below the step {step}")),
                false => Ok(cut),
            }
        })
    }

    /// Cuts in a way of its own.
    pub(crate) fn cutting(
        cut: impl Fn(Decimal) -> Result<Decimal, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(cut))
    }
}

impl fmt::Debug for StepRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepRules")
    }
}
