#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod defaults;
mod exit;
pub mod field;
pub mod key;
pub mod kill_switch;
pub mod metric;
mod reason;
pub mod setting;

pub use exit::Exit;
pub use reason::{
    ActionWord, Class, Entry, Left, Level, Missing, Part, PermitName, Reason, Section, Sent,
    VenueCode, troubleshooting,
};
