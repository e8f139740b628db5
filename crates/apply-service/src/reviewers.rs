//! How reviewers are: the one judgement behind the page, its data, the metrics, `check` and `status`.
//!
//! Two things are known of a reviewer: how its group reads the stream of plans, where it has one, and which of the last
//! plans it gave no permit for. The second counts for more: a reviewer may read in another way, and one that reads may
//! write nothing.

use apply_redis::{Reviewer, Reviewing};
use apply_wire::Reason;
use permit_gate::PermitSet;
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, fmt};

/// After so many plans in a row without its permit a reviewer counts as silent.
pub const SILENT: usize = 3;

/// Waits that are remembered of each reviewer since its last permit.
const MOST: usize = 100;

/// How a reviewer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewerHealth {
    /// It has read every plan, or gave its permit for the last one.
    Good,
    /// It has no consumer, or has not read every plan.
    Behind,
    /// It gave no permit for the last [`SILENT`] plans or more.
    Silent,
}

impl ReviewerHealth {
    /// As one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Behind => "behind",
            Self::Silent => "silent",
        }
    }
}

/// Which plans a reviewer gave a permit for, in whatever order they are noted.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// When the newest wait began that its permit was seen in, in milliseconds since 1970.
    last: Option<u64>,
    /// When waits began that ended without its permit, since then.
    missed: VecDeque<u64>,
}

impl Answers {
    /// Takes in a wait that began then.
    pub fn count(&mut self, began: u64, came: bool) {
        if came {
            self.last = self.last.max(Some(began));
        } else {
            self.missed.push_back(began);
        }
        self.missed.retain(|missed| Some(*missed) > self.last);
        if self.missed.len() > MOST {
            self.missed.pop_front();
        }
    }

    /// Whether its reviewer counts as silent.
    pub fn is_silent(&self) -> bool {
        self.unanswered() >= SILENT
    }

    /// Plans in a row without its permit, up to the last one.
    pub fn unanswered(&self) -> usize {
        self.missed.len()
    }

    /// Whether it gave its permit for the last plan.
    fn is_last_answered(&self) -> bool {
        self.last.is_some() && self.missed.is_empty()
    }
}

/// Whether a wait that ended by this code was long enough for every permit: one that ended for another reason says
/// nothing of a permit that was not there.
pub(crate) fn was_whole(code: Option<&str>) -> bool {
    code.is_some_and(|code| {
        matches!(
            Reason::parse(code),
            Reason::PermitTimeout(_) | Reason::PermitsMissing(_)
        )
    })
}

/// The part of a wait on its stream that says who answered.
#[derive(Debug, Deserialize)]
struct Wait {
    since: u64,
    permits: Vec<Permit>,
    end: Option<End>,
}

#[derive(Debug, Deserialize)]
struct End {
    code: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Permit {
    label: String,
    after: Option<u64>,
}

/// What is known of the reviewers by the labels of their permits.
#[derive(Debug, Clone, Default)]
pub struct AllAnswers(Vec<(String, Answers)>);

impl AllAnswers {
    /// Takes in a wait as its stream has it; what cannot be read counts for nothing.
    pub fn count(&mut self, wait: &str) {
        let Ok(wait) = serde_json::from_str::<Wait>(wait) else {
            return;
        };
        let whole = was_whole(wait.end.and_then(|end| end.code).as_deref());
        for permit in wait.permits.into_iter().take(PermitSet::MAX) {
            let came = permit.after.is_some();
            if !came && !whole {
                continue;
            }
            match self.0.iter_mut().find(|(label, _)| *label == permit.label) {
                Some((_, answers)) => answers.count(wait.since, came),
                None => {
                    let mut answers = Answers::default();
                    answers.count(wait.since, came);
                    self.0.push((permit.label, answers));
                }
            }
        }
    }

    /// Takes in what is known of one.
    pub fn add(&mut self, label: &str, answers: Answers) {
        self.0.push((label.to_owned(), answers));
    }
}

/// A reviewer, judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The name of its permit.
    pub name: String,
    /// How its group reads; `None` where it is not known to have one.
    pub reading: Option<Reviewer>,
    answers: Answers,
}

/// Judges those whose permits are required and of which anything is known.
pub fn judge(permits: &PermitSet, readings: &[Reviewer], answers: &AllAnswers) -> Vec<Judged> {
    let judged = permits.iter().filter_map(|permit| {
        let reading = readings.iter().find(|known| known.name == permit.name());
        let known = answers.0.iter().find(|(label, _)| label == permit.label());
        (reading.is_some() || known.is_some()).then(|| Judged {
            name: permit.name().to_owned(),
            reading: reading.cloned(),
            answers: known
                .map(|(_, answers)| answers.clone())
                .unwrap_or_default(),
        })
    });
    judged.collect()
}

impl Judged {
    /// How it is.
    pub fn health(&self) -> ReviewerHealth {
        if self.answers.is_silent() {
            return ReviewerHealth::Silent;
        }
        match &self.reading {
            None => ReviewerHealth::Good,
            Some(reading) if reading.is_up_to_date() => ReviewerHealth::Good,
            // It reads in another way.
            Some(Reviewer { reading: None, .. }) if self.answers.is_last_answered() => {
                ReviewerHealth::Good
            }
            Some(_) => ReviewerHealth::Behind,
        }
    }

    /// Plans in a row without its permit, up to the last one; at most 100.
    pub fn unanswered(&self) -> usize {
        self.answers.unanswered()
    }

    /// What the server says of its group, where it has one.
    pub fn group(&self) -> Option<Reviewing> {
        self.reading.as_ref()?.reading
    }

    /// The same for programs.
    pub fn view(&self) -> JudgedView {
        let group = self.group();
        JudgedView {
            name: self.name.clone(),
            health: self.health().as_str(),
            unanswered: self.unanswered(),
            has_group: group.is_some(),
            consumers: group.map(|group| group.consumers),
            idle_ms: group
                .and_then(|group| group.idle)
                .and_then(|idle| u64::try_from(idle.as_millis()).ok()),
            pending: group.map(|group| group.pending),
            lag: group.map(|group| group.lag),
        }
    }
}

/// One phrase, as in `p33: 1 consumer, asked 0.4 s ago, every plan read, 0 not acknowledged; no permit for the last 3
/// plans`.
impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reading {
            // It reads in another way.
            Some(Reviewer { reading: None, .. }) if self.answers.is_last_answered() => {
                return write!(f, "{}: gave its permit for the last plan", self.name);
            }
            Some(reading) => reading.fmt(f)?,
            None => write!(f, "{}", self.name)?,
        }
        let sign = if self.reading.is_some() { ", " } else { ": " };
        match self.unanswered() {
            0 if self.answers.last.is_none() => Ok(()),
            0 => write!(f, "{sign}gave its permit for the last plan"),
            1 => write!(f, "{sign}no permit for the last plan"),
            MOST => write!(f, "{sign}no permit for the last {MOST} plans or more"),
            plans => write!(f, "{sign}no permit for the last {plans} plans"),
        }
    }
}

/// A reviewer in the data of the page and of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JudgedView {
    #[serde(rename = "reviewer")]
    name: String,
    /// `good`, `behind` or `silent`.
    health: &'static str,
    /// Plans in a row without its permit, up to the last one; at most 100.
    unanswered: usize,
    /// Whether it has a group on the stream of plans; the rest is absent where it has none.
    has_group: bool,
    consumers: Option<u64>,
    idle_ms: Option<u64>,
    pending: Option<u64>,
    lag: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_without_a_permit_count_since_the_last_with_one_in_whatever_order_they_are_noted() {
        let waits = [
            (10, true),
            (20, false),
            (30, true),
            (40, false),
            (50, false),
        ];
        for first in 0..waits.len() {
            let mut answers = Answers::default();
            for place in 0..waits.len() {
                let (began, came) = waits[(first + place) % waits.len()];
                answers.count(began, came);
            }
            assert_eq!(answers.unanswered(), 2, "beginning with {first}");
        }
    }

    #[test]
    fn a_reviewer_is_silent_after_three_plans_whatever_its_group_says_and_good_without_a_group_once_it_answers()
     {
        let permits = permit_gate::trading::permits();
        let wait = |since: u64, p33: &str, code: &str| {
            format!(
                r#"{{"since":{since},"permits":[{{"label":"Governor","after":5}},{{"label":"P3.3","after":{p33}}}],"end":{{"code":{code}}}}}"#
            )
        };
        let missing = r#""permit_timeout_or_missing:missing_p33""#;
        let reading = |name: &str| Reviewer {
            name: name.to_owned(),
            reading: None,
        };
        let readings = [reading("governor"), reading("p33")];
        let healths = |answers: &AllAnswers| {
            let judged = judge(&permits, &readings, answers);
            judged.iter().map(Judged::health).collect::<Vec<_>>()
        };
        let mut answers = AllAnswers::default();
        assert_eq!(healths(&answers), [ReviewerHealth::Behind; 2]);
        answers.count("no JSON");
        for since in 1..=3 {
            answers.count(&wait(since, "null", missing));
            answers.count(&wait(since + 10, "null", r#""permit_store_unavailable""#));
        }
        let expected = [ReviewerHealth::Good, ReviewerHealth::Silent];
        assert_eq!(healths(&answers), expected);
        let judged = judge(&permits, &readings, &answers);
        assert!(
            judged[1]
                .to_string()
                .ends_with("no permit for the last 3 plans")
        );
        answers.count(&wait(4, "7", "null"));
        assert_eq!(healths(&answers), [ReviewerHealth::Good; 2]);
    }
}
