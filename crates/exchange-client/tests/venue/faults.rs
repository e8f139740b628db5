//! Every row of the table of replies, walked over real sockets: which ending, how many POSTs, and nothing secret printed.

use crate::{Setup, client_at, impatient, printed};
use exchange_client::{NotSentReason, RequestError, SetupError, Submission, UnknownCause};
use exchange_sim::{Canned, Delivery, Fault, Instead, When};
use std::{io::ErrorKind, time::Duration};
use tokio::net::TcpListener;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Accepted,
    Rejected,
    NotSent,
    Unknown,
}

fn ending(submission: &Submission) -> Ending {
    match submission {
        Submission::Accepted(_) => Ending::Accepted,
        Submission::Rejected(_) => Ending::Rejected,
        Submission::NotSent(_) => Ending::NotSent,
        Submission::Unknown(_) => Ending::Unknown,
    }
}

/// A reply the venue gives instead of acting, and one it gives after acting: the client cannot distinguish them, so both
/// have to end alike.
fn replies() -> Vec<(Canned, Ending)> {
    use Ending::{NotSent, Unknown};
    vec![
        (Canned::garbage_200(), Unknown),
        (Canned::raw(200, ""), Unknown),
        (Canned::raw(200, "{}"), Unknown),
        (Canned::raw(204, ""), Unknown),
        (
            Canned::error(200, -2022, "ReduceOnly Order is rejected."),
            Unknown,
        ),
        (Canned::request_timeout_408(), Unknown),
        (Canned::timeout_1007(), Unknown),
        (Canned::unknown_1000(), Unknown),
        (Canned::unexpected_response_1006(), Unknown),
        (
            Canned::error(
                400,
                -1007,
                "Timeout waiting for response from backend server.",
            ),
            Unknown,
        ),
        (
            Canned::error(400, -4116, "ClientOrderId is duplicated."),
            Unknown,
        ),
        (Canned::error(400, -9999, "A code of next year."), Unknown),
        (Canned::unknown_503(), Unknown),
        (Canned::unavailable_503(), NotSent),
        (Canned::raw(503, "Service Unavailable."), NotSent),
        (Canned::internal_503(), NotSent),
        (Canned::overloaded_503(), NotSent),
        (
            Canned::error(503, -1234, "A sentence of no document."),
            Unknown,
        ),
        (Canned::gateway_html(500), Unknown),
        (Canned::gateway_html(502), Unknown),
        (Canned::gateway_html(503), Unknown),
        (Canned::gateway_html(504), Unknown),
        (Canned::gateway_html(403), NotSent),
        (Canned::error(500, -1001, "Disconnected."), Unknown),
        (Canned::too_many_requests_429(), NotSent),
        (Canned::too_many_requests_429().retry_after(1), NotSent),
        (Canned::too_many_orders_429(), NotSent),
        (Canned::raw(429, ""), NotSent),
        (Canned::banned_418(1), NotSent),
        (Canned::raw(418, ""), NotSent),
        (Canned::outside_window_1021(), NotSent),
        (Canned::outside_window_5028(), NotSent),
    ]
}

#[tokio::test]
async fn every_reply_of_the_table_ends_as_the_table_says_with_one_post() {
    for (canned, expected) in replies() {
        for executes in [false, true] {
            let setup = Setup::open().await;
            let fault =
                setup
                    .sim
                    .handle()
                    .script(Fault::reply(When::order(), executes, canned.clone()));
            let (_, submission) = setup.close("table-1").await;
            assert_eq!(
                ending(&submission),
                expected,
                "{canned:?} gave {submission:?}"
            );
            assert_eq!(setup.sim.handle().fault_hits(fault), 1);
            assert_eq!(setup.posts(), 1, "{canned:?}");
            assert_reply_is_kept(&submission, &canned);
            let (_, again) = {
                setup
                    .sim
                    .handle()
                    .set_position("BTCUSDT", crate::d("0.0124"));
                match setup.client.fetch_positions(None).await {
                    Ok(_) => setup.close("table-1").await,
                    // The venue said stop; nothing at all is sent then.
                    Err(_) => continue,
                }
            };
            assert_eq!(ending(&again), Ending::NotSent);
            assert_eq!(setup.posts(), 1, "a second POST after {canned:?}");
            printed::assert_no_secret(&printed::signatures(&setup.sim));
        }
    }
}

fn assert_reply_is_kept(submission: &Submission, canned: &Canned) {
    let reply = match submission {
        Submission::Accepted(_) => panic!("accepted {canned:?}"),
        Submission::Rejected(no) => &no.reply,
        Submission::NotSent(not) => not.reply.as_ref().unwrap(),
        Submission::Unknown(unknown) => unknown.reply.as_ref().unwrap(),
    };
    assert_eq!(reply.status, canned.status);
    assert_eq!(reply.body, canned.body);
}

#[tokio::test]
async fn a_broken_connection_after_the_request_left_is_unknown_and_never_tried_again() {
    let not_executed = [Instead::Reset, Instead::Close, Instead::Hang];
    let executed = [
        Delivery::Reset,
        Delivery::Close,
        Delivery::Hang,
        Delivery::Cut,
        // Slower than the client waits.
        Delivery::Slow {
            piece: 1,
            pause_ms: 40,
        },
    ];
    let faults = not_executed
        .into_iter()
        .map(|instead| Fault::not_executed(When::order(), instead))
        .chain(
            executed
                .into_iter()
                .map(|delivery| Fault::executed(When::order(), delivery)),
        );
    for fault in faults {
        let setup = Setup::open_with(impatient()).await;
        let id = setup.sim.handle().script(fault.clone());
        let (_, submission) = setup.close("broken-1").await;
        assert_eq!(
            ending(&submission),
            Ending::Unknown,
            "{fault:?} gave {submission:?}"
        );
        assert_eq!(setup.sim.handle().fault_hits(id), 1);
        assert_eq!(setup.posts(), 1, "{fault:?}");
        printed::assert_no_secret(&printed::signatures(&setup.sim));
    }
}

#[tokio::test]
async fn a_slow_body_that_comes_in_time_is_accepted() {
    let setup = Setup::open().await;
    setup.sim.handle().script(Fault::executed(
        When::order(),
        Delivery::Slow {
            piece: 200,
            pause_ms: 5,
        },
    ));
    let (_, submission) = setup.close("slow-1").await;
    assert_eq!(
        submission.accepted().unwrap().executed_quantity,
        crate::d("0.008")
    );
}

#[tokio::test]
async fn a_reply_later_than_the_client_waits_is_a_timeout() {
    let setup = Setup::open_with(impatient()).await;
    let late = Fault::executed(When::order(), Delivery::Whole).delay_after(Duration::from_secs(30));
    setup.sim.handle().script(late);
    let (_, submission) = setup.close("late-1").await;
    let Submission::Unknown(unknown) = submission else {
        panic!("{submission:?}")
    };
    assert!(matches!(unknown.cause, UnknownCause::Timeout(_)));
}

#[tokio::test]
async fn a_connection_that_is_refused_sent_nothing() {
    let setup = Setup::open().await;
    let order = setup.prepare("refused-1").await;
    let quantity = setup.rules.cut_quantity(crate::d("0.008")).unwrap();
    let judge = setup.sim.handle().clone();
    setup.sim.shutdown().await.unwrap();
    let submission = setup.client.submit(order, quantity).await;
    printed::note(&submission);
    let Submission::NotSent(not) = submission else {
        panic!("{submission:?}")
    };
    assert!(
        matches!(not.reason, NotSentReason::NoConnection(_)),
        "{not:?}"
    );
    assert_eq!(judge.order_count(), 0);
}

#[tokio::test]
async fn a_tls_handshake_that_fails_sends_nothing() {
    let setup = Setup::open().await;
    let order = setup.prepare("tls-1").await;
    let quantity = setup.rules.cut_quantity(crate::d("0.008")).unwrap();
    setup.sim.handle().clear_requests();
    // The venue speaks no TLS. On a machine without any root certificates not even a client comes about.
    let secure = setup.sim.url().replace("http://", "https://");
    match client_at(&secure, impatient()) {
        Ok(client) => {
            let submission = client.submit(order, quantity).await;
            assert_eq!(ending(&submission), Ending::NotSent, "{submission:?}");
        }
        Err(error) => assert!(matches!(error, SetupError::Transport(_)), "{error}"),
    }
    assert!(
        setup
            .sim
            .handle()
            .requests()
            .iter()
            .all(|count| count.with_key == 0)
    );
    assert_eq!(setup.sim.handle().order_count(), 0);
}

/// The time for connecting covers the handshake: after it nothing has left, where a reply that does not come says nothing.
#[tokio::test]
async fn a_tls_handshake_that_is_never_answered_counts_as_no_connection() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = impatient();
    settings.connect_timeout = Duration::from_millis(200);
    let url = format!("https://{}", silent.local_addr().unwrap());
    // On a machine without any root certificates not even a client comes about.
    let client = match client_at(&url, settings) {
        Ok(client) => client,
        Err(error) => return assert!(matches!(error, SetupError::Transport(_)), "{error}"),
    };
    match client.warm_up().await {
        Err(RequestError::Failed(why)) => assert!(why.contains("took too long"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_venue_at_localhost_is_reached() {
    let setup = Setup::open().await;
    let named = setup.sim.url().replace("127.0.0.1", "localhost");
    let client = client_at(&named, impatient()).unwrap();
    client.warm_up().await.unwrap();
    let held = client.fetch_positions(None).await.unwrap();
    assert_eq!(held.len(), 1);
}

#[tokio::test]
async fn a_new_connection_that_is_reset_at_once_is_never_reported_as_a_no() {
    let setup = Setup::open().await;
    let order = setup.prepare("reset-1").await;
    let quantity = setup.rules.cut_quantity(crate::d("0.008")).unwrap();
    setup.sim.handle().close_idle_connections();
    setup.sim.handle().reset_next_connections(8);
    let submission = setup.client.submit(order, quantity).await;
    assert!(
        matches!(ending(&submission), Ending::NotSent | Ending::Unknown),
        "{submission:?}"
    );
    assert_eq!(setup.sim.handle().order_count(), 0);
}

#[tokio::test]
async fn an_idle_connection_the_venue_closed_costs_no_order_and_no_second_post() {
    for _ in 0..20 {
        let setup = Setup::open().await;
        let order = setup.prepare("idle-1").await;
        let quantity = setup.rules.cut_quantity(crate::d("0.008")).unwrap();
        setup.sim.handle().close_idle_connections();
        let submission = setup.client.submit(order, quantity).await;
        // The close may cross the order on its way; then it is unknown. It is never sent twice.
        assert!(
            matches!(ending(&submission), Ending::Accepted | Ending::Unknown),
            "{submission:?}"
        );
        assert!(setup.posts() <= 1);
        if ending(&submission) == Ending::Accepted {
            assert_eq!(setup.posts(), 1);
        }
    }
}

#[tokio::test]
async fn an_order_does_not_wait_behind_slow_questions() {
    let setup = Setup::open().await;
    let order = setup.prepare("lane-1").await;
    let quantity = setup.rules.cut_quantity(crate::d("0.008")).unwrap();
    let hang = Fault::not_executed(When::query(), Instead::Hang).always();
    let hang = setup.sim.handle().script(hang);
    let asking = setup.client.clone();
    let question = tokio::spawn(async move {
        asking
            .fetch_order(&crate::btc(), &"none".parse().unwrap())
            .await
    });
    while setup.sim.handle().fault_hits(hang) == 0 {
        tokio::task::yield_now().await;
    }
    // A request that needs a new connection now fails; the order has one of its own that is open already.
    setup.sim.handle().reset_next_connections(u32::MAX);
    let submission = setup.client.submit(order, quantity).await;
    assert_eq!(ending(&submission), Ending::Accepted, "{submission:?}");
    question.abort();
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_nobody_else_gets_the_key() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    let setup = Setup::open().await;
    let location = format!("http://{address}/fapi/v1/order");
    setup.sim.handle().script(Fault::reply(
        When::order(),
        false,
        Canned::redirect_307(&location),
    ));
    setup.sim.handle().script(Fault::reply(
        When::query(),
        false,
        Canned::redirect_307(&location),
    ));
    let (intent, submission) = setup.close("redirect-1").await;
    assert_eq!(ending(&submission), Ending::Unknown);
    let asked = setup
        .client
        .fetch_order(&intent.symbol, &intent.client_order_id)
        .await;
    printed::note(&asked);
    assert!(asked.is_err());
    assert_eq!(setup.posts(), 1);
    let visitor = tokio::time::timeout(Duration::from_millis(50), elsewhere.accept()).await;
    assert!(visitor.is_err(), "{visitor:?} followed the redirect");
}

#[tokio::test]
async fn an_answer_that_echoes_key_and_signature_is_kept_without_them() {
    let setup = Setup::open().await;
    let echo = format!(
        "you are {} and have no business here",
        exchange_sim::SimConfig::API_KEY
    );
    setup.sim.handle().script(Fault::reply(
        When::order(),
        false,
        Canned::error(400, -2015, &echo),
    ));
    let (_, submission) = setup.close("echo-1").await;
    let Submission::Rejected(no) = submission else {
        panic!("{submission:?}")
    };
    assert!(no.reply.body.contains("<hidden>"));
    printed::assert_no_secret(&[]);
}

#[tokio::test]
async fn errors_of_questions_print_no_address_and_no_signature() {
    let setup = Setup::open_with(impatient()).await;
    for instead in [
        Instead::Reset,
        Instead::Hang,
        Instead::Reply(Canned::gateway_html(502)),
    ] {
        setup
            .sim
            .handle()
            .script(Fault::not_executed(When::query(), instead));
        let error = setup
            .client
            .fetch_order(&crate::btc(), &"q-1".parse().unwrap())
            .await
            .unwrap_err();
        printed::note(&error);
        printed::note(&error.to_string());
    }
    setup.sim.shutdown().await.unwrap();
    let error = setup
        .client
        .fetch_order(&crate::btc(), &"q-1".parse().unwrap())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("refused"),
        "{error} does not say why ({})",
        ErrorKind::ConnectionRefused
    );
    printed::note(&error);
    printed::note(&setup.client);
    printed::assert_no_secret(&[]);
}

#[tokio::test]
async fn a_crowd_that_looks_at_the_orders_connections_shares_their_answers() {
    const CLOCK: &str = "/fapi/v1/time";
    let setup = Setup::open().await;
    let patience = Duration::from_secs(5);
    // One after the other: each has to know for itself.
    for asked in 1..=3 {
        assert!(setup.client.check_order_connection(patience).await);
        assert_eq!(setup.sim.handle().request_count("GET", CLOCK), asked);
    }
    let asked = || setup.sim.handle().request_count("GET", CLOCK);
    let crowd = async || {
        let before = asked();
        let looks = (0..100).map(|_| setup.client.check_order_connection(patience));
        let looks = futures_util::future::join_all(looks).await;
        assert!(looks.into_iter().all(|alive| alive));
        asked() - before
    };
    // On a machine that stands still for a moment the last answer may be too old, but not always.
    let mut shared = false;
    for _ in 0..50 {
        shared |= crowd().await < 100;
    }
    assert!(shared);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(crowd().await, 100, "an old answer says nothing");
}
