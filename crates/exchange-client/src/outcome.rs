//! What a reply to a submission means. Pure, and the one place where it is decided.
//!
//! ```text
//!  status and body ──▶ judge ──▶ Accepted   2xx that reads as the order asked about
//!  (or a failure)            ├─▶ Rejected   4xx with a code that the table calls refused
//!                            ├─▶ NotSent    429, 418, 403 pages, busy texts, refused timestamp, no connection
//!                            └─▶ Unknown    all the rest
//! ```
//!
//! What a code means stands in the table of [`crate::codes`]; the venue's general notes on 4xx, 403, 429, 418 and 503 rule
//! the rest. The texts of a 503 matter more than its code and are compared first. What no line here knows is unknown:
//! asking costs a few seconds, a wrong no costs a position closed twice.

use crate::{
    codes::{self, Submitted},
    fields::DecodeError,
    reply::Reply,
    submission::{
        NotSent, NotSentReason, Rejection, SendWindow, Submission, Unknown, UnknownCause,
    },
};
use std::time::Duration;

/// An answer as it came from the wire. `broken` says that the body ended early, with the reason.
#[derive(Clone, Debug)]
pub(crate) struct Answer<'a> {
    /// What it is the answer to.
    pub(crate) to: Submitted,
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    pub(crate) broken: Option<String>,
}

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No byte left.
    NotWritten(String),
    /// Bytes may have left.
    Broken(String),
    /// Bytes may have left and nothing came back in time.
    Timeout(Duration),
}

/// Judges a request that got no answer.
pub(crate) fn judge_failure<R>(failure: Failure, window: SendWindow) -> Submission<R> {
    let cause = match failure {
        Failure::NotWritten(why) => return Submission::not_sent(NotSentReason::NoConnection(why)),
        Failure::Broken(why) => UnknownCause::Broken(why),
        Failure::Timeout(after) => UnknownCause::Timeout(after),
    };
    Submission::Unknown(Unknown {
        cause,
        reply: None,
        window,
    })
}

/// Judges an answer. `decode` reads a report and checks that it is about the thing submitted.
pub(crate) fn judge<R>(
    answer: &Answer<'_>,
    window: SendWindow,
    secrets: impl FnOnce() -> Vec<String>,
    stop_for: impl FnOnce() -> Duration,
    decode: impl FnOnce(&[u8]) -> Result<R, DecodeError>,
) -> Submission<R> {
    let unreadable = if !(200..300).contains(&answer.status) {
        None
    } else if let Some(why) = &answer.broken {
        Some(format!("the body broke off: {why}"))
    } else {
        match decode(answer.body) {
            Ok(report) => return Submission::Accepted(report),
            Err(error) => Some(error.to_string()),
        }
    };
    let secrets = secrets();
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let reply = Reply::read(answer.status, answer.body, &secrets);
    let meaning = match unreadable {
        Some(why) => Meaning::Unknown(UnknownCause::Unreadable(why)),
        None => meaning(answer.to, &reply, answer.broken.is_none(), stop_for),
    };
    match meaning {
        Meaning::Rejected(code) => Submission::Rejected(Rejection { code, reply }),
        Meaning::NotSent(reason) => Submission::NotSent(NotSent {
            reason,
            reply: Some(reply),
        }),
        Meaning::Unknown(cause) => Submission::Unknown(Unknown {
            cause,
            reply: Some(reply),
            window,
        }),
    }
}

enum Meaning {
    Rejected(i64),
    NotSent(NotSentReason),
    Unknown(UnknownCause),
}

const UNKNOWN_ERROR: &str = "Unknown error, please check your request or try again later.";
const UNAVAILABLE: &str = "Service Unavailable.";
const INTERNAL: &str = "Internal error; unable to process your request. Please try again.";

fn meaning(
    to: Submitted,
    reply: &Reply,
    whole: bool,
    stop_for: impl FnOnce() -> Duration,
) -> Meaning {
    use NotSentReason::{Limited, TimestampRefused, TurnedAway, VenueBusy};
    let unsure = || Meaning::Unknown(UnknownCause::VenueUnsure);
    match reply.status {
        408 => return unsure(),
        418 | 429 => return Meaning::NotSent(Limited(stop_for())),
        // Half a body may be half a message: no conclusion is drawn from it.
        _ if !whole => return Meaning::Unknown(UnknownCause::Undocumented),
        // The firewall in front of the venue answers with a page and passes nothing on.
        403 if reply.code.is_none() => return Meaning::NotSent(TurnedAway(stop_for())),
        503 if reply.text() == UNKNOWN_ERROR => return unsure(),
        503 if reply.text() == UNAVAILABLE || reply.text() == INTERNAL => {
            return Meaning::NotSent(VenueBusy);
        }
        400.. => {}
        // Neither a success nor an error: a redirect for instance, which is not followed. Somebody else answered.
        _ => return Meaning::Unknown(UnknownCause::Undocumented),
    }
    match reply.code {
        Some(-1000 | -1006 | -1007 | -4116) => unsure(),
        Some(_) if reply.means(to) == codes::Meaning::Unknown => {
            Meaning::Unknown(UnknownCause::Undocumented)
        }
        // Not executed, but for a reason of the moment that other orders have to know of.
        Some(-1001 | -1008) => Meaning::NotSent(VenueBusy),
        Some(-1003 | -1015) => Meaning::NotSent(Limited(stop_for())),
        Some(-1021 | -5028) => Meaning::NotSent(TimestampRefused),
        Some(code) if reply.status < 500 => Meaning::Rejected(code),
        _ => Meaning::Unknown(UnknownCause::Undocumented),
    }
}

/// True for a rejection that says our copy of the symbol's filters is out of date.
pub(crate) fn is_filter_rejection(code: i64) -> bool {
    matches!(
        code,
        -1111 | -4003 | -4004 | -4005 | -4014 | -4015 | -4023 | -4131 | -4164
    )
}

/// True for a rejection that says the account's position mode is not the one we know.
pub(crate) fn is_mode_rejection(code: i64) -> bool {
    matches!(code, -1106 | -4061 | -4062)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::VenueTime;

    fn judged(status: u16, body: &str, broken: bool) -> Submission<()> {
        let answer = Answer {
            to: Submitted::Order,
            status,
            body: body.as_bytes(),
            broken: broken.then(|| "cut".to_owned()),
        };
        let window = SendWindow::at(VenueTime::from_millis(1), Duration::from_millis(1500));
        judge(
            &answer,
            window,
            Vec::new,
            || Duration::from_secs(60),
            |body| {
                if body == b"good" {
                    Ok(())
                } else {
                    Err(DecodeError::new("order", "not good"))
                }
            },
        )
    }

    fn letter(submission: &Submission<()>) -> char {
        match submission {
            Submission::Accepted(()) => 'A',
            Submission::Rejected(_) => 'R',
            Submission::NotSent(_) => 'N',
            Submission::Unknown(_) => 'U',
        }
    }

    fn error(code: i64, message: &str) -> String {
        format!(r#"{{"code":{code},"msg":"{message}"}}"#)
    }

    #[test]
    fn every_row_of_the_table_ends_as_the_table_says() {
        let rejections = [
            -1022, -1102, -1106, -1111, -1121, -2010, -2014, -2015, -2019, -2022, -4003, -4004,
            -4005, -4014, -4015, -4023, -4061, -4062, -4118, -4120, -4131, -4164, -5021, -5022,
        ];
        for code in rejections {
            assert_eq!(
                letter(&judged(400, &error(code, "no"), false)),
                'R',
                "{code}"
            );
            assert_eq!(
                letter(&judged(503, &error(code, "no"), false)),
                'U',
                "{code} with a 5xx"
            );
        }
        for (status, body, ending) in [
            (200, "good".to_owned(), 'A'),
            (200, "garbage".to_owned(), 'U'),
            (200, String::new(), 'U'),
            (200, error(-2022, "no"), 'U'),
            (204, String::new(), 'U'),
            (408, error(-1007, "Timeout"), 'U'),
            (408, error(-2022, "no"), 'U'),
            (400, error(-1000, "x"), 'U'),
            (500, error(-1000, "x"), 'U'),
            (400, error(-1006, "x"), 'U'),
            (400, error(-1007, "x"), 'U'),
            (400, error(-4116, "duplicated"), 'U'),
            (503, error(-1000, UNKNOWN_ERROR), 'U'),
            (503, error(-1008, UNKNOWN_ERROR), 'U'),
            (503, error(-1000, UNAVAILABLE), 'N'),
            (503, error(-1007, UNAVAILABLE), 'N'),
            (503, UNAVAILABLE.to_owned(), 'N'),
            (503, error(-1001, INTERNAL), 'N'),
            (
                503,
                error(-1008, "Server is currently overloaded with other requests."),
                'N',
            ),
            (503, error(-1099, "Something new"), 'U'),
            (503, "<html>Service Unavailable.</html>".to_owned(), 'U'),
            (503, String::new(), 'U'),
            (500, String::new(), 'U'),
            (502, "bad gateway".to_owned(), 'U'),
            (504, String::new(), 'U'),
            (429, error(-1003, "Too many requests"), 'N'),
            (429, String::new(), 'N'),
            (418, error(-1003, "banned"), 'N'),
            (400, error(-1003, "x"), 'N'),
            (400, error(-1015, "x"), 'N'),
            (400, error(-1021, "x"), 'N'),
            (400, error(-5028, "x"), 'N'),
            (500, error(-1001, INTERNAL), 'N'),
            (
                500,
                error(-1001, "Internal error; unable to process your request."),
                'U',
            ),
            (400, error(-9999, "new"), 'U'),
            (400, "not json".to_owned(), 'U'),
            (403, "<html>blocked</html>".to_owned(), 'N'),
            (403, error(-9999, "new"), 'U'),
            (451, error(0, "restricted location"), 'R'),
            (404, error(-5000, "Path not found."), 'R'),
            (401, error(-1002, "You are not authorized."), 'R'),
            (400, error(-2010, "Duplicate order sent."), 'U'),
            (400, error(-4509, "for a stop only"), 'U'),
            (307, String::new(), 'U'),
            (100, String::new(), 'U'),
            (302, error(-2022, "no"), 'U'),
        ] {
            assert_eq!(
                letter(&judged(status, &body, false)),
                ending,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_body_that_broke_off_proves_nothing_but_the_status_that_says_stop() {
        assert_eq!(letter(&judged(200, "good", true)), 'U');
        assert_eq!(letter(&judged(400, &error(-2022, "no"), true)), 'U');
        assert_eq!(letter(&judged(503, &error(-1001, INTERNAL), true)), 'U');
        assert_eq!(letter(&judged(429, "", true)), 'N');
        assert_eq!(letter(&judged(418, "", true)), 'N');
    }

    #[test]
    fn a_failure_is_unknown_unless_no_byte_left() {
        let window = SendWindow::at(VenueTime::from_millis(1), Duration::from_millis(1500));
        let failed = |failure| letter(&judge_failure::<()>(failure, window));
        assert_eq!(failed(Failure::NotWritten("refused".to_owned())), 'N');
        assert_eq!(failed(Failure::Broken("reset".to_owned())), 'U');
        assert_eq!(failed(Failure::Timeout(Duration::from_secs(3))), 'U');
    }

    #[test]
    fn status_code_message_and_body_are_kept() {
        let Submission::Rejected(no) =
            judged(400, &error(-2022, "ReduceOnly Order is rejected."), false)
        else {
            panic!("not rejected")
        };
        assert_eq!(
            (no.code, no.reply.status, no.reply.code),
            (-2022, 400, Some(-2022))
        );
        assert_eq!(no.reply.body, error(-2022, "ReduceOnly Order is rejected."));
    }

    #[test]
    fn the_send_window_closes_the_slack_after_the_receive_window() {
        let window = SendWindow::at(VenueTime::from_millis(10_000), Duration::from_millis(1500));
        assert_eq!(window.closes().as_millis(), 12_750);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic_and_only_a_report_is_accepted(
            status in 0u16..700, body in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200), broken: bool,
        ) {
            let body = String::from_utf8_lossy(&body).into_owned();
            let ending = letter(&judged(status, &body, broken));
            proptest::prop_assert!(ending != 'A');
            proptest::prop_assert!(ending != 'R' || (400..500).contains(&status));
        }
    }
}
