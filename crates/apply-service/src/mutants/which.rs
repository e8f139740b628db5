//! Which mistake is asked for.

use crate::exit::Failure;

/// What is done wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Nothing is written down, and nothing known.
    NoJournal,
    /// An order whose outcome is unknown is sent again.
    RetryAfterUnknown,
    /// Permits are deleted one by one, and what was there is looked at afterwards.
    DeleteBeforeCheck,
    /// The result goes to the stream, and only then to the journal.
    PublishBeforeJournal,
    /// Permits that were taken lie there again.
    PermitsNotDeleted,
    /// The wait for permits lasts three seconds longer than it may.
    WaitTooLong,
    /// Who does not hold a plan any more says all the same that nothing was executed.
    FinalWordByTheLoser,
    /// Nothing is looked at between an order's timestamp and its signature.
    NoLookAfterTheQueue,
    /// A store that has just forgotten everything is believed at once.
    NoFenceAfterForgetting,
}

impl Mutant {
    const NAMED: [(&str, Self); 9] = [
        ("no_journal", Self::NoJournal),
        ("retry_after_unknown", Self::RetryAfterUnknown),
        ("delete_before_check", Self::DeleteBeforeCheck),
        ("publish_before_journal", Self::PublishBeforeJournal),
        ("permits_not_deleted", Self::PermitsNotDeleted),
        ("wait_too_long", Self::WaitTooLong),
        ("final_word_by_the_loser", Self::FinalWordByTheLoser),
        ("no_look_after_the_queue", Self::NoLookAfterTheQueue),
        ("no_fence_after_forgetting", Self::NoFenceAfterForgetting),
    ];

    /// The one that is asked for; an unknown name is refused, since a mutant that is none would
    /// pass every test.
    pub(crate) fn asked_for() -> Result<Option<Self>, Failure> {
        let Ok(name) = std::env::var("APPLY_MUTANT") else {
            return Ok(None);
        };
        let found = Self::NAMED.into_iter().find(|(known, _)| *known == name);
        match found {
            Some((_, mutant)) => Ok(Some(mutant)),
            None => Err(Failure::configuration(format!(
                "APPLY_MUTANT={name} is none of: {}",
                Self::NAMED.map(|(known, _)| known).join(", ")
            ))),
        }
    }
}
