//! Request parameters, read strictly: every one known, present once, not empty, well formed.

use rust_decimal::Decimal;

use crate::{error::VenueError, http::Request};

/// Names that every signed endpoint reads beside its own.
const SIGNED: [&str; 3] = ["recvWindow", "timestamp", "signature"];

/// The parameters of one request. A parameter in the query and in the body at once counts as a duplicate
/// (the venue's documentation lets the query win; refusing is stricter and hides no client mistake).
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    pub(crate) fn parse(request: &Request) -> Result<Self, VenueError> {
        let mut pairs: Vec<(String, String)> = Vec::with_capacity(12);
        let sent = [&request.query, &request.body]
            .into_iter()
            .flat_map(|part| part.split('&'))
            .filter(|pair| !pair.is_empty());
        for pair in sent {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                return Err(VenueError::mandatory(name));
            };
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(VenueError::duplicate_parameter());
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// Refuses empty values and names outside `known` (and outside the signing ones).
    pub(crate) fn allow_only(&self, known: &[&str]) -> Result<(), VenueError> {
        let mut read = 0;
        for (name, value) in &self.pairs {
            if known.contains(&name.as_str()) || SIGNED.contains(&name.as_str()) {
                read += 1;
                if value.is_empty() {
                    return Err(VenueError::empty_parameter(name));
                }
            }
        }
        if read < self.pairs.len() {
            return Err(VenueError::unread_parameters(read, self.pairs.len()));
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn need(&self, name: &str) -> Result<&str, VenueError> {
        match self.get(name) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(VenueError::mandatory(name)),
        }
    }

    /// A plain decimal: digits, at most one point and one leading minus; no exponent, no plus, no blanks.
    pub(crate) fn decimal(&self, name: &str) -> Result<Option<Decimal>, VenueError> {
        self.get(name)
            .map(|text| plain_decimal(text).ok_or_else(|| VenueError::mandatory(name)))
            .transpose()
    }

    pub(crate) fn need_decimal(&self, name: &str) -> Result<Decimal, VenueError> {
        self.decimal(name)?
            .ok_or_else(|| VenueError::mandatory(name))
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, VenueError> {
        self.get(name)
            .map(|text| {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                text.parse()
                    .ok()
                    .filter(|_| plain)
                    .ok_or_else(|| VenueError::mandatory(name))
            })
            .transpose()
    }

    pub(crate) fn flag(&self, name: &str, otherwise: VenueError) -> Result<bool, VenueError> {
        match self.get(name) {
            None => Ok(false),
            Some(word) if word.eq_ignore_ascii_case("true") => Ok(true),
            Some(word) if word.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(otherwise),
        }
    }
}

fn plain_decimal(text: &str) -> Option<Decimal> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    Decimal::from_str_exact(text).ok()
}

/// Percent-decodes one form value; `None` where an escape is broken or the result is not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn params(query: &str, body: &str) -> Result<Params, VenueError> {
        Params::parse(&Request {
            query: query.into(),
            body: body.into(),
            ..Request::default()
        })
    }

    #[test]
    fn a_parameter_sent_twice_is_refused_wherever_it_stands() {
        assert_eq!(params("a=1&a=1", "").unwrap_err().code, -1101);
        assert_eq!(params("a=1", "a=1").unwrap_err().code, -1101);
    }

    #[test]
    fn unknown_and_empty_parameters_are_refused() {
        let sent = params("a=1&b=2&timestamp=3", "").unwrap();
        assert!(sent.allow_only(&["a", "b"]).is_ok());
        let refused = sent.allow_only(&["a"]).unwrap_err();
        assert_eq!(refused.code, -1104);
        assert!(refused.message.contains("read '2'") && refused.message.contains("sent '3'"));
        let empty = params("a=", "").unwrap();
        assert_eq!(empty.allow_only(&["a"]).unwrap_err().code, -1105);
        assert_eq!(empty.need("a").unwrap_err().code, -1102);
    }

    #[test]
    fn numbers_are_plain_or_refused() {
        for good in ["1", "0.0080", "-3.5", "00.1"] {
            assert!(plain_decimal(good).is_some(), "{good}");
        }
        for bad in [
            "", "-", ".5", "5.", "1e-3", "+1", "1_000", "nan", "1 ", "0x1", "1.2.3", "--1",
        ] {
            assert!(plain_decimal(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_are_not_guessed() {
        assert_eq!(decode("a%3Ab+c").as_deref(), Some("a:b c"));
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }
}
