//! The ledger that newer neighbours leave to the executor: after a fill it writes the venue's position into the ledger and
//! the canonical position, and the moment of the fill, in one step.

use crate::plan_store::{RedisPlanStore, failed};
use apply_core::{PortError, Symbol};
use apply_wire::field;
use rust_decimal::Decimal;
use std::{
    collections::{HashMap, HashSet},
    fmt,
};

/// Writes positions after fills. What is still to be written is known by a cursor in the store, which moves once all of it
/// stands there: a process that dies in between leaves it to the next one, and writing twice is writing the same.
pub struct LedgerWriter {
    plan_store: RedisPlanStore,
    /// Where the cursor was put last.
    noted: Option<String>,
    /// Of each symbol what had it left alone last: each key of another type or form is reported once.
    left_alone: HashMap<Symbol, HashSet<String>>,
}

impl fmt::Debug for LedgerWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerWriter").finish_non_exhaustive()
    }
}

/// What one look came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Symbols with the position that was written, in base units, negative where short.
    pub written: Vec<(Symbol, Decimal)>,
    /// Symbols of which nothing was written, each with why. Each key is reported once, and again where it was written meanwhile.
    pub left_alone: Vec<(Symbol, String)>,
}

/// The last entry that was looked at, and the symbol of each fill with its entry.
type Fills = (String, Vec<(String, Vec<u8>)>);

/// Most results that one look takes.
const MOST: usize = 100;

/// Most bytes of a field that are read.
const MOST_OF_A_FIELD: usize = 64;

/// How long the moment of a fill is kept.
const MOMENT_KEPT_SECS: u64 = 3600;

/// Why positions are not written on a cluster. One key without the other would have the reconcile engine hold the symbol.
pub const NO_LEDGER_ON_A_CLUSTER: &str =
    "ledger and position lie in different slots of a cluster and cannot be written in one step";

impl RedisPlanStore {
    /// Somebody who writes positions after fills.
    ///
    /// # Errors
    ///
    /// On a cluster, where ledger and position cannot be written in one step.
    pub fn ledger_writer(&self) -> Result<LedgerWriter, PortError> {
        match self.link().is_cluster() {
            true => Err(PortError(NO_LEDGER_ON_A_CLUSTER.into())),
            false => Ok(LedgerWriter {
                plan_store: self.clone(),
                noted: None,
                left_alone: HashMap::new(),
            }),
        }
    }
}

impl LedgerWriter {
    /// Looks once for fills that are not written yet, asks `position` for what the venue holds of each symbol, and writes
    /// it. `None` from it: the position is not one amount, and the symbol is left alone.
    ///
    /// Cancellation: safe, and so is calling it from several processes.
    ///
    /// # Errors
    ///
    /// Where the store or the venue does not answer; the next look begins where this one did.
    pub async fn look<F>(
        &mut self,
        seconds: u64,
        position: impl Fn(Symbol) -> F,
    ) -> Result<Written, PortError>
    where
        F: Future<Output = Result<Option<Decimal>, PortError>>,
    {
        let keys = self.plan_store.keys();
        let mut call = self.plan_store.scripts().fills.key(&keys.results);
        call.key(&keys.ledger_cursor)
            .arg(MOST)
            .arg(field::OUR_SOURCE)
            .arg(MOST_OF_A_FIELD);
        let mut at = self.plan_store.link().at(&keys.results);
        let found = call.invoke_async::<Fills>(&mut at).await;
        let (last, fills) = found.map_err(failed("look for fills"))?;
        // The newest moment of each symbol counts.
        let mut symbols: HashMap<Symbol, String> = HashMap::new();
        for (id, symbol) in fills {
            let symbol = String::from_utf8(symbol).ok();
            if let Some(symbol) = symbol.and_then(|symbol| symbol.parse().ok()) {
                symbols.insert(symbol, id);
            }
        }
        let mut done = Written::default();
        for (symbol, id) in &symbols {
            let left: HashSet<String> = match position(symbol.clone()).await? {
                None => ["the venue holds a long and a short side of it".to_owned()].into(),
                Some(amount) => {
                    let others = self.write(symbol, amount, seconds, id).await?;
                    if others.is_empty() {
                        done.written.push((symbol.clone(), amount));
                    }
                    let others = others.into_iter();
                    others
                        .map(|key| format!("{key} is of another type or form"))
                        .collect()
                }
            };
            let known = self.left_alone.entry(symbol.clone()).or_default();
            let mut new: Vec<&String> = left.difference(known).collect();
            new.sort_unstable();
            let new = new.into_iter().map(|why| (symbol.clone(), why.clone()));
            done.left_alone.extend(new);
            *known = left;
        }
        if self.noted.as_ref() != Some(&last) {
            let mut set = redis::cmd("SET");
            set.arg(&keys.ledger_cursor).arg(&last);
            let mut at = self.plan_store.link().at(&keys.ledger_cursor);
            let noted = set.query_async::<()>(&mut at).await;
            noted.map_err(failed("note up to where the ledger is written"))?;
            self.noted = Some(last);
        }
        Ok(done)
    }

    async fn write(
        &self,
        symbol: &Symbol,
        amount: Decimal,
        seconds: u64,
        id: &str,
    ) -> Result<Vec<String>, PortError> {
        let keys = self.plan_store.keys();
        let ledger = format!("{}{symbol}", keys.ledger);
        let side = match amount {
            amount if amount.is_zero() => "FLAT",
            amount if amount.is_sign_negative() => "SHORT",
            _ => "LONG",
        };
        let amount = amount.normalize();
        let mut call = self.plan_store.scripts().position.key(&ledger);
        call.key(format!("{}{symbol}", keys.position))
            .key(format!("{}{symbol}", keys.last_execution))
            .arg(amount.to_string())
            .arg(amount.abs().to_string())
            .arg(side)
            .arg(seconds)
            .arg(id.split('-').next().unwrap_or_default())
            .arg(MOMENT_KEPT_SECS);
        let written = call
            .invoke_async(&mut self.plan_store.link().at(&ledger))
            .await;
        written.map_err(failed("write ledger and position"))
    }
}
