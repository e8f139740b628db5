//! Whatever bytes arrive, decoding ends in a value or an error. `PROPTEST_CASES=10000000 cargo test --release decoders` is
//! the long run.

use super::{clock, exchange_info::ExchangeInfo, order, position, premium, stop, trades};
use crate::{omissions::Notes, reply::Reply};
use proptest::{collection::vec, prelude::*};

const TRUE_REPLIES: [&str; 7] = [
    r#"{"serverTime":1769301008977}"#,
    r#"{"symbol":"BTCUSDT","markPrice":"64000.10"}"#,
    r#"[{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"-0.0120","entryPrice":"1","updateTime":17}]"#,
    r#"{"orderId":119,"clientOrderId":"al-1","symbol":"BTCUSDT","side":"SELL","positionSide":"BOTH","status":"FILLED","executedQty":"0.0080","origQty":"0.008","avgPrice":"64000.10","cumQuote":"512.0008","updateTime":1769301008977}"#,
    r#"[{"id":1,"orderId":7,"symbol":"BTCUSDT","side":"SELL","positionSide":"BOTH","price":"64000","qty":"0.005","commission":"0.1","commissionAsset":"USDT","realizedPnl":"-1","time":5}]"#,
    r#"{"algoId":21,"clientAlgoId":"sl-1","orderType":"STOP_MARKET","symbol":"BTCUSDT","side":"SELL","positionSide":"BOTH","quantity":"0.010","algoStatus":"NEW","triggerPrice":"60000.0","closePosition":false,"reduceOnly":true}"#,
    r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","quantityPrecision":3,"filters":[{"filterType":"LOT_SIZE","minQty":"0.001","maxQty":"1000","stepSize":"0.001"},{"filterType":"MARKET_LOT_SIZE","minQty":"0.001","maxQty":"120","stepSize":"0.001"}]}],"rateLimits":[{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200}]}"#,
];

/// Feeds a body to every decoder and computes with whatever comes out.
fn decode_all(body: &[u8]) {
    let symbol = "BTCUSDT".parse().expect("a symbol");
    let notes = &mut Notes::default();
    let _ = clock::decode(body).map(|time| time.plus(std::time::Duration::MAX).since(time));
    let _ = premium::decode(&symbol, body);
    let _ = position::decode(position::Wanted::One(&symbol), body, notes)
        .map(|all| all.iter().map(|p| p.size()).max());
    let _ = position::decode(position::Wanted::All, body, notes);
    let _ = position::decode_mode(body);
    let _ = trades::decode(&symbol, body, notes)
        .map(|all| trades::profit(&all, 7, rust_decimal::Decimal::ONE, Some("USDT")));
    let _ = stop::decode(body);
    let _ = stop::decode_open(Some(&symbol), body, notes);
    if let Ok(info) = ExchangeInfo::decode(body)
        && let Ok(rules) = info.rules(&symbol)
    {
        for wanted in [
            rust_decimal::Decimal::ONE,
            rust_decimal::Decimal::MAX,
            rust_decimal::Decimal::MIN,
        ] {
            let _ = rules.cut_quantity(wanted);
            let _ = rules.round_trigger(wanted, crate::Side::Sell);
        }
    }
    if let Ok(report) = order::decode(body, notes) {
        assert!(
            report.average_price.is_none_or(|price| !price.is_zero()),
            "a price of zero"
        );
        assert!(!report.executed_quantity.is_sign_negative() || report.executed_quantity.is_zero());
    }
    let _ = Reply::read(400, body, &["secret"]);
}

/// A true reply with a few of its bytes replaced, removed or repeated, or with one of its values swapped for another kind.
fn nearly_true() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0u8..5, any::<u8>());
    (0..TRUE_REPLIES.len(), vec(edit, 0..4)).prop_map(|(which, edits)| {
        let mut body = TRUE_REPLIES[which].as_bytes().to_vec();
        for (place, kind, byte) in edits {
            if body.is_empty() {
                break;
            }
            let at = place.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => drop(body.remove(at)),
                2 => body.insert(at, byte),
                3 => body.truncate(at),
                _ => {
                    let odd: &[u8] = match byte % 8 {
                        0 => b"null",
                        1 => b"-1",
                        2 => b"1e999",
                        3 => b"\"NaN\"",
                        4 => b"99999999999999999999999999999999",
                        5 => b"[[]]",
                        6 => b"\"\\ud800\"",
                        _ => b"0.0000000000000000000000000000001",
                    };
                    let colon = body[at..]
                        .iter()
                        .position(|&b| b == b':')
                        .map(|i| at + i + 1);
                    if let Some(start) = colon {
                        let end = body[start..]
                            .iter()
                            .position(|&b| matches!(b, b',' | b'}'))
                            .map_or(body.len(), |i| start + i);
                        body.splice(start..end, odd.iter().copied());
                    }
                }
            }
        }
        body
    })
}

proptest! {
    #[test]
    fn decoders_take_any_bytes_without_a_panic(body in vec(any::<u8>(), 0..300)) {
        decode_all(&body);
    }

    #[test]
    fn decoders_take_damaged_replies_without_a_panic(body in nearly_true()) {
        decode_all(&body);
    }
}

#[test]
fn the_undamaged_replies_are_all_readable() {
    let symbol = "BTCUSDT".parse().expect("a symbol");
    let notes = &mut Notes::default();
    assert!(clock::decode(TRUE_REPLIES[0].as_bytes()).is_ok());
    assert!(premium::decode(&symbol, TRUE_REPLIES[1].as_bytes()).is_ok());
    assert_eq!(
        position::decode(position::Wanted::All, TRUE_REPLIES[2].as_bytes(), notes)
            .map(|all| all.len()),
        Ok(1)
    );
    assert!(order::decode(TRUE_REPLIES[3].as_bytes(), notes).is_ok());
    assert_eq!(
        trades::decode(&symbol, TRUE_REPLIES[4].as_bytes(), notes).map(|all| all.len()),
        Ok(1)
    );
    assert!(stop::decode(TRUE_REPLIES[5].as_bytes()).is_ok());
    assert!(notes.is_empty(), "{notes:?}");
    let info = ExchangeInfo::decode(TRUE_REPLIES[6].as_bytes()).expect("readable");
    assert!(info.rules(&symbol).is_ok());
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    for open in ["[", "{\"a\":", "{\"orderId\":["] {
        decode_all(open.repeat(100_000).as_bytes());
    }
}
