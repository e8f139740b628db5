//! Figures that other crates keep and Prometheus asks for: read when the page is, never copied.

use crate::config::Shard;
use apply_core::{Occupancy, Room};
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
        for (name, help, value) in [
            (
                "permit_script_calls",
                "Takes asked of the script",
                stats.script_calls,
            ),
            (
                "permit_transactions",
                "Takes tried by transaction because scripts are forbidden",
                stats.transactions,
            ),
            (
                "permit_takes_unsettled",
                "Takes whose answer was lost and that were asked again",
                stats.unsettled,
            ),
            (
                "permit_reconnects",
                "Command connections to the permit store made again",
                stats.reconnects,
            ),
            (
                "permit_watch_reconnects",
                "Watch connections made again",
                stats.watch_reconnects,
            ),
            (
                "permit_pushes",
                "Messages of the watch that named at least one key",
                stats.pushes,
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        gauge(
            &mut encoder,
            "plans_waiting",
            "Plans that wait for permits right now",
            as_i64(stats.waiters),
        )?;
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
        let help = "1 for the way in which waiting plans are woken at this moment";
        modes.encode(encoder.encode_descriptor(
            "permit_watch_mode",
            help,
            None,
            modes.metric_type(),
        )?)
    }
}

/// How full the room for plans under way is.
#[derive(Debug)]
pub(crate) struct RoomGauges(pub(crate) Room);

impl Collector for RoomGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Occupancy {
            limit,
            taken,
            waiting,
        } = self.0.occupancy();
        for (name, help, value) in [
            (
                "plans_in_flight",
                "Plans under way, from the claim to the result",
                taken,
            ),
            ("plans_in_flight_limit", "How many may be", limit),
            (
                "symbols_without_room",
                "Symbols whose plan was refused for now and waits for its turn",
                waiting,
            ),
        ] {
            gauge(&mut encoder, name, help, as_i64(value))?;
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
        gauge(
            e,
            "shard",
            "Which shard of the symbols this instance follows, from 1 on",
            number(self.shard.index()),
        )?;
        gauge(
            e,
            "shards",
            "Into how many shards the symbols are cut; 1 where every instance follows all",
            number(self.shard.count()),
        )?;
        gauge(
            e,
            "symbols_followed",
            "Symbols this instance follows",
            as_i64(self.symbols),
        )
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
            gauge(
                e,
                "venue_clock_offset_milliseconds",
                "The venue's clock minus this machine's",
                offset,
            )?;
            let round_trip = clock.round_trip.as_micros();
            gauge(
                e,
                "venue_roundtrip_microseconds",
                "A bare question and its answer, when last measured",
                as_i64(round_trip),
            )?;
        }
        let usage = self.0.usage();
        gauge(
            e,
            "venue_weight_used",
            "Request weight used in this minute",
            i64::from(usage.weight),
        )?;
        gauge(
            e,
            "venue_weight_limit",
            "Request weight allowed a minute",
            i64::from(usage.weight_limit),
        )?;
        let stopped = i64::from(usage.stopped_for > Duration::ZERO);
        gauge(
            e,
            "venue_stopped",
            "1 while the venue's limits allow no traffic",
            stopped,
        )?;
        let open = self.0.open_submissions();
        gauge(
            e,
            "orders_without_ending",
            "Orders of this process whose outcome is not known yet",
            as_i64(open),
        )?;
        let help = "Answers of the venue that are errors, by request and code; other: a code of no document, or none";
        let mut refusals =
            e.encode_descriptor("venue_refusals", help, None, MetricType::Counter)?;
        for count in self.0.refusals() {
            let code = count.code.map_or("other".into(), |code| code.to_string());
            let labels = [("to", count.to), ("code", code.as_str())];
            ConstCounter::new(count.times).encode(refusals.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// One gauge without labels.
pub(crate) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: i64,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn as_i64(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
