//! What the page knows, for Prometheus.

use super::{
    state::Live,
    vitals::{Flow, LightState},
};
use crate::gauges::gauge;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use std::fmt;

/// Whether orders can flow, and Redis answers.
#[derive(Debug)]
pub(crate) struct FlowGauges(pub(crate) Live);

impl Collector for FlowGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        let vitals = self.0.vitals();
        let open = vitals.flow == Flow::Open;
        let help = "1 while nothing stands between a granted plan and the venue";
        gauge(e, "orders_can_flow", help, open.into())?;
        let redis = vitals.lights.iter().find(|light| light.name == "Redis");
        let up = redis.is_some_and(|light| light.state != LightState::Bad);
        gauge(e, "redis_up", "1 while Redis answers", up.into())?;
        let unresolved = i64::try_from(self.0.unresolved()).unwrap_or(i64::MAX);
        let help = "Recent plans of this process whose order nobody could find out about";
        gauge(e, "plans_unresolved", help, unresolved)
    }
}
