"""nautilus_trader's adapter, its REST half: instruments and every call, read with its own strict schemas.

Its live node wants a user stream, which the simulated venue does not model, so no node is started.
"""

import asyncio
import sys

from common import KEY, SECRET, SYMBOL, URL, absent, control, only_loopback, op, run_faults
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceKlineInterval, BinanceOrderSide, BinanceOrderType, BinanceTimeInForce
from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol
from nautilus_trader.adapters.binance.futures.enums import BinanceFuturesMarginType
from nautilus_trader.adapters.binance.futures.http.account import BinanceFuturesAccountHttpAPI
from nautilus_trader.adapters.binance.futures.http.market import BinanceFuturesMarketHttpAPI
from nautilus_trader.adapters.binance.futures.http.wallet import BinanceFuturesWalletHttpAPI
from nautilus_trader.adapters.binance.futures.providers import BinanceFuturesInstrumentProvider
from nautilus_trader.adapters.binance.http.client import BinanceHttpClient
from nautilus_trader.common.component import LiveClock
from nautilus_trader.config import InstrumentProviderConfig

FUTURES = BinanceAccountType.USDT_FUTURES
BUY, SELL = BinanceOrderSide.BUY, BinanceOrderSide.SELL


class Client:
    def __init__(self):
        clock = LiveClock()
        http = BinanceHttpClient(clock, KEY, SECRET, base_url=URL)
        only_loopback(http.base_url)
        self.account = BinanceFuturesAccountHttpAPI(http, clock, FUTURES)
        self.market = BinanceFuturesMarketHttpAPI(http, FUTURES)
        self.wallet = BinanceFuturesWalletHttpAPI(http, clock, FUTURES)
        self.provider = BinanceFuturesInstrumentProvider(http, clock, FUTURES, InstrumentProviderConfig(load_all=True))


loop = asyncio.new_event_loop()
wait = loop.run_until_complete
api = None


def open_again():
    global api

    async def made():
        return Client()

    api = wait(made())


def instruments():
    wait(api.provider.load_all_async())
    return api.provider.list_all()


def ops():
    control("POST", "/sim/reset")
    open_again()
    account, market = api.account, api.market
    op("server time", lambda: wait(market.request_server_time()), lambda r: r > 0)
    op("markets", lambda: wait(market.query_futures_exchange_info()), lambda r: len(r.symbols) == 3)
    op("instruments as nautilus loads them", instruments, lambda r: len(r) == 3)
    op("depth", lambda: wait(market.query_depth(SYMBOL, 5)), lambda r: len(r.bids) == 5)
    op("klines", lambda: wait(market.query_klines(SYMBOL, BinanceKlineInterval.MINUTE_1, 3)), lambda r: len(r) == 3)
    op("ticker 24h", lambda: wait(market.query_ticker_24hr(SYMBOL)))
    op("ticker price", lambda: wait(market.query_ticker_price(SYMBOL)))
    op("book ticker", lambda: wait(market.query_ticker_book(SYMBOL)))
    op("account v2", lambda: wait(account.query_futures_account_info()), lambda r: len(r.assets) == 1)
    op("symbol configuration", lambda: wait(account.query_futures_symbol_config(SYMBOL)), lambda r: r[0].leverage == 20)
    op("position mode", lambda: wait(account.query_futures_hedge_mode()), lambda r: r.dualSidePosition is False)
    op("set position mode", lambda: [wait(account.set_futures_hedge_mode(w)) for w in (True, False)])
    op("leverage", lambda: wait(account.set_leverage(BinanceSymbol(SYMBOL), 10)), lambda r: r.leverage == 10)
    kinds = (BinanceFuturesMarginType.ISOLATED, BinanceFuturesMarginType.CROSS)
    op("margin type", lambda: [wait(account.set_margin_type(BinanceSymbol(SYMBOL), kind)) for kind in kinds])
    op("commission", lambda: wait(api.wallet.query_futures_commission_rate(SYMBOL)), lambda r: float(r.takerCommissionRate) == 0.0005)
    absent("balance v2", "balance v3", "account v3", "account configuration", "multi-assets mode", "brackets", "mark price")
    absent("funding rate", "test order", "open order", "income", "positions v3")
    limit = dict(side=BUY, order_type=BinanceOrderType.LIMIT, time_in_force=BinanceTimeInForce.GTC, quantity="0.01", price="63000")
    op("limit order", lambda: wait(account.new_order(SYMBOL, new_client_order_id="l-1", **limit)), lambda r: r.status.value == "NEW")
    named = dict(orig_client_order_id="l-1")
    op("query order", lambda: wait(account.query_order(SYMBOL, **named)), lambda r: r.clientOrderId == "l-1")
    op("open orders", lambda: wait(account.query_open_orders(SYMBOL)), lambda r: len(r) == 1)
    op("cancel order", lambda: wait(account.cancel_order(SYMBOL, **named)), lambda r: r.status.value == "CANCELED")
    wait(account.new_order(SYMBOL, **limit))
    op("cancel all", lambda: wait(account.cancel_all_open_orders(SYMBOL)))
    market_order = dict(side=BUY, order_type=BinanceOrderType.MARKET, quantity="0.1")
    op("market order", lambda: wait(account.new_order(SYMBOL, **market_order)))
    op("all orders", lambda: wait(account.query_all_orders(SYMBOL)), lambda r: len(r) == 3)
    op("positions v2", lambda: wait(account.query_futures_position_risk(SYMBOL)), lambda r: float(r[0].positionAmt) == 0.1)
    stop = dict(side=SELL, order_type=BinanceOrderType.STOP_MARKET, quantity="0.1", trigger_price="60000", reduce_only="true")
    op("stop order", lambda: wait(account.new_algo_order(SYMBOL, client_algo_id="s-1", **stop)))
    op("query stop", lambda: wait(account.query_algo_order(client_algo_id="s-1")))
    op("open stops", lambda: wait(account.query_open_algo_orders(SYMBOL)), lambda r: len(r) == 1)
    op("cancel stop", lambda: wait(account.cancel_algo_order(client_algo_id="s-1")))
    wait(account.new_algo_order(SYMBOL, **stop))
    op("cancel all stops", lambda: wait(account.cancel_all_open_algo_orders(SYMBOL)))
    op("all stops", lambda: wait(account.query_all_algo_orders(SYMBOL)), lambda r: len(r) == 2)
    op("trades", lambda: wait(account.query_user_trades(SYMBOL)), lambda r: len(r) == 1)


def place(client_id):
    order = api.account.new_order(SYMBOL, BUY, BinanceOrderType.MARKET, quantity="0.01", new_client_order_id=client_id)
    return f"success: {wait(order).status.value}"


if __name__ == "__main__":
    ops() if sys.argv[1] == "ops" else run_faults(place, open_again)
