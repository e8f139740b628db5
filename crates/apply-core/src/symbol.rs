//! An instrument's name, as the venue spells it.

use std::{fmt, str::FromStr, sync::Arc};

/// 1 to 32 characters out of `A-Z 0-9 _`: `BTCUSDT`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

/// The text is no symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no symbol: 1 to 32 characters out of A-Z 0-9 _ are needed, as in BTCUSDT")]
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
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(plain) {
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
