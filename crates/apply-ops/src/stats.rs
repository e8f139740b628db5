//! `stats`: what the pipelines of `grep` and `awk` over the journal tried to say, from the streams.

use super::{
    ReadConfig,
    late::Late,
    link::{Entry, OpsContext},
    output::{Done, print, print_json, tame},
    time::{ago, utc},
    wanted::{Wanted, choose},
};
use apply_service::{history::Moment, quantile};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

type Counts = BTreeMap<String, u64>;

/// What two streams say about a span of time.
#[derive(Default)]
struct Stats {
    /// Plans, by decision and reasons.
    plans: Counts,
    /// Results that executed.
    executed: u64,
    /// Results of a dry run that would have executed.
    would_execute: u64,
    /// The others, by error.
    errors: Counts,
    /// Entries of other programs on the stream of results, by program and whether they say that they executed.
    foreign: Counts,
    /// From a plan's entry to its result's, in milliseconds, sorted.
    plan_to_result: Vec<u64>,
}

pub(super) async fn stats(read: ReadConfig, since: Moment, wanted: Wanted, as_json: bool) -> Done {
    let mut ops = OpsContext::open(read).await?;
    let now = ops.link.micros().await? / 1000;
    let filter = wanted.filter(Some(since), now)?;
    let from = since.begin(now);
    let span = Span {
        from,
        until: filter.until,
        length: Duration::from_millis(now.saturating_sub(from)),
        since,
    };
    let mut plans = ops.link.since(&ops.keys.plans, from).await?;
    let mut results = ops.link.since(&ops.keys.results, from).await?;
    choose(&filter, &mut plans, &mut results);
    let late = Late::between(&mut ops.link, &ops.keys, from, filter.until).await?;
    let stats = Stats::of(&plans, &results);
    if as_json {
        let mut object = stats.to_json(&span);
        object["late_permits"] = late.to_json(&ops.config);
        return print_json(&object.to_string());
    }
    let mut page = stats.to_text(&span);
    if !late.is_empty() {
        let sentence = late.sentence(&ops.config, &span.to_string());
        page += &format!("\nlate permits: {sentence}\n");
    }
    print(&page)
}

/// What is counted.
struct Span {
    /// Milliseconds since 1970.
    from: u64,
    until: Option<u64>,
    /// From its beginning until now.
    length: Duration,
    /// As it was asked for.
    since: Moment,
}

/// `the last 6 h`, or `from 2026-01-25 00:00:00Z until 2026-01-25 23:59:59Z`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.since {
            Moment::Ago(length) => match length.as_secs() {
                s if s % 3600 == 0 => write!(f, "the last {} h", s / 3600)?,
                s if s % 60 == 0 => write!(f, "the last {} min", s / 60)?,
                s => write!(f, "the last {s} s")?,
            },
            Moment::Day(_) | Moment::At(_) => write!(f, "from {}", utc(self.from))?,
        }
        match self.until {
            Some(until) => write!(f, " until {}", utc(until)),
            None => Ok(()),
        }
    }
}

impl Stats {
    fn of(plans: &[Entry], results: &[Entry]) -> Self {
        let mut stats = Self::default();
        let mut began: HashMap<String, u64> = HashMap::new();
        for plan in plans {
            let decision = plan.text("decision");
            let what = match plan.text("reason_codes") {
                reasons if reasons.is_empty() => decision.clone(),
                reasons => format!("{decision} {reasons}"),
            };
            *stats.plans.entry(tame(&what)).or_default() += 1;
            if decision == "EXECUTE" {
                began.insert(plan.text("plan_id"), plan.id.millis);
            }
        }
        for result in results {
            if result.is_filler() {
                continue;
            }
            if let Some(source) = result.foreign() {
                let what = format!("{source} executed={}", result.text("executed"));
                *stats.foreign.entry(tame(&what)).or_default() += 1;
                continue;
            }
            stats.count(result);
            if let Some(began) = began.remove(&result.text("plan_id")) {
                let took = result.id.millis.saturating_sub(began);
                stats.plan_to_result.push(took);
            }
        }
        stats.plan_to_result.sort_unstable();
        stats
    }

    fn count(&mut self, result: &Entry) {
        if result.text("executed") == "True" {
            self.executed += 1;
        } else if result.text("would_execute") == "True" {
            self.would_execute += 1;
        } else {
            let why = match result.text("error") {
                error if error.is_empty() => result.text("decision"),
                error => error,
            };
            *self.errors.entry(tame(&why)).or_default() += 1;
        }
    }

    fn to_json(&self, span: &Span) -> serde_json::Value {
        let quantiles: serde_json::Map<_, _> = QUANTILES
            .iter()
            .filter_map(|(name, percent)| {
                Some((
                    (*name).into(),
                    quantile(&self.plan_to_result, *percent)?.into(),
                ))
            })
            .collect();
        json!({
            "since_seconds": span.length.as_secs(),
            "plans": self.plans,
            "executed": self.executed,
            "would_execute": self.would_execute,
            "not_executed": self.errors,
            "foreign": self.foreign,
            "plan_to_result_ms": quantiles,
        })
    }

    fn to_text(&self, span: &Span) -> String {
        let total: u64 = self.plans.values().sum();
        let mut page = format!("{span}\n\nplans            {total:>6}\n");
        for (what, count) in &self.plans {
            page += &format!("  {count:>6}  {what}\n");
        }
        page += &format!("\nOK, executed     {:>6}\n", self.executed);
        if self.would_execute > 0 {
            page += &format!("OK, dry run      {:>6}\n", self.would_execute);
        }
        let blocked: u64 = self.errors.values().sum();
        page += &format!("not executed     {blocked:>6}\n");
        for (why, count) in &self.errors {
            page += &format!("  {count:>6}  {why}\n");
        }
        if !self.foreign.is_empty() {
            let foreign: u64 = self.foreign.values().sum();
            page += &format!("\nof other programs {foreign:>5}\n");
            for (what, count) in &self.foreign {
                page += &format!("  {count:>6}  {what}\n");
            }
        }
        page + &self.histogram()
    }

    fn histogram(&self) -> String {
        let Some(longest) = quantile(&self.plan_to_result, 100) else {
            return "\nplan-to-result: no plan came to its result in this time\n".into();
        };
        let mut page = "\nplan-to-result ".to_owned();
        for (name, percent) in QUANTILES {
            if let Some(millis) = quantile(&self.plan_to_result, percent) {
                page += &format!(" {name} {}", ago(millis));
            }
        }
        page.push('\n');
        let mut low = 0;
        for high in BUCKETS {
            let inside = self
                .plan_to_result
                .iter()
                .filter(|ms| (low..high).contains(*ms));
            page += &bar(
                &format!("< {}", ago(high)),
                inside.count(),
                self.plan_to_result.len(),
            );
            low = high;
            if high > longest {
                return page;
            }
        }
        let beyond = self.plan_to_result.iter().filter(|ms| **ms >= low).count();
        page + &bar("longer", beyond, self.plan_to_result.len())
    }
}

const QUANTILES: [(&str, usize); 4] = [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)];

/// Upper ends in milliseconds; the default wait is 1200.
const BUCKETS: [u64; 8] = [50, 100, 200, 400, 800, 1200, 1600, 5000];

fn bar(label: &str, count: usize, of: usize) -> String {
    let length = (count * 40).div_ceil(of.max(1));
    format!("  {label:>8} {count:>6} {}\n", "#".repeat(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_exactly_one_row_of_the_histogram() {
        let plan_to_result = vec![0, 49, 50, 1199, 1200, 4999, 5000, 90_000];
        let stats = Stats {
            plan_to_result,
            ..Stats::default()
        };
        let page = stats.histogram();
        let rows = page.lines().filter(|line| line.starts_with("  "));
        let counts = rows.map(|row| {
            let bar = row.rsplit(' ').next().unwrap();
            let before = row.trim_end_matches(bar).trim_end();
            before.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
        });
        assert_eq!(counts.sum::<usize>(), 8, "{page}");
    }
}
