"""What every run of a Python client shares: the venue's address, one JSON line a result, and the faults."""

import json
import os
import sys
import traceback
import urllib.parse
import urllib.request

URL = os.environ["SIM_URL"]
KEY = os.environ["SIM_KEY"]
SECRET = os.environ["SIM_SECRET"]
SYMBOL = "BTCUSDT"
# The one place that says how a fault is asked for; the driver hands it over.
FAULTS = json.loads(os.environ.get("SIM_FAULTS", "[]"))


def only_loopback(*urls):
    """Stops before anything is sent where one of these addresses is not on this machine."""
    for url in urls:
        host = urllib.parse.urlsplit(url).hostname
        if host not in ("127.0.0.1", "localhost"):
            sys.exit(f"not on loopback, so nothing is sent: {url}")


only_loopback(URL)


def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=data, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def report(**row):
    print(json.dumps(row), flush=True)


def brief(error):
    text = " ".join(str(error).split())
    name = type(error).__name__
    return name if not text else f"{name}: {text[:160]}"


def op(name, call, check=None):
    """Does one operation and prints how it went; the result goes back for the next one."""
    try:
        result = call()
        if check is not None and not check(result):
            raise AssertionError(f"not what was expected: {str(result)[:300]}")
        report(op=name, ok=True)
        return result
    except Exception as error:  # every error of a client is a result here
        if os.environ.get("CLIENTS_DEBUG"):
            traceback.print_exc()
        report(op=name, ok=False, outcome=brief(error))
        return None


def absent(*names):
    """Operations that the client has no call for."""
    for name in names:
        report(op=name, ok=None)


def run_faults(place, open_again):
    """Places one market order under each fault: what the caller got, and what the venue has.

    `place(client_id)` answers a sentence or raises; `open_again()` makes a client without open connections.
    """
    for number, fault in enumerate(FAULTS):
        control("POST", "/sim/reset")
        open_again()
        control("POST", "/sim/faults", fault["fault"])
        try:
            outcome = place(f"fault-{number}")
        except Exception as error:
            outcome = brief(error)
        orders = control("GET", "/sim/orders")["orders"]
        report(
            fault=fault["name"],
            outcome=outcome,
            sent=len(orders),
            filled=sum(order["outcome"] == "filled" for order in orders),
        )
