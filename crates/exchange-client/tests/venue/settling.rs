//! Unknown endings are settled by asking. The judge is the venue's own order log.

use crate::{Setup, btc, d};
use exchange_client::{
    CloseIntent, NotExecuted, NotSentReason, OrderStatus, PositionSide, SendWindow,
    SettleDeadlines, Settlement, Side, Submission, SubmissionStatus, Unresolved, VenueTime,
};
use exchange_sim::{
    Canned, Delivery, Fault, Fill, HiddenFor, Instead, SimConfig, SymbolSpec, When,
};
use std::time::Duration;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(5);
/// For orders that nothing more will be found out about.
const BRIEFLY: Duration = Duration::from_millis(300);

fn window(submission: &Submission) -> SendWindow {
    match submission {
        Submission::Unknown(unknown) => unknown.window,
        other => panic!("not unknown but {other:?}"),
    }
}

#[tokio::test]
async fn an_order_whose_reply_was_lost_is_found_filled() {
    let setup = Setup::open().await;
    setup
        .sim
        .handle()
        .script(Fault::executed(When::order(), Delivery::Reset));
    let (intent, ending) = setup.close("lost-1").await;
    let Settlement::Filled(report) = setup
        .client
        .settle(&intent, window(&ending), PATIENCE)
        .await
    else {
        panic!("not filled")
    };
    assert_eq!(report.executed_quantity, d("0.008"));
    assert_eq!(setup.sim.handle().position("BTCUSDT"), d("0.0044"));
    assert!(matches!(
        setup.client.status(&intent.client_order_id),
        SubmissionStatus::Ended(Submission::Accepted(_))
    ));
    assert_eq!((setup.posts(), setup.client.open_submissions()), (1, 0));
}

#[tokio::test]
async fn an_order_that_shows_up_late_is_found_by_the_second_question() {
    let setup = Setup::open().await;
    let hidden = Fault::executed(When::order(), Delivery::Reset).hide_order(HiddenFor::queries(1));
    setup.sim.handle().script(hidden);
    let (intent, ending) = setup.close("late-1").await;
    let settlement = setup
        .client
        .settle(&intent, window(&ending), PATIENCE)
        .await;
    assert!(
        matches!(settlement, Settlement::Filled(_)),
        "{settlement:?}"
    );
    assert_eq!(setup.posts(), 1);
}

#[tokio::test]
async fn an_order_that_stays_hidden_is_found_through_its_fills_or_left_to_a_person() {
    let setup = Setup::open().await;
    let hidden =
        Fault::executed(When::order(), Delivery::Reset).hide_order(HiddenFor::queries(100));
    setup.sim.handle().script(hidden);
    let (intent, ending) = setup.close("hidden-1").await;
    let settlement = setup.client.settle(&intent, window(&ending), BRIEFLY).await;
    assert!(
        matches!(
            settlement,
            Settlement::Unresolved(Unresolved::FillWithoutOrder(_))
        ),
        "{settlement:?}"
    );
    assert_eq!(
        setup.client.open_submissions(),
        1,
        "an unresolved order stays on the books"
    );
}

#[tokio::test]
async fn a_moved_position_keeps_an_order_from_counting_as_never_arrived() {
    let setup = Setup::open().await;
    let hidden = Fault::executed(When::order(), Delivery::Reset)
        .hide_order(HiddenFor::queries(100))
        .hide_trades(HiddenFor::queries(100));
    setup.sim.handle().script(hidden);
    let (intent, ending) = setup.close("moved-1").await;
    let settlement = setup.client.settle(&intent, window(&ending), BRIEFLY).await;
    let expected = Unresolved::PositionMoved {
        before: d("0.0124"),
        now: d("0.0044"),
    };
    assert_eq!(settlement, Settlement::Unresolved(expected));
}

#[tokio::test]
async fn an_order_that_never_arrived_needs_the_full_evidence_and_the_whole_wait() {
    let setup = Setup::open().await;
    setup
        .sim
        .handle()
        .script(Fault::not_executed(When::order(), Instead::Close));
    let (intent, ending) = setup.close("never-1").await;
    let window = window(&ending);
    let settlement = setup.client.settle(&intent, window, PATIENCE).await;
    let Settlement::NotExecuted(NotExecuted::NeverArrived(evidence)) = settlement else {
        panic!("{settlement:?}")
    };
    assert!(
        evidence.again_absent >= window.closes(),
        "asked again before the order could no longer land"
    );
    assert_eq!(
        (evidence.foreign_fills, evidence.position),
        (0, d("0.0124"))
    );
    let venue = setup.sim.handle();
    assert_eq!(venue.request_count("GET", crate::ORDER), 2);
    assert_eq!(venue.request_count("GET", "/fapi/v1/userTrades"), 1);
    assert_eq!((setup.posts(), venue.position("BTCUSDT")), (1, d("0.0124")));
    let (_, again) = setup.close("never-1").await;
    assert!(
        matches!(again, Submission::NotSent(not) if not.reason == NotSentReason::AlreadySubmitted)
    );
}

#[tokio::test]
async fn fills_of_another_order_are_distinguished() {
    let setup = Setup::open().await;
    setup.sim.handle().script(Fault::not_executed(
        When::order().client_id("mine-1"),
        Instead::Close,
    ));
    let (intent, ending) = setup.close("mine-1").await;
    let (_, other) = setup.close("other-1").await;
    assert!(other.accepted().is_some());
    let settlement = setup.client.settle(&intent, window(&ending), BRIEFLY).await;
    // The other order moved the position, so nothing is proven; but its fill was not taken for ours.
    assert!(
        matches!(
            settlement,
            Settlement::Unresolved(Unresolved::PositionMoved { .. })
        ),
        "{settlement:?}"
    );
}

#[tokio::test]
async fn an_order_that_ended_without_a_fill_is_not_executed() {
    let setup = Setup::open().await;
    let expired = Fault::executed(When::order(), Delivery::Cut);
    let exchange_sim::Action::Executed { delivery, .. } = expired.action.clone() else {
        panic!("not executed")
    };
    let script = exchange_sim::Script {
        fill: Some(Fill::nothing()),
        ..exchange_sim::Script::default()
    };
    setup.sim.handle().script(Fault {
        action: exchange_sim::Action::Executed { script, delivery },
        ..expired
    });
    let (intent, ending) = setup.close("expired-1").await;
    let settlement = setup
        .client
        .settle(&intent, window(&ending), PATIENCE)
        .await;
    let Settlement::NotExecuted(NotExecuted::Ended(report)) = settlement else {
        panic!("{settlement:?}")
    };
    assert_eq!(report.status, OrderStatus::Expired);
}

#[tokio::test]
async fn an_order_that_stays_open_is_unresolved_and_one_that_then_fills_is_filled() {
    let setup = Setup::open().await;
    setup.sim.handle().script(Fault::fill(
        When::order(),
        Fill::only(d("0.003")).rest_open(),
    ));
    let (intent, ending) = setup.close("open-1").await;
    let report = ending.accepted().unwrap();
    assert_eq!(
        (report.status, report.executed_quantity),
        (OrderStatus::PartiallyFilled, d("0.003"))
    );
    let sent = SendWindow::at(
        setup.client.server_time().minus(Duration::from_secs(5)),
        Duration::from_secs(1),
    );
    let open = setup.client.settle(&intent, sent, BRIEFLY).await;
    assert!(
        matches!(open, Settlement::Unresolved(Unresolved::StillOpen(_))),
        "{open:?}"
    );
    assert!(setup.sim.handle().fill_open_order("open-1"));
    let filled = setup.client.settle(&intent, sent, PATIENCE).await;
    assert!(matches!(filled, Settlement::Filled(report) if report.executed_quantity == d("0.008")));
}

#[tokio::test]
async fn a_venue_that_cannot_be_asked_leaves_the_order_unresolved() {
    let setup = Setup::open().await;
    setup
        .sim
        .handle()
        .script(Fault::executed(When::order(), Delivery::Reset));
    let (intent, ending) = setup.close("away-1").await;
    setup
        .sim
        .handle()
        .script(Fault::reply(When::query(), false, Canned::gateway_html(502)).always());
    let settlement = setup.client.settle(&intent, window(&ending), BRIEFLY).await;
    assert!(
        matches!(settlement, Settlement::Unresolved(Unresolved::NoAnswer(_))),
        "{settlement:?}"
    );
}

#[tokio::test]
async fn after_a_restart_a_written_down_intent_is_enough_to_settle() {
    let setup = Setup::open().await;
    setup
        .sim
        .handle()
        .script(Fault::executed(When::order(), Delivery::Reset));
    let (intent, _) = setup.close("restart-1").await;
    let reborn = crate::client_of(&setup.sim, crate::settings());
    reborn.warm_up().await.unwrap();
    let mut sent = SendWindow::at(reborn.server_time(), Duration::from_secs(1));
    sent.not_before = VenueTime::from_millis(sent.not_after.as_millis() - 60_000);
    let settlement = reborn.settle(&intent, sent, PATIENCE).await;
    assert!(
        matches!(settlement, Settlement::Filled(_)),
        "{settlement:?}"
    );
    let unknown_before = exchange_client::CloseIntent {
        position_before: None,
        client_order_id: "restart-2".parse().unwrap(),
        ..intent
    };
    sent.not_after = sent.not_before;
    let settlement = reborn.settle(&unknown_before, sent, BRIEFLY).await;
    assert_eq!(
        settlement,
        Settlement::Unresolved(Unresolved::NothingToCompare)
    );
    assert_eq!(
        reborn
            .fetch_order(&btc(), &"restart-2".parse().unwrap())
            .await,
        Ok(None)
    );
}

/// An order that a former process may have sent and that never arrived.
fn former(symbol: &str, id: &str) -> CloseIntent {
    CloseIntent {
        symbol: symbol.parse().unwrap(),
        client_order_id: id.parse().unwrap(),
        side: Side::Sell,
        position_side: PositionSide::Both,
        position_before: Some(d("0.0124")),
        at_most: None,
    }
}

/// A window that was over a minute ago.
fn long_over(setup: &Setup) -> SendWindow {
    let now = setup.client.server_time().as_millis();
    SendWindow {
        not_before: VenueTime::from_millis(now - 62_000),
        not_after: VenueTime::from_millis(now - 60_000),
        recv_window: Duration::from_secs(1),
    }
}

#[tokio::test]
async fn an_order_whose_window_is_long_over_is_asked_about_twice_without_a_wait() {
    let setup = Setup::open().await;
    // A busy machine may need the time that a wait would take, but not every time.
    for attempt in 0..50 {
        let before = setup.sim.handle().request_count("GET", crate::ORDER);
        let intent = former("BTCUSDT", &format!("former-{attempt}"));
        let settlement = setup
            .client
            .settle(&intent, long_over(&setup), PATIENCE)
            .await;
        let Settlement::NotExecuted(NotExecuted::NeverArrived(evidence)) = settlement else {
            panic!("{settlement:?}")
        };
        let asked = setup.sim.handle().request_count("GET", crate::ORDER) - before;
        assert_eq!(asked, 2);
        if evidence.again_absent.since(evidence.first_absent) < Duration::from_secs(1) {
            return;
        }
    }
    panic!("there was always a wait between the two questions");
}

#[tokio::test]
async fn many_orders_that_are_settled_at_once_share_the_question_about_positions() {
    const MANY: usize = 64;
    let symbol = |number: usize| format!("S{number:03}USDT");
    let config = (0..MANY).fold(SimConfig::default(), |config, number| {
        let symbol = symbol(number);
        let held = if number == 7 {
            d("0.0044")
        } else {
            d("0.0124")
        };
        config
            .symbol(SymbolSpec::btcusdt().named(&symbol))
            .position(symbol, held)
    });
    let setup = Setup::with(config.latency(Duration::from_millis(20))).await;
    let window = long_over(&setup);
    let before = setup
        .sim
        .handle()
        .request_count("GET", "/fapi/v3/positionRisk");
    let mut settling = JoinSet::new();
    for number in 0..MANY {
        let intent = former(&symbol(number), &format!("former-{number}"));
        let client = setup.client.clone();
        settling.spawn(async move { (number, client.settle(&intent, window, BRIEFLY).await) });
    }
    let settled = settling.join_all().await;
    let asked = setup
        .sim
        .handle()
        .request_count("GET", "/fapi/v3/positionRisk")
        - before;
    for (number, settlement) in settled {
        let moved = matches!(
            settlement,
            Settlement::Unresolved(Unresolved::PositionMoved { .. })
        );
        let never = matches!(
            settlement,
            Settlement::NotExecuted(NotExecuted::NeverArrived(_))
        );
        assert!(
            if number == 7 { moved } else { never },
            "{number}: {settlement:?}"
        );
    }
    assert!(
        asked < MANY as u64,
        "{asked} questions about {MANY} positions"
    );
}

#[tokio::test]
async fn a_word_that_no_document_has_is_open_until_the_fills_say_otherwise() {
    let setup = Setup::open().await;
    let altered = |executed: bool| {
        let mut changed = std::collections::BTreeMap::new();
        changed.insert("status".to_owned(), "DREAMING".into());
        if !executed {
            changed.insert("executedQty".to_owned(), "0".into());
        }
        Delivery::Altered(changed)
    };
    // The answer and every later one say so, and then that all of it filled.
    setup
        .sim
        .handle()
        .script(Fault::executed(When::order(), altered(false)));
    let (intent, ending) = setup.close("strange-1").await;
    let report = ending.accepted().unwrap();
    assert!(!report.status.is_final());
    assert_eq!(report.status_word(), "DREAMING", "its word is kept");
    setup
        .sim
        .handle()
        .script(Fault::executed(When::query(), altered(true)).always());
    let window = SendWindow::at(setup.client.server_time(), Duration::ZERO);
    let settlement = setup
        .client
        .settle(&intent, window, Duration::from_secs(10))
        .await;
    let Settlement::Filled(report) = settlement else {
        panic!("{settlement:?}")
    };
    assert_eq!(report.executed_quantity, d("0.008"));
}

#[tokio::test]
async fn one_loop_asks_with_pauses_that_grow_and_the_caller_says_for_how_long() {
    let setup = Setup::open().await;
    setup.sim.handle().script(Fault::fill(
        When::order(),
        Fill::only(d("0.003")).rest_open(),
    ));
    let (intent, ending) = setup.close("open-2").await;
    assert!(!ending.accepted().unwrap().has_ended());
    let sent = SendWindow::at(
        setup.client.server_time().minus(Duration::from_secs(60)),
        Duration::from_secs(1),
    );
    let patience = SettleDeadlines {
        silent: Duration::from_secs(6),
        answering: Duration::from_millis(300),
    };
    let asked = || setup.sim.handle().request_count("GET", crate::ORDER);

    // It answers: the shorter patience counts.
    let open = setup.client.settle(&intent, sent, patience).await;
    let Settlement::Unresolved(why @ Unresolved::StillOpen(_)) = open else {
        panic!("{open:?}")
    };
    assert_eq!(why.last_seen().unwrap().executed_quantity, d("0.003"));
    assert!((1..=2).contains(&asked()), "{} questions", asked());

    // It shows the order once and is away then: what it showed is not forgotten, and the longer patience counts.
    let before = asked();
    let away = Fault::reply(When::query().skip(1), false, Canned::gateway_html(502));
    setup.sim.handle().script(away.always());
    let patience = SettleDeadlines {
        answering: Duration::from_secs(6),
        ..patience
    };
    let lost = setup.client.settle(&intent, sent, patience).await;
    let Settlement::Unresolved(why @ Unresolved::LostSight { .. }) = lost else {
        panic!("{lost:?}")
    };
    assert_eq!(why.last_seen().unwrap().executed_quantity, d("0.003"));
    // 0.25 s, 0.38 s, 0.56 s, 0.84 s, 1.3 s and 1.9 s lie between them.
    let rounds = asked() - before;
    assert!((3..=7).contains(&rounds), "{rounds} questions in 6 s");
}
