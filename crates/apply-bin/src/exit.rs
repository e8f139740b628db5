//! How the process ends: codes that service managers and scripts can act on.

use std::process::ExitCode;

/// A run that did not end well. Printed once, to standard error, by the conversion into an
/// [`ExitCode`].
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Something needed is away (`EX_UNAVAILABLE`): starting again later may help.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            code: 69,
            message: message.into(),
        }
    }

    /// The configuration is wrong (`EX_CONFIG`): starting again will not help.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self {
            code: 78,
            message: message.into(),
        }
    }

    /// What was asked for was done and came out wrong.
    pub(crate) fn mismatch(message: impl Into<String>) -> Self {
        Self {
            code: 1,
            message: message.into(),
        }
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        eprintln!("apply-layer: {}", failure.message);
        Self::from(failure.code)
    }
}
