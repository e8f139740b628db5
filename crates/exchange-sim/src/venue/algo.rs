//! `/fapi/v1/algoOrder` and `/fapi/v1/openAlgoOrders`: STOP_MARKET and TAKE_PROFIT_MARKET.
//!
//! A conditional order triggers when the mark price reaches its trigger price (mark and contract price are one
//! here, so `workingType` changes nothing), and becomes a market order at the mark price that can only reduce,
//! or, with neither `closePosition` nor `reduceOnly`, one of its own quantity. A `closePosition` order lives as long
//! as its position: when the position is gone it expires. STOP, TAKE_PROFIT and TRAILING_STOP_MARKET
//! are refused as -1116. Two choices of ours are stricter than what users have seen of the test host: an
//! off-tick trigger price is refused, and so is a `reduceOnly` order without a position.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rust_decimal::Decimal;
use serde_json::json;

use super::{
    Venue,
    book::{ActiveVeil, Kind, Order, Side, Status, TimeInForce},
    order::{read_client_id, read_position_side, read_side},
    view::{self, fixed},
};
use crate::{
    config::PositionSide,
    error::VenueError,
    fault::{Fill, Script},
    log::{OrderOutcome, Verdict},
    params::Params,
};

/// Conditional orders one account may have open.
const MAX_OPEN: usize = 200;

const NEW_ALGO: [&str; 19] = [
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
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Stop,
    TakeProfit,
}

impl Trigger {
    fn word(self) -> &'static str {
        match self {
            Self::Stop => "STOP_MARKET",
            Self::TakeProfit => "TAKE_PROFIT_MARKET",
        }
    }

    /// Whether `price` is at or past the trigger price.
    fn reached(self, side: Side, trigger_price: Decimal, price: Decimal) -> bool {
        match (self, side) {
            (Self::Stop, Side::Sell) | (Self::TakeProfit, Side::Buy) => price <= trigger_price,
            (Self::Stop, Side::Buy) | (Self::TakeProfit, Side::Sell) => price >= trigger_price,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AlgoStatus {
    New,
    Canceled,
    Finished,
    Expired,
}

impl AlgoStatus {
    fn word(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// How much a conditional order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    WholePosition,
    Fixed {
        quantity: Decimal,
        reduce_only: bool,
    },
}

/// A conditional order that is waiting for its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStop {
    /// The venue's id.
    pub algo_id: u64,
    /// `clientAlgoId`.
    pub client_algo_id: String,
    /// In USDT.
    pub trigger_price: Decimal,
    /// In the base asset; `None` for `closePosition=true`.
    pub quantity: Option<Decimal>,
}

#[derive(Debug, Clone)]
pub(super) struct Algo {
    id: u64,
    client_id: String,
    symbol: String,
    side: Side,
    position_side: PositionSide,
    trigger: Trigger,
    trigger_price: Decimal,
    amount: Amount,
    mark_price_works: bool,
    price_protect: bool,
    status: AlgoStatus,
    created: i64,
    updated: i64,
    triggered: i64,
    order: Option<(u64, Decimal)>,
    veil: ActiveVeil,
}

/// The newest conditional orders. An open one is never dropped.
#[derive(Debug)]
pub(super) struct Algos {
    capacity: usize,
    next: u64,
    all: BTreeMap<u64, Algo>,
    open: BTreeSet<u64>,
    by_client: HashMap<String, u64>,
}

impl Algos {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            next: 1_000_000_202_490_584,
            all: BTreeMap::new(),
            open: BTreeSet::new(),
            by_client: HashMap::new(),
        }
    }

    fn open(&self) -> impl Iterator<Item = &Algo> {
        self.open.iter().filter_map(|id| self.all.get(id))
    }

    fn named(&self, client_id: &str) -> Option<&Algo> {
        self.by_client
            .get(client_id)
            .and_then(|id| self.all.get(id))
    }

    /// A conditional order as a query sees it: not at all while a veil is over it.
    fn seen(&mut self, id: u64, now: i64) -> Option<Algo> {
        let algo = self.all.get_mut(&id)?;
        (!algo.veil.hides(now)).then(|| algo.clone())
    }

    fn put(&mut self, algo: Algo) {
        if algo.status == AlgoStatus::New {
            self.open.insert(algo.id);
        } else {
            self.open.remove(&algo.id);
        }
        self.by_client.insert(algo.client_id.clone(), algo.id);
        self.all.insert(algo.id, algo);
        while self.all.len() > self.capacity {
            let oldest = self.all.keys().find(|id| !self.open.contains(id)).copied();
            let Some(oldest) = oldest else { break };
            if let Some(gone) = self.all.remove(&oldest)
                && self.by_client.get(&gone.client_id) == Some(&oldest)
            {
                self.by_client.remove(&gone.client_id);
            }
        }
    }
}

impl Venue {
    pub(super) fn new_algo(
        &mut self,
        params: &Params,
        now: i64,
        script: &Script,
    ) -> Result<(String, Verdict), VenueError> {
        let mut algo = self.read_algo(params, now)?;
        algo.veil = ActiveVeil::over(script.hide_order, now);
        let body = self.algo_json(&algo)?.to_string();
        let verdict = Verdict {
            outcome: OrderOutcome::Open,
            executed_qty: Decimal::ZERO,
            order_id: Some(algo.id),
        };
        self.algos.put(algo);
        Ok((body, verdict))
    }

    fn read_algo(&mut self, params: &Params, now: i64) -> Result<Algo, VenueError> {
        params.allow_only(&NEW_ALGO)?;
        if params.need("algoType")? != "CONDITIONAL" {
            return Err(VenueError::not_valid("algoType"));
        }
        let symbol = params.need("symbol")?.to_owned();
        let market = self.market(&symbol)?;
        let (spec, mark_price) = (&market.spec, market.mark_price);
        let side = read_side(params)?;
        let trigger = match params.need("type")? {
            "STOP_MARKET" => Trigger::Stop,
            "TAKE_PROFIT_MARKET" => Trigger::TakeProfit,
            _ => return Err(VenueError::order_type()),
        };
        let position_side = read_position_side(params)?;
        self.check_position_side(position_side)?;
        let client_id = read_client_id(params, "clientAlgoId")?;
        for name in ["price", "priceMatch", "activatePrice", "callbackRate"] {
            if params.get(name).is_some() {
                return Err(VenueError::not_required(name));
            }
        }
        if !matches!(params.get("timeInForce"), None | Some("GTC" | "GTE_GTC")) {
            return Err(VenueError::time_in_force());
        }
        let mark_price_works = match params.get("workingType") {
            None | Some("CONTRACT_PRICE") => false,
            Some("MARK_PRICE") => true,
            Some(_) => return Err(VenueError::not_valid("workingType")),
        };
        let price_protect = params.flag("priceProtect", VenueError::not_valid("priceProtect"))?;
        let trigger_price = params.need_decimal("triggerPrice")?;
        let whole = params.flag("closePosition", VenueError::not_valid("closePosition"))?;
        let amount = if whole {
            if params.get("quantity").is_some() {
                return Err(VenueError::quantity_with_close_position());
            }
            if params.get("reduceOnly").is_some() {
                return Err(VenueError::not_required("reduceOnly"));
            }
            Amount::WholePosition
        } else {
            let reduce_only = self.read_reduce_only(params)?;
            let quantity = params.need_decimal("quantity")?;
            spec.check_quantity(quantity, true)?;
            Amount::Fixed {
                quantity,
                reduce_only,
            }
        };
        if spec.status != "TRADING" {
            return Err(VenueError::not_trading());
        }
        spec.check_price(trigger_price)?;
        let taken = client_id.as_deref().and_then(|id| self.algos.named(id));
        if taken.is_some_and(|algo| algo.status == AlgoStatus::New) {
            return Err(VenueError::duplicate_client_id());
        }
        let reducible = self.positions.get(&symbol, position_side).reducible(side);
        match amount {
            Amount::WholePosition if reducible.is_zero() => {
                return Err(VenueError::gte_without_position());
            }
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
                return Err(VenueError::second_close_position());
            }
            Amount::Fixed {
                reduce_only: true, ..
            } if reducible.is_zero() => return Err(VenueError::reduce_only()),
            Amount::WholePosition | Amount::Fixed { .. } => {}
        }
        if trigger.reached(side, trigger_price, mark_price) {
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
            trigger_price,
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

    pub(super) fn query_algo(&mut self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["algoId", "clientAlgoId"])?;
        let id = self
            .find_algo(params, ["algoId", "clientAlgoId"])?
            .map(|algo| algo.id)
            .ok_or_else(VenueError::no_such_order)?;
        let algo = self
            .algos
            .seen(id, now)
            .ok_or_else(VenueError::no_such_order)?;
        Ok(self.algo_json(&algo)?.to_string())
    }

    /// The documentation spells the names of a cancellation in lower case; both spellings are read.
    pub(super) fn cancel_algo(&mut self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["algoId", "clientAlgoId", "algoid", "clientalgoid"])?;
        let lower = params.get("algoid").is_some() || params.get("clientalgoid").is_some();
        let names = if lower {
            ["algoid", "clientalgoid"]
        } else {
            ["algoId", "clientAlgoId"]
        };
        let mut algo = self
            .find_algo(params, names)?
            .filter(|algo| algo.status == AlgoStatus::New)
            .cloned()
            .ok_or_else(VenueError::unknown_order)?;
        algo.status = AlgoStatus::Canceled;
        algo.updated = now;
        let (symbol, leg) = (algo.symbol.clone(), algo.position_side);
        let body = json!({"algoId": algo.id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"});
        self.algos.put(algo);
        if self.is_bare(&symbol, leg) {
            self.left_bare += 1;
        }
        Ok(body.to_string())
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

    /// How often a cancellation left a held position without any conditional order that would reduce it.
    pub(crate) fn times_left_bare(&self) -> u64 {
        self.left_bare
    }

    /// The open conditional orders of a symbol, oldest first.
    pub(crate) fn open_stops(&self, symbol: &str) -> Vec<OpenStop> {
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

    pub(super) fn open_algos(&mut self, params: &Params, now: i64) -> Result<String, VenueError> {
        params.allow_only(&["algoType", "symbol", "algoId"])?;
        let symbol = params.get("symbol");
        if let Some(symbol) = symbol {
            self.market(symbol)?;
        }
        let id = params.integer("algoId")?;
        let wanted: Vec<u64> = self
            .algos
            .open()
            .filter(|algo| symbol.is_none_or(|symbol| symbol == algo.symbol))
            .map(|algo| algo.id)
            .filter(|known| id.is_none_or(|id| u64::try_from(id) == Ok(*known)))
            .collect();
        let mut entries = Vec::new();
        for id in wanted {
            if let Some(algo) = self.algos.seen(id, now) {
                entries.push(self.algo_json(&algo)?.to_string());
            }
        }
        Ok(view::list(&entries))
    }

    /// Turns the conditional orders that the mark price has reached into market orders, oldest first.
    pub(super) fn trigger_crossed_algos(&mut self, symbol: &str, now: i64) {
        let Some(mark_price) = self.mark_price(symbol) else {
            return;
        };
        let reached: Vec<u64> = self
            .algos
            .open()
            .filter(|algo| algo.symbol == symbol)
            .filter(|algo| {
                algo.trigger
                    .reached(algo.side, algo.trigger_price, mark_price)
            })
            .map(|algo| algo.id)
            .collect();
        for id in reached {
            // An earlier one may have closed the position and expired this one with it.
            let open = self.algos.all.get(&id).cloned();
            if let Some(algo) = open.filter(|algo| algo.status == AlgoStatus::New) {
                self.trigger(algo, mark_price, now);
            }
        }
    }

    fn trigger(&mut self, mut algo: Algo, mark_price: Decimal, now: i64) {
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
        let mut order = Order {
            id: self.book.next_order_id(),
            client_id: algo.client_id.clone(),
            symbol: algo.symbol.clone(),
            side: algo.side,
            position_side: algo.position_side,
            kind: Kind::Market,
            original_kind: algo.trigger.word(),
            time_in_force: TimeInForce::Gtc,
            price: Decimal::ZERO,
            quantity,
            executed: Decimal::ZERO,
            quote: Decimal::ZERO,
            reduce_only,
            close_position: algo.amount == Amount::WholePosition,
            status: Status::New,
            created: now,
            updated: now,
            trades: Vec::new(),
            veil: ActiveVeil::default(),
            trades_veil: ActiveVeil::default(),
        };
        algo.status = AlgoStatus::Finished;
        algo.order = Some((order.id, mark_price));
        self.algos.put(algo);
        self.execute(&mut order, &Fill::default(), mark_price, false, now);
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

    fn algo_json(&self, algo: &Algo) -> Result<serde_json::Value, VenueError> {
        let spec = &self.market(&algo.symbol)?.spec;
        let price = |value: Decimal| fixed(value, spec.price_precision);
        let (quantity, reduce_only) = match algo.amount {
            Amount::WholePosition => (Decimal::ZERO, true),
            Amount::Fixed {
                quantity,
                reduce_only,
            } => (quantity, reduce_only),
        };
        let whole = algo.amount == Amount::WholePosition;
        Ok(json!({
            "algoId": algo.id,
            "clientAlgoId": algo.client_id,
            "algoType": "CONDITIONAL",
            "orderType": algo.trigger.word(),
            "symbol": algo.symbol,
            "side": algo.side,
            "positionSide": algo.position_side.as_str(),
            "timeInForce": if whole { "GTE_GTC" } else { "GTC" },
            "quantity": fixed(quantity, spec.quantity_precision),
            "algoStatus": algo.status.word(),
            "actualOrderId": algo.order.map(|(id, _)| id.to_string()).unwrap_or_default(),
            "actualPrice": fixed(algo.order.map(|(_, price)| price).unwrap_or_default(), 5),
            "triggerPrice": price(algo.trigger_price),
            "price": "0.00",
            "icebergQuantity": null,
            "tpTriggerPrice": "0.000",
            "tpPrice": "0.000",
            "slTriggerPrice": "0.000",
            "slPrice": "0.000",
            "tpOrderType": "",
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "workingType": if algo.mark_price_works { "MARK_PRICE" } else { "CONTRACT_PRICE" },
            "priceMatch": "NONE",
            "closePosition": whole,
            "priceProtect": algo.price_protect,
            "reduceOnly": reduce_only,
            "createTime": algo.created,
            "updateTime": algo.updated,
            "triggerTime": algo.triggered,
            "goodTillDate": 0,
        }))
    }
}
