"""Writes answers of the official Python SDK's response models into a folder, one a file.

    sdk_answers.py FOLDER      scripts/sdk-answers runs it and has our client read them
"""

import importlib
import json
import pathlib
import sys
import typing

MODELS = "binance_sdk_derivatives_trading_usds_futures.rest_api.models"

# Endpoint, model, and whether the answer is a list of it.
ANSWERS = [
    ("GET /fapi/v1/time", "CheckServerTimeResponse", False),
    ("GET /fapi/v1/exchangeInfo", "ExchangeInformationResponse", False),
    ("GET /fapi/v1/premiumIndex", "MarkPriceResponse1", False),
    ("GET /fapi/v1/positionSide/dual", "GetCurrentPositionModeResponse", False),
    ("GET /fapi/v3/positionRisk", "PositionInformationV3ResponseInner", True),
    ("GET /fapi/v1/order", "QueryOrderResponse", False),
    ("POST /fapi/v1/order", "NewOrderResponse", False),
    ("GET /fapi/v1/userTrades", "AccountTradeListResponseInner", True),
    ("GET /fapi/v1/algoOrder", "QueryAlgoOrderResponse", False),
    ("POST /fapi/v1/algoOrder", "NewAlgoOrderResponse", False),
    ("GET /fapi/v1/openAlgoOrders", "CurrentAllAlgoOpenOrdersResponseInner", True),
    ("DELETE /fapi/v1/algoOrder", "CancelAlgoOrderResponse", False),
]

# What stands for a value, by the field's name; what is not here is made of its type.
VALUES = {
    "algoId": 21, "algoStatus": "NEW", "algoType": "CONDITIONAL", "avgPrice": "64000.10", "clientAlgoId": "al-1",
    "clientOrderId": "al-1", "closePosition": False, "commission": "0.05", "commissionAsset": "USDT",
    "contractType": "PERPETUAL", "cumQuote": "576.0009", "dualSidePosition": False, "entryPrice": "64000.0",
    "executedQty": "0.009", "filterType": "LOT_SIZE", "id": 3, "interval": "MINUTE", "intervalNum": 1, "limit": 1200,
    "marginAsset": "USDT", "markPrice": "64000.10", "maxPrice": "4529764", "maxQty": "1000", "minPrice": "0.1",
    "minQty": "0.001", "notional": "50", "orderId": 7, "orderType": "STOP_MARKET", "origQty": "0.009",
    "origType": "MARKET", "positionAmt": "0.0124", "positionSide": "BOTH", "price": "64000", "pricePrecision": 1,
    "qty": "0.009", "quantity": "0.009", "quantityPrecision": 3, "rateLimitType": "ORDERS", "realizedPnl": "0.1",
    "reduceOnly": True, "serverTime": 1790000000000, "side": "SELL", "status": "FILLED", "stepSize": "0.001",
    "symbol": "BTCUSDT", "tickSize": "0.1", "time": 1790000000000, "triggerPrice": "60000", "type": "MARKET",
    "unRealizedProfit": "0.00", "updateTime": 1790000000000, "workingType": "MARK_PRICE",
}
# Where the same name means something else.
INSIDE = {"ExchangeInformationResponseSymbolsInner": {"status": "TRADING"}}
# The seven filters are one model.
FILTERS = {
    "PRICE_FILTER": ("maxPrice", "minPrice", "tickSize"),
    "LOT_SIZE": ("maxQty", "minQty", "stepSize"),
    "MARKET_LOT_SIZE": ("maxQty", "minQty", "stepSize"),
    "MAX_NUM_ORDERS": ("limit",),
    "MIN_NOTIONAL": ("notional",),
    "PERCENT_PRICE": ("multiplierUp", "multiplierDown", "multiplierDecimal"),
    "POSITION_RISK_CONTROL": ("positionControlSide",),
}


def load(name):
    """The class of this name; its file is the name in snake case."""
    snake = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")
    return getattr(importlib.import_module(f"{MODELS}.{snake}"), name)


def value(annotation, name, inside):
    known = {**VALUES, **INSIDE.get(inside, {})}
    if name in known:
        return known[name]
    arguments = [one for one in typing.get_args(annotation) if one is not type(None)]
    if typing.get_origin(annotation) is list:
        return rows(arguments[0], name)
    if hasattr(annotation, "model_fields"):
        return whole(annotation)
    if typing.get_origin(annotation) in (typing.Union, getattr(__import__("types"), "UnionType", None)):
        return value(arguments[0], name, inside)
    if hasattr(annotation, "__metadata__") or arguments:
        return value(arguments[0], name, inside) if arguments else "1"
    return {str: "1", int: 1, bool: False, float: 1.0}.get(annotation, "1")


def rows(annotation, name):
    if name == "filters":
        filters = []
        for kind, fields in FILTERS.items():
            row = whole(annotation)
            filters.append({"filterType": kind, **{field: row[field] for field in fields if field in row}})
        return filters
    return [value(annotation, name, name)]


def whole(model):
    answer = {}
    for name, field in model.model_fields.items():
        if name == "additional_properties":
            continue
        alias = field.alias or name
        answer[alias] = value(field.annotation, alias, model.__name__)
    return answer


def forms(text):
    """A number as the venue may print it: with an exponent, and as a JSON number."""
    try:
        float(text)
    except ValueError:
        return []
    whole_part, _, places = text.partition(".")
    digits = (whole_part + places).lstrip("0") or "0"
    return [("exponent", f"{digits}E-{len(places)}"), ("number", json.loads(text))]


def variants(row):
    """Every answer that differs in one field: what is changed, which field, the row."""
    yield "whole", None, row
    for field in row:
        yield "left out", field, {name: one for name, one in row.items() if name != field}
        yield "null", field, {**row, field: None}
        if isinstance(row[field], str):
            for form, written in forms(row[field]):
                yield form, field, {**row, field: written}


def main(folder):
    folder.mkdir()
    count = 0
    for endpoint, name, listed in ANSWERS:
        model = load(name)
        row = whole(model)
        # The SDK's own reading, so that a mistake here is not taken for one of theirs.
        model.model_validate(row)
        inner = []
        if name == "ExchangeInformationResponse":
            symbol = row["symbols"][0]
            inner = [
                (change, field, {**row, "symbols": [changed]})
                for change, field, changed in variants(symbol)
                if field is not None
            ]
        for change, field, changed in [*variants(row), *inner]:
            answer = {
                "endpoint": endpoint, "model": name, "change": change, "field": field,
                "body": [changed] if listed else changed,
            }
            count += 1
            (folder / f"{count:04}.json").write_text(json.dumps(answer))
    print(f"{count} answers of {len(ANSWERS)} models")


main(pathlib.Path(sys.argv[1]))
