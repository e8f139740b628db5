//! The API key and what signs with it. Secrets are wiped when dropped and have no way into text.

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use sha2::Sha256;
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// An API key together with the secret that signs for it.
///
/// Cloning shares the secret instead of copying it. `Debug` prints neither key nor secret. The HMAC state and the text of
/// the key are wiped when the last clone is dropped; the expanded form of an Ed25519 key lives inside `ring`, which offers
/// no wiping, while the PEM and DER it was read from are wiped.
#[derive(Clone)]
pub struct Credentials {
    inner: Arc<Inner>,
}

struct Inner {
    api_key: Zeroizing<String>,
    signer: Signer,
}

enum Signer {
    /// Keyed once: signing clones the two prepared hash states instead of hashing the key each time.
    Hmac(Hmac<Sha256>),
    Ed25519(Ed25519KeyPair),
}

/// Why a key or secret cannot be used. Never repeats any part of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The API key is empty or holds something other than visible ASCII.
    #[error("the API key is empty or not plain visible ASCII")]
    ApiKey,
    /// The API secret is empty or holds something other than visible ASCII.
    #[error("the API secret is empty or not plain visible ASCII")]
    Secret,
    /// The private key is no PKCS#8 PEM block.
    #[error("the private key is not a PKCS#8 PEM block (\"BEGIN PRIVATE KEY\")")]
    Pem,
    /// The PEM block holds no usable Ed25519 key.
    #[error("the PEM block does not hold an Ed25519 private key")]
    NotEd25519,
}

impl Credentials {
    /// A key with an HMAC-SHA256 secret, as the venue's web page issues them.
    ///
    /// # Errors
    /// [`CredentialsError`] where either is empty or not visible ASCII (a stray newline, a smart quote).
    pub fn hmac(api_key: &str, secret: &str) -> Result<Self, CredentialsError> {
        let api_key = checked_key(api_key)?;
        if !is_visible(secret) {
            return Err(CredentialsError::Secret);
        }
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .map_err(|_| CredentialsError::Secret)?;
        Ok(Self::with(api_key, Signer::Hmac(mac)))
    }

    /// A key with an Ed25519 private key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`CredentialsError`] where the key is not visible ASCII or the PEM holds no Ed25519 key.
    pub fn ed25519(api_key: &str, pkcs8_pem: &str) -> Result<Self, CredentialsError> {
        let api_key = checked_key(api_key)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(pkcs8_pem.as_bytes())
            .map_err(|_| CredentialsError::Pem)?;
        // OpenSSL writes the private half only, which `ring` calls version 1 and reads under this name.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        wipe(der);
        let pair = pair.map_err(|_| CredentialsError::NotEd25519)?;
        Ok(Self::with(api_key, Signer::Ed25519(pair)))
    }

    fn with(api_key: Zeroizing<String>, signer: Signer) -> Self {
        Self {
            inner: Arc::new(Inner { api_key, signer }),
        }
    }

    pub(crate) fn api_key(&self) -> &str {
        &self.inner.api_key
    }

    /// Appends `&signature=…` over everything `text` holds so far: the venue signs the very bytes that are sent.
    pub(crate) fn sign(&self, text: &mut String) {
        match &self.inner.signer {
            Signer::Hmac(keyed) => {
                let mut mac = keyed.clone();
                mac.update(text.as_bytes());
                let digest = mac.finalize().into_bytes();
                text.reserve(SIGNATURE.len() + 2 * digest.len());
                text.push_str(SIGNATURE);
                for byte in digest {
                    text.push(HEX[usize::from(byte >> 4)] as char);
                    text.push(HEX[usize::from(byte & 15)] as char);
                }
            }
            Signer::Ed25519(pair) => {
                let signature = pair.sign(text.as_bytes());
                let encoded = base64::engine::general_purpose::STANDARD.encode(signature.as_ref());
                text.push_str(SIGNATURE);
                // Base64 uses three characters that mean something else in a form.
                for letter in encoded.chars() {
                    match letter {
                        '+' => text.push_str("%2B"),
                        '/' => text.push_str("%2F"),
                        '=' => text.push_str("%3D"),
                        plain => text.push(plain),
                    }
                }
            }
        }
    }
}

const SIGNATURE: &str = "&signature=";
const HEX: &[u8; 16] = b"0123456789abcdef";

fn checked_key(api_key: &str) -> Result<Zeroizing<String>, CredentialsError> {
    if is_visible(api_key) {
        Ok(Zeroizing::new(api_key.to_owned()))
    } else {
        Err(CredentialsError::ApiKey)
    }
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

fn wipe(der: PrivatePkcs8KeyDer<'static>) {
    use zeroize::Zeroize as _;
    let mut der = der;
    der.zeroize();
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.inner.signer {
            Signer::Hmac(_) => "hmac-sha256",
            Signer::Ed25519(_) => "ed25519",
        };
        f.debug_struct("Credentials")
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ring::signature::{ED25519, KeyPair, UnparsedPublicKey};

    // The venue's own worked example of a signed request.
    const SECRET: &str = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9";
    const TEXT: &str = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943";
    const DIGEST: &str = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9";

    // The first private key of RFC 8410, section 10.3: a published test key that guards nothing.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

    #[test]
    fn the_documented_example_gives_the_documented_signature() {
        let credentials = Credentials::hmac("key", SECRET).unwrap();
        for _ in 0..2 {
            let mut text = TEXT.to_owned();
            credentials.sign(&mut text);
            assert_eq!(text, format!("{TEXT}&signature={DIGEST}"));
        }
    }

    #[test]
    fn an_ed25519_signature_verifies_after_undoing_the_url_encoding() {
        let credentials = Credentials::ed25519("key", PEM).unwrap();
        let mut text = TEXT.to_owned();
        credentials.sign(&mut text);
        let (signed, signature) = text.split_once("&signature=").unwrap();
        assert_eq!(signed, TEXT);
        assert!(!signature.contains(['+', '/', '=']), "{signature}");
        let plain = signature
            .replace("%2B", "+")
            .replace("%2F", "/")
            .replace("%3D", "=");
        let raw = base64::engine::general_purpose::STANDARD
            .decode(plain)
            .unwrap();
        let Signer::Ed25519(pair) = &credentials.inner.signer else {
            panic!("not an ed25519 signer")
        };
        UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref())
            .verify(TEXT.as_bytes(), &raw)
            .unwrap();
    }

    #[test]
    fn debug_shows_neither_key_nor_secret() {
        for credentials in [
            Credentials::hmac("public-key-text", SECRET).unwrap(),
            Credentials::ed25519("public-key-text", PEM).unwrap(),
        ] {
            let shown = format!("{credentials:?} {credentials:#?}");
            for hidden in ["public-key-text", SECRET, "MC4CAQ"] {
                assert!(!shown.contains(hidden), "{shown}");
            }
        }
    }

    #[test]
    fn unusable_keys_are_refused_by_name() {
        let pem_without_end = &PEM[..40];
        assert_eq!(
            Credentials::hmac("", SECRET).unwrap_err(),
            CredentialsError::ApiKey
        );
        assert_eq!(
            Credentials::hmac("key\n", SECRET).unwrap_err(),
            CredentialsError::ApiKey
        );
        assert_eq!(
            Credentials::hmac("key", "").unwrap_err(),
            CredentialsError::Secret
        );
        assert_eq!(
            Credentials::hmac("key", "“x”").unwrap_err(),
            CredentialsError::Secret
        );
        assert_eq!(
            Credentials::ed25519("key", "").unwrap_err(),
            CredentialsError::Pem
        );
        assert_eq!(
            Credentials::ed25519("key", pem_without_end).unwrap_err(),
            CredentialsError::Pem
        );
        let other = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(
            Credentials::ed25519("key", other).unwrap_err(),
            CredentialsError::NotEd25519
        );
    }
}
