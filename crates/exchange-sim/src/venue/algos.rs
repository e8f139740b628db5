//! The conditional orders of one account.

use super::book::{ActiveVeil, Kind, Side, TimeInForce};
use crate::config::PositionSide;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How long the venue answers for one that ended without a fill, and for any other.
const UNFILLED_KNOWN_MS: i64 = 3 * 86_400_000;
const KNOWN_MS: i64 = 90 * 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    Stop,
    TakeProfit,
}

impl Trigger {
    pub(super) fn word(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Stop, Kind::Market) => "STOP_MARKET",
            (Self::TakeProfit, Kind::Market) => "TAKE_PROFIT_MARKET",
            (Self::Stop, Kind::Limit) => "STOP",
            (Self::TakeProfit, Kind::Limit) => "TAKE_PROFIT",
        }
    }

    /// Whether `price` is at or past the trigger price.
    pub(super) fn reached(self, side: Side, trigger_price: Decimal, price: Decimal) -> bool {
        match (self, side) {
            (Self::Stop, Side::Sell) | (Self::TakeProfit, Side::Buy) => price <= trigger_price,
            (Self::Stop, Side::Buy) | (Self::TakeProfit, Side::Sell) => price >= trigger_price,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlgoStatus {
    New,
    Canceled,
    /// It became an order; once that has ended it is shown as `FINISHED`.
    Triggered,
    Expired,
    /// It triggered, and its order was refused.
    Rejected,
}

/// How much a conditional order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    WholePosition,
    Fixed {
        quantity: Decimal,
        reduce_only: bool,
    },
}

/// A conditional order that is waiting for its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStop {
    /// The venue's id.
    pub algo_id: u64,
    /// `clientAlgoId`.
    pub client_algo_id: String,
    /// In USDT.
    pub trigger_price: Decimal,
    /// In the base asset; `None` for `closePosition=true`.
    pub quantity: Option<Decimal>,
}

#[derive(Debug, Clone)]
pub(super) struct Algo {
    pub(super) id: u64,
    pub(super) client_id: String,
    pub(super) symbol: String,
    pub(super) side: Side,
    pub(super) position_side: PositionSide,
    pub(super) trigger: Trigger,
    pub(super) kind: Kind,
    pub(super) trigger_price: Decimal,
    /// Zero where it becomes a market order.
    pub(super) price: Decimal,
    pub(super) time_in_force: TimeInForce,
    pub(super) good_till: i64,
    pub(super) self_trade_prevention: &'static str,
    pub(super) price_match: &'static str,
    pub(super) amount: Amount,
    pub(super) mark_price_works: bool,
    pub(super) price_protect: bool,
    pub(super) status: AlgoStatus,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) triggered: i64,
    pub(super) order: Option<u64>,
    pub(super) veil: ActiveVeil,
}

impl Algo {
    pub(super) fn is_open(&self) -> bool {
        self.status == AlgoStatus::New
    }

    pub(super) fn is_forgotten(&self, now: i64) -> bool {
        let age = now.saturating_sub(self.created);
        let ended_unfilled = matches!(self.status, AlgoStatus::Canceled | AlgoStatus::Expired);
        age > KNOWN_MS || (ended_unfilled && age > UNFILLED_KNOWN_MS)
    }
}

/// The newest conditional orders. An open one is never dropped.
#[derive(Debug)]
pub(super) struct Algos {
    pub(super) capacity: usize,
    pub(super) next: u64,
    pub(super) all: BTreeMap<u64, Algo>,
    pub(super) open: BTreeSet<u64>,
    pub(super) by_client: HashMap<String, u64>,
}

impl Algos {
    /// `account` keeps the ids of several accounts apart.
    pub(super) fn new(capacity: usize, account: usize) -> Self {
        Self {
            capacity,
            next: 1_000_000_202_490_584 + u64::try_from(account).unwrap_or(0) * 1_000_000_000_000,
            all: BTreeMap::new(),
            open: BTreeSet::new(),
            by_client: HashMap::new(),
        }
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Algo> {
        self.open.iter().filter_map(|id| self.all.get(id))
    }

    pub(super) fn named(&self, client_id: &str) -> Option<&Algo> {
        self.by_client
            .get(client_id)
            .and_then(|id| self.all.get(id))
    }

    /// A conditional order as a query sees it: not at all while a veil is over it.
    pub(super) fn seen(&mut self, id: u64, now: i64) -> Option<Algo> {
        let algo = self.all.get_mut(&id)?;
        (!algo.veil.hides(now)).then(|| algo.clone())
    }

    pub(super) fn put(&mut self, algo: Algo) {
        if algo.is_open() {
            self.open.insert(algo.id);
        } else {
            self.open.remove(&algo.id);
        }
        self.by_client.insert(algo.client_id.clone(), algo.id);
        self.all.insert(algo.id, algo);
        while self.all.len() > self.capacity {
            let oldest = self.all.keys().find(|id| !self.open.contains(id)).copied();
            let Some(oldest) = oldest else { break };
            if let Some(gone) = self.all.remove(&oldest)
                && self.by_client.get(&gone.client_id) == Some(&oldest)
            {
                self.by_client.remove(&gone.client_id);
            }
        }
    }
}
