"""The strategy that freqtrade plays: in while a file says so, out while another does, a stop on the exchange between."""

import os
import pathlib

from freqtrade.strategy import IStrategy

FLAGS = pathlib.Path(os.environ["SIM_FLAGS"])


class OneTrade(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    stoploss = -0.02
    minimal_roi = {}
    can_short = False
    process_only_new_candles = False
    startup_candle_count = 5

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = int((FLAGS / "enter").exists())
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe["exit_long"] = 0
        return dataframe

    def custom_exit(self, pair, trade, current_time, current_rate, current_profit, **kwargs):
        return "asked_to" if (FLAGS / "exit").exists() else None
