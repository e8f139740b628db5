//! `apply-layer`: the last program between a trading brain and an exchange's testnet.
//!
//! A library, so that it is built twice from one source: `main.rs` is the program, `faulty.rs` the one
//! that tests break on purpose. This file only starts things. `cli` says what can be asked for,
//! `config` is the one place that reads settings from the environment; the service itself is the crate `apply-service`, the
//! operator's commands are `apply-ops`.

#![cfg_attr(test, allow(clippy::unwrap_used))]
// `println!` panics where its reader is gone, in the middle of a halt as well: see `apply_service::complain`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod chain;
mod cli;
mod config;

use apply_service::Failure;
use std::process::ExitCode;

/// The whole program: reads arguments and environment, runs until it is done or asked to stop, and
/// says how it went. Exit codes are those of `apply-layer --help`.
pub fn main() -> ExitCode {
    // One thread: the work is waiting, and what computes takes microseconds. The journal, which waits
    // for its disk, has a thread of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(cli::dispatch()),
        Err(error) => Failure::unavailable(format!("cannot start the runtime: {error}")).into(),
    }
}

/// The command line as it is described, for what is made of it: `docs/commands.md`, manual pages.
pub fn command_line() -> clap::Command {
    cli::command_line()
}
