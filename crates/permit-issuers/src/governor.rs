//! Whether a plan may execute at all.

use crate::{
    denial::{Denial, Fact, Reason},
    plan::{Reviewed, Task},
    timestamp::Timestamp,
    venue_position::Snapshot,
};
use permit_gate::PlanId;
use rust_decimal::Decimal;
use std::{fmt, time::Duration};

/// What a governor lets pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// Every plan, without an opinion on its size: the testnet's auto-approver.
    ApproveAll,
    /// Plans within limits.
    Limited(Limits),
}

/// Limits of one symbol.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// From this kill score on nothing executes. A threshold that is no number is reached by
    /// every score.
    pub critical_kill_score: f64,
    /// Executions within an hour.
    pub per_hour: u32,
    /// Executions within 5 minutes. One more plan is a burst, which trips the kill switch.
    pub per_five_minutes: u32,
    /// What may be reduced within 24 hours, in quote units.
    pub notional_per_day: Decimal,
    /// What may be reduced within 24 hours, in base units.
    pub quantity_per_day: Decimal,
    /// The oldest snapshot a reduction is measured by.
    pub snapshot_max_age: Duration,
}

/// The contract's limits: 3 an hour, 2 in 5 minutes, 5000 USD and 0.02 units a day, kill score 0.8.
impl Default for Limits {
    fn default() -> Self {
        Self {
            critical_kill_score: 0.8,
            per_hour: 3,
            per_five_minutes: 2,
            notional_per_day: Decimal::new(5000, 0),
            quantity_per_day: Decimal::new(2, 2),
            snapshot_max_age: Duration::from_secs(10),
        }
    }
}

/// Executions a symbol was granted, each counted from its permit on and dropped again where its
/// result says that nothing was executed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage(pub Vec<Execution>);

/// One granted execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The plan.
    pub plan: PlanId,
    /// When its permit was granted.
    pub at: Timestamp,
    /// What it may reduce, in base units.
    pub quantity: Decimal,
    /// The same in quote units, at the mark price of the grant.
    pub notional: Decimal,
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);

impl Usage {
    /// How long an execution counts.
    pub const MEMORY: Duration = Duration::from_secs(24 * 3600);

    /// Whether the plan was granted before.
    pub fn has(&self, plan: &PlanId) -> bool {
        self.0.iter().any(|execution| execution.plan == *plan)
    }

    /// Plans that no longer count.
    pub fn expired(&self, now: Timestamp) -> Vec<PlanId> {
        let old = self
            .0
            .iter()
            .filter(|execution| now.since(execution.at) >= Self::MEMORY);
        old.map(|execution| execution.plan.clone()).collect()
    }

    fn within(&self, window: Duration, now: Timestamp) -> impl Iterator<Item = &Execution> {
        self.0
            .iter()
            .filter(move |execution| now.since(execution.at) < window)
    }

    fn count(&self, window: Duration, now: Timestamp) -> u32 {
        u32::try_from(self.within(window, now).count()).unwrap_or(u32::MAX)
    }

    /// `None` where the sum is beyond a decimal.
    fn sum(&self, now: Timestamp, of: impl Fn(&Execution) -> Decimal) -> Option<Decimal> {
        self.within(Self::MEMORY, now)
            .try_fold(Decimal::ZERO, |sum, execution| {
                sum.checked_add(of(execution))
            })
    }
}

/// What the governor says.
#[derive(Debug, Clone, PartialEq)]
pub enum GovernorVerdict {
    /// Yes.
    Grant {
        /// The most that may be reduced, in base units; 0 is no opinion.
        computed_qty: Decimal,
        /// The same in quote units.
        computed_notional: Decimal,
    },
    /// No.
    Deny(Denial),
    /// No, and trading has to stop: somebody asks for executions faster than anybody should.
    Trip {
        /// The no.
        denial: Denial,
        /// What the switch's reason says, for the operator.
        reason: String,
    },
}

/// The yes that stands for [`Policy::ApproveAll`].
pub const APPROVED: GovernorVerdict = GovernorVerdict::Grant {
    computed_qty: Decimal::ZERO,
    computed_notional: Decimal::ZERO,
};

/// Decides within limits. `seen` is the symbol at the venue, by which a reduction is measured: a
/// plan does not say its size.
pub fn decide(
    plan: &Reviewed,
    limits: &Limits,
    seen: Option<&Snapshot>,
    usage: &Usage,
    now: Timestamp,
) -> GovernorVerdict {
    if reaches(plan.kill_score, limits.critical_kill_score) {
        return GovernorVerdict::Deny(Denial::new(
            Reason::KillScoreCritical,
            [
                ("kill_score", Fact::Ratio(plan.kill_score)),
                ("critical", Fact::Ratio(limits.critical_kill_score)),
            ],
        ));
    }
    let burst = usage.count(FIVE_MINUTES, now);
    if burst >= limits.per_five_minutes {
        return GovernorVerdict::Trip {
            denial: count_denial(Reason::BurstLimit, burst, limits.per_five_minutes),
            reason: Tripped {
                plan,
                burst,
                limits,
            }
            .to_string(),
        };
    }
    let hourly = usage.count(HOUR, now);
    if hourly >= limits.per_hour {
        let denial = count_denial(Reason::HourlyLimit, hourly, limits.per_hour);
        return GovernorVerdict::Deny(denial);
    }
    match plan.task {
        // A stop reduces nothing until the market reaches it.
        Task::MoveStop => APPROVED,
        Task::Close { percent } => match reduction(percent, limits, seen, usage, now) {
            Ok((computed_qty, computed_notional)) => GovernorVerdict::Grant {
                computed_qty,
                computed_notional,
            },
            Err(denial) => GovernorVerdict::Deny(denial),
        },
    }
}

/// Quantity and notional of closing this share, where the day still has room for both.
fn reduction(
    percent: u8,
    limits: &Limits,
    seen: Option<&Snapshot>,
    usage: &Usage,
    now: Timestamp,
) -> Result<(Decimal, Decimal), Denial> {
    let age = seen.map(|seen| now.since(seen.asked_at));
    let fresh = age.is_some_and(|age| age <= limits.snapshot_max_age);
    let Some(Snapshot { holding, .. }) = seen.filter(|_| fresh) else {
        return Err(Denial::new(
            Reason::StaleExchangeState,
            [("snapshot_age_sec", age.into())],
        ));
    };
    if holding.amount.is_zero() {
        return Err(Denial::new(Reason::NoPosition, []));
    }
    let quantity = holding.share(percent).ok_or_else(|| {
        let min = holding.lot.min.into();
        Denial::new(Reason::BelowVenueMinimum, [("min_qty", min)])
    })?;
    let price = holding
        .mark_price
        .filter(|price| *price > Decimal::ZERO)
        .ok_or_else(|| Denial::new(Reason::NoMarkPrice, []))?;
    let room = |reason, wanted: Option<Decimal>, used: Option<Decimal>, limit: Decimal| {
        let total = wanted.zip(used).and_then(|(w, u)| w.checked_add(u));
        match total {
            Some(total) if total <= limit => Ok(()),
            // Beyond what can be computed is beyond every limit.
            _ => Err(Denial::new(
                reason,
                [
                    ("wanted", wanted.into()),
                    ("used", used.into()),
                    ("limit", limit.into()),
                ],
            )),
        }
    };
    let used = usage.sum(now, |execution| execution.quantity);
    let limit = limits.quantity_per_day;
    room(Reason::DailyQuantityLimit, Some(quantity), used, limit)?;
    let notional = quantity.checked_mul(price);
    let used = usage.sum(now, |execution| execution.notional);
    let limit = limits.notional_per_day;
    room(Reason::DailyNotionalLimit, notional, used, limit)?;
    Ok((quantity, notional.unwrap_or(limit)))
}

fn count_denial(reason: Reason, used: u32, limit: u32) -> Denial {
    Denial::new(reason, [("used", used.into()), ("limit", limit.into())])
}

/// A threshold that is no number is reached by every score: it must not let everything pass.
fn reaches(score: f64, threshold: f64) -> bool {
    score
        .partial_cmp(&threshold)
        .is_none_or(std::cmp::Ordering::is_ge)
}

struct Tripped<'a> {
    plan: &'a Reviewed,
    burst: u32,
    limits: &'a Limits,
}

impl fmt::Display for Tripped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plan,
            burst,
            limits,
        } = self;
        write!(
            f,
            "governor: plan {} would be execution {} of {} within 5 minutes, the limit is {}",
            plan.id,
            burst.saturating_add(1),
            plan.symbol,
            limits.per_five_minutes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue_position::{Lot, VenuePosition};

    const NOW: Timestamp = Timestamp::from_millis(1_769_301_009_000);

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn plan(task: Task, kill_score: f64) -> Reviewed {
        Reviewed {
            id: PlanId::new("67e6da21fa9fe506").unwrap(),
            symbol: "BTCUSDT".parse().unwrap(),
            kill_score,
            task,
        }
    }

    fn seen(amount: &str, price: Option<&str>, age: Duration) -> Snapshot {
        Snapshot {
            asked_at: NOW - age,
            holding: VenuePosition {
                amount: dec(amount),
                mark_price: price.map(dec),
                lot: Lot {
                    step: dec("0.001"),
                    min: dec("0.001"),
                    max: None,
                },
            },
        }
    }

    fn used(executions: &[(u64, &str, &str)]) -> Usage {
        let executions = executions.iter().enumerate();
        Usage(
            executions
                .map(|(index, (minutes_ago, quantity, notional))| Execution {
                    plan: PlanId::new(&format!("p{index}")).unwrap(),
                    at: NOW - Duration::from_secs(minutes_ago * 60),
                    quantity: dec(quantity),
                    notional: dec(notional),
                })
                .collect(),
        )
    }

    fn half(usage: &Usage) -> GovernorVerdict {
        let seen = seen("0.0124", Some("64000"), Duration::ZERO);
        let plan = plan(Task::Close { percent: 50 }, 0.5);
        decide(&plan, &Limits::default(), Some(&seen), usage, NOW)
    }

    fn reason(verdict: &GovernorVerdict) -> Option<Reason> {
        match verdict {
            GovernorVerdict::Grant { .. } => None,
            GovernorVerdict::Deny(denial) | GovernorVerdict::Trip { denial, .. } => {
                Some(denial.reason)
            }
        }
    }

    #[test]
    fn a_plan_within_limits_is_granted_what_it_was_measured_to_reduce() {
        assert_eq!(
            half(&Usage::default()),
            GovernorVerdict::Grant {
                computed_qty: dec("0.006"),
                computed_notional: dec("384"),
            }
        );
    }

    #[test]
    fn a_third_plan_within_five_minutes_trips_the_kill_switch_with_a_reason() {
        let verdict = half(&used(&[(1, "0.001", "64"), (4, "0.001", "64")]));
        let GovernorVerdict::Trip { denial, reason } = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!(denial.reason, Reason::BurstLimit);
        assert_eq!(
            reason,
            "governor: plan 67e6da21fa9fe506 would be execution 3 of BTCUSDT within 5 minutes, the limit is 2"
        );
        let spread = half(&used(&[(1, "0.001", "64"), (5, "0.001", "64")]));
        assert_eq!(
            reason_of(&spread),
            None,
            "five minutes ago is not within five minutes"
        );
    }

    fn reason_of(verdict: &GovernorVerdict) -> Option<Reason> {
        reason(verdict)
    }

    #[test]
    fn a_fourth_plan_within_the_hour_is_denied_without_tripping() {
        let hour = [(6, "0.001", "64"), (30, "0.001", "64"), (59, "0.001", "64")];
        let verdict = half(&used(&hour));
        assert!(matches!(&verdict, GovernorVerdict::Deny(_)));
        assert_eq!(reason(&verdict), Some(Reason::HourlyLimit));
        let earlier = [(6, "0.001", "64"), (30, "0.001", "64"), (60, "0.001", "64")];
        assert_eq!(reason(&half(&used(&earlier))), None);
    }

    #[test]
    fn the_day_has_room_for_so_much_quantity_and_so_much_money() {
        for (quantity, notional, expected) in [
            ("0.014", "0", None),
            ("0.0140001", "0", Some(Reason::DailyQuantityLimit)),
            ("0", "4616", None),
            ("0", "4616.01", Some(Reason::DailyNotionalLimit)),
        ] {
            let verdict = half(&used(&[(23 * 60, quantity, notional)]));
            assert_eq!(reason(&verdict), expected, "{quantity} {notional}");
        }
        assert_eq!(reason(&half(&used(&[(24 * 60, "1", "90000")]))), None);
    }

    #[test]
    fn a_critical_kill_score_is_denied_before_anything_is_counted() {
        let seen = seen("0.0124", Some("64000"), Duration::ZERO);
        let ask = |score, critical| {
            let limits = Limits {
                critical_kill_score: critical,
                ..Limits::default()
            };
            let plan = plan(Task::Close { percent: 50 }, score);
            let verdict = decide(&plan, &limits, Some(&seen), &Usage::default(), NOW);
            reason(&verdict)
        };
        assert_eq!(ask(0.8, 0.8), Some(Reason::KillScoreCritical));
        assert_eq!(ask(0.799, 0.8), None);
        assert_eq!(ask(0.0, f64::NAN), Some(Reason::KillScoreCritical));
    }

    #[test]
    fn what_cannot_be_measured_is_denied() {
        let fresh = Duration::ZERO;
        for (seen, expected) in [
            (None, Reason::StaleExchangeState),
            (
                Some(seen("1", Some("1"), Duration::from_millis(10_001))),
                Reason::StaleExchangeState,
            ),
            (Some(seen("0", Some("1"), fresh)), Reason::NoPosition),
            (Some(seen("0.01", None, fresh)), Reason::NoMarkPrice),
            (Some(seen("0.01", Some("0"), fresh)), Reason::NoMarkPrice),
            (
                Some(seen("0.001", Some("1"), fresh)),
                Reason::BelowVenueMinimum,
            ),
        ] {
            let plan = plan(Task::Close { percent: 50 }, 0.5);
            let limits = Limits::default();
            let verdict = decide(&plan, &limits, seen.as_ref(), &Usage::default(), NOW);
            assert_eq!(reason(&verdict), Some(expected), "{seen:?}");
        }
    }

    #[test]
    fn moving_a_stop_reduces_nothing_and_still_counts_as_an_execution() {
        let plan = plan(Task::MoveStop, 0.5);
        let limits = Limits::default();
        let calm = decide(&plan, &limits, None, &Usage::default(), NOW);
        assert_eq!(calm, APPROVED);
        let busy = used(&[(1, "0", "0"), (2, "0", "0")]);
        let verdict = decide(&plan, &limits, None, &busy, NOW);
        assert!(matches!(verdict, GovernorVerdict::Trip { .. }));
    }
}
