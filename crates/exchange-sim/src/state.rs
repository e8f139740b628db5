//! What all connections of one simulated venue share.

use crate::{
    config::{Drift, SimConfig},
    fault::{Fault, FaultId, Faults, Script},
    http::Request,
    log::{OrderLog, Verdict},
    venue::Venue,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// Distinct method-and-path pairs that are counted; more go under one name, so that no client can fill the memory.
const COUNTED_PATHS: usize = 1_000;

/// How many requests came for one method and path, whatever became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WireCount {
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Requests read.
    pub requests: u64,
    /// How many of them carried an `X-MBX-APIKEY` header.
    pub with_key: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) venue: Venue,
    pub(crate) faults: Faults,
    pub(crate) orders: OrderLog,
    pub(crate) stops: OrderLog,
    pub(crate) latency: Duration,
    pub(crate) reset_next: u32,
    opening: u64,
    wire: BTreeMap<(String, String), (u64, u64)>,
}

/// A request as the venue first sees it.
pub(crate) struct Arrival {
    pub(crate) fault: Option<(FaultId, Fault)>,
    pub(crate) latency: Duration,
    /// The entry in one of the logs, where the request is a new order or a new stop.
    pub(crate) entry: Option<Entry>,
}

/// An entry in one of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) log: Log,
    seq: u64,
    /// How often the venue had been opened anew: what arrived before a reset is no entry after it.
    opening: u64,
}

/// Which of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Orders,
    Stops,
}

impl State {
    fn new(config: &SimConfig, opening: u64) -> Self {
        Self {
            opening,
            venue: Venue::new(config),
            faults: Faults::default(),
            orders: OrderLog::new(config.capacity),
            stops: OrderLog::new(config.capacity),
            latency: config.latency,
            reset_next: 0,
            wire: BTreeMap::new(),
        }
    }

    /// Counts and logs a request and picks its fault.
    pub(crate) fn arrive(&mut self, request: &Request) -> Arrival {
        self.count(request);
        let fault = self.faults.take_for(request);
        let touched_by = fault.as_ref().map(|(id, _)| *id);
        let account = self.venue.account_name(request.api_key.as_deref());
        let log = match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/fapi/v1/order") => Some(Log::Orders),
            ("POST", "/fapi/v1/algoOrder") => Some(Log::Stops),
            _ => None,
        };
        let entry = log.map(|log| Entry {
            log,
            seq: match log {
                Log::Orders => self.orders.arrive(request, account, touched_by),
                Log::Stops => self.stops.arrive(request, account, touched_by),
            },
            opening: self.opening,
        });
        Arrival {
            fault,
            latency: self.latency,
            entry,
        }
    }

    /// Notes what became of what arrived.
    pub(crate) fn settle(&mut self, entry: Entry, verdict: Verdict) {
        if entry.opening != self.opening {
            return;
        }
        match entry.log {
            Log::Orders => self.orders.settle(entry.seq, verdict),
            Log::Stops => self.stops.settle(entry.seq, verdict),
        }
    }

    fn count(&mut self, request: &Request) {
        let mut key = (request.method.clone(), request.path.clone());
        if !self.wire.contains_key(&key) && self.wire.len() >= COUNTED_PATHS {
            key = ("*".to_owned(), "*".to_owned());
        }
        let (requests, with_key) = self.wire.entry(key).or_default();
        *requests += 1;
        *with_key += u64::from(request.api_key.is_some());
    }

    pub(crate) fn wire_counts(&self) -> impl Iterator<Item = WireCount> {
        self.wire
            .iter()
            .map(|((method, path), (requests, with_key))| WireCount {
                method: method.clone(),
                path: path.clone(),
                requests: *requests,
                with_key: *with_key,
            })
    }

    pub(crate) fn clear_wire_counts(&mut self) {
        self.wire.clear();
    }
}

/// A request that is acted on after its client has been answered.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) request: Request,
    pub(crate) entry: Option<Entry>,
    pub(crate) after: Duration,
    pub(crate) script: Script,
}

/// The state, its lock, and the signals that connections listen to.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    config: SimConfig,
    /// Orders that have arrived so far.
    pub(crate) arrived: watch::Sender<u64>,
    /// Changes whenever idle connections are to be closed.
    pub(crate) close_idle: watch::Sender<u64>,
    pub(crate) drift: Option<Drift>,
    /// Towards the server, which owns the waiting.
    pub(crate) late: mpsc::UnboundedSender<Late>,
}

impl Shared {
    pub(crate) fn new(config: &SimConfig) -> (Arc<Self>, mpsc::UnboundedReceiver<Late>) {
        let (late, lates) = mpsc::unbounded_channel();
        let shared = Arc::new(Self {
            state: Mutex::new(State::new(config, 0)),
            config: config.clone(),
            arrived: watch::Sender::new(0),
            close_idle: watch::Sender::new(0),
            drift: config.drift,
            late,
        });
        (shared, lates)
    }

    /// Opens the venue anew: everything is as it was at the start, and every log and the fault queue are empty.
    /// Requests that are under way are answered by the new one.
    pub(crate) fn reset(&self) {
        let mut state = self.lock();
        let opening = state.opening + 1;
        *state = State::new(&self.config, opening);
        drop(state);
        self.arrived.send_replace(0);
    }

    /// A panic elsewhere must not take the judge's log away, so a poisoned lock is opened all the same.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
