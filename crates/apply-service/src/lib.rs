//! The running service: the core's ports put together over Redis, the journal and the venue, the loop that
//! follows the symbols, recovery at start, and what people and programs see of it: log lines, metrics, the
//! operator's page.
//!
//! [`run`] is all of it, by a [`Config`]; [`run_until`] the same in a program that has signals and a log of its own
//! (`examples/embedded.rs`). A program that embeds a part takes [`wiring`] for the ports and the loop, [`dashboard`] for
//! the page, [`http`] for the port it is served on. Nothing here reads settings from the
//! environment or knows of a command line: that is the program's.

#![cfg_attr(test, allow(clippy::unwrap_used))]
// `println!` panics where its reader is gone, in the middle of a halt as well: see `complain`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod clock;
pub mod config;
pub mod dashboard;
mod exit;
mod gauges;
mod halt;
pub mod health;
pub mod history;
pub mod http;
mod late;
mod ledger;
pub mod logging;
mod maintenance;
mod metrics;
#[cfg(feature = "mutants")]
mod mutants;
pub mod neighbours;
mod quantile;
mod reasons;
pub mod reviewers;
mod run;
mod switches;
mod systemd;
pub mod wiring;

pub use clock::SystemClock;
pub use config::Config;
pub use exit::{Failure, complain};
pub use halt::HaltFile;
pub use ledger::Ledger;
pub use metrics::Metrics;
pub use neighbours::Neighbours;
pub use quantile::quantile;
pub use run::{instance, reach, run, run_until, stop_on_signals};
pub use switches::{Switch, SwitchesHere};
pub use wiring::KEEP_WARM;
