//! What is kept beside the reviews: ledgers from results, snapshots from the venue.

use crate::{
    entry::EntryId,
    ledger::{Ledger, ResultReport},
    ports::{LedgerUpdate, PositionBook, Positions, Unread},
    venue_position::Snapshot,
};
use apply_core::{PortError, Symbol};
use std::time::Duration;

/// Brings the ledgers up to the newest result. Any number of processes may do it side by side:
/// each result is counted once.
#[derive(Debug)]
pub struct LedgerSync<B> {
    book: B,
    symbols: Vec<Symbol>,
}

/// What catching up came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Symbols of which something filled, or may have; their snapshots are outdated now.
    pub touched: Vec<Symbol>,
    /// Executed results that do not say what filled, and why.
    pub unclear: Vec<(Symbol, String)>,
    /// Results that name no symbol.
    pub unreadable: u64,
    /// Whether results were lost, so that every ledger starts anew.
    pub gap: bool,
}

impl<B: PositionBook> LedgerSync<B> {
    /// A keeper of all ledgers. After a gap those of `symbols` start anew.
    pub fn new(book: B, symbols: Vec<Symbol>) -> Self {
        Self { book, symbols }
    }

    /// The book it keeps.
    pub fn book(&self) -> &B {
        &self.book
    }

    /// Counts every result that no ledger holds yet, in their order.
    ///
    /// Cancellation: what was counted stays counted, the rest is there for the next call.
    pub async fn catch_up(&self) -> Result<SyncReport, PortError> {
        let mut caught = SyncReport::default();
        loop {
            let unread = self.book.unread().await?;
            if unread.gap {
                caught.gap |= self.book.forget(unread.cursor, &self.symbols).await?;
            } else if unread.results.is_empty() {
                return Ok(caught);
            } else {
                self.count(unread, &mut caught).await?;
            }
        }
    }

    /// Ends early where another process is at it as well.
    async fn count(&self, unread: Unread, caught: &mut SyncReport) -> Result<(), PortError> {
        let mut cursor = unread.cursor;
        let mut passed = None;
        for (entry, fields) in unread.results {
            let report = ResultReport::read(&fields);
            let symbol = match &report {
                ResultReport::Fill(fill) => fill.symbol.clone(),
                ResultReport::Unclear { symbol, .. } => symbol.clone(),
                ResultReport::NoFill => {
                    passed = Some(entry);
                    continue;
                }
                ResultReport::Unreadable => {
                    passed = Some(entry);
                    caught.unreadable += 1;
                    continue;
                }
            };
            let page = self.book.open(&symbol).await?;
            let update = LedgerUpdate {
                symbol: symbol.clone(),
                ledger: after(&page.ledger, &report, entry),
                version: page.version,
            };
            if !self.book.advance(cursor, entry, Some(&update)).await? {
                return Ok(());
            }
            (cursor, passed) = (entry, None);
            if !caught.touched.contains(&symbol) {
                caught.touched.push(symbol.clone());
            }
            if let ResultReport::Unclear { why, .. } = report {
                caught.unclear.push((symbol, why));
            }
        }
        if let Some(last) = passed {
            self.book.advance(cursor, last, None).await?;
        }
        Ok(())
    }
}

fn after(ledger: &Ledger, report: &ResultReport, entry: EntryId) -> Ledger {
    match report {
        ResultReport::Fill(fill) => ledger.after(fill, entry),
        ResultReport::Unclear { .. } => ledger.after_unclear(entry),
        ResultReport::NoFill | ResultReport::Unreadable => ledger.clone(),
    }
}

/// Asks the venue and keeps what it says.
#[derive(Debug)]
pub struct SnapshotKeeper<B, V> {
    book: B,
    venue: V,
}

impl<B: PositionBook, V: Positions> SnapshotKeeper<B, V> {
    /// A keeper of snapshots.
    pub fn new(book: B, venue: V) -> Self {
        Self { book, venue }
    }

    /// Asks for these symbols in one question and keeps the answer; ledgers that wait for the
    /// venue's word take it. Says which symbols the venue could not answer for, and why.
    ///
    /// Cancellation: nothing is half written.
    pub async fn refresh(&self, symbols: &[Symbol]) -> Result<Vec<(Symbol, String)>, PortError> {
        // Taken before the question leaves: what happens while it is under way is not in it.
        let asked_at = self.book.now().await?;
        let mut unanswered = Vec::new();
        for (symbol, holding) in self.venue.fetch(symbols).await? {
            let holding = match holding {
                Ok(holding) => holding,
                Err(why) => {
                    unanswered.push((symbol, why));
                    continue;
                }
            };
            let seen = Snapshot { asked_at, holding };
            self.book.keep(&symbol, &seen).await?;
            self.settle(&symbol, &seen).await?;
        }
        Ok(unanswered)
    }

    /// A ledger that is not up to date is settled by a later snapshot.
    async fn settle(&self, symbol: &Symbol, seen: &Snapshot) -> Result<(), PortError> {
        let page = self.book.open(symbol).await?;
        let settled = page.ledger.settled_by(seen).filter(|_| !page.unread);
        if let Some(ledger) = settled {
            let update = LedgerUpdate {
                symbol: symbol.clone(),
                ledger,
                version: page.version,
            };
            self.book.settle(&update).await?;
        }
        Ok(())
    }

    /// Those of these symbols whose snapshot is older than `age`, or may be from before a fill:
    /// several processes that look before they ask share the polling.
    pub async fn outdated(
        &self,
        symbols: &[Symbol],
        age: Duration,
    ) -> Result<Vec<Symbol>, PortError> {
        let mut outdated = Vec::new();
        for symbol in symbols {
            let page = self.book.open(symbol).await?;
            let serves = page.snapshot.is_some_and(|seen| {
                page.now.since(seen.asked_at) <= age && page.ledger.is_older_than(&seen)
            });
            if !serves {
                outdated.push(symbol.clone());
            }
        }
        Ok(outdated)
    }
}
