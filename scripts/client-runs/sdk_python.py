"""The official Python SDK (binance-sdk-derivatives-trading-usds-futures), with its strict response models."""

import logging
import os
import sys

from common import KEY, SECRET, SYMBOL, URL, control, only_loopback, op, run_faults
from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
    DerivativesTradingUsdsFutures,
)


def client(**keys):
    keys = keys or {"api_key": KEY, "api_secret": SECRET}
    configuration = ConfigurationRestAPI(base_path=URL, timeout=5000, **keys)
    made = DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api
    only_loopback(configuration.base_path)
    return made


api = client()


class Complaints(logging.Handler):
    """What the SDK says of replies that its models do not take: it warns and hands on the raw reply."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def emit(self, record):
        self.heard.append(record.getMessage())


complaints = Complaints()
logging.getLogger().addHandler(complaints)


def data(call, **parameters):
    """Asks, and reads the reply with the SDK's own model; a reply that the model does not take is a failure."""
    complaints.heard.clear()
    read = call(**parameters).data()
    if complaints.heard:
        raise ValueError(complaints.heard[0])
    return read


def many(value):
    value = getattr(value, "actual_instance", value)
    return value if isinstance(value, list) else [value]


def ops():
    control("POST", "/sim/reset")
    s = {"symbol": SYMBOL}
    op("server time", lambda: data(api.check_server_time), lambda r: r.server_time > 0)
    op("markets", lambda: data(api.exchange_information), lambda r: len(r.symbols) == 3)
    op("depth", lambda: data(api.order_book, limit=5, **s), lambda r: len(r.bids) == 5)
    op("klines", lambda: data(api.kline_candlestick_data, interval="1m", limit=3, **s), lambda r: len(many(r)) == 3)
    op("ticker 24h", lambda: data(api.ticker24hr_price_change_statistics, **s))
    op("ticker price", lambda: data(api.symbol_price_ticker, **s))
    op("book ticker", lambda: data(api.symbol_order_book_ticker, **s))
    op("mark price", lambda: data(api.mark_price, **s))
    op("funding rate", lambda: data(api.get_funding_rate_history, limit=3, **s), lambda r: len(many(r)) == 3)
    op("balance v2", lambda: data(api.futures_account_balance_v2), lambda r: float(many(r)[0].balance) == 10000)
    op("balance v3", lambda: data(api.futures_account_balance_v3), lambda r: float(many(r)[0].balance) == 10000)
    op("account v2", lambda: data(api.account_information_v2), lambda r: len(many(r)[0].assets) == 1)
    op("account v3", lambda: data(api.account_information_v3), lambda r: len(many(r)[0].assets) == 1)
    op("account configuration", lambda: data(api.futures_account_configuration), lambda r: r.can_trade)
    op("symbol configuration", lambda: data(api.symbol_configuration, **s), lambda r: many(r)[0].leverage == 20)
    op("position mode", lambda: data(api.get_current_position_mode), lambda r: r.dual_side_position is False)
    op("set position mode", lambda: [data(api.change_position_mode, dual_side_position=w) for w in ("true", "false")])
    op("multi-assets mode", lambda: data(api.get_current_multi_assets_mode), lambda r: r.multi_assets_margin is False)
    op("leverage", lambda: data(api.change_initial_leverage, leverage=10, **s), lambda r: r.leverage == 10)
    op("margin type", lambda: [data(api.change_margin_type, margin_type=w, **s) for w in ("ISOLATED", "CROSSED")])
    op("brackets", lambda: data(api.notional_and_leverage_brackets, **s))
    op("commission", lambda: data(api.user_commission_rate, **s), lambda r: float(r.taker_commission_rate) == 0.0005)
    market = dict(s, side="BUY", type="MARKET", quantity=0.1)
    limit = dict(s, side="BUY", type="LIMIT", quantity=0.01, price=63000, time_in_force="GTC")
    op("test order", lambda: data(api.test_order, **market))
    made = op("limit order", lambda: data(api.new_order, new_client_order_id="l-1", **limit), lambda r: r.status == "NEW")
    named = dict(s, order_id=made.order_id) if made else s
    op("query order", lambda: data(api.query_order, **named), lambda r: r.client_order_id == "l-1")
    op("open order", lambda: data(api.query_current_open_order, **named), lambda r: r.client_order_id == "l-1")
    op("open orders", lambda: data(api.current_all_open_orders, **s), lambda r: len(many(r)) == 1)
    op("cancel order", lambda: data(api.cancel_order, **named), lambda r: r.status == "CANCELED")
    api.new_order(**limit)
    op("cancel all", lambda: data(api.cancel_all_open_orders, **s))
    op("market order", lambda: data(api.new_order, new_order_resp_type="RESULT", **market), lambda r: r.status == "FILLED")
    op("all orders", lambda: data(api.all_orders, **s), lambda r: len(many(r)) == 3)
    op("positions v2", lambda: data(api.position_information_v2, **s), lambda r: float(many(r)[0].position_amt) == 0.1)
    op("positions v3", lambda: data(api.position_information_v3, **s), lambda r: float(many(r)[0].position_amt) == 0.1)
    stop = dict(s, algo_type="CONDITIONAL", side="SELL", type="STOP_MARKET", trigger_price=60000, quantity=0.1, reduce_only="true")
    op("stop order", lambda: data(api.new_algo_order, client_algo_id="s-1", **stop), lambda r: r.algo_status == "NEW")
    op("query stop", lambda: data(api.query_algo_order, client_algo_id="s-1"), lambda r: r.algo_status == "NEW")
    op("open stops", lambda: data(api.current_all_algo_open_orders, **s), lambda r: len(many(r)) == 1)
    op("cancel stop", lambda: data(api.cancel_algo_order, client_algo_id="s-1"), lambda r: r.msg == "success")
    api.new_algo_order(**stop)
    op("cancel all stops", lambda: data(api.cancel_all_algo_open_orders, **s))
    op("all stops", lambda: data(api.query_all_algo_orders, **s), lambda r: len(many(r)) == 2)
    op("trades", lambda: data(api.account_trade_list, **s), lambda r: len(many(r)) == 1)
    op("income", lambda: data(api.get_income_history, income_type="COMMISSION"), lambda r: float(many(r)[0].income) == -3.2)
    for kind in ("ed25519", "rsa"):
        file = os.environ.get(f"SIM_{kind.upper()}_FILE")
        if file:
            other = client(api_key=f"{kind}-key", private_key=file)
            op(f"{kind} key", lambda: data(other.futures_account_balance_v3))


def place(client_id):
    reply = api.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01, new_client_order_id=client_id)
    return f"success: {reply.data().status}"


def open_again():
    global api
    api = client()


if __name__ == "__main__":
    ops() if sys.argv[1] == "ops" else run_faults(place, open_again)
