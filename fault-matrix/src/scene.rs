//! What a row of the table is made of: a setting and steps. Both are data, so that a case can be printed.

use super::{
    environment::Environment,
    rng::Rng,
    script::{BURST, Word},
    wire::{Loss, Script},
};
use exchange_sim::Fault;
use std::{fmt, pin::Pin, time::Duration};

/// One drawn instance of a row: in which setting, and step by step what happens. After the last step
/// everything has to settle, and every process has to end well.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    /// How many machines there are.
    pub(crate) machines: usize,
    pub(crate) plans: Plans,
    /// What Redis keeps when it dies.
    pub(crate) redis: Kept,
    /// Who reviews what.
    pub(crate) reviews: Reviews,
    /// How long the service waits for permits.
    pub(crate) wait: Duration,
    /// Permits are written only when a step lets the reviewers go.
    pub(crate) held: bool,
    /// A reviewer may also say no, nonsense or nothing, or be late.
    pub(crate) doubt: bool,
    /// A reviewer's yes comes when the wait is over, and the gate's grace as well.
    pub(crate) late: bool,
    /// The service reaches Redis by a wire that can lose answers.
    pub(crate) wired: bool,
    /// The service comes to Redis as a user of its own, whose rights can be withdrawn.
    pub(crate) as_user: bool,
    /// Redis is a master and its replica, each machine has sentinels of its own to ask.
    pub(crate) behind_sentinels: bool,
    /// Plans move stops instead of closing.
    pub(crate) moves_stops: bool,
    /// A heat gate makes less of what the brain proposes.
    pub(crate) calibrated: bool,
    /// The drawn parameters may cost an order, whatever the row expects of others.
    pub(crate) may_cost_an_order: bool,
    pub(crate) steps: Vec<Step>,
}

/// How many plans, each of a symbol of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plans {
    /// So many at least, and so many at most.
    Between(u64, u64),
    /// More at once than the service has lanes to the venue.
    Burst,
}

/// What the server has after it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// What was saved by hand.
    Snapshots,
    /// An append-only file, synced as this says.
    Log(&'static str),
}

/// Which publications of a plan reviewers answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reviews {
    /// Each of them: a plan that is published twice gets two sets of permits.
    Each,
    /// The first one alone.
    FirstOnly,
    /// All but the first one.
    LaterOnly,
    /// None: permits lie there before anybody asks for them.
    None,
}

/// One of the kill switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// The key in Redis.
    Key,
    /// The file beside the journal, on each machine.
    File,
}

/// What the journal's disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Works,
    /// Writes fail for want of room.
    Full,
    /// One sync fails, everything after it works.
    FailsOnce,
    /// A sync does not return.
    Hangs,
}

/// Something that a step does and that no other step is like.
pub(crate) type Act =
    for<'w> fn(&'w mut Environment) -> Pin<Box<dyn Future<Output = ()> + Send + 'w>>;

/// What happens next.
#[derive(Clone)]
pub(crate) enum Step {
    /// All machines are started and ready.
    Ready,
    /// One machine is started with more in its environment, and ready where it comes to that.
    Start(usize, Vec<(&'static str, String)>),
    /// One machine is started; the scene does not wait for it.
    Launch(usize),
    /// Whatever runs there is killed; the machine starts anew, without any fault, and has to be ready.
    Restart(usize),
    /// The brain writes its proposals; the number distinguishes a repetition from the one before.
    Propose(u32),
    /// The brain proposes something else of every symbol.
    ProposeNext,
    /// The brain has changed its mind: HOLD.
    ProposeHold,
    /// Every plan that was proposed is claimed.
    Claimed,
    /// So many orders have arrived, or every plan has its result without them.
    Arrived(u64),
    /// Every plan that was proposed has a result.
    Concluded,
    /// Nothing is left to do.
    Settled,
    /// Reviewers whose moment has not come by itself write now.
    Release,
    /// All permits lie in Redis.
    PermitsThere,
    Sleep(Duration),
    /// Redis saves what it has.
    Save,
    /// Redis is killed and comes back after a while with what it kept; nothing that was read is lost unseen.
    KillRedis(Duration),
    /// FLUSHALL.
    Flush,
    /// Redis is stopped for so long.
    StopRedis(Duration),
    /// Any command to Redis.
    Command(Vec<String>),
    /// A key is of another type from now on; `{plan}` and `{symbol}` stand for those of the first plan.
    WrongType(&'static str),
    /// A key is deleted; `{plan}` stands for that of the first plan.
    LoseKey(&'static str),
    /// All keys are as they were before.
    TypesFixed,
    /// Answers, or requests, of a script are lost from now on.
    Lose(Script, Loss, u32),
    /// The venue is made to fail.
    Venue(Vec<Fault>),
    /// The venue's clock runs so many milliseconds ahead.
    VenueClock(i64),
    /// The wall clock of all machines is stepped by so many seconds against the true one.
    WallClock(i64),
    /// The journal's disk of all machines.
    Disk(Disk),
    /// The replica is promoted while the master stays writable. The second machine is led to the new one at
    /// once; the first one keeps the old one, and its sentinels fall silent, all but one, after so long.
    Split(Duration),
    /// The first machine is led to the new master, and the old one becomes its replica.
    Heal,
    /// A signal by its name.
    Signal(usize, &'static str),
    /// SIGKILL, where the process still runs.
    Kill(usize),
    /// The process dies at its named step, or everything has its result without that.
    Dies(usize, &'static str),
    /// Where it died it is started again, to die at this step of its recovery.
    DiesAgain(usize, &'static str),
    /// A switch is turned.
    Turn(Switch, bool),
    /// What the store remembers of plans with a result has run out, as after six hours.
    Expire,
    /// Counts as met.
    Reach(String),
    /// Counts as met where every fault of the venue was.
    ReachIfHit(String),
    /// Counts as met where the wire lost something.
    ReachIfLost(String),
    /// Counts as met where some result says this.
    ReachIfPublished(&'static str, &'static str),
    /// Something else, by its name.
    Do(&'static str, Act),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("Ready"),
            Self::Start(machine, env) => write!(f, "Start({machine}, {env:?})"),
            Self::Launch(machine) => write!(f, "Launch({machine})"),
            Self::Restart(machine) => write!(f, "Restart({machine})"),
            Self::Propose(round) => write!(f, "Propose({round})"),
            Self::ProposeNext => f.write_str("ProposeNext"),
            Self::ProposeHold => f.write_str("ProposeHold"),
            Self::Claimed => f.write_str("Claimed"),
            Self::Arrived(orders) => write!(f, "Arrived({orders})"),
            Self::Concluded => f.write_str("Concluded"),
            Self::Settled => f.write_str("Settled"),
            Self::Release => f.write_str("Release"),
            Self::PermitsThere => f.write_str("PermitsThere"),
            Self::Sleep(time) => write!(f, "Sleep({time:?})"),
            Self::Save => f.write_str("Save"),
            Self::KillRedis(away) => write!(f, "KillRedis({away:?})"),
            Self::Flush => f.write_str("Flush"),
            Self::StopRedis(lasting) => write!(f, "StopRedis({lasting:?})"),
            Self::Command(words) => write!(f, "Command({})", words.join(" ")),
            Self::WrongType(key) => write!(f, "WrongType({key})"),
            Self::LoseKey(key) => write!(f, "LoseKey({key})"),
            Self::TypesFixed => f.write_str("TypesFixed"),
            Self::Lose(script, loss, times) => write!(f, "Lose({script:?}, {loss:?}, {times})"),
            Self::Venue(faults) => write!(f, "Venue({faults:?})"),
            Self::VenueClock(millis) => write!(f, "VenueClock({millis})"),
            Self::WallClock(seconds) => write!(f, "WallClock({seconds})"),
            Self::Disk(disk) => write!(f, "Disk({disk:?})"),
            Self::Split(lag) => write!(f, "Split({lag:?})"),
            Self::Heal => f.write_str("Heal"),
            Self::Signal(machine, name) => write!(f, "Signal({machine}, {name})"),
            Self::Kill(machine) => write!(f, "Kill({machine})"),
            Self::Dies(machine, point) => write!(f, "Dies({machine}, {point})"),
            Self::DiesAgain(machine, point) => write!(f, "DiesAgain({machine}, {point})"),
            Self::Turn(switch, on) => write!(f, "Turn({switch:?}, {on})"),
            Self::Expire => f.write_str("Expire"),
            Self::Reach(what) => write!(f, "Reach({what})"),
            Self::ReachIfHit(what) => write!(f, "ReachIfHit({what})"),
            Self::ReachIfLost(what) => write!(f, "ReachIfLost({what})"),
            Self::ReachIfPublished(error, what) => write!(f, "ReachIfPublished({error}, {what})"),
            Self::Do(name, _) => write!(f, "Do({name})"),
        }
    }
}

/// A wait in which nothing that comes is late, however busy the machine is.
pub(crate) const PATIENT: Duration = Duration::from_secs(10);
/// A wait that is waited out.
pub(crate) const SHORT: Duration = Duration::from_millis(500);

impl Scene {
    /// One machine, one to three plans, reviewers that may say no, a wait that is long enough.
    pub(crate) fn of(steps: Vec<Step>) -> Self {
        Self {
            machines: 1,
            plans: Plans::Between(1, 3),
            redis: Kept::Snapshots,
            reviews: Reviews::Each,
            wait: PATIENT,
            held: false,
            doubt: true,
            late: false,
            wired: false,
            as_user: false,
            behind_sentinels: false,
            moves_stops: false,
            calibrated: false,
            may_cost_an_order: false,
            steps,
        }
    }

    /// Two machines, each with a state directory of its own.
    pub(crate) fn two(mut self) -> Self {
        self.machines = 2;
        self
    }

    /// A single plan.
    pub(crate) fn one_plan(mut self) -> Self {
        self.plans = Plans::Between(1, 1);
        self
    }

    /// More than one plan.
    pub(crate) fn several(mut self) -> Self {
        self.plans = Plans::Between(2, 3);
        self
    }

    /// Forty plans at once.
    pub(crate) fn burst(mut self) -> Self {
        self.plans = Plans::Burst;
        self.doubt = false;
        self
    }

    /// Both reviewers say yes at once.
    pub(crate) fn sure(mut self) -> Self {
        self.doubt = false;
        self
    }

    /// Permits wait for [`Step::Release`]. No reviewer says no, so that the wait lasts.
    pub(crate) fn held(mut self) -> Self {
        self.held = true;
        self.sure()
    }

    /// A reviewer says yes only when the wait is over.
    pub(crate) fn too_late(mut self) -> Self {
        self.late = true;
        self.sure().short()
    }

    /// What became of an order is asked about after the wait's window: it is kept short.
    pub(crate) fn short(self) -> Self {
        self.waiting(SHORT)
    }

    pub(crate) fn waiting(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    pub(crate) fn on(mut self, redis: Kept) -> Self {
        self.redis = redis;
        self
    }

    pub(crate) fn reviewed(mut self, reviews: Reviews) -> Self {
        self.reviews = reviews;
        self
    }

    pub(crate) fn wired(mut self) -> Self {
        self.wired = true;
        self
    }

    pub(crate) fn moving_stops(mut self) -> Self {
        self.moves_stops = true;
        self
    }

    pub(crate) fn calibrated(mut self) -> Self {
        self.calibrated = true;
        self
    }

    /// These parameters may cost an order.
    pub(crate) fn costly(mut self) -> Self {
        self.may_cost_an_order = true;
        self
    }

    /// Draws the plans.
    pub(crate) fn draw_plans(
        &mut self,
        rng: &mut Rng,
        number: u64,
    ) -> Vec<super::script::PlanScript> {
        use super::script::PlanScript;
        let count = match self.plans {
            Plans::Between(least, most) => usize::try_from(rng.within(least..=most)).unwrap_or(1),
            Plans::Burst => BURST,
        };
        let mut plans: Vec<PlanScript> = (0..count)
            .map(|n| {
                let plan = match self.plans {
                    Plans::Between(..) => PlanScript::draw(rng, n, number),
                    Plans::Burst => PlanScript::draw_for_burst(rng, n, number),
                };
                let plan = match self.doubt && rng.once_in(3) {
                    true => {
                        self.wait = SHORT;
                        plan.doubtful(rng, SHORT)
                    }
                    false => plan,
                };
                let plan = if self.held { plan.held() } else { plan };
                let plan = match self.late {
                    true => plan.late(rng, self.wait),
                    false => plan,
                };
                match (self.moves_stops, self.calibrated) {
                    (true, _) => plan.moving_its_stop(rng),
                    (false, true) => plan.calibrated(rng),
                    (false, false) => plan,
                }
            })
            .collect();
        let next = |step: &Step| matches!(step, Step::ProposeNext);
        if self.steps.iter().any(next) {
            let later: Vec<_> = plans.iter().map(PlanScript::next).collect();
            plans.extend(later);
        }
        plans
    }

    /// Whether some step steps the wall clock.
    pub(crate) fn steps_the_clock(&self) -> bool {
        let steps = |step: &Step| matches!(step, Step::WallClock(_) | Step::Expire);
        self.steps.iter().any(steps)
    }

    /// Whether the venue's clock is this machine's.
    pub(crate) fn is_on_a_true_venue_clock(&self) -> bool {
        let sets = |step: &Step| matches!(step, Step::VenueClock(_));
        !self.steps.iter().any(sets)
    }

    /// Whether some step makes the journal's disk fail.
    pub(crate) fn breaks_the_disk(&self) -> bool {
        let breaks = |step: &Step| matches!(step, Step::Disk(_));
        self.steps.iter().any(breaks)
    }

    /// Whether a plan with these words has to be executed where nothing else forbids it.
    pub(crate) fn has_time(&self, plan: &super::script::PlanScript) -> bool {
        // What waits no longer than it must is at the mercy of a busy machine.
        self.wait == PATIENT && plan.governor.word == Word::Yes && plan.brain.word == Word::Yes
    }
}
