//! `POST /fapi/v1/order` and `GET /fapi/v1/order`, both signed: a market order that only closes, and the question after it.

use super::Form;
use crate::{
    fields::{self, DecodeError, Field},
    names::{ClientOrderId, OrderStatus, PositionMode, PositionSide, Side, Symbol},
    omissions::Notes,
    time::VenueTime,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use std::time::Duration;

pub(crate) const PATH: &str = "/fapi/v1/order";
pub(crate) const QUERY_WEIGHT: u32 = 1;
/// The type of a closing order.
pub(crate) const MARKET: &str = "MARKET";

/// What the venue says about an order.
///
/// Numbers the venue left out are absent. Prices and worths it reports as zero although something filled are absent too:
/// it answers so while they are not known yet, and a price of zero is no price.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrderReport {
    /// The venue's own number for the order.
    pub order_id: u64,
    /// Our id for it.
    pub client_order_id: ClientOrderId,
    /// The contract.
    pub symbol: Symbol,
    /// Which way it traded.
    pub side: Side,
    /// Which position it belongs to, where reported.
    pub position_side: Option<PositionSide>,
    /// Where it stands.
    pub status: OrderStatus,
    /// The venue's word for that, where it is [`OrderStatus::Other`].
    pub other_status: Option<String>,
    /// How much has really filled, base asset. May be zero: an order can be accepted and end without a fill.
    pub executed_quantity: Decimal,
    /// How much was asked for, base asset, where reported.
    pub original_quantity: Option<Decimal>,
    /// Average price of what filled, quote asset.
    pub average_price: Option<Decimal>,
    /// Worth of what filled, quote asset.
    pub cumulative_quote: Option<Decimal>,
    /// The venue's word for its kind, where reported: `MARKET` for a closing order.
    pub order_type: Option<String>,
    /// Whether it may only make a position smaller, where reported.
    pub reduce_only: Option<bool>,
    /// True where it closes a whole position.
    pub close_position: bool,
    /// When the venue last changed it, where reported.
    pub updated_at: Option<VenueTime>,
}

impl OrderReport {
    /// True where nothing more can happen to it: the venue says so, or all of it has filled, whatever word stands beside.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let filled = !self.executed_quantity.is_zero()
            && self.original_quantity == Some(self.executed_quantity);
        self.status.is_final() || filled
    }

    /// The venue's word for where it stands.
    #[must_use]
    pub fn status_word(&self) -> &str {
        self.other_status.as_deref().unwrap_or(self.status.as_str())
    }
}

/// The part of a closing order that is known before its quantity is.
pub(crate) fn fixed_part(
    symbol: &Symbol,
    id: &ClientOrderId,
    (side, position_side): (Side, PositionSide),
    mode: PositionMode,
    recv_window: Duration,
) -> String {
    let form = Form::new().with("symbol", symbol).with("side", side);
    let form = match mode {
        PositionMode::OneWay => form.with("reduceOnly", "true"),
        PositionMode::Hedge => form.with("positionSide", position_side),
    };
    form.with("type", MARKET)
        .with("newOrderRespType", "RESULT")
        .with("newClientOrderId", id)
        .with("recvWindow", recv_window.as_millis())
        .into_text()
}

pub(crate) fn query(symbol: &Symbol, id: &ClientOrderId) -> Form {
    Form::new()
        .with("symbol", symbol)
        .with("origClientOrderId", id)
}

pub(crate) fn query_by_number(symbol: &Symbol, order_id: u64) -> Form {
    Form::new().with("symbol", symbol).with("orderId", order_id)
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "orderId")]
    order_id: Field<'a>,
    #[serde(borrow, rename = "clientOrderId")]
    client_order_id: Field<'a>,
    #[serde(borrow)]
    symbol: Field<'a>,
    #[serde(borrow)]
    side: Field<'a>,
    #[serde(borrow, rename = "positionSide")]
    position_side: Field<'a>,
    #[serde(borrow)]
    status: Field<'a>,
    #[serde(borrow, rename = "executedQty")]
    executed_quantity: Field<'a>,
    #[serde(borrow, rename = "origQty")]
    original_quantity: Field<'a>,
    #[serde(borrow, rename = "avgPrice")]
    average_price: Field<'a>,
    #[serde(borrow, rename = "cumQuote")]
    cumulative_quote: Field<'a>,
    #[serde(borrow, rename = "type")]
    order_type: Field<'a>,
    #[serde(borrow, rename = "reduceOnly")]
    reduce_only: Field<'a>,
    #[serde(borrow, rename = "closePosition")]
    close_position: Field<'a>,
    #[serde(borrow, rename = "updateTime")]
    updated_at: Field<'a>,
}

/// Reads a reply, whether or not it can be true; that [`crate::sent`] says.
pub(crate) fn decode(body: &[u8], notes: &mut Notes) -> Result<OrderReport, DecodeError> {
    let raw: Raw<'_> = fields::read("order", body)?;
    let executed_quantity = not_negative("executedQty", raw.executed_quantity)?.normalize();
    let known = |number: &Decimal| !number.is_zero();
    let status = fields::text("status", raw.status)?;
    let (status, other_status) =
        fields::word_or_other(&status, OrderStatus::from_word, OrderStatus::Other);
    let symbol: Symbol = fields::name("symbol", raw.symbol)?;
    let place = &mut notes.of("order", Some(&symbol));
    Ok(OrderReport {
        order_id: fields::venue_number("orderId", raw.order_id)?,
        client_order_id: fields::name("clientOrderId", raw.client_order_id)?,
        side: fields::word("side", raw.side, Side::from_word)?,
        position_side: fields::optional("positionSide", raw.position_side, |name, field| {
            fields::word(name, field, PositionSide::from_word)
        })?,
        status,
        other_status,
        executed_quantity,
        original_quantity: fields::optional("origQty", raw.original_quantity, not_negative)?,
        average_price: fields::informational(place, "avgPrice", raw.average_price, not_negative)
            .filter(known),
        cumulative_quote: fields::informational(
            place,
            "cumQuote",
            raw.cumulative_quote,
            not_negative,
        )
        .filter(|worth| known(worth) || executed_quantity.is_zero()),
        order_type: fields::optional("type", raw.order_type, fields::text)?
            .map(std::borrow::Cow::into_owned),
        reduce_only: fields::optional("reduceOnly", raw.reduce_only, fields::boolean)?,
        close_position: fields::optional("closePosition", raw.close_position, fields::boolean)?
            .unwrap_or(false),
        updated_at: fields::informational(place, "updateTime", raw.updated_at, fields::time),
        symbol,
    })
}

fn not_negative(name: &'static str, field: Field<'_>) -> Result<Decimal, DecodeError> {
    let number = fields::decimal(name, field)?;
    if number.is_sign_negative() && !number.is_zero() {
        return Err(DecodeError::new(name, format!("{number} is negative")));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILLED: &str = r#"{"orderId":11934538190,"clientOrderId":"al-67e6da21fa9fe506","symbol":"BTCUSDT","side":"SELL",
        "positionSide":"BOTH","status":"FILLED","executedQty":"0.0080","origQty":"0.008","avgPrice":"64000.10",
        "cumQuote":"512.0008","updateTime":1769301008977,"reduceOnly":true,"stopPrice":"0","surprise":{"deep":[null]}}"#;

    #[test]
    fn a_filled_order_is_read_exactly() {
        let report = decode(FILLED.as_bytes(), &mut Notes::default()).unwrap();
        assert_eq!(report.order_id, 11_934_538_190);
        assert_eq!(report.status, OrderStatus::Filled);
        assert_eq!(report.executed_quantity.to_string(), "0.008");
        assert_eq!(report.average_price.unwrap().to_string(), "64000.10");
    }

    #[test]
    fn prices_the_venue_left_out_or_does_not_know_yet_are_absent_and_not_zero() {
        let without = FILLED
            .replace("\"avgPrice\":\"64000.10\",", "")
            .replace("\"cumQuote\":\"512.0008\",", "");
        let zero = FILLED.replace("64000.10", "0.00").replace("512.0008", "0");
        for body in [without, zero] {
            let report = decode(body.as_bytes(), &mut Notes::default()).unwrap();
            assert_eq!(
                (report.average_price, report.cumulative_quote),
                (None, None),
                "{body}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_names_its_field() {
        for (from, to, place) in [
            ("\"executedQty\":\"0.0080\",", "", "executedQty"),
            ("\"0.0080\"", "\"-0.0080\"", "executedQty"),
            ("\"SELL\"", "\"sell\"", "side"),
            ("\"BOTH\"", "\"\"", "positionSide"),
            ("11934538190", "-3", "orderId"),
            ("11934538190", "0", "orderId"),
            ("\"BTCUSDT\"", "\"BTC USDT\"", "symbol"),
            ("{\"orderId\"", "[\"orderId\"", "order"),
        ] {
            let body = FILLED.replacen(from, to, 1);
            assert_ne!(body, FILLED);
            assert_eq!(
                decode(body.as_bytes(), &mut Notes::default())
                    .unwrap_err()
                    .place(),
                place,
                "{to}"
            );
        }
    }

    #[test]
    fn a_hedge_account_names_the_position_and_never_says_reduce_only() {
        let window = Duration::from_millis(1500);
        let (symbol, id) = ("BTCUSDT".parse().unwrap(), "a1".parse().unwrap());
        let sides = (Side::Sell, PositionSide::Both);
        let one_way = fixed_part(&symbol, &id, sides, PositionMode::OneWay, window);
        assert_eq!(
            one_way,
            "symbol=BTCUSDT&side=SELL&reduceOnly=true&type=MARKET&newOrderRespType=RESULT&newClientOrderId=a1&recvWindow=1500"
        );
        let sides = (Side::Sell, PositionSide::Long);
        let hedge = fixed_part(&symbol, &id, sides, PositionMode::Hedge, window);
        assert!(
            hedge.contains("&positionSide=LONG&") && !hedge.contains("reduceOnly"),
            "{hedge}"
        );
    }
}
