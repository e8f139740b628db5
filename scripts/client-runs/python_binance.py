"""python-binance, the community client."""

import sys

from common import KEY, SECRET, SYMBOL, URL, absent, control, only_loopback, op, run_faults
from binance.client import Client


def client():
    # Every address of the client is pointed at the venue; nothing is asked before that (ping=False).
    made = Client(KEY, SECRET, ping=False, testnet=True)
    made.FUTURES_TESTNET_URL = URL + "/fapi"
    made.API_TESTNET_URL = made.API_URL = URL + "/api"
    made.FUTURES_URL = URL + "/fapi"
    only_loopback(made._create_futures_api_uri("time"), made._create_futures_api_uri("time", 2))
    return made


api = client()


def ops():
    control("POST", "/sim/reset")
    s = {"symbol": SYMBOL}
    op("server time", api.futures_time, lambda r: r["serverTime"] > 0)
    op("markets", api.futures_exchange_info, lambda r: len(r["symbols"]) == 3)
    op("depth", lambda: api.futures_order_book(limit=5, **s), lambda r: len(r["bids"]) == 5)
    op("klines", lambda: api.futures_klines(interval="1m", limit=3, **s), lambda r: len(r) == 3)
    op("ticker 24h", lambda: api.futures_ticker(**s))
    op("ticker price", lambda: api.futures_symbol_ticker(**s))
    op("book ticker", lambda: api.futures_orderbook_ticker(**s))
    op("mark price", lambda: api.futures_mark_price(**s))
    op("funding rate", lambda: api.futures_funding_rate(limit=3, **s), lambda r: len(r) == 3)
    absent("balance v2", "account v3", "positions v2", "open order")
    op("balance v3", api.futures_account_balance, lambda r: float(r[0]["balance"]) == 10000)
    op("account v2", api.futures_account, lambda r: len(r["positions"]) == 3)
    op("account configuration", api.futures_account_config, lambda r: r["canTrade"])
    op("symbol configuration", lambda: api.futures_symbol_config(**s), lambda r: r[0]["leverage"] == 20)
    op("position mode", api.futures_get_position_mode, lambda r: r["dualSidePosition"] is False)
    op("set position mode", lambda: [api.futures_change_position_mode(dualSidePosition=w) for w in ("true", "false")])
    op("multi-assets mode", api.futures_get_multi_assets_mode, lambda r: r["multiAssetsMargin"] is False)
    op("leverage", lambda: api.futures_change_leverage(leverage=10, **s), lambda r: r["leverage"] == 10)
    op("margin type", lambda: [api.futures_change_margin_type(marginType=w, **s) for w in ("ISOLATED", "CROSSED")])
    op("brackets", lambda: api.futures_leverage_bracket(**s), lambda r: len(r[0]["brackets"]) == 10)
    op("commission", lambda: api.futures_commission_rate(**s), lambda r: float(r["takerCommissionRate"]) == 0.0005)
    market = dict(s, side="BUY", type="MARKET", quantity=0.1)
    limit = dict(s, side="BUY", type="LIMIT", quantity=0.01, price=63000, timeInForce="GTC")
    op("test order", lambda: api.futures_create_test_order(**market))
    made = op("limit order", lambda: api.futures_create_order(newClientOrderId="l-1", **limit), lambda r: r["status"] == "NEW")
    named = dict(s, orderId=made["orderId"]) if made else s
    op("query order", lambda: api.futures_get_order(**named), lambda r: r["clientOrderId"] == "l-1")
    op("open orders", lambda: api.futures_get_open_orders(**s), lambda r: len(r) == 1)
    op("cancel order", lambda: api.futures_cancel_order(**named), lambda r: r["status"] == "CANCELED")
    api.futures_create_order(**limit)
    op("cancel all", lambda: api.futures_cancel_all_open_orders(**s))
    op("market order", lambda: api.futures_create_order(newOrderRespType="RESULT", **market), lambda r: r["status"] == "FILLED")
    op("all orders", lambda: api.futures_get_all_orders(**s), lambda r: len(r) == 3)
    op("positions v3", lambda: api.futures_position_information(**s), lambda r: float(r[0]["positionAmt"]) == 0.1)
    # It sends conditional orders to the algo endpoint by itself, by their type.
    stop = dict(s, side="SELL", type="STOP_MARKET", triggerPrice=60000, quantity=0.1, reduceOnly="true")
    op("stop order", lambda: api.futures_create_order(clientAlgoId="s-1", **stop), lambda r: r["algoStatus"] == "NEW")
    op("query stop", lambda: api.futures_get_algo_order(clientAlgoId="s-1", **s), lambda r: r["algoStatus"] == "NEW")
    op("open stops", lambda: api.futures_get_open_algo_orders(**s), lambda r: len(r) == 1)
    op("cancel stop", lambda: api.futures_cancel_algo_order(clientAlgoId="s-1", **s), lambda r: r["msg"] == "success")
    api.futures_create_order(**stop)
    op("cancel all stops", lambda: api.futures_cancel_all_algo_open_orders(**s))
    op("all stops", lambda: api.futures_get_all_algo_orders(**s), lambda r: len(r) == 2)
    op("trades", lambda: api.futures_account_trades(**s), lambda r: len(r) == 1)
    op("income", lambda: api.futures_income_history(incomeType="COMMISSION"), lambda r: float(r[0]["income"]) == -3.2)


def place(client_id):
    reply = api.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01, newClientOrderId=client_id)
    return f"success: {reply['status']}"


def open_again():
    global api
    api = client()


if __name__ == "__main__":
    ops() if sys.argv[1] == "ops" else run_faults(place, open_again)
