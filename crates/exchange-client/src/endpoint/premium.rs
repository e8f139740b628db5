//! `GET /fapi/v1/premiumIndex?symbol=`, weight 1, not signed: the mark price.

use super::Form;
use crate::{
    fields::{self, DecodeError, Field},
    names::Symbol,
};
use rust_decimal::Decimal;
use serde::Deserialize;

pub(crate) const PATH: &str = "/fapi/v1/premiumIndex";
pub(crate) const WEIGHT: u32 = 1;

pub(crate) fn request(symbol: &Symbol) -> Form {
    Form::new().with("symbol", symbol)
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    symbol: Field<'a>,
    #[serde(borrow, rename = "markPrice")]
    mark_price: Field<'a>,
}

pub(crate) fn decode(symbol: &Symbol, body: &[u8]) -> Result<Decimal, DecodeError> {
    let raw: Raw<'_> = fields::read("premiumIndex", body)?;
    let answered: Symbol = fields::name("symbol", raw.symbol)?;
    fields::same("symbol", symbol, &answered)?;
    let price = fields::decimal("markPrice", raw.mark_price)?;
    if price <= Decimal::ZERO {
        return Err(DecodeError::new(
            "markPrice",
            format!("{price} is no price"),
        ));
    }
    Ok(price)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mark_price_is_a_positive_decimal_of_the_symbol_asked_for() {
        let btc: Symbol = "BTCUSDT".parse().unwrap();
        let good = br#"{"symbol":"BTCUSDT","markPrice":"64000.10","time":1}"#;
        assert_eq!(decode(&btc, good).unwrap().to_string(), "64000.10");
        for bad in [
            &br#"{"symbol":"ETHUSDT","markPrice":"64000.10"}"#[..],
            br#"{"symbol":"BTCUSDT","markPrice":"0"}"#,
            br#"{"symbol":"BTCUSDT"}"#,
            br#"[]"#,
        ] {
            assert!(decode(&btc, bad).is_err());
        }
    }
}
