//! A plan in the hands of one attempt, and the store that says so.

use crate::text;
use permit_gate::AttemptId;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A port that could not do its work. Says who and why, in a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// What the store remembers, from one moment at which it may have forgotten something to the next: it was
/// flushed, came back from an older snapshot, or another server took its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its name, which no other has.
    pub id: GenerationId,
    /// When it began, on the store's clock, in whole seconds since 1970.
    pub began_at: u64,
    /// When the store said so, on the same clock. Claims expire by it, so what it says of a plan's age counts where this
    /// machine's clock says less.
    pub observed_at: u64,
    /// From when on it is clean: everything that was allowed before it has come to its end by then, so
    /// that what the venue does not know is not there.
    pub clean_at: Instant,
}

impl Generation {
    /// Of a store of which nothing is known.
    pub(crate) fn unknown(now: Instant) -> Self {
        Self {
            id: GenerationId::new(),
            began_at: u64::MAX,
            observed_at: 0,
            clean_at: now,
        }
    }

    /// Whether the store would know of a claim on a plan that was computed at this moment: it was computed after the
    /// store began to remember, and no longer ago than a claim lasts. All in whole seconds since 1970; a plan that
    /// does not say when it was computed is not known, except to a store that has never forgotten anything.
    pub(crate) fn knows_plan_of(
        &self,
        computed_at: Option<u64>,
        now: u64,
        claim_lasts: Duration,
    ) -> bool {
        let slack = BRAINS_CLOCK.as_secs();
        let now = now.max(self.observed_at);
        self.began_at == 0
            || computed_at.is_some_and(|at| {
                at > self.began_at.saturating_add(slack)
                    && at.saturating_add(claim_lasts.as_secs()) > now.saturating_add(slack)
            })
    }
}

/// How far the brain's clock may be from the store's.
const BRAINS_CLOCK: Duration = Duration::from_secs(60);

/// The name of a [`Generation`].
pub type GenerationId = String;

/// A plan that one attempt holds. It may have lost the plan since: what the store says counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The attempt.
    pub attempt: AttemptId,
    /// What the store remembered then.
    pub generation: Generation,
    /// The server that said so.
    pub server: ServerId,
    /// A number that changes whenever this process learns that the store may have forgotten something, or
    /// that another server answers.
    pub epoch: u64,
    /// Since when: never later than the plan was put out for review.
    pub since: Instant,
}

impl Hold {
    /// In whose name, and as of when, a result of the plan is published.
    pub fn publisher(&self) -> Publisher {
        Publisher {
            attempt: self.attempt.clone(),
            generation: self.generation.id.clone(),
        }
    }
}

/// In whose name a final result is published, and what the store remembered when it was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// The attempt.
    #[serde(with = "text")]
    pub attempt: AttemptId,
    /// The generation in which the question to the venue was asked that it rests on.
    pub generation: GenerationId,
}

/// One server behind a connection, as long as it stays the same one: a restart, a promotion and a
/// connection to another server each give another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_knows_the_claims_of_plans_that_are_younger_than_its_memory_and_than_a_claim_lasts() {
        let of = |began_at| Generation {
            id: "g".into(),
            began_at,
            observed_at: 0,
            clean_at: Instant::now(),
        };
        let ttl = Duration::from_secs(21_600);
        let knows = |began_at, at, now| of(began_at).knows_plan_of(at, now, ttl);
        assert!(knows(1_000, Some(2_000), 3_000));
        // The brain's clock may be ahead, so a plan of about the same moment is not known.
        assert!(!knows(1_000, Some(1_050), 3_000));
        assert!(!knows(1_000, Some(900), 3_000));
        // Its claim, and what was published of it, may have expired.
        assert!(!knows(1_000, Some(2_000), 2_000 + 21_600));
        assert!(!knows(1_000, Some(2_000), 2_000 + 21_560));
        assert!(knows(1_000, Some(2_000), 2_000 + 21_500));
        // By the store's clock, where one of the two was stepped.
        let observed_at = |observed_at| Generation {
            observed_at,
            ..of(1_000)
        };
        assert!(!observed_at(2_000 + 21_600).knows_plan_of(Some(2_000), 3_000, ttl));
        assert!(observed_at(3_000).knows_plan_of(Some(2_000), 3_000, ttl));
        assert!(!observed_at(3_000).knows_plan_of(Some(2_000), 2_000 + 21_600, ttl));
        assert!(!knows(1_000, None, 3_000));
        assert!(knows(0, None, 3_000));
    }
}
