//! Permits that came after their plan was blocked, and what they say of the wait.

use super::link::{Entry, Link};
use apply_redis::Keys;
use apply_service::{Config, Failure, quantile};
use apply_wire::{
    field::{LATE_BY_MS, PERMIT, WAITED_MS},
    setting::Setting,
};
use serde_json::json;
use std::collections::BTreeMap;

/// A share of the late permits that a longer wait is to have room for, in percent: one that is very late says little.
const COVERED: usize = 95;

/// A suggested wait is a multiple of this, in milliseconds.
const ROUND: u64 = 100;

/// What is known of the late permits of a span of time.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// How many of each permit.
    by_permit: BTreeMap<String, u64>,
    /// How late they were, in milliseconds, sorted.
    late_by: Vec<u64>,
    /// From the beginning of their plan's wait, in milliseconds, sorted.
    after: Vec<u64>,
}

impl Late {
    /// Those of a span of time, in milliseconds since 1970; of all that followed where it has no end.
    pub(super) async fn between(
        link: &mut Link,
        keys: &Keys,
        from: u64,
        until: Option<u64>,
    ) -> Result<Self, Failure> {
        let mut entries = link.since(&keys.late_permits, from).await?;
        entries.retain(|entry| until.is_none_or(|until| entry.id.millis <= until));
        Ok(Self::of(&entries))
    }

    fn of(entries: &[Entry]) -> Self {
        let mut all = Self::default();
        for entry in entries {
            let number = |field| entry.text(field).parse::<u64>().ok();
            let (Some(by), Some(waited)) = (number(LATE_BY_MS), number(WAITED_MS)) else {
                continue;
            };
            all.add(entry.text(PERMIT), by, waited);
        }
        all.late_by.sort_unstable();
        all.after.sort_unstable();
        all
    }

    fn add(&mut self, permit: String, by: u64, waited: u64) {
        *self.by_permit.entry(permit).or_default() += 1;
        self.late_by.push(by);
        self.after.push(by.saturating_add(waited));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.late_by.is_empty()
    }

    /// A wait, in milliseconds, in which nearly all of them would have come; `None` where the present one is that long, or
    /// none can be.
    fn suggested(&self, config: &Config) -> Option<u64> {
        let needed = quantile(&self.after, COVERED)?;
        let wait = needed.saturating_add(1).div_ceil(ROUND) * ROUND;
        let most = Setting::find("APPLY_PERMIT_WAIT_MS")?.range?.1;
        let now = u64::try_from(config.wait.wait.as_millis()).ok()?;
        (wait > now && wait <= most.parse().ok()?).then_some(wait)
    }

    /// One sentence about those of this span of time; there are some.
    pub(super) fn sentence(&self, config: &Config, span: &str) -> String {
        let each = self.by_permit.iter();
        let each: Vec<String> = each
            .map(|(permit, count)| format!("{count} of {permit}"))
            .collect();
        let (half, most) = (
            quantile(&self.late_by, 50).unwrap_or_default(),
            quantile(&self.late_by, 100).unwrap_or_default(),
        );
        let suggested = match self.suggested(config) {
            Some(wait) => {
                format!("; APPLY_PERMIT_WAIT_MS={wait} would have waited for {COVERED} % of them")
            }
            None => String::new(),
        };
        format!(
            "{} came after the deadline ({span}), half of them by {half} ms, the latest by {most} ms{suggested}",
            each.join(" and ")
        )
    }

    pub(super) fn to_json(&self, config: &Config) -> serde_json::Value {
        let at = |percent| quantile(&self.late_by, percent);
        json!({
            "by_permit": self.by_permit,
            "late_by_ms": {"p50": at(50), "p95": at(95), "max": at(100)},
            "suggested_wait_ms": self.suggested(config),
        })
    }
}
