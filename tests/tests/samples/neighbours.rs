//! docs/neighbours.md: each row is decided, and names tests that there are.

use crate::blocks::root;
use std::{fs, path::Path};

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
    let root = root();
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
