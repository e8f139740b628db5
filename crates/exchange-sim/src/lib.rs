//! A strict simulated futures venue over HTTP: the REST interface of the Binance USDⓈ-M test host, on loopback.
//!
//! It checks what the real venue checks, in the venue's own codes and words: key, signature over exactly the bytes
//! sent, time window, every parameter, filters, reduce-only and hedge-mode rules. It fills market orders at its mark
//! price, moves the position and writes the trades. It keeps a log of every order that ever arrived, which is the
//! judge in tests. And it can be told to fail, one request at a time, in every way a socket can.
//!
//! It never leaves loopback, keeps nothing on disk, knows no client crate, and holds bounded histories.
//!
//! # In a test
//!
//! ```
//! use exchange_sim::{Delivery, Fault, OrderOutcome, Sim, SimConfig, Veil, When};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sim = Sim::start(SimConfig::default().position("BTCUSDT", "0.0124".parse()?)).await?;
//!
//! // The next order is executed, its reply is lost, and two queries do not see it yet.
//! let lost = sim.handle().script(
//!     Fault::executed(When::order(), Delivery::Reset).hide_order(Veil::queries(2)),
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
//! `http://127.0.0.1:8099`, give it the key and the secret of [`SimConfig`], and let it trade:
//!
//! ```text
//! curl -s 127.0.0.1:8099/fapi/v1/exchangeInfo
//! curl -s 127.0.0.1:8099/sim                                    # every control page with an example body
//! curl -s 127.0.0.1:8099/sim/position -d '{"symbol":"BTCUSDT","amount":"0.0124"}'
//! curl -s 127.0.0.1:8099/sim/price    -d '{"symbol":"BTCUSDT","price":"63000"}'
//! curl -s 127.0.0.1:8099/sim/orders                             # what really arrived, and what became of it
//! ```
//!
//! # Control pages
//!
//! JSON in, JSON out; decimals are strings; an unknown field is refused with 400 and changes nothing.
//!
//! | request | body or answer |
//! |---|---|
//! | `GET /sim/state` | server time, mode, prices, positions, counts |
//! | `GET /sim/orders?from=&limit=&client_id=` | `{"total","dropped","orders":[…]}`, entries as [`OrderRecord`] |
//! | `GET`/`DELETE /sim/requests` | requests by method and path ([`WireCount`]) |
//! | `GET`/`DELETE /sim/faults` | the queue with hits ([`FaultStatus`]) |
//! | `POST /sim/faults` | one [`Fault`] or a list: `{"when":{"method":"POST","path":"/fapi/v1/order"},"times":1,"action":{"executed":{"delivery":"reset","script":{"hide_order":{"for_queries":2}}}}}` |
//! | `POST /sim/position` | `{"symbol","side":"BOTH","amount","entry_price"}` |
//! | `POST /sim/price` | `{"symbol","price"}` |
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
//! Endpoints: `ping`, `time`, `exchangeInfo`, `premiumIndex`, `positionRisk` (v2, v3), `positionSide/dual`, `order`
//! (POST, GET, DELETE), `openOrders`, `userTrades`, `algoOrder` (POST, GET, DELETE), `openAlgoOrders`.
//! Codes and texts are those of the venue's documentation and of what users have recorded. Seen by users and copied: a
//! filled order frees its client id, so a second order under the same id fills as well; a reduce-only order
//! larger than the position is cut to it, its `origQty` too; a second `closePosition` stop in the same direction
//! is refused (-4130); `closePosition` without a position is -4509; `reduceOnly` in hedge mode is -1106.
//!
//! Ours, where nothing is documented, and always the stricter way: the order of the checks; unknown parameters
//! (-1104) and duplicates across query and body (-1101) are refused; the signature must come last; an off-tick trigger
//! price is -4014; closing more than a hedge-mode leg is -2022; a ban (418) comes after ten ignored 429s.
//!
//! Not modelled: margin and leverage, funding, an order book, PERCENT_PRICE, trailing and limit-type conditional orders,
//! batch orders, streams. One account per venue: all its keys open the same one.
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

pub use config::{ApiKey, Drift, PositionSide, SimConfig};
pub use fault::{
    Action, Canned, CodeMeaning, Delivery, Fault, FaultId, FaultStatus, Fill, Instead, Rest,
    Script, Veil, VenueCode, When, venue_code, venue_codes,
};
pub use handle::SimHandle;
pub use limits::Limits;
pub use log::{OrderOutcome, OrderRecord};
pub use sim::{Sim, serve};
pub use state::WireCount;
pub use symbol::{Lot, SymbolSpec};
pub use venue::OpenStop;
