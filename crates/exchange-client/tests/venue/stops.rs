//! Replacing a protective stop: the new one first, the old ones after, the position never bare.

use crate::{Setup, btc, d, printed};
use exchange_client::{
    ClientAlgoId, PositionMode, RuleError, Side, StopError, StopIntent, StopReplacement, StopStatus,
};
use exchange_sim::{Canned, Delivery, Fault, Instead, PositionSide as Leg, SimConfig, When};

const ALGO: &str = "/fapi/v1/algoOrder";

async fn intent(setup: &Setup, id: &str, trigger: &str) -> StopIntent {
    let mode = setup.client.fetch_position_mode().await.unwrap();
    let id: ClientAlgoId = id.parse().unwrap();
    StopIntent::for_position(&setup.position().await, mode, &setup.rules, d(trigger), id).unwrap()
}

async fn replace(setup: &Setup, id: &str, trigger: &str) -> StopReplacement {
    let replacement = setup
        .client
        .replace_stop(&intent(setup, id, trigger).await)
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
    let setup = Setup::open().await;
    let (first, removed, _) = replaced(replace(&setup, "sl-1", "60000.01").await);
    assert_eq!(removed, 0);
    let (second, removed, left_over) = replaced(replace(&setup, "sl-2", "61000").await);
    assert_eq!((removed, left_over), (1, 0));
    assert_ne!(first, second);
    let open = setup.client.fetch_open_stops(&btc()).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(
        (open[0].algo_id, open[0].side, open[0].trigger_price),
        (second, Side::Sell, Some(d("61000")))
    );
    assert_eq!(open[0].quantity, Some(d("0.0124")));
    assert_eq!(setup.sim.handle().times_left_bare(), 0);
    printed::assert_no_secret(&[]);
}

#[tokio::test]
async fn triggers_are_put_on_the_tick_towards_the_market() {
    let setup = Setup::open().await;
    assert_eq!(
        intent(&setup, "t-1", "60000.01").await.trigger().get(),
        d("60000.1")
    );
    setup.sim.handle().set_position("BTCUSDT", d("-0.01"));
    let short = intent(&setup, "t-2", "66000.09").await;
    assert_eq!(short.trigger().get(), d("66000"));
    replaced(setup.client.replace_stop(&short).await);
    assert_eq!(
        setup.client.fetch_open_stops(&btc()).await.unwrap()[0].side,
        Side::Buy
    );
    let position = setup.position().await;
    let below = StopIntent::for_position(
        &position,
        PositionMode::OneWay,
        &setup.rules,
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
    let setup = Setup::open().await;
    let (first, ..) = replaced(replace(&setup, "same-1", "60000").await);
    let (again, ..) = replaced(replace(&setup, "same-1", "60000").await);
    assert_eq!(first, again);
    assert_eq!(setup.sim.handle().request_count("POST", ALGO), 1);
}

#[tokio::test]
async fn a_refused_stop_leaves_the_old_one_in_place() {
    let setup = Setup::open().await;
    let (old, ..) = replaced(replace(&setup, "keep-1", "60000").await);
    // Above the market, a stop that sells would trigger at once.
    let refused = replace(&setup, "keep-2", "70000").await;
    assert!(
        matches!(&refused, StopReplacement::Rejected(no) if no.code == -2021),
        "{refused:?}"
    );
    setup.sim.handle().script(Fault::reply(
        When::algo_order(),
        false,
        Canned::unavailable_503(),
    ));
    assert!(matches!(
        replace(&setup, "keep-3", "61000").await,
        StopReplacement::NotSent(_)
    ));
    let open = setup.client.fetch_open_stops(&btc()).await.unwrap();
    assert_eq!(
        open.iter().map(|stop| stop.algo_id).collect::<Vec<_>>(),
        [old]
    );
}

#[tokio::test]
async fn a_stop_whose_reply_was_lost_is_found_and_the_old_one_goes() {
    let setup = Setup::open().await;
    replaced(replace(&setup, "lost-1", "60000").await);
    setup
        .sim
        .handle()
        .script(Fault::executed(When::algo_order(), Delivery::Reset));
    let (_, removed, _) = replaced(replace(&setup, "lost-2", "61000").await);
    assert_eq!(removed, 1);
    assert_eq!(setup.sim.handle().request_count("POST", ALGO), 2);
    assert_eq!(setup.client.open_submissions(), 0);
}

#[tokio::test]
async fn a_stop_that_cannot_be_confirmed_leaves_the_old_one_and_is_never_placed_twice() {
    let setup = Setup::open().await;
    let (old, ..) = replaced(replace(&setup, "lost-1", "60000").await);
    setup
        .sim
        .handle()
        .script(Fault::not_executed(When::algo_order(), Instead::Close));
    for _ in 0..2 {
        let replacement = replace(&setup, "lost-2", "61000").await;
        assert!(
            matches!(&replacement, StopReplacement::Unconfirmed(why) if why.seen.is_none()),
            "{replacement:?}"
        );
    }
    assert_eq!(setup.sim.handle().request_count("POST", ALGO), 2);
    let open = setup.client.fetch_open_stops(&btc()).await.unwrap();
    assert_eq!(
        open.iter().map(|stop| stop.algo_id).collect::<Vec<_>>(),
        [old]
    );
}

#[tokio::test]
async fn an_old_stop_that_cannot_be_cancelled_is_reported_and_goes_the_next_time() {
    let setup = Setup::open().await;
    replaced(replace(&setup, "stay-1", "60000").await);
    setup.sim.handle().script(Fault::reply(
        When::request("DELETE", ALGO),
        false,
        Canned::gateway_html(502),
    ));
    let (_, removed, left_over) = replaced(replace(&setup, "stay-2", "61000").await);
    assert_eq!((removed, left_over), (0, 1));
    let (_, removed, left_over) = replaced(replace(&setup, "stay-2", "61000").await);
    assert_eq!((removed, left_over), (1, 0));
    assert_eq!(setup.sim.handle().times_left_bare(), 0);
}

#[tokio::test]
async fn stops_that_cannot_be_read_are_not_touched() {
    let setup = Setup::open().await;
    let open = When::request("GET", "/fapi/v1/openAlgoOrders");
    setup
        .sim
        .handle()
        .script(Fault::reply(open, false, Canned::garbage_200()).always());
    let replacement = replace(&setup, "blind-1", "60000").await;
    assert!(
        matches!(replacement, StopReplacement::NotRead(_)),
        "{replacement:?}"
    );
    assert_eq!(setup.sim.handle().request_count("POST", ALGO), 0);
}

#[tokio::test]
async fn the_question_about_open_stops_is_asked_again_where_it_fails_or_stays_silent() {
    let setup = Setup::open().await;
    let open = || When::request("GET", "/fapi/v1/openAlgoOrders");
    let venue = setup.sim.handle();
    venue.script(Fault::not_executed(open(), Instead::Hang));
    venue.script(Fault::reply(open(), false, Canned::gateway_html(502)));
    let (_, removed, left_over) = replaced(replace(&setup, "again-1", "60000").await);
    assert_eq!((removed, left_over), (0, 0));
    assert_eq!(venue.request_count("GET", "/fapi/v1/openAlgoOrders"), 3);
}

#[tokio::test]
async fn a_stop_in_hedge_mode_guards_its_own_leg_only() {
    let config = SimConfig::default()
        .hedge_mode()
        .leg("BTCUSDT", Leg::Long, d("0.02"))
        .leg("BTCUSDT", Leg::Short, d("-0.01"));
    let setup = Setup::with(config).await;
    for (number, position) in setup
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
                StopIntent::for_position(&position, PositionMode::Hedge, &setup.rules, trigger, id)
                    .unwrap();
            let (_, removed, _) = replaced(setup.client.replace_stop(&stop).await);
            assert_eq!(removed, round);
        }
    }
    let open = setup.client.fetch_open_stops(&btc()).await.unwrap();
    assert_eq!(open.len(), 2);
    assert!(open.iter().all(|stop| stop.status == StopStatus::New));
}

/// What guards the position at the venue, as trigger and quantity.
fn guarding(setup: &Setup) -> Vec<(String, String)> {
    let open = setup.sim.handle().open_stops("BTCUSDT");
    let facts = |stop: &exchange_sim::OpenStop| {
        let quantity = stop
            .quantity
            .map(|quantity| quantity.normalize().to_string());
        (
            stop.trigger_price.normalize().to_string(),
            quantity.unwrap_or_else(|| "whole".into()),
        )
    };
    open.iter().map(facts).collect()
}

async fn replace_over(setup: &Setup, id: &str, trigger: &str, at_most: &str) -> (usize, usize) {
    let stop = intent(setup, id, trigger).await;
    let stop = stop.over(d(at_most), &setup.rules).unwrap();
    let (_, removed, left_over) = replaced(setup.client.replace_stop(&stop).await);
    (removed, left_over)
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(price, quantity): &(&str, &str)| ((*price).to_owned(), (*quantity).to_owned());
    expected.iter().map(owned).collect()
}

#[tokio::test]
async fn a_stop_over_a_part_leaves_the_rest_to_the_old_one() {
    let setup = Setup::open().await;
    replaced(replace(&setup, "whole-1", "60000").await);
    // The old one still guards what the new one does not.
    assert_eq!(
        replace_over(&setup, "part-1", "61000", "0.001").await,
        (0, 1)
    );
    assert_eq!(
        guarding(&setup),
        pairs(&[("60000", "0.0124"), ("61000", "0.001")])
    );
    // Parts do not pile up: one takes the place of the other.
    assert_eq!(
        replace_over(&setup, "part-2", "62000", "0.001").await,
        (1, 1)
    );
    assert_eq!(
        replace_over(&setup, "part-3", "62500", "0.002").await,
        (1, 1)
    );
    assert_eq!(
        guarding(&setup),
        pairs(&[("60000", "0.0124"), ("62500", "0.002")])
    );
    // And one over everything takes the place of all.
    replaced(replace(&setup, "whole-2", "63000").await);
    assert_eq!(guarding(&setup), pairs(&[("63000", "0.0124")]));
    assert_eq!(setup.sim.handle().times_left_bare(), 0);
}

#[tokio::test]
async fn a_stop_over_a_part_where_nothing_guarded_is_the_only_one() {
    let setup = Setup::open().await;
    assert_eq!(
        replace_over(&setup, "part-1", "61000", "0.00109").await,
        (0, 0)
    );
    assert_eq!(
        replace_over(&setup, "part-2", "61500", "0.004").await,
        (1, 0)
    );
    // Less than before is guarded only with both.
    assert_eq!(
        replace_over(&setup, "part-3", "62000", "0.003").await,
        (0, 1)
    );
    assert_eq!(
        guarding(&setup),
        pairs(&[("61500", "0.004"), ("62000", "0.003")])
    );
    let stop = intent(&setup, "part-4", "62000").await;
    let too_small = stop.clone().over(d("0.00001"), &setup.rules);
    assert!(
        matches!(too_small, Err(StopError::Rules(_))),
        "{too_small:?}"
    );
    let larger = stop.over(d("5"), &setup.rules).unwrap();
    assert_eq!(
        larger.quantity().get(),
        d("0.0124"),
        "never over more than the position"
    );
}
