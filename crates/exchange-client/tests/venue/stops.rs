//! Replacing a protective stop: the new one first, the old ones after, the position never bare.

use exchange_client::{
    ClientAlgoId, PositionMode, RuleError, Side, StopError, StopIntent, StopReplacement, StopStatus,
};
use exchange_sim::{Canned, Delivery, Fault, Instead, PositionSide as Leg, SimConfig, When};

use crate::{Desk, btc, d, printed};

const ALGO: &str = "/fapi/v1/algoOrder";

async fn intent(desk: &Desk, id: &str, trigger: &str) -> StopIntent {
    let mode = desk.client.fetch_position_mode().await.unwrap();
    let id: ClientAlgoId = id.parse().unwrap();
    StopIntent::for_position(&desk.position().await, mode, &desk.rules, d(trigger), id).unwrap()
}

async fn replace(desk: &Desk, id: &str, trigger: &str) -> StopReplacement {
    let replacement = desk
        .client
        .replace_stop(&intent(desk, id, trigger).await)
        .await;
    printed::note(&replacement);
    replacement
}

fn replaced(replacement: StopReplacement) -> (u64, usize, usize) {
    match replacement {
        StopReplacement::Replaced {
            new,
            removed,
            left_over,
        } => (new.algo_id, removed.len(), left_over.len()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stop_is_replaced_with_the_new_one_in_place_before_the_old_one_goes() {
    let desk = Desk::open().await;
    let (first, removed, _) = replaced(replace(&desk, "sl-1", "60000.01").await);
    assert_eq!(removed, 0);
    let (second, removed, left_over) = replaced(replace(&desk, "sl-2", "61000").await);
    assert_eq!((removed, left_over), (1, 0));
    assert_ne!(first, second);
    let open = desk.client.fetch_open_stops(&btc()).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(
        (open[0].algo_id, open[0].side, open[0].trigger_price),
        (second, Side::Sell, Some(d("61000")))
    );
    assert_eq!(open[0].quantity, Some(d("0.0124")));
    assert_eq!(desk.sim.handle().times_left_bare(), 0);
    printed::assert_no_secret(&[]);
}

#[tokio::test]
async fn triggers_are_put_on_the_tick_towards_the_market() {
    let desk = Desk::open().await;
    assert_eq!(
        intent(&desk, "t-1", "60000.01").await.trigger().get(),
        d("60000.1")
    );
    desk.sim.handle().set_position("BTCUSDT", d("-0.01"));
    let short = intent(&desk, "t-2", "66000.09").await;
    assert_eq!(short.trigger().get(), d("66000"));
    replaced(desk.client.replace_stop(&short).await);
    assert_eq!(
        desk.client.fetch_open_stops(&btc()).await.unwrap()[0].side,
        Side::Buy
    );
    let position = desk.position().await;
    let below = StopIntent::for_position(
        &position,
        PositionMode::OneWay,
        &desk.rules,
        d("0"),
        "t-3".parse().unwrap(),
    );
    assert!(matches!(
        below,
        Err(StopError::Rules(RuleError::OutOfBounds { .. }))
    ));
}

#[tokio::test]
async fn replacing_twice_with_one_id_places_one_stop() {
    let desk = Desk::open().await;
    let (first, ..) = replaced(replace(&desk, "same-1", "60000").await);
    let (again, ..) = replaced(replace(&desk, "same-1", "60000").await);
    assert_eq!(first, again);
    assert_eq!(desk.sim.handle().request_count("POST", ALGO), 1);
}

#[tokio::test]
async fn a_refused_stop_leaves_the_old_one_in_place() {
    let desk = Desk::open().await;
    let (old, ..) = replaced(replace(&desk, "keep-1", "60000").await);
    // Above the market, a stop that sells would trigger at once.
    let refused = replace(&desk, "keep-2", "70000").await;
    assert!(
        matches!(&refused, StopReplacement::Rejected(no) if no.code == -2021),
        "{refused:?}"
    );
    desk.sim.handle().script(Fault::reply(
        When::algo_order(),
        false,
        Canned::unavailable_503(),
    ));
    assert!(matches!(
        replace(&desk, "keep-3", "61000").await,
        StopReplacement::NotSent(_)
    ));
    let open = desk.client.fetch_open_stops(&btc()).await.unwrap();
    assert_eq!(
        open.iter().map(|stop| stop.algo_id).collect::<Vec<_>>(),
        [old]
    );
}

#[tokio::test]
async fn a_stop_whose_reply_was_lost_is_found_and_the_old_one_goes() {
    let desk = Desk::open().await;
    replaced(replace(&desk, "lost-1", "60000").await);
    desk.sim
        .handle()
        .script(Fault::executed(When::algo_order(), Delivery::Reset));
    let (_, removed, _) = replaced(replace(&desk, "lost-2", "61000").await);
    assert_eq!(removed, 1);
    assert_eq!(desk.sim.handle().request_count("POST", ALGO), 2);
    assert_eq!(desk.client.open_submissions(), 0);
}

#[tokio::test]
async fn a_stop_that_cannot_be_confirmed_leaves_the_old_one_and_is_never_placed_twice() {
    let desk = Desk::open().await;
    let (old, ..) = replaced(replace(&desk, "lost-1", "60000").await);
    desk.sim
        .handle()
        .script(Fault::not_executed(When::algo_order(), Instead::Close));
    for _ in 0..2 {
        let replacement = replace(&desk, "lost-2", "61000").await;
        assert!(
            matches!(&replacement, StopReplacement::Unconfirmed(why) if why.seen.is_none()),
            "{replacement:?}"
        );
    }
    assert_eq!(desk.sim.handle().request_count("POST", ALGO), 2);
    let open = desk.client.fetch_open_stops(&btc()).await.unwrap();
    assert_eq!(
        open.iter().map(|stop| stop.algo_id).collect::<Vec<_>>(),
        [old]
    );
}

#[tokio::test]
async fn an_old_stop_that_cannot_be_cancelled_is_reported_and_goes_the_next_time() {
    let desk = Desk::open().await;
    replaced(replace(&desk, "stay-1", "60000").await);
    desk.sim.handle().script(Fault::reply(
        When::request("DELETE", ALGO),
        false,
        Canned::gateway_html(502),
    ));
    let (_, removed, left_over) = replaced(replace(&desk, "stay-2", "61000").await);
    assert_eq!((removed, left_over), (0, 1));
    let (_, removed, left_over) = replaced(replace(&desk, "stay-2", "61000").await);
    assert_eq!((removed, left_over), (1, 0));
    assert_eq!(desk.sim.handle().times_left_bare(), 0);
}

#[tokio::test]
async fn stops_that_cannot_be_read_are_not_touched() {
    let desk = Desk::open().await;
    let open = When::request("GET", "/fapi/v1/openAlgoOrders");
    desk.sim
        .handle()
        .script(Fault::reply(open, false, Canned::garbage_200()).always());
    let replacement = replace(&desk, "blind-1", "60000").await;
    assert!(
        matches!(replacement, StopReplacement::NotRead(_)),
        "{replacement:?}"
    );
    assert_eq!(desk.sim.handle().request_count("POST", ALGO), 0);
}

#[tokio::test]
async fn the_question_about_open_stops_is_asked_again_where_it_fails_or_stays_silent() {
    let desk = Desk::open().await;
    let open = || When::request("GET", "/fapi/v1/openAlgoOrders");
    let venue = desk.sim.handle();
    venue.script(Fault::not_executed(open(), Instead::Hang));
    venue.script(Fault::reply(open(), false, Canned::gateway_html(502)));
    let (_, removed, left_over) = replaced(replace(&desk, "again-1", "60000").await);
    assert_eq!((removed, left_over), (0, 0));
    assert_eq!(venue.request_count("GET", "/fapi/v1/openAlgoOrders"), 3);
}

#[tokio::test]
async fn a_stop_in_hedge_mode_guards_its_own_leg_only() {
    let config = SimConfig::default()
        .hedge_mode()
        .leg("BTCUSDT", Leg::Long, d("0.02"))
        .leg("BTCUSDT", Leg::Short, d("-0.01"));
    let desk = Desk::with(config).await;
    for (number, position) in desk
        .client
        .fetch_positions(Some(&btc()))
        .await
        .unwrap()
        .into_iter()
        .enumerate()
    {
        for round in 0..2 {
            let trigger = if position.amount.is_sign_positive() {
                d("60000")
            } else {
                d("68000")
            };
            let id = format!("leg-{number}-{round}").parse().unwrap();
            let stop =
                StopIntent::for_position(&position, PositionMode::Hedge, &desk.rules, trigger, id)
                    .unwrap();
            let (_, removed, _) = replaced(desk.client.replace_stop(&stop).await);
            assert_eq!(removed, round);
        }
    }
    let open = desk.client.fetch_open_stops(&btc()).await.unwrap();
    assert_eq!(open.len(), 2);
    assert!(open.iter().all(|stop| stop.status == StopStatus::New));
}

/// What guards the position at the venue, as trigger and quantity.
fn guarding(desk: &Desk) -> Vec<(String, String)> {
    let open = desk.sim.handle().open_stops("BTCUSDT");
    let told = |stop: &exchange_sim::OpenStop| {
        let quantity = stop
            .quantity
            .map(|quantity| quantity.normalize().to_string());
        (
            stop.trigger_price.normalize().to_string(),
            quantity.unwrap_or_else(|| "whole".into()),
        )
    };
    open.iter().map(told).collect()
}

async fn replace_over(desk: &Desk, id: &str, trigger: &str, at_most: &str) -> (usize, usize) {
    let stop = intent(desk, id, trigger).await;
    let stop = stop.over(d(at_most), &desk.rules).unwrap();
    let (_, removed, left_over) = replaced(desk.client.replace_stop(&stop).await);
    (removed, left_over)
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(price, quantity): &(&str, &str)| ((*price).to_owned(), (*quantity).to_owned());
    expected.iter().map(owned).collect()
}

#[tokio::test]
async fn a_stop_over_a_part_leaves_the_rest_to_the_old_one() {
    let desk = Desk::open().await;
    replaced(replace(&desk, "whole-1", "60000").await);
    // The old one still guards what the new one does not.
    assert_eq!(
        replace_over(&desk, "part-1", "61000", "0.001").await,
        (0, 1)
    );
    assert_eq!(
        guarding(&desk),
        pairs(&[("60000", "0.0124"), ("61000", "0.001")])
    );
    // Parts do not pile up: one takes the place of the other.
    assert_eq!(
        replace_over(&desk, "part-2", "62000", "0.001").await,
        (1, 1)
    );
    assert_eq!(
        replace_over(&desk, "part-3", "62500", "0.002").await,
        (1, 1)
    );
    assert_eq!(
        guarding(&desk),
        pairs(&[("60000", "0.0124"), ("62500", "0.002")])
    );
    // And one over everything takes the place of all.
    replaced(replace(&desk, "whole-2", "63000").await);
    assert_eq!(guarding(&desk), pairs(&[("63000", "0.0124")]));
    assert_eq!(desk.sim.handle().times_left_bare(), 0);
}

#[tokio::test]
async fn a_stop_over_a_part_where_nothing_guarded_is_the_only_one() {
    let desk = Desk::open().await;
    assert_eq!(
        replace_over(&desk, "part-1", "61000", "0.00109").await,
        (0, 0)
    );
    assert_eq!(
        replace_over(&desk, "part-2", "61500", "0.004").await,
        (1, 0)
    );
    // Less than before is guarded only with both.
    assert_eq!(
        replace_over(&desk, "part-3", "62000", "0.003").await,
        (0, 1)
    );
    assert_eq!(
        guarding(&desk),
        pairs(&[("61500", "0.004"), ("62000", "0.003")])
    );
    let stop = intent(&desk, "part-4", "62000").await;
    let too_small = stop.clone().over(d("0.00001"), &desk.rules);
    assert!(
        matches!(too_small, Err(StopError::Rules(_))),
        "{too_small:?}"
    );
    let larger = stop.over(d("5"), &desk.rules).unwrap();
    assert_eq!(
        larger.quantity().get(),
        d("0.0124"),
        "never over more than the position"
    );
}
