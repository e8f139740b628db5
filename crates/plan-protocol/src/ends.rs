//! Whether every state can still come to its end: the checker sees states in which nothing is left to be
//! done, this sees circles that are never left.

use crate::{
    model::{Action, Deed, Scope},
    state::{State, Who},
};
use stateright::Model;
use std::collections::{HashMap, VecDeque};

/// A state from which no result comes any more, however the instances go on; `None` where there is none.
/// Also how many states there are.
pub fn without_end(scope: Scope) -> (usize, Option<State>) {
    let mut number: HashMap<State, usize> = HashMap::new();
    let mut states = scope.init_states();
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); states.len()];
    for (i, state) in states.iter().enumerate() {
        number.insert(*state, i);
    }
    let mut actions = Vec::new();
    let mut at = 0;
    while let Some(state) = states.get(at).copied() {
        scope.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = scope.next_state(&state, action) else {
                continue;
            };
            let to = *number.entry(next).or_insert_with(|| {
                states.push(next);
                before.push(Vec::new());
                states.len() - 1
            });
            if scope.goes_on_by(&state, action) {
                before[to].push(at);
            }
        }
        at += 1;
    }
    // Backwards from the states that have their end.
    let mut ends: Vec<bool> = states.iter().map(|state| scope.has_ended(state)).collect();
    let mut queue: VecDeque<usize> = (0..ends.len()).filter(|i| ends[*i]).collect();
    while let Some(to) = queue.pop_front() {
        for from in std::mem::take(&mut before[to]) {
            if !ends[from] {
                ends[from] = true;
                queue.push_back(from);
            }
        }
    }
    let endless = ends.iter().position(|ends| !ends);
    (states.len(), endless.map(|i| states[i]))
}

impl Scope {
    fn has_ended(&self, state: &State) -> bool {
        !state.claimed || (state.is_truthful() && self.at_rest(state))
    }

    /// What happens without anybody proposing, forgetting, dying, or losing its lease.
    fn goes_on_by(&self, state: &State, action: Action) -> bool {
        match action {
            Action::Tick | Action::Land(_) => true,
            Action::Do(_, Deed::Crash | Deed::Claim | Deed::ClaimUnheard | Deed::Call) => false,
            Action::Do(i, Deed::Adopt) => {
                let entry = state.server_of(usize::from(i)).entry;
                entry == Who::Stale || entry == Who::left_by(usize::from(i))
            }
            Action::Do(..) => true,
            _ => false,
        }
    }
}
