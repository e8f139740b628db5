//! Binance USDⓈ-M futures testnet over REST, for programs that must not guess.
//!
//! This crate closes positions, moves protective stops and says what became of each order. A submission ends in one of
//! four ways — accepted, rejected, not sent, **unknown** — and an unknown one is asked about, never sent again: there is at
//! most one POST for a client order id. Numbers are exact decimals, what a reply leaves out is absent rather than zero, and
//! what cannot be read is an error that names the field. Orders only ever make a position smaller. It speaks to two test
//! hosts and to loopback and refuses every other address; it follows no redirect, uses no proxy, retries no order, and
//! prints no secret.

mod client;
mod credentials;
mod endpoint;
mod error;
mod fields;
mod host;
mod ledger;
mod limits;
mod names;
mod outcome;
mod position;
mod reply;
mod rules;
mod settings;
mod submission;
mod time;
mod transport;

pub use client::{
    Client, ClockReading, CloseIntent, Evidence, NotExecuted, PreparedOrder, Settlement, StopError,
    StopIntent, StopReplacement, Submitting, Unconfirmed, Unresolved,
};
pub use credentials::{Credentials, CredentialsError};
pub use endpoint::exchange_info::ExchangeInfo;
pub use endpoint::order::OrderReport;
pub use endpoint::stop::StopReport;
pub use endpoint::trades::{RealizedProfit, Trade};
pub use error::{RequestError, SetupError};
pub use fields::DecodeError;
pub use host::{Host, HostError};
pub use ledger::SubmissionStatus;
pub use limits::Usage;
pub use names::{
    ClientAlgoId, ClientOrderId, NameError, OrderStatus, PositionMode, PositionSide, Side,
    StopStatus, Symbol, WorkingType,
};
pub use position::{CloseError, Position};
pub use reply::Reply;
pub use rules::{Grid, Quantity, RuleError, SymbolRules, TriggerPrice};
pub use settings::Settings;
pub use submission::{
    NotSent, NotSentReason, Rejection, SendWindow, Submission, Unknown, UnknownCause,
};
pub use time::{Offset, VenueTime};
