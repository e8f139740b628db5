//! Request parameters. As the venue reads them: unknown ones are passed over, the query wins over the body; every
//! known one present once, not empty, well formed. Read strictly, for one's own client, unknown ones and
//! those in both places are refused too.

use crate::{error::VenueError, http::Request};
use rust_decimal::Decimal;

/// Names that every signed endpoint reads beside its own.
const SIGNED: [&str; 3] = ["recvWindow", "timestamp", "signature"];

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    strict: bool,
}

impl Params {
    pub(crate) fn parse(request: &Request, strict: bool) -> Result<Self, VenueError> {
        let mut pairs: Vec<(String, String)> = Vec::with_capacity(12);
        for part in [&request.query, &request.body] {
            let before = pairs.len();
            for pair in part.split('&').filter(|pair| !pair.is_empty()) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                    return Err(VenueError::mandatory(name));
                };
                match pairs.iter().position(|(known, _)| *known == name) {
                    // Documented: where a parameter is in both, that of the query is used.
                    Some(at) if at < before && !strict => {}
                    Some(_) => return Err(VenueError::duplicate_parameter()),
                    None => pairs.push((name, value)),
                }
            }
        }
        Ok(Self { pairs, strict })
    }

    /// Whether requests are read strictly.
    pub(crate) fn strict(&self) -> bool {
        self.strict
    }

    /// Refuses empty values of `known` names (and of the signing ones), and, read strictly, all other names.
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
        if self.strict && read < self.pairs.len() {
            return Err(VenueError::unread_parameters(read, self.pairs.len()));
        }
        Ok(())
    }

    /// `limit`, from one to `most`.
    pub(crate) fn limit(&self, otherwise: usize, most: usize) -> Result<usize, VenueError> {
        match self.integer("limit")? {
            None => Ok(otherwise),
            Some(limit) => usize::try_from(limit)
                .ok()
                .filter(|limit| *limit >= 1)
                // Above the maximum the venue gives the maximum; read strictly it is a mistake.
                .filter(|limit| !self.strict || *limit <= most)
                .map(|limit| limit.min(most))
                .ok_or_else(|| VenueError::not_valid("limit")),
        }
    }

    /// `startTime` and `endTime`, in order.
    pub(crate) fn window(&self) -> Result<(Option<i64>, Option<i64>), VenueError> {
        let (from, to) = (self.integer("startTime")?, self.integer("endTime")?);
        match (from, to) {
            (Some(from), Some(to)) if from > to => Err(VenueError::start_after_end()),
            _ => Ok((from, to)),
        }
    }

    /// A window of at most a week: the last seven days where neither end is named, seven days from or to the
    /// one that is.
    pub(crate) fn week(&self, now: i64) -> Result<std::ops::RangeInclusive<i64>, VenueError> {
        const DAYS: i64 = 7;
        let week = DAYS * DAY;
        match self.window()? {
            (None, None) => Ok(now.saturating_sub(week)..=i64::MAX),
            (Some(from), None) => Ok(from..=from.saturating_add(week)),
            (None, Some(to)) => Ok(to.saturating_sub(week)..=to),
            (Some(from), Some(to)) if to.saturating_sub(from) > week => {
                Err(VenueError::interval_too_long(DAYS))
            }
            (Some(from), Some(to)) => Ok(from..=to),
        }
    }

    /// Which entries of a history are asked for: from the one with the number `first`, or those of a week, up to a limit.
    pub(crate) fn listing(&self, first: &str, now: i64) -> Result<Listing, VenueError> {
        Ok(Listing {
            limit: self.limit(500, 1000)?,
            first: self.integer(first)?,
            times: self.week(now)?,
            newest: self.get("startTime").is_none(),
        })
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

/// Which entries of a history are asked for.
pub(crate) struct Listing {
    limit: usize,
    first: Option<i64>,
    times: std::ops::RangeInclusive<i64>,
    newest: bool,
}

impl Listing {
    /// Of these, in the order of their numbers and each with when it was created, the numbers to show: the oldest where a
    /// number or a start is named, otherwise the newest.
    pub(crate) fn pick(&self, all: impl Iterator<Item = (u64, i64)>) -> Vec<u64> {
        let wanted = all.filter(|(id, created)| match self.first {
            Some(first) => i64::try_from(*id).is_ok_and(|id| id >= first),
            None => self.times.contains(created),
        });
        let mut wanted: Vec<u64> = wanted.map(|(id, _)| id).collect();
        if self.first.is_none() && self.newest {
            let surplus = wanted.len().saturating_sub(self.limit);
            wanted.drain(..surplus);
        }
        wanted.truncate(self.limit);
        wanted
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn params(query: &str, body: &str) -> Result<Params, VenueError> {
        read(query, body, true)
    }

    fn read(query: &str, body: &str, strict: bool) -> Result<Params, VenueError> {
        let request = Request {
            query: query.into(),
            body: body.into(),
            ..Request::default()
        };
        Params::parse(&request, strict)
    }

    #[test]
    fn a_parameter_sent_twice_is_refused_wherever_it_stands() {
        assert_eq!(params("a=1&a=1", "").unwrap_err().code, -1101);
        assert_eq!(params("a=1", "a=1").unwrap_err().code, -1101);
    }

    #[test]
    fn the_venue_passes_over_unknown_parameters_and_lets_the_query_win() {
        assert_eq!(read("a=1&a=1", "", false).unwrap_err().code, -1101);
        let both = read("a=1&x=9", "a=2&b=3&b2=", false).unwrap();
        assert_eq!((both.get("a"), both.get("b")), (Some("1"), Some("3")));
        assert!(both.allow_only(&["a", "b"]).is_ok());
        assert_eq!(both.allow_only(&["b2"]).unwrap_err().code, -1105);
        assert_eq!(
            read("limit=5000", "", false).unwrap().limit(500, 1000),
            Ok(1000)
        );
        assert!(
            read("limit=0", "", false)
                .unwrap()
                .limit(500, 1000)
                .is_err()
        );
    }

    #[test]
    fn a_window_is_a_week_at_most() {
        let day = 86_400_000;
        let week = |text: &str| read(text, "", false).unwrap().week(100 * day);
        assert_eq!(week("").unwrap(), 93 * day..=i64::MAX);
        assert_eq!(week(&format!("startTime={day}")).unwrap(), day..=8 * day);
        assert_eq!(
            week(&format!("endTime={}", 9 * day)).unwrap(),
            2 * day..=9 * day
        );
        assert_eq!(
            week(&format!("startTime=0&endTime={}", 7 * day + 1))
                .unwrap_err()
                .code,
            -4165
        );
        assert_eq!(week("startTime=2&endTime=1").unwrap_err().code, -1023);
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
