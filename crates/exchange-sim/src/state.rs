//! What all connections of one simulated venue share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::sync::{mpsc, watch};

use crate::{
    config::{Drift, SimConfig},
    fault::{Fault, FaultId, Faults, Script},
    http::Request,
    log::{OrderLog, Verdict},
    venue::Venue,
};

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
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry {
    Order(u64),
    Stop(u64),
}

impl State {
    /// Counts and logs a request and picks its fault.
    pub(crate) fn arrive(&mut self, request: &Request) -> Arrival {
        self.count(request);
        let fault = self.faults.take_for(request);
        let touched_by = fault.as_ref().map(|(id, _)| *id);
        let entry = if request.is("POST", "/fapi/v1/order") {
            Some(Entry::Order(self.orders.arrive(request, touched_by)))
        } else if request.is("POST", "/fapi/v1/algoOrder") {
            Some(Entry::Stop(self.stops.arrive(request, touched_by)))
        } else {
            None
        };
        Arrival {
            fault,
            latency: self.latency,
            entry,
        }
    }

    /// Notes what became of what arrived.
    pub(crate) fn settle(&mut self, entry: Entry, verdict: Verdict) {
        match entry {
            Entry::Order(seq) => self.orders.settle(seq, verdict),
            Entry::Stop(seq) => self.stops.settle(seq, verdict),
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
            state: Mutex::new(State {
                venue: Venue::new(config),
                faults: Faults::default(),
                orders: OrderLog::new(config.capacity),
                stops: OrderLog::new(config.capacity),
                latency: config.latency,
                reset_next: 0,
                wire: BTreeMap::new(),
            }),
            arrived: watch::Sender::new(0),
            close_idle: watch::Sender::new(0),
            drift: config.drift,
            late,
        });
        (shared, lates)
    }

    /// A panic elsewhere must not take the judge's log away, so a poisoned lock is opened all the same.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
