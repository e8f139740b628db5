//! The rule that checks a signature before the issuer's own rule reads the permit.

use crate::{
    key::{Key, token_of},
    ring::KeyRing,
    seal::{Sealed, Unsealed},
};
use permit_gate::{Malformed, Refusal, Rule, Subject, Terms, rule::MAX_PERMIT_BYTES};
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
/// | code | what is wrong |
/// |---|---|
/// | `<name>_permit_unsigned` | no signature |
/// | `<name>_permit_signature_malformed` | not of the form, or good for longer than [`MAX_LIFE`](crate::MAX_LIFE) |
/// | `<name>_permit_key_unknown` | signed with a key that is not on the ring |
/// | `<name>_permit_signature_wrong` | that key did not sign this text |
/// | `<name>_permit_foreign` | signed by another issuer, or for another plan |
/// | `<name>_permit_replayed` | signed for another publication of this plan |
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
        use Fault as No;
        if permit.len() > MAX_PERMIT_BYTES {
            return Err(Malformed::TooLarge.into());
        }
        let sealed = Sealed::read(permit).map_err(|why| match why {
            Unsealed::Unsigned => self.no(No::Unsigned),
            Unsealed::Malformed => self.no(No::Malformed),
        })?;
        let seal = sealed.seal;
        if seal.issuer != &*self.issuer {
            return Err(self.no(No::Foreign));
        }
        let Some(key) = self.keys.iter().find(|key| key.id() == seal.key) else {
            return Err(self.no(No::KeyUnknown));
        };
        if !key.made(&sealed) {
            return Err(self.no(No::Wrong));
        }
        // From here on it is the issuer who speaks.
        if seal.plan != subject.plan.as_str() {
            return Err(self.no(No::Foreign));
        }
        let (Some(now), Some(content)) = (now, subject.content) else {
            return Err(self.no(No::Unverifiable));
        };
        if !seal.is_of(&content) {
            return Err(self.no(No::Replayed));
        }
        let (Some(issued), Some(expires)) = (seal.issued(), seal.expires()) else {
            return Err(self.no(No::Malformed));
        };
        if issued > now.saturating_add(MAX_AHEAD) {
            return Err(self.no(No::Future));
        }
        if expires <= now {
            return Err(self.no(No::Stale));
        }
        Ok(sealed)
    }

    fn no(&self, fault: Fault) -> Refusal {
        let word = match fault {
            Fault::Unsigned => "unsigned",
            Fault::Malformed => "signature_malformed",
            Fault::KeyUnknown => "key_unknown",
            Fault::Wrong => "signature_wrong",
            Fault::Foreign => "foreign",
            Fault::Replayed => "replayed",
            Fault::Future => "future",
            Fault::Stale => "stale",
            Fault::Unverifiable => "unverifiable",
        };
        Refusal::of_permit(word, word)
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

/// What is wrong with a signature.
enum Fault {
    Unsigned,
    Malformed,
    KeyUnknown,
    Wrong,
    Foreign,
    Replayed,
    Future,
    Stale,
    Unverifiable,
}
