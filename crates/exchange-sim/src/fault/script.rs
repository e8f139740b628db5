//! How an execution is bent: what fills, and what stays out of sight afterwards.

use super::{millis, one};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Keeps something out of sight after it happened: until the time has passed and the queries are used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HiddenFor {
    /// Milliseconds of the server's clock.
    pub for_ms: u64,
    /// This many queries that would have shown it see nothing.
    pub for_queries: u32,
}

impl HiddenFor {
    /// Hidden for a time.
    pub fn time(time: Duration) -> Self {
        Self {
            for_ms: millis(time),
            for_queries: 0,
        }
    }

    /// Hidden from the next `n` queries.
    pub fn queries(n: u32) -> Self {
        Self {
            for_ms: 0,
            for_queries: n,
        }
    }
}

/// What becomes of the part of an order that a script leaves unfilled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// The order ends as `EXPIRED`.
    #[default]
    Expired,
    /// The order stays open as `NEW` or `PARTIALLY_FILLED`; [`SimHandle::fill_open_order`](crate::SimHandle::fill_open_order) fills it.
    Open,
}

/// How a MARKET order fills, when not whole and at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// At most this much fills, in the base asset; `None`: all of it.
    #[serde(default, with = "rust_decimal::serde::str_option")]
    pub quantity: Option<Decimal>,
    /// Price of the fill in USDT; `None`: the mark price.
    #[serde(default, with = "rust_decimal::serde::str_option")]
    pub price: Option<Decimal>,
    /// In how many trades; as many as there are steps at most.
    #[serde(default = "one")]
    pub trades: u32,
    /// What becomes of the rest.
    #[serde(default)]
    pub rest: Rest,
}

impl Default for Fill {
    fn default() -> Self {
        Self {
            quantity: None,
            price: None,
            trades: 1,
            rest: Rest::Expired,
        }
    }
}

impl Fill {
    /// Fills this much and lets the rest expire.
    pub fn only(quantity: Decimal) -> Self {
        Self {
            quantity: Some(quantity),
            ..Self::default()
        }
    }

    /// Fills nothing: the order ends as `EXPIRED`.
    pub fn nothing() -> Self {
        Self::only(Decimal::ZERO)
    }

    /// Fills everything in `n` trades.
    pub fn in_trades(n: u32) -> Self {
        Self {
            trades: n,
            ..Self::default()
        }
    }

    /// The same fill at this price.
    #[must_use]
    pub fn at(mut self, price: Decimal) -> Self {
        self.price = Some(price);
        self
    }

    /// The same fill, with the rest left open.
    #[must_use]
    pub fn rest_open(mut self) -> Self {
        self.rest = Rest::Open;
        self
    }
}

/// What a request's execution is bent to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// How a MARKET order fills.
    pub fill: Option<Fill>,
    /// The order (or conditional order) exists, but queries say -2013.
    pub hide_order: Option<HiddenFor>,
    /// The trades exist, but `userTrades` leaves them out.
    pub hide_trades: Option<HiddenFor>,
    /// The position has moved, but `positionRisk` shows it as it was.
    pub hide_position: Option<HiddenFor>,
}
