//! What was done to the service's surroundings, as far as it changes what may be expected.

use super::scene::Switch;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the judge has to know of a case, besides what it sees itself.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    forgot: Vec<Forgot>,
    turns: Vec<Turn>,
    /// Plans whose claim and marks ran out, or were cleared by an operator.
    run_out: Vec<String>,
    /// Plans that an operator has made free to be executed.
    freed: Vec<String>,
    /// A process ended before it had come to the end of its plans.
    pub(crate) killed: bool,
    /// Redis did not answer, refused, or was asked for what it did not hear: no plan has to be in time.
    pub(crate) disturbed: bool,
    /// Redis has saved what it will come back with.
    pub(crate) saved: bool,
}

/// A loss of what Redis had acknowledged.
#[derive(Debug, Clone, Copy)]
struct Forgot {
    /// Older things stand there again.
    restored: bool,
}

/// A turn of a switch, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Turn {
    switch: Switch,
    on: bool,
    begun: u64,
    done: u64,
}

/// Milliseconds since 1970 on this machine's clock, which Redis and the venue share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

impl History {
    /// Redis lost something; `restored`: and has something older again.
    pub(crate) fn forgets(&mut self, restored: bool) {
        self.forgot.push(Forgot { restored });
    }

    /// How often Redis lost something.
    pub(crate) fn forgot(&self) -> usize {
        self.forgot.len()
    }

    /// Whether what was taken may lie there again.
    pub(crate) fn restored(&self) -> bool {
        self.forgot.iter().any(|forgot| forgot.restored)
    }

    /// A switch was turned between then and now.
    pub(crate) fn turned(&mut self, switch: Switch, on: bool, begun: u64) {
        let done = now();
        self.turns.push(Turn {
            switch,
            on,
            begun,
            done,
        });
    }

    /// The claim and the marks of this plan are gone by their age.
    pub(crate) fn ran_out(&mut self, plan: String) {
        self.run_out.push(plan);
    }

    pub(crate) fn has_run_out(&self, plan: &str) -> bool {
        self.run_out.iter().any(|other| other == plan)
    }

    /// An operator made this plan free to be executed.
    pub(crate) fn frees(&mut self, plan: String) {
        self.freed.push(plan);
    }

    pub(crate) fn is_freed(&self, plan: &str) -> bool {
        self.freed.iter().any(|other| other == plan)
    }

    /// Which switch was on at this moment, and how long it had been, in milliseconds: none where all
    /// were off, or where one was just being turned.
    pub(crate) fn halted_for(&self, at: u64) -> Option<(Switch, u64)> {
        [Switch::Key, Switch::File].into_iter().find_map(|switch| {
            let mut turns = self.turns.iter().filter(|turn| turn.switch == switch);
            let last = turns.rfind(|turn| turn.begun <= at)?;
            let on = last.on && last.done <= at;
            on.then(|| (switch, at - last.done))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_from_when_it_is_turned_until_it_is_about_to_be_turned_back() {
        let turn = |on, begun, done| Turn {
            switch: Switch::Key,
            on,
            begun,
            done,
        };
        let history = History {
            turns: vec![
                turn(true, 100, 105),
                turn(false, 200, 205),
                turn(true, 300, 302),
            ],
            ..History::default()
        };
        let halted = |at| history.halted_for(at).map(|(_, since)| since);
        for (at, expected) in [
            (99, None),
            (103, None),
            (105, Some(0)),
            (150, Some(45)),
            (199, Some(94)),
            (200, None),
            (299, None),
            (301, None),
            (310, Some(8)),
        ] {
            assert_eq!(halted(at), expected, "{at}");
        }
    }
}
