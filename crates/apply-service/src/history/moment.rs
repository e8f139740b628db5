//! A moment as an operator writes it, alike for the page's API and for the commands.

use apply_core::{times::millis, utc_millis};
use std::{str::FromStr, time::Duration};

const DAY: u64 = 86_400;

/// What is said where a text is no moment.
const WRONG: &str =
    "write a span, as 90s, 30m, 6h or 2d, or a date in UTC, as 2026-01-25 or 2026-01-25T00:43:29Z";

/// So long ago, or a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So long before now.
    Ago(Duration),
    /// A date without a time: its first moment, in milliseconds since 1970.
    Day(u64),
    /// Milliseconds since 1970.
    At(u64),
}

impl Moment {
    /// Where a span begins that begins with it, in milliseconds since 1970.
    pub fn begin(self, now: u64) -> u64 {
        match self {
            Self::Ago(span) => now.saturating_sub(millis(span)),
            Self::Day(at) | Self::At(at) => at,
        }
    }

    /// Where a span ends that ends with it, likewise. A day is whole.
    pub fn end(self, now: u64) -> u64 {
        match self {
            Self::Day(at) => at.saturating_add(DAY * 1000 - 1),
            Self::Ago(_) | Self::At(_) => self.begin(now),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    /// `90s`, `30m`, `6h` or `2d` ago, or a date with or without a time and an offset.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('-') {
            let at = utc_millis(text).ok_or(WRONG)?;
            return Ok(match text.trim().len() > "2026-01-25".len() {
                true => Self::At(at),
                false => Self::Day(at),
            });
        }
        match span(text) {
            Ok(span) => Ok(Self::Ago(span)),
            Err(Wrong::Form) => Err(WRONG.to_owned()),
            Err(Wrong::Size) => Err(SIZE.to_owned()),
        }
    }
}

/// Why a text is no span.
enum Wrong {
    Form,
    Size,
}

const SIZE: &str = "use a span from 1s to 365d";

fn span(text: &str) -> Result<Duration, Wrong> {
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => DAY,
        _ => return Err(Wrong::Form),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| Wrong::Form)?;
    match count.checked_mul(unit) {
        Some(seconds @ 1..=31_536_000) => Ok(Duration::from_secs(seconds)),
        _ => Err(Wrong::Size),
    }
}

/// Reads `90s`, `30m`, `6h` or `2d`; at least a second, at most a year.
///
/// # Errors
///
/// What to write instead.
pub fn read_span(text: &str) -> Result<Duration, String> {
    span(text).map_err(|wrong| match wrong {
        Wrong::Form => "write a number and a unit, as 90s, 30m, 6h or 2d".to_owned(),
        Wrong::Size => SIZE.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit_and_nothing_else() {
        assert_eq!(read_span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(read_span("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in [
            "",
            "h",
            "1",
            "-1h",
            "1.5h",
            "0s",
            "366d",
            "1h ",
            "99999999999999999999h",
            "1ü",
        ] {
            assert!(read_span(wrong).is_err(), "{wrong}");
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_date_alone_is_a_whole_day_and_with_a_time_it_is_that_moment() {
        const NOW: u64 = 1_769_400_000_000;
        let read = |text: &str| {
            let moment: Moment = text.parse().unwrap();
            (moment.begin(NOW), moment.end(NOW))
        };
        assert_eq!(read("6h"), (NOW - 21_600_000, NOW - 21_600_000));
        assert_eq!(read("2026-01-25"), (1_769_299_200_000, 1_769_385_599_999));
        let at = (1_769_301_809_000, 1_769_301_809_000);
        for text in [
            "2026-01-25T00:43:29Z",
            "2026-01-25 00:43:29Z",
            "2026-01-25T00:43:29",
            "2026-01-25T01:43:29+01:00",
        ] {
            assert_eq!(read(text), at, "{text}");
        }
        for wrong in ["2026-02-30", "25-01-2026", "2026-01-25T25:00", "last-night"] {
            let said = wrong.parse::<Moment>().unwrap_err();
            assert!(said.contains("2026-01-25"), "{wrong}: {said}");
        }
    }
}
