//! Binance USDⓈ-M futures testnet over REST, for programs that must not guess.
//!
//! This crate closes positions, moves protective stops and says what became of each order. A submission ends in one of
//! four ways — accepted, rejected, not sent, **unknown** — and an unknown one is asked about, never sent again: there is at
//! most one POST for a client order id. Numbers are exact decimals, what a reply leaves out is absent rather than zero, and
//! what cannot be read, or contradicts what was sent, is an error that names the field. Orders only ever make a position smaller. It speaks to two test
//! hosts and to loopback and refuses every other address; it follows no redirect, uses no proxy, retries no order, and
//! prints no secret.
//!
//! # A close, from end to end
//!
//! ```
//! use std::time::Duration;
//! use exchange_client::{Client, Credentials, Settings, Settlement, Submission};
//! # use exchange_sim::{Sim, SimConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let sim = Sim::start(SimConfig::default().position("BTCUSDT", "0.0124".parse()?)).await?;
//! # let (host, key, secret) = (sim.url(), SimConfig::API_KEY, SimConfig::API_SECRET);
//! let client = Client::new(host.parse()?, Credentials::hmac(key, secret)?, Settings::default())?;
//! client.warm_up().await?;
//!
//! // Ahead of the decision: everything but the quantity.
//! let symbol = "BTCUSDT".parse()?;
//! let positions = client.fetch_positions(Some(&symbol)).await?;
//! let rules = client.fetch_rules(&symbol).await?;
//! let mode = client.fetch_position_mode().await?;
//! let order = client.prepare_close(&positions[0], mode, &rules, "al-67e6da21fa9fe506".parse()?)?;
//! let intent = order.intent().clone(); // write this down
//!
//! // Once it is decided: one POST.
//! let quantity = rules.cut_quantity("0.009000000000000001".parse()?)?;
//! match client.submit(order, quantity).await {
//!     Submission::Accepted(report) => assert_eq!(report.executed_quantity.to_string(), "0.009"),
//!     Submission::Rejected(no) => println!("the venue said no: {no}"),
//!     Submission::NotSent(not) => println!("nothing happened: {not}"),
//!     Submission::Unknown(unknown) => match client.settle(&intent, unknown.window, Duration::from_secs(10)).await {
//!         Settlement::Filled(report) => println!("it was executed: {}", report.executed_quantity),
//!         Settlement::NotExecuted(_) => println!("it was not, and there is evidence"),
//!         Settlement::Unresolved(why) => println!("a person has to look: {why}"),
//!     },
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What stands where
//!
//! | to | use |
//! |---|---|
//! | say which server | [`Host`], an allow-list by construction |
//! | sign | [`Credentials`]: HMAC or Ed25519, wiped, never printed |
//! | bring a number into the rules | [`SymbolRules::cut_quantity`], [`SymbolRules::round_trigger`] |
//! | close a position | [`Client::prepare_close`], [`Client::submit`], [`Submission`] |
//! | have the last word before an order leaves | [`LastLook`], [`Client::submit_after`], [`Client::replace_stop_after`] |
//! | find out what became of an unknown order | [`Client::settle`], [`Settlement`] |
//! | know what it earned | [`Client::fetch_profit`], [`RealizedProfit`] |
//! | move a protective stop | [`StopIntent`], [`Client::replace_stop`], [`StopReplacement`] |
//! | find out what became of an unconfirmed stop | [`Client::settle_stop`], [`StopSettlement`] |
//! | know what a code of the venue says and what to do about it | [`advice`], [`is_listed_code`] |
//! | watch | [`Client::clock`], [`Client::usage`], [`Client::open_submissions`], [`Client::status`] |
//!
//! # Sources
//!
//! Endpoints, codes, limits and the meaning of the 503 texts are those of the venue's documentation for USDⓈ-M futures
//! (general info, error codes, change log). Where it leaves something open, the code takes the answer that cannot close a
//! position twice and says so at the place. `exchange-sim` plays the venue's side in every test.

mod client;
mod codes;
mod credentials;
mod endpoint;
mod error;
mod fields;
mod host;
mod last_look;
mod limits;
mod names;
mod omissions;
mod outcome;
mod position;
mod reply;
mod rules;
mod sent;
mod settings;
mod submission;
mod submission_log;
mod time;
mod transport;

pub use client::{
    Client, ClockReading, Departure, Evidence, NotExecuted, PreparedOrder, RefusalCount,
    SettleDeadlines, Settlement, StopError, StopIntent, StopReplacement, StopSettlement,
    Submitting, Unconfirmed, Unresolved,
};
pub use codes::{Submitted, advice, is_listed_code};
pub use credentials::{Credentials, CredentialsError};
pub use endpoint::exchange_info::ExchangeInfo;
pub use endpoint::order::OrderReport;
pub use endpoint::stop::StopReport;
pub use endpoint::trades::{RealizedProfit, Trade};
pub use error::{RequestError, SetupError};
pub use fields::DecodeError;
pub use host::{Host, HostError};
pub use last_look::{LastLook, Look};
pub use limits::Usage;
pub use names::{
    ClientAlgoId, ClientOrderId, NameError, OrderStatus, PositionMode, PositionSide, Side,
    StopStatus, Symbol, WorkingType,
};
pub use omissions::{Omission, OmissionCount};
pub use position::{CloseError, Position};
pub use reply::Reply;
pub use rules::{Grid, Quantity, RuleError, SymbolRules, TriggerPrice};
pub use sent::{CloseIntent, StopTrace};
pub use settings::Settings;
pub use submission::{
    LANDING_SLACK, NotSent, NotSentReason, Rejection, SendWindow, Submission, Unknown, UnknownCause,
};
pub use submission_log::SubmissionStatus;
pub use time::{Offset, VenueTime};
