//! An instrument's name, as the venue spells it.

use std::{fmt, str::FromStr, sync::Arc};

/// 1 to 32 capital letters, digits and underscores: `BTCUSDT`. Letters may be of any script, since the venue lists
/// `币安人生USDT`, too. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

/// The text is no symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no symbol: 1 to 32 capital letters, digits and _ are needed, as in BTCUSDT")]
pub struct SymbolError(String);

impl Symbol {
    /// The symbol as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        let plain = |c: char| (c.is_alphanumeric() && !c.is_lowercase()) || c == '_';
        let fits = text.chars().nth(32).is_none() && text.chars().all(plain);
        if text.is_empty() || !fits {
            return Err(SymbolError(text.chars().take(40).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Symbol> for Arc<str> {
    fn from(symbol: &Symbol) -> Self {
        symbol.0.clone()
    }
}
