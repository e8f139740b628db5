//! The blocks of code in README and docs.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// The file, from the root of the repository.
    pub(crate) file: String,
    /// Where it begins.
    pub(crate) line: usize,
    /// The first word behind the fence.
    pub(crate) language: String,
    /// Why it is not run, where that is said behind the fence: `not-run: …`.
    pub(crate) not_run: Option<String>,
    pub(crate) lines: Vec<String>,
}

/// A command that is shown with what it prints.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) command: String,
    pub(crate) prints: Vec<String>,
}

impl Block {
    /// Whether it shows commands behind a prompt, with what they print.
    pub(crate) fn is_console(&self) -> bool {
        self.lines
            .first()
            .is_some_and(|line| line.starts_with("$ "))
    }

    /// Whether it is to be run or compared: a command block, or something that was printed.
    pub(crate) fn is_shell_or_output(&self) -> bool {
        ["sh", "bash", "console", "text", ""].contains(&&*self.language)
    }

    /// Each command with its output.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut samples: Vec<Sample> = Vec::new();
        for line in &self.lines {
            match (line.strip_prefix("$ "), samples.last_mut()) {
                (Some(command), _) => samples.push(Sample {
                    command: command.to_owned(),
                    prints: Vec::new(),
                }),
                (None, Some(sample)) => sample.prints.push(line.clone()),
                (None, None) => {}
            }
        }
        for sample in &mut samples {
            while sample.prints.last().is_some_and(|line| line.is_empty()) {
                sample.prints.pop();
            }
        }
        samples
    }

    /// For a message: `docs/operations.md:12`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every document that a reader is led to.
fn documents() -> Vec<PathBuf> {
    let root = root();
    let entries = |directory: PathBuf| {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path())
    };
    let markdown = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "md");
    let of_crates = entries(root.join("crates")).map(|path| path.join("README.md"));
    let mut all: Vec<PathBuf> = entries(root.clone())
        .chain(entries(root.join("docs")))
        .chain(entries(root.join("docs/decisions")))
        .filter(markdown)
        .chain(of_crates.filter(|path| path.exists()))
        .collect();
    all.sort();
    all
}

/// Every document with its text, named from the root of the repository.
pub(crate) fn pages() -> Vec<(String, String)> {
    let root = root();
    let page = |path: PathBuf| {
        let file = path.strip_prefix(&root).unwrap().display().to_string();
        (file, fs::read_to_string(&path).unwrap())
    };
    documents().into_iter().map(page).collect()
}

/// Every block of every document.
pub(crate) fn blocks() -> Vec<Block> {
    let pages = pages();
    pages
        .iter()
        .flat_map(|(file, text)| of_text(file, text))
        .collect()
}

fn of_text(file: &str, text: &str) -> Vec<Block> {
    let (mut blocks, mut open): (Vec<Block>, Option<(usize, Block)>) = (Vec::new(), None);
    for (n, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        match (bare.strip_prefix("```"), open.take()) {
            (Some(info), None) => {
                let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
                let not_run = rest.strip_prefix("not-run: ").map(str::to_owned);
                let block = Block {
                    file: file.to_owned(),
                    line: n + 1,
                    language: language.to_owned(),
                    not_run,
                    lines: Vec::new(),
                };
                open = Some((indent, block));
            }
            (Some(_), Some((_, block))) => blocks.push(block),
            (None, Some((of_fence, mut block))) => {
                block
                    .lines
                    .push(line.get(of_fence.min(indent)..).unwrap_or("").to_owned());
                open = Some((of_fence, block));
            }
            (None, None) => {}
        }
    }
    blocks
}
