//! Dropping a submission's future loses nothing: either nothing was sent, or it is known that it may have been.

use crate::{Setup, d};
use exchange_client::{NotSentReason, Settlement, Submission, SubmissionStatus, UnknownCause};
use exchange_sim::{Delivery, Fault, When};
use std::time::Duration;

#[tokio::test]
async fn a_future_that_is_never_polled_sends_nothing_and_uses_up_nothing() {
    let setup = Setup::open().await;
    let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
    drop(setup.client.submit(setup.prepare("idle-1").await, quantity));
    assert_eq!(
        setup.client.status(&"idle-1".parse().unwrap()),
        SubmissionStatus::Never
    );
    let (_, ending) = setup.close("idle-1").await;
    assert!(ending.accepted().is_some());
}

#[tokio::test]
async fn a_future_dropped_after_bytes_left_is_finished_in_the_background() {
    let setup = Setup::open().await;
    let slow =
        Fault::executed(When::order(), Delivery::Whole).delay_after(Duration::from_millis(600));
    setup.sim.handle().script(slow);
    let order = setup.prepare("dropped-1").await;
    let id = order.intent().client_order_id.clone();
    let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
    {
        let submitting = setup.client.submit(order, quantity);
        tokio::select! {
            ending = submitting => panic!("{ending:?}"),
            () = setup.sim.handle().wait_for_orders(1) => {}
        }
    }
    assert!(matches!(
        setup.client.status(&id),
        SubmissionStatus::InFlight(_)
    ));
    assert_eq!(setup.client.open_submissions(), 1);
    let less = setup.rules.cut_quantity(d("0.001")).unwrap();
    let refused = setup
        .client
        .submit(setup.prepare("dropped-1").await, less)
        .await;
    assert!(
        matches!(refused, Submission::NotSent(not) if not.reason == NotSentReason::AlreadySubmitted)
    );
    let ended = async {
        loop {
            if let SubmissionStatus::Ended(ending) = setup.client.status(&id) {
                return ending;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ending = tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .unwrap();
    assert!(ending.accepted().is_some(), "{ending:?}");
    assert_eq!(setup.posts(), 1);
}

#[test]
fn a_runtime_that_ends_under_way_leaves_an_unknown_order_behind_that_can_be_settled() {
    let venue = tokio::runtime::Runtime::new().unwrap();
    let setup = venue.block_on(Setup::open());
    let slow = Fault::executed(When::order(), Delivery::Whole).delay_after(Duration::from_secs(60));
    setup.sim.handle().script(slow);
    let order = venue.block_on(setup.prepare("ended-1"));
    let intent = order.intent().clone();
    let quantity = setup.rules.cut_quantity(d("0.008")).unwrap();
    // A client of its own, whose connections live and die with the short-lived runtime.
    let mut patient = crate::settings();
    patient.reply_timeout = Duration::from_secs(60);
    let short = tokio::runtime::Runtime::new().unwrap();
    let client = short.block_on(async {
        let client = crate::client_of(&setup.sim, patient);
        client.warm_up().await.unwrap();
        let submitting = client.submit(order, quantity);
        let waiting = setup.sim.handle().clone();
        let task = tokio::spawn(submitting);
        waiting.wait_for_orders(1).await;
        drop(task);
        client
    });
    short.shutdown_timeout(Duration::from_secs(5));
    let SubmissionStatus::Ended(Submission::Unknown(unknown)) =
        client.status(&intent.client_order_id)
    else {
        panic!("{:?}", client.status(&intent.client_order_id))
    };
    assert_eq!(unknown.cause, UnknownCause::Abandoned);
    let settlement = venue.block_on(setup.client.settle(
        &intent,
        unknown.window,
        Duration::from_secs(5),
    ));
    assert!(
        matches!(settlement, Settlement::Filled(_)),
        "{settlement:?}"
    );
    assert_eq!(setup.posts(), 1);
}
