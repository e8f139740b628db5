//! Signed permits over the whole service: a client that can write to Redis and holds no key gets no order.
//! The judge is the venue's order log.
#![allow(clippy::unwrap_used)]

use apply_core::digest_of_fields;
use apply_tests::{
    Entry, RESULTS, Service, ServiceBuilder, Stage, governor_permit, position_permit,
};
use permit_gate::PlanId;
use permit_signature::{Key, Stamp};
use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const AT: [(&str, &str); 1] = [("computed_at_utc", "2026-01-25T00:30:08Z")];

fn secret(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn keys() -> String {
    format!(
        "governor:gov1={},governor:gov2={},p33:brain1={}",
        secret('1'),
        secret('2'),
        secret('3')
    )
}

fn key(issuer: &str, id: &str, digit: char) -> Key {
    Key::new(issuer, id, &secret(digit)).unwrap()
}

fn signing(stage: &Stage) -> ServiceBuilder {
    stage.service().env("APPLY_PERMIT_KEYS", keys())
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The permit, signed for this publication of a plan.
fn signed_at(key: &Key, permit: &str, plan: &Entry, issued: Duration) -> String {
    let fields = plan.fields.iter().map(|(name, value)| (&**name, &**value));
    let stamp = Stamp {
        plan: &PlanId::new(plan.get("plan_id")).unwrap(),
        content: &digest_of_fields(fields),
        issued,
        lasts: Duration::from_secs(60),
        nonce: [5; 16],
    };
    key.sign(permit, &stamp).unwrap()
}

fn signed(key: &Key, permit: &str, plan: &Entry) -> String {
    signed_at(key, permit, plan, now())
}

fn governors(plan: &Entry) -> String {
    let permit = governor_permit(plan.get("symbol"));
    signed(&key("governor", "gov1", '1'), &permit, plan)
}

fn brains(plan: &Entry) -> String {
    let permit = position_permit(plan.get("symbol"), "0.009");
    signed(&key("p33", "brain1", '3'), &permit, plan)
}

/// The next plan of BTCUSDT.
async fn next_plan(stage: &Stage, known: &mut HashSet<String>) -> Entry {
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.plan("BTCUSDT", known).await;
    known.insert(plan.get("plan_id").to_owned());
    plan
}

#[tokio::test]
async fn permits_signed_with_either_key_of_their_issuer_are_an_order() {
    let stage = Stage::open().await;
    let service = signing(&stage).ready().await;
    service.line("Permits must be signed").await;
    let mut known = HashSet::new();
    for (id, digit) in [("gov1", '1'), ("gov2", '2')] {
        let plan = next_plan(&stage, &mut known).await;
        let permit = governor_permit("BTCUSDT");
        let permit = signed(&key("governor", id, digit), &permit, &plan);
        stage.govern(plan.get("plan_id"), &permit).await;
        stage.allow(plan.get("plan_id"), &brains(&plan)).await;
        let result = stage.result_of(plan.get("plan_id")).await;
        assert_eq!(result.get("executed"), "True", "{result:?}");
    }
    let ended = service.stopped_well().await;
    for digit in ['1', '2', '3'] {
        assert!(!ended.output().contains(&secret(digit)[..16]));
    }
    assert_eq!(stage.orders().len(), 2);
}

/// A governor's permit for a plan, as an attacker writes it.
type Forgery<'a> = Box<dyn Fn(&Entry) -> String + 'a>;

#[tokio::test]
async fn a_writer_of_redis_without_a_key_gets_no_order() {
    let stage = Stage::open().await;
    let service = signing(&stage).ready().await;
    let mut known = HashSet::new();
    // Read while they lay there; the position brain stays silent this time.
    let old = next_plan(&stage, &mut known).await;
    let (old_governor, old_brain) = (governors(&old), brains(&old));
    let denial = position_permit("BTCUSDT", "0.0");
    let denial = signed(&key("p33", "brain1", '3'), &denial, &old);
    stage.allow(old.get("plan_id"), &denial).await;
    let blocked = stage.result_of(old.get("plan_id")).await;
    assert_eq!(blocked.get("error"), "invalid_safe_close_qty");

    let plain = governor_permit("BTCUSDT");
    let attacks: [(&str, &str, Forgery<'_>); 12] = [
        (
            "plain",
            "unsigned",
            Box::new(|_| governor_permit("BTCUSDT")),
        ),
        ("an old one", "foreign", Box::new(|_| old_governor.clone())),
        (
            "an old one under this plan's id",
            "signature_wrong",
            Box::new(|plan| old_governor.replace(old.get("plan_id"), plan.get("plan_id"))),
        ),
        (
            "an old signature under another text",
            "signature_wrong",
            Box::new(|_| old_governor.replace("\"computed_qty\":0.0", "\"computed_qty\":9.0")),
        ),
        ("the position brain's own", "foreign", Box::new(brains)),
        (
            "the position brain's under the governor's name",
            "signature_wrong",
            Box::new(|plan| brains(plan).replace(":brain1:p33:", ":gov1:governor:")),
        ),
        (
            "a key of one's own under a known id",
            "signature_wrong",
            Box::new(|plan| signed(&key("governor", "gov1", '9'), &plain, plan)),
        ),
        (
            "a key of one's own",
            "key_unknown",
            Box::new(|plan| signed(&key("governor", "mine", '9'), &plain, plan)),
        ),
        (
            "an old seal on a plain permit",
            "foreign",
            Box::new(|_| {
                let (_, seal) = old_governor.split_once(",\"signed\"").unwrap();
                plain.replace('}', &format!(",\"signed\"{seal}"))
            }),
        ),
        (
            "no seal at all",
            "signature_malformed",
            Box::new(|_| plain.replace('}', ",\"signed\":\"\"}")),
        ),
        (
            "a seal without a hash",
            "signature_malformed",
            Box::new(|plan| {
                let permit = governors(plan);
                let (all, _) = permit.rsplit_once(':').unwrap();
                format!("{all}:\"}}")
            }),
        ),
        (
            "two permits in one",
            "signature_malformed",
            Box::new(|plan| format!("{}{}", governors(plan), "{}")),
        ),
    ];
    for (what, code, forge) in &attacks {
        let plan = next_plan(&stage, &mut known).await;
        let id = plan.get("plan_id");
        stage.govern(id, &forge(&plan)).await;
        stage.allow(id, &old_brain).await;
        let result = stage.result_of(id).await;
        let error = result.get("error");
        // Whichever of the two is looked at first.
        let brain = error == "p33_permit_foreign";
        assert!(
            brain || error == format!("governor_permit_{code}"),
            "{what}: {error}"
        );
        // And the same with a position permit that is a yes.
        let plan = next_plan(&stage, &mut known).await;
        let id = plan.get("plan_id");
        stage.allow(id, &brains(&plan)).await;
        stage.govern(id, &forge(&plan)).await;
        let result = stage.result_of(id).await;
        assert_eq!(
            result.get("error"),
            format!("governor_permit_{code}"),
            "{what}"
        );
    }
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn a_permit_before_its_time_or_after_it_is_a_no() {
    let stage = Stage::open().await;
    let service = signing(&stage).ready().await;
    let mut known = HashSet::new();
    let minute = Duration::from_secs(60);
    for (issued, code) in [(now() + minute, "future"), (now() - minute, "stale")] {
        let plan = next_plan(&stage, &mut known).await;
        let permit = governor_permit("BTCUSDT");
        let permit = signed_at(&key("governor", "gov1", '1'), &permit, &plan, issued);
        stage.allow(plan.get("plan_id"), &brains(&plan)).await;
        stage.govern(plan.get("plan_id"), &permit).await;
        let result = stage.result_of(plan.get("plan_id")).await;
        assert_eq!(result.get("error"), format!("governor_permit_{code}"));
    }
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn permits_of_a_plan_that_redis_hands_out_again_are_no_permits_of_its_second_publication() {
    let stage = Stage::open().await;
    let here = signing(&stage).ready().await;
    stage.propose_with("BTCUSDT", "PARTIAL_75", &AT).await;
    let first = stage.only_plan("BTCUSDT").await;
    let saved = (governors(&first), brains(&first));
    killed(here).await;
    let () = stage.command(&["FLUSHALL"]).await;
    // Another machine, which knows nothing of the plan; neither does the venue.
    let there = signing(&stage).ready().await;
    stage.propose_with("BTCUSDT", "PARTIAL_75", &AT).await;
    let second = stage.only_plan("BTCUSDT").await;
    let id = second.get("plan_id");
    assert_eq!(id, first.get("plan_id"));
    stage.allow(id, &saved.1).await;
    stage.govern(id, &saved.0).await;
    let error = stage.result_of(id).await.get("error").to_owned();
    assert!(
        ["governor_permit_replayed", "p33_permit_replayed"].contains(&&*error),
        "{error}"
    );
    there.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

async fn killed(service: Service) {
    service.signal("KILL").await;
    assert_eq!(service.ended().await.code, None);
}

#[tokio::test]
async fn our_own_reviewers_sign_and_so_does_the_operator() {
    let stage = Stage::open().await;
    let chain = stage
        .program(&["chain"])
        .env("APPLY_PERMIT_KEYS", keys())
        .env("REVIEW_METRICS_PORT", "0")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(result.get("executed"), "True", "{result:?}");
    chain.stopped_well().await;

    let service = signing(&stage).ready().await;
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("ETHUSDT").await;
    let id = plan.get("plan_id").to_owned();
    for grant in [
        vec!["permits", "grant", &id, "governor", "--yes"],
        vec!["permits", "grant", &id, "p33", "--qty", "0.009", "--yes"],
    ] {
        let granted = stage
            .program(&grant)
            .env("APPLY_PERMIT_KEYS", keys())
            .ended()
            .await;
        assert_eq!(granted.code, Some(0), "{}", granted.output());
    }
    let result = stage.result_of(&id).await;
    assert_eq!(result.get("executed"), "True", "{result:?}");
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 2);
    assert_eq!(stage.entries(RESULTS).await.len(), 2);
}

#[tokio::test]
async fn a_required_permit_without_a_key_keeps_the_service_from_starting() {
    let stage = Stage::open().await;
    let lacking = format!("governor:gov1={}", secret('1'));
    let ended = stage
        .service()
        .env("APPLY_PERMIT_KEYS", &*lacking)
        .ended()
        .await;
    assert_eq!(ended.code, Some(78), "{}", ended.output());
    assert!(ended.output().contains("holds no key of p33"));
    let check = |keys: String| stage.program(&["check"]).env("APPLY_PERMIT_KEYS", keys);
    let output = check(lacking).ended().await.output();
    assert!(output.contains("FAIL     signatures"), "{output}");
    let output = check(keys()).ended().await.output();
    let wanted = "permits have to be signed: governor by gov1 or gov2, p33 by brain1";
    assert!(output.contains(wanted), "{output}");
    assert!(!output.contains(&secret('1')[..16]), "{output}");
    let broken = check(keys().replace("11", "1x")).ended().await;
    assert_eq!(broken.code, Some(78));
    let output = broken.output();
    assert!(output.contains("APPLY_PERMIT_KEYS=(hidden)"), "{output}");
    assert!(!output.contains(&secret('2')[..16]), "{output}");
}
