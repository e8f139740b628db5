"""freqtrade, unmodified, trading live: in with a stop on the exchange; out once by the stop, once by its own exit."""

import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from common import FAULTS, KEY, SECRET, URL, control, only_loopback, report
import ccxt

HERE = pathlib.Path(__file__).resolve().parent


def config(folder):
    """Only documented settings: every address of ccxt is replaced through `ccxt_config`."""
    urls = {}
    for name, address in ccxt.binance().urls["api"].items():
        path = address.split("://", 1)[1].split("/", 1)
        urls[name] = f"{URL}/{path[1] if len(path) > 1 else ''}".rstrip("/")
    options = {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False}
    settings = {"urls": {"api": urls}, "options": options, "enableRateLimit": False}
    # The same settings, given to ccxt alone, show where freqtrade's client will ask.
    only_loopback(*ccxt.binance(json.loads(json.dumps(settings))).urls["api"].values())
    prices = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
    types = {"entry": "market", "exit": "market", "stoploss": "market", "stoploss_on_exchange": True, "stoploss_on_exchange_interval": 5}
    return {
        "dry_run": False,
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "stake_currency": "USDT",
        "stake_amount": 500,
        "max_open_trades": 1,
        "exchange": {
            "name": "binance",
            "key": KEY,
            "secret": SECRET,
            "enable_ws": False,
            "ccxt_config": settings,
            "pair_whitelist": ["BTC/USDT:USDT"],
        },
        "pairlists": [{"method": "StaticPairList"}],
        "entry_pricing": prices,
        "exit_pricing": prices,
        "order_types": types,
        "internals": {"process_throttle_secs": 1},
        "db_url": f"sqlite:///{folder}/trades.sqlite",
        "initial_state": "running",
    }


class Bot:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.flags = self.folder / "flags"
        strategies = self.folder / "strategies"
        self.flags.mkdir()
        strategies.mkdir()
        shutil.copy(HERE / "freqtrade_strategy.py", strategies)
        (self.folder / "config.json").write_text(json.dumps(config(self.folder)))
        self.log = open(self.folder / "log", "w")
        command = [sys.executable, "-m", "freqtrade", "trade", "--config", "config.json", "--strategy", "OneTrade"]
        command += ["--strategy-path", "strategies", "--userdir", str(self.folder)]
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdout=self.log, stderr=self.log, env={**os.environ, "SIM_FLAGS": str(self.flags)}
        )

    def says(self, text):
        return text in (self.folder / "log").read_text()

    def trades(self):
        try:
            with sqlite3.connect(f"file:{self.folder}/trades.sqlite?mode=ro", uri=True) as base:
                return base.execute("select is_open, exit_reason, amount from trades order by id").fetchall()
        except sqlite3.OperationalError:
            return []

    def error(self):
        """The first thing that it says has gone wrong."""
        for line in (self.folder / "log").read_text().splitlines():
            if " - WARNING - " in line or " - ERROR - " in line:
                said = line.split(" - ", 3)[-1]
                if "order" in said or "Error" in said:
                    return said[:200]
        return "no error"

    def flag(self, name, there):
        (self.flags / name).touch() if there else (self.flags / name).unlink(missing_ok=True)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
        if os.environ.get("CLIENTS_DEBUG"):
            print((self.folder / "log").read_text(), file=sys.stderr)
        shutil.rmtree(self.folder)


def until(what, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.3)
    return False


def position():
    held = control("GET", "/sim/state")["positions"]
    return held[0]["amount"] if held else "0"


def open_stops():
    return control("GET", "/sim/state")["open_stops"]


def step(name, what, bot, seconds=90):
    done = until(what, seconds)
    if done:
        report(op=name, ok=True)
    else:
        last = (bot.folder / "log").read_text().strip().splitlines()[-3:]
        report(op=name, ok=False, outcome=" / ".join(last)[:400])
    return done


def live():
    control("POST", "/sim/reset")
    bot = Bot()
    try:
        begun = step("freqtrade starts live", lambda: bot.says("state='RUNNING'") or bot.says("Bot heartbeat"), bot, 120)
        if not begun:
            return
        bot.flag("enter", True)
        step("freqtrade opens a trade", lambda: position() != "0", bot)
        bot.flag("enter", False)
        step("freqtrade puts its stop on the exchange", lambda: open_stops() == 1, bot)
        control("POST", "/sim/price", {"symbol": "BTCUSDT", "price": "60000"})
        step("freqtrade sees its stop close the trade", lambda: [row[:2] for row in bot.trades()] == [(0, "stoploss_on_exchange")], bot)
        bot.flag("enter", True)
        step("freqtrade opens another", lambda: position() != "0", bot, 150)
        bot.flag("enter", False)
        step("freqtrade puts a stop again", lambda: open_stops() == 1, bot)
        bot.flag("exit", True)
        step("freqtrade cancels its stop and exits", lambda: [row[:2] for row in bot.trades()][1:] == [(0, "asked_to")], bot)
        step("nothing is left at the venue", lambda: position() == "0" and open_stops() == 0, bot, 10)
    finally:
        bot.end()


def faults():
    """freqtrade orders by itself: it is let in once under each fault that executes, and watched until it rests."""
    for fault in FAULTS:
        if not fault["name"].startswith("executed"):
            continue
        control("POST", "/sim/reset")
        bot = Bot()
        try:
            if not until(lambda: bot.says("state='RUNNING'") or bot.says("Bot heartbeat"), 120):
                report(fault=fault["name"], outcome="it did not start", sent=0, filled=0)
                continue
            control("POST", "/sim/faults", fault["fault"])
            bot.flag("enter", True)
            # Until it has a trade of its own: after an error it waits for half a minute before it goes on.
            until(bot.trades, 90)
            bot.flag("enter", False)
            time.sleep(3)
            orders = control("GET", "/sim/orders")["orders"]
            known = [float(amount) for _, _, amount in bot.trades()]
            outcome = f"{bot.error()}; then it holds {sum(known):g} BTC of {float(position()):g}"
            report(fault=fault["name"], outcome=outcome, sent=len(orders), filled=sum(order["outcome"] == "filled" for order in orders))
        finally:
            bot.end()


if __name__ == "__main__":
    live() if sys.argv[1] == "ops" else faults()
