//! Questions about the account and the symbols, and what is remembered of the answers.

use super::{Client, Question, flag_taken, lock};
use crate::{
    endpoint::{
        Form,
        exchange_info::{self, ExchangeInfo},
        order::{self, OrderReport},
        position::{self, Wanted},
        premium,
        trades::{self, RealizedProfit, Trade},
    },
    error::RequestError,
    names::{ClientOrderId, PositionMode, Side, Symbol},
    position::Position,
    rules::SymbolRules,
    sent::{self, CloseIntent},
    time::VenueTime,
};
use rust_decimal::Decimal;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use tokio::time::Instant;

#[derive(Default)]
pub(super) struct Cache {
    info: Mutex<Option<(Arc<ExchangeInfo>, Instant)>>,
    info_outdated: AtomicBool,
    mode: Mutex<Option<(PositionMode, Instant)>>,
    /// One at a time asks for the megabyte; the others wait for its answer.
    loading: tokio::sync::Mutex<()>,
    /// Held while positions are asked for settling; what the last question about all of them found.
    positions: tokio::sync::Mutex<Option<AllPositions>>,
}

/// Every position, as of some moment after the question was begun.
struct AllPositions {
    begun: Instant,
    found: Result<Arc<Vec<Position>>, RequestError>,
}

impl Client {
    /// The rules of a symbol: cached, fetched again when they are old or an order was refused for a filter. Weight 1 when
    /// fetched.
    ///
    /// # Errors
    /// [`RequestError::NotListed`] where the host has no entry for the symbol, [`RequestError::UnreadableRules`] where it
    /// cannot be read, others where the host cannot be asked.
    pub async fn fetch_rules(&self, symbol: &Symbol) -> Result<Arc<SymbolRules>, RequestError> {
        let info = self.fetch_exchange_info().await?;
        info.rules(symbol)
            .map_err(|error| match info.lists(symbol) {
                true => RequestError::UnreadableRules(error),
                false => RequestError::NotListed(error),
            })
    }

    /// The rules of every symbol, cached like [`fetch_rules`](Self::fetch_rules).
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or its answer cannot be read.
    pub async fn fetch_exchange_info(&self) -> Result<Arc<ExchangeInfo>, RequestError> {
        if let Some(info) = self.fresh_info() {
            return Ok(info);
        }
        let cache = &self.inner.account;
        // Who asks again does not wait behind a question that has no answer.
        let _alone = match self.fresh {
            true => None,
            false => Some(cache.loading.lock().await),
        };
        if let Some(info) = self.fresh_info() {
            return Ok(info);
        }
        let outdated = flag_taken(&cache.info_outdated);
        let question = Question::open(exchange_info::PATH, exchange_info::WEIGHT, Form::new());
        match self.ask(question, ExchangeInfo::read).await {
            Ok(info) => {
                let info = Arc::new(info);
                if let Some(stated) = &info.limits {
                    self.limits().adopt(stated);
                }
                *lock(&cache.info) = Some((Arc::clone(&info), Instant::now()));
                Ok(info)
            }
            Err(error) => {
                cache.info_outdated.fetch_or(outdated, Ordering::AcqRel);
                Err(error)
            }
        }
    }

    fn fresh_info(&self) -> Option<Arc<ExchangeInfo>> {
        if self.inner.account.info_outdated.load(Ordering::Acquire) {
            return None;
        }
        let cached = lock(&self.inner.account.info);
        let (info, at) = cached.as_ref()?;
        (at.elapsed() <= self.inner.settings.rules_max_age).then(|| Arc::clone(info))
    }

    pub(super) fn outdate_rules(&self) {
        self.inner
            .account
            .info_outdated
            .store(true, Ordering::Release);
    }

    /// One-way or hedge; cached as long as the rules are, asked again when an order is refused for it. Weight 30 when asked.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or its answer cannot be read.
    pub async fn fetch_position_mode(&self) -> Result<PositionMode, RequestError> {
        let known = *lock(&self.inner.account.mode);
        if let Some((mode, at)) = known
            && at.elapsed() <= self.inner.settings.rules_max_age
        {
            return Ok(mode);
        }
        let question = Question::signed(position::MODE_PATH, position::MODE_WEIGHT, Form::new());
        let mode = self
            .ask(question, |body, _| position::decode_mode(body))
            .await?;
        *lock(&self.inner.account.mode) = Some((mode, Instant::now()));
        Ok(mode)
    }

    pub(super) fn forget_mode(&self) {
        *lock(&self.inner.account.mode) = None;
    }

    /// Open positions, of one symbol or of all; none means flat. Weight 5.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or an entry cannot be read. A position that cannot be read is
    /// never taken for a flat one.
    pub async fn fetch_positions(
        &self,
        symbol: Option<&Symbol>,
    ) -> Result<Vec<Position>, RequestError> {
        self.ask(self.positions_question(symbol), |body, notes| {
            position::decode(wanted(symbol), body, notes)
        })
        .await
    }

    /// Open positions of some symbols, in one question about the whole account; a symbol without one is flat. Weight 5.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or the entry of one of them cannot be read. What stands in the
    /// entries of others does not matter.
    pub async fn fetch_positions_of(
        &self,
        symbols: &[Symbol],
    ) -> Result<Vec<Position>, RequestError> {
        self.ask(self.positions_question(None), |body, notes| {
            position::decode(Wanted::Some(symbols), body, notes)
        })
        .await
    }

    /// Positions of a symbol, asked for after this was called. Who comes while another is asking shares one question
    /// about all symbols with everybody who waits: with a thousand orders to settle a question each would use up the
    /// weight of a minute.
    pub(super) async fn settle_positions(
        &self,
        symbol: &Symbol,
    ) -> Result<Vec<Position>, RequestError> {
        let came = Instant::now();
        let shared = &self.inner.account.positions;
        if let Ok(_alone) = shared.try_lock() {
            return self.ask_positions(Some(symbol)).await;
        }
        let mut latest = shared.lock().await;
        let found = match &*latest {
            Some(all) if all.begun > came => all.found.clone(),
            _ => {
                let begun = Instant::now();
                let found = self.ask_positions(None).await.map(Arc::new);
                *latest = Some(AllPositions {
                    begun,
                    found: found.clone(),
                });
                found
            }
        };
        drop(latest);
        match found {
            Ok(all) => {
                let ours = all.iter().filter(|position| position.symbol == *symbol);
                Ok(ours.cloned().collect())
            }
            // An entry of another symbol may be the one that cannot be read.
            Err(RequestError::Unreadable { .. }) => self.ask_positions(Some(symbol)).await,
            Err(error) => Err(error),
        }
    }

    async fn ask_positions(&self, symbol: Option<&Symbol>) -> Result<Vec<Position>, RequestError> {
        let question = self.positions_question(symbol).with_last_weight();
        self.ask(question, |body, notes| {
            position::decode(wanted(symbol), body, notes)
        })
        .await
    }

    fn positions_question(&self, symbol: Option<&Symbol>) -> Question {
        Question::signed(position::PATH, position::WEIGHT, position::request(symbol))
    }

    /// The mark price of a symbol, quote asset. Weight 1.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or its answer cannot be read.
    pub async fn fetch_mark_price(&self, symbol: &Symbol) -> Result<Decimal, RequestError> {
        let question = Question::open(premium::PATH, premium::WEIGHT, premium::request(symbol));
        self.ask(question, |body, _| premium::decode(symbol, body))
            .await
    }

    /// Asks for an order by the client's id. `None` where the venue says that it does not know it (-2013) — which is no
    /// proof that it never will. Weight 1.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or its answer cannot be read.
    pub async fn fetch_order(
        &self,
        symbol: &Symbol,
        id: &ClientOrderId,
    ) -> Result<Option<OrderReport>, RequestError> {
        let question = Question::signed(order::PATH, order::QUERY_WEIGHT, order::query(symbol, id))
            .with_last_weight();
        absent_on(
            -2013,
            self.ask(question, |body, notes| {
                sent::read_by_id(symbol, id, body, notes)
            })
            .await,
        )
    }

    /// The same about a closing order that was sent: an answer that contradicts it is none.
    pub(super) async fn fetch_close(
        &self,
        intent: &CloseIntent,
    ) -> Result<Option<OrderReport>, RequestError> {
        let form = order::query(&intent.symbol, &intent.client_order_id);
        let question = Question::signed(order::PATH, order::QUERY_WEIGHT, form).with_last_weight();
        let asked = self.ask(question, |body, notes| {
            sent::read_close(intent, body, notes)
        });
        absent_on(-2013, asked.await)
    }

    pub(super) async fn fetch_order_by_number(
        &self,
        symbol: &Symbol,
        order_id: u64,
    ) -> Result<Option<OrderReport>, RequestError> {
        let form = order::query_by_number(symbol, order_id);
        let question = Question::signed(order::PATH, order::QUERY_WEIGHT, form).with_last_weight();
        let asked = self.ask(question, |body, notes| {
            sent::read_by_number(symbol, order_id, body, notes)
        });
        absent_on(-2013, asked.await)
    }

    /// The fills of an order, as many as the venue shows yet. Weight 5.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or a fill cannot be read.
    pub async fn fetch_trades(
        &self,
        symbol: &Symbol,
        order_id: u64,
    ) -> Result<Vec<Trade>, RequestError> {
        let question = Question::signed(
            trades::PATH,
            trades::WEIGHT,
            trades::of_order(symbol, order_id),
        );
        self.ask(question, |body, notes| {
            sent::read_fills(symbol, order_id, body, notes)
        })
        .await
    }

    pub(super) async fn fetch_trades_since(
        &self,
        symbol: &Symbol,
        start: VenueTime,
    ) -> Result<Vec<Trade>, RequestError> {
        let question = Question::signed(trades::PATH, trades::WEIGHT, trades::since(symbol, start))
            .with_last_weight();
        self.ask(question, |body, notes| trades::decode(symbol, body, notes))
            .await
    }

    /// What an order earned. `None` while its fills are not all to be seen — ask again a little later; never a partial sum,
    /// never zero for "not known". Weight 5.
    ///
    /// # Errors
    /// [`RequestError`] where the venue cannot be asked or a fill cannot be read.
    pub async fn fetch_profit(
        &self,
        report: &OrderReport,
    ) -> Result<Option<RealizedProfit>, RequestError> {
        let filled = (report.side, report.executed_quantity);
        self.fetch_profit_of(&report.symbol, report.order_id, filled)
            .await
    }

    /// As [`fetch_profit`](Self::fetch_profit), for an order of which only the venue's number, the side and the quantity
    /// that filled (base asset) are known.
    ///
    /// # Errors
    /// As [`fetch_profit`](Self::fetch_profit).
    pub async fn fetch_profit_of(
        &self,
        symbol: &Symbol,
        order_id: u64,
        filled: (Side, Decimal),
    ) -> Result<Option<RealizedProfit>, RequestError> {
        let form = trades::of_order(symbol, order_id);
        let question = Question::signed(trades::PATH, trades::WEIGHT, form);
        let trades = self
            .ask(question, |body, notes| {
                sent::read_fills_of(symbol, order_id, filled, body, notes)
            })
            .await?;
        // Without the rules the asset of the profit is not known; the net is then absent, the rest still stands.
        let rules = self.fetch_rules(symbol).await.ok();
        let asset = rules
            .as_ref()
            .and_then(|rules| rules.margin_asset.as_deref());
        Ok(trades::profit(&trades, order_id, filled.1, asset))
    }
}

fn wanted(symbol: Option<&Symbol>) -> Wanted<'_> {
    symbol.map_or(Wanted::All, Wanted::One)
}

/// Turns the one error code that means "no such thing" into `None`.
pub(super) fn absent_on<T>(
    code: i64,
    asked: Result<T, RequestError>,
) -> Result<Option<T>, RequestError> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code() == Some(code) => Ok(None),
        Err(error) => Err(error),
    }
}
