//! Permits that only the holder of an issuer's key can write.
//!
//! A store of permits is shared: any client that may write a key there could write a yes. Signed, a permit
//! is worth something only under the key of its issuer, for one publication of one plan, for a
//! while. This crate signs permits ([`Key::sign`]) and checks them ([`SignedRule`], which wraps the
//! rule that reads the content). It decides nothing else, reads no clock, no environment and no
//! random source: time and nonce are arguments.
//!
//! ```text
//!  issuer: permit ─Key::sign─▶ permit with "signed" ─▶ the store
//!  gate:   what the store held ─SignedRule─▶ signature, plan, time ─▶ the issuer's own rule
//!                                   └─ anything amiss: a no with its own reason
//! ```
//!
//! The exact form, with an example to follow in other languages, is in `docs/permits-signing.md`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod key;
mod ring;
mod rule;
mod seal;

pub use key::{Key, KeyError, SignError, Stamp};
pub use ring::{KeyRing, KeyRingError};
pub use rule::{MAX_AHEAD, REASON_WORDS, SignedRule};
pub use seal::MAX_LIFE;
