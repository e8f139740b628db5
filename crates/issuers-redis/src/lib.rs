//! The reviewers' ports on Redis: plans and results are read as one of a consumer group, permits
//! written under the names of the contract (wire §4), usage, snapshots and ledgers kept under names
//! of our own.
//!
//! It decides nothing. What it promises: a permit, the acknowledgement of its plan and what the
//! governor counts for it are one script, so a reviewer that dies leaves a plan reviewed or not
//! reviewed; an entry handed to a dead reviewer is handed to another one; a page that changed
//! since it was read is not written to; a result moves a ledger once. Keys are only reached
//! through `KEYS`, times are the server's.
//!
//! One server, or one behind a sentinel's address: a permit lives in another slot than its plan's
//! stream, so these scripts have no place in a cluster.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bell;
mod codec;
mod config;
mod feed;
mod link;
mod position;
mod usage;

pub use config::{IssuersConfig, Keys};
pub use feed::RedisFeed;
pub use position::RedisPositionBook;
pub use usage::RedisUsageBook;
