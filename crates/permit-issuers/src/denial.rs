//! Reasons for a no, and what they rest on.

use rust_decimal::Decimal;
use std::{fmt, time::Duration};

/// Why a reviewer says no, in the contract's words and those added here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The venue's position is not known, or not known fresh.
    StaleExchangeState,
    /// There is nothing to close or to guard.
    NoPosition,
    /// Venue and ledger name opposite sides.
    SideMismatch,
    /// Venue and ledger name different sizes.
    QtyMismatch,
    /// The symbol's last fill is too recent.
    CooldownInFlight,
    /// The share is less than the venue's smallest order.
    BelowVenueMinimum,
    /// The kill score is critical.
    KillScoreCritical,
    /// More executions within 5 minutes than allowed.
    BurstLimit,
    /// As many executions within the hour as allowed.
    HourlyLimit,
    /// The day's reduced quantity would be exceeded.
    DailyQuantityLimit,
    /// The day's reduced notional would be exceeded.
    DailyNotionalLimit,
    /// The venue gave no price to value the reduction with.
    NoMarkPrice,
}

impl Reason {
    /// Every reason, for metrics that start at 0.
    pub const ALL: [Self; 12] = [
        Self::StaleExchangeState,
        Self::NoPosition,
        Self::SideMismatch,
        Self::QtyMismatch,
        Self::CooldownInFlight,
        Self::BelowVenueMinimum,
        Self::KillScoreCritical,
        Self::BurstLimit,
        Self::HourlyLimit,
        Self::DailyQuantityLimit,
        Self::DailyNotionalLimit,
        Self::NoMarkPrice,
    ];

    /// The permit's `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StaleExchangeState => "stale_exchange_state",
            Self::NoPosition => "no_position",
            Self::SideMismatch => "reconcile_required_side_mismatch",
            Self::QtyMismatch => "reconcile_required_qty_mismatch",
            Self::CooldownInFlight => "cooldown_in_flight",
            Self::BelowVenueMinimum => "quantity_below_venue_minimum",
            Self::KillScoreCritical => "kill_score_critical",
            Self::BurstLimit => "burst_limit_breached",
            Self::HourlyLimit => "hourly_limit_reached",
            Self::DailyQuantityLimit => "daily_quantity_limit_reached",
            Self::DailyNotionalLimit => "daily_notional_limit_reached",
            Self::NoMarkPrice => "no_mark_price",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A no: its reason, and the figures that made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The permit's `context`.
    pub context: Vec<(&'static str, Fact)>,
}

/// One figure of a context.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Base units, quote units, or a count.
    Number(Decimal),
    /// A time span, written in seconds.
    Span(Duration),
    /// A ratio such as a score. Finite.
    Ratio(f64),
    /// Not known.
    Unknown,
}

impl Denial {
    pub(crate) fn new(
        reason: Reason,
        context: impl IntoIterator<Item = (&'static str, Fact)>,
    ) -> Self {
        Self {
            reason,
            context: context.into_iter().collect(),
        }
    }
}

impl From<Decimal> for Fact {
    fn from(number: Decimal) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Fact {
    fn from(count: u32) -> Self {
        Self::Number(count.into())
    }
}

impl From<Duration> for Fact {
    fn from(span: Duration) -> Self {
        Self::Span(span)
    }
}

impl<T: Into<Fact>> From<Option<T>> for Fact {
    fn from(known: Option<T>) -> Self {
        known.map_or(Self::Unknown, Into::into)
    }
}
