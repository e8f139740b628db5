//! The command line.

use crate::{
    chain,
    config::{self, Mistakes, Settings},
};
use apply_ops::{
    Ops, VenueKeys, demo, halt, plan,
    review::{self, Reviewer},
    sim::{self, SimArgs},
};
use apply_service::{Config, Failure, run};
use clap::{CommandFactory, Parser, Subcommand};
use permit_gate::PlanId;
use std::process::ExitCode;

/// Turns a brain's proposals into reviewed, reduce-only orders on an exchange's testnet.
#[derive(Parser)]
#[command(name = "apply-layer", version = env!("APPLY_VERSION"), about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 fine, 1 came out wrong, 2 usage, 69 something needed is away, 78 configuration";

const RUN_EXAMPLE: &str =
    "Example: APPLY_MODE=dry_run REDIS_URL=redis://127.0.0.1:6379 apply-layer run";

#[derive(Subcommand)]
enum Command {
    /// Run the service, configured by the environment.
    #[command(
        after_help = RUN_EXAMPLE,
        after_long_help = format!("{RUN_EXAMPLE}\n\n{}", apply_wire::setting::help())
    )]
    Run,
    /// Run a reviewer: reads plans from Redis and writes its permits, configured by the environment.
    Review {
        #[command(subcommand)]
        reviewer: Reviewer,
    },
    /// Run both reviewers and the service in one process, each still through Redis.
    #[command(
        after_help = "Example: REDIS_URL=redis://127.0.0.1:6379 BINANCE_TESTNET_API_KEY=… BINANCE_TESTNET_API_SECRET=… APPLY_MODE=testnet apply-layer chain"
    )]
    Chain,
    /// Halt all trading now: a file on this machine and the switch in Redis; both turns are recorded.
    #[command(after_help = "Example: apply-layer halt --reason 'venue misbehaves'")]
    Halt {
        /// Why; recorded.
        #[arg(long, default_value = "no reason given")]
        reason: String,
        /// Only the file on this machine: works without Redis, and halts this machine alone.
        #[arg(long)]
        file_only: bool,
    },
    /// Trade again: takes the file away and turns the switch in Redis off.
    #[command(after_help = "Example: apply-layer resume --reason 'venue is fine again'")]
    Resume {
        /// Why; recorded.
        #[arg(long, default_value = "no reason given")]
        reason: String,
        /// Only the file on this machine.
        #[arg(long)]
        file_only: bool,
    },
    /// Tell what this machine's journal says about a plan, whether the service runs or not.
    #[command(after_help = "Example: apply-layer plan 67e6da21fa9fe506 --json")]
    Plan {
        /// The plan's id: 16 hex digits.
        id: PlanId,
        /// As JSON, exactly as it is written down.
        #[arg(long)]
        json: bool,
    },
    /// Show the whole path on this machine, with nothing installed: four scenarios, one table.
    ///
    /// With --serve: the operator's page instead, with proposals, reviewers, blocks and executions that come
    /// and go, until Ctrl-C.
    #[command(after_help = "Example: apply-layer demo --serve")]
    Demo {
        /// Keep the page open with something going on.
        #[arg(long)]
        serve: bool,
        /// The page's port on 127.0.0.1; 0 takes a free one.
        #[arg(long, requires = "serve", default_value_t = 0)]
        port: u16,
    },
    /// Serve the simulated venue alone, to try a bot without keys.
    #[command(after_help = sim::EXAMPLES, after_long_help = sim::served())]
    Sim(SimArgs),
    #[command(flatten)]
    Ops(Ops),
}

/// Does what the command line asks for.
pub(crate) async fn dispatch() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run => match configured() {
            Ok(settings) => run(settings.service).await,
            Err(failure) => Err(failure),
        },
        Command::Review { reviewer } => match configured() {
            Ok(settings) => review::review(&settings.service, &settings.review, reviewer).await,
            Err(failure) => Err(failure),
        },
        Command::Chain => match configured() {
            Ok(settings) => chain::chain(settings).await,
            Err(failure) => Err(failure),
        },
        Command::Halt { reason, file_only } => turned(true, reason, file_only).await,
        Command::Resume { reason, file_only } => turned(false, reason, file_only).await,
        Command::Plan { id, json } => told(&id, json),
        Command::Demo { serve: true, port } => demo::keep_serving(port, env!("APPLY_COMMIT")).await,
        Command::Demo { .. } => demo::demo().await,
        Command::Sim(args) => sim::sim(args).await,
        Command::Ops(ops) => ops.run(Cli::command(), read).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.into(),
    }
}

async fn turned(on: bool, reason: String, file_only: bool) -> Result<(), Failure> {
    halt::turn(config::halting(), on, reason, file_only).await
}

fn configured() -> Result<Settings, Failure> {
    Settings::from_environment().map_err(failure)
}

/// For the operator's commands.
fn read(keys: VenueKeys) -> Result<Config, Failure> {
    let read = match keys {
        VenueKeys::Wanted => Settings::from_environment(),
        VenueKeys::Unused => Settings::without_venue_keys(),
    };
    read.map(|settings| settings.service).map_err(failure)
}

fn told(id: &PlanId, as_json: bool) -> Result<(), Failure> {
    let directory = config::state_directory().map_err(failure)?;
    plan::story(&directory, id, as_json)
}

fn failure(mistakes: Mistakes) -> Failure {
    Failure::configuration(mistakes.to_string())
}
