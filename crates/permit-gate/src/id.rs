//! Who asks, and for what: ids that are safe to put into a key, a log line or another id.

use std::{fmt, sync::Arc};

/// Why a text cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no id: 1 to {max} characters out of A-Z a-z 0-9 . _ - are needed")]
pub struct IdError {
    text: String,
    max: usize,
}

/// Most bytes of an id.
pub const MAX_ID: usize = 64;

fn checked(text: &str) -> Result<Arc<str>, IdError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !text.is_empty() && text.len() <= MAX_ID && text.bytes().all(plain) {
        return Ok(text.into());
    }
    Err(IdError {
        text: text.chars().take(MAX_ID).collect(),
        max: MAX_ID,
    })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes 1 to 64 characters out of `A-Z a-z 0-9 . _ -`, so that an id can never
            /// reach into another key, pattern or log field. Anything else is an [`IdError`].
            pub fn new(text: &str) -> Result<Self, IdError> {
                checked(text).map(Self)
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// So that a map by id can be asked with a text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    };
}

id! {
    /// The plan the permits are for. Permits of one plan are worthless for another.
    PlanId
}

id! {
    /// One attempt to take one plan's permits. Asking again with the same attempt id is the same
    /// question and gets the same answer; another attempt id is a rival. Must be unique among all
    /// processes that share a store: an instance id plus a counter will do.
    AttemptId
}

/// All that one publication of a plan says, as 32 bytes: permits may be bound to it. What is hashed
/// is the publisher's business; here it is only compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanDigest([u8; 32]);

impl PlanDigest {
    /// Of a hash that was computed already.
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

/// 64 lowercase hex digits.
impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanDigest({self})")
    }
}

/// What the permits have to be about: this plan, and what it acts on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The plan.
    pub plan: PlanId,
    /// What the action is done to: a release, a database, an instrument. A rule compares it with what
    /// the permit names, and another one is a no.
    pub target: Arc<str>,
    /// What exactly was published for review. `None` where it is unknown; a rule that binds permits
    /// to it then says no.
    pub content: Option<PlanDigest>,
}

impl Subject {
    /// A subject of this plan and target.
    pub fn new(plan: PlanId, target: impl Into<Arc<str>>) -> Self {
        Self {
            plan,
            target: target.into(),
            content: None,
        }
    }

    /// The same, published with this content.
    pub fn of_content(self, content: PlanDigest) -> Self {
        Self {
            content: Some(content),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_carry_what_a_key_or_a_log_line_would_read_as_structure() {
        for bad in ["", "a b", "a:b", "{a}", "a*", "a\n", "é", &"x".repeat(65)] {
            assert!(PlanId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            PlanId::new("67e6da21fa9fe506").unwrap().as_str(),
            "67e6da21fa9fe506"
        );
    }
}
