//! What was sent, held against what the venue says about it: the one place where the two are compared.
//!
//! ```text
//!  request ──▶ Sent ─────┐
//!                        ├─▶ agrees ──────────▶ the report
//!  reply ──▶ report ─────┘   anything differs ▶ DecodeError that is a contradiction
//! ```
//!
//! An answer that contradicts its request is unreadable: it proves neither that the order was executed nor that it was
//! not. A submission that is answered so ends as unknown, and a question that is answered so is asked again. What the
//! venue left out contradicts nothing.

use crate::{
    endpoint::{
        order::{self, MARKET, OrderReport},
        stop::{self, STOP_MARKET, StopReport},
        trades::{self, Trade},
    },
    fields::{self, DecodeError},
    names::{ClientAlgoId, ClientOrderId, OrderStatus, PositionSide, Side, Symbol, WorkingType},
    omissions::Notes,
};
use rust_decimal::Decimal;
use std::collections::HashSet;

/// What a closing order is about. Write it down before submitting: it is what [`Client::settle`](crate::Client::settle)
/// needs to find out what became of the order, also in a later process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseIntent {
    /// The contract.
    pub symbol: Symbol,
    /// The id the order is submitted and asked about by.
    pub client_order_id: ClientOrderId,
    /// Which way it trades.
    pub side: Side,
    /// Which position it closes.
    pub position_side: PositionSide,
    /// The signed size of that position before, base asset; `None` where it is not known, and then an order can never be
    /// proven not executed.
    pub position_before: Option<Decimal>,
    /// The most that was sent, base asset: the order's quantity, or the size of the position where the quantity is not
    /// decided or was not written down. An answer that says more is not believed. `None` where neither is known.
    pub at_most: Option<Decimal>,
}

/// What is known of a stop that was sent, or may have been: what every answer about it has to agree with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopTrace {
    /// The id it was placed and is asked about by.
    pub id: ClientAlgoId,
    /// The contract.
    pub symbol: Symbol,
    /// Which way it will trade.
    pub side: Side,
    /// Which position it guards.
    pub position_side: PositionSide,
    /// The quantity it was placed over, base asset, where known.
    pub quantity: Option<Decimal>,
    /// The most it can have been placed over, base asset, where known: the size of the position.
    pub at_most: Option<Decimal>,
    /// The trigger price as it was sent, quote asset, where known.
    pub trigger: Option<Decimal>,
    /// The price that it watches, where known.
    pub working_type: Option<WorkingType>,
}

/// Reads an answer about a closing order that was sent.
pub(crate) fn read_close(
    intent: &CloseIntent,
    body: &[u8],
    notes: &mut Notes,
) -> Result<OrderReport, DecodeError> {
    let report = read_order(body, notes)?;
    agrees_with_close(intent, &report)?;
    Ok(report)
}

/// Reads an answer about an order of which only the id is known.
pub(crate) fn read_by_id(
    symbol: &Symbol,
    id: &ClientOrderId,
    body: &[u8],
    notes: &mut Notes,
) -> Result<OrderReport, DecodeError> {
    let report = read_order(body, notes)?;
    fields::same("symbol", symbol, &report.symbol)?;
    fields::same("clientOrderId", id, &report.client_order_id)?;
    Ok(report)
}

/// Reads an answer about an order of which only the venue's number is known.
pub(crate) fn read_by_number(
    symbol: &Symbol,
    order_id: u64,
    body: &[u8],
    notes: &mut Notes,
) -> Result<OrderReport, DecodeError> {
    let report = read_order(body, notes)?;
    fields::same("symbol", symbol, &report.symbol)?;
    fields::same("orderId", order_id, report.order_id)?;
    Ok(report)
}

/// Reads an answer about a stop that was sent.
pub(crate) fn read_stop(sent: &StopTrace, body: &[u8]) -> Result<StopReport, DecodeError> {
    let report = stop::decode(body)?;
    agrees_with_stop(sent, &report)?;
    Ok(report)
}

/// Reads an answer about a stop of which only the id is known.
pub(crate) fn read_stop_by_id(id: &ClientAlgoId, body: &[u8]) -> Result<StopReport, DecodeError> {
    let report = stop::decode(body)?;
    is_named(id, &report)?;
    Ok(report)
}

/// Reads the fills of one order, of which not even the side is known.
pub(crate) fn read_fills(
    symbol: &Symbol,
    order_id: u64,
    body: &[u8],
    notes: &mut Notes,
) -> Result<Vec<Trade>, DecodeError> {
    let trades = trades::decode(symbol, body, notes)?;
    for trade in &trades {
        fields::same("orderId", order_id, trade.order_id)?;
    }
    Ok(trades)
}

/// Reads the fills of an order that trades this way and executed so much in all.
pub(crate) fn read_fills_of(
    symbol: &Symbol,
    order_id: u64,
    (side, executed): (Side, Decimal),
    body: &[u8],
    notes: &mut Notes,
) -> Result<Vec<Trade>, DecodeError> {
    let trades = read_fills(symbol, order_id, body, notes)?;
    let (mut filled, mut seen) = (Decimal::ZERO, HashSet::new());
    for trade in &trades {
        fields::same("side", side, trade.side)?;
        if seen.insert(trade.id) {
            filled = filled.saturating_add(trade.quantity);
        }
    }
    no_more("qty", executed, filled)?;
    Ok(trades)
}

fn read_order(body: &[u8], notes: &mut Notes) -> Result<OrderReport, DecodeError> {
    let report = order::decode(body, notes)?;
    agrees_with_itself(&report)?;
    Ok(report)
}

/// What orders and stops have in common: a contract, a direction, and that they only close.
struct Sent<'a> {
    symbol: &'a Symbol,
    side: Side,
    position_side: PositionSide,
}

/// What a report says of the same.
struct Answered<'a> {
    symbol: &'a Symbol,
    side: Side,
    position_side: Option<PositionSide>,
    reduce_only: Option<bool>,
    closes_position: bool,
}

impl Sent<'_> {
    fn agrees(&self, answered: &Answered<'_>) -> Result<(), DecodeError> {
        fields::same("symbol", self.symbol, answered.symbol)?;
        fields::same("side", self.side, answered.side)?;
        if let Some(position_side) = answered.position_side {
            fields::same("positionSide", self.position_side, position_side)?;
        }
        // In hedge mode it is the position's side that keeps an order from opening anything; the flag may not be sent.
        if self.position_side == PositionSide::Both
            && let Some(reduce_only) = answered.reduce_only
        {
            fields::same("reduceOnly", true, reduce_only)?;
        }
        fields::same("closePosition", false, answered.closes_position)
    }
}

/// Whether a report can be about the closing order that was sent.
pub(crate) fn agrees_with_close(
    intent: &CloseIntent,
    report: &OrderReport,
) -> Result<(), DecodeError> {
    fields::same(
        "clientOrderId",
        &intent.client_order_id,
        &report.client_order_id,
    )?;
    let sent = Sent {
        symbol: &intent.symbol,
        side: intent.side,
        position_side: intent.position_side,
    };
    sent.agrees(&Answered {
        symbol: &report.symbol,
        side: report.side,
        position_side: report.position_side,
        reduce_only: report.reduce_only,
        closes_position: report.close_position,
    })?;
    if let Some(order_type) = &report.order_type {
        fields::same("type", MARKET, order_type.as_str())?;
    }
    let Some(at_most) = intent.at_most else {
        return Ok(());
    };
    // The venue may cut a reduce-only order down to the position, and changes its quantity with it.
    if let Some(original) = report.original_quantity {
        no_more("origQty", at_most, original)?;
    }
    no_more("executedQty", at_most, report.executed_quantity)
}

/// Whether a report can be about the stop that was sent.
fn agrees_with_stop(sent: &StopTrace, report: &StopReport) -> Result<(), DecodeError> {
    is_named(&sent.id, report)?;
    let common = Sent {
        symbol: &sent.symbol,
        side: sent.side,
        position_side: sent.position_side,
    };
    common.agrees(&Answered {
        symbol: &report.symbol,
        side: report.side,
        position_side: report.position_side,
        reduce_only: report.reduce_only,
        closes_position: report.close_position,
    })?;
    fields::same("orderType", STOP_MARKET, report.order_type.as_str())?;
    if let Some(working_type) = &report.working_type
        && let Some(sent) = sent.working_type
    {
        fields::same("workingType", sent.as_str(), working_type.as_str())?;
    }
    let answered = |number: Option<Decimal>| number.unwrap_or_default();
    if let Some(trigger) = sent.trigger {
        fields::same("triggerPrice", trigger, answered(report.trigger_price))?;
    }
    if let Some(quantity) = sent.quantity {
        fields::same("quantity", quantity, answered(report.quantity))?;
    }
    match sent.at_most {
        Some(at_most) => no_more("quantity", at_most, answered(report.quantity)),
        None => Ok(()),
    }
}

/// Whether a report agrees with itself.
fn agrees_with_itself(report: &OrderReport) -> Result<(), DecodeError> {
    let executed = report.executed_quantity;
    if let Some(original) = report.original_quantity
        && executed > original
    {
        let problem = format!("{executed} of an order over {original}");
        return Err(DecodeError::contradiction("executedQty", problem));
    }
    let can_be = match report.status {
        OrderStatus::Filled => {
            !executed.is_zero()
                && report
                    .original_quantity
                    .is_none_or(|original| original == executed)
        }
        OrderStatus::New | OrderStatus::Rejected => executed.is_zero(),
        OrderStatus::PartiallyFilled
        | OrderStatus::Canceled
        | OrderStatus::Expired
        | OrderStatus::ExpiredInMatch
        | OrderStatus::Other => true,
    };
    if can_be {
        return Ok(());
    }
    let problem = format!("{} with {executed} executed", report.status);
    Err(DecodeError::contradiction("status", problem))
}

fn is_named(id: &ClientAlgoId, report: &StopReport) -> Result<(), DecodeError> {
    match &report.client_algo_id {
        Some(answered) => fields::same("clientAlgoId", id, answered),
        None => {
            let problem = format!("the reply is not about {id}");
            Err(DecodeError::contradiction("clientAlgoId", problem))
        }
    }
}

fn no_more(name: &'static str, at_most: Decimal, answered: Decimal) -> Result<(), DecodeError> {
    if answered <= at_most {
        return Ok(());
    }
    let problem = format!("no more than {at_most} was sent, the answer says {answered}");
    Err(DecodeError::contradiction(name, problem))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn btc() -> Symbol {
        "BTCUSDT".parse().unwrap()
    }

    fn close() -> CloseIntent {
        CloseIntent {
            symbol: btc(),
            client_order_id: "al-1".parse().unwrap(),
            side: Side::Sell,
            position_side: PositionSide::Both,
            position_before: Some(d("0.0124")),
            at_most: Some(d("0.009")),
        }
    }

    fn stop_sent() -> StopTrace {
        StopTrace {
            id: "al-1".parse().unwrap(),
            symbol: btc(),
            side: Side::Sell,
            position_side: PositionSide::Both,
            quantity: Some(d("0.009")),
            at_most: Some(d("0.009")),
            trigger: Some(d("60000.1")),
            working_type: Some(WorkingType::MarkPrice),
        }
    }

    fn order_answer() -> Value {
        json!({
            "orderId": 7, "clientOrderId": "al-1", "symbol": "BTCUSDT", "side": "SELL", "positionSide": "BOTH",
            "status": "FILLED", "executedQty": "0.0090", "origQty": "0.009", "type": "MARKET", "reduceOnly": true,
            "closePosition": false,
        })
    }

    fn stop_answer() -> Value {
        json!({
            "algoId": 21, "clientAlgoId": "al-1", "symbol": "BTCUSDT", "side": "SELL", "positionSide": "BOTH",
            "orderType": "STOP_MARKET", "algoStatus": "NEW", "triggerPrice": "60000.10", "quantity": "0.0090",
            "closePosition": false, "reduceOnly": true, "workingType": "MARK_PRICE",
        })
    }

    fn fills_answer() -> Vec<Value> {
        let fill = |id: u64, quantity: &str| {
            json!({
                "id": id, "orderId": 7, "symbol": "BTCUSDT", "side": "SELL", "positionSide": "BOTH", "price": "64000",
                "qty": quantity, "commission": "0.01", "commissionAsset": "USDT", "realizedPnl": "0.1", "time": 5,
            })
        };
        vec![fill(1, "0.005"), fill(2, "0.004"), fill(2, "0.004")]
    }

    const ORDER_LIES: [(&str, &str); 12] = [
        ("clientOrderId", r#""al-2""#),
        ("symbol", r#""ETHUSDT""#),
        ("side", r#""BUY""#),
        ("positionSide", r#""LONG""#),
        ("type", r#""LIMIT""#),
        ("reduceOnly", "false"),
        ("closePosition", "true"),
        ("executedQty", r#""9999""#),
        ("executedQty", r#""0""#),
        ("origQty", r#""0.0091""#),
        ("origQty", r#""0.008""#),
        ("status", r#""NEW""#),
    ];
    /// What the venue may leave out without saying anything untrue.
    const ORDER_SPARE: [&str; 5] = [
        "positionSide",
        "type",
        "reduceOnly",
        "closePosition",
        "origQty",
    ];
    const STOP_LIES: [(&str, &str); 12] = [
        ("clientAlgoId", r#""al-2""#),
        ("clientAlgoId", "null"),
        ("symbol", r#""ETHUSDT""#),
        ("side", r#""BUY""#),
        ("positionSide", r#""SHORT""#),
        ("orderType", r#""TAKE_PROFIT_MARKET""#),
        ("triggerPrice", r#""10""#),
        ("quantity", r#""0.0124""#),
        ("quantity", r#""0.001""#),
        ("closePosition", "true"),
        ("reduceOnly", "false"),
        ("workingType", r#""CONTRACT_PRICE""#),
    ];
    const STOP_SPARE: [&str; 4] = ["positionSide", "closePosition", "reduceOnly", "workingType"];

    /// A true answer with some of its spare fields left out and some lies put in, and whether any of these is one still.
    fn bent(
        answered: &Value,
        spare: &[&str],
        lies: &[(&str, &str)],
        left_out: u16,
        lied: u16,
    ) -> (String, bool) {
        let mut answered: Map<String, Value> = answered.as_object().unwrap().clone();
        for (at, field) in spare.iter().enumerate() {
            if left_out >> at & 1 == 1 {
                answered.remove(*field);
            }
        }
        for (at, (field, value)) in lies.iter().enumerate() {
            if lied >> at & 1 == 1 {
                answered.insert((*field).to_owned(), serde_json::from_str(value).unwrap());
            }
        }
        (Value::Object(answered).to_string(), lied != 0)
    }

    proptest! {
        #[test]
        fn an_order_is_believed_exactly_where_nothing_contradicts_it(
            left_out in 0u16..32,
            // The figures and the status can lie in agreement with each other, so only one of these does.
            lied in prop_oneof![Just(0u16), (0u32..12, 0u16..1 << 7).prop_map(|(one, more)| 1 << one | more)],
        ) {
            let (body, lies) = bent(&order_answer(), &ORDER_SPARE, &ORDER_LIES, left_out, lied);
            match read_close(&close(), body.as_bytes(), &mut Notes::default()) {
                Ok(report) => prop_assert!(!lies && report.executed_quantity == d("0.009"), "{body}"),
                Err(error) => prop_assert!(lies && error.is_contradiction(), "{body}: {error}"),
            }
        }

        #[test]
        fn a_stop_is_believed_exactly_where_nothing_contradicts_it(
            left_out in 0u16..16, lied in prop_oneof![Just(0u16), 0u16..1 << 12],
        ) {
            let (body, lies) = bent(&stop_answer(), &STOP_SPARE, &STOP_LIES, left_out, lied);
            match read_stop(&stop_sent(), body.as_bytes()) {
                Ok(_) => prop_assert!(!lies, "{body}"),
                Err(error) => prop_assert!(lies && error.is_contradiction(), "{body}: {error}"),
            }
        }

        #[test]
        fn no_more_than_was_sent_is_ever_believed(sent in 1i64..20_000, original in 0i64..40_000, executed in 0i64..40_000) {
            let amount = |units: i64| Decimal::new(units, 4);
            let intent = CloseIntent { at_most: Some(amount(sent)), ..close() };
            let mut answered = order_answer();
            answered["status"] = json!("CANCELED");
            answered["origQty"] = json!(amount(original).to_string());
            answered["executedQty"] = json!(amount(executed).to_string());
            let read = read_close(&intent, answered.to_string().as_bytes(), &mut Notes::default());
            prop_assert_eq!(read.is_ok(), original <= sent && executed <= original, "{}", answered);
        }
    }

    #[test]
    fn each_lie_about_fills_makes_all_of_them_unreadable() {
        let read = |fills: &[Value]| {
            let body = Value::from(fills.to_vec()).to_string();
            read_fills_of(
                &btc(),
                7,
                (Side::Sell, d("0.009")),
                body.as_bytes(),
                &mut Notes::default(),
            )
        };
        assert_eq!(read(&fills_answer()).unwrap().len(), 3);
        assert_eq!(read(&fills_answer()[..1]).unwrap().len(), 1);
        for (field, lie) in [
            ("orderId", json!(8)),
            ("symbol", json!("ETHUSDT")),
            ("side", json!("BUY")),
            ("qty", json!("0.0051")),
            ("qty", json!("0")),
            ("qty", json!("-0.004")),
            ("price", json!("0")),
        ] {
            let mut fills = fills_answer();
            fills[0][field] = lie;
            assert_eq!(read(&fills).unwrap_err().place(), field);
        }
    }

    #[test]
    fn in_hedge_mode_the_side_of_the_position_stands_for_reduce_only() {
        let intent = CloseIntent {
            position_side: PositionSide::Long,
            ..close()
        };
        let mut answered = order_answer();
        answered["positionSide"] = json!("LONG");
        answered["reduceOnly"] = json!(false);
        assert!(
            read_close(
                &intent,
                answered.to_string().as_bytes(),
                &mut Notes::default()
            )
            .is_ok()
        );
        answered["positionSide"] = json!("BOTH");
        let error = read_close(
            &intent,
            answered.to_string().as_bytes(),
            &mut Notes::default(),
        )
        .unwrap_err();
        assert_eq!(error.place(), "positionSide");
    }

    #[test]
    fn what_is_not_known_of_a_former_order_or_stop_contradicts_nothing() {
        let intent = CloseIntent {
            at_most: None,
            ..close()
        };
        assert!(
            read_close(
                &intent,
                order_answer().to_string().as_bytes(),
                &mut Notes::default()
            )
            .is_ok()
        );
        let former = StopTrace {
            quantity: None,
            at_most: Some(d("0.0124")),
            trigger: None,
            working_type: None,
            ..stop_sent()
        };
        let mut answered = stop_answer();
        assert!(read_stop(&former, answered.to_string().as_bytes()).is_ok());
        answered["quantity"] = json!("0.0125");
        let error = read_stop(&former, answered.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.place(), "quantity");
    }

    #[test]
    fn an_order_asked_about_by_id_or_number_is_that_order() {
        let body = order_answer().to_string();
        let (btc, eth) = (btc(), "ETHUSDT".parse().unwrap());
        let id = "al-1".parse().unwrap();
        let by_id = |symbol, id| read_by_id(symbol, id, body.as_bytes(), &mut Notes::default());
        let by_number =
            |symbol, number| read_by_number(symbol, number, body.as_bytes(), &mut Notes::default());
        assert!(by_id(&btc, &id).is_ok() && by_number(&btc, 7).is_ok());
        assert_eq!(by_id(&eth, &id).unwrap_err().place(), "symbol");
        assert_eq!(
            by_id(&btc, &"al-0".parse().unwrap()).unwrap_err().place(),
            "clientOrderId"
        );
        assert_eq!(by_number(&eth, 7).unwrap_err().place(), "symbol");
        assert_eq!(by_number(&btc, 8).unwrap_err().place(), "orderId");
    }
}
