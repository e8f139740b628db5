//! Log lines: for `grep` as the contract spells them, or as JSON with the same facts as fields.

pub(crate) mod journald;

use crate::config::LogFormat;
use apply_core::{Event, Observer, event};
use journald::Printable;
use permit_gate::foreign::{printable, printable_json};
use std::{
    collections::HashMap,
    io::stdout,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Sends this process's events to standard output, with their priorities where that leads to the
/// system's journal. Later calls change nothing.
pub fn start(level: tracing::Level, format: LogFormat) {
    // Libraries speak at warning level at most: their chatter is not an operator's business.
    let filter = [
        "apply_layer",
        "apply_ops",
        "apply_service",
        "permit_redis",
        "exchange_client",
    ]
    .into_iter()
    .fold(
        Targets::new().with_default(LevelFilter::WARN),
        |all, ours| all.with_target(ours, level),
    );
    let with_priority = journald::receives(stdout());
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => {
            let layer = fmt::layer().with_target(false).with_ansi(false);
            Box::new(layer.map_event_format(|format| Printable {
                format,
                with_priority,
                escape: printable,
            }))
        }
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_target(false);
            Box::new(layer.map_event_format(|format| Printable {
                format,
                with_priority,
                escape: printable_json,
            }))
        }
    };
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
}

/// Writes one log event for each event of the core, but for refusals and failures in a crowd.
#[derive(Debug)]
pub struct LogObserver {
    format: LogFormat,
    refusals: Throttle,
    failures: Failures,
}

impl LogObserver {
    /// Lines of this format.
    pub fn new(format: LogFormat) -> Self {
        Self {
            format,
            refusals: Throttle::default(),
            failures: Failures::default(),
        }
    }
}

impl Observer for LogObserver {
    fn observe(&self, event: &Event<'_>) {
        if event.is_detail() && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let (level, mut line) = event.line();
        let admitted = match event {
            Event::NoRoom { .. } => self.refusals.admit(Instant::now()),
            Event::PortFailed { doing, .. } => self.failures.admit(doing, Instant::now()),
            Event::StoreTrouble {
                repeated: false, ..
            } => self.failures.admit("read permits", Instant::now()),
            _ => Some(0),
        };
        match admitted {
            None => return,
            Some(0) => {}
            Some(hidden) => line.push_str(&format!(" not_shown_before={hidden}")),
        }
        match level {
            event::Level::Debug => self.write::<DEBUG>(event, &line),
            event::Level::Info => self.write::<INFO>(event, &line),
            event::Level::Warn => self.write::<WARN>(event, &line),
            event::Level::Error => self.write::<ERROR>(event, &line),
        }
    }
}

/// Lets so many lines in a span of time through: a flood of proposals must not become one of the log. The
/// metrics count them all.
#[derive(Debug)]
struct Throttle {
    admitted: Mutex<Admitted>,
    span: Duration,
    most: u32,
}

/// Failures by what failed. A store that is gone fails all plans that wait at once, in the same way.
#[derive(Debug, Default)]
struct Failures(Mutex<HashMap<&'static str, Throttle>>);

#[derive(Debug, Default)]
struct Admitted {
    since: Option<Instant>,
    shown: u32,
    hidden: u64,
}

impl Default for Throttle {
    /// Ten lines a second.
    fn default() -> Self {
        Self::of(10, Duration::from_secs(1))
    }
}

impl Failures {
    const MOST: u32 = 5;
    const SPAN: Duration = Duration::from_secs(10);

    /// As [`Throttle::admit`].
    fn admit(&self, doing: &'static str, now: Instant) -> Option<u64> {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let throttle = failures
            .entry(doing)
            .or_insert_with(|| Throttle::of(Self::MOST, Self::SPAN));
        throttle.admit(now)
    }
}

impl Throttle {
    fn of(most: u32, span: Duration) -> Self {
        Self {
            admitted: Mutex::default(),
            span,
            most,
        }
    }

    /// Whether a line may be shown now, and how many were not since the last one that was.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |since: Instant| now.duration_since(since) >= self.span;
        if admitted.since.is_none_or(over) {
            admitted.since = Some(now);
            admitted.shown = 0;
        }
        if admitted.shown == self.most {
            admitted.hidden += 1;
            return None;
        }
        admitted.shown += 1;
        Some(std::mem::take(&mut admitted.hidden))
    }
}

const DEBUG: u8 = 0;
const INFO: u8 = 1;
const WARN: u8 = 2;
const ERROR: u8 = 3;

impl LogObserver {
    /// The level of an event is part of its call site, hence one copy of this function for each.
    fn write<const LEVEL: u8>(&self, event: &Event<'_>, line: &str) {
        macro_rules! emit {
            ($level:ident) => {
                match self.format {
                    // The line says it all; fields would only be said twice.
                    LogFormat::Text => tracing::event!(tracing::Level::$level, "{line}"),
                    LogFormat::Json => tracing::event!(
                        tracing::Level::$level,
                        event = event.name(),
                        plan = event.plan_id().map(tracing::field::display),
                        symbol = event.symbol().map(tracing::field::display),
                        "{line}"
                    ),
                }
            };
        }
        match LEVEL {
            DEBUG => emit!(DEBUG),
            INFO => emit!(INFO),
            WARN => emit!(WARN),
            _ => emit!(ERROR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_lines_a_second_and_the_rest_is_counted() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let shown = |at| (0..100).filter_map(|_| throttle.admit(at)).collect();
        let first: Vec<u64> = shown(now);
        assert_eq!(first, [0; 10]);
        let later: Vec<u64> = shown(now + Duration::from_secs(1));
        assert_eq!(later, [90, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn of_what_fails_in_a_crowd_five_lines_are_shown_in_ten_seconds_and_another_failure_at_once() {
        let (failures, start) = (Failures::default(), Instant::now());
        let shown = |doing, at| {
            let at = start + Duration::from_secs(at);
            (0..40)
                .filter_map(|_| failures.admit(doing, at))
                .collect::<Vec<u64>>()
        };
        assert_eq!(shown("publish", 0), [0; 5]);
        assert_eq!(shown("read permits", 1), [0; 5]);
        assert!(shown("publish", 9).is_empty());
        assert_eq!(shown("publish", 10), [75, 0, 0, 0, 0]);
    }
}
