//! A model of the plan protocol: claim, note, take, stamp, order, settle, publish and adopt, by two or
//! three instances with a journal each, on a store that forgets.
//!
//! Nothing here runs the service's code; the gate's own model does that for the gate. Here the rules of
//! the protocol are data ([`Rules`]), and stateright walks every state that the instances, the store,
//! the reviewers and the venue can come to. docs/protocol-model.md says what each rule costs when it is
//! dropped, and where in the code it stands.

mod check;
mod deeds;
mod ends;
mod model;
mod narrate;
mod rows;
mod rules;
mod scopes;
mod state;
mod world;

pub use check::{Report, Trace, Walk, check, find, walk};
pub use ends::without_end;
pub use model::{Action, Deed, Forgetting, P1, P3, P6, SILENCE, Scope};
pub use rows::{Row, rows};
pub use rules::{Confirm, Loser, Rules, Times};
pub use scopes::{Named, large, longest, small};
pub use state::State;
