//! Gives the program its version, with the commit where it is built from a repository.

use std::{path::Path, process::Command};

fn main() {
    let version = env!("CARGO_PKG_VERSION");
    let (version, commit) = match commit() {
        Some(commit) => (format!("{version} ({commit})"), commit),
        None => (version.to_owned(), "unknown".to_owned()),
    };
    println!("cargo::rustc-env=APPLY_VERSION={version}");
    println!("cargo::rustc-env=APPLY_COMMIT={commit}");
}

/// The commit's short name; none without git or outside a repository.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    // Without a file to look at, cargo would run this again for any change of the package.
    println!("cargo::rerun-if-changed=build.rs");
    // The log of HEAD grows with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}
