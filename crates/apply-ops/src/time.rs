//! Moments for people.

const DAY: u64 = 86_400;

/// Milliseconds since 1970 as `2026-01-25 00:43:29Z`.
pub(super) fn utc(millis: u64) -> String {
    let seconds = millis / 1000;
    let (year, month, day) = date(seconds / DAY);
    let of_day = seconds % DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Microseconds since 1970 as brains write them: `2026-01-25T00:43:29.041200+00:00`.
pub(crate) fn iso_micros(micros: u64) -> String {
    let text = utc(micros / 1000).replace(' ', "T");
    let whole = text.trim_end_matches('Z');
    format!("{whole}.{:06}+00:00", micros % 1_000_000)
}

/// The date of a day since 1970. Counted in years that begin in March, so that the leap day is the
/// last one, and in eras of 400 years, after which the calendar repeats itself.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
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
