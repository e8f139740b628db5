//! Public keys as PEM files hold them (SubjectPublicKeyInfo), read far enough to check signatures with.

use base64::{Engine as _, engine::general_purpose::STANDARD};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// 1.3.101.112
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
];

/// The 32 bytes of an Ed25519 public key in PEM.
pub(crate) fn ed25519_public_key(pem: &str) -> Result<[u8; 32], String> {
    let key = public_key(pem, ED25519, "Ed25519")?;
    key.try_into()
        .map_err(|_| "an Ed25519 public key has 32 bytes; this one has not".to_owned())
}

/// The `RSAPublicKey` of an RSA public key in PEM.
pub(crate) fn rsa_public_key(pem: &str) -> Result<Vec<u8>, String> {
    public_key(pem, RSA, "RSA")
}

fn public_key(pem: &str, algorithm: &[u8], name: &str) -> Result<Vec<u8>, String> {
    if pem.contains("PRIVATE KEY") {
        return Err(
            "this is a private key; the venue knows public ones (openssl pkey -in FILE -pubout)"
                .to_owned(),
        );
    }
    let body: String = pem
        .lines()
        .skip_while(|line| line.trim() != "-----BEGIN PUBLIC KEY-----")
        .skip(1)
        .take_while(|line| line.trim() != "-----END PUBLIC KEY-----")
        .map(str::trim)
        .collect();
    let wrong = || format!("no {name} public key in PEM (-----BEGIN PUBLIC KEY-----)");
    let der = STANDARD.decode(body).map_err(|_| wrong())?;
    let (outer, _) = element(&der, SEQUENCE).ok_or_else(wrong)?;
    let (kind, rest) = element(outer, SEQUENCE).ok_or_else(wrong)?;
    if !kind.starts_with(algorithm) {
        return Err(format!("a public key, but not an {name} key"));
    }
    let (bits, _) = element(rest, BIT_STRING).ok_or_else(wrong)?;
    match bits.split_first() {
        Some((0, key)) => Ok(key.to_vec()),
        _ => Err(wrong()),
    }
}

/// The contents of the DER element that `bytes` begin with, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            if count > 4 {
                return None;
            }
            let (digits, rest) = rest.split_at_checked(count)?;
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum * 256 + usize::from(*digit));
            (length, rest)
        }
    };
    rest.split_at_checked(length)
}
