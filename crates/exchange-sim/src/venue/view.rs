//! How orders look on the wire: decimals as strings, ids and times as integers.

use super::book::{Kind, Order, Side, Status, TimeInForce, Trade};
use crate::{
    config::{Manners, PositionSide},
    symbol::SymbolSpec,
};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;

/// A decimal with at least this many places, as the venue pads its figures; no digit is lost.
pub(super) fn fixed(value: Decimal, places: u32) -> String {
    let mut padded = value.normalize();
    if padded.scale() < places {
        padded.rescale(places);
    }
    padded.to_string()
}

/// Which reply an order is shown in; they differ in what they show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The reply to a new order with `newOrderRespType=ACK`: accepted, nothing more.
    Ack,
    /// The reply to a new order with `newOrderRespType=RESULT`, or to a cancellation.
    Result,
    /// A query.
    Query,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderView<'a> {
    order_id: u64,
    symbol: &'a str,
    status: Status,
    client_order_id: &'a str,
    price: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_price: Option<String>,
    orig_qty: String,
    executed_qty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cum_qty: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cum_quote: Option<String>,
    time_in_force: TimeInForce,
    #[serde(rename = "type")]
    kind: Kind,
    reduce_only: bool,
    close_position: bool,
    side: Side,
    position_side: PositionSide,
    stop_price: &'static str,
    working_type: &'static str,
    price_protect: bool,
    orig_type: &'static str,
    price_match: &'static str,
    self_trade_prevention_mode: &'static str,
    good_till_date: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    update_time: i64,
}

/// One order as JSON. Replies to POST and DELETE have had no `avgPrice` and `cumQuote` since 2026-07; queries have both.
pub(super) fn order(order: &Order, spec: &SymbolSpec, shown: Shown, manners: Manners) -> String {
    let terse = match shown {
        Shown::Query => manners.terse_results,
        Shown::Ack | Shown::Result => manners.terse_results || !manners.old_replies,
    };
    let quantity_places = spec.quantity_precision;
    let ack = shown == Shown::Ack;
    let executed = if ack {
        fixed(Decimal::ZERO, quantity_places)
    } else {
        fixed(order.executed, quantity_places)
    };
    let view = OrderView {
        order_id: order.id,
        symbol: &order.symbol,
        status: if ack { Status::New } else { order.status },
        client_order_id: &order.client_id,
        price: fixed(order.price, spec.price_precision),
        avg_price: (!terse).then(|| {
            if ack {
                "0.00".to_owned()
            } else {
                fixed(order.average_price(), 5)
            }
        }),
        orig_qty: fixed(order.quantity, quantity_places),
        cum_qty: (shown != Shown::Query).then(|| executed.clone()),
        executed_qty: executed,
        cum_quote: (!terse).then(|| {
            if ack {
                "0".to_owned()
            } else {
                fixed(order.quote, 5)
            }
        }),
        time_in_force: order.time_in_force,
        kind: order.kind,
        reduce_only: order.reduce_only,
        close_position: order.close_position,
        side: order.side,
        position_side: order.position_side,
        stop_price: "0.00",
        working_type: "CONTRACT_PRICE",
        price_protect: false,
        orig_type: order.original_kind,
        price_match: order.price_match,
        self_trade_prevention_mode: order.self_trade_prevention,
        good_till_date: order.good_till,
        time: (shown == Shown::Query).then_some(order.created),
        update_time: order.updated,
    };
    to_json(&view)
}

/// The reply to an order that was only tested: a 200 that names no order.
pub(super) fn no_order() -> String {
    json!({
        "orderId": 0,
        "symbol": "",
        "status": "",
        "clientOrderId": "",
        "price": "0",
        "origQty": "0",
        "executedQty": "0",
        "cumQty": "0",
        "timeInForce": "",
        "type": "",
        "reduceOnly": false,
        "closePosition": false,
        "side": "",
        "positionSide": "",
        "stopPrice": "0",
        "workingType": "",
        "priceProtect": false,
        "origType": "",
        "priceMatch": "",
        "selfTradePreventionMode": "",
        "goodTillDate": 0,
        "updateTime": 0,
    })
    .to_string()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TradeView<'a> {
    symbol: &'a str,
    id: u64,
    order_id: u64,
    pair: &'a str,
    side: Side,
    price: String,
    qty: String,
    realized_pnl: String,
    quote_qty: String,
    commission: String,
    commission_asset: &'static str,
    time: i64,
    position_side: PositionSide,
    base_qty: &'static str,
    margin_asset: &'static str,
    maker: bool,
    buyer: bool,
}

/// One trade as JSON.
pub(super) fn trade(order: &Order, trade: &Trade, spec: &SymbolSpec) -> String {
    to_json(&TradeView {
        symbol: &order.symbol,
        id: trade.id,
        order_id: order.id,
        pair: &order.symbol,
        side: order.side,
        price: fixed(trade.price, spec.price_precision),
        qty: fixed(trade.quantity, spec.quantity_precision),
        realized_pnl: fixed(trade.realized, 8),
        quote_qty: fixed(trade.price * trade.quantity, 5),
        commission: fixed(trade.commission, 8),
        commission_asset: "USDT",
        time: trade.time,
        position_side: order.position_side,
        base_qty: "0",
        margin_asset: "USDT",
        maker: trade.maker,
        buyer: order.side == Side::Buy,
    })
}

pub(super) fn list(entries: &[String]) -> String {
    format!("[{}]", entries.join(","))
}

fn to_json<T: Serialize>(view: &T) -> String {
    // These structures hold strings, integers and flags only; nothing in them can fail to be written.
    serde_json::to_string(view).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_padded_and_never_cut() {
        assert_eq!(fixed(Decimal::new(8, 3), 4), "0.0080");
        assert_eq!(fixed(Decimal::new(123_456_789, 6), 2), "123.456789");
        assert_eq!(fixed(Decimal::new(1_000_000, 3), 2), "1000.00");
        assert_eq!(fixed(Decimal::ZERO, 2), "0.00");
    }
}
