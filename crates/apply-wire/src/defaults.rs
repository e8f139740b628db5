//! Defaults.

use std::time::Duration;

/// How long a claim, the receipt of its permits and the mark of its result last.
pub const DEDUPE_TTL: Duration = Duration::from_secs(21_600);
/// How long a plan that was only announced counts as published.
pub const PUBLISHED_TTL: Duration = Duration::from_secs(300);
/// How long a permit lasts.
pub const PERMIT_TTL: Duration = Duration::from_secs(60);
/// How long a plan waits for its permits.
pub const PERMIT_WAIT: Duration = Duration::from_millis(1200);
/// Between two looks at the permits, where nothing wakes the wait.
pub const PERMIT_STEP: Duration = Duration::from_millis(100);
/// About how many entries the streams of plans and results keep.
pub const STREAM_LENGTH: usize = 10_000;
/// From this kill score on nothing executes.
pub const BLOCK_CRITICAL: f64 = 0.80;
/// From this kill score on only closes execute.
pub const BLOCK_WARNING: f64 = 0.60;
/// The permits that are required.
pub const PERMITS: &str = "governor,p33";
/// The symbols whose proposals are watched.
pub const SYMBOLS: &str = "BTCUSDT,ETHUSDT,SOLUSDT";
/// The symbols that may execute.
pub const ALLOWLIST: &str = "BTCUSDT";
/// The port of the service's HTTP pages.
pub const METRICS_PORT: u16 = 8043;
