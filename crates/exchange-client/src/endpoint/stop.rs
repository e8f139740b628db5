//! `/fapi/v1/algoOrder` and `/fapi/v1/openAlgoOrders`, signed: conditional orders, which the plain order endpoints neither
//! take (-4120) nor show.

use super::Form;
use crate::{
    fields::{self, DecodeError, Field},
    names::{ClientAlgoId, PositionMode, PositionSide, Side, StopStatus, Symbol, WorkingType},
    omissions::Notes,
    position::Closing,
    rules::{Quantity, TriggerPrice},
};
use rust_decimal::Decimal;
use serde::Deserialize;

pub(crate) const PATH: &str = "/fapi/v1/algoOrder";
pub(crate) const OPEN_PATH: &str = "/fapi/v1/openAlgoOrders";
pub(crate) const WEIGHT: u32 = 1;
/// Of every symbol's open ones.
pub(crate) const ALL_WEIGHT: u32 = 40;
/// The type of a protective stop.
pub(crate) const STOP_MARKET: &str = "STOP_MARKET";

/// What the venue says about a conditional order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// The venue's own number for it.
    pub algo_id: u64,
    /// Our id for it. Absent where it was placed by someone whose ids do not keep to the venue's alphabet.
    pub client_algo_id: Option<ClientAlgoId>,
    /// The contract.
    pub symbol: Symbol,
    /// Which way it will trade.
    pub side: Side,
    /// Which position it belongs to, where reported.
    pub position_side: Option<PositionSide>,
    /// The venue's word for its kind: `STOP_MARKET` for a protective stop, others for take-profits and the like.
    pub order_type: String,
    /// Where it stands.
    pub status: StopStatus,
    /// The venue's word for that, where it is [`StopStatus::Other`].
    pub other_status: Option<String>,
    /// The price that sets it off, quote asset; absent for kinds that have none.
    pub trigger_price: Option<Decimal>,
    /// Size, base asset; absent where it closes the whole position.
    pub quantity: Option<Decimal>,
    /// True where it closes the whole position.
    pub close_position: bool,
    /// Whether it may only make a position smaller, where reported.
    pub reduce_only: Option<bool>,
    /// The venue's word for the price that it watches, where reported: `MARK_PRICE`, `CONTRACT_PRICE`.
    pub working_type: Option<String>,
}

impl StopReport {
    /// The venue's word for where it stands.
    #[must_use]
    pub fn status_word(&self) -> &str {
        self.other_status.as_deref().unwrap_or(self.status.as_str())
    }

    /// True for a stop that guards a position: waiting, of type `STOP_MARKET`, and unable to open anything.
    pub(crate) fn guards(&self, closing: &Closing) -> bool {
        let same_position =
            self.position_side.unwrap_or(PositionSide::Both) == closing.position_side;
        let only_closes = self.close_position
            || self.reduce_only == Some(true)
            || closing.position_side != PositionSide::Both;
        self.status == StopStatus::New
            && self.order_type == STOP_MARKET
            && self.side == closing.side
            && same_position
            && only_closes
    }
}

/// A stop over a quantity rather than over "the whole position": the venue allows one whole-position stop a direction
/// (-4130), and while one stop replaces another there are two.
pub(crate) fn place(
    symbol: &Symbol,
    id: &ClientAlgoId,
    closing: &Closing,
    mode: PositionMode,
    quantity: Quantity,
    trigger: TriggerPrice,
    working_type: WorkingType,
) -> Form {
    let form = Form::new()
        .with("algoType", "CONDITIONAL")
        .with("symbol", symbol)
        .with("side", closing.side);
    let form = match mode {
        PositionMode::OneWay => form.with("reduceOnly", "true"),
        PositionMode::Hedge => form.with("positionSide", closing.position_side),
    };
    form.with("type", STOP_MARKET)
        .with("quantity", quantity)
        .with("triggerPrice", trigger)
        .with("workingType", working_type)
        .with("clientAlgoId", id)
}

pub(crate) fn query(id: &ClientAlgoId) -> Form {
    Form::new().with("clientAlgoId", id)
}

pub(crate) fn cancel(algo_id: u64) -> Form {
    Form::new().with("algoId", algo_id)
}

pub(crate) fn open(symbol: &Symbol) -> Form {
    Form::new().with("symbol", symbol)
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "algoId")]
    algo_id: Field<'a>,
    #[serde(borrow, rename = "clientAlgoId")]
    client_algo_id: Field<'a>,
    #[serde(borrow)]
    symbol: Field<'a>,
    #[serde(borrow)]
    side: Field<'a>,
    #[serde(borrow, rename = "positionSide")]
    position_side: Field<'a>,
    #[serde(borrow, rename = "orderType")]
    order_type: Field<'a>,
    #[serde(borrow, rename = "algoStatus")]
    status: Field<'a>,
    #[serde(borrow, rename = "triggerPrice")]
    trigger_price: Field<'a>,
    #[serde(borrow)]
    quantity: Field<'a>,
    #[serde(borrow, rename = "closePosition")]
    close_position: Field<'a>,
    #[serde(borrow, rename = "reduceOnly")]
    reduce_only: Field<'a>,
    #[serde(borrow, rename = "workingType")]
    working_type: Field<'a>,
}

/// Reads one conditional order, whether or not it can be true; that [`crate::sent`] says.
pub(crate) fn decode(body: &[u8]) -> Result<StopReport, DecodeError> {
    let raw: Raw<'_> = fields::read("algoOrder", body)?;
    from_raw(&raw)
}

/// The entries of a symbol, of which one that may guard has to be readable; of all symbols those that can be read.
pub(crate) fn decode_open(
    symbol: Option<&Symbol>,
    body: &[u8],
    notes: &mut Notes,
) -> Result<Vec<StopReport>, DecodeError> {
    let entries: Vec<Option<Raw<'_>>> = fields::read("openAlgoOrders", body)?;
    let mut reports = Vec::with_capacity(entries.len());
    let mut place = notes.of("openAlgoOrders", None);
    for raw in &entries {
        let Some(raw) = raw else {
            place.without_row(&"it is null");
            continue;
        };
        if let Some(wanted) = symbol
            && fields::text("symbol", raw.symbol)? != wanted.as_str()
        {
            place.without_row(&format_args!("it is not about {wanted}"));
            continue;
        }
        match from_raw(raw) {
            Ok(report) => reports.push(report),
            // Of another kind than a protective stop: nothing here asks about it.
            Err(error) if symbol.is_none() || is_other_kind(raw) => {
                place.without_row(&error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(reports)
}

fn is_other_kind(raw: &Raw<'_>) -> bool {
    fields::text("orderType", raw.order_type).is_ok_and(|kind| kind != STOP_MARKET)
}

fn from_raw(raw: &Raw<'_>) -> Result<StopReport, DecodeError> {
    let known = |number: &Decimal| !number.is_zero();
    // The venue writes an empty text for a number that a kind of order does not have.
    let number = |name, field: Field<'_>| match field {
        Some(written) if written.get() == "\"\"" => Ok(None),
        field => fields::optional(name, field, fields::decimal),
    };
    let status = fields::text("algoStatus", raw.status)?;
    let (status, other_status) =
        fields::word_or_other(&status, StopStatus::from_word, StopStatus::Other);
    Ok(StopReport {
        algo_id: fields::venue_number("algoId", raw.algo_id)?,
        client_algo_id: fields::optional("clientAlgoId", raw.client_algo_id, fields::text)?
            .and_then(|id| id.parse().ok()),
        symbol: fields::name("symbol", raw.symbol)?,
        side: fields::word("side", raw.side, Side::from_word)?,
        position_side: fields::optional("positionSide", raw.position_side, |name, field| {
            fields::word(name, field, PositionSide::from_word)
        })?,
        order_type: fields::text("orderType", raw.order_type)?.into_owned(),
        status,
        other_status,
        trigger_price: number("triggerPrice", raw.trigger_price)?.filter(known),
        quantity: number("quantity", raw.quantity)?.filter(known),
        close_position: fields::optional("closePosition", raw.close_position, fields::boolean)?
            .unwrap_or(false),
        reduce_only: fields::optional("reduceOnly", raw.reduce_only, fields::boolean)?,
        working_type: fields::optional("workingType", raw.working_type, fields::text)?
            .map(std::borrow::Cow::into_owned),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const STOP: &str = r#"{"algoId":2146760,"clientAlgoId":"sl-1","algoType":"CONDITIONAL","orderType":"STOP_MARKET",
        "symbol":"BTCUSDT","side":"SELL","positionSide":"BOTH","timeInForce":"GTC","quantity":"0.010","algoStatus":"NEW",
        "triggerPrice":"60000.0","price":"0.000","icebergQuantity":null,"workingType":"MARK_PRICE","closePosition":false,
        "reduceOnly":true,"activatePrice":"","createTime":1750485492076,"triggerTime":0}"#;

    fn long() -> Closing {
        Closing {
            side: Side::Sell,
            position_side: PositionSide::Both,
            at_most: Decimal::ONE,
        }
    }

    fn read_open(symbol: Option<&Symbol>, body: &[u8]) -> Result<Vec<StopReport>, DecodeError> {
        decode_open(symbol, body, &mut Notes::default())
    }

    #[test]
    fn a_stop_is_read_exactly() {
        let report = decode(STOP.as_bytes()).unwrap();
        assert_eq!(report.algo_id, 2_146_760);
        assert_eq!(report.trigger_price, Some(Decimal::from(60_000)));
        assert!(report.guards(&long()));
    }

    #[test]
    fn only_a_waiting_stop_that_cannot_open_anything_guards_a_position() {
        for (from, to) in [
            ("\"NEW\"", "\"TRIGGERED\""),
            ("\"STOP_MARKET\"", "\"TAKE_PROFIT_MARKET\""),
            ("\"SELL\"", "\"BUY\""),
            ("\"BOTH\"", "\"LONG\""),
            ("\"reduceOnly\":true", "\"reduceOnly\":false"),
        ] {
            let body = STOP.replace(from, to);
            assert_ne!(body, STOP);
            let report = decode(body.as_bytes()).unwrap();
            assert!(!report.guards(&long()), "{to}");
        }
        let whole = STOP
            .replace("\"reduceOnly\":true", "\"reduceOnly\":false")
            .replace("n\":false", "n\":true");
        assert!(decode(whole.as_bytes()).unwrap().guards(&long()));
    }

    #[test]
    fn the_open_list_keeps_to_the_symbol_and_one_unreadable_entry_fails_it() {
        let btc: Symbol = "BTCUSDT".parse().unwrap();
        let eth = STOP.replace("BTCUSDT", "ETHUSDT");
        assert_eq!(
            read_open(Some(&btc), format!("[{STOP},{eth}]").as_bytes())
                .unwrap()
                .len(),
            1
        );
        let strange = STOP
            .replace("\"STOP_MARKET\"", "\"MOON_SHOT\"")
            .replace("\"SELL\"", "\"UP\"");
        let listed = read_open(Some(&btc), format!("[null,{strange},{STOP}]").as_bytes()).unwrap();
        assert_eq!(listed.len(), 1);
        let broken = STOP.replace("2146760", "\"?\"");
        assert_eq!(
            read_open(Some(&btc), format!("[{broken}]").as_bytes())
                .unwrap_err()
                .place(),
            "algoId"
        );
        let trailing = STOP.replace("\"60000.0\"", "\"\"");
        assert_eq!(
            read_open(Some(&btc), format!("[{trailing}]").as_bytes()).unwrap()[0].trigger_price,
            None
        );
    }
}
