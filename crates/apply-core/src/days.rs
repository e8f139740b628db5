//! Dates: days for keys that are named after one, and moments as programs and people write them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::time::Duration;

/// The days before, at and after this moment in UTC, as `2026-03-15`. Programs that name a key after today may
/// live in any time zone, and their clocks may be a little off. Empty for a moment beyond every calendar.
pub fn days_around(since_1970: Duration) -> Vec<String> {
    let at = i64::try_from(since_1970.as_secs()).ok();
    let today = at
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map(|now| TimeZone::UTC.to_datetime(now).date());
    let around = today.map(|today| [today.yesterday(), Ok(today), today.tomorrow()]);
    let days = around.into_iter().flatten().flatten();
    days.map(|day| day.to_string()).collect()
}

/// A moment in ISO 8601, in milliseconds since 1970: with an offset, with `Z`, or as UTC without either; with `T` or a
/// blank before the time. A date alone is its first moment. `None` where the text is no such moment.
pub fn utc_millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let without_zone = text.parse::<DateTime>().ok()?;
            TimeZone::UTC.to_timestamp(without_zone).ok()?
        }
    };
    u64::try_from(at.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_before_and_the_day_after_belong_to_it() {
        let at = |seconds| days_around(Duration::from_secs(seconds));
        assert_eq!(
            at(1_772_323_199),
            ["2026-02-27", "2026-02-28", "2026-03-01"]
        );
        assert_eq!(
            at(1_772_323_200),
            ["2026-02-28", "2026-03-01", "2026-03-02"]
        );
        assert_eq!(at(u64::MAX), [""; 0]);
    }
}
