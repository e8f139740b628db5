//! The matrix as a table: fault, moment, expectation. A new row is a few lines in one of the files here.

mod adversary;
mod disk;
mod forgetting;
mod machines;
mod neighbours;
mod process;
mod redis;
mod stops;
mod switch;
mod time;
mod venue;

use super::{rng::Rng, scene::Scene};
use std::fmt::Write as _;

pub(crate) use process::POINTS;

/// One row.
pub(crate) struct Row {
    /// What it is called on the command line and in the counts.
    pub(crate) name: &'static str,
    /// What breaks, and how.
    pub(crate) fault: &'static str,
    /// When it does.
    pub(crate) moment: &'static str,
    pub(crate) expects: Expect,
    /// Draws what is open.
    pub(crate) scene: fn(&mut Rng) -> Scene,
}

/// What has to come of a plan, besides all that the judge asks of every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The fault costs no order: a plan that was approved in time has one.
    Order,
    /// One order or none; the result says which.
    Truth,
    /// Nothing may leave.
    NoOrder,
}

impl Expect {
    fn text(self) -> &'static str {
        match self {
            Self::Order => "an order for each approved plan",
            Self::Truth => "one order or none, reported truly",
            Self::NoOrder => "no order",
        }
    }
}

/// The groups, under the headings of the printed table.
const GROUPS: [(&str, &[Row]); 11] = [
    ("The process", process::ROWS),
    ("Redis and the wire to it", redis::ROWS),
    ("A Redis that forgets", forgetting::ROWS),
    ("Two machines", machines::ROWS),
    ("The venue", venue::ROWS),
    ("A moved stop", stops::ROWS),
    ("The kill switch", switch::ROWS),
    ("The clock", time::ROWS),
    ("The disk", disk::ROWS),
    ("An adversary", adversary::ROWS),
    ("Neighbours as they are", neighbours::ROWS),
];

/// How many rows there are.
pub(crate) const COUNT: usize = {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].1.len();
        group += 1;
    }
    count
};

/// The row of a case. Neighbouring numbers are rows of different groups: rows that wait long and rows
/// that load the machine are mixed.
pub(crate) fn row_of(number: u64) -> &'static Row {
    let count = COUNT as u64;
    let stride = (2..count).rfind(|step| step * step <= count && gcd(*step, count) == 1);
    let index = (number % count) * stride.unwrap_or(1) % count;
    let mut rows = GROUPS.iter().flat_map(|(_, rows)| rows.iter());
    rows.nth(usize::try_from(index).unwrap_or(0))
        .unwrap_or(&process::ROWS[0])
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Everything on one page, as `docs/faults.md` shows it.
pub fn table() -> String {
    let mut text = String::new();
    for (heading, rows) in GROUPS {
        let _ = writeln!(text, "{heading}:\n");
        text.push_str("| row | fault | moment | expectation |\n|---|---|---|---|\n");
        for row in rows {
            let expects = row.expects.text();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {expects} |",
                row.name, row.fault, row.moment
            );
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_has_its_turn_once_in_as_many_cases_and_a_name_of_its_own() {
        let names: BTreeSet<&str> = (0..COUNT as u64).map(|n| row_of(n).name).collect();
        assert_eq!(names.len(), COUNT);
    }

    #[test]
    fn the_document_shows_the_table_as_it_is() {
        let document = include_str!("../../../docs/faults.md");
        assert!(
            document.contains(&table()),
            "docs/faults.md is not up to date: put what `scripts/faults --table` prints there"
        );
    }
}
