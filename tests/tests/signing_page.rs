//! The example of `docs/permits-signing.md`, as `permit-signature` computes it and as the page's own Python
//! does.
#![allow(clippy::unwrap_used)]

use permit_gate::{PlanDigest, PlanId};
use permit_signature::{Key, Stamp};
use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/permits-signing.md");
    std::fs::read_to_string(path).unwrap()
}

/// The text of the page's block in this language.
fn block(language: &str) -> String {
    let page = page();
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// What the example's plan says, hashed. Whether that is right the Python says, and a test beside
/// `apply_core::digest_of_fields`.
fn digest(signed: &str) -> PlanDigest {
    let hex = signed.split(':').rev().nth(4).unwrap();
    let bytes: Vec<u8> = (0..32)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    PlanDigest::new(bytes.try_into().unwrap())
}

#[test]
fn the_worked_example_is_what_permit_signature_signs() {
    let expected = block("json");
    let permit = expected.split_once(",\"signed\"").unwrap().0.to_owned() + "}";
    let key = Key::new("governor", "gov1", SECRET).unwrap();
    let stamp = Stamp {
        plan: &PlanId::new("67e6da21fa9fe506").unwrap(),
        content: &digest(&expected),
        issued: Duration::from_millis(1_769_301_008_977),
        lasts: Duration::from_secs(60),
        nonce: std::array::from_fn(|i| u8::try_from(i).unwrap() * 17),
    };
    assert_eq!(key.sign(&permit, &stamp).unwrap(), expected);
}

#[test]
fn the_pages_python_computes_the_same() {
    let mut python = Command::new("python3")
        .args(["-I", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 runs the page's example");
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(block("python").as_bytes()).unwrap();
    drop(stdin);
    let ended = python.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{complaint}");
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(said.trim_end(), block("json"));
}
