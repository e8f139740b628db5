//! `/fapi/v1/order` and `/fapi/v1/openOrders`: new orders, their execution, queries, cancellation.
//!
//! Market orders fill at the mark price, whole and at once, unless a script bends it. LIMIT orders that cross the
//! mark price fill there; others rest until the mark price reaches them. There is no order book, no margin and
//! no PERCENT_PRICE check.

use rust_decimal::Decimal;

use super::{
    Venue,
    book::{ActiveVeil, Kind, MAX_OPEN, Order, Side, Status, TimeInForce, Trade},
    view::{self, Shown},
};
use crate::{
    config::PositionSide,
    error::VenueError,
    fault::{Fill, Rest, Script},
    log::{OrderOutcome, Verdict},
    params::Params,
};

/// Share of the notional taken as commission, by the side of the book: 0.04 % and 0.02 %.
const TAKER_FEE: Decimal = Decimal::from_parts(4, 0, 0, false, 4);
const MAKER_FEE: Decimal = Decimal::from_parts(2, 0, 0, false, 4);
/// A scripted fill is cut into this many trades at most.
const MAX_TRADES: u32 = 100;

const NEW_ORDER: [&str; 17] = [
    "symbol",
    "side",
    "positionSide",
    "type",
    "timeInForce",
    "quantity",
    "reduceOnly",
    "price",
    "newClientOrderId",
    "stopPrice",
    "closePosition",
    "activationPrice",
    "callbackRate",
    "workingType",
    "priceProtect",
    "newOrderRespType",
    "selfTradePreventionMode",
];
/// Conditional types, which left this endpoint on 2025-12-09.
const CONDITIONAL: [&str; 5] = [
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
];

impl Venue {
    pub(super) fn new_order(
        &mut self,
        params: &Params,
        now: i64,
        script: &Script,
    ) -> Result<(String, Verdict), VenueError> {
        let (mut order, shown) = self.read_order(params, now)?;
        let price = self.market(&order.symbol)?.mark_price;
        order.veil = ActiveVeil::over(script.hide_order, now);
        order.trades_veil = ActiveVeil::over(script.hide_trades, now);
        if let Some(veil) = script.hide_position {
            self.positions.veil(
                &order.symbol,
                order.position_side,
                ActiveVeil::over(Some(veil), now),
            );
        }
        if crosses(&order, price) {
            let fill = script.fill.clone().unwrap_or_default();
            self.execute(&mut order, &fill, price, false, now);
        }
        let verdict = Verdict {
            outcome: match order.status {
                Status::Filled => OrderOutcome::Filled,
                Status::New | Status::PartiallyFilled => OrderOutcome::Open,
                Status::Canceled | Status::Expired => OrderOutcome::Expired,
            },
            executed_qty: order.executed,
            order_id: Some(order.id),
        };
        let body = view::order(
            &order,
            &self.market(&order.symbol)?.spec,
            shown,
            self.terse_results,
        );
        self.book.put(order);
        Ok((body, verdict))
    }

    /// Every rule that an order has to meet before it exists.
    fn read_order(&mut self, params: &Params, now: i64) -> Result<(Order, Shown), VenueError> {
        params.allow_only(&NEW_ORDER)?;
        let symbol = params.need("symbol")?.to_owned();
        let market = self.market(&symbol)?;
        let (spec, mark_price) = (&market.spec, market.mark_price);
        let side = read_side(params)?;
        let kind = read_kind(params)?;
        let position_side = read_position_side(params)?;
        self.check_position_side(position_side)?;
        let reduce_only = self.read_reduce_only(params)?;
        let client_id = read_client_id(params, "newClientOrderId")?;
        let shown = read_response_type(params)?;
        refuse_conditional_extras(params)?;
        let (time_in_force, price) = match kind {
            Kind::Market => {
                for name in ["price", "timeInForce"] {
                    if params.get(name).is_some() {
                        return Err(VenueError::not_required(name));
                    }
                }
                (TimeInForce::Gtc, Decimal::ZERO)
            }
            Kind::Limit => {
                let price = params.need_decimal("price")?;
                (read_time_in_force(params)?, price)
            }
        };
        let mut quantity = params.need_decimal("quantity")?;
        if spec.status != "TRADING" {
            return Err(VenueError::not_trading());
        }
        spec.check_quantity(quantity, kind == Kind::Market)?;
        if kind == Kind::Limit {
            spec.check_price(price)?;
        }
        if client_id.as_deref().is_some_and(|id| self.book.is_open(id)) {
            return Err(VenueError::duplicate_client_id());
        }
        let reducible = self.positions.get(&symbol, position_side).reducible(side);
        let closes_a_leg = closes(position_side, side);
        if reduce_only {
            if reducible.is_zero() {
                return Err(VenueError::reduce_only());
            }
            // The venue cuts a reduce-only order down to the position and changes its quantity with it
            // (seen by users of other clients: nautilus_trader issue 3983).
            quantity = quantity.min(reducible);
        } else if closes_a_leg && quantity > reducible {
            // A leg cannot be turned over. The code is our choice: it is not documented which one comes.
            return Err(VenueError::reduce_only());
        }
        let value = quantity
            * if kind == Kind::Limit {
                price
            } else {
                mark_price
            };
        if !reduce_only && !closes_a_leg && value < spec.min_notional {
            return Err(VenueError::notional(spec.min_notional));
        }
        if kind == Kind::Limit {
            let order_crosses = crosses_at(side, price, mark_price);
            match time_in_force {
                TimeInForce::Gtx if order_crosses => return Err(VenueError::post_only()),
                TimeInForce::Fok if !order_crosses => return Err(VenueError::fill_or_kill()),
                _ => {}
            }
        }
        if self
            .book
            .open()
            .filter(|open| open.symbol == symbol)
            .count()
            >= MAX_OPEN
        {
            return Err(VenueError::too_many_open());
        }
        let id = self.book.next_order_id();
        let order = Order {
            id,
            client_id: client_id.unwrap_or_else(|| format!("sim-{id}")),
            symbol,
            side,
            position_side,
            kind,
            original_kind: match kind {
                Kind::Market => "MARKET",
                Kind::Limit => "LIMIT",
            },
            time_in_force,
            price,
            quantity,
            executed: Decimal::ZERO,
            quote: Decimal::ZERO,
            reduce_only,
            close_position: false,
            status: match time_in_force {
                TimeInForce::Ioc if !crosses_at(side, price, mark_price) => Status::Expired,
                _ => Status::New,
            },
            created: now,
            updated: now,
            trades: Vec::new(),
            veil: ActiveVeil::default(),
            trades_veil: ActiveVeil::default(),
        };
        Ok((order, shown))
    }

    /// Fills an order at `price` (or the fill's own), writes its trades and moves the position.
    pub(super) fn execute(
        &mut self,
        order: &mut Order,
        fill: &Fill,
        price: Decimal,
        maker: bool,
        now: i64,
    ) {
        let step = match self.markets.get(&order.symbol) {
            Some(market) => market.spec.lot.step,
            None => return,
        };
        let price = fill.price.unwrap_or(price);
        let mut wanted = order.remaining();
        if order.reduce_only {
            let position = self.positions.get(&order.symbol, order.position_side);
            wanted = wanted.min(position.reducible(order.side));
        }
        let total = fill.quantity.unwrap_or(wanted).min(wanted);
        for quantity in portions(total, step, fill.trades) {
            let realized = self.positions.apply(
                &order.symbol,
                order.position_side,
                order.side.signed(quantity),
                price,
                now,
            );
            let fee = if maker { MAKER_FEE } else { TAKER_FEE };
            order.trades.push(Trade {
                id: self.book.next_trade_id(),
                price,
                quantity,
                commission: (price * quantity * fee).round_dp(8),
                realized,
                maker,
                time: now,
            });
            order.executed += quantity;
            order.quote += price * quantity;
        }
        order.updated = now;
        order.status = match (order.remaining().is_zero(), fill.rest) {
            (true, _) => Status::Filled,
            (false, Rest::Expired) => Status::Expired,
            (false, Rest::Open) if order.executed.is_zero() => Status::New,
            (false, Rest::Open) => Status::PartiallyFilled,
        };
        self.expire_orphaned_algos(&order.symbol, order.position_side, now);
    }

    pub(super) fn query_order(&mut self, params: &Params, now: i64) -> Result<String, VenueError> {
        let id = self.named_order(params)?;
        let terse = self.terse_results;
        let order = self
            .book
            .seen(id, now)
            .ok_or_else(VenueError::no_such_order)?;
        let spec = &self.market(&order.symbol)?.spec;
        Ok(view::order(&order, spec, Shown::Query, terse))
    }

    pub(super) fn cancel_order(&mut self, params: &Params, now: i64) -> Result<String, VenueError> {
        let named = self.named_order(params);
        let known = named.and_then(|id| {
            self.book
                .get(id)
                .filter(|order| order.status.is_open())
                .cloned()
                .ok_or_else(VenueError::no_such_order)
        });
        let mut order = match known {
            Ok(order) => order,
            // A query that finds nothing says -2013, a cancellation says -2011.
            Err(refusal) if refusal.code == -2013 => return Err(VenueError::unknown_order()),
            Err(refusal) => return Err(refusal),
        };
        order.status = Status::Canceled;
        order.updated = now;
        let body = view::order(
            &order,
            &self.market(&order.symbol)?.spec,
            Shown::Result,
            self.terse_results,
        );
        self.book.put(order);
        Ok(body)
    }

    pub(super) fn open_orders(&mut self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let symbol = params.get("symbol");
        if let Some(symbol) = symbol {
            self.market(symbol)?;
        }
        let wanted: Vec<u64> = self
            .book
            .open()
            .filter(|order| symbol.is_none_or(|symbol| symbol == order.symbol))
            .map(|order| order.id)
            .collect();
        let mut entries = Vec::new();
        for id in wanted {
            let Some(order) = self.book.seen(id, now) else {
                continue;
            };
            let spec = &self.market(&order.symbol)?.spec;
            entries.push(view::order(&order, spec, Shown::Query, self.terse_results));
        }
        Ok(view::list(&entries))
    }

    /// Fills what is left of an open order at the present mark price. Answers false where there is none.
    pub(crate) fn fill_open_order(&mut self, client_id: &str) -> bool {
        let now = self.server_time();
        let open = self
            .book
            .id_of(client_id)
            .and_then(|id| self.book.get(id))
            .filter(|order| order.status.is_open())
            .cloned();
        let Some(mut order) = open else { return false };
        let Some(price) = self.mark_price(&order.symbol) else {
            return false;
        };
        self.execute(&mut order, &Fill::default(), price, false, now);
        self.book.put(order);
        true
    }

    /// Fills the resting LIMIT orders that the mark price has reached, at their own price.
    pub(super) fn fill_crossed_orders(&mut self, symbol: &str, now: i64) {
        let Some(mark_price) = self.mark_price(symbol) else {
            return;
        };
        let crossed: Vec<Order> = self
            .book
            .open()
            .filter(|order| order.symbol == symbol && order.kind == Kind::Limit)
            .filter(|order| crosses(order, mark_price))
            .cloned()
            .collect();
        for mut order in crossed {
            let price = order.price;
            self.execute(&mut order, &Fill::default(), price, true, now);
            self.book.put(order);
        }
    }

    fn named_order(&self, params: &Params) -> Result<u64, VenueError> {
        params.allow_only(&["symbol", "orderId", "origClientOrderId"])?;
        let symbol = params.need("symbol")?;
        self.market(symbol)?;
        let id = match (params.integer("orderId")?, params.get("origClientOrderId")) {
            (Some(id), _) => u64::try_from(id).ok(),
            (None, Some(client_id)) => self.book.id_of(client_id),
            (None, None) => {
                return Err(VenueError::either_mandatory("origClientOrderId", "orderId"));
            }
        };
        id.and_then(|id| self.book.get(id))
            .filter(|order| order.symbol == symbol)
            .map(|order| order.id)
            .ok_or_else(VenueError::no_such_order)
    }

    /// `reduceOnly` is a word of one-way mode; in hedge mode it may not be sent at all.
    pub(super) fn read_reduce_only(&self, params: &Params) -> Result<bool, VenueError> {
        if self.hedge_mode && params.get("reduceOnly").is_some() {
            return Err(VenueError::not_required("reduceOnly"));
        }
        params.flag("reduceOnly", VenueError::reduce_only_word())
    }
}

/// Whether an order of this side on this leg of hedge mode can only reduce it.
pub(super) fn closes(position_side: PositionSide, side: Side) -> bool {
    matches!(
        (position_side, side),
        (PositionSide::Long, Side::Sell) | (PositionSide::Short, Side::Buy)
    )
}

pub(super) fn read_side(params: &Params) -> Result<Side, VenueError> {
    Side::parse(params.need("side")?).ok_or_else(VenueError::side)
}

pub(super) fn read_position_side(params: &Params) -> Result<PositionSide, VenueError> {
    match params.get("positionSide") {
        None | Some("BOTH") => Ok(PositionSide::Both),
        Some("LONG") => Ok(PositionSide::Long),
        Some("SHORT") => Ok(PositionSide::Short),
        Some(_) => Err(VenueError::not_valid("positionSide")),
    }
}

/// `^[\.A-Z\:/a-z0-9_-]{1,36}$`
pub(super) fn read_client_id(params: &Params, name: &str) -> Result<Option<String>, VenueError> {
    let Some(id) = params.get(name) else {
        return Ok(None);
    };
    if id.len() > 36 {
        return Err(VenueError::client_id_length());
    }
    let fits = id
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".:/_-".contains(&b));
    if fits {
        Ok(Some(id.to_owned()))
    } else {
        Err(VenueError::client_id())
    }
}

fn read_kind(params: &Params) -> Result<Kind, VenueError> {
    match params.need("type")? {
        "MARKET" => Ok(Kind::Market),
        "LIMIT" => Ok(Kind::Limit),
        word if CONDITIONAL.contains(&word) => Err(VenueError::use_algo_endpoint()),
        _ => Err(VenueError::order_type()),
    }
}

fn read_time_in_force(params: &Params) -> Result<TimeInForce, VenueError> {
    match params.need("timeInForce")? {
        "GTC" => Ok(TimeInForce::Gtc),
        "IOC" => Ok(TimeInForce::Ioc),
        "FOK" => Ok(TimeInForce::Fok),
        "GTX" => Ok(TimeInForce::Gtx),
        _ => Err(VenueError::time_in_force()),
    }
}

fn read_response_type(params: &Params) -> Result<Shown, VenueError> {
    match params.get("newOrderRespType") {
        None | Some("ACK") => Ok(Shown::Ack),
        Some("RESULT") => Ok(Shown::Result),
        Some(_) => Err(VenueError::not_valid("newOrderRespType")),
    }
}

/// What belongs to conditional orders says nothing on MARKET and LIMIT orders, and is refused there.
fn refuse_conditional_extras(params: &Params) -> Result<(), VenueError> {
    const EXTRAS: [&str; 6] = [
        "stopPrice",
        "closePosition",
        "activationPrice",
        "callbackRate",
        "workingType",
        "priceProtect",
    ];
    match EXTRAS.iter().find(|name| params.get(name).is_some()) {
        Some(name) => Err(VenueError::not_required(name)),
        None => Ok(()),
    }
}

/// Whether an order executes at this mark price.
fn crosses(order: &Order, mark_price: Decimal) -> bool {
    match order.kind {
        Kind::Market => true,
        Kind::Limit => crosses_at(order.side, order.price, mark_price),
    }
}

fn crosses_at(side: Side, price: Decimal, mark_price: Decimal) -> bool {
    match side {
        Side::Buy => price >= mark_price,
        Side::Sell => price <= mark_price,
    }
}

/// Cuts `total` into `count` parts, each a multiple of the step but for what the last one takes over.
fn portions(total: Decimal, step: Decimal, count: u32) -> Vec<Decimal> {
    if total <= Decimal::ZERO {
        return Vec::new();
    }
    let count = Decimal::from(count.clamp(1, MAX_TRADES));
    let even = total / count;
    let part = if step.is_zero() {
        even
    } else {
        ((even / step).floor() * step).max(step)
    };
    let mut left = total;
    let mut parts = Vec::new();
    let mut open = count;
    while left > part && open > Decimal::ONE {
        parts.push(part);
        left -= part;
        open -= Decimal::ONE;
    }
    parts.push(left);
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_fill_in_portions_adds_up_and_keeps_the_step() {
        let step = dec("0.0001");
        assert_eq!(
            portions(dec("0.0010"), step, 3),
            vec![dec("0.0003"), dec("0.0003"), dec("0.0004")]
        );
        assert_eq!(portions(dec("0.0002"), step, 50).len(), 2);
        assert_eq!(portions(dec("0.5"), step, 1), vec![dec("0.5")]);
        assert!(portions(Decimal::ZERO, step, 3).is_empty());
    }
}
