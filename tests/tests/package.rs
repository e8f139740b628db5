//! The Debian package, put together from `[package.metadata.deb]` as `cargo deb` does it, with the binary under
//! test; installed, removed and purged by the real dpkg under a root of the test's own.
#![allow(clippy::unwrap_used)]

use apply_tests::apply_layer;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

#[test]
fn the_package_installs_what_it_names_keeps_changed_settings_and_leaves_nothing_behind() {
    let room = InFlightLimit::new();
    let package = room.build();

    room.dpkg(&["--install", package.to_str().unwrap()]);
    for (path, mode) in [
        ("usr/bin/apply-layer", 0o755),
        ("usr/lib/systemd/system/apply-layer.service", 0o644),
        ("etc/quantum/apply-layer.env", 0o640),
        ("etc/quantum/credentials", 0o700),
        ("usr/share/doc/apply-layer/operations.md", 0o644),
        ("usr/share/doc/apply-layer/examples/redis.acl", 0o644),
        ("usr/share/doc/apply-layer/examples/redis-6.2.acl", 0o644),
        (
            "usr/share/doc/apply-layer/examples/issuers/issuer.py",
            0o755,
        ),
        ("usr/share/man/man1/apply-layer.1", 0o644),
        ("usr/share/bash-completion/completions/apply-layer", 0o644),
        ("usr/share/zsh/vendor-completions/_apply-layer", 0o644),
        (
            "usr/share/fish/vendor_completions.d/apply-layer.fish",
            0o644,
        ),
    ] {
        let meta = fs::metadata(room.root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(meta.permissions().mode() & 0o7777, mode, "{path}");
    }
    let program = room.root().join("usr/bin/apply-layer");
    let version = said(Command::new(program).arg("--version"));
    assert!(version.starts_with("apply-layer "), "{version}");
    // The unit starts what was installed, and points at documents that were.
    let unit = fs::read_to_string(
        room.root()
            .join("usr/lib/systemd/system/apply-layer.service"),
    )
    .unwrap();
    for (key, found) in [
        ("ExecStart=", "usr/bin/apply-layer"),
        ("Documentation=file:///", "operations.md"),
    ] {
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap();
        let path = line.split(' ').next().unwrap().trim_start_matches('/');
        assert!(
            path.ends_with(found) && room.root().join(path).exists(),
            "{line}"
        );
    }

    // What the operator wrote stays where the package is removed, and goes where it is purged.
    let settings = room.root().join("etc/quantum/apply-layer.env");
    fs::write(&settings, "APPLY_MODE=dry_run\n").unwrap();
    let key = room.root().join("etc/quantum/credentials/binance-api-key");
    fs::write(&key, "key").unwrap();
    let state = room.root().join("var/lib/apply-layer");
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("journal.id"), "journal").unwrap();

    room.dpkg(&["--remove", "apply-layer"]);
    assert!(!room.root().join("usr/bin/apply-layer").exists());
    assert_eq!(
        fs::read_to_string(&settings).unwrap(),
        "APPLY_MODE=dry_run\n"
    );
    assert!(key.exists() && state.join("journal.id").exists());

    room.dpkg(&["--purge", "apply-layer"]);
    let left: Vec<String> = files_under(&room.root())
        .into_iter()
        .filter(|path| !path.contains("/dpkg"))
        .collect();
    assert_eq!(left, [""; 0], "nothing but dpkg's own records is left");
    for gone in [
        "etc/quantum",
        "var/lib/apply-layer",
        "usr/share/doc/apply-layer",
    ] {
        assert!(!room.root().join(gone).exists(), "{gone}");
    }
}

/// A root to install under, and what the package is put together in.
struct InFlightLimit(PathBuf);

impl InFlightLimit {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("apply-package-{}", std::process::id()));
        for part in [
            "root/var/lib/dpkg/info",
            "root/var/lib/dpkg/updates",
            "root/var/lib/dpkg/triggers",
            "made",
        ] {
            fs::create_dir_all(path.join(part)).unwrap();
        }
        for part in ["root/var/lib/dpkg/status", "root/var/lib/dpkg/available"] {
            fs::write(path.join(part), "").unwrap();
        }
        Self(path)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// The package, from the metadata that `cargo deb` reads.
    fn build(&self) -> PathBuf {
        let (package, deb) = metadata();
        let tree = self.0.join("tree");
        for asset in deb["assets"].as_array().unwrap() {
            let [from, to, mode] = [0, 1, 2].map(|i| asset[i].as_str().unwrap());
            let sources = self.sources(from);
            assert!(!sources.is_empty(), "{from} names nothing");
            for source in sources {
                let target = match to.ends_with('/') {
                    true => tree.join(to).join(source.file_name().unwrap()),
                    false => tree.join(to),
                };
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::copy(&source, &target).unwrap();
                let mode = u32::from_str_radix(mode, 8).unwrap();
                fs::set_permissions(&target, PermissionsExt::from_mode(mode)).unwrap();
            }
        }
        let control = tree.join("DEBIAN");
        fs::create_dir_all(&control).unwrap();
        let scripts = manifest_dir().join(deb["maintainer-scripts"].as_str().unwrap());
        for script in ["postinst", "prerm", "postrm"] {
            fs::copy(scripts.join(script), control.join(script)).unwrap();
        }
        let lines: Vec<&str> = deb["conf-files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f.as_str().unwrap())
            .collect();
        fs::write(control.join("conffiles"), lines.join("\n") + "\n").unwrap();
        let fact = |name: &str| deb[name].as_str().unwrap();
        let architecture = said(Command::new("dpkg").arg("--print-architecture"));
        let text = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: {}\nSection: {}\nPriority: {}\nDescription: {}\n",
            fact("name"),
            package["version"].as_str().unwrap(),
            architecture.trim(),
            fact("maintainer"),
            fact("section"),
            fact("priority"),
            package["description"].as_str().unwrap(),
        );
        fs::write(control.join("control"), text).unwrap();
        let made = self.0.join("apply-layer.deb");
        // Quickly: what compresses best takes longest.
        said(
            Command::new("dpkg-deb")
                .args(["--root-owner-group", "-Zgzip", "-z1", "--build"])
                .arg(&tree)
                .arg(&made),
        );
        made
    }

    /// The files that an asset's first word names.
    fn sources(&self, from: &str) -> Vec<PathBuf> {
        if from == "target/release/apply-layer" {
            return vec![apply_layer().to_owned()];
        }
        if let Some(name) = from.strip_prefix("../../target/package/") {
            return match name {
                "*.1" => self.manual(),
                name => vec![self.generated(name)],
            };
        }
        let path = manifest_dir().join(from);
        let Some(ending) = from.rsplit('/').next().unwrap().strip_prefix('*') else {
            return vec![path];
        };
        let found = fs::read_dir(path.parent().unwrap()).unwrap();
        found
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect()
    }

    /// What `scripts/package` has the program write.
    fn generated(&self, name: &str) -> PathBuf {
        let script = fs::read_to_string(manifest_dir().join("../../scripts/package")).unwrap();
        let shell = name.strip_prefix("apply-layer.").unwrap();
        assert!(script.contains(shell), "scripts/package makes {name}");
        let arguments = ["completions", shell];
        let path = self.0.join("made").join(name);
        fs::write(&path, said(Command::new(apply_layer()).args(arguments))).unwrap();
        path
    }

    /// The pages of the manual, as `scripts/package` has the program write them.
    fn manual(&self) -> Vec<PathBuf> {
        let script = fs::read_to_string(manifest_dir().join("../../scripts/package")).unwrap();
        assert!(
            script.contains("man --all"),
            "scripts/package makes the pages"
        );
        let directory = self.0.join("made/man");
        fs::create_dir_all(&directory).unwrap();
        said(
            Command::new(apply_layer())
                .arg("man")
                .arg("--all")
                .arg(&directory),
        );
        let pages = fs::read_dir(directory).unwrap();
        pages.map(|page| page.unwrap().path()).collect()
    }

    /// The real dpkg, on a root and with records of its own.
    fn dpkg(&self, arguments: &[&str]) {
        let root = self.root().display().to_string();
        let mut command = match is_root() {
            true => Command::new("dpkg"),
            false => {
                let mut command = Command::new("fakeroot");
                command.arg("dpkg");
                command
            }
        };
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .arg(format!("--root={root}"))
            // Our scripts run outside of it and are given where it is; what it depends on is not in it.
            .args([
                "--force-script-chrootless",
                "--force-depends",
                "--force-not-root",
            ])
            .args(arguments)
            .env("PATH", format!("{path}:/usr/sbin:/sbin"));
        said(&mut command);
    }
}

impl Drop for InFlightLimit {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    said(Command::new("id").arg("-u")).trim() == "0"
}

fn manifest_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/apply-bin")
}

/// The package `apply-bin` and what it says for `cargo deb`.
fn metadata() -> (Value, Value) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let text = said(
        Command::new(cargo)
            .args([
                "metadata",
                "--no-deps",
                "--format-version",
                "1",
                "--offline",
            ])
            .current_dir(manifest_dir()),
    );
    let all: Value = serde_json::from_str(&text).unwrap();
    let packages = all["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "apply-bin")
        .unwrap();
    (package.clone(), package["metadata"]["deb"].clone())
}

/// What a command that has to end well says.
fn said(command: &mut Command) -> String {
    let output: Output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn files_under(path: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_under(&entry.path())),
            false => drop(found.insert(entry.path().display().to_string())),
        }
    }
    found
}
