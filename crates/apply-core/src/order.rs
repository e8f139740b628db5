//! What an order is and what the venue says of it: exact decimals, and the venue's own words.

use crate::{plan::Step, text};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// The two things a plan may place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// A close at the market.
    Close,
    /// A protective stop.
    Stop,
}

impl OrderKind {
    /// What the step of this name places.
    pub fn of_step(step: &str) -> Self {
        match step == Step::MOVE_STOP {
            true => Self::Stop,
            false => Self::Close,
        }
    }
}

/// Which way an order trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Side {
    /// Closes a short position.
    Buy,
    /// Closes a long position.
    Sell,
}

impl Side {
    /// The side that reduces a signed position; `None` for a flat one.
    pub fn closing(position: Decimal) -> Option<Self> {
        match position {
            p if p > Decimal::ZERO => Some(Self::Sell),
            p if p < Decimal::ZERO => Some(Self::Buy),
            _ => None,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buy => "BUY",
            Self::Sell => "SELL",
        })
    }
}

/// A symbol's live position, and the context in which an order on it can be placed at once.
#[derive(Debug)]
pub struct Position<D> {
    /// Signed, in base units: positive is long, zero is flat.
    pub amount: Decimal,
    /// The mark price as the position was read, in quote units; none where the venue gave none. A stop needs one.
    pub mark_price: Option<Decimal>,
    /// Everything about the coming order that is known before its permits are.
    pub context: D,
}

/// What is needed to ask about an order later, in this process or another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTrace {
    /// Which way it trades.
    pub side: Side,
    /// Which of the symbol's positions it closes, in the venue's word: `BOTH`, `LONG`, `SHORT`.
    pub position_side: String,
    /// The signed position before it, in base units.
    #[serde(with = "text::optional")]
    pub position_before: Option<Decimal>,
    /// The most that was sent, in base units: the order's quantity, or the whole position while the quantity is not
    /// decided. What the venue reports beyond it is not believed.
    #[serde(
        with = "text::optional",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub at_most: Option<Decimal>,
    /// Not signed before this moment, in milliseconds since 1970 on the venue's clock.
    pub signed_from: u64,
    /// Not signed after this moment, on the same clock.
    pub signed_until: u64,
    /// How long after its signing the venue may still take it.
    #[serde(with = "text::millis", rename = "receive_window_ms")]
    pub receive_window: Duration,
}

/// What the venue says about an accepted order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// The venue's order id.
    pub order_id: String,
    /// Which way.
    pub side: Side,
    /// The quantity that was ordered, in base units.
    pub quantity: Decimal,
    /// The quantity that really traded, in base units.
    pub executed_qty: Decimal,
    /// The average price, where the venue gave one; never 0 for "unknown".
    pub average_price: Option<Decimal>,
    /// The venue's status word, a final one: `FILLED`.
    pub status: String,
}

/// What an order earned, in quote units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profit {
    /// Realised before commission.
    #[serde(with = "text")]
    pub realized: Decimal,
    /// Realised less commission, where the commission was paid in the quote asset.
    #[serde(with = "text::optional")]
    pub net: Option<Decimal>,
    /// The commission and its asset, one entry an asset.
    #[serde(with = "text::amounts")]
    pub commission: Vec<(String, Decimal)>,
    /// The average price of the fills, where known.
    #[serde(
        with = "text::optional",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub average_price: Option<Decimal>,
}

/// A protective stop that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopPlaced {
    /// The venue's id of the new stop.
    pub order_id: String,
    /// Which way it will trade.
    pub side: Side,
    /// The trigger as placed, cut to the tick, in quote units.
    pub trigger: Decimal,
    /// How much it is over, in base units, where known.
    pub quantity: Option<Decimal>,
    /// Old stops that were cancelled after the new one was confirmed.
    pub cancelled: Vec<String>,
    /// Old stops that still guard beside the new one: they could not be cancelled, or the new one is over less than they
    /// are.
    pub left_over: Vec<String>,
}

/// Cuts quantities to what the venue takes.
pub trait QuantityRules: fmt::Debug + Send + Sync {
    /// The largest quantity the venue accepts for a market order that is not above `wanted`, or
    /// why there is none.
    fn cut(&self, wanted: Decimal) -> Result<Decimal, String>;

    /// The largest quantity of a market order, in base units; `None` where the venue sets none.
    fn maximum(&self) -> Option<Decimal>;
}

/// How the quantity of a close came about, in base units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizing {
    /// The least of what each permit allows.
    pub approved: Decimal,
    /// What is sent.
    pub sent: Decimal,
    /// The size of the position before.
    pub held: Decimal,
    /// What made less of it than was approved, in the order in which it did.
    pub limited_by: Vec<Limit>,
}

/// Why less is sent than the permits allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The position is smaller than the reviewers saw or allowed for.
    PositionShrank,
    /// The plan closes no more than its share.
    PlanShare,
    /// The venue takes no larger market order.
    VenueMaximum,
    /// The venue takes multiples of its step.
    Step,
}

impl Limit {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::PositionShrank,
        Self::PlanShare,
        Self::VenueMaximum,
        Self::Step,
    ];

    /// As one word: in results and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PositionShrank => "position_shrank",
            Self::PlanShare => "plan_share",
            Self::VenueMaximum => "venue_maximum",
            Self::Step => "step",
        }
    }
}

impl Sizing {
    /// What is left of the position once so much of the order has filled.
    pub fn left_open(&self, filled: Decimal) -> Decimal {
        (self.held - filled).max(Decimal::ZERO)
    }

    /// What made less of it, as words with commas; `None` where nothing did.
    pub fn limits(&self) -> Option<String> {
        let words: Vec<&str> = self.limited_by.iter().map(|limit| limit.as_str()).collect();
        (!words.is_empty()).then(|| words.join(","))
    }

    /// Whether less is sent than anybody asked for: somebody should know.
    pub fn is_cut(&self) -> bool {
        let cut = [Limit::PositionShrank, Limit::VenueMaximum];
        self.limited_by.iter().any(|limit| cut.contains(limit))
    }
}
