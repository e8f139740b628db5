//! The apply layer's ports on Redis: proposals are read, plans claimed and published, results
//! published, all under the names of the contract (wire §1, §4).
//!
//! It promises that a claim and its plan happen in one atomic step, that asking again after a lost
//! answer repeats nothing, that a claimed plan gets one final result on the stream, and that a plan
//! whose instance is gone is found and handed to one other. It decides
//! nothing: what a proposal means is the core's business, and permits are `permit-redis`'s.
//!
//! Every write is a script of a few commands (`EVALSHA`, loaded again where the server forgot it),
//! with keys only through `KEYS`. It speaks over the connections of `permit-redis`, to one server, to
//! the sentinels' master, or to a cluster; what differs there is in [`Keys`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod booking;
mod changes;
mod config;
mod debounce_timer;
mod durability;
mod entries;
mod generation;
mod halt;
mod lease;
mod ledger;
mod neighbours;
mod open;
mod plan_store;
mod proposal_batcher;
mod rights;
mod switch;
mod switches;
#[cfg(feature = "testing")]
pub mod testing;

pub use booking::{Booked, Bookkeeper, PATIENCE as BOOKING_PATIENCE};
pub use changes::{ChangeFeed, FollowedPlanStore};
pub use config::{Instance, Kept, Keys, PlanStoreConfig};
pub use durability::{Durability, Synced};
pub use entries::{Entries, Entry, EntryReader, MAX_ENTRY_BYTES, bounded_script, read_entries};
pub use halt::{Lifted, Recorded, Turn};
pub use lease::{Lease, OtherMode, owner_of_lease};
pub use ledger::{LedgerWriter, NO_LEDGER_ON_A_CLUSTER, Written};
pub use neighbours::{ForeignResults, LatePermit, Reviewer, Reviewing, fetch_reviewers};
pub use open::ready_to_take;
pub use plan_store::{RedisPlanStore, ResultKeeper};
pub use rights::{Right, rights};
pub use switches::{
    MAX_REASON_BYTES, NeighboursSwitch, SwitchState, Turned, neighbours_switch, switches,
};
