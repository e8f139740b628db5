//! Judging a permit's content: yes on terms, or no with its own reason. Nothing is ever guessed.

mod json;
mod place;
mod token;

pub use json::StrictObject;
pub use token::TokenRule;

use crate::{
    foreign::{escaped, escaped_bytes},
    id::Subject,
};
use rust_decimal::Decimal;
use std::{borrow::Cow, fmt, time::Duration};

/// The largest permit that is looked at, in bytes. Real ones have 200, and 2,000
/// with a denial's context.
pub const MAX_PERMIT_BYTES: usize = 8 * 1024;

/// Judges one kind of permit.
///
/// Pure: no clock, no I/O, no memory of earlier permits. The gate calls it with what the store
/// held, which may be anything at all, so it must not panic on any input. It is called again for
/// the same content whenever a plan looks again, and has to say the same.
///
/// # A permit of one's own
///
/// ```
/// use permit_gate::{
///     Permit, PermitSet, PlanId, Refusal, Rule, Subject, Terms, rule::StrictObject,
///     trading,
/// };
/// use rust_decimal::Decimal;
///
/// /// `{"desk":"ok","symbol":"BTCUSDT","limit":0.5}`: a risk desk, with a limit of its own.
/// #[derive(Debug)]
/// struct DeskRule;
///
/// impl Rule for DeskRule {
///     fn judge(&self, permit: &[u8], subject: &Subject) -> Result<Terms, Refusal> {
///         // Every `?` here is a no with its own reason: too large, no object, a field twice, …
///         let permit = StrictObject::parse(permit)?;
///         let (desk, symbol) = (permit.string("desk")?, permit.string("symbol")?);
///         if symbol != *subject.target {
///             return Err(Refusal::of_permit("symbol_mismatch", "it is for another symbol"));
///         }
///         match desk.as_str() {
///             "ok" => {}
///             "no" => return Err(Refusal::Denied(None)),
///             _ => return Err(Refusal::of_permit("unknown_verdict", "desk is neither ok nor no")),
///         }
///         let limit = permit.decimal_from_zero("limit")?;
///         if limit == Decimal::ZERO {
///             return Err(Refusal::Denied(Some("limit 0".into())));
///         }
///         Ok(Terms { limit: Some(limit), ..Terms::default() })
///     }
/// }
///
/// let desk = Permit::new("desk", DeskRule).expect("a plain name");
/// let required = PermitSet::new(vec![trading::governor(), trading::position_brain(), desk]);
/// assert_eq!(required.expect("three names").len(), 3);
///
/// let subject = Subject::new(PlanId::new("67e6da21fa9fe506").expect("an id"), "BTCUSDT");
/// let yes = DeskRule.judge(br#"{"desk":"ok","symbol":"BTCUSDT","limit":0.5}"#, &subject);
/// assert_eq!(yes.expect("a yes").limit, Some(Decimal::new(5, 1)));
/// let no = DeskRule.judge(br#"{"desk":"maybe","symbol":"BTCUSDT","limit":0.5}"#, &subject);
/// assert_eq!(no.unwrap_err().code("desk"), "desk_permit_unknown_verdict");
/// let half = DeskRule.judge(br#"{"desk":"ok","symbol":"BTCUSDT"}"#, &subject);
/// let half = half.unwrap_err().to_string();
/// assert_eq!(half, "field \"limit\" is missing; the fields that are there: desk, symbol");
/// ```
pub trait Rule: fmt::Debug + Send + Sync {
    /// A yes and its terms, or why this content is no yes for this subject. `permit` is at most
    /// one byte longer than [`MAX_PERMIT_BYTES`] where the store cuts, and may be longer.
    fn judge(&self, permit: &[u8], subject: &Subject) -> Result<Terms, Refusal>;

    /// The same at a known time, in time since 1970: what the gate calls where its
    /// [`Timer`](crate::Timer) has a wall clock. For rules that let permits grow old; the others
    /// leave it, and are judged without. A rule that wraps another one has to pass it on.
    fn judge_at(&self, permit: &[u8], subject: &Subject, now: Duration) -> Result<Terms, Refusal> {
        let _ = now;
        self.judge(permit, subject)
    }
}

/// What a reviewer allows, beyond "yes".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The most the action may amount to, in the target's own unit, always above 0. `None`: no
    /// opinion.
    pub limit: Option<Decimal>,
    /// The same as it was written, where `limit` is what a rounded number stands for: up to 28 digits,
    /// cut toward 0. `None`: as `limit`.
    pub written: Option<Decimal>,
    /// The amount the reviewer saw of the target when it decided, with its sign. `None`: it did not
    /// say.
    pub seen: Option<Decimal>,
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
    /// A reason of the rule's own. Made by [`Refusal::of_permit`] and [`Refusal::with_code`].
    #[error("{detail}")]
    Other {
        /// What the reason is called.
        code: ReasonCode,
        /// What is wrong, in words. Foreign text in it is the rule's to cut.
        detail: String,
    },
}

/// What a rule's own reason is called in results, logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReasonCode {
    /// A word behind the permit's name: `stale` is `p26_permit_stale` for the permit `p26`.
    OfPermit(Cow<'static, str>),
    /// The whole code, in snake_case.
    Whole(Cow<'static, str>),
}

impl Refusal {
    /// A reason called `<permit's name>_permit_<word>`, and what is wrong.
    pub fn of_permit(word: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::Other {
            code: ReasonCode::OfPermit(word.into()),
            detail: detail.into(),
        }
    }

    /// A reason with a code of its own, in snake_case, and what is wrong.
    pub fn with_code(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::Other {
            code: ReasonCode::Whole(code.into()),
            detail: detail.into(),
        }
    }

    /// The error code of a result, for the permit called `name`.
    pub fn code(&self, name: &str) -> String {
        match self {
            Self::Denied(_) => format!("{name}_permit_denied"),
            Self::Malformed(_) => format!("invalid_{name}_permit_format"),
            Self::Other { code, .. } => match code {
                ReasonCode::OfPermit(word) => format!("{name}_permit_{word}"),
                ReasonCode::Whole(code) => code.to_string(),
            },
        }
    }
}

/// How a permit's text fails to be one. Foreign text in it is escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than [`MAX_PERMIT_BYTES`].
    #[error("it is longer than {MAX_PERMIT_BYTES} bytes")]
    TooLarge,
    /// The key holds another type than a string.
    #[error("its key does not hold a string value: write it with SET")]
    NotAString,
    /// Not the expected fixed text.
    #[error("it is not the expected token: {0}")]
    NotTheToken(String),
    /// Not one JSON object and nothing else.
    #[error("it is not one JSON object: {0}")]
    NotAnObject(NotJson),
    /// A field twice; readers differ on which one counts.
    #[error("field \"{field}\" is there twice, the second time at byte {at}")]
    DuplicateField {
        /// The field.
        field: String,
        /// Where the second value begins, the text's first byte being 1.
        at: usize,
    },
    /// A field it must have.
    #[error("field \"{field}\" is missing; the fields that are there: {there}")]
    MissingField {
        /// The field.
        field: &'static str,
        /// The fields that are there.
        there: String,
    },
    /// A field of another type than the contract's.
    #[error("field \"{field}\" has to be {expected}{hint}, and at byte {at} it is: {found}")]
    WrongType {
        /// The field.
        field: String,
        /// What it should be.
        expected: &'static str,
        /// What stands there.
        found: String,
        /// Where, the text's first byte being 1.
        at: usize,
        /// What to do about it, in brackets, where it is known.
        hint: &'static str,
    },
    /// A number beyond what a float can hold, or too large or too fine for a decimal.
    #[error("field \"{field}\" is no finite number of at most 28 digits: {found}")]
    NotFinite {
        /// The field.
        field: String,
        /// What stands there.
        found: String,
    },
    /// Two names of one value that say different things.
    #[error(
        "fields \"{field}\" and \"{other}\" differ ({says} and {other_says}): write one of them"
    )]
    Contradiction {
        /// The one name.
        field: &'static str,
        /// What stands there.
        says: String,
        /// The other name.
        other: &'static str,
        /// What stands there.
        other_says: String,
    },
    /// A number that cannot be below 0.
    #[error("field \"{field}\" is negative: {found}")]
    Negative {
        /// The field.
        field: &'static str,
        /// What stands there.
        found: String,
    },
}

/// Where a text stops being one JSON object, and what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotJson(Box<str>);

impl NotJson {
    /// Something else stands there from the beginning.
    fn at_start(text: &[u8]) -> Self {
        let shown = escaped_bytes(text, place::AROUND);
        let kind = place::kind(text);
        Self(match shown.as_str() {
            "" => kind.into(),
            shown => format!("{kind}; it begins with: {shown}").into(),
        })
    }

    /// The text is broken off at this offset, in the field that was named last.
    fn at(
        text: &[u8],
        offset: usize,
        what: String,
        field: Option<&str>,
        hint: Option<&str>,
    ) -> Self {
        let place = offset + 1;
        let field = field.map_or("before its first field".into(), |field| {
            format!("in or after field \"{}\"", escaped(field, place::AROUND))
        });
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        let shown = place::around(text, offset);
        Self(format!("{what} at byte {place}, {field}{hint}; around it: {shown}").into())
    }
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
