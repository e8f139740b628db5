//! Entries of a stream: their ids, and their fields as text.

use crate::timestamp::Timestamp;
use std::{collections::HashMap, fmt, str::FromStr};

/// The fields of one stream entry that are text. A field that is none is left out, so the code that
/// needs it finds it missing.
pub type Fields = HashMap<String, String>;

/// Fields from pairs; for tests, examples and programs that embed a reviewer without a stream.
pub fn raw<const N: usize>(pairs: [(&str, &str); N]) -> Fields {
    pairs
        .map(|(field, value)| (field.to_owned(), value.to_owned()))
        .into()
}

/// A stream entry's id, `1769301008977-0`: a time on the store's clock and a number within it.
/// Later entries compare greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    millis: u64,
    number: u64,
}

/// The text is no entry id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no stream entry id")]
pub struct EntryIdError(String);

impl EntryId {
    /// Before every entry: `0-0`.
    pub const START: Self = Self {
        millis: 0,
        number: 0,
    };

    /// When the entry was written.
    pub fn written_at(self) -> Timestamp {
        Timestamp::from_millis(self.millis)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, EntryIdError> {
        let parsed = text
            .split_once('-')
            .and_then(|(millis, number)| Some((millis.parse().ok()?, number.parse().ok()?)));
        match parsed {
            Some((millis, number)) => Ok(Self { millis, number }),
            None => Err(EntryIdError(text.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_number_and_not_by_letter() {
        let id = |text: &str| text.parse::<EntryId>().unwrap();
        assert!(id("9-0") < id("10-0") && id("10-9") < id("10-10"));
        assert_eq!(id("1769301008977-3").to_string(), "1769301008977-3");
        for bad in ["", "5", "-", "a-0", "1-", "-1-0", "1-0-0"] {
            assert!(bad.parse::<EntryId>().is_err(), "{bad:?}");
        }
    }
}
