//! The binaries under test, built from the sources that lie here now.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

/// The `apply-layer` executable, made sure to be fresh once a process.
///
/// # Panics
/// Where it cannot be built: a stale binary would test something else.
pub fn apply_layer() -> &'static Path {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| build("apply-layer", &[]));
    present(&BUILT)
}

/// The executable that can be made to die at a named step and to make a mistake, just as fresh.
///
/// # Panics
/// As [`apply_layer`].
pub fn apply_layer_faulty() -> &'static Path {
    const FEATURES: [&str; 2] = ["--features", "fault-points,mutants"];
    static BUILT: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| build("apply-layer-faulty", &FEATURES));
    present(&BUILT)
}

fn present(built: &'static Result<PathBuf, String>) -> &'static Path {
    match built {
        Ok(program) => program,
        Err(why) => panic!("there is no program to test: {why}"),
    }
}

/// Asks cargo, which takes its own lock on the directory, does nothing where all is fresh, and
/// says itself where the executable lies.
fn build(name: &str, features: &[&str]) -> Result<PathBuf, String> {
    let test = std::env::current_exe().map_err(|error| format!("who are we? {error}"))?;
    // A test lies in <target>/<profile's directory>/deps, a program one above.
    let mut above = test.ancestors().skip(1);
    if test.parent().is_some_and(|parent| parent.ends_with("deps")) {
        above.next();
    }
    let (Some(profile), Some(target)) = (above.next(), above.next()) else {
        return Err(format!(
            "{} does not lie where cargo puts tests",
            test.display()
        ));
    };
    let profile = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        // What is measured is what is shipped.
        Some("release") => "dist",
        Some(other) => other,
        None => return Err(format!("{} has no profile", test.display())),
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "apply-bin"])
        .args(["--bin", name, "--profile", profile])
        .args(features)
        .arg("--message-format=json-render-diagnostics")
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit());
    // What cargo sets for a test about its package would make build scripts think that theirs changed.
    for name in std::env::vars_os().map(|(name, _)| name).filter(about_us) {
        cargo.env_remove(name);
    }
    let output = cargo
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("its build failed ({})", output.status));
    }
    executable(&output.stdout, name).ok_or_else(|| "cargo built none".into())
}

fn about_us(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
        "OUT_DIR",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

fn executable(messages: &[u8], name: &str) -> Option<PathBuf> {
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}
