//! The apply layer's core: a proposal becomes a plan, the plan waits for its permits, a granted
//! plan becomes one reduce-only order, and what really happened becomes a result.
//!
//! It decides what may happen and in which order. It never opens a socket, reads a clock or the
//! environment: everything outside stands behind a port ([`ProposalSource`], [`PlanLog`],
//! [`ResultLog`], [`Journal`], [`Exchange`], [`Clock`], and the gate's `PermitStore`).
//!
//! ```text
//!  ProposalSource        PlanLog            PermitStore          Exchange          ResultLog
//!       │                   │                    │                   │                 │
//!   raw hash ─▶ Proposal ─▶ Plan ─claim─▶ ClaimedPlan ─▶ Grant ─▶ ApprovedClose ─▶ ApplyResult
//!       └─ refused             └─ skip, blocked       └─ Block       └─ rejected, not sent, unknown
//! ```
//!
//! Read [`execute`] for the path of one plan, top to bottom, and [`recovery`] for how it ends where its
//! process did not live to see it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod assembled;
mod complaints;
mod days;
mod debt;
mod debts;
mod digest;
pub mod event;
pub mod exchange;
pub mod execute;
mod fault;
mod halt;
mod hold;
mod in_flight;
pub mod in_flight_limit;
pub mod journal;
pub mod last_look;
mod layer;
mod live;
pub mod memory;
mod memory_venue;
mod order;
mod pending_events;
pub mod plan;
pub mod plan_id;
pub mod ports;
pub mod proposal;
mod python_float;
mod ready;
pub mod reason;
pub mod recovery;
pub mod result;
mod results;
pub mod sizing;
mod symbol;
mod text;
pub mod times;
pub mod worker;

pub use apply_wire::Reason;
pub use assembled::{Assembled, InMemory};
pub use days::{days_around, utc_millis};
pub use digest::digest_of_fields;
pub use event::{Event, KnownTo, Observer};
pub use exchange::{
    Exchange, Fill, NotSent, OrderTrace, Position, Prepared, QuantityRules, Settlement, Side,
    Submission,
};
#[cfg(feature = "fault-points")]
pub use fault::POINTS as FAULT_POINTS;
pub use in_flight_limit::{InFlightLimit, Occupancy};
pub use journal::{ClaimNote, Entry, Intent, Journal, Recorded, RecordedIntent, SwitchNote};
pub use last_look::{HeldBack, LastLook, Look};
pub use layer::{ApplyLayer, ClaimedPlan, Mode, Settings};
pub use order::OrderKind;
pub use plan::{Action, Decision, GateSettings, Plan, Share, Step};
pub use ports::{
    Claim, Clock, Debounced, Generation, GenerationId, Halt, Hold, MAX_SWITCH_BYTES, Mastership,
    Observed, OpenPlan, PlanLog, PortError, Ports, ProposalSource, PublishOutcome, Publisher,
    Reclaim, ResultLog, ServerId, Stage, Standing,
};
pub use proposal::{MAX_FIELD_BYTES, PROPOSAL_FIELDS, Proposal, ProposalError, RawProposal};
pub use recovery::{RecoveryReport, recover};
pub use result::{ApplyResult, MAX_DETAILS, StepResult};
pub use sizing::{ApprovedClose, ApprovedStop, Armed, StopLimits};
pub use symbol::{Symbol, SymbolError};
pub use worker::{SymbolWorker, Worked};
