//! A venue in memory, for demonstrations and embedders' tests.

use crate::{
    exchange::{
        Exchange, ExchangeError, Fill, NotSent, OrderTrace, Position, Prepared, Profit,
        QuantityRules, Settlement, Side, StopPlaced, StopReplacement, StopsAfterClose, Submission,
    },
    last_look::{HeldBack, LastLook, Look},
    order::OrderKind,
    plan_id::client_order_id,
    sizing::{ApprovedClose, ApprovedStop, Armed},
    symbol::Symbol,
};
use permit_gate::PlanId;
use rust_decimal::Decimal;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Holds positions and fills every order at once, whole, at the price it was given. Clones share the
/// content. It remembers every order, so it is for processes that end.
#[derive(Debug, Clone, Default)]
pub struct MemoryVenue(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    holdings: HashMap<Symbol, MemoryPosition>,
    orders: Vec<(String, Fill)>,
    stops: HashMap<Symbol, (String, StopPlaced)>,
}

#[derive(Debug, Clone, Copy)]
struct MemoryPosition {
    amount: Decimal,
    step: Decimal,
    price: Decimal,
}

/// What [`MemoryVenue`] lays out for one order.
#[derive(Debug)]
pub struct MemoryOrderContext {
    holding: MemoryPosition,
}

impl QuantityRules for MemoryOrderContext {
    fn cut(&self, wanted: Decimal) -> Result<Decimal, String> {
        let rest = wanted.checked_rem(self.holding.step);
        match rest.map(|rest| (wanted - rest).normalize()) {
            Some(cut) if cut > Decimal::ZERO => Ok(cut),
            _ => Err(format!("less than a step of {}", self.holding.step)),
        }
    }

    fn maximum(&self) -> Option<Decimal> {
        None
    }
}

impl MemoryVenue {
    /// Sets the signed position of a symbol, its step, both in base units, and its price.
    pub fn hold(&self, symbol: &Symbol, amount: Decimal, step: Decimal, price: Decimal) {
        let holding = MemoryPosition {
            amount,
            step,
            price,
        };
        self.lock().holdings.insert(symbol.clone(), holding);
    }

    /// The signed position of a symbol.
    pub fn position(&self, symbol: &Symbol) -> Decimal {
        let inner = self.lock();
        let holding = inner.holdings.get(symbol);
        holding.map_or(Decimal::ZERO, |holding| holding.amount)
    }

    /// Every order that ever arrived, with its client id.
    pub fn orders(&self) -> Vec<(String, Fill)> {
        self.lock().orders.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn order(&self, id: &str) -> Option<&Fill> {
        let mut orders = self.orders.iter();
        orders.find(|(known, _)| known == id).map(|(_, fill)| fill)
    }
}

impl MemoryOrderContext {
    fn trace(&self) -> Option<OrderTrace> {
        Some(OrderTrace {
            side: Side::closing(self.holding.amount)?,
            position_side: "BOTH".into(),
            position_before: Some(self.holding.amount),
            at_most: Some(self.holding.amount.abs()),
            signed_from: 0,
            signed_until: 0,
            receive_window: Duration::ZERO,
        })
    }
}

/// A timestamp that the last look lets pass: nothing waits between it and the order.
async fn stamp(look: &impl LastLook) -> Result<(), HeldBack> {
    loop {
        match look.look(Instant::now()) {
            Look::Go => return Ok(()),
            Look::AskAgain => look.ask_again().await?,
            Look::HeldBack(held) => return Err(held),
        }
    }
}

impl Exchange for MemoryVenue {
    type OrderContext = MemoryOrderContext;

    async fn prepare(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        _: Instant,
    ) -> Result<Prepared<MemoryOrderContext>, ExchangeError> {
        let inner = self.lock();
        let Some(holding) = inner.holdings.get(symbol).copied() else {
            return Err(ExchangeError::NotListed(symbol.clone()));
        };
        let context = MemoryOrderContext { holding };
        match (inner.order(&client_order_id(plan)), context.trace()) {
            (Some(_), Some(trace)) => Ok(Prepared::Ordered(trace)),
            _ => Ok(Prepared::Fresh(Position {
                amount: holding.amount,
                mark_price: Some(holding.price),
                context,
            })),
        }
    }

    fn trace(&self, context: &MemoryOrderContext) -> Option<OrderTrace> {
        context.trace()
    }

    async fn submit_close(
        &self,
        order: Armed<ApprovedClose>,
        _: MemoryOrderContext,
        look: &impl LastLook,
    ) -> Submission {
        if let Err(held) = stamp(look).await {
            return Submission::NotSent { why: held.into() };
        }
        let mut inner = self.lock();
        let (quantity, side) = (order.quantity(), order.side());
        let order_id = (inner.orders.len() + 1).to_string();
        let holding = inner.holdings.get_mut(order.symbol());
        let Some(holding) = holding.filter(|held| Side::closing(held.amount) == Some(side)) else {
            return Submission::Rejected {
                code: -2022,
                message: "ReduceOnly Order is rejected.".into(),
            };
        };
        let executed_qty = quantity.min(holding.amount.abs());
        holding.amount -= match side {
            Side::Sell => executed_qty,
            Side::Buy => -executed_qty,
        };
        let fill = Fill {
            order_id,
            side,
            quantity,
            executed_qty,
            average_price: Some(holding.price),
            status: "FILLED".into(),
        };
        inner.orders.push((order.client_order_id(), fill.clone()));
        Submission::Accepted(fill)
    }

    async fn settle(&self, _: &Symbol, plan: &PlanId, _: &OrderTrace) -> Settlement {
        match self.lock().order(&client_order_id(plan)) {
            Some(fill) => Settlement::Accepted(fill.clone()),
            None => Settlement::NotExecuted {
                why: "no order of this id ever arrived".into(),
            },
        }
    }

    async fn look_for(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        order: OrderKind,
    ) -> Result<Option<OrderTrace>, ExchangeError> {
        let (inner, id) = (self.lock(), client_order_id(plan));
        let placed = match order {
            OrderKind::Close => inner.order(&id).map(|fill| fill.side),
            OrderKind::Stop => {
                let stop = inner.stops.get(symbol).filter(|(known, _)| *known == id);
                stop.map(|(_, placed)| placed.side)
            }
        };
        Ok(placed.map(|side| OrderTrace {
            side,
            position_side: "BOTH".into(),
            position_before: None,
            at_most: None,
            signed_from: 0,
            signed_until: 0,
            receive_window: Duration::ZERO,
        }))
    }

    async fn fetch_profit(&self, _: &Symbol, _: &Fill) -> Result<Option<Profit>, ExchangeError> {
        // It knows no entry price.
        Ok(None)
    }

    async fn account_for_stops(
        &self,
        symbol: &Symbol,
        side: Side,
    ) -> Result<StopsAfterClose, ExchangeError> {
        let mut inner = self.lock();
        let held = inner
            .holdings
            .get(symbol)
            .map_or(Decimal::ZERO, |h| h.amount);
        let open = match Side::closing(held) == Some(side) {
            true => held.abs(),
            false => Decimal::ZERO,
        };
        let mut after = StopsAfterClose {
            open: Some(open),
            ..StopsAfterClose::default()
        };
        let Some((_, stop)) = inner.stops.get(symbol).filter(|(_, s)| s.side == side) else {
            return Ok(after);
        };
        let (id, over) = (stop.order_id.clone(), stop.quantity.unwrap_or(open));
        if open.is_zero() {
            inner.stops.remove(symbol);
            after.cancelled.push(id);
        } else if over > open {
            after.larger_than_position.push((id, over));
        }
        Ok(after)
    }

    async fn replace_stop(
        &self,
        stop: Armed<ApprovedStop>,
        _: MemoryOrderContext,
        look: &impl LastLook,
    ) -> StopReplacement {
        if let Err(held) = stamp(look).await {
            return StopReplacement::NotSent { why: held.into() };
        }
        let mut inner = self.lock();
        let old = inner.stops.remove(stop.symbol());
        let placed = StopPlaced {
            order_id: format!("stop-{}", stop.client_order_id()),
            side: stop.side(),
            trigger: stop.trigger(),
            quantity: Some(stop.quantity()),
            cancelled: old.into_iter().map(|(_, old)| old.order_id).collect(),
            left_over: Vec::new(),
        };
        let kept = (stop.client_order_id(), placed.clone());
        inner.stops.insert(stop.symbol().clone(), kept);
        StopReplacement::Placed(placed)
    }

    async fn settle_stop(&self, symbol: &Symbol, plan: &PlanId, _: &OrderTrace) -> StopReplacement {
        match self.lock().stops.get(symbol) {
            Some((id, placed)) if *id == client_order_id(plan) => {
                StopReplacement::Placed(placed.clone())
            }
            _ => StopReplacement::NotSent {
                why: NotSent::Failed("no stop of this id ever arrived".into()),
            },
        }
    }
}
