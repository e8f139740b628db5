//! The venue's limits: known from its replies, shared by all clones, and a stop that stops everything.

use crate::{Setup, btc, client_of, d, judge, settings};
use exchange_client::{Departure, NotSentReason, RequestError, Submission};
use exchange_sim::{Canned, Fault, Limits, Sim, SimConfig, When};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::time::Duration;

#[tokio::test]
async fn a_stop_holds_for_all_clones_and_for_orders_too() {
    for canned in [
        Canned::too_many_requests_429().retry_after(60),
        Canned::raw(418, ""),
        Canned::banned_418(4_000_000_000_000),
    ] {
        let setup = Setup::open().await;
        let (clone, order) = (setup.client.clone(), setup.prepare("stopped-1").await);
        setup.sim.handle().script(Fault::reply(
            When::request("GET", "/fapi/v1/premiumIndex"),
            false,
            canned,
        ));
        let stopped = setup.client.fetch_mark_price(&btc()).await;
        assert!(
            matches!(stopped, Err(RequestError::Stopped { .. })),
            "{stopped:?}"
        );
        setup.sim.handle().clear_requests();
        let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
        let ending = clone.submit(order, quantity).await;
        let Submission::NotSent(not) = ending else {
            panic!("{ending:?}")
        };
        assert!(matches!(not.reason, NotSentReason::Limited(_)));
        assert!(matches!(
            clone.fetch_positions(None).await,
            Err(RequestError::Limited(_))
        ));
        assert!(
            setup.sim.handle().requests().is_empty(),
            "something was sent during a stop"
        );
        assert!(clone.usage().stopped_for > Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_short_stop_is_waited_out_by_questions() {
    let mut settings = settings();
    settings.max_limit_wait = Duration::from_secs(3);
    let setup = Setup::with_settings(
        SimConfig::default().position("BTCUSDT", d("0.0124")),
        settings,
    )
    .await;
    let busy = Canned::too_many_requests_429().retry_after(1);
    setup
        .sim
        .handle()
        .script(Fault::reply(When::order(), false, busy));
    let (_, ending) = setup.close("waited-1").await;
    assert!(matches!(ending, Submission::NotSent(_)));
    assert_eq!(setup.client.fetch_positions(None).await.unwrap().len(), 1);
}

/// A client of a venue that states these limits and enforces them.
async fn limited_setup(limits: Limits) -> Setup {
    let config = SimConfig::default()
        .position("BTCUSDT", d("1"))
        .limits(limits);
    let sim = Sim::start(judge(config)).await.unwrap();
    let line = |kind: &str, interval: &str, number: u32, limit: u32| {
        format!(
            r#"{{"rateLimitType":"{kind}","interval":"{interval}","intervalNum":{number},"limit":{limit}}}"#
        )
    };
    let lot = r#""minQty":"0.0001","maxQty":"100","stepSize":"0.0001""#;
    let body = format!(
        r#"{{"rateLimits":[{},{},{}],"symbols":[{{"symbol":"BTCUSDT","status":"TRADING","filters":[
        {{"filterType":"LOT_SIZE",{lot}}},{{"filterType":"MARKET_LOT_SIZE",{lot}}}]}}]}}"#,
        line("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute),
        line("ORDERS", "SECOND", 10, limits.orders_per_10s),
        line("ORDERS", "MINUTE", 1, limits.orders_per_minute),
    );
    let info = When::request("GET", "/fapi/v1/exchangeInfo");
    sim.handle()
        .script(Fault::reply(info, true, Canned::raw(200, &body)).always());
    let client = client_of(&sim, settings());
    client.warm_up().await.unwrap();
    let rules = client.fetch_rules(&btc()).await.unwrap();
    sim.handle().clear_requests();
    Setup { sim, client, rules }
}

#[tokio::test]
async fn the_order_count_of_the_venue_stops_orders_before_the_venue_has_to() {
    let setup = limited_setup(Limits {
        orders_per_10s: 3,
        ..Limits::test_host()
    })
    .await;
    assert_eq!(setup.client.usage().orders_10s_limit, 3);
    let opened = setup.client.server_time();
    let mut sent = 0;
    for number in 0..12 {
        let (_, ending) = setup.close(&format!("many-{number}")).await;
        match ending {
            Submission::Accepted(_) => sent += 1,
            Submission::NotSent(not) => {
                assert!(matches!(not.reason, NotSentReason::Limited(_)));
                assert_eq!(not.reply, None, "the venue had to say it");
            }
            other => panic!("{other:?}"),
        }
    }
    // Three to a window of ten seconds, and however many windows the test has seen.
    let windows = setup.client.server_time().as_millis() / 10_000 - opened.as_millis() / 10_000 + 1;
    assert!(
        (3..=3 * windows).contains(&sent),
        "{sent} sent in {windows} windows"
    );
    assert_eq!(setup.posts(), sent);
}

#[tokio::test]
async fn questions_run_out_of_room_before_orders_do() {
    let setup = limited_setup(Limits {
        weight_per_minute: 200,
        ..Limits::test_host()
    })
    .await;
    let order = setup.prepare("room-1").await;
    let mut refused = None;
    for _ in 0..200 {
        if let Err(error) = setup.client.fetch_positions(None).await {
            refused = Some(error);
            break;
        }
    }
    assert!(
        matches!(refused, Some(RequestError::Limited(_))),
        "{refused:?}"
    );
    let usage = setup.client.usage();
    assert!(
        usage.weight <= 160 && usage.stopped_for.is_zero(),
        "the venue had to say stop: {usage:?}"
    );
    let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
    assert!(
        setup
            .client
            .submit(order, quantity)
            .await
            .accepted()
            .is_some()
    );
    let asked = setup
        .client
        .fetch_order(&btc(), &"room-1".parse().unwrap())
        .await;
    assert!(
        asked.unwrap().is_some(),
        "asking about an order has the last of the weight"
    );
}

#[tokio::test]
async fn a_question_that_waits_for_its_turn_is_silent_only_where_the_turns_stand_still() {
    const AT_ONCE: usize = 16;
    let setup = Setup::open().await;
    let (symbol, departure) = (btc(), Departure::new());
    let asked = setup.client.silent_since(&departure);
    let last = setup.client.noting(&departure);
    // Two rounds before it.
    let mut crowd = FuturesUnordered::new();
    for _ in 0..2 * AT_ONCE {
        crowd.push(setup.client.fetch_positions(Some(&symbol)));
    }
    crowd.push(last.fetch_positions(Some(&symbol)));
    assert_eq!(setup.client.silent_since(&departure), asked);
    for _ in 0..AT_ONCE {
        crowd.next().await.unwrap().unwrap();
    }
    let turns_went_on = setup.client.silent_since(&departure);
    assert!(turns_went_on > asked);
    while let Some(answer) = crowd.next().await {
        answer.unwrap();
    }
    let left = setup.client.silent_since(&departure);
    assert!(left > turns_went_on);
    // What others are answered says nothing of a question that has left.
    setup.client.fetch_positions(Some(&symbol)).await.unwrap();
    assert_eq!(setup.client.silent_since(&departure), left);
}
