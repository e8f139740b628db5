//! The core's [`Exchange`](apply_core::Exchange) port over `exchange-client`.
//!
//! It asks for position, rules and mode while the permits are awaited, lays the order out, and sends it once
//! after the last look. What became of it is asked by its client id, which is derived from the plan; nothing is
//! ever sent a second time. It decides nothing about plans or permits.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod venue;

pub use venue::{OrderContext, StopsInPlace, Venue};
