#!/usr/bin/env bash
# freqtrade 2026.9, live on USDⓈ-M futures: an entry whose reply is lost is placed a second time.
#
# Guess: the order carries a client order id, so after a broken reply freqtrade asks for it, or at least looks at the
# account's position before it enters again with max_open_trades 1.
# Seen: the broken reply is logged as "Could not place buy order due to NetworkError"; at one of the next looks it
# places the same entry under a new id. The account then holds twice the stake, freqtrade knows of one half, and its
# stop will cover that half alone. Missed by the guess: the positions are asked for in between, and not compared.
# Runs against a small server on loopback that answers like a futures venue and closes the connection in the middle of
# the first order's reply, as networks do. Fails when freqtrade does otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check freqtrade==2026.9
cd "$folder"
mkdir strategies
cat > strategies/in_once.py <<'PYTHON'
from freqtrade.strategy import IStrategy


class InOnce(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    stoploss = -0.1
    minimal_roi = {}
    process_only_new_candles = False
    startup_candle_count = 5

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe["exit_long"] = 0
        return dataframe
PYTHON
venv/bin/python - <<'PYTHON'
import http.server
import json
import pathlib
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse

import ccxt

PRICE = "100.00"
orders = []
# Questions for positions while the first order was at the venue and the second was not.
questions = []


def market():
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "100000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.01", "maxQty": "10000", "stepSize": "0.01"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.01", "maxQty": "10000", "stepSize": "0.01"},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
    ]
    return {
        "symbol": "SOLUSDT", "pair": "SOLUSDT", "contractType": "PERPETUAL", "status": "TRADING", "baseAsset": "SOL",
        "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 2, "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000, "filters": filters, "orderTypes": ["LIMIT", "MARKET", "STOP_MARKET"],
        "timeInForce": ["GTC"], "underlyingType": "COIN", "underlyingSubType": [], "maintMarginPercent": "2.5",
        "requiredMarginPercent": "5", "baseAssetPrecision": 8, "quotePrecision": 8, "liquidationFee": "0", "marketTakeBound": "0.05",
    }


def held():
    return sum(float(order["origQty"]) for order in orders)


def position():
    if not orders:
        return []
    amount = f"{held():.2f}"
    return [{
        "symbol": "SOLUSDT", "positionSide": "BOTH", "positionAmt": amount, "entryPrice": PRICE, "breakEvenPrice": PRICE,
        "markPrice": PRICE, "unRealizedProfit": "0", "liquidationPrice": "1", "isolatedMargin": "10", "notional": str(held() * 100),
        "marginAsset": "USDT", "isolatedWallet": "10", "initialMargin": "10", "maintMargin": "1", "positionInitialMargin": "10",
        "openOrderInitialMargin": "0", "adl": 1, "bidNotional": "0", "askNotional": "0", "updateTime": orders[-1]["updateTime"],
    }]


def account():
    money = {"walletBalance": "10000", "unrealizedProfit": "0", "marginBalance": "10000", "maintMargin": "0", "initialMargin": "0"}
    money |= {"positionInitialMargin": "0", "openOrderInitialMargin": "0", "crossWalletBalance": "10000", "crossUnPnl": "0"}
    money |= {"availableBalance": "9000", "maxWithdrawAmount": "9000", "updateTime": int(time.time() * 1000)}
    return {"totalWalletBalance": "10000", "availableBalance": "9000", "assets": [{"asset": "USDT"} | money], "positions": []}


def trades():
    return [{
        "symbol": "SOLUSDT", "id": order["orderId"], "orderId": order["orderId"], "side": "BUY", "price": PRICE, "qty": order["origQty"],
        "realizedPnl": "0", "quoteQty": str(float(order["origQty"]) * 100), "commission": "0.05", "commissionAsset": "USDT",
        "time": order["updateTime"], "positionSide": "BOTH", "buyer": True, "maker": False,
    } for order in orders]


def candles():
    minute = int(time.time()) // 60 * 60_000
    rows = (minute - 60_000 * back for back in range(498, -1, -1))
    return [[at, PRICE, "100.05", "99.95", PRICE, "10", at + 59_999, "1000", 10, "5", "500", "0"] for at in rows]


def answer(method, path, asked):
    now = int(time.time() * 1000)
    if (method, path) == ("POST", "/fapi/v1/order"):
        order = {
            "orderId": 1000 + len(orders), "symbol": "SOLUSDT", "status": "FILLED", "clientOrderId": asked["newClientOrderId"], "price": "0",
            "avgPrice": PRICE, "origQty": asked["quantity"], "executedQty": asked["quantity"], "cumQty": asked["quantity"],
            "cumQuote": str(float(asked["quantity"]) * 100), "timeInForce": "GTC", "type": "MARKET", "reduceOnly": False, "side": asked["side"],
            "positionSide": "BOTH", "stopPrice": "0", "origType": "MARKET", "time": now, "updateTime": now,
        }
        orders.append(order)
        return order
    if path == "/fapi/v3/positionRisk" and len(orders) == 1:
        questions.append(now)
    if method == "POST":
        return {"code": 200, "msg": "success", "leverage": 1, "maxNotionalValue": "1000000", "symbol": "SOLUSDT"}
    if path == "/fapi/v1/order":
        known = [order for order in orders if asked.get("origClientOrderId") == order["clientOrderId"] or asked.get("orderId") == str(order["orderId"])]
        return known[0] if known else {"code": -2013, "msg": "Order does not exist."}
    brackets = [{"bracket": 1, "initialLeverage": 50, "notionalCap": 1000000, "notionalFloor": 0, "maintMarginRatio": 0.01, "cum": 0}]
    level = [[PRICE, "1000"]]
    return {
        "/fapi/v1/exchangeInfo": {"symbols": [market()], "rateLimits": [], "assets": []},
        "/fapi/v1/time": {"serverTime": now},
        "/fapi/v1/klines": candles(),
        "/fapi/v1/depth": {"lastUpdateId": 1, "E": now, "T": now, "bids": level, "asks": level},
        "/fapi/v1/leverageBracket": [{"symbol": "SOLUSDT", "brackets": brackets}],
        "/fapi/v1/multiAssetsMargin": {"multiAssetsMargin": False},
        "/fapi/v1/positionSide/dual": {"dualSidePosition": False},
        "/fapi/v1/premiumIndex": [],
        "/fapi/v3/account": account(),
        "/fapi/v3/positionRisk": position(),
        "/fapi/v1/userTrades": trades(),
    }.get(path, [])


class Venue(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def respond(self):
        asked_for = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        asked = dict(urllib.parse.parse_qsl(asked_for.query) + urllib.parse.parse_qsl(body))
        before = len(orders)
        body = json.dumps(answer(self.command, asked_for.path, asked)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if before == 0 and len(orders) == 1:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)

    do_GET = do_POST = do_DELETE = respond

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Venue)
threading.Thread(target=server.serve_forever, daemon=True).start()
here = f"http://127.0.0.1:{server.server_port}"
# ccxt's documented option for other hosts; every address of it is replaced, so nothing leaves the machine.
urls = {name: f"{here}/{address.split('://', 1)[1].partition('/')[2]}" for name, address in ccxt.binance().urls["api"].items()}
prices = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
config = {
    "dry_run": False, "trading_mode": "futures", "margin_mode": "isolated", "stake_currency": "USDT", "stake_amount": 500, "max_open_trades": 1,
    "exchange": {
        "name": "binance", "key": "key", "secret": "secret", "enable_ws": False, "pair_whitelist": ["SOL/USDT:USDT"],
        "ccxt_config": {"urls": {"api": urls}, "options": {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False}},
    },
    "pairlists": [{"method": "StaticPairList"}], "entry_pricing": prices, "exit_pricing": prices,
    "order_types": {"entry": "market", "exit": "market", "stoploss": "market", "stoploss_on_exchange": False},
    "internals": {"process_throttle_secs": 1}, "db_url": "sqlite:///trades.sqlite", "initial_state": "running",
}
pathlib.Path("config.json").write_text(json.dumps(config))
command = [sys.executable, "-m", "freqtrade", "trade", "--config", "config.json", "--strategy", "InOnce", "--strategy-path", "strategies", "--userdir", "."]


def known():
    try:
        with sqlite3.connect("file:trades.sqlite?mode=ro", uri=True) as base:
            return [amount for (amount,) in base.execute("select amount from trades")]
    except sqlite3.OperationalError:
        return []


with open("log", "w") as log:
    bot = subprocess.Popen(command, stdout=log, stderr=log)
    end = time.monotonic() + 150
    while not known() and bot.poll() is None and time.monotonic() < end:
        time.sleep(0.5)
    time.sleep(5)
    bot.terminate()
    bot.wait(30)

said = pathlib.Path("log").read_text()
lost = "due to NetworkError" in " ".join(said.split())
ids = {order["clientOrderId"] for order in orders}
print("freqtrade", subprocess.run([sys.executable, "-c", "import freqtrade; print(freqtrade.__version__)"], capture_output=True, text=True).stdout.strip())
print(f"orders placed: {len(orders)}, under {len(ids)} client order ids; positions asked for in between: {len(questions)} times")
print(f"the account holds {held():g} SOL, freqtrade knows of {sum(known()):g}")
if not (lost and questions and len(orders) == 2 and len(ids) == 2 and abs(held() - 2 * sum(known())) < 1e-9):
    print("\n".join(said.splitlines()[-20:]), file=sys.stderr)
    sys.exit("this is not what was seen when the finding was written")
print("still so: the entry was placed twice")
PYTHON
