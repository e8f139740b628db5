//! Two reviewers for those who have none: a governor that says whether a plan may execute at all,
//! and a position brain that says how much may be closed.
//!
//! They decide one thing each: the text of a permit, yes or no with its reason. The decisions,
//! [`governor::decide`] and [`position_brain::decide`], are pure: exact decimals, time as an
//! argument, no clock, socket, task or environment. [`Governor`] and [`PositionBrain`] carry one
//! delivered plan through a decision over ports; the plan stream, the books and the venue stand
//! behind [`ports`].
//!
//! ```text
//!               open(symbol)                         finalize(entry, permit)
//!  PlanFeed ─▶ ─────────────▶ page ─▶ decide(…) ─▶ permit written, entry acknowledged,
//!              UsageBook / PositionBook             reservation made: together or not at all
//!                    ▲
//!   results ─▶ LedgerKeeper, SnapshotKeeper ◀─ Positions (the venue)
//! ```
//!
//! What cannot be read, reached or understood is a no: a plan that does not parse gets no permit,
//! a position that is not known fresh is a denial, a book that cannot be read is an error and the
//! plan stays unreviewed.
//!
//! ```
//! use permit_issuers::{VenuePosition, Ledger, Lot, Timestamp, Reviewed, Snapshot, position_brain, raw};
//! use std::time::Duration;
//!
//! let plan = Reviewed::read(&raw([
//!     ("plan_id", "67e6da21fa9fe506"), ("symbol", "BTCUSDT"), ("decision", "EXECUTE"),
//!     ("action", "PARTIAL_75"), ("kill_score", "0.539"),
//! ])).unwrap().expect("it is to be executed");
//! let step = "0.001".parse().unwrap();
//! let seen = Snapshot {
//!     asked_at: Timestamp::from_millis(1_769_301_008_000),
//!     holding: VenuePosition {
//!         amount: "0.0124".parse().unwrap(),
//!         mark_price: None,
//!         lot: Lot { step, min: step, max: None },
//!     },
//! };
//! let now = seen.asked_at + Duration::from_millis(400);
//! let settings = position_brain::Settings::default();
//! let verdict = position_brain::decide(&plan, Some(&seen), &Ledger::default(), &settings, now);
//! assert_eq!(verdict.allowed().unwrap().to_string(), "0.009");
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod denial;
mod entry;
pub mod governor;
mod ledger;
mod ledger_sync;
mod outcome;
mod permit;
mod plan;
pub mod ports;
pub mod position_brain;
mod review;
mod timestamp;
mod venue_position;

pub use denial::{Denial, Fact, Reason};
pub use entry::{EntryId, EntryIdError, Fields, raw};
pub use ledger::{Book, Fill, LastFill, Ledger, ResultReport};
pub use ledger_sync::{LedgerSync, SnapshotKeeper, SyncReport};
pub use outcome::{Outcome, ReviewOutcome};
pub use permit::PERMIT_TTL_SECS;
pub use plan::{Reviewed, Task, UnreadablePlan};
pub use review::{Governor, PLAN_MAX_AGE, PositionBrain};
pub use timestamp::Timestamp;
pub use venue_position::{Lot, Snapshot, VenuePosition};
