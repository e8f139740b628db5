//! The fault matrix: the real binary, a real `redis-server` and the simulated venue, one fault after
//! the other, and a judge who does not ask the service.
//!
//! `table` lists the rows: fault, moment, expectation, and how each is drawn. A [`Case`] is a row drawn
//! from a seed and a number: a setting, steps, one to three plans or a burst of forty, and what their
//! reviewers say. Each is played in a world of its own, so that cases run side by side and any of them
//! can be played again alone. The judge compares the venue's order log, every result that ever stood on
//! the stream, what lies in Redis, and what the service says of itself in its log.
//!
//! ```text
//!  seed, number ─▶ Case ─▶ world: redis-server ◀─wire─ apply-layer ─▶ venue
//!                            ▲  neighbours: permits in, results out      │
//!                            └── play: step by step, restarts            ▼
//!                                                   judge ◀── order log, results, Redis, log
//! ```
//!
//! `docs/faults.md` says what is done and how it is judged.

mod case;
mod environment;
mod fake_services;
mod history;
mod judge;
mod neighbours;
mod report;
mod resp;
mod rng;
mod run;
mod scenarios;
mod scene;
mod script;
mod soak;
mod split;
mod stops;
mod table;
mod wire;

pub use case::Case;
pub use report::{Report, Row};
pub use run::{Outcome, play_all, play_case};
pub use soak::{Course, Held, Soaked, soak};
pub use table::table;
