//! All that may happen around the gates, and what must hold whatever happens.

use crate::{
    driver::{Driver, GRACE, Input, Phase, WAIT, Why},
    store::{Answer, Kind, Mutant, Request, Step, Store},
};
use stateright::{Model, Property};

pub(crate) const ONE_GRANT: &str = "at most one grant a plan";
pub(crate) const ONE_TAKE: &str = "a plan's permits are taken at most once";
pub(crate) const OWN: &str = "no attempt learns that a rival took what it took itself";
pub(crate) const P2: &str =
    "P2 a grant implies every permit, a yes, taken together by this attempt";
pub(crate) const P5: &str = "P5 the wait ends by deadline and grace";
pub(crate) const LATE: &str = "nothing is asked or taken after the grace";
pub(crate) const P6: &str = "P6 no grant rests on an answer given after the kill switch was thrown";
pub(crate) const P9: &str = "P9 only a readable answer with every permit a yes is a grant";

/// The last tick at which a second attempt may begin.
const LAST_START: u8 = 1;
/// Past every gate's end, and one tick more.
const LAST_TICK: u8 = LAST_START + WAIT + GRACE + 1;

/// How much may happen. Time and the gates bound everything else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvModel {
    pub(crate) gates: u8,
    /// Writes of issuers, and what they write.
    pub(crate) writes: u8,
    pub(crate) kinds: &'static [Kind],
    pub(crate) expiries: u8,
    /// Takes that end in an error, executed or not, or executed later.
    pub(crate) losses: u8,
    /// Answers that arrive unreadable.
    pub(crate) garbles: u8,
    /// Times a watch loses what it had to report and says "look again" instead.
    pub(crate) blinds: u8,
    pub(crate) halts: u8,
    /// Ticks that pass though a gate should have been polled.
    pub(crate) stalls: u8,
    pub(crate) mutant: Option<Mutant>,
    /// The one promise to check; all where there is none.
    pub(crate) only: Option<&'static str>,
}

impl EnvModel {
    /// One gate, and nothing happens.
    pub(crate) const QUIET: Self = Self {
        gates: 1,
        writes: 0,
        kinds: &[Kind::Yes],
        expiries: 0,
        losses: 0,
        garbles: 0,
        blinds: 0,
        halts: 0,
        stalls: 0,
        mutant: None,
        only: None,
    };
}

#[derive(Debug, Clone, PartialEq, Hash)]
pub(crate) struct Env {
    now: u8,
    store: Store,
    attempts: Vec<Attempt>,
    left: Left,
}

/// One gate, its take on the way, and what its watch has to report.
#[derive(Debug, Clone, PartialEq, Hash, Default)]
struct Attempt {
    driver: Option<Driver>,
    flight: Option<Flight>,
    /// A take that was given up and may still be executed.
    stray: Option<Request>,
    push: Push,
    /// What the grant rests on, as it came over the wire.
    evidence: Option<Evidence>,
}

#[derive(Debug, Clone, Copy, PartialEq, Hash)]
struct Evidence {
    answer: Answer,
    /// Given with the kill switch on.
    halted: bool,
    /// An earlier answer to the same attempt was lost.
    settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Hash, Default)]
enum Push {
    #[default]
    Nothing,
    Touched(u8),
    LookAgain,
}

#[derive(Debug, Clone, Copy, PartialEq, Hash)]
struct Flight {
    request: Request,
    /// What the store has done so far, and whether the kill switch was on then.
    done: Option<(Step, bool)>,
}

/// What is left of the model's limits.
#[derive(Debug, Clone, Copy, PartialEq, Hash)]
struct Left {
    writes: u8,
    expiries: u8,
    losses: u8,
    garbles: u8,
    blinds: u8,
    halts: u8,
    stalls: u8,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Action {
    Tick,
    Start(usize),
    Write(usize, Kind),
    Expire(usize),
    Halt,
    Wake(usize),
    Push(usize),
    Blind(usize),
    Execute(usize),
    Finish(usize),
    Answer(usize),
    Garble(usize),
    Lose(usize),
    ExecuteStray(usize),
}

impl Model for EnvModel {
    type State = Env;
    type Action = Action;

    fn init_states(&self) -> Vec<Env> {
        let mut attempts = vec![Attempt::default(); usize::from(self.gates)];
        attempts[0].start(0, 0);
        vec![Env {
            now: 0,
            store: Store::default(),
            attempts,
            left: Left {
                writes: self.writes,
                expiries: self.expiries,
                losses: self.losses,
                garbles: self.garbles,
                blinds: self.blinds,
                halts: self.halts,
                stalls: self.stalls,
            },
        }]
    }

    fn actions(&self, env: &Env, actions: &mut Vec<Action>) {
        if env.is_over() {
            return;
        }
        if env.may_tick(self) {
            actions.push(Action::Tick);
        }
        if env.left.halts > 0 {
            actions.push(Action::Halt);
        }
        for slot in 0..2 {
            if env.left.writes > 0 {
                let kinds = self.kinds.iter();
                let written = kinds.filter(|kind| env.store.slots[slot] != Some(**kind));
                actions.extend(written.map(|kind| Action::Write(slot, *kind)));
            }
            if env.left.expiries > 0 && env.store.slots[slot].is_some() {
                actions.push(Action::Expire(slot));
            }
        }
        for (i, attempt) in env.attempts.iter().enumerate() {
            attempt.actions(i, env, self, actions);
        }
    }

    fn next_state(&self, env: &Env, action: Action) -> Option<Env> {
        let mut next = env.clone();
        next.act(action, self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = promises();
        if let Some(only) = self.only {
            properties.retain(|p| p.name == only);
            return properties;
        }
        properties.extend(self.possibilities());
        properties
    }
}

fn promises() -> Vec<Property<EnvModel>> {
    vec![
        Property::always(ONE_GRANT, |_, env: &Env| env.granted().count() <= 1),
        Property::always(ONE_TAKE, |_, env: &Env| env.store.taken.len() <= 1),
        Property::always(P2, |_, env: &Env| {
            let real = |i| env.store.taken.contains(&(i, true));
            env.granted().all(|i| real(u8::try_from(i).unwrap()))
        }),
        Property::always(OWN, |_, env: &Env| {
            let took = |i: usize| env.store.taken.iter().any(|(by, _)| usize::from(*by) != i);
            env.ended(Phase::Blocked(Why::TakenByOther)).all(took)
        }),
        Property::always(P5, |model, env: &Env| {
            env.drivers().all(|(_, driver)| {
                let must = driver.overdue || (model.stalls == 0 && env.now > driver.end());
                driver.answered() || !must
            })
        }),
        Property::always(LATE, |_, env: &Env| {
            let late =
                |(_, d): (usize, &Driver)| matches!(d.phase, Phase::Asking { .. }) && d.overdue;
            !env.store.took_late && !env.drivers().any(late)
        }),
        Property::always(P6, |_, env: &Env| {
            env.evidence().all(|evidence| !evidence.halted)
        }),
        Property::always(P9, |_, env: &Env| {
            let clear = Answer::Taken([Kind::Yes; 2]);
            env.evidence().all(|evidence| evidence.answer == clear)
        }),
    ]
}

impl EnvModel {
    /// What must be seen to happen, so that no promise holds for want of an occasion.
    fn possibilities(&self) -> Vec<Property<Self>> {
        let mut some = vec![
            Property::sometimes("permits that never come", |_, env: &Env| {
                env.ended(Phase::Blocked(Why::Missing)).next().is_some()
            }),
            Property::sometimes("a store that hangs", |_, env: &Env| {
                env.ended(Phase::Blocked(Why::NoAnswer)).next().is_some()
            }),
            Property::sometimes("a grant", |_, env: &Env| env.granted().next().is_some()),
        ];
        if self.gates > 1 {
            some.push(Property::sometimes("a rival beaten", |_, env: &Env| {
                let beaten = env.ended(Phase::Blocked(Why::TakenByOther)).next();
                beaten.is_some() && env.granted().next().is_some()
            }));
        }
        if self.losses > 0 {
            some.push(Property::sometimes(
                "a lost reply settled",
                |_, env: &Env| env.evidence().any(|evidence| evidence.settled),
            ));
        }
        if self.halts > 0 {
            some.push(Property::sometimes("a halt", |_, env: &Env| {
                env.ended(Phase::Blocked(Why::Halted)).next().is_some()
            }));
            some.push(Property::sometimes(
                "a grant before a halt",
                |_, env: &Env| env.store.halted && env.granted().next().is_some(),
            ));
        }
        if self.kinds.len() > 1 {
            some.push(Property::sometimes("a refusal", |_, env: &Env| {
                env.ended(Phase::Blocked(Why::Refused)).next().is_some()
            }));
        }
        if self.stalls > 0 {
            some.push(Property::sometimes("woken too late", |_, env: &Env| {
                env.ended(Phase::Blocked(Why::TooLate)).next().is_some()
            }));
        }
        some
    }
}

impl Env {
    fn drivers(&self) -> impl Iterator<Item = (usize, &Driver)> {
        let attempts = self.attempts.iter().enumerate();
        attempts.filter_map(|(i, attempt)| Some((i, attempt.driver.as_ref()?)))
    }

    fn ended(&self, phase: Phase) -> impl Iterator<Item = usize> {
        let ended = self.drivers().filter(move |(_, d)| d.phase == phase);
        ended.map(|(i, _)| i)
    }

    fn granted(&self) -> impl Iterator<Item = usize> {
        self.ended(Phase::Granted)
    }

    fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.attempts.iter().filter_map(|a| a.evidence.as_ref())
    }

    /// Every attempt is answered and nothing is on its way.
    fn is_over(&self) -> bool {
        self.attempts.iter().all(|attempt| {
            let over = attempt
                .driver
                .as_ref()
                .map_or(self.now > LAST_START, Driver::answered);
            over && attempt.stray.is_none()
        })
    }

    fn is_due(&self, model: &EnvModel) -> bool {
        let due = |(_, d): (usize, &Driver)| {
            let patient = model.mutant == Some(Mutant::NeverGivesUp);
            d.is_due(self.now) && !(patient && matches!(d.phase, Phase::Asking { .. }))
        };
        self.drivers().any(due)
    }

    /// Time passes a gate that should be polled only where its process stalls.
    fn may_tick(&self, model: &EnvModel) -> bool {
        self.now < LAST_TICK && (self.left.stalls > 0 || !self.is_due(model))
    }

    fn act(&mut self, action: Action, model: &EnvModel) {
        let mutant = model.mutant;
        match action {
            Action::Tick => {
                self.left.stalls -= u8::from(self.is_due(model));
                self.now += 1;
            }
            Action::Start(i) => self.attempts[i].start(i, self.now),
            Action::Write(slot, kind) => {
                self.left.writes -= 1;
                self.store.write(slot, kind, mutant);
                self.push(1 << slot);
            }
            Action::Expire(slot) => {
                self.left.expiries -= 1;
                self.store.slots[slot] = None;
                self.push(1 << slot);
            }
            Action::Halt => {
                self.left.halts -= 1;
                self.store.halted = true;
            }
            Action::Wake(i) => self.attempts[i].input(self.now, Input::Wake, mutant),
            Action::Push(i) => {
                let input = match std::mem::take(&mut self.attempts[i].push) {
                    Push::Nothing => Input::Wake,
                    Push::Touched(bits) => Input::Touched(bits),
                    Push::LookAgain => Input::LookAgain,
                };
                self.attempts[i].input(self.now, input, mutant);
            }
            Action::Blind(i) => {
                self.left.blinds -= 1;
                self.attempts[i].push = Push::LookAgain;
            }
            Action::Execute(i) => self.execute(i, mutant),
            Action::Finish(i) => self.finish(i, mutant),
            Action::Answer(i) => self.answer(i, None, mutant),
            Action::Garble(i) => {
                self.left.garbles -= 1;
                self.answer(i, Some(Answer::Garbled), mutant);
            }
            Action::Lose(i) => {
                self.left.losses -= 1;
                self.answer(i, Some(Answer::Lost), mutant);
            }
            Action::ExecuteStray(i) => {
                if let Some(request) = self.attempts[i].stray.take() {
                    let before = self.store.taken.len();
                    self.store.execute(request, self.now, mutant);
                    self.push_if_taken(before);
                }
            }
        }
    }

    fn execute(&mut self, i: usize, mutant: Option<Mutant>) {
        let (before, halted) = (self.store.taken.len(), self.store.halted);
        if let Some(flight) = &mut self.attempts[i].flight {
            let step = self.store.execute(flight.request, self.now, mutant);
            flight.done = Some((step, halted));
        }
        self.push_if_taken(before);
    }

    /// The second half of a take that is not atomic.
    fn finish(&mut self, i: usize, mutant: Option<Mutant>) {
        let before = self.store.taken.len();
        if let Some(flight) = &mut self.attempts[i].flight
            && let Some((Step::Checked(kinds), halted)) = flight.done
        {
            let answer = self.store.delete(flight.request, self.now, kinds, mutant);
            flight.done = Some((Step::Answered(answer), halted));
        }
        self.push_if_taken(before);
    }

    /// What the store said arrives, or `instead` of it something else.
    fn answer(&mut self, i: usize, instead: Option<Answer>, mutant: Option<Mutant>) {
        let attempt = &mut self.attempts[i];
        let Some(flight) = attempt.flight.take() else {
            return;
        };
        let (answer, halted) = match (instead, flight.done) {
            (Some(instead), done) => {
                if done.is_none() {
                    attempt.stray = Some(flight.request);
                }
                (instead, false)
            }
            (None, Some((Step::Answered(answer), halted))) => (answer, halted),
            (None, _) => return,
        };
        let read = match (answer, mutant) {
            (Answer::Garbled, Some(Mutant::ReadsGarbageAsYes)) => Answer::Taken([Kind::Yes; 2]),
            _ => answer,
        };
        let settled = attempt.driver.as_ref().is_some_and(|d| d.losses > 0);
        attempt.input(self.now, Input::Reply(read), mutant);
        if attempt.phase() == Some(Phase::Granted) {
            attempt.evidence = Some(Evidence {
                answer,
                halted,
                settled,
            });
        }
    }

    /// A store reports its own deletions too.
    fn push_if_taken(&mut self, before: usize) {
        if self.store.taken.len() > before {
            self.push(0b11);
        }
    }

    fn push(&mut self, bits: u8) {
        for attempt in &mut self.attempts {
            let listens = attempt.driver.as_ref().is_some_and(|d| !d.answered());
            attempt.push = match attempt.push {
                _ if !listens => Push::Nothing,
                Push::Nothing => Push::Touched(bits),
                Push::Touched(earlier) => Push::Touched(earlier | bits),
                Push::LookAgain => Push::LookAgain,
            };
        }
    }
}

impl Attempt {
    fn phase(&self) -> Option<Phase> {
        self.driver.as_ref().map(|driver| driver.phase)
    }

    fn start(&mut self, i: usize, now: u8) {
        self.driver = Some(Driver::start(u8::try_from(i).unwrap(), now));
        self.depart(None);
    }

    fn input(&mut self, now: u8, input: Input, mutant: Option<Mutant>) {
        let Some(driver) = &self.driver else {
            return;
        };
        self.driver = Some(driver.step(now, input));
        // A take that was given up may still be on its way.
        if let Some(Flight {
            request,
            done: None,
        }) = self.flight.take()
        {
            self.stray = Some(request);
        }
        self.depart(mutant);
        if self.driver.as_ref().is_some_and(Driver::answered) {
            self.push = Push::Nothing;
        }
    }

    /// Puts the take on its way that the gate asked for.
    fn depart(&mut self, mutant: Option<Mutant>) {
        let Some(driver) = &self.driver else {
            return;
        };
        let Phase::Asking { give_up } = driver.phase else {
            return;
        };
        let resend = match mutant {
            Some(Mutant::NewAttemptOnResend) => driver.losses,
            _ => 0,
        };
        let request = Request {
            attempt: (driver.id, resend),
            not_after: give_up,
        };
        self.flight = Some(Flight {
            request,
            done: None,
        });
    }

    fn actions(&self, i: usize, env: &Env, model: &EnvModel, actions: &mut Vec<Action>) {
        if self.stray.is_some() {
            actions.push(Action::ExecuteStray(i));
        }
        let Some(driver) = &self.driver else {
            if env.now <= LAST_START {
                actions.push(Action::Start(i));
            }
            return;
        };
        if matches!(self.push, Push::Touched(_)) && env.left.blinds > 0 {
            actions.push(Action::Blind(i));
        }
        let patient = model.mutant == Some(Mutant::NeverGivesUp);
        match driver.phase {
            Phase::Waiting { .. } => {
                if self.push != Push::Nothing {
                    actions.push(Action::Push(i));
                }
                if driver.is_due(env.now) {
                    actions.push(Action::Wake(i));
                }
            }
            Phase::Asking { .. } => {
                if driver.is_due(env.now) && !patient {
                    actions.push(Action::Wake(i));
                }
                self.flight_actions(i, env, actions);
            }
            Phase::Granted | Phase::Blocked(_) => {}
        }
    }

    fn flight_actions(&self, i: usize, env: &Env, actions: &mut Vec<Action>) {
        let Some(flight) = &self.flight else {
            return;
        };
        match flight.done {
            None => actions.push(Action::Execute(i)),
            Some((Step::Checked(_), _)) => actions.push(Action::Finish(i)),
            Some((Step::Answered(_), _)) => {
                actions.push(Action::Answer(i));
                if env.left.garbles > 0 {
                    actions.push(Action::Garble(i));
                }
            }
        }
        if env.left.losses > 0 {
            actions.push(Action::Lose(i));
        }
    }
}
