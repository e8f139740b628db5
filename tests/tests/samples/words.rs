//! Words that were given up do not come back into the code: each stood for several things, and there is an exact one for
//! each of them. A result is published, a line logged, an event emitted, a fact recorded, a state shown.

use crate::blocks::root;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Parts of names, and words of comments and texts.
const GIVEN_UP: [&str; 12] = [
    "board", "boards", "mend", "news", "tally", "tell", "teller", "telling", "tells", "told",
    "untold", "whoever",
];

/// What files and other programs know under its old name.
const KEPT: [&str; 2] = ["\"told_by_another\"", "\"teller\""];

/// This list is the one place that has them.
const HERE: &str = "tests/tests/samples/words.rs";

/// The parts of the names of a line: `RedisPlanStore` and `plan_store` alike.
fn parts(line: &str) -> Vec<String> {
    let (mut parts, mut before) = (vec![String::new()], ' ');
    for letter in line.chars() {
        let begins = letter.is_uppercase() && !before.is_uppercase();
        if begins || !letter.is_alphabetic() {
            parts.push(String::new());
        }
        if let (true, Some(part)) = (letter.is_alphabetic(), parts.last_mut()) {
            part.extend(letter.to_lowercase());
        }
        before = letter;
    }
    parts
}

/// What a text has of them, each with its line.
fn given_up(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate().flat_map(|(at, line)| {
        let kept = KEPT
            .iter()
            .fold(line.to_owned(), |line, kept| line.replace(kept, ""));
        parts(&kept).into_iter().map(move |part| (at + 1, part))
    });
    let found = lines.filter(|(_, part)| GIVEN_UP.contains(&&**part));
    found.collect()
}

fn sources(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().unwrap_or_default();
        if path.is_dir() {
            sources(&path, found);
        } else if ["rs", "lua", "js", "html", "css"]
            .map(|one| one.as_ref())
            .contains(&ending)
        {
            found.push(path);
        }
    }
}

#[test]
fn words_that_were_given_up_do_not_come_back() {
    let (root, mut files) = (root(), Vec::new());
    for under in ["crates", "fault-matrix", "tests"] {
        sources(&root.join(under), &mut files);
    }
    assert!(files.len() > 500, "{}", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        if name == HERE {
            continue;
        }
        let found = given_up(&fs::read_to_string(&path).unwrap());
        wrong.extend(
            found
                .into_iter()
                .map(|(line, word)| format!("{name}:{line}: {word}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_word_that_was_given_up_is_found_in_any_name() {
    let text = "let dashboard = MemoryBoard::new();\n#[serde(rename = \"teller\")]\nfn is_told() {} // Told once.";
    let found = given_up(text);
    let found: Vec<_> = found.iter().map(|(line, word)| (*line, &**word)).collect();
    assert_eq!(found, [(1, "board"), (3, "told"), (3, "told")]);
}
