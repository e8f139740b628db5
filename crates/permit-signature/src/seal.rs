//! The `"signed"` field: what stands in it, and which bytes are authenticated.

use permit_gate::{Malformed, PlanDigest, foreign::escaped, rule::StrictObject};
use std::time::Duration;

/// The version of the form. Another one is another form, and a no.
const VERSION: &str = "v1";

/// What the authenticated bytes begin with, so that a key used for anything else by mistake never
/// signs a permit.
const DOMAIN: &[u8] = b"apply-permit-v1";

/// The field's name.
const FIELD: &str = "signed";

/// How long a signed permit may be good for at most. No wait is longer than a minute.
pub const MAX_LIFE: Duration = Duration::from_secs(300);

/// How much of a part of the seal is shown.
const SHOWN: usize = 30;

/// A permit without its seal, and the seal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sealed<'a> {
    /// The permit's own text: all that is authenticated of it, and all that is judged.
    pub(crate) body: String,
    pub(crate) seal: Seal<'a>,
}

/// The seal's fields as they stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal<'a> {
    pub(crate) key: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) plan: &'a str,
    pub(crate) content: &'a str,
    /// Milliseconds since 1970.
    pub(crate) issued: &'a str,
    pub(crate) expires: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) mac: &'a str,
}

/// Why a text is no sealed permit, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unsealed {
    /// It bears no seal.
    Unsigned(String),
    /// Something stands where the seal should be, and is none.
    Malformed(String),
}

impl<'a> Sealed<'a> {
    /// Takes a permit apart. The seal is a field of the object like any other, found by a JSON reader;
    /// what is authenticated is the text without that field and the comma beside it, to the letter.
    pub(crate) fn read(permit: &'a [u8]) -> Result<Self, Unsealed> {
        use Unsealed::{Malformed as Bad, Unsigned};
        let object = StrictObject::parse(permit).map_err(|error| match error {
            Malformed::DuplicateField { ref field, .. } if field == FIELD => Bad(error.to_string()),
            // Half of a signed permit still bears the field's name.
            _ if contains(permit, b"\"signed\"") => Bad(error.to_string()),
            Malformed::NotAnObject(what) => Unsigned(format!(
                "it bears no signature, and is no JSON object: {what}"
            )),
            other => Unsigned(format!("it bears no signature, and {other}")),
        })?;
        let Some((body, seal)) = object.take_out(FIELD) else {
            let named = object.similar(FIELD);
            let named = named
                .map(|name| format!("; there is a field \"{name}\""))
                .unwrap_or_default();
            return Err(Unsigned(format!("it has no field \"{FIELD}\"{named}")));
        };
        if permit.first() != Some(&b'{') || permit.last() != Some(&b'}') {
            let what = match permit.last() {
                Some(b'\n') => "a line break stands behind the object",
                _ => "blanks stand around the object",
            };
            return Err(Bad(format!("{what}: the signed text ends with its brace")));
        }
        let seal = seal
            .strip_prefix('"')
            .and_then(|seal| seal.strip_suffix('"'));
        let seal = seal.ok_or_else(|| Bad(format!("field \"{FIELD}\" has to be a string")))?;
        Ok(Self {
            body,
            seal: Seal::read(seal).map_err(Bad)?,
        })
    }

    pub(crate) fn text(&self) -> String {
        let own = self.body.strip_suffix('}').unwrap_or(&self.body);
        let Seal {
            key,
            issuer,
            plan,
            content,
            issued,
            expires,
            nonce,
            mac,
        } = self.seal;
        format!(
            "{own},\"{FIELD}\":\"{VERSION}:{key}:{issuer}:{plan}:{content}:{issued}:{expires}:{nonce}:{mac}\"}}"
        )
    }
}

impl<'a> Seal<'a> {
    /// Reads the text between the quotes, or says what is wrong with it.
    fn read(text: &'a str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [
            version,
            key,
            issuer,
            plan,
            content,
            issued,
            expires,
            nonce,
            mac,
        ] = parts[..]
        else {
            return Err(format!(
                "\"{FIELD}\" has {} parts between colons, and 9 are needed: v1:<key id>:<issuer>:<plan id>:<plan digest>:<issued>:<expires>:<nonce>:<mac>; it begins with: {}",
                parts.len(),
                escaped(text, SHOWN)
            ));
        };
        if version != VERSION {
            let version = escaped(version, SHOWN);
            return Err(format!(
                "its version is \"{version}\", and \"{VERSION}\" is needed"
            ));
        }
        hex_digits("plan digest", content, 64)?;
        hex_digits("nonce", nonce, 32)?;
        hex_digits("mac", mac, 64)?;
        let seal = Self {
            key,
            issuer,
            plan,
            content,
            issued,
            expires,
            nonce,
            mac,
        };
        let (from, to) = (time("issued", issued)?, time("expires", expires)?);
        let life = to.checked_sub(from).filter(|life| !life.is_zero());
        match life {
            None => Err(format!(
                "it expires at {expires}, which is not after its issue at {issued}"
            )),
            Some(life) if life > MAX_LIFE => Err(format!(
                "it is good for {} ms, and {} ms are the most",
                life.as_millis(),
                MAX_LIFE.as_millis()
            )),
            Some(_) => Ok(seal),
        }
    }

    /// When it was issued, in time since 1970.
    pub(crate) fn issued(&self) -> Option<Duration> {
        millis(self.issued)
    }

    /// Until when it is good, in time since 1970.
    pub(crate) fn expires(&self) -> Option<Duration> {
        millis(self.expires)
    }

    /// Everything that is authenticated: every field with its length before it, so that no two
    /// permits are the same bytes.
    pub(crate) fn message(&self, body: &str) -> Vec<u8> {
        let fields: [&[u8]; 9] = [
            DOMAIN,
            self.key.as_bytes(),
            self.issuer.as_bytes(),
            self.plan.as_bytes(),
            self.content.as_bytes(),
            body.as_bytes(),
            self.issued.as_bytes(),
            self.expires.as_bytes(),
            self.nonce.as_bytes(),
        ];
        let mut message = Vec::with_capacity(body.len() + 400);
        for field in fields {
            // A permit has 8 KiB at most, everything else less.
            let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
            message.extend_from_slice(&length.to_be_bytes());
            message.extend_from_slice(field);
        }
        message
    }

    pub(crate) fn is_of(&self, content: &PlanDigest) -> bool {
        self.content == content.to_string()
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Holds a part of the seal to its form. Its digits are not repeated.
fn hex_digits(name: &str, part: &str, digits: usize) -> Result<(), String> {
    if is_hex(part, digits) {
        return Ok(());
    }
    let wrong = match part.chars().count() {
        // The right ones in capitals.
        n if n == digits && is_hex(&part.to_ascii_lowercase(), digits) => {
            "and some are in upper case".to_owned()
        }
        n if n == digits => "and something else is among them".to_owned(),
        n => format!("and there are {n} characters"),
    };
    Err(format!(
        "its {name} has to be {digits} lowercase hex digits, {wrong}"
    ))
}

fn time(name: &str, part: &str) -> Result<Duration, String> {
    millis(part).ok_or_else(|| {
        let part = escaped(part, SHOWN);
        format!("its time \"{name}\" has to be whole milliseconds since 1970 in decimal, and is \"{part}\"")
    })
}

/// Lowercase hex digits, exactly so many.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of lowercase hex digits; `None` where it is anything else.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !is_hex(text, text.len()) || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Milliseconds in decimal, the one way they are written: no sign, no zero before them.
fn millis(text: &str) -> Option<Duration> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    match plain && text.len() <= 16 {
        true => text.parse().ok().map(Duration::from_millis),
        false => None,
    }
}
