"""Installs the clients, opens the venue, runs each client against it, and writes the two tables.

Started by scripts/clients, which says how.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
RUNS = REPO / "scripts" / "client-runs"
PAGE = REPO / "docs" / "clients.md"
KEPT = pathlib.Path(os.environ.get("APPLY_CLIENTS_DIR") or pathlib.Path.home() / ".cache" / "apply-layer-clients")

# Name, packages, program, and how long its operations and its faults may take in seconds.
PYTHON, NODE, RUST = "python", "node", "rust"
CLIENTS = {
    "Python SDK": (PYTHON, ["binance-sdk-derivatives-trading-usds-futures==18.1.0"], "sdk_python.py"),
    "JavaScript SDK": (NODE, ["@binance/derivatives-trading-usds-futures@38.1.1"], "sdk_js.mjs"),
    "Rust SDK": (RUST, ["binance-sdk@77.2.0"], "rust_sdk.rs"),
    "ccxt": (PYTHON, ["ccxt==4.5.90"], "ccxt_python.py"),
    "python-binance": (PYTHON, ["python-binance==1.0.37"], "python_binance.py"),
    "freqtrade": (PYTHON, ["freqtrade==2026.9"], "freqtrade_run.py"),
    "nautilus_trader": (PYTHON, ["nautilus_trader==1.231.0"], "nautilus_run.py"),
}
# What a package with the Rust SDK depends on.
RUST_SDK = """\
anyhow = "1"
binance-sdk = { version = "=77.2.0", default-features = false, features = ["derivatives_trading_usds_futures", "rustls-tls"] }
rust_decimal = "1"
"""
# The package that builds the Rust program.
MANIFEST = f"""\
[package]
name = "client-run"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
{RUST_SDK}\
reqwest = {{ version = "0.12", default-features = false, features = ["json"] }}
serde_json = "1"
tokio = {{ version = "1", features = ["macros", "rt-multi-thread"] }}

[profile.dev]
debug = false
"""
# Those that need another interpreter than `python3`, and the versions that they take.
INTERPRETERS = {"nautilus_trader": [(3, 12), (3, 13), (3, 14)]}
LIMIT = 600

ORDER = {"method": "POST", "path": "/fapi/v1/order"}


def fault(action):
    return {"when": ORDER, "action": action}


def reply(**canned):
    return {"reply": canned}


RETRY = [["Retry-After", "1"]]
UNKNOWN = "Unknown error, please check your request or try again later."
FAULTS = [
    ("executed, reply cut off", {"executed": {"delivery": "cut"}}),
    ("executed, connection reset", {"executed": {"delivery": "reset"}}),
    ("not executed, connection reset", {"not_executed": "reset"}),
    ("executed, 503 “Unknown error …”", {"executed": {"delivery": reply(code=-1000, status=503, msg=UNKNOWN)}}),
    ("not executed, 503 “Service Unavailable.”", {"not_executed": reply(code=0, status=503, msg="Service Unavailable.")}),
    ("not executed, 503 “Internal error …”", {"not_executed": reply(code=-1001)}),
    ("executed, 408 (-1007)", {"executed": {"delivery": reply(code=-1007)}}),
    ("not executed, 429 (-1003)", {"not_executed": reply(code=-1003, headers=RETRY)}),
    ("not executed, 418 (-1003)", {"not_executed": reply(code=-1003, status=418, headers=RETRY)}),
]


def say(text):
    print(f"== {text}", flush=True)


def run(command, **more):
    subprocess.run(command, check=True, stdout=sys.stderr, **more)


def interpreter(name):
    versions = INTERPRETERS.get(name)
    if versions is None or sys.version_info[:2] in versions:
        return sys.executable
    pyenv = sorted(pathlib.Path.home().glob(".pyenv/versions/3.*/bin/python"))
    for wanted in versions:
        word = ".".join(map(str, wanted))
        found = [str(path) for path in pyenv if path.parent.parent.name.startswith(word + ".")]
        for candidate in [f"python{word}", *found]:
            try:
                done = subprocess.run([candidate, "-c", "import venv, ensurepip"], capture_output=True)
            except OSError:
                continue
            if done.returncode == 0:
                return candidate
    return None


def installed(name):
    """The command that runs a client's program; installs what it needs where that has not been done."""
    kind, packages, program = CLIENTS[name]
    folder = KEPT / re.sub(r"[^a-z0-9.=-]+", "-", "_".join(packages).lower())
    ready = folder / "ready"
    if kind == PYTHON:
        python = interpreter(name)
        if python is None:
            return None
        if not ready.exists():
            say(f"installing {' '.join(packages)}")
            run([python, "-m", "venv", "--clear", str(folder)])
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            run([*pip, *packages])
            ready.touch()
        return [str(folder / "bin" / "python"), str(RUNS / program)]
    if kind == RUST:
        say(f"building {' '.join(packages)}")
        (folder / "src").mkdir(parents=True, exist_ok=True)
        (folder / "Cargo.toml").write_text(MANIFEST)
        (folder / "src" / "main.rs").write_text((RUNS / program).read_text())
        run(["cargo", "build", "--quiet"], cwd=folder)
        return [str(folder / "target" / "debug" / "client-run")]
    if not ready.exists():
        say(f"installing {' '.join(packages)}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"name":"client-run","private":true}\n')
        run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", *packages], cwd=folder)
        ready.touch()
    # Node looks for packages beside the program, so the program is laid beside them.
    (folder / program).write_text((RUNS / program).read_text())
    return ["node", str(folder / program)]


class Venue:
    """`apply-layer sim` on a free port, gone at the end."""

    def __init__(self, keys):
        binary = os.environ.get("APPLY_LAYER") or self.built()
        command = [binary, "sim", "--key", "k" * 64, "--secret", "s" * 64]
        for kind in ("ed25519", "rsa"):
            command += [f"--{kind}", f"{kind}-key={keys[kind].with_suffix('.pub')}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO)
        first = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", first)
        if not found:
            self.process.kill()
            sys.exit(f"scripts/clients: the simulated venue did not start: {first}")
        self.url = found.group()
        # What it goes on to say are its warnings; nobody needs them here, and a full pipe would hold it up.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    @staticmethod
    def built():
        run(["cargo", "build", "--quiet", "--package", "apply-bin"], cwd=REPO)
        target = os.environ.get("CARGO_TARGET_DIR") or REPO / "target"
        return str(pathlib.Path(target) / "debug" / "apply-layer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def made_keys(folder):
    keys = {}
    for kind, options in (("ed25519", ["-algorithm", "ED25519"]), ("rsa", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])):
        private = folder / f"{kind}.pem"
        quiet = {"stderr": subprocess.DEVNULL}
        run(["openssl", "genpkey", *options, "-out", str(private)], **quiet)
        run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(private.with_suffix(".pub"))], **quiet)
        keys[kind] = private
    return keys


def asked(command, part, venue, keys):
    """Runs one part of a client's program and reads its lines."""
    environment = {
        **os.environ,
        "SIM_URL": venue.url,
        "SIM_KEY": "k" * 64,
        "SIM_SECRET": "s" * 64,
        "SIM_ED25519_FILE": str(keys["ed25519"]),
        "SIM_RSA_FILE": str(keys["rsa"]),
        "SIM_FAULTS": json.dumps([{"name": name, "fault": fault(action)} for name, action in FAULTS]),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Laid before the client: its sockets reach this machine only.
        "PYTHONPATH": str(RUNS / "guard"),
        "NODE_OPTIONS": f"--require {RUNS / 'guard' / 'guard.cjs'}",
    }
    # No proxy stands between a client and the loopback.
    for name in list(environment):
        if name.lower().endswith("_proxy"):
            del environment[name]
    done = subprocess.run([*command, part], env=environment, stdout=subprocess.PIPE, text=True, timeout=LIMIT)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0:
        rows.append({"op": "the run itself", "ok": False, "outcome": f"ended with {done.returncode}"})
    return rows


def main(arguments):
    quick = arguments == ["quick"]
    if arguments and arguments[0] == "only":
        names = arguments[1:]
        unknown = [name for name in names if name not in CLIENTS]
        if unknown or not names:
            sys.exit(f"scripts/clients: no client {', '.join(unknown)}; there are: {', '.join(CLIENTS)}")
    elif quick or not arguments:
        names = ["Python SDK"] if quick else list(CLIENTS)
    else:
        sys.exit("usage: scripts/clients [quick | only NAME…]")

    operations, faults, absent = {}, {}, []
    with tempfile.TemporaryDirectory() as folder:
        keys = made_keys(pathlib.Path(folder))
        commands = {name: installed(name) for name in names}
        with Venue(keys) as venue:
            for name, command in commands.items():
                if command is None:
                    absent.append(name)
                    say(f"{name}: not run, no Python that it takes was found")
                    continue
                say(f"{name}: operations")
                operations[name] = asked(command, "ops", venue, keys)
                for row in operations[name]:
                    if row["ok"] is False:
                        print(f"   {row['op']}: {row['outcome']}", flush=True)
                if not quick:
                    say(f"{name}: faults")
                    faults[name] = [row for row in asked(command, "faults", venue, keys) if "fault" in row]
    failed = sum(row["ok"] is False for rows in operations.values() for row in rows)
    done = sum(row["ok"] is True for rows in operations.values() for row in rows)
    tables = page_tables(operations, faults)
    if quick:
        print(f"{done} operations of the official Python SDK, strict models: {done} passed, {failed} failed")
    else:
        print(tables)
        print(f"{done} passed, {failed} failed")
    if not arguments:
        PAGE.write_text(page(tables, absent))
        say(f"wrote {PAGE.relative_to(REPO)}")
    return 1 if failed or done == 0 or (absent and not arguments) else 0


def cell(text):
    """What a caller got, without what differs from run to run."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", str(text))
    text = re.sub(r"\?\w+=\S*", "?…", text)
    if len(text) > 150:
        text = text[:149].rstrip() + "…"
    return text.replace("|", "\\|").replace("<", "&lt;")


def page_tables(operations, faults):
    words = {True: "yes", False: "**no**", None: "–"}
    versions = ", ".join(f"`{CLIENTS[name][1][0]}`" for name in operations)
    text = f"Versions: {versions}.\n"
    # freqtrade is a bot that acts by itself: what it did is a list of its own.
    alone = {name: rows for name, rows in operations.items() if name == "freqtrade"}
    beside = {name: rows for name, rows in operations.items() if name != "freqtrade"}
    order = []
    for rows in beside.values():
        order += [row["op"] for row in rows if row["op"] not in order]
    if beside:
        text += "\n| operation | " + " | ".join(beside) + " |\n|---|" + "---|" * len(beside) + "\n"
    for op in order:
        cells = []
        for rows in beside.values():
            row = next((row for row in rows if row["op"] == op), {"ok": None})
            cells.append(words[row["ok"]])
        text += f"| {op} | " + " | ".join(cells) + " |\n"
    for name, rows in alone.items():
        text += f"\n## {name}, trading live\n\n| step | done |\n|---|---|\n"
        text += "".join(f"| {row['op']} | {words[row['ok']]} |\n" for row in rows)
    if any(faults.values()):
        text += FAULTS_INTRODUCED
    for fault_name, _ in FAULTS:
        for name, rows in faults.items():
            for row in rows:
                if row["fault"] == fault_name:
                    filled = f"**{row['filled']}**" if row["filled"] > 1 else row["filled"]
                    text += f"| {fault_name} | {name} | {row['sent']} | {filled} | {cell(row['outcome'])} |\n"
    return text


FAULTS_INTRODUCED = """
## What each client does on each fault

One market order under each fault, which strikes once. “Sent” counts the requests that arrived, “filled” the orders at
the venue: more than one is an order placed twice. freqtrade is let in under the faults that execute, and watched until
it holds a trade.

| what happens to the order | client | sent | filled | the caller got |
|---|---|--:|--:|---|
"""


def page(tables, absent):
    head = (RUNS / "page.md").read_text()
    note = "".join(f"\n`{name}` was not run: no Python that it takes was found.\n" for name in absent)
    return head + "\n" + tables + note


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
