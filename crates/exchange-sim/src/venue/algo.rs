//! `/fapi/v1/algoOrder` and its neighbours: STOP_MARKET, TAKE_PROFIT_MARKET, STOP and TAKE_PROFIT.
//!
//! A conditional order triggers when the mark price reaches its trigger price (mark and contract price are one
//! here, so `workingType` changes nothing), and becomes an order: a market order, or with STOP and TAKE_PROFIT a
//! limit order at its own price. With `closePosition` or `reduceOnly` it can only reduce. A `closePosition` order
//! lives as long as its position: when the position is gone it expires. A trigger price off the tick and a `reduceOnly`
//! order without a position are refused only where requests are read strictly: users have seen the test host
//! take them. TRAILING_STOP_MARKET is not modelled.

use super::{
    account::{Account, all_cancelled},
    algos::{Algo, AlgoStatus, Amount, OpenStop, Trigger},
    book::{ActiveVeil, Kind, Order, Side, Status, TimeInForce},
    exchange::Exchange,
    order::{
        check_status, crosses, read_client_id, read_good_till, read_position_side, read_price,
        read_self_trade_prevention, read_side,
    },
    view::{self, fixed},
};
use crate::{
    config::PositionSide,
    error::VenueError,
    fault::{Fill, Rest, Script},
    log::{OrderOutcome, Verdict},
    params::Params,
};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// Conditional orders one account may have open.
const MAX_OPEN: usize = 200;
/// The type that is documented and not modelled.
pub(super) const TRAILING: &str = "TRAILING_STOP_MARKET";

const NEW_ALGO: [&str; 20] = [
    "algoType",
    "symbol",
    "side",
    "positionSide",
    "type",
    "timeInForce",
    "quantity",
    "price",
    "triggerPrice",
    "workingType",
    "priceMatch",
    "closePosition",
    "priceProtect",
    "reduceOnly",
    "activatePrice",
    "callbackRate",
    "clientAlgoId",
    "newOrderRespType",
    "selfTradePreventionMode",
    "goodTillDate",
];

/// Which reply a conditional order is shown in; they differ in what they show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The reply to a new one.
    New,
    /// A query or a list.
    Query,
}

impl Account {
    pub(super) fn new_algo(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
        script: &Script,
    ) -> Result<(String, Verdict), VenueError> {
        let mut algo = self.read_algo(exchange, params, now)?;
        algo.veil = ActiveVeil::over(script.hide_order, now);
        let body = self.algo_json(exchange, &algo, Shown::New)?.to_string();
        let verdict = Verdict {
            outcome: OrderOutcome::Open,
            executed_qty: Decimal::ZERO,
            order_id: Some(algo.id),
        };
        self.algos.put(algo);
        Ok((body, verdict))
    }

    fn read_algo(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<Algo, VenueError> {
        params.allow_only(&NEW_ALGO)?;
        if params.need("algoType")? != "CONDITIONAL" {
            return Err(VenueError::not_valid("algoType"));
        }
        let symbol = params.need("symbol")?.to_owned();
        let market = exchange.market(&symbol)?;
        let spec = &market.spec;
        let side = read_side(params)?;
        let (trigger, kind) = read_type(params)?;
        let position_side = read_position_side(params)?;
        self.check_position_side(position_side)?;
        let client_id = read_client_id(params, "clientAlgoId")?;
        let (time_in_force, price_match, price) = match kind {
            Kind::Limit => {
                let (price_match, price) = read_price(params, market, side)?;
                (read_limit_time_in_force(params)?, price_match, price)
            }
            Kind::Market => {
                refuse_limit_extras(params)?;
                (TimeInForce::Gtc, "NONE", Decimal::ZERO)
            }
        };
        for name in ["activatePrice", "callbackRate"] {
            if params.get(name).is_some() {
                return Err(VenueError::not_required(name));
            }
        }
        let good_till = read_good_till(params, time_in_force, now)?;
        let self_trade_prevention = read_self_trade_prevention(params)?;
        let mark_price_works = match params.get("workingType") {
            None | Some("CONTRACT_PRICE") => false,
            Some("MARK_PRICE") => true,
            Some(word) => return Err(VenueError::working_type(word)),
        };
        let price_protect = params.flag("priceProtect", VenueError::not_valid("priceProtect"))?;
        let trigger_price = params.need_decimal("triggerPrice")?;
        let whole = params.flag("closePosition", VenueError::not_valid("closePosition"))?;
        let amount = if whole {
            read_whole_position(params, trigger, kind)?
        } else {
            let reduce_only = self.read_reduce_only(params)?;
            let quantity = params.need_decimal("quantity")?;
            spec.check_quantity(quantity, kind == Kind::Market)?;
            Amount::Fixed {
                quantity,
                reduce_only,
            }
        };
        check_status(&spec.status)?;
        spec.check_trigger_price(trigger_price, exchange.strict())?;
        if kind == Kind::Limit {
            spec.check_price(price)?;
            let (up, down) = spec.price_band(trigger_price);
            if price > up {
                return Err(VenueError::limit_above_stop_band(up.normalize()));
            }
            if price < down {
                return Err(VenueError::limit_below_stop_band(down.normalize()));
            }
        }
        let taken = client_id.as_deref().and_then(|id| self.algos.named(id));
        if taken.is_some_and(Algo::is_open) {
            return Err(VenueError::duplicate_client_id());
        }
        self.check_amount(exchange, (&symbol, position_side, side), trigger, amount)?;
        if trigger.reached(side, trigger_price, market.mark_price) {
            return Err(VenueError::would_trigger());
        }
        if self.algos.open().count() >= MAX_OPEN {
            return Err(VenueError::too_many_stops());
        }
        self.algos.next += 1;
        let id = self.algos.next;
        Ok(Algo {
            id,
            client_id: client_id.unwrap_or_else(|| format!("sim-algo-{id}")),
            symbol,
            side,
            position_side,
            trigger,
            kind,
            trigger_price,
            price,
            time_in_force,
            good_till,
            self_trade_prevention,
            price_match,
            amount,
            mark_price_works,
            price_protect,
            status: AlgoStatus::New,
            created: now,
            updated: now,
            triggered: 0,
            order: None,
            veil: ActiveVeil::default(),
        })
    }

    /// Whether there is a position that the conditional order may be for.
    fn check_amount(
        &self,
        exchange: &Exchange,
        (symbol, position_side, side): (&str, PositionSide, Side),
        trigger: Trigger,
        amount: Amount,
    ) -> Result<(), VenueError> {
        let reducible = self.positions.get(symbol, position_side).reducible(side);
        match amount {
            Amount::WholePosition if reducible.is_zero() => Err(VenueError::gte_without_position()),
            // Seen on the test host: a second stop with closePosition in the same direction is refused while
            // the first is open; a take-profit beside a stop is not.
            Amount::WholePosition
                if self.algos.open().any(|open| {
                    open.symbol == symbol
                        && open.position_side == position_side
                        && open.side == side
                        && open.trigger == trigger
                        && open.amount == Amount::WholePosition
                }) =>
            {
                Err(VenueError::second_close_position())
            }
            Amount::Fixed {
                reduce_only: true, ..
            } if reducible.is_zero() && exchange.strict() => Err(VenueError::reduce_only()),
            Amount::WholePosition | Amount::Fixed { .. } => Ok(()),
        }
    }

    pub(super) fn query_algo(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "algoId", "clientAlgoId"])?;
        let id = self
            .find_algo(params, ["algoId", "clientAlgoId"])?
            .filter(|algo| !algo.is_forgotten(now))
            .map(|algo| algo.id)
            .ok_or_else(VenueError::no_such_order)?;
        let algo = self
            .algos
            .seen(id, now)
            .ok_or_else(VenueError::no_such_order)?;
        Ok(self.algo_json(exchange, &algo, Shown::Query)?.to_string())
    }

    /// The documentation spells the names of a cancellation in lower case; both spellings are read.
    pub(super) fn cancel_algo(&mut self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "algoId", "clientAlgoId", "algoid", "clientalgoid"])?;
        let lower = params.get("algoid").is_some() || params.get("clientalgoid").is_some();
        let names = if lower {
            ["algoid", "clientalgoid"]
        } else {
            ["algoId", "clientAlgoId"]
        };
        let algo = self
            .find_algo(params, names)?
            .filter(|algo| algo.is_open())
            .cloned()
            .ok_or_else(VenueError::unknown_order)?;
        let body = json!({"algoId": algo.id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"});
        self.cancel(algo, now);
        Ok(body.to_string())
    }

    pub(super) fn cancel_all_algos(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol"])?;
        let symbol = params.need("symbol")?;
        exchange.market(symbol)?;
        let open: Vec<Algo> = self
            .algos
            .open()
            .filter(|algo| algo.symbol == symbol)
            .cloned()
            .collect();
        for algo in open {
            self.cancel(algo, now);
        }
        Ok(all_cancelled())
    }

    fn cancel(&mut self, mut algo: Algo, now: i64) {
        algo.status = AlgoStatus::Canceled;
        algo.updated = now;
        let (symbol, leg) = (algo.symbol.clone(), algo.position_side);
        self.algos.put(algo);
        if self.is_bare(&symbol, leg) {
            self.left_bare += 1;
        }
    }

    /// Whether a leg is held and no open conditional order would reduce it.
    fn is_bare(&self, symbol: &str, leg: PositionSide) -> bool {
        let position = self.positions.get(symbol, leg);
        !position.amount.is_zero()
            && !self.algos.open().any(|algo| {
                algo.symbol == symbol
                    && algo.position_side == leg
                    && !position.reducible(algo.side).is_zero()
            })
    }

    /// The open conditional orders of a symbol, oldest first.
    pub(super) fn open_stops(&self, symbol: &str) -> Vec<OpenStop> {
        let of_symbol = self.algos.open().filter(|algo| algo.symbol == symbol);
        of_symbol
            .map(|algo| OpenStop {
                algo_id: algo.id,
                client_algo_id: algo.client_id.clone(),
                trigger_price: algo.trigger_price,
                quantity: match algo.amount {
                    Amount::WholePosition => None,
                    Amount::Fixed { quantity, .. } => Some(quantity),
                },
            })
            .collect()
    }

    pub(super) fn open_algos(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&["algoType", "symbol", "algoId"])?;
        let symbol = params.get("symbol");
        if let Some(symbol) = symbol {
            exchange.market(symbol)?;
        }
        let id = params.integer("algoId")?;
        let wanted: Vec<u64> = self
            .algos
            .open()
            .filter(|algo| symbol.is_none_or(|symbol| symbol == algo.symbol))
            .map(|algo| algo.id)
            .filter(|known| id.is_none_or(|id| u64::try_from(id) == Ok(*known)))
            .collect();
        self.list_algos(exchange, wanted, now)
    }

    /// Conditional orders of a symbol whatever became of them: from `algoId` on, or those of a week.
    pub(super) fn all_algos(
        &mut self,
        exchange: &Exchange,
        params: &Params,
        now: i64,
    ) -> Result<String, VenueError> {
        params.allow_only(&["symbol", "algoId", "startTime", "endTime", "page", "limit"])?;
        let symbol = params.need("symbol")?;
        exchange.market(symbol)?;
        let listing = params.listing("algoId", now)?;
        let all = self
            .algos
            .all
            .values()
            .filter(|algo| algo.symbol == symbol && !algo.is_forgotten(now));
        let wanted = listing.pick(all.map(|algo| (algo.id, algo.created)));
        self.list_algos(exchange, wanted, now)
    }

    fn list_algos(
        &mut self,
        exchange: &Exchange,
        wanted: Vec<u64>,
        now: i64,
    ) -> Result<String, VenueError> {
        let mut entries = Vec::with_capacity(wanted.len());
        for id in wanted {
            if let Some(algo) = self.algos.seen(id, now) {
                entries.push(self.algo_json(exchange, &algo, Shown::Query)?.to_string());
            }
        }
        Ok(view::list(&entries))
    }

    /// Turns the conditional orders that the mark price has reached into orders, oldest first.
    pub(super) fn trigger_crossed_algos(&mut self, exchange: &Exchange, symbol: &str, now: i64) {
        let Ok(market) = exchange.market(symbol) else {
            return;
        };
        let reached: Vec<u64> = self
            .algos
            .open()
            .filter(|algo| algo.symbol == symbol)
            .filter(|algo| {
                algo.trigger
                    .reached(algo.side, algo.trigger_price, market.mark_price)
            })
            .map(|algo| algo.id)
            .collect();
        for id in reached {
            // An earlier one may have closed the position and expired this one with it.
            let open = self.algos.all.get(&id).cloned();
            if let Some(algo) = open.filter(Algo::is_open) {
                self.trigger(exchange, algo, now);
            }
        }
    }

    fn trigger(&mut self, exchange: &Exchange, mut algo: Algo, now: i64) {
        let Ok(market) = exchange.market(&algo.symbol) else {
            return;
        };
        let position = self.positions.get(&algo.symbol, algo.position_side);
        let reducible = position.reducible(algo.side);
        let (quantity, reduce_only) = match algo.amount {
            Amount::WholePosition => (reducible, true),
            Amount::Fixed {
                quantity,
                reduce_only: true,
            } => (quantity.min(reducible), true),
            Amount::Fixed { quantity, .. } => (quantity, false),
        };
        algo.triggered = now;
        algo.updated = now;
        if quantity.is_zero() {
            algo.status = AlgoStatus::Expired;
            self.algos.put(algo);
            return;
        }
        let place = (algo.symbol.clone(), algo.position_side, algo.side);
        let mut order = Order::market(
            self.book.next_order_id(),
            algo.client_id.clone(),
            place,
            quantity,
            now,
        );
        order.kind = algo.kind;
        order.original_kind = algo.trigger.word(algo.kind);
        order.reduce_only = reduce_only;
        order.close_position = algo.amount == Amount::WholePosition;
        order.price = algo.price;
        order.time_in_force = algo.time_in_force;
        order.good_till = algo.good_till;
        order.self_trade_prevention = algo.self_trade_prevention;
        order.price_match = algo.price_match;
        let price = market.taker_price(algo.side);
        let value = quantity
            * if algo.kind == Kind::Limit {
                algo.price
            } else {
                price
            };
        let leg = (algo.position_side, algo.side);
        if !reduce_only
            && self
                .check_margin(exchange, &algo.symbol, leg, value)
                .is_err()
        {
            algo.status = AlgoStatus::Rejected;
            self.algos.put(algo);
            return;
        }
        algo.status = AlgoStatus::Triggered;
        algo.order = Some(order.id);
        self.algos.put(algo);
        let takes = crosses(&order, market);
        let fill = Fill {
            rest: match order.kind {
                Kind::Market => Rest::Expired,
                Kind::Limit => Rest::Open,
            },
            ..Fill::default()
        };
        match order.time_in_force {
            tif if takes && tif.is_post_only() => order.status = Status::Expired,
            _ if takes => self.execute(exchange, &mut order, &fill, price, false, now),
            TimeInForce::Ioc | TimeInForce::Fok => order.status = Status::Expired,
            _ => {}
        }
        self.book.put(order);
    }

    /// Expires the `closePosition` orders of a leg that is flat.
    pub(super) fn expire_orphaned_algos(&mut self, symbol: &str, side: PositionSide, now: i64) {
        if !self.positions.get(symbol, side).amount.is_zero() {
            return;
        }
        let orphaned: Vec<Algo> = self
            .algos
            .open()
            .filter(|algo| algo.amount == Amount::WholePosition)
            .filter(|algo| algo.symbol == symbol && algo.position_side == side)
            .cloned()
            .collect();
        for mut algo in orphaned {
            algo.status = AlgoStatus::Expired;
            algo.updated = now;
            self.algos.put(algo);
        }
    }

    fn find_algo(&self, params: &Params, names: [&str; 2]) -> Result<Option<&Algo>, VenueError> {
        match (params.integer(names[0])?, params.get(names[1])) {
            (Some(id), _) => Ok(u64::try_from(id)
                .ok()
                .and_then(|id| self.algos.all.get(&id))),
            (None, Some(client_id)) => Ok(self.algos.named(client_id)),
            (None, None) => Err(VenueError::either_mandatory(names[0], names[1])),
        }
    }

    /// What the venue shows of it: `FINISHED` once the order that it became has ended, however it ended.
    fn status_word(&self, algo: &Algo) -> &'static str {
        match algo.status {
            AlgoStatus::New => "NEW",
            AlgoStatus::Canceled => "CANCELED",
            AlgoStatus::Expired => "EXPIRED",
            AlgoStatus::Rejected => "REJECTED",
            AlgoStatus::Triggered => {
                let order = algo.order.and_then(|id| self.book.get(id));
                match order.is_some_and(|order| order.status.is_open()) {
                    true => "TRIGGERED",
                    false => "FINISHED",
                }
            }
        }
    }

    fn algo_json(
        &self,
        exchange: &Exchange,
        algo: &Algo,
        shown: Shown,
    ) -> Result<Value, VenueError> {
        let spec = &exchange.market(&algo.symbol)?.spec;
        let price = |value: Decimal| fixed(value, spec.price_precision);
        let (quantity, reduce_only) = match algo.amount {
            Amount::WholePosition => (Decimal::ZERO, true),
            Amount::Fixed {
                quantity,
                reduce_only,
            } => (quantity, reduce_only),
        };
        let whole = algo.amount == Amount::WholePosition;
        let mut body = json!({
            "algoId": algo.id,
            "clientAlgoId": algo.client_id,
            "algoType": "CONDITIONAL",
            "orderType": algo.trigger.word(algo.kind),
            "symbol": algo.symbol,
            "side": algo.side,
            "positionSide": algo.position_side.as_str(),
            "timeInForce": if whole { "GTE_GTC" } else { algo.time_in_force.word() },
            "quantity": fixed(quantity, spec.quantity_precision),
            "algoStatus": self.status_word(algo),
            "triggerPrice": price(algo.trigger_price),
            "price": price(algo.price),
            "icebergQuantity": null,
            "selfTradePreventionMode": algo.self_trade_prevention,
            "workingType": if algo.mark_price_works { "MARK_PRICE" } else { "CONTRACT_PRICE" },
            "priceMatch": algo.price_match,
            "closePosition": whole,
            "priceProtect": algo.price_protect,
            "reduceOnly": reduce_only,
            "createTime": algo.created,
            "updateTime": algo.updated,
            "triggerTime": algo.triggered,
            "goodTillDate": algo.good_till,
        });
        if shown == Shown::Query
            && let Some(body) = body.as_object_mut()
        {
            let order = algo.order.and_then(|id| self.book.get(id));
            let quantity = order.map_or("0.0".to_owned(), |order| {
                fixed(order.executed, spec.quantity_precision)
            });
            let average = order.map(Order::average_price).unwrap_or_default();
            let id = algo.order.map(|id| id.to_string()).unwrap_or_default();
            body.extend([
                ("actualOrderId".to_owned(), json!(id)),
                ("actualQty".to_owned(), json!(quantity)),
                ("actualPrice".to_owned(), json!(fixed(average, 5))),
                ("isActivated".to_owned(), json!(false)),
                ("tpOrderType".to_owned(), json!("")),
            ]);
        }
        Ok(body)
    }
}

fn read_type(params: &Params) -> Result<(Trigger, Kind), VenueError> {
    match params.need("type")? {
        "STOP_MARKET" => Ok((Trigger::Stop, Kind::Market)),
        "TAKE_PROFIT_MARKET" => Ok((Trigger::TakeProfit, Kind::Market)),
        "STOP" => Ok((Trigger::Stop, Kind::Limit)),
        "TAKE_PROFIT" => Ok((Trigger::TakeProfit, Kind::Limit)),
        _ => Err(VenueError::order_type()),
    }
}

fn read_limit_time_in_force(params: &Params) -> Result<TimeInForce, VenueError> {
    match params.get("timeInForce") {
        None => Ok(TimeInForce::Gtc),
        Some(word) => TimeInForce::parse(word).ok_or_else(VenueError::time_in_force),
    }
}

/// What belongs to limit orders is refused on those that become market orders.
fn refuse_limit_extras(params: &Params) -> Result<(), VenueError> {
    if params.get("priceMatch").is_some_and(|word| word != "NONE") {
        return Err(VenueError::price_match_type());
    }
    if params.get("price").is_some() {
        return Err(VenueError::not_required("price"));
    }
    match params.get("timeInForce") {
        // GTE_GTC is no documented value; the app sends it.
        Some("GTE_GTC") if params.strict() => Err(VenueError::time_in_force()),
        Some("GTE_GTC") | None => Ok(()),
        Some(word) if TimeInForce::parse(word).is_some() => Ok(()),
        Some(_) => Err(VenueError::time_in_force()),
    }
}

fn read_whole_position(
    params: &Params,
    trigger: Trigger,
    kind: Kind,
) -> Result<Amount, VenueError> {
    if kind == Kind::Limit {
        return Err(VenueError::strategy(trigger.word(kind)));
    }
    if params.get("quantity").is_some() {
        return Err(VenueError::quantity_with_close_position());
    }
    if params.get("reduceOnly").is_some() {
        let reduces = params.flag("reduceOnly", VenueError::reduce_only_word())?;
        return Err(if reduces {
            VenueError::not_required("reduceOnly")
        } else {
            VenueError::reduce_only_with_close_position()
        });
    }
    Ok(Amount::WholePosition)
}
