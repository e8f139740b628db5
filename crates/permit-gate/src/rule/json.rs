//! JSON read strictly: one object, no field twice, numbers from their own text.

use super::{MAX_PERMIT_BYTES, Malformed};
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{fmt, str::FromStr};

/// One JSON object whose fields are read by name and type. Unknown fields may be there; a field
/// twice, a number that is not finite, or anything around the object may not.
#[derive(Debug)]
pub struct StrictObject<'a>(Vec<(String, &'a str)>);

impl<'a> StrictObject<'a> {
    /// Reads at most [`MAX_PERMIT_BYTES`].
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        if text.len() > MAX_PERMIT_BYTES {
            return Err(Malformed::TooLarge);
        }
        let Fields(fields) = serde_json::from_slice(text)
            .map_err(|error| Malformed::NotAnObject(error.to_string()))?;
        for (i, (name, value)) in fields.iter().enumerate() {
            if fields[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(Malformed::DuplicateField(super::brief(name)));
            }
            if is_number(value) && !is_finite(value) {
                return Err(Malformed::NotFinite(super::brief(name)));
            }
        }
        Ok(Self(fields))
    }

    fn get(&self, field: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| n == field).map(|(_, v)| *v)
    }

    fn must(&self, field: &'static str) -> Result<&'a str, Malformed> {
        self.get(field).ok_or(Malformed::MissingField(field))
    }

    /// A field that must be `true` or `false`.
    pub fn bool(&self, field: &'static str) -> Result<bool, Malformed> {
        match self.must(field)? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(wrong(field, "boolean")),
        }
    }

    /// A field that must be a string.
    pub fn string(&self, field: &'static str) -> Result<String, Malformed> {
        serde_json::from_str(self.must(field)?).map_err(|_| wrong(field, "string"))
    }

    /// A field that must be a number: the decimal its digits stand for, rounded to 12 significant
    /// digits. Issuers hold binary floats, so `0.009000000000000001` means 0.009 and
    /// `0.19999999999999998` means 0.2.
    pub fn decimal(&self, field: &'static str) -> Result<Decimal, Malformed> {
        let text = self.must(field)?;
        if !is_number(text) {
            return Err(wrong(field, "number"));
        }
        decimal(text).ok_or_else(|| Malformed::NotFinite(field.into()))
    }

    /// As [`StrictObject::decimal`], and not below 0.
    pub fn decimal_from_zero(&self, field: &'static str) -> Result<Decimal, Malformed> {
        match self.decimal(field)? {
            d if d < Decimal::ZERO => Err(Malformed::Negative(field)),
            d => Ok(d),
        }
    }

    /// Whether the field is there at all.
    pub fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }
}

fn wrong(field: &str, expected: &'static str) -> Malformed {
    Malformed::WrongType {
        field: field.into(),
        expected,
    }
}

fn is_number(json: &str) -> bool {
    json.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn is_finite(json: &str) -> bool {
    json.parse::<f64>().is_ok_and(f64::is_finite)
}

/// `None` where the number does not fit a decimal of 28 digits.
fn decimal(json: &str) -> Option<Decimal> {
    let exact = if json.contains(['e', 'E']) {
        Decimal::from_scientific(json).ok()?
    } else {
        Decimal::from_str(json).ok()?
    };
    exact.round_sf(12).map(|d| d.normalize())
}

struct Fields<'a>(Vec<(String, &'a str)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((name, value.get()));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qty(text: &str) -> Result<Decimal, Malformed> {
        StrictObject::parse(format!(r#"{{"q":{text}}}"#).as_bytes())?.decimal("q")
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
        ] {
            assert_eq!(qty(text).unwrap().to_string(), means, "{text}");
        }
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
        assert_eq!(twice, Malformed::DuplicateField("allow".into()));
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
