//! Orders and their trades, and how long they are kept.

use crate::{config::PositionSide, fault::HiddenFor};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Share of the notional taken as commission, by the side of the book: 0.05 % and 0.02 %.
pub(super) const TAKER_FEE: Decimal = Decimal::from_parts(5, 0, 0, false, 4);
pub(super) const MAKER_FEE: Decimal = Decimal::from_parts(2, 0, 0, false, 4);

/// How long the venue answers for an order that ended without a fill, and for any other.
const UNFILLED_KNOWN_MS: i64 = 3 * 86_400_000;
const KNOWN_MS: i64 = 90 * 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Side {
    Buy,
    Sell,
}

impl Side {
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word {
            "BUY" => Some(Self::Buy),
            "SELL" => Some(Self::Sell),
            _ => None,
        }
    }

    /// `quantity` with the sign that this side gives it.
    pub(super) fn signed(self, quantity: Decimal) -> Decimal {
        match self {
            Self::Buy => quantity,
            Self::Sell => -quantity,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Kind {
    Market,
    Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum TimeInForce {
    Gtc,
    Ioc,
    Fok,
    Gtx,
    Gtd,
    /// Post-only, as GTX; the venue keeps such orders for people who trade by hand.
    Rpi,
}

impl TimeInForce {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "GTC" => Self::Gtc,
            "IOC" => Self::Ioc,
            "FOK" => Self::Fok,
            "GTX" => Self::Gtx,
            "GTD" => Self::Gtd,
            "RPI" => Self::Rpi,
            _ => return None,
        })
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
            Self::Gtx => "GTX",
            Self::Gtd => "GTD",
            Self::Rpi => "RPI",
        }
    }

    /// Whether an order may only rest, never take.
    pub(super) fn is_post_only(self) -> bool {
        matches!(self, Self::Gtx | Self::Rpi)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    New,
    PartiallyFilled,
    Filled,
    Canceled,
    Expired,
}

impl Status {
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::New | Self::PartiallyFilled)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Trade {
    pub(super) id: u64,
    pub(super) price: Decimal,
    pub(super) quantity: Decimal,
    pub(super) commission: Decimal,
    pub(super) realized: Decimal,
    pub(super) maker: bool,
    pub(super) time: i64,
}

/// A veil that is over something: counts down by queries and by the server's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ActiveVeil {
    until: i64,
    queries: u32,
}

impl ActiveVeil {
    pub(super) fn over(veil: Option<HiddenFor>, now: i64) -> Self {
        veil.map_or_else(Self::default, |veil| Self {
            until: now.saturating_add(i64::try_from(veil.for_ms).unwrap_or(i64::MAX)),
            queries: veil.for_queries,
        })
    }

    /// Whether the query that asks now sees nothing; counts it.
    pub(super) fn hides(&mut self, now: i64) -> bool {
        let by_count = self.queries > 0;
        self.queries = self.queries.saturating_sub(1);
        by_count || now < self.until
    }
}

#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) id: u64,
    pub(super) client_id: String,
    pub(super) symbol: String,
    pub(super) side: Side,
    pub(super) position_side: PositionSide,
    pub(super) kind: Kind,
    /// The type that the order was sent as: of a triggered stop, its own.
    pub(super) original_kind: &'static str,
    pub(super) time_in_force: TimeInForce,
    /// Zero for a market order.
    pub(super) price: Decimal,
    pub(super) quantity: Decimal,
    pub(super) executed: Decimal,
    /// Sum of price × quantity over the trades.
    pub(super) quote: Decimal,
    pub(super) reduce_only: bool,
    pub(super) close_position: bool,
    pub(super) self_trade_prevention: &'static str,
    pub(super) price_match: &'static str,
    /// When a GTD order ends, in milliseconds of the server's clock; 0 for all others.
    pub(super) good_till: i64,
    pub(super) status: Status,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) trades: Vec<Trade>,
    pub(super) veil: ActiveVeil,
    pub(super) trades_veil: ActiveVeil,
}

impl Order {
    /// A market order that nothing has happened to yet.
    pub(super) fn market(
        id: u64,
        client_id: String,
        (symbol, position_side, side): (String, PositionSide, Side),
        quantity: Decimal,
        now: i64,
    ) -> Self {
        Self {
            id,
            client_id,
            symbol,
            side,
            position_side,
            kind: Kind::Market,
            original_kind: "MARKET",
            time_in_force: TimeInForce::Gtc,
            price: Decimal::ZERO,
            quantity,
            executed: Decimal::ZERO,
            quote: Decimal::ZERO,
            reduce_only: false,
            close_position: false,
            self_trade_prevention: "EXPIRE_MAKER",
            price_match: "NONE",
            good_till: 0,
            status: Status::New,
            created: now,
            updated: now,
            trades: Vec::new(),
            veil: ActiveVeil::default(),
            trades_veil: ActiveVeil::default(),
        }
    }

    /// Whether the venue no longer answers for it.
    pub(super) fn is_forgotten(&self, now: i64) -> bool {
        let age = now.saturating_sub(self.created);
        let ended_unfilled =
            self.executed.is_zero() && matches!(self.status, Status::Canceled | Status::Expired);
        age > KNOWN_MS || (ended_unfilled && age > UNFILLED_KNOWN_MS)
    }

    pub(super) fn remaining(&self) -> Decimal {
        self.quantity - self.executed
    }

    pub(super) fn average_price(&self) -> Decimal {
        if self.executed.is_zero() {
            Decimal::ZERO
        } else {
            (self.quote / self.executed).round_dp(8)
        }
    }
}

/// The newest orders. An open order is never dropped.
#[derive(Debug)]
pub(super) struct Book {
    capacity: usize,
    next_order: u64,
    next_trade: u64,
    orders: BTreeMap<u64, Order>,
    open: BTreeSet<u64>,
    by_client: HashMap<String, u64>,
}

impl Book {
    /// `account` keeps the ids of several accounts apart.
    pub(super) fn new(capacity: usize, account: usize) -> Self {
        let apart = u64::try_from(account).unwrap_or(0) * 1_000_000_000_000;
        Self {
            capacity,
            // Like the ids of the test host, too large for 32 bits.
            next_order: 11_934_538_190 + apart,
            next_trade: 536_962_673 + apart,
            orders: BTreeMap::new(),
            open: BTreeSet::new(),
            by_client: HashMap::new(),
        }
    }

    pub(super) fn next_order_id(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    pub(super) fn next_trade_id(&mut self) -> u64 {
        self.next_trade += 1;
        self.next_trade
    }

    /// Puts an order in, or back after it changed.
    pub(super) fn put(&mut self, order: Order) {
        if order.status.is_open() {
            self.open.insert(order.id);
        } else {
            self.open.remove(&order.id);
        }
        self.by_client.insert(order.client_id.clone(), order.id);
        self.orders.insert(order.id, order);
        while self.orders.len() > self.capacity {
            let oldest = self
                .orders
                .keys()
                .find(|id| !self.open.contains(id))
                .copied();
            let Some(oldest) = oldest else { break };
            if let Some(gone) = self.orders.remove(&oldest)
                && self.by_client.get(&gone.client_id) == Some(&oldest)
            {
                self.by_client.remove(&gone.client_id);
            }
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// An order as a query sees it: not at all while a veil is over it.
    pub(super) fn seen(&mut self, id: u64, now: i64) -> Option<Order> {
        let order = self.orders.get_mut(&id)?;
        (!order.veil.hides(now)).then(|| order.clone())
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Order> {
        self.orders.get_mut(&id)
    }

    /// The latest order under this client id.
    pub(super) fn id_of(&self, client_id: &str) -> Option<u64> {
        self.by_client.get(client_id).copied()
    }

    pub(super) fn is_open(&self, client_id: &str) -> bool {
        self.id_of(client_id)
            .is_some_and(|id| self.open.contains(&id))
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Order> {
        self.open.iter().filter_map(|id| self.orders.get(id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Order> {
        self.orders.values_mut()
    }
}
