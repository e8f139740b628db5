//! What the page knows, for Prometheus.

use super::{
    health_snapshot::{ComponentState, TradingState},
    state::DashboardState,
};
use crate::gauges::gauge;
use apply_core::Mode;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use std::fmt;

/// Whether orders can flow, and Redis answers.
#[derive(Debug)]
pub struct TradingGauges(pub DashboardState);

impl Collector for TradingGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        let vitals = self.0.vitals();
        let open = vitals.flow == TradingState::Open;
        gauge(e, "orders_can_flow", open.into())?;
        let redis = vitals.lights.iter().find(|light| light.name == "Redis");
        let up = redis.is_some_and(|light| light.state != ComponentState::Bad);
        gauge(e, "redis_up", up.into())?;
        // A dry run asks no venue, so it has no such series and no alert on it.
        let venue = vitals.lights.iter().find(|light| light.name == "Venue");
        if let Some(venue) = venue.filter(|light| light.state != ComponentState::Off) {
            let up = venue.state != ComponentState::Bad;
            gauge(e, "venue_up", up.into())?;
        }
        let testnet = vitals.mode == Mode::Testnet.as_str();
        gauge(e, "places_orders", testnet.into())?;
        let since = i64::try_from(vitals.since).unwrap_or(i64::MAX);
        gauge(e, "start_time_seconds", since)?;
        let owed = i64::try_from(vitals.owed).unwrap_or(i64::MAX);
        gauge(e, "results_owed", owed)?;
        let unresolved = i64::try_from(self.0.unresolved()).unwrap_or(i64::MAX);
        gauge(e, "plans_unresolved", unresolved)
    }
}
