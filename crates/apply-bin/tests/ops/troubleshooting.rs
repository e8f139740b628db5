//! Every reason code in the source has an entry in `docs/troubleshooting.md`, and no entry is about
//! a code that is gone.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Where codes are made, from the workspace's root.
const SOURCES: [&str; 3] = [
    "crates/apply-core/src",
    "crates/permit-gate/src",
    "crates/permit-signature/src",
];

/// Words that begin the literals of codes. A code that begins otherwise is listed in [`ALSO`].
const FAMILIES: [&str; 14] = [
    "kill_score_",
    "kill_switch_active",
    "invalid_",
    "missing_",
    "permit_",
    "permits_",
    "order_",
    "stop_",
    "venue_",
    "journal_",
    "claim_",
    "proposal_",
    "unknown_action",
    "interrupted_",
];

const ALSO: [&str; 11] = [
    "not_in_allowlist",
    "action_hold",
    "no_position",
    "no_permitted_quantity",
    "not_ready_in_time",
    "position_side_mismatch",
    "quantity_not_orderable",
    "grant_symbol_mismatch",
    "intent_mismatch",
    "gate_already_answered",
    "{name}_permit_denied",
];

/// Literals that begin like a code and are none: fields of the wire, and the half of a code whose
/// whole is listed under [`WHOLE`].
const NO_CODES: [&str; 5] = [
    "{name}_permit_{word}",
    "order_id",
    "stop_loss_order",
    "missing_{}",
    "permit_timeout_or_missing",
];

/// A code that is put together of a literal that says too little.
const WHOLE: &str = "missing_<permits>";

#[test]
fn every_reason_code_in_the_source_has_an_entry() {
    let (codes, entries) = (codes(), entries());
    assert!(
        codes.len() > 30,
        "the sources are not where they were: {codes:?}"
    );
    let missing: Vec<&String> = codes.difference(&entries).collect();
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md has no entry for {missing:?}"
    );
}

#[test]
fn no_entry_is_about_a_code_that_is_gone() {
    let everything: String = sources()
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for entry in entries() {
        // What stands in angle brackets is put together at run time; its fixed part is in the source.
        let mut fixed = entry.split(['<', '>', '+', ':']);
        let longest = fixed.by_ref().max_by_key(|part| part.len()).unwrap();
        assert!(everything.contains(longest), "{entry} is in no source");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = SOURCES.iter().map(|dir| root().join(dir)).collect();
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|end| end == "rs")
                // Names of log events, which begin alike.
                && !path.ends_with("event.rs")
            {
                found.push(path);
            }
        }
    }
    found
}

/// Codes as entries spell them: what is put in at run time stands in angle brackets.
fn codes() -> BTreeSet<String> {
    let mut codes = BTreeSet::from([WHOLE.to_owned()]);
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        // Tests make up codes of their own; documentation shows others' code.
        let code = text.split("#[cfg(test)]").next().unwrap();
        for line in code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            codes.extend(
                literals(line)
                    .filter(|word| is_code(word))
                    .map(|word| spelt(&word)),
            );
            codes.extend(words_of_rules(&path, line));
        }
    }
    codes
}

/// Rules name their reasons by constants: a word that follows the permit's name, or a whole code.
fn words_of_rules(path: &Path, line: &str) -> Option<String> {
    let of_rules = path.ends_with("permit-gate/src/trading/mod.rs")
        || path.ends_with("permit-signature/src/rule.rs");
    if !of_rules || !line.contains("const ") || !line.contains(": &str = ") {
        return None;
    }
    let word = literals(line).next()?;
    Some(match is_code(&word) {
        true => word,
        false => format!("<name>_permit_{word}"),
    })
}

/// The texts between double quotes on a line.
fn literals(line: &str) -> impl Iterator<Item = String> {
    line.split('"').skip(1).step_by(2).map(str::to_owned)
}

fn is_code(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '{' | '}' | ':');
    let known = ALSO.contains(&word) || FAMILIES.iter().any(|family| word.starts_with(family));
    let permit = word.starts_with("{name}_permit_");
    word.chars().all(plain) && word.contains('_') && (known || permit) && !NO_CODES.contains(&word)
}

fn spelt(word: &str) -> String {
    word.replace('{', "<").replace('}', ">")
}

/// The headings of the form `### `code``; several codes may share an entry.
fn entries() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let headings = page.lines().filter(|line| line.starts_with("### "));
    headings
        .flat_map(|line| {
            line.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}
