//! Signatures under permits: the keys of the configuration at work.

use apply_core::{PortError, digest_of_fields};
use permit_gate::{PlanDigest, PlanId};
use permit_issuers::{Fields, PERMIT_TTL_SECS, Timestamp, ports::Seal};
use permit_signature::{Key, Stamp};
use std::{fs::File, io::Read, time::Duration};

/// The permit, signed as of `issued` (in time since 1970) for as long as a permit lasts.
pub(crate) fn sign(
    key: &Key,
    permit: &str,
    plan: &PlanId,
    content: &PlanDigest,
    issued: Duration,
) -> Result<String, String> {
    let mut nonce = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut nonce))
        .map_err(|error| format!("the kernel gives no random bytes: {error}"))?;
    let stamp = Stamp {
        plan,
        content,
        issued,
        lasts: Duration::from_secs(PERMIT_TTL_SECS),
        nonce,
    };
    key.sign(permit, &stamp).map_err(|error| error.to_string())
}

/// Signs what a reviewer of this process writes.
#[derive(Debug)]
pub(crate) struct Signer(pub(crate) Key);

impl Seal for Signer {
    fn seal(
        &self,
        permit: String,
        plan: &PlanId,
        fields: &Fields,
        now: Timestamp,
    ) -> Result<String, PortError> {
        let fields = fields.iter().map(|(name, value)| (&**name, &**value));
        let issued = Duration::from_micros(now.as_micros());
        sign(&self.0, &permit, plan, &digest_of_fields(fields), issued)
            .map_err(|why| PortError(format!("cannot sign the permit: {why}")))
    }
}
