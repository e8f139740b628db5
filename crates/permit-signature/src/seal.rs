//! The `"signed"` field: what stands in it, where it stands, and which bytes are authenticated.

use permit_gate::PlanDigest;
use std::time::Duration;

/// The version of the form. Another one is another form, and a no.
const VERSION: &str = "v1";

/// What the authenticated bytes begin with, so that a key used for anything else by mistake never
/// signs a permit.
const DOMAIN: &[u8] = b"apply-permit-v1";

/// What stands between the permit's own fields and the seal.
const MARK: &str = r#","signed":""#;

/// What stands after it.
const END: &str = r#""}"#;

/// How long a signed permit may be good for at most. No wait is longer than a minute.
pub const MAX_LIFE: Duration = Duration::from_secs(300);

/// A permit without its seal, and the seal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sealed<'a> {
    /// The permit's own text.
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

/// Why a text is no sealed permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsealed {
    /// It bears no seal.
    Unsigned,
    /// Something stands where the seal should be, and is none.
    Malformed,
}

impl<'a> Sealed<'a> {
    /// Takes a permit apart. The seal is the last field, without a blank around it, and one text
    /// has one reading: nothing is normalised, nothing ignored.
    pub(crate) fn read(permit: &'a [u8]) -> Result<Self, Unsealed> {
        let text = std::str::from_utf8(permit).map_err(|_| Unsealed::Unsigned)?;
        let Some((own, seal)) = text.rsplit_once(MARK) else {
            return Err(Unsealed::Unsigned);
        };
        let seal = seal.strip_suffix(END).ok_or(Unsealed::Malformed)?;
        let seal = Seal::read(seal).ok_or(Unsealed::Malformed)?;
        Ok(Self {
            body: format!("{own}}}"),
            seal,
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
            "{own}{MARK}{VERSION}:{key}:{issuer}:{plan}:{content}:{issued}:{expires}:{nonce}:{mac}{END}"
        )
    }
}

impl<'a> Seal<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [
            VERSION,
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
            return None;
        };
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
        let well = is_hex(content, 64) && is_hex(nonce, 32) && is_hex(mac, 64);
        let life = seal.expires()?.checked_sub(seal.issued()?)?;
        (well && !life.is_zero() && life <= MAX_LIFE).then_some(seal)
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
