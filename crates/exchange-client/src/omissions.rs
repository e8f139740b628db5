//! What answers of the venue held that could not be used, where nothing is decided by it: counted, and reported once.
//!
//! ```text
//!  decoder ──▶ Notes (of one answer) ──▶ Omissions (of the client) ──▶ counts, for metrics
//!                                                                  └─▶ what is new, for the log
//! ```

use crate::names::Symbol;
use std::{
    collections::{BTreeMap, HashSet},
    fmt, mem,
};

/// A part of an answer that was left out because it cannot be read, or is about something else than was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Omission {
    /// The endpoint that answered: `positionRisk`.
    pub answer: &'static str,
    /// The field, or [`ROW`](Self::ROW).
    pub part: &'static str,
    /// Whose field it is, where it belongs to a symbol that was asked about.
    pub symbol: Option<Symbol>,
    /// What is wrong with it.
    pub why: String,
}

impl Omission {
    /// The part that is a whole entry of a list.
    pub const ROW: &'static str = "row";
}

/// In half a sentence: `positionRisk was read without entryPrice: "6.4x" is not a decimal`.
impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.part {
            Self::ROW => "an entry",
            field => field,
        };
        write!(f, "{} was read without {what}: {}", self.answer, self.why)
    }
}

/// How often a part of an answer was left out. For metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OmissionCount {
    /// The endpoint that answered.
    pub answer: &'static str,
    /// The field, or [`Omission::ROW`].
    pub part: &'static str,
    /// Since the client was set up.
    pub times: u64,
}

/// What was left out of one answer. Thousands of rows of a kind are one note with a number.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<(Omission, u64)>);

impl Notes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is noted from here on belongs to this answer, and to this symbol where there is one.
    pub(crate) fn of<'n>(
        &'n mut self,
        answer: &'static str,
        symbol: Option<&'n Symbol>,
    ) -> Place<'n> {
        Place {
            notes: self,
            answer,
            symbol,
        }
    }
}

/// Where in an answer a decoder reads.
pub(crate) struct Place<'n> {
    notes: &'n mut Notes,
    answer: &'static str,
    symbol: Option<&'n Symbol>,
}

impl Place<'_> {
    /// This field is left out.
    pub(crate) fn without(&mut self, part: &'static str, why: &impl fmt::Display) {
        let same = |(known, _): &&mut (Omission, u64)| {
            (known.answer, known.part, known.symbol.as_ref()) == (self.answer, part, self.symbol)
        };
        if let Some((_, times)) = self.notes.0.iter_mut().find(same) {
            *times += 1;
            return;
        }
        let omission = Omission {
            answer: self.answer,
            part,
            symbol: self.symbol.cloned(),
            why: why.to_string(),
        };
        self.notes.0.push((omission, 1));
    }

    /// This entry of a list is left out.
    pub(crate) fn without_row(&mut self, why: &impl fmt::Display) {
        self.without(Omission::ROW, why);
    }
}

/// Everything that was left out since the client was set up.
#[derive(Debug, Default)]
pub(crate) struct Omissions {
    counts: BTreeMap<(&'static str, &'static str), u64>,
    reported: HashSet<(&'static str, &'static str, Option<Symbol>)>,
    unreported: Vec<Omission>,
}

impl Omissions {
    pub(crate) fn add(&mut self, notes: Notes) {
        for (omission, times) in notes.0 {
            *self
                .counts
                .entry((omission.answer, omission.part))
                .or_default() += times;
            let kind = (omission.answer, omission.part, omission.symbol.clone());
            // The rest is only counted.
            if self.reported.len() < MOST_REPORTED && self.reported.insert(kind) {
                self.unreported.push(omission);
            }
        }
    }

    pub(crate) fn take_new(&mut self) -> Vec<Omission> {
        mem::take(&mut self.unreported)
    }

    pub(crate) fn counts(&self) -> Vec<OmissionCount> {
        let counts = self.counts.iter();
        counts
            .map(|(&(answer, part), &times)| OmissionCount {
                answer,
                part,
                times,
            })
            .collect()
    }
}

/// How many kinds of omission are reported one by one. The names in them are the venue's, so their number needs a bound.
const MOST_REPORTED: usize = 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_kind_is_reported_once_a_symbol_and_counted_always() {
        let btc: Symbol = "BTCUSDT".parse().unwrap();
        let eth: Symbol = "ETHUSDT".parse().unwrap();
        let mut all = Omissions::default();
        let mut omissions = Vec::new();
        for symbol in [&btc, &btc, &eth] {
            let mut notes = Notes::default();
            let mut place = notes.of("positionRisk", Some(symbol));
            place.without("entryPrice", &"not a decimal");
            let mut rows = notes.of("positionRisk", None);
            rows.without_row(&"null");
            rows.without_row(&"null again");
            all.add(notes);
            omissions.extend(all.take_new());
        }
        let omissions: Vec<_> = omissions
            .iter()
            .map(|omission| (omission.part, omission.symbol.as_ref()))
            .collect();
        assert_eq!(
            omissions,
            [
                ("entryPrice", Some(&btc)),
                ("row", None),
                ("entryPrice", Some(&eth))
            ]
        );
        let counted: Vec<_> = all.counts().iter().map(|c| (c.part, c.times)).collect();
        assert_eq!(counted, [("entryPrice", 3), ("row", 6)]);
    }

    #[test]
    fn a_venue_that_invents_names_fills_no_memory() {
        let mut all = Omissions::default();
        for n in 0..5000 {
            let symbol: Symbol = format!("C{n}USDT").parse().unwrap();
            let mut notes = Notes::default();
            notes
                .of("positionRisk", Some(&symbol))
                .without("entryPrice", &"");
            all.add(notes);
        }
        assert_eq!(all.take_new().len(), MOST_REPORTED);
        assert_eq!(all.counts()[0].times, 5000);
    }
}
