#!/usr/bin/env bash
# ccxt 4.5.90: an order with `test` set is a real order on futures.
#
# Guess: `create_order(…, params={"test": True})` either asks the venue's test endpoint (USDⓈ-M futures have
# one: POST /fapi/v1/order/test) or is refused.
# Seen: on spot it asks POST /api/v3/order/test; on futures the word is dropped without a sound and the order
# goes to POST /fapi/v1/order. The docstring marks `test` as "spot only"; nothing at run time does.
# Runs against a small server on loopback that only notes what was asked; fails when ccxt does otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ccxt==4.5.90
"$folder/venv/bin/python" - <<'PYTHON'
import http.server
import sys
import threading

import ccxt

asked = []


class Noted(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked.append(f"POST {self.path.split('?')[0]}")
        body = b"{}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Noted)
threading.Thread(target=server.serve_forever, daemon=True).start()
here = f"http://127.0.0.1:{server.server_port}"


def market(kind, symbol):
    return {
        "id": "BTCUSDT", "symbol": symbol, "base": "BTC", "quote": "USDT", "settle": None if kind == "spot" else "USDT",
        "baseId": "BTC", "quoteId": "USDT", "settleId": None if kind == "spot" else "USDT", "type": kind, "active": True,
        "spot": kind == "spot", "swap": kind == "swap", "future": False, "option": False, "contract": kind == "swap",
        "linear": kind == "swap", "inverse": False, "margin": False, "contractSize": 1 if kind == "swap" else None,
        "precision": {"amount": 0.001, "price": 0.1}, "limits": {}, "info": {"orderTypes": ["LIMIT", "MARKET"], "permissions": []},
    }


def ask(kind, symbol):
    client = ccxt.binance({"apiKey": "key", "secret": "secret", "options": {"defaultType": kind}})
    for name, address in client.urls["api"].items():
        path = address.split("://", 1)[1].split("/", 1)
        client.urls["api"][name] = f"{here}/{path[1] if len(path) > 1 else ''}".rstrip("/")
    client.set_markets([market(kind, symbol)])
    asked.clear()
    client.create_order(symbol, "market", "buy", 0.01, None, {"test": True})
    return list(asked)


print("ccxt", ccxt.__version__)
spot, futures = ask("spot", "BTC/USDT"), ask("swap", "BTC/USDT:USDT")
print("spot,    test=True:", spot)
print("futures, test=True:", futures)
if spot != ["POST /api/v3/order/test"] or futures != ["POST /fapi/v1/order"]:
    sys.exit("this is not what was seen when the finding was written")
print("still so: with test=True a futures order is placed")
PYTHON
