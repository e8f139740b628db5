//! The venue's clock: measured, trusted for a while, measured again when the venue refuses a timestamp.

use crate::{Setup, client_of, d, settings};
use exchange_client::{NotSentReason, Submission};
use exchange_sim::{Canned, Fault, SimConfig, When};
use std::time::Duration;

const TIME: &str = "/fapi/v1/time";

#[tokio::test]
async fn a_venue_whose_clock_differs_still_gets_timestamps_it_accepts() {
    for offset in [-3_000, 3_000] {
        let config = SimConfig::default()
            .position("BTCUSDT", d("0.0124"))
            .clock_offset_ms(offset);
        let setup = Setup::with(config).await;
        let (_, ending) = setup.close("skew-1").await;
        assert!(ending.accepted().is_some(), "{ending:?}");
        let reading = setup.client.clock().unwrap();
        // Half a second is what a busy machine may lose between reading its two clocks.
        assert!(
            (reading.offset.as_millis() - offset).abs() < 500,
            "{reading:?}"
        );
    }
}

#[tokio::test]
async fn beyond_the_limit_no_order_is_sent_and_the_error_says_why() {
    let config = SimConfig::default()
        .position("BTCUSDT", d("0.0124"))
        .clock_offset_ms(-60_000);
    let setup = Setup::with(config).await;
    let (_, ending) = setup.close("drift-1").await;
    let Submission::NotSent(not) = ending else {
        panic!("{ending:?}")
    };
    assert!(matches!(not.reason, NotSentReason::ClockDrift { .. }));
    assert!(not.to_string().contains("set the clock"), "{not}");
    assert_eq!(setup.posts(), 0);
}

#[tokio::test]
async fn a_refused_timestamp_is_not_sent_and_the_next_order_measures_the_time_first() {
    for refusal in [Canned::outside_window_1021(), Canned::outside_window_5028()] {
        let setup = Setup::open().await;
        setup
            .sim
            .handle()
            .script(Fault::reply(When::order(), false, refusal));
        let order = setup.prepare("refused-1").await;
        let next = setup.prepare("refused-2").await;
        let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
        let ending = setup.client.submit(order, quantity).await;
        let Submission::NotSent(not) = ending else {
            panic!("{ending:?}")
        };
        assert_eq!(not.reason, NotSentReason::TimestampRefused);
        let before = setup.sim.handle().request_count("GET", TIME);
        assert!(
            setup
                .client
                .submit(next, quantity)
                .await
                .accepted()
                .is_some()
        );
        assert_eq!(setup.sim.handle().request_count("GET", TIME), before + 3);
        assert_eq!(setup.posts(), 2, "one POST for each id");
    }
}

#[tokio::test]
async fn a_measurement_that_fails_takes_nothing_from_the_one_before() {
    let setup = Setup::open().await;
    let order = setup.prepare("kept-1").await;
    let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
    let away = Fault::reply(When::request("GET", TIME), false, Canned::gateway_html(502));
    setup.sim.handle().script(away.always());
    assert!(setup.client.measure_clock().await.is_err());
    let before = setup.sim.handle().request_count("GET", TIME);
    assert_eq!(setup.client.fetch_positions(None).await.unwrap().len(), 1);
    let ending = setup.client.submit(order, quantity).await;
    assert!(ending.accepted().is_some());
    // Neither question nor order has asked for the time again.
    assert_eq!(setup.sim.handle().request_count("GET", TIME), before);

    // One that was refused is not used before it was measured anew, however often that fails.
    setup.sim.handle().clear_faults();
    let refused = Fault::reply(When::order(), false, Canned::outside_window_1021());
    setup.sim.handle().script(refused);
    let (first, second) = (setup.prepare("kept-2").await, setup.prepare("kept-3").await);
    let quantity = setup.rules.cut_quantity(d("0.001")).unwrap();
    assert!(
        setup
            .client
            .submit(first, quantity)
            .await
            .accepted()
            .is_none()
    );
    let away = Fault::reply(When::request("GET", TIME), false, Canned::gateway_html(502));
    setup.sim.handle().script(away.always());
    assert!(setup.client.measure_clock().await.is_err());
    let Submission::NotSent(not) = setup.client.submit(second, quantity).await else {
        panic!("it was sent with a time that the venue refused")
    };
    assert!(
        matches!(not.reason, NotSentReason::ClockUnknown(_)),
        "{not}"
    );
}

#[tokio::test]
async fn a_venue_clock_that_jumps_is_followed() {
    let setup = Setup::open().await;
    setup.sim.handle().set_clock_offset_ms(4_000);
    // A question is signed again by itself; it changes nothing to ask twice.
    assert_eq!(setup.client.fetch_positions(None).await.unwrap().len(), 1);
    assert!((3_500..4_500).contains(&setup.client.clock().unwrap().offset.as_millis()));
    let (_, ending) = setup.close("jump-1").await;
    assert!(ending.accepted().is_some(), "{ending:?}");
}

#[tokio::test]
async fn without_the_venues_time_nothing_is_sent() {
    let setup = Setup::open().await;
    let order = setup.prepare("blind-1").await;
    let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
    let blind = client_of(&setup.sim, settings());
    setup.sim.handle().script(
        Fault::reply(When::request("GET", TIME), false, Canned::gateway_html(502)).always(),
    );
    let ending = blind.submit(order, quantity).await;
    let Submission::NotSent(not) = ending else {
        panic!("{ending:?}")
    };
    assert!(matches!(not.reason, NotSentReason::ClockUnknown(_)));
    assert_eq!(setup.posts(), 0);
}

#[tokio::test]
async fn an_old_measurement_is_renewed_beside_the_work() {
    let mut hasty = settings();
    hasty.clock_max_age = Duration::from_millis(300);
    let setup =
        Setup::with_settings(SimConfig::default().position("BTCUSDT", d("0.0124")), hasty).await;
    tokio::time::sleep(Duration::from_millis(350)).await;
    setup.position().await;
    let renewed = async {
        while setup.client.clock().unwrap().age > Duration::from_millis(300) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed)
        .await
        .unwrap();
    assert!(setup.sim.handle().request_count("GET", TIME) >= 3);
}

#[tokio::test]
async fn keeping_warm_asks_for_the_time_until_it_is_dropped() {
    let setup = Setup::open().await;
    let warm = setup.client.keep_warm(Duration::from_millis(20));
    let asked = async {
        while setup.sim.handle().request_count("GET", TIME) < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = warm => panic!("it ended"),
        done = tokio::time::timeout(Duration::from_secs(10), asked) => done.unwrap(),
    }
}

#[tokio::test]
async fn what_was_to_be_signed_earlier_is_not_sent() {
    let setup = Setup::open().await;
    let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
    let late = setup.prepare("late-1").await;
    let past = setup.client.server_time().minus(Duration::from_millis(40));
    let ending = setup.client.submit(late.sign_by(past), quantity).await;
    let Submission::NotSent(not) = ending else {
        panic!("{ending:?}")
    };
    assert!(
        matches!(not.reason, NotSentReason::TooLate { by } if by >= Duration::from_millis(40)),
        "{not:?}"
    );
    assert_eq!(setup.posts(), 0);
    // The id was not used up by it.
    let again = setup.prepare("late-1").await;
    let soon = setup.client.server_time().plus(Duration::from_secs(60));
    let ending = setup.client.submit(again.sign_by(soon), quantity).await;
    assert!(ending.accepted().is_some(), "{ending:?}");
    assert_eq!(setup.posts(), 1);
}

#[tokio::test]
async fn a_time_that_jumps_between_two_measurements_is_counted() {
    let setup = Setup::open().await;
    let jumps = || setup.client.clock().unwrap().jumps;
    setup.client.measure_clock().await.unwrap();
    assert_eq!(jumps(), 0);
    for (offset, counted) in [(4_000, 1), (4_000, 1), (0, 2)] {
        setup.sim.handle().set_clock_offset_ms(offset);
        setup.client.measure_clock().await.unwrap();
        assert_eq!(jumps(), counted, "{offset}");
    }
}
