//! A venue whose answers contradict what was sent is not believed, in whatever it says. The judge is its order log.

use crate::{ORDER, Setup, d};
use exchange_client::{
    PositionMode, RequestError, Settlement, StopIntent, StopReplacement, StopSettlement,
    Submission, Unconfirmed, UnknownCause, Unresolved,
};
use exchange_sim::{Fault, HiddenFor, SimHandle, When};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

const ALGO: &str = "/fapi/v1/algoOrder";
const TRADES: &str = "/fapi/v1/userTrades";
const PATIENCE: Duration = Duration::from_secs(5);

type Lie = (&'static str, Value);

fn order_lies() -> Vec<Lie> {
    vec![
        ("executedQty", json!("9999")),
        ("executedQty", json!("0.0081")),
        ("executedQty", json!("0")),
        ("origQty", json!("0.0124")),
        ("side", json!("BUY")),
        ("reduceOnly", json!(false)),
        ("closePosition", json!(true)),
        ("type", json!("LIMIT")),
        ("symbol", json!("ETHUSDT")),
        ("clientOrderId", json!("other-1")),
        ("positionSide", json!("SHORT")),
    ]
}

fn stop_lies() -> Vec<Lie> {
    vec![
        ("side", json!("BUY")),
        ("quantity", json!("0.02")),
        ("quantity", json!("0.001")),
        ("reduceOnly", json!(false)),
        ("closePosition", json!(true)),
        ("orderType", json!("TAKE_PROFIT_MARKET")),
        ("triggerPrice", json!("10.0")),
        ("symbol", json!("ETHUSDT")),
        ("clientAlgoId", json!("other-1")),
        ("workingType", json!("CONTRACT_PRICE")),
    ]
}

/// Plays one test a lie, all at once: most of their time passes waiting.
async fn with_each<F>(lies: Vec<Lie>, play: impl Fn(Setup, Lie) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut plays = JoinSet::new();
    for lie in lies {
        plays.spawn(play(Setup::open().await, lie));
    }
    plays.join_all().await;
}

#[tokio::test]
async fn an_answer_that_contradicts_the_order_leaves_it_unknown_and_asking_finds_the_truth() {
    with_each(order_lies(), |setup, lie| async move {
        let name = format!("{lie:?}");
        setup
            .sim
            .handle()
            .script(Fault::altered(When::order(), [lie]));
        let (mut intent, ending) = setup.close("lie-1").await;
        let Submission::Unknown(unknown) = ending else {
            panic!("{name} was believed: {ending:?}")
        };
        assert!(
            matches!(&unknown.cause, UnknownCause::Unreadable(_)),
            "{name}: {:?}",
            unknown.cause
        );
        intent.at_most = Some(d("0.008"));
        let settlement = setup.client.settle(&intent, unknown.window, PATIENCE).await;
        let Settlement::Filled(report) = settlement else {
            panic!("{name}: {settlement:?}")
        };
        assert_eq!(report.executed_quantity, d("0.008"), "{name}");
        assert_eq!((setup.posts(), setup.client.open_submissions()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_venue_that_goes_on_contradicting_leaves_the_order_unresolved_and_on_the_books() {
    with_each(order_lies(), |setup, lie| async move {
        let name = format!("{lie:?}");
        let lying = [When::order(), When::request("GET", ORDER)]
            .map(|when| Fault::altered(when, [lie.clone()]).always());
        for fault in lying {
            setup.sim.handle().script(fault);
        }
        let (mut intent, ending) = setup.close("lies-1").await;
        let Submission::Unknown(unknown) = ending else {
            panic!("{name} was believed: {ending:?}")
        };
        intent.at_most = Some(d("0.008"));
        let settlement = setup
            .client
            .settle(&intent, unknown.window, Duration::ZERO)
            .await;
        assert!(
            matches!(
                settlement,
                Settlement::Unresolved(Unresolved::Contradicted(_))
            ),
            "{name}: {settlement:?}"
        );
        assert_eq!((setup.posts(), setup.client.open_submissions()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn an_order_found_by_its_fills_is_held_against_what_was_sent_too() {
    let setup = Setup::open().await;
    let venue = setup.sim.handle();
    // Denied by its id, shown by its number, and not as it was sent.
    let sent =
        Fault::altered(When::order(), [("side", json!("BUY"))]).hide_order(HiddenFor::queries(2));
    venue.script(sent);
    let by_number = When::request("GET", ORDER).skip(2);
    venue.script(Fault::altered(by_number, [("type", json!("LIMIT"))]).always());
    let (intent, ending) = setup.close("by-number-1").await;
    let Submission::Unknown(unknown) = ending else {
        panic!("{ending:?}")
    };
    let settlement = setup.client.settle(&intent, unknown.window, PATIENCE).await;
    assert!(
        matches!(
            settlement,
            Settlement::Unresolved(Unresolved::Contradicted(_))
        ),
        "{settlement:?}"
    );
}

#[tokio::test]
async fn fills_that_contradict_the_order_are_no_profit() {
    let setup = Setup::open().await;
    let (_, ending) = setup.close("fills-1").await;
    let report = ending.accepted().unwrap().clone();
    for lie in [
        ("qty", json!("9999")),
        ("qty", json!("-1")),
        ("side", json!("BUY")),
        ("orderId", json!(1)),
        ("symbol", json!("ETHUSDT")),
    ] {
        let name = format!("{lie:?}");
        let fault = Fault::altered(When::request("GET", TRADES), [lie]);
        setup.sim.handle().script(fault);
        let profit = setup.client.fetch_profit(&report).await;
        assert!(
            matches!(profit, Err(RequestError::Unreadable { .. })),
            "{name}: {profit:?}"
        );
    }
    assert!(setup.client.fetch_profit(&report).await.unwrap().is_some());
}

fn waiting(venue: &SimHandle) -> usize {
    venue.open_stops("BTCUSDT").len()
}

async fn stop(setup: &Setup, id: &str, trigger: &str) -> StopIntent {
    let position = setup.position().await;
    let id = id.parse().unwrap();
    StopIntent::for_position(
        &position,
        PositionMode::OneWay,
        &setup.rules,
        d(trigger),
        id,
    )
    .unwrap()
}

#[tokio::test]
async fn a_stop_that_the_venue_confirms_otherwise_than_it_was_sent_replaces_nothing() {
    with_each(stop_lies(), |setup, lie| async move {
        let name = format!("{lie:?}");
        let old = stop(&setup, "old-1", "60000").await;
        assert!(matches!(
            setup.client.replace_stop(&old).await,
            StopReplacement::Replaced { .. }
        ));
        let new = stop(&setup, "new-1", "61000").await;
        let asked = When::request("GET", ALGO);
        let venue = setup.sim.handle();
        venue.script(Fault::altered(When::algo_order(), [lie.clone()]));
        venue.script(Fault::altered(asked, [lie]).always());
        let replacement = setup.client.replace_stop(&new).await;
        let StopReplacement::Unconfirmed(unconfirmed) = replacement else {
            panic!("{name} was believed: {replacement:?}")
        };
        let Unconfirmed {
            placing: Some(unknown),
            seen: None,
            error: Some(RequestError::Unreadable { .. }),
            ..
        } = *unconfirmed
        else {
            panic!("{name}: {unconfirmed:?}")
        };
        assert_eq!(waiting(venue), 2, "{name}: the old one was cancelled");
        let trace = new.trace();
        let asking = setup
            .client
            .settle_stop(&trace, unknown.window, false, Duration::ZERO);
        let settlement = asking.await;
        assert!(
            matches!(
                settlement,
                StopSettlement::Unresolved(Unresolved::Contradicted(_))
            ),
            "{name}: {settlement:?}"
        );
        // The truth at last: it stands, and the old one goes without a second being placed.
        venue.clear_faults();
        let replacement = setup.client.replace_stop(&new).await;
        assert!(
            matches!(replacement, StopReplacement::Replaced { .. }),
            "{name}: {replacement:?}"
        );
        assert_eq!(waiting(venue), 1, "{name}");
        assert_eq!(venue.request_count("POST", ALGO), 2, "{name}");
    })
    .await;
}
