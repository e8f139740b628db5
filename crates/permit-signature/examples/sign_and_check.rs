//! An issuer signs a permit, and the gate's rule checks it: `cargo run --example sign_and_check`.

use permit_gate::{PlanDigest, PlanId, Rule, Subject, rule::TokenRule};
use permit_signature::{KeyRing, SignedRule, Stamp};
use std::{sync::Arc, time::Duration, time::SystemTime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Both ends hold the secret (`openssl rand -hex 32`), and what was published, hashed.
    let ring = KeyRing::parse(&format!("owner:key1={}", "5e".repeat(32)))?;
    let (plan, content) = (PlanId::new("drop-7")?, PlanDigest::new([7; 32]));
    let now = SystemTime::UNIX_EPOCH.elapsed()?;
    let stamp = Stamp {
        plan: &plan,
        content: &content,
        issued: now,
        lasts: Duration::from_secs(60),
        nonce: [9; 16], // 16 random bytes, never used before
    };
    let key = ring.of("owner").next().ok_or("no key")?;
    let signed = key.sign("yes", &stamp)?;
    println!("{signed}");

    let rule = SignedRule::new("owner", &ring, Arc::new(TokenRule::new("yes")));
    for published in [content, PlanDigest::new([8; 32])] {
        let subject = Subject::new(plan.clone(), "staging").of_content(published);
        println!("{:?}", rule.judge_at(signed.as_bytes(), &subject, now));
    }
    Ok(())
}
