//! Log lines: for `grep` as the contract spells them, or as JSON with the same facts as fields.

use crate::config::LogFormat;
use apply_core::{Event, Observer, event};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Sends this process's events to standard output. Later calls change nothing.
pub(crate) fn start(level: tracing::Level, format: LogFormat) {
    // Libraries speak at warning level at most: their chatter is not an operator's business.
    let filter = EnvFilter::new(format!(
        "warn,apply_layer={level},permit_redis={level},exchange_client={level}"
    ));
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => Box::new(fmt::layer().with_target(false).with_ansi(false)),
        LogFormat::Json => Box::new(fmt::layer().json().flatten_event(true).with_target(false)),
    };
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
}

/// Writes one log event for each event of the core.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogObserver {
    format: LogFormat,
}

impl LogObserver {
    pub(crate) fn new(format: LogFormat) -> Self {
        Self { format }
    }
}

impl Observer for LogObserver {
    fn observe(&self, event: &Event<'_>) {
        let (level, line) = event.line();
        match level {
            event::Level::Debug => self.write::<DEBUG>(event, &line),
            event::Level::Info => self.write::<INFO>(event, &line),
            event::Level::Warn => self.write::<WARN>(event, &line),
            event::Level::Error => self.write::<ERROR>(event, &line),
        }
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
                        symbol = %event.symbol(),
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
