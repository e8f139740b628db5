//! The permit gate's store on Redis.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod background;
mod clock;
mod cluster;
mod config;
mod endpoint;
mod failure;
mod keys;
mod node;
mod server;
mod stats;
mod store;
mod take;
mod watch;

pub use config::{ConfigError, RedisConfig};
pub use keys::{KeyTemplate, KeysProblem, PermitKeys, PermitKeysError, TemplateError};
pub use stats::Stats;
pub use store::{ConnectError, RedisPermitStore};
pub use watch::{RedisWatch, WatchMode};
