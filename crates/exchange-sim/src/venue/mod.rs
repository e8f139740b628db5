//! The venue behind the socket: a request and an instant go in, a reply comes out. No socket, no waiting.

mod access;
mod account;
mod algo;
mod book;
mod market;
mod order;
mod position;
#[cfg(test)]
mod properties;
mod view;

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;

use crate::{
    config::{PositionSide, SimConfig, is_position},
    error::VenueError,
    fault::Script,
    http::{Reply, Request},
    limits::{Limits, Usage},
    log::{OrderOutcome, Verdict},
    params::Params,
    symbol::{SymbolSpec, is_price},
};
use access::Verifier;
use algo::Algos;
pub use algo::OpenStop;
use book::Book;
use market::Market;
pub(crate) use position::Position;
use position::Positions;

/// One account at one venue.
#[derive(Debug)]
pub(crate) struct Venue {
    keys: HashMap<String, Verifier>,
    markets: BTreeMap<String, Market>,
    hedge_mode: bool,
    clock_offset_ms: i64,
    terse_results: bool,
    usage: Usage,
    positions: Positions,
    book: Book,
    algos: Algos,
    left_bare: u64,
}

/// A reply, and for a new order or stop what became of it.
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    pub(crate) verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Ping,
    Time,
    ExchangeInfo,
    PremiumIndex,
    PositionRiskV2,
    PositionRiskV3,
    PositionMode,
    NewOrder,
    QueryOrder,
    CancelOrder,
    OpenOrders,
    UserTrades,
    NewAlgo,
    QueryAlgo,
    CancelAlgo,
    OpenAlgos,
}

const PATHS: [(&str, &[(&str, Endpoint)]); 12] = [
    (
        "/fapi/v1/order",
        &[
            ("POST", Endpoint::NewOrder),
            ("GET", Endpoint::QueryOrder),
            ("DELETE", Endpoint::CancelOrder),
        ],
    ),
    (
        "/fapi/v3/positionRisk",
        &[("GET", Endpoint::PositionRiskV3)],
    ),
    (
        "/fapi/v2/positionRisk",
        &[("GET", Endpoint::PositionRiskV2)],
    ),
    ("/fapi/v1/userTrades", &[("GET", Endpoint::UserTrades)]),
    ("/fapi/v1/time", &[("GET", Endpoint::Time)]),
    ("/fapi/v1/ping", &[("GET", Endpoint::Ping)]),
    ("/fapi/v1/exchangeInfo", &[("GET", Endpoint::ExchangeInfo)]),
    ("/fapi/v1/premiumIndex", &[("GET", Endpoint::PremiumIndex)]),
    (
        "/fapi/v1/positionSide/dual",
        &[("GET", Endpoint::PositionMode)],
    ),
    ("/fapi/v1/openOrders", &[("GET", Endpoint::OpenOrders)]),
    (
        "/fapi/v1/algoOrder",
        &[
            ("POST", Endpoint::NewAlgo),
            ("GET", Endpoint::QueryAlgo),
            ("DELETE", Endpoint::CancelAlgo),
        ],
    ),
    ("/fapi/v1/openAlgoOrders", &[("GET", Endpoint::OpenAlgos)]),
];

impl Endpoint {
    fn is_public(self) -> bool {
        matches!(
            self,
            Self::Ping | Self::Time | Self::ExchangeInfo | Self::PremiumIndex
        )
    }

    fn places_an_order(self) -> bool {
        matches!(self, Self::NewOrder | Self::NewAlgo)
    }

    /// Request weight. Orders weigh nothing: they count against the order limits.
    fn weight(self, names_a_symbol: bool) -> u32 {
        match self {
            Self::NewOrder | Self::NewAlgo => 0,
            Self::PositionRiskV2 | Self::PositionRiskV3 | Self::UserTrades => 5,
            Self::PositionMode => 30,
            Self::PremiumIndex if !names_a_symbol => 10,
            Self::OpenOrders | Self::OpenAlgos if !names_a_symbol => 40,
            _ => 1,
        }
    }
}

impl Venue {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let mut venue = Self {
            keys: config
                .keys
                .iter()
                .map(|key| (key.key.clone(), Verifier::new(&key.proof)))
                .collect(),
            markets: config
                .symbols
                .iter()
                .map(|spec| (spec.symbol.clone(), Market::new(spec.clone())))
                .collect(),
            hedge_mode: config.hedge_mode,
            clock_offset_ms: bounded_offset(config.clock_offset_ms),
            terse_results: config.terse_results,
            usage: Usage::new(config.limits),
            positions: Positions::default(),
            book: Book::new(config.capacity),
            algos: Algos::new(config.capacity),
            left_bare: 0,
        };
        for start in &config.positions {
            venue.set_position(&start.symbol, start.side, start.amount, start.entry_price);
        }
        venue
    }

    /// Server time in milliseconds, from this machine's wall clock.
    pub(crate) fn server_time(&self) -> i64 {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(wall.as_millis())
            .unwrap_or(i64::MAX)
            .saturating_add(self.clock_offset_ms)
    }

    /// Acts on one request at server time `now`.
    pub(crate) fn answer(&mut self, request: &Request, now: i64, script: &Script) -> Answered {
        let Some((_, methods)) = PATHS.iter().find(|(path, _)| *path == request.path) else {
            return Answered {
                reply: not_found(),
                verdict: None,
            };
        };
        let Some((_, endpoint)) = methods.iter().find(|(method, _)| *method == request.method)
        else {
            return Answered {
                reply: VenueError::method(&request.path, &request.method).reply(),
                verdict: None,
            };
        };
        let (result, verdict) = match self.admitted(*endpoint, request, now) {
            Ok(params) => self.act(*endpoint, &params, now, script),
            Err(refusal) => (Err(refusal), None),
        };
        let verdict = match (&result, endpoint) {
            (Err(refusal), endpoint) if endpoint.places_an_order() => Some(rejected(refusal)),
            _ => verdict,
        };
        let reply = match result {
            Ok(body) => Reply::json(200, body),
            Err(refusal) => refusal.reply(),
        };
        Answered {
            reply: self.usage.stamp(reply, endpoint.places_an_order()),
            verdict,
        }
    }

    /// Limits, key, signature and time window, in this order; then the parameters.
    fn admitted(
        &mut self,
        endpoint: Endpoint,
        request: &Request,
        now: i64,
    ) -> Result<Params, VenueError> {
        let names_a_symbol = crate::fault::peek(request, "symbol").is_some();
        self.usage.admit(now, endpoint.weight(names_a_symbol))?;
        if endpoint.is_public() {
            return Params::parse(request);
        }
        let verifier = access::find(&self.keys, request.api_key.as_deref())?;
        let params = Params::parse(request)?;
        access::check_signature(verifier, request, &params)?;
        access::check_time(&params, now)?;
        if endpoint.places_an_order() {
            self.usage.admit_order(now)?;
        }
        Ok(params)
    }

    fn act(
        &mut self,
        endpoint: Endpoint,
        params: &Params,
        now: i64,
        script: &Script,
    ) -> (Result<String, VenueError>, Option<Verdict>) {
        let result = match endpoint {
            Endpoint::NewOrder => match self.new_order(params, now, script) {
                Ok((body, verdict)) => return (Ok(body), Some(verdict)),
                Err(refusal) => Err(refusal),
            },
            Endpoint::NewAlgo => match self.new_algo(params, now, script) {
                Ok((body, verdict)) => return (Ok(body), Some(verdict)),
                Err(refusal) => Err(refusal),
            },
            Endpoint::Ping => Ok("{}".to_owned()),
            Endpoint::Time => Ok(format!("{{\"serverTime\":{now}}}")),
            Endpoint::ExchangeInfo => Ok(self.exchange_info(now)),
            Endpoint::PremiumIndex => self.premium_index(params, now),
            Endpoint::PositionRiskV2 => self.position_risk(params, now, true),
            Endpoint::PositionRiskV3 => self.position_risk(params, now, false),
            Endpoint::PositionMode => self.position_mode(params),
            Endpoint::QueryOrder => self.query_order(params, now),
            Endpoint::CancelOrder => self.cancel_order(params, now),
            Endpoint::OpenOrders => self.open_orders(params, now),
            Endpoint::UserTrades => self.user_trades(params, now),
            Endpoint::QueryAlgo => self.query_algo(params, now),
            Endpoint::CancelAlgo => self.cancel_algo(params, now),
            Endpoint::OpenAlgos => self.open_algos(params, now),
        };
        (result, None)
    }

    fn market(&self, symbol: &str) -> Result<&Market, VenueError> {
        self.markets.get(symbol).ok_or_else(VenueError::symbol)
    }

    /// The legs a position side may name in the account's mode.
    fn check_position_side(&self, side: PositionSide) -> Result<(), VenueError> {
        let fits = match side {
            PositionSide::Both => !self.hedge_mode,
            PositionSide::Long | PositionSide::Short => self.hedge_mode,
        };
        if fits {
            Ok(())
        } else {
            Err(VenueError::position_side())
        }
    }

    // What a test or a script may turn from outside.

    pub(crate) fn set_clock_offset_ms(&mut self, offset: i64) {
        self.clock_offset_ms = bounded_offset(offset);
    }

    pub(crate) fn clock_offset_ms(&self) -> i64 {
        self.clock_offset_ms
    }

    pub(crate) fn set_hedge_mode(&mut self, hedge: bool) {
        self.hedge_mode = hedge;
    }

    pub(crate) fn hedge_mode(&self) -> bool {
        self.hedge_mode
    }

    pub(crate) fn set_limits(&mut self, limits: Option<Limits>) {
        self.usage.set_limits(limits);
    }

    pub(crate) fn set_terse_results(&mut self, terse: bool) {
        self.terse_results = terse;
    }

    /// Replaces or adds a symbol; a known symbol keeps its present mark price.
    pub(crate) fn set_symbol(&mut self, spec: SymbolSpec) -> Result<(), String> {
        spec.check()?;
        match self.markets.get_mut(&spec.symbol) {
            Some(market) => market.spec = spec,
            None => {
                self.markets.insert(spec.symbol.clone(), Market::new(spec));
            }
        }
        Ok(())
    }

    /// Answers false where the symbol is unknown or a figure out of range.
    pub(crate) fn set_position(
        &mut self,
        symbol: &str,
        side: PositionSide,
        amount: Decimal,
        entry_price: Option<Decimal>,
    ) -> bool {
        let now = self.server_time();
        let Some(market) = self.markets.get(symbol) else {
            return false;
        };
        if !is_position(amount, entry_price) {
            return false;
        }
        let entry = entry_price.unwrap_or(market.mark_price);
        self.positions.set(symbol, side, amount, entry, now);
        self.expire_orphaned_algos(symbol, side, now);
        true
    }

    pub(crate) fn position(&self, symbol: &str, side: PositionSide) -> Position {
        self.positions.get(symbol, side)
    }

    pub(crate) fn positions(&self) -> impl Iterator<Item = (&str, PositionSide, &Position)> {
        self.positions.held()
    }

    pub(crate) fn mark_price(&self, symbol: &str) -> Option<Decimal> {
        self.markets.get(symbol).map(|market| market.mark_price)
    }

    pub(crate) fn mark_prices(&self) -> impl Iterator<Item = (&str, &Market)> {
        self.markets
            .iter()
            .map(|(symbol, market)| (symbol.as_str(), market))
    }

    /// Moves a mark price; fills the orders and triggers the stops that it crosses. Answers false where the
    /// symbol is unknown or the price out of range.
    pub(crate) fn set_mark_price(&mut self, symbol: &str, price: Decimal) -> bool {
        let now = self.server_time();
        let Some(market) = self.markets.get_mut(symbol) else {
            return false;
        };
        if !is_price(price) {
            return false;
        }
        market.mark_price = price;
        self.fill_crossed_orders(symbol, now);
        self.trigger_crossed_algos(symbol, now);
        true
    }
}

/// Within a hundred years, so that no sum of times can overflow.
fn bounded_offset(offset: i64) -> i64 {
    const CENTURY_MS: i64 = 3_155_760_000_000;
    offset.clamp(-CENTURY_MS, CENTURY_MS)
}

fn rejected(refusal: &VenueError) -> Verdict {
    Verdict {
        outcome: OrderOutcome::Rejected(refusal.code),
        executed_qty: Decimal::ZERO,
        order_id: None,
    }
}

/// An unknown path is answered by the gateway, not by the API: a page, no code.
fn not_found() -> Reply {
    Reply::html(
        404,
        "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n</body>\r\n</html>\r\n",
    )
}
