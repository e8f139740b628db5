//! Judging a permit's content: yes on terms, or no with its own reason. Nothing is ever guessed.

mod governor;
mod json;
mod position;
mod token;

pub use governor::GovernorRule;
pub use json::StrictObject;
pub use position::PositionRule;
pub use token::TokenRule;

use crate::id::Subject;
use rust_decimal::Decimal;
use std::{borrow::Cow, fmt};

/// The largest permit that is looked at, in bytes. Real ones have 200; a position brain's denial
/// with its context stays under 2,000.
pub const MAX_PERMIT_BYTES: usize = 8 * 1024;

/// Judges one kind of permit.
///
/// Pure: no clock, no I/O, no memory of earlier permits. The gate calls it with what the store
/// held, which may be anything at all, so it must not panic on any input.
pub trait Rule: fmt::Debug + Send + Sync {
    /// A yes and its terms, or why this content is no yes for this subject.
    fn judge(&self, permit: &[u8], subject: &Subject) -> Result<Terms, Refusal>;
}

/// What a reviewer allows, beyond "yes".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The most that may be traded, in base units, always above 0. `None`: no opinion on size.
    pub max_quantity: Option<Decimal>,
    /// The signed position the reviewer saw at the venue. `None`: it did not say.
    pub seen_position: Option<Decimal>,
}

/// Why a permit that is there is not a yes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The reviewer said no. Carries the reviewer's own reason, cut to 120 characters.
    #[error("denied{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Denied(Option<String>),
    /// The content is not a permit of this kind.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The permit is for another symbol.
    #[error("it is for symbol {0:?}")]
    OtherSymbol(String),
    /// The permit says it was used already.
    #[error("it is marked as consumed")]
    Consumed,
    /// The position brain allows a quantity of 0 or less.
    #[error("safe_close_qty is {0}, not above 0")]
    InvalidSafeCloseQty(String),
    /// A reason of a custom rule, in snake_case: `p26_permit_stale`.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl Refusal {
    /// The error code of a result, for the permit called `name`.
    pub fn code(&self, name: &str) -> String {
        match self {
            Self::Denied(_) => format!("{name}_permit_denied"),
            Self::Malformed(_) => format!("invalid_{name}_permit_format"),
            Self::OtherSymbol(_) => format!("{name}_permit_symbol_mismatch"),
            Self::Consumed => format!("{name}_permit_consumed"),
            Self::InvalidSafeCloseQty(_) => "invalid_safe_close_qty".into(),
            Self::Other(code) => code.to_string(),
        }
    }
}

/// How a permit's text fails to be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than [`MAX_PERMIT_BYTES`].
    #[error("it is longer than {MAX_PERMIT_BYTES} bytes")]
    TooLarge,
    /// The key holds another type than a string.
    #[error("its key does not hold a string value")]
    NotAString,
    /// Not the expected fixed text.
    #[error("it is not the expected token")]
    NotTheToken,
    /// Not one JSON object and nothing else.
    #[error("it is not one JSON object: {0}")]
    NotAnObject(String),
    /// A field twice; readers differ on which one counts.
    #[error("field {0:?} is there twice")]
    DuplicateField(String),
    /// A field it must have.
    #[error("field {0:?} is missing")]
    MissingField(&'static str),
    /// A field of another type than the contract's.
    #[error("field {field:?} is no {expected}")]
    WrongType {
        /// The field.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A number beyond what a decimal or a float can hold.
    #[error("field {0:?} is no finite number of at most 28 digits")]
    NotFinite(String),
    /// A number that cannot be below 0.
    #[error("field {0:?} is negative")]
    Negative(&'static str),
}

/// A reviewer's words, short and on one line, so that they can stand in logs and results.
fn brief(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(120)
        .collect()
}
