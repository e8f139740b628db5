//! What all accounts share: the symbols with their prices, the clock, and how strictly requests are read.

use super::market::Market;
use crate::{
    config::{Manners, SimConfig},
    error::VenueError,
    symbol::{SymbolSpec, is_price},
};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) markets: BTreeMap<String, Market>,
    pub(super) clock_offset_ms: i64,
    pub(super) manners: Manners,
}

impl Exchange {
    pub(super) fn new(config: &SimConfig, now: i64) -> Self {
        let mut exchange = Self {
            markets: BTreeMap::new(),
            clock_offset_ms: config.clock_offset_ms,
            manners: config.manners,
        };
        for spec in &config.symbols {
            let market = Market::new(spec.clone(), now);
            exchange.markets.insert(spec.symbol.clone(), market);
        }
        exchange
    }

    pub(super) fn market(&self, symbol: &str) -> Result<&Market, VenueError> {
        self.markets.get(symbol).ok_or_else(VenueError::symbol)
    }

    pub(super) fn strict(&self) -> bool {
        self.manners.strict
    }

    /// Replaces or adds a symbol; a known symbol keeps its present mark price.
    pub(super) fn set_symbol(&mut self, spec: SymbolSpec, now: i64) -> Result<(), String> {
        spec.check()?;
        match self.markets.get_mut(&spec.symbol) {
            Some(market) => market.spec = spec,
            None => {
                let market = Market::new(spec.clone(), now);
                self.markets.insert(spec.symbol, market);
            }
        }
        Ok(())
    }

    /// Answers false where the symbol is unknown or the price out of range.
    pub(super) fn set_mark_price(
        &mut self,
        symbol: &str,
        price: rust_decimal::Decimal,
        now: i64,
    ) -> bool {
        match self.markets.get_mut(symbol) {
            Some(market) if is_price(price) => {
                market.move_to(price, now);
                true
            }
            _ => false,
        }
    }
}
