//! Stops whose placing was not confirmed are settled by asking. The judge is the venue's own stop log.

use std::time::Duration;

use exchange_client::{
    ClientAlgoId, PositionMode, PositionSide, SendWindow, Side, StopIntent, StopSettlement,
    StopStatus, StopTrace, Submission, Unresolved, VenueTime,
};
use exchange_sim::{Canned, Delivery, Fault, HiddenFor, Instead, When};
use tokio::time::timeout;

use crate::{Desk, btc, d};

const ALGO: &str = "/fapi/v1/algoOrder";
const PATIENCE: Duration = Duration::from_secs(5);
/// The least that would pass between two questions about a stop that may still land.
const A_WAIT: Duration = Duration::from_secs(1);

/// Places a stop under a fault that leaves its end open.
async fn unknown(desk: &Desk, id: &str, fault: Fault) -> (StopTrace, SendWindow) {
    desk.sim.handle().script(fault);
    let id: ClientAlgoId = id.parse().unwrap();
    let stop = StopIntent::for_position(
        &desk.position().await,
        PositionMode::OneWay,
        &desk.rules,
        d("60000"),
        id,
    )
    .unwrap();
    match desk.client.submit_stop(&stop).await {
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

fn placed(desk: &Desk) -> usize {
    desk.sim.handle().stops().len()
}

fn asked(desk: &Desk) -> u64 {
    desk.sim.handle().request_count("GET", ALGO)
}

#[tokio::test]
async fn a_stop_whose_reply_was_lost_is_found_as_it_stands() {
    let desk = Desk::open().await;
    let (stop, window) = unknown(
        &desk,
        "lost-1",
        Fault::executed(When::algo_order(), Delivery::Reset),
    )
    .await;
    assert_eq!(desk.client.open_submissions(), 1);
    let StopSettlement::Known(found) = desk
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
    assert_eq!((placed(&desk), desk.client.open_submissions()), (1, 0));

    desk.client.cancel_stop(found.algo_id).await.unwrap();
    let StopSettlement::Known(found) = desk
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
    let desk = Desk::open().await;
    let fault =
        Fault::executed(When::algo_order(), Delivery::Close).hide_order(HiddenFor::queries(1));
    let (stop, window) = unknown(&desk, "late-1", fault).await;
    let settlement = desk
        .client
        .settle_stop(&stop, window, false, PATIENCE)
        .await;
    assert!(
        matches!(settlement, StopSettlement::Known(_)),
        "{settlement:?}"
    );
    assert_eq!((placed(&desk), asked(&desk)), (1, 2));
}

#[tokio::test]
async fn a_stop_that_never_arrived_needs_two_denials_and_the_whole_window() {
    let desk = Desk::open().await;
    let fault = Fault::not_executed(When::algo_order(), Instead::Reset);
    let (stop, window) = unknown(&desk, "never-1", fault).await;
    let settlement = desk
        .client
        .settle_stop(&stop, window, false, PATIENCE)
        .await;
    assert_eq!(settlement, StopSettlement::NeverArrived);
    assert!(desk.client.server_time() >= window.closes());
    assert_eq!(asked(&desk), 2);
    assert_eq!((placed(&desk), desk.client.open_submissions()), (1, 0));
}

#[tokio::test]
async fn a_stop_that_the_venue_acts_on_after_its_answer_is_found() {
    let desk = Desk::open().await;
    let later = Duration::from_millis(900);
    let fault = Fault::late(
        When::algo_order(),
        later,
        Instead::Reply(Canned::unknown_503()),
    );
    let (stop, window) = unknown(&desk, "acted-1", fault).await;
    let settlement = desk
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
    let desk = Desk::open().await;
    let from = VenueTime::from_millis(desk.client.server_time().as_millis() - 300_000);
    let window = SendWindow {
        not_before: from,
        not_after: from.plus(Duration::from_secs(2)),
        recv_window: Duration::from_millis(1_500),
    };
    // A busy machine may need the time that the wait between two questions would take, but not every time.
    for attempt in 0..50 {
        let before = asked(&desk);
        let stop = former(&format!("former-{attempt}"));
        let asking = desk.client.settle_stop(&stop, window, false, PATIENCE);
        if let Ok(settlement) = timeout(A_WAIT, asking).await {
            assert_eq!(settlement, StopSettlement::NeverArrived);
            assert_eq!((placed(&desk), asked(&desk) - before), (0, 2));
            return;
        }
    }
    panic!("there was always a wait between the two questions");
}

#[tokio::test]
async fn a_venue_that_cannot_be_asked_leaves_the_stop_unresolved_and_on_the_books() {
    let desk = Desk::open().await;
    let fault = Fault::executed(When::algo_order(), Delivery::Reset);
    let (stop, window) = unknown(&desk, "blind-1", fault).await;
    let silent = Fault::reply(When::request("GET", ALGO), false, Canned::gateway_html(502));
    desk.sim.handle().script(silent.always());
    let settlement = desk
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
    assert_eq!(desk.client.open_submissions(), 1);
    desk.sim.handle().clear_faults();
    let settlement = desk
        .client
        .settle_stop(&stop, window, false, PATIENCE)
        .await;
    assert!(
        matches!(settlement, StopSettlement::Known(_)),
        "{settlement:?}"
    );
    assert_eq!((placed(&desk), desk.client.open_submissions()), (1, 0));
}
