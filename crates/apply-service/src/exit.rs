//! How the process ends: codes that service managers and scripts can act on.

use crate::logging::journald;
use apply_wire::Exit;
use permit_gate::foreign::{printable, printable_json};
use serde_json::json;
use std::{
    fmt,
    io::{Write, stderr},
    process::ExitCode,
};

/// A run that did not end well. Printed once, to standard error, by [`Failure::end`] or by the conversion into an
/// [`ExitCode`].
#[derive(Debug, Clone)]
pub struct Failure {
    exit: Exit,
    message: String,
    fix: Option<String>,
    /// The message has it already, line by line.
    is_fix_within: bool,
}

impl Failure {
    /// An end with this code; `message` says what happened.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            fix: None,
            is_fix_within: false,
        }
    }

    /// Something needed is unreachable: starting again later may help.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// The configuration is wrong: starting again will not help.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(Exit::Configuration, message)
    }

    /// What was asked for was refused, or came out wrong.
    pub fn mismatch(message: impl Into<String>) -> Self {
        Self::new(Exit::No, message)
    }

    /// There is no such plan or permit.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// The same, with the next move.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same where the message says the next move already: only in JSON it stands apart as well.
    #[must_use]
    pub fn fix_within(mut self, fix: impl Into<String>) -> Self {
        self.is_fix_within = true;
        self.fix(fix)
    }

    /// The code it ends with.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether starting again will not help.
    pub fn is_configuration(&self) -> bool {
        self.exit == Exit::Configuration
    }

    /// Prints it to standard error, as lines for people or as one line of JSON, and ends with its code.
    pub fn end(self, as_json: bool) -> ExitCode {
        match as_json {
            true => complain("", &self.to_json()),
            false => {
                let priority = match journald::receives(stderr()) {
                    true => journald::ERROR,
                    false => "",
                };
                for line in format!("apply-layer: {self}").lines() {
                    complain(priority, line);
                }
            }
        }
        ExitCode::from(self.exit.code())
    }

    fn to_json(&self) -> String {
        let error = json!({
            "code": self.exit.code(),
            "name": self.exit.name(),
            "message": self.message,
            "fix": self.fix,
        });
        printable_json(&json!({ "error": error }).to_string()).into_owned()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.fix {
            Some(fix) if !self.is_fix_within => write!(f, "; {fix}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        failure.end(false)
    }
}

/// Prints one line to standard error, behind what a log reader needs before it. Neither fails nor panics.
pub fn complain(priority: &str, line: &str) {
    let _ = writeln!(stderr().lock(), "{priority}{}", printable(line));
}
