"""Builds sdk_bench.rs beside the official Rust SDK, outside the workspace, and runs it. Started by scripts/bench sdk."""

import os
import re
import sys

from drive import CLIENTS, KEPT, REPO, RUNS, RUST_SDK, run, say

# Of our crates' dependencies the versions in the workspace's lock file are built, and all of it as our benchmarks are.
MANIFEST = f"""\
[package]
name = "sdk-bench"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[[bin]]
name = "sdk-bench"
path = "{RUNS}/sdk_bench.rs"

[dependencies]
{RUST_SDK}\
exchange-client = {{ path = "{REPO}/crates/exchange-client" }}
exchange-sim = {{ path = "{REPO}/crates/exchange-sim" }}
tokio = {{ version = "1", features = ["io-util", "macros", "net", "rt", "time"] }}

[profile.release]
"""


def built():
    """The program, built anew where something has changed."""
    profile = re.search(r"^\[profile\.bench\]\n((?:.+\n)+)", (REPO / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    # Each checkout has its own, or one would be built from the other's crates.
    folder = KEPT / f"sdk-bench{str(REPO).replace(os.sep, '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Cargo.toml").write_text(MANIFEST + profile)
    ours, seen = (REPO / "Cargo.lock").read_text(), folder / "workspace.lock"
    if not seen.exists() or seen.read_text() != ours:
        (folder / "Cargo.lock").write_text(ours)
        seen.write_text(ours)
    say(f"building {' '.join(CLIENTS['Rust SDK'][1])}")
    run(["cargo", "build", "--quiet", "--release"], cwd=folder)
    return folder / "target" / "release" / "sdk-bench"


def main(arguments):
    if arguments not in ([], ["quick"]):
        sys.exit("usage: scripts/bench sdk [quick]")
    # No proxy stands between a client and the loopback.
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    program = str(built())
    # On one core, as scripts/bench says.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.execve(program, [program, *arguments], environment)


if __name__ == "__main__":
    main(sys.argv[1:])
