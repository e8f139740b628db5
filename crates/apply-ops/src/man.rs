//! The manual: a page for the program and one for each command, made of the command line's own description, the table
//! of commands and the table of settings.

use super::{
    commands::{self, COMMANDS},
    output::{Done, print, print_as_it_is},
};
use apply_service::Failure;
use apply_wire::{
    Exit,
    setting::{SETTINGS, Setting},
};
use clap::Args;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use std::{fs, io, path::PathBuf};

/// Which pages.
#[derive(Args)]
pub struct Manual {
    /// The command whose page is printed, as in `man permits grant`; without it the program's.
    #[arg(conflicts_with = "all")]
    command: Vec<String>,
    /// Write every page into this directory instead, which has to exist.
    #[arg(long, value_name = "DIRECTORY")]
    all: Option<PathBuf>,
}

impl Manual {
    pub(super) fn run(self, command_line: clap::Command) -> Done {
        let mut program = command_line.disable_help_subcommand(true);
        program.build();
        if let Some(directory) = &self.all {
            let mut count = 0;
            for page in pages(&program, "") {
                let written = page
                    .text()
                    .and_then(|text| fs::write(directory.join(page.file_name()), text));
                written.map_err(|error| {
                    let text = format!("cannot write into {}: {error}", directory.display());
                    Failure::unavailable(text).fix("name a directory that exists")
                })?;
                count += 1;
            }
            return print(&format!("{count} pages in {}\n", directory.display()));
        }
        let name = self.command.join(" ");
        let page = pages(&program, "")
            .into_iter()
            .find(|page| page.name == name);
        let page = page.ok_or_else(|| {
            Failure::new(Exit::Usage, format!("there is no command {name:?}"))
                .fix("see apply-layer --help")
        })?;
        let text = page.text().map_err(|error| {
            Failure::mismatch(format!("the page could not be written: {error}"))
        })?;
        print_as_it_is(&text)
    }
}

/// One page.
struct Page<'a> {
    /// The command's words; empty for the program.
    name: String,
    command: &'a clap::Command,
    version: String,
}

/// The page of a command and of all below it.
fn pages<'a>(command: &'a clap::Command, name: &str) -> Vec<Page<'a>> {
    let version = command.get_version().unwrap_or_default().to_owned();
    let mut all = vec![Page {
        name: name.to_owned(),
        command,
        version: version.clone(),
    }];
    for below in command.get_subcommands() {
        let name = format!("{name} {}", below.get_name());
        all.extend(pages(below, name.trim_start()));
    }
    // The program alone names a version.
    all.iter_mut()
        .for_each(|page| page.version.clone_from(&version));
    all
}

impl Page<'_> {
    /// As `man` asks for it: `apply-layer-permits-grant`.
    fn title(&self) -> String {
        match self.name.is_empty() {
            true => "apply-layer".into(),
            false => format!("apply-layer-{}", self.name.replace(' ', "-")),
        }
    }

    fn file_name(&self) -> String {
        format!("{}.1", self.title())
    }

    fn text(&self) -> io::Result<String> {
        let man = Man::new(self.command.clone())
            .title(self.title())
            .source(format!("apply-layer {}", self.version))
            .manual("apply-layer");
        let mut page = Vec::new();
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if self.command.has_subcommands() {
            man.render_subcommands_section(&mut page)?;
        }
        self.more().to_writer(&mut page)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    /// What the description of the command line does not know.
    fn more(&self) -> Roff {
        let mut roff = Roff::new();
        if let Some(example) = self.command.get_after_help() {
            roff.control("SH", ["EXAMPLES"]);
            for line in example.to_string().lines().filter(|line| !line.is_empty()) {
                roff.control("PP", []);
                roff.text([roman(line.trim())]);
            }
        }
        roff.control("SH", ["EXIT STATUS"]);
        match commands::find(&self.name) {
            Some(command) => entries(
                &mut roff,
                command
                    .exits
                    .iter()
                    .map(|(exit, says)| (exit.code().to_string(), *says)),
            ),
            None => entries(
                &mut roff,
                Exit::ALL
                    .into_iter()
                    .map(|exit| (exit.code().to_string(), exit.meaning())),
            ),
        }
        roff.control("SH", ["ENVIRONMENT"]);
        let settings = SETTINGS
            .iter()
            .filter(|_| ["", "run"].contains(&self.name.as_str()));
        let settings: Vec<(String, String)> = settings.map(of_setting).collect();
        match settings.is_empty() {
            true => {
                roff.text([roman("Every command reads the environment that the service reads: see apply-layer-run(1).")]);
            }
            false => entries(
                &mut roff,
                settings
                    .iter()
                    .map(|(name, text)| (name.clone(), text.as_str())),
            ),
        }
        roff.control("SH", ["SEE ALSO"]);
        let mut others: Vec<String> = vec!["apply-layer(1)".into(), "apply-layer-run(1)".into()];
        if self.name.is_empty() {
            let commands = COMMANDS
                .iter()
                .map(|command| command.name.replace(' ', "-"));
            others = commands
                .map(|name| format!("apply-layer-{name}(1)"))
                .collect();
        }
        others.retain(|other| *other != format!("{}(1)", self.title()));
        roff.text([roman(others.join(", "))]);
        roff.control("PP", []);
        roff.text([roman(
            "The documents in /usr/share/doc/apply-layer, commands.md and operations.md first.",
        )]);
        roff
    }
}

/// A list of words with what each says.
fn entries<'a>(roff: &mut Roff, entries: impl Iterator<Item = (String, &'a str)>) {
    for (name, says) in entries {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(says)]);
    }
}

/// Its name, and what it is for without Markdown's marks.
fn of_setting(setting: &Setting) -> (String, String) {
    let default = match setting.default {
        "" => String::new(),
        default => format!(" The default is {default}."),
    };
    let meaning = setting.explained().replace('`', "");
    // Links lead nowhere in a manual page.
    let meaning = meaning.split(", see [").next().unwrap_or_default();
    let meaning = meaning.split("; see [").next().unwrap_or_default();
    (setting.name.to_owned(), format!("{meaning}.{default}"))
}
