//! `GET /fapi/v1/exchangeInfo`, weight 1, not signed: filters of every symbol and the rate limits. About 1 MB.

use crate::{
    fields::{self, DecodeError, Field},
    names::Symbol,
    omissions::{Notes, Place},
    rules::{Grid, SymbolRules, multiple_below},
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashMap, sync::Arc};

pub(crate) const PATH: &str = "/fapi/v1/exchangeInfo";
pub(crate) const WEIGHT: u32 = 1;
const ANSWER: &str = "exchangeInfo";

/// The rules of every symbol of a host, read once and asked often.
///
/// A symbol whose entry is unreadable keeps its error; the others are not affected by it.
#[derive(Clone, Debug)]
pub struct ExchangeInfo {
    /// What is wrong with an entry in memory of its own: there may be thousands, and nearly all can be read.
    symbols: HashMap<Symbol, Result<Arc<SymbolRules>, Box<DecodeError>>>,
    /// Absent where the host says nothing of limits; an empty list says that there are none.
    pub(crate) limits: Option<Vec<RateLimit>>,
}

/// One line of `rateLimits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimit {
    pub(crate) counted: Counted,
    pub(crate) seconds: u64,
    pub(crate) limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Weight,
    Orders,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    symbols: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, rename = "rateLimits")]
    rate_limits: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct RawSymbol<'a> {
    #[serde(borrow)]
    status: Field<'a>,
    #[serde(borrow, rename = "marginAsset")]
    margin_asset: Field<'a>,
    #[serde(borrow, rename = "quantityPrecision")]
    quantity_precision: Field<'a>,
    #[serde(borrow, rename = "pricePrecision")]
    price_precision: Field<'a>,
    #[serde(borrow)]
    filters: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct RawFilter<'a> {
    #[serde(borrow, rename = "filterType")]
    filter_type: Field<'a>,
    #[serde(borrow, rename = "minQty")]
    min_qty: Field<'a>,
    #[serde(borrow, rename = "maxQty")]
    max_qty: Field<'a>,
    #[serde(borrow, rename = "stepSize")]
    step_size: Field<'a>,
    #[serde(borrow, rename = "minPrice")]
    min_price: Field<'a>,
    #[serde(borrow, rename = "maxPrice")]
    max_price: Field<'a>,
    #[serde(borrow, rename = "tickSize")]
    tick_size: Field<'a>,
    #[serde(borrow)]
    notional: Field<'a>,
}

impl ExchangeInfo {
    /// Reads the reply of the venue.
    ///
    /// # Errors
    /// [`DecodeError`] where the reply as a whole is not of the known form.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Self::read(body, &mut Notes::default())
    }

    pub(crate) fn read(body: &[u8], notes: &mut Notes) -> Result<Self, DecodeError> {
        let raw: Raw<'_> = fields::read(ANSWER, body)?;
        let entries = raw
            .symbols
            .ok_or_else(|| DecodeError::new("symbols", "missing"))?;
        let mut symbols = HashMap::with_capacity(entries.len());
        for entry in entries {
            #[derive(Deserialize)]
            struct Named<'a> {
                #[serde(borrow)]
                symbol: Field<'a>,
            }
            // A row that is none at all, or without a name, is passed over: the others are not affected by it.
            let row = entry.get().as_bytes();
            let named = fields::read::<Named<'_>>("symbols", row)
                .and_then(|named| fields::name::<Symbol>("symbol", named.symbol));
            let symbol = match named {
                Ok(symbol) => symbol,
                Err(error) => {
                    notes.of(ANSWER, None).without_row(&error);
                    continue;
                }
            };
            // Whose rules they are stands in what is wrong with them: a host with a thousand such rows gets one warning.
            let rules = decode_symbol(&symbol, row, &mut notes.of(ANSWER, None));
            if let Err(error) = &rules {
                let mut place = notes.of(ANSWER, None);
                place.without_row(&format_args!("{symbol}: {error}"));
            }
            symbols.insert(symbol, rules.map(Arc::new).map_err(Box::new));
        }
        // A limit of a kind or interval we do not know cannot be kept and is left to the venue's own 429.
        let read_all = |lines: Vec<&RawValue>| {
            lines
                .iter()
                .filter_map(|line| decode_limit(line.get()))
                .collect()
        };
        let limits = raw.rate_limits.map(read_all);
        Ok(Self { symbols, limits })
    }

    /// Whether the host lists a symbol, be its entry readable or not.
    #[must_use]
    pub fn lists(&self, symbol: &Symbol) -> bool {
        self.symbols.contains_key(symbol)
    }

    /// The rules of a symbol.
    ///
    /// # Errors
    /// [`DecodeError`] where the host does not list the symbol or its entry cannot be read.
    pub fn rules(&self, symbol: &Symbol) -> Result<Arc<SymbolRules>, DecodeError> {
        match self.symbols.get(symbol) {
            Some(rules) => rules.clone().map_err(|error| *error),
            None => Err(DecodeError::new(
                "symbols",
                format!("the host does not list {symbol}"),
            )),
        }
    }
}

fn decode_symbol(
    symbol: &Symbol,
    entry: &[u8],
    place: &mut Place<'_>,
) -> Result<SymbolRules, DecodeError> {
    let raw: RawSymbol<'_> = fields::read("symbols", entry)?;
    let filters = raw
        .filters
        .ok_or_else(|| DecodeError::new("filters", "missing"))?;
    let (mut lot, mut market_lot, mut price, mut min_notional) = (None, None, None, None);
    for entry in filters {
        let read = fields::read::<RawFilter<'_>>("filters", entry.get().as_bytes());
        let named =
            read.and_then(|filter| Ok((fields::text("filterType", filter.filter_type)?, filter)));
        let (name, filter) = match named {
            Ok(named) => named,
            // The two that an order needs are missed below.
            Err(error) => {
                place.without("filters", &format_args!("{symbol}: {error}"));
                continue;
            }
        };
        match &*name {
            "LOT_SIZE" => lot = Some(lot_grid(&filter)?),
            "MARKET_LOT_SIZE" => market_lot = Some(lot_grid(&filter)?),
            // Without it no price can be rounded; a close has none.
            "PRICE_FILTER" => price = noted(place, symbol, "PRICE_FILTER", price_grid(&filter)),
            "MIN_NOTIONAL" => {
                let notional = fields::decimal("notional", filter.notional);
                min_notional = noted(place, symbol, "MIN_NOTIONAL", notional);
            }
            // The venue adds filters now and then; those that do not bound a size or a price are its own to apply.
            _ => {}
        }
    }
    let precision = fields::optional("pricePrecision", raw.price_precision, places);
    let price_precision = match precision {
        Ok(precision) => precision,
        Err(error) => {
            price = None;
            noted(place, symbol, "pricePrecision", Err(error))
        }
    };
    let margin_asset = fields::optional("marginAsset", raw.margin_asset, fields::text);
    let missing = |filter: &'static str| DecodeError::new(filter, "missing");
    Ok(SymbolRules {
        symbol: symbol.clone(),
        status: word(fields::text("status", raw.status)?),
        lot: lot.ok_or_else(|| missing("LOT_SIZE"))?,
        market_lot: market_lot.ok_or_else(|| missing("MARKET_LOT_SIZE"))?,
        price,
        quantity_precision: fields::optional("quantityPrecision", raw.quantity_precision, places)?,
        price_precision,
        min_notional,
        margin_asset: noted(place, symbol, "marginAsset", margin_asset)
            .flatten()
            .map(word),
    })
}

/// The words that nearly every symbol has, which need no memory of their own then.
const WORDS: [&str; 3] = ["TRADING", "USDT", "USDC"];

fn word(text: Cow<'_, str>) -> Cow<'static, str> {
    match WORDS.into_iter().find(|known| *known == text) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(text.into_owned()),
    }
}

/// What no close needs: absent where it cannot be read.
fn noted<T>(
    place: &mut Place<'_>,
    symbol: &Symbol,
    part: &'static str,
    read: Result<T, DecodeError>,
) -> Option<T> {
    read.map_err(|error| place.without(part, &format_args!("{symbol}: {error}")))
        .ok()
}

fn places(name: &'static str, field: Field<'_>) -> Result<u32, DecodeError> {
    let count = fields::integer(name, field)?;
    u32::try_from(count)
        .ok()
        .filter(|places| *places <= 28)
        .ok_or_else(|| {
            DecodeError::new(
                name,
                format!("{count} decimal places are more than a decimal holds"),
            )
        })
}

fn lot_grid(raw: &RawFilter<'_>) -> Result<Grid, DecodeError> {
    grid(
        ("minQty", raw.min_qty),
        ("maxQty", raw.max_qty),
        ("stepSize", raw.step_size),
    )
}

fn price_grid(raw: &RawFilter<'_>) -> Result<Grid, DecodeError> {
    grid(
        ("minPrice", raw.min_price),
        ("maxPrice", raw.max_price),
        ("tickSize", raw.tick_size),
    )
}

type Named<'a> = (&'static str, Field<'a>);

/// The documents count steps from the minimum (`(quantity - minQty) % stepSize`), every client counts them from zero.
/// Where the minimum is itself a multiple both mean the same numbers; where it is not, the venue does not document which are valid.
fn grid(min: Named<'_>, max: Named<'_>, step: Named<'_>) -> Result<Grid, DecodeError> {
    let min_name = min.0;
    let (min, max, step) = (bound(min)?, bound(max)?, bound(step)?);
    if let (Some(min), Some(step)) = (min, step)
        && multiple_below(min, step) != Some(min)
    {
        return Err(DecodeError::new(
            min_name,
            format!("{min} is not a multiple of the step {step}"),
        ));
    }
    Ok(Grid { min, max, step })
}

fn bound((name, field): Named<'_>) -> Result<Option<Decimal>, DecodeError> {
    let number = fields::decimal(name, field)?.normalize();
    if number.is_sign_negative() && !number.is_zero() {
        return Err(DecodeError::new(name, format!("{number} is negative")));
    }
    Ok(Some(number).filter(|n| !n.is_zero()))
}

fn decode_limit(json: &str) -> Option<RateLimit> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct RawLimit<'a> {
        rate_limit_type: &'a str,
        interval: &'a str,
        interval_num: u32,
        limit: u32,
    }
    let raw: RawLimit<'_> = serde_json::from_str(json).ok()?;
    let counted = match raw.rate_limit_type {
        "REQUEST_WEIGHT" => Counted::Weight,
        "ORDERS" => Counted::Orders,
        _ => return None,
    };
    let unit = match raw.interval {
        "SECOND" => 1,
        "MINUTE" => 60,
        _ => return None,
    };
    Some(RateLimit {
        counted,
        seconds: unit * u64::from(raw.interval_num),
        limit: raw.limit,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rules::RuleError;

    fn info(filters: &str) -> Result<Arc<SymbolRules>, DecodeError> {
        let body = format!(
            r#"{{"symbols":[{{"symbol":"BTCUSDT","status":"TRADING","filters":[{filters}]}}]}}"#
        );
        ExchangeInfo::decode(body.as_bytes())
            .unwrap()
            .rules(&"BTCUSDT".parse().unwrap())
    }

    const LOT: &str =
        r#"{"filterType":"LOT_SIZE","minQty":"0.0010","maxQty":"1000","stepSize":"0.001"}"#;
    const MARKET: &str =
        r#"{"filterType":"MARKET_LOT_SIZE","minQty":"0","maxQty":"120","stepSize":"0"}"#;

    #[test]
    fn filters_are_read_and_unknown_ones_passed_over() {
        let notional = r#"{"filterType":"MIN_NOTIONAL","notional":"50"}"#;
        let rules = info(&format!(
            r#"{LOT},{MARKET},{notional},{{"filterType":"NEW_THING","depth":3}}"#
        ))
        .unwrap();
        assert_eq!(rules.lot.step.unwrap().to_string(), "0.001");
        assert_eq!(rules.market_lot.step, None);
        assert_eq!(rules.market_lot.min, None);
        assert_eq!(rules.min_notional, Some(Decimal::from(50)));
        assert_eq!(
            rules.cut_quantity(Decimal::from(500)).unwrap().get(),
            Decimal::from(120)
        );
        assert!(matches!(
            rules.round_trigger(Decimal::ONE, crate::Side::Buy),
            Err(RuleError::Unworkable { .. })
        ));
    }

    #[test]
    fn a_symbol_that_cannot_be_read_is_an_error_of_its_own() {
        for (filters, place) in [
            (MARKET.to_owned(), "LOT_SIZE"),
            (LOT.to_owned(), "MARKET_LOT_SIZE"),
            (
                format!("{},{MARKET}", LOT.replace("\"1000\"", "\"?\"")),
                "maxQty",
            ),
            (
                format!("{},{MARKET}", LOT.replace("\"0.0010\"", "\"0.0015\"")),
                "minQty",
            ),
            (
                format!("{},{MARKET}", LOT.replace("\"0.0010\"", "\"-1\"")),
                "minQty",
            ),
            (
                format!("{},{MARKET}", LOT.replace("stepSize", "step")),
                "stepSize",
            ),
        ] {
            assert_eq!(info(&filters).unwrap_err().place(), place, "{filters}");
        }
        let two = format!(
            r#"{{"symbols":[null,7,{{"symbol":"BROKEN","status":1}},{{"symbol":"币安","status":"TRADING"}},
            {{"symbol":"ETHUSDT","status":"TRADING","filters":[{LOT},{MARKET}]}}]}}"#
        );
        let info = ExchangeInfo::decode(two.as_bytes()).unwrap();
        assert!(info.rules(&"ETHUSDT".parse().unwrap()).is_ok());
        assert!(info.rules(&"BROKEN".parse().unwrap()).is_err());
        assert!(info.rules(&"XRPUSDT".parse().unwrap()).is_err());
    }

    #[test]
    fn what_no_close_needs_may_be_unreadable_and_is_noted() {
        let prices =
            r#"{"filterType":"PRICE_FILTER","minPrice":"?","maxPrice":"1","tickSize":"0.1"}"#;
        let notional = r#"{"filterType":"MIN_NOTIONAL","notional":"-"}"#;
        let body = format!(
            r#"{{"symbols":[null,7,{{"symbol":"BROKEN","status":1}},{{"symbol":"BTCUSDT","status":"TRADING","pricePrecision":"x",
            "marginAsset":[],"filters":[null,7,{{"filterType":9}},{prices},{notional},{LOT},{MARKET}]}}]}}"#
        );
        let mut notes = Notes::default();
        let info = ExchangeInfo::read(body.as_bytes(), &mut notes).unwrap();
        let rules = info.rules(&"BTCUSDT".parse().unwrap()).unwrap();
        assert!(rules.cut_quantity(Decimal::ONE).is_ok());
        assert!(rules.round_trigger(Decimal::ONE, crate::Side::Buy).is_err());
        let mut all = crate::omissions::Omissions::default();
        all.add(notes);
        let counted: Vec<_> = all.counts().iter().map(|c| (c.part, c.times)).collect();
        let expected = [
            ("MIN_NOTIONAL", 1),
            ("PRICE_FILTER", 1),
            ("filters", 3),
            ("marginAsset", 1),
            ("pricePrecision", 1),
            ("row", 3),
        ];
        assert_eq!(counted, expected);
        let omissions: Vec<_> = all.take_new().iter().map(ToString::to_string).collect();
        assert!(
            omissions.contains(&"exchangeInfo was read without MIN_NOTIONAL: BTCUSDT: notional: \"-\" is not a decimal".to_owned()),
            "{omissions:?}"
        );
    }

    #[test]
    fn rate_limits_are_read_in_seconds() {
        let body = br#"{"symbols":[],"rateLimits":[
            {"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000},
            {"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300},
            {"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":1},
            {"rateLimitType":"ORDERS","interval":"FORTNIGHT","intervalNum":1,"limit":1}, 7]}"#;
        let limits = ExchangeInfo::decode(body).unwrap().limits.unwrap();
        assert_eq!(
            limits,
            [
                RateLimit {
                    counted: Counted::Weight,
                    seconds: 60,
                    limit: 6000
                },
                RateLimit {
                    counted: Counted::Orders,
                    seconds: 10,
                    limit: 300
                },
            ]
        );
    }
}
