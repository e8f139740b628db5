//! What may happen, and what must hold: the model as stateright walks it.

use crate::{
    rules::{Rules, Times},
    state::{INSTANCES, Instance, Journal, Left, Names, Phase, State, Word},
};
use stateright::{Model, Property};

/// At most one order of a plan lands.
pub const P1: &str = "P1 at most one order of a plan lands";
/// No final result is false.
pub const P3: &str = "P3 every final result is true";
/// Every claimed plan gets its final result.
pub const SILENCE: &str = "P3 every claimed plan gets a final result";
/// No order's timestamp is later than the switch and its bound.
pub const P6: &str = "P6 no order is stamped after a switch and its bound";

/// How the store may forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgetting {
    /// `FLUSHALL`: everything is gone, the run id stays.
    pub flush: bool,
    /// A restart with the data of an earlier moment, or with none: a new run id.
    pub restart: bool,
    /// A replica that has the data of an earlier moment becomes master; the old master stays writable,
    /// and each instance moves at some later time.
    pub failover: bool,
    /// The claim alone is lost.
    pub claim: bool,
    /// The entry alone is lost.
    pub entry: bool,
    /// The generation alone is lost.
    pub generation: bool,
    /// Claim and final mark come to the end of their time, long after the plan's last order.
    pub expiry: bool,
}

impl Forgetting {
    /// None of it.
    pub const NONE: Self = Self {
        flush: false,
        restart: false,
        failover: false,
        claim: false,
        entry: false,
        generation: false,
        expiry: false,
    };
    /// `FLUSHALL` alone.
    pub const FLUSH: Self = Self {
        flush: true,
        ..Self::NONE
    };
    /// A restart alone.
    pub const RESTART: Self = Self {
        restart: true,
        ..Self::NONE
    };
    /// A failover alone.
    pub const FAILOVER: Self = Self {
        failover: true,
        ..Self::NONE
    };
    /// One key alone.
    pub const ONE_KEY: Self = Self {
        claim: true,
        entry: true,
        generation: true,
        ..Self::NONE
    };
    /// The end of the time of claim and mark alone.
    pub const EXPIRY: Self = Self {
        expiry: true,
        ..Self::NONE
    };
    /// Everything that may happen to one server.
    pub const ONE_SERVER: Self = Self {
        flush: true,
        restart: true,
        ..Self::NONE
    };
    /// Everything but the loss of single keys.
    pub const WHOLE: Self = Self {
        failover: true,
        ..Self::ONE_SERVER
    };
}

/// What is walked: the rules, the times, and how much may happen.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// What the instances follow.
    pub rules: Rules,
    /// What they compare ages with.
    pub times: Times,
    /// How many there are: two or three.
    pub instances: u8,
    /// How the store may forget.
    pub forgetting: Forgetting,
    /// How often it forgets.
    pub forgets: u8,
    /// How often an instance dies; it may always come back.
    pub crashes: u8,
    /// How many full sets of permits the reviewers write, each for a publication of its own.
    pub sets: u8,
    /// Answers to a claim that are lost.
    pub answers: u8,
    /// Whether somebody turns the switch in the store.
    pub switch: bool,
    /// Whether somebody turns it off again.
    pub resume: bool,
    /// Whether somebody lays the kill-switch file.
    pub file: bool,
    /// The one property to check; all where there is none.
    pub only: Option<&'static str>,
}

impl Scope {
    /// Two instances, two sets of permits, and nothing happens.
    pub const fn quiet(rules: Rules) -> Self {
        Self {
            rules,
            times: Times::BASE,
            instances: 2,
            forgetting: Forgetting::NONE,
            forgets: 0,
            crashes: 0,
            sets: 2,
            answers: 0,
            switch: false,
            resume: false,
            file: false,
            only: None,
        }
    }

    /// The store forgets so often, in any of these ways.
    #[must_use]
    pub const fn forgets(self, times: u8, forgetting: Forgetting) -> Self {
        Self {
            forgets: times,
            forgetting,
            ..self
        }
    }

    /// So many crashes.
    #[must_use]
    pub const fn crashes(self, crashes: u8) -> Self {
        Self { crashes, ..self }
    }

    /// Three instances.
    #[must_use]
    pub const fn three(self) -> Self {
        Self {
            instances: 3,
            ..self
        }
    }

    /// So many sets of permits.
    #[must_use]
    pub const fn sets(self, sets: u8) -> Self {
        Self { sets, ..self }
    }

    /// The switch in the store is turned at some moment.
    #[must_use]
    pub const fn switch(self) -> Self {
        Self {
            switch: true,
            ..self
        }
    }

    /// The switch is turned off again.
    #[must_use]
    pub const fn resume(self) -> Self {
        Self {
            resume: true,
            ..self
        }
    }

    /// The kill-switch file is laid at some moment.
    #[must_use]
    pub const fn file(self) -> Self {
        Self { file: true, ..self }
    }

    /// So many answers to a claim are lost.
    #[must_use]
    pub const fn lost_answers(self, answers: u8) -> Self {
        Self { answers, ..self }
    }

    /// With other times.
    #[must_use]
    pub const fn times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    /// With this one property.
    #[must_use]
    pub const fn only(self, property: &'static str) -> Self {
        Self {
            only: Some(property),
            ..self
        }
    }

    /// Whether servers may change at all: with one server there is nothing to confirm.
    pub(crate) const fn servers_change(&self) -> bool {
        self.forgetting.failover
    }
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A unit of time passes.
    Tick,
    /// A snapshot is saved, or a replica is up to date.
    Copy,
    /// `FLUSHALL`.
    Flush,
    /// The server restarts with its snapshot, or with nothing where there is none.
    Restart,
    /// The server restarts with nothing although there is a snapshot, which may come back later.
    RestartEmpty,
    /// The replica becomes master.
    Failover,
    /// One key is lost.
    LoseClaim,
    /// One key is lost.
    LoseEntry,
    /// One key is lost.
    LoseGeneration,
    /// Claim and final mark expire.
    Expire,
    /// The switch in the store is turned on, at the master.
    SwitchOn,
    /// It is turned off again, by a value that says so.
    SwitchOff,
    /// The kill-switch file is laid.
    LayFile,
    /// Reviewers write a full set, at this server.
    Permit(u8),
    /// An order lands at the venue.
    Land(u8),
    /// An instance does something.
    Do(u8, Deed),
}

/// What an instance does, or what happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the words are explained where they are narrated"
)]
pub enum Deed {
    Hear,
    Call,
    Claim,
    ClaimUnheard,
    Retry,
    DropProposal,
    Ask,
    Journal,
    Note,
    Take,
    HearTake,
    AskAgain,
    Confirm,
    Look,
    Stamp,
    Send,
    GiveUp,
    Adopt,
    CloseClaim,
    SeeMark,
    LeaveIt,
    PublishNo,
    PublishYes,
    ConfirmPublished,
    Move,
    Crash,
    Start,
}

impl Deed {
    /// What an instance may do in a phase, as far as the phase decides it.
    pub(crate) const fn of(phase: Phase) -> &'static [Self] {
        use Deed::{
            Adopt, Ask, AskAgain, Call, Claim, ClaimUnheard, CloseClaim, Confirm, ConfirmPublished,
            Crash, DropProposal, GiveUp, Hear, HearTake, Journal, LeaveIt, Look, Move, Note,
            PublishNo, PublishYes, Retry, SeeMark, Send, Stamp, Start, Take,
        };
        match phase {
            Phase::Down => &[Start],
            Phase::Idle => &[Crash, Move, Hear, Call, Claim, ClaimUnheard, Adopt],
            Phase::Calling => &[Crash, Move, Claim],
            Phase::Unheard => &[Crash, Move, Hear, Retry, DropProposal],
            Phase::Order => &[
                Crash, Move, Hear, Ask, Journal, Note, Take, HearTake, AskAgain, Confirm, Look,
                Stamp, GiveUp,
            ],
            Phase::Stamped => &[Crash, Move, Hear, Send],
            Phase::Close => &[Crash, Move, Hear, Ask, PublishNo],
            Phase::Owes => &[Crash, Move, Hear, Adopt, CloseClaim, SeeMark, LeaveIt],
            Phase::Publishing => &[Crash, Move, Hear, PublishNo],
            Phase::PublishingNo => &[Crash, Move, Hear, PublishNo],
            Phase::PublishingYes => &[Crash, Move, Hear, PublishYes],
            Phase::PublishedNo | Phase::PublishedYes => &[Crash, Move, Hear, ConfirmPublished],
            Phase::Absent => &[],
        }
    }
}

type Seen = fn(&Scope, &State) -> bool;

/// What must be seen to happen, so that no promise holds for want of an occasion.
pub(crate) const POSSIBLE: [(&str, Seen); 4] = [
    (
        "an order lands, and \"executed\" is published",
        |_, state| state.landed == 1 && state.published == Word::Executed,
    ),
    (
        "an order never lands, and \"not executed\" is published",
        |_, state| {
            let waits = |i: &Instance| i.phase == Phase::PublishedNo && i.journal == Journal::No;
            let settled = |i: &Instance| waits(i) || i.journal == Journal::DoneNo;
            state.published == Word::NotExecuted && state.instances.iter().any(settled)
        },
    ),
    ("one instance closes what the other began", |_, state| {
        let is_there = |phase| state.instances.iter().any(|i| i.phase == phase);
        is_there(Phase::Close) && is_there(Phase::Owes)
    }),
    (
        "an instance that lost a plan sees its result",
        |_, state| {
            let owes = |i: &Instance| i.phase == Phase::Owes;
            state.master().mark != Word::None && state.instances.iter().any(owes)
        },
    ),
];

impl Model for Scope {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let left = Left {
            forgets: self.forgets,
            keys: self.forgets.min(1),
            crashes: self.crashes,
            sets: self.sets,
            answers: self.answers,
            switch: u8::from(self.switch),
            file: u8::from(self.file),
        };
        vec![
            State::first(&self.rules, &self.times, usize::from(self.instances), left)
                .normal(&self.rules)
                .0,
        ]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        if state.left.forgets > 0 {
            let (may, keys) = (&self.forgetting, state.left.keys > 0);
            let some = [
                (may.restart || may.failover, Action::Copy),
                (may.flush, Action::Flush),
                (may.restart, Action::Restart),
                (may.restart && state.copy.is_some(), Action::RestartEmpty),
                (may.failover, Action::Failover),
                (may.claim && keys, Action::LoseClaim),
                (may.entry && keys, Action::LoseEntry),
                (may.expiry, Action::Expire),
                (may.generation && keys, Action::LoseGeneration),
            ];
            actions.extend(
                some.iter()
                    .filter(|(may, _)| *may)
                    .map(|(_, action)| *action),
            );
        }
        if state.left.switch > 0 {
            actions.push(Action::SwitchOn);
        }
        if self.resume && state.left.switch == 0 {
            actions.push(Action::SwitchOff);
        }
        if state.left.file > 0 {
            actions.push(Action::LayFile);
        }
        if state.unanswered > 0 {
            actions.push(Action::Permit(0));
            if state.master == 1 {
                actions.push(Action::Permit(1));
            }
        }
        for i in 0..INSTANCES as u8 {
            if state.flights[usize::from(i)].left > 0 {
                actions.push(Action::Land(i));
            }
            let deeds = Deed::of(state.instances[usize::from(i)].phase);
            actions.extend(deeds.iter().map(|deed| Action::Do(i, *deed)));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.step(state, action).map(|(next, _)| next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(P1, |_, state: &State| state.landed <= 1),
            Property::always(P3, |_, state: &State| !state.false_final),
            Property::always(SILENCE, |scope: &Scope, state: &State| {
                !state.claimed || state.is_truthful() || !scope.at_rest(state)
            }),
            Property::always(P6, |_, state: &State| !state.late_order),
        ];
        match self.only {
            Some(only) => all.retain(|property| property.name == only),
            None => all.extend(POSSIBLE.map(|(name, seen)| Property::sometimes(name, seen))),
        }
        all
    }
}

impl Scope {
    /// The state after an action, and which place each instance gets in it. `None` where the
    /// action cannot happen or changes nothing.
    pub(crate) fn step(&self, state: &State, action: Action) -> Option<(State, Names)> {
        let raw = match action {
            Action::Do(i, deed) => self.deed(state, usize::from(i), deed)?,
            other => self.befall(state, other)?,
        };
        let (next, names) = raw.normal(&self.rules);
        (next != *state).then_some((next, names))
    }
}

impl State {
    /// What was published last is true.
    pub(crate) fn is_truthful(&self) -> bool {
        match self.published {
            Word::None => false,
            Word::NotExecuted => self.landed == 0,
            Word::Executed => self.landed > 0,
        }
    }
}
