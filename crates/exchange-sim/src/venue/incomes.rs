//! What changed the wallet of one account.

use rust_decimal::Decimal;
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Income {
    pub(super) symbol: String,
    pub(super) kind: &'static str,
    pub(super) amount: Decimal,
    pub(super) time: i64,
    pub(super) id: u64,
    pub(super) trade: Option<u64>,
}

/// The newest changes of the wallet balance.
#[derive(Debug)]
pub(super) struct Incomes {
    pub(super) capacity: usize,
    pub(super) next: u64,
    pub(super) all: VecDeque<Income>,
}

impl Incomes {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            next: 9_689_322_392,
            all: VecDeque::new(),
        }
    }

    /// What was moved into the wallet, or out of it.
    pub(super) fn transfer(&mut self, amount: Decimal, now: i64) {
        if !amount.is_zero() {
            self.add("", "TRANSFER", amount, None, now);
        }
    }

    pub(super) fn add(
        &mut self,
        symbol: &str,
        kind: &'static str,
        amount: Decimal,
        trade: Option<u64>,
        time: i64,
    ) {
        if self.all.len() >= self.capacity {
            self.all.pop_front();
        }
        self.next += 1;
        self.all.push_back(Income {
            symbol: symbol.to_owned(),
            kind,
            amount,
            time,
            id: self.next,
            trade,
        });
    }
}
