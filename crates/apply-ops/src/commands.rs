//! Every command, each once: its exit codes, which its help, its manual page and `docs/commands.md` say. What it does
//! is said by the command line's own description of it.

use apply_wire::Exit;
use std::fmt::Write;

/// A command as it is typed behind the program's name.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Its words.
    pub name: &'static str,
    /// The schema in `docs/schemas/` of what it prints with `--json`; none where it has no such option.
    pub json: Option<&'static str>,
    /// Who may run it.
    pub who: Who,
    /// The rights in Redis that it needs beside `HELLO`, `PING` and `SELECT`, as a rule of an ACL file; empty where it
    /// needs none.
    pub redis: &'static str,
    /// How it can end, by number, with what that says of it.
    pub exits: &'static [(Exit, &'static str)],
}

/// Who may run a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// It touches nothing of the service's.
    Anybody,
    /// Who has a user in Redis.
    Operator,
    /// It reads what lies in the state directory.
    StateReader,
    /// It writes into the state directory.
    StateWriter,
    /// The service manager, as a service's user.
    Service,
}

impl Who {
    /// Who that is.
    pub const fn says(self) -> &'static str {
        match self {
            Self::Anybody => "anybody",
            Self::Operator => "an operator with a user in Redis",
            Self::StateReader => "root or the service's user, who may read the state directory",
            Self::StateWriter => {
                "root or the service's user, who may write into the state directory"
            }
            Self::Service => "the service manager",
        }
    }
}

const USAGE: (Exit, &str) = (Exit::Usage, "usage");
const YES_NEEDED: (Exit, &str) = (Exit::Usage, "usage, or --yes is needed");
const NO_YES: (Exit, &str) = (Exit::No, "not confirmed");
const NO_REDIS: (Exit, &str) = (Exit::Unavailable, "Redis is unreachable");
const SETTING: (Exit, &str) = (Exit::Configuration, "a setting has to change");
const NO_NAME: (Exit, &str) = (Exit::NotFound, "no such permit name");

/// How a command that only reads Redis can end.
const READS: &[(Exit, &str)] = &[(Exit::Good, "printed"), USAGE, NO_REDIS, SETTING];

// What commands need in Redis: keys, then commands. A script may name a key only where it may be written, too.
const LOOKS: &str = "~quantum:stream:apply.* %R~quantum:* \
    +evalsha +script|load +xrange +xrevrange +getrange +pttl +exists +xinfo|groups +xinfo|consumers +time";
const HALTS: &str = "~quantum:global:kill_switch ~quantum:apply:* \
    +info +time +set +del +eval +xadd";
const RESUMES: &str = "~quantum:global:kill_switch ~quantum:apply:* ~quantum:governor:disarm:* \
    +info +time +set +del +eval +xadd +exists";
const SHOWS: &str = "~quantum:stream:apply.plan %R~quantum:permit:* \
    +evalsha +script|load +xrevrange +getrange +pttl +time";
const GRANTS: &str = "~quantum:stream:apply.plan ~quantum:permit:* \
    +evalsha +script|load +xrevrange +time +set";
const TAILS: &str = "~quantum:stream:apply.plan ~quantum:stream:apply.result \
    +evalsha +script|load +xrange +xrevrange +time";
const TAILS_RESULTS: &str = "~quantum:stream:apply.result \
    +evalsha +script|load +xrange +xrevrange +time";
const COMPARES: &str = "%R~quantum:* \
    +@read +client|tracking +client|setname +info +time";
const COUNTS: &str = "~quantum:stream:apply.* ~quantum:apply:late_permits \
    +evalsha +script|load +xrange +time";
const JUDGES: &str = "~quantum:stream:apply.* \
    +evalsha +script|load +xrange +exists +xinfo|groups +xinfo|consumers +time";
const PROPOSES: &str = "%R~quantum:* ~quantum:harvest:proposal:* \
    +getrange +exists +xrevrange +time +multi +exec +del +hset";
const FORGETS: &str = "~quantum:stream:apply.* %R~quantum:* ~quantum:apply:* \
    +evalsha +script|load +eval +xrevrange +getrange +exists +hexists +scan +time +get +del";

/// How a service ends.
const SERVES: &[(Exit, &str)] = &[
    (Exit::Good, "stopped by a signal"),
    (Exit::No, "a part of it failed"),
    USAGE,
    (
        Exit::Unavailable,
        "Redis, the venue or the state directory is unreachable",
    ),
    SETTING,
];

/// How turning the switch can end.
const TURNS: &[(Exit, &str)] = &[
    (Exit::Good, "turned and recorded"),
    USAGE,
    (
        Exit::Unavailable,
        "a part was not turned or not recorded; the message says which",
    ),
    SETTING,
];

const fn command(name: &'static str, exits: &'static [(Exit, &'static str)]) -> Command {
    Command {
        name,
        json: None,
        who: Who::Operator,
        redis: "",
        exits,
    }
}

impl Command {
    const fn who(self, who: Who) -> Self {
        Self { who, ..self }
    }

    const fn redis(self, redis: &'static str) -> Self {
        Self { redis, ..self }
    }

    /// The same, which prints what this schema says.
    const fn json(self, schema: &'static str) -> Self {
        Self {
            json: Some(schema),
            ..self
        }
    }
}

/// Every command, in the order of `apply-layer --help`.
pub const COMMANDS: [Command; 27] = [
    command("run", SERVES).who(Who::Service),
    command("review governor", SERVES).who(Who::Service),
    command("review p33", SERVES).who(Who::Service),
    command("chain", SERVES).who(Who::Service),
    command("halt", TURNS)
        .who(Who::StateWriter)
        .redis(HALTS)
        .json("halt"),
    command("resume", TURNS)
        .who(Who::StateWriter)
        .redis(RESUMES)
        .json("halt"),
    command(
        "plan",
        &[
            (Exit::Good, "printed"),
            USAGE,
            (Exit::NotFound, "the journal says nothing about it"),
            (Exit::Unavailable, "the journal cannot be read"),
            SETTING,
        ],
    )
    .who(Who::StateReader)
    .redis(TAILS_RESULTS)
    .json("plan"),
    command(
        "demo",
        &[
            (Exit::Good, "every scenario ended as expected"),
            (Exit::No, "one did not"),
            USAGE,
            (Exit::Unavailable, "a port cannot be opened"),
        ],
    )
    .who(Who::Anybody),
    command(
        "sim",
        &[
            (Exit::Good, "stopped by a signal"),
            (Exit::No, "it failed"),
            USAGE,
            (Exit::Unavailable, "the port cannot be opened"),
            (Exit::Configuration, "an option has to change"),
        ],
    )
    .who(Who::Anybody),
    command(
        "check",
        &[
            (Exit::Good, "everything the service needs is there"),
            USAGE,
            (Exit::Unavailable, "something is unreachable"),
            SETTING,
        ],
    )
    .who(Who::StateWriter)
    .json("check"),
    command(
        "status",
        &[
            (Exit::Good, "the service is ready and no switch is on"),
            USAGE,
            (Exit::Down, "the service does not answer"),
            (Exit::NotReady, "it is not ready"),
            (Exit::Halted, "a switch is on"),
            (Exit::Unknown, "a switch cannot be read"),
            NO_REDIS,
            SETTING,
        ],
    )
    .redis(LOOKS)
    .json("status"),
    command("watch", &[(Exit::Good, "left"), USAGE, NO_REDIS, SETTING]).redis(LOOKS),
    command("permits ls", READS)
        .redis("%R~quantum:permit:* +scan +pttl")
        .json("permits-ls"),
    command(
        "permits show",
        &[
            (Exit::Good, "printed"),
            (Exit::No, "the plan is for another symbol"),
            USAGE,
            (Exit::NotFound, "the plan's symbol is not known"),
            NO_REDIS,
            SETTING,
        ],
    )
    .redis(SHOWS)
    .json("permits-show"),
    command(
        "permits judge",
        &[
            (Exit::Good, "a yes"),
            (Exit::No, "a no"),
            USAGE,
            NO_NAME,
            (Exit::Unavailable, "Redis or standard input cannot be read"),
            SETTING,
        ],
    )
    .who(Who::Anybody)
    .json("permits-judge"),
    command(
        "permits grant",
        &[
            (Exit::Good, "written"),
            (Exit::No, "not confirmed, or refused"),
            YES_NEEDED,
            (Exit::NotFound, "no such plan or permit name"),
            NO_REDIS,
            SETTING,
        ],
    )
    .redis(GRANTS)
    .json("permits-grant"),
    command(
        "permits revoke",
        &[
            (Exit::Good, "none of them is left"),
            NO_YES,
            YES_NEEDED,
            NO_NAME,
            NO_REDIS,
            SETTING,
        ],
    )
    .redis("~quantum:permit:* +del")
    .json("permits-revoke"),
    command("plans tail", READS).redis(TAILS).json("plans-tail"),
    command("results tail", READS)
        .redis(TAILS)
        .json("results-tail"),
    command("stats", READS).redis(COUNTS).json("stats"),
    command(
        "cycles",
        &[
            (Exit::Good, "all criteria hold"),
            (Exit::No, "one does not"),
            USAGE,
            NO_REDIS,
            SETTING,
        ],
    )
    .redis(JUDGES)
    .json("cycles"),
    command(
        "shadow",
        &[
            (Exit::Good, "nothing is unexplained"),
            (Exit::No, "something is"),
            USAGE,
            NO_REDIS,
            SETTING,
        ],
    )
    .redis(COMPARES)
    .json("shadow"),
    command(
        "propose",
        &[
            (Exit::Good, "written"),
            (Exit::No, "refused"),
            USAGE,
            NO_REDIS,
            SETTING,
        ],
    )
    .redis(PROPOSES)
    .json("propose"),
    command(
        "forget",
        &[
            (Exit::Good, "forgotten, or nothing to forget"),
            (Exit::No, "not confirmed, or refused"),
            YES_NEEDED,
            (Exit::Unavailable, "Redis or the journal cannot be read"),
            SETTING,
        ],
    )
    .who(Who::StateWriter)
    .redis(FORGETS)
    .json("forget"),
    command(
        "new-journal",
        &[
            (Exit::Good, "accepted, or nothing to accept"),
            NO_YES,
            YES_NEEDED,
            NO_REDIS,
            SETTING,
        ],
    )
    .who(Who::StateReader)
    .redis("~quantum:apply:journal:* +getrange +del")
    .json("new-journal"),
    command("completions", &[(Exit::Good, "printed"), USAGE]).who(Who::Anybody),
    command(
        "man",
        &[
            (Exit::Good, "printed or written"),
            USAGE,
            (Exit::Unavailable, "the directory cannot be written"),
        ],
    )
    .who(Who::Anybody),
];

/// The command of these words.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

impl Command {
    /// Its exit codes on one line, as its help says them.
    pub fn exit_line(&self) -> String {
        let each = self.exits.iter();
        let each: Vec<String> = each
            .map(|(exit, says)| format!("{} {says}", exit.code()))
            .collect();
        format!("Exit codes: {}", each.join(", "))
    }
}

/// The command line with the exit codes of each command behind its help, and all of them behind the program's.
pub fn with_exit_codes(command_line: clap::Command) -> clap::Command {
    described(command_line, "").after_help(summary())
}

/// Every exit code on a line of its own.
fn summary() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for exit in Exit::ALL {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {:>2}  {}", exit.code(), exit.meaning());
    }
    text.trim_end().to_owned()
}

fn described(command: clap::Command, name: &str) -> clap::Command {
    let below: Vec<String> = command
        .get_subcommands()
        .map(|below| below.get_name().to_owned())
        .collect();
    let command = below.into_iter().fold(command, |command, word| {
        let name = format!("{name} {word}");
        command.mut_subcommand(word, |below| described(below, name.trim_start()))
    });
    let Some(entry) = find(name) else {
        return command;
    };
    let behind = |help: Option<&clap::builder::StyledStr>| {
        help.map(|help| format!("{help}\n\n{}", entry.exit_line()))
    };
    let (short, long) = (
        behind(command.get_after_help()),
        behind(command.get_after_long_help()),
    );
    let command = command.after_help(short.unwrap_or_else(|| entry.exit_line()));
    match long {
        Some(long) => command.after_long_help(long),
        None => command,
    }
}

/// The text of `docs/commands.md`.
pub fn page(command_line: &clap::Command) -> String {
    let mut page = HEAD.to_owned();
    for exit in Exit::ALL {
        let _ = writeln!(
            page,
            "| {} | `{}` | {} |",
            exit.code(),
            exit.name(),
            exit.meaning()
        );
    }
    page += COMMANDS_HEAD;
    for command in &COMMANDS {
        let exits = command.exits.iter();
        let exits: Vec<String> = exits
            .map(|(exit, says)| format!("{} {says}", exit.code()))
            .collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} |",
            command.name,
            sentence(command_line, command.name),
            command.who.says(),
            match command.redis {
                "" => "–".to_owned(),
                // A bar would end the cell.
                redis => format!("`{}`", redis.replace('|', "\\|")),
            },
            exits.join(" · "),
            command.json.map_or_else(
                || "–".to_owned(),
                |schema| format!("[{schema}](schemas/{schema}.json)")
            )
        );
    }
    page
}

/// What the command line says that a command does.
fn sentence(command_line: &clap::Command, name: &str) -> String {
    let found = name
        .split(' ')
        .try_fold(command_line, |command, word| command.find_subcommand(word));
    let about = found.and_then(clap::Command::get_about);
    about.map(ToString::to_string).unwrap_or_default()
}

const HEAD: &str = "\
# Commands

Made from the table of commands by `cargo run -p apply-bin --example commands > docs/commands.md`; a test compares the two.
Every command has an example in its `--help`.

## Exit codes

A number never changes its meaning. A command that does not end with 0 says why in one message on standard error.

| code | name | meaning |
|--:|---|---|
";

const COMMANDS_HEAD: &str = "
`status` ends with the first of 69, 3, 4, 5 and 6 that applies: what it prints says all of them. Where Redis is unreachable it
prints what is known without it: the service's answer, and the switches of this machine; those in Redis are unknown. A program that panics ends
with 101.

## JSON

With `--json` a command prints one JSON document to standard output, `tail` one on each line. Where it does not end with 0
it prints `{\"error\": {\"code\", \"name\", \"message\", \"fix\"}}` to standard error ([error](schemas/error.json)), a wrong
command line included. Nothing is asked then: what changes something wants `--yes`. The table below names the JSON Schema
of each; the tests hold what every command prints against it. A later version may have more fields.

## What each command does, and how it ends

What a command needs in Redis stands there as in an ACL file of Redis 7, beside `+hello +ping +select`. `deploy/redis.acl` has
the users: `operator` may do all of this, `apply-layer` is the service's (`run`, `chain`, `check`), `apply-review` the
reviewers' (`review`). A user who may not enter the state directory sees the file HALT as unknown.

| command | what it does | who may run it | rights in Redis | exit codes | JSON |
|---|---|---|---|---|---|
";
