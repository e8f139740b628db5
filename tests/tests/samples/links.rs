//! Every link and every path that README and docs name leads to something of this repository.

use crate::blocks::{pages, root};
use regex::Regex;
use std::{fs, path::Path};

/// The anchors of a page, as a reader's browser makes them of its headings.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                _ => letter.is_alphanumeric().then_some(letter),
            });
            kept.collect()
        })
        .collect()
}

/// What is wrong with the links and paths of one page.
fn broken(root: &Path, file: &str, page: &str) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let path = Regex::new(
        r"`((?:crates|deploy|docs|examples|fault-matrix|findings|scripts|tests)/[\w./-]+)`",
    )
    .unwrap();
    let here = Path::new(file).parent().unwrap();
    let (mut wrong, mut in_block) = (Vec::new(), false);
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        for (_, [target]) in link.captures_iter(line).map(|found| found.extract()) {
            if target.contains(':') {
                continue;
            }
            let (to, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = match to {
                "" => root.join(file),
                to => root.join(here).join(to),
            };
            let missing = match fs::read_to_string(&to) {
                Ok(text) => !anchor.is_empty() && !anchors(&text).iter().any(|one| one == anchor),
                // A directory, or a picture.
                Err(_) => !to.exists(),
            };
            if missing {
                wrong.push(format!("{file} links to {target}"));
            }
        }
        for (_, [named]) in path.captures_iter(line).map(|found| found.extract()) {
            // A crate's README names its own examples and tests.
            if !root.join(named).exists() && !root.join(here).join(named).exists() {
                wrong.push(format!("{file} names {named}"));
            }
        }
    }
    wrong
}

#[test]
fn every_link_and_path_of_the_docs_leads_somewhere() {
    let root = root();
    let pages = pages();
    assert!(pages.len() > 40, "{}", pages.len());
    let mut wrong = Vec::new();
    for (file, page) in &pages {
        // The log of changes names what was.
        if file != "CHANGELOG.md" {
            wrong.extend(broken(&root, file, page));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_link_to_nowhere_is_found() {
    let page =
        "See [a](README.md), [b](README.md#no-such-part), [c](no-such.md) and `crates/no-such/`.";
    assert_eq!(
        broken(&root(), "README.md", page),
        [
            "README.md links to README.md#no-such-part",
            "README.md links to no-such.md",
            "README.md names crates/no-such/",
        ]
    );
}
