//! What a case is made of: plans, and what their reviewers say.

use super::rng::Rng;
use apply_tests::{computed_in_this_run, computed_now};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use std::{sync::LazyLock, time::Duration};

/// What a reviewer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// A yes.
    Yes,
    /// A no.
    No,
    /// Something that is no permit.
    Garbage,
    /// A yes to another symbol.
    Stray,
    /// Nothing at all.
    Nothing,
}

/// When it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long after the plan was read.
    After(Duration),
    /// When the case says so.
    Released,
}

/// One reviewer's part in one plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) word: Word,
    pub(crate) at: Moment,
}

/// One plan of a case; each of a generation has a symbol of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanScript {
    pub(crate) symbol: &'static str,
    /// 0 for what the brain proposes first, 1 for what it proposes instead later.
    pub(crate) generation: u8,
    pub(crate) action: &'static str,
    /// What the brain proposes where a heat gate makes `action` of it.
    pub(crate) proposed: Option<&'static str>,
    /// What makes it another plan than any other of its run.
    number: u64,
    pub(crate) computed_at: String,
    pub(crate) governor: Ruling,
    pub(crate) brain: Ruling,
    /// What the position brain allows, in base units.
    pub(crate) quantity: Decimal,
    /// Where the stop is moved to, in quote units and as Python prints it; none for a close.
    pub(crate) stop: Option<String>,
}

/// The symbols, with the smallest quantity that is used and the position that is held.
const SYMBOLS: [(&str, Decimal); 3] = [
    ("BTCUSDT", Decimal::from_parts(1, 0, 0, false, 3)),
    ("ETHUSDT", Decimal::from_parts(1, 0, 0, false, 2)),
    ("SOLUSDT", Decimal::from_parts(1, 0, 0, false, 1)),
];

/// The symbols of a burst: more than the service has lanes to the venue.
pub(crate) const BURST: usize = 40;

/// Their names. At the venue all of them are like BTCUSDT.
pub(crate) fn burst_symbols() -> &'static [String] {
    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..BURST).map(|n| format!("B{n:02}USDT")).collect());
    &NAMES
}

const ACTIONS: [&str; 3] = ["PARTIAL_75", "PARTIAL_50", "FULL_CLOSE_PROPOSED"];

/// The number of the `n`th plan of a case.
fn number(n: usize, unique: u64) -> u64 {
    (unique % (AGAIN / 100)) * 100 + n as u64 % 100
}

/// The number of what is proposed again is this much higher.
const AGAIN: u64 = 500_000_000;

/// The score of every proposal: calm.
pub(crate) const SCORE: &str = "0.539000";

impl PlanScript {
    /// The plan of the `n`th symbol, approved by both.
    pub(crate) fn draw(rng: &mut Rng, n: usize, unique: u64) -> Self {
        let (symbol, unit) = SYMBOLS[n % SYMBOLS.len()];
        Self::of_symbol(rng, symbol, unit, number(n, unique))
    }

    /// The `n`th plan of a burst, approved by both.
    pub(crate) fn draw_for_burst(rng: &mut Rng, n: usize, unique: u64) -> Self {
        let symbol = &burst_symbols()[n % BURST];
        Self::of_symbol(rng, symbol, SYMBOLS[0].1, number(n, unique))
    }

    fn of_symbol(rng: &mut Rng, symbol: &'static str, unit: Decimal, number: u64) -> Self {
        let yes = |rng: &mut Rng| Ruling {
            word: Word::Yes,
            at: Moment::After(rng.millis(0..=60)),
        };
        Self {
            symbol,
            generation: 0,
            action: rng.pick(&ACTIONS),
            proposed: None,
            number,
            computed_at: computed_in_this_run(number),
            governor: yes(rng),
            brain: yes(rng),
            quantity: unit * Decimal::from(rng.within(1..=9)),
            stop: None,
        }
    }

    /// What the brain proposes of the same symbol later: another plan.
    pub(crate) fn next(&self) -> Self {
        Self {
            generation: 1,
            computed_at: computed_in_this_run(AGAIN + self.number),
            ..self.clone()
        }
    }

    /// The same, as a move of the stop.
    pub(crate) fn moving_its_stop(mut self, rng: &mut Rng) -> Self {
        let n = rng.within(10..=39);
        self.action = "UPDATE_SL";
        self.stop = Some(match self.symbol {
            "BTCUSDT" => format!("600{n}.0"),
            "ETHUSDT" => format!("30{n}.5"),
            _ => format!("13{}.25", n % 10),
        });
        self
    }

    /// The same, where a heat gate makes less of a full close, and the brain allows all of the position.
    pub(crate) fn calibrated(mut self, rng: &mut Rng) -> Self {
        self.proposed = Some("FULL_CLOSE_PROPOSED");
        self.action = rng.pick(&["PARTIAL_50", "PARTIAL_25"]);
        self.quantity = Decimal::from(10_000);
        self
    }

    /// Which part of the position the plan closes at most.
    pub(crate) fn share(&self) -> Decimal {
        Decimal::new(
            match self.action {
                "PARTIAL_75" => 75,
                "PARTIAL_50" => 50,
                "PARTIAL_25" => 25,
                _ => 100,
            },
            2,
        )
    }

    /// The same, where a reviewer may also say no, nonsense or nothing, or be late for `wait`.
    pub(crate) fn doubtful(mut self, rng: &mut Rng, wait: Duration) -> Self {
        let words = [Word::No, Word::Garbage, Word::Stray, Word::Nothing];
        let one = match rng.once_in(2) {
            true => &mut self.governor,
            false => &mut self.brain,
        };
        match rng.once_in(4) {
            // The gate's grace is over by then, on a slow machine too.
            true => one.at = Moment::After(wait + rng.millis(400..=700)),
            false => one.word = rng.pick(&words),
        }
        self
    }

    /// The same, where one of the two or both say yes too late for `wait`: the gate's grace is over by then on the
    /// slowest machine, since they count from when they have read the plan.
    pub(crate) fn late(mut self, rng: &mut Rng, wait: Duration) -> Self {
        let at = Moment::After(wait + rng.millis(400..=1500));
        match rng.within(1..=3) {
            1 => self.governor.at = at,
            2 => self.brain.at = at,
            _ => (self.governor.at, self.brain.at) = (at, at),
        }
        self
    }

    /// The same, where both wait until the case lets them write.
    pub(crate) fn held(mut self) -> Self {
        self.governor.at = Moment::Released;
        self.brain.at = Moment::Released;
        self
    }

    /// A plan of the smallest quantity, for a run of thousands; `approved` by both or not by the
    /// governor, by which the action distinguishes the reviewers.
    pub(crate) fn small(symbol: &'static str, approved: bool, unique: u64) -> Self {
        let (_, unit) = SYMBOLS[SYMBOLS
            .iter()
            .position(|(name, _)| *name == symbol)
            .unwrap_or(0)];
        let soon = |word| Ruling {
            word,
            at: Moment::After(Duration::from_millis(unique % 50)),
        };
        Self {
            symbol,
            generation: 0,
            action: if approved { ACTIONS[0] } else { ACTIONS[1] },
            proposed: None,
            number: unique,
            computed_at: computed_now(unique),
            governor: soon(if approved { Word::Yes } else { Word::No }),
            brain: soon(Word::Yes),
            quantity: unit / Decimal::TEN,
            stop: None,
        }
    }

    /// Whether both say yes.
    pub(crate) fn is_approved(&self) -> bool {
        self.governor.word == Word::Yes && self.brain.word == Word::Yes
    }

    /// The plan's id, as the contract computes it.
    pub(crate) fn id(&self) -> String {
        let stop = self.stop.as_deref().unwrap_or("None");
        let text = format!(
            "{}:{}:{SCORE}:{stop}:{}",
            self.symbol, self.action, self.computed_at
        );
        let digest = Sha256::digest(text.as_bytes());
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
