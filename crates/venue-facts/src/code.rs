//! Every documented error code of the venue, with its words and with what it says about a request.

use serde::Serialize;
use std::sync::LazyLock;

/// The table as data; `data/README.md` names its sources.
const TABLE: &str = include_str!("../data/error_codes.tsv");

/// What a code says about an order or a stop that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeMeaning {
    /// Nothing was placed.
    Refused,
    /// Something may have been placed.
    Unknown,
    /// The venue does not answer this kind of request with it.
    CannotHappen,
    /// Nothing was placed, unless the text speaks of a duplicate: then an order of this id may be live.
    RefusedUnlessTextSaysDuplicate,
    /// Nothing was placed, if the text is the documented one.
    RefusedWithDocumentedText,
}

impl CodeMeaning {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "refused" => Some(Self::Refused),
            "unknown" => Some(Self::Unknown),
            "cannot_happen" => Some(Self::CannotHappen),
            "refused_unless_text_says_duplicate" => Some(Self::RefusedUnlessTextSaysDuplicate),
            "refused_with_documented_text_else_unknown" => Some(Self::RefusedWithDocumentedText),
            _ => None,
        }
    }
}

/// One row of the table of error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VenueCode {
    /// As the venue sends it: below zero, or 0 for a reply of the edge in front of it.
    pub code: i32,
    /// Its documented name.
    pub name: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The venue's words. Where a text has figures in it, they are an example.
    pub text: &'static str,
    /// What it says about an order (`POST /fapi/v1/order`).
    pub order: CodeMeaning,
    /// What it says about a stop (`POST /fapi/v1/algoOrder`).
    pub stop: CodeMeaning,
    /// What it says about a question (a GET), in a word or two.
    pub question: &'static str,
}

static CODES: LazyLock<Vec<VenueCode>> =
    LazyLock::new(|| TABLE.lines().skip(1).filter_map(row).collect());

/// Every documented code, those nearest to zero first.
pub fn venue_codes() -> &'static [VenueCode] {
    &CODES
}

/// The row of one code.
pub fn venue_code(code: i32) -> Option<&'static VenueCode> {
    CODES.iter().find(|row| row.code == code)
}

fn row(line: &'static str) -> Option<VenueCode> {
    let mut cells = line.split('\t');
    let mut next = || cells.next();
    Some(VenueCode {
        code: next()?.parse().ok()?,
        name: next()?,
        status: next()?.parse().ok()?,
        text: next()?,
        order: CodeMeaning::parse(next()?)?,
        stop: CodeMeaning::parse(next()?)?,
        question: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_read_and_each_code_stands_once() {
        assert_eq!(venue_codes().len(), TABLE.lines().count() - 1);
        for known in venue_codes() {
            assert_eq!(venue_code(known.code), Some(known));
            assert!(!known.text.is_empty() && known.code <= 0, "{known:?}");
        }
    }
}
