"""ccxt (binanceusdm), the client under most bots."""

import sys

from common import KEY, SECRET, URL, control, only_loopback, op, run_faults
import ccxt

SYMBOL = "BTC/USDT:USDT"


def client():
    made = ccxt.binanceusdm({"apiKey": KEY, "secret": SECRET, "enableRateLimit": False, "options": {"fetchCurrencies": False}})
    # `urls` is ccxt's documented option for other hosts; every one of them is pointed at the venue.
    for kind in ("api", "test"):
        for name, address in made.urls[kind].items():
            path = address.split("://", 1)[1].split("/", 1)
            made.urls[kind][name] = f"{URL}/{path[1] if len(path) > 1 else ''}".rstrip("/")
            only_loopback(made.urls[kind][name])
    return made


api = client()


def ops():
    control("POST", "/sim/reset")
    op("server time", api.fetch_time, lambda r: r > 0)
    op("markets", api.load_markets, lambda r: len(r) == 3)
    op("depth", lambda: api.fetch_order_book(SYMBOL, 5), lambda r: len(r["bids"]) == 5)
    op("klines", lambda: api.fetch_ohlcv(SYMBOL, "1m", limit=3), lambda r: len(r) == 3)
    op("ticker 24h", lambda: api.fetch_ticker(SYMBOL), lambda r: r["last"] == 64000)
    op("ticker price", lambda: api.fapiPublicGetTickerPrice({"symbol": "BTCUSDT"}))
    op("book ticker", lambda: api.fetch_bids_asks([SYMBOL]), lambda r: r[SYMBOL]["ask"] == 64000.1)
    op("mark price", lambda: api.fetch_funding_rate(SYMBOL), lambda r: r["markPrice"] == 64000)
    op("funding rate", lambda: api.fetch_funding_rate_history(SYMBOL, limit=3), lambda r: len(r) == 3)
    op("balance v2", lambda: api.fetch_balance({"useV2": True}), lambda r: r["USDT"]["total"] == 10000)
    op("balance v3", api.fetch_balance, lambda r: r["USDT"]["total"] == 10000)
    op("account v2", lambda: api.fapiPrivateV2GetAccount(), lambda r: r["canTrade"])
    op("account v3", lambda: api.fapiPrivateV3GetAccount(), lambda r: float(r["totalWalletBalance"]) == 10000)
    op("account configuration", lambda: api.fapiPrivateGetAccountConfig(), lambda r: r["canTrade"])
    op("symbol configuration", lambda: api.fetch_leverages([SYMBOL]), lambda r: r[SYMBOL]["longLeverage"] == 20)
    op("position mode", lambda: api.fetch_position_mode(SYMBOL), lambda r: r["hedged"] is False)
    op("set position mode", lambda: [api.set_position_mode(w, SYMBOL) for w in (True, False)])
    op("multi-assets mode", lambda: api.fapiPrivateGetMultiAssetsMargin(), lambda r: r["multiAssetsMargin"] is False)
    op("leverage", lambda: api.set_leverage(10, SYMBOL), lambda r: int(r["leverage"]) == 10)
    op("margin type", lambda: [api.set_margin_mode(w, SYMBOL) for w in ("isolated", "cross")])
    op("brackets", lambda: api.fetch_leverage_tiers([SYMBOL]), lambda r: len(r[SYMBOL]) == 10)
    op("commission", lambda: api.fetch_trading_fee(SYMBOL), lambda r: r["taker"] == 0.0005)
    # Not create_order with `test`: on futures that places a real order.
    tested = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
    op("test order", lambda: api.fapiPrivatePostOrderTest(tested), lambda r: str(r["orderId"]) == "0")
    made = op("limit order", lambda: api.create_order(SYMBOL, "limit", "buy", 0.01, 63000, {"newClientOrderId": "l-1"}), lambda r: r["status"] == "open")
    order_id = made["id"] if made else "0"
    op("query order", lambda: api.fetch_order(order_id, SYMBOL), lambda r: r["clientOrderId"] == "l-1")
    op("open order", lambda: api.fetch_open_order(order_id, SYMBOL), lambda r: r["clientOrderId"] == "l-1")
    op("open orders", lambda: api.fetch_open_orders(SYMBOL), lambda r: len(r) == 1)
    op("cancel order", lambda: api.cancel_order(order_id, SYMBOL), lambda r: r["status"] == "canceled")
    api.create_order(SYMBOL, "limit", "buy", 0.01, 63000)
    op("cancel all", lambda: api.cancel_all_orders(SYMBOL))
    op("market order", lambda: api.create_order(SYMBOL, "market", "buy", 0.1), lambda r: r["status"] == "closed" and r["filled"] == 0.1)
    op("all orders", lambda: api.fetch_orders(SYMBOL), lambda r: len(r) == 3)
    op("positions v2", lambda: api.fetch_positions([SYMBOL], {"useV2": True}), lambda r: r[0]["contracts"] == 0.1)
    op("positions v3", lambda: api.fetch_positions([SYMBOL]), lambda r: r[0]["contracts"] == 0.1)
    stop = {"stopLossPrice": 60000, "reduceOnly": True}
    made = op("stop order", lambda: api.create_order(SYMBOL, "market", "sell", 0.1, None, stop), lambda r: r["status"] == "open" and r["triggerPrice"] == 60000)
    stop_id = made["id"] if made else "0"
    conditional = {"trigger": True}
    op("query stop", lambda: api.fetch_order(stop_id, SYMBOL, conditional), lambda r: r["id"] == stop_id)
    op("open stops", lambda: api.fetch_open_orders(SYMBOL, params=conditional), lambda r: len(r) == 1)
    op("cancel stop", lambda: api.cancel_order(stop_id, SYMBOL, conditional))
    api.create_order(SYMBOL, "market", "sell", 0.1, None, stop)
    op("cancel all stops", lambda: api.cancel_all_orders(SYMBOL, conditional))
    op("all stops", lambda: api.fetch_orders(SYMBOL, params=conditional), lambda r: len(r) == 2)
    op("trades", lambda: api.fetch_my_trades(SYMBOL), lambda r: len(r) == 1 and r[0]["fee"]["cost"] == 3.2)
    op("income", lambda: api.fetch_ledger("USDT"), lambda r: len(r) == 2)


def place(client_id):
    reply = api.create_order(SYMBOL, "market", "buy", 0.01, None, {"newClientOrderId": client_id})
    return f"success: {reply['status']}"


def open_again():
    global api
    api = client()
    api.load_markets()


if __name__ == "__main__":
    ops() if sys.argv[1] == "ops" else run_faults(place, open_again)
