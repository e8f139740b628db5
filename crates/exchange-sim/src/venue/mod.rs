//! The venue behind the socket: a request and an instant go in, a reply comes out. No socket, no waiting.

mod access;
mod account;
mod algo;
mod algos;
mod book;
mod candles;
mod endpoints;
mod exchange;
mod history;
mod incomes;
mod keys;
mod market;
mod market_data;
mod missing;
mod order;
mod position;
#[cfg(test)]
mod properties;
mod view;
mod wallet;

use crate::{
    config::{PositionSide, SimConfig, is_position},
    error::VenueError,
    fault::Script,
    http::{Reply, Request},
    limits::{Limits, Usage},
    log::{OrderOutcome, Verdict},
    params::Params,
    symbol::SymbolSpec,
};
use access::Verifier;
pub(crate) use account::Account;
pub use algos::OpenStop;
use endpoints::{Endpoint, Route};
pub use endpoints::{Served, served};
use exchange::Exchange;
pub(crate) use keys::{ed25519_public_key, rsa_public_key};
pub(crate) use market::Market;
use missing::Missing;
pub use missing::NotModelled;
pub(crate) use position::Position;
use rust_decimal::Decimal;
use std::collections::HashMap;

/// The accounts at one venue.
#[derive(Debug)]
pub(crate) struct Venue {
    /// Who a key proves to be, and whose account it opens.
    keys: HashMap<String, (Verifier, usize)>,
    exchange: Exchange,
    accounts: Vec<Account>,
    usage: Usage,
    missing: Missing,
}

/// A reply, and for a new order or stop what became of it.
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    pub(crate) verdict: Option<Verdict>,
}

impl Venue {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let now = wall_clock_ms();
        let accounts = config.accounts.iter().enumerate();
        let mut venue = Self {
            keys: config
                .keys
                .iter()
                .map(|key| {
                    let account = config.account_of(&key.account).unwrap_or(0);
                    (key.key.clone(), (Verifier::new(&key.proof), account))
                })
                .collect(),
            exchange: Exchange::new(config, now),
            accounts: accounts
                .map(|(number, account)| Account::new(account, number, config.capacity, now))
                .collect(),
            usage: Usage::new(config.limits),
            missing: Missing::default(),
        };
        venue.set_clock_offset_ms(config.clock_offset_ms);
        for start in &config.positions {
            let account = config.account_of(&start.account).unwrap_or(0);
            venue.set_position(
                account,
                &start.symbol,
                start.side,
                start.amount,
                start.entry_price,
            );
        }
        venue
    }

    /// Server time in milliseconds, from this machine's wall clock.
    pub(crate) fn server_time(&self) -> i64 {
        wall_clock_ms().saturating_add(self.exchange.clock_offset_ms)
    }

    /// Whose account a key opens.
    pub(crate) fn account_name(&self, api_key: Option<&str>) -> Option<&str> {
        let (_, account) = self.keys.get(api_key?)?;
        self.accounts
            .get(*account)
            .map(|account| account.name.as_str())
    }

    /// The number of an account.
    pub(crate) fn account_number(&self, name: &str) -> Option<usize> {
        self.accounts
            .iter()
            .position(|account| account.name == name)
    }

    /// Acts on one request at server time `now`.
    pub(crate) fn answer(&mut self, request: &Request, now: i64, script: &Script) -> Answered {
        let Some(route) = endpoints::find(&request.method, &request.path) else {
            let why = endpoints::why_missing(&request.method, &request.path);
            self.missing.note(&request.method, &request.path, why);
            return Answered {
                reply: VenueError::not_modelled(&request.path, &request.method).reply(),
                verdict: None,
            };
        };
        let (result, verdict, account) = match self.admitted(route, request, now) {
            Ok((params, account)) => {
                let (result, verdict) = self.act(route.endpoint, account, &params, now, script);
                (result, verdict, account)
            }
            Err(refusal) => (Err(refusal), None, 0),
        };
        let places = route.endpoint.places_an_order();
        let verdict = match &result {
            Err(refusal) if places => Some(rejected(refusal)),
            _ => verdict,
        };
        let reply = match result {
            Ok(body) => Reply::json(200, body),
            Err(refusal) => refusal.reply(),
        };
        Answered {
            reply: self.usage.stamp(reply, places.then_some(account)),
            verdict,
        }
    }

    /// Limits, key, signature and time window, in this order; then the parameters.
    fn admitted(
        &mut self,
        route: &Route,
        request: &Request,
        now: i64,
    ) -> Result<(Params, usize), VenueError> {
        self.usage.admit(now, route.weight(request))?;
        let strict = self.exchange.strict();
        if !route.signed {
            return Params::parse(request, strict).map(|params| (params, 0));
        }
        let (verifier, account) = access::find(&self.keys, request.api_key.as_deref())?;
        let params = Params::parse(request, strict)?;
        access::check_signature(verifier, request, &params)?;
        access::check_time(&params, now)?;
        if route.endpoint.places_an_order() {
            self.usage.admit_order(*account, now)?;
        }
        Ok((params, *account))
    }

    fn act(
        &mut self,
        endpoint: Endpoint,
        account: usize,
        params: &Params,
        now: i64,
        script: &Script,
    ) -> (Result<String, VenueError>, Option<Verdict>) {
        let exchange = &self.exchange;
        let Some(account) = self.accounts.get_mut(account) else {
            return (Err(VenueError::key_unknown()), None);
        };
        account.expire_due_orders(now);
        let placed = match endpoint {
            Endpoint::NewOrder => Some(account.new_order(exchange, params, now, script)),
            Endpoint::NewAlgo => Some(account.new_algo(exchange, params, now, script)),
            _ => None,
        };
        if let Some(placed) = placed {
            if endpoint == Endpoint::NewAlgo && params.get("type") == Some(algo::TRAILING) {
                let asked = "/fapi/v1/algoOrder?type=TRAILING_STOP_MARKET";
                self.missing
                    .note("POST", asked, "trailing stops are not modelled");
            }
            return match placed {
                Ok((body, verdict)) => (Ok(body), Some(verdict)),
                Err(refusal) => (Err(refusal), None),
            };
        }
        let result = match endpoint {
            // Placed above.
            Endpoint::NewOrder | Endpoint::NewAlgo => Ok(String::new()),
            Endpoint::Ping => Ok("{}".to_owned()),
            Endpoint::Time => Ok(format!("{{\"serverTime\":{now}}}")),
            Endpoint::ExchangeInfo => Ok(exchange.exchange_info(now, &self.usage.stated())),
            Endpoint::Depth => exchange.depth(params, now),
            Endpoint::Trades => exchange.trades(params, now),
            Endpoint::AggTrades => exchange.agg_trades(params, now),
            Endpoint::Klines => exchange.klines(params, now, true),
            Endpoint::PriceKlines => exchange.klines(params, now, false),
            Endpoint::PremiumIndex => exchange.premium_index(params, now),
            Endpoint::FundingRate => exchange.funding_rate(params, now),
            Endpoint::FundingInfo => exchange.funding_info(params),
            Endpoint::Ticker24h => exchange.ticker_24h(params, now),
            Endpoint::TickerPrice => exchange.ticker_price(params, now),
            Endpoint::BookTicker => exchange.book_ticker(params, now),
            Endpoint::OpenInterest => exchange.open_interest(params, now),
            Endpoint::TestOrder => account.test_order(exchange, params, now),
            Endpoint::QueryOrder => account.query_order(exchange, params, now),
            Endpoint::CancelOrder => account.cancel_order(exchange, params, now),
            Endpoint::OpenOrder => account.open_order(exchange, params, now),
            Endpoint::OpenOrders => account.open_orders(exchange, params, now),
            Endpoint::AllOrders => account.all_orders(exchange, params, now),
            Endpoint::CancelAllOrders => account.cancel_all_orders(exchange, params, now),
            Endpoint::QueryAlgo => account.query_algo(exchange, params, now),
            Endpoint::CancelAlgo => account.cancel_algo(params, now),
            Endpoint::OpenAlgos => account.open_algos(exchange, params, now),
            Endpoint::AllAlgos => account.all_algos(exchange, params, now),
            Endpoint::CancelAllAlgos => account.cancel_all_algos(exchange, params, now),
            Endpoint::PositionRiskV2 => account.position_risk(exchange, params, now, true),
            Endpoint::PositionRiskV3 => account.position_risk(exchange, params, now, false),
            Endpoint::AccountV2 => account.account(exchange, params, now, true),
            Endpoint::AccountV3 => account.account(exchange, params, now, false),
            Endpoint::BalanceV2 | Endpoint::BalanceV3 => account.balances(exchange, params, now),
            Endpoint::AccountConfig => account.account_config(params),
            Endpoint::SymbolConfig => account.symbol_config(exchange, params),
            Endpoint::PositionMode => account.position_mode(params),
            Endpoint::SetPositionMode => account.set_position_mode(params),
            Endpoint::AssetMode => account.asset_mode(params),
            Endpoint::SetAssetMode => account.set_asset_mode(params),
            Endpoint::SetLeverage => account.set_leverage(exchange, params),
            Endpoint::SetMarginType => account.set_margin_type(exchange, params),
            Endpoint::LeverageBracket => account.leverage_brackets(exchange, params),
            Endpoint::UserTrades => account.user_trades(exchange, params, now),
            Endpoint::Income => account.income(exchange, params, now),
            Endpoint::CommissionRate => account.commission_rate(exchange, params),
        };
        (result, None)
    }

    // What a test or a script may turn from outside. Accounts are named by their number.

    pub(crate) fn set_clock_offset_ms(&mut self, offset: i64) {
        self.exchange.clock_offset_ms = bounded_offset(offset);
    }

    pub(crate) fn clock_offset_ms(&self) -> i64 {
        self.exchange.clock_offset_ms
    }

    pub(crate) fn set_hedge_mode(&mut self, account: usize, hedge: bool) {
        if let Some(account) = self.accounts.get_mut(account) {
            account.hedge_mode = hedge;
        }
    }

    pub(crate) fn account(&self, account: usize) -> Option<&Account> {
        self.accounts.get(account)
    }

    /// Sets the wallet balance of an account, as a transfer would.
    pub(crate) fn set_wallet(&mut self, account: usize, balance: Decimal) {
        let now = self.server_time();
        if let Some(account) = self.accounts.get_mut(account) {
            account.incomes.transfer(balance - account.wallet, now);
            account.wallet = balance;
        }
    }

    pub(crate) fn set_limits(&mut self, limits: Option<Limits>) {
        self.usage.set_limits(limits);
    }

    pub(crate) fn set_terse_results(&mut self, terse: bool) {
        self.exchange.manners.terse_results = terse;
    }

    /// Replaces or adds a symbol; a known symbol keeps its present mark price.
    pub(crate) fn set_symbol(&mut self, spec: SymbolSpec) -> Result<(), String> {
        let now = self.server_time();
        self.exchange.set_symbol(spec, now)
    }

    /// Answers false where the symbol is unknown or a figure out of range.
    pub(crate) fn set_position(
        &mut self,
        account: usize,
        symbol: &str,
        side: PositionSide,
        amount: Decimal,
        entry_price: Option<Decimal>,
    ) -> bool {
        let now = self.server_time();
        let (Some(market), Some(account)) = (
            self.exchange.markets.get(symbol),
            self.accounts.get_mut(account),
        ) else {
            return false;
        };
        if !is_position(amount, entry_price) {
            return false;
        }
        let entry = entry_price.unwrap_or(market.mark_price);
        account.positions.set(symbol, side, amount, entry, now);
        account.expire_orphaned_algos(symbol, side, now);
        true
    }

    pub(crate) fn position(&self, account: usize, symbol: &str, side: PositionSide) -> Position {
        self.account(account)
            .map(|account| account.positions.get(symbol, side))
            .unwrap_or_default()
    }

    pub(crate) fn open_stops(&self, account: usize, symbol: &str) -> Vec<OpenStop> {
        self.account(account)
            .map(|account| account.open_stops(symbol))
            .unwrap_or_default()
    }

    pub(crate) fn fill_open_order(&mut self, account: usize, client_id: &str) -> bool {
        let now = self.server_time();
        self.accounts
            .get_mut(account)
            .is_some_and(|account| account.fill_open_order(&self.exchange, client_id, now))
    }

    pub(crate) fn mark_price(&self, symbol: &str) -> Option<Decimal> {
        self.exchange
            .markets
            .get(symbol)
            .map(|market| market.mark_price)
    }

    pub(crate) fn mark_prices(&self) -> impl Iterator<Item = (&str, &Market)> {
        self.exchange
            .markets
            .iter()
            .map(|(symbol, market)| (symbol.as_str(), market))
    }

    /// Moves a mark price; fills the orders and triggers the stops that it crosses. Answers false where the
    /// symbol is unknown or the price out of range.
    pub(crate) fn set_mark_price(&mut self, symbol: &str, price: Decimal) -> bool {
        let now = self.server_time();
        if !self.exchange.set_mark_price(symbol, price, now) {
            return false;
        }
        self.meet(symbol, now);
        true
    }

    /// Sets the distance of bid and ask from the mark price, as a share of it. Answers false where the symbol is
    /// unknown or the share is not from 0 to 1.
    pub(crate) fn set_spread(&mut self, symbol: &str, spread: Decimal) -> bool {
        let now = self.server_time();
        if spread < Decimal::ZERO || spread >= Decimal::ONE {
            return false;
        }
        let Some(market) = self.exchange.markets.get_mut(symbol) else {
            return false;
        };
        market.spread = spread;
        self.meet(symbol, now);
        true
    }

    /// Lets every account's orders meet the present price.
    fn meet(&mut self, symbol: &str, now: i64) {
        for account in &mut self.accounts {
            account.fill_crossed_orders(&self.exchange, symbol, now);
            account.trigger_crossed_algos(&self.exchange, symbol, now);
        }
    }

    /// What was asked for and is not modelled, and how often.
    pub(crate) fn missing(&self) -> Vec<NotModelled> {
        self.missing.all()
    }
}

impl Account {
    pub(crate) fn held(&self) -> impl Iterator<Item = (&str, PositionSide, &Position)> {
        self.positions.held()
    }

    pub(crate) fn open_orders_count(&self) -> usize {
        self.book.open().count()
    }

    pub(crate) fn open_stops_count(&self) -> usize {
        self.algos.open().count()
    }

    pub(crate) fn is_in_hedge_mode(&self) -> bool {
        self.hedge_mode
    }

    pub(crate) fn wallet_balance(&self) -> Decimal {
        self.wallet
    }

    /// How often a cancellation left a held position without any conditional order that would reduce it.
    pub(crate) fn times_left_bare(&self) -> u64 {
        self.left_bare
    }
}

fn wall_clock_ms() -> i64 {
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)
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
