//! Waking waiting plans when an issuer that knows nothing of us writes a permit.

mod hub;
mod link;
mod mode;
mod registry;

pub(crate) use hub::Hub;
pub(crate) use link::WatchLink;
pub use mode::WatchMode;
pub use registry::RedisWatch;
pub(crate) use registry::Registry;
