//! A permit that is a bare word.

use super::{MAX_PERMIT_BYTES, Malformed, Refusal, Rule, Terms};
use crate::{foreign::escaped_bytes, id::Subject};

/// Says yes to exactly this text and to nothing else, as the portfolio gate's `1`.
///
/// The key alone ties such a permit to its plan, and it names no symbol.
#[derive(Debug, Clone)]
pub struct TokenRule(Box<[u8]>);

impl TokenRule {
    /// A rule that wants `token`, byte for byte.
    pub fn new(token: &str) -> Self {
        Self(token.as_bytes().into())
    }
}

impl TokenRule {
    /// How a text differs, without the token itself: what almost is the token may be kept from
    /// other eyes.
    fn difference(&self, other: &[u8]) -> String {
        let inside = match other {
            [b'"', inside @ .., b'"'] | [b'\'', inside @ .., b'\''] => inside,
            _ => other,
        };
        if other.strip_suffix(b"\n") == Some(&self.0) {
            "a line break stands behind it".into()
        } else if other.trim_ascii() == &*self.0 {
            "blanks stand around it".into()
        } else if inside == &*self.0 {
            "it stands in quotes".into()
        } else if other.eq_ignore_ascii_case(&self.0) {
            "its letters are of another case".into()
        } else {
            format!("there is {}", escaped_bytes(other, 30))
        }
    }
}

impl Rule for TokenRule {
    fn judge(&self, permit: &[u8], _: &Subject) -> Result<Terms, Refusal> {
        match permit {
            p if p == &*self.0 => Ok(Terms::default()),
            p if p.len() > MAX_PERMIT_BYTES => Err(Malformed::TooLarge.into()),
            other => Err(Malformed::NotTheToken(self.difference(other)).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PlanId;

    #[test]
    fn only_the_very_token_is_a_yes() {
        let subject = Subject::new(PlanId::new("p").unwrap(), "BTCUSDT");
        let rule = TokenRule::new("1");
        assert_eq!(rule.judge(b"1", &subject), Ok(Terms::default()));
        for no in [
            &b""[..],
            b"0",
            b" 1",
            b"1\n",
            b"01",
            b"true",
            b"\"1\"",
            &[b'1'; 9000],
        ] {
            assert!(rule.judge(no, &subject).is_err());
        }
    }
}
