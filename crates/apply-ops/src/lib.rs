//! The operator's commands: what used to be `redis-cli --scan | xargs`, `grep | awk` and `sed -i`; the switch's two
//! commands, the reviewers for those who have none, the demo and the simulated venue alone.
//!
//! [`Ops`] are those that read Redis under the names the service uses, judge permits by the rules it judges by, and
//! run whether or not it does. None needs the venue's keys but `check`. Nothing here reads settings from the
//! environment: the program gives them, by [`ReadConfig`] where a command may not need them all.

#![cfg_attr(test, allow(clippy::unwrap_used))]
// `println!` panics where its reader is gone, in the middle of a halt as well: see `say`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod ask;
mod check;
pub mod commands;
mod completions;
mod cycles;
pub mod demo;
mod elsewhere;
mod forget;
pub mod halt;
mod in_flight;
mod late;
mod link;
mod man;
mod new_journal;
mod output;
mod permits;
pub mod plan;
mod propose;
pub mod review;
mod shadow;
mod signing;
pub mod sim;
mod snapshot;
mod stats;
mod status;
mod streams;
mod switches;
mod time;
mod wanted;
mod watch;

use apply_service::{Config, Failure};
use clap::Subcommand;
use output::{End, say};

/// Whether a command speaks with the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VenueKeys {
    /// It does: its keys are read and checked.
    Wanted,
    /// It does not: its keys are not looked at, so that an operator who may not read them can still look.
    Unused,
}

/// Reads the configuration, or says everything that is wrong with it.
pub type ReadConfig = fn(VenueKeys) -> Result<Config, Failure>;

/// What an operator can ask for beside running the service.
#[derive(Subcommand)]
pub enum Ops {
    /// Check configuration, Redis, kill switch and venue; print a fix for each failure.
    ///
    /// Configuration, Redis with its persistence, scripting and pushes, the kill switch, the venue with its
    /// clock, keys and position mode.
    #[command(after_help = "Example: apply-layer check")]
    Check {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// One screen: mode, kill switch, the service's health, each symbol's last plan and result, waits in progress.
    #[command(after_help = "Example: apply-layer status --json")]
    Status {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// The same as a live view that fits the terminal, until q or Ctrl-C.
    ///
    /// It goes on while Redis or the service is unreachable, and says so. Without a terminal it prints each change on a
    /// line. NO_COLOR leaves the colours out.
    #[command(after_help = "Example: apply-layer watch")]
    Watch {
        /// Print everything once and end.
        #[arg(long)]
        once: bool,
    },
    /// Look at permits, judge them, write one for a test, take one back.
    #[command(
        after_help = "What a permit has to say, field by field, and what each language's JSON writer does to it: docs/writing-permits.md\nTry a text before it goes to Redis: apply-layer permits judge p33 --symbol BTCUSDT < permit.json"
    )]
    #[command(subcommand)]
    Permits(permits::Permits),
    /// The stream of plans.
    #[command(subcommand)]
    Plans(streams::Plans),
    /// The stream of results.
    #[command(subcommand)]
    Results(streams::Results),
    /// Counts by decision and reason, and how long plans took to their results.
    #[command(
        after_help = "Example: apply-layer stats --since 6h --symbol BTCUSDT\nOf one day: apply-layer stats --since 2026-01-25 --until 2026-01-25"
    )]
    Stats {
        /// Where it begins: a span ago, as 90s, 30m, 6h or 2d, or a date in UTC, as 2026-01-25 or 2026-01-25T00:43:29Z.
        #[arg(long, default_value = "1h")]
        since: apply_service::history::Moment,
        /// Which of them.
        #[command(flatten)]
        wanted: wanted::Wanted,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Judge the newest plans by the checklist of a deployment: each criterion passed or not, with what shows it.
    ///
    /// A cycle is a plan of this service that was put out for review, with its result. Criteria: permits granted,
    /// longest wait, quantities, orders executed, good cycles in a row, plans in doubt, executions of other
    /// programs, the reviewers' lag.
    #[command(after_help = "Example: apply-layer cycles --goal promote --since 6h")]
    Cycles {
        /// What the cycles have to be good enough for.
        #[arg(long, value_enum, default_value = "testnet")]
        goal: cycles::Goal,
        /// Where it begins: a span ago, as 90s, 30m, 6h or 2d, or a date in UTC, as 2026-01-25 or 2026-01-25T00:43:29Z.
        #[arg(long, default_value = "24h")]
        since: apply_service::history::Moment,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Run beside the service before this one, reading only, and compare what ours would do with what it does.
    ///
    /// Claims nothing, takes no permit, writes nothing. Each proposal, plan, pair of permits, quantity and result is
    /// the same, or differs for a known reason (docs/shadow.md), or is unexplained.
    #[command(after_help = "Example: apply-layer shadow --for 1h")]
    Shadow(shadow::Args),
    /// Write a fresh proposal, so that a fresh plan comes of it, and say which.
    ///
    /// It replaces the brain's proposal for the symbol until the brain writes its next one.
    #[command(after_help = "Example: apply-layer propose BTCUSDT PARTIAL_75")]
    Propose(propose::Propose),
    /// Clear the claim of one plan and have the journal forget it, so that the same proposal may be planned again.
    ///
    /// Run it where the service's state directory is; the service may run meanwhile. Refuses wherever an order may exist.
    #[command(after_help = "Example: apply-layer forget 67e6da21fa9fe506")]
    Forget(forget::Forget),
    /// Accept that the journal of this machine is lost, and begin with another one at the next start.
    ///
    /// A start without the journal that was here before is refused: its disk may just not be mounted.
    #[command(after_help = "Example: apply-layer new-journal")]
    NewJournal(new_journal::NewJournal),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example: apply-layer completions bash > /etc/bash_completion.d/apply-layer"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program or of a command.
    #[command(after_help = "Example: apply-layer man permits grant | man -l -")]
    Man(man::Manual),
}

impl Ops {
    /// Does it. `command_line` is the whole program's, without exit codes, for completions and the manual.
    ///
    /// # Errors
    ///
    /// Where it cannot be done, or what was found is not as it has to be; the command's help lists the exit codes.
    pub async fn run(self, command_line: clap::Command, read: ReadConfig) -> Result<(), Failure> {
        let done = match self {
            Self::Check { json } => check::check(read, json).await,
            Self::Status { json } => status::status(read, json).await,
            Self::Watch { once } => watch::watch(read, once).await,
            Self::Permits(command) => command.run(read).await,
            Self::Plans(command) => command.run(read).await,
            Self::Results(command) => command.run(read).await,
            Self::Stats {
                since,
                wanted,
                json,
            } => stats::stats(read, since, wanted, json).await,
            Self::Cycles { goal, since, json } => cycles::cycles(read, goal, since, json).await,
            Self::Shadow(args) => shadow::shadow(read, args).await,
            Self::Propose(command) => command.run(read).await,
            Self::Forget(command) => command.run(read).await,
            Self::NewJournal(command) => command.run(read).await,
            Self::Completions { shell } => completions::completions(shell, command_line),
            Self::Man(manual) => manual.run(command_line),
        };
        match done {
            Ok(()) | Err(End::ReaderGone) => Ok(()),
            Err(End::Failed(failure)) => Err(failure),
        }
    }
}
