//! A plan as reviewers read it from the stream.

use crate::entry::Fields;
use apply_core::{Action, Decision, Symbol};
use permit_gate::PlanId;

/// A plan that is to be executed, and is therefore reviewed.
#[derive(Debug, Clone, PartialEq)]
pub struct Reviewed {
    /// Its id.
    pub id: PlanId,
    /// Its symbol.
    pub symbol: Symbol,
    /// From 0 (normal) to 1 (close now). Finite and at least 0.
    pub kill_score: f64,
    /// What it does.
    pub task: Task,
}

/// What a plan does to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Closes this share of it, in percent: one of [`Share::ALL`](apply_core::Share::ALL).
    Close {
        /// The share.
        percent: u8,
    },
    /// Moves the stop that guards all of it.
    MoveStop,
}

impl Task {
    /// The share of the position that may go at once: a stop closes all of what it guards.
    pub fn percent(self) -> u8 {
        match self {
            Self::Close { percent } => percent,
            Self::MoveStop => 100,
        }
    }

    fn of(action: Action) -> Option<Self> {
        match action {
            Action::Close(share) => Some(Self::Close {
                percent: share.percent(),
            }),
            Action::UpdateStop => Some(Self::MoveStop),
            Action::Hold => None,
        }
    }
}

/// Why an entry of the plan stream is no plan. Such an entry gets no permit, ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadablePlan {
    /// A field that every plan must have is missing, empty or no text.
    #[error("the plan's {0} is missing")]
    Missing(&'static str),
    /// A field says something it cannot say.
    #[error("the plan's {field} is {value:?}: {why}")]
    Wrong {
        /// The field.
        field: &'static str,
        /// What it says, cut to 60 characters.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Reviewed {
    /// Reads the fields of wire §4. `None`: a plan that is not to be executed, which no reviewer
    /// reviews.
    pub fn read(fields: &Fields) -> Result<Option<Self>, UnreadablePlan> {
        let text = |field: &'static str| {
            let text = fields.get(field).map(String::as_str);
            text.filter(|text| !text.is_empty())
                .ok_or(UnreadablePlan::Missing(field))
        };
        let wrong = |field, value: &str, why| UnreadablePlan::Wrong {
            field,
            value: value.chars().take(60).collect(),
            why,
        };
        let decision = text("decision")?;
        if decision != Decision::Execute.as_str() {
            let others = [Decision::Skip, Decision::Blocked, Decision::Error];
            return match others.iter().any(|other| other.as_str() == decision) {
                true => Ok(None),
                false => Err(wrong("decision", decision, "no decision of the contract")),
            };
        }
        let id = text("plan_id")?;
        let symbol = text("symbol")?;
        let action = text("action")?;
        let score = text("kill_score")?;
        Ok(Some(Self {
            id: PlanId::new(id).map_err(|_| wrong("plan_id", id, "no id"))?,
            symbol: symbol
                .parse()
                .map_err(|_| wrong("symbol", symbol, "no symbol"))?,
            kill_score: score
                .parse()
                .ok()
                .filter(|score: &f64| score.is_finite() && *score >= 0.0)
                .ok_or_else(|| wrong("kill_score", score, "no finite number from 0 on"))?,
            task: Action::from_wire(action)
                .and_then(Task::of)
                .ok_or_else(|| wrong("action", action, "nothing that can be executed"))?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::raw;

    fn fields(changes: &[(&str, &str)]) -> Fields {
        let mut fields = raw([
            ("plan_id", "67e6da21fa9fe506"),
            ("symbol", "BTCUSDT"),
            ("action", "PARTIAL_75"),
            ("kill_score", "0.539"),
            ("decision", "EXECUTE"),
        ]);
        for (field, value) in changes {
            fields.insert((*field).to_owned(), (*value).to_owned());
        }
        fields
    }

    #[test]
    fn an_execute_plan_is_read_with_its_share() {
        for (action, task) in [
            ("FULL_CLOSE_PROPOSED", Task::Close { percent: 100 }),
            ("PARTIAL_75", Task::Close { percent: 75 }),
            ("PARTIAL_50", Task::Close { percent: 50 }),
            ("UPDATE_SL", Task::MoveStop),
        ] {
            let plan = Reviewed::read(&fields(&[("action", action)])).unwrap();
            assert_eq!(plan.unwrap().task, task);
        }
    }

    #[test]
    fn plans_that_are_not_to_be_executed_are_nobodys_business() {
        for decision in ["SKIP", "BLOCKED", "ERROR"] {
            let read = Reviewed::read(&fields(&[("decision", decision), ("kill_score", "nan")]));
            assert_eq!(read, Ok(None), "{decision}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_never_reviewed() {
        for field in ["plan_id", "symbol", "action", "kill_score", "decision"] {
            let mut missing = fields(&[]);
            missing.remove(field);
            for bad in [missing, fields(&[(field, "")])] {
                assert_eq!(Reviewed::read(&bad), Err(UnreadablePlan::Missing(field)));
            }
        }
        for (name, value) in [
            ("plan_id", "a:b"),
            ("symbol", "btcusdt"),
            ("action", "HOLD"),
            ("action", "DOUBLE_UP"),
            ("kill_score", "nan"),
            ("kill_score", "-0.1"),
            ("kill_score", "1e999"),
            ("decision", "execute"),
        ] {
            assert!(
                matches!(Reviewed::read(&fields(&[(name, value)])), Err(UnreadablePlan::Wrong { field, .. }) if field == name),
                "{name}={value}"
            );
        }
    }
}
