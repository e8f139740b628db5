//! A simulated futures venue over HTTP: the REST interface of the Binance USDⓈ-M test host, on loopback.
//!
//! It reads requests as the venue reads them, and checks what the venue checks, in the venue's own codes and words: key,
//! signature over exactly the bytes sent, time window, parameters, filters, margin, reduce-only and hedge-mode rules. It
//! fills market orders at its mark price, moves position and wallet, and writes the trades. It keeps a log of every order
//! that ever arrived, which is the judge in tests. It can be made to fail, one request at a time, in every way a socket
//! can; and it can read requests strictly, to judge one's own client ([`SimConfig::strict`]).
//!
//! Unmodified clients run on it: ccxt, freqtrade, python-binance and the official Python and JavaScript SDKs
//! (`docs/clients.md` of the repository; `README.md` of this crate has the lines to copy).
//!
//! It never leaves loopback, keeps nothing on disk, knows no client crate, and holds bounded histories.
//!
//! # In a test
//!
//! ```
//! use exchange_sim::{Delivery, Fault, OrderOutcome, Sim, SimConfig, HiddenFor, When};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sim = Sim::start(SimConfig::default().position("BTCUSDT", "0.0124".parse()?)).await?;
//!
//! // The next order is executed, its reply is lost, and two queries do not see it yet.
//! let lost = sim.handle().script(
//!     Fault::executed(When::order(), Delivery::Reset).hide_order(HiddenFor::queries(2)),
//! );
//!
//! // … point the client under test at `sim.url()`, with `SimConfig::API_KEY` and `SimConfig::API_SECRET` …
//!
//! for order in sim.handle().orders() {
//!     println!("{:?} {:?} {}", order.client_order_id, order.outcome, order.executed_qty);
//!     assert_ne!(order.outcome, OrderOutcome::Pending);
//! }
//! println!("the fault was met {} times", sim.handle().fault_hits(lost));
//! sim.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Alone: a bot without keys
//!
//! `apply-layer sim --port 8099` hosts it (through [`serve`]). Point a bot's base address at
//! `http://127.0.0.1:8099`, give it the key `sim-key` and the secret `sim-secret`, and let it trade:
//!
//! ```text
//! curl -s 127.0.0.1:8099/fapi/v1/exchangeInfo
//! curl -s 127.0.0.1:8099/sim                                    # every control page, and what is served
//! curl -s 127.0.0.1:8099/sim/position -d '{"symbol":"BTCUSDT","amount":"0.0124"}'
//! curl -s 127.0.0.1:8099/sim/price    -d '{"symbol":"BTCUSDT","price":"63000"}'
//! curl -s 127.0.0.1:8099/sim/orders                             # what really arrived, and what became of it
//! ```
//!
//! # Control pages
//!
//! JSON in, JSON out; decimals are strings; an unknown field is refused with 400 and changes nothing. Pages of one
//! account read `?account=NAME`; without it they mean the first.
//!
//! | request | body or answer |
//! |---|---|
//! | `GET /sim` | every page with an example body, and every request that is served ([`served`]) |
//! | `GET /sim/state` | server time, mode, wallet, prices, positions, counts |
//! | `GET /sim/missing` | what clients asked for and is not modelled ([`NotModelled`]) |
//! | `POST /sim/reset` | opens the venue anew, as it was at the start |
//! | `GET /sim/orders?from=&limit=&client_id=` | `{"total","dropped","orders":[…]}`, entries as [`OrderRecord`] |
//! | `GET`/`DELETE /sim/requests` | requests by method and path ([`WireCount`]) |
//! | `GET`/`DELETE /sim/faults` | the queue with hits ([`FaultStatus`]) |
//! | `POST /sim/faults` | one [`Fault`] or a list: `{"when":{"method":"POST","path":"/fapi/v1/order"},"times":1,"action":{"executed":{"delivery":"reset","script":{"hide_order":{"for_queries":2}}}}}` |
//! | `POST /sim/position` | `{"symbol","side":"BOTH","amount","entry_price"}` |
//! | `POST /sim/wallet` | `{"balance"}` in USDT |
//! | `POST /sim/price` | `{"symbol","price"}` |
//! | `POST /sim/spread` | `{"symbol","share"}`: how far bid and ask stand from the mark price; market orders fill there |
//! | `POST /sim/clock` | `{"offset_ms"}` |
//! | `POST /sim/mode` | `{"hedge"}` |
//! | `POST /sim/latency` | `{"ms"}` |
//! | `POST /sim/limits` | [`Limits`], or `null` for none |
//! | `POST /sim/symbol` | a [`SymbolSpec`] |
//! | `POST /sim/connections` | `{"reset_next":1,"close_idle":true}` |
//! | `GET /sim/codes` | every documented error code with its status and words ([`VenueCode`]) |
//! | `POST /sim/fill` | `{"client_id"}`: fills what is left of an open order |
//!
//! Actions of a fault: `{"not_executed": "reset" | "close" | "hang" | {"reply": {"status","headers","body"}}}` or
//! `{"executed": {"script": {…}, "delivery": "whole" | "reset" | "close" | "hang" | "cut" | {"slow": {"piece","pause_ms"}} | {"reply": {…}} | {"altered": {"side": "BUY"}}}}` or
//! `{"late": {"after_ms", "instead": …, "script": {…}}}` (answered now, acted on later).
//! A reply is written out, or is a documented code: `{"reply": {"code": -2019}}` has the status and the words of that code.
//! A script may hold `fill` (`{"quantity","price","trades","rest":"expired"|"open"}`), `hide_order`, `hide_trades` and
//! `hide_position` (each `{"for_ms","for_queries"}`).
//!
//! # What is modelled, and what is a choice
//!
//! [`served`] lists the operations; everything else is answered as the test hosts answer an unknown path (404 with -5000),
//! warned about and counted. Codes and texts are those of the venue's documentation and of what users have recorded;
//! replies have the shape of 2026. Seen by users and copied: a filled order frees its client id, so a second order
//! under the same id fills as well; a reduce-only order larger than the position is cut to it, its `origQty` too; a second
//! `closePosition` stop in the same direction is refused (-4130); `closePosition` without a position is -4509;
//! `reduceOnly` in hedge mode is -1106; an order that ended unfilled is forgotten after three days, any after ninety.
//!
//! Ours, where nothing is documented: the order of the checks; the signature must come last; closing more than a
//! hedge-mode leg is -2022; `priceMatch` beside a price is -1106; windows longer than a week are -4165 and `fromId` beside
//! times is -1128; an order that a stop becomes without margin makes it `REJECTED`; a ban (418) comes after ten ignored
//! 429s. Asked for, and off by default: strictness, a filter that no client knows, replies of before 2026-07.
//!
//! Prices: one mark price a symbol, a book of one tick around it, candles and trades of the past made up. The wallet is
//! cross-margin arithmetic in USDT with one table of brackets; what it leaves out stands at the head of
//! `venue/wallet.rs`: funding, liquidation, moving isolated margin. Not modelled: web sockets and user streams, batch
//! orders, changing an order, trailing stops.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod control;
mod drift;
mod error;
mod fault;
mod handle;
mod http;
mod limits;
mod log;
mod params;
mod server;
mod sim;
mod state;
mod symbol;
mod venue;

pub use config::{AccountConfig, ApiKey, Drift, PositionSide, SimConfig};
pub use fault::{
    Action, Canned, CodeMeaning, Delivery, Fault, FaultId, FaultStatus, Fill, HiddenFor, Instead,
    Rest, Script, VenueCode, When, venue_code, venue_codes,
};
pub use handle::SimHandle;
pub use limits::Limits;
pub use log::{OrderOutcome, OrderRecord};
pub use sim::{Sim, serve};
pub use state::WireCount;
pub use symbol::{Lot, SymbolSpec};
pub use venue::{NotModelled, OpenStop, Served, served};
