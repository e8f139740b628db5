//! Every row of the table of error codes, as the answer to an order, a stop and a question.

use crate::{ORDER, Setup, btc, d};
use exchange_client::{
    ClientAlgoId, ClientOrderId, RequestError, StopIntent, Submission, is_listed_code,
};
use exchange_sim::{Canned, CodeMeaning, Fault, Instead, VenueCode, When, venue_codes};

/// What an ending says of the code, or nothing where it says neither yes nor no.
fn refused_with<R>(ending: &Submission<R>) -> Option<i64> {
    match ending {
        Submission::Accepted(_) | Submission::Unknown(_) => None,
        Submission::Rejected(no) => Some(no.code),
        Submission::NotSent(not) => not.refused_with(),
    }
}

fn assert_as_the_table_says<R: std::fmt::Debug>(
    row: &VenueCode,
    meaning: CodeMeaning,
    ending: &Submission<R>,
) {
    let code = i64::from(row.code);
    let reply = match ending {
        Submission::Accepted(_) => panic!("{row:?} gave {ending:?}"),
        Submission::Rejected(no) => &no.reply,
        Submission::NotSent(not) => not.reply.as_ref().unwrap(),
        Submission::Unknown(unknown) => unknown.reply.as_ref().unwrap(),
    };
    assert_eq!(
        (reply.status, reply.code, reply.message.as_deref()),
        (row.status, Some(code), Some(row.text))
    );
    match meaning {
        CodeMeaning::Unknown | CodeMeaning::CannotHappen => {
            assert!(
                matches!(ending, Submission::Unknown(_)),
                "{row:?} gave {ending:?}"
            );
        }
        CodeMeaning::Refused
        | CodeMeaning::RefusedUnlessTextSaysDuplicate
        | CodeMeaning::RefusedWithDocumentedText => {
            assert_eq!(refused_with(ending), Some(code), "{row:?} gave {ending:?}");
        }
    }
}

async fn answer(setup: &Setup, method: &str, path: &str, code: i32) {
    setup.sim.handle().clear_faults();
    let instead = Instead::Reply(Canned::code(code).unwrap());
    setup
        .sim
        .handle()
        .script(Fault::not_executed(When::request(method, path), instead).always());
}

/// A setup whose client has not been asked to stop.
async fn fresh(setup: Setup) -> Setup {
    match setup.client.usage().stopped_for.is_zero() {
        true => setup,
        false => Setup::open().await,
    }
}

#[tokio::test]
async fn every_code_means_for_an_order_what_the_table_says() {
    let mut setup = Setup::open().await;
    for (n, row) in venue_codes().iter().enumerate() {
        answer(&setup, "POST", ORDER, row.code).await;
        let (_, ending) = setup.close(&format!("code-{n}")).await;
        assert_as_the_table_says(row, row.order, &ending);
        let refusals = setup.client.refusals();
        let count = refusals.iter().find(|count| {
            (count.to, count.code) == ("order", Some(i64::from(row.code))) && count.times == 1
        });
        assert!(count.is_some(), "{row:?} is not among {refusals:?}");
        setup = fresh(setup).await;
    }
}

#[tokio::test]
async fn every_code_means_for_a_stop_what_the_table_says() {
    let mut setup = Setup::open().await;
    for (n, row) in venue_codes().iter().enumerate() {
        answer(&setup, "POST", "/fapi/v1/algoOrder", row.code).await;
        let mode = setup.client.fetch_position_mode().await.unwrap();
        let id = format!("code-{n}").parse::<ClientAlgoId>().unwrap();
        let position = setup.position().await;
        let stop = StopIntent::for_position(&position, mode, &setup.rules, d("60000"), id).unwrap();
        let ending = setup.client.submit_stop(&stop).await;
        assert_as_the_table_says(row, row.stop, &ending);
        setup = fresh(setup).await;
    }
}

#[tokio::test]
async fn every_code_is_reported_by_a_question_with_the_venues_words() {
    let mut setup = Setup::open().await;
    let id: ClientOrderId = "asked".parse().unwrap();
    for row in venue_codes() {
        let code = i64::from(row.code);
        answer(&setup, "GET", ORDER, row.code).await;
        match setup.client.fetch_order(&btc(), &id).await {
            Ok(found) => assert_eq!((code, found), (-2013, None)),
            Err(error) => {
                assert_eq!(error.code(), Some(code), "{error:?}");
                assert!(error.to_string().contains(row.text), "{error}");
                let stopped = matches!(error, RequestError::Stopped { .. });
                assert_eq!(stopped, matches!(code, -1003 | -1015), "{error}");
            }
        }
        setup = fresh(setup).await;
    }
}

#[tokio::test]
async fn a_code_that_no_table_holds_is_unknown_and_counted_as_other() {
    let setup = Setup::open().await;
    assert!(!is_listed_code(-7777));
    let words = "Something of next year.";
    let canned = Canned::error(400, -7777, words);
    setup
        .sim
        .handle()
        .script(Fault::not_executed(When::order(), Instead::Reply(canned)));
    let (_, ending) = setup.close("new-1").await;
    assert!(matches!(ending, Submission::Unknown(_)), "{ending:?}");
    assert!(ending.to_string().contains("-7777") && ending.to_string().contains(words));
    let counted = setup.client.refusals();
    assert!(
        counted
            .iter()
            .any(|c| (c.to, c.code, c.times) == ("order", None, 1))
    );
}

#[tokio::test]
async fn a_stop_without_a_time_and_the_firewalls_page_cause_a_pause() {
    for canned in [
        Canned::too_many_requests_429().retry_after(0),
        Canned::gateway_html(403),
    ] {
        let setup = Setup::open().await;
        let look = When::request("GET", "/fapi/v1/premiumIndex");
        setup.sim.handle().script(Fault::reply(look, false, canned));
        let error = setup.client.fetch_mark_price(&btc()).await.unwrap_err();
        assert!(matches!(error, RequestError::Stopped { .. }), "{error:?}");
        assert!(!error.to_string().contains("for 0ns"), "{error}");
    }
}
