//! How the program ends: each exit code, each once, with its name in JSON and what it means.

/// An exit code. Scripts and service managers act on it, so a number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// It is done, and what was looked at is well.
    Good,
    /// Refused, not confirmed, judged a no, or broken down on the way.
    No,
    /// The command line cannot be understood, or asks for a yes that was not given with it.
    Usage,
    /// The service does not answer.
    Down,
    /// The service answers and cannot work.
    NotReady,
    /// A kill switch is on.
    Halted,
    /// A kill switch cannot be looked at from here, and none that can be is on.
    Unknown,
    /// There is no such plan or permit.
    NotFound,
    /// Something needed is unreachable (`EX_UNAVAILABLE`): trying again later may help.
    Unavailable,
    /// A setting has to change (`EX_CONFIG`): trying again does not help.
    Configuration,
}

impl Exit {
    /// Every exit code, by number.
    pub const ALL: [Self; 10] = [
        Self::Good,
        Self::No,
        Self::Usage,
        Self::Down,
        Self::NotReady,
        Self::Halted,
        Self::Unknown,
        Self::NotFound,
        Self::Unavailable,
        Self::Configuration,
    ];

    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Down => 3,
            Self::NotReady => 4,
            Self::Halted => 5,
            Self::Unknown => 6,
            Self::NotFound => 7,
            Self::Unavailable => 69,
            Self::Configuration => 78,
        }
    }

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::No => "no",
            Self::Usage => "usage",
            Self::Down => "down",
            Self::NotReady => "not_ready",
            Self::Halted => "halted",
            Self::Unknown => "unknown",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Configuration => "configuration",
        }
    }

    /// What it says, whichever command ends with it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Good => "done; everything that was checked is well",
            Self::No => "refused, not confirmed, judged a no, or broken down on the way",
            Self::Usage => "usage, or a yes is needed and --yes was not given",
            Self::Down => "the service does not answer",
            Self::NotReady => "the service answers and is not ready",
            Self::Halted => "a kill switch is on",
            Self::Unknown => "a kill switch cannot be read, and no other one is on",
            Self::NotFound => "there is no such plan or permit",
            Self::Unavailable => {
                "something needed is unreachable, or a part of it could not be done"
            }
            Self::Configuration => "a setting has to change",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_meanings_share_a_code_or_a_name() {
        let codes: BTreeSet<u8> = Exit::ALL.map(Exit::code).into();
        let names: BTreeSet<&str> = Exit::ALL.map(Exit::name).into();
        assert_eq!(
            (codes.len(), names.len()),
            (Exit::ALL.len(), Exit::ALL.len())
        );
        assert!(Exit::ALL.is_sorted_by_key(|exit| exit.code()));
        // Shells and `timeout` use the codes from 124 on, a panic 101.
        assert!(codes.iter().all(|code| *code < 101));
    }
}
