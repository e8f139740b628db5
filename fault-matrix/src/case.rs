//! One case: a row of the table with its parameters, plans, and what their reviewers say, all out of two numbers.

use super::{
    rng::Rng,
    scene::Scene,
    script::PlanScript,
    table::{self, Expect, Row},
};
use std::fmt;

/// Everything one run of the matrix has to know.
#[derive(Clone)]
pub struct Case {
    /// The seed of the run.
    pub seed: u64,
    /// Its number in the run.
    pub number: u64,
    name: &'static str,
    expects: Expect,
    pub(crate) scene: Scene,
    pub(crate) plans: Vec<PlanScript>,
}

impl Case {
    /// How many rows the matrix has. As many cases in a row play each of them once.
    pub const ROWS: u64 = table::COUNT as u64;

    /// The case of this seed and number: always the same one.
    pub fn draw(seed: u64, number: u64) -> Self {
        let Row {
            name,
            expects,
            scene,
            ..
        } = table::row_of(number);
        let mut rng = Rng::of(seed, number);
        let mut scene = scene(&mut rng);
        let plans = scene.draw_plans(&mut rng, number);
        Self {
            seed,
            number,
            name,
            expects: *expects,
            scene,
            plans,
        }
    }

    /// A case that is in no table.
    pub(crate) fn apart(seed: u64, name: &'static str, scene: Scene) -> Self {
        Self {
            seed,
            number: 0,
            name,
            expects: Expect::Truth,
            scene,
            plans: Vec::new(),
        }
    }

    /// The line that plays this case again.
    pub fn replay(&self) -> String {
        format!("scripts/faults --seed {} --case {}", self.seed, self.number)
    }

    /// Which row of the table it belongs to.
    pub fn label(&self) -> String {
        self.name.to_owned()
    }

    /// Whether this plan has to be executed: both say yes in time, and the fault is one that costs
    /// no order.
    pub(crate) fn has_to_execute(&self, plan: &PlanScript) -> bool {
        self.expects == Expect::Order && !self.scene.may_cost_an_order && self.scene.has_time(plan)
    }

    /// Whether nothing at all may leave.
    pub(crate) fn must_not_execute(&self) -> bool {
        self.expects == Expect::NoOrder
    }
}

/// What a case is, for the reader who has to find out why it failed.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scene {
            machines,
            redis,
            reviews,
            wait,
            steps,
            ..
        } = &self.scene;
        write!(
            f,
            "case {} of seed {}: {machines} machines, Redis keeps {redis:?}, reviewed {reviews:?}, wait {wait:?}",
            self.number, self.seed
        )?;
        for step in steps {
            write!(f, "\n    {step:?}")?;
        }
        for plan in self.plans.iter().take(3) {
            write!(f, "\n    plan {}: {plan:?}", plan.id())?;
        }
        match self.plans.len() {
            0..=3 => Ok(()),
            more => write!(f, "\n    and {} more plans", more - 3),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::table::POINTS;
    use std::collections::BTreeSet;

    #[test]
    fn every_named_step_is_in_the_matrix() {
        let source = include_str!("../../crates/apply-core/src/fault.rs");
        let list = source.split_once("POINTS: [&str; ").unwrap().1;
        let list = list.split_once("];").unwrap().0;
        let named: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        assert_eq!(named, POINTS);
    }

    #[test]
    fn a_case_is_always_the_same_and_every_step_has_its_row() {
        let text = |number| format!("{}", Case::draw(7, number));
        assert_eq!(text(12), text(12));
        let labels: BTreeSet<String> = (0..Case::ROWS).map(|n| Case::draw(1, n).label()).collect();
        for point in POINTS {
            assert!(labels.contains(&format!("killed {point}")), "{point}");
        }
    }
}
