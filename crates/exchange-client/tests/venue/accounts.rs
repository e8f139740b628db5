//! One-way and hedge accounts, HMAC and Ed25519 keys, and what a close earned.

use crate::{Setup, btc, d, judge, settings};
use exchange_client::{
    Client, CloseError, Credentials, NotSentReason, PositionMode, PositionSide, Submission,
};
use exchange_sim::{
    ApiKey, Fault, Fill, HiddenFor, PositionSide as Leg, Script, Sim, SimConfig, When,
};
use rust_decimal::Decimal;

#[tokio::test]
async fn a_long_and_a_short_are_closed_from_the_right_side() {
    for (amount, left) in [("0.0124", "0.0044"), ("-0.0124", "-0.0044")] {
        let config = SimConfig::default().position("BTCUSDT", d(amount));
        let setup = Setup::with(config.old_replies()).await;
        let (_, ending) = setup.close("side-1").await;
        let report = ending.accepted().unwrap();
        assert_eq!(report.executed_quantity, d("0.008"));
        assert_eq!(report.average_price, Some(d("64000")));
        assert_eq!(setup.sim.handle().position("BTCUSDT"), d(left));
        let sent = setup.sim.handle().orders().remove(0).params;
        assert!(
            sent.contains("reduceOnly=true") && sent.contains("quantity=0.008&"),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn hedge_mode_closes_the_named_leg_without_reduce_only() {
    let config = SimConfig::default()
        .hedge_mode()
        .leg("BTCUSDT", Leg::Long, d("0.02"))
        .leg("BTCUSDT", Leg::Short, d("-0.01"));
    let setup = Setup::with(config).await;
    let mode = setup.client.fetch_position_mode().await.unwrap();
    assert_eq!(mode, PositionMode::Hedge);
    let positions = setup.client.fetch_positions(Some(&btc())).await.unwrap();
    assert_eq!(positions.len(), 2);
    for position in positions {
        let id = format!("hedge-{}", position.side).parse().unwrap();
        let order = setup
            .client
            .prepare_close(&position, mode, &setup.rules, id)
            .unwrap();
        let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
        let ending = setup.client.submit(order, quantity).await;
        assert_eq!(
            ending.accepted().unwrap().position_side,
            Some(position.side)
        );
    }
    assert_eq!(setup.sim.handle().leg("BTCUSDT", Leg::Long), d("0.012"));
    assert_eq!(setup.sim.handle().leg("BTCUSDT", Leg::Short), d("-0.002"));
    assert!(
        setup
            .sim
            .handle()
            .orders()
            .iter()
            .all(|order| !order.params.contains("reduceOnly"))
    );
}

#[tokio::test]
async fn a_mode_that_was_switched_is_noticed_and_asked_for_again() {
    let setup = Setup::open().await;
    let order = setup.prepare("switch-1").await;
    setup.sim.handle().set_hedge_mode(true);
    let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
    let ending = setup.client.submit(order, quantity).await;
    assert!(matches!(ending, Submission::Rejected(_)), "{ending:?}");
    assert_eq!(
        setup.client.fetch_position_mode().await.unwrap(),
        PositionMode::Hedge
    );
    setup.sim.handle().set_leg("BTCUSDT", Leg::Long, d("0.01"));
    let positions = setup.client.fetch_positions(Some(&btc())).await.unwrap();
    let long = positions
        .iter()
        .find(|p| p.side == PositionSide::Long)
        .unwrap();
    let wrong = setup.client.prepare_close(
        long,
        PositionMode::OneWay,
        &setup.rules,
        "switch-2".parse().unwrap(),
    );
    assert!(matches!(wrong, Err(CloseError::ModeMismatch { .. })));
}

#[tokio::test]
async fn an_ed25519_key_trades_like_an_hmac_key() {
    // Section 10.3 of RFC 8410: a published private key and its public half.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let public = [
        0x19, 0xbf, 0x44, 0x09, 0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc, 0x3b,
        0x96, 0xc8, 0x50, 0x86, 0xaa, 0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad, 0x70, 0x31,
        0x66, 0xe1,
    ];
    let config = SimConfig::default()
        .position("BTCUSDT", d("0.0124"))
        .key(ApiKey::ed25519("PublicKeyName", public));
    let sim = Sim::start(judge(config)).await.unwrap();
    let credentials = Credentials::ed25519("PublicKeyName", pem).unwrap();
    let client = Client::new(sim.url().parse().unwrap(), credentials, settings()).unwrap();
    client.warm_up().await.unwrap();
    let rules = client.fetch_rules(&btc()).await.unwrap();
    // Base64 signatures differ from one order to the next in the letters that need encoding.
    for number in 0..20 {
        let position = client
            .fetch_positions(Some(&btc()))
            .await
            .unwrap()
            .remove(0);
        let id = format!("ed-{number}").parse().unwrap();
        let order = client
            .prepare_close(&position, PositionMode::OneWay, &rules, id)
            .unwrap();
        let ending = client
            .submit(order, rules.cut_quantity(d("0.0001")).unwrap())
            .await;
        assert!(ending.accepted().is_some(), "{ending:?}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_rejected_and_named() {
    let setup = Setup::open().await;
    let order = setup.prepare("wrong-1").await;
    let credentials = Credentials::hmac(SimConfig::API_KEY, "wrong").unwrap();
    let stranger = Client::new(setup.sim.url().parse().unwrap(), credentials, settings()).unwrap();
    let ending = stranger
        .submit(order, setup.rules.cut_quantity(d("0.008")).unwrap())
        .await;
    assert!(matches!(ending, Submission::Rejected(no) if no.code == -1022));
}

#[tokio::test]
async fn profit_comes_from_the_fills_with_fees_apart_and_is_absent_until_they_are_there() {
    let config = SimConfig::default().position_at("BTCUSDT", d("0.0124"), d("63000"));
    let setup = Setup::with(config).await;
    let script = Script {
        fill: Some(Fill::in_trades(4)),
        hide_trades: Some(HiddenFor::queries(1)),
        ..Script::default()
    };
    setup
        .sim
        .handle()
        .script(Fault::scripted(When::order(), script));
    let (_, ending) = setup.close("profit-1").await;
    let report = ending.accepted().unwrap();
    assert_eq!(setup.client.fetch_profit(report).await.unwrap(), None);
    let profit = setup.client.fetch_profit(report).await.unwrap().unwrap();
    assert_eq!((profit.gross, profit.fills), (d("8"), 4));
    let fees: Decimal = profit.commission.values().sum();
    assert!(fees > Decimal::ZERO);
    assert_eq!(profit.net, Some(profit.gross - fees));
}

#[tokio::test]
async fn a_terse_reply_leaves_price_and_worth_absent() {
    let setup = Setup::with(
        SimConfig::default()
            .position("BTCUSDT", d("0.0124"))
            .old_replies()
            .terse_results(),
    )
    .await;
    let (_, ending) = setup.close("terse-1").await;
    let report = ending.accepted().unwrap();
    assert_eq!(
        (report.average_price, report.cumulative_quote),
        (None, None)
    );
    assert_eq!(report.executed_quantity, d("0.008"));
}

#[tokio::test]
async fn an_id_is_posted_once_even_where_the_first_order_filled_and_freed_it() {
    let setup = Setup::open().await;
    let (_, first) = setup.close("once-1").await;
    assert!(first.accepted().is_some());
    let clone = setup.client.clone();
    let again = clone
        .submit(
            setup.prepare("once-1").await,
            setup.rules.cut_quantity(d("0.001")).unwrap(),
        )
        .await;
    assert!(
        matches!(again, Submission::NotSent(not) if not.reason == NotSentReason::AlreadySubmitted)
    );
    assert_eq!(setup.sim.handle().orders_of("once-1").len(), 1);
}
