//! Waking waiting plans when an issuer that knows nothing of us writes a permit, and everything else that
//! follows keys of that server.

mod follow;
mod link;
mod mode;
mod registry;
mod status;

pub use follow::RedisFollow;
pub(crate) use link::WatchLink;
pub use mode::WatchMode;
pub use registry::RedisWatch;
pub(crate) use registry::Registry;
pub(crate) use status::WatchStatus;
