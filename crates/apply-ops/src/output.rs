//! Printing, and asking before something is changed.

use apply_service::Failure;
use apply_wire::Exit;
use permit_gate::foreign::{MAX_FOREIGN, escaped, printable, printable_json};
use std::io::{self, BufRead, IsTerminal, Write};

/// Why a command ends before its end.
#[derive(Debug)]
pub(crate) enum End {
    Failed(Failure),
    /// The reader of the output has closed it, as `head` does: no failure.
    ReaderGone,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// How a command ends.
pub(crate) type Done = Result<(), End>;

/// Prints lines to standard output at once, printable whatever foreign words are in them. A reader that has seen enough
/// changes neither what the command does next nor how it ends.
pub(crate) fn print(text: &str) -> Done {
    unless_the_reader_is_gone(print_while_read(text))
}

/// The same for what goes on until its reader leaves.
pub(crate) fn print_while_read(text: &str) -> Done {
    print_as_it_is(&printable_lines(text))
}

fn unless_the_reader_is_gone(printed: Done) -> Done {
    match printed {
        Err(End::ReaderGone) => Ok(()),
        printed => printed,
    }
}

/// Each line of the text printable.
fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// Prints JSON and ends the line; as [`print`].
pub(crate) fn print_json(json: &str) -> Done {
    unless_the_reader_is_gone(print_json_while_read(json))
}

/// The same for what goes on until its reader leaves.
pub(crate) fn print_json_while_read(json: &str) -> Done {
    print_as_it_is(&format!("{}\n", printable_json(json)))
}

/// Prints one line about something that was done. Its reader may be gone, and a terminal may be full: what was
/// done stands all the same, so this neither fails nor panics.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", printable(line)).and_then(|()| out.flush());
}

/// Prints what has to reach the terminal as it is.
pub(super) fn print_as_it_is(text: &str) -> Done {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => End::ReaderGone,
        _ => Failure::unavailable(format!("cannot write to standard output: {error}"))
            .fix("make room where it leads, or lead it elsewhere")
            .into(),
    })
}

/// Asks for a yes on the terminal, where `--yes` did not give it. Anything else, the end of the input included, is a
/// no. Where there is no terminal, and where JSON is asked for, a program reads: nothing is asked, and nothing done.
pub(super) fn confirm(question: &str, yes: bool, as_json: bool) -> Done {
    if yes {
        return Ok(());
    }
    if as_json || !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            format!("nothing was changed: this needs a yes, and there is no terminal to ask on ({question})"),
        )
        .fix("add --yes where you are sure")
        .into());
    }
    // Where it cannot be asked, the answer is no.
    let _ = write!(io::stderr().lock(), "{} [y/N] ", printable(question));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match answer.trim() {
        "y" | "Y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Failure::mismatch("nothing was changed: not confirmed")
            .fix("answer y, or add --yes, where you are sure")
            .into()),
    }
}

/// What others wrote, on one line and without what could move a terminal's cursor.
pub(super) fn tame(text: &str) -> String {
    escaped(text, MAX_FOREIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbours_text_cannot_move_the_cursor() {
        assert_eq!(tame("a\x1b[2J\nb"), "a\\u{1b}[2J\\nb");
        assert_eq!(tame(&"x".repeat(1000)).chars().count(), 120);
    }
}
