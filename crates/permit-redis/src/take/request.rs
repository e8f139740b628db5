//! One take, spelled out in keys, and what a server can answer to it.

use super::{receipt::Receipt, switch::Switch};
use crate::{config::RedisConfig, keys::slot_of};
use permit_gate::{AttemptId, Reply, Slot, StoreError, Take, rule::MAX_PERMIT_BYTES};
use redis::{Cmd, Script, ScriptInvocation, cmd};
use std::{sync::LazyLock, time::Instant};

/// Bytes of a permit that are worth reading: one more than any permit may have.
pub(crate) const READ_AT_MOST: usize = MAX_PERMIT_BYTES + 1;

/// Most bytes of a holder's field. A longer one belongs to no attempt, and is not read.
pub const MAX_HOLDER_BYTES: usize = 4096;

/// Most bytes of a receipt beside the permits: version, attempt, time, and a length each.
const RECEIPT_HEAD: usize = 256;
/// Of a length and what parts it from the next.
const MAX_DIGITS: usize = 8;

/// What a server has to know to take a plan's permits.
#[derive(Debug)]
pub(crate) struct TakeRequest {
    pub(crate) permits: Vec<String>,
    pub(crate) receipt: String,
    /// The kill switch, where it lies in the same slot and can be read in the same step.
    pub(crate) switch: Option<Switch>,
    /// The keys that halt by being there, where they can be looked at in the same step.
    pub(crate) halting: Vec<String>,
    /// The key that keeps takes from happening while it is there, where it can be looked at in the same step.
    pub(crate) fence: Option<String>,
    /// Where the plan's holder stands.
    pub(crate) holder: HolderAt,
    pub(crate) attempt: AttemptId,
    pub(crate) not_after: Instant,
    pub(crate) receipt_seconds: u64,
}

/// How a take learns whether its attempt holds the plan.
#[derive(Debug)]
pub(crate) enum HolderAt {
    /// Nothing of the kind is asked.
    Nowhere,
    /// In this slot: looked at in the same step.
    Here(Holder),
    /// In another slot: it was looked at before, and held.
    Elsewhere {
        /// Whether it was ready as well.
        ready: bool,
    },
}

/// A plan's field in the hash of holders, and how it begins for one attempt.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) hash: String,
    pub(crate) plan: String,
    /// While the attempt holds the plan.
    pub(crate) held: String,
    /// While it may take its permits as well.
    pub(crate) ready: String,
}

/// What a field of holders says to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Lost,
    NotReady,
    Ready,
}

static BEGINNING: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local field = redis.call('HGET', KEYS[1], ARGV[1]) \
         return field and string.sub(field, 1, ARGV[2])",
    )
});

impl Holder {
    /// Where the configuration asks for one.
    pub(crate) fn of(config: &RedisConfig, take: &Take) -> Option<Self> {
        let (hash, word) = config.holders.as_ref()?;
        Some(Self {
            hash: hash.clone(),
            plan: take.plan.to_string(),
            held: format!("{} ", take.attempt),
            ready: format!("{} {word} ", take.attempt),
        })
    }

    /// `HSTRLEN` of the field: how much `HGET` would bring.
    pub(crate) fn size(&self) -> Cmd {
        self.of_field("HSTRLEN")
    }

    /// `HGET` of the field.
    pub(crate) fn read(&self) -> Cmd {
        self.of_field("HGET")
    }

    fn of_field(&self, command: &str) -> Cmd {
        let mut command = cmd(command);
        command.arg(&self.hash).arg(&self.plan);
        command
    }

    /// By script: of a field that is too long only as much as shows that.
    pub(crate) fn beginning(&self) -> ScriptInvocation<'static> {
        let mut read = BEGINNING.key(&self.hash);
        read.arg(&self.plan).arg(MAX_HOLDER_BYTES + 1);
        read
    }

    /// What it says; the script of the take says the same.
    pub(crate) fn judge(&self, field: Option<&[u8]>) -> Hold {
        match field {
            Some(field) if field.len() > MAX_HOLDER_BYTES => Hold::Lost,
            Some(field) if field.starts_with(self.ready.as_bytes()) => Hold::Ready,
            Some(field) if field.starts_with(self.held.as_bytes()) => Hold::NotReady,
            _ => Hold::Lost,
        }
    }
}

impl TakeRequest {
    pub(crate) fn new(
        config: &RedisConfig,
        take: &Take,
        switch_elsewhere: bool,
        holder: HolderAt,
    ) -> Self {
        Self {
            permits: config.keys.keys(&take.plan),
            receipt: config.receipt.key(&take.plan),
            switch: (!switch_elsewhere).then(|| config.kill_switch.clone()),
            halting: match config.is_cluster() {
                // Each of them lies in a slot of its own.
                true => Vec::new(),
                false => config.halting_keys(),
            },
            fence: config.fence.clone().filter(|_| !config.is_cluster()),
            holder,
            attempt: take.attempt.clone(),
            not_after: take.not_after,
            receipt_seconds: config.receipt_ttl.as_secs().max(1),
        }
    }

    /// All strings in the order both ways of taking read them: permits, receipt, kill switch.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let switch = self.switch.as_ref().map(|switch| &switch.key);
        let rest = [Some(&self.receipt), switch];
        let all = self.permits.iter().chain(rest.into_iter().flatten());
        all.map(String::as_str)
    }

    /// The hash of holders, where it is looked at in the same step.
    pub(crate) fn holder(&self) -> Option<&Holder> {
        match &self.holder {
            HolderAt::Here(holder) => Some(holder),
            HolderAt::Nowhere | HolderAt::Elsewhere { .. } => None,
        }
    }

    /// Bytes of the receipt that are worth reading: one more than this order's may have.
    pub(crate) fn receipt_at_most(&self) -> usize {
        RECEIPT_HEAD + self.permits.len() * (READ_AT_MOST + MAX_DIGITS) + 1
    }

    /// How many bytes of each of [`TakeRequest::keys`] are worth reading.
    pub(crate) fn at_most(&self) -> impl Iterator<Item = usize> {
        let permits = self.permits.iter().map(|_| READ_AT_MOST);
        let switch = self.switch.iter().map(|switch| switch.off.at_most());
        permits.chain([self.receipt_at_most()]).chain(switch)
    }

    /// The slot they all lie in, on a cluster.
    pub(crate) fn slot(&self) -> u16 {
        slot_of(&self.receipt)
    }
}

/// What a server says, before it knows whose receipt it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken(Vec<Vec<u8>>),
    Missing(Vec<Slot>),
    NotReady(Vec<Slot>),
    NotHeld,
    Receipt(Vec<u8>),
    Halted,
    Fenced,
    Late,
    /// The receipt's key holds another type.
    NoReceipt,
}

impl Answer {
    /// The gate's words for it.
    pub(crate) fn into_reply(self, order: &TakeRequest) -> Result<Reply, StoreError> {
        Ok(match self {
            Self::Taken(contents) => Reply::Taken(contents),
            Self::Missing(slots) => Reply::Missing(slots),
            Self::NotReady(slots) => Reply::NotReady(slots),
            Self::NotHeld => Reply::NotHeld,
            Self::Halted => Reply::Halted,
            Self::Fenced => Reply::Fenced,
            Self::Late => Reply::Late,
            Self::Receipt(text) => match Receipt::read(&text, order.permits.len()) {
                Some(receipt) => match receipt.of(&order.attempt) {
                    Some(contents) => Reply::Taken(contents),
                    None => Reply::TakenByOther,
                },
                None => return Err(unreadable_receipt()),
            },
            Self::NoReceipt => return Err(unreadable_receipt()),
        })
    }
}

fn unreadable_receipt() -> StoreError {
    StoreError::Unreadable("what lies under the receipt's key is no receipt".into())
}

/// The command that reads as much of a string as is worth reading.
pub(crate) fn read(key: &str, at_most: usize) -> Cmd {
    let mut read = cmd("GETRANGE");
    read.arg(key).arg(0).arg(at_most - 1);
    read
}

/// The command that says how many of these keys are there.
pub(crate) fn count(keys: &[String]) -> Cmd {
    let mut count = cmd("EXISTS");
    count.arg(keys);
    count
}
