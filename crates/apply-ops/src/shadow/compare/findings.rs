//! What was found, and how often.

use crate::shadow::differences::{self as d, Class, Difference};
use std::collections::BTreeMap;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shadow) enum About {
    Proposal,
    Plan,
    Permits,
    Quantity,
    Result,
}

impl About {
    pub(in crate::shadow) fn word(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Plan => "plan",
            Self::Permits => "permits",
            Self::Quantity => "quantity",
            Self::Result => "result",
        }
    }
}

/// One thing that was compared.
#[derive(Debug, Clone)]
pub(in crate::shadow) struct Finding {
    pub(in crate::shadow) about: About,
    pub(in crate::shadow) symbol: String,
    pub(in crate::shadow) plan: String,
    pub(in crate::shadow) ours: String,
    pub(in crate::shadow) old: String,
    /// `None` where both agree.
    pub(in crate::shadow) difference: Option<&'static Difference>,
    /// It was printed for this plan before, and is only counted.
    pub(in crate::shadow) again: bool,
}

/// How often each difference was found.
#[derive(Debug, Default, Clone)]
pub(in crate::shadow) struct Counts {
    pub(in crate::shadow) proposals: u64,
    pub(in crate::shadow) plans: u64,
    pub(in crate::shadow) results: u64,
    /// Entries of other programs and what stands for the position brain alone.
    pub(in crate::shadow) foreign: u64,
    pub(in crate::shadow) same: u64,
    pub(in crate::shadow) differences: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(in crate::shadow) fn of(&self, class: Class) -> u64 {
        d::ALL
            .iter()
            .filter(|one| one.class == class)
            .filter_map(|one| self.differences.get(one.name))
            .sum()
    }
}
