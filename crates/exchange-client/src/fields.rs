//! Reading single fields of a reply. Whatever cannot be read is an error that names the field; nothing has a default.

use crate::{omissions::Place, time::VenueTime};
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A reply that does not hold what its endpoint promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct DecodeError {
    place: Cow<'static, str>,
    problem: Box<str>,
    contradicts: bool,
}

impl DecodeError {
    pub(crate) fn new(place: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into().into_boxed_str(),
            contradicts: false,
        }
    }

    pub(crate) fn contradiction(
        place: impl Into<Cow<'static, str>>,
        problem: impl Into<String>,
    ) -> Self {
        Self {
            contradicts: true,
            ..Self::new(place, problem)
        }
    }

    /// The field (or the endpoint, where the whole reply is unreadable) that is to blame.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// True where the field can be read and says something else than was sent.
    #[must_use]
    pub fn is_contradiction(&self) -> bool {
        self.contradicts
    }
}

/// A field as it stands in the reply, not looked at yet. JSON `null` counts as absent.
pub(crate) type Field<'a> = Option<&'a RawValue>;

/// Reads a whole reply into a struct of [`Field`]s.
pub(crate) fn read<'a, T: Deserialize<'a>>(
    endpoint: &'static str,
    body: &'a [u8],
) -> Result<T, DecodeError> {
    // Looked at once as a whole, a text is quicker than field by field. A field that is not asked for may hold anything.
    let read = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    };
    read.map_err(|error| DecodeError::new(endpoint, error.to_string()))
}

pub(crate) fn required<'a>(
    name: &'static str,
    field: Field<'a>,
) -> Result<&'a RawValue, DecodeError> {
    field.ok_or_else(|| DecodeError::new(name, "missing"))
}

pub(crate) fn text<'a>(name: &'static str, field: Field<'a>) -> Result<Cow<'a, str>, DecodeError> {
    let raw = required(name, field)?.get();
    // Almost every text of the venue is plain; those are borrowed and not run through the JSON parser again.
    if let Some(plain) = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"'))
        && !plain.contains(['\\', '"'])
    {
        return Ok(Cow::Borrowed(plain));
    }
    match serde_json::from_str::<String>(raw) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(_) => Err(unreadable(name, raw, "a text")),
    }
}

/// A decimal in any form the venue prints: a text or a JSON number, with or without an exponent. More digits than a
/// [`Decimal`] holds are refused: each other way would mean guessing.
pub(crate) fn decimal(name: &'static str, field: Field<'_>) -> Result<Decimal, DecodeError> {
    let written = number_text(name, field)?;
    exact(&written).ok_or_else(|| unreadable(name, &written, "a decimal"))
}

fn number_text<'a>(name: &'static str, field: Field<'a>) -> Result<Cow<'a, str>, DecodeError> {
    let raw = required(name, field)?.get();
    match raw.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        true => Ok(Cow::Borrowed(raw)),
        false => text(name, field),
    }
}

fn exact(written: &str) -> Option<Decimal> {
    let (digits, exponent) = match written.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (written, 0),
    };
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-');
    if !digits.bytes().all(plain) {
        return None;
    }
    let number = Decimal::from_str_exact(digits).ok()?;
    if exponent == 0 {
        return Some(number);
    }
    let number = number.normalize();
    let scale = i32::try_from(number.scale()).ok()?.checked_sub(exponent)?;
    let (mantissa, scale) = match u32::try_from(scale) {
        Ok(scale) => (number.mantissa(), scale),
        Err(_) => {
            let factor = 10_i128.checked_pow(scale.unsigned_abs())?;
            (number.mantissa().checked_mul(factor)?, 0)
        }
    };
    Decimal::try_from_i128_with_scale(mantissa, scale).ok()
}

/// A whole number in any form the venue prints.
pub(crate) fn integer(name: &'static str, field: Field<'_>) -> Result<u64, DecodeError> {
    let raw = required(name, field)?.get();
    if let Ok(number) = raw.parse() {
        return Ok(number);
    }
    let written = number_text(name, field)?;
    let whole = exact(&written).filter(Decimal::is_integer);
    whole
        .and_then(|number| number.to_u64())
        .ok_or_else(|| unreadable(name, &written, "a whole number"))
}

/// The venue's own number for something, which it counts from 1: 0 stands for nothing.
pub(crate) fn venue_number(name: &'static str, field: Field<'_>) -> Result<u64, DecodeError> {
    match integer(name, field)? {
        0 => Err(DecodeError::new(name, "0 is the number of nothing")),
        number => Ok(number),
    }
}

/// A field that nothing is decided by: what cannot be read counts as absent, and is noted.
pub(crate) fn informational<'a, T>(
    place: &mut Place<'_>,
    name: &'static str,
    field: Field<'a>,
    read: impl FnOnce(&'static str, Field<'a>) -> Result<T, DecodeError>,
) -> Option<T> {
    match optional(name, field, read) {
        Ok(value) => value,
        Err(error) => {
            place.without(name, &error.problem);
            None
        }
    }
}

pub(crate) fn boolean(name: &'static str, field: Field<'_>) -> Result<bool, DecodeError> {
    match required(name, field)?.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(unreadable(name, other, "true or false")),
    }
}

pub(crate) fn time(name: &'static str, field: Field<'_>) -> Result<VenueTime, DecodeError> {
    integer(name, field).map(VenueTime::from_millis)
}

/// A word out of a closed list.
pub(crate) fn word<T>(
    name: &'static str,
    field: Field<'_>,
    read: fn(&str) -> Option<T>,
) -> Result<T, DecodeError> {
    let text = text(name, field)?;
    read(&text).ok_or_else(|| unreadable(name, &text, "a known word"))
}

/// A word out of a list that may grow: one that is not in it is `other`, and its text is kept.
pub(crate) fn word_or_other<T>(
    text: &str,
    read: fn(&str) -> Option<T>,
    other: T,
) -> (T, Option<String>) {
    match read(text) {
        Some(word) => (word, None),
        None => (other, Some(text.chars().take(LONGEST_WORD).collect())),
    }
}

/// How much of an unknown word is kept.
const LONGEST_WORD: usize = 40;

/// A symbol or an id.
pub(crate) fn name<T: std::str::FromStr>(
    name: &'static str,
    field: Field<'_>,
) -> Result<T, DecodeError> {
    let text = text(name, field)?;
    text.parse()
        .map_err(|_| unreadable(name, &text, "a valid name"))
}

/// Reads an optional field: absent stays absent, and what is there has to be readable.
pub(crate) fn optional<'a, T>(
    name: &'static str,
    field: Field<'a>,
    read: impl FnOnce(&'static str, Field<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    field.map(|_| read(name, field)).transpose()
}

/// Whether an answer about one thing is about that thing.
pub(crate) fn same<T: PartialEq + std::fmt::Display>(
    name: &'static str,
    sent: T,
    answered: T,
) -> Result<(), DecodeError> {
    if sent == answered {
        return Ok(());
    }
    let problem = format!("{sent} was sent, the answer says {answered}");
    Err(DecodeError::contradiction(name, problem))
}

fn unreadable(name: &'static str, found: &str, expected: &str) -> DecodeError {
    let start: String = found.chars().take(40).collect();
    DecodeError::new(name, format!("{start:?} is not {expected}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn field(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let exact = decimal("qty", Some(&field("\"0.100\""))).unwrap();
        assert_eq!(exact.to_string(), "0.100");
        assert_eq!(
            decimal("qty", Some(&field("\"-12\""))).unwrap(),
            Decimal::from(-12)
        );
        for (written, meant) in [
            ("0.1", "0.1"),
            ("-12", "-12"),
            ("\"1e5\"", "100000"),
            ("1E-4", "0.0001"),
            ("\"6.399E4\"", "63990"),
            ("\"9.223372036854776E18\"", "9223372036854776000"),
            ("\"1.50E+1\"", "15"),
        ] {
            let read = decimal("qty", Some(&field(written))).unwrap();
            assert_eq!(read.to_string(), meant, "{written}");
        }
        for bad in [
            "\"\"",
            "\"-\"",
            "\".\"",
            "\"nan\"",
            "\"inf\"",
            "\"1e\"",
            "\"e5\"",
            "\"1e99\"",
            "\"1e-99\"",
            "\"1e99999999999\"",
            "\"1_000\"",
            "\"+1\"",
            "\" 1\"",
            "\"1.2.3\"",
            "\"0.00000000000000000000000000001\"",
            "\"99999999999999999999999999999999\"",
            "true",
            "[]",
            "{}",
        ] {
            let error = decimal("qty", Some(&field(bad))).unwrap_err();
            assert_eq!(error.place(), "qty", "{bad}");
        }
        assert_eq!(
            decimal("qty", None).unwrap_err().to_string(),
            "qty: missing"
        );
    }

    #[test]
    fn integers_and_flags_are_not_guessed_from_other_types() {
        assert_eq!(integer("id", Some(&field("12"))).unwrap(), 12);
        for (written, meant) in [("1.0", 1), ("1e3", 1000), ("\"12\"", 12)] {
            assert_eq!(integer("id", Some(&field(written))).unwrap(), meant);
        }
        for bad in ["-1", "1.5", "\"\"", "true", "99999999999999999999"] {
            assert!(integer("id", Some(&field(bad))).is_err(), "{bad}");
        }
        assert!(boolean("flag", Some(&field("\"true\""))).is_err());
        assert!(boolean("flag", Some(&field("1"))).is_err());
    }

    #[test]
    fn escaped_texts_are_unescaped() {
        assert_eq!(
            text("msg", Some(&field(r#""a\"b\u0041""#))).unwrap(),
            "a\"bA"
        );
    }
}
