//! One case: a fault with its parameters, plans, and what their reviewers say, all out of two numbers.

use super::{
    dice::Dice,
    script::PlanScript,
    stops::{self, Moving},
    wire::{Loss, Script},
};
use exchange_sim::{Canned, Delivery, Fault, Fill, Instead, Veil, When};
use std::{fmt, time::Duration};

/// What is done to the service and its surroundings.
#[derive(Debug, Clone)]
pub(crate) enum Scenario {
    /// Nothing: what all others are compared with.
    Calm,
    /// The process dies at a named step, and perhaps once more while it recovers.
    KilledAt {
        point: &'static str,
        nth: usize,
        again: Option<&'static str>,
    },
    /// The process is killed after each of these times.
    KilledAnytime { lives: Vec<Duration> },
    /// The venue executes and does not answer, and the process is killed while it waits.
    KilledWhileAsking { after: Duration },
    /// The process and the server die together, and the server comes back as it was before.
    BothDied { point: &'static str, saved: Saved },
    /// Signals to end, again and again.
    TermStorm { gaps: Vec<Duration> },
    /// The server is killed during the wait and comes back from its append-only file.
    RestartedFromAof { fsync: &'static str, away: Duration },
    /// The server is killed during the wait and comes back from its last snapshot.
    RestartedFromSnapshot {
        saved: Option<Saved>,
        away: Duration,
    },
    /// The server goes back to a snapshot after the plan has its result, and the brain repeats itself.
    RolledBack { saved: Saved },
    /// Everything in the server is gone; the brain repeats itself.
    Flushed { when: Lost },
    /// The server is stopped and goes on.
    Stopped { at: Duration, lasting: Duration },
    /// Answers of one script do not arrive.
    AnswerLost {
        script: Script,
        loss: Loss,
        times: u32,
    },
    /// The venue does something else than to execute and say so.
    Venue {
        label: &'static str,
        /// What exactly, for the count of what was reached.
        variant: String,
        faults: Vec<Fault>,
        /// Whether the order is in the books in the end.
        executes: bool,
    },
    /// The venue's clock is off; `late`: only from some moment on.
    ClockOff { millis: i64, late: bool },
    /// Two machines; something happens to one of them.
    TwoMachines { to_one: ToOne },
    /// Nothing can be written to the journal's disk.
    DiskFull { how: Full },
    /// The kill switch is turned while plans wait.
    Switched { how: Switch },
    /// The plans move stops instead of closing.
    StopMoved { how: Moving },
}

/// When the snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saved {
    BeforeTheClaim,
    DuringTheWait,
}

/// When everything is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    DuringTheWait,
    AfterTheResult,
}

/// What happens to one of two machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToOne {
    Nothing,
    /// Both would die there; one comes to it first.
    DiesAt(&'static str),
    KilledAfter(Duration),
    /// Stopped for longer than its lease lasts, and then goes on.
    Paused(Duration),
    /// Redis forgets everything once there is a result, and the brain repeats itself: the other one
    /// may claim what the first has ordered for.
    Forgotten,
}

/// How a disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// From the start, at this many blocks of 512 bytes.
    FromTheStart(u64),
    /// From the wait on, and a write is an error.
    WriteFails,
    /// From the wait on, and a write ends the process.
    WriteKills,
}

/// How the switch is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// On before the permits are there, in Redis, and left on until there is a result.
    RedisOn,
    /// The same by the file.
    FileOn,
    /// On and off again this often, both of them, with such a pause.
    Flickers { turns: u64, pause: Duration },
}

/// A plan's steps, as `apply_core::FAULT_POINTS` names them.
pub(crate) const POINTS: [&str; 11] = [
    "after_claim",
    "before_take",
    "after_prepare",
    "after_journal",
    "after_intent",
    "after_take",
    "before_post",
    "after_post",
    "after_outcome",
    "after_publish",
    "after_published_mark",
];

/// Those of them that recovery comes by, too.
const ENDING: [&str; 3] = ["after_outcome", "after_publish", "after_published_mark"];

/// Everything one run of the matrix has to know.
#[derive(Debug, Clone)]
pub struct Case {
    /// The seed of the run.
    pub seed: u64,
    /// Its number in the run.
    pub number: u64,
    pub(crate) scenario: Scenario,
    pub(crate) plans: Vec<PlanScript>,
    /// How long the service waits for permits.
    pub(crate) wait: Duration,
}

/// A wait in which nothing that comes is late, however busy the machine is.
const PATIENT: Duration = Duration::from_secs(10);
/// A wait that is waited out.
const SHORT: Duration = Duration::from_millis(500);

impl Case {
    /// How many rows the matrix has. As many cases in a row play each of them once.
    pub const ROWS: u64 = (ROWS.len() + stops::ROWS.len()) as u64;

    /// The case of this seed and number: always the same one.
    pub fn draw(seed: u64, number: u64) -> Self {
        let mut dice = Dice::of(seed, number);
        let mut rows = ROWS.iter().chain(&stops::ROWS);
        let row = usize::try_from(number % Self::ROWS).unwrap_or(0);
        let scenario = rows.nth(row).map_or(Scenario::Calm, |draw| draw(&mut dice));
        Self::with(seed, number, scenario, dice)
    }

    fn with(seed: u64, number: u64, scenario: Scenario, mut dice: Dice) -> Self {
        let most = if scenario.is_of_one_plan() { 1 } else { 3 };
        let count = usize::try_from(dice.within(1..=most)).unwrap_or(1);
        let short = scenario.dies_in_its_wait();
        let held = scenario.holds_permits();
        let mut wait = if short { SHORT } else { PATIENT };
        let plans = (0..count)
            .map(|n| {
                let plan = PlanScript::draw(&mut dice, n, number);
                let plan = match scenario.allows_doubt() && dice.once_in(3) {
                    true => {
                        wait = SHORT;
                        plan.doubtful(&mut dice, SHORT)
                    }
                    false => plan,
                };
                let plan = if held { plan.held() } else { plan };
                match scenario {
                    Scenario::StopMoved { .. } => plan.moving_its_stop(&mut dice),
                    _ => plan,
                }
            })
            .collect();
        Self {
            seed,
            number,
            scenario,
            plans,
            wait,
        }
    }

    /// The line that plays this case again.
    pub fn replay(&self) -> String {
        format!("scripts/faults --seed {} --case {}", self.seed, self.number)
    }

    /// Which row of the table it belongs to.
    pub fn label(&self) -> String {
        self.scenario.label()
    }

    /// Whether every plan has to be executed: both say yes in time, and the fault is one that costs
    /// no order.
    pub(crate) fn has_to_execute(&self) -> bool {
        let harmless = match &self.scenario {
            Scenario::Calm | Scenario::TermStorm { .. } | Scenario::AnswerLost { .. } => true,
            Scenario::Venue { executes, .. } => *executes,
            Scenario::StopMoved { how } => match how {
                Moving::Calm => true,
                Moving::Venue { places, .. } => *places,
                Moving::DiesAt(_) | Moving::KilledAt { .. } => false,
            },
            Scenario::TwoMachines { to_one } => {
                matches!(to_one, ToOne::Nothing | ToOne::Forgotten)
            }
            Scenario::ClockOff { millis, late } => !late && millis.abs() <= 4000,
            _ => false,
        };
        // What waits no longer than it must is at the mercy of a busy machine.
        harmless && self.wait == PATIENT
    }
}

/// What a case is, for whoever has to find out why it failed.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "case {} of seed {}: {:?}, wait {:?}, plans {:#?}",
            self.number, self.seed, self.scenario, self.wait, self.plans
        )
    }
}

impl Scenario {
    /// Its row in the table.
    pub(crate) fn label(&self) -> String {
        let text = match self {
            Self::Calm => "nothing happens",
            Self::KilledAt { point, .. } => return format!("killed {point}"),
            Self::KilledAnytime { .. } => "kill -9 at any moment",
            Self::KilledWhileAsking { .. } => "kill -9 while the venue is silent",
            Self::BothDied { .. } => "process and Redis die, Redis rolled back",
            Self::TermStorm { .. } => "SIGTERM storm",
            Self::RestartedFromAof { .. } => "Redis killed in the wait, AOF",
            Self::RestartedFromSnapshot { .. } => "Redis killed in the wait, RDB",
            Self::RolledBack { .. } => "Redis rolled back after the result",
            Self::Flushed { .. } => "FLUSHALL",
            Self::Stopped { .. } => "Redis SIGSTOP, SIGCONT",
            Self::AnswerLost { script, loss, .. } => {
                if *loss == Loss::Request {
                    return "a request to Redis dropped".into();
                }
                let of = match script {
                    Script::Claim => "claim",
                    Script::Note => "intent's note",
                    Script::Consume => "consume",
                    Script::Publish => "publish",
                };
                return format!("reply of the {of} dropped");
            }
            Self::Venue { label, .. } => label,
            Self::ClockOff { late: false, .. } => "venue's clock off",
            Self::ClockOff { late: true, .. } => "venue's clock jumps",
            Self::TwoMachines { to_one } => match to_one {
                ToOne::Nothing => "two machines",
                ToOne::DiesAt(_) => "two machines, one dies at a step",
                ToOne::KilledAfter(_) => "two machines, kill -9 of one",
                ToOne::Paused(_) => "two machines, one paused",
                ToOne::Forgotten => "two machines, FLUSHALL",
            },
            Self::DiskFull { how } => match how {
                Full::FromTheStart(_) => "disk full from the start",
                Full::WriteFails => "disk full in the wait, EFBIG",
                Full::WriteKills => "disk full in the wait, SIGXFSZ",
            },
            Self::Switched { how } => match how {
                Switch::RedisOn => "kill switch on in the wait, Redis",
                Switch::FileOn => "kill switch on in the wait, file",
                Switch::Flickers { .. } => "kill switch flickers",
            },
            Self::StopMoved { how } => how.label(),
        };
        text.to_owned()
    }

    /// Whether Redis forgets something that was acknowledged.
    pub(crate) fn loses_state(&self) -> bool {
        matches!(
            self,
            Self::BothDied { .. }
                | Self::RestartedFromAof { .. }
                | Self::RestartedFromSnapshot { .. }
                | Self::RolledBack { .. }
                | Self::Flushed { .. }
                | Self::TwoMachines {
                    to_one: ToOne::Forgotten
                }
        )
    }

    /// Whether a machine may tell of a plan without having the words another one told it in.
    pub(crate) fn is_retold_by_another(&self) -> bool {
        let forgotten = ToOne::Forgotten;
        matches!(self, Self::TwoMachines { to_one } if *to_one == forgotten)
    }

    fn is_of_one_plan(&self) -> bool {
        match self {
            Self::KilledWhileAsking { .. } | Self::Venue { .. } | Self::BothDied { .. } => true,
            Self::StopMoved { how } => {
                matches!(how, Moving::KilledAt { .. } | Moving::Venue { .. })
            }
            _ => false,
        }
    }

    /// What became of an order is asked about after the wait's window: it is kept short.
    fn dies_in_its_wait(&self) -> bool {
        match self {
            Self::KilledAt { .. }
            | Self::KilledAnytime { .. }
            | Self::KilledWhileAsking { .. }
            | Self::BothDied { .. } => true,
            Self::DiskFull { how } => *how != Full::WriteFails,
            Self::StopMoved { how } => {
                matches!(how, Moving::DiesAt(_) | Moving::KilledAt { .. })
            }
            Self::TwoMachines { to_one } => !matches!(to_one, ToOne::Nothing | ToOne::Forgotten),
            _ => false,
        }
    }

    fn holds_permits(&self) -> bool {
        match self {
            Self::RestartedFromAof { .. }
            | Self::RestartedFromSnapshot { .. }
            | Self::RolledBack { .. }
            | Self::Flushed { .. }
            | Self::TermStorm { .. }
            | Self::Stopped { .. }
            | Self::BothDied { .. }
            | Self::Switched { .. } => true,
            Self::DiskFull { how } => *how == Full::WriteFails,
            Self::TwoMachines { to_one } => *to_one == ToOne::Forgotten,
            _ => false,
        }
    }

    /// Whether a reviewer may also say no. Where permits wait for the fault they do not, so that
    /// the wait lasts.
    fn allows_doubt(&self) -> bool {
        match self {
            Self::Venue { .. } | Self::KilledWhileAsking { .. } => false,
            Self::BothDied { .. } => true,
            Self::StopMoved { how } => matches!(how, Moving::Calm | Moving::DiesAt(_)),
            other => !other.holds_permits(),
        }
    }
}

/// One scenario a row, each as often as the others; the dice fill in what is open.
const ROWS: [fn(&mut Dice) -> Scenario; 49] = [
    |_| Scenario::Calm,
    |dice| killed_at(dice, POINTS[0]),
    |dice| answer_lost(dice, Script::Claim),
    venue_loses_the_reply,
    |dice| killed_at(dice, POINTS[1]),
    flushed,
    |dice| two(dice, 0),
    venue_breaks_the_reply,
    |dice| killed_at(dice, POINTS[2]),
    rolled_back,
    |dice| Scenario::DiskFull {
        how: Full::FromTheStart(dice.within(0..=160)),
    },
    venue_answers_5xx,
    |dice| killed_at(dice, POINTS[3]),
    |dice| answer_lost(dice, Script::Consume),
    restarted_from_aof,
    visible_later,
    |dice| killed_at(dice, POINTS[4]),
    killed_anytime,
    |dice| two(dice, 1),
    venue_refuses,
    |dice| killed_at(dice, POINTS[5]),
    restarted_from_snapshot,
    |_| Scenario::DiskFull {
        how: Full::WriteFails,
    },
    venue_drops,
    |dice| killed_at(dice, POINTS[6]),
    |dice| answer_lost(dice, Script::Publish),
    |_| Scenario::Switched {
        how: Switch::RedisOn,
    },
    acted_on_later,
    |dice| killed_at(dice, POINTS[7]),
    both_died,
    |dice| two(dice, 2),
    fills_in_part,
    |dice| killed_at(dice, POINTS[8]),
    stopped,
    |_| Scenario::DiskFull {
        how: Full::WriteKills,
    },
    silent_about_it,
    |dice| killed_at(dice, POINTS[9]),
    |dice| answer_lost(dice, Script::Note),
    |_| Scenario::Switched {
        how: Switch::FileOn,
    },
    |dice| clock_off(dice, false),
    |dice| killed_at(dice, POINTS[10]),
    term_storm,
    |dice| two(dice, 3),
    |dice| clock_off(dice, true),
    killed_while_asking,
    flickers,
    away_before_it,
    request_lost,
    |dice| two(dice, 4),
];

fn killed_at(dice: &mut Dice, point: &'static str) -> Scenario {
    Scenario::KilledAt {
        point,
        nth: usize::try_from(dice.within(1..=2)).unwrap_or(1),
        again: dice.once_in(3).then(|| dice.pick(&ENDING)),
    }
}

fn killed_anytime(dice: &mut Dice) -> Scenario {
    let lives = dice.within(1..=3);
    Scenario::KilledAnytime {
        lives: (0..lives).map(|_| dice.millis(0..=700)).collect(),
    }
}

fn killed_while_asking(dice: &mut Dice) -> Scenario {
    Scenario::KilledWhileAsking {
        after: dice.millis(0..=300),
    }
}

fn both_died(dice: &mut Dice) -> Scenario {
    Scenario::BothDied {
        point: dice.pick(&POINTS[5..]),
        saved: dice.pick(&[Saved::BeforeTheClaim, Saved::DuringTheWait]),
    }
}

fn term_storm(dice: &mut Dice) -> Scenario {
    let signals = dice.within(2..=6);
    Scenario::TermStorm {
        gaps: (0..signals).map(|_| dice.millis(0..=40)).collect(),
    }
}

fn restarted_from_aof(dice: &mut Dice) -> Scenario {
    Scenario::RestartedFromAof {
        fsync: dice.pick(&["always", "everysec"]),
        away: dice.millis(0..=800),
    }
}

fn restarted_from_snapshot(dice: &mut Dice) -> Scenario {
    Scenario::RestartedFromSnapshot {
        saved: dice.pick(&[
            None,
            Some(Saved::BeforeTheClaim),
            Some(Saved::DuringTheWait),
        ]),
        away: dice.millis(0..=800),
    }
}

fn rolled_back(dice: &mut Dice) -> Scenario {
    Scenario::RolledBack {
        saved: dice.pick(&[Saved::BeforeTheClaim, Saved::DuringTheWait]),
    }
}

fn flushed(dice: &mut Dice) -> Scenario {
    Scenario::Flushed {
        when: dice.pick(&[Lost::DuringTheWait, Lost::AfterTheResult]),
    }
}

fn stopped(dice: &mut Dice) -> Scenario {
    Scenario::Stopped {
        at: dice.millis(0..=80),
        lasting: dice.millis(100..=1500),
    }
}

fn answer_lost(dice: &mut Dice, script: Script) -> Scenario {
    Scenario::AnswerLost {
        script,
        loss: dice.pick(&[Loss::ReplyThenClose, Loss::ReplyThenSilence]),
        times: u32::try_from(dice.within(1..=2)).unwrap_or(1),
    }
}

fn request_lost(dice: &mut Dice) -> Scenario {
    Scenario::AnswerLost {
        script: dice.pick(&[
            Script::Claim,
            Script::Note,
            Script::Consume,
            Script::Publish,
        ]),
        loss: Loss::Request,
        times: 1,
    }
}

fn clock_off(dice: &mut Dice, late: bool) -> Scenario {
    Scenario::ClockOff {
        millis: dice.pick(&[-5000, -4000, -2500, -1000, 1000, 2500, 4000, 5000]),
        late,
    }
}

fn two(dice: &mut Dice, what: u64) -> Scenario {
    let to_one = match what {
        0 => ToOne::Nothing,
        1 => ToOne::DiesAt(dice.pick(&POINTS)),
        2 => ToOne::KilledAfter(dice.millis(0..=500)),
        3 => ToOne::Forgotten,
        _ => ToOne::Paused(dice.millis(2000..=3500)),
    };
    Scenario::TwoMachines { to_one }
}

fn flickers(dice: &mut Dice) -> Scenario {
    Scenario::Switched {
        how: Switch::Flickers {
            turns: dice.within(2..=8),
            pause: dice.millis(0..=60),
        },
    }
}

fn venue_loses_the_reply(dice: &mut Dice) -> Scenario {
    // A hang is waited out for seconds.
    let (name, delivery) = match dice.within(1..=10) {
        1 => ("hang", Delivery::Hang),
        n if n % 2 == 0 => ("reset", Delivery::Reset),
        _ => ("close", Delivery::Close),
    };
    Scenario::Venue {
        label: "venue executes, reply lost",
        variant: format!("executed, {name}"),
        faults: vec![Fault::executed(When::order(), delivery)],
        executes: true,
    }
}

fn venue_breaks_the_reply(dice: &mut Dice) -> Scenario {
    let reply = |canned| Delivery::Reply(canned);
    let (name, delivery) = dice.pick(&[
        ("cut", Delivery::Cut),
        (
            "in pieces",
            Delivery::Slow {
                piece: 40,
                pause_ms: 3,
            },
        ),
        ("200 garbage", reply(Canned::garbage_200())),
        ("200 empty", reply(Canned::raw(200, ""))),
        ("200 {}", reply(Canned::raw(200, "{}"))),
        ("200 html", reply(Canned::gateway_html(200))),
    ]);
    Scenario::Venue {
        label: "venue executes, reply broken",
        variant: format!("executed, {name}"),
        faults: vec![Fault::executed(When::order(), delivery)],
        executes: true,
    }
}

/// Replies that leave open whether the order was executed.
pub(crate) fn unknown(dice: &mut Dice) -> (&'static str, Canned) {
    dice.pick(&[
        ("503 unknown", Canned::unknown_503()),
        ("503 other words", Canned::error(503, -1000, "Try again.")),
        ("503 empty", Canned::raw(503, "")),
        ("500 empty", Canned::raw(500, "")),
        ("500 html", Canned::gateway_html(500)),
        ("502 html", Canned::gateway_html(502)),
        ("503 html", Canned::gateway_html(503)),
        ("504 html", Canned::gateway_html(504)),
        ("520 empty", Canned::raw(520, "")),
        ("408", Canned::request_timeout_408()),
        ("-1000", Canned::unknown_1000()),
        ("-1006", Canned::unexpected_response_1006()),
        ("-1007", Canned::timeout_1007()),
    ])
}

fn venue_answers_5xx(dice: &mut Dice) -> Scenario {
    let (name, canned) = unknown(dice);
    Scenario::Venue {
        label: "venue executes, answers 5xx or unknown",
        variant: format!("executed, {name}"),
        faults: vec![Fault::reply(When::order(), true, canned)],
        executes: true,
    }
}

fn venue_refuses(dice: &mut Dice) -> Scenario {
    let plain = dice.pick(&[
        ("503 unavailable", Canned::unavailable_503()),
        ("503 internal", Canned::internal_503()),
        ("503 overloaded", Canned::overloaded_503()),
        ("429", Canned::too_many_requests_429().retry_after(1)),
        ("429 orders", Canned::too_many_orders_429().retry_after(1)),
        ("-1021", Canned::outside_window_1021()),
        ("-5028", Canned::outside_window_5028()),
        ("307", Canned::redirect_307("http://127.0.0.1:1/")),
        (
            "-2022",
            Canned::error(400, -2022, "ReduceOnly Order is rejected."),
        ),
    ]);
    let (name, canned) = match dice.once_in(2) {
        true => unknown(dice),
        false => plain,
    };
    Scenario::Venue {
        label: "venue does not execute, answers 4xx, 5xx",
        variant: format!("not executed, {name}"),
        faults: vec![Fault::reply(When::order(), false, canned)],
        executes: false,
    }
}

fn venue_drops(dice: &mut Dice) -> Scenario {
    let (name, instead) = match dice.within(1..=10) {
        1 => ("hang", Instead::Hang),
        2 | 3 => ("garbage", Instead::Reply(Canned::garbage_200())),
        n if n % 2 == 0 => ("reset", Instead::Reset),
        _ => ("close", Instead::Close),
    };
    Scenario::Venue {
        label: "venue does not execute, no answer",
        variant: format!("not executed, {name}"),
        faults: vec![Fault::not_executed(When::order(), instead)],
        executes: false,
    }
}

/// Never all three beyond the order's window: a venue that shows neither order nor fills nor the moved
/// position is one on which it was not executed, for all that anybody could know.
fn visible_later(dice: &mut Dice) -> Scenario {
    let fault = Fault::executed(When::order(), Delivery::Reset)
        .hide_order(Veil::time(dice.millis(300..=4000)));
    let (hidden, fault) = match dice.within(1..=3) {
        1 => ("order", fault),
        2 => (
            "order, trades",
            fault.hide_trades(Veil::time(dice.millis(300..=3500))),
        ),
        _ => (
            "order, position",
            fault.hide_position(Veil::time(dice.millis(300..=3500))),
        ),
    };
    Scenario::Venue {
        label: "order visible after seconds",
        variant: format!("hidden: {hidden}"),
        faults: vec![fault],
        executes: true,
    }
}

/// The client hears nothing, and the venue takes the order up to a second later, or not at all any
/// more: its receive window decides.
fn acted_on_later(dice: &mut Dice) -> Scenario {
    let (name, instead) = match dice.once_in(2) {
        true => ("reset", Instead::Reset),
        false => ("503", Instead::Reply(Canned::unknown_503())),
    };
    Scenario::Venue {
        label: "order acted on after the answer",
        variant: format!("late, {name}"),
        faults: vec![Fault::late(When::order(), dice.millis(50..=1800), instead)],
        executes: false,
    }
}

fn fills_in_part(dice: &mut Dice) -> Scenario {
    let (name, fill) = match dice.within(1..=3) {
        1 => ("nothing", Fill::nothing()),
        2 => ("a part", Fill::only(rust_decimal::Decimal::new(1, 4))),
        _ => ("in pieces", Fill::in_trades(3)),
    };
    let mut fault = Fault::fill(When::order(), fill);
    if dice.once_in(2)
        && let exchange_sim::Action::Executed { delivery, .. } = &mut fault.action
    {
        *delivery = Delivery::Reset;
    }
    Scenario::Venue {
        label: "order fills in part",
        variant: format!("fills {name}"),
        faults: vec![fault],
        executes: false,
    }
}

/// The reply is lost, and the first questions about it are not answered either.
fn silent_about_it(dice: &mut Dice) -> Scenario {
    let times = u32::try_from(dice.within(1..=4)).unwrap_or(1);
    let (path, name) = dice.pick(&[
        ("/fapi/v1/order", "order"),
        ("/fapi/v1/userTrades", "trades"),
    ]);
    // The first question about the order comes before it leaves.
    let question = When::request("GET", path).skip(u32::from(name == "order"));
    let dumb = match dice.within(1..=3) {
        1 => Fault::not_executed(question, Instead::Reset),
        2 => Fault::reply(question, false, Canned::gateway_html(502)),
        _ => Fault::reply(question, false, Canned::garbage_200()),
    };
    Scenario::Venue {
        label: "reply lost, questions fail",
        variant: format!("silent about the {name}"),
        faults: vec![
            Fault::executed(When::order(), Delivery::Reset),
            dumb.times(times),
        ],
        executes: true,
    }
}

/// What is asked before the order fails: there is none.
fn away_before_it(dice: &mut Dice) -> Scenario {
    let times = u32::try_from(dice.within(1..=6)).unwrap_or(1);
    let (what, path) = dice.pick(&[
        ("position", "/fapi/v3/positionRisk"),
        ("order before", "/fapi/v1/order"),
    ]);
    let question = When::request("GET", path);
    let (name, fault) = match dice.within(1..=3) {
        1 => ("reset", Fault::not_executed(question, Instead::Reset)),
        2 => (
            "503",
            Fault::reply(question, false, Canned::gateway_html(503)),
        ),
        _ => (
            "garbage",
            Fault::reply(question, false, Canned::garbage_200()),
        ),
    };
    Scenario::Venue {
        label: "venue cannot be asked before the order",
        variant: format!("{what}, {name}"),
        faults: vec![fault.times(times)],
        executes: false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_named_step_is_in_the_matrix() {
        let source = include_str!("../../../crates/apply-core/src/fault.rs");
        let list = source.split_once("POINTS: [&str; ").unwrap().1;
        let list = list.split_once("];").unwrap().0;
        let named: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        assert_eq!(named, POINTS);
    }

    #[test]
    fn a_case_is_always_the_same_and_every_row_has_its_turn() {
        let told = |number| format!("{}", Case::draw(7, number));
        assert_eq!(told(12), told(12));
        let rows = Case::ROWS;
        let labels = |seed: u64| -> BTreeSet<String> {
            (0..rows * 8).map(|n| Case::draw(seed, n).label()).collect()
        };
        assert_eq!(labels(1), labels(2), "no row depends on luck");
        for point in POINTS {
            assert!(labels(1).contains(&format!("killed {point}")), "{point}");
        }
    }
}
