//! Walks every state of a scope with stateright, breadth first.

use crate::{
    model::{Action, POSSIBLE, Scope},
    narrate,
    state::State,
};
use stateright::{Checker, HasDiscoveries, Model};
use std::{collections::BTreeMap, fmt, num::NonZeroUsize, time::Duration};

/// What a walk came to.
#[derive(Debug)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Steps between them.
    pub transitions: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// Whether no state is left to be looked at.
    pub complete: bool,
    /// What was never seen to happen, of all that should be possible.
    pub unseen: Vec<&'static str>,
    /// The properties that do not hold, each with the way to a state in which it does not.
    pub violations: BTreeMap<&'static str, Trace>,
}

impl Report {
    /// That all properties hold in every state, and that what should be possible was seen.
    ///
    /// # Panics
    ///
    /// Panics with the trace where one does not, and where states are left.
    pub fn assert_sound(&self) {
        if let Some((property, trace)) = self.violations.first_key_value() {
            panic!("not kept: {property}\n{trace}");
        }
        assert!(self.complete, "states are left");
        assert!(self.unseen.is_empty(), "never seen: {:?}", self.unseen);
    }
}

/// How a state was come to.
#[derive(Debug)]
pub struct Trace {
    scope: Scope,
    /// Each step with the state it leads to; the first state is the scope's only one.
    steps: Vec<(Action, State)>,
}

impl Trace {
    /// How many steps it has.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing had to happen.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.scope.init_states();
        let Some(mut state) = first.first().copied() else {
            return Ok(());
        };
        // A state stands for itself and for those with the names exchanged: the story keeps them.
        let mut names = ['A', 'B', 'C'];
        for (number, (action, _)) in self.steps.iter().enumerate() {
            let Some((next, places)) = self.scope.step(&state, *action) else {
                return writeln!(f, "   (this step cannot be narrated)");
            };
            writeln!(
                f,
                "  {:>2}. {}",
                number + 1,
                narrate::sentence(&state, *action, &next, &names, &places)
            )?;
            let before = names;
            for (i, place) in places.iter().enumerate() {
                names[*place] = before[i];
            }
            state = next;
        }
        Ok(())
    }
}

/// How a walk is done.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    /// Threads side by side; one finds the shortest traces.
    pub threads: usize,
    /// Go on until all of these are seen broken; at the first that breaks where there are none.
    pub until: &'static [&'static str],
    /// About how many steps to look at, where not all.
    pub most: Option<usize>,
    /// Reported every few seconds: states so far.
    pub progress: Option<fn(usize)>,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            threads: 1,
            until: &[],
            most: None,
            progress: None,
        }
    }
}

/// Looks at every state of the scope, or stops at the first that breaks a property.
pub fn check(scope: Scope) -> Report {
    walk(scope, Walk::default())
}

/// The shortest way to break a property; `None` where no state breaks it.
pub fn find(scope: Scope, property: &'static str) -> Option<Trace> {
    check(scope.only(property)).violations.remove(property)
}

/// [`check`], as narrated.
pub fn walk(scope: Scope, walk: Walk) -> Report {
    let until = match walk.until {
        [] => HasDiscoveries::AnyFailures,
        all => HasDiscoveries::AllOf(all.iter().copied().collect()),
    };
    let mut builder = scope.checker().threads(walk.threads).finish_when(until);
    if let Some(most) = walk.most.and_then(NonZeroUsize::new) {
        builder = builder.target_state_count(most.get());
    }
    let mut checker = builder.spawn_bfs();
    if let Some(progress) = walk.progress {
        let mut waited = 0u32;
        while !checker.is_done() {
            std::thread::sleep(Duration::from_millis(200));
            waited += 1;
            if waited.is_multiple_of(50) {
                progress(checker.unique_state_count());
            }
            if walk.most.is_some_and(|most| checker.state_count() >= most) {
                break;
            }
        }
    }
    checker = checker.join();
    let mut found = checker.discoveries();
    let mut unseen: Vec<_> = POSSIBLE.iter().map(|(name, _)| *name).collect();
    unseen.retain(|name| found.remove(name).is_none() && scope.only.is_none());
    let violations: BTreeMap<_, _> = found
        .into_iter()
        .map(|(property, path)| {
            let steps: Vec<(State, Option<Action>)> = path.into_vec();
            let after = steps.iter().skip(1).map(|(state, _)| *state);
            let steps = steps
                .iter()
                .filter_map(|(_, action)| *action)
                .zip(after)
                .collect();
            (property, Trace { scope, steps })
        })
        .collect();
    Report {
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        complete: violations.is_empty()
            && walk.most.is_none_or(|most| checker.state_count() < most),
        unseen,
        violations,
    }
}
