//! The inside view of a running venue, for the process that started it.

use crate::{
    config::PositionSide,
    fault::{Fault, FaultId, FaultStatus},
    limits::Limits,
    log::OrderRecord,
    state::{Shared, WireCount},
    symbol::SymbolSpec,
    venue::{NotModelled, OpenStop},
};
use rust_decimal::Decimal;
use std::{sync::Arc, time::Duration};

/// Reads the logs of a running venue and turns its screws. Clones see the same venue.
///
/// What is of one account (positions, wallet, stops, position mode) is of the first one, or of the one that
/// [`SimHandle::on`] names. A handle outlives the venue: after a shutdown its logs can still be read.
#[derive(Debug, Clone)]
pub struct SimHandle {
    pub(crate) shared: Arc<Shared>,
    account: usize,
}

impl SimHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, account: 0 }
    }

    /// A handle on another account; `None` where there is none of this name.
    pub fn on(&self, account: &str) -> Option<Self> {
        let number = self.shared.lock().venue.account_number(account)?;
        Some(Self {
            shared: Arc::clone(&self.shared),
            account: number,
        })
    }

    pub(crate) fn account_number(&self) -> usize {
        self.account
    }

    /// Opens the venue anew: accounts, prices, modes, clock and limits are as at the start, logs and fault queue empty.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// What clients asked for and is not modelled.
    pub fn not_modelled(&self) -> Vec<NotModelled> {
        self.shared.lock().venue.missing()
    }

    /// Wallet balance in USDT.
    pub fn wallet(&self) -> Decimal {
        self.shared
            .lock()
            .venue
            .account(self.account)
            .map(|account| account.wallet_balance())
            .unwrap_or_default()
    }

    /// Sets the wallet balance in USDT, as a transfer would.
    pub fn set_wallet(&self, balance: Decimal) {
        self.shared.lock().venue.set_wallet(self.account, balance);
    }

    /// Sets how far bid and ask stand from the mark price, as a share of it; market orders fill there. With zero they
    /// stand a tick away, and orders fill at the mark price.
    ///
    /// # Panics
    /// If the venue has no such symbol, or the share is not from 0 to below 1.
    pub fn set_spread(&self, symbol: &str, share: Decimal) {
        let set = self.shared.lock().venue.set_spread(symbol, share);
        assert!(set, "no symbol {symbol}, or no such share: {share}");
    }

    /// Every new order that arrived, oldest first, as far as the log reaches back.
    pub fn orders(&self) -> Vec<OrderRecord> {
        self.shared.lock().orders.records().cloned().collect()
    }

    /// The entries of one client order id.
    pub fn orders_of(&self, client_order_id: &str) -> Vec<OrderRecord> {
        self.shared
            .lock()
            .orders
            .records()
            .filter(|record| record.client_order_id.as_deref() == Some(client_order_id))
            .cloned()
            .collect()
    }

    /// How many new orders arrived since the venue opened, lost entries included.
    pub fn order_count(&self) -> u64 {
        self.shared.lock().orders.total()
    }

    /// How many entries the order log has lost to its capacity. A judge wants to see 0 here.
    pub fn orders_dropped(&self) -> u64 {
        self.shared.lock().orders.dropped()
    }

    /// Every new conditional order that arrived, oldest first, as far as the log reaches back (as far as that of the orders).
    pub fn stops(&self) -> Vec<OrderRecord> {
        self.shared.lock().stops.records().cloned().collect()
    }

    /// How many entries the stop log has lost to its capacity. A judge wants to see 0 here.
    pub fn stops_dropped(&self) -> u64 {
        self.shared.lock().stops.dropped()
    }

    /// Waits until `count` new orders have arrived since the venue opened. Safe to drop.
    pub async fn wait_for_orders(&self, count: u64) {
        let mut arrived = self.shared.arrived.subscribe();
        // The sender lives in `shared`, which this handle keeps alive.
        let _ = arrived.wait_for(|seen| *seen >= count).await;
    }

    /// Requests by method and path, control requests left out.
    pub fn requests(&self) -> Vec<WireCount> {
        self.shared.lock().wire_counts().collect()
    }

    /// Requests for one method and path.
    pub fn request_count(&self, method: &str, path: &str) -> u64 {
        self.shared
            .lock()
            .wire_counts()
            .find(|count| count.method == method && count.path == path)
            .map_or(0, |count| count.requests)
    }

    /// Sets all request counts back to zero.
    pub fn clear_requests(&self) {
        self.shared.lock().clear_wire_counts();
    }

    /// Puts a fault at the end of the queue.
    ///
    /// # Panics
    /// If a scripted fill has a price that is not above zero and at most 4529764.
    pub fn script(&self, fault: Fault) -> FaultId {
        if let Err(mistake) = fault.check() {
            panic!("{mistake}");
        }
        self.shared.lock().faults.add(fault)
    }

    /// All faults in the queue, with their hits.
    pub fn faults(&self) -> Vec<FaultStatus> {
        self.shared.lock().faults.statuses().cloned().collect()
    }

    /// How many requests a fault touched; 0 for one that is not in the queue.
    pub fn fault_hits(&self, id: FaultId) -> u32 {
        self.shared
            .lock()
            .faults
            .statuses()
            .find(|status| status.id == id)
            .map_or(0, |status| status.hits)
    }

    /// Empties the queue. Requests that a fault already touches go on as it says.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Resets (RST) the next `count` connections right after they are accepted, before anything is read.
    pub fn reset_next_connections(&self, count: u32) {
        self.shared.lock().reset_next = count;
    }

    /// Closes every connection that is between two requests, as a server's keep-alive limit does.
    pub fn close_idle_connections(&self) {
        self.shared.close_idle.send_modify(|turn| *turn += 1);
    }

    /// Position of one-way mode in the base asset: above zero long, below zero short, 0 flat or unknown symbol.
    pub fn position(&self, symbol: &str) -> Decimal {
        self.leg(symbol, PositionSide::Both)
    }

    /// One leg's amount in the base asset.
    pub fn leg(&self, symbol: &str, side: PositionSide) -> Decimal {
        self.shared
            .lock()
            .venue
            .position(self.account, symbol, side)
            .amount
    }

    /// Sets the one-way position of a symbol, its entry price being the mark price.
    ///
    /// # Panics
    /// If the venue has no such symbol, or the amount is beyond 10^12.
    pub fn set_position(&self, symbol: &str, amount: Decimal) {
        self.set_leg(symbol, PositionSide::Both, amount);
    }

    /// Sets one leg of a symbol, its entry price being the mark price.
    ///
    /// # Panics
    /// If the venue has no such symbol, or the amount is beyond 10^12.
    pub fn set_leg(&self, symbol: &str, side: PositionSide, amount: Decimal) {
        let set = self
            .shared
            .lock()
            .venue
            .set_position(self.account, symbol, side, amount, None);
        assert!(set, "no symbol {symbol}, or no such amount: {amount}");
    }

    /// The conditional orders of a symbol that wait for their price, oldest first.
    pub fn open_stops(&self, symbol: &str) -> Vec<OpenStop> {
        self.shared.lock().venue.open_stops(self.account, symbol)
    }

    /// How often a cancellation left a held position without any conditional order that would reduce it.
    pub fn times_left_bare(&self) -> u64 {
        self.shared
            .lock()
            .venue
            .account(self.account)
            .map_or(0, |account| account.times_left_bare())
    }

    /// Mark price in USDT, where the symbol is known.
    pub fn price(&self, symbol: &str) -> Option<Decimal> {
        self.shared.lock().venue.mark_price(symbol)
    }

    /// Moves a mark price; resting orders and stops that it reaches are executed before this returns.
    ///
    /// # Panics
    /// If the venue has no such symbol, or the price is not above zero and at most 4529764.
    pub fn set_price(&self, symbol: &str, price: Decimal) {
        let moved = self.shared.lock().venue.set_mark_price(symbol, price);
        assert!(moved, "no symbol {symbol}, or no such price: {price}");
    }

    /// Adds a symbol, or changes the filters of a known one (which keeps its mark price).
    ///
    /// # Panics
    /// If no venue could be run with it: prices, amounts or precisions out of range.
    pub fn set_symbol(&self, spec: SymbolSpec) {
        if let Err(mistake) = self.shared.lock().venue.set_symbol(spec) {
            panic!("{mistake}");
        }
    }

    /// The server's clock runs this many milliseconds ahead of this machine's (below zero: behind); at most a
    /// hundred years either way.
    pub fn set_clock_offset_ms(&self, offset: i64) {
        self.shared.lock().venue.set_clock_offset_ms(offset);
    }

    /// Switches between hedge mode and one-way mode. Positions stay where they are.
    pub fn set_hedge_mode(&self, hedge: bool) {
        self.shared.lock().venue.set_hedge_mode(self.account, hedge);
    }

    /// Time between arrival and execution of every venue request from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// Enforces other limits, or none; counts start anew and a ban is lifted.
    pub fn set_limits(&self, limits: Option<Limits>) {
        self.shared.lock().venue.set_limits(limits);
    }

    /// Whether queries of an order leave out `avgPrice` and `cumQuote` too ([`SimConfig::terse_results`](crate::SimConfig::terse_results)).
    pub fn set_terse_results(&self, terse: bool) {
        self.shared.lock().venue.set_terse_results(terse);
    }

    /// Fills what is left of an open order at the mark price. Answers false where no such order is open.
    pub fn fill_open_order(&self, client_order_id: &str) -> bool {
        self.shared
            .lock()
            .venue
            .fill_open_order(self.account, client_order_id)
    }
}
