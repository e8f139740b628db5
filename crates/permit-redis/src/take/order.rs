//! One take, spelled out in keys, and what a server can answer to it.

use crate::{config::RedisConfig, keys::slot_of};
use permit_gate::{AttemptId, Reply, Slot, StoreError, Take, rule::MAX_PERMIT_BYTES};
use std::time::Instant;

use super::receipt::Receipt;

/// Bytes of a permit that are worth reading: one more than any permit may have.
pub(crate) const READ_AT_MOST: usize = MAX_PERMIT_BYTES + 1;

/// What a server has to know to take a plan's permits.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) permits: Vec<String>,
    pub(crate) receipt: String,
    /// The kill switch, where it lies in the same slot and can be read in the same step.
    pub(crate) switch: Option<String>,
    pub(crate) attempt: AttemptId,
    pub(crate) not_after: Instant,
    pub(crate) receipt_seconds: u64,
}

impl Order {
    pub(crate) fn new(config: &RedisConfig, take: &Take, switch_elsewhere: bool) -> Self {
        Self {
            permits: config.keys.keys(&take.plan),
            receipt: config.receipt.key(&take.plan),
            switch: (!switch_elsewhere).then(|| config.kill_switch.clone()),
            attempt: take.attempt.clone(),
            not_after: take.not_after,
            receipt_seconds: config.receipt_ttl.as_secs().max(1),
        }
    }

    /// All keys in the order both ways of taking read them: permits, receipt, kill switch.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let rest = [Some(&self.receipt), self.switch.as_ref()];
        let all = self.permits.iter().chain(rest.into_iter().flatten());
        all.map(String::as_str)
    }

    /// The slot they all lie in, on a cluster.
    pub(crate) fn slot(&self) -> u16 {
        slot_of(&self.receipt)
    }
}

/// What a server says, before it is told whose receipt it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken(Vec<Vec<u8>>),
    Missing(Vec<Slot>),
    Receipt(Vec<u8>),
    Halted,
    Late,
    /// The receipt's key holds another type.
    NoReceipt,
}

impl Answer {
    /// The gate's words for it.
    pub(crate) fn into_reply(self, order: &Order) -> Result<Reply, StoreError> {
        Ok(match self {
            Self::Taken(contents) => Reply::Taken(contents),
            Self::Missing(slots) => Reply::Missing(slots),
            Self::Halted => Reply::Halted,
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

/// Whether a kill switch with this content is on. `exists` tells a key of another type, which is
/// nil to MGET, from no key. Whatever is not plainly off is on; the script says the same.
pub(crate) fn is_halted(content: Option<&[u8]>, exists: bool) -> bool {
    let Some(content) = content else {
        return exists;
    };
    let word = content.trim_ascii().to_ascii_lowercase();
    content.len() > 16 || !matches!(&*word, b"" | b"false" | b"0" | b"no")
}
