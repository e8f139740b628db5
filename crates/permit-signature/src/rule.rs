//! The rule that checks a signature before the issuer's own rule reads the permit.

use crate::{
    key::{Key, token_of},
    ring::KeyRing,
    seal::{Seal, Sealed, Unsealed},
};
use permit_gate::{
    Malformed, Refusal, Rule, Subject, Terms, foreign::escaped, rule::MAX_PERMIT_BYTES,
};
use std::{sync::Arc, time::Duration};

/// How far an issuer's clock may run before this machine's. What is issued later than that from
/// now is a no.
pub const MAX_AHEAD: Duration = Duration::from_secs(5);

/// Lets a permit through to the rule it wraps only where its issuer's key signed exactly this text
/// for exactly this publication of this plan, and it is neither from the future nor expired.
///
/// A publication is one attempt of one claim: its digest counts the attempt in. So a permit that is
/// laid out again, after it was taken, after the store was rolled back or for another instance,
/// finds another publication and is a no, without anybody having to remember it. Within its attempt
/// it is taken once by the store, and the gate answers once.
///
/// Without a time ([`Rule::judge`]) or without the plan's content every permit is a no.
///
/// Every refusal says in words what is wrong, as far as it is no secret.
///
/// | code | what is wrong |
/// |---|---|
/// | `<name>_permit_unsigned` | no signature |
/// | `<name>_permit_signature_malformed` | not of the form, or good for longer than [`MAX_LIFE`](crate::MAX_LIFE) |
/// | `<name>_permit_key_unknown` | signed with a key that is not on the ring |
/// | `<name>_permit_signature_wrong` | that key did not sign this text |
/// | `<name>_permit_foreign` | signed by another issuer, or for another plan |
/// | `<name>_permit_replayed` | its plan digest is not that of this publication: signed for another one, or computed otherwise |
/// | `<name>_permit_future`, `<name>_permit_stale` | not good yet, not good any more |
/// | `<name>_permit_unverifiable` | time or content of the plan are not known here |
#[derive(Debug)]
pub struct SignedRule {
    issuer: Arc<str>,
    keys: Vec<Key>,
    inner: Arc<dyn Rule>,
}

impl SignedRule {
    /// The rule of the permit called `issuer`, under the keys it has on the ring; where it has none,
    /// every permit is a no.
    pub fn new(issuer: &str, ring: &KeyRing, inner: Arc<dyn Rule>) -> Self {
        Self {
            issuer: issuer.into(),
            keys: ring.of(issuer).cloned().collect(),
            inner,
        }
    }

    fn check<'a>(
        &self,
        permit: &'a [u8],
        subject: &Subject,
        now: Option<Duration>,
    ) -> Result<Sealed<'a>, Refusal> {
        if permit.len() > MAX_PERMIT_BYTES {
            return Err(Malformed::TooLarge.into());
        }
        let sealed = Sealed::read(permit).map_err(|why| match why {
            Unsealed::Unsigned(detail) => Refusal::of_permit(UNSIGNED, detail),
            Unsealed::Malformed(detail) => Refusal::of_permit(MALFORMED, detail),
        })?;
        let seal = sealed.seal;
        if seal.issuer != &*self.issuer {
            return Err(self.foreign(&seal));
        }
        let Some(key) = self.keys.iter().find(|key| key.id() == seal.key) else {
            return Err(self.unknown(&seal));
        };
        if !key.made(&sealed) {
            let detail = format!(
                "key {} did not sign these {} bytes of permit with this plan, digest, times and nonce: another secret, another message, or the text was changed after it was signed",
                key.id(),
                sealed.body.len()
            );
            return Err(Refusal::of_permit(WRONG, detail));
        }
        // From here on it is the issuer who speaks.
        if seal.plan != subject.plan.as_str() {
            let (plan, own) = (escaped(seal.plan, SHOWN), &subject.plan);
            let detail = format!("it is signed for plan {plan}, and this is plan {own}");
            return Err(Refusal::of_permit(FOREIGN, detail));
        }
        let Some(content) = subject.content else {
            let detail =
                "what was published of the plan is not known here: the subject has no content";
            return Err(Refusal::of_permit(UNVERIFIABLE, detail));
        };
        let Some(now) = now else {
            let detail =
                "the time is not known here: the timer has no wall clock (Timer::since_1970)";
            return Err(Refusal::of_permit(UNVERIFIABLE, detail));
        };
        if !seal.is_of(&content) {
            let detail = format!(
                "its plan digest {}… is not that of this publication, {}…: signed for another publication of the plan, or computed otherwise (every field of the entry but timestamp, sorted by name)",
                start(seal.content),
                start(&content.to_string())
            );
            return Err(Refusal::of_permit(REPLAYED, detail));
        }
        let (Some(issued), Some(expires)) = (seal.issued(), seal.expires()) else {
            return Err(Refusal::of_permit(MALFORMED, "its times cannot be read"));
        };
        if issued > now.saturating_add(MAX_AHEAD) {
            let ahead = issued.saturating_sub(now).as_millis();
            let most = MAX_AHEAD.as_millis();
            let detail = format!(
                "it is issued {ahead} ms ahead of this machine's clock, and {most} ms are the most"
            );
            return Err(Refusal::of_permit(FUTURE, detail));
        }
        if expires <= now {
            let ago = now.saturating_sub(expires).as_millis();
            let detail = format!("it expired {ago} ms ago on this machine's clock");
            return Err(Refusal::of_permit(STALE, detail));
        }
        Ok(sealed)
    }

    fn foreign(&self, seal: &Seal<'_>) -> Refusal {
        let (issuer, own) = (escaped(seal.issuer, SHOWN), &self.issuer);
        let hint = match seal.issuer.eq_ignore_ascii_case(own) {
            true => " (names are written in lower case)",
            false => "",
        };
        let detail =
            format!("it is signed as issuer {issuer}, and this is the permit of {own}{hint}");
        Refusal::of_permit(FOREIGN, detail)
    }

    fn unknown(&self, seal: &Seal<'_>) -> Refusal {
        let known: Vec<&str> = self.keys.iter().map(Key::id).collect();
        let known = match known[..] {
            [] => "none".into(),
            _ => known.join(", "),
        };
        let (id, own) = (escaped(seal.key, SHOWN), &self.issuer);
        let detail = format!("it is signed with key {id}, and the keys of {own} here are: {known}");
        Refusal::of_permit(KEY_UNKNOWN, detail)
    }

    fn judge_checked(
        &self,
        permit: &[u8],
        subject: &Subject,
        now: Option<Duration>,
    ) -> Result<Terms, Refusal> {
        let Sealed { body, .. } = self.check(permit, subject, now)?;
        let own = token_of(&body).unwrap_or(&body).as_bytes();
        match now {
            Some(now) => self.inner.judge_at(own, subject, now),
            None => self.inner.judge(own, subject),
        }
    }
}

impl Rule for SignedRule {
    fn judge(&self, permit: &[u8], subject: &Subject) -> Result<Terms, Refusal> {
        self.judge_checked(permit, subject, None)
    }

    fn judge_at(&self, permit: &[u8], subject: &Subject, now: Duration) -> Result<Terms, Refusal> {
        self.judge_checked(permit, subject, Some(now))
    }
}

/// The words of every reason for which [`SignedRule`] refuses a permit: `stale` is `p33_permit_stale` for the
/// permit `p33`.
pub const REASON_WORDS: [&str; 9] = [
    UNSIGNED,
    MALFORMED,
    KEY_UNKNOWN,
    WRONG,
    FOREIGN,
    REPLAYED,
    FUTURE,
    STALE,
    UNVERIFIABLE,
];

const UNSIGNED: &str = "unsigned";
const MALFORMED: &str = "signature_malformed";
const KEY_UNKNOWN: &str = "key_unknown";
const WRONG: &str = "signature_wrong";
const FOREIGN: &str = "foreign";
const REPLAYED: &str = "replayed";
const FUTURE: &str = "future";
const STALE: &str = "stale";
const UNVERIFIABLE: &str = "unverifiable";

/// How much of a part of the seal is shown.
const SHOWN: usize = 30;

/// The start of a digest, enough to distinguish two.
fn start(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
