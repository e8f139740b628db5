//! What a plan came to, in one of a few words.

use apply_wire::{Reason, field};

/// What a plan came to, for counting and for filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The venue executed something.
    Executed,
    /// It would have, were it not for the dry run.
    WouldExecute,
    /// Something forbade it.
    Blocked,
    /// There was nothing to do.
    Skipped,
    /// It could not be followed, or nothing was executed in spite of the permits.
    Failed,
    /// Whether something was executed is unknown.
    Unresolved,
}

impl Outcome {
    /// In the order in which they are counted and drawn.
    pub const ALL: [Self; 6] = [
        Self::Executed,
        Self::WouldExecute,
        Self::Blocked,
        Self::Skipped,
        Self::Failed,
        Self::Unresolved,
    ];

    /// Of a result, by the words that stand in it.
    pub fn of(executed: bool, would_execute: bool, decision: &str, error: Option<&str>) -> Self {
        if error.is_some_and(|error| Reason::parse(error).is_unresolved()) {
            return Self::Unresolved;
        }
        match (executed, would_execute, decision) {
            (true, ..) => Self::Executed,
            (false, true, _) => Self::WouldExecute,
            (false, false, field::SKIP) => Self::Skipped,
            (false, false, field::BLOCKED) => Self::Blocked,
            (false, false, _) => Self::Failed,
        }
    }

    /// As one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::WouldExecute => "would_execute",
            Self::Blocked => "blocked",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Unresolved => "unresolved",
        }
    }
}
