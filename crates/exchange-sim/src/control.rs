//! `/sim/…`: the same screws and logs as [`SimHandle`](crate::SimHandle), over HTTP, for a venue in a process of its own.
//!
//! Requests under `/sim` need no key, are not counted, and no fault touches them. Decimals are JSON strings in both
//! directions; a field that is not known is refused.

use crate::{
    config::PositionSide,
    fault::{Fault, peek, venue_codes},
    handle::SimHandle,
    http::{Reply, Request},
    limits::Limits,
    state::Shared,
    symbol::{MAX_AMOUNT, SymbolSpec},
    venue::served,
};
use rust_decimal::Decimal;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPosition {
    symbol: String,
    #[serde(default)]
    side: PositionSide,
    #[serde(with = "rust_decimal::serde::str")]
    amount: Decimal,
    #[serde(default, with = "rust_decimal::serde::str_option")]
    entry_price: Option<Decimal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPrice {
    symbol: String,
    #[serde(with = "rust_decimal::serde::str")]
    price: Decimal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetSpread {
    symbol: String,
    #[serde(with = "rust_decimal::serde::str")]
    share: Decimal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetWallet {
    #[serde(with = "rust_decimal::serde::str")]
    balance: Decimal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetClock {
    offset_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetMode {
    hedge: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLatency {
    ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetConnections {
    #[serde(default)]
    reset_next: u32,
    #[serde(default)]
    close_idle: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FillOrder {
    client_id: String,
}

/// Why a control request was refused; the text goes back with status 400.
type Refusal = String;

pub(crate) fn answer(shared: &Arc<Shared>, request: &Request) -> Reply {
    let mut handle = SimHandle::new(Arc::clone(shared));
    if let Some(account) = peek(request, "account") {
        let Some(named) = handle.on(&account) else {
            let error = json!({"error": format!("no account {account}")});
            return Reply::json(400, error.to_string());
        };
        handle = named;
    }
    let name = request.path.trim_start_matches("/sim").trim_matches('/');
    let result = match (request.method.as_str(), name) {
        ("GET", "") => Ok(help()),
        ("GET", "state") => Ok(state(&handle)),
        ("GET", "orders") => orders(&handle, request),
        ("POST", "reset") => {
            handle.reset();
            Ok(done())
        }
        ("GET", "missing") => Ok(json!({"missing": handle.not_modelled()})),
        ("POST", "wallet") => read(request).and_then(|SetWallet { balance }| {
            if balance.abs() > MAX_AMOUNT {
                return Err(format!("no wallet holds {balance}"));
            }
            handle.set_wallet(balance);
            Ok(done())
        }),
        ("POST", "spread") => set_spread(&handle, request),
        ("GET", "codes") => Ok(json!({"codes": venue_codes()})),
        ("GET", "requests") => Ok(json!({"requests": handle.requests()})),
        ("DELETE", "requests") => {
            handle.clear_requests();
            Ok(done())
        }
        ("GET", "faults") => Ok(json!({"faults": handle.faults()})),
        ("DELETE", "faults") => {
            handle.clear_faults();
            Ok(done())
        }
        ("POST", "faults") => add_faults(&handle, request),
        ("POST", "position") => set_position(&handle, request),
        ("POST", "price") => set_price(&handle, request),
        ("POST", "clock") => read(request)
            .map(|SetClock { offset_ms }| handle.set_clock_offset_ms(offset_ms))
            .map(|()| done()),
        ("POST", "mode") => read(request)
            .map(|SetMode { hedge }| handle.set_hedge_mode(hedge))
            .map(|()| done()),
        ("POST", "latency") => read(request)
            .map(|SetLatency { ms }| handle.set_latency(Duration::from_millis(ms)))
            .map(|()| done()),
        ("POST", "limits") => read(request)
            .map(|limits: Option<Limits>| handle.set_limits(limits))
            .map(|()| done()),
        ("POST", "symbol") => read(request)
            .and_then(|spec: SymbolSpec| handle.shared.lock().venue.set_symbol(spec))
            .map(|()| done()),
        ("POST", "connections") => read(request).map(|wanted: SetConnections| {
            handle.reset_next_connections(wanted.reset_next);
            if wanted.close_idle {
                handle.close_idle_connections();
            }
            done()
        }),
        ("POST", "fill") => read(request)
            .map(|FillOrder { client_id }| json!({"filled": handle.fill_open_order(&client_id)})),
        _ => {
            return Reply::json(
                404,
                json!({"error": format!("no {} {}; see GET /sim", request.method, request.path)})
                    .to_string(),
            );
        }
    };
    match result {
        Ok(body) => Reply::json(200, body.to_string()),
        Err(refusal) => Reply::json(400, json!({"error": refusal}).to_string()),
    }
}

fn read<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    serde_json::from_str(&request.body).map_err(|error| error.to_string())
}

fn done() -> Value {
    json!({"ok": true})
}

fn add_faults(handle: &SimHandle, request: &Request) -> Result<Value, Refusal> {
    let faults: Vec<Fault> = if request.body.trim_start().starts_with('[') {
        read(request)?
    } else {
        vec![read(request)?]
    };
    faults.iter().try_for_each(Fault::check)?;
    let ids: Vec<_> = faults
        .into_iter()
        .map(|fault| handle.script(fault))
        .collect();
    Ok(json!({"ids": ids}))
}

fn set_position(handle: &SimHandle, request: &Request) -> Result<Value, Refusal> {
    let SetPosition {
        symbol,
        side,
        amount,
        entry_price,
    } = read(request)?;
    let set = handle.shared.lock().venue.set_position(
        handle.account_number(),
        &symbol,
        side,
        amount,
        entry_price,
    );
    set.then(done)
        .ok_or_else(|| format!("no symbol {symbol}, or a figure out of range"))
}

fn set_spread(handle: &SimHandle, request: &Request) -> Result<Value, Refusal> {
    let SetSpread { symbol, share } = read(request)?;
    let set = handle.shared.lock().venue.set_spread(&symbol, share);
    set.then(done)
        .ok_or_else(|| format!("no symbol {symbol}, or no share from 0 to below 1: {share}"))
}

fn set_price(handle: &SimHandle, request: &Request) -> Result<Value, Refusal> {
    let SetPrice { symbol, price } = read(request)?;
    let moved = handle.shared.lock().venue.set_mark_price(&symbol, price);
    moved
        .then(done)
        .ok_or_else(|| format!("no symbol {symbol}, or no such price: {price}"))
}

/// Entries from `from` (a `seq`) on, at most `limit`, optionally of one `client_id`.
fn orders(handle: &SimHandle, request: &Request) -> Result<Value, Refusal> {
    let number = |name: &str, otherwise: u64| match peek(request, name) {
        None => Ok(otherwise),
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| format!("{name} is not a whole number")),
    };
    let from = number("from", 0)?;
    let limit = usize::try_from(number("limit", u64::MAX)?).unwrap_or(usize::MAX);
    let client_id = peek(request, "client_id");
    let state = handle.shared.lock();
    let entries: Vec<_> = state
        .orders
        .records()
        .filter(|record| record.seq >= from)
        .filter(|record| client_id.is_none() || record.client_order_id == client_id)
        .take(limit)
        .collect();
    Ok(json!({"total": state.orders.total(), "dropped": state.orders.dropped(), "orders": entries}))
}

fn state(handle: &SimHandle) -> Value {
    let state = handle.shared.lock();
    let venue = &state.venue;
    let prices: serde_json::Map<String, Value> = venue
        .mark_prices()
        .map(|(symbol, market)| (symbol.to_owned(), json!(market.mark_price.to_string())))
        .collect();
    let account = venue.account(handle.account_number());
    let positions: Vec<Value> = account
        .into_iter()
        .flat_map(|account| account.held())
        .map(|(symbol, side, position)| {
            json!({
                "symbol": symbol,
                "side": side,
                "amount": position.amount.to_string(),
                "entry_price": position.entry_price.to_string(),
            })
        })
        .collect();
    json!({
        "server_time": venue.server_time(),
        "clock_offset_ms": venue.clock_offset_ms(),
        "hedge_mode": account.is_some_and(|account| account.is_in_hedge_mode()),
        "wallet": account.map(|account| account.wallet_balance().to_string()),
        "prices": prices,
        "positions": positions,
        "open_orders": account.map_or(0, |account| account.open_orders_count()),
        "open_stops": account.map_or(0, |account| account.open_stops_count()),
        "orders": state.orders.total(),
        "orders_dropped": state.orders.dropped(),
        "times_left_bare": account.map_or(0, |account| account.times_left_bare()),
        "not_modelled": venue.missing().len(),
    })
}

fn help() -> Value {
    let served: Vec<String> = served()
        .map(|served| {
            let signed = if served.signed { ", signed" } else { "" };
            format!("{} {}{signed}", served.method, served.path)
        })
        .collect();
    json!({
        "control": control_pages(),
        "account": "pages of one account read ?account=<name>; without it they mean the first",
        "served": served,
        "not modelled": "everything else: 404 with -5000; GET /sim/missing lists what was asked for",
    })
}

fn control_pages() -> Value {
    json!({
        "GET /sim/state": "clock, mode, wallet, prices, positions, counts",
        "GET /sim/orders": "the order log; ?from=<seq>&limit=<n>&client_id=<id>",
        "GET /sim/missing": "requests that are not modelled, with how often they came",
        "GET /sim/codes": "every documented error code with its status and words, for faults",
        "GET /sim/requests": "requests by method and path; DELETE sets them to zero",
        "GET /sim/faults": "the fault queue with hits; DELETE empties it",
        "POST /sim/faults": {"when": {"method": "POST", "path": "/fapi/v1/order", "symbol": "BTCUSDT", "client_id": null, "skip": 0}, "times": 1, "delay_before_ms": 0, "delay_after_ms": 0, "action": {"executed": {"script": {}, "delivery": "reset"}}},
        "POST /sim/reset": "opens the venue anew, as it was at the start",
        "POST /sim/position": {"symbol": "BTCUSDT", "side": "BOTH", "amount": "0.0124", "entry_price": "64000"},
        "POST /sim/wallet": {"balance": "10000"},
        "POST /sim/price": {"symbol": "BTCUSDT", "price": "63000"},
        "POST /sim/spread": {"symbol": "BTCUSDT", "share": "0.001"},
        "POST /sim/clock": {"offset_ms": 0},
        "POST /sim/mode": {"hedge": false},
        "POST /sim/latency": {"ms": 0},
        "POST /sim/limits": {"weight_per_minute": 6000, "orders_per_10s": 300, "orders_per_minute": 1200, "grace": 10, "ban_seconds": 120, "retry_after": true},
        "POST /sim/symbol": SymbolSpec::btcusdt(),
        "POST /sim/connections": {"reset_next": 0, "close_idle": false},
        "POST /sim/fill": {"client_id": "an-open-order"},
    })
}
