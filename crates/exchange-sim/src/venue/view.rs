//! How orders look on the wire: decimals as strings, ids and times as integers.

use rust_decimal::Decimal;
use serde::Serialize;

use super::book::{Kind, Order, Side, Status, TimeInForce, Trade};
use crate::{config::PositionSide, symbol::SymbolSpec};

/// A decimal with at least this many places, as the venue pads its figures; no digit is lost.
pub(super) fn fixed(value: Decimal, places: u32) -> String {
    let mut padded = value.normalize();
    if padded.scale() < places {
        padded.rescale(places);
    }
    padded.to_string()
}

/// Which reply an order is shown in; they differ in what they tell.
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

/// One order as JSON. `terse` leaves out `avgPrice` and `cumQuote`.
pub(super) fn order(order: &Order, spec: &SymbolSpec, shown: Shown, terse: bool) -> String {
    let quantity_places = spec.quantity_precision;
    let ack = shown == Shown::Ack;
    let executed = if ack {
        "0".to_owned()
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
        price_match: "NONE",
        self_trade_prevention_mode: "EXPIRE_MAKER",
        good_till_date: 0,
        time: (shown == Shown::Query).then_some(order.created),
        update_time: order.updated,
    };
    to_json(&view)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TradeView<'a> {
    symbol: &'a str,
    id: u64,
    order_id: u64,
    side: Side,
    price: String,
    qty: String,
    realized_pnl: String,
    quote_qty: String,
    commission: String,
    commission_asset: &'static str,
    time: i64,
    position_side: PositionSide,
    maker: bool,
    buyer: bool,
}

/// One trade as JSON.
pub(super) fn trade(order: &Order, trade: &Trade, spec: &SymbolSpec) -> String {
    to_json(&TradeView {
        symbol: &order.symbol,
        id: trade.id,
        order_id: order.id,
        side: order.side,
        price: fixed(trade.price, spec.price_precision),
        qty: fixed(trade.quantity, spec.quantity_precision),
        realized_pnl: fixed(trade.realized, 8),
        quote_qty: fixed(trade.price * trade.quantity, 5),
        commission: fixed(trade.commission, 8),
        commission_asset: "USDT",
        time: trade.time,
        position_side: order.position_side,
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
