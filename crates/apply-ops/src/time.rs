//! Moments for people.

use jiff::Timestamp;

/// Milliseconds since 1970 as `2026-01-25 00:43:29Z`.
pub(super) fn utc(millis: u64) -> String {
    at(millis).strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Microseconds since 1970 as brains write them: `2026-01-25T00:43:29.041200+00:00`.
pub(crate) fn iso_micros(micros: u64) -> String {
    let micro = micros % 1_000_000;
    format!(
        "{}.{micro:06}+00:00",
        at(micros / 1000).strftime("%Y-%m-%dT%H:%M:%S")
    )
}

/// The last moment of the calendar for what lies beyond it.
fn at(millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

/// Milliseconds as `789 ms`, `52.0 s`, `4 min` or `3 h`.
pub(super) fn ago(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..120_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h", millis / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        for (millis, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399_999, "2000-02-28 23:59:59Z"),
            (951_782_400_000, "2000-02-29 00:00:00Z"),
            (1_769_301_809_977, "2026-01-25 00:43:29Z"),
            (4_107_542_400_000, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(utc(millis), text);
        }
        assert_eq!(iso_micros(1_000_042), "1970-01-01T00:00:01.000042+00:00");
    }
}
