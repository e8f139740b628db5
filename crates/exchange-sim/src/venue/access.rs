//! Who may ask, and whether they may ask now: key, signature, time window.

use crate::{config::Proof, error::VenueError, http::Request, params::Params};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use sha2::Sha256;
use std::{collections::HashMap, fmt};

/// Receive window where a request names none, and the largest one it may name; milliseconds.
const DEFAULT_WINDOW: i64 = 5_000;
const LARGEST_WINDOW: i64 = 60_000;
/// How far ahead of the server a timestamp may lie; milliseconds.
const LEAD: i64 = 1_000;

pub(super) enum Verifier {
    Hmac(Box<Hmac<Sha256>>),
    Ed25519(UnparsedPublicKey<[u8; 32]>),
    Rsa(UnparsedPublicKey<Vec<u8>>),
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Verifier::Hmac",
            Self::Ed25519(_) => "Verifier::Ed25519",
            Self::Rsa(_) => "Verifier::Rsa",
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
            Proof::Rsa { public_key } => Self::Rsa(UnparsedPublicKey::new(
                &RSA_PKCS1_2048_8192_SHA256,
                public_key.clone(),
            )),
        }
    }

    /// Checks `signature` (hex for HMAC, base64 for Ed25519 and RSA) over the concatenated `parts`.
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
            Self::Rsa(public_key) => STANDARD
                .decode(signature)
                .is_ok_and(|bytes| public_key.verify(parts.concat().as_bytes(), &bytes).is_ok()),
        }
    }
}

/// -2014 for a key that no key of the venue looks like (64 letters and digits), -2015 for one it does not know.
pub(super) fn find<'k, V>(
    keys: &'k HashMap<String, V>,
    sent: Option<&str>,
) -> Result<&'k V, VenueError> {
    let sent = sent.ok_or_else(VenueError::key_format)?;
    match keys.get(sent) {
        Some(known) => Ok(known),
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
    use crate::config::ApiKey;

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
        let params = Params::parse(&request, true)?;
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
            let request = Request {
                query: format!("timestamp={timestamp}{window}"),
                ..Request::default()
            };
            let params = Params::parse(&request, true).unwrap();
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
        let keys = HashMap::from([("short-key".to_owned(), (Verifier::new(&proof), 0))]);
        assert!(find(&keys, Some("short-key")).is_ok());
        let code = |sent| find(&keys, sent).unwrap_err().code;
        assert_eq!(code(None), -2014);
        assert_eq!(code(Some("another")), -2014);
        assert_eq!(code(Some(&"a".repeat(64))), -2015);
    }

    /// Made with `openssl dgst -sha256 -sign` and `openssl pkeyutl -sign -rawin`; the private halves are thrown away.
    const RSA_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1l8e4P5aAIzQbRssfEWu\nxAsKN1Hp8cxkTPAc7qBh2YFAqmX79XtxR4/W1oi36jhYU8DmbmK5f/NVYvB7uXwJ\nHQPPG77A3fMRitjtzc3PoAEIBsBRKTu4epiozY0itfV0ohogFYh24jlTWRuarg+O\n431njtucMNcioU5XBws7lrEzHjBb9MVZWv4YXSvofJzSrqB/CqvJHwtQHEUBftCR\nZ5d6vhTZyvmG8hiDe2VYQ3IcmQEiT2MkP9LyLX5FxPekqMOEC78x/suJBPIcBcfD\nnPPmb3BPxwjrLSrkC09klKsPswFsb2GsTH0xXu+JV7/aXSsAIkHDINAW9rZ/U5sU\nLwIDAQAB\n-----END PUBLIC KEY-----";
    const RSA_SIGNATURE: &str = "EkffZ3HbRBtVWdC+8Q3Mj+4BoaWmxKfRn/KGNTSRMA7lFQBKwEB9/OAq7DFwEIQgAXhEU5fW717l06qYBB+DSToBNCQbP9IFZ8CSkv9WMGi1dNqrYaJbcsjM35ULFUYzaHH+8p3QZVrAfcJlvDGLpqJTVw3shWXcV8uVl6OXjC+5gE6179YNa6EOuVbMw8ZltCeX+rpLqgwke57NHPrFcM10J7ewFogcY0k6XZ+y/wlIDhiV70oOcQBVVTmlT0Tv6a7VDJwMWwyyRIuGYSm6RJCmCFg0h6/W/3Pm8vcYpN+aqkZ2MvYf5vE36FdLrOmoD7pcQ36Nv4Cp5GacbDNdzw==";
    const ED25519_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAdAR79tIDKZCU5Z/Q/9xkXIQr9Sps+XYwBGXUCK/ZIDc=\n-----END PUBLIC KEY-----";
    const ED25519_SIGNATURE: &str =
        "La9WwEavdjk8+7decpztHPJVCRdpkyXbW3tpgC5gfHdOKZq0zZzeqED5irMPP1AiGu+pRrzUazbMJwz5zlLyCg==";

    #[test]
    fn keys_of_pem_files_check_what_openssl_signed() {
        let rsa = Verifier::new(&ApiKey::rsa_pem("r", RSA_KEY).unwrap().proof);
        let ed25519 = Verifier::new(&ApiKey::ed25519_pem("e", ED25519_KEY).unwrap().proof);
        assert!(rsa.accepts([TEXT, ""], RSA_SIGNATURE));
        assert!(ed25519.accepts([TEXT, ""], ED25519_SIGNATURE));
        assert!(!rsa.accepts([TEXT, "x"], RSA_SIGNATURE));
        // The signature of another kind of key is no signature.
        assert!(!rsa.accepts([TEXT, ""], ED25519_SIGNATURE) && !rsa.accepts([TEXT, ""], SIGNATURE));
        assert!(!ed25519.accepts([TEXT, ""], RSA_SIGNATURE));
    }

    #[test]
    fn a_file_that_holds_no_such_public_key_is_refused_with_a_sentence() {
        let other = ApiKey::ed25519_pem("e", RSA_KEY).unwrap_err();
        assert!(other.contains("not an Ed25519 key"), "{other}");
        let private = RSA_KEY.replace("PUBLIC", "PRIVATE");
        assert!(
            ApiKey::rsa_pem("r", &private)
                .unwrap_err()
                .contains("private key")
        );
        for text in [
            "",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
        ] {
            assert!(ApiKey::rsa_pem("r", text).is_err(), "{text}");
        }
        for cut in 0..RSA_KEY.len() - 30 {
            assert!(ApiKey::rsa_pem("r", &RSA_KEY[..cut]).is_err(), "{cut}");
        }
    }
}
