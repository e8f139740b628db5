//! What many cases came to: counts, and the table that is printed of them.

use super::run::Outcome;
use std::{collections::BTreeMap, fmt, time::Duration};

/// The counts of a run.
#[derive(Debug, Default)]
pub struct Report {
    rows: BTreeMap<String, Row>,
    /// How often each fault was really met.
    reached: BTreeMap<String, u64>,
    /// How plans ended.
    kinds: BTreeMap<String, u64>,
    /// How many orders and stops plans had.
    orders: u64,
    /// Cases that failed, as they are printed.
    failures: Vec<String>,
}

/// The cases of one scenario.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// How many were played.
    pub cases: u64,
    /// In how many of them the fault really happened.
    pub reached: u64,
    /// How many came out wrong.
    pub violated: u64,
    /// The time of all of them together.
    pub took: Duration,
}

impl Report {
    /// Counts one case in.
    pub fn add(&mut self, outcome: Outcome) {
        let row = self.rows.entry(outcome.case.label()).or_default();
        row.cases += 1;
        row.reached += u64::from(!outcome.reached.is_empty());
        row.violated += u64::from(outcome.is_violation());
        row.took += outcome.took;
        if outcome.is_violation() {
            self.failures.push(outcome.describe());
        }
        for fault in outcome.reached {
            *self.reached.entry(fault).or_default() += 1;
        }
        self.orders += outcome.orders;
        for kind in outcome.kinds {
            *self.kinds.entry(kind).or_default() += 1;
        }
    }

    /// The rows by their names.
    pub fn rows(&self) -> &BTreeMap<String, Row> {
        &self.rows
    }

    /// Cases that came out wrong, with the line that plays each again.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// All cases together.
    pub fn cases(&self) -> u64 {
        self.rows.values().map(|row| row.cases).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sum = Row::default();
        writeln!(
            f,
            "{:<62} {:>6} {:>8} {:>11} {:>8}",
            "scenario", "cases", "reached", "violations", "s a case"
        )?;
        for (label, row) in &self.rows {
            sum.cases += row.cases;
            sum.reached += row.reached;
            sum.violated += row.violated;
            sum.took += row.took;
            line(f, label, row)?;
        }
        line(f, "all", &sum)?;
        let plans: u64 = self.kinds.values().sum();
        writeln!(
            f,
            "\n{plans} claimed plans, {} orders and moved stops; they ended as",
            self.orders
        )?;
        let mut kinds: Vec<(&String, &u64)> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (kind, count) in kinds {
            writeln!(f, "{count:>8}  {kind}")?;
        }
        writeln!(f, "\n{} faults were really met:", self.reached.len())?;
        for (fault, count) in &self.reached {
            writeln!(f, "{count:>8}  {fault}")?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, row: &Row) -> fmt::Result {
    let average = row.took / u32::try_from(row.cases.max(1)).unwrap_or(u32::MAX);
    writeln!(
        f,
        "{label:<62} {:>6} {:>8} {:>11} {:>8}",
        row.cases,
        row.reached,
        row.violated,
        format!("{}.{}", average.as_secs(), average.subsec_millis() / 100)
    )
}
