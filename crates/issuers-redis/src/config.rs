//! Where Redis is, what things are called there, and how patient to be.

use apply_core::Symbol;
use apply_wire::key;
use permit_gate::PlanId;
use std::{fmt, time::Duration};

/// How to reach Redis, and how to share a stream with other reviewers.
#[derive(Clone)]
pub struct IssuersConfig {
    /// `redis://[user:password@]host:port/db`. May carry a password and is never printed.
    pub url: String,
    /// How long one answer may take.
    pub response_timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// The names.
    pub keys: Keys,
    /// This process among the consumers of its groups; new at each start.
    pub consumer: String,
    /// How long a feed waits for new entries before it looks for entries others left behind.
    pub block: Duration,
    /// How long an entry stays with a reviewer that does not finalize it. Far above what a review
    /// takes, and below the wait for permits, so that another one can still be in time.
    pub claim_after: Duration,
    /// The most entries handed out at once.
    pub batch: usize,
}

impl IssuersConfig {
    /// The contract's names on the server at `url`; answers within half a second, entries of a
    /// dead reviewer handed on after half a second.
    pub fn new(url: impl Into<String>, consumer: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            response_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(1),
            keys: Keys::default(),
            consumer: consumer.into(),
            block: Duration::from_millis(250),
            claim_after: Duration::from_millis(500),
            batch: 64,
        }
    }
}

impl fmt::Debug for IssuersConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuersConfig")
            .field("keys", &self.keys)
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}

/// The names of wire §4, and our own beside them. A prefix is followed by a symbol or a plan id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The stream of plans.
    pub plans: String,
    /// The stream of results.
    pub results: String,
    /// The governor's group on both streams.
    pub governor_group: String,
    /// The position brain's group on the plan stream.
    pub brain_group: String,
    /// Before the plan id of the governor's permit.
    pub governor_permit: String,
    /// Before the plan id of the position brain's permit.
    pub brain_permit: String,
    /// The kill switch.
    pub kill_switch: String,
    /// Why the kill switch was tripped.
    pub kill_reason: String,
    /// Before the symbol of what the governor granted.
    pub usage: String,
    /// Before the symbol of the venue's position.
    pub snapshot: String,
    /// Before the symbol of the position by results.
    pub ledger: String,
    /// The last result every ledger holds.
    pub cursor: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            plans: key::PLANS.into(),
            results: key::RESULTS.into(),
            governor_group: key::GROUP_GOVERNOR.into(),
            brain_group: key::GROUP_P33.into(),
            governor_permit: key::PERMIT_GOVERNOR.into(),
            brain_permit: key::PERMIT_P33.into(),
            kill_switch: key::KILL_SWITCH.into(),
            kill_reason: key::KILL_SWITCH_REASON.into(),
            usage: key::GOVERNOR_USAGE.into(),
            snapshot: key::POSITION_SNAPSHOT.into(),
            ledger: key::POSITION_LEDGER.into(),
            cursor: key::RESULTS_CURSOR.into(),
        }
    }
}

impl Keys {
    pub(crate) fn of_plan(prefix: &str, plan: &PlanId) -> String {
        format!("{prefix}{plan}")
    }

    pub(crate) fn of_symbol(prefix: &str, symbol: &Symbol) -> String {
        format!("{prefix}{symbol}")
    }
}
