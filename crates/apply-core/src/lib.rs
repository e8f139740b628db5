//! The apply layer's core: a proposal becomes a plan, the plan waits for its permits, a granted
//! plan becomes one reduce-only order, and what really happened becomes a result.
//!
//! It decides what may happen and in which order. It never opens a socket, reads a clock or the
//! environment: everything outside stands behind a port ([`ProposalSource`], [`PlanLog`],
//! [`ResultLog`], [`Exchange`], [`Clock`], and the gate's `PermitStore`).
//!
//! ```text
//!  ProposalSource        PlanLog            PermitStore          Exchange          ResultLog
//!       │                   │                    │                   │                 │
//!   raw hash ─▶ Proposal ─▶ Plan ─claim─▶ ClaimedPlan ─▶ Grant ─▶ ApprovedClose ─▶ ApplyResult
//!       └─ refused             └─ skip, blocked       └─ Block       └─ rejected, not sent, unknown
//! ```
//!
//! Read [`life`] for the path of one plan, top to bottom.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod event;
pub mod exchange;
pub mod life;
pub mod memory;
pub mod plan;
pub mod plan_id;
pub mod ports;
pub mod proposal;
mod python_float;
pub mod result;
pub mod sizing;
mod symbol;
pub mod worker;

pub use event::{Event, Observer};
pub use exchange::{
    Exchange, Fill, OrderTrace, Position, QuantityRules, Settlement, Side, Submission,
};
pub use life::{ApplyLayer, ClaimedPlan, Mode, Settings};
pub use plan::{Action, Decision, GateSettings, Plan, Step};
pub use ports::{
    Claim, Clock, Halt, Observed, PlanLog, PortError, Ports, ProposalSource, ResultLog,
};
pub use proposal::{Proposal, ProposalError, RawProposal};
pub use result::{ApplyResult, StepResult};
pub use sizing::{ApprovedClose, ApprovedStop};
pub use symbol::{Symbol, SymbolError};
pub use worker::{SymbolWorker, Worked};
