//! What a simulated venue starts with: keys, symbols, positions, mode, clock, limits.

use std::{fmt, time::Duration};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    limits::Limits,
    symbol::{MAX_AMOUNT, SymbolSpec, is_price},
};

/// How a key proves itself.
#[derive(Clone)]
pub(crate) enum Proof {
    Hmac { secret: String },
    Ed25519 { public_key: [u8; 32] },
}

/// One key that may trade on the account. All keys of a simulated venue open the same account.
#[derive(Clone)]
pub struct ApiKey {
    pub(crate) key: String,
    pub(crate) proof: Proof,
}

impl ApiKey {
    /// A key whose requests are signed with HMAC-SHA256 under `secret`.
    pub fn hmac(key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            proof: Proof::Hmac {
                secret: secret.into(),
            },
        }
    }

    /// A key whose requests are signed with Ed25519; the venue knows the public half only.
    pub fn ed25519(key: impl Into<String>, public_key: [u8; 32]) -> Self {
        Self {
            key: key.into(),
            proof: Proof::Ed25519 { public_key },
        }
    }
}

// The secret stays out of whatever prints a configuration.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proof = match self.proof {
            Proof::Hmac { .. } => "hmac",
            Proof::Ed25519 { .. } => "ed25519",
        };
        f.debug_struct("ApiKey")
            .field("key", &self.key)
            .field("proof", &proof)
            .finish_non_exhaustive()
    }
}

/// Which leg of a symbol a position or an order belongs to.
///
/// `Both` in one-way mode; `Long` or `Short` in hedge mode.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum PositionSide {
    /// The single position of one-way mode.
    #[default]
    Both,
    /// The long leg of hedge mode.
    Long,
    /// The short leg of hedge mode.
    Short,
}

impl PositionSide {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Both => "BOTH",
            Self::Long => "LONG",
            Self::Short => "SHORT",
        }
    }
}

/// A position the account holds when the venue opens.
#[derive(Debug, Clone)]
pub(crate) struct StartPosition {
    pub(crate) symbol: String,
    pub(crate) side: PositionSide,
    pub(crate) amount: Decimal,
    pub(crate) entry_price: Option<Decimal>,
}

/// A mark price that wanders by itself, the same way for the same seed.
#[derive(Debug, Clone, Copy)]
pub struct Drift {
    /// Time between two moves; at least one millisecond.
    pub every: Duration,
    /// The largest move, in ticks of the symbol, up or down.
    pub max_ticks: u32,
    /// Same seed, same path.
    pub seed: u64,
}

/// Everything a simulated venue starts with. The default is an account that is flat in BTCUSDT, ETHUSDT and
/// SOLUSDT, in one-way mode, opened by [`SimConfig::API_KEY`] and [`SimConfig::API_SECRET`], with no limits
/// enforced, no latency and a clock that is right.
#[derive(Debug, Clone)]
pub struct SimConfig {
    pub(crate) port: u16,
    pub(crate) keys: Vec<ApiKey>,
    pub(crate) symbols: Vec<SymbolSpec>,
    pub(crate) positions: Vec<StartPosition>,
    pub(crate) hedge_mode: bool,
    pub(crate) clock_offset_ms: i64,
    pub(crate) latency: Duration,
    pub(crate) limits: Option<Limits>,
    pub(crate) drift: Option<Drift>,
    pub(crate) terse_results: bool,
    pub(crate) capacity: usize,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            port: 0,
            keys: vec![ApiKey::hmac(Self::API_KEY, Self::API_SECRET)],
            symbols: SymbolSpec::usual(),
            positions: Vec::new(),
            hedge_mode: false,
            clock_offset_ms: 0,
            latency: Duration::ZERO,
            limits: None,
            drift: None,
            terse_results: false,
            capacity: Self::CAPACITY,
        }
    }
}

impl SimConfig {
    /// The key of the default account. It opens nothing but a simulated venue.
    pub const API_KEY: &str = "SimulatedVenueKeySimulatedVenueKeySimulatedVenueKeySimulated0001";
    /// The secret that belongs to [`SimConfig::API_KEY`]. It is public on purpose.
    pub const API_SECRET: &str = "SimulatedVenueSecretThatIsPublicSimulatedVenueSecretThatIsPublic";
    /// How many entries each history (order log, orders with their trades, conditional orders) holds unless told
    /// otherwise. A venue whose order log and orders are full holds about 130 MB.
    pub const CAPACITY: usize = 100_000;

    /// Listen on this loopback port; 0, the default, takes any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Adds a key to the account. The default key stays.
    #[must_use]
    pub fn key(mut self, key: ApiKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds a symbol, or replaces the one of the same name.
    #[must_use]
    pub fn symbol(mut self, symbol: SymbolSpec) -> Self {
        self.symbols.retain(|known| known.symbol != symbol.symbol);
        self.symbols.push(symbol);
        self
    }

    /// Holds a one-way position from the start: `amount` above zero is long, below zero short, in the base
    /// asset. The entry price is the mark price.
    #[must_use]
    pub fn position(self, symbol: impl Into<String>, amount: Decimal) -> Self {
        self.start_position(symbol.into(), PositionSide::Both, amount, None)
    }

    /// Holds a one-way position from the start with an entry price of its own.
    #[must_use]
    pub fn position_at(
        self,
        symbol: impl Into<String>,
        amount: Decimal,
        entry_price: Decimal,
    ) -> Self {
        self.start_position(symbol.into(), PositionSide::Both, amount, Some(entry_price))
    }

    /// Holds one leg of a hedge-mode position from the start. A short leg has an amount below zero.
    #[must_use]
    pub fn leg(self, symbol: impl Into<String>, side: PositionSide, amount: Decimal) -> Self {
        self.start_position(symbol.into(), side, amount, None)
    }

    /// Starts in hedge mode instead of one-way mode.
    #[must_use]
    pub fn hedge_mode(mut self) -> Self {
        self.hedge_mode = true;
        self
    }

    /// The server's clock runs this many milliseconds ahead of this machine's (below zero: behind); at most a
    /// hundred years either way.
    #[must_use]
    pub fn clock_offset_ms(mut self, offset: i64) -> Self {
        self.clock_offset_ms = offset;
        self
    }

    /// Every venue request waits this long between its arrival and its execution.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Enforces request and order limits. Without this they are counted in the reply headers only.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Lets the mark prices wander.
    #[must_use]
    pub fn drift(mut self, drift: Drift) -> Self {
        self.drift = Some(drift);
        self
    }

    /// Replies to an order leave out `avgPrice` and `cumQuote`, as the venue may do since 2026-07.
    #[must_use]
    pub fn terse_results(mut self) -> Self {
        self.terse_results = true;
        self
    }

    /// How many entries each history holds (at least one). The oldest go first; the order log counts what went.
    #[must_use]
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = entries.max(1);
        self
    }

    /// Whether a venue can be run with this; otherwise what is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        for spec in &self.symbols {
            spec.check()?;
        }
        for start in &self.positions {
            if !self.symbols.iter().any(|spec| spec.symbol == start.symbol) {
                return Err(format!(
                    "a position in {}, which is no symbol",
                    start.symbol
                ));
            }
            if !is_position(start.amount, start.entry_price) {
                return Err(format!("the position in {} is out of range", start.symbol));
            }
        }
        Ok(())
    }

    fn start_position(
        mut self,
        symbol: String,
        side: PositionSide,
        amount: Decimal,
        entry_price: Option<Decimal>,
    ) -> Self {
        self.positions.push(StartPosition {
            symbol,
            side,
            amount,
            entry_price,
        });
        self
    }
}

/// Whether a position can be worked with.
pub(crate) fn is_position(amount: Decimal, entry_price: Option<Decimal>) -> bool {
    amount.abs() <= MAX_AMOUNT && entry_price.is_none_or(is_price)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_configuration_shows_no_secret() {
        let printed = format!("{:?}", SimConfig::default());
        assert!(printed.contains(SimConfig::API_KEY));
        assert!(!printed.contains(SimConfig::API_SECRET));
    }
}
