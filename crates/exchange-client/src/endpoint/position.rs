//! `GET /fapi/v3/positionRisk` (weight 5) and `GET /fapi/v1/positionSide/dual` (weight 30), both signed.
//!
//! Version 3 lists only symbols with a position or an open order, so an empty list means flat.

use super::Form;
use crate::{
    fields::{self, DecodeError, Field},
    names::{PositionMode, PositionSide, Symbol},
    omissions::Notes,
    position::Position,
};
use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) const PATH: &str = "/fapi/v3/positionRisk";
pub(crate) const WEIGHT: u32 = 5;
const ANSWER: &str = "positionRisk";
pub(crate) const MODE_PATH: &str = "/fapi/v1/positionSide/dual";
pub(crate) const MODE_WEIGHT: u32 = 30;

pub(crate) fn request(symbol: Option<&Symbol>) -> Form {
    match symbol {
        Some(symbol) => Form::new().with("symbol", symbol),
        None => Form::new(),
    }
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    symbol: Field<'a>,
    #[serde(borrow, rename = "positionSide")]
    position_side: Field<'a>,
    #[serde(borrow, rename = "positionAmt")]
    amount: Field<'a>,
    #[serde(borrow, rename = "entryPrice")]
    entry_price: Field<'a>,
    #[serde(borrow, rename = "markPrice")]
    mark_price: Field<'a>,
    #[serde(borrow, rename = "unRealizedProfit")]
    unrealized_profit: Field<'a>,
    #[serde(borrow, rename = "updateTime")]
    updated_at: Field<'a>,
}

/// Whose positions an answer is read for.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// The symbol that was asked about.
    One(&'a Symbol),
    /// Some of a whole account's.
    Some(&'a [Symbol]),
    /// Everybody's.
    All,
}

/// Positions with a size; a symbol that is listed for its open orders only is left out.
///
/// Entries of symbols that are not wanted are passed over, whatever else stands in them. One unreadable entry of a wanted
/// one fails the whole reply: a position that cannot be read is not a flat one.
pub(crate) fn decode(
    wanted: Wanted<'_>,
    body: &[u8],
    notes: &mut Notes,
) -> Result<Vec<Position>, DecodeError> {
    let entries: Vec<&RawValue> = fields::read(ANSWER, body)?;
    let mut positions = Vec::new();
    for entry in entries {
        // An empty row holds no position.
        if entry.get() == "null" {
            notes.of(ANSWER, None).without_row(&"it is null");
            continue;
        }
        let raw: Raw<'_> = fields::read(ANSWER, entry.get().as_bytes())?;
        match wanted {
            Wanted::One(wanted) if fields::text("symbol", raw.symbol)? != wanted.as_str() => {
                let mut place = notes.of(ANSWER, None);
                place.without_row(&format_args!("it is not about {wanted}"));
                continue;
            }
            Wanted::Some(wanted) => {
                let named = fields::text("symbol", raw.symbol)?;
                if !wanted.iter().any(|symbol| symbol.as_str() == named) {
                    continue;
                }
            }
            Wanted::One(_) | Wanted::All => {}
        }
        let amount = fields::decimal("positionAmt", raw.amount)?;
        let symbol = match wanted {
            Wanted::One(wanted) => wanted.clone(),
            Wanted::Some(_) | Wanted::All => fields::name("symbol", raw.symbol)?,
        };
        let place = &mut notes.of(ANSWER, Some(&symbol));
        let position = Position {
            side: fields::word("positionSide", raw.position_side, PositionSide::from_word)?,
            amount: amount.normalize(),
            entry_price: fields::informational(
                place,
                "entryPrice",
                raw.entry_price,
                fields::decimal,
            ),
            mark_price: fields::informational(place, "markPrice", raw.mark_price, fields::decimal),
            unrealized_profit: fields::informational(
                place,
                "unRealizedProfit",
                raw.unrealized_profit,
                fields::decimal,
            ),
            updated_at: fields::informational(place, "updateTime", raw.updated_at, fields::time),
            symbol,
        };
        if !position.amount.is_zero() {
            positions.push(position);
        }
    }
    Ok(positions)
}

#[derive(Deserialize)]
struct RawMode<'a> {
    #[serde(borrow, rename = "dualSidePosition")]
    dual: Field<'a>,
}

pub(crate) fn decode_mode(body: &[u8]) -> Result<PositionMode, DecodeError> {
    let raw: RawMode<'_> = fields::read("positionSide/dual", body)?;
    Ok(match fields::boolean("dualSidePosition", raw.dual)? {
        true => PositionMode::Hedge,
        false => PositionMode::OneWay,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn btc() -> Symbol {
        "BTCUSDT".parse().unwrap()
    }

    fn read(symbol: Option<&Symbol>, body: &[u8]) -> Result<Vec<Position>, DecodeError> {
        decode(
            symbol.map_or(Wanted::All, Wanted::One),
            body,
            &mut Notes::default(),
        )
    }

    #[test]
    fn of_an_account_only_the_positions_that_are_wanted_have_to_be_readable() {
        let row = |symbol: &str, amount: &str| {
            format!(r#"{{"symbol":"{symbol}","positionSide":"BOTH","positionAmt":"{amount}"}}"#)
        };
        let others = format!(
            "{},{}",
            row("btc usdt\\u0007", "1"),
            row("币安人生USDT", "?")
        );
        let wanted = [btc(), "ETHUSDT".parse().unwrap()];
        let read = |body: String| {
            decode(
                Wanted::Some(&wanted),
                body.as_bytes(),
                &mut Notes::default(),
            )
        };
        let held = read(format!("[{others},{}]", row("BTCUSDT", "0.1"))).unwrap();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].symbol, btc());
        let error = read(format!("[{others},{}]", row("ETHUSDT", "?"))).unwrap_err();
        assert_eq!(error.place(), "positionAmt");
        let error = read(r#"[{"positionSide":"BOTH","positionAmt":"1"}]"#.to_owned()).unwrap_err();
        assert_eq!(error.place(), "symbol");
    }

    #[test]
    fn an_empty_list_is_flat() {
        assert_eq!(read(Some(&btc()), b"[]").unwrap(), []);
    }

    #[test]
    fn positions_are_read_with_their_sign_and_absent_numbers_stay_absent() {
        let body = br#"[{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"-0.0120","updateTime":17,"x":[1,{}]},
            {"symbol":"ETHUSDT","positionSide":"BOTH","positionAmt":"broken"},
            {"symbol":"BTCUSDT","positionSide":"LONG","positionAmt":"0.000"}]"#;
        let positions = read(Some(&btc()), body).unwrap();
        assert_eq!(positions.len(), 1);
        assert_eq!(positions[0].amount.to_string(), "-0.012");
        assert_eq!(positions[0].entry_price, None);
        assert_eq!(positions[0].updated_at.unwrap().as_millis(), 17);
    }

    #[test]
    fn an_unreadable_position_is_an_error_that_names_the_field() {
        for (body, place) in [
            (
                r#"[{"symbol":"BTCUSDT","positionSide":"BOTH"}]"#,
                "positionAmt",
            ),
            (
                r#"[{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"?"}]"#,
                "positionAmt",
            ),
            (
                r#"[{"symbol":"BTCUSDT","positionSide":"UP","positionAmt":"0.1"}]"#,
                "positionSide",
            ),
            (r#"[{"positionSide":"BOTH","positionAmt":"0.1"}]"#, "symbol"),
            (r#"{"code":1}"#, "positionRisk"),
            ("[7]", "positionRisk"),
        ] {
            assert_eq!(
                read(Some(&btc()), body.as_bytes()).unwrap_err().place(),
                place,
                "{body}"
            );
        }
        assert!(
            read(
                None,
                br#"[{"symbol":"ETHUSDT","positionSide":"BOTH","positionAmt":"broken"}]"#
            )
            .is_err()
        );
    }

    #[test]
    fn what_no_order_needs_may_be_unreadable_and_an_empty_row_is_passed_over() {
        for (name, written) in [
            ("entryPrice", r#""?""#),
            ("entryPrice", r#""""#),
            ("markPrice", "[]"),
            ("unRealizedProfit", r#""--""#),
            ("updateTime", r#""never""#),
        ] {
            let body = format!(
                r#"[null,{{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"0.1","{name}":{written}}}]"#
            );
            let positions = read(Some(&btc()), body.as_bytes()).unwrap();
            assert_eq!(positions[0].amount.to_string(), "0.1", "{body}");
            assert_eq!(
                (positions[0].entry_price, positions[0].mark_price),
                (None, None)
            );
        }
    }

    #[test]
    fn the_mode_is_read_from_a_flag_and_nothing_else() {
        assert_eq!(
            decode_mode(br#"{"dualSidePosition":true}"#).unwrap(),
            PositionMode::Hedge
        );
        assert_eq!(
            decode_mode(br#"{"dualSidePosition":false}"#).unwrap(),
            PositionMode::OneWay
        );
        assert_eq!(
            decode_mode(br#"{"dualSidePosition":"false"}"#)
                .unwrap_err()
                .place(),
            "dualSidePosition"
        );
    }
}
