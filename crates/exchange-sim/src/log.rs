//! The order log and the stop log: every `POST /fapi/v1/order` and `POST /fapi/v1/algoOrder` that arrived, and what became
//! of it. The judges in tests.

use crate::{
    fault::{FaultId, peek},
    http::Request,
};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use std::{
    collections::VecDeque,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// What became of an order that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderOutcome {
    /// Arrived; a latency or a delay still stands before its execution.
    Pending,
    /// Filled whole.
    Filled,
    /// Accepted and open; some of it may have filled.
    Open,
    /// Ended without filling whole; some of it may have filled.
    Expired,
    /// Refused by the venue's rules, with this code.
    Rejected(i32),
    /// A fault kept it from ever being executed.
    NotExecuted,
}

/// One entry of the order log, or of the stop log, where a stop counts as an order that never fills.
///
/// As JSON: decimals are strings, `at` is left out, times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderRecord {
    /// Position in the log since the venue opened, from 0; survives the loss of older entries.
    pub seq: u64,
    /// When the whole request had been read, on this process's steady clock.
    #[serde(skip)]
    pub at: Instant,
    /// The same, in nanoseconds since the venue opened.
    pub since_start_ns: u64,
    /// The same, in nanoseconds since 1970 on this machine's wall clock (not the simulated server's).
    pub unix_ns: u64,
    /// All parameters as they were sent, query before body, signature included.
    pub params: String,
    /// `newClientOrderId` as sent; a stop's `clientAlgoId`.
    pub client_order_id: Option<String>,
    /// `symbol` as sent.
    pub symbol: Option<String>,
    /// The account that its key opens; `None` for a key that the venue does not know.
    pub account: Option<String>,
    /// What became of it at the venue, whatever was answered to the client.
    pub outcome: OrderOutcome,
    /// How much filled at execution, in the base asset.
    #[serde(serialize_with = "as_text")]
    pub executed_qty: Decimal,
    /// The venue's id of the order or stop, where one was made.
    pub order_id: Option<u64>,
    /// The fault that touched the request.
    pub fault: Option<FaultId>,
}

impl OrderRecord {
    /// Whether any quantity filled.
    pub fn moved_the_position(&self) -> bool {
        self.executed_qty > Decimal::ZERO
    }
}

fn as_text<S: Serializer>(value: &Decimal, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// What the venue did with an order, for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) outcome: OrderOutcome,
    pub(crate) executed_qty: Decimal,
    pub(crate) order_id: Option<u64>,
}

/// The newest entries, and how many older ones had to go.
#[derive(Debug)]
pub(crate) struct OrderLog {
    opened: Instant,
    capacity: usize,
    dropped: u64,
    records: VecDeque<OrderRecord>,
}

impl OrderLog {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            opened: Instant::now(),
            capacity,
            dropped: 0,
            records: VecDeque::new(),
        }
    }

    /// Enters an arrival; the answer names it for [`OrderLog::settle`].
    pub(crate) fn arrive(
        &mut self,
        request: &Request,
        account: Option<&str>,
        fault: Option<FaultId>,
    ) -> u64 {
        let at = Instant::now();
        let seq = self.total();
        if self.records.len() == self.capacity {
            self.records.pop_front();
            self.dropped += 1;
        }
        self.records.push_back(OrderRecord {
            seq,
            at,
            since_start_ns: nanos(at.saturating_duration_since(self.opened)),
            unix_ns: nanos(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default(),
            ),
            params: request.joined_parameters(),
            client_order_id: peek(request, "newClientOrderId")
                .or_else(|| peek(request, "clientAlgoId")),
            symbol: peek(request, "symbol"),
            account: account.map(str::to_owned),
            outcome: OrderOutcome::Pending,
            executed_qty: Decimal::ZERO,
            order_id: None,
            fault,
        });
        seq
    }

    pub(crate) fn settle(&mut self, seq: u64, verdict: Verdict) {
        let index = seq
            .checked_sub(self.dropped)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(record) = index.and_then(|index| self.records.get_mut(index)) {
            record.outcome = verdict.outcome;
            record.executed_qty = verdict.executed_qty;
            record.order_id = verdict.order_id;
        }
    }

    pub(crate) fn records(&self) -> impl DoubleEndedIterator<Item = &OrderRecord> {
        self.records.iter()
    }

    /// Entries since the venue opened, those that had to go included.
    pub(crate) fn total(&self) -> u64 {
        self.dropped + u64::try_from(self.records.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_full_log_drops_the_oldest_counts_it_and_settles_the_right_one() {
        let mut log = OrderLog::new(2);
        let request = Request::default();
        let first = log.arrive(&request, None, None);
        log.arrive(&request, None, None);
        let third = log.arrive(&request, None, None);
        let verdict = Verdict {
            outcome: OrderOutcome::Filled,
            executed_qty: Decimal::ONE,
            order_id: Some(7),
        };
        log.settle(first, verdict);
        assert!(log.records().all(|r| r.outcome == OrderOutcome::Pending));
        log.settle(third, verdict);
        let last = log.records().next_back().unwrap();
        assert_eq!((last.seq, last.outcome), (2, OrderOutcome::Filled));
        assert_eq!((log.total(), log.dropped()), (3, 1));
    }
}
