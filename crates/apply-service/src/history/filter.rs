//! Which plans are wanted, alike for the page, its API and the commands.

use super::moment::Moment;
use permit_gate::foreign::{MAX_FOREIGN, escaped};
use std::fmt;

/// Which plans are wanted. An absent part lets everything pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// This symbol.
    pub symbol: Option<String>,
    /// This decision, of the plan or of its result: `EXECUTE`, `SKIP`, `BLOCKED`, `ERROR`.
    pub decision: Option<String>,
    /// A reason or error that contains this text.
    pub reason: Option<String>,
    /// From this moment on, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Up to this moment, likewise.
    pub until: Option<u64>,
}

impl Filter {
    /// Whether every plan passes.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing at this moment or earlier can pass.
    pub fn ends_before(&self, millis: u64) -> bool {
        self.since.is_some_and(|since| millis < since)
    }

    /// Whether it can let nothing pass, because it ends before it begins.
    pub fn is_backwards(&self) -> bool {
        let span = self.since.zip(self.until);
        span.is_some_and(|(since, until)| until < since)
    }

    /// Whether a plan at this moment passes, by its symbol and what was decided and why.
    pub fn passes<'a>(
        &self,
        millis: u64,
        symbol: &str,
        decisions: impl IntoIterator<Item = &'a str>,
        reasons: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let is = |wanted: &Option<String>, text: &str| {
            let wanted = wanted.as_deref();
            wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(text))
        };
        let decided = self.decision.is_none() || {
            let mut decisions = decisions.into_iter();
            decisions.any(|word| is(&self.decision, word))
        };
        let given = self.reason.as_ref().is_none_or(|wanted| {
            let mut reasons = reasons.into_iter();
            reasons.any(|reason| reason.contains(wanted.as_str()))
        });
        !self.ends_before(millis)
            && self.until.is_none_or(|until| millis <= until)
            && is(&self.symbol, symbol)
            && decided
            && given
    }
}

/// A question to the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which plans.
    pub filter: Filter,
    /// Older than this place of the stream of plans.
    pub before: Option<String>,
    /// At most so many plans.
    pub limit: usize,
}

/// How many plans are answered where nothing is said, and at most.
const LIMIT: (usize, usize) = (100, 500);

/// Longest text of a filter, in characters.
const LONGEST: usize = 80;

impl Default for Query {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            before: None,
            limit: LIMIT.0,
        }
    }
}

/// What is wrong with a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongQuery(String);

impl fmt::Display for WrongQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Query {
    /// Reads the part of an address behind its question mark; `now` is in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// A name that is not known, or a value that cannot be one.
    pub fn parse(text: &str, now: u64) -> Result<Self, WrongQuery> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            if value.is_empty() {
                continue;
            }
            let filter = &mut query.filter;
            match name {
                "symbol" => filter.symbol = Some(short(name, value)?),
                "decision" => filter.decision = Some(short(name, value)?),
                "reason" => filter.reason = Some(short(name, value)?),
                "since" => filter.since = Some(moment(name, &value)?.begin(now)),
                "until" => filter.until = Some(moment(name, &value)?.end(now)),
                "before" => query.before = Some(place(value)?),
                "limit" => query.limit = limit(&value)?,
                _ => {
                    return Err(WrongQuery(format!(
                        "{} is not known; known are before, symbol, decision, reason, since, until, limit",
                        escaped(name, MAX_FOREIGN)
                    )));
                }
            }
        }
        match query.filter.is_backwards() {
            true => Err(WrongQuery("until is before since".into())),
            false => Ok(query),
        }
    }
}

fn short(name: &str, value: String) -> Result<String, WrongQuery> {
    match value.chars().count() > LONGEST {
        true => Err(WrongQuery(format!(
            "{name} has more than {LONGEST} characters"
        ))),
        false => Ok(value),
    }
}

/// Milliseconds since 1970, or a moment as the commands take it.
fn moment(name: &str, value: &str) -> Result<Moment, WrongQuery> {
    if let Ok(millis) = value.parse() {
        return Ok(Moment::At(millis));
    }
    let read = value.parse();
    read.map_err(|wrong| {
        WrongQuery(format!(
            "{name} is neither milliseconds since 1970 nor a moment: {wrong}"
        ))
    })
}

fn limit(value: &str) -> Result<usize, WrongQuery> {
    let read = value.parse().ok();
    read.filter(|limit| (1..=LIMIT.1).contains(limit))
        .ok_or_else(|| WrongQuery(format!("limit is not a number from 1 to {}", LIMIT.1)))
}

/// A place of a stream: `1769301008000-0`, or the milliseconds alone.
fn place(value: String) -> Result<String, WrongQuery> {
    let number = |text: &str| text.parse::<u64>().is_ok();
    let is_place = match value.split_once('-') {
        Some((millis, count)) => number(millis) && number(count),
        None => number(&value),
    };
    match is_place {
        true => Ok(value),
        false => Err(WrongQuery(
            "before is no place of the stream, as 1769301008000-0: give back what next was".into(),
        )),
    }
}

/// What stands for itself in an address, `+` for a blank and `%2B` for a byte.
fn decoded(text: &str) -> Result<String, WrongQuery> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let value = high
                    .zip(low)
                    .and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                value.ok_or_else(|| WrongQuery("a % is not followed by two digits".into()))?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| WrongQuery("a value is no text".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_whole_or_refused_with_what_is_wrong() {
        let query =
            "symbol=BTCUSDT&decision=blocked&reason=p33+%C3%A9&since=5&until=9&before=7-0&limit=3";
        let parse = |text: &str| Query::parse(text, 100_000_000);
        let query = parse(query).unwrap();
        assert_eq!(query.filter.reason.as_deref(), Some("p33 é"));
        assert_eq!((query.filter.since, query.filter.until), (Some(5), Some(9)));
        assert_eq!((query.before.as_deref(), query.limit), (Some("7-0"), 3));
        assert_eq!(parse("symbol=&").unwrap(), Query::default());
        let day = parse("since=1h&until=1970-01-02").unwrap().filter;
        assert_eq!(
            (day.since, day.until),
            (Some(96_400_000), Some(172_799_999))
        );
        for (wrong, said) in [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("before=%2B", "before"),
            ("before=1-2-3", "before"),
            ("since=yesterday", "since"),
            ("until=1970-13-01", "2026-01-25"),
            ("since=6&until=5", "until is before since"),
            ("reason=%zz", "%"),
            ("reason=%ff", "no text"),
            ("x%3Cscript%3E=1", "is not known"),
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{wrong}: {error}");
        }
        let long = format!("symbol={}", "A".repeat(LONGEST + 1));
        assert!(parse(&long).is_err());
    }

    #[test]
    fn each_part_of_a_filter_lets_only_its_own_pass() {
        let passes = |filter: Filter| {
            filter.passes(
                50,
                "BTCUSDT",
                ["EXECUTE", "BLOCKED"],
                ["permit_timeout_or_missing:missing_p33"],
            )
        };
        let some = |text: &str| Some(text.to_owned());
        let none = Filter::default;
        assert!(passes(none()) && none().is_open());
        for (filter, expected) in [
            (
                Filter {
                    symbol: some("btcusdt"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    symbol: some("BTC"),
                    ..none()
                },
                false,
            ),
            (
                Filter {
                    decision: some("BLOCKED"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    decision: some("SKIP"),
                    ..none()
                },
                false,
            ),
            (
                Filter {
                    reason: some("missing_p33"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    reason: some("governor"),
                    ..none()
                },
                false,
            ),
            (
                Filter {
                    since: Some(50),
                    until: Some(50),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    since: Some(51),
                    ..none()
                },
                false,
            ),
            (
                Filter {
                    until: Some(49),
                    ..none()
                },
                false,
            ),
        ] {
            assert_eq!(passes(filter.clone()), expected, "{filter:?}");
            assert!(!filter.is_open());
        }
    }
}
