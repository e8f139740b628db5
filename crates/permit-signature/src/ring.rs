//! All keys of one configuration: `governor:gov1=<hex>,p33:brain1=<hex>`.

use crate::key::{Key, KeyError};

/// At most so many keys of one issuer: the one in use, and the next or the last one while they are
/// exchanged.
const AT_ONCE: usize = 2;

/// The keys of several issuers, each with one or two of its own. The first of an issuer signs, all
/// of them check.
#[derive(Debug, Clone, Default)]
pub struct KeyRing(Vec<Key>);

/// Why a line is no ring of keys. Never repeats any part of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// An item is not of the form.
    #[error("item {0} is not of the form <permit>:<key id>=<secret in lowercase hex>")]
    Form(usize),
    /// An item holds what can be no key.
    #[error("item {0}: {1}")]
    Key(usize, KeyError),
    /// More keys of one issuer than a rotation needs.
    #[error("{0} has more than {AT_ONCE} keys: the old one and the new one are enough to rotate")]
    TooMany(String),
    /// One id for two keys.
    #[error("{0} has two keys called {1}: give each an id of its own")]
    Twice(String, String),
    /// One secret for two issuers, or twice for one.
    #[error("{0} and {1} have the same secret: give each key a secret of its own")]
    Shared(String, String),
}

impl KeyRing {
    /// Reads items parted by commas. The first thing that is wrong is the error.
    pub fn parse(line: &str) -> Result<Self, KeyRingError> {
        let mut ring = Self::default();
        for (i, item) in line.split(',').map(str::trim).enumerate() {
            let form = || KeyRingError::Form(i + 1);
            let (names, secret) = item.split_once('=').ok_or_else(form)?;
            let (issuer, id) = names.split_once(':').ok_or_else(form)?;
            let key = Key::new(issuer, id, secret).map_err(|why| KeyRingError::Key(i + 1, why))?;
            ring.add(key)?;
        }
        Ok(ring)
    }

    fn add(&mut self, key: Key) -> Result<(), KeyRingError> {
        let name = |key: &Key| format!("{}:{}", key.issuer(), key.id());
        if let Some(same) = self.0.iter().find(|other| other.is_same_secret(&key)) {
            return Err(KeyRingError::Shared(name(same), name(&key)));
        }
        let issuer = key.issuer().to_owned();
        if self.of(&issuer).any(|other| other.id() == key.id()) {
            return Err(KeyRingError::Twice(issuer, key.id().to_owned()));
        }
        if self.of(&issuer).count() == AT_ONCE {
            return Err(KeyRingError::TooMany(issuer));
        }
        self.0.push(key);
        Ok(())
    }

    /// The keys of an issuer, in the order they were given; none where it has none.
    pub fn of(&self, issuer: &str) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| key.issuer() == issuer)
    }
}
