//! JSON read strictly: one object, no field twice, numbers from their own text.

use super::{MAX_PERMIT_BYTES, Malformed};
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::{collections::BTreeSet, fmt};

/// One JSON object whose fields are read by name and type. Unknown fields may be there. What two
/// readers could read differently may not, at any depth: a field twice, a number that is not
/// finite, half of a surrogate pair; nor may anything stand around the object.
///
/// For rules of one's own; see [`crate::Rule`] for one.
#[derive(Debug)]
pub struct StrictObject<'a>(Vec<(String, &'a str)>);

impl<'a> StrictObject<'a> {
    /// Reads at most [`MAX_PERMIT_BYTES`]. Errors say how the text fails to be such an object.
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
            serde_json::from_str::<Sound>(value)
                .map_err(|error| Malformed::NotAnObject(error.to_string()))?;
        }
        Ok(Self(fields))
    }

    fn get(&self, field: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| n == field).map(|(_, v)| *v)
    }

    fn must(&self, field: &'static str) -> Result<&'a str, Malformed> {
        self.get(field).ok_or(Malformed::MissingField(field))
    }

    /// A field that must be `true` or `false`. Errors where it is missing or of another type, as
    /// all readers of a field here do.
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
    /// `0.19999999999999998` means 0.2. Errors with [`Malformed::NotFinite`] where a decimal of 28
    /// digits cannot hold it.
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

/// The nearest decimal of 12 significant digits, an exact half to the even one. Worked out on the
/// digits themselves, so that nothing is rounded twice. `None` where it needs more than 28 places:
/// a number that is not 0 never becomes one.
fn decimal(json: &str) -> Option<Decimal> {
    let (plain, exponent) = match json.split_once(['e', 'E']) {
        Some((plain, exponent)) => (plain, exponent.parse::<i64>().ok()?),
        None => (json, 0),
    };
    let fraction = plain.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = plain.bytes().filter(u8::is_ascii_digit);
    let mut digits = digits.map(|b| i128::from(b - b'0')).skip_while(|d| *d == 0);

    let (mut mantissa, mut kept) = (0_i128, 0_u8);
    while kept < SIGNIFICANT
        && let Some(digit) = digits.next()
    {
        mantissa = mantissa * 10 + digit;
        kept += 1;
    }
    let rest: Vec<i128> = digits.collect();
    let more = rest.iter().skip(1).any(|d| *d > 0);
    mantissa += match rest.first() {
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
    while mantissa % 10 == 0 {
        mantissa /= 10;
        power += 1;
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
                        let twice = super::brief(&twice);
                        return Err(M::Error::custom(format!("field {twice:?} is there twice")));
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
            assert_eq!(qty(text), Err(Malformed::NotFinite("q".into())), "{text}");
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
