//! An issuer's key: what signs, and what checks.

use crate::seal::{MAX_LIFE, Seal, Sealed, Unsealed, hex, unhex};
use hmac::{Hmac, KeyInit, Mac};
use permit_gate::{PlanDigest, PlanId, rule::MAX_PERMIT_BYTES};
use sha2::Sha256;
use std::{fmt, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// One key of one issuer. `Debug` shows whose it is and its id, never the secret; the keyed state
/// is wiped when it is dropped.
#[derive(Clone)]
pub struct Key {
    issuer: Arc<str>,
    id: Arc<str>,
    keyed: Hmac<Sha256>,
}

/// What a signature says beside the permit's own words.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// The plan it is for.
    pub plan: &'a PlanId,
    /// The publication of that plan it is for.
    pub content: &'a PlanDigest,
    /// When it is issued, in time since 1970; whole milliseconds count.
    pub issued: Duration,
    /// How long it is good for: more than 1 ms, at most [`MAX_LIFE`].
    pub lasts: Duration,
    /// 16 bytes that the issuer never used before.
    pub nonce: [u8; 16],
}

/// Why a key cannot be one. Never repeats any part of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name of the issuer or the id of the key. It is not repeated: where id and secret are swapped it
    /// is the secret.
    #[error("the {0} is no name: 1 to 32 characters out of a-z 0-9 _ are needed")]
    Name(&'static str),
    /// The secret is too short to be one, too long, or not written as hex.
    #[error("the secret is not written in 64 to 128 lowercase hex digits (32 to 64 bytes)")]
    Secret,
}

/// Why a permit cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// It bears a signature already.
    #[error("the permit is signed already")]
    Signed,
    /// A JSON object with at least one field and nothing around it, or a bare word, is needed.
    #[error("the permit is neither a JSON object with a field nor a bare word")]
    Form,
    /// Signed it would be longer than the gate reads.
    #[error("the signed permit is longer than {MAX_PERMIT_BYTES} bytes")]
    TooLong,
    /// The time it is good for.
    #[error("a signed permit is good for more than 1 ms and at most {MAX_LIFE:?}")]
    Life,
}

impl Key {
    /// A key of `issuer` (the permit's name: `governor`) called `id`, with a secret in 64 to 128
    /// lowercase hex digits.
    pub fn new(issuer: &str, id: &str, secret: &str) -> Result<Self, KeyError> {
        for (what, name) in [("issuer", issuer), ("key's id", id)] {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
                return Err(KeyError::Name(what));
            }
        }
        let secret = Zeroizing::new(unhex(secret).ok_or(KeyError::Secret)?);
        if !(32..=64).contains(&secret.len()) {
            return Err(KeyError::Secret);
        }
        Ok(Self {
            issuer: issuer.into(),
            id: id.into(),
            keyed: Hmac::new_from_slice(&secret).map_err(|_| KeyError::Secret)?,
        })
    }

    /// Whose it is: the permit's name.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its id, which stands in what it signs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The permit with its signature: the same object with one more field, `signed`, at its end. A
    /// bare word becomes `{"token":"<word>","signed":…}`.
    pub fn sign(&self, permit: &str, stamp: &Stamp<'_>) -> Result<String, SignError> {
        let body = body_of(permit)?;
        let lasts = stamp.lasts.as_millis();
        if lasts == 0 || stamp.lasts > MAX_LIFE {
            return Err(SignError::Life);
        }
        let issued = stamp.issued.as_millis();
        let (plan, content) = (stamp.plan.to_string(), stamp.content.to_string());
        let (issued, expires) = (issued.to_string(), (issued + lasts).to_string());
        let nonce = hex(&stamp.nonce);
        let mut sealed = Sealed {
            body,
            seal: Seal {
                key: &self.id,
                issuer: &self.issuer,
                plan: &plan,
                content: &content,
                issued: &issued,
                expires: &expires,
                nonce: &nonce,
                mac: "",
            },
        };
        let message = sealed.seal.message(&sealed.body);
        let mac = hex(&self
            .keyed
            .clone()
            .chain_update(message)
            .finalize()
            .into_bytes());
        sealed.seal.mac = &mac;
        let text = sealed.text();
        // What the other side could not take apart again is not given out.
        match Sealed::read(text.as_bytes()) {
            _ if text.len() > MAX_PERMIT_BYTES => Err(SignError::TooLong),
            Ok(again) if again == sealed => Ok(text),
            _ => Err(SignError::Form),
        }
    }

    /// Whether this key made the seal of this permit. Takes the same time for every wrong one.
    pub(crate) fn made(&self, sealed: &Sealed<'_>) -> bool {
        let Some(mac) = unhex(sealed.seal.mac) else {
            return false;
        };
        let message = sealed.seal.message(&sealed.body);
        let checking = self.keyed.clone().chain_update(message);
        checking.verify_slice(&mac).is_ok()
    }

    /// Whether both hold the same secret.
    pub(crate) fn is_same_secret(&self, other: &Self) -> bool {
        let probe = |key: &Self| key.keyed.clone().chain_update(b"same?").finalize();
        probe(self) == probe(other)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}:{})", self.issuer, self.id)
    }
}

/// The text that is signed.
fn body_of(permit: &str) -> Result<String, SignError> {
    if !matches!(Sealed::read(permit.as_bytes()), Err(Unsealed::Unsigned(_))) {
        return Err(SignError::Signed);
    }
    if permit.starts_with('{') {
        let fields = permit.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        return match fields {
            Some(fields) if !fields.trim().is_empty() => Ok(permit.to_owned()),
            _ => Err(SignError::Form),
        };
    }
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
    match !permit.is_empty() && permit.bytes().all(plain) {
        true => Ok(format!(r#"{{"token":"{permit}"}}"#)),
        false => Err(SignError::Form),
    }
}

/// The bare word of a body that stands for one.
pub(crate) fn token_of(body: &str) -> Option<&str> {
    let word = body.strip_prefix(r#"{"token":""#)?.strip_suffix(r#""}"#)?;
    (!word.contains(['"', '\\'])).then_some(word)
}
