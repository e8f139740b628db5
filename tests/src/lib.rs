//! Development only: a stage for the whole service, and everybody who plays on it.
//!
//! A [`Stage`] has a real `redis-server` and the simulated venue, both its own. On it run the real
//! binary as a process ([`Service`]), reviewers that read the plan stream and write permits as the
//! neighbours do ([`Reviewer`]), and a test that plays the brain. The venue's order log is the
//! judge of what really happened.
//!
//! Nothing here sleeps for luck: everything waits for a condition, and a condition that does not
//! come is a panic that says which one and shows the service's log. A part that is missing is a
//! panic too: no test skips itself.

mod entry;
mod former;
mod moment;
mod neighbours;
mod program;
mod reviewer;
mod service;
mod stage;
mod tape;
pub mod users;
mod wait;

pub use entry::Entry;
pub use former::{FormerService, FormerSettings, Novelty};
pub use moment::{computed_in_this_run, computed_now};
pub use neighbours::{
    DisarmingGovernor, Habits, PortfolioGate, RebookingBrain, SecondExecutor, calibrated,
    disarm_of_today, reconcile,
};
pub use program::{apply_layer, apply_layer_faulty};
pub use reviewer::{Reviewer, governor_permit, position_permit};
pub use service::{Ended, Service, ServiceBuilder};
pub use stage::{
    Follower, GOVERNOR, P33, PLANS, RESULTS, Stage, has_been_up, server_that_has_been_up,
};
pub use tape::{Shadowed, Tape};
pub use wait::{eventually, within};
