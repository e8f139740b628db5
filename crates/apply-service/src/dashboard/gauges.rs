//! What the page knows, for Prometheus.

use super::{
    health_snapshot::{ComponentState, SwitchWord, TradingState},
    state::DashboardState,
};
use crate::{
    gauges::gauge,
    neighbours::Neighbours,
    reviewers::{Judged, judge},
};
use apply_core::Mode;
use apply_wire::metric::help;
use permit_gate::PermitSet;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use std::fmt;

/// Whether orders can flow, what halts them, and whether Redis and the venue answer.
#[derive(Debug)]
pub struct TradingGauges(pub DashboardState);

impl Collector for TradingGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        let health = self.0.health();
        let open = health.flow == TradingState::Open;
        gauge(e, "orders_can_flow", open.into())?;
        let is_any = |state| health.switches.iter().any(|one| one.state == state);
        gauge(e, "halted", is_any(SwitchWord::On).into())?;
        // Before the first look none is known.
        let unknown = is_any(SwitchWord::Unknown) || health.flow == TradingState::Unknown;
        gauge(e, "kill_switch_unknown", unknown.into())?;
        let redis = health.lights.iter().find(|light| light.name == "Redis");
        let up = redis.is_some_and(|light| light.state != ComponentState::Bad);
        gauge(e, "redis_up", up.into())?;
        // A dry run asks no venue, so it has no such series and no alert on it.
        let venue = health.lights.iter().find(|light| light.name == "Venue");
        if let Some(venue) = venue.filter(|light| light.state != ComponentState::Off) {
            let up = venue.state != ComponentState::Bad;
            gauge(e, "venue_up", up.into())?;
        }
        let testnet = health.mode == Mode::Testnet.as_str();
        gauge(e, "places_orders", testnet.into())?;
        let since = i64::try_from(health.since).unwrap_or(i64::MAX);
        gauge(e, "start_time_seconds", since)?;
        let owed = i64::try_from(health.owed).unwrap_or(i64::MAX);
        gauge(e, "results_owed", owed)?;
        let unresolved = i64::try_from(self.0.unresolved()).unwrap_or(i64::MAX);
        gauge(e, "plans_unresolved", unresolved)
    }
}

/// How reviewers are, for Prometheus. Of one without a group, or of whose group nothing is known, only the plans in a row
/// without its permit are shown.
#[derive(Debug)]
pub struct ReviewerGauges {
    /// How their groups read.
    pub neighbours: Neighbours,
    /// Which plans they answered.
    pub live: DashboardState,
    /// Who is required.
    pub permits: PermitSet,
}

impl Collector for ReviewerGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = match self.neighbours.reviewers() {
            Some(Ok(reviewers)) => reviewers,
            Some(Err(_)) | None => Vec::new(),
        };
        let judged = judge(&self.permits, &known, &self.live.answers());
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        type Value = fn(&Judged) -> Option<u64>;
        let gauges: [(&str, Value); 5] = [
            ("reviewer_consumers", |of| Some(of.group()?.consumers)),
            ("reviewer_idle_milliseconds", |of| {
                u64::try_from(of.group()?.idle?.as_millis()).ok()
            }),
            ("reviewer_pending", |of| Some(of.group()?.pending)),
            ("reviewer_lag", |of| Some(of.group()?.lag)),
            ("reviewer_unanswered_plans", |of| {
                u64::try_from(of.unanswered()).ok()
            }),
        ];
        for (name, value) in gauges {
            let mut gauge = encoder.encode_descriptor(name, help(name), None, MetricType::Gauge)?;
            for reviewer in &judged {
                let Some(value) = value(reviewer) else {
                    continue;
                };
                let labels = [("reviewer", reviewer.name.as_str())];
                ConstGauge::new(count(value)).encode(gauge.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
