//! What more symbols cost: each figure beside the same of the row before, and whatever grew by more
//! than it may.

use crate::{crowd::Crowd, numbers::micros};
use std::fmt::Write as _;

/// What is taken for noise.
const NOISE: f64 = 1.15;

/// One figure of every crowd.
struct Cost {
    name: &'static str,
    /// A cost of all symbols together may grow as they do; one of a plan may not grow at all.
    of_a_plan: bool,
    decimals: usize,
    of: fn(&Crowd) -> f64,
}

const COSTS: [Cost; 6] = [
    Cost {
        name: "start to ready, ms",
        of_a_plan: false,
        decimals: 0,
        of: |crowd| micros(crowd.rest.ready_after) / 1e3,
    },
    Cost {
        name: "resident at rest, KiB",
        of_a_plan: false,
        decimals: 0,
        of: |crowd| crowd.rest.resident as f64,
    },
    Cost {
        name: "resident at work, KiB",
        of_a_plan: false,
        decimals: 0,
        of: |crowd| crowd.resident as f64,
    },
    Cost {
        name: "share of a core at rest, %",
        of_a_plan: false,
        decimals: 1,
        of: |crowd| crowd.rest.share * 100.0,
    },
    Cost {
        name: "our processor time a plan, µs",
        of_a_plan: true,
        decimals: 0,
        of: |crowd| micros(crowd.processor) / crowd.plans as f64,
    },
    Cost {
        name: "Redis' processor time a plan, everybody's commands, µs",
        of_a_plan: true,
        decimals: 0,
        of: redis_a_plan,
    },
];

fn redis_a_plan(crowd: &Crowd) -> f64 {
    micros(crowd.redis) / crowd.plans as f64
}

pub(crate) fn table(rows: &[Crowd]) -> String {
    let mut text = "\n**Growth**, from the same runs; in brackets how many times the row before.\n\n| symbols |"
        .to_owned();
    for cost in &COSTS {
        write!(text, " {} |", cost.name).unwrap();
    }
    text += " plans/s that one Redis has time for |\n|--:|";
    text += &"--:|".repeat(COSTS.len() + 1);
    text.push('\n');
    let mut worse = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let before = number.checked_sub(1).map(|number| &rows[number]);
        write!(text, "| {} |", row.symbols).unwrap();
        for cost in &COSTS {
            let here = (cost.of)(row);
            write!(text, " {here:.*}", cost.decimals).unwrap();
            if let Some(before) = before {
                let there = (cost.of)(before);
                // A share that rounds to nothing has no multiple.
                if there > 0.0 {
                    write!(text, " ({:.2}×)", here / there).unwrap();
                    let more = match cost.of_a_plan {
                        true => 1.0,
                        false => row.symbols as f64 / before.symbols as f64,
                    };
                    if here / there > more * NOISE {
                        worse.push(format!(
                            "{} from {} to {}",
                            cost.name, before.symbols, row.symbols
                        ));
                    }
                }
            }
            text += " |";
        }
        writeln!(text, " {:.0} |", 1e6 / redis_a_plan(row)).unwrap();
    }
    let worse = match worse.is_empty() {
        true => "nothing".to_owned(),
        false => worse.join("; "),
    };
    writeln!(
        text,
        "\nWorse than linear (a cost of a plan: that grows at all, beyond {:.0} % of noise): {worse}.",
        (NOISE - 1.0) * 100.0
    )
    .unwrap();
    text
}
