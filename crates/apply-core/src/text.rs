//! Serde for what has a text of its own: ids, symbols, exact decimals.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::{fmt::Display, str::FromStr};

pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    text.parse().map_err(D::Error::custom)
}

/// The same for what may be absent.
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}

/// Names with exact decimals, as `[["USDT","0.01"]]`.
pub(crate) mod amounts {
    use super::{Deserialize, Deserializer, Error, Serializer};
    use rust_decimal::Decimal;
    use serde::Serialize;

    pub(crate) fn serialize<S: Serializer>(
        amounts: &[(String, Decimal)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let texts: Vec<(&str, String)> = amounts
            .iter()
            .map(|(name, amount)| (name.as_str(), amount.to_string()))
            .collect();
        texts.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(String, Decimal)>, D::Error> {
        let texts = Vec::<(String, String)>::deserialize(from)?;
        let parsed = texts.into_iter().map(|(name, amount)| {
            let amount = Decimal::from_str_exact(&amount).map_err(D::Error::custom)?;
            Ok((name, amount))
        });
        parsed.collect()
    }
}

/// Whole milliseconds.
pub(crate) mod millis {
    use super::{Deserialize, Deserializer, Serializer};
    use crate::times;
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(times::millis(*span))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
