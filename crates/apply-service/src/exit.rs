//! How the process ends: codes that service managers and scripts can act on.

use crate::logging::journald;
use permit_gate::foreign::printable;
use std::{
    fmt,
    io::{Write, stderr},
    process::ExitCode,
};

/// A run that did not end well. Printed once, to standard error, by the conversion into an
/// [`ExitCode`].
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Something needed is away (`EX_UNAVAILABLE`): starting again later may help.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            code: 69,
            message: message.into(),
        }
    }

    /// The configuration is wrong (`EX_CONFIG`): starting again will not help.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self {
            code: 78,
            message: message.into(),
        }
    }

    /// What was asked for was done and came out wrong.
    pub fn mismatch(message: impl Into<String>) -> Self {
        Self {
            code: 1,
            message: message.into(),
        }
    }
}

impl Failure {
    /// Whether starting again will not help.
    pub fn is_configuration(&self) -> bool {
        self.code == 78
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        let priority = match journald::receives(stderr()) {
            true => journald::ERROR,
            false => "",
        };
        let told = format!("apply-layer: {}", failure.message);
        for line in told.lines() {
            complain(priority, line);
        }
        Self::from(failure.code)
    }
}

/// Prints one line to standard error, behind what a log reader needs before it. Neither fails nor panics.
pub fn complain(priority: &str, line: &str) {
    let _ = writeln!(stderr().lock(), "{priority}{}", printable(line));
}
