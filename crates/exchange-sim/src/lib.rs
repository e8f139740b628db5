//! A strict simulated futures venue over HTTP.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod control;
mod drift;
mod error;
mod fault;
mod handle;
mod http;
mod limits;
mod log;
mod params;
mod server;
mod sim;
mod state;
mod symbol;
mod venue;

pub use config::{ApiKey, Drift, PositionSide, SimConfig};
pub use fault::{
    Action, Canned, Delivery, Fault, FaultId, FaultStatus, Fill, Instead, Rest, Script, Veil, When,
};
pub use handle::SimHandle;
pub use limits::Limits;
pub use log::{OrderOutcome, OrderRecord};
pub use sim::{Sim, serve};
pub use state::WireCount;
pub use symbol::{Lot, SymbolSpec};
pub use venue::OpenStop;
