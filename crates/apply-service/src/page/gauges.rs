//! What the page knows, for Prometheus.

use super::{
    state::Live,
    vitals::{Flow, LightState},
};
use crate::gauges::gauge;
use apply_core::Mode;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use std::fmt;

/// Whether orders can flow, and Redis answers.
#[derive(Debug)]
pub struct FlowGauges(pub Live);

impl Collector for FlowGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        let vitals = self.0.vitals();
        let open = vitals.flow == Flow::Open;
        let help = "1 while nothing stands between a granted plan and the venue";
        gauge(e, "orders_can_flow", help, open.into())?;
        let redis = vitals.lights.iter().find(|light| light.name == "Redis");
        let up = redis.is_some_and(|light| light.state != LightState::Bad);
        gauge(
            e,
            "redis_up",
            "1 while Redis answers and takes writes",
            up.into(),
        )?;
        // A dry run asks no venue, so it has no such series and no alert on it.
        let venue = vitals.lights.iter().find(|light| light.name == "Venue");
        if let Some(venue) = venue.filter(|light| light.state != LightState::Off) {
            let up = venue.state != LightState::Bad;
            gauge(e, "venue_up", "1 while the venue answers", up.into())?;
        }
        let testnet = vitals.mode == Mode::Testnet.as_str();
        let help = "1 in testnet mode, where orders are placed; 0 in a dry run";
        gauge(e, "places_orders", help, testnet.into())?;
        let since = i64::try_from(vitals.since).unwrap_or(i64::MAX);
        let help = "When this process started, in seconds since 1970";
        gauge(e, "start_time_seconds", help, since)?;
        let owed = i64::try_from(vitals.owed).unwrap_or(i64::MAX);
        let help = "Plans whose end is still to be found out or told, beside those under way";
        gauge(e, "results_owed", help, owed)?;
        let unresolved = i64::try_from(self.0.unresolved()).unwrap_or(i64::MAX);
        let help = "Recent plans of this process whose order nobody could find out about";
        gauge(e, "plans_unresolved", help, unresolved)
    }
}
