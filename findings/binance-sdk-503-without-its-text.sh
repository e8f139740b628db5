#!/usr/bin/env bash
# The exchange's own SDKs throw away the one thing that tells whether an order was executed.
# binance-sdk-derivatives-trading-usds-futures 18.1.0 (PyPI), @binance/derivatives-trading-usds-futures 38.1.1 (npm).
#
# The venue documents three texts under HTTP 503: with one the order's fate is unknown, with the two others it failed.
# Guess: the error that the SDK raises holds code and text somewhere, as it does for a 400.
# Seen: all three end as the same "Server error: 503"; neither code nor text is in the message, in an attribute or in a
# cause, in either SDK. Missed by the guess as well: for HTTP 408 with -1007 the JavaScript SDK keeps code and text,
# the Python SDK the text alone.
# Runs against a small server on loopback; fails when the SDKs do otherwise.
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
import json
import urllib.parse

ANSWERS = {
    "unknown": (503, -1000, "Unknown error, please check your request or try again later."),
    "away": (503, 0, "Service Unavailable."),
    "internal": (503, -1001, "Internal error; unable to process your request. Please try again."),
    "timeout": (408, -1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."),
    "refused": (400, -2019, "Margin is insufficient."),
}


class Answering(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        named = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["newClientOrderId"][0]
        status, code, text = ANSWERS[named]
        body = json.dumps({"code": code, "msg": text}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
with open("port.new", "w") as port:
    port.write(str(server.server_port))
__import__("os").rename("port.new", "port")
server.serve_forever()
PYTHON
python3 server.py & server=$!
until [ -e port ]; do sleep 0.1; done
URL=http://127.0.0.1:$(cat port)
export URL

venv/bin/python - > python.out <<'PYTHON'
import os

from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

configuration = ConfigurationRestAPI(api_key="key", api_secret="secret", base_path=os.environ["URL"])
api = DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api
for name in ("unknown", "away", "internal", "timeout", "refused"):
    try:
        api.new_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01, new_client_order_id=name)
    except Exception as error:
        held = " ".join(map(str, (error, vars(error), error.args, error.__cause__)))
        print(name, type(error).__name__, *(f"{what}={str(what in held).lower()}" for what in ("-10", "-2019", "Unknown error", "Unavailable.", "Internal", "Timeout waiting", "Margin")))
PYTHON
cat > ask.mjs <<'NODE'
import { inspect } from "node:util";
import { DerivativesTradingUsdsFutures } from "@binance/derivatives-trading-usds-futures";
const configurationRestAPI = { apiKey: "key", apiSecret: "secret", basePath: process.env.URL };
const api = new DerivativesTradingUsdsFutures({ configurationRestAPI }).restAPI;
for (const newClientOrderId of ["unknown", "away", "internal", "timeout", "refused"]) {
  try {
    await api.newOrder({ symbol: "BTCUSDT", side: "BUY", type: "MARKET", quantity: 0.01, newClientOrderId });
  } catch (error) {
    const { stack, ...own } = error;
    const held = inspect({ message: error.message, own, cause: error.cause }, { depth: 6 });
    const found = ["-10", "-2019", "Unknown error", "Unavailable.", "Internal", "Timeout waiting", "Margin"].map((what) => `${what}=${held.includes(what)}`);
    console.log(newClientOrderId, error.name, ...found);
  }
}
NODE
node ask.mjs > node.out
echo "Python SDK:"; cat python.out
echo "JavaScript SDK:"; cat node.out
lost="-10=false -2019=false Unknown error=false Unavailable.=false Internal=false Timeout waiting=false Margin=false"
kept="-10=false -2019=true Unknown error=false Unavailable.=false Internal=false Timeout waiting=false Margin=true"
late="Unknown error=false Unavailable.=false Internal=false Timeout waiting=true Margin=false"
wanted() { # the name of a client error, and whether -1007 is kept
    printf '%s\n' "unknown ServerError $lost" "away ServerError $lost" "internal ServerError $lost" \
        "timeout $1 -10=$2 -2019=false $late" "refused BadRequestError $kept"
}
[ "$(cat python.out)" = "$(wanted ClientError false)" ] &&
    [ "$(cat node.out)" = "$(wanted ConnectorClientError true)" ] ||
    { echo "this is not what was seen when the finding was written" >&2; exit 1; }
echo "still so: three texts with opposite meanings are one error"
