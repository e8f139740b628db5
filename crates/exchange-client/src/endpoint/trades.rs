//! `GET /fapi/v1/userTrades`, weight 5, signed: the fills of an order, and what they earned.

use super::Form;
use crate::{
    fields::{self, DecodeError, Field},
    names::{PositionSide, Side, Symbol},
    omissions::{Notes, Place},
    time::VenueTime,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

pub(crate) const PATH: &str = "/fapi/v1/userTrades";
pub(crate) const WEIGHT: u32 = 5;
/// The most the venue gives in one page.
pub(crate) const PAGE: usize = 1000;

/// One fill.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trade {
    /// The venue's number of the fill.
    pub id: u64,
    /// The order it belongs to.
    pub order_id: u64,
    /// The contract.
    pub symbol: Symbol,
    /// Which way it went.
    pub side: Side,
    /// Which position it belongs to, where reported.
    pub position_side: Option<PositionSide>,
    /// Price, quote asset.
    pub price: Decimal,
    /// Size, base asset.
    pub quantity: Decimal,
    /// Fee taken, above zero, in [`commission_asset`](Self::commission_asset); below zero where the venue paid one. Absent
    /// where it cannot be read: that something filled is known all the same.
    pub commission: Option<Decimal>,
    /// The asset of the fee; absent where it cannot be read.
    pub commission_asset: Option<String>,
    /// Profit the fill realised before fees, margin asset; absent where it cannot be read.
    pub realized_profit: Option<Decimal>,
    /// When it happened.
    pub at: VenueTime,
}

/// What an order earned, from its fills. Present only when every fill is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RealizedProfit {
    /// Sum of the fills' profits before fees, margin asset.
    pub gross: Decimal,
    /// Fees by asset.
    pub commission: BTreeMap<String, Decimal>,
    /// `gross` less the fees; absent where a fee was taken in another asset than the profit, or that asset is not known,
    /// because no exchange rate is guessed.
    pub net: Option<Decimal>,
    /// What the fills were worth over how much filled, quote asset, to eight places.
    pub average_price: Decimal,
    /// How many fills there were.
    pub fills: usize,
}

pub(crate) fn of_order(symbol: &Symbol, order_id: u64) -> Form {
    Form::new()
        .with("symbol", symbol)
        .with("orderId", order_id)
        .with("limit", PAGE)
}

pub(crate) fn since(symbol: &Symbol, start: VenueTime) -> Form {
    Form::new()
        .with("symbol", symbol)
        .with("startTime", start)
        .with("limit", PAGE)
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow, rename = "orderId")]
    order_id: Field<'a>,
    #[serde(borrow)]
    symbol: Field<'a>,
    #[serde(borrow)]
    side: Field<'a>,
    #[serde(borrow, rename = "positionSide")]
    position_side: Field<'a>,
    #[serde(borrow)]
    price: Field<'a>,
    #[serde(borrow)]
    qty: Field<'a>,
    #[serde(borrow)]
    commission: Field<'a>,
    #[serde(borrow, rename = "commissionAsset")]
    commission_asset: Field<'a>,
    #[serde(borrow, rename = "realizedPnl")]
    realized_profit: Field<'a>,
    #[serde(borrow)]
    time: Field<'a>,
}

/// Every fill of the answer. One that cannot be read fails it: it would pass for one that never happened.
pub(crate) fn decode(
    symbol: &Symbol,
    body: &[u8],
    notes: &mut Notes,
) -> Result<Vec<Trade>, DecodeError> {
    let entries: Vec<Raw<'_>> = fields::read("userTrades", body)?;
    let mut place = notes.of("userTrades", Some(symbol));
    let fills = entries.iter();
    fills
        .map(|raw| decode_one(symbol, raw, &mut place))
        .collect()
}

fn decode_one(symbol: &Symbol, raw: &Raw<'_>, place: &mut Place<'_>) -> Result<Trade, DecodeError> {
    let trade = Trade {
        id: fields::integer("id", raw.id)?,
        order_id: fields::integer("orderId", raw.order_id)?,
        symbol: fields::name("symbol", raw.symbol)?,
        side: fields::word("side", raw.side, Side::from_word)?,
        position_side: fields::optional("positionSide", raw.position_side, |name, field| {
            fields::word(name, field, PositionSide::from_word)
        })?,
        price: fields::decimal("price", raw.price)?,
        quantity: fields::decimal("qty", raw.qty)?,
        commission: fields::informational(place, "commission", raw.commission, fields::decimal),
        commission_asset: fields::informational(
            place,
            "commissionAsset",
            raw.commission_asset,
            fields::text,
        )
        .map(Cow::into_owned),
        realized_profit: fields::informational(
            place,
            "realizedPnl",
            raw.realized_profit,
            fields::decimal,
        ),
        at: fields::time("time", raw.time)?,
    };
    fields::same("symbol", symbol, &trade.symbol)?;
    for (name, number) in [("qty", trade.quantity), ("price", trade.price)] {
        if number <= Decimal::ZERO {
            return Err(DecodeError::new(name, format!("{number} is no fill")));
        }
    }
    Ok(trade)
}

/// Adds up the fills of an order that executed `executed` in all. `None` while fills are missing, or say nothing of profit
/// or fee: the venue shows them a little later than the order, and a part of a profit would pass for the whole.
pub(crate) fn profit(
    trades: &[Trade],
    order_id: u64,
    executed: Decimal,
    margin_asset: Option<&str>,
) -> Option<RealizedProfit> {
    let mut seen = HashSet::new();
    let (mut gross, mut filled, mut fills) = (Decimal::ZERO, Decimal::ZERO, 0);
    let mut worth = Decimal::ZERO;
    let mut commission = BTreeMap::<String, Decimal>::new();
    for trade in trades.iter().filter(|trade| trade.order_id == order_id) {
        if !seen.insert(trade.id) {
            continue;
        }
        gross = gross.checked_add(trade.realized_profit?)?;
        filled = filled.checked_add(trade.quantity)?;
        worth = worth.checked_add(trade.price.checked_mul(trade.quantity)?)?;
        let fee = commission
            .entry(trade.commission_asset.clone()?)
            .or_default();
        *fee = fee.checked_add(trade.commission?)?;
        fills += 1;
    }
    if fills == 0 || filled != executed {
        return None;
    }
    let net = commission.iter().try_fold(gross, |rest, (asset, fee)| {
        if fee.is_zero() {
            return Some(rest);
        }
        (Some(asset.as_str()) == margin_asset)
            .then(|| rest.checked_sub(*fee))
            .flatten()
    });
    Some(RealizedProfit {
        gross,
        commission,
        net,
        average_price: worth.checked_div(filled)?.round_dp(8).normalize(),
        fills,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn fill(id: u64, qty: &str, profit: &str, fee: &str, asset: &str) -> String {
        format!(
            r#"{{"id":{id},"orderId":7,"symbol":"BTCUSDT","side":"SELL","positionSide":"BOTH","price":"64000","qty":"{qty}",
            "commission":"{fee}","commissionAsset":"{asset}","realizedPnl":"{profit}","time":5,"maker":false}}"#
        )
    }

    fn read(fills: &[String]) -> Vec<Trade> {
        decode(
            &"BTCUSDT".parse().unwrap(),
            format!("[{}]", fills.join(",")).as_bytes(),
            &mut Notes::default(),
        )
        .unwrap()
    }

    #[test]
    fn profit_is_the_exact_sum_with_fees_apart() {
        let trades = read(&[
            fill(1, "0.005", "0.10", "0.03", "USDT"),
            fill(2, "0.003", "-0.04", "0.01", "USDT"),
        ]);
        let profit = profit(&trades, 7, d("0.008"), Some("USDT")).unwrap();
        assert_eq!(
            (profit.gross, profit.net, profit.fills),
            (d("0.06"), Some(d("0.02")), 2)
        );
        assert_eq!(profit.commission["USDT"], d("0.04"));
    }

    #[test]
    fn profit_is_absent_until_every_fill_is_there() {
        let trades = read(&[fill(1, "0.005", "0.10", "0.03", "USDT")]);
        assert_eq!(profit(&trades, 7, d("0.008"), Some("USDT")), None);
        assert_eq!(profit(&[], 7, d("0.008"), Some("USDT")), None);
        assert_eq!(profit(&trades, 8, d("0.005"), Some("USDT")), None);
        let twice = read(&[
            fill(1, "0.004", "1", "0", "USDT"),
            fill(1, "0.004", "1", "0", "USDT"),
        ]);
        assert_eq!(profit(&twice, 7, d("0.008"), Some("USDT")), None);
    }

    #[test]
    fn net_is_absent_where_a_fee_was_taken_in_another_asset() {
        let trades = read(&[fill(1, "0.008", "0.10", "0.0001", "BNB")]);
        let in_bnb = profit(&trades, 7, d("0.008"), Some("USDT")).unwrap();
        assert_eq!((in_bnb.gross, in_bnb.net), (d("0.10"), None));
        assert_eq!(profit(&trades, 7, d("0.008"), None).unwrap().net, None);
    }

    #[test]
    fn an_unreadable_fill_is_an_error_and_never_a_smaller_profit() {
        let btc: Symbol = "BTCUSDT".parse().unwrap();
        let good = fill(1, "0.005", "0.10", "0.03", "USDT");
        for (from, to, place) in [
            ("\"qty\"", "\"quantity\"", "qty"),
            ("\"time\":5", "\"time\":\"?\"", "time"),
            ("BTCUSDT", "ETHUSDT", "symbol"),
        ] {
            let body = format!("[{good},{}]", good.replacen(from, to, 1));
            let read = decode(&btc, body.as_bytes(), &mut Notes::default());
            assert_eq!(read.unwrap_err().place(), place);
        }
        // That it filled is known; what it earned is not.
        for (from, to) in [
            ("\"0.10\"", "\"?\""),
            ("\"0.03\"", "\"\""),
            ("\"USDT\"", "7"),
            ("\"commission\"", "\"fee\""),
        ] {
            let trades = read(&[good.replacen(from, to, 1)]);
            assert_eq!(trades[0].quantity, d("0.005"), "{to}");
            assert_eq!(profit(&trades, 7, d("0.005"), Some("USDT")), None, "{to}");
        }
    }
}
