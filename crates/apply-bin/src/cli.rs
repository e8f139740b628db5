//! The command line.

use crate::{
    chain,
    config::{self, Mistakes, Settings},
};
use apply_ops::{
    Ops, VenueKeys, commands, demo, halt, plan,
    review::{self, Reviewer},
    sim::{self, SimArgs},
};
use apply_service::{Config, Failure, run};
use apply_wire::Exit;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use permit_gate::PlanId;
use std::process::ExitCode;

// Its first sentence is the package's.
#[derive(Parser)]
#[command(name = "apply-layer", version = env!("APPLY_VERSION"), about = env!("CARGO_PKG_DESCRIPTION"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

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
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
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
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print what this machine's journal says about a plan, whether the service runs or not.
    ///
    /// What other programs wrote about it on the stream of results stands apart, with source and error.
    #[command(after_help = "Example: apply-layer plan 67e6da21fa9fe506 --json")]
    Plan {
        /// The plan's id: 16 hex digits.
        #[arg(value_parser = apply_core::plan_id::read)]
        id: PlanId,
        /// As JSON: as it is written down, with what other programs wrote under `foreign`.
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

/// The command line with the exit codes of every command.
pub(crate) fn command_line() -> clap::Command {
    commands::with_exit_codes(Cli::command())
}

/// Does what the command line asks for.
pub(crate) async fn dispatch() -> ExitCode {
    let (command, as_json) = match parsed() {
        Ok(parsed) => parsed,
        Err(error) => return unparsed(&error),
    };
    // Those that stay for long have memory of their own, as large as they are: on the stack each would take as much as
    // the largest command.
    let done = match command {
        Command::Run => match configured() {
            Ok(settings) => Box::pin(run(settings.service)).await,
            Err(failure) => Err(failure),
        },
        Command::Review { reviewer } => match configured() {
            Ok(settings) => {
                Box::pin(review::review(
                    &settings.service,
                    &settings.review,
                    reviewer,
                ))
                .await
            }
            Err(failure) => Err(failure),
        },
        Command::Chain => match configured() {
            Ok(settings) => Box::pin(chain::chain(settings)).await,
            Err(failure) => Err(failure),
        },
        Command::Halt {
            reason, file_only, ..
        } => turned(true, reason, file_only, as_json).await,
        Command::Resume {
            reason, file_only, ..
        } => turned(false, reason, file_only, as_json).await,
        Command::Plan { id, json } => plan::story(config::halting(), &id, json).await,
        Command::Demo { serve: true, port } => {
            Box::pin(demo::keep_serving(port, env!("APPLY_COMMIT"))).await
        }
        Command::Demo { .. } => Box::pin(demo::demo()).await,
        Command::Sim(args) => Box::pin(sim::sim(args)).await,
        Command::Ops(ops) => Box::pin(ops.run(Cli::command(), read)).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(as_json),
    }
}

/// What is asked for, and whether as JSON.
fn parsed() -> Result<(Command, bool), clap::Error> {
    let mut matches = command_line().try_get_matches()?;
    let mut last = &matches;
    while let Some((_, below)) = last.subcommand() {
        last = below;
    }
    let as_json = matches!(last.try_get_one::<bool>("json"), Ok(Some(true)));
    let Cli { command } = Cli::from_arg_matches_mut(&mut matches)?;
    Ok((command, as_json))
}

/// Prints help and the version, or what is wrong with the command line.
fn unparsed(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader that has seen enough is no failure.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let options = std::env::args_os().take_while(|arg| arg != "--");
    if options.skip(1).any(|arg| arg == "--json") {
        let text = error.to_string();
        let said = text
            .lines()
            .take_while(|line| !line.is_empty())
            .map(str::trim);
        let said = said.collect::<Vec<_>>().join(" ");
        return Failure::new(Exit::Usage, said.trim_start_matches("error: "))
            .fix("see apply-layer --help, or the same of the command")
            .end(true);
    }
    let _ = error.print();
    ExitCode::from(Exit::Usage.code())
}

async fn turned(on: bool, reason: String, file_only: bool, as_json: bool) -> Result<(), Failure> {
    halt::turn(config::halting(), on, reason, file_only, as_json).await
}

fn configured() -> Result<Settings, Failure> {
    Settings::from_environment().map_err(Mistakes::into_failure)
}

/// For the operator's commands.
fn read(keys: VenueKeys) -> Result<Config, Failure> {
    let read = match keys {
        VenueKeys::Wanted => Settings::from_environment(),
        VenueKeys::Unused => Settings::without_venue_keys(),
    };
    read.map(|settings| settings.service)
        .map_err(Mistakes::into_failure)
}
