//! What a simulated venue starts with: keys, symbols, positions, mode, clock, limits.

use crate::{
    limits::{Keeping, Limits},
    symbol::{MAX_AMOUNT, SymbolSpec, is_price},
    venue::{ed25519_public_key, rsa_public_key},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// How a key proves itself.
#[derive(Clone)]
pub(crate) enum Proof {
    Hmac {
        secret: String,
    },
    Ed25519 {
        public_key: [u8; 32],
    },
    /// `RSAPublicKey` in DER.
    Rsa {
        public_key: Vec<u8>,
    },
}

/// One key, how it proves itself, and the account that it opens: the first, unless [`ApiKey::on`] names another.
#[derive(Clone)]
pub struct ApiKey {
    pub(crate) key: String,
    pub(crate) proof: Proof,
    pub(crate) account: String,
}

impl ApiKey {
    /// A key whose requests are signed with HMAC-SHA256 under `secret`.
    pub fn hmac(key: impl Into<String>, secret: impl Into<String>) -> Self {
        let secret = secret.into();
        Self::new(key, Proof::Hmac { secret })
    }

    /// A key whose requests are signed with Ed25519; the venue knows the public half only.
    pub fn ed25519(key: impl Into<String>, public_key: [u8; 32]) -> Self {
        Self::new(key, Proof::Ed25519 { public_key })
    }

    /// The same with the public key as a PEM file holds it (`openssl pkey -in FILE -pubout`).
    ///
    /// # Errors
    /// A sentence, where the text is no Ed25519 public key.
    pub fn ed25519_pem(key: impl Into<String>, pem: &str) -> Result<Self, String> {
        Ok(Self::ed25519(key, ed25519_public_key(pem)?))
    }

    /// A key whose requests are signed with RSA (PKCS#1 v1.5 over SHA-256, 2048 bits and more); the venue knows the
    /// public half only, as a PEM file holds it (`openssl pkey -in FILE -pubout`).
    ///
    /// # Errors
    /// A sentence, where the text is no RSA public key.
    pub fn rsa_pem(key: impl Into<String>, pem: &str) -> Result<Self, String> {
        let public_key = rsa_public_key(pem)?;
        Ok(Self::new(key, Proof::Rsa { public_key }))
    }

    /// The same key for another account than the first.
    #[must_use]
    pub fn on(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    fn new(key: impl Into<String>, proof: Proof) -> Self {
        Self {
            key: key.into(),
            proof,
            account: SimConfig::ACCOUNT.to_owned(),
        }
    }
}

// The secret stays out of whatever prints a configuration.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proof = match self.proof {
            Proof::Hmac { .. } => "hmac",
            Proof::Ed25519 { .. } => "ed25519",
            Proof::Rsa { .. } => "rsa",
        };
        f.debug_struct("ApiKey")
            .field("key", &self.key)
            .field("proof", &proof)
            .field("account", &self.account)
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

/// An account of the venue: its name, and what it starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountConfig {
    pub(crate) name: String,
    pub(crate) wallet: Decimal,
    pub(crate) hedge_mode: bool,
}

impl AccountConfig {
    /// An account in one-way mode with [`SimConfig::WALLET`] USDT.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            wallet: SimConfig::WALLET,
            hedge_mode: false,
        }
    }

    /// Wallet balance to start with, in USDT.
    #[must_use]
    pub fn wallet(mut self, balance: Decimal) -> Self {
        self.wallet = balance;
        self
    }

    /// Starts in hedge mode.
    #[must_use]
    pub fn hedge_mode(mut self) -> Self {
        self.hedge_mode = true;
        self
    }
}

/// A position an account holds when the venue opens.
#[derive(Debug, Clone)]
pub(crate) struct StartPosition {
    pub(crate) account: String,
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

/// Everything a simulated venue starts with. The default is one account with 10,000 USDT that is flat in BTCUSDT,
/// ETHUSDT and SOLUSDT, in one-way mode, opened by [`SimConfig::API_KEY`] and [`SimConfig::API_SECRET`]; requests are
/// read as the venue reads them, the test host's limits are stated and not enforced, there is no latency, and the clock
/// is right.
#[derive(Debug, Clone)]
pub struct SimConfig {
    pub(crate) port: u16,
    pub(crate) keys: Vec<ApiKey>,
    pub(crate) symbols: Vec<SymbolSpec>,
    pub(crate) positions: Vec<StartPosition>,
    pub(crate) accounts: Vec<AccountConfig>,
    pub(crate) clock_offset_ms: i64,
    pub(crate) latency: Duration,
    pub(crate) limits: Keeping,
    pub(crate) drift: Option<Drift>,
    pub(crate) manners: Manners,
    pub(crate) capacity: usize,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            port: 0,
            keys: vec![ApiKey::hmac(Self::API_KEY, Self::API_SECRET)],
            symbols: SymbolSpec::usual(),
            positions: Vec::new(),
            accounts: vec![AccountConfig::new(Self::ACCOUNT)],
            clock_offset_ms: 0,
            latency: Duration::ZERO,
            limits: Keeping::Stated,
            drift: None,
            manners: Manners::default(),
            capacity: Self::CAPACITY,
        }
    }
}

impl SimConfig {
    /// The key of the default account. It opens nothing but a simulated venue.
    pub const API_KEY: &str = "SimulatedVenueKeySimulatedVenueKeySimulatedVenueKeySimulated0001";
    /// The secret that belongs to [`SimConfig::API_KEY`]. It is public on purpose.
    pub const API_SECRET: &str = "SimulatedVenueSecretThatIsPublicSimulatedVenueSecretThatIsPublic";
    /// The name of the first account.
    pub const ACCOUNT: &str = "sim";
    /// Wallet balance of an account in USDT, unless set otherwise.
    pub const WALLET: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);
    /// How many entries each history (order log, orders with their trades, conditional orders) holds unless set
    /// otherwise. A venue whose order log and orders are full holds about 170 MB.
    pub const CAPACITY: usize = 100_000;

    /// Listen on this loopback port; 0, the default, takes any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Adds a key. The default key stays.
    #[must_use]
    pub fn key(mut self, key: ApiKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds an account, or replaces the one of the same name. Keys open it with [`ApiKey::on`].
    #[must_use]
    pub fn account(mut self, account: AccountConfig) -> Self {
        match self
            .accounts
            .iter_mut()
            .find(|known| known.name == account.name)
        {
            Some(known) => *known = account,
            None => self.accounts.push(account),
        }
        self
    }

    /// Wallet balance of the first account, in USDT.
    #[must_use]
    pub fn wallet(mut self, balance: Decimal) -> Self {
        if let Some(first) = self.accounts.first_mut() {
            first.wallet = balance;
        }
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

    /// The same for the account of this name.
    #[must_use]
    pub fn position_of(
        mut self,
        account: impl Into<String>,
        symbol: impl Into<String>,
        amount: Decimal,
    ) -> Self {
        self.positions.push(StartPosition {
            account: account.into(),
            symbol: symbol.into(),
            side: PositionSide::Both,
            amount,
            entry_price: None,
        });
        self
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

    /// Starts the first account in hedge mode instead of one-way mode.
    #[must_use]
    pub fn hedge_mode(mut self) -> Self {
        if let Some(first) = self.accounts.first_mut() {
            first.hedge_mode = true;
        }
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

    /// States and enforces request and order limits. Without this those of the test host are stated, and usage is
    /// counted in the reply headers only.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Keeping::Enforced(limits);
        self
    }

    /// States no limits and enforces none: for a client that keeps to what is stated and is to be faster than that.
    #[must_use]
    pub fn unlimited(mut self) -> Self {
        self.limits = Keeping::Unlimited;
        self
    }

    /// Reads requests strictly, to judge one's own client: unknown parameters (-1104), a parameter in query and body at
    /// once (-1101), parameters that say nothing (-1106), a trigger price off the tick (-4014), a reduce-only stop
    /// without a position (-2022) and a `limit` above its maximum (-1130) are refused, which the venue takes or ignores.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.manners.strict = true;
        self
    }

    /// Replies to new and cancelled orders hold `avgPrice` and `cumQuote`, as the venue's did before 2026-07.
    #[must_use]
    pub fn old_replies(mut self) -> Self {
        self.manners.old_replies = true;
        self
    }

    /// Lists a filter in `exchangeInfo` that no client knows, as a new one of the venue would be.
    #[must_use]
    pub fn unknown_filter(mut self) -> Self {
        self.manners.unknown_filter = true;
        self
    }

    /// Lets the mark prices wander.
    #[must_use]
    pub fn drift(mut self, drift: Drift) -> Self {
        self.drift = Some(drift);
        self
    }

    /// Queries of an order leave out `avgPrice` and `cumQuote` too, which the venue's still hold.
    #[must_use]
    pub fn terse_results(mut self) -> Self {
        self.manners.terse_results = true;
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
        for key in &self.keys {
            if self.account_of(&key.account).is_none() {
                return Err(format!("a key for {}, which is no account", key.account));
            }
        }
        for account in &self.accounts {
            if account.wallet.abs() > MAX_AMOUNT {
                return Err(format!("the wallet of {} is out of range", account.name));
            }
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
            if self.account_of(&start.account).is_none() {
                return Err(format!(
                    "a position of {}, which is no account",
                    start.account
                ));
            }
        }
        Ok(())
    }

    /// The number of an account.
    pub(crate) fn account_of(&self, name: &str) -> Option<usize> {
        self.accounts
            .iter()
            .position(|account| account.name == name)
    }

    fn start_position(
        mut self,
        symbol: String,
        side: PositionSide,
        amount: Decimal,
        entry_price: Option<Decimal>,
    ) -> Self {
        self.positions.push(StartPosition {
            account: Self::ACCOUNT.to_owned(),
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

/// The shape of replies and how requests are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Manners {
    /// Refuse what the venue reads past.
    pub(crate) strict: bool,
    /// Order replies with `avgPrice` and `cumQuote`, as before 2026-07.
    pub(crate) old_replies: bool,
    /// Queries without `avgPrice` and `cumQuote` too.
    pub(crate) terse_results: bool,
    /// A filter in `exchangeInfo` that no client knows.
    pub(crate) unknown_filter: bool,
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
