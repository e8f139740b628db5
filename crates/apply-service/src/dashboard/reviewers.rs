//! How the reviewers and the venue answer.

use super::view::{By, WaitView};
use crate::{
    quantile,
    reviewers::{AllAnswers, Answers, was_whole},
};
use apply_core::times::{micros, millis};
use permit_gate::PermitSet;
use serde::{Serialize, Serializer};
use std::{collections::VecDeque, time::Duration};

/// Answers that are kept of each.
const KEPT: usize = 512;

/// Round trips to the venue that are drawn.
const TRIPS: usize = 120;

/// Reviewers that are kept apart: those of this instance, and of others that ask for other permits.
const MOST: usize = 2 * PermitSet::MAX;

/// One reviewer.
#[derive(Debug, Default, Serialize)]
pub(super) struct Reviewer {
    pub(super) label: String,
    /// Milliseconds from the beginning of a wait until its permit was seen.
    waits: Times,
    /// Permits by what noticed them.
    by: Vec<(&'static str, u64)>,
    /// Waits that ended without its permit.
    late: u64,
    /// Permits that said no.
    denied: u64,
    /// Waits without its permit since its last one.
    #[serde(rename = "silent", serialize_with = "unanswered")]
    pub(super) answers: Answers,
}

fn unanswered<S: Serializer>(answers: &Answers, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(answers.unanswered() as u64)
}

/// The newest times.
#[derive(Debug, Default)]
struct Times(VecDeque<u64>);

impl Times {
    fn add(&mut self, time: u64) {
        self.0.push_back(time);
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Ranks {
            count: usize,
            median: Option<u64>,
            p99: Option<u64>,
            longest: Option<u64>,
        }
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent| quantile(&sorted, percent);
        let ranks = Ranks {
            count: sorted.len(),
            median: at(50),
            p99: at(99),
            longest: at(100),
        };
        ranks.serialize(serializer)
    }
}

/// All reviewers, in the order in which they were met.
#[derive(Debug, Default, Serialize)]
pub(super) struct Reviewers(Vec<Reviewer>);

impl Reviewers {
    /// Counts a wait that is over, with its permits as they were seen.
    pub(super) fn count(&mut self, wait: &WaitView) {
        let code = wait.end.as_ref().and_then(|end| end.code.as_deref());
        let whole = was_whole(code);
        for permit in &wait.permits {
            if permit.after.is_none() && !whole {
                continue;
            }
            let known = self.0.iter().position(|known| known.label == permit.label);
            if known.is_none() && self.0.len() >= MOST {
                continue;
            }
            let index = known.unwrap_or_else(|| {
                self.0.push(Reviewer {
                    label: permit.label.clone(),
                    ..Reviewer::default()
                });
                self.0.len() - 1
            });
            let reviewer = &mut self.0[index];
            reviewer.answers.count(wait.since, permit.after.is_some());
            let (Some(after), Some(By(by))) = (permit.after, permit.by) else {
                reviewer.late += 1;
                continue;
            };
            reviewer.waits.add(after);
            reviewer.denied += u64::from(permit.yes == Some(false));
            match reviewer.by.iter_mut().find(|(known, _)| *known == by) {
                Some((_, count)) => *count += 1,
                None => reviewer.by.push((by, 1)),
            }
        }
    }

    /// Those that did not answer the last plans.
    pub(super) fn silent(&self) -> impl Iterator<Item = &Reviewer> {
        self.0
            .iter()
            .filter(|reviewer| reviewer.answers.is_silent())
    }

    /// Which plans they gave their permits for.
    pub(super) fn answers(&self) -> AllAnswers {
        let mut all = AllAnswers::default();
        for reviewer in &self.0 {
            all.add(&reviewer.label, reviewer.answers.clone());
        }
        all
    }
}

/// How long the venue takes.
#[derive(Debug, Default, Serialize)]
pub(super) struct Trips {
    /// Microseconds from a grant to the answer to its order: of every instance, and of the day before the start.
    orders: Times,
    /// The newest of them: when, and how long.
    newest: VecDeque<(u64, u64)>,
    /// Questions of this process for its time: when, and microseconds there and back.
    asked: VecDeque<(u64, u64)>,
}

impl Trips {
    pub(super) fn order(&mut self, at: u64, took: u64) {
        self.orders.add(took);
        push(&mut self.newest, (at, took));
    }

    /// A question that was answered then; seen again and again until the next one.
    pub(super) fn asked(&mut self, now: u64, age: Duration, took: Duration) {
        let at = now.saturating_sub(millis(age));
        let took = micros(took);
        let known = self.asked.back();
        // The age is read a moment after the clock.
        if known.is_none_or(|(last, _)| last + 500 < at) {
            push(&mut self.asked, (at, took));
        }
    }
}

fn push(trips: &mut VecDeque<(u64, u64)>, trip: (u64, u64)) {
    trips.push_back(trip);
    if trips.len() > TRIPS {
        trips.pop_front();
    }
}
