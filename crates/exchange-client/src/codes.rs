//! What the venue's error codes mean, read from the one table there is of them.
//!
//! ```text
//!  code, order or stop ──▶ Meaning ──▶ Refused   nothing was placed, for certain
//!                                  └─▶ Unknown   something may have been; also every code the table does not hold
//! ```

use venue_facts::{CodeMeaning, venue_code};

/// What was submitted when the code came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// `POST /fapi/v1/order`.
    Order,
    /// `POST /fapi/v1/algoOrder`.
    Stop,
}

/// What a code says about a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing was placed.
    Refused,
    /// Something may have been placed.
    Unknown,
}

/// The meaning of a code that came with this text. A code that cannot answer this kind of request, or that the table does
/// not hold, is unknown.
pub(crate) fn meaning(code: i64, text: &str, submitted: Submitted) -> Meaning {
    let row = row(code);
    let refused = row.is_some_and(|row| {
        let meaning = match submitted {
            Submitted::Order => row.order,
            Submitted::Stop => row.stop,
        };
        match meaning {
            CodeMeaning::Refused => true,
            CodeMeaning::RefusedUnlessTextSaysDuplicate => {
                !text.to_ascii_lowercase().contains("duplicate")
            }
            CodeMeaning::RefusedWithDocumentedText => row.text == text,
            CodeMeaning::Unknown | CodeMeaning::CannotHappen => false,
        }
    });
    match refused {
        true => Meaning::Refused,
        false => Meaning::Unknown,
    }
}

/// Whether the table holds a code. Other codes share one label in a metric.
#[must_use]
pub fn is_listed_code(code: i64) -> bool {
    row(code).is_some()
}

/// Whether a question that was answered with this code may be answered otherwise a moment later.
pub(crate) fn passes(code: i64) -> bool {
    row(code).is_some_and(|row| matches!(row.question, "ask again" | "ask again later"))
}

/// A sentence on what to do about a code, shown in results.
#[must_use]
pub fn advice(code: i64) -> &'static str {
    match code {
        0 => "The venue does not serve this address's country; run the service elsewhere.",
        -1003 | -1015 => {
            "This address or account asks too often; the service waits by itself. Look for other programs beside it."
        }
        -1008 | -1001 | -1016 => "The venue is overloaded or down; the next plan tries again.",
        -1021 | -5028 => {
            "The clock of this machine is off or the network is slow; set the clock by NTP and run `apply-layer check`."
        }
        -1022 => {
            "The secret does not belong to the key, or the key is of another kind; set BINANCE_TESTNET_API_SECRET anew."
        }
        -1002 | -1005 | -1011 | -1099 | -1109 | -2014 | -2015 | -2017 | -4027 | -4109 => {
            "Key, permissions or address list do not allow it; look at the key on the test host and run `apply-layer check`."
        }
        -1121 | -1122 | -4022 | -4104 | -4140 | -4141 | -4144 => {
            "The host does not trade this symbol now; take it out of the symbols or wait until it trades again."
        }
        -1111 | -4003 | -4004 | -4005 | -4013 | -4014 | -4023 | -4131 | -4164 | -4001 | -4002 => {
            "The symbol's filters have changed; they are read again, and the next plan uses them."
        }
        -4016 | -4024 | -4183 | -4184 | -4210 | -4211 | -4006 | -4007 => {
            "The price is outside what the venue takes; let the brain propose one nearer to the market."
        }
        -2021 | -4142 => {
            "The stop would be set off at once; to close the position, propose a close."
        }
        -2022 | -4118 | -2024 => {
            "The position is gone or smaller, or other closing orders hold it; look at position and open orders."
        }
        -2018 | -2019 | -2028 | -2027 => {
            "The account lacks margin; look at its balance and open orders on the test host."
        }
        -2020 | -1112 | -5021 | -5022 | -5025 | -5041 => {
            "The book could not fill it; the next plan tries again."
        }
        -2023 => "The position is being liquidated; the venue closes it itself.",
        -2025 | -4045 => "Too many orders are open; cancel those that are not needed.",
        -4061 | -4062 | -1106 => {
            "The account's position mode was switched; it is read again, and the next plan uses it."
        }
        -4087 | -4088 | -4105 | -4106 | -4107 | -4189 | -4192 | -4400 | -4401 | -4402 => {
            "The venue restricts account or symbol for now; look at its notices on the test host."
        }
        -4130 => {
            "A stop for the whole position stands already; cancel it, or leave the stop to it."
        }
        -4411 => "Sign the agreement for these contracts on the test host.",
        -4509 => {
            "The venue does not show the position yet or any more; propose the stop again once it does."
        }
        -5000 | -4084 => {
            "The host does not know this path; look for a newer version of this service."
        }
        _ if is_listed_code(code) => {
            "The request was malformed for the venue; report it with the log."
        }
        _ => "The code is not a documented one; look it up at the venue.",
    }
}

fn row(code: i64) -> Option<&'static venue_facts::VenueCode> {
    venue_code(i32::try_from(code).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_decides_for_orders_and_stops_apart() {
        for (code, order, stop) in [
            (-4141, Meaning::Refused, Meaning::Refused),
            (-2023, Meaning::Refused, Meaning::Refused),
            (-5000, Meaning::Refused, Meaning::Refused),
            (-4509, Meaning::Unknown, Meaning::Refused),
            (-4131, Meaning::Refused, Meaning::Unknown),
            (-1007, Meaning::Unknown, Meaning::Unknown),
            (-2013, Meaning::Unknown, Meaning::Unknown),
            (-9999, Meaning::Unknown, Meaning::Unknown),
        ] {
            assert_eq!(meaning(code, "No.", Submitted::Order), order, "{code}");
            assert_eq!(meaning(code, "No.", Submitted::Stop), stop, "{code}");
        }
    }

    #[test]
    fn the_words_decide_where_the_table_says_so() {
        let order = |code, text| meaning(code, text, Submitted::Order);
        assert_eq!(
            order(-2010, "Account has insufficient balance."),
            Meaning::Refused
        );
        assert_eq!(order(-2010, "Duplicate order sent."), Meaning::Unknown);
        let documented = "Internal error; unable to process your request. Please try again.";
        assert_eq!(order(-1001, documented), Meaning::Refused);
        assert_eq!(order(-1001, "Internal error."), Meaning::Unknown);
    }

    #[test]
    fn every_code_has_a_sentence_and_the_table_is_whole() {
        let rows = venue_facts::venue_codes();
        for row in rows {
            let code = i64::from(row.code);
            assert!(is_listed_code(code), "{row:?}");
            assert!(advice(code).ends_with('.'), "{row:?}");
        }
        assert!(rows.len() >= 214);
        assert!(!is_listed_code(-9999) && advice(-9999).ends_with('.'));
    }
}
