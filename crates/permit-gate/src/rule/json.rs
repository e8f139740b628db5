//! JSON read strictly: one object, no field twice, numbers from their own text.

use super::{MAX_PERMIT_BYTES, Malformed, NotJson, place};
use crate::foreign::{MAX_FOREIGN, escaped};
use rust_decimal::Decimal;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::{collections::BTreeSet, fmt};

/// One JSON object whose fields are read by name and type. Unknown fields may be there. What two
/// readers could read differently may not, at any depth: a field twice, a number that is not
/// finite, half of a surrogate pair; nor may anything but blanks stand around the object.
///
/// For rules of one's own; see [`crate::Rule`] for one.
#[derive(Debug)]
pub struct StrictObject<'a> {
    text: &'a [u8],
    fields: Vec<(String, &'a str)>,
}

impl<'a> StrictObject<'a> {
    /// Reads at most [`MAX_PERMIT_BYTES`]. Errors say how the text fails to be such an object, where,
    /// and what stands there.
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        if text.len() > MAX_PERMIT_BYTES {
            return Err(Malformed::TooLarge);
        }
        let begins = text.iter().find(|b| !is_blank(**b)) == Some(&b'{');
        if !begins || text.get(1) == Some(&0) {
            return Err(Malformed::NotAnObject(NotJson::at_start(text)));
        }
        if let Err(error) = std::str::from_utf8(text) {
            let at = error.valid_up_to();
            let what = "a byte that is no UTF-8";
            let hint = Some("the text has to be UTF-8, with no Latin-1 in it");
            let mut last = None;
            // What is before it names the field it lies in.
            drop(read_fields(&text[..at], &mut last));
            let wrong = NotJson::at(text, at, what.into(), last.as_deref(), hint);
            return Err(Malformed::NotAnObject(wrong));
        }
        let object = Self {
            text,
            fields: fields(text)?,
        };
        for (i, (name, value)) in object.fields.iter().enumerate() {
            if object.fields[..i]
                .iter()
                .any(|(earlier, _)| earlier == name)
            {
                return Err(Malformed::DuplicateField {
                    field: escaped(name, MAX_FOREIGN),
                    at: object.place(value),
                });
            }
            object.check(name, value)?;
        }
        Ok(object)
    }

    /// Whether every reader reads this value alike.
    fn check(&self, name: &str, value: &str) -> Result<(), Malformed> {
        if is_number(value) && !is_finite(value) {
            return Err(not_finite(name, value));
        }
        serde_json::from_str::<Sound>(value)
            .map(drop)
            .map_err(|error| {
                let start = self.offset(value);
                let at = start + offset(value.as_bytes(), &error);
                let what = message(&error);
                let halved = what.contains("surrogate") || what.contains("hex escape");
                let hint = halved.then_some("half of a surrogate pair is no text");
                Malformed::NotAnObject(NotJson::at(self.text, at, what, Some(name), hint))
            })
    }

    /// Where a value begins, in bytes from the start of the text.
    fn offset(&self, value: &str) -> usize {
        (value.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    /// The same, the first byte being byte 1.
    fn place(&self, value: &str) -> usize {
        self.offset(value) + 1
    }

    fn get(&self, field: &str) -> Option<&'a str> {
        self.fields
            .iter()
            .find(|(n, _)| n == field)
            .map(|(_, v)| *v)
    }

    fn must(&self, field: &'static str) -> Result<&'a str, Malformed> {
        self.get(field).ok_or_else(|| {
            let names: Vec<&str> = self.fields.iter().map(|(name, _)| name.as_str()).collect();
            Malformed::MissingField {
                field,
                there: match names[..] {
                    [] => "none".into(),
                    _ => escaped(&names.join(", "), MAX_FOREIGN),
                },
            }
        })
    }

    fn wrong(&self, field: &str, expected: &'static str, value: &str) -> Malformed {
        Malformed::WrongType {
            field: field.into(),
            expected,
            found: place::value(value),
            at: self.place(value),
            hint: place::hint_of_type(expected, value),
        }
    }

    /// A field that must be `true` or `false`. Errors where it is missing or of another type, as
    /// all readers of a field here do; `null` is another type.
    pub fn bool(&self, field: &'static str) -> Result<bool, Malformed> {
        match self.must(field)? {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(self.wrong(field, "true or false", other)),
        }
    }

    /// A field that must be a string.
    pub fn string(&self, field: &'static str) -> Result<String, Malformed> {
        let value = self.must(field)?;
        serde_json::from_str(value).map_err(|_| self.wrong(field, "a string", value))
    }

    /// A field that must be a number: the decimal its digits stand for, rounded to 12 significant
    /// digits. Issuers hold binary floats, so `0.009000000000000001` means 0.009 and
    /// `0.19999999999999998` means 0.2. Errors with [`Malformed::NotFinite`] where a decimal of 28
    /// digits cannot hold it.
    pub fn decimal(&self, field: &'static str) -> Result<Decimal, Malformed> {
        let value = self.must(field)?;
        if !is_number(value) {
            return Err(self.wrong(field, "a number", value));
        }
        decimal(value, SIGNIFICANT, Rounding::Nearest).ok_or_else(|| not_finite(field, value))
    }

    /// The same field as it was written: nothing is rounded, and what a decimal cannot hold is cut
    /// off toward 0. For what is compared with more than 12 digits.
    pub fn decimal_as_written(&self, field: &'static str) -> Result<Decimal, Malformed> {
        let value = self.must(field)?;
        let meant = self.decimal(field)?;
        Ok(decimal(value, WRITTEN, Rounding::Down).unwrap_or(meant))
    }

    /// As [`StrictObject::decimal`], and not below 0.
    pub fn decimal_from_zero(&self, field: &'static str) -> Result<Decimal, Malformed> {
        match self.decimal(field)? {
            d if d < Decimal::ZERO => Err(Malformed::Negative {
                field,
                found: self.shown(field),
            }),
            d => Ok(d),
        }
    }

    /// The field's value as it stands there, escaped, and cut to 30 characters: for a sentence about it.
    /// Empty where the field is missing.
    pub fn shown(&self, field: &str) -> String {
        self.get(field).map(place::value).unwrap_or_default()
    }

    /// The text without this field and without one of the commas beside it, and the field's value as
    /// it stands there. Nothing else of the text is touched. `None` where the field is missing.
    pub fn take_out(&self, field: &str) -> Option<(String, &'a str)> {
        let index = self.fields.iter().position(|(name, _)| name == field)?;
        let (_, value) = self.fields.get(index)?;
        let end = self.offset(value) + value.len();
        let comma_from = |from: usize| {
            let comma = self.text.get(from..)?.iter().position(|b| *b == b',')?;
            Some(from + comma)
        };
        let (from, to) = match index.checked_sub(1).and_then(|i| self.fields.get(i)) {
            // The comma before it, which is the first one behind the value before it.
            Some((_, before)) => (comma_from(self.offset(before) + before.len())?, end),
            None => {
                let from = self.text.iter().position(|b| *b == b'"')?;
                let to = match self.fields.len() {
                    1 => end,
                    _ => comma_from(end)? + 1,
                };
                let rest = self.text.get(to..)?;
                let blanks = rest.iter().take_while(|b| is_blank(**b)).count();
                (from, to + blanks)
            }
        };
        let text = std::str::from_utf8(self.text).ok()?;
        Some((format!("{}{}", text.get(..from)?, text.get(to..)?), *value))
    }

    /// A field whose name differs from this one in case and signs alone: `:signed`, `Signed`.
    pub fn similar(&self, field: &str) -> Option<String> {
        let letters = |name: &str| -> String {
            let letters = name.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|c| c.to_ascii_lowercase()).collect()
        };
        let wanted = letters(field);
        let named = self.fields.iter().map(|(name, _)| name);
        let mut similar = named.filter(|name| *name != field && letters(name) == wanted);
        similar.next().map(|name| escaped(name, place::AROUND))
    }

    /// Whether the field is there. One that is `null` is not: many writers spell what is absent so.
    pub fn has(&self, field: &str) -> bool {
        self.get(field).is_some_and(|value| value != "null")
    }
}

/// The object's fields, in their order.
fn fields(text: &[u8]) -> Result<Vec<(String, &str)>, Malformed> {
    let mut last = None;
    read_fields(text, &mut last).map_err(|error| {
        let mut at = offset(text, &error);
        let mut what = message(&error);
        let hint = place::hint(text, at, &what);
        if matches!(
            what.as_str(),
            "expected value" | "expected ident" | "invalid number"
        ) {
            at = place::start_of_value(text, at);
            what = "no JSON value".into();
        }
        Malformed::NotAnObject(NotJson::at(text, at, what, last.as_deref(), hint))
    })
}

/// The fields, and the name that was read last.
fn read_fields<'a>(
    text: &'a [u8],
    last: &mut Option<String>,
) -> Result<Vec<(String, &'a str)>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let fields = Fields { last }.deserialize(&mut reader)?;
    reader.end().map(|()| fields)
}

fn not_finite(field: &str, value: &str) -> Malformed {
    Malformed::NotFinite {
        field: escaped(field, MAX_FOREIGN),
        found: place::value(value),
    }
}

/// What the reader says, without its own account of the place.
fn message(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match said.rfind(" at line ") {
        Some(end) => said[..end].to_owned(),
        None => said,
    }
}

/// The place in bytes from the start, the first byte being 0.
fn offset(text: &[u8], error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive(|b| *b == b'\n');
    let before: usize = lines
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + error.column().saturating_sub(1)).min(text.len())
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_number(json: &str) -> bool {
    json.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn is_finite(json: &str) -> bool {
    json.parse::<f64>().is_ok_and(f64::is_finite)
}

#[derive(Clone, Copy, PartialEq)]
enum Rounding {
    /// To the nearest, an exact half to the even one.
    Nearest,
    /// Toward 0.
    Down,
}

/// The decimal of so many significant digits. Worked out on the digits themselves, so that nothing is
/// rounded twice. `None` where it needs more than 28 places: a number that is not 0 never becomes one.
fn decimal(json: &str, significant: u8, rounding: Rounding) -> Option<Decimal> {
    let (plain, exponent) = match json.split_once(['e', 'E']) {
        Some((plain, exponent)) => (plain, exponent.parse::<i64>().ok()?),
        None => (json, 0),
    };
    let fraction = plain.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = plain.bytes().filter(u8::is_ascii_digit);
    let mut digits = digits.map(|b| i128::from(b - b'0')).skip_while(|d| *d == 0);

    let (mut mantissa, mut kept) = (0_i128, 0_u8);
    while kept < significant
        && let Some(digit) = digits.next()
    {
        mantissa = mantissa * 10 + digit;
        kept += 1;
    }
    let rest: Vec<i128> = digits.collect();
    let more = rest.iter().skip(1).any(|d| *d > 0);
    mantissa += match rest.first() {
        _ if rounding == Rounding::Down => 0,
        Some(6..) => 1,
        Some(5) if more => 1,
        Some(5) => mantissa % 2,
        _ => 0,
    };

    let dropped = i64::try_from(rest.len()).ok()?;
    let mut power = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(dropped)?;
    if mantissa == 0 {
        return Some(Decimal::ZERO);
    }
    while mantissa % 10 == 0 || (rounding == Rounding::Down && power < -MAX_PLACES) {
        mantissa /= 10;
        power += 1;
        if mantissa == 0 {
            return None;
        }
    }
    if json.starts_with('-') {
        mantissa = -mantissa;
    }
    let (mantissa, scale) = match u32::try_from(power) {
        Ok(zeros) => (mantissa.checked_mul(10_i128.checked_pow(zeros)?)?, 0),
        Err(_) => (mantissa, u32::try_from(power.checked_neg()?).ok()?),
    };
    Decimal::try_from_i128_with_scale(mantissa, scale).ok()
}

/// What a binary float is sure of, with room to spare.
const SIGNIFICANT: u8 = 12;

/// What a decimal surely holds.
const WRITTEN: u8 = 28;

/// A decimal's places behind the point.
const MAX_PLACES: i64 = 28;

/// Reads an object's fields, and keeps the name that was read last: where reading ends in an error,
/// this is the field it ends in.
struct Fields<'l> {
    last: &'l mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Vec<(String, &'de str)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<(String, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            *self.last = Some(name.clone());
            let value = map.next_value::<&'de RawValue>()?;
            fields.push((name, value.get()));
        }
        Ok(fields)
    }
}

/// Any value that every reader reads alike. Kept nowhere.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SoundVisitor;
        impl<'de> Visitor<'de> for SoundVisitor {
            type Value = Sound;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Sound, E> {
                Ok(Sound)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Sound, E> {
                Ok(Sound)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Sound, E> {
                Ok(Sound)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Sound, E> {
                Ok(Sound)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Sound, E> {
                Ok(Sound)
            }

            fn visit_str<E>(self, _: &str) -> Result<Sound, E> {
                Ok(Sound)
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Sound, S::Error> {
                while let Some(Sound) = items.next_element()? {}
                Ok(Sound)
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Sound, M::Error> {
                let mut names = BTreeSet::new();
                while let Some((name, Sound)) = map.next_entry::<String, Sound>()? {
                    if let Some(twice) = names.replace(name) {
                        let twice = escaped(&twice, place::AROUND);
                        return Err(M::Error::custom(format!(
                            "field \"{twice}\" is there twice"
                        )));
                    }
                }
                Ok(Sound)
            }
        }
        deserializer.deserialize_any(SoundVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qty(text: &str) -> Result<Decimal, Malformed> {
        StrictObject::parse(format!(r#"{{"q":{text}}}"#).as_bytes())?.decimal("q")
    }

    #[test]
    fn a_field_is_taken_out_with_one_comma_and_nothing_else() {
        for (text, rest) in [
            (r#"{"a":1,"s":"x"}"#, r#"{"a":1}"#),
            (r#"{"a": 1, "s": "x"}"#, r#"{"a": 1}"#),
            ("{\n  \"a\": 1,\n  \"s\": \"x\"\n}", "{\n  \"a\": 1\n}"),
            (r#"{"a": 1, "s": "x", "t": 2}"#, r#"{"a": 1, "t": 2}"#),
            (r#"{"s": "x", "t": [1,2]}"#, r#"{"t": [1,2]}"#),
            (r#"{"a":",","s" : "x" }"#, r#"{"a":"," }"#),
            (r#"{"a":{"s":1},"\u0073":"x"}"#, r#"{"a":{"s":1}}"#),
            (r#"{"s":"x"}"#, "{}"),
        ] {
            let object = StrictObject::parse(text.as_bytes()).unwrap();
            assert_eq!(
                object.take_out("s"),
                Some((rest.to_owned(), "\"x\"")),
                "{text}"
            );
            assert_eq!(object.take_out("z"), None);
        }
    }

    #[test]
    fn a_float_is_the_decimal_it_stands_for() {
        for (text, means) in [
            ("0.009000000000000001", "0.009"),
            ("0.19999999999999998", "0.2"),
            ("9e-3", "0.009"),
            ("9.000000000000001e-03", "0.009"),
            ("0.008", "0.008"),
            ("-0.0124", "-0.0124"),
            ("123456.789", "123456.789"),
            ("0.0", "0"),
            ("1E2", "100"),
            ("0.33333333333333333333333333333333333333", "0.333333333333"),
            ("0.1234567890125", "0.123456789012"),
            ("0.12345678901250000000000000000000000001", "0.123456789013"),
            ("0.9999999999996", "1"),
            ("1e-28", "0.0000000000000000000000000001"),
            ("-0.0", "0"),
        ] {
            assert_eq!(qty(text).unwrap().to_string(), means, "{text}");
        }
    }

    #[test]
    fn what_is_not_zero_never_becomes_zero() {
        for text in ["1e-29", "-1e-29", "0.00000000000000000000000000001"] {
            assert_eq!(qty(text), Err(not_finite("q", text)), "{text}");
        }
    }

    #[test]
    fn what_readers_read_differently_is_refused_at_any_depth() {
        for text in [
            r#"{"x":{"a":1,"\u0061":2}}"#,
            r#"{"x":[{"a":[1,-1e999]}]}"#,
            r#"{"x":"\ud800"}"#,
            r#"{"x":{"\udc00":1}}"#,
        ] {
            let refused = StrictObject::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(refused, Malformed::NotAnObject(_)), "{text}");
        }
        assert!(StrictObject::parse(br#"{"x":{"a":[1.5,-2,null,true,"\ud83d\ude00"]}}"#).is_ok());
    }

    #[test]
    fn what_is_no_finite_number_is_refused_and_never_a_zero() {
        for text in [
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "-1e999",
            "1e28000",
            "\"0.008\"",
            "null",
            "true",
            "[1]",
            "{}",
            "01",
            ".5",
            "5.",
            "0x1",
            "1_000",
            "+1",
            "--1",
            "",
        ] {
            assert!(qty(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_field_is_read_once_or_not_at_all() {
        let twice = StrictObject::parse(br#"{"allow":false,"\u0061llow":true}"#).unwrap_err();
        let (field, at) = ("allow".into(), 29);
        assert_eq!(twice, Malformed::DuplicateField { field, at });
        for text in [
            &b""[..],
            b"null",
            b"[]",
            b"1",
            b"{} {}",
            b"{}x",
            b"\xff{}",
            b"{\"a\":\"\xff\"}",
            b"{'a':1}",
            b"{\"a\":1,}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":nan}",
        ] {
            assert!(matches!(
                StrictObject::parse(text),
                Err(Malformed::NotAnObject(_))
            ));
        }
        let big = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_PERMIT_BYTES));
        assert_eq!(
            StrictObject::parse(big.as_bytes()).unwrap_err(),
            Malformed::TooLarge
        );
    }
}
