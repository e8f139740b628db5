//! Outcomes and profit over the last day, by the minute: from the stream of results, so that a restart forgets nothing
//! and every instance counts.

use super::view::now;
use crate::history::{Fields, Outcome, outcome_of};
use apply_wire::field;
use rust_decimal::Decimal;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use std::collections::VecDeque;

/// A day of minutes.
const MINUTES: u64 = 24 * 60;
const MINUTE: u64 = 60_000;

/// How far back results are counted, in milliseconds.
pub(super) const BACK: u64 = MINUTES * MINUTE;

/// The hour is drawn by the minute, the day by the quarter of an hour.
const SPANS: [(&str, u64, u64); 2] = [("hour", 60, 1), ("day", MINUTES, 15)];

/// Minutes in which something came to its end, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Trends(VecDeque<Minute>);

#[derive(Debug)]
struct Minute {
    /// Since 1970.
    at: u64,
    counts: [u32; Outcome::ALL.len()],
    profit: Decimal,
}

impl Trends {
    fn add(&mut self, millis: u64, outcome: Outcome, profit: Option<Decimal>) {
        let at = millis / MINUTE;
        let newest = self.0.back().map_or(at, |minute| minute.at.max(at));
        if at + MINUTES <= newest {
            return;
        }
        let place = self.0.partition_point(|minute| minute.at < at);
        if self.0.get(place).is_none_or(|minute| minute.at != at) {
            let (counts, profit) = Default::default();
            self.0.insert(place, Minute { at, counts, profit });
        }
        let minute = &mut self.0[place];
        for (count, of) in minute.counts.iter_mut().zip(Outcome::ALL) {
            *count = count.saturating_add((of == outcome).into());
        }
        let sum = profit.and_then(|profit| minute.profit.checked_add(profit));
        minute.profit = sum.unwrap_or(minute.profit);
        while self
            .0
            .front()
            .is_some_and(|minute| minute.at + MINUTES <= newest)
        {
            self.0.pop_front();
        }
    }

    /// The span that ends with this moment.
    fn span(&self, now: u64, minutes: u64, step: u64) -> Span {
        // Whole steps, so that a bar does not change its minutes while it is looked at.
        let end = now / MINUTE / step * step + step;
        let from = end.saturating_sub(minutes);
        let mut span = Span {
            from: from * MINUTE,
            step: step * MINUTE,
            count: minutes / step,
            ..Span::default()
        };
        for minute in self.0.iter().filter(|m| (from..end).contains(&m.at)) {
            let place = (minute.at - from) / step;
            if span.bars.last().is_none_or(|bar| bar.0 != place) {
                span.bars
                    .push(Bar(place, Default::default(), Decimal::ZERO));
            }
            if let Some(Bar(_, counts, profit)) = span.bars.last_mut() {
                for (count, more) in counts.iter_mut().zip(minute.counts) {
                    *count = count.saturating_add(more);
                }
                *profit = profit.saturating_add(minute.profit);
            }
            span.profit = span.profit.saturating_add(minute.profit);
        }
        span
    }
}

/// What is drawn in one picture; bars without anything in them are left out.
#[derive(Debug, Default, Serialize)]
struct Span {
    /// Milliseconds since 1970.
    from: u64,
    /// Milliseconds of each bar.
    step: u64,
    /// How many bars there are.
    count: u64,
    bars: Vec<Bar>,
    #[serde(serialize_with = "plain")]
    profit: Decimal,
}

/// Its place, the counts in the order of the outcomes, and the profit.
#[derive(Debug, Serialize)]
struct Bar(
    u64,
    [u32; Outcome::ALL.len()],
    #[serde(serialize_with = "plain")] Decimal,
);

fn plain<S: Serializer>(amount: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&amount.normalize())
}

impl Serialize for Trends {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let now = now();
        let mut all = serializer.serialize_struct("Trends", SPANS.len() + 1)?;
        all.serialize_field("outcomes", &Outcome::ALL.map(Outcome::as_str))?;
        for (name, minutes, step) in SPANS {
            all.serialize_field(name, &self.span(now, minutes, step))?;
        }
        all.end()
    }
}

impl Trends {
    /// Counts a result as the stream has it.
    pub(super) fn count(&mut self, millis: u64, fields: &Fields) {
        let profit = fields.text(field::PROFIT_REALIZED).parse().ok();
        self.add(millis, outcome_of(fields), profit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_happens_a_day_is_kept_and_every_result_is_in_one_bar() {
        let mut trends = Trends::default();
        let now = 20_000_000 * MINUTE;
        for minute in 0..3 * MINUTES {
            for outcome in Outcome::ALL {
                trends.add(now - minute * MINUTE, outcome, Some(Decimal::new(-1, 1)));
            }
        }
        assert_eq!(trends.0.len() as u64, MINUTES);
        for (_, minutes, step) in SPANS {
            let span = trends.span(now, minutes, step);
            let results: u32 = span.bars.iter().flat_map(|bar| bar.1).sum();
            // The last step has begun, and is not over.
            let begun = minutes - step + 1 + now / MINUTE % step;
            assert_eq!(u64::from(results), begun * 6);
            assert_eq!(span.profit, Decimal::new(-6, 1) * Decimal::from(begun));
            assert_eq!(span.bars.len() as u64, span.count);
        }
    }
}
