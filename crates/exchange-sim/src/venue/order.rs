//! `/fapi/v1/order` and its neighbours: new orders, their execution, queries, lists, cancellation.
//!
//! Market orders fill at the mark price (or at the bid and ask, where a spread was set), whole and at once, unless a
//! script bends it. LIMIT orders that cross that price fill there; others rest until the mark price reaches them.
//! Orders of several accounts never meet, so self-trade prevention is read, shown and without effect.

use super::{
    account::{Account, all_cancelled},
    book::{ActiveVeil, Kind, MAKER_FEE, Order, Side, Status, TAKER_FEE, TimeInForce, Trade},
    exchange::Exchange,
    market::Market,
    view::{self, Shown},
};
use crate::{
    config::PositionSide,
    error::VenueError,
    fault::{Fill, Rest, Script},
    log::{OrderOutcome, Verdict},
    params::Params,
    symbol::MAX_OPEN,
};
use rust_decimal::Decimal;

/// A scripted fill is cut into this many trades at most.
const MAX_TRADES: u32 = 100;
/// How far ahead the end of a GTD order has to lie, and its latest moment, in milliseconds.
const SOONEST_GOOD_TILL_MS: i64 = 600_000;
const LATEST_GOOD_TILL: i64 = 253_402_300_799_000;

const NEW_ORDER: [&str; 19] = [
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
    "priceMatch",
    "goodTillDate",
];
/// Conditional types, which left this endpoint on 2025-12-09.
const CONDITIONAL: [&str; 5] = [
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
];

impl Account {
    pub(super) fn new_order(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
        script: &Script,
    ) -> Result<(String, Verdict), VenueError> {
        let (mut order, shown) = self.read_order(exchange, params, now)?;
        order.id = self.book.next_order_id();
        if order.client_id.is_empty() {
            order.client_id = format!("sim-{}", order.id);
        }
        order.veil = ActiveVeil::over(script.hide_order, now);
        order.trades_veil = ActiveVeil::over(script.hide_trades, now);
        if let Some(veil) = script.hide_position {
            self.positions.veil(
                &order.symbol,
                order.position_side,
                ActiveVeil::over(Some(veil), now),
            );
        }
        let market = exchange.market(&order.symbol)?;
        if crosses(&order, market) {
            let fill = script.fill.clone().unwrap_or_default();
            let price = market.taker_price(order.side);
            self.execute(exchange, &mut order, &fill, price, false, now);
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
        let body = view::order(&order, &market.spec, shown, exchange.manners);
        self.book.put(order);
        Ok((body, verdict))
    }

    /// Reads an order by every rule and places none. The reply is a 200 that names no order.
    pub(super) fn test_order(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        self.read_order(exchange, params, now)?;
        Ok(view::no_order())
    }

    /// Every rule that an order has to meet before it exists. It has no id yet, and an empty client id where none
    /// was sent.
    fn read_order(
        &self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<(Order, Shown), VenueError> {
        params.allow_only(&NEW_ORDER)?;
        let symbol = params.need("symbol")?.to_owned();
        let market = exchange.market(&symbol)?;
        let spec = &market.spec;
        let side = read_side(params)?;
        let kind = read_kind(params)?;
        let position_side = read_position_side(params)?;
        self.check_position_side(position_side)?;
        let reduce_only = self.read_reduce_only(params)?;
        let client_id = read_client_id(params, "newClientOrderId")?;
        let shown = read_response_type(params)?;
        let self_trade_prevention = read_self_trade_prevention(params)?;
        refuse_conditional_extras(params)?;
        let mut order = Order::market(
            0,
            client_id.unwrap_or_default(),
            (symbol, position_side, side),
            Decimal::ZERO,
            now,
        );
        order.reduce_only = reduce_only;
        order.self_trade_prevention = self_trade_prevention;
        match kind {
            Kind::Market => {
                if params.get("priceMatch").is_some_and(|word| word != "NONE") {
                    return Err(VenueError::price_match_type());
                }
                for name in ["price", "timeInForce", "goodTillDate"] {
                    if params.get(name).is_some() {
                        return Err(VenueError::not_required(name));
                    }
                }
            }
            Kind::Limit => {
                order.kind = Kind::Limit;
                order.original_kind = "LIMIT";
                (order.price_match, order.price) = read_price(params, market, side)?;
                order.time_in_force = read_time_in_force(params)?;
                order.good_till = read_good_till(params, order.time_in_force, now)?;
            }
        }
        order.quantity = params.need_decimal("quantity")?;
        check_status(&spec.status)?;
        spec.check_quantity(order.quantity, kind == Kind::Market)?;
        if kind == Kind::Limit {
            spec.check_price(order.price)?;
            let (up, down) = spec.price_band(market.mark_price);
            match side {
                Side::Buy if order.price > up => {
                    return Err(VenueError::price_above_band(up.normalize()));
                }
                Side::Sell if order.price < down => {
                    return Err(VenueError::price_below_band(down.normalize()));
                }
                Side::Buy | Side::Sell => {}
            }
        }
        if self.book.is_open(&order.client_id) {
            return Err(VenueError::duplicate_client_id());
        }
        self.check_reach(exchange, market, &mut order)?;
        let order_crosses = crosses(&order, market);
        if kind == Kind::Limit {
            match order.time_in_force {
                tif if tif.is_post_only() && order_crosses => return Err(VenueError::post_only()),
                TimeInForce::Fok if !order_crosses => return Err(VenueError::fill_or_kill()),
                TimeInForce::Ioc if !order_crosses => order.status = Status::Expired,
                _ => {}
            }
        }
        let open = self.book.open().filter(|open| open.symbol == order.symbol);
        if open.count() >= MAX_OPEN {
            return Err(VenueError::too_many_open());
        }
        Ok((order, shown))
    }

    /// What an order may do to the position: reduce it, or open something that is covered.
    fn check_reach(
        &self,
        exchange: &Exchange,
        market: &Market,
        order: &mut Order,
    ) -> Result<(), VenueError> {
        let (position_side, side) = (order.position_side, order.side);
        let reducible = self
            .positions
            .get(&order.symbol, position_side)
            .reducible(side);
        let closes_a_leg = closes(position_side, side);
        if order.reduce_only {
            if reducible.is_zero() {
                return Err(VenueError::reduce_only());
            }
            // The venue cuts a reduce-only order down to the position and changes its quantity with it
            // (seen by users of other clients: nautilus_trader issue 3983).
            order.quantity = order.quantity.min(reducible);
        } else if closes_a_leg && order.quantity > reducible {
            // A leg cannot be turned over. The code is our choice: it is not documented which one comes.
            return Err(VenueError::reduce_only());
        }
        if order.kind == Kind::Market && !market.counterparty_is_near(side) {
            return Err(VenueError::no_near_counterparty());
        }
        if order.reduce_only || closes_a_leg {
            return Ok(());
        }
        let price = if order.kind == Kind::Limit {
            order.price
        } else {
            market.taker_price(side)
        };
        let value = order.quantity * price;
        if value < market.spec.min_notional {
            return Err(VenueError::notional(market.spec.min_notional));
        }
        self.check_margin(exchange, &order.symbol, (position_side, side), value)
    }

    /// Fills an order at `price` (or the fill's own), writes its trades, moves the position and the wallet.
    pub(super) fn execute(
        &mut self,
        exchange: &Exchange,
        order: &mut Order,
        fill: &Fill,
        price: Decimal,
        maker: bool,
        now: i64,
    ) {
        let step = match exchange.market(&order.symbol) {
            Ok(market) => market.spec.lot.step,
            Err(_) => return,
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
            let trade = Trade {
                id: self.book.next_trade_id(),
                price,
                quantity,
                commission: (price * quantity * fee).round_dp(8),
                realized,
                maker,
                time: now,
            };
            self.book_trade(&order.symbol, &trade);
            order.trades.push(trade);
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

    /// What a trade does to the wallet.
    fn book_trade(&mut self, symbol: &str, trade: &Trade) {
        self.wallet += trade.realized - trade.commission;
        if !trade.realized.is_zero() {
            self.incomes.add(
                symbol,
                "REALIZED_PNL",
                trade.realized,
                Some(trade.id),
                trade.time,
            );
        }
        self.incomes.add(
            symbol,
            "COMMISSION",
            -trade.commission,
            Some(trade.id),
            trade.time,
        );
    }

    pub(super) fn query_order(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        let id = self.named_order(exchange, params, now)?;
        let order = self
            .book
            .seen(id, now)
            .ok_or_else(VenueError::no_such_order)?;
        shown_order(exchange, &order)
    }

    /// The same for an order that is open; -2013 for one that is not.
    pub(super) fn open_order(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        let id = self.named_order(exchange, params, now)?;
        let order = self
            .book
            .seen(id, now)
            .filter(|order| order.status.is_open())
            .ok_or_else(VenueError::no_such_order)?;
        shown_order(exchange, &order)
    }

    pub(super) fn cancel_order(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        let named = self.named_order(exchange, params, now);
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
        let spec = &exchange.market(&order.symbol)?.spec;
        let body = view::order(&order, spec, Shown::Result, exchange.manners);
        self.book.put(order);
        Ok(body)
    }

    pub(super) fn cancel_all_orders(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let symbol = params.need("symbol")?;
        exchange.market(symbol)?;
        let open: Vec<Order> = self
            .book
            .open()
            .filter(|order| order.symbol == symbol)
            .cloned()
            .collect();
        for mut order in open {
            order.status = Status::Canceled;
            order.updated = now;
            self.book.put(order);
        }
        Ok(all_cancelled())
    }

    pub(super) fn open_orders(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let symbol = params.get("symbol");
        if let Some(symbol) = symbol {
            exchange.market(symbol)?;
        }
        let wanted: Vec<u64> = self
            .book
            .open()
            .filter(|order| symbol.is_none_or(|symbol| symbol == order.symbol))
            .map(|order| order.id)
            .collect();
        self.list(exchange, wanted, now)
    }

    /// Orders of a symbol whatever became of them: from `orderId` on, or those of a week.
    pub(super) fn all_orders(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "orderId", "startTime", "endTime", "limit"])?;
        let symbol = params.need("symbol")?;
        exchange.market(symbol)?;
        let listing = params.listing("orderId", now)?;
        let all = self
            .book
            .all()
            .filter(|order| order.symbol == symbol && !order.is_forgotten(now));
        let wanted = listing.pick(all.map(|order| (order.id, order.created)));
        self.list(exchange, wanted, now)
    }

    fn list(
        &mut self,
        exchange: &Exchange,
        wanted: Vec<u64>,
        now: i64,
    ) -> Result<String, VenueError> {
        let mut entries = Vec::with_capacity(wanted.len());
        for id in wanted {
            if let Some(order) = self.book.seen(id, now) {
                entries.push(shown_order(exchange, &order)?);
            }
        }
        Ok(view::list(&entries))
    }

    /// Fills what is left of an open order at the present mark price. Answers false where there is none.
    pub(super) fn fill_open_order(
        &mut self,
        exchange: &Exchange,
        client_id: &str,
        now: i64,
    ) -> bool {
        let open = self
            .book
            .id_of(client_id)
            .and_then(|id| self.book.get(id))
            .filter(|order| order.status.is_open())
            .cloned();
        let Some(mut order) = open else { return false };
        let Ok(market) = exchange.market(&order.symbol) else {
            return false;
        };
        let price = market.mark_price;
        self.execute(exchange, &mut order, &Fill::default(), price, false, now);
        self.book.put(order);
        true
    }

    /// Fills the resting LIMIT orders that the mark price has reached, at their own price.
    pub(super) fn fill_crossed_orders(&mut self, exchange: &Exchange, symbol: &str, now: i64) {
        let Ok(market) = exchange.market(symbol) else {
            return;
        };
        let crossed: Vec<Order> = self
            .book
            .open()
            .filter(|order| order.symbol == symbol && order.kind == Kind::Limit)
            .filter(|order| crosses(order, market))
            .cloned()
            .collect();
        for mut order in crossed {
            let price = order.price;
            self.execute(exchange, &mut order, &Fill::default(), price, true, now);
            self.book.put(order);
        }
    }

    /// Ends the GTD orders whose time has come.
    pub(super) fn expire_due_orders(&mut self, now: i64) {
        let due: Vec<Order> = self
            .book
            .open()
            .filter(|order| order.good_till != 0 && order.good_till <= now)
            .cloned()
            .collect();
        for mut order in due {
            order.status = Status::Expired;
            order.updated = order.good_till;
            self.book.put(order);
        }
    }

    fn named_order(
        &self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<u64, VenueError> {
        params.allow_only(&["symbol", "orderId", "origClientOrderId"])?;
        let symbol = params.need("symbol")?;
        exchange.market(symbol)?;
        let id = match (params.integer("orderId")?, params.get("origClientOrderId")) {
            (Some(id), _) => u64::try_from(id).ok(),
            (None, Some(client_id)) => self.book.id_of(client_id),
            (None, None) => {
                return Err(VenueError::either_mandatory("origClientOrderId", "orderId"));
            }
        };
        id.and_then(|id| self.book.get(id))
            .filter(|order| order.symbol == symbol && !order.is_forgotten(now))
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

fn shown_order(exchange: &Exchange, order: &Order) -> Result<String, VenueError> {
    let spec = &exchange.market(&order.symbol)?.spec;
    Ok(view::order(order, spec, Shown::Query, exchange.manners))
}

/// Whether an order of this side on this leg of hedge mode can only reduce it.
pub(super) fn closes(position_side: PositionSide, side: Side) -> bool {
    matches!(
        (position_side, side),
        (PositionSide::Long, Side::Sell) | (PositionSide::Short, Side::Buy)
    )
}

/// Orders are taken while a symbol is `TRADING`.
pub(super) fn check_status(status: &str) -> Result<(), VenueError> {
    match status {
        "TRADING" => Ok(()),
        "CLOSE" | "DELIVERED" => Err(VenueError::closed()),
        _ => Err(VenueError::not_trading()),
    }
}

pub(super) fn read_side(params: &Params) -> Result<Side, VenueError> {
    Side::parse(params.need("side")?).ok_or_else(VenueError::side)
}

pub(super) fn read_position_side(params: &Params) -> Result<PositionSide, VenueError> {
    match params.get("positionSide") {
        None | Some("BOTH") => Ok(PositionSide::Both),
        Some("LONG") => Ok(PositionSide::Long),
        Some("SHORT") => Ok(PositionSide::Short),
        Some(_) => Err(VenueError::position_side_word()),
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
    TimeInForce::parse(params.need("timeInForce")?).ok_or_else(VenueError::time_in_force)
}

/// `goodTillDate` of a GTD order, cut to whole seconds. Others do not need it.
pub(super) fn read_good_till(
    params: &Params,
    time_in_force: TimeInForce,
    now: i64,
) -> Result<i64, VenueError> {
    if time_in_force != TimeInForce::Gtd {
        return match params.get("goodTillDate") {
            Some(_) if params.strict() => Err(VenueError::not_required("goodTillDate")),
            _ => Ok(0),
        };
    }
    let good_till = params
        .integer("goodTillDate")?
        .ok_or_else(|| VenueError::mandatory("goodTillDate"))?;
    let soonest = now.saturating_add(SOONEST_GOOD_TILL_MS);
    if good_till <= soonest || good_till >= LATEST_GOOD_TILL {
        return Err(VenueError::good_till_date());
    }
    Ok(good_till - good_till.rem_euclid(1000))
}

/// The price of a LIMIT order, and the word of `priceMatch`: the order's own, or one that the book gives it.
pub(super) fn read_price(
    params: &Params,
    market: &Market,
    side: Side,
) -> Result<(&'static str, Decimal), VenueError> {
    const WORDS: [(&str, bool, u32); 8] = [
        ("OPPONENT", false, 1),
        ("OPPONENT_5", false, 5),
        ("OPPONENT_10", false, 10),
        ("OPPONENT_20", false, 20),
        ("QUEUE", true, 1),
        ("QUEUE_5", true, 5),
        ("QUEUE_10", true, 10),
        ("QUEUE_20", true, 20),
    ];
    let asked = params.get("priceMatch").filter(|word| *word != "NONE");
    let Some(asked) = asked else {
        return Ok(("NONE", params.need_decimal("price")?));
    };
    let (word, queues, depth) = WORDS
        .into_iter()
        .find(|(word, _, _)| *word == asked)
        .ok_or_else(VenueError::price_match_word)?;
    // Documented: it cannot be passed together with a price. The code is our choice.
    if params.get("price").is_some() {
        return Err(VenueError::not_required("price"));
    }
    let book_side = match (side, queues) {
        (Side::Buy, true) | (Side::Sell, false) => Side::Buy,
        (Side::Sell, true) | (Side::Buy, false) => Side::Sell,
    };
    Ok((word, market.level(book_side, depth)))
}

/// EXPIRE_MAKER unless set otherwise.
pub(super) fn read_self_trade_prevention(params: &Params) -> Result<&'static str, VenueError> {
    match params.get("selfTradePreventionMode") {
        None | Some("EXPIRE_MAKER") => Ok("EXPIRE_MAKER"),
        Some("EXPIRE_TAKER") => Ok("EXPIRE_TAKER"),
        Some("EXPIRE_BOTH") => Ok("EXPIRE_BOTH"),
        Some("NONE") => Ok("NONE"),
        Some(_) => Err(VenueError::self_trade_prevention()),
    }
}

fn read_response_type(params: &Params) -> Result<Shown, VenueError> {
    match params.get("newOrderRespType") {
        None | Some("ACK") => Ok(Shown::Ack),
        Some("RESULT") => Ok(Shown::Result),
        Some(_) => Err(VenueError::response_type()),
    }
}

/// What belongs to conditional orders is refused on MARKET and LIMIT orders. The working type and the price
/// protection say nothing here; read strictly they are refused too.
fn refuse_conditional_extras(params: &Params) -> Result<(), VenueError> {
    const EXTRAS: [&str; 3] = ["stopPrice", "activationPrice", "callbackRate"];
    const IDLE: [&str; 3] = ["closePosition", "workingType", "priceProtect"];
    if let Some(name) = EXTRAS.iter().find(|name| params.get(name).is_some()) {
        return Err(VenueError::not_required(name));
    }
    if params.strict() {
        return match IDLE.iter().find(|name| params.get(name).is_some()) {
            Some(name) => Err(VenueError::not_required(name)),
            None => Ok(()),
        };
    }
    if params.flag("closePosition", VenueError::not_valid("closePosition"))? {
        return Err(VenueError::strategy(params.need("type")?));
    }
    Ok(())
}

/// Whether an order executes at the present prices.
pub(super) fn crosses(order: &Order, market: &Market) -> bool {
    let price = market.taker_price(order.side);
    match (order.kind, order.side) {
        (Kind::Market, _) => true,
        (Kind::Limit, Side::Buy) => order.price >= price,
        (Kind::Limit, Side::Sell) => order.price <= price,
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
