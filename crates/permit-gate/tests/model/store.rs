//! The store as its contract describes it, and the ways a store or a driver can be wrong.

use crate::common::{GOVERNOR, GOVERNOR_NO, P33, P33_NO};
use permit_gate::{Reply, Slot, StoreError, Ttl};

/// What an issuer may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Yes,
    Denial,
    Foreign,
    Garbage,
}

/// One deliberate mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The store checks in one step and deletes in another.
    NonAtomicTake,
    /// The driver asks again under another attempt id when a reply was lost.
    NewAttemptOnResend,
    /// The store does not remember who took.
    NoReceipts,
    /// The store serves a permit it has seen once, though it is gone.
    GrantOnMissing,
    IgnoresTheKillSwitch,
    /// The store executes a take after its `not_after`.
    TakesLate,
    /// The driver waits for a take however long it takes.
    NeverGivesUp,
    /// The driver reads an answer it cannot read as a yes.
    ReadsGarbageAsYes,
}

/// A take on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    /// Gate and resend: two requests with the same attempt are the same question.
    pub(crate) attempt: (u8, u8),
    pub(crate) not_after: u8,
}

/// What comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Taken([Kind; 2]),
    Missing([Option<Kind>; 2]),
    TakenByOther,
    Halted,
    Late,
    /// An error instead of an answer: the take may have happened or may still happen.
    Lost,
    /// An answer that is none: too few permits.
    Garbled,
}

impl Answer {
    /// The same in the words of the gate.
    pub(crate) fn as_reply(self) -> Result<Reply, StoreError> {
        match self {
            Self::Taken(kinds) => {
                let contents = kinds.iter().enumerate().map(|(i, k)| content(i, *k).into());
                Ok(Reply::Taken(contents.collect()))
            }
            Self::Missing(slots) => {
                let slot = |(i, kind): (usize, &Option<Kind>)| match kind {
                    Some(kind) => Slot {
                        content: Some(content(i, *kind).into()),
                        ttl: Ttl::Seconds(60),
                    },
                    None => Slot::ABSENT,
                };
                Ok(Reply::Missing(slots.iter().enumerate().map(slot).collect()))
            }
            Self::TakenByOther => Ok(Reply::TakenByOther),
            Self::Halted => Ok(Reply::Halted),
            Self::Late => Ok(Reply::Late),
            Self::Lost => Err(StoreError::Unsettled("lost".into())),
            Self::Garbled => Ok(Reply::Taken(vec![GOVERNOR.to_vec()])),
        }
    }
}

fn content(slot: usize, kind: Kind) -> &'static [u8] {
    const FOREIGN: [&[u8]; 2] = [
        br#"{"granted":true,"symbol":"ETHUSDT","decision":"EXECUTE","computed_qty":0.0,"created_at":1}"#,
        br#"{"allow":true,"symbol":"ETHUSDT","safe_close_qty":0.008,"created_at":1}"#,
    ];
    match kind {
        Kind::Yes => [GOVERNOR, P33][slot],
        Kind::Denial => [GOVERNOR_NO, P33_NO][slot],
        Kind::Foreign => FOREIGN[slot],
        Kind::Garbage => br#"{"granted":true,"allow":true"#,
    }
}

/// The store's whole state, and beside it what really happened (`taken`, `late`), which no answer
/// can gloss over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Store {
    pub(crate) slots: [Option<Kind>; 2],
    pub(crate) halted: bool,
    receipt: Option<((u8, u8), [Kind; 2])>,
    /// For [`Mutant::GrantOnMissing`] only.
    remembered: [Option<Kind>; 2],
    /// Who took, in order, and whether every permit was there at that moment and a yes.
    pub(crate) taken: Vec<(u8, bool)>,
    /// Something was taken after the asker had stopped listening.
    pub(crate) took_late: bool,
}

/// The first half of a take that is not atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Answered(Answer),
    Checked([Kind; 2]),
}

impl Store {
    pub(crate) fn write(&mut self, slot: usize, kind: Kind, mutant: Option<Mutant>) {
        self.slots[slot] = Some(kind);
        if mutant == Some(Mutant::GrantOnMissing) {
            self.remembered[slot] = Some(kind);
        }
    }

    pub(crate) fn execute(&mut self, ask: Request, now: u8, mutant: Option<Mutant>) -> Step {
        let is = |m| mutant == Some(m);
        if self.halted && !is(Mutant::IgnoresTheKillSwitch) {
            return Step::Answered(Answer::Halted);
        }
        if let Some((attempt, kinds)) = self.receipt {
            return Step::Answered(match attempt == ask.attempt {
                true => Answer::Taken(kinds),
                false => Answer::TakenByOther,
            });
        }
        if now > ask.not_after && !is(Mutant::TakesLate) {
            return Step::Answered(Answer::Late);
        }
        let seen = match is(Mutant::GrantOnMissing) {
            true => self.remembered,
            false => self.slots,
        };
        let [Some(first), Some(second)] = seen else {
            return Step::Answered(Answer::Missing(self.slots));
        };
        match is(Mutant::NonAtomicTake) {
            true => Step::Checked([first, second]),
            false => Step::Answered(self.delete(ask, now, [first, second], mutant)),
        }
    }

    /// Receipt first, permits second.
    pub(crate) fn delete(
        &mut self,
        ask: Request,
        now: u8,
        kinds: [Kind; 2],
        mutant: Option<Mutant>,
    ) -> Answer {
        let all_yes = self.slots == [Some(Kind::Yes); 2];
        self.taken.push((ask.attempt.0, all_yes));
        self.took_late |= now > ask.not_after;
        if mutant != Some(Mutant::NoReceipts) {
            self.receipt = Some((ask.attempt, kinds));
        }
        self.slots = [None; 2];
        Answer::Taken(kinds)
    }
}
