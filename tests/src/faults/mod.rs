//! The fault matrix: the real binary, a real `redis-server` and the simulated venue, one fault after
//! the other, and a judge who does not ask the service.
//!
//! A [`Case`] is drawn from a seed and a number: a scenario with its parameters, one to three plans,
//! and what their reviewers say. Each is played in a world of its own, so that cases run side by side
//! and any of them can be played again alone. The judge compares the venue's order log, every result
//! that ever stood on the stream, and what lies in Redis.
//!
//! ```text
//!  seed, number ─▶ Case ─▶ world: redis-server ◀─wire─ apply-layer ─▶ venue
//!                            ▲  neighbours: permits in, results out      │
//!                            └── play: the fault, restarts               ▼
//!                                                   judge ◀── order log, results, Redis
//! ```
//!
//! `docs/faults.md` says what is done and how it is judged.

mod case;
mod dice;
mod judge;
mod neighbours;
mod play;
mod resp;
mod run;
mod script;
mod soak;
mod stops;
mod tally;
mod wire;
mod world;

pub use case::Case;
pub use run::{Outcome, play_all, play_case};
pub use soak::{Held, Soaked, soak};
pub use tally::{Row, Tally};
