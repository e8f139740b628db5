//! A permit that is a bare word.

use super::{MAX_PERMIT_BYTES, Malformed, Refusal, Rule, Terms};
use crate::id::Subject;

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

impl Rule for TokenRule {
    fn judge(&self, permit: &[u8], _: &Subject) -> Result<Terms, Refusal> {
        match permit {
            p if p == &*self.0 => Ok(Terms::default()),
            p if p.len() > MAX_PERMIT_BYTES => Err(Malformed::TooLarge.into()),
            _ => Err(Malformed::NotTheToken.into()),
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
