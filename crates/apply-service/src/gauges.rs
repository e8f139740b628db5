//! Figures that other crates keep and Prometheus asks for: read when the page is, never copied.

use crate::config::Shard;
use apply_core::{InFlightLimit, Occupancy};
use apply_wire::metric::help;
use exchange_client::Client;
use permit_redis::{RedisPermitStore, WatchMode};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType,
        counter::ConstCounter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
};
use std::{fmt, time::Duration};

/// The permit store: how waiting plans are woken, and what that costs.
pub(crate) struct StoreGauges(pub(crate) RedisPermitStore);

impl fmt::Debug for StoreGauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreGauges")
    }
}

impl Collector for StoreGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        for (name, value) in [
            ("permit_script_calls", stats.script_calls),
            ("permit_transactions", stats.transactions),
            ("permit_takes_unsettled", stats.unsettled),
            ("permit_reconnects", stats.reconnects),
            ("permit_watch_reconnects", stats.watch_reconnects),
            ("permit_pushes", stats.pushes),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                name,
                help(name),
                None,
                counter.metric_type(),
            )?)?;
        }
        gauge(&mut encoder, "plans_waiting", as_i64(stats.waiters))?;
        let mode = self.0.watch_mode();
        let modes = Family::<[(&str, &str); 1], Gauge>::default();
        for each in [
            WatchMode::Tracking,
            WatchMode::KeyspaceNotifications,
            WatchMode::Polling,
        ] {
            modes
                .get_or_create(&[("mode", each.as_str())])
                .set(i64::from(each == mode));
        }
        modes.encode(encoder.encode_descriptor(
            "permit_watch_mode",
            help("permit_watch_mode"),
            None,
            modes.metric_type(),
        )?)
    }
}

/// How full the room for plans under way is.
#[derive(Debug)]
pub(crate) struct ClaimLimitGauges(pub(crate) InFlightLimit);

impl Collector for ClaimLimitGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Occupancy {
            limit,
            taken,
            waiting,
        } = self.0.occupancy();
        for (name, value) in [
            ("plans_in_flight", taken),
            ("plans_in_flight_limit", limit),
            ("symbols_without_room", waiting),
        ] {
            gauge(&mut encoder, name, as_i64(value))?;
        }
        Ok(())
    }
}

/// Which part of the symbols this instance follows.
#[derive(Debug)]
pub(crate) struct ShareGauges {
    pub(crate) shard: Shard,
    pub(crate) symbols: usize,
}

impl Collector for ShareGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let e = &mut encoder;
        gauge(e, "shard", number(self.shard.index()))?;
        gauge(e, "shards", number(self.shard.count()))?;
        gauge(e, "symbols_followed", as_i64(self.symbols))
    }
}

/// The venue: its clock and its limits, as far as they are known.
#[derive(Debug)]
pub(crate) struct VenueGauges(pub(crate) Client);

impl Collector for VenueGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        if let Some(clock) = self.0.clock() {
            let offset = clock.offset.as_millis();
            gauge(e, "venue_clock_offset_milliseconds", offset)?;
            let round_trip = clock.round_trip.as_micros();
            gauge(e, "venue_roundtrip_microseconds", as_i64(round_trip))?;
        }
        let usage = self.0.usage();
        gauge(e, "venue_weight_used", i64::from(usage.weight))?;
        gauge(e, "venue_weight_limit", i64::from(usage.weight_limit))?;
        let stopped = i64::from(usage.stopped_for > Duration::ZERO);
        gauge(e, "venue_stopped", stopped)?;
        let open = self.0.open_submissions();
        gauge(e, "orders_without_ending", as_i64(open))?;
        let mut refusals = e.encode_descriptor(
            "venue_refusals",
            help("venue_refusals"),
            None,
            MetricType::Counter,
        )?;
        for count in self.0.refusals() {
            let code = count.code.map_or("other".into(), |code| code.to_string());
            let labels = [("to", count.to), ("code", code.as_str())];
            ConstCounter::new(count.times).encode(refusals.encode_family(&labels)?)?;
        }
        let mut omissions = e.encode_descriptor(
            "venue_omissions",
            help("venue_omissions"),
            None,
            MetricType::Counter,
        )?;
        for count in self.0.omissions() {
            let labels = [("answer", count.answer), ("part", count.part)];
            ConstCounter::new(count.times).encode(omissions.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// One gauge without labels.
pub(crate) fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, value: i64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help(name), None, gauge.metric_type())?)
}

fn as_i64(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
