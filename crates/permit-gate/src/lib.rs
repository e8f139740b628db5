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
//! # Gate any action with two permits
//!
//! ```
//! use permit_gate::*;
//! use std::{sync::Arc, time::Duration};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! /// The timer of the runtime at hand: three lines for tokio.
//! struct TokioTimer;
//! impl Timer for TokioTimer {
//!     fn now(&self) -> std::time::Instant { tokio::time::Instant::now().into_std() }
//!     async fn sleep_until(&self, at: std::time::Instant) { tokio::time::sleep_until(at.into()).await }
//! }
//!
//! let store = MemoryStore::new(Arc::new(trading::permits())); // governor and p33
//! let plan = PlanId::new("67e6da21fa9fe506").unwrap();
//! store.put(&plan, "governor", br#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE",
//!     "computed_qty":0.0,"created_at":1769301008.9}"#);
//! store.put(&plan, "p33", br#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.009000000000000001,
//!     "created_at":1769301009.1}"#);
//!
//! let ask = Ask {
//!     subject: Subject::new(plan, "BTCUSDT"),
//!     attempt: AttemptId::new("host-1.42").unwrap(),
//!     policy: WaitPolicy { wait: Duration::from_millis(1200), ..WaitPolicy::default() },
//! };
//! let grant = wait_and_take(&store, &TokioTimer, ask, |_event| {}).await.expect("both said yes");
//! assert_eq!(grant.limit().unwrap().to_string(), "0.009");
//! # }
//! ```

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
pub mod trading;

pub use drive::{Ask, Timer, wait_and_take};
pub use gate::{Event, FoundBy, Gate, Next, WaitPolicy};
pub use grant::{Block, BlockReason, Grant, GrantedPermit};
pub use id::{AttemptId, IdError, MAX_ID, PlanDigest, PlanId, Subject};
pub use memory::{MemoryStore, MemoryWatch};
pub use rule::{Malformed, NotJson, ReasonCode, Refusal, Rule, Terms};
pub use set::{Permit, PermitMask, PermitSet, PermitSetError};
pub use store::{PermitStore, Reply, Signal, Slot, StoreError, Take, Ttl, Watch};
