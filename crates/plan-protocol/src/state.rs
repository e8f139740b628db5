//! One state of the world, as small as it can be: times are ages that stop counting where no rule
//! looks further, and attempts that are over are distinguished only where that matters.

use crate::rules::{Rules, Times};
use std::hash::{Hash, Hasher};

/// Whose attempt a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub(crate) enum Who {
    #[default]
    Nobody,
    /// The attempt that A works on.
    A,
    /// The attempt that B works on.
    B,
    /// The attempt that C works on.
    C,
    /// One that is over and that anybody adopts.
    Stale,
    /// One that A gave up without a word, while A lives and renews its lease.
    LeftByA,
    /// The same of B.
    LeftByB,
    /// The same of C.
    LeftByC,
}

impl Who {
    const LIVE: [Self; INSTANCES] = [Self::A, Self::B, Self::C];
    const LEFT: [Self; INSTANCES] = [Self::LeftByA, Self::LeftByB, Self::LeftByC];

    pub(crate) fn live(i: usize) -> Self {
        Self::LIVE[i]
    }

    pub(crate) fn left_by(i: usize) -> Self {
        Self::LEFT[i]
    }

    /// Whether it is an attempt that somebody else works on.
    pub(crate) fn is_live_of_another(self, i: usize) -> bool {
        Self::LIVE.contains(&self) && self != Self::live(i)
    }

    fn renamed(self, to: &Names) -> Self {
        let in_order = |of: [Self; INSTANCES]| of.iter().position(|who| *who == self);
        match (in_order(Self::LIVE), in_order(Self::LEFT)) {
            (Some(i), _) => Self::live(to[i]),
            (_, Some(i)) => Self::left_by(to[i]),
            _ => self,
        }
    }
}

/// How many instances there may be.
pub(crate) const INSTANCES: usize = 3;

/// Which place each instance gets.
pub(crate) type Names = [usize; INSTANCES];

/// A result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(crate) enum Word {
    #[default]
    None,
    NotExecuted,
    Executed,
}

/// The kill switch in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(crate) enum Switch {
    #[default]
    Missing,
    On,
    /// A value that says "off".
    Off,
}

/// What one server holds about the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Server {
    /// The generation's id; 0 is none.
    pub(crate) generation: u8,
    /// Whether it was written under the run id that the server has now.
    pub(crate) this_run: bool,
    /// Whether it was there before the plan was computed; only where a rule looks at it.
    pub(crate) older: bool,
    pub(crate) claim: Who,
    pub(crate) entry: Who,
    pub(crate) noted: bool,
    /// Age of the window that the entry names; only where a rule looks at it.
    pub(crate) window: u8,
    /// A full set of permits.
    pub(crate) permits: bool,
    pub(crate) receipt: Who,
    pub(crate) mark: Word,
    pub(crate) switch: Switch,
}

impl Server {
    const BYTES: usize = 11;

    fn bytes(&self) -> [u8; Self::BYTES] {
        [
            self.generation,
            u8::from(self.this_run),
            u8::from(self.older),
            self.claim as u8,
            self.entry as u8,
            u8::from(self.noted),
            self.window,
            u8::from(self.permits),
            self.receipt as u8,
            self.mark as u8,
            self.switch as u8,
        ]
    }

    fn each_who(&mut self, mut f: impl FnMut(Who) -> Who) {
        self.claim = f(self.claim);
        self.entry = f(self.entry);
        self.receipt = f(self.receipt);
    }
}

/// Where an instance stands with the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Not running.
    Down,
    /// Nothing to do for the plan; may claim or adopt it.
    Idle,
    /// A claim is on its way (only where the age of the request matters).
    Calling,
    /// A claim was carried out and its answer lost.
    Unheard,
    /// Holds the plan in order to execute it: see `Step`.
    Order,
    /// The order has its timestamp and has not left.
    Stamped,
    /// Holds the plan in order to close it: will not order (again).
    Close,
    /// Claimed the plan once, lost it, and owes a result.
    Owes,
    /// Has looked that it holds the plan, and is about to publish "not executed" in another slot.
    Publishing,
    /// Publishes "not executed" without holding the plan.
    PublishingNo,
    /// Publishes "executed".
    PublishingYes,
    /// Has published "not executed" and waits for the confirmation.
    PublishedNo,
    /// Has published "executed" and waits for the confirmation.
    PublishedYes,
    /// There is no such instance.
    Absent,
}

/// How far an attempt that will order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Step {
    Claimed,
    Asked,
    Journaled,
    Noted,
    /// The take is carried out and its answer on its way (only where its age counts from the answer).
    Taking,
    Taken,
    /// All looks done before the stamp (only where the stamp comes last).
    Looked,
}

/// What the journal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Journal {
    Nothing,
    /// Claimed.
    Claim,
    /// The order may have left.
    Intent,
    /// Executed, not known to be published.
    Yes,
    /// Not executed, not known to be published.
    No,
    /// The plan is known, and nothing is owed.
    Done,
    /// The same, and "executed" was published from here; only where a rule looks at it.
    DoneYes,
    /// The same of "not executed".
    DoneNo,
}

impl Journal {
    /// Whether the plan is known, and nothing is owed.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::DoneYes | Self::DoneNo)
    }
}

/// Not heard from the store since its start.
pub(crate) const NOT_HEARD: u8 = u8::MAX;

/// One instance and its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) phase: Phase,
    pub(crate) step: Step,
    pub(crate) journal: Journal,
    /// The server it talks to.
    pub(crate) server: u8,
    /// The generation it knows; 0 is none.
    pub(crate) known: u8,
    /// Units until it is clean, where that counts for each process.
    pub(crate) unclean: u8,
    /// Its server has another run id since it last looked.
    pub(crate) restarted: bool,
    /// How much too old it takes the generation to be.
    pub(crate) slack: u8,
    /// A question that counts said no.
    pub(crate) asked: bool,
    /// Units until a question counts.
    pub(crate) wait: u8,
    /// Since the last yes was sent for (or heard, see the rules).
    pub(crate) yes: u8,
    /// Since the master was last confirmed.
    pub(crate) confirmed: u8,
    /// Since the claim, or since the request for it was sent.
    pub(crate) since: u8,
    /// Its plan is younger than the generation it was claimed in; only where a rule looks at it.
    pub(crate) sure: bool,
    /// It has read that the switch is on and not since that it is off.
    pub(crate) seen_on: bool,
    /// Its stamp came too late after the switch.
    pub(crate) late: bool,
}

impl Instance {
    const BYTES: usize = 16;

    pub(crate) fn new(rules: &Rules, times: &Times) -> Self {
        Self {
            phase: Phase::Idle,
            step: Step::Claimed,
            journal: Journal::Nothing,
            server: 0,
            // Who has to count from its own first answer has heard nothing yet.
            known: u8::from(!rules.per_process),
            unclean: Self::unclean_at_start(rules, times),
            restarted: false,
            slack: 0,
            asked: false,
            wait: 0,
            yes: 0,
            confirmed: 0,
            since: 0,
            sure: false,
            seen_on: false,
            late: false,
        }
    }

    pub(crate) fn unclean_at_start(rules: &Rules, times: &Times) -> u8 {
        match (rules.per_process, rules.own_start, rules.first_answer) {
            (true, true, true) => NOT_HEARD,
            (true, true, false) => times.w,
            _ => 0,
        }
    }

    /// All of it but the number of the generation, which depends on the instances' order.
    fn nameless(&self) -> [u8; Self::BYTES] {
        Self { known: 0, ..*self }.bytes()
    }

    fn bytes(&self) -> [u8; Self::BYTES] {
        [
            self.phase as u8,
            self.step as u8,
            self.journal as u8,
            self.server,
            self.known,
            self.unclean,
            u8::from(self.restarted),
            self.slack,
            u8::from(self.asked),
            self.wait,
            self.yes,
            self.confirmed,
            self.since,
            u8::from(self.sure),
            u8::from(self.seen_on),
            u8::from(self.late),
        ]
    }

    /// What no rule looks at in this phase is made equal.
    fn forget_the_irrelevant(&mut self, rules: &Rules) {
        let holds = matches!(self.phase, Phase::Unheard | Phase::Order | Phase::Close);
        if !rules.per_process && !holds {
            self.restarted = false;
        }
        if self.phase != Phase::Order {
            self.step = Step::Claimed;
            self.yes = 0;
            self.confirmed = 0;
        }
        if !matches!(
            self.phase,
            Phase::Order | Phase::Calling | Phase::Publishing
        ) {
            self.since = 0;
        }
        if !matches!(self.phase, Phase::Order | Phase::Close) {
            self.asked = false;
        }
        let waits = matches!(
            self.phase,
            Phase::Stamped | Phase::Close | Phase::Owes | Phase::PublishedNo | Phase::PublishedYes
        );
        if !waits {
            self.wait = 0;
        }
        if !matches!(self.phase, Phase::Order | Phase::Unheard) {
            self.sure = false;
        }
        if self.phase != Phase::Stamped {
            self.late = false;
        }
        if self.step < Step::Taken {
            self.yes = 0;
        }
    }
}

/// An order on its way to the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Flight {
    /// 0: none; else one more than the units in which it may still land.
    pub(crate) left: u8,
    /// Its landing makes a final false.
    pub(crate) belied: bool,
}

/// How much may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) forgets: u8,
    /// Of the forgettings: how many may be of a single key.
    pub(crate) keys: u8,
    pub(crate) crashes: u8,
    pub(crate) sets: u8,
    pub(crate) answers: u8,
    pub(crate) switch: u8,
    pub(crate) file: u8,
}

/// Generations that something still names, at most, and one more: two servers, a snapshot, the instances.
pub(crate) const GENERATIONS: usize = 4 + INSTANCES;

/// The world: servers, instances, venue, and what has been published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub(crate) servers: [Server; 2],
    /// The server that is master, 1 only after a failover that an instance has not followed yet.
    pub(crate) master: u8,
    /// What a restart brings back, or what a replica has.
    pub(crate) copy: Option<Server>,
    /// Whether that copy was used: only then is another one made.
    pub(crate) used: bool,
    pub(crate) instances: [Instance; INSTANCES],
    /// Ages of the generations 1, 2 ...
    pub(crate) ages: [u8; GENERATIONS],
    pub(crate) flights: [Flight; INSTANCES],
    pub(crate) landed: u8,
    /// Publications for review that have no set of permits yet.
    pub(crate) unanswered: u8,
    /// The last final result on the master's stream.
    pub(crate) published: Word,
    /// "Not executed" was published, and the store has not forgotten it.
    pub(crate) no_stands: bool,
    /// Somebody claimed the plan.
    pub(crate) claimed: bool,
    /// Since the switch was turned on.
    pub(crate) on_for: u8,
    /// Units for which the old master is still named.
    pub(crate) misnamed: u8,
    /// The kill-switch file is there.
    pub(crate) file: bool,
    pub(crate) left: Left,
    /// A final was false.
    pub(crate) false_final: bool,
    /// An order left too late after a switch.
    pub(crate) late_order: bool,
}

const BYTES: usize =
    3 * Server::BYTES + INSTANCES * Instance::BYTES + GENERATIONS + 20 + 2 * INSTANCES;

impl State {
    pub(crate) fn first(rules: &Rules, times: &Times, instances: usize, left: Left) -> Self {
        let mut instances_of = [Instance::new(rules, times); INSTANCES];
        for absent in instances_of.iter_mut().skip(instances) {
            absent.phase = Phase::Absent;
            absent.known = 0;
            absent.unclean = 0;
        }
        let instances = instances_of;
        let mut ages = [0; GENERATIONS];
        ages[0] = times.w;
        Self {
            servers: [
                Server {
                    generation: 1,
                    this_run: true,
                    older: !rules.ask_before_order || !rules.ask_before_early_no,
                    ..Server::default()
                },
                Server::default(),
            ],
            master: 0,
            copy: None,
            used: false,
            instances,
            ages,
            flights: [Flight::default(); INSTANCES],
            landed: 0,
            unanswered: 0,
            published: Word::None,
            no_stands: false,
            claimed: false,
            on_for: 0,
            misnamed: 0,
            file: false,
            left,
            false_final: false,
            late_order: false,
        }
    }

    pub(crate) fn server_of(&self, i: usize) -> &Server {
        &self.servers[usize::from(self.instances[i].server)]
    }

    pub(crate) fn server_of_mut(&mut self, i: usize) -> &mut Server {
        &mut self.servers[usize::from(self.instances[i].server)]
    }

    pub(crate) fn on_master(&self, i: usize) -> bool {
        self.instances[i].server == self.master
    }

    /// The attempt of this instance is over.
    pub(crate) fn retire(&mut self, i: usize, becomes: Who) {
        let me = Who::live(i);
        self.each_store(|store| store.each_who(|who| if who == me { becomes } else { who }));
    }

    /// What this process left behind is what a former process left behind.
    pub(crate) fn orphan(&mut self, i: usize) {
        let (me, left) = (Who::live(i), Who::left_by(i));
        self.each_store(|store| {
            store.each_who(|who| {
                if who == me || who == left {
                    Who::Stale
                } else {
                    who
                }
            });
        });
    }

    fn each_store(&mut self, mut f: impl FnMut(&mut Server)) {
        self.servers.iter_mut().for_each(&mut f);
        if let Some(copy) = &mut self.copy {
            f(copy);
        }
    }

    /// A new generation, with an id that nothing names.
    pub(crate) fn new_generation(&mut self) -> u8 {
        let mut named = [false; GENERATIONS + 1];
        self.each_name(|id| {
            named[usize::from(*id)] = true;
        });
        let free = (1..=GENERATIONS)
            .find(|id| !named[*id])
            .unwrap_or(GENERATIONS);
        self.ages[free - 1] = 0;
        u8::try_from(free).unwrap_or(u8::MAX)
    }

    fn each_name(&mut self, mut f: impl FnMut(&mut u8)) {
        for server in &mut self.servers {
            f(&mut server.generation);
        }
        if let Some(copy) = &mut self.copy {
            f(&mut copy.generation);
        }
        for instance in &mut self.instances {
            f(&mut instance.known);
        }
    }

    /// The one state that stands for all that differ from it in nothing that matters.
    /// Also which place each instance got in it.
    pub(crate) fn normal(mut self, rules: &Rules) -> (Self, Names) {
        for instance in &mut self.instances {
            instance.forget_the_irrelevant(rules);
        }
        // No instance talks to the old master any more: it is gone.
        let moved = |i: &Instance| i.server == 1 || i.phase == Phase::Absent;
        if self.master == 1 && self.instances.iter().all(moved) {
            self.servers = [self.servers[1], Server::default()];
            self.master = 0;
            self.misnamed = 0;
            for instance in &mut self.instances {
                instance.server = 0;
            }
        }
        // A copy that nothing can bring back.
        if self.left.forgets == 0 {
            self.copy = None;
            self.used = false;
        }
        if !rules.take_sees_claim {
            self.each_store(|store| {
                if store.claim != Who::Nobody {
                    store.claim = Who::Stale;
                }
            });
        }
        self.each_store(|store| {
            if store.entry == Who::Nobody {
                store.noted = false;
                store.window = 0;
            }
        });
        self.flights.sort_unstable();
        // The names are distinguished by what the instances do, and by all else only where that is equal.
        let keys = self.instances.map(|instance| instance.nameless());
        let mut order: Names = std::array::from_fn(|i| i);
        order.sort_by_key(|i| keys[*i]);
        let equal = |i: usize, j: usize| keys[order[i]] == keys[order[j]];
        let ways: &[Names] = match (equal(0, 1), equal(1, 2)) {
            (false, false) => &[[0, 1, 2]],
            (true, false) => &[[0, 1, 2], [1, 0, 2]],
            (false, true) => &[[0, 1, 2], [0, 2, 1]],
            (true, true) => &[
                [0, 1, 2],
                [0, 2, 1],
                [1, 0, 2],
                [1, 2, 0],
                [2, 0, 1],
                [2, 1, 0],
            ],
        };
        let named = |way: &Names| {
            let mut to = [0; INSTANCES];
            for (place, nth) in way.iter().enumerate() {
                to[order[*nth]] = place;
            }
            (self.renamed(&to), to)
        };
        match ways {
            [only] => named(only),
            several => {
                let all = several.iter().map(named);
                let least = all.min_by_key(|(state, _)| state.bytes());
                least.unwrap_or((self, std::array::from_fn(|i| i)))
            }
        }
    }

    /// With the instances in other places.
    fn renamed(mut self, to: &Names) -> Self {
        if *to != [0, 1, 2] {
            let instances = self.instances;
            for (i, instance) in instances.into_iter().enumerate() {
                self.instances[to[i]] = instance;
            }
            self.each_store(|store| store.each_who(|who| who.renamed(to)));
        }
        self.renumber();
        self
    }

    /// Generations are numbered in the order in which they are named.
    fn renumber(&mut self) {
        let mut to = [0u8; GENERATIONS + 1];
        let mut ages = [0u8; GENERATIONS];
        let mut next = 0u8;
        let old = self.ages;
        self.each_name(|id| {
            let from = usize::from(*id);
            if from != 0 {
                if to[from] == 0 {
                    ages[usize::from(next)] = old[from - 1];
                    next += 1;
                    to[from] = next;
                }
                *id = to[from];
            }
        });
        self.ages = ages;
    }

    fn bytes(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        let mut at = 0;
        let copy = self.copy.unwrap_or_default();
        for server in [&self.servers[0], &self.servers[1], &copy] {
            out[at..at + Server::BYTES].copy_from_slice(&server.bytes());
            at += Server::BYTES;
        }
        for instance in &self.instances {
            out[at..at + Instance::BYTES].copy_from_slice(&instance.bytes());
            at += Instance::BYTES;
        }
        out[at..at + GENERATIONS].copy_from_slice(&self.ages);
        at += GENERATIONS;
        for flight in &self.flights {
            out[at] = flight.left;
            out[at + 1] = u8::from(flight.belied);
            at += 2;
        }
        let rest = [
            self.master,
            u8::from(self.copy.is_some()),
            u8::from(self.used),
            self.landed,
            self.unanswered,
            self.published as u8,
            u8::from(self.no_stands),
            u8::from(self.claimed),
            self.on_for,
            self.misnamed,
            u8::from(self.file),
            self.left.forgets,
            self.left.keys,
            self.left.crashes,
            self.left.sets,
            self.left.answers,
            self.left.switch,
            self.left.file,
            u8::from(self.false_final),
            u8::from(self.late_order),
        ];
        out[at..].copy_from_slice(&rest);
        out
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.bytes());
    }
}
