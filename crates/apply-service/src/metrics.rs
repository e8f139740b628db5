//! What Prometheus reads: the old names as they were, the new ones beside them.

mod by_symbol;

use self::by_symbol::BySymbol;
use crate::{http::Page, reasons};
use apply_core::{
    Decision, Event, Observer, Reason, Settlement, Submission, Symbol,
    exchange::{ExchangeError, StopReplacement, StopsAfterClose},
    sizing::Limit,
};
use apply_wire::metric;
use permit_gate::PermitSet;
use prometheus_client::{
    collector::Collector,
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// All metrics of the process. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    by_symbol: BySymbol,
    dedupe_hits: Counter,
    refused: Family<ReasonLabels, Counter>,
    proposals: Family<ByLabels, Counter>,
    no_room: Family<ReasonLabels, Counter>,
    blocks: Family<ReasonLabels, Counter>,
    found: Family<FoundLabels, Counter>,
    wait: Histogram,
    orders: Family<OutcomeLabels, Counter>,
    unresolved: Counter,
    stops_unresolved: Counter,
    settled: Family<SettledLabels, Counter>,
    limited: Family<ReasonLabels, Counter>,
    stops_after: Family<OutcomeLabels, Counter>,
    recovered: Family<AbandonedLabels, Counter>,
    ends: Family<OutcomeLabels, Counter>,
    known_before: Counter,
    roundtrip: Histogram,
    trouble: Counter,
    ledger: Family<OutcomeLabels, Counter>,
    missed: Family<MissedLabels, Counter>,
    late: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MissedLabels {
    permit: String,
    came: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AbandonedLabels {
    found: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SettledLabels {
    of: &'static str,
    outcome: &'static str,
}

/// What the venue was asked about.
#[derive(Clone, Copy)]
enum Settled {
    Order,
    Stop,
}

impl Settled {
    const ALL: [Self; 2] = [Self::Order, Self::Stop];

    fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Stop => "stop",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy)]
enum SettledAs {
    Executed,
    NotExecuted,
    Unresolved,
}

impl SettledAs {
    const ALL: [Self; 3] = [Self::Executed, Self::NotExecuted, Self::Unresolved];

    fn as_str(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::NotExecuted => "not_executed",
            Self::Unresolved => "unresolved",
        }
    }
}

impl SettledLabels {
    fn of(of: Settled, outcome: SettledAs) -> Self {
        let (of, outcome) = (of.as_str(), outcome.as_str());
        Self { of, outcome }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FoundLabels {
    permit: String,
    by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLabels {
    by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// How plans ended for this process.
const ENDS: [&str; 5] = [
    "published",
    "owed",
    "told_by_another",
    "corrected",
    "contradicted",
];
const AFTER_CLOSE: [&str; 4] = [
    "cancelled",
    "not_cancelled",
    "larger_than_position",
    "not_known",
];
const CAME_LATE: &str = "late";
const NEVER_CAME: &str = "never";
const PUSHED_OUT: &str = "pushed_out";
const WRITTEN: &str = "written";
const LEFT_ALONE: &str = "left_alone";
const NOT_BOOKED: &str = "not_booked";
const OUTCOMES: [&str; 4] = ["accepted", "rejected", "not_sent", "unknown"];
const FOUND_BY: [&str; 4] = ["first_try", "push", "reconnect", "poll"];

impl Metrics {
    /// A result was booked and is out of the position brain's sight.
    pub fn ledger_pushed_out(&self) {
        self.ledger(PUSHED_OUT);
    }

    /// A position was written into the ledger.
    pub fn ledger_written(&self) {
        self.ledger(WRITTEN);
    }

    /// A ledger of another type or form was left alone.
    pub fn ledger_left_alone(&self) {
        self.ledger(LEFT_ALONE);
    }

    /// A result was not booked in time.
    pub fn ledger_not_booked(&self) {
        self.ledger(NOT_BOOKED);
    }

    fn ledger(&self, outcome: &'static str) {
        let labels = OutcomeLabels { outcome };
        self.0.ledger.get_or_create(&labels).inc();
    }

    /// A permit came this long after its plan was blocked for want of it.
    pub fn permit_came_late(&self, permit: &str, by: std::time::Duration) {
        self.missed(permit, CAME_LATE);
        self.0.late.observe(by.as_secs_f64());
    }

    /// A permit did not come while it was listened for after its plan was blocked.
    pub fn permit_never_came(&self, permit: &str) {
        self.missed(permit, NEVER_CAME);
    }

    fn missed(&self, permit: &str, came: &'static str) {
        let permit = permit.to_owned();
        let labels = MissedLabels { permit, came };
        self.0.missed.get_or_create(&labels).inc();
    }

    /// Metrics of a program built from `commit`, for these symbols and permits, every label set there from the
    /// start at 0, and what `gauges` answer when they are asked.
    pub fn new(
        commit: &'static str,
        symbols: &[Symbol],
        permits: &[&str],
        gauges: Vec<Box<dyn Collector>>,
    ) -> Self {
        let mut registry = Registry::with_prefix(metric::PREFIX);
        let r = &mut registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("commit", commit)]);
        r.register("build", metric::help("build"), build);
        let dedupe_hits = registered(r, "dedupe_hits", Counter::default());
        let refused = registered(r, "proposals_refused", Family::default());
        let proposals = registered(r, "proposals_found", Family::default());
        let no_room = registered(r, "plans_refused", Family::default());
        let blocks = registered(r, "blocks", Family::default());
        let found = registered(r, "permits_found", Family::default());
        let orders = registered(r, "orders", Family::default());
        let ends = registered(r, "results", Family::default());
        let recovered = registered(r, "plans_recovered", Family::default());
        let known_before = registered(r, "plans_known_before", Counter::default());
        let unresolved = registered(r, "orders_unresolved", Counter::default());
        let stops_unresolved = registered(r, "stops_unresolved", Counter::default());
        let settled = registered(r, "settled", Family::default());
        let limited = registered(r, "orders_limited", Family::default());
        let stops_after = registered(r, "stops_after_close", Family::default());
        let trouble = registered(r, "port_failures", Counter::default());
        let ledger = registered(r, "ledger_results", Family::default());
        let missed = registered(r, "permits_missed", Family::default());
        let late = Histogram::new([0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]);
        r.register_with_unit(
            "permit_late",
            metric::help("permit_late"),
            Unit::Seconds,
            late.clone(),
        );
        let buckets = [
            0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5,
        ];
        let wait = Histogram::new(buckets);
        r.register_with_unit(
            "permit_wait",
            metric::help("permit_wait"),
            Unit::Seconds,
            wait.clone(),
        );
        let buckets = [
            0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
        ];
        let roundtrip = Histogram::new(buckets);
        r.register_with_unit(
            "order_roundtrip",
            metric::help("order_roundtrip"),
            Unit::Seconds,
            roundtrip.clone(),
        );
        let by_symbol = BySymbol::of(symbols);
        r.register_collector(Box::new(by_symbol.clone()));
        for gauge in gauges {
            r.register_collector(gauge);
        }
        let inner = Inner {
            registry,
            by_symbol,
            dedupe_hits,
            refused,
            proposals,
            no_room,
            blocks,
            found,
            wait,
            orders,
            unresolved,
            stops_unresolved,
            settled,
            limited,
            stops_after,
            recovered,
            ends,
            known_before,
            ledger,
            missed,
            late,
            roundtrip,
            trouble,
        };
        inner.announce_labels(permits);
        Self(Arc::new(inner))
    }

    /// The same for the reasons that are known beforehand.
    pub fn announce_reasons(&self, permits: &PermitSet) {
        let known = |reason: &str| ReasonLabels {
            reason: reason.to_owned(),
        };
        for reason in reasons::blocks(permits) {
            drop(self.0.blocks.get_or_create(&known(&reason)));
        }
        for reason in reasons::refusals() {
            drop(self.0.refused.get_or_create(&known(reason)));
        }
    }
}

impl Page for Metrics {
    fn render(&self) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut page, &self.0.registry);
        page
    }
}

impl Inner {
    fn ended(&self, outcome: &'static str) {
        self.ends.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    fn stops_accounted(&self, stops: &Result<&StopsAfterClose, &ExchangeError>) {
        let count = |outcome, stops: usize| {
            let counter = self.stops_after.get_or_create(&OutcomeLabels { outcome });
            counter.inc_by(stops as u64);
        };
        match stops {
            Ok(stops) => {
                count("cancelled", stops.cancelled.len());
                count("not_cancelled", stops.not_cancelled.len());
                count("larger_than_position", stops.larger_than_position.len());
            }
            Err(_) => count("not_known", 1),
        }
    }

    fn settled(&self, of: Settled, outcome: SettledAs) {
        self.settled
            .get_or_create(&SettledLabels::of(of, outcome))
            .inc();
        let unresolved = match of {
            Settled::Order => &self.unresolved,
            Settled::Stop => &self.stops_unresolved,
        };
        match outcome {
            SettledAs::Unresolved => drop(unresolved.inc()),
            SettledAs::Executed | SettledAs::NotExecuted => {}
        }
    }

    /// Makes every label set there is before anything happens: a rate over a series that did not
    /// exist yet is blind to its first event.
    fn announce_labels(&self, permits: &[&str]) {
        for permit in permits {
            for came in [CAME_LATE, NEVER_CAME] {
                let permit = (*permit).to_owned();
                drop(self.missed.get_or_create(&MissedLabels { permit, came }));
            }
            for by in FOUND_BY {
                drop(self.found.get_or_create(&FoundLabels {
                    permit: (*permit).into(),
                    by,
                }));
            }
        }
        for reason in [Reason::TooManyPlansInFlight, Reason::StoreMayHaveForgotten] {
            let reason = reason.to_string();
            drop(self.no_room.get_or_create(&ReasonLabels { reason }));
        }
        for by in ["first_try", "push", "poll"] {
            drop(self.proposals.get_or_create(&ByLabels { by }));
        }
        for found in ["claimed", "intending", "concluded", "owed", "lost"] {
            drop(self.recovered.get_or_create(&AbandonedLabels { found }));
        }
        for limit in Limit::ALL {
            let reason = limit.as_str().into();
            drop(self.limited.get_or_create(&ReasonLabels { reason }));
        }
        for outcome in [PUSHED_OUT, NOT_BOOKED, WRITTEN, LEFT_ALONE] {
            drop(self.ledger.get_or_create(&OutcomeLabels { outcome }));
        }
        for outcome in AFTER_CLOSE {
            drop(self.stops_after.get_or_create(&OutcomeLabels { outcome }));
        }
        for of in Settled::ALL {
            for outcome in SettledAs::ALL {
                drop(self.settled.get_or_create(&SettledLabels::of(of, outcome)));
            }
        }
        for outcome in ENDS {
            drop(self.ends.get_or_create(&OutcomeLabels { outcome }));
        }
        for outcome in OUTCOMES {
            drop(self.orders.get_or_create(&OutcomeLabels { outcome }));
        }
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        let m = &*self.0;
        match event {
            Event::ProposalFound { by, .. } => {
                let by = by.as_str();
                m.proposals.get_or_create(&ByLabels { by }).inc();
            }
            Event::NoRoom { .. } => {
                let reason = Reason::TooManyPlansInFlight.to_string();
                m.no_room.get_or_create(&ReasonLabels { reason }).inc();
            }
            Event::TooYoung { .. } => {
                let reason = Reason::StoreMayHaveForgotten.to_string();
                m.no_room.get_or_create(&ReasonLabels { reason }).inc();
            }
            Event::Owed { .. } => m.ended("owed"),
            Event::PublishedByAnother { .. } => m.ended("told_by_another"),
            Event::Corrected { .. } => m.ended("corrected"),
            Event::Contradicted { .. } => m.ended("contradicted"),
            Event::ProposalRefused { error } => {
                m.refused
                    .get_or_create(&ReasonLabels {
                        reason: error.reason().to_string(),
                    })
                    .inc();
            }
            Event::PlanPublished { plan } => m.by_symbol.count_plan(plan.symbol(), plan.decision),
            Event::Duplicate { plan } => {
                m.dedupe_hits.inc();
                m.by_symbol.count_plan(plan.symbol(), Decision::Skip);
            }
            Event::PermitFound { name, by, .. } => {
                let by = by.as_str();
                m.found
                    .get_or_create(&FoundLabels {
                        permit: name.to_string(),
                        by,
                    })
                    .inc();
            }
            Event::Granted { waited, .. } => m.wait.observe(waited.as_secs_f64()),
            Event::Blocked { block, reason, .. } => {
                m.wait.observe(block.waited().as_secs_f64());
                m.blocks
                    .get_or_create(&ReasonLabels {
                        reason: reason.to_string(),
                    })
                    .inc();
            }
            Event::Submitted {
                submission, took, ..
            } => {
                let outcome = match submission {
                    Submission::Accepted(_) => "accepted",
                    Submission::Rejected { .. } => "rejected",
                    Submission::NotSent { .. } => "not_sent",
                    Submission::Unknown { .. } => "unknown",
                };
                m.orders.get_or_create(&OutcomeLabels { outcome }).inc();
                m.roundtrip.observe(took.as_secs_f64());
            }
            Event::Settled { settlement, .. } => m.settled(Settled::Order, came_of(settlement)),
            Event::StopSettled { replacement, .. } => {
                m.settled(Settled::Stop, stop_came_of(replacement))
            }
            Event::StopReplaced { replacement, .. } => match replacement {
                StopReplacement::Unknown { .. } => m.settled(Settled::Stop, SettledAs::Unresolved),
                StopReplacement::Placed(_)
                | StopReplacement::Rejected { .. }
                | StopReplacement::NotSent { .. } => {}
            },
            Event::ResultPublished { result } => {
                m.ended("published");
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let now = now.map_or(0, |since| since.as_secs());
                m.by_symbol.count_result(result, now);
            }
            Event::KnownBefore { .. } => {
                m.known_before.inc();
            }
            Event::Recovered { from, .. } => {
                let found = from.as_str();
                m.recovered.get_or_create(&AbandonedLabels { found }).inc();
            }
            Event::PortFailed { .. } | Event::StoreTrouble { .. } => {
                m.trouble.inc();
            }
            Event::Limited { sizing, .. } => {
                for limit in &sizing.limited_by {
                    let reason = limit.as_str().into();
                    m.limited.get_or_create(&ReasonLabels { reason }).inc();
                }
            }
            Event::StopsAccounted { stops, .. } => m.stops_accounted(stops),
            // The client counts every one, also those that are not logged.
            Event::AnswerIncomplete { .. } => {}
            // Counted with what comes of them.
            Event::WaitStarted { .. } | Event::StepStarted { .. } | Event::InFlight { .. } => {}
        }
    }
}

fn came_of(settlement: &Settlement) -> SettledAs {
    match settlement {
        Settlement::Accepted(fill) if !fill.executed_qty.is_zero() => SettledAs::Executed,
        Settlement::Accepted(_) | Settlement::NotExecuted { .. } => SettledAs::NotExecuted,
        Settlement::Unresolved { .. } => SettledAs::Unresolved,
    }
}

fn stop_came_of(replacement: &StopReplacement) -> SettledAs {
    match replacement {
        StopReplacement::Placed(_) => SettledAs::Executed,
        StopReplacement::Rejected { .. } | StopReplacement::NotSent { .. } => {
            SettledAs::NotExecuted
        }
        StopReplacement::Unknown { .. } => SettledAs::Unresolved,
    }
}

fn registered<M: prometheus_client::registry::Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    metric: M,
) -> M {
    registry.register(name, metric::help(name), metric.clone());
    metric
}
