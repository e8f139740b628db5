//! Waking waiting plans when an issuer that knows nothing of us writes a permit, and whoever else
//! follows keys of that server.

mod follow;
mod hub;
mod link;
mod mode;
mod registry;

pub use follow::RedisFollow;
pub(crate) use hub::Hub;
pub(crate) use link::WatchLink;
pub use mode::WatchMode;
pub use registry::RedisWatch;
pub(crate) use registry::Registry;
