//! What README and docs show of the command line: every command is one that the program knows, and the sample of `check`
//! has the lines that it prints.
#![allow(clippy::unwrap_used)]

use apply_tests::{ServiceBuilder, Stage};
use redis_harness::RedisServer;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    pages
        .chain([root.join("README.md")])
        .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// The lines of every block of code.
fn blocks(text: &str) -> Vec<Vec<&str>> {
    let (mut blocks, mut open): (Vec<Vec<&str>>, Option<Vec<&str>>) = (Vec::new(), None);
    for line in text.lines().map(str::trim_start) {
        match (line.starts_with("```"), open.take()) {
            (true, None) => open = Some(Vec::new()),
            (true, Some(block)) => blocks.push(block),
            (false, Some(mut block)) => {
                block.push(line);
                open = Some(block);
            }
            (false, None) => {}
        }
    }
    blocks
}

/// The words of each call of the program in a line of a shell: `a | b && c`, with variables before it. A word in
/// quotation marks is one.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = line.trim_start_matches("$ ");
    let line = line.split(" #").next().unwrap_or_default();
    let (mut calls, mut words, mut quoted): (Vec<Vec<String>>, Vec<String>, bool) =
        (Vec::new(), Vec::new(), false);
    for word in line.split_whitespace() {
        let marks = word.matches('\'').count();
        let bare = word.replace('\'', "");
        match (quoted, word) {
            (true, _) => {
                let last = words.last_mut().unwrap();
                *last = format!("{last} {bare}");
            }
            (false, "|" | "&&" | "||" | ";" | ">" | "<" | "&") => {
                calls.push(std::mem::take(&mut words));
            }
            (false, _) => words.push(bare),
        }
        quoted ^= marks % 2 == 1;
    }
    calls.push(words);
    let program = |words: Vec<String>| {
        let at = words
            .iter()
            .position(|word| word == "apply-layer" || word == "/usr/bin/apply-layer")?;
        let before = &words[..at];
        let is_call = before
            .iter()
            .all(|word| word.contains('=') || word == "sudo" || word == "exec");
        is_call.then(|| words[at + 1..].to_vec())
    };
    calls.into_iter().filter_map(program).collect()
}

#[tokio::test]
async fn every_command_of_the_docs_is_one_that_the_program_knows() {
    let mut known = BTreeSet::new();
    for (path, text) in documents() {
        for line in blocks(&text).into_iter().flatten() {
            for mut words in calls(line) {
                // A place that the reader fills in, or the rest of a sentence.
                words.retain(|word| !word.starts_with(['<', '…']));
                known.insert((path.file_name().unwrap().to_owned(), words));
            }
        }
    }
    assert!(known.len() >= 20, "{known:?}");
    for (file, words) in known {
        // Everything before `--help` is read, and nothing is done.
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("--help");
        let ended = ServiceBuilder::command(&words).ended().await;
        assert_eq!(
            ended.code,
            Some(0),
            "{file:?}: apply-layer {words:?}: {}",
            ended.output()
        );
    }
}

/// The first two columns of what `check` prints: how it found what.
fn found(lines: &[&str]) -> Vec<(String, String)> {
    let rows = lines
        .iter()
        .filter(|line| line.len() > 26 && !line.starts_with(' '));
    rows.map(|line| {
        let (mark, rest) = line.split_at(9);
        let what: String = rest.chars().take(16).collect();
        (mark.trim().to_owned(), what.trim().to_owned())
    })
    .collect()
}

#[tokio::test]
async fn the_sample_of_check_has_the_lines_that_check_prints() {
    let documents = documents();
    let (_, text) = documents
        .iter()
        .find(|(path, _)| path.ends_with("operations.md"))
        .unwrap();
    let samples = blocks(text);
    let sample = samples
        .iter()
        .find(|block| block.first() == Some(&"$ apply-layer check"))
        .unwrap();
    let stage = Stage::open_on(RedisServer::builder().aof("everysec").start().await).await;
    // As the sample: a dry run that has been here before.
    let how = stage.service().env("APPLY_MODE", "dry_run");
    how.clone().ready().await.stopped_well().await;
    let check = how.instead(&["check"]).ended().await;
    assert_eq!(check.code, Some(0), "{}", check.output());
    let printed: Vec<&str> = check.log.iter().map(String::as_str).collect();
    assert_eq!(found(&sample[1..]), found(&printed), "{}", check.output());
}

/// The text of every source file below a directory.
fn sources(below: &Path, found: &mut String) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("rs") => *found += &fs::read_to_string(&path).unwrap(),
            None if path.is_dir() && name != "target" => sources(&path, found),
            _ => {}
        }
    }
}

#[test]
fn each_row_of_the_neighbours_is_decided_and_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/neighbours.md")).unwrap();
    let mut code = String::new();
    for part in ["crates", "tests"] {
        sources(&root.join(part), &mut code);
    }
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let mut decided = 0;
    for row in rows {
        let cells: Vec<&str> = row
            .split(" | ")
            .map(|cell| cell.trim_matches(['|', ' ']))
            .collect();
        if cells.last() == Some(&"test") {
            continue;
        }
        assert!(
            ["supported", "refused", "ignored"].contains(&cells[1]),
            "{row}"
        );
        let named = cells.last().unwrap().split('`').skip(1).step_by(2);
        let tests: Vec<&str> = named.filter(|name| !name.contains(['/', ' '])).collect();
        assert!(!tests.is_empty(), "no test is named: {row}");
        for test in tests {
            assert!(
                code.contains(&format!("fn {test}(")),
                "no test {test}: {row}"
            );
        }
        decided += 1;
    }
    assert!(decided > 20, "{decided}");
}
