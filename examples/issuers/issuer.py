#!/usr/bin/env python3
"""A reviewer in Python: answers every plan that is to be executed with a permit.

    issuer.py governor|p33 QUANTITY          needs: pip install redis

REDIS_URL says where Redis is. With PERMIT_KEY=<key id>:<secret in hex> every permit is signed.
"""
import hashlib
import hmac
import json
import os
import secrets
import sys
import time

import redis

role, quantity = sys.argv[1], float(sys.argv[2])
key_id, _, secret = os.environ.get("PERMIT_KEY", "").partition(":")


def packed(texts):
    """Each text with its length before it, in 4 bytes, the highest first."""
    parts = [text.encode() for text in texts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def plan_digest(fields):
    """Of one entry of the plan stream: every field but timestamp, sorted by name."""
    counted = sorted((name, value) for name, value in fields.items() if name != "timestamp")
    texts = ["apply-plan-v1"] + [text for pair in counted for text in pair]
    return hashlib.sha256(packed(texts)).hexdigest()


def sign(permit, fields):
    """permit: the JSON object as text. Append the seal to this very text; do not encode it again."""
    plan, digest = fields["plan_id"], plan_digest(fields)
    issued = int(time.time() * 1000)
    issued, expires, nonce = str(issued), str(issued + 60_000), secrets.token_hex(16)
    message = packed(["apply-permit-v1", key_id, role, plan, digest, permit, issued, expires, nonce])
    mac = hmac.new(bytes.fromhex(secret), message, hashlib.sha256).hexdigest()
    seal = ":".join(["v1", key_id, role, plan, digest, issued, expires, nonce, mac])
    return permit[:-1] + ', "signed": "' + seal + '"}'


def review(fields):
    """The permit for one plan. Say no with granted or allow False and a reason."""
    if role == "governor":
        return {"granted": True, "symbol": fields["symbol"], "decision": "EXECUTE",
                "computed_qty": quantity, "created_at": time.time()}
    return {"allow": True, "symbol": fields["symbol"], "safe_close_qty": quantity, "created_at": time.time()}


# Text in, text out: without decode_responses every field would be bytes, and str() of them no JSON.
store = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"), decode_responses=True)
# From the newest entry on. Not "$": what comes between two reads would be missed.
newest = store.xrevrange("quantum:stream:apply.plan", count=1)
last = newest[0][0] if newest else "0"
print("ready", flush=True)
while True:
    for _, entries in store.xread({"quantum:stream:apply.plan": last}, block=1000) or []:
        for last, fields in entries:
            if fields.get("decision") != "EXECUTE":
                continue
            # allow_nan=False: a number that is none must not become a permit.
            permit = json.dumps(review(fields), allow_nan=False)
            if key_id:
                permit = sign(permit, fields)
            name = "quantum:permit:" + ("" if role == "governor" else role + ":") + fields["plan_id"]
            store.set(name, permit, ex=60)
            print(name, permit, flush=True)
