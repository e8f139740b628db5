//! The permit gate: an action waits here until every required reviewer has written a permit for
//! exactly this plan, and goes on only with all of them, taken in one atomic step.
//!
//! It decides one thing: a [`Grant`] or a [`Block`]. It never guesses, never takes some permits
//! and not others, never reads a clock, opens a socket, spawns a task or looks at the environment.
//! Whatever is missing, late, denied, unreadable or unreachable is a [`Block`] with its reason.
//!
//! ```text
//!                  poll(now)                       Take ──▶ PermitStore::take_all
//!   caller ───▶ ┌───────────┐ ── what to do next ─ Wait ──▶ a signal or an instant
//!               │   Gate    │                      Done ──▶ Grant (held, spent once)
//!               └───────────┘                               Block (reason, TTLs)
//!                ▲         ▲
//!  handle_reply(now, …)   handle_signal(now, …)
//! ```
//!
//! [`Gate`] is the machine, [`wait_and_take`] the small loop that drives it over any
//! [`PermitStore`] and any [`Timer`]. With a paused timer a wait of 1200 ms is tested in
//! microseconds. [`MemoryStore`] is a complete store for tests and demonstrations, and
//! [`contract`] is the list every store has to pass.
//!
//! # Features
//!
//! None by default, and none takes anything away. `tokio` adds [`TokioTimer`]: tokio's clock and the
//! system's wall clock, which signed permits need.
//!
#![cfg_attr(feature = "tokio", doc = include_str!("../README.md"))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod contract;
mod drive;
pub mod foreign;
mod gate;
mod grant;
mod id;
mod memory;
pub mod rule;
mod set;
mod store;
#[cfg(feature = "tokio")]
mod tokio_timer;
pub mod trading;

pub use drive::{Ask, Timer, wait_and_take};
pub use gate::{Event, FoundBy, Gate, Next, WaitPolicy};
pub use grant::{Block, BlockReason, Grant, GrantedPermit};
pub use id::{AttemptId, IdError, MAX_ID, PlanDigest, PlanId, Subject};
pub use memory::{MemoryStore, MemoryWatch, PlanHold};
pub use rule::{Malformed, NotJson, ReasonCode, Refusal, Rule, Terms};
pub use set::{Permit, PermitMask, PermitSet, PermitSetError};
pub use store::{PermitStore, Reply, Signal, Slot, StoreError, Take, Ttl, Watch};
#[cfg(feature = "tokio")]
pub use tokio_timer::TokioTimer;
