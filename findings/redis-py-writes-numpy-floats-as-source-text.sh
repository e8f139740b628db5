#!/usr/bin/env bash
# redis-py 8.1.0 beside numpy 2.4.6, on redis-server of the distribution.
#
# Behaviour: SET and HSET take a numpy.float64, which is a subclass of Python's float, and store its repr: the bytes
# `np.float64(0.009)`. No error, no warning; numpy.float32 and numpy.int64 are refused with a TypeError. What was
# stored is no number for anybody who reads the key: INCRBYFLOAT on it fails.
# Expected: the digits, `0.009`, as numpy's own str() has them, or the refusal that the other numpy numbers get.
#
# Prints what was stored, and exits 0 as long as that is so, 1 once it is different.
set -euo pipefail
work=$(mktemp -d)
trap 'kill "${server-}" 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 numpy==2.4.6
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$work" >"$work/log" &
server=$!
"$work/venv/bin/python" - "$port" <<'PYTHON'
import sys
import time

import numpy
import redis

store = redis.Redis(port=int(sys.argv[1]))
for _ in range(100):
    try:
        store.ping()
        break
    except redis.ConnectionError:
        time.sleep(0.05)
print("redis-py", redis.__version__, "numpy", numpy.__version__, "server", store.info("server")["redis_version"])

quantity = numpy.float64(0.009)
store.set("set", quantity)
store.hset("hash", mapping={"quantity": quantity})
stored = [store.get("set"), store.hget("hash", "quantity")]
print("a float is", isinstance(quantity, float), "and str() of it", str(quantity))
print("SET and HSET stored", *stored)
try:
    store.incrbyfloat("set", 1)
    added = "added to"
except redis.ResponseError as error:
    added = f"not added to: {error}"
print("it can be", added)
try:
    store.set("single", numpy.float32(0.009))
    single = "taken"
except redis.DataError:
    single = "refused"
print("numpy.float32 is", single)
same = stored == [b"np.float64(0.009)"] * 2 and added.startswith("not") and single == "refused"
sys.exit(0 if same else "this has changed")
PYTHON
