//! What reviewers need from outside.
//!
//! A book's `finalize` is the one verb that matters: the permit, the acknowledgement of its plan
//! and what the governor counts for it happen together or not at all, and only while the page the
//! decision rests on is still what the book says. So no permit is written twice, none without
//! being counted, and a reviewer that dies in between has done nothing.

use crate::{
    entry::{EntryId, Fields},
    governor::{Execution, Usage},
    ledger::Ledger,
    timestamp::Timestamp,
    venue_position::{Snapshot, VenuePosition},
};
use apply_core::{PortError, Symbol};
use permit_gate::PlanId;
use std::{fmt, future::Future};

/// One entry of a stream, handed to one reviewer of a group. A reviewer that does not finalize it leaves
/// it to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The entry.
    pub id: EntryId,
    /// Its fields.
    pub fields: Fields,
    /// When it was handed out.
    pub read_at: Timestamp,
}

/// A stream read as one of a group.
pub trait PlanFeed: Send + Sync {
    /// The next entries: new ones as soon as there are any, and those another reviewer was handed
    /// and did not finalize. Returns empty after a while of silence.
    ///
    /// Cancellation: entries of a dropped call are handed out again later.
    fn next(&self) -> impl Future<Output = Result<Vec<Delivery>, PortError>> + Send;
}

/// A permit to be written, for the plan of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermitToWrite<'a> {
    /// The entry that is finalized with it.
    pub entry: EntryId,
    /// The plan.
    pub plan: &'a PlanId,
    /// The permit's text.
    pub permit: &'a str,
}

/// What makes an issuer's permits its own where the gate asks for that: a signature. Pure but for
/// the random number in it.
pub trait Seal: fmt::Debug + Send + Sync {
    /// The permit as it is to be written, for the plan that was read from these fields. After an
    /// error nothing is written, and the entry is delivered again.
    fn seal(
        &self,
        permit: String,
        plan: &PlanId,
        fields: &Fields,
        now: Timestamp,
    ) -> Result<String, PortError>;
}

/// How concluding an entry went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finalized {
    /// The permit is written and the entry acknowledged.
    Written(Timestamp),
    /// The page has changed since it was read. Nothing was written: read again, decide again.
    Outdated,
    /// Another reviewer has finalized the entry. Nothing was written.
    DoneByOther,
}

/// What ends the review of a plan without a permit.
pub trait PermitSink: Send + Sync {
    /// Acknowledges an entry of the plan stream that gets no permit.
    fn pass(&self, entry: EntryId) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// What the governor knows of a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsagePage {
    /// What was granted within [`Usage::MEMORY`].
    pub usage: Usage,
    /// The symbol at the venue, where somebody keeps a snapshot of it.
    pub snapshot: Option<Snapshot>,
    /// Which state of the usage this is.
    pub version: u64,
    /// The time.
    pub now: Timestamp,
}

/// What a grant adds to a symbol's usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The symbol.
    pub symbol: Symbol,
    /// The execution.
    pub execution: Execution,
    /// The page it was decided on.
    pub version: u64,
    /// Plans of that page that no longer count and can go.
    pub expired: Vec<PlanId>,
}

/// The governor's book.
pub trait UsageBook: PermitSink {
    /// Reads a symbol's page.
    fn open(&self, symbol: &Symbol) -> impl Future<Output = Result<UsagePage, PortError>> + Send;

    /// Writes the permit, acknowledges the entry, adds the charge and, where there is a reason to,
    /// trips the kill switch: all of it or nothing.
    ///
    /// Cancellation: a dropped future may have finalized; the entry is then gone for good.
    fn finalize(
        &self,
        ruling: PermitToWrite<'_>,
        charge: Option<&Charge>,
        trip: Option<&str>,
    ) -> impl Future<Output = Result<Finalized, PortError>> + Send;

    /// Ends the reading of a result: where `nothing_of` names a plan, it is no longer counted.
    /// Doing it twice changes nothing.
    fn heard(
        &self,
        result: EntryId,
        nothing_of: Option<(&Symbol, &PlanId)>,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// What the position brain knows of a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionPage {
    /// The symbol at the venue, where it was ever asked.
    pub snapshot: Option<Snapshot>,
    /// The symbol by its results.
    pub ledger: Ledger,
    /// Which state of the ledger this is.
    pub version: u64,
    /// Whether there are results that no ledger holds yet.
    pub unread: bool,
    /// The time.
    pub now: Timestamp,
}

/// Results that no ledger holds yet, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// The last result every ledger holds.
    pub cursor: EntryId,
    /// Whether results may have been lost between the cursor and the first one there still is.
    pub gap: bool,
    /// The next results; not necessarily all.
    pub results: Vec<(EntryId, Fields)>,
}

/// One symbol's ledger after a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerUpdate {
    /// The symbol.
    pub symbol: Symbol,
    /// Its ledger now.
    pub ledger: Ledger,
    /// The state it was made from.
    pub version: u64,
}

/// The position brain's book: snapshots, ledgers, and how far the results are read.
pub trait PositionBook: PermitSink {
    /// Reads a symbol's page. A ledger that is there and cannot be read is an error: it is never
    /// taken for a blank one.
    fn open(&self, symbol: &Symbol)
    -> impl Future<Output = Result<PositionPage, PortError>> + Send;

    /// Writes the permit and acknowledges the entry, while the ledger is as the page said.
    ///
    /// Cancellation: a dropped future may have finalized; the entry is then gone for good.
    fn finalize(
        &self,
        ruling: PermitToWrite<'_>,
        symbol: &Symbol,
        version: u64,
    ) -> impl Future<Output = Result<Finalized, PortError>> + Send;

    /// The time, for a question that leaves now.
    fn now(&self) -> impl Future<Output = Result<Timestamp, PortError>> + Send;

    /// Keeps a snapshot, unless a newer one is there.
    fn keep(
        &self,
        symbol: &Symbol,
        seen: &Snapshot,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Replaces a ledger by what the venue made of it; `false` where it has changed meanwhile or
    /// results are unread.
    fn settle(&self, update: &LedgerUpdate)
    -> impl Future<Output = Result<bool, PortError>> + Send;

    /// The next results no ledger holds.
    fn unread(&self) -> impl Future<Output = Result<Unread, PortError>> + Send;

    /// In one step: moves the cursor from one result to another and writes what the last of them
    /// did to a ledger. `false`, and nothing done, where cursor or ledger are no longer there:
    /// so each result counts once, whichever reviewer reads it.
    fn advance(
        &self,
        from: EntryId,
        to: EntryId,
        update: Option<&LedgerUpdate>,
    ) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// After a gap: forgets these ledgers and starts from the first result there is.
    fn forget(
        &self,
        from: EntryId,
        symbols: &[Symbol],
    ) -> impl Future<Output = Result<bool, PortError>> + Send;
}

/// One symbol's holding, or why the venue's answer says none.
pub type Held = (Symbol, Result<VenuePosition, String>);

/// The venue, as far as it is asked for positions.
pub trait Positions: Send + Sync {
    /// What the venue holds for each of these symbols; a flat one holds 0. An error where the
    /// venue cannot be asked at all.
    fn fetch(
        &self,
        symbols: &[Symbol],
    ) -> impl Future<Output = Result<Vec<Held>, PortError>> + Send;
}
