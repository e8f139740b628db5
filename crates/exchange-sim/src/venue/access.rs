//! Who may ask, and whether they may ask now: key, signature, time window.

use std::{collections::HashMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::Sha256;

use crate::{config::Proof, error::VenueError, http::Request, params::Params};

/// Receive window where a request names none, and the largest one it may name; milliseconds.
const DEFAULT_WINDOW: i64 = 5_000;
const LARGEST_WINDOW: i64 = 60_000;
/// How far ahead of the server a timestamp may lie; milliseconds.
const LEAD: i64 = 1_000;

pub(super) enum Verifier {
    Hmac(Box<Hmac<Sha256>>),
    Ed25519(UnparsedPublicKey<[u8; 32]>),
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Verifier::Hmac",
            Self::Ed25519(_) => "Verifier::Ed25519",
        })
    }
}

impl Verifier {
    pub(super) fn new(proof: &Proof) -> Self {
        match proof {
            // HMAC takes a key of any length, so this is no refusal of anybody's secret.
            Proof::Hmac { secret } => match Hmac::new_from_slice(secret.as_bytes()) {
                Ok(mac) => Self::Hmac(Box::new(mac)),
                Err(_) => unreachable!("HMAC-SHA256 takes keys of any length"),
            },
            Proof::Ed25519 { public_key } => {
                Self::Ed25519(UnparsedPublicKey::new(&ED25519, *public_key))
            }
        }
    }

    /// Checks `signature` (hex for HMAC, base64 for Ed25519) over the concatenated `parts`.
    fn accepts(&self, parts: [&str; 2], signature: &str) -> bool {
        match self {
            Self::Hmac(keyed) => {
                let mut mac = keyed.as_ref().clone();
                for part in parts {
                    mac.update(part.as_bytes());
                }
                from_hex(signature).is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
            }
            Self::Ed25519(public_key) => STANDARD
                .decode(signature)
                .is_ok_and(|bytes| public_key.verify(parts.concat().as_bytes(), &bytes).is_ok()),
        }
    }
}

/// -2014 for a key that no key of the venue looks like (64 letters and digits), -2015 for one it does not know.
pub(super) fn find<'k>(
    keys: &'k HashMap<String, Verifier>,
    sent: Option<&str>,
) -> Result<&'k Verifier, VenueError> {
    let sent = sent.ok_or_else(VenueError::key_format)?;
    match keys.get(sent) {
        Some(verifier) => Ok(verifier),
        None if sent.len() == 64 && sent.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Err(VenueError::key_unknown())
        }
        None => Err(VenueError::key_format()),
    }
}

/// Checks the signature over exactly the bytes sent: the query, then the body, nothing in between, without the
/// signature itself, which has to be the last parameter of the last part that is not empty.
pub(super) fn check_signature(
    verifier: &Verifier,
    request: &Request,
    params: &Params,
) -> Result<(), VenueError> {
    params.need("timestamp")?;
    let signature = params.need("signature")?;
    let signed = if request.body.is_empty() {
        without_signature(&request.query).map(|query| [query, ""])
    } else {
        without_signature(&request.body).map(|body| [request.query.as_str(), body])
    };
    match signed {
        Some(parts) if verifier.accepts(parts, signature) => Ok(()),
        _ => Err(VenueError::signature()),
    }
}

/// The part before a `signature=…` that ends the text.
fn without_signature(text: &str) -> Option<&str> {
    let (before, last) = text.rsplit_once('&').unwrap_or(("", text));
    last.starts_with("signature=").then_some(before)
}

/// `timestamp < serverTime + 1000 && serverTime - timestamp <= recvWindow`, as the venue documents it.
pub(super) fn check_time(params: &Params, now: i64) -> Result<(), VenueError> {
    let timestamp = params
        .integer("timestamp")?
        .ok_or_else(|| VenueError::mandatory("timestamp"))?;
    let window = params.integer("recvWindow")?.unwrap_or(DEFAULT_WINDOW);
    if window > LARGEST_WINDOW {
        return Err(VenueError::recv_window());
    }
    if window <= 0 {
        return Err(VenueError::mandatory("recvWindow"));
    }
    if timestamp >= now.saturating_add(LEAD) {
        return Err(VenueError::ahead_of_server());
    }
    if now.saturating_sub(timestamp) > window {
        return Err(VenueError::outside_window());
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The vector of the venue's documentation.
    const SECRET: &str = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9";
    const TEXT: &str = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943";
    const SIGNATURE: &str = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9";

    fn check(query: &str, body: &str) -> Result<(), VenueError> {
        let verifier = Verifier::new(&Proof::Hmac {
            secret: SECRET.into(),
        });
        let request = Request {
            query: query.into(),
            body: body.into(),
            ..Request::default()
        };
        let params = Params::parse(&request)?;
        check_signature(&verifier, &request, &params)
    }

    #[test]
    fn the_documented_vector_is_accepted_wherever_the_bytes_stand() {
        let signed = format!("{TEXT}&signature={SIGNATURE}");
        check(&signed, "").unwrap();
        check("", &signed).unwrap();
        // Split between query and body, the `&` between the halves is not there to be signed.
        let (query, body) = TEXT.split_once("&quantity").unwrap();
        assert_eq!(
            check(query, &format!("quantity{body}&signature={SIGNATURE}"))
                .unwrap_err()
                .code,
            -1022
        );
    }

    #[test]
    fn one_changed_bit_anywhere_fails() {
        let signed = format!("{TEXT}&signature={SIGNATURE}");
        for index in 0..signed.len() {
            let mut bytes = signed.clone().into_bytes();
            bytes[index] ^= 1;
            let mutated = String::from_utf8(bytes).unwrap();
            assert!(check(&mutated, "").is_err(), "{mutated}");
        }
        assert_eq!(
            check(&signed.replace("BUY", "SELL"), "").unwrap_err().code,
            -1022
        );
    }

    #[test]
    fn a_signature_that_is_not_last_or_not_there_fails() {
        let moved = format!("signature={SIGNATURE}&{TEXT}");
        assert_eq!(check(&moved, "").unwrap_err().code, -1022);
        assert_eq!(
            check(&format!("{TEXT}&signature={SIGNATURE}"), "x=1")
                .unwrap_err()
                .code,
            -1022
        );
        assert_eq!(check(TEXT, "").unwrap_err().code, -1102);
    }

    #[test]
    fn the_time_window_is_open_at_its_lead_and_closed_at_its_end() {
        let now = 1_700_000_000_000;
        let at = |timestamp: i64, window: &str| {
            let params = Params::parse(&Request {
                query: format!("timestamp={timestamp}{window}"),
                ..Request::default()
            })
            .unwrap();
            check_time(&params, now).map_err(|refusal| refusal.code)
        };
        assert_eq!(at(now + 999, ""), Ok(()));
        assert_eq!(at(now + 1000, ""), Err(-1021));
        assert_eq!(at(now - 5000, ""), Ok(()));
        assert_eq!(at(now - 5001, ""), Err(-1021));
        assert_eq!(at(now - 1500, "&recvWindow=1500"), Ok(()));
        assert_eq!(at(now - 1501, "&recvWindow=1500"), Err(-1021));
        assert_eq!(at(now, "&recvWindow=60001"), Err(-1131));
        assert_eq!(at(now, "&recvWindow=0"), Err(-1102));
        assert_eq!(at(i64::MIN, ""), Err(-1021));
        assert_eq!(at(i64::MAX, ""), Err(-1021));
    }

    #[test]
    fn an_ed25519_key_signs_in_base64() {
        use ring::signature::{Ed25519KeyPair, KeyPair};
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public_key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let verifier = Verifier::new(&Proof::Ed25519 { public_key });
        let signature = STANDARD.encode(pair.sign(TEXT.as_bytes()));
        assert!(verifier.accepts([TEXT, ""], &signature));
        assert!(!verifier.accepts([TEXT, "x"], &signature));
        assert!(!verifier.accepts([TEXT, ""], SIGNATURE));
    }

    #[test]
    fn a_key_is_malformed_or_unknown_or_known() {
        let proof = Proof::Hmac {
            secret: SECRET.into(),
        };
        let keys = HashMap::from([("short-key".to_owned(), Verifier::new(&proof))]);
        assert!(find(&keys, Some("short-key")).is_ok());
        let code = |sent| find(&keys, sent).unwrap_err().code;
        assert_eq!(code(None), -2014);
        assert_eq!(code(Some("another")), -2014);
        assert_eq!(code(Some(&"a".repeat(64))), -2015);
    }
}
