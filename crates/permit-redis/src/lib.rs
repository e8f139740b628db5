//! The permit gate's store on Redis.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod background;
mod clock;
mod config;
mod endpoint;
mod failure;
mod keys;
mod node;
mod stats;
mod store;
mod take;

pub use config::{ConfigError, RedisConfig};
pub use keys::{KeyTemplate, KeysProblem, PermitKeys, PermitKeysError, TemplateError};
pub use stats::Stats;
pub use store::{ConnectError, RedisPermitStore, RedisWatch};
