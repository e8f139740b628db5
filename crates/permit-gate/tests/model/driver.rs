//! One attempt: the real gate and the loop around it, as a value that can be compared and hashed.
//!
//! A gate cannot be cloned, and must not be. So an attempt is the list of what happened to it, and
//! every new step feeds that list to a new gate. Two attempts are the same state where their gates
//! print the same: `Debug` shows every field. A step that was made before from the same state is
//! looked up instead.

use crate::{
    common::{attempt, subject},
    store::Answer,
};
use permit_gate::{
    Block, BlockReason, Gate, Next, PermitMask, PermitSet, Signal, WaitPolicy, trading,
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

/// One tick is the shortest pause a gate makes.
const TICK: Duration = Duration::from_millis(1);
pub(crate) const WAIT: u8 = 2;
pub(crate) const GRACE: u8 = 2;

/// What happens to a gate. Each is followed by one poll, as in the driving loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    /// Nothing but time.
    Wake,
    /// The store's answer.
    Reply(Answer),
    /// These permits were touched, by bit.
    Touched(u8),
    /// The watch was blind.
    LookAgain,
}

/// What the loop around the gate is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// A take is out; given up at this tick.
    Asking {
        give_up: u8,
    },
    /// Waiting for a push or this tick.
    Waiting {
        until: u8,
    },
    Granted,
    Blocked(Why),
}

/// The reasons the promises speak about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    TakenByOther,
    Halted,
    Refused,
    Missing,
    TooLate,
    NoAnswer,
}

type Key = (u8, u8, u64, Phase, bool, u8);
type Steps = HashMap<(Key, u8, Input), Driver>;

#[derive(Debug, Clone)]
pub(crate) struct Driver {
    pub(crate) id: u8,
    started: u8,
    history: Arc<[(u8, Input)]>,
    /// The gate as it prints.
    gate: u64,
    pub(crate) phase: Phase,
    /// The last poll was after the end of the wait.
    pub(crate) overdue: bool,
    /// How many answers were lost so far.
    pub(crate) losses: u8,
}

impl PartialEq for Driver {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Hash for Driver {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Driver {
    pub(crate) fn start(id: u8, now: u8) -> Self {
        Self::after(id, now, Arc::new([(now, Input::Wake)]))
    }

    pub(crate) fn step(&self, now: u8, input: Input) -> Self {
        static MADE: OnceLock<Mutex<Steps>> = OnceLock::new();
        let made = || MADE.get_or_init(Mutex::default).lock().unwrap();
        let step = (self.key(), now, input);
        if let Some(next) = made().get(&step) {
            return next.clone();
        }
        let history = self.history.iter().copied().chain([(now, input)]).collect();
        let next = Self::after(self.id, self.started, history);
        made().insert(step, next.clone());
        next
    }

    pub(crate) fn answered(&self) -> bool {
        matches!(self.phase, Phase::Granted | Phase::Blocked(_))
    }

    /// The last tick at which an answer counts.
    pub(crate) fn end(&self) -> u8 {
        self.started + WAIT + GRACE
    }

    /// Whether the loop has to poll now.
    pub(crate) fn is_due(&self, now: u8) -> bool {
        match self.phase {
            Phase::Asking { give_up: at } | Phase::Waiting { until: at } => now >= at,
            Phase::Granted | Phase::Blocked(_) => false,
        }
    }

    /// Everything that decides what happens next, and nothing of how it came about.
    fn key(&self) -> Key {
        (
            self.id,
            self.started,
            self.gate,
            self.phase,
            self.overdue,
            self.losses,
        )
    }

    fn after(id: u8, started: u8, history: Arc<[(u8, Input)]>) -> Self {
        let name = attempt(["a", "b"][usize::from(id)]);
        let mut gate = Gate::new(permits(), subject(), name, policy(), at(started));
        let mut last = None;
        for (now, input) in history.iter() {
            match *input {
                Input::Wake => {}
                Input::Reply(answer) => gate.handle_reply(at(*now), answer.as_reply()),
                Input::Touched(bits) => {
                    gate.handle_signal(at(*now), Signal::Touched(mask(bits)));
                }
                Input::LookAgain => gate.handle_signal(at(*now), Signal::LookAgain),
            }
            last = Some((*now, gate.poll(at(*now))));
            while gate.poll_event().is_some() {}
        }
        let (polled, next) = last.expect("an attempt begins with a poll");
        let phase = match next {
            Next::Take(take) => Phase::Asking {
                give_up: tick(take.not_after),
            },
            Next::Wait(until) => Phase::Waiting { until: tick(until) },
            Next::Done(Ok(_)) => Phase::Granted,
            Next::Done(Err(block)) => Phase::Blocked(why(&block)),
        };
        Self {
            id,
            started,
            gate: print_of(&gate),
            phase,
            overdue: polled > started + WAIT + GRACE,
            losses: losses_in(&history),
            history,
        }
    }
}

fn policy() -> WaitPolicy {
    WaitPolicy {
        wait: TICK * u32::from(WAIT),
        step: TICK,
        grace: TICK * u32::from(GRACE),
    }
}

fn permits() -> PermitSet {
    static PERMITS: OnceLock<PermitSet> = OnceLock::new();
    PERMITS.get_or_init(trading::permits).clone()
}

/// Any instant will do as the first, if it is the same for all.
fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

fn at(tick: u8) -> Instant {
    base() + TICK * u32::from(tick)
}

/// The tick at or after this instant: a loop wakes late rather than early.
fn tick(at: Instant) -> u8 {
    let millis = (at - base()).as_nanos().div_ceil(TICK.as_nanos());
    u8::try_from(millis).unwrap()
}

fn mask(bits: u8) -> PermitMask {
    let touched = (0..2).filter(|i| bits & (1 << i) != 0);
    touched.fold(PermitMask::NONE, |mask, i| mask.union(PermitMask::only(i)))
}

/// When a push came decides nothing; it is kept for the log line alone, and left out here.
fn print_of(gate: &Gate) -> u64 {
    let mut hasher = DefaultHasher::new();
    let print = format!("{gate:?}");
    let (before, rest) = print.split_once("pushed_at: [").expect("a field");
    let (_, after) = rest.split_once(']').expect("its end");
    (before, after).hash(&mut hasher);
    hasher.finish()
}

fn losses_in(history: &[(u8, Input)]) -> u8 {
    let lost = |(_, input): &&(u8, Input)| *input == Input::Reply(Answer::Lost);
    u8::try_from(history.iter().filter(lost).count()).unwrap()
}

fn why(block: &Block) -> Why {
    match block.reason() {
        BlockReason::TakenByOther => Why::TakenByOther,
        BlockReason::Halted => Why::Halted,
        BlockReason::Refused { .. } => Why::Refused,
        BlockReason::Missing { .. } => Why::Missing,
        BlockReason::Late => Why::TooLate,
        BlockReason::StoreUnavailable(_) | BlockReason::Unanswered => Why::NoAnswer,
        BlockReason::NotHeld => unreachable!("the model's store knows no holders"),
        BlockReason::Fenced => unreachable!("the model's store knows no fence"),
        BlockReason::AlreadyAnswered => unreachable!("an answered gate is not polled"),
    }
}
