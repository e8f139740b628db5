#!/usr/bin/env bash
# The exchange's own SDKs disagree about small numbers: Python writes an exponent, JavaScript writes digits.
# binance-sdk-derivatives-trading-usds-futures 18.1.0 (PyPI), @binance/derivatives-trading-usds-futures 38.1.1 (npm).
#
# Guess: both take a quantity as a number and write it as the venue documents decimals: digits and a point.
# Seen: for 0.00001 the Python SDK sends quantity=1e-05, for 0.1+0.2 both send 0.30000000000000004; the JavaScript
# SDK writes even 0.0000001 in digits. In Python a Decimal or a text in place of the annotated float is what sends digits.
# Runs against a small server on loopback that only notes what was asked; fails when the SDKs do otherwise.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check binance-sdk-derivatives-trading-usds-futures==18.1.0
cd "$folder"
echo '{"name":"finding","private":true}' > package.json
npm install --silent --no-fund --no-audit --ignore-scripts @binance/derivatives-trading-usds-futures@38.1.1

cat > server.py <<'PYTHON'
import http.server
import urllib.parse


class Noted(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        raw = urllib.parse.urlsplit(self.path).query
        with open("asked", "a") as asked:
            asked.write(next(pair for pair in raw.split("&") if pair.startswith("quantity=")) + "\n")
        body = b'{"orderId":1,"symbol":"BTCUSDT","status":"NEW"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Noted)
with open("port.new", "w") as port:
    port.write(str(server.server_port))
__import__("os").rename("port.new", "port")
server.serve_forever()
PYTHON
python3 server.py & server=$!
until [ -e port ]; do sleep 0.1; done
URL=http://127.0.0.1:$(cat port)
export URL

venv/bin/python - <<'PYTHON'
import os
from decimal import Decimal

from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

configuration = ConfigurationRestAPI(api_key="key", api_secret="secret", base_path=os.environ["URL"])
api = DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api
for quantity in (0.00001, 0.1 + 0.2, Decimal("0.00001")):
    api.new_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=quantity)
PYTHON
cat > ask.mjs <<'NODE'
import { DerivativesTradingUsdsFutures } from "@binance/derivatives-trading-usds-futures";
const configurationRestAPI = { apiKey: "key", apiSecret: "secret", basePath: process.env.URL };
const api = new DerivativesTradingUsdsFutures({ configurationRestAPI }).restAPI;
for (const quantity of [0.0000001, 0.1 + 0.2]) {
  await api.newOrder({ symbol: "BTCUSDT", side: "BUY", type: "MARKET", quantity });
}
NODE
node ask.mjs

cat asked
wanted='quantity=1e-05
quantity=0.30000000000000004
quantity=0.00001
quantity=0.0000001
quantity=0.30000000000000004'
[ "$(cat asked)" = "$wanted" ] || { echo "this is not what was seen when the finding was written" >&2; exit 1; }
echo "still so: the Python SDK writes 0.00001 as 1e-05, the JavaScript SDK writes digits"
