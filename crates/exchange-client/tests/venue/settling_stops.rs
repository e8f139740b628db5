//! Stops whose placing was not confirmed are settled by asking. The judge is the venue's own stop log.

use crate::{Setup, btc, d};
use exchange_client::{
    ClientAlgoId, PositionMode, PositionSide, SendWindow, Side, StopIntent, StopSettlement,
    StopStatus, StopTrace, Submission, Unresolved, VenueTime,
};
use exchange_sim::{Canned, Delivery, Fault, HiddenFor, Instead, When};
use std::time::Duration;
use tokio::time::timeout;

const ALGO: &str = "/fapi/v1/algoOrder";
const PATIENCE: Duration = Duration::from_secs(5);
/// The least that would pass between two questions about a stop that may still land.
const A_WAIT: Duration = Duration::from_secs(1);

/// Places a stop under a fault that leaves its end open.
async fn unknown(setup: &Setup, id: &str, fault: Fault) -> (StopTrace, SendWindow) {
    setup.sim.handle().script(fault);
    let id: ClientAlgoId = id.parse().unwrap();
    let stop = StopIntent::for_position(
        &setup.position().await,
        PositionMode::OneWay,
        &setup.rules,
        d("60000"),
        id,
    )
    .unwrap();
    match setup.client.submit_stop(&stop).await {
        Submission::Unknown(unknown) => (stop.trace(), unknown.window),
        other => panic!("not unknown but {other:?}"),
    }
}

/// All that a later life of the program knows of a stop.
fn former(id: &str) -> StopTrace {
    StopTrace {
        id: id.parse().unwrap(),
        symbol: btc(),
        side: Side::Sell,
        position_side: PositionSide::Both,
        quantity: None,
        at_most: Some(d("0.0124")),
        trigger: None,
        working_type: None,
    }
}

fn placed(setup: &Setup) -> usize {
    setup.sim.handle().stops().len()
}

fn asked(setup: &Setup) -> u64 {
    setup.sim.handle().request_count("GET", ALGO)
}

#[tokio::test]
async fn a_stop_whose_reply_was_lost_is_found_as_it_stands() {
    let setup = Setup::open().await;
    let (stop, window) = unknown(
        &setup,
        "lost-1",
        Fault::executed(When::algo_order(), Delivery::Reset),
    )
    .await;
    assert_eq!(setup.client.open_submissions(), 1);
    let StopSettlement::Known(found) = setup
        .client
        .settle_stop(&stop, window, false, PATIENCE)
        .await
    else {
        panic!("not found")
    };
    assert_eq!(
        (found.status, found.trigger_price),
        (StopStatus::New, Some(d("60000")))
    );
    assert_eq!((placed(&setup), setup.client.open_submissions()), (1, 0));

    setup.client.cancel_stop(found.algo_id).await.unwrap();
    let StopSettlement::Known(found) = setup
        .client
        .settle_stop(&stop, window, false, PATIENCE)
        .await
    else {
        panic!("not found")
    };
    assert_eq!(found.status, StopStatus::Canceled);
}

#[tokio::test]
async fn a_stop_that_shows_up_late_is_found_by_the_second_question() {
    let setup = Setup::open().await;
    let fault =
        Fault::executed(When::algo_order(), Delivery::Close).hide_order(HiddenFor::queries(1));
    let (stop, window) = unknown(&setup, "late-1", fault).await;
    let settlement = setup
        .client
        .settle_stop(&stop, window, false, PATIENCE)
        .await;
    assert!(
        matches!(settlement, StopSettlement::Known(_)),
        "{settlement:?}"
    );
    assert_eq!((placed(&setup), asked(&setup)), (1, 2));
}

#[tokio::test]
async fn a_stop_that_never_arrived_needs_two_denials_and_the_whole_window() {
    let setup = Setup::open().await;
    let fault = Fault::not_executed(When::algo_order(), Instead::Reset);
    let (stop, window) = unknown(&setup, "never-1", fault).await;
    let settlement = setup
        .client
        .settle_stop(&stop, window, false, PATIENCE)
        .await;
    assert_eq!(settlement, StopSettlement::NeverArrived);
    assert!(setup.client.server_time() >= window.closes());
    assert_eq!(asked(&setup), 2);
    assert_eq!((placed(&setup), setup.client.open_submissions()), (1, 0));
}

#[tokio::test]
async fn a_stop_that_the_venue_acts_on_after_its_answer_is_found() {
    let setup = Setup::open().await;
    let later = Duration::from_millis(900);
    let fault = Fault::late(
        When::algo_order(),
        later,
        Instead::Reply(Canned::unknown_503()),
    );
    let (stop, window) = unknown(&setup, "acted-1", fault).await;
    let settlement = setup
        .client
        .settle_stop(&stop, window, false, PATIENCE)
        .await;
    assert!(
        matches!(settlement, StopSettlement::Known(_)),
        "{settlement:?}"
    );
}

#[tokio::test]
async fn a_written_down_stop_whose_window_is_long_over_is_asked_about_twice_without_a_wait() {
    let setup = Setup::open().await;
    let from = VenueTime::from_millis(setup.client.server_time().as_millis() - 300_000);
    let window = SendWindow {
        not_before: from,
        not_after: from.plus(Duration::from_secs(2)),
        recv_window: Duration::from_millis(1_500),
    };
    // A busy machine may need the time that the wait between two questions would take, but not every time.
    for attempt in 0..50 {
        let before = asked(&setup);
        let stop = former(&format!("former-{attempt}"));
        let asking = setup.client.settle_stop(&stop, window, false, PATIENCE);
        if let Ok(settlement) = timeout(A_WAIT, asking).await {
            assert_eq!(settlement, StopSettlement::NeverArrived);
            assert_eq!((placed(&setup), asked(&setup) - before), (0, 2));
            return;
        }
    }
    panic!("there was always a wait between the two questions");
}

#[tokio::test]
async fn a_venue_that_cannot_be_asked_leaves_the_stop_unresolved_and_on_the_books() {
    let setup = Setup::open().await;
    let fault = Fault::executed(When::algo_order(), Delivery::Reset);
    let (stop, window) = unknown(&setup, "blind-1", fault).await;
    let silent = Fault::reply(When::request("GET", ALGO), false, Canned::gateway_html(502));
    setup.sim.handle().script(silent.always());
    let settlement = setup
        .client
        .settle_stop(&stop, window, false, Duration::ZERO)
        .await;
    assert!(
        matches!(
            settlement,
            StopSettlement::Unresolved(Unresolved::NoAnswer(_))
        ),
        "{settlement:?}"
    );
    assert_eq!(setup.client.open_submissions(), 1);
    setup.sim.handle().clear_faults();
    let settlement = setup
        .client
        .settle_stop(&stop, window, false, PATIENCE)
        .await;
    assert!(
        matches!(settlement, StopSettlement::Known(_)),
        "{settlement:?}"
    );
    assert_eq!((placed(&setup), setup.client.open_submissions()), (1, 0));
}
