//! What Prometheus reads of reviewers.

use apply_service::http::Page;
use apply_wire::metric::{Of, help_of};
use permit_issuers::{Outcome, ReviewOutcome};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{sync::Arc, time::Duration};
use tracing::{info, warn};

/// Metrics of the reviewers of one process, and their log. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct ReviewMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    permits: Family<VerdictLabels, Counter>,
    unreviewed: Family<UnreviewedLabels, Counter>,
    latency: Family<ReviewerLabels, Histogram>,
    trips: Counter,
    polls: Family<PollLabels, Counter>,
    failures: Family<ReviewerLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewerLabels {
    reviewer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    reviewer: &'static str,
    verdict: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnreviewedLabels {
    reviewer: &'static str,
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PollLabels {
    outcome: &'static str,
}

const UNREVIEWED: [&str; 4] = ["not_execute", "unreadable", "too_old", "done_by_other"];

impl ReviewMetrics {
    /// Metrics of these reviewers, at 0.
    pub(crate) fn new(reviewers: &[&'static str]) -> Self {
        let help = |name| help_of(Of::Reviewers, name);
        let mut registry = Registry::with_prefix("quantum_apply_review");
        let r = &mut registry;
        let permits = Family::default();
        r.register("permits", help("permits"), Family::clone(&permits));
        let unreviewed = Family::default();
        r.register(
            "plans_without_permit",
            help("plans_without_permit"),
            Family::clone(&unreviewed),
        );
        let latency = Family::new_with_constructor(histogram as fn() -> Histogram);
        r.register_with_unit(
            "plan_to_permit",
            help("plan_to_permit"),
            Unit::Seconds,
            Family::clone(&latency),
        );
        let trips = Counter::default();
        r.register(
            "kill_switch_trips",
            help("kill_switch_trips"),
            trips.clone(),
        );
        let polls = Family::default();
        r.register("venue_polls", help("venue_polls"), Family::clone(&polls));
        let failures = Family::default();
        r.register(
            "port_failures",
            help("port_failures"),
            Family::clone(&failures),
        );
        let inner = Inner {
            registry,
            permits,
            unreviewed,
            latency,
            trips,
            polls,
            failures,
        };
        inner.announce_labels(reviewers);
        Self(Arc::new(inner))
    }

    /// Counts and logs what became of one plan.
    pub(crate) fn ruled(&self, reviewer: &'static str, ruled: &ReviewOutcome) {
        let m = &*self.0;
        let (plan, symbol) = match &ruled.about {
            Some((plan, symbol)) => (plan.to_string(), symbol.to_string()),
            None => (ruled.entry.to_string(), "-".into()),
        };
        let without = |why| {
            m.unreviewed
                .get_or_create(&UnreviewedLabels { reviewer, why })
                .inc()
        };
        match &ruled.outcome {
            Outcome::NotForReview => {
                without("not_execute");
            }
            Outcome::Unreadable(error) => {
                without("unreadable");
                warn!("{reviewer}: entry {plan} is no plan: {error}; acknowledged, no permit");
            }
            Outcome::TooOld(age) => {
                without("too_old");
                info!(
                    "{reviewer}: plan={plan} symbol={symbol} came {} s late, no permit",
                    age.as_secs()
                );
            }
            Outcome::DoneByOther => {
                without("done_by_other");
            }
            Outcome::Granted { quantity, took } => {
                m.wrote(reviewer, "granted", "none", *took);
                info!(
                    "[REVIEW] {reviewer} granted plan={plan} symbol={symbol} qty={quantity} took_ms={}",
                    took.as_millis()
                );
            }
            Outcome::Denied {
                reason,
                tripped,
                took,
            } => {
                m.wrote(reviewer, "denied", reason.as_str(), *took);
                info!(
                    "[REVIEW] {reviewer} denied plan={plan} symbol={symbol} reason={reason} took_ms={}",
                    took.as_millis()
                );
                if let Some(why) = tripped {
                    m.trips.inc();
                    warn!("Kill switch tripped: {why}");
                }
            }
        }
    }

    /// Counts a question for positions.
    pub(crate) fn polled(&self, answered: bool) {
        let outcome = if answered { "answered" } else { "failed" };
        self.0.polls.get_or_create(&PollLabels { outcome }).inc();
    }

    /// Counts a failed call.
    pub(crate) fn failed(&self, reviewer: &'static str) {
        self.0
            .failures
            .get_or_create(&ReviewerLabels { reviewer })
            .inc();
    }
}

impl Page for ReviewMetrics {
    fn render(&self) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut page, &self.0.registry);
        page
    }
}

impl Inner {
    fn wrote(
        &self,
        reviewer: &'static str,
        verdict: &'static str,
        reason: &'static str,
        took: Duration,
    ) {
        let labels = VerdictLabels {
            reviewer,
            verdict,
            reason,
        };
        self.permits.get_or_create(&labels).inc();
        self.latency
            .get_or_create(&ReviewerLabels { reviewer })
            .observe(took.as_secs_f64());
    }

    /// A rate over a series that did not exist yet is blind to its first event.
    fn announce_labels(&self, reviewers: &[&'static str]) {
        for &reviewer in reviewers {
            let yes = VerdictLabels {
                reviewer,
                verdict: "granted",
                reason: "none",
            };
            drop(self.permits.get_or_create(&yes));
            for reason in permit_issuers::Reason::ALL.map(|reason| reason.as_str()) {
                let no = VerdictLabels {
                    reviewer,
                    verdict: "denied",
                    reason,
                };
                drop(self.permits.get_or_create(&no));
            }
            for why in UNREVIEWED {
                drop(
                    self.unreviewed
                        .get_or_create(&UnreviewedLabels { reviewer, why }),
                );
            }
            drop(self.latency.get_or_create(&ReviewerLabels { reviewer }));
            drop(self.failures.get_or_create(&ReviewerLabels { reviewer }));
        }
        for outcome in ["answered", "failed"] {
            drop(self.polls.get_or_create(&PollLabels { outcome }));
        }
    }
}

fn histogram() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5,
    ])
}
