//! What holds whatever is sent: nothing panics, and the log, the trades and the position agree.
use super::{Answered, Venue};
use crate::{
    config::{PositionSide, SimConfig},
    fault::{Fill, Script},
    http::Request,
    symbol::SymbolSpec,
};
use hmac::{Hmac, KeyInit, Mac};
use proptest::{prelude::*, sample::select};
use rust_decimal::Decimal;
use sha2::Sha256;

const NOW: i64 = 1_700_000_000_000;

fn signed(method: &str, path: &str, params: &str) -> Request {
    let text = format!("{params}&timestamp={NOW}");
    let mut mac = Hmac::<Sha256>::new_from_slice(SimConfig::API_SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let signature: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Request {
        method: method.into(),
        path: path.into(),
        query: format!("{text}&signature={signature}"),
        api_key: Some(SimConfig::API_KEY.into()),
        keep_alive: true,
        ..Request::default()
    }
}

fn venue(amount: Decimal) -> Venue {
    Venue::new(&SimConfig::default().position("BTCUSDT", amount))
}

fn names() -> impl Strategy<Value = &'static str> {
    select(vec![
        "symbol",
        "side",
        "positionSide",
        "type",
        "timeInForce",
        "quantity",
        "reduceOnly",
        "price",
        "newClientOrderId",
        "newOrderRespType",
        "algoType",
        "triggerPrice",
        "closePosition",
        "clientAlgoId",
        "orderId",
        "origClientOrderId",
        "limit",
        "startTime",
        "recvWindow",
        "%zz",
        "",
    ])
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "BTCUSDT",
            "SELL",
            "BUY",
            "BOTH",
            "LONG",
            "MARKET",
            "LIMIT",
            "STOP_MARKET",
            "GTC",
            "IOC",
            "0.001",
            "120",
            "64000",
            "79228162514264337593543950335",
            "0.0000000000000000000000000001",
            "-9223372036854775808",
            "9223372036854775807",
            "true",
            "false",
            "RESULT",
            "CONDITIONAL",
            "a",
            "",
            "%",
            "nan",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,12}",
    ]
}

fn endpoints() -> impl Strategy<Value = (&'static str, &'static str)> {
    select(
        super::served()
            .map(|served| (served.method, served.path))
            .collect::<Vec<_>>(),
    )
}

proptest! {
    #[test]
    fn no_parameters_make_the_venue_panic(
        (method, path) in endpoints(),
        pairs in prop::collection::vec((names(), values()), 0..12),
    ) {
        let params: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut venue = venue(Decimal::ONE);
        let Answered { reply, .. } = venue.answer(&signed(method, path, &params.join("&")), NOW, &Script::default());
        prop_assert!(matches!(reply.status, 200 | 400), "{} {}", reply.status, reply.body);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&reply.body).is_ok(), "{}", reply.body);
    }

    #[test]
    fn reduce_only_orders_never_grow_or_turn_a_position_and_the_sums_agree(
        start in -2_000_i64..2_000,
        orders in prop::collection::vec((any::<bool>(), 1_i64..3_000, 0_i64..3_000, 1_u32..5), 1..20),
    ) {
        let start = Decimal::new(start, 4);
        let mut venue = venue(start);
        let mut held = start;
        for (buys, quantity, fills, trades) in orders {
            let side = if buys { "BUY" } else { "SELL" };
            let params = format!(
                "symbol=BTCUSDT&side={side}&type=MARKET&quantity={}&reduceOnly=true&newOrderRespType=RESULT",
                Decimal::new(quantity, 4)
            );
            let fill = Fill { quantity: Some(Decimal::new(fills, 4)), trades, ..Fill::default() };
            let script = Script { fill: Some(fill), ..Script::default() };
            let verdict = venue.answer(&signed("POST", "/fapi/v1/order", &params), NOW, &script).verdict.unwrap();
            let after = venue.position(0, "BTCUSDT", PositionSide::Both).amount;
            let signed = if buys { verdict.executed_qty } else { -verdict.executed_qty };
            prop_assert_eq!(held + signed, after);
            prop_assert!(after.abs() <= held.abs());
            prop_assert!(after.is_zero() || after.is_sign_positive() == held.is_sign_positive());
            if let Some(id) = verdict.order_id {
                let order = venue.accounts[0].book.get(id).unwrap();
                let sum: Decimal = order.trades.iter().map(|trade| trade.quantity).sum();
                prop_assert_eq!(sum, verdict.executed_qty);
                prop_assert!(order.trades.iter().all(|trade| trade.quantity > Decimal::ZERO));
            }
            held = after;
        }
    }

    #[test]
    fn a_market_quantity_is_accepted_exactly_when_it_is_a_step_within_the_bounds(ticks in -10_i64..2_000_000) {
        let btc = SymbolSpec::btcusdt();
        let quantity = Decimal::new(ticks, 5);
        let fits = ticks % 10 == 0 && quantity >= btc.market_lot.min && quantity <= btc.market_lot.max;
        prop_assert_eq!(btc.check_quantity(quantity, true).is_ok(), fits);
    }
}
