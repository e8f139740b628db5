//! What a signature lets through, and what it does not.
#![allow(clippy::unwrap_used)]

use permit_gate::{
    PlanDigest, PlanId, Rule, Subject, Terms,
    rule::{MAX_PERMIT_BYTES, TokenRule},
    trading::GovernorRule,
};
use permit_signature::{
    Key, KeyError, KeyRing, KeyRingError, MAX_AHEAD, MAX_LIFE, SignError, SignedRule, Stamp,
};
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};

const PERMIT: &str = r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.005,"computed_notional":0.0,"created_at":1769301008.977,"consumed":false}"#;
const NOW: Duration = Duration::from_millis(1_769_301_008_977);
const LASTS: Duration = Duration::from_secs(60);
const PUBLISHED: PlanDigest = PlanDigest::new([7; 32]);

fn secret(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn key(issuer: &str, id: &str, digit: char) -> Key {
    Key::new(issuer, id, &secret(digit)).unwrap()
}

fn ring() -> KeyRing {
    let line = format!(
        "governor:gov1={}, governor:gov2={},p33:brain1={}",
        secret('1'),
        secret('2'),
        secret('3')
    );
    KeyRing::parse(&line).unwrap()
}

fn plan() -> PlanId {
    PlanId::new("67e6da21fa9fe506").unwrap()
}

fn subject() -> Subject {
    Subject::new(plan(), "BTCUSDT").of_content(PUBLISHED)
}

fn sign_at(key: &Key, issued: Duration) -> String {
    let stamp = Stamp {
        plan: &plan(),
        content: &PUBLISHED,
        issued,
        lasts: LASTS,
        nonce: [9; 16],
    };
    key.sign(PERMIT, &stamp).unwrap()
}

fn signed() -> String {
    sign_at(&key("governor", "gov1", '1'), NOW)
}

fn rule() -> SignedRule {
    SignedRule::new("governor", &ring(), Arc::new(GovernorRule))
}

fn judge(permit: &str) -> Result<Terms, String> {
    judge_for(&subject(), permit)
}

fn judge_for(subject: &Subject, permit: &str) -> Result<Terms, String> {
    let judged = rule().judge_at(permit.as_bytes(), subject, NOW);
    judged.map_err(|refusal| refusal.code("governor"))
}

fn no<T>(code: &str) -> Result<T, String> {
    Err(format!("governor_permit_{code}"))
}

#[test]
fn a_signed_permit_is_judged_by_its_own_rule_and_is_still_the_same_object() {
    let terms = judge(&signed()).unwrap();
    assert_eq!(terms.limit.unwrap().to_string(), "0.005");
    let own = GovernorRule.judge(signed().as_bytes(), &subject());
    assert_eq!(own, Ok(terms), "readers that ask for no signature");
    let stamp = Stamp {
        plan: &plan(),
        content: &PUBLISHED,
        issued: NOW,
        lasts: LASTS,
        nonce: [9; 16],
    };
    let denial = PERMIT.replace("true", "false");
    let denial = key("governor", "gov1", '1').sign(&denial, &stamp).unwrap();
    assert_eq!(judge(&denial), no("denied"));
}

#[test]
fn without_a_signature_or_with_half_of_one_a_permit_is_a_no() {
    assert_eq!(judge(PERMIT), no("unsigned"));
    assert_eq!(judge(""), no("unsigned"));
    let signed = signed();
    for (from, to) in [
        ("\"v1:", "\"v2:"),
        ("\"v1:", "\""),
        ("\"v1:", "\"v1::"),
        ("\"}", "\"}\n"),
        ("\"}", "\""),
        (":1769301008977:", ":01769301008977:"),
        (":1769301008977:", ":+1769301008977:"),
        (":1769301008977:", "::"),
        (":1769301008977:", ":99999999999999999:"),
        ("07070707", "0707070"),
        ("09090909", "0909090G"),
    ] {
        let at = signed.rfind(from).unwrap();
        let half = format!("{}{to}{}", &signed[..at], &signed[at + from.len()..]);
        assert_eq!(judge(&half), no("signature_malformed"), "{from} → {to}");
    }
    let loud = signed.replace(&signed[signed.len() - 10..], "ABCDEF12\"}");
    assert_eq!(judge(&loud), no("signature_malformed"), "lowercase only");
}

/// The seal of a permit: what stands between the quotes of its last field.
fn seal_of(signed: &str) -> &str {
    let (_, seal) = signed.rsplit_once("\"signed\":\"").unwrap();
    seal.strip_suffix("\"}").unwrap()
}

#[test]
fn a_seal_is_found_wherever_a_json_writer_puts_the_field() {
    let stamp = Stamp {
        plan: &plan(),
        content: &PUBLISHED,
        issued: NOW,
        lasts: LASTS,
        nonce: [9; 16],
    };
    // As Python, a pretty-printer and a writer with sorted fields lay the same permit out.
    let python = PERMIT.replace("\":", "\": ").replace(",\"", ", \"");
    let pretty = PERMIT
        .replace(",\"", ",\n  \"")
        .replace('{', "{\n  ")
        .replace('}', "\n}");
    for (permit, before, field) in [
        (python.as_str(), "}", ", \"signed\": \"SEAL\""),
        (&pretty, "\n}", ",\n  \"signed\": \"SEAL\""),
        (PERMIT, ",\"symbol\"", ",\"signed\":\"SEAL\""),
        (PERMIT, "\"granted\"", "\"signed\" : \"SEAL\", "),
    ] {
        let signed = key("governor", "gov1", '1').sign(permit, &stamp).unwrap();
        let at = permit.rfind(before).unwrap();
        let field = field.replace("SEAL", seal_of(&signed));
        let laid_out = format!("{}{field}{}", &permit[..at], &permit[at..]);
        assert!(judge(&laid_out).is_ok(), "{laid_out}");
        // What is judged is what was signed, and nothing beside it.
        let more = laid_out.replacen("\"granted\"", "\"computed_qty\":9,\"granted\"", 1);
        assert!(judge(&more).is_err(), "{more}");
        let other = laid_out.replace("0.005", "0.006");
        assert_eq!(judge(&other), no("signature_wrong"), "{other}");
    }
}

fn message(permit: &str) -> String {
    let judged = rule().judge_at(permit.as_bytes(), &subject(), NOW);
    let message = judged.unwrap_err().to_string();
    assert!(
        message.chars().count() < 400 && !message.contains('\n'),
        "{message}"
    );
    assert!(!message.contains(&secret('1')[..8]), "{message}");
    message
}

#[test]
fn every_refusal_of_a_signature_says_what_is_wrong() {
    let signed = signed();
    let seal = seal_of(&signed).to_owned();
    let parts: Vec<&str> = seal.split(':').collect();
    let with = |index: usize, part: &str| {
        let mut parts = parts.clone();
        parts[index] = part;
        signed.replace(&seal, &parts.join(":"))
    };
    let loud = parts[8].to_uppercase();
    let late = (NOW.as_millis() + 300_001).to_string();
    let early = (NOW.as_millis() - 1).to_string();
    for (permit, words) in [
        (format!("{signed}\n"), "line break"),
        (format!(" {signed}"), "blanks"),
        (with(0, "v2"), "version is \"v2\""),
        (with(1, "gov9"), "the keys of governor here are: gov1, gov2"),
        (with(2, "GOVERNOR"), "lower case"),
        (with(2, "p33"), "as issuer p33"),
        (
            with(4, &"AB".repeat(32)),
            "plan digest has to be 64 lowercase",
        ),
        (
            with(5, "1769301008.977"),
            "\"issued\" has to be whole milliseconds",
        ),
        (
            with(6, &late),
            "good for 300001 ms, and 300000 ms are the most",
        ),
        (with(6, &early), "not after its issue"),
        (
            with(7, "ab"),
            "nonce has to be 32 lowercase hex digits, and there are 2",
        ),
        (
            with(8, &loud),
            "mac has to be 64 lowercase hex digits, and some are in upper case",
        ),
        (with(8, &"0".repeat(64)), "key gov1 did not sign"),
        (signed.replace(&seal, "x"), "1 parts between colons"),
        (
            signed.replace(&format!("\"{seal}\""), "7"),
            "has to be a string",
        ),
        (
            signed.replace("\"signed\"", "\"Signed\""),
            "there is a field \"Signed\"",
        ),
        (signed.replacen('{', "{\"signed\":1,", 1), "is there twice"),
        (signed[..signed.len() - 1].to_owned(), "EOF"),
        (PERMIT.to_owned(), "no field \"signed\""),
        ("HASH(0x55b70992ef70)".to_owned(), "Perl"),
        (
            sign_at(&key("governor", "gov1", '1'), NOW + MAX_AHEAD * 2),
            "10000 ms ahead",
        ),
        (
            sign_at(&key("governor", "gov1", '1'), NOW - LASTS * 2),
            "ms ago",
        ),
    ] {
        let message = message(&permit);
        assert!(message.contains(words), "{words}: {message}");
    }
    let other = Subject::new(PlanId::new("67e6da21fa9fe507").unwrap(), "BTCUSDT");
    let again = Subject::new(plan(), "BTCUSDT").of_content(PlanDigest::new([8; 32]));
    for (subject, words) in [
        (
            &other,
            "signed for plan 67e6da21fa9fe506, and this is plan 67e6da21fa9fe507",
        ),
        (&again, "every field of the entry but timestamp"),
        (&Subject::new(plan(), "BTCUSDT"), "no content"),
    ] {
        let judged = rule()
            .judge_at(signed.as_bytes(), subject, NOW)
            .unwrap_err();
        assert!(judged.to_string().contains(words), "{words}: {judged}");
    }
    let timeless = rule()
        .judge(signed.as_bytes(), &subject())
        .unwrap_err()
        .to_string();
    assert!(timeless.contains("Timer::since_1970"), "{timeless}");
}

#[test]
fn a_permit_is_good_from_its_issue_to_its_expiry_on_this_machines_clock() {
    let key = key("governor", "gov2", '2');
    let at = |issued| judge(&sign_at(&key, issued)).map(drop);
    let tick = Duration::from_millis(1);
    assert_eq!(at(NOW + MAX_AHEAD), Ok(()), "clocks differ a little");
    assert_eq!(at(NOW + MAX_AHEAD + tick), no("future"));
    assert_eq!(at(NOW - LASTS + tick), Ok(()));
    assert_eq!(at(NOW - LASTS), no("stale"));
    assert_eq!(at(Duration::from_millis(1)), no("stale"));
}

#[test]
fn a_permit_is_worth_nothing_under_another_name_plan_or_publication() {
    let brain = sign_at(&key("p33", "brain1", '3'), NOW);
    assert_eq!(judge(&brain), no("foreign"));
    // The brain's key, made to look like the governor's.
    let dressed = sign_at(&key("governor", "brain1", '3'), NOW);
    assert_eq!(judge(&dressed), no("key_unknown"));
    let dressed = sign_at(&key("governor", "gov1", '3'), NOW);
    assert_eq!(judge(&dressed), no("signature_wrong"));
    let other = PlanId::new("67e6da21fa9fe507").unwrap();
    let other = Subject::new(other, "BTCUSDT").of_content(PUBLISHED);
    assert_eq!(judge_for(&other, &signed()), no("foreign"));
    let again = Subject::new(plan(), "BTCUSDT").of_content(PlanDigest::new([8; 32]));
    assert_eq!(judge_for(&again, &signed()), no("replayed"));
    let eth = Subject::new(plan(), "ETHUSDT").of_content(PUBLISHED);
    assert_eq!(judge_for(&eth, &signed()), no("symbol_mismatch"));
}

#[test]
fn without_a_time_or_a_content_to_compare_nothing_is_let_through() {
    let timeless = rule().judge(signed().as_bytes(), &subject());
    let timeless = timeless.map_err(|refusal| refusal.code("governor"));
    assert_eq!(timeless, no("unverifiable"));
    let vague = Subject::new(plan(), "BTCUSDT");
    assert_eq!(judge_for(&vague, &signed()), no("unverifiable"));
}

#[test]
fn an_issuer_without_a_key_is_believed_nothing() {
    let brain = KeyRing::parse(&format!("p33:brain1={}", secret('1'))).unwrap();
    let rule = SignedRule::new("governor", &brain, Arc::new(GovernorRule));
    let judged = rule.judge_at(signed().as_bytes(), &subject(), NOW);
    let judged = judged.map_err(|refusal| refusal.code("governor"));
    assert_eq!(judged, no("key_unknown"));
}

#[test]
fn a_bare_word_is_signed_inside_an_object() {
    let gate = key("p26", "gate1", '4');
    let stamp = Stamp {
        plan: &plan(),
        content: &PUBLISHED,
        issued: NOW,
        lasts: LASTS,
        nonce: [1; 16],
    };
    let text = gate.sign("1", &stamp).unwrap();
    assert!(text.starts_with(r#"{"token":"1","signed":"v1:gate1:p26:"#));
    let ring = KeyRing::parse(&format!("p26:gate1={}", secret('4'))).unwrap();
    let rule = |token| SignedRule::new("p26", &ring, Arc::new(TokenRule::new(token)));
    let judge = |token, text: &str| rule(token).judge_at(text.as_bytes(), &subject(), NOW);
    assert_eq!(judge("1", &text), Ok(Terms::default()));
    let other = judge("2", &text).unwrap_err();
    assert_eq!(other.code("p26"), "invalid_p26_permit_format");
    assert!(judge("1", "1").is_err());
}

#[test]
fn what_cannot_be_taken_apart_again_is_not_signed() {
    let key = key("governor", "gov1", '1');
    let sign = |permit: &str, lasts| {
        let stamp = Stamp {
            plan: &plan(),
            content: &PUBLISHED,
            issued: NOW,
            lasts,
            nonce: [1; 16],
        };
        key.sign(permit, &stamp)
    };
    assert_eq!(sign(&signed(), LASTS), Err(SignError::Signed));
    for form in ["", "{}", "{ }", "{\"a\":1", "{\"a\":1}\n", "a b", "\"1\""] {
        assert_eq!(sign(form, LASTS), Err(SignError::Form), "{form:?}");
    }
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_PERMIT_BYTES - 100));
    assert_eq!(sign(&long, LASTS), Err(SignError::TooLong));
    for lasts in [Duration::ZERO, MAX_LIFE + Duration::from_millis(1)] {
        assert_eq!(sign(PERMIT, lasts), Err(SignError::Life));
    }
    assert!(sign(PERMIT, MAX_LIFE).is_ok());
}

#[test]
fn a_ring_holds_two_keys_of_an_issuer_and_no_secret_twice() {
    let parse = |line: &str| KeyRing::parse(line).unwrap_err();
    let (a, b, c) = (secret('a'), secret('b'), secret('c'));
    assert_eq!(parse("governor"), KeyRingError::Form(1));
    assert_eq!(parse(""), KeyRingError::Form(1));
    assert_eq!(parse(&format!("g:1={a},p33={b}")), KeyRingError::Form(2));
    let name = KeyError::Name("issuer");
    assert_eq!(parse(&format!("G:1={a}")), KeyRingError::Key(1, name));
    for bad in [
        "",
        "ab",
        &a[1..],
        &a.to_uppercase(),
        &secret('g'),
        &a.repeat(3),
    ] {
        let why = KeyRingError::Key(1, KeyError::Secret);
        assert_eq!(parse(&format!("g:1={bad}")), why, "{bad}");
    }
    let swapped = parse(&format!("g:{a}=1"));
    assert_eq!(swapped, KeyRingError::Key(1, KeyError::Name("key's id")));
    for start in (0..a.len() - 4).map(|n| &a[n..n + 4]) {
        assert!(!swapped.to_string().contains(start), "{swapped}");
    }
    let shared = KeyRingError::Shared("g:1".into(), "p:1".into());
    assert_eq!(parse(&format!("g:1={a},p:1={a}")), shared);
    let twice = KeyRingError::Twice("g".into(), "1".into());
    assert_eq!(parse(&format!("g:1={a},g:1={b}")), twice);
    let many = KeyRingError::TooMany("g".into());
    assert_eq!(parse(&format!("g:1={a},g:2={b},g:3={c}")), many);
}

#[test]
fn no_secret_can_be_printed() {
    let digits = secret('1');
    let shown = format!("{:?} {:?}", ring(), rule());
    assert!(
        shown.contains("governor:gov1") && !shown.contains(&digits[..8]),
        "{shown}"
    );
    let errors = [
        KeyRing::parse(&format!("governor:gov1={}x", digits)).unwrap_err(),
        KeyRing::parse(&digits).unwrap_err(),
        KeyRing::parse(&format!("governor={digits}")).unwrap_err(),
    ];
    for error in errors {
        assert!(!format!("{error} {error:?}").contains(&digits[..8]));
    }
}

/// One change to a text, at any place: a byte replaced, put in or taken out, or two parts swapped.
#[derive(Debug, Clone)]
enum Change {
    Replace(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
    Double(usize, usize),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (any::<usize>(), 0x20..0x7f_u8).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (any::<usize>(), 0x20..0x7f_u8).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<usize>().prop_map(Change::Remove),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), 1..80_usize).prop_map(|(at, count)| Change::Double(at, count)),
    ]
}

fn changed(text: &str, change: &Change) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let length = bytes.len();
    match *change {
        Change::Replace(at, byte) => bytes[at % length] = byte,
        Change::Insert(at, byte) => bytes.insert(at % (length + 1), byte),
        Change::Remove(at) => drop(bytes.remove(at % length)),
        Change::Cut(at) => bytes.truncate(at % length),
        Change::Double(at, count) => {
            let at = at % length;
            let again = bytes[at..(at + count).min(length)].to_vec();
            bytes.splice(at..at, again);
        }
    }
    bytes
}

/// Blanks around the seal's field are the JSON writer's; inside the permit they are signed.
fn without_blanks(text: &[u8]) -> Vec<u8> {
    let blank = |b: &u8| b.is_ascii_whitespace();
    text.iter().copied().filter(|b| !blank(b)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_signed_permit_is_accepted(
        changes in prop::collection::vec(changes(), 1..4),
    ) {
        let signed = signed();
        let mut text = signed.clone().into_bytes();
        for change in &changes {
            if let Ok(readable) = std::str::from_utf8(&text)
                && !readable.is_empty()
            {
                text = changed(readable, change);
            }
        }
        prop_assume!(without_blanks(&text) != without_blanks(signed.as_bytes()));
        prop_assert!(rule().judge_at(&text, &subject(), NOW).is_err());
    }

    #[test]
    fn nothing_that_was_not_signed_is_accepted_or_makes_it_stumble(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        tail in any::<bool>(),
    ) {
        let mut permit = bytes;
        if tail {
            permit.extend_from_slice(&signed().as_bytes()[PERMIT.len() - 1..]);
        }
        prop_assert!(rule().judge_at(&permit, &subject(), NOW).is_err());
    }
}

#[test]
fn every_single_byte_of_a_signed_permit_counts() {
    let (signed, rule) = (signed(), rule());
    for at in 0..signed.len() {
        for bit in 0..8 {
            let mut bytes = signed.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let judged = rule.judge_at(&bytes, &subject(), NOW);
            assert!(judged.is_err(), "byte {at}, bit {bit}");
        }
    }
}
