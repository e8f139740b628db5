//! The venue's limits: known from its replies, shared by all clones, and a stop that stops everything.

use std::time::Duration;

use exchange_client::{NotSentReason, RequestError, Submission};
use exchange_sim::{Canned, Fault, Limits, Sim, SimConfig, When};

use crate::{Desk, btc, client_of, d, judge, settings};

#[tokio::test]
async fn a_stop_holds_for_all_clones_and_for_orders_too() {
    for canned in [
        Canned::too_many_requests_429().retry_after(60),
        Canned::raw(418, ""),
        Canned::banned_418(4_000_000_000_000),
    ] {
        let desk = Desk::open().await;
        let (clone, order) = (desk.client.clone(), desk.prepare("stopped-1").await);
        desk.sim.handle().script(Fault::reply(
            When::request("GET", "/fapi/v1/premiumIndex"),
            false,
            canned,
        ));
        let stopped = desk.client.fetch_mark_price(&btc()).await;
        assert!(
            matches!(stopped, Err(RequestError::Stopped { .. })),
            "{stopped:?}"
        );
        desk.sim.handle().clear_requests();
        let quantity = desk.rules.cut_quantity(d("0.008")).unwrap();
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
            desk.sim.handle().requests().is_empty(),
            "something was sent during a stop"
        );
        assert!(clone.usage().stopped_for > Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_short_stop_is_waited_out_by_questions() {
    let mut settings = settings();
    settings.max_limit_wait = Duration::from_secs(3);
    let desk = Desk::with_settings(
        SimConfig::default().position("BTCUSDT", d("0.0124")),
        settings,
    )
    .await;
    let busy = Canned::too_many_requests_429().retry_after(1);
    desk.sim
        .handle()
        .script(Fault::reply(When::order(), false, busy));
    let (_, ending) = desk.close("waited-1").await;
    assert!(matches!(ending, Submission::NotSent(_)));
    assert_eq!(desk.client.fetch_positions(None).await.unwrap().len(), 1);
}

/// A desk at a venue that states these limits and enforces them.
async fn limited_desk(limits: Limits) -> Desk {
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
    Desk { sim, client, rules }
}

#[tokio::test]
async fn the_order_count_of_the_venue_stops_orders_before_the_venue_has_to() {
    let desk = limited_desk(Limits {
        orders_per_10s: 3,
        ..Limits::test_host()
    })
    .await;
    assert_eq!(desk.client.usage().orders_10s_limit, 3);
    let opened = desk.client.server_time();
    let mut sent = 0;
    for number in 0..12 {
        let (_, ending) = desk.close(&format!("many-{number}")).await;
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
    let windows = desk.client.server_time().as_millis() / 10_000 - opened.as_millis() / 10_000 + 1;
    assert!(
        (3..=3 * windows).contains(&sent),
        "{sent} sent in {windows} windows"
    );
    assert_eq!(desk.posts(), sent);
}

#[tokio::test]
async fn questions_run_out_of_room_before_orders_do() {
    let desk = limited_desk(Limits {
        weight_per_minute: 200,
        ..Limits::test_host()
    })
    .await;
    let order = desk.prepare("room-1").await;
    let mut refused = None;
    for _ in 0..200 {
        if let Err(error) = desk.client.fetch_positions(None).await {
            refused = Some(error);
            break;
        }
    }
    assert!(
        matches!(refused, Some(RequestError::Limited(_))),
        "{refused:?}"
    );
    let usage = desk.client.usage();
    assert!(
        usage.weight <= 160 && usage.stopped_for.is_zero(),
        "the venue had to say stop: {usage:?}"
    );
    let quantity = desk.rules.cut_quantity(d("0.008")).unwrap();
    assert!(
        desk.client
            .submit(order, quantity)
            .await
            .accepted()
            .is_some()
    );
    let asked = desk
        .client
        .fetch_order(&btc(), &"room-1".parse().unwrap())
        .await;
    assert!(
        asked.unwrap().is_some(),
        "asking about an order has the last of the weight"
    );
}
